/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_wire_ipv4.c - IPv4 headers, options, fragments, checksum.
 */
#include "wire/ipv4.h"

#include "wire_guard.h"

/* UDP from 192.168.0.1 to 192.168.0.199, DF, 115 bytes; its checksum b861 is right. */
static const uint8_t plain[20] = {
	0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11,
	0xb8, 0x61, 0xc0, 0xa8, 0x00, 0x01, 0xc0, 0xa8, 0x00, 0xc7,
};

/* IGMP from 10.0.0.1 to 224.0.0.22 with router alert. The words add up to 0x20605, that is 0607. */
static const uint8_t alert[24] = {
	0x46, 0xc0, 0x00, 0x28, 0x00, 0x00, 0x40, 0x00, 0x01, 0x02, 0xf9, 0xf8,
	0x0a, 0x00, 0x00, 0x01, 0xe0, 0x00, 0x00, 0x16, 0x94, 0x04, 0x00, 0x00,
};

static void ipv4_parse__plain(void **state)
{
	static const uint8_t src[] = { 192, 168, 0, 1 }, dst[] = { 192, 168, 0, 199 };
	struct ip_addr want_src = ip_addr_v4(src), want_dst = ip_addr_v4(dst);
	struct ipv4_hdr h = { 0 };

	assert_int_equal(ipv4_parse(&h, plain, sizeof(plain)), 20);
	assert_true(ip_addr_equal(&h.src, &want_src));
	assert_true(ip_addr_equal(&h.dst, &want_dst));
	assert_int_equal(h.total_len, 115);
	assert_int_equal(h.ttl, 64);
	assert_int_equal(h.protocol, 17);
	assert_int_equal(h.checksum, 0xb861);
	assert_true(h.dont_fragment);
	assert_false(h.more_fragments);
	assert_false(h.reserved_flag);
	assert_false(ipv4_is_fragment(&h));
	assert_null(h.options);
}

static void ipv4_parse__options(void **state)
{
	struct ipv4_hdr h = { 0 };

	assert_int_equal(ipv4_parse(&h, alert, sizeof(alert)), 24);
	assert_int_equal(h.tos, 0xc0);
	assert_ptr_equal(h.options, alert + 20);
	assert_false(h.source_route);
}

static void ipv4_parse__truncated_at_every_length(void **state)
{
	struct guard g = guard_make();
	struct ipv4_hdr h = { 0 };

	for (size_t n = 0; n < sizeof(alert); n++)
		assert_int_equal(ipv4_parse(&h, guard_end(&g, alert, n), n), WIRE_TRUNCATED);
	assert_int_equal(ipv4_parse(&h, guard_end(&g, alert, 24), 24), 24);
	guard_free(&g);
}

static void ipv4_parse__bad_version(void **state)
{
	uint8_t bytes[20];
	struct ipv4_hdr h = { 0 };

	memcpy(bytes, plain, sizeof(bytes));
	for (unsigned version = 0; version < 16; version++) {
		bytes[0] = (uint8_t)(version << 4 | 5);
		assert_int_equal(ipv4_parse(&h, bytes, 20), version == 4 ? 20 : WIRE_BAD_VERSION);
	}
}

static void ipv4_parse__bad_header_length(void **state)
{
	uint8_t bytes[20];
	struct ipv4_hdr h = { 0 };

	memcpy(bytes, plain, sizeof(bytes));
	for (unsigned ihl = 0; ihl < 5; ihl++) {
		bytes[0] = (uint8_t)(4 << 4 | ihl);
		assert_int_equal(ipv4_parse(&h, bytes, sizeof(bytes)), WIRE_BAD_LENGTH);
	}
}

static void ipv4_parse__total_length_below_header(void **state)
{
	uint8_t bytes[24];
	struct ipv4_hdr h = { 0 };

	memcpy(bytes, alert, sizeof(bytes));
	bytes[3] = 23;
	assert_int_equal(ipv4_parse(&h, bytes, sizeof(bytes)), WIRE_BAD_LENGTH);
	bytes[3] = 24;
	assert_int_equal(ipv4_parse(&h, bytes, sizeof(bytes)), 24);
}

