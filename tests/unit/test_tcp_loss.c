/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_tcp_loss.c - marks and counts one by one; and all of loss recovery against paths that lose, reorder, double and
 * delay, drawn from seeds.
 */
#include "tcp_ack_rig.h"

enum { SACK = TCP_CONN_SACK, TS = TCP_CONN_TS };

/* --- marks --- */

static void tcp_mark_lost__counts(void **state)
{
	struct rig r;
	struct fbuf *f;

	rig_open(&r, SACK);
	rig_write(&r, 4);
	rig_send(&r, 4);
	f = r.c.first;
	tcp_mark_lost(&r.c, f);
	tcp_mark_lost(&r.c, f); /* once is enough */
	assert_int_equal(r.c.lost_out, 1);
	assert_int_equal(r.c.total_lost, 1);
	tcp_mark_retransmitted(&r.c, f, r.now);
	assert_int_equal(r.c.retrans_out, 1);
	assert_int_equal(tcp_seg(f)->retransmits, 1);
	tcp_mark_lost(&r.c, f); /* again */
	assert_int_equal(r.c.lost_out, 1);
	assert_int_equal(r.c.retrans_out, 0);
	assert_int_equal(r.c.total_lost, 2);
	assert_int_equal(tcp_in_flight(&r.c), 3);
	rig_sack(&r, 0, { 1, 2 });
	tcp_mark_lost(&r.c, tcp_seg(f)->next); /* the peer has it */
	assert_int_equal(r.c.lost_out, 1);
	rig_check(&r);
	rig_close(&r);
}

/* What lies before the last find is found when it gets lost later. */
static void tcp_loss_next__goes_back(void **state)
{
	struct fbuf *f[6];
	struct rig r;

	rig_open(&r, SACK);
	rig_write(&r, 6);
	rig_send(&r, 6);
	f[0] = r.c.first;
	for (unsigned i = 1; i < 6; i++)
		f[i] = tcp_seg(f[i - 1])->next;
	assert_null(tcp_loss_next(&r.c, NULL));
	tcp_mark_lost(&r.c, f[3]);
	assert_ptr_equal(tcp_loss_next(&r.c, NULL), f[3]);
	tcp_mark_lost(&r.c, f[1]);
	assert_ptr_equal(tcp_loss_next(&r.c, NULL), f[1]);
	assert_ptr_equal(tcp_loss_next(&r.c, f[2]), f[3]);
	tcp_mark_retransmitted(&r.c, f[1], r.now);
	assert_ptr_equal(tcp_loss_next(&r.c, NULL), f[3]);
	tcp_mark_retransmitted(&r.c, f[3], r.now);
	assert_null(tcp_loss_next(&r.c, NULL));
	tcp_mark_lost(&r.c, f[5]);
	assert_ptr_equal(tcp_loss_next(&r.c, NULL), f[5]);
	tcp_mark_lost(&r.c, f[1]);
	assert_ptr_equal(tcp_loss_next(&r.c, NULL), f[1]);
	rig_check(&r);
	rig_close(&r);
}

static void tcp_loss_purge__forgets_all(void **state)
{
	struct rig r;

	rig_open(&r, SACK);
	rig_warm(&r, 100000);
	rig_write(&r, 6);
	rig_send(&r, 6);
	r.now += FS_MS(100);
	rig_sack(&r, 0, { 2, 3 });
	while (r.c.first != r.c.send_next)
		tcp_seg_pop(&r.c);
	tcp_loss_purge(&r.c);
	assert_int_equal(tcp_in_flight(&r.c), 0);
	assert_null(r.c.sack_cursor);
	assert_null(r.c.lost_next);
	assert_int_equal(r.c.due[TCP_TIMER_LOSS], FS_NEVER);
	rig_close(&r);
}

