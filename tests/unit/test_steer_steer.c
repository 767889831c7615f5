/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Steering as far as it is memory: heartbeat, wildcard entries, counters. What needs the kernel is in
 * tests/system/test_steer.py.
 */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "steer/steer.h"

static struct steer_shared shared;
static struct steer steer;

static int setup(void **state)
{
	memset(&shared, 0, sizeof(shared));
	memset(&steer, 0, sizeof(steer));
	steer.shared = &shared;
	for (unsigned i = 0; i < STEER_N_FDS; i++)
		steer.fd[i] = -1;
	return 0;
}

static void steer_heartbeat__nothing_asked_nothing_written(void **state)
{
	shared.beat[1].taken_ns = 7;
	steer_heartbeat(&shared, 1, FS_SEC(9));
	assert_int_equal(shared.beat[1].taken_ns, 7);
}

static void steer_heartbeat__answers_with_now(void **state)
{
	shared.beat[1].asked_ns = FS_SEC(1);
	steer_heartbeat(&shared, 1, FS_SEC(2));
	assert_int_equal(shared.beat[1].taken_ns, FS_SEC(2));
	assert_int_equal(shared.beat[0].taken_ns, 0);
	steer_heartbeat(&shared, 1, FS_SEC(3));
	assert_int_equal(shared.beat[1].taken_ns, FS_SEC(2));
}

/* A reading of the clock older than the question must still close it. */
static void steer_heartbeat__old_reading_closes_the_question(void **state)
{
	shared.beat[0].asked_ns = FS_SEC(2);
	steer_heartbeat(&shared, 0, FS_SEC(1));
	assert_int_equal(shared.beat[0].taken_ns, FS_SEC(2));
}

static void steer_forget__no_port_has_rules(void **state)
{
	static const struct steer_slot none[STEER_SLOTS][65536];

	shared.slot[STEER_SLOT_UDP][65535].wild = STEER_WILD_V4;
	shared.slot[STEER_SLOT_TCP][1].flows = 3;
	shared.slot[STEER_SLOT_TCP][80].exact = 1;
	shared.flags = STEER_F_TAP;
	steer_forget(&shared);
	assert_memory_equal(shared.slot, none, sizeof(none));
	assert_int_equal(shared.flags, STEER_F_TAP); /* the guard asks by it whether its owner lives */
}

static void steer_stamps__last_as_long_as_one_wants_them(void **state)
{
	steer_stamps_on(&shared);
	steer_stamps_on(&shared);
	steer_stamps_off(&shared);
	assert_int_not_equal(shared.stamp_key, 0);
	steer_stamps_off(&shared);
	assert_int_equal(shared.stamp_key, 0);
}

/* Stamps that lie about unlooked at since an earlier time must not pass for new ones. */
static void steer_stamps_on__no_key_returns(void **state)
{
	uint64_t key[4];

	for (int i = 0; i < 4; i++) {
		steer_stamps_on(&shared);
		key[i] = shared.stamp_key;
		if (i == 1)
			steer_stamps_off(&shared);
		for (int j = 0; j < i; j++)
			assert_int_not_equal(key[j], key[i]);
	}
}

static struct steer_port wildcard(uint8_t protocol, uint8_t wild)
{
	return (struct steer_port){ .protocol = protocol, .wild = wild, .port = 53 };
}

static void steer_port_add__wildcards_are_bits(void **state)
{
	const struct steer_port both = wildcard(IPPROTO_UDP, STEER_WILD_BOTH);
	const struct steer_port v4 = wildcard(IPPROTO_UDP, STEER_WILD_V4);
	const struct steer_slot *slot = &shared.slot[STEER_SLOT_UDP][53];

	assert_int_equal(steer_port_add(&steer, &both), 0);
	assert_int_equal(steer_port_add(&steer, &v4), 0);
	assert_int_equal(steer_port_add(&steer, &v4), 0);
	assert_int_equal(slot->wild, STEER_WILD_BOTH | STEER_WILD_V4);
	assert_int_equal(steer_port_remove(&steer, &v4), 0);
	assert_int_equal(slot->wild, STEER_WILD_BOTH);
	assert_int_equal(steer_port_remove(&steer, &both), 0);
	assert_int_equal(steer_port_remove(&steer, &both), 0);
	assert_int_equal(slot->wild, 0);
	assert_int_equal(slot->exact, 0);
}

static void steer_port_aside__is_the_ports_of_udp_alone(void **state)
{
	const struct steer_port both = wildcard(IPPROTO_UDP, STEER_WILD_BOTH);
	const struct steer_slot *slot = &shared.slot[STEER_SLOT_UDP][53];

	assert_int_equal(steer_port_add(&steer, &both), 0);
	steer_port_aside(&shared, 53, true);
	assert_true(slot->aside);
	assert_int_equal(slot->wild, STEER_WILD_BOTH);
	assert_false(shared.slot[STEER_SLOT_TCP][53].aside);
	assert_false(shared.slot[STEER_SLOT_UDP][54].aside);
	steer_port_aside(&shared, 53, false);
	assert_false(slot->aside);
}

