/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_tcp_state.c - birth, connect, all ways to end, what poll(2) is told on the way.
 */
#include <errno.h>

#include "tcp_rig.h"

enum {
	ALL_HUP = TCP_READY_IN | TCP_READY_OUT | TCP_READY_RDHUP | TCP_READY_HUP,
	FIN = TCP_FIN | TCP_ACK,
};

static const uint8_t *text(uint32_t at)
{
	return rig_pattern() + at;
}

/* --- open, connect --- */

static void tcp_open__is_closed_and_ready_as_a_fresh_socket(void **state)
{
	struct tcp_rig r;

	trig_open(&r);
	r.c = tcp_open(&r.tcp, &r);
	assert_int_equal(r.c->state, TCP_CLOSED);
	assert_int_equal(tcp_ready(r.c), TCP_READY_OUT | TCP_READY_HUP);
	assert_int_equal(rig_recv(&r, (uint8_t[1]){ 0 }, 1), -ENOTCONN);
	assert_int_equal(tcp_shutdown(r.c, &r.h.env, TCP_SHUT_WR, r.now), -ENOTCONN);
	assert_int_equal(r.tcp.n_conns, 1);
	tcp_close(r.c, &r.h.env, r.now);
	r.c = NULL;
	assert_int_equal(r.released, 1);
	rig_no_out(&r);
	trig_close(&r);
}

static void tcp_open__without_memory(void **state)
{
	struct tcp_conn *c[TRIG_CONNS + 4];
	unsigned n = 0;
	struct tcp_rig r;

	trig_open(&r);
	while (n < FS_ARRAY_SIZE(c) && (c[n] = tcp_open(&r.tcp, &r)) != NULL)
		n++;
	assert_in_range(n, TRIG_CONNS, TRIG_CONNS + 3);
	assert_int_equal(rig_counter(&r, FS_CTR_tcp_no_conn), 1);
	while (n > 0)
		tcp_close(c[--n], &r.h.env, r.now);
	trig_close(&r);
}

static void tcp_connect__syn_and_answer(void **state)
{
	struct rig_sent *s;
	struct tcp_rig r;

	trig_open(&r);
	assert_int_equal(trig_connect(&r), 0);
	assert_int_equal(tcp_ready(r.c), 0);
	s = rig_one_out(&r);
	assert_int_equal(s->h.flags, TCP_SYN);
	assert_int_equal(s->h.window, 64240);
	assert_int_equal(s->h.mss, 1460);
	assert_int_equal(s->h.wscale, 7);
	assert_int_equal(s->h.options, TCP_HAS_MSS | TCP_HAS_SACK_PERMITTED | TCP_HAS_TIMESTAMP | TCP_HAS_WSCALE);
	assert_true(ip_addr_equal(&r.c->end.local, &r.h.v4)); /* MUST-44 */
	assert_int_equal(trig_connect(&r), -EALREADY);
	tcp_abort(r.c, &r.h.env, r.now);
	r.c = NULL;
	rig_no_out(&r); /* nobody to tell */
	rig_establish(&r, &rig_modern);
	assert_int_equal(trig_connect(&r), -EISCONN);
	assert_int_equal(tcp_ready(r.c), TCP_READY_OUT);
	assert_int_equal(rig_counter(&r, FS_CTR_tcp_opened_active), 1);
	trig_close(&r);
}

static void tcp_connect__tells_when_it_is_through(void **state)
{
	struct tcp_rig r;

	trig_open(&r);
	assert_int_equal(trig_connect(&r), 0);
	rig_drain(&r);
	assert_int_equal(r.events, 0);
	rig_seg_in(&r, (struct rig_seg){
			       .seq = r.irs, .ack = r.iss + 1, .flags = TCP_SYN | TCP_ACK, .absolute = true });
	assert_int_equal(r.edges, TCP_READY_OUT);
	trig_close(&r);
}

static void tcp_connect__no_route(void **state)
{
	struct ip_addr any = { 0 }, group = rig_v4(224, 0, 0, 1);
	struct tcp_rig r;

	trig_open(&r);
	r.no_route = true;
	assert_int_equal(trig_connect(&r), -ENETUNREACH);
	r.no_route = false;
	assert_int_equal(tcp_connect(r.c, &r.h.env, &any, 1, &group, 2, r.now), -ENETUNREACH); /* MUST-46 */
	assert_int_equal(tcp_connect(r.c, &r.h.env, &any, 1, &any, 2, r.now), -ENETUNREACH);
	assert_int_equal(r.c->state, TCP_CLOSED);
	assert_int_equal(trig_connect(&r), 0);
	trig_close(&r);
}

