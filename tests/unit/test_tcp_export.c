/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_tcp_export.c - connections that move from one engine to another: what the peer sees of it is nothing.
 *
 * Two engines of the same address stand for two programs; the peer is the test. All states that can move, queues in
 * both directions, what was in flight, what comes meanwhile.
 */
#include <errno.h>

#include "tcp_raw.h"

#include "tcp/snapshot.h"

enum { PORT = 1 };

struct fixture {
	struct raw_rig from, to;
	struct tcp_listener l;
	struct tcp_conn *c; /* where it is just now */
	struct raw_seg synack;
	struct tcp_snapshot s;
};

static void setup(struct fixture *f)
{
	raw_open(&f->from);
	raw_open(&f->to);
	f->to.h.env.now += FS_SEC(77777) + FS_MS(1); /* another clock; odd */
	rig_listen(&f->from, &f->l, 8);
	f->c = rig_accepted(&f->from, &f->l, PORT, &f->synack);
}

static void teardown(struct fixture *f)
{
	if (f->c)
		tcp_abort(f->c, f->c->stack == &f->to.tcp ? &f->to.h.env : &f->from.h.env, rig_now(&f->from));
	tcp_unlisten(&f->l, &f->from.h.env, rig_now(&f->from));
	rig_forget_out(&f->from);
	rig_forget_out(&f->to);
	raw_close(&f->from);
	raw_close(&f->to);
}

/* The bytes of one queue, in pieces of @step. */
static void move_queue(struct fixture *f, struct tcp_conn *to, enum tcp_queue which, uint32_t step)
{
	uint8_t bytes[4096];
	uint32_t offset = 0, n;

	while ((n = tcp_export_queue(f->c, which, offset, bytes, step)) > 0) {
		for (uint32_t done = 0; done < n;) {
			int took = tcp_import_queue(to, which, bytes + done, n - done, rig_now(&f->to));

			assert_true(took > 0);
			done += (uint32_t)took;
		}
		offset += n;
	}
}

/* The whole way. */
static void move_in_steps(struct fixture *f, uint32_t step)
{
	struct tcp_conn *to;

	assert_int_equal(tcp_export(f->c, &f->s, rig_now(&f->from)), 0);
	rig_expect_silence(&f->from);
	to = tcp_import(&f->to.tcp, &f->to.h.env, &f->s, f, rig_now(&f->to));
	assert_non_null(to);
	move_queue(f, to, TCP_QUEUE_SEND, step);
	move_queue(f, to, TCP_QUEUE_RECEIVE, step);
	tcp_discard(f->c, &f->from.h.env);
	rig_expect_silence(&f->from); /* not a word of it */
	assert_null(rig_end(&f->from, PORT));
	assert_int_equal(f->from.tcp.conns.in_use, 0);
	f->c = to;
	tcp_thaw(to, &f->to.h.env, rig_now(&f->to));
	tcp_burst_end(&f->to.tcp, &f->to.h.env, rig_now(&f->to));
}

static void move(struct fixture *f)
{
	move_in_steps(f, 1000);
}

/* The peer's next segment. */
static struct raw_seg next(struct fixture *f, uint16_t flags)
{
	return rig_next(f->c, flags, &f->synack);
}

static void read_all(struct fixture *f, const char *want, size_t len)
{
	char got[256];
	struct iovec iov = { got, sizeof(got) };
	struct raw_rig *r = f->c->stack == &f->to.tcp ? &f->to : &f->from;

	assert_int_equal(tcp_recv(f->c, &r->h.env, &iov, 1, 0, 0, rig_now(r)), len);
	assert_memory_equal(got, want, len);
}

/* --- idle --- */

