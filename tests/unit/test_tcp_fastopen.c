/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_tcp_fastopen.c - TCP Fast Open (RFC 7413), both sides.
 */
#include <errno.h>

#include "tcp_raw.h"

#include "tcp/info.h"

enum { PORT = 1, CLIENT = 1, SERVER = 2 };

/* --- server --- */

static void open_server(struct raw_rig *r, struct tcp_listener *l)
{
	raw_open(r);
	rig_listen(r, l, 8);
	r->tcp.config.fastopen = SERVER;
	l->own.fastopen_queue = 3;
}

static void close_server(struct raw_rig *r, struct tcp_listener *l)
{
	tcp_unlisten(l, &r->h.env, rig_now(r));
	rig_forget_out(r);
	raw_close(r);
}

/* A SYN with the option and @len bytes of data; the cookie is the peer's, if @cookie. */
static struct raw_seg syn_with(const struct raw_rig *r, uint16_t port, bool cookie, const char *data)
{
	struct raw_seg syn = rig_syn(port);

	syn.h.options |= TCP_HAS_FASTOPEN;
	if (cookie) {
		syn.h.cookie_len = TCP_FASTOPEN_COOKIE_LEN;
		tcp_fastopen_cookie(&r->tcp, &r->h.v4, &r->peer4, syn.h.cookie);
	}
	syn.payload = data;
	syn.len = (uint32_t)strlen(data);
	return syn;
}

/* What it gives for the asking is what it then takes (4.1.2). */
static void tcp_fastopen_begin__grants_a_cookie(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg syn, synack;
	uint8_t cookie[TCP_FASTOPEN_COOKIE_LEN];

	open_server(&r, &l);
	syn = syn_with(&r, PORT, false, "");
	raw_in(&r, &syn);
	rig_expect_one(&r, &synack, TCP_SYN | TCP_ACK);
	assert_true(synack.h.options & TCP_HAS_FASTOPEN);
	assert_int_equal(synack.h.cookie_len, TCP_FASTOPEN_COOKIE_LEN);
	tcp_fastopen_cookie(&r.tcp, &r.h.v4, &r.peer4, cookie);
	assert_memory_equal(synack.h.cookie, cookie, sizeof(cookie));
	assert_int_equal(l.n_reqs, 1); /* and else it is an ordinary handshake */
	assert_int_equal(l.n_ready, 0);
	/* It hangs on both addresses and on the secret. */
	tcp_fastopen_cookie(&r.tcp, &r.h.v4, &r.peer6, cookie);
	assert_memory_not_equal(synack.h.cookie, cookie, sizeof(cookie));
	r.tcp.secret[TCP_SECRET_FASTOPEN].k[1]++;
	tcp_fastopen_cookie(&r.tcp, &r.h.v4, &r.peer4, cookie);
	assert_memory_not_equal(synack.h.cookie, cookie, sizeof(cookie));
	close_server(&r, &l);
}

/* 4.2.2: data are delivered and acked at once, and may be answered before the handshake ends. */
static void tcp_fastopen_begin__data_at_once(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg syn, synack, out;
	struct tcp_conn *c;
	char got[8];
	struct iovec in = { got, sizeof(got) }, answer = { "world", 5 };

	open_server(&r, &l);
	syn = syn_with(&r, PORT, true, "hello");
	raw_in(&r, &syn);
	rig_expect_one(&r, &synack, TCP_SYN | TCP_ACK);
	assert_int_equal(synack.h.ack, RIG_PEER_SEQ + 1 + 5);
	assert_false(synack.h.options & TCP_HAS_FASTOPEN);
	assert_int_equal(synack.h.options & 15,
			 TCP_HAS_MSS | TCP_HAS_SACK_PERMITTED | TCP_HAS_TIMESTAMP | TCP_HAS_WSCALE);
	assert_int_equal(r.n_incoming, 1);
	assert_int_equal(l.n_fastopen, 1);
	assert_int_equal(r.h.counters[FS_CTR_tcp_fastopen_in], 1);
	c = tcp_accept(&l);
	assert_non_null(c);
	assert_int_equal(c->state, TCP_SYN_RECEIVED);
	assert_int_equal(l.n_fastopen, 1); /* 5.1: accepted, and still not proved */
	assert_int_equal(tcp_recv(c, &r.h.env, &in, 1, 0, 0, rig_now(&r)), 5);
	assert_memory_equal(got, "hello", 5);
	assert_int_equal(tcp_send(c, &r.h.env, &answer, 1, 0, rig_now(&r)), 5);
	rig_expect_one(&r, &out, TCP_ACK | TCP_PSH);
	assert_int_equal(out.h.seq, synack.h.seq + 1);
	assert_memory_equal(out.bytes, "world", 5);
	RAW_IN(&r, .h = { .src_port = PORT, .flags = TCP_ACK, .seq = RIG_PEER_SEQ + 6, .ack = synack.h.seq + 6,
			  .options = TCP_HAS_TIMESTAMP, .ts_val = RIG_TS + 1, .ts_ecr = synack.h.ts_val });
	assert_int_equal(c->state, TCP_ESTABLISHED);
	assert_int_equal(c->snd_una, synack.h.seq + 6);
	assert_int_equal(l.n_fastopen, 0);
	assert_null(c->listener);
	tcp_abort(c, &r.h.env, rig_now(&r));
	close_server(&r, &l);
}

