/* SPDX-License-Identifier: BSD-2-Clause */
/* Connections over a link as sockets see them: beginnings, bytes, urgent ones, half closes, resets, readiness; what differs
 * between Unix sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "local_rig.h"

enum { RING = 1 << LOCAL_ORDER_MIN };

/* --- beginnings --- */

static void local_connect__names_and_events(void **state)
{
	struct rig *r = *state;
	struct local_conn *conn = rig_dial(r, 0), *other;

	assert_int_equal(conn->state, LOCAL_CONNECTING);
	assert_int_equal(local_ready(conn), 0);
	rig_settle(r);
	assert_int_equal(r->side[1].incoming, 1);
	assert_int_equal(rig_edges(r, 0), LOCAL_READY_OUT);
	assert_int_equal(conn->state, LOCAL_ESTABLISHED);
	assert_int_equal(local_ready(conn), LOCAL_READY_OUT);
	other = local_accept(&r->side[1].listener, NULL);
	assert_null(local_accept(&r->side[1].listener, NULL));
	assert_true(ip_addr_equal(&other->local, &conn->remote));
	assert_true(ip_addr_equal(&other->remote, &conn->local));
	assert_int_equal(other->local_port, RIG_PORT);
	assert_int_equal(other->remote_port, 4000);
	assert_int_equal(r->side[0].counters[FS_CTR_local_opened], 1);
	assert_int_equal(r->side[1].counters[FS_CTR_local_accepted], 1);
	local_close(conn);
	local_close(other);
	rig_nothing_left(r);
}

static void local_connect__bytes_before_the_answer(void **state)
{
	struct rig *r = *state;
	struct local_conn *conn = rig_dial(r, 0), *other;

	assert_int_equal(rig_send(conn, "early", 5, 0), 5);
	local_close(conn);
	rig_settle(r);
	other = local_accept(&r->side[1].listener, NULL);
	assert_reads(other, "early");
	assert_int_equal(local_ready(other) & LOCAL_READY_RDHUP, LOCAL_READY_RDHUP);
	local_close(other);
	rig_nothing_left(r);
}

static void local_connect__refused(void **state)
{
	struct rig *r = *state;
	struct local_conn *conn;
	char byte;

	r->side[1].is_deaf = true;
	conn = rig_dial(r, 0);
	rig_send(conn, "early", 5, 0);
	local_shutdown(conn, LOCAL_SHUT_WRITING);
	rig_settle(r);
	assert_true(rig_edges(r, 0) & LOCAL_READY_ERR);
	assert_int_equal(r->side[1].counters[FS_CTR_local_refused], 1);
	assert_int_equal(local_ready(conn),
			 LOCAL_READY_IN | LOCAL_READY_OUT | LOCAL_READY_ERR | LOCAL_READY_HUP | LOCAL_READY_RDHUP);
	assert_int_equal(rig_recv(conn, &byte, 1, 0), -ECONNREFUSED);
	assert_int_equal(rig_recv(conn, &byte, 1, 0), 0);
	assert_int_equal(rig_send(conn, "x", 1, 0), -EPIPE);
	assert_int_equal(local_shutdown(conn, LOCAL_SHUT_WRITING), -ENOTCONN);
	local_close(conn);
	rig_nothing_left(r);
}

static void local_connect__closed_before_it_is_refused(void **state)
{
	struct rig *r = *state;

	r->side[1].is_deaf = true;
	local_close(rig_dial(r, 0));
	rig_nothing_left(r);
}

/* One more than the backlog says, as Linux; those after that learn that it is full. */
static void local_connect__backlog(void **state)
{
	struct rig *r = *state;
	struct local_conn *conn[4];

	for (unsigned i = 0; i < 4; i++)
		conn[i] = rig_dial(r, 0);
	rig_settle(r);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(conn[i]->state, LOCAL_ESTABLISHED);
	assert_int_equal(local_take_error(conn[3]), ENOBUFS);
	local_close(conn[3]);
	rig_settle(r);
	assert_non_null(local_accept(&r->side[1].listener, NULL));
	conn[3] = rig_dial(r, 0);
	rig_settle(r);
	assert_int_equal(conn[3]->state, LOCAL_ESTABLISHED);
}

/* Issue 7: where the listener's side has no memory for rings that nobody touched yet; those that were used serve again. */
static void local_connect__no_memory_at_the_other_side(void **state)
{
	struct rig *r = *state;
	struct local_conn *conn = rig_dial(r, 0), *further;

	r->side[1].most = r->side[0].link->half.reached;
	rig_settle(r);
	assert_int_equal(conn->state, LOCAL_ESTABLISHED);
	further = rig_dial(r, 0);
	rig_settle(r);
	assert_int_equal(local_take_error(further), ENOMEM);
	assert_int_equal(r->side[1].link->far_reached, r->side[1].most);
	local_close(further);
	local_close(conn);
	local_close(local_accept(&r->side[1].listener, NULL));
	rig_settle(r);
	conn = rig_dial(r, 0);
	rig_settle(r);
	assert_int_equal(conn->state, LOCAL_ESTABLISHED);
}

