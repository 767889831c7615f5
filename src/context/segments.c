/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * segments.c - the TCP engine as the context drives it: memory, the functions lent to it, time, what is to be sent.
 *
 * The engine is prepared when the first stream socket wants it; a program of datagrams alone pays for none of it.
 */
#include <errno.h>

#include "base/barrier.h"
#include "context/helper.h"
#include "context/icmp.h"
#include "context/internal.h"
#include "context/sister.h"
#include "context/stream.h"
#include "context/turn.h"
#include "socket/bare.h"
#include "socket/epoll.h"
#include "sys/sys.h"
#include "tcp/conn.h"

enum {
	LISTENER_BUCKETS = 1024,
	END_BUCKETS = 1 << 16, /* at first: what nobody uses is never touched */
	SPARE = 128,	       /* objects of each slab before a burst: two frames' worth of SYNs, and then some */
	STEP = 512,	       /* objects a slab grows by */
};

/* --- what the engine asks of us (tcp_ops) --- */

static void event(void *context, struct tcp_conn *conn, uint32_t edges)
{
	struct context *ctx = context;
	struct sock *s = conn->user;

	if (!s)
		return; /* in an accept queue, or closed */
	if (bare_is(conn->user)) {
		ctx->to_ring |= bare_event(conn, edges, ctx->slot, ctx->stack->bare_news);
		return;
	}
	ctx->to_ring |= s->sleepers.slots;
	if (!list_is_empty(&s->items))
		ctx->to_ring |= epoll_sock_news(s, sock_poll_bits(edges));
}

static void incoming(void *context, struct tcp_listener *listener)
{
	struct context *ctx = context;
	struct sock *s = listener->user;

	if (__builtin_expect(s->stream.home != NULL, 0)) {
		sister_incoming(ctx, s);
		return;
	}
	ctx->to_ring |= s->sleepers.slots;
	if (!list_is_empty(&s->items))
		ctx->to_ring |= epoll_sock_readable(s);
}

static struct ip_dst *resolve(void *context, const struct ip_addr *remote, const struct ip_addr *local, uint64_t packed)
{
	struct context *ctx = context;
	struct context_choice choice;
	struct ip_dst *d;

	context_choice_unpack(packed, &choice);
	choice.bound = *local;
	choice.tcp = true;
	d = context_resolve_by(ctx, remote, &choice);
	ctx->env.no_route = d && d->way == IP_DST_KERNEL ? d->error : 0;
	if (!d || d->way != IP_DST_FAST || !ctx->handle[d->port].ops)
		return NULL;
	context_neigh_want(ctx, d);
	return d;
}

static void released(void *context, struct tcp_conn *conn, void *user)
{
	(void)user; /* NULL: the socket went when its program closed it */
	stream_released(context, conn);
}

static const struct tcp_ops ops = { event, incoming, resolve, released, sister_pass_on };

/* --- memory --- */

static int reserve(struct context *ctx, struct slab *slab, uint32_t limit)
{
	size_t len = slab_bytes(slab, STEP);
	void *memory;

	if (slab->total - slab->in_use >= SPARE || slab->total >= limit)
		return 0;
	memory = context_has_memory(len) ? context_grow(ctx, len) : NULL;
	if (!memory)
		return -ENOMEM;
	slab_add(slab, memory, len);
	return 0;
}

static void widen_table(struct context *ctx, struct table *t)
{
	uint32_t n = 2 * (t->mask + 1);
	struct table_node **buckets;

	if (__builtin_expect(!table_wants_growth(t), 1))
		return;
	buckets = context_has_memory(n * sizeof(*buckets)) ? context_grow(ctx, n * sizeof(*buckets)) : NULL;
	if (buckets)
		table_grow(t, buckets, n);
}

static int reserve_all(struct context *ctx)
{
	struct tcp_stack *tcp = &ctx->stack->tcp;
	int conns = reserve(ctx, &tcp->conns, ctx->config.max_connections);
	int reqs = reserve(ctx, &tcp->reqs, ctx->config.max_connections);
	int tws = reserve(ctx, &tcp->tws, tcp->config.max_tw + SPARE);

	widen_table(ctx, &tcp->ends);
	return conns ? conns : reqs ? reqs : tws;
}

int segments_open(struct context *ctx)
{
	struct tcp_stack *tcp = &ctx->stack->tcp;
	struct siphash_key key[1 + TCP_N_SECRETS];
	struct table_node **ends, **listeners;

	context_icmp_open(ctx); /* without, connections go on */
	if (tcp->ip)
		return 0;
	/* RFC 6528 3, RFC 7413 4.1.2: nobody may guess what they are made with. */
	if (sys_getrandom(key, sizeof(key), 0) != sizeof(key))
		return -EIO;
	ends = context_has_memory(END_BUCKETS * sizeof(*ends)) ? context_grow(ctx, END_BUCKETS * sizeof(*ends)) : NULL;
	listeners = ends ? context_grow(ctx, LISTENER_BUCKETS * sizeof(*listeners)) : NULL;
	if (!listeners)
		return -ENOMEM;
	tcp_init(tcp, &ctx->stack->ip, &key[0], &key[1], ends, END_BUCKETS, listeners, LISTENER_BUCKETS, ctx->now);
	tcp->segments = &ctx->stack->segments;
	host_tcp_sysctl(HOST_TCP_SYSCTL_DIR, &tcp->config, &ctx->presets.keep);
	tcp->config.hold_acks = ctx->config.helper; /* without, nothing would send them while the program computes */
	sister_lend(ctx);
	context_lend(ctx);
	return reserve_all(ctx);
}

