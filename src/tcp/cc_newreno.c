/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cc_newreno.c - "reno": one segment more a round trip, half of them after a loss.
 *
 * What NewReno adds to Reno (RFC 6582: partial ACKs) is recovery's, which serves all algorithms.
 * Standards: RFC 5681 3.1.
 */
#include "base/err.h"
#include "tcp/cc.h"

static void newreno_init(struct tcp_cc *cc, fs_ns now)
{
}

static void newreno_acked(struct tcp_cc *cc, const struct tcp_cc_ack *ack)
{
	uint32_t left = ack->acked_sacked;

	/* A window that was not used says nothing of the path: growing it would let a later burst out that nobody
	 * has probed for (RFC 7661 1). */
	if (!ack->cwnd_limited)
		return;
	if (tcp_cc_in_slow_start(cc))
		left = tcp_cc_slow_start(cc, left);
	if (left > 0)
		tcp_cc_avoid(cc, cc->cwnd, left);
}

/* Equation 4 of RFC 5681, of the window instead of what is in flight: growth above stops when it is not used. */
static uint32_t newreno_ssthresh(struct tcp_cc *cc, fs_ns now)
{
	return FS_MAX(cc->cwnd / 2, 2U);
}

const struct tcp_cc_ops tcp_cc_newreno = {
	.name = "reno",
	.init = newreno_init,
	.acked = newreno_acked,
	.ssthresh = newreno_ssthresh,
};
