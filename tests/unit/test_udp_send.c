/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_udp_send.c - what leaves: bytes, sums, chains, limits; and that the other side reads it.
 */
#include "udp_rig.h"

#include <errno.h>

enum { MAX4 = RIG_MTU - 28, MAX6 = RIG_MTU - 48 };

struct pair {
	struct rig_host a, b;
	struct udp_pcb pa, pb;	  /* a wildcard endpoint at each end, ports 1000 and 2000 */
	struct ip_dst *to4, *to6; /* a's ways to b */
};

static void pair_open_sized(struct pair *t, const struct rig_sizes *sizes)
{
	rig_open_sized(&t->a, 0, sizes);
	rig_open_sized(&t->b, 1, sizes);
	rig_bind(&t->a, &t->pa, (struct ip_addr){ 0 }, 1000, UDP_PCB_V6);
	rig_bind(&t->b, &t->pb, (struct ip_addr){ 0 }, 2000, UDP_PCB_V6);
	t->to4 = rig_dst(&t->a, t->b.v4);
	t->to6 = rig_dst(&t->a, t->b.v6);
}

static void pair_open(struct pair *t)
{
	pair_open_sized(t, &(struct rig_sizes){ RIG_PINNED, RIG_PAYLOAD, RIG_CHUNK });
}

static void pair_close(struct pair *t)
{
	rig_unbind(&t->a, &t->pa);
	rig_unbind(&t->b, &t->pb);
	rig_close_udp(&t->a);
	rig_close_udp(&t->b);
}

static const uint8_t *pattern(void)
{
	static uint8_t bytes[RIG_MTU];

	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 31 + (i >> 8));
	return bytes;
}

/* Send, carry, and read the same at the other side. */
static void expect_arrives(struct pair *t, struct ip_dst *dst, const void *bytes, size_t len)
{
	assert_int_equal(rig_send(&t->a, &t->pa, dst, 2000, bytes, len), 0);
	assert_int_equal(rig_carry(&t->a, &t->b), 1);
	rig_expect_drop(&t->b, FS_CTR_N);
	rig_expect(&t->pb, bytes, len);
}

/* The frame is byte for byte the one built by hand. */
static void expect_frame(struct pair *t, struct ip_dst *dst, struct rig_datagram d)
{
	const struct rig_frame *want;
	uint8_t got[RIG_MTU + 14];
	struct fbuf *frame;

	d.src_port = 1000;
	d.dst_port = 2000;
	d.payload = "hello";
	d.len = 5;
	d.mac = (struct eth_addr){ { 2, 0, 0, 0, 0, 2 } };
	want = rig_build(&d);
	assert_int_equal(rig_send(&t->a, &t->pa, dst, 2000, "hello", 5), 0);
	frame = fbuf_queue_pop(&t->a.ip.port[0].out);
	assert_int_equal(frame->total, want->len);
	assert_int_equal(fbuf_copy_out(frame, 0, got, sizeof(got)), want->len);
	assert_memory_equal(got, want->bytes, 6);
	assert_memory_equal(got + 6, &t->a.mac, 6);
	assert_memory_equal(got + 12, want->bytes + 12, want->len - 12);
	assert_int_equal(frame->l3_offset, 14);
	assert_int_equal(frame->port, 0);
	fbuf_free(frame);
}

static void udp_send__bytes_on_the_wire_v4(void **state)
{
	struct pair t;

	pair_open(&t);
	expect_frame(&t, t.to4, (struct rig_datagram){ .src = t.a.v4, .dst = t.b.v4 });
	pair_close(&t);
}

static void udp_send__bytes_on_the_wire_v6(void **state)
{
	struct pair t;

	pair_open(&t);
	expect_frame(&t, t.to6, (struct rig_datagram){ .src = t.a.v6, .dst = t.b.v6 });
	pair_close(&t);
}

