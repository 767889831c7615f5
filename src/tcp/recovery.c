/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * recovery.c - the states of loss recovery, as ACKs move a connection through them (enum tcp_ca_state).
 *
 * tcp_loss_on_ack() sees ACKs that are not ordinary: duplicates, SACKs, echoes of congestion, and all while the state
 * is not OPEN. First it leaves a state whose end is reached, then follows the one it is in, finds losses, and
 * enters RECOVERY if there are any.
 *
 * Without SACK (RFC 6582) a duplicate ACK stands for a segment that left the network: they are counted in sacked_out,
 * no segment is marked by them, and each partial ACK means that the next segment is lost.
 * Limited transmit (RFC 3042) needs no code: what is SACKed is not in flight, so that new data may go.
 * Standards: RFC 5681 3.2, RFC 6582, RFC 6675, RFC 6937, RFC 5682, RFC 3168 6.1.2.
 */
#include "base/counter.h"
#include "base/err.h"
#include "tcp/loss.h"

void tcp_set_ca_state(struct tcp_conn *c, enum tcp_ca_state state, fs_ns now)
{
	const struct tcp_cc_ops *cc = tcp_cc_at(c->cc.algorithm);

	if (cc->state)
		cc->state(&c->cc, state, now);
	c->cc.ca_state = (uint8_t)state;
	if (state == TCP_CA_OPEN)
		c->tail = (struct tcp_tail){ 0 };
}

/* --- the window --- */

uint32_t tcp_current_ssthresh(const struct tcp_conn *c)
{
	if (tcp_in_reduction(c))
		return c->cc.ssthresh;
	return FS_MAX(c->cc.ssthresh, c->cc.cwnd / 2 + c->cc.cwnd / 4);
}

void tcp_queue_cwr(struct tcp_conn *c)
{
	if (tcp_has(c, TCP_CONN_ECN))
		c->flags |= TCP_CONN_CWR_PENDING;
}

void tcp_begin_reduction(struct tcp_conn *c, bool keep, fs_ns now)
{
	c->cc.prior_ssthresh = keep ? tcp_current_ssthresh(c) : 0;
	c->high_seq = c->snd_nxt;
	c->tlp_out = false;
	c->cc.cwnd_count = 0;
	c->cc.prior_cwnd = c->cc.cwnd;
	c->prr_delivered = 0;
	c->prr_out = 0;
	c->cc.ssthresh = tcp_cc_at(c->cc.algorithm)->ssthresh(&c->cc, now);
	tcp_queue_cwr(c);
}

/*
 * RFC 6937 3. Above ssthresh the window falls in proportion to what is delivered: over a round trip, evenly. Below it
 * (so much was lost) it grows again, by one segment more than was delivered at most, and that only while ACKs
 * advance and nothing more was lost (RFC 9937's safe form of the slow-start reduction bound).
 */
void tcp_prr(struct tcp_conn *c, uint32_t delivered, bool una_advanced, uint32_t newly_lost)
{
	uint32_t in_flight = tcp_in_flight(c), prior = FS_MAX(c->cc.prior_cwnd, 1U);
	int64_t count, below = (int64_t)c->cc.ssthresh - in_flight;

	if (delivered == 0)
		return;
	c->prr_delivered += delivered;
	if (below < 0) {
		count = (int64_t)(((uint64_t)c->cc.ssthresh * c->prr_delivered + prior - 1) / prior) - c->prr_out;
	} else {
		count = FS_MAX((int64_t)c->prr_delivered - c->prr_out, (int64_t)delivered);
		if (una_advanced && newly_lost == 0)
			count++;
		count = FS_MIN(count, below);
	}
	/* RFC 5681 3.2 step 3: the first retransmission goes whatever the window says. */
	count = FS_MAX(count, c->prr_out == 0 ? 1 : 0);
	c->cc.cwnd = in_flight + (uint32_t)count;
}

/* In RECOVERY only what was not taken back meanwhile. */
void tcp_end_reduction(struct tcp_conn *c)
{
	if (tcp_cc_at(c->cc.algorithm)->owns_window)
		return;
	if (c->cc.ssthresh < TCP_SSTHRESH_NONE && (c->cc.ca_state == TCP_CA_CWR || c->can_undo))
		c->cc.cwnd = FS_MAX(c->cc.ssthresh, 1U);
}

