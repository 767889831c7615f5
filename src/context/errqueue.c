/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * errqueue.c - see errqueue.h. What a message looks like: ip_recv_error(), ipv6_recv_error().
 *
 * The stamp of a datagram is the driver's where the provider can have that told (a packet socket beside the
 * ring: slower, but who asks for stamps wants them good; just before the system call would be some
 * microseconds early, dozens in a process that rarely runs). Elsewhere it is taken just before the frame is
 * handed to the kernel: later it could be later than its arrival at a receiver on the same machine.
 */
#include "context/errqueue.h"

#include <errno.h>
#include <limits.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <string.h>

#include "context/control.h"
#include "context/stamp.h"
#include "socket/epoll.h"
#include "sys/sys.h"

enum {
	CHARGE = 512, /* of a message beyond its bytes, as UDP_CHARGE_OVERHEAD */
	ETH_LEN = 14,
	V4_TOS = 1,
	V4_TTL = 8,
	V6_HOP_LIMIT = 7,
};

/* --- sending --- */

/* @frame as a message of the error queue, or NULL: no room. */
static struct fbuf *copy(struct context *ctx, const struct sock *s, const struct fbuf *frame)
{
	bool only_stamp = s->stamps.flags & STAMP_OPT_TSONLY;
	uint32_t charge = CHARGE + (only_stamp ? 0 : frame->total);
	struct fbuf_pool *pool = &ctx->stack->payload;
	struct fbuf *e;

	if (s->pcb.charged + s->errors_charged + charge >= s->pcb.limit)
		return NULL;
	if (pool->n_free < STACK_PAYLOAD_LOW + udp_payload_reserve(&ctx->stack->udp))
		context_payload_reserve(ctx);
	if (pool->n_free <= udp_payload_reserve(&ctx->stack->udp))
		return NULL; /* kept for those that receive */
	e = only_stamp ? fbuf_alloc(pool) : fbuf_clone_into(frame, pool);
	if (!e)
		return NULL;
	e->charge = charge;
	e->port = frame->port;
	return e;
}

/* Addresses and header fields of what was sent, for control messages that tell of them. */
static void describe(const struct context *ctx, struct fbuf *e, const struct fbuf *frame)
{
	const uint8_t *ip = frame->data + ETH_LEN;
	bool v6 = ip[0] >> 4 == 6;

	e->ifindex = ctx->stack->ip.port[frame->port].ifindex;
	if (v6) {
		memcpy(e->src.b, ip + 8, 16);
		memcpy(e->dst.b, ip + 24, 16);
		e->ttl = ip[V6_HOP_LIMIT];
		e->tos = (uint8_t)(ip[0] << 4 | ip[1] >> 4);
		return;
	}
	e->src = ip_addr_v4(ip + 12);
	e->dst = ip_addr_v4(ip + 16);
	e->ttl = ip[V4_TTL];
	e->tos = ip[V4_TOS];
}

static struct fbuf *add(struct context *ctx, struct sock *s, const struct fbuf *frame, int type,
			uint32_t number)
{
	struct fbuf *e = copy(ctx, s, frame);

	if (!e)
		return NULL;
	if (!(s->stamps.flags & STAMP_OPT_TSONLY))
		describe(ctx, e, frame);
	e->l3_offset = (uint8_t)type;
	e->drops = number;
	e->stamp = 0;
	s->errors_charged += e->charge;
	fbuf_queue_push(&s->errors, e);
	return e;
}

void errqueue_sent(struct context *ctx, struct sock *s, const struct fbuf *frame, uint32_t flags)
{
	uint32_t number;
	struct fbuf *e;

	if (!ctx->stamping.any) {
		ctx->stamping.any = true;
		ctx->stamping.frames = s->errors.frames;
		ctx->stamping.number = s->stamps.number;
	}
	number = stamps_number(&s->stamps, flags);
	if (flags & STAMP_TX_SCHED) {
		e = add(ctx, s, frame, SCM_TSTAMP_SCHED, number);
		if (e)
			e->stamp = host_clock_wall();
	}
	if (flags & STAMP_TX_SOFTWARE) {
		e = add(ctx, s, frame, SCM_TSTAMP_SND, number);
		if (e && !ctx->stamping.first)
			ctx->stamping.first = e;
	}
	if (!s->errors.head)
		return;
	ctx->to_ring |= s->sleepers.slots;
	if (!list_is_empty(&s->items))
		ctx->to_ring |= epoll_sock_error(s);
}

void errqueue_send(struct context *ctx, unsigned port)
{
	struct provider_handle *h = &ctx->handle[port];
	struct fbuf_queue *out = &ctx->stack->ip.port[port].out;
	struct fbuf *frame;
	fs_ns stamp;

	if (!h->ops->transmit_stamped || out->frames != 1)
		return;
	stamp = host_clock_wall();
	frame = fbuf_queue_pop(out);
	if (h->ops->transmit_stamped(h, frame, &stamp) < 0) {
		fbuf_queue_push(out, frame);
		return;
	}
	for (struct fbuf *e = ctx->stamping.first; e; e = e->link)
		if (e->stamp == 0)
			e->stamp = stamp;
	ctx->stamping.first = NULL;
}

