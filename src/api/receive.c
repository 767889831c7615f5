/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * receive.c - receiving: copied, in place, in batches.
 *
 * The loop over both sources and the waiting are context/take.h's. Here is what becomes of a datagram:
 * from the stack's queue it is copied or lent as the frame it is; from the shadow it is read into the
 * program's buffer, or into one of ours that is lent.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "api/api_internal.h"
#include "api/host.h"
#include "api/table.h"
#include "context/internal.h"
#include "context/take.h"
#include "sys/sys.h"

enum { CONTROL_BYTES = 256 };

struct receive {
	struct take take;
	struct fsock_channel *ch;
	/* Copied: */
	void *buf;
	size_t len;
	struct fsock_rxinfo *info; /* NULL = not wanted */
	ssize_t copied;		   /* out: bytes */
	/* In place: */
	struct fsock_datagram *datagrams;
	unsigned n;
};

/* --- from the stack --- */

static void put_addr(union fsock_addr *to, bool v6, const struct ip_addr *addr, uint16_t port,
		     uint32_t ifindex)
{
	if (v6) {
		to->in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons(port) };
		memcpy(&to->in6.sin6_addr, addr->b, 16);
		if (!ip_addr_is_v4(addr) && ip_addr_is_link_local(addr))
			to->in6.sin6_scope_id = ifindex;
	} else {
		to->in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port) };
		memcpy(&to->in.sin_addr, addr->b + 12, 4);
	}
}

static void describe(const struct receive *r, const struct fbuf *f, struct fsock_rxinfo *info)
{
	bool v6 = r->ch->v6;

	info->valid = FSOCK_RXINFO_SOURCE | FSOCK_RXINFO_DESTINATION | FSOCK_RXINFO_INTERFACE |
		      FSOCK_RXINFO_VLAN;
	info->flags = 0;
	put_addr(&info->source, v6, &f->src, f->src_port, f->ifindex);
	put_addr(&info->destination, v6, &f->dst, f->dst_port, f->ifindex);
	if (fs_load_relaxed(&r->ch->stamps)) {
		info->valid |= FSOCK_RXINFO_SOFTWARE;
		/* One that came before they were asked for has none: as the kernel does, the time now. */
		info->software = (uint64_t)(f->stamp ? f->stamp : host_clock_wall());
	}
	if (f->device_stamp) {
		info->valid |= FSOCK_RXINFO_HARDWARE;
		info->hardware = (uint64_t)f->device_stamp;
	}
	info->interface = f->ifindex;
	info->vlan = f->vlan;
	info->parts = 0;
	info->length = f->total;
	info->held = 0;
}

/* take.take: one datagram, copied. */
static int copy_frame(struct take *t, struct sock *s)
{
	struct receive *r = FS_CONTAINER_OF(t, struct receive, take);
	struct fbuf *frame = t->peek ? s->pcb.queue.head : take_one(s);

	r->copied = fbuf_copy_out(frame, 0, r->buf, (uint32_t)FS_MIN(r->len, (size_t)UINT32_MAX));
	if (r->info) {
		describe(r, frame, r->info);
		if (r->copied < frame->total)
			r->info->flags |= FSOCK_RX_TRUNCATED;
	}
	if (!t->peek)
		fbuf_free(frame);
	return 1;
}

/* Point @d to the frame's parts. False: there are more than a caller expects. */
static bool point_to(struct fsock_datagram *d, const struct fbuf *frame)
{
	unsigned n = 0;

	for (const struct fbuf *part = frame; part; part = part->next) {
		if (part->len == 0 && part != frame)
			continue;
		if (n == FSOCK_PARTS_MAX)
			return false;
		d->part[n++] = (struct iovec){ .iov_base = part->data, .iov_len = part->len };
	}
	d->info.parts = (uint16_t)n;
	return true;
}

static void point_to_buffer(struct fsock_channel *ch, struct fsock_datagram *d, struct api_buffer *buffer)
{
	d->part[0] = (struct iovec){ .iov_base = buffer->data, .iov_len = d->info.length };
	d->info.parts = 1;
	d->info.held = (uintptr_t)buffer | API_HELD_BUFFER;
	api_buffer_lend(ch, buffer);
}