static void tcp_import__idle(void **state)
{
	struct fixture f;
	struct raw_seg s, out;

	setup(&f);
	assert_true(tcp_has(f.c, TCP_CONN_PLAIN));
	move(&f);
	assert_int_equal(f.c->state, TCP_ESTABLISHED);
	assert_true(tcp_has(f.c, TCP_CONN_PLAIN)); /* the short ways are open to it there, too */
	/* It tells the peer where it is, with the numbers and the clock that were. */
	rig_expect_one(&f.to, &out, TCP_ACK);
	assert_int_equal(out.h.seq, f.synack.h.seq + 1);
	assert_int_equal(out.h.ack, RIG_PEER_SEQ + 1);
	assert_int_equal(out.h.ts_ecr, RIG_TS + 1);
	assert_in_range(out.h.ts_val - f.synack.h.ts_val, 0, 1);
	assert_int_equal(out.h.ts_val & 1, 0);
	/* And goes on both ways. */
	s = next(&f, TCP_ACK | TCP_PSH);
	s.payload = "hello";
	s.len = 5;
	rig_burst(&f.to, &s);
	read_all(&f, "hello", 5);
	rig_forget_out(&f.to);
	assert_int_equal(rig_write(&f.to, f.c, "world", 5, 0), 5);
	rig_expect_one(&f.to, &out, TCP_ACK | TCP_PSH);
	assert_int_equal(out.h.seq, f.synack.h.seq + 1);
	assert_memory_equal(out.bytes, "world", 5);
	teardown(&f);
}

/* Nobody has been silent for ever there: keep-alive begins with the move. */
static void tcp_import__silence_begins_anew(void **state)
{
	struct fixture f;
	struct tcp_options o;
	struct raw_seg out;

	setup(&f);
	o = *tcp_get_options(f.c);
	o.keepalive = true;
	o.keep_idle_s = 10;
	assert_int_equal(tcp_set_options(f.c, &f.from.h.env, &o, rig_now(&f.from)), 0);
	move(&f);
	rig_expect_one(&f.to, &out, TCP_ACK);
	rig_run(&f.to, FS_SEC(9));
	rig_expect_silence(&f.to);
	rig_run(&f.to, FS_SEC(2));
	rig_expect_one(&f.to, &out, TCP_ACK);
	assert_int_equal(out.h.seq, f.synack.h.seq); /* the probe */
	teardown(&f);
}

/* Everything that was agreed on, and what makes it go on at the same pace. */
static void tcp_import__state(void **state)
{
	struct fixture f;
	struct tcp_conn *c;

	setup(&f);
	c = f.c;
	c->cc.cwnd = 33;
	c->cc.ssthresh = 20;
	c->soft_error = EHOSTUNREACH;
	c->options.nodelay = true;
	c->options.keep_count = 4;
	f.from.h.env.now += FS_SEC(3);
	assert_int_equal(tcp_export(c, &f.s, rig_now(&f.from)), 0);
	assert_int_equal(f.s.state, TCP_ESTABLISHED);
	assert_int_equal(f.s.flags, TCP_SNAPSHOT_TS | TCP_SNAPSHOT_SACK | TCP_SNAPSHOT_WSCALE | TCP_SNAPSHOT_PASSIVE);
	assert_int_equal(f.s.mss_clamp, 1460);
	assert_int_equal(f.s.snd_wnd, 502 << 7);
	assert_int_equal(f.s.max_window, c->max_wnd);
	assert_int_equal(f.s.rcv_wnd, c->rcv_wnd);
	assert_int_equal(f.s.rcv_wup, c->rcv_wup);
	assert_int_equal(f.s.snd_wl1, c->snd_wl1);
	assert_int_equal(f.s.ts_recent_age_ms, 3000);
	tcp_thaw(c, &f.from.h.env, rig_now(&f.from));
	move(&f);
	assert_ptr_not_equal(f.c, c);
	assert_true(tcp_has(f.c, TCP_CONN_TS));
	assert_true(tcp_has(f.c, TCP_CONN_SACK));
	assert_int_equal(f.c->snd_wscale, 7);
	assert_int_equal(f.c->rcv_wscale, 7);
	assert_int_equal(f.c->snd_wnd, 502 << 7);
	assert_int_equal(f.c->mss, 1448);
	assert_int_equal(f.c->peer_mss, 1460);
	assert_int_equal(f.c->cc.cwnd, 33);
	assert_int_equal(f.c->cc.ssthresh, 20);
	assert_int_equal(f.c->soft_error, EHOSTUNREACH);
	assert_true(f.c->options.nodelay);
	assert_int_equal(f.c->options.keep_count, 4);
	assert_int_equal(rig_now(&f.to) - f.c->ts_recent_at, FS_SEC(3));
	teardown(&f);
}

