/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cc_rig.h - a congestion window in a test, and the acknowledgements that come for it.
 */
#ifndef FSOCK_TESTS_UNIT_CC_RIG_H
#define FSOCK_TESTS_UNIT_CC_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "tcp/cc.h"

enum { CC_RIG_MSS = 1448, CC_RIG_RTT_US = 20000 };

/* inline definitions */

/* The algorithm @name on a window of @cwnd segments. */
static inline void cc_rig_begin(struct tcp_cc *cc, const char *name, uint32_t cwnd, uint32_t ssthresh, fs_ns now)
{
	int algorithm = tcp_cc_by_name(name, strlen(name));

	assert_true(algorithm >= 0);
	*cc = (struct tcp_cc){ .cwnd = cwnd,
			       .ssthresh = ssthresh,
			       .clamp = TCP_CWND_MAX,
			       .mss = CC_RIG_MSS,
			       .min_rtt_us = UINT32_MAX,
			       .ca_state = TCP_CA_OPEN };
	tcp_cc_set(cc, (unsigned)algorithm, now);
}

static inline const struct tcp_cc_ops *cc_rig_ops(const struct tcp_cc *cc)
{
	return tcp_cc_at(cc->algorithm);
}

/* An ordinary ACK of @acked segments, with the window used up. */
static inline struct tcp_cc_ack cc_rig_ack(uint32_t acked, fs_ns now)
{
	return (struct tcp_cc_ack){ .acked = acked,
				    .acked_sacked = acked,
				    .rtt_us = -1,
				    .cwnd_limited = true,
				    .now = now };
}

static inline void cc_rig_acked(struct tcp_cc *cc, const struct tcp_cc_ack *ack)
{
	cc->delivered += ack->acked_sacked;
	if (cc_rig_ops(cc)->observe)
		cc_rig_ops(cc)->observe(cc, ack);
	cc_rig_ops(cc)->acked(cc, ack);
}

static inline void cc_rig_count(struct tcp_cc *cc, uint32_t acked, fs_ns now)
{
	struct tcp_cc_ack ack = cc_rig_ack(acked, now);

	cc_rig_acked(cc, &ack);
}

/* A loss, as recovery handles it where the window is its own: down at once, without PRR. */
static inline void cc_rig_reduce(struct tcp_cc *cc, enum tcp_ca_state state, fs_ns now)
{
	cc->prior_cwnd = cc->cwnd;
	cc->prior_ssthresh = cc->ssthresh;
	cc->ssthresh = cc_rig_ops(cc)->ssthresh(cc, now);
	if (cc_rig_ops(cc)->state)
		cc_rig_ops(cc)->state(cc, state, now);
	cc->ca_state = (uint8_t)state;
	if (!cc_rig_ops(cc)->owns_window)
		cc->cwnd = state == TCP_CA_LOSS ? 1 : cc->ssthresh;
}

static inline void cc_rig_recover(struct tcp_cc *cc, fs_ns now)
{
	if (cc_rig_ops(cc)->state)
		cc_rig_ops(cc)->state(cc, TCP_CA_OPEN, now);
	cc->ca_state = TCP_CA_OPEN;
}

#endif
