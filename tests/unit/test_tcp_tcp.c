/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_tcp_tcp.c - the stack and the way in: verification, what nobody wants, the table of ends.
 */
#include "tcp_raw.h"

/* --- verification --- */

static void expect_dropped(struct raw_rig *r, enum fs_counter which)
{
	rig_expect_drop(&r->h, which);
	rig_expect_silence(r);
	raw_close(r);
}

/* MUST-3: and a RST to it would answer who knows whom. */
static void tcp_input__bad_checksum(void **state)
{
	struct raw_rig r;

	raw_open(&r);
	RAW_IN(&r, .h.flags = TCP_SYN, .bad_checksum = true);
	expect_dropped(&r, FS_CTR_drop_tcp_checksum);
}

static void tcp_input__bad_checksum_v6(void **state)
{
	struct raw_rig r;

	raw_open(&r);
	RAW_IN(&r, .src = r.peer6, .h.flags = TCP_SYN, .bad_checksum = true);
	expect_dropped(&r, FS_CTR_drop_tcp_checksum);
}

/* Every length, in parts that begin at odd offsets, both families, with IP options. */
static void tcp_input__checksum_of_every_length(void **state)
{
	static uint8_t payload[200];
	struct raw_rig r;
	struct raw_seg out;

	for (unsigned i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)(i * 11);
	raw_open(&r);
	for (uint32_t len = 0; len < sizeof(payload); len++) {
		for (unsigned way = 0; way < 4; way++) {
			struct raw_seg s = { .h = { .flags = TCP_ACK, .ack = 7 }, .payload = payload, .len = len };

			if (way == 1)
				s.src = r.peer6;
			s.ip_options = way == 2;
			s.part = way == 3 ? 79 : 0; /* the headers, and then odd */
			raw_in(&r, &s);
			rig_expect_one(&r, &out, TCP_RST);
		}
	}
	assert_int_equal(r.h.counters[FS_CTR_drop_tcp_checksum], 0);
	assert_int_equal(r.h.counters[FS_CTR_drop_tcp_no_socket], 4 * sizeof(payload));
	raw_close(&r);
}

static void tcp_input__partial_checksum_where_it_may_be(void **state)
{
	struct raw_rig r;
	struct raw_seg out;

	raw_open(&r);
	RAW_IN(&r, .h.flags = TCP_SYN, .partial_checksum = true);
	assert_int_equal(r.h.counters[FS_CTR_drop_tcp_checksum], 1);
	rig_expect_silence(&r);
	RAW_IN(&r, .h.flags = TCP_SYN, .partial_checksum = true, .csum = FBUF_CSUM_PARTIAL);
	rig_expect_one(&r, &out, TCP_RST | TCP_ACK);
	r.h.ip.port[0].trust_partial = true;
	RAW_IN(&r, .h.flags = TCP_SYN, .partial_checksum = true);
	rig_expect_one(&r, &out, TCP_RST | TCP_ACK);
	RAW_IN(&r, .h.flags = TCP_SYN, .bad_checksum = true); /* neither complete nor partial */
	assert_int_equal(r.h.counters[FS_CTR_drop_tcp_checksum], 2);
	RAW_IN(&r, .h.flags = TCP_SYN, .bad_checksum = true, .csum = FBUF_CSUM_VERIFIED);
	rig_expect_one(&r, &out, TCP_RST | TCP_ACK);
	raw_close(&r);
}

static void tcp_input__port_zero(void **state)
{
	struct raw_rig r;

	raw_open(&r);
	RAW_IN(&r, .h = { .flags = TCP_SYN, .src_port = 9 }, .no_port = true);
	RAW_IN(&r, .h = { .flags = TCP_SYN, .dst_port = 9 }, .no_port = true);
	assert_int_equal(r.h.counters[FS_CTR_drop_tcp_header], 2);
	rig_expect_silence(&r);
	raw_close(&r);
}

