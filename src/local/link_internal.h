/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * link_internal.h - what link.c and conn.c know of each other.
 *
 * Threads: holder of the stack's lock only.
 */
#ifndef FSOCK_LOCAL_LINK_INTERNAL_H
#define FSOCK_LOCAL_LINK_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "local/conn.h"
#include "local/link.h"

/* @conn has @kind to say; it is said as soon as there is room. */
void local_say(struct local_conn *conn, enum local_kind kind);

/* The link is no more, because of what the other side left. */
void local_link_fail(struct local_link *link, enum local_end why);

/* The rings of datagrams of a link that begins. */
void local_datagrams_init(struct local_link *link, struct local_header *header);

/* The ring of 1 << @order bytes at @unit of @side's half, or NULL: it does not lie in it. Both may be the other side's word. */
uint8_t *local_ring_in(const struct local_link *link, unsigned side, uint64_t unit, unsigned order);

/* A slot of ours that nobody has, as a fresh connection, or NULL. */
struct local_conn *local_slot_get(struct local_link *link);

/* @conn, which is not in use any more, goes back to where it came from, with its rings if they are ours. */
void local_slot_put(struct local_conn *conn);

/* Nobody has @conn any more here: it is free if the other side knows, and has left, too. */
void local_conn_settle(struct local_conn *conn);

/* A message of @cell->head's kind came for @conn, for which it may come. */
void local_conn_handle(struct local_conn *conn, const struct local_cell *cell);

/* What @conn has to say as @kind. */
void local_conn_fill(const struct local_conn *conn, enum local_kind kind, struct local_cell *cell);

/* The link is no more: what becomes of @conn. */
void local_conn_lose(struct local_conn *conn, enum local_end why);

/* inline definitions */

static inline uint32_t local_slot_of(const struct local_conn *conn)
{
	return (uint32_t)(conn - conn->link->conn);
}

/* Is slot @slot of @side's half? */
static inline bool local_slot_is_of(const struct local_link *link, uint32_t slot, unsigned side)
{
	return slot / link->slots == side;
}

static inline bool local_has(const struct local_conn *conn, uint32_t flag)
{
	return (conn->flags & flag) != 0;
}

#endif
