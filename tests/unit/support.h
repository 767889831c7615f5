/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * support.h - for unit tests whose subject is a failing fs_assert().
 *
 * Include after cmocka.h. cmocka's own expect_assert_failure() works too, but prints lines between the
 * results that readers of TAP take for an error.
 * Threads: one.
 */
#ifndef FSOCK_TESTS_UNIT_SUPPORT_H
#define FSOCK_TESTS_UNIT_SUPPORT_H

#include <setjmp.h>
#include <stdbool.h>

/* Where a failing fs_assert() returns to while a test expects one. */
struct support_trap {
	bool set;
	jmp_buf back;
};

extern struct support_trap support_trap;

/* The test fails unless an fs_assert() fails while @statement runs, which ends it there. */
#define assert_trips(statement)                                                                    \
	do {                                                                                       \
		support_trap.set = true;                                                           \
		if (setjmp(support_trap.back) == 0) {                                              \
			statement;                                                                 \
			support_trap.set = false;                                                  \
			fail_msg("no assertion failed in: %s", #statement);                        \
		}                                                                                  \
		support_trap.set = false;                                                          \
	} while (0)

#endif
