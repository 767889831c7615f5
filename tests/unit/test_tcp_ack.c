/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_tcp_ack.c - which acknowledgements count, and what they do to window, segments, timers and estimators.
 */
#include "tcp_ack_rig.h"

enum { ALL = TCP_CONN_TS | TCP_CONN_SACK };

static enum tcp_ack_result ack_number(struct rig *r, tcp_seq ack)
{
	struct tcp_in in = rig_in(r, 0);

	in.h.ack = ack;
	return rig_take(r, &in);
}

/* --- which count (T5961-3, RFC 5961 5.2) --- */

static void tcp_ack_input__below_the_largest_window_is_blind(void **state)
{
	struct rig r;

	rig_open(&r, TCP_CONN_SACK);
	rig_write(&r, 2);
	rig_send(&r, 2);
	rig_ack(&r, 2);
	r.c.max_wnd = 5000;
	r.c.bytes_acked = 1 << 20;
	assert_int_equal(ack_number(&r, r.c.snd_una - 5001), TCP_ACK_BLIND);
	assert_int_equal(ack_number(&r, r.c.snd_una - 5000), TCP_ACK_OLD);
	assert_int_equal(ack_number(&r, r.c.snd_una - 1), TCP_ACK_OLD);
	assert_int_equal(ack_number(&r, r.c.snd_una), TCP_ACK_OK);
	rig_close(&r);
}

/* The window may be larger than all that was ever sent: the first byte's number is the least that can be told of. */
static void tcp_ack_input__before_the_first_byte_is_blind(void **state)
{
	struct rig r;

	rig_open(&r, TCP_CONN_SACK);
	rig_write(&r, 1);
	rig_send(&r, 1);
	r.c.max_wnd = 1 << 20;
	assert_int_equal(ack_number(&r, RIG_FIRST - 1), TCP_ACK_BLIND);
	rig_ack(&r, 1);
	assert_int_equal(ack_number(&r, RIG_FIRST), TCP_ACK_OLD);
	assert_int_equal(ack_number(&r, RIG_FIRST - 1), TCP_ACK_BLIND);
	rig_close(&r);
}

/* A receiver that acks what was not sent changes nothing; nor does one of half the number space away. */
static void tcp_ack_input__beyond_what_was_sent_is_blind(void **state)
{
	struct rig r;

	rig_open(&r, TCP_CONN_SACK);
	rig_write(&r, 3);
	rig_send(&r, 2);
	assert_int_equal(ack_number(&r, r.c.snd_nxt + 1), TCP_ACK_BLIND);
	assert_int_equal(ack_number(&r, r.c.snd_una + 0x7fffffff), TCP_ACK_BLIND);
	assert_int_equal(ack_number(&r, r.c.snd_una + 0x80000000), TCP_ACK_BLIND);
	assert_int_equal(r.c.snd_una, RIG_FIRST);
	assert_int_equal(r.c.packets_out, 2);
	assert_int_equal(r.c.rtt.srtt_us, 0);
	assert_int_equal(ack_number(&r, r.c.snd_nxt), TCP_ACK_OK);
	assert_int_equal(r.c.packets_out, 0);
	rig_close(&r);
}

/* Nothing of an old ACK counts: its window may be an old one. */
static void tcp_ack_input__old_changes_no_window(void **state)
{
	struct tcp_in in;
	struct rig r;

	rig_open(&r, TCP_CONN_SACK);
	rig_write(&r, 3);
	rig_send(&r, 3);
	rig_ack(&r, 2);
	in = rig_in(&r, 1);
	in.h.window = 1;
	in.h.seq++;
	assert_int_equal(rig_take(&r, &in), TCP_ACK_OLD);
	assert_int_equal(r.c.snd_wnd, RIG_WINDOW);
	assert_int_equal(r.c.snd_wl2, rig_seq(&r, 2));
	rig_close(&r);
}

/* --- window (RFC 9293 3.10.7.4) --- */

