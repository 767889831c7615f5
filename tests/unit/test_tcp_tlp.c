/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_tcp_tlp.c - tail loss probes (RFC 8985 7): when, what, once, and what their answers mean.
 */
#include "tcp_ack_rig.h"

enum { RTT_US = 50000 };

static void open_warm(struct rig *r, uint32_t flags)
{
	rig_open(r, flags);
	rig_warm(r, RTT_US);
	r->c.cc.ssthresh = TCP_SSTHRESH_NONE;
}

static fs_ns probe_in(const struct rig *r)
{
	assert_int_equal(r->c.loss_timer, TCP_LOSS_TIMER_TLP);
	return r->c.due[TCP_TIMER_LOSS] - r->now;
}

/* --- when (T8985-2, 7.2) --- */

/* Two round trips, and a little for a peer that was not running. */
static void tcp_tlp_arm__two_round_trips(void **state)
{
	struct rig r;

	open_warm(&r, TCP_CONN_SACK);
	rig_write(&r, 3);
	rig_send(&r, 3);
	assert_int_equal(probe_in(&r), FS_US(2 * RTT_US + 2000));
	assert_int_equal(r.c.due[TCP_TIMER_RTX], FS_NEVER);
	rig_close(&r);
}

/* A lone segment may be acked late, by the peer's delayed-ACK timer: but never later than by RTO. */
static void tcp_tlp_arm__lone_segment(void **state)
{
	struct rig r;

	open_warm(&r, TCP_CONN_SACK);
	r.c.rtt.rto_us = 1000000;
	rig_write(&r, 1);
	rig_send(&r, 1);
	assert_int_equal(probe_in(&r), FS_US(2 * RTT_US + 200000));
	r.c.rtt.rto_us = 250000;
	tcp_tlp_arm(&r.c, r.now);
	assert_int_equal(probe_in(&r), FS_US(250000));
	rig_close(&r);
}

static void tcp_tlp_arm__without_sample(void **state)
{
	struct rig r;

	rig_open(&r, TCP_CONN_SACK);
	r.c.rtt.rto_us = 3000000;
	rig_write(&r, 2);
	rig_send(&r, 2);
	assert_int_equal(probe_in(&r), FS_SEC(1));
	rig_close(&r);
}

/* Each transmission and each ACK of new data begins anew. */
static void tcp_tlp_arm__from_the_last_event(void **state)
{
	struct rig r;

	open_warm(&r, TCP_CONN_SACK);
	rig_write(&r, 5);
	rig_send(&r, 3);
	r.now += FS_MS(20);
	rig_send(&r, 2);
	assert_int_equal(probe_in(&r), FS_US(2 * RTT_US + 2000));
	r.now += FS_MS(30);
	rig_ack(&r, 2);
	assert_int_equal(probe_in(&r), FS_US(2 * r.c.rtt.srtt_us + 2000));
	rig_ack(&r, 5);
	assert_int_equal(r.c.due[TCP_TIMER_LOSS], FS_NEVER);
	assert_int_equal(r.c.loss_timer, TCP_LOSS_TIMER_NONE);
	rig_close(&r);
}

/* Not without SACK, not in recovery, not with nothing out, not while one is out. */
static void tcp_tlp_arm__not_always(void **state)
{
	struct rig r;

	open_warm(&r, 0);
	rig_write(&r, 2);
	rig_send(&r, 2);
	assert_int_equal(r.c.due[TCP_TIMER_LOSS], FS_NEVER);
	assert_int_not_equal(r.c.due[TCP_TIMER_RTX], FS_NEVER);
	rig_close(&r);

	open_warm(&r, TCP_CONN_SACK);
	assert_false(tcp_tlp_arm(&r.c, r.now));
	rig_write(&r, 8);
	rig_send(&r, 8);
	r.now += FS_US(RTT_US);
	rig_sack(&r, 0, { 1, 5 });
	assert_int_equal(r.c.cc.ca_state, TCP_CA_RECOVERY);
	assert_int_equal(r.c.loss_timer, TCP_LOSS_TIMER_NONE);
	assert_int_not_equal(r.c.due[TCP_TIMER_RTX], FS_NEVER);
	assert_false(tcp_tlp_arm(&r.c, r.now));
	rig_close(&r);
}

/* --- what (7.3) --- */

static void tcp_tlp_fire__new_data_first(void **state)
{
	struct rig r;

	open_warm(&r, TCP_CONN_SACK);
	rig_write(&r, 4);
	rig_send(&r, 3);
	r.sent[0] = '\0';
	rig_loss_timeout(&r);
	rig_expect_sent(&r, "P3");
	rig_expect_count(&r, FS_CTR_tcp_tail_probes, 1);
	assert_true(r.c.tlp_out);
	assert_false(r.c.tlp_retrans);
	assert_int_equal(r.c.due[TCP_TIMER_RTX], r.now + FS_US(r.c.rtt.rto_us));
	rig_close(&r);
}

