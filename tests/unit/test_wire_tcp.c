/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_wire_tcp.c - TCP headers and options.
 */
#include "wire/tcp.h"

#include "wire_guard.h"

/* A SYN as Linux sends it: MSS 1460, SACK permitted, timestamps, NOP, window scale 7. */
static const uint8_t syn[40] = {
	0xd4, 0x31, 0x00, 0x50, 0x12, 0x34, 0x56, 0x78, 0x00, 0x00, 0x00, 0x00, 0xa0, 0x02,
	0xfa, 0xf0, 0xfe, 0x30, 0x00, 0x00, 0x02, 0x04, 0x05, 0xb4, 0x04, 0x02, 0x08, 0x0a,
	0x7f, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x01, 0x03, 0x03, 0x07,
};

/* A segment with the usual NOP, NOP, timestamps. */
static const uint8_t data[32] = {
	0x00, 0x50, 0xd4, 0x31, 0x00, 0x00, 0x00, 0x0a, 0x12, 0x34, 0x56, 0x79, 0x80, 0x18,
	0x01, 0xfd, 0x12, 0x34, 0x00, 0x00, 0x01, 0x01, 0x08, 0x0a, 0x00, 0x00, 0x00, 0x05,
	0x7f, 0x00, 0x00, 0x01,
};

/* A header with these options, padded to a multiple of 4 with ends of list; returns its length. */
static size_t with_options(uint8_t *bytes, const uint8_t *options, size_t len)
{
	size_t padded = (len + 3) / 4 * 4;

	memcpy(bytes, data, TCP_HDR_LEN);
	memset(bytes + TCP_HDR_LEN, 0, padded);
	memcpy(bytes + TCP_HDR_LEN, options, len);
	bytes[12] = (uint8_t)((TCP_HDR_LEN + padded) / 4 << 4);
	return TCP_HDR_LEN + padded;
}

static int parse_with_options(struct tcp_hdr *h, const uint8_t *options, size_t len)
{
	uint8_t bytes[TCP_MAX_HDR_LEN];
	size_t n = with_options(bytes, options, len);
	struct guard g = guard_make();
	int ret = tcp_parse(h, guard_end(&g, bytes, n), n);

	guard_free(&g);
	return ret;
}

static void tcp_parse__linux_syn(void **state)
{
	struct tcp_hdr h = { 0 };

	assert_int_equal(tcp_parse(&h, syn, sizeof(syn)), 40);
	assert_int_equal(h.src_port, 54321);
	assert_int_equal(h.dst_port, 80);
	assert_int_equal(h.seq, 0x12345678);
	assert_int_equal(h.ack, 0);
	assert_int_equal(h.flags, TCP_SYN);
	assert_int_equal(h.window, 64240);
	assert_int_equal(h.checksum, 0xfe30);
	assert_int_equal(h.options, TCP_HAS_MSS | TCP_HAS_WSCALE | TCP_HAS_SACK_PERMITTED |
					    TCP_HAS_TIMESTAMP);
	assert_int_equal(h.mss, 1460);
	assert_int_equal(h.wscale, 7);
	assert_int_equal(h.ts_val, 0x7f000001);
	assert_int_equal(h.ts_ecr, 0);
	assert_int_equal(h.n_sack, 0);
}

static void tcp_parse__timestamp_layout(void **state)
{
	struct tcp_hdr h = { 0 };

	assert_int_equal(tcp_parse(&h, data, sizeof(data)), 32);
	assert_int_equal(h.flags, TCP_PSH | TCP_ACK);
	assert_int_equal(h.options, TCP_HAS_TIMESTAMP);
	assert_int_equal(h.ts_val, 5);
	assert_int_equal(h.ts_ecr, 0x7f000001);
	assert_int_equal(h.mss, 0);
}

