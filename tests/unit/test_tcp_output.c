/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_tcp_output.c - what leaves and when: windows, frames of many segments, retransmissions, FIN, ECN, single segments
 * with their numbers, and what becomes of that which cannot leave.
 */
#include "tcp_rig.h"

#include <errno.h>

enum { MSS = 1448, L4 = 14 + 20 }; /* of an Ethernet path, timestamps taken off */

/* The next segment out is @len bytes of the pattern from @at, with these flags beside ACK. */
static struct rig_sent *expect_data(struct tcp_rig *r, uint32_t at, uint32_t len, uint16_t flags)
{
	static struct rig_sent s;

	assert_true(rig_out(r, &s));
	assert_int_equal(s.h.seq, at);
	assert_int_equal(s.len, len);
	assert_memory_equal(s.data, rig_pattern() + at, len);
	assert_int_equal(s.h.flags, TCP_ACK | flags);
	return &s;
}

/* Bytes of the TCP header of the oldest frame that waits. */
static void peek_tcp(const struct tcp_rig *r, uint8_t *to, uint32_t len)
{
	assert_non_null(r->h.ip.port[0].out.head);
	assert_int_equal(fbuf_copy_out(r->h.ip.port[0].out.head, L4, to, len), len);
}

static void set_options(struct tcp_rig *r, void (*change)(struct tcp_options *o))
{
	struct tcp_options o = *tcp_get_options(r->c);

	change(&o);
	assert_int_equal(tcp_set_options(r->c, &r->h.env, &o, r->now), 0);
}

static void no_delay(struct tcp_options *o)
{
	o->nodelay = true;
}

/* --- SYN --- */

/* Linux's order and padding, so that traces compare. */
static void tcp_send_syn__options(void **state)
{
	static const struct {
		bool ts, sack, wscale;
		uint8_t len, bytes[20];
	} cases[] = {
		{ true, true, true, 20, { 2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0, 1, 3, 3, 7 } },
		{ false, true, true, 12, { 2, 4, 5, 0xb4, 1, 1, 4, 2, 1, 3, 3, 7 } },
		{ true, false, false, 16, { 2, 4, 5, 0xb4, 1, 1, 8, 10 } },
		{ false, false, true, 8, { 2, 4, 5, 0xb4, 1, 3, 3, 7 } },
		{ false, false, false, 4, { 2, 4, 5, 0xb4 } },
	};

	for (unsigned i = 0; i < FS_ARRAY_SIZE(cases); i++) {
		uint8_t got[60], want[20];
		struct rig_sent s;
		struct tcp_rig r;

		trig_open(&r);
		r.tcp.config.timestamps = cases[i].ts;
		r.tcp.config.sack = cases[i].sack;
		r.tcp.config.window_scaling = cases[i].wscale;
		assert_int_equal(trig_connect(&r), 0);
		peek_tcp(&r, got, 20u + cases[i].len);
		memcpy(want, cases[i].bytes, sizeof(want));
		if (cases[i].ts)
			be32_store(want + 8, tcp_ts_now(r.c, r.now));
		assert_memory_equal(got + 20, want, cases[i].len);
		assert_int_equal(got[12] >> 4, 5 + cases[i].len / 4);
		assert_true(rig_out(&r, &s));
		assert_int_equal(s.h.flags, TCP_SYN);
		assert_int_equal(s.h.seq, r.c->iss);
		assert_int_equal(s.h.ack, 0);
		assert_int_equal(s.h.window, 64240); /* not scaled */
		trig_close(&r);
	}
}

static void tcp_send_syn__ipv6(void **state)
{
	struct rig_sent s;
	struct tcp_rig r;

	trig_open(&r);
	r.v6 = true;
	assert_int_equal(trig_connect(&r), 0);
	assert_true(rig_out(&r, &s));
	assert_int_equal(s.h.mss, 1440);
	trig_close(&r);
}

/* T3168-1, T3168-3: asks for ECN with both bits, and no longer once a SYN was lost. */
static void tcp_send_syn__ecn_until_a_timeout(void **state)
{
	struct tcp_rig r;

	trig_open(&r);
	r.tcp.config.ecn = 1;
	assert_int_equal(trig_connect(&r), 0);
	assert_int_equal(rig_one_out(&r)->h.flags, TCP_SYN | TCP_ECE | TCP_CWR);
	rig_wait(&r, FS_MS(1001));
	assert_int_equal(rig_one_out(&r)->h.flags, TCP_SYN);
	assert_false(tcp_has(r.c, TCP_CONN_ECN));
	trig_close(&r);
}

/* --- windows --- */

static void tcp_output__congestion_window(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	assert_int_equal(rig_write(&r, rig_pattern(), 14 * MSS), 14 * MSS);
	for (uint32_t i = 0; i < 10; i++) /* RFC 6928 */
		expect_data(&r, i * MSS, MSS, 0);
	rig_no_out(&r);
	assert_true(tcp_has(r.c, TCP_CONN_CWND_LIMITED));
	rig_seg_in(&r, (struct rig_seg){ .ack = MSS }); /* one left, slow start adds one */
	expect_data(&r, 10 * MSS, MSS, 0);
	expect_data(&r, 11 * MSS, MSS, 0);
	rig_no_out(&r);
	trig_close(&r);
}

