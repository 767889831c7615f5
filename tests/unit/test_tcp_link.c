/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_tcp_link.c - two engines and a wire: connections from SYN to TIME-WAIT, and what befalls them in between.
 */
#include "tcp_pair.h"

#include <errno.h>

enum { BIG = 300000 };

static uint8_t pattern(uint32_t at)
{
	return (uint8_t)(at * 31 + (at >> 8) + (at >> 16));
}

static uint8_t *make_pattern(uint32_t len)
{
	uint8_t *bytes = malloc(len);

	for (uint32_t i = 0; i < len; i++)
		bytes[i] = pattern(i);
	return bytes;
}

/* Move @len bytes from @from to @to, reading all the time. */
static void transfer(struct tcp_pair *p, struct tcp_conn *from, struct tcp_conn *to, uint32_t len)
{
	static uint8_t got[65536];
	uint8_t *bytes = make_pattern(len);
	uint32_t sent = 0, received = 0;

	for (unsigned rounds = 0; received < len; rounds++) {
		ssize_t n = sent < len ? pair_send(p, from, bytes + sent, len - sent, 0) : 0;

		assert_true(rounds < 100000);
		if (n > 0)
			sent += (uint32_t)n;
		else
			assert_true(n == 0 || n == -EAGAIN);
		pair_run(p, p->delay);
		while ((n = pair_recv(p, to, got, sizeof(got), 0)) > 0) {
			assert_memory_equal(got, bytes + received, (size_t)n);
			received += (uint32_t)n;
		}
		assert_int_equal(n, -EAGAIN);
	}
	free(bytes);
}

static void close_both(struct tcp_pair *p)
{
	tcp_close(p->ca, &p->a.h.env, p->now);
	pair_run(p, 4 * p->delay);
	tcp_close(p->cb, &p->b.h.env, p->now);
	pair_close(p);
}

static void link__handshake_and_close(void **state)
{
	struct tcp_pair p;
	char byte;

	pair_open(&p);
	pair_establish(&p);
	assert_true(tcp_has(p.ca, TCP_CONN_TS) && tcp_has(p.ca, TCP_CONN_SACK) && tcp_has(p.ca, TCP_CONN_WSCALE));
	assert_int_equal(p.ca->mss, 1448);
	assert_int_equal(p.cb->mss, 1448);
	tcp_close(p.ca, &p.a.h.env, p.now);
	pair_run(&p, FS_MS(3));
	assert_int_equal(p.cb->state, TCP_CLOSE_WAIT);
	assert_int_equal(pair_recv(&p, p.cb, &byte, 1, 0), 0);
	tcp_close(p.cb, &p.b.h.env, p.now);
	pair_run(&p, FS_MS(3));
	assert_int_equal(p.a.tcp.n_tw, 1);
	assert_int_equal(p.b.tcp.n_conns, 0);
	pair_close(&p);
}

/* Held, ACKs ride on what the program sends: of ten segments, which is what Linux takes, seven are left. */
static void link__held_acks_ride(void **state)
{
	struct tcp_pair p;
	char byte = 'x';

	pair_open(&p);
	p.a.tcp.config.hold_acks = p.b.tcp.config.hold_acks = true;
	p.ca = tcp_open(&p.a.tcp, NULL);
	assert_int_equal(pair_connect(&p, p.ca), 0);
	pair_run(&p, FS_MS(3));
	assert_int_equal(p.ca->state, TCP_ESTABLISHED);
	assert_null(tcp_accept(&p.listener));
	assert_int_equal(pair_send(&p, p.ca, &byte, 1, 0), 1);
	pair_run(&p, FS_MS(3));
	p.cb = tcp_accept(&p.listener);
	tcp_accept_undo(&p.listener, p.cb); /* it waits as before */
	assert_int_equal(p.listener.n_ready, 1);
	assert_ptr_equal(tcp_accept(&p.listener), p.cb);
	assert_null(tcp_accept(&p.listener));
	assert_non_null(p.cb);
	assert_int_equal(pair_recv(&p, p.cb, &byte, 1, 0), 1);
	assert_int_equal(pair_send(&p, p.cb, &byte, 1, 0), 1);
	tcp_close(p.cb, &p.b.h.env, p.now);
	pair_run(&p, FS_MS(3));
	assert_int_equal(pair_recv(&p, p.ca, &byte, 1, 0), 1);
	assert_int_equal(pair_recv(&p, p.ca, &byte, 1, 0), 0);
	tcp_close(p.ca, &p.a.h.env, p.now);
	pair_run(&p, FS_MS(3));
	assert_int_equal(p.sent[0], 3);
	assert_int_equal(p.sent[1], 4);
	tcp_release_acks(&p.a.tcp, FS_NEVER);
	tcp_release_acks(&p.b.tcp, FS_NEVER);
	assert_true(list_is_empty(&p.a.tcp.held) && list_is_empty(&p.b.tcp.held));
	pair_close(&p);
}

