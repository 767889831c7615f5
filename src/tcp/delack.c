/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * delack.c - when data received are acknowledged, and what they tell of the peer.
 *
 * An ACK is sent for every second full segment, at once while a connection is young or something unusual
 * happened (quick ACKs), with the answer in a dialogue, and otherwise after a time that follows the rhythm of
 * arrivals, 40 to 200 ms. All are marks: the segment leaves at the burst's end, so that a burst is acknowledged
 * once (RFC 9293 3.10.7.4, MUST-58, MUST-59). The rules and their numbers are Linux's.
 *
 * With tcp_config.hold_acks an ACK that Linux would send at once is held while the program may be about to answer: that
 * of a small message on a young connection, that of the peer's FIN and what came with it, and the third of a handshake.
 * A request, its answer and the end of a connection then take three segments less. It is held in tcp_stack.held until
 * the program waits for something else, and a timer runs as for any delayed ACK.
 * Standards: RFC 9293 3.8.6.3 (SHLD-18, SHLD-19, MUST-40), RFC 5681 4.2.
 */
#include "base/barrier.h"
#include "base/err.h"
#include "tcp/conn.h"
#include "tcp/tcp_internal.h"

enum {
	QUICK_ACKS_MAX = 16,
	SMALL = 128, /* bytes: such segments do not open the window */
	REMNANT = TCP_FIN | TCP_URG | TCP_SYN | TCP_PSH, /* a segment with one of these may be the end of a write */
};

void tcp_ack_now(struct tcp_conn *c)
{
	c->ack_flags = (uint8_t)((c->ack_flags | TCP_ACK_NOW) & ~TCP_ACK_CHALLENGE);
	tcp_mark_dirty(c);
}

/* As many as half the window holds: a sender in slow start has it filled by then. */
static void more_quick_acks(struct tcp_conn *c, uint32_t max)
{
	uint32_t n = c->rcv_mss ? c->rcv_wnd / (2 * (uint32_t)c->rcv_mss) : 0;

	n = FS_MIN(FS_MAX(n, 2U), max);
	if (n > c->quick_acks)
		c->quick_acks = (uint8_t)n;
}

void tcp_ack_quickly(struct tcp_conn *c, uint32_t n)
{
	more_quick_acks(c, n);
	c->ack_flags &= (uint8_t)~TCP_ACK_PINGPONG;
	c->ato_us = c->stack->config.delack_min_us;
}

static bool is_quick(const struct tcp_conn *c)
{
	return (c->quick_acks > 0 || (c->ack_flags & TCP_ACK_QUICK)) && !(c->ack_flags & TCP_ACK_PINGPONG);
}

bool tcp_ack_hold(struct tcp_conn *c, fs_ns now)
{
	if (!c->stack->config.hold_acks || (c->ack_flags & (TCP_ACK_NOW | TCP_ACK_QUICK)) || tcp_has(c, TCP_CONN_DIRTY))
		return false;
	c->ack_flags |= TCP_ACK_DELAYED;
	tcp_timer_set(c, TCP_TIMER_ACK, now + FS_US(c->stack->config.delack_min_us));
	if (tcp_ack_is_held(c))
		list_take(&c->dirty); /* for one that something carried; this one is younger */
	list_push_back(&c->stack->held, &c->dirty);
	fs_store_relaxed(&c->stack->may_hold, true);
	return true;
}

void tcp_release_acks(struct tcp_stack *tcp, fs_ns before)
{
	fs_ns due = before == FS_NEVER ? FS_NEVER : before + FS_US(tcp->config.delack_min_us);
	struct list *e;

	while ((e = list_first(&tcp->held)) != NULL) {
		struct tcp_conn *c = FS_CONTAINER_OF(e, struct tcp_conn, dirty);

		if (!(c->ack_flags & TCP_ACK_DELAYED)) {
			list_take(e); /* something carried it */
			continue;
		}
		if (c->due[TCP_TIMER_ACK] > due)
			return;
		if (tcp_has(c, TCP_CONN_FIN_RECEIVED)) /* our end did not come: no dialogue, as tcp_ack_overdue() */
			c->ack_flags &= (uint8_t)~TCP_ACK_PINGPONG;
		tcp_ack_now(c);
	}
	fs_store_relaxed(&tcp->may_hold, false);
}

