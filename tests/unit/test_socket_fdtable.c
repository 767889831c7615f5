/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptor number -> what is known of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <limits.h>

#include "socket/fdtable.h"

enum { NUMBERS = FD_CHUNK * FD_CHUNKS };

static struct fd_table table;
static struct fd_entry chunk[FD_CHUNK];

static int setup(void **state)
{
	memset(&table, 0, sizeof(table));
	memset(chunk, 0, sizeof(chunk));
	return 0;
}

static void fd_entry_at__nothing_near(void **state)
{
	assert_null(fd_entry_at(&table, 0));
	assert_null(fd_entry_at(&table, NUMBERS - 1));
	assert_int_equal(fd_kind_of(&table, 3), FD_NONE);
}

static void fd_entry_at__numbers_out_of_range(void **state)
{
	static const int outside[] = { -1, INT_MIN, NUMBERS, INT_MAX };

	table.chunk[0] = table.chunk[FD_CHUNKS - 1] = chunk;
	for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
		assert_null(fd_entry_at(&table, outside[i]));
		assert_int_equal(fd_kind_of(&table, outside[i]), FD_NONE);
	}
	assert_ptr_equal(fd_entry_at(&table, NUMBERS - 1), &chunk[FD_CHUNK - 1]);
}

static void fd_entry_at__chunk_and_place(void **state)
{
	table.chunk[1] = chunk;
	assert_null(fd_entry_at(&table, FD_CHUNK - 1));
	assert_ptr_equal(fd_entry_at(&table, FD_CHUNK), &chunk[0]);
	assert_ptr_equal(fd_entry_at(&table, FD_CHUNK + 7), &chunk[7]);
	assert_ptr_equal(fd_entry_at(&table, 2 * FD_CHUNK - 1), &chunk[FD_CHUNK - 1]);
	assert_null(fd_entry_at(&table, 2 * FD_CHUNK));
}

static void fd_kind_of__says_the_kind(void **state)
{
	table.chunk[0] = chunk;
	chunk[3].kind = FD_SOCK;
	chunk[4].kind = FD_EPOLL;
	chunk[5].kind = FD_RECORD;
	assert_int_equal(fd_kind_of(&table, 2), FD_NONE);
	assert_int_equal(fd_kind_of(&table, 3), FD_SOCK);
	assert_int_equal(fd_kind_of(&table, 4), FD_EPOLL);
	assert_int_equal(fd_kind_of(&table, 5), FD_RECORD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(fd_entry_at__nothing_near, setup),
		cmocka_unit_test_setup(fd_entry_at__numbers_out_of_range, setup),
		cmocka_unit_test_setup(fd_entry_at__chunk_and_place, setup),
		cmocka_unit_test_setup(fd_kind_of__says_the_kind, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
