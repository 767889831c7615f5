/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_tcp_ooo.c - payload out of order: what is kept, SACK and D-SACK blocks, bounds.
 *
 * The blocks are held against a model of their own: which of the numbers are here, and when each run of them grew
 * last.
 */
#include "tcp_rig.h"

enum { SEGMENTS = 5, SIZE = 100, UNITS = 40 };

static const uint8_t *text(uint32_t at)
{
	return rig_pattern() + at;
}

static void arrive(struct tcp_rig *r, uint32_t at, uint32_t len)
{
	rig_seg_in(r, (struct rig_seg){ .seq = at, .data = text(at), .len = len });
}

/* --- the model: a map of numbers in units of SIZE --- */

struct model {
	bool have[UNITS];
	unsigned grew[UNITS]; /* of the run that begins there */
	unsigned clock;
	uint32_t next; /* units in order */
};

struct expected {
	struct tcp_sack_block block[TCP_MAX_SACK];
	uint32_t n, ack;
};

static uint32_t run_begin(const struct model *m, uint32_t at)
{
	while (at > 0 && m->have[at - 1])
		at--;
	return at;
}

static uint32_t run_end(const struct model *m, uint32_t at)
{
	while (at < UNITS && m->have[at])
		at++;
	return at;
}

/* Units [from, to) arrive. The first of them that is here already begins the D-SACK. */
static struct expected model_arrive(struct model *m, uint32_t from, uint32_t to, uint32_t max)
{
	struct expected e = { .n = 0 };
	uint32_t dup = from, dup_end;
	uint32_t begin;

	while (dup < to && !m->have[dup])
		dup++;
	dup_end = dup;
	while (dup_end < to && m->have[dup_end])
		dup_end++;
	if (dup < to)
		e.block[e.n++] = (struct tcp_sack_block){ dup * SIZE, dup_end * SIZE };
	for (uint32_t i = from; i < to; i++)
		m->have[i] = true;
	begin = run_begin(m, from);
	m->grew[begin] = ++m->clock;
	m->next = m->have[0] ? run_end(m, 0) : 0;
	e.ack = m->next * SIZE;
	/* The others, the youngest first. */
	while (e.n < max) {
		uint32_t best = UNITS;

		for (uint32_t i = m->next; i < UNITS; i = m->have[i] ? run_end(m, i) : i + 1) {
			bool listed = false;

			if (!m->have[i])
				continue;
			for (uint32_t k = dup < to; k < e.n; k++)
				listed |= e.block[k].left == i * SIZE;
			if (!listed && (best == UNITS || m->grew[i] > m->grew[best]))
				best = i;
		}
		if (best == UNITS)
			break;
		e.block[e.n++] = (struct tcp_sack_block){ best * SIZE, run_end(m, best) * SIZE };
	}
	return e;
}

static void expect_ack(struct tcp_rig *r, const struct expected *e)
{
	struct rig_sent *s = rig_ack_out(r, e->ack);

	assert_int_equal(s->h.n_sack, e->n);
	for (uint32_t i = 0; i < e->n; i++) {
		assert_int_equal(s->h.sack[i].left, e->block[i].left);
		assert_int_equal(s->h.sack[i].right, e->block[i].right);
	}
}

/* --- all orders --- */

/* The next order of @p in place, false after the last. */
static bool next_order(uint8_t *p, unsigned n)
{
	unsigned i = n - 1, j = n - 1;
	uint8_t swap;

	while (i > 0 && p[i - 1] >= p[i])
		i--;
	if (i == 0)
		return false;
	while (p[j] <= p[i - 1])
		j--;
	swap = p[i - 1];
	p[i - 1] = p[j];
	p[j] = swap;
	for (j = n - 1; i < j; i++, j--) {
		swap = p[i];
		p[i] = p[j];
		p[j] = swap;
	}
	return true;
}

