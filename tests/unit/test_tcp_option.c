/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_tcp_option.c - options: what is refused, what a change does at once.
 */
#include <errno.h>

#include "tcp_raw.h"

enum { PORT = 1 };

struct fixture {
	struct raw_rig r;
	struct tcp_listener l;
	struct tcp_conn *c;
	struct raw_seg synack;
	struct tcp_options o; /* what the connection has */
};

static void setup(struct fixture *f)
{
	raw_open(&f->r);
	rig_listen(&f->r, &f->l, 8);
	f->c = rig_accepted(&f->r, &f->l, PORT, &f->synack);
	f->o = *tcp_get_options(f->c);
}

static void teardown(struct fixture *f)
{
	tcp_abort(f->c, &f->r.h.env, rig_now(&f->r));
	tcp_unlisten(&f->l, &f->r.h.env, rig_now(&f->r));
	rig_forget_out(&f->r);
	raw_close(&f->r);
}

static int set(struct fixture *f)
{
	return tcp_set_options(f->c, &f->r.h.env, &f->o, rig_now(&f->r));
}

static void tcp_options_default__is_linux(void **state)
{
	struct tcp_config config;
	struct tcp_options o;

	tcp_config_default(&config);
	config.congestion = 1;
	memset(&o, 0xff, sizeof(o));
	tcp_options_default(&o, &config);
	assert_int_equal(o.linger_s, -1);
	assert_int_equal(o.congestion, 1);
	assert_false(o.nodelay || o.cork || o.keepalive); /* MUST-25: keep-alive is off */
	assert_int_equal(o.sndbuf | o.rcvbuf | o.user_timeout_ms | o.keep_idle_s, 0);
}

/* As setsockopt(): each limit, and what is just inside it. */
static void tcp_set_options__limits(void **state)
{
	struct fixture f;
	struct tcp_options good;

	setup(&f);
	good = f.o;
#define LIMIT(field, last_good, first_bad)                                                                    \
	do {                                                                                                  \
		f.o = good;                                                                                   \
		f.o.field = (last_good);                                                                      \
		assert_int_equal(set(&f), 0);                                                                 \
		f.o.field = (first_bad);                                                                      \
		assert_int_equal(set(&f), -EINVAL);                                                           \
		assert_int_equal(tcp_get_options(f.c)->field, (last_good)); /* nothing changed */             \
	} while (0)
	LIMIT(keep_idle_s, 32767, 32768);
	LIMIT(keep_interval_s, 32767, 32768);
	LIMIT(keep_count, 127, 128);
	LIMIT(syn_count, 127, 128);
	LIMIT(mss, 88, 87);
	LIMIT(mss, 32767, 32768);
	LIMIT(congestion, tcp_cc_count() - 1, tcp_cc_count());
	LIMIT(fastopen_connect, false, true);
	LIMIT(fastopen_no_cookie, false, true);
	LIMIT(window_clamp, 30000, 0); /* once set, it cannot be lifted from a connection */
#undef LIMIT
	teardown(&f);
}

/* What decides how a connection begins can be chosen before it does. */
static void tcp_set_options__before_connect(void **state)
{
	struct fixture f;
	struct tcp_conn *fresh;

	setup(&f);
	fresh = tcp_open(&f.r.tcp, &f);
	f.o = *tcp_get_options(fresh);
	f.o.fastopen_connect = f.o.fastopen_no_cookie = true;
	f.o.window_clamp = 9000;
	assert_int_equal(tcp_set_options(fresh, &f.r.h.env, &f.o, rig_now(&f.r)), 0);
	f.o.window_clamp = 0;
	assert_int_equal(tcp_set_options(fresh, &f.r.h.env, &f.o, rig_now(&f.r)), 0);
	tcp_abort(fresh, &f.r.h.env, rig_now(&f.r));
	teardown(&f);
}

/* Values that the kernel bends rather than refuses. */
static void tcp_set_options__bent(void **state)
{
	struct fixture f;

	setup(&f);
	f.o.linger_s = -7;
	f.o.linger2_s = -7;
	assert_int_equal(set(&f), 0);
	assert_int_equal(tcp_get_options(f.c)->linger_s, -1);
	assert_int_equal(tcp_get_options(f.c)->linger2_s, -1);
	f.o.linger2_s = 500;
	f.o.window_clamp = 5;
	assert_int_equal(set(&f), 0);
	assert_int_equal(tcp_get_options(f.c)->linger2_s, 120);
	assert_int_equal(tcp_get_options(f.c)->window_clamp, 1152);
	assert_int_equal(f.c->window_clamp, 1152);
	teardown(&f);
}

