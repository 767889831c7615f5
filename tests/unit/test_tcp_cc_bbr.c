/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * BBR on a path that is a formula: a bottleneck of so many segments per second and a round trip without
 * queue. Segments in flight beyond what the path holds queue up: the round trip grows, the rate does not.
 */
#include "cc_rig.h"

/* 10000 segments/s of 1448 bytes (116 Mbit/s), 20 ms: the path holds 200 segments. */
enum { RATE = 10000, RTT_US = 20000, BDP = 200 };

struct path {
	struct tcp_cc cc;
	fs_ns now;
	uint32_t rate, base_us; /* of the bottleneck; round trip without queue. Together they hold BDP */
	uint32_t flight; /* of the round that is being acked */
	uint32_t rtt_us; /* of it */
};

static void begin(struct path *p)
{
	p->now = FS_SEC(100);
	p->rate = RATE;
	p->base_us = RTT_US;
	cc_rig_begin(&p->cc, "bbr", 10, TCP_SSTHRESH_NONE, p->now);
	p->flight = p->cc.cwnd;
}

/* What is paced into a round trip and fits the window is the flight. */
static uint32_t next_flight(const struct path *p)
{
	uint64_t paced = p->cc.pacing_rate * p->base_us / 1000000 / p->cc.mss;
	uint32_t queued = p->flight > BDP ? p->flight - BDP : 0;

	return (uint32_t)FS_MAX(FS_MIN(paced + queued, p->cc.cwnd), 1U);
}

/* One round trip in ten ACKs, all of the flight before. */
static void round_trip(struct path *p, bool app_limited, uint32_t losses)
{
	uint32_t held = FS_MAX(p->flight, 1U), left = held;
	uint64_t sent_at = p->cc.delivered;

	p->rtt_us = held > BDP ? (uint32_t)((uint64_t)held * 1000000 / p->rate) : p->base_us;
	p->cc.srtt_us = p->rtt_us;
	for (unsigned i = 0; i < 10 && left > 0; i++) {
		uint32_t n = i == 9 ? left : FS_MIN(FS_MAX(held / 10, 1U), left);
		struct tcp_cc_ack ack = cc_rig_ack(n, 0);

		p->now += FS_US(p->rtt_us) / 10;
		ack.now = p->now;
		ack.rtt_us = (int32_t)p->rtt_us;
		ack.in_flight = held;
		ack.delivered = held;
		ack.interval_us = p->rtt_us;
		ack.prior_delivered = i == 0 ? sent_at : sent_at - (sent_at > 0);
		ack.app_limited = app_limited;
		ack.losses = i == 0 ? losses : 0;
		cc_rig_acked(&p->cc, &ack);
		left -= n;
	}
	p->flight = next_flight(p);
}

static uint64_t segments_per_s(const struct path *p)
{
	return p->cc.pacing_rate / p->cc.mss;
}

/* 4.2.1: before any sample: 2.89 times the initial window in 1 ms, less one in a hundred. */
static void bbr_init__paces_the_initial_window(void **state)
{
	struct path p;

	begin(&p);
	assert_true(cc_rig_ops(&p.cc)->paces && cc_rig_ops(&p.cc)->owns_window);
	assert_in_range(p.cc.pacing_rate, 10 * 1448 * 1000ULL * 285 / 100, 10 * 1448 * 1000ULL * 286 / 100);
	assert_int_equal(p.cc.cwnd, 10);
}

/* 4.3.1: the flight doubles each round trip. */
static void bbr_startup__doubles(void **state)
{
	uint32_t before;
	struct path p;

	begin(&p);
	round_trip(&p, false, 0);
	for (unsigned i = 0; i < 3; i++) {
		before = p.flight;
		round_trip(&p, false, 0);
		assert_in_range(p.flight, before * 19 / 10, before * 21 / 10);
	}
}

