/* SPDX-License-Identifier: BSD-2-Clause */
/* How long threads poll before they sleep, alone and answering each other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"
#include "context/spin.h"

#define LIMIT FS_US(50)

/* One wait for something that comes after @event; a sleeper is @wake late. Returns how long it took. */
static fs_ns wait_for(struct spin *spin, fs_ns event, fs_ns wake, fs_ns *polled)
{
	fs_ns budget = spin_budget(spin, LIMIT);
	bool slept = event > budget;
	fs_ns waited = slept ? event + wake : event;

	*polled += FS_MIN(event, budget);
	spin_learn(spin, LIMIT, waited, slept);
	return waited;
}

static void spin_budget__is_whole_at_first(void **state)
{
	struct spin spin = { 0 };

	assert_int_equal(spin_budget(&spin, LIMIT), LIMIT);
	assert_int_equal(spin_budget(&spin, 0), 0);
}

static void spin_budget__shrinks_while_waits_are_long(void **state)
{
	struct spin spin = { 0 };
	fs_ns polled = 0;

	for (int i = 0; i < SPIN_PAUSE_MIN - 1; i++) {
		fs_ns before = spin_budget(&spin, LIMIT);

		wait_for(&spin, FS_MS(10), FS_US(80), &polled);
		assert_true(spin_budget(&spin, LIMIT) <= before);
	}
	assert_int_equal(spin_budget(&spin, LIMIT), LIMIT >> SPIN_HALVINGS);
}

static void spin_budget__returns_with_a_short_wait(void **state)
{
	struct spin spin = { 0 };
	fs_ns polled = 0;

	for (int i = 0; i < 5; i++)
		wait_for(&spin, FS_MS(10), FS_US(80), &polled);
	wait_for(&spin, 100, FS_US(20), &polled);
	assert_int_equal(spin_budget(&spin, LIMIT), LIMIT);
}

/* Who waits for seconds polls next to nothing of it: an idle receiver costs nothing. */
static void spin_learn__rare_events_cost_little(void **state)
{
	struct spin spin = { 0 };
	fs_ns polled = 0;

	for (int i = 0; i < 10000; i++)
		wait_for(&spin, FS_MS(1), FS_US(80), &polled);
	assert_true(polled / 10000 < FS_US(2));
}

/* A peer that is slow by itself, within reach of a round: most waits are not polled through. */
static void spin_learn__a_slow_peer_is_given_up(void **state)
{
	struct spin spin = { 0 };
	fs_ns polled = 0;

	for (int i = 0; i < 100000; i++)
		wait_for(&spin, FS_US(150), FS_US(80), &polled);
	assert_true(polled / 100000 < FS_US(10));
}

/* What has become slow for a while finds back: pauses do not add up for ever. */
static void spin_learn__a_short_wait_forgets_the_past(void **state)
{
	struct spin spin = { 0 };
	fs_ns polled = 0;

	for (int i = 0; i < 100000; i++)
		wait_for(&spin, FS_US(150), FS_US(80), &polled);
	wait_for(&spin, FS_US(1), 0, &polled);
	assert_int_equal(spin.pause, 0);
}

/*
 * Two threads that answer at once, both asleep: each one's wait is the other's answer, delayed by the
 * waking up of whoever slept. @lead of them has waited @ahead times before.
 */
static int rounds_until_both_poll(unsigned ahead, fs_ns wake)
{
	struct spin client = { .misses = 9 }, server = { .misses = 9 };
	fs_ns polled = 0, server_slept = wake;

	for (unsigned i = 0; i < ahead; i++)
		wait_for(&server, FS_MS(1), wake, &polled);
	for (int i = 0; i < 4096; i++) {
		/* The request finds the server asleep or polling; its answer comes so much later. */
		fs_ns client_slept = wait_for(&client, FS_US(2) + server_slept, wake, &polled) -
				     FS_US(2) - server_slept;
		fs_ns waited = wait_for(&server, FS_US(2) + client_slept, wake, &polled);

		server_slept = waited - FS_US(2) - client_slept;
		if (server_slept == 0 && client_slept == 0 && client.misses == 0 && server.misses == 0 &&
		    client.round == 0 && server.round == 0)
			return i;
	}
	return -1;
}

static void spin_learn__two_sleepers_find_each_other(void **state)
{
	for (unsigned ahead = 0; ahead < 2 * SPIN_PAUSE_MIN + SPIN_ROUND; ahead++) {
		int rounds = rounds_until_both_poll(ahead, FS_US(80));

		assert_in_range(rounds, 0, 512);
	}
}

/* Who is waited for has this thread's processor, and can answer only while it sleeps. */
static void spin_learn__polling_that_is_in_the_way(void **state)
{
	struct spin spin = { 0 };
	fs_ns polled = 0;

	for (int i = 0; i < 10000; i++) {
		fs_ns budget = spin_budget(&spin, LIMIT);

		polled += budget;
		spin_learn(&spin, LIMIT, budget + FS_US(10), true);
	}
	assert_true(polled < 10000 * FS_US(4));
	/* Once it has a processor of its own, polling does again, in a round at the latest. */
	for (int i = 0; i < SPIN_PAUSE_MAX + SPIN_ROUND; i++)
		wait_for(&spin, FS_US(3), FS_US(20), &polled);
	assert_int_equal(spin_budget(&spin, LIMIT), LIMIT);
}

/* One turn that came late may be anything; a rival comes back at once. */
static void rival_met__again_and_again(void **state)
{
	struct rival rival = { 0 };
	fs_ns now = FS_SEC(5), polled = 0;

	rival_met(&rival, now);
	assert_false(rival_is_there(&rival, now));
	for (fs_ns begun = now; now - begun < FS_SEC(60); now += FS_MS(4)) {
		if (rival_is_there(&rival, now))
			continue;
		polled += FS_MS(4);
		rival_met(&rival, now);
	}
	assert_true(rival_is_there(&rival, now));
	assert_true(polled < FS_MS(200));
}

static void rival_met__now_and_then(void **state)
{
	struct rival rival = { 0 };

	for (fs_ns now = FS_SEC(5); now < FS_SEC(60); now += FS_MS(500)) {
		rival_met(&rival, now);
		assert_false(rival_is_there(&rival, now));
	}
}

static void rival_met__goes_away(void **state)
{
	struct rival rival = { 0 };
	fs_ns now = FS_SEC(5);

	for (int i = 0; i < 20; i++) {
		rival_met(&rival, now);
		now = rival.until + FS_MS(1);
	}
	assert_true(rival.until - now < RIVAL_PAUSE_NS << RIVAL_DOUBLINGS);
	now = rival.until + RIVAL_SOON_NS + FS_MS(1);
	rival_met(&rival, now);
	assert_false(rival_is_there(&rival, now));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(spin_budget__is_whole_at_first),
		cmocka_unit_test(spin_budget__shrinks_while_waits_are_long),
		cmocka_unit_test(spin_budget__returns_with_a_short_wait),
		cmocka_unit_test(spin_learn__rare_events_cost_little),
		cmocka_unit_test(spin_learn__a_slow_peer_is_given_up),
		cmocka_unit_test(spin_learn__a_short_wait_forgets_the_past),
		cmocka_unit_test(spin_learn__two_sleepers_find_each_other),
		cmocka_unit_test(spin_learn__polling_that_is_in_the_way),
		cmocka_unit_test(rival_met__again_and_again),
		cmocka_unit_test(rival_met__now_and_then),
		cmocka_unit_test(rival_met__goes_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
