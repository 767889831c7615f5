/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_tcp_listen.c - listeners: whose a SYN is, the accept queue and its overflow, the end, and before it retirement.
 */
#include <errno.h>

#include "tcp_raw.h"

/* --- look-up --- */


static struct tcp_listener *at(struct raw_rig *r, struct tcp_listener *l, struct ip_addr local, bool is_v6)
{
	memset(l, 0, sizeof(*l));
	l->local = local;
	l->local_port = RIG_PORT;
	l->is_v6 = is_v6;
	tcp_options_default(&l->options, &r->tcp.config);
	return l;
}

static struct tcp_listener *find4(struct raw_rig *r, uint32_t ifindex)
{
	return tcp_listener_find(&r->tcp, &r->h.v4, RIG_PORT, &r->peer4, RIG_PEER_PORT, ifindex);
}

static struct tcp_listener *find6(struct raw_rig *r)
{
	return tcp_listener_find(&r->tcp, &r->h.v6, RIG_PORT, &r->peer6, RIG_PEER_PORT, RIG_IFINDEX);
}

static const struct ip_addr any;

static void tcp_listener_find__specific_before_wildcard(void **state)
{
	struct tcp_listener wild, mine, other;
	struct raw_rig r;

	raw_open(&r);
	at(&r, &wild, any, false)->reuseport = true;
	at(&r, &mine, r.h.v4, false)->reuseport = true;
	at(&r, &other, rig_v4(10, 0, 0, 9), false)->reuseport = true;
	assert_null(find4(&r, RIG_IFINDEX));
	assert_int_equal(tcp_listen(&r.tcp, &mine, 1), 0);
	assert_int_equal(tcp_listen(&r.tcp, &wild, 1), 0);
	assert_int_equal(tcp_listen(&r.tcp, &other, 1), 0);
	assert_ptr_equal(find4(&r, RIG_IFINDEX), &mine);
	tcp_unlisten(&mine, &r.h.env, rig_now(&r));
	assert_ptr_equal(find4(&r, RIG_IFINDEX), &wild);
	assert_null(find6(&r));
	tcp_unlisten(&wild, &r.h.env, rig_now(&r));
	tcp_unlisten(&other, &r.h.env, rig_now(&r));
	raw_close(&r);
}

static void tcp_listener_find__dual_stack(void **state)
{
	struct tcp_listener l, v4;
	struct raw_rig r;

	raw_open(&r);
	at(&r, &l, any, true);
	assert_int_equal(tcp_listen(&r.tcp, &l, 1), 0);
	assert_ptr_equal(find4(&r, RIG_IFINDEX), &l);
	assert_ptr_equal(find6(&r), &l);
	l.own.v6_only = true;
	assert_null(find4(&r, RIG_IFINDEX));
	assert_ptr_equal(find6(&r), &l);
	/* An IPv4 socket beside it is no conflict, and takes what is its own. */
	at(&r, &v4, any, false);
	assert_int_equal(tcp_listen(&r.tcp, &v4, 1), 0);
	assert_ptr_equal(find4(&r, RIG_IFINDEX), &v4);
	tcp_unlisten(&v4, &r.h.env, rig_now(&r));
	/* bind(::ffff:0.0.0.0) is for IPv4 only. */
	tcp_unlisten(&l, &r.h.env, rig_now(&r));
	at(&r, &l, rig_v4(0, 0, 0, 0), true);
	assert_int_equal(tcp_listen(&r.tcp, &l, 1), 0);
	assert_ptr_equal(find4(&r, RIG_IFINDEX), &l);
	assert_null(find6(&r));
	tcp_unlisten(&l, &r.h.env, rig_now(&r));
	raw_close(&r);
}

static void tcp_listener_find__interface(void **state)
{
	struct tcp_listener bound, wild;
	struct raw_rig r;

	raw_open(&r);
	at(&r, &bound, any, false)->ifindex = 3;
	bound.reuseport = true;
	at(&r, &wild, any, false)->reuseport = true;
	assert_int_equal(tcp_listen(&r.tcp, &bound, 1), 0);
	assert_null(find4(&r, 4));
	assert_ptr_equal(find4(&r, 3), &bound);
	assert_int_equal(tcp_listen(&r.tcp, &wild, 1), 0);
	assert_ptr_equal(find4(&r, 4), &wild);
	assert_ptr_equal(find4(&r, 3), &bound);
	/* And the segment's own is asked for. */
	RAW_IN(&r, .h = { .flags = TCP_SYN, .seq = 1 }, .ifindex = 3);
	assert_int_equal(bound.n_reqs, 1);
	assert_int_equal(wild.n_reqs, 0);
	rig_forget_out(&r);
	tcp_unlisten(&bound, &r.h.env, rig_now(&r));
	tcp_unlisten(&wild, &r.h.env, rig_now(&r));
	raw_close(&r);
}

