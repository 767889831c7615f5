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

	if (waited <= limit && !slept) {
		*spin = (struct spin){ 0 };
		return;
	}
	if (waited <= limit && spin->doubt < SPIN_DOUBT) { /* the budget would have done */
		*spin = (struct spin){ .doubt = spin->doubt, .believed = true };
		return;
	}
	spin->doubt = (uint8_t)FS_MIN(spin->doubt + spin->believed, (int)SPIN_DOUBT);
	spin->believed = false;
	if (spin->round) {
		/* Sleeping within a round: nobody is at the other end, or it is far beyond reach. */
		spin->round = slept ? 0 : spin->round - 1;
	} else if (++spin->misses >= pause) {
		*spin = (struct spin){
			.pause = FS_MIN(2 * pause, SPIN_PAUSE_MAX),
			.round = SPIN_ROUND,
			.doubt = spin->doubt,
		};
	}
}

void rival_met(struct rival *rival, fs_ns now)
{
	if (rival->losses && now - FS_MAX(rival->lost, rival->until) > RIVAL_SOON_NS)
		rival->losses = 0;
	rival->until = rival->losses ? now + (RIVAL_PAUSE_NS << (rival->losses - 1)) : now;
	rival->lost = now;
	rival->losses = (uint8_t)FS_MIN(rival->losses + 1, (int)RIVAL_DOUBLINGS);
}
