/* SPDX-License-Identifier: BSD-2-Clause */
/* Object pools. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/slab.h"
#include "support.h"

static uint8_t memory[4096] __attribute__((aligned(FS_CACHE_LINE)));

static int setup(void **state)
{
	memset(memory, 0xa5, sizeof(memory));
	return 0;
}

static void slab_init__size_is_rounded_up_to_cache_lines(void **state)
{
	struct slab s;

	slab_init(&s, 1);
	assert_int_equal(s.object_size, 64);
	slab_init(&s, 65);
	assert_int_equal(s.object_size, 128);
	assert_trips(slab_init(&s, 0));
	assert_trips(slab_init(&s, UINT32_MAX));
}

static void slab_add__room_for_none(void **state)
{
	struct slab s;

	slab_init(&s, 100);
	assert_int_equal(slab_add(&s, memory, 0), 0);
	assert_int_equal(slab_add(&s, memory, 64 + 127), 0);
	assert_null(slab_alloc(&s));
	assert_int_equal(s.total, 0);
	assert_int_equal(memory[0], 0xa5);
}

static void slab_add__unaligned_region(void **state)
{
	struct slab s;
	void *object;

	slab_init(&s, 64);
	assert_int_equal(slab_add(&s, memory + 1, 63 + 64 + 3 * 64 + 5), 3);
	for (int i = 0; i < 3; i++) {
		object = slab_alloc(&s);
		assert_int_equal((uintptr_t)object % FS_CACHE_LINE, 0);
		assert_in_range((uintptr_t)object, (uintptr_t)memory + 1,
				(uintptr_t)memory + 1 + 63 + 64 + 2 * 64 + 5);
		memset(object, 0xff, 64);
	}
	assert_null(slab_alloc(&s));
	assert_int_equal(memory[1 + 63 + 64 + 3 * 64], 0xa5);
}

static void slab_bytes__is_enough(void **state)
{
	struct slab s;

	for (uint32_t size = 1; size < 300; size += 33) {
		for (size_t skew = 0; skew < 64; skew += 9) {
			slab_init(&s, size);
			assert_true(slab_add(&s, memory + skew, slab_bytes(&s, 5)) >= 5);
		}
	}
}

static void slab_alloc__zeroed_also_after_use(void **state)
{
	struct slab s;
	uint8_t *object;

	slab_init(&s, 128);
	assert_int_equal(slab_add(&s, memory, 64 + 128), 1);
	for (int round = 0; round < 2; round++) {
		object = slab_alloc(&s);
		assert_non_null(object);
		for (int i = 0; i < 128; i++)
			assert_int_equal(object[i], 0);
		memset(object, 0xff, 128);
		slab_free(&s, object);
	}
}

static void slab_alloc__objects_do_not_overlap(void **state)
{
	struct slab s;
	uint8_t *object[20];
	uint32_t n;

	slab_init(&s, 128);
	n = slab_add(&s, memory, 1500);
	n += slab_add(&s, memory + 2048, 1000);
	assert_int_equal(n, (1500 - 64) / 128 + (1000 - 64) / 128);
	assert_int_equal(s.total, n);
	for (uint32_t i = 0; i < n; i++) {
		object[i] = slab_alloc(&s);
		assert_non_null(object[i]);
		memset(object[i], (int)i, 128);
	}
	assert_null(slab_alloc(&s));
	assert_int_equal(s.in_use, n);
	for (uint32_t i = 0; i < n; i++) {
		for (int b = 0; b < 128; b++)
			assert_int_equal(object[i][b], i);
	}
}

static void slab_free__last_returned_first_out(void **state)
{
	struct slab s;
	void *a, *b;

	slab_init(&s, 64);
	slab_add(&s, memory, sizeof(memory));
	a = slab_alloc(&s);
	b = slab_alloc(&s);
	slab_free(&s, NULL);
	slab_free(&s, a);
	slab_free(&s, b);
	assert_int_equal(s.in_use, 0);
	assert_ptr_equal(slab_alloc(&s), b);
	assert_ptr_equal(slab_alloc(&s), a);
	assert_int_equal(s.in_use, 2);
}

static void slab_free__more_than_taken_asserts(void **state)
{
	struct slab s;

	slab_init(&s, 64);
	assert_trips(slab_free(&s, memory));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(slab_init__size_is_rounded_up_to_cache_lines, setup),
		cmocka_unit_test_setup(slab_add__room_for_none, setup),
		cmocka_unit_test_setup(slab_add__unaligned_region, setup),
		cmocka_unit_test_setup(slab_bytes__is_enough, setup),
		cmocka_unit_test_setup(slab_alloc__zeroed_also_after_use, setup),
		cmocka_unit_test_setup(slab_alloc__objects_do_not_overlap, setup),
		cmocka_unit_test_setup(slab_free__last_returned_first_out, setup),
		cmocka_unit_test_setup(slab_free__more_than_taken_asserts, setup),
	};

	return cmocka_run_group_tests_name("base_slab", tests, NULL, NULL);
}
