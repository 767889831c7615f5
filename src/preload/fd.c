/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fd.c - descriptors: duplicating, closing, flags.
 *
 * Our own descriptors are not the program's: for it they do not exist, so that a loop closing all
 * numbers, or a dup2() onto one of ours, does no harm (posix-surface P18, P19).
 */
#include <fcntl.h>
#include <linux/sockios.h>
#include <stdarg.h>
#include <sys/ioctl.h>

#include "context/datagram.h"
#include "context/internal_fds.h"
#include "context/lifecycle.h"
#include "context/stream.h"
#include "preload/libc.h"
#include "sys/sys.h"

/* --- closing --- */

FSOCK_EXPORT int close(int fd)
{
	struct context *ctx = fsock_context;
	bool internal = ctx && context_fd_is_internal(ctx, fd);

	/* Whether it is lent may be a system call, which most descriptors need not pay. */
	if ((!internal && !context_knows(ctx, fd)) || context_is_lent(ctx))
		return LIBC(close)(fd);
	if (internal)
		return (int)libc_result(-EBADF);
	stream_linger(context_of(ctx, fd), fd);
	lifecycle_closing_known(ctx, fd);
	return LIBC(close)(fd);
}

/* libc closes the descriptor inside, past close() above. */
static void leaves(FILE *stream)
{
	int saved = errno, fd = fsock_context ? fileno(stream) : -1;

	if (fd >= 0)
		lifecycle_closing(fsock_context, fd);
	errno = saved; /* a stream without a descriptor has no error of its own */
}

FSOCK_EXPORT int fclose(FILE *stream)
{
	leaves(stream);
	return LIBC(fclose)(stream);
}

FSOCK_EXPORT FILE *freopen(const char *path, const char *mode, FILE *stream)
{
	leaves(stream);
	return LIBC(freopen)(path, mode, stream);
}

FSOCK_EXPORT FILE *freopen64(const char *path, const char *mode, FILE *stream)
{
	leaves(stream);
	return LIBC(freopen64)(path, mode, stream);
}

/* A stream reads and writes inside libc, past read() and write(): its socket is the kernel's. */
FSOCK_EXPORT FILE *fdopen(int fd, const char *mode)
{
	FILE *stream = LIBC(fdopen)(fd, mode);

	if (stream && fsock_context)
		lifecycle_stream(context_of(fsock_context, fd), fd);
	return stream;
}

/* Close [first, last] but for ours. 0 or -errno of the first part that failed. */
static int close_around(struct context *ctx, unsigned first, unsigned last, unsigned flags)
{
	unsigned from = first, ours;
	int ret = 0;

	while (ret == 0 && from <= last && context_fd_next_internal(ctx, from, last, &ours)) {
		if (ours > from)
			ret = sys_close_range(from, ours - 1, flags);
		if (ours == last)
			return ret;
		from = ours + 1;
	}
	return ret ? ret : sys_close_range(from, last, flags);
}

static void forget_range(struct context *ctx, unsigned first, unsigned last)
{
	struct context *o;
	int highest = 0, end;

	CONTEXT_EACH(o, ctx)
		highest = FS_MAX(highest, o->fds.highest);
	end = (int)FS_MIN(last, (unsigned)highest);

	for (int fd = (int)FS_MIN(first, (unsigned)INT32_MAX); fd <= end; fd++)
		lifecycle_closing(ctx, fd);
}

FSOCK_EXPORT int close_range(unsigned first, unsigned last, int flags)
{
	struct context *ctx = fsock_context;

	if (!ctx || first > last || context_is_borrowed(ctx))
		return LIBC(close_range)(first, last, flags);
	if (!(flags & ~CLOSE_RANGE_UNSHARE)) /* else nothing is closed */
		forget_range(ctx, first, last);
	return (int)libc_result(close_around(ctx, first, last, (unsigned)flags));
}

FSOCK_EXPORT void closefrom(int first)
{
	if (!fsock_context) {
		LIBC(closefrom)(first);
		return;
	}
	close_range(first < 0 ? 0 : (unsigned)first, UINT32_MAX, 0);
}

/* --- duplicating --- */

static int duplicated(int from, int to)
{
	int saved = errno;

	if (to >= 0 && fsock_context)
		lifecycle_duplicated(fsock_context, from, to);
	errno = saved;
	return to;
}

FSOCK_EXPORT int dup(int fd)
{
	return duplicated(fd, LIBC(dup)(fd));
}

/* Before @to is replaced: ours moves out of the way, the program's socket there ends. */
static void make_room(int from, int to)
{
	struct context *ctx = fsock_context;

	if (!ctx || from == to || context_is_borrowed(ctx) || sys_fcntl(from, F_GETFD, 0) < 0)
		return; /* the kernel will refuse and leave @to alone */
	context_fd_move_internal(ctx, to);
	lifecycle_closing(ctx, to);
}

FSOCK_EXPORT int dup2(int from, int to)
{
	make_room(from, to);
	return from == to ? LIBC(dup2)(from, to) : duplicated(from, LIBC(dup2)(from, to));
}

FSOCK_EXPORT int dup3(int from, int to, int flags)
{
	if (!(flags & ~O_CLOEXEC))
		make_room(from, to);
	return duplicated(from, LIBC(dup3)(from, to, flags));
}

/* The number of a process, be it our own: what it names may be a socket that this process has. */
FSOCK_EXPORT int pidfd_getfd(int pidfd, int number, unsigned flags)
{
	int fd = (int)libc_result(sys_pidfd_getfd(pidfd, number, flags)), saved = errno;

	if (fd >= 0 && fsock_context)
		lifecycle_found(fsock_context, fd);
	errno = saved;
	return fd;
}