/* The handshake's end before accept. */
static void tcp_child_settled__in_the_queue(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg syn, synack, third;
	struct tcp_conn *c;

	open_server(&r, &l);
	syn = syn_with(&r, PORT, true, "hello");
	raw_in(&r, &syn);
	rig_expect_one(&r, &synack, TCP_SYN | TCP_ACK);
	third = rig_third(&synack);
	raw_in(&r, &third);
	assert_int_equal(l.n_fastopen, 0);
	c = tcp_accept(&l);
	assert_int_equal(c->state, TCP_ESTABLISHED);
	assert_int_equal(tcp_inq(c), 5);
	assert_int_equal(r.n_incoming, 1);
	tcp_abort(c, &r.h.env, rig_now(&r));
	close_server(&r, &l);
}

/* A wrong cookie: as without one, and the right one comes along (4.2.2). */
static void tcp_fastopen_begin__wrong_cookie(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg syn, synack;

	open_server(&r, &l);
	syn = syn_with(&r, PORT, true, "hello");
	syn.h.cookie[3] ^= 1;
	raw_in(&r, &syn);
	rig_expect_one(&r, &synack, TCP_SYN | TCP_ACK);
	assert_int_equal(synack.h.ack, RIG_PEER_SEQ + 1); /* the data must come again */
	assert_int_equal(synack.h.cookie_len, TCP_FASTOPEN_COOKIE_LEN);
	assert_int_equal(l.n_ready, 0);
	assert_int_equal(r.h.counters[FS_CTR_tcp_fastopen_in_refused], 1);
	syn = syn_with(&r, 2, true, "hello"); /* of another length */
	syn.h.cookie_len = 16;
	raw_in(&r, &syn);
	rig_expect_one(&r, &synack, TCP_SYN | TCP_ACK);
	assert_int_equal(l.n_ready, 0);
	close_server(&r, &l);
}

static void tcp_fastopen_begin__not_asked_for(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg syn, synack;

	open_server(&r, &l);
	r.tcp.config.fastopen = CLIENT;
	syn = syn_with(&r, 1, true, "x");
	raw_in(&r, &syn);
	rig_expect_one(&r, &synack, TCP_SYN | TCP_ACK);
	assert_false(synack.h.options & TCP_HAS_FASTOPEN);
	r.tcp.config.fastopen = SERVER;
	l.own.fastopen_queue = 0;
	syn = syn_with(&r, 2, true, "x");
	raw_in(&r, &syn);
	rig_expect_one(&r, &synack, TCP_SYN | TCP_ACK);
	assert_false(synack.h.options & TCP_HAS_FASTOPEN);
	assert_int_equal(l.n_ready, 0);
	close_server(&r, &l);
}

/* TCP_FASTOPEN_NO_COOKIE: data are enough. */
static void tcp_fastopen_begin__without_cookie(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg syn = rig_syn(PORT), synack;

	open_server(&r, &l);
	l.options.fastopen_no_cookie = true;
	raw_in(&r, &syn); /* without data it is an ordinary one */
	rig_expect_one(&r, &synack, TCP_SYN | TCP_ACK);
	assert_int_equal(l.n_ready, 0);
	syn = rig_syn(2);
	syn.payload = "hello";
	syn.len = 5;
	raw_in(&r, &syn);
	rig_expect_one(&r, &synack, TCP_SYN | TCP_ACK);
	assert_int_equal(synack.h.ack, RIG_PEER_SEQ + 6);
	assert_int_equal(l.n_ready, 1);
	close_server(&r, &l);
}

