/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lone.c - the short way out: a write that is one segment, with nothing before it and nothing that holds it back.
 *
 * That is every question and every answer of a dialogue. What send.c, output.c, frame.c and window.c do one after the
 * other is done here at once, for that case only: first every condition, then every change. Whatever is unusual goes
 * their way. Both ways leave the same bytes on the wire and the same connection behind (test_tcp_quick.c compares
 * them).
 */
#include <string.h>

#include "base/counter.h"
#include "base/csum.h"
#include "base/err.h"
#include "ip/header.h"
#include "ip/ip.h"
#include "tcp/cc.h"
#include "tcp/conn.h"
#include "tcp/loss.h"
#include "tcp/recv_internal.h"
#include "tcp/send_internal.h"
#include "tcp/tcp_internal.h"
#include "wire/eth.h"
#include "wire/protocol.h"
#include "wire/tcp.h"

#define INLINE inline __attribute__((always_inline))

enum {
	CHECKSUM_AT = 16, /* of the field in the TCP header */
	HEADER = TCP_HDR_LEN + TCP_TS_LAYOUT_LEN,
	HEADERS = ETH_HDR_LEN + IPV4_HDR_LEN, /* in front of it */

	/* Flags of which each asks for something more than this file does, but the last, which it relies on. */
	LOOKED_AT = TCP_CONN_FROZEN | TCP_CONN_FIN_QUEUED | TCP_CONN_URG_OUT | TCP_CONN_NO_SPACE | TCP_CONN_DST_BLOCKED |
		    TCP_CONN_PUSH_ALL | TCP_CONN_CWND_LIMITED | TCP_CONN_PLAIN,
	USUAL = TCP_CONN_PLAIN,
};

void tcp_plain_update(struct tcp_conn *c)
{
	const uint32_t agreed = TCP_CONN_TS | TCP_CONN_SACK | TCP_CONN_WSCALE;
	const struct tcp_style *style = &c->options.style[0];
	const struct tcp_cc_ops *cc = tcp_cc_of(&c->cc);

	c->flags &= ~(uint32_t)TCP_CONN_PLAIN;
	if ((c->flags & (agreed | TCP_CONN_ECN | TCP_CONN_V6)) == agreed && c->rcv_wscale > 0 && c->rtt.srtt_us != 0 &&
	    (style->tos | style->hop_limit) == 0 && !c->options.cork && c->options.max_pacing_rate == 0 &&
	    c->options.rcvlowat <= 1 && !cc->paces && !cc->observe && c->mtu_lowered_s == 0 &&
	    TCP_SEG_OVERHEAD + c->cc.mss <= c->sndbuf / 2)
		c->flags |= (uint32_t)TCP_CONN_PLAIN;
}

/* --- conditions --- */

/* Is there nothing about @c just now that the long way looks at? Nothing queued: so nothing in flight or lost either. */
static INLINE bool is_quiet(const struct tcp_conn *c, fs_ns now)
{
	return c->state == TCP_ESTABLISHED && (c->flags & LOOKED_AT) == (uint32_t)USUAL &&
	       ((uint64_t)(uintptr_t)c->first | (uint64_t)(uintptr_t)c->ooo_first | c->unsettled) == 0 &&
	       c->cc.ca_state == TCP_CA_OPEN && !c->cc.times_idle && c->cc.cwnd >= 2 && c->rtt.backoff == 0 &&
	       c->loss_timer == TCP_LOSS_TIMER_NONE && ((uint32_t)c->error | c->rcv_charge) == 0 &&
	       now - c->last_sent_at <= FS_US(c->rtt.rto_us);
}

/* Is the ACK that it carries, if one is owed, of the kind that waited for it? */
static INLINE bool is_answer(const struct tcp_conn *c)
{
	return (c->ack_flags & ~(TCP_ACK_DELAYED | TCP_ACK_PUSHED | TCP_ACK_PUSHED2)) == TCP_ACK_PINGPONG &&
	       c->quick_acks == 0;
}

/* As ip_dst_ready(), for a destination that is not stale, and a port that takes a frame now. */
static INLINE bool is_clear(const struct ip_dst *dst, const struct ip_port *port)
{
	return dst->header_len == HEADERS && dst->neigh_generation == dst->neigh->generation && port->up &&
	       port->out.frames < IP_OUT_LIMIT && port->pool->n_free > port->pool->low_water;
}

/* --- the frame --- */

/* The one that is sent. */
struct lone {
	uint32_t len;	 /* payload bytes */
	uint16_t window; /* as the header has it */
	uint16_t sum;	 /* of the payload, folded; 0 where the device sums */
	bool partial;	 /* it does */
	fs_ns now;
};

/* The TCP header at @l4, checksum included. */
static INLINE void put_header(const struct tcp_conn *c, const struct ip_dst *dst, uint8_t *l4, const struct lone *lone)
{
	struct tcp_hdr h = { .src_port = c->end.local_port, .dst_port = c->end.remote_port, .seq = c->snd_nxt,
			     .ack = c->rcv_nxt, .flags = TCP_ACK | TCP_PSH, .window = lone->window,
			     .options = TCP_HAS_TIMESTAMP, .ts_val = tcp_ts_now(c, lone->now), .ts_ecr = c->ts_recent };
	/* These are short: nothing is carried out of 64 bits. */
	uint64_t pseudo = ip_pseudo_sum(dst, WIRE_PROTO_TCP) + ip_sum16((uint16_t)(HEADER + lone->len));
	uint64_t sum = csum_add(pseudo + lone->sum, tcp_emit_common(&h, l4));
	be16_t field = lone->partial ? csum_partial(pseudo) : csum_finish(sum);

	memcpy(l4 + CHECKSUM_AT, &field, sizeof(field));
}

