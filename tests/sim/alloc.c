/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * alloc.c - allocations that fail by count.
 *
 * Wrapped are the calls from other objects: a chain's parts, taken within fbuf.c, are one allocation.
 */
#include "alloc.h"

#include "base/fbuf.h"
#include "base/slab.h"
#include "world.h"

struct fbuf *__real_fbuf_alloc(struct fbuf_pool *pool);
struct fbuf *__real_fbuf_alloc_chain(struct fbuf_pool *pool, uint32_t len);
struct fbuf *__real_fbuf_clone_into(const struct fbuf *frame, struct fbuf_pool *pool);
struct fbuf *__real_fbuf_clone_part(const struct fbuf *frame, struct fbuf_pool *pool, uint32_t offset, uint32_t len);
void *__real_slab_alloc(struct slab *s);
struct fbuf *__wrap_fbuf_alloc(struct fbuf_pool *pool);
struct fbuf *__wrap_fbuf_alloc_chain(struct fbuf_pool *pool, uint32_t len);
struct fbuf *__wrap_fbuf_clone_into(const struct fbuf *frame, struct fbuf_pool *pool);
struct fbuf *__wrap_fbuf_clone_part(const struct fbuf *frame, struct fbuf_pool *pool, uint32_t offset, uint32_t len);
void *__wrap_slab_alloc(struct slab *s);

static struct sim_alloc_plan *directed;

void sim_alloc_direct(struct sim_alloc_plan *plan)
{
	directed = plan;
}

struct sim_alloc_plan *sim_alloc_enter(void)
{
	struct sim_alloc_plan *plan = directed;

	directed = NULL;
	return plan;
}

void sim_alloc_leave(struct sim_alloc_plan *plan)
{
	directed = plan;
}

static bool fails(void)
{
	if (!directed)
		return false;
	directed->seen++;
	if (directed->first == 0 || directed->seen < directed->first ||
	    directed->seen - directed->first >= directed->count)
		return false;
	directed->failed++;
	return true;
}

struct fbuf *__wrap_fbuf_alloc(struct fbuf_pool *pool)
{
	return fails() ? NULL : __real_fbuf_alloc(pool);
}

struct fbuf *__wrap_fbuf_alloc_chain(struct fbuf_pool *pool, uint32_t len)
{
	return fails() ? NULL : __real_fbuf_alloc_chain(pool, len);
}

struct fbuf *__wrap_fbuf_clone_into(const struct fbuf *frame, struct fbuf_pool *pool)
{
	return fails() ? NULL : __real_fbuf_clone_into(frame, pool);
}

struct fbuf *__wrap_fbuf_clone_part(const struct fbuf *frame, struct fbuf_pool *pool, uint32_t offset, uint32_t len)
{
	return fails() ? NULL : __real_fbuf_clone_part(frame, pool, offset, len);
}

void *__wrap_slab_alloc(struct slab *s)
{
	return fails() ? NULL : __real_slab_alloc(s);
}
