/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conn.c - connections over a link once they have begun: calls of their users, and messages of the other side.
 *
 * What sockets show is Linux's TCP, of a connection over loopback: errors and their order, what a close does to unread
 * bytes and to a peer that goes on sending, where receiving stops at urgent bytes. Or it is Linux's Unix sockets, of
 * connections between such (LOCAL_UNIX): their errors are told otherwise, and a side can say that it reads no more.
 *
 * Not here: how they begin (open.c), larger rings (grow.c), bytes in a ring (stream.c), how messages travel (link.c).
 */
#include "local/conn.h"

#include <errno.h>
#include <string.h>

#include "base/counter.h"
#include "base/err.h"
#include "local/conn_internal.h"

enum {
	/* Room of this part of the ring makes a connection writable again, as far as readiness goes. */
	WRITABLE_PART = 4,
	WRITABLE_MOST = 16 << 10, /* bytes: or this */
};

const char *const local_state_name[LOCAL_N_STATES] = { "FREE", "CONNECTING", "QUEUED", "ESTABLISHED", "OVER", "LEFT" };

/* --- state --- */

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

void local_conn_leave(struct local_conn *conn, enum local_kind kind)
{
	bool is_last = !local_has(conn, LOCAL_WE_LEFT);

	list_remove(&conn->own.starved);
	local_conn_count(conn);
	if (local_is_tapped(conn))
		tap_last(conn, kind);
	local_set_state(conn, LOCAL_LEFT);
	local_set_flags(conn, LOCAL_WE_LEFT);
	if (is_last && conn->link->ended == LOCAL_LINK_UP)
		local_say(conn, kind); /* which settles it when it is said */
	else
		local_conn_settle(conn);
}