static void tcp_connect__the_tuple_is_taken(void **state)
{
	struct ip_addr any = { 0 }, peer = rig_v4(10, 0, 0, 2);
	struct tcp_conn *second;
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	second = tcp_open(&r.tcp, &r);
	assert_int_equal(tcp_connect(second, &r.h.env, &any, TRIG_PORT, &peer, TRIG_PEER_PORT, r.now), -EADDRNOTAVAIL);
	assert_int_equal(tcp_connect(second, &r.h.env, &any, TRIG_PORT + 1, &peer, TRIG_PEER_PORT, r.now), 0);
	tcp_close(second, &r.h.env, r.now);
	trig_close(&r);
}

static void tcp_connect__over_time_wait(void **state)
{
	struct tcp_rig r;
	tcp_seq before;

	rig_connected(&r, &rig_modern);
	before = r.iss;
	tcp_shutdown(r.c, &r.h.env, TCP_SHUT_WR, r.now);
	rig_drain(&r);
	rig_seg_in(&r, (struct rig_seg){ .ack = 1, .flags = FIN });
	assert_int_equal(r.tcp.n_tw, 1);
	rig_drain(&r);
	/* Too early for the peer's clock of timestamps; a second later they tell old from new. */
	assert_int_equal(trig_connect(&r), -EADDRNOTAVAIL);
	rig_wait(&r, FS_SEC(2));
	assert_int_equal(trig_connect(&r), 0);
	assert_int_equal(r.tcp.n_tw, 0);
	assert_int_equal(rig_one_out(&r)->h.flags, TCP_SYN);
	assert_true(seq_gt(r.iss, before));
	trig_close(&r);
}

static void tcp_connect__again_after_an_end(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	r.c->options.nodelay = true;
	rig_seg_in(&r, (struct rig_seg){ .data = text(0), .len = 10 });
	rig_seg_in(&r, (struct rig_seg){ .seq = 10, .flags = TCP_RST });
	assert_int_equal(r.c->state, TCP_CLOSED);
	rig_drain(&r);
	rig_establish(&r, &rig_modern);
	assert_true(r.c->options.nodelay);
	assert_int_equal(tcp_take_error(r.c), 0);
	assert_int_equal(tcp_inq(r.c), 0);
	rig_seg_in(&r, (struct rig_seg){ .data = text(5), .len = 10 });
	rig_drain(&r);
	rig_reads(&r, text(5), 10);
	trig_close(&r);
}

/* Any number may be the first one, 0 as well: it says nothing of whether there was a connection. */
static void tcp_connect__again_after_numbers_from_0(void **state)
{
	struct tcp_rig r;

	trig_open(&r);
	assert_int_equal(trig_connect(&r), 0);
	r.c->iss = 0;
	assert_int_equal(tcp_shutdown(r.c, &r.h.env, TCP_SHUT_WR, r.now), 0);
	assert_int_equal(r.c->state, TCP_CLOSED);
	rig_drain(&r);
	rig_establish(&r, &rig_modern);
	rig_write(&r, text(0), 10);
	assert_int_equal(tcp_outq(r.c), 10);
	rig_drain(&r);
	trig_close(&r);
}

static void tcp_connect__ipv6(void **state)
{
	struct tcp_rig r;

	trig_open(&r);
	r.v6 = true;
	rig_establish(&r, &rig_modern);
	assert_int_equal(r.c->advertised_mss, 1440);
	rig_seg_in(&r, (struct rig_seg){ .data = text(0), .len = 10 });
	rig_drain(&r);
	rig_reads(&r, text(0), 10);
	trig_close(&r);
}

static void tcp_connect__nobody_answers(void **state)
{
	struct tcp_rig r;

	trig_open(&r);
	assert_int_equal(trig_connect(&r), 0);
	rig_wait(&r, FS_SEC(300));
	assert_int_equal(r.c->state, TCP_CLOSED);
	assert_int_equal(r.h.ip.port[0].out.frames, 7);
	rig_drain(&r);
	assert_int_equal(tcp_take_error(r.c), ETIMEDOUT);
	trig_close(&r);
}

