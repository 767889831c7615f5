/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_tcp_cc.c - the table of congestion controls, what they share, and the two simple ones.
 *
 * The plug point: an algorithm of the tests' own joins by its file and one line (fixed_cc/). cc.c is compiled
 * here once more with the longer list; nothing of it is changed.
 */
#include <errno.h>

#include "cc_rig.h"

#define TCP_CC_DEF "../../tests/unit/fixed_cc/cc.def" /* as seen from cc.c */
#include "tcp/cc.c"
#include "fixed_cc/cc_fixed.c"

#define CC(name) +1
enum {
	ALGORITHMS_OF_PRODUCT = 0
#include "tcp/cc.def"
	,
};
#undef CC

static void cc_def__one_line_adds_one(void **state)
{
	struct tcp_cc cc;

	assert_int_equal(tcp_cc_count(), ALGORITHMS_OF_PRODUCT + 1);
	assert_ptr_equal(tcp_cc_at(ALGORITHMS_OF_PRODUCT), &tcp_cc_fixed);
	assert_null(tcp_cc_at(ALGORITHMS_OF_PRODUCT + 1));
	cc_rig_begin(&cc, "fixed", 10, TCP_SSTHRESH_NONE, 0);
	assert_int_equal(cc.cwnd, 5);
}

/* Linux's names; the default first. */
static void tcp_cc_by_name__names_of_linux(void **state)
{
	static const char *const name[] = { "cubic", "reno", "bbr", "dctcp", "none" };

	for (unsigned i = 0; i < FS_ARRAY_SIZE(name); i++) {
		assert_int_equal(tcp_cc_by_name(name[i], strlen(name[i])), i);
		assert_string_equal(tcp_cc_at(i)->name, name[i]);
	}
}

static void tcp_cc_by_name__with_and_without_nul(void **state)
{
	assert_int_equal(tcp_cc_by_name("reno", 4), 1);
	assert_int_equal(tcp_cc_by_name("reno", 5), 1);
	assert_int_equal(tcp_cc_by_name("reno\0\0\0\0\0\0\0\0\0\0\0", 16), 1);
	assert_int_equal(tcp_cc_by_name("renown", 4), 1);
}

static void tcp_cc_by_name__unknown_is_enoent(void **state)
{
	assert_int_equal(tcp_cc_by_name("ren", 3), -ENOENT);
	assert_int_equal(tcp_cc_by_name("reno", 3), -ENOENT);
	assert_int_equal(tcp_cc_by_name("renown", 6), -ENOENT);
	assert_int_equal(tcp_cc_by_name("", 0), -ENOENT);
	assert_int_equal(tcp_cc_by_name("", 1), -ENOENT);
	assert_int_equal(tcp_cc_by_name("vegas", 5), -ENOENT);
}

/* The window is the connection's, not the algorithm's: it stays. */
static void tcp_cc_set__keeps_the_window(void **state)
{
	struct tcp_cc cc;

	cc_rig_begin(&cc, "reno", 40, 20, 0);
	cc.cwnd_count = 7;
	cc.private[0] = 99;
	tcp_cc_set(&cc, (unsigned)tcp_cc_by_name("fixed", 5), 0);
	assert_int_equal(cc.private[0], 0);
	assert_int_equal(cc.cwnd_count, 0);
	tcp_cc_set(&cc, (unsigned)tcp_cc_by_name("reno", 4), 0);
	assert_int_equal(cc.ssthresh, 20);
}

/* T6928-1 */
static void tcp_cc_initial_window__fewer_large_segments(void **state)
{
	assert_int_equal(tcp_cc_initial_window(10, 536), 10);
	assert_int_equal(tcp_cc_initial_window(10, 1448), 10);
	assert_int_equal(tcp_cc_initial_window(10, 1460), 10);
	assert_int_equal(tcp_cc_initial_window(10, 2190), 6);
	assert_int_equal(tcp_cc_initial_window(10, 8948), 2);
	assert_int_equal(tcp_cc_initial_window(10, 65483), 2);
	assert_int_equal(tcp_cc_initial_window(3, 536), 3);
	assert_int_equal(tcp_cc_initial_window(1, 8948), 1);
	assert_int_equal(tcp_cc_initial_window(100, 1000), 100);
	assert_int_equal(tcp_cc_initial_window(100, 2920), 50);
}

static void tcp_cc_slow_start__stops_at_ssthresh(void **state)
{
	struct tcp_cc cc;

	cc_rig_begin(&cc, "reno", 10, 15, 0);
	assert_int_equal(tcp_cc_slow_start(&cc, 3), 0);
	assert_int_equal(cc.cwnd, 13);
	assert_int_equal(tcp_cc_slow_start(&cc, 5), 3);
	assert_int_equal(cc.cwnd, 15);
	assert_int_equal(tcp_cc_slow_start(&cc, 5), 5);
	assert_int_equal(cc.cwnd, 15);
}

/* The deviation from RFC 5681 3.1 and RFC 9406's L. */
static void tcp_cc_slow_start__stretch_ack(void **state)
{
	struct tcp_cc cc;

	cc_rig_begin(&cc, "reno", 50, TCP_SSTHRESH_NONE, 0);
	assert_int_equal(tcp_cc_slow_start(&cc, 44), 0);
	assert_int_equal(cc.cwnd, 94);
}