/* MUST-7, MUST-64: a list that makes no sense ends there. As Linux, what came before it counts. */
static void tcp_input__malformed_options_end_the_list(void **state)
{
	static const uint8_t bad[][8] = {
		{ 2, 4, 5, 0, 99, 0, 0, 0 }, /* length 0 */
		{ 2, 4, 5, 0, 99, 1, 0, 0 },
		{ 2, 4, 5, 0, 99, 40, 0, 0 }, /* beyond the header */
		{ 2, 4, 5, 0, 1, 1, 1, 99 },
	};
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg out;

	raw_open(&r);
	rig_listen(&r, &l, 9);
	for (unsigned i = 0; i < FS_ARRAY_SIZE(bad); i++) {
		struct raw_seg s = { .h = { .flags = TCP_SYN, .src_port = (uint16_t)(i + 1) } };

		raw_in_options(&r, &s, bad[i], sizeof(bad[i]));
		rig_expect_one(&r, &out, TCP_SYN | TCP_ACK);
		assert_int_equal(((struct tcp_req *)(void *)rig_end(&r, (uint16_t)(i + 1)))->hs.peer_mss, 1280);
	}
	tcp_unlisten(&l, &r.h.env, rig_now(&r));
	raw_close(&r);
}

/* --- super-frames --- */

/* MUST-3: of whatever size. */
static void tcp_input__super_frame_with_bad_checksum(void **state)
{
	static uint8_t payload[3000];
	struct raw_rig r;

	raw_open(&r);
	RAW_IN(&r, .h.flags = TCP_ACK, .payload = payload, .len = sizeof(payload), .gso_size = 1000,
	       .bad_checksum = true);
	expect_dropped(&r, FS_CTR_drop_tcp_checksum);
}

/* A SYN or a RST stands for itself. */
static void tcp_input__super_frame_of_no_data(void **state)
{
	static uint8_t payload[3000];
	struct raw_rig r;

	raw_open(&r);
	RAW_IN(&r, .h.flags = TCP_SYN, .payload = payload, .len = sizeof(payload), .gso_size = 1000);
	expect_dropped(&r, FS_CTR_drop_tcp_gso);
}

/* They count as what they stand for. */
static void tcp_input__super_frame_counts_its_segments(void **state)
{
	static uint8_t payload[3000];
	static const struct {
		uint32_t len;
		uint16_t size;
		uint8_t csum;
		uint64_t segments;
	} cases[] = {
		{ 3000, 1000, FBUF_CSUM_PARTIAL, 3 },
		{ 3000, 1400, FBUF_CSUM_VERIFIED, 3 },
		{ 3000, 1400, FBUF_CSUM_UNKNOWN, 3 }, /* whose sum was completed on the way */
		{ 1400, 1400, FBUF_CSUM_UNKNOWN, 1 }, /* an ordinary one */
		{ 100, 1400, FBUF_CSUM_UNKNOWN, 1 },
		{ 0, 1400, FBUF_CSUM_UNKNOWN, 1 },
	};

	for (unsigned i = 0; i < FS_ARRAY_SIZE(cases); i++) {
		struct raw_rig r;
		struct raw_seg out;

		raw_open(&r);
		RAW_IN(&r, .h.flags = TCP_ACK, .payload = payload, .len = cases[i].len, .gso_size = cases[i].size,
		       .csum = cases[i].csum);
		assert_int_equal(r.h.counters[FS_CTR_tcp_segments_in], cases[i].segments);
		rig_expect_one(&r, &out, TCP_RST);
		raw_close(&r);
	}
}

/* --- nobody's segments: RFC 9293 3.10.7.1 --- */

static void tcp_input__reset_to_an_ack(void **state)
{
	struct raw_rig r;
	struct raw_seg out;

	raw_open(&r);
	RAW_IN(&r, .h = { .flags = TCP_ACK | TCP_FIN, .seq = 5, .ack = 77, .urgent = 3 }, .payload = "abc", .len = 3);
	rig_expect_one(&r, &out, TCP_RST);
	assert_int_equal(out.h.seq, 77);
	assert_int_equal(out.h.ack, 0);
	assert_int_equal(out.h.window, 0);
	assert_int_equal(out.h.hdr_len, TCP_HDR_LEN);
	assert_int_equal(out.h.src_port, RIG_PORT);
	assert_int_equal(out.h.dst_port, RIG_PEER_PORT);
	assert_true(ip_addr_equal(&out.dst, &r.peer4));
	rig_expect_drop(&r.h, FS_CTR_drop_tcp_no_socket);
	assert_int_equal(r.h.counters[FS_CTR_tcp_resets_out], 1);
	assert_int_equal(r.h.counters[FS_CTR_tcp_segments_out], 1);
	raw_close(&r);
}