/* 5.1: so many pending ones and no more; then it is an ordinary handshake, and no cookie is given either. */
static void tcp_fastopen_begin__queue_limit(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg syn, synack;

	open_server(&r, &l);
	for (uint16_t port = 1; port <= 3; port++) {
		syn = syn_with(&r, port, true, "x");
		raw_in(&r, &syn);
		rig_expect_one(&r, &synack, TCP_SYN | TCP_ACK);
	}
	assert_int_equal(l.n_fastopen, 3);
	syn = syn_with(&r, 4, true, "x");
	raw_in(&r, &syn);
	rig_expect_one(&r, &synack, TCP_SYN | TCP_ACK);
	assert_int_equal(synack.h.ack, RIG_PEER_SEQ + 1);
	assert_false(synack.h.options & TCP_HAS_FASTOPEN);
	assert_int_equal(l.n_fastopen, 3);
	assert_int_equal(l.n_reqs, 1);
	assert_int_equal(r.h.counters[FS_CTR_tcp_fastopen_in_refused], 1);
	close_server(&r, &l);
	assert_int_equal(l.n_fastopen, 0);
}

/* No memory for a child: an ordinary handshake, for which a request is enough, and the cookie still holds. */
static void tcp_fastopen_begin__no_memory(void **state)
{
	struct tcp_conn *taken[RIG_HOARD];
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg syn, synack;
	unsigned n;

	open_server(&r, &l);
	n = rig_hoard(&r, taken);
	syn = syn_with(&r, PORT, true, "x");
	raw_in(&r, &syn);
	rig_expect_one(&r, &synack, TCP_SYN | TCP_ACK);
	assert_int_equal(synack.h.ack, RIG_PEER_SEQ + 1);
	assert_int_equal(synack.h.cookie_len, TCP_FASTOPEN_COOKIE_LEN);
	assert_int_equal(l.n_fastopen, 0);
	assert_int_equal(l.n_reqs, 1);
	rig_release(&r, taken, n);
	close_server(&r, &l);
}

/* 5.1: what is reset goes on to count for a minute, or spoofed SYNs and RSTs would cost nothing. */
static void tcp_child_settled__reset_keeps_its_place(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg syn, synack;
	struct tcp_conn *c;

	open_server(&r, &l);
	syn = syn_with(&r, PORT, true, "x");
	raw_in(&r, &syn);
	rig_expect_one(&r, &synack, TCP_SYN | TCP_ACK);
	RAW_IN(&r, .h = { .src_port = PORT, .flags = TCP_RST, .seq = RIG_PEER_SEQ + 2 });
	assert_int_equal(l.n_fastopen, 1);
	assert_int_equal(l.n_reqs, 0);
	assert_int_equal(r.tcp.reqs.in_use, 1);
	c = tcp_accept(&l); /* it ended, and what came can still be read (as Linux) */
	assert_int_equal(c->state, TCP_CLOSED);
	tcp_close(c, &r.h.env, rig_now(&r));
	rig_run(&r, FS_SEC(60) - 1);
	assert_int_equal(l.n_fastopen, 1);
	rig_run(&r, 2);
	assert_int_equal(l.n_fastopen, 0);
	assert_int_equal(r.tcp.reqs.in_use, 0);
	close_server(&r, &l);
}

/* The listener ends before the handshakes of those it made: accepted ones live on, others are reset. */
static void tcp_unlisten__with_fast_open_children(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg syn, accepted, waiting, out, third;
	struct tcp_conn *c;

	open_server(&r, &l);
	syn = syn_with(&r, 1, true, "x");
	raw_in(&r, &syn);
	rig_expect_one(&r, &accepted, TCP_SYN | TCP_ACK);
	c = tcp_accept(&l);
	syn = syn_with(&r, 2, true, "x");
	raw_in(&r, &syn);
	rig_expect_one(&r, &waiting, TCP_SYN | TCP_ACK);
	assert_int_equal(l.n_fastopen, 2);
	tcp_unlisten(&l, &r.h.env, rig_now(&r));
	assert_int_equal(l.n_fastopen, 0);
	rig_expect_one(&r, &out, TCP_RST | TCP_ACK);
	assert_int_equal(out.h.dst_port, 2);
	assert_null(c->listener);
	third = rig_third(&accepted);
	raw_in(&r, &third);
	assert_int_equal(c->state, TCP_ESTABLISHED);
	tcp_abort(c, &r.h.env, rig_now(&r));
	rig_forget_out(&r);
	raw_close(&r);
}

