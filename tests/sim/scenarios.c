/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scenarios.c - runs one of the written worlds: scenarios NAME [SCALE [FILE]].
 *
 * Ends with 0 if it held, 1 if not, 2 for a usage that makes no sense.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "pcap.h"
#include "scenario.h"
#include "world.h"

enum { SEED = 4711 };

static const struct {
	const char *name;
	sim_scenario_fn *run;
	const char *help;
} scenarios[] = {
	{ "alloc", sim_scenario_alloc, "each allocation of a fixed run fails in its turn" },
	{ "move", sim_scenario_move, "connections move between two engines in mid-transfer, under loss, in all states" },
	{ "flood", sim_scenario_flood, "a million forged SYNs: connections go on, new ones get in" },
	{ "blind", sim_scenario_blind, "RST, SYN, FIN, data and ICMP errors of strangers fail" },
	{ "liars", sim_scenario_liars, "receivers that lie harm themselves only" },
	{ "fairness", sim_scenario_fairness, "four CUBIC flows against four at one drop-tail queue" },
	{ "goodput", sim_scenario_goodput, "goodput under random loss against the response functions" },
	{ "side_by_side", sim_scenario_side_by_side, "BBR beside CUBIC; FILE gets the curves" },
	{ "idle", sim_scenario_idle, "idle connections: memory, and what an active one costs beside them" },
	{ "regress", sim_scenario_regress, "what the simulator found, made small" },
};

/* --- what several have in common --- */

void sim_pair_create(struct sim_world *w, struct sim_pair *pair, const struct sim_host_config *client,
		     const struct sim_host_config *server, const struct fault_config *config)
{
	static const struct sim_host_config usual = { 0 };

	pair->play = sim_play_create(w);
	pair->client = sim_host_create(w, client ? client : &usual);
	pair->server = sim_host_create(w, server ? server : &usual);
	pair->link = sim_link_create(w, pair->client, pair->server, config, 8000);
	pair->listening = sim_play_listen(pair->play, pair->server, SIM_PORT, 128, NULL, 0);
}

struct sim_flow *sim_pair_flow(struct sim_pair *pair, uint64_t up, uint64_t down, fs_ns at)
{
	struct sim_plan plan[2] = { { .send = up }, { .send = down } };
	struct sim_flow *f = sim_play_flow(pair->play, pair->client, pair->server, SIM_PORT, plan, at);

	f->orderly = true;
	return f;
}

void sim_pair_finish(struct sim_pair *pair, fs_ns within)
{
	struct sim_world *w = pair->play->world;

	if (!sim_play_run(pair->play, w->now + within))
		sim_fail(w, "%u of %u flows are not over", pair->play->n_flows - pair->play->n_done, pair->play->n_flows);
	sim_play_finish(pair->play);
}

/* --- the program --- */

struct run {
	sim_scenario_fn *fn;
	const struct sim_scenario_args *args;
};

static void body(struct sim_world *w, void *argument)
{
	const struct run *run = argument;

	run->fn(w, run->args);
}

static int run_one(unsigned i, const struct sim_scenario_args *args)
{
	struct run run = { scenarios[i].run, args };
	struct sim_world *w = sim_world_create(SEED, FS_SEC(1000), 0);
	const char *capture = getenv("SIM_PCAP");
	bool good;

	if (capture)
		w->pcap = sim_pcap_open(capture);
	good = sim_world_run(w, body, &run);
	if (!good)
		fprintf(stderr, "%s failed: %s\nreplay: SIM_PCAP=FILE tests/sim/scenarios %s %u\n", args->name, w->message,
			args->name, args->scale);
	sim_pcap_close(w->pcap);
	sim_world_destroy(w);
	return good ? 0 : 1;
}

int main(int argc, char **argv)
{
	struct sim_scenario_args args = { .scale = 100 };

	if (argc >= 2 && argc <= 4) {
		args.name = argv[1];
		if (argc > 2)
			args.scale = (unsigned)strtoul(argv[2], NULL, 0);
		args.output = argc > 3 ? argv[3] : NULL;
		for (unsigned i = 0; i < FS_ARRAY_SIZE(scenarios); i++)
			if (strcmp(argv[1], scenarios[i].name) == 0 && args.scale > 0)
				return run_one(i, &args);
	}
	fprintf(stderr, "usage: scenarios NAME [PERCENT [FILE]]\n");
	for (unsigned i = 0; i < FS_ARRAY_SIZE(scenarios); i++)
		fprintf(stderr, "  %-13s %s\n", scenarios[i].name, scenarios[i].help);
	return 2;
}
