/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_tcp_input.c - segments at a connection: RFC 9293 3.10.7.4, RFC 5961, RFC 7323, ECN.
 */
#include <errno.h>

#include "tcp_in_state.h"

static const enum tcp_state synchronised[] = { TCP_ESTABLISHED, TCP_FIN_WAIT1, TCP_FIN_WAIT2,  TCP_CLOSE_WAIT,
					       TCP_CLOSING,	TCP_LAST_ACK,  TCP_SYN_RECEIVED };

/* What the peer sends next in this state. */
static uint32_t next_of(const struct tcp_rig *r)
{
	return r->c->rcv_nxt - r->irs - 1;
}

/* --- RFC 5961 in every synchronised state --- */

static void tcp_rst__exact_resets_in_every_state(void **state)
{
	for (unsigned i = 0; i < FS_ARRAY_SIZE(synchronised); i++) {
		struct tcp_rig r;
		int error = ECONNRESET;

		in_state(&r, synchronised[i], &rig_sacking);
		if (synchronised[i] == TCP_CLOSE_WAIT)
			error = EPIPE;
		if (synchronised[i] == TCP_SYN_RECEIVED)
			error = ECONNREFUSED;
		rig_seg_in(&r, (struct rig_seg){ .seq = next_of(&r), .flags = RST });
		rig_no_out(&r);
		assert_int_equal(r.c->state, TCP_CLOSED);
		assert_int_equal(rig_counter(&r, FS_CTR_tcp_resets_in), 1);
		assert_true(r.edges & TCP_READY_ERR);
		assert_int_equal(tcp_take_error(r.c), error);
		trig_close(&r);
	}
}

static void tcp_rst__in_the_window_is_challenged(void **state)
{
	for (unsigned i = 0; i < FS_ARRAY_SIZE(synchronised); i++) {
		struct tcp_rig r;
		struct rig_sent *s;

		in_state(&r, synchronised[i], &rig_sacking);
		rig_seg_in(&r, (struct rig_seg){ .seq = next_of(&r) + 1, .flags = RST });
		s = rig_one_out(&r);
		assert_int_equal(s->h.flags & (TCP_ACK | TCP_RST), TCP_ACK);
		if (!(s->h.flags & TCP_SYN))
			assert_int_equal(s->h.ack, next_of(&r));
		assert_int_equal(r.c->state, synchronised[i]);
		assert_int_equal(rig_counter(&r, FS_CTR_drop_tcp_blind), 1);
		trig_close(&r);
	}
}

static void tcp_rst__outside_the_window_is_dropped(void **state)
{
	for (unsigned i = 0; i < FS_ARRAY_SIZE(synchronised); i++) {
		for (unsigned k = 0; k < 2; k++) {
			struct tcp_rig r;
			uint32_t at;

			in_state(&r, synchronised[i], &rig_sacking);
			at = k ? next_of(&r) - 1 : next_of(&r) + tcp_receive_window(r.c);
			rig_seg_in(&r, (struct rig_seg){ .seq = at, .flags = RST });
			expect_ignored(&r, synchronised[i], FS_CTR_drop_tcp_window);
			trig_close(&r);
		}
	}
}

static void tcp_syn__is_challenged_whatever_its_number(void **state)
{
	static const int32_t at[] = { -1000000, -2, 0, 1, 1000, 1000000 };

	for (unsigned i = 0; i < FS_ARRAY_SIZE(synchronised); i++) {
		for (unsigned k = 0; k < FS_ARRAY_SIZE(at); k++) {
			struct tcp_rig r;
			struct rig_sent *s;

			in_state(&r, synchronised[i], &rig_sacking);
			rig_seg_in(&r, (struct rig_seg){ .seq = next_of(&r) + (uint32_t)at[k], .flags = SYN });
			s = rig_one_out(&r);
			assert_int_equal(s->h.flags & (TCP_ACK | TCP_RST), TCP_ACK);
			assert_int_equal(r.c->state, synchronised[i]);
			trig_close(&r);
		}
	}
}

static void tcp_challenge__is_throttled(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_sacking);
	for (unsigned i = 0; i < 10; i++)
		rig_seg_in(&r, (struct rig_seg){ .seq = 1 + i, .flags = RST });
	assert_int_equal(r.h.ip.port[0].out.frames, r.tcp.config.challenge_per_s);
	assert_int_equal(rig_counter(&r, FS_CTR_tcp_challenges_held), 10 - r.tcp.config.challenge_per_s);
	rig_drain(&r);
	rig_wait(&r, FS_SEC(1));
	rig_seg_in(&r, (struct rig_seg){ .seq = 1, .flags = RST });
	rig_ack_out(&r, 0);
	trig_close(&r);
}

