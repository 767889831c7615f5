/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_tcp_timer.c - retries and when they end: retransmissions, SYNs, probes of closed windows, keep-alive, orphans, the
 * user's timeout; and that moving a deadline away costs the wheel nothing.
 */
#include "tcp_rig.h"

#include <errno.h>

enum { MSS = 1448 };

static void set_options(struct tcp_rig *r, void (*change)(struct tcp_options *o))
{
	struct tcp_options o = *tcp_get_options(r->c);

	change(&o);
	assert_int_equal(tcp_set_options(r->c, &r->h.env, &o, r->now), 0);
}

/* Wait until something leaves, at most @most; returns how long it took. */
static fs_ns until_out(struct tcp_rig *r, struct rig_sent *s, fs_ns most)
{
	fs_ns began = r->now;

	while (r->h.ip.port[0].out.frames == 0 && r->now - began < most)
		rig_wait(r, FS_US(500));
	if (r->h.ip.port[0].out.frames == 0)
		return FS_NEVER;
	rig_drain(r);
	return r->now - began;
}

static void expect_gap(struct tcp_rig *r, fs_ns ms)
{
	struct rig_sent s;
	fs_ns gap = until_out(r, &s, FS_MS(ms) * 2);

	assert_in_range(gap, FS_MS(ms) - FS_MS(2), FS_MS(ms) + FS_MS(ms) / 100 + FS_MS(1));
}

/* RFC 6298 5.5: each wait twice as long as the one before, up to the largest. */
static void tcp_timer__rto_doubles(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_plain); /* without SACK no tail loss probe comes before */
	rig_write(&r, rig_pattern(), 100);
	rig_drain(&r);
	for (fs_ns ms = 200; ms < 120000; ms *= 2)
		expect_gap(&r, ms);
	expect_gap(&r, 120000);
	assert_int_equal(rig_counter(&r, FS_CTR_tcp_rto), 11);
	trig_close(&r);
}

/* R2 (MUST-20, SHLD-11): as long as fifteen doublings from the least RTO take, then the program learns of it. */
static void tcp_timer__gives_up_after_r2(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_plain);
	rig_write(&r, rig_pattern(), 100);
	rig_wait(&r, FS_SEC(923));
	assert_int_equal(r.c->state, TCP_ESTABLISHED);
	rig_wait(&r, FS_SEC(130));
	assert_int_equal(r.c->state, TCP_CLOSED);
	assert_true(r.edges & TCP_READY_ERR);
	assert_int_equal(tcp_take_error(r.c), ETIMEDOUT);
	assert_int_equal(rig_counter(&r, FS_CTR_tcp_timeouts), 1);
	trig_close(&r);
}

/* What ICMP said meanwhile is the better reason (MUST-56). */
static void tcp_timer__gives_up_with_the_soft_error(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_plain);
	rig_write(&r, rig_pattern(), 100);
	r.c->soft_error = EHOSTUNREACH;
	rig_wait(&r, FS_SEC(1100));
	assert_int_equal(tcp_take_error(r.c), EHOSTUNREACH);
	trig_close(&r);
}

/* R1 (MUST-20, SHLD-10): after three timeouts the way is asked for anew. */
static void tcp_timer__doubts_the_way_after_r1(void **state)
{
	uint64_t asked;
	struct tcp_rig r;

	rig_connected(&r, &rig_plain);
	rig_write(&r, rig_pattern(), 100);
	asked = rig_counter(&r, FS_CTR_route_hits);
	rig_wait(&r, FS_MS(700)); /* two */
	assert_int_equal(rig_counter(&r, FS_CTR_route_hits), asked);
	rig_wait(&r, FS_MS(800));
	assert_int_equal(rig_counter(&r, FS_CTR_route_hits), asked + 1);
	rig_drain(&r);
	trig_close(&r);
}

static void impatient(struct tcp_options *o)
{
	o->user_timeout_ms = 5000;
}