/* --- the first window (RFC 6928) --- */

static void tcp_established__initial_window(void **state)
{
	static const struct {
		uint32_t mtu;
		uint16_t mss;
		uint32_t cwnd;
	} cases[] = { { 1500, 1460, 10 }, { 1500, 536, 10 }, { 9000, 8960, 2 }, { 4000, 3960, 3 } };

	for (unsigned i = 0; i < FS_ARRAY_SIZE(cases); i++) {
		struct rig_offer offer = { .mss = cases[i].mss };
		struct ip_dst *dst;
		struct tcp_rig r;

		trig_open_sized(&r, &(struct rig_sizes){ 64, 64, 16384 });
		dst = rig_dst(&r.h, trig_peer(&r));
		dst->mtu = cases[i].mtu;
		rig_establish(&r, &offer);
		assert_int_equal(r.c->cc.cwnd, cases[i].cwnd);
		trig_close(&r);
	}
}

static void tcp_established__initial_window_after_lost_syns(void **state)
{
	struct tcp_rig r;

	for (unsigned lost = 0; lost <= 2; lost++) {
		trig_open(&r);
		assert_int_equal(trig_connect(&r), 0);
		for (unsigned i = 0; i < lost; i++)
			rig_wait(&r, FS_SEC(1 << i) + FS_MS(10));
		rig_drain(&r);
		rig_seg_in(&r, (struct rig_seg){ .seq = r.irs, .ack = r.iss + 1, .flags = TCP_SYN | TCP_ACK,
						 .options = TCP_HAS_MSS, .mss = 1460, .absolute = true });
		assert_int_equal(r.c->cc.cwnd, lost > 1 ? 1 : 10);
		trig_close(&r);
	}
}

/* --- close --- */

static void expect_gone(struct tcp_rig *r)
{
	assert_int_equal(r->tcp.n_conns, 0);
	assert_int_equal(r->tcp.n_orphans, 0);
	assert_int_equal(r->released, 1);
}

static void close_it(struct tcp_rig *r)
{
	tcp_close(r->c, &r->h.env, r->now);
	r->c = NULL;
}

static void tcp_close__fin_after_what_is_queued(void **state)
{
	struct rig_sent *s;
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	assert_int_equal(rig_write(&r, text(0), 100), 100);
	rig_drain(&r);
	close_it(&r);
	s = rig_one_out(&r);
	assert_true(s->h.flags & TCP_FIN);
	assert_int_equal(s->h.seq, 100);
	assert_int_equal(r.tcp.n_orphans, 1);
	rig_seg_in(&r, (struct rig_seg){ .ack = 101 });
	rig_seg_in(&r, (struct rig_seg){ .ack = 101, .flags = FIN });
	rig_ack_out(&r, 1);
	expect_gone(&r);
	assert_int_equal(r.tcp.n_tw, 1);
	trig_close(&r);
}

static void tcp_close__after_the_peers_fin(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	rig_seg_in(&r, (struct rig_seg){ .flags = FIN });
	close_it(&r);
	assert_int_equal(rig_one_out(&r)->h.flags, TCP_FIN | TCP_ACK);
	assert_int_equal(r.tcp.n_orphans, 1);
	rig_seg_in(&r, (struct rig_seg){ .seq = 1, .ack = 1 });
	expect_gone(&r);
	assert_int_equal(r.tcp.n_tw, 0);
	trig_close(&r);
}

static void tcp_close__with_unread_data_resets(void **state)
{
	struct tcp_rig r;

	for (unsigned fin = 0; fin < 2; fin++) {
		rig_connected(&r, &rig_modern); /* SHLD-3 */
		rig_seg_in(&r, (struct rig_seg){ .data = text(0), .len = 10, .flags = fin ? FIN : TCP_ACK });
		rig_drain(&r);
		close_it(&r);
		assert_int_equal(rig_rst_out(&r)->h.seq, 0);
		expect_gone(&r);
		trig_close(&r);
	}
}

static void tcp_close__with_what_was_read_does_not(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	rig_seg_in(&r, (struct rig_seg){ .data = text(0), .len = 10, .flags = FIN });
	rig_reads(&r, text(0), 10);
	rig_drain(&r);
	close_it(&r);
	assert_int_equal(rig_one_out(&r)->h.flags, TCP_FIN | TCP_ACK);
	trig_close(&r);
}