/* The end of the peer comes with the last of what it said, a full segment: our own end answers both. */
static void link__held_acks_of_the_end_ride(void **state)
{
	uint8_t answer[1448] = { 0 };
	struct tcp_pair p;
	char byte = 'x';

	pair_open(&p);
	pair_establish(&p);
	p.a.tcp.config.hold_acks = p.b.tcp.config.hold_acks = true;
	assert_int_equal(pair_send(&p, p.ca, &byte, 1, 0), 1);
	pair_run(&p, FS_MS(3));
	assert_int_equal(pair_recv(&p, p.cb, &byte, 1, 0), 1);
	p.sent[0] = p.sent[1] = 0;
	assert_int_equal(pair_send(&p, p.cb, answer, sizeof(answer) - 1, TCP_SEND_MORE), sizeof(answer) - 1);
	tcp_close(p.cb, &p.b.h.env, p.now);
	pair_run(&p, FS_MS(3));
	assert_int_equal(p.ca->state, TCP_CLOSE_WAIT);
	assert_int_equal(p.sent[1], 1);
	assert_int_equal(p.sent[0], 0);
	assert_int_equal(pair_recv(&p, p.ca, answer, sizeof(answer), 0), sizeof(answer) - 1);
	assert_int_equal(pair_recv(&p, p.ca, answer, sizeof(answer), 0), 0);
	tcp_close(p.ca, &p.a.h.env, p.now);
	pair_run(&p, FS_MS(3));
	assert_int_equal(p.sent[0], 1);
	assert_int_equal(p.sent[1], 2);
	pair_close(&p);
}

/* One that is held anew is younger than what was held meanwhile, and stands in nobody's way. */
static void link__held_acks_leave_oldest_first(void **state)
{
	struct tcp_pair p;
	struct tcp_conn *second;
	char byte = 'x';

	pair_open(&p);
	p.a.tcp.config.hold_acks = true;
	p.ca = tcp_open(&p.a.tcp, NULL);
	assert_int_equal(pair_connect(&p, p.ca), 0);
	pair_run(&p, FS_MS(3));
	second = tcp_open(&p.a.tcp, NULL);
	assert_int_equal(tcp_connect(second, &p.a.h.env, &p.a.h.v4, PAIR_CLIENT_PORT + 1, &p.b.h.v4, PAIR_PORT, p.now), 0);
	pair_run(&p, FS_MS(3));
	assert_int_equal(pair_send(&p, p.ca, &byte, 1, 0), 1); /* carries its ACK */
	pair_run(&p, FS_MS(3));
	p.cb = tcp_accept(&p.listener);
	assert_non_null(p.cb);
	assert_int_equal(pair_recv(&p, p.cb, &byte, 1, 0), 1);
	assert_int_equal(pair_send(&p, p.cb, &byte, 1, 0), 1);
	pair_run(&p, FS_MS(3));
	tcp_release_acks(&p.a.tcp, p.now - FS_MS(4));
	assert_int_equal(p.ca->ack_flags & (TCP_ACK_DELAYED | TCP_ACK_NOW), TCP_ACK_DELAYED);
	assert_int_equal(second->ack_flags & TCP_ACK_NOW, TCP_ACK_NOW);
	tcp_abort(second, &p.a.h.env, p.now);
	tcp_close(p.cb, &p.b.h.env, p.now);
	tcp_close(p.ca, &p.a.h.env, p.now);
	pair_close(&p);
}

static void link__bytes_both_ways(void **state)
{
	struct tcp_pair p;

	pair_open(&p);
	pair_establish(&p);
	transfer(&p, p.ca, p.cb, BIG);
	transfer(&p, p.cb, p.ca, BIG);
	assert_int_equal(p.a.h.counters[FS_CTR_tcp_retransmitted], 0);
	assert_int_equal(p.b.h.counters[FS_CTR_tcp_retransmitted], 0);
	close_both(&p);
}

