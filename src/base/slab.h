/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * slab.h - a pool of objects of one size over memory handed in region by region.
 *
 * Does:     zeroed objects, aligned to a cache line; memory of a region is first touched when its
 *           objects are first used, so a large reservation costs nothing until then.
 * Does not: obtain or give back memory, run constructors.
 * Threads:  holder of the stack's lock only. Lives in stack memory, plain pointers.
 */
#ifndef FSOCK_BASE_SLAB_H
#define FSOCK_BASE_SLAB_H

#include <stddef.h>
#include <stdint.h>

struct slab_free; /* a free object: link to the next one */

struct slab {
	struct slab_free *free;	    /* objects returned, last one first */
	struct slab_region *region; /* region with objects never used yet, and more behind it */
	uint32_t object_size;	    /* bytes, rounded up to cache lines */
	uint32_t in_use;	    /* objects out */
	uint32_t total;		    /* objects out, free or never used */
};

void slab_init(struct slab *s, uint32_t object_size);

/*
 * Give @len bytes at @memory (any alignment and content) to the pool; borrowed for its life. Returns
 * the number of objects gained, 0 when @len has no room for one: then @memory is not used.
 */
uint32_t slab_add(struct slab *s, void *memory, size_t len);

/* A zeroed object; NULL = none left, add a region. Owner: the caller. */
void *slab_alloc(struct slab *s);

/* Return an object of this pool. NULL is allowed. */
void slab_free(struct slab *s, void *object);

/* inline definitions */

/* Bytes to give slab_add() so that it gains at least @n objects. */
static inline size_t slab_bytes(const struct slab *s, uint32_t n)
{
	return ((size_t)n + 2) * s->object_size;
}

#endif
