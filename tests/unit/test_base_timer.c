/* SPDX-License-Identifier: BSD-2-Clause */
/* Timer wheel, under a virtual clock, with a plain list of deadlines as the model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/timer.h"

enum { N = 64 };

static struct timer_wheel wheel;
static struct timer timer[N];
static uint32_t fired[N]; /* times each timer fired */
static uint32_t order[N], n_order;

static int setup(void **state)
{
	memset(&wheel, 0xa5, sizeof(wheel));
	timer_wheel_init(&wheel, 0);
	memset(fired, 0, sizeof(fired));
	n_order = 0;
	for (uint32_t i = 0; i < N; i++)
		timer_init(&timer[i], (uint16_t)i);
	return 0;
}

static void note(void *context, struct timer *t, fs_ns now)
{
	assert_false(timer_is_pending(t));
	assert_true(t->deadline <= now);
	fired[t->kind]++;
	if (n_order < N)
		order[n_order++] = t->kind;
}

static uint32_t advance(fs_ns now)
{
	return timer_wheel_advance(&wheel, now, note, NULL);
}

static void timer_wheel_next__empty_is_never(void **state)
{
	assert_true(timer_wheel_next(&wheel) == FS_NEVER);
	assert_int_equal(advance(FS_SEC(1)), 0);
	assert_true(timer_wheel_next(&wheel) == FS_NEVER);
}

static void timer_add__fires_exactly_at_its_deadline(void **state)
{
	static const fs_ns deadline[] = {
		1, 1023, 1024, 1025, 65535, 65536, FS_US(100), FS_MS(1), FS_MS(200), FS_SEC(1),
		FS_SEC(15), FS_SEC(7200), FS_SEC(86400) * 365 * 100, FS_NEVER - 1, FS_NEVER,
	};
	static const fs_ns start[] = { 0, 1, 1023, 1024, 65535, FS_US(123), FS_SEC(77777) + 13 };

	for (size_t s = 0; s < FS_ARRAY_SIZE(start); s++) {
		for (size_t i = 0; i < FS_ARRAY_SIZE(deadline); i++) {
			if (deadline[i] <= start[s])
				continue;
			timer_wheel_init(&wheel, start[s]);
			timer_add(&wheel, &timer[0], deadline[i]);
			assert_true(timer_wheel_next(&wheel) == deadline[i]);
			assert_int_equal(advance(deadline[i] - 1), 0);
			assert_true(timer_is_pending(&timer[0]));
			assert_true(timer_wheel_next(&wheel) == deadline[i]);
			assert_int_equal(advance(deadline[i]), 1);
			assert_int_equal(wheel.count, 0);
		}
	}
}

static void timer_add__the_past_fires_at_the_next_advance(void **state)
{
	advance(FS_SEC(10));
	timer_add(&wheel, &timer[0], FS_SEC(3));
	timer_add(&wheel, &timer[1], -5);
	assert_true(timer_wheel_next(&wheel) <= FS_SEC(10));
	assert_int_equal(advance(FS_SEC(10)), 2);
}

static void timer_add__moves_a_pending_timer(void **state)
{
	timer_add(&wheel, &timer[0], FS_SEC(1));
	timer_add(&wheel, &timer[0], FS_MS(5));
	assert_int_equal(wheel.count, 1);
	assert_true(timer_wheel_next(&wheel) == FS_MS(5));
	timer_add(&wheel, &timer[0], FS_SEC(2));
	assert_int_equal(advance(FS_SEC(2) - 1), 0);
	assert_int_equal(advance(FS_SEC(2)), 1);
	assert_int_equal(fired[0], 1);
}

static void timer_cancel__does_not_fire(void **state)
{
	timer_add(&wheel, &timer[0], FS_MS(1));
	timer_add(&wheel, &timer[1], FS_MS(1));
	timer_cancel(&wheel, &timer[0]);
	timer_cancel(&wheel, &timer[0]); /* not pending: nothing happens */
	assert_int_equal(wheel.count, 1);
	assert_int_equal(advance(FS_SEC(1)), 1);
	assert_int_equal(fired[0], 0);
	assert_int_equal(fired[1], 1);
}

static void timer_cancel__empties_the_slot(void **state)
{
	timer_add(&wheel, &timer[0], FS_MS(1));
	timer_cancel(&wheel, &timer[0]);
	assert_true(timer_wheel_next(&wheel) == FS_NEVER);
}

/* After the earliest of a slot is cancelled the wheel may wake early, but only once. */
static void timer_wheel_next__stale_only_once(void **state)
{
	timer_add(&wheel, &timer[0], FS_SEC(1) + 1);
	timer_add(&wheel, &timer[1], FS_SEC(1) + 500);
	timer_cancel(&wheel, &timer[0]);
	assert_true(timer_wheel_next(&wheel) <= FS_SEC(1) + 500);
	assert_int_equal(advance(timer_wheel_next(&wheel)), 0);
	assert_true(timer_wheel_next(&wheel) == FS_SEC(1) + 500);
}

static void timer_wheel_advance__in_order_when_followed(void **state)
{
	for (uint32_t i = 0; i < N; i++)
		timer_add(&wheel, &timer[i], FS_US(300) * ((i * 37) % N) + 1);
	while (timer_wheel_next(&wheel) != FS_NEVER)
		assert_int_equal(advance(timer_wheel_next(&wheel)), 1);
	for (uint32_t i = 1; i < N; i++)
		assert_true(timer[order[i - 1]].deadline < timer[order[i]].deadline);
}

