/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_tcp_info.c - TCP_INFO: the fields programs and packet scripts look at, and what a sender's time goes to.
 */
#include "tcp_raw.h"

#include "tcp/info.h"

enum { PORT = 1 };

struct fixture {
	struct raw_rig r;
	struct tcp_listener l;
	struct tcp_conn *c;
	struct raw_seg synack;
};

static void setup(struct fixture *f)
{
	raw_open(&f->r);
	rig_listen(&f->r, &f->l, 8);
	f->c = rig_accepted(&f->r, &f->l, PORT, &f->synack);
}

static void teardown(struct fixture *f)
{
	tcp_abort(f->c, &f->r.h.env, rig_now(&f->r));
	tcp_unlisten(&f->l, &f->r.h.env, rig_now(&f->r));
	rig_forget_out(&f->r);
	raw_close(&f->r);
}

static struct tcp_info_layout info(struct fixture *f)
{
	struct tcp_info_layout i;

	memset(&i, 0xee, sizeof(i));
	assert_int_equal(tcp_info(f->c, &i, sizeof(i), rig_now(&f->r)), sizeof(i));
	return i;
}

/* The peer acks everything. */
static void ack_all(struct fixture *f, uint16_t window)
{
	struct raw_seg s = rig_next(f->c, TCP_ACK, &f->synack);

	s.h.window = window;
	rig_burst(&f->r, &s);
}

static void tcp_info__fresh_connection(void **state)
{
	struct fixture f;
	struct tcp_info_layout i;

	setup(&f);
	i = info(&f);
	assert_int_equal(i.state, TCP_ESTABLISHED);
	assert_int_equal(i.ca_state, TCP_CA_OPEN);
	assert_int_equal(i.options, TCP_INFO_TIMESTAMPS | TCP_INFO_SACK | TCP_INFO_WSCALE);
	assert_int_equal(i.snd_wscale, 7);
	assert_int_equal(i.rcv_wscale, 7);
	assert_int_equal(i.snd_mss, 1448);
	assert_int_equal(i.advmss, 1448);
	assert_int_equal(i.pmtu, RIG_MTU);
	assert_int_equal(i.snd_cwnd, 10); /* T6928-1 */
	assert_int_equal(i.snd_ssthresh, 0x7fffffff);
	assert_int_equal(i.reordering, 3);
	assert_int_equal(i.snd_wnd, 502 << 7);
	assert_int_equal(i.unacked + i.lost + i.sacked + i.retrans + i.total_retrans + i.backoff + i.probes, 0);
	assert_int_equal(i.busy_time, 0);
	assert_true(i.max_pacing_rate == UINT64_MAX);
	teardown(&f);
}

static void tcp_info__in_flight(void **state)
{
	static char bytes[3 * 1448 + 10];
	struct fixture f;
	struct tcp_info_layout i;

	setup(&f);
	assert_int_equal(rig_write(&f.r, f.c, bytes, sizeof(bytes), 0), sizeof(bytes));
	rig_forget_out(&f.r);
	i = info(&f);
	assert_int_equal(i.unacked, f.c->packets_out);
	assert_in_range(i.unacked, 3, 4);
	assert_int_equal(i.notsent_bytes, f.c->snd_end - f.c->snd_nxt);
	f.r.h.env.now += FS_MS(25);
	ack_all(&f, 502);
	rig_forget_out(&f.r);
	f.r.h.env.now += FS_MS(5);
	i = info(&f);
	assert_int_equal(i.last_data_sent, f.c->last_sent_at == 0 ? 0 : (rig_now(&f.r) - f.c->last_sent_at) / FS_MS(1));
	assert_true(i.delivered >= 3);
	assert_true(i.bytes_acked >= 3 * 1448);
	assert_int_equal(i.rtt, f.c->rtt.srtt_us);
	assert_true(i.rtt > 0 && i.rto >= 200000);
	assert_int_equal(i.rcv_rtt, f.c->rcv_rtt_us);
	teardown(&f);
}

static void tcp_info__received(void **state)
{
	struct fixture f;
	struct tcp_info_layout i;
	struct raw_seg s;

	setup(&f);
	s = rig_next(f.c, TCP_ACK | TCP_PSH, &f.synack);
	s.payload = "hello";
	s.len = 5;
	rig_burst(&f.r, &s);
	s.h.seq += 10; /* a gap of 5 */
	rig_burst(&f.r, &s);
	f.r.h.env.now += FS_MS(40);
	i = info(&f);
	assert_int_equal(i.last_data_recv, 40);
	assert_int_equal(i.bytes_received, 5);
	s.h.seq -= 5;
	rig_burst(&f.r, &s);
	i = info(&f);
	assert_int_equal(i.bytes_received, 15);
	assert_true(i.rcv_mss > 0);
	teardown(&f);
}

