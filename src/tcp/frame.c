/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * frame.c - headers in front of segments: what output.c decided to send becomes a frame in the port's queue.
 *
 * The payload stays where tcp_send() put it; headers go into the room in front of the frame's first segment,
 * which may be written over by the next transmission: a segment that somebody else still holds is copied. The
 * checksum comes from the sums that the segments keep, or is left to the provider. Many segments are one
 * super-frame where the port takes them, and one ordinary frame where they are small.
 *
 * Not here: what may be sent, sequence numbers, timers (output.c); segments of no connection (reply.c).
 * Standards: RFC 9293 3.1, RFC 7323 3.2 and appendix A, RFC 2018 3, RFC 3168 6.1, RFC 6093.
 */
#include <string.h>

#include "base/counter.h"
#include "base/csum.h"
#include "base/err.h"
#include "ip/header.h"
#include "ip/ip.h"
#include "tcp/output_internal.h"
#include "wire/eth.h"
#include "wire/protocol.h"
#include "wire/tcp.h"

#define NOINLINE __attribute__((noinline))
#define INLINE	 inline __attribute__((always_inline))

enum {
	ECT0 = 2, /* RFC 3168 5: ECN-capable transport */
	ECN_BITS = 3,
	CHECKSUM_AT = 16, /* of the field in the TCP header */
	SACK_BLOCKS = 4,
	SACK_BLOCKS_TS = 3, /* beside timestamps */
};

static_assert(IP_TX_HEADROOM >= IP_HEADER_ROOM + TCP_MAX_HDR_LEN, "headers fit in front of the payload");

/* --- parts of headers --- */

/* IP_TOS, IP_TTL and their likes, and ECT. */
static NOINLINE void restyle(const struct tcp_conn *c, const struct ip_dst *dst, uint8_t *ip, bool ect)
{
	const struct tcp_style *style = &c->options.style[dst->is_v6];

	ip_header_restyle(dst, ip, (uint8_t)((style->tos & ~ECN_BITS) | (ect ? ECT0 : 0)), style->hop_limit);
}

static INLINE bool is_plain(const struct tcp_conn *c, const struct ip_dst *dst)
{
	const struct tcp_style *style = &c->options.style[dst->is_v6];

	return (style->tos | style->hop_limit) == 0;
}

/* ECT belongs on data sent for the first time only (RFC 3168 6.1.1, 6.1.4, 6.1.5); DCTCP wants it everywhere, and
 * what is not marked would be lost where others are marked. */
static NOINLINE bool wants_ect(const struct tcp_conn *c, bool new_data)
{
	return tcp_has(c, TCP_CONN_ECN) && (new_data || tcp_cc_at(c->cc.algorithm)->wants_ecn);
}

static NOINLINE void put_urgent(const struct tcp_conn *c, struct tcp_hdr *h)
{
	uint32_t ahead = c->snd_up - h->seq;

	if (!seq_lt(h->seq, c->snd_up))
		return;
	/* Too far for the field: it says "further on", as long as that is the truth of all that was sent. */
	if (ahead > UINT16_MAX && !seq_gt(h->seq + UINT16_MAX, c->snd_nxt))
		return;
	h->flags |= TCP_URG;
	h->urgent = (uint16_t)FS_MIN(ahead, (uint32_t)UINT16_MAX);
}

/* The header every segment of a connection in a synchronised state has. */
static INLINE void fill_header(struct tcp_conn *c, struct tcp_hdr *h, tcp_seq seq, uint16_t flags, fs_ns now)
{
	h->src_port = c->end.local_port;
	h->dst_port = c->end.remote_port;
	h->seq = seq;
	h->ack = c->rcv_nxt;
	h->flags = flags;
	h->window = tcp_announce_window(c, false);
	h->urgent = 0;
	h->options = 0;
	if (tcp_has(c, TCP_CONN_TS)) {
		h->options = TCP_HAS_TIMESTAMP;
		h->ts_val = tcp_ts_now(c, now);
		h->ts_ecr = c->ts_recent;
	}
	if (__builtin_expect(tcp_has(c, TCP_CONN_ECE_ECHO | TCP_CONN_URG_OUT), 0)) {
		if (tcp_has(c, TCP_CONN_ECE_ECHO))
			h->flags |= TCP_ECE;
		if (tcp_has(c, TCP_CONN_URG_OUT))
			put_urgent(c, h);
	}
}

/* --- queueing --- */

/* What all frames end with: IP and link header in front of @l4, whose segment is @len bytes with payload. */
static INLINE void put_ip(struct tcp_conn *c, const struct ip_env *env, struct ip_dst *dst, struct fbuf *frame,
			  uint8_t *l4, uint32_t len, bool ect)
{
	uint8_t *ip = ip_header_put(dst, l4, len, WIRE_PROTO_TCP);
	uint32_t headers = (uint32_t)(frame->data - l4) + dst->header_len;

	if (__builtin_expect(ect || !is_plain(c, dst), 0))
		restyle(c, dst, ip, ect);
	frame->data -= headers;
	frame->len += headers;
	frame->total += headers;
	frame->port = dst->port;
	frame->l3_offset = ETH_HDR_LEN;
	dst->neigh->used_at = env->now;
	fbuf_queue_push(&c->stack->ip->port[dst->port].out, frame);
	tcp_count(c, FS_CTR_tcp_segments_out);
}

