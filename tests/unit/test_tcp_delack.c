/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_tcp_delack.c - when data received are acknowledged.
 */
#include "tcp_rig.h"

enum { MSS = 1448 };

static const uint8_t *text(uint32_t at)
{
	return rig_pattern() + at % 60000;
}

static uint32_t next_of(const struct tcp_rig *r)
{
	return r->c->rcv_nxt - r->irs - 1;
}

static void feed(struct tcp_rig *r, uint32_t len)
{
	rig_seg_in(r, (struct rig_seg){ .seq = next_of(r), .data = text(0), .len = len });
}

static void read_all(struct tcp_rig *r)
{
	static uint8_t got[RIG_FRAME_MAX];

	while (tcp_inq(r->c) > 0)
		assert_true(rig_recv(r, got, sizeof(got)) > 0);
}

/* An established connection beyond its quick ACKs, full segments arriving regularly. */
static void settled(struct tcp_rig *r)
{
	rig_connected(r, &rig_modern);
	for (unsigned i = 0; i < 40; i++) {
		feed(r, MSS);
		read_all(r);
		rig_drain(r);
	}
	rig_wait(r, FS_MS(300));
	rig_drain(r);
	r->c->quick_acks = 0;
	r->c->last_received_at = r->now;
	r->c->rcvbuf = 4 << 20; /* as if auto-tuned */
	assert_int_equal(r->c->rcv_mss, MSS);
}

/* When the next ACK leaves if nothing else happens; FS_NEVER = within @most none does. */
static fs_ns wait_for_ack(struct tcp_rig *r, fs_ns most)
{
	fs_ns begin = r->now;

	while (r->now - begin <= most) {
		if (r->h.ip.port[0].out.frames > 0)
			return r->now - begin;
		rig_wait(r, FS_MS(1));
	}
	return FS_NEVER;
}

static void tcp_ack__the_first_ones_are_quick(void **state)
{
	unsigned quick = 0;
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	for (unsigned i = 0; i < 40; i++) {
		feed(&r, 100);
		if (r.h.ip.port[0].out.frames == 0)
			break;
		rig_ack_out(&r, next_of(&r));
		quick++;
		read_all(&r);
		rig_no_out(&r);
	}
	assert_int_equal(quick, 16);
	trig_close(&r);
}

static void tcp_ack__every_second_full_segment(void **state)
{
	struct tcp_rig r;

	settled(&r); /* SHLD-19 */
	for (unsigned i = 0; i < 20; i++) {
		feed(&r, MSS);
		rig_no_out(&r);
		feed(&r, MSS);
		rig_ack_out(&r, next_of(&r));
		read_all(&r);
		rig_drain(&r);
	}
	trig_close(&r);
}

static void tcp_ack__a_burst_gets_one(void **state)
{
	struct tcp_rig r;

	settled(&r); /* MUST-58, MUST-59 */
	for (unsigned i = 0; i < 8; i++)
		rig_seg_part(&r, (struct rig_seg){ .seq = next_of(&r), .data = text(0), .len = MSS });
	rig_no_out(&r);
	rig_burst_end(&r);
	rig_ack_out(&r, next_of(&r));
	trig_close(&r);
}

static void tcp_ack__a_lone_segment_waits_40_ms(void **state)
{
	struct tcp_rig r;

	settled(&r); /* SHLD-18 */
	feed(&r, MSS);
	rig_no_out(&r);
	assert_in_range(wait_for_ack(&r, FS_SEC(1)), FS_MS(39), FS_MS(41));
	rig_ack_out(&r, next_of(&r));
	assert_int_equal(wait_for_ack(&r, FS_SEC(1)), FS_NEVER);
	trig_close(&r);
}

/* MUST-40, whatever the rhythm. */
static void tcp_ack__never_later_than_200_ms(void **state)
{
	for (unsigned gap = 5; gap < 400; gap += 13) {
		struct tcp_rig r;

		settled(&r);
		for (unsigned i = 0; i < 30; i++) {
			fs_ns waited;

			feed(&r, 100);
			waited = wait_for_ack(&r, FS_MS(gap));
			if (waited == FS_NEVER)
				waited = FS_MS(gap) + wait_for_ack(&r, FS_MS(200));
			assert_true(waited <= FS_MS(201));
			rig_drain(&r);
			rig_wait(&r, FS_MS(gap));
			rig_drain(&r);
			read_all(&r);
			rig_drain(&r);
		}
		trig_close(&r);
	}
}

