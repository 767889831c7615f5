/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_wire_ipv6.c - IPv6 headers and the walk over extension headers.
 */
#include "wire/ipv6.h"

#include "wire_guard.h"

/* UDP from fe80::1 to ff02::fb, traffic class 0xb8, flow label 0x12345, 20 bytes of payload. */
static const uint8_t header[IPV6_HDR_LEN] = {
	0x6b, 0x81, 0x23, 0x45, 0x00, 0x14, 0x11, 0xff,
	0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x01,
	0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xfb,
};

#define PAD6 1, 4, 0, 0, 0, 0 /* PadN of 6 bytes: fills an 8-byte options header */

static void ipv6_parse__fields(void **state)
{
	struct ip_addr want_src = ip_addr_v6(header + 8), want_dst = ip_addr_v6(header + 24);
	struct ipv6_hdr h = { 0 };

	assert_int_equal(ipv6_parse(&h, header, sizeof(header)), 40);
	assert_int_equal(h.traffic_class, 0xb8);
	assert_int_equal(h.flow_label, 0x12345);
	assert_int_equal(h.payload_len, 20);
	assert_int_equal(h.next_header, 17);
	assert_int_equal(h.hop_limit, 255);
	assert_true(ip_addr_equal(&h.src, &want_src));
	assert_true(ip_addr_equal(&h.dst, &want_dst));
}

static void ipv6_parse__truncated_at_every_length(void **state)
{
	struct guard g = guard_make();
	struct ipv6_hdr h = { 0 };

	for (size_t n = 0; n < 40; n++)
		assert_int_equal(ipv6_parse(&h, guard_end(&g, header, n), n), WIRE_TRUNCATED);
	assert_int_equal(ipv6_parse(&h, guard_end(&g, header, 40), 40), 40);
	guard_free(&g);
}

static void ipv6_parse__bad_version(void **state)
{
	uint8_t bytes[40];
	struct ipv6_hdr h = { 0 };

	memcpy(bytes, header, sizeof(bytes));
	for (unsigned version = 0; version < 16; version++) {
		bytes[0] = (uint8_t)(version << 4 | 0xb);
		assert_int_equal(ipv6_parse(&h, bytes, 40), version == 6 ? 40 : WIRE_BAD_VERSION);
	}
}

static void ipv6_payload_len__padding_and_lies(void **state)
{
	struct ipv6_hdr h = { .payload_len = 20 };

	assert_int_equal(ipv6_payload_len(&h, 60), 20);
	assert_int_equal(ipv6_payload_len(&h, 100), 20);
	assert_int_equal(ipv6_payload_len(&h, 59), WIRE_BAD_LENGTH);
}

static void ipv6_emit__gives_back_the_bytes(void **state)
{
	uint8_t bytes[40] = { 0 };
	struct ipv6_hdr h = { 0 };

	assert_int_equal(ipv6_parse(&h, header, sizeof(header)), 40);
	assert_int_equal(ipv6_emit(&h, bytes, 39), 0);
	assert_int_equal(bytes[0], 0);
	assert_int_equal(ipv6_emit(&h, bytes, sizeof(bytes)), 40);
	assert_memory_equal(bytes, header, 40);
}

static void ipv6_emit__flow_label_cannot_spill(void **state)
{
	struct ipv6_hdr h = { .flow_label = 0xfff12345, .traffic_class = 0 };
	uint8_t bytes[40];

	assert_int_equal(ipv6_emit(&h, bytes, sizeof(bytes)), 40);
	assert_int_equal(be32_load(bytes), 0x60012345);
}

static void ipv6_ext_parse__none(void **state)
{
	struct ipv6_ext e = { .len = 1 };

	assert_int_equal(ipv6_ext_parse(&e, 17, NULL, 0), 0);
	assert_int_equal(e.protocol, 17);
	assert_int_equal(e.len, 0);
	assert_int_equal(e.count, 0);
	assert_int_equal(ipv6_ext_parse(&e, IPV6_NH_NONE, NULL, 0), 0);
	assert_int_equal(e.protocol, IPV6_NH_NONE);
}

/* Every kind in RFC 8200 4.1's order: hop, dest, routing, fragment (atomic), AH, dest, then UDP. */
static const uint8_t every_kind[] = {
	IPV6_NH_DEST, 0, PAD6,
	IPV6_NH_ROUTING, 1, 0x1e, 2, 0xab, 0xcd, 0, 0, 0, 1, 3, 0, 0, 0, 0, 0,
	IPV6_NH_FRAGMENT, 0, 4, 0, 0, 0, 0, 0,
	IPV6_NH_AH, 0, 0, 0, 0xde, 0xad, 0xbe, 0xef,
	IPV6_NH_DEST, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2,
	17, 0, PAD6,
};