/* RFC 5482, MUST-21; to the point. */
static void tcp_timer__user_timeout(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_plain);
	set_options(&r, impatient);
	rig_write(&r, rig_pattern(), 100);
	rig_wait(&r, FS_MS(200 + 4990));
	assert_int_equal(r.c->state, TCP_ESTABLISHED);
	rig_wait(&r, FS_MS(20));
	assert_int_equal(r.c->state, TCP_CLOSED);
	assert_int_equal(tcp_take_error(r.c), ETIMEDOUT);
	trig_close(&r);
}

/* --- SYN --- */

static void two_syns(struct tcp_options *o)
{
	o->syn_count = 2;
}

/* MUST-22 */
static void tcp_timer__syn_count(void **state)
{
	struct tcp_rig r;

	trig_open(&r);
	r.c = tcp_open(&r.tcp, &r);
	set_options(&r, two_syns);
	assert_int_equal(trig_connect(&r), 0);
	rig_drain(&r);
	expect_gap(&r, 1000);
	expect_gap(&r, 2000);
	rig_wait(&r, FS_MS(3990));
	assert_int_equal(r.c->state, TCP_SYN_SENT);
	rig_wait(&r, FS_MS(20));
	assert_int_equal(tcp_take_error(r.c), ETIMEDOUT);
	rig_no_out(&r);
	trig_close(&r);
}

/* --- closed windows --- */

/* A connection whose peer closed its window, with @len bytes waiting; the peer's numbers are 100 ahead. */
static void close_window(struct tcp_rig *r, uint32_t len)
{
	rig_write(r, rig_pattern(), 100);
	rig_drain(r);
	rig_seg_in(r, (struct rig_seg){ .ack = 100, .window = 1 });
	assert_int_equal(r->c->snd_wnd, 0);
	assert_int_equal(rig_write(r, rig_pattern() + 100, len), len);
	rig_no_out(r);
}

/* MUST-36, SHLD-29, SHLD-30: the first after one RTO, each interval twice the one before; old numbers, no data. */
static void tcp_timer__probes_double(void **state)
{
	struct rig_sent *s;
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	close_window(&r, 5000);
	rig_wait(&r, FS_MS(199));
	rig_no_out(&r);
	rig_wait(&r, FS_MS(2));
	s = rig_one_out(&r);
	assert_int_equal(s->h.flags, TCP_ACK);
	assert_int_equal(s->h.seq, 99);
	assert_int_equal(s->len, 0);
	for (fs_ns ms = 400; ms < 120000; ms *= 2) {
		/* MUST-37: as long as it answers. The answer does not begin anew. */
		rig_seg_in(&r, (struct rig_seg){ .ack = 100, .window = 1 });
		rig_no_out(&r);
		expect_gap(&r, ms);
	}
	expect_gap(&r, 120000);
	rig_seg_in(&r, (struct rig_seg){ .ack = 100, .window = 1 });
	for (unsigned i = 0; i < 40; i++) {
		rig_wait(&r, FS_SEC(120));
		rig_drain(&r);
		rig_seg_in(&r, (struct rig_seg){ .ack = 100, .window = 1 });
	}
	assert_int_equal(r.c->state, TCP_ESTABLISHED);
	/* It opens: everything goes, and the next time the interval begins anew. */
	rig_seg_in(&r, (struct rig_seg){ .ack = 100, .window = 2000 });
	assert_true(rig_out(&r, s));
	assert_int_equal(s->h.seq, 100);
	assert_int_equal(s->len, MSS);
	assert_int_equal(r.c->rtt.backoff, 0);
	rig_drain(&r);
	trig_close(&r);
}

/* Nobody answers probes: given up as data would be. */
static void tcp_timer__probes_unanswered(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	close_window(&r, 10);
	rig_wait(&r, FS_SEC(600));
	assert_int_equal(r.c->state, TCP_ESTABLISHED);
	rig_wait(&r, FS_SEC(500));
	assert_int_equal(r.c->state, TCP_CLOSED);
	assert_int_equal(tcp_take_error(r.c), ETIMEDOUT);
	assert_int_equal(rig_counter(&r, FS_CTR_tcp_window_probes), r.tcp.config.retries2);
	trig_close(&r);
}

