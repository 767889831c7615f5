/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * open.c - connections over a link begin: slot and rings, the opening message and its answers, listeners and who waits
 * there, bytes ahead of the stream.
 *
 * Not here: what a connection does from then on, and how it ends (conn.c).
 */
#include <errno.h>

#include "base/counter.h"
#include "base/err.h"
#include "local/conn.h"
#include "local/conn_internal.h"

/* The half connections of @conn on its slot and rings. */
static void set_streams(struct local_conn *conn, unsigned owner)
{
	struct local_link *link = conn->link;
	unsigned out = link->side == owner ? 0 : 1;
	uint8_t *ring[2];
	struct local_slot *slot = (struct local_slot *)(void *)(link->arena + local_slots_at()) + local_slot_of(conn);

	for (unsigned way = 0; way < 2; way++)
		ring[way] = local_ring_in(link, owner, conn->ring[way], conn->order[way]);
	local_tx_init(&conn->tx, ring[out], conn->order[out], &slot->way[out]);
	local_rx_init(&conn->rx, ring[1 - out], conn->order[1 - out], &slot->way[1 - out]);
}

/* Both byte rings from our half. */
static int get_rings(struct local_conn *conn)
{
	struct local_half *half = &conn->link->half;

	conn->ring[0] = local_half_get(half, local_units_of(conn->order[0]));
	if (conn->ring[0] == LOCAL_HALF_NONE)
		return -ENOBUFS;
	conn->ring[1] = local_half_get(half, local_units_of(conn->order[1]));
	if (conn->ring[1] != LOCAL_HALF_NONE)
		return 0;
	local_half_put(half, conn->ring[0], local_units_of(conn->order[0]));
	return -ENOBUFS;
}

/* The ring is empty, and larger. */
static void send_ahead(struct local_conn *conn, const void *bytes, uint32_t len)
{
	struct iovec iov = { (void *)bytes, len };
	struct local_span from = { .iov = &iov, .left = 1 };

	fs_assert(len <= LOCAL_AHEAD_MAX);
	if (len == 0 || local_tx_put(&conn->tx, &from) != (ssize_t)len)
		return;
	conn->ahead_sent = (uint8_t)len;
	conn->counted_tx = len;
}

/* The other side says that @len bytes came ahead. False: that cannot be, and the link is no more. */
static bool expect_ahead(struct local_conn *conn, uint64_t len)
{
	if (len > LOCAL_AHEAD_MAX || (len > 0 && local_rx_look(&conn->rx, (size_t)len) < (ssize_t)len)) {
		local_link_fail(conn->link, LOCAL_LINK_BAD_POSITION);
		return false;
	}
	conn->ahead = (uint8_t)len;
	return true;
}

size_t local_take_ahead(struct local_conn *conn, void *to)
{
	struct iovec iov = { to, conn->ahead };
	struct local_span span = { .iov = &iov, .left = 1 };

	if (conn->ahead == 0)
		return 0;
	local_rx_copy(&conn->rx, &span, 0, iov.iov_len);
	local_rx_pass(&conn->rx, iov.iov_len);
	conn->counted_rx += iov.iov_len;
	conn->ahead = 0;
	return iov.iov_len;
}

int local_connect(struct local_link *link, const struct local_call *call, void *user, struct local_conn **made)
{
	struct local_conn *conn;

	fs_assert(call->send_order >= LOCAL_ORDER_MIN && call->send_order <= LOCAL_ORDER_MAX);
	fs_assert(call->receive_order >= LOCAL_ORDER_MIN && call->receive_order <= LOCAL_ORDER_MAX);
	if (link->ended != LOCAL_LINK_UP)
		return -ENOTCONN;
	conn = local_slot_get(link);
	if (!conn)
		return -ENOBUFS;
	conn->order[0] = call->send_order;
	conn->order[1] = call->receive_order;
	if (get_rings(conn) < 0) {
		link->in_use--;
		conn->next = link->free_slot;
		link->free_slot = local_slot_of(conn);
		return -ENOBUFS;
	}
	conn->user = user;
	conn->listener_id = call->listener;
	conn->local = call->local;
	conn->remote = call->remote;
	conn->local_port = call->local_port;
	conn->remote_port = call->remote_port;
	local_set_flags(conn, call->is_unix ? LOCAL_UNIX : 0);
	set_streams(conn, link->side);
	local_stream_clear(conn->tx.words);
	local_stream_clear(conn->rx.words);
	send_ahead(conn, call->ahead, call->ahead_len);
	if (link->taps && !call->is_unix)
		local_tap_open(conn, true);
	local_set_state(conn, LOCAL_CONNECTING);
	link->counters[FS_CTR_local_opened]++;
	*made = conn;
	local_say(conn, LOCAL_OPEN);
	return 0;
}

void local_conn_fill(const struct local_conn *conn, enum local_kind kind, struct local_cell *cell)
{
	if (kind == LOCAL_REFUSED)
		cell->word[0] = conn->refusal;
	if (kind == LOCAL_ACCEPTED)
		cell->word[0] = conn->ahead_sent;
	if (kind == LOCAL_MOVED)
		cell->place = conn->place;
	if (kind != LOCAL_OPEN)
		return;
	cell->open = (struct local_open_args){
		.listener = conn->listener_id,
		.ring = { conn->ring[0], conn->ring[1] },
		.remote = conn->local,
		.local = conn->remote,
		.remote_port = conn->local_port,
		.local_port = conn->remote_port,
		.order = { conn->order[0], conn->order[1] },
		.is_unix = local_has(conn, LOCAL_UNIX),
		.ahead = conn->ahead_sent,
	};
}

