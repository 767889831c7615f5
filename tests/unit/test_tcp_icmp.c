/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_tcp_icmp.c - ICMP errors: which are believed, and what they do. MTU of paths.
 *
 * MUST-54: an error reaches the connection it quotes, and no other. MUST-55: source quench is none.
 */
#include <errno.h>

#include "tcp_raw.h"

enum { PORT = 1 };

struct fixture {
	struct raw_rig r;
	struct tcp_listener l;
	struct tcp_conn *c;
	bool v6;
};

static void setup_family(struct fixture *f, bool v6)
{
	struct raw_seg syn = rig_syn(PORT), synack, third;

	f->v6 = v6;
	raw_open(&f->r);
	rig_listen(&f->r, &f->l, 8);
	if (v6)
		syn.src = f->r.peer6;
	raw_in(&f->r, &syn);
	rig_expect_one(&f->r, &synack, TCP_SYN | TCP_ACK);
	third = rig_third(&synack);
	raw_in(&f->r, &third);
	f->c = tcp_accept(&f->l);
	f->c->user = f;
}

static void setup(struct fixture *f)
{
	setup_family(f, false);
}

static void teardown(struct fixture *f)
{
	if (f->c)
		tcp_abort(f->c, &f->r.h.env, rig_now(&f->r));
	tcp_unlisten(&f->l, &f->r.h.env, rig_now(&f->r));
	rig_forget_out(&f->r);
	raw_close(&f->r);
}

/* An error that quotes number @seq of the connection. What it taught of the path. */
static uint32_t error(struct fixture *f, enum tcp_icmp_kind kind, tcp_seq seq, uint32_t mtu)
{
	struct tcp_icmp icmp = { .local = f->v6 ? f->r.h.v6 : f->r.h.v4,
				 .remote = f->v6 ? f->r.peer6 : f->r.peer4,
				 .local_port = RIG_PORT,
				 .remote_port = PORT,
				 .seq = seq,
				 .kind = (uint8_t)kind,
				 .mtu = mtu,
				 .error = kind == TCP_ICMP_SOFT ? EHOSTUNREACH : ECONNREFUSED };

	return tcp_icmp_input(&f->r.tcp, &f->r.h.env, &icmp, rig_now(&f->r));
}

/* @n bytes, sent. */
static void put(struct fixture *f, size_t n)
{
	static char bytes[20000];
	struct iovec iov = { bytes, n };

	assert_int_equal(tcp_send(f->c, &f->r.h.env, &iov, 1, 0, rig_now(&f->r)), n);
}

/* SHLD-25, MUST-47, MUST-56: noted, and told only if the connection is given up. */
static void tcp_icmp_input__soft_error_is_remembered(void **state)
{
	struct fixture f;

	setup(&f);
	put(&f, 10);
	error(&f, TCP_ICMP_SOFT, f.c->snd_una, 0);
	assert_int_equal(f.c->soft_error, EHOSTUNREACH);
	assert_int_equal(f.c->error, 0);
	assert_int_equal(f.c->state, TCP_ESTABLISHED);
	assert_int_equal(f.r.h.counters[FS_CTR_tcp_icmp_ignored], 0);
	assert_int_equal(tcp_take_error(f.c), 0); /* recv() and send() do not tell it, SO_ERROR does, once */
	assert_int_equal(tcp_take_any_error(f.c), EHOSTUNREACH);
	assert_int_equal(tcp_take_any_error(f.c), 0);
	teardown(&f);
}

/* T5927-1, SHLD-26 (DEVIATION): not even a hard one ends a connection that is there. */
static void tcp_icmp_input__hard_error_in_established(void **state)
{
	struct fixture f;

	setup(&f);
	put(&f, 10);
	error(&f, TCP_ICMP_HARD, f.c->snd_una, 0);
	assert_int_equal(f.c->state, TCP_ESTABLISHED);
	assert_int_equal(f.c->error, 0);
	assert_int_equal(f.c->soft_error, ECONNREFUSED);
	teardown(&f);
}