static void tcp_challenge__does_not_hold_an_ack_back_that_is_owed(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_sacking);
	r.tcp.config.challenge_per_s = 0;
	rig_seg_part(&r, (struct rig_seg){ .seq = 5, .flags = RST });
	rig_seg_part(&r, (struct rig_seg){ .data = text(0), .len = 100 });
	rig_seg_part(&r, (struct rig_seg){ .seq = 105, .flags = RST });
	rig_burst_end(&r);
	rig_ack_out(&r, 100);
	trig_close(&r);
}

/* --- ACK field --- */

static void tcp_ack__beyond_what_was_sent_is_challenged(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_sacking);
	rig_seg_in(&r, (struct rig_seg){ .ack = 1, .data = text(0), .len = 100 });
	rig_ack_out(&r, 0);
	assert_int_equal(rig_counter(&r, FS_CTR_drop_tcp_ack), 1);
	assert_int_equal(tcp_inq(r.c), 0);
	trig_close(&r);
}

static void tcp_ack__older_than_the_largest_window_is_challenged(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_sacking);
	r.c->bytes_acked = 1 << 20;
	rig_seg_in(&r, (struct rig_seg){ .ack = 0U - TRIG_WINDOW - 1, .data = text(0), .len = 100 });
	rig_ack_out(&r, 0);
	assert_int_equal(tcp_inq(r.c), 0);
	/* One less may have been on the way for long: its data count. */
	rig_seg_in(&r, (struct rig_seg){ .ack = 0U - TRIG_WINDOW, .data = text(0), .len = 100 });
	assert_int_equal(tcp_inq(r.c), 100);
	trig_close(&r);
}

static void tcp_ack__none_is_dropped(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_sacking);
	rig_seg_in(&r, (struct rig_seg){ .flags = TCP_PSH, .data = text(0), .len = 100 });
	expect_ignored(&r, TCP_ESTABLISHED, FS_CTR_drop_tcp_ack);
	assert_int_equal(tcp_inq(r.c), 0);
	trig_close(&r);
}

/* --- the window's edges --- */

static void tcp_window__bare_acks(void **state)
{
	struct tcp_rig r;
	uint32_t wnd;

	rig_connected(&r, &rig_sacking);
	r.tcp.config.challenge_per_s = 1000;
	wnd = tcp_receive_window(r.c);
	rig_seg_in(&r, (struct rig_seg){ .seq = 0 });
	rig_seg_in(&r, (struct rig_seg){ .seq = wnd - 1 });
	rig_seg_in(&r, (struct rig_seg){ .seq = wnd }); /* RFC 9293 A.2: a sender that has filled it */
	rig_no_out(&r);
	rig_seg_in(&r, (struct rig_seg){ .seq = wnd + 1 });
	rig_ack_out(&r, 0);
	assert_int_equal(rig_counter(&r, FS_CTR_drop_tcp_window), 1);
	rig_seg_in(&r, (struct rig_seg){ .seq = 0U - 1 }); /* a keep-alive */
	rig_ack_out(&r, 0);
	assert_int_equal(rig_counter(&r, FS_CTR_drop_tcp_old), 1);
	trig_close(&r);
}

static void tcp_window__text_at_the_right_edge(void **state)
{
	struct rig_sent *s;
	struct tcp_rig r;
	uint32_t wnd;

	rig_connected(&r, &rig_sacking);
	wnd = tcp_receive_window(r.c);
	rig_seg_in(&r, (struct rig_seg){ .seq = wnd, .data = text(0), .len = 10 });
	assert_int_equal(rig_ack_out(&r, 0)->h.n_sack, 0);
	assert_int_equal(rig_counter(&r, FS_CTR_drop_tcp_window), 1);
	rig_seg_in(&r, (struct rig_seg){ .seq = wnd - 4, .data = text(0), .len = 10 });
	s = rig_ack_out(&r, 0);
	assert_int_equal(s->h.n_sack, 1);
	assert_int_equal(s->h.sack[0].left, wnd - 4);
	assert_int_equal(s->h.sack[0].right, wnd);
	rig_seg_in(&r, (struct rig_seg){ .seq = wnd + 10, .data = text(0), .len = 10 });
	rig_ack_out(&r, 0);
	trig_close(&r);
}