static void refuse(struct local_conn *conn, int error)
{
	conn->refusal = (uint32_t)error;
	conn->link->counters[FS_CTR_local_refused]++;
	local_conn_leave(conn, LOCAL_REFUSED);
}

/* May the other side's rings reach as far as @units? Whoever writes to one of their pages first pays for it. */
static bool affords(struct local_link *link, uint32_t units)
{
	if (units <= link->far_reached)
		return true;
	if (link->ops->affords && !link->ops->affords(link->context, units))
		return false;
	link->far_reached = units;
	return true;
}

void local_on_open(struct local_conn *conn, const struct local_cell *cell)
{
	const struct local_open_args *args = &cell->open;
	struct local_link *link = conn->link;
	struct local_listener *listener;
	uint32_t reached;

	for (unsigned way = 0; way < 2; way++) {
		conn->order[way] = args->order[way];
		conn->ring[way] = args->ring[way];
		if (!local_ring_in(link, 1 - link->side, args->ring[way], args->order[way])) {
			link->in_use--;
			local_link_fail(link, LOCAL_LINK_BAD_RING);
			return;
		}
	}
	reached = FS_MAX(args->ring[0] + local_units_of(args->order[0]), args->ring[1] + local_units_of(args->order[1]));
	conn->local = args->local;
	conn->remote = args->remote;
	conn->local_port = args->local_port;
	conn->remote_port = args->remote_port;
	set_streams(conn, 1 - link->side);
	local_set_flags(conn, LOCAL_ANSWERED | (args->is_unix ? LOCAL_UNIX : 0));
	if (args->is_unix && !expect_ahead(conn, args->ahead)) {
		link->in_use--;
		return;
	}
	if (link->taps && !args->is_unix)
		local_tap_open(conn, false);
	listener = link->ops->find(link->context, args->listener, &conn->local, conn->local_port);
	if (!listener) {
		refuse(conn, ECONNREFUSED);
		return;
	}
	if (link->ops->admits && !link->ops->admits(link->context, conn)) {
		refuse(conn, EACCES);
		return;
	}
	/* As Linux: one more than it was asked for. */
	if (listener->waiting > listener->backlog) {
		refuse(conn, ENOBUFS);
		return;
	}
	if (!affords(link, reached)) {
		refuse(conn, ENOMEM);
		return;
	}
	local_set_state(conn, LOCAL_QUEUED);
	conn->listener = listener;
	list_push_back(&listener->queue, &conn->queued);
	listener->waiting++;
	if (local_is_tapped(conn))
		local_tap_answer(conn, true);
	if (args->is_unix)
		send_ahead(conn, listener->ahead, listener->ahead_len);
	local_say(conn, LOCAL_ACCEPTED);
	link->ops->incoming(link->context, listener);
}

void local_on_accepted(struct local_conn *conn, const struct local_cell *cell)
{
	if (local_has(conn, LOCAL_UNIX) && conn->state == LOCAL_CONNECTING && !expect_ahead(conn, cell->word[0]))
		return;
	local_set_flags(conn, LOCAL_ANSWERED);
	if (local_is_tapped(conn))
		local_tap_answer(conn, false);
	if (conn->state == LOCAL_CONNECTING)
		local_set_state(conn, LOCAL_ESTABLISHED);
	local_tell(conn, LOCAL_READY_OUT);
}

/* There is a listener, which has no room in its queue, no memory, or nothing for this caller. */
static bool is_listened(uint32_t refusal)
{
	return refusal == ENOBUFS || refusal == ENOMEM || refusal == EACCES;
}

void local_on_refused(struct local_conn *conn, const struct local_cell *cell)
{
	local_set_flags(conn, LOCAL_ANSWERED | LOCAL_PEER_LEFT);
	if (local_is_tapped(conn))
		local_tap_fail(conn, false, !is_listened(cell->word[0]));
	if (conn->state == LOCAL_LEFT) {
		local_conn_settle(conn);
		return;
	}
	if (local_has(conn, LOCAL_WE_LEFT))
		return; /* its user has given it up (local_break()) */
	local_conn_fail(conn, is_listened(cell->word[0]) ? (int)cell->word[0] : ECONNREFUSED);
	local_set_flags(conn, LOCAL_WE_LEFT);
	local_say(conn, LOCAL_CLOSE);
	local_tell(conn, LOCAL_EVERY_READY);
}

void local_listener_init(struct local_listener *listener, uint32_t backlog, void *user)
{
	*listener = (struct local_listener){ .backlog = backlog, .user = user };
	list_init(&listener->queue);
}

static struct local_conn *take_oldest(struct local_listener *listener)
{
	struct list *oldest = list_pop_front(&listener->queue);
	struct local_conn *conn;

	if (!oldest)
		return NULL;
	conn = FS_CONTAINER_OF(oldest, struct local_conn, queued);
	conn->listener = NULL;
	listener->waiting--;
	return conn;
}

struct local_conn *local_accept(struct local_listener *listener, void *user)
{
	struct local_conn *conn = take_oldest(listener);

	if (!conn)
		return NULL;
	conn->user = user;
	local_set_state(conn, conn->error ? LOCAL_OVER : LOCAL_ESTABLISHED);
	fs_store_relaxed(&conn->rx.words->taken, 1);
	if (local_has(conn, LOCAL_PEER_MOVED))
		conn->link->ops->moved(conn->link->context, conn);
	conn->link->counters[FS_CTR_local_accepted]++;
	return conn;
}

void local_listener_close(struct local_listener *listener)
{
	struct local_conn *conn;

	while ((conn = take_oldest(listener)) != NULL)
		local_conn_leave(conn, LOCAL_RESET);
}