/* Flows are spread evenly by a keyed hash, and each goes to the same member again. */
static void tcp_listener_find__reuseport_spreads(void **state)
{
	static struct tcp_listener l[4];
	unsigned hits[4] = { 0 };
	struct raw_rig r;

	raw_open(&r);
	for (unsigned i = 0; i < 4; i++) {
		at(&r, &l[i], any, false)->reuseport = true;
		assert_int_equal(tcp_listen(&r.tcp, &l[i], 1), 0);
	}
	for (uint16_t port = 1; port <= 1000; port++) {
		struct tcp_listener *a = tcp_listener_find(&r.tcp, &r.h.v4, RIG_PORT, &r.peer4, port, 1);

		assert_ptr_equal(tcp_listener_find(&r.tcp, &r.h.v4, RIG_PORT, &r.peer4, port, 1), a);
		hits[a - l]++;
	}
	for (unsigned i = 0; i < 4; i++) {
		assert_in_range(hits[i], 200, 300);
		tcp_unlisten(&l[i], &r.h.env, rig_now(&r));
	}
	raw_close(&r);
}

/* --- listening --- */

static void tcp_listen__address_in_use(void **state)
{
	struct tcp_listener a, b;
	struct raw_rig r;

	raw_open(&r);
	at(&r, &a, r.h.v4, false);
	assert_int_equal(tcp_listen(&r.tcp, &a, 1), 0);
	assert_int_equal(tcp_listen(&r.tcp, at(&r, &b, r.h.v4, false), 1), -EADDRINUSE);
	assert_int_equal(tcp_listen(&r.tcp, at(&r, &b, any, false), 1), -EADDRINUSE);
	assert_int_equal(tcp_listen(&r.tcp, at(&r, &b, any, true), 1), -EADDRINUSE);
	b.own.v6_only = true;
	assert_int_equal(tcp_listen(&r.tcp, &b, 1), 0);
	tcp_unlisten(&b, &r.h.env, rig_now(&r));
	at(&r, &b, r.h.v4, false)->reuseport = true; /* one of them is not enough */
	assert_int_equal(tcp_listen(&r.tcp, &b, 1), -EADDRINUSE);
	at(&r, &b, r.h.v4, false)->local_port++;
	assert_int_equal(tcp_listen(&r.tcp, &b, 1), 0);
	tcp_unlisten(&b, &r.h.env, rig_now(&r));
	assert_int_equal(tcp_listen(&r.tcp, at(&r, &b, rig_v4(10, 0, 0, 9), false), 1), 0);
	tcp_unlisten(&b, &r.h.env, rig_now(&r));
	tcp_unlisten(&a, &r.h.env, rig_now(&r));
	raw_close(&r);
}

/* MUST-41: a listener disturbs no connection on its port; MUST-42: nor does one that is opening. */
static void tcp_listen__beside_connections(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;
	struct tcp_conn *c;
	struct raw_seg s;

	raw_open(&r);
	c = tcp_open(&r.tcp, &r);
	assert_int_equal(tcp_connect(c, &r.h.env, &r.h.v4, RIG_PORT, &r.peer4, RIG_PEER_PORT, rig_now(&r)), 0);
	rig_expect_one(&r, &s, TCP_SYN);
	rig_listen(&r, &l, 1);
	assert_ptr_equal(rig_end(&r, RIG_PEER_PORT), &c->end);
	RAW_IN(&r, .h = { .flags = TCP_SYN | TCP_ACK, .seq = 9, .ack = s.h.seq + 1 });
	assert_int_equal(c->state, TCP_ESTABLISHED);
	assert_int_equal(l.n_reqs + l.n_ready, 0);
	tcp_unlisten(&l, &r.h.env, rig_now(&r));
	tcp_abort(c, &r.h.env, rig_now(&r));
	rig_forget_out(&r);
	raw_close(&r);
}

/* --- segments for a listener: RFC 9293 3.10.7.2 --- */

