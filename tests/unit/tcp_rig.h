/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_rig.h - one TCP engine in a test, and a peer made of segments written and read by hand.
 *
 * The engine is host 0 of ip_rig.h; the peer is 10.0.0.2 or fd00::2. The test says what the peer sends
 * (rig_seg_in()) and looks at what the engine sends (rig_out()). Time is rig.now. Sequence numbers are relative:
 * what the peer sends begins behind its SYN (rig.irs + 1 is 0), what the engine sends behind ours.
 */
#ifndef FSOCK_TESTS_UNIT_TCP_RIG_H
#define FSOCK_TESTS_UNIT_TCP_RIG_H

#include "ip_rig.h"
#include "tcp/conn.h"
#include "tcp/tcp.h"
#include "wire/packet.h"
#include "wire/tcp.h"

enum {
	TRIG_CONNS = 8,
	TRIG_PORT = 5000,
	TRIG_PEER_PORT = 80,
	TRIG_IRS = 70000,
	TRIG_WINDOW = 65535, /* the peer's, unscaled */
	TRIG_TS = 1000000,   /* the peer's timestamp of its SYN */
	TRIG_ISN_MAX = 16,
};

struct tcp_rig {
	struct rig_host h;
	struct tcp_stack tcp;
	struct table_node *end_buckets[RIG_BUCKETS], *listener_buckets[RIG_BUCKETS];
	void *memory[3];
	fs_ns now;
	bool v6;
	bool no_route;
	uint16_t port; /* ours that the peer speaks to; 0 = TRIG_PORT */
	/* --- the connection under test, and its handshake's numbers --- */
	struct tcp_conn *c;
	tcp_seq iss, irs;
	uint32_t our_ts; /* TSval of the last segment seen */
	bool ts;
	/* --- told --- */
	uint32_t edges; /* since the test last cleared it */
	unsigned events, released, incoming;
};

/* What the peer says in its SYN-ACK. */
struct rig_offer {
	bool ts, sack, wscale, ecn;
	uint8_t shift;
	uint16_t mss;
};

/* A segment of the peer's. Numbers are relative; flags 0 = ACK. */
struct rig_seg {
	uint32_t seq, ack;
	uint16_t flags, window, urgent;
	const void *data;
	size_t len;
	bool ce, ect, no_ts, absolute;
	uint32_t ts; /* 0 = TRIG_TS + ms since the rig began */
	uint32_t ts_ecr; /* 0 = what we sent last */
	uint8_t options, wscale; /* beyond timestamps */
	uint16_t mss;
	uint16_t gso; /* super-frame */
};

/* A segment of ours. h.seq and h.ack are relative unless the connection is not begun. */
struct rig_sent {
	struct tcp_hdr h;
	uint8_t data[RIG_FRAME_MAX];
	size_t len;
	uint8_t tos;
};

/* inline definitions */

static inline void trig_event(void *context, struct tcp_conn *conn, uint32_t edges)
{
	struct tcp_rig *r = context;

	r->edges |= edges;
	r->events++;
}

static inline void trig_incoming(void *context, struct tcp_listener *listener)
{
	((struct tcp_rig *)context)->incoming++;
}

static inline struct ip_addr trig_peer(const struct tcp_rig *r)
{
	return r->v6 ? rig_v6(0xfd, 2) : rig_v4(10, 0, 0, 2);
}

static inline struct ip_addr trig_self(const struct tcp_rig *r)
{
	return r->v6 ? r->h.v6 : r->h.v4;
}

static inline struct ip_dst *trig_resolve(void *context, const struct ip_addr *remote, const struct ip_addr *local,
					  uint64_t choice)
{
	static const struct ip_addr any;
	struct tcp_rig *r = context;
	struct ip_dst *dst = ip_dst_find(&r->h.ip, remote, &any, 0);

	if (r->no_route)
		return NULL;
	return dst ? dst : rig_dst(&r->h, *remote);
}

static inline void trig_released(void *context, struct tcp_conn *conn, void *user)
{
	((struct tcp_rig *)context)->released++;
}

static const struct tcp_ops trig_ops = {
	.event = trig_event,
	.incoming = trig_incoming,
	.resolve = trig_resolve,
	.released = trig_released,
};

