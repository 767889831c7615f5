/* SPDX-License-Identifier: BSD-2-Clause */
/* A byte ring: order and content, its end, no room, who is to be told, urgent marks, what cannot be; threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>

#include "local/stream.h"

enum { ORDER = 12, SIZE = 1 << ORDER, PASSED = 400000 };

struct rig {
	struct local_stream_words words;
	struct local_tx tx;
	struct local_rx rx;
	uint8_t ring[SIZE], larger[4 * SIZE];
};

static int setup(void **state)
{
	struct rig *r = aligned_alloc(FS_CACHE_LINE, (sizeof(*r) + FS_CACHE_LINE - 1) / FS_CACHE_LINE * FS_CACHE_LINE);

	memset(r, 0xee, sizeof(*r));
	local_stream_clear(&r->words);
	local_tx_init(&r->tx, r->ring, ORDER, &r->words);
	local_rx_init(&r->rx, r->ring, ORDER, &r->words);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

/* The byte at a position: neighbours differ, and so does what lies a ring further on. */
static uint8_t at(uint64_t position)
{
	return (uint8_t)(position * 7 + position / 251);
}

static ssize_t put(struct rig *r, size_t n)
{
	static uint8_t bytes[8 * SIZE];
	struct iovec iov[3] = { { bytes, n / 3 }, { bytes + n / 3, 0 }, { bytes + n / 3, n - n / 3 } };
	struct local_span from = { .iov = iov, .left = 3 };

	for (size_t i = 0; i < n; i++)
		bytes[i] = at(r->tx.head + i);
	return local_tx_put(&r->tx, &from);
}

/* Takes up to @n; they are right. */
static ssize_t take(struct rig *r, size_t n)
{
	static uint8_t bytes[8 * SIZE];
	ssize_t there = local_rx_look(&r->rx, n);
	struct iovec iov[2];
	struct local_span to = { .iov = iov, .left = 2 };
	uint64_t pos = r->rx.pos;

	if (there < 0)
		return there;
	n = FS_MIN(n, (size_t)there);
	iov[0] = (struct iovec){ bytes, n / 2 };
	iov[1] = (struct iovec){ bytes + n / 2, n - n / 2 };
	local_rx_copy(&r->rx, &to, 0, n);
	local_rx_pass(&r->rx, n);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(bytes[i], at(pos + i));
	return (ssize_t)n;
}

static void local_stream__in_order(void **state)
{
	struct rig *r = *state;

	assert_int_equal(take(r, 10), 0);
	assert_int_equal(put(r, 1), 1);
	assert_int_equal(put(r, 100), 100);
	assert_int_equal(local_rx_look(&r->rx, SIZE), 101);
	assert_int_equal(take(r, 50), 50);
	assert_int_equal(put(r, 7), 7);
	assert_int_equal(take(r, SIZE), 58);
	assert_int_equal(take(r, 1), 0);
	assert_int_equal(put(r, 0), 0);
}

static void local_stream__around(void **state)
{
	struct rig *r = *state;

	for (unsigned i = 0; i < 200; i++) {
		assert_int_equal(put(r, 701 + i), 701 + i);
		assert_int_equal(put(r, i), i);
		assert_int_equal(take(r, 300), 300);
		assert_int_equal(take(r, SIZE), 401 + 2 * i);
		local_rx_give_back(&r->rx);
	}
}

static void local_tx_put__until_full(void **state)
{
	struct rig *r = *state;

	assert_int_equal(put(r, SIZE - 10), SIZE - 10);
	assert_int_equal(put(r, 100), 10);
	assert_int_equal(put(r, 1), 0);
	assert_int_equal(local_tx_room(&r->tx), 0);
	assert_int_equal(local_tx_unread(&r->tx), SIZE);
	assert_int_equal(take(r, 2000), 2000);
	assert_int_equal(local_tx_unread(&r->tx), SIZE - 2000);
	local_rx_give_back(&r->rx);
	assert_int_equal(local_tx_room(&r->tx), 2000);
	assert_int_equal(put(r, SIZE), 2000);
	assert_int_equal(take(r, SIZE), SIZE);
}

