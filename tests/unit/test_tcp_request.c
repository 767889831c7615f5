/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_tcp_request.c - half-open connections: what a SYN-ACK agrees to, what is believed of an answer, time.
 */
#include "tcp_raw.h"

#include "tcp/snapshot.h"

static void open_one(struct raw_rig *r, struct tcp_listener *l)
{
	raw_open(r);
	rig_listen(r, l, 8);
}

static void close_all(struct raw_rig *r, struct tcp_listener *l)
{
	tcp_unlisten(l, &r->h.env, rig_now(r));
	rig_forget_out(r);
	raw_close(r);
}

static struct tcp_req *req_at(struct raw_rig *r, uint16_t port)
{
	struct tcp_end *end = rig_end(r, port);

	return end && end->kind == TCP_END_REQ ? (struct tcp_req *)(void *)end : NULL;
}

/* The only connection there is, accepted. */
static struct tcp_conn *accept_one(struct tcp_listener *l)
{
	struct tcp_conn *c = tcp_accept(l);

	assert_non_null(c);
	assert_null(tcp_accept(l));
	return c;
}

/* --- the SYN-ACK --- */

/* Byte by byte what Linux answers a Linux SYN with (layout of options: tcp-requirements 3). */
static void tcp_request_begin__synack_as_linux(void **state)
{
	static const uint8_t options[] = { 2, 4, 5, 0xb4, 4, 2, 8, 10 }, scale[] = { 1, 3, 3, 7 };
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg syn = rig_syn(1);
	struct fbuf *frame;
	struct tcp_req *req;
	uint8_t *tcp;

	open_one(&r, &l);
	raw_in(&r, &syn);
	req = req_at(&r, 1);
	frame = fbuf_queue_pop(&r.h.ip.port[0].out);
	assert_int_equal(frame->total, 14 + 20 + 40);
	tcp = frame->data + 34;
	assert_int_equal(be32_load(tcp + 4), req->hs.iss);
	assert_int_equal(be32_load(tcp + 8), RIG_PEER_SEQ + 1);
	assert_int_equal(be16_load(tcp + 12), 10 << 12 | TCP_SYN | TCP_ACK);
	assert_int_equal(be16_load(tcp + 14), 65160);
	assert_memory_equal(tcp + 20, options, sizeof(options));
	assert_int_equal(be32_load(tcp + 28), (uint32_t)(rig_now(&r) / FS_MS(1)) + req->hs.ts_offset);
	assert_int_equal(be32_load(tcp + 32), RIG_TS);
	assert_memory_equal(tcp + 36, scale, sizeof(scale));
	fbuf_free(frame);
	close_all(&r, &l);
}

/* T7323-1, RFC 2018 2: every option only if both have it. */
static void tcp_request_begin__options_offered_only(void **state)
{
	static const uint8_t all = TCP_HAS_SACK_PERMITTED | TCP_HAS_TIMESTAMP | TCP_HAS_WSCALE;
	struct tcp_listener l;
	struct raw_rig r;

	open_one(&r, &l);
	l.backlog = 100;
	for (unsigned ours = 0; ours < 8; ours++) {
		r.tcp.config.timestamps = ours & 1;
		r.tcp.config.sack = ours & 2;
		r.tcp.config.window_scaling = ours & 4;
		for (unsigned theirs = 0; theirs < 8; theirs++) {
			struct raw_seg syn = rig_syn((uint16_t)(1 + ours * 8 + theirs)), synack;
			uint8_t want = TCP_HAS_MSS; /* MAY-3: always */

			syn.h.options = TCP_HAS_MSS | (theirs & 1 ? TCP_HAS_TIMESTAMP : 0) |
					(theirs & 2 ? TCP_HAS_SACK_PERMITTED : 0) | (theirs & 4 ? TCP_HAS_WSCALE : 0);
			want |= (ours & theirs & 1 ? TCP_HAS_TIMESTAMP : 0) |
				(ours & theirs & 2 ? TCP_HAS_SACK_PERMITTED : 0) |
				(ours & theirs & 4 ? TCP_HAS_WSCALE : 0);
			raw_in(&r, &syn);
			rig_expect_one(&r, &synack, TCP_SYN | TCP_ACK);
			assert_int_equal(synack.h.options & (TCP_HAS_MSS | all), want);
		}
	}
	close_all(&r, &l);
}