static inline void *trig_slab(struct slab *s, uint32_t n)
{
	void *memory = malloc(slab_bytes(s, n));

	slab_add(s, memory, slab_bytes(s, n));
	return memory;
}

static inline void trig_open_sized(struct tcp_rig *r, const struct rig_sizes *sizes)
{
	static const struct siphash_key key = { { 7, 8 } };
	static const struct siphash_key secret[TCP_N_SECRETS] = { { { 1, 2 } }, { { 3, 4 } }, { { 5, 6 } } };

	memset(r, 0, sizeof(*r));
	rig_open_ip(&r->h, 0, sizes);
	r->now = FS_SEC(100);
	tcp_init(&r->tcp, &r->h.ip, &key, secret, r->end_buckets, RIG_BUCKETS, r->listener_buckets, RIG_BUCKETS,
		 r->now);
	r->memory[0] = trig_slab(&r->tcp.conns, TRIG_CONNS);
	r->memory[1] = trig_slab(&r->tcp.reqs, TRIG_CONNS);
	r->memory[2] = trig_slab(&r->tcp.tws, TRIG_CONNS);
	r->irs = TRIG_IRS;
	r->h.env = (struct ip_env){
		.csum = csum_ops(CSUM_SCALAR),
		.tcp_input = tcp_input,
		.context = r,
		.tcp = &r->tcp,
		.tcp_ops = &trig_ops,
		.now = r->now,
	};
}

static inline void trig_open(struct tcp_rig *r)
{
	trig_open_sized(r, &(struct rig_sizes){ RIG_PINNED, RIG_PAYLOAD, RIG_CHUNK });
}

/* The next segment the engine sent. False: none. */
static inline bool rig_out(struct tcp_rig *r, struct rig_sent *s)
{
	static uint8_t bytes[RIG_FRAME_MAX];
	struct fbuf *frame = fbuf_queue_pop(&r->h.ip.port[0].out);
	struct packet p;
	uint32_t len;
	int hdr_len;

	if (!frame)
		return false;
	len = fbuf_copy_out(frame, 0, bytes, sizeof(bytes));
	fbuf_free(frame);
	assert_int_equal(packet_parse(&p, bytes, len, len), PACKET_OK);
	assert_int_equal(p.protocol, WIRE_PROTO_TCP);
	assert_true(ip_addr_equal(&p.dst, &(struct ip_addr){ .b = { 0 } }) || p.src_port != 0);
	hdr_len = tcp_parse(&s->h, bytes + p.l4_offset, p.l4_len);
	assert_true(hdr_len >= TCP_HDR_LEN);
	s->len = p.l4_len - (size_t)hdr_len;
	s->tos = p.tos;
	memcpy(s->data, bytes + p.l4_offset + hdr_len, s->len);
	if (s->h.options & TCP_HAS_TIMESTAMP)
		r->our_ts = s->h.ts_val;
	if (s->h.flags & TCP_SYN) {
		r->iss = s->h.seq;
		return true;
	}
	s->h.seq -= r->iss + 1;
	s->h.ack -= r->irs + 1;
	for (unsigned i = 0; i < s->h.n_sack; i++) {
		s->h.sack[i].left -= r->irs + 1;
		s->h.sack[i].right -= r->irs + 1;
	}
	return true;
}

/* Nothing was sent. */
static inline void rig_no_out(struct tcp_rig *r)
{
	assert_int_equal(r->h.ip.port[0].out.frames, 0);
}

/* Exactly one segment was sent. */
static inline struct rig_sent *rig_one_out(struct tcp_rig *r)
{
	static struct rig_sent s;

	assert_true(rig_out(r, &s));
	rig_no_out(r);
	return &s;
}

/* Exactly one was sent, a bare ACK of @ack. */
static inline struct rig_sent *rig_ack_out(struct tcp_rig *r, uint32_t ack)
{
	struct rig_sent *s = rig_one_out(r);

	assert_int_equal(s->h.flags & ~(TCP_ECE | TCP_CWR), TCP_ACK);
	assert_int_equal(s->len, 0);
	assert_int_equal(s->h.ack, ack);
	return s;
}

/* Exactly one was sent, an RST. */
static inline struct rig_sent *rig_rst_out(struct tcp_rig *r)
{
	struct rig_sent *s = rig_one_out(r);

	assert_true(s->h.flags & TCP_RST);
	return s;
}

