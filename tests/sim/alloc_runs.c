/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * alloc_runs.c - every allocation of a fixed run fails in its turn: alone, and with those behind it.
 *
 * Whatever fails, what arrives must be right, the run must come to an end, and all memory must be back: service may
 * be worse. Each run is a world of its own within this one.
 */
#include <stdio.h>

#include "base/err.h"
#include "check.h"
#include "scenario.h"

enum { FLOWS = 6, WITHIN_S = 2000 };

/* Small, but with a bit of everything that allocates: both directions, reading in place, urgent bytes, resets, a second
 * address family, out-of-order data, copies for retransmission. */
static const struct sim_plan plans[FLOWS][2] = {
	{ { .send = 9000 }, { .send = 9000 } },
	{ { .send = 4000, .in_place = true }, { .send = 12000, .write_max = 700 } },
	{ { .send = 3000, .urgent_every = 500 }, { .send = 10, .ending = SIM_END_PASSIVE } },
	{ { .send = 20000, .ending = SIM_END_CLOSE }, { .send = 0 } },
	{ { .send = 1000 }, { .send = 5000, .ending = SIM_END_ABORT, .abort_after = 2500 } },
	{ { .send = 5000, .write_max = 64 }, { .send = 5000, .read_max = 1000, .pause_after = 2000, .pause_for = FS_MS(700) } },
};

static void fill(struct sim_world *w)
{
	const struct fault_config config = { .delay = FS_MS(3), .rate_bps = 20000000, .queue_bytes = 30000, .loss = 20000,
					     .reorder = 30000, .reorder_by = FS_MS(2) };
	struct sim_host_config host = { .pinned = 256, .payload = 128, .low_water = 40 };
	struct sim_pair pair;

	sim_pair_create(w, &pair, &host, &host, &config);
	pair.link->fault.hold = FS_MS(20); /* so that retransmissions are copied */
	pair.play->starved = w->alloc.first > 0;
	for (unsigned i = 0; i < FLOWS; i++)
		sim_play_flow(pair.play, pair.client, pair.server, SIM_PORT, plans[i], w->now + FS_MS(1 + i));
	sim_check_watch(pair.play);
	sim_pair_finish(&pair, FS_SEC(WITHIN_S));
}

struct run {
	uint64_t first, count; /* which allocations fail */
	uint64_t seen, failed;
};

static void body(struct sim_world *w, void *argument)
{
	struct run *run = argument;

	w->alloc.first = run->first;
	w->alloc.count = run->count;
	fill(w);
	run->seen = w->alloc.seen;
	run->failed = w->alloc.failed;
}

/* A run in a world of its own. Returns how many allocations it made. */
static uint64_t run_once(struct sim_world *outer, uint64_t first, uint64_t count, uint64_t *failed)
{
	struct run run = { .first = first, .count = count };
	char what[80];

	snprintf(what, sizeof(what), "allocation %llu and %llu behind it", (unsigned long long)first,
		 (unsigned long long)count - 1);
	sim_world_within(outer, outer->seed, what, body, &run);
	*failed += run.failed;
	return run.seen;
}

void sim_scenario_alloc(struct sim_world *w, const struct sim_scenario_args *args)
{
	static const uint64_t counts[] = { 1, 8 };
	uint64_t failed = 0, total = run_once(w, 0, 0, &failed), step = args->scale >= 100 ? 1 : 100 / args->scale;

	for (unsigned i = 0; i < FS_ARRAY_SIZE(counts); i++)
		for (uint64_t k = 1; k <= total; k += step * (i ? 4 : 1))
			run_once(w, k, counts[i], &failed);
	SIM_CHECK(w, failed >= total / step, "%llu failures for %llu allocations", (unsigned long long)failed,
		  (unsigned long long)total);
	printf("%llu allocations, %llu failures\n", (unsigned long long)total, (unsigned long long)failed);
}
