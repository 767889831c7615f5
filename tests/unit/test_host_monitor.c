/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_host_monitor.c - what a notification means.
 */
#include "host/monitor.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "host_message.h"

static struct host_nl_req request(const void *head, size_t len)
{
	struct host_nl_req req;

	host_nl_req_init(&req, 0, 0, head, len);
	return req;
}

static int parsed(const struct host_nl_req *req, uint16_t type, struct host_change *change)
{
	struct host_nl_msg msg = message_of(req, type);

	return host_change_parse(&msg, change);
}

static void host_change_parse__link(void **state)
{
	struct ifinfomsg head = { .ifi_index = 7 };
	struct host_nl_req req = request(&head, sizeof(head));
	struct host_change change;

	assert_int_equal(parsed(&req, RTM_NEWLINK, &change), HOST_CHANGED_LINK);
	assert_int_equal(change.kind, HOST_CHANGED_LINK);
	assert_int_equal(change.ifindex, 7);
	assert_false(change.gone);
	assert_int_equal(parsed(&req, RTM_DELLINK, &change), HOST_CHANGED_LINK);
	assert_true(change.gone);
	/* A port that left its bridge is still a link. */
	head.ifi_family = AF_BRIDGE;
	req = request(&head, sizeof(head));
	assert_int_equal(parsed(&req, RTM_DELLINK, &change), HOST_CHANGED_LINK);
	assert_false(change.gone);
}

static void host_change_parse__address(void **state)
{
	static const uint8_t ours[] = { 10, 0, 0, 1 }, peer[] = { 10, 0, 0, 2 };
	struct ifaddrmsg head = { .ifa_family = AF_INET, .ifa_index = 7 };
	struct host_nl_req req = request(&head, sizeof(head));
	struct ip_addr want = ip_addr_v4(ours);
	struct host_change change;

	host_nl_req_put(&req, IFA_ADDRESS, peer, 4);
	host_nl_req_put(&req, IFA_LOCAL, ours, 4);
	assert_int_equal(parsed(&req, RTM_DELADDR, &change), HOST_CHANGED_ADDR);
	assert_true(change.gone);
	assert_int_equal(change.ifindex, 7);
	assert_true(ip_addr_equal(&change.addr, &want));
	assert_int_equal(parsed(&req, RTM_NEWADDR, &change), HOST_CHANGED_ADDR);
	assert_false(change.gone);
}

static void host_change_parse__neighbour(void **state)
{
	static const uint8_t four[] = { 10, 0, 0, 1 };
	struct ndmsg head = { .ndm_family = AF_INET, .ndm_ifindex = 7, .ndm_state = NUD_FAILED };
	struct host_nl_req req = request(&head, sizeof(head));
	struct host_change change;

	host_nl_req_put(&req, NDA_DST, four, 4);
	assert_int_equal(parsed(&req, RTM_NEWNEIGH, &change), HOST_CHANGED_NEIGH);
	assert_true(change.neigh.failed);
	assert_int_equal(change.ifindex, 7);
	assert_int_equal(parsed(&req, RTM_DELNEIGH, &change), HOST_CHANGED_NEIGH);
	assert_true(change.gone);
	/* The bridge's forwarding table is no news. */
	head.ndm_family = AF_BRIDGE;
	req = request(&head, sizeof(head));
	assert_int_equal(parsed(&req, RTM_NEWNEIGH, &change), 0);
	assert_int_equal(change.kind, 0);
}

static void host_change_parse__routes_rules_nexthops(void **state)
{
	static const uint16_t types[] = { RTM_NEWROUTE, RTM_DELROUTE,	RTM_NEWRULE,
					  RTM_DELRULE,	RTM_NEWNEXTHOP, RTM_DELNEXTHOP };
	struct host_nl_req req = request(NULL, 0);
	struct host_change change;

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		assert_int_equal(parsed(&req, types[i], &change), HOST_CHANGED_ROUTE);
}

static void host_change_parse__traffic_control(void **state)
{
	static const uint16_t types[] = { RTM_NEWQDISC,	 RTM_DELQDISC,	 RTM_NEWTCLASS,
					  RTM_DELTCLASS, RTM_NEWTFILTER, RTM_DELTFILTER,
					  RTM_NEWCHAIN,	 RTM_DELCHAIN };
	struct tcmsg head = { .tcm_ifindex = 7 };
	struct host_nl_req req = request(&head, sizeof(head));
	struct host_change change;

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		assert_int_equal(parsed(&req, types[i], &change), HOST_CHANGED_TC);
		assert_int_equal(change.ifindex, 7);
	}
}

static void host_change_parse__unknown_types(void **state)
{
	struct host_nl_req req = request(NULL, 0);
	struct host_change change;

	assert_int_equal(parsed(&req, RTM_NEWPREFIX, &change), 0);
	assert_int_equal(parsed(&req, 3, &change), 0);
}

static void host_change_parse__too_short(void **state)
{
	static const uint16_t types[] = { RTM_NEWLINK, RTM_NEWADDR, RTM_NEWNEIGH, RTM_NEWQDISC };
	struct host_nl_req req = request("abc", 3);
	struct host_change change;

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		assert_int_equal(parsed(&req, types[i], &change), -EBADMSG);
}

static int parse_one(const struct host_nl_msg *msg)
{
	struct host_change change;

	return host_change_parse(msg, &change);
}

static void host_change_parse__torture(void **state)
{
	static const uint8_t ours[] = { 10, 0, 0, 1 };
	struct ifaddrmsg head = { .ifa_family = AF_INET, .ifa_index = 7 };
	struct host_nl_req req = request(&head, sizeof(head));
	struct host_nl_msg msg;

	host_nl_req_put(&req, IFA_LOCAL, ours, 4);
	for (uint16_t type = RTM_NEWLINK; type <= RTM_DELNEXTHOP; type++) {
		msg = message_of(&req, type);
		message_torture(&msg, parse_one);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(host_change_parse__link),
		cmocka_unit_test(host_change_parse__address),
		cmocka_unit_test(host_change_parse__neighbour),
		cmocka_unit_test(host_change_parse__routes_rules_nexthops),
		cmocka_unit_test(host_change_parse__traffic_control),
		cmocka_unit_test(host_change_parse__unknown_types),
		cmocka_unit_test(host_change_parse__too_short),
		cmocka_unit_test(host_change_parse__torture),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
