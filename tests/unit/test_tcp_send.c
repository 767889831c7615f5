/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_tcp_send.c - writes become segments: bytes, sums, sizes, marks, limits of the buffer, where memory comes from.
 */
#include "tcp_rig.h"

#include <errno.h>

enum { MSS = 1448, MSS_V6 = 1428 }; /* of an Ethernet path, timestamps taken off */

/* The oldest frame that waits, whole. Its length. */
static uint32_t peek_frame(const struct tcp_rig *r, uint8_t *bytes, uint32_t room)
{
	const struct fbuf *frame = r->h.ip.port[0].out.head;

	assert_non_null(frame);
	return fbuf_copy_out(frame, 0, bytes, room);
}

/* @s as it must lie on the wire, link header included. */
static size_t build_frame(const struct tcp_rig *r, const struct tcp_hdr *h, const void *data, size_t len, uint8_t *to)
{
	struct rig_frame f = { 0 };
	struct eth_hdr eth = { .src = r->h.mac, .dst = { { 2, 0, 0, 0, 0, 2 } },
			       .type = r->v6 ? ETH_TYPE_IPV6 : ETH_TYPE_IPV4 };
	struct rig_datagram d = { .src = trig_self(r), .dst = trig_peer(r), .protocol = WIRE_PROTO_TCP };
	size_t hdr_len = tcp_emit_len(h);
	be16_t field;

	f.l3 = eth_emit(&eth, f.bytes, 64);
	rig_put_ip(&f, &d, hdr_len + len);
	tcp_emit(h, f.bytes + f.l4, TCP_MAX_HDR_LEN);
	memcpy(f.bytes + f.l4 + hdr_len, data, len);
	field = csum_finish(csum_add(csum_pseudo(&d.src, &d.dst, WIRE_PROTO_TCP, (uint32_t)(hdr_len + len)),
				     csum_inline(f.bytes + f.l4, hdr_len + len)));
	memcpy(f.bytes + f.l4 + 16, &field, 2);
	memcpy(to, f.bytes, f.l4 + hdr_len + len);
	return f.l4 + hdr_len + len;
}

/* What the next segment of data says, but for its payload. */
static struct tcp_hdr header_now(const struct tcp_rig *r, tcp_seq seq, uint16_t flags)
{
	return (struct tcp_hdr){
		.src_port = TRIG_PORT, .dst_port = TRIG_PEER_PORT, .seq = seq, .ack = r->c->rcv_nxt, .flags = flags,
		.window = (uint16_t)(r->c->rcv_wnd >> r->c->rcv_wscale),
		.options = r->ts ? TCP_HAS_TIMESTAMP : 0, .ts_val = tcp_ts_now(r->c, r->now),
		.ts_ecr = r->c->ts_recent,
	};
}

static void expect_wire(bool v6, const struct rig_offer *offer, uint32_t len)
{
	uint8_t want[RIG_MTU + 14], got[RIG_MTU + 14];
	struct tcp_hdr h;
	struct tcp_rig r;
	size_t want_len;

	trig_open(&r);
	r.v6 = v6;
	rig_establish(&r, offer);
	assert_int_equal(rig_write(&r, rig_pattern(), len), len);
	h = header_now(&r, r.iss + 1, TCP_ACK | TCP_PSH);
	want_len = build_frame(&r, &h, rig_pattern(), len, want);
	assert_int_equal(peek_frame(&r, got, sizeof(got)), want_len);
	assert_memory_equal(got, want, want_len);
	assert_int_equal(r.h.ip.port[0].out.head->csum, FBUF_CSUM_UNKNOWN);
	assert_int_equal(r.h.ip.port[0].out.head->l3_offset, 14);
	trig_close(&r);
}

static void tcp_send__bytes_on_the_wire(void **state)
{
	for (unsigned i = 0; i < 2; i++) {
		expect_wire(i, &rig_modern, 64);
		expect_wire(i, &rig_modern, 1);
		expect_wire(i, &rig_modern, 1401);
		expect_wire(i, &rig_plain, 64);
		expect_wire(i, &rig_plain, 1440);
	}
}

static ssize_t write_flags(struct tcp_rig *r, const void *bytes, size_t len, uint32_t flags)
{
	struct iovec iov = { (void *)(uintptr_t)bytes, len };

	return tcp_send(r->c, &r->h.env, &iov, 1, flags, r->now);
}

/* The peer says nothing new but another window: what may go goes. */
static void nudge(struct tcp_rig *r)
{
	static uint16_t window = 30000;

	rig_seg_in(r, (struct rig_seg){ .ack = r->c->snd_una - r->iss - 1, .window = ++window });
}