/* One of twenty, in no rhythm. */
static bool lose_some(struct tcp_pair *p, bool to_b, const struct tcp_hdr *h, uint32_t len)
{
	return ++p->count * 2654435761u >> 16 < UINT16_MAX / 20;
}

static void link__loss(void **state)
{
	struct tcp_pair p;

	pair_open(&p);
	pair_establish(&p);
	p.lose = lose_some;
	transfer(&p, p.ca, p.cb, BIG);
	transfer(&p, p.cb, p.ca, BIG);
	assert_true(p.lost > 10);
	assert_true(p.a.h.counters[FS_CTR_tcp_retransmitted] > 0);
	p.lose = NULL;
	close_both(&p);
}

static void link__half_close(void **state)
{
	struct tcp_pair p;
	char got[16];

	pair_open(&p);
	pair_establish(&p);
	assert_int_equal(pair_send(&p, p.ca, "question", 8, 0), 8);
	assert_int_equal(tcp_shutdown(p.ca, &p.a.h.env, TCP_SHUT_WR, p.now), 0);
	pair_run(&p, FS_MS(3));
	assert_int_equal(p.ca->state, TCP_FIN_WAIT2);
	assert_int_equal(pair_recv(&p, p.cb, got, sizeof(got), 0), 8);
	assert_int_equal(pair_recv(&p, p.cb, got, sizeof(got), 0), 0);
	assert_int_equal(pair_send(&p, p.ca, "more", 4, 0), -EPIPE);
	assert_int_equal(pair_send(&p, p.cb, "answer", 6, 0), 6);
	pair_run(&p, FS_MS(3));
	assert_int_equal(pair_recv(&p, p.ca, got, sizeof(got), 0), 6);
	close_both(&p);
}

static void link__simultaneous_close(void **state)
{
	struct tcp_pair p;

	pair_open(&p);
	pair_establish(&p);
	tcp_shutdown(p.ca, &p.a.h.env, TCP_SHUT_WR, p.now);
	tcp_shutdown(p.cb, &p.b.h.env, TCP_SHUT_WR, p.now);
	pair_run(&p, FS_MS(4));
	assert_int_equal(p.a.tcp.n_tw, 1);
	assert_int_equal(p.b.tcp.n_tw, 1);
	close_both(&p);
}

static void link__abort(void **state)
{
	struct tcp_pair p;
	char byte;

	pair_open(&p);
	pair_establish(&p);
	tcp_abort(p.ca, &p.a.h.env, p.now);
	pair_run(&p, FS_MS(3));
	assert_int_equal(p.cb->state, TCP_CLOSED);
	assert_int_equal(pair_recv(&p, p.cb, &byte, 1, 0), -ECONNRESET);
	assert_int_equal(p.a.tcp.n_conns, 0);
	tcp_close(p.cb, &p.b.h.env, p.now);
	pair_close(&p);
}

/* SHLD-3: unread bytes make a close an abort. */
static void link__close_with_unread_bytes(void **state)
{
	struct tcp_pair p;

	pair_open(&p);
	pair_establish(&p);
	pair_send(&p, p.ca, "lost", 4, 0);
	pair_run(&p, FS_MS(2));
	tcp_close(p.cb, &p.b.h.env, p.now);
	pair_run(&p, FS_MS(2));
	assert_int_equal(tcp_take_error(p.ca), ECONNRESET);
	tcp_close(p.ca, &p.a.h.env, p.now);
	pair_close(&p);
}

static void link__refused(void **state)
{
	struct tcp_pair p;

	pair_open(&p);
	tcp_unlisten(&p.listener, &p.b.h.env, p.now);
	p.ca = tcp_open(&p.a.tcp, NULL);
	assert_int_equal(pair_connect(&p, p.ca), 0);
	pair_run(&p, FS_MS(3));
	assert_int_equal(tcp_take_error(p.ca), ECONNREFUSED);
	tcp_close(p.ca, &p.a.h.env, p.now);
	pair_close(&p);
}

static bool lose_first_syn(struct tcp_pair *p, bool to_b, const struct tcp_hdr *h, uint32_t len)
{
	return (h->flags & TCP_SYN) && p->count++ == 0;
}

static void link__syn_lost(void **state)
{
	struct tcp_pair p;

	pair_open(&p);
	p.lose = lose_first_syn;
	p.ca = tcp_open(&p.a.tcp, NULL);
	assert_int_equal(pair_connect(&p, p.ca), 0);
	pair_run(&p, FS_MS(999));
	assert_int_equal(p.sent[0], 1);
	pair_run(&p, FS_MS(10));
	assert_int_equal(p.ca->state, TCP_ESTABLISHED);
	p.cb = tcp_accept(&p.listener);
	close_both(&p);
}

