/* SPDX-License-Identifier: BSD-2-Clause */
/* How many calls that send a thread is expected to make in a turn, by what it did before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"
#include "context/habit.h"

static const char socks[4]; /* sockets, by their addresses */

/* @n calls for one socket, @pause apart, the first a @first. Returns after how many of them others were expected, by bit. */
static unsigned row(struct habit *habit, unsigned n, enum habit_word first, fs_ns pause)
{
	unsigned expected = 0;

	for (unsigned i = 0; i < n; i++)
		expected |= (unsigned)habit_say(habit, i ? HABIT_DATA : first, socks, FS_SEC(1) + (fs_ns)i * pause) << i;
	habit_end(habit);
	return expected;
}

static void rows(struct habit *habit, unsigned times, unsigned n)
{
	while (times-- > 0)
		row(habit, n, HABIT_DATA, FS_US(1));
}

static void habit_say__expects_nothing_at_first(void **state)
{
	struct habit habit = { 0 };

	for (unsigned i = 0; i < HABIT_PROVEN; i++)
		assert_int_equal(row(&habit, 3, HABIT_DATA, FS_US(1)), 0);
}

static void habit_say__expects_what_was_proven(void **state)
{
	struct habit habit = { 0 };

	rows(&habit, HABIT_PROVEN, 3);
	assert_int_equal(row(&habit, 3, HABIT_DATA, FS_US(1)), 1 << 0 | 1 << 1);
	assert_int_equal(row(&habit, 5, HABIT_DATA, FS_US(1)), 1 << 0 | 1 << 1);
}

/* Where they differ, the least is all that one can rely on. */
static void habit_say__expects_the_least_of_several(void **state)
{
	struct habit habit = { 0 };

	rows(&habit, HABIT_PROVEN - 2, 4);
	rows(&habit, 1, 2);
	rows(&habit, 1, 4);
	assert_int_equal(row(&habit, 4, HABIT_DATA, FS_US(1)), 1);
}

/* Who is told of several events at once answers one socket after the other. */
static void habit_say__another_socket_begins_anew(void **state)
{
	struct habit habit = { 0 };

	for (unsigned i = 0; i < 2 * HABIT_PROVEN; i++)
		habit_say(&habit, HABIT_DATA, &socks[i / 2 % 2], FS_SEC(1) + (fs_ns)i * FS_US(10));
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(habit_say(&habit, HABIT_DATA, &socks[i / 2 % 2], FS_SEC(2)), i % 2 == 0);
	assert_true(habit_say(&habit, HABIT_DATA, &socks[1], FS_SEC(2)));
}

/* One by one to many is not several to one. */
static void habit_say__one_call_each_is_no_habit(void **state)
{
	struct habit habit = { 0 };

	for (unsigned i = 0; i < 10 * HABIT_PROVEN; i++)
		assert_false(habit_say(&habit, HABIT_DATA, &socks[i % 4], FS_SEC(1)));
}

static void habit_say__connections_follow_each_other(void **state)
{
	struct habit habit = { 0 };

	for (unsigned i = 0; i < HABIT_PROVEN; i++) {
		habit_say(&habit, HABIT_END, &socks[i % 4], FS_SEC(1));
		habit_say(&habit, HABIT_CONNECT, &socks[(i + 1) % 4], FS_SEC(1));
		habit_say(&habit, HABIT_DATA, &socks[(i + 2) % 4], FS_SEC(1));
	}
	assert_true(habit_say(&habit, HABIT_END, &socks[0], FS_SEC(1)));
	assert_false(habit_say(&habit, HABIT_CONNECT, &socks[1], FS_SEC(1)));
	assert_false(habit_say(&habit, HABIT_DATA, &socks[2], FS_SEC(1)));
	assert_true(habit_say(&habit, HABIT_END, &socks[3], FS_SEC(1)));
}

static void habit_end__once_fewer_is_enough(void **state)
{
	struct habit habit = { 0 };

	rows(&habit, HABIT_PROVEN, 2);
	assert_int_equal(row(&habit, 1, HABIT_DATA, 0), 1); /* it waited for nothing, once */
	rows(&habit, HABIT_PROVEN - 1, 2);
	assert_int_equal(row(&habit, 2, HABIT_DATA, FS_US(1)), 0);
	assert_int_equal(row(&habit, 2, HABIT_DATA, FS_US(1)), 1);
}

/* Who computes between two calls would hold the first one up each time. */
static void habit_end__a_pause_is_no_habit(void **state)
{
	struct habit habit = { 0 };

	for (unsigned i = 0; i < 10 * HABIT_PROVEN; i++)
		assert_int_equal(row(&habit, 2, HABIT_DATA, HABIT_PAUSE_NS + 1), 0);
	rows(&habit, HABIT_PROVEN, 2);
	assert_int_equal(row(&habit, 2, HABIT_DATA, HABIT_PAUSE_NS + 1), 1);
	assert_int_equal(row(&habit, 2, HABIT_DATA, FS_US(1)), 0);
}

static void habit_end__silence_teaches_nothing(void **state)
{
	struct habit habit = { 0 };

	rows(&habit, HABIT_PROVEN, 2);
	rows(&habit, 100, 0);
	assert_int_equal(row(&habit, 2, HABIT_DATA, FS_US(1)), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(habit_say__expects_nothing_at_first),
		cmocka_unit_test(habit_say__expects_what_was_proven),
		cmocka_unit_test(habit_say__expects_the_least_of_several),
		cmocka_unit_test(habit_say__another_socket_begins_anew),
		cmocka_unit_test(habit_say__one_call_each_is_no_habit),
		cmocka_unit_test(habit_say__connections_follow_each_other),
		cmocka_unit_test(habit_end__once_fewer_is_enough),
		cmocka_unit_test(habit_end__a_pause_is_no_habit),
		cmocka_unit_test(habit_end__silence_teaches_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
