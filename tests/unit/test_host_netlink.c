/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_host_netlink.c - building requests, walking messages and attributes.
 */
#include "host/netlink.h"

#include <errno.h>

#include "host_message.h"

/* --- building --- */

static void host_nl_req_put__pads_to_four_bytes(void **state)
{
	static const uint8_t head[] = { 1, 2, 3 };
	static const uint8_t want[] = { 1, 2, 3, 0, 5, 0, 9, 0, 0x77, 0, 0, 0, 4, 0, 8, 0 };
	struct host_nl_req req;

	host_nl_req_init(&req, 26, 0x300, head, sizeof(head));
	host_nl_req_put(&req, 9, "\x77", 1);
	host_nl_req_put(&req, 8, NULL, 0);
	assert_int_equal(req.len, NETLINK_HEAD + sizeof(want));
	assert_memory_equal(req.buf + NETLINK_HEAD, want, sizeof(want));
	assert_int_equal(req.buf[4], 26);
	assert_int_equal(req.buf[6] | req.buf[7] << 8, 0x301); /* NLM_F_REQUEST is added */
}

static void host_nl_req_put_ip__length_follows_the_family(void **state)
{
	static const uint8_t four[] = { 10, 0, 0, 1 };
	static const uint8_t six[16] = { 0xfd, [15] = 1 };
	struct ip_addr v4 = ip_addr_v4(four), v6 = ip_addr_v6(six);
	struct host_nl_req req;

	host_nl_req_init(&req, 1, 0, NULL, 0);
	host_nl_req_put_ip(&req, 1, &v4);
	assert_int_equal(req.len, NETLINK_HEAD + 8);
	assert_memory_equal(req.buf + NETLINK_HEAD + 4, four, 4);
	host_nl_req_put_ip(&req, 1, &v6);
	assert_int_equal(req.len, NETLINK_HEAD + 8 + 20);
	assert_memory_equal(req.buf + NETLINK_HEAD + 12, six, 16);
}

static void host_nl_req_put__too_much_is_refused_later(void **state)
{
	static const uint8_t much[HOST_NL_REQ_MAX];
	struct host_nl nl = { .fd = 1000000 };
	struct host_nl_req req;

	host_nl_req_init(&req, 1, 0, NULL, 0);
	host_nl_req_put(&req, 1, much, HOST_NL_REQ_MAX - NETLINK_HEAD - 4);
	assert_false(req.overflow);
	host_nl_req_put(&req, 1, NULL, 0);
	assert_true(req.overflow);
	assert_int_equal(req.len, HOST_NL_REQ_MAX);
	assert_int_equal(host_nl_call(&nl, &req, NULL, NULL), -EMSGSIZE);
}

static void host_nl_call__closed_socket(void **state)
{
	struct host_nl nl = { .fd = -1 };
	struct host_nl_req req;

	host_nl_req_init(&req, 1, 0, NULL, 0);
	assert_int_equal(host_nl_call(&nl, &req, NULL, NULL), -EBADF);
}

static void host_nl_open__buffer_too_small_or_crooked(void **state)
{
	static _Alignas(4) uint8_t buf[HOST_NL_BUF_MIN + 4];
	struct host_nl nl;

	assert_int_equal(host_nl_open(&nl, 0, 100, buf, HOST_NL_BUF_MIN - 1), -EINVAL);
	assert_int_equal(nl.fd, -1);
	assert_int_equal(host_nl_open(&nl, 0, 100, buf + 1, HOST_NL_BUF_MIN), -EINVAL);
	assert_int_equal(nl.fd, -1);
}

/* --- messages --- */

/* Two messages of a dump, the first with a body of 5 bytes. */
static const uint8_t two[] = {
	21, 0, 0, 0, 16, 0, 2, 0, 7, 0, 0, 0, 9, 0, 0, 0, 1, 2, 3, 4, 5, 0, 0, 0, /* padded */
	16, 0, 0, 0, 3,	 0, 2, 0, 7, 0, 0, 0, 9, 0, 0, 0,
};

static void host_nl_next_msg__two_then_the_end(void **state)
{
	struct host_nl_walk walk = { two, sizeof(two) };
	struct host_nl_msg msg;

	assert_int_equal(host_nl_next_msg(&walk, &msg), 1);
	assert_int_equal(msg.type, 16);
	assert_int_equal(msg.flags, 2);
	assert_int_equal(msg.seq, 7);
	assert_int_equal(msg.port, 9);
	assert_int_equal(msg.len, 5);
	assert_ptr_equal(msg.data, two + NETLINK_HEAD);
	assert_int_equal(host_nl_next_msg(&walk, &msg), 1);
	assert_int_equal(msg.type, 3);
	assert_int_equal(msg.len, 0);
	assert_int_equal(host_nl_next_msg(&walk, &msg), 0);
}

static void host_nl_next_msg__lying_lengths(void **state)
{
	static const uint32_t lies[] = { 0, 15, 41, 0xffffffff };
	uint8_t bytes[sizeof(two)];
	struct host_nl_msg msg;

	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		struct host_nl_walk walk = { bytes, sizeof(bytes) };

		memcpy(bytes, two, sizeof(two));
		memcpy(bytes, &lies[i], sizeof(lies[i]));
		assert_int_equal(host_nl_next_msg(&walk, &msg), -EBADMSG);
	}
}

