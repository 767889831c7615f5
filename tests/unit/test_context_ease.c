/* SPDX-License-Identifier: BSD-2-Clause */
/* When a thread that reads a link leaves it alone for a moment, by what its looks found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "context/ease.h"

enum { FD = 7 };

/* @n looks that find bytes and leave none. Is the next one put off? */
static bool finds(struct ease *e, int fd, unsigned n, fs_ns now)
{
	while (n-- > 0)
		if (ease_found(e, fd))
			ease_begin(e, now);
	return ease_is_due(e, fd);
}

static void looks_are_put_off_where_each_one_finds_bytes(void **state)
{
	struct ease e = { 0 };

	assert_false(ease_is_due(&e, FD));
	assert_false(finds(&e, FD, EASE_HITS - 1, FS_SEC(1)));
	assert_true(finds(&e, FD, 1, FS_SEC(1)));
	assert_true(ease_goes_on(&e, FS_SEC(1) + EASE_NS - 1));
	assert_false(ease_goes_on(&e, FS_SEC(1) + EASE_NS));
	assert_false(ease_goes_on(&e, FS_SEC(1) - 1));
}

static void what_was_left_over_is_read_at_once(void **state)
{
	struct ease e = { 0 };

	assert_true(finds(&e, FD, EASE_HITS, FS_SEC(1)));
	ease_found(&e, FD);
	assert_false(ease_is_due(&e, FD));
	assert_true(finds(&e, FD, 1, FS_SEC(1)));
}

static void one_look_in_vain_costs_two_that_were_not(void **state)
{
	struct ease e = { 0 };

	finds(&e, FD, EASE_HITS - 1, FS_SEC(1));
	ease_missed(&e);
	assert_false(finds(&e, FD, EASE_MISS, FS_SEC(1)));
	assert_true(finds(&e, FD, 1, FS_SEC(1)));
}

static void a_look_put_off_in_vain_ends_it(void **state)
{
	struct ease e = { 0 };

	finds(&e, FD, EASE_HITS, FS_SEC(1));
	ease_missed(&e);
	assert_false(ease_is_due(&e, FD));
	assert_false(finds(&e, FD, EASE_HITS - 1, FS_SEC(1)));
	assert_true(finds(&e, FD, 1, FS_SEC(1)));
}

/* Each message is waited for: in vain at first. */
static void who_waits_for_each_message_never_does(void **state)
{
	struct ease e = { 0 };

	for (unsigned i = 0; i < 100; i++) {
		ease_missed(&e);
		assert_false(finds(&e, FD, 1, FS_SEC(1)));
	}
}

static void other_descriptors_and_other_calls_end_it(void **state)
{
	struct ease e = { 0 };

	finds(&e, FD, EASE_HITS, FS_SEC(1));
	assert_false(ease_is_due(&e, FD + 1));
	assert_false(finds(&e, FD + 1, 1, FS_SEC(1)));
	assert_false(finds(&e, FD, 1, FS_SEC(1)));
	finds(&e, FD, EASE_HITS, FS_SEC(1));
	ease_end(&e);
	assert_false(ease_is_due(&e, FD));
	assert_false(finds(&e, FD, EASE_HITS - 1, FS_SEC(1)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(looks_are_put_off_where_each_one_finds_bytes),
		cmocka_unit_test(what_was_left_over_is_read_at_once),
		cmocka_unit_test(one_look_in_vain_costs_two_that_were_not),
		cmocka_unit_test(a_look_put_off_in_vain_ends_it),
		cmocka_unit_test(who_waits_for_each_message_never_does),
		cmocka_unit_test(other_descriptors_and_other_calls_end_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