/* Not longer than a round trip, if that is above the least delay: the peer's timer knows the path. */
static void tcp_ack__not_later_than_a_round_trip(void **state)
{
	static const uint32_t srtt[] = { 1000, 60000, 150000, 900000 };
	static const unsigned most[] = { 40, 60, 150, 200 };

	for (unsigned i = 0; i < FS_ARRAY_SIZE(srtt); i++) {
		struct tcp_rig r;

		settled(&r);
		r.c->rtt.srtt_us = srtt[i];
		r.c->ato_us = 400000;
		r.c->last_received_at = r.now - FS_MS(500);
		r.c->rtt.rto_us = 1000000;
		feed(&r, 100);
		assert_in_range(wait_for_ack(&r, FS_SEC(1)), FS_MS(most[i] - 1), FS_MS(most[i] + 1));
		trig_close(&r);
	}
}

static void tcp_ack__the_answer_carries_it(void **state)
{
	struct rig_sent *s;
	struct tcp_rig r;

	settled(&r);
	for (unsigned i = 0; i < 10; i++) {
		feed(&r, 100);
		read_all(&r);
		if (i > 0)
			rig_no_out(&r); /* a dialogue: reading is no reason */
		rig_drain(&r);
		assert_int_equal(rig_write(&r, "x", 1), 1);
		s = rig_one_out(&r);
		assert_int_equal(s->len, 1);
		assert_int_equal(s->h.ack, next_of(&r));
		rig_seg_in(&r, (struct rig_seg){ .seq = next_of(&r), .ack = i + 1 });
		rig_no_out(&r);
		r.now += FS_MS(1);
	}
	assert_true(r.c->ack_flags & TCP_ACK_PINGPONG);
	/* Once the answer does not come it is no dialogue any more. */
	feed(&r, 100);
	assert_in_range(wait_for_ack(&r, FS_SEC(1)), FS_MS(35), FS_MS(201));
	rig_drain(&r);
	assert_false(r.c->ack_flags & TCP_ACK_PINGPONG);
	trig_close(&r);
}

static void tcp_ack__reading_a_small_message_is_worth_one(void **state)
{
	struct tcp_rig r;

	settled(&r);
	feed(&r, 100);
	rig_no_out(&r);
	read_all(&r);
	rig_ack_out(&r, next_of(&r));
	trig_close(&r);
}

static void tcp_ack__waits_for_a_slow_reader(void **state)
{
	struct tcp_rig r;

	settled(&r);
	r.c->rcv_ssthresh = r.c->rcv_wnd; /* it cannot grow as data come */
	r.c->rcvbuf = 2 * r.c->rcv_wnd;
	feed(&r, MSS);
	feed(&r, MSS);
	rig_no_out(&r); /* it would only tell of less room */
	read_all(&r);
	rig_ack_out(&r, next_of(&r));
	trig_close(&r);
}

static void tcp_ack__after_a_long_pause_quick_again(void **state)
{
	struct tcp_rig r;

	settled(&r);
	rig_wait(&r, FS_SEC(3));
	feed(&r, MSS);
	rig_ack_out(&r, next_of(&r));
	trig_close(&r);
}

static void tcp_ack__out_of_order_and_filling_gaps_at_once(void **state)
{
	uint32_t at;
	struct tcp_rig r;

	settled(&r); /* RFC 5681 4.2 */
	at = next_of(&r);
	rig_seg_in(&r, (struct rig_seg){ .seq = at + MSS, .data = text(0), .len = MSS });
	rig_ack_out(&r, at);
	rig_seg_in(&r, (struct rig_seg){ .seq = at + 3 * MSS, .data = text(0), .len = MSS });
	rig_ack_out(&r, at);
	rig_seg_in(&r, (struct rig_seg){ .seq = at, .data = text(0), .len = 100 });
	rig_ack_out(&r, at + 100);
	rig_seg_in(&r, (struct rig_seg){ .seq = at + 100, .data = text(0), .len = MSS - 100 });
	rig_ack_out(&r, at + 2 * MSS);
	trig_close(&r);
}

