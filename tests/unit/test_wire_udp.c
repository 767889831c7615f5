/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_wire_udp.c - UDP headers and their length rules.
 */
#include "wire/udp.h"

#include "wire_guard.h"

static const uint8_t header[UDP_HDR_LEN] = { 0x30, 0x39, 0x00, 0x35, 0x00, 0x0c, 0xbe, 0xef };

static void udp_parse__fields(void **state)
{
	struct udp_hdr h = { 0 };

	assert_int_equal(udp_parse(&h, header, sizeof(header)), 8);
	assert_int_equal(h.src_port, 12345);
	assert_int_equal(h.dst_port, 53);
	assert_int_equal(h.len, 12);
	assert_int_equal(h.checksum, 0xbeef);
}

static void udp_parse__truncated_at_every_length(void **state)
{
	struct guard g = guard_make();
	struct udp_hdr h = { 0 };

	for (size_t n = 0; n < 8; n++)
		assert_int_equal(udp_parse(&h, guard_end(&g, header, n), n), WIRE_TRUNCATED);
	assert_int_equal(udp_parse(&h, guard_end(&g, header, 8), 8), 8);
	guard_free(&g);
}

static void udp_parse__length_below_header(void **state)
{
	uint8_t bytes[8];
	struct udp_hdr h = { 0 };

	memcpy(bytes, header, sizeof(bytes));
	for (unsigned len = 0; len <= 8; len++) { /* 0: jumbograms are not ours */
		bytes[5] = (uint8_t)len;
		assert_int_equal(udp_parse(&h, bytes, 8), len < 8 ? WIRE_BAD_LENGTH : 8);
	}
}

static void udp_parse__zero_checksum_visible(void **state)
{
	static const uint8_t bytes[] = { 0, 1, 0, 2, 0, 8, 0, 0 };
	struct udp_hdr h = { .checksum = 1 };

	assert_int_equal(udp_parse(&h, bytes, sizeof(bytes)), 8);
	assert_int_equal(h.checksum, 0);
}

static void udp_payload_len__against_the_packet(void **state)
{
	struct udp_hdr h = { .len = 12 };

	assert_int_equal(udp_payload_len(&h, 12), 4);
	assert_int_equal(udp_payload_len(&h, 100), 4);
	assert_int_equal(udp_payload_len(&h, 11), WIRE_BAD_LENGTH);
	h.len = 8;
	assert_int_equal(udp_payload_len(&h, 8), 0);
	h.len = 65535;
	assert_int_equal(udp_payload_len(&h, 65535), 65527);
}

static void udp_emit__gives_back_the_bytes(void **state)
{
	uint8_t bytes[8];
	struct udp_hdr h = { 0 };

	assert_int_equal(udp_parse(&h, header, sizeof(header)), 8);
	assert_int_equal(udp_emit(&h, bytes, sizeof(bytes)), 8);
	assert_memory_equal(bytes, header, 8);
}

static void udp_emit__no_room(void **state)
{
	uint8_t bytes[8] = { 0xaa };
	struct udp_hdr h = { 0 };

	for (size_t room = 0; room < 8; room++)
		assert_int_equal(udp_emit(&h, bytes, room), 0);
	assert_int_equal(bytes[0], 0xaa);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(udp_parse__fields),
		cmocka_unit_test(udp_parse__truncated_at_every_length),
		cmocka_unit_test(udp_parse__length_below_header),
		cmocka_unit_test(udp_parse__zero_checksum_visible),
		cmocka_unit_test(udp_payload_len__against_the_packet),
		cmocka_unit_test(udp_emit__gives_back_the_bytes),
		cmocka_unit_test(udp_emit__no_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
