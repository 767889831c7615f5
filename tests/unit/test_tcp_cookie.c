/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_tcp_cookie.c - SYN cookies (T4987-2).
 */
#include "tcp_raw.h"

static void open_flooded(struct raw_rig *r, struct tcp_listener *l)
{
	raw_open(r);
	rig_listen(r, l, 1);
	rig_half_open(r, 1);
	rig_half_open(r, 2); /* one more than the backlog: full */
}

static void close_all(struct raw_rig *r, struct tcp_listener *l)
{
	tcp_unlisten(l, &r->h.env, rig_now(r));
	rig_forget_out(r);
	raw_close(r);
}

static struct raw_seg answer_to(struct raw_rig *r, const struct raw_seg *syn)
{
	struct raw_seg synack;

	raw_in(r, syn);
	rig_expect_one(r, &synack, TCP_SYN | TCP_ACK);
	return synack;
}

/* The connection made by the ACK to the SYN-ACK of @syn; NULL = none was. */
static struct tcp_conn *through(struct raw_rig *r, struct tcp_listener *l, const struct raw_seg *syn, fs_ns wait)
{
	struct raw_seg synack = answer_to(r, syn), third = rig_third(&synack);

	r->h.env.now += wait;
	raw_in(r, &third);
	rig_forget_out(r);
	return tcp_accept(l);
}

static void tcp_cookie__nothing_is_kept(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg syn = rig_syn(9), synack, again;

	open_flooded(&r, &l);
	synack = answer_to(&r, &syn);
	assert_int_equal(l.n_reqs, 2);
	assert_null(rig_end(&r, 9));
	assert_int_equal(r.tcp.reqs.in_use, 2);
	assert_int_equal(r.h.counters[FS_CTR_tcp_cookies_sent], 1);
	/* Nor sent again. The SYN's next copy has the same answer. */
	again = answer_to(&r, &syn);
	assert_int_equal(again.h.seq, synack.h.seq);
	close_all(&r, &l);
}

/* What the SYN offered comes back with the ACK: the connection is as one that went through the queue. */
static void tcp_cookie__everything_comes_back(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg syn = rig_syn(9);
	struct tcp_conn *c;

	open_flooded(&r, &l);
	syn.h.flags |= TCP_ECE | TCP_CWR;
	raw_in(&r, &syn);
	{
		struct raw_seg synack, third;

		rig_expect_one(&r, &synack, TCP_SYN | TCP_ACK | TCP_ECE);
		assert_int_equal(synack.h.options,
				 TCP_HAS_MSS | TCP_HAS_SACK_PERMITTED | TCP_HAS_TIMESTAMP | TCP_HAS_WSCALE);
		assert_int_equal(synack.h.wscale, 7);
		assert_int_equal(synack.h.window, 65160);
		third = rig_third(&synack);
		third.payload = "data";
		third.len = 4;
		raw_in(&r, &third);
	}
	c = tcp_accept(&l);
	assert_non_null(c);
	assert_int_equal(r.n_incoming, 1);
	assert_int_equal(r.h.counters[FS_CTR_tcp_cookies_accepted], 1);
	assert_int_equal(c->state, TCP_ESTABLISHED);
	assert_true(tcp_has(c, TCP_CONN_TS));
	assert_true(tcp_has(c, TCP_CONN_SACK));
	assert_true(tcp_has(c, TCP_CONN_WSCALE));
	assert_true(tcp_has(c, TCP_CONN_ECN));
	assert_int_equal(c->snd_wscale, 7);
	assert_int_equal(c->rcv_wscale, 7);
	assert_int_equal(c->peer_mss, 1460);
	assert_int_equal(c->irs, RIG_PEER_SEQ);
	assert_int_equal(c->snd_wnd, 502 << 7);
	assert_int_equal(tcp_inq(c), 4);
	tcp_abort(c, &r.h.env, rig_now(&r));
	close_all(&r, &l);
}