int local_take_error(struct local_conn *conn)
{
	int error = conn->error;

	conn->error = 0;
	local_set_plain(conn);
	return error;
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

/* There is no room for what its user has to send, who may have more than a ring holds. Of Unix sockets the kernel keeps no
 * more. */
static void starves(struct local_conn *conn)
{
	if (conn->state == LOCAL_ESTABLISHED && !conn->grown_order && !local_has(conn, LOCAL_UNIX) &&
	    !list_is_linked(&conn->own.starved))
		list_push_back(&conn->link->starving, &conn->own.starved);
}

/* What follows from having put @put bytes of @from, or an error. */
static inline ssize_t after_put(struct local_conn *conn, struct local_span *from, ssize_t put)
{
	if (__builtin_expect(put <= 0, 0)) {
		if (put == 0 && local_span_room(from) == 0)
			return 0;
		if (put == 0) {
			starves(conn);
			return -EAGAIN;
		}
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

	return local_is_tapped(conn) ? after_put(conn, &from, put_tapped(conn, &from)) : send_plain(conn, iov, n);
}

int local_reserve(struct local_conn *conn, struct iovec part[2], size_t most)
{
	int pieces = local_may_send(conn) ? local_tx_reserve(&conn->tx, part, most) : -1;

	if (pieces == -EPROTO)
		local_link_fail(conn->link, LOCAL_LINK_BAD_POSITION);
	if (pieces == 0)
		starves(conn);
	return FS_MAX(pieces, -1);
}

void local_commit(struct local_conn *conn, size_t n)
{
	local_tx_commit(&conn->tx, n);
	if (local_is_tapped(conn))
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
		local_conn_fail(conn, EPIPE);
	return (ssize_t)total(iov, n);
}

ssize_t local_send(struct local_conn *conn, const struct iovec *iov, int n, uint32_t flags)
{
	if (__builtin_expect(!conn->is_plain || flags, 0))
		return send_any(conn, iov, n, flags);
	return send_plain(conn, iov, n);
}

/* --- receiving --- */

static __attribute__((noinline)) ssize_t look_on(struct local_conn *conn, size_t enough)
{
	return local_conn_turn(conn) ? local_rx_look(&conn->rx, enough) : -EPROTO;
}

ssize_t local_conn_look(struct local_conn *conn, size_t enough)
{
	ssize_t there = local_rx_look(&conn->rx, enough);

	return __builtin_expect(conn->rx.cut, 0) ? look_on(conn, enough) : there;
}

/* Bytes that are there, of @enough that are wanted; 0 also where the link has just ended. */
static inline size_t look(struct local_conn *conn, size_t enough)
{
	ssize_t there = local_conn_look(conn, enough);

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
	if (local_is_tapped(conn))
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
		local_set_flags(conn, LOCAL_SHUT_RD);
		if (local_has(conn, LOCAL_UNIX) && !local_has(conn, LOCAL_PEER_LEFT))
			local_say(conn, LOCAL_STOP);
	}
	if ((how & LOCAL_SHUT_WRITING) && !local_has(conn, LOCAL_FIN_SENT)) {
		local_set_flags(conn, LOCAL_FIN_SENT);
		if (local_is_tapped(conn))
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
	uint64_t most = (uint64_t)tx->mask + 1 + (tx->before.turn ? (uint64_t)tx->before.mask + 1 : 0);
	size_t n = 0;

	if (tx->head - from > most)
		return 0;
	len = FS_MIN(len, (size_t)(tx->head - from));
	while (n < len) {
		size_t here = len - n;
		const uint8_t *bytes = local_ring_at(&tx->before, tx->ring, tx->mask, from + n, &here);

		memcpy((uint8_t *)to + n, bytes, here);
		n += here;
	}
	return n;
}

void local_close(struct local_conn *conn)
{
	bool broken = conn->state == LOCAL_OVER && !local_has(conn, LOCAL_WE_LEFT | LOCAL_PEER_LEFT); /* local_break() */

	local_conn_leave(conn, broken || look(conn, 1) > 0 ? LOCAL_RESET : LOCAL_CLOSE);
}

void local_abort(struct local_conn *conn)
{
	local_conn_leave(conn, LOCAL_RESET);
}

void local_break(struct local_conn *conn, int error)
{
	bool is_last = !local_has(conn, LOCAL_WE_LEFT);

	list_remove(&conn->own.starved);
	local_conn_fail(conn, error);
	/* A slot of the other side's is its own again with our last word, which waits for the user to let go of it. */
	if (!local_slot_is_of(conn->link, local_slot_of(conn), conn->link->side))
		return;
	if (local_is_tapped(conn) && is_last)
		tap_last(conn, LOCAL_RESET);
	local_set_flags(conn, LOCAL_WE_LEFT);
	if (is_last && conn->link->ended == LOCAL_LINK_UP)
		local_say(conn, LOCAL_RESET);
}

/* No more bytes come than are there now. False: what the other side says of it cannot be, and the link is no more. */
static bool end_stream(struct local_conn *conn)
{
	/* Whose last word we have said has the slot already, perhaps: the words in it may be another connection's. */
	if (conn->rx.ended || conn->state == LOCAL_LEFT)
		return true;
	if (local_conn_look(conn, SIZE_MAX) < 0) {
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
	local_tell(conn, LOCAL_READY_IN);
}

static void on_room(struct local_conn *conn, const struct local_cell *cell)
{
	local_tell(conn, LOCAL_READY_OUT);
}

static void on_urgent(struct local_conn *conn, const struct local_cell *cell)
{
	local_tell(conn, LOCAL_READY_PRI);
}

static void on_moved(struct local_conn *conn, const struct local_cell *cell)
{
	conn->place = cell->place;
	conn->tap.is_over = true;
	local_set_flags(conn, LOCAL_PEER_MOVED);
	if (conn->state == LOCAL_ESTABLISHED)
		conn->link->ops->moved(conn->link->context, conn);
}

static void on_shutdown(struct local_conn *conn, const struct local_cell *cell)
{
	if (!end_stream(conn))
		return;
	if (local_is_tapped(conn))
		local_tap_end(conn, false);
	local_set_flags(conn, LOCAL_FIN_RECEIVED);
	local_tell(conn, end_edges(conn));
}

static void on_stop(struct local_conn *conn, const struct local_cell *cell)
{
	if (!local_has(conn, LOCAL_UNIX)) {
		local_link_fail(conn->link, LOCAL_LINK_BAD_KIND);
		return;
	}
	local_set_flags(conn, LOCAL_FIN_SENT); /* which need not be said */
	local_tell(conn, LOCAL_READY_OUT | (local_has(conn, LOCAL_FIN_RECEIVED | LOCAL_SHUT_RD) ? LOCAL_READY_HUP : 0));
}

static void on_reset(struct local_conn *conn, const struct local_cell *cell)
{
	if (!end_stream(conn))
		return;
	if (local_is_tapped(conn))
		local_tap_reset(conn, false);
	local_set_flags(conn, LOCAL_PEER_LEFT);
	if (conn->state == LOCAL_LEFT) {
		local_conn_settle(conn);
		return;
	}
	local_conn_fail(conn, error_of_reset(conn));
	local_tell(conn, LOCAL_EVERY_READY);
}

static void on_close(struct local_conn *conn, const struct local_cell *cell)
{
	if (!end_stream(conn))
		return;
	if (local_is_tapped(conn))
		local_tap_end(conn, false);
	local_set_flags(conn, LOCAL_FIN_RECEIVED | LOCAL_PEER_LEFT);
	if (conn->state == LOCAL_LEFT) {
		local_conn_settle(conn);
		return;
	}
	/* What the other side did not read before, TCP would have answered with a reset by now; of Unix sockets it is told
	 * as if it had come in time. */
	if (local_tx_unread(&conn->tx) > 0) {
		local_conn_fail(conn, local_has(conn, LOCAL_UNIX) ? ECONNRESET : EPIPE);
		local_tell(conn, LOCAL_EVERY_READY);
		return;
	}
	local_tell(conn, end_edges(conn) | LOCAL_READY_OUT);
}

void local_conn_handle(struct local_conn *conn, const struct local_cell *cell)
{
	static void (*const handler[LOCAL_N_KINDS])(struct local_conn *conn, const struct local_cell *cell) = {
		[LOCAL_OPEN] = local_on_open,		[LOCAL_ACCEPTED] = local_on_accepted, [LOCAL_REFUSED] = local_on_refused,
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
		local_conn_fail(conn, ECONNREFUSED);
	else if (local_tx_unread(&conn->tx) > 0 || !was_taken(conn))
		local_conn_fail(conn, error_of_reset(conn));
	else
		local_set_flags(conn, LOCAL_FIN_RECEIVED);
}

void local_conn_lose(struct local_conn *conn, enum local_end why)
{
	bool had_left = local_has(conn, LOCAL_PEER_LEFT);

	conn->owed = 0;
	conn->is_owing = false;
	local_set_flags(conn, LOCAL_PEER_LEFT | LOCAL_WE_LEFT);
	if (conn->state == LOCAL_LEFT) {
		local_conn_settle(conn);
		return;
	}
	if (had_left)
		return;
	if (why == LOCAL_LINK_DIED && (conn->rx.ended || local_conn_look(conn, SIZE_MAX) >= 0)) {
		orphan(conn);
	} else {
		conn->rx.seen_head = conn->rx.pos;
		conn->ahead = 0;
		local_conn_fail(conn, ECONNRESET);
	}
	if (local_is_tapped(conn))
		tap_lost(conn);
	conn->rx.ended = true;
	local_tell(conn, LOCAL_EVERY_READY);
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
	return room < 0 || room >= (ssize_t)FS_MIN(((size_t)conn->tx.mask + 1) / WRITABLE_PART, (size_t)WRITABLE_MOST);
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
	if (!(wants & LOCAL_READY_OUT) || conn->state != LOCAL_ESTABLISHED)
		return 0;
	if (local_tx_wait(&conn->tx) != 1)
		return local_ready(conn) & (wants | always);
	starves(conn);
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
