/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * quick.c - the short way in: the next segment of a dialogue.
 *
 * A frame of the usual form, in order, with payload that finds the queue empty, or an ACK of the one segment that was
 * out, or both. What ip, tcp.c, input.c, ack.c, delack.c and recv.c do one after the other is done here at once, for
 * that case only: first every condition, then every change. Whatever is unusual goes their way, and this file has
 * touched nothing then. Both ways leave the same connection behind, to the byte (test_tcp_quick.c compares them).
 *
 * The connection's addresses need no second look: they were judged when it began, and its destination is stale as
 * soon as those of the interface change.
 */
#include "base/counter.h"
#include "base/err.h"
#include "ip/header.h"
#include "ip/ip.h"
#include "tcp/conn.h"
#include "tcp/end.h"
#include "tcp/loss.h"
#include "tcp/recv_internal.h"
#include "tcp/tcp.h"
#include "tcp/tcp_internal.h"
#include "wire/usual.h"

#define INLINE inline __attribute__((always_inline))

enum {
	/* Flags of which each asks for something more than this file does, but the last, which it relies on. */
	LOOKED_AT = TCP_CONN_ORPHAN | TCP_CONN_FROZEN | TCP_CONN_FIN_QUEUED | TCP_CONN_URG_OUT |
		    TCP_CONN_URG_IN | TCP_CONN_URG_WAIT | TCP_CONN_FIN_AHEAD | TCP_CONN_NO_SPACE |
		    TCP_CONN_CWND_LIMITED | TCP_CONN_QUEUED | TCP_CONN_TFO_CHILD | TCP_CONN_PLAIN,
	USUAL = TCP_CONN_PLAIN,

	/* Marks of a segment that has to be lone, and nothing of the others. */
	MARKED = TCP_SEG_SACKED | TCP_SEG_LOST | TCP_SEG_RETRANS | TCP_SEG_EVER_RETRANS | TCP_SEG_LONE,
};

/* --- whose --- */

static INLINE bool is_of(const struct tcp_end *end, const struct usual_tcp4 *u)
{
	return end->kind == TCP_END_CONN && u->ports == ((uint32_t)end->remote_port << 16 | end->local_port) &&
	       u->src == end->remote.w[3] && u->dst == end->local.w[3];
}

/* Another connection's than the last one's. NULL: none's. */
static __attribute__((noinline)) struct tcp_end *find(struct tcp_stack *tcp, uint32_t src, uint32_t dst,
						      uint32_t ports)
{
	struct ip_addr from = ip_addr_v4(&src), to = ip_addr_v4(&dst);
	struct tcp_end *end = tcp_end_find(tcp, &to, (uint16_t)ports, &from, (uint16_t)(ports >> 16));

	if (!end || end->kind != TCP_END_CONN)
		return NULL;
	tcp->last = end;
	return end;
}

/* --- conditions --- */

/* Did the frame come to this station, by the way on which @c's own go? */
static INLINE bool is_by(const struct ip_dst *dst, const struct fbuf *frame)
{
	return dst && !dst->stale && dst->header_len == ETH_HDR_LEN + IPV4_HDR_LEN && dst->port == frame->port &&
	       ip_header_is_to_station(dst, frame->data);
}

/* Is it all that is out which is acked: a lone segment, sent once? */
static INLINE bool is_lone(const struct tcp_conn *c)
{
	return c->n_segs == 1 && (tcp_seg(c->first)->marks & MARKED) == TCP_SEG_LONE && c->cc.ca_state == TCP_CA_OPEN;
}

/* May @len bytes of payload be taken here? Nothing waits to be read or acknowledged, the pool is not low, and they
 * are the small end of a write in a dialogue, whose answer will carry the ACK. */
static INLINE bool is_expected(const struct tcp_conn *c, const struct fbuf *frame, uint32_t len, fs_ns now)
{
	const struct fbuf_pool *pool = frame->pool;
	uint32_t ato = c->ato_us;

	return len < c->rcv_mss && len < TCP_RX_OVERHEAD && len <= c->rcv_wnd && c->rcv_wup == c->rcv_nxt &&
	       c->rcv_charge == 0 && c->ack_flags == TCP_ACK_PINGPONG && pool != c->stack->ip->payload &&
	       pool->n_free > pool->low_water && ato == c->stack->config.delack_min_us &&
	       now - c->last_received_at <= FS_US(ato) / 2;
}

/* --- changes --- */

static INLINE void take_numbers(struct tcp_conn *c, const struct usual_tcp4 *u, fs_ns now)
{
	c->heard = tcp_coarse(now);
	c->snd_wl1 = u->seq;
	if (seq_le(u->seq, c->last_ack_sent)) { /* RFC 7323 4.3 (2) */
		c->ts_recent = u->ts_val;
		c->ts_recent_at = now;
	}
}

/* The connection's only segment is acked and goes. */
static INLINE void drop_segment(struct tcp_conn *c, struct fbuf *f)
{
	c->first = c->last = NULL;
	c->n_segs = 0;
	c->packets_out = 0;
	c->lost_next = NULL;
	c->snd_charge = 0;
	f->charge = 0;
	if (__builtin_expect(fbuf_is_shared(f), 0))
		fbuf_free_part(f);
	else
		fbuf_give_back(f);
}