/* Every combination of what the low bits of the timestamp hold. */
static void tcp_cookie__options_in_the_timestamp(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;

	open_flooded(&r, &l);
	for (unsigned i = 0; i < 15 * 4; i++) {
		struct raw_seg syn = rig_syn((uint16_t)(100 + i));
		struct tcp_conn *c;

		syn.h.wscale = (uint8_t)(i % 15);
		syn.h.options = TCP_HAS_MSS | TCP_HAS_TIMESTAMP | (i / 15 & 1 ? TCP_HAS_SACK_PERMITTED : 0) |
				(i / 15 & 2 ? TCP_HAS_WSCALE : 0);
		c = through(&r, &l, &syn, FS_MS(7));
		assert_non_null(c);
		assert_int_equal(tcp_has(c, TCP_CONN_SACK), i / 15 & 1);
		assert_int_equal(tcp_has(c, TCP_CONN_WSCALE), i / 15 & 2 ? 1 : 0);
		assert_int_equal(c->snd_wscale, i / 15 & 2 ? i % 15 : 0);
		tcp_abort(c, &r.h.env, rig_now(&r));
		rig_forget_out(&r);
	}
	close_all(&r, &l);
}

/* The timestamp with bits in it is not ahead of the clock: what follows would look old (T7323-5). */
static void tcp_cookie__timestamp_not_ahead(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;

	open_flooded(&r, &l);
	for (unsigned ms = 0; ms < 200; ms++) {
		struct raw_seg syn = rig_syn((uint16_t)(100 + ms)), synack = answer_to(&r, &syn);
		struct tcp_end end = { .local = r.h.v4, .remote = r.peer4, .local_port = RIG_PORT,
				       .remote_port = (uint16_t)(100 + ms) };
		uint32_t clock = (uint32_t)(rig_now(&r) / FS_MS(1)) + tcp_ts_offset(&r.tcp, &end);

		assert_true(seq_le(synack.h.ts_val, clock));
		assert_true(clock - synack.h.ts_val < 128);
		r.h.env.now += FS_MS(1);
	}
	close_all(&r, &l);
}

/* Without timestamps nothing but the MSS can be remembered, so nothing else is agreed to. */
static void tcp_cookie__without_timestamps(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg syn = rig_syn(9), synack;
	struct tcp_conn *c;

	open_flooded(&r, &l);
	syn.h.options &= (uint8_t)~TCP_HAS_TIMESTAMP;
	synack = answer_to(&r, &syn);
	assert_int_equal(synack.h.options, TCP_HAS_MSS);
	c = through(&r, &l, &syn, 0);
	assert_non_null(c);
	assert_false(tcp_has(c, TCP_CONN_TS | TCP_CONN_SACK | TCP_CONN_WSCALE | TCP_CONN_ECN));
	assert_int_equal(c->rcv_wscale, 0);
	tcp_abort(c, &r.h.env, rig_now(&r));
	close_all(&r, &l);
}

/* The greatest MSS of the table that is not above the peer's. */
static void tcp_cookie__mss(void **state)
{
	static const struct {
		uint16_t said, kept4, kept6;
	} cases[] = {
		{ 100, 216, 216 },   { 216, 216, 216 },	  { 535, 216, 216 },   { 536, 536, 536 },
		{ 1219, 536, 536 },  { 1299, 536, 1220 }, { 1439, 1300, 1420 }, { 1440, 1440, 1440 },
		{ 1459, 1440, 1440 }, { 1460, 1460, 1440 }, { 9000, 8960, 8940 }, { 65535, 8960, 8940 },
	};
	struct tcp_listener l;
	struct raw_rig r;

	open_flooded(&r, &l);
	for (unsigned i = 0; i < 2 * FS_ARRAY_SIZE(cases); i++) {
		struct raw_seg syn = rig_syn((uint16_t)(100 + i));
		struct tcp_conn *c;

		syn.h.mss = cases[i / 2].said;
		if (i & 1)
			syn.src = r.peer6;
		c = through(&r, &l, &syn, 0);
		assert_non_null(c);
		assert_int_equal(c->peer_mss, i & 1 ? cases[i / 2].kept6 : cases[i / 2].kept4);
		tcp_abort(c, &r.h.env, rig_now(&r));
		rig_forget_out(&r);
	}
	close_all(&r, &l);
}

/* One minute good for certain, two never. */
static void tcp_cookie__expires(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg syn = rig_syn(9);
	struct tcp_conn *c;

	open_flooded(&r, &l);
	c = through(&r, &l, &syn, FS_SEC(60));
	assert_non_null(c);
	tcp_abort(c, &r.h.env, rig_now(&r));
	rig_forget_out(&r);
	syn.h.src_port++;
	l.cookies_at = rig_now(&r);
	assert_null(through(&r, &l, &syn, FS_SEC(120)));
	assert_int_equal(r.h.counters[FS_CTR_tcp_cookies_bad], 1);
	close_all(&r, &l);
}

