/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * check.h - what must hold whenever a host rests, and of every segment it sends.
 *
 * Does:     look at connections as conn.h describes them and recount what they count; remember for each end of a
 *           flow what may only move one way.
 * Does not: look at what arrives (program.c does), know why anything happened.
 * Threads:  one.
 * Errors:   sim_fail().
 */
#ifndef FSOCK_TESTS_SIM_CHECK_H
#define FSOCK_TESTS_SIM_CHECK_H

#include "play.h"

/* Hang the checks into the world of @play: sim_watch.sending, .received and .resting. */
void sim_check_watch(struct sim_play *play);

/* A connection, whoever's. */
void sim_check_conn(struct sim_world *w, const struct sim_host *host, const struct tcp_conn *c);

/* Every chunk of the host's pools has one owner: connections, queues, programs, wires. */
void sim_check_pools(struct sim_world *w, const struct sim_host *host);

#endif
