/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_tcp_sack.c - SACK blocks onto segments: which count, how marks, runs and cursor follow; D-SACK; reneging.
 */
#include "tcp_ack_rig.h"

enum { SACK = TCP_CONN_SACK };

/* The marks of all segments that are out: S SACKed, L lost, R sent again, . none. */
static const char *marks(struct rig *r)
{
	static char text[RIG_SEGMENTS + 1];
	size_t n = 0;

	for (struct fbuf *f = r->c.first; f && f != r->c.send_next; f = tcp_seg(f)->next) {
		uint8_t m = tcp_seg(f)->marks;

		text[n++] = m & TCP_SEG_SACKED ? 'S' : m & TCP_SEG_RETRANS ? 'R' : m & TCP_SEG_LOST ? 'L' : '.';
	}
	text[n] = '\0';
	return text;
}

static void open_sent(struct rig *r, unsigned n)
{
	rig_open(r, SACK);
	r->c.reord_seen = 1; /* losses by time only: this test is about marks */
	rig_warm(r, 100000);
	rig_write(r, n);
	rig_send(r, n);
	r->now += FS_MS(100);
}

static enum tcp_ack_result block(struct rig *r, tcp_seq ack, tcp_seq left, tcp_seq right)
{
	struct tcp_in in = rig_in(r, 0);

	in.h.ack = ack;
	in.h.n_sack = 1;
	in.h.sack[0] = (struct tcp_sack_block){ left, right };
	return rig_take(r, &in);
}

/* --- blocks --- */

static void tcp_sack_input__blocks_mark_segments(void **state)
{
	struct rig r;

	open_sent(&r, 8);
	rig_sack(&r, 0, { 2, 3 });
	assert_string_equal(marks(&r), "..S.....");
	rig_sack(&r, 0, { 5, 7 }, { 2, 3 });
	assert_string_equal(marks(&r), "..S..SS.");
	assert_int_equal(r.c.sacked_out, 3);
	assert_int_equal(r.c.high_sacked, rig_seq(&r, 7));
	assert_int_equal(r.c.cc.ca_state, TCP_CA_DISORDER);
	rig_sack(&r, 1, { 2, 7 });
	assert_string_equal(marks(&r), ".SSSSS.");
	rig_ack(&r, 8);
	assert_int_equal(r.c.sacked_out, 0);
	assert_int_equal(r.c.cc.ca_state, TCP_CA_OPEN);
	rig_expect_count(&r, FS_CTR_tcp_sacks_ignored, 0);
	rig_close(&r);
}

/* Runs that grow from either end, are joined, and lose their beginning to the cumulative ACK. */
static void tcp_sack_input__runs(void **state)
{
	struct rig r;

	open_sent(&r, 12);
	rig_sack(&r, 0, { 4, 5 });
	rig_sack(&r, 0, { 8, 9 }, { 4, 5 });
	rig_sack(&r, 0, { 3, 5 }, { 8, 9 });
	rig_sack(&r, 0, { 8, 10 }, { 3, 5 });
	rig_sack(&r, 0, { 6, 7 }, { 8, 10 }, { 3, 5 });
	assert_string_equal(marks(&r), "...SS.S.SS..");
	rig_sack(&r, 0, { 3, 10 });
	assert_string_equal(marks(&r), "...SSSSSSS..");
	assert_int_equal(r.c.sacked_out, 7);
	rig_sack(&r, 6, { 7, 10 }); /* ends within a run: odd, but possible */
	assert_string_equal(marks(&r), "SSSS..");
	assert_int_equal(r.c.sacked_out, 4);
	rig_sack(&r, 11, { 12, 13 });
	assert_string_equal(marks(&r), ".");
	rig_close(&r);
}

/* What blocks cover in part stays as it is, and is sent again whole. */
static void tcp_sack_input__part_of_a_segment_is_not_sacked(void **state)
{
	struct rig r;

	open_sent(&r, 4);
	block(&r, rig_seq(&r, 0), rig_seq(&r, 1) + 1, rig_seq(&r, 3) - 1);
	assert_string_equal(marks(&r), "....");
	block(&r, rig_seq(&r, 0), rig_seq(&r, 1) + 1, rig_seq(&r, 3) + 1);
	assert_string_equal(marks(&r), "..S.");
	rig_expect_count(&r, FS_CTR_tcp_sacks_ignored, 0);
	rig_close(&r);
}

