/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * neigh.h - next hop address -> link address, per port of a stack.
 *
 * Does:     a keyed hash of entries fed from outside (on kernel interfaces: the kernel's neighbour
 *           table, DESIGN D5), their age and use, so that the host can refresh those in use.
 * Does not: solicit, read a clock, allocate beyond the slab handed in. On kernel interfaces frames
 *           for an unresolved next hop do not wait here: they take the shadow and wait in the
 *           kernel's own bounded queue, which solicits (docs/decisions/).
 * Threads:  holder of the stack's lock only.
 */
#ifndef FSOCK_NEIGH_NEIGH_H
#define FSOCK_NEIGH_NEIGH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/clock.h"
#include "base/siphash.h"
#include "base/slab.h"
#include "base/table.h"

/*
 * enum neigh_state - may frames be sent to this next hop?
 *
 * NEIGH_UNKNOWN  never asked, or forgotten. allowed: ask the host. exits: neigh_learn().
 * NEIGH_VALID    mac is good. allowed: send. exits: neigh_forget(), neigh_learn(invalid).
 * NEIGH_FAILED   the host says incomplete or failed. allowed: the kernel's path, which solicits.
 */
enum neigh_state { NEIGH_UNKNOWN, NEIGH_VALID, NEIGH_FAILED, NEIGH_N_STATES };

struct neigh {
	struct table_node node;
	struct ip_addr addr;
	struct eth_addr mac;	/* valid only in NEIGH_VALID */
	uint8_t state;		/* enum neigh_state */
	uint8_t port;		/* stack's port index */
	uint32_t generation;	/* bumped at every change of mac or state: dst templates compare it */
	fs_ns used_at;		/* last send through it, to within a second; 0 = never */
	fs_ns refreshed_at;	/* when the host last confirmed or refreshed it; 0 = never */
};

struct neigh_table {
	struct table table;
	struct slab slab;
	struct siphash_key key;
	uint32_t changes;	/* bumped at every change of any entry */
};

#endif