/* A sliver of a window is used in the end (3.8.6.2.1's override): as much as fits, pushed. */
static void tcp_timer__sliver_of_a_window(void **state)
{
	struct rig_sent *s;
	struct tcp_rig r;

	rig_connected(&r, &rig_plain);
	rig_write(&r, rig_pattern(), 100);
	rig_drain(&r);
	rig_seg_in(&r, (struct rig_seg){ .ack = 100, .window = 50 });
	rig_write(&r, rig_pattern() + 100, 500);
	rig_no_out(&r);
	rig_wait(&r, FS_MS(201));
	s = rig_one_out(&r);
	assert_int_equal(s->h.seq, 100);
	assert_int_equal(s->len, 50);
	assert_true(s->h.flags & TCP_PSH);
	trig_close(&r);
}

/* In urgent mode the peer sees the pointer though its window is closed (3.8.5, MUST-66). */
static void tcp_timer__probe_tells_of_urgent_data(void **state)
{
	struct iovec iov = { (void *)(uintptr_t)rig_pattern(), 10 };
	struct rig_sent s;
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	close_window(&r, 5);
	assert_int_equal(tcp_send(r.c, &r.h.env, &iov, 1, TCP_SEND_OOB, r.now), 10);
	rig_wait(&r, FS_MS(201));
	assert_true(rig_out(&r, &s));
	assert_int_equal(s.h.flags, TCP_ACK | TCP_URG);
	assert_int_equal(s.h.seq, 100);
	assert_int_equal(s.h.urgent, 15);
	s = *rig_one_out(&r); /* and one the peer must answer */
	assert_int_equal(s.h.flags & ~TCP_URG, TCP_ACK);
	assert_int_equal(s.h.seq, 99);
	trig_close(&r);
}

/* SHLD-17: the window shrank to nothing under data in flight: they go on to be sent again while the peer answers. */
static void tcp_timer__window_shrank_to_nothing(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_plain);
	rig_write(&r, rig_pattern(), 3000);
	rig_drain(&r);
	for (unsigned i = 0; i < 30; i++) {
		rig_seg_in(&r, (struct rig_seg){ .ack = 1460, .window = 1 });
		rig_wait(&r, FS_SEC(100));
		rig_drain(&r);
		assert_int_equal(r.c->state, TCP_ESTABLISHED);
	}
	rig_wait(&r, FS_SEC(2000)); /* and then not a word: R2 begins when it is no longer held by the window */
	assert_int_equal(r.c->state, TCP_CLOSED);
	trig_close(&r);
}

/* --- keep-alive --- */

static void keep_alive(struct tcp_options *o)
{
	o->keepalive = true;
	o->keep_idle_s = 60;
	o->keep_interval_s = 10;
	o->keep_count = 3;
}

/* MUST-24 to MUST-29, SHLD-12 */
static void tcp_timer__keep_alive(void **state)
{
	struct rig_sent *s;
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	rig_wait(&r, FS_SEC(100000)); /* MUST-25: not unless asked */
	rig_no_out(&r);
	set_options(&r, keep_alive);
	rig_wait(&r, FS_MS(10));
	s = rig_one_out(&r); /* idle for long already */
	assert_int_equal(s->h.flags, TCP_ACK);
	assert_int_equal(s->h.seq, (uint32_t)-1);
	assert_int_equal(s->len, 0);
	rig_seg_in(&r, (struct rig_seg){ .ack = 0 });
	rig_wait(&r, FS_SEC(59));
	rig_no_out(&r);
	rig_wait(&r, FS_SEC(1) + FS_MS(10));
	rig_one_out(&r);
	/* MUST-29: one answer that does not come proves nothing. */
	rig_wait(&r, FS_SEC(10));
	rig_one_out(&r);
	rig_seg_in(&r, (struct rig_seg){ .ack = 0 });
	rig_wait(&r, FS_SEC(60) + FS_MS(10));
	rig_one_out(&r);
	rig_wait(&r, FS_SEC(10));
	rig_one_out(&r);
	rig_wait(&r, FS_SEC(10));
	rig_one_out(&r);
	rig_wait(&r, FS_SEC(10));
	rig_rst_out(&r);
	assert_int_equal(r.c->state, TCP_CLOSED);
	assert_int_equal(tcp_take_error(r.c), ETIMEDOUT);
	trig_close(&r);
}