static void tcp_window__text_at_the_left_edge(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_sacking);
	r.c->quick_acks = 100;
	rig_seg_in(&r, (struct rig_seg){ .seq = 0, .data = text(0), .len = 10 });
	rig_ack_out(&r, 10);
	rig_seg_in(&r, (struct rig_seg){ .seq = 0, .data = text(0), .len = 10 });
	rig_ack_out(&r, 10); /* a duplicate is acknowledged at once, whatever delays */
	assert_int_equal(rig_counter(&r, FS_CTR_drop_tcp_old), 1);
	rig_seg_in(&r, (struct rig_seg){ .seq = 5, .data = text(5), .len = 6 });
	rig_ack_out(&r, 11);
	rig_reads(&r, text(0), 11);
	trig_close(&r);
}

static void close_window(struct tcp_rig *r)
{
	r->c->rcv_wnd = 0;
	r->c->rcv_wup = r->c->rcv_nxt;
	r->c->rcvbuf = 0;
}

static void tcp_window__closed_takes_ack_urg_and_rst(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_sacking); /* MUST-66 */
	assert_int_equal(rig_write(&r, "x", 1), 1);
	rig_drain(&r);
	close_window(&r);
	rig_seg_in(&r, (struct rig_seg){ .ack = 1, .flags = TCP_ACK | TCP_URG, .urgent = 3, .data = text(0), .len = 1 });
	assert_int_equal(r.c->snd_una, r.c->snd_nxt);
	assert_true(r.edges & TCP_READY_PRI);
	assert_int_equal(rig_ack_out(&r, 0)->h.window, 0);
	assert_int_equal(tcp_inq(r.c), 0);
	rig_seg_in(&r, (struct rig_seg){ .ack = 1, .flags = RST });
	assert_int_equal(r.c->state, TCP_CLOSED);
	trig_close(&r);
}

static void tcp_window__closed_takes_fin(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_sacking);
	close_window(&r);
	rig_seg_in(&r, (struct rig_seg){ .flags = FIN });
	assert_int_equal(r.c->state, TCP_CLOSE_WAIT);
	trig_close(&r);
}

/* --- timestamps --- */

static void tcp_paws__older_is_answered_and_dropped(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	rig_seg_in(&r, (struct rig_seg){ .data = text(0), .len = 10, .ts = TRIG_TS - 1 });
	rig_ack_out(&r, 0);
	assert_int_equal(rig_counter(&r, FS_CTR_drop_tcp_paws), 1);
	rig_seg_in(&r, (struct rig_seg){ .data = text(0), .len = 10, .ts = TRIG_TS });
	assert_int_equal(tcp_inq(r.c), 10);
	trig_close(&r);
}

static void tcp_paws__does_not_save_from_rst(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	rig_seg_in(&r, (struct rig_seg){ .flags = RST, .ts = TRIG_TS - 1000 });
	assert_int_equal(r.c->state, TCP_CLOSED);
	trig_close(&r);
}

static void tcp_paws__forgets_after_24_days(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	rig_wait(&r, FS_SEC(24) * 86400 - FS_SEC(1));
	rig_seg_in(&r, (struct rig_seg){ .data = text(0), .len = 10, .ts = TRIG_TS - 1 });
	assert_int_equal(tcp_inq(r.c), 0);
	rig_wait(&r, FS_SEC(2));
	rig_seg_in(&r, (struct rig_seg){ .data = text(0), .len = 10, .ts = TRIG_TS - 1 });
	assert_int_equal(tcp_inq(r.c), 10);
	assert_int_equal(r.c->ts_recent, TRIG_TS - 1);
	trig_close(&r);
}

static void tcp_paws__holds_across_the_wrap(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	r.c->ts_recent = UINT32_MAX - 5;
	rig_seg_in(&r, (struct rig_seg){ .data = text(0), .len = 10, .ts = 3 });
	assert_int_equal(tcp_inq(r.c), 10);
	assert_int_equal(r.c->ts_recent, 3);
	rig_seg_in(&r, (struct rig_seg){ .seq = 10, .data = text(0), .len = 10, .ts = UINT32_MAX });
	assert_int_equal(tcp_inq(r.c), 10);
	trig_close(&r);
}