/* SHLD-25, SHLD-20, MUST-47: whoever asks for it is told at once; the connection goes on. */
static void tcp_icmp_input__soft_error_is_told_who_asks(void **state)
{
	struct fixture f;
	struct tcp_options o;
	char byte;
	struct iovec iov = { &byte, 1 };

	setup(&f);
	o = *tcp_get_options(f.c);
	o.recverr = true;
	assert_int_equal(tcp_set_options(f.c, &f.r.h.env, &o, rig_now(&f.r)), 0);
	put(&f, 10);
	error(&f, TCP_ICMP_SOFT, f.c->snd_una, 0);
	assert_true(tcp_ready(f.c) & TCP_READY_ERR);
	assert_int_equal(tcp_recv(f.c, &f.r.h.env, &iov, 1, 0, 0, rig_now(&f.r)), -EHOSTUNREACH);
	assert_false(tcp_ready(f.c) & TCP_READY_ERR);
	assert_int_equal(f.c->state, TCP_ESTABLISHED);
	error(&f, TCP_ICMP_HARD, f.c->snd_una, 0);
	assert_int_equal(tcp_take_any_error(f.c), ECONNREFUSED);
	assert_int_equal(tcp_take_any_error(f.c), 0);
	error(&f, TCP_ICMP_SOFT, f.c->snd_una - 1, 0); /* a guess is no error */
	assert_int_equal(tcp_take_error(f.c), 0);
	put(&f, 10);
	teardown(&f);
}

/* T5927-1: what quotes nothing in flight is a guess. */
static void tcp_icmp_input__not_in_flight(void **state)
{
	static const enum tcp_icmp_kind kinds[] = { TCP_ICMP_SOFT, TCP_ICMP_HARD, TCP_ICMP_TOO_BIG };
	struct fixture f;
	unsigned ignored = 0;

	setup(&f);
	for (unsigned i = 0; i < FS_ARRAY_SIZE(kinds); i++) {
		error(&f, kinds[i], f.c->snd_una, 1000); /* nothing is */
		assert_int_equal(f.r.h.counters[FS_CTR_tcp_icmp_ignored], ++ignored);
	}
	put(&f, 10);
	for (unsigned i = 0; i < FS_ARRAY_SIZE(kinds); i++) {
		error(&f, kinds[i], f.c->snd_una - 1, 1000);
		error(&f, kinds[i], f.c->snd_nxt, 1000);
		error(&f, kinds[i], f.c->snd_una + (1u << 31), 1000);
		ignored += 3;
		assert_int_equal(f.r.h.counters[FS_CTR_tcp_icmp_ignored], ignored);
	}
	assert_int_equal(f.c->soft_error, 0);
	assert_int_equal(f.c->path_mtu, RIG_MTU);
	error(&f, TCP_ICMP_TOO_BIG, f.c->snd_nxt - 1, 1000);
	assert_int_equal(f.c->path_mtu, 1000);
	teardown(&f);
}

/* MUST-54: of another tuple there is nobody to tell. */
static void tcp_icmp_input__of_nobody(void **state)
{
	struct fixture f;
	struct tcp_icmp icmp = { .local_port = RIG_PORT, .remote_port = 99, .kind = TCP_ICMP_HARD };

	setup(&f);
	icmp.local = f.r.h.v4;
	icmp.remote = f.r.peer4;
	tcp_icmp_input(&f.r.tcp, &f.r.h.env, &icmp, rig_now(&f.r));
	assert_int_equal(f.r.h.counters[FS_CTR_tcp_icmp_ignored], 1);
	teardown(&f);
}

/* T5927-1: in SYN-SENT an error ends it, a hard one or a soft one, with our number. */
static void in_syn_sent(enum tcp_icmp_kind kind, int told)
{
	struct fixture f = { .v6 = false };
	struct raw_seg syn;

	raw_open(&f.r);
	rig_listen(&f.r, &f.l, 8);
	f.l.local_port = 9; /* unused */
	f.c = tcp_open(&f.r.tcp, &f);
	assert_int_equal(tcp_connect(f.c, &f.r.h.env, &f.r.h.v4, RIG_PORT, &f.r.peer4, PORT, rig_now(&f.r)), 0);
	rig_expect_one(&f.r, &syn, TCP_SYN);
	error(&f, kind, syn.h.seq + 1, 0);
	assert_int_equal(f.c->state, TCP_SYN_SENT);
	f.r.edges = 0;
	error(&f, kind, syn.h.seq, 0);
	assert_int_equal(f.c->state, TCP_CLOSED);
	assert_true(f.r.edges & TCP_READY_ERR);
	assert_int_equal(tcp_take_error(f.c), told);
	rig_expect_silence(&f.r);
	f.l.local_port = RIG_PORT;
	teardown(&f);
}

