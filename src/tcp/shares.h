/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shares.h - which of several stacks may know a 4-tuple.
 *
 * Stacks that serve the queues of one interface between them are sisters: a flow's segments come to the queue that the
 * card, or the peer, chooses, and that may change. So a stack that finds no end for a segment asks here whether a
 * sister may have one, and passes the segment on before it answers as a stranger would.
 *
 * Ends are counted by the hash of their tuple, a byte for each stack; one that has counted 255 stays there. A row that
 * is not zero may be another tuple's, one that is zero never lies, but for the moment in which a sister's end begins.
 *
 * Threads:  a stack's column is written by the holder of its lock, read by anybody.
 */
#ifndef FSOCK_TCP_SHARES_H
#define FSOCK_TCP_SHARES_H

#include <stdint.h>

#include "base/barrier.h"

enum {
	TCP_SHARES_STACKS = 8,
	TCP_SHARES_ROWS = 1 << 17, /* a million ends leave eight to a row; what is not touched costs nothing */
};

struct tcp_shares {
	uint8_t ends[TCP_SHARES_ROWS][TCP_SHARES_STACKS] __attribute__((aligned(8)));
};

/* inline definitions */

static inline uint8_t *tcp_shares_at(struct tcp_shares *shares, uint32_t hash, unsigned stack)
{
	return &shares->ends[hash % TCP_SHARES_ROWS][stack];
}

static inline void tcp_shares_add(struct tcp_shares *shares, uint32_t hash, unsigned stack)
{
	uint8_t *n = tcp_shares_at(shares, hash, stack);

	if (*n < UINT8_MAX)
		fs_store_relaxed(n, (uint8_t)(*n + 1));
}

static inline void tcp_shares_remove(struct tcp_shares *shares, uint32_t hash, unsigned stack)
{
	uint8_t *n = tcp_shares_at(shares, hash, stack);

	if (*n < UINT8_MAX)
		fs_store_relaxed(n, (uint8_t)(*n - 1));
}

/* Stacks that may have an end of this hash, by bit. */
static inline uint32_t tcp_shares_of(struct tcp_shares *shares, uint32_t hash)
{
	uint32_t stacks = 0;

	for (unsigned i = 0; i < TCP_SHARES_STACKS; i++)
		stacks |= (uint32_t)(fs_load_relaxed(tcp_shares_at(shares, hash, i)) != 0) << i;
	return stacks;
}

#endif
