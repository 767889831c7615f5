/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * draw.h - a world drawn from its seed: which faults are active and how strong, what hosts are like, what programs do.
 *
 * Swarm testing: most things are off in most worlds, so that each is seen alone, in pairs, and rarely all at once.
 * Two phases: under faults what arrives must be right; then links are good, and everything must come to an end.
 * Threads: one.
 */
#ifndef FSOCK_TESTS_SIM_DRAW_H
#define FSOCK_TESTS_SIM_DRAW_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct sim_pcap;

/* What became of a run. */
struct sim_result {
	uint64_t hash;
	uint64_t steps, bytes, flows;
	int64_t virtual_ms;
};

struct sim_run_args {
	uint64_t seed;
	const char *pcap;    /* NULL = no capture */
	uint8_t poison;	     /* of fresh memory */
	uint64_t stop_after; /* steps; 0 = none: for looking at the beginning */
	bool verbose;	     /* describes the world on standard error */
};

/* Draw the world of args->seed and run it. False: it failed, @message (SIM_MESSAGE bytes) says why. */
bool sim_run_seed(const struct sim_run_args *args, struct sim_result *result, char *message);

#endif
