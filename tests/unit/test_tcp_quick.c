/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_tcp_quick.c - the short ways of a dialogue, in (quick.c) and out (lone.c): the same bytes on the wire and the same
 * connection behind as by the long ones. A write and a read of two pieces, one of them empty, go the long way, and so
 * does what comes in where nobody is asked before (ip_env.tcp_quick).
 */
#include "tcp_rig.h"

#include "base/err.h"

/* The same engine twice, one of which has the short ways. */
struct twins {
	struct tcp_rig shorter, longer;
	struct tcp_rig *of[2];
	uint32_t seq, ack; /* of the peer's next segment */
};

static const uint8_t *pattern(void)
{
	static uint8_t bytes[4096];

	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7 + i / 251);
	return bytes;
}

static struct twins *open_twins(const struct rig_offer *offer)
{
	static struct twins t;

	memset(&t, 0, sizeof(t));
	t.of[0] = &t.shorter;
	t.of[1] = &t.longer;
	for (unsigned i = 0; i < 2; i++) {
		trig_open(t.of[i]);
		rig_establish(t.of[i], offer);
	}
	t.shorter.h.env.tcp_quick = tcp_quick_input;
	return &t;
}

static void close_twins(struct twins *t)
{
	trig_close(&t->shorter);
	trig_close(&t->longer);
}

/* --- the same --- */

/* All of a connection but where it lies, and what the short ways leave out since nobody reads it before it is written
 * again. */
static void strip(struct tcp_conn *to, const struct tcp_conn *c)
{
	struct tcp_conn *s = to;

	*s = *c;
	memset(&s->end.node, 0, sizeof(s->end.node));
	s->stack = NULL;
	s->user = NULL;
	s->dst = NULL;
	s->first = s->last = s->send_next = s->lost_next = s->sack_cursor = s->ooo_first = s->ooo_last = NULL;
	memset(&s->rx, 0, sizeof(s->rx));
	memset(&s->holder, 0, sizeof(s->holder));
	memset(&s->timer.link, 0, sizeof(s->timer.link));
	memset(&s->dirty, 0, sizeof(s->dirty));
	memset(&s->queue, 0, sizeof(s->queue));
	/* RACK judges what is older than this; the next segment delivered moves it on. */
	memset(&s->rack, 0, sizeof(s->rack));
	/* Of rates: begun anew by what is sent while nothing is out; and those who read them take no short way. */
	s->round_delivered = 0;
	if (!c->first)
		s->first_sent_us = s->delivered_us = 0;
	/* Congestion control is told when it is asked. */
	s->cc.srtt_us = s->cc.min_rtt_us = 0;
	if (!c->cc.times_idle)
		memset(s->cc.private, 0, sizeof(s->cc.private));
}

static void expect_same_segment(struct fbuf *a, struct fbuf *b)
{
	struct tcp_seg x = *tcp_seg(a), y = *tcp_seg(b);

	assert_null(x.prev);
	assert_null(x.next);
	x.marks &= (uint8_t)~TCP_SEG_LONE;
	y.marks &= (uint8_t)~TCP_SEG_LONE;
	x.run = y.run = NULL;
	x.prev = y.prev = x.next = y.next = NULL;
	assert_memory_equal(&x, &y, sizeof(x));
	assert_int_equal(a->charge, b->charge);
	assert_int_equal(a->holds, b->holds);
}

static void expect_same(const struct twins *t)
{
	const struct tcp_conn *a = t->shorter.c, *b = t->longer.c;
	static struct tcp_conn x, y;

	strip(&x, a);
	strip(&y, b);
	assert_memory_equal(&x, &y, sizeof(x));
	assert_int_equal(a->rx.frames, b->rx.frames);
	assert_int_equal(a->first != NULL, b->first != NULL);
	if (a->first && a->n_segs == 1)
		expect_same_segment(a->first, b->first);
	for (unsigned i = 0; i < FS_CTR_N; i++)
		assert_int_equal(t->shorter.h.counters[i], t->longer.h.counters[i]);
	assert_int_equal(t->shorter.h.pinned.n_free, t->longer.h.pinned.n_free);
	assert_int_equal(t->shorter.edges, t->longer.edges);
	assert_int_equal(t->shorter.events, t->longer.events);
}

