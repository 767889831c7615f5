/* SPDX-License-Identifier: BSD-2-Clause */
/* What a wire would carry of a connection by a link. Side 0 is captured, side 1 where it says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>

#include "local/tap.h"

#include "local_rig.h"

static int setup(void **state)
{
	struct rig *r;

	rig_setup(state);
	r = *state;
	r->side[0].link->taps = true;
	return 0;
}

/* The next segment that was told is this one. */
static void assert_seen(struct rig_side *s, unsigned *at, enum local_seen what, bool out, uint64_t seq, uint64_t ack,
			size_t len)
{
	const struct local_segment *seen = &s->seen[*at];

	assert_true(*at < s->n_seen);
	assert_int_equal(seen->what, what);
	assert_int_equal(seen->out, out);
	assert_int_equal(seen->seq, seq);
	assert_int_equal(seen->ack, ack);
	assert_int_equal(seen->len, len);
	++*at;
}

static void assert_all(const struct rig_side *s, unsigned at)
{
	assert_int_equal(s->n_seen, at);
}

static void local_tap__off_tells_nothing(void **state)
{
	struct rig *r = *state;
	struct local_conn *ends[2];
	char bytes[8];

	r->side[0].link->taps = false;
	rig_connect(r, ends);
	rig_send(ends[0], "words", 5, 0);
	rig_recv(ends[1], bytes, 5, 0);
	local_close(ends[1]);
	rig_settle(r);
	local_close(ends[0]);
	assert_all(&r->side[0], 0);
	assert_all(&r->side[1], 0);
}

static void local_tap__a_talk(void **state)
{
	struct rig *r = *state;
	struct rig_side *s = &r->side[0];
	struct local_conn *ends[2];
	unsigned at = 0;
	char bytes[8];

	rig_connect(r, ends);
	assert_seen(s, &at, LOCAL_SEEN_SYN, true, 0, 0, 0);
	assert_seen(s, &at, LOCAL_SEEN_SYN_ACK, false, 0, 0, 0);
	assert_seen(s, &at, LOCAL_SEEN_ACK, true, 0, 0, 0);
	rig_send(ends[0], "words", 5, 0);
	assert_seen(s, &at, LOCAL_SEEN_BYTES, true, 0, 0, 5);
	rig_recv(ends[1], bytes, 3, 0);
	rig_send(ends[1], "back", 4, 0);
	assert_int_equal(rig_recv(ends[0], bytes, 1, LOCAL_RECV_PEEK), 1); /* which comes again */
	assert_all(s, at);
	rig_recv(ends[0], bytes, 4, 0);
	assert_seen(s, &at, LOCAL_SEEN_BYTES, false, 0, 3, 4);
	rig_recv(ends[1], bytes, 2, 0);
	local_shutdown(ends[0], LOCAL_SHUT_WRITING);
	assert_seen(s, &at, LOCAL_SEEN_FIN, true, 5, 4, 0);
	rig_settle(r);
	local_close(ends[1]);
	rig_settle(r);
	assert_seen(s, &at, LOCAL_SEEN_FIN, false, 4, 6, 0);
	assert_seen(s, &at, LOCAL_SEEN_ACK, true, 6, 5, 0);
	local_close(ends[0]); /* its end was seen */
	rig_settle(r);
	assert_all(s, at);
}

static void local_tap__of_who_was_called(void **state)
{
	struct rig *r = *state;
	struct rig_side *s = &r->side[0];
	struct local_conn *conn, *end;
	unsigned at = 0;

	conn = rig_dial(r, 1);
	rig_send(conn, "early", 5, 0);
	rig_settle(r);
	assert_seen(s, &at, LOCAL_SEEN_SYN, false, 0, 0, 0);
	assert_seen(s, &at, LOCAL_SEEN_SYN_ACK, true, 0, 0, 0);
	assert_seen(s, &at, LOCAL_SEEN_ACK, false, 0, 0, 0);
	end = local_accept(&s->listener, r);
	local_close(end); /* with bytes unread */
	assert_seen(s, &at, LOCAL_SEEN_RESET, true, 0, 0, 0);
	rig_settle(r);
	local_close(conn);
	rig_settle(r);
	assert_all(s, at);
}

