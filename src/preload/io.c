/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * io.c - sending and receiving.
 *
 * Each function turns its arguments into a struct datagram, and makes libc's call with the original
 * ones when the descriptor is not ours or the context says DATAGRAM_KERNEL.
 */
#include <limits.h>
#include <string.h>
#include <time.h>

#include "base/reason.h"
#include "context/datagram.h"
#include "context/lifecycle.h"
#include "context/passed.h"
#include "context/stream.h"
#include "host/clock.h"
#include "preload/leave.h"
#include "preload/libc.h"
#include "sys/sys.h"

enum {
	SENDMMSG_MAX = 1024, /* UIO_MAXIOV: the kernel stops there too; recvmmsg() has no such limit */
	BURST = 32,	     /* datagrams of one call of the context: what lies on the program's stack */
	RWF_OF_SOCKETS = 0x3f, /* RWF_HIPRI .. RWF_NOAPPEND: the kernel refuses the others */
};

static struct context *ours(int fd)
{
	struct context *ctx = context_of(fsock_context, fd);

	return datagram_sock(ctx, fd) || stream_is(ctx, fd) ? ctx : NULL;
}

static ssize_t give(struct context *ctx, int fd, const struct datagram *d)
{
	return stream_is(ctx, fd) ? stream_send(ctx, fd, d) : datagram_send(ctx, fd, d);
}

static ssize_t take(struct context *ctx, int fd, struct datagram *d)
{
	return stream_is(ctx, fd) ? stream_receive(ctx, fd, d) : datagram_receive(ctx, fd, d);
}

/* Of a length beyond any address, in either direction: EINVAL before the socket is looked at, as in the kernel. */
static bool name_too_long(const void *name, socklen_t len)
{
	return name && len > sizeof(struct sockaddr_storage);
}

/* --- sending --- */

/* libc sent it on the shadow. */
static ssize_t sent(struct context *ctx, int fd, ssize_t ret, const struct datagram *d)
{
	if (ret >= 0)
		datagram_sent_by_kernel(ctx, fd, ret, d);
	if (__builtin_expect(d->flags & MSG_FASTOPEN, 0) && (ret >= 0 || errno == EINPROGRESS))
		stream_connected(ctx, fd); /* it was a connect(), too */
	return ret;
}

FSOCK_EXPORT ssize_t sendto(int fd, const void *from, size_t len, int flags, const struct sockaddr *name,
			    socklen_t name_len)
{
	struct context *ctx = ours(fd);
	struct iovec iov = { .iov_base = (void *)from, .iov_len = len };
	struct datagram d = {
		.iov = &iov, .n_iov = 1, .flags = flags, .name = (void *)name, .name_len = name_len
	};
	ssize_t ret;

	if (!ctx)
		return LIBC(sendto)(fd, from, len, flags, name, name_len);
	ret = name_too_long(name, name_len) ? -EINVAL : give(ctx, fd, &d);
	if (ret != DATAGRAM_KERNEL)
		return libc_result(ret);
	return sent(ctx, fd, LIBC(sendto)(fd, from, len, flags, name, name_len), &d);
}

FSOCK_EXPORT ssize_t send(int fd, const void *from, size_t len, int flags)
{
	struct context *ctx = ours(fd);
	struct iovec iov = { .iov_base = (void *)from, .iov_len = len };
	struct datagram d = { .iov = &iov, .n_iov = 1, .flags = flags };
	ssize_t ret;

	if (!ctx)
		return LIBC(send)(fd, from, len, flags);
	ret = give(ctx, fd, &d);
	if (ret != DATAGRAM_KERNEL)
		return libc_result(ret);
	return sent(ctx, fd, LIBC(send)(fd, from, len, flags), &d);
}

FSOCK_EXPORT ssize_t write(int fd, const void *from, size_t len)
{
	struct context *ctx = ours(fd);
	struct iovec iov = { .iov_base = (void *)from, .iov_len = len };
	struct datagram d = { .iov = &iov, .n_iov = 1 };
	ssize_t ret;

	if (!ctx || len > DATAGRAM_NO_BUFFER)
		return LIBC(write)(fd, from, len);
	ret = give(ctx, fd, &d);
	if (ret != DATAGRAM_KERNEL)
		return libc_result(ret);
	return sent(ctx, fd, LIBC(write)(fd, from, len), &d);
}

