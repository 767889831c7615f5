/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * loss.h - between the files that process acknowledgements (ack.c, sack.c, rack.c, tlp.c, recovery.c, undo.c,
 * loss.c, rate.c), and for their tests.
 *
 * The way of an ACK: ack.c judges it and the window, sack.c puts SACK blocks onto the segments, ack.c frees what is
 * cumulatively acked; every segment delivered teaches rack.c and rate.c. Then tlp.c looks whether a probe was
 * answered, recovery.c detects losses (rack.c), follows RFC 5681's states and takes reductions back (undo.c),
 * and ack.c lets congestion control or PRR set the window.
 *
 * Shape and names follow Linux, whose behaviour TCP_INFO shows: states, counts, when a reduction is undone.
 * Threads: holder of the stack's lock only.
 */
#ifndef FSOCK_TCP_LOSS_H
#define FSOCK_TCP_LOSS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/fbuf.h"
#include "base/seq.h"
#include "tcp/cc.h"
#include "tcp/conn.h"
#include "tcp/tcp_internal.h"

enum {
	TCP_DUP_THRESHOLD = 3, /* RFC 5681 3.2: duplicate ACKs that mean a loss, on a path that does not reorder */
	TCP_TLP_MAX_ACK_DELAY_US = 200000, /* RFC 8985 7.2: a peer delays the ACK of a lone segment for so long */
};

/* What an ACK found out. Zeroed but for what says so. */
struct tcp_ack_state {
	struct tcp_cc_ack cc;	/* what congestion control is told; rate.c's sample */
	fs_ns now;
	tcp_seq ack;		/* its number */
	tcp_seq prior_una;
	tcp_seq prior_fack;	/* what was delivered before: end of the highest SACKed segment, or snd_una */
	tcp_seq reorder_from;	/* lowest number overtaken by what was delivered before; prior_fack: none */
	uint32_t ts_ecr;	/* its timestamp's echo; valid if has_ts */
	bool has_ts;
	bool una_advanced;
	bool acked_data;	/* segments left the list */
	bool acked_retrans;	/* one of them had been sent more than once */
	bool repaired;		/* and that so long ago that it may be what arrived */
	bool orig_delivered;	/* a segment sent once, before recovery began, was delivered */
	bool data_sacked;
	bool dsack;		/* the peer had something twice */
	bool dsack_tlp;		/* and that was a tail loss probe */
	bool is_dup;		/* of RFC 5681 2's kind */
	bool reneging;		/* the first segment left is SACKed: the peer dropped it */
	bool lost_retrans;	/* a retransmission was lost */
	bool reacted;		/* the window was reduced after all that this ACK acks was sent */
	bool rearm;		/* progress: RTX begins anew */

	/* Round trips, by when segments sent once were sent: of the first one acked and the last one, of those SACKed.
	 * 0 = none. */
	fs_ns first_acked, last_acked, first_sacked, last_sacked;

	/* rate.c: of the delivered segment that was sent last. */
	fs_ns rate_sent_at;	/* 0 = none delivered */
	tcp_seq rate_end;
	uint32_t rate_delivered_us, rate_send_us;
};

/* --- sack.c --- */

/* SACK blocks and D-SACK of @in onto the segments; fills @a. Malformed blocks are ignored (T2018-3). */
void tcp_sack_input(struct tcp_conn *c, const struct tcp_in *in, struct tcp_ack_state *a);

/* The peer may have thrown away what it had SACKed (RFC 2018 8): nothing is SACKed. */
void tcp_sack_forget(struct tcp_conn *c);

/* Segments were delivered after others sent later: learn how far the path reorders. */
void tcp_check_reordering(struct tcp_conn *c, const struct tcp_ack_state *a);

/* @seg, the first, leaves the list. */
void tcp_sack_leave(struct tcp_conn *c, struct fbuf *seg);

/* The first segment from @seg on that is not SACKed, NULL = none. In steps of runs. */
static inline struct fbuf *tcp_sack_skip(struct fbuf *seg);

/* --- rack.c (RFC 8985) --- */

