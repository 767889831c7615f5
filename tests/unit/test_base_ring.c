/* SPDX-License-Identifier: BSD-2-Clause */
/* Single-producer ring and many-producer list. Threads here show that values arrive once and in
 * order; ThreadSanitizer builds show the ordering itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>

#include "base/ring.h"
#include "support.h"

enum { SLOTS = 8, PASSED = 20000, PRODUCERS = 3 };

static uint64_t slots[SLOTS];
static struct ring ring;

static int setup(void **state)
{
	ring_init(&ring, slots, SLOTS);
	return 0;
}

static void ring_init__size_is_a_power_of_two(void **state)
{
	assert_trips(ring_init(&ring, slots, 6));
	assert_trips(ring_init(&ring, slots, 0));
}

static void ring_put__until_full(void **state)
{
	uint64_t v[SLOTS + 1] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 }, out[SLOTS + 1];

	assert_int_equal(ring_put(&ring, v, 3), 3);
	assert_int_equal(ring_put(&ring, v + 3, 6), 5);
	assert_int_equal(ring_put(&ring, v, 1), 0);
	assert_int_equal(ring_count(&ring), SLOTS);
	assert_int_equal(ring_get(&ring, out, SLOTS + 1), SLOTS);
	assert_memory_equal(out, v, SLOTS * sizeof(v[0]));
	assert_int_equal(ring_get(&ring, out, 1), 0);
	assert_int_equal(ring_count(&ring), 0);
}

static void ring_put__counters_wrap(void **state)
{
	ring.head = ring.tail = ring.seen_head = ring.seen_tail = UINT32_MAX - 20;
	for (uint64_t i = 0; i < 100; i++) {
		uint64_t v[5] = { i, i + 1, i + 2, i + 3, i + 4 }, out[5];

		assert_int_equal(ring_put(&ring, v, 5), 5);
		assert_int_equal(ring_get(&ring, out, 5), 5);
		assert_memory_equal(out, v, sizeof(v));
	}
}

static void ring__wild_counters_stay_inside(void **state)
{
	uint64_t v[2 * SLOTS] = { 0 };

	fs_store_release(&ring.head, 1000); /* as a writer gone mad would leave it */
	assert_int_equal(ring_get(&ring, v, 2 * SLOTS), 0);
	setup(NULL);
	assert_int_equal(ring_put(&ring, v, SLOTS), SLOTS);
	fs_store_release(&ring.tail, 5000);
	assert_int_equal(ring_put(&ring, v, SLOTS), 0);
}

static void *producer(void *unused)
{
	uint64_t next = 0;

	while (next < PASSED) {
		uint64_t v[3] = { next, next + 1, next + 2 };
		uint32_t n = ring_put(&ring, v, (uint32_t)FS_MIN(3, PASSED - next));

		next += n;
		if (n == 0)
			sched_yield();
	}
	return unused;
}

static void ring__two_threads_lose_nothing(void **state)
{
	uint64_t want = 0, v[5];
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, producer, NULL), 0);
	while (want < PASSED) {
		uint32_t n = ring_get(&ring, v, 5);

		for (uint32_t i = 0; i < n; i++)
			assert_int_equal(v[i], want++);
		if (n == 0)
			sched_yield();
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(ring_get(&ring, v, 5), 0);
}

static struct mpsc list;

struct item {
	uint32_t producer, number;
	struct mpsc_node node;
};

static struct item item[PRODUCERS][PASSED];

static void mpsc_push__first_is_told(void **state)
{
	mpsc_init(&list);
	assert_true(mpsc_is_empty(&list));
	assert_true(mpsc_push(&list, &item[0][0].node));
	assert_false(mpsc_push(&list, &item[0][1].node));
	assert_false(mpsc_is_empty(&list));
	assert_non_null(mpsc_take_all(&list));
	assert_true(mpsc_is_empty(&list));
	assert_null(mpsc_take_all(&list));
	assert_true(mpsc_push(&list, &item[0][0].node));
}

static void mpsc_take_all__in_order_of_pushing(void **state)
{
	struct mpsc_node *n;
	uint32_t i = 0;

	mpsc_init(&list);
	for (uint32_t k = 0; k < 10; k++)
		mpsc_push(&list, &item[0][k].node);
	for (n = mpsc_take_all(&list); n; n = n->next)
		assert_ptr_equal(n, &item[0][i++].node);
	assert_int_equal(i, 10);
}

static void *pusher(void *of)
{
	struct item *mine = of;

	for (uint32_t i = 0; i < PASSED; i++)
		mpsc_push(&list, &mine[i].node);
	return NULL;
}

static void mpsc__many_threads_lose_nothing(void **state)
{
	uint32_t want[PRODUCERS] = { 0 }, met = 0;
	pthread_t thread[PRODUCERS];

	mpsc_init(&list);
	for (uint32_t p = 0; p < PRODUCERS; p++) {
		for (uint32_t i = 0; i < PASSED; i++)
			item[p][i] = (struct item){ .producer = p, .number = i };
		assert_int_equal(pthread_create(&thread[p], NULL, pusher, item[p]), 0);
	}
	while (met < PRODUCERS * PASSED) {
		struct mpsc_node *n = mpsc_take_all(&list);

		if (!n)
			sched_yield();
		for (; n; n = n->next) {
			struct item *it = FS_CONTAINER_OF(n, struct item, node);

			assert_int_equal(it->number, want[it->producer]++);
			met++;
		}
	}
	for (uint32_t p = 0; p < PRODUCERS; p++)
		assert_int_equal(pthread_join(thread[p], NULL), 0);
	assert_true(mpsc_is_empty(&list));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(ring_init__size_is_a_power_of_two, setup),
		cmocka_unit_test_setup(ring_put__until_full, setup),
		cmocka_unit_test_setup(ring_put__counters_wrap, setup),
		cmocka_unit_test_setup(ring__wild_counters_stay_inside, setup),
		cmocka_unit_test_setup(ring__two_threads_lose_nothing, setup),
		cmocka_unit_test(mpsc_push__first_is_told),
		cmocka_unit_test(mpsc_take_all__in_order_of_pushing),
		cmocka_unit_test(mpsc__many_threads_lose_nothing),
	};

	return cmocka_run_group_tests_name("base_ring", tests, NULL, NULL);
}
