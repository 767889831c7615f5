/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stream_rest.c - the rest of a blocking call in whose middle its connection became the kernel's.
 *
 * A program that sends on a blocking socket, or asks for all of its bytes, may take it that all went or came: few look at
 * what such a call returns. So it goes on by the kernel's socket, as far as the kernel's own call would have gone. It
 * names that socket by a number of its own: another thread may close the program's, and reuse it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "context/stay.h"
#include "context/stream_internal.h"
#include "sys/sys.h"

enum { LOWEST = 3 /* of the call's number, where the limit leaves none higher up */ };

static int number_for(const struct context *ctx, int fd)
{
	long own = sys_fcntl(fd, F_DUPFD_CLOEXEC, ctx->fd_floor);

	return (int)(own < 0 ? sys_fcntl(fd, F_DUPFD_CLOEXEC, LOWEST) : own);
}

/* Does the kernel's socket carry on what @r waited for, as its call wants it? */
static bool goes_on(const struct stream_rest *r, const struct sock *s)
{
	/* Descriptors come with the bytes of Unix sockets, and a call without copies is reported as one. */
	bool plain = !(s->stream.is_unix && r->d->control) && !(r->d->flags & MSG_ZEROCOPY);

	return s == r->b->stay->on[0].sock && s->way == SOCK_KERNEL && plain && context_names(r->fd, s);
}

/* A number of the call's own for the kernel's socket, which goes with it; or -1. */
static int name_it(struct stream_rest *r)
{
	struct stay *stay = r->b->stay;
	struct sock *s;
	int own = -1;

	if (fs_load_relaxed(&r->ctx->confined)) /* what follows might be its death */
		return -1;
	s = stream_enter(r->ctx, r->fd);
	if (!s)
		return -1;
	if (goes_on(r, s))
		own = number_for(r->ctx, r->fd);
	if (own > 0)
		stay->number = own;
	context_leave(r->ctx);
	return own;
}

/* An error of the connection that ends what has moved bytes is the next call's. */
static void leave_error(const struct stream_rest *r, ssize_t error)
{
	struct sock *s;

	if (error != -ECONNRESET && error != -ETIMEDOUT && error != -EHOSTUNREACH && error != -ENETUNREACH)
		return;
	s = stream_enter(r->ctx, r->fd);
	if (!s)
		return;
	if (s == r->b->stay->on[0].sock)
		s->stream.error = (int)-error;
	context_leave(r->ctx);
}

/* One try at what is left. */
static ssize_t step(const struct stream_rest *r, int own)
{
	const struct iovec *iov;
	struct iovec part;
	int n = stream_rest_of(r->d, r->done, &part, &iov);
	struct msghdr message = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n };
	int flags = (r->d->flags & ~MSG_WAITALL) | MSG_DONTWAIT;

	if (r->events == POLLOUT)
		return sys_sendmsg(own, &message, flags | MSG_NOSIGNAL);
	return sys_recvmsg(own, &message, flags);
}

static bool is_at_mark(int own)
{
	int at = 0;

	return sys_ioctl(own, SIOCATMARK, &at) == 0 && at;
}

static void go_on(struct stream_rest *r, int own)
{
	while (r->done < r->target) {
		struct pollfd fds[1 + BLOCKER_SPARE] = { { .fd = own, .events = r->events } };
		ssize_t n = step(r, own);

		stream_note_part(r->b, r->done != 0);
		if (n == -EAGAIN && stream_pause(r->ctx, r->fd, r->b, r->limit, fds, 1) == 0)
			continue;
		leave_error(r, n);
		if (n <= 0)
			break;
		r->done += (size_t)n;
		if (r->events == POLLIN && is_at_mark(own))
			break;
	}
}

size_t stream_rest(struct stream_rest *r)
{
	int own = name_it(r);

	if (own < 0)
		return r->done;
	go_on(r, own);
	if (r->events == POLLIN && sys_ioctl(own, FIONREAD, &r->left) < 0)
		r->left = 0;
	return r->done;
}