/* A segment was delivered, cumulatively or selectively. Before its fbuf is freed and its marks change. */
static inline void tcp_rack_delivered(struct tcp_conn *c, struct fbuf *seg, const struct tcp_ack_state *a);

/* The same for one sent once. */
static inline void tcp_rack_advance(struct tcp_conn *c, fs_ns sent_at, tcp_seq end, uint32_t rtt_us);

/* 6.2 step 4: adapt the reordering window to D-SACKs. After a->cc.prior_delivered is known. */
void tcp_rack_adapt(struct tcp_conn *c, const struct tcp_ack_state *a);

/* 6.2 step 5: mark what was sent long enough before what was delivered; the rest is left to a timer. */
void tcp_rack_detect(struct tcp_conn *c, fs_ns now);

/* Was @seg sent so recently that it cannot be lost yet? */
bool tcp_rack_is_recent(const struct tcp_conn *c, struct fbuf *seg, fs_ns now);

/* --- tlp.c --- */

/* 7.4: a probe is out: did this ACK answer it, and did it repair a loss? */
void tcp_tlp_on_ack(struct tcp_conn *c, struct tcp_ack_state *a);

/* Send it, unless one is out. */
void tcp_tlp_fire(struct tcp_conn *c, const struct ip_env *env, fs_ns now);

/* --- recovery.c --- */

void tcp_set_ca_state(struct tcp_conn *c, enum tcp_ca_state state, fs_ns now);

/* The next new data tells the peer that its echo of congestion was heard (RFC 3168 6.1.2). */
void tcp_queue_cwr(struct tcp_conn *c);

/* ssthresh, or what it would be if the window's validity mattered: 3/4 of a window in use (RFC 7661 4.4's class). */
uint32_t tcp_current_ssthresh(const struct tcp_conn *c);

/* Detect losses, enter, follow and leave recovery, undo. After SACK and cleaning of the list, for an ACK that is not
 * ordinary. */
void tcp_loss_on_ack(struct tcp_conn *c, struct tcp_ack_state *a);

/* The window begins to shrink to a new ssthresh, by PRR; state is entered after it. @keep: remember the old one for
 * undo. */
void tcp_begin_reduction(struct tcp_conn *c, bool keep, fs_ns now);
void tcp_end_reduction(struct tcp_conn *c);
void tcp_enter_recovery(struct tcp_conn *c, bool ece, fs_ns now);

/* RFC 6937: the window during CWR and RECOVERY, after @delivered more segments. */
void tcp_prr(struct tcp_conn *c, uint32_t delivered, bool una_advanced, uint32_t newly_lost);

/* OPEN, or DISORDER while something is missing or was sent again. */
void tcp_keep_open(struct tcp_conn *c, fs_ns now);

/* Is a retransmission in the network, or was the first segment sent again? */
bool tcp_any_retransmitted(const struct tcp_conn *c);

/* Without SACK: duplicate ACKs count as segments that left the network, in sacked_out; what is acked eats them. */
void tcp_reno_forget(struct tcp_conn *c);
void tcp_reno_acked(struct tcp_conn *c, const struct tcp_ack_state *a);
void tcp_reno_limit(struct tcp_conn *c); /* never more than can have left */

/* --- undo.c --- */

/* From here on the window might go back. */
void tcp_undo_begin(struct tcp_conn *c);

/* The window as before the reduction; @unmark: nothing is lost. */
void tcp_undo(struct tcp_conn *c, bool unmark);

/* Nothing that was sent again was needed: D-SACKs for all of it, or the ACK's timestamp is older than the first
 * retransmission (RFC 3522, Eifel). */
bool tcp_may_undo(const struct tcp_conn *c, const struct tcp_ack_state *a);

/* The second half of the above. */
bool tcp_echo_is_of_original(const struct tcp_conn *c, const struct tcp_ack_state *a);

/* All retransmissions were duplicates: undone? */
bool tcp_undo_by_dsack(struct tcp_conn *c);

/* --- rate.c --- */

