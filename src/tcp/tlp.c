/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tlp.c - tail loss probe: when the end of a flight is not answered for two round trips, one segment is sent so that an
 * answer comes: it shows what was lost sooner than the retransmission timer would, and without its slow start.
 *
 * One probe for a tail. It needs SACK, and no recovery under way.
 * Standards: RFC 8985 7.
 */
#include "base/counter.h"
#include "base/err.h"
#include "tcp/loss.h"

enum {
	ALLOWANCE_US = 2000,	   /* where more are in flight: a peer that was just not running (Linux: two jiffies) */
	NO_SAMPLE_US = 1000000,	   /* 7.2: without a round-trip sample */
};

static bool applies(const struct tcp_conn *c)
{
	return c->packets_out > 0 && tcp_is_sack(c) && !c->tlp_out && c->loss_timer != TCP_LOSS_TIMER_REORDER &&
	       (c->cc.ca_state == TCP_CA_OPEN || c->cc.ca_state == TCP_CA_CWR);
}

/* 7.2, TLP_calc_PTO() */
static uint64_t probe_timeout_us(const struct tcp_conn *c)
{
	uint64_t pto = NO_SAMPLE_US;

	if (c->rtt.srtt_us > 0)
		pto = 2 * (uint64_t)c->rtt.srtt_us + (c->packets_out == 1 ? TCP_TLP_MAX_ACK_DELAY_US : ALLOWANCE_US);
	return FS_MIN(pto, (uint64_t)tcp_rto_us(c));
}

bool tcp_tlp_arm(struct tcp_conn *c, fs_ns now)
{
	if (applies(c)) {
		c->loss_timer = TCP_LOSS_TIMER_TLP;
		tcp_timer_set(c, TCP_TIMER_LOSS, now + FS_US((fs_ns)probe_timeout_us(c)));
		return true;
	}
	/* RACK's timer stays as long as there is something to decide. */
	if (c->loss_timer == TCP_LOSS_TIMER_TLP || (c->loss_timer != TCP_LOSS_TIMER_NONE && c->packets_out == 0)) {
		c->loss_timer = TCP_LOSS_TIMER_NONE;
		tcp_timer_stop(c, TCP_TIMER_LOSS);
	}
	return false;
}

/* 7.3, TLP_send_probe() */
void tcp_tlp_fire(struct tcp_conn *c, const struct ip_env *env, fs_ns now)
{
	tcp_seq prior_nxt = c->snd_nxt;

	if (c->tlp_out || !tcp_probe_tail(c, env, now))
		return;
	c->tlp_out = true;
	c->tlp_retrans = c->snd_nxt == prior_nxt;
	c->tlp_high_seq = c->snd_nxt;
	if (c->tlp_retrans) {
		struct fbuf *sent = c->send_next ? tcp_seg(c->send_next)->prev : c->last;

		tcp_seg(sent)->marks |= TCP_SEG_EVER_RETRANS;
		c->total_retrans++;
	}
	tcp_count(c, FS_CTR_tcp_tail_probes);
}

/* 7.4.2: the probe filled a hole: one segment was lost, which is congestion like any other loss. */
static void repaired(struct tcp_conn *c, fs_ns now)
{
	tcp_count(c, FS_CTR_tcp_tail_losses);
	tcp_begin_reduction(c, false, now);
	tcp_set_ca_state(c, TCP_CA_CWR, now);
	tcp_end_reduction(c);
	tcp_keep_open(c, now);
}

/* 7.4.1, 7.4.2. New data as a probe need no more looking after: RACK judges by their ACK. */
void tcp_tlp_on_ack(struct tcp_conn *c, struct tcp_ack_state *a)
{
	if (seq_lt(a->ack, c->tlp_high_seq))
		return;
	if (!c->tlp_retrans || a->dsack_tlp) {
		c->tlp_out = false; /* nothing was lost: both came, or none was sent twice */
	} else if (seq_gt(a->ack, c->tlp_high_seq)) {
		c->tlp_out = false;
		repaired(c, a->now);
	} else if (a->is_dup && !a->data_sacked) {
		c->tlp_out = false; /* it was the duplicate that this ACK answers */
	}
}
