/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_raw.h - a TCP engine in a test, and segments as they are on the wire: for what happens before there is a
 * connection, or after. tcp_rig.h is for what happens on one.
 *
 * The engine is host 0 of ip_rig.h, 10.0.0.1 and fd00::1, its peer .2, the test itself. Of a struct raw_seg
 * what is 0 is what is usual; numbers are absolute. Time stands until the test moves it.
 */
#ifndef FSOCK_TESTS_UNIT_TCP_RAW_H
#define FSOCK_TESTS_UNIT_TCP_RAW_H

#include "ip_rig.h"

#include "tcp/conn.h"
#include "tcp/end.h"
#include "tcp/fastopen.h"
#include "tcp/reply.h"
#include "tcp/request.h"
#include "tcp/tcp.h"
#include "tcp/timewait.h"
#include "wire/packet.h"

enum {
	RIG_TCP_BUCKETS = 256,
	RIG_CONNS = 64,
	RIG_REQS = 256,
	RIG_TWS = 64,
	RIG_PORT = 80,	    /* ours */
	RIG_PEER_PORT = 4000,
	RIG_PEER_SEQ = 1000, /* first number of the peer */
};

/* The peer's clock of timestamps in raw_seg.ts_val where a test does not care. */
#define RIG_TS 5000

struct raw_rig {
	struct rig_host h; /* h.env.now is the time */
	struct tcp_stack tcp;
	struct table_node *end_buckets[RIG_TCP_BUCKETS], *listener_buckets[RIG_TCP_BUCKETS];
	void *slabs[3]; /* to free */
	struct ip_addr peer4, peer6;
	bool no_route;
	unsigned n_events, n_incoming, n_released;
	uint32_t edges;	     /* of all events */
	struct tcp_conn *conn; /* the last one told about */
	struct tcp_listener *listener;
};

/* A segment to inject, or one that left. */
struct raw_seg {
	struct ip_addr src, dst; /* any = the peer's and the host's IPv4 address */
	struct tcp_hdr h;	 /* ports 0 = RIG_PEER_PORT, RIG_PORT */
	const void *payload;
	uint32_t len;
	uint8_t tos, ttl;
	bool bad_checksum, partial_checksum, ip_options, no_port;
	uint16_t gso_size;
	uint8_t csum;		 /* enum fbuf_csum */
	uint32_t part;		 /* bytes per chunk; 0 = as they hold */
	uint32_t ifindex;	 /* 0 = the rig's */
	uint8_t bytes[2048];	 /* received: payload */
};

/* inline definitions */

static inline struct raw_rig *raw_of(void *context)
{
	return context;
}

static inline void rig_event(void *context, struct tcp_conn *conn, uint32_t edges)
{
	struct raw_rig *r = raw_of(context);

	r->n_events++;
	r->edges |= edges;
	r->conn = conn;
}

static inline void rig_incoming(void *context, struct tcp_listener *listener)
{
	struct raw_rig *r = raw_of(context);

	r->n_incoming++;
	r->listener = listener;
}

static inline void rig_released(void *context, struct tcp_conn *conn, void *user)
{
	raw_of(context)->n_released++;
}

static inline struct ip_dst *rig_resolve(void *context, const struct ip_addr *remote, const struct ip_addr *local,
					 uint64_t choice)
{
	struct raw_rig *r = raw_of(context);
	struct ip_dst *dst = ip_dst_find(&r->h.ip, remote, local, choice);
	const struct eth_addr mac = { { 2, 0, 0, 0, 0, remote->b[15] } };
	struct ip_dst answer = { .remote = *remote, .bound = *local, .choice = choice, .way = IP_DST_FAST, .mtu = RIG_MTU };

	if (r->no_route)
		return NULL;
	if (dst)
		return dst;
	answer.local = ip_addr_is_any(local) ? (ip_addr_is_v4(remote) ? r->h.v4 : r->h.v6) : *local;
	answer.neigh = neigh_learn(&r->h.ip.neigh, 0, remote, &mac, NEIGH_VALID, FS_SEC(1));
	assert_non_null(answer.neigh);
	return ip_dst_add(&r->h.ip, &answer);
}

static const struct tcp_ops rig_tcp_ops = {
	.event = rig_event,
	.incoming = rig_incoming,
	.resolve = rig_resolve,
	.released = rig_released,
};

static inline void *rig_slab(struct slab *s, uint32_t n)
{
	void *memory = malloc(slab_bytes(s, n));

	assert_true(slab_add(s, memory, slab_bytes(s, n)) >= n);
	return memory;
}