/* What the program did not read is on the wire before the end that follows it, and not once more when it does. */
static void local_tap__unread_bytes_before_an_end(void **state)
{
	struct rig *r = *state;
	struct rig_side *s = &r->side[0];
	struct local_conn *ends[2];
	unsigned at = 3;
	char bytes[8];

	rig_connect(r, ends);
	rig_send(ends[1], "abcdef", 6, 0);
	rig_recv(ends[0], bytes, 2, 0);
	assert_seen(s, &at, LOCAL_SEEN_BYTES, false, 0, 0, 2);
	local_close(ends[1]);
	rig_settle(r);
	assert_seen(s, &at, LOCAL_SEEN_BYTES, false, 2, 0, 4);
	assert_seen(s, &at, LOCAL_SEEN_FIN, false, 6, 0, 0);
	assert_seen(s, &at, LOCAL_SEEN_ACK, true, 0, 7, 0);
	rig_recv(ends[0], bytes, 4, 0);
	assert_all(s, at);
	local_close(ends[0]);
	assert_seen(s, &at, LOCAL_SEEN_FIN, true, 0, 7, 0);
	rig_settle(r);
	assert_all(s, at);
}

static void local_tap__resets(void **state)
{
	struct rig *r = *state;
	struct rig_side *s = &r->side[0];
	struct local_conn *ends[2];
	unsigned at = 3;

	rig_connect(r, ends);
	rig_send(ends[1], "ab", 2, 0);
	local_abort(ends[1]);
	rig_settle(r);
	assert_seen(s, &at, LOCAL_SEEN_BYTES, false, 0, 0, 2);
	assert_seen(s, &at, LOCAL_SEEN_RESET, false, 2, 0, 0);
	local_close(ends[0]); /* of no avail on a wire */
	rig_settle(r);
	assert_all(s, at);
}

static void local_tap__refused(void **state)
{
	struct rig *r = *state;
	struct rig_side *s = &r->side[0];
	struct local_conn *conn;
	unsigned at = 0;

	r->side[1].is_deaf = true;
	conn = rig_dial(r, 0);
	rig_settle(r);
	assert_seen(s, &at, LOCAL_SEEN_SYN, true, 0, 0, 0);
	assert_seen(s, &at, LOCAL_SEEN_RESET, false, 0, 0, 0);
	local_close(conn);
	s->is_deaf = true;
	conn = rig_dial(r, 1);
	rig_settle(r);
	assert_seen(s, &at, LOCAL_SEEN_SYN, false, 0, 0, 0);
	assert_seen(s, &at, LOCAL_SEEN_RESET, true, 0, 0, 0);
	local_close(conn);
	rig_settle(r);
	assert_all(s, at);
}

/* As a SYN that is dropped. */
static void local_tap__listener_is_full(void **state)
{
	struct rig *r = *state;
	struct rig_side *s = &r->side[0];
	unsigned at = 3 * 3;

	for (unsigned i = 0; i < 4; i++)
		rig_dial(r, 1);
	rig_settle(r);
	assert_seen(s, &at, LOCAL_SEEN_SYN, false, 0, 0, 0);
	assert_all(s, at);
}

/* It goes on elsewhere: neither end nor reset is said here. */
static void local_tap__moved(void **state)
{
	struct rig *r = *state;
	struct local_place place = { .port = 9 };
	struct local_conn *ends[2];

	r->side[1].link->taps = true;
	rig_connect(r, ends);
	assert_int_equal(local_move(ends[0], &place), 0);
	rig_settle(r);
	local_close(ends[0]);
	local_abort(ends[1]);
	rig_settle(r);
	assert_all(&r->side[0], 3);
	assert_all(&r->side[1], 3);
}

static void local_tap__other_side_died(void **state)
{
	struct rig *r = *state;
	struct rig_side *s = &r->side[0];
	struct local_conn *one[2], *two[2];
	unsigned at = 6;
	char byte;

	rig_connect(r, one);
	rig_connect(r, two);
	rig_send(one[1], "last", 4, 0);
	rig_send(two[0], "unread", 6, 0);
	assert_seen(s, &at, LOCAL_SEEN_BYTES, true, 0, 0, 6);
	local_link_died(s->link);
	assert_seen(s, &at, LOCAL_SEEN_BYTES, false, 0, 0, 4);
	assert_seen(s, &at, LOCAL_SEEN_FIN, false, 4, 0, 0);
	assert_seen(s, &at, LOCAL_SEEN_ACK, true, 0, 5, 0);
	assert_seen(s, &at, LOCAL_SEEN_RESET, false, 0, 0, 0);
	assert_int_equal(rig_recv(one[0], &byte, 1, 0), 1);
	local_close(one[0]);
	assert_seen(s, &at, LOCAL_SEEN_RESET, true, 0, 5, 0);
	local_close(two[0]);
	assert_all(s, at);
}