static void ipv6_ext_parse__every_kind(void **state)
{
	struct ipv6_ext e = { 0 };

	assert_int_equal(ipv6_ext_parse(&e, IPV6_NH_HOP, every_kind, sizeof(every_kind)),
			 sizeof(every_kind));
	assert_int_equal(e.len, sizeof(every_kind));
	assert_int_equal(e.count, 6);
	assert_int_equal(e.protocol, 17);
	assert_true(e.has_fragment_hdr);
	assert_int_equal(e.frag_id, 0xdeadbeef);
	assert_false(ipv6_is_fragment(&e)); /* RFC 6946 */
}

static void ipv6_ext_parse__truncated_at_every_length(void **state)
{
	struct guard g = guard_make();
	struct ipv6_ext e = { 0 };

	for (size_t n = 0; n < sizeof(every_kind); n++)
		assert_int_equal(ipv6_ext_parse(&e, IPV6_NH_HOP, guard_end(&g, every_kind, n), n),
				 WIRE_TRUNCATED);
	assert_int_equal(ipv6_ext_parse(&e, IPV6_NH_HOP,
					guard_end(&g, every_kind, sizeof(every_kind)),
					sizeof(every_kind)),
			 sizeof(every_kind));
	guard_free(&g);
}

static void ipv6_ext_parse__first_fragment_walks_on(void **state)
{
	static const uint8_t bytes[] = { IPV6_NH_DEST, 0, 0, 1, 0, 0, 0, 7, 17, 0, PAD6 };
	struct ipv6_ext e = { 0 };

	assert_int_equal(ipv6_ext_parse(&e, IPV6_NH_FRAGMENT, bytes, sizeof(bytes)), 16);
	assert_true(e.more_fragments);
	assert_true(ipv6_is_fragment(&e));
	assert_int_equal(e.protocol, 17);
}

static void ipv6_ext_parse__later_fragment_stops(void **state)
{
	/* What follows the fragment header is the middle of something, not a header. */
	static const uint8_t bytes[] = { IPV6_NH_DEST, 0, 0x05, 0xa8, 0, 0, 0, 7, 99, 99, 99 };
	struct ipv6_ext e = { 0 };

	assert_int_equal(ipv6_ext_parse(&e, IPV6_NH_FRAGMENT, bytes, sizeof(bytes)), 8);
	assert_int_equal(e.frag_offset, 1448);
	assert_false(e.more_fragments);
	assert_true(ipv6_is_fragment(&e));
	assert_int_equal(e.protocol, IPV6_NH_DEST);
}

static void ipv6_ext_parse__hop_by_hop_only_first(void **state)
{
	static const uint8_t bytes[] = { IPV6_NH_HOP, 0, PAD6, 17, 0, PAD6 };
	struct ipv6_ext e = { 0 };

	assert_int_equal(ipv6_ext_parse(&e, IPV6_NH_DEST, bytes, sizeof(bytes)), WIRE_BAD_OPTION);
}

static void ipv6_ext_parse__option_forms(void **state)
{
	static const uint8_t pad1[] = { 17, 0, 0, 0, 0, 0, 0, 0 };
	static const uint8_t alert[] = { 17, 0, 5, 2, 0, 0, 1, 0 };
	static const uint8_t past[] = { 17, 0, 1, 5, 0, 0, 0, 0 };
	static const uint8_t cut[] = { 17, 0, 0, 0, 0, 0, 0, 1 };
	struct ipv6_ext e = { 0 };

	assert_int_equal(ipv6_ext_parse(&e, IPV6_NH_HOP, pad1, sizeof(pad1)), 8);
	assert_int_equal(ipv6_ext_parse(&e, IPV6_NH_HOP, alert, sizeof(alert)), 8);
	assert_int_equal(ipv6_ext_parse(&e, IPV6_NH_HOP, past, sizeof(past)), WIRE_BAD_OPTION);
	assert_int_equal(ipv6_ext_parse(&e, IPV6_NH_DEST, cut, sizeof(cut)), WIRE_BAD_OPTION);
}