/* The window of a SYN-ACK is not scaled; it is a whole number of the peer's payloads. T7323-1. */
static void tcp_request_begin__window(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg syn = rig_syn(1), synack;

	open_one(&r, &l);
	syn.h.options = TCP_HAS_MSS;
	raw_in(&r, &syn);
	rig_expect_one(&r, &synack, TCP_SYN | TCP_ACK);
	assert_int_equal(synack.h.window, 64240); /* 44 * 1460 */
	l.options.rcvbuf = 8192;
	syn.h.src_port = 2;
	raw_in(&r, &syn);
	rig_expect_one(&r, &synack, TCP_SYN | TCP_ACK);
	assert_int_equal(synack.h.window, 2 * 1460); /* of half of the buffer */
	close_all(&r, &l);
}

/* T7323-1: a shift above 14 is taken for 14. */
static void tcp_request_begin__wscale_above_14(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg syn = rig_syn(1);

	open_one(&r, &l);
	syn.h.wscale = 200;
	raw_in(&r, &syn);
	assert_int_equal(req_at(&r, 1)->hs.snd_wscale, 14);
	close_all(&r, &l);
}

/* MUST-14, MUST-15: what the peer says counts, and without that the family's default. SHLD-6, MUST-67: ours is the
 * path's less fixed headers. */
static void tcp_request_begin__mss(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg syn = rig_syn(1), synack;

	open_one(&r, &l);
	syn.h.mss = 900;
	raw_in(&r, &syn);
	rig_expect_one(&r, &synack, TCP_SYN | TCP_ACK);
	assert_int_equal(req_at(&r, 1)->hs.peer_mss, 900);
	assert_int_equal(synack.h.mss, RIG_MTU - 40);
	syn.h.src_port = 2;
	syn.h.options &= (uint8_t)~TCP_HAS_MSS;
	raw_in(&r, &syn);
	rig_forget_out(&r);
	assert_int_equal(req_at(&r, 2)->hs.peer_mss, 536);
	syn.src = r.peer6;
	raw_in(&r, &syn);
	rig_expect_one(&r, &synack, TCP_SYN | TCP_ACK);
	assert_int_equal(synack.h.mss, RIG_MTU - 60);
	assert_int_equal(((struct tcp_req *)(void *)tcp_end_find(&r.tcp, &r.h.v6, RIG_PORT, &r.peer6, 2))->hs.peer_mss,
			 1220);
	/* TCP_MAXSEG bounds both directions. */
	l.options.mss = 600;
	syn = rig_syn(3);
	raw_in(&r, &syn);
	rig_expect_one(&r, &synack, TCP_SYN | TCP_ACK);
	assert_int_equal(synack.h.mss, 600);
	assert_int_equal(req_at(&r, 3)->hs.peer_mss, 600);
	close_all(&r, &l);
}

/* T3168-1: an ECN-setup SYN is answered by one bit; anything else is not. */
static void tcp_request_begin__ecn(void **state)
{
	static const struct {
		uint8_t config, tos;
		uint16_t flags, out;
	} cases[] = {
		{ 2, 0, TCP_ECE | TCP_CWR, TCP_ECE },
		{ 1, 0, TCP_ECE | TCP_CWR, TCP_ECE },
		{ 0, 0, TCP_ECE | TCP_CWR, 0 },
		{ 2, 0, TCP_ECE, 0 },
		{ 2, 0, TCP_CWR, 0 },
		{ 2, 2, TCP_ECE | TCP_CWR, 0 }, /* a SYN is not ECN-capable itself */
	};
	struct tcp_listener l;
	struct raw_rig r;

	open_one(&r, &l);
	for (unsigned i = 0; i < FS_ARRAY_SIZE(cases); i++) {
		struct raw_seg syn = rig_syn((uint16_t)(1 + i)), synack;

		r.tcp.config.ecn = cases[i].config;
		syn.h.flags |= cases[i].flags;
		syn.tos = cases[i].tos;
		raw_in(&r, &syn);
		rig_expect_one(&r, &synack, TCP_SYN | TCP_ACK | cases[i].out);
		assert_int_equal(synack.tos, 0); /* T3168-2: never on a SYN */
	}
	close_all(&r, &l);
}

