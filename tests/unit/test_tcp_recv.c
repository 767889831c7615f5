/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_tcp_recv.c - the receive queue: reading in all its ways, in place, and the memory it may keep.
 */
#include <errno.h>

#include "tcp_rig.h"

enum { FIN = TCP_FIN | TCP_ACK, MSS = 1460, CHUNK_OVERHEAD = 512 };

static const uint8_t *text(uint32_t at)
{
	return rig_pattern() + at;
}

/* The next @len bytes of the stream. */
static void feed(struct tcp_rig *r, uint32_t len)
{
	uint32_t at = r->c->rcv_nxt - r->irs - 1;

	rig_seg_in(r, (struct rig_seg){ .seq = at, .data = text(at), .len = len });
	rig_drain(r);
}

/* --- reading --- */

static void tcp_recv__nothing_is_eagain(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	assert_int_equal(rig_recv(&r, (uint8_t[1]){ 0 }, 1), -EAGAIN);
	assert_int_equal(rig_recv(&r, NULL, 0), -EAGAIN);
	feed(&r, 10);
	assert_int_equal(rig_recv(&r, NULL, 0), 0);
	assert_int_equal(tcp_inq(r.c), 10);
	rig_reads(&r, text(0), 10);
	trig_close(&r);
}

static void tcp_recv__parts_of_frames_into_parts_of_memory(void **state)
{
	uint8_t got[3000] = { 0 };
	struct iovec iov[] = { { got, 1 }, { NULL, 0 }, { got + 1, 999 }, { got + 1000, 1500 } };
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	feed(&r, 700);
	feed(&r, 1000);
	feed(&r, 1100);
	assert_int_equal(tcp_inq(r.c), 2800);
	assert_int_equal(tcp_recv(r.c, &r.h.env, iov, 4, 0, 0, r.now), 2500);
	assert_memory_equal(got, text(0), 2500);
	assert_int_equal(tcp_inq(r.c), 300);
	rig_reads(&r, text(2500), 300);
	trig_close(&r);
}

static void tcp_recv__byte_by_byte_out_of_a_super_frame(void **state)
{
	struct tcp_rig r;
	uint8_t got;

	rig_connected(&r, &rig_modern);
	rig_seg_in(&r, (struct rig_seg){ .data = text(0), .len = 5000, .gso = 1448 });
	rig_drain(&r);
	for (unsigned i = 0; i < 5000; i++) {
		assert_int_equal(rig_recv(&r, &got, 1), 1);
		assert_int_equal(got, text(i)[0]);
		rig_drain(&r);
	}
	assert_int_equal(r.c->rcv_charge, 0);
	trig_close(&r);
}

static void tcp_recv__peek_leaves_everything(void **state)
{
	uint8_t got[200];
	struct iovec iov = { got, sizeof(got) };
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	feed(&r, 1000);
	feed(&r, 1000);
	assert_int_equal(rig_recv(&r, got, 10), 10);
	assert_int_equal(tcp_recv(r.c, &r.h.env, &iov, 1, TCP_RECV_PEEK, 0, r.now), 200);
	assert_memory_equal(got, text(10), 200);
	assert_int_equal(tcp_recv(r.c, &r.h.env, &iov, 1, TCP_RECV_PEEK, 900, r.now), 200); /* SO_PEEK_OFF */
	assert_memory_equal(got, text(910), 200);
	assert_int_equal(tcp_recv(r.c, &r.h.env, &iov, 1, TCP_RECV_PEEK, 1980, r.now), 10);
	assert_int_equal(tcp_recv(r.c, &r.h.env, &iov, 1, TCP_RECV_PEEK, 1990, r.now), -EAGAIN);
	rig_reads(&r, text(10), 1990);
	trig_close(&r);
}

static void tcp_recv__trunc_throws_away(void **state)
{
	uint8_t got[100] = { 0 };
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	feed(&r, 1000);
	assert_int_equal(rig_recv_flags(&r, got, 100, TCP_RECV_TRUNC), 100);
	assert_int_equal(got[0], 0);
	rig_reads(&r, text(100), 900);
	trig_close(&r);
}