/* What was not agreed on does not appear. */
static void tcp_import__without_options(void **state)
{
	struct fixture f;
	struct raw_seg s, out;

	setup(&f);
	f.from.tcp.config.timestamps = f.from.tcp.config.sack = f.from.tcp.config.window_scaling = false;
	tcp_abort(f.c, &f.from.h.env, rig_now(&f.from));
	rig_forget_out(&f.from);
	f.c = rig_accepted(&f.from, &f.l, PORT, &f.synack);
	move(&f);
	assert_false(tcp_has(f.c, TCP_CONN_TS | TCP_CONN_SACK | TCP_CONN_WSCALE));
	assert_int_equal(f.s.ts_now, 0);
	assert_int_equal(f.c->snd_wscale | f.c->rcv_wscale, 0);
	rig_expect_one(&f.to, &out, TCP_ACK);
	assert_int_equal(out.h.options, 0);
	s = next(&f, TCP_ACK | TCP_PSH);
	s.h.options = 0;
	s.payload = "hello";
	s.len = 5;
	rig_burst(&f.to, &s);
	read_all(&f, "hello", 5);
	teardown(&f);
}

/* Design hazard 20: the kernel takes an odd timestamp for a clock of us. And ours never goes back. */
static void tcp_export__timestamp_is_even(void **state)
{
	struct fixture f;

	setup(&f);
	for (unsigned i = 0; i < 10; i++) {
		uint32_t clock;

		f.from.h.env.now += FS_MS(1);
		clock = tcp_ts_now(f.c, rig_now(&f.from));
		assert_int_equal(tcp_export(f.c, &f.s, rig_now(&f.from)), 0);
		assert_int_equal(f.s.ts_now & 1, 0);
		assert_in_range(f.s.ts_now - clock, 0, 1);
		tcp_thaw(f.c, &f.from.h.env, rig_now(&f.from));
	}
	teardown(&f);
}

/* --- queues --- */

static void read_some(struct fixture *f, struct raw_rig *r, const char *want, size_t len)
{
	char got[64];
	struct iovec iov = { got, len };

	assert_int_equal(tcp_recv(f->c, &r->h.env, &iov, 1, 0, 0, rig_now(r)), len);
	assert_memory_equal(got, want, len);
}

/* Bytes nobody read yet, of a segment that was read in part; in large and small pieces. */
static void tcp_import__unread_bytes(void **state)
{
	static const uint32_t steps[] = { 1, 7, 4000 };

	for (unsigned i = 0; i < FS_ARRAY_SIZE(steps); i++) {
		struct fixture f;
		struct raw_seg s;

		setup(&f);
		s = next(&f, TCP_ACK | TCP_PSH);
		s.payload = "0123456789abcdef";
		s.len = 16;
		rig_burst(&f.from, &s);
		read_some(&f, &f.from, "0123", 4);
		rig_forget_out(&f.from);
		move_in_steps(&f, steps[i]);
		assert_int_equal(tcp_inq(f.c), 12);
		assert_int_equal(f.c->bytes_received, 16);
		assert_true(tcp_ready(f.c) & TCP_READY_IN);
		assert_true(f.to.edges & TCP_READY_IN);
		read_all(&f, "456789abcdef", 12);
		rig_forget_out(&f.to);
		s = next(&f, TCP_ACK);
		s.payload = "more";
		s.len = 4;
		rig_burst(&f.to, &s);
		read_all(&f, "more", 4);
		teardown(&f);
	}
}

/* What waited behind a gap does not move; the peer sends it again, and it is not taken for old. */
static void tcp_import__out_of_order_is_left(void **state)
{
	struct fixture f;
	struct raw_seg s, out;

	setup(&f);
	s = next(&f, TCP_ACK);
	s.h.seq += 5;
	s.payload = "world";
	s.len = 5;
	rig_burst(&f.from, &s);
	rig_forget_out(&f.from);
	move(&f);
	rig_expect_one(&f.to, &out, TCP_ACK);
	assert_int_equal(out.h.n_sack, 0);
	assert_int_equal(out.h.ack, RIG_PEER_SEQ + 1);
	s = next(&f, TCP_ACK);
	s.payload = "helloworld";
	s.len = 10;
	rig_burst(&f.to, &s);
	read_all(&f, "helloworld", 10);
	teardown(&f);
}

