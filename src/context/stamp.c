/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stamp.c - see stamp.h.
 *
 * Providers whose frames pass a program of ours, or the kernel's own stamping, know when a frame arrived
 * however long the reader slept; they stamp in CLOCK_MONOTONIC, as programs in the kernel can. For others
 * the time is that of the burst.
 */
#include "context/stamp.h"

#include <netinet/in.h>

#include "context/sister_internal.h"
#include "socket/opts.h"

#define WALL_FRESH FS_MS(100) /* how soon a clock that was set is noticed */

enum {
	CMSG_TIMESTAMP_OLD = 29, /* as the options of these names (asm-generic/socket.h) */
	CMSG_TIMESTAMP_NEW = 63,
	CMSG_TIMESTAMPNS_OLD = 35,
	CMSG_TIMESTAMPNS_NEW = 64,
	CMSG_TIMESTAMPING_OLD = 37,
	CMSG_TIMESTAMPING_NEW = 65,
	CMSG_TIMESTAMPING_PKTINFO = 58,
};

/* --- who wants to know --- */

/* One more or one less. */
static void count_one(struct context *ctx, bool more)
{
	struct stack *stack = ctx->stack;

	stack->stamped += more ? 1 : -1u;
	for (unsigned i = 0; i < IP_MAX_PORTS; i++)
		if (stack->port[i])
			stack->port[i]->stamp = stack->stamped != 0;
}

static void count(struct context *ctx, struct sock *s, bool wanted)
{
	struct stack *stack = ctx->stack;

	if (s->stamps.counted == wanted)
		return;
	s->stamps.counted = wanted;
	count_one(ctx, wanted);
	if (stack->family)
		fs_store_relaxed(&stack->family->stamped[ctx->index], stack->stamped - stack->stamps_passed);
}

void stamp_passed(struct context *ctx)
{
	const struct sister_family *f = ctx->stack->family;
	bool wanted = false;

	for (unsigned i = 0; i < f->n; i++)
		wanted |= i != ctx->index && fs_load_relaxed(&f->stamped[i]) > 0;
	if (ctx->stack->stamps_passed == wanted)
		return;
	ctx->stack->stamps_passed = wanted;
	count_one(ctx, wanted);
}

/* Sockets may have a port in common: what one of them wants holds for all. */
static void tell_ports(struct context *ctx, uint16_t port)
{
	bool on = false;
	struct list *e;

	LIST_FOR_EACH(e, &ctx->stack->all_socks)
		on |= FS_CONTAINER_OF(e, struct sock, all)->stamped_port == port;
	for (unsigned i = 0; i < ctx->n_handles; i++) {
		struct provider_handle *h = &ctx->handle[i];

		if (h->ops && h->ops->stamp_port)
			h->ops->stamp_port(h, port, on);
	}
	if (on)
		context_tend_ports(ctx);
}

/* The port that is to stamp as well as it can, for the sake of @s; 0 = none. */
static uint16_t port_to_stamp(const struct sock *s)
{
	return s->protocol == SOCK_UDP && s->stamps.counted && context_is_steered(s) ? s->rule_port : 0;
}

void stamp_steered(struct context *ctx, struct sock *s)
{
	uint16_t port = port_to_stamp(s);
	uint16_t former = s->stamped_port;

	s->stamped_port = port;
	if (former && former != port)
		tell_ports(ctx, former);
	if (port) /* also when it was so before: there may be a new interface */
		tell_ports(ctx, port);
}

/* From here on its datagrams come another way: what came by the former one goes first. */
static void change_way(struct context *ctx, struct sock *s)
{
	if (port_to_stamp(s) == s->stamped_port)
		return;
	context_drain(ctx);
	stamp_steered(ctx, s);
}

void stamp_changed(struct context *ctx, struct sock *s)
{
	s->cmsgs &= ~(uint32_t)SOCK_CMSG_STAMPS;
	if (stamps_concern(&s->stamps))
		s->cmsgs |= SOCK_CMSG_STAMPS;
	sock_set_special(s);
	count(ctx, s, stamps_wanted(&s->stamps));
	change_way(ctx, s);
}

void stamp_forget(struct context *ctx, struct sock *s)
{
	count(ctx, s, false);
}

/* --- arrival --- */

static fs_ns wall_offset(struct context *ctx)
{
	if (ctx->wall_read == 0 || ctx->now - ctx->wall_read >= WALL_FRESH) {
		ctx->wall_offset = host_clock_wall_offset(ctx->wall_offset);
		ctx->wall_read = ctx->now;
	}
	return ctx->wall_offset;
}