/* A buffer in the port's queue, whose payload of @len bytes and headers are to be written. */
static INLINE struct fbuf *take(struct ip_port *port, uint8_t number, uint32_t len)
{
	struct fbuf *f = fbuf_take(port->pool);

	fbuf_queue_push(&port->out, f);
	f->data = f->chunk + IP_TX_HEADROOM - HEADERS - HEADER;
	f->len = f->total = HEADERS + HEADER + len;
	f->gso_size = 0;
	f->vlan = 0;
	f->csum = port->tx_csum_partial ? FBUF_CSUM_PARTIAL : FBUF_CSUM_UNKNOWN;
	f->port = number;
	f->l3_offset = ETH_HDR_LEN;
	f->holds = 1;
	f->stamp = 0;
	return f;
}

/* --- changes --- */

/* The segment that @f is: all of the list. */
static INLINE void put_segment(struct tcp_conn *c, struct fbuf *f, const struct lone *lone)
{
	struct tcp_seg *s = tcp_seg(f);
	uint32_t now_us = tcp_us(lone->now);

	c->app_limited = (uint32_t)c->cc.delivered; /* it is all the program has */
	c->first_sent_us = c->delivered_us = now_us;
	s->prev = s->next = NULL;
	s->sent_at = lone->now;
	s->seq = c->snd_nxt;
	s->len = (uint16_t)lone->len;
	s->offset = IP_TX_HEADROOM;
	s->first_sent_us = s->delivered_us = now_us;
	s->delivered = (uint32_t)c->cc.delivered;
	s->sum = lone->sum;
	s->marks = TCP_SEG_PUSH | TCP_SEG_APP_LIMITED | TCP_SEG_LONE | (lone->partial ? 0 : TCP_SEG_SUMMED);
	s->retransmits = 0;
	f->charge = c->snd_charge = TCP_SEG_OVERHEAD + lone->len;
	c->first = c->last = f;
	c->n_segs = 1;
}

/* Numbers and timers after it left: the tail loss probe, as tcp_tlp_arm() for one segment. */
static INLINE void count(struct tcp_conn *c, uint32_t len, fs_ns now)
{
	uint32_t probe_us = 2 * c->rtt.srtt_us + TCP_TLP_MAX_ACK_DELAY_US;

	c->snd_nxt += len;
	c->snd_end = c->last_partial = c->cwnd_usage_seq = c->snd_nxt;
	c->packets_out = c->max_packets_out = 1;
	c->data_out++;
	c->last_sent_at = now;
	c->last_ack_sent = c->rcv_nxt;
	c->ack_flags = TCP_ACK_PINGPONG;
	tcp_timer_stop(c, TCP_TIMER_ACK);
	c->loss_timer = TCP_LOSS_TIMER_TLP;
	tcp_timer_stop(c, TCP_TIMER_RTX);
	tcp_timer_set(c, TCP_TIMER_LOSS, now + FS_US((fs_ns)FS_MIN(probe_us, c->rtt.rto_us)));
	c->chrono = TCP_CHRONO_BUSY;
	c->chrono_at = tcp_coarse(now);
}

/* Hot: so many conditions in a row make the compiler think that what follows them is rare, and size matters there. */
__attribute__((hot)) ssize_t tcp_send(struct tcp_conn *c, const struct ip_env *env, const struct iovec *iov, int n,
				      uint32_t flags, fs_ns now)
{
	struct ip_stack *ip = c->stack->ip;
	struct lone lone = { .now = now };
	struct ip_dst *dst = c->dst;
	struct ip_port *port;
	size_t len;
	uint8_t *payload;
	struct fbuf *f;

	if (n != 1 || flags != 0 || !is_quiet(c, now) || !is_answer(c) || !dst || dst->stale)
		return tcp_send_any(c, env, iov, n, flags, now);
	len = iov->iov_len;
	port = &ip->port[dst->port];
	if (len - 1 >= c->cc.mss - 1u || len > c->snd_wnd || !is_clear(dst, port) || !tcp_announce_plain(c, &lone.window))
		return tcp_send_any(c, env, iov, n, flags, now);
	lone.len = (uint32_t)len;
	ip->counters[FS_CTR_tcp_segments_out]++;
	ip->counters[FS_CTR_tcp_bytes_out] += len;
	dst->neigh->used_at = env->now;
	f = take(port, dst->port, lone.len);
	payload = f->chunk + IP_TX_HEADROOM;
	lone.partial = port->tx_csum_partial;
	if (lone.partial)
		memcpy(payload, iov->iov_base, len);
	else
		lone.sum = csum_fold(csum_copy(env->csum, payload, iov->iov_base, len));
	put_header(c, dst, payload - HEADER, &lone);
	ip_header_put_v4(dst, payload - HEADER, HEADER + lone.len, WIRE_PROTO_TCP);
	put_segment(c, f, &lone);
	count(c, lone.len, now);
	return (ssize_t)len;
}