/* What the peer's window does not hold waits (SHLD-15), and a short piece of it is not worth a segment (MUST-38). */
static void tcp_output__peers_window(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_plain);
	r.c->snd_wnd = r.c->max_wnd = 5000;
	rig_write(&r, rig_pattern(), 8000);
	for (uint32_t i = 0; i < 3; i++)
		expect_data(&r, i * 1460, 1460, 0);
	rig_no_out(&r); /* 620 bytes of window are left */
	rig_seg_in(&r, (struct rig_seg){ .ack = 1460, .window = 3540 });
	rig_no_out(&r); /* they are not more */
	rig_seg_in(&r, (struct rig_seg){ .ack = 4380, .window = 2500 });
	expect_data(&r, 4380, 1460, 0);
	rig_no_out(&r);
	/* Half of the largest window ever seen is worth it. */
	rig_seg_in(&r, (struct rig_seg){ .ack = 5840, .window = 4000 });
	expect_data(&r, 5840, 1460, 0);
	expect_data(&r, 7300, 700, TCP_PSH);
	trig_close(&r);
}

/* MUST-34: a window taken back makes the usable one negative: nothing new, and nothing breaks. */
static void tcp_output__window_taken_back(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_plain);
	rig_write(&r, rig_pattern(), 5 * 1460);
	rig_drain(&r);
	rig_seg_in(&r, (struct rig_seg){ .ack = 1460, .window = 1460 });
	rig_write(&r, rig_pattern() + 5 * 1460, 100);
	rig_no_out(&r);
	/* SHLD-16: what lies inside is sent again, the rest not. */
	rig_wait(&r, FS_SEC(2));
	expect_data(&r, 1460, 1460, 0);
	rig_drain(&r);
	assert_int_equal(r.c->state, TCP_ESTABLISHED);
	trig_close(&r);
}

/* RFC 5681 4.1: after a pause the window begins as a new one, at most. */
static void tcp_output__restart_after_idle(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	rig_write(&r, rig_pattern(), 10);
	rig_drain(&r);
	rig_seg_in(&r, (struct rig_seg){ .ack = 10 });
	r.c->cc.cwnd = 100;
	r.c->cc.ssthresh = 50;
	rig_wait(&r, FS_MS(450)); /* two RTOs */
	rig_write(&r, rig_pattern() + 10, 10);
	assert_int_equal(r.c->cc.cwnd, 25);
	assert_int_equal(r.c->cc.ssthresh, 75);
	rig_drain(&r);
	rig_seg_in(&r, (struct rig_seg){ .ack = 20 });
	rig_wait(&r, FS_SEC(60));
	rig_write(&r, rig_pattern() + 20, 10);
	assert_int_equal(r.c->cc.cwnd, 10);
	r.tcp.config.slow_start_after_idle = false;
	rig_seg_in(&r, (struct rig_seg){ .ack = 30 });
	r.c->cc.cwnd = 100;
	rig_wait(&r, FS_SEC(60));
	rig_write(&r, rig_pattern() + 30, 10);
	assert_int_equal(r.c->cc.cwnd, 100);
	rig_drain(&r);
	trig_close(&r);
}

static void paced(struct tcp_options *o)
{
	o->max_pacing_rate = 1000000; /* two segments in 3 ms */
}

/* A rate bounds what leaves in a row, and the timer lets the rest go. */
static void tcp_output__pacing(void **state)
{
	struct tcp_rig r;
	fs_ns began;

	rig_connected(&r, &rig_modern);
	set_options(&r, paced);
	began = r.now;
	rig_write(&r, rig_pattern(), 8 * MSS);
	for (uint32_t i = 0; i < 4; i++) {
		expect_data(&r, 2 * i * MSS, MSS, 0);
		expect_data(&r, (2 * i + 1) * MSS, MSS, i == 3 ? TCP_PSH : 0);
		rig_no_out(&r);
		rig_seg_in(&r, (struct rig_seg){ .ack = 2 * (i + 1) * MSS }); /* lets nothing go sooner */
		rig_no_out(&r);
		rig_wait(&r, FS_US(2895));
		rig_no_out(&r);
		rig_wait(&r, FS_US(1));
	}
	assert_int_equal(r.now - began, FS_US(4 * 2896));
	trig_close(&r);
}

/* --- super-frames --- */

static void take_super(struct tcp_rig *r, uint16_t bytes, uint8_t parts)
{
	r->h.ip.port[0].tcp_gso = bytes;
	r->h.ip.port[0].gso_parts = parts;
}

static uint32_t parts_of(const struct fbuf *frame)
{
	uint32_t n = 0;

	for (; frame; frame = frame->next)
		n++;
	return n;
}

