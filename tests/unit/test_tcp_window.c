/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_tcp_window.c - the window that is announced, and the receive buffer behind it.
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

/* The next @len bytes of some stream; every ACK is seen by look(). */
static void feed(struct tcp_rig *r, uint32_t len)
{
	rig_seg_in(r, (struct rig_seg){ .seq = next_of(r), .data = text(0), .len = len });
}

/* The right edge of the last ACK, relative. */
struct edge {
	uint32_t at;
	uint32_t window;
};

/* Look at what was sent: the edge never moves left (SHLD-14), and no silly window opens (MUST-39). */
static void look(struct tcp_rig *r, struct edge *e)
{
	static struct rig_sent s;

	while (rig_out(r, &s)) {
		uint32_t window = (uint32_t)s.h.window << r->c->rcv_wscale;
		uint32_t at = s.h.ack + window;

		assert_true((int32_t)(at - e->at) >= 0);
		if (at - e->at != 0 && e->window == 0)
			assert_true(at - e->at >= 536);
		e->at = at;
		e->window = window;
	}
}

static void read_some(struct tcp_rig *r, size_t len)
{
	static uint8_t got[RIG_FRAME_MAX];

	assert_true(rig_recv(r, got, len) > 0);
}

static struct edge first_edge(const struct tcp_rig *r)
{
	return (struct edge){ tcp_receive_window(r->c), tcp_receive_window(r->c) };
}

/* --- the beginning --- */

static void syn_with(uint32_t rcvbuf, uint32_t clamp, uint32_t largest, bool scaling, uint16_t window, int wscale)
{
	struct rig_sent *s;
	struct tcp_rig r;

	trig_open(&r);
	r.tcp.config.window_scaling = scaling;
	if (largest)
		r.tcp.config.rcvbuf[2] = largest;
	r.c = tcp_open(&r.tcp, &r);
	r.c->options.rcvbuf = rcvbuf;
	r.c->options.window_clamp = clamp;
	assert_int_equal(trig_connect(&r), 0);
	s = rig_one_out(&r);
	assert_int_equal(s->h.window, window);
	if (scaling)
		assert_int_equal(s->h.wscale, wscale);
	else
		assert_false(s->h.options & TCP_HAS_WSCALE);
	trig_close(&r);
}

/* The smallest shift that covers the largest buffer; windows of whole segments: as Linux. */
static void tcp_rx_start__as_linux(void **state)
{
	syn_with(0, 0, 0, true, 64240, 7);
	syn_with(0, 0, 15 << 20, true, 64240, 8);
	syn_with(0, 0, 65535, true, 64240, 1); /* the first window counts, too */
	syn_with(0, 0, 0, false, 64240, 0);
	syn_with(425984, 0, 0, true, 64240, 2);	 /* SO_RCVBUF: half of what it reports */
	syn_with(8192, 0, 0, true, 2920, 0);
	syn_with(2304, 0, 0, true, 1152, 0);
	syn_with(0, 10000, 0, true, 8760, 0);
}

/* --- announcing --- */

static void tcp_announce_window__never_retracts(void **state)
{
	static const struct rig_offer offers[] = { { .ts = true, .sack = true, .wscale = true, .shift = 7, .mss = 1460 },
						   { .mss = 1460 } };
	uint64_t seed = 7;

	for (unsigned i = 0; i < 40; i++) {
		struct tcp_rig r;
		struct edge e;

		trig_open_sized(&r, &(struct rig_sizes){ 512, 512, RIG_CHUNK });
		rig_establish(&r, &offers[i & 1]);
		e = first_edge(&r);
		for (unsigned step = 0; step < 600; step++) {
			uint32_t len;

			seed = seed * 6364136223846793005 + 1442695040888963407;
			r.now += FS_MS((seed >> 40) & 63);
			len = (seed >> 33) % (seed & 1 ? MSS : 100) + 1;
			len = FS_MIN(len, e.at - next_of(&r)); /* the peer keeps to the window */
			if (len > 0)
				feed(&r, len);
			look(&r, &e);
			if ((seed >> 50) % 4 == 0 && tcp_inq(r.c) > 0)
				read_some(&r, (seed >> 20) % 6000 + 1);
			look(&r, &e);
			rig_wait(&r, FS_MS((seed >> 45) & 127));
			look(&r, &e);
		}
		assert_int_equal(rig_counter(&r, FS_CTR_drop_tcp_rcvbuf), 0);
		trig_close(&r);
	}
}