/* RFC 6298 5.5, R2: seven SYNs, each wait twice as long as the one before; then nobody was there. */
static bool lose_all(struct tcp_pair *p, bool to_b, const struct tcp_hdr *h, uint32_t len)
{
	return true;
}

static void link__nobody_there(void **state)
{
	struct tcp_pair p;

	pair_open(&p);
	p.lose = lose_all;
	p.ca = tcp_open(&p.a.tcp, NULL);
	assert_int_equal(pair_connect(&p, p.ca), 0);
	pair_run(&p, FS_MS(126999));
	assert_int_equal(p.sent[0], 7);
	assert_int_equal(p.ca->state, TCP_SYN_SENT);
	pair_run(&p, FS_MS(2));
	assert_int_equal(p.ca->state, TCP_CLOSED);
	assert_int_equal(tcp_take_error(p.ca), ETIMEDOUT);
	tcp_close(p.ca, &p.a.h.env, p.now);
	pair_close(&p);
}

static void link__urgent(void **state)
{
	struct tcp_pair p;
	char got[16];

	pair_open(&p);
	pair_establish(&p);
	assert_int_equal(pair_send(&p, p.ca, "abc", 3, TCP_SEND_OOB), 3);
	pair_run(&p, FS_MS(2));
	assert_true(tcp_ready(p.cb) & TCP_READY_PRI);
	assert_int_equal(pair_recv(&p, p.cb, got, sizeof(got), 0), 2);
	assert_true(tcp_at_mark(p.cb));
	assert_int_equal(pair_recv(&p, p.cb, got, 1, TCP_RECV_OOB), 1);
	assert_int_equal(got[0], 'c');
	pair_send(&p, p.ca, "d", 1, 0);
	pair_run(&p, FS_MS(2));
	assert_int_equal(pair_recv(&p, p.cb, got, sizeof(got), 0), 1);
	assert_int_equal(got[0], 'd');
	close_both(&p);
}

/* The receiver reads nothing for an hour, then everything. */
static void link__zero_window(void **state)
{
	struct tcp_pair p;
	static uint8_t got[65536];
	uint8_t *bytes = make_pattern(BIG);
	uint32_t sent = 0, received = 0;
	ssize_t n;

	pair_open(&p);
	pair_establish(&p);
	for (unsigned i = 0; i < 100; i++) {
		n = pair_send(&p, p.ca, bytes + sent, BIG - sent, 0);
		if (n > 0)
			sent += (uint32_t)n;
		pair_run(&p, FS_MS(2));
	}
	assert_true(sent < BIG);
	pair_run(&p, FS_SEC(3600));
	assert_int_equal(p.ca->snd_wnd, 0);
	assert_int_equal(p.ca->state, TCP_ESTABLISHED);
	assert_true(p.a.h.counters[FS_CTR_tcp_window_probes] > 30);
	assert_true(p.a.h.counters[FS_CTR_tcp_window_probes] < 60);
	while (received < BIG) {
		while ((n = pair_recv(&p, p.cb, got, sizeof(got), 0)) > 0) {
			assert_memory_equal(got, bytes + received, (size_t)n);
			received += (uint32_t)n;
		}
		if (sent < BIG && (n = pair_send(&p, p.ca, bytes + sent, BIG - sent, 0)) > 0)
			sent += (uint32_t)n;
		pair_run(&p, FS_MS(2));
	}
	free(bytes);
	close_both(&p);
}

static void link__keep_alive(void **state)
{
	struct tcp_options options;
	struct tcp_pair p;

	pair_open(&p);
	pair_establish(&p);
	options = *tcp_get_options(p.ca);
	options.keepalive = true;
	options.keep_idle_s = 10;
	options.keep_interval_s = 5;
	options.keep_count = 3;
	assert_int_equal(tcp_set_options(p.ca, &p.a.h.env, &options, p.now), 0);
	pair_run(&p, FS_SEC(105));
	assert_int_equal(p.a.h.counters[FS_CTR_tcp_keepalives], 10);
	assert_int_equal(p.ca->state, TCP_ESTABLISHED);
	p.lose = lose_all; /* the last answer came 5 s ago */
	pair_run(&p, FS_SEC(19));
	assert_int_equal(p.ca->state, TCP_ESTABLISHED);
	pair_run(&p, FS_SEC(2));
	assert_int_equal(p.ca->state, TCP_CLOSED);
	assert_int_equal(tcp_take_error(p.ca), ETIMEDOUT);
	p.lose = NULL;
	close_both(&p);
}

