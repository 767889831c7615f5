/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * support.c - how a fuzz target fails, by its own check or by an assertion of the code under test.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "fuzz.h"

_Noreturn void fuzz_failed(const char *expression, const char *file, int line)
{
	fprintf(stderr, "%s:%d: %s does not hold\n", file, line, expression);
	abort();
}

_Noreturn void fs_assert_failed(const char *expression, const char *file, int line)
{
	fuzz_failed(expression, file, line);
}