static void tcp_ack_input__window_is_scaled(void **state)
{
	struct tcp_in in;
	struct rig r;

	rig_open(&r, TCP_CONN_SACK);
	in = rig_in(&r, 0);
	in.h.window = 0xffff;
	rig_take(&r, &in);
	assert_int_equal(r.c.snd_wnd, 0xffff << RIG_WSCALE);
	assert_int_equal(r.c.max_wnd, 0xffff << RIG_WSCALE);
	in.h.flags |= TCP_SYN; /* RFC 7323 2.2: not of a SYN */
	rig_take(&r, &in);
	assert_int_equal(r.c.snd_wnd, 0xffff);
	assert_int_equal(r.c.max_wnd, 0xffff << RIG_WSCALE);
	rig_close(&r);
}

/* SND.WL1 and SND.WL2: an older segment does not bring an older window back. */
static void tcp_ack_input__older_segment_keeps_window(void **state)
{
	struct tcp_in in;
	struct rig r;

	rig_open(&r, TCP_CONN_SACK);
	rig_write(&r, 2);
	rig_send(&r, 2);
	in = rig_in(&r, 0);
	in.h.seq += 100;
	in.h.window = 1000;
	rig_take(&r, &in);
	assert_int_equal(r.c.snd_wnd, 1000 << RIG_WSCALE);
	in.h.seq -= 50;
	in.h.window = 2000;
	rig_take(&r, &in);
	assert_int_equal(r.c.snd_wnd, 1000 << RIG_WSCALE);
	in.h.seq += 50;
	rig_take(&r, &in);
	assert_int_equal(r.c.snd_wnd, 2000 << RIG_WSCALE);
	rig_close(&r);
}

/* But one that acknowledges more does bring its window: from what it acknowledges on, the former one reaches further than
 * the peer ever said. */
static void tcp_ack_input__older_segment_with_a_newer_ack(void **state)
{
	struct rig r;
	struct tcp_in in;

	rig_open(&r, TCP_CONN_SACK);
	rig_write(&r, 2);
	rig_send(&r, 2);
	in = rig_in(&r, 1);
	in.h.seq = r.c.snd_wl1 - 10;
	in.h.window = 1000;
	tcp_ack_input(&r.c, &r.env, &in);
	assert_int_equal(r.c.packets_out, 1);
	assert_int_equal(r.c.snd_wnd, 1000 << RIG_WSCALE);
	rig_close(&r);
}

/* MUST-34, SHLD-14..16: the peer takes window back: what is out stays out and is acked; nothing new would fit. */
static void tcp_ack_input__window_shrinks_below_what_is_out(void **state)
{
	struct rig r;

	rig_open(&r, TCP_CONN_SACK);
	rig_write(&r, 10);
	rig_send(&r, 8);
	r.window = 3 << RIG_WSCALE;
	rig_ack(&r, 2);
	assert_int_equal(r.c.snd_wnd, 3 << RIG_WSCALE);
	assert_int_equal(r.c.packets_out, 6);
	assert_true(seq_lt(r.c.snd_una + r.c.snd_wnd, r.c.snd_nxt));
	rig_ack(&r, 8);
	assert_int_equal(r.c.packets_out, 0);
	rig_close(&r);
}

/* MUST-35: and to nothing: the timer of probes is left to run. */
static void tcp_ack_input__window_shrinks_to_zero(void **state)
{
	struct rig r;

	rig_open(&r, TCP_CONN_SACK);
	rig_write(&r, 10);
	rig_send(&r, 4);
	r.window = 0;
	rig_ack(&r, 4);
	assert_int_equal(r.c.snd_wnd, 0);
	assert_int_equal(r.c.packets_out, 0);
	assert_int_equal(r.c.max_wnd, RIG_WINDOW);
	rig_close(&r);
}

/* SHLD-30: probing begins anew when the window was open. */
static void tcp_ack_input__opening_ends_probing(void **state)
{
	struct rig r;

	rig_open(&r, TCP_CONN_SACK);
	rig_write(&r, 2);
	r.window = 0;
	rig_ack(&r, 0);
	r.c.rtt.backoff = 4;
	r.c.probes_out = 4;
	rig_ack(&r, 0);
	assert_int_equal(r.c.rtt.backoff, 4); /* MUST-37: it answers, and that is all */
	assert_int_equal(r.c.probes_out, 0);
	r.window = RIG_WINDOW;
	r.dirty = 0;
	rig_ack(&r, 0);
	assert_int_equal(r.c.rtt.backoff, 0);
	assert_int_not_equal(r.dirty, 0);
	rig_close(&r);
}

/* --- the list --- */