/* Is what came the one small message that the program has to answer? */
static bool is_question(const struct tcp_conn *c, uint32_t unacked)
{
	return unacked <= c->rcv_mss && (c->ack_flags & (TCP_ACK_PUSHED | TCP_ACK_PUSHED2)) == TCP_ACK_PUSHED &&
	       c->state == TCP_ESTABLISHED && !tcp_has(c, TCP_CONN_SHUT_RD);
}

static void delay(struct tcp_conn *c, fs_ns now)
{
	const struct tcp_config *config = &c->stack->config;
	uint32_t ato = FS_MAX(c->ato_us, config->delack_min_us);
	uint32_t max = config->delack_max_us;
	fs_ns deadline;

	/* Longer than a round trip would look like a loss to the peer; but its timer has a minimum, too. */
	if (c->rtt.srtt_us)
		max = FS_MIN(max, FS_MAX(c->rtt.srtt_us, config->delack_min_us));
	ato = FS_MIN(ato, max);
	deadline = now + FS_US(ato);
	if (c->ack_flags & TCP_ACK_DELAYED) {
		fs_ns due = c->due[TCP_TIMER_ACK];

		if (due <= now + FS_US(ato / 4)) {
			tcp_ack_now(c);
			return;
		}
		deadline = FS_MIN(deadline, due);
	}
	c->ack_flags |= TCP_ACK_DELAYED;
	tcp_timer_set(c, TCP_TIMER_ACK, deadline);
}

void tcp_ack_owed(struct tcp_conn *c, fs_ns now)
{
	uint32_t unacked = c->rcv_nxt - c->rcv_wup;

	if (c->ack_flags & TCP_ACK_NOW) {
		tcp_ack_now(c); /* a challenge no more */
		return;
	}
	/* While the program does not read, the ACK waits for it: then it tells of the room, too. */
	if (unacked > c->rcv_mss && (tcp_inq(c) < FS_MAX(c->options.rcvlowat, 1U) ||
				     tcp_select_window(c) >= c->rcv_wnd))
		tcp_ack_now(c);
	else if (!is_quick(c))
		delay(c, now);
	else if (!is_question(c, unacked) || !tcp_ack_hold(c, now))
		tcp_ack_now(c);
}

void tcp_ack_overdue(struct tcp_conn *c)
{
	const struct tcp_config *config = &c->stack->config;

	if (!(c->ack_flags & TCP_ACK_DELAYED))
		return;
	if (c->ack_flags & TCP_ACK_PINGPONG) {
		/* The answer did not come: no dialogue. */
		c->ack_flags &= (uint8_t)~TCP_ACK_PINGPONG;
		c->ato_us = config->delack_min_us;
	} else {
		c->ato_us = FS_MIN(2 * c->ato_us, config->delack_max_us);
	}
	tcp_count(c, FS_CTR_tcp_delayed_acks);
	tcp_ack_now(c);
}

/*
 * The program read @n bytes: is that worth an ACK? What was held back for it (see tcp_ack_owed()); the last of a
 * small message, which no further data follow; and a window that opened much.
 */
void tcp_ack_after_read(struct tcp_conn *c, const struct ip_env *env, uint32_t n, fs_ns now)
{
	uint32_t pushed = c->ack_flags & (TCP_ACK_PUSHED | TCP_ACK_PUSHED2);
	bool send = false;

	if (tcp_has(c, TCP_CONN_FROZEN) || c->state == TCP_CLOSED)
		return;
	if (c->ack_flags & (TCP_ACK_NOW | TCP_ACK_DELAYED)) {
		bool is_end = c->rcv_charge == 0 && n > 0, held = tcp_ack_is_held(c);

		send = (c->rcv_nxt - c->rcv_wup > c->rcv_mss && !(held && tcp_has(c, TCP_CONN_FIN_RECEIVED))) ||
		       (is_end && !held && ((pushed & TCP_ACK_PUSHED2) || (pushed && !(c->ack_flags & TCP_ACK_PINGPONG))));
	}
	if (!send && n > 0 && !tcp_has(c, TCP_CONN_FIN_RECEIVED | TCP_CONN_SHUT_RD))
		send = tcp_window_opened(c);
	if (send)
		tcp_send_ack(c, env, now);
}