/* There is a listener, so that the caller does not take it for gone; and nothing in its queue. */
static void local_connect__unwelcome_at_the_other_side(void **state)
{
	struct rig *r = *state;
	struct local_conn *conn;

	r->side[1].unwelcome = true;
	conn = rig_dial(r, 0);
	rig_settle(r);
	assert_int_equal(conn->state, LOCAL_OVER);
	assert_int_equal(local_take_error(conn), EACCES);
	assert_int_equal(r->side[1].listener.waiting, 0);
	local_close(conn);
	rig_settle(r);
	assert_int_equal(r->side[0].link->in_use + r->side[1].link->in_use, 0);
}

static void local_connect__no_slot_and_no_room(void **state)
{
	struct rig *r = *state;
	struct local_call call = {
		.listener = RIG_LISTENER, .remote_port = RIG_PORT, .send_order = 17, .receive_order = 16
	};
	struct local_conn *conn[RIG_SLOTS + 1];

	/* 64 units: 32 and 16, then 32 are not there any more, nor 16 for the second ring. */
	assert_int_equal(local_connect(r->side[0].link, &call, NULL, &conn[0]), 0);
	assert_int_equal(local_connect(r->side[0].link, &call, NULL, &conn[1]), -ENOBUFS);
	call.send_order = 16;
	assert_int_equal(local_connect(r->side[0].link, &call, NULL, &conn[1]), -ENOBUFS);
	assert_int_equal(r->side[0].link->half.used, 48);
	local_close(conn[0]);
	rig_settle(r);
	local_close(local_accept(&r->side[1].listener, NULL));
	rig_nothing_left(r);
	for (unsigned i = 0; i < RIG_SLOTS; i++)
		conn[i] = rig_dial(r, 0);
	call.send_order = call.receive_order = LOCAL_ORDER_MIN;
	assert_int_equal(local_connect(r->side[0].link, &call, NULL, &conn[RIG_SLOTS]), -ENOBUFS);
}

/* Both sides dial at once, over the same link. */
static void local_connect__both_ways(void **state)
{
	struct rig *r = *state;
	struct local_conn *dialled[2] = { rig_dial(r, 0), rig_dial(r, 1) }, *taken[2];

	rig_settle(r);
	for (unsigned i = 0; i < 2; i++) {
		taken[i] = local_accept(&r->side[i].listener, NULL);
		assert_int_equal(rig_send(dialled[1 - i], "to", 2, 0), 2);
		assert_int_equal(rig_send(taken[i], "fro", 3, 0), 3);
		assert_reads(taken[i], "to");
		assert_reads(dialled[1 - i], "fro");
	}
	for (unsigned i = 0; i < 2; i++) {
		local_close(dialled[i]);
		local_close(taken[i]);
	}
	rig_nothing_left(r);
}

/* A slot goes on to the next connection only when both have let go, and nothing of the former one shows. */
static void local_connect__slots_come_back(void **state)
{
	struct rig *r = *state;
	struct local_conn *ends[2];

	for (unsigned i = 0; i < 5 * RIG_SLOTS; i++) {
		rig_connect(r, ends);
		assert_int_equal(rig_send(ends[0], "question", 8, 0), 8);
		assert_reads(ends[1], "question");
		assert_int_equal(rig_send(ends[1], "answer", 6, 0), 6);
		local_close(ends[i % 2]);
		rig_settle(r);
		assert_int_equal(local_link_is_idle(r->side[0].link), false);
		if (i % 2)
			assert_reads(ends[0], "answer");
		local_close(ends[1 - i % 2]);
		rig_nothing_left(r);
	}
}

/* Its owner uses the slot again before the other side has seen the end of who had it first. */
static void local_connect__slot_back_before_its_end_is_seen(void **state)
{
	struct rig *r = *state;
	struct local_conn *ends[2], *next;

	rig_connect(r, ends);
	rig_send(ends[0], "first", 5, 0);
	assert_reads(ends[1], "first");
	local_close(ends[1]);
	local_link_poll(r->side[0].link, RIG_ALL);
	local_shutdown(ends[0], LOCAL_SHUT_WRITING);
	local_close(ends[0]);
	next = rig_dial(r, 0);
	assert_ptr_equal(next, ends[0]);
	rig_send(next, "2nd", 3, 0);
	rig_settle(r);
	assert_int_equal(r->side[1].link->ended, LOCAL_LINK_UP);
	assert_reads(local_accept(&r->side[1].listener, NULL), "2nd");
}

static void local_listener_close__resets_who_waits(void **state)
{
	struct rig *r = *state;
	struct local_conn *conn = rig_dial(r, 0);

	rig_settle(r);
	local_listener_close(&r->side[1].listener);
	rig_settle(r);
	assert_int_equal(local_take_error(conn), ECONNRESET);
	local_close(conn);
	rig_nothing_left(r);
}

/* --- bytes --- */