static bool regular(int n)
{
	return n >= 0 && n <= IOV_MAX;
}

static size_t total(const struct iovec *iov, int n)
{
	size_t sum = 0;

	for (int i = 0; i < n; i++)
		sum += iov[i].iov_len;
	return sum;
}

FSOCK_EXPORT ssize_t writev(int fd, const struct iovec *iov, int n)
{
	struct context *ctx = ours(fd);
	struct datagram d = { .iov = iov, .n_iov = (size_t)n };
	ssize_t ret;

	if (!ctx)
		return LIBC(writev)(fd, iov, n);
	if (!regular(n) || total(iov, n) == 0) /* unlike write(), nothing at all is no datagram */
		return LIBC(writev)(fd, iov, n);
	ret = give(ctx, fd, &d);
	if (ret != DATAGRAM_KERNEL)
		return libc_result(ret);
	return sent(ctx, fd, LIBC(writev)(fd, iov, n), &d);
}

/* Flags of preadv2() and pwritev2() as flags of recv() and send(): the others of those that sockets take
 * mean nothing to them (RWF_HIPRI, RWF_SYNC, RWF_APPEND, ...). */
static int flags_of_rwf(int flags)
{
	return flags & RWF_NOWAIT ? MSG_DONTWAIT : 0;
}

/* Sockets have no position: only "here" is an ordinary read or write. */
static struct context *ours_at(int fd, off_t offset, int flags, const struct iovec *iov, int n)
{
	struct context *ctx = offset == -1 && !(flags & ~RWF_OF_SOCKETS) ? ours(fd) : NULL;

	return ctx && regular(n) && total(iov, n) > 0 ? ctx : NULL;
}

FSOCK_EXPORT ssize_t pwritev2(int fd, const struct iovec *iov, int n, off_t offset, int flags)
{
	struct context *ctx = ours_at(fd, offset, flags, iov, n);
	struct datagram d = { .iov = iov, .n_iov = (size_t)n, .flags = flags_of_rwf(flags) };
	ssize_t ret;

	if (!ctx)
		return LIBC(pwritev2)(fd, iov, n, offset, flags);
	ret = give(ctx, fd, &d);
	if (ret != DATAGRAM_KERNEL)
		return libc_result(ret);
	return sent(ctx, fd, LIBC(pwritev2)(fd, iov, n, offset, flags), &d);
}

/* off64_t is off_t on 64-bit machines; programs built for large files use these names. */
FSOCK_EXPORT ssize_t pwritev64v2(int fd, const struct iovec *iov, int n, off64_t offset, int flags)
	__attribute__((alias("pwritev2")));

/* An error after @done messages: their number counts, and errno is as the program left it. */
static int partial(unsigned done, int saved)
{
	if (done == 0)
		return -1;
	errno = saved;
	return (int)done;
}

static struct datagram datagram_of(const struct msghdr *msg, int flags)
{
	return (struct datagram){
		.iov = msg->msg_iov,
		.n_iov = msg->msg_iovlen,
		.flags = flags,
		.name = msg->msg_name,
		.name_len = msg->msg_namelen,
		.control = msg->msg_control,
		.control_len = msg->msg_controllen,
	};
}

/* Call @what for each descriptor that @msg carries. */
static void on_descriptors(const struct msghdr *msg, void (*what)(int fd))
{
	int saved = errno;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR((struct msghdr *)msg, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || c->cmsg_len < CMSG_LEN(0))
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			what(fd);
		}
	}
	errno = saved;
}

static void give_away(int fd)
{
	passed_send(context_of(fsock_context, fd), fd);
}

static void keep(int fd)
{
	passed_send_failed(context_of(fsock_context, fd), fd);
}

/* Only such a socket takes descriptors. Before @msg is read: it may be a bad pointer, which is the kernel's to find. One
 * that the context knows, too, is one only where it looks after such. */
static bool is_unix(int fd)
{
	int domain = AF_UNSPEC;
	socklen_t len = sizeof(domain);

	return fsock_context && (!context_knows(fsock_context, fd) || context_takes_unix()) &&
	       sys_getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX;
}

