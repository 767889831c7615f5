/* SPDX-License-Identifier: BSD-2-Clause */
/* Network byte order. That a missing swap does not compile is shown by tests/compile_fail.sh. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/endian.h"

static const uint8_t bytes[9] = { 0xee, 1, 2, 3, 4, 5, 6, 7, 8 };

static void be_make__bytes_lie_in_network_order(void **state)
{
	be16_t a = be16_make(0x0102);
	be32_t b = be32_make(0x01020304);
	be64_t c = be64_make(0x0102030405060708);

	assert_memory_equal(&a, bytes + 1, 2);
	assert_memory_equal(&b, bytes + 1, 4);
	assert_memory_equal(&c, bytes + 1, 8);
}

static void be_get__inverse_of_make(void **state)
{
	assert_int_equal(be16_get(be16_make(0xfe01)), 0xfe01);
	assert_int_equal(be32_get(be32_make(0xfedc0001)), 0xfedc0001);
	assert_true(be64_get(be64_make(0xfedc000000000001)) == 0xfedc000000000001);
}

static void be_load__unaligned(void **state)
{
	assert_int_equal(be16_load(bytes + 1), 0x0102);
	assert_int_equal(be32_load(bytes + 1), 0x01020304);
	assert_true(be64_load(bytes + 1) == 0x0102030405060708);
}

static void be_store__unaligned_and_nothing_else(void **state)
{
	uint8_t out[10];

	memset(out, 0xaa, sizeof(out));
	be16_store(out + 1, 0x0102);
	assert_memory_equal(out + 1, bytes + 1, 2);
	assert_int_equal(out[3], 0xaa);
	be32_store(out + 1, 0x01020304);
	assert_memory_equal(out + 1, bytes + 1, 4);
	assert_int_equal(out[5], 0xaa);
	be64_store(out + 1, 0x0102030405060708);
	assert_memory_equal(out + 1, bytes + 1, 8);
	assert_int_equal(out[0], 0xaa);
	assert_int_equal(out[9], 0xaa);
}

static void be_equal__by_value(void **state)
{
	assert_true(be16_equal(be16_make(5), be16_make(5)));
	assert_false(be16_equal(be16_make(5), be16_make(0x500)));
	assert_true(be32_equal(be32_make(5), be32_make(5)));
	assert_false(be32_equal(be32_make(5), be32_make(0x05000000)));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(be_make__bytes_lie_in_network_order),
		cmocka_unit_test(be_get__inverse_of_make),
		cmocka_unit_test(be_load__unaligned),
		cmocka_unit_test(be_store__unaligned_and_nothing_else),
		cmocka_unit_test(be_equal__by_value),
	};

	return cmocka_run_group_tests_name("base_endian", tests, NULL, NULL);
}