static void tcp_tlp_fire__the_last_segment_again(void **state)
{
	struct rig r;

	open_warm(&r, TCP_CONN_SACK);
	rig_write(&r, 3);
	rig_send(&r, 3);
	r.sent[0] = '\0';
	rig_loss_timeout(&r);
	rig_expect_sent(&r, "P2");
	assert_true(r.c.tlp_out && r.c.tlp_retrans);
	assert_int_equal(r.c.total_retrans, 1);
	assert_int_equal(r.c.retrans_out, 0);
	assert_true(tcp_seg_has(r.c.last, TCP_SEG_EVER_RETRANS));
	assert_int_equal(r.c.cc.cwnd, 10);
	rig_close(&r);
}

/* New data the window has no room for are none. */
static void tcp_tlp_fire__window_is_full(void **state)
{
	struct rig r;

	open_warm(&r, TCP_CONN_SACK);
	rig_write(&r, 4);
	rig_send(&r, 3);
	r.c.snd_wnd = 3 * RIG_MSS;
	r.sent[0] = '\0';
	rig_loss_timeout(&r);
	rig_expect_sent(&r, "P2");
	rig_close(&r);
}

/* One probe for a tail; then the retransmission timer. */
static void tcp_tlp_fire__once(void **state)
{
	struct rig r;

	open_warm(&r, TCP_CONN_SACK);
	rig_write(&r, 2);
	rig_send(&r, 2);
	rig_loss_timeout(&r);
	assert_int_equal(r.c.due[TCP_TIMER_LOSS], FS_NEVER);
	assert_false(tcp_tlp_arm(&r.c, r.now));
	r.sent[0] = '\0';
	rig_timeout(&r);
	rig_expect_sent(&r, "R0");
	assert_int_equal(r.c.cc.ca_state, TCP_CA_LOSS);
	rig_close(&r);
}

/* It could not leave: the retransmission timer rules, and a later tail has its probe. */
static void tcp_tlp_fire__cannot_leave(void **state)
{
	struct rig r;

	open_warm(&r, TCP_CONN_SACK);
	rig_write(&r, 2);
	rig_send(&r, 2);
	r.probe_blocked = true;
	rig_loss_timeout(&r);
	assert_false(r.c.tlp_out);
	rig_expect_count(&r, FS_CTR_tcp_tail_probes, 0);
	assert_int_equal(r.c.due[TCP_TIMER_LOSS], FS_NEVER);
	assert_int_equal(r.c.due[TCP_TIMER_RTX], r.now + FS_US(r.c.rtt.rto_us));
	r.now += FS_MS(1);
	rig_ack(&r, 1);
	assert_int_equal(r.c.loss_timer, TCP_LOSS_TIMER_TLP);
	rig_close(&r);
}

/* --- answers (7.4) --- */

/* Segments 0 to 2 are out, a probe sent 2 again. */
static void open_probed(struct rig *r)
{
	open_warm(r, TCP_CONN_SACK);
	rig_write(r, 10);
	rig_send(r, 3);
	r->c.snd_wnd = 3 * RIG_MSS;
	rig_loss_timeout(r);
	r->c.snd_wnd = RIG_WINDOW;
	r->now += FS_US(RTT_US);
	r->sent[0] = '\0';
}

/* 7.4.2: the probe repaired a loss: the window is reduced, once, and that is all of recovery. */
static void tcp_tlp_on_ack__repaired(void **state)
{
	struct rig r;

	open_probed(&r);
	rig_ack(&r, 3);
	assert_true(r.c.tlp_out); /* the original, or the probe: not known yet */
	assert_int_equal(r.c.cc.cwnd, 10);
	rig_send(&r, 1);
	r.now += FS_US(RTT_US);
	rig_ack(&r, 4);
	assert_false(r.c.tlp_out);
	rig_expect_count(&r, FS_CTR_tcp_tail_losses, 1);
	assert_int_equal(r.c.cc.ssthresh, 5);
	assert_int_equal(r.c.cc.cwnd, 5);
	assert_int_equal(r.c.cc.ca_state, TCP_CA_OPEN);
	rig_close(&r);
}