static void local_send__until_full_and_on(void **state)
{
	struct rig *r = *state;
	static uint8_t block[RING], got[RING];
	struct local_conn *ends[2];

	rig_connect(r, ends);
	for (unsigned i = 0; i < RING; i++)
		block[i] = (uint8_t)(i * 3 + i / 100);
	assert_int_equal(rig_send(ends[0], block, RING - 1, 0), RING - 1);
	assert_int_equal(local_ready(ends[0]), 0);
	assert_int_equal(rig_send(ends[0], block + RING - 1, 5, 0), 1);
	assert_int_equal(rig_send(ends[0], block, 1, 0), -EAGAIN);
	assert_int_equal(rig_send(ends[0], block, 0, 0), 0);
	assert_int_equal(local_outq(ends[0]), RING);
	assert_int_equal(local_conn_wait(ends[0], LOCAL_READY_OUT), 0);
	assert_int_equal(rig_recv(ends[1], got, RING / 2 - 1, 0), RING / 2 - 1);
	rig_settle(r);
	assert_int_equal(rig_edges(r, 0), 0);
	assert_int_equal(rig_recv(ends[1], got + RING / 2 - 1, RING, 0), RING / 2 + 1);
	assert_memory_equal(block, got, RING);
	rig_settle(r);
	assert_int_equal(rig_edges(r, 0), LOCAL_READY_OUT);
	assert_int_equal(local_outq(ends[0]), 0);
	assert_int_equal(local_conn_wait(ends[0], LOCAL_READY_OUT), LOCAL_READY_OUT);
	assert_int_equal(r->side[0].counters[FS_CTR_local_bytes_out], RING);
	assert_int_equal(r->side[1].counters[FS_CTR_local_bytes_in], RING);
}

static void local_recv__pieces_and_peeks(void **state)
{
	struct rig *r = *state;
	char a[4] = "", b[4] = "";
	struct iovec iov[3] = { { a, 3 }, { NULL, 0 }, { b, 3 } };
	struct local_conn *ends[2];

	rig_connect(r, ends);
	assert_int_equal(local_recv(ends[1], iov, 3, 0, 0), -EAGAIN);
	rig_send(ends[0], "abcdefgh", 8, 0);
	assert_int_equal(local_recv(ends[1], iov, 3, LOCAL_RECV_PEEK, 4), 4);
	assert_string_equal(a, "efg");
	assert_string_equal(b, "h");
	assert_int_equal(local_recv(ends[1], iov, 3, LOCAL_RECV_PEEK, 8), -EAGAIN);
	assert_int_equal(local_inq(ends[1]), 8);
	assert_int_equal(local_recv(ends[1], iov, 3, 0, 0), 6);
	assert_string_equal(a, "abc");
	assert_string_equal(b, "def");
	assert_int_equal(local_recv(ends[1], iov, 0, 0, 0), 0);
	assert_int_equal(local_recv(ends[1], iov, 1, LOCAL_RECV_TRUNC, 0), 2);
	assert_string_equal(a, "abc");
	assert_int_equal(local_inq(ends[1]), 0);
}

static void local_recv__impossible_position(void **state)
{
	struct rig *r = *state;
	struct local_conn *ends[2];
	char byte;

	rig_connect(r, ends);
	ends[1]->rx.words->head = RING + 1;
	assert_int_equal(rig_recv(ends[1], &byte, 1, 0), -ECONNRESET);
	assert_int_equal(r->side[1].link->ended, LOCAL_LINK_BAD_POSITION);
}

static void local_send__impossible_position(void **state)
{
	struct rig *r = *state;
	static uint8_t block[RING];
	struct local_conn *ends[2];

	rig_connect(r, ends);
	rig_send(ends[1], block, RING, 0);
	ends[1]->tx.words->tail = RING + 1;
	assert_int_equal(rig_send(ends[1], "x", 1, 0), -ECONNRESET);
	assert_int_equal(r->side[1].link->ended, LOCAL_LINK_BAD_POSITION);
}

/* --- urgent bytes --- */

static void local_send__urgent(void **state)
{
	struct rig *r = *state;
	struct local_conn *ends[2];
	char got[8] = "";

	rig_connect(r, ends);
	rig_send(ends[0], "ab", 2, 0);
	assert_int_equal(rig_send(ends[0], "c!", 2, LOCAL_SEND_OOB), 2);
	rig_send(ends[0], "de", 2, 0);
	rig_settle(r);
	assert_true(rig_edges(r, 1) & LOCAL_READY_PRI);
	assert_true(local_ready(ends[1]) & LOCAL_READY_PRI);
	assert_int_equal(local_inq(ends[1]), 3);
	assert_false(local_at_mark(ends[1]));
	assert_int_equal(rig_recv(ends[1], got, 8, LOCAL_RECV_PEEK), 3);
	assert_reads(ends[1], "abc");
	assert_true(local_at_mark(ends[1]));
	assert_int_equal(rig_recv(ends[1], got, 1, LOCAL_RECV_OOB | LOCAL_RECV_PEEK), 1);
	assert_int_equal(rig_recv(ends[1], got, 1, LOCAL_RECV_OOB), 1);
	assert_int_equal(got[0], '!');
	assert_int_equal(rig_recv(ends[1], got, 1, LOCAL_RECV_OOB), -EINVAL);
	assert_int_equal(local_ready(ends[1]) & LOCAL_READY_PRI, 0);
	assert_int_equal(local_inq(ends[1]), 2);
	assert_reads(ends[1], "de");
	assert_false(local_at_mark(ends[1]));
}

static void local_send__urgent_inline(void **state)
{
	struct rig *r = *state;
	struct local_conn *ends[2];
	char got[8] = "";

	rig_connect(r, ends);
	local_conn_set_inline(ends[1], true);
	rig_send(ends[0], "a!", 2, LOCAL_SEND_OOB);
	rig_send(ends[0], "b", 1, 0);
	assert_int_equal(rig_recv(ends[1], got, 1, LOCAL_RECV_OOB), -EINVAL);
	assert_reads(ends[1], "a");
	assert_reads(ends[1], "!b");
}

