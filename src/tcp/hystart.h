/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hystart.h - HyStart++: slow start that ends before it overshoots (RFC 9406).
 *
 * Does:     watch the smallest round trip of each round; when it rises, go on carefully (conservative slow
 *           start, CSS) and, unless it falls again, say that slow start is over.
 * Does not: touch the window: the algorithm that embeds it does.
 * Threads:  holder of the stack's lock only.
 */
#ifndef FSOCK_TCP_HYSTART_H
#define FSOCK_TCP_HYSTART_H

#include <stdbool.h>
#include <stdint.h>

/* RFC 9406 4.3 */
enum {
	HYSTART_MIN_RTT_THRESH_US = 4000,
	HYSTART_MAX_RTT_THRESH_US = 16000,
	HYSTART_MIN_RTT_DIVISOR = 8,
	HYSTART_N_RTT_SAMPLE = 8,
	HYSTART_CSS_GROWTH_DIVISOR = 4,
	HYSTART_CSS_ROUNDS = 5,
};

struct hystart {
	uint32_t last_us;     /* smallest round trip of the round before; UINT32_MAX = none */
	uint32_t current_us;  /* of this round so far */
	uint32_t baseline_us; /* of the round that began CSS; valid while css */
	uint32_t css_acked;   /* segments acked in CSS that did not add up to one of growth */
	uint8_t samples;      /* of this round, saturating */
	uint8_t css_rounds;   /* begun since CSS began, the partial one included */
	bool css;
	bool done;	      /* only the first slow start is watched (RFC 9406 4.3) */
};

void hystart_init(struct hystart *h);

/* One ACK of slow start: @round_start as in struct tcp_cc_ack, @rtt_us -1 = no sample. True: slow start is over,
 * ssthresh is the window there is. */
bool hystart_ack(struct hystart *h, bool round_start, int32_t rtt_us);

/* Segments to grow by for @acked ones. */
uint32_t hystart_growth(struct hystart *h, uint32_t acked);

#endif
