/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_wire_eth.c - link headers with and without VLAN tags.
 */
#include "wire/eth.h"

#include "wire_guard.h"

#define MACS 0x02, 0, 0, 0, 0, 0x01, 0x02, 0, 0, 0, 0, 0x02

static void eth_parse__untagged(void **state)
{
	static const uint8_t bytes[] = { MACS, 0x08, 0x00, 0x45 };
	static const struct eth_addr dst = { { 2, 0, 0, 0, 0, 1 } }, src = { { 2, 0, 0, 0, 0, 2 } };
	struct eth_hdr h = { 0 };

	assert_int_equal(eth_parse(&h, bytes, sizeof(bytes)), 14);
	assert_true(eth_addr_equal(&h.dst, &dst));
	assert_true(eth_addr_equal(&h.src, &src));
	assert_int_equal(h.type, ETH_TYPE_IPV4);
	assert_int_equal(h.n_tags, 0);
}

static void eth_parse__one_tag(void **state)
{
	static const uint8_t bytes[] = { MACS, 0x81, 0x00, 0x6f, 0xfe, 0x86, 0xdd };
	struct eth_hdr h = { 0 };

	assert_int_equal(eth_parse(&h, bytes, sizeof(bytes)), 18);
	assert_int_equal(h.type, ETH_TYPE_IPV6);
	assert_int_equal(h.n_tags, 1);
	assert_int_equal(h.tag[0].tpid, ETH_TYPE_VLAN);
	assert_int_equal(h.tag[0].tci, 0x6ffe);
	assert_int_equal(eth_tag_vid(&h.tag[0]), 0xffe);
}

static void eth_parse__two_tags(void **state)
{
	static const uint8_t bytes[] = { MACS, 0x88, 0xa8, 0, 0x64, 0x81, 0, 0, 0xc8, 0x08, 0 };
	struct eth_hdr h = { 0 };

	assert_int_equal(eth_parse(&h, bytes, sizeof(bytes)), 22);
	assert_int_equal(h.type, ETH_TYPE_IPV4);
	assert_int_equal(h.n_tags, 2);
	assert_int_equal(h.tag[0].tpid, ETH_TYPE_QINQ);
	assert_int_equal(h.tag[0].tci, 100);
	assert_int_equal(h.tag[1].tpid, ETH_TYPE_VLAN);
	assert_int_equal(h.tag[1].tci, 200);
}

static void eth_parse__three_tags_unsupported(void **state)
{
	static const uint8_t bytes[] = { MACS, 0x88, 0xa8, 0, 1, 0x81, 0, 0, 2,
					 0x81, 0, 0, 3, 8, 0 };
	struct eth_hdr h = { 0 };

	assert_int_equal(eth_parse(&h, bytes, sizeof(bytes)), WIRE_UNSUPPORTED);
}

static void eth_parse__length_frame_unsupported(void **state)
{
	static const uint8_t llc[] = { MACS, 0x00, 0x26, 0x42, 0x42 };
	static const uint8_t below[] = { MACS, 0x05, 0xff }, first[] = { MACS, 0x06, 0x00 };
	static const uint8_t tagged[] = { MACS, 0x81, 0x00, 0, 1, 0x00, 0x26 };
	struct eth_hdr h = { 0 };

	assert_int_equal(eth_parse(&h, llc, sizeof(llc)), WIRE_UNSUPPORTED);
	assert_int_equal(eth_parse(&h, below, sizeof(below)), WIRE_UNSUPPORTED);
	assert_int_equal(eth_parse(&h, first, sizeof(first)), 14);
	assert_int_equal(eth_parse(&h, tagged, sizeof(tagged)), WIRE_UNSUPPORTED);
}

static void eth_parse__truncated_at_every_length(void **state)
{
	static const uint8_t bytes[] = { MACS, 0x88, 0xa8, 0, 0x64, 0x81, 0, 0, 0xc8, 0x08, 0 };
	struct guard g = guard_make();
	struct eth_hdr h = { 0 };

	for (size_t n = 0; n < sizeof(bytes); n++)
		assert_int_equal(eth_parse(&h, guard_end(&g, bytes, n), n), WIRE_TRUNCATED);
	assert_int_equal(eth_parse(&h, guard_end(&g, bytes, 22), 22), 22);
	guard_free(&g);
}