/* Without Fast Open data with a SYN are not taken, so that they come again. */
static void tcp_request_begin__syn_with_data(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg syn = rig_syn(1), synack, third;

	open_one(&r, &l);
	syn.payload = "hello";
	syn.len = 5;
	raw_in(&r, &syn);
	rig_expect_one(&r, &synack, TCP_SYN | TCP_ACK);
	assert_int_equal(synack.h.ack, RIG_PEER_SEQ + 1);
	third = rig_third(&synack);
	raw_in(&r, &third);
	assert_int_equal(tcp_inq(list_first(&l.ready) ? FS_CONTAINER_OF(list_first(&l.ready), struct tcp_conn, queue)
						     : NULL), 0);
	close_all(&r, &l);
}

static void tcp_request_begin__no_route(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg syn = rig_syn(1);

	open_one(&r, &l);
	r.no_route = true;
	raw_in(&r, &syn);
	assert_int_equal(l.n_reqs, 0);
	assert_int_equal(r.h.counters[FS_CTR_tcp_blocked], 1);
	close_all(&r, &l);
}

static void tcp_request_begin__no_memory(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;

	open_one(&r, &l);
	l.backlog = 10 * RIG_REQS;
	for (uint16_t port = 1; r.h.counters[FS_CTR_drop_tcp_no_memory] == 0; port++) {
		struct raw_seg syn = rig_syn(port);

		raw_in(&r, &syn);
		rig_forget_out(&r);
		assert_true(port < 4 * RIG_REQS);
	}
	assert_int_equal(l.n_reqs, r.tcp.reqs.total);
	close_all(&r, &l);
}

/* --- the third ACK --- */

static void tcp_req_input__handshake(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg synack;
	struct tcp_conn *c;

	open_one(&r, &l);
	l.options.nodelay = true;
	l.options.keep_idle_s = 77;
	synack = rig_half_open(&r, 1);
	assert_int_equal(l.n_reqs, 1);
	assert_int_equal(l.n_young, 1);
	r.h.env.now += FS_MS(30);
	{
		struct raw_seg third = rig_third(&synack);

		raw_in(&r, &third);
	}
	tcp_burst_end(&r.tcp, &r.h.env, rig_now(&r));
	rig_expect_silence(&r);
	assert_int_equal(l.n_reqs + l.n_young, 0);
	assert_int_equal(r.n_incoming, 1);
	assert_ptr_equal(r.listener, &l);
	assert_int_equal(r.n_events, 0); /* nobody owns it yet */
	c = accept_one(&l);
	assert_ptr_equal(rig_end(&r, 1), &c->end);
	assert_int_equal(c->state, TCP_ESTABLISHED);
	assert_true(tcp_has(c, TCP_CONN_PASSIVE));
	assert_true(tcp_has(c, TCP_CONN_TS));
	assert_true(tcp_has(c, TCP_CONN_SACK));
	assert_true(tcp_has(c, TCP_CONN_WSCALE));
	assert_false(tcp_has(c, TCP_CONN_V6));
	assert_int_equal(c->iss, synack.h.seq);
	assert_int_equal(c->snd_una, synack.h.seq + 1);
	assert_int_equal(c->snd_nxt, synack.h.seq + 1);
	assert_int_equal(c->rcv_nxt, RIG_PEER_SEQ + 1);
	assert_int_equal(c->snd_wnd, 502 << 7);
	assert_int_equal(c->rcv_wscale, 7);
	assert_int_equal(c->mss, 1448);
	assert_int_equal(c->ts_recent, RIG_TS + 1);
	assert_true(c->options.nodelay);
	assert_int_equal(c->options.keep_idle_s, 77);
	assert_int_equal(c->rtt.srtt_us, 30000); /* T6298-1 */
	assert_int_equal(r.h.counters[FS_CTR_tcp_opened_passive], 1);
	tcp_abort(c, &r.h.env, rig_now(&r));
	close_all(&r, &l);
}

static void tcp_req_input__v6(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg syn = rig_syn(1), synack, third;
	struct tcp_conn *c;

	open_one(&r, &l);
	syn.src = r.peer6;
	raw_in(&r, &syn);
	rig_expect_one(&r, &synack, TCP_SYN | TCP_ACK);
	third = rig_third(&synack);
	raw_in(&r, &third);
	c = accept_one(&l);
	assert_true(tcp_has(c, TCP_CONN_V6));
	assert_int_equal(c->mss, RIG_MTU - 60 - 12);
	tcp_abort(c, &r.h.env, rig_now(&r));
	close_all(&r, &l);
}