/* The pattern of what is sent. */
static const uint8_t *pattern(void)
{
	static uint8_t bytes[8000];

	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 13 + (i >> 8));
	return bytes;
}

/* Everything @f's connection sends until it is done, acked in order, is the pattern from @begin on. */
static void drain(struct fixture *f, uint32_t begin, uint32_t len)
{
	tcp_seq first = f->synack.h.seq + 1;
	uint32_t seen = begin;
	unsigned rounds = 0;

	while (f->c->snd_una != first + len) {
		struct raw_seg s;

		while (raw_out(&f->to, &s)) {
			uint32_t at = s.h.seq - first;

			f->synack.h.ts_val = s.h.ts_val; /* an old echo would say that nothing was lost */
			if (s.len == 0)
				continue;
			assert_true(at + s.len <= len);
			assert_memory_equal(s.bytes, pattern() + at, s.len);
			if (at <= seen) /* the peer keeps nothing out of order */
				seen = FS_MAX(seen, at + s.len);
		}
		if (seen > f->c->snd_una - first) {
			s = next(f, TCP_ACK);
			s.h.ack = first + seen;
			rig_burst(&f->to, &s);
		} else {
			rig_run(&f->to, FS_MS(100));
		}
		assert_true(++rounds < 1000);
	}
	assert_int_equal(tcp_outq(f->c), 0);
	assert_int_equal(f->c->packets_out + f->c->lost_out + f->c->retrans_out + f->c->sacked_out, 0);
}

/* Sent and not acked, all of it lost on the way: it is sent again by the engine that has it now. */
static void tcp_import__in_flight(void **state)
{
	static const uint32_t steps[] = { 100, 1448, 4000 };

	for (unsigned i = 0; i < FS_ARRAY_SIZE(steps); i++) {
		struct fixture f;

		setup(&f);
		assert_int_equal(rig_write(&f.from, f.c, pattern(), 4000, 0), 4000);
		rig_forget_out(&f.from);
		move_in_steps(&f, steps[i]);
		assert_int_equal(f.c->snd_nxt, f.synack.h.seq + 1 + 4000);
		assert_int_equal(tcp_outq(f.c), 4000);
		drain(&f, 0, 4000);
		teardown(&f);
	}
}

/* Part of it was sent and part was not, for the peer's window ended between: the latter goes when it opens. */
static void tcp_import__sent_and_unsent(void **state)
{
	struct fixture f;
	struct raw_seg s;

	setup(&f);
	s = next(&f, TCP_ACK);
	s.h.window = 24; /* 3072 bytes */
	rig_burst(&f.from, &s);
	assert_int_equal(rig_write(&f.from, f.c, pattern(), 8000, 0), 8000);
	rig_forget_out(&f.from);
	assert_true(seq_lt(f.c->snd_nxt, f.c->snd_end));
	move(&f);
	assert_int_equal(f.c->snd_end, f.synack.h.seq + 1 + 8000);
	assert_true(seq_lt(f.c->snd_nxt, f.c->snd_end));
	while (raw_out(&f.to, &s)) /* it goes by the window of before */
		assert_true(s.h.seq + s.len - f.synack.h.seq - 1 <= 3072);
	/* All that was sent had arrived: the ACK of it is believed, and the rest follows. */
	s = next(&f, TCP_ACK);
	rig_burst(&f.to, &s);
	drain(&f, f.c->snd_una - f.synack.h.seq - 1, 8000);
	teardown(&f);
}

/* --- states --- */

/* Into @state. */
static void enter(struct fixture *f, enum tcp_state state)
{
	struct raw_seg s, fin;
	tcp_seq snd;

	if (state == TCP_CLOSE_WAIT || state == TCP_LAST_ACK) {
		s = next(f, TCP_FIN | TCP_ACK);
		rig_burst(&f->from, &s);
	}
	if (state != TCP_ESTABLISHED && state != TCP_CLOSE_WAIT)
		assert_int_equal(tcp_shutdown(f->c, &f->from.h.env, TCP_SHUT_WR, rig_now(&f->from)), 0);
	snd = f->c->snd_nxt;
	if (state == TCP_CLOSING) {
		fin = next(f, TCP_FIN | TCP_ACK);
		fin.h.ack = snd - 1; /* it crossed ours */
		rig_burst(&f->from, &fin);
	} else if (state == TCP_FIN_WAIT2) {
		s = next(f, TCP_ACK);
		rig_burst(&f->from, &s);
	}
	rig_forget_out(&f->from);
	assert_int_equal(f->c->state, state);
}

