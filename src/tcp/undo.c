/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * undo.c - taking a reduction of the window back when it turns out that nothing had been lost.
 *
 * Two witnesses: D-SACKs for all that was sent again (RFC 3708's idea), or an ACK for the first segment sent again
 * whose timestamp is older than that retransmission (Eifel, RFC 3522). What to restore is RFC 4015's question; the
 * window goes back to what it was (Linux), the algorithm may have its own view.
 * Not here: F-RTO's evidence (recovery.c). An echo of congestion forbids all of this: there was congestion.
 */
#include "base/counter.h"
#include "base/err.h"
#include "tcp/loss.h"

enum { REO_PERSIST_MAX = 16 }; /* RFC 8985 6.2 */

/* Retransmissions that are in the network already may cause D-SACKs, too; a tail loss probe's is one of them. None
 * sent: -1, for 0 would mean that all of them were in vain. */
void tcp_undo_begin(struct tcp_conn *c)
{
	uint32_t out = c->retrans_out + (c->tlp_out && c->tlp_retrans ? 1 : 0);

	c->can_undo = true;
	c->undo_marker = c->snd_una;
	c->undo_retrans = out > 0 ? (int32_t)out : -1;
}

bool tcp_echo_is_of_original(const struct tcp_conn *c, const struct tcp_ack_state *a)
{
	return a->has_ts && c->retrans_stamp != 0 && seq_lt(a->ts_ecr, c->retrans_stamp);
}

bool tcp_may_undo(const struct tcp_conn *c, const struct tcp_ack_state *a)
{
	return c->can_undo && (c->undo_retrans == 0 || tcp_echo_is_of_original(c, a));
}

static void unmark_all(struct tcp_conn *c)
{
	for (struct fbuf *f = c->first; f && f != c->send_next && c->lost_out > 0; f = tcp_seg(f)->next) {
		if (!tcp_seg_has(f, TCP_SEG_LOST))
			continue;
		tcp_seg(f)->marks &= (uint8_t)~TCP_SEG_LOST;
		c->lost_out--;
	}
	c->lost_next = NULL;
}

void tcp_undo(struct tcp_conn *c, bool unmark)
{
	const struct tcp_cc_ops *cc = tcp_cc_at(c->cc.algorithm);

	if (unmark)
		unmark_all(c);
	if (c->cc.prior_ssthresh != 0) {
		c->cc.cwnd = cc->undo ? cc->undo(&c->cc) : FS_MAX(c->cc.cwnd, c->cc.prior_cwnd);
		if (c->cc.prior_ssthresh > c->cc.ssthresh) {
			c->cc.ssthresh = c->cc.prior_ssthresh;
			c->flags &= ~(uint32_t)TCP_CONN_CWR_PENDING;
		}
	}
	c->can_undo = false;
	c->rack.advanced = true; /* what is still out is looked at again */
	tcp_count(c, FS_CTR_tcp_undone);
}

bool tcp_undo_by_dsack(struct tcp_conn *c)
{
	if (!c->can_undo || c->undo_retrans != 0)
		return false;
	c->rack.reo_persist = (uint8_t)FS_MIN(c->rack.reo_persist + 1, REO_PERSIST_MAX);
	tcp_undo(c, false);
	return true;
}
