/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * recv_internal.h - the accounting of received frames, inline where each segment passes (input.c, recv.c).
 *
 * Threads: holder of the stack's lock only.
 */
#ifndef FSOCK_TCP_RECV_INTERNAL_H
#define FSOCK_TCP_RECV_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/counter.h"
#include "base/err.h"
#include "base/fbuf.h"
#include "base/list.h"
#include "tcp/conn.h"
#include "tcp/tcp_internal.h"

enum {
	/* What a frame costs beyond its bytes, for each chunk: about what Linux charges. */
	TCP_RX_OVERHEAD = 512,
	/* Bytes: copying more into the frame before it costs more than the chunk is worth. */
	TCP_RX_MERGE_MAX = 512,
	/* Of the payload pool: below it every window is kept small. */
	TCP_RX_RESERVE_PART = 16,
};

/* inline definitions */

/* @n chunks of a pinned pool come to the connection, or leave it. */
static inline void tcp_rx_pin(struct tcp_conn *c, uint32_t n)
{
	if (c->rcv_pinned == 0)
		list_push_back(&c->stack->holders, &c->holder);
	c->rcv_pinned += n;
}

static inline void tcp_rx_unpin(struct tcp_conn *c, uint32_t n)
{
	c->rcv_pinned -= n;
	if (c->rcv_pinned == 0)
		list_take(&c->holder);
}

/*
 * One queue holds at most as much of a pinned pool as it leaves free above the low water. The share shrinks with what
 * is free (the dynamic thresholds of Choudhury and Hahne): see src/udp/input.c, where it is smaller: there no window
 * bounds what comes. Half of the pool is what one stream needs whose reader is as fast as its sender.
 */
static inline bool tcp_rx_may_hold(const struct tcp_conn *c, const struct fbuf_pool *pool)
{
	return pool->n_free > pool->low_water && c->rcv_pinned < pool->n_free - pool->low_water;
}

/* The most that the buffer and the program's clamp allow: half of the buffer, since a frame is charged more than its
 * bytes. */
static inline uint32_t tcp_full_window(const struct tcp_conn *c)
{
	return FS_MIN(c->rcvbuf / 2, c->window_clamp);
}

/* A round trip as the receiver sees it is over: the next one's bytes count from here. */
static inline void tcp_rx_round(struct tcp_conn *c, fs_ns now)
{
	c->rcv_space_seq = c->copied_seq;
	c->rcv_space_us = tcp_us(now);
}

/* May the peer send less than half of that? Then reading may be worth a window update. */
static inline bool tcp_window_is_low(const struct tcp_conn *c)
{
	return 2 * tcp_receive_window(c) <= tcp_full_window(c);
}

/* Is the pool that the connection's frames come from at its low water? */
static inline bool tcp_is_pinned_low(const struct tcp_conn *c)
{
	const struct fbuf_pool *pool =
		c->dst && c->dst->way == IP_DST_FAST ? c->stack->ip->port[c->dst->port].pool : NULL;

	return pool && pool->n_free <= pool->low_water;
}

/* Nothing is left to copy out to, and whoever grows the pool could not: or could not even begin it, and what the
 * frames come in is nearly all that may be held. */
static inline bool tcp_is_memory_scarce(const struct tcp_conn *c)
{
	const struct fbuf_pool *payload = c->stack->ip->payload;

	if (payload->n_free < payload->n_total / TCP_RX_RESERVE_PART)
		return true;
	return payload->n_total == 0 && payload->to_come == 0 && tcp_is_pinned_low(c);
}

/*
 * tcp_announce_window() while nothing waits to be read and the window is what it can be, as it was announced last.
 * With a scale; not for SYNs. False: it is not that simple, and nothing changed.
 */
static inline bool tcp_announce_plain(struct tcp_conn *c, uint16_t *field)
{
	uint32_t most = FS_MIN(tcp_full_window(c), c->rcv_ssthresh), window = c->rcv_wnd;

	if ((window - most) >> c->rcv_wscale != 0 || __builtin_expect(tcp_is_memory_scarce(c), 0))
		return false;
	c->rcv_wup = c->rcv_nxt;
	*field = (uint16_t)(window >> c->rcv_wscale);
	return true;
}

/* tcp_rx_append() of a frame of one chunk for which there is room and that is not to be merged. False: none of these,
 * nothing happened. */
static inline bool tcp_rx_append_plain(struct tcp_conn *c, struct fbuf *frame, uint32_t len)
{
	if (frame->next || (c->rx.tail && len <= TCP_RX_MERGE_MAX) || c->rcv_charge >= c->rcvbuf ||
	    frame->pool == c->stack->ip->payload || !tcp_rx_may_hold(c, frame->pool))
		return false;
	tcp_rx_pin(c, 1);
	frame->charge = len + TCP_RX_OVERHEAD;
	c->rcv_charge += frame->charge;
	c->rcv_nxt += len;
	c->bytes_received += len;
	c->stack->ip->counters[FS_CTR_tcp_bytes_in] += len;
	frame->link = NULL;
	if (c->rx.tail)
		c->rx.tail->link = frame;
	else
		c->rx.head = frame;
	c->rx.tail = frame;
	c->rx.frames++;
	return true;
}

/* tcp_rx_measure() where it would learn nothing but that a small segment came soon after the last one. */
static inline bool tcp_rx_measure_plain(struct tcp_conn *c, const struct tcp_in *in)
{
	uint32_t min = c->stack->config.delack_min_us;

	if (in->len >= c->rcv_mss || !(in->h.flags & TCP_PSH) || !(in->h.options & TCP_HAS_TIMESTAMP) ||
	    c->ato_us != min || in->now - c->last_received_at > FS_US(min) / 2)
		return false;
	c->ack_flags |= (uint8_t)(TCP_ACK_PUSHED | (c->ack_flags & TCP_ACK_PUSHED) << 1);
	c->last_received_at = in->now;
	if (in->len >= TCP_RX_OVERHEAD)
		tcp_window_grow(c, in->len);
	return true;
}
static_assert(TCP_ACK_PUSHED << 1 == TCP_ACK_PUSHED2, "one becomes the other");

/* tcp_ack_owed() of the first small segment in a dialogue, whose answer will carry it. */
static inline bool tcp_ack_owed_plain(struct tcp_conn *c, fs_ns now)
{
	uint32_t ato = c->ato_us;

	if ((c->ack_flags & (TCP_ACK_PINGPONG | TCP_ACK_NOW | TCP_ACK_DELAYED)) != TCP_ACK_PINGPONG ||
	    c->rcv_nxt - c->rcv_wup > c->rcv_mss || ato != c->stack->config.delack_min_us)
		return false;
	c->ack_flags |= TCP_ACK_DELAYED;
	tcp_timer_set(c, TCP_TIMER_ACK, now + FS_US(ato));
	return true;
}

#endif
