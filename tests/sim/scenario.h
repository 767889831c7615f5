/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scenario.h - worlds that are not drawn but written: each shows one thing.
 *
 * A scenario is a function of the world and of `scale`, which makes it longer or larger where that makes sense. It
 * fails by sim_fail(), or returns; figures it prints.
 * Threads: one.
 */
#ifndef FSOCK_TESTS_SIM_SCENARIO_H
#define FSOCK_TESTS_SIM_SCENARIO_H

#include "host.h"
#include "play.h"

struct sim_scenario_args {
	const char *name;
	unsigned scale;	    /* percent: 100 = as ./check has it */
	const char *output; /* file for data to plot; NULL = none */
};

typedef void sim_scenario_fn(struct sim_world *w, const struct sim_scenario_args *args);

sim_scenario_fn sim_scenario_alloc;	/* alloc_runs.c */
sim_scenario_fn sim_scenario_move;	/* move.c */
sim_scenario_fn sim_scenario_flood;	/* attack.c */
sim_scenario_fn sim_scenario_blind;
sim_scenario_fn sim_scenario_liars;	/* liars.c */
sim_scenario_fn sim_scenario_fairness;	/* figures.c */
sim_scenario_fn sim_scenario_goodput;
sim_scenario_fn sim_scenario_side_by_side;
sim_scenario_fn sim_scenario_idle;	/* idle.c */
sim_scenario_fn sim_scenario_regress;	/* regress.c */

/* Two hosts on a link, the second one listening on SIM_PORT, everything checked. */
struct sim_pair {
	struct sim_play *play;
	struct sim_host *client, *server;
	struct sim_link *link;
	struct sim_listening *listening;
};
void sim_pair_create(struct sim_world *w, struct sim_pair *pair, const struct sim_host_config *client,
		     const struct sim_host_config *server, const struct fault_config *config);

/* A flow that must succeed: @up bytes from the client, @down from the server, at @at; NULL options = the stack's. */
struct sim_flow *sim_pair_flow(struct sim_pair *pair, uint64_t up, uint64_t down, fs_ns at);

/* Run until all flows are over, within @within; then to the end. */
void sim_pair_finish(struct sim_pair *pair, fs_ns within);

#endif