void tcp_enter_cwr(struct tcp_conn *c, fs_ns now)
{
	c->cc.prior_ssthresh = 0;
	if (c->cc.ca_state >= TCP_CA_CWR)
		return;
	c->can_undo = false;
	tcp_begin_reduction(c, false, now);
	tcp_set_ca_state(c, TCP_CA_CWR, now);
}

void tcp_enter_recovery(struct tcp_conn *c, bool ece, fs_ns now)
{
	tcp_undo_begin(c);
	if (tcp_in_reduction(c))
		c->cc.prior_ssthresh = 0; /* no second reduction in a window of data (RFC 6675 5) */
	else
		tcp_begin_reduction(c, !ece, now);
	tcp_set_ca_state(c, TCP_CA_RECOVERY, now);
	tcp_count(c, FS_CTR_tcp_recoveries);
}

/* --- OPEN, DISORDER --- */

bool tcp_any_retransmitted(const struct tcp_conn *c)
{
	return c->retrans_out > 0 ||
	       (c->packets_out > 0 && c->first && tcp_seg_has(c->first, TCP_SEG_EVER_RETRANS));
}

void tcp_keep_open(struct tcp_conn *c, fs_ns now)
{
	enum tcp_ca_state state = TCP_CA_OPEN;

	if (c->sacked_out + c->lost_out > 0 || tcp_any_retransmitted(c))
		state = TCP_CA_DISORDER;
	if (c->cc.ca_state == state)
		return;
	tcp_set_ca_state(c, state, now);
	c->high_seq = c->snd_nxt;
}

static void try_to_open(struct tcp_conn *c, const struct tcp_ack_state *a)
{
	if (!tcp_any_retransmitted(c))
		c->retrans_stamp = 0;
	if (a->cc.ece && !a->reacted) {
		if (c->cc.ca_state < TCP_CA_CWR)
			tcp_count(c, FS_CTR_tcp_ecn_reductions);
		tcp_enter_cwr(c, a->now);
	}
	if (c->cc.ca_state != TCP_CA_CWR)
		tcp_keep_open(c, a->now);
}

/* --- without SACK --- */

void tcp_reno_forget(struct tcp_conn *c)
{
	c->sacked_out = 0;
}

/* What is known to be missing cannot have left: the first segment at least. */
void tcp_reno_limit(struct tcp_conn *c)
{
	uint32_t holes = FS_MIN(FS_MAX(c->lost_out, 1U), c->packets_out);

	c->sacked_out = FS_MIN(c->sacked_out, c->packets_out - holes);
}

/* (RFC 5681 3.2 step 4, MAY) No more duplicates count than segments were out: a receiver that makes them up would
 * draw new data as fast as it likes. */
static void reno_duplicate(struct tcp_conn *c, const struct tcp_ack_state *a)
{
	uint32_t prior = c->sacked_out;

	if (!a->is_dup || c->dup_acks > (tcp_in_reduction(c) ? c->cc.prior_cwnd : c->cc.cwnd))
		return;
	c->sacked_out++;
	tcp_reno_limit(c);
	/* More duplicates than segments: the path, not loss, made some of them. */
	if (c->sacked_out == prior) {
		c->reordering = FS_MAX(c->reordering, FS_MIN(c->packets_out + 1, c->stack->config.max_reordering));
		c->reord_seen++;
		tcp_count(c, FS_CTR_tcp_reordered);
	}
	c->cc.delivered += c->sacked_out - prior;
}

/* One segment filled the hole, the others had been counted when their duplicates came. */
void tcp_reno_acked(struct tcp_conn *c, const struct tcp_ack_state *a)
{
	if (a->cc.acked == 0)
		return;
	if (a->cc.acked > c->sacked_out)
		c->cc.delivered += a->cc.acked - c->sacked_out;
	else
		c->cc.delivered++;
	c->sacked_out -= FS_MIN(a->cc.acked - 1, c->sacked_out);
	tcp_reno_limit(c);
}

/*
 * RFC 6582 3.2 steps 2 and 3: the third duplicate, or a partial ACK: the first segment is lost. Partial is only what a
 * retransmission can have caused. In a recovery that began for nothing every ACK is below the recovery point, and to
 * answer each by a retransmission makes the duplicates that begin the next one, for ever.
 */