static void tcp_icmp_input__in_syn_sent(void **state)
{
	in_syn_sent(TCP_ICMP_HARD, ECONNREFUSED);
	in_syn_sent(TCP_ICMP_SOFT, EHOSTUNREACH);
}

/* A request ends by a hard error that quotes its SYN-ACK; nobody is told. */
static void tcp_icmp_input__request(void **state)
{
	struct fixture f = { .v6 = false };
	struct raw_seg synack;

	raw_open(&f.r);
	rig_listen(&f.r, &f.l, 8);
	synack = rig_half_open(&f.r, PORT);
	error(&f, TCP_ICMP_SOFT, synack.h.seq, 0);
	error(&f, TCP_ICMP_HARD, synack.h.seq + 1, 0);
	error(&f, TCP_ICMP_TOO_BIG, synack.h.seq, 600);
	assert_int_equal(f.l.n_reqs, 1);
	assert_int_equal(f.r.h.counters[FS_CTR_tcp_icmp_ignored], 3);
	error(&f, TCP_ICMP_HARD, synack.h.seq, 0);
	assert_int_equal(f.l.n_reqs, 0);
	assert_int_equal(f.r.n_events + f.r.n_incoming, 0);
	teardown(&f);
}

/* --- too big --- */

/* T1191-1: segments in flight that are too long go again, shorter, at once, and the window is not reduced. */
static void tcp_icmp_input__too_big(void **state)
{
	struct fixture f;
	struct raw_seg s;
	uint32_t cwnd;
	tcp_seq next;

	setup(&f);
	put(&f, 3 * 1448);
	cwnd = f.c->cc.cwnd;
	rig_forget_out(&f.r);
	assert_int_equal(error(&f, TCP_ICMP_TOO_BIG, f.c->snd_una + 1448, 1200), 1200);
	assert_int_equal(error(&f, TCP_ICMP_TOO_BIG, f.c->snd_una + 1448, 1200), 0); /* known */
	assert_int_equal(f.c->path_mtu, 1200);
	assert_int_equal(f.c->mss, 1200 - 52);
	assert_int_equal(f.r.h.counters[FS_CTR_tcp_mtu_lowered], 1);
	tcp_burst_end(&f.r.tcp, &f.r.h.env, rig_now(&f.r));
	next = f.c->snd_una;
	while (raw_out(&f.r, &s)) {
		assert_true(s.len <= 1200 - 52);
		assert_int_equal(s.h.seq, next);
		next += s.len;
	}
	assert_int_equal(next, f.c->snd_nxt);
	assert_int_equal(f.c->cc.cwnd, cwnd);
	teardown(&f);
}

/* T1191-1: an old router does not say; the next lower size that links have. And so on down. */
static void tcp_icmp_input__old_router(void **state)
{
	static const uint16_t steps[] = { 1492, 1006, 552 };
	struct fixture f;

	setup(&f);
	put(&f, 10);
	for (unsigned i = 0; i < FS_ARRAY_SIZE(steps); i++) {
		error(&f, TCP_ICMP_TOO_BIG, f.c->snd_una, 0);
		assert_int_equal(f.c->path_mtu, steps[i]);
	}
	error(&f, TCP_ICMP_TOO_BIG, f.c->snd_una, 0);
	assert_int_equal(f.c->path_mtu, 552);
	assert_int_equal(f.r.h.counters[FS_CTR_tcp_icmp_ignored], 1);
	teardown(&f);
}

/* T1191-1: an attack's tiny MTU ends at a floor; a larger one is no error. */
static void tcp_icmp_input__floor_and_ceiling(void **state)
{
	struct fixture f;

	setup(&f);
	put(&f, 10);
	error(&f, TCP_ICMP_TOO_BIG, f.c->snd_una, RIG_MTU);
	error(&f, TCP_ICMP_TOO_BIG, f.c->snd_una, 9000);
	error(&f, TCP_ICMP_TOO_BIG, f.c->snd_una, UINT32_MAX);
	assert_int_equal(f.c->path_mtu, RIG_MTU);
	assert_int_equal(error(&f, TCP_ICMP_TOO_BIG, f.c->snd_una, 68), 552);
	assert_int_equal(f.c->path_mtu, 552);
	assert_true(f.c->mss > 0);
	teardown(&f);
}