/* Segments 0 .. 4 arrive in @order, each alone; each of them again at once if @twice. */
static void play(const struct rig_offer *offer, const uint8_t *order, bool twice)
{
	uint32_t max = offer->ts ? 3 : 4;
	struct model m = { .clock = 0 };
	struct tcp_rig r;

	rig_connected(&r, offer);
	r.c->quick_acks = 200; /* so that the last one is acknowledged at once as well */
	for (unsigned i = 0; i < SEGMENTS; i++) {
		for (unsigned k = 0; k <= twice; k++) {
			struct expected e = model_arrive(&m, order[i], order[i] + 1U, max);

			r.c->quick_acks = 200;
			arrive(&r, order[i] * SIZE, SIZE);
			if (!offer->sack)
				e.n = 0;
			expect_ack(&r, &e);
		}
	}
	rig_reads(&r, text(0), SEGMENTS * SIZE);
	rig_drain(&r);
	assert_int_equal(r.c->n_ooo, 0);
	assert_int_equal(r.c->rcv_charge, 0);
	trig_close(&r);
}

static void play_all(const struct rig_offer *offer, bool twice)
{
	uint8_t order[SEGMENTS] = { 0, 1, 2, 3, 4 };
	unsigned n = 0;

	do {
		play(offer, order, twice);
		n++;
	} while (next_order(order, SEGMENTS));
	assert_int_equal(n, 120);
}

static void tcp_ooo_blocks__of_all_orders_of_five_segments(void **state)
{
	play_all(&rig_sacking, false);
}

static void tcp_ooo_blocks__of_all_orders_with_timestamps(void **state)
{
	play_all(&rig_modern, false);
}

static void tcp_ooo_blocks__none_without_sack(void **state)
{
	play_all(&rig_plain, false);
}

static void tcp_dsack__of_all_orders_with_each_segment_twice(void **state)
{
	play_all(&rig_sacking, true);
}

/* Larger segments over others, drawn at random: what is here, what is told. */
static void tcp_ooo_insert__any_overlap(void **state)
{
	uint64_t seed = 1;

	for (unsigned round = 0; round < 300; round++) {
		struct model m = { .clock = 0 };
		struct tcp_rig r;

		rig_connected(&r, &rig_sacking);
		while (m.next < UNITS) {
			uint32_t from, to;
			struct expected e;

			seed = seed * 6364136223846793005 + 1442695040888963407;
			from = (uint32_t)(seed >> 33) % UNITS;
			to = FS_MIN(from + 1 + (uint32_t)(seed >> 58) % 8, (uint32_t)UNITS);
			if (to <= m.next)
				continue;
			e = model_arrive(&m, from, to, 4);
			r.c->quick_acks = 200;
			arrive(&r, from * SIZE, (to - from) * SIZE);
			assert_int_equal(rig_ack_out(&r, e.ack)->h.ack, e.ack);
		}
		rig_reads(&r, text(0), UNITS * SIZE);
		trig_close(&r);
	}
}

/* RFC 2883 4 (2): in a burst something newer may come between a duplicate and the ACK that tells of it. */
static void tcp_ooo_blocks__dsack_is_followed_by_what_holds_it(void **state)
{
	struct tcp_rig r;
	struct rig_sent *s;

	rig_connected(&r, &rig_sacking);
	arrive(&r, 2 * SIZE, 3 * SIZE);
	rig_drain(&r);
	rig_seg_part(&r, (struct rig_seg){ .seq = 3 * SIZE, .data = text(3 * SIZE), .len = SIZE });
	rig_seg_part(&r, (struct rig_seg){ .seq = 6 * SIZE, .data = text(6 * SIZE), .len = SIZE });
	rig_burst_end(&r);
	s = rig_ack_out(&r, 0);
	assert_int_equal(s->h.n_sack, 3);
	assert_int_equal(s->h.sack[0].left, 3 * SIZE);
	assert_int_equal(s->h.sack[0].right, 4 * SIZE);
	assert_int_equal(s->h.sack[1].left, 2 * SIZE);
	assert_int_equal(s->h.sack[1].right, 5 * SIZE);
	assert_int_equal(s->h.sack[2].left, 6 * SIZE);
	trig_close(&r);
}

