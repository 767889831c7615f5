/* SPDX-License-Identifier: BSD-2-Clause */
/* CUBIC, against values of RFC 9438's equations computed by hand. */
#include "cc_rig.h"

#include "tcp/cc_cubic.h"

enum { ONE = 1 << TCP_CUBIC_SHIFT, LONG_RTT_US = 100000 /* Reno is behind the cubic */ };

/* T9438-1: K = cbrt((W_max - cwnd) / 0.4) s. */
static void tcp_cubic_k__equation_2(void **state)
{
	assert_int_equal(tcp_cubic_k(100 * ONE, 70 * ONE), 4217); /* cbrt(75) */
	assert_int_equal(tcp_cubic_k(1000 * ONE, 700 * ONE), 9085); /* cbrt(750) */
	assert_int_equal(tcp_cubic_k(10 * ONE, 7 * ONE), 1957); /* cbrt(7.5) */
	assert_int_equal(tcp_cubic_k(100000 * ONE, 70000 * ONE), 42171); /* cbrt(75000) */
	assert_int_equal(tcp_cubic_k(2 * ONE, 2 * ONE), 0);
	assert_int_equal(tcp_cubic_k(2 * ONE, 3 * ONE), 0);
	assert_int_equal(tcp_cubic_k(0, 10 * ONE), 0);
	assert_int_equal(tcp_cubic_k((uint64_t)TCP_CWND_MAX * ONE, 0), 347445); /* cbrt(2^24 / 0.4) */
}

/* T9438-1: W(t) = 0.4 (t - K)^3 + W_max, in 1/1024: 66.6808 + 20 and so on. */
static void tcp_cubic_w__equation_1(void **state)
{
	uint32_t k = tcp_cubic_k(100 * ONE, 70 * ONE);

	assert_in_range(tcp_cubic_w(100 * ONE, k, 0), 70 * ONE, 70 * ONE + 8);
	assert_in_range(tcp_cubic_w(100 * ONE, k, 1000), 88760, 88768);	  /* 86.6808 */
	assert_in_range(tcp_cubic_w(100 * ONE, k, 2000), 97935, 97938);	  /* 95.6403 */
	assert_int_equal(tcp_cubic_w(100 * ONE, k, 4217), 100 * ONE);
	assert_in_range(tcp_cubic_w(100 * ONE, k, 8000), 124572, 124580); /* 121.6527 */
	assert_in_range(tcp_cubic_w(100 * ONE, k, 10000), 181610, 181630); /* 177.3540 */
}

/* Concave before K, convex after: steps shrink, then grow. */
static void tcp_cubic_w__concave_then_convex(void **state)
{
	uint32_t k = tcp_cubic_k(1000 * ONE, 700 * ONE);
	uint64_t last_step = UINT64_MAX, last = tcp_cubic_w(1000 * ONE, k, 0);

	for (uint32_t t = 1000; t <= 20000; t += 1000) {
		uint64_t w = tcp_cubic_w(1000 * ONE, k, t);

		assert_true(w >= last);
		if (t + 1000 <= k)
			assert_true(w - last < last_step);
		if (t >= k + 2000)
			assert_true(w - last > last_step);
		last_step = w - last;
		last = w;
	}
}

static void tcp_cubic_w__survives_extremes(void **state)
{
	assert_int_equal(tcp_cubic_w(0, TCP_CUBIC_SPAN_MAX_MS, 0), 0);
	assert_true(tcp_cubic_w((uint64_t)TCP_CWND_MAX * ONE, 0, UINT32_MAX) > (uint64_t)TCP_CWND_MAX * ONE);
}

/* A loss at @cwnd with recovery over at once, so that the next ACK begins an epoch at 0.7 of it. */
static void after_loss(struct tcp_cc *cc, uint32_t cwnd, fs_ns now)
{
	cc_rig_begin(cc, "cubic", cwnd, cwnd, now);
	cc->srtt_us = LONG_RTT_US;
	cc_rig_reduce(cc, TCP_CA_RECOVERY, now);
	cc_rig_recover(cc, now);
}

/* A window a round trip, one ACK per segment, until @until. */
static fs_ns run(struct tcp_cc *cc, fs_ns from, fs_ns until)
{
	fs_ns now = from;

	while (now < until) {
		uint32_t window = cc->cwnd;

		for (uint32_t i = 0; i < window; i++)
			cc_rig_count(cc, 1, now + FS_US(cc->srtt_us) * i / window);
		now += FS_US(cc->srtt_us);
	}
	return now;
}

