/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rtt.c - round trips and the retransmission timeout.
 *
 * RFC 6298 with two changes of Linux's. The deviation that RTO takes (RTTVAR) rises at once and falls once a round trip
 * only: a window full of ACKs with equal round trips does not lull it. And where the round trip falls, the
 * deviation gains less from it: a path that became faster must not look unsteady.
 * Does not: choose samples (ack.c: Karn), arm timers.
 * Standards: RFC 6298, RFC 8985 6.2 (minimum).
 */
#include "base/err.h"
#include "tcp/loss.h"

enum {
	MIN_RTT_WINDOW_MS = 300000, /* after which another minimum counts: routes change (Linux) */
	EIGHTHS = 8,
};

void tcp_rtt_init(struct tcp_rtt *rtt, uint32_t rto_initial_us)
{
	*rtt = (struct tcp_rtt){ .rto_us = rto_initial_us, .min_us = UINT32_MAX };
}

/* RFC 6298 2.2: the first one. */
static void begin(struct tcp_rtt *rtt, uint32_t rtt_us, tcp_seq nxt)
{
	rtt->srtt_us = rtt_us;
	rtt->srtt_eighths = 0;
	rtt->mdev_us = rtt->mdev_max_us = rtt->rttvar_us = rtt_us / 2;
	rtt->round_end = nxt;
}

/* RFC 6298 2.3: SRTT <- 7/8 SRTT + 1/8 R, to an eighth of a us, or round trips of a few us would never be learnt.
 * Returns R less the old SRTT. */
static int32_t smooth(struct tcp_rtt *rtt, uint32_t rtt_us)
{
	uint64_t eighths = (uint64_t)rtt->srtt_us * EIGHTHS + rtt->srtt_eighths;
	int32_t error = (int32_t)(rtt_us - rtt->srtt_us);

	eighths = eighths - rtt->srtt_us + rtt_us;
	rtt->srtt_us = (uint32_t)(eighths / EIGHTHS);
	rtt->srtt_eighths = eighths % EIGHTHS;
	if (rtt->srtt_us == 0)
		rtt->srtt_us = 1; /* 0 says that there was no sample */
	return error;
}

/* RFC 6298 2.3: mdev <- 3/4 mdev + 1/4 |R - SRTT|; of a fall that exceeds mdev only 1/32. */
static void deviate(struct tcp_rtt *rtt, int32_t error)
{
	bool fell = error < 0;
	int32_t excess = (fell ? -error : error) - (int32_t)rtt->mdev_us;

	rtt->mdev_us = (uint32_t)((int32_t)rtt->mdev_us + excess / (fell && excess > 0 ? 32 : 4));
	rtt->mdev_max_us = FS_MAX(rtt->mdev_max_us, rtt->mdev_us);
	rtt->rttvar_us = FS_MAX(rtt->rttvar_us, rtt->mdev_max_us);
}

static void end_round(struct tcp_rtt *rtt, tcp_seq nxt)
{
	if (rtt->mdev_max_us < rtt->rttvar_us)
		rtt->rttvar_us -= (rtt->rttvar_us - rtt->mdev_max_us) / 4;
	rtt->mdev_max_us = 0;
	rtt->round_end = nxt;
}

/*
 * DEVIATION: RFC 6298 2.4 wants an RTO of at least 1 s (SHOULD). On a 50 us network that is 20000 round trips of
 * silence after a tail loss; Linux's floor is 200 ms. It holds for the term 4 * RTTVAR, as there: RTO stays that far
 * above SRTT however steady the path is, for the peer's delayed ACKs. The clock granularity G (2.3) is far below.
 * Tested: tcp_rtt_sample__floor_is_above_srtt.
 */
static uint32_t timeout(const struct tcp_rtt *rtt, uint32_t min_us, uint32_t max_us)
{
	uint64_t rto = (uint64_t)rtt->srtt_us + FS_MAX((uint64_t)rtt->rttvar_us * 4, (uint64_t)min_us);

	return (uint32_t)FS_MIN(rto, (uint64_t)max_us); /* 2.5 */
}

void tcp_rtt_sample(struct tcp_rtt *rtt, uint32_t rtt_us, uint32_t rto_min_us, uint32_t rto_max_us, tcp_seq una,
		    tcp_seq nxt)
{
	rtt_us = FS_MAX(FS_MIN(rtt_us, (uint32_t)INT32_MAX), 1U);
	if (rtt->srtt_us == 0) {
		begin(rtt, rtt_us, nxt);
	} else {
		deviate(rtt, smooth(rtt, rtt_us));
		if (seq_gt(una, rtt->round_end))
			end_round(rtt, nxt);
	}
	rtt->rto_us = timeout(rtt, rto_min_us, rto_max_us);
	rtt->backoff = 0;
}

void tcp_rtt_min(struct tcp_rtt *rtt, uint32_t rtt_us, bool delayed, fs_ns now)
{
	uint32_t now_ms = (uint32_t)(now / FS_MS(1));
	bool expired = now_ms - rtt->min_at_ms > MIN_RTT_WINDOW_MS;

	if (rtt_us > rtt->min_us && (!expired || delayed))
		return;
	rtt->min_us = FS_MAX(rtt_us, 1U);
	rtt->min_at_ms = now_ms;
}
