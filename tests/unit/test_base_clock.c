/* SPDX-License-Identifier: BSD-2-Clause */
/* Spans of time as programs give them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"

static void fs_span__adds(void **state)
{
	assert_true(fs_span(0, 0) == 0);
	assert_true(fs_span(0, 7) == 7);
	assert_true(fs_span(3, 999999999) == FS_SEC(4) - 1);
	assert_true(fs_span(1LL << 32, 0) == FS_SEC(1LL << 32));
}

static void fs_span__never_longer_than_a_time_can_bear(void **state)
{
	const int64_t last = FS_SPAN_MAX / FS_SEC(1);

	assert_true(fs_span(last - 1, 999999999) == FS_SEC(last) - 1);
	assert_true(fs_span(last, 0) == FS_SPAN_MAX);
	assert_true(fs_span(last - 1, FS_SPAN_MAX) == FS_SPAN_MAX);
	assert_true(fs_span(INT64_MAX, INT64_MAX) == FS_SPAN_MAX);
	assert_true(FS_NEVER - FS_SPAN_MAX >= FS_SPAN_MAX);
}

/* A clock that goes on at each look. */
static fs_ns ticking(fs_ns *clock)
{
	return *clock += 10;
}

static void fs_left__reads_the_clock_once(void **state)
{
	fs_ns clock = 0;

	assert_true(fs_left(15, ticking(&clock)) == 5);
	assert_true(clock == 10);
	assert_true(fs_left(15, ticking(&clock)) == 0);
	assert_true(fs_left(20, 20) == 0);
	assert_true(fs_sooner(fs_left(45, ticking(&clock)), 100) == 15);
	assert_true(clock == 30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fs_span__adds),
		cmocka_unit_test(fs_span__never_longer_than_a_time_can_bear),
		cmocka_unit_test(fs_left__reads_the_clock_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