/* Not each byte is worth the line that the writer looks at. */
static void local_rx_give_back__after_a_quarter(void **state)
{
	struct rig *r = *state;

	put(r, SIZE);
	take(r, SIZE / 4 - 1);
	assert_false(local_rx_give_back(&r->rx));
	assert_int_equal(local_tx_room(&r->tx), 0);
	take(r, 1);
	assert_false(local_rx_give_back(&r->rx));
	assert_int_equal(local_tx_room(&r->tx), SIZE / 4);
}

static void local_tx_wait__told_when_half_is_free(void **state)
{
	struct rig *r = *state;

	put(r, SIZE);
	assert_int_equal(local_tx_wait(&r->tx), 1);
	take(r, SIZE / 2 - 1);
	assert_false(local_rx_give_back(&r->rx));
	assert_int_equal(local_tx_room(&r->tx), SIZE / 2 - 1);
	take(r, 1);
	assert_true(local_rx_give_back(&r->rx));
	assert_int_equal(local_tx_room(&r->tx), SIZE / 2);
	take(r, SIZE / 2);
	assert_false(local_rx_give_back(&r->rx)); /* it was told */
}

/* Who has room by the time he would wait may be told of it later, once: what another asked for is not taken back. */
static void local_tx_wait__room_by_now(void **state)
{
	struct rig *r = *state;

	put(r, SIZE);
	take(r, SIZE / 2);
	local_rx_give_back(&r->rx);
	assert_int_equal(local_tx_wait(&r->tx), 0);
	take(r, 1);
	assert_true(local_rx_give_back(&r->rx));
	take(r, 1);
	assert_false(local_rx_give_back(&r->rx));
}

/* The target is kept in 31 bits: positions far on work as well. */
static void local_tx_wait__far_on(void **state)
{
	struct rig *r = *state;
	uint64_t far[] = { (UINT64_C(1) << 31) - 100, (UINT64_C(1) << 32) - 100, (UINT64_C(7) << 40) - 100 };

	for (unsigned i = 0; i < FS_ARRAY_SIZE(far); i++) {
		r->tx.head = r->tx.seen_tail = r->rx.pos = r->rx.seen_head = r->rx.published = far[i];
		r->words.head = r->words.tail = r->words.read = far[i];
		assert_int_equal(put(r, SIZE + 1), SIZE);
		assert_int_equal(local_tx_wait(&r->tx), 1);
		take(r, SIZE / 2 - 1);
		assert_false(local_rx_give_back(&r->rx));
		take(r, 1);
		assert_true(local_rx_give_back(&r->rx));
	}
}

static void local_rx_ask__told_once(void **state)
{
	struct rig *r = *state;

	local_rx_ask(&r->rx);
	put(r, 1);
	assert_true(local_tx_tell(&r->tx));
	put(r, 1);
	assert_false(local_tx_tell(&r->tx));
}

static void local_tx_urge__seen_with_its_byte(void **state)
{
	struct rig *r = *state;

	put(r, 10);
	local_tx_urge(&r->tx, 3);
	local_rx_look(&r->rx, SIZE);
	assert_int_equal(r->rx.urgent, 0);
	put(r, 3);
	local_rx_look(&r->rx, SIZE);
	assert_int_equal(r->rx.urgent, 13);
}

static void local_rx_look__impossible_positions(void **state)
{
	struct rig *r = *state;

	put(r, 100);
	take(r, 50);
	r->words.head = 50 + SIZE + 1;
	assert_int_equal(local_rx_look(&r->rx, SIZE), -EPROTO);
	r->words.head = 99; /* what was there is no more */
	assert_int_equal(local_rx_look(&r->rx, SIZE), -EPROTO);
	r->words.head = 0;
	assert_int_equal(local_rx_look(&r->rx, SIZE), -EPROTO);
	r->words.head = 50 + SIZE;
	assert_int_equal(local_rx_look(&r->rx, SIZE), SIZE);
	r->rx.ended = true; /* from here on nobody looks */
	r->words.head = 0;
	assert_int_equal(local_rx_look(&r->rx, SIZE + 1), SIZE);
}