static void set_options(struct tcp_rig *r, void (*change)(struct tcp_options *o))
{
	struct tcp_options o = *tcp_get_options(r->c);

	change(&o);
	assert_int_equal(tcp_set_options(r->c, &r->h.env, &o, r->now), 0);
}

/* The next segment out is @len bytes of the pattern from @at, with these flags beside ACK; its checksum holds. */
static void expect_data(struct tcp_rig *r, uint32_t at, uint32_t len, uint16_t flags)
{
	struct rig_sent s;
	uint8_t bytes[RIG_FRAME_MAX];
	const struct fbuf *frame = r->h.ip.port[0].out.head;
	struct packet p;

	assert_non_null(frame);
	if (frame->csum == FBUF_CSUM_UNKNOWN) {
		uint32_t n = peek_frame(r, bytes, sizeof(bytes));

		assert_int_equal(packet_parse(&p, bytes, n, n), PACKET_OK);
		assert_true(csum_is_valid(csum_add(csum_pseudo(&p.src, &p.dst, WIRE_PROTO_TCP, p.l4_len),
						   csum_inline(bytes + p.l4_offset, p.l4_len))));
	}
	assert_true(rig_out(r, &s));
	assert_int_equal(s.h.seq, at);
	assert_int_equal(s.len, len);
	assert_memory_equal(s.data, rig_pattern() + at, len);
	assert_int_equal(s.h.flags, TCP_ACK | flags);
}

/* Pieces of odd lengths, from many places, across segments. */
static void tcp_send__gathers_odd_pieces(void **state)
{
	struct tcp_rig r;
	struct iovec iov[20];
	size_t total = 0;

	rig_connected(&r, &rig_modern);
	for (unsigned i = 0; i < FS_ARRAY_SIZE(iov); i++) {
		size_t len = i % 4 == 3 ? 0 : 2 * i * i + 1; /* nothing now and then */

		iov[i] = (struct iovec){ (void *)(uintptr_t)(rig_pattern() + total), len };
		total += len;
	}
	assert_true(total > 2 * MSS && total < 4 * MSS);
	assert_int_equal(tcp_send(r.c, &r.h.env, iov, FS_ARRAY_SIZE(iov), 0, r.now), total);
	for (size_t at = 0; at < total; at += MSS) {
		bool last = total - at <= MSS;

		expect_data(&r, (uint32_t)at, last ? (uint32_t)(total - at) : MSS, last ? TCP_PSH : 0);
	}
	rig_no_out(&r);
	trig_close(&r);
}

/* RFC 9293 3.9.1.2, MUST-61: pushed where a write ends, and full before. */
static void tcp_send__full_segments_and_psh_on_the_last(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	assert_int_equal(rig_write(&r, rig_pattern(), 3 * MSS + 10), 3 * MSS + 10);
	for (unsigned i = 0; i < 3; i++)
		expect_data(&r, i * MSS, MSS, 0);
	expect_data(&r, 3 * MSS, 10, TCP_PSH);
	rig_no_out(&r);
	assert_int_equal(rig_write(&r, rig_pattern(), 0), 0);
	rig_no_out(&r);
	trig_close(&r);
}

/* The provider sums: bytes are copied only, and the field holds the pseudo-header's sum. */
static void tcp_send__partial_checksum(void **state)
{
	struct ip_addr self, peer;
	uint8_t bytes[256];
	struct tcp_rig r;
	be16_t field;

	rig_connected(&r, &rig_modern);
	r.h.ip.port[0].tx_csum_partial = true;
	assert_int_equal(rig_write(&r, rig_pattern(), 100), 100);
	assert_int_equal(r.h.ip.port[0].out.head->csum, FBUF_CSUM_PARTIAL);
	assert_int_equal(peek_frame(&r, bytes, sizeof(bytes)), 14 + 20 + 32 + 100);
	self = trig_self(&r);
	peer = trig_peer(&r);
	field = csum_partial(csum_pseudo(&self, &peer, WIRE_PROTO_TCP, 132));
	assert_memory_equal(bytes + 14 + 20 + 16, &field, 2);
	assert_false(tcp_seg(r.c->first)->marks & TCP_SEG_SUMMED);
	/* It is sent again through a port that does not: the sum is taken then. */
	rig_drain(&r);
	r.h.ip.port[0].tx_csum_partial = false;
	rig_wait(&r, FS_MS(1500));
	expect_data(&r, 0, 100, TCP_PSH);
	rig_drain(&r);
	trig_close(&r);
}