void tcp_rate_delivered(struct tcp_conn *c, struct fbuf *seg, struct tcp_ack_state *a);

/* Is what was sent while the program had nothing more out of the pipe? After conn->cc.delivered moved. */
static inline void tcp_rate_bubble(struct tcp_conn *c);

/* Was what is delivered sent after the last round trip began? Then one begins. Low bits of conn->cc.delivered. */
static inline bool tcp_rate_round(struct tcp_conn *c, uint32_t prior_delivered);

/* The sample of this ACK, a->cc.acked_sacked known. */
void tcp_rate_sample(struct tcp_conn *c, struct tcp_ack_state *a);

/* inline definitions */

static inline bool tcp_is_sack(const struct tcp_conn *c)
{
	return tcp_has(c, TCP_CONN_SACK);
}

/* PRR governs the window. */
static inline bool tcp_in_reduction(const struct tcp_conn *c)
{
	return c->cc.ca_state == TCP_CA_CWR || c->cc.ca_state == TCP_CA_RECOVERY;
}

/* (RFC 8985 6.2: RACK_sent_after) Sent at @t1 and ending at @end1, is it later than the other? */
static inline bool tcp_sent_after(fs_ns t1, tcp_seq end1, fs_ns t2, tcp_seq end2)
{
	return t1 > t2 || (t1 == t2 && seq_gt(end1, end2));
}

static inline bool tcp_seg_has(struct fbuf *seg, uint8_t marks)
{
	return (tcp_seg(seg)->marks & marks) != 0;
}

/* Is @seg the first of a run of SACKed segments? */
static inline bool tcp_sack_run_begins(struct fbuf *seg)
{
	return !tcp_seg(seg)->prev || !tcp_seg_has(tcp_seg(seg)->prev, TCP_SEG_SACKED);
}

static inline struct fbuf *tcp_sack_skip(struct fbuf *seg)
{
	while (seg && tcp_seg_has(seg, TCP_SEG_SACKED))
		seg = tcp_seg(tcp_sack_run_begins(seg) ? tcp_seg(seg)->run : seg)->next;
	return seg;
}

static inline void tcp_rack_advance(struct tcp_conn *c, fs_ns sent_at, tcp_seq end, uint32_t rtt_us)
{
	c->rack.advanced = true;
	c->rack.rtt_us = rtt_us;
	if (tcp_sent_after(sent_at, end, c->rack.sent_at, c->rack.end_seq)) {
		c->rack.sent_at = sent_at;
		c->rack.end_seq = end;
	}
}

/*
 * 6.2 steps 1 and 2. A retransmission answered sooner than any round trip was is not what was answered, nor one whose
 * ACK echoes an older timestamp: nothing is learned, or all that was sent before it would count as lost. The echo of an
 * ACK that only SACKs it says nothing: it is of what came in order (RFC 7323 4.3).
 */
static inline void tcp_rack_delivered(struct tcp_conn *c, struct fbuf *seg, const struct tcp_ack_state *a)
{
	const struct tcp_seg *s = tcp_seg(seg);
	uint32_t rtt_us = (uint32_t)((a->now - s->sent_at) / FS_US(1));

	if (s->marks & TCP_SEG_EVER_RETRANS) {
		if (rtt_us < c->rtt.min_us)
			return;
		if (a->has_ts && seq_le(s->seq + s->len, a->ack) && seq_lt(a->ts_ecr,
								  tcp_ts_now(c, s->sent_at)))
			return;
	}
	tcp_rack_advance(c, s->sent_at, s->seq + s->len, rtt_us);
}

static inline void tcp_rate_bubble(struct tcp_conn *c)
{
	if (c->app_limited != 0 && (int32_t)((uint32_t)c->cc.delivered - c->app_limited) > 0)
		c->app_limited = 0;
}

static inline bool tcp_rate_round(struct tcp_conn *c, uint32_t prior_delivered)
{
	if ((int32_t)(prior_delivered - c->round_delivered) < 0)
		return false;
	c->round_delivered = (uint32_t)c->cc.delivered;
	return true;
}

#endif
