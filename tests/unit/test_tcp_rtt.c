/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_tcp_rtt.c - round trips and the timeout that follows from them: RFC 6298's numbers, Linux's changes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tcp/loss.h"

enum { MIN_US = 200000, MAX_US = 120000000, TINY_US = 1 };

static const struct tcp_config tiny = { .rto_min_us = TINY_US, .rto_max_us = MAX_US };

static void expect(const struct tcp_rtt *rtt, uint32_t srtt_us, uint32_t rttvar_us, uint32_t rto_us)
{
	assert_int_equal(rtt->srtt_us, srtt_us);
	assert_int_equal(rtt->rttvar_us, rttvar_us);
	assert_int_equal(rtt->rto_us, rto_us);
}

/* A sample within one round. */
static void sample(struct tcp_rtt *rtt, uint32_t us, uint32_t min_us)
{
	const struct tcp_config config = { .rto_min_us = min_us, .rto_max_us = MAX_US };

	tcp_rtt_sample(rtt, us, &config, 0, 100);
}

/* T6298-1: RFC 6298 2.1, 2.2 */
static void tcp_rtt_sample__first(void **state)
{
	struct tcp_rtt rtt;

	tcp_rtt_init(&rtt, 1000000);
	assert_int_equal(rtt.srtt_us, 0);
	assert_int_equal(rtt.rto_us, 1000000);
	assert_int_equal(rtt.min_us, UINT32_MAX);
	sample(&rtt, 100000, TINY_US);
	expect(&rtt, 100000, 50000, 300000);
}

/* T6298-1: RFC 6298 2.3, alpha = 1/8, beta = 1/4; RTTVAR with the old SRTT */
static void tcp_rtt_sample__second(void **state)
{
	struct tcp_rtt rtt;

	tcp_rtt_init(&rtt, 1000000);
	sample(&rtt, 100000, TINY_US);
	sample(&rtt, 200000, TINY_US);
	expect(&rtt, 112500, 62500, 112500 + 4 * 62500);
}

/* What rises counts at once; what falls, when the round is over, by a quarter. */
static void tcp_rtt_sample__deviation_falls_once_a_round(void **state)
{
	struct tcp_rtt rtt;

	tcp_rtt_init(&rtt, 1000000);
	tcp_rtt_sample(&rtt, 100000, &tiny, 0, 100);
	for (unsigned i = 0; i < 50; i++)
		tcp_rtt_sample(&rtt, 100000, &tiny, 50, 200);
	expect(&rtt, 100000, 50000, 300000);
	/* Beyond 100: the round ends. Its largest deviation was the first one's. */
	tcp_rtt_sample(&rtt, 100000, &tiny, 101, 300);
	expect(&rtt, 100000, 50000, 300000);
	tcp_rtt_sample(&rtt, 100000, &tiny, 301, 400);
	assert_true(rtt.rttvar_us >= 37500 && rtt.rttvar_us < 37510);
}

/* A path that became faster is not unsteady: of the excess only 1/32. */
static void tcp_rtt_sample__fall_counts_less(void **state)
{
	struct tcp_rtt rtt;

	tcp_rtt_init(&rtt, 1000000);
	sample(&rtt, 100000, TINY_US);
	for (unsigned i = 0; i < 40; i++)
		sample(&rtt, 100000, TINY_US);
	assert_true(rtt.mdev_us < 10);
	rtt.mdev_us = 0;
	sample(&rtt, 36000, TINY_US);
	assert_int_equal(rtt.mdev_us, 2000);
	assert_int_equal(rtt.srtt_us, 92000);
}

/* T6298-3: DEVIATION from 2.4's 1 s, as Linux: SRTT + 200 ms at least. */
static void tcp_rtt_sample__floor_is_above_srtt(void **state)
{
	struct tcp_rtt rtt;

	tcp_rtt_init(&rtt, 1000000);
	sample(&rtt, 10000, MIN_US);
	expect(&rtt, 10000, 5000, 210000);
	tcp_rtt_init(&rtt, 1000000);
	sample(&rtt, 50, MIN_US);
	assert_int_equal(rtt.rto_us, 200050);
	tcp_rtt_init(&rtt, 1000000);
	sample(&rtt, 400000, MIN_US);
	assert_int_equal(rtt.rto_us, 1200000);
}

/* T6298-2: RFC 6298 2.5 */
static void tcp_rtt_sample__ceiling(void **state)
{
	struct tcp_rtt rtt;

	tcp_rtt_init(&rtt, 1000000);
	sample(&rtt, 60000000, MIN_US);
	assert_int_equal(rtt.rto_us, MAX_US);
	sample(&rtt, UINT32_MAX, MIN_US);
	assert_int_equal(rtt.rto_us, MAX_US);
}

static void tcp_rtt_sample__clears_backoff(void **state)
{
	struct tcp_rtt rtt;

	tcp_rtt_init(&rtt, 1000000);
	rtt.backoff = 5;
	sample(&rtt, 10000, MIN_US);
	assert_int_equal(rtt.backoff, 0);
}

/* Eighths are kept: a path of a few us is learnt, down to the exact value. */
static void tcp_rtt_sample__small_round_trips_converge(void **state)
{
	struct tcp_rtt rtt;

	tcp_rtt_init(&rtt, 1000000);
	sample(&rtt, 17, MIN_US);
	for (unsigned i = 0; i < 100; i++)
		sample(&rtt, 10, MIN_US);
	assert_int_equal(rtt.srtt_us, 10);
	for (unsigned i = 0; i < 100; i++)
		sample(&rtt, 13, MIN_US);
	assert_true(rtt.srtt_us == 12 || rtt.srtt_us == 13);
	for (unsigned i = 0; i < 100; i++)
		sample(&rtt, 0, MIN_US);
	assert_int_equal(rtt.srtt_us, 1);
}

/* The smallest of five minutes; then whatever comes. */
static void tcp_rtt_min__window(void **state)
{
	struct tcp_rtt rtt;
	fs_ns now = FS_SEC(100);

	tcp_rtt_init(&rtt, 1000000);
	tcp_rtt_min(&rtt, 500, false, now);
	tcp_rtt_min(&rtt, 400, false, now + FS_SEC(1));
	tcp_rtt_min(&rtt, 900, false, now + FS_SEC(2));
	assert_int_equal(rtt.min_us, 400);
	tcp_rtt_min(&rtt, 900, false, now + FS_SEC(301));
	assert_int_equal(rtt.min_us, 400);
	tcp_rtt_min(&rtt, 900, true, now + FS_SEC(302)); /* the peer's timer is in it */
	assert_int_equal(rtt.min_us, 400);
	tcp_rtt_min(&rtt, 900, false, now + FS_SEC(302));
	assert_int_equal(rtt.min_us, 900);
	tcp_rtt_min(&rtt, 0, false, now + FS_SEC(303));
	assert_int_equal(rtt.min_us, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_rtt_sample__first),
		cmocka_unit_test(tcp_rtt_sample__second),
		cmocka_unit_test(tcp_rtt_sample__deviation_falls_once_a_round),
		cmocka_unit_test(tcp_rtt_sample__fall_counts_less),
		cmocka_unit_test(tcp_rtt_sample__floor_is_above_srtt),
		cmocka_unit_test(tcp_rtt_sample__ceiling),
		cmocka_unit_test(tcp_rtt_sample__clears_backoff),
		cmocka_unit_test(tcp_rtt_sample__small_round_trips_converge),
		cmocka_unit_test(tcp_rtt_min__window),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