/* SHLD-7, SHLD-27: what Nagle holds back goes into one segment, and leaves with the ACK. */
static void tcp_send__nagle(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	rig_write(&r, rig_pattern(), 10);
	expect_data(&r, 0, 10, TCP_PSH);
	rig_write(&r, rig_pattern() + 10, 20);
	rig_write(&r, rig_pattern() + 30, 31);
	rig_write(&r, rig_pattern() + 61, 7);
	rig_no_out(&r);
	assert_int_equal(r.c->n_segs, 2);
	rig_seg_in(&r, (struct rig_seg){ .ack = 10 });
	expect_data(&r, 10, 58, TCP_PSH);
	/* A full segment is not held back; what follows it is. */
	rig_write(&r, rig_pattern() + 68, MSS + 5);
	expect_data(&r, 68, MSS, 0);
	rig_no_out(&r);
	rig_seg_in(&r, (struct rig_seg){ .ack = 68 + MSS });
	expect_data(&r, 68 + MSS, 5, TCP_PSH);
	rig_no_out(&r);
	trig_close(&r);
}

/* Minshall: only a segment that is not full holds the next one back. */
static void tcp_send__full_segments_do_not_hold_back(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	rig_write(&r, rig_pattern(), MSS);
	expect_data(&r, 0, MSS, TCP_PSH);
	rig_write(&r, rig_pattern() + MSS, 5);
	expect_data(&r, MSS, 5, TCP_PSH);
	rig_write(&r, rig_pattern() + MSS + 5, 5);
	rig_no_out(&r);
	trig_close(&r);
}

static void no_delay(struct tcp_options *o)
{
	o->nodelay = true;
}

static void corked(struct tcp_options *o)
{
	o->cork = true;
}

static void uncorked(struct tcp_options *o)
{
	o->cork = false;
}

/* MUST-17; switching it on pushes what waits. */
static void tcp_send__nodelay(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	rig_write(&r, rig_pattern(), 10);
	expect_data(&r, 0, 10, TCP_PSH);
	rig_write(&r, rig_pattern() + 10, 10);
	rig_no_out(&r);
	set_options(&r, no_delay);
	rig_burst_end(&r);
	expect_data(&r, 10, 10, TCP_PSH);
	rig_write(&r, rig_pattern() + 20, 10);
	expect_data(&r, 20, 10, TCP_PSH);
	trig_close(&r);
}

static void tcp_send__more(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	assert_int_equal(write_flags(&r, rig_pattern(), 10, TCP_SEND_MORE), 10);
	rig_no_out(&r);
	assert_int_equal(write_flags(&r, rig_pattern() + 10, MSS, TCP_SEND_MORE), MSS);
	expect_data(&r, 0, MSS, 0);
	rig_no_out(&r);
	rig_write(&r, rig_pattern() + MSS + 10, 5);
	expect_data(&r, MSS, 15, TCP_PSH);
	/* Nobody says what is more: it leaves in the end (MUST-60). */
	rig_seg_in(&r, (struct rig_seg){ .ack = MSS + 15 });
	write_flags(&r, rig_pattern() + MSS + 15, 3, TCP_SEND_MORE);
	rig_wait(&r, FS_MS(199));
	rig_no_out(&r);
	rig_wait(&r, FS_MS(10));
	expect_data(&r, MSS + 15, 3, TCP_PSH);
	trig_close(&r);
}

static void tcp_send__cork(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	set_options(&r, corked);
	rig_write(&r, rig_pattern(), MSS + 10);
	expect_data(&r, 0, MSS, 0);
	rig_seg_in(&r, (struct rig_seg){ .ack = MSS });
	rig_no_out(&r);
	set_options(&r, uncorked);
	rig_burst_end(&r);
	expect_data(&r, MSS, 10, TCP_PSH);
	trig_close(&r);
}

/* A buffer that is full refuses; it tells when a third is free, not before. */
static void tcp_send__full_buffer(void **state)
{
	struct tcp_rig r;
	uint32_t sent = 0, acked;
	ssize_t n;

	rig_connected(&r, &rig_modern);
	r.c->options.sndbuf = r.c->sndbuf = 40000;
	r.tcp.config.initial_cwnd = 100;
	assert_true(tcp_ready(r.c) & TCP_READY_OUT);
	while ((n = rig_write(&r, rig_pattern() + sent, 1000)) > 0)
		sent += (uint32_t)n;
	assert_int_equal(n, -EAGAIN);
	assert_in_range(sent, 30000, 40000);
	assert_false(tcp_ready(r.c) & TCP_READY_OUT);
	r.edges = 0;
	for (acked = MSS; !(r.edges & TCP_READY_OUT); acked += MSS) {
		assert_true(acked < sent);
		rig_drain(&r);
		assert_false(tcp_ready(r.c) & TCP_READY_OUT);
		rig_seg_in(&r, (struct rig_seg){ .ack = acked });
	}
	assert_true(tcp_ready(r.c) & TCP_READY_OUT);
	assert_in_range(r.c->snd_charge, 40000 / 2, 40000 / 3 * 2 + 1);
	rig_drain(&r);
	trig_close(&r);
}

