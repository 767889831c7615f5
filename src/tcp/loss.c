/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * loss.c - marks of segments and the counts that go with them, what to send again next, and what happens when a
 * timer says that something was lost.
 *
 * In flight = packets_out - sacked_out - lost_out + retrans_out, RFC 6675's pipe in segments: a segment is counted
 * twice when it was sent again and the first copy is not believed lost.
 * Does not: judge ACKs (recovery.c), send (output.c asks tcp_loss_next()), arm RTX (timer.c).
 * Standards: RFC 6675, RFC 5681 3.1, RFC 5682, RFC 6298 5, RFC 7661.
 */
#include "base/counter.h"
#include "base/err.h"
#include "tcp/loss.h"

void tcp_loss_init(struct tcp_conn *c, fs_ns now)
{
	c->reordering = TCP_DUP_THRESHOLD;
	c->undo_retrans = -1;
	c->rack.reo_steps = 1;
	c->cwnd_usage_seq = c->snd_nxt;
	c->high_seq = c->snd_una;
}

void tcp_loss_purge(struct tcp_conn *c)
{
	c->packets_out = c->sacked_out = c->lost_out = c->retrans_out = 0;
	c->sack_cursor = c->lost_next = NULL;
	c->tlp_out = false;
	c->can_undo = false;
	c->frto = TCP_FRTO_OFF;
	if (c->loss_timer != TCP_LOSS_TIMER_NONE)
		tcp_timer_stop(c, TCP_TIMER_LOSS);
	c->loss_timer = TCP_LOSS_TIMER_NONE;
}

/* --- marks --- */

/* Its last transmission, that is: one that was lost again counts again. */
void tcp_mark_lost(struct tcp_conn *c, struct fbuf *seg)
{
	struct tcp_seg *s = tcp_seg(seg);

	if (s->marks & TCP_SEG_SACKED)
		return;
	if (c->lost_next && seq_lt(s->seq, tcp_seg(c->lost_next)->seq))
		c->lost_next = seg;
	if (s->marks & TCP_SEG_RETRANS) {
		s->marks &= (uint8_t)~TCP_SEG_RETRANS;
		c->retrans_out--;
	} else if (s->marks & TCP_SEG_LOST) {
		return;
	}
	if (!(s->marks & TCP_SEG_LOST)) {
		s->marks |= TCP_SEG_LOST;
		c->lost_out++;
	}
	c->total_lost++;
	tcp_count(c, FS_CTR_tcp_losses);
}

void tcp_mark_retransmitted(struct tcp_conn *c, struct fbuf *seg, fs_ns now)
{
	struct tcp_seg *s = tcp_seg(seg);

	if (!(s->marks & TCP_SEG_RETRANS))
		c->retrans_out++;
	s->marks |= TCP_SEG_RETRANS | TCP_SEG_EVER_RETRANS;
	if (s->retransmits < UINT8_MAX)
		s->retransmits++;
	c->total_retrans++;
	if (c->retrans_stamp == 0) {
		c->retrans_stamp = tcp_ts_now(c, now);
		if (c->retrans_stamp == 0)
			c->retrans_stamp = 1;
	}
	c->undo_retrans = FS_MAX(c->undo_retrans, 0) + 1;
	if (c->lost_next == seg)
		c->lost_next = s->next;
}

void tcp_unmark(struct tcp_conn *c, struct fbuf *seg)
{
	struct tcp_seg *s = tcp_seg(seg);

	c->packets_out--;
	if (c->lost_next == seg)
		c->lost_next = s->next;
	if (!(s->marks & (TCP_SEG_SACKED | TCP_SEG_LOST | TCP_SEG_RETRANS)) && c->sack_cursor != seg)
		return;
	tcp_sack_leave(c, seg);
	if (s->marks & TCP_SEG_LOST)
		c->lost_out--;
	if (s->marks & TCP_SEG_RETRANS)
		c->retrans_out--;
	if (!(s->marks & TCP_SEG_SACKED))
		return;
	c->sacked_out--;
	if (c->sacked_out == 0)
		c->sack_cursor = NULL;
}

/* --- what to send again --- */

/* RFC 6675 4, NextSeg() rule 1: in order of sequence numbers. */
struct fbuf *tcp_loss_next(struct tcp_conn *c, struct fbuf *from)
{
	struct fbuf *f = from ? from : c->lost_next ? c->lost_next : c->first, *last = NULL;

	if (c->lost_out == 0 || c->frto == TCP_FRTO_PROBE)
		return NULL;
	for (f = tcp_sack_skip(f); f && f != c->send_next; f = tcp_sack_skip(tcp_seg(f)->next)) {
		if ((tcp_seg(f)->marks & (TCP_SEG_LOST | TCP_SEG_RETRANS)) == TCP_SEG_LOST)
			break;
		last = f;
	}
	if (f == c->send_next)
		f = NULL;
	if (!from && (f || last))
		c->lost_next = f ? f : last;
	return f;
}

/* --- the retransmission timer --- */

/*
 * What is lost when nothing was heard for RTO: everything the peer does not hold; with RACK not what was sent so
 * recently that its ACK may be under way (RFC 8985 6.3). A first segment that is SACKed shows that the peer dropped
 * what it held (RFC 2018 8): T2018-2.
 */