/* T2018-3: what makes no sense changes nothing and is counted; numbers wrap here. */
static void tcp_sack_input__malformed(void **state)
{
	struct rig r;

	open_sent(&r, 6);
	rig_write(&r, 4);
	const tcp_seq una = r.c.snd_una, nxt = r.c.snd_nxt;
	const struct tcp_sack_block bad[] = {
		{ una + 2000, una + 2000 },	       /* empty */
		{ una + 3000, una + 2000 },	       /* reversed */
		{ una + 2000, nxt + 1 },	       /* beyond what was sent */
		{ nxt, nxt + 1000 },		       /* never sent: a receiver that lies */
		{ nxt + 1000, nxt + 2000 },
		{ una, una + 1000 },		       /* what the ACK should have acked */
		{ nxt + 0x7fffff00, nxt },	       /* half the numbers away: behind both */
		{ nxt - 0x7fffff00, nxt + 0x7fffff00 },
		{ una + 1000, una + 0x80000000 },
		{ una + 1000, una + 0x80001000 },
	};

	for (unsigned i = 0; i < FS_ARRAY_SIZE(bad); i++) {
		assert_int_equal(block(&r, una, bad[i].left, bad[i].right), TCP_ACK_OK);
		assert_string_equal(marks(&r), "......");
		rig_expect_count(&r, FS_CTR_tcp_sacks_ignored, 1);
	}
	assert_int_equal(r.c.snd_una, una);
	assert_int_equal(r.c.cc.delivered, 1);
	rig_close(&r);
}

/* T2018-3: every pair of edges around every number that means something, against the definition. */
static void tcp_sack_input__edges_all(void **state)
{
	static const int32_t at[] = { INT32_MIN, INT32_MIN + 1, -5000, -1, 0,	 1,    999,	  1000,	    1001,
				      1999,	 2000,		2001,  3999, 4000, 4001, INT32_MAX - 1, INT32_MAX };

	for (unsigned i = 0; i < FS_ARRAY_SIZE(at) * FS_ARRAY_SIZE(at); i++) {
		int64_t left = at[i / FS_ARRAY_SIZE(at)], right = at[i % FS_ARRAY_SIZE(at)];
		struct rig r;

		open_sent(&r, 4);
		block(&r, r.c.snd_una, r.c.snd_una + (uint32_t)left, r.c.snd_una + (uint32_t)right);
		for (int s = 0; s < 4; s++) {
			bool covered = left > 0 && left < right && right <= 4000 && left <= s * 1000 &&
				       right >= (s + 1) * 1000;

			assert_int_equal(marks(&r)[s], covered ? 'S' : '.');
		}
		rig_close(&r);
	}
}

/* Without the option agreed on there is no SACK, whatever comes. */
static void tcp_sack_input__not_agreed_on(void **state)
{
	struct rig r;

	rig_open(&r, 0);
	rig_write(&r, 6);
	rig_send(&r, 6);
	rig_sack(&r, 1, { 2, 4 });
	assert_string_equal(marks(&r), ".....");
	rig_close(&r);
}

/* An ACK that was overtaken still tells what arrived; what is acked meanwhile is no error. */
static void tcp_sack_input__old_ack(void **state)
{
	struct rig r;

	open_sent(&r, 10);
	rig_ack(&r, 4);
	assert_int_equal(rig_sack(&r, 1, { 2, 4 }), TCP_ACK_OLD);
	assert_string_equal(marks(&r), "......");
	assert_int_equal(rig_sack(&r, 1, { 6, 8 }, { 3, 5 }), TCP_ACK_OLD);
	assert_string_equal(marks(&r), "S.SS..");
	rig_expect_count(&r, FS_CTR_tcp_sacks_ignored, 0);
	rig_close(&r);
}

/* --- a peer that renegs (T2018-2) --- */

/* SACKed data are kept until they are cumulatively acked. */
static void tcp_sack_input__sacked_data_are_kept(void **state)
{
	struct rig r;

	open_sent(&r, 6);
	rig_sack(&r, 0, { 1, 6 });
	assert_int_equal(r.c.n_segs, 6);
	assert_int_equal(r.pool.n_free, r.pool.n_total - 6);
	rig_ack(&r, 6);
	assert_int_equal(r.pool.n_free, r.pool.n_total);
	rig_close(&r);
}

/* The ACK ends where SACKed data begin: soon, everything that is left is sent again. */
static void tcp_sack_input__reneging(void **state)
{
	struct rig r;

	open_sent(&r, 6);
	rig_sack(&r, 0, { 1, 6 });
	rig_expect_sent(&r, "N0 N1 N2 N3 N4 N5");
	rig_ack(&r, 1);
	assert_int_equal(r.c.due[TCP_TIMER_RTX], r.now + FS_MS(50)); /* SRTT / 2 */
	rig_timeout(&r);
	rig_expect_count(&r, FS_CTR_tcp_renegings, 1);
	assert_int_equal(r.c.sacked_out, 0);
	assert_true(r.c.reneged);
	rig_expect_sent(&r, "R1");
	rig_ack(&r, 2);
	rig_output(&r);
	rig_ack(&r, 6);
	assert_false(r.c.reneged);
	assert_int_equal(r.c.cc.ca_state, TCP_CA_OPEN);
	rig_close(&r);
}

