/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Several stacks at one interface: what one knows the others see, and what comes to the wrong one is passed on before
 * anybody answers as a stranger.
 */
#include "tcp/end.h"
#include "tcp/shares.h"
#include "tcp_rig.h"

static struct tcp_shares shares;
static struct {
	struct fbuf *frame;
	unsigned stack;
	uint32_t passed;
} last;

static void pass_on(void *context, struct fbuf *frame, unsigned stack, uint32_t passed)
{
	fbuf_free(last.frame);
	last.frame = frame;
	last.stack = stack;
	last.passed = passed;
}

static struct tcp_ops ops;

/* @index among sisters. */
static void open_as(struct tcp_rig *r, unsigned index)
{
	trig_open(r);
	r->tcp.shares = &shares;
	r->tcp.index = (uint8_t)index;
	ops = trig_ops;
	ops.pass_on = pass_on;
	r->h.env.tcp_ops = &ops;
	memset(&shares, 0, sizeof(shares));
	memset(&last, 0, sizeof(last));
}

static uint32_t hash_of(const struct tcp_rig *r)
{
	struct ip_addr local = trig_self(r), remote = trig_peer(r);

	return tcp_end_hash(&r->tcp, &local, TRIG_PORT, &remote, TRIG_PEER_PORT);
}

static void listen_on(struct tcp_rig *r, struct tcp_listener *l)
{
	memset(l, 0, sizeof(*l));
	l->local_port = TRIG_PORT;
	tcp_options_default(&l->options, &r->tcp.config);
	assert_int_equal(tcp_listen(&r->tcp, l, 4), 0);
}

/* The frame that was passed on is whole: the other stack can take it as its port's. */
static void assert_passed(struct tcp_rig *r, unsigned stack, uint32_t passed)
{
	struct packet p;

	assert_non_null(last.frame);
	assert_int_equal(last.stack, stack);
	assert_int_equal(last.passed, passed);
	assert_int_equal(packet_parse(&p, last.frame->data, last.frame->len, last.frame->total), PACKET_OK);
	assert_int_equal(p.dst_port, TRIG_PORT);
	assert_int_equal(last.frame->csum, FBUF_CSUM_VERIFIED);
	assert_int_equal(last.frame->ifindex, RIG_IFINDEX);
	fbuf_free(last.frame);
	last.frame = NULL;
	rig_no_out(r);
}

/* A SYN begins at @l; that is all. */
static void begins_here(struct tcp_rig *r, struct tcp_listener *l)
{
	rig_seg_in(r, (struct rig_seg){ .seq = TRIG_IRS, .flags = TCP_SYN, .absolute = true });
	assert_null(last.frame);
	assert_int_equal(l->n_reqs, 1);
	rig_drain(r);
	tcp_unlisten(l, &r->h.env, r->now);
	trig_close(r);
}

static void tcp_shares__rows(void **state)
{
	memset(&shares, 0, sizeof(shares));
	assert_int_equal(tcp_shares_of(&shares, 17), 0);
	tcp_shares_add(&shares, 17, 2);
	tcp_shares_add(&shares, 17 + TCP_SHARES_ROWS, 7);
	assert_int_equal(tcp_shares_of(&shares, 17), 1u << 2 | 1u << 7);
	assert_int_equal(tcp_shares_of(&shares, 18), 0);
	tcp_shares_remove(&shares, 17, 2);
	assert_int_equal(tcp_shares_of(&shares, 17), 1u << 7);
	/* One that counted as far as it can does not know any more when it is none. */
	for (int i = 0; i < 300; i++)
		tcp_shares_add(&shares, 5, 0);
	for (int i = 0; i < 300; i++)
		tcp_shares_remove(&shares, 5, 0);
	assert_int_equal(tcp_shares_of(&shares, 5), 1);
}

/* From the SYN to the end of TIME-WAIT the tuple is in sight. */
static void tcp_shares__life_of_a_connection(void **state)
{
	struct tcp_listener l;
	struct tcp_rig r;

	open_as(&r, 3);
	listen_on(&r, &l);
	assert_int_equal(tcp_shares_of(&shares, hash_of(&r)), 0);
	rig_seg_in(&r, (struct rig_seg){ .seq = TRIG_IRS, .flags = TCP_SYN, .absolute = true });
	assert_int_equal(tcp_shares_of(&shares, hash_of(&r)), 1u << 3);
	rig_drain(&r);
	rig_seg_in(&r, (struct rig_seg){ .seq = 0, .ack = 0 });
	assert_int_equal(l.n_ready, 1);
	assert_int_equal(tcp_shares_of(&shares, hash_of(&r)), 1u << 3);
	tcp_abort(tcp_accept(&l), &r.h.env, r.now);
	rig_drain(&r);
	assert_int_equal(tcp_shares_of(&shares, hash_of(&r)), 0);
	tcp_unlisten(&l, &r.h.env, r.now);
	trig_close(&r);
}