/* A mark that is overtaken makes its byte an ordinary one. */
static void local_send__urgent_twice(void **state)
{
	struct rig *r = *state;
	struct local_conn *ends[2];

	rig_connect(r, ends);
	rig_send(ends[0], "a!", 2, LOCAL_SEND_OOB);
	rig_send(ends[0], "b?", 2, LOCAL_SEND_OOB);
	rig_send(ends[0], "c", 1, 0);
	assert_reads(ends[1], "a!b");
	assert_reads(ends[1], "c");
}

static void local_recv__only_an_urgent_byte(void **state)
{
	struct rig *r = *state;
	struct local_conn *ends[2];
	char byte;

	rig_connect(r, ends);
	rig_send(ends[0], "!", 1, LOCAL_SEND_OOB);
	assert_int_equal(local_inq(ends[1]), 0);
	assert_int_equal(local_conn_wait(ends[1], LOCAL_READY_IN), 0);
	rig_settle(r);
	assert_int_equal(rig_edges(r, 1), LOCAL_READY_PRI);
	rig_send(ends[0], "a", 1, 0);
	rig_settle(r);
	assert_int_equal(rig_edges(r, 1), LOCAL_READY_IN);
	assert_reads(ends[1], "a");
	assert_int_equal(rig_recv(ends[1], &byte, 1, 0), -EAGAIN);
}

/* --- ends --- */

static void local_shutdown__half(void **state)
{
	struct rig *r = *state;
	struct local_conn *ends[2];
	char byte;

	rig_connect(r, ends);
	rig_send(ends[0], "last", 4, 0);
	assert_int_equal(local_shutdown(ends[0], LOCAL_SHUT_WRITING), 0);
	assert_int_equal(local_shutdown(ends[0], LOCAL_SHUT_WRITING), 0);
	assert_int_equal(rig_send(ends[0], "x", 1, 0), -EPIPE);
	rig_settle(r);
	assert_int_equal(rig_edges(r, 1), LOCAL_READY_IN | LOCAL_READY_RDHUP);
	assert_reads(ends[1], "last");
	assert_int_equal(rig_recv(ends[1], &byte, 1, 0), 0);
	assert_int_equal(local_ready(ends[1]), LOCAL_READY_IN | LOCAL_READY_OUT | LOCAL_READY_RDHUP);
	assert_int_equal(rig_send(ends[1], "back", 4, 0), 4);
	assert_reads(ends[0], "back");
	assert_int_equal(local_shutdown(ends[1], LOCAL_SHUT_WRITING), 0);
	rig_settle(r);
	assert_int_equal(local_ready(ends[0]), LOCAL_READY_IN | LOCAL_READY_OUT | LOCAL_READY_RDHUP | LOCAL_READY_HUP);
	local_close(ends[0]);
	local_close(ends[1]);
	rig_nothing_left(r);
}

static void local_shutdown__reading(void **state)
{
	struct rig *r = *state;
	struct local_conn *ends[2];
	char byte;

	rig_connect(r, ends);
	assert_int_equal(local_shutdown(ends[1], LOCAL_SHUT_READING), 0);
	assert_int_equal(rig_recv(ends[1], &byte, 1, 0), 0);
	rig_send(ends[0], "still", 5, 0); /* as Linux: what comes is there */
	assert_reads(ends[1], "still");
	assert_int_equal(rig_recv(ends[1], &byte, 1, 0), 0);
}

static void local_close__in_order(void **state)
{
	struct rig *r = *state;
	struct local_conn *ends[2];
	char byte;

	rig_connect(r, ends);
	rig_send(ends[0], "last", 4, 0);
	local_close(ends[0]);
	rig_settle(r);
	assert_int_equal(rig_edges(r, 1), LOCAL_READY_IN | LOCAL_READY_OUT | LOCAL_READY_RDHUP);
	assert_reads(ends[1], "last");
	assert_int_equal(rig_recv(ends[1], &byte, 1, 0), 0);
	assert_int_equal(rig_send(ends[1], "x", 1, 0), 1); /* TCP learns by this that nobody reads */
	assert_int_equal(local_ready(ends[1]) & (LOCAL_READY_ERR | LOCAL_READY_HUP), LOCAL_READY_ERR | LOCAL_READY_HUP);
	assert_int_equal(rig_recv(ends[1], &byte, 1, 0), 0);
	assert_int_equal(rig_send(ends[1], "x", 1, 0), -EPIPE);
	local_close(ends[1]);
	rig_nothing_left(r);
}

static void local_close__unread_is_a_reset(void **state)
{
	struct rig *r = *state;
	struct local_conn *ends[2];
	char byte;

	rig_connect(r, ends);
	rig_send(ends[0], "unread", 6, 0);
	rig_send(ends[1], "on the way", 10, 0);
	local_close(ends[1]);
	rig_settle(r);
	assert_int_equal(local_ready(ends[0]) & LOCAL_READY_ERR, LOCAL_READY_ERR);
	assert_reads(ends[0], "on the way");
	assert_int_equal(rig_recv(ends[0], &byte, 1, 0), -ECONNRESET);
	assert_int_equal(rig_recv(ends[0], &byte, 1, 0), 0);
	assert_int_equal(rig_send(ends[0], "x", 1, 0), -EPIPE);
	local_close(ends[0]);
	rig_nothing_left(r);
}

