/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * support.c - what every unit test needs linked: a failed fs_assert() ends the test.
 *
 * Inside cmocka's expect_assert_failure() it is the expected result; anywhere else the test fails.
 * Weak, because a test of src/host links that room's own definition.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/err.h"

__attribute__((weak)) _Noreturn void fs_assert_failed(const char *expression, const char *file,
						      int line)
{
	mock_assert(0, expression, file, line);
	abort();
}
