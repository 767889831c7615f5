/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_tcp_timewait.c - TIME-WAIT: who prolongs it, who ends it, who goes over it.
 */
#include <errno.h>

#include "tcp_raw.h"

enum { PORT = 1 };

struct fixture {
	struct raw_rig r;
	struct tcp_listener l;
	tcp_seq snd_nxt, rcv_nxt; /* as the entry has them */
	uint32_t ts_ours;
};

/* A connection of the peer's that we closed first: FINs and ACKs exchanged, an entry is left. */
static void setup_options(struct fixture *f, uint8_t options)
{
	struct raw_rig *r = &f->r;
	struct raw_seg syn = rig_syn(PORT), synack, s;
	struct tcp_conn *c;

	raw_open(r);
	rig_listen(r, &f->l, 8);
	syn.h.options &= options;
	raw_in(r, &syn);
	rig_expect_one(r, &synack, TCP_SYN | TCP_ACK);
	s = rig_third(&synack);
	raw_in(r, &s);
	c = tcp_accept(&f->l);
	tcp_close(c, &r->h.env, rig_now(r));
	rig_expect_one(r, &s, TCP_FIN | TCP_ACK);
	f->snd_nxt = s.h.seq + 1;
	f->ts_ours = s.h.ts_val;
	f->rcv_nxt = RIG_PEER_SEQ + 2;
	RAW_IN(r, .h = { .src_port = PORT, .flags = TCP_FIN | TCP_ACK, .seq = RIG_PEER_SEQ + 1, .ack = f->snd_nxt,
			 .options = syn.h.options & TCP_HAS_TIMESTAMP, .ts_val = RIG_TS + 10, .ts_ecr = s.h.ts_val });
	tcp_burst_end(&r->tcp, &r->h.env, rig_now(r));
	rig_expect_one(r, &s, TCP_ACK);
	assert_int_equal(s.h.ack, f->rcv_nxt);
	assert_int_equal(r->tcp.n_tw, 1);
	assert_int_equal(r->tcp.conns.in_use, 0); /* the compact form is all there is */
	assert_int_equal(rig_end(r, PORT)->kind, TCP_END_TW);
	assert_int_equal(r->h.counters[FS_CTR_tcp_time_waits], 1);
}

static void setup(struct fixture *f)
{
	setup_options(f, 0xff);
}

static void teardown(struct fixture *f)
{
	tcp_unlisten(&f->l, &f->r.h.env, rig_now(&f->r));
	rig_forget_out(&f->r);
	raw_close(&f->r);
}

/* A segment of the peer: in order and up to date unless changed. */
static struct raw_seg usual(const struct fixture *f, uint16_t flags)
{
	return (struct raw_seg){ .h = { .src_port = PORT, .flags = flags, .seq = f->rcv_nxt, .ack = f->snd_nxt,
					.options = TCP_HAS_TIMESTAMP, .ts_val = RIG_TS + 11, .ts_ecr = f->ts_ours } };
}

static void expect_ack(struct fixture *f)
{
	struct raw_seg s;

	rig_expect_one(&f->r, &s, TCP_ACK);
	assert_int_equal(s.h.seq, f->snd_nxt);
	assert_int_equal(s.h.ack, f->rcv_nxt);
}

/* MUST-13, as Linux: a minute. */
static void tcp_tw_timer__ends_after_a_minute(void **state)
{
	struct fixture f;

	setup(&f);
	rig_run(&f.r, FS_SEC(60) - 1);
	assert_int_equal(f.r.tcp.n_tw, 1);
	rig_run(&f.r, 2);
	assert_int_equal(f.r.tcp.n_tw, 0);
	assert_null(rig_end(&f.r, PORT));
	teardown(&f);
}

/* T6191-1: the peer's FIN again is acked, each time, and the minute begins anew. */
static void tcp_tw_input__fin_again(void **state)
{
	struct fixture f;
	struct raw_seg fin;
	struct raw_seg s;

	setup(&f);
	fin = usual(&f, TCP_FIN | TCP_ACK);
	fin.h.seq--;
	rig_run(&f.r, FS_SEC(50));
	for (unsigned i = 0; i < 3; i++) {
		raw_in(&f.r, &fin);
		rig_expect_one(&f.r, &s, TCP_ACK);
		assert_int_equal(s.h.ack, f.rcv_nxt);
		assert_int_equal(s.h.ts_ecr, RIG_TS + 10);
		assert_int_equal(s.h.ts_val - f.ts_ours, 50000);
	}
	rig_run(&f.r, FS_SEC(59));
	assert_int_equal(f.r.tcp.n_tw, 1);
	rig_run(&f.r, FS_SEC(1) + 1);
	assert_int_equal(f.r.tcp.n_tw, 0);
	teardown(&f);
}

