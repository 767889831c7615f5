/* SPDX-License-Identifier: BSD-2-Clause */
/* HyStart++ (RFC 9406), with rounds as a plain sequence of round trips. T9438-3. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tcp/hystart.h"

/* One round of @samples ACKs, each @rtt_us. True: slow start ended in it. */
static bool round_of(struct hystart *h, unsigned samples, int32_t rtt_us)
{
	bool over = false;

	for (unsigned i = 0; i < samples; i++)
		over |= hystart_ack(h, i == 0, rtt_us);
	return over;
}

static void hystart_ack__steady_round_trips_go_on(void **state)
{
	struct hystart h;

	hystart_init(&h);
	for (unsigned i = 0; i < 50; i++)
		assert_false(round_of(&h, 20, 20000));
	assert_false(h.css);
	assert_int_equal(hystart_growth(&h, 10), 10);
}

/* 4.2: eighth of the last round's, no less than 4 ms, no more than 16. */
static void hystart_ack__threshold(void **state)
{
	static const struct {
		int32_t before, threshold;
	} row[] = {
		{ 100, 4000 },   { 8000, 4000 },	  { 32000, 4000 },
		{ 64000, 8000 }, { 128000, 16000 }, { 400000, 16000 },
	};
	struct hystart h;

	for (unsigned i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		hystart_init(&h);
		round_of(&h, 8, row[i].before);
		round_of(&h, 8, row[i].before + row[i].threshold - 1);
		assert_false(h.css);
		hystart_init(&h);
		round_of(&h, 8, row[i].before);
		round_of(&h, 8, row[i].before + row[i].threshold);
		assert_true(h.css);
	}
}

/* A round's minimum counts, and only of eight samples. */
static void hystart_ack__one_slow_sample_is_nothing(void **state)
{
	struct hystart h;

	hystart_init(&h);
	round_of(&h, 8, 20000);
	assert_false(round_of(&h, 7, 40000));
	assert_false(h.css);
	assert_false(hystart_ack(&h, false, 20000));
	assert_false(h.css);
	round_of(&h, 7, 40000);
	assert_false(h.css);
}

static void hystart_ack__without_samples_nothing(void **state)
{
	struct hystart h;

	hystart_init(&h);
	round_of(&h, 8, 20000);
	assert_false(round_of(&h, 50, -1));
	assert_int_equal(h.samples, 0);
	round_of(&h, 8, 60000); /* the round before has no minimum */
	assert_false(h.css);
}

/* 4.2: in CSS a quarter, with nothing lost to rounding. */
static void hystart_growth__a_quarter_in_css(void **state)
{
	uint32_t grown = 0;
	struct hystart h;

	hystart_init(&h);
	round_of(&h, 8, 20000);
	round_of(&h, 8, 30000);
	assert_true(h.css);
	for (unsigned i = 0; i < 40; i++)
		grown += hystart_growth(&h, 1);
	assert_int_equal(grown, 10);
	assert_int_equal(hystart_growth(&h, 9), 2);
	assert_int_equal(hystart_growth(&h, 3), 1);
}

/* 4.2: five rounds of CSS, the partial first one among them; then never again. */
static void hystart_ack__css_ends_after_five_rounds(void **state)
{
	struct hystart h;

	hystart_init(&h);
	round_of(&h, 8, 20000);
	assert_false(round_of(&h, 8, 30000)); /* CSS begins in it: 1 */
	assert_true(h.css);
	for (unsigned i = 2; i <= 5; i++)
		assert_false(round_of(&h, 8, 30000));
	assert_true(hystart_ack(&h, true, 30000));
	assert_true(h.done);
	assert_false(hystart_ack(&h, true, 30000));
	assert_int_equal(hystart_growth(&h, 8), 8);
}

/* 4.2: the round trip falls below what began CSS: slow start resumes, and may end as before. */
static void hystart_ack__jitter_resumes_slow_start(void **state)
{
	struct hystart h;

	hystart_init(&h);
	round_of(&h, 8, 20000);
	round_of(&h, 8, 30000);
	assert_true(h.css);
	assert_false(round_of(&h, 8, 29999));
	assert_false(h.css);
	assert_int_equal(hystart_growth(&h, 8), 8);
	round_of(&h, 8, 29999);
	round_of(&h, 8, 34000);
	assert_true(h.css);
	assert_int_equal(h.css_rounds, 1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(hystart_ack__steady_round_trips_go_on),
		cmocka_unit_test(hystart_ack__threshold),
		cmocka_unit_test(hystart_ack__one_slow_sample_is_nothing),
		cmocka_unit_test(hystart_ack__without_samples_nothing),
		cmocka_unit_test(hystart_growth__a_quarter_in_css),
		cmocka_unit_test(hystart_ack__css_ends_after_five_rounds),
		cmocka_unit_test(hystart_ack__jitter_resumes_slow_start),
	};

	return cmocka_run_group_tests_name("tcp_hystart", tests, NULL, NULL);
}
