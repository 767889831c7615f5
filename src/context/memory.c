/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * memory.c - stack memory that grows, and the process's descriptor table.
 *
 * Growth is announced in stack->arena_len; every process maps the rest when it next takes the lock.
 */
#include "context/internal.h"
#include "host/memlimit.h"

enum { SLAB_STEP = 256 /* objects */ };

#define LOOK_AGAIN FS_MS(100) /* for memory that was not there */

bool context_has_memory(size_t len)
{
	return host_memory_left("") / 2 >= len;
}

void *context_grow(struct context *ctx, size_t len)
{
	void *at;

	if (mem_grow(&ctx->arena, len, &at) < 0)
		return NULL;
	ctx->stack->arena_len = ctx->arena.mapped;
	return at;
}

/* An object of @slab, after adding room for SLAB_STEP of them if need be. */
static void *alloc_or_grow(struct context *ctx, struct slab *slab)
{
	void *object = slab_alloc(slab), *more;
	size_t len = slab_bytes(slab, SLAB_STEP);

	if (object)
		return object;
	more = context_grow(ctx, len);
	if (!more)
		return NULL;
	slab_add(slab, more, len);
	return slab_alloc(slab);
}

struct sock *context_sock_alloc(struct context *ctx)
{
	if (ctx->stack->socks.in_use >= ctx->config.max_sockets)
		return NULL;
	return alloc_or_grow(ctx, &ctx->stack->socks);
}

struct epoll_set *context_set_alloc(struct context *ctx)
{
	return alloc_or_grow(ctx, &ctx->stack->sets);
}

struct udp_group *context_group_alloc(struct context *ctx)
{
	return alloc_or_grow(ctx, &ctx->stack->groups);
}

bool context_items_reserve(struct context *ctx)
{
	void *item = alloc_or_grow(ctx, &ctx->stack->items);

	slab_free(&ctx->stack->items, item);
	return item != NULL;
}

/* What may still be added, as far as is known. */
static uint32_t to_come(const struct context *ctx)
{
	uint64_t left = ctx->config.payload_max - FS_MIN(ctx->stack->payload_bytes, ctx->config.payload_max);

	return (uint32_t)(left / STACK_PAYLOAD_STEP * (STACK_PAYLOAD_STEP / STACK_PAYLOAD_CHUNK));
}

void context_payload_init(struct context *ctx)
{
	fbuf_pool_init(&ctx->stack->payload, STACK_PAYLOAD_CHUNK, 0);
	fbuf_pool_init(&ctx->stack->segments, STACK_SEGMENT_CHUNK, IP_TX_HEADROOM);
	ctx->stack->payload.to_come = to_come(ctx);
}

/* Free chunks may never have been written to: then no group pays for them yet, and will. */
static size_t unpaid(const struct fbuf_pool *pool)
{
	return (size_t)pool->n_free * pool->chunk_size;
}

/* One step more for @pool, of the payload pool's memory. */
static bool reserve(struct context *ctx, struct fbuf_pool *pool)
{
	struct stack *s = ctx->stack;
	uint32_t n = STACK_PAYLOAD_STEP / pool->chunk_size;
	size_t len = STACK_PAYLOAD_STEP + n * sizeof(struct fbuf);
	uint8_t *memory = NULL;

	if (s->payload_bytes + STACK_PAYLOAD_STEP > ctx->config.payload_max || ctx->now < ctx->no_payload_until)
		return false;
	if (context_has_memory(len + unpaid(&s->payload) + unpaid(&s->segments)))
		memory = context_grow(ctx, len);
	if (!memory) {
		ctx->no_payload_until = ctx->now + LOOK_AGAIN;
		s->payload.to_come = 0;
		return false;
	}
	s->payload_bytes += STACK_PAYLOAD_STEP;
	fbuf_pool_add(pool, (void *)(memory + STACK_PAYLOAD_STEP), memory, n);
	s->payload.to_come = to_come(ctx);
	return true;
}

bool context_payload_reserve(struct context *ctx)
{
	return reserve(ctx, &ctx->stack->payload);
}

void context_segments_reserve(struct context *ctx, size_t bytes)
{
	struct fbuf_pool *pool = &ctx->stack->segments;
	size_t want = FS_MIN(bytes, (size_t)STACK_PAYLOAD_STEP / 2) / (STACK_SEGMENT_CHUNK / 2);

	while (pool->n_free < want && reserve(ctx, pool))
		continue;
}

struct fd_entry *context_fd_entry(struct context *ctx, int fd)
{
	struct fd_entry *e = fd_entry_at(&ctx->fds, fd);
	struct fd_entry *chunk;

	if (e || (unsigned)fd >= FD_CHUNK * FD_CHUNKS)
		return e;
	chunk = mem_private(FD_CHUNK * sizeof(*chunk));
	if (!chunk)
		return NULL;
	fs_store_release(&ctx->fds.chunk[(unsigned)fd / FD_CHUNK], chunk);
	return &chunk[(unsigned)fd % FD_CHUNK];
}

void context_fd_set(struct context *ctx, int fd, enum fd_kind kind, void *object, uint32_t generation)
{
	struct fd_entry *e = context_fd_entry(ctx, fd);

	if (!e)
		return; /* then it stays FD_NONE: the kernel's */
	fs_store_release(&e->kind, (uint32_t)FD_NONE); /* readers never see a mixture */
	fs_store_relaxed(&e->object, object);
	e->generation = generation;
	e->checked = ctx->now;
	fs_store_release(&e->kind, (uint32_t)kind);
	if (kind != FD_NONE && fd > ctx->fds.highest)
		ctx->fds.highest = fd;
}