/* The strongest sign of a round trip counts for all of it. */
static void tcp_cwnd_validate__for_a_round_trip(void **state)
{
	struct rig r;

	rig_open(&r, SACK);
	rig_write(&r, 20);
	rig_send(&r, 4);
	tcp_cwnd_validate(&r.c, false);
	assert_false(tcp_has(&r.c, TCP_CONN_CWND_LIMITED));
	assert_int_equal(r.c.max_packets_out, 4);
	rig_send(&r, 6); /* as many as the window holds */
	tcp_cwnd_validate(&r.c, false);
	assert_true(tcp_has(&r.c, TCP_CONN_CWND_LIMITED));
	rig_ack(&r, 5);
	tcp_cwnd_validate(&r.c, false);
	assert_true(tcp_has(&r.c, TCP_CONN_CWND_LIMITED));
	rig_ack(&r, 10);
	rig_send(&r, 1);
	tcp_cwnd_validate(&r.c, false);
	assert_false(tcp_has(&r.c, TCP_CONN_CWND_LIMITED));
	assert_int_equal(r.c.max_packets_out, 1);
	rig_close(&r);
}

/* --- paths --- */

enum {
	PATH_SEGMENTS = 400,
	PATH_EVENTS = 8192,
	PATH_STEPS = 200000,
	PATH_GOOD_AFTER_S = 60, /* then it loses nothing any more */
	PATH_END_S = 600,	/* and all must be over */
};

struct event {
	fs_ns at;
	bool is_ack;
	int segment;	   /* of data */
	uint32_t ts;	   /* of data: its timestamp. of an ACK: the echo */
	int ack;
	unsigned n;
	struct tcp_sack_block block[4];
};

struct path {
	struct rig r; /* first member */
	uint64_t random;
	unsigned loss, ack_loss, twice; /* of 1000 */
	uint32_t delay_us, jitter_us;	/* jitter reorders, unless in_order */
	bool in_order, delayed_acks;
	fs_ns last_data, last_ack;

	struct event event[PATH_EVENTS];
	unsigned n_events;

	/* The receiver. */
	bool has[PATH_SEGMENTS];
	int next, last_acked;
	int recent[8]; /* segments that came last, out of order */
	unsigned owed;
	uint32_t ts_recent;

	/* What happened. */
	unsigned lost[PATH_SEGMENTS], sent[PATH_SEGMENTS], probes, timeouts, in_vain;
};

static uint32_t draw(struct path *p, uint32_t below)
{
	p->random = p->random * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(p->random >> 33) % below;
}

static struct event *on_the_way(struct path *p, fs_ns *last)
{
	struct event *e;

	assert_true(p->n_events < PATH_EVENTS);
	e = &p->event[p->n_events++];
	*e = (struct event){ .at = p->r.now + FS_US(p->delay_us + (p->jitter_us ? draw(p, p->jitter_us) : 0)) };
	if (p->in_order)
		e->at = FS_MAX(e->at, *last);
	*last = FS_MAX(*last, e->at);
	return e;
}

static bool is_good(const struct path *p)
{
	return p->r.now >= FS_SEC(1000 + PATH_GOOD_AFTER_S);
}

static void carry(struct rig *r, char what, int segment)
{
	struct path *p = (struct path *)(void *)r;
	unsigned copies = 1;

	assert_true(segment >= 0 && segment < PATH_SEGMENTS);
	if (what == 'P')
		p->probes++;
	else
		assert_true(tcp_in_flight(&r->c) <= r->c.cc.cwnd);
	/* Sent again though nothing was lost? */
	if (what == 'R' && p->lost[segment] < p->sent[segment])
		p->in_vain++;
	p->sent[segment]++;
	if (!is_good(p)) {
		if (draw(p, 1000) < p->loss) {
			p->lost[segment]++;
			return;
		}
		copies += draw(p, 1000) < p->twice;
	}
	while (copies-- > 0) {
		struct event *e = on_the_way(p, &p->last_data);

		e->segment = segment;
		e->ts = tcp_ts_now(&r->c, r->now);
	}
}

