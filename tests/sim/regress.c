/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * regress.c - what drawn worlds found, made small: one function each, named after what went wrong.
 */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "check.h"
#include "scenario.h"

/* With cookies nothing is kept of a SYN. If the handshake's ACK and a few bytes are lost, what comes first is the FIN
 * behind them: it must not begin the connection in their place. */
static void cookie_and_lost_bytes(struct sim_world *w)
{
	const struct fault_config wire = { .delay = FS_MS(5), .picks = { { FAULT_KIND_ACK, 1, 1 }, { FAULT_KIND_DATA, 1, 1 } } };
	struct sim_host_config server = { .use_tcp_config = true };
	struct sim_pair pair;

	tcp_config_default(&server.tcp);
	server.tcp.syncookies = 2;
	sim_pair_create(w, &pair, NULL, &server, &wire);
	sim_check_watch(pair.play);
	pair.play->harsh = true; /* a reset is what the FIN may get */
	sim_pair_flow(&pair, 2, 0, w->now + FS_MS(1));
	sim_pair_finish(&pair, FS_SEC(1000));
}

/* What waits behind a gap takes all memory: what fills the gap must find room. */
static void gap_that_takes_all_memory(struct sim_world *w)
{
	const struct fault_config wire = { .delay = FS_MS(5), .picks = { { FAULT_KIND_DATA, 3, 1 } } };
	const struct sim_host_config small = { .pinned = 96, .payload = 24, .low_water = 20 };
	struct sim_pair pair;

	sim_pair_create(w, &pair, NULL, &small, &wire);
	sim_check_watch(pair.play);
	sim_pair_flow(&pair, 400000, 0, w->now + FS_MS(1));
	sim_pair_finish(&pair, FS_SEC(600));
}

/* The window shrinks below the last segment in flight: no tail loss probe fits, and the timeout must have its turn. */
static void probe_that_does_not_fit(struct sim_world *w)
{
	const struct fault_config wire = { .delay = FS_MS(20) };
	struct sim_plan plan[2] = { { .send = 30000, .write_max = 59 }, { .read_max = 2000, .use_options = true } };
	struct sim_pair pair;
	struct sim_flow *f;

	sim_pair_create(w, &pair, NULL, NULL, &wire);
	pair.link->fault.to[1].config.picks[0] = (struct fault_pick){ FAULT_KIND_DATA, 4, 2 };
	tcp_options_default(&plan[1].options, &pair.server->tcp.config);
	plan[1].options.rcvbuf = 2304;
	sim_check_watch(pair.play);
	f = sim_play_flow(pair.play, pair.client, pair.server, SIM_PORT, plan, w->now + FS_MS(1));
	f->orderly = true;
	sim_pair_finish(&pair, FS_SEC(600));
}

/* A closed window in urgent mode: the probe must be one that is answered, or a lost window update is the end. */
static void urgent_and_a_closed_window(struct sim_world *w)
{
	const struct fault_config wire = { .delay = FS_MS(20) };
	struct sim_plan plan[2] = { { .send = 20000, .urgent_every = 9000 },
				    { .pause_after = 1, .pause_for = FS_SEC(5), .use_options = true } };
	struct sim_pair pair;

	sim_pair_create(w, &pair, NULL, NULL, &wire);
	/* Window updates are bare ACKs: most are lost. */
	pair.link->fault.to[0].config.picks[0] = (struct fault_pick){ FAULT_KIND_ACK, 3, 12 };
	tcp_options_default(&plan[1].options, &pair.server->tcp.config);
	plan[1].options.rcvbuf = 4000;
	sim_check_watch(pair.play);
	sim_play_flow(pair.play, pair.client, pair.server, SIM_PORT, plan, w->now + FS_MS(1))->orderly = true;
	sim_pair_finish(&pair, FS_SEC(2000));
}

static const struct {
	const char *name;
	void (*run)(struct sim_world *w);
} cases[] = {
	{ "cookie_and_lost_bytes", cookie_and_lost_bytes },
	{ "gap_that_takes_all_memory", gap_that_takes_all_memory },
	{ "probe_that_does_not_fit", probe_that_does_not_fit },
	{ "urgent_and_a_closed_window", urgent_and_a_closed_window },
};

static void body(struct sim_world *w, void *argument)
{
	const unsigned *i = argument;

	cases[*i].run(w);
}

void sim_scenario_regress(struct sim_world *outer, const struct sim_scenario_args *args)
{
	(void)args;
	for (unsigned i = 0; i < FS_ARRAY_SIZE(cases); i++) {
		sim_world_within(outer, outer->seed, cases[i].name, body, &i);
		printf("%s\n", cases[i].name);
	}
}
