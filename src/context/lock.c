/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lock.c - the stack's lock: who holds it does the work (DESIGN D7).
 *
 * The word holds the thread id of the holder, so that a signal handler that comes back in sees that its
 * own thread holds it, and so that a holder which died is told from one which is slow.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>

#include "context/context.h"
#include "context/internal.h"
#include "context/thread.h"
#include "sys/sys.h"

enum { SPINS = 200, WAIT_MS = 10 };

__thread struct context_thread context_thread;

/* One that ended and that its parent has not waited for still has its number. */
static bool is_zombie(uint32_t tid)
{
	char path[32], text[512];
	ssize_t n;
	int fd;

	host_format(path, sizeof(path), "/proc/%u/stat", tid);
	fd = sys_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return false;
	n = sys_read(fd, text, sizeof(text) - 1);
	sys_close(fd);
	while (n > 0 && text[n - 1] != ')') /* behind the name, which may hold anything */
		n--;
	return n > 0 && n + 1 < (ssize_t)sizeof(text) && (text[n + 1] == 'Z' || text[n + 1] == 'X');
}

bool context_is_dead(uint32_t tid)
{
	return sys_kill((int)tid, 0) == -ESRCH || is_zombie(tid);
}

/* The lock is taken: wait for it. False: it will never be free, or it is ours already. */
static bool lock_wait(struct context *ctx, uint32_t tid)
{
	struct stack_lock *lock = &ctx->stack->lock;

	fs_fetch_add(&ctx->stack->counter[FS_CTR_lock_contended], 1);
	for (int i = 0; i < SPINS; i++) {
		if (stack_trylock(ctx->stack, tid))
			return true;
		fs_cpu_relax();
	}
	fs_fetch_add(&lock->waiting, 1);
	for (;;) {
		struct timespec limit = { .tv_nsec = FS_MS(WAIT_MS) };
		uint32_t owner = 0;
		long ret;

		if (fs_compare_exchange(&lock->owner, &owner, tid))
			break;
		ret = sys_futex(&lock->owner, FUTEX_WAIT, owner, &limit, NULL, 0);
		/* Dead first, then still the owner: one that let go and ended meanwhile did no harm. */
		if (ret == -ETIMEDOUT && context_is_dead(owner) &&
		    fs_load_acquire(&lock->owner) == owner) {
			/* Whatever it was doing is half done. Nobody may trust these structures
			 * any more; every socket's shadow is a complete socket. */
			fs_fetch_add(&ctx->stack->counter[FS_CTR_lock_recovered], 1);
			fs_store_release(&ctx->stack->broken, true);
			fs_fetch_sub(&lock->waiting, 1);
			return false;
		}
		if (fs_load_acquire(&ctx->stack->broken)) {
			fs_fetch_sub(&lock->waiting, 1);
			return false;
		}
	}
	fs_fetch_sub(&lock->waiting, 1);
	return true;
}

uint32_t context_tid(void)
{
	if (context_thread.tid == 0)
		context_thread.tid = (uint32_t)sys_gettid();
	return context_thread.tid;
}

bool context_lock(struct context *ctx)
{
	struct stack *s = ctx->stack;
	uint32_t tid;

	if (__builtin_expect(fs_load_relaxed(ctx->alive) == 0, 0))
		context_after_fork(ctx);
	tid = context_tid();
	if (fs_load_relaxed(&s->broken)) {
		context_abandon(ctx);
		return false;
	}
	if (!stack_trylock(s, tid)) {
		if (fs_load_relaxed(&s->lock.owner) == tid)
			return false; /* a signal handler inside our own critical section */
		if (!lock_wait(ctx, tid))
			return false;
	}
	if (__builtin_expect(s->arena_len != ctx->arena.mapped, 0) &&
	    mem_map_rest(&ctx->arena, s->arena_len) < 0) {
		context_unlock(ctx);
		return false;
	}
	return true;
}

void context_unlock(struct context *ctx)
{
	struct stack_lock *lock = &ctx->stack->lock;

	/* The exchange orders the release before the look at `waiting`, which a waiter raised before
	 * it looked at `owner`: one of the two sees the other. */
	fs_exchange(&lock->owner, 0);
	if (fs_load_relaxed(&lock->waiting))
		sys_futex(&lock->owner, FUTEX_WAKE, 1, NULL, NULL, 0);
}
