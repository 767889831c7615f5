/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hystart.c - HyStart++ (RFC 9406). L, the limit of growth per ACK, is infinite: see tcp_cc_slow_start().
 */
#include "tcp/hystart.h"

#include "base/err.h"

void hystart_init(struct hystart *h)
{
	*h = (struct hystart){ .last_us = UINT32_MAX, .current_us = UINT32_MAX };
}

static void begin_round(struct hystart *h)
{
	h->last_us = h->current_us;
	h->current_us = UINT32_MAX;
	h->samples = 0;
	if (h->css)
		h->css_rounds++;
}

/* Did the round trip of this round rise above that of the last by more than noise? */
static bool is_delayed(const struct hystart *h)
{
	uint32_t thresh = FS_MAX((uint32_t)HYSTART_MIN_RTT_THRESH_US,
				 FS_MIN(h->last_us / HYSTART_MIN_RTT_DIVISOR,
					(uint32_t)HYSTART_MAX_RTT_THRESH_US));

	return h->last_us != UINT32_MAX && h->current_us >= h->last_us + thresh;
}

bool hystart_ack(struct hystart *h, bool round_start, int32_t rtt_us)
{
	if (h->done)
		return false;
	if (round_start)
		begin_round(h);
	/* CSS_ROUNDS are complete when the round after them begins. */
	if (h->css && h->css_rounds > HYSTART_CSS_ROUNDS) {
		h->done = true;
		return true;
	}
	if (rtt_us < 0)
		return false;
	h->current_us = FS_MIN(h->current_us, (uint32_t)rtt_us);
	h->samples = (uint8_t)FS_MIN(h->samples + 1, UINT8_MAX);
	if (h->samples < HYSTART_N_RTT_SAMPLE)
		return false;
	if (h->css) {
		/* It was a burst of others: the queue is gone again. */
		if (h->current_us < h->baseline_us)
			h->css = false;
	} else if (is_delayed(h)) {
		h->css = true;
		h->baseline_us = h->current_us;
		h->css_rounds = 1;
		h->css_acked = 0;
	}
	return false;
}

uint32_t hystart_growth(struct hystart *h, uint32_t acked)
{
	uint32_t grow;

	if (!h->css || h->done)
		return acked;
	acked += h->css_acked;
	grow = acked / HYSTART_CSS_GROWTH_DIVISOR;
	h->css_acked = acked % HYSTART_CSS_GROWTH_DIVISOR;
	return grow;
}