static void tcp_parse__timestamp_in_other_layout(void **state)
{
	static const uint8_t options[] = { 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 1 };
	struct tcp_hdr h = { 0 };

	assert_int_equal(parse_with_options(&h, options, sizeof(options)), 32);
	assert_int_equal(h.options, TCP_HAS_TIMESTAMP);
	assert_int_equal(h.ts_val, 1);
	assert_int_equal(h.ts_ecr, 2);
}

static void tcp_parse__truncated_at_every_length(void **state)
{
	struct guard g = guard_make();
	struct tcp_hdr h = { 0 };

	for (size_t n = 0; n < sizeof(syn); n++)
		assert_int_equal(tcp_parse(&h, guard_end(&g, syn, n), n), WIRE_TRUNCATED);
	for (size_t n = 0; n < sizeof(data); n++)
		assert_int_equal(tcp_parse(&h, guard_end(&g, data, n), n), WIRE_TRUNCATED);
	assert_int_equal(tcp_parse(&h, guard_end(&g, syn, 40), 40), 40);
	guard_free(&g);
}

static void tcp_parse__data_offset_below_header(void **state)
{
	uint8_t bytes[20];
	struct tcp_hdr h = { 0 };

	memcpy(bytes, data, sizeof(bytes));
	for (unsigned words = 0; words < 5; words++) {
		bytes[12] = (uint8_t)(words << 4);
		assert_int_equal(tcp_parse(&h, bytes, sizeof(bytes)), WIRE_BAD_LENGTH);
	}
	bytes[12] = 5 << 4;
	assert_int_equal(tcp_parse(&h, bytes, sizeof(bytes)), 20);
}

static void tcp_parse__every_flag(void **state)
{
	uint8_t bytes[20];
	struct tcp_hdr h = { 0 };

	memcpy(bytes, data, sizeof(bytes));
	for (unsigned bit = 0; bit < 12; bit++) {
		bytes[12] = (uint8_t)(5 << 4 | 1 << bit >> 8);
		bytes[13] = (uint8_t)(1 << bit);
		assert_int_equal(tcp_parse(&h, bytes, sizeof(bytes)), 20);
		assert_int_equal(h.flags, bit < 9 ? 1 << bit : 0); /* reserved bits are ignored */
	}
	assert_int_equal(TCP_AE, 0x100);
	assert_int_equal(TCP_CWR, 0x80);
	assert_int_equal(TCP_ECE, 0x40);
}

static void tcp_parse__sack_blocks(void **state)
{
	static const uint8_t options[4][34] = {
		{ 5, 10, 0, 0, 0, 1, 0, 0, 0, 2 },
		{ 5, 18, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4 },
		{ 5, 26, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0, 6 },
		{ 5, 34, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0, 6,
		  0, 0, 0, 7, 0xff, 0xff, 0xff, 0xff },
	};
	struct tcp_hdr h = { 0 };

	for (unsigned n = 1; n <= 4; n++) {
		assert_true(parse_with_options(&h, options[n - 1], options[n - 1][1]) > 0);
		assert_int_equal(h.n_sack, n);
		assert_int_equal(h.sack[n - 1].left, 2 * n - 1);
		assert_int_equal(h.sack[n - 1].right, n < 4 ? 2 * n : 0xffffffff);
	}
}

static void tcp_parse__unknown_options_skipped(void **state)
{
	static const uint8_t options[] = { 19, 18, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
					   33, 2, 254, 4, 0xf9, 0x89, 2, 4, 0x02, 0x18 };
	struct tcp_hdr h = { 0 };

	assert_int_equal(parse_with_options(&h, options, sizeof(options)), 48);
	assert_int_equal(h.options, TCP_HAS_MSS);
	assert_int_equal(h.mss, 536);
}

static void tcp_parse__end_of_list_ends(void **state)
{
	static const uint8_t options[] = { 1, 0, 2, 0 }; /* what follows the end is not read */
	struct tcp_hdr h = { 0 };

	assert_int_equal(parse_with_options(&h, options, sizeof(options)), 24);
	assert_int_equal(h.options, 0);
}

