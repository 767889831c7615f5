/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * counter.h - the counters of a stack, derived from counters.def.
 *
 * FS_CTR_<name> is the index, struct fs_counters the values, fs_counter_info() name, unit and help.
 * Adding a counter is one line in counters.def.
 *
 * Does not: format or export (src/stats does).
 * Threads:  values are written by the holder of the stack's lock; others may read at any time and
 *           see each value whole.
 */
#ifndef FSOCK_BASE_COUNTER_H
#define FSOCK_BASE_COUNTER_H

#include <stdint.h>

enum fs_counter {
#define CTR(name, unit, help) FS_CTR_##name,
#include "base/counters.def"
#undef CTR
	FS_CTR_N
};

/* Free-running; compare by difference. Lives in stack memory. */
struct fs_counters {
	uint64_t v[FS_CTR_N];
};

struct fs_counter_info {
	const char *name, *unit, *help; /* static, never NULL */
};

/* Description of counter @which, which may come from another process's file: NULL when unknown. */
const struct fs_counter_info *fs_counter_info(uint32_t which);

/* inline definitions */

static inline void fs_count_add(struct fs_counters *c, enum fs_counter which, uint64_t n)
{
	c->v[which] += n;
}

static inline void fs_count(struct fs_counters *c, enum fs_counter which)
{
	fs_count_add(c, which, 1);
}

#endif