static void tcp_output__super_frame(void **state)
{
	struct ip_addr self, peer;
	const struct fbuf *frame;
	struct tcp_rig r;
	uint8_t bytes[60];
	be16_t field;

	rig_connected(&r, &rig_modern);
	take_super(&r, 65535, 32);
	rig_write(&r, rig_pattern(), 5 * MSS + 7);
	frame = r.h.ip.port[0].out.head;
	assert_int_equal(frame->gso_size, MSS);
	assert_int_equal(frame->csum, FBUF_CSUM_PARTIAL);
	assert_int_equal(frame->total, L4 + 32 + 5 * MSS + 7);
	assert_int_equal(parts_of(frame), 6);
	for (const struct fbuf *f = frame; f; f = f->next)
		assert_true(fbuf_is_shared(f));
	/* The IP header's length and the pseudo-header's are the whole frame's. */
	assert_int_equal(fbuf_copy_out(frame, 14, bytes, 60), 60);
	assert_int_equal(be16_load(bytes + 2), 52 + 5 * MSS + 7);
	assert_int_equal(csum_fold(csum_inline(bytes, 20)), 0xffff);
	self = trig_self(&r);
	peer = trig_peer(&r);
	field = csum_partial(csum_pseudo(&self, &peer, WIRE_PROTO_TCP, 32 + 5 * MSS + 7));
	assert_memory_equal(bytes + 20 + 16, &field, 2);
	expect_data(&r, 0, 5 * MSS + 7, TCP_PSH);
	rig_no_out(&r);
	assert_int_equal(rig_counter(&r, FS_CTR_tcp_super_out), 1);
	assert_int_equal(rig_counter(&r, FS_CTR_tcp_segments_out), 2 + 6); /* handshake and these */
	assert_int_equal(r.c->packets_out, 6);
	trig_close(&r);
}

/* What fills a super-frame leaves pinned chunks alone, as long as there are others. A segment of its own takes one. */
static void tcp_output__super_frame_takes_no_pinned_chunks(void **state)
{
	static uint8_t memory[4 * 2048] __attribute__((aligned(FS_CACHE_LINE)));
	static struct fbuf bufs[4];
	struct fbuf_pool pool;
	struct tcp_rig r;
	uint32_t pinned;

	rig_connected(&r, &rig_modern);
	fbuf_pool_init(&pool, 2048, IP_TX_HEADROOM);
	fbuf_pool_add(&pool, bufs, memory, 4);
	r.tcp.segments = &pool;
	pinned = r.h.pinned.n_free;
	rig_write(&r, rig_pattern(), 2 * MSS);
	assert_int_equal(pool.n_free, 4); /* the port has none */
	expect_data(&r, 0, MSS, 0);
	expect_data(&r, MSS, MSS, TCP_PSH);
	rig_seg_in(&r, (struct rig_seg){ .ack = 2 * MSS });
	assert_int_equal(r.h.pinned.n_free, pinned);
	take_super(&r, 65535, 32);
	rig_write(&r, rig_pattern() + 2 * MSS, 100);
	assert_int_equal(pool.n_free, 4);
	assert_int_equal(r.h.pinned.n_free, pinned - 1);
	expect_data(&r, 2 * MSS, 100, TCP_PSH);
	rig_seg_in(&r, (struct rig_seg){ .ack = 2 * MSS + 100 });
	rig_write(&r, rig_pattern() + 2 * MSS + 100, 5 * MSS);
	assert_int_equal(pool.n_free, 0);
	assert_int_equal(r.h.pinned.n_free, pinned - 1); /* the fifth */
	expect_data(&r, 2 * MSS + 100, 5 * MSS, TCP_PSH);
	rig_seg_in(&r, (struct rig_seg){ .ack = 7 * MSS + 100 });
	assert_int_equal(pool.n_free, 4);
	assert_int_equal(r.h.pinned.n_free, pinned);
	trig_close(&r);
}

/* The port's limits in bytes and parts, the peer's window, and Nagle bound it. */
static void tcp_output__super_frame_limits(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	take_super(&r, 14 + 52 + 3 * MSS + 1, 32);
	rig_write(&r, rig_pattern(), 4 * MSS);
	expect_data(&r, 0, 3 * MSS, 0);
	expect_data(&r, 3 * MSS, MSS, TCP_PSH);
	take_super(&r, 65535, 2);
	rig_write(&r, rig_pattern() + 4 * MSS, 3 * MSS);
	expect_data(&r, 4 * MSS, 2 * MSS, 0);
	expect_data(&r, 6 * MSS, MSS, TCP_PSH);
	rig_seg_in(&r, (struct rig_seg){ .ack = 7 * MSS });
	take_super(&r, 65535, 32);
	r.c->snd_wnd = 2 * MSS + 100;
	rig_write(&r, rig_pattern() + 7 * MSS, 3 * MSS);
	expect_data(&r, 7 * MSS, 2 * MSS, 0);
	rig_no_out(&r);
	trig_close(&r);
}

