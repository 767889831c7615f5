/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conn.c - connections over a link: calls of their users, and messages of the other side.
 *
 * What sockets show is Linux's TCP, of a connection over loopback: errors and their order, what a close does to unread
 * bytes and to a peer that goes on sending, where receiving stops at urgent bytes. Or it is Linux's Unix sockets, of
 * connections between such (LOCAL_UNIX): their errors are told otherwise, and a side can say that it reads no more.
 *
 * Not here: bytes in the ring (stream.c), how messages travel (link.c).
 */
#include "local/conn.h"

#include <errno.h>
#include <string.h>

#include "base/counter.h"
#include "base/err.h"
#include "local/link.h"
#include "local/link_internal.h"

enum {
	/* Room of this part of the ring makes a connection writable again, as far as readiness goes. */
	WRITABLE_PART = 4,
};

#define EVERY_READY                                                                                                    \
	(LOCAL_READY_IN | LOCAL_READY_OUT | LOCAL_READY_ERR | LOCAL_READY_HUP | LOCAL_READY_RDHUP)

const char *const local_state_name[LOCAL_N_STATES] = { "FREE", "CONNECTING", "QUEUED", "ESTABLISHED", "OVER", "LEFT" };

static inline bool is_tapped(const struct local_conn *conn)
{
	return __builtin_expect(local_has(conn, LOCAL_TAPPED), 0);
}

/* --- state --- */

static bool has_user(const struct local_conn *conn)
{
	return conn->state == LOCAL_CONNECTING || conn->state == LOCAL_ESTABLISHED || conn->state == LOCAL_OVER;
}

static void tell(struct local_conn *conn, uint32_t edges)
{
	if (has_user(conn))
		conn->link->ops->event(conn->link->context, conn, edges);
}

static bool may_send(const struct local_conn *conn)
{
	return (conn->state == LOCAL_CONNECTING || conn->state == LOCAL_ESTABLISHED) && conn->error == 0 &&
	       !local_has(conn, LOCAL_FIN_SENT | LOCAL_PEER_LEFT);
}

static void set_plain(struct local_conn *conn)
{
	conn->is_plain = may_send(conn) && !is_tapped(conn);
}

static void set_state(struct local_conn *conn, enum local_state state)
{
	conn->state = (uint8_t)state;
	set_plain(conn);
}

static void set_flags(struct local_conn *conn, uint32_t flags)
{
	conn->flags |= (uint16_t)flags;
	set_plain(conn);
}

/* The connection ends with @error. One that waits in a listener goes on waiting, for who accepts it to learn of it. */
static void fail(struct local_conn *conn, int error)
{
	conn->error = error;
	if (has_user(conn))
		set_state(conn, LOCAL_OVER);
}

void local_conn_count(struct local_conn *conn)
{
	conn->link->rx_bytes += conn->rx.pos - conn->counted_rx;
	conn->link->tx_bytes += conn->tx.head - conn->counted_tx;
	conn->counted_rx = conn->rx.pos;
	conn->counted_tx = conn->tx.head;
}

void local_conn_settle(struct local_conn *conn)
{
	if (conn->state == LOCAL_LEFT && local_has(conn, LOCAL_PEER_LEFT) && !conn->owed)
		local_slot_put(conn);
}

static __attribute__((cold, noinline)) void tap_last(struct local_conn *conn, enum local_kind kind)
{
	if (kind == LOCAL_REFUSED)
		local_tap_fail(conn, true, conn->refusal == ECONNREFUSED);
	else if (kind == LOCAL_CLOSE)
		local_tap_end(conn, true);
	else
		local_tap_reset(conn, true);
}

/* Nobody has the connection here any more; @kind tells the other side. */
static void leave(struct local_conn *conn, enum local_kind kind)
{
	bool is_last = !local_has(conn, LOCAL_WE_LEFT);

	local_conn_count(conn);
	if (is_tapped(conn))
		tap_last(conn, kind);
	set_state(conn, LOCAL_LEFT);
	set_flags(conn, LOCAL_WE_LEFT);
	if (is_last && conn->link->ended == LOCAL_LINK_UP)
		local_say(conn, kind); /* which settles it when it is said */
	else
		local_conn_settle(conn);
}

