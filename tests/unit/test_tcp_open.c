/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_tcp_open.c - segments at a connection that is being opened: SYN-SENT (RFC 9293 3.10.7.3), Fast Open, both ends at once.
 */
#include <errno.h>

#include "tcp_in_state.h"

/* --- SYN-SENT --- */

static void syn_sent(struct tcp_rig *r)
{
	in_state(r, TCP_SYN_SENT, NULL);
}

static struct rig_seg answer(const struct tcp_rig *r, uint16_t flags, uint32_t ack)
{
	return (struct rig_seg){ .seq = r->irs, .ack = r->iss + ack, .flags = flags, .absolute = true };
}

static void tcp_syn_sent__unacceptable_ack_is_reset(void **state)
{
	static const uint32_t ack[] = { 0, 2, 0x80000000 };

	for (unsigned i = 0; i < FS_ARRAY_SIZE(ack); i++) {
		static const uint16_t flags[] = { TCP_SYN | TCP_ACK, TCP_ACK };

		for (unsigned k = 0; k < FS_ARRAY_SIZE(flags); k++) {
			struct rig_sent *s;
			struct tcp_rig r;

			syn_sent(&r);
			rig_seg_in(&r, answer(&r, flags[k], ack[i]));
			s = rig_rst_out(&r);
			assert_int_equal(s->h.seq + r.iss + 1, r.iss + ack[i]);
			assert_int_equal(r.c->state, TCP_SYN_SENT);
			trig_close(&r);
		}
	}
}

static void tcp_syn_sent__rst_needs_an_acceptable_ack(void **state)
{
	struct tcp_rig r;

	syn_sent(&r);
	rig_seg_in(&r, answer(&r, TCP_RST, 1));
	expect_ignored(&r, TCP_SYN_SENT, FS_CTR_drop_tcp_blind);
	rig_seg_in(&r, answer(&r, TCP_RST | TCP_ACK, 2));
	rig_no_out(&r);
	assert_int_equal(r.c->state, TCP_SYN_SENT);
	rig_seg_in(&r, answer(&r, TCP_RST | TCP_ACK, 1));
	rig_no_out(&r);
	assert_int_equal(r.c->state, TCP_CLOSED);
	assert_int_equal(tcp_take_error(r.c), ECONNREFUSED);
	assert_true(r.edges & TCP_READY_OUT);
	assert_true(r.edges & TCP_READY_ERR);
	trig_close(&r);
}

static void tcp_syn_sent__ack_without_syn_is_dropped(void **state)
{
	struct tcp_rig r;

	syn_sent(&r);
	rig_seg_in(&r, answer(&r, TCP_ACK, 1));
	expect_ignored(&r, TCP_SYN_SENT, FS_CTR_drop_tcp_ack);
	rig_seg_in(&r, answer(&r, TCP_FIN, 1));
	rig_no_out(&r);
	assert_int_equal(r.c->state, TCP_SYN_SENT);
	trig_close(&r);
}

static void tcp_syn_sent__bogus_echo_is_reset(void **state)
{
	static const int32_t off[] = { -5000, 1000 };

	for (unsigned i = 0; i < FS_ARRAY_SIZE(off); i++) {
		struct rig_seg seg;
		struct tcp_rig r;

		syn_sent(&r);
		r.ts = true;
		rig_wait(&r, FS_MS(5));
		seg = answer(&r, TCP_SYN | TCP_ACK, 1);
		seg.ts_ecr = r.our_ts + (uint32_t)off[i];
		rig_seg_in(&r, seg);
		rig_rst_out(&r);
		assert_int_equal(r.c->state, TCP_SYN_SENT);
		seg.ts_ecr = r.our_ts;
		rig_seg_in(&r, seg);
		assert_int_equal(r.c->state, TCP_ESTABLISHED);
		trig_close(&r);
	}
}