static void udp_send__tos_and_hop_limit_of_the_socket(void **state)
{
	struct pair t;

	pair_open(&t);
	t.pa.style[0].tos = t.pa.style[1].tos = 0xb8;
	expect_frame(&t, t.to4, (struct rig_datagram){ .src = t.a.v4, .dst = t.b.v4, .tos = 0xb8 });
	expect_frame(&t, t.to6, (struct rig_datagram){ .src = t.a.v6, .dst = t.b.v6, .tos = 0xb8 });
	t.pa.style[0].hop_limit = t.pa.style[1].hop_limit = 1;
	expect_frame(&t, t.to4,
		     (struct rig_datagram){ .src = t.a.v4, .dst = t.b.v4, .tos = 0xb8, .ttl = 1 });
	t.pa.style[0].tos = t.pa.style[1].tos = 0;
	expect_frame(&t, t.to4, (struct rig_datagram){ .src = t.a.v4, .dst = t.b.v4, .ttl = 1 });
	expect_frame(&t, t.to6, (struct rig_datagram){ .src = t.a.v6, .dst = t.b.v6, .ttl = 1 });
	pair_close(&t);
}

static int send_as(struct pair *t, const struct udp_style *style, size_t len, uint32_t segment)
{
	struct iovec iov[2] = { { (void *)(uintptr_t)pattern(), len / 3 },
				{ (void *)(uintptr_t)(pattern() + len / 3), len - len / 3 } };

	assert_true(ip_dst_ready(&t->a.ip, t->to4));
	return udp_send_as(&t->a.udp, &t->a.env, &t->pa, style, t->to4, 2000, iov, 2, len, segment);
}

static void udp_send_as__may_be_fragmented(void **state)
{
	static const struct udp_style style = { .may_fragment = true };
	uint8_t header[34];
	uint16_t id[2];
	struct pair t;

	pair_open(&t);
	for (unsigned i = 0; i < 2; i++) {
		struct fbuf *frame;

		assert_int_equal(send_as(&t, &style, 10, 0), 0);
		frame = t.a.ip.port[0].out.head;
		fbuf_copy_out(frame, 0, header, sizeof(header));
		id[i] = (uint16_t)(header[18] << 8 | header[19]);
		assert_int_equal(header[20] | header[21], 0);
		assert_int_equal(rig_carry(&t.a, &t.b), 1);
		rig_expect_drop(&t.b, FS_CTR_N); /* the header's sum holds */
		rig_expect(&t.pb, pattern(), 10);
	}
	assert_int_equal((uint16_t)(id[1] - id[0]), 1);
	pair_close(&t);
}

static void udp_send_as__without_checksum(void **state)
{
	static const struct udp_style style = { .no_checksum = true };
	uint8_t header[42];
	struct pair t;

	pair_open(&t);
	t.a.ip.port[0].tx_csum_partial = true;
	assert_int_equal(send_as(&t, &style, 10, 0), 0);
	fbuf_copy_out(t.a.ip.port[0].out.head, 0, header, sizeof(header));
	assert_int_equal(header[40] | header[41], 0);
	assert_int_equal(t.a.ip.port[0].out.head->csum, FBUF_CSUM_UNKNOWN);
	assert_int_equal(rig_carry(&t.a, &t.b), 1);
	rig_expect(&t.pb, pattern(), 10);
	pair_close(&t);
}

static void udp_send_as__segments(void **state)
{
	static const struct udp_style plain;
	struct pair t;

	pair_open(&t);
	assert_int_equal(send_as(&t, &plain, 250, 100), 0);
	assert_int_equal(t.a.counters[FS_CTR_tx_datagrams], 3);
	assert_int_equal(rig_carry(&t.a, &t.b), 3);
	rig_expect_drop(&t.b, FS_CTR_N);
	rig_expect(&t.pb, pattern(), 100);
	rig_expect(&t.pb, pattern() + 100, 100);
	rig_expect(&t.pb, pattern() + 200, 50);
	/* Shorter than a segment, and nothing at all: one datagram. */
	assert_int_equal(send_as(&t, &plain, 30, 100), 0);
	assert_int_equal(send_as(&t, &plain, 0, 100), 0);
	assert_int_equal(rig_carry(&t.a, &t.b), 2);
	rig_expect(&t.pb, pattern(), 30);
	rig_expect(&t.pb, pattern(), 0);
	pair_close(&t);
}