static void tcp_import__every_state(void **state)
{
	static const enum tcp_state states[] = { TCP_ESTABLISHED, TCP_FIN_WAIT1, TCP_FIN_WAIT2,
						 TCP_CLOSE_WAIT,  TCP_CLOSING,	 TCP_LAST_ACK };

	for (unsigned i = 0; i < FS_ARRAY_SIZE(states); i++) {
		struct fixture f;
		tcp_seq snd_nxt, snd_end, rcv_nxt;
		struct raw_seg s, out;

		setup(&f);
		enter(&f, states[i]);
		snd_nxt = f.c->snd_nxt;
		snd_end = f.c->snd_end;
		rcv_nxt = f.c->rcv_nxt;
		move(&f);
		assert_int_equal(f.c->state, states[i]);
		assert_int_equal(f.c->snd_nxt, snd_nxt);
		assert_int_equal(f.c->snd_end, snd_end); /* before its FIN, acked or not */
		assert_int_equal(f.c->rcv_nxt, rcv_nxt);
		assert_true(raw_out(&f.to, &out));
		assert_int_equal(out.h.ack, rcv_nxt);
		rig_forget_out(&f.to);
		/* Then to the end, in an orderly way: the peer acks our FIN, or sends its own. */
		switch (states[i]) {
		case TCP_ESTABLISHED:
		case TCP_CLOSE_WAIT:
			assert_int_equal(tcp_shutdown(f.c, &f.to.h.env, TCP_SHUT_WR, rig_now(&f.to)), 0);
			rig_forget_out(&f.to);
			break;
		default:
			break;
		}
		s = next(&f, TCP_ACK);
		rig_burst(&f.to, &s);
		if (f.c->state == TCP_FIN_WAIT2) {
			s = next(&f, TCP_FIN | TCP_ACK);
			rig_burst(&f.to, &s);
		}
		assert_int_equal(f.c->state, TCP_CLOSED);
		assert_int_equal(f.c->error, 0);
		assert_int_equal(f.to.tcp.n_tw, states[i] != TCP_CLOSE_WAIT && states[i] != TCP_LAST_ACK);
		teardown(&f);
	}
}

/* A FIN that was lost is sent again by the engine that has it now. */
static void tcp_import__fin_in_flight(void **state)
{
	struct fixture f;
	struct raw_seg s;
	unsigned fins = 0;

	setup(&f);
	assert_int_equal(rig_write(&f.from, f.c, "bye", 3, 0), 3);
	assert_int_equal(tcp_shutdown(f.c, &f.from.h.env, TCP_SHUT_WR, rig_now(&f.from)), 0);
	rig_forget_out(&f.from);
	move(&f);
	rig_run(&f.to, FS_SEC(5));
	while (raw_out(&f.to, &s))
		fins += (s.h.flags & TCP_FIN) != 0;
	assert_true(fins > 0);
	teardown(&f);
}

