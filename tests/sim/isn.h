/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * isn.h - initial sequence numbers where they are wanted: close to where they wrap.
 *
 * The number is a keyed hash of the tuple and the time (RFC 6528), so a host's key is drawn again until the
 * connection that matters gets a number in range.
 * Threads: one.
 */
#ifndef FSOCK_TESTS_SIM_ISN_H
#define FSOCK_TESTS_SIM_ISN_H

#include "host.h"

/* Let @host begin a connection between that port of its and @remote's at time @at with one of the last @range numbers.
 * False: no key was found within reasonable time; the host has some other. */
bool sim_isn_before_wrap(struct sim_host *host, uint16_t local_port, const struct ip_addr *remote, uint16_t remote_port,
			 fs_ns at, uint32_t range);

#endif