static void reno_mark(struct tcp_conn *c, const struct tcp_ack_state *a)
{
	bool third = c->cc.ca_state < TCP_CA_RECOVERY && c->sacked_out >= c->reordering;
	bool partial = c->cc.ca_state == TCP_CA_RECOVERY && a->una_advanced && a->repaired;

	if ((third || partial) && !tcp_seg_has(c->first, TCP_SEG_LOST))
		tcp_mark_lost(c, c->first);
}

/* --- leaving --- */

/* Everything sent before recovery began is acked. True: without SACK the state is held until something beyond is, or
 * duplicates that are still under way would begin another one (RFC 6582 4.1). */
static bool finish_recovery(struct tcp_conn *c, const struct tcp_ack_state *a)
{
	/* Duplicates until here are answers to retransmissions. */
	if (!tcp_is_sack(c))
		tcp_reno_forget(c);
	if (tcp_may_undo(c, a))
		tcp_undo(c, false);
	else if (c->rack.reo_persist > 0)
		c->rack.reo_persist--;
	if (c->snd_una == c->high_seq && !tcp_is_sack(c)) {
		if (!tcp_any_retransmitted(c))
			c->retrans_stamp = 0;
		return true;
	}
	tcp_set_ca_state(c, TCP_CA_OPEN, a->now);
	c->reneged = false;
	return false;
}

/* True: there is nothing more to do. */
static bool leave(struct tcp_conn *c, struct tcp_ack_state *a)
{
	enum tcp_ca_state state = c->cc.ca_state;

	if (state == TCP_CA_OPEN) {
		c->retrans_stamp = 0;
		return false;
	}
	if (seq_lt(c->snd_una, c->high_seq))
		return false;
	/* CWR is held until something sent after the reduction is acked: the peer has seen the bit CWR then. */
	if (state == TCP_CA_CWR && c->snd_una != c->high_seq) {
		tcp_end_reduction(c);
		tcp_set_ca_state(c, TCP_CA_OPEN, a->now);
	}
	if (state == TCP_CA_RECOVERY) {
		if (finish_recovery(c, a))
			return true;
		tcp_end_reduction(c);
	}
	return false;
}

/* --- following --- */

/* A partial ACK in RECOVERY. True: the rest of recovery has to wait for retransmissions in the network. */
static bool partial(struct tcp_conn *c, struct tcp_ack_state *a)
{
	if (!c->can_undo || !tcp_echo_is_of_original(c, a))
		return false;
	/* The hole was filled by the late original: the path reorders. */
	if (a->reorder_from == a->prior_fack) {
		a->reorder_from = a->prior_una;
		tcp_check_reordering(c, a);
	}
	if (c->retrans_out > 0)
		return true;
	if (!tcp_any_retransmitted(c))
		c->retrans_stamp = 0;
	tcp_undo(c, true);
	tcp_keep_open(c, a->now);
	return false;
}

static void find_losses(struct tcp_conn *c, struct tcp_ack_state *a)
{
	uint32_t prior_retrans = c->retrans_out;

	if (c->packets_out == 0)
		return;
	if (tcp_is_sack(c))
		tcp_rack_detect(c, a->now);
	else
		reno_mark(c, a);
	a->lost_retrans = prior_retrans > c->retrans_out;
}

/* True: nothing more to do. */
static bool follow_recovery(struct tcp_conn *c, struct tcp_ack_state *a)
{
	if (a->una_advanced) {
		if (partial(c, a))
			return true;
	} else if (!tcp_is_sack(c)) {
		reno_duplicate(c, a);
	}
	if (tcp_undo_by_dsack(c))
		try_to_open(c, a);
	find_losses(c, a);
	return c->cc.ca_state == TCP_CA_RECOVERY;
}

/* In LOSS: the timeout was a mistake, as F-RTO knows or timestamps show. */
static bool undo_loss(struct tcp_conn *c, struct tcp_ack_state *a, bool frto)
{
	if (!frto && !tcp_may_undo(c, a))
		return false;
	tcp_undo(c, true);
	c->retransmits = 0;
	c->frto = TCP_FRTO_OFF;
	if (c->snd_una == c->high_seq && !tcp_is_sack(c))
		return true;
	if (frto || tcp_is_sack(c)) {
		tcp_set_ca_state(c, TCP_CA_OPEN, a->now);
		c->reneged = false;
	}
	return true;
}