/* What came twice may be gone before the ACK: its block would be one of what is here (RFC 2883 4). */
static void tcp_ooo_blocks__no_dsack_of_what_is_gone(void **state)
{
	struct tcp_rig r;
	struct rig_sent *s;

	rig_connected(&r, &rig_sacking);
	arrive(&r, 2 * SIZE, 3 * SIZE);
	rig_drain(&r);
	rig_seg_part(&r, (struct rig_seg){ .seq = 3 * SIZE, .data = text(3 * SIZE), .len = SIZE });
	r.c->rcvbuf = r.c->rcv_charge; /* full: what is in order takes its place */
	rig_seg_part(&r, (struct rig_seg){ .data = text(0), .len = SIZE });
	rig_burst_end(&r);
	assert_int_equal(r.c->n_ooo, 0);
	s = rig_ack_out(&r, SIZE);
	assert_int_equal(s->h.n_sack, 0);
	trig_close(&r);
}

/* --- what is kept --- */

static void tcp_ooo_insert__keeps_what_it_has(void **state)
{
	uint8_t mine[600], other[600];
	struct tcp_rig r;

	memset(mine, 'a', sizeof(mine));
	memset(other, 'b', sizeof(other));
	rig_connected(&r, &rig_sacking);
	rig_seg_in(&r, (struct rig_seg){ .seq = 200, .data = mine, .len = 100 });
	rig_seg_in(&r, (struct rig_seg){ .seq = 400, .data = mine, .len = 100 });
	rig_seg_in(&r, (struct rig_seg){ .seq = 0, .data = other, .len = 600 });
	rig_drain(&r);
	memset(mine, 'b', 600);
	memset(mine + 200, 'a', 100);
	memset(mine + 400, 'a', 100);
	rig_reads(&r, mine, 600);
	trig_close(&r);
}

static void tcp_ooo_insert__a_part_that_is_cut_needs_memory(void **state)
{
	struct tcp_rig r;
	struct fbuf *taken[RIG_PAYLOAD];

	rig_connected(&r, &rig_sacking);
	arrive(&r, 200, 100);
	rig_drain(&r);
	for (unsigned i = 0; i < RIG_PAYLOAD; i++)
		taken[i] = fbuf_alloc(&r.h.payload);
	arrive(&r, 100, 300); /* 100..199 would be a copy; 300..399 is the frame itself */
	assert_int_equal(rig_counter(&r, FS_CTR_drop_tcp_no_memory), 1);
	rig_drain(&r);
	for (unsigned i = 0; i < RIG_PAYLOAD; i++)
		fbuf_free(taken[i]);
	assert_int_equal(r.c->n_ooo, 1);
	assert_int_equal(tcp_ooo(r.c->ooo_first)->end - r.c->rcv_nxt, 400);
	arrive(&r, 0, 200);
	rig_reads(&r, text(0), 400);
	trig_close(&r);
}

static void tcp_ooo_insert__touching_runs_become_one(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_sacking);
	arrive(&r, 1000, 1000);
	arrive(&r, 3000, 1000);
	assert_int_equal(r.c->n_ooo, 2);
	arrive(&r, 2000, 1000);
	assert_int_equal(r.c->n_ooo, 1);
	arrive(&r, 4000, 1000); /* behind */
	arrive(&r, 500, 500);	/* before */
	assert_int_equal(r.c->n_ooo, 1);
	rig_drain(&r);
	arrive(&r, 0, 500);
	assert_int_equal(r.c->n_ooo, 0);
	rig_ack_out(&r, 5000);
	rig_reads(&r, text(0), 5000);
	trig_close(&r);
}

static void tcp_ooo_insert__small_ones_are_merged(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_sacking);
	for (uint32_t at = 100; at < 1100; at += 100)
		arrive(&r, at, 100);
	assert_int_equal(rig_counter(&r, FS_CTR_tcp_merged), 9);
	assert_int_equal(r.c->rcv_pinned, 1);
	rig_drain(&r);
	arrive(&r, 0, 100);
	rig_reads(&r, text(0), 1100);
	trig_close(&r);
}