/* libc sends it, and the descriptors that it carries change hands. */
static ssize_t send_by_libc(int fd, const struct msghdr *msg, int flags)
{
	ssize_t ret;

	if (!msg || !is_unix(fd) || !msg->msg_controllen)
		return LIBC(sendmsg)(fd, msg, flags);
	on_descriptors(msg, give_away);
	ret = LIBC(sendmsg)(fd, msg, flags);
	if (ret < 0)
		on_descriptors(msg, keep);
	return ret;
}

static ssize_t send_message(struct context *ctx, int fd, const struct msghdr *msg, int flags)
{
	struct datagram d = datagram_of(msg, flags);
	ssize_t ret = msg->msg_iovlen <= IOV_MAX ? give(ctx, fd, &d) : DATAGRAM_KERNEL;

	if (ret != DATAGRAM_KERNEL)
		return libc_result(ret);
	return sent(ctx, fd, send_by_libc(fd, msg, flags), &d);
}

static void received(int fd, bool again)
{
	if (preload_leave_confined()) {
		lifecycle_reused(fsock_context, fd);
		return;
	}
	passed_receive(fsock_context, fd, again);
	preload_leave_opened(fd);
}

static void got(int fd)
{
	received(fd, false);
}

static void peeked(int fd)
{
	received(fd, true);
}

/* libc received @ret bytes as @msg. */
static ssize_t arrived(ssize_t ret, const struct msghdr *msg, int flags)
{
	if (ret >= 0 && fsock_context && msg->msg_controllen >= CMSG_LEN(sizeof(int)))
		on_descriptors(msg, flags & MSG_PEEK ? peeked : got);
	return ret;
}

FSOCK_EXPORT ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	struct context *ctx = ours(fd);

	if (ctx && (flags & DATAGRAM_COMPAT))
		return libc_result(-EINVAL);
	return ctx ? send_message(ctx, fd, msg, flags) : send_by_libc(fd, msg, flags);
}

static ssize_t send_on_shadow(struct context *ctx, int fd, const struct msghdr *msg, int flags)
{
	struct datagram d = datagram_of(msg, flags);

	return sent(ctx, fd, send_by_libc(fd, msg, flags), &d);
}

/* The next few of @n from *@done on, which moves on by what was sent. The last one's result. */
static ssize_t send_burst(struct context *ctx, int fd, struct mmsghdr *vec, unsigned n, int flags,
			  unsigned *done)
{
	struct datagram d[BURST];
	unsigned count = 0, sent_now;
	ssize_t ret;

	if (stream_is(ctx, fd)) {
		d[0] = datagram_of(&vec[*done].msg_hdr, flags);
		ret = stream_send(ctx, fd, &d[0]);
		if (ret < 0)
			return ret;
		vec[(*done)++].msg_len = (unsigned)ret;
		return 0;
	}
	while (count < BURST && *done + count < n) {
		d[count] = datagram_of(&vec[*done + count].msg_hdr, flags);
		count++;
	}
	sent_now = datagram_send_many(ctx, fd, d, count, &ret);
	for (unsigned i = 0; i < sent_now; i++, ++*done)
		vec[*done].msg_len = (unsigned)total(d[i].iov, (int)d[i].n_iov);
	return ret;
}

static int send_many_elsewhere(int fd, struct mmsghdr *vec, unsigned n, int flags)
{
	bool passes = vec && is_unix(fd);
	int sent_now;

	for (unsigned i = 0; passes && i < n; i++)
		if (vec[i].msg_hdr.msg_controllen)
			on_descriptors(&vec[i].msg_hdr, give_away);
	sent_now = LIBC(sendmmsg)(fd, vec, n, flags);
	for (unsigned i = (unsigned)FS_MAX(sent_now, 0); passes && i < n; i++)
		if (vec[i].msg_hdr.msg_controllen)
			on_descriptors(&vec[i].msg_hdr, keep);
	return sent_now;
}

FSOCK_EXPORT int sendmmsg(int fd, struct mmsghdr *vec, unsigned n, int flags)
{
	struct context *ctx = ours(fd);
	int saved = errno;
	unsigned done = 0;

	if (!ctx)
		return send_many_elsewhere(fd, vec, n, flags);
	n = FS_MIN(n, (unsigned)SENDMMSG_MAX);
	while (done < n) {
		ssize_t ret = send_burst(ctx, fd, vec, n, flags, &done);

		if (done == n)
			break;
		if (ret == DATAGRAM_KERNEL)
			ret = send_on_shadow(ctx, fd, &vec[done].msg_hdr, flags);
		else if (ret < 0)
			ret = libc_result(ret);
		else
			continue; /* the burst was full */
		if (ret < 0)
			return partial(done, saved);
		vec[done++].msg_len = (unsigned)ret;
	}
	return (int)done;
}