/* T8201-1: below 1280 is ignored, and does not mean an old router. */
static void tcp_icmp_input__too_big_v6(void **state)
{
	struct fixture f;

	setup_family(&f, true);
	put(&f, 10);
	error(&f, TCP_ICMP_TOO_BIG, f.c->snd_una, 0);
	error(&f, TCP_ICMP_TOO_BIG, f.c->snd_una, 1279);
	assert_int_equal(f.c->path_mtu, RIG_MTU);
	assert_int_equal(f.r.h.counters[FS_CTR_tcp_icmp_ignored], 2);
	error(&f, TCP_ICMP_TOO_BIG, f.c->snd_una, 1280);
	assert_int_equal(f.c->path_mtu, 1280);
	assert_int_equal(f.c->mss, 1280 - 60 - 12);
	teardown(&f);
}

/* T4821-1, RFC 1191 6.3: ten minutes later the path may have become better: new data try the destination's MTU. */
static void tcp_age_mtu__after_ten_minutes(void **state)
{
	struct fixture f;
	struct raw_seg s;

	setup(&f);
	put(&f, 10);
	rig_expect_one(&f.r, &s, TCP_ACK | TCP_PSH);
	error(&f, TCP_ICMP_TOO_BIG, f.c->snd_una, 1000);
	RAW_IN(&f.r, .h = { .src_port = PORT, .flags = TCP_ACK, .seq = f.c->rcv_nxt, .ack = f.c->snd_nxt,
			    .options = TCP_HAS_TIMESTAMP, .ts_val = RIG_TS + 2, .ts_ecr = s.h.ts_val });
	tcp_burst_end(&f.r.tcp, &f.r.h.env, rig_now(&f.r));
	rig_run(&f.r, FS_SEC(599));
	put(&f, 10);
	assert_int_equal(f.c->path_mtu, 1000);
	rig_run(&f.r, FS_SEC(1));
	put(&f, 10);
	assert_int_equal(f.c->path_mtu, RIG_MTU);
	assert_int_equal(f.c->mss, RIG_MTU - 52);
	assert_int_equal(f.c->mtu_lowered_s, 0);
	teardown(&f);
}

/* A frozen connection learns nothing (D13). */
static void tcp_icmp_input__frozen(void **state)
{
	struct fixture f;

	setup(&f);
	put(&f, 10);
	f.c->flags |= TCP_CONN_FROZEN;
	error(&f, TCP_ICMP_TOO_BIG, f.c->snd_una, 1000);
	assert_int_equal(f.c->path_mtu, RIG_MTU);
	f.c->flags &= ~(uint32_t)TCP_CONN_FROZEN;
	teardown(&f);
}

/* --- messages --- */

enum { MESSAGE_MAX = 8 + 40 + 8 };

/* An error of @type and @code, @rest in its second word, about a segment with number 0x01020304 from port 40000 to 80. */
static size_t message(uint8_t to[MESSAGE_MAX], bool v6, uint8_t type, uint8_t code, uint32_t rest)
{
	size_t ip = v6 ? 40 : 20;
	uint8_t *p = to + 8;

	memset(to, 0, MESSAGE_MAX);
	to[0] = type;
	to[1] = code;
	be32_store(to + 4, rest);
	if (v6) {
		p[0] = 0x60;
		p[5] = 20;
		p[6] = 6;
		memset(p + 8, 0x11, 16);
		memset(p + 24, 0x22, 16);
	} else {
		p[0] = 0x45;
		p[3] = 40;
		p[9] = 6;
		memset(p + 12, 0x11, 4);
		memset(p + 16, 0x22, 4);
	}
	be16_store(p + ip, 40000);
	be16_store(p + ip + 2, 80);
	be32_store(p + ip + 4, 0x01020304);
	return 8 + ip + 8;
}