/* A bare ACK at its place is the end of the exchange: no answer. */
static void tcp_tw_input__last_ack_again(void **state)
{
	struct fixture f;
	struct raw_seg s;

	setup(&f);
	s = usual(&f, TCP_ACK);
	raw_in(&f.r, &s);
	rig_expect_silence(&f.r);
	assert_int_equal(((struct tcp_tw *)(void *)rig_end(&f.r, PORT))->ts_recent, RIG_TS + 11);
	teardown(&f);
}

/* Out of place: answered, but not more than twice a second. Data are, since their sender waits. */
static void tcp_tw_input__answers_are_throttled(void **state)
{
	struct fixture f;
	struct raw_seg s;

	setup(&f);
	s = usual(&f, TCP_ACK);
	s.h.seq += 5;
	raw_in(&f.r, &s);
	expect_ack(&f);
	raw_in(&f.r, &s);
	rig_expect_silence(&f.r);
	s.payload = "x";
	s.len = 1;
	raw_in(&f.r, &s);
	expect_ack(&f);
	f.r.h.env.now += FS_MS(500);
	s.len = 0;
	raw_in(&f.r, &s);
	expect_ack(&f);
	teardown(&f);
}

/* T7323-5 */
static void tcp_tw_input__old_duplicate(void **state)
{
	struct fixture f;
	struct raw_seg s;

	setup(&f);
	s = usual(&f, TCP_ACK);
	s.h.ts_val = RIG_TS;
	raw_in(&f.r, &s);
	expect_ack(&f);
	assert_int_equal(f.r.h.counters[FS_CTR_drop_tcp_paws], 1);
	teardown(&f);
}

/* T1337-1, T5961-5: an exact RST ends it unless that is forbidden; any other does nothing. None is answered. */
static void tcp_tw_input__reset(void **state)
{
	for (unsigned rfc1337 = 0; rfc1337 < 2; rfc1337++) {
		struct fixture f;
		struct raw_seg s;

		setup(&f);
		f.r.tcp.config.rfc1337 = rfc1337;
		s = usual(&f, TCP_RST);
		s.h.seq++;
		raw_in(&f.r, &s);
		s.h.seq -= 2;
		raw_in(&f.r, &s);
		assert_int_equal(f.r.tcp.n_tw, 1);
		s.h.seq = f.rcv_nxt;
		raw_in(&f.r, &s);
		assert_int_equal(f.r.tcp.n_tw, rfc1337);
		rig_expect_silence(&f.r);
		teardown(&f);
	}
}

static void expect_reopened(struct fixture *f)
{
	struct raw_seg s;

	rig_expect_one(&f->r, &s, TCP_SYN | TCP_ACK);
	/* MAY-2: our first number is beyond all that were used. */
	assert_int_equal(s.h.seq, f->snd_nxt + 65535 + 2);
	assert_int_equal(f->r.tcp.n_tw, 0);
	assert_int_equal(f->l.n_reqs, 1);
	assert_int_equal(f->r.h.counters[FS_CTR_tcp_time_waits_reused], 1);
	teardown(f);
}

/* T6191-1, MAY-2 */
static void tcp_tw_input__syn_with_higher_number(void **state)
{
	struct fixture f;
	struct raw_seg syn = rig_syn(PORT);

	setup(&f);
	syn.h.seq = f.rcv_nxt + 1;
	syn.h.ts_val = RIG_TS + 10; /* the same millisecond */
	raw_in(&f.r, &syn);
	expect_reopened(&f);
}

/* T6191-1, SHLD-4: a lower number, but a newer timestamp. */
static void tcp_tw_input__syn_with_newer_timestamp(void **state)
{
	struct fixture f;
	struct raw_seg syn = rig_syn(PORT);

	setup(&f);
	syn.h.seq = f.rcv_nxt - 1000000;
	syn.h.ts_val = RIG_TS + 11;
	raw_in(&f.r, &syn);
	expect_reopened(&f);
}