static void tcp_req_input__data_and_fin_come_along(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg synack, third, out;
	struct tcp_conn *c;
	char got[8];
	struct iovec iov = { got, sizeof(got) };

	open_one(&r, &l);
	synack = rig_half_open(&r, 1);
	third = rig_third(&synack);
	third.h.flags |= TCP_PSH | TCP_FIN;
	third.payload = "hello";
	third.len = 5;
	raw_in(&r, &third);
	tcp_burst_end(&r.tcp, &r.h.env, rig_now(&r));
	rig_expect_one(&r, &out, TCP_ACK);
	assert_int_equal(out.h.ack, RIG_PEER_SEQ + 1 + 5 + 1);
	c = accept_one(&l);
	assert_int_equal(c->state, TCP_CLOSE_WAIT);
	assert_int_equal(tcp_recv(c, &r.h.env, &iov, 1, 0, 0, rig_now(&r)), 5);
	assert_memory_equal(got, "hello", 5);
	assert_int_equal(tcp_recv(c, &r.h.env, &iov, 1, 0, 0, rig_now(&r)), 0);
	tcp_abort(c, &r.h.env, rig_now(&r));
	close_all(&r, &l);
}

/* No memory for a connection: as if accept() were behind. The SYN-ACK comes again, and with it the next chance. */
static void tcp_req_input__no_memory(void **state)
{
	struct tcp_conn *taken[RIG_HOARD];
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg synack, third;
	unsigned n;

	open_one(&r, &l);
	synack = rig_half_open(&r, 1);
	n = rig_hoard(&r, taken);
	third = rig_third(&synack);
	raw_in(&r, &third);
	rig_expect_silence(&r);
	assert_int_equal(l.n_reqs, 1);
	assert_int_equal(l.n_ready, 0);
	rig_expect_drop(&r.h, FS_CTR_drop_tcp_no_memory);
	rig_release(&r, taken, n);
	rig_run(&r, FS_SEC(1));
	rig_expect_one(&r, &synack, TCP_SYN | TCP_ACK);
	third = rig_third(&synack);
	raw_in(&r, &third);
	assert_int_equal(l.n_ready, 1);
	close_all(&r, &l);
}

/* MUST-15 and the limits of what was agreed on reach the connection. */
static void tcp_req_input__without_options(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg syn = rig_syn(1), synack, third;
	struct tcp_conn *c;

	open_one(&r, &l);
	syn.h.options = 0;
	raw_in(&r, &syn);
	rig_expect_one(&r, &synack, TCP_SYN | TCP_ACK);
	third = rig_third(&synack);
	raw_in(&r, &third);
	c = accept_one(&l);
	assert_int_equal(c->mss, 536);
	assert_int_equal(c->snd_wnd, 502);
	assert_int_equal(c->snd_wscale, 0);
	assert_int_equal(c->rcv_wscale, 0);
	assert_false(tcp_has(c, TCP_CONN_TS | TCP_CONN_SACK | TCP_CONN_WSCALE | TCP_CONN_ECN));
	tcp_abort(c, &r.h.env, rig_now(&r));
	close_all(&r, &l);
}

/* RFC 9293 3.10.7.4, fifth: an ACK of what was not sent is reset, and the handshake goes on. */
static void tcp_req_input__wrong_ack(void **state)
{
	static const int32_t off[] = { 0, 2, 1000, -1000 };
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg synack, out;

	open_one(&r, &l);
	synack = rig_half_open(&r, 1);
	for (unsigned i = 0; i < FS_ARRAY_SIZE(off); i++) {
		struct raw_seg third = rig_third(&synack);

		third.h.ack = synack.h.seq + (uint32_t)off[i];
		raw_in(&r, &third);
		rig_expect_one(&r, &out, TCP_RST);
		assert_int_equal(out.h.seq, third.h.ack);
	}
	assert_int_equal(l.n_reqs, 1);
	assert_int_equal(l.n_ready, 0);
	close_all(&r, &l);
}

