/* SPDX-License-Identifier: BSD-2-Clause */
/* A connection over a link whose ring gives place to a larger one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "local_rig.h"

enum { RING = 1 << LOCAL_ORDER_MIN };

static void local_grow__room_though_nobody_reads(void **state)
{
	static uint8_t bytes[9 * RING], got[9 * RING];
	struct rig *r = *state;
	struct local_conn *ends[2];
	uint32_t used;

	rig_connect(r, ends);
	used = r->side[0].link->half.used;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7 + i / 251);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(rig_send(ends[i], bytes, RING, 0), RING);
		assert_int_equal(rig_send(ends[i], bytes, 1, 0), -EAGAIN);
		rig_edges(r, i);
		assert_int_equal(local_grow(ends[i], LOCAL_ORDER_MIN), -ENOBUFS);
		assert_int_equal(local_grow(ends[i], LOCAL_ORDER_MIN + 3), 0);
		assert_true(rig_edges(r, i) & LOCAL_READY_OUT);
		assert_int_equal(local_grow(ends[i], LOCAL_ORDER_MIN + 4), -ENOBUFS);
		assert_int_equal(rig_send(ends[i], bytes + RING, 8 * RING, 0), 8 * RING);
		assert_int_equal(rig_send(ends[i], bytes, 1, 0), -EAGAIN);
		assert_int_equal(local_outq(ends[i]), 9 * RING);
	}
	assert_int_equal(r->side[0].link->half.used, used + 8);
	assert_int_equal(r->side[1].link->half.used, 8);
	assert_int_equal(rig_recv(ends[1], got, sizeof(got), LOCAL_RECV_PEEK), 9 * RING);
	assert_memory_equal(got, bytes, sizeof(bytes));
	assert_int_equal(rig_recv(ends[1], got, sizeof(got), 0), 9 * RING);
	assert_memory_equal(got, bytes, sizeof(bytes));
	assert_int_equal(rig_recv(ends[0], got, 2 * RING, 0), 2 * RING);
	assert_memory_equal(got, bytes, 2 * RING);
	assert_int_equal(local_sent(ends[1], RING - 100, got, 5 * RING), 5 * RING); /* for who moves, from both */
	assert_memory_equal(got, bytes + RING - 100, 5 * RING);
	local_close(ends[1]);
	local_close(ends[0]);
	rig_nothing_left(r);
}

static void local_grow__the_end_behind_it(void **state)
{
	static uint8_t bytes[2 * RING], got[2 * RING];
	struct rig *r = *state;
	struct local_conn *ends[2];

	rig_connect(r, ends);
	rig_send(ends[0], bytes, RING, 0);
	assert_int_equal(local_grow(ends[0], LOCAL_ORDER_MIN + 1), 0);
	rig_send(ends[0], bytes, RING, 0);
	local_close(ends[0]);
	rig_settle(r);
	assert_int_equal(rig_recv(ends[1], got, sizeof(got), 0), 2 * RING);
	assert_int_equal(rig_recv(ends[1], got, 1, 0), 0);
	local_close(ends[1]);
	rig_nothing_left(r);
}

static void local_grow__no_room_for_it(void **state)
{
	struct rig *r = *state;
	struct local_conn *ends[2];

	rig_connect(r, ends);
	assert_int_equal(local_grow(ends[0], LOCAL_ORDER_MIN + 6), -ENOBUFS); /* all of the half, of which the rings have some */
	assert_int_equal(local_grow(ends[0], LOCAL_ORDER_MIN + 1), -ENOBUFS); /* before the first byte */
	local_shutdown(ends[0], LOCAL_SHUT_WRITING);
	assert_int_equal(local_grow(ends[0], LOCAL_ORDER_MIN + 1), -ENOTCONN);
	local_close(ends[0]);
	local_close(ends[1]);
	rig_nothing_left(r);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		CASE(local_grow__room_though_nobody_reads),
		CASE(local_grow__the_end_behind_it),
		CASE(local_grow__no_room_for_it),
	};

	return cmocka_run_group_tests_name("local_grow", tests, NULL, NULL);
}