static void tcp_syn_sent__takes_away_what_is_not_agreed_to(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_plain);
	assert_false(tcp_has(r.c, TCP_CONN_TS | TCP_CONN_SACK | TCP_CONN_WSCALE | TCP_CONN_ECN));
	assert_int_equal(r.c->rcv_wscale, 0);
	assert_int_equal(r.c->snd_wscale, 0);
	assert_true(r.c->window_clamp <= 65535);
	assert_int_equal(r.c->mss, 1460);
	trig_close(&r);
	rig_connected(&r, &rig_modern);
	assert_true(tcp_has(r.c, TCP_CONN_TS) && tcp_has(r.c, TCP_CONN_SACK) && tcp_has(r.c, TCP_CONN_WSCALE));
	assert_int_equal(r.c->rcv_wscale, 7);
	assert_int_equal(r.c->snd_wscale, 7);
	assert_int_equal(r.c->snd_wnd, TRIG_WINDOW); /* T7323-1: a SYN's window is not scaled */
	assert_int_equal(r.c->mss, 1448);
	trig_close(&r);
}

static void tcp_syn_sent__shift_of_15_is_14(void **state)
{
	const struct rig_offer offer = { .wscale = true, .shift = 15, .mss = 1460 };
	struct tcp_rig r;

	rig_connected(&r, &offer);
	assert_int_equal(r.c->snd_wscale, 14);
	trig_close(&r);
}

static void tcp_syn_sent__no_mss_is_the_default(void **state)
{
	const struct rig_offer offer = { .mss = 0 };
	struct tcp_rig r;

	rig_connected(&r, &offer);
	assert_int_equal(r.c->peer_mss, 536); /* MUST-15 */
	trig_close(&r);
	trig_open(&r);
	r.v6 = true;
	rig_establish(&r, &offer);
	assert_int_equal(r.c->peer_mss, 1220);
	trig_close(&r);
}

static void tcp_syn_sent__ecn(void **state)
{
	static const struct {
		uint16_t flags;
		bool agreed;
	} cases[] = { { 0, false }, { TCP_ECE, true }, { TCP_ECE | TCP_CWR, false }, { TCP_CWR, false } };

	for (unsigned i = 0; i < FS_ARRAY_SIZE(cases); i++) {
		struct rig_sent *s;
		struct tcp_rig r;

		trig_open(&r);
		r.tcp.config.ecn = 1;
		assert_int_equal(trig_connect(&r), 0);
		s = rig_one_out(&r);
		assert_int_equal(s->h.flags, TCP_SYN | TCP_ECE | TCP_CWR);
		rig_seg_in(&r, answer(&r, (uint16_t)(TCP_SYN | TCP_ACK | cases[i].flags), 1));
		assert_int_equal(r.c->state, TCP_ESTABLISHED);
		assert_int_equal(tcp_has(r.c, TCP_CONN_ECN), cases[i].agreed);
		trig_close(&r);
	}
}

static void tcp_syn_sent__data_and_fin_on_the_answer(void **state)
{
	struct rig_seg seg;
	struct tcp_rig r;

	syn_sent(&r);
	seg = answer(&r, TCP_SYN | TCP_ACK, 1);
	seg.data = text(0);
	seg.len = 100;
	rig_seg_in(&r, seg);
	assert_int_equal(r.c->state, TCP_ESTABLISHED);
	rig_ack_out(&r, 100);
	rig_reads(&r, text(0), 100);
	trig_close(&r);
	syn_sent(&r);
	seg = answer(&r, TCP_SYN | TCP_ACK | TCP_FIN, 1);
	seg.data = text(0);
	seg.len = 100;
	rig_seg_in(&r, seg);
	assert_int_equal(r.c->state, TCP_CLOSE_WAIT);
	rig_reads(&r, text(0), 100);
	trig_close(&r);
}

/* Fast Open, the client's side: the SYN waits for data and takes them along. */
static void fast_open(struct tcp_rig *r)
{
	struct rig_sent *s;

	trig_open(r);
	r->c = tcp_open(&r->tcp, r);
	r->c->options.fastopen_connect = r->c->options.fastopen_no_cookie = true;
	assert_int_equal(trig_connect(r), 0);
	rig_no_out(r);
	assert_int_equal(tcp_ready(r->c), TCP_READY_OUT);
	assert_int_equal(rig_write(r, text(0), 100), 100);
	s = rig_one_out(r);
	assert_int_equal(s->h.flags, TCP_SYN);
	assert_int_equal(s->len, 100);
	assert_int_equal(tcp_ready(r->c), 0);
}