static void link__data_with_the_syn(void **state)
{
	struct tcp_options options;
	struct tcp_pair p;
	char got[16];

	pair_open(&p);
	p.a.tcp.config.fastopen = p.b.tcp.config.fastopen = 3;
	p.listener.own.fastopen_queue = 4;
	for (unsigned i = 0; i < 2; i++) {
		p.ca = tcp_open(&p.a.tcp, NULL);
		options = *tcp_get_options(p.ca);
		options.fastopen_connect = true;
		assert_int_equal(tcp_set_options(p.ca, &p.a.h.env, &options, p.now), 0);
		assert_int_equal(tcp_connect(p.ca, &p.a.h.env, &p.a.h.v4, (uint16_t)(PAIR_CLIENT_PORT + i), &p.b.h.v4,
					     PAIR_PORT, p.now),
				 0);
		if (i == 0) { /* no cookie yet: the SYN asks for one */
			pair_run(&p, FS_MS(4));
			p.cb = tcp_accept(&p.listener);
			assert_int_equal(pair_send(&p, p.ca, "hello", 5, 0), 5);
			pair_run(&p, FS_MS(1));
		} else { /* one trip: SYN with data */
			assert_int_equal(pair_send(&p, p.ca, "hello", 5, 0), 5);
			pair_run(&p, FS_MS(1));
			p.cb = tcp_accept(&p.listener);
		}
		assert_non_null(p.cb);
		assert_int_equal(pair_recv(&p, p.cb, got, sizeof(got), 0), 5);
		assert_int_equal(pair_send(&p, p.cb, "hi", 2, 0), 2);
		pair_run(&p, FS_MS(1));
		assert_int_equal(pair_recv(&p, p.ca, got, sizeof(got), 0), 2);
		pair_run(&p, FS_MS(4));
		assert_int_equal(p.cb->state, TCP_ESTABLISHED);
		tcp_close(p.ca, &p.a.h.env, p.now);
		pair_run(&p, FS_MS(4));
		tcp_close(p.cb, &p.b.h.env, p.now);
		pair_run(&p, FS_MS(4));
	}
	assert_int_equal(p.b.h.counters[FS_CTR_tcp_fastopen_in], 1);
	assert_int_equal(p.a.h.counters[FS_CTR_tcp_fastopen_out], 1);
	pair_close(&p);
}

static void link__super_frames(void **state)
{
	struct tcp_pair p;

	pair_open(&p);
	for (unsigned i = 0; i < 2; i++) {
		struct ip_port *port = i ? &p.b.h.ip.port[0] : &p.a.h.ip.port[0];

		port->tcp_gso = 65535;
		port->gso_parts = 32;
	}
	pair_establish(&p);
	transfer(&p, p.ca, p.cb, BIG);
	assert_true(p.a.h.counters[FS_CTR_tcp_super_out] > 3);
	assert_true(p.sent[0] < BIG / 1448 / 2);
	p.lose = lose_some;
	transfer(&p, p.ca, p.cb, BIG);
	p.lose = NULL;
	close_both(&p);
}

/* --- the small frame that ends a write --- */

enum { WRITE = 60 * 1448, SMALL_FRAME = 65535 / 2, SHORT_PATH_US = 20 };

/* Frames from a with data, smaller than half of what they may be. */
static unsigned small_frames;

static bool count_small(struct tcp_pair *p, bool to_b, const struct tcp_hdr *h, uint32_t len)
{
	small_frames += to_b && len > 0 && len < SMALL_FRAME;
	return false;
}

/* And no ACK comes back. */
static bool count_small_unanswered(struct tcp_pair *p, bool to_b, const struct tcp_hdr *h, uint32_t len)
{
	return count_small(p, to_b, h, len) || !to_b;
}

static void read_all(struct tcp_pair *p, uint64_t *received)
{
	static uint8_t got[65536];
	ssize_t n;

	while ((n = pair_recv(p, p->cb, got, sizeof(got), 0)) > 0)
		*received += (uint64_t)n;
}