/* Whoever polls a buffer that is nearly full, though no write was refused, is told as well. */
static void tcp_send__poll_without_refusal(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	r.c->options.sndbuf = r.c->sndbuf = 10000;
	assert_int_equal(rig_write(&r, rig_pattern(), 7000), 7000);
	assert_false(tcp_ready(r.c) & TCP_READY_OUT);
	rig_drain(&r);
	rig_seg_in(&r, (struct rig_seg){ .ack = 7000 });
	assert_true(r.edges & TCP_READY_OUT);
	trig_close(&r);
}

/* The buffer grows with the congestion window when it was what held the writer back. */
static void tcp_send__buffer_follows_the_window(void **state)
{
	struct tcp_rig r;
	uint32_t before;

	trig_open_sized(&r, &(struct rig_sizes){ 512, 512, RIG_CHUNK });
	rig_establish(&r, &rig_modern);
	before = r.c->sndbuf;
	assert_in_range(before, 2 * 10 * MSS, 3 * 10 * MSS);
	r.tcp.config.sndbuf[2] = 400000;
	for (uint32_t i = 1; i < 4; i++) {
		static const uint32_t cwnd[] = { 0, 100, 1000000, 10 };
		uint32_t una = r.c->snd_una - r.iss - 1;

		while (rig_write(&r, rig_pattern(), 60000) > 0)
			rig_drain(&r);
		r.c->cc.cwnd = cwnd[i];
		rig_seg_in(&r, (struct rig_seg){ .ack = una + MSS });
		rig_drain(&r);
		if (i == 1)
			assert_in_range(r.c->sndbuf, 200 * MSS, 300 * MSS);
		else
			assert_int_equal(r.c->sndbuf, r.tcp.config.sndbuf[2]);
		rig_seg_in(&r, (struct rig_seg){ .ack = r.c->snd_nxt - r.iss - 1 });
		rig_drain(&r);
	}
	trig_close(&r);
}

static void small_buffer(struct tcp_options *o)
{
	o->sndbuf = 9000;
}

/* What its user said stands. */
static void tcp_send__buffer_of_the_user(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	set_options(&r, small_buffer);
	while (rig_write(&r, rig_pattern(), 1000) > 0)
		;
	r.c->cc.cwnd = 100;
	rig_drain(&r);
	rig_seg_in(&r, (struct rig_seg){ .ack = MSS });
	assert_int_equal(r.c->sndbuf, 9000);
	rig_drain(&r);
	trig_close(&r);
}

static void lowat(struct tcp_options *o)
{
	o->notsent_lowat = 4000;
}

/* TCP_NOTSENT_LOWAT: what is not sent is bounded, whatever the buffer holds. */
static void tcp_send__notsent_lowat(void **state)
{
	struct tcp_rig r;
	uint32_t sent = 0;
	ssize_t n;

	rig_connected(&r, &rig_modern);
	set_options(&r, lowat);
	while ((n = rig_write(&r, rig_pattern() + sent, 100)) > 0)
		sent += (uint32_t)n;
	assert_int_equal(n, -EAGAIN);
	assert_in_range(tcp_outq_unsent(r.c), 4000, 4000 + MSS);
	assert_false(tcp_ready(r.c) & TCP_READY_OUT);
	rig_drain(&r);
	r.edges = 0;
	rig_seg_in(&r, (struct rig_seg){ .ack = MSS });
	rig_drain(&r);
	assert_true(r.edges & TCP_READY_OUT);
	trig_close(&r);
}

/* Hazard 5: the pinned pool keeps its low water, and pieces of the payload pool leave in full frames. */
static void tcp_send__payload_pool(void **state)
{
	struct tcp_rig r;
	uint32_t before;

	trig_open_sized(&r, &(struct rig_sizes){ 64, 64, RIG_CHUNK });
	rig_establish(&r, &rig_modern);
	r.h.payload.chunk_size = 512; /* chunks are as far apart as before, and shorter */
	r.h.pinned.low_water = r.h.pinned.n_free;
	before = r.h.pinned.n_free;
	assert_int_equal(rig_write(&r, rig_pattern(), 2 * MSS + 100), 2 * MSS + 100);
	assert_int_equal(r.h.pinned.n_free, before);
	assert_int_equal(tcp_seg(r.c->first)->len, 384);
	r.h.ip.port[0].max_parts = 8;
	rig_drain(&r);
	/* Chains need a port that takes them; without, each piece is a frame. */
	rig_wait(&r, FS_MS(2000));
	rig_drain(&r);
	rig_seg_in(&r, (struct rig_seg){ .ack = 2 * MSS + 100 });
	assert_null(r.c->first);
	r.c->cc.cwnd = 10;
	assert_int_equal(rig_write(&r, rig_pattern() + 2 * MSS + 100, 2 * 1152), 2 * 1152);
	expect_data(&r, 2 * MSS + 100, 3 * 384, 0);
	expect_data(&r, 2 * MSS + 100 + 3 * 384, 3 * 384, TCP_PSH);
	rig_no_out(&r);
	trig_close(&r);
}