/* Bytes that were under way to a side that has closed: as if a reset had come back for them. */
static void local_close__bytes_cross_it(void **state)
{
	struct rig *r = *state;
	struct local_conn *ends[2];

	rig_connect(r, ends);
	local_close(ends[1]);
	rig_send(ends[0], "too late", 8, 0);
	rig_settle(r);
	assert_int_equal(local_take_error(ends[0]), EPIPE);
	local_close(ends[0]);
	rig_nothing_left(r);
}

static void local_abort__after_the_peers_end(void **state)
{
	struct rig *r = *state;
	struct local_conn *ends[2];

	rig_connect(r, ends);
	local_shutdown(ends[1], LOCAL_SHUT_WRITING);
	rig_settle(r);
	local_abort(ends[1]);
	rig_settle(r);
	assert_int_equal(local_take_error(ends[0]), EPIPE); /* as TCP in CLOSE-WAIT */
	local_close(ends[0]);
	rig_nothing_left(r);
}

static void local_close__both_at_once(void **state)
{
	struct rig *r = *state;
	struct local_conn *ends[2];

	rig_connect(r, ends);
	rig_send(ends[0], "nobody reads this", 17, 0);
	local_close(ends[0]);
	local_abort(ends[1]);
	rig_nothing_left(r);
}

static void local_conn_wait__what_is_asked_for(void **state)
{
	struct rig *r = *state;
	struct local_conn *ends[2];

	rig_connect(r, ends);
	assert_int_equal(local_conn_wait(ends[1], LOCAL_READY_OUT), LOCAL_READY_OUT);
	assert_int_equal(local_conn_wait(ends[1], LOCAL_READY_IN), 0);
	rig_send(ends[0], "a", 1, 0);
	rig_settle(r);
	assert_int_equal(rig_edges(r, 1), LOCAL_READY_IN);
	assert_int_equal(local_conn_wait(ends[1], LOCAL_READY_IN), LOCAL_READY_IN);
	rig_send(ends[0], "b", 1, 0);
	rig_settle(r);
	assert_int_equal(rig_edges(r, 1), 0);
	local_abort(ends[0]);
	rig_settle(r);
	assert_int_equal(local_conn_wait(ends[1], 0), LOCAL_READY_ERR | LOCAL_READY_HUP);
}

static void local_conn_ask__the_next_edge(void **state)
{
	struct rig *r = *state;
	struct local_conn *ends[2];

	rig_connect(r, ends);
	rig_send(ends[0], "a", 1, 0);
	rig_settle(r);
	assert_int_equal(rig_edges(r, 1), 0);
	local_conn_ask(ends[1]); /* one byte is there already */
	rig_send(ends[0], "b", 1, 0);
	rig_settle(r);
	assert_int_equal(rig_edges(r, 1), LOCAL_READY_IN);
	rig_send(ends[0], "c", 1, 0);
	rig_settle(r);
	assert_int_equal(rig_edges(r, 1), 0);
}

static void local_ready__low_water(void **state)
{
	struct rig *r = *state;
	struct local_conn *ends[2];
	char bytes[1 << LOCAL_ORDER_MIN] = "";

	rig_connect(r, ends);
	local_conn_set_low_water(ends[1], 3);
	rig_send(ends[0], "ab", 2, 0);
	assert_int_equal(local_ready(ends[1]) & LOCAL_READY_IN, 0);
	assert_int_equal(local_conn_wait(ends[1], LOCAL_READY_IN), 0);
	rig_send(ends[0], "c", 1, 0);
	rig_settle(r);
	assert_int_equal(rig_edges(r, 1), LOCAL_READY_IN);
	assert_int_equal(local_ready(ends[1]) & LOCAL_READY_IN, LOCAL_READY_IN);
	assert_reads(ends[1], "abc");
	/* More than a ring can hold at once would never be there. */
	local_conn_set_low_water(ends[1], UINT32_MAX);
	rig_send(ends[0], bytes, sizeof(bytes) / 2, 0);
	assert_int_equal(local_ready(ends[1]) & LOCAL_READY_IN, LOCAL_READY_IN);
}

static void local_left__with_the_end(void **state)
{
	struct rig *r = *state;
	struct local_conn *ends[2];

	rig_connect(r, ends);
	rig_send(ends[0], "abc", 3, 0);
	assert_int_equal(local_left(ends[1]), 3);
	local_shutdown(ends[0], LOCAL_SHUT_WRITING);
	rig_settle(r);
	assert_int_equal(local_left(ends[1]), 4);
	assert_false(local_is_over(ends[1]));
	local_shutdown(ends[1], LOCAL_SHUT_WRITING);
	assert_true(local_is_over(ends[1]));
	assert_int_equal(local_shutdown(ends[1], LOCAL_SHUT_READING), -ENOTCONN);
	assert_reads(ends[1], "abc");
}