/* T7323-3: as to the kernel, its numbers count; and what it does not say changes nothing. */
static void tcp_timestamp__missing_is_no_matter(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	rig_seg_in(&r, (struct rig_seg){ .data = text(0), .len = 10, .ts = TRIG_TS + 5 });
	rig_seg_in(&r, (struct rig_seg){ .seq = 10, .data = text(10), .len = 10, .no_ts = true });
	assert_int_equal(tcp_inq(r.c), 20);
	assert_int_equal(r.c->ts_recent, TRIG_TS + 5);
	assert_int_equal(rig_counter(&r, FS_CTR_tcp_no_timestamp), 1);
	rig_seg_in(&r, (struct rig_seg){ .seq = 20, .data = text(20), .len = 10, .ts = TRIG_TS + 4 });
	assert_int_equal(tcp_inq(r.c), 20);
	rig_seg_in(&r, (struct rig_seg){ .seq = 20, .flags = RST, .no_ts = true });
	assert_int_equal(r.c->state, TCP_CLOSED);
	trig_close(&r);
}

static void tcp_timestamp__that_was_not_agreed_on_is_ignored(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_sacking);
	r.ts = true;
	rig_seg_in(&r, (struct rig_seg){ .data = text(0), .len = 10, .ts = 5, .ts_ecr = 6 });
	assert_int_equal(tcp_inq(r.c), 10);
	r.ts = false;
	trig_close(&r);
}

/* T7323-6: a delayed ACK echoes the first of what it acknowledges. */
static void tcp_timestamp__the_earliest_is_echoed(void **state)
{
	struct tcp_rig r;
	struct rig_sent *s;

	rig_connected(&r, &rig_modern);
	r.c->quick_acks = 0;
	r.c->ato_us = 40000;
	r.c->last_received_at = r.now;
	rig_seg_part(&r, (struct rig_seg){ .data = text(0), .len = 10, .ts = TRIG_TS + 5 });
	rig_seg_part(&r, (struct rig_seg){ .seq = 10, .data = text(10), .len = 10, .ts = TRIG_TS + 9 });
	rig_burst_end(&r);
	rig_no_out(&r);
	rig_wait(&r, FS_MS(300));
	s = rig_ack_out(&r, 20);
	assert_int_equal(s->h.ts_ecr, TRIG_TS + 5);
	/* Out of order, of what fills no gap: no change. */
	rig_seg_in(&r, (struct rig_seg){ .seq = 100, .data = text(100), .len = 10, .ts = TRIG_TS + 2000 });
	assert_int_equal(rig_ack_out(&r, 20)->h.ts_ecr, TRIG_TS + 5);
	trig_close(&r);
}

/* --- prediction --- */

static void tcp_predicted__data_and_acks_of_a_quiet_connection(void **state)
{
	const struct rig_offer *offer[] = { &rig_modern, &rig_sacking, &rig_plain };

	for (unsigned i = 0; i < FS_ARRAY_SIZE(offer); i++) {
		struct tcp_rig r;

		rig_connected(&r, offer[i]);
		rig_seg_in(&r, (struct rig_seg){ .data = text(0), .len = 100, .flags = TCP_ACK | TCP_PSH });
		assert_int_equal(rig_counter(&r, FS_CTR_tcp_predicted), 1);
		assert_int_equal(rig_write(&r, "x", 1), 1);
		rig_seg_in(&r, (struct rig_seg){ .seq = 100, .ack = 1 });
		assert_int_equal(rig_counter(&r, FS_CTR_tcp_predicted), 2);
		assert_int_equal(r.c->snd_una, r.c->snd_nxt);
		assert_true(r.edges & TCP_READY_IN);
		rig_drain(&r);
		rig_reads(&r, text(0), 100);
		trig_close(&r);
	}
}

static void tcp_predicted__not_what_is_unusual(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_sacking);
	rig_seg_in(&r, (struct rig_seg){ .seq = 10, .data = text(10), .len = 10 });
	rig_seg_in(&r, (struct rig_seg){ .seq = 0, .data = text(0), .len = 10 }); /* something waits */
	rig_seg_in(&r, (struct rig_seg){ .seq = 20, .data = text(20), .len = 10, .flags = TCP_ACK | TCP_URG, .urgent = 2 });
	rig_seg_in(&r, (struct rig_seg){ .seq = 30, .options = TCP_HAS_MSS, .mss = 5 });
	assert_int_equal(rig_counter(&r, FS_CTR_tcp_predicted), 0);
	assert_int_equal(r.c->peer_mss, 1460); /* MUST-65, on receipt */
	trig_close(&r);
}

