/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cc_dctcp.c - "dctcp": reduce by the share of segments that came marked.
 *
 * For networks whose switches mark at a short queue and whose hosts all do this. The receiver's half (an echo per
 * mark instead of until CWR, RFC 8257 3.2) is the connection's; it asks for wants_ecn.
 * Standards: RFC 8257.
 */
#include <stdbool.h>

#include "base/err.h"
#include "tcp/cc.h"

/* RFC 8257 3.3: alpha is a share of ALPHA_ONE; g = 1/16. */
enum { ALPHA_ONE = 1 << 20, G_SHIFT = 4 };

struct dctcp {
	uint32_t alpha;	 /* estimated share of marked segments, of ALPHA_ONE */
	uint32_t acked;	 /* segments in this observation window */
	uint32_t marked; /* of them, acknowledged with ECE */
	uint32_t cwnd;	 /* when the window was reduced last */
};
static_assert(sizeof(struct dctcp) <= sizeof(((struct tcp_cc *)0)->private), "state fits");

static struct dctcp *dctcp(struct tcp_cc *cc)
{
	return (struct dctcp *)cc->private;
}

/* 3.3, initial value: 1, so that the first mark counts as in RFC 3168. */
static void dctcp_init(struct tcp_cc *cc, fs_ns now)
{
	dctcp(cc)->alpha = ALPHA_ONE;
}

/* 3.3, steps 5 to 7: a round trip is over. */
static void update_alpha(struct dctcp *d)
{
	uint64_t share = 0;

	if (d->acked > 0)
		share = (uint64_t)FS_MIN(d->marked, d->acked) * ALPHA_ONE / d->acked;
	/* Rounded up, or alpha would stay above 0 for ever without marks (3.3, on integers). */
	d->alpha -= (d->alpha + (1 << G_SHIFT) - 1) >> G_SHIFT;
	d->alpha = FS_MIN(d->alpha + (uint32_t)(share >> G_SHIFT), (uint32_t)ALPHA_ONE);
	d->acked = 0;
	d->marked = 0;
}

static void dctcp_observe(struct tcp_cc *cc, const struct tcp_cc_ack *ack)
{
	struct dctcp *d = dctcp(cc);

	if (ack->round_start)
		update_alpha(d);
	d->acked += ack->acked_sacked;
	d->marked += ack->ece ? ack->acked_sacked : 0;
}

/* 3.3: otherwise as RFC 5681. */
static void dctcp_acked(struct tcp_cc *cc, const struct tcp_cc_ack *ack)
{
	uint32_t left = ack->acked_sacked;

	if (!ack->cwnd_limited)
		return;
	if (tcp_cc_in_slow_start(cc))
		left = tcp_cc_slow_start(cc, left);
	if (left > 0)
		tcp_cc_avoid(cc, cc->cwnd, left);
}

/* Equation 10: cwnd * (1 - alpha / 2). */
static uint32_t dctcp_ssthresh(struct tcp_cc *cc, fs_ns now)
{
	struct dctcp *d = dctcp(cc);
	uint32_t cut = (uint32_t)((uint64_t)cc->cwnd * d->alpha / (2 * ALPHA_ONE));

	d->cwnd = cc->cwnd;
	return FS_MAX(cc->cwnd - cut, 2U);
}

/* 3.5: lost segments are no marks: half the window, as RFC 5681. */
static void dctcp_state(struct tcp_cc *cc, enum tcp_ca_state state, fs_ns now)
{
	if (state != TCP_CA_RECOVERY && state != TCP_CA_LOSS)
		return;
	if (state == cc->ca_state || cc->ca_state == TCP_CA_RECOVERY)
		return;
	cc->ssthresh = FS_MAX(dctcp(cc)->cwnd / 2, 2U);
}

const struct tcp_cc_ops tcp_cc_dctcp = {
	.name = "dctcp",
	.wants_ecn = true,
	.init = dctcp_init,
	.observe = dctcp_observe,
	.acked = dctcp_acked,
	.ssthresh = dctcp_ssthresh,
	.state = dctcp_state,
};
