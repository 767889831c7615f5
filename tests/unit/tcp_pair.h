/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_pair.h - two TCP engines with a wire between them: b listens, a connects.
 *
 * The wire has a delay, and loses what the test says. Both ends have one clock, which pair_run() moves. For swarms of
 * faults see tests/sim.
 */
#ifndef FSOCK_TESTS_UNIT_TCP_PAIR_H
#define FSOCK_TESTS_UNIT_TCP_PAIR_H

#include "ip_rig.h"
#include "tcp/conn.h"
#include "tcp/tcp.h"
#include "wire/packet.h"
#include "wire/tcp.h"

enum {
	PAIR_WIRE = 4096,	/* frames under way */
	PAIR_BUCKETS = 64,
	PAIR_CONNS = 8,
	PAIR_PORT = 80,		/* b listens there */
	PAIR_CLIENT_PORT = 5000,
};

/* One end. */
struct pair_host {
	struct rig_host h;
	struct tcp_stack tcp;
	struct table_node *end_buckets[PAIR_BUCKETS], *listener_buckets[PAIR_BUCKETS];
	void *slabs[3]; /* to free */
	uint32_t edges; /* of all events */
};

/* A frame under way. */
struct pair_frame {
	fs_ns at; /* when it arrives */
	uint8_t *bytes;
	uint32_t len;
	uint16_t gso_size;
	uint8_t csum;
	bool to_b;
};

struct tcp_pair {
	struct pair_host a, b;
	struct tcp_listener listener; /* of b */
	struct tcp_conn *ca, *cb;
	fs_ns now, delay;
	struct pair_frame wire[PAIR_WIRE];
	unsigned first, last;	/* free-running */
	unsigned sent[2];	/* frames, by a and by b */
	/* Which frames do not arrive: called for each, with the segment. NULL = none. */
	bool (*lose)(struct tcp_pair *p, bool to_b, const struct tcp_hdr *h, uint32_t len);
	unsigned lost;
	unsigned count;		/* for lose() */
};

/* inline definitions */

static inline void pair_event(void *context, struct tcp_conn *conn, uint32_t edges)
{
	((struct pair_host *)context)->edges |= edges;
}

static inline struct ip_dst *pair_resolve(void *context, const struct ip_addr *remote, const struct ip_addr *local,
					  uint64_t choice)
{
	struct rig_host *h = &((struct pair_host *)context)->h;
	struct ip_dst *dst = ip_dst_find(&h->ip, remote, &(struct ip_addr){ 0 }, 0);

	return dst ? dst : rig_dst(h, *remote);
}

static const struct tcp_ops pair_ops = { .event = pair_event, .resolve = pair_resolve };

static inline void *pair_slab(struct slab *slab)
{
	void *memory = malloc(slab_bytes(slab, PAIR_CONNS));

	slab_add(slab, memory, slab_bytes(slab, PAIR_CONNS));
	return memory;
}

static inline void pair_host_open(struct pair_host *p, unsigned i, const struct rig_sizes *sizes)
{
	static const struct siphash_key key = { { 7, 8 } };
	static const struct siphash_key secret[TCP_N_SECRETS] = { { { 1, 2 } }, { { 3, 4 } }, { { 5, 6 } } };

	rig_open_ip(&p->h, i, sizes);
	p->h.env = (struct ip_env){ .csum = csum_ops(CSUM_SCALAR),
				    .tcp_input = tcp_input,
				    .tcp_quick = tcp_quick_input,
				    .context = p,
				    .tcp = &p->tcp,
				    .tcp_ops = &pair_ops,
				    .now = FS_SEC(1000) };
	tcp_init(&p->tcp, &p->h.ip, &key, secret, p->end_buckets, PAIR_BUCKETS, p->listener_buckets, PAIR_BUCKETS,
		 p->h.env.now);
	p->slabs[0] = pair_slab(&p->tcp.conns);
	p->slabs[1] = pair_slab(&p->tcp.reqs);
	p->slabs[2] = pair_slab(&p->tcp.tws);
}

/* Everything the engine was given is back. */
static inline void pair_host_close(struct pair_host *p)
{
	assert_int_equal(p->tcp.ends.count, 0);
	assert_int_equal(p->tcp.conns.in_use, 0);
	assert_int_equal(p->tcp.reqs.in_use, 0);
	assert_int_equal(p->tcp.tws.in_use, 0);
	assert_int_equal(p->tcp.n_conns, 0);
	assert_int_equal(p->tcp.n_orphans, 0);
	assert_int_equal(p->tcp.wheel.count, 0);
	assert_true(list_is_empty(&p->tcp.dirty));
	assert_true(list_is_empty(&p->tcp.holders));
	rig_close(&p->h);
	for (unsigned i = 0; i < FS_ARRAY_SIZE(p->slabs); i++)
		free(p->slabs[i]);
}

static inline void pair_open_sized(struct tcp_pair *p, const struct rig_sizes *sizes)
{
	memset(p, 0, sizeof(*p));
	pair_host_open(&p->a, 0, sizes);
	pair_host_open(&p->b, 1, sizes);
	p->delay = FS_MS(1);
	p->now = p->a.h.env.now;
	p->listener.local_port = PAIR_PORT;
	tcp_options_default(&p->listener.options, &p->b.tcp.config);
	assert_int_equal(tcp_listen(&p->b.tcp, &p->listener, 8), 0);
}