/* --- flags --- */

static void set_flags(struct context *ctx, int fd, long flags)
{
	lifecycle_nonblock(ctx, fd, flags & O_NONBLOCK);
	if (flags & O_ASYNC)
		lifecycle_async(context_of(ctx, fd), fd);
}

/* Who is told of what happens to a stream: of urgent data even without O_ASYNC. */
static void set_owner(struct context *ctx, int fd)
{
	ctx = context_of(ctx, fd);
	if (stream_is(ctx, fd))
		lifecycle_async(ctx, fd);
}

static int control(int (*libc_fcntl)(int, int, ...), int fd, int cmd, void *arg)
{
	int ret, nonblock = -1;

	/* A listener's shadow never waits; what the program set is remembered. */
	if ((cmd == F_SETFL || cmd == F_GETFL) && stream_is(context_of(fsock_context, fd), fd))
		nonblock = stream_nonblock(context_of(fsock_context, fd), fd);
	ret = libc_fcntl(fd, cmd, cmd == F_SETFL && nonblock >= 0 ? (void *)((long)arg | O_NONBLOCK) : arg);
	if (ret < 0 || !fsock_context)
		return ret;
	if (cmd == F_GETFL && nonblock == 0)
		return ret & ~O_NONBLOCK;
	if (cmd == F_DUPFD || cmd == F_DUPFD_CLOEXEC)
		return duplicated(fd, ret);
	if (cmd == F_SETFL)
		set_flags(fsock_context, fd, (long)arg);
	if (cmd == F_SETOWN_EX || (cmd == F_SETOWN && arg))
		set_owner(fsock_context, fd);
	return ret;
}

FSOCK_EXPORT int fcntl(int fd, int cmd, ...)
{
	va_list args;
	void *arg;

	va_start(args, cmd);
	arg = va_arg(args, void *); /* whatever was passed: libc does the same */
	va_end(args);
	return control(LIBC(fcntl), fd, cmd, arg);
}

FSOCK_EXPORT int fcntl64(int fd, int cmd, ...)
{
	va_list args;
	void *arg;

	va_start(args, cmd);
	arg = va_arg(args, void *);
	va_end(args);
	return control(LIBC(fcntl64), fd, cmd, arg);
}

static bool asks_for_stamp(unsigned long request)
{
	return request == SIOCGSTAMP_OLD || request == SIOCGSTAMPNS_OLD || request == SIOCGSTAMP_NEW ||
	       request == SIOCGSTAMPNS_NEW;
}

/* After libc's answer @ret, which is the shadow's: the last datagram may have come by the fast path. */
static int last_stamp(struct context *ctx, int fd, unsigned long request, int64_t *to, int ret, int saved)
{
	fs_ns stamp;

	if ((ret < 0 && errno != ENOENT) || !datagram_last_stamp(ctx, fd, &stamp))
		return ret;
	if (!to)
		return (int)libc_result(-EFAULT);
	to[0] = stamp / FS_SEC(1); /* struct timeval or timespec, old or new */
	to[1] = stamp % FS_SEC(1);
	if (request == SIOCGSTAMP_OLD || request == SIOCGSTAMP_NEW)
		to[1] /= FS_US(1);
	errno = saved;
	return 0;
}

/* FIONREAD: of the way that the next receive looks at first. */
static int next_length(struct context *ctx, int fd, int *to)
{
	int length = to ? datagram_next_length(ctx, fd, false) : 0, ret; /* without a place the kernel says EFAULT */

	if (length > 0) {
		*to = length;
		return 0;
	}
	ret = LIBC(ioctl)(fd, FIONREAD, to);
	if (ret == 0 && *to > 0)
		datagram_shadow_told(ctx, fd);
	else if (ret == 0 && (length = datagram_next_length(ctx, fd, true)) > 0)
		*to = length;
	return ret;
}

/* libc asks by an ioctl() of its own. */
FSOCK_EXPORT int sockatmark(int fd)
{
	int ret = stream_ioctl(context_of(fsock_context, fd), fd, SIOCATMARK);

	return ret >= 0 ? ret : LIBC(sockatmark)(fd);
}

static bool asks_of_queue(unsigned long request)
{
	return request == SIOCINQ || request == SIOCOUTQ || request == SIOCOUTQNSD || request == SIOCATMARK;
}

FSOCK_EXPORT int ioctl(int fd, unsigned long request, ...)
{
	struct context *ctx = context_of(fsock_context, fd);
	int saved = errno, ret;
	va_list args;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	if (request == FIONREAD && datagram_sock(ctx, fd))
		return next_length(ctx, fd, arg);
	ret = stream_is(ctx, fd) && asks_of_queue(request) ? stream_ioctl(ctx, fd, request) : CONTEXT_KERNEL;
	if (ret >= 0) {
		if (!arg)
			return (int)libc_result(-EFAULT);
		*(int *)arg = ret;
		return 0;
	}
	ret = LIBC(ioctl)(fd, request, arg);
	if (asks_for_stamp(request) && datagram_sock(ctx, fd))
		return last_stamp(ctx, fd, request, arg, ret, saved);
	if (ret == 0 && request == FIONBIO && ctx)
		lifecycle_nonblock(fsock_context, fd, *(int *)arg != 0);
	if (ret == 0 && request == FIOASYNC && ctx && *(int *)arg)
		lifecycle_async(ctx, fd);
	if (ret == 0 && (request == FIOSETOWN || request == SIOCSPGRP) && *(int *)arg)
		set_owner(fsock_context, fd);
	return ret;
}
