/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * syscall.c - syscall(): what goes through it to sockets goes the way of libc's functions (posix-surface P02).
 *
 * Everything else reaches libc's syscall() by a jump (syscall_x86_64.S). Children made so, on a stack of their own, are
 * found as those of clone() are.
 *
 * Where the kernel's call and libc's function of the name differ, the former is what the program asked for: masks of
 * 8 bytes whose size is told, times that are updated, no point of cancellation.
 */
#include "preload/syscall.h"

#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "context/context.h"
#include "context/helper.h"
#include "context/multiplex.h"
#include "context/process.h"
#include "context/sister.h"
#include "host/clock.h"
#include "preload/leave.h"
#include "preload/libc.h"
#include "preload/process.h"
#include "sys/sys.h"

/* As the kernel takes it for pselect6(). */
struct raw_mask {
	const void *mask;
	size_t size;
};

static long raw(long nr, long a, long b, long c, long d, long e, long f)
{
	return (preload_libc_syscall ? preload_libc_syscall : preload_find_syscall())(nr, a, b, c, d, e, f);
}

/* --- calls whose arguments libc's function does not take as they are --- */

/* Of another size, or with times out of range, it is the kernel's to refuse. */
static bool is_mask(const void *mask, size_t size)
{
	return !mask || size == SYS_SIGSET_BYTES;
}

static const sigset_t *widened(const void *mask, sigset_t *room)
{
	if (!mask)
		return NULL;
	sigemptyset(room);
	memcpy(room, mask, SYS_SIGSET_BYTES);
	return room;
}

static fs_ns end_of(const struct timespec *limit)
{
	return limit ? host_clock_kernel() + fs_span(limit->tv_sec, limit->tv_nsec) : 0;
}

/* The kernel says what was left, where it may write (poll_select_finish()): constants are no fault. */
static void tell_rest(struct timespec *limit, fs_ns end)
{
	struct timespec rest;
	struct iovec from = { &rest, sizeof(rest) }, to = { limit, sizeof(rest) };
	fs_ns left;

	if (!limit || (limit->tv_sec == 0 && limit->tv_nsec == 0))
		return;
	left = fs_left(end, host_clock_kernel());
	rest = (struct timespec){ .tv_sec = left / FS_SEC(1), .tv_nsec = left % FS_SEC(1) };
	sys_call6(__NR_process_vm_writev, sys_getpid(), (long)&from, 1, (long)&to, 1, 0);
}

static long raw_ppoll(struct pollfd *fds, nfds_t n, struct timespec *limit, const void *mask, size_t size)
{
	sigset_t room;
	fs_ns end;
	long ret;

	if (!multiplex_matters(fsock_context) || !is_mask(mask, size))
		return raw(__NR_ppoll, (long)fds, (long)n, (long)limit, (long)mask, (long)size, 0);
	end = end_of(limit);
	ret = ppoll(fds, n, limit, widened(mask, &room));
	if (ret >= 0 || errno != EINVAL)
		tell_rest(limit, end);
	return ret;
}

static long raw_pselect(int n, fd_set *in, fd_set *out, fd_set *except, struct timespec *limit,
			const struct raw_mask *arg)
{
	const void *mask = arg ? arg->mask : NULL;
	sigset_t room;
	fs_ns end;
	long ret;

	if (!multiplex_matters(fsock_context) || !is_mask(mask, arg ? arg->size : 0))
		return raw(__NR_pselect6, n, (long)in, (long)out, (long)except, (long)limit, (long)arg);
	end = end_of(limit);
	ret = pselect(n, in, out, except, limit, widened(mask, &room));
	if (ret >= 0 || errno != EINVAL)
		tell_rest(limit, end);
	return ret;
}

static long raw_epoll_pwait(int epfd, struct epoll_event *events, int max, int ms, const void *mask, size_t size)
{
	sigset_t room;

	if (!is_mask(mask, size))
		return raw(__NR_epoll_pwait, epfd, (long)events, max, ms, (long)mask, (long)size);
	return epoll_pwait(epfd, events, max, ms, widened(mask, &room));
}