void segments_lend(struct context *ctx)
{
	ctx->env.tcp_input = tcp_input;
	ctx->env.tcp_quick = tcp_quick_input;
	ctx->env.tcp_ops = &ops;
	fs_store_release(&ctx->env.tcp, &ctx->stack->tcp); /* segments_held() finds it prepared */
}

/* --- driving --- */

/* Chunks of the payload pool that @n frames fill if none of them may stay where it is, beside those of one chunk:
 * STACK_PAYLOAD_LOW is enough for them. */
static uint32_t super_chunks(struct fbuf *const frames[], unsigned n)
{
	uint32_t chunks = 0;

	for (unsigned i = 0; i < n; i++)
		if (frames[i]->next)
			chunks += frames[i]->total / STACK_PAYLOAD_CHUNK + 1;
	return chunks;
}

void segments_expect(struct context *ctx, struct fbuf *const frames[], unsigned n)
{
	const struct tcp_stack *tcp = &ctx->stack->tcp;
	const struct slab *slab[] = { &tcp->conns, &tcp->reqs, &tcp->tws };
	uint32_t chunks = super_chunks(frames, n);

	if (chunks > 0) {
		chunks += STACK_PAYLOAD_LOW + udp_payload_reserve(&ctx->stack->udp);
		while (ctx->stack->payload.n_free < chunks && context_payload_reserve(ctx))
			continue;
	}
	for (unsigned i = 0; i < FS_ARRAY_SIZE(slab); i++) {
		if (slab[i]->total - slab[i]->in_use < SPARE || table_wants_growth(&tcp->ends)) {
			reserve_all(ctx);
			return;
		}
	}
}

uint32_t segments_waiting(const struct context *ctx)
{
	uint32_t n = 0;

	for (unsigned i = 0; i < ctx->n_handles; i++)
		n += ctx->handle[i].ops ? ctx->stack->ip.port[i].out.frames : 0;
	return n;
}

static void flush_frames(struct context *ctx)
{
	for (unsigned i = 0; i < ctx->n_handles; i++)
		if (ctx->handle[i].ops && ctx->stack->ip.port[i].out.head)
			context_flush(ctx, i);
	ctx->stack->held_since = 0;
	helper_heed(ctx, segments_next(ctx));
}

/* No call came to go on with what is kept. */
static __attribute__((noinline)) void push_kept(struct context *ctx)
{
	struct sock *s = ctx->soon.sock;
	struct tcp_reservation none;

	none.n = 0;
	ctx->soon.sock = NULL;
	if (s->generation == ctx->soon.generation && s->stream.conn)
		tcp_commit(s->stream.conn, &ctx->env, &none, 0, 0, ctx->now);
}

void segments_keep(struct context *ctx, struct sock *s)
{
	if (ctx->soon.sock && ctx->soon.sock != s)
		push_kept(ctx);
	if (!ctx->soon.sock)
		ctx->soon.since = ctx->now;
	ctx->soon.sock = s;
	ctx->soon.generation = s->generation;
	ctx->stack->counter[FS_CTR_tcp_kept]++;
	ctx->holds++;
	helper_heed(ctx, ctx->soon.since + TURN_LATE_NS);
}

void segments_flush(struct context *ctx)
{
	if (__builtin_expect(ctx->soon.sock != NULL, 0))
		push_kept(ctx);
	flush_frames(ctx);
}

void segments_flush_soon(struct context *ctx)
{
	if (__builtin_expect(turn_of_many() || turn_goes_on(), 0) && turn_holds(ctx))
		helper_heed(ctx, segments_next(ctx));
	else if (turn_goes_on())
		flush_frames(ctx);
	else
		segments_flush(ctx);
}

void segments_send_soon(struct context *ctx)
{
	tcp_burst_end(&ctx->stack->tcp, &ctx->env, ctx->now);
	segments_flush_soon(ctx);
}

void segments_send(struct context *ctx)
{
	tcp_burst_end(&ctx->stack->tcp, &ctx->env, ctx->now);
	segments_flush(ctx);
}

void segments_release(struct context *ctx, fs_ns before)
{
	tcp_release_acks(&ctx->stack->tcp, before);
	if (before == FS_NEVER)
		segments_send(ctx);
	else
		segments_send_soon(ctx);
}

void segments_tick(struct context *ctx)
{
	tcp_advance(&ctx->stack->tcp, &ctx->env, ctx->now);
	segments_flush_soon(ctx);
}
