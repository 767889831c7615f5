/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * half.h - what a side hands out of its half of the arena: runs of units for byte rings.
 *
 * A run is of a power of two of units and begins at a multiple of its length, so what is free does not crumble. The map
 * of what is handed out is the side's own, and the other side has no say in it.
 * Threads: one.
 */
#ifndef FSOCK_LOCAL_HALF_H
#define FSOCK_LOCAL_HALF_H

#include <stdint.h>

enum { LOCAL_HALF_NONE = UINT32_MAX };

struct local_half {
	uint64_t *map;	/* a bit per unit, 1 = handed out; borrowed */
	uint32_t units; /* a multiple of 64 */
	uint32_t used;
	uint32_t reached; /* units before this one were handed out some time */
	uint32_t hint;	/* words of the map before this one are full */
};

/* Nothing is handed out. @map: @units bits. */
void local_half_init(struct local_half *h, uint64_t *map, uint32_t units);

/* The first unit of a free run of @n units (a power of two), or LOCAL_HALF_NONE. */
uint32_t local_half_get(struct local_half *h, uint32_t n);

/* A run that local_half_get() gave is free again. */
void local_half_put(struct local_half *h, uint32_t first, uint32_t n);

#endif