/* rcv_mss: the largest segment seen, or two of the same smaller size in a row that are not the end of a write. */
static void measure_mss(struct tcp_conn *c, const struct tcp_in *in)
{
	uint32_t len = in->len;

	if (in->segments > 1 && in->frame->gso_size != 0)
		len = FS_MIN(len, (uint32_t)in->frame->gso_size);
	if (len >= c->rcv_mss) {
		c->rcv_mss = (uint16_t)FS_MIN(len, (uint32_t)c->advertised_mss);
		return;
	}
	if (len >= SMALL && !(in->h.flags & REMNANT)) {
		bool again = len == c->last_segment;

		c->last_segment = (uint16_t)len;
		if (again) {
			c->rcv_mss = (uint16_t)len;
			return;
		}
	}
	c->ack_flags |= c->ack_flags & TCP_ACK_PUSHED ? TCP_ACK_PUSHED | TCP_ACK_PUSHED2 : TCP_ACK_PUSHED;
}

/*
 * The receiver's round trip, for auto-tuning. With timestamps: how old the echo is, which is that of our ACK, and
 * only in a stream, since after a pause it says how long the pause was. Without: the time a whole window
 * takes to come, of which the shortest counts.
 */
static void measure_rtt(struct tcp_conn *c, const struct tcp_in *in, fs_ns pause)
{
	uint32_t sample;

	if (in->h.options & TCP_HAS_TIMESTAMP) {
		uint32_t ms = tcp_ts_now(c, in->now) - in->h.ts_ecr;

		if (in->len < c->rcv_mss || in->h.ts_ecr == c->rcv_rtt_seq || ms > 1000000 ||
		    (ms > 1 && pause > FS_MS(ms) / 2))
			return;
		c->rcv_rtt_seq = in->h.ts_ecr;
		sample = FS_MAX(ms * 1000, 1U);
		if (c->rcv_rtt_us)
			sample = (uint32_t)((int64_t)c->rcv_rtt_us + ((int64_t)sample - c->rcv_rtt_us) / 8);
		c->rcv_rtt_us = FS_MAX(sample, 1U);
		return;
	}
	if (c->rcv_rtt_began_us != 0) {
		if (seq_lt(c->rcv_nxt, c->rcv_rtt_seq))
			return;
		sample = FS_MAX(tcp_us(in->now) - c->rcv_rtt_began_us, 1U);
		if (c->rcv_rtt_us == 0 || sample < c->rcv_rtt_us)
			c->rcv_rtt_us = sample;
	}
	c->rcv_rtt_seq = c->rcv_nxt + c->rcv_wnd;
	c->rcv_rtt_began_us = FS_MAX(tcp_us(in->now), 1U);
}

void tcp_rx_measure(struct tcp_conn *c, const struct tcp_in *in)
{
	const struct tcp_config *config = &c->stack->config;
	uint32_t min = config->delack_min_us;
	fs_ns pause = in->now - c->last_received_at;

	measure_mss(c, in);
	measure_rtt(c, in, pause);
	if (__builtin_expect(c->ato_us == 0, 0)) { /* the first data */
		more_quick_acks(c, QUICK_ACKS_MAX);
		c->ato_us = min;
	} else if (pause <= FS_US(min) / 2) {
		c->ato_us = c->ato_us / 2 + min / 2;
	} else if (pause < FS_US(c->ato_us)) {
		c->ato_us = FS_MIN(c->ato_us / 2 + (uint32_t)(pause / FS_US(1)), config->delack_max_us);
	} else if (pause > FS_US(tcp_rto_us(c))) {
		more_quick_acks(c, QUICK_ACKS_MAX); /* the sender begins in slow start again */
	}
	c->last_received_at = in->now;
	if (in->len >= SMALL)
		tcp_window_grow(c, in->len);
}
