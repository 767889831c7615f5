/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * local_stall.c - connections over links whose reader does not read, and whose writer has more.
 *
 * The kernel keeps some megabytes of a connection that nobody reads, a ring much less. Two programs that both write more
 * before either reads, or one that is to write all of it before the other comes to this connection, get along on the
 * kernel, and would wait for each other for ever here. So where somebody found no room, or waits for it, and nothing is
 * read for STALL_NS, the connection gets a larger ring. Not at once: what goes round through 64 KiB stays in the caches,
 * and most readers only come a little later. Nor only then: one through which very much goes in that time gets one, too, for
 * who reads and who writes wait for each other less often.
 */
#include "context/internal.h"
#include "context/local.h"
#include "local/link.h"
#include "socket/bare.h"

#define STALL_NS FS_MS(100)

enum {
	MOST_ORDER = 21,  /* of the larger ring: 2 MiB, which the kernel's sockets keep, too, where a connection moves */
	LEAST_ORDER = 18, /* if its link has no more */
	SPARE_PART = 2,	  /* of a side's memory is kept for connections to come */
	BULK = 32 << 20,  /* bytes read in STALL_NS: its ring is worth being larger, though it does not stall */
	BULK_PART = 4,	  /* the memory beyond this part is left to those that stall */
};

static uint64_t read_up_to(const struct local_conn *conn)
{
	return conn->tx.head - local_outq(conn);
}

static struct local_conn *conn_of(struct list *e)
{
	return FS_CONTAINER_OF(e, struct local_conn, own.starved);
}

/* From now on. The list is in the order of these times. */
static void note(struct context *ctx, struct local_conn *conn)
{
	conn->own.starved_since = ctx->now;
	conn->own.starved_at = read_up_to(conn);
	list_remove(&conn->own.starved);
	list_push_back(&ctx->stack->local->starving, &conn->own.starved);
}

void local_stall_note(struct context *ctx, struct local_link *link)
{
	while (!list_is_empty(&link->starving))
		note(ctx, conn_of(list_first(&link->starving)));
}

/* As much as the program lets it keep (SO_SNDBUF), if it says so. */
static uint32_t limit_of(const struct local_conn *conn)
{
	const struct sock *s = conn->user;

	return bare_is(s) || s->stream.options.sndbuf == 0 ? UINT32_MAX : s->stream.options.sndbuf;
}

/* The largest ring that it may have. */
static unsigned most_order(const struct local_conn *conn)
{
	unsigned order = MOST_ORDER;

	while (order >= LEAST_ORDER && UINT32_C(1) << order > limit_of(conn))
		order--;
	return order;
}

/* A larger ring of 1 << @least bytes or more, if @part of the side's memory has one. */
static bool grow(struct local_conn *conn, unsigned least, unsigned part)
{
	const struct local_half *half = &conn->link->half;

	for (unsigned order = most_order(conn); order >= FS_MAX(least, (unsigned)LEAST_ORDER); order--)
		if (half->used + local_units_of(order) <= half->units / part &&
		    context_has_memory((size_t)1 << order) && local_grow(conn, order) == 0)
			return true;
	return false;
}

static void settle(struct context *ctx, struct local_conn *conn)
{
	uint32_t ready = local_ready(conn) & LOCAL_READY_OUT;
	uint64_t progress = read_up_to(conn) - conn->own.starved_at;

	local_heed(ctx, conn->link);
	/* The largest or none: it grows once, and is to have as much as it can if it stalls later. */
	if (progress >= BULK && grow(conn, most_order(conn), BULK_PART))
		ready |= LOCAL_READY_OUT;
	if (ready) {
		list_remove(&conn->own.starved);
		local_event(ctx, conn, ready); /* who waits is told where more is free than this */
	} else if (progress > 0 || !grow(conn, LEAST_ORDER, SPARE_PART)) {
		note(ctx, conn);
	} else {
		list_remove(&conn->own.starved);
	}
	local_told(ctx, conn->link);
}

fs_ns local_stall_next(const struct context *ctx)
{
	const struct stack_local *l = ctx->stack->local;
	struct list *first = list_first(&l->starving);

	if (first)
		return conn_of(first)->own.starved_since + STALL_NS;
	for (unsigned i = 0; i < l->n; i++)
		if (l->link[i].serial && !list_is_empty(&l->link[i].link->starving))
			return ctx->now + STALL_NS; /* they are noted by the next look */
	return FS_NEVER;
}

void local_stall_settle(struct context *ctx)
{
	while (local_stall_next(ctx) <= ctx->now)
		settle(ctx, conn_of(list_first(&ctx->stack->local->starving)));
}