static void tcp_close__what_waits_out_of_order_goes(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	rig_seg_in(&r, (struct rig_seg){ .seq = 100, .data = text(100), .len = 10 });
	rig_drain(&r);
	close_it(&r); /* it was not there to be read: no reset */
	assert_int_equal(rig_one_out(&r)->h.flags, TCP_FIN | TCP_ACK);
	assert_int_equal(r.h.pinned.n_free, r.h.pinned.n_total);
	trig_close(&r);
}

static void tcp_close__linger_0_resets(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	r.c->options.linger_s = 0;
	assert_int_equal(rig_write(&r, text(0), 100), 100);
	rig_drain(&r);
	close_it(&r);
	assert_int_equal(rig_rst_out(&r)->h.seq, 100);
	expect_gone(&r);
	trig_close(&r);
}

static void tcp_close__before_it_is_connected(void **state)
{
	struct tcp_rig r;

	trig_open(&r);
	trig_connect(&r);
	rig_drain(&r);
	close_it(&r);
	rig_no_out(&r);
	expect_gone(&r);
	assert_int_equal(r.tcp.ends.count, 0);
	trig_close(&r);
}

static void tcp_close__in_syn_received_waits_for_the_handshake(void **state)
{
	struct tcp_rig r;

	trig_open(&r);
	trig_connect(&r);
	rig_drain(&r);
	rig_seg_in(&r, (struct rig_seg){ .seq = r.irs, .flags = TCP_SYN, .absolute = true });
	rig_drain(&r);
	close_it(&r);
	rig_no_out(&r);
	rig_seg_in(&r, (struct rig_seg){ .seq = 0 });
	assert_true(rig_one_out(&r)->h.flags & TCP_FIN);
	rig_seg_in(&r, (struct rig_seg){ .ack = 1, .flags = FIN });
	rig_drain(&r);
	expect_gone(&r);
	trig_close(&r);
}

static void tcp_close__an_orphan_does_not_wait_for_ever(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	close_it(&r);
	rig_drain(&r);
	rig_seg_in(&r, (struct rig_seg){ .ack = 1 }); /* FIN-WAIT-2 */
	rig_wait(&r, FS_SEC(59));
	assert_int_equal(r.tcp.n_orphans, 1);
	rig_wait(&r, FS_SEC(2));
	expect_gone(&r);
	rig_no_out(&r);
	trig_close(&r);
}

static void tcp_close__in_fin_wait2_begins_the_wait(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	tcp_shutdown(r.c, &r.h.env, TCP_SHUT_WR, r.now);
	rig_drain(&r);
	rig_seg_in(&r, (struct rig_seg){ .ack = 1 });
	rig_wait(&r, FS_SEC(1000)); /* its user may wait */
	assert_int_equal(r.c->state, TCP_FIN_WAIT2);
	close_it(&r);
	rig_wait(&r, FS_SEC(61));
	expect_gone(&r);
	trig_close(&r);
}

static void tcp_close__linger2(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	r.c->options.linger2_s = 5;
	close_it(&r);
	rig_drain(&r);
	rig_seg_in(&r, (struct rig_seg){ .ack = 1 });
	rig_wait(&r, FS_SEC(6));
	expect_gone(&r);
	trig_close(&r);
	rig_connected(&r, &rig_modern);
	r.c->options.linger2_s = -1;
	close_it(&r);
	rig_drain(&r);
	rig_seg_in(&r, (struct rig_seg){ .ack = 1 });
	rig_rst_out(&r);
	expect_gone(&r);
	trig_close(&r);
}

static void tcp_close__nobody_acknowledges(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	close_it(&r);
	rig_wait(&r, FS_SEC(1000));
	rig_drain(&r);
	expect_gone(&r);
	trig_close(&r);
}