/*
 * The ACK of a lone segment, as ack_plain() of ack.c. What that writes and nobody reads before the next transmission
 * is left out: where the next rate sample would begin, and the newest segment delivered for RACK, which judges older
 * ones only. Nor is congestion control told: its window is not used.
 */
static INLINE void take_ack(struct tcp_conn *c, tcp_seq ack, uint32_t window, fs_ns now)
{
	struct fbuf *f = c->first;
	uint32_t rtt_us = (uint32_t)((uint64_t)(now - tcp_seg(f)->sent_at) / FS_US(1));

	rtt_us = FS_MAX(FS_MIN(rtt_us, (uint32_t)TCP_RTT_MAX_US), 1U);
	tcp_rtt_min(&c->rtt, rtt_us, true, now);
	tcp_rtt_sample(&c->rtt, rtt_us, &c->stack->config, ack, ack);
	if (window != c->snd_wnd) {
		c->snd_wnd = window;
		c->max_wnd = FS_MAX(c->max_wnd, window);
	}
	c->snd_wl2 = ack;
	c->cc.delivered++;
	c->app_limited = 0;
	c->bytes_acked += ack - c->snd_una;
	c->snd_una = ack;
	c->rtx_began = 0;
	c->soft_error = 0;
	c->loss_timer = TCP_LOSS_TIMER_NONE;
	c->chrono_spent[TCP_CHRONO_BUSY - 1] += tcp_coarse(now) - c->chrono_at;
	c->chrono = TCP_CHRONO_NONE;
	c->chrono_at = tcp_coarse(now);
	tcp_timer_stop(c, TCP_TIMER_LOSS);
	tcp_timer_stop(c, TCP_TIMER_RTX);
	drop_segment(c, f);
}

static INLINE void take_payload(struct tcp_conn *c, struct tcp_stack *tcp, struct fbuf *frame, uint32_t len, fs_ns now)
{
	uint32_t charge = len + TCP_RX_OVERHEAD;

	frame->data += USUAL_TCP4_HDR;
	frame->len = frame->total = len;
	frame->charge = charge;
	frame->link = NULL;
	c->rx = (struct fbuf_queue){ frame, frame, 1 };
	c->rcv_charge = charge;
	list_push_back(&tcp->holders, &c->holder);
	c->rcv_pinned = 1;
	c->rcv_nxt += len;
	c->bytes_received += len;
	c->data_in++;
	c->last_received_at = now;
	c->ack_flags = TCP_ACK_PINGPONG | TCP_ACK_PUSHED | TCP_ACK_DELAYED;
	tcp_timer_set(c, TCP_TIMER_ACK, now + FS_US(c->ato_us));
}

/* Hot: so many conditions in a row make the compiler think that what follows them is rare, and size matters there. */
__attribute__((hot)) bool tcp_quick_input(const struct ip_env *env, struct fbuf *frame, fs_ns now)
{
	struct tcp_stack *tcp = env->tcp;
	struct tcp_end *end = tcp->last;
	uint64_t *counters = tcp->ip->counters;
	uint32_t len = frame->len - USUAL_TCP4_HDR, window;
	struct usual_tcp4 u;
	struct tcp_conn *c;
	bool acks;

	if (frame->next || frame->gso_size || frame->vlan || !usual_tcp4(&u, frame->data, frame->len))
		return false;
	if (__builtin_expect(!end || !is_of(end, &u), 0)) {
		end = find(tcp, u.src, u.dst, u.ports);
		if (!end)
			return false;
	}
	c = (struct tcp_conn *)(void *)end;
	if (c->state != TCP_ESTABLISHED || (c->flags & LOOKED_AT) != (uint32_t)USUAL || c->unsettled || c->ooo_first ||
	    u.seq != c->rcv_nxt || (int32_t)(u.ts_val - c->ts_recent) < 0 || !is_by(c->dst, frame))
		return false;
	acks = u.ack != c->snd_una;
	window = (uint32_t)u.window << c->snd_wscale;
	if (acks ? u.ack != c->snd_nxt || !is_lone(c) : len == 0 || window != c->snd_wnd)
		return false;
	if (len > 0 && (!u.push || !is_expected(c, frame, len, now)))
		return false;
	if (frame->csum == FBUF_CSUM_UNKNOWN && !usual_tcp4_intact(env->csum, frame->data, frame->len))
		return false; /* wrong, or left to the receiver: the long way knows */
	counters[FS_CTR_tcp_segments_in]++;
	counters[FS_CTR_tcp_predicted]++;
	counters[FS_CTR_tcp_bytes_in] += len;
	take_numbers(c, &u, now);
	if (acks)
		take_ack(c, u.ack, window, now);
	if (__builtin_expect(len == 0, 0)) {
		c->bare_in++;
		fbuf_free(frame);
		return true;
	}
	take_payload(c, tcp, frame, len, now);
	env->tcp_ops->event(env->context, c, TCP_READY_IN);
	return true;
}