static void tcp_tw_input__syn_without_timestamps(void **state)
{
	struct fixture f;
	struct raw_seg syn = rig_syn(PORT);

	setup_options(&f, (uint8_t)~TCP_HAS_TIMESTAMP);
	syn.h.options &= (uint8_t)~TCP_HAS_TIMESTAMP;
	syn.h.seq = f.rcv_nxt;
	raw_in(&f.r, &syn);
	expect_ack(&f); /* it may be an old one */
	syn.h.seq = f.rcv_nxt + 1;
	raw_in(&f.r, &syn);
	expect_reopened(&f);
}

/* An old SYN is answered by an ACK and prolongs nothing; its sender, if it exists, resets exactly. */
static void tcp_tw_input__old_syn(void **state)
{
	struct fixture f;
	struct raw_seg syn = rig_syn(PORT);

	setup(&f);
	rig_run(&f.r, FS_SEC(50));
	syn.h.seq = f.rcv_nxt - 100;
	syn.h.ts_val = RIG_TS + 10;
	raw_in(&f.r, &syn);
	expect_ack(&f);
	rig_run(&f.r, FS_SEC(10) + 1);
	assert_int_equal(f.r.tcp.n_tw, 0);
	teardown(&f);
}

/* Nobody listens any more: the SYN cannot begin anew, so the old connection is what it meets. */
static void tcp_tw_input__syn_without_listener(void **state)
{
	struct fixture f;
	struct raw_seg syn = rig_syn(PORT);

	setup(&f);
	tcp_unlisten(&f.l, &f.r.h.env, rig_now(&f.r));
	syn.h.seq = f.rcv_nxt + 1;
	syn.h.ts_val = RIG_TS + 20;
	raw_in(&f.r, &syn);
	expect_ack(&f);
	assert_int_equal(f.r.tcp.n_tw, 1);
	raw_close(&f.r);
}

/* A flood of cookies does not keep a peer out that was here before. */
static void tcp_tw_input__syn_with_full_queue(void **state)
{
	struct fixture f;
	struct raw_seg syn = rig_syn(PORT), s;

	setup(&f);
	f.l.backlog = 0;
	rig_half_open(&f.r, 50);
	syn.h.seq = f.rcv_nxt + 1;
	syn.h.ts_val = RIG_TS + 20;
	raw_in(&f.r, &syn);
	rig_expect_one(&f.r, &s, TCP_SYN | TCP_ACK);
	assert_int_equal(f.r.h.counters[FS_CTR_tcp_cookies_sent], 0);
	assert_int_equal(f.l.n_reqs, 2);
	teardown(&f);
}

/* --- our own connect: T6191-1 --- */

static bool is_free(const struct fixture *f)
{
	return tcp_tuple_is_free(&f->r.tcp, &f->r.h.v4, RIG_PORT, &f->r.peer4, PORT, rig_now(&f->r));
}

static void tcp_tw_reuse__by_our_connect(void **state)
{
	struct fixture f;
	struct tcp_conn *c;
	struct raw_seg s;

	setup(&f);
	tcp_unlisten(&f.l, &f.r.h.env, rig_now(&f.r));
	c = tcp_open(&f.r.tcp, &f);
	/* Within a second the peer's clock may not have ticked. */
	assert_false(is_free(&f));
	assert_int_equal(tcp_connect(c, &f.r.h.env, &f.r.h.v4, RIG_PORT, &f.r.peer4, PORT, rig_now(&f.r)), -EADDRNOTAVAIL);
	rig_run(&f.r, FS_SEC(1) + 1);
	assert_true(is_free(&f));
	assert_int_equal(f.r.tcp.n_tw, 1); /* to ask changes nothing */
	assert_int_equal(tcp_connect(c, &f.r.h.env, &f.r.h.v4, RIG_PORT, &f.r.peer4, PORT, rig_now(&f.r)), 0);
	assert_false(is_free(&f)); /* a connection's never is */
	assert_int_equal(f.r.tcp.n_tw, 0);
	rig_expect_one(&f.r, &s, TCP_SYN);
	assert_int_equal(s.h.seq, f.snd_nxt + 65535 + 2);
	assert_int_equal(s.h.ts_val - f.ts_ours, 1000); /* the same clock goes on */
	assert_int_equal(f.r.h.counters[FS_CTR_tcp_time_waits_reused], 1);
	tcp_abort(c, &f.r.h.env, rig_now(&f.r));
	assert_true(is_free(&f));
	rig_forget_out(&f.r);
	raw_close(&f.r);
}

