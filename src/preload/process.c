/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * process.c - fork, exit, and what changes the process as a whole.
 */
#include "preload/process.h"

#include <grp.h>
#include <pthread.h>
#include <sched.h>

#include "context/helper.h"
#include "context/lifecycle.h"
#include "context/process.h"
#include "preload/libc.h"

void preload_register_fork(void)
{
	static unsigned registered;
	unsigned no = 0;

	if (!fs_load_acquire(&fsock_context) || !fs_compare_exchange(&registered, &no, 1u))
		return;
	pthread_atfork(process_before_fork, process_parent_after_fork, process_child_after_fork);
}

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

/*
 * Calls that change the process as a whole, or that the kernel denies to one with threads: the helper ends before and
 * begins again after. libc makes every thread follow setuid() and its like, and a helper without capabilities may not.
 */
#define WITHOUT_HELPER(call)                            \
	do {                                            \
		struct context *ctx = fsock_context;    \
		int ret;                                \
                                                        \
		if (!ctx)                               \
			return call;                    \
		helper_stop(ctx);                       \
		ret = call;                             \
		helper_want(ctx);                       \
		return ret;                             \
	} while (0)

FSOCK_EXPORT int setuid(uid_t uid)
{
	WITHOUT_HELPER(LIBC(setuid)(uid));
}

FSOCK_EXPORT int setgid(gid_t gid)
{
	WITHOUT_HELPER(LIBC(setgid)(gid));
}

FSOCK_EXPORT int seteuid(uid_t uid)
{
	WITHOUT_HELPER(LIBC(seteuid)(uid));
}

FSOCK_EXPORT int setegid(gid_t gid)
{
	WITHOUT_HELPER(LIBC(setegid)(gid));
}

FSOCK_EXPORT int setreuid(uid_t real, uid_t effective)
{
	WITHOUT_HELPER(LIBC(setreuid)(real, effective));
}

FSOCK_EXPORT int setregid(gid_t real, gid_t effective)
{
	WITHOUT_HELPER(LIBC(setregid)(real, effective));
}

FSOCK_EXPORT int setresuid(uid_t real, uid_t effective, uid_t saved)
{
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
