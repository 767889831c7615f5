/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_wire_icmp.c - ICMP headers and the datagrams that errors of both families quote.
 */
#include "wire/icmp.h"

#include "base/csum.h"
#include "wire_guard.h"

/* Echo request, id 0x1234, sequence 1, no data; the words add up to 0x1a35. */
static const uint8_t echo[8] = { 8, 0, 0xe5, 0xca, 0x12, 0x34, 0x00, 0x01 };

/* Quoted by a port unreachable: UDP 10.0.0.1:5000 to 10.0.0.2:9 and the first 8 bytes only. */
static const uint8_t quoted4[28] = {
	0x45, 0x00, 0x00, 0x40, 0x12, 0x34, 0x40, 0x00, 0x40, 0x11, 0x00, 0x00, 0x0a, 0x00,
	0x00, 0x01, 0x0a, 0x00, 0x00, 0x02, 0x13, 0x88, 0x00, 0x09, 0x00, 0x2c, 0x00, 0x00,
};

/* Quoted by a packet too big: destination options, then TCP 2001:db8::1:5000 to 2001:db8::2:80. */
static const uint8_t quoted6[56] = {
	0x60, 0, 0, 0, 0x05, 0xdc, 60, 64,
	0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
	0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2,
	6, 0, 1, 4, 0, 0, 0, 0,
	0x13, 0x88, 0x00, 0x50, 0x89, 0xab, 0xcd, 0xef,
};

static void icmp_parse__echo(void **state)
{
	struct icmp_hdr h = { 0 };

	assert_int_equal(icmp_parse(&h, echo, sizeof(echo)), 8);
	assert_int_equal(h.type, FS_ICMP_ECHO);
	assert_int_equal(h.code, 0);
	assert_int_equal(icmp_echo_id(&h), 0x1234);
	assert_int_equal(icmp_echo_seq(&h), 1);
	assert_false(icmp_is_error(h.type));
	assert_true(csum_is_valid(csum_inline(echo, sizeof(echo))));
}

static void icmp_parse__frag_needed(void **state)
{
	static const uint8_t bytes[] = { 3, 4, 0, 0, 0, 0, 0x05, 0x78 };
	struct icmp_hdr h = { 0 };

	assert_int_equal(icmp_parse(&h, bytes, sizeof(bytes)), 8);
	assert_int_equal(h.type, FS_ICMP_UNREACHABLE);
	assert_int_equal(h.code, FS_ICMP_CODE_FRAG_NEEDED);
	assert_int_equal(icmp_mtu(&h), 1400);
	assert_true(icmp_is_error(h.type));
}

static void icmp_parse__parameter_problem(void **state)
{
	static const uint8_t bytes[] = { 12, 0, 0, 0, 20, 0, 0, 0 };
	struct icmp_hdr h = { 0 };

	assert_int_equal(icmp_parse(&h, bytes, sizeof(bytes)), 8);
	assert_int_equal(icmp_pointer(&h), 20);
}

static void icmp_parse__truncated_at_every_length(void **state)
{
	struct guard g = guard_make();
	struct icmp_hdr h = { 0 };

	for (size_t n = 0; n < 8; n++)
		assert_int_equal(icmp_parse(&h, guard_end(&g, echo, n), n), WIRE_TRUNCATED);
	assert_int_equal(icmp_parse(&h, guard_end(&g, echo, 8), 8), 8);
	guard_free(&g);
}

static void icmp_is_error__types(void **state)
{
	unsigned n = 0;

	for (unsigned type = 0; type < 256; type++)
		n += icmp_is_error((uint8_t)type);
	assert_int_equal(n, 5);
	assert_true(icmp_is_error(FS_ICMP_TIME_EXCEEDED));
	assert_false(icmp_is_error(FS_ICMP_ECHO_REPLY));
}

static void icmp_emit__gives_back_the_bytes(void **state)
{
	struct icmp_hdr h = { 0 };
	uint8_t bytes[8] = { 0 };

	assert_int_equal(icmp_parse(&h, echo, sizeof(echo)), 8);
	assert_int_equal(icmp_emit(&h, bytes, 7), 0);
	assert_int_equal(bytes[0], 0);
	assert_int_equal(icmp_emit(&h, bytes, sizeof(bytes)), 8);
	assert_memory_equal(bytes, echo, sizeof(echo));
}