/* MUST-26: data of either side are a sign of life. */
static void tcp_timer__keep_alive_of_a_busy_connection(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	set_options(&r, keep_alive);
	for (uint32_t i = 0; i < 10; i++) {
		rig_wait(&r, FS_SEC(50));
		rig_drain(&r);
		rig_seg_in(&r, (struct rig_seg){ .seq = i, .data = "x", .len = 1 });
	}
	rig_wait(&r, FS_SEC(1));
	rig_drain(&r);
	rig_write(&r, rig_pattern(), 10); /* not answered: its own timer sees to it */
	rig_wait(&r, FS_SEC(100));
	assert_int_equal(rig_counter(&r, FS_CTR_tcp_keepalives), 0);
	rig_drain(&r);
	trig_close(&r);
}

static void keep_and_user(struct tcp_options *o)
{
	keep_alive(o);
	o->user_timeout_ms = 75000;
}

/* RFC 5482 4.1: the user's timeout overrides the count. */
static void tcp_timer__keep_alive_with_user_timeout(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	set_options(&r, keep_and_user);
	rig_wait(&r, FS_SEC(79));
	assert_int_equal(r.c->state, TCP_ESTABLISHED);
	rig_wait(&r, FS_SEC(2));
	assert_int_equal(r.c->state, TCP_CLOSED);
	rig_drain(&r);
	trig_close(&r);
}

/* --- orphans --- */

/* FIN-WAIT-2 with nobody left to tell ends. */
static void tcp_timer__orphan_in_fin_wait_2(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	tcp_close(r.c, &r.h.env, r.now);
	r.c = NULL;
	rig_drain(&r);
	rig_seg_in(&r, (struct rig_seg){ .ack = 1 });
	rig_wait(&r, FS_SEC(59));
	assert_int_equal(r.tcp.n_conns, 1);
	rig_wait(&r, FS_SEC(2));
	assert_int_equal(r.tcp.n_conns, 0);
	assert_int_equal(r.released, 1);
	rig_no_out(&r);
	trig_close(&r);
}

/* An orphan's data are sent again less often. */
static void tcp_timer__orphan_gives_up_sooner(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_plain);
	rig_write(&r, rig_pattern(), 10);
	tcp_close(r.c, &r.h.env, r.now);
	r.c = NULL;
	rig_wait(&r, FS_SEC(100));
	assert_int_equal(r.tcp.n_conns, 1);
	rig_wait(&r, FS_SEC(150));
	assert_int_equal(r.tcp.n_conns, 0);
	rig_drain(&r);
	trig_close(&r);
}

/* --- black holes --- */

/* Full segments vanish, smaller ones would not: after R1 they are smaller. */
static void tcp_timer__black_hole(void **state)
{
	struct rig_sent s;
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	r.tcp.config.mtu_probing = true;
	rig_write(&r, rig_pattern(), 3 * MSS);
	rig_wait(&r, FS_MS(1300));
	rig_drain(&r);
	assert_int_equal(r.c->mss, MSS);
	rig_wait(&r, FS_MS(600));
	assert_int_equal(rig_counter(&r, FS_CTR_tcp_black_holes), 1);
	assert_true(rig_out(&r, &s));
	assert_int_equal(s.h.seq, 0);
	assert_int_equal(s.len, 730 - 12); /* half of 1460, which is below base_mss */
	rig_drain(&r);
	trig_close(&r);
}

