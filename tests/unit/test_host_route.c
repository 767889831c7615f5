/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_host_route.c - routes out of RTM_NEWROUTE messages.
 */
#include "host/route.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "host_message.h"

/* A kernel's answer (6.18) for 10.99.0.1 via 10.77.0.2 dev 2, mtu lock 1200, hoplimit 9. */
static const uint8_t answer[] = {
	0x02, 0x20, 0x00, 0x00, 0xfe, 0x00, 0x00, 0x01, 0x00, 0x02, 0x00, 0x00,
	0x08, 0x00, 0x0f, 0x00, 0xfe, 0x00, 0x00, 0x00, /* RTA_TABLE */
	0x08, 0x00, 0x01, 0x00, 0x0a, 0x63, 0x00, 0x01, /* RTA_DST */
	0x08, 0x00, 0x04, 0x00, 0x03, 0x00, 0x00, 0x00, /* RTA_OIF 3 */
	0x08, 0x00, 0x07, 0x00, 0x0a, 0x4d, 0x00, 0x01, /* RTA_PREFSRC */
	0x08, 0x00, 0x05, 0x00, 0x0a, 0x4d, 0x00, 0x02, /* RTA_GATEWAY */
	0x1c, 0x00, 0x08, 0x00,				/* RTA_METRICS */
	0x08, 0x00, 0x01, 0x00, 0x04, 0x00, 0x00, 0x00, /* RTAX_LOCK: 1 << RTAX_MTU */
	0x08, 0x00, 0x02, 0x00, 0xb0, 0x04, 0x00, 0x00, /* RTAX_MTU */
	0x08, 0x00, 0x0a, 0x00, 0x09, 0x00, 0x00, 0x00, /* RTAX_HOPLIMIT */
	0x08, 0x00, 0x19, 0x00, 0x00, 0x00, 0x00, 0x00, /* RTA_UID */
	0x24, 0x00, 0x0c, 0x00, 0x02, 0x00, 0x00, 0x00, 0,    0,    0,	  0,
	0,    0,    0,	  0,	0,    0,    0,	  0,	0,    0,    0,	  0,
	0,    0,    0,	  0,	0,    0,    0,	  0,	0,    0,    0,	  0,
};

static struct host_nl_msg kernel_message(void)
{
	return (struct host_nl_msg){ .type = RTM_NEWROUTE, .len = sizeof(answer), .data = answer };
}

static struct host_nl_req request(unsigned char family, unsigned char type)
{
	struct rtmsg head = { .rtm_family = family, .rtm_type = type };
	struct host_nl_req req;

	host_nl_req_init(&req, RTM_NEWROUTE, 0, &head, sizeof(head));
	return req;
}

static struct ip_addr v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
	uint8_t bytes[] = { a, b, c, d };

	return ip_addr_v4(bytes);
}

static void host_route_parse__kernel_answer(void **state)
{
	struct host_nl_msg msg = kernel_message();
	struct ip_addr gateway = v4(10, 77, 0, 2), prefsrc = v4(10, 77, 0, 1);
	struct host_route route;

	assert_int_equal(host_route_parse(&msg, &route), 0);
	assert_int_equal(route.type, HOST_ROUTE_UNICAST);
	assert_int_equal(route.ifindex, 3);
	assert_true(ip_addr_equal(&route.gateway, &gateway));
	assert_true(ip_addr_equal(&route.prefsrc, &prefsrc));
	assert_int_equal(route.mtu, 1200);
	assert_true(route.mtu_locked);
	assert_int_equal(route.hop_limit, 9);
	assert_int_equal(route.expires_ms, 0);
}