/* One frame for all, with the pseudo-header's sum for its whole length; the receiver has the datagrams. */
static void udp_send_as__segments_leave_whole(void **state)
{
	static const struct udp_style plain;
	const struct fbuf *frame;
	struct pair t;

	pair_open(&t);
	t.a.ip.port[0].udp_gso = 2000;
	assert_int_equal(send_as(&t, &plain, 250, 100), 0);
	frame = t.a.ip.port[0].out.head;
	assert_int_equal(t.a.ip.port[0].out.frames, 1);
	assert_int_equal(frame->gso_size, 100);
	assert_int_equal(frame->csum, FBUF_CSUM_PARTIAL);
	assert_int_equal(frame->total, 42 + 250);
	assert_int_equal(t.a.counters[FS_CTR_tx_datagrams], 3);
	assert_int_equal(t.a.counters[FS_CTR_tx_bytes], 250);
	assert_int_equal(t.a.counters[FS_CTR_tx_super], 1);
	assert_int_equal(rig_carry(&t.a, &t.b), 1);
	rig_expect(&t.pb, pattern(), 100);
	rig_expect(&t.pb, pattern() + 100, 100);
	rig_expect(&t.pb, pattern() + 200, 50);
	pair_close(&t);
}

/* One datagram of such a call looks like the others. Without a checksum there is no super-frame. */
static void udp_send_as__segments_of_one(void **state)
{
	static const struct udp_style plain, unsummed = { .no_checksum = true };
	struct pair t;

	pair_open(&t);
	t.a.ip.port[0].udp_gso = 2000;
	assert_int_equal(send_as(&t, &plain, 60, 100), 0);
	assert_int_equal(t.a.ip.port[0].out.head->csum, FBUF_CSUM_PARTIAL);
	assert_int_equal(send_as(&t, &plain, 0, 100), 0);
	assert_int_equal(send_as(&t, &unsummed, 250, 100), 0);
	assert_int_equal(t.a.ip.port[0].out.frames, 5);
	t.a.ip.port[0].udp_gso = 42 + 249;
	assert_int_equal(send_as(&t, &plain, 250, 100), 0);
	assert_int_equal(t.a.ip.port[0].out.frames, 8);
	assert_int_equal(rig_carry(&t.a, &t.b), 8);
	rig_expect(&t.pb, pattern(), 60);
	rig_expect(&t.pb, pattern(), 0);
	for (int i = 0; i < 2; i++) {
		rig_expect(&t.pb, pattern(), 100);
		rig_expect(&t.pb, pattern() + 100, 100);
		rig_expect(&t.pb, pattern() + 200, 50);
	}
	pair_close(&t);
}

static void udp_send_as__segments_all_or_none(void **state)
{
	static const struct udp_style plain;
	struct iovec iov = { (void *)(uintptr_t)pattern(), 100 };
	struct pair t;

	pair_open(&t);
	assert_int_equal(send_as(&t, &plain, 65, 1), -EINVAL);
	assert_int_equal(send_as(&t, &plain, 64, 1), 0);
	rig_carry(&t.a, &t.b);
	udp_purge(&t.pb);
	assert_int_equal(send_as(&t, &plain, 2 * MAX4, MAX4 + 1), -EMSGSIZE);
	assert_int_equal(udp_send_as(&t.a.udp, &t.a.env, &t.pa, &plain, t.to4, 2000, &iov, 1, 101, 10),
			 -EINVAL);
	t.a.ip.port[0].out.frames += IP_OUT_LIMIT - 2;
	assert_int_equal(send_as(&t, &plain, 250, 100), -EAGAIN);
	t.a.ip.port[0].out.frames -= IP_OUT_LIMIT - 2;
	assert_int_equal(rig_carry(&t.a, &t.b), 0);
	pair_close(&t);
}

static void udp_send_as__segments_need_frames_for_all(void **state)
{
	static const struct udp_style plain;
	struct pair t;

	pair_open_sized(&t, &(struct rig_sizes){ 4, RIG_PAYLOAD, RIG_CHUNK });
	assert_int_equal(send_as(&t, &plain, 500, 100), -ENOBUFS);
	assert_int_equal(t.a.pinned.n_free, 4);
	assert_int_equal(send_as(&t, &plain, 400, 100), 0);
	rig_carry(&t.a, &t.b);
	udp_purge(&t.pb);
	pair_close(&t);
}

static void udp_send__every_length_arrives(void **state)
{
	struct pair t;

	pair_open(&t);
	for (size_t len = 0; len <= MAX4; len += len < 140 ? 1 : 37)
		expect_arrives(&t, t.to4, pattern(), len);
	for (size_t len = 0; len <= MAX6; len += len < 140 ? 1 : 37)
		expect_arrives(&t, t.to6, pattern(), len);
	pair_close(&t);
}

