/* SPDX-License-Identifier: BSD-2-Clause */
/* One AF_XDP ring over plain memory, the test being the kernel's side. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "provider/xdp/xsk_ring.h"

enum { SIZE = 8 };

/* As the kernel lays it out: indices on lines of their own, then the entries. */
struct memory {
	uint32_t producer, pad1[15], consumer, pad2[15], flags, pad3[15];
	struct xdp_desc desc[SIZE];
};

static struct memory mem;
static struct xsk_ring ring;

static const struct xdp_ring_offset offsets = {
	.producer = offsetof(struct memory, producer),
	.consumer = offsetof(struct memory, consumer),
	.flags = offsetof(struct memory, flags),
	.desc = offsetof(struct memory, desc),
};

static int setup(void **state)
{
	memset(&mem, 0, sizeof(mem));
	xsk_ring_init(&ring, &mem, &offsets, SIZE);
	return 0;
}

static void xsk_ring_room__shrinks_and_is_looked_up_only_when_short(void **state)
{
	assert_int_equal(xsk_ring_room(&ring, 1), SIZE);
	ring.cached_prod += 6;
	mem.consumer = 4; /* the kernel moved on, which need not be known yet */
	assert_int_equal(xsk_ring_room(&ring, 2), 2);
	assert_int_equal(ring.cached_cons, 0);
	assert_int_equal(xsk_ring_room(&ring, 3), 6);
	assert_int_equal(ring.cached_cons, 4);
}

static void xsk_ring_room__full_ring_has_none(void **state)
{
	ring.cached_prod = SIZE;
	assert_int_equal(xsk_ring_room(&ring, 1), 0);
	mem.consumer = 1;
	assert_int_equal(xsk_ring_room(&ring, 1), 1);
}

static void xsk_ring_room__impossible_index_means_none(void **state)
{
	ring.cached_prod = SIZE;
	mem.consumer = 1000; /* ahead of what was ever produced */
	assert_int_equal(xsk_ring_room(&ring, 1), 0);
	mem.consumer = (uint32_t)-100; /* further behind than the ring is long */
	assert_int_equal(xsk_ring_room(&ring, 1), 0);
	mem.consumer = 2;
	assert_int_equal(xsk_ring_room(&ring, 1), 2);
}

static void xsk_ring_publish__shows_the_batch_at_once(void **state)
{
	for (int i = 0; i < 3; i++)
		xsk_ring_desc(&ring, ring.cached_prod++)->addr = (uint64_t)i;
	assert_int_equal(mem.producer, 0);
	xsk_ring_publish(&ring);
	assert_int_equal(mem.producer, 3);
	assert_int_equal(mem.desc[2].addr, 2);
}

static void xsk_ring_ready__is_looked_up_only_when_empty(void **state)
{
	assert_int_equal(xsk_ring_ready(&ring), 0);
	mem.producer = 2;
	assert_int_equal(xsk_ring_ready(&ring), 2);
	mem.producer = 5;
	ring.cached_cons++;
	assert_int_equal(xsk_ring_ready(&ring), 1);
	ring.cached_cons++;
	assert_int_equal(xsk_ring_ready(&ring), 3);
	assert_int_equal(mem.consumer, 0);
	xsk_ring_release(&ring);
	assert_int_equal(mem.consumer, 2);
}

static void xsk_ring_ready__impossible_index_means_none(void **state)
{
	mem.producer = SIZE + 1;
	assert_int_equal(xsk_ring_ready(&ring), 0);
	mem.producer = 3;
	assert_int_equal(xsk_ring_ready(&ring), 3);
}

static void xsk_ring__indices_wrap(void **state)
{
	uint32_t start = UINT32_MAX - 2;

	ring.cached_prod = ring.cached_cons = start;
	mem.producer = mem.consumer = start;
	assert_int_equal(xsk_ring_room(&ring, SIZE), SIZE);
	for (unsigned i = 0; i < SIZE; i++)
		xsk_ring_desc(&ring, ring.cached_prod++)->len = i;
	assert_int_equal(xsk_ring_room(&ring, 1), 0);
	xsk_ring_publish(&ring);
	assert_int_equal(mem.producer, 5);

	/* The other side. */
	xsk_ring_init(&ring, &mem, &offsets, SIZE);
	ring.cached_prod = ring.cached_cons = start;
	assert_int_equal(xsk_ring_ready(&ring), SIZE);
	for (unsigned i = 0; i < SIZE; i++)
		assert_int_equal(xsk_ring_desc(&ring, ring.cached_cons++)->len, i);
	xsk_ring_release(&ring);
	assert_int_equal(mem.consumer, 5);
	assert_int_equal(xsk_ring_ready(&ring), 0);
}

static void xsk_ring_addr__entries_of_eight_bytes(void **state)
{
	*xsk_ring_addr(&ring, SIZE + 1) = 0x1234;
	assert_int_equal(((uint64_t *)mem.desc)[1], 0x1234);
}

static void xsk_ring_needs_wakeup__follows_the_flag(void **state)
{
	assert_false(xsk_ring_needs_wakeup(&ring));
	mem.flags = XDP_RING_NEED_WAKEUP;
	assert_true(xsk_ring_needs_wakeup(&ring));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(xsk_ring_room__shrinks_and_is_looked_up_only_when_short, setup),
		cmocka_unit_test_setup(xsk_ring_room__full_ring_has_none, setup),
		cmocka_unit_test_setup(xsk_ring_room__impossible_index_means_none, setup),
		cmocka_unit_test_setup(xsk_ring_publish__shows_the_batch_at_once, setup),
		cmocka_unit_test_setup(xsk_ring_ready__is_looked_up_only_when_empty, setup),
		cmocka_unit_test_setup(xsk_ring_ready__impossible_index_means_none, setup),
		cmocka_unit_test_setup(xsk_ring__indices_wrap, setup),
		cmocka_unit_test_setup(xsk_ring_addr__entries_of_eight_bytes, setup),
		cmocka_unit_test_setup(xsk_ring_needs_wakeup__follows_the_flag, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