static void mark_timed_out(struct tcp_conn *c, fs_ns now)
{
	bool dropped = tcp_seg_has(c->first, TCP_SEG_SACKED);

	if (dropped) {
		tcp_sack_forget(c);
		c->reneged = true;
		tcp_count(c, FS_CTR_tcp_renegings);
	} else if (!tcp_is_sack(c)) {
		tcp_reno_forget(c);
	}
	for (struct fbuf *f = c->first; f && f != c->send_next; f = tcp_seg(f)->next) {
		if (f == c->first || dropped || !tcp_is_sack(c) || !tcp_rack_is_recent(c, f, now))
			tcp_mark_lost(c, f);
	}
	c->lost_next = NULL;
}

void tcp_loss_on_rto(struct tcp_conn *c, fs_ns now)
{
	const struct tcp_cc_ops *cc = tcp_cc_at(c->cc.algorithm);
	enum tcp_ca_state state = c->cc.ca_state;

	if (c->packets_out == 0)
		return; /* SYN or FIN alone: no window bounds them */
	mark_timed_out(c, now);
	/* Once for a window of data (RFC 5681 4.3); again when recovery made progress and stopped. */
	if (state <= TCP_CA_DISORDER || seq_ge(c->snd_una, c->high_seq) ||
	    (state == TCP_CA_LOSS && c->retransmits == 0)) {
		c->cc.prior_ssthresh = tcp_current_ssthresh(c);
		c->cc.prior_cwnd = c->cc.cwnd;
		c->cc.ssthresh = cc->ssthresh(&c->cc, now);
		if (cc->event)
			cc->event(&c->cc, TCP_CC_LOSS, now);
		tcp_undo_begin(c);
	}
	/* So many duplicates and yet no fast retransmit: the threshold was too high. */
	if (state <= TCP_CA_DISORDER && c->sacked_out >= TCP_DUP_THRESHOLD)
		c->reordering = FS_MIN(c->reordering, TCP_DUP_THRESHOLD);
	tcp_set_ca_state(c, TCP_CA_LOSS, now);
	/* RFC 5681 3.1: the loss window is one segment; who owns the window sees to it, but that one goes. */
	c->cc.cwnd = FS_MAX(cc->owns_window ? c->cc.cwnd : 0, tcp_in_flight(c) + 1);
	c->cc.cwnd_count = 0;
	c->high_seq = c->snd_nxt;
	c->tlp_out = false;
	tcp_queue_cwr(c);
	/* RFC 5682 2.1 step 1, 3.2: not in the middle of another recovery, but again when the timer fires again. */
	c->frto = state < TCP_CA_RECOVERY || c->retransmits > 0 ? TCP_FRTO_ON : TCP_FRTO_OFF;
	if (c->loss_timer != TCP_LOSS_TIMER_NONE)
		tcp_timer_stop(c, TCP_TIMER_LOSS);
	c->loss_timer = TCP_LOSS_TIMER_NONE;
}

/* --- TCP_TIMER_LOSS --- */

/* RFC 8985 6.3: what waited for the reordering window. */
static void on_reorder_timer(struct tcp_conn *c, fs_ns now)
{
	uint32_t prior_lost = c->total_lost;

	c->rack.advanced = true;
	tcp_rack_detect(c, now);
	if (c->total_lost == prior_lost)
		return;
	if (c->cc.ca_state != TCP_CA_RECOVERY) {
		tcp_enter_recovery(c, false, now);
		if (!tcp_cc_at(c->cc.algorithm)->owns_window)
			tcp_prr(c, 1, false, c->total_lost - prior_lost);
	}
	tcp_mark_dirty(c);
}

void tcp_loss_on_timer(struct tcp_conn *c, const struct ip_env *env, fs_ns now)
{
	uint8_t which = c->loss_timer;

	c->loss_timer = TCP_LOSS_TIMER_NONE;
	if (c->packets_out == 0)
		return;
	if (which == TCP_LOSS_TIMER_TLP)
		tcp_tlp_fire(c, env, now);
	else if (which == TCP_LOSS_TIMER_REORDER)
		on_reorder_timer(c, now);
	/* Where no probe could leave (nothing fits into the window, or there is no way out), trying again for ever
	 * would keep the retransmission timer from its turn. */
	if (which == TCP_LOSS_TIMER_TLP || c->due[TCP_TIMER_RTX] == FS_NEVER)
		tcp_rto_arm(c, now);
}

/* --- path MTU --- */

void tcp_loss_on_mtu(struct tcp_conn *c, fs_ns now)
{
	for (struct fbuf *f = c->first; f && f != c->send_next; f = tcp_seg(f)->next) {
		if (tcp_seg(f)->len > c->mss)
			tcp_mark_lost(c, f);
	}
	if (c->lost_out == 0)
		return;
	if (!tcp_is_sack(c))
		tcp_reno_limit(c);
	/* The network carries as much as before, if in smaller units: nothing speaks for congestion. */
	if (c->cc.ca_state != TCP_CA_LOSS) {
		c->high_seq = c->snd_nxt;
		c->cc.ssthresh = tcp_current_ssthresh(c);
		c->cc.prior_ssthresh = 0;
		c->can_undo = false;
		tcp_set_ca_state(c, TCP_CA_LOSS, now);
		c->frto = TCP_FRTO_OFF;
	}
	tcp_mark_dirty(c);
}