/* Uncorking pushes what was held, MUST-60, SHLD-27. */
static void tcp_set_options__uncork_pushes(void **state)
{
	struct fixture f;
	struct raw_seg s;

	setup(&f);
	f.o.cork = true;
	assert_int_equal(set(&f), 0);
	assert_int_equal(rig_write(&f.r, f.c, "hello", 5, 0), 5);
	rig_expect_silence(&f.r);
	f.o.cork = false;
	assert_int_equal(set(&f), 0);
	rig_expect_one(&f.r, &s, TCP_ACK | TCP_PSH);
	assert_int_equal(s.len, 5);
	teardown(&f);
}

/* MUST-17: so does TCP_NODELAY, and Nagle's waiting ends. */
static void tcp_set_options__nodelay_pushes(void **state)
{
	struct fixture f;
	struct raw_seg s;

	setup(&f);
	assert_int_equal(rig_write(&f.r, f.c, "a", 1, 0), 1);
	rig_expect_one(&f.r, &s, TCP_ACK | TCP_PSH);
	assert_int_equal(rig_write(&f.r, f.c, "b", 1, 0), 1);
	rig_expect_silence(&f.r); /* SHLD-7: Nagle */
	f.o.nodelay = true;
	assert_int_equal(set(&f), 0);
	rig_expect_one(&f.r, &s, TCP_ACK | TCP_PSH);
	assert_int_equal(rig_write(&f.r, f.c, "c", 1, 0), 1);
	rig_expect_one(&f.r, &s, TCP_ACK | TCP_PSH);
	teardown(&f);
}

/* MUST-24, MUST-27: keep-alive begins when it is switched on, with the interval that was asked for, and stops. */
static void tcp_set_options__keepalive(void **state)
{
	struct fixture f;
	struct raw_seg s;

	setup(&f);
	rig_run(&f.r, FS_SEC(100));
	rig_expect_silence(&f.r);
	f.o.keepalive = true;
	f.o.keep_idle_s = 150;
	assert_int_equal(set(&f), 0);
	rig_run(&f.r, FS_SEC(49));
	rig_expect_silence(&f.r);
	rig_run(&f.r, FS_SEC(2)); /* 150 s after the last segment */
	rig_expect_one(&f.r, &s, TCP_ACK);
	assert_int_equal(s.h.seq, f.c->snd_nxt - 1);
	assert_int_equal(s.len, 0); /* SHLD-12 */
	f.o.keepalive = false;
	assert_int_equal(set(&f), 0);
	rig_run(&f.r, FS_SEC(1000));
	rig_expect_silence(&f.r);
	teardown(&f);
}

static void tcp_set_options__buffers(void **state)
{
	struct fixture f;

	setup(&f);
	f.o.sndbuf = 10000;
	f.o.rcvbuf = 300000;
	assert_int_equal(set(&f), 0);
	assert_int_equal(f.c->sndbuf, 10000);
	assert_int_equal(f.c->rcvbuf, 300000);
	teardown(&f);
}

/* A larger buffer lets those write who were refused. */
static void tcp_set_options__larger_buffer_tells(void **state)
{
	static char bytes[30000];
	struct fixture f;

	setup(&f);
	f.o.sndbuf = 4608;
	assert_int_equal(set(&f), 0);
	while (rig_write(&f.r, f.c, bytes, sizeof(bytes), 0) > 0)
		rig_forget_out(&f.r);
	assert_false(tcp_ready(f.c) & TCP_READY_OUT);
	f.r.edges = 0;
	f.o.sndbuf = 1 << 20;
	assert_int_equal(set(&f), 0);
	assert_true(f.r.edges & TCP_READY_OUT);
	assert_true(tcp_ready(f.c) & TCP_READY_OUT);
	rig_forget_out(&f.r);
	teardown(&f);
}

/* SO_RCVLOWAT: what is there is enough now. */
static void tcp_set_options__lower_mark_tells(void **state)
{
	struct fixture f;
	struct raw_seg s;

	setup(&f);
	f.o.rcvlowat = 100;
	assert_int_equal(set(&f), 0);
	s = rig_next(f.c, TCP_ACK | TCP_PSH, &f.synack);
	s.payload = "hello";
	s.len = 5;
	rig_burst(&f.r, &s);
	assert_false(tcp_ready(f.c) & TCP_READY_IN);
	f.r.edges = 0;
	f.o.rcvlowat = 5;
	assert_int_equal(set(&f), 0);
	assert_true(f.r.edges & TCP_READY_IN);
	teardown(&f);
}