/* --- bounds --- */

static void tcp_ooo_insert__a_full_buffer_drops_the_highest(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_sacking);
	arrive(&r, 1000, 1000);
	arrive(&r, 10000, 1000);
	rig_drain(&r);
	r.c->rcvbuf = r.c->rcv_charge + 100;
	arrive(&r, 5000, 1000);
	assert_int_equal(r.c->n_ooo, 2);
	assert_int_equal(tcp_ooo(r.c->ooo_last)->seq - r.c->rcv_nxt, 5000);
	arrive(&r, 7000, 1000); /* itself the highest */
	assert_int_equal(r.c->n_ooo, 2);
	assert_int_equal(rig_counter(&r, FS_CTR_drop_tcp_rcvbuf), 1);
	trig_close(&r);
}

static void tcp_ooo_insert__runs_are_limited(void **state)
{
	struct tcp_rig r;

	trig_open_sized(&r, &(struct rig_sizes){ 4096, 1024, RIG_CHUNK });
	rig_establish(&r, &rig_modern);
	r.c->rcvbuf = 10 << 20;
	r.c->rcv_wnd = 1 << 20;
	for (uint32_t i = 0; i < 300; i++) {
		arrive(&r, 100000 - 200 * i, 1);
		rig_drain(&r);
	}
	assert_int_equal(r.c->n_ooo, 256);
	/* The lowest stayed, the highest went. */
	assert_int_equal(tcp_ooo(r.c->ooo_first)->seq - r.c->rcv_nxt, 100000 - 200 * 299);
	arrive(&r, 200000, 1);
	assert_int_equal(r.c->n_ooo, 256);
	assert_true(tcp_ooo(r.c->ooo_last)->seq - r.c->rcv_nxt < 100000);
	/* What touches a run needs no new one. */
	arrive(&r, 100000 - 200 * 299 + 1, 1);
	assert_int_equal(tcp_ooo(r.c->ooo_first)->end - r.c->rcv_nxt, 100000 - 200 * 299 + 2);
	trig_close(&r);
}

/* --- D-SACK --- */

static void tcp_dsack__below_what_is_in_order(void **state)
{
	struct rig_sent *s;
	struct tcp_rig r;

	rig_connected(&r, &rig_sacking);
	r.c->quick_acks = 100;
	arrive(&r, 0, 500);
	rig_ack_out(&r, 500);
	arrive(&r, 100, 200);
	s = rig_ack_out(&r, 500);
	assert_int_equal(s->h.n_sack, 1);
	assert_int_equal(s->h.sack[0].left, 100);
	assert_int_equal(s->h.sack[0].right, 300);
	assert_int_equal(rig_counter(&r, FS_CTR_tcp_dsacks_out), 1);
	/* Told once. */
	arrive(&r, 500, 100);
	assert_int_equal(rig_ack_out(&r, 600)->h.n_sack, 0);
	trig_close(&r);
}

static void tcp_dsack__of_a_segment_that_is_old_in_part(void **state)
{
	struct rig_sent *s;
	struct tcp_rig r;

	rig_connected(&r, &rig_sacking);
	r.c->quick_acks = 100;
	arrive(&r, 0, 500);
	rig_ack_out(&r, 500);
	arrive(&r, 300, 400);
	s = rig_ack_out(&r, 700);
	assert_int_equal(s->h.n_sack, 1);
	assert_int_equal(s->h.sack[0].left, 300);
	assert_int_equal(s->h.sack[0].right, 500);
	rig_reads(&r, text(0), 700);
	trig_close(&r);
}