/* What seemed reneged was acked in time. */
static void tcp_sack_input__not_reneging_after_all(void **state)
{
	struct rig r;

	open_sent(&r, 6);
	rig_sack(&r, 0, { 1, 6 });
	rig_ack(&r, 1);
	rig_ack(&r, 6);
	assert_int_equal(r.c.due[TCP_TIMER_RTX], FS_NEVER);
	rig_expect_count(&r, FS_CTR_tcp_renegings, 0);
	assert_int_equal(r.c.cc.ca_state, TCP_CA_OPEN);
	rig_close(&r);
}

/* A timeout alone forgets nothing: what is SACKed is not sent again (RFC 6675 5.1). */
static void tcp_loss_on_rto__keeps_sacked(void **state)
{
	struct rig r;

	open_sent(&r, 6);
	rig_sack(&r, 0, { 2, 4 });
	rig_timeout(&r);
	assert_string_equal(marks(&r), "RLSSLL");
	rig_close(&r);
}

/* --- D-SACK (T2883-1) --- */

/* Sent again by recovery so that a duplicate is possible. */
static void open_retransmitted(struct rig *r, unsigned n)
{
	open_sent(r, n);
	r->c.reord_seen = 0;
	rig_sack(r, 0, { 1, 4 });
	r->sent[0] = '\0';
	rig_output(r);
	rig_expect_sent(r, "R0");
	assert_int_equal(r->c.undo_retrans, 1);
}

/* RFC 2883 4.1: the first block lies below the ACK. */
static void tcp_sack_input__dsack_below_the_ack(void **state)
{
	struct rig r;

	open_retransmitted(&r, 6);
	r.now += FS_MS(1);
	rig_sack(&r, 4, { 0, 1 });
	rig_expect_count(&r, FS_CTR_tcp_dsacks_in, 1);
	assert_int_equal(r.c.dsack_dups, 1);
	rig_expect_count(&r, FS_CTR_tcp_sacks_ignored, 0);
	rig_close(&r);
}

/* RFC 2883 4.2: the first block lies within the second. */
static void tcp_sack_input__dsack_within_a_block(void **state)
{
	struct rig r;

	open_retransmitted(&r, 8);
	rig_sack(&r, 0, { 2, 3 }, { 1, 4 });
	rig_expect_count(&r, FS_CTR_tcp_dsacks_in, 1);
	assert_string_equal(marks(&r), "RSSS....");
	assert_int_equal(r.c.undo_retrans, 1); /* of data that were sent once */
	/* Not so: it lies beside it. */
	rig_sack(&r, 0, { 5, 6 }, { 1, 4 });
	rig_expect_count(&r, FS_CTR_tcp_dsacks_in, 0);
	assert_string_equal(marks(&r), "RSSSLS..");
	rig_close(&r);
}

/* More duplicates than were ever sent again: the network's, or a lie. Neither undoes anything. */
static void tcp_sack_input__dsack_of_what_was_sent_once(void **state)
{
	struct rig r;

	open_sent(&r, 6);
	rig_ack(&r, 3);
	rig_sack(&r, 3, { 0, 1 });
	rig_expect_count(&r, FS_CTR_tcp_dsacks_in, 0);
	rig_close(&r);
}

/* Nonsense as D-SACK: longer than any window, or beyond what was sent. */
static void tcp_sack_input__dsack_malformed(void **state)
{
	struct rig r;

	open_retransmitted(&r, 6);
	block(&r, rig_seq(&r, 4), rig_seq(&r, 4) - RIG_WINDOW - 10, rig_seq(&r, 4) - 5);
	block(&r, rig_seq(&r, 4), rig_seq(&r, 3), rig_seq(&r, 7));
	block(&r, rig_seq(&r, 4), rig_seq(&r, 3), rig_seq(&r, 3));
	block(&r, rig_seq(&r, 4), rig_seq(&r, 3), rig_seq(&r, 2));
	rig_expect_count(&r, FS_CTR_tcp_dsacks_in, 0);
	rig_expect_count(&r, FS_CTR_tcp_sacks_ignored, 4);
	assert_int_equal(r.c.undo_retrans, 1);
	rig_close(&r);
}

