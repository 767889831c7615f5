/* SPDX-License-Identifier: BSD-2-Clause */
/* The kernel's clock by counter. Real time runs on: tests bound it from both sides. */
#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdbool.h>

#include "host/clock.h"

/* Busy until the kernel's clock has gone on by @ns. */
static void pass(fs_ns ns)
{
	fs_ns end = host_clock_kernel() + ns;

	while (host_clock_kernel() < end)
		continue;
}

static bool shows_the_kernels_time(const struct host_clock *clock)
{
	fs_ns before = host_clock_kernel(), now = host_clock_now(clock);

	return now > before - FS_US(200) && now < host_clock_kernel() + FS_US(200);
}

static void host_clock_kernel__goes_forward(void **state)
{
	fs_ns before = host_clock_kernel();

	assert_true(before > 0);
	assert_true(host_clock_kernel() >= before);
}

static void host_clock_init__begins_at_the_kernels_time(void **state)
{
	struct host_clock clock = { .serial = 77 };
	fs_ns before = host_clock_kernel(), now;

	host_clock_init(&clock);
	assert_int_equal(clock.serial, 0);
	now = host_clock_now(&clock);
	assert_true(now >= before);
	/* The first rate is a guess; it must be right within a factor of two or so. */
	assert_true(now - before < FS_SEC(1));
}

static void host_clock_now__guess_is_good_for_a_millisecond(void **state)
{
	struct host_clock clock;

	host_clock_init(&clock);
	if (clock.mult == 0)
		skip();
	clock.mult /= 2; /* far from right wherever this runs */
	pass(FS_MS(20));
	assert_true(shows_the_kernels_time(&clock));
	clock.ns0 -= FS_SEC(20); /* nobody synced in time, so that the rate stays a guess */
	clock.ticks0 -= clock.trust * 40000;
	host_clock_sync(&clock);
	assert_true(host_clock_guesses(&clock));
	pass(FS_MS(20));
	assert_true(shows_the_kernels_time(&clock));
	host_clock_sync(&clock);
	assert_false(host_clock_guesses(&clock));
}

static void host_clock_sync__follows_the_kernel(void **state)
{
	struct host_clock clock;
	fs_ns before, now, after;

	host_clock_init(&clock);
	if (clock.mult == 0)
		skip(); /* no usable counter on this machine: the kernel is asked */
	pass(FS_MS(5));
	host_clock_sync(&clock);
	assert_int_equal(clock.serial % 2, 0);
	pass(FS_MS(5));
	host_clock_sync(&clock); /* now the rate is known from 5 ms */
	pass(FS_MS(2));
	before = host_clock_kernel();
	now = host_clock_now(&clock);
	after = host_clock_kernel();
	assert_true(now > before - FS_US(200));
	assert_true(now < after + FS_US(200));
}

static void host_clock_sync__too_early_changes_nothing(void **state)
{
	struct host_clock clock, copy;

	memset(&clock, 0, sizeof(clock)); /* padding is compared too */
	host_clock_init(&clock);
	copy = clock;
	clock.ns0 = copy.ns0 = host_clock_kernel() + FS_SEC(1); /* an anchor that is not 1 ms old */
	host_clock_sync(&clock);
	assert_memory_equal(&clock, &copy, sizeof(clock));
}

/* A clock whose rate is known. */
static struct host_clock known(void)
{
	struct host_clock clock;

	host_clock_init(&clock);
	if (clock.mult == 0)
		skip();
	pass(FS_MS(5));
	host_clock_sync(&clock);
	return clock;
}

/* After a sync(), with the rate that it had. */
static void assert_mended(struct host_clock *clock)
{
	uint64_t mult = clock->mult;

	pass(FS_MS(2));
	host_clock_sync(clock);
	assert_int_equal(clock->mult, mult);
	assert_true(host_ticks() - clock->ticks0 < clock->trust);
	assert_true(shows_the_kernels_time(clock));
}