/* The field for @sum over header and payload of @len bytes together, or the provider's share of it. */
static INLINE void put_checksum(const struct ip_dst *dst, struct fbuf *frame, uint8_t *l4, uint64_t sum, uint32_t len)
{
	uint64_t pseudo = csum_add(ip_pseudo_sum(dst, WIRE_PROTO_TCP), ip_sum16((uint16_t)len));
	be16_t field;

	if (frame->csum == FBUF_CSUM_PARTIAL)
		field = csum_partial(pseudo);
	else
		field = csum_finish(csum_add(pseudo, sum));
	memcpy(l4 + CHECKSUM_AT, &field, sizeof(field));
}

/* An ACK left with what was sent. Blocks for a hole that nobody told of yet need a segment of their own: those with
 * payload have no room for them. */
static INLINE void acked(struct tcp_conn *c)
{
	if (__builtin_expect(c->n_ooo == 0 && !(c->ack_flags & TCP_ACK_DSACK), 1))
		tcp_ack_sent(c);
}

/* --- payload --- */

/* The sum of one segment, which a write to a port that completes checksums did not take. */
static NOINLINE uint16_t take_sum(const struct ip_env *env, struct fbuf *f)
{
	struct tcp_seg *s = tcp_seg(f);

	s->sum = csum_fold(csum_bytes(env->csum, f->chunk + s->offset, s->len));
	s->marks |= TCP_SEG_SUMMED;
	return s->sum;
}

static INLINE uint64_t sum_of(const struct ip_env *env, struct fbuf *f)
{
	return tcp_seg(f)->marks & TCP_SEG_SUMMED ? tcp_seg(f)->sum : take_sum(env, f);
}

static NOINLINE uint64_t sum_run(const struct ip_env *env, const struct tcp_run *run)
{
	struct fbuf *f = run->first;
	uint64_t sum = 0;
	size_t at = 0;

	for (uint32_t i = 0; i < run->n; i++, f = tcp_seg(f)->next) {
		sum = csum_combine(sum, sum_of(env, f), at);
		at += tcp_seg(f)->len;
	}
	return sum;
}

/* Make @f's chunk describe its payload again, whatever headers a former transmission put in front. */
static INLINE void show_payload(struct fbuf *f)
{
	f->data = f->chunk + tcp_seg(f)->offset;
	f->len = f->total = tcp_seg(f)->len;
	f->next = NULL;
}

static bool is_shared(const struct tcp_run *run)
{
	struct fbuf *f = run->first;

	for (uint32_t i = 0; i < run->n; i++, f = tcp_seg(f)->next) {
		if (fbuf_is_shared(f))
			return true;
	}
	return false;
}

/* A frame of its own with @run's bytes. NULL = no memory. */
static struct fbuf *copy_run(struct tcp_conn *c, const struct ip_port *port, const struct tcp_run *run)
{
	struct fbuf *copy = NULL, *f = run->first;

	if (port->pool->n_free > port->pool->low_water)
		copy = fbuf_alloc_chain(port->pool, run->len);
	if (!copy) {
		tcp_count(c, FS_CTR_pool_empty);
		return NULL;
	}
	for (uint32_t i = 0; i < run->n; i++, f = tcp_seg(f)->next) {
		fbuf_append(copy, f->chunk + tcp_seg(f)->offset, tcp_seg(f)->len);
		tcp_count(c, FS_CTR_tcp_retransmit_copies);
	}
	return copy;
}

/* The segments of @run as a chain, each with a second owner. */
static void chain_run(const struct tcp_run *run)
{
	struct fbuf *f = run->first, *last = NULL;

	for (uint32_t i = 0; i < run->n; i++, f = tcp_seg(f)->next) {
		show_payload(f);
		fbuf_hold(f);
		if (last)
			last->next = f;
		last = f;
	}
	run->first->total = run->len;
}

/* The same for every case: several segments, shared ones. NULL = no memory. */
static NOINLINE struct fbuf *lend_run(struct tcp_conn *c, const struct ip_port *port, const struct tcp_run *run)
{
	if (is_shared(run))
		return copy_run(c, port, run);
	chain_run(run);
	return run->first;
}

static INLINE struct fbuf *lend(struct tcp_conn *c, const struct ip_port *port, const struct tcp_run *run)
{
	if (__builtin_expect(run->n != 1 || fbuf_is_shared(run->first), 0))
		return lend_run(c, port, run);
	show_payload(run->first);
	fbuf_hold(run->first);
	return run->first;
}

