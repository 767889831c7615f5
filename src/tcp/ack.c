/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ack.c - what an acknowledgement does: window, freed segments, round trips, and whom it concerns further.
 *
 * The ACK of a lone segment, and nothing else, takes a short way. Others pass SACK (sack.c), loss detection and
 * recovery (recovery.c) before congestion control has its turn; see loss.h.
 *
 * A receiver that acknowledges what it has not got harms itself: what it acks is gone here. It cannot ack what was not
 * sent, and acks of parts of segments count for nothing (RFC 9293 3.10.7.4, RFC 5961 5.2, RFC 3465's concern).
 * Does not: judge FIN (input.c asks tcp_fin_is_acked()), send.
 * Standards: RFC 9293 3.10.7.4 and 3.8.6, RFC 5961 5.2, RFC 5681, RFC 6298, RFC 7323 4, RFC 3168 6.1.2.
 */
#include "base/counter.h"
#include "base/err.h"
#include "tcp/loss.h"

/* RFC 6298 5.7 */
enum { RTO_AFTER_SYN_LOSS_US = 3000000 };

/* --- window (RFC 9293 3.10.7.4) --- */

static inline void set_window(struct tcp_conn *c, const struct tcp_in *in)
{
	uint32_t wnd = in->h.window;

	if (!(in->h.flags & TCP_SYN))
		wnd <<= c->snd_wscale; /* RFC 7323 2.2: never of a SYN */
	c->snd_wnd = wnd;
	c->snd_wl1 = in->h.seq;
	c->snd_wl2 = in->h.ack;
	c->max_wnd = FS_MAX(c->max_wnd, wnd);
}

/*
 * An older segment must not bring an older window back. A newer one may bring a smaller window than it promised before
 * (SHLD-14 is the peer's): what is beyond it is out already, and stays so (MUST-34). Returns whether the window is
 * another one.
 */
static bool update_window(struct tcp_conn *c, const struct tcp_in *in)
{
	uint32_t prior = c->snd_wnd;

	/* What acknowledges more is newer whatever its number (as Linux): from the new edge on, an older window would
	 * reach beyond what was ever allowed. */
	if (seq_gt(in->h.ack, c->snd_una) || seq_lt(c->snd_wl1, in->h.seq) ||
	    (c->snd_wl1 == in->h.seq && seq_le(c->snd_wl2, in->h.ack)))
		set_window(c, in);
	return c->snd_wnd != prior;
}

/* --- the list --- */

/* It had been SACKed, lost, or sent more than once. */
static __attribute__((noinline)) void retire_marked(struct tcp_conn *c, struct fbuf *f, struct tcp_ack_state *a)
{
	struct tcp_seg *s = tcp_seg(f);
	bool sacked = s->marks & TCP_SEG_SACKED;

	if (s->marks & TCP_SEG_EVER_RETRANS) {
		a->acked_retrans = true;
		a->repaired |= c->rtt.srtt_us == 0 || a->now - s->sent_at >= FS_US((fs_ns)c->rtt.min_us);
	}
	if (!sacked) {
		tcp_rack_delivered(c, f, a);
		tcp_rate_delivered(c, f, a);
		c->cc.delivered++;
		if (!(s->marks & TCP_SEG_EVER_RETRANS)) {
			if (seq_lt(s->seq, a->reorder_from))
				a->reorder_from = s->seq;
			a->orig_delivered |= seq_le(s->seq + s->len, c->high_seq);
			a->first_acked = a->first_acked ? a->first_acked : s->sent_at;
			a->last_acked = s->sent_at;
		}
	}
	tcp_unmark(c, f);
}

static inline void retire(struct tcp_conn *c, struct fbuf *f, struct tcp_ack_state *a)
{
	struct tcp_seg *s = tcp_seg(f);

	if (s->marks & (TCP_SEG_SACKED | TCP_SEG_LOST | TCP_SEG_RETRANS | TCP_SEG_EVER_RETRANS) || c->sacked_out > 0) {
		retire_marked(c, f, a);
		return;
	}
	tcp_rack_delivered(c, f, a);
	tcp_rate_delivered(c, f, a);
	c->cc.delivered++;
	a->first_acked = a->first_acked ? a->first_acked : s->sent_at;
	a->last_acked = s->sent_at;
	a->orig_delivered |= seq_le(s->seq + s->len, c->high_seq);
	c->packets_out--;
	if (c->lost_next == f)
		c->lost_next = s->next;
}

/* Everything below a->ack leaves the list. A segment of which a part is acked keeps the rest. */
static inline void clean(struct tcp_conn *c, struct tcp_ack_state *a)
{
	struct fbuf *f;

	while ((f = c->first) != c->send_next) {
		const struct tcp_seg *s = tcp_seg(f);

		if (seq_gt(s->seq + s->len, a->ack)) {
			if (seq_gt(a->ack, s->seq))
				tcp_seg_trim_front(c, f, a->ack - s->seq);
			return;
		}
		retire(c, f, a);
		tcp_seg_pop(c);
		a->cc.acked++;
	}
}

/* SND.UNA moves to @ack. */
static inline void advance(struct tcp_conn *c, tcp_seq ack)
{
	c->bytes_acked += ack - c->snd_una;
	c->snd_una = ack;
	c->retransmits = 0;
	c->rtx_began = 0;
	c->dup_acks = 0;
	if (tcp_has(c, TCP_CONN_URG_OUT) && seq_ge(ack, c->snd_up))
		c->flags &= ~(uint32_t)TCP_CONN_URG_OUT;
}

/* The peer is alive, and what ICMP said of the path is over. */
static inline void is_alive(struct tcp_conn *c)
{
	c->probes_out = 0;
	c->keepalive_probes = 0;
	c->soft_error = 0;
}

/* --- round trips --- */

static inline int32_t since(fs_ns sent_at, fs_ns now)
{
	return (int32_t)FS_MIN((now - sent_at) / FS_US(1), (fs_ns)INT32_MAX);
}

/*
 * RFC 7323 4: the echo tells which transmission was answered, where Karn's rule forbids a sample by our own clock: when
 * all that is acked had been sent again. In ms, the clock's unit; what is beyond any RTO is nonsense or an attack.
 */
static int32_t echoed_rtt(const struct tcp_conn *c, const struct tcp_hdr *h, fs_ns now)
{
	uint32_t ms;

	if (!tcp_has(c, TCP_CONN_TS) || !(h->options & TCP_HAS_TIMESTAMP) || h->ts_ecr == 0)
		return -1;
	ms = tcp_ts_now(c, now) - h->ts_ecr;
	if (ms > c->stack->config.rto_max_us / 1000)
		return -1;
	return (int32_t)FS_MAX(ms, 1U) * 1000;
}

static inline void take_sample(struct tcp_conn *c, int32_t first_us, int32_t last_us, bool delayed, fs_ns now)
{
	tcp_rtt_min(&c->rtt, (uint32_t)last_us, delayed, now);
	tcp_rtt_sample(&c->rtt, (uint32_t)first_us, &c->stack->config, c->snd_una, c->snd_nxt);
	c->cc.srtt_us = c->rtt.srtt_us;
	c->cc.min_rtt_us = c->rtt.min_us;
}

/*
 * One sample for an ACK (T7323-4). For RTO of the first segment it acks, so that the peer's delay is in it; for
 * congestion control of the last one.
 */
static void measure(struct tcp_conn *c, const struct tcp_in *in, struct tcp_ack_state *a)
{
	int32_t first = -1, last = -1;

	/* Karn's rule is about the ACK: what waited at the peer for a retransmission shows how long recovery took. */
	if (a->first_acked != 0 && !a->acked_retrans) {
		first = since(a->first_acked, a->now);
		last = since(a->last_acked, a->now);
	} else if (a->first_sacked != 0) {
		first = since(a->first_sacked, a->now);
		last = since(a->last_sacked, a->now);
	} else if (a->acked_data) {
		first = last = echoed_rtt(c, &in->h, a->now);
	}
	a->cc.rtt_us = last;
	if (first < 0)
		return;
	/* A lone short segment: the peer probably waited for a second one before it answered. */
	a->cc.ack_delayed = a->cc.acked == 1 && c->packets_out == 0 && a->ack - a->prior_una < c->mss &&
			    a->cc.prior_delivered + 1 == c->cc.delivered;
	take_sample(c, first, last, a->cc.ack_delayed, a->now);
}

void tcp_ack_syn(struct tcp_conn *c, const struct tcp_in *in, fs_ns syn_sent_at)
{
	int32_t rtt = -1;

	if (syn_sent_at != 0 && c->retransmits == 0)
		rtt = since(syn_sent_at, in->now);
	else
		rtt = echoed_rtt(c, &in->h, in->now);
	if (rtt >= 0)
		take_sample(c, rtt, rtt, false, in->now);
	else if (c->rtt.srtt_us == 0)
		c->rtt.rto_us = FS_MAX(c->rtt.rto_us, (uint32_t)RTO_AFTER_SYN_LOSS_US);
	c->rtt.backoff = 0;
	c->rtx_began = 0;
}

/* --- congestion control --- */

static inline void clamp(struct tcp_conn *c)
{
	if (c->cc.cwnd > c->cc.clamp)
		c->cc.cwnd = c->cc.clamp;
}

static inline void control(struct tcp_conn *c, const struct tcp_cc_ops *cc, const struct tcp_ack_state *a)
{
	tcp_cc_inform(c);
	if (cc->observe && a->cc.acked_sacked > 0)
		cc->observe(&c->cc, &a->cc);
	if (cc->owns_window) {
		if (a->cc.acked_sacked > 0)
			cc->acked(&c->cc, &a->cc);
	} else if (tcp_in_reduction(c)) {
		tcp_prr(c, a->cc.acked_sacked, a->una_advanced, a->cc.losses);
	} else if (c->reordering > TCP_DUP_THRESHOLD ? a->cc.acked_sacked > 0 : a->cc.acked > 0) {
		/* RFC 5681: in order only; where the path reorders, whatever is delivered. */
		cc->acked(&c->cc, &a->cc);
	}
	clamp(c);
}

/* (Linux's tcp_is_cwnd_limited()) A window that is half used may double in slow start, not more. */
static inline bool is_cwnd_limited(const struct tcp_conn *c)
{
	return tcp_has(c, TCP_CONN_CWND_LIMITED) ||
	       (tcp_cc_in_slow_start(&c->cc) && c->cc.cwnd < 2 * c->max_packets_out);
}

/* What this ACK delivered is known: rate, window. */
static inline void conclude(struct tcp_conn *c, struct tcp_ack_state *a, uint64_t prior_delivered,
			    uint32_t prior_lost)
{
	a->cc.acked_sacked = (uint32_t)(c->cc.delivered - prior_delivered);
	a->cc.losses = c->total_lost - prior_lost;
	if (a->cc.ece) {
		c->delivered_ce += a->cc.acked_sacked;
		a->cc.delivered_ce = a->cc.acked_sacked;
	}
	tcp_rate_sample(c, a);
	control(c, tcp_cc_at(c->cc.algorithm), a);
}

/* --- the end of all ways --- */

static inline void begin(struct tcp_conn *c, const struct tcp_in *in, struct tcp_ack_state *a)
{
	a->now = a->cc.now = in->now;
	a->ack = in->h.ack;
	a->prior_una = c->snd_una;
	a->prior_fack = c->sacked_out > 0 && tcp_is_sack(c) ? c->high_sacked : c->snd_una;
	a->reorder_from = a->prior_fack;
	a->ts_ecr = in->h.ts_ecr;
	a->has_ts = tcp_has(c, TCP_CONN_TS) && in->h.options & TCP_HAS_TIMESTAMP && in->h.ts_ecr != 0;
	a->cc.in_flight = tcp_in_flight(c);
	a->cc.cwnd_limited = is_cwnd_limited(c);
	a->cc.rtt_us = -1;
	is_alive(c);
}

/* A tail loss probe waits instead of RTX, but not in recovery; RACK's timer beside it. */
static inline bool is_timer_right(const struct tcp_conn *c)
{
	if (c->loss_timer == TCP_LOSS_TIMER_TLP)
		return c->cc.ca_state < TCP_CA_RECOVERY;
	return c->due[TCP_TIMER_RTX] != FS_NEVER;
}

static inline void finish(struct tcp_conn *c, const struct ip_env *env, bool rearm, bool advanced, fs_ns now)
{
	if (rearm || !is_timer_right(c))
		tcp_rearm_rtx(c, now);
	if (advanced && tcp_has(c, TCP_CONN_NO_SPACE)) { /* also where a part of a segment was acked */
		tcp_send_tune(c);
		tcp_send_space(c, env);
		if (!tcp_has(c, TCP_CONN_NO_SPACE))
			tcp_chrono_stop(c, TCP_CHRONO_SNDBUF, now);
	}
	if (advanced && !c->first)
		tcp_chrono_stop(c, TCP_CHRONO_BUSY, now);
	if (c->send_next || c->lost_out > 0 || (c->flags & (TCP_CONN_FIN_QUEUED | TCP_CONN_FIN_SENT)) == TCP_CONN_FIN_QUEUED)
		tcp_mark_dirty(c);
}

/* --- the short way --- */

/* The one segment that is out is acked, in state OPEN, without a word more than timestamps. */
static inline bool is_plain(const struct tcp_conn *c, const struct tcp_in *in)
{
	return in->h.ack == c->snd_nxt && c->packets_out == 1 && in->h.n_sack == 0 &&
	       !(in->h.flags & (TCP_ECE | TCP_SYN)) && c->cc.ca_state == TCP_CA_OPEN && !c->tlp_out &&
	       !tcp_seg_has(c->first, TCP_SEG_SACKED | TCP_SEG_LOST | TCP_SEG_RETRANS | TCP_SEG_EVER_RETRANS);
}

/*
 * A dialogue consists of these: the general way below, with what cannot be left out, in half of its instructions.
 * Delivery rates are for those who pace.
 */
static inline void ack_plain(struct tcp_conn *c, const struct ip_env *env, const struct tcp_in *in,
			     const struct tcp_cc_ops *cc)
{
	const struct tcp_seg *s = tcp_seg(c->first);
	struct tcp_cc_ack ack = { .acked = 1, .acked_sacked = 1, .in_flight = 1, .interval_us = -1, .now = in->now };
	uint32_t prior = s->delivered, sent_us = tcp_us(s->sent_at), now_us = tcp_us(in->now);

	is_alive(c);
	set_window(c, in);
	ack.cwnd_limited = is_cwnd_limited(c);
	ack.rtt_us = (int32_t)FS_MIN(now_us - sent_us, (uint32_t)INT32_MAX);
	ack.app_limited = s->marks & TCP_SEG_APP_LIMITED;
	ack.prior_delivered = c->cc.delivered - ((uint32_t)c->cc.delivered - prior);
	tcp_rack_advance(c, s->sent_at, s->seq + s->len, (uint32_t)ack.rtt_us);
	c->first_sent_us = sent_us;
	c->delivered_us = now_us;
	c->cc.delivered++;
	tcp_rate_bubble(c);
	ack.round_start = tcp_rate_round(c, prior);
	ack.ack_delayed = s->len < c->mss && prior + 1 == (uint32_t)c->cc.delivered;
	c->packets_out = 0;
	if (c->lost_next)
		c->lost_next = s->next;
	tcp_seg_pop(c);
	advance(c, in->h.ack);
	take_sample(c, ack.rtt_us, ack.rtt_us, ack.ack_delayed, in->now);
	tcp_cc_inform(c);
	if (cc->observe)
		cc->observe(&c->cc, &ack);
	cc->acked(&c->cc, &ack);
	clamp(c);
	finish(c, env, true, true, in->now);
}

/* --- the general way --- */

/* RFC 5681 2: data is out, the segment carries nothing, SND.UNA and window stand. */
static bool is_duplicate(const struct tcp_conn *c, const struct tcp_in *in, bool window_changed)
{
	return in->h.ack == c->snd_una && c->packets_out > 0 && in->len == 0 && !window_changed &&
	       !(in->h.flags & (TCP_SYN | TCP_FIN));
}

/* Nothing is out: an open window ends probing, whose interval starts anew the next time (SHLD-30). */
static void ack_idle(struct tcp_conn *c, const struct ip_env *env, struct tcp_ack_state *a, bool window_changed)
{
	if (c->snd_wnd > 0 && window_changed && !tcp_is_outstanding(c)) {
		c->rtt.backoff = 0;
		a->rearm = true;
	}
	if (a->dsack)
		tcp_loss_on_ack(c, a);
	if (c->tlp_out)
		tcp_tlp_on_ack(c, a);
	finish(c, env, a->rearm, a->una_advanced, a->now);
}

/* The list below the number is freed, and what this says of the rest. */
static void ack_list(struct tcp_conn *c, struct tcp_ack_state *a)
{
	uint64_t prior_delivered = c->cc.delivered;

	clean(c, a);
	a->acked_data = a->cc.acked > 0;
	if (!tcp_is_sack(c)) {
		c->cc.delivered = prior_delivered;
		tcp_reno_acked(c, a);
		/* Without marks an original that was delivered cannot be told from its copy. */
		a->orig_delivered = a->orig_delivered && !a->acked_retrans;
	}
	if (c->packets_out > 0)
		a->reneging = tcp_seg_has(c->first, TCP_SEG_SACKED);
	if (tcp_is_sack(c))
		tcp_check_reordering(c, a);
	/* SACKs of what was sent before the first segment was (again): the timer need not fire for it yet. */
	if (a->first_sacked != 0 && c->packets_out > 0 && a->first_sacked < tcp_seg(c->first)->sent_at)
		a->rearm = true;
}

static __attribute__((noinline)) void ack_general(struct tcp_conn *c, const struct ip_env *env, const struct tcp_in *in)
{
	struct tcp_ack_state a = { 0 };
	uint64_t prior_delivered = c->cc.delivered;
	uint32_t prior_lost = c->total_lost;
	bool window_changed, was_out = c->packets_out > 0;

	begin(c, in, &a);
	window_changed = update_window(c, in);
	a.is_dup = is_duplicate(c, in, window_changed);
	a.cc.ece = tcp_has(c, TCP_CONN_ECN) && (in->h.flags & (TCP_ECE | TCP_SYN)) == TCP_ECE;
	if (a.is_dup && c->dup_acks < UINT16_MAX)
		c->dup_acks++;
	if (in->h.n_sack > 0 && tcp_is_sack(c))
		tcp_sack_input(c, in, &a);
	if (was_out)
		ack_list(c, &a);
	if (a.ack != a.prior_una) {
		a.una_advanced = a.rearm = true;
		advance(c, a.ack);
	}
	if (!was_out) {
		ack_idle(c, env, &a, window_changed);
		return;
	}
	measure(c, in, &a);
	if (tcp_is_sack(c))
		tcp_rack_adapt(c, &a);
	if (c->tlp_out)
		tcp_tlp_on_ack(c, &a);
	if (a.is_dup || a.data_sacked || a.cc.ece || a.dsack || c->cc.ca_state != TCP_CA_OPEN)
		tcp_loss_on_ack(c, &a);
	conclude(c, &a, prior_delivered, prior_lost);
	finish(c, env, a.rearm, a.una_advanced, a.now);
}

/* An ACK that was overtaken. What it SACKs is true nevertheless, and so are its D-SACKs. */
static __attribute__((noinline)) void ack_old(struct tcp_conn *c, const struct ip_env *env, const struct tcp_in *in)
{
	struct tcp_ack_state a = { 0 };
	uint64_t prior_delivered = c->cc.delivered;
	uint32_t prior_lost = c->total_lost;

	if (in->h.n_sack == 0 || !tcp_is_sack(c))
		return;
	begin(c, in, &a);
	a.has_ts = false; /* its echo is older than what recovery asks of it */
	tcp_sack_input(c, in, &a);
	tcp_check_reordering(c, &a);
	tcp_loss_on_ack(c, &a);
	conclude(c, &a, prior_delivered, prior_lost);
	finish(c, env, a.rearm, a.una_advanced, a.now);
}

enum tcp_ack_result tcp_ack_input(struct tcp_conn *c, const struct ip_env *env, struct tcp_in *in)
{
	const struct tcp_cc_ops *cc = tcp_cc_at(c->cc.algorithm);
	tcp_seq ack = in->h.ack;

	if (is_plain(c, in) && !cc->paces) {
		ack_plain(c, env, in, cc);
		return TCP_ACK_OK;
	}
	/* RFC 5961 5.2: within the largest window seen, older ones may have been on the way for so long; but no
	 * number was ever acknowledged before the first byte (as Linux since 6.9). */
	if (seq_gt(ack, c->snd_nxt) ||
	    seq_lt(ack, c->snd_una - (tcp_seq)FS_MIN((uint64_t)c->max_wnd, c->bytes_acked)))
		return TCP_ACK_BLIND;
	if (seq_lt(ack, c->snd_una)) {
		ack_old(c, env, in);
		return TCP_ACK_OLD;
	}
	ack_general(c, env, in);
	return TCP_ACK_OK;
}
