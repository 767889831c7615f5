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
#include <signal.h>

#include "context/context.h"
#include "context/internal.h"
#include "context/thread.h"
#include "sys/sys.h"

enum {
	SPINS = 200,
	WAIT_MS = 10,
	STOPPED_LOOKS = 500, /* each after WAIT_MS: a holder found stopped so often in a row is given up */
	LEAVE_STEPS = 100,   /* of LEAVE_STEP_NS: more than a holder takes to the end of its call once it runs */
	END_STEPS = 200, /* of END_STEP_NS: more than it takes to write what is left on slow pipes */
	/* A handler's frames lie below the interrupted ones by what the kernel puts between them: on
	 * x86-64 the red zone of 128 bytes, 440 for registers and siginfo, 512 and more of vector
	 * state; elsewhere more. As much deeper may a call be than another from the same place. */
	SIGNAL_FRAME = 1024,
};

#define END_STEP_NS FS_MS(10)
#define LEAVE_STEP_NS FS_MS(1)

/* How long a caller waits for the lock. */
enum patience { NONE, UNLESS_STOPPED, ANY };

/* What a thread that waits for the lock has seen of its holder. */
struct watch {
	uint32_t owner;
	unsigned stopped; /* looks in a row that found it stopped */
};

__thread struct context_thread context_thread;

/* The letter of /proc/TID/stat; 0 = not known. */
static char state_of(uint32_t tid)
{
	char path[32], text[512];
	ssize_t n;
	int fd;

	host_format(path, sizeof(path), "/proc/%u/stat", tid);
	fd = sys_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return 0;
	n = sys_read(fd, text, sizeof(text) - 1);
	sys_close(fd);
	while (n > 0 && text[n - 1] != ')') /* behind the name, which may hold anything */
		n--;
	return n > 0 && n + 1 < (ssize_t)sizeof(text) ? text[n + 1] : 0;
}

/* One that ended and that its parent has not waited for still has its number. */
static bool is_zombie(uint32_t tid)
{
	char state = state_of(tid);

	return state == 'Z' || state == 'X';
}

/* By SIGSTOP or by a debugger. */
static bool is_stopped(uint32_t tid)
{
	char state = state_of(tid);

	return state == 'T' || state == 't';
}

bool context_is_dead(uint32_t tid)
{
	return sys_kill((int)tid, 0) == -ESRCH || is_zombie(tid);
}

/* The holder will not go on: whatever it was doing is half done. Nobody may trust these structures any
 * more; every socket's shadow is a complete socket. */
static void give_up(struct context *ctx)
{
	fs_fetch_add(&ctx->stack->counter[FS_CTR_lock_recovered], 1);
	fs_store_release(&ctx->stack->broken, true);
}

/* The holder was stopped for WAIT_MS at least: said once per stop. */
static void report_stopped(struct context *ctx, uint32_t owner)
{
	if (fs_exchange(&ctx->stack->lock.stopped, owner) == owner)
		return;
	fs_fetch_add(&ctx->stack->counter[FS_CTR_lock_stopped], 1);
	host_log(&ctx->log, LOG_WARN, "thread %u is stopped in the middle of a call: new sockets are the kernel's",
		 owner);
}

/* Did thread @tid die in a system call of a port's? Of this stack or of another one of its process: it may have driven one
 * for another's sake. */
static bool was_in_call(const struct context *ctx, uint32_t tid)
{
	for (unsigned i = 0; i < FS_MAX(ctx->n_stacks, 1u); i++) {
		const struct stack *s = ctx->n_stacks ? ctx->stacks[i]->stack : ctx->stack;

		for (unsigned port = 0; port < IP_MAX_PORTS; port++)
			if (s->port[port] && fs_load_acquire(&s->port[port]->in_call) == tid)
				return true;
	}
	return false;
}

/*
 * @owner stays stopped, perhaps for good. Who waits goes on as if it had died; it itself will go on in the middle of a
 * change. That harms nobody who trusts these structures no more, for as long as its own process keeps what its call
 * uses (context_is_in_use()).
 */
static void outlive(struct context *ctx, uint32_t owner)
{
	if (fs_exchange(&ctx->stack->lock.outlived, owner) == owner)
		return;
	host_log(&ctx->log, LOG_WARN, "thread %u stays stopped: the stack is given up, its connections are reset",
		 owner);
	give_up(ctx);
}

