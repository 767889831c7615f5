/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * check_internal.h - between check.c and check_wire.c.
 *
 * Threads: one.
 */
#ifndef FSOCK_TESTS_SIM_CHECK_INTERNAL_H
#define FSOCK_TESTS_SIM_CHECK_INTERNAL_H

#include "check.h"

/* The peer allows @e to send up to @edge. */
void sim_check_edge(struct sim_end *e, tcp_seq edge);

void sim_check_sending(struct sim_world *w, struct sim_host *host, unsigned port, const struct fbuf *frame);
void sim_check_received(struct sim_world *w, struct sim_host *host, unsigned port, const struct fbuf *frame);

#endif