static void local_tap_bytes__around_the_end_of_the_ring(void **state)
{
	struct rig *r = *state;
	struct local_segment segment = { .what = LOCAL_SEEN_BYTES, .out = true };
	struct local_conn *ends[2];
	struct local_piece piece[2];
	static char bytes[4096];

	rig_connect(r, ends);
	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(i * 7);
	rig_send(ends[0], bytes, 4090, 0);
	rig_recv(ends[1], bytes, 4090, 0);
	rig_send(ends[0], "0123456789", 10, 0);
	segment.seq = 4090;
	segment.len = 10;
	local_tap_bytes(ends[0], &segment, piece);
	assert_int_equal(piece[0].len, 6);
	assert_int_equal(piece[1].len, 4);
	assert_memory_equal(piece[0].at, "012345", 6);
	assert_memory_equal(piece[1].at, "6789", 4);
	segment.out = false;
	local_tap_bytes(ends[1], &segment, piece);
	assert_memory_equal(piece[1].at, "6789", 4);
}

enum { LONG = 1 << 20, LONG_TIMES = 128, LONG_ORDER = 16 };

/* Side 1, in a thread of its own. */
static void *reader(void *arg)
{
	struct local_conn *conn = arg;
	static char bytes[1 << LONG_ORDER];

	for (size_t left = (size_t)LONG * LONG_TIMES; left > 0;) {
		ssize_t n = rig_recv(conn, bytes, sizeof(bytes), 0);

		left -= n > 0 ? (size_t)n : 0;
		if (n <= 0)
			sched_yield();
	}
	return NULL;
}

/* A send that takes more than the ring holds, as its reader goes on, is told of while its bytes are there. */
static void local_tap__long_send_beside_a_reader(void **state)
{
	struct local_call call = { .listener = RIG_LISTENER, .remote_port = RIG_PORT, .send_order = LONG_ORDER,
				   .receive_order = LOCAL_ORDER_MIN };
	struct rig *r = *state;
	struct local_conn *ends[2];
	static char bytes[LONG];
	pthread_t thread;

	assert_int_equal(local_connect(r->side[0].link, &call, r, &ends[0]), 0);
	rig_settle(r);
	ends[1] = local_accept(&r->side[1].listener, r);
	assert_int_equal(pthread_create(&thread, NULL, reader, ends[1]), 0);
	for (size_t left = (size_t)LONG * LONG_TIMES; left > 0;) {
		ssize_t n = rig_send(ends[0], bytes, FS_MIN(left, (size_t)LONG), 0);

		left -= n > 0 ? (size_t)n : 0;
		if (n <= 0)
			sched_yield();
	}
	pthread_join(thread, NULL);
	assert_in_range(r->side[0].longest, 1, 1 << LONG_ORDER);
	assert_int_equal(r->side[0].seen[(r->side[0].n_seen - 1) % RIG_SEEN].seq +
				 r->side[0].seen[(r->side[0].n_seen - 1) % RIG_SEEN].len, LONG * LONG_TIMES);
}

static void local_tap__another_ring(void **state)
{
	static uint8_t bytes[3 << LOCAL_ORDER_MIN];
	enum { SIZE = 1 << LOCAL_ORDER_MIN };
	struct rig *r = *state;
	struct rig_side *s = &r->side[0];
	struct local_conn *ends[2];
	struct local_piece piece[2];
	unsigned at;

	rig_connect(r, ends);
	at = s->n_seen;
	bytes[SIZE] = 1;
	rig_send(ends[1], bytes, SIZE, 0);
	assert_int_equal(local_grow(ends[1], LOCAL_ORDER_MIN + 1), 0);
	rig_send(ends[1], bytes + SIZE, 100, 0);
	rig_settle(r);
	rig_recv(ends[0], bytes, 10, 0);
	assert_seen(s, &at, LOCAL_SEEN_BYTES, false, 0, 0, SIZE); /* while it is known where they lie */
	rig_recv(ends[0], bytes, 2 * SIZE, 0);
	assert_seen(s, &at, LOCAL_SEEN_BYTES, false, SIZE, 0, 100);
	local_tap_bytes(ends[0], &s->seen[at - 1], piece);
	assert_int_equal(piece[0].len, 100);
	assert_int_equal(*(const uint8_t *)piece[0].at, 1);
	assert_all(s, at);
	local_close(ends[1]);
	local_close(ends[0]);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, rig_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		CASE(local_tap__off_tells_nothing),
		CASE(local_tap__a_talk),
		CASE(local_tap__of_who_was_called),
		CASE(local_tap__unread_bytes_before_an_end),
		CASE(local_tap__resets),
		CASE(local_tap__refused),
		CASE(local_tap__listener_is_full),
		CASE(local_tap__moved),
		CASE(local_tap__another_ring),
		CASE(local_tap__other_side_died),
		CASE(local_tap_bytes__around_the_end_of_the_ring),
		CASE(local_tap__long_send_beside_a_reader),
	};

	return cmocka_run_group_tests_name("local_tap", tests, NULL, NULL);
}
