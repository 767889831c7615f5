/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_tcp_rate.c - delivery rates (draft-cheng-iccrg-delivery-rate-estimation) with exact numbers, as congestion
 * control gets them.
 */
#include "tcp_ack_rig.h"

/* What a sample would be if these segments' ACK came now; the list is changed as by an ACK. */
static struct tcp_ack_state deliver(struct rig *r, unsigned n)
{
	struct tcp_ack_state a = { .now = r->now };
	uint64_t prior = r->c.cc.delivered;

	while (n-- > 0) {
		tcp_rate_delivered(&r->c, r->c.first, &a);
		r->c.cc.delivered++;
		tcp_unmark(&r->c, r->c.first);
		r->c.snd_una = tcp_seg_end(r->c.first);
		tcp_seg_pop(&r->c);
	}
	a.cc.acked_sacked = (uint32_t)(r->c.cc.delivered - prior);
	tcp_rate_sample(&r->c, &a);
	return a;
}

static void expect(const struct tcp_ack_state *a, uint32_t delivered, int64_t interval_us)
{
	assert_int_equal(a->cc.delivered, delivered);
	assert_int_equal(a->cc.interval_us, interval_us);
}

/* One segment per ms through a path of 10 ms: one per ms is what is measured. */
static void tcp_rate_sample__steady(void **state)
{
	struct tcp_ack_state a;
	struct rig r;

	rig_open(&r, TCP_CONN_SACK);
	rig_write(&r, 100);
	for (int i = 0; i < 10; i++, r.now += FS_MS(1))
		rig_send(&r, 1);
	for (int i = 0; i < 50; i++, r.now += FS_MS(1)) {
		a = deliver(&r, 1);
		rig_send(&r, 1);
	}
	expect(&a, 10, 10000);
	assert_false(a.cc.app_limited);
	rig_close(&r);
}

/* The first flight: from its transmission on, nothing having been in the network. */
static void tcp_rate_sample__first_flight(void **state)
{
	struct tcp_ack_state a;
	struct rig r;

	rig_open(&r, TCP_CONN_SACK);
	rig_write(&r, 10);
	r.now += FS_SEC(5); /* idle: does not count */
	rig_send(&r, 10);
	r.now += FS_MS(20);
	a = deliver(&r, 10);
	expect(&a, 10, 20000);
	assert_int_equal(a.cc.prior_delivered, 0);
	assert_true(a.cc.round_start);
	rig_close(&r);
}

/* ACKs held up on the way and then delivered at once: the time it took to send bounds the rate. */
static void tcp_rate_sample__compressed_acks(void **state)
{
	struct tcp_ack_state a;
	struct rig r;

	rig_open(&r, TCP_CONN_SACK);
	rig_write(&r, 40);
	rig_send(&r, 1);
	r.now += FS_MS(10);
	a = deliver(&r, 1);
	for (int i = 0; i < 20; i++) {
		rig_send(&r, 1);
		r.now += FS_MS(1);
	}
	r.now += FS_MS(10);
	for (int i = 0; i < 20; i++) {
		a = deliver(&r, 1);
		r.now += FS_US(1);
	}
	/* The last one was sent 19 ms after the first of its flight; its ACK came 29 ms after that had been acked. */
	assert_true(a.cc.interval_us >= 19000);
	assert_true(a.cc.delivered <= 20);
	rig_close(&r);
}

/* 3.3: an interval shorter than any round trip cannot be. */
static void tcp_rate_sample__shorter_than_a_round_trip(void **state)
{
	struct tcp_ack_state a;
	struct rig r;

	rig_open(&r, TCP_CONN_SACK);
	r.c.rtt.min_us = 10000;
	rig_write(&r, 2);
	rig_send(&r, 1);
	r.now += FS_US(9999);
	a = deliver(&r, 1);
	assert_int_equal(a.cc.interval_us, -1);
	rig_send(&r, 1);
	r.now += FS_US(10000);
	a = deliver(&r, 1);
	expect(&a, 1, 10000);
	rig_close(&r);
}

static void tcp_rate_sample__nothing_delivered(void **state)
{
	struct tcp_ack_state a;
	struct rig r;

	rig_open(&r, TCP_CONN_SACK);
	a = deliver(&r, 0);
	assert_int_equal(a.cc.interval_us, -1);
	assert_false(a.cc.round_start);
	rig_close(&r);
}

