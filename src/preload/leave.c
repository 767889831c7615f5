/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * leave.c - what has a process leave its sockets to the kernel, those to come, too.
 *
 * An io_uring: what its requests name, the kernel looks up itself (posix-surface P03). Requests are not looked at: a
 * ring with a polling thread hands them over without a call. A ring made past syscall(), by a library with
 * instructions of its own, goes unseen.
 *
 * A filter of system calls (seccomp, P31): it may kill for what the fast path asks of the kernel. Sockets leave before
 * it stands, and no helper thread is left outside it.
 *
 * Capabilities given up by capset(): without CAP_NET_ADMIN no connection moves any more, and sandboxes give it up before their
 * filter stands. TCP sockets leave while they can; the others need nothing for it. What the bounding set loses is still
 * there until exec, before which they move anyway; setuid() is what servers do who go on to serve, by the fast path.
 */
#include "preload/leave.h"

#include <linux/capability.h>
#include <linux/seccomp.h>
#include <stdarg.h>
#include <sys/prctl.h>

#include "base/reason.h"
#include "context/helper.h"
#include "context/lifecycle.h"
#include "context/sister.h"
#include "host/caps.h"
#include "preload/libc.h"
#include "preload/syscall.h"
#include "sys/sys.h"

static int reason_to_leave; /* enum fs_reason; 0 = none. Kept by fork(), as rings and filters are */

static bool leaves(int reason, enum fd_kind kind)
{
	return reason == FS_REASON_privilege ? kind == FD_STREAM : fd_kind_is_sock(kind);
}

static void leave(int reason)
{
	int saved = errno;
	struct context *o;

	fs_store_relaxed(&reason_to_leave, reason);
	CONTEXT_EACH(o, fsock_context)
		for (int fd = 0; fd <= o->fds.highest; fd++)
			preload_leave_opened(fd);
	errno = saved;
}

void preload_leave_opened(int fd)
{
	struct context *ctx = context_of(fsock_context, fd);
	int reason = fs_load_relaxed(&reason_to_leave);

	if (reason && ctx && leaves(reason, fd_kind_of(&ctx->fds, fd)) && !context_is_borrowed(ctx))
		lifecycle_to_kernel(ctx, fd, reason, NULL);
}

bool preload_leave_confined(void)
{
	return fs_load_relaxed(&reason_to_leave) == FS_REASON_confined;
}

long preload_ring_setup(long entries, long params)
{
	long fd = preload_syscall_raw(__NR_io_uring_setup, entries, params, 0);

	if (fd >= 0)
		leave(FS_REASON_io_uring); /* the program has not seen its descriptor yet */
	return fd;
}

static void confine(void)
{
	struct context *o;

	leave(FS_REASON_confined);
	CONTEXT_EACH(o, fsock_context) {
		helper_end(o);
		fs_store_relaxed(&o->confined, true);
	}
}

/* Without a program it only asks whether there are filters. */
static bool is_filter(unsigned long mode, unsigned long program)
{
	return mode == SECCOMP_MODE_STRICT || (mode == SECCOMP_MODE_FILTER && program);
}

long preload_seccomp(long operation, long flags, long program)
{
	if (operation == SECCOMP_SET_MODE_STRICT || (operation == SECCOMP_SET_MODE_FILTER && program))
		confine();
	return preload_syscall_raw(__NR_seccomp, operation, flags, program);
}

FSOCK_EXPORT int prctl(int option, ...)
{
	unsigned long a, b, c, d;
	va_list args;

	va_start(args, option);
	a = va_arg(args, unsigned long); /* whatever was passed: libc does the same */
	b = va_arg(args, unsigned long);
	c = va_arg(args, unsigned long);
	d = va_arg(args, unsigned long);
	va_end(args);
	if (option == PR_SET_SECCOMP && is_filter(a, b))
		confine();
	return LIBC(prctl)(option, a, b, c, d);
}

/* For good: what stays permitted may be taken up again. Of threads other than the caller the kernel refuses to hear. */
static bool gives_up_net_admin(const struct __user_cap_header_struct *header, const struct __user_cap_data_struct *data)
{
	uint64_t net_admin = 1ULL << CAP_NET_ADMIN;

	return header && data && !(data->permitted & net_admin) && (host_caps_effective() & net_admin);
}

FSOCK_EXPORT int capset(struct __user_cap_header_struct *header, const struct __user_cap_data_struct *data)
{
	if (fsock_context && !fs_load_relaxed(&reason_to_leave) && gives_up_net_admin(header, data))
		leave(FS_REASON_privilege);
	return LIBC(capset)(header, data);
}