static void tcp_abort__resets_who_needs_it(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	assert_int_equal(rig_write(&r, text(0), 100), 100);
	rig_seg_in(&r, (struct rig_seg){ .data = text(0), .len = 10 });
	rig_drain(&r);
	tcp_abort(r.c, &r.h.env, r.now);
	r.c = NULL;
	assert_int_equal(rig_rst_out(&r)->h.seq, 100);
	expect_gone(&r);
	trig_close(&r);
	/* Both FINs are sent: it only waits for the last ACK. */
	rig_connected(&r, &rig_modern);
	rig_seg_in(&r, (struct rig_seg){ .flags = FIN });
	tcp_shutdown(r.c, &r.h.env, TCP_SHUT_WR, r.now);
	rig_drain(&r);
	tcp_abort(r.c, &r.h.env, r.now);
	r.c = NULL;
	rig_no_out(&r);
	expect_gone(&r);
	trig_close(&r);
}

/* --- shutdown, readiness --- */

static void tcp_shutdown__half_close(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	assert_int_equal(tcp_shutdown(r.c, &r.h.env, TCP_SHUT_WR, r.now), 0);
	assert_int_equal(r.c->state, TCP_FIN_WAIT1);
	assert_int_equal(tcp_outq(r.c), 1);
	assert_true(rig_one_out(&r)->h.flags & TCP_FIN);
	assert_int_equal(rig_write(&r, "x", 1), -EPIPE);
	assert_int_equal(tcp_ready(r.c), TCP_READY_OUT);
	assert_int_equal(tcp_shutdown(r.c, &r.h.env, TCP_SHUT_WR, r.now), 0);
	rig_no_out(&r);
	rig_seg_in(&r, (struct rig_seg){ .ack = 1, .data = text(0), .len = 10 });
	assert_int_equal(r.c->state, TCP_FIN_WAIT2);
	assert_int_equal(tcp_outq(r.c), 0);
	rig_drain(&r);
	rig_reads(&r, text(0), 10);
	trig_close(&r);
}

static void tcp_shutdown__reading(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	assert_int_equal(tcp_shutdown(r.c, &r.h.env, TCP_SHUT_RD, r.now), 0);
	assert_int_equal(r.edges, TCP_READY_IN | TCP_READY_RDHUP);
	assert_int_equal(tcp_ready(r.c), TCP_READY_IN | TCP_READY_OUT | TCP_READY_RDHUP);
	rig_no_out(&r);
	r.edges = 0;
	assert_int_equal(tcp_shutdown(r.c, &r.h.env, TCP_SHUT_WR, r.now), 0);
	assert_true(r.edges & TCP_READY_HUP);
	assert_int_equal(tcp_ready(r.c), ALL_HUP);
	trig_close(&r);
}

static void tcp_shutdown__while_connecting(void **state)
{
	struct tcp_rig r;

	trig_open(&r);
	trig_connect(&r);
	rig_drain(&r);
	assert_int_equal(tcp_shutdown(r.c, &r.h.env, TCP_SHUT_WR, r.now), 0);
	assert_int_equal(r.c->state, TCP_CLOSED);
	assert_int_equal(tcp_take_error(r.c), 0);
	trig_close(&r);
}

static void tcp_ready__over_a_life(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	assert_int_equal(tcp_ready(r.c), TCP_READY_OUT);
	rig_seg_in(&r, (struct rig_seg){ .data = text(0), .len = 10 });
	assert_int_equal(r.edges, TCP_READY_IN);
	assert_int_equal(tcp_ready(r.c), TCP_READY_IN | TCP_READY_OUT);
	r.edges = 0;
	rig_seg_in(&r, (struct rig_seg){ .seq = 10, .data = text(10), .len = 10 });
	assert_int_equal(r.edges, TCP_READY_IN); /* more of the same: EPOLLET */
	rig_drain(&r);
	rig_reads(&r, text(0), 20);
	assert_int_equal(tcp_ready(r.c), TCP_READY_OUT);
	r.edges = 0;
	rig_seg_in(&r, (struct rig_seg){ .seq = 20, .flags = FIN });
	assert_int_equal(r.edges, TCP_READY_IN | TCP_READY_RDHUP);
	assert_int_equal(tcp_ready(r.c), TCP_READY_IN | TCP_READY_OUT | TCP_READY_RDHUP);
	r.edges = 0;
	rig_seg_in(&r, (struct rig_seg){ .seq = 21, .flags = TCP_RST });
	assert_int_equal(r.edges, ALL_HUP | TCP_READY_ERR);
	assert_int_equal(tcp_ready(r.c), ALL_HUP | TCP_READY_ERR);
	assert_int_equal(tcp_take_error(r.c), EPIPE);
	assert_int_equal(tcp_ready(r.c), ALL_HUP);
	trig_close(&r);
}