static void tcp_parse__malformed_options(void **state)
{
	static const uint8_t bad[][4] = {
		{ 99, 0, 0, 0 },	/* length 0 */
		{ 99, 1, 0, 0 },	/* length 1 */
		{ 99, 5, 0, 0 },	/* past the header */
		{ 1, 1, 1, 99 },	/* no room for its length */
		{ 2, 3, 0, 0 },		/* MSS is 4 long */
		{ 3, 4, 7, 0 },		/* window scale 3 */
		{ 4, 3, 0, 0 },		/* SACK permitted 2 */
		{ 5, 2, 0, 0 },		/* SACK without a block */
		{ 5, 4, 0, 0 },		/* with part of one */
		{ 8, 4, 0, 0 },		/* timestamps 10 */
	};
	struct tcp_hdr h = { 0 };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(parse_with_options(&h, bad[i], 4), WIRE_BAD_OPTION);
}

static void tcp_parse__last_of_two_counts(void **state)
{
	static const uint8_t options[] = { 2, 4, 0x05, 0xb4, 2, 4, 0x02, 0x18 };
	struct tcp_hdr h = { 0 };

	assert_int_equal(parse_with_options(&h, options, sizeof(options)), 28);
	assert_int_equal(h.mss, 536);
}

/* RFC 7413 2: a cookie of 4 to 16 bytes, or none to ask for one. */
static void tcp_parse__fast_open(void **state)
{
	static const uint8_t ask[] = { 34, 2 };
	static const uint8_t grant[] = { 34, 10, 1, 2, 3, 4, 5, 6, 7, 8 };
	struct tcp_hdr h = { 0 };

	assert_int_equal(parse_with_options(&h, ask, sizeof(ask)), 24);
	assert_int_equal(h.options, TCP_HAS_FASTOPEN);
	assert_int_equal(h.cookie_len, 0);
	assert_int_equal(parse_with_options(&h, grant, sizeof(grant)), 32);
	assert_int_equal(h.options, TCP_HAS_FASTOPEN);
	assert_int_equal(h.cookie_len, 8);
	assert_memory_equal(h.cookie, grant + 2, 8);
}

/* RFC 7413 4.1.1: what has another length is as if it were not there, and what follows it counts. */
static void tcp_parse__fast_open_of_impossible_length(void **state)
{
	uint8_t options[24];

	for (unsigned n = 0; n <= 18; n++) {
		bool good = n == 0 || (n >= TCP_MIN_COOKIE && n <= TCP_MAX_COOKIE && n % 2 == 0);
		struct tcp_hdr h = { 0 };

		memset(options, 9, sizeof(options));
		options[0] = TCP_OPT_FASTOPEN;
		options[1] = (uint8_t)(2 + n);
		memcpy(options + 2 + n, (const uint8_t[]){ 2, 4, 5, 0xb4 }, 4);
		assert_true(parse_with_options(&h, options, 6 + n) > 0);
		assert_int_equal(h.options, TCP_HAS_MSS | (good ? TCP_HAS_FASTOPEN : 0));
		assert_int_equal(h.cookie_len, good ? n : 0);
		assert_int_equal(h.mss, 1460);
	}
}

/* Linux puts it last and pads it behind. */
static void tcp_emit__fast_open_layout(void **state)
{
	static const uint8_t want[] = { 2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7,
					34, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1 };
	struct tcp_hdr h = { .options = TCP_HAS_MSS | TCP_HAS_SACK_PERMITTED | TCP_HAS_WSCALE |
					TCP_HAS_TIMESTAMP | TCP_HAS_FASTOPEN,
			     .mss = 1460, .wscale = 7, .ts_val = 1, .cookie_len = 8,
			     .cookie = { 1, 2, 3, 4, 5, 6, 7, 8 } };
	uint8_t bytes[TCP_MAX_HDR_LEN];

	assert_int_equal(tcp_emit(&h, bytes, sizeof(bytes)), 52);
	assert_memory_equal(bytes + 20, want, sizeof(want));
	h.cookie_len = 16; /* fills the header to its end */
	assert_int_equal(tcp_emit(&h, bytes, sizeof(bytes)), 60);
	h.cookie_len = 0;
	assert_int_equal(tcp_emit(&h, bytes, sizeof(bytes)), 44);
	assert_memory_equal(bytes + 40, ((const uint8_t[]){ 34, 2, 1, 1 }), 4);
}

