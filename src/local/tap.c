/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tap.c - see tap.h.
 */
#include "local/tap.h"

#include "base/err.h"
#include "local/conn.h"
#include "local/link.h"
#include "local/link_internal.h"

/* How far the other side has what this one sent, its end with it. */
static uint64_t read_there(const struct local_conn *conn)
{
	/* Whose user has closed may have no slot any more. */
	uint64_t unread = conn->state == LOCAL_LEFT ? 0 : local_tx_unread(&conn->tx);

	return conn->tx.head - unread + (unread == 0 && conn->tap.end_out);
}

static void show(struct local_conn *conn, enum local_seen what, bool out, uint64_t seq, size_t len)
{
	struct local_segment segment = {
		.what = what,
		.out = out,
		.seq = seq,
		.ack = out ? conn->tap.shown + conn->tap.end_in : read_there(conn),
		.len = len,
	};

	if (!conn->tap.is_over)
		conn->link->ops->tap(conn->link->context, conn, &segment);
}

/* Where what goes out, or comes in, next begins. */
static uint64_t next(const struct local_conn *conn, bool out)
{
	return out ? conn->tx.head + conn->tap.end_out : conn->tap.shown + conn->tap.end_in;
}

void local_tap_open(struct local_conn *conn, bool out)
{
	conn->flags |= LOCAL_TAPPED;
	conn->tap.serial = ++conn->link->tapped[out];
	conn->tap.dialled = out;
	show(conn, LOCAL_SEEN_SYN, out, 0, 0);
}

void local_tap_answer(struct local_conn *conn, bool out)
{
	if (conn->tap.answered)
		return;
	conn->tap.answered = true;
	show(conn, LOCAL_SEEN_SYN_ACK, out, 0, 0);
	show(conn, LOCAL_SEEN_ACK, !out, next(conn, !out), 0); /* bytes may have gone before */
}

void local_tap_fail(struct local_conn *conn, bool out, bool refused)
{
	if (refused)
		local_tap_reset(conn, out);
	conn->tap.is_over = true;
}

void local_tap_sent(struct local_conn *conn, size_t n)
{
	show(conn, LOCAL_SEEN_BYTES, true, conn->tx.head - n, n);
}

/* Bytes that came and were not shown, up to @end. */
static void show_up_to(struct local_conn *conn, uint64_t end)
{
	uint64_t from = conn->tap.shown;

	if (from >= end)
		return;
	local_tap_answer(conn, !conn->tap.dialled); /* who reads may come before the message that says so */
	show(conn, LOCAL_SEEN_BYTES, false, from, (size_t)(end - from));
	conn->tap.shown = end;
}

void local_tap_came(struct local_conn *conn, uint64_t turn)
{
	if (turn - conn->rx.pos <= (uint64_t)conn->rx.mask + 1)
		show_up_to(conn, turn);
}

void local_tap_received(struct local_conn *conn, size_t n)
{
	show_up_to(conn, conn->rx.pos + n);
}

void local_tap_end(struct local_conn *conn, bool out)
{
	bool *end = out ? &conn->tap.end_out : &conn->tap.end_in;

	if (*end)
		return;
	if (!out && conn->state != LOCAL_LEFT)
		show_up_to(conn, conn->rx.seen_head);
	show(conn, LOCAL_SEEN_FIN, out, next(conn, out), 0);
	*end = true;
	if (!out)
		show(conn, LOCAL_SEEN_ACK, true, next(conn, true), 0);
}

void local_tap_reset(struct local_conn *conn, bool out)
{
	if (!out && conn->state != LOCAL_LEFT)
		show_up_to(conn, conn->rx.seen_head);
	show(conn, LOCAL_SEEN_RESET, out, next(conn, out), 0);
	conn->tap.is_over = true;
}

void local_tap_bytes(const struct local_conn *conn, const struct local_segment *segment, struct local_piece piece[2])
{
	const uint8_t *ring = segment->out ? conn->tx.ring : conn->rx.ring;
	uint32_t mask = segment->out ? conn->tx.mask : conn->rx.mask;
	size_t at = segment->seq & mask, first = FS_MIN(segment->len, (size_t)mask + 1 - at);

	piece[0] = (struct local_piece){ ring + at, first };
	piece[1] = (struct local_piece){ ring, segment->len - first };
}