static void tcp_recv__end_and_after(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	rig_seg_in(&r, (struct rig_seg){ .data = text(0), .len = 10, .flags = FIN });
	assert_int_equal(tcp_inq(r.c), 10); /* the FIN is none of them */
	rig_reads(&r, text(0), 10);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(rig_recv(&r, (uint8_t[1]){ 0 }, 1), 0);
	assert_int_equal(rig_recv_flags(&r, (uint8_t[1]){ 0 }, 1, TCP_RECV_PEEK), 0);
	trig_close(&r);
}

/* Of several segments the time of the last one that was read from; merged ones have that of the last. */
static void tcp_recv__time_of_the_last_segment(void **state)
{
	uint8_t got[4000];
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	feed(&r, 100);
	r.c->rx.tail->stamp = 11;
	feed(&r, 1200);
	r.c->rx.tail->stamp = 22;
	feed(&r, 1200);
	r.c->rx.tail->stamp = 33;
	assert_int_equal(rig_recv_flags(&r, got, 100, TCP_RECV_STAMP), 100);
	assert_int_equal(r.c->stack->read_stamp, 11);
	assert_int_equal(rig_recv_flags(&r, got, 2000, TCP_RECV_STAMP | TCP_RECV_PEEK), 2000);
	assert_int_equal(r.c->stack->read_stamp, 33);
	assert_int_equal(rig_recv_flags(&r, got, 0, TCP_RECV_STAMP), 0);
	assert_int_equal(r.c->stack->read_stamp, 22); /* the next byte's */
	assert_int_equal(rig_recv_flags(&r, got, 1100, TCP_RECV_STAMP), 1100);
	assert_int_equal(r.c->stack->read_stamp, 22);
	assert_int_equal(rig_recv_flags(&r, got, 4000, TCP_RECV_STAMP | TCP_RECV_TRUNC), 1300);
	assert_int_equal(r.c->stack->read_stamp, 33);
	assert_int_equal(rig_recv_flags(&r, got, 10, TCP_RECV_STAMP), -EAGAIN);
	assert_int_equal(r.c->stack->read_stamp, 0);
	trig_close(&r);
}

/* --- merging --- */

static void tcp_rx__small_segments_share_a_frame(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	for (unsigned i = 0; i < 10; i++)
		feed(&r, 100);
	assert_int_equal(r.c->rx.frames, 1);
	assert_int_equal(r.c->rcv_pinned, 1);
	assert_int_equal(r.c->rcv_charge, 1000 + CHUNK_OVERHEAD);
	assert_int_equal(rig_counter(&r, FS_CTR_tcp_merged), 9);
	feed(&r, 1200); /* large ones are not copied */
	assert_int_equal(r.c->rx.frames, 2);
	rig_reads(&r, text(0), 2200);
	assert_int_equal(r.c->rcv_charge, 0);
	assert_int_equal(r.c->rcv_pinned, 0);
	trig_close(&r);
}

static void tcp_rx__a_full_frame_is_not_merged_into(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	for (unsigned i = 0; i < 10; i++)
		feed(&r, 400);
	assert_in_range(r.c->rx.frames, 2, 4);
	rig_reads(&r, text(0), 4000);
	trig_close(&r);
}

static void low_mark(struct tcp_rig *r, uint32_t bytes)
{
	struct tcp_options o = *tcp_get_options(r->c);

	o.rcvlowat = bytes;
	assert_int_equal(tcp_set_options(r->c, &r->h.env, &o, r->now), 0);
}

/* SO_RCVLOWAT that the buffer cannot hold: its user is told of what there is. */
static void tcp_rx__low_mark_beyond_the_buffer(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	low_mark(&r, 5000);
	feed(&r, 1448);
	assert_false(tcp_ready(r.c) & TCP_READY_IN);
	r.c->rcvbuf = r.c->rcv_charge * 2;
	r.edges = 0;
	feed(&r, 1448);
	assert_true(tcp_ready(r.c) & TCP_READY_IN);
	assert_true(r.edges & TCP_READY_IN);
	trig_close(&r);
}