void stamp_frames(struct context *ctx, const struct provider_handle *h, struct fbuf **frames, unsigned n)
{
	fs_ns now = 0, offset = h->port->caps.stamps_wall ? 0 : wall_offset(ctx);

	for (unsigned i = 0; i < n; i++) {
		if (frames[i]->stamp) {
			frames[i]->stamp += offset;
			continue;
		}
		if (now == 0)
			now = host_clock_wall();
		frames[i]->stamp = now;
	}
}

/* --- telling --- */

/* struct timeval and struct timespec, old and new: on 64-bit machines two words, all of them. */
struct words {
	int64_t sec, rest;
};

static struct words words_of(fs_ns stamp)
{
	return (struct words){ stamp / FS_SEC(1), stamp % FS_SEC(1) };
}

static void put_receive(const struct stamps *t, fs_ns stamp, struct control_writer *w)
{
	struct words words = words_of(stamp);
	int type = t->new_layout ? CMSG_TIMESTAMPNS_NEW : CMSG_TIMESTAMPNS_OLD;

	if (!t->ns) {
		words.rest /= FS_US(1);
		type = t->new_layout ? CMSG_TIMESTAMP_NEW : CMSG_TIMESTAMP_OLD;
	}
	control_write(w, SOL_SOCKET, type, &words, sizeof(words));
}

/* SCM_TIMESTAMPING_PKTINFO: which device stamped. */
static void put_device(const struct fbuf *f, struct control_writer *w)
{
	struct {
		uint32_t ifindex, length, reserved[2];
	} info = { .ifindex = f->ifindex, .length = f->l3_offset + f->total };

	control_write(w, SOL_SOCKET, CMSG_TIMESTAMPING_PKTINFO, &info, sizeof(info));
}

void stamp_put(struct sock *s, struct fbuf *f, bool error, struct control_writer *w)
{
	struct stamps *t = &s->stamps;
	struct words stamps[3] = { 0 }; /* software, nothing, the device's */
	fs_ns device = f->device_stamp;
	bool software = stamps_tell_software(t, error);

	if (!t->receive && !(t->flags & STAMP_RX_SOFTWARE) && !(f->stamp && (t->flags & STAMP_SOFTWARE)) &&
	    !(device && (t->flags & STAMP_RAW_HARDWARE))) {
		t->last = f->stamp;
		return;
	}
	if (t->receive && f->stamp == 0)
		f->stamp = host_clock_wall(); /* it came before anybody asked: as the kernel does */
	if (t->receive)
		put_receive(t, f->stamp, w);
	if (software)
		stamps[0] = words_of(f->stamp);
	if (device && stamps_tell_device(t, error)) {
		stamps[2] = words_of(device);
		if (t->flags & STAMP_OPT_PKTINFO)
			put_device(f, w);
	} else {
		device = 0;
	}
	if ((software && f->stamp) || device)
		control_write(w, SOL_SOCKET, t->new_layout ? CMSG_TIMESTAMPING_NEW : CMSG_TIMESTAMPING_OLD,
			      stamps, sizeof(stamps));
}

void stamp_put_segment(const struct stamps *t, fs_ns stamp, struct control_writer *w)
{
	struct words stamps[3] = { 0 };

	if (t->receive)
		put_receive(t, stamp, w);
	if (!stamps_tell_software(t, false))
		return;
	stamps[0] = words_of(stamp);
	control_write(w, SOL_SOCKET, t->new_layout ? CMSG_TIMESTAMPING_NEW : CMSG_TIMESTAMPING_OLD, stamps,
		      sizeof(stamps));
}

bool datagram_last_stamp(struct context *ctx, int fd, fs_ns *stamp)
{
	struct sock *s = context_enter(ctx, fd);
	struct stamps *t;

	if (!s)
		return false;
	t = &s->stamps;
	if (!t->keep_last) {
		/* What arrived so far has no stamp; options of its own keep it from having one here. */
		t->last = s->record->rx_fast && !stamps_concern(t) ? 0 : STAMP_NEVER;
		t->keep_last = true;
		stamp_changed(ctx, s);
	}
	if (t->last == 0)
		t->last = host_clock_wall();
	*stamp = t->last;
	context_leave(ctx);
	return *stamp != STAMP_NEVER;
}