static void eth_emit__round_trip(void **state)
{
	struct eth_hdr in = { .dst = { { 1, 2, 3, 4, 5, 6 } }, .src = { { 7, 8, 9, 10, 11, 12 } },
			      .type = ETH_TYPE_ARP,
			      .tag = { { ETH_TYPE_QINQ, 0xe001 }, { ETH_TYPE_VLAN, 2 } } };

	for (unsigned tags = 0; tags <= ETH_MAX_TAGS; tags++) {
		uint8_t bytes[ETH_MAX_HDR_LEN];
		struct eth_hdr out = { 0 };

		in.n_tags = (uint8_t)tags;
		assert_int_equal(eth_emit_len(&in), 14 + 4 * tags);
		assert_int_equal(eth_emit(&in, bytes, sizeof(bytes)), 14 + 4 * tags);
		assert_int_equal(eth_parse(&out, bytes, sizeof(bytes)), 14 + 4 * tags);
		assert_true(eth_addr_equal(&in.dst, &out.dst) && eth_addr_equal(&in.src, &out.src));
		assert_int_equal(out.type, ETH_TYPE_ARP);
		assert_int_equal(out.n_tags, tags);
		assert_memory_equal(in.tag, out.tag, tags * sizeof(in.tag[0]));
	}
}

static void eth_emit__no_room_writes_nothing(void **state)
{
	struct eth_hdr h = { .type = ETH_TYPE_IPV4, .n_tags = 1 };
	uint8_t bytes[18], untouched[18];

	memset(bytes, 0xaa, sizeof(bytes));
	memset(untouched, 0xaa, sizeof(untouched));
	for (size_t room = 0; room < sizeof(bytes); room++)
		assert_int_equal(eth_emit(&h, bytes, room), 0);
	h.n_tags = 3;
	assert_int_equal(eth_emit(&h, bytes, sizeof(bytes)), 0);
	assert_memory_equal(bytes, untouched, sizeof(bytes));
}

static void eth_addr_is_group__broadcast_and_multicast(void **state)
{
	static const struct eth_addr all = { { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff } };
	static const struct eth_addr group = { { 0x01, 0, 0x5e, 0, 0, 1 } };
	static const struct eth_addr one = { { 0x02, 0, 0, 0, 0, 1 } };

	assert_true(eth_addr_is_group(&all));
	assert_true(eth_addr_is_group(&group));
	assert_false(eth_addr_is_group(&one));
}

static void eth_group_of__both_families(void **state)
{
	static const uint8_t v4[4] = { 239, 255, 1, 2 };
	const struct ip_addr v6 = { .b = { 0xff, 0x02, [12] = 0xa1, [15] = 0xfb } };
	struct ip_addr four = ip_addr_v4(v4);
	const struct eth_addr want4 = { { 0x01, 0x00, 0x5e, 0x7f, 1, 2 } };
	const struct eth_addr want6 = { { 0x33, 0x33, 0xa1, 0, 0, 0xfb } };
	struct eth_addr got = eth_group_of(&four);

	assert_memory_equal(&got, &want4, sizeof(got));
	got = eth_group_of(&v6);
	assert_memory_equal(&got, &want6, sizeof(got));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(eth_parse__untagged),
		cmocka_unit_test(eth_parse__one_tag),
		cmocka_unit_test(eth_parse__two_tags),
		cmocka_unit_test(eth_parse__three_tags_unsupported),
		cmocka_unit_test(eth_parse__length_frame_unsupported),
		cmocka_unit_test(eth_parse__truncated_at_every_length),
		cmocka_unit_test(eth_emit__round_trip),
		cmocka_unit_test(eth_emit__no_room_writes_nothing),
		cmocka_unit_test(eth_addr_is_group__broadcast_and_multicast),
		cmocka_unit_test(eth_group_of__both_families),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