/* A mark outside of what may come would stop a reader for ever, or point nowhere. */
static void local_rx_look__impossible_marks(void **state)
{
	struct rig *r = *state;
	uint64_t marks[] = { 1, 50, 101 + SIZE, UINT64_MAX };

	put(r, 100);
	take(r, 60);
	for (unsigned i = 0; i < FS_ARRAY_SIZE(marks); i++) {
		r->words.urgent = marks[i];
		put(r, 1);
		local_rx_look(&r->rx, SIZE);
		assert_int_equal(r->rx.urgent, 0);
	}
}

static void local_tx__impossible_positions(void **state)
{
	struct rig *r = *state;

	put(r, 100);
	r->words.tail = 101;
	assert_int_equal(local_tx_room(&r->tx), -EPROTO);
	assert_int_equal(local_tx_wait(&r->tx), -EPROTO);
	assert_int_equal(put(r, SIZE), -EPROTO);
	r->words.read = 101;
	assert_int_equal(local_tx_unread(&r->tx), SIZE);
}

static void *writer(void *arg)
{
	struct rig *r = arg;
	uint64_t seed = 1;

	while (r->tx.head < PASSED) {
		size_t n = (size_t)FS_MIN((seed >> 33) % 3000 + 1, PASSED - r->tx.head);

		seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407U;
		if (put(r, n) == 0)
			sched_yield();
	}
	return NULL;
}

static void local_stream__two_threads_lose_nothing(void **state)
{
	struct rig *r = *state;
	uint64_t seed = 2;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, writer, r), 0);
	while (r->rx.pos < PASSED) {
		ssize_t n = take(r, (size_t)(seed >> 33) % 3000 + 1);

		assert_true(n >= 0);
		seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407U;
		if (n == 0)
			sched_yield();
		else
			local_rx_give_back(&r->rx);
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(take(r, 1), 0);
}

/* --- another ring --- */

static void local_tx_turn__bytes_of_both_rings(void **state)
{
	struct rig *r = *state;
	struct iovec part[2];

	put(r, 100);
	take(r, 90);
	assert_int_equal(put(r, 2 * SIZE), SIZE - 100); /* the tail says 0 */
	local_rx_give_back(&r->rx);
	local_tx_turn(&r->tx, r->larger, ORDER + 2, 77);
	assert_int_equal(local_tx_room(&r->tx), 4 * SIZE);
	assert_int_equal(put(r, 3 * SIZE), 3 * SIZE);
	assert_int_equal(local_tx_unread(&r->tx), r->tx.head - 90);
	/* Until it is told where, it sees none of those. */
	assert_int_equal(local_rx_look(&r->rx, SIZE_MAX), r->tx.before.turn - 90);
	assert_int_equal(take(r, 10), 10);
	assert_true(r->rx.cut);
	assert_int_equal(local_rx_turned(&r->rx).turn, r->tx.before.turn);
	assert_int_equal(local_rx_turned(&r->rx).unit, 77);
	assert_int_equal(local_rx_turned(&r->rx).order, ORDER + 2);
	assert_true(local_rx_turn(&r->rx, r->tx.before.turn, r->larger, ORDER + 2));
	assert_int_equal(take(r, 8 * SIZE), r->tx.head - 100);
	local_rx_give_back(&r->rx);
	assert_int_equal(local_tx_room(&r->tx), 4 * SIZE);
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(put(r, SIZE + i), SIZE + i);
		assert_int_equal(local_tx_reserve(&r->tx, part, 1), 1);
		assert_int_equal(take(r, 2 * SIZE), SIZE + i);
		local_rx_give_back(&r->rx);
	}
}

static void local_tx_turn__told_when_all_is_read(void **state)
{
	struct rig *r = *state;

	put(r, SIZE);
	local_tx_turn(&r->tx, r->larger, ORDER + 2, 77);
	assert_int_equal(take(r, 2 * SIZE), SIZE);
	assert_int_equal(put(r, 5), 5);
	assert_int_equal(take(r, 5), 0);
	assert_true(local_rx_turn(&r->rx, SIZE, r->larger, ORDER + 2));
	assert_int_equal(take(r, 5), 5);
	assert_int_equal(put(r, 8 * SIZE), 4 * SIZE - 5);
	assert_int_equal(local_tx_wait(&r->tx), 1);
	assert_int_equal(take(r, 8 * SIZE), 4 * SIZE - 5);
	assert_true(local_rx_give_back(&r->rx));
}

