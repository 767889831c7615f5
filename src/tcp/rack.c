/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rack.c - losses found by time: what was sent a reordering window before something that was delivered is lost.
 *
 * Linux's form of RFC 8985, which replaces the rules of RFC 6675 (IsLost, and NextSeg's rules 3 and 4: what they would
 * send again on suspicion, or as a rescue, is found by the time at which retransmissions were delivered). Three SACKed
 * segments still mean a loss at once as long as the path was not seen to reorder: the window is 0 then.
 * Needs SACK; without it recovery.c counts duplicate ACKs.
 */
#include "base/err.h"
#include "tcp/loss.h"

enum {
	REO_PERSIST = 16,  /* 6.2: recoveries for which a window persists that D-SACKs raised */
	REO_STEPS_MAX = 255,
};

/* 6.2 step 4: the window. A quarter of the smallest round trip: how far segments overtake each other depends on the
 * path, not on its queues. */
static uint32_t window(const struct tcp_conn *c)
{
	uint64_t us;

	if (c->reord_seen == 0 &&
	    (c->cc.ca_state >= TCP_CA_RECOVERY || c->sacked_out >= TCP_DUP_THRESHOLD))
		return 0;
	us = (uint64_t)(c->rtt.min_us / 4) * c->rack.reo_steps;
	return (uint32_t)FS_MIN(us, (uint64_t)c->rtt.srtt_us);
}

/* One D-SACK in a round trip is one step, however many it told of. */
void tcp_rack_adapt(struct tcp_conn *c, const struct tcp_ack_state *a)
{
	struct tcp_rack *r = &c->rack;

	if (a->rate_sent_at == 0)
		return;
	if ((int32_t)((uint32_t)a->cc.prior_delivered - r->last_delivered) < 0)
		r->dsack_seen = false;
	if (r->dsack_seen) {
		r->reo_steps = (uint8_t)FS_MIN(r->reo_steps + 1, REO_STEPS_MAX);
		r->dsack_seen = false;
		r->last_delivered = (uint32_t)c->cc.delivered;
		r->reo_persist = REO_PERSIST;
	} else if (r->reo_persist == 0) {
		r->reo_steps = 1;
	}
}

/* How long until @seg counts as lost; <= 0: it does. */
static int64_t remaining(const struct tcp_conn *c, struct fbuf *seg, uint32_t window_us, fs_ns now)
{
	return tcp_seg(seg)->sent_at + FS_US((fs_ns)c->rack.rtt_us + window_us) - now;
}

bool tcp_rack_is_recent(const struct tcp_conn *c, struct fbuf *seg, fs_ns now)
{
	return c->rack.sent_at != 0 && remaining(c, seg, window(c), now) > 0;
}

/*
 * 6.2 step 5. The segments whose last transmission may have been lost are those counted as in flight: when all of them
 * were looked at, what follows is known to be lost or SACKed. And behind one that was sent once, and later than the
 * delivered one, all were. Returns how long until the last of the undecided is, 0 = none.
 */
static int64_t detect(struct tcp_conn *c, fs_ns now)
{
	uint32_t undecided = tcp_in_flight(c), window_us = window(c);
	int64_t wait = 0;

	for (struct fbuf *f = tcp_sack_skip(c->first); f && f != c->send_next && undecided > 0;
	     f = tcp_sack_skip(tcp_seg(f)->next)) {
		struct tcp_seg *s = tcp_seg(f);
		bool lost = s->marks & TCP_SEG_LOST, again = s->marks & TCP_SEG_RETRANS;
		int64_t left_ns;

		if (lost && !again)
			continue;
		undecided -= again && !lost ? 2 : 1;
		if (!tcp_sent_after(c->rack.sent_at, c->rack.end_seq, s->sent_at, s->seq + s->len)) {
			if (!(s->marks & TCP_SEG_EVER_RETRANS))
				break;
			continue;
		}
		left_ns = remaining(c, f, window_us, now);
		if (left_ns <= 0)
			tcp_mark_lost(c, f);
		else
			wait = FS_MAX(wait, left_ns);
	}
	return wait;
}

void tcp_rack_detect(struct tcp_conn *c, fs_ns now)
{
	int64_t wait;

	if (!c->rack.advanced)
		return;
	c->rack.advanced = false;
	wait = detect(c, now);
	if (wait > 0) {
		c->loss_timer = TCP_LOSS_TIMER_REORDER;
		tcp_timer_set(c, TCP_TIMER_LOSS, now + wait);
	} else if (c->loss_timer == TCP_LOSS_TIMER_REORDER) {
		c->loss_timer = TCP_LOSS_TIMER_NONE;
		tcp_timer_stop(c, TCP_TIMER_LOSS);
	}
}