/* Both variants of the sum, above the length that is summed in line. */
static void udp_send__every_csum_variant(void **state)
{
	struct pair t;

	pair_open(&t);
	for (int kind = 0; kind < CSUM_AVX2; kind++) {
		t.a.env.csum = csum_ops((enum csum_kind)kind);
		for (size_t len = 0; len <= MAX4; len += 61)
			expect_arrives(&t, t.to4, pattern(), len);
	}
	pair_close(&t);
}

static void udp_send__vector_cut_anywhere(void **state)
{
	enum { LEN = 131 };
	const uint8_t *bytes = pattern();
	struct pair t;

	pair_open(&t);
	for (size_t cut = 0; cut <= LEN; cut++) {
		struct iovec iov[4] = { { (void *)(uintptr_t)bytes, cut },
					{ NULL, 0 },
					{ (void *)(uintptr_t)(bytes + cut), (LEN - cut) / 2 } };

		iov[3].iov_base = (uint8_t *)iov[2].iov_base + iov[2].iov_len;
		iov[3].iov_len = LEN - cut - iov[2].iov_len;
		assert_true(ip_dst_ready(&t.a.ip, t.to4));
		assert_int_equal(udp_send(&t.a.udp, &t.a.env, &t.pa, t.to4, 2000, iov, 4, LEN), 0);
		assert_int_equal(rig_carry(&t.a, &t.b), 1);
		rig_expect_drop(&t.b, FS_CTR_N);
		rig_expect(&t.pb, bytes, LEN);
	}
	pair_close(&t);
}

static void udp_send__surplus_of_the_vector_is_left(void **state)
{
	struct iovec iov[2] = { { (void *)(uintptr_t) "hello", 5 },
				{ (void *)(uintptr_t) "!", 1 } };
	struct pair t;

	pair_open(&t);
	assert_true(ip_dst_ready(&t.a.ip, t.to4));
	assert_int_equal(udp_send(&t.a.udp, &t.a.env, &t.pa, t.to4, 2000, iov, 2, 4), 0);
	assert_int_equal(rig_carry(&t.a, &t.b), 1);
	rig_expect(&t.pb, "hell", 4);
	pair_close(&t);
}

static void udp_send__nothing_at_all(void **state)
{
	struct pair t;

	pair_open(&t);
	assert_true(ip_dst_ready(&t.a.ip, t.to4));
	assert_int_equal(udp_send(&t.a.udp, &t.a.env, &t.pa, t.to4, 2000, NULL, 0, 0), 0);
	assert_int_equal(rig_carry(&t.a, &t.b), 1);
	rig_expect(&t.pb, NULL, 0);
	pair_close(&t);
}

/* A sum of 0 is sent as all ones: 0 would mean that there is none (RFC 768). */
static void udp_send__zero_sum_is_sent_as_ones(void **state)
{
	unsigned ones = 0;
	struct pair t;

	pair_open(&t);
	for (unsigned v = 0; v < 0x10000; v++) {
		const uint8_t payload[2] = { (uint8_t)(v >> 8), (uint8_t)v };
		struct fbuf *frame;

		assert_int_equal(rig_send(&t.a, &t.pa, t.to6, 2000, payload, 2), 0);
		frame = fbuf_queue_pop(&t.a.ip.port[0].out);
		assert_int_not_equal(be16_load(frame->data + 60), 0);
		if (be16_load(frame->data + 60) == 0xffff)
			ones++;
		fbuf_free(frame);
	}
	assert_int_equal(ones, 1); /* of the 65536 payloads 0000 and ffff share one sum, not this */
	pair_close(&t);
}

static void udp_send__chains_of_small_chunks(void **state)
{
	struct pair t;

	pair_open_sized(&t, &(struct rig_sizes){ RIG_PINNED, RIG_PAYLOAD, 253 });
	for (size_t len = 100; len <= MAX4; len += 17) {
		expect_arrives(&t, t.to4, pattern(), len);
		if (len <= MAX6)
			expect_arrives(&t, t.to6, pattern(), len);
	}
	pair_close(&t);
}

static void udp_send__jumbo_mtu(void **state)
{
	static const uint8_t bytes[8900] = { [0] = 1, [8899] = 2 };
	struct pair t;

	pair_open(&t);
	t.to4->mtu = 9000;
	expect_arrives(&t, t.to4, bytes, sizeof(bytes));
	pair_close(&t);
}