/* Handshakes are not moved, nor what has ended, nor what is on the way already. */
static void tcp_export__not_movable(void **state)
{
	struct fixture f;
	struct tcp_conn *c;

	setup(&f);
	c = tcp_open(&f.from.tcp, &f);
	assert_int_equal(tcp_export(c, &f.s, rig_now(&f.from)), -EINVAL);
	assert_int_equal(tcp_connect(c, &f.from.h.env, &f.from.h.v4, 99, &f.from.peer4, 98, rig_now(&f.from)), 0);
	assert_int_equal(tcp_export(c, &f.s, rig_now(&f.from)), -EINVAL);
	tcp_abort(c, &f.from.h.env, rig_now(&f.from));
	assert_int_equal(tcp_export(f.c, &f.s, rig_now(&f.from)), 0);
	assert_int_equal(tcp_export(f.c, &f.s, rig_now(&f.from)), -EINVAL);
	tcp_thaw(f.c, &f.from.h.env, rig_now(&f.from));
	rig_forget_out(&f.from);
	rig_complete_open(&f.from, 2);
	c = FS_CONTAINER_OF(list_first(&f.l.ready), struct tcp_conn, queue);
	assert_int_equal(tcp_export(c, &f.s, rig_now(&f.from)), -EINVAL); /* nobody accepted it yet */
	assert_ptr_equal(tcp_accept(&f.l), c);
	assert_int_equal(tcp_export(c, &f.s, rig_now(&f.from)), 0);
	tcp_discard(c, &f.from.h.env);
	teardown(&f);
}

/* One that both ended takes along what was not read, as it stood before the last FIN was acknowledged. */
static void tcp_export_ended__what_was_not_read(void **state)
{
	struct fixture f;
	struct raw_seg s;
	char got[8];

	setup(&f);
	assert_int_equal(tcp_export_ended(f.c, &f.s, rig_now(&f.from)), -EINVAL); /* it lives */
	assert_int_equal(tcp_shutdown(f.c, &f.from.h.env, TCP_SHUT_WR, rig_now(&f.from)), 0);
	s = next(&f, TCP_ACK | TCP_FIN);
	s.h.ack = f.c->snd_end + 1;
	s.payload = "hello";
	s.len = 5;
	rig_burst(&f.from, &s);
	assert_int_equal(f.c->state, TCP_CLOSED);
	rig_forget_out(&f.from);
	assert_int_equal(tcp_export(f.c, &f.s, rig_now(&f.from)), -EINVAL);
	assert_int_equal(tcp_export_ended(f.c, &f.s, rig_now(&f.from)), 0);
	assert_int_equal(f.s.state, TCP_CLOSING);
	assert_int_equal(f.s.flags & (TCP_SNAPSHOT_FIN_SENT | TCP_SNAPSHOT_FIN_RECEIVED | TCP_SNAPSHOT_SHUT_RD),
			 TCP_SNAPSHOT_FIN_SENT | TCP_SNAPSHOT_FIN_RECEIVED);
	assert_int_equal(f.s.snd_una, f.s.snd_end + 1);
	assert_int_equal(f.s.rcv_nxt - f.s.copied_seq, 5 + 1);
	assert_int_equal(tcp_export_queue(f.c, TCP_QUEUE_RECEIVE, 0, got, sizeof(got)), 5);
	assert_memory_equal(got, "hello", 5);
	/* The move failed: it can be read where it was, and nothing is said. */
	tcp_thaw(f.c, &f.from.h.env, rig_now(&f.from));
	tcp_burst_end(&f.from.tcp, &f.from.h.env, rig_now(&f.from));
	rig_expect_silence(&f.from);
	read_all(&f, "hello", 5);
	f.c->error = ECONNRESET;
	assert_int_equal(tcp_export_ended(f.c, &f.s, rig_now(&f.from)), -EINVAL);
	teardown(&f);
}

/* --- while it moves --- */

/* Frozen: it neither answers nor sends, and what came is not lost, for the peer has no ACK of it. */
static void tcp_export__frozen(void **state)
{
	struct fixture f;
	struct raw_seg s;

	setup(&f);
	assert_int_equal(rig_write(&f.from, f.c, "x", 1, 0), 1);
	rig_forget_out(&f.from);
	assert_int_equal(tcp_export(f.c, &f.s, rig_now(&f.from)), 0);
	s = next(&f, TCP_ACK | TCP_PSH);
	s.payload = "hello";
	s.len = 5;
	rig_burst(&f.from, &s);
	RAW_IN(&f.from, .h = { .src_port = PORT, .flags = TCP_RST, .seq = f.c->rcv_nxt });
	rig_run(&f.from, FS_SEC(10));
	rig_expect_silence(&f.from);
	assert_int_equal(f.c->state, TCP_ESTABLISHED);
	assert_int_equal(f.c->snd_una, f.s.snd_una);
	assert_int_equal(f.from.h.counters[FS_CTR_drop_tcp_frozen], 2);
	/* The move failed: it goes on where it was. */
	tcp_thaw(f.c, &f.from.h.env, rig_now(&f.from));
	tcp_burst_end(&f.from.tcp, &f.from.h.env, rig_now(&f.from));
	rig_forget_out(&f.from);
	rig_burst(&f.from, &s);
	assert_int_equal(tcp_inq(f.c), 5);
	assert_int_equal(tcp_outq(f.c), 0);
	teardown(&f);
}

