/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * input.c - a segment arrives at a connection (RFC 9293 3.10.7.3 and 3.10.7.4).
 *
 * Two ways through. The short one (header prediction) is for a connection in ESTABLISHED and a segment without
 * anything unusual: in order, within the window, ACK and perhaps PSH, the expected options, nothing
 * waiting behind a gap. Everything else goes step by step in the standard's order. Nothing is sent but RST and SYN:
 * what is owed is marked and leaves at the burst's end, challenge ACKs as well, of which a burst gets one.
 * Standards: RFC 9293; RFC 5961 (blind attacks), with the allowance of RFC 9293 A.2 that an ACK is looked at
 * where its number is no older than our last ACK; RFC 7323 4.3, 5 (timestamps, PAWS); RFC 3168 6.1.3 and
 * RFC 8257 3.2 (the receiver's side of ECN).
 * Not here: what an ACK does (ack.c), LISTEN, TIME-WAIT and requests (listen.c, timewait.c, request.c).
 */
#include <errno.h>

#include "base/counter.h"
#include "base/err.h"
#include "tcp/conn.h"
#include "tcp/recv_internal.h"
#include "tcp/tcp_internal.h"

/* RFC 7323 5.5: a TS.Recent older than this may have wrapped. */
#define PAWS_IDLE (FS_SEC(24) * 3600 * 24)

enum {
	QUICK = 16, /* ACKs not delayed after something that the sender is better told at once */
	QUICK_CE = 2,
};

/* --- answers --- */

/* An ACK that a stranger could have asked for: throttled, unless one is owed anyway. */
static void challenge(struct tcp_conn *c, enum fs_counter why)
{
	tcp_count(c, why);
	if (c->ack_flags & TCP_ACK_NOW)
		return;
	c->ack_flags |= TCP_ACK_NOW | TCP_ACK_CHALLENGE;
	tcp_mark_dirty(c);
}

/* Something came that we have, or cannot take: the sender is told at once, so that it goes on from there. A SYN is no
 * text: anybody's (RFC 5961 4.2). */
static void ack_unacceptable(struct tcp_conn *c, const struct tcp_in *in, enum fs_counter why)
{
	if (in->end == in->h.seq || (in->h.flags & TCP_SYN)) {
		challenge(c, why);
		return;
	}
	tcp_count(c, why);
	if (in->len > 0 && seq_lt(in->h.seq, c->rcv_nxt)) {
		tcp_ack_quickly(c, QUICK);
		tcp_dsack(c, in->h.seq, seq_min(in->h.seq + in->len, c->rcv_nxt));
	}
	tcp_ack_now(c);
}

/* --- timestamps --- */

/* RFC 7323 4.3 (2): only what begins no later than the last ACK, so that a delayed ACK echoes the earliest. */
static inline void remember_timestamp(struct tcp_conn *c, const struct tcp_in *in)
{
	if (seq_le(in->h.seq, c->last_ack_sent)) {
		c->ts_recent = in->h.ts_val;
		c->ts_recent_at = in->now;
	}
}

/* PAWS (RFC 7323 5.3 R1). */
static bool is_from_the_past(const struct tcp_conn *c, const struct tcp_in *in)
{
	return (int32_t)(in->h.ts_val - c->ts_recent) < 0 && c->ts_recent_at != 0 &&
	       in->now - c->ts_recent_at < PAWS_IDLE;
}

/* --- ECN, the receiver's side --- */

/* DCTCP echoes each mark exactly: what was received before the mark changed is acknowledged without it. */
static void echo_exactly(struct tcp_conn *c, const struct ip_env *env, const struct tcp_cc_ops *cc,
			 const struct tcp_in *in)
{
	if (cc->event)
		cc->event(&c->cc, in->ce ? TCP_CC_ECN_CE : TCP_CC_ECN_NO_CE, in->now);
	if (in->ce == tcp_has(c, TCP_CONN_ECE_ECHO))
		return;
	if (c->ack_flags & (TCP_ACK_NOW | TCP_ACK_DELAYED))
		tcp_send_ack(c, env, in->now);
	c->flags ^= TCP_CONN_ECE_ECHO;
	tcp_ack_now(c);
}

/* A data segment of a connection with ECN. */
static __attribute__((noinline)) void ecn_in(struct tcp_conn *c, const struct ip_env *env, const struct tcp_in *in)
{
	const struct tcp_cc_ops *cc = tcp_cc_at(c->cc.algorithm);

	if (cc && cc->wants_ecn) {
		echo_exactly(c, env, cc, in);
		return;
	}
	if (in->h.flags & TCP_CWR) {
		/* The sender heard us, and may have little in flight: no delay. */
		c->flags &= ~(uint32_t)TCP_CONN_ECE_ECHO;
		tcp_ack_now(c);
	}
	if (in->ce) {
		if (!tcp_has(c, TCP_CONN_ECE_ECHO))
			tcp_ack_quickly(c, QUICK_CE);
		c->flags |= TCP_CONN_ECE_ECHO | TCP_CONN_ECN_SEEN;
	} else if (in->ect) {
		c->flags |= TCP_CONN_ECN_SEEN;
	} else if (tcp_has(c, TCP_CONN_ECN_SEEN)) {
		tcp_ack_quickly(c, QUICK_CE); /* not ECT any more: a retransmission, most likely */
	}
}

/* --- FIN --- */

/* Eighth step: the peer's FIN, everything before it is here. True: @c is gone. */
static bool take_fin(struct tcp_conn *c, const struct ip_env *env, fs_ns now)
{
	c->rcv_nxt++;
	c->flags = (c->flags & ~(uint32_t)TCP_CONN_FIN_AHEAD) | TCP_CONN_FIN_RECEIVED;
	tcp_ooo_purge(c); /* nothing comes after it, whatever was sent */
	switch (c->state) {
	case TCP_ESTABLISHED:
		/* Our FIN may follow soon and carry the ACK. */
		c->ack_flags |= TCP_ACK_PINGPONG;
		if (!tcp_ack_hold(c, now))
			tcp_ack_owed(c, now);
		tcp_set_state(c, env, TCP_CLOSE_WAIT);
		return false;
	case TCP_FIN_WAIT1:
		tcp_ack_now(c);
		tcp_set_state(c, env, TCP_CLOSING);
		return false;
	case TCP_FIN_WAIT2:
		tcp_ack_now(c);
		return tcp_enter_time_wait(c, env, now);
	default:
		return false;
	}
}

/* A FIN whose number is @at, behind a gap. The first one counts, and none within what came already. */
static void note_fin(struct tcp_conn *c, tcp_seq at)
{
	if (tcp_has(c, TCP_CONN_FIN_AHEAD) || (c->ooo_last && seq_gt(tcp_ooo(c->ooo_last)->end, at)))
		return;
	c->flags |= TCP_CONN_FIN_AHEAD;
	c->rcv_fin = at;
}

/* --- text --- */

/*
 * Reduce @in to what is new and within the window. False: a FIN it carries is none of that.
 * DEVIATION: a FIN at the window's right edge is taken although its number lies outside (RFC 9293 3.10.7.4): it needs
 * no room, and senders do not wait with it. Tested: tcp_window__closed_takes_fin.
 */
static bool trim(struct tcp_conn *c, struct tcp_in *in)
{
	tcp_seq edge = c->rcv_nxt + tcp_receive_window(c);
	bool fin = in->h.flags & TCP_FIN;

	if (seq_lt(in->h.seq, c->rcv_nxt)) {
		uint32_t old = FS_MIN(c->rcv_nxt - in->h.seq, in->len);

		tcp_dsack(c, in->h.seq, in->h.seq + old);
		if (old > 0)
			fbuf_pull(in->frame, old);
		in->h.seq += old;
		in->len -= old;
	}
	if (tcp_has(c, TCP_CONN_FIN_AHEAD))
		edge = seq_min(edge, c->rcv_fin);
	if (seq_gt(in->h.seq + in->len, edge)) {
		uint32_t keep = seq_lt(in->h.seq, edge) ? edge - in->h.seq : 0;

		if (in->len > 0)
			fbuf_trim(in->frame, keep);
		in->len = keep;
		fin = false;
	}
	return fin;
}

/* In-order text enters the queue, and what waited for it. False: no room. */
static bool take_in_order(struct tcp_conn *c, struct tcp_in *in)
{
	struct fbuf *gap = c->ooo_first;

	if (__builtin_expect(gap && seq_lt(tcp_ooo(gap)->seq, in->h.seq + in->len), 0)) {
		/* It overlaps what waits: that is kept, so this fills the gap only. */
		if (!tcp_ooo_insert(c, in))
			return false;
	} else if (tcp_rx_append(c, in) < 0) {
		return false;
	}
	if (gap)
		tcp_ooo_drain(c);
	return true;
}

/* Does the FIN behind what was just taken say what is owed for both? */
static bool fin_owes(const struct tcp_conn *c, bool fin, tcp_seq at)
{
	return fin && at == c->rcv_nxt && c->state == TCP_ESTABLISHED && c->stack->config.hold_acks;
}

static void tell_readable(struct tcp_conn *c, const struct ip_env *env)
{
	if (c->rcv_nxt - c->copied_seq >= c->options.rcvlowat || tcp_is_full(c))
		tcp_tell(c, env, TCP_READY_IN);
}

/* Seventh and eighth step. @in->end is beyond rcv_nxt. True: @c is gone. */
static bool take_text(struct tcp_conn *c, const struct ip_env *env, struct tcp_in *in)
{
	bool fin = trim(c, in);
	tcp_seq fin_at = in->h.seq + in->len;
	bool had_gap = c->ooo_first;

	if (in->len > 0 && tcp_has(c, TCP_CONN_ECN))
		ecn_in(c, env, in);
	if (in->len == 0 && !fin) {
		tcp_count(c, FS_CTR_drop_tcp_window); /* a probe of our closed window, for one */
		tcp_ack_now(c);
		return false;
	}
	if (in->h.seq != c->rcv_nxt) {
		if (in->len > 0 && tcp_ooo_insert(c, in))
			c->stack->ip->counters[FS_CTR_tcp_out_of_order] += in->segments;
		if (fin)
			note_fin(c, fin_at);
		tcp_ack_now(c); /* RFC 5681 4.2: so that the sender learns of the gap */
		if (c->rcv_nxt != c->copied_seq && tcp_is_full(c))
			tcp_tell(c, env, TCP_READY_IN);
		return false;
	}
	if (in->len > 0) {
		tcp_rx_measure(c, in);
		if (!take_in_order(c, in)) {
			tcp_ack_now(c);
			tell_readable(c, env); /* reading makes room */
			return false;
		}
		if (had_gap)
			tcp_ack_now(c);
		else if (!fin_owes(c, fin, fin_at))
			tcp_ack_owed(c, in->now);
		tell_readable(c, env);
	}
	if (tcp_has(c, TCP_CONN_FIN_AHEAD)) {
		fin = true;
		fin_at = c->rcv_fin;
	}
	return fin && fin_at == c->rcv_nxt && take_fin(c, env, in->now);
}

/* Sixth step on: URG, text, FIN. True: @c is gone. */
static bool take_rest(struct tcp_conn *c, const struct ip_env *env, struct tcp_in *in)
{
	tcp_seq text_end = in->h.seq + in->len;

	bool is_old = in->end != in->h.seq && seq_le(in->end, c->rcv_nxt);

	if (c->state != TCP_ESTABLISHED && c->state != TCP_FIN_WAIT1 && c->state != TCP_FIN_WAIT2) {
		/* After the peer's FIN nothing counts; the FIN itself may come again. */
		if (is_old)
			ack_unacceptable(c, in, FS_CTR_drop_tcp_old);
		return false;
	}
	if (in->len > 0 && seq_gt(text_end, c->rcv_nxt) && c->state != TCP_ESTABLISHED &&
	    tcp_has(c, TCP_CONN_ORPHAN | TCP_CONN_SHUT_RD)) {
		/* SHLD-3: nobody will read them, and the peer shall know. */
		tcp_count(c, FS_CTR_drop_tcp_closed);
		return tcp_reset(c, env, ECONNRESET, in->now);
	}
	if (__builtin_expect((in->h.flags & TCP_URG) || tcp_has(c, TCP_CONN_URG_WAIT), 0))
		tcp_urgent_in(c, env, in);
	if (in->end == in->h.seq)
		return false;
	if (is_old) {
		ack_unacceptable(c, in, FS_CTR_drop_tcp_old);
		return false;
	}
	return take_text(c, env, in);
}

/* --- SYN-SENT --- */

/* Take away from what we offered what the peer's SYN does not agree to. */
static void negotiate(struct tcp_conn *c, const struct tcp_in *in)
{
	const struct tcp_hdr *h = &in->h;
	/* RFC 3168 6.1.1: a SYN-ACK that sets both echoes our flags without understanding them. */
	uint32_t ecn = h->flags & TCP_ACK ? TCP_ECE : TCP_ECE | TCP_CWR;

	if (!(h->options & TCP_HAS_WSCALE))
		c->flags &= ~(uint32_t)TCP_CONN_WSCALE;
	if (!(h->options & TCP_HAS_SACK_PERMITTED))
		c->flags &= ~(uint32_t)TCP_CONN_SACK;
	if (!(h->options & TCP_HAS_TIMESTAMP))
		c->flags &= ~(uint32_t)TCP_CONN_TS;
	if ((h->flags & (TCP_ECE | TCP_CWR)) != ecn)
		c->flags &= ~(uint32_t)TCP_CONN_ECN;
	c->snd_wscale = tcp_has(c, TCP_CONN_WSCALE) ? FS_MIN(h->wscale, (uint8_t)14) : 0; /* RFC 7323 2.3 */
	if (!tcp_has(c, TCP_CONN_WSCALE))
		c->rcv_wscale = 0;
	if (tcp_has(c, TCP_CONN_TS)) {
		c->ts_recent = h->ts_val;
		c->ts_recent_at = in->now;
	}
	if ((h->options & TCP_HAS_MSS) && h->mss > 0)
		c->peer_mss = h->mss;
}

/* The peer's SYN is good: numbers, options and its window, which is not scaled (RFC 7323 2.2). */
static void take_syn(struct tcp_conn *c, struct tcp_in *in)
{
	tcp_rx_synced(c, in->h.seq);
	negotiate(c, in);
	tcp_update_mss(c);
	c->snd_wnd = c->max_wnd = in->h.window;
	c->snd_wl1 = in->h.seq;
	c->snd_wl2 = in->h.ack;
}

/* What is left of the segment begins behind its SYN. */
static void strip_syn(struct tcp_in *in)
{
	in->h.flags &= (uint16_t)~TCP_SYN;
	in->h.seq++;
}

/* Data of our SYN that the SYN-ACK did not take: sent again at once, and that is no sign of congestion. */
static void resend_syn_data(struct tcp_conn *c)
{
	for (struct fbuf *f = c->first; f != c->send_next; f = tcp_seg(f)->next)
		tcp_mark_lost(c, f);
	tcp_mark_dirty(c);
}

/* An ACK acceptable in SYN-SENT or SYN-RECEIVED acknowledges our SYN. */
static void syn_acked(struct tcp_conn *c, const struct ip_env *env, struct tcp_in *in)
{
	c->snd_una = c->iss + 1;
	tcp_ack_syn(c, in, c->last_sent_at);
	tcp_established(c, env, in->now);
	tcp_rearm_rtx(c, in->now);
}

/* T7323-7: an echo of what we never sent is somebody else's. What we sent lies between connect and now. */
static bool is_bogus_echo(const struct tcp_conn *c, const struct tcp_in *in)
{
	uint32_t age = tcp_ts_now(c, in->now) - in->h.ts_ecr; /* ms */

	return tcp_has(c, TCP_CONN_TS) && (in->h.options & TCP_HAS_TIMESTAMP) && in->h.ts_ecr != 0 &&
	       age > (tcp_us(in->now) - c->rcv_space_us) / 1000 + 1;
}

static void syn_sent_input(struct tcp_conn *c, const struct ip_env *env, struct tcp_in *in)
{
	const struct tcp_hdr *h = &in->h;

	if (h->flags & TCP_ACK) {
		/* SND.UNA < SEG.ACK =< SND.NXT: with Fast Open data it may be less than all. */
		if (h->ack - c->iss - 1 >= c->snd_nxt - c->iss || is_bogus_echo(c, in)) {
			tcp_count(c, FS_CTR_drop_tcp_ack);
			tcp_reply_reset(c->stack, env, in);
			return;
		}
	}
	if (h->flags & TCP_RST) {
		if (!(h->flags & TCP_ACK)) {
			tcp_count(c, FS_CTR_drop_tcp_blind);
			return;
		}
		tcp_count(c, FS_CTR_tcp_resets_in);
		tcp_drop(c, env, ECONNREFUSED);
		return;
	}
	if (!(h->flags & TCP_SYN)) {
		tcp_count(c, FS_CTR_drop_tcp_ack);
		return;
	}
	if (!(h->flags & TCP_ACK)) {
		/* Simultaneous open (MUST-10). DEVIATION: its text is not kept for later (RFC 9293 3.10.7.3); it is not
		 * acknowledged either, so that it comes again. Tested: tcp_syn_received__text_of_the_syn_comes_again. */
		take_syn(c, in);
		tcp_set_state(c, env, TCP_SYN_RECEIVED);
		tcp_send_syn(c, env, in->now);
		return;
	}
	if (tcp_has(c, TCP_CONN_TFO_SYN_DATA) || c->options.fastopen_connect)
		tcp_fastopen_answered(c, in);
	take_syn(c, in);
	syn_acked(c, env, in);
	if (seq_gt(h->ack, c->snd_una))
		tcp_ack_input(c, env, in);
	if (c->send_next != c->first)
		resend_syn_data(c);
	/* By itself, or what was queued carries it, or what the program sends next. */
	if (c->first || in->end != h->seq + 1 || tcp_has(c, TCP_CONN_ORPHAN) || !tcp_ack_hold(c, in->now))
		tcp_ack_now(c);
	strip_syn(in);
	take_rest(c, env, in);
}

/* --- SYN-RECEIVED: after a simultaneous open, or with Fast Open --- */

/* The segments of a handshake that come again, which the rules for later states would not let in. True: done. */
static bool handshake_again(struct tcp_conn *c, const struct ip_env *env, struct tcp_in *in)
{
	uint32_t flags = in->h.flags & (TCP_SYN | TCP_ACK | TCP_RST);

	if (in->h.seq != c->irs || !(flags & TCP_SYN) || (flags & TCP_RST))
		return false;
	if (!(flags & TCP_ACK)) {
		tcp_send_syn(c, env, in->now); /* ours was lost */
		return true;
	}
	/* The SYN-ACK to our SYN of a simultaneous open: its SYN is known, its ACK is what we wait for. */
	if (in->h.ack == c->snd_nxt) {
		strip_syn(in);
		in->h.window >>= c->snd_wscale; /* a SYN's is not scaled, and whoever reads it now thinks so */
	}
	return false;
}

/* Fifth step in SYN-RECEIVED. False: @in is dealt with. */
static bool complete_handshake(struct tcp_conn *c, const struct ip_env *env, struct tcp_in *in)
{
	if (in->h.ack - c->snd_una - 1 >= c->snd_nxt - c->snd_una) {
		tcp_count(c, FS_CTR_drop_tcp_ack);
		tcp_reply_reset(c->stack, env, in);
		return false;
	}
	syn_acked(c, env, in);
	c->snd_wnd = (uint32_t)in->h.window << c->snd_wscale;
	c->max_wnd = FS_MAX(c->max_wnd, c->snd_wnd);
	c->snd_wl1 = in->h.seq;
	c->snd_wl2 = in->h.ack;
	if (tcp_has(c, TCP_CONN_TFO_CHILD))
		tcp_child_settled(c, env, true);
	if (tcp_has(c, TCP_CONN_FIN_QUEUED)) /* closed meanwhile */
		tcp_set_state(c, env, TCP_FIN_WAIT1);
	tcp_mark_dirty(c);
	return true;
}

/* --- the other states --- */

/* Second step: RST (RFC 5961 3.2). */
static void reset_input(struct tcp_conn *c, const struct ip_env *env, const struct tcp_in *in)
{
	int error = ECONNRESET;

	if (in->h.seq != c->rcv_nxt) {
		/*
		 * In the window is not enough: a blind attacker would need about 2^32 / window guesses. A genuine
		 * peer answers the challenge with an exact one.
		 */
		if (seq_in(in->h.seq, c->rcv_nxt, tcp_receive_window(c)))
			challenge(c, FS_CTR_drop_tcp_blind);
		else
			tcp_count(c, FS_CTR_drop_tcp_window);
		return;
	}
	tcp_count(c, FS_CTR_tcp_resets_in);
	if (c->state == TCP_SYN_RECEIVED && !tcp_has(c, TCP_CONN_PASSIVE))
		error = ECONNREFUSED;
	else if (c->state == TCP_CLOSE_WAIT)
		error = EPIPE;
	tcp_drop(c, env, error);
}

/*
 * First to fourth step: is this segment to be looked at? @c may be gone if not.
 * DEVIATION: one without the timestamp that was agreed on is taken (RFC 7323 3.2 drops it), as by Linux: a host whose
 * connection went on in a socket that knows nothing of the agreement sends such. Tested:
 * tcp_timestamp__missing_is_no_matter.
 */
static bool is_acceptable(struct tcp_conn *c, const struct ip_env *env, const struct tcp_in *in)
{
	const struct tcp_hdr *h = &in->h;

	if (tcp_has(c, TCP_CONN_TS) && !(h->flags & TCP_RST)) {
		if (!(h->options & TCP_HAS_TIMESTAMP)) {
			tcp_count(c, FS_CTR_tcp_no_timestamp);
		} else if (is_from_the_past(c, in)) {
			ack_unacceptable(c, in, FS_CTR_drop_tcp_paws);
			return false;
		}
	}
	if (h->flags & TCP_RST) {
		reset_input(c, env, in);
		return false;
	}
	if (seq_lt(in->end, c->rcv_wup) || seq_gt(h->seq, c->rcv_nxt + tcp_receive_window(c))) {
		ack_unacceptable(c, in, seq_lt(in->end, c->rcv_wup) ? FS_CTR_drop_tcp_old : FS_CTR_drop_tcp_window);
		return false;
	}
	if (h->flags & TCP_SYN) {
		challenge(c, FS_CTR_drop_tcp_blind); /* RFC 5961 4.2 */
		return false;
	}
	if (!(h->flags & TCP_ACK)) {
		tcp_count(c, FS_CTR_drop_tcp_ack);
		return false;
	}
	return true;
}

static __attribute__((noinline)) void step_by_step(struct tcp_conn *c, const struct ip_env *env, struct tcp_in *in)
{
	*(in->len > 0 ? &c->data_in : &c->bare_in) += in->segments;
	if (c->state == TCP_SYN_SENT) {
		syn_sent_input(c, env, in);
		return;
	}
	if (c->state == TCP_SYN_RECEIVED && handshake_again(c, env, in))
		return;
	if (!is_acceptable(c, env, in))
		return;
	c->heard = tcp_coarse(in->now);
	if (c->state == TCP_SYN_RECEIVED && !complete_handshake(c, env, in))
		return;
	if (tcp_ack_input(c, env, in) == TCP_ACK_BLIND) {
		challenge(c, FS_CTR_drop_tcp_ack);
		return;
	}
	if (tcp_has(c, TCP_CONN_TS) && (in->h.options & TCP_HAS_TIMESTAMP))
		remember_timestamp(c, in);
	if (tcp_fin_is_acked(c) && tcp_fin_acked(c, env, in->now))
		return;
	take_rest(c, env, in);
}

/* Data of a connection with ECN that change nothing about its echo. */
static bool is_unmarked(const struct tcp_conn *c, const struct tcp_in *in)
{
	return in->len == 0 ||
	       (in->ect && !in->ce && (c->flags & (TCP_CONN_ECN_SEEN | TCP_CONN_ECE_ECHO)) == TCP_CONN_ECN_SEEN);
}

/* Is there nothing about @in that the short way does not look at? */
static inline bool is_predicted(const struct tcp_conn *c, const struct tcp_in *in)
{
	const struct tcp_hdr *h = &in->h;
	uint32_t options = c->flags & TCP_CONN_TS ? TCP_HAS_TIMESTAMP : 0;

	return c->state == TCP_ESTABLISHED && (h->flags & ~TCP_PSH) == TCP_ACK && h->seq == c->rcv_nxt &&
	       h->options == options && h->n_sack == 0 && !c->ooo_first &&
	       !(c->flags & (TCP_CONN_URG_WAIT | TCP_CONN_FIN_AHEAD)) &&
	       (!(c->flags & TCP_CONN_ECN) || is_unmarked(c, in)) &&
	       h->ack - c->snd_una <= c->snd_nxt - c->snd_una && in->len <= tcp_receive_window(c) &&
	       (!options || (int32_t)(h->ts_val - c->ts_recent) >= 0);
}

void tcp_conn_input(struct tcp_conn *c, const struct ip_env *env, struct tcp_in *in)
{
	if (__builtin_expect(tcp_has(c, TCP_CONN_FROZEN), 0)) {
		tcp_count(c, FS_CTR_drop_tcp_frozen);
		return;
	}
	if (__builtin_expect(!is_predicted(c, in), 0)) {
		step_by_step(c, env, in);
		return;
	}
	c->stack->ip->counters[FS_CTR_tcp_predicted] += in->segments;
	c->heard = tcp_coarse(in->now);
	if (c->flags & TCP_CONN_TS)
		remember_timestamp(c, in);
	if (in->h.ack != c->snd_una || in->len == 0 || (uint32_t)in->h.window << c->snd_wscale != c->snd_wnd)
		tcp_ack_input(c, env, in);
	else
		c->snd_wl1 = in->h.seq;
	if (in->len == 0) {
		c->bare_in++;
		return;
	}
	c->data_in += in->segments;
	if (!tcp_rx_measure_plain(c, in))
		tcp_rx_measure(c, in);
	if (__builtin_expect(tcp_rx_append_plain(c, in->frame, in->len), 1)) {
		in->frame = NULL;
	} else if (tcp_rx_append(c, in) < 0) {
		tcp_ack_now(c);
		tell_readable(c, env); /* reading makes room */
		return;
	}
	if (!tcp_ack_owed_plain(c, in->now))
		tcp_ack_owed(c, in->now);
	tell_readable(c, env);
}