/* Segments and bytes both ways, control segments and what comes twice included. */
static void tcp_info__segments_and_bytes(void **state)
{
	static char bytes[1448];
	struct fixture f;
	struct tcp_info_layout before, i;
	struct raw_seg s;

	setup(&f);
	before = info(&f);
	assert_int_equal(before.data_segs_in + before.data_segs_out, 0);
	assert_true(before.bytes_sent == 0 && before.delivery_rate == 0);
	assert_true(before.segs_in > 0); /* the handshake's last */
	rig_write(&f.r, f.c, bytes, sizeof(bytes), 0);
	rig_write(&f.r, f.c, bytes, 100, 0);
	rig_forget_out(&f.r);
	i = info(&f);
	assert_int_equal(i.data_segs_out, f.c->packets_out);
	assert_int_equal(i.segs_out, before.segs_out + i.data_segs_out);
	assert_true(i.bytes_sent == f.c->snd_nxt - f.c->snd_una);
	f.r.h.env.now += FS_MS(10);
	ack_all(&f, 502);
	i = info(&f);
	assert_int_equal(i.segs_in, before.segs_in + 1);
	assert_true(i.bytes_sent == i.bytes_acked && i.bytes_sent >= sizeof(bytes));
	assert_true(i.bytes_retrans == 0);
	s = rig_next(f.c, TCP_ACK | TCP_PSH, &f.synack);
	s.payload = "hello";
	s.len = 5;
	rig_burst(&f.r, &s);
	rig_burst(&f.r, &s); /* again: it counts, and so does the ACK that each is answered with */
	i = info(&f);
	assert_int_equal(i.data_segs_in, 2);
	assert_int_equal(i.segs_in, before.segs_in + 3);
	assert_int_equal(i.segs_out, before.segs_out + i.data_segs_out + 2);
	rig_forget_out(&f.r);
	teardown(&f);
}

static void tcp_info__retransmitted(void **state)
{
	struct fixture f;
	struct tcp_info_layout i;

	setup(&f);
	rig_write(&f.r, f.c, "0123456789", 10, 0);
	rig_forget_out(&f.r);
	for (unsigned tries = 0; f.c->total_retrans < 3 && tries < 100; tries++) {
		f.r.h.env.now += FS_MS(200);
		tcp_advance(&f.r.tcp, &f.r.h.env, rig_now(&f.r));
		rig_forget_out(&f.r);
	}
	i = info(&f);
	assert_int_equal(i.total_retrans, 3);
	assert_int_equal(i.data_segs_out, 4);
	assert_true(i.bytes_retrans == 30);
	assert_true(i.bytes_sent == 40);
	ack_all(&f, 502);
	assert_int_equal(tcp_shutdown(f.c, &f.r.h.env, TCP_SHUT_WR, rig_now(&f.r)), 0);
	rig_forget_out(&f.r);
	assert_true(info(&f).bytes_sent == 40); /* a FIN is no byte */
	ack_all(&f, 502);
	assert_int_equal(f.c->state, TCP_FIN_WAIT2);
	assert_true(info(&f).bytes_sent == 40);
	teardown(&f);
}

static void tcp_info__last_ack_recv(void **state)
{
	struct fixture f;

	setup(&f);
	f.r.h.env.now += FS_MS(500);
	assert_in_range(info(&f).last_ack_recv, 498, 502);
	ack_all(&f, 502);
	assert_in_range(info(&f).last_ack_recv, 0, 2);
	teardown(&f);
}

/* A dialogue: a segment in a round trip, which the program bounds. A flight: what it delivered in its time. */
static void tcp_info__delivery_rate(void **state)
{
	static char bytes[10 * 1448];
	struct fixture f;
	struct tcp_info_layout i;

	setup(&f);
	rig_write(&f.r, f.c, "x", 1, 0);
	rig_forget_out(&f.r);
	f.r.h.env.now += FS_MS(20);
	ack_all(&f, 502);
	i = info(&f);
	assert_true(i.delivery_rate == 1448ULL * 1000000 / i.min_rtt);
	assert_int_equal(i.delivery_rate_app_limited, 1);
	for (unsigned n = 0; n < 3; n++) { /* the last one begins while nothing bounds it */
		rig_write(&f.r, f.c, bytes, sizeof(bytes), 0);
		rig_forget_out(&f.r);
		f.r.h.env.now += FS_MS(20);
		ack_all(&f, 502);
		rig_forget_out(&f.r);
	}
	i = info(&f);
	assert_in_range(i.delivery_rate, 1448 * 50 * 9, 1448 * 50 * 21);
	teardown(&f);
}