/* What is kept for ACKs gives one segment to who has none under way, so that nobody waits for ever; and not its last. */
static void tcp_send__first_segment_goes_below_low_water(void **state)
{
	struct fbuf *taken[64];
	struct tcp_rig r;
	uint32_t before;
	unsigned n = 0;

	trig_open_sized(&r, &(struct rig_sizes){ 32, 16, RIG_CHUNK });
	rig_establish(&r, &rig_modern);
	while ((taken[n] = fbuf_alloc(&r.h.payload)) != NULL)
		n++;
	before = r.h.pinned.n_free;
	r.h.pinned.low_water = 4 * before;
	assert_int_equal(rig_write(&r, rig_pattern(), 10), -ENOMEM);
	r.h.pinned.low_water = before;
	assert_int_equal(rig_write(&r, rig_pattern(), 10), 10);
	assert_true(r.h.pinned.n_free < before);
	rig_drain(&r);
	assert_int_equal(rig_write(&r, rig_pattern(), 10), -EAGAIN); /* the ACK of that will give it back */
	rig_seg_in(&r, (struct rig_seg){ .ack = 10 });
	assert_int_equal(rig_write(&r, rig_pattern() + 10, 10), 10);
	r.h.pinned.low_water = 0;
	while (n > 0)
		fbuf_free(taken[--n]);
	rig_drain(&r);
	trig_close(&r);
}

static void tcp_send__no_memory(void **state)
{
	struct tcp_rig r;
	struct fbuf *taken[64];
	unsigned n = 0;

	trig_open_sized(&r, &(struct rig_sizes){ 32, 16, RIG_CHUNK });
	rig_establish(&r, &rig_modern);
	r.h.pinned.low_water = 0;
	while ((taken[n] = fbuf_alloc(r.h.pinned.n_free ? &r.h.pinned : &r.h.payload)) != NULL)
		n++;
	/* Nothing is queued whose end would make room. */
	assert_int_equal(rig_write(&r, rig_pattern(), 10), -ENOMEM);
	fbuf_free(taken[--n]);
	assert_int_equal(rig_write(&r, rig_pattern(), 4000), 2048 - 128 < MSS ? 2048 - 128 : MSS);
	assert_int_equal(rig_write(&r, rig_pattern(), 10), -EAGAIN);
	assert_true(rig_counter(&r, FS_CTR_pool_empty) > 0);
	while (n > 0)
		fbuf_free(taken[--n]);
	rig_drain(&r);
	r.edges = 0;
	rig_seg_in(&r, (struct rig_seg){ .ack = MSS });
	assert_true(r.edges & TCP_READY_OUT);
	trig_close(&r);
}

/* The next bytes of the pattern, put where tcp_reserve() says; of them @len are there, and @asked were asked for. */
static void give(struct tcp_rig *r, uint32_t at, size_t asked, size_t len, uint32_t flags)
{
	struct tcp_reservation room;
	size_t sum = 0;

	assert_int_equal(tcp_reserve(r->c, &room, asked), 0);
	for (unsigned i = 0; i < room.n; i++) {
		memcpy(room.iov[i].iov_base, rig_pattern() + at + sum, room.iov[i].iov_len);
		sum += room.iov[i].iov_len;
	}
	assert_int_equal(sum, asked);
	tcp_commit(r->c, &r->h.env, &room, len, flags, r->now);
}

/* Bytes that lie in segments already are summed and sent like others, fewer than asked for too. */
static void tcp_reserve__bytes_of_others(void **state)
{
	struct tcp_rig r;
	uint32_t before;

	rig_connected(&r, &rig_modern);
	before = r.h.pinned.n_free;
	give(&r, 0, 2 * MSS + 101, 2 * MSS + 101, 0);
	expect_data(&r, 0, MSS, 0);
	expect_data(&r, MSS, MSS, 0);
	rig_seg_in(&r, (struct rig_seg){ .ack = 2 * MSS });
	expect_data(&r, 2 * MSS, 101, TCP_PSH);
	rig_seg_in(&r, (struct rig_seg){ .ack = 2 * MSS + 101 });
	give(&r, 2 * MSS + 101, 10 * MSS, 7, 0);
	expect_data(&r, 2 * MSS + 101, 7, TCP_PSH);
	assert_int_equal(r.c->n_segs, 1);
	rig_seg_in(&r, (struct rig_seg){ .ack = 2 * MSS + 108 });
	assert_int_equal(r.h.pinned.n_free, before);
	assert_int_equal(r.c->snd_charge, 0);
	trig_close(&r);
}