/* T9438-1 */
static void cubic_ssthresh__seven_tenths(void **state)
{
	struct tcp_cc cc;

	cc_rig_begin(&cc, "cubic", 100, TCP_SSTHRESH_NONE, 0);
	assert_int_equal(cc_rig_ops(&cc)->ssthresh(&cc, 0), 70);
	cc.cwnd = 3;
	assert_int_equal(cc_rig_ops(&cc)->ssthresh(&cc, 0), 2);
	cc.cwnd = 1;
	assert_int_equal(cc_rig_ops(&cc)->ssthresh(&cc, 0), 2);
}

/* T9438-1: the window follows the cubic: 1000 again after K = 9.1 s, 947 after 4 s. */
static void cubic_acked__follows_the_cubic(void **state)
{
	struct tcp_cc cc;
	fs_ns now;

	after_loss(&cc, 1000, FS_SEC(1));
	assert_int_equal(cc.cwnd, 700);
	now = run(&cc, FS_SEC(1), FS_SEC(5));
	assert_in_range(cc.cwnd, 943, 949); /* W(4 s) = 947.4 */
	now = run(&cc, now, FS_SEC(1) + FS_MS(9086));
	assert_in_range(cc.cwnd, 998, 1000);
	now = run(&cc, now, FS_SEC(16));
	assert_in_range(cc.cwnd, 1079, 1085); /* 0.4 * 5.914^3 = 82.8 */
}

/* T9438-1, 4.2: one ACK raises no more than its share of half a window. */
static void cubic_acked__target_is_at_most_half_more(void **state)
{
	struct tcp_cc cc;

	after_loss(&cc, 100, 0);
	cc_rig_count(&cc, 1, FS_SEC(1));
	cc_rig_count(&cc, 70, FS_SEC(100));
	assert_in_range(cc.cwnd, 104, 105);
}

/* T9438-2: small windows and short round trips: Reno's growth of 9/17 a round trip until the window before the loss,
 * one a round trip from there. */
static void cubic_acked__reno_friendly_alpha(void **state)
{
	struct tcp_cc cc;
	uint32_t rounds = 0;
	fs_ns now = 0;

	after_loss(&cc, 20, 0);
	cc.srtt_us = 100; /* the cubic stands still */
	assert_int_equal(cc.cwnd, 14);
	for (; cc.cwnd < 20; rounds++) {
		uint32_t window = cc.cwnd;

		for (uint32_t i = 0; i < window; i++)
			cc_rig_count(&cc, 1, now);
		now += FS_US(100);
	}
	/* 6 segments / (9 / 17) = 11.3 round trips, the last one not whole. */
	assert_in_range(rounds, 11, 12);
	for (rounds = 0; cc.cwnd < 30; rounds++) {
		uint32_t window = cc.cwnd;

		for (uint32_t i = 0; i < window; i++)
			cc_rig_count(&cc, 1, now);
		now += FS_US(100);
	}
	assert_in_range(rounds, 9, 11);
}

/* T9438-3, 4.7: a loss before the window got back: aim at (1 + 0.7) / 2 of it. */
static void cubic_ssthresh__fast_convergence(void **state)
{
	struct tcp_cc cc;
	fs_ns now;

	after_loss(&cc, 1000, 0);
	cc_rig_count(&cc, 1, 0);
	assert_int_equal(cc.cwnd, 700);
	cc_rig_reduce(&cc, TCP_CA_RECOVERY, FS_MS(1)); /* W_max = 700 * 0.85 = 595 */
	cc_rig_recover(&cc, FS_MS(1));
	assert_int_equal(cc.cwnd, 490);
	/* K = cbrt(105 / 0.4) = 6.40 s: then 595, and not yet 700. */
	now = run(&cc, FS_MS(1), FS_MS(6404));
	assert_in_range(cc.cwnd, 593, 596);
	assert_true(now > 0);
}

/* 4.7: a loss beyond W_max: no fast convergence. */
static void cubic_ssthresh__w_max_is_the_window(void **state)
{
	struct tcp_cc cc;
	fs_ns now;

	after_loss(&cc, 1000, 0);
	now = run(&cc, 0, FS_SEC(15));
	assert_true(cc.cwnd > 1050);
	cc.cwnd = 1100;
	cc_rig_reduce(&cc, TCP_CA_RECOVERY, now);
	cc_rig_recover(&cc, now);
	run(&cc, now, now + FS_MS(9379)); /* K = cbrt(330 / 0.4) */
	assert_in_range(cc.cwnd, 1097, 1101);
}