static void tcp_emit__fast_open_of_impossible_length(void **state)
{
	struct tcp_hdr h = { .options = TCP_HAS_FASTOPEN };
	uint8_t bytes[2 * TCP_MAX_HDR_LEN];

	for (unsigned n = 0; n < 256; n++) {
		bool good = n == 0 || (n >= TCP_MIN_COOKIE && n <= TCP_MAX_COOKIE && n % 2 == 0);

		h.cookie_len = (uint8_t)n;
		assert_int_equal(tcp_emit(&h, bytes, sizeof(bytes)) != 0, good);
	}
}

static void tcp_emit__linux_order(void **state)
{
	uint8_t bytes[TCP_MAX_HDR_LEN];
	struct tcp_hdr h = { 0 };

	assert_int_equal(tcp_parse(&h, syn, sizeof(syn)), 40);
	assert_int_equal(tcp_emit(&h, bytes, sizeof(bytes)), 40);
	assert_memory_equal(bytes, syn, sizeof(syn));
	assert_int_equal(tcp_parse(&h, data, sizeof(data)), 32);
	assert_int_equal(tcp_emit(&h, bytes, sizeof(bytes)), 32);
	assert_memory_equal(bytes, data, sizeof(data));
}

static void tcp_emit__sack_permitted_without_timestamps(void **state)
{
	static const uint8_t want[] = { 2, 4, 0x05, 0xb4, 1, 1, 4, 2, 1, 3, 3, 9 };
	struct tcp_hdr h = { .options = TCP_HAS_MSS | TCP_HAS_SACK_PERMITTED | TCP_HAS_WSCALE,
			     .mss = 1460, .wscale = 9 };
	uint8_t bytes[TCP_MAX_HDR_LEN];

	assert_int_equal(tcp_emit(&h, bytes, sizeof(bytes)), 32);
	assert_memory_equal(bytes + 20, want, sizeof(want));
}

/* Everything that can be set at once, in all combinations that fit, comes back. */
/* The short way writes the same bytes, and knows their sum. */
static void tcp_emit_common__as_emit(void **state)
{
	struct tcp_hdr h = { .src_port = 0xfedc, .dst_port = 443, .seq = 0xfffffffe, .ack = 0x80000001,
			     .flags = TCP_FLAGS, .window = 0xabcd, .urgent = 0x1234, .ts_val = 0xdeadbeef, .ts_ecr = 7 };

	for (unsigned i = 0; i < 2; i++) {
		uint8_t want[TCP_MAX_HDR_LEN], got[TCP_HDR_LEN + TCP_TS_LAYOUT_LEN];
		size_t len;
		uint64_t sum;

		h.options = i ? TCP_HAS_TIMESTAMP : 0;
		len = tcp_emit(&h, want, sizeof(want));
		assert_int_equal(tcp_emit_common_len(&h), len);
		sum = tcp_emit_common(&h, got);
		assert_memory_equal(got, want, len);
		assert_int_equal(csum_fold(sum), csum_fold(csum_inline(want, len)));
	}
}