/* Only shortly after cookies were sent can one come: at other times every ACK is nobody's. */
static void tcp_cookie__accepted_after_overflow_only(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg syn = rig_syn(9), synack, third, out;

	open_flooded(&r, &l);
	synack = answer_to(&r, &syn);
	third = rig_third(&synack);
	l.cookies_at = 0;
	raw_in(&r, &third);
	rig_expect_one(&r, &out, TCP_RST);
	assert_int_equal(r.h.counters[FS_CTR_tcp_cookies_bad], 0);
	l.cookies_at = rig_now(&r) - FS_SEC(121);
	raw_in(&r, &third);
	rig_expect_one(&r, &out, TCP_RST);
	r.tcp.config.syncookies = 0;
	l.cookies_at = rig_now(&r);
	raw_in(&r, &third);
	rig_expect_one(&r, &out, TCP_RST);
	assert_null(tcp_accept(&l));
	close_all(&r, &l);
}

/* syncookies 2: always, also with an empty queue. */
static void tcp_cookie__always(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg syn = rig_syn(9);
	struct tcp_conn *c;

	raw_open(&r);
	rig_listen(&r, &l, 8);
	r.tcp.config.syncookies = 2;
	c = through(&r, &l, &syn, 0);
	assert_non_null(c);
	assert_int_equal(r.h.counters[FS_CTR_tcp_cookies_sent], 1);
	tcp_abort(c, &r.h.env, rig_now(&r));
	close_all(&r, &l);
}

/* Is @s believed? Then what it made is gone again. */
static bool is_believed(struct raw_rig *r, struct tcp_listener *l, const struct raw_seg *s)
{
	struct tcp_conn *c;

	raw_in(r, s);
	c = tcp_accept(l);
	if (c)
		tcp_abort(c, &r->h.env, rig_now(r));
	rig_forget_out(r);
	return c != NULL;
}

/* What answers @s, which is not believed. */
static bool is_reset(struct raw_rig *r, const struct raw_seg *s)
{
	uint64_t before = r->h.counters[FS_CTR_tcp_resets_out];

	raw_in(r, s);
	rig_forget_out(r);
	return r->h.counters[FS_CTR_tcp_resets_out] > before;
}

/* Any other number, tuple, or first number is none. */
static void tcp_cookie__forged(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg syn = rig_syn(9), synack, good;
	unsigned believed = 0;

	open_flooded(&r, &l);
	synack = answer_to(&r, &syn);
	good = rig_third(&synack);
	for (unsigned bit = 0; bit < 32; bit++) {
		struct raw_seg s = good;

		s.h.ack ^= 1U << bit;
		believed += is_believed(&r, &l, &s);
		/* What begins with another number is not the handshake's ACK: bytes before it would be missing. */
		s = good;
		s.h.seq ^= 1U << bit;
		assert_false(is_believed(&r, &l, &s));
	}
	/* The three lowest bits may turn one index into another: that is no gain. */
	assert_true(believed <= 3);
	for (unsigned port = 10; port < 100; port++) {
		struct raw_seg s = good;

		s.h.src_port = (uint16_t)port;
		assert_false(is_believed(&r, &l, &s));
	}
	assert_int_equal(r.h.counters[FS_CTR_tcp_cookies_bad], 64 + 90 - believed);
	assert_true(is_believed(&r, &l, &good));
	close_all(&r, &l);
}

/*
 * The handshake's ACK and the first bytes are lost, what follows is not. It must not begin the connection in their
 * place, for these bytes would be missing; nor end it by a RST, for they come again.
 */
static void tcp_cookie__first_bytes_lost(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg syn = rig_syn(9), synack, s;
	struct tcp_conn *c;

	open_flooded(&r, &l);
	synack = answer_to(&r, &syn);
	r.h.env.now += FS_SEC(59); /* the cookie may be of the minute before */
	for (uint32_t lost = 1; lost < 65536; lost += lost < 100 ? 1 : 1447) {
		s = rig_third(&synack);
		s.h.seq += lost;
		raw_in(&r, &s);
		rig_expect_silence(&r);
	}
	s = rig_third(&synack);
	s.payload = "first";
	s.len = 5;
	raw_in(&r, &s);
	c = tcp_accept(&l);
	assert_non_null(c);
	assert_int_equal(tcp_inq(c), 5);
	tcp_abort(c, &r.h.env, rig_now(&r));
	close_all(&r, &l);
}