/*
 * @owner has died. One that let go before did no harm; nor did one that had not begun, such as a thread of a process
 * in the moment in which that exits, or one that was through with all but a system call. True: the lock is the caller's.
 */
static bool inherit(struct context *ctx, uint32_t owner, uint32_t tid)
{
	struct stack_lock *lock = &ctx->stack->lock;
	uint32_t begun;

	if (fs_load_acquire(&lock->owner) != owner)
		return false;
	begun = fs_load_acquire(&lock->begun);
	if (begun == owner || (begun == ~owner && !was_in_call(ctx, owner))) {
		give_up(ctx);
		return false;
	}
	if (!fs_compare_exchange(&lock->owner, &owner, tid))
		return false;
	/* Whom it would have woken it took along. */
	ctx->to_ring = SLEEPERS_ALL;
	ctx->to_tell = ((1u << ctx->n_stacks) - 1) & ~(1u << ctx->index);
	ctx->stack->counter[FS_CTR_lock_inherited]++;
	return true;
}

static bool is_of(const struct context *ctx, uint32_t tid)
{
	return sys_tgkill((int)ctx->pid, (int)tid, 0) == 0;
}

/* @owner has had the lock for WAIT_MS at least. True: the lock is the caller's. */
static bool look_at_holder(struct context *ctx, uint32_t owner, uint32_t tid, struct watch *seen)
{
	if (owner != seen->owner)
		*seen = (struct watch){ .owner = owner };
	if (context_is_dead(owner))
		return inherit(ctx, owner, tid);
	if (!is_stopped(owner) || fs_load_acquire(&ctx->stack->lock.owner) != owner) {
		seen->stopped = 0;
		return false;
	}
	report_stopped(ctx, owner);
	/* Looks, not time: who was stopped along with it has not waited. Stopped by a debugger alone, beside the caller
	 * in its own process, it keeps the lock: the two share more than the stack. */
	if (++seen->stopped >= STOPPED_LOOKS && !is_of(ctx, owner))
		outlive(ctx, owner);
	return false;
}

/* The lock is taken: wait for it. False: it will never be free, or its holder is stopped and the caller not
 * @patient. */