/* The block @segment is in, if the receiver has it out of order and it is not among the first @n of @e. */
static void add_block(struct path *p, struct event *e, int segment)
{
	int left = segment, right = segment + 1;

	if (segment < p->next || segment >= PATH_SEGMENTS || !p->has[segment] || e->n >= 4)
		return;
	while (left > p->next && p->has[left - 1])
		left--;
	while (right < PATH_SEGMENTS && p->has[right])
		right++;
	for (unsigned i = 0; i < e->n; i++) {
		if (e->block[i].left == (uint32_t)left)
			return;
	}
	e->block[e->n++] = (struct tcp_sack_block){ (uint32_t)left, (uint32_t)right };
}

static void send_ack(struct path *p, int duplicate)
{
	struct event *e;

	p->owed = 0;
	p->last_acked = p->next;
	if (!is_good(p) && draw(p, 1000) < p->ack_loss)
		return;
	e = on_the_way(p, &p->last_ack);
	e->is_ack = true;
	e->ack = p->next;
	e->ts = p->ts_recent;
	if (!tcp_is_sack(&p->r.c))
		return;
	if (duplicate >= 0)
		e->block[e->n++] = (struct tcp_sack_block){ (uint32_t)duplicate, (uint32_t)duplicate + 1 };
	if (duplicate >= p->next)
		add_block(p, e, duplicate); /* RFC 2883 4.2 */
	for (unsigned i = 0; i < 8; i++)
		add_block(p, e, p->recent[i]);
}

static void data_arrives(struct path *p, const struct event *e)
{
	int s = e->segment;

	if (s <= p->last_acked)
		p->ts_recent = e->ts;
	if (p->has[s]) {
		send_ack(p, s);
		return;
	}
	p->has[s] = true;
	if (s != p->next) {
		memmove(p->recent + 1, p->recent, sizeof(p->recent) - sizeof(p->recent[0]));
		p->recent[0] = s;
		while (p->next < PATH_SEGMENTS && p->has[p->next])
			p->next++;
		send_ack(p, -1);
		return;
	}
	while (p->next < PATH_SEGMENTS && p->has[p->next])
		p->next++;
	p->owed++;
	if (!p->delayed_acks || p->owed >= 2 || p->next != s + 1 || p->next == PATH_SEGMENTS)
		send_ack(p, -1);
}

static void ack_arrives(struct path *p, const struct event *e)
{
	struct tcp_in in = rig_in(&p->r, e->ack);

	in.h.ts_ecr = e->ts;
	in.h.n_sack = (uint8_t)e->n;
	for (unsigned i = 0; i < e->n; i++)
		in.h.sack[i] = (struct tcp_sack_block){ rig_seq(&p->r, (int)e->block[i].left),
							rig_seq(&p->r, (int)e->block[i].right) };
	assert_int_not_equal(rig_take(&p->r, &in), TCP_ACK_BLIND);
	rig_output(&p->r);
}

static bool step(struct path *p)
{
	struct tcp_conn *c = &p->r.c;
	unsigned first = 0;
	struct event e;
	fs_ns at = FS_MIN(c->due[TCP_TIMER_RTX], c->due[TCP_TIMER_LOSS]);

	for (unsigned i = 1; i < p->n_events; i++) {
		if (p->event[i].at < p->event[first].at)
			first = i;
	}
	if (p->n_events > 0 && p->event[first].at <= at) {
		e = p->event[first];
		memmove(&p->event[first], &p->event[first + 1], (p->n_events - first - 1) * sizeof(e));
		p->n_events--;
		p->r.now = FS_MAX(p->r.now + 1, e.at); /* or RACK could not tell what was sent first */
		(e.is_ack ? ack_arrives : data_arrives)(p, &e);
		return true;
	}
	if (at == FS_NEVER)
		return false;
	if (at == c->due[TCP_TIMER_LOSS]) {
		p->r.dirty = 1;
		rig_loss_timeout(&p->r);
	} else {
		p->timeouts++;
		rig_timeout(&p->r);
	}
	return true;
}

