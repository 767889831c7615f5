/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ring.h - passing values between two sides without a lock.
 *
 * struct ring:  a bounded queue of 64-bit values with one producer and one consumer, which may be
 *               threads or processes that share the memory at the same address.
 * struct mpsc:  an unbounded intrusive list with any number of producers and one consumer; the list
 *               of operations left for the holder of the stack's lock (DESIGN D7).
 *
 * Does not: wait, wake anybody, own what the values stand for.
 * Threads:  per function: P = the ring's one producer, C = its one consumer, any = any number at once.
 *           Both sides of a ring trust one another (one stack's fork tree). Even so a counter gone
 *           wrong never leads outside the slots: positions are masked and distances limited.
 *
 * Counters run free and are compared by unsigned difference only (style rule 23).
 */
#ifndef FSOCK_BASE_RING_H
#define FSOCK_BASE_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/barrier.h"
#include "base/err.h"

struct ring {
	/* --- written at init only --- */
	uint64_t *slot; /* mask + 1 values, borrowed */
	uint32_t mask;

	/* --- written by the producer --- */
	uint32_t head __attribute__((aligned(FS_CACHE_LINE))); /* values ever put */
	uint32_t seen_tail; /* tail when last looked at; spares reading the consumer's line */

	/* --- written by the consumer --- */
	uint32_t tail __attribute__((aligned(FS_CACHE_LINE))); /* values ever taken */
	uint32_t seen_head; /* head when last looked at */
};
static_assert(offsetof(struct ring, head) == FS_CACHE_LINE, "producer has a line of its own");
static_assert(offsetof(struct ring, tail) == 2 * FS_CACHE_LINE, "consumer has a line of its own");

/* An element of a struct mpsc; embedded. */
struct mpsc_node {
	struct mpsc_node *next;
};

struct mpsc {
	struct mpsc_node *head; /* newest first; NULL = empty */
};

/* inline definitions */

/* Prepare an empty ring over @n slots (a power of two, at most 2^31; borrowed). Before it is shared. */
static inline void ring_init(struct ring *r, uint64_t *slots, uint32_t n)
{
	fs_assert(n > 0 && n <= UINT32_C(1) << 31 && (n & (n - 1)) == 0);
	r->slot = slots;
	r->mask = n - 1;
	r->head = r->seen_tail = 0;
	r->tail = r->seen_head = 0;
}

/* P: put up to @n values; returns how many fitted. */
static inline uint32_t ring_put(struct ring *r, const uint64_t *values, uint32_t n)
{
	uint32_t head = r->head, size = r->mask + 1;

	if (size - (head - r->seen_tail) < n) {
		/* Acquire: the consumer has read a slot before it counted it as free. */
		r->seen_tail = fs_load_acquire(&r->tail);
		if (head - r->seen_tail > size)
			return 0;
		n = FS_MIN(n, size - (head - r->seen_tail));
	}
	for (uint32_t i = 0; i < n; i++)
		r->slot[(head + i) & r->mask] = values[i];
	/* Release: the values are there before the counter says so. */
	fs_store_release(&r->head, head + n);
	return n;
}

/* C: take up to @n values; returns how many there were. */
static inline uint32_t ring_get(struct ring *r, uint64_t *values, uint32_t n)
{
	uint32_t tail = r->tail;

	if (r->seen_head - tail < n) {
		/* Acquire: pairs with the release in ring_put(). */
		r->seen_head = fs_load_acquire(&r->head);
		if (r->seen_head - tail > r->mask + 1)
			return 0;
		n = FS_MIN(n, r->seen_head - tail);
	}
	for (uint32_t i = 0; i < n; i++)
		values[i] = r->slot[(tail + i) & r->mask];
	/* Release: pairs with the acquire in ring_put(). */
	fs_store_release(&r->tail, tail + n);
	return n;
}

/* Any: values in the ring at some moment during the call. */
static inline uint32_t ring_count(const struct ring *r)
{
	uint32_t tail = fs_load_acquire(&r->tail);

	return fs_load_acquire(&r->head) - tail;
}

static inline void mpsc_init(struct mpsc *q)
{
	q->head = NULL;
}

/*
 * Any: add @node; the consumer owns it from then on. True when the list was empty: the one producer
 * that is told so is the one to announce the work. A producer that dies at any point leaves the list
 * whole, which a queue with a tail pointer could not promise.
 */
static inline bool mpsc_push(struct mpsc *q, struct mpsc_node *node)
{
	struct mpsc_node *head = fs_load_relaxed(&q->head);

	do {
		node->next = head;
		/* Release half: what the node describes is there before the node is. */
	} while (!fs_compare_exchange(&q->head, &head, node));
	return head == NULL;
}

/* Any: was there something at the moment of the call? */
static inline bool mpsc_is_empty(const struct mpsc *q)
{
	return fs_load_acquire(&q->head) == NULL;
}

/* C: take everything; a chain through ->next in the order of pushing, NULL = nothing. Taking all at
 * once leaves no node that could come back while somebody compares against it. */
static inline struct mpsc_node *mpsc_take_all(struct mpsc *q)
{
	struct mpsc_node *node = fs_exchange(&q->head, NULL), *in_order = NULL;

	while (node) {
		struct mpsc_node *next = node->next;

		node->next = in_order;
		in_order = node;
		node = next;
	}
	return in_order;
}

#endif