static void tcp_dsack__within_a_run_comes_before_it(void **state)
{
	struct rig_sent *s;
	struct tcp_rig r;

	rig_connected(&r, &rig_sacking);
	arrive(&r, 500, 500);
	arrive(&r, 2000, 500);
	rig_drain(&r);
	arrive(&r, 600, 100);
	s = rig_ack_out(&r, 0);
	assert_int_equal(s->h.n_sack, 3);
	assert_int_equal(s->h.sack[0].left, 600);
	assert_int_equal(s->h.sack[0].right, 700);
	assert_int_equal(s->h.sack[1].left, 500); /* RFC 2883 4.2: the block around it */
	assert_int_equal(s->h.sack[1].right, 1000);
	assert_int_equal(s->h.sack[2].left, 2000);
	trig_close(&r);
}

/* A duplicate makes its run the newest, also for the ACKs after the one that tells of it (RFC 2018 4). */
static void tcp_ooo_blocks__a_duplicate_makes_its_run_the_newest(void **state)
{
	struct rig_sent *s;
	struct tcp_rig r;

	rig_connected(&r, &rig_sacking);
	arrive(&r, 500, 500);
	arrive(&r, 2000, 500);
	arrive(&r, 4000, 500);
	arrive(&r, 500, 100);
	rig_drain(&r);
	arrive(&r, 6000, 100);
	s = rig_ack_out(&r, 0);
	assert_int_equal(s->h.n_sack, 4);
	assert_int_equal(s->h.sack[0].left, 6000);
	assert_int_equal(s->h.sack[1].left, 500);
	assert_int_equal(s->h.sack[2].left, 4000);
	assert_int_equal(s->h.sack[3].left, 2000);
	trig_close(&r);
}

/* --- super-frames, bursts --- */

static void tcp_ooo_insert__a_super_frame_over_two_runs(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_modern);
	arrive(&r, 2000, 500);
	arrive(&r, 4000, 500);
	rig_drain(&r);
	rig_seg_in(&r, (struct rig_seg){ .seq = 0, .data = text(0), .len = 6000, .gso = 1448 });
	rig_ack_out(&r, 6000);
	rig_reads(&r, text(0), 6000);
	trig_close(&r);
}

static void tcp_ooo_insert__a_burst_is_acknowledged_once(void **state)
{
	struct rig_sent *s;
	struct tcp_rig r;

	rig_connected(&r, &rig_sacking);
	rig_seg_part(&r, (struct rig_seg){ .seq = 1000, .data = text(1000), .len = 500 });
	rig_seg_part(&r, (struct rig_seg){ .seq = 2000, .data = text(2000), .len = 500 });
	rig_seg_part(&r, (struct rig_seg){ .seq = 3000, .data = text(3000), .len = 500 });
	rig_burst_end(&r);
	s = rig_ack_out(&r, 0); /* MUST-58 */
	assert_int_equal(s->h.n_sack, 3);
	assert_int_equal(s->h.sack[0].left, 3000);
	trig_close(&r);
}

/* --- FIN --- */

static void tcp_ooo__fin_alone_before_its_data(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_sacking);
	rig_seg_in(&r, (struct rig_seg){ .seq = 500, .flags = TCP_FIN | TCP_ACK });
	rig_ack_out(&r, 0);
	assert_int_equal(r.c->state, TCP_ESTABLISHED);
	arrive(&r, 0, 500);
	assert_int_equal(r.c->state, TCP_CLOSE_WAIT);
	rig_wait(&r, FS_MS(300));
	rig_ack_out(&r, 501);
	rig_reads(&r, text(0), 500);
	assert_int_equal(rig_recv(&r, (uint8_t[1]){ 0 }, 1), 0);
	trig_close(&r);
}

static void tcp_ooo__fin_with_data_is_in_the_block(void **state)
{
	struct rig_sent *s;
	struct tcp_rig r;

	rig_connected(&r, &rig_sacking);
	rig_seg_in(&r, (struct rig_seg){ .seq = 500, .data = text(500), .len = 100, .flags = TCP_FIN | TCP_ACK });
	s = rig_ack_out(&r, 0);
	assert_int_equal(s->h.n_sack, 1);
	assert_int_equal(s->h.sack[0].left, 500);
	assert_int_equal(s->h.sack[0].right, 601);
	arrive(&r, 0, 500);
	assert_int_equal(r.c->state, TCP_CLOSE_WAIT);
	rig_reads(&r, text(0), 600);
	trig_close(&r);
}