/* What is put where it goes is read as what was sent, over the ring's end, too. */
static void local_reserve__bytes_where_they_go(void **state)
{
	struct rig *r = *state;
	struct local_conn *ends[2];
	char bytes[1 << LOCAL_ORDER_MIN] = "";
	struct iovec part[2];

	rig_connect(r, ends);
	assert_int_equal(local_reserve(ends[0], part, SIZE_MAX), 1);
	assert_int_equal(part[0].iov_len, sizeof(bytes));
	assert_int_equal(local_reserve(ends[0], part, 3), 1);
	assert_int_equal(part[0].iov_len, 3);
	rig_send(ends[0], bytes, sizeof(bytes) - 2, 0);
	assert_int_equal(local_recv(ends[1], &(struct iovec){ bytes, sizeof(bytes) }, 1, 0, 0), sizeof(bytes) - 2);
	assert_int_equal(local_reserve(ends[0], part, 5), 2);
	assert_int_equal(part[0].iov_len + part[1].iov_len, 5);
	memcpy(part[0].iov_base, "ab", 2);
	memcpy(part[1].iov_base, "cd", 2);
	local_commit(ends[0], 4);
	assert_reads(ends[1], "abcd");
	rig_send(ends[0], bytes, sizeof(bytes), 0);
	assert_int_equal(local_reserve(ends[0], part, 1), 0);
	local_shutdown(ends[0], LOCAL_SHUT_WRITING);
	assert_int_equal(local_reserve(ends[0], part, 1), -1);
}

static void local_move__the_other_side_is_told(void **state)
{
	struct local_place place = { .port = 4711, .nonce = "0123456789abcde" };
	struct rig *r = *state;
	struct local_conn *ends[2];
	char again[8] = "";

	rig_connect(r, ends);
	rig_send(ends[0], "abcdef", 6, 0);
	rig_recv(ends[1], again, 4, 0);
	rig_send(ends[1], "xyz", 3, 0);
	assert_int_equal(local_move(ends[0], &place), 0);
	rig_settle(r);
	assert_int_equal(r->side[1].moved, 1);
	assert_true(ends[1]->flags & LOCAL_PEER_MOVED);
	assert_memory_equal(&ends[1]->place, &place, sizeof(place));
	assert_int_equal(local_move(ends[1], &place), -ENOTCONN);
	/* Each side has what the other one did not read. */
	assert_int_equal(local_sent(ends[0], local_read_at(ends[1]), again, sizeof(again)), 2);
	assert_memory_equal(again, "ef", 2);
	assert_int_equal(local_sent(ends[1], local_read_at(ends[0]), again, sizeof(again)), 3);
	assert_memory_equal(again, "xyz", 3);
	assert_int_equal(local_sent(ends[1], 1000, again, sizeof(again)), 0);
	local_close(ends[1]);
	local_close(ends[0]);
	rig_nothing_left(r);
}

static void local_move__before_it_is_accepted(void **state)
{
	const struct local_place place = { .port = 1 };
	struct rig *r = *state;
	struct local_conn *one = rig_dial(r, 0), *other;

	assert_int_equal(local_move(one, &place), -ENOTCONN);
	rig_settle(r);
	assert_int_equal(local_move(one, &place), 0);
	rig_settle(r);
	assert_int_equal(r->side[1].moved, 0);
	other = local_accept(&r->side[1].listener, r);
	assert_int_equal(r->side[1].moved, 1);
	local_close(other);
	rig_settle(r);
	local_close(one);
	rig_nothing_left(r);
}

static void local_move__nobody_there(void **state)
{
	const struct local_place place = { .port = 1 };
	struct rig *r = *state;
	struct local_conn *ends[2];

	rig_connect(r, ends);
	local_close(ends[1]);
	rig_settle(r);
	assert_int_equal(local_move(ends[0], &place), -ENOTCONN);
	local_close(ends[0]);
	rig_nothing_left(r);
}

/* The other side hears of a reset; the user learns of its error, and still has it to close. */
static void local_break__its_user_keeps_it(void **state)
{
	struct rig *r = *state;
	struct local_conn *ends[2];
	char byte;

	rig_connect(r, ends);
	local_break(ends[0], EHOSTUNREACH);
	rig_settle(r);
	assert_int_equal(rig_recv(ends[1], &byte, 1, 0), -ECONNRESET);
	local_close(ends[1]);
	rig_settle(r);
	assert_int_equal(ends[0]->state, LOCAL_OVER);
	assert_int_equal(local_ready(ends[0]) & (LOCAL_READY_ERR | LOCAL_READY_HUP), LOCAL_READY_ERR | LOCAL_READY_HUP);
	assert_int_equal(rig_send(ends[0], "x", 1, 0), -EHOSTUNREACH);
	assert_int_equal(rig_send(ends[0], "x", 1, 0), -EPIPE);
	local_close(ends[0]);
	rig_nothing_left(r);
}

/* Its owner may use a slot again once both sides have said their last: not while the user has it. */
static void local_break__of_a_slot_of_theirs(void **state)
{
	struct rig *r = *state;
	struct local_conn *ends[2], *again[2];
	char byte;

	rig_connect(r, ends);
	local_break(ends[1], EHOSTUNREACH);
	rig_settle(r);
	local_close(ends[0]);
	rig_settle(r);
	rig_connect(r, again);
	assert_int_equal(r->side[1].link->ended, LOCAL_LINK_UP);
	assert_int_equal(rig_send(ends[1], "x", 1, 0), -EHOSTUNREACH);
	local_close(ends[1]);
	rig_settle(r);
	assert_int_equal(rig_send(again[0], "y", 1, 0), 1);
	assert_int_equal(rig_recv(again[1], &byte, 1, 0), 1);
	local_break(again[1], EHOSTUNREACH);
	assert_int_equal(rig_send(again[1], "x", 1, 0), -EHOSTUNREACH);
	local_close(again[1]);
	rig_settle(r);
	assert_int_equal(rig_recv(again[0], &byte, 1, 0), -ECONNRESET);
	local_close(again[0]);
	rig_nothing_left(r);
}