static void tcp_syn_sent__data_of_the_syn_are_taken(void **state)
{
	struct tcp_rig r;

	fast_open(&r);
	rig_seg_in(&r, answer(&r, TCP_SYN | TCP_ACK, 101));
	assert_int_equal(r.c->state, TCP_ESTABLISHED);
	assert_int_equal(r.c->snd_una, r.iss + 101);
	assert_null(r.c->first);
	rig_ack_out(&r, 0);
	trig_close(&r);
}

static void tcp_syn_sent__data_of_the_syn_are_not_taken(void **state)
{
	struct rig_sent *s;
	struct tcp_rig r;

	fast_open(&r);
	rig_seg_in(&r, answer(&r, TCP_SYN | TCP_ACK, 1));
	assert_int_equal(r.c->state, TCP_ESTABLISHED);
	s = rig_one_out(&r); /* again at once, without guilt */
	assert_int_equal(s->h.seq, 0);
	assert_int_equal(s->len, 100);
	assert_memory_equal(s->data, text(0), 100);
	assert_int_equal(r.c->cc.cwnd, 10);
	assert_int_equal(r.c->cc.ca_state, TCP_CA_OPEN);
	rig_seg_in(&r, (struct rig_seg){ .ack = 100 });
	assert_null(r.c->first);
	assert_int_equal(r.c->cc.ssthresh, TCP_SSTHRESH_NONE);
	trig_close(&r);
}

static void tcp_syn_sent__data_of_the_syn_are_taken_in_part(void **state)
{
	struct rig_sent *s;
	struct tcp_rig r;

	fast_open(&r);
	rig_seg_in(&r, answer(&r, TCP_SYN | TCP_ACK, 41));
	s = rig_one_out(&r);
	assert_int_equal(s->h.seq, 40);
	assert_int_equal(s->len, 60);
	assert_memory_equal(s->data, text(40), 60);
	rig_seg_in(&r, (struct rig_seg){ .ack = 100 });
	assert_null(r.c->first);
	trig_close(&r);
}

static void tcp_syn_sent__no_more_than_the_syn_can_be_acked(void **state)
{
	struct tcp_rig r;

	fast_open(&r);
	rig_seg_in(&r, answer(&r, TCP_SYN | TCP_ACK, 102));
	rig_rst_out(&r);
	assert_int_equal(r.c->state, TCP_SYN_SENT);
	trig_close(&r);
}

/* --- simultaneous open (MUST-10) --- */

static void tcp_syn_received__syns_cross(void **state)
{
	struct rig_sent *s;
	struct tcp_rig r;

	in_state(&r, TCP_SYN_SENT, NULL);
	peer_syn(&r);
	assert_int_equal(r.c->state, TCP_SYN_RECEIVED);
	s = rig_one_out(&r);
	assert_int_equal(s->h.flags, TCP_SYN | TCP_ACK);
	assert_int_equal(s->h.seq, r.iss);
	assert_int_equal(s->h.ack, r.irs + 1);
	rig_seg_in(&r, answer(&r, TCP_SYN | TCP_ACK, 1));
	assert_int_equal(r.c->state, TCP_ESTABLISHED);
	assert_true(r.edges & TCP_READY_OUT);
	rig_seg_in(&r, (struct rig_seg){ .data = text(0), .len = 100 });
	rig_reads(&r, text(0), 100);
	trig_close(&r);
}

static void tcp_syn_received__text_of_the_syn_comes_again(void **state)
{
	struct rig_sent *s;
	struct tcp_rig r;

	in_state(&r, TCP_SYN_SENT, NULL);
	rig_seg_in(&r, (struct rig_seg){ .seq = r.irs, .flags = TCP_SYN, .data = text(0), .len = 50, .absolute = true });
	s = rig_one_out(&r);
	assert_int_equal(s->h.flags, TCP_SYN | TCP_ACK);
	assert_int_equal(s->h.ack, r.irs + 1);
	rig_seg_in(&r, (struct rig_seg){ .data = text(0), .len = 50 });
	assert_int_equal(r.c->state, TCP_ESTABLISHED);
	rig_reads(&r, text(0), 50);
	trig_close(&r);
}