static void udp_send__longer_than_the_mtu(void **state)
{
	struct pair t;

	pair_open(&t);
	assert_int_equal(rig_send(&t.a, &t.pa, t.to4, 2000, pattern(), MAX4), 0);
	assert_int_equal(rig_send(&t.a, &t.pa, t.to4, 2000, pattern(), MAX4 + 1), -EMSGSIZE);
	assert_int_equal(rig_send(&t.a, &t.pa, t.to6, 2000, pattern(), MAX6), 0);
	assert_int_equal(rig_send(&t.a, &t.pa, t.to6, 2000, pattern(), MAX6 + 1), -EMSGSIZE);
	assert_int_equal(rig_send(&t.a, &t.pa, t.to6, 2000, pattern(), SIZE_MAX - 4), -EMSGSIZE);
	assert_int_equal(t.a.ip.port[0].out.frames, 2);
	pair_close(&t);
}

/* IP's length field ends before such an MTU does (loopback has 65536). */
static void udp_send__mtu_beyond_the_length_field(void **state)
{
	static uint8_t bytes[UDP_MAX_PAYLOAD + 1] = { [0] = 1, [UDP_MAX_PAYLOAD - 1] = 2 };
	struct pair t;

	pair_open(&t);
	t.to4->mtu = 100000;
	expect_arrives(&t, t.to4, bytes, UDP_MAX_PAYLOAD);
	assert_int_equal(rig_send(&t.a, &t.pa, t.to4, 2000, bytes, UDP_MAX_PAYLOAD + 1), -EMSGSIZE);
	t.to4->mtu = 0;
	assert_int_equal(rig_send(&t.a, &t.pa, t.to4, 2000, bytes, 1), -EMSGSIZE);
	pair_close(&t);
}

static void udp_send__vector_too_short(void **state)
{
	struct iovec iov = { (void *)(uintptr_t) "hello", 5 };
	struct pair t;

	pair_open(&t);
	assert_true(ip_dst_ready(&t.a.ip, t.to4));
	assert_int_equal(udp_send(&t.a.udp, &t.a.env, &t.pa, t.to4, 2000, &iov, 1, 6), -EINVAL);
	assert_int_equal(t.a.pinned.n_free, RIG_PINNED);
	assert_int_equal(t.a.counters[FS_CTR_tx_datagrams], 0);
	pair_close(&t);
}

static void udp_send__out_queue_full(void **state)
{
	struct pair t;

	pair_open_sized(&t, &(struct rig_sizes){ IP_OUT_LIMIT + 8, 8, 256 });
	for (unsigned i = 0; i < IP_OUT_LIMIT; i++)
		assert_int_equal(rig_send(&t.a, &t.pa, t.to4, 2000, "x", 1), 0);
	assert_int_equal(rig_send(&t.a, &t.pa, t.to4, 2000, "x", 1), -EAGAIN);
	assert_int_equal(t.a.pinned.n_free, 8);
	fbuf_free(fbuf_queue_pop(&t.a.ip.port[0].out));
	assert_int_equal(rig_send(&t.a, &t.pa, t.to4, 2000, "x", 1), 0);
	pair_close(&t);
}

/* The pool is empty at the k-th allocation, within chains too. */
static void udp_send__pool_empty_at_each_allocation(void **state)
{
	for (uint32_t k = 0; k <= 12; k++) {
		struct pair t;
		unsigned sent = 0;

		pair_open_sized(&t, &(struct rig_sizes){ k, 0, 512 });
		while (sent < 20 && rig_send(&t.a, &t.pa, t.to4, 2000, pattern(), 1000) == 0)
			sent++;
		assert_int_equal(sent, k / 3); /* 384 bytes in the head, 512 in the next, 104 */
		assert_int_equal(rig_send(&t.a, &t.pa, t.to4, 2000, pattern(), 1000), -ENOBUFS);
		assert_int_equal(t.a.counters[FS_CTR_pool_empty], 2);
		assert_int_equal(t.a.pinned.n_free, k % 3);
		assert_int_equal(t.a.counters[FS_CTR_tx_datagrams], sent);
		assert_int_equal(t.a.counters[FS_CTR_tx_bytes], sent * 1000);
		pair_close(&t);
	}
}