static void tcp_ooo__nothing_comes_after_a_fin(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_sacking);
	rig_seg_in(&r, (struct rig_seg){ .seq = 500, .flags = TCP_FIN | TCP_ACK });
	arrive(&r, 400, 300); /* beyond it */
	assert_int_equal(tcp_ooo(r.c->ooo_last)->end - r.c->rcv_nxt, 500);
	arrive(&r, 600, 100);
	assert_int_equal(r.c->n_ooo, 1);
	arrive(&r, 0, 400);
	assert_int_equal(r.c->state, TCP_CLOSE_WAIT);
	rig_reads(&r, text(0), 500);
	trig_close(&r);
}

static void tcp_ooo__a_fin_in_order_ends_what_waits_behind_it(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_sacking);
	arrive(&r, 500, 100);
	rig_seg_in(&r, (struct rig_seg){ .seq = 0, .data = text(0), .len = 100, .flags = TCP_FIN | TCP_ACK });
	assert_int_equal(r.c->state, TCP_CLOSE_WAIT);
	assert_int_equal(r.c->n_ooo, 0);
	rig_reads(&r, text(0), 100);
	trig_close(&r);
}

static void tcp_ooo__a_second_fin_elsewhere_is_ignored(void **state)
{
	struct tcp_rig r;

	rig_connected(&r, &rig_sacking);
	rig_seg_in(&r, (struct rig_seg){ .seq = 500, .flags = TCP_FIN | TCP_ACK });
	rig_seg_in(&r, (struct rig_seg){ .seq = 300, .flags = TCP_FIN | TCP_ACK });
	arrive(&r, 0, 500);
	assert_int_equal(r.c->state, TCP_CLOSE_WAIT);
	rig_reads(&r, text(0), 500);
	trig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_ooo_blocks__of_all_orders_of_five_segments),
		cmocka_unit_test(tcp_ooo_blocks__of_all_orders_with_timestamps),
		cmocka_unit_test(tcp_ooo_blocks__none_without_sack),
		cmocka_unit_test(tcp_ooo_blocks__dsack_is_followed_by_what_holds_it),
		cmocka_unit_test(tcp_ooo_blocks__no_dsack_of_what_is_gone),
		cmocka_unit_test(tcp_dsack__of_all_orders_with_each_segment_twice),
		cmocka_unit_test(tcp_ooo_insert__any_overlap),
		cmocka_unit_test(tcp_ooo_insert__keeps_what_it_has),
		cmocka_unit_test(tcp_ooo_insert__a_part_that_is_cut_needs_memory),
		cmocka_unit_test(tcp_ooo_insert__touching_runs_become_one),
		cmocka_unit_test(tcp_ooo_insert__small_ones_are_merged),
		cmocka_unit_test(tcp_ooo_insert__a_full_buffer_drops_the_highest),
		cmocka_unit_test(tcp_ooo_insert__runs_are_limited),
		cmocka_unit_test(tcp_dsack__below_what_is_in_order),
		cmocka_unit_test(tcp_dsack__of_a_segment_that_is_old_in_part),
		cmocka_unit_test(tcp_dsack__within_a_run_comes_before_it),
		cmocka_unit_test(tcp_ooo_blocks__a_duplicate_makes_its_run_the_newest),
		cmocka_unit_test(tcp_ooo_insert__a_super_frame_over_two_runs),
		cmocka_unit_test(tcp_ooo_insert__a_burst_is_acknowledged_once),
		cmocka_unit_test(tcp_ooo__fin_alone_before_its_data),
		cmocka_unit_test(tcp_ooo__fin_with_data_is_in_the_block),
		cmocka_unit_test(tcp_ooo__nothing_comes_after_a_fin),
		cmocka_unit_test(tcp_ooo__a_fin_in_order_ends_what_waits_behind_it),
		cmocka_unit_test(tcp_ooo__a_second_fin_elsewhere_is_ignored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
