/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_wire_icmpv6.c - ICMPv6 headers.
 */
#include "wire/icmpv6.h"

#include "wire_guard.h"

static const uint8_t too_big[8] = { 2, 0, 0x12, 0x34, 0x00, 0x00, 0x05, 0x00 };

static void icmpv6_parse__packet_too_big(void **state)
{
	struct icmpv6_hdr h = { 0 };

	assert_int_equal(icmpv6_parse(&h, too_big, sizeof(too_big)), 8);
	assert_int_equal(h.type, FS_ICMPV6_PACKET_TOO_BIG);
	assert_int_equal(h.checksum, 0x1234);
	assert_int_equal(h.rest, 1280);
	assert_true(icmpv6_is_error(h.type));
}

static void icmpv6_parse__echo(void **state)
{
	static const uint8_t bytes[] = { 128, 0, 0, 0, 0xab, 0xcd, 0x00, 0x07 };
	struct icmpv6_hdr h = { 0 };

	assert_int_equal(icmpv6_parse(&h, bytes, sizeof(bytes)), 8);
	assert_int_equal(icmpv6_echo_id(&h), 0xabcd);
	assert_int_equal(icmpv6_echo_seq(&h), 7);
	assert_false(icmpv6_is_error(h.type));
}

static void icmpv6_parse__truncated_at_every_length(void **state)
{
	struct guard g = guard_make();
	struct icmpv6_hdr h = { 0 };

	for (size_t n = 0; n < 8; n++)
		assert_int_equal(icmpv6_parse(&h, guard_end(&g, too_big, n), n), WIRE_TRUNCATED);
	assert_int_equal(icmpv6_parse(&h, guard_end(&g, too_big, 8), 8), 8);
	guard_free(&g);
}

static void icmpv6_emit__gives_back_the_bytes(void **state)
{
	struct icmpv6_hdr h = { 0 };
	uint8_t bytes[8] = { 0 };

	assert_int_equal(icmpv6_parse(&h, too_big, sizeof(too_big)), 8);
	assert_int_equal(icmpv6_emit(&h, bytes, 7), 0);
	assert_int_equal(bytes[0], 0);
	assert_int_equal(icmpv6_emit(&h, bytes, sizeof(bytes)), 8);
	assert_memory_equal(bytes, too_big, sizeof(too_big));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(icmpv6_parse__packet_too_big),
		cmocka_unit_test(icmpv6_parse__echo),
		cmocka_unit_test(icmpv6_parse__truncated_at_every_length),
		cmocka_unit_test(icmpv6_emit__gives_back_the_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