/* There is no memory, or the tuple is taken: nothing is left behind. */
static void tcp_import__refused(void **state)
{
	struct fixture f;
	struct tcp_conn *c, *taken[2 * RIG_CONNS];
	unsigned n = 0;

	setup(&f);
	assert_int_equal(tcp_export(f.c, &f.s, rig_now(&f.from)), 0);
	assert_null(tcp_import(&f.from.tcp, &f.from.h.env, &f.s, &f, rig_now(&f.from)));
	while ((c = tcp_open(&f.to.tcp, &f)) != NULL)
		taken[n++] = c;
	assert_null(tcp_import(&f.to.tcp, &f.to.h.env, &f.s, &f, rig_now(&f.to)));
	while (n > 0)
		tcp_abort(taken[--n], &f.to.h.env, rig_now(&f.to));
	tcp_thaw(f.c, &f.from.h.env, rig_now(&f.from));
	teardown(&f);
}

/* D11: it may come from another program. What makes no sense is refused, whatever bytes it is; nothing trips. */
static void tcp_import__unsound(void **state)
{
	struct fixture f;
	struct tcp_snapshot bad;
	uint32_t lcg = 1;

	setup(&f);
	assert_int_equal(tcp_export(f.c, &f.s, rig_now(&f.from)), 0);
#define BAD(field, value)                                                                                    \
	do {                                                                                                 \
		bad = f.s;                                                                                   \
		bad.field = (value);                                                                         \
		assert_null(tcp_import(&f.to.tcp, &f.to.h.env, &bad, &f, rig_now(&f.to)));                   \
	} while (0)
	BAD(version, TCP_SNAPSHOT_VERSION + 1);
	BAD(state, TCP_SYN_SENT);
	BAD(state, 0);
	BAD(state, 255);
	BAD(local_port, 0);
	BAD(remote_port, 0);
	BAD(snd_wscale, 15);
	BAD(rcv_wscale, 15);
	BAD(remote, f.from.peer6);
	BAD(snd_nxt, bad.snd_una - 1);
	BAD(snd_end, bad.snd_nxt - 1);
	BAD(rcv_nxt, bad.copied_seq - 1);
	BAD(flags, TCP_SNAPSHOT_FIN_SENT);
	BAD(options.congestion, 200);
#undef BAD
	for (unsigned i = 0; i < 3000; i++) {
		uint8_t *bytes = (uint8_t *)&bad;
		struct tcp_conn *c;

		bad = f.s;
		for (unsigned k = 0; k < 3; k++) {
			lcg = lcg * 1664525 + 1013904223;
			bytes[(lcg >> 8) % sizeof(bad)] = (uint8_t)(lcg >> 24);
		}
		c = tcp_import(&f.to.tcp, &f.to.h.env, &bad, &f, rig_now(&f.to));
		if (!c)
			continue;
		tcp_import_queue(c, TCP_QUEUE_SEND, pattern(), 100, rig_now(&f.to));
		tcp_import_queue(c, TCP_QUEUE_RECEIVE, pattern(), 100, rig_now(&f.to));
		tcp_thaw(c, &f.to.h.env, rig_now(&f.to));
		tcp_burst_end(&f.to.tcp, &f.to.h.env, rig_now(&f.to));
		if (tcp_has(c, TCP_CONN_ORPHAN))
			tcp_discard(c, &f.to.h.env);
		else
			tcp_abort(c, &f.to.h.env, rig_now(&f.to));
		rig_forget_out(&f.to);
		ip_dst_flush(&f.to.h.ip);
	}
	tcp_thaw(f.c, &f.from.h.env, rig_now(&f.from));
	teardown(&f);
}