static void tcp_syn_received__an_ack_is_enough(void **state)
{
	struct tcp_rig r;

	in_state(&r, TCP_SYN_RECEIVED, NULL);
	rig_seg_in(&r, (struct rig_seg){ .data = text(0), .len = 100, .window = 1000 });
	assert_int_equal(r.c->state, TCP_ESTABLISHED);
	assert_int_equal(r.c->snd_wnd, 1000);
	rig_reads(&r, text(0), 100);
	trig_close(&r);
}

static void tcp_syn_received__the_same_syn_is_answered_again(void **state)
{
	struct rig_sent *s;
	struct tcp_rig r;

	in_state(&r, TCP_SYN_RECEIVED, NULL);
	peer_syn(&r);
	s = rig_one_out(&r);
	assert_int_equal(s->h.flags, TCP_SYN | TCP_ACK);
	assert_int_equal(r.c->state, TCP_SYN_RECEIVED);
	trig_close(&r);
}

static void tcp_syn_received__a_wrong_ack_is_reset(void **state)
{
	static const uint32_t ack[] = { 0U - 1, 1, 1000 };

	for (unsigned i = 0; i < FS_ARRAY_SIZE(ack); i++) {
		struct rig_sent *s;
		struct tcp_rig r;

		in_state(&r, TCP_SYN_RECEIVED, NULL);
		rig_seg_in(&r, (struct rig_seg){ .ack = ack[i] });
		s = rig_rst_out(&r);
		assert_int_equal(s->h.seq, ack[i]);
		assert_int_equal(r.c->state, TCP_SYN_RECEIVED);
		trig_close(&r);
	}
}

static void tcp_syn_received__closed_meanwhile(void **state)
{
	struct tcp_rig r;
	struct rig_sent *s;

	in_state(&r, TCP_SYN_RECEIVED, NULL);
	assert_int_equal(tcp_shutdown(r.c, &r.h.env, TCP_SHUT_WR, r.now), 0);
	rig_no_out(&r);
	rig_seg_in(&r, (struct rig_seg){ .seq = 0 });
	assert_int_equal(r.c->state, TCP_FIN_WAIT1);
	s = rig_one_out(&r);
	assert_true(s->h.flags & TCP_FIN);
	trig_close(&r);
}

static void tcp_syn_received__fin_comes_with_the_ack(void **state)
{
	struct tcp_rig r;

	in_state(&r, TCP_SYN_RECEIVED, NULL);
	rig_seg_in(&r, (struct rig_seg){ .flags = FIN });
	assert_int_equal(r.c->state, TCP_CLOSE_WAIT);
	trig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_syn_sent__unacceptable_ack_is_reset),
		cmocka_unit_test(tcp_syn_sent__rst_needs_an_acceptable_ack),
		cmocka_unit_test(tcp_syn_sent__ack_without_syn_is_dropped),
		cmocka_unit_test(tcp_syn_sent__bogus_echo_is_reset),
		cmocka_unit_test(tcp_syn_sent__takes_away_what_is_not_agreed_to),
		cmocka_unit_test(tcp_syn_sent__shift_of_15_is_14),
		cmocka_unit_test(tcp_syn_sent__no_mss_is_the_default),
		cmocka_unit_test(tcp_syn_sent__ecn),
		cmocka_unit_test(tcp_syn_sent__data_and_fin_on_the_answer),
		cmocka_unit_test(tcp_syn_sent__data_of_the_syn_are_taken),
		cmocka_unit_test(tcp_syn_sent__data_of_the_syn_are_not_taken),
		cmocka_unit_test(tcp_syn_sent__data_of_the_syn_are_taken_in_part),
		cmocka_unit_test(tcp_syn_sent__no_more_than_the_syn_can_be_acked),
		cmocka_unit_test(tcp_syn_received__syns_cross),
		cmocka_unit_test(tcp_syn_received__text_of_the_syn_comes_again),
		cmocka_unit_test(tcp_syn_received__an_ack_is_enough),
		cmocka_unit_test(tcp_syn_received__the_same_syn_is_answered_again),
		cmocka_unit_test(tcp_syn_received__a_wrong_ack_is_reset),
		cmocka_unit_test(tcp_syn_received__closed_meanwhile),
		cmocka_unit_test(tcp_syn_received__fin_comes_with_the_ack),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
