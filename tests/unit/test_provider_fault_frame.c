/* SPDX-License-Identifier: BSD-2-Clause */
/* What the link in memory does to the bytes of frames, and how it tells segments from each other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/csum.h"
#include "provider/fault/fault.h"
#include "wire/eth.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/packet.h"
#include "wire/protocol.h"
#include "wire/tcp.h"

enum { CHUNKS = 64, CHUNK = 2048, HEADROOM = 128, L4 = 14 + 20, MSS = 1000 };

static struct fbuf_pool pool;
static struct fbuf bufs[CHUNKS];
static uint8_t memory[CHUNKS * CHUNK];

struct segment {
	uint32_t seq, len;
	uint16_t flags;
	uint8_t tos;
	bool v6, partial;
	uint16_t gso;
};

static int setup(void **state)
{
	fbuf_pool_init(&pool, CHUNK, HEADROOM);
	fbuf_pool_add(&pool, bufs, memory, CHUNKS);
	return 0;
}

static void addresses(bool v6, struct ip_addr *src, struct ip_addr *dst)
{
	static const uint8_t a[4] = { 10, 0, 0, 1 }, b[4] = { 10, 0, 0, 2 };

	*src = v6 ? (struct ip_addr){ .b = { 0xfd, [15] = 1 } } : ip_addr_v4(a);
	*dst = v6 ? (struct ip_addr){ .b = { 0xfd, [15] = 2 } } : ip_addr_v4(b);
}

static size_t put_ip(uint8_t *to, const struct segment *s, uint32_t l4_len)
{
	struct ip_addr src, dst;

	addresses(s->v6, &src, &dst);
	if (s->v6) {
		struct ipv6_hdr ip = { .src = src, .dst = dst, .hop_limit = 64, .next_header = WIRE_PROTO_TCP,
				       .payload_len = (uint16_t)l4_len, .traffic_class = s->tos };

		return ipv6_emit(&ip, to, 64);
	}
	return ipv4_emit(&(struct ipv4_hdr){ .src = src, .dst = dst, .hdr_len = 20, .ttl = 64, .tos = s->tos,
					     .total_len = (uint16_t)(20 + l4_len), .protocol = WIRE_PROTO_TCP },
			 to, 64);
}

/* A frame as an engine builds it, payload byte i is seq + i. */
static struct fbuf *make(const struct segment *s)
{
	uint8_t head[128];
	struct eth_hdr eth = { .type = s->v6 ? ETH_TYPE_IPV6 : ETH_TYPE_IPV4 };
	struct tcp_hdr h = { .src_port = 1, .dst_port = 2, .seq = s->seq, .ack = 7, .flags = s->flags,
			     .options = TCP_HAS_TIMESTAMP, .ts_val = 1 };
	uint32_t l4_len = (uint32_t)tcp_emit_len(&h) + s->len;
	size_t l3 = eth_emit(&eth, head, sizeof(head)), l4 = l3 + put_ip(head + l3, s, l4_len);
	size_t end = l4 + tcp_emit(&h, head + l4, sizeof(head) - l4);
	struct fbuf *f = fbuf_alloc_chain(&pool, (uint32_t)end + s->len);
	struct ip_addr src, dst;
	uint64_t pseudo;
	be16_t field;

	addresses(s->v6, &src, &dst);
	pseudo = csum_pseudo(&src, &dst, WIRE_PROTO_TCP, l4_len);
	field = csum_partial(pseudo);
	memcpy(head + l4 + 16, &field, 2);
	fbuf_append(f, head, (uint32_t)end);
	for (uint32_t i = 0; i < s->len; i++)
		fbuf_append(f, &(uint8_t){ (uint8_t)(s->seq + i) }, 1);
	f->csum = FBUF_CSUM_PARTIAL;
	f->gso_size = s->gso;
	if (!s->partial)
		fault_frame_complete(f);
	return f;
}

/* Everything about an arrived frame is right; its parsed headers. */
static struct tcp_hdr checked(const struct fbuf *f, struct packet *p)
{
	uint8_t bytes[4096];
	struct tcp_hdr h;
	uint64_t sum;

	assert_int_equal(f->csum, FBUF_CSUM_UNKNOWN);
	assert_int_equal(packet_parse(p, f->data, f->len, f->total), PACKET_OK);
	fbuf_copy_out(f, 0, bytes, sizeof(bytes));
	sum = csum_pseudo(&p->src, &p->dst, WIRE_PROTO_TCP, p->l4_len);
	assert_true(csum_is_valid(csum_add(sum, csum_inline(bytes + p->l4_offset, p->l4_len))));
	assert_true(tcp_parse(&h, bytes + p->l4_offset, p->l4_len) > 0);
	for (uint32_t i = 0; i < p->payload_len; i++)
		assert_int_equal(bytes[p->payload_offset + i], (uint8_t)(h.seq + i));
	return h;
}

static void fault_frame_complete__makes_the_sum_whole(void **state)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct fbuf *f = make(&(struct segment){ .len = 333, .v6 = v6, .partial = true });
		struct packet p;

		fault_frame_complete(f);
		checked(f, &p);
		fbuf_free(f);
	}
}

