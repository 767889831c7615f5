/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_tcp_rack.c - losses found by time (RFC 8985 6), and the reordering window.
 */
#include "tcp_ack_rig.h"

enum { RTT_US = 100000 };

/* @n segments are out for @us; the path's round trip is RTT_US. */
static void open_sent(struct rig *r, unsigned n, uint32_t us)
{
	rig_open(r, TCP_CONN_SACK);
	rig_warm(r, RTT_US);
	rig_write(r, n);
	rig_send(r, n);
	r->now += FS_US(us);
	r->sent[0] = '\0';
}

/* The path was seen to reorder: nothing is lost before a quarter of the round trip is over. */
static void open_reordering(struct rig *r, unsigned n)
{
	open_sent(r, n, RTT_US);
	r->c.reord_seen = 1;
}

static bool is_lost(struct rig *r, int segment)
{
	for (struct fbuf *f = r->c.first; f; f = tcp_seg(f)->next) {
		if (rig_number(r, tcp_seg(f)->seq) == segment)
			return tcp_seg_has(f, TCP_SEG_LOST);
	}
	fail();
	return false;
}

/* --- without reordering: the third (RFC 8985 6.2 step 4, DupThresh) --- */

/* T6675-1: three segments SACKed above: lost at once; two: not yet. */
static void tcp_rack_detect__third_sack(void **state)
{
	struct rig r;

	open_sent(&r, 8, RTT_US);
	rig_sack(&r, 0, { 1, 2 });
	rig_sack(&r, 0, { 1, 3 });
	assert_int_equal(r.c.lost_out, 0);
	assert_int_equal(r.c.cc.ca_state, TCP_CA_DISORDER);
	rig_sack(&r, 0, { 1, 4 });
	assert_int_equal(r.c.lost_out, 1);
	assert_true(is_lost(&r, 0));
	assert_int_equal(r.c.cc.ca_state, TCP_CA_RECOVERY);
	rig_close(&r);
}

/* T6675-1: as bytes, one SACK of three segments at once is the same. */
static void tcp_rack_detect__one_sack_of_three(void **state)
{
	struct rig r;

	open_sent(&r, 8, RTT_US);
	rig_sack(&r, 0, { 2, 5 });
	assert_int_equal(r.c.lost_out, 2);
	assert_true(is_lost(&r, 0) && is_lost(&r, 1));
	assert_false(is_lost(&r, 5));
	rig_close(&r);
}

/* In recovery each SACK tells at once of all that was sent before. */
static void tcp_rack_detect__at_once_in_recovery(void **state)
{
	struct rig r;

	open_sent(&r, 10, RTT_US);
	rig_sack(&r, 0, { 1, 4 });
	rig_sack(&r, 0, { 6, 7 }, { 1, 4 });
	assert_true(is_lost(&r, 4) && is_lost(&r, 5));
	assert_false(is_lost(&r, 7));
	rig_close(&r);
}

/* T8985-1: fewer than three SACKed: a quarter of the smallest round trip later, by the timer. */
static void tcp_rack_detect__reordering_timer(void **state)
{
	struct rig r;

	open_sent(&r, 3, RTT_US);
	rig_sack(&r, 0, { 2, 3 });
	assert_int_equal(r.c.loss_timer, TCP_LOSS_TIMER_REORDER);
	assert_int_equal(r.c.due[TCP_TIMER_LOSS], r.now + FS_US(RTT_US / 4));
	assert_int_not_equal(r.c.due[TCP_TIMER_RTX], FS_NEVER);
	rig_loss_timeout(&r);
	assert_int_equal(r.c.loss_timer, TCP_LOSS_TIMER_NONE);
	assert_int_equal(r.c.cc.ca_state, TCP_CA_RECOVERY);
	assert_int_equal(r.c.lost_out, 2);
	rig_expect_sent(&r, "R0"); /* and R1 when PRR allows */
	rig_close(&r);
}

