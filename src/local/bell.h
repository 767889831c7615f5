/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bell.h - "tell me" flags in shared memory: no wake-up is lost, and none is made that nobody waits for.
 *
 * Who waits sets the flag, then looks once more for what it waits for, and only then sleeps. Who makes something to
 * wait for publishes it, then looks at the flag. Between the two steps of each side stands a full barrier: so at least
 * one of them sees the other's first step (tests/model/bell.pml shows it, and that it fails without). The flag is taken
 * by exchange, so a wait is told of once.
 *
 * The flags are the other side's to spoil: it is told too often or not at all then, which is its own loss.
 * Threads: the two sides of a link, one each.
 */
#ifndef FSOCK_LOCAL_BELL_H
#define FSOCK_LOCAL_BELL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/barrier.h"

/* inline definitions */

/* Who waits sets the flag to @what, not 0: afterwards look once more. */
static inline void local_bell_arm(uint32_t *flag, uint32_t what)
{
	fs_store_relaxed(flag, what);
	/* The flag is seen by whoever publishes after what the look that follows can see. */
	fs_full_barrier();
}

/* Who waited, and does no more. */
static inline void local_bell_disarm(uint32_t *flag)
{
	fs_store_relaxed(flag, 0);
}

/* Who has published, and has made a full barrier since: is the other side to be told? */
static inline bool local_bell_taken(uint32_t *flag)
{
	return fs_load_relaxed(flag) != 0 && fs_exchange(flag, 0) != 0;
}

/* Who has published: is the other side to be told? */
static inline bool local_bell_due(uint32_t *flag)
{
	/* What was published is seen by whoever sets the flag after this look at it. */
	fs_full_barrier();
	return local_bell_taken(flag);
}

#endif