static void tcp_listen_input__flags(void **state)
{
	static const struct {
		uint16_t in, out; /* 0 = silence */
	} cases[] = {
		{ TCP_RST, 0 }, /* T5961-5 */
		{ TCP_RST | TCP_ACK, 0 },
		{ TCP_RST | TCP_SYN, 0 },
		{ TCP_ACK, TCP_RST },
		{ TCP_ACK | TCP_FIN, TCP_RST },
		{ TCP_SYN | TCP_ACK, TCP_RST },
		{ TCP_FIN, 0 },
		{ TCP_SYN | TCP_FIN, 0 },
		{ TCP_PSH, 0 },
		{ 0, 0 },
	};
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg out;

	raw_open(&r);
	rig_listen(&r, &l, 5);
	for (unsigned i = 0; i < FS_ARRAY_SIZE(cases); i++) {
		RAW_IN(&r, .h = { .flags = cases[i].in, .seq = 5, .ack = 77 });
		if (cases[i].out) {
			rig_expect_one(&r, &out, cases[i].out);
			assert_int_equal(out.h.seq, 77);
		} else {
			rig_expect_silence(&r);
		}
		assert_int_equal(r.h.counters[FS_CTR_drop_tcp_listen], i + 1);
	}
	assert_int_equal(l.n_reqs, 0);
	tcp_unlisten(&l, &r.h.env, rig_now(&r));
	raw_close(&r);
}

/* --- the accept queue --- */

static void tcp_accept__in_order(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;

	raw_open(&r);
	rig_listen(&r, &l, 5);
	assert_null(tcp_accept(&l));
	for (uint16_t port = 1; port <= 3; port++) {
		rig_complete_open(&r, port);
		assert_int_equal(r.n_incoming, port);
		assert_int_equal(l.n_ready, port);
	}
	for (uint16_t port = 1; port <= 3; port++) {
		struct tcp_conn *c = tcp_accept(&l);

		assert_int_equal(c->end.remote_port, port);
		assert_int_equal(c->state, TCP_ESTABLISHED);
		assert_null(c->listener);
		tcp_abort(c, &r.h.env, rig_now(&r));
	}
	assert_null(tcp_accept(&l));
	assert_int_equal(l.n_ready, 0);
	rig_forget_out(&r);
	tcp_unlisten(&l, &r.h.env, rig_now(&r));
	raw_close(&r);
}

/* T4987-1: accept queue full: SYNs are dropped, the last ACK of one under way is dropped, its SYN-ACK comes
 * again; when there is room the next ACK makes the connection. */
static void tcp_accept_queue__overflow_as_linux(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg synack, third, syn = rig_syn(9);
	struct tcp_conn *c;

	raw_open(&r);
	rig_listen(&r, &l, 1);
	synack = rig_half_open(&r, 7);
	rig_complete_open(&r, 1);
	rig_complete_open(&r, 2); /* one more than the backlog, as Linux */
	assert_int_equal(l.n_ready, 2);
	raw_in(&r, &syn);
	rig_expect_silence(&r);
	assert_int_equal(r.h.counters[FS_CTR_drop_tcp_listen_overflow], 1);
	third = rig_third(&synack);
	raw_in(&r, &third);
	rig_expect_silence(&r);
	assert_int_equal(l.n_ready, 2);
	assert_int_equal(l.n_reqs, 1);
	assert_int_equal(l.overflows, 2);
	assert_int_equal(r.h.counters[FS_CTR_tcp_listen_overflows], 2);
	rig_run(&r, FS_SEC(1));
	rig_expect_one(&r, &synack, TCP_SYN | TCP_ACK);
	c = tcp_accept(&l);
	tcp_abort(c, &r.h.env, rig_now(&r));
	rig_forget_out(&r);
	third = rig_third(&synack);
	raw_in(&r, &third);
	assert_int_equal(l.n_ready, 2);
	assert_int_equal(l.n_reqs, 0);
	rig_forget_out(&r);
	tcp_unlisten(&l, &r.h.env, rig_now(&r));
	rig_forget_out(&r);
	raw_close(&r);
}

static void tcp_listen__backlog_changes(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg syn = rig_syn(9);

	raw_open(&r);
	rig_listen(&r, &l, 0);
	rig_complete_open(&r, 1); /* a backlog of 0 keeps one (as Linux) */
	raw_in(&r, &syn);
	rig_expect_silence(&r);
	assert_int_equal(tcp_listen(&r.tcp, &l, 5), 0);
	rig_complete_open(&r, 2);
	assert_int_equal(l.n_ready, 2);
	rig_forget_out(&r);
	tcp_unlisten(&l, &r.h.env, rig_now(&r));
	rig_forget_out(&r);
	raw_close(&r);
}