/* T7323-3: agreed on, and not there: the third ACK counts, as to the kernel. What we send goes on to have it. */
static void tcp_req_input__without_timestamp(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg synack, third;

	open_one(&r, &l);
	synack = rig_half_open(&r, 1);
	third = rig_third(&synack);
	third.h.options = 0;
	raw_in(&r, &third);
	rig_expect_silence(&r);
	assert_int_equal(l.n_reqs, 0);
	assert_int_equal(l.n_ready, 1);
	assert_true(tcp_has(FS_CONTAINER_OF(list_first(&l.ready), struct tcp_conn, queue), TCP_CONN_TS));
	rig_half_open(&r, 2);
	RAW_IN(&r, .h = { .src_port = 2, .flags = TCP_RST, .seq = RIG_PEER_SEQ + 1 });
	assert_int_equal(l.n_reqs, 0);
	close_all(&r, &l);
}

/* T7323-5, T7323-7: an older timestamp, or the echo of one that was not sent, is answered and not believed. */
static void tcp_req_input__stale_or_bogus_timestamp(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg synack, third, out;

	open_one(&r, &l);
	synack = rig_half_open(&r, 1);
	third = rig_third(&synack);
	third.h.ts_val = RIG_TS - 1;
	raw_in(&r, &third);
	rig_expect_one(&r, &out, TCP_ACK);
	assert_int_equal(out.h.seq, synack.h.seq + 1);
	assert_int_equal(out.h.ack, RIG_PEER_SEQ + 1);
	assert_int_equal(out.h.ts_ecr, RIG_TS);
	r.h.env.now += FS_MS(600);
	for (int step = -1; step <= 1; step += 2) {
		third = rig_third(&synack);
		third.h.ts_ecr += (uint32_t)step;
		raw_in(&r, &third);
	}
	assert_int_equal(r.h.counters[FS_CTR_drop_tcp_paws], 3);
	assert_int_equal(l.n_ready, 0);
	/* The one between both SYN-ACKs is: the peer may answer either. */
	rig_forget_out(&r);
	rig_run(&r, FS_SEC(1));
	rig_expect_one(&r, &out, TCP_SYN | TCP_ACK);
	third = rig_third(&synack);
	raw_in(&r, &third);
	assert_int_equal(l.n_ready, 1);
	close_all(&r, &l);
}

/* --- attacks: T5961-1 in SYN-RECEIVED --- */

static void tcp_req_input__reset_exact(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg synack, third, out;

	open_one(&r, &l);
	synack = rig_half_open(&r, 1);
	RAW_IN(&r, .h = { .src_port = 1, .flags = TCP_RST, .seq = RIG_PEER_SEQ + 1 });
	rig_expect_silence(&r);
	/* MUST-11: a passive open goes back to LISTEN, without a word. */
	assert_int_equal(l.n_reqs, 0);
	assert_int_equal(r.n_incoming + r.n_events, 0);
	assert_int_equal(r.h.counters[FS_CTR_tcp_resets_in], 1);
	third = rig_third(&synack);
	raw_in(&r, &third);
	rig_expect_one(&r, &out, TCP_RST);
	rig_half_open(&r, 1);
	close_all(&r, &l);
}

static void tcp_req_input__reset_in_window_is_challenged(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg out;

	open_one(&r, &l);
	rig_half_open(&r, 1);
	RAW_IN(&r, .h = { .src_port = 1, .flags = TCP_RST, .seq = RIG_PEER_SEQ + 2 });
	rig_expect_one(&r, &out, TCP_ACK);
	assert_int_equal(out.h.ack, RIG_PEER_SEQ + 1);
	assert_int_equal(r.h.counters[FS_CTR_tcp_challenges], 1);
	/* T5961-4: throttled. */
	RAW_IN(&r, .h = { .src_port = 1, .flags = TCP_RST, .seq = RIG_PEER_SEQ + 3 });
	rig_expect_silence(&r);
	assert_int_equal(r.h.counters[FS_CTR_tcp_challenges_held], 1);
	r.h.env.now += FS_MS(500);
	RAW_IN(&r, .h = { .src_port = 1, .flags = TCP_RST, .seq = RIG_PEER_SEQ + 65160 });
	rig_expect_one(&r, &out, TCP_ACK);
	/* Outside it is not even answered. */
	r.h.env.now += FS_MS(500);
	RAW_IN(&r, .h = { .src_port = 1, .flags = TCP_RST, .seq = RIG_PEER_SEQ });
	RAW_IN(&r, .h = { .src_port = 1, .flags = TCP_RST, .seq = RIG_PEER_SEQ + 1 + 65160 });
	rig_expect_silence(&r);
	assert_int_equal(l.n_reqs, 1);
	close_all(&r, &l);
}