/* ACKs that have nothing to do with a cookie are reset, nearly all of them. */
static void tcp_cookie__strangers_are_reset(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg syn = rig_syn(9), synack;
	unsigned reset = 0;

	open_flooded(&r, &l);
	synack = answer_to(&r, &syn);
	for (unsigned port = 1000; port < 2000; port++) {
		struct raw_seg s = rig_third(&synack);

		s.h.src_port = (uint16_t)port;
		reset += is_reset(&r, &s);
	}
	assert_in_range(reset, 970, 1000); /* 988 expected */
	close_all(&r, &l);
}

/* No memory: the same. */
static void tcp_cookie__no_memory(void **state)
{
	struct tcp_conn *taken[RIG_HOARD];
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg syn = rig_syn(9), synack, third;
	unsigned n;

	open_flooded(&r, &l);
	synack = answer_to(&r, &syn);
	third = rig_third(&synack);
	n = rig_hoard(&r, taken);
	raw_in(&r, &third);
	rig_expect_silence(&r);
	rig_release(&r, taken, n);
	raw_in(&r, &third);
	assert_int_equal(l.n_ready, 1);
	close_all(&r, &l);
}

/* accept() is behind: the ACK is dropped without a RST, so that the peer's data try again. */
static void tcp_cookie__accept_queue_full(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg syn = rig_syn(9), synack, third;

	open_flooded(&r, &l);
	synack = answer_to(&r, &syn);
	for (uint16_t port = 20; port < 22; port++) {
		struct raw_seg other = rig_syn(port), a = answer_to(&r, &other), t = rig_third(&a);

		raw_in(&r, &t);
	}
	assert_int_equal(l.n_ready, 2);
	third = rig_third(&synack);
	raw_in(&r, &third);
	rig_expect_silence(&r);
	assert_int_equal(l.n_ready, 2);
	tcp_abort(tcp_accept(&l), &r.h.env, rig_now(&r));
	rig_forget_out(&r);
	raw_in(&r, &third);
	assert_int_equal(l.n_ready, 2);
	close_all(&r, &l);
}

/* A flood from everywhere leaves an established connection alone, takes no memory, and new ones get in. */
static void tcp_cookie__flood(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg synack, out;
	struct tcp_conn *c, *fresh;

	raw_open(&r);
	rig_listen(&r, &l, 8);
	synack = rig_complete_open(&r, 1);
	c = tcp_accept(&l);
	for (unsigned i = 0; i < 2000; i++) {
		struct raw_seg syn = rig_syn((uint16_t)(2 + i));

		syn.h.seq = i * 77777;
		raw_in(&r, &syn);
		rig_forget_out(&r);
	}
	assert_int_equal(l.n_reqs, 9);
	RAW_IN(&r, .h = { .src_port = 1, .flags = TCP_ACK | TCP_PSH, .seq = RIG_PEER_SEQ + 1, .ack = synack.h.seq + 1,
			  .options = TCP_HAS_TIMESTAMP, .ts_val = RIG_TS + 9, .ts_ecr = synack.h.ts_val },
	       .payload = "hi", .len = 2);
	assert_int_equal(tcp_inq(c), 2);
	{
		struct raw_seg syn = rig_syn(60000);

		fresh = through(&r, &l, &syn, FS_MS(1));
	}
	assert_non_null(fresh);
	tcp_abort(fresh, &r.h.env, rig_now(&r));
	tcp_abort(c, &r.h.env, rig_now(&r));
	while (raw_out(&r, &out))
		continue;
	close_all(&r, &l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_cookie__nothing_is_kept),
		cmocka_unit_test(tcp_cookie__everything_comes_back),
		cmocka_unit_test(tcp_cookie__options_in_the_timestamp),
		cmocka_unit_test(tcp_cookie__timestamp_not_ahead),
		cmocka_unit_test(tcp_cookie__without_timestamps),
		cmocka_unit_test(tcp_cookie__mss),
		cmocka_unit_test(tcp_cookie__expires),
		cmocka_unit_test(tcp_cookie__accepted_after_overflow_only),
		cmocka_unit_test(tcp_cookie__always),
		cmocka_unit_test(tcp_cookie__forged),
		cmocka_unit_test(tcp_cookie__first_bytes_lost),
		cmocka_unit_test(tcp_cookie__strangers_are_reset),
		cmocka_unit_test(tcp_cookie__accept_queue_full),
		cmocka_unit_test(tcp_cookie__no_memory),
		cmocka_unit_test(tcp_cookie__flood),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