static void tcp_emit__round_trip(void **state)
{
	struct tcp_hdr in = { .src_port = 1, .dst_port = 65535, .seq = 0xffffffff,
			      .ack = 0x80000000, .flags = TCP_FLAGS, .window = 65535,
			      .checksum = 0xabcd, .urgent = 3,
			      .sack = { { 1, 2 }, { 3, 4 }, { 5, 6 }, { 7, 0xfffffff8 } },
			      .cookie = { 8, 7, 6, 5, 4, 3, 2, 1 } };
	unsigned refused = 0;

	for (unsigned i = 0; i < 32 * 5; i++) {
		uint8_t bytes[2 * TCP_MAX_HDR_LEN]; /* room is not what refuses */
		struct tcp_hdr out;
		size_t len;

		memset(&out, 0, sizeof(out));
		in.options = (uint8_t)(i & 31);
		in.n_sack = (uint8_t)(i >> 5);
		in.cookie_len = in.options & TCP_HAS_FASTOPEN ? 8 : 0;
		in.mss = in.options & TCP_HAS_MSS ? 9000 : 0;
		in.wscale = in.options & TCP_HAS_WSCALE ? 14 : 0;
		in.ts_val = in.options & TCP_HAS_TIMESTAMP ? 0xdeadbeef : 0;
		in.ts_ecr = in.options & TCP_HAS_TIMESTAMP ? 0xcafe : 0;
		len = tcp_emit(&in, bytes, sizeof(bytes));
		if (len == 0) {
			assert_true(tcp_emit_len(&in) > TCP_MAX_HDR_LEN);
			refused++;
			continue;
		}
		assert_int_equal(len, tcp_emit_len(&in));
		assert_int_equal(len % 4, 0);
		assert_int_equal(tcp_parse(&out, bytes, len), len);
		in.hdr_len = (uint8_t)len;
		assert_memory_equal(&in, &out, offsetof(struct tcp_hdr, sack));
		assert_memory_equal(in.sack, out.sack, in.n_sack * sizeof(in.sack[0]));
		assert_memory_equal(in.cookie, out.cookie, in.cookie_len);
	}
	/* Without a cookie four blocks leave room for one other option without timestamps: 12 of 16 refused;
	 * three for timestamps alone: 6 refused; two for everything. With its 12 bytes: all 16 refused;
	 * three blocks leave room for nothing else: 15; two for any but timestamps or all three others:
	 * 9; one for all but everything: 2; without any block everything fits. */
	assert_int_equal(refused, 18 + 42);
}

static void tcp_emit__no_room_writes_nothing(void **state)
{
	uint8_t bytes[40] = { 0xaa };
	struct tcp_hdr h = { 0 };

	assert_int_equal(tcp_parse(&h, syn, sizeof(syn)), 40);
	for (size_t room = 0; room < 40; room++)
		assert_int_equal(tcp_emit(&h, bytes, room), 0);
	h.n_sack = TCP_MAX_SACK + 1;
	assert_int_equal(tcp_emit(&h, bytes, sizeof(bytes)), 0);
	assert_int_equal(bytes[0], 0xaa);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_parse__linux_syn),
		cmocka_unit_test(tcp_parse__timestamp_layout),
		cmocka_unit_test(tcp_parse__timestamp_in_other_layout),
		cmocka_unit_test(tcp_parse__truncated_at_every_length),
		cmocka_unit_test(tcp_parse__data_offset_below_header),
		cmocka_unit_test(tcp_parse__every_flag),
		cmocka_unit_test(tcp_parse__sack_blocks),
		cmocka_unit_test(tcp_parse__unknown_options_skipped),
		cmocka_unit_test(tcp_parse__end_of_list_ends),
		cmocka_unit_test(tcp_parse__malformed_options),
		cmocka_unit_test(tcp_parse__last_of_two_counts),
		cmocka_unit_test(tcp_parse__fast_open),
		cmocka_unit_test(tcp_parse__fast_open_of_impossible_length),
		cmocka_unit_test(tcp_emit__fast_open_layout),
		cmocka_unit_test(tcp_emit__fast_open_of_impossible_length),
		cmocka_unit_test(tcp_emit__linux_order),
		cmocka_unit_test(tcp_emit__sack_permitted_without_timestamps),
		cmocka_unit_test(tcp_emit_common__as_emit),
		cmocka_unit_test(tcp_emit__round_trip),
		cmocka_unit_test(tcp_emit__no_room_writes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