/* SHLD-21, SHLD-22: the mark of what is sent changes with the next segment, its ECN bits aside. */
static void tcp_set_options__style(void **state)
{
	struct fixture f;
	struct raw_seg s;

	setup(&f);
	f.o.style[0] = (struct tcp_style){ .tos = 0xb8, .hop_limit = 9 };
	assert_int_equal(set(&f), 0);
	assert_int_equal(rig_write(&f.r, f.c, "a", 1, 0), 1);
	rig_expect_one(&f.r, &s, TCP_ACK | TCP_PSH);
	assert_int_equal(s.tos, 0xb8);
	assert_int_equal(s.ttl, 9);
	teardown(&f);
}

/* Another mark or interface: the way is asked for anew. */
static void tcp_set_options__choice(void **state)
{
	struct fixture f;
	struct ip_dst *before;

	setup(&f);
	before = f.c->dst;
	assert_non_null(before);
	f.o.choice = 77;
	assert_int_equal(set(&f), 0);
	assert_null(f.c->dst);
	assert_int_equal(rig_write(&f.r, f.c, "a", 1, 0), 1);
	assert_non_null(f.c->dst);
	assert_int_equal(f.c->dst->choice, 77);
	teardown(&f);
}

static void tcp_set_options__congestion(void **state)
{
	struct fixture f;

	setup(&f);
	f.o.congestion = (uint8_t)tcp_cc_by_name("reno", 4);
	assert_int_equal(set(&f), 0);
	assert_int_equal(f.c->cc.algorithm, f.o.congestion);
	assert_int_equal(tcp_cc_by_name("nosuch", 6), -ENOENT);
	teardown(&f);
}

/* TCP_QUICKACK: an ACK that is owed leaves now, later ones at once; off: they wait for an answer again. */
static void tcp_quickack__now_and_later(void **state)
{
	struct fixture f;
	struct raw_seg s, out;

	setup(&f);
	tcp_quickack(f.c, &f.r.h.env, false, rig_now(&f.r));
	s = rig_next(f.c, TCP_ACK | TCP_PSH, &f.synack);
	s.payload = "hello";
	s.len = 5;
	rig_burst(&f.r, &s);
	rig_expect_silence(&f.r);
	tcp_quickack(f.c, &f.r.h.env, true, rig_now(&f.r));
	rig_expect_one(&f.r, &out, TCP_ACK);
	assert_int_equal(out.h.ack, f.c->rcv_nxt);
	s.h.seq = f.c->rcv_nxt;
	rig_burst(&f.r, &s);
	rig_expect_one(&f.r, &out, TCP_ACK);
	teardown(&f);
}

/* A listener's options are what its children begin with; what is the listener's alone stays with it. */
static void tcp_options_inherit__from_listener(void **state)
{
	struct fixture f;
	struct tcp_conn *c;
	struct raw_seg synack;

	setup(&f);
	f.l.options.sndbuf = 50000;
	f.l.options.rcvbuf = 60000;
	f.l.own.fastopen_queue = 5;
	f.l.options.congestion = (uint8_t)tcp_cc_by_name("reno", 4);
	f.l.own.v6_only = false;
	c = rig_accepted(&f.r, &f.l, 2, &synack);
	assert_int_equal(c->sndbuf, 50000);
	assert_int_equal(c->rcvbuf, 60000);
	assert_int_equal(c->cc.algorithm, f.l.options.congestion);
	tcp_abort(c, &f.r.h.env, rig_now(&f.r));
	teardown(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_options_default__is_linux),
		cmocka_unit_test(tcp_set_options__limits),
		cmocka_unit_test(tcp_set_options__before_connect),
		cmocka_unit_test(tcp_set_options__bent),
		cmocka_unit_test(tcp_set_options__uncork_pushes),
		cmocka_unit_test(tcp_set_options__nodelay_pushes),
		cmocka_unit_test(tcp_set_options__keepalive),
		cmocka_unit_test(tcp_set_options__buffers),
		cmocka_unit_test(tcp_set_options__larger_buffer_tells),
		cmocka_unit_test(tcp_set_options__lower_mark_tells),
		cmocka_unit_test(tcp_set_options__style),
		cmocka_unit_test(tcp_set_options__choice),
		cmocka_unit_test(tcp_set_options__congestion),
		cmocka_unit_test(tcp_quickack__now_and_later),
		cmocka_unit_test(tcp_options_inherit__from_listener),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