/* The answer is on its way: it changes nothing, and each side says its last once. */
static void local_break__before_the_answer(void **state)
{
	struct rig *r = *state;

	for (unsigned deaf = 0; deaf < 2; deaf++) {
		struct local_conn *conn = rig_dial(r, 0);

		r->side[1].is_deaf = deaf;
		local_link_poll(r->side[1].link, RIG_ALL);
		local_break(conn, ETIMEDOUT);
		rig_settle(r);
		assert_int_equal(conn->state, LOCAL_OVER);
		assert_int_equal(local_take_error(conn), ETIMEDOUT);
		local_close(conn);
		if (!deaf)
			local_close(local_accept(&r->side[1].listener, r));
		rig_settle(r);
		rig_nothing_left(r);
	}
}

/* The link is no more in the meantime. */
static void local_break__of_a_dead_link(void **state)
{
	struct rig *r = *state;
	struct local_conn *ends[2];

	rig_connect(r, ends);
	local_link_died(r->side[0].link);
	local_break(ends[0], ECONNRESET);
	assert_int_equal(local_take_error(ends[0]), ECONNRESET);
	local_close(ends[0]);
	assert_true(local_link_is_idle(r->side[0].link));
}

/* --- between Unix sockets --- */

static struct local_conn *dial_unix(struct rig *r, const char *name)
{
	struct local_call call = { .listener = RIG_LISTENER, .send_order = LOCAL_ORDER_MIN,
				   .receive_order = LOCAL_ORDER_MIN, .is_unix = true, .ahead = name, .ahead_len = (uint8_t)strlen(name) };
	struct local_conn *conn = NULL;

	r->side[1].is_unix = true;
	r->side[1].listener.ahead = "server";
	r->side[1].listener.ahead_len = 6;
	assert_int_equal(local_connect(r->side[0].link, &call, r, &conn), 0);
	return conn;
}

static void connect_unix(struct rig *r, struct local_conn *ends[2])
{
	char name[LOCAL_AHEAD_MAX];

	ends[0] = dial_unix(r, "");
	rig_settle(r);
	ends[1] = local_accept(&r->side[1].listener, r);
	assert_int_equal(local_take_ahead(ends[0], name), 6);
	rig_edges(r, 0);
	rig_edges(r, 1);
}

static void local_take_ahead__before_the_bytes(void **state)
{
	struct rig *r = *state;
	char name[LOCAL_AHEAD_MAX];
	struct local_conn *one = dial_unix(r, "client"), *other;

	rig_send(one, "data", 4, 0);
	rig_settle(r);
	other = local_accept(&r->side[1].listener, r);
	assert_int_equal(local_take_ahead(other, name), 6);
	assert_memory_equal(name, "client", 6);
	assert_int_equal(local_take_ahead(other, name), 0);
	assert_reads(other, "data");
	assert_int_equal(local_take_ahead(one, name), 6);
	assert_memory_equal(name, "server", 6);
	assert_int_equal(local_inq(one), 0);
	assert_int_equal(local_outq(other), 0);
	local_close(one);
	local_close(other);
	rig_nothing_left(r);
	assert_int_equal(r->side[1].link->rx_bytes, 4); /* names are none */
	assert_int_equal(r->side[0].link->tx_bytes, 4);
}

/* Who says that more came ahead than did, or than may, ends the link. */
static void local_take_ahead__not_there(void **state)
{
	struct rig *r = *state;
	struct local_cell *cell = &r->side[0].link->out.cells[0];

	dial_unix(r, "client");
	cell->open.ahead = 7;
	rig_settle(r);
	assert_int_equal(r->side[1].link->ended, LOCAL_LINK_BAD_POSITION);
	assert_true(local_link_is_idle(r->side[1].link));
}

static void local_take_ahead__too_much(void **state)
{
	struct rig *r = *state;

	dial_unix(r, "");
	local_link_poll(r->side[1].link, RIG_ALL);
	r->side[1].link->out.cells[0].word[0] = LOCAL_AHEAD_MAX + 1;
	local_link_poll(r->side[0].link, RIG_ALL);
	assert_int_equal(r->side[0].link->ended, LOCAL_LINK_BAD_POSITION);
}

static void local_shutdown__a_unix_socket_reads_no_more(void **state)
{
	struct rig *r = *state;
	struct local_conn *ends[2];

	connect_unix(r, ends);
	rig_send(ends[0], "before", 6, 0);
	local_shutdown(ends[1], LOCAL_SHUT_READING);
	rig_settle(r);
	assert_int_equal(rig_edges(r, 0), LOCAL_READY_OUT);
	assert_int_equal(rig_send(ends[0], "x", 1, 0), -EPIPE);
	assert_reads(ends[1], "before");
	assert_reads(ends[1], "");
	assert_int_equal(rig_send(ends[1], "still", 5, 0), 5);
	assert_reads(ends[0], "still");
	local_shutdown(ends[0], LOCAL_SHUT_READING);
	rig_settle(r);
	assert_int_equal(rig_send(ends[1], "x", 1, 0), -EPIPE);
	assert_int_equal(local_ready(ends[1]) & LOCAL_READY_HUP, LOCAL_READY_HUP);
	local_close(ends[0]);
	local_close(ends[1]);
	rig_nothing_left(r);
}