/* Everything arrives, whatever happens on the way; what is counted is right after each event (rig_check()). */
static void run(struct path *p)
{
	struct rig *r = &p->r;
	unsigned steps = 0;

	r->carry = carry;
	for (unsigned i = 0; i < 8; i++)
		p->recent[i] = -1;
	p->ts_recent = tcp_ts_now(&r->c, r->now);
	rig_write(r, PATH_SEGMENTS);
	rig_output(r);
	while (r->c.snd_una != r->c.snd_end) {
		assert_true(step(p));
		assert_true(++steps < PATH_STEPS);
		assert_true(r->now < FS_SEC(1000 + PATH_END_S));
	}
	assert_int_equal(p->next, PATH_SEGMENTS);
	if (tcp_is_sack(&r->c)) /* otherwise duplicates are guessed from */
		assert_int_equal(r->c.cc.delivered, PATH_SEGMENTS);
	rig_close(r);
}

static void open_path(struct path *p, uint64_t seed, uint32_t flags, const char *algorithm)
{
	memset(p, 0, sizeof(*p));
	rig_open_as(&p->r, flags, algorithm);
	p->random = seed * 0x9e3779b97f4a7c15u + 1;
	p->delay_us = 1000 + draw(p, 50000);
	p->delayed_acks = draw(p, 2);
}

static struct path the_path;

static void loss_recovery__any_path(void **state)
{
	static const char *const algorithm[] = { "reno", "cubic", "bbr", "dctcp", "none" };
	static const uint32_t flags[] = { 0, SACK, SACK, TS, SACK | TS, SACK | TS };
	struct path *p = &the_path;

	for (uint64_t seed = 1; seed <= 600; seed++) {
		open_path(p, seed, flags[seed % FS_ARRAY_SIZE(flags)], algorithm[seed % FS_ARRAY_SIZE(algorithm)]);
		if (draw(p, 2))
			p->loss = draw(p, draw(p, 4) ? 50 : 400);
		if (draw(p, 2))
			p->ack_loss = draw(p, draw(p, 4) ? 50 : 400);
		if (draw(p, 3) == 0)
			p->twice = draw(p, 100);
		if (draw(p, 2))
			p->jitter_us = 1 + draw(p, draw(p, 4) ? p->delay_us / 2 + 1 : 400000);
		p->in_order = draw(p, 2);
		p->delayed_acks = draw(p, 2);
		run(p);
	}
}

/* A path that loses nothing and keeps the order: nothing is ever sent twice, however the delay moves within RTO. */
static void loss_recovery__good_path_sees_no_retransmission(void **state)
{
	struct path *p = &the_path;

	for (uint64_t seed = 1; seed <= 100; seed++) {
		open_path(p, seed, seed % 2 ? SACK : SACK | TS, "cubic");
		p->in_order = true;
		p->jitter_us = 1 + draw(p, p->delay_us / 2 + 1);
		p->delayed_acks = false;
		run(p);
		assert_int_equal(p->r.c.total_retrans, 0);
		assert_int_equal(p->r.c.total_lost, 0);
	}
}

/* A path that loses but keeps the order: with SACK nothing is sent again that was not lost, but for probes and what a
 * timeout takes for lost; and that happens where ACKs end, not for each loss. */
static void loss_recovery__in_order_nothing_in_vain(void **state)
{
	struct path *p = &the_path;

	for (uint64_t seed = 1; seed <= 200; seed++) {
		open_path(p, seed, seed % 2 ? SACK : SACK | TS, "cubic");
		p->in_order = true;
		p->loss = 1 + draw(p, 60);
		p->delayed_acks = false;
		run(p);
		if (p->timeouts == 0 && p->probes == 0)
			assert_int_equal(p->in_vain, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_mark_lost__counts),
		cmocka_unit_test(tcp_loss_next__goes_back),
		cmocka_unit_test(tcp_loss_purge__forgets_all),
		cmocka_unit_test(tcp_cwnd_validate__for_a_round_trip),
		cmocka_unit_test(loss_recovery__any_path),
		cmocka_unit_test(loss_recovery__good_path_sees_no_retransmission),
		cmocka_unit_test(loss_recovery__in_order_nothing_in_vain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