static void tcp_icmp_read__kinds(void **state)
{
	static const struct {
		bool v6;
		uint8_t type, code;
		int kind; /* -1 = none of TCP's */
		int error;
	} rows[] = {
		{ false, 3, 0, TCP_ICMP_SOFT, ENETUNREACH },  { false, 3, 1, TCP_ICMP_SOFT, EHOSTUNREACH },
		{ false, 3, 2, TCP_ICMP_HARD, ENOPROTOOPT },  { false, 3, 3, TCP_ICMP_HARD, ECONNREFUSED },
		{ false, 3, 4, TCP_ICMP_TOO_BIG, EMSGSIZE },  { false, 3, 5, TCP_ICMP_SOFT, EOPNOTSUPP },
		{ false, 3, 13, TCP_ICMP_HARD, EHOSTUNREACH }, { false, 3, 15, TCP_ICMP_HARD, EHOSTUNREACH },
		{ false, 3, 16, -1, 0 },		      { false, 11, 0, TCP_ICMP_SOFT, EHOSTUNREACH },
		{ false, 11, 1, TCP_ICMP_SOFT, EHOSTUNREACH }, { false, 12, 0, TCP_ICMP_SOFT, EPROTO },
		{ false, 4, 0, -1, 0 }, /* MUST-55 */	      { false, 5, 0, -1, 0 },
		{ false, 8, 0, -1, 0 },			      { true, 1, 0, TCP_ICMP_SOFT, ENETUNREACH },
		{ true, 1, 1, TCP_ICMP_HARD, EACCES },	      { true, 1, 3, TCP_ICMP_SOFT, EHOSTUNREACH },
		{ true, 1, 4, TCP_ICMP_HARD, ECONNREFUSED },  { true, 1, 6, TCP_ICMP_HARD, EACCES },
		{ true, 1, 7, -1, 0 },			      { true, 2, 0, TCP_ICMP_TOO_BIG, EMSGSIZE },
		{ true, 3, 0, TCP_ICMP_SOFT, EHOSTUNREACH },  { true, 3, 1, TCP_ICMP_SOFT, EHOSTUNREACH },
		{ true, 4, 0, TCP_ICMP_SOFT, EPROTO },	      { true, 4, 2, TCP_ICMP_SOFT, EPROTO },
		{ true, 128, 0, -1, 0 },
	};
	uint8_t bytes[MESSAGE_MAX];
	struct tcp_icmp icmp;

	for (unsigned i = 0; i < FS_ARRAY_SIZE(rows); i++) {
		size_t len = message(bytes, rows[i].v6, rows[i].type, rows[i].code, 1400);

		assert_int_equal(tcp_icmp_read(&icmp, rows[i].v6, bytes, len), rows[i].kind >= 0);
		if (rows[i].kind < 0)
			continue;
		assert_int_equal(icmp.kind, rows[i].kind);
		assert_int_equal(icmp.error, rows[i].error);
		assert_int_equal(icmp.mtu, rows[i].kind == TCP_ICMP_TOO_BIG ? 1400 : 0);
		assert_int_equal(icmp.local_port, 40000);
		assert_int_equal(icmp.remote_port, 80);
		assert_int_equal(icmp.seq, 0x01020304);
		assert_int_equal(icmp.local.w[3], 0x11111111);
		assert_int_equal(icmp.remote.w[3], 0x22222222);
	}
}

/* Whatever is cut off, it is read no further than it goes; and what is not TCP's is none of ours. */
static void tcp_icmp_read__short_and_foreign(void **state)
{
	for (unsigned v6 = 0; v6 < 2; v6++) {
		uint8_t bytes[MESSAGE_MAX];
		size_t whole = message(bytes, v6, v6 ? 1 : 3, 1, 0);
		struct tcp_icmp icmp;

		for (size_t len = 0; len < whole; len++) {
			uint8_t *exact = malloc(len + !len);

			assert_non_null(exact);
			memcpy(exact, bytes, len);
			assert_false(tcp_icmp_read(&icmp, v6, exact, len));
			free(exact);
		}
		assert_true(tcp_icmp_read(&icmp, v6, bytes, whole));
		bytes[v6 ? 8 + 6 : 8 + 9] = 17;
		assert_false(tcp_icmp_read(&icmp, v6, bytes, whole));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_icmp_input__soft_error_is_remembered),
		cmocka_unit_test(tcp_icmp_input__soft_error_is_told_who_asks),
		cmocka_unit_test(tcp_icmp_input__hard_error_in_established),
		cmocka_unit_test(tcp_icmp_input__not_in_flight),
		cmocka_unit_test(tcp_icmp_input__of_nobody),
		cmocka_unit_test(tcp_icmp_input__in_syn_sent),
		cmocka_unit_test(tcp_icmp_input__request),
		cmocka_unit_test(tcp_icmp_input__too_big),
		cmocka_unit_test(tcp_icmp_input__old_router),
		cmocka_unit_test(tcp_icmp_input__floor_and_ceiling),
		cmocka_unit_test(tcp_icmp_input__too_big_v6),
		cmocka_unit_test(tcp_age_mtu__after_ten_minutes),
		cmocka_unit_test(tcp_icmp_input__frozen),
		cmocka_unit_test(tcp_icmp_read__kinds),
		cmocka_unit_test(tcp_icmp_read__short_and_foreign),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