/* What was only late arrives within the window: nothing happened. */
static void tcp_rack_detect__timer_stops_when_the_hole_is_filled(void **state)
{
	struct rig r;

	open_sent(&r, 3, RTT_US);
	rig_sack(&r, 0, { 1, 3 });
	r.now += FS_US(RTT_US / 8);
	rig_ack(&r, 3);
	assert_int_equal(r.c.due[TCP_TIMER_LOSS], FS_NEVER);
	assert_int_equal(r.c.loss_timer, TCP_LOSS_TIMER_NONE);
	assert_int_equal(r.c.reord_seen, 1);
	assert_int_equal(r.c.total_lost, 0);
	rig_close(&r);
}

/* --- with reordering --- */

/* Not the number but the time: many SACKed above are no loss within the window. */
static void tcp_rack_detect__reordering_path_waits(void **state)
{
	struct rig r;

	open_reordering(&r, 12);
	rig_sack(&r, 0, { 1, 9 });
	assert_int_equal(r.c.lost_out, 0);
	assert_int_equal(r.c.due[TCP_TIMER_LOSS], r.now + FS_US(RTT_US / 4));
	r.now += FS_US(RTT_US / 4) - 1;
	rig_sack(&r, 0, { 1, 10 });
	assert_int_equal(r.c.lost_out, 0);
	rig_close(&r);
}

/* The time counts from each segment's own transmission. */
static void tcp_rack_detect__by_transmission_time(void **state)
{
	struct rig r;

	rig_open(&r, TCP_CONN_SACK);
	rig_warm(&r, RTT_US);
	r.c.reord_seen = 1;
	rig_write(&r, 4);
	rig_send(&r, 1);
	r.now += FS_MS(30);
	rig_send(&r, 1);
	r.now += FS_MS(10);
	rig_send(&r, 2);
	r.now += FS_US(RTT_US);
	rig_sack(&r, 0, { 2, 3 });
	assert_true(is_lost(&r, 0)); /* 40 ms before: more than the 25 of the window */
	assert_false(is_lost(&r, 1)); /* 10 ms */
	assert_false(is_lost(&r, 3)); /* behind */
	assert_int_equal(r.c.due[TCP_TIMER_LOSS], r.now + FS_MS(15));
	rig_close(&r);
}

/* --- retransmissions --- */

/* T6675-2 rule 4, by RACK: what was sent before a retransmission that arrived is lost, the tail included. */
static void tcp_rack_detect__tail_is_found_by_the_retransmission(void **state)
{
	struct rig r;

	open_sent(&r, 10, RTT_US);
	rig_sack(&r, 0, { 1, 9 });
	rig_output(&r);
	rig_expect_sent(&r, "R0");
	r.now += FS_US(RTT_US);
	rig_ack(&r, 9);
	assert_true(is_lost(&r, 9));
	rig_output(&r);
	rig_expect_sent(&r, "R9");
	r.now += FS_US(RTT_US);
	rig_ack(&r, 10);
	assert_int_equal(r.c.cc.ca_state, TCP_CA_OPEN);
	rig_close(&r);
}

/* A retransmission that was lost is found without a timeout: one that was sent later arrived. */
static void tcp_rack_detect__lost_retransmission(void **state)
{
	struct rig r;

	open_sent(&r, 10, RTT_US);
	rig_sack(&r, 0, { 2, 6 });
	r.c.cc.cwnd = 20; /* both leave */
	rig_output(&r);
	rig_expect_sent(&r, "R0 R1");
	r.now += FS_US(RTT_US);
	rig_sack(&r, 0, { 1, 6 });
	assert_true(is_lost(&r, 0));
	assert_int_equal(r.c.total_lost, 2 + 1 + 4); /* and 6 to 9, sent before it as well */
	rig_output(&r);
	assert_true(strncmp(r.sent, "R0", 2) == 0);
	rig_close(&r);
}

