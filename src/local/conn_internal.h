/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conn_internal.h - what open.c and conn.c know of each other: the state of a connection, and who is told when it changes.
 *
 * Threads: holder of the stack's lock only.
 */
#ifndef FSOCK_LOCAL_CONN_INTERNAL_H
#define FSOCK_LOCAL_CONN_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "local/conn.h"
#include "local/link.h"
#include "local/link_internal.h"

#define LOCAL_EVERY_READY                                                                                              \
	(LOCAL_READY_IN | LOCAL_READY_OUT | LOCAL_READY_ERR | LOCAL_READY_HUP | LOCAL_READY_RDHUP)

/* Nobody has the connection here any more; @kind tells the other side. */
void local_conn_leave(struct local_conn *conn, enum local_kind kind);

/* Messages of how @conn begins, as local_conn_handle(). */
void local_on_open(struct local_conn *conn, const struct local_cell *cell);
void local_on_accepted(struct local_conn *conn, const struct local_cell *cell);
void local_on_refused(struct local_conn *conn, const struct local_cell *cell);

/* The writer of what comes goes on in another ring: @conn sees that, too. False: what it says of it cannot be. */
bool local_conn_turn(struct local_conn *conn);

/* Bytes that are there, of @enough that are wanted, in either ring; -EPROTO: what the other side says cannot be. */
ssize_t local_conn_look(struct local_conn *conn, size_t enough);

/* inline definitions */

static inline bool local_is_tapped(const struct local_conn *conn)
{
	return __builtin_expect(local_has(conn, LOCAL_TAPPED), 0);
}

static inline bool local_has_user(const struct local_conn *conn)
{
	return conn->state == LOCAL_CONNECTING || conn->state == LOCAL_ESTABLISHED || conn->state == LOCAL_OVER;
}

static inline void local_tell(struct local_conn *conn, uint32_t edges)
{
	if (local_has_user(conn))
		conn->link->ops->event(conn->link->context, conn, edges);
}

static inline bool local_may_send(const struct local_conn *conn)
{
	return (conn->state == LOCAL_CONNECTING || conn->state == LOCAL_ESTABLISHED) && conn->error == 0 &&
	       !local_has(conn, LOCAL_FIN_SENT | LOCAL_PEER_LEFT);
}

static inline void local_set_plain(struct local_conn *conn)
{
	conn->is_plain = local_may_send(conn) && !local_is_tapped(conn);
}

static inline void local_set_state(struct local_conn *conn, enum local_state state)
{
	conn->state = (uint8_t)state;
	local_set_plain(conn);
}

static inline void local_set_flags(struct local_conn *conn, uint32_t flags)
{
	conn->flags |= (uint16_t)flags;
	local_set_plain(conn);
}

/* The connection ends with @error. One that waits in a listener goes on waiting, for who accepts it to learn of it. */
static inline void local_conn_fail(struct local_conn *conn, int error)
{
	conn->error = error;
	if (local_has_user(conn))
		local_set_state(conn, LOCAL_OVER);
}

#endif
