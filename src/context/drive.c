/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * drive.c - moving frames: provider -> engine -> sockets, and engine -> provider (DESIGN section 4).
 *
 * The lock's holder runs this. The clock is read here and handed down; the engine has none.
 */
#include <errno.h>

#include "context/internal.h"
#include "context/sister.h"
#include "context/stamp.h"
#include "context/thread.h"
#include "socket/epoll.h"
#include "sys/sys.h"
#include "udp/group.h"

/* While the program makes other calls, an ACK waits so long for its answer: a turn of fifty events takes 2 ms. */
#define HOLD_NS FS_MS(4)

enum {
	DRAIN_MAX = 64,	  /* bursts: a ring's worth, whatever keeps arriving */
	BURST = 64,	  /* frames per port and turn: bounds the time other sockets wait */
	DST_BYTES = 1 << 20,
	NEIGH_BYTES = 256 << 10,
	GROUP_BUCKETS = 1024,
	KICKS_MAX = 16,	  /* tries to get frames out before the caller hears EAGAIN */
};

/* The engine queued a datagram on @pcb. */
static void readable(void *context, void *pcb)
{
	struct context *ctx = context;
	struct sock *s = sock_of(pcb);

	ctx->to_ring |= s->sleepers.slots;
	if (!list_is_empty(&s->items))
		ctx->to_ring |= epoll_sock_readable(s);
}

void context_engine_init(struct context *ctx, const struct siphash_key key[3],
			 struct table_node **port_buckets, struct table_node **flow_buckets,
			 struct table_node **dst_buckets, struct table_node **neigh_buckets)
{
	struct stack *s = ctx->stack;
	void *memory;

	ip_init(&s->ip, &key[0], &s->payload, s->counter, dst_buckets, STACK_DST_BUCKETS);
	udp_init(&s->udp, &s->ip, &key[1], port_buckets, STACK_PORT_BUCKETS, flow_buckets,
		 STACK_FLOW_BUCKETS);
	neigh_table_init(&s->ip.neigh, &key[2], neigh_buckets, STACK_DST_BUCKETS);
	memory = context_grow(ctx, GROUP_BUCKETS * sizeof(struct table_node *));
	if (memory)
		udp_groups_init(&s->udp, memory, GROUP_BUCKETS);
	memory = context_grow(ctx, DST_BYTES);
	if (memory)
		slab_add(&s->ip.dst_slab, memory, DST_BYTES);
	memory = context_grow(ctx, NEIGH_BYTES);
	if (memory)
		slab_add(&s->ip.neigh.slab, memory, NEIGH_BYTES);
	context_lend(ctx);
}

void context_lend(struct context *ctx)
{
	ctx->env.input = ctx->index == 0 ? udp_input : sister_pass_datagram;
	ctx->env.readable = readable;
	ctx->env.context = ctx;
	ctx->env.udp = &ctx->stack->udp;
	if (ctx->stack->tcp.ip)
		segments_lend(ctx);
}

/* One port's burst. Once in each of its two callers: the usual one shall not pay for the other. */
__attribute__((always_inline)) static inline unsigned poll_port(struct context *ctx, unsigned i)
{
	struct provider_handle *h = &ctx->handle[i];
	struct fbuf *frames[BURST];
	unsigned n = h->ops->receive(h, frames, BURST);

	if (n == 0)
		return 0;
	h->ops->heartbeat(h, ctx->now);
	if (__builtin_expect(ctx->stack->stamped, 0))
		stamp_frames(ctx, h, frames, n);
	/* Before the engine needs it: it copies out what a slow reader leaves in the frame pool. */
	if (__builtin_expect(ctx->stack->payload.n_free <
				     STACK_PAYLOAD_LOW + udp_payload_reserve(&ctx->stack->udp), 0))
		context_payload_reserve(ctx);
	if (ctx->env.tcp)
		segments_expect(ctx, frames, n);
	ip_input(&ctx->stack->ip, &ctx->env, frames, n, ctx->now);
	return n;
}

unsigned context_poll_alone(struct context *ctx)
{
	ctx->now = host_clock_now(&ctx->clock);
	ctx->env.now = ctx->now;
	ctx->stack->driven_at = ctx->now;
	if (__builtin_expect(ctx->ports_seen != ctx->stack->ports_serial, 0))
		context_ports_compare(ctx);
	if (__builtin_expect(ctx->now >= ctx->next_look, 0))
		context_housekeep(ctx);
	return context_take(ctx);
}