/* --- reordering --- */

/* A hole filled by a segment sent once: the path reorders, so far. */
static void tcp_check_reordering__distance(void **state)
{
	struct rig r;

	rig_open(&r, SACK);
	rig_warm(&r, 100000);
	rig_write(&r, 20);
	rig_send(&r, 20);
	rig_sack(&r, 0, { 1, 3 });
	assert_int_equal(r.c.reord_seen, 0);
	rig_ack(&r, 3);
	assert_int_equal(r.c.reord_seen, 1);
	assert_int_equal(r.c.reordering, 3);
	rig_expect_count(&r, FS_CTR_tcp_reordered, 1);
	/* Above a SACKed one: no reordering. */
	rig_sack(&r, 3, { 4, 5 }, { 8, 9 });
	assert_int_equal(r.c.reord_seen, 1);
	/* SACKed below one: 7 to 9 delivered before 5. */
	rig_sack(&r, 3, { 4, 6 }, { 8, 10 });
	assert_int_equal(r.c.reord_seen, 2);
	assert_int_equal(r.c.reordering, 4);
	rig_close(&r);
}

static void tcp_check_reordering__bounded(void **state)
{
	struct rig r;

	rig_open(&r, SACK);
	r.tcp.config.max_reordering = 10;
	rig_warm(&r, 100000);
	rig_write(&r, 30);
	rig_send(&r, 30);
	r.c.reord_seen = 1;
	rig_sack(&r, 0, { 1, 30 });
	rig_ack(&r, 30);
	assert_int_equal(r.c.reordering, 10);
	rig_close(&r);
}

/* --- everything together --- */

static uint32_t random32(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*state >> 33);
}

/* Random blocks and ACKs, against a board that is scanned each time. */
static void tcp_sack_input__random_against_a_plain_board(void **state)
{
	enum { N = 120, ROUNDS = 400 };

	for (uint64_t seed = 1; seed <= 40; seed++) {
		bool board[N] = { false };
		uint64_t random = seed;
		int una = 0;
		struct rig r;

		open_sent(&r, N);
		for (unsigned round = 0; round < ROUNDS && una < N; round++) {
			struct tcp_sack_block b[TCP_MAX_SACK];
			size_t n = 1 + random32(&random) % TCP_MAX_SACK;

			if (random32(&random) % 8 == 0) {
				una += (int)(random32(&random) % 3);
				una = FS_MIN(una, N);
			}
			for (size_t i = 0; i < n; i++) {
				int left = una + 1 + (int)(random32(&random) % N);
				int right = left + 1 + (int)(random32(&random) % (round % 3 == 0 ? 20 : 2));

				b[i] = (struct tcp_sack_block){ (uint32_t)left, (uint32_t)right };
				/* The first one within the second would be a D-SACK. */
				if (i == 1 && b[0].left >= b[1].left && b[0].right <= b[1].right)
					n = 1;
			}
			for (size_t i = 0; i < n; i++) {
				for (uint32_t s = b[i].left; s < b[i].right && b[i].right <= N; s++)
					board[s] = true;
			}
			rig_sack_blocks(&r, una, b, n);
			for (int s = una; s < N; s++)
				assert_int_equal(marks(&r)[s - una] == 'S', board[s]);
		}
		rig_close(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_sack_input__blocks_mark_segments),
		cmocka_unit_test(tcp_sack_input__runs),
		cmocka_unit_test(tcp_sack_input__part_of_a_segment_is_not_sacked),
		cmocka_unit_test(tcp_sack_input__malformed),
		cmocka_unit_test(tcp_sack_input__edges_all),
		cmocka_unit_test(tcp_sack_input__not_agreed_on),
		cmocka_unit_test(tcp_sack_input__old_ack),
		cmocka_unit_test(tcp_sack_input__sacked_data_are_kept),
		cmocka_unit_test(tcp_sack_input__reneging),
		cmocka_unit_test(tcp_sack_input__not_reneging_after_all),
		cmocka_unit_test(tcp_loss_on_rto__keeps_sacked),
		cmocka_unit_test(tcp_sack_input__dsack_below_the_ack),
		cmocka_unit_test(tcp_sack_input__dsack_within_a_block),
		cmocka_unit_test(tcp_sack_input__dsack_of_what_was_sent_once),
		cmocka_unit_test(tcp_sack_input__dsack_malformed),
		cmocka_unit_test(tcp_check_reordering__distance),
		cmocka_unit_test(tcp_check_reordering__bounded),
		cmocka_unit_test(tcp_sack_input__random_against_a_plain_board),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