static inline void rig_drain(struct tcp_rig *r)
{
	static struct rig_sent s;

	while (rig_out(r, &s))
		;
}

static inline size_t trig_put_tcp(struct tcp_rig *r, const struct rig_seg *s, uint8_t *to)
{
	struct tcp_hdr h = { .src_port = TRIG_PEER_PORT,
			     .dst_port = r->port ? r->port : (uint16_t)TRIG_PORT,
			     .seq = s->absolute ? s->seq : r->irs + 1 + s->seq,
			     .ack = s->absolute ? s->ack : r->iss + 1 + s->ack,
			     .flags = s->flags ? s->flags : (uint16_t)TCP_ACK,
			     .window = s->window ? s->window : (uint16_t)TRIG_WINDOW,
			     .urgent = s->urgent,
			     .options = s->options,
			     .wscale = s->wscale,
			     .mss = s->mss };

	if (s->window == 1)
		h.window = 0; /* 0 says nothing: 1 stands for it */
	if (r->ts && !s->no_ts) {
		h.options |= TCP_HAS_TIMESTAMP;
		h.ts_val = s->ts ? s->ts : TRIG_TS + (uint32_t)((r->now - FS_SEC(100)) / FS_MS(1));
		h.ts_ecr = s->ts_ecr ? s->ts_ecr : r->our_ts;
	}
	return tcp_emit(&h, to, TCP_MAX_HDR_LEN);
}

/* The segment as a frame of the engine's pool. */
static inline struct fbuf *rig_seg_frame(struct tcp_rig *r, const struct rig_seg *s)
{
	static struct rig_frame f;
	struct ip_addr src = trig_peer(r), dst = trig_self(r);
	struct eth_hdr eth = { .dst = r->h.mac, .src = { { 2, 0, 0, 0, 0, 2 } } };
	struct rig_datagram d = { .src = src, .dst = dst, .protocol = WIRE_PROTO_TCP };
	uint8_t tcp[TCP_MAX_HDR_LEN];
	size_t hdr_len = trig_put_tcp(r, s, tcp), len = hdr_len + s->len;
	struct fbuf *frame;
	be16_t field;

	memset(&f, 0, sizeof(f));
	d.tos = s->ce ? 3 : s->ect ? 2 : 0;
	eth.type = r->v6 ? ETH_TYPE_IPV6 : ETH_TYPE_IPV4;
	f.l3 = eth_emit(&eth, f.bytes, 64);
	rig_put_ip(&f, &d, len);
	memcpy(f.bytes + f.l4, tcp, hdr_len);
	if (s->len)
		memcpy(f.bytes + f.l4 + hdr_len, s->data, s->len);
	field = csum_finish(csum_add(csum_pseudo(&src, &dst, WIRE_PROTO_TCP, (uint32_t)len),
				     csum_inline(f.bytes + f.l4, len)));
	memcpy(f.bytes + f.l4 + 16, &field, 2);
	frame = rig_fbuf(&r->h, f.bytes, f.l4 + len, 0);
	if (s->gso) {
		frame->gso_size = s->gso;
		frame->csum = FBUF_CSUM_VERIFIED;
	}
	return frame;
}

/* It arrives; the burst goes on. */
static inline void rig_seg_part(struct tcp_rig *r, struct rig_seg s)
{
	r->h.env.now = r->now;
	rig_input_fbuf(&r->h, rig_seg_frame(r, &s));
}

static inline void rig_burst_end(struct tcp_rig *r)
{
	tcp_burst_end(&r->tcp, &r->h.env, r->now);
}

/* It arrives, alone in its burst. */
static inline void rig_seg_in(struct tcp_rig *r, struct rig_seg s)
{
	rig_seg_part(r, s);
	rig_burst_end(r);
}

/* Time passes; what is due fires, in order. */
static inline void rig_wait(struct tcp_rig *r, fs_ns span)
{
	fs_ns end = r->now + span;

	while (tcp_next(&r->tcp) <= end) {
		r->now = FS_MAX(r->now, tcp_next(&r->tcp));
		r->h.env.now = r->now;
		tcp_advance(&r->tcp, &r->h.env, r->now);
	}
	r->now = end;
	r->h.env.now = end;
	tcp_advance(&r->tcp, &r->h.env, r->now);
}