static void udp_send__partial_checksum(void **state)
{
	struct ip_port conf;
	struct pair t;

	pair_open(&t);
	conf = t.a.ip.port[0];
	conf.tx_csum_partial = true;
	assert_int_equal(ip_port_set(&t.a.ip, 0, &conf), 0);
	expect_frame(
		&t, t.to4,
		(struct rig_datagram){ .src = t.a.v4, .dst = t.b.v4, .partial_checksum = true });
	expect_frame(
		&t, t.to6,
		(struct rig_datagram){ .src = t.a.v6, .dst = t.b.v6, .partial_checksum = true });
	assert_int_equal(rig_send(&t.a, &t.pa, t.to4, 2000, "hello", 5), 0);
	assert_int_equal(t.a.ip.port[0].out.head->csum, FBUF_CSUM_PARTIAL);
	assert_int_equal(rig_carry(&t.a, &t.b), 1);
	rig_expect(&t.pb, "hello", 5);
	pair_close(&t);
}

static void udp_send__marks_the_neighbour_as_used(void **state)
{
	struct pair t;

	pair_open(&t);
	t.a.env.now = FS_SEC(5);
	assert_int_equal(rig_send(&t.a, &t.pa, t.to4, 2000, "x", 1), 0);
	assert_int_equal(t.to4->neigh->used_at, FS_SEC(5));
	assert_int_equal(t.to6->neigh->used_at, 0);
	pair_close(&t);
}

static void udp_send__without_a_template_is_our_bug(void **state)
{
	struct iovec iov = { NULL, 0 };
	struct pair t;

	pair_open(&t);
	expect_assert_failure(udp_send(&t.a.udp, &t.a.env, &t.pa, t.to4, 2000, &iov, 1, 0));
	pair_close(&t);
}

static void udp_send__to_a_connected_endpoint_and_back(void **state)
{
	struct udp_pcb conn;
	struct pair t;

	pair_open(&t);
	rig_bind(&t.b, &conn, t.b.v4, 2000, 0);
	rig_connect(&t.b, &conn, t.a.v4, 1000);
	assert_int_equal(rig_send(&t.a, &t.pa, t.to4, 2000, "ping", 4), 0);
	rig_carry(&t.a, &t.b);
	rig_expect(&conn, "ping", 4);
	assert_int_equal(rig_send(&t.b, &conn, rig_dst(&t.b, t.a.v4), 1000, "pong", 4), 0);
	rig_carry(&t.b, &t.a);
	rig_expect(&t.pa, "pong", 4);
	rig_unbind(&t.b, &conn);
	pair_close(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(udp_send__bytes_on_the_wire_v4),
		cmocka_unit_test(udp_send__bytes_on_the_wire_v6),
		cmocka_unit_test(udp_send__tos_and_hop_limit_of_the_socket),
		cmocka_unit_test(udp_send_as__may_be_fragmented),
		cmocka_unit_test(udp_send_as__without_checksum),
		cmocka_unit_test(udp_send_as__segments),
		cmocka_unit_test(udp_send_as__segments_leave_whole),
		cmocka_unit_test(udp_send_as__segments_of_one),
		cmocka_unit_test(udp_send_as__segments_all_or_none),
		cmocka_unit_test(udp_send_as__segments_need_frames_for_all),
		cmocka_unit_test(udp_send__every_length_arrives),
		cmocka_unit_test(udp_send__every_csum_variant),
		cmocka_unit_test(udp_send__vector_cut_anywhere),
		cmocka_unit_test(udp_send__surplus_of_the_vector_is_left),
		cmocka_unit_test(udp_send__nothing_at_all),
		cmocka_unit_test(udp_send__zero_sum_is_sent_as_ones),
		cmocka_unit_test(udp_send__chains_of_small_chunks),
		cmocka_unit_test(udp_send__jumbo_mtu),
		cmocka_unit_test(udp_send__longer_than_the_mtu),
		cmocka_unit_test(udp_send__mtu_beyond_the_length_field),
		cmocka_unit_test(udp_send__vector_too_short),
		cmocka_unit_test(udp_send__out_queue_full),
		cmocka_unit_test(udp_send__pool_empty_at_each_allocation),
		cmocka_unit_test(udp_send__partial_checksum),
		cmocka_unit_test(udp_send__marks_the_neighbour_as_used),
		cmocka_unit_test(udp_send__without_a_template_is_our_bug),
		cmocka_unit_test(udp_send__to_a_connected_endpoint_and_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