static void ipv6_ext_parse__options_not_to_be_skipped(void **state)
{
	static const uint8_t jumbo[] = { 17, 0, 0xc2, 4, 0, 1, 0, 0 };
	uint8_t bytes[] = { 17, 0, 0, 4, 0, 0, 0, 0 };
	struct ipv6_ext e = { 0 };

	assert_int_equal(ipv6_ext_parse(&e, IPV6_NH_HOP, jumbo, sizeof(jumbo)), WIRE_UNSUPPORTED);
	bytes[2] = 0x3e; /* action 00: skip */
	assert_int_equal(ipv6_ext_parse(&e, IPV6_NH_DEST, bytes, sizeof(bytes)), 8);
	for (unsigned action = 1; action < 4; action++) {
		bytes[2] = (uint8_t)(action << 6 | 0x3e);
		assert_int_equal(ipv6_ext_parse(&e, IPV6_NH_DEST, bytes, sizeof(bytes)),
				 WIRE_UNSUPPORTED);
	}
}

static void ipv6_ext_parse__routing_with_segments_left(void **state)
{
	uint8_t bytes[] = { 17, 0, 0, 1, 0, 0, 0, 0 };
	struct ipv6_ext e = { 0 };

	assert_int_equal(ipv6_ext_parse(&e, IPV6_NH_ROUTING, bytes, sizeof(bytes)),
			 WIRE_UNSUPPORTED);
	bytes[3] = 0; /* RFC 8200 4.4: done, go on */
	assert_int_equal(ipv6_ext_parse(&e, IPV6_NH_ROUTING, bytes, sizeof(bytes)), 8);
}

static void ipv6_ext_parse__limit(void **state)
{
	uint8_t bytes[(IPV6_MAX_EXT + 1) * 8] = { 0 };
	struct ipv6_ext e = { 0 };

	for (unsigned i = 0; i <= IPV6_MAX_EXT; i++)
		bytes[i * 8] = IPV6_NH_DEST;
	bytes[(IPV6_MAX_EXT - 1) * 8] = 17;
	assert_int_equal(ipv6_ext_parse(&e, IPV6_NH_DEST, bytes, sizeof(bytes)), IPV6_MAX_EXT * 8);
	assert_int_equal(e.count, IPV6_MAX_EXT);
	bytes[(IPV6_MAX_EXT - 1) * 8] = IPV6_NH_DEST; /* one more, then UDP */
	bytes[IPV6_MAX_EXT * 8] = 17;
	assert_int_equal(ipv6_ext_parse(&e, IPV6_NH_DEST, bytes, sizeof(bytes)), WIRE_UNSUPPORTED);
}

static void ipv6_frag_emit__round_trip(void **state)
{
	struct ipv6_ext in = { .protocol = 17, .more_fragments = true, .frag_offset = 1448,
			       .frag_id = 0xfeedf00d };
	struct ipv6_ext out = { 0 };
	uint8_t bytes[8] = { 0 };

	assert_int_equal(ipv6_frag_emit(&in, bytes, 7), 0);
	assert_int_equal(ipv6_frag_emit(&in, bytes, sizeof(bytes)), 8);
	assert_int_equal(ipv6_ext_parse(&out, IPV6_NH_FRAGMENT, bytes, sizeof(bytes)), 8);
	assert_int_equal(out.protocol, 17);
	assert_int_equal(out.frag_offset, 1448);
	assert_int_equal(out.frag_id, 0xfeedf00d);
	assert_true(out.more_fragments);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ipv6_parse__fields),
		cmocka_unit_test(ipv6_parse__truncated_at_every_length),
		cmocka_unit_test(ipv6_parse__bad_version),
		cmocka_unit_test(ipv6_payload_len__padding_and_lies),
		cmocka_unit_test(ipv6_emit__gives_back_the_bytes),
		cmocka_unit_test(ipv6_emit__flow_label_cannot_spill),
		cmocka_unit_test(ipv6_ext_parse__none),
		cmocka_unit_test(ipv6_ext_parse__every_kind),
		cmocka_unit_test(ipv6_ext_parse__truncated_at_every_length),
		cmocka_unit_test(ipv6_ext_parse__first_fragment_walks_on),
		cmocka_unit_test(ipv6_ext_parse__later_fragment_stops),
		cmocka_unit_test(ipv6_ext_parse__hop_by_hop_only_first),
		cmocka_unit_test(ipv6_ext_parse__option_forms),
		cmocka_unit_test(ipv6_ext_parse__options_not_to_be_skipped),
		cmocka_unit_test(ipv6_ext_parse__routing_with_segments_left),
		cmocka_unit_test(ipv6_ext_parse__limit),
		cmocka_unit_test(ipv6_frag_emit__round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