/* What a window leaves of a super-frame waits for the ACK that is under way, for a full one. */
static void tcp_output__super_frame_waits(void **state)
{
	struct tcp_rig r;

	for (unsigned peers = 0; peers < 2; peers++) {
		rig_connected(&r, &rig_modern);
		take_super(&r, 65535, 4);
		r.c->sndbuf = 1 << 20;
		r.c->cc.ssthresh = 2;
		r.c->cc.cwnd = peers ? 100 : 10;
		r.c->snd_wnd = peers ? 10 * MSS : 100 * MSS;
		rig_write(&r, rig_pattern(), 15 * MSS);
		expect_data(&r, 0, 4 * MSS, 0);
		expect_data(&r, 4 * MSS, 4 * MSS, 0);
		rig_no_out(&r);
		rig_seg_in(&r, (struct rig_seg){ .ack = 4 * MSS, .window = 10 * MSS >> 7 });
		expect_data(&r, 8 * MSS, 4 * MSS, 0);
		rig_no_out(&r);
		rig_seg_in(&r, (struct rig_seg){ .ack = 8 * MSS, .window = 10 * MSS >> 7 });
		expect_data(&r, 12 * MSS, 3 * MSS, TCP_PSH); /* all there is waits for nothing */
		trig_close(&r);
	}
}

/* Where that is much of the window, or no ACK comes that would bring more, it goes. */
static void tcp_output__super_frame_does_not_wait(void **state)
{
	static const struct {
		uint32_t cwnd, first;
	} cases[] = { { 7, 4 }, { 12, 4 }, { 3, 3 } };
	struct tcp_rig r;

	for (unsigned i = 0; i < FS_ARRAY_SIZE(cases); i++) {
		rig_connected(&r, &rig_modern);
		take_super(&r, 65535, 4);
		r.c->sndbuf = 1 << 20;
		r.c->cc.cwnd = cases[i].cwnd;
		rig_write(&r, rig_pattern(), 15 * MSS);
		expect_data(&r, 0, cases[i].first * MSS, 0);
		rig_drain(&r);
		assert_int_equal(r.c->packets_out, cases[i].cwnd);
		trig_close(&r);
	}
}

static void paced_in_parts(struct tcp_options *o)
{
	o->max_pacing_rate = 4000000; /* 2.7 segments in 2^-10 s */
}

/* The rest of a pace would leave as a frame of its own. */
static void tcp_output__paced_super_frames(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	take_super(&r, 65535, 32);
	set_options(&r, paced_in_parts);
	rig_write(&r, rig_pattern(), 4 * MSS);
	expect_data(&r, 0, 2 * MSS, 0);
	rig_no_out(&r);
	rig_wait(&r, FS_US(724));
	expect_data(&r, 2 * MSS, 2 * MSS, TCP_PSH);
	rig_no_out(&r);
	trig_close(&r);
}

/* One pointer, one CWR for many segments would be wrong. */
static void tcp_output__no_super_frame_of_urgent_data(void **state)
{
	struct iovec iov = { (void *)(uintptr_t)rig_pattern(), 3 * MSS };
	struct rig_sent s;
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	take_super(&r, 65535, 32);
	assert_int_equal(tcp_send(r.c, &r.h.env, &iov, 1, TCP_SEND_OOB, r.now), 3 * MSS);
	for (uint32_t i = 0; i < 3; i++) {
		assert_true(rig_out(&r, &s));
		assert_int_equal(s.len, MSS);
		assert_int_equal(s.h.urgent, (3 - i) * MSS);
	}
	trig_close(&r);
}

/* Any part of it can be sent again, without a copy once the provider gave the frame back. */
static void tcp_output__part_of_a_super_frame_again(void **state)
{
	struct rig_sent s;
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	take_super(&r, 65535, 32);
	rig_write(&r, rig_pattern(), 6 * MSS);
	assert_true(rig_out(&r, &s));
	assert_int_equal(s.len, 6 * MSS);
	/* The third and fourth are missing. */
	rig_seg_in(&r, (struct rig_seg){ .ack = 2 * MSS });
	r.c->snd_wnd = 100 * MSS;
	rig_wait(&r, FS_MS(250)); /* tail probe, then RTO */
	assert_true(rig_out(&r, &s));
	assert_int_equal(s.h.seq, 5 * MSS);
	assert_true(rig_out(&r, &s));
	assert_int_equal(s.h.seq, 2 * MSS);
	assert_int_equal(s.len, MSS);
	assert_memory_equal(s.data, rig_pattern() + 2 * MSS, MSS);
	assert_int_equal(rig_counter(&r, FS_CTR_tcp_retransmit_copies), 0);
	rig_drain(&r);
	trig_close(&r);
}

/* --- retransmission --- */

/* The provider has the frame still: its bytes are copied. */
static void tcp_output__shared_segment_is_copied(void **state)
{
	struct fbuf *first, *again;
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	rig_write(&r, rig_pattern(), 100);
	first = fbuf_queue_pop(&r.h.ip.port[0].out);
	rig_wait(&r, FS_SEC(1));
	again = fbuf_queue_pop(&r.h.ip.port[0].out);
	assert_non_null(again);
	assert_ptr_not_equal(first, again);
	assert_int_equal(again->total, first->total);
	assert_int_equal(rig_counter(&r, FS_CTR_tcp_retransmit_copies) > 0, 1);
	/* It is acked while the provider has it: the chunk comes back with the frame. */
	rig_drain(&r);
	rig_seg_in(&r, (struct rig_seg){ .ack = 100 });
	assert_null(r.c->first);
	fbuf_free(first);
	fbuf_free(again);
	trig_close(&r);
}

