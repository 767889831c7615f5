/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cc_fixed.c - a congestion control of the tests' own: five segments, whatever happens.
 */
#include "tcp/cc.h"

static void fixed_init(struct tcp_cc *cc, fs_ns now)
{
	cc->cwnd = 5;
}

static void fixed_acked(struct tcp_cc *cc, const struct tcp_cc_ack *ack)
{
}

static uint32_t fixed_ssthresh(struct tcp_cc *cc, fs_ns now)
{
	return 5;
}

const struct tcp_cc_ops tcp_cc_fixed = {
	.name = "fixed",
	.init = fixed_init,
	.acked = fixed_acked,
	.ssthresh = fixed_ssthresh,
};