void errqueue_leaves(struct context *ctx, fs_ns *stamp)
{
	fs_ns now = ctx->stamping.first || stamp ? host_clock_wall() : 0;

	for (struct fbuf *e = ctx->stamping.first; e; e = e->link)
		if (e->stamp == 0)
			e->stamp = now;
	ctx->stamping.first = NULL;
	if (stamp)
		*stamp = now;
}

void errqueue_undo(struct context *ctx, struct sock *s)
{
	struct fbuf_queue before = { 0 };

	if (!ctx->stamping.any)
		return;
	ctx->stamping.any = false;
	while (before.frames < ctx->stamping.frames)
		fbuf_queue_push(&before, fbuf_queue_pop(&s->errors));
	for (const struct fbuf *e = s->errors.head; e; e = e->link)
		s->errors_charged -= e->charge;
	fbuf_queue_free(&s->errors);
	s->errors = before;
	s->stamps.number = ctx->stamping.number;
}

/* --- receiving --- */

struct message_v4 {
	struct sock_extended_err ee;
	struct sockaddr_in offender;
};

struct message_v6 {
	struct sock_extended_err ee;
	struct sockaddr_in6 offender;
};

/* The kernel tells what it would of a received datagram, if the message has a frame to tell of; an
 * IPv4 socket must ask for that. */
static void put_error_v4(struct sock *s, const struct fbuf *e, struct message_v4 *m, struct control_writer *w)
{
	if (e->ifindex && (s->stamps.flags & STAMP_OPT_CMSG)) {
		m->offender.sin_family = AF_INET;
		memcpy(&m->offender.sin_addr, e->src.b + 12, 4);
		control_put_network(s, e, &e->src, w);
	}
	control_write(w, IPPROTO_IP, IP_RECVERR, m, sizeof(*m));
}

static void put_error_v6(struct sock *s, const struct fbuf *e, struct message_v6 *m, struct control_writer *w)
{
	if (e->ifindex) {
		m->offender.sin6_family = AF_INET6;
		memcpy(&m->offender.sin6_addr, e->src.b, 16);
		if (ip_addr_is_link_local(&e->src) && !ip_addr_is_v4(&e->src))
			m->offender.sin6_scope_id = e->ifindex;
		control_put_network(s, e, &e->src, w);
	}
	control_write(w, IPPROTO_IPV6, IPV6_RECVERR, m, sizeof(*m));
}

static ssize_t take(struct sock *s, struct datagram *d)
{
	struct control_writer w = { .at = d->control, .room = d->control_len };
	struct fbuf *e = fbuf_queue_pop(&s->errors);
	struct sock_extended_err ee = {
		.ee_errno = ENOMSG,
		.ee_origin = SO_EE_ORIGIN_TIMESTAMPING,
		.ee_info = e->l3_offset,
		.ee_data = e->drops,
	};
	uint32_t done = 0;

	s->errors_charged -= e->charge;
	for (size_t i = 0; i < d->n_iov && done < e->total; i++)
		done += fbuf_copy_out(e, done, d->iov[i].iov_base,
				      (uint32_t)FS_MIN(d->iov[i].iov_len, (size_t)e->total));
	d->msg_flags = MSG_ERRQUEUE | (done < e->total ? MSG_TRUNC : 0) | (d->flags & MSG_CMSG_CLOEXEC);
	stamp_put(s, e, true, &w);
	if (s->pcb.flags & UDP_PCB_V6)
		put_error_v6(s, e, &(struct message_v6){ .ee = ee }, &w);
	else
		put_error_v4(s, e, &(struct message_v4){ .ee = ee }, &w);
	d->name_len = 0;
	d->control_len -= w.room;
	d->msg_flags |= w.flags;
	fbuf_free(e);
	return done;
}

/* The shadow's numbers become the program's. */
static void translate(const struct sock *s, struct datagram *d)
{
	struct sock_extended_err ee;
	uint8_t *data;
	size_t at = 0;

	while ((data = control_next_error(d, &at, sizeof(ee))) != NULL) {
		memcpy(&ee, data, sizeof(ee));
		if (ee.ee_origin != SO_EE_ORIGIN_TIMESTAMPING)
			continue;
		ee.ee_data = stamps_translate(&s->stamps, ee.ee_data);
		memcpy(data, &ee, sizeof(ee));
	}
}

static ssize_t take_shadows(struct context *ctx, int fd, struct datagram *d)
{
	ssize_t n = datagram_read_shadow(fd, d);
	struct sock *s;

	if (n == -ENOTSOCK || n == -EBADF)
		return DATAGRAM_KERNEL; /* the number means something else by now */
	if (n < 0)
		return n;
	s = context_enter(ctx, fd);
	if (s) {
		if (s->stamps.flags & STAMP_OPT_ID)
			translate(s, d);
		context_leave(ctx);
	}
	return n;
}

ssize_t errqueue_receive(struct context *ctx, int fd, struct datagram *d)
{
	struct sock *s = d->n_iov <= IOV_MAX ? context_enter(ctx, fd) : NULL;
	ssize_t n = 0;

	if (!s)
		return DATAGRAM_KERNEL;
	if (s->errors.head)
		n = take(s, d);
	else
		s = NULL;
	context_leave(ctx);
	return s ? n : take_shadows(ctx, fd, d);
}

void errqueue_purge(struct sock *s)
{
	fbuf_queue_free(&s->errors);
	s->errors_charged = 0;
}