/* Fewer bytes for an older program; no byte behind them is touched. */
static void tcp_info__short_buffer(void **state)
{
	struct fixture f;
	struct tcp_info_layout whole;
	uint8_t part[sizeof(whole)];

	setup(&f);
	whole = info(&f);
	for (size_t len = 0; len < sizeof(whole); len++) {
		memset(part, 0xee, sizeof(part));
		assert_int_equal(tcp_info(f.c, part, len, rig_now(&f.r)), len);
		assert_memory_equal(part, &whole, len);
		assert_int_equal(part[len], 0xee);
	}
	assert_int_equal(tcp_info(f.c, &whole, 10000, rig_now(&f.r)), sizeof(whole));
	teardown(&f);
}

static void tcp_listener_info__queues(void **state)
{
	struct fixture f;
	struct tcp_info_layout i;

	setup(&f);
	rig_complete_open(&f.r, 2);
	assert_int_equal(tcp_listener_info(&f.l, &i, sizeof(i)), sizeof(i));
	assert_int_equal(i.state, TCP_LISTEN);
	assert_int_equal(i.unacked, 1);
	assert_int_equal(i.sacked, 8);
	assert_int_equal(i.snd_cwnd, 0);
	teardown(&f);
}

/* --- what a sender's time goes to --- */

/* us, with the clock's step of 1.05 ms at each end. */
static void assert_about(uint64_t us, uint64_t want)
{
	assert_in_range(us, want - FS_MIN(want, (uint64_t)2200), want + 2200);
}

static void tcp_chrono__busy(void **state)
{
	struct fixture f;
	struct tcp_info_layout i;

	setup(&f);
	f.r.h.env.now += FS_MS(100);
	rig_write(&f.r, f.c, "x", 1, 0);
	rig_forget_out(&f.r);
	f.r.h.env.now += FS_MS(30);
	i = info(&f);
	assert_about(i.busy_time, 30000); /* still */
	ack_all(&f, 502);
	f.r.h.env.now += FS_MS(500);
	i = info(&f);
	assert_about(i.busy_time, 30000);
	assert_int_equal(i.rwnd_limited + i.sndbuf_limited, 0);
	teardown(&f);
}

static void tcp_chrono__peers_window(void **state)
{
	static char bytes[4000];
	struct fixture f;
	struct tcp_info_layout i;
	struct raw_seg s;

	setup(&f);
	rig_write(&f.r, f.c, "x", 1, 0);
	rig_forget_out(&f.r);
	s = rig_next(f.c, TCP_ACK, &f.synack);
	s.h.window = 1; /* 128 bytes */
	s.h.ack = f.c->snd_nxt;
	rig_burst(&f.r, &s);
	rig_write(&f.r, f.c, bytes, sizeof(bytes), 0);
	rig_forget_out(&f.r);
	f.r.h.env.now += FS_MS(50);
	i = info(&f);
	assert_about(i.rwnd_limited, 50000);
	assert_about(i.busy_time, 50000);
	s = rig_next(f.c, TCP_ACK, &f.synack);
	rig_burst(&f.r, &s); /* it opens */
	rig_forget_out(&f.r);
	f.r.h.env.now += FS_MS(20);
	i = info(&f);
	assert_about(i.rwnd_limited, 50000);
	assert_about(i.busy_time, 70000);
	teardown(&f);
}

static void tcp_chrono__send_buffer(void **state)
{
	static char bytes[20000];
	struct fixture f;
	struct tcp_info_layout i;
	struct tcp_options o;

	setup(&f);
	o = *tcp_get_options(f.c);
	o.sndbuf = 4608;
	assert_int_equal(tcp_set_options(f.c, &f.r.h.env, &o, rig_now(&f.r)), 0);
	while (rig_write(&f.r, f.c, bytes, 1448, 0) > 0)
		continue;
	rig_forget_out(&f.r);
	assert_int_equal(f.c->snd_end - f.c->snd_nxt, 0);
	f.r.h.env.now += FS_MS(60);
	i = info(&f);
	assert_about(i.sndbuf_limited, 60000);
	ack_all(&f, 502);
	f.r.h.env.now += FS_MS(60);
	i = info(&f);
	assert_about(i.sndbuf_limited, 60000);
	assert_about(i.busy_time, 60000);
	teardown(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_info__fresh_connection),
		cmocka_unit_test(tcp_info__in_flight),
		cmocka_unit_test(tcp_info__received),
		cmocka_unit_test(tcp_info__segments_and_bytes),
		cmocka_unit_test(tcp_info__retransmitted),
		cmocka_unit_test(tcp_info__last_ack_recv),
		cmocka_unit_test(tcp_info__delivery_rate),
		cmocka_unit_test(tcp_info__short_buffer),
		cmocka_unit_test(tcp_listener_info__queues),
		cmocka_unit_test(tcp_chrono__busy),
		cmocka_unit_test(tcp_chrono__peers_window),
		cmocka_unit_test(tcp_chrono__send_buffer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