/* Without an ACK the RST says what it is about: everything the segment takes of the sequence space. */
static void tcp_input__reset_to_no_ack(void **state)
{
	static const uint16_t flags[] = { TCP_SYN, TCP_FIN, TCP_SYN | TCP_FIN, 0, TCP_PSH, TCP_URG };
	struct raw_rig r;
	struct raw_seg out;

	raw_open(&r);
	for (unsigned i = 0; i < FS_ARRAY_SIZE(flags); i++) {
		uint32_t space = ((flags[i] & TCP_SYN) != 0) + ((flags[i] & TCP_FIN) != 0);

		RAW_IN(&r, .src = r.peer6, .h = { .flags = flags[i], .seq = 0xffffffff }, .payload = "abc", .len = 3);
		rig_expect_one(&r, &out, TCP_RST | TCP_ACK);
		assert_int_equal(out.h.seq, 0);
		assert_int_equal(out.h.ack, 0xffffffff + 3 + space);
		assert_true(ip_addr_equal(&out.dst, &r.peer6));
	}
	raw_close(&r);
}

static void tcp_input__no_reset_to_a_reset(void **state)
{
	struct raw_rig r;

	raw_open(&r);
	RAW_IN(&r, .h.flags = TCP_RST);
	RAW_IN(&r, .h.flags = TCP_RST | TCP_ACK);
	RAW_IN(&r, .h.flags = TCP_RST | TCP_SYN);
	assert_int_equal(r.h.counters[FS_CTR_drop_tcp_no_socket], 3);
	rig_expect_silence(&r);
	raw_close(&r);
}

/* What is on its way to a listener, or to a handshake, that is somebody else's by now is no reason to refuse the connection. */
static void tcp_input__strays_get_no_reset(void **state)
{
	struct raw_rig r;
	struct raw_seg out;

	raw_open(&r);
	r.tcp.stray_until = rig_now(&r) + 1;
	RAW_IN(&r, .h.flags = TCP_SYN);
	RAW_IN(&r, .h.flags = TCP_ACK);
	RAW_IN(&r, .h.flags = TCP_ACK | TCP_PSH, .payload = "abc", .len = 3);
	rig_expect_silence(&r);
	assert_int_equal(r.h.counters[FS_CTR_drop_tcp_no_socket], 3);
	r.tcp.stray_until = rig_now(&r);
	RAW_IN(&r, .h.flags = TCP_SYN);
	rig_expect_one(&r, &out, TCP_RST | TCP_ACK);
	RAW_IN(&r, .h.flags = TCP_ACK);
	rig_expect_one(&r, &out, TCP_RST);
	raw_close(&r);
}

/* MUST-57, MUST-63: a group is nobody's peer, on either side. */
static void tcp_input__groups_begin_nothing(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;

	raw_open(&r);
	rig_listen(&r, &l, 5);
	RAW_IN(&r, .dst = rig_v4(224, 0, 0, 1), .h.flags = TCP_SYN);
	RAW_IN(&r, .dst = rig_v4(10, 0, 0, 255), .h.flags = TCP_SYN);
	RAW_IN(&r, .dst = rig_v4(255, 255, 255, 255), .h.flags = TCP_SYN);
	RAW_IN(&r, .src = rig_v4(224, 0, 0, 1), .h.flags = TCP_SYN);
	RAW_IN(&r, .src = rig_v4(255, 255, 255, 255), .h.flags = TCP_SYN);
	RAW_IN(&r, .src = rig_v4(127, 0, 0, 1), .h.flags = TCP_SYN);
	RAW_IN(&r, .src = rig_v6(0xff, 1), .h.flags = TCP_SYN);
	RAW_IN(&r, .src = r.peer6, .dst = rig_v6(0xff, 1), .h.flags = TCP_SYN);
	rig_expect_silence(&r);
	assert_int_equal(l.n_reqs, 0);
	tcp_unlisten(&l, &r.h.env, rig_now(&r));
	raw_close(&r);
}

/* --- ends --- */