/* Nor need it be what is in order that takes the room. */
static void tcp_rx__low_mark_and_a_gap(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	low_mark(&r, 5000);
	feed(&r, 1448);
	r.c->rcvbuf = r.c->rcv_charge * 2;
	r.edges = 0;
	rig_seg_in(&r, (struct rig_seg){ .seq = 3000, .data = text(3000), .len = 1448 });
	assert_true(tcp_ready(r.c) & TCP_READY_IN);
	assert_true(r.edges & TCP_READY_IN);
	rig_drain(&r);
	trig_close(&r);
}

/* --- in place --- */

static void tcp_hold__gives_frames_and_counts_them_until_release(void **state)
{
	struct fbuf *a, *b;
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	assert_null(tcp_hold(r.c));
	feed(&r, 1000);
	feed(&r, 1100);
	assert_int_equal(rig_recv(&r, (uint8_t[10]){ 0 }, 10), 10);
	a = tcp_hold(r.c);
	assert_int_equal(a->total, 990);
	assert_memory_equal(a->data, text(10), 990);
	assert_int_equal(tcp_inq(r.c), 1100);
	b = tcp_hold(r.c);
	assert_int_equal(tcp_inq(r.c), 0);
	assert_null(tcp_hold(r.c));
	assert_int_equal(r.c->rcv_charge, 2100 + 2 * CHUNK_OVERHEAD);
	assert_int_equal(r.c->rcv_pinned, 2);
	tcp_release(r.c, &r.h.env, b, r.now);
	rig_seg_in(&r, (struct rig_seg){ .seq = 2100, .flags = TCP_RST });
	rig_drain(&r);
	tcp_release(r.c, &r.h.env, a, r.now); /* also after the end */
	rig_no_out(&r);
	assert_int_equal(r.c->rcv_charge, 0);
	assert_int_equal(r.c->rcv_pinned, 0);
	trig_close(&r);
}

/* A frame of many chunks, as super-frames are, goes in pieces; the pieces carry what the whole was charged. */
static void tcp_hold_some__gives_a_frame_in_pieces(void **state)
{
	struct fbuf *whole, *piece[2];
	uint32_t charge, total = 2 * RIG_CHUNK + 100;
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	feed(&r, 1000);
	whole = fbuf_alloc_chain(&r.h.payload, total);
	assert_non_null(whole->next->next);
	fbuf_append(whole, text(0), total);
	whole->charge = charge = total + 3 * CHUNK_OVERHEAD;
	r.c->rcv_charge += charge;
	r.c->rcv_nxt += total;
	fbuf_queue_push(&r.c->rx, whole);
	tcp_release(r.c, &r.h.env, tcp_hold_some(r.c, 2), r.now); /* of one chunk: as it is */
	assert_int_equal(r.c->rcv_charge, charge);
	piece[0] = tcp_hold_some(r.c, 2);
	assert_ptr_equal(piece[0], whole);
	assert_null(piece[0]->next->next);
	assert_int_equal(piece[0]->total, piece[0]->len + piece[0]->next->len);
	assert_int_equal(tcp_inq(r.c), total - piece[0]->total);
	assert_int_equal(r.c->rx.frames, 1);
	assert_ptr_equal(r.c->rx.tail, r.c->rx.head);
	piece[1] = tcp_hold_some(r.c, 2);
	assert_int_equal(piece[0]->total + piece[1]->total, total);
	assert_memory_equal(piece[1]->data, text(piece[0]->total), piece[1]->len);
	assert_int_equal(piece[0]->charge + piece[1]->charge, charge);
	assert_null(tcp_hold_some(r.c, 2));
	tcp_release(r.c, &r.h.env, piece[1], r.now);
	tcp_release(r.c, &r.h.env, piece[0], r.now);
	assert_int_equal(r.c->rcv_charge, 0);
	rig_drain(&r);
	trig_close(&r);
}

