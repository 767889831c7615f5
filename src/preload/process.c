/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * process.c - fork, exit, and what changes the process as a whole.
 */
#include "preload/process.h"

#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "context/exec.h"
#include "context/helper.h"
#include "context/lifecycle.h"
#include "context/process.h"
#include "context/sister.h"
#include "preload/libc.h"

static bool borrowed; /* for good, and before our constructor, too */

void preload_register_fork(void)
{
	static unsigned registered;
	unsigned no = 0;

	if (!fs_load_acquire(&fsock_context) || !fs_compare_exchange(&registered, &no, 1u))
		return;
	pthread_atfork(process_before_fork, process_parent_after_fork, process_child_after_fork);
}

/* --- children that run in our memory; those of posix_spawn(), which it makes past us, call nothing of ours --- */

void preload_before_borrower(void)
{
	fs_store_relaxed(&borrowed, true);
	context_may_be_lent(true);
}

__attribute__((constructor)) static void hear_of_borrowers(void)
{
	context_may_be_lent(false);
	fs_full_barrier(); /* who is heard of just now has said so, or says it after this */
	if (fs_load_relaxed(&borrowed))
		context_may_be_lent(true);
}

/* For the entry of vfork(): libc's. */
void *preload_before_vfork(void);

void *preload_before_vfork(void)
{
	preload_before_borrower();
	return (void *)LIBC(vfork);
}

FSOCK_EXPORT int clone(int (*begin)(void *), void *stack, int flags, void *arg, ...)
{
	void *words[3];
	va_list rest;

	va_start(rest, arg);
	for (int i = 0; i < 3; i++)
		words[i] = va_arg(rest, void *); /* @flags say which were given */
	va_end(rest);
	if ((flags & (CLONE_VM | CLONE_THREAD)) == CLONE_VM)
		preload_before_borrower();
	return LIBC(clone)(begin, stack, flags, arg, words[0], words[1], words[2]);
}

FSOCK_EXPORT int __clone(int (*begin)(void *), void *stack, int flags, void *arg, ...) __THROW __attribute__((alias("clone")));

__attribute__((destructor)) static void at_exit(void)
{
	if (fsock_context)
		lifecycle_exit(fsock_context);
}

FSOCK_EXPORT _Noreturn void _exit(int status)
{
	at_exit();
	for (;;)
		LIBC(_exit)(status);
}

FSOCK_EXPORT _Noreturn void _Exit(int status) __attribute__((alias("_exit")));

/* quick_exit() runs no destructor and ends past our _exit(). Its functions are called last one first: told of before those
 * of the program, ours comes after them, who may use sockets still. */
__attribute__((constructor)) static void expect_quick_exit(void)
{
	at_quick_exit(at_exit);
}

/* Standard input, output and error are /dev/null, if that is what it should be. */
static int close_standard(void)
{
	int fd = open("/dev/null", O_RDWR);
	struct stat at;

	if (fd < 0)
		return -1;
	if (fstat(fd, &at) < 0 || !S_ISCHR(at.st_mode)) {
		close(fd);
		errno = ENODEV;
		return -1;
	}
	for (int standard = 0; standard < 3; standard++)
		dup2(fd, standard);
	if (fd >= 3)
		close(fd);
	return 0;
}

/* What libc's daemon() does in the child. */
static int become_daemon(bool keep_folder, bool keep_standard)
{
	if (setsid() < 0)
		return -1;
	if (!keep_folder)
		(void)!chdir("/");
	return keep_standard ? 0 : close_standard();
}

/*
 * libc's daemon() ends the parent past our _exit(), before the child makes a call: for that long nobody drove, and the
 * kernel reset whatever connection was spoken on. Here the parent waits until the child does.
 */
FSOCK_EXPORT int daemon(int keep_folder, int keep_standard)
{
	int taken[2];
	char byte;

	if (!fsock_context || context_is_borrowed(fsock_context) || pipe2(taken, O_CLOEXEC) < 0)
		return LIBC(daemon)(keep_folder, keep_standard);
	switch (fork()) {
	case -1:
		close(taken[0]);
		close(taken[1]);
		return -1;
	case 0:
		process_join();
		close(taken[0]);
		close(taken[1]);
		return become_daemon(keep_folder, keep_standard);
	default:
		close(taken[1]);
		while (read(taken[0], &byte, 1) < 0 && errno == EINTR)
			continue;
		_exit(0);
	}
}

/*
 * Calls that change the process as a whole, or that the kernel denies to one with threads: the helper ends before and
 * begins again after. libc makes every thread follow setuid() and its like, and a helper without capabilities may not.
 */
#define WITHOUT_HELPER(call)                            \
	do {                                            \
		struct context *o;                      \
		int ret;                                \
                                                        \
		if (!fsock_context)                     \
			return call;                    \
		CONTEXT_EACH(o, fsock_context)          \
			helper_stop(o);                 \
		ret = call;                             \
		CONTEXT_EACH(o, fsock_context)          \
			helper_want(o);                 \
		return ret;                             \
	} while (0)

/*
 * A child that made no call on what it inherited yet joins while it may: without root's rights, which it gives up for
 * those of @user, it could not, and the listeners that it is to serve would be left to the kernel, for its parent and
 * brothers, too. Connections that came by exec go to the kernel while they may: another exec is likely to follow.
 */
static void join_before(uid_t user)
{
	if (!fsock_context || user == 0 || user == (uid_t)-1 || geteuid() != 0 || context_is_borrowed(fsock_context))
		return;
	process_join();
	exec_before_less(fsock_context);
}

FSOCK_EXPORT int setuid(uid_t uid)
{
	join_before(uid);
	WITHOUT_HELPER(LIBC(setuid)(uid));
}

FSOCK_EXPORT int setgid(gid_t gid)
{
	WITHOUT_HELPER(LIBC(setgid)(gid));
}

FSOCK_EXPORT int seteuid(uid_t uid)
{
	join_before(uid);
	WITHOUT_HELPER(LIBC(seteuid)(uid));
}

FSOCK_EXPORT int setegid(gid_t gid)
{
	WITHOUT_HELPER(LIBC(setegid)(gid));
}

FSOCK_EXPORT int setreuid(uid_t real, uid_t effective)
{
	join_before(effective);
	WITHOUT_HELPER(LIBC(setreuid)(real, effective));
}

FSOCK_EXPORT int setregid(gid_t real, gid_t effective)
{
	WITHOUT_HELPER(LIBC(setregid)(real, effective));
}

FSOCK_EXPORT int setresuid(uid_t real, uid_t effective, uid_t saved)
{
	join_before(effective);
	WITHOUT_HELPER(LIBC(setresuid)(real, effective, saved));
}

FSOCK_EXPORT int setresgid(gid_t real, gid_t effective, gid_t saved)
{
	WITHOUT_HELPER(LIBC(setresgid)(real, effective, saved));
}

FSOCK_EXPORT int setgroups(size_t n, const gid_t *groups)
{
	WITHOUT_HELPER(LIBC(setgroups)(n, groups));
}

FSOCK_EXPORT int initgroups(const char *user, gid_t group)
{
	WITHOUT_HELPER(LIBC(initgroups)(user, group));
}

FSOCK_EXPORT int unshare(int flags)
{
	WITHOUT_HELPER(LIBC(unshare)(flags));
}

FSOCK_EXPORT int setns(int fd, int type)
{
	WITHOUT_HELPER(LIBC(setns)(fd, type));
}