static void tcp_quickack__on_and_off(void **state)
{
	struct tcp_rig r;

	settled(&r);
	feed(&r, 100);
	rig_no_out(&r);
	tcp_quickack(r.c, &r.h.env, true, r.now); /* what is owed goes now */
	rig_burst_end(&r);
	rig_ack_out(&r, next_of(&r));
	for (unsigned i = 0; i < 30; i++) {
		feed(&r, 100);
		rig_ack_out(&r, next_of(&r));
	}
	tcp_quickack(r.c, &r.h.env, false, r.now);
	feed(&r, 100);
	rig_no_out(&r);
	trig_close(&r);
}

/* --- held for an answer --- */

/* As rig_connected(), and the handshake's last ACK is out. */
static void holding(struct tcp_rig *r)
{
	rig_connected(r, &rig_modern);
	r->tcp.config.hold_acks = true;
}

static void release(struct tcp_rig *r, fs_ns age)
{
	tcp_release_acks(&r->tcp, r->now - age);
	rig_burst_end(r);
}

static void tcp_hold__until_it_is_released(void **state)
{
	struct tcp_rig r;

	holding(&r);
	feed(&r, 100);
	read_all(&r);
	rig_no_out(&r);
	rig_wait(&r, FS_US(50));
	release(&r, FS_US(60)); /* what is younger stays */
	rig_no_out(&r);
	release(&r, FS_US(50));
	rig_ack_out(&r, next_of(&r));
	release(&r, 0);
	rig_no_out(&r);
	trig_close(&r);
}

static void tcp_hold__the_answer_carries_it(void **state)
{
	struct tcp_rig r;

	holding(&r);
	feed(&r, 100);
	read_all(&r);
	assert_int_equal(rig_write(&r, text(0), 10), 10);
	assert_int_equal(rig_one_out(&r)->h.ack, next_of(&r));
	tcp_release_acks(&r.tcp, FS_NEVER);
	rig_burst_end(&r);
	rig_no_out(&r);
	trig_close(&r);
}

/* For threads that wait, which look without the lock. */
static void tcp_hold__says_that_there_may_be_some(void **state)
{
	struct tcp_rig r;

	holding(&r);
	assert_false(r.tcp.may_hold);
	feed(&r, 100);
	assert_true(r.tcp.may_hold);
	release(&r, FS_US(10));
	assert_true(r.tcp.may_hold);
	release(&r, 0);
	assert_false(r.tcp.may_hold);
	feed(&r, 100);
	tcp_abort(r.c, &r.h.env, r.now);
	r.c = NULL;
	assert_true(r.tcp.may_hold); /* nobody looked */
	release(&r, 0);
	assert_false(r.tcp.may_hold);
	trig_close(&r);
}

static void tcp_hold__not_longer_than_a_delayed_ack(void **state)
{
	struct tcp_rig r;

	holding(&r);
	feed(&r, 100);
	rig_no_out(&r);
	assert_in_range(wait_for_ack(&r, FS_SEC(1)), FS_MS(39), FS_MS(41));
	rig_ack_out(&r, next_of(&r));
	trig_close(&r);
}

/* A sender that has more to send is not slowed down: Nagle's algorithm waits for the ACK, slow start lives on them. */
static void tcp_hold__one_small_message_only(void **state)
{
	struct tcp_rig r;

	holding(&r);
	feed(&r, 100);
	feed(&r, 100);
	rig_ack_out(&r, next_of(&r));
	feed(&r, MSS);
	rig_ack_out(&r, next_of(&r));
	rig_seg_in(&r, (struct rig_seg){ .seq = next_of(&r) + MSS, .data = text(0), .len = 100 });
	rig_ack_out(&r, next_of(&r));
	trig_close(&r);
}