/* T9438-3, 5.8: the epoch does not count the time in which the program had nothing to send. */
static void cubic_acked__epoch_shifts_when_application_limited(void **state)
{
	struct tcp_cc_ack idle = cc_rig_ack(1, 0);
	struct tcp_cc busy, lazy;
	fs_ns now;

	idle.cwnd_limited = false;
	after_loss(&busy, 1000, 0);
	after_loss(&lazy, 1000, 0);
	now = run(&busy, 0, FS_SEC(2));
	run(&lazy, 0, FS_SEC(2));
	assert_int_equal(busy.cwnd, lazy.cwnd);
	for (fs_ns t = now; t < now + FS_SEC(30); t += FS_MS(100)) {
		idle.now = t;
		cc_rig_acked(&lazy, &idle);
	}
	assert_int_equal(busy.cwnd, lazy.cwnd);
	/* And a pause without any ACK. */
	cc_rig_ops(&lazy)->event(&lazy, TCP_CC_TX_START, now + FS_SEC(60));
	run(&busy, now, now + FS_SEC(2));
	run(&lazy, now + FS_SEC(60), now + FS_SEC(62));
	assert_in_range(lazy.cwnd, busy.cwnd - 2, busy.cwnd + 2);
}

/* T9438-3, 4.9: nothing had been lost: window and curve are back. */
static void cubic_undo__restores_the_curve(void **state)
{
	struct tcp_cc cc, same;
	fs_ns now;

	after_loss(&cc, 1000, 0);
	now = run(&cc, 0, FS_SEC(3));
	same = cc;
	cc_rig_reduce(&cc, TCP_CA_RECOVERY, now);
	assert_true(cc.cwnd < same.cwnd);
	cc.cwnd = cc_rig_ops(&cc)->undo(&cc);
	cc.ssthresh = cc.prior_ssthresh;
	cc_rig_recover(&cc, now);
	assert_int_equal(cc.cwnd, same.cwnd);
	run(&cc, now, now + FS_SEC(10));
	run(&same, now, now + FS_SEC(10));
	assert_in_range(cc.cwnd, same.cwnd - 1, same.cwnd + 1);
}

/* T9438-3, 4.9 with 4.8: the same when it was a timeout. */
static void cubic_undo__after_a_timeout(void **state)
{
	struct tcp_cc cc, same;
	fs_ns now;

	after_loss(&cc, 1000, 0);
	now = run(&cc, 0, FS_SEC(3));
	same = cc;
	cc_rig_reduce(&cc, TCP_CA_LOSS, now);
	assert_int_equal(cc.cwnd, 1);
	cc.cwnd = cc_rig_ops(&cc)->undo(&cc);
	cc.ssthresh = cc.prior_ssthresh;
	cc_rig_recover(&cc, now);
	run(&cc, now, now + FS_SEC(10));
	run(&same, now, now + FS_SEC(10));
	assert_in_range(cc.cwnd, same.cwnd - 1, same.cwnd + 1);
}

/* 4.8: after a timeout slow start up to 0.7, then an epoch with K = 0: no plateau at the old window. */
static void cubic_state__timeout_begins_with_k_0(void **state)
{
	struct tcp_cc cc;
	fs_ns now;

	after_loss(&cc, 1000, 0);
	cc_rig_count(&cc, 1, 0);
	cc.cwnd = 1000;
	cc_rig_reduce(&cc, TCP_CA_LOSS, 0);
	assert_int_equal(cc.ssthresh, 700);
	now = 0;
	while (cc.cwnd < 700) {
		cc_rig_count(&cc, cc.cwnd, now);
		now += FS_US(LONG_RTT_US);
	}
	cc_rig_recover(&cc, now);
	cc_rig_count(&cc, 1, now);
	run(&cc, now, now + FS_SEC(5));
	assert_in_range(cc.cwnd, 747, 755); /* 700 + 0.4 * 5^3 */
}

