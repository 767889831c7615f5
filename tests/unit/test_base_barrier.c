/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory ordering that two threads can see. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>

#include "base/barrier.h"

enum { ROUNDS = 20000 };

/* One side of "set my flag, look at yours", far enough from the other's cache line. */
struct side {
	uint32_t flag __attribute__((aligned(128)));
	uint32_t arrived; /* rounds this side has begun */
	uint8_t saw[ROUNDS];
};

static struct side side[2];

static void meet(uint32_t mine, uint32_t round)
{
	uint32_t spins = 0;

	fs_store_release(&side[mine].arrived, round + 1);
	while (fs_load_acquire(&side[!mine].arrived) <= round) {
		fs_cpu_relax();
		if (++spins % 1000 == 0)
			sched_yield();
	}
}

static void *run_side(void *which)
{
	uint32_t mine = which == &side[1];

	for (uint32_t round = 0; round < ROUNDS; round++) {
		/* flags hold the number of the last round in which they were set */
		meet(mine, round);
		/* who was told last starts first; try every small difference between the two */
		for (volatile uint32_t wait = mine ? round % 61 : round / 61 % 61; wait > 0;)
			wait = wait - 1;
		fs_store_relaxed(&side[mine].flag, round + 1);
		fs_full_barrier();
		side[mine].saw[round] = fs_load_relaxed(&side[!mine].flag) > round;
	}
	return NULL;
}

/* Both may see the other, but never neither: or a sleeper and its waker could miss one another. */
static void fs_full_barrier__one_side_sees_the_other(void **state)
{
	pthread_t thread;

	memset(side, 0, sizeof(side));
	assert_int_equal(pthread_create(&thread, NULL, run_side, &side[1]), 0);
	run_side(&side[0]);
	assert_int_equal(pthread_join(thread, NULL), 0);
	for (uint32_t round = 0; round < ROUNDS; round++)
		assert_true(side[0].saw[round] || side[1].saw[round]);
}

static void fs_compare_exchange__stores_or_tells(void **state)
{
	uint32_t word = 5, expected = 4;

	assert_false(fs_compare_exchange(&word, &expected, 9));
	assert_int_equal(expected, 5);
	assert_int_equal(word, 5);
	assert_true(fs_compare_exchange(&word, &expected, 9));
	assert_int_equal(word, 9);
}

static void fs_fetch__former_value(void **state)
{
	uint32_t word = 5;

	assert_int_equal(fs_fetch_add(&word, 2), 5);
	assert_int_equal(fs_fetch_sub(&word, 1), 7);
	assert_int_equal(fs_fetch_or(&word, 8), 6);
	assert_int_equal(fs_fetch_and(&word, 12), 14);
	assert_int_equal(fs_exchange(&word, 1), 12);
	assert_int_equal(word, 1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(fs_full_barrier__one_side_sees_the_other),
		cmocka_unit_test(fs_compare_exchange__stores_or_tells),
		cmocka_unit_test(fs_fetch__former_value),
	};

	return cmocka_run_group_tests_name("base_barrier", tests, NULL, NULL);
}
