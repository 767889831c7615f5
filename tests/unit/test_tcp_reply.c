/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_tcp_reply.c - segments of no connection, byte by byte; initial numbers.
 */
#include "tcp_raw.h"

static struct tcp_reply to_peer(const struct raw_rig *r)
{
	return (struct tcp_reply){ .local = r->h.v4, .remote = r->peer4, .local_port = 80, .remote_port = 4000 };
}

/* The whole frame, as it would lie in a capture. */
static void tcp_reply__frame_of_a_reset(void **state)
{
	static const uint8_t want[] = {
		/* Ethernet */
		2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x08, 0x00,
		/* IPv4: 40 bytes, DF, TTL 64, TCP */
		0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0x26, 0xce, 10, 0, 0, 1, 10, 0, 0, 2,
		/* TCP: 80 -> 4000, RST */
		0, 80, 0x0f, 0xa0, 0x01, 0x02, 0x03, 0x04, 0, 0, 0, 0, 0x50, 0x04, 0, 0, 0x87, 0xe8, 0, 0,
	};
	struct raw_rig r;
	struct tcp_reply reply;
	struct fbuf *frame;

	raw_open(&r);
	reply = to_peer(&r);
	reply.h.flags = TCP_RST;
	reply.h.seq = 0x01020304;
	assert_int_equal(tcp_reply(&r.tcp, &r.h.env, &reply, rig_now(&r)), 0);
	frame = fbuf_queue_pop(&r.h.ip.port[0].out);
	assert_int_equal(frame->total, sizeof(want));
	assert_memory_equal(frame->data, want, sizeof(want));
	assert_int_equal(frame->l3_offset, 14);
	fbuf_free(frame);
	raw_close(&r);
}

static void tcp_reply__v6(void **state)
{
	struct raw_rig r;
	struct tcp_reply reply;
	struct raw_seg out;

	raw_open(&r);
	reply = to_peer(&r);
	reply.local = r.h.v6;
	reply.remote = r.peer6;
	reply.h.flags = TCP_ACK;
	assert_int_equal(tcp_reply(&r.tcp, &r.h.env, &reply, rig_now(&r)), 0);
	rig_expect_one(&r, &out, TCP_ACK); /* and its checksum is right */
	assert_true(ip_addr_equal(&out.src, &r.h.v6));
	raw_close(&r);
}

/* MUST-48, MUST-49: what a listener's user set goes for what it answers. */
static void tcp_reply__style(void **state)
{
	struct raw_rig r;
	struct tcp_reply reply;
	struct raw_seg out;

	raw_open(&r);
	reply = to_peer(&r);
	reply.h.flags = TCP_ACK;
	reply.style = (struct tcp_style){ .tos = 0x48, .hop_limit = 3 };
	tcp_reply(&r.tcp, &r.h.env, &reply, rig_now(&r));
	rig_expect_one(&r, &out, TCP_ACK);
	assert_int_equal(out.tos, 0x48);
	assert_int_equal(out.ttl, 3);
	raw_close(&r);
}

/* With the port's pool at its low water the payload pool serves. */
static void tcp_reply__pinned_pool_low(void **state)
{
	struct raw_rig r;
	struct tcp_reply reply;
	struct raw_seg out;

	raw_open(&r);
	r.h.pinned.low_water = r.h.pinned.n_free;
	reply = to_peer(&r);
	reply.h.flags = TCP_RST;
	assert_int_equal(tcp_reply(&r.tcp, &r.h.env, &reply, rig_now(&r)), 0);
	assert_int_equal(r.h.payload.n_free, r.h.payload.n_total - 1);
	rig_expect_one(&r, &out, TCP_RST);
	raw_close(&r);
}

/* Issue 6: nor has the payload pool any, for as long as unread connections like. The port's serves then, but for a part
 * of what is below its low water. */
static void tcp_reply__both_pools_low(void **state)
{
	struct fbuf *taken[RIG_PAYLOAD];
	struct raw_rig r;
	struct tcp_reply reply;
	struct raw_seg out;
	unsigned n = 0;

	raw_open(&r);
	r.h.pinned.low_water = r.h.pinned.n_free;
	while (r.h.payload.n_free > 0)
		taken[n++] = fbuf_alloc(&r.h.payload);
	reply = to_peer(&r);
	reply.h.flags = TCP_SYN | TCP_ACK;
	assert_int_equal(tcp_reply(&r.tcp, &r.h.env, &reply, rig_now(&r)), 0);
	rig_expect_one(&r, &out, TCP_SYN | TCP_ACK);
	r.h.pinned.low_water = 8 * r.h.pinned.n_free;
	assert_int_equal(tcp_reply(&r.tcp, &r.h.env, &reply, rig_now(&r)), -ENOBUFS);
	rig_expect_silence(&r);
	while (n > 0)
		fbuf_free(taken[--n]);
	raw_close(&r);
}

