/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs of units: aligned, never twice, all come back, none too many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "local/half.h"
#include "support.h"

enum { UNITS = 512, RUNS = 64 };

static uint64_t map[UNITS / 64];
static struct local_half half;

static int setup(void **state)
{
	memset(map, 0xff, sizeof(map)); /* whatever lay there */
	local_half_init(&half, map, UNITS);
	return 0;
}

static void local_half_get__every_size(void **state)
{
	for (uint32_t n = 1; n <= UNITS; n *= 2) {
		for (uint32_t i = 0; i < UNITS / n; i++)
			assert_int_equal(local_half_get(&half, n), i * n);
		assert_int_equal(local_half_get(&half, n), LOCAL_HALF_NONE);
		assert_int_equal(local_half_get(&half, 1), LOCAL_HALF_NONE);
		assert_int_equal(half.used, UNITS);
		for (uint32_t i = 0; i < UNITS / n; i++)
			local_half_put(&half, i * n, n);
		assert_int_equal(half.used, 0);
	}
	assert_int_equal(local_half_get(&half, 2 * UNITS), LOCAL_HALF_NONE);
}

static void local_half_get__around_what_is_taken(void **state)
{
	assert_int_equal(local_half_get(&half, 1), 0);
	assert_int_equal(local_half_get(&half, 2), 2);
	assert_int_equal(local_half_get(&half, 1), 1);
	assert_int_equal(half.reached, 4);
	assert_int_equal(local_half_get(&half, 64), 64);
	assert_int_equal(local_half_get(&half, 128), 128);
	assert_int_equal(local_half_get(&half, 32), 32);
	local_half_put(&half, 64, 64);
	assert_int_equal(local_half_get(&half, 256), 256);
	assert_int_equal(local_half_get(&half, 128), LOCAL_HALF_NONE);
	assert_int_equal(local_half_get(&half, 32), 64);
	assert_int_equal(half.reached, 512); /* whatever came back */
}

/* Sizes by chance, taken and put back by chance: no unit is ever in two runs. */
static void local_half__no_unit_twice(void **state)
{
	uint32_t first[RUNS], len[RUNS] = { 0 }, seed = 1;
	uint8_t owner[UNITS] = { 0 };

	for (unsigned turn = 0; turn < 20000; turn++) {
		uint32_t i = (seed = seed * 1664525 + 1013904223) >> 26, n = 1u << (seed >> 8 & 7);

		if (len[i]) {
			memset(owner + first[i], 0, len[i]);
			local_half_put(&half, first[i], len[i]);
			len[i] = 0;
			continue;
		}
		first[i] = local_half_get(&half, n);
		if (first[i] == LOCAL_HALF_NONE)
			continue;
		len[i] = n;
		assert_int_equal(first[i] % n, 0);
		for (uint32_t unit = first[i]; unit < first[i] + n; unit++) {
			assert_int_equal(owner[unit], 0);
			owner[unit] = 1;
		}
	}
}

static void local_half_put__twice_is_our_bug(void **state)
{
	assert_int_equal(local_half_get(&half, 4), 0);
	local_half_put(&half, 0, 4);
	assert_trips(local_half_put(&half, 0, 4));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(local_half_get__every_size, setup),
		cmocka_unit_test_setup(local_half_get__around_what_is_taken, setup),
		cmocka_unit_test_setup(local_half__no_unit_twice, setup),
		cmocka_unit_test_setup(local_half_put__twice_is_our_bug, setup),
	};

	return cmocka_run_group_tests_name("local_half", tests, NULL, NULL);
}
