/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_host_diag.c - which sockets overlap with ours (design-hazards row 16).
 */
#include "host/diag.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>

#include "host_message.h"

static const uint64_t own[] = { 0x100000002ULL };
static const struct ip_addr any = { 0 };

static struct ip_addr v4(uint8_t last)
{
	uint8_t bytes[] = { 10, 0, 0, last };

	return ip_addr_v4(bytes);
}

static struct host_port_query query_of(struct ip_addr addr, bool four, bool six)
{
	return (struct host_port_query){ .addr = addr,
					 .port = 5353,
					 .proto = 17,
					 .v4 = four,
					 .v6 = six,
					 .own = own,
					 .n_own = 1 };
}

/* Somebody's socket as sock_diag shows it. */
static struct host_nl_req socket_request(unsigned char family, const void *addr, uint64_t cookie)
{
	struct inet_diag_msg head = { .idiag_family = family };
	struct host_nl_req req;

	head.id.idiag_sport = htons(5353);
	memcpy(head.id.idiag_src, addr, family == AF_INET ? 4 : 16);
	head.id.idiag_cookie[0] = (uint32_t)cookie;
	head.id.idiag_cookie[1] = (uint32_t)(cookie >> 32);
	host_nl_req_init(&req, 20, 0, &head, sizeof(head));
	return req;
}

static int parsed(const struct host_nl_req *req, const struct host_port_query *query)
{
	struct host_nl_msg msg = message_of(req, 20);

	return host_port_parse(&msg, query);
}

static void hazard_16_host_port_parse__cookie_tells_own_from_foreign(void **state)
{
	struct host_port_query query = query_of(any, true, false);
	struct host_nl_req req = socket_request(AF_INET, "\0\0\0\0", own[0]);

	assert_int_equal(parsed(&req, &query), 0);
	req = socket_request(AF_INET, "\0\0\0\0", 2); /* only the lower half is the same */
	assert_int_equal(parsed(&req, &query), 1);
}

static void host_port_parse__addresses(void **state)
{
	struct host_port_query at_1 = query_of(v4(1), true, false),
			       all = query_of(any, true, false);
	struct host_port_query six = query_of(any, false, true);
	struct ip_addr one = v4(1), two = v4(2);
	struct host_nl_req req = socket_request(AF_INET, one.b + 12, 9);

	assert_int_equal(parsed(&req, &at_1), 1);
	assert_int_equal(parsed(&req, &all), 1);
	assert_int_equal(parsed(&req, &six), 0);
	req = socket_request(AF_INET, two.b + 12, 9);
	assert_int_equal(parsed(&req, &at_1), 0);
	req = socket_request(AF_INET6, one.b, 9); /* v4-mapped */
	assert_int_equal(parsed(&req, &at_1), 1);
	assert_int_equal(parsed(&req, &six), 0);
}

static void host_port_parse__v6_only(void **state)
{
	struct host_port_query four = query_of(any, true, false), six = query_of(any, false, true);
	struct host_nl_req req = socket_request(AF_INET6, any.b, 9);

	assert_int_equal(parsed(&req, &four), 1);
	host_nl_req_put(&req, INET_DIAG_SKV6ONLY, "\x01", 1);
	assert_int_equal(parsed(&req, &four), 0);
	assert_int_equal(parsed(&req, &six), 1);
}

static int parse_one(const struct host_nl_msg *msg)
{
	struct host_port_query query = query_of(any, true, true);

	return host_port_parse(msg, &query);
}

static void host_port_parse__torture(void **state)
{
	struct host_nl_req req = socket_request(AF_INET6, any.b, 9);
	struct host_nl_msg msg;

	host_nl_req_put(&req, INET_DIAG_SKV6ONLY, "\x01", 1);
	msg = message_of(&req, 20);
	message_torture(&msg, parse_one);
	msg.len = sizeof(struct inet_diag_msg) - 1;
	assert_int_equal(parse_one(&msg), -EBADMSG);
}

/* --- /proc --- */

static const char line4[] =
	"  462: 0100000A:14E9 00000000:0000 07 00000000:00000000 00:00000000 00000000"
	"     0        0 5437 2 0000000000000000 0";
static const char line6[] = " 1462: 000000000000000000000000010000FD:14E9 "
			    "00000000000000000000000000000000:0000 07";
static const char mapped[] = "    2: 0000000000000000FFFF00000100000A:14E9 0000";

static void host_port_parse_line__addresses(void **state)
{
	struct host_port_query query = query_of(v4(1), true, false);

	assert_int_equal(host_port_parse_line(line4, strlen(line4), &query), 1);
	assert_int_equal(host_port_parse_line(mapped, strlen(mapped), &query), 1);
	assert_int_equal(host_port_parse_line(line6, strlen(line6), &query), 0);
	query = query_of(v4(2), true, false);
	assert_int_equal(host_port_parse_line(line4, strlen(line4), &query), 0);
	query = query_of(any, false, true);
	assert_int_equal(host_port_parse_line(line6, strlen(line6), &query), 1);
	query.port = 5354;
	assert_int_equal(host_port_parse_line(line6, strlen(line6), &query), 0);
}

static void host_port_parse_line__heading_and_damage(void **state)
{
	static const char heading[] = "   sl  local_address rem_address   st tx_queue rx_queue";
	static const char *const damaged[] = {
		"",
		":",
		"1:",
		"1: 0100000A",
		"1: 0100000A:",
		"1: G100000A:14E9",
		"1: 0100000A0100000A:14E9",
		"1:0100000A:14E9",
		"1: 0100000A:14e9",
		"1: 0100000A:14",
	};
	struct host_port_query query = query_of(any, true, true);

	assert_int_equal(host_port_parse_line(heading, strlen(heading), &query), 0);
	for (size_t i = 0; i < sizeof(damaged) / sizeof(damaged[0]); i++)
		assert_int_equal(host_port_parse_line(damaged[i], strlen(damaged[i]), &query), 0);
}

static void host_port_parse_line__cut_at_every_length(void **state)
{
	struct host_port_query query = query_of(any, true, true);
	struct guard g = guard_make();

	for (size_t len = 0; len <= strlen(line6); len++) {
		const char *line = (const char *)guard_end(&g, line6, len);

		/* Complete from the last digit of the port on. */
		assert_int_equal(host_port_parse_line(line, len, &query), len >= 44);
	}
	guard_free(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hazard_16_host_port_parse__cookie_tells_own_from_foreign),
		cmocka_unit_test(host_port_parse__addresses),
		cmocka_unit_test(host_port_parse__v6_only),
		cmocka_unit_test(host_port_parse__torture),
		cmocka_unit_test(host_port_parse_line__addresses),
		cmocka_unit_test(host_port_parse_line__heading_and_damage),
		cmocka_unit_test(host_port_parse_line__cut_at_every_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