/* @n writes, @pause_us between them; how many small frames left by then. */
static unsigned write_on(struct tcp_pair *p, unsigned n, fs_ns pause_us, uint64_t *received)
{
	static const uint8_t zeros[WRITE];

	small_frames = 0;
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(pair_send(p, p->ca, zeros, WRITE, 0), WRITE);
		pair_run(p, FS_US(pause_us));
		read_all(p, received);
	}
	return small_frames;
}

/* A short path for super-frames, with a window of some hundred segments. */
static void open_short_path(struct tcp_pair *p, bool sack)
{
	pair_open(p);
	p->a.tcp.config.sack = sack;
	for (unsigned i = 0; i < 2; i++) {
		struct ip_port *port = i ? &p->b.h.ip.port[0] : &p->a.h.ip.port[0];

		port->tcp_gso = 65535;
		port->gso_parts = 45;
	}
	p->delay = FS_US(SHORT_PATH_US);
	pair_establish(p);
	transfer(p, p->ca, p->cb, BIG);
	transfer(p, p->ca, p->cb, BIG);
	pair_run(p, FS_MS(50));
	p->lose = count_small;
}

/* In a stream the end of a write waits for the next one; the last one for an ACK. */
static void link__tails_of_a_stream_join(void **state)
{
	uint64_t received = 0;
	struct tcp_pair p;

	open_short_path(&p, true);
	assert_in_range(write_on(&p, 100, 30, &received), 1, 20);
	pair_run(&p, FS_US(3 * SHORT_PATH_US));
	read_all(&p, &received);
	assert_int_equal(received, 100 * WRITE);
	close_both(&p);
}

/* It waits no longer than a ms, if no ACK comes. */
static void link__tail_waits_a_ms_at_most(void **state)
{
	uint64_t received = 0;
	struct tcp_pair p;

	open_short_path(&p, false); /* or a tail loss probe would take it along */
	write_on(&p, 20, 30, &received);
	pair_run(&p, FS_US(3 * SHORT_PATH_US));
	p.lose = count_small_unanswered;
	for (unsigned i = 0; !p.ca->tail.waits; i++) {
		assert_true(i < 10);
		write_on(&p, 1, 1, &received);
	}
	small_frames = 0;
	pair_run(&p, FS_US(900));
	assert_int_equal(small_frames, 0);
	pair_run(&p, FS_US(300));
	assert_int_equal(small_frames, 1);
	p.lose = NULL;
	pair_run(&p, FS_SEC(1));
	read_all(&p, &received);
	close_both(&p);
}

/* Neither after a pause, nor in a dialogue, nor with TCP_NODELAY does the end of a write wait. */
static void link__tails_of_messages_leave(void **state)
{
	uint64_t received = 0;
	struct tcp_pair p;
	char byte = 0;

	open_short_path(&p, true);
	assert_true(write_on(&p, 20, 600, &received) >= 20);
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(write_on(&p, 1, 2 * SHORT_PATH_US, &received), 1);
		assert_int_equal(pair_send(&p, p.cb, &byte, 1, 0), 1);
		pair_run(&p, FS_US(2 * SHORT_PATH_US));
		assert_int_equal(pair_recv(&p, p.ca, &byte, 1, 0), 1);
	}
	p.ca->options.nodelay = true;
	assert_true(write_on(&p, 20, 30, &received) >= 20);
	pair_run(&p, FS_MS(1));
	read_all(&p, &received);
	assert_int_equal(received, 60 * WRITE);
	close_both(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(link__handshake_and_close),
		cmocka_unit_test(link__held_acks_ride),
		cmocka_unit_test(link__held_acks_of_the_end_ride),
		cmocka_unit_test(link__held_acks_leave_oldest_first),
		cmocka_unit_test(link__bytes_both_ways),
		cmocka_unit_test(link__loss),
		cmocka_unit_test(link__half_close),
		cmocka_unit_test(link__simultaneous_close),
		cmocka_unit_test(link__abort),
		cmocka_unit_test(link__close_with_unread_bytes),
		cmocka_unit_test(link__refused),
		cmocka_unit_test(link__syn_lost),
		cmocka_unit_test(link__nobody_there),
		cmocka_unit_test(link__urgent),
		cmocka_unit_test(link__zero_window),
		cmocka_unit_test(link__keep_alive),
		cmocka_unit_test(link__data_with_the_syn),
		cmocka_unit_test(link__super_frames),
		cmocka_unit_test(link__tails_of_a_stream_join),
		cmocka_unit_test(link__tail_waits_a_ms_at_most),
		cmocka_unit_test(link__tails_of_messages_leave),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