FSOCK_EXPORT int __sendmmsg(int fd, struct mmsghdr *vec, unsigned n, int flags)
	__attribute__((alias("sendmmsg")));

/* --- receiving --- */

FSOCK_EXPORT ssize_t recvfrom(int fd, void *to, size_t len, int flags, struct sockaddr *name,
			      socklen_t *name_len)
{
	struct context *ctx = ours(fd);
	struct iovec iov = { .iov_base = to, .iov_len = FS_MIN(len, (size_t)RW_MAX) };
	struct datagram d = { .iov = &iov, .n_iov = 1, .flags = flags };
	ssize_t ret;

	if (!ctx)
		return LIBC(recvfrom)(fd, to, len, flags, name, name_len);
	if (name && name_len && (int)*name_len >= 0) {
		d.name = name;
		d.name_len = *name_len;
	}
	ret = take(ctx, fd, &d);
	if (ret == DATAGRAM_KERNEL)
		return LIBC(recvfrom)(fd, to, len, flags, name, name_len);
	if (ret >= 0 && name) {
		if (!name_len)
			return libc_result(-EFAULT); /* as the kernel: after the datagram was taken */
		if ((int)*name_len < 0)
			return libc_result(-EINVAL);
		*name_len = d.name_len;
	}
	return libc_result(ret);
}

FSOCK_EXPORT ssize_t recv(int fd, void *to, size_t len, int flags)
{
	struct context *ctx = ours(fd);
	struct iovec iov = { .iov_base = to, .iov_len = FS_MIN(len, (size_t)RW_MAX) };
	struct datagram d = { .iov = &iov, .n_iov = 1, .flags = flags };
	ssize_t ret;

	if (!ctx)
		return LIBC(recv)(fd, to, len, flags);
	ret = take(ctx, fd, &d);
	return ret == DATAGRAM_KERNEL ? LIBC(recv)(fd, to, len, flags) : libc_result(ret);
}

FSOCK_EXPORT ssize_t read(int fd, void *to, size_t len)
{
	struct context *ctx = ours(fd);
	struct iovec iov = { .iov_base = to, .iov_len = len };
	struct datagram d = { .iov = &iov, .n_iov = 1 };
	ssize_t ret;

	if (!ctx || len == 0 || len > DATAGRAM_NO_BUFFER) /* reading nothing takes no datagram (sock_read_iter()) */
		return LIBC(read)(fd, to, len);
	ret = take(ctx, fd, &d);
	return ret == DATAGRAM_KERNEL ? LIBC(read)(fd, to, len) : libc_result(ret);
}

FSOCK_EXPORT ssize_t readv(int fd, const struct iovec *iov, int n)
{
	struct context *ctx = ours(fd);
	struct datagram d = { .iov = iov, .n_iov = (size_t)n };
	ssize_t ret;

	if (!ctx || !regular(n) || total(iov, n) == 0)
		return LIBC(readv)(fd, iov, n);
	ret = take(ctx, fd, &d);
	return ret == DATAGRAM_KERNEL ? LIBC(readv)(fd, iov, n) : libc_result(ret);
}

FSOCK_EXPORT ssize_t preadv2(int fd, const struct iovec *iov, int n, off_t offset, int flags)
{
	struct context *ctx = ours_at(fd, offset, flags, iov, n);
	struct datagram d = { .iov = iov, .n_iov = (size_t)n, .flags = flags_of_rwf(flags) };
	ssize_t ret;

	if (!ctx)
		return LIBC(preadv2)(fd, iov, n, offset, flags);
	ret = take(ctx, fd, &d);
	return ret == DATAGRAM_KERNEL ? LIBC(preadv2)(fd, iov, n, offset, flags) : libc_result(ret);
}

FSOCK_EXPORT ssize_t preadv64v2(int fd, const struct iovec *iov, int n, off64_t offset, int flags)
	__attribute__((alias("preadv2")));