static void tcp_hold__nothing_is_merged_into_what_the_user_has(void **state)
{
	struct tcp_rig r;
	struct fbuf *a;

	rig_connected(&r, &rig_modern);
	feed(&r, 100);
	a = tcp_hold(r.c);
	feed(&r, 100);
	assert_int_equal(a->total, 100);
	tcp_release(r.c, &r.h.env, a, r.now);
	rig_drain(&r);
	rig_reads(&r, text(100), 100);
	trig_close(&r);
}

static void tcp_release__reopens_the_window(void **state)
{
	struct fbuf *held[64];
	unsigned n = 0;
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	while (n < FS_ARRAY_SIZE(held) && tcp_receive_window(r.c) >= 1448) {
		feed(&r, 1448);
		held[n++] = tcp_hold(r.c);
		assert_non_null(held[n - 1]);
	}
	assert_true(n < FS_ARRAY_SIZE(held));
	while (n > 0)
		tcp_release(r.c, &r.h.env, held[--n], r.now);
	assert_true(r.h.ip.port[0].out.frames > 0);
	rig_drain(&r);
	assert_true(tcp_receive_window(r.c) > 20000);
	trig_close(&r);
}

/* --- memory (design hazard 5) --- */

static void open_small(struct tcp_rig *r, uint32_t pinned, uint32_t payload)
{
	trig_open_sized(r, &(struct rig_sizes){ pinned, payload, RIG_CHUNK });
	rig_establish(r, &rig_modern);
}

static void tcp_rx__beyond_its_share_it_is_copied_out(void **state)
{
	struct tcp_rig r;

	open_small(&r, 64, 256);
	r.h.pinned.low_water = 24;
	for (unsigned i = 0; i < 30; i++)
		feed(&r, 1448);
	assert_int_equal(r.c->rx.frames, 30);
	assert_in_range(r.c->rcv_pinned, 19, 20);
	assert_int_equal(rig_counter(&r, FS_CTR_copied_out), 30 - r.c->rcv_pinned);
	rig_reads(&r, text(0), 30 * 1448);
	assert_int_equal(r.c->rcv_pinned, 0);
	trig_close(&r);
}

/* A pool that is small because little was needed so far lets a stream take more of it than one that is at its end. */
static void tcp_rx__what_the_payload_pool_may_become_counts(void **state)
{
	struct tcp_rig r;

	for (uint32_t to_come = 0; to_come <= 64; to_come += 64) {
		open_small(&r, 64, 32);
		r.h.pinned.low_water = 64;
		r.h.payload.to_come = to_come;
		for (unsigned i = 0; i < 24; i++)
			feed(&r, 1448);
		assert_int_equal(rig_counter(&r, FS_CTR_drop_tcp_no_memory) == 0, to_come > 0);
		assert_int_equal(r.c->rx.frames == 24, to_come > 0);
		trig_close(&r);
	}
}

static void tcp_rx__below_low_water_everything_is_copied_out(void **state)
{
	struct tcp_rig r;

	open_small(&r, 64, 64);
	r.h.pinned.low_water = 64;
	feed(&r, 1448);
	feed(&r, 1448);
	assert_int_equal(rig_counter(&r, FS_CTR_copied_out), 2);
	assert_int_equal(r.c->rcv_pinned, 0);
	assert_int_equal(r.h.pinned.n_free, 64);
	rig_reads(&r, text(0), 2896);
	trig_close(&r);
}

/* One that reads takes the frame; one that does not has its oldest copied out for it. */
/* Another connection to the same peer, from the next port, by the same numbers; the rig speaks to it. */
static struct tcp_conn *another(struct tcp_rig *r)
{
	struct ip_addr any = { 0 }, peer = trig_peer(r);