/* The number of the last window update follows along, or after 2 GiB none would be believed any more. */
static void tcp_predicted__window_updates_after_much_data(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_sacking);
	r.c->quick_acks = 200;
	r.c->snd_wl1 = r.c->rcv_nxt - 0x7ffffff0;
	rig_seg_in(&r, (struct rig_seg){ .data = text(0), .len = 100 });
	rig_seg_in(&r, (struct rig_seg){ .seq = 100, .window = 5000 });
	assert_int_equal(r.c->snd_wnd, 5000);
	trig_close(&r);
}

static void tcp_input__super_frame_is_taken_whole(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	rig_seg_in(&r, (struct rig_seg){ .data = text(0), .len = 20000, .gso = 1448 });
	assert_int_equal(rig_counter(&r, FS_CTR_tcp_predicted), 14);
	assert_int_equal(r.c->rx.frames, 1);
	assert_int_equal(r.c->rcv_mss, 1448);
	rig_ack_out(&r, 20000);
	rig_reads(&r, text(0), 20000);
	trig_close(&r);
}

static void tcp_input__frozen_drops(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_sacking);
	r.c->flags |= TCP_CONN_FROZEN;
	rig_seg_in(&r, (struct rig_seg){ .data = text(0), .len = 100 });
	rig_seg_in(&r, (struct rig_seg){ .flags = RST });
	rig_no_out(&r);
	assert_int_equal(rig_counter(&r, FS_CTR_drop_tcp_frozen), 2);
	assert_int_equal(r.c->state, TCP_ESTABLISHED);
	r.c->flags &= ~(uint32_t)TCP_CONN_FROZEN;
	trig_close(&r);
}

/* --- FIN in every state --- */

static void tcp_fin__in_established(void **state)
{
	struct tcp_rig r;

	in_state(&r, TCP_ESTABLISHED, &rig_sacking);
	rig_seg_in(&r, (struct rig_seg){ .data = text(0), .len = 10, .flags = FIN });
	assert_int_equal(r.c->state, TCP_CLOSE_WAIT);
	assert_true(r.edges & TCP_READY_RDHUP);
	assert_false(r.edges & TCP_READY_HUP);
	rig_wait(&r, FS_MS(200));
	rig_ack_out(&r, 11);
	rig_reads(&r, text(0), 10);
	assert_int_equal(rig_recv(&r, (uint8_t[1]){ 0 }, 1), 0);
	trig_close(&r);
}

static void tcp_fin__in_fin_wait1_without_our_ack(void **state)
{
	struct tcp_rig r;

	in_state(&r, TCP_FIN_WAIT1, &rig_sacking);
	rig_seg_in(&r, (struct rig_seg){ .flags = FIN });
	assert_int_equal(r.c->state, TCP_CLOSING);
	rig_ack_out(&r, 1);
	assert_true(r.edges & TCP_READY_HUP);
	rig_seg_in(&r, (struct rig_seg){ .seq = 1, .ack = 1 });
	assert_int_equal(r.c->state, TCP_CLOSED);
	assert_int_equal(r.tcp.n_tw, 1);
	assert_int_equal(tcp_take_error(r.c), 0);
	rig_no_out(&r);
	trig_close(&r);
}

static void tcp_fin__in_fin_wait1_with_our_ack(void **state)
{
	struct tcp_rig r;

	in_state(&r, TCP_FIN_WAIT1, &rig_sacking);
	rig_seg_in(&r, (struct rig_seg){ .ack = 1, .data = text(0), .len = 20, .flags = FIN });
	assert_int_equal(r.c->state, TCP_CLOSED);
	assert_int_equal(r.tcp.n_tw, 1);
	rig_ack_out(&r, 21);
	rig_reads(&r, text(0), 20); /* still there to be read */
	assert_int_equal(rig_recv(&r, (uint8_t[1]){ 0 }, 1), 0);
	trig_close(&r);
}

static void tcp_fin__in_fin_wait2(void **state)
{
	struct tcp_rig r;

	in_state(&r, TCP_FIN_WAIT2, &rig_sacking);
	rig_seg_in(&r, (struct rig_seg){ .ack = 1, .data = text(0), .len = 20 });
	rig_seg_in(&r, (struct rig_seg){ .seq = 20, .ack = 1, .flags = FIN });
	assert_int_equal(r.c->state, TCP_CLOSED);
	assert_int_equal(r.tcp.n_tw, 1);
	rig_drain(&r);
	rig_reads(&r, text(0), 20);
	trig_close(&r);
}

