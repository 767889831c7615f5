/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rtt.h - round trips and the retransmission timeout. Inline: every answer in a dialogue has a sample.
 *
 * RFC 6298 with two changes of Linux's. The deviation that RTO takes (RTTVAR) rises at once and falls once a round trip
 * only: a window full of ACKs with equal round trips does not lull it. And where the round trip falls, the
 * deviation gains less from it: a path that became faster must not look unsteady.
 * Does not: choose samples (ack.c: Karn), arm timers.
 * Threads:  any, a value of the caller's.
 * Standards: RFC 6298, RFC 8985 6.2 (minimum).
 */
#ifndef FSOCK_TCP_RTT_H
#define FSOCK_TCP_RTT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/seq.h"
#include "tcp/conn.h"
#include "tcp/tcp.h"

enum {
	TCP_RTT_MIN_WINDOW_MS = 300000, /* after which another minimum counts: routes change (Linux) */
	TCP_RTT_EIGHTHS = 8,
	TCP_RTT_MAX_US = 1 << 28, /* what is longer counts as that: eighths stay within 32 bits */
};

void tcp_rtt_init(struct tcp_rtt *rtt, uint32_t rto_initial_us);

/* A sample of data never sent twice, or by timestamps (Karn), us. @una, @nxt: for rounds. Clears backoff. */
static inline void tcp_rtt_sample(struct tcp_rtt *rtt, uint32_t rtt_us, const struct tcp_config *config, tcp_seq una,
				  tcp_seq nxt);

/* The same for the smallest one; @delayed: the peer's delayed-ACK timer is probably in it. */
static inline void tcp_rtt_min(struct tcp_rtt *rtt, uint32_t rtt_us, bool delayed, fs_ns now);

/* The first one. */
void tcp_rtt_begin(struct tcp_rtt *rtt, uint32_t rtt_us, tcp_seq nxt);

/* inline definitions */

/* RFC 6298 2.3: SRTT <- 7/8 SRTT + 1/8 R, to an eighth of a us, or round trips of a few us would never be learnt.
 * Returns R less the old SRTT. */
static inline int32_t tcp_rtt_smooth(struct tcp_rtt *rtt, uint32_t rtt_us)
{
	int32_t error = (int32_t)(rtt_us - rtt->srtt_us);
	uint32_t eighths = rtt->srtt_us * TCP_RTT_EIGHTHS + rtt->srtt_eighths + (uint32_t)error;

	rtt->srtt_us = eighths / TCP_RTT_EIGHTHS;
	rtt->srtt_eighths = eighths % TCP_RTT_EIGHTHS;
	rtt->srtt_us += rtt->srtt_us == 0; /* 0 says that there was no sample */
	return error;
}

/* RFC 6298 2.3: mdev <- 3/4 mdev + 1/4 |R - SRTT|; of a fall that exceeds mdev only 1/32. Rounded down. */
static inline void tcp_rtt_deviate(struct tcp_rtt *rtt, int32_t error)
{
	bool fell = error < 0;
	int32_t excess = (fell ? -error : error) - (int32_t)rtt->mdev_us;

	rtt->mdev_us += (uint32_t)(excess >> (fell && excess > 0 ? 5 : 2));
	rtt->mdev_max_us = FS_MAX(rtt->mdev_max_us, rtt->mdev_us);
	rtt->rttvar_us = FS_MAX(rtt->rttvar_us, rtt->mdev_max_us);
}

static inline void tcp_rtt_end_round(struct tcp_rtt *rtt, tcp_seq nxt)
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
static inline uint32_t tcp_rtt_timeout(const struct tcp_rtt *rtt, const struct tcp_config *config)
{
	uint32_t rto = rtt->srtt_us + FS_MAX(rtt->rttvar_us * 4, config->rto_min_us);

	return FS_MIN(rto, config->rto_max_us); /* 2.5 */
}

static inline void tcp_rtt_sample(struct tcp_rtt *rtt, uint32_t rtt_us, const struct tcp_config *config, tcp_seq una,
				  tcp_seq nxt)
{
	rtt_us = FS_MAX(FS_MIN(rtt_us, (uint32_t)TCP_RTT_MAX_US), 1U);
	if (__builtin_expect(rtt->srtt_us == 0, 0)) {
		tcp_rtt_begin(rtt, rtt_us, nxt);
	} else {
		tcp_rtt_deviate(rtt, tcp_rtt_smooth(rtt, rtt_us));
		if (seq_gt(una, rtt->round_end))
			tcp_rtt_end_round(rtt, nxt);
	}
	rtt->rto_us = tcp_rtt_timeout(rtt, config);
	rtt->backoff = 0;
}

static inline void tcp_rtt_min(struct tcp_rtt *rtt, uint32_t rtt_us, bool delayed, fs_ns now)
{
	uint32_t now_ms;

	if (rtt_us > rtt->min_us && delayed)
		return;
	now_ms = (uint32_t)((uint64_t)now / FS_MS(1));
	if (rtt_us > rtt->min_us && now_ms - rtt->min_at_ms <= TCP_RTT_MIN_WINDOW_MS)
		return;
	rtt->min_us = FS_MAX(rtt_us, 1U);
	rtt->min_at_ms = now_ms;
}

#endif