static void ipv4_parse__fragments(void **state)
{
	uint8_t bytes[20];
	struct ipv4_hdr h = { 0 };

	memcpy(bytes, plain, sizeof(bytes));
	bytes[6] = 0x20; /* first: more follow */
	assert_int_equal(ipv4_parse(&h, bytes, sizeof(bytes)), 20);
	assert_true(h.more_fragments);
	assert_int_equal(h.frag_offset, 0);
	assert_true(ipv4_is_fragment(&h));
	bytes[6] = 0x00; /* last: offset 185 * 8 */
	bytes[7] = 0xb9;
	assert_int_equal(ipv4_parse(&h, bytes, sizeof(bytes)), 20);
	assert_false(h.more_fragments);
	assert_int_equal(h.frag_offset, 1480);
	assert_true(ipv4_is_fragment(&h));
	bytes[6] = 0x9f; /* reserved bit, greatest offset */
	bytes[7] = 0xff;
	assert_int_equal(ipv4_parse(&h, bytes, sizeof(bytes)), 20);
	assert_true(h.reserved_flag);
	assert_false(h.dont_fragment);
	assert_int_equal(h.frag_offset, 65528);
}

/* Parse @options behind a header that announces them. */
static int parse_with_options(struct ipv4_hdr *h, const uint8_t *options, size_t len)
{
	struct guard g = guard_make();
	uint8_t bytes[IPV4_MAX_HDR_LEN];
	int ret;

	memcpy(bytes, plain, sizeof(plain));
	memcpy(bytes + 20, options, len);
	bytes[0] = (uint8_t)(4 << 4 | (20 + len) / 4);
	ret = ipv4_parse(h, guard_end(&g, bytes, 20 + len), 20 + len);
	guard_free(&g);
	return ret;
}

static void ipv4_parse__option_forms(void **state)
{
	static const uint8_t nops[] = { 1, 1, 1, 0 }, record[] = { 7, 7, 4, 0, 0, 0, 0, 0 };
	static const uint8_t after_end[] = { 0, 7, 99, 255 };
	struct ipv4_hdr h = { 0 };

	assert_int_equal(parse_with_options(&h, nops, sizeof(nops)), 24);
	assert_int_equal(parse_with_options(&h, record, sizeof(record)), 28);
	assert_int_equal(parse_with_options(&h, after_end, sizeof(after_end)), 24);
}

static void ipv4_parse__source_routes_told(void **state)
{
	static const uint8_t loose[] = { 131, 7, 4, 10, 0, 0, 9, 0 };
	static const uint8_t strict[] = { 1, 137, 7, 4, 10, 0, 0, 9 };
	struct ipv4_hdr h = { 0 };

	assert_int_equal(parse_with_options(&h, loose, sizeof(loose)), 28);
	assert_true(h.source_route);
	assert_int_equal(parse_with_options(&h, strict, sizeof(strict)), 28);
	assert_true(h.source_route);
}

static void ipv4_parse__malformed_options(void **state)
{
	static const uint8_t zero[] = { 7, 0, 0, 0 }, one[] = { 7, 1, 0, 0 };
	static const uint8_t past[] = { 7, 5, 0, 0 }, cut[] = { 1, 1, 1, 7 };
	struct ipv4_hdr h = { 0 };

	assert_int_equal(parse_with_options(&h, zero, sizeof(zero)), WIRE_BAD_OPTION);
	assert_int_equal(parse_with_options(&h, one, sizeof(one)), WIRE_BAD_OPTION);
	assert_int_equal(parse_with_options(&h, past, sizeof(past)), WIRE_BAD_OPTION);
	assert_int_equal(parse_with_options(&h, cut, sizeof(cut)), WIRE_BAD_OPTION);
}

static void ipv4_checksum_ok__known_headers(void **state)
{
	assert_true(ipv4_checksum_ok(plain, sizeof(plain)));
	assert_true(ipv4_checksum_ok(alert, sizeof(alert)));
}

static void ipv4_checksum_ok__every_flipped_bit_noticed(void **state)
{
	uint8_t bytes[24];

	for (unsigned bit = 0; bit < sizeof(bytes) * 8; bit++) {
		memcpy(bytes, alert, sizeof(bytes));
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(ipv4_checksum_ok(bytes, sizeof(bytes)));
	}
}