/* The SYN-ACK of a child is lost: its own timer sends it again. And the peer's SYN again is answered again. */
static void tcp_fastopen_begin__synack_lost(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg syn, first, again;

	open_server(&r, &l);
	syn = syn_with(&r, PORT, true, "hello");
	raw_in(&r, &syn);
	rig_expect_one(&r, &first, TCP_SYN | TCP_ACK);
	rig_run(&r, FS_SEC(1) + FS_MS(10));
	rig_expect_one(&r, &again, TCP_SYN | TCP_ACK);
	assert_int_equal(again.h.seq, first.h.seq);
	assert_int_equal(again.h.ack, first.h.ack);
	raw_in(&r, &syn);
	rig_expect_one(&r, &again, TCP_SYN | TCP_ACK);
	assert_int_equal(again.h.seq, first.h.seq);
	assert_int_equal(l.n_ready, 1);
	assert_int_equal(tcp_inq(FS_CONTAINER_OF(list_first(&l.ready), struct tcp_conn, queue)), 5);
	close_server(&r, &l);
}

/* --- client --- */

/* A connection that wants Fast Open, connecting from @port. */
static struct tcp_conn *client(struct raw_rig *r, uint16_t port)
{
	struct tcp_conn *c = tcp_open(&r->tcp, r);

	c->options.fastopen_connect = true;
	assert_int_equal(tcp_connect(c, &r->h.env, &r->h.v4, port, &r->peer4, RIG_PEER_PORT, rig_now(r)), 0);
	return c;
}

static ssize_t give(struct raw_rig *r, struct tcp_conn *c, const char *text)
{
	struct iovec iov = { (void *)(uintptr_t)text, strlen(text) };

	return tcp_send(c, &r->h.env, &iov, 1, 0, rig_now(r));
}

/* The peer's SYN-ACK to the SYN @syn, acking @acked of its data, with a cookie if @cookie. */
static void answer(struct raw_rig *r, const struct raw_seg *syn, uint32_t acked, bool cookie)
{
	struct raw_seg s = { .h = { .dst_port = syn->h.src_port, .src_port = syn->h.dst_port,
				    .flags = TCP_SYN | TCP_ACK, .seq = RIG_PEER_SEQ, .ack = syn->h.seq + 1 + acked,
				    .options = TCP_HAS_MSS | TCP_HAS_TIMESTAMP, .mss = 1000, .ts_val = RIG_TS,
				    .ts_ecr = syn->h.ts_val } };

	if (cookie) {
		s.h.options |= TCP_HAS_FASTOPEN;
		s.h.cookie_len = 6;
		memcpy(s.h.cookie, "cookie", 6);
	}
	raw_in(r, &s);
	tcp_burst_end(&r->tcp, &r->h.env, rig_now(r));
}

/* 4.1.1: nothing is known of the server: the SYN asks, the answer is kept. */
static void learn(struct raw_rig *r, uint16_t port)
{
	struct tcp_conn *c = client(r, port);
	struct raw_seg syn;

	rig_expect_one(r, &syn, TCP_SYN);
	assert_true(syn.h.options & TCP_HAS_FASTOPEN);
	assert_int_equal(syn.h.cookie_len, 0);
	assert_int_equal(syn.len, 0);
	answer(r, &syn, 0, true);
	assert_int_equal(c->state, TCP_ESTABLISHED);
	tcp_abort(c, &r->h.env, rig_now(r));
	rig_forget_out(r);
}

