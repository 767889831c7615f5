/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pcap.h - a capture of a simulated run (pcapng), with virtual time: an interface per port of a host.
 *
 * Does:     frames as hosts sent and received them, each marked as such.
 * Does not: fail a run: a file that cannot be written is reported once.
 * Threads:  one.
 */
#ifndef FSOCK_TESTS_SIM_PCAP_H
#define FSOCK_TESTS_SIM_PCAP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

struct fbuf;
struct sim_pcap;

/* NULL: it cannot be created; said on standard error. */
struct sim_pcap *sim_pcap_open(const char *path);
void sim_pcap_close(struct sim_pcap *pcap); /* NULL is fine */

void sim_pcap_frame(struct sim_pcap *pcap, const char *interface, bool outbound, const struct fbuf *frame, fs_ns now);

#endif