static void steer_port_add__mapped_any_is_a_wildcard(void **state)
{
	static const uint8_t zero[4];
	struct steer_port port = wildcard(IPPROTO_TCP, STEER_WILD_V4);

	port.local = ip_addr_v4(zero);
	assert_int_equal(steer_port_add(&steer, &port), 0);
	assert_int_equal(shared.slot[STEER_SLOT_TCP][53].wild, STEER_WILD_V4);
	assert_int_equal(shared.slot[STEER_SLOT_UDP][53].wild, 0);
}

static void steer_port_add__refuses(void **state)
{
	struct steer_port port = wildcard(IPPROTO_SCTP, STEER_WILD_BOTH);
	const struct steer_flow flow = { .protocol = IPPROTO_SCTP };

	assert_int_equal(steer_port_add(&steer, &port), -EPROTONOSUPPORT);
	assert_int_equal(steer_port_remove(&steer, &port), -EPROTONOSUPPORT);
	assert_int_equal(steer_flow_add(&steer, &flow, STEER_FLOW_STACK), -EPROTONOSUPPORT);
	assert_int_equal(steer_flow_remove(&steer, &flow), -EPROTONOSUPPORT);
	port = wildcard(IPPROTO_UDP, STEER_WILD_BOTH);
	port.port = 0;
	assert_int_equal(steer_port_add(&steer, &port), -EINVAL);
}

/* An entry with an address that the table refuses (here: there is no table) is not counted. */
static void steer_port_add__failure_leaves_the_count(void **state)
{
	static const uint8_t addr[4] = { 10, 0, 0, 1 };
	struct steer_port port = wildcard(IPPROTO_UDP, 0);
	const struct steer_flow flow = { .protocol = IPPROTO_UDP, .local_port = 53 };

	port.local = ip_addr_v4(addr);
	assert_true(steer_port_add(&steer, &port) < 0);
	assert_true(steer_flow_add(&steer, &flow, STEER_FLOW_STACK) < 0);
	assert_int_equal(shared.slot[STEER_SLOT_UDP][53].exact, 0);
	assert_int_equal(shared.slot[STEER_SLOT_UDP][53].flows, 0);
}

static void steer_stats__sums_all_lines(void **state)
{
	struct steer_counts sum;

	shared.count[0].redirected = 1;
	shared.count[STEER_CPU_LINES - 1].redirected = 2;
	shared.count[3].guard_dropped = 5;
	steer_stats(&shared, &sum);
	assert_int_equal(sum.redirected, 3);
	assert_int_equal(sum.guard_dropped, 5);
	assert_int_equal(sum.passed_stale, 0);
}

static void steer_open__impossible_arguments(void **state)
{
	char why[32];
	struct steer_open_args args = { .ifindex = 0, .n_queues = 1, .why = why, .why_len = sizeof(why) };

	assert_int_equal(steer_open(&steer, &args), -ENODEV);
	assert_string_equal(why, "no such interface");
	args.ifindex = 1;
	args.n_queues = STEER_MAX_QUEUES + 1;
	assert_int_equal(steer_open(&steer, &args), -EOPNOTSUPP);
	assert_int_equal(strlen(why), sizeof(why) - 1); /* cut, not overrun */
	assert_null(steer.shared);
	steer_close(&steer); /* of a failed open: nothing */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(steer_heartbeat__nothing_asked_nothing_written, setup),
		cmocka_unit_test_setup(steer_heartbeat__answers_with_now, setup),
		cmocka_unit_test_setup(steer_heartbeat__old_reading_closes_the_question, setup),
		cmocka_unit_test_setup(steer_forget__no_port_has_rules, setup),
		cmocka_unit_test_setup(steer_stamps__last_as_long_as_one_wants_them, setup),
		cmocka_unit_test_setup(steer_stamps_on__no_key_returns, setup),
		cmocka_unit_test_setup(steer_port_add__wildcards_are_bits, setup),
		cmocka_unit_test_setup(steer_port_add__mapped_any_is_a_wildcard, setup),
		cmocka_unit_test_setup(steer_port_aside__is_the_ports_of_udp_alone, setup),
		cmocka_unit_test_setup(steer_port_add__refuses, setup),
		cmocka_unit_test_setup(steer_port_add__failure_leaves_the_count, setup),
		cmocka_unit_test_setup(steer_stats__sums_all_lines, setup),
		cmocka_unit_test_setup(steer_open__impossible_arguments, setup),
	};

	return cmocka_run_group_tests_name("steer_steer", tests, NULL, NULL);
}