	r->port = r->port ? r->port + 1 : TRIG_PORT + 1;
	r->c = tcp_open(&r->tcp, r);
	assert_int_equal(tcp_connect(r->c, &r->h.env, &any, r->port, &peer, TRIG_PEER_PORT, r->now), 0);
	rig_drain(r);
	rig_seg_in(r, (struct rig_seg){ .seq = r->irs, .ack = r->c->iss + 1, .flags = TCP_SYN | TCP_ACK,
					.options = TCP_HAS_MSS | TCP_HAS_SACK_PERMITTED, .mss = 1460, .absolute = true });
	assert_int_equal(r->c->state, TCP_ESTABLISHED);
	rig_drain(r);
	return r->c;
}

static void tcp_rx__eviction_keeps_order_and_bytes(void **state)
{
	struct tcp_conn *sleeper, *reader;
	struct tcp_rig r;

	open_small(&r, 64, 64);
	for (unsigned i = 0; i < 4; i++)
		feed(&r, 1448);
	sleeper = r.c;
	assert_int_equal(sleeper->rcv_pinned, 4);
	reader = another(&r);
	r.h.pinned.low_water = 62;
	for (unsigned i = 0; i < 6; i++) {
		feed(&r, 1448);
		assert_int_equal(reader->rcv_pinned, 1);
		assert_int_equal(sleeper->rcv_pinned, i < 4 ? 3 - i : 0);
		rig_reads(&r, text(i * 1448), 1448);
		rig_drain(&r);
	}
	tcp_abort(reader, &r.h.env, r.now);
	r.c = sleeper;
	r.port = TRIG_PORT;
	r.iss = sleeper->iss;
	r.h.pinned.low_water = 0;
	feed(&r, 1448); /* behind the copies */
	rig_drain(&r);
	rig_reads(&r, text(0), 5 * 1448);
	assert_int_equal(sleeper->rcv_charge, 0);
	trig_close(&r);
}

/* Many that do not read leave the pool to the one that does. */
static void tcp_rx__sleepers_do_not_starve_a_reader(void **state)
{
	struct tcp_conn *sleeper[TRIG_CONNS - 1];
	struct tcp_rig r;

	open_small(&r, 64, 256);
	r.h.pinned.low_water = 16;
	sleeper[0] = r.c;
	for (unsigned i = 0; i < FS_ARRAY_SIZE(sleeper); i++) {
		if (i > 0)
			sleeper[i] = another(&r);
		for (unsigned k = 0; k < 20; k++)
			feed(&r, 1448);
	}
	assert_true(r.h.pinned.n_free >= 16);
	another(&r);
	for (uint32_t i = 0; i < 100; i++) {
		feed(&r, 1448);
		rig_reads(&r, text(i * 1448), 1448);
		rig_drain(&r);
	}
	assert_int_equal(rig_counter(&r, FS_CTR_drop_tcp_no_memory), 0);
	for (unsigned i = 0; i < FS_ARRAY_SIZE(sleeper); i++) {
		struct tcp_conn *reader = r.c;

		r.c = sleeper[i];
		rig_reads(&r, text(0), 20 * 1448);
		rig_drain(&r);
		tcp_abort(r.c, &r.h.env, r.now);
		r.c = reader;
	}
	trig_close(&r);
}

static void tcp_rx__without_memory_it_is_dropped_and_told(void **state)
{
	struct fbuf *taken[64];
	struct tcp_rig r;

	open_small(&r, 64, 64);
	feed(&r, 1448);
	for (unsigned i = 0; i < 64; i++)
		taken[i] = fbuf_alloc(&r.h.payload);
	r.h.pinned.low_water = 64;
	rig_seg_in(&r, (struct rig_seg){ .seq = 1448, .data = text(1448), .len = 1448, .flags = FIN });
	rig_ack_out(&r, 1448);
	assert_int_equal(rig_counter(&r, FS_CTR_drop_tcp_no_memory), 1);
	assert_int_equal(r.c->state, TCP_ESTABLISHED); /* nor was its FIN taken */
	for (unsigned i = 0; i < 64; i++)
		fbuf_free(taken[i]);
	rig_seg_in(&r, (struct rig_seg){ .seq = 1448, .data = text(1448), .len = 1448, .flags = FIN });
	assert_int_equal(r.c->state, TCP_CLOSE_WAIT);
	rig_reads(&r, text(0), 2896);
	trig_close(&r);
}

