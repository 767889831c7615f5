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
 * Errors:   NULL: absent, or the slab is full of entries that are in use.
 */
#ifndef FSOCK_NEIGH_NEIGH_H
#define FSOCK_NEIGH_NEIGH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/siphash.h"
#include "base/slab.h"
#include "base/table.h"

/*
 * enum neigh_state - may frames be sent to this next hop?
 *
 * NEIGH_UNKNOWN  never asked, or forgotten. allowed: ask the host. exits: neigh_learn().
 * NEIGH_VALID    mac is good. allowed: send. exits: neigh_forget(), neigh_learn(other state).
 * NEIGH_FAILED   the host says incomplete or failed. allowed: the kernel's path, which solicits.
 *                exits: neigh_learn(), neigh_forget().
 */
enum neigh_state { NEIGH_UNKNOWN, NEIGH_VALID, NEIGH_FAILED, NEIGH_N_STATES };

/* One next hop. Owner: the table. Whoever keeps a pointer across calls holds a reference. */
struct neigh {
	struct table_node node;
	struct list age;	/* in neigh_table.age, least recently refreshed first */
	struct ip_addr addr;	/* key, with port */
	struct eth_addr mac;	/* valid only in NEIGH_VALID */
	uint8_t state;		/* enum neigh_state */
	uint8_t port;		/* stack's port index */
	bool linked;		/* in the table; false: flushed, lives until the last reference goes */
	uint32_t refs;		/* destinations that point here */
	uint32_t generation;	/* bumped at every change of mac or state: dst templates compare it */
	fs_ns used_at;		/* last send through it, to within a second; 0 = never */
	fs_ns refreshed_at;	/* when the host last confirmed or refreshed it; 0 = never */
};

struct neigh_table {
	struct table table;
	struct slab slab;	/* of struct neigh; its memory is handed in by the context */
	struct siphash_key key;
	struct list age;	/* every linked entry, least recently refreshed first */
	uint32_t changes;	/* bumped at every change of any entry */
};

/* Prepare an empty table. @buckets (a power of two) is borrowed for the table's life. The slab is
 * initialised here and empty: slab_add() gives it memory. */
void neigh_table_init(struct neigh_table *table, const struct siphash_key *key,
		      struct table_node **buckets, uint32_t n_buckets);

/* The entry of @addr on @port, or NULL. Borrowed: valid until the next neigh_learn() or flush. */
struct neigh *neigh_find(struct neigh_table *table, uint8_t port, const struct ip_addr *addr);

/*
 * The host says what it knows of @addr; creates the entry when absent. @mac is needed for NEIGH_VALID
 * and ignored otherwise (NULL is fine). Sets refreshed_at. A full slab gives up its least recently
 * refreshed entry that nobody references.
 * Return: the entry (borrowed as by neigh_find()), or NULL: every entry is referenced.
 */
struct neigh *neigh_learn(struct neigh_table *table, uint8_t port, const struct ip_addr *addr,
			  const struct eth_addr *mac, enum neigh_state state, fs_ns now);

/* The host no longer knows @addr: NEIGH_UNKNOWN, and gone unless referenced. Absent is fine. */
void neigh_forget(struct neigh_table *table, uint8_t port, const struct ip_addr *addr);

/* The port is gone, or its address changed: forget all its entries. Referenced ones stay readable
 * in NEIGH_UNKNOWN, out of the table, until neigh_put(). */
void neigh_flush_port(struct neigh_table *table, uint8_t port);

/* Keep @n across calls; give it back. */
void neigh_get(struct neigh *n);
void neigh_put(struct neigh_table *table, struct neigh *n);

/*
 * An entry in use whose word is old: a frame went through it within the last @interval, and the host
 * has not refreshed it for longer than that. NULL = none is due. The caller asks the host and says so
 * with neigh_asked(), otherwise it is due again at once.
 */
struct neigh *neigh_next_due(struct neigh_table *table, fs_ns now, fs_ns interval);

/* The host was asked about @n; its answer may come later or never. */
void neigh_asked(struct neigh_table *table, struct neigh *n, fs_ns now);

#endif