bool tcp_frame_data(struct tcp_conn *c, const struct ip_env *env, struct ip_dst *dst, const struct tcp_run *run,
		    fs_ns now)
{
	struct ip_port *port = &c->stack->ip->port[dst->port];
	struct fbuf *frame = lend(c, port, run);
	bool is_super = run->len > c->mss, ect = false;
	uint64_t sum = 0;
	struct tcp_hdr h;
	uint8_t *l4;
	uint32_t len;

	if (!frame)
		return false;
	fill_header(c, &h, tcp_seg(run->first)->seq, (uint16_t)(TCP_ACK | run->flags), now);
	frame->csum = port->tx_csum_partial || is_super ? FBUF_CSUM_PARTIAL : FBUF_CSUM_UNKNOWN;
	frame->gso_size = is_super ? c->mss : 0;
	if (frame->csum != FBUF_CSUM_PARTIAL)
		sum = run->n == 1 ? sum_of(env, run->first) : sum_run(env, run);
	len = (uint32_t)tcp_emit_common_len(&h);
	l4 = frame->data - len;
	len += run->len;
	sum = csum_add(sum, tcp_emit_common(&h, l4));
	put_checksum(dst, frame, l4, sum, len);
	if (__builtin_expect(tcp_has(c, TCP_CONN_ECN), 0))
		ect = wants_ect(c, !run->again);
	put_ip(c, env, dst, frame, l4, len, ect);
	c->data_out++;
	if (__builtin_expect(is_super, 0)) {
		c->data_out += (run->len - 1) / c->mss;
		c->stack->ip->counters[FS_CTR_tcp_segments_out] += (run->len - 1) / c->mss;
		tcp_count(c, FS_CTR_tcp_super_out);
	}
	acked(c);
	return true;
}

/* --- without payload --- */

static INLINE struct fbuf *control_frame(struct tcp_conn *c, const struct ip_port *port)
{
	struct fbuf *f = fbuf_alloc(port->pool);

	if (!f)
		f = fbuf_alloc(c->stack->ip->payload);
	if (!f) {
		tcp_count(c, FS_CTR_pool_empty);
		return NULL;
	}
	f->data = f->chunk + IP_TX_HEADROOM;
	f->csum = port->tx_csum_partial ? FBUF_CSUM_PARTIAL : FBUF_CSUM_UNKNOWN;
	return f;
}

/* Write @h in any form, with @payload_sum of @payload bytes behind it. */
static NOINLINE void put_any(struct tcp_conn *c, const struct ip_env *env, struct ip_dst *dst, struct fbuf *frame,
			     struct tcp_hdr *h, uint64_t payload_sum)
{
	uint32_t header = (uint32_t)tcp_emit_len(h), len = header + frame->total;
	uint8_t *l4 = frame->data - header;

	h->src_port = c->end.local_port;
	h->dst_port = c->end.remote_port;
	h->checksum = 0;
	tcp_emit(h, l4, header);
	put_checksum(dst, frame, l4, csum_add(payload_sum, csum_inline(l4, header)), len);
	put_ip(c, env, dst, frame, l4, len, wants_ect(c, false));
}

bool tcp_frame_control(struct tcp_conn *c, const struct ip_env *env, struct ip_dst *dst, tcp_seq seq, uint16_t flags,
		       fs_ns now)
{
	struct fbuf *frame = control_frame(c, &c->stack->ip->port[dst->port]);
	struct tcp_hdr h;
	uint8_t *l4;
	uint64_t sum;

	if (!frame)
		return false;
	fill_header(c, &h, seq, flags, now);
	h.n_sack = 0;
	if ((c->n_ooo > 0 || (c->ack_flags & TCP_ACK_DSACK)) && tcp_has(c, TCP_CONN_SACK) && !(flags & TCP_RST))
		h.n_sack = (uint8_t)tcp_ooo_blocks(c, h.sack,
						   tcp_has(c, TCP_CONN_TS) ? SACK_BLOCKS_TS : SACK_BLOCKS);
	if (__builtin_expect(h.n_sack > 0 || tcp_has(c, TCP_CONN_ECN), 0)) {
		put_any(c, env, dst, frame, &h, 0);
	} else {
		uint32_t len = (uint32_t)tcp_emit_common_len(&h);

		l4 = frame->data - len;
		sum = tcp_emit_common(&h, l4);
		put_checksum(dst, frame, l4, sum, len);
		put_ip(c, env, dst, frame, l4, len, false);
	}
	c->bare_out++;
	if (flags & TCP_ACK)
		tcp_ack_sent(c);
	return true;
}

bool tcp_frame_syn(struct tcp_conn *c, const struct ip_env *env, struct ip_dst *dst, struct tcp_hdr *h,
		   const struct tcp_run *run)
{
	struct ip_port *port = &c->stack->ip->port[dst->port];
	struct fbuf *frame = run ? lend(c, port, run) : control_frame(c, port);
	uint64_t sum = 0;

	if (!frame)
		return false;
	frame->csum = port->tx_csum_partial ? FBUF_CSUM_PARTIAL : FBUF_CSUM_UNKNOWN;
	frame->gso_size = 0;
	if (run)
		sum = sum_run(env, run);
	put_any(c, env, dst, frame, h, sum);
	*(run ? &c->data_out : &c->bare_out) += 1;
	return true;
}