/* 3.4: what is sent while the program has nothing more is marked until that bubble is out of the pipe. */
static void tcp_rate_check_app_limited__bubble(void **state)
{
	struct tcp_ack_state a;
	struct rig r;

	rig_open(&r, TCP_CONN_SACK);
	rig_write(&r, 3);
	rig_send(&r, 3);
	tcp_rate_check_app_limited(&r.c);
	assert_int_equal(r.c.app_limited, 3);
	rig_write(&r, 3);
	rig_send(&r, 1);
	r.now += FS_MS(10);
	a = deliver(&r, 3);
	assert_false(a.cc.app_limited);
	assert_int_not_equal(r.c.app_limited, 0);
	a = deliver(&r, 1);
	assert_true(a.cc.app_limited);
	assert_int_equal(r.c.app_limited, 0);
	rig_send(&r, 2);
	r.now += FS_MS(10);
	a = deliver(&r, 2);
	assert_false(a.cc.app_limited);
	rig_close(&r);
}

/* Not the program's doing: the window is full, losses wait, or a full segment does. */
static void tcp_rate_check_app_limited__not(void **state)
{
	struct rig r;

	rig_open(&r, TCP_CONN_SACK);
	rig_write(&r, 4);
	rig_send(&r, 3);
	tcp_rate_check_app_limited(&r.c);
	assert_int_equal(r.c.app_limited, 0);
	rig_send(&r, 1);
	r.c.cc.cwnd = 4;
	tcp_rate_check_app_limited(&r.c);
	assert_int_equal(r.c.app_limited, 0);
	r.c.cc.cwnd = 10;
	tcp_mark_lost(&r.c, r.c.first);
	tcp_rate_check_app_limited(&r.c);
	assert_int_equal(r.c.app_limited, 0);
	tcp_mark_retransmitted(&r.c, r.c.first, r.now);
	tcp_rate_check_app_limited(&r.c);
	assert_int_equal(r.c.app_limited, 4);
	rig_close(&r);
}

/* A round trip begins when something sent after the last beginning is delivered. */
static void tcp_rate_sample__rounds(void **state)
{
	struct tcp_ack_state a;
	struct rig r;

	rig_open(&r, TCP_CONN_SACK);
	rig_write(&r, 20);
	rig_send(&r, 4);
	r.now += FS_MS(10);
	a = deliver(&r, 2);
	assert_true(a.cc.round_start);
	rig_send(&r, 4);
	a = deliver(&r, 2); /* sent with the first two */
	assert_false(a.cc.round_start);
	r.now += FS_MS(10);
	a = deliver(&r, 1);
	assert_true(a.cc.round_start);
	a = deliver(&r, 1);
	assert_false(a.cc.round_start);
	rig_close(&r);
}

/* Where the peer reneged, nobody knows what was delivered. */
static void tcp_rate_sample__reneged(void **state)
{
	struct tcp_ack_state a;
	struct rig r;

	rig_open(&r, TCP_CONN_SACK);
	rig_write(&r, 1);
	rig_send(&r, 1);
	r.c.reneged = true;
	r.now += FS_MS(10);
	a = deliver(&r, 1);
	assert_int_equal(a.cc.interval_us, -1);
	rig_close(&r);
}

/* Times and counts are low bits of what runs on: nothing happens when they wrap. */
static void tcp_rate_sample__wraps(void **state)
{
	struct tcp_ack_state a;
	struct rig r;

	rig_open(&r, TCP_CONN_SACK);
	r.c.cc.delivered = 0xfffffffe;
	r.now = FS_US(0x100000000 - 5000);
	rig_write(&r, 5);
	rig_send(&r, 5);
	r.now += FS_MS(10);
	a = deliver(&r, 4);
	expect(&a, 4, 10000);
	assert_int_equal(a.cc.prior_delivered, 0xfffffffe);
	rig_close(&r);
}

/* PRR counts transmissions, whatever is in them. */
static void tcp_rate_sent__counts_for_prr(void **state)
{
	struct rig r;

	rig_open(&r, TCP_CONN_SACK);
	rig_write(&r, 4);
	rig_send(&r, 2);
	assert_int_equal(r.c.prr_out, 0);
	tcp_enter_cwr(&r.c, r.now);
	rig_send(&r, 1);
	rig_again(&r, r.c.first);
	assert_int_equal(r.c.prr_out, 2);
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_rate_sample__steady),
		cmocka_unit_test(tcp_rate_sample__first_flight),
		cmocka_unit_test(tcp_rate_sample__compressed_acks),
		cmocka_unit_test(tcp_rate_sample__shorter_than_a_round_trip),
		cmocka_unit_test(tcp_rate_sample__nothing_delivered),
		cmocka_unit_test(tcp_rate_check_app_limited__bubble),
		cmocka_unit_test(tcp_rate_check_app_limited__not),
		cmocka_unit_test(tcp_rate_sample__rounds),
		cmocka_unit_test(tcp_rate_sample__reneged),
		cmocka_unit_test(tcp_rate_sample__wraps),
		cmocka_unit_test(tcp_rate_sent__counts_for_prr),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