static void host_route_parse__types(void **state)
{
	static const struct {
		unsigned char type;
		int ret;
		enum host_route_type want;
	} cases[] = {
		{ RTN_UNICAST, 0, HOST_ROUTE_UNICAST },
		{ RTN_LOCAL, 0, HOST_ROUTE_LOCAL },
		{ RTN_ANYCAST, 0, HOST_ROUTE_LOCAL },
		{ RTN_BROADCAST, 0, HOST_ROUTE_BROADCAST },
		{ RTN_MULTICAST, 0, HOST_ROUTE_MULTICAST },
		{ RTN_BLACKHOLE, -EINVAL, 0 },
		{ RTN_UNREACHABLE, -EHOSTUNREACH, 0 },
		{ RTN_PROHIBIT, -EACCES, 0 },
		{ RTN_THROW, -ENETUNREACH, 0 },
		{ 200, -ENETUNREACH, 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct host_nl_req req = request(AF_INET, cases[i].type);
		struct host_route route = { .ifindex = 0 };
		struct host_nl_msg msg;

		host_nl_req_put_u32(&req, RTA_OIF, 5);
		msg = message_of(&req, RTM_NEWROUTE);
		assert_int_equal(host_route_parse(&msg, &route), cases[i].ret);
		if (cases[i].ret == 0)
			assert_int_equal(route.type, cases[i].want);
	}
}

static void host_route_parse__next_hop_of_the_other_family(void **state)
{
	struct ip_addr hop = { .b = { 0xfe, 0x80, [15] = 7 } };
	uint8_t via[18] = { AF_INET6, 0 };
	struct host_nl_req req = request(AF_INET, RTN_UNICAST);
	struct host_route route;
	struct host_nl_msg msg;

	memcpy(via + 2, hop.b, 16);
	host_nl_req_put_u32(&req, RTA_OIF, 5);
	host_nl_req_put(&req, RTA_VIA, via, sizeof(via));
	msg = message_of(&req, RTM_NEWROUTE);
	assert_int_equal(host_route_parse(&msg, &route), 0);
	assert_true(ip_addr_equal(&route.gateway, &hop));
	assert_true(ip_addr_is_any(&route.prefsrc));
	assert_int_equal(route.mtu, 0);
}

static void host_route_parse__expiry_of_a_learned_mtu(void **state)
{
	static const struct {
		int32_t ticks;
		uint32_t ms;
	} cases[] = { { 0, 0 }, { 1, 10 }, { 59948, 599480 }, { -5, 0 }, { INT32_MAX, 0 } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rta_cacheinfo info = { .rta_expires = cases[i].ticks };
		struct host_nl_req req = request(AF_INET6, RTN_UNICAST);
		struct host_route route;
		struct host_nl_msg msg;

		host_nl_req_put_u32(&req, RTA_OIF, 5);
		host_nl_req_put(&req, RTA_CACHEINFO, &info, sizeof(info));
		msg = message_of(&req, RTM_NEWROUTE);
		assert_int_equal(host_route_parse(&msg, &route), 0);
		assert_int_equal(route.expires_ms, cases[i].ms);
	}
}

static void host_route_parse__no_interface(void **state)
{
	struct host_nl_req req = request(AF_INET, RTN_UNICAST);
	struct host_route route;
	struct host_nl_msg msg = message_of(&req, RTM_NEWROUTE);

	assert_int_equal(host_route_parse(&msg, &route), -EBADMSG);
}

static int parse_one(const struct host_nl_msg *msg)
{
	struct host_route route;

	return host_route_parse(msg, &route);
}

static void host_route_parse__torture(void **state)
{
	struct host_nl_msg msg = kernel_message();

	message_torture(&msg, parse_one);
	/* A metric whose length leaves its nest. */
	struct host_nl_req inner = { .len = NETLINK_HEAD };
	struct host_nl_req req = request(AF_INET, RTN_UNICAST);

	host_nl_req_put_u32(&inner, RTAX_MTU, 1400);
	inner.buf[NETLINK_HEAD] = 9;
	host_nl_req_put_u32(&req, RTA_OIF, 5);
	message_nest(&req, RTA_METRICS, &inner);
	msg = message_of(&req, RTM_NEWROUTE);
	assert_int_equal(parse_one(&msg), -EBADMSG);
}

/* --- default routes --- */

static void host_route_is_default__by_interface(void **state)
{
	struct host_nl_req req = request(AF_INET, RTN_UNICAST);
	struct host_nl_msg msg;

	host_nl_req_put_u32(&req, RTA_OIF, 5);
	msg = message_of(&req, RTM_NEWROUTE);
	assert_int_equal(host_route_is_default(&msg, 5), 1);
	assert_int_equal(host_route_is_default(&msg, 6), 0);
}

static void host_route_is_default__not_of_a_prefix_nor_unreachable(void **state)
{
	struct rtmsg head = { .rtm_family = AF_INET, .rtm_type = RTN_UNICAST, .rtm_dst_len = 1 };
	struct host_nl_req req = request(AF_INET, RTN_UNREACHABLE);
	struct host_nl_msg msg;

	host_nl_req_put_u32(&req, RTA_OIF, 5);
	msg = message_of(&req, RTM_NEWROUTE);
	assert_int_equal(host_route_is_default(&msg, 5), 0);
	host_nl_req_init(&req, RTM_NEWROUTE, 0, &head, sizeof(head));
	host_nl_req_put_u32(&req, RTA_OIF, 5);
	msg = message_of(&req, RTM_NEWROUTE);
	assert_int_equal(host_route_is_default(&msg, 5), 0);
}

/* Next hops out of 5 and 6; the second one's length is @len. */
static struct host_nl_req multipath(unsigned short len)
{
	struct rtnexthop hops[2] = { { .rtnh_len = sizeof(hops[0]), .rtnh_ifindex = 5 },
				     { .rtnh_len = len, .rtnh_ifindex = 6 } };
	struct host_nl_req req = request(AF_INET, RTN_UNICAST);

	host_nl_req_put(&req, RTA_MULTIPATH, hops, sizeof(hops));
	return req;
}

static int default_of_6(const struct host_nl_msg *msg)
{
	return host_route_is_default(msg, 6);
}

static void host_route_is_default__multipath(void **state)
{
	struct host_nl_req req = multipath(sizeof(struct rtnexthop));
	struct host_nl_msg msg = message_of(&req, RTM_NEWROUTE);

	assert_int_equal(host_route_is_default(&msg, 5), 1);
	assert_int_equal(host_route_is_default(&msg, 6), 1);
	assert_int_equal(host_route_is_default(&msg, 7), 0);
	message_torture(&msg, default_of_6);
	req = multipath(sizeof(struct rtnexthop) + 1);
	msg = message_of(&req, RTM_NEWROUTE);
	assert_int_equal(host_route_is_default(&msg, 6), -EBADMSG);
	req = multipath(0);
	msg = message_of(&req, RTM_NEWROUTE);
	assert_int_equal(host_route_is_default(&msg, 6), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(host_route_parse__kernel_answer),
		cmocka_unit_test(host_route_parse__types),
		cmocka_unit_test(host_route_parse__next_hop_of_the_other_family),
		cmocka_unit_test(host_route_parse__expiry_of_a_learned_mtu),
		cmocka_unit_test(host_route_parse__no_interface),
		cmocka_unit_test(host_route_parse__torture),
		cmocka_unit_test(host_route_is_default__by_interface),
		cmocka_unit_test(host_route_is_default__not_of_a_prefix_nor_unreachable),
		cmocka_unit_test(host_route_is_default__multipath),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