static void tcp_fin__again_is_acknowledged_again(void **state)
{
	static const enum tcp_state states[] = { TCP_CLOSE_WAIT, TCP_CLOSING, TCP_LAST_ACK };

	for (unsigned i = 0; i < FS_ARRAY_SIZE(states); i++) {
		struct tcp_rig r;

		in_state(&r, states[i], &rig_sacking);
		rig_seg_in(&r, (struct rig_seg){ .flags = FIN });
		rig_ack_out(&r, 1);
		assert_int_equal(r.c->state, states[i]);
		trig_close(&r);
	}
}

static void tcp_fin__text_after_it_is_ignored(void **state)
{
	static const enum tcp_state states[] = { TCP_CLOSE_WAIT, TCP_CLOSING, TCP_LAST_ACK };

	for (unsigned i = 0; i < FS_ARRAY_SIZE(states); i++) {
		struct tcp_rig r;

		in_state(&r, states[i], &rig_sacking);
		rig_seg_in(&r, (struct rig_seg){ .seq = 1, .data = text(0), .len = 10, .flags = FIN });
		assert_int_equal(r.c->state, states[i]);
		assert_int_equal(tcp_inq(r.c), 0);
		assert_int_equal(next_of(&r), 1);
		trig_close(&r);
	}
}

static void tcp_last_ack__ends_with_the_ack(void **state)
{
	struct tcp_rig r;

	in_state(&r, TCP_LAST_ACK, &rig_sacking);
	rig_seg_in(&r, (struct rig_seg){ .seq = 1, .ack = 1 });
	assert_int_equal(r.c->state, TCP_CLOSED);
	assert_int_equal(r.tcp.n_tw, 0);
	assert_int_equal(tcp_take_error(r.c), 0);
	trig_close(&r);
}

/* --- nobody reads any more (SHLD-3) --- */

static void tcp_closed_user__data_are_answered_with_rst(void **state)
{
	static const enum tcp_state states[] = { TCP_FIN_WAIT1, TCP_FIN_WAIT2 };

	for (unsigned i = 0; i < FS_ARRAY_SIZE(states); i++) {
		struct tcp_rig r;

		in_state(&r, states[i], &rig_sacking);
		tcp_close(r.c, &r.h.env, r.now);
		r.c = NULL;
		rig_drain(&r);
		rig_seg_in(&r, (struct rig_seg){ .ack = i, .data = text(0), .len = 10 });
		rig_rst_out(&r);
		assert_int_equal(rig_counter(&r, FS_CTR_drop_tcp_closed), 1);
		assert_int_equal(r.tcp.n_conns, 0);
		assert_int_equal(r.released, 1);
		trig_close(&r);
	}
}

static void tcp_closed_user__a_fin_without_data_is_fine(void **state)
{
	struct tcp_rig r;

	in_state(&r, TCP_FIN_WAIT2, &rig_sacking);
	tcp_close(r.c, &r.h.env, r.now);
	r.c = NULL;
	rig_seg_in(&r, (struct rig_seg){ .ack = 1, .flags = FIN });
	rig_ack_out(&r, 1);
	assert_int_equal(r.tcp.n_tw, 1);
	assert_int_equal(r.tcp.n_conns, 0);
	trig_close(&r);
}

/* Nor one that overtook what was lost: whether there were data is not known yet. */
static void tcp_closed_user__a_fin_behind_a_gap_is_no_data(void **state)
{
	struct tcp_rig r;

	in_state(&r, TCP_FIN_WAIT2, &rig_sacking);
	tcp_close(r.c, &r.h.env, r.now);
	r.c = NULL;
	rig_seg_in(&r, (struct rig_seg){ .seq = 100, .ack = 1, .flags = FIN });
	rig_ack_out(&r, 0);
	assert_int_equal(rig_counter(&r, FS_CTR_drop_tcp_closed), 0);
	assert_int_equal(r.tcp.n_conns, 1);
	trig_close(&r);
}