static void icmp_original_parse__ipv4_udp(void **state)
{
	struct ip_addr src = ip_addr_v4(quoted4 + 12), dst = ip_addr_v4(quoted4 + 16);
	struct icmp_original o = { 0 };

	assert_int_equal(icmp_original_parse(&o, false, quoted4, sizeof(quoted4)), 20);
	assert_true(ip_addr_equal(&o.src, &src));
	assert_true(ip_addr_equal(&o.dst, &dst));
	assert_int_equal(o.protocol, 17);
	assert_true(o.has_ports);
	assert_int_equal(o.src_port, 5000);
	assert_int_equal(o.dst_port, 9);
	assert_int_equal(o.l4_offset, 20);
	assert_false(o.is_fragment);
}

static void icmp_original_parse__ipv6_tcp(void **state)
{
	struct ip_addr src = ip_addr_v6(quoted6 + 8), dst = ip_addr_v6(quoted6 + 24);
	struct icmp_original o = { 0 };

	assert_int_equal(icmp_original_parse(&o, true, quoted6, sizeof(quoted6)), 48);
	assert_true(ip_addr_equal(&o.src, &src));
	assert_true(ip_addr_equal(&o.dst, &dst));
	assert_int_equal(o.protocol, 6);
	assert_true(o.has_ports);
	assert_int_equal(o.src_port, 5000);
	assert_int_equal(o.dst_port, 80);
	assert_int_equal(o.tcp_seq, 0x89abcdef);
}

static void icmp_original_parse__truncated_at_every_length(void **state)
{
	struct guard g = guard_make();
	struct icmp_original o = { 0 };

	for (size_t n = 0; n < sizeof(quoted4); n++)
		assert_int_equal(icmp_original_parse(&o, false, guard_end(&g, quoted4, n), n),
				 WIRE_TRUNCATED);
	for (size_t n = 0; n < sizeof(quoted6); n++)
		assert_int_equal(icmp_original_parse(&o, true, guard_end(&g, quoted6, n), n),
				 WIRE_TRUNCATED);
	guard_free(&g);
}

static void icmp_original_parse__fragments(void **state)
{
	uint8_t bytes[28];
	struct icmp_original o = { 0 };

	memcpy(bytes, quoted4, sizeof(bytes));
	bytes[6] = 0x20; /* the first has ports */
	assert_int_equal(icmp_original_parse(&o, false, bytes, sizeof(bytes)), 20);
	assert_true(o.is_fragment && o.has_ports);
	bytes[7] = 0x10; /* a later one has not, and may be short */
	assert_int_equal(icmp_original_parse(&o, false, bytes, 21), 20);
	assert_true(o.is_fragment);
	assert_false(o.has_ports);
	assert_int_equal(o.src_port, 0);
}

static void icmp_original_parse__other_protocol(void **state)
{
	uint8_t bytes[20];
	struct icmp_original o = { 0 };

	memcpy(bytes, quoted4, sizeof(bytes));
	bytes[9] = 1;
	assert_int_equal(icmp_original_parse(&o, false, bytes, sizeof(bytes)), 20);
	assert_int_equal(o.protocol, 1);
	assert_false(o.has_ports);
}

static void icmp_original_parse__wrong_family(void **state)
{
	struct icmp_original o = { 0 };

	assert_int_equal(icmp_original_parse(&o, true, quoted4, sizeof(quoted4)), WIRE_BAD_VERSION);
	assert_int_equal(icmp_original_parse(&o, false, quoted6, sizeof(quoted6)),
			 WIRE_BAD_VERSION);
}

static void icmp_original_parse__bad_extension(void **state)
{
	uint8_t bytes[56];
	struct icmp_original o = { 0 };

	memcpy(bytes, quoted6, sizeof(bytes));
	bytes[43] = 5; /* option past its header */
	assert_int_equal(icmp_original_parse(&o, true, bytes, sizeof(bytes)), WIRE_BAD_OPTION);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(icmp_parse__echo),
		cmocka_unit_test(icmp_parse__frag_needed),
		cmocka_unit_test(icmp_parse__parameter_problem),
		cmocka_unit_test(icmp_parse__truncated_at_every_length),
		cmocka_unit_test(icmp_is_error__types),
		cmocka_unit_test(icmp_emit__gives_back_the_bytes),
		cmocka_unit_test(icmp_original_parse__ipv4_udp),
		cmocka_unit_test(icmp_original_parse__ipv6_tcp),
		cmocka_unit_test(icmp_original_parse__truncated_at_every_length),
		cmocka_unit_test(icmp_original_parse__fragments),
		cmocka_unit_test(icmp_original_parse__other_protocol),
		cmocka_unit_test(icmp_original_parse__wrong_family),
		cmocka_unit_test(icmp_original_parse__bad_extension),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