static void tcp_end_find__all_of_the_tuple_counts(void **state)
{
	struct raw_rig r;
	struct tcp_end end = { .local_port = 1, .remote_port = 2, .kind = TCP_END_TW };

	raw_open(&r);
	end.local = r.h.v4;
	end.remote = r.peer4;
	tcp_end_insert(&r.tcp, &end);
	assert_ptr_equal(tcp_end_find(&r.tcp, &r.h.v4, 1, &r.peer4, 2), &end);
	assert_null(tcp_end_find(&r.tcp, &r.h.v4, 2, &r.peer4, 1));
	assert_null(tcp_end_find(&r.tcp, &r.h.v4, 1, &r.peer4, 3));
	assert_null(tcp_end_find(&r.tcp, &r.peer4, 1, &r.h.v4, 2));
	assert_null(tcp_end_find(&r.tcp, &r.h.v6, 1, &r.peer4, 2));
	assert_null(tcp_end_find(&r.tcp, &r.h.v4, 1, &r.peer6, 2));
	tcp_end_remove(&r.tcp, &end);
	assert_null(tcp_end_find(&r.tcp, &r.h.v4, 1, &r.peer4, 2));
	raw_close(&r);
}

/* The hint of the last look-up does not outlive what it names. */
static void tcp_end_remove__takes_the_hint_along(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg out;

	raw_open(&r);
	rig_listen(&r, &l, 5);
	rig_half_open(&r, 1);
	rig_half_open(&r, 2);
	RAW_IN(&r, .h = { .src_port = 1, .flags = TCP_SYN, .seq = RIG_PEER_SEQ });
	assert_ptr_equal(r.tcp.last, rig_end(&r, 1));
	RAW_IN(&r, .h = { .src_port = 2, .flags = TCP_RST, .seq = RIG_PEER_SEQ + 1 });
	RAW_IN(&r, .h = { .src_port = 1, .flags = TCP_RST, .seq = RIG_PEER_SEQ + 1 });
	assert_null(r.tcp.last);
	rig_forget_out(&r);
	RAW_IN(&r, .h = { .src_port = 1, .flags = TCP_ACK, .ack = 9 });
	rig_expect_one(&r, &out, TCP_RST);
	tcp_unlisten(&l, &r.h.env, rig_now(&r));
	raw_close(&r);
}

/* --- configuration --- */

static void tcp_config_default__is_linux(void **state)
{
	struct tcp_config c;

	memset(&c, 0xff, sizeof(c));
	tcp_config_default(&c);
	assert_int_equal(c.rto_min_us, 200000);
	assert_int_equal(c.rto_initial_us, 1000000);
	assert_int_equal(c.rto_max_us, 120000000);
	assert_int_equal(c.initial_cwnd, 10);
	assert_int_equal(c.syn_retries, 6);
	assert_int_equal(c.synack_retries, 5);
	assert_int_equal(c.retries2, 15);
	assert_int_equal(c.ecn, 2);
	assert_int_equal(c.syncookies, 1);
	assert_true(c.delack_max_us < 500000); /* MUST-40 */
	assert_true(c.timestamps && c.sack && c.window_scaling);
	assert_false(c.rfc1337);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_input__bad_checksum),
		cmocka_unit_test(tcp_input__bad_checksum_v6),
		cmocka_unit_test(tcp_input__checksum_of_every_length),
		cmocka_unit_test(tcp_input__partial_checksum_where_it_may_be),
		cmocka_unit_test(tcp_input__port_zero),
		cmocka_unit_test(tcp_input__malformed_options_end_the_list),
		cmocka_unit_test(tcp_input__super_frame_with_bad_checksum),
		cmocka_unit_test(tcp_input__super_frame_of_no_data),
		cmocka_unit_test(tcp_input__super_frame_counts_its_segments),
		cmocka_unit_test(tcp_input__reset_to_an_ack),
		cmocka_unit_test(tcp_input__reset_to_no_ack),
		cmocka_unit_test(tcp_input__no_reset_to_a_reset),
		cmocka_unit_test(tcp_input__strays_get_no_reset),
		cmocka_unit_test(tcp_input__groups_begin_nothing),
		cmocka_unit_test(tcp_end_find__all_of_the_tuple_counts),
		cmocka_unit_test(tcp_end_remove__takes_the_hint_along),
		cmocka_unit_test(tcp_config_default__is_linux),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