static void tcp_tw_reuse__needs_timestamps(void **state)
{
	struct fixture f;
	struct tcp_conn *c;

	setup_options(&f, (uint8_t)~TCP_HAS_TIMESTAMP);
	c = tcp_open(&f.r.tcp, &f);
	rig_run(&f.r, FS_SEC(30));
	assert_false(is_free(&f));
	assert_int_equal(tcp_connect(c, &f.r.h.env, &f.r.h.v4, RIG_PORT, &f.r.peer4, PORT, rig_now(&f.r)), -EADDRNOTAVAIL);
	tcp_abort(c, &f.r.h.env, rig_now(&f.r));
	teardown(&f);
}

/* --- limits --- */

/* Another connection into TIME-WAIT. */
static void one_more(struct fixture *f, uint16_t port)
{
	struct raw_rig *r = &f->r;
	struct raw_seg synack = rig_complete_open(r, port), s;
	struct tcp_conn *c = tcp_accept(&f->l);

	tcp_close(c, &r->h.env, rig_now(r));
	rig_expect_one(r, &s, TCP_FIN | TCP_ACK);
	RAW_IN(r, .h = { .src_port = port, .flags = TCP_FIN | TCP_ACK, .seq = RIG_PEER_SEQ + 1, .ack = s.h.seq + 1,
			 .options = TCP_HAS_TIMESTAMP, .ts_val = RIG_TS + 10, .ts_ecr = synack.h.ts_val });
	tcp_burst_end(&r->tcp, &r->h.env, rig_now(r));
	rig_forget_out(r);
}

static void tcp_tw_start__oldest_gives_way(void **state)
{
	struct fixture f;

	setup(&f);
	f.r.tcp.config.max_tw = 3;
	for (uint16_t port = 2; port <= 5; port++)
		one_more(&f, port);
	assert_int_equal(f.r.tcp.n_tw, 3);
	assert_null(rig_end(&f.r, PORT));
	assert_null(rig_end(&f.r, 2));
	for (uint16_t port = 3; port <= 5; port++)
		assert_int_equal(rig_end(&f.r, port)->kind, TCP_END_TW);
	assert_int_equal(f.r.h.counters[FS_CTR_tcp_time_waits_dropped], 2);
	teardown(&f);
}

/* No memory: the same. And with a limit of 0 the connection just ends (as Linux). */
static void tcp_tw_start__no_memory(void **state)
{
	struct fixture f;
	void *taken[2 * RIG_TWS];
	unsigned n = 0;

	setup(&f);
	while ((taken[n] = slab_alloc(&f.r.tcp.tws)) != NULL)
		n++;
	one_more(&f, 2);
	assert_int_equal(f.r.tcp.n_tw, 1);
	assert_null(rig_end(&f.r, PORT));
	f.r.tcp.config.max_tw = 0;
	one_more(&f, 3);
	assert_int_equal(f.r.tcp.n_tw, 1);
	tcp_tw_timer(&f.r.tcp, (struct tcp_tw *)(void *)rig_end(&f.r, 3));
	slab_free(&f.r.tcp.tws, taken[--n]);
	one_more(&f, 4);
	assert_int_equal(f.r.tcp.n_tw, 0);
	assert_null(rig_end(&f.r, 4));
	while (n > 0)
		slab_free(&f.r.tcp.tws, taken[--n]);
	teardown(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_tw_timer__ends_after_a_minute),
		cmocka_unit_test(tcp_tw_input__fin_again),
		cmocka_unit_test(tcp_tw_input__last_ack_again),
		cmocka_unit_test(tcp_tw_input__answers_are_throttled),
		cmocka_unit_test(tcp_tw_input__old_duplicate),
		cmocka_unit_test(tcp_tw_input__reset),
		cmocka_unit_test(tcp_tw_input__syn_with_higher_number),
		cmocka_unit_test(tcp_tw_input__syn_with_newer_timestamp),
		cmocka_unit_test(tcp_tw_input__syn_without_timestamps),
		cmocka_unit_test(tcp_tw_input__old_syn),
		cmocka_unit_test(tcp_tw_input__syn_without_listener),
		cmocka_unit_test(tcp_tw_input__syn_with_full_queue),
		cmocka_unit_test(tcp_tw_reuse__by_our_connect),
		cmocka_unit_test(tcp_tw_reuse__needs_timestamps),
		cmocka_unit_test(tcp_tw_start__oldest_gives_way),
		cmocka_unit_test(tcp_tw_start__no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