static bool lock_wait(struct context *ctx, uint32_t tid, bool patient)
{
	struct stack_lock *lock = &ctx->stack->lock;
	struct watch seen = { 0 };

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
		if (ret != -ETIMEDOUT)
			seen.stopped = 0;
		else if (look_at_holder(ctx, owner, tid, &seen))
			break;
		if (fs_load_acquire(&ctx->stack->broken) ||
		    (!patient && fs_load_relaxed(&lock->stopped) == owner)) {
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

bool context_frame_is_gone(uintptr_t frame, uintptr_t here)
{
	stack_t alternate = { 0 };

	if (here + SIGNAL_FRAME <= frame)
		return false;
	/* On a stack of its own a handler lies anywhere. */
	return sys_sigaltstack(NULL, &alternate) == 0 && !(alternate.ss_flags & SS_ONSTACK);
}

/* This thread holds the lock already. As a rule a signal handler interrupted it. */
static bool is_abandoned(uintptr_t here)
{
	uintptr_t taken = context_thread.lock_frame;

	return taken != 0 && context_frame_is_gone(taken, here);
}

/*
 * Get the lock itself. The frame is noted before, as a handler may jump out right behind the instruction
 * that takes the lock, and once more after, as one that ran in between notes its own. When the thread
 * does not have the lock it means nothing.
 */
static bool obtain(struct context *ctx, uint32_t tid, enum patience patience, uintptr_t here)
{
	if (fs_load_relaxed(&ctx->stack->lock.owner) == tid) {
		if (is_abandoned(here))
			give_up(ctx);
		return false;
	}
	fs_store_relaxed(&context_thread.lock_frame, here);
	if (!stack_trylock(ctx->stack, tid) && (patience == NONE || !lock_wait(ctx, tid, patience == ANY)))
		return false;
	fs_store_relaxed(&context_thread.lock_frame, here);
	return true;
}

/*
 * The process ends: its connections are gone, and a thread that went on by their shadows would hear of broken pipes, or
 * be the process's death by SIGPIPE. It stands still until the end takes it. Not for ever: somebody may wait for it.
 */
static void await_end(void)
{
	const struct timespec pause = { .tv_nsec = END_STEP_NS };

	while (context_thread.stood < END_STEPS) {
		context_thread.stood++;
		sys_nanosleep(&pause);
	}
}

bool context_is_in_use(const struct context *ctx)
{
	const struct stack_lock *lock = &ctx->stack->lock;
	uint32_t owner = fs_load_acquire(&lock->owner);

	return owner != 0 && fs_load_acquire(&lock->outlived) != 0 && is_of(ctx, owner);
}

/* The stack is broken. At once: what this call sends by the shadow is answered there. */
static void leave_broken(struct context *ctx, uint32_t tid, enum patience patience, uintptr_t here)
{
	const struct timespec pause = { .tv_nsec = LEAVE_STEP_NS };
	struct stack_lock *lock = &ctx->stack->lock;

	if (fs_load_relaxed(&lock->owner) == tid) {
		if (!is_abandoned(here))
			return; /* what this handler interrupted goes on */
		fs_store_release(&lock->owner, 0);
	}
	/* One that waits for nobody may have another stack's lock, for which the holder waits. */
	for (int i = 0; patience != NONE && i < LEAVE_STEPS && context_is_in_use(ctx); i++)
		sys_nanosleep(&pause);
	context_abandon(ctx);
}

static bool lock(struct context *ctx, enum patience patience, uintptr_t here)
{
	struct stack *s = ctx->stack;
	uint32_t tid;

	if (__builtin_expect(fs_load_relaxed(ctx->alive) != CONTEXT_ALIVE, 0) && !context_is_here(ctx))
		return false;
	tid = context_tid();
	if (fs_load_relaxed(&s->broken) || !obtain(ctx, tid, patience, here)) {
		if (fs_load_relaxed(&s->broken))
			leave_broken(ctx, tid, patience, here);
		return false;
	}
	if (__builtin_expect(fs_load_relaxed(&s->broken), 0)) { /* while it waited */
		context_unlock(ctx);
		leave_broken(ctx, tid, patience, here);
		return false;
	}
	if (__builtin_expect(ctx->exiting != 0, 0) && ctx->exiting != tid) {
		context_unlock(ctx); /* the end comes at any moment, and would come in the middle of a change */
		if (patience != NONE) /* else it has another stack's */
			await_end();
		return false;
	}
	fs_store_relaxed(&s->lock.begun, tid);
	fs_program_order(); /* whoever inherits the lock of a dead thread that had begun sees it (inherit()) */
	if (__builtin_expect(s->lock.stopped != 0, 0))
		fs_store_relaxed(&s->lock.stopped, 0);
	if (__builtin_expect(s->arena_len != ctx->arena.mapped, 0) &&
	    mem_map_rest(&ctx->arena, s->arena_len) < 0) {
		context_unlock(ctx);
		return false;
	}
	if (__builtin_expect(s->local_serial != ctx->local.seen, 0) && !local_catch_up(ctx)) {
		context_unlock(ctx);
		return false;
	}
	return true;
}

bool context_lock(struct context *ctx)
{
	return lock(ctx, ANY, (uintptr_t)__builtin_frame_address(0));
}

bool context_lock_unless_stopped(struct context *ctx)
{
	return lock(ctx, UNLESS_STOPPED, (uintptr_t)__builtin_frame_address(0));
}

bool context_trylock(struct context *ctx)
{
	return lock(ctx, NONE, (uintptr_t)__builtin_frame_address(0));
}

void context_calm(struct context *ctx)
{
	fs_program_order();
	fs_store_relaxed(&ctx->stack->lock.begun, ~context_thread.tid);
}

void context_stir(struct context *ctx)
{
	fs_store_relaxed(&ctx->stack->lock.begun, context_thread.tid);
	fs_program_order();
}

void context_unlock(struct context *ctx)
{
	struct stack_lock *lock = &ctx->stack->lock;

	fs_program_order(); /* every change is made */
	fs_store_relaxed(&lock->begun, 0);
	/* The exchange orders the release before the look at `waiting`, which a waiter raised before
	 * it looked at `owner`: one of the two sees the other. */
	fs_exchange(&lock->owner, 0);
	if (fs_load_relaxed(&lock->waiting))
		sys_futex(&lock->owner, FUTEX_WAKE, 1, NULL, NULL, 0);
}