/* What both sent is the same, to the byte and in what the provider is told. */
static void expect_same_frames(struct twins *t)
{
	static uint8_t bytes[2][RIG_FRAME_MAX];
	struct fbuf *a, *b;

	assert_int_equal(t->shorter.h.ip.port[0].out.frames, t->longer.h.ip.port[0].out.frames);
	a = t->shorter.h.ip.port[0].out.head;
	b = t->longer.h.ip.port[0].out.head;
	for (; a; a = a->link, b = b->link) {
		assert_int_equal(a->total, b->total);
		assert_int_equal(a->len, b->len);
		assert_int_equal(a->csum, b->csum);
		assert_int_equal(a->gso_size, b->gso_size);
		assert_int_equal(a->port, b->port);
		assert_int_equal(a->vlan, b->vlan);
		assert_int_equal(a->l3_offset, b->l3_offset);
		fbuf_copy_out(a, 0, bytes[0], sizeof(bytes[0]));
		fbuf_copy_out(b, 0, bytes[1], sizeof(bytes[1]));
		assert_memory_equal(bytes[0], bytes[1], a->total);
	}
	for (unsigned i = 0; i < 2; i++)
		rig_drain(t->of[i]);
}

/* --- both do the same --- */

static void wait_both(struct twins *t, fs_ns span)
{
	for (unsigned i = 0; i < 2; i++)
		rig_wait(t->of[i], span);
	expect_same(t);
	expect_same_frames(t);
}

/* @len bytes come, and the ACK of all that was sent if @acks. */
static void in_both(struct twins *t, uint32_t len, bool acks, uint16_t window)
{
	const struct tcp_conn *c = t->longer.c;

	if (acks)
		t->ack = c->snd_nxt - c->iss - 1;
	for (unsigned i = 0; i < 2; i++)
		rig_seg_in(t->of[i], (struct rig_seg){ .seq = t->seq, .ack = t->ack, .data = pattern() + t->seq % 1000,
						       .len = len, .flags = TCP_ACK | (len ? TCP_PSH : 0),
						       .window = window });
	t->seq += len;
	expect_same(t);
	expect_same_frames(t);
}

static void send_both(struct twins *t, uint32_t len)
{
	struct iovec iov[2] = { { (void *)(uintptr_t)pattern(), len } };

	for (unsigned i = 0; i < 2; i++) {
		struct tcp_rig *r = t->of[i];

		assert_int_equal(tcp_send(r->c, &r->h.env, iov, (int)i + 1, 0, r->now), len);
	}
	expect_same(t);
	expect_same_frames(t);
}

static void read_both(struct twins *t)
{
	static uint8_t bytes[2][4096];
	ssize_t got[2];

	for (unsigned i = 0; i < 2; i++) {
		struct tcp_rig *r = t->of[i];
		struct iovec iov[2] = { { bytes[i], sizeof(bytes[i]) } };

		got[i] = tcp_recv(r->c, &r->h.env, iov, (int)i + 1, 0, 0, r->now);
	}
	assert_int_equal(got[0], got[1]);
	if (got[0] > 0)
		assert_memory_equal(bytes[0], bytes[1], (size_t)got[0]);
	expect_same(t);
	expect_same_frames(t);
}

static uint64_t lone_ones(const struct twins *t)
{
	return t->shorter.c->first && tcp_seg(t->shorter.c->first)->marks & TCP_SEG_LONE;
}

/* Question, answer, pause. @own: we begin. Returns whether the last answer went the short way. */
static bool exchange(struct twins *t, uint32_t in, uint32_t out, fs_ns rtt, fs_ns think)
{
	bool was_lone;

	in_both(t, in, true, 0);
	read_both(t);
	wait_both(t, think);
	send_both(t, out);
	was_lone = lone_ones(t);
	wait_both(t, rtt);
	return was_lone;
}

/* As young as its connection: what happens by itself in the first exchanges is over. */
static struct twins *talking(const struct rig_offer *offer)
{
	struct twins *t = open_twins(offer);

	for (unsigned i = 0; i < 20; i++) {
		for (unsigned k = 0; k < 2; k++) {
			struct tcp_rig *r = t->of[k];

			rig_seg_in(r, (struct rig_seg){ .seq = t->seq, .ack = t->ack, .data = pattern(), .len = 64,
							.flags = TCP_ACK | TCP_PSH });
			rig_reads(r, pattern(), 64);
			rig_write(r, pattern(), 64);
			rig_drain(r);
			rig_wait(r, FS_MS(1));
		}
		t->seq += 64;
		t->ack += 64;
	}
	/* By the long way all the same, so that both have the same history. */
	t->longer.c->app_limited = t->shorter.c->app_limited;
	return t;
}

/* --- tests --- */

