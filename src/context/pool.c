/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pool.c - see pool.h. Why these figures: docs/decisions/0012.
 */
#include "context/pool.h"

#include <errno.h>
#include <sys/mman.h>

#include "context/internal.h"
#include "context/sister.h"
#include "sys/sys.h"

enum {
	WHOLE_QUEUES = 8,	/* so many have umem_size each; more share what these have */
	CHUNKS_MIN = (1 << 20) / STACK_FRAME_CHUNK, /* a queue keeps at least this */
};

static void note(struct pool_plan *plan, const char *why)
{
	host_format(plan->note, sizeof(plan->note), "%s", why);
}

void pool_plan_init(struct pool_plan *plan, const struct config *config, uint32_t rx_queues)
{
	*plan = (struct pool_plan){
		.queues = FS_MAX(rx_queues, 1u),
		.chunks = (uint32_t)(config->umem_size / STACK_FRAME_CHUNK),
	};
	if (plan->queues > PROVIDER_MAX_QUEUES) {
		plan->queues = PROVIDER_MAX_QUEUES;
		plan->short_of = true;
		note(plan, "a port serves no more queues");
	}
	if (config->queues > 0 && config->queues < plan->queues) {
		plan->queues = config->queues;
		plan->short_of = false;
		note(plan, "the option queues says so");
	}
	if (plan->queues > WHOLE_QUEUES)
		plan->chunks = FS_MAX(plan->chunks / plan->queues * WHOLE_QUEUES, (uint32_t)CHUNKS_MIN);
}

void pool_plan_share(struct pool_plan *plan, const struct context *ctx)
{
	if (!ctx->undivided)
		sister_share(ctx, plan->queues, &plan->first, &plan->queues);
}

bool pool_plan_shrink(struct pool_plan *plan, const char *why)
{
	if (plan->chunks > CHUNKS_MIN)
		plan->chunks = FS_MAX(plan->chunks / 2, (uint32_t)CHUNKS_MIN);
	else if (plan->queues > 1)
		plan->queues = (plan->queues + 1) / 2;
	else
		return false;
	plan->short_of = true;
	note(plan, why);
	return true;
}

/* Room for @n chunks. What was there before gives its pages back. */
static int make_room(struct context *ctx, unsigned slot, uint32_t n)
{
	struct fbuf_pool *pool = &ctx->stack->pinned[slot];
	uint32_t *room = &ctx->stack->pinned_room[slot];
	struct fbuf *bufs;
	uint8_t *memory;

	if (n <= *room)
		return 0;
	if (!context_has_memory((size_t)n * STACK_FRAME_CHUNK))
		return -ENOMEM;
	bufs = context_grow(ctx, n * sizeof(*bufs));
	memory = bufs ? context_grow(ctx, (size_t)n * STACK_FRAME_CHUNK) : NULL;
	if (!memory)
		return -ENOMEM;
	if (*room)
		sys_madvise(pool->memory, (size_t)*room * STACK_FRAME_CHUNK, MADV_REMOVE);
	pool->first = bufs;
	pool->memory = memory;
	*room = n;
	return 0;
}

int pool_make(struct context *ctx, unsigned slot, const struct pool_plan *plan)
{
	struct fbuf_pool *pool = &ctx->stack->pinned[slot];
	uint32_t n = plan->queues * plan->chunks;
	struct fbuf *bufs;
	uint8_t *memory;
	int ret;

	if (pool->n_total == n || pool->n_free < pool->n_total)
		return 0;
	ret = make_room(ctx, slot, n);
	if (ret < 0)
		return ret;
	bufs = pool->first;
	memory = pool->memory;
	fbuf_pool_init(pool, STACK_FRAME_CHUNK, IP_TX_HEADROOM);
	fbuf_pool_add(pool, bufs, memory, n);
	pool->low_water = n / 4;
	return 0;
}