static void ipv4_payload_len__padding_and_lies(void **state)
{
	struct ipv4_hdr h = { 0 };

	assert_int_equal(ipv4_parse(&h, plain, sizeof(plain)), 20);
	assert_int_equal(ipv4_payload_len(&h, 115), 95);
	assert_int_equal(ipv4_payload_len(&h, 1500), 95);
	assert_int_equal(ipv4_payload_len(&h, 114), WIRE_BAD_LENGTH);
}

static void ipv4_emit__gives_back_the_bytes(void **state)
{
	uint8_t bytes[24];
	struct ipv4_hdr h = { 0 };

	assert_int_equal(ipv4_parse(&h, plain, sizeof(plain)), 20);
	h.checksum = 0; /* computed, not copied */
	assert_int_equal(ipv4_emit(&h, bytes, sizeof(bytes)), 20);
	assert_memory_equal(bytes, plain, sizeof(plain));
	assert_int_equal(ipv4_parse(&h, alert, sizeof(alert)), 24);
	assert_int_equal(ipv4_emit(&h, bytes, sizeof(bytes)), 24);
	assert_memory_equal(bytes, alert, sizeof(alert));
}

static void ipv4_emit__fragment_fields(void **state)
{
	struct ipv4_hdr in = { 0 }, out = { 0 };
	uint8_t bytes[20];

	assert_int_equal(ipv4_parse(&in, plain, sizeof(plain)), 20);
	in.dont_fragment = false;
	in.more_fragments = true;
	in.reserved_flag = true;
	in.frag_offset = 65528;
	in.id = 0xbeef;
	assert_int_equal(ipv4_emit(&in, bytes, sizeof(bytes)), 20);
	assert_true(ipv4_checksum_ok(bytes, 20));
	assert_int_equal(ipv4_parse(&out, bytes, sizeof(bytes)), 20);
	assert_true(out.more_fragments && out.reserved_flag && !out.dont_fragment);
	assert_int_equal(out.frag_offset, 65528);
	assert_int_equal(out.id, 0xbeef);
}

static void ipv4_emit__refuses_bad_lengths_and_no_room(void **state)
{
	struct ipv4_hdr h = { 0 };
	uint8_t bytes[64] = { 0 };

	assert_int_equal(ipv4_parse(&h, plain, sizeof(plain)), 20);
	for (size_t room = 0; room < 20; room++)
		assert_int_equal(ipv4_emit(&h, bytes, room), 0);
	h.hdr_len = 16;
	assert_int_equal(ipv4_emit(&h, bytes, sizeof(bytes)), 0);
	h.hdr_len = 22;
	assert_int_equal(ipv4_emit(&h, bytes, sizeof(bytes)), 0);
	h.hdr_len = 64;
	assert_int_equal(ipv4_emit(&h, bytes, sizeof(bytes)), 0);
	h.hdr_len = 24; /* but no options */
	assert_int_equal(ipv4_emit(&h, bytes, sizeof(bytes)), 0);
	assert_int_equal(bytes[0], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ipv4_parse__plain),
		cmocka_unit_test(ipv4_parse__options),
		cmocka_unit_test(ipv4_parse__truncated_at_every_length),
		cmocka_unit_test(ipv4_parse__bad_version),
		cmocka_unit_test(ipv4_parse__bad_header_length),
		cmocka_unit_test(ipv4_parse__total_length_below_header),
		cmocka_unit_test(ipv4_parse__fragments),
		cmocka_unit_test(ipv4_parse__option_forms),
		cmocka_unit_test(ipv4_parse__source_routes_told),
		cmocka_unit_test(ipv4_parse__malformed_options),
		cmocka_unit_test(ipv4_checksum_ok__known_headers),
		cmocka_unit_test(ipv4_checksum_ok__every_flipped_bit_noticed),
		cmocka_unit_test(ipv4_payload_len__padding_and_lies),
		cmocka_unit_test(ipv4_emit__gives_back_the_bytes),
		cmocka_unit_test(ipv4_emit__fragment_fields),
		cmocka_unit_test(ipv4_emit__refuses_bad_lengths_and_no_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