static void tcp_rx__a_full_buffer_gives_up_what_is_out_of_order_first(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	feed(&r, 1448);
	rig_seg_in(&r, (struct rig_seg){ .seq = 5000, .data = text(5000), .len = 1448 });
	rig_drain(&r);
	r.c->rcvbuf = r.c->rcv_charge;
	feed(&r, 1448);
	assert_int_equal(r.c->n_ooo, 0);
	assert_int_equal(tcp_inq(r.c), 2896);
	r.c->rcvbuf = r.c->rcv_charge;
	feed(&r, 1448);
	assert_int_equal(tcp_inq(r.c), 2896);
	assert_int_equal(rig_counter(&r, FS_CTR_drop_tcp_rcvbuf), 1);
	rig_reads(&r, text(0), 2896);
	trig_close(&r);
}

/* What waits behind a gap may be what takes the memory. It goes at once: when the gap is filled again, with all that
 * follows, that would take the memory again. */
static void tcp_rx__what_fills_a_gap_takes_the_memory_behind_it(void **state)
{
	struct fbuf *taken[64];
	unsigned n = 0;
	struct tcp_rig r;

	open_small(&r, 64, 64);
	r.h.pinned.low_water = 64;
	rig_seg_in(&r, (struct rig_seg){ .seq = 1448, .data = text(1448), .len = 1448 }); /* a copy */
	rig_drain(&r);
	assert_int_equal(r.c->n_ooo, 1);
	while (r.h.payload.n_free > 0)
		taken[n++] = fbuf_alloc(&r.h.payload);
	rig_seg_in(&r, (struct rig_seg){ .data = text(0), .len = 1448 });
	rig_ack_out(&r, 1448);
	assert_int_equal(r.c->n_ooo, 0);
	assert_int_equal(rig_counter(&r, FS_CTR_drop_tcp_no_memory), 0);
	while (n > 0)
		fbuf_free(taken[--n]);
	rig_reads(&r, text(0), 1448);
	trig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_recv__nothing_is_eagain),
		cmocka_unit_test(tcp_recv__parts_of_frames_into_parts_of_memory),
		cmocka_unit_test(tcp_recv__byte_by_byte_out_of_a_super_frame),
		cmocka_unit_test(tcp_recv__peek_leaves_everything),
		cmocka_unit_test(tcp_recv__trunc_throws_away),
		cmocka_unit_test(tcp_recv__time_of_the_last_segment),
		cmocka_unit_test(tcp_recv__end_and_after),
		cmocka_unit_test(tcp_rx__small_segments_share_a_frame),
		cmocka_unit_test(tcp_rx__a_full_frame_is_not_merged_into),
		cmocka_unit_test(tcp_rx__low_mark_beyond_the_buffer),
		cmocka_unit_test(tcp_rx__low_mark_and_a_gap),
		cmocka_unit_test(tcp_hold__gives_frames_and_counts_them_until_release),
		cmocka_unit_test(tcp_hold_some__gives_a_frame_in_pieces),
		cmocka_unit_test(tcp_hold__nothing_is_merged_into_what_the_user_has),
		cmocka_unit_test(tcp_release__reopens_the_window),
		cmocka_unit_test(tcp_rx__beyond_its_share_it_is_copied_out),
		cmocka_unit_test(tcp_rx__what_the_payload_pool_may_become_counts),
		cmocka_unit_test(tcp_rx__below_low_water_everything_is_copied_out),
		cmocka_unit_test(tcp_rx__eviction_keeps_order_and_bytes),
		cmocka_unit_test(tcp_rx__sleepers_do_not_starve_a_reader),
		cmocka_unit_test(tcp_rx__without_memory_it_is_dropped_and_told),
		cmocka_unit_test(tcp_rx__a_full_buffer_gives_up_what_is_out_of_order_first),
		cmocka_unit_test(tcp_rx__what_fills_a_gap_takes_the_memory_behind_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