static inline void raw_open_sized(struct raw_rig *r, const struct rig_sizes *sizes)
{
	static const struct siphash_key key = { { 7, 8 } };
	static const struct siphash_key secret[TCP_N_SECRETS] = { { { 11, 12 } }, { { 13, 14 } }, { { 15, 16 } } };

	memset(r, 0, sizeof(*r));
	rig_open_ip(&r->h, 0, sizes);
	r->h.env = (struct ip_env){ .csum = csum_ops(CSUM_SCALAR),
				    .tcp_input = tcp_input,
				    .tcp_quick = tcp_quick_input,
				    .context = r,
				    .tcp = &r->tcp,
				    .tcp_ops = &rig_tcp_ops,
				    .now = FS_SEC(1000) };
	tcp_init(&r->tcp, &r->h.ip, &key, secret, r->end_buckets, RIG_TCP_BUCKETS, r->listener_buckets,
		 RIG_TCP_BUCKETS, r->h.env.now);
	r->slabs[0] = rig_slab(&r->tcp.conns, RIG_CONNS);
	r->slabs[1] = rig_slab(&r->tcp.reqs, RIG_REQS);
	r->slabs[2] = rig_slab(&r->tcp.tws, RIG_TWS);
	r->peer4 = rig_v4(10, 0, 0, 2);
	r->peer6 = rig_v6(0xfd, 2);
}

static inline void raw_open(struct raw_rig *r)
{
	raw_open_sized(r, &(struct rig_sizes){ RIG_PINNED, RIG_PAYLOAD, RIG_CHUNK });
}

/* All that the engine was given is back; then the memory goes. */
static inline void raw_close(struct raw_rig *r)
{
	struct list *e;

	while ((e = list_first(&r->tcp.tw_age)) != NULL)
		tcp_tw_timer(&r->tcp, FS_CONTAINER_OF(e, struct tcp_tw, age));
	assert_int_equal(r->tcp.ends.count, 0);
	assert_int_equal(r->tcp.conns.in_use, 0);
	assert_int_equal(r->tcp.reqs.in_use, 0);
	assert_int_equal(r->tcp.tws.in_use, 0);
	assert_int_equal(r->tcp.n_conns, 0);
	assert_int_equal(r->tcp.n_orphans, 0);
	assert_int_equal(r->tcp.n_tw, 0);
	assert_int_equal(r->tcp.wheel.count, 0);
	assert_true(list_is_empty(&r->tcp.dirty));
	assert_true(list_is_empty(&r->tcp.holders));
	rig_close(&r->h);
	for (unsigned i = 0; i < FS_ARRAY_SIZE(r->slabs); i++)
		free(r->slabs[i]);
}

/* --- in --- */

/* Fill what @s leaves open. */
static inline void rig_complete(const struct raw_rig *r, struct raw_seg *s)
{
	if (ip_addr_is_any(&s->src))
		s->src = r->peer4;
	if (ip_addr_is_any(&s->dst))
		s->dst = ip_addr_is_v4(&s->src) ? r->h.v4 : r->h.v6;
	if (s->h.src_port == 0 && !s->no_port)
		s->h.src_port = RIG_PEER_PORT;
	if (s->h.dst_port == 0 && !s->no_port)
		s->h.dst_port = RIG_PORT;
	if (s->h.window == 0)
		s->h.window = 64240;
}

/* @s as a frame at @f; raw options of @raw_len bytes instead of s->h's, if any. */
static inline void rig_build_tcp(const struct raw_seg *s, struct rig_frame *f, const void *raw, size_t raw_len)
{
	struct eth_hdr eth = { .src = { { 2, 0, 0, 0, 0, 2 } }, .dst = { { 2, 0, 0, 0, 0, 1 } } };
	struct rig_datagram d = { .src = s->src, .dst = s->dst, .protocol = WIRE_PROTO_TCP, .tos = s->tos,
				  .ttl = s->ttl, .options = s->ip_options };
	size_t hdr_len = tcp_emit_len(&s->h) + raw_len;
	be16_t field;
	uint64_t pseudo;
	uint8_t *tcp;

	memset(f->bytes, 0, 256);
	eth.type = ip_addr_is_v4(&s->dst) ? ETH_TYPE_IPV4 : ETH_TYPE_IPV6;
	f->l3 = eth_emit(&eth, f->bytes, 64);
	rig_put_ip(f, &d, hdr_len + s->len);
	tcp = f->bytes + f->l4;
	assert_int_not_equal(tcp_emit(&s->h, tcp, TCP_MAX_HDR_LEN), 0);
	if (raw_len > 0) {
		memcpy(tcp + hdr_len - raw_len, raw, raw_len);
		tcp[12] = (uint8_t)((hdr_len / 4) << 4 | (tcp[12] & 15));
	}
	if (s->len > 0)
		memcpy(tcp + hdr_len, s->payload, s->len);
	pseudo = csum_pseudo(&s->src, &s->dst, WIRE_PROTO_TCP, (uint32_t)(hdr_len + s->len));
	memset(tcp + 16, 0, 2);
	field = csum_finish(csum_add(pseudo, csum_inline(tcp, hdr_len + s->len)));
	if (s->partial_checksum)
		field = csum_partial(pseudo);
	if (s->bad_checksum)
		field.raw ^= 0x100;
	memcpy(tcp + 16, &field, 2);
	f->len = f->l4 + hdr_len + s->len;
}