static void tcp_quick__as_the_long_way(void **state)
{
	static const uint32_t lens[] = { 64, 1, 2, 3, 7, 8, 31, 32, 33, 63, 65, 127, 128, 129, 300, 511, 512, 700, 1447, 1448 };
	struct twins *t = talking(&rig_modern);
	unsigned lone = 0;

	for (unsigned i = 0; i < 400; i++) {
		uint32_t in = lens[i % FS_ARRAY_SIZE(lens)], out = lens[(i / 3) % FS_ARRAY_SIZE(lens)];

		lone += exchange(t, in, out, FS_US(15 + 37 * (i % 11)), FS_US(5 * (i % 5)));
	}
	assert_true(lone > 300); /* the rest is what the short way leaves to the other */
	close_twins(t);
}

/* At paces from a us to a second, with ACKs alone, windows that change, questions that nobody answers. */
static void tcp_quick__as_the_long_way_at_random(void **state)
{
	uint32_t random = 12345;

	for (unsigned round = 0; round < 40; round++) {
		struct twins *t = talking(&rig_modern);

		for (unsigned i = 0; i < 200; i++) {
			uint32_t dice = (random = random * 1664525 + 1013904223) >> 8;

			switch (dice % 8) {
			case 0:
			case 1:
			case 2:
				exchange(t, 1 + dice % 600, 1 + dice / 64 % 1500, FS_US(dice % 300), FS_US(dice % 20));
				break;
			case 3:
				in_both(t, 0, true, dice & 64 ? 0 : (uint16_t)(30000 + dice % 30000));
				break;
			case 4:
				in_both(t, 1 + dice % 400, dice & 32, 0);
				break;
			case 5:
				read_both(t);
				break;
			case 6:
				send_both(t, 1 + dice / 8 % 2000);
				break;
			default:
				wait_both(t, FS_US(1) << dice / 8 % 20);
				break;
			}
		}
		close_twins(t);
	}
}

/* Each side's port completes checksums. */
static void tcp_quick__with_partial_checksums(void **state)
{
	struct twins *t = talking(&rig_modern);

	for (unsigned i = 0; i < 2; i++)
		t->of[i]->h.ip.port[0].tx_csum_partial = true;
	for (unsigned i = 0; i < 50; i++)
		assert_true(exchange(t, 64, 1 + i * 20, FS_US(20), 0));
	close_twins(t);
}

/* Without timestamps, SACK or scaling nothing goes the short way, and all is well. */
static void tcp_quick__not_without_options(void **state)
{
	struct twins *t = open_twins(&rig_sacking);

	for (unsigned i = 0; i < 20; i++)
		assert_false(exchange(t, 64, 64, FS_US(20), 0));
	close_twins(t);
}

/* Nobody answers: a lone segment is probed and sent again like any other. */
static void tcp_quick__lone_segment_is_sent_again(void **state)
{
	struct twins *t = talking(&rig_modern);

	assert_true(exchange(t, 64, 77, FS_US(10), 0));
	wait_both(t, FS_SEC(5));
	assert_true(t->shorter.c->total_retrans > 1);
	in_both(t, 0, true, 0);
	for (unsigned i = 0; i < 10; i++)
		exchange(t, 64, 64, FS_US(20), 0);
	close_twins(t);
}

/* --- what goes the long way out --- */

static struct twins *lone(void)
{
	struct twins *t = talking(&rig_modern);

	in_both(t, 64, true, 0);
	read_both(t);
	return t;
}

static void expect_long(struct twins *t, uint32_t len)
{
	send_both(t, len);
	assert_false(lone_ones(t));
	close_twins(t);
}

static void tcp_quick__lone_otherwise(void **state)
{
	struct twins *t = lone();

	send_both(t, 100);
	assert_true(lone_ones(t));
	close_twins(t);
}

static void tcp_quick__not_behind_others(void **state)
{
	struct twins *t = lone();

	send_both(t, 1448);
	expect_long(t, 100);
}

static void set_option(struct twins *t, void (*set)(struct tcp_options *o))
{
	for (unsigned i = 0; i < 2; i++) {
		struct tcp_options o = *tcp_get_options(t->of[i]->c);

		set(&o);
		assert_int_equal(tcp_set_options(t->of[i]->c, &t->of[i]->h.env, &o, t->of[i]->now), 0);
	}
}

static void set_tos(struct tcp_options *o)
{
	o->style[0].tos = 0x10;
}

static void set_rate(struct tcp_options *o)
{
	o->max_pacing_rate = 1000000;
}

static void set_bbr(struct tcp_options *o)
{
	o->congestion = (uint8_t)tcp_cc_by_name("bbr", 3);
}

static void tcp_quick__not_in_style(void **state)
{
	struct twins *t = lone();

	set_option(t, set_tos);
	expect_long(t, 100);
}

