/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_host_neigh.c - neighbours out of RTM_NEWNEIGH messages.
 */
#include "host/neigh.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "host_message.h"

static const uint8_t four[] = { 10, 77, 0, 9 };
static const uint8_t mac[] = { 2, 0, 0, 0, 0, 9 };

static struct host_nl_req request(unsigned char family, uint16_t state, uint8_t flags)
{
	struct ndmsg head = {
		.ndm_family = family, .ndm_ifindex = 3, .ndm_state = state, .ndm_flags = flags
	};
	struct host_nl_req req;

	host_nl_req_init(&req, RTM_NEWNEIGH, 0, &head, sizeof(head));
	return req;
}

static int parsed(const struct host_nl_req *req, struct host_neigh *neigh)
{
	struct host_nl_msg msg = message_of(req, RTM_NEWNEIGH);

	return host_neigh_parse(&msg, neigh);
}

/* A kernel's answer (6.18). */
static void host_neigh_parse__kernel_answer(void **state)
{
	static const uint8_t answer[] = {
		0x02, 0, 0, 0, 0x03, 0, 0, 0, 0x80, 0, 0, 1, 8, 0, 1, 0, 10, 77, 0, 9,
		10,   0, 2, 0, 2,    0, 0, 0, 0,    9, 0, 0, 8, 0, 4, 0, 0,  0,	 0, 0,
		20,   0, 3, 0, 2,    0, 0, 0, 2,    0, 0, 0, 2, 0, 0, 0, 1,  0,	 0, 0,
	};
	struct host_nl_msg msg = { .type = RTM_NEWNEIGH, .len = sizeof(answer), .data = answer };
	struct ip_addr want = ip_addr_v4(four);
	struct host_neigh neigh;

	assert_int_equal(host_neigh_parse(&msg, &neigh), 1);
	assert_int_equal(neigh.ifindex, 3);
	assert_true(ip_addr_equal(&neigh.addr, &want));
	assert_memory_equal(neigh.mac.b, mac, 6);
	assert_int_equal(neigh.state, NUD_PERMANENT);
	assert_true(neigh.usable);
	assert_true(neigh.confirmed);
}

static void host_neigh_parse__states(void **state)
{
	static const struct {
		uint16_t state;
		bool usable, confirmed, failed;
	} cases[] = {
		{ NUD_NONE, false, false, false },    { NUD_INCOMPLETE, false, false, false },
		{ NUD_REACHABLE, true, true, false }, { NUD_STALE, true, false, false },
		{ NUD_DELAY, true, false, false },    { NUD_PROBE, true, false, false },
		{ NUD_FAILED, false, false, true },   { NUD_NOARP, true, true, false },
		{ NUD_PERMANENT, true, true, false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct host_nl_req req = request(AF_INET, cases[i].state, 0);
		struct host_neigh neigh;

		host_nl_req_put(&req, NDA_DST, four, 4);
		host_nl_req_put(&req, NDA_LLADDR, mac, 6);
		assert_int_equal(parsed(&req, &neigh), 1);
		assert_int_equal(neigh.usable, cases[i].usable);
		assert_int_equal(neigh.confirmed, cases[i].confirmed);
		assert_int_equal(neigh.failed, cases[i].failed);
	}
}

static void host_neigh_parse__without_an_ethernet_address(void **state)
{
	struct host_nl_req req = request(AF_INET, NUD_NOARP, 0);
	struct host_neigh neigh;

	host_nl_req_put(&req, NDA_DST, four, 4);
	assert_int_equal(parsed(&req, &neigh), 1);
	assert_false(neigh.usable);
	assert_false(neigh.confirmed);
	host_nl_req_put(&req, NDA_LLADDR, four, 4); /* a tunnel's */
	assert_int_equal(parsed(&req, &neigh), 1);
	assert_false(neigh.usable);
}

static void host_neigh_parse__other_tables(void **state)
{
	struct host_nl_req req = request(AF_BRIDGE, NUD_PERMANENT, 0);
	struct host_neigh neigh;

	host_nl_req_put(&req, NDA_LLADDR, mac, 6);
	assert_int_equal(parsed(&req, &neigh), 0);
	req = request(AF_INET, NUD_PERMANENT, NTF_PROXY);
	host_nl_req_put(&req, NDA_DST, four, 4);
	assert_int_equal(parsed(&req, &neigh), 0);
	req = request(AF_INET, NUD_PERMANENT, 0);
	assert_int_equal(parsed(&req, &neigh), -EBADMSG);
}

static int parse_one(const struct host_nl_msg *msg)
{
	struct host_neigh neigh;

	return host_neigh_parse(msg, &neigh);
}

static void host_neigh_parse__torture(void **state)
{
	struct host_nl_req req = request(AF_INET, NUD_REACHABLE, 0);
	struct host_nl_msg msg;

	host_nl_req_put(&req, NDA_DST, four, 4);
	host_nl_req_put(&req, NDA_LLADDR, mac, 6);
	msg = message_of(&req, RTM_NEWNEIGH);
	message_torture(&msg, parse_one);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(host_neigh_parse__kernel_answer),
		cmocka_unit_test(host_neigh_parse__states),
		cmocka_unit_test(host_neigh_parse__without_an_ethernet_address),
		cmocka_unit_test(host_neigh_parse__other_tables),
		cmocka_unit_test(host_neigh_parse__torture),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