static void tcp_hold__not_against_quickack(void **state)
{
	struct tcp_rig r;

	holding(&r);
	tcp_quickack(r.c, &r.h.env, true, r.now);
	feed(&r, 100);
	rig_ack_out(&r, next_of(&r));
	trig_close(&r);
}

/* The third of the handshake waits for what the client has to say. */
static void tcp_hold__handshake(void **state)
{
	for (int answers = 0; answers < 2; answers++) {
		struct rig_seg synack = { .flags = TCP_SYN | TCP_ACK, .absolute = true, .mss = 1460,
					  .options = TCP_HAS_MSS };
		struct tcp_rig r;

		trig_open(&r);
		r.tcp.config.hold_acks = true;
		assert_int_equal(trig_connect(&r), 0);
		rig_one_out(&r);
		synack.seq = r.irs;
		synack.ack = r.iss + 1;
		rig_seg_in(&r, synack);
		assert_int_equal(r.c->state, TCP_ESTABLISHED);
		rig_no_out(&r);
		if (answers) {
			assert_int_equal(rig_write(&r, text(0), 10), 10);
			assert_int_equal(rig_one_out(&r)->h.ack, 0);
		} else {
			release(&r, 0);
			rig_ack_out(&r, 0);
		}
		trig_close(&r);
	}
}

/* --- estimates --- */

static void tcp_rx_measure__largest_segment(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	assert_int_equal(r.c->rcv_mss, 536);
	feed(&r, 1000);
	assert_int_equal(r.c->rcv_mss, 1000);
	feed(&r, MSS);
	assert_int_equal(r.c->rcv_mss, MSS);
	rig_seg_in(&r, (struct rig_seg){ .seq = next_of(&r), .data = text(0), .len = 20000, .gso = 1400 });
	assert_int_equal(r.c->rcv_mss, MSS);
	trig_close(&r);
}

static void tcp_rx_measure__smaller_ones_twice(void **state)
{
	struct tcp_rig r;

	settled(&r);
	feed(&r, 900);
	assert_int_equal(r.c->rcv_mss, MSS);
	feed(&r, 900);
	assert_int_equal(r.c->rcv_mss, 900); /* the path got narrower */
	/* Ends of writes say nothing. */
	for (unsigned i = 0; i < 3; i++)
		rig_seg_in(&r, (struct rig_seg){ .seq = next_of(&r), .data = text(0), .len = 400,
						 .flags = TCP_ACK | TCP_PSH });
	assert_int_equal(r.c->rcv_mss, 900);
	trig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_ack__the_first_ones_are_quick),
		cmocka_unit_test(tcp_ack__every_second_full_segment),
		cmocka_unit_test(tcp_ack__a_burst_gets_one),
		cmocka_unit_test(tcp_ack__a_lone_segment_waits_40_ms),
		cmocka_unit_test(tcp_ack__never_later_than_200_ms),
		cmocka_unit_test(tcp_ack__not_later_than_a_round_trip),
		cmocka_unit_test(tcp_ack__the_answer_carries_it),
		cmocka_unit_test(tcp_ack__reading_a_small_message_is_worth_one),
		cmocka_unit_test(tcp_ack__waits_for_a_slow_reader),
		cmocka_unit_test(tcp_ack__after_a_long_pause_quick_again),
		cmocka_unit_test(tcp_ack__out_of_order_and_filling_gaps_at_once),
		cmocka_unit_test(tcp_quickack__on_and_off),
		cmocka_unit_test(tcp_hold__until_it_is_released),
		cmocka_unit_test(tcp_hold__the_answer_carries_it),
		cmocka_unit_test(tcp_hold__says_that_there_may_be_some),
		cmocka_unit_test(tcp_hold__not_longer_than_a_delayed_ack),
		cmocka_unit_test(tcp_hold__one_small_message_only),
		cmocka_unit_test(tcp_hold__not_against_quickack),
		cmocka_unit_test(tcp_hold__handshake),
		cmocka_unit_test(tcp_rx_measure__largest_segment),
		cmocka_unit_test(tcp_rx_measure__smaller_ones_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