static void tcp_fastopen_syn__asks_then_brings_data(void **state)
{
	struct tcp_reservation nothing = { .n = 0 };
	struct raw_rig r;
	struct tcp_conn *c;
	struct raw_seg syn, out;

	raw_open(&r);
	learn(&r, 1);
	c = client(&r, 2);
	rig_expect_silence(&r); /* the SYN waits for data */
	assert_true(tcp_fastopen_ready(c, rig_now(&r)));
	assert_int_equal(c->state, TCP_SYN_SENT);
	assert_int_equal(give(&r, c, "hello"), 5);
	rig_expect_one(&r, &syn, TCP_SYN);
	assert_int_equal(syn.h.cookie_len, 6);
	assert_memory_equal(syn.h.cookie, "cookie", 6);
	assert_int_equal(syn.len, 5);
	assert_memory_equal(syn.bytes, "hello", 5);
	tcp_commit(c, &r.h.env, &nothing, 0, 0, rig_now(&r)); /* nothing follows: no reason for another SYN */
	rig_expect_silence(&r);
	answer(&r, &syn, 5, false);
	assert_int_equal(c->state, TCP_ESTABLISHED);
	assert_int_equal(tcp_outq(c), 0);
	assert_true(c->syn_data_taken);
	assert_int_equal(r.h.counters[FS_CTR_tcp_fastopen_out], 1);
	rig_expect_one(&r, &out, TCP_ACK);
	assert_int_equal(out.h.seq, syn.h.seq + 6);
	tcp_abort(c, &r.h.env, rig_now(&r));
	rig_forget_out(&r);
	raw_close(&r);
}

/* 4.2.2: the server did not take them: they go again, at once. */
static void tcp_fastopen_answered__data_not_taken(void **state)
{
	struct raw_rig r;
	struct tcp_conn *c;
	struct raw_seg syn, out;

	raw_open(&r);
	learn(&r, 1);
	c = client(&r, 2);
	give(&r, c, "hello");
	rig_expect_one(&r, &syn, TCP_SYN);
	answer(&r, &syn, 0, false);
	rig_expect_one(&r, &out, TCP_ACK | TCP_PSH);
	assert_int_equal(out.h.seq, syn.h.seq + 1);
	assert_memory_equal(out.bytes, "hello", 5);
	assert_false(c->syn_data_taken);
	assert_int_equal(c->fastopen_fail, TCP_INFO_FASTOPEN_NOT_TAKEN);
	assert_int_equal(r.h.counters[FS_CTR_tcp_fastopen_out_failed], 1);
	tcp_abort(c, &r.h.env, rig_now(&r));
	rig_forget_out(&r);
	/* Nor was there a new cookie, so the old one is worth nothing: the next asks. */
	c = client(&r, 3);
	rig_expect_one(&r, &syn, TCP_SYN);
	assert_int_equal(syn.h.cookie_len, 0);
	assert_int_equal(c->fastopen_fail, TCP_INFO_FASTOPEN_NO_COOKIE);
	tcp_abort(c, &r.h.env, rig_now(&r));
	raw_close(&r);
}

/* A SYN with data is bounded by what the server said it takes, and by what a SYN has room for. */
static void tcp_fastopen_syn__bounded(void **state)
{
	static char text[3000];
	struct raw_rig r;
	struct tcp_conn *c;
	struct raw_seg syn;

	memset(text, 'a', sizeof(text) - 1);
	raw_open(&r);
	learn(&r, 1);
	c = client(&r, 2);
	assert_int_equal(give(&r, c, text), sizeof(text) - 1);
	rig_expect_one(&r, &syn, TCP_SYN);
	assert_int_equal(syn.len, 1000 - 40);
	assert_int_equal(c->mss, 1000 - 12);
	answer(&r, &syn, syn.len, false);
	assert_int_equal(c->snd_una, syn.h.seq + 1 + syn.len);
	tcp_abort(c, &r.h.env, rig_now(&r));
	rig_forget_out(&r);
	raw_close(&r);
}

/* Lost with the option it goes again without, and data wait for the handshake. Twice lost: the path is left alone
 * for four minutes. */