static void tcp_shut_reader__data_after_both_ways_are_shut_reset(void **state)
{
	struct tcp_rig r;

	in_state(&r, TCP_ESTABLISHED, &rig_sacking);
	assert_int_equal(tcp_shutdown(r.c, &r.h.env, TCP_SHUT_RD | TCP_SHUT_WR, r.now), 0);
	rig_drain(&r);
	rig_seg_in(&r, (struct rig_seg){ .data = text(0), .len = 10 });
	rig_rst_out(&r);
	assert_int_equal(r.c->state, TCP_CLOSED);
	assert_int_equal(tcp_take_error(r.c), ECONNRESET);
	trig_close(&r);
}

static void tcp_shut_reader__data_of_one_who_still_writes_are_kept(void **state)
{
	struct tcp_rig r;

	in_state(&r, TCP_ESTABLISHED, &rig_sacking);
	assert_int_equal(tcp_shutdown(r.c, &r.h.env, TCP_SHUT_RD, r.now), 0);
	assert_int_equal(rig_recv(&r, (uint8_t[1]){ 0 }, 1), 0);
	rig_seg_in(&r, (struct rig_seg){ .data = text(0), .len = 10 });
	assert_int_equal(r.c->state, TCP_ESTABLISHED);
	rig_drain(&r);
	rig_reads(&r, text(0), 10); /* as Linux */
	trig_close(&r);
}

/* --- ECN, the receiver's side --- */

static void with_ecn(struct tcp_rig *r, const char *congestion)
{
	const struct rig_offer offer = { .sack = true, .mss = 1460, .ecn = true };

	trig_open(r);
	r->tcp.config.ecn = 1;
	if (congestion)
		r->tcp.config.congestion = (uint8_t)tcp_cc_by_name(congestion, strlen(congestion));
	rig_establish(r, &offer);
	assert_true(tcp_has(r->c, TCP_CONN_ECN));
	r->c->quick_acks = 200;
}

static bool echo_of(struct tcp_rig *r, uint32_t ack)
{
	return rig_ack_out(r, ack)->h.flags & TCP_ECE;
}

static void tcp_ecn__ce_is_echoed_until_cwr(void **state)
{
	struct tcp_rig r;

	with_ecn(&r, NULL);
	rig_seg_in(&r, (struct rig_seg){ .seq = 0, .data = text(0), .len = 10, .ect = true });
	assert_false(echo_of(&r, 10));
	rig_seg_in(&r, (struct rig_seg){ .seq = 10, .data = text(0), .len = 10, .ce = true });
	assert_true(echo_of(&r, 20));
	rig_seg_in(&r, (struct rig_seg){ .seq = 20, .data = text(0), .len = 10, .ect = true });
	assert_true(echo_of(&r, 30));
	rig_seg_in(&r, (struct rig_seg){ .seq = 30, .data = text(0), .len = 10, .ect = true, .flags = TCP_ACK | TCP_CWR });
	assert_false(echo_of(&r, 40));
	/* Both at once: marked after the sender heard. */
	rig_seg_in(&r, (struct rig_seg){ .seq = 40, .data = text(0), .len = 10, .ce = true, .flags = TCP_ACK | TCP_CWR });
	assert_true(echo_of(&r, 50));
	trig_close(&r);
}

static void tcp_ecn__no_echo_where_it_was_not_agreed_on(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_sacking);
	r.c->quick_acks = 200;
	rig_seg_in(&r, (struct rig_seg){ .data = text(0), .len = 10, .ce = true });
	assert_false(echo_of(&r, 10));
	trig_close(&r);
}

static void tcp_ecn__unmarked_data_take_the_short_way(void **state)
{
	struct tcp_rig r;

	with_ecn(&r, NULL);
	rig_seg_in(&r, (struct rig_seg){ .seq = 0, .data = text(0), .len = 10, .ect = true });
	rig_seg_in(&r, (struct rig_seg){ .seq = 10, .data = text(0), .len = 10, .ect = true });
	assert_int_equal(rig_counter(&r, FS_CTR_tcp_predicted), 1);
	trig_close(&r);
}