static void host_clock_now__counter_began_anew_in_sleep(void **state)
{
	struct host_clock clock = known();

	clock.ticks0 = host_ticks() + clock.trust * 3600; /* what it was before the machine slept */
	assert_true(shows_the_kernels_time(&clock));
	assert_mended(&clock);
}

static void host_clock_now__counter_went_on_in_sleep(void **state)
{
	struct host_clock clock = known();

	clock.ticks0 = host_ticks() - clock.trust * 3600; /* an hour, of which the kernel's clock knows nothing */
	assert_true(shows_the_kernels_time(&clock));
	assert_mended(&clock);
}

static void host_clock_now__anchor_of_a_program_that_was_idle(void **state)
{
	struct host_clock clock = known();

	clock.ns0 -= FS_SEC(20);
	clock.ticks0 -= clock.trust * 20;
	assert_true(shows_the_kernels_time(&clock));
	assert_mended(&clock);
}

/* Of no rate that could be told from it. */
static void host_clock_sync__counter_that_stands_still(void **state)
{
	struct host_clock clock = known();
	uint64_t mult = clock.mult;

	clock.ns0 -= FS_SEC(1);
	clock.ticks0 = UINT64_MAX;
	host_clock_sync(&clock);
	assert_int_equal(clock.mult, mult);
}

static void host_clock_now__without_a_counter(void **state)
{
	struct host_clock clock = { .mult = 0 };
	fs_ns before = host_clock_kernel(), now = host_clock_now(&clock);

	assert_true(now >= before && now <= host_clock_kernel());
	host_clock_sync(&clock);
	assert_int_equal(clock.mult, 0);
	assert_int_equal(clock.ns0, 0);
}

static void host_clock_now__fixed_point(void **state)
{
	struct host_clock clock = { .mult = 1ULL << 31, .ns0 = 1000, .trust = UINT64_MAX }; /* half a ns per tick */
	uint64_t ticks = host_ticks();

	clock.ticks0 = ticks - 2000000000000ULL; /* far more than 32 bits of ticks */
	assert_true(host_clock_now(&clock) >= 1000 + 1000000000000LL);
	assert_true(host_clock_now(&clock) < 1000 + 1000000000000LL + FS_SEC(100));
}

/* --- others read while it is anchored anew --- */

struct shared {
	struct host_clock clock;
	bool stop; /* atomic */
	bool bad;
};

static void *read_it(void *arg)
{
	struct shared *s = arg;

	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
		fs_ns now = host_clock_now(&s->clock);
		fs_ns real = host_clock_kernel();

		if (now > real + FS_SEC(1) || now < real - FS_SEC(1))
			s->bad = true;
	}
	return NULL;
}

static void host_clock_now__while_another_thread_syncs(void **state)
{
	struct shared s = { .stop = false };
	pthread_t reader;

	host_clock_init(&s.clock);
	pass(FS_MS(2));
	host_clock_sync(&s.clock);
	assert_int_equal(pthread_create(&reader, NULL, read_it, &s), 0);
	for (int i = 0; i < 20; i++) {
		pass(FS_MS(1) + FS_US(10));
		host_clock_sync(&s.clock);
	}
	__atomic_store_n(&s.stop, true, __ATOMIC_RELAXED);
	pthread_join(reader, NULL);
	assert_false(s.bad);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(host_clock_kernel__goes_forward),
		cmocka_unit_test(host_clock_init__begins_at_the_kernels_time),
		cmocka_unit_test(host_clock_now__guess_is_good_for_a_millisecond),
		cmocka_unit_test(host_clock_sync__follows_the_kernel),
		cmocka_unit_test(host_clock_sync__too_early_changes_nothing),
		cmocka_unit_test(host_clock_now__counter_began_anew_in_sleep),
		cmocka_unit_test(host_clock_now__counter_went_on_in_sleep),
		cmocka_unit_test(host_clock_now__anchor_of_a_program_that_was_idle),
		cmocka_unit_test(host_clock_sync__counter_that_stands_still),
		cmocka_unit_test(host_clock_now__without_a_counter),
		cmocka_unit_test(host_clock_now__fixed_point),
		cmocka_unit_test(host_clock_now__while_another_thread_syncs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