static void tcp_cc_slow_start__never_above_the_clamp(void **state)
{
	struct tcp_cc cc;

	cc_rig_begin(&cc, "reno", 10, TCP_SSTHRESH_NONE, 0);
	cc.clamp = 12;
	tcp_cc_slow_start(&cc, 10);
	assert_int_equal(cc.cwnd, 12);
	cc.clamp = TCP_CWND_MAX;
	tcp_cc_slow_start(&cc, UINT32_MAX);
	assert_int_equal(cc.cwnd, TCP_CWND_MAX);
}

/* T5681-1: one segment more when a window of them was acked, however the ACKs came. */
static void tcp_cc_avoid__one_more_per_window(void **state)
{
	struct tcp_cc cc;

	cc_rig_begin(&cc, "reno", 10, 10, 0);
	for (unsigned i = 0; i < 9; i++)
		tcp_cc_avoid(&cc, cc.cwnd, 1);
	assert_int_equal(cc.cwnd, 10);
	tcp_cc_avoid(&cc, cc.cwnd, 1);
	assert_int_equal(cc.cwnd, 11);
	tcp_cc_avoid(&cc, cc.cwnd, 11);
	assert_int_equal(cc.cwnd, 12);
	tcp_cc_avoid(&cc, cc.cwnd, 30);
	assert_int_equal(cc.cwnd, 14);
	assert_int_equal(cc.cwnd_count, 6);
}

/* After the window fell what had been counted is worth one segment, not many. */
static void tcp_cc_avoid__lower_divisor_is_one_step(void **state)
{
	struct tcp_cc cc;

	cc_rig_begin(&cc, "reno", 100, 100, 0);
	tcp_cc_avoid(&cc, 100, 90);
	cc.cwnd = 10;
	tcp_cc_avoid(&cc, 10, 1);
	assert_int_equal(cc.cwnd, 11);
	assert_int_equal(cc.cwnd_count, 1);
}

static void tcp_cc_avoid__never_above_the_clamp(void **state)
{
	struct tcp_cc cc;

	cc_rig_begin(&cc, "reno", 10, 10, 0);
	cc.clamp = 10;
	tcp_cc_avoid(&cc, 10, 50);
	assert_int_equal(cc.cwnd, 10);
}

/* --- reno --- */

/* T5681-1: what slow start leaves over goes on in avoidance. */
static void newreno_acked__slow_start_then_avoidance(void **state)
{
	struct tcp_cc cc;

	cc_rig_begin(&cc, "reno", 10, 16, 0);
	cc_rig_count(&cc, 10, 0);
	assert_int_equal(cc.cwnd, 16);
	assert_int_equal(cc.cwnd_count, 4);
	cc_rig_count(&cc, 12, 0);
	assert_int_equal(cc.cwnd, 17);
}

static void newreno_acked__unused_window_stays(void **state)
{
	struct tcp_cc_ack ack = cc_rig_ack(5, 0);
	struct tcp_cc cc;

	cc_rig_begin(&cc, "reno", 10, TCP_SSTHRESH_NONE, 0);
	ack.cwnd_limited = false;
	cc_rig_acked(&cc, &ack);
	assert_int_equal(cc.cwnd, 10);
}

/* T5681-1: equation 4. */
static void newreno_ssthresh__half_and_two_at_least(void **state)
{
	struct tcp_cc cc;

	cc_rig_begin(&cc, "reno", 21, TCP_SSTHRESH_NONE, 0);
	assert_int_equal(cc_rig_ops(&cc)->ssthresh(&cc, 0), 10);
	cc.cwnd = 3;
	assert_int_equal(cc_rig_ops(&cc)->ssthresh(&cc, 0), 2);
	cc.cwnd = 1;
	assert_int_equal(cc_rig_ops(&cc)->ssthresh(&cc, 0), 2);
}

/* --- none --- */

static void none__window_is_the_clamp_always(void **state)
{
	struct tcp_cc cc;

	cc_rig_begin(&cc, "none", 10, TCP_SSTHRESH_NONE, 0);
	assert_int_equal(cc.cwnd, TCP_CWND_MAX);
	assert_int_equal(cc_rig_ops(&cc)->ssthresh(&cc, 0), TCP_SSTHRESH_NONE);
	cc.cwnd = 1; /* a timeout of recovery's, if it did not know better */
	cc.clamp = 300;
	cc_rig_count(&cc, 1, 0);
	assert_int_equal(cc.cwnd, 300);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(cc_def__one_line_adds_one),
		cmocka_unit_test(tcp_cc_by_name__names_of_linux),
		cmocka_unit_test(tcp_cc_by_name__with_and_without_nul),
		cmocka_unit_test(tcp_cc_by_name__unknown_is_enoent),
		cmocka_unit_test(tcp_cc_set__keeps_the_window),
		cmocka_unit_test(tcp_cc_initial_window__fewer_large_segments),
		cmocka_unit_test(tcp_cc_slow_start__stops_at_ssthresh),
		cmocka_unit_test(tcp_cc_slow_start__stretch_ack),
		cmocka_unit_test(tcp_cc_slow_start__never_above_the_clamp),
		cmocka_unit_test(tcp_cc_avoid__one_more_per_window),
		cmocka_unit_test(tcp_cc_avoid__lower_divisor_is_one_step),
		cmocka_unit_test(tcp_cc_avoid__never_above_the_clamp),
		cmocka_unit_test(newreno_acked__slow_start_then_avoidance),
		cmocka_unit_test(newreno_acked__unused_window_stays),
		cmocka_unit_test(newreno_ssthresh__half_and_two_at_least),
		cmocka_unit_test(none__window_is_the_clamp_always),
	};

	return cmocka_run_group_tests_name("tcp_cc", tests, NULL, NULL);
}
