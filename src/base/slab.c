/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * slab.c - fixed-size objects: a list of returned ones, and regions from which objects never used
 * are taken in ascending order. Returned objects go first: they are warm.
 *
 * A region's book-keeping is in its own first cache line, so any number of regions needs no memory
 * of the slab's.
 */
#include "base/slab.h"

#include <string.h>

#include "base/err.h"

struct slab_free {
	struct slab_free *next;
};

struct slab_region {
	struct slab_region *next; /* region to use when this one is exhausted */
	uint8_t *at;		  /* first object never used */
	uint32_t left;		  /* objects never used */
};
static_assert(sizeof(struct slab_region) <= FS_CACHE_LINE, "a region's head is one cache line");

void slab_init(struct slab *s, uint32_t object_size)
{
	uint32_t lines = object_size / FS_CACHE_LINE + (object_size % FS_CACHE_LINE != 0);

	fs_assert(object_size > 0 && lines <= UINT32_MAX / FS_CACHE_LINE);
	*s = (struct slab){ .object_size = lines * FS_CACHE_LINE };
}

uint32_t slab_add(struct slab *s, void *memory, size_t len)
{
	size_t skip = -(uintptr_t)memory % FS_CACHE_LINE;
	struct slab_region *region;
	size_t n;

	if (len < skip + FS_CACHE_LINE)
		return 0;
	n = FS_MIN((len - skip - FS_CACHE_LINE) / s->object_size, UINT32_MAX - s->total);
	if (n == 0)
		return 0;
	region = (void *)((uint8_t *)memory + skip);
	region->at = (uint8_t *)region + FS_CACHE_LINE;
	region->left = (uint32_t)n;
	region->next = s->region;
	s->region = region;
	s->total += (uint32_t)n;
	return (uint32_t)n;
}

void *slab_alloc(struct slab *s)
{
	void *object = s->free;
	struct slab_region *region = s->region;

	if (object) {
		s->free = s->free->next;
	} else if (region) {
		object = region->at;
		region->at += s->object_size;
		if (--region->left == 0)
			s->region = region->next;
	} else {
		return NULL;
	}
	s->in_use++;
	return memset(object, 0, s->object_size);
}

void slab_free(struct slab *s, void *object)
{
	struct slab_free *f = object;

	if (!f)
		return;
	fs_assert(s->in_use > 0);
	f->next = s->free;
	s->free = f;
	s->in_use--;
}