/* A reader that is slower than the sender: the window closes, and opens by whole segments. */
static void tcp_announce_window__closes_and_opens(void **state)
{
	struct tcp_rig r;
	struct edge e;

	rig_connected(&r, &rig_modern);
	e = first_edge(&r);
	while (e.at - next_of(&r) > 0) {
		feed(&r, FS_MIN((uint32_t)MSS, e.at - next_of(&r)));
		rig_wait(&r, FS_MS(200));
		look(&r, &e);
		assert_true(next_of(&r) < 200000);
	}
	assert_int_equal(e.window, 0);
	assert_true(r.c->rcv_charge <= r.c->rcvbuf);
	/* A little room is not told. */
	read_some(&r, 100);
	rig_no_out(&r);
	/* A probe is answered, and nothing of it kept. */
	feed(&r, 1);
	look(&r, &e);
	assert_int_equal(e.window, 0);
	/* Reading on opens it, with an ACK of its own. */
	for (unsigned i = 0; e.window == 0; i++) {
		read_some(&r, MSS);
		look(&r, &e);
		assert_true(i < 40);
	}
	assert_true(e.window >= 2 * MSS);
	trig_close(&r);
}

static void tcp_announce_window__an_update_when_it_doubles(void **state)
{
	struct tcp_rig r;
	struct edge e;
	uint32_t before;

	rig_connected(&r, &rig_modern);
	e = first_edge(&r);
	while (e.at - next_of(&r) > 20000) {
		feed(&r, MSS);
		rig_wait(&r, FS_MS(200));
		look(&r, &e);
	}
	before = e.window;
	while (tcp_inq(r.c) > 0) {
		read_some(&r, 1000);
		if (r.h.ip.port[0].out.frames > 0)
			break;
	}
	look(&r, &e);
	assert_true(e.window >= 2 * (before - MSS));
	/* And then not for every read. */
	while (tcp_inq(r.c) > 2000)
		read_some(&r, 1000);
	assert_true(r.h.ip.port[0].out.frames <= 1);
	trig_close(&r);
}

static void tcp_announce_window__without_scaling_whole_segments(void **state)
{
	struct rig_sent *s;
	struct tcp_rig r;

	rig_connected(&r, &rig_sacking);
	for (unsigned i = 0; i < 10; i++) {
		r.c->quick_acks = 10;
		feed(&r, 1460);
		s = rig_ack_out(&r, (i + 1) * 1460);
		assert_true(s->h.window % 1460 == 0 || s->h.ack + s->h.window == 64240);
		read_some(&r, 1460);
		rig_drain(&r);
	}
	trig_close(&r);
}

static void tcp_announce_window__small_when_memory_is_scarce(void **state)
{
	struct fbuf *taken[RIG_PAYLOAD];
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	for (unsigned i = 0; i < RIG_PAYLOAD; i++)
		taken[i] = fbuf_alloc(&r.h.payload);
	for (unsigned i = 0; i < 60; i++) {
		feed(&r, MSS);
		read_some(&r, MSS);
		rig_drain(&r);
	}
	assert_true(tcp_receive_window(r.c) <= 5 * 1460);
	for (unsigned i = 0; i < RIG_PAYLOAD; i++)
		fbuf_free(taken[i]);
	trig_close(&r);
}

/* Issue 6: nor with a payload pool that could not even be begun, while the frames' own pool is at its low water. */
static void tcp_announce_window__small_where_nothing_can_be_copied_out(void **state)
{
	for (uint32_t low_water = 0; low_water <= RIG_PINNED; low_water += RIG_PINNED) {
		struct tcp_rig r;

		trig_open_sized(&r, &(struct rig_sizes){ RIG_PINNED, 0, RIG_CHUNK });
		rig_establish(&r, &rig_modern);
		r.h.pinned.low_water = low_water;
		r.c->rcv_ssthresh = 20 * MSS;
		for (unsigned i = 0; i < 60; i++) {
			feed(&r, MSS);
			read_some(&r, MSS);
			rig_drain(&r);
		}
		assert_int_equal(tcp_receive_window(r.c) <= 5 * 1460, low_water > 0);
		trig_close(&r);
	}
}

/* --- auto-tuning --- */

/* @rounds round trips of 10 ms in which the peer fills the window and the program reads it all. */
static void stream(struct tcp_rig *r, unsigned rounds)
{
	struct edge e = first_edge(r);

	e.at += next_of(r);
	for (unsigned i = 0; i < rounds; i++) {
		uint32_t end = e.at;

		r->now += FS_MS(10);
		while (end - next_of(r) > 0) {
			feed(r, FS_MIN((uint32_t)MSS, end - next_of(r)));
			while (tcp_inq(r->c) > 0)
				read_some(r, 60000);
			look(r, &e);
		}
	}
}

