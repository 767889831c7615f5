/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * grow.c - a connection goes on in a larger ring.
 *
 * Its writer has that of its own half, whoever opened the connection, and says where it lies and from which position on
 * bytes are in it, beside the head: so a reader that sees a byte of it can find it, though nothing else of the writer comes
 * any more. The ring before stays handed out, and is read to its end.
 *
 * Not here: when that is worth it (the user's), how bytes are found in either ring (stream.c).
 */
#include <errno.h>

#include "base/err.h"
#include "local/conn.h"
#include "local/conn_internal.h"

int local_grow(struct local_conn *conn, unsigned order)
{
	struct local_link *link = conn->link;

	fs_assert(order >= LOCAL_ORDER_MIN && order <= LOCAL_ORDER_MAX);
	if (!local_may_send(conn) || link->ended != LOCAL_LINK_UP)
		return -ENOTCONN;
	if (conn->grown_order || conn->tx.head == 0 || UINT32_C(1) << order <= conn->tx.mask + 1)
		return -ENOBUFS;
	conn->grown = local_half_get(&link->half, local_units_of(order));
	if (conn->grown == LOCAL_HALF_NONE)
		return -ENOBUFS;
	conn->grown_order = (uint8_t)order;
	local_tx_turn(&conn->tx, local_ring_in(link, link->side, conn->grown, order), order, conn->grown);
	local_tell(conn, LOCAL_READY_OUT);
	return 0;
}

bool local_conn_turn(struct local_conn *conn)
{
	struct local_turned to = local_rx_turned(&conn->rx);
	struct local_link *link = conn->link;
	const uint8_t *ring = local_ring_in(link, 1 - link->side, to.unit, to.order);

	if (!ring)
		return false;
	if (local_is_tapped(conn))
		local_tap_came(conn, to.turn);
	return local_rx_turn(&conn->rx, to.turn, ring, to.order);
}