int local_take_error(struct local_conn *conn)
{
	int error = conn->error;

	conn->error = 0;
	set_plain(conn);
	return error;
}

/* --- beginnings --- */

/* The half connections of @conn on its slot and rings. */
static void set_streams(struct local_conn *conn, unsigned owner)
{
	struct local_link *link = conn->link;
	unsigned out = link->side == owner ? 0 : 1;
	uint8_t *data = link->arena + local_data_at(link->slots, link->units, owner), *ring[2];
	struct local_slot *slot = (struct local_slot *)(void *)(link->arena + local_slots_at()) + local_slot_of(conn);

	for (unsigned way = 0; way < 2; way++)
		ring[way] = data + (size_t)conn->ring[way] * LOCAL_UNIT;
	local_tx_init(&conn->tx, ring[out], conn->order[out], &slot->way[out]);
	local_rx_init(&conn->rx, ring[1 - out], conn->order[1 - out], &slot->way[1 - out]);
}

static uint32_t units_of(unsigned order)
{
	return UINT32_C(1) << (order - LOCAL_ORDER_MIN);
}

/* Both byte rings from our half. */
static int get_rings(struct local_conn *conn)
{
	struct local_half *half = &conn->link->half;

	conn->ring[0] = local_half_get(half, units_of(conn->order[0]));
	if (conn->ring[0] == LOCAL_HALF_NONE)
		return -ENOBUFS;
	conn->ring[1] = local_half_get(half, units_of(conn->order[1]));
	if (conn->ring[1] != LOCAL_HALF_NONE)
		return 0;
	local_half_put(half, conn->ring[0], units_of(conn->order[0]));
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
	set_flags(conn, call->is_unix ? LOCAL_UNIX : 0);
	set_streams(conn, link->side);
	local_stream_clear(conn->tx.words);
	local_stream_clear(conn->rx.words);
	send_ahead(conn, call->ahead, call->ahead_len);
	if (link->taps && !call->is_unix)
		local_tap_open(conn, true);
	set_state(conn, LOCAL_CONNECTING);
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
	leave(conn, LOCAL_REFUSED);
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

static void on_open(struct local_conn *conn, const struct local_cell *cell)
{
	const struct local_open_args *args = &cell->open;
	struct local_link *link = conn->link;
	struct local_listener *listener;
	uint32_t reached;

	for (unsigned way = 0; way < 2; way++) {
		conn->order[way] = args->order[way];
		conn->ring[way] = args->ring[way];
		if (args->order[way] < LOCAL_ORDER_MIN || args->order[way] > LOCAL_ORDER_MAX ||
		    (uint64_t)args->ring[way] + units_of(args->order[way]) > link->units) {
			link->in_use--;
			local_link_fail(link, LOCAL_LINK_BAD_RING);
			return;
		}
	}
	reached = FS_MAX(args->ring[0] + units_of(args->order[0]), args->ring[1] + units_of(args->order[1]));
	conn->local = args->local;
	conn->remote = args->remote;
	conn->local_port = args->local_port;
	conn->remote_port = args->remote_port;
	set_streams(conn, 1 - link->side);
	set_flags(conn, LOCAL_ANSWERED | (args->is_unix ? LOCAL_UNIX : 0));
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
	set_state(conn, LOCAL_QUEUED);
	conn->listener = listener;
	list_push_back(&listener->queue, &conn->queued);
	listener->waiting++;
	if (is_tapped(conn))
		local_tap_answer(conn, true);
	if (args->is_unix)
		send_ahead(conn, listener->ahead, listener->ahead_len);
	local_say(conn, LOCAL_ACCEPTED);
	link->ops->incoming(link->context, listener);
}

static void on_accepted(struct local_conn *conn, const struct local_cell *cell)
{
	if (local_has(conn, LOCAL_UNIX) && conn->state == LOCAL_CONNECTING && !expect_ahead(conn, cell->word[0]))
		return;
	set_flags(conn, LOCAL_ANSWERED);
	if (is_tapped(conn))
		local_tap_answer(conn, false);
	if (conn->state == LOCAL_CONNECTING)
		set_state(conn, LOCAL_ESTABLISHED);
	tell(conn, LOCAL_READY_OUT);
}

/* There is a listener, which has no room in its queue, no memory, or nothing for this caller. */
static bool is_listened(uint32_t refusal)
{
	return refusal == ENOBUFS || refusal == ENOMEM || refusal == EACCES;
}

static void on_refused(struct local_conn *conn, const struct local_cell *cell)
{
	set_flags(conn, LOCAL_ANSWERED | LOCAL_PEER_LEFT);
	if (is_tapped(conn))
		local_tap_fail(conn, false, !is_listened(cell->word[0]));
	if (conn->state == LOCAL_LEFT) {
		local_conn_settle(conn);
		return;
	}
	if (local_has(conn, LOCAL_WE_LEFT))
		return; /* its user has given it up (local_break()) */
	fail(conn, is_listened(cell->word[0]) ? (int)cell->word[0] : ECONNREFUSED);
	set_flags(conn, LOCAL_WE_LEFT);
	local_say(conn, LOCAL_CLOSE);
	tell(conn, EVERY_READY);
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
	set_state(conn, conn->error ? LOCAL_OVER : LOCAL_ESTABLISHED);
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
		leave(conn, LOCAL_RESET);
}

/* --- sending --- */

static size_t total(const struct iovec *iov, int n)
{
	size_t sum = 0;

	for (int i = 0; i < n; i++)
		sum += iov[i].iov_len;
	return sum;
}

/* @n more bytes are in the ring. */
static void sent(struct local_conn *conn, size_t n)
{
	conn->link->counters[FS_CTR_local_bytes_out] += n;
	if (local_tx_tell(&conn->tx))
		local_say(conn, LOCAL_BYTES);
}

/* In pieces that the ring still has when they are captured: of a longer one the reader may have made room for the rest
 * by then. */
static __attribute__((cold, noinline)) ssize_t put_tapped(struct local_conn *conn, struct local_span *from)
{
	size_t done = 0, here;

	while ((here = local_span_room(from)) > 0) {
		struct iovec part = { (uint8_t *)from->iov->iov_base + from->done, FS_MIN(here, (size_t)conn->tx.mask + 1) };
		struct local_span piece = { .iov = &part, .left = 1 };
		ssize_t put = local_tx_put(&conn->tx, &piece);

		if (put < 0)
			return put;
		if (put == 0)
			break;
		local_tap_sent(conn, (size_t)put);
		from->done += (size_t)put;
		done += (size_t)put;
	}
	return (ssize_t)done;
}

/* What follows from having put @put bytes of @from, or an error. */
static inline ssize_t after_put(struct local_conn *conn, struct local_span *from, ssize_t put)
{
	if (__builtin_expect(put <= 0, 0)) {
		if (put == 0)
			return local_span_room(from) > 0 ? -EAGAIN : 0;
		local_link_fail(conn->link, LOCAL_LINK_BAD_POSITION);
		return -local_take_error(conn);
	}
	sent(conn, (size_t)put);
	return put;
}

static ssize_t send_plain(struct local_conn *conn, const struct iovec *iov, int n)
{
	struct local_span from = { .iov = iov, .left = n };

	return after_put(conn, &from, local_tx_put(&conn->tx, &from));
}

static ssize_t send_bytes(struct local_conn *conn, const struct iovec *iov, int n)
{
	struct local_span from = { .iov = iov, .left = n };

	return is_tapped(conn) ? after_put(conn, &from, put_tapped(conn, &from)) : send_plain(conn, iov, n);
}

int local_reserve(struct local_conn *conn, struct iovec part[2], size_t most)
{
	int pieces = may_send(conn) ? local_tx_reserve(&conn->tx, part, most) : -1;

	if (pieces == -EPROTO)
		local_link_fail(conn->link, LOCAL_LINK_BAD_POSITION);
	return FS_MAX(pieces, -1);
}

void local_commit(struct local_conn *conn, size_t n)
{
	local_tx_commit(&conn->tx, n);
	if (is_tapped(conn))
		local_tap_sent(conn, n);
	sent(conn, n);
}

static ssize_t send_urgent(struct local_conn *conn, const struct iovec *iov, int n)
{
	size_t len = total(iov, n);
	ssize_t room = local_tx_room(&conn->tx), put;

	/* Of bytes that do not all find room the last one is not among those that do. */
	if (len == 0 || room < (ssize_t)len)
		return send_bytes(conn, iov, n);
	local_tx_urge(&conn->tx, len);
	put = send_bytes(conn, iov, n);
	local_say(conn, LOCAL_URGENT);
	return put;
}

/* Where something is out of the ordinary. */
static __attribute__((noinline)) ssize_t send_any(struct local_conn *conn, const struct iovec *iov, int n,
						  uint32_t flags)
{
	/* Of a Unix socket an error waits for who receives, and the peer's end needs no answer. */
	if (local_has(conn, LOCAL_UNIX) && (conn->error || local_has(conn, LOCAL_PEER_LEFT)))
		return -EPIPE;
	if (conn->error)
		return -local_take_error(conn);
	if (local_has(conn, LOCAL_FIN_SENT) || conn->state == LOCAL_OVER)
		return -EPIPE;
	if (!local_has(conn, LOCAL_PEER_LEFT))
		return flags & LOCAL_SEND_OOB ? send_urgent(conn, iov, n) : send_bytes(conn, iov, n);
	/* The peer has closed in order. TCP would send, and learn of it by the reset that comes back. */
	if (total(iov, n) > 0)
		fail(conn, EPIPE);
	return (ssize_t)total(iov, n);
}

ssize_t local_send(struct local_conn *conn, const struct iovec *iov, int n, uint32_t flags)
{
	if (__builtin_expect(!conn->is_plain || flags, 0))
		return send_any(conn, iov, n, flags);
	return send_plain(conn, iov, n);
}

/* --- receiving --- */

/* Bytes that are there, of @enough that are wanted; 0 also where the link has just ended. */
static inline size_t look(struct local_conn *conn, size_t enough)
{
	ssize_t there = local_rx_look(&conn->rx, enough);

	if (__builtin_expect(there >= 0, 1))
		return (size_t)there;
	local_link_fail(conn->link, LOCAL_LINK_BAD_POSITION);
	return 0;
}

/* There is nothing to read: the end, an error, or not yet. In TCP's order, or that of Unix sockets. */
static ssize_t nothing(struct local_conn *conn)
{
	if (local_has(conn, LOCAL_UNIX) && conn->error)
		return -local_take_error(conn);
	if (local_has(conn, LOCAL_FIN_RECEIVED))
		return 0;
	if (conn->error)
		return -local_take_error(conn);
	return local_has(conn, LOCAL_SHUT_RD) || conn->state == LOCAL_OVER ? 0 : -EAGAIN;
}

/* What follows from having read @n bytes. */
static inline void after_read(struct local_conn *conn, size_t n)
{
	if (is_tapped(conn))
		local_tap_received(conn, n);
	local_rx_pass(&conn->rx, n);
	conn->link->counters[FS_CTR_local_bytes_in] += n;
	if (local_rx_give_back(&conn->rx))
		local_say(conn, LOCAL_ROOM);
}

/* Of @n bytes from the @skip-th on those before the urgent one; 0: it is the first. */
static size_t before_mark(const struct local_conn *conn, size_t skip, size_t n)
{
	uint64_t at = conn->rx.pos + skip;

	return conn->rx.urgent > at ? (size_t)FS_MIN((uint64_t)n, conn->rx.urgent - 1 - at) : n;
}

/* Is the byte behind the mark left out of the stream? */
static bool steps_over(const struct local_conn *conn)
{
	return !local_has(conn, LOCAL_OOB_INLINE);
}

static ssize_t recv_any(struct local_conn *conn, struct local_span *to, uint32_t flags, uint32_t offset)
{
	bool peek = flags & LOCAL_RECV_PEEK;
	size_t there = look(conn, SIZE_MAX), at = peek ? offset : 0, done = 0, here;

	while ((here = local_span_room(to)) > 0 && at < there) {
		size_t n = before_mark(conn, at, FS_MIN(here, there - at));

		if (n == 0) {
			if (done > 0)
				break;
			if (steps_over(conn)) {
				at++;
				continue;
			}
			n = FS_MIN(here, there - at);
		}
		if (flags & LOCAL_RECV_TRUNC)
			to->done += n;
		else
			local_rx_copy(&conn->rx, to, at, n);
		at += n;
		done += n;
	}
	if (!peek && at > 0)
		after_read(conn, at);
	return done > 0 || (here == 0 && there > 0) ? (ssize_t)done : nothing(conn);
}

static ssize_t recv_urgent(struct local_conn *conn, struct local_span *to, uint32_t flags)
{
	uint64_t urgent;

	look(conn, SIZE_MAX);
	urgent = conn->rx.urgent;
	if (urgent <= conn->rx.pos || urgent == conn->urgent_taken || !steps_over(conn))
		return -EINVAL;
	if (!(flags & LOCAL_RECV_TRUNC) && local_span_room(to) > 0)
		local_rx_copy(&conn->rx, to, (size_t)(urgent - 1 - conn->rx.pos), 1);
	if (!(flags & LOCAL_RECV_PEEK))
		conn->urgent_taken = urgent;
	return 1;
}

ssize_t local_recv(struct local_conn *conn, const struct iovec *iov, int n, uint32_t flags, uint32_t offset)
{
	struct local_span to = { .iov = iov, .left = n };
	size_t there;

	if (__builtin_expect(flags || n != 1, 0))
		return flags & LOCAL_RECV_OOB ? recv_urgent(conn, &to, flags) : recv_any(conn, &to, flags, offset);
	there = look(conn, FS_MAX(iov->iov_len, (size_t)1)); /* of no bytes, too: there may be some */
	if (__builtin_expect(there == 0, 0))
		return nothing(conn);
	if (__builtin_expect(conn->rx.urgent > conn->rx.pos, 0))
		return recv_any(conn, &to, 0, 0);
	there = FS_MIN(there, iov->iov_len);
	local_rx_copy(&conn->rx, &to, 0, there);
	after_read(conn, there);
	return (ssize_t)there;
}

uint32_t local_inq(struct local_conn *conn)
{
	size_t there = look(conn, SIZE_MAX), n = before_mark(conn, 0, there);

	if (n == 0 && there > 0)
		n = steps_over(conn) ? there - 1 : there;
	return (uint32_t)n;
}

uint32_t local_left(struct local_conn *conn)
{
	return (uint32_t)look(conn, SIZE_MAX) + local_has(conn, LOCAL_FIN_RECEIVED);
}

uint64_t local_outq(const struct local_conn *conn)
{
	return conn->state == LOCAL_OVER ? 0 : local_tx_unread(&conn->tx);
}

bool local_at_mark(struct local_conn *conn)
{
	look(conn, SIZE_MAX);
	return conn->rx.urgent == conn->rx.pos + 1;
}

void local_conn_set_inline(struct local_conn *conn, bool on)
{
	conn->flags = (uint16_t)(on ? conn->flags | LOCAL_OOB_INLINE : conn->flags & ~LOCAL_OOB_INLINE);
}

/* --- ends --- */

bool local_was_accepted(const struct local_conn *conn)
{
	return local_has(conn, LOCAL_ANSWERED) &&
	       (conn->error == 0 || conn->error == ECONNRESET || conn->error == EPIPE);
}

bool local_is_over(const struct local_conn *conn)
{
	if (local_has(conn, LOCAL_UNIX))
		return false; /* it has names, and can be shut, until it is closed */
	return conn->state == LOCAL_OVER || (local_has(conn, LOCAL_FIN_SENT) && local_has(conn, LOCAL_FIN_RECEIVED));
}

int local_shutdown(struct local_conn *conn, uint32_t how)
{
	if (local_is_over(conn))
		return -ENOTCONN;
	if (how & LOCAL_SHUT_READING) {
		set_flags(conn, LOCAL_SHUT_RD);
		if (local_has(conn, LOCAL_UNIX) && !local_has(conn, LOCAL_PEER_LEFT))
			local_say(conn, LOCAL_STOP);
	}
	if ((how & LOCAL_SHUT_WRITING) && !local_has(conn, LOCAL_FIN_SENT)) {
		set_flags(conn, LOCAL_FIN_SENT);
		if (is_tapped(conn))
			local_tap_end(conn, true);
		if (!local_has(conn, LOCAL_PEER_LEFT))
			local_say(conn, LOCAL_SHUTDOWN);
	}
	return 0;
}

int local_move(struct local_conn *conn, const struct local_place *place)
{
	if (conn->state != LOCAL_ESTABLISHED || local_has(conn, LOCAL_PEER_LEFT | LOCAL_PEER_MOVED))
		return -ENOTCONN;
	conn->place = *place;
	conn->tap.is_over = true;
	local_say(conn, LOCAL_MOVED);
	return 0;
}

uint64_t local_read_at(const struct local_conn *conn)
{
	return conn->rx.pos;
}

size_t local_sent(const struct local_conn *conn, uint64_t from, void *to, size_t len)
{
	const struct local_tx *tx = &conn->tx;
	size_t n = 0;

	if (tx->head - from > (uint64_t)tx->mask + 1)
		return 0;
	for (; n < len && from + n < tx->head; n++)
		((uint8_t *)to)[n] = tx->ring[(from + n) & tx->mask];
	return n;
}

void local_close(struct local_conn *conn)
{
	leave(conn, look(conn, 1) > 0 ? LOCAL_RESET : LOCAL_CLOSE);
}

void local_abort(struct local_conn *conn)
{
	leave(conn, LOCAL_RESET);
}

void local_break(struct local_conn *conn, int error)
{
	bool is_last = !local_has(conn, LOCAL_WE_LEFT);

	if (is_tapped(conn) && is_last)
		tap_last(conn, LOCAL_RESET);
	fail(conn, error);
	set_flags(conn, LOCAL_WE_LEFT);
	if (is_last && conn->link->ended == LOCAL_LINK_UP)
		local_say(conn, LOCAL_RESET);
}

/* No more bytes come than are there now. False: what the other side says of it cannot be, and the link is no more. */
static bool end_stream(struct local_conn *conn)
{
	/* Whose last word we have said has the slot already, perhaps: the words in it may be another connection's. */
	if (conn->rx.ended || conn->state == LOCAL_LEFT)
		return true;
	if (local_rx_look(&conn->rx, SIZE_MAX) < 0) {
		local_link_fail(conn->link, LOCAL_LINK_BAD_POSITION);
		return false;
	}
	conn->rx.ended = true;
	return true;
}

/* Both directions of a Unix socket are shut where its peer has closed. */
static bool is_left(const struct local_conn *conn)
{
	return local_has(conn, LOCAL_UNIX) && local_has(conn, LOCAL_PEER_LEFT);
}

/* What a reset is to who hears of it. */
static int error_of_reset(const struct local_conn *conn)
{
	return local_has(conn, LOCAL_FIN_RECEIVED) && !local_has(conn, LOCAL_UNIX) ? EPIPE : ECONNRESET;
}

/* Edges of an end in reading, and of both where we have ended writing. */
static uint32_t end_edges(const struct local_conn *conn)
{
	return LOCAL_READY_IN | LOCAL_READY_RDHUP |
	       (local_has(conn, LOCAL_FIN_SENT) || is_left(conn) ? LOCAL_READY_HUP : 0);
}

static void on_bytes(struct local_conn *conn, const struct local_cell *cell)
{
	tell(conn, LOCAL_READY_IN);
}

static void on_room(struct local_conn *conn, const struct local_cell *cell)
{
	tell(conn, LOCAL_READY_OUT);
}

static void on_urgent(struct local_conn *conn, const struct local_cell *cell)
{
	tell(conn, LOCAL_READY_PRI);
}

static void on_moved(struct local_conn *conn, const struct local_cell *cell)
{
	conn->place = cell->place;
	conn->tap.is_over = true;
	set_flags(conn, LOCAL_PEER_MOVED);
	if (conn->state == LOCAL_ESTABLISHED)
		conn->link->ops->moved(conn->link->context, conn);
}

static void on_shutdown(struct local_conn *conn, const struct local_cell *cell)
{
	if (!end_stream(conn))
		return;
	if (is_tapped(conn))
		local_tap_end(conn, false);
	set_flags(conn, LOCAL_FIN_RECEIVED);
	tell(conn, end_edges(conn));
}

static void on_stop(struct local_conn *conn, const struct local_cell *cell)
{
	if (!local_has(conn, LOCAL_UNIX)) {
		local_link_fail(conn->link, LOCAL_LINK_BAD_KIND);
		return;
	}
	set_flags(conn, LOCAL_FIN_SENT); /* which need not be said */
	tell(conn, LOCAL_READY_OUT | (local_has(conn, LOCAL_FIN_RECEIVED | LOCAL_SHUT_RD) ? LOCAL_READY_HUP : 0));
}

static void on_reset(struct local_conn *conn, const struct local_cell *cell)
{
	if (!end_stream(conn))
		return;
	if (is_tapped(conn))
		local_tap_reset(conn, false);
	set_flags(conn, LOCAL_PEER_LEFT);
	if (conn->state == LOCAL_LEFT) {
		local_conn_settle(conn);
		return;
	}
	fail(conn, error_of_reset(conn));
	tell(conn, EVERY_READY);
}

static void on_close(struct local_conn *conn, const struct local_cell *cell)
{
	if (!end_stream(conn))
		return;
	if (is_tapped(conn))
		local_tap_end(conn, false);
	set_flags(conn, LOCAL_FIN_RECEIVED | LOCAL_PEER_LEFT);
	if (conn->state == LOCAL_LEFT) {
		local_conn_settle(conn);
		return;
	}
	/* What the other side did not read before, TCP would have answered with a reset by now; of Unix sockets it is told
	 * as if it had come in time. */
	if (local_tx_unread(&conn->tx) > 0) {
		fail(conn, local_has(conn, LOCAL_UNIX) ? ECONNRESET : EPIPE);
		tell(conn, EVERY_READY);
		return;
	}
	tell(conn, end_edges(conn) | LOCAL_READY_OUT);
}

void local_conn_handle(struct local_conn *conn, const struct local_cell *cell)
{
	static void (*const handler[LOCAL_N_KINDS])(struct local_conn *conn, const struct local_cell *cell) = {
		[LOCAL_OPEN] = on_open,		[LOCAL_ACCEPTED] = on_accepted, [LOCAL_REFUSED] = on_refused,
		[LOCAL_BYTES] = on_bytes,	[LOCAL_ROOM] = on_room,		[LOCAL_URGENT] = on_urgent,
		[LOCAL_SHUTDOWN] = on_shutdown, [LOCAL_STOP] = on_stop,	[LOCAL_MOVED] = on_moved,
		[LOCAL_RESET] = on_reset,	[LOCAL_CLOSE] = on_close,
	};

	handler[cell->head](conn, cell);
}

/* One that waited in a listener is reset with that. */
static bool was_taken(const struct local_conn *conn)
{
	return !local_slot_is_of(conn->link, local_slot_of(conn), conn->link->side) ||
	       fs_load_relaxed(&conn->tx.words->taken) != 0;
}

static __attribute__((cold, noinline)) void tap_lost(struct local_conn *conn)
{
	if (conn->error)
		local_tap_reset(conn, false);
	else
		local_tap_end(conn, false);
}

/* The other process was killed. Its kernel would have closed: by a reset where it had not read all, else in order. */
static void orphan(struct local_conn *conn)
{
	if (conn->state == LOCAL_CONNECTING)
		fail(conn, ECONNREFUSED);
	else if (local_tx_unread(&conn->tx) > 0 || !was_taken(conn))
		fail(conn, error_of_reset(conn));
	else
		set_flags(conn, LOCAL_FIN_RECEIVED);
}

void local_conn_lose(struct local_conn *conn, enum local_end why)
{
	bool had_left = local_has(conn, LOCAL_PEER_LEFT);

	conn->owed = 0;
	conn->is_owing = false;
	set_flags(conn, LOCAL_PEER_LEFT | LOCAL_WE_LEFT);
	if (conn->state == LOCAL_LEFT) {
		local_conn_settle(conn);
		return;
	}
	if (had_left)
		return;
	if (why == LOCAL_LINK_DIED && (conn->rx.ended || local_rx_look(&conn->rx, SIZE_MAX) >= 0)) {
		orphan(conn);
	} else {
		conn->rx.seen_head = conn->rx.pos;
		fail(conn, ECONNRESET);
	}
	if (is_tapped(conn))
		tap_lost(conn);
	conn->rx.ended = true;
	tell(conn, EVERY_READY);
}

/* --- readiness --- */

/* With an error, or in OVER, neither call waits. */
static bool is_ended(const struct local_conn *conn)
{
	return conn->error != 0 || conn->state == LOCAL_OVER;
}

/* Half a ring is enough for any: it shall not be full before somebody looks. */
static uint32_t enough(const struct local_conn *conn)
{
	return FS_MAX(FS_MIN(conn->low_water, conn->rx.mask / 2), UINT32_C(1));
}

static bool is_readable(struct local_conn *conn)
{
	return local_inq(conn) >= enough(conn) || is_ended(conn) || local_has(conn, LOCAL_FIN_RECEIVED | LOCAL_SHUT_RD);
}

static bool is_writable(struct local_conn *conn)
{
	ssize_t room;

	if (is_ended(conn) || local_has(conn, LOCAL_FIN_SENT | LOCAL_PEER_LEFT))
		return true;
	if (conn->state != LOCAL_ESTABLISHED)
		return false;
	room = local_tx_room(&conn->tx);
	if (room < 0)
		local_link_fail(conn->link, LOCAL_LINK_BAD_POSITION);
	return room < 0 || room >= (ssize_t)(((size_t)conn->tx.mask + 1) / WRITABLE_PART);
}

uint32_t local_ready(struct local_conn *conn)
{
	bool in = is_readable(conn), out = is_writable(conn), over = conn->state == LOCAL_OVER;
	bool end_in = over || local_has(conn, LOCAL_FIN_RECEIVED | LOCAL_SHUT_RD);

	return (in ? LOCAL_READY_IN : 0) | (out ? LOCAL_READY_OUT : 0) | (conn->error ? LOCAL_READY_ERR : 0) |
	       (end_in ? LOCAL_READY_RDHUP : 0) |
	       (over || is_left(conn) || (end_in && local_has(conn, LOCAL_FIN_SENT)) ? LOCAL_READY_HUP : 0) |
	       (conn->rx.urgent > conn->rx.pos && conn->rx.urgent != conn->urgent_taken ? LOCAL_READY_PRI : 0);
}

uint32_t local_conn_wait(struct local_conn *conn, uint32_t wants)
{
	uint32_t always = LOCAL_READY_ERR | LOCAL_READY_HUP, ready = local_ready(conn) & (wants | always);

	if (ready)
		return ready;
	if (wants & LOCAL_READY_IN) {
		local_rx_ask(&conn->rx);
		/* What is there, but not to be read, such as one urgent byte, is not what is waited for. What is asked
		 * stays so: others may wait for the same, and a message too many costs less than one too few. */
		if (is_readable(conn))
			return local_ready(conn) & (wants | always);
	}
	if ((wants & LOCAL_READY_OUT) && conn->state == LOCAL_ESTABLISHED && local_tx_wait(&conn->tx) != 1)
		return local_ready(conn) & (wants | always);
	return 0;
}

void local_conn_set_low_water(struct local_conn *conn, uint32_t bytes)
{
	conn->low_water = bytes;
}

void local_conn_ask(struct local_conn *conn)
{
	if (!is_ended(conn) && !conn->rx.ended)
		local_rx_ask(&conn->rx);
}