/* Hazard 5: what is sent again waits rather than takes the chunks that ACKs come in by. */
static void tcp_output__copies_stay_above_low_water(void **state)
{
	struct fbuf *first;
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	rig_write(&r, rig_pattern(), 100);
	first = fbuf_queue_pop(&r.h.ip.port[0].out); /* the provider has it still */
	r.h.pinned.low_water = r.h.pinned.n_free;
	rig_wait(&r, FS_SEC(1));
	rig_no_out(&r);
	assert_int_equal(r.h.pinned.n_free, r.h.pinned.low_water);
	r.h.pinned.low_water = 0;
	rig_wait(&r, FS_SEC(1));
	expect_data(&r, 0, 100, TCP_PSH);
	rig_drain(&r);
	fbuf_free(first);
	trig_close(&r);
}

static void tcp_output__free_segment_is_not_copied(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	rig_write(&r, rig_pattern(), 100);
	expect_data(&r, 0, 100, TCP_PSH);
	rig_wait(&r, FS_MS(210));
	expect_data(&r, 0, 100, TCP_PSH);
	assert_int_equal(rig_counter(&r, FS_CTR_tcp_retransmit_copies), 0);
	assert_true(rig_counter(&r, FS_CTR_tcp_retransmitted) > 0);
	rig_drain(&r);
	trig_close(&r);
}

/* Retransmissions go before new data. */
static void tcp_output__lost_first(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_plain);
	set_options(&r, no_delay);
	rig_write(&r, rig_pattern(), 10 * 1460);
	rig_drain(&r);
	rig_write(&r, rig_pattern() + 10 * 1460, 4 * 1460); /* no room */
	rig_no_out(&r);
	for (unsigned i = 0; i < 3; i++)
		rig_seg_in(&r, (struct rig_seg){ .ack = 1460 });
	rig_drain(&r);
	rig_seg_in(&r, (struct rig_seg){ .ack = 1460 });
	expect_data(&r, 1460, 1460, 0);
	rig_drain(&r);
	trig_close(&r);
}

/* --- for local reasons --- */

static void tcp_output__no_route_for_a_while(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	ip_dst_flush(&r.h.ip);
	r.no_route = true;
	assert_int_equal(rig_write(&r, rig_pattern(), 100), 100);
	rig_no_out(&r);
	assert_int_equal(rig_counter(&r, FS_CTR_tcp_blocked), 1);
	rig_wait(&r, FS_MS(50));
	rig_no_out(&r);
	assert_true(rig_counter(&r, FS_CTR_tcp_blocked) > 3);
	assert_true(rig_counter(&r, FS_CTR_tcp_blocked) < 10);
	r.no_route = false;
	rig_wait(&r, FS_MS(100));
	expect_data(&r, 0, 100, TCP_PSH);
	assert_false(tcp_has(r.c, TCP_CONN_DST_BLOCKED));
	trig_close(&r);
}

static void tcp_output__no_neighbour_for_a_while(void **state)
{
	static const struct eth_addr mac = { { 2, 0, 0, 0, 0, 2 } };
	struct ip_addr peer;
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	peer = trig_peer(&r);
	neigh_learn(&r.h.ip.neigh, 0, &peer, NULL, NEIGH_FAILED, r.now);
	rig_write(&r, rig_pattern(), 100);
	rig_no_out(&r);
	neigh_learn(&r.h.ip.neigh, 0, &peer, &mac, NEIGH_VALID, r.now);
	rig_wait(&r, FS_MS(2));
	expect_data(&r, 0, 100, TCP_PSH);
	trig_close(&r);
}

static void tcp_output__queue_full_for_a_while(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	r.h.ip.port[0].out.frames = IP_OUT_LIMIT;
	rig_write(&r, rig_pattern(), 2 * MSS);
	assert_int_equal(r.h.ip.port[0].out.frames, IP_OUT_LIMIT);
	r.h.ip.port[0].out.frames = 0;
	rig_wait(&r, FS_MS(2));
	expect_data(&r, 0, MSS, 0);
	expect_data(&r, MSS, MSS, TCP_PSH);
	trig_close(&r);
}

/* An ACK that found no frame is sent later. */
static void tcp_send_ack__no_frame_for_a_while(void **state)
{
	struct fbuf *taken[512];
	struct tcp_rig r;
	unsigned n = 0;

	trig_open_sized(&r, &(struct rig_sizes){ 64, 64, RIG_CHUNK });
	rig_establish(&r, &rig_modern);
	rig_seg_part(&r, (struct rig_seg){ .data = rig_pattern(), .len = 100 });
	while ((taken[n] = fbuf_alloc(r.h.pinned.n_free ? &r.h.pinned : &r.h.payload)) != NULL)
		n++;
	rig_burst_end(&r);
	rig_no_out(&r);
	while (n > 0)
		fbuf_free(taken[--n]);
	rig_wait(&r, FS_MS(2));
	rig_ack_out(&r, 100);
	trig_close(&r);
}