static void fault_frame_split__segments_are_those_of_the_burst(void **state)
{
	static const uint16_t all = TCP_ACK | TCP_FIN | TCP_PSH | TCP_CWR;

	for (int v6 = 0; v6 < 2; v6++) {
		const struct segment s = { .seq = UINT32_MAX - MSS - 5, .len = 2 * MSS + 10, .gso = MSS, .flags = all,
					   .v6 = v6, .partial = true };
		struct fbuf_queue q = { 0 };
		struct fbuf *f;
		uint32_t n = 0;

		assert_true(fault_frame_split(make(&s), &pool, &q));
		assert_int_equal(q.frames, 3);
		while ((f = fbuf_queue_pop(&q))) {
			struct packet p;
			struct tcp_hdr h = checked(f, &p);
			uint16_t want = all;

			want &= (uint16_t)~(n > 0 ? TCP_CWR : 0);
			want &= (uint16_t)~(n < 2 ? TCP_FIN | TCP_PSH : 0);
			assert_int_equal(h.seq, s.seq + n * MSS);
			assert_int_equal(p.payload_len, n < 2 ? MSS : 10);
			assert_int_equal(h.flags, want);
			fbuf_free(f);
			n++;
		}
	}
	assert_int_equal(pool.n_free, CHUNKS);
}

static void fault_frame_split__without_chunks_nothing_is_left_behind(void **state)
{
	struct fbuf *f = make(&(struct segment){ .len = 2 * MSS, .gso = MSS, .partial = true });
	struct fbuf_queue q = { 0 }, hog = { 0 };

	while (pool.n_free > 1)
		fbuf_queue_push(&hog, fbuf_alloc(&pool));
	assert_false(fault_frame_split(f, &pool, &q));
	assert_int_equal(q.frames, 1);
	fbuf_queue_free(&q);
	fbuf_queue_free(&hog);
	assert_int_equal(pool.n_free, CHUNKS);
}

static void fault_frame_mark__only_who_understands(void **state)
{
	for (int v6 = 0; v6 < 2; v6++) {
		for (uint8_t ecn = 0; ecn < 4; ecn++) {
			struct fbuf *f = make(&(struct segment){ .len = 9, .v6 = v6, .tos = (uint8_t)(0xb8 | ecn) });
			struct packet p;

			assert_int_equal(fault_frame_mark(f), ecn != 0);
			checked(f, &p);
			assert_int_equal(p.tos, 0xb8 | (ecn ? 3 : 0));
			fbuf_free(f);
		}
	}
}

static void fault_frame_flip__is_noticed_also_in_partial_sums(void **state)
{
	struct fbuf *f = make(&(struct segment){ .len = 100, .partial = true });
	uint8_t bytes[256];
	struct packet p;
	uint64_t sum;

	fault_frame_flip(f, (L4 + 32 + 50) * 8);
	assert_int_equal(f->csum, FBUF_CSUM_UNKNOWN);
	assert_int_equal(packet_parse(&p, f->data, f->len, f->total), PACKET_OK);
	fbuf_copy_out(f, 0, bytes, sizeof(bytes));
	sum = csum_pseudo(&p.src, &p.dst, WIRE_PROTO_TCP, p.l4_len);
	assert_false(csum_is_valid(csum_add(sum, csum_inline(bytes + p.l4_offset, p.l4_len))));
	fbuf_free(f);
}

static uint32_t kinds(struct fault_flow *flows, const struct segment *s)
{
	struct fbuf *f = make(s);
	uint32_t k = fault_frame_kinds(f, flows);

	fbuf_free(f);
	return k;
}

static void fault_frame_kinds__knows_what_came_before(void **state)
{
	struct fault_flow flows[FAULT_FLOWS] = { 0 };
	const struct segment syn = { .seq = UINT32_MAX - 10, .flags = TCP_SYN };
	const struct segment data = { .seq = UINT32_MAX - 9, .len = 20, .flags = TCP_ACK };
	const struct segment more = { .seq = UINT32_MAX - 9, .len = 21, .flags = TCP_ACK };

	assert_int_equal(kinds(flows, &syn), FAULT_KIND_SYN);
	assert_int_equal(kinds(flows, &syn), FAULT_KIND_SYN | FAULT_KIND_AGAIN);
	assert_int_equal(kinds(flows, &(struct segment){ .flags = TCP_ACK }), FAULT_KIND_ACK);
	assert_int_equal(kinds(flows, &data), FAULT_KIND_DATA);
	assert_int_equal(kinds(flows, &data), FAULT_KIND_DATA | FAULT_KIND_AGAIN);
	assert_int_equal(kinds(flows, &more), FAULT_KIND_DATA);
	assert_int_equal(kinds(flows, &(struct segment){ .flags = TCP_SYN | TCP_ACK, .seq = 1, .v6 = true }),
			 FAULT_KIND_SYN_ACK);
	assert_int_equal(kinds(flows, &(struct segment){ .flags = TCP_FIN | TCP_ACK, .seq = 11 }), FAULT_KIND_FIN);
	assert_int_equal(kinds(flows, &(struct segment){ .flags = TCP_RST }), FAULT_KIND_RST);
}

static void fault_frame_ip_len__of_one_segment(void **state)
{
	struct fbuf *f = make(&(struct segment){ .len = 100 }), *g = make(&(struct segment){ .len = 3000, .gso = MSS });

	assert_int_equal(fault_frame_ip_len(f), 20 + 32 + 100);
	assert_int_equal(fault_frame_ip_len(g), 20 + 32 + MSS);
	fbuf_free(f);
	fbuf_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(fault_frame_complete__makes_the_sum_whole, setup),
		cmocka_unit_test_setup(fault_frame_split__segments_are_those_of_the_burst, setup),
		cmocka_unit_test_setup(fault_frame_split__without_chunks_nothing_is_left_behind, setup),
		cmocka_unit_test_setup(fault_frame_mark__only_who_understands, setup),
		cmocka_unit_test_setup(fault_frame_flip__is_noticed_also_in_partial_sums, setup),
		cmocka_unit_test_setup(fault_frame_kinds__knows_what_came_before, setup),
		cmocka_unit_test_setup(fault_frame_ip_len__of_one_segment, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