/* A frame in many pieces, joined in a buffer. 0 or -ENOMEM: it stays in the queue. */
static int join_parts(const struct receive *r, struct sock *s, struct fsock_datagram *d)
{
	struct api_buffer *buffer = api_buffer_get(r->ch);
	struct fbuf *frame;

	if (!buffer)
		return -ENOMEM;
	frame = take_one(s);
	fbuf_copy_out(frame, 0, buffer->data, sizeof(buffer->data));
	fbuf_free(frame);
	point_to_buffer(r->ch, d, buffer);
	return 0;
}

/*
 * A run of datagrams at the queue's front, lent: described where they stand, then moved all at once. It ends
 * at one of many pieces.
 */
static unsigned lend_run(const struct receive *r, struct sock *s, unsigned from, unsigned to)
{
	struct fbuf *last = NULL;
	uint64_t bytes = 0;
	unsigned n = from;

	for (struct fbuf *frame = s->pcb.queue.head; frame && n < to; frame = frame->link, n++) {
		struct fsock_datagram *d = &r->datagrams[n];

		describe(r, frame, &d->info);
		if (!point_to(d, frame))
			break;
		d->info.held = (uintptr_t)frame;
		bytes += frame->total;
		last = frame;
	}
	if (last)
		take_hold(r->take.ctx, s, last, n - from, bytes);
	return n;
}

/* How many more the channel may hold. */
static unsigned may_lend(const struct receive *r, const struct sock *s)
{
	unsigned lent = s->held.frames + fs_load_relaxed(&r->ch->n_lent);

	return lent < r->ch->hold_max ? r->ch->hold_max - lent : 0;
}

/* take.take: up to r->n datagrams, lent. */
static int lend_frames(struct take *t, struct sock *s)
{
	struct receive *r = FS_CONTAINER_OF(t, struct receive, take);
	int ret = take_may_hold(t->ctx, s);
	unsigned done = 0;

	while (ret == 0 && done < r->n && s->pcb.queue.head) {
		unsigned may = may_lend(r, s), before = done;

		if (may == 0) {
			ret = -ENOBUFS;
			break;
		}
		done = lend_run(r, s, done, FS_MIN(r->n, done + may));
		if (done == before) {
			ret = join_parts(r, s, &r->datagrams[done]);
			done += ret == 0;
		}
	}
	return done ? (int)done : ret;
}

/* --- from the shadow --- */

static void read_control(const struct fsock_channel *ch, struct msghdr *msg, struct fsock_rxinfo *info)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		const void *data = CMSG_DATA(c);

		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
			const struct timespec *ts = data;

			info->valid |= FSOCK_RXINFO_SOFTWARE;
			info->software = (uint64_t)(FS_SEC(ts->tv_sec) + ts->tv_nsec);
		} else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO && !ch->v6) {
			const struct in_pktinfo *pi = data;

			info->valid |= FSOCK_RXINFO_DESTINATION | FSOCK_RXINFO_INTERFACE;
			info->destination.in = (struct sockaddr_in){
				.sin_family = AF_INET, .sin_port = htons(ch->port), .sin_addr = pi->ipi_addr };
			info->interface = (uint32_t)pi->ipi_ifindex;
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			const struct in6_pktinfo *pi = data;

			info->valid |= FSOCK_RXINFO_DESTINATION | FSOCK_RXINFO_INTERFACE;
			info->destination.in6 = (struct sockaddr_in6){
				.sin6_family = AF_INET6, .sin6_port = htons(ch->port), .sin6_addr = pi->ipi6_addr };
			info->interface = pi->ipi6_ifindex;
		}
	}
}