static void tcp_ready__low_water_mark(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	r.c->options.rcvlowat = 20;
	rig_seg_in(&r, (struct rig_seg){ .data = text(0), .len = 19 });
	assert_false(r.edges & TCP_READY_IN);
	assert_false(tcp_ready(r.c) & TCP_READY_IN);
	rig_seg_in(&r, (struct rig_seg){ .seq = 19, .data = text(19), .len = 1 });
	assert_true(r.edges & TCP_READY_IN);
	assert_true(tcp_ready(r.c) & TCP_READY_IN);
	rig_drain(&r);
	rig_reads(&r, text(0), 20);
	trig_close(&r);
}

static void tcp_reset__queued_data_are_read_before_the_error(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	assert_int_equal(rig_write(&r, text(0), 5000), 5000);
	rig_seg_in(&r, (struct rig_seg){ .data = text(0), .len = 10 });
	rig_seg_in(&r, (struct rig_seg){ .seq = 10, .flags = TCP_RST });
	rig_drain(&r);
	assert_int_equal(tcp_outq(r.c), 0);
	assert_int_equal(tcp_inq(r.c), 10);
	rig_reads(&r, text(0), 10);
	assert_int_equal(rig_recv(&r, (uint8_t[1]){ 0 }, 1), -ECONNRESET);
	assert_int_equal(rig_recv(&r, (uint8_t[1]){ 0 }, 1), 0);
	assert_int_equal(rig_write(&r, "x", 1), -EPIPE);
	trig_close(&r);
}

static void tcp_state_name__of_every_state(void **state)
{
	for (unsigned i = 1; i < TCP_N_STATES; i++)
		assert_true(strlen(tcp_state_name[i]) > 0);
	assert_string_equal(tcp_state_name[TCP_FIN_WAIT1], "FIN-WAIT-1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_open__is_closed_and_ready_as_a_fresh_socket),
		cmocka_unit_test(tcp_open__without_memory),
		cmocka_unit_test(tcp_connect__syn_and_answer),
		cmocka_unit_test(tcp_connect__tells_when_it_is_through),
		cmocka_unit_test(tcp_connect__no_route),
		cmocka_unit_test(tcp_connect__the_tuple_is_taken),
		cmocka_unit_test(tcp_connect__over_time_wait),
		cmocka_unit_test(tcp_connect__again_after_an_end),
		cmocka_unit_test(tcp_connect__again_after_numbers_from_0),
		cmocka_unit_test(tcp_connect__ipv6),
		cmocka_unit_test(tcp_connect__nobody_answers),
		cmocka_unit_test(tcp_established__initial_window),
		cmocka_unit_test(tcp_established__initial_window_after_lost_syns),
		cmocka_unit_test(tcp_close__fin_after_what_is_queued),
		cmocka_unit_test(tcp_close__after_the_peers_fin),
		cmocka_unit_test(tcp_close__with_unread_data_resets),
		cmocka_unit_test(tcp_close__with_what_was_read_does_not),
		cmocka_unit_test(tcp_close__what_waits_out_of_order_goes),
		cmocka_unit_test(tcp_close__linger_0_resets),
		cmocka_unit_test(tcp_close__before_it_is_connected),
		cmocka_unit_test(tcp_close__in_syn_received_waits_for_the_handshake),
		cmocka_unit_test(tcp_close__an_orphan_does_not_wait_for_ever),
		cmocka_unit_test(tcp_close__in_fin_wait2_begins_the_wait),
		cmocka_unit_test(tcp_close__linger2),
		cmocka_unit_test(tcp_close__nobody_acknowledges),
		cmocka_unit_test(tcp_abort__resets_who_needs_it),
		cmocka_unit_test(tcp_shutdown__half_close),
		cmocka_unit_test(tcp_shutdown__reading),
		cmocka_unit_test(tcp_shutdown__while_connecting),
		cmocka_unit_test(tcp_ready__over_a_life),
		cmocka_unit_test(tcp_ready__low_water_mark),
		cmocka_unit_test(tcp_reset__queued_data_are_read_before_the_error),
		cmocka_unit_test(tcp_state_name__of_every_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
