/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_wire_arp.c - ARP requests and replies.
 */
#include "wire/arp.h"

#include "wire_guard.h"

/* 10.0.0.1 (02:00:00:00:00:01) asks for 10.0.0.2. */
static const uint8_t request[ARP_LEN] = {
	0x00, 0x01, 0x08, 0x00, 6, 4, 0x00, 0x01, 0x02, 0, 0, 0, 0, 0x01,
	10,   0,    0,	  1,	0, 0, 0,    0,	  0,	0, 10, 0, 0, 2,
};

static void arp_parse__request(void **state)
{
	static const uint8_t sender[] = { 10, 0, 0, 1 }, target[] = { 10, 0, 0, 2 };
	struct ip_addr want_sender = ip_addr_v4(sender), want_target = ip_addr_v4(target);
	struct arp_hdr h = { 0 };

	assert_int_equal(arp_parse(&h, request, sizeof(request)), 28);
	assert_int_equal(h.op, ARP_REQUEST);
	assert_int_equal(h.sender_mac.b[5], 1);
	assert_true(ip_addr_equal(&h.sender_ip, &want_sender));
	assert_true(ip_addr_equal(&h.target_ip, &want_target));
	assert_int_equal(h.target_mac.b[5], 0);
}

static void arp_parse__padding_ignored(void **state)
{
	uint8_t bytes[46] = { 0 };
	struct arp_hdr h = { 0 };

	memcpy(bytes, request, sizeof(request));
	assert_int_equal(arp_parse(&h, bytes, sizeof(bytes)), 28);
}

static void arp_parse__truncated_at_every_length(void **state)
{
	struct guard g = guard_make();
	struct arp_hdr h = { 0 };

	for (size_t n = 0; n < ARP_LEN; n++)
		assert_int_equal(arp_parse(&h, guard_end(&g, request, n), n), WIRE_TRUNCATED);
	assert_int_equal(arp_parse(&h, guard_end(&g, request, ARP_LEN), ARP_LEN), ARP_LEN);
	guard_free(&g);
}

static void arp_parse__other_kinds(void **state)
{
	uint8_t bytes[ARP_LEN];
	struct arp_hdr h = { 0 };

	memcpy(bytes, request, sizeof(bytes));
	bytes[1] = 6; /* IEEE 802 */
	assert_int_equal(arp_parse(&h, bytes, sizeof(bytes)), WIRE_UNSUPPORTED);
	memcpy(bytes, request, sizeof(bytes));
	bytes[2] = 0x86; /* not IPv4 */
	assert_int_equal(arp_parse(&h, bytes, sizeof(bytes)), WIRE_UNSUPPORTED);
}

static void arp_parse__wrong_address_lengths(void **state)
{
	uint8_t bytes[ARP_LEN];
	struct arp_hdr h = { 0 };

	memcpy(bytes, request, sizeof(bytes));
	bytes[4] = 8;
	assert_int_equal(arp_parse(&h, bytes, sizeof(bytes)), WIRE_BAD_LENGTH);
	memcpy(bytes, request, sizeof(bytes));
	bytes[5] = 16;
	assert_int_equal(arp_parse(&h, bytes, sizeof(bytes)), WIRE_BAD_LENGTH);
}

static void arp_emit__gives_back_the_bytes(void **state)
{
	uint8_t bytes[ARP_LEN];
	struct arp_hdr h = { 0 };

	assert_int_equal(arp_parse(&h, request, sizeof(request)), 28);
	assert_int_equal(arp_emit(&h, bytes, sizeof(bytes)), 28);
	assert_memory_equal(bytes, request, sizeof(request));
}

static void arp_emit__no_room(void **state)
{
	struct arp_hdr h = { .op = ARP_REPLY };
	uint8_t bytes[ARP_LEN] = { 0xaa };

	for (size_t room = 0; room < ARP_LEN; room++)
		assert_int_equal(arp_emit(&h, bytes, room), 0);
	assert_int_equal(bytes[0], 0xaa);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arp_parse__request),
		cmocka_unit_test(arp_parse__padding_ignored),
		cmocka_unit_test(arp_parse__truncated_at_every_length),
		cmocka_unit_test(arp_parse__other_kinds),
		cmocka_unit_test(arp_parse__wrong_address_lengths),
		cmocka_unit_test(arp_emit__gives_back_the_bytes),
		cmocka_unit_test(arp_emit__no_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
