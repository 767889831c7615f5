/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * support.c - what every unit test needs linked: a failed fs_assert() fails the test, unless the test
 * expects it (support.h).
 *
 * Weak, because a test of src/host links that room's own definition.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <setjmp.h>

#include <cmocka.h>

#include "base/err.h"
#include "support.h"

struct support_trap support_trap;

__attribute__((weak)) _Noreturn void fs_assert_failed(const char *expression, const char *file,
						      int line)
{
	if (support_trap.set)
		longjmp(support_trap.back, 1);
	mock_assert(0, expression, file, line);
	abort();
}
