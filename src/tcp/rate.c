/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rate.c - how fast the path delivers, measured at every ACK.
 *
 * Each segment sent remembers how much had been delivered by then, and when; when it is delivered itself, the
 * difference over the time is a rate. The time is the longer of two: how long the flight took to send, and how long
 * its ACKs took to come, so that ACKs which were held up and then come in a bunch do not look like bandwidth. Samples
 * from times when the program had nothing to send say so.
 * Times are wrapped us and compared by difference.
 * Standards: draft-cheng-iccrg-delivery-rate-estimation-00; sections below are its.
 */
#include "base/err.h"
#include "tcp/loss.h"

/* 3.2 */
void tcp_rate_sent(struct tcp_conn *c, struct fbuf *seg, fs_ns now)
{
	struct tcp_seg *s = tcp_seg(seg);

	/* Nothing was in the network: from now on it delivers whatever an ACK says. */
	if (c->packets_out == 0)
		c->first_sent_us = c->delivered_us = tcp_us(now);
	s->first_sent_us = c->first_sent_us;
	s->delivered_us = c->delivered_us;
	s->delivered = (uint32_t)c->cc.delivered;
	if (c->app_limited != 0)
		s->marks |= TCP_SEG_APP_LIMITED;
	else
		s->marks &= (uint8_t)~TCP_SEG_APP_LIMITED;
	if (tcp_in_reduction(c))
		c->prr_out++;
}

/* 3.3: of the segments an ACK delivers, the one sent last carries the freshest sample. */
void tcp_rate_delivered(struct tcp_conn *c, struct fbuf *seg, struct tcp_ack_state *a)
{
	const struct tcp_seg *s = tcp_seg(seg);
	tcp_seq end = s->seq + s->len;

	if (a->rate_sent_at != 0 && !tcp_sent_after(s->sent_at, end, a->rate_sent_at, a->rate_end))
		return;
	a->rate_sent_at = s->sent_at;
	a->rate_end = end;
	a->rate_delivered_us = s->delivered_us;
	a->cc.prior_delivered = c->cc.delivered - ((uint32_t)c->cc.delivered - s->delivered);
	a->cc.app_limited = s->marks & TCP_SEG_APP_LIMITED;
	/* The next flight's interval begins when this one was sent. */
	c->first_sent_us = tcp_us(s->sent_at);
	a->rate_send_us = c->first_sent_us - s->first_sent_us;
}

/* What TCP_INFO shows: the last sample, but none that the program held down below a better one (as Linux). */
static void keep_rate(struct tcp_conn *c, const struct tcp_cc_ack *s)
{
	if (s->app_limited &&
	    (uint64_t)s->delivered * c->rate_interval_us < (uint64_t)c->rate_delivered * (uint64_t)s->interval_us)
		return;
	c->rate_delivered = s->delivered;
	c->rate_interval_us = (uint32_t)s->interval_us;
	c->rate_app_limited = s->app_limited;
}

/* 3.3, GenerateRateSample() */
void tcp_rate_sample(struct tcp_conn *c, struct tcp_ack_state *a)
{
	uint32_t now_us = tcp_us(a->now), ack_us;

	tcp_rate_bubble(c);
	if (a->cc.acked_sacked > 0)
		c->delivered_us = now_us;
	a->cc.interval_us = -1;
	if (a->rate_sent_at == 0)
		return;
	a->cc.round_start = tcp_rate_round(c, (uint32_t)a->cc.prior_delivered);
	if (c->reneged)
		return; /* what was delivered is not known */
	ack_us = now_us - a->rate_delivered_us;
	a->cc.delivered = (uint32_t)(c->cc.delivered - a->cc.prior_delivered);
	a->cc.interval_us = FS_MAX(a->rate_send_us, ack_us);
	/* A segment sent twice of which the first came: less than any round trip cannot be (3.3). */
	if (a->cc.interval_us < c->rtt.min_us && c->rtt.min_us != UINT32_MAX)
		a->cc.interval_us = -1;
	if (a->cc.interval_us > 0)
		keep_rate(c, &a->cc);
}

/* 3.4: less than a segment to send, nothing lost that waits, room in the window: the rates to come are the
 * program's. */
void tcp_rate_check_app_limited(struct tcp_conn *c)
{
	uint32_t in_flight = tcp_in_flight(c);

	if (seq_diff(c->snd_end, c->snd_nxt) >= (int32_t)c->mss || in_flight >= c->cc.cwnd ||
	    c->lost_out > c->retrans_out)
		return;
	c->app_limited = (uint32_t)c->cc.delivered + in_flight;
	if (c->app_limited == 0)
		c->app_limited = 1;
}