static inline int trig_connect(struct tcp_rig *r)
{
	struct ip_addr any = { 0 }, peer = trig_peer(r);

	if (!r->c)
		r->c = tcp_open(&r->tcp, r);
	assert_non_null(r->c);
	return tcp_connect(r->c, &r->h.env, &any, TRIG_PORT, &peer, TRIG_PEER_PORT, r->now);
}

static const struct rig_offer rig_modern = { .ts = true, .sack = true, .wscale = true, .shift = 7, .mss = 1460 };
static const struct rig_offer rig_plain = { .mss = 1460 };
static const struct rig_offer rig_sacking = { .sack = true, .mss = 1460 };

/* Connected: SYN, SYN-ACK with @offer, ACK. */
static inline void rig_establish(struct tcp_rig *r, const struct rig_offer *offer)
{
	struct rig_seg synack = { .seq = r->irs, .flags = TCP_SYN | TCP_ACK, .absolute = true };
	struct rig_sent *s;

	assert_int_equal(trig_connect(r), 0);
	s = rig_one_out(r);
	assert_int_equal(s->h.flags & (TCP_SYN | TCP_ACK), TCP_SYN);
	r->ts = offer->ts;
	synack.ack = r->iss + 1;
	synack.mss = offer->mss;
	synack.options = (offer->mss ? TCP_HAS_MSS : 0) | (offer->sack ? TCP_HAS_SACK_PERMITTED : 0) |
			 (offer->wscale ? TCP_HAS_WSCALE : 0);
	synack.wscale = offer->shift;
	if (offer->ecn)
		synack.flags |= TCP_ECE;
	rig_seg_in(r, synack);
	assert_int_equal(r->c->state, TCP_ESTABLISHED);
	rig_ack_out(r, 0);
	r->edges = r->events = 0;
}

/* An engine with an established connection. */
static inline void rig_connected(struct tcp_rig *r, const struct rig_offer *offer)
{
	trig_open(r);
	rig_establish(r, offer);
}

/* All memory is back; then it goes. The connection is aborted first if there is one still. */
static inline void trig_close(struct tcp_rig *r)
{
	if (r->c)
		tcp_abort(r->c, &r->h.env, r->now);
	rig_drain(r);
	rig_wait(r, FS_SEC(500));
	rig_drain(r);
	assert_int_equal(r->tcp.n_conns, 0);
	assert_int_equal(r->tcp.n_orphans, 0);
	assert_int_equal(r->tcp.ends.count, 0);
	assert_true(list_is_empty(&r->tcp.holders));
	assert_true(list_is_empty(&r->tcp.dirty));
	rig_close(&r->h);
	for (unsigned i = 0; i < FS_ARRAY_SIZE(r->memory); i++)
		free(r->memory[i]);
}

static inline ssize_t rig_recv_flags(struct tcp_rig *r, void *to, size_t len, uint32_t flags)
{
	struct iovec iov = { to, len };

	return tcp_recv(r->c, &r->h.env, &iov, 1, flags, 0, r->now);
}

static inline ssize_t rig_recv(struct tcp_rig *r, void *to, size_t len)
{
	return rig_recv_flags(r, to, len, 0);
}

static inline ssize_t rig_write(struct tcp_rig *r, const void *bytes, size_t len)
{
	struct iovec iov = { (void *)(uintptr_t)bytes, len };

	return tcp_send(r->c, &r->h.env, &iov, 1, 0, r->now);
}

/* The program reads exactly these bytes, and then there are no more. */
static inline void rig_reads(struct tcp_rig *r, const void *bytes, size_t len)
{
	static uint8_t got[RIG_FRAME_MAX];

	assert_int_equal(rig_recv(r, got, sizeof(got)), len);
	assert_memory_equal(got, bytes, len);
	assert_int_equal(r->c->rx.frames, 0);
}

static inline uint64_t rig_counter(const struct tcp_rig *r, enum fs_counter which)
{
	return r->h.counters[which];
}

enum { RIG_PATTERN = 1 << 18 };

/* RIG_PATTERN bytes that tell where they belong. */
static inline const uint8_t *rig_pattern(void)
{
	static uint8_t bytes[RIG_PATTERN];

	if (bytes[1] == 0)
		for (unsigned i = 0; i < sizeof(bytes); i++)
			bytes[i] = (uint8_t)(i * 7 + i / 251);
	return bytes;
}

#endif