/* What is shorter does not vanish for its length. */
static void tcp_timer__no_black_hole_of_short_segments(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	r.tcp.config.mtu_probing = true;
	rig_write(&r, rig_pattern(), 1000);
	rig_wait(&r, FS_SEC(10));
	assert_int_equal(rig_counter(&r, FS_CTR_tcp_black_holes), 0);
	rig_drain(&r);
	trig_close(&r);
}

/* --- the wheel --- */

/* A deadline that moves away leaves the wheel alone: it is looked at when the old one comes. */
static void tcp_timer_set__later_is_lazy(void **state)
{
	struct tcp_rig r;
	fs_ns next;

	rig_connected(&r, &rig_plain);
	rig_write(&r, rig_pattern(), 10);
	next = tcp_next(&r.tcp);
	for (uint32_t i = 1; i < 10; i++) {
		rig_wait(&r, FS_MS(10));
		rig_drain(&r);
		rig_seg_in(&r, (struct rig_seg){ .ack = i * 10 });
		rig_write(&r, rig_pattern() + i * 10, 10);
		assert_int_equal(tcp_next(&r.tcp), next);
	}
	assert_int_equal(r.tcp.wheel.count, 1);
	assert_true(r.c->due[TCP_TIMER_RTX] > next);
	rig_wait(&r, FS_MS(150)); /* for nothing */
	assert_int_equal(rig_counter(&r, FS_CTR_tcp_rto), 0);
	assert_true(tcp_next(&r.tcp) > next);
	rig_drain(&r);
	trig_close(&r);
}

/* An idle connection has no timer at all. */
static void tcp_next__idle(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	rig_write(&r, rig_pattern(), 10);
	rig_drain(&r);
	rig_seg_in(&r, (struct rig_seg){ .ack = 10 });
	rig_wait(&r, FS_SEC(2));
	assert_int_equal(tcp_next(&r.tcp), FS_NEVER);
	trig_close(&r);
}

/* SHLD-18, MUST-40: an ACK that nothing carried leaves within its time. */
static void tcp_timer__delayed_ack(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	r.c->quick_acks = 0;
	r.c->ato_us = 40000; /* as after the first data */
	r.c->last_received_at = r.now;
	rig_seg_in(&r, (struct rig_seg){ .data = rig_pattern(), .len = 10 });
	rig_no_out(&r);
	rig_wait(&r, FS_MS(200));
	rig_ack_out(&r, 10);
	trig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_timer__rto_doubles),
		cmocka_unit_test(tcp_timer__gives_up_after_r2),
		cmocka_unit_test(tcp_timer__gives_up_with_the_soft_error),
		cmocka_unit_test(tcp_timer__doubts_the_way_after_r1),
		cmocka_unit_test(tcp_timer__user_timeout),
		cmocka_unit_test(tcp_timer__syn_count),
		cmocka_unit_test(tcp_timer__probes_double),
		cmocka_unit_test(tcp_timer__probes_unanswered),
		cmocka_unit_test(tcp_timer__sliver_of_a_window),
		cmocka_unit_test(tcp_timer__probe_tells_of_urgent_data),
		cmocka_unit_test(tcp_timer__window_shrank_to_nothing),
		cmocka_unit_test(tcp_timer__keep_alive),
		cmocka_unit_test(tcp_timer__keep_alive_of_a_busy_connection),
		cmocka_unit_test(tcp_timer__keep_alive_with_user_timeout),
		cmocka_unit_test(tcp_timer__orphan_in_fin_wait_2),
		cmocka_unit_test(tcp_timer__orphan_gives_up_sooner),
		cmocka_unit_test(tcp_timer__black_hole),
		cmocka_unit_test(tcp_timer__no_black_hole_of_short_segments),
		cmocka_unit_test(tcp_timer_set__later_is_lazy),
		cmocka_unit_test(tcp_next__idle),
		cmocka_unit_test(tcp_timer__delayed_ack),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