/* Memory ends in the middle of a queue: as many bytes as were taken, and then none. */
static void tcp_import_queue__no_memory(void **state)
{
	struct fixture f;
	struct tcp_conn *to;
	struct fbuf *hoard = NULL, *b;
	int took;

	setup(&f);
	assert_int_equal(tcp_export(f.c, &f.s, rig_now(&f.from)), 0);
	to = tcp_import(&f.to.tcp, &f.to.h.env, &f.s, &f, rig_now(&f.to));
	while ((b = fbuf_alloc(&f.to.h.payload)) != NULL) {
		b->next = hoard;
		hoard = b;
	}
	assert_int_equal(tcp_import_queue(to, TCP_QUEUE_RECEIVE, pattern(), 100, rig_now(&f.to)), -ENOMEM);
	b = hoard;
	hoard = hoard->next;
	b->next = NULL;
	fbuf_free(b);
	took = tcp_import_queue(to, TCP_QUEUE_RECEIVE, pattern(), 8000, rig_now(&f.to));
	assert_in_range(took, 1, RIG_CHUNK);
	assert_int_equal(tcp_import_queue(to, TCP_QUEUE_RECEIVE, pattern(), 100, rig_now(&f.to)), -ENOMEM);
	tcp_discard(to, &f.to.h.env);
	fbuf_free(hoard);
	tcp_thaw(f.c, &f.from.h.env, rig_now(&f.from));
	teardown(&f);
}

/* --- urgent --- */

static void tcp_import__urgent(void **state)
{
	struct fixture f;
	struct raw_seg s;
	char byte;
	struct iovec iov = { &byte, 1 };

	setup(&f);
	s = next(&f, TCP_ACK | TCP_PSH | TCP_URG);
	s.payload = "abcX";
	s.len = 4;
	s.h.urgent = 4;
	rig_burst(&f.from, &s);
	rig_forget_out(&f.from);
	move(&f);
	assert_true(tcp_ready(f.c) & TCP_READY_PRI);
	assert_int_equal(tcp_recv(f.c, &f.to.h.env, &iov, 1, TCP_RECV_OOB, 0, rig_now(&f.to)), 1);
	assert_int_equal(byte, 'X');
	read_all(&f, "abc", 3);
	assert_true(tcp_at_mark(f.c));
	teardown(&f);
}

/* Whoever waits for room waits for the other engine's word now. */
static void tcp_import__full_buffer_tells_when_there_is_room(void **state)
{
	static const char bytes[1000];
	struct fixture f;
	struct raw_seg s;

	setup(&f);
	f.c->options.sndbuf = f.c->sndbuf = 12000;
	while (rig_write(&f.from, f.c, bytes, sizeof(bytes), 0) > 0)
		;
	rig_forget_out(&f.from);
	move(&f);
	rig_forget_out(&f.to);
	assert_false(tcp_ready(f.c) & TCP_READY_OUT);
	f.to.edges = 0;
	s = next(&f, TCP_ACK);
	s.h.ack = f.c->snd_nxt;
	rig_burst(&f.to, &s);
	assert_true(f.to.edges & TCP_READY_OUT);
	teardown(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_import__idle),
		cmocka_unit_test(tcp_import__silence_begins_anew),
		cmocka_unit_test(tcp_import__state),
		cmocka_unit_test(tcp_import__without_options),
		cmocka_unit_test(tcp_export__timestamp_is_even),
		cmocka_unit_test(tcp_import__unread_bytes),
		cmocka_unit_test(tcp_import__out_of_order_is_left),
		cmocka_unit_test(tcp_import__in_flight),
		cmocka_unit_test(tcp_import__sent_and_unsent),
		cmocka_unit_test(tcp_import__every_state),
		cmocka_unit_test(tcp_import__fin_in_flight),
		cmocka_unit_test(tcp_export__not_movable),
		cmocka_unit_test(tcp_export_ended__what_was_not_read),
		cmocka_unit_test(tcp_export__frozen),
		cmocka_unit_test(tcp_import__refused),
		cmocka_unit_test(tcp_import__unsound),
		cmocka_unit_test(tcp_import_queue__no_memory),
		cmocka_unit_test(tcp_import__urgent),
		cmocka_unit_test(tcp_import__full_buffer_tells_when_there_is_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