/* 4.3.1 to 4.3.4: fill, drain, settle at the path's rate with an eighth of the time a quarter more. */
static void bbr__startup_drain_probe_bw(void **state)
{
	unsigned more = 0, less = 0, even = 0;
	uint32_t most = 0;
	struct path p;

	begin(&p);
	for (unsigned i = 0; i < 20; i++) {
		round_trip(&p, false, 0);
		most = FS_MAX(most, p.flight);
	}
	/* STARTUP overshoots by its gain and what leaves in one go. */
	assert_in_range(most, 2 * BDP, BDP * 36 / 10);
	/* PROBE_BW */
	for (unsigned i = 0; i < 160; i++) {
		round_trip(&p, false, 0);
		if (segments_per_s(&p) > RATE * 11 / 10) {
			more++;
			assert_in_range(segments_per_s(&p), RATE * 120 / 100, RATE * 130 / 100);
		} else if (segments_per_s(&p) < RATE * 9 / 10) {
			less++;
			assert_in_range(segments_per_s(&p), RATE * 70 / 100, RATE * 78 / 100);
		} else {
			even++;
			assert_in_range(segments_per_s(&p), RATE * 95 / 100, RATE * 105 / 100);
		}
		/* 4.2.3.2: two bandwidth-delay products and a little. */
		assert_in_range(p.cc.cwnd, 2 * BDP, 2 * BDP + 300);
	}
	assert_in_range(more, 10, 30);
	assert_in_range(less, 5, 30);
	assert_true(even > 80);
}

/* 4.3.1.3: three rounds without growth in which the program was the limit do not say the pipe is full. */
static void bbr_startup__application_limited_rounds_do_not_count(void **state)
{
	struct path p;

	begin(&p);
	for (unsigned i = 0; i < 2; i++)
		round_trip(&p, false, 0);
	for (unsigned i = 0; i < 10; i++) {
		p.flight = 20;
		round_trip(&p, true, 0);
	}
	/* Still STARTUP: it doubles. */
	p.flight = 40;
	round_trip(&p, false, 0);
	assert_true(segments_per_s(&p) > 2 * 40 * 1000000 / RTT_US);
}

/* 4.3.5: a queue hides the round trip for ten seconds: four segments for 200 ms show it, then back. */
static void bbr_probe_rtt__every_ten_seconds(void **state)
{
	fs_ns small_from = 0, small_until = 0;
	struct path p;
	fs_ns began;

	begin(&p);
	began = p.now;
	while (p.now < began + FS_SEC(12)) {
		round_trip(&p, false, 0);
		/* Somebody else's queue: never again the bare round trip, unless we are quiet. */
		if (p.cc.cwnd > 4)
			p.flight = FS_MAX(p.flight, BDP + 20U);
		if (p.cc.cwnd == 4) {
			small_from = small_from ? small_from : p.now;
			small_until = p.now;
		}
	}
	assert_true(small_from > began + FS_SEC(10));
	assert_in_range(small_until - small_from, FS_MS(180), FS_MS(300));
	/* And the bandwidth is not forgotten for it. */
	assert_in_range(segments_per_s(&p), RATE * 70 / 100, RATE * 130 / 100);
	assert_true(p.cc.cwnd > BDP);
}

/* ... also where the path's round trip is so short that PROBE_RTT takes a hundred of them. */
static void bbr_probe_rtt__short_round_trips(void **state)
{
	struct path p;

	begin(&p);
	p.rate = 10 * RATE;
	p.base_us = RTT_US / 10;
	while (p.cc.cwnd != 4) {
		round_trip(&p, false, 0);
		if (p.cc.cwnd != 4)
			p.flight = FS_MAX(p.flight, BDP + 20U);
		assert_true(p.now < FS_SEC(111));
	}
	while (p.cc.cwnd == 4)
		round_trip(&p, false, 0);
	round_trip(&p, false, 0);
	assert_in_range(segments_per_s(&p), p.rate * 70 / 100, p.rate * 130 / 100);
}

/* 4.1.1.4: the rate falls: the best of ten rounds ago is forgotten. */
static void bbr_bandwidth__filter_of_ten_rounds(void **state)
{
	struct path p;

	begin(&p);
	for (unsigned i = 0; i < 30; i++)
		round_trip(&p, false, 0);
	for (unsigned i = 0; i < 40; i++) {
		p.flight = 50; /* a quarter of the rate */
		round_trip(&p, false, 0);
	}
	assert_in_range(segments_per_s(&p), RATE / 4 * 70 / 100, RATE / 4 * 130 / 100);
}