/* One datagram from the shadow to @buf. Bytes copied or -errno. */
static ssize_t read_shadow(struct receive *r, void *buf, size_t len, struct fsock_rxinfo *info)
{
	union {
		struct cmsghdr align;
		char bytes[CONTROL_BYTES];
	} control;
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	struct msghdr msg = {
		.msg_name = &info->source,
		.msg_namelen = sizeof(info->source),
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n = sys_recvmsg(r->ch->fd, &msg, MSG_DONTWAIT | MSG_TRUNC | (r->take.peek ? MSG_PEEK : 0));

	if (n < 0)
		return n;
	info->valid = msg.msg_namelen ? FSOCK_RXINFO_SOURCE : 0;
	info->flags = FSOCK_RX_KERNEL | ((size_t)n > len ? FSOCK_RX_TRUNCATED : 0);
	info->parts = 0;
	info->length = (uint32_t)n;
	info->held = 0;
	read_control(r->ch, &msg, info);
	r->take.bytes += (uint64_t)n;
	return FS_MIN(n, (ssize_t)len);
}

/* take.take_kernel: one datagram, copied. */
static int copy_from_shadow(struct take *t)
{
	struct receive *r = FS_CONTAINER_OF(t, struct receive, take);
	struct fsock_rxinfo unwanted;
	ssize_t n = read_shadow(r, r->buf, r->len, r->info ? r->info : &unwanted);

	r->copied = n;
	return n < 0 ? (int)n : 1;
}

static int lend_from_shadow(struct receive *r, struct fsock_datagram *d)
{
	struct api_buffer *buffer = api_buffer_get(r->ch);
	ssize_t n;

	if (!buffer)
		return -ENOMEM;
	n = read_shadow(r, buffer->data, sizeof(buffer->data), &d->info);
	if (n < 0) {
		api_buffer_put(r->ch, buffer);
		return (int)n;
	}
	point_to_buffer(r->ch, d, buffer);
	return 0;
}

/* take.take_kernel: up to r->n datagrams, lent. */
static int lend_all_from_shadow(struct take *t)
{
	struct receive *r = FS_CONTAINER_OF(t, struct receive, take);
	unsigned done = 0;
	int ret = 0;

	while (ret == 0 && done < r->n) {
		if (fs_load_relaxed(&r->ch->n_lent) >= r->ch->hold_max)
			ret = -ENOBUFS;
		else
			ret = lend_from_shadow(r, &r->datagrams[done]);
		done += ret == 0;
	}
	return done ? (int)done : ret;
}

/* --- one call --- */

/* Without a context, or after it let go of the socket. */
static int run_on_kernel(struct receive *r)
{
	fs_ns deadline = r->take.wait > 0 ? host_clock_kernel() + r->take.wait : 0;
	struct pollfd fd = { .fd = r->ch->fd, .events = POLLIN };

	for (;;) {
		struct timespec limit = { 0 };
		fs_ns left = deadline ? deadline - host_clock_kernel() : 0;
		int n = r->take.take_kernel(&r->take);

		if (n != -EAGAIN || r->take.wait == 0)
			return n;
		if (deadline && left <= 0)
			return -ETIMEDOUT;
		limit = (struct timespec){ .tv_sec = left / FS_SEC(1), .tv_nsec = left % FS_SEC(1) };
		if (api_host_ppoll(&fd, 1, deadline ? &limit : NULL, NULL) < 0 && errno == EINTR)
			return -EINTR;
	}
}

static int run(struct receive *r, unsigned flags)
{
	int saved = errno, n = CONTEXT_KERNEL;

	r->take.ctx = r->ch->ctx;
	r->take.fd = r->ch->fd;
	r->take.wait = FS_MIN(fs_load_relaxed(&r->ch->rx_timeout), FS_SPAN_MAX);
	if (flags & FSOCK_RECV_NONBLOCK)
		r->take.wait = 0;
	r->take.peek = flags & FSOCK_RECV_PEEK;
	if (r->ch->ctx)
		n = take_run(&r->take);
	if (n == CONTEXT_KERNEL)
		n = run_on_kernel(r);
	errno = saved;
	return n;
}

int api_recv_batch(struct fsock_channel *ch, unsigned flags, struct fsock_datagram *datagrams, unsigned n)
{
	struct receive r = {
		.take = { .take = lend_frames, .take_kernel = lend_all_from_shadow },
		.ch = ch,
		.datagrams = datagrams,
		.n = FS_MIN(n, (unsigned)INT_MAX),
	};

	if (!ch || !datagrams || n == 0 || (flags & ~(unsigned)FSOCK_RECV_NONBLOCK))
		return -EINVAL;
	return ch->kind == API_DATAGRAM ? run(&r, flags) : api_stream_recv_batch(ch, flags, datagrams, r.n);
}

static ssize_t recv_in_place(struct fsock_channel *ch, unsigned flags, struct iovec *parts,
			     struct fsock_rxinfo *info)
{
	struct fsock_datagram d;
	int n = api_recv_batch(ch, flags, &d, 1);

	if (n < 0)
		return n;
	memcpy(parts, d.part, sizeof(d.part));
	*info = d.info;
	return d.info.length;
}

ssize_t api_recv(struct fsock_channel *ch, unsigned flags, void *buf, size_t len, struct fsock_rxinfo *info)
{
	struct receive r = {
		.take = { .take = copy_frame, .take_kernel = copy_from_shadow },
		.ch = ch,
		.buf = buf,
		.len = len,
		.info = info,
	};
	int n;

	if (!ch || (!buf && len) ||
	    (flags & ~(unsigned)(FSOCK_RECV_NONBLOCK | FSOCK_RECV_PEEK | FSOCK_RECV_INPLACE)))
		return -EINVAL;
	if (flags & FSOCK_RECV_INPLACE) {
		if (!info || len < FSOCK_PARTS_MAX * sizeof(struct iovec) || (flags & FSOCK_RECV_PEEK))
			return -EINVAL;
	}
	if (ch->kind != API_DATAGRAM)
		return api_stream_recv(ch, flags, buf, len, info);
	if (flags & FSOCK_RECV_INPLACE)
		return recv_in_place(ch, flags & ~(unsigned)FSOCK_RECV_INPLACE, buf, info);
	n = run(&r, flags);
	return n < 0 ? n : r.copied;
}

/* --- giving back --- */

/* @s: the channel's socket, locked; NULL = it has none. */
static int release_one(struct fsock_channel *ch, struct sock *s, struct fsock_rxinfo *info)
{
	uint64_t held = info->held;

	info->held = 0;
	if (held == 0)
		return 0;
	if (held & API_HELD_BUFFER)
		return api_buffer_return(ch, (void *)(uintptr_t)(held & ~(uint64_t)API_HELD_BUFFER));
	if (s)
		return take_release(ch->ctx, s, (void *)(uintptr_t)held);
	/* A socket keeps what it lent, unless the stack broke: then its memory serves nobody any more. */
	return ch->ctx && fs_load_relaxed(&ch->ctx->stack->broken) ? 0 : -EINVAL;
}

int api_release(struct fsock_channel *ch, struct fsock_rxinfo *info)
{
	struct sock *s;
	int ret;

	if (!ch || !info)
		return -EINVAL;
	if (ch->kind != API_DATAGRAM)
		return api_stream_release(ch, info);
	s = ch->ctx ? context_enter(ch->ctx, ch->fd) : NULL;
	ret = release_one(ch, s, info);
	if (s)
		context_leave(ch->ctx);
	return ret;
}

static int release_each(struct fsock_channel *ch, struct fsock_datagram *datagrams, unsigned n)
{
	int ret = 0;

	for (unsigned i = 0; i < n; i++)
		if (api_stream_release(ch, &datagrams[i].info) < 0)
			ret = -EINVAL;
	return ret;
}

int api_release_batch(struct fsock_channel *ch, struct fsock_datagram *datagrams, unsigned n)
{
	struct sock *s;
	int ret = 0;

	if (!ch || (!datagrams && n))
		return -EINVAL;
	if (ch->kind != API_DATAGRAM)
		return release_each(ch, datagrams, n);
	s = ch->ctx ? context_enter(ch->ctx, ch->fd) : NULL;
	for (unsigned i = 0; i < n; i++)
		if (release_one(ch, s, &datagrams[i].info) < 0)
			ret = -EINVAL;
	if (s)
		context_leave(ch->ctx);
	return ret;
}