unsigned context_poll(struct context *ctx)
{
	unsigned taken = context_poll_alone(ctx);

	if (__builtin_expect(ctx->n_stacks > 1, 0))
		taken += sisters_poll(ctx);
	return taken;
}

unsigned context_poll_calm(struct context *ctx)
{
	unsigned taken;

	context_calm(ctx);
	taken = context_poll(ctx);
	context_stir(ctx);
	return taken;
}

unsigned context_take(struct context *ctx)
{
	unsigned taken = 0;

	if (__builtin_expect(ctx->stack->family != NULL, 0))
		taken = sister_receive(ctx);
	for (unsigned i = 0; i < ctx->n_handles; i++) {
		unsigned n = ctx->handle[i].ops ? poll_port(ctx, i) : 0;

		if (n == 0 && ctx->handle[i].ops && __builtin_expect(ctx->handle[i].port->error != 0, 0))
			context_port_failed(ctx, i);
		taken += n;
	}
	if (__builtin_expect(ctx->stack->local != NULL, 0))
		taken += local_poll(ctx);
	if (ctx->env.tcp && (taken || ctx->now >= segments_next(ctx)))
		segments_tick(ctx);
	if (__builtin_expect(segments_held(ctx), 0))
		segments_release(ctx, ctx->now - HOLD_NS);
	return taken;
}

void context_drain(struct context *ctx)
{
	ctx->now = host_clock_now(&ctx->clock);
	ctx->env.now = ctx->now;
	for (int i = 0; i < DRAIN_MAX && context_take(ctx); i++)
		continue;
}

unsigned context_take_port(struct context *ctx, unsigned port)
{
	return ctx->handle[port].ops ? poll_port(ctx, port) : 0;
}

/* What goes to the provider at once: no frame behind a super-frame, which may leave in the call. */
static unsigned take_burst(struct fbuf_queue *out, struct fbuf *frames[BURST])
{
	unsigned n = 0;

	while (n < BURST && out->head) {
		frames[n] = fbuf_queue_pop(out);
		if (frames[n++]->gso_size)
			break;
	}
	return n;
}

/* What was refused goes back to the front, in order. */
static void put_back(struct fbuf_queue *out, struct fbuf *frames[BURST], unsigned sent, unsigned n)
{
	while (n > sent) {
		frames[--n]->link = out->head;
		out->head = frames[n];
		if (!out->tail)
			out->tail = frames[n];
		out->frames++;
	}
}

/*
 * Whoever answers to what leaves may do so before the system call by which it left returns, and kill this process for an
 * answer: the likeliest place of all to die with the lock. Nothing is half done there (context_calm()).
 */
int context_flush(struct context *ctx, unsigned port)
{
	struct provider_handle *h = &ctx->handle[port];
	struct ip_port *ip = &ctx->stack->ip.port[port];
	struct fbuf_queue *out = &ip->out;
	int ret = 0;

	for (unsigned tries = 0; out->head && tries < KICKS_MAX;) {
		struct fbuf *frames[BURST];
		unsigned n = take_burst(out, frames), sent;

		fs_store_relaxed(&h->port->caller, context_tid());
		sent = h->ops->transmit(h, frames, n);
		put_back(out, frames, sent, n);
		if (h->port->caps.needs_kick)
			ret = h->ops->kick(h);
		fs_store_relaxed(&h->port->caller, 0);
		ip->tcp_gso = FS_MIN(ip->tcp_gso, h->port->caps.max_gso); /* the device may have given it up just now */
		if (ret == -ENETDOWN) {
			context_port_failed(ctx, port);
			return ret;
		}
		tries += n == BURST || sent < n || ret < 0;
	}
	if (ret == -EAGAIN && !out->head)
		ret = h->ops->tx_pending(h) ? -EAGAIN : 0;
	return out->head ? -EAGAIN : ret;
}

void context_ring(struct context *ctx)
{
	struct stack *s = ctx->stack;
	uint64_t one = 1;

	/* Sleepers are counted, then look at the queues under the lock we hold: either they find what
	 * was queued, or whoever queued it saw their count. The lock orders the two. */
	for (; ctx->to_ring; ctx->to_ring &= ctx->to_ring - 1) {
		unsigned i = (unsigned)__builtin_ctz(ctx->to_ring);

		if (s->proc[i].sleepers == 0 || ctx->doorbell[i] < 0)
			continue;
		s->counter[FS_CTR_wakeups_rung]++;
		sys_write(ctx->doorbell[i], &one, sizeof(one));
	}
}