/* 4.1.1.3: application-limited samples below the known rate change nothing. */
static void bbr_bandwidth__application_limited_samples_are_left_out(void **state)
{
	struct path p;

	begin(&p);
	for (unsigned i = 0; i < 30; i++)
		round_trip(&p, false, 0);
	for (unsigned i = 0; i < 40; i++) {
		p.flight = 50;
		round_trip(&p, true, 0);
	}
	assert_true(segments_per_s(&p) > RATE * 70 / 100);
}

/* 4.2.3.4: packet conservation for a round trip, then the window is the model's: no memory of losses. */
static void bbr_recovery__conserves_then_forgets(void **state)
{
	uint32_t before;
	struct path p;

	begin(&p);
	for (unsigned i = 0; i < 40; i++)
		round_trip(&p, false, 0);
	before = p.cc.cwnd;
	assert_int_equal(cc_rig_ops(&p.cc)->ssthresh(&p.cc, p.now), TCP_SSTHRESH_NONE);
	p.cc.ca_state = TCP_CA_RECOVERY;
	round_trip(&p, false, 30);
	assert_in_range(p.cc.cwnd, p.flight / 2, before - 30);
	for (unsigned i = 0; i < 3; i++)
		round_trip(&p, false, 0);
	p.cc.ca_state = TCP_CA_OPEN;
	round_trip(&p, false, 0);
	assert_in_range(p.cc.cwnd, before * 95 / 100, before * 105 / 100);
	assert_true(segments_per_s(&p) > RATE * 70 / 100);
}

/* After a timeout one segment, then slow start, then the old window. */
static void bbr_state__timeout_begins_with_one(void **state)
{
	uint32_t before;
	struct path p;

	begin(&p);
	for (unsigned i = 0; i < 40; i++)
		round_trip(&p, false, 0);
	before = p.cc.cwnd;
	cc_rig_reduce(&p.cc, TCP_CA_LOSS, p.now);
	assert_int_equal(p.cc.cwnd, 1);
	p.flight = 1;
	round_trip(&p, false, 0);
	assert_int_equal(p.cc.cwnd, 4);
	p.cc.ca_state = TCP_CA_OPEN;
	round_trip(&p, false, 0);
	assert_true(p.cc.cwnd >= before);
}

static void bbr_acked__never_above_the_clamp(void **state)
{
	struct path p;

	begin(&p);
	p.cc.clamp = 50;
	for (unsigned i = 0; i < 30; i++)
		round_trip(&p, false, 0);
	assert_int_equal(p.cc.cwnd, 50);
}

/* Numbers at their ends neither overflow nor divide by nothing. */
static void bbr_acked__extremes(void **state)
{
	struct tcp_cc_ack ack = cc_rig_ack(TCP_CWND_MAX, FS_SEC(1));
	struct tcp_cc cc;

	cc_rig_begin(&cc, "bbr", 10, TCP_SSTHRESH_NONE, 0);
	ack.rtt_us = 0;
	ack.interval_us = 1;
	ack.delivered = TCP_CWND_MAX;
	cc_rig_acked(&cc, &ack);
	assert_in_range(cc.cwnd, 4, TCP_CWND_MAX);
	ack.now = FS_SEC(1000);
	ack.rtt_us = INT32_MAX;
	ack.interval_us = INT64_MAX;
	ack.delivered = 1;
	ack.losses = UINT32_MAX / 2;
	cc_rig_acked(&cc, &ack);
	assert_in_range(cc.cwnd, 1, TCP_CWND_MAX);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(bbr_init__paces_the_initial_window),
		cmocka_unit_test(bbr_startup__doubles),
		cmocka_unit_test(bbr__startup_drain_probe_bw),
		cmocka_unit_test(bbr_startup__application_limited_rounds_do_not_count),
		cmocka_unit_test(bbr_probe_rtt__every_ten_seconds),
		cmocka_unit_test(bbr_probe_rtt__short_round_trips),
		cmocka_unit_test(bbr_bandwidth__filter_of_ten_rounds),
		cmocka_unit_test(bbr_bandwidth__application_limited_samples_are_left_out),
		cmocka_unit_test(bbr_recovery__conserves_then_forgets),
		cmocka_unit_test(bbr_state__timeout_begins_with_one),
		cmocka_unit_test(bbr_acked__never_above_the_clamp),
		cmocka_unit_test(bbr_acked__extremes),
	};

	return cmocka_run_group_tests_name("tcp_cc_bbr", tests, NULL, NULL);
}