static inline void raw_in_options(struct raw_rig *r, const struct raw_seg *seg, const void *raw, size_t raw_len)
{
	static struct rig_frame f;
	struct raw_seg s = *seg;
	uint32_t ifindex = r->h.ip.port[0].ifindex;
	struct fbuf *frame;

	rig_complete(r, &s);
	rig_build_tcp(&s, &f, raw, raw_len);
	frame = rig_fbuf(&r->h, f.bytes, f.len, s.part);
	frame->gso_size = s.gso_size;
	frame->csum = s.csum;
	if (s.ifindex)
		r->h.ip.port[0].ifindex = s.ifindex;
	rig_input_fbuf(&r->h, frame);
	r->h.ip.port[0].ifindex = ifindex;
}

/* Inject, without the burst's end. */
static inline void raw_in(struct raw_rig *r, const struct raw_seg *seg)
{
	raw_in_options(r, seg, NULL, 0);
}

#define RAW_IN(r, ...) raw_in((r), &(struct raw_seg){ __VA_ARGS__ })

/* --- out --- */

/* The oldest segment that left, its checksums verified. False: none. */
static inline bool raw_out(struct raw_rig *r, struct raw_seg *s)
{
	static uint8_t bytes[RIG_FRAME_MAX];
	struct fbuf *frame = fbuf_queue_pop(&r->h.ip.port[0].out);
	struct packet p;
	uint32_t len;

	if (!frame)
		return false;
	len = fbuf_copy_out(frame, 0, bytes, sizeof(bytes));
	assert_int_equal(len, frame->total);
	assert_int_equal(packet_parse(&p, bytes, len, len), PACKET_OK);
	assert_int_equal(p.protocol, WIRE_PROTO_TCP);
	memset(s, 0, sizeof(*s));
	s->src = p.src;
	s->dst = p.dst;
	s->tos = p.tos;
	s->ttl = p.ttl;
	s->gso_size = frame->gso_size;
	s->csum = frame->csum;
	if (frame->csum == FBUF_CSUM_UNKNOWN) {
		uint64_t sum = csum_pseudo(&p.src, &p.dst, WIRE_PROTO_TCP, p.l4_len);

		assert_true(csum_is_valid(csum_add(sum, csum_inline(bytes + p.l4_offset, p.l4_len))));
	}
	assert_true(tcp_parse(&s->h, bytes + p.l4_offset, p.l4_len) > 0);
	s->len = p.payload_len;
	memcpy(s->bytes, bytes + p.payload_offset, FS_MIN(p.payload_len, sizeof(s->bytes)));
	s->payload = s->bytes;
	fbuf_free(frame);
	return true;
}

/* A segment left: these flags, and no other one behind it. */
static inline void rig_expect_one(struct raw_rig *r, struct raw_seg *s, uint16_t flags)
{
	struct raw_seg more;

	assert_true(raw_out(r, s));
	assert_int_equal(s->h.flags, flags);
	assert_false(raw_out(r, &more));
}

static inline void rig_expect_silence(struct raw_rig *r)
{
	struct raw_seg s;

	assert_false(raw_out(r, &s));
}

static inline void rig_forget_out(struct raw_rig *r)
{
	fbuf_queue_free(&r->h.ip.port[0].out);
}

/* --- time --- */

static inline fs_ns rig_now(const struct raw_rig *r)
{
	return r->h.env.now;
}

/* Move time and fire what is due on the way, each at its time. */
static inline void rig_run(struct raw_rig *r, fs_ns span)
{
	fs_ns end = r->h.env.now + span;

	while (tcp_next(&r->tcp) <= end) {
		r->h.env.now = FS_MAX(tcp_next(&r->tcp), r->h.env.now);
		tcp_advance(&r->tcp, &r->h.env, r->h.env.now);
	}
	r->h.env.now = end;
}

/* --- a listener --- */