/* RFC 8257 3.2: what was received before the mark changed is acknowledged by itself, without it. */
static void tcp_ecn__dctcp_echoes_exactly(void **state)
{
	static struct rig_sent s;
	struct tcp_rig r;

	with_ecn(&r, "dctcp");
	r.c->quick_acks = 0;
	r.c->ato_us = 40000;
	rig_seg_in(&r, (struct rig_seg){ .seq = 0, .data = text(0), .len = 10, .ect = true });
	rig_drain(&r);
	rig_seg_part(&r, (struct rig_seg){ .seq = 10, .data = text(0), .len = 10, .ect = true });
	rig_seg_part(&r, (struct rig_seg){ .seq = 20, .data = text(0), .len = 10, .ce = true });
	rig_seg_part(&r, (struct rig_seg){ .seq = 30, .data = text(0), .len = 10, .ce = true });
	rig_seg_part(&r, (struct rig_seg){ .seq = 40, .data = text(0), .len = 10, .ect = true });
	rig_burst_end(&r);
	assert_true(rig_out(&r, &s));
	assert_int_equal(s.h.ack, 20);
	assert_false(s.h.flags & TCP_ECE);
	assert_true(rig_out(&r, &s));
	assert_int_equal(s.h.ack, 40);
	assert_true(s.h.flags & TCP_ECE);
	assert_true(rig_out(&r, &s));
	assert_int_equal(s.h.ack, 50);
	assert_false(s.h.flags & TCP_ECE);
	rig_no_out(&r);
	trig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_rst__exact_resets_in_every_state),
		cmocka_unit_test(tcp_rst__in_the_window_is_challenged),
		cmocka_unit_test(tcp_rst__outside_the_window_is_dropped),
		cmocka_unit_test(tcp_syn__is_challenged_whatever_its_number),
		cmocka_unit_test(tcp_challenge__is_throttled),
		cmocka_unit_test(tcp_challenge__does_not_hold_an_ack_back_that_is_owed),
		cmocka_unit_test(tcp_ack__beyond_what_was_sent_is_challenged),
		cmocka_unit_test(tcp_ack__older_than_the_largest_window_is_challenged),
		cmocka_unit_test(tcp_ack__none_is_dropped),
		cmocka_unit_test(tcp_window__bare_acks),
		cmocka_unit_test(tcp_window__text_at_the_right_edge),
		cmocka_unit_test(tcp_window__text_at_the_left_edge),
		cmocka_unit_test(tcp_window__closed_takes_ack_urg_and_rst),
		cmocka_unit_test(tcp_window__closed_takes_fin),
		cmocka_unit_test(tcp_paws__older_is_answered_and_dropped),
		cmocka_unit_test(tcp_paws__does_not_save_from_rst),
		cmocka_unit_test(tcp_paws__forgets_after_24_days),
		cmocka_unit_test(tcp_paws__holds_across_the_wrap),
		cmocka_unit_test(tcp_timestamp__missing_is_no_matter),
		cmocka_unit_test(tcp_timestamp__that_was_not_agreed_on_is_ignored),
		cmocka_unit_test(tcp_timestamp__the_earliest_is_echoed),
		cmocka_unit_test(tcp_predicted__data_and_acks_of_a_quiet_connection),
		cmocka_unit_test(tcp_predicted__not_what_is_unusual),
		cmocka_unit_test(tcp_predicted__window_updates_after_much_data),
		cmocka_unit_test(tcp_input__super_frame_is_taken_whole),
		cmocka_unit_test(tcp_input__frozen_drops),
		cmocka_unit_test(tcp_fin__in_established),
		cmocka_unit_test(tcp_fin__in_fin_wait1_without_our_ack),
		cmocka_unit_test(tcp_fin__in_fin_wait1_with_our_ack),
		cmocka_unit_test(tcp_fin__in_fin_wait2),
		cmocka_unit_test(tcp_fin__again_is_acknowledged_again),
		cmocka_unit_test(tcp_fin__text_after_it_is_ignored),
		cmocka_unit_test(tcp_last_ack__ends_with_the_ack),
		cmocka_unit_test(tcp_closed_user__data_are_answered_with_rst),
		cmocka_unit_test(tcp_closed_user__a_fin_without_data_is_fine),
		cmocka_unit_test(tcp_closed_user__a_fin_behind_a_gap_is_no_data),
		cmocka_unit_test(tcp_shut_reader__data_after_both_ways_are_shut_reset),
		cmocka_unit_test(tcp_shut_reader__data_of_one_who_still_writes_are_kept),
		cmocka_unit_test(tcp_ecn__ce_is_echoed_until_cwr),
		cmocka_unit_test(tcp_ecn__no_echo_where_it_was_not_agreed_on),
		cmocka_unit_test(tcp_ecn__unmarked_data_take_the_short_way),
		cmocka_unit_test(tcp_ecn__dctcp_echoes_exactly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