static void tcp_ack_input__part_of_a_segment(void **state)
{
	struct rig r;

	rig_open(&r, ALL);
	rig_warm(&r, 1000);
	rig_write(&r, 3);
	rig_send(&r, 3);
	ack_number(&r, rig_seq(&r, 1) + 300);
	assert_int_equal(r.c.packets_out, 2);
	assert_int_equal(tcp_seg(r.c.first)->seq, rig_seq(&r, 1) + 300);
	assert_int_equal(tcp_seg(r.c.first)->len, RIG_MSS - 300);
	assert_int_equal(r.c.snd_una, rig_seq(&r, 1) + 300);
	rig_ack(&r, 3);
	rig_close(&r);
}

/* Acks of single bytes count for nothing: neither in the window nor as round trips (ACK division). */
static void tcp_ack_input__byte_by_byte_gains_nothing(void **state)
{
	uint32_t cwnd;
	struct rig r;

	rig_open(&r, ALL);
	rig_warm(&r, 10000);
	rig_write(&r, 30);
	cwnd = r.c.cc.cwnd;
	rig_output(&r);
	for (unsigned i = 1; i < RIG_MSS; i++) {
		r.now += FS_US(1);
		ack_number(&r, rig_seq(&r, 0) + i);
	}
	assert_int_equal(r.c.cc.cwnd, cwnd);
	assert_int_equal(r.c.rtt.srtt_us, 10000);
	rig_close(&r);
}

/* The FIN is a number behind the data; SYN is none of the list's either. */
static void tcp_ack_input__fin(void **state)
{
	struct rig r;

	rig_open(&r, ALL);
	rig_write(&r, 2);
	rig_send(&r, 2);
	r.c.flags |= TCP_CONN_FIN_QUEUED | TCP_CONN_FIN_SENT;
	r.c.snd_nxt++;
	rig_ack(&r, 2);
	assert_false(tcp_fin_is_acked(&r.c));
	assert_int_equal(r.c.packets_out, 0);
	assert_int_not_equal(r.c.due[TCP_TIMER_RTX], FS_NEVER);
	assert_int_equal(ack_number(&r, r.c.snd_end + 1), TCP_ACK_OK);
	assert_true(tcp_fin_is_acked(&r.c));
	assert_int_equal(r.c.due[TCP_TIMER_RTX], FS_NEVER);
	assert_int_equal(ack_number(&r, r.c.snd_end + 2), TCP_ACK_BLIND);
	rig_close(&r);
}

static void tcp_ack_input__fin_together_with_data(void **state)
{
	struct rig r;

	rig_open(&r, ALL);
	rig_write(&r, 2);
	rig_send(&r, 2);
	r.c.flags |= TCP_CONN_FIN_QUEUED | TCP_CONN_FIN_SENT;
	r.c.snd_nxt++;
	ack_number(&r, r.c.snd_end + 1);
	assert_true(tcp_fin_is_acked(&r.c));
	assert_int_equal(r.c.packets_out, 0);
	assert_null(r.c.first);
	rig_close(&r);
}

static void tcp_ack_input__urgent_mark_is_passed(void **state)
{
	struct rig r;

	rig_open(&r, ALL);
	rig_write(&r, 3);
	rig_send(&r, 3);
	r.c.flags |= TCP_CONN_URG_OUT;
	r.c.snd_up = rig_seq(&r, 2);
	rig_ack(&r, 1);
	assert_true(tcp_has(&r.c, TCP_CONN_URG_OUT));
	rig_ack(&r, 2);
	assert_false(tcp_has(&r.c, TCP_CONN_URG_OUT));
	rig_close(&r);
}

/* The user is told of room only when it was refused some; somebody sends only what there is. */
static void tcp_ack_input__tells_room_and_marks_dirty(void **state)
{
	struct rig r;

	rig_open(&r, ALL);
	rig_write(&r, 3);
	rig_send(&r, 2);
	rig_ack(&r, 1);
	assert_int_equal(r.spaces, 0);
	assert_int_equal(r.dirty, 1);
	r.c.flags |= TCP_CONN_NO_SPACE;
	ack_number(&r, rig_seq(&r, 1) + 10); /* a part is room as well */
	assert_int_equal(r.spaces, 1);
	rig_ack(&r, 2);
	assert_int_equal(r.spaces, 2);
	rig_send(&r, 1);
	r.dirty = 0;
	rig_ack(&r, 3);
	assert_int_equal(r.spaces, 3);
	assert_int_equal(r.dirty, 0);
	r.c.flags |= TCP_CONN_FIN_QUEUED;
	rig_ack(&r, 3);
	assert_int_equal(r.dirty, 1);
	rig_close(&r);
}