/* An answer sooner than any round trip is the original's: it says nothing of when the retransmission arrived. */
static void tcp_rack_delivered__too_soon_for_a_retransmission(void **state)
{
	struct rig r;

	open_sent(&r, 10, RTT_US);
	rig_sack(&r, 0, { 1, 4 });
	r.now += FS_US(1);
	rig_output(&r);
	r.sent[0] = '\0';
	r.now += FS_US(RTT_US / 2);
	rig_ack(&r, 4);
	assert_false(is_lost(&r, 4));
	assert_true(r.c.rack.sent_at < r.now - FS_US(RTT_US));
	rig_close(&r);
}

/* 6.2 step 2: nor does one that echoes an older timestamp. */
static void tcp_rack_delivered__echo_of_the_original(void **state)
{
	struct rig r;

	rig_open(&r, TCP_CONN_SACK | TCP_CONN_TS);
	rig_warm(&r, RTT_US);
	rig_write(&r, 10);
	rig_send(&r, 10);
	r.echo_at = r.now;
	r.now += FS_US(RTT_US);
	rig_sack(&r, 0, { 1, 4 });
	rig_output(&r);
	r.now += FS_US(2 * RTT_US);
	rig_ack(&r, 4);
	assert_false(is_lost(&r, 4));
	assert_true(r.c.rack.sent_at < r.now - FS_US(2 * RTT_US));
	rig_close(&r);
}

/* --- the window adapts (T8985-1, RFC 8985 6.2 step 4) --- */

/* Recovery sends segment 0 of ten again, which was only late: ack of the rest with a D-SACK for it. */
static void recover_in_vain(struct rig *r, int first)
{
	rig_write(r, 10);
	r->c.cc.cwnd = 20;
	rig_send(r, 10);
	r->now += FS_US(RTT_US);
	rig_sack(r, first, { (uint32_t)first + 1, (uint32_t)first + 10 });
	if (r->c.loss_timer == TCP_LOSS_TIMER_REORDER)
		rig_loss_timeout(r);
	rig_output(r);
	assert_int_equal(r->c.cc.ca_state, TCP_CA_RECOVERY);
	r->now += FS_US(RTT_US);
	rig_sack(r, first + 10, { (uint32_t)first, (uint32_t)first + 1 });
	assert_int_equal(r->c.cc.ca_state, TCP_CA_OPEN);
	r->sent[0] = '\0';
}

static void tcp_rack_adapt__dsacks_widen_the_window(void **state)
{
	struct rig r;

	rig_open(&r, TCP_CONN_SACK);
	rig_warm(&r, RTT_US);
	r.c.reord_seen = 1;
	assert_int_equal(r.c.rack.reo_steps, 1);
	for (int i = 0; i < 3; i++) {
		recover_in_vain(&r, 10 * i);
		assert_int_equal(r.c.rack.reo_steps, 2 + i);
		assert_int_equal(r.c.rack.reo_persist, 16);
	}
	/* Four quarters now; bounded by SRTT. */
	rig_write(&r, 5);
	rig_send(&r, 5);
	r.now += FS_US(RTT_US);
	rig_sack(&r, 30, { 31, 35 });
	assert_int_equal(r.c.due[TCP_TIMER_LOSS], r.now + FS_US(FS_MIN(4 * (r.c.rtt.min_us / 4), r.c.rtt.srtt_us)));
	r.c.rack.reo_steps = 200;
	r.c.rack.advanced = true;
	tcp_rack_detect(&r.c, r.now);
	assert_int_equal(r.c.due[TCP_TIMER_LOSS], r.now + FS_US(r.c.rtt.srtt_us));
	rig_close(&r);
}