/* T5961-2's reason holds here: another SYN is challenged; a peer that began anew answers with the exact RST. */
static void tcp_req_input__another_syn_is_challenged(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg syn = rig_syn(1), out;

	open_one(&r, &l);
	rig_half_open(&r, 1);
	syn.h.seq += 500;
	raw_in(&r, &syn);
	rig_expect_one(&r, &out, TCP_ACK);
	r.h.env.now += FS_MS(600);
	syn.h.seq += 1 << 30; /* outside the window: RFC 9293 has it answered as well */
	raw_in(&r, &syn);
	rig_expect_one(&r, &out, TCP_ACK);
	assert_int_equal(l.n_reqs, 1);
	RAW_IN(&r, .h = { .src_port = 1, .flags = TCP_RST, .seq = out.h.ack });
	assert_int_equal(l.n_reqs, 0);
	raw_in(&r, &syn);
	rig_expect_one(&r, &out, TCP_SYN | TCP_ACK);
	close_all(&r, &l);
}

static void tcp_req_input__out_of_window(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg synack, third, out;

	open_one(&r, &l);
	synack = rig_half_open(&r, 1);
	third = rig_third(&synack);
	third.h.seq += 70000;
	raw_in(&r, &third);
	rig_expect_one(&r, &out, TCP_ACK);
	assert_int_equal(out.h.window, 65160 >> 7);
	raw_in(&r, &third);
	rig_expect_silence(&r); /* throttled */
	assert_int_equal(r.h.counters[FS_CTR_drop_tcp_window], 2);
	assert_int_equal(l.n_ready, 0);
	close_all(&r, &l);
}

static void tcp_req_input__no_ack_flag(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg synack, third;

	open_one(&r, &l);
	synack = rig_half_open(&r, 1);
	third = rig_third(&synack);
	third.h.flags = TCP_FIN;
	raw_in(&r, &third);
	rig_expect_silence(&r);
	rig_expect_drop(&r.h, FS_CTR_drop_tcp_ack);
	assert_int_equal(l.n_reqs, 1);
	close_all(&r, &l);
}

/* The peer's SYN again: its SYN-ACK was lost. */
static void tcp_req_input__syn_again(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg syn = rig_syn(1), first, again, third;

	open_one(&r, &l);
	first = rig_half_open(&r, 1);
	r.h.env.now += FS_MS(700);
	raw_in(&r, &syn);
	rig_expect_one(&r, &again, TCP_SYN | TCP_ACK);
	assert_int_equal(again.h.seq, first.h.seq);
	assert_int_equal(l.n_reqs, 1);
	raw_in(&r, &syn);
	rig_expect_silence(&r); /* at once again: no */
	/* Karn: which of both the ACK answers cannot be told. T6298-1 */
	third = rig_third(&again);
	raw_in(&r, &third);
	assert_int_equal(l.n_ready, 1);
	close_all(&r, &l);
}

/* --- time --- */

/* RFC 6298 5.5, MUST-22: 1, 2, 4, 8, 16 s after the one before; given up 32 s later. */
static void tcp_req_timer__backoff_and_end(void **state)
{
	static const unsigned at[] = { 1, 3, 7, 15, 31 };
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg first, again;
	fs_ns began;

	open_one(&r, &l);
	first = rig_half_open(&r, 1);
	began = rig_now(&r);
	for (unsigned i = 0; i < FS_ARRAY_SIZE(at); i++) {
		rig_run(&r, began + FS_SEC(at[i]) - 1 - rig_now(&r));
		rig_expect_silence(&r);
		rig_run(&r, 2);
		rig_expect_one(&r, &again, TCP_SYN | TCP_ACK);
		assert_int_equal(again.h.seq, first.h.seq);
		assert_int_equal(again.h.ts_val - first.h.ts_val, at[i] * 1000);
		assert_int_equal(l.n_young, 0);
	}
	rig_run(&r, began + FS_SEC(63) - 1 - rig_now(&r));
	assert_int_equal(l.n_reqs, 1);
	rig_run(&r, 2);
	assert_int_equal(l.n_reqs, 0);
	rig_expect_silence(&r);
	close_all(&r, &l);
}