/* What comes nearer moves to finer levels, or every advance would deal out all timers again. */
static void timer_wheel_advance__timers_come_down(void **state)
{
	timer_add(&wheel, &timer[0], FS_SEC(1));
	assert_true(wheel.occupied[0] == 0);
	advance(FS_SEC(1) - 1);
	assert_true(wheel.occupied[0] != 0);
	for (int level = 1; level < TIMER_LEVELS; level++)
		assert_true(wheel.occupied[level] == 0);
}

static void timer_wheel_advance__time_going_back_is_no_time(void **state)
{
	uint64_t tick;

	advance(FS_SEC(5));
	tick = wheel.tick;
	advance(FS_SEC(4));
	assert_true(wheel.tick == tick);
	timer_add(&wheel, &timer[0], FS_SEC(6));
	assert_int_equal(advance(FS_SEC(1)), 0);
	assert_int_equal(advance(FS_SEC(6)), 1);
}

static void rearm(void *context, struct timer *t, fs_ns now)
{
	note(context, t, now);
	timer_add(&wheel, t, now + *(const fs_ns *)context);
}

static void timer_wheel_advance__callback_may_rearm(void **state)
{
	fs_ns later = FS_MS(1), at_once = 0, long_ago = -FS_SEC(1);

	timer_add(&wheel, &timer[0], FS_MS(1));
	for (int i = 1; i <= 10; i++)
		assert_int_equal(timer_wheel_advance(&wheel, FS_MS(i), rearm, &later), 1);
	/* armed for now, or for the past: the next advance, not this one without end */
	assert_int_equal(timer_wheel_advance(&wheel, FS_MS(11), rearm, &at_once), 1);
	assert_int_equal(timer_wheel_advance(&wheel, FS_MS(11), rearm, &long_ago), 1);
	assert_int_equal(advance(FS_MS(11)), 1);
	assert_int_equal(wheel.count, 0);
}

static void cancel_all(void *context, struct timer *t, fs_ns now)
{
	note(context, t, now);
	for (uint32_t i = 0; i < N; i++)
		timer_cancel(&wheel, &timer[i]);
}

static void timer_wheel_advance__callback_may_cancel_others_due(void **state)
{
	for (uint32_t i = 0; i < N; i++)
		timer_add(&wheel, &timer[i], FS_MS(1) + i);
	assert_int_equal(timer_wheel_advance(&wheel, FS_SEC(1), cancel_all, NULL), 1);
	assert_int_equal(wheel.count, 0);
	assert_true(timer_wheel_next(&wheel) == FS_NEVER);
}

static uint64_t random_state;

static uint64_t random64(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* A delay with any number of digits, from a nanosecond to hours. */
static fs_ns random_delay(void)
{
	return (fs_ns)(random64() >> (20 + random64() % 44));
}

/* One random operation on the wheel and on the model: fs_ns per timer, FS_NEVER = not pending. */
static void random_step(fs_ns *model, fs_ns *now)
{
	uint32_t i = random64() % N, want = 0;
	fs_ns earliest = FS_NEVER, delay = random_delay(), next;

	switch (random64() % 4) {
	case 0:
	case 1:
		model[i] = *now + delay - (random64() % 8 == 0 ? FS_US(3) : 0);
		timer_add(&wheel, &timer[i], model[i]);
		break;
	case 2:
		model[i] = FS_NEVER;
		timer_cancel(&wheel, &timer[i]);
		break;
	default:
		*now += delay;
		memset(fired, 0, sizeof(fired));
		for (uint32_t k = 0; k < N; k++) {
			uint32_t is_due = model[k] <= *now;

			want += is_due;
			fired[k] -= is_due; /* a timer that fires counts back up to 0 */
			if (is_due)
				model[k] = FS_NEVER;
		}
		assert_int_equal(advance(*now), want);
		for (uint32_t k = 0; k < N; k++)
			assert_int_equal(fired[k], 0);
		assert_true(timer_wheel_next(&wheel) > *now);
	}
	for (uint32_t k = 0; k < N; k++)
		earliest = FS_MIN(earliest, model[k]);
	next = timer_wheel_next(&wheel);
	assert_true(next <= earliest);
	assert_int_equal(next == FS_NEVER, earliest == FS_NEVER);
}

static void timer_wheel__random_against_a_model(void **state)
{
	for (uint64_t seed = 1; seed <= 40; seed++) {
		fs_ns model[N], now = 0;

		setup(NULL);
		random_state = seed * 0x9e3779b97f4a7c15;
		for (uint32_t k = 0; k < N; k++)
			model[k] = FS_NEVER;
		for (int step = 0; step < 1500; step++)
			random_step(model, &now);
	}
}

#define T(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(timer_wheel_next__empty_is_never),
		T(timer_add__fires_exactly_at_its_deadline),
		T(timer_add__the_past_fires_at_the_next_advance),
		T(timer_add__moves_a_pending_timer),
		T(timer_cancel__does_not_fire),
		T(timer_cancel__empties_the_slot),
		T(timer_wheel_next__stale_only_once),
		T(timer_wheel_advance__in_order_when_followed),
		T(timer_wheel_advance__timers_come_down),
		T(timer_wheel_advance__time_going_back_is_no_time),
		T(timer_wheel_advance__callback_may_rearm),
		T(timer_wheel_advance__callback_may_cancel_others_due),
		T(timer_wheel__random_against_a_model),
	};

	return cmocka_run_group_tests_name("base_timer", tests, NULL, NULL);
}