static void tcp_input__a_sisters_connection(void **state)
{
	struct tcp_listener l;
	struct tcp_rig r;

	open_as(&r, 0);
	listen_on(&r, &l);
	tcp_shares_add(&shares, hash_of(&r), 2);
	rig_seg_in(&r, (struct rig_seg){ .seq = 10, .ack = 10, .data = "abc", .len = 3 });
	assert_passed(&r, 2, 1);
	/* A SYN that is sent again begins no second connection here. */
	rig_seg_in(&r, (struct rig_seg){ .seq = TRIG_IRS, .flags = TCP_SYN, .absolute = true });
	assert_passed(&r, 2, 1);
	assert_int_equal(l.n_reqs, 0);
	tcp_unlisten(&l, &r.h.env, r.now);
	trig_close(&r);
}

/* A row that is another tuple's: each who may know is asked once, then it is answered. */
static void tcp_input__nobodys(void **state)
{
	struct tcp_rig r;

	open_as(&r, 1);
	tcp_shares_add(&shares, hash_of(&r), 2);
	tcp_shares_add(&shares, hash_of(&r), 4);
	rig_seg_in(&r, (struct rig_seg){ .seq = 10, .ack = 10 });
	assert_passed(&r, 2, 1u << 1);
	r.h.env.passed = 1u << 2;
	rig_seg_in(&r, (struct rig_seg){ .seq = 10, .ack = 10 });
	assert_passed(&r, 4, 1u << 1 | 1u << 2);
	r.h.env.passed = 1u << 2 | 1u << 4;
	rig_seg_in(&r, (struct rig_seg){ .seq = 10, .ack = 10 });
	assert_passed(&r, 0, 1u << 1 | 1u << 2 | 1u << 4); /* home has the last word */
	r.h.env.passed = 1;
	tcp_shares_remove(&shares, hash_of(&r), 2);
	tcp_shares_remove(&shares, hash_of(&r), 4);
	rig_seg_in(&r, (struct rig_seg){ .seq = 10, .ack = 10 });
	assert_passed(&r, 0, UINT32_MAX);
	trig_close(&r);
	open_as(&r, 0);
	r.h.env.passed = UINT32_MAX;
	tcp_shares_add(&shares, hash_of(&r), 2);
	rig_seg_in(&r, (struct rig_seg){ .seq = 10, .ack = 10 });
	assert_null(last.frame);
	rig_rst_out(&r);
	trig_close(&r);
}

/* Home's listener has no twin, and a row is another tuple's: the SYN comes back, and begins. */
static void tcp_input__syn_that_nobody_else_takes(void **state)
{
	struct tcp_listener l;
	struct tcp_rig r;

	open_as(&r, 1);
	r.h.env.passed = 1;
	rig_seg_in(&r, (struct rig_seg){ .seq = TRIG_IRS, .flags = TCP_SYN, .absolute = true });
	assert_passed(&r, 0, UINT32_MAX);
	trig_close(&r);
	open_as(&r, 0);
	listen_on(&r, &l);
	tcp_shares_add(&shares, hash_of(&r), 1);
	rig_seg_in(&r, (struct rig_seg){ .seq = TRIG_IRS, .flags = TCP_SYN, .absolute = true });
	assert_passed(&r, 1, 1);
	r.h.env.passed = UINT32_MAX;
	begins_here(&r, &l);
}

/* Without a listener of its own a sister leaves a SYN to home; with one it begins here. */
static void tcp_input__syn_at_a_sister(void **state)
{
	struct tcp_listener l;
	struct tcp_rig r;

	open_as(&r, 1);
	rig_seg_in(&r, (struct rig_seg){ .seq = TRIG_IRS, .flags = TCP_SYN, .absolute = true });
	assert_passed(&r, 0, 1u << 1);
	listen_on(&r, &l);
	begins_here(&r, &l);
}

/* What is broken is dropped where it came. */
static void tcp_input__bad_sum_is_not_passed(void **state)
{
	struct tcp_rig r;
	struct fbuf *frame;

	open_as(&r, 0);
	tcp_shares_add(&shares, hash_of(&r), 2);
	frame = rig_seg_frame(&r, &(struct rig_seg){ .seq = 10, .ack = 10, .data = "abc", .len = 3 });
	frame->data[frame->len - 1] ^= 1;
	rig_input_fbuf(&r.h, frame);
	assert_null(last.frame);
	assert_int_equal(r.h.counters[FS_CTR_drop_tcp_checksum], 1);
	trig_close(&r);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_shares__rows),
		cmocka_unit_test(tcp_shares__life_of_a_connection),
		cmocka_unit_test(tcp_input__a_sisters_connection),
		cmocka_unit_test(tcp_input__nobodys),
		cmocka_unit_test(tcp_input__syn_that_nobody_else_takes),
		cmocka_unit_test(tcp_input__syn_at_a_sister),
		cmocka_unit_test(tcp_input__bad_sum_is_not_passed),
	};

	return cmocka_run_group_tests_name("tcp_shares", tests, NULL, NULL);
}