/* The SYN-ACK cannot leave, for the neighbour is not known yet, say: tried again soon, and not held for lost. */
static void tcp_req_timer__blocked(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg syn = rig_syn(1), synack, third;

	open_one(&r, &l);
	r.h.ip.port[0].up = false;
	raw_in(&r, &syn);
	rig_run(&r, FS_MS(25));
	rig_expect_silence(&r);
	assert_int_equal(r.h.counters[FS_CTR_tcp_blocked], 5); /* at 0, 1, 3, 7, 15 ms */
	r.h.ip.port[0].up = true;
	rig_run(&r, FS_MS(6));
	rig_expect_one(&r, &synack, TCP_SYN | TCP_ACK);
	assert_int_equal(l.n_young, 1);
	rig_run(&r, FS_MS(40));
	third = rig_third(&synack);
	raw_in(&r, &third);
	assert_int_equal(FS_CONTAINER_OF(list_first(&l.ready), struct tcp_conn, queue)->rtt.srtt_us, 40000);
	/* For ever blocked it ends as any other. */
	r.h.ip.port[0].up = false;
	syn.h.src_port = 2;
	raw_in(&r, &syn);
	rig_run(&r, FS_SEC(62));
	assert_int_equal(l.n_reqs, 1);
	rig_run(&r, FS_SEC(4));
	assert_int_equal(l.n_reqs, 0);
	r.h.ip.port[0].up = true;
	close_all(&r, &l);
}

/* Requests nobody answers do not keep others out: more than half of the queue, and they are given up early. */
static void tcp_req_timer__old_ones_give_way(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;

	open_one(&r, &l);
	l.backlog = 16;
	for (uint16_t port = 1; port <= 12; port++)
		rig_half_open(&r, port);
	rig_run(&r, FS_SEC(7) + 1); /* after two times */
	rig_forget_out(&r);
	assert_int_equal(l.n_reqs, 8); /* no longer more than half */
	close_all(&r, &l);
}

/* TCP_DEFER_ACCEPT: the bare ACK is not taken, data are; in the end the SYN-ACK asks once more. */
static void tcp_req_timer__defer_accept(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg synack, third, out;

	open_one(&r, &l);
	l.own.defer_accept = 3;
	synack = rig_half_open(&r, 1);
	third = rig_third(&synack);
	raw_in(&r, &third);
	assert_int_equal(l.n_ready, 0);
	assert_int_equal(r.n_incoming, 0);
	rig_run(&r, FS_SEC(3) + 1);
	rig_expect_silence(&r); /* twice nothing: it was acked */
	third.payload = "x";
	third.len = 1;
	raw_in(&r, &third);
	assert_int_equal(l.n_ready, 1);
	/* Another never sends: it is woken at the end, and a bare ACK is enough then. */
	synack = rig_half_open(&r, 2);
	third = rig_third(&synack);
	raw_in(&r, &third);
	tcp_burst_end(&r.tcp, &r.h.env, rig_now(&r));
	rig_forget_out(&r);
	rig_run(&r, FS_SEC(7) + 1);
	rig_expect_one(&r, &out, TCP_SYN | TCP_ACK);
	assert_int_equal(out.h.dst_port, 2);
	third = rig_third(&out);
	raw_in(&r, &third);
	assert_int_equal(l.n_ready, 2);
	close_all(&r, &l);
}

/* T4987-1: the SYN queue is full: dropped where cookies are not allowed. */
static void tcp_request_begin__syn_queue_full(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg syn = rig_syn(100);

	open_one(&r, &l);
	r.tcp.config.syncookies = 0;
	for (uint16_t port = 1; port <= 9; port++)
		rig_half_open(&r, port); /* one more than the backlog */
	raw_in(&r, &syn);
	rig_expect_silence(&r);
	rig_expect_drop(&r.h, FS_CTR_drop_tcp_syn_overflow);
	RAW_IN(&r, .h = { .src_port = 1, .flags = TCP_RST, .seq = RIG_PEER_SEQ + 1 });
	rig_half_open(&r, 100);
	close_all(&r, &l);
}

