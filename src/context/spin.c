/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * spin.c - see spin.h.
 */
#include "context/spin.h"

#include "base/err.h"

fs_ns spin_budget(const struct spin *spin, fs_ns limit)
{
	if (spin->round)
		return limit * SPIN_REACH;
	return limit >> FS_MIN(spin->misses, (uint16_t)SPIN_HALVINGS);
}

void spin_learn(struct spin *spin, fs_ns limit, fs_ns waited, bool slept)
{
	uint16_t pause = FS_MAX(spin->pause, (uint16_t)SPIN_PAUSE_MIN);

	if (waited <= limit) { /* asleep or not: the budget would have done */
		*spin = (struct spin){ 0 };
	} else if (spin->round) {
		/* Sleeping within a round: nobody is at the other end, or it is far beyond reach. */
		spin->round = slept ? 0 : spin->round - 1;
	} else if (++spin->misses >= pause) {
		*spin = (struct spin){
			.pause = FS_MIN(2 * pause, SPIN_PAUSE_MAX),
			.round = SPIN_ROUND,
		};
	}
}
