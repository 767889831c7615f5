/* SPDX-License-Identifier: BSD-2-Clause */
/* Timestamp options: what they switch, and one count over two ways of sending. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "socket/stamp.h"

static void stamps_set__the_last_one_decides(void **state)
{
	struct stamps t = { 0 };

	assert_false(stamps_wanted(&t));
	assert_false(stamps_concern(&t));
	stamps_set(&t, true, true, false);
	assert_true(t.receive && t.ns && !t.new_layout);
	assert_true(stamps_wanted(&t));
	stamps_set(&t, true, false, true);
	assert_true(t.receive && !t.ns && t.new_layout);
	/* Whichever of the four is cleared clears all of them. */
	stamps_set(&t, false, true, false);
	assert_false(t.receive || t.ns);
	assert_true(t.new_layout);
	assert_false(stamps_wanted(&t));
}

static void stamps_wanted__by_what(void **state)
{
	static const uint32_t wanted[] = { STAMP_RX_SOFTWARE, STAMP_RX_SOFTWARE | STAMP_SOFTWARE };
	static const uint32_t unwanted[] = { STAMP_SOFTWARE, STAMP_RAW_HARDWARE | STAMP_RX_HARDWARE,
					     STAMP_TX_RECORD, STAMP_OPT_ID };
	struct stamps t = { 0 };

	for (size_t i = 0; i < 2; i++) {
		stamps_set_flags(&t, wanted[i], false);
		assert_true(stamps_wanted(&t));
		assert_true(stamps_concern(&t));
	}
	for (size_t i = 0; i < 4; i++) {
		stamps_set_flags(&t, unwanted[i], false);
		assert_false(stamps_wanted(&t));
		assert_int_equal(stamps_concern(&t), i < 2); /* but those that others want are told */
	}
	t.keep_last = true;
	assert_true(stamps_wanted(&t));
}

static void stamps_tell__with_filter(void **state)
{
	struct stamps t = { 0 };

	assert_false(stamps_tell_software(&t, false) || stamps_tell_device(&t, true));
	stamps_set_flags(&t, STAMP_SOFTWARE | STAMP_RAW_HARDWARE, false);
	assert_true(stamps_tell_software(&t, false) && stamps_tell_device(&t, false));
	stamps_set_flags(&t, STAMP_SOFTWARE | STAMP_RAW_HARDWARE | STAMP_OPT_RX_FILTER, false);
	assert_false(stamps_tell_software(&t, false) || stamps_tell_device(&t, false));
	assert_true(stamps_tell_software(&t, true) && stamps_tell_device(&t, true));
	stamps_set_flags(&t, STAMP_SOFTWARE | STAMP_RX_SOFTWARE | STAMP_OPT_RX_FILTER, false);
	assert_true(stamps_tell_software(&t, false));
}

static void stamps_number__only_with_the_option(void **state)
{
	struct stamps t = { 0 };

	assert_int_equal(stamps_number(&t, STAMP_TX_SOFTWARE), 0);
	stamps_shadow_sent(&t, STAMP_TX_SOFTWARE);
	assert_false(stamps_differ(&t));
	stamps_set_flags(&t, STAMP_OPT_ID, false);
	assert_int_equal(stamps_number(&t, STAMP_TX_SOFTWARE), 0);
	assert_int_equal(stamps_number(&t, STAMP_TX_HARDWARE), 1); /* counts, though nothing is reported */
	assert_int_equal(stamps_number(&t, 0), 0);
	assert_int_equal(stamps_number(&t, STAMP_TX_ACK), 0);
	assert_int_equal(stamps_number(&t, STAMP_TX_SCHED), 2);
	assert_true(stamps_differ(&t));
	stamps_set_flags(&t, STAMP_OPT_ID | STAMP_SOFTWARE, false); /* it was set: the count goes on */
	assert_int_equal(stamps_number(&t, STAMP_TX_SCHED), 3);
	stamps_set_flags(&t, 0, false);
	stamps_set_flags(&t, STAMP_OPT_ID, false);
	assert_int_equal(stamps_number(&t, STAMP_TX_SCHED), 0);
}

static void stamps_translate__one_count_over_both(void **state)
{
	struct stamps t = { 0 };
	uint32_t is[40], n = 0;

	stamps_set_flags(&t, STAMP_OPT_ID, false);
	assert_int_equal(stamps_translate(&t, 7), 7);
	/* The shadow's twice, ours once, and so on: 0 1 [2] 3 4 [5] ... */
	for (uint32_t i = 0; i < 3 * (STAMP_RUNS - 1); i++) {
		if (i % 3 == 2) {
			assert_int_equal(stamps_number(&t, STAMP_TX_SOFTWARE), i);
			continue;
		}
		is[n++] = i;
		stamps_shadow_sent(&t, STAMP_TX_SOFTWARE);
	}
	for (uint32_t k = 0; k < n; k++)
		assert_int_equal(stamps_translate(&t, k), is[k]);
	/* The oldest runs are forgotten; the latest are right, also for what is still to come. */
	for (uint32_t i = 0; i < STAMP_RUNS; i++) {
		stamps_number(&t, STAMP_TX_SOFTWARE);
		is[n++] = t.number;
		stamps_shadow_sent(&t, STAMP_TX_SOFTWARE);
	}
	for (uint32_t k = n - STAMP_RUNS; k < n; k++)
		assert_int_equal(stamps_translate(&t, k), is[k]);
	assert_int_equal(t.shadow, n);
}

static void stamps_translate__across_the_wrap(void **state)
{
	struct stamps t = { 0 };

	stamps_set_flags(&t, STAMP_OPT_ID, false);
	t.number = t.shadow = UINT32_MAX;
	stamps_number(&t, STAMP_TX_SOFTWARE);
	stamps_shadow_sent(&t, STAMP_TX_SOFTWARE); /* the shadow's last before 0 is the program's 0 */
	stamps_shadow_sent(&t, STAMP_TX_SOFTWARE);
	assert_int_equal(stamps_translate(&t, UINT32_MAX), 0);
	assert_int_equal(stamps_translate(&t, 0), 1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(stamps_set__the_last_one_decides),
		cmocka_unit_test(stamps_wanted__by_what),
		cmocka_unit_test(stamps_tell__with_filter),
		cmocka_unit_test(stamps_number__only_with_the_option),
		cmocka_unit_test(stamps_translate__one_count_over_both),
		cmocka_unit_test(stamps_translate__across_the_wrap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