/* --- the end --- */

static void tcp_unlisten__forgets_and_resets(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;
	struct raw_seg synack, out, third;

	raw_open(&r);
	rig_listen(&r, &l, 5);
	synack = rig_half_open(&r, 1);
	rig_complete_open(&r, 2);
	rig_forget_out(&r);
	tcp_unlisten(&l, &r.h.env, rig_now(&r));
	rig_expect_one(&r, &out, TCP_RST | TCP_ACK);
	assert_int_equal(out.h.dst_port, 2);
	assert_int_equal(l.n_reqs + l.n_young + l.n_ready, 0);
	assert_null(l.stack);
	third = rig_third(&synack);
	raw_in(&r, &third);
	rig_expect_one(&r, &out, TCP_RST);
	tcp_unlisten(&l, &r.h.env, rig_now(&r)); /* twice is fine */
	raw_close(&r);
}

/* Nothing finds it any more, half-open ones are forgotten; what waits can be accepted, or ends with it. */
static void tcp_retire__keeps_what_waits(void **state)
{
	struct tcp_listener l, other;
	struct tcp_conn *first;
	struct raw_seg out;
	struct raw_rig r;

	raw_open(&r);
	rig_listen(&r, &l, 8);
	rig_half_open(&r, 7);
	rig_complete_open(&r, 1);
	rig_complete_open(&r, 2);
	tcp_retire(&l);
	tcp_retire(&l); /* twice is fine */
	assert_null(find4(&r, RIG_IFINDEX));
	assert_int_equal(l.n_reqs, 0);
	assert_int_equal(l.n_ready, 2);
	at(&r, &other, any, false);
	assert_int_equal(tcp_listen(&r.tcp, &other, 1), 0);
	first = tcp_accept(&l);
	assert_int_equal(first->end.remote_port, 1);
	assert_int_equal(first->state, TCP_ESTABLISHED);
	rig_forget_out(&r);
	tcp_unlisten(&l, &r.h.env, rig_now(&r));
	rig_expect_one(&r, &out, TCP_RST | TCP_ACK);
	assert_int_equal(out.h.dst_port, 2);
	assert_null(l.stack);
	assert_ptr_equal(find4(&r, RIG_IFINDEX), &other);
	tcp_abort(first, &r.h.env, rig_now(&r));
	rig_forget_out(&r);
	tcp_unlisten(&other, &r.h.env, rig_now(&r));
	assert_int_equal(tcp_listen(&r.tcp, &l, 1), 0); /* as new */
	assert_ptr_equal(find4(&r, RIG_IFINDEX), &l);
	tcp_unlisten(&l, &r.h.env, rig_now(&r));
	raw_close(&r);
}

/* One that ended while it waited can still be accepted: its user learns of it by reading (as Linux). */
static void tcp_accept__of_a_reset_connection(void **state)
{
	struct tcp_listener l;
	struct raw_rig r;
	struct tcp_conn *c;

	raw_open(&r);
	rig_listen(&r, &l, 5);
	rig_complete_open(&r, 1);
	RAW_IN(&r, .h = { .src_port = 1, .flags = TCP_RST, .seq = RIG_PEER_SEQ + 1 });
	assert_int_equal(l.n_ready, 1);
	c = tcp_accept(&l);
	assert_int_equal(c->state, TCP_CLOSED);
	assert_int_equal(tcp_take_error(c), ECONNRESET);
	tcp_close(c, &r.h.env, rig_now(&r));
	rig_forget_out(&r);
	tcp_unlisten(&l, &r.h.env, rig_now(&r));
	raw_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_listener_find__specific_before_wildcard),
		cmocka_unit_test(tcp_listener_find__dual_stack),
		cmocka_unit_test(tcp_listener_find__interface),
		cmocka_unit_test(tcp_listener_find__reuseport_spreads),
		cmocka_unit_test(tcp_listen__address_in_use),
		cmocka_unit_test(tcp_listen__beside_connections),
		cmocka_unit_test(tcp_listen_input__flags),
		cmocka_unit_test(tcp_accept__in_order),
		cmocka_unit_test(tcp_accept_queue__overflow_as_linux),
		cmocka_unit_test(tcp_listen__backlog_changes),
		cmocka_unit_test(tcp_unlisten__forgets_and_resets),
		cmocka_unit_test(tcp_retire__keeps_what_waits),
		cmocka_unit_test(tcp_accept__of_a_reset_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