/* A SYN that could not leave does not wait for its timeout. */
static void tcp_send_syn__blocked(void **state)
{
	struct tcp_rig r;

	trig_open(&r);
	r.h.ip.port[0].out.frames = IP_OUT_LIMIT;
	assert_int_equal(trig_connect(&r), 0);
	r.h.ip.port[0].out.frames = 0;
	rig_wait(&r, FS_MS(2));
	assert_int_equal(rig_one_out(&r)->h.flags, TCP_SYN);
	assert_int_equal(r.c->retransmits, 0);
	trig_close(&r);
}

/* --- FIN --- */

static void tcp_output__fin_with_the_last_data(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	rig_write(&r, rig_pattern(), 10);
	rig_drain(&r);
	rig_write(&r, rig_pattern() + 10, 5); /* Nagle */
	tcp_shutdown(r.c, &r.h.env, TCP_SHUT_WR, r.now);
	expect_data(&r, 10, 5, TCP_PSH | TCP_FIN);
	assert_int_equal(r.c->snd_nxt, r.iss + 1 + 16);
	/* So it goes again. */
	rig_wait(&r, FS_MS(500));
	expect_data(&r, 10, 5, TCP_PSH | TCP_FIN);
	rig_drain(&r);
	rig_seg_in(&r, (struct rig_seg){ .ack = 16 });
	assert_int_equal(r.c->state, TCP_FIN_WAIT2);
	trig_close(&r);
}

static void tcp_output__fin_alone(void **state)
{
	struct rig_sent *s;
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	tcp_shutdown(r.c, &r.h.env, TCP_SHUT_WR, r.now);
	s = rig_one_out(&r);
	assert_int_equal(s->h.flags, TCP_ACK | TCP_FIN);
	assert_int_equal(s->h.seq, 0);
	rig_wait(&r, FS_MS(210));
	s = rig_one_out(&r);
	assert_int_equal(s->h.flags, TCP_ACK | TCP_FIN);
	assert_int_equal(s->h.seq, 0);
	assert_int_equal(rig_counter(&r, FS_CTR_tcp_retransmitted), 1);
	trig_close(&r);
}

/* RACK's timer may run still for data that are acked by now: it looks after no FIN. */
static void tcp_output__fin_has_a_timer_of_its_own(void **state)
{
	struct rig_sent s;
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	rig_write(&r, rig_pattern(), 100);
	rig_drain(&r);
	rig_seg_in(&r, (struct rig_seg){ .ack = 100 });
	r.c->due[TCP_TIMER_LOSS] = r.now + FS_MS(50);
	r.c->loss_timer = TCP_LOSS_TIMER_REORDER;
	assert_int_equal(tcp_shutdown(r.c, &r.h.env, TCP_SHUT_WR, r.now), 0);
	rig_drain(&r);
	rig_wait(&r, FS_SEC(2));
	assert_true(rig_out(&r, &s));
	assert_true(s.h.flags & TCP_FIN);
	rig_drain(&r);
	trig_close(&r);
}

/* The FIN needs room in the peer's window as a byte does. */
static void tcp_output__fin_waits_for_the_window(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_plain);
	rig_write(&r, rig_pattern(), 100);
	rig_drain(&r);
	rig_seg_in(&r, (struct rig_seg){ .ack = 100, .window = 1 }); /* none, that is */
	tcp_shutdown(r.c, &r.h.env, TCP_SHUT_WR, r.now);
	rig_no_out(&r);
	rig_seg_in(&r, (struct rig_seg){ .ack = 100, .window = 500 });
	assert_int_equal(rig_one_out(&r)->h.flags, TCP_ACK | TCP_FIN);
	trig_close(&r);
}

/* --- ECN --- */

static const struct rig_offer ecn_offer = { .ts = true, .sack = true, .wscale = true, .shift = 7, .mss = 1460, .ecn = true };

/* T3168-2: ECT on new data only. T3168-3: CWR once, on new data. */
static void tcp_output__ecn(void **state)
{
	struct rig_sent s;
	struct tcp_rig r;

	trig_open(&r);
	r.tcp.config.ecn = 1;
	rig_establish(&r, &ecn_offer);
	assert_true(tcp_has(r.c, TCP_CONN_ECN));
	set_options(&r, no_delay);
	rig_write(&r, rig_pattern(), 10);
	assert_true(rig_out(&r, &s));
	assert_int_equal(s.tos, 2);
	rig_wait(&r, FS_SEC(1));
	assert_true(rig_out(&r, &s)); /* again */
	assert_int_equal(s.tos, 0);
	rig_drain(&r);
	rig_seg_in(&r, (struct rig_seg){ .ack = 10 });
	r.c->flags |= TCP_CONN_CWR_PENDING;
	rig_write(&r, rig_pattern() + 10, 10);
	assert_true(rig_out(&r, &s));
	assert_int_equal(s.h.flags, TCP_ACK | TCP_PSH | TCP_CWR);
	rig_write(&r, rig_pattern() + 20, 10);
	assert_true(rig_out(&r, &s));
	assert_int_equal(s.h.flags, TCP_ACK | TCP_PSH);
	/* Marks are echoed on everything until CWR comes; a bare ACK is not ECT. */
	rig_seg_in(&r, (struct rig_seg){ .ack = 30, .data = rig_pattern(), .len = 10, .ce = true });
	rig_wait(&r, FS_MS(300));
	assert_true(rig_out(&r, &s));
	assert_int_equal(s.h.flags, TCP_ACK | TCP_ECE);
	assert_int_equal(s.tos, 0);
	rig_write(&r, rig_pattern() + 30, 10);
	assert_true(rig_out(&r, &s));
	assert_int_equal(s.h.flags, TCP_ACK | TCP_PSH | TCP_ECE);
	trig_close(&r);
}