static void tcp_window_adapt__follows_a_fast_reader(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	r.c->rcv_rtt_us = 10000;
	stream(&r, 4);
	assert_true(tcp_receive_window(r.c) > 200000);
	stream(&r, 10);
	assert_int_equal(r.c->rcvbuf, 6291456);
	assert_true(tcp_receive_window(r.c) > 2000000);
	trig_close(&r);
}

/* Twice what was read in the round, room for 16 segments, and twice of all that again by how much it grew. */
static void tcp_window_adapt__by_how_much(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	r.c->rcv_rtt_us = 10000;
	r.c->rcv_space = 10000;
	feed(&r, 15000);
	rig_drain(&r);
	r.now += FS_MS(10);
	read_some(&r, 15000);
	assert_int_equal(r.c->rcvbuf, 2 * 2 * (2 * 15000 + 16 * 1460));
	assert_int_equal(r.c->rcv_space, 15000);
	feed(&r, 30000);
	rig_drain(&r);
	r.now += FS_MS(10);
	read_some(&r, 30000);
	assert_int_equal(r.c->rcvbuf, 2 * 3 * (2 * 30000 + 16 * 1460));
	trig_close(&r);
}

static void tcp_window_adapt__not_where_the_program_set_it(void **state)
{
	struct tcp_rig r;

	trig_open(&r);
	r.c = tcp_open(&r.tcp, &r);
	r.c->options.rcvbuf = 100000;
	rig_establish(&r, &rig_modern);
	r.c->rcv_rtt_us = 10000;
	stream(&r, 10);
	assert_int_equal(r.c->rcvbuf, 100000);
	trig_close(&r);
}

static void tcp_window_adapt__a_slow_stream_gets_no_more(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	r.c->rcv_rtt_us = 10000;
	for (unsigned i = 0; i < 200; i++) {
		r.now += FS_MS(5);
		feed(&r, 100);
		read_some(&r, 100);
		rig_drain(&r);
	}
	assert_int_equal(r.c->rcvbuf, 131072);
	trig_close(&r);
}

static void tcp_window_adapt__the_handshake_gives_the_first_round_trip(void **state)
{
	struct tcp_rig r;

	trig_open(&r);
	assert_int_equal(trig_connect(&r), 0);
	rig_drain(&r);
	rig_wait(&r, FS_MS(30));
	rig_seg_in(&r, (struct rig_seg){
			       .seq = r.irs, .ack = r.iss + 1, .flags = TCP_SYN | TCP_ACK, .absolute = true });
	assert_int_equal(r.c->rcv_rtt_us, 30000);
	trig_close(&r);
}

/* Echoes of what we sent 50 ms ago, in a stream: the estimate goes there. After a pause they are old, not slow. */
static void tcp_rx_measure__round_trip_by_timestamps(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	r.c->rcv_rtt_us = 10000;
	for (unsigned i = 0; i < 100; i++) {
		uint32_t ms = (uint32_t)(r.now / FS_MS(1)) + r.c->ts_offset;

		rig_seg_in(&r, (struct rig_seg){ .seq = next_of(&r), .data = text(0), .len = MSS, .ts_ecr = ms - 50 });
		read_some(&r, MSS);
		rig_drain(&r);
		r.now += FS_MS(2);
	}
	assert_in_range(r.c->rcv_rtt_us, 49000, 51000);
	r.now += FS_SEC(10);
	feed(&r, MSS);
	assert_in_range(r.c->rcv_rtt_us, 49000, 51000);
	trig_close(&r);
}

static void tcp_rx_measure__round_trip_by_windows(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_sacking);
	r.c->rcv_rtt_us = 0;
	stream(&r, 3);
	assert_in_range(r.c->rcv_rtt_us, 9000, 11000);
	trig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_rx_start__as_linux),
		cmocka_unit_test(tcp_announce_window__never_retracts),
		cmocka_unit_test(tcp_announce_window__closes_and_opens),
		cmocka_unit_test(tcp_announce_window__an_update_when_it_doubles),
		cmocka_unit_test(tcp_announce_window__without_scaling_whole_segments),
		cmocka_unit_test(tcp_announce_window__small_when_memory_is_scarce),
		cmocka_unit_test(tcp_announce_window__small_where_nothing_can_be_copied_out),
		cmocka_unit_test(tcp_window_adapt__follows_a_fast_reader),
		cmocka_unit_test(tcp_window_adapt__by_how_much),
		cmocka_unit_test(tcp_window_adapt__not_where_the_program_set_it),
		cmocka_unit_test(tcp_window_adapt__a_slow_stream_gets_no_more),
		cmocka_unit_test(tcp_window_adapt__the_handshake_gives_the_first_round_trip),
		cmocka_unit_test(tcp_rx_measure__round_trip_by_timestamps),
		cmocka_unit_test(tcp_rx_measure__round_trip_by_windows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