static void tcp_reply__cannot_leave(void **state)
{
	struct raw_rig r;
	struct tcp_reply reply;
	struct raw_seg out;

	raw_open(&r);
	reply = to_peer(&r);
	reply.h.flags = TCP_RST;
	r.no_route = true;
	assert_true(tcp_reply(&r.tcp, &r.h.env, &reply, rig_now(&r)) < 0);
	r.no_route = false;
	r.h.ip.port[0].up = false;
	assert_true(tcp_reply(&r.tcp, &r.h.env, &reply, rig_now(&r)) < 0);
	r.h.ip.port[0].up = true;
	assert_int_equal(r.h.counters[FS_CTR_tcp_blocked], 2);
	rig_expect_silence(&r);
	assert_int_equal(tcp_reply(&r.tcp, &r.h.env, &reply, rig_now(&r)), 0);
	rig_expect_one(&r, &out, TCP_RST);
	raw_close(&r);
}

static void tcp_reply__no_chunk_and_full_queue(void **state)
{
	struct raw_rig r;
	struct tcp_reply reply;
	unsigned sent = 0;

	raw_open(&r);
	reply = to_peer(&r);
	reply.h.flags = TCP_RST;
	while (tcp_reply(&r.tcp, &r.h.env, &reply, rig_now(&r)) == 0)
		sent++;
	assert_int_equal(sent, RIG_PINNED + RIG_PAYLOAD);
	assert_int_equal(r.h.counters[FS_CTR_pool_empty], 1);
	rig_forget_out(&r);
	raw_close(&r);

	raw_open_sized(&r, &(struct rig_sizes){ IP_OUT_LIMIT + 10, 1, 256 });
	for (sent = 0; tcp_reply(&r.tcp, &r.h.env, &reply, rig_now(&r)) == 0;)
		sent++;
	assert_int_equal(sent, IP_OUT_LIMIT);
	rig_forget_out(&r);
	raw_close(&r);
}

/* --- numbers --- */

static struct tcp_end end_of(const struct raw_rig *r, uint16_t local_port, uint16_t remote_port)
{
	return (struct tcp_end){
		.local = r->h.v4, .remote = r->peer4, .local_port = local_port, .remote_port = remote_port
	};
}

/* T6528-1, MUST-8: the same tuple's numbers grow with the clock, a step each 64 ns. */
static void tcp_isn__grows_with_time(void **state)
{
	struct raw_rig r;
	struct tcp_end end;
	tcp_seq first;

	raw_open(&r);
	end = end_of(&r, 80, 4000);
	first = tcp_isn(&r.tcp, &end, FS_SEC(5));
	assert_int_equal(tcp_isn(&r.tcp, &end, FS_SEC(5)), first);
	assert_int_equal(tcp_isn(&r.tcp, &end, FS_SEC(5) + 64), first + 1);
	assert_int_equal(tcp_isn(&r.tcp, &end, FS_SEC(6)), first + 15625000);
	raw_close(&r);
}

/* T6528-1, SHLD-1: no tuple's number tells another's; no secret's either. Of 1000 differences no two are close. */
static void tcp_isn__of_tuples_are_unrelated(void **state)
{
	struct raw_rig r;
	tcp_seq previous = 0;
	unsigned close = 0;

	raw_open(&r);
	for (uint16_t port = 1; port <= 1000; port++) {
		struct tcp_end end = end_of(&r, 80, port);
		tcp_seq isn = tcp_isn(&r.tcp, &end, FS_SEC(5));

		close += isn - previous < 1 << 16 || previous - isn < 1 << 16;
		previous = isn;
	}
	assert_true(close <= 2); /* 0.03 expected */
	{
		struct tcp_end end = end_of(&r, 80, 4000), swapped = end_of(&r, 4000, 80);
		tcp_seq isn = tcp_isn(&r.tcp, &end, FS_SEC(5));

		assert_int_not_equal(isn, tcp_isn(&r.tcp, &swapped, FS_SEC(5)));
		r.tcp.secret[TCP_SECRET_ISN].k[0]++;
		assert_int_not_equal(isn, tcp_isn(&r.tcp, &end, FS_SEC(5)));
	}
	raw_close(&r);
}

/* T7323-8: an offset per tuple, always the same, and unrelated to its initial number. */
static void tcp_ts_offset__hangs_on_the_tuple(void **state)
{
	struct raw_rig r;
	struct tcp_end a, b;

	raw_open(&r);
	a = end_of(&r, 80, 4000);
	b = end_of(&r, 80, 4001);
	assert_int_equal(tcp_ts_offset(&r.tcp, &a), tcp_ts_offset(&r.tcp, &a));
	assert_int_not_equal(tcp_ts_offset(&r.tcp, &a), tcp_ts_offset(&r.tcp, &b));
	assert_int_not_equal(tcp_ts_offset(&r.tcp, &a), tcp_isn(&r.tcp, &a, 0));
	raw_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_reply__frame_of_a_reset),
		cmocka_unit_test(tcp_reply__v6),
		cmocka_unit_test(tcp_reply__style),
		cmocka_unit_test(tcp_reply__pinned_pool_low),
		cmocka_unit_test(tcp_reply__both_pools_low),
		cmocka_unit_test(tcp_reply__cannot_leave),
		cmocka_unit_test(tcp_reply__no_chunk_and_full_queue),
		cmocka_unit_test(tcp_isn__grows_with_time),
		cmocka_unit_test(tcp_isn__of_tuples_are_unrelated),
		cmocka_unit_test(tcp_ts_offset__hangs_on_the_tuple),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