/* A segment that waits goes on, at an odd place; none at all leaves it as it was, or sends it. */
static void tcp_reserve__behind_what_waits(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	set_options(&r, no_delay);
	write_flags(&r, rig_pattern(), 11, TCP_SEND_MORE);
	give(&r, 11, 200, 13, TCP_SEND_MORE);
	rig_no_out(&r);
	give(&r, 24, MSS, MSS, TCP_SEND_MORE);
	expect_data(&r, 0, MSS, 0);
	rig_no_out(&r);
	give(&r, MSS + 24, 500, 0, TCP_SEND_MORE);
	rig_no_out(&r);
	give(&r, MSS + 24, 500, 0, 0);
	expect_data(&r, MSS, 24, TCP_PSH);
	trig_close(&r);
}

/* No more than the buffer has room for, and no more than one reservation holds. */
static void tcp_reserve__ends_with_the_buffer(void **state)
{
	struct tcp_reservation room;
	struct tcp_rig r;
	uint32_t at = 0;

	rig_connected(&r, &rig_modern);
	r.c->options.sndbuf = r.c->sndbuf = 20000;
	r.tcp.config.initial_cwnd = 100;
	while (tcp_reserve(r.c, &room, 3000) == 0) {
		uint32_t len = 0;

		for (unsigned i = 0; i < room.n; i++)
			len += (uint32_t)room.iov[i].iov_len;
		tcp_commit(r.c, &r.h.env, &room, len, TCP_SEND_MORE, r.now);
		at += len;
	}
	assert_int_equal(tcp_reserve(r.c, &room, 1), -EAGAIN);
	assert_true(r.c->flags & TCP_CONN_NO_SPACE);
	assert_in_range(at, 15000, 20000);
	r.c->options.sndbuf = r.c->sndbuf = 1 << 20;
	assert_int_equal(tcp_reserve(r.c, &room, 1 << 20), 0);
	assert_in_range(room.n, 1, TCP_RESERVE_MAX);
	tcp_commit(r.c, &r.h.env, &room, 0, TCP_SEND_MORE, r.now);
	assert_int_equal(tcp_outq(r.c), at);
	assert_int_equal(tcp_shutdown(r.c, &r.h.env, TCP_SHUT_WR, r.now), 0);
	assert_int_equal(tcp_reserve(r.c, &room, 1), -EPIPE);
	rig_drain(&r);
	trig_close(&r);
}

/* RFC 6093, MUST-62: the pointer says what follows the urgent byte, on every segment before it. */
static void tcp_send__urgent(void **state)
{
	struct rig_sent s;
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	rig_write(&r, rig_pattern(), 10);
	rig_drain(&r);
	assert_int_equal(write_flags(&r, rig_pattern() + 10, 3, TCP_SEND_OOB), 3);
	/* Nagle does not hold it back. */
	assert_true(rig_out(&r, &s));
	assert_int_equal(s.h.flags, TCP_ACK | TCP_PSH | TCP_URG);
	assert_int_equal(s.h.seq, 10);
	assert_int_equal(s.h.urgent, 3);
	rig_write(&r, rig_pattern() + 13, 5);
	assert_true(rig_out(&r, &s));
	assert_int_equal(s.h.flags, TCP_ACK | TCP_PSH);
	rig_seg_in(&r, (struct rig_seg){ .ack = 18 });
	assert_false(tcp_has(r.c, TCP_CONN_URG_OUT));
	trig_close(&r);
}

/* Further away than the field tells: "further on" while that is so, nothing where it would be wrong. */
static void tcp_send__urgent_far_away(void **state)
{
	struct rig_sent s;
	struct tcp_rig r;

	trig_open_sized(&r, &(struct rig_sizes){ 256, 256, RIG_CHUNK });
	rig_establish(&r, &rig_modern);
	r.c->options.sndbuf = r.c->sndbuf = 200000;
	assert_int_equal(rig_write(&r, rig_pattern(), 60000), 60000);
	assert_int_equal(write_flags(&r, rig_pattern(), 20000, TCP_SEND_OOB), 20000);
	r.c->cc.cwnd = 100;
	nudge(&r);
	while (rig_out(&r, &s)) {
		uint32_t ahead = 80000 - s.h.seq;

		if (s.h.seq < 10 * MSS)
			continue; /* left before */
		assert_true(s.h.flags & TCP_URG);
		assert_int_equal(s.h.urgent, FS_MIN(ahead, 65535u));
	}
	trig_close(&r);
}