/* New data may leave: they decide what the timeout was (RFC 5682 2.1 step 2.b). */
static bool may_send_new(const struct tcp_conn *c)
{
	return c->send_next && seq_lt(c->snd_nxt, c->snd_una + c->snd_wnd);
}

/*
 * RFC 5682 3.1, with SACK or without. True: undone. An ACK for what was sent once means that not all was lost; a
 * duplicate after new data that it was; one that advances over the retransmission leads to new data.
 */
static bool follow_frto(struct tcp_conn *c, struct tcp_ack_state *a)
{
	if (c->frto == TCP_FRTO_OFF)
		return false;
	c->frto = TCP_FRTO_ON;
	if (a->orig_delivered)
		return undo_loss(c, a, true);
	if (seq_gt(c->snd_nxt, c->high_seq)) {
		if (a->data_sacked || a->is_dup)
			c->frto = TCP_FRTO_OFF;
	} else if (a->una_advanced && seq_lt(c->snd_una, c->high_seq)) {
		c->high_seq = c->snd_nxt;
		c->frto = may_send_new(c) ? TCP_FRTO_PROBE : TCP_FRTO_OFF;
	}
	return false;
}

/* True: nothing more to do. */
static bool follow_loss(struct tcp_conn *c, struct tcp_ack_state *a)
{
	bool recovered = seq_ge(c->snd_una, c->high_seq);

	if (!(a->una_advanced && undo_loss(c, a, false)) && !follow_frto(c, a) && c->frto != TCP_FRTO_PROBE) {
		if (recovered) {
			c->frto = TCP_FRTO_OFF;
			finish_recovery(c, a);
		} else if (!tcp_is_sack(c)) {
			/* After step 2.b a duplicate stands for new data that arrived. */
			if (seq_gt(c->snd_nxt, c->high_seq))
				reno_duplicate(c, a);
			else if (a->una_advanced)
				tcp_reno_forget(c);
		}
	}
	find_losses(c, a);
	return c->cc.ca_state != TCP_CA_OPEN && !a->lost_retrans;
}

static void follow_open(struct tcp_conn *c, struct tcp_ack_state *a)
{
	if (!tcp_is_sack(c)) {
		if (a->una_advanced)
			tcp_reno_forget(c);
		reno_duplicate(c, a);
	}
	if (c->cc.ca_state <= TCP_CA_DISORDER)
		tcp_undo_by_dsack(c);
	find_losses(c, a);
}

/* RFC 2018 8: the ACK ends where a SACKed segment begins. Should it not move soon, the timeout forgets what was SACKed:
 * sooner than by RTO, for the peer waits for us. */
static void suspect(struct tcp_conn *c, fs_ns now)
{
	fs_ns wait = FS_MAX(FS_US((fs_ns)c->rtt.srtt_us / 2), FS_MS(10));

	tcp_timer_set(c, TCP_TIMER_RTX, now + wait);
}

void tcp_loss_on_ack(struct tcp_conn *c, struct tcp_ack_state *a)
{
	if (c->packets_out == 0)
		c->sacked_out = 0;
	if (a->cc.ece)
		c->cc.prior_ssthresh = 0; /* no way back: there was congestion */
	/* RFC 3168 6.1.2: once for a window of data. */
	a->reacted = c->cc.ca_state >= TCP_CA_CWR && seq_le(c->snd_una, c->high_seq);
	if (a->reneging && a->una_advanced) {
		a->rearm = false;
		suspect(c, a->now);
		return;
	}
	if (leave(c, a))
		return;
	if (c->cc.ca_state == TCP_CA_RECOVERY) {
		if (follow_recovery(c, a))
			return;
	} else if (c->cc.ca_state == TCP_CA_LOSS) {
		if (follow_loss(c, a))
			return;
	} else {
		follow_open(c, a);
	}
	if (c->lost_out == 0)
		try_to_open(c, a);
	else
		tcp_enter_recovery(c, a->cc.ece, a->now);
}