static void host_nl_next_msg__cut_at_every_length(void **state)
{
	struct guard g = guard_make();
	struct host_nl_msg msg;

	for (size_t len = 1; len < sizeof(two); len++) {
		struct host_nl_walk walk = { guard_end(&g, two, len), len };
		int ret;

		while ((ret = host_nl_next_msg(&walk, &msg)) > 0)
			;
		/* Only after the first message, with or without its padding, is this an end. */
		assert_int_equal(ret, len >= 21 && len <= 24 ? 0 : -EBADMSG);
	}
	guard_free(&g);
}

/* --- attributes --- */

static const uint8_t attrs[] = {
	8, 0, 1, 0,    0x78, 0x56, 0x34, 0x12, /* u32 */
	5, 0, 2, 0,    0xaa, 0,	   0,	 0,    /* u8 */
	8, 0, 3, 0x80, 4,    0,	   9,	 0,    /* nested, one empty */
	8, 0, 1, 0,    1,    0,	   0,	 0,    /* type 1 again */
};

static void host_nl_attrs__sorted_last_wins(void **state)
{
	struct host_nl_attr table[4];

	assert_int_equal(host_nl_attrs(attrs, sizeof(attrs), table, 4), 0);
	assert_null(table[0].data);
	assert_int_equal(host_nl_u32(&table[1], 77), 1);
	assert_int_equal(host_nl_u8(&table[2], 77), 0xaa);
	assert_int_equal(host_nl_u32(&table[2], 77), 77); /* too short for one */
	assert_int_equal(table[3].type, 3);		  /* without the flag */
	assert_int_equal(host_nl_attrs(table[3].data, table[3].len, table, 4), 0);
	assert_null(table[1].data);
}

static void host_nl_attrs__beyond_the_table_is_skipped(void **state)
{
	struct host_nl_attr table[2];

	assert_int_equal(host_nl_attrs(attrs, sizeof(attrs), table, 2), 0);
	assert_int_equal(host_nl_u32(&table[1], 77), 1);
}

static void host_nl_attrs__lying_lengths(void **state)
{
	static const uint16_t lies[] = { 0, 3, 33, 0xffff };
	struct host_nl_attr table[4];
	uint8_t bytes[sizeof(attrs)];

	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		memcpy(bytes, attrs, sizeof(attrs));
		memcpy(bytes, &lies[i], sizeof(lies[i]));
		assert_int_equal(host_nl_attrs(bytes, sizeof(bytes), table, 4), -EBADMSG);
	}
}

static void host_nl_msg_attrs__header_longer_than_the_message(void **state)
{
	struct host_nl_msg msg = { .data = attrs, .len = 7 };
	struct host_nl_attr table[4];

	assert_int_equal(host_nl_msg_attrs(&msg, 8, table, 4), -EBADMSG);
	msg.len = 8;
	assert_int_equal(host_nl_msg_attrs(&msg, 8, table, 4), 0);
	assert_null(table[1].data);
	/* A header that is not a multiple of four: attributes begin after its padding. */
	msg.len = sizeof(attrs);
	assert_int_equal(host_nl_msg_attrs(&msg, 5, table, 4), 0);
	assert_int_equal(host_nl_u8(&table[2], 0), 0xaa);
	msg.len = 6;
	assert_int_equal(host_nl_msg_attrs(&msg, 5, table, 4), 0);
}

static void host_nl_ip__by_length(void **state)
{
	static const uint8_t bytes[16] = { 10, 0, 0, 1 };
	struct host_nl_attr attr = { .data = bytes, .len = 4 };
	struct ip_addr addr;

	assert_true(host_nl_ip(&attr, &addr));
	assert_true(ip_addr_is_v4(&addr));
	attr.len = 16;
	assert_true(host_nl_ip(&attr, &addr));
	assert_false(ip_addr_is_v4(&addr));
	attr.len = 5;
	assert_false(host_nl_ip(&attr, &addr));
	attr.data = NULL;
	assert_false(host_nl_ip(&attr, &addr));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(host_nl_req_put__pads_to_four_bytes),
		cmocka_unit_test(host_nl_req_put_ip__length_follows_the_family),
		cmocka_unit_test(host_nl_req_put__too_much_is_refused_later),
		cmocka_unit_test(host_nl_call__closed_socket),
		cmocka_unit_test(host_nl_open__buffer_too_small_or_crooked),
		cmocka_unit_test(host_nl_next_msg__two_then_the_end),
		cmocka_unit_test(host_nl_next_msg__lying_lengths),
		cmocka_unit_test(host_nl_next_msg__cut_at_every_length),
		cmocka_unit_test(host_nl_attrs__sorted_last_wins),
		cmocka_unit_test(host_nl_attrs__beyond_the_table_is_skipped),
		cmocka_unit_test(host_nl_attrs__lying_lengths),
		cmocka_unit_test(host_nl_msg_attrs__header_longer_than_the_message),
		cmocka_unit_test(host_nl_ip__by_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