/* RFC 6298 5.2, 5.3; progress ends what counted towards giving up. */
static void tcp_ack_input__progress(void **state)
{
	struct rig r;

	rig_open(&r, 0);
	rig_warm(&r, 100000);
	rig_write(&r, 2);
	rig_send(&r, 2);
	assert_int_equal(r.c.due[TCP_TIMER_RTX], r.now + FS_US(r.c.rtt.rto_us));
	r.c.rtx_began = r.now;
	r.c.retransmits = 3;
	r.c.soft_error = 113;
	r.c.probes_out = r.c.keepalive_probes = 2;
	r.now += FS_MS(100);
	rig_ack(&r, 1);
	assert_int_equal(r.c.due[TCP_TIMER_RTX], r.now + FS_US(r.c.rtt.rto_us));
	assert_int_equal(r.c.rtx_began, 0);
	assert_int_equal(r.c.retransmits, 0);
	assert_int_equal(r.c.soft_error, 0);
	assert_int_equal(r.c.probes_out, 0);
	assert_int_equal(r.c.keepalive_probes, 0);
	r.now += FS_MS(1);
	rig_ack(&r, 2);
	assert_int_equal(r.c.due[TCP_TIMER_RTX], FS_NEVER);
	rig_close(&r);
}

/* An ACK that does not advance is no reason to wait longer (RFC 6298 5.3). */
static void tcp_ack_input__duplicate_does_not_restart_the_timer(void **state)
{
	struct rig r;
	fs_ns due;

	rig_open(&r, 0);
	rig_warm(&r, 100000);
	rig_write(&r, 4);
	rig_send(&r, 4);
	due = r.c.due[TCP_TIMER_RTX];
	r.now += FS_MS(100);
	rig_ack(&r, 0);
	assert_int_equal(r.c.due[TCP_TIMER_RTX], due);
	rig_close(&r);
}

/* --- duplicate ACKs (T5681-1, RFC 5681 2) --- */

static void tcp_ack_input__what_is_a_duplicate(void **state)
{
	struct tcp_in in;
	struct rig r;

	rig_open(&r, 0);
	rig_ack(&r, 0); /* nothing is out */
	assert_int_equal(r.c.dup_acks, 0);
	rig_write(&r, 8);
	rig_send(&r, 8);
	in = rig_in(&r, 0);
	in.len = 1; /* it carries data */
	rig_take(&r, &in);
	in.len = 0;
	in.h.flags |= TCP_FIN;
	rig_take(&r, &in);
	in.h.flags = TCP_ACK;
	in.h.window--; /* the window moved */
	rig_take(&r, &in);
	assert_int_equal(r.c.dup_acks, 0);
	assert_int_equal(r.c.sacked_out, 0);
	rig_take(&r, &in);
	assert_int_equal(r.c.dup_acks, 1);
	assert_int_equal(r.c.sacked_out, 1);
	rig_take(&r, &in);
	assert_int_equal(r.c.dup_acks, 2);
	in.h.ack = rig_seq(&r, 1); /* it advances */
	rig_take(&r, &in);
	assert_int_equal(r.c.dup_acks, 0);
	rig_close(&r);
}

/* --- round trips --- */

/* The first segment acked tells the timeout, so that the peer's delay is in it; the last one the path. */
static void tcp_ack_input__samples_of_first_and_last(void **state)
{
	struct rig r;

	rig_open(&r, TCP_CONN_SACK);
	rig_write(&r, 2);
	rig_send(&r, 1);
	r.now += FS_MS(4);
	rig_send(&r, 1);
	r.now += FS_MS(6);
	rig_ack(&r, 2);
	assert_int_equal(r.c.rtt.srtt_us, 10000);
	assert_int_equal(r.c.rtt.min_us, 6000);
	assert_int_equal(r.c.cc.srtt_us, 10000);
	assert_int_equal(r.c.cc.min_rtt_us, 6000);
	rig_close(&r);
}

