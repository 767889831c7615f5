/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * local_stall.c - connections over links whose reader does not read, and whose writer has more.
 *
 * The kernel keeps some megabytes of a connection that nobody reads, a ring much less. Two programs that both write more
 * before either reads, or one that is to write all of it before the other comes to this connection, get along on the
 * kernel, and would wait for each other for ever here. So a send that finds no room is written down, and where nothing
 * is read for STALL_NS after it, the connection gets a larger ring. Not at once: what goes round through 64 KiB stays in
 * the caches, and most readers only come a little later.
 */
#include "context/internal.h"
#include "context/local.h"
#include "local/link.h"

#define STALL_NS FS_MS(100)

enum {
	GROWN_ORDER = 22,  /* of the larger ring: 4 MiB */
	SPARE_PART = 2,	   /* of a side's memory is kept for connections to come */
};

static uint64_t read_up_to(const struct local_conn *conn)
{
	return conn->tx.head - local_outq(conn);
}

static struct local_conn *conn_of(struct list *e)
{
	return FS_CONTAINER_OF(e, struct local_conn, own.stalled);
}

/* From now on. The list is in the order of these times. */
static void note(struct context *ctx, struct local_conn *conn)
{
	conn->own.stalled_since = ctx->now;
	conn->own.stalled_at = read_up_to(conn);
	list_remove(&conn->own.stalled);
	list_push_back(&ctx->stack->local->stalled, &conn->own.stalled);
}

void local_stalls(struct context *ctx, struct local_conn *conn)
{
	/* Of Unix sockets the kernel keeps no more than their rings. */
	if (conn->state == LOCAL_ESTABLISHED && !list_is_linked(&conn->own.stalled) && !conn->grown_order &&
	    !(conn->flags & LOCAL_UNIX))
		note(ctx, conn);
}

void local_stall_end(struct local_conn *conn)
{
	list_remove(&conn->own.stalled);
}

static bool has_room(const struct local_link *link)
{
	uint32_t units = UINT32_C(1) << (GROWN_ORDER - LOCAL_ORDER_MIN);

	return link->half.used + units <= link->half.units / SPARE_PART && context_has_memory((size_t)1 << GROWN_ORDER);
}

static void settle(struct context *ctx, struct local_conn *conn)
{
	if (local_ready(conn) & LOCAL_READY_OUT) {
		local_stall_end(conn);
	} else if (conn->own.stalled_at != read_up_to(conn) || !has_room(conn->link)) {
		note(ctx, conn);
	} else {
		local_stall_end(conn);
		local_heed(ctx, conn->link);
		local_grow(conn, GROWN_ORDER);
		local_told(ctx, conn->link);
	}
}

fs_ns local_stall_next(const struct context *ctx)
{
	struct list *first = list_first(&ctx->stack->local->stalled);

	return first ? conn_of(first)->own.stalled_since + STALL_NS : FS_NEVER;
}

void local_stall_settle(struct context *ctx)
{
	while (local_stall_next(ctx) <= ctx->now)
		settle(ctx, conn_of(list_first(&ctx->stack->local->stalled)));
}