static void tcp_send__errors(void **state)
{
	struct tcp_rig r;

	trig_open(&r);
	r.c = tcp_open(&r.tcp, &r);
	assert_int_equal(rig_write(&r, "a", 1), -EPIPE); /* Linux: not ENOTCONN */
	assert_int_equal(trig_connect(&r), 0);
	assert_int_equal(rig_write(&r, "a", 1), -EAGAIN);
	rig_drain(&r);
	rig_seg_in(&r, (struct rig_seg){ .seq = 0, .ack = r.iss + 1, .flags = TCP_RST | TCP_ACK, .absolute = true });
	assert_int_equal(rig_write(&r, "a", 1), -ECONNREFUSED);
	assert_int_equal(rig_write(&r, "a", 1), -EPIPE);
	trig_close(&r);
	rig_connected(&r, &rig_modern);
	assert_int_equal(tcp_shutdown(r.c, &r.h.env, TCP_SHUT_WR, r.now), 0);
	assert_int_equal(rig_write(&r, "a", 1), -EPIPE);
	trig_close(&r);
}

/* A window that ends within a segment, and is large for this peer: what fits goes (RFC 9293 3.8.6.2.1, rule 3). Bytes,
 * sums and marks of both halves. */
static void tcp_seg_split__by_the_window(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	r.c->snd_wnd = r.c->max_wnd = 333;
	rig_write(&r, rig_pattern(), 1000);
	expect_data(&r, 0, 333, 0);
	rig_no_out(&r);
	assert_int_equal(r.c->n_segs, 2);
	assert_int_equal(r.c->packets_out, 1);
	assert_int_equal(r.c->snd_charge, r.c->first->charge + r.c->last->charge);
	rig_seg_in(&r, (struct rig_seg){ .ack = 333 });
	expect_data(&r, 333, 667, TCP_PSH);
	rig_seg_in(&r, (struct rig_seg){ .ack = 1000 });
	assert_int_equal(r.c->snd_charge, 0);
	trig_close(&r);
}

/* Hazard 5: many segments of one must not take the chunks that ACKs come in by. */
static void tcp_seg_split__below_low_water(void **state)
{
	struct tcp_rig r;
	uint32_t pinned, payload;

	rig_connected(&r, &rig_plain);
	r.c->snd_wnd = 0;
	rig_write(&r, rig_pattern(), 1000);
	pinned = r.h.pinned.n_free;
	r.h.pinned.low_water = 2 * pinned; /* half of it is for what is to be acked next, which this is */
	payload = r.h.payload.n_free;
	r.c->max_wnd = 400;
	rig_seg_in(&r, (struct rig_seg){ .window = 400 });
	expect_data(&r, 0, 400, 0);
	assert_int_equal(r.h.pinned.n_free, pinned);
	assert_int_equal(r.h.payload.n_free, payload - 1);
	r.h.pinned.low_water = 0;
	trig_close(&r);
}

/* Where nothing is left but the connection's own data: its oldest is cut nevertheless, or nothing would ever be acked. */
static void tcp_seg_split__the_oldest_goes_below_low_water(void **state)
{
	struct fbuf *taken[RIG_PAYLOAD];
	struct tcp_rig r;
	uint32_t pinned, n = 0;

	rig_connected(&r, &rig_plain);
	r.c->snd_wnd = 0;
	rig_write(&r, rig_pattern(), 1000);
	while (r.h.payload.n_free > 0)
		taken[n++] = fbuf_alloc(&r.h.payload);
	r.h.pinned.low_water = pinned = r.h.pinned.n_free;
	r.c->max_wnd = 400;
	rig_seg_in(&r, (struct rig_seg){ .window = 400 });
	expect_data(&r, 0, 400, 0);
	assert_int_equal(r.h.pinned.n_free, pinned - 1);
	r.h.pinned.low_water = 0;
	while (n > 0)
		fbuf_free(taken[--n]);
	trig_close(&r);
}

