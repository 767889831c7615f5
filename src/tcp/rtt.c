/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rtt.c - where the round-trip estimator begins; the rest is inline in rtt.h.
 *
 * Standards: RFC 6298 2.1, 2.2.
 */
#include "tcp/rtt.h"

#include "tcp/conn.h"

void tcp_rtt_init(struct tcp_rtt *rtt, uint32_t rto_initial_us)
{
	*rtt = (struct tcp_rtt){ .rto_us = rto_initial_us, .min_us = UINT32_MAX };
}

/* RFC 6298 2.2 */
void tcp_rtt_begin(struct tcp_rtt *rtt, uint32_t rtt_us, tcp_seq nxt)
{
	rtt->srtt_us = rtt_us;
	rtt->srtt_eighths = 0;
	rtt->mdev_us = rtt->mdev_max_us = rtt->rttvar_us = rtt_us / 2;
	rtt->round_end = nxt;
}