/* One step for a round trip, however many D-SACKs it brings. */
static void tcp_rack_adapt__one_step_a_round_trip(void **state)
{
	struct tcp_ack_state a = { .rate_sent_at = 1 };
	struct rig r;

	rig_open(&r, TCP_CONN_SACK);
	r.c.cc.delivered = 100;
	r.c.rack.dsack_seen = true;
	a.cc.prior_delivered = 90;
	tcp_rack_adapt(&r.c, &a);
	assert_int_equal(r.c.rack.reo_steps, 2);
	assert_false(r.c.rack.dsack_seen);
	r.c.cc.delivered = 120;
	r.c.rack.dsack_seen = true;
	a.cc.prior_delivered = 99; /* sent before the step */
	tcp_rack_adapt(&r.c, &a);
	assert_int_equal(r.c.rack.reo_steps, 2);
	r.c.rack.dsack_seen = true;
	a.cc.prior_delivered = 100;
	tcp_rack_adapt(&r.c, &a);
	assert_int_equal(r.c.rack.reo_steps, 3);
	rig_close(&r);
}

/* It persists for 16 recoveries that were not in vain. */
static void tcp_rack_adapt__persists_for_sixteen_recoveries(void **state)
{
	struct rig r;
	int at = 10;

	rig_open(&r, TCP_CONN_SACK);
	rig_warm(&r, RTT_US);
	r.c.reord_seen = 1;
	recover_in_vain(&r, 0);
	assert_int_equal(r.c.rack.reo_steps, 2);
	for (int i = 1; i <= 16; i++, at += 6) {
		assert_int_equal(r.c.rack.reo_steps, 2);
		rig_write(&r, 6);
		r.c.cc.cwnd = 20;
		rig_send(&r, 6);
		r.now += FS_US(RTT_US);
		rig_sack(&r, at, { (uint32_t)at + 1, (uint32_t)at + 6 });
		rig_loss_timeout(&r);
		assert_int_equal(r.c.cc.ca_state, TCP_CA_RECOVERY);
		r.now += FS_US(RTT_US);
		rig_ack(&r, at + 6);
		assert_int_equal(r.c.rack.reo_persist, 16 - i);
	}
	rig_write(&r, 1);
	rig_send(&r, 1);
	r.now += FS_US(RTT_US);
	rig_sack(&r, at + 1, { 1000, 1001 }); /* the general way */
	assert_int_equal(r.c.rack.reo_steps, 1);
	rig_close(&r);
}

/* --- what it must not do --- */

/* A window of segments that were sent and not yet answered is not looked at. */
static void tcp_rack_detect__nothing_behind_what_was_delivered(void **state)
{
	struct rig r;

	open_sent(&r, 100, RTT_US);
	rig_write(&r, 100);
	rig_send(&r, 100);
	rig_sack(&r, 0, { 1, 99 });
	for (int i = 99; i < 200; i++)
		assert_false(is_lost(&r, i));
	assert_true(is_lost(&r, 0));
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_rack_detect__third_sack),
		cmocka_unit_test(tcp_rack_detect__one_sack_of_three),
		cmocka_unit_test(tcp_rack_detect__at_once_in_recovery),
		cmocka_unit_test(tcp_rack_detect__reordering_timer),
		cmocka_unit_test(tcp_rack_detect__timer_stops_when_the_hole_is_filled),
		cmocka_unit_test(tcp_rack_detect__reordering_path_waits),
		cmocka_unit_test(tcp_rack_detect__by_transmission_time),
		cmocka_unit_test(tcp_rack_detect__tail_is_found_by_the_retransmission),
		cmocka_unit_test(tcp_rack_detect__lost_retransmission),
		cmocka_unit_test(tcp_rack_delivered__too_soon_for_a_retransmission),
		cmocka_unit_test(tcp_rack_delivered__echo_of_the_original),
		cmocka_unit_test(tcp_rack_adapt__dsacks_widen_the_window),
		cmocka_unit_test(tcp_rack_adapt__one_step_a_round_trip),
		cmocka_unit_test(tcp_rack_adapt__persists_for_sixteen_recoveries),
		cmocka_unit_test(tcp_rack_detect__nothing_behind_what_was_delivered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