/* What was sent already and is longer than the path takes: it goes again in parts, which count each. */
static void tcp_seg_split__by_a_lower_mtu(void **state)
{
	struct tcp_icmp icmp = { .kind = TCP_ICMP_TOO_BIG, .mtu = 1000 };
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	rig_write(&r, rig_pattern(), MSS + 100);
	rig_drain(&r);
	assert_int_equal(r.c->packets_out, 2);
	icmp.local = trig_self(&r);
	icmp.remote = trig_peer(&r);
	icmp.local_port = TRIG_PORT;
	icmp.remote_port = TRIG_PEER_PORT;
	icmp.seq = r.iss + 1;
	tcp_icmp_input(&r.tcp, &r.h.env, &icmp, r.now);
	assert_int_equal(r.c->mss, 948);
	rig_burst_end(&r);
	expect_data(&r, 0, 948, 0);
	expect_data(&r, 948, MSS - 948, 0);
	rig_no_out(&r);
	assert_int_equal(r.c->packets_out, 3);
	assert_int_equal(r.c->lost_out, 2);
	assert_int_equal(r.c->retrans_out, 2);
	rig_seg_in(&r, (struct rig_seg){ .ack = MSS + 100 });
	assert_int_equal(r.c->packets_out, 0);
	assert_int_equal(r.c->lost_out, 0);
	assert_int_equal(r.c->retrans_out, 0);
	assert_int_equal(r.c->snd_charge, 0);
	trig_close(&r);
}

/* Two chunks take more than one: a buffer that was writable may be so no longer, and then tells when it is again. */
static void tcp_seg_split__that_fills_the_buffer(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_plain);
	r.c->snd_wnd = 0;
	rig_write(&r, rig_pattern(), 1000);
	r.c->options.sndbuf = r.c->sndbuf = r.c->snd_charge + r.c->snd_charge / 2;
	assert_true(tcp_ready(r.c) & TCP_READY_OUT);
	r.c->max_wnd = 400;
	rig_seg_in(&r, (struct rig_seg){ .window = 400 });
	expect_data(&r, 0, 400, 0);
	assert_false(tcp_ready(r.c) & TCP_READY_OUT);
	r.edges = 0;
	rig_seg_in(&r, (struct rig_seg){ .ack = 400, .window = 1000 });
	expect_data(&r, 400, 600, TCP_PSH);
	rig_seg_in(&r, (struct rig_seg){ .ack = 1000 });
	assert_true(r.edges & TCP_READY_OUT);
	trig_close(&r);
}

/* An ACK in the middle of a segment: the rest is what is sent again. */
static void tcp_seg_trim_front__rest_is_sent_again(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	rig_write(&r, rig_pattern(), 1001);
	expect_data(&r, 0, 1001, TCP_PSH);
	rig_seg_in(&r, (struct rig_seg){ .ack = 300 });
	assert_int_equal(tcp_seg(r.c->first)->len, 701);
	rig_wait(&r, FS_MS(1500));
	expect_data(&r, 300, 701, TCP_PSH);
	rig_drain(&r);
	trig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_send__bytes_on_the_wire),
		cmocka_unit_test(tcp_send__gathers_odd_pieces),
		cmocka_unit_test(tcp_send__full_segments_and_psh_on_the_last),
		cmocka_unit_test(tcp_send__partial_checksum),
		cmocka_unit_test(tcp_send__nagle),
		cmocka_unit_test(tcp_send__full_segments_do_not_hold_back),
		cmocka_unit_test(tcp_send__nodelay),
		cmocka_unit_test(tcp_send__more),
		cmocka_unit_test(tcp_send__cork),
		cmocka_unit_test(tcp_send__full_buffer),
		cmocka_unit_test(tcp_send__poll_without_refusal),
		cmocka_unit_test(tcp_send__buffer_follows_the_window),
		cmocka_unit_test(tcp_send__buffer_of_the_user),
		cmocka_unit_test(tcp_send__notsent_lowat),
		cmocka_unit_test(tcp_send__payload_pool),
		cmocka_unit_test(tcp_send__first_segment_goes_below_low_water),
		cmocka_unit_test(tcp_send__no_memory),
		cmocka_unit_test(tcp_reserve__bytes_of_others),
		cmocka_unit_test(tcp_reserve__behind_what_waits),
		cmocka_unit_test(tcp_reserve__ends_with_the_buffer),
		cmocka_unit_test(tcp_send__urgent),
		cmocka_unit_test(tcp_send__urgent_far_away),
		cmocka_unit_test(tcp_send__errors),
		cmocka_unit_test(tcp_seg_split__by_the_window),
		cmocka_unit_test(tcp_seg_split__below_low_water),
		cmocka_unit_test(tcp_seg_split__the_oldest_goes_below_low_water),
		cmocka_unit_test(tcp_seg_split__by_a_lower_mtu),
		cmocka_unit_test(tcp_seg_split__that_fills_the_buffer),
		cmocka_unit_test(tcp_seg_trim_front__rest_is_sent_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