static void tcp_quick__not_paced(void **state)
{
	struct twins *t = lone();

	set_option(t, set_rate);
	expect_long(t, 100);
}

static void tcp_quick__not_with_bbr(void **state)
{
	struct twins *t = lone();

	set_option(t, set_bbr);
	expect_long(t, 100);
}

static void tcp_quick__not_by_a_stale_way(void **state)
{
	struct twins *t = lone();

	for (unsigned i = 0; i < 2; i++)
		ip_dst_flush(&t->of[i]->h.ip);
	expect_long(t, 100);
}

static void tcp_quick__not_from_a_low_pool(void **state)
{
	struct twins *t = lone();

	for (unsigned i = 0; i < 2; i++)
		t->of[i]->h.pinned.low_water = t->of[i]->h.pinned.n_free;
	expect_long(t, 100);
}

static void tcp_quick__not_after_a_pause(void **state)
{
	struct twins *t = lone();

	wait_both(t, FS_SEC(2));
	expect_long(t, 100);
}

/* --- what goes the long way in --- */

/* A frame of the peer's that is not for the short way is as it was. */
static void expect_left(struct tcp_rig *r, struct fbuf *frame)
{
	struct tcp_conn before = *r->c;
	uint8_t *data = frame->data;
	uint32_t total = frame->total;

	assert_false(tcp_quick_input(&r->h.env, frame, r->now));
	assert_memory_equal(&before, r->c, sizeof(before));
	assert_ptr_equal(frame->data, data);
	assert_int_equal(frame->total, total);
	fbuf_free(frame);
}

static void tcp_quick__leaves_what_is_odd(void **state)
{
	struct twins *t = talking(&rig_modern);
	struct tcp_rig *r = &t->shorter;
	struct rig_seg good = { .seq = t->seq, .ack = t->ack, .data = pattern(), .len = 64, .flags = TCP_ACK | TCP_PSH };
	struct rig_seg bad[12];
	struct fbuf *frame;

	for (unsigned i = 0; i < FS_ARRAY_SIZE(bad); i++)
		bad[i] = good;
	bad[0].seq++;
	bad[1].seq -= 64;
	bad[2].ack++;
	bad[3].ack -= 100;
	bad[4].flags |= TCP_FIN;
	bad[5].flags |= TCP_URG;
	bad[6].flags = TCP_ACK; /* more of the write is to come */
	bad[7].no_ts = true;
	bad[8].ts = 1;
	bad[9].flags |= TCP_RST;
	bad[10].flags = TCP_PSH;
	bad[11].len = 1448;
	for (unsigned i = 0; i < FS_ARRAY_SIZE(bad); i++)
		expect_left(r, rig_seg_frame(r, &bad[i]));
	for (unsigned at = 0; at < 130; at++) { /* any bit of it, but for TTL and TOS, which change its sum as well */
		frame = rig_seg_frame(r, &good);
		frame->data[at] ^= 4;
		if (at >= 6 && at < 12) { /* the peer's station, which nobody asks for */
			fbuf_free(frame);
			continue;
		}
		expect_left(r, frame);
	}
	frame = rig_seg_frame(r, &good);
	frame->len--;
	frame->total--;
	expect_left(r, frame);
	frame = rig_seg_frame(r, &good);
	frame->vlan = 5;
	expect_left(r, frame);
	frame = rig_seg_frame(r, &good);
	frame->gso_size = 32;
	expect_left(r, frame);
	frame = rig_seg_frame(r, &good);
	assert_true(tcp_quick_input(&r->h.env, frame, r->now));
	rig_reads(r, pattern(), 64);
	rig_drain(r);
	close_twins(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_quick__as_the_long_way),
		cmocka_unit_test(tcp_quick__as_the_long_way_at_random),
		cmocka_unit_test(tcp_quick__with_partial_checksums),
		cmocka_unit_test(tcp_quick__not_without_options),
		cmocka_unit_test(tcp_quick__lone_segment_is_sent_again),
		cmocka_unit_test(tcp_quick__lone_otherwise),
		cmocka_unit_test(tcp_quick__not_behind_others),
		cmocka_unit_test(tcp_quick__not_in_style),
		cmocka_unit_test(tcp_quick__not_paced),
		cmocka_unit_test(tcp_quick__not_with_bbr),
		cmocka_unit_test(tcp_quick__not_by_a_stale_way),
		cmocka_unit_test(tcp_quick__not_from_a_low_pool),
		cmocka_unit_test(tcp_quick__not_after_a_pause),
		cmocka_unit_test(tcp_quick__leaves_what_is_odd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