static void styled(struct tcp_options *o)
{
	o->style[0].tos = 0xb8;
	o->style[0].hop_limit = 5;
}

static void tcp_output__tos_and_hop_limit(void **state)
{
	uint8_t ip[20];
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	set_options(&r, styled);
	rig_write(&r, rig_pattern(), 10);
	assert_int_equal(fbuf_copy_out(r.h.ip.port[0].out.head, 14, ip, 20), 20);
	assert_int_equal(ip[1], 0xb8);
	assert_int_equal(ip[8], 5);
	assert_int_equal(csum_fold(csum_inline(ip, 20)), 0xffff);
	trig_close(&r);
}

/* --- single segments --- */

/* RFC 2018 3: blocks behind timestamps, as Linux lays them out; three fit then. */
static void tcp_send_ack__sack_blocks(void **state)
{
	uint8_t got[60], want[28] = { 1, 1, 5, 26 };
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	for (uint32_t i = 1; i <= 4; i++) {
		rig_drain(&r);
		rig_seg_in(&r, (struct rig_seg){ .seq = i * 1000, .data = rig_pattern(), .len = 100 });
	}
	for (uint32_t i = 0; i < 3; i++) { /* the newest first */
		be32_store(want + 4 + 8 * i, r.irs + 1 + (4 - i) * 1000);
		be32_store(want + 8 + 8 * i, r.irs + 1 + (4 - i) * 1000 + 100);
	}
	peek_tcp(&r, got, 60);
	assert_memory_equal(got + 20, ((const uint8_t[]){ 1, 1, 8, 10 }), 4);
	assert_memory_equal(got + 32, want, 28);
	assert_int_equal(got[12] >> 4, 15);
	rig_drain(&r);
	trig_close(&r);
}

/* Data do not carry blocks: they leave with an ACK of their own. */
static void tcp_output__sack_beside_data(void **state)
{
	struct rig_sent s;
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	rig_seg_part(&r, (struct rig_seg){ .seq = 1000, .data = rig_pattern(), .len = 100 });
	rig_write(&r, rig_pattern(), 10);
	assert_true(rig_out(&r, &s));
	assert_int_equal(s.len, 10);
	assert_int_equal(s.h.n_sack, 0);
	rig_burst_end(&r);
	assert_true(rig_out(&r, &s));
	assert_int_equal(s.len, 0);
	assert_int_equal(s.h.n_sack, 1);
	trig_close(&r);
}

/* Data carry the ACK that is owed: none goes alone. */
static void tcp_output__ack_rides_on_data(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	rig_seg_part(&r, (struct rig_seg){ .data = rig_pattern(), .len = 100, .flags = TCP_ACK | TCP_PSH });
	rig_write(&r, rig_pattern(), 10);
	assert_int_equal(expect_data(&r, 0, 10, TCP_PSH)->h.ack, 100);
	rig_burst_end(&r);
	rig_no_out(&r);
	rig_wait(&r, FS_MS(190));
	rig_no_out(&r);
	trig_close(&r);
}

static void tcp_send_reset__numbers(void **state)
{
	struct rig_sent *s;
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	rig_write(&r, rig_pattern(), 100);
	rig_seg_in(&r, (struct rig_seg){ .data = rig_pattern(), .len = 7 });
	rig_drain(&r);
	tcp_abort(r.c, &r.h.env, r.now);
	r.c = NULL;
	s = rig_rst_out(&r);
	assert_int_equal(s->h.flags, TCP_RST | TCP_ACK);
	assert_int_equal(s->h.seq, 100);
	assert_int_equal(s->h.ack, 7);
	assert_int_equal(rig_counter(&r, FS_CTR_tcp_resets_out), 1);
	trig_close(&r);
}

/* The peer took its window back: a number within what is left of it, or nobody looks at the segment. */
static void tcp_send_reset__number_within_the_window(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_plain);
	rig_write(&r, rig_pattern(), 3000);
	rig_drain(&r);
	rig_seg_in(&r, (struct rig_seg){ .ack = 1460, .window = 500 });
	tcp_abort(r.c, &r.h.env, r.now);
	r.c = NULL;
	assert_int_equal(rig_rst_out(&r)->h.seq, 1960);
	trig_close(&r);
}