/* 4.10, RFC 9406: slow start ends by itself when round trips rise, and K is 0 then. */
static void cubic_acked__hystart_ends_slow_start(void **state)
{
	struct tcp_cc_ack ack;
	struct tcp_cc cc;
	fs_ns now = 0;

	cc_rig_begin(&cc, "cubic", 10, TCP_SSTHRESH_NONE, 0);
	for (unsigned round = 0; round < 12 && cc.ssthresh == TCP_SSTHRESH_NONE; round++) {
		uint32_t window = cc.cwnd;

		for (uint32_t i = 0; i < window; i++) {
			ack = cc_rig_ack(1, now);
			ack.round_start = i == 0;
			ack.rtt_us = round < 3 ? 20000 : 30000;
			cc_rig_acked(&cc, &ack);
		}
		now += FS_MS(30);
	}
	/* 10, 20, 40, 80; eight ACKs of the fourth round, then quarters for five rounds. */
	assert_in_range(cc.ssthresh, 200, 330);
	assert_in_range(cc.cwnd, cc.ssthresh, cc.ssthresh + 1);
}

/* Slow start again after a loss is not watched: RFC 9406 4.3. */
static void cubic_acked__hystart_is_for_the_first_time(void **state)
{
	struct tcp_cc_ack ack;
	struct tcp_cc cc;

	cc_rig_begin(&cc, "cubic", 1000, TCP_SSTHRESH_NONE, 0);
	cc_rig_reduce(&cc, TCP_CA_LOSS, 0);
	for (unsigned round = 0; round < 9; round++) {
		uint32_t window = cc.cwnd;

		for (uint32_t i = 0; i < window; i++) {
			ack = cc_rig_ack(1, FS_MS(20 * round));
			ack.round_start = i == 0;
			ack.rtt_us = 20000 + 10000 * (int32_t)round;
			cc_rig_acked(&cc, &ack);
		}
	}
	assert_int_equal(cc.cwnd, 512);
}

static void cubic_acked__unused_window_stays(void **state)
{
	struct tcp_cc_ack ack = cc_rig_ack(5, 0);
	struct tcp_cc cc;

	cc_rig_begin(&cc, "cubic", 10, TCP_SSTHRESH_NONE, 0);
	ack.cwnd_limited = false;
	cc_rig_acked(&cc, &ack);
	assert_int_equal(cc.cwnd, 10);
}

static void cubic_acked__never_above_the_clamp(void **state)
{
	struct tcp_cc cc;

	after_loss(&cc, 100, 0);
	cc.clamp = 80;
	run(&cc, 0, FS_SEC(30));
	assert_int_equal(cc.cwnd, 80);
}

/* With 20 ACKs of a window each per second and fractions dropped nothing would ever grow. */
static void cubic_acked__large_windows_grow_by_small_acks(void **state)
{
	struct tcp_cc cc;
	fs_ns now = 0;

	after_loss(&cc, 100000, 0);
	cc.srtt_us = CC_RIG_RTT_US;
	for (uint32_t i = 0; i < 70000; i++)
		cc_rig_count(&cc, 1, now += 285);
	/* A round trip of 20 ms: target W(20 to 40 ms) is 42 to 84 above 70000. */
	assert_in_range(cc.cwnd, 70042, 70090);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_cubic_k__equation_2),
		cmocka_unit_test(tcp_cubic_w__equation_1),
		cmocka_unit_test(tcp_cubic_w__concave_then_convex),
		cmocka_unit_test(tcp_cubic_w__survives_extremes),
		cmocka_unit_test(cubic_ssthresh__seven_tenths),
		cmocka_unit_test(cubic_acked__follows_the_cubic),
		cmocka_unit_test(cubic_acked__target_is_at_most_half_more),
		cmocka_unit_test(cubic_acked__reno_friendly_alpha),
		cmocka_unit_test(cubic_ssthresh__fast_convergence),
		cmocka_unit_test(cubic_ssthresh__w_max_is_the_window),
		cmocka_unit_test(cubic_acked__epoch_shifts_when_application_limited),
		cmocka_unit_test(cubic_undo__restores_the_curve),
		cmocka_unit_test(cubic_undo__after_a_timeout),
		cmocka_unit_test(cubic_state__timeout_begins_with_k_0),
		cmocka_unit_test(cubic_acked__hystart_ends_slow_start),
		cmocka_unit_test(cubic_acked__hystart_is_for_the_first_time),
		cmocka_unit_test(cubic_acked__unused_window_stays),
		cmocka_unit_test(cubic_acked__never_above_the_clamp),
		cmocka_unit_test(cubic_acked__large_windows_grow_by_small_acks),
	};

	return cmocka_run_group_tests_name("tcp_cc_cubic", tests, NULL, NULL);
}