static inline void pair_open(struct tcp_pair *p)
{
	pair_open_sized(p, &(struct rig_sizes){ 1024, 1024, RIG_CHUNK });
}

/* What @from built leaves. */
static inline void pair_take(struct tcp_pair *p, bool to_b)
{
	struct pair_host *from = to_b ? &p->a : &p->b;
	struct fbuf *frame;

	while ((frame = fbuf_queue_pop(&from->h.ip.port[0].out)) != NULL) {
		struct pair_frame *w = &p->wire[p->last % PAIR_WIRE];
		struct packet packet;
		struct tcp_hdr h;

		*w = (struct pair_frame){ .at = p->now + p->delay, .len = frame->total, .gso_size = frame->gso_size,
					  .csum = frame->csum, .to_b = to_b };
		w->bytes = malloc(w->len);
		assert_int_equal(fbuf_copy_out(frame, 0, w->bytes, w->len), w->len);
		fbuf_free(frame);
		assert_int_equal(packet_parse(&packet, w->bytes, w->len, w->len), PACKET_OK);
		assert_true(tcp_parse(&h, w->bytes + packet.l4_offset, packet.l4_len) > 0);
		p->sent[!to_b]++;
		if (p->lose && p->lose(p, to_b, &h, packet.payload_len)) {
			p->lost++;
			free(w->bytes);
			continue;
		}
		assert_true(++p->last - p->first < PAIR_WIRE);
	}
}

static inline void pair_deliver(struct tcp_pair *p, struct pair_frame *w)
{
	struct pair_host *to = w->to_b ? &p->b : &p->a;
	struct fbuf *frame = rig_fbuf(&to->h, w->bytes, w->len, 0);

	frame->gso_size = w->gso_size;
	frame->csum = w->csum;
	free(w->bytes);
	rig_input_fbuf(&to->h, frame);
}

static inline void pair_set_time(struct tcp_pair *p, fs_ns now)
{
	p->now = p->a.h.env.now = p->b.h.env.now = now;
}

/* Everything that happens until @span from now, in its order. */
static inline void pair_run(struct tcp_pair *p, fs_ns span)
{
	fs_ns end = p->now + span;

	for (;;) {
		fs_ns next;

		pair_take(p, true);
		pair_take(p, false);
		next = FS_MIN(tcp_next(&p->a.tcp), tcp_next(&p->b.tcp));
		if (p->first != p->last)
			next = FS_MIN(next, p->wire[p->first % PAIR_WIRE].at);
		if (next > end)
			break;
		pair_set_time(p, FS_MAX(next, p->now));
		while (p->first != p->last && p->wire[p->first % PAIR_WIRE].at <= p->now)
			pair_deliver(p, &p->wire[p->first++ % PAIR_WIRE]);
		tcp_advance(&p->a.tcp, &p->a.h.env, p->now);
		tcp_advance(&p->b.tcp, &p->b.h.env, p->now);
	}
	pair_set_time(p, end);
}

static inline int pair_connect(struct tcp_pair *p, struct tcp_conn *c)
{
	return tcp_connect(c, &p->a.h.env, &p->a.h.v4, PAIR_CLIENT_PORT, &p->b.h.v4, PAIR_PORT, p->now);
}

/* A connection between both, accepted. */
static inline void pair_establish(struct tcp_pair *p)
{
	p->ca = tcp_open(&p->a.tcp, NULL);
	assert_int_equal(pair_connect(p, p->ca), 0);
	pair_run(p, 4 * p->delay);
	assert_int_equal(p->ca->state, TCP_ESTABLISHED);
	p->cb = tcp_accept(&p->listener);
	assert_non_null(p->cb);
	assert_int_equal(p->cb->state, TCP_ESTABLISHED);
}

static inline const struct ip_env *pair_env(struct tcp_pair *p, const struct tcp_conn *c)
{
	return c->stack == &p->a.tcp ? &p->a.h.env : &p->b.h.env;
}

static inline ssize_t pair_send(struct tcp_pair *p, struct tcp_conn *c, const void *bytes, size_t len, uint32_t flags)
{
	struct iovec iov = { (void *)(uintptr_t)bytes, len };

	return tcp_send(c, pair_env(p, c), &iov, 1, flags, p->now);
}

static inline ssize_t pair_recv(struct tcp_pair *p, struct tcp_conn *c, void *bytes, size_t len, uint32_t flags)
{
	struct iovec iov = { bytes, len };

	return tcp_recv(c, pair_env(p, c), &iov, 1, flags, 0, p->now);
}

/* Both are closed by now, orderly or not: what is left ends by itself. */
static inline void pair_close(struct tcp_pair *p)
{
	pair_run(p, FS_SEC(200));
	tcp_unlisten(&p->listener, &p->b.h.env, p->now);
	pair_run(p, FS_SEC(1));
	assert_int_equal(p->first, p->last);
	pair_host_close(&p->a);
	pair_host_close(&p->b);
}

#endif