/* T6298-2, Karn: no sample of what was sent twice, and the backoff stays. */
static void tcp_ack_input__karn(void **state)
{
	struct rig r;

	rig_open(&r, 0);
	rig_warm(&r, 10000);
	rig_write(&r, 1);
	rig_send(&r, 1);
	rig_timeout(&r);
	rig_timeout(&r);
	assert_int_equal(r.c.rtt.backoff, 2);
	r.now += FS_MS(3);
	rig_ack(&r, 1);
	assert_int_equal(r.c.rtt.srtt_us, 10000);
	assert_int_equal(r.c.rtt.backoff, 2);
	rig_write(&r, 1);
	rig_send(&r, 1);
	assert_int_equal(r.c.due[TCP_TIMER_RTX], r.now + 4 * FS_US(r.c.rtt.rto_us));
	r.now += FS_MS(10);
	rig_ack(&r, 2);
	assert_int_equal(r.c.rtt.backoff, 0);
	rig_close(&r);
}

/* T6298-2: nor of what was sent once but is acked together with what was not: it waited at the peer for that. */
static void tcp_ack_input__karn_is_about_the_ack(void **state)
{
	struct rig r;

	rig_open(&r, TCP_CONN_SACK);
	rig_warm(&r, 10000);
	rig_write(&r, 6);
	rig_send(&r, 6);
	r.now += FS_MS(10);
	rig_sack(&r, 0, { 2, 5 });
	assert_int_equal(r.c.lost_out, 2);
	rig_again(&r, r.c.first);
	r.now += FS_MS(100);
	rig_ack(&r, 6); /* 5 was sent once, 110 ms ago */
	assert_int_equal(r.c.rtt.srtt_us, 10000);
	rig_close(&r);
}

/* T7323-4: with timestamps the echo says which transmission it was. */
static void tcp_ack_input__echo_where_karn_forbids(void **state)
{
	struct rig r;

	rig_open(&r, ALL);
	rig_warm(&r, 10000);
	rig_write(&r, 1);
	rig_send(&r, 1);
	r.c.loss_timer = TCP_LOSS_TIMER_NONE;
	r.c.due[TCP_TIMER_RTX] = r.now + FS_MS(210);
	rig_timeout(&r);
	r.echo_at = r.now;
	r.now += FS_MS(18);
	rig_ack(&r, 1);
	assert_int_equal(r.c.rtt.srtt_us, 11000); /* 7/8 * 10 + 1/8 * 18 */
	assert_int_equal(r.c.rtt.backoff, 0);
	rig_close(&r);
}

/* The clock of timestamps ticks in ms: an echo of this ms is 1 ms, not 0. One from the future, or from before any
 * timeout, is nonsense. */
static void tcp_ack_input__echo_that_cannot_be(void **state)
{
	static const int64_t ms[] = { 0, -5, 120001, 0x7fffffff };
	static const uint32_t srtt[] = { 10000 - 9000 / 8, 10000, 10000, 10000 };

	for (unsigned i = 0; i < FS_ARRAY_SIZE(ms); i++) {
		struct tcp_in in;
		struct rig r;

		rig_open(&r, ALL);
		rig_warm(&r, 10000);
		rig_write(&r, 1);
		rig_send(&r, 1);
		r.c.due[TCP_TIMER_RTX] = r.now + FS_MS(210);
		rig_timeout(&r);
		in = rig_in(&r, 1);
		in.h.ts_ecr = tcp_ts_now(&r.c, r.now) - (uint32_t)ms[i];
		rig_take(&r, &in);
		assert_int_equal(r.c.rtt.srtt_us, srtt[i]);
		rig_close(&r);
	}
}