/* No such message comes of a connection of TCP's. */
static void local_shutdown__stopped_by_no_unix_socket(void **state)
{
	struct rig *r = *state;
	struct local_conn *ends[2];

	rig_connect(r, ends);
	ends[1]->flags |= LOCAL_UNIX;
	local_shutdown(ends[1], LOCAL_SHUT_READING);
	local_link_poll(r->side[0].link, RIG_ALL);
	assert_int_equal(r->side[0].link->ended, LOCAL_LINK_BAD_KIND);
}

static void local_close__of_a_unix_socket(void **state)
{
	struct rig *r = *state;
	struct local_conn *ends[2];

	connect_unix(r, ends);
	rig_send(ends[1], "last", 4, 0);
	local_close(ends[1]);
	rig_settle(r);
	assert_int_equal(local_ready(ends[0]), LOCAL_READY_IN | LOCAL_READY_OUT | LOCAL_READY_HUP | LOCAL_READY_RDHUP);
	assert_int_equal(rig_send(ends[0], "x", 1, 0), -EPIPE);
	assert_int_equal(rig_send(ends[0], "x", 1, 0), -EPIPE);
	assert_reads(ends[0], "last");
	assert_reads(ends[0], "");
	assert_false(local_is_over(ends[0]));
	assert_int_equal(local_shutdown(ends[0], LOCAL_SHUT_READING | LOCAL_SHUT_WRITING), 0);
	local_close(ends[0]);
	rig_nothing_left(r);
}

/* The error waits for who receives, behind what came before, and also where the end had been said. */
static void local_close__of_a_unix_socket_with_bytes_unread(void **state)
{
	struct rig *r = *state;
	struct local_conn *ends[2];
	char byte;

	connect_unix(r, ends);
	rig_send(ends[0], "unread", 6, 0);
	rig_send(ends[1], "last", 4, 0);
	local_shutdown(ends[1], LOCAL_SHUT_WRITING);
	rig_settle(r);
	local_close(ends[1]);
	rig_settle(r);
	assert_int_equal(local_ready(ends[0]) & LOCAL_READY_ERR, LOCAL_READY_ERR);
	assert_int_equal(rig_send(ends[0], "x", 1, 0), -EPIPE);
	assert_reads(ends[0], "last");
	assert_int_equal(rig_recv(ends[0], &byte, 1, 0), -ECONNRESET);
	assert_int_equal(rig_recv(ends[0], &byte, 1, 0), 0);
	local_close(ends[0]);
	rig_nothing_left(r);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		CASE(local_connect__names_and_events),
		CASE(local_connect__bytes_before_the_answer),
		CASE(local_connect__refused),
		CASE(local_connect__closed_before_it_is_refused),
		CASE(local_connect__backlog),
		CASE(local_connect__no_memory_at_the_other_side),
		CASE(local_connect__unwelcome_at_the_other_side),
		CASE(local_connect__no_slot_and_no_room),
		CASE(local_connect__both_ways),
		CASE(local_connect__slots_come_back),
		CASE(local_connect__slot_back_before_its_end_is_seen),
		CASE(local_listener_close__resets_who_waits),
		CASE(local_send__until_full_and_on),
		CASE(local_recv__pieces_and_peeks),
		CASE(local_recv__impossible_position),
		CASE(local_send__impossible_position),
		CASE(local_send__urgent),
		CASE(local_send__urgent_inline),
		CASE(local_send__urgent_twice),
		CASE(local_recv__only_an_urgent_byte),
		CASE(local_shutdown__half),
		CASE(local_shutdown__reading),
		CASE(local_close__in_order),
		CASE(local_close__unread_is_a_reset),
		CASE(local_close__bytes_cross_it),
		CASE(local_abort__after_the_peers_end),
		CASE(local_close__both_at_once),
		CASE(local_conn_wait__what_is_asked_for),
		CASE(local_conn_ask__the_next_edge),
		CASE(local_ready__low_water),
		CASE(local_left__with_the_end),
		CASE(local_reserve__bytes_where_they_go),
		CASE(local_move__the_other_side_is_told),
		CASE(local_move__before_it_is_accepted),
		CASE(local_move__nobody_there),
		CASE(local_break__its_user_keeps_it),
		CASE(local_break__of_a_slot_of_theirs),
		CASE(local_break__before_the_answer),
		CASE(local_break__of_a_dead_link),
		CASE(local_take_ahead__before_the_bytes),
		CASE(local_take_ahead__not_there),
		CASE(local_take_ahead__too_much),
		CASE(local_shutdown__a_unix_socket_reads_no_more),
		CASE(local_shutdown__stopped_by_no_unix_socket),
		CASE(local_close__of_a_unix_socket),
		CASE(local_close__of_a_unix_socket_with_bytes_unread),
	};

	return cmocka_run_group_tests_name("local_conn", tests, NULL, NULL);
}