static void tcp_fastopen_lost__black_hole(void **state)
{
	struct raw_rig r;
	struct tcp_conn *c;
	struct raw_seg syn;

	raw_open(&r);
	learn(&r, 1);
	for (uint16_t port = 2; port <= 3; port++) {
		c = client(&r, port);
		give(&r, c, "hello");
		rig_expect_one(&r, &syn, TCP_SYN);
		assert_int_equal(syn.len, 5);
		rig_run(&r, FS_SEC(1) + FS_MS(10));
		rig_expect_one(&r, &syn, TCP_SYN);
		assert_int_equal(syn.len, 0);
		assert_false(syn.h.options & TCP_HAS_FASTOPEN);
		tcp_abort(c, &r.h.env, rig_now(&r));
	}
	for (unsigned minutes = 0; minutes < 4; minutes++) {
		c = client(&r, (uint16_t)(10 + minutes));
		rig_expect_one(&r, &syn, TCP_SYN); /* at once, as without Fast Open */
		assert_false(syn.h.options & TCP_HAS_FASTOPEN);
		tcp_abort(c, &r.h.env, rig_now(&r));
		rig_run(&r, FS_SEC(59));
	}
	rig_run(&r, FS_SEC(10));
	c = client(&r, 20);
	rig_expect_silence(&r);
	give(&r, c, "hello");
	rig_expect_one(&r, &syn, TCP_SYN);
	assert_int_equal(syn.len, 5);
	answer(&r, &syn, 5, false);
	assert_int_equal(r.tcp.fastopen[0].failures, 0);
	tcp_abort(c, &r.h.env, rig_now(&r));
	rig_forget_out(&r);
	c = client(&r, 21);
	give(&r, c, "hello");
	rig_expect_one(&r, &syn, TCP_SYN);
	rig_run(&r, FS_SEC(1) + FS_MS(10));
	rig_expect_one(&r, &syn, TCP_SYN);
	answer(&r, &syn, 0, false);
	assert_int_equal(c->fastopen_fail, TCP_INFO_FASTOPEN_SYN_LOST);
	tcp_abort(c, &r.h.env, rig_now(&r));
	rig_forget_out(&r);
	raw_close(&r);
}

static void tcp_fastopen_ready__not_wanted(void **state)
{
	struct raw_rig r;
	struct tcp_conn *c;
	struct raw_seg syn;

	raw_open(&r);
	learn(&r, 1);
	r.tcp.config.fastopen = SERVER;
	c = client(&r, 2);
	rig_expect_one(&r, &syn, TCP_SYN);
	assert_false(syn.h.options & TCP_HAS_FASTOPEN);
	tcp_abort(c, &r.h.env, rig_now(&r));
	raw_close(&r);
}

/* The table is bounded: who was not used for longest gives way. */
static void tcp_fastopen_cache__oldest_gives_way(void **state)
{
	struct raw_rig r;
	struct tcp_conn *c;
	struct raw_seg syn;

	raw_open(&r);
	for (unsigned i = 0; i < TCP_FASTOPEN_CACHE + 1; i++) {
		r.peer4 = rig_v4(10, 0, 0, (uint8_t)(2 + i));
		r.h.env.now += FS_SEC(1);
		ip_dst_flush(&r.h.ip); /* the rig has few neighbours */
		learn(&r, 1);
	}
	r.peer4 = rig_v4(10, 0, 0, 2);
	c = client(&r, 2);
	rig_expect_one(&r, &syn, TCP_SYN);
	assert_int_equal(syn.h.cookie_len, 0);
	tcp_abort(c, &r.h.env, rig_now(&r));
	r.peer4 = rig_v4(10, 0, 0, 3);
	c = client(&r, 2);
	rig_expect_silence(&r);
	tcp_abort(c, &r.h.env, rig_now(&r));
	raw_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_fastopen_begin__grants_a_cookie),
		cmocka_unit_test(tcp_fastopen_begin__data_at_once),
		cmocka_unit_test(tcp_child_settled__in_the_queue),
		cmocka_unit_test(tcp_fastopen_begin__wrong_cookie),
		cmocka_unit_test(tcp_fastopen_begin__not_asked_for),
		cmocka_unit_test(tcp_fastopen_begin__without_cookie),
		cmocka_unit_test(tcp_fastopen_begin__queue_limit),
		cmocka_unit_test(tcp_fastopen_begin__no_memory),
		cmocka_unit_test(tcp_child_settled__reset_keeps_its_place),
		cmocka_unit_test(tcp_unlisten__with_fast_open_children),
		cmocka_unit_test(tcp_fastopen_begin__synack_lost),
		cmocka_unit_test(tcp_fastopen_syn__asks_then_brings_data),
		cmocka_unit_test(tcp_fastopen_answered__data_not_taken),
		cmocka_unit_test(tcp_fastopen_syn__bounded),
		cmocka_unit_test(tcp_fastopen_lost__black_hole),
		cmocka_unit_test(tcp_fastopen_ready__not_wanted),
		cmocka_unit_test(tcp_fastopen_cache__oldest_gives_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