static void local_rx_turn__impossible(void **state)
{
	struct rig *r = *state;

	put(r, SIZE);
	take(r, 100);
	assert_false(local_rx_turn(&r->rx, 0, r->larger, ORDER + 2));
	assert_false(local_rx_turn(&r->rx, 99, r->larger, ORDER + 2));
	assert_false(local_rx_turn(&r->rx, 100 + SIZE + 1, r->larger, ORDER + 2));
	assert_false(local_rx_turn(&r->rx, SIZE, r->larger, ORDER)); /* not larger */
	assert_true(local_rx_turn(&r->rx, SIZE, r->larger, ORDER + 2));
	assert_false(local_rx_turn(&r->rx, SIZE, r->larger, ORDER + 2));
	/* More than both rings hold. */
	fs_store_relaxed(&r->words.turn, SIZE);
	fs_store_relaxed(&r->words.head, SIZE + 4 * SIZE + 1);
	assert_int_equal(local_rx_look(&r->rx, SIZE_MAX), -EPROTO);
	fs_store_relaxed(&r->words.head, SIZE + 4 * SIZE);
	assert_int_equal(local_rx_look(&r->rx, SIZE_MAX), 5 * SIZE - 100);
	fs_store_relaxed(&r->words.head, SIZE);
	r->rx.seen_head = r->rx.pos;
	/* A turn that lies behind what was read already hides nothing that was seen. */
	r->rx.before.turn = 0;
	fs_store_relaxed(&r->words.turn, 50);
	assert_int_equal(local_rx_look(&r->rx, SIZE_MAX), SIZE - 100);
}

static void local_tx_turn__impossible_tails(void **state)
{
	struct rig *r = *state;

	put(r, SIZE);
	local_tx_turn(&r->tx, r->larger, ORDER + 2, 77);
	put(r, 4 * SIZE);
	assert_int_equal(local_tx_room(&r->tx), 0);
	fs_store_relaxed(&r->words.tail, r->tx.head + 1);
	assert_int_equal(local_tx_room(&r->tx), -EPROTO);
	fs_store_relaxed(&r->words.tail, (uint64_t)-1);
	assert_int_equal(local_tx_room(&r->tx), -EPROTO);
	fs_store_relaxed(&r->words.tail, SIZE);
	assert_int_equal(local_tx_room(&r->tx), 0);
	fs_store_relaxed(&r->words.tail, SIZE + 1);
	assert_int_equal(local_tx_room(&r->tx), 1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(local_stream__in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(local_stream__around, setup, teardown),
		cmocka_unit_test_setup_teardown(local_tx_put__until_full, setup, teardown),
		cmocka_unit_test_setup_teardown(local_rx_give_back__after_a_quarter, setup, teardown),
		cmocka_unit_test_setup_teardown(local_tx_wait__told_when_half_is_free, setup, teardown),
		cmocka_unit_test_setup_teardown(local_tx_wait__room_by_now, setup, teardown),
		cmocka_unit_test_setup_teardown(local_tx_wait__far_on, setup, teardown),
		cmocka_unit_test_setup_teardown(local_rx_ask__told_once, setup, teardown),
		cmocka_unit_test_setup_teardown(local_tx_urge__seen_with_its_byte, setup, teardown),
		cmocka_unit_test_setup_teardown(local_rx_look__impossible_positions, setup, teardown),
		cmocka_unit_test_setup_teardown(local_rx_look__impossible_marks, setup, teardown),
		cmocka_unit_test_setup_teardown(local_tx__impossible_positions, setup, teardown),
		cmocka_unit_test_setup_teardown(local_tx_turn__bytes_of_both_rings, setup, teardown),
		cmocka_unit_test_setup_teardown(local_tx_turn__told_when_all_is_read, setup, teardown),
		cmocka_unit_test_setup_teardown(local_rx_turn__impossible, setup, teardown),
		cmocka_unit_test_setup_teardown(local_tx_turn__impossible_tails, setup, teardown),
		cmocka_unit_test_setup_teardown(local_stream__two_threads_lose_nothing, setup, teardown),
	};

	return cmocka_run_group_tests_name("local_stream", tests, NULL, NULL);
}