static long raw_epoll_pwait2(int epfd, struct epoll_event *events, int max, const struct timespec *limit,
			     const void *mask, size_t size)
{
	sigset_t room;

	if (!is_mask(mask, size))
		return raw(__NR_epoll_pwait2, epfd, (long)events, max, (long)limit, (long)mask, (long)size);
	return epoll_pwait2(epfd, events, max, limit, widened(mask, &room));
}

/* A child with memory and descriptors of its own, whose parent goes on at once, on the same stack. */
static bool is_fork(long flags, long stack)
{
	return !stack && !(flags & (CLONE_VM | CLONE_FILES | CLONE_VFORK));
}

/* Of clone3(), whose words lie in memory: what cannot be read is the kernel's to refuse. Nor are they read behind a
 * filter that might kill for it. */
static bool is_fork_by_words(void *words, size_t size)
{
	struct clone_args args = { 0 };
	struct iovec from = { words, FS_MIN(size, sizeof(args)) }, to = { &args, from.iov_len };

	return !fs_load_relaxed(&fsock_context->confined) && size >= CLONE_ARGS_SIZE_VER0 &&
	       sys_call6(__NR_process_vm_readv, sys_getpid(), (long)&to, 1, (long)&from, 1, 0) == (long)to.iov_len &&
	       is_fork((long)args.flags, (long)args.stack);
}

/*
 * fork() and what is like it: child and parent go on from here, each in memory of its own. What the child inherits
 * waits for it from before there is a child, or its parent's close() would end it. libc, which hears of none, counts the
 * parent's threads as the child's, and setuid() there would wait for one that was about to run: ours has begun.
 */
static long raw_fork(long nr, long a, long b, long c, long d, long e)
{
	struct context *o;
	long ret;

	process_before_fork();
	CONTEXT_EACH(o, fsock_context)
		helper_await(o);
	ret = raw(nr, a, b, c, d, e, 0);
	if (ret == 0)
		process_child_after_fork();
	else
		process_parent_after_fork();
	return ret;
}

static _Noreturn long raw_exit(int status)
{
	_exit(status);
}

/* --- which --- */

#define NAMED(n) context_knows(fsock_context, (int)(n))
#define KNOWN (fsock_context != NULL)
#define ALWAYS true /* makes the context, or is counted before there is one */

const uint8_t preload_listed[PRELOAD_SYSCALLS] = {
#define SYSCALL(name, when, call) [__NR_##name] = 1,
#include "preload/syscalls.def"
#undef SYSCALL
};

preload_syscall_fn *preload_libc_syscall;

preload_syscall_fn *preload_find_syscall(void)
{
	return libc_find("syscall", (void **)&preload_libc_syscall);
}

long preload_syscall_raw(long nr, long a, long b, long c)
{
	return raw(nr, a, b, c, 0, 0, 0);
}

static bool concerns(long nr, long a, long b, long c)
{
	switch (nr) {
#define SYSCALL(name, when, call) case __NR_##name: return when;
#include "preload/syscalls.def"
#undef SYSCALL
	}
	return false;
}

static long call(long nr, long a, long b, long c, long d, long e, long f)
{
	switch (nr) {
#define SYSCALL(name, when, call) case __NR_##name: return call;
#include "preload/syscalls.def"
#undef SYSCALL
	}
	return libc_result(-ENOSYS);
}

long preload_lead(long nr, long a, long b, long c, long d, long e, long f)
{
	int state;
	long ret;

	if (!concerns(nr, a, b, c)) {
		if (nr == __NR_clone3 || (nr == __NR_clone && (a & (CLONE_VM | CLONE_THREAD)) == CLONE_VM))
			preload_before_borrower();
		return raw(nr, a, b, c, d, e, f);
	}
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state); /* libc's syscall() is no point of cancellation */
	ret = call(nr, a, b, c, d, e, f);
	pthread_setcancelstate(state, NULL);
	return ret;
}
