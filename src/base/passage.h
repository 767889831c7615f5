/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * passage.h - frames and words from one stack to another, through memory that both have.
 *
 * A ring of bytes with one producer and one consumer: whoever holds the lock of the stack that sends, and of the one
 * that receives. What is put is copied, what is taken is copied again, so that neither stack ever holds memory of the
 * other's. What finds no room is not put.
 *
 * Does not: wait, wake anybody, know what a frame means.
 * Threads:  P: the one producer, C: the one consumer, any: any number at once. Both sides trust each other (one fork
 *           tree). Even so a length gone wrong never leads outside the ring.
 * Counters run free and are compared by unsigned difference only.
 */
#ifndef FSOCK_BASE_PASSAGE_H
#define FSOCK_BASE_PASSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/barrier.h"
#include "base/clock.h"
#include "base/fbuf.h"

/* What goes with a frame, or without one. */
struct passage_note {
	uint32_t len;	   /* bytes of the frame; 0 = a note by itself. Set by passage_put() */
	uint32_t kind;	   /* the two sides' own */
	uint32_t ifindex;  /* of the interface that the frame came by */
	uint32_t passed;   /* stacks that have looked at it, by bit */
	uint16_t gso_size; /* as the frame's, like the next two. Set by passage_put() */
	uint8_t csum;
	fs_ns stamp;
	uint64_t word[2];  /* the two sides' own */
};

struct passage {
	/* --- written at init only --- */
	uint8_t *bytes; /* mask + 1 of them, borrowed */
	uint32_t mask;

	/* --- written by the producer --- */
	uint32_t head __attribute__((aligned(FS_CACHE_LINE))); /* bytes ever put */

	/* --- written by the consumer --- */
	uint32_t tail __attribute__((aligned(FS_CACHE_LINE))); /* bytes ever taken */
};

/* Prepare an empty passage over @len bytes (a power of two, at most 2^31; borrowed). Before it is shared. */
void passage_init(struct passage *p, uint8_t *bytes, uint32_t len);

/* P: put a copy of @frame, NULL = none, behind @note. False: there is no room, nothing was put. */
bool passage_put(struct passage *p, const struct passage_note *note, const struct fbuf *frame);

/* Any: is there something at the moment of the call? */
static inline bool passage_is_empty(const struct passage *p)
{
	return fs_load_acquire(&p->head) == fs_load_relaxed(&p->tail);
}

/*
 * C: take what was put first. False: there is nothing. *frame is a frame made of @pool's chunks, the caller's; NULL
 * where the note came by itself, or the pool has too few chunks: then the frame is lost, and note->len says so.
 */
bool passage_take(struct passage *p, struct passage_note *note, struct fbuf_pool *pool, struct fbuf **frame);

#endif