/* --- moving --- */

/* The oldest first, with what both SYNs agreed on; nobody answers for it here any more. */
static void tcp_export_request__each_once(void **state)
{
	struct tcp_snapshot s;
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg synack[2], third;

	open_one(&r, &l);
	for (uint16_t i = 0; i < 2; i++)
		synack[i] = rig_half_open(&r, (uint16_t)(i + 1));
	for (uint16_t i = 0; i < 2; i++) {
		assert_true(tcp_export_request(&l, &s));
		assert_int_equal(s.version, TCP_SNAPSHOT_VERSION);
		assert_int_equal(s.state, TCP_SYN_RECEIVED);
		assert_true(ip_addr_equal(&s.local, &synack[i].src) && ip_addr_equal(&s.remote, &synack[i].dst));
		assert_int_equal(s.local_port, RIG_PORT);
		assert_int_equal(s.remote_port, i + 1);
		assert_int_equal(s.iss, synack[i].h.seq);
		assert_int_equal(s.snd_una, s.iss);
		assert_int_equal(s.snd_nxt, s.iss + 1);
		assert_int_equal(s.irs, RIG_PEER_SEQ);
		assert_int_equal(s.rcv_nxt, RIG_PEER_SEQ + 1);
		assert_int_equal(s.copied_seq, s.rcv_nxt);
		assert_int_equal(s.rcv_wscale, synack[i].h.wscale);
		assert_int_equal(s.advertised_mss, synack[i].h.mss);
		assert_int_equal(s.flags & (TCP_SNAPSHOT_SACK | TCP_SNAPSHOT_WSCALE | TCP_SNAPSHOT_PASSIVE),
				 TCP_SNAPSHOT_SACK | TCP_SNAPSHOT_WSCALE | TCP_SNAPSHOT_PASSIVE);
		assert_int_equal(l.n_reqs, 1 - i);
	}
	assert_false(tcp_export_request(&l, &s));
	r.tcp.stray_until = rig_now(&r) + 1;
	tcp_retire(&l);
	third = rig_third(&synack[0]);
	raw_in(&r, &third);
	rig_expect_silence(&r);
	close_all(&r, &l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_request_begin__synack_as_linux),
		cmocka_unit_test(tcp_request_begin__options_offered_only),
		cmocka_unit_test(tcp_request_begin__window),
		cmocka_unit_test(tcp_request_begin__wscale_above_14),
		cmocka_unit_test(tcp_request_begin__mss),
		cmocka_unit_test(tcp_request_begin__ecn),
		cmocka_unit_test(tcp_request_begin__syn_with_data),
		cmocka_unit_test(tcp_request_begin__no_route),
		cmocka_unit_test(tcp_request_begin__no_memory),
		cmocka_unit_test(tcp_request_begin__syn_queue_full),
		cmocka_unit_test(tcp_req_input__handshake),
		cmocka_unit_test(tcp_req_input__v6),
		cmocka_unit_test(tcp_req_input__data_and_fin_come_along),
		cmocka_unit_test(tcp_req_input__no_memory),
		cmocka_unit_test(tcp_req_input__without_options),
		cmocka_unit_test(tcp_req_input__wrong_ack),
		cmocka_unit_test(tcp_req_input__without_timestamp),
		cmocka_unit_test(tcp_req_input__stale_or_bogus_timestamp),
		cmocka_unit_test(tcp_req_input__reset_exact),
		cmocka_unit_test(tcp_req_input__reset_in_window_is_challenged),
		cmocka_unit_test(tcp_req_input__another_syn_is_challenged),
		cmocka_unit_test(tcp_req_input__out_of_window),
		cmocka_unit_test(tcp_req_input__no_ack_flag),
		cmocka_unit_test(tcp_req_input__syn_again),
		cmocka_unit_test(tcp_req_timer__backoff_and_end),
		cmocka_unit_test(tcp_req_timer__blocked),
		cmocka_unit_test(tcp_req_timer__old_ones_give_way),
		cmocka_unit_test(tcp_req_timer__defer_accept),
		cmocka_unit_test(tcp_export_request__each_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