/* T5961-4: a budget of the connection's own. */
static void tcp_send_challenge__budget(void **state)
{
	unsigned sent = 0;
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	for (unsigned i = 0; i < 20; i++) {
		struct rig_sent s;

		rig_seg_in(&r, (struct rig_seg){ .seq = 5, .flags = TCP_RST });
		while (rig_out(&r, &s)) {
			assert_int_equal(s.h.flags, TCP_ACK);
			sent++;
		}
	}
	assert_int_equal(sent, r.tcp.config.challenge_per_s);
	assert_int_equal(rig_counter(&r, FS_CTR_tcp_challenges), sent);
	assert_int_equal(rig_counter(&r, FS_CTR_tcp_challenges_held), 20 - sent);
	rig_wait(&r, FS_MS(1100));
	rig_seg_in(&r, (struct rig_seg){ .seq = 5, .flags = TCP_RST });
	rig_ack_out(&r, 0);
	trig_close(&r);
}

/* RFC 8985 7.3: the probe is new data if there are some, even beyond the congestion window; or the last segment. */
static void tcp_probe_tail__new_or_last(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	rig_write(&r, rig_pattern(), 3 * MSS);
	rig_drain(&r);
	rig_wait(&r, FS_MS(10)); /* 2 SRTT and some */
	expect_data(&r, 2 * MSS, MSS, TCP_PSH);
	assert_int_equal(rig_counter(&r, FS_CTR_tcp_tail_probes), 1);
	rig_no_out(&r);
	trig_close(&r);
	rig_connected(&r, &rig_modern);
	rig_write(&r, rig_pattern(), 11 * MSS);
	rig_drain(&r);
	rig_wait(&r, FS_MS(10));
	expect_data(&r, 10 * MSS, MSS, TCP_PSH);
	rig_no_out(&r);
	trig_close(&r);
}

/* The path may have become narrower since: what the override sends is cut for the one that is used. */
static void tcp_push_partial__after_the_path_became_narrower(void **state)
{
	struct rig_sent s;
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	r.c->snd_wnd = 1000; /* of at most 65535: too little to bother */
	rig_write(&r, rig_pattern(), 5000);
	rig_no_out(&r);
	r.c->dst->mtu = 600; /* which is seen with the next look at it */
	ip_dst_put(&r.h.ip, r.c->dst);
	r.c->dst = NULL;
	while (!rig_out(&r, &s))
		rig_wait(&r, FS_MS(100));
	assert_in_range(s.len, 1, 600 - 40 - 12);
	rig_drain(&r);
	trig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_send_syn__options),
		cmocka_unit_test(tcp_send_syn__ipv6),
		cmocka_unit_test(tcp_send_syn__ecn_until_a_timeout),
		cmocka_unit_test(tcp_output__congestion_window),
		cmocka_unit_test(tcp_output__peers_window),
		cmocka_unit_test(tcp_output__window_taken_back),
		cmocka_unit_test(tcp_output__restart_after_idle),
		cmocka_unit_test(tcp_output__pacing),
		cmocka_unit_test(tcp_output__super_frame),
		cmocka_unit_test(tcp_output__super_frame_takes_no_pinned_chunks),
		cmocka_unit_test(tcp_output__super_frame_limits),
		cmocka_unit_test(tcp_output__super_frame_waits),
		cmocka_unit_test(tcp_output__super_frame_does_not_wait),
		cmocka_unit_test(tcp_output__paced_super_frames),
		cmocka_unit_test(tcp_output__no_super_frame_of_urgent_data),
		cmocka_unit_test(tcp_output__part_of_a_super_frame_again),
		cmocka_unit_test(tcp_output__shared_segment_is_copied),
		cmocka_unit_test(tcp_output__copies_stay_above_low_water),
		cmocka_unit_test(tcp_output__free_segment_is_not_copied),
		cmocka_unit_test(tcp_output__lost_first),
		cmocka_unit_test(tcp_output__no_route_for_a_while),
		cmocka_unit_test(tcp_output__no_neighbour_for_a_while),
		cmocka_unit_test(tcp_output__queue_full_for_a_while),
		cmocka_unit_test(tcp_send_ack__no_frame_for_a_while),
		cmocka_unit_test(tcp_send_syn__blocked),
		cmocka_unit_test(tcp_output__fin_with_the_last_data),
		cmocka_unit_test(tcp_output__fin_alone),
		cmocka_unit_test(tcp_output__fin_has_a_timer_of_its_own),
		cmocka_unit_test(tcp_output__fin_waits_for_the_window),
		cmocka_unit_test(tcp_output__ecn),
		cmocka_unit_test(tcp_output__tos_and_hop_limit),
		cmocka_unit_test(tcp_send_ack__sack_blocks),
		cmocka_unit_test(tcp_output__sack_beside_data),
		cmocka_unit_test(tcp_output__ack_rides_on_data),
		cmocka_unit_test(tcp_send_reset__numbers),
		cmocka_unit_test(tcp_send_reset__number_within_the_window),
		cmocka_unit_test(tcp_send_challenge__budget),
		cmocka_unit_test(tcp_probe_tail__new_or_last),
		cmocka_unit_test(tcp_push_partial__after_the_path_became_narrower),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
