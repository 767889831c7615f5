/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * superframe.c - which segments leave as one frame, and when it waits to become larger.
 *
 * A frame costs as much as thousands of bytes do, be it full or not: the system call, the receiver's softirq, an ACK.
 * Not here: whether anything may leave at all (output.c).
 */
#include "tcp/output_internal.h"

enum {
	DEFER_PART = 3, /* a super-frame that could be longer does not wait for more than 1/3 of the window */

	TAILS = 4,	     /* so many ends of writes in a row make a stream */
	TAIL_PAUSE_US = 500, /* which no longer pause interrupts */
	TAIL_WAIT_US = 1000, /* an end waits no longer; nor at all where the round trip is longer */
};

/* How much one frame may take, beside its first segment. */
struct limits {
	uint32_t bytes, segments;
};

static struct limits frame_limits(const struct tcp_conn *c, const struct ip_dst *dst, uint32_t bytes, uint32_t segments)
{
	const struct ip_port *port = &c->stack->ip->port[dst->port];
	uint32_t headers = (uint32_t)dst->header_len + TCP_HDR_LEN + TCP_TS_LAYOUT_LEN;
	uint32_t most = c->mss, parts = tcp_parts_of(c, dst);

	/* One urgent pointer and one CWR for many segments would be wrong for all but the first. */
	if (port->tcp_gso > headers + 2 * most && !tcp_has(c, TCP_CONN_URG_OUT | TCP_CONN_CWR_PENDING)) {
		most = port->tcp_gso - headers;
		parts = FS_MAX(port->gso_parts, (uint8_t)1);
	}
	return (struct limits){ FS_MIN(most, bytes), FS_MIN(parts, segments) };
}

struct fbuf *tcp_run_gather(const struct tcp_conn *c, const struct ip_dst *dst, struct tcp_run *run, uint32_t bytes,
			    uint32_t segments, bool hold)
{
	struct limits may = frame_limits(c, dst, bytes, segments);
	struct fbuf *f = tcp_seg(run->first)->next;

	for (; f && run->n < may.segments; f = tcp_seg(f)->next) {
		const struct tcp_seg *s = tcp_seg(f);

		if (run->len + s->len > may.bytes || tcp_is_held_back(c, f, hold))
			break;
		run->n++;
		run->len += s->len;
	}
	return f;
}

bool tcp_run_waits_for_window(const struct tcp_conn *c, const struct ip_dst *dst, const struct tcp_run *run, uint32_t may,
			      struct fbuf *behind)
{
	struct limits most = frame_limits(c, dst, UINT32_MAX, UINT32_MAX);
	uint32_t full = FS_MIN(most.segments, most.bytes / c->mss);
	uint32_t window = FS_MIN(c->cc.cwnd, c->snd_wnd / c->mss);

	if (run->n >= full || window < 2 * full || run->n > window / DEFER_PART || c->packets_out < full ||
	    c->cc.ca_state != TCP_CA_OPEN || tcp_has(c, TCP_CONN_PUSH_ALL))
		return false;
	/* Behind it is a full segment, which only the windows keep from joining. */
	return tcp_seg_is_full(c, behind) &&
	       (run->n >= may || tcp_window_from(c, c->snd_nxt + run->len + c->mss) < 0);
}

/* Small beside what is under way, and nothing asks for it to leave now. */
static bool is_small_tail(const struct tcp_conn *c, const struct ip_dst *dst, const struct tcp_run *run)
{
	uint32_t half = c->stack->ip->port[dst->port].tcp_gso / 2;

	return run->len < half && c->snd_nxt - c->snd_una >= half && !c->options.nodelay &&
	       c->rtt.srtt_us < TAIL_WAIT_US && !tcp_has(c, TCP_CONN_PUSH_ALL | TCP_CONN_FIN_QUEUED | TCP_CONN_URG_OUT);
}

/* Was @at before what was @age_us ago, but for the last us? */
static bool is_before(fs_ns at, uint32_t age_us, fs_ns now)
{
	return now - at > FS_US((fs_ns)age_us - 1);
}

bool tcp_run_waits_for_more(struct tcp_conn *c, const struct ip_dst *dst, const struct tcp_run *run, fs_ns now)
{
	struct tcp_tail *tail = &c->tail;
	uint32_t us = tcp_us(now), age = us - tail->us;
	bool is_small = is_small_tail(c, dst, run), waited, goes_on;

	if (c->cc.ca_state != TCP_CA_OPEN)
		return false;
	/* Nothing left since: it is the same one. */
	waited = tail->waits && is_before(c->last_sent_at, age, now);
	goes_on = age < TAIL_PAUSE_US && is_before(c->last_received_at, age, now);
	if (!is_small || (waited && age >= TAIL_WAIT_US)) {
		if (waited) /* for nothing: the stream is at its end */
			tail->in_row = 0;
		tail->waits = false;
		return false;
	}
	if (!waited) {
		tail->in_row = goes_on ? (uint8_t)FS_MIN(tail->in_row + 1, (int)TAILS) : 0;
		tail->us = us;
		age = 0;
	}
	tail->waits = tail->in_row == TAILS;
	if (tail->waits && c->due[TCP_TIMER_PACE] == FS_NEVER)
		tcp_timer_set(c, TCP_TIMER_PACE, now + FS_US((fs_ns)(TAIL_WAIT_US - age)));
	return tail->waits;
}