static ssize_t receive_message(struct context *ctx, int fd, struct msghdr *msg, int flags)
{
	struct datagram d = {
		.iov = msg->msg_iov,
		.n_iov = msg->msg_iovlen,
		.flags = flags,
		.name = msg->msg_name,
		.name_len = msg->msg_namelen,
		.control = msg->msg_control,
		.control_len = msg->msg_controllen,
	};
	ssize_t ret = DATAGRAM_KERNEL;

	if (flags & DATAGRAM_COMPAT)
		return libc_result(-EINVAL);
	if ((int)msg->msg_namelen >= 0 || !msg->msg_name)
		ret = take(ctx, fd, &d);
	if (ret == DATAGRAM_KERNEL)
		return arrived(LIBC(recvmsg)(fd, msg, flags), msg, flags);
	if (ret < 0)
		return libc_result(ret);
	if (msg->msg_name)
		msg->msg_namelen = d.name_len;
	msg->msg_controllen = d.control_len;
	msg->msg_flags = d.msg_flags;
	return ret;
}

FSOCK_EXPORT ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
	struct context *ctx = ours(fd);

	return ctx ? receive_message(ctx, fd, msg, flags) : arrived(LIBC(recvmsg)(fd, msg, flags), msg, flags);
}

/* One call's time limit: absolute end, or never. */
static fs_ns end_of(const struct timespec *limit)
{
	return limit ? host_clock_kernel() + fs_span(limit->tv_sec, limit->tv_nsec) : FS_NEVER;
}

static void put_rest(struct timespec *limit, fs_ns end)
{
	fs_ns left = fs_left(end, host_clock_kernel());

	limit->tv_sec = left / FS_SEC(1);
	limit->tv_nsec = left % FS_SEC(1);
}

static int take_error(int fd)
{
	int error = 0;
	socklen_t len = sizeof(error);

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 ? errno : error;
}

static int arrived_many(int n, const struct mmsghdr *vec, int flags)
{
	for (int i = 0; i < n; i++)
		arrived(0, &vec[i].msg_hdr, flags);
	return n;
}

FSOCK_EXPORT int recvmmsg(int fd, struct mmsghdr *vec, unsigned n, int flags, struct timespec *limit)
{
	struct context *ctx = ours(fd);
	int saved = errno;
	unsigned done = 0;
	fs_ns end;

	if (!ctx)
		return arrived_many(LIBC(recvmmsg)(fd, vec, n, flags, limit), vec, flags);
	if (limit && (limit->tv_sec < 0 || limit->tv_nsec < 0 || limit->tv_nsec >= FS_SEC(1)))
		return (int)libc_result(-EINVAL);
	if (n == 0) /* an error that waits is said all the same */
		return flags & MSG_ERRQUEUE ? 0 : (int)libc_result(-take_error(fd));
	end = end_of(limit);
	for (; done < n; done++) {
		ssize_t ret = receive_message(ctx, fd, &vec[done].msg_hdr, flags & ~MSG_WAITFORONE);

		if (ret < 0)
			return partial(done, saved);
		vec[done].msg_len = (unsigned)ret;
		if (flags & MSG_WAITFORONE)
			flags |= MSG_DONTWAIT;
		/* Looked at only after a datagram, as the kernel does (recvmmsg(2), BUGS). */
		if (limit) {
			put_rest(limit, end);
			if (limit->tv_sec == 0 && limit->tv_nsec == 0)
				return (int)done + 1;
		}
	}
	return (int)done;
}

/* --- what _FORTIFY_SOURCE makes of them --- */

FSOCK_EXPORT ssize_t __read_chk(int fd, void *to, size_t len, size_t room)
{
	return len > room || !ours(fd) ? LIBC(__read_chk)(fd, to, len, room) : read(fd, to, len);
}

FSOCK_EXPORT ssize_t __recv_chk(int fd, void *to, size_t len, size_t room, int flags)
{
	return len > room || !ours(fd) ? LIBC(__recv_chk)(fd, to, len, room, flags)
				       : recv(fd, to, len, flags);
}

FSOCK_EXPORT ssize_t __recvfrom_chk(int fd, void *to, size_t len, size_t room, int flags,
				    struct sockaddr *name, socklen_t *name_len)
{
	return len > room || !ours(fd) ? LIBC(__recvfrom_chk)(fd, to, len, room, flags, name, name_len)
				       : recvfrom(fd, to, len, flags, name, name_len);
}
