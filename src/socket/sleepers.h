/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sleepers.h - who sleeps for one object: threads by the slot of their process.
 *
 * A process's doorbell wakes all its threads, so which of them it was does not matter.
 *
 * Does:     count. Does not: wake.
 * Lives in: stack memory.
 * Threads:  holder of the stack's lock only.
 */
#ifndef FSOCK_SOCKET_SLEEPERS_H
#define FSOCK_SOCKET_SLEEPERS_H

#include <assert.h>
#include <stdint.h>

#include "stats/format/stats.h"

#define SLEEPERS_ALL ((1u << STATS_MAX_PROCS) - 1)

struct sleepers {
	uint32_t slots; /* bit n: threads[n] is not 0 */
	uint16_t threads[STATS_MAX_PROCS];
};
static_assert(STATS_MAX_PROCS < 32, "one bit per process");

/* inline definitions */

static inline void sleepers_add(struct sleepers *s, unsigned slot)
{
	s->threads[slot]++;
	s->slots |= 1u << slot;
}

static inline void sleepers_remove(struct sleepers *s, unsigned slot)
{
	if (s->threads[slot] && --s->threads[slot] == 0)
		s->slots &= ~(1u << slot);
}

/* The process of @slot is gone. */
static inline void sleepers_forget(struct sleepers *s, unsigned slot)
{
	s->threads[slot] = 0;
	s->slots &= ~(1u << slot);
}

#endif