/* T6298-1: the SYN is the first sample; sent twice it is none, unless timestamps tell, and RTO is 3 s (5.7). */
static void tcp_ack_syn__samples(void **state)
{
	struct tcp_in in;
	struct rig r;

	rig_open(&r, 0);
	in = rig_in(&r, 0);
	in.now = r.now + FS_MS(80);
	tcp_ack_syn(&r.c, &in, r.now);
	assert_int_equal(r.c.rtt.srtt_us, 80000);
	assert_int_equal(r.c.rtt.rto_us, 280000);
	assert_int_equal(r.c.cc.srtt_us, 80000);

	tcp_rtt_init(&r.c.rtt, 1000000);
	r.c.rtt.backoff = 1;
	tcp_ack_syn(&r.c, &in, 0);
	assert_int_equal(r.c.rtt.srtt_us, 0);
	assert_int_equal(tcp_rto_us(&r.c), 3000000);

	tcp_rtt_init(&r.c.rtt, 1000000);
	r.c.retransmits = 1;
	tcp_ack_syn(&r.c, &in, r.now);
	assert_int_equal(tcp_rto_us(&r.c), 3000000);

	r.c.flags |= TCP_CONN_TS;
	r.echo_at = r.now;
	in = rig_in(&r, 0);
	in.now = r.now + FS_MS(80);
	tcp_ack_syn(&r.c, &in, r.now);
	assert_int_equal(r.c.rtt.srtt_us, 80000);
	rig_close(&r);
}

/* --- congestion control is told --- */

/* T5681-1: slow start doubles in a round trip, avoidance adds one segment. */
static void tcp_ack_input__window_grows(void **state)
{
	struct rig r;

	rig_open(&r, TCP_CONN_SACK);
	rig_write(&r, 100);
	rig_output(&r);
	assert_int_equal(r.c.packets_out, 10);
	r.now += FS_MS(10);
	for (int i = 2; i <= 10; i += 2)
		rig_ack(&r, i);
	assert_int_equal(r.c.cc.cwnd, 20);
	r.c.cc.ssthresh = 20;
	rig_output(&r);
	assert_int_equal(r.c.packets_out, 20);
	r.now += FS_MS(10);
	for (int i = 12; i <= 30; i += 2)
		rig_ack(&r, i);
	assert_int_equal(r.c.cc.cwnd, 21);
	rig_close(&r);
}

/* RFC 7661 1: a window that was not used does not grow; in slow start up to twice what was used. */
static void tcp_ack_input__window_not_used_does_not_grow(void **state)
{
	struct rig r;

	rig_open(&r, TCP_CONN_SACK);
	for (int i = 0; i < 50; i++) {
		rig_write(&r, 4);
		rig_output(&r);
		r.now += FS_MS(10);
		rig_ack(&r, 4 * (i + 1));
	}
	assert_int_equal(r.c.cc.cwnd, 10);
	r.c.cc.cwnd = 4;
	for (int i = 50; i < 90; i++) {
		rig_write(&r, 4);
		rig_output(&r);
		r.now += FS_MS(10);
		rig_ack(&r, 4 * (i + 1));
	}
	assert_int_equal(r.c.cc.cwnd, 8);
	rig_close(&r);
}

static void tcp_ack_input__window_never_above_its_clamp(void **state)
{
	struct rig r;

	rig_open(&r, TCP_CONN_SACK);
	r.c.cc.clamp = 12;
	rig_write(&r, 100);
	for (int i = 0; i < 5; i++) {
		rig_output(&r);
		r.now += FS_MS(10);
		rig_ack(&r, rig_number(&r, r.c.snd_nxt));
	}
	assert_int_equal(r.c.cc.cwnd, 12);
	rig_close(&r);
}

/* The short way and the general one come to the same connection, byte for byte; but for the rate that TCP_INFO shows,
 * which lone segments have none of. */
static void expect_same(const char *algorithm, uint16_t len, uint32_t marks)
{
	static struct rig a, b;
	struct rig *both[] = { &a, &b };

	for (unsigned i = 0; i < 2; i++) {
		struct rig *r = both[i];
		struct tcp_in in;

		rig_open_as(r, ALL, algorithm);
		rig_warm(r, 10000);
		rig_write(r, 1);
		tcp_seg(r->c.first)->len = len;
		r->c.snd_end -= RIG_MSS - len;
		r->c.app_limited = (uint32_t)r->c.cc.delivered * (marks != 0);
		rig_output(r);
		r->now += FS_MS(11);
		r->echo_at = r->now - FS_MS(11);
		in = rig_in(r, 0);
		in.h.ack = r->c.snd_nxt;
		/* A block that makes no sense keeps the second one from the short way. */
		if (i == 1) {
			in.h.n_sack = 1;
			in.h.sack[0] = (struct tcp_sack_block){ r->c.snd_nxt + 10, r->c.snd_nxt + 20 };
		}
		assert_int_equal(rig_take(r, &in), TCP_ACK_OK);
		r->c.stack = NULL;
		r->c.send_next = r->c.first = r->c.last = NULL;
		r->c.rate_delivered = r->c.rate_interval_us = 0;
		r->c.rate_app_limited = false;
		memset(&r->c.timer.link, 0, sizeof(r->c.timer.link));
	}
	assert_int_equal(b.counters[FS_CTR_tcp_sacks_ignored], 1);
	assert_memory_equal(&a.c, &b.c, sizeof(a.c));
	for (unsigned i = 0; i < 2; i++) {
		free(both[i]->memory[0]);
		free(both[i]->memory[1]);
	}
}

