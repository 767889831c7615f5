/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cc_none.c - "none": no congestion control, for wires of our own that lose nothing.
 *
 * The peer's receive window is the only bound: between two ports of one lossless switch, or through shared
 * memory, it is the right one. DEVIATION: RFC 9293 3.8.2 (MUST-19) wants congestion control on every
 * connection; a user has to choose this by name.
 */
#include "base/err.h"
#include "tcp/cc.h"

static void open_wide(struct tcp_cc *cc)
{
	cc->cwnd = FS_MIN(cc->clamp, (uint32_t)TCP_CWND_MAX);
}

static void none_init(struct tcp_cc *cc, fs_ns now)
{
	open_wide(cc);
}

/* The clamp may have moved. */
static void none_acked(struct tcp_cc *cc, const struct tcp_cc_ack *ack)
{
	open_wide(cc);
}

static uint32_t none_ssthresh(struct tcp_cc *cc, fs_ns now)
{
	return cc->ssthresh;
}

const struct tcp_cc_ops tcp_cc_none = {
	.name = "none",
	.owns_window = true,
	.init = none_init,
	.acked = none_acked,
	.ssthresh = none_ssthresh,
};
