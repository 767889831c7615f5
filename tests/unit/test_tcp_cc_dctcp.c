/* SPDX-License-Identifier: BSD-2-Clause */
/* DCTCP (RFC 8257): the estimate of marked segments, and what it does to the window. */
#include "cc_rig.h"

/* The first word of the algorithm's state; in units of 2^-20. */
static uint32_t alpha(const struct tcp_cc *cc)
{
	return (uint32_t)cc->private[0];
}

/* A round of @acks ACKs of one segment, of which @marked came with ECE. It is judged when the next begins. */
static void round_of(struct tcp_cc *cc, uint32_t acks, uint32_t marked)
{
	for (uint32_t i = 0; i < acks; i++) {
		struct tcp_cc_ack ack = cc_rig_ack(1, 0);

		ack.round_start = i == 0;
		ack.ece = i < marked;
		ack.cwnd_limited = false;
		cc_rig_acked(cc, &ack);
	}
}

/* 3.3: alpha begins at 1 and loses a sixteenth each round without marks, down to nothing. */
static void dctcp_observe__without_marks_alpha_fades(void **state)
{
	struct tcp_cc cc;

	cc_rig_begin(&cc, "dctcp", 100, 100, 0);
	assert_int_equal(alpha(&cc), 1 << 20);
	round_of(&cc, 10, 0);
	assert_int_equal(alpha(&cc), 983040); /* 15/16 */
	round_of(&cc, 10, 0);
	assert_int_equal(alpha(&cc), 921600); /* (15/16)^2 */
	for (unsigned i = 0; i < 1000; i++)
		round_of(&cc, 10, 0);
	assert_int_equal(alpha(&cc), 0);
}

/* 3.3, equations 8 and 9: alpha = 15/16 alpha + M / 16, which settles at M. */
static void dctcp_observe__alpha_settles_at_the_share(void **state)
{
	struct tcp_cc cc;

	cc_rig_begin(&cc, "dctcp", 100, 100, 0);
	round_of(&cc, 10, 3); /* ends the empty round before: 15/16 */
	round_of(&cc, 10, 3);
	assert_int_equal(alpha(&cc), 921600 + 314572 / 16);
	for (unsigned i = 0; i < 300; i++)
		round_of(&cc, 10, 3);
	assert_in_range(alpha(&cc), 314572 - 32, 314572); /* 0.3 */
	for (unsigned i = 0; i < 300; i++)
		round_of(&cc, 10, 10);
	assert_in_range(alpha(&cc), (1 << 20) - 32, 1 << 20);
}

/* Equation 10. */
static void dctcp_ssthresh__cut_by_half_of_alpha(void **state)
{
	struct tcp_cc cc;

	cc_rig_begin(&cc, "dctcp", 100, 100, 0);
	assert_int_equal(cc_rig_ops(&cc)->ssthresh(&cc, 0), 50); /* alpha is 1: as RFC 3168 */
	for (unsigned i = 0; i < 300; i++)
		round_of(&cc, 10, 1);
	assert_int_equal(cc_rig_ops(&cc)->ssthresh(&cc, 0), 96); /* 100 - 4.99 rounded down */
	cc.cwnd = 2;
	assert_int_equal(cc_rig_ops(&cc)->ssthresh(&cc, 0), 2);
}

/* 3.5: a loss is answered as RFC 5681 does, whatever the marks. */
static void dctcp_state__loss_halves(void **state)
{
	struct tcp_cc cc;

	cc_rig_begin(&cc, "dctcp", 100, 100, 0);
	for (unsigned i = 0; i < 300; i++)
		round_of(&cc, 10, 0);
	cc_rig_reduce(&cc, TCP_CA_CWR, 0);
	assert_int_equal(cc.cwnd, 100);
	cc_rig_recover(&cc, 0);
	cc_rig_reduce(&cc, TCP_CA_RECOVERY, 0);
	assert_int_equal(cc.cwnd, 50);
	cc_rig_recover(&cc, 0);
	cc_rig_reduce(&cc, TCP_CA_LOSS, 0);
	assert_int_equal(cc.ssthresh, 25);
}

/* Half of the window before the first reduction, not of what that left. */
static void dctcp_state__marks_then_loss_is_one_half(void **state)
{
	struct tcp_cc cc;

	cc_rig_begin(&cc, "dctcp", 100, 100, 0);
	cc_rig_reduce(&cc, TCP_CA_CWR, 0);
	assert_int_equal(cc.cwnd, 50);
	cc_rig_ops(&cc)->state(&cc, TCP_CA_RECOVERY, 0);
	assert_int_equal(cc.ssthresh, 50);
}

static void dctcp_acked__grows_as_reno(void **state)
{
	struct tcp_cc cc;

	cc_rig_begin(&cc, "dctcp", 10, 12, 0);
	cc_rig_count(&cc, 2, 0);
	assert_int_equal(cc.cwnd, 12);
	cc_rig_count(&cc, 12, 0);
	assert_int_equal(cc.cwnd, 13);
}

static void dctcp__asks_for_ecn(void **state)
{
	struct tcp_cc cc;

	cc_rig_begin(&cc, "dctcp", 10, 12, 0);
	assert_true(cc_rig_ops(&cc)->wants_ecn);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(dctcp_observe__without_marks_alpha_fades),
		cmocka_unit_test(dctcp_observe__alpha_settles_at_the_share),
		cmocka_unit_test(dctcp_ssthresh__cut_by_half_of_alpha),
		cmocka_unit_test(dctcp_state__loss_halves),
		cmocka_unit_test(dctcp_state__marks_then_loss_is_one_half),
		cmocka_unit_test(dctcp_acked__grows_as_reno),
		cmocka_unit_test(dctcp__asks_for_ecn),
	};

	return cmocka_run_group_tests_name("tcp_cc_dctcp", tests, NULL, NULL);
}