static void tcp_ack_input__short_way_is_the_same(void **state)
{
	static const char *const algorithm[] = { "reno", "cubic", "dctcp", "none" };

	for (unsigned i = 0; i < FS_ARRAY_SIZE(algorithm); i++) {
		expect_same(algorithm[i], RIG_MSS, 0);
		expect_same(algorithm[i], 64, 0);
		expect_same(algorithm[i], 64, TCP_SEG_APP_LIMITED);
	}
}

/* Delivery counts agree with what was acked, marks or not. */
static void tcp_ack_input__counts_delivery_and_bytes(void **state)
{
	struct rig r;

	rig_open(&r, ALL);
	rig_write(&r, 10);
	rig_send(&r, 10);
	rig_sack(&r, 2, { 3, 5 });
	assert_int_equal(r.c.cc.delivered, 4);
	assert_int_equal(r.c.bytes_acked, 2 * RIG_MSS);
	rig_ack(&r, 6);
	assert_int_equal(r.c.cc.delivered, 6);
	rig_ack(&r, 10);
	assert_int_equal(r.c.cc.delivered, 10);
	assert_int_equal(r.c.bytes_acked, 10 * RIG_MSS);
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_ack_input__below_the_largest_window_is_blind),
		cmocka_unit_test(tcp_ack_input__before_the_first_byte_is_blind),
		cmocka_unit_test(tcp_ack_input__beyond_what_was_sent_is_blind),
		cmocka_unit_test(tcp_ack_input__old_changes_no_window),
		cmocka_unit_test(tcp_ack_input__window_is_scaled),
		cmocka_unit_test(tcp_ack_input__older_segment_keeps_window),
		cmocka_unit_test(tcp_ack_input__older_segment_with_a_newer_ack),
		cmocka_unit_test(tcp_ack_input__window_shrinks_below_what_is_out),
		cmocka_unit_test(tcp_ack_input__window_shrinks_to_zero),
		cmocka_unit_test(tcp_ack_input__opening_ends_probing),
		cmocka_unit_test(tcp_ack_input__part_of_a_segment),
		cmocka_unit_test(tcp_ack_input__byte_by_byte_gains_nothing),
		cmocka_unit_test(tcp_ack_input__fin),
		cmocka_unit_test(tcp_ack_input__fin_together_with_data),
		cmocka_unit_test(tcp_ack_input__urgent_mark_is_passed),
		cmocka_unit_test(tcp_ack_input__tells_room_and_marks_dirty),
		cmocka_unit_test(tcp_ack_input__progress),
		cmocka_unit_test(tcp_ack_input__duplicate_does_not_restart_the_timer),
		cmocka_unit_test(tcp_ack_input__what_is_a_duplicate),
		cmocka_unit_test(tcp_ack_input__samples_of_first_and_last),
		cmocka_unit_test(tcp_ack_input__karn),
		cmocka_unit_test(tcp_ack_input__karn_is_about_the_ack),
		cmocka_unit_test(tcp_ack_input__echo_where_karn_forbids),
		cmocka_unit_test(tcp_ack_input__echo_that_cannot_be),
		cmocka_unit_test(tcp_ack_syn__samples),
		cmocka_unit_test(tcp_ack_input__window_grows),
		cmocka_unit_test(tcp_ack_input__window_not_used_does_not_grow),
		cmocka_unit_test(tcp_ack_input__window_never_above_its_clamp),
		cmocka_unit_test(tcp_ack_input__short_way_is_the_same),
		cmocka_unit_test(tcp_ack_input__counts_delivery_and_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