/* 7.4.2: both arrived, as a D-SACK says: no loss. */
static void tcp_tlp_on_ack__dsack(void **state)
{
	struct rig r;

	open_probed(&r);
	rig_ack(&r, 3);
	rig_sack(&r, 3, { 2, 3 });
	assert_false(r.c.tlp_out);
	rig_expect_count(&r, FS_CTR_tcp_dsacks_in, 1);
	assert_false(r.c.rack.dsack_seen); /* a probe's duplicate says nothing of reordering */
	rig_send(&r, 1);
	r.now += FS_US(RTT_US);
	rig_ack(&r, 4);
	rig_expect_count(&r, FS_CTR_tcp_tail_losses, 0);
	assert_int_equal(r.c.cc.ssthresh, TCP_SSTHRESH_NONE);
	rig_close(&r);
}

/* The same without D-SACK: the duplicate is answered by a duplicate ACK. */
static void tcp_tlp_on_ack__duplicate_ack(void **state)
{
	struct rig r;

	open_probed(&r);
	rig_ack(&r, 3);
	rig_send(&r, 1);
	rig_ack(&r, 3);
	assert_false(r.c.tlp_out);
	r.now += FS_US(RTT_US);
	rig_ack(&r, 4);
	rig_expect_count(&r, FS_CTR_tcp_tail_losses, 0);
	assert_int_equal(r.c.cc.ssthresh, TCP_SSTHRESH_NONE);
	rig_close(&r);
}

/* 7.4.1: the probe shows a hole: it is SACKed, and RACK finds what was lost before it. */
static void tcp_tlp_on_ack__hole(void **state)
{
	struct rig r;

	open_probed(&r);
	rig_sack(&r, 1, { 2, 3 });
	assert_int_equal(r.c.lost_out, 0);
	rig_loss_timeout(&r);
	assert_int_equal(r.c.cc.ca_state, TCP_CA_RECOVERY);
	assert_int_equal(r.c.lost_out, 1);
	rig_expect_sent(&r, "R1");
	assert_false(r.c.tlp_out);
	rig_close(&r);
}

/* New data as a probe: their ACK is the end of it. */
static void tcp_tlp_on_ack__new_data(void **state)
{
	struct rig r;

	open_warm(&r, TCP_CONN_SACK);
	rig_write(&r, 4);
	rig_send(&r, 3);
	rig_loss_timeout(&r);
	r.now += FS_US(RTT_US);
	rig_ack(&r, 4);
	assert_false(r.c.tlp_out);
	rig_expect_count(&r, FS_CTR_tcp_tail_losses, 0);
	assert_int_equal(r.c.cc.ca_state, TCP_CA_OPEN);
	rig_close(&r);
}

/* The whole flight is lost: the probe, then the timer, then RACK by what was retransmitted (T8985-2). */
static void tcp_tlp_fire__then_rto(void **state)
{
	struct rig r;

	open_warm(&r, TCP_CONN_SACK);
	rig_write(&r, 4);
	rig_send(&r, 4);
	r.sent[0] = '\0';
	rig_loss_timeout(&r);
	rig_expect_sent(&r, "P3");
	rig_timeout(&r);
	rig_expect_sent(&r, "R0");
	assert_false(r.c.tlp_out);
	assert_int_equal(r.c.lost_out, 4);
	r.now += FS_US(RTT_US);
	rig_ack(&r, 1);
	rig_output(&r);
	rig_expect_sent(&r, "R1 R2");
	r.now += FS_US(RTT_US);
	rig_ack(&r, 3);
	rig_output(&r);
	rig_expect_sent(&r, "R3");
	r.now += FS_US(RTT_US);
	rig_ack(&r, 4);
	assert_int_equal(r.c.cc.ca_state, TCP_CA_OPEN);
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_tlp_arm__two_round_trips),
		cmocka_unit_test(tcp_tlp_arm__lone_segment),
		cmocka_unit_test(tcp_tlp_arm__without_sample),
		cmocka_unit_test(tcp_tlp_arm__from_the_last_event),
		cmocka_unit_test(tcp_tlp_arm__not_always),
		cmocka_unit_test(tcp_tlp_fire__new_data_first),
		cmocka_unit_test(tcp_tlp_fire__the_last_segment_again),
		cmocka_unit_test(tcp_tlp_fire__window_is_full),
		cmocka_unit_test(tcp_tlp_fire__once),
		cmocka_unit_test(tcp_tlp_fire__cannot_leave),
		cmocka_unit_test(tcp_tlp_on_ack__repaired),
		cmocka_unit_test(tcp_tlp_on_ack__dsack),
		cmocka_unit_test(tcp_tlp_on_ack__duplicate_ack),
		cmocka_unit_test(tcp_tlp_on_ack__hole),
		cmocka_unit_test(tcp_tlp_on_ack__new_data),
		cmocka_unit_test(tcp_tlp_fire__then_rto),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