static inline void rig_listen(struct raw_rig *r, struct tcp_listener *l, uint32_t backlog)
{
	memset(l, 0, sizeof(*l));
	l->local_port = RIG_PORT;
	l->is_v6 = true;
	tcp_options_default(&l->options, &r->tcp.config);
	assert_int_equal(tcp_listen(&r->tcp, l, backlog), 0);
}

/* The peer's SYN as Linux sends it, from @port. */
static inline struct raw_seg rig_syn(uint16_t port)
{
	return (struct raw_seg){
		.h = { .src_port = port, .seq = RIG_PEER_SEQ, .flags = TCP_SYN, .window = 64240, .mss = 1460,
		       .wscale = 7, .ts_val = RIG_TS,
		       .options = TCP_HAS_MSS | TCP_HAS_SACK_PERMITTED | TCP_HAS_TIMESTAMP | TCP_HAS_WSCALE },
	};
}

/* The handshake's last ACK that answers the SYN-ACK @synack. */
static inline struct raw_seg rig_third(const struct raw_seg *synack)
{
	return (struct raw_seg){
		.src = synack->dst,
		.dst = synack->src,
		.h = { .src_port = synack->h.dst_port, .dst_port = synack->h.src_port, .seq = synack->h.ack,
		       .ack = synack->h.seq + 1, .flags = TCP_ACK, .window = 502,
		       .options = synack->h.options & TCP_HAS_TIMESTAMP, .ts_val = RIG_TS + 1,
		       .ts_ecr = synack->h.ts_val },
	};
}

/* SYN in, SYN-ACK out. */
static inline struct raw_seg rig_half_open(struct raw_rig *r, uint16_t port)
{
	struct raw_seg syn = rig_syn(port), synack;

	raw_in(r, &syn);
	rig_expect_one(r, &synack, TCP_SYN | TCP_ACK);
	return synack;
}

/* A whole handshake; the connection waits in the accept queue. Returns the SYN-ACK. */
static inline struct raw_seg rig_complete_open(struct raw_rig *r, uint16_t port)
{
	struct raw_seg synack = rig_half_open(r, port), third = rig_third(&synack);

	raw_in(r, &third);
	tcp_burst_end(&r->tcp, &r->h.env, rig_now(r));
	return synack;
}

/* A connection of the peer's, accepted, with its handshake's SYN-ACK in @synack. */
static inline struct tcp_conn *rig_accepted(struct raw_rig *r, struct tcp_listener *l, uint16_t port,
					    struct raw_seg *synack)
{
	struct tcp_conn *c;

	*synack = rig_complete_open(r, port);
	c = tcp_accept(l);
	assert_non_null(c);
	c->user = r;
	return c;
}

/* The peer's next segment to @c, with timestamps. */
static inline struct raw_seg rig_next(const struct tcp_conn *c, uint16_t flags, const struct raw_seg *last)
{
	return (struct raw_seg){ .src = c->end.remote,
				 .dst = c->end.local,
				 .h = { .src_port = c->end.remote_port, .dst_port = c->end.local_port, .flags = flags,
					.seq = c->rcv_nxt, .ack = c->snd_nxt, .window = 502,
					.options = TCP_HAS_TIMESTAMP, .ts_val = RIG_TS + 2, .ts_ecr = last->h.ts_val } };
}

/* @s and the burst's end. */
static inline void rig_burst(struct raw_rig *r, const struct raw_seg *s)
{
	raw_in(r, s);
	tcp_burst_end(&r->tcp, &r->h.env, rig_now(r));
}

static inline ssize_t rig_write(struct raw_rig *r, struct tcp_conn *c, const void *bytes, size_t len, uint32_t flags)
{
	struct iovec iov = { (void *)(uintptr_t)bytes, len };

	return tcp_send(c, &r->h.env, &iov, 1, flags, rig_now(r));
}

/* Every connection there is memory for; returns how many, into @taken (RIG_CONNS and a few). */
enum { RIG_HOARD = RIG_CONNS + 8 };
static inline unsigned rig_hoard(struct raw_rig *r, struct tcp_conn *taken[RIG_HOARD])
{
	unsigned n = 0;

	while (n < RIG_HOARD && (taken[n] = tcp_open(&r->tcp, r)) != NULL)
		n++;
	assert_in_range(n, 1, RIG_HOARD - 1);
	return n;
}

static inline void rig_release(struct raw_rig *r, struct tcp_conn *taken[RIG_HOARD], unsigned n)
{
	while (n > 0)
		tcp_abort(taken[--n], &r->h.env, rig_now(r));
}

/* The end of the peer at @port. */
static inline struct tcp_end *rig_end(struct raw_rig *r, uint16_t port)
{
	return tcp_end_find(&r->tcp, &r->h.v4, RIG_PORT, &r->peer4, port);
}

#endif
