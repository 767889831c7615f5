/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ease.h - who reads a link leaves it alone for a moment where the writer keeps it full (decision 0044).
 *
 * A reader looks at the line in which the writer counts. Who finds bytes at each look, and looks again at once, takes that
 * line away from the writer for every message: it is handed from processor to processor twice a message, and that is all
 * either of them does. Left alone for EASE_NS, the writer counts where it is, and the reader finds many messages at once.
 * Who waits for an answer, or for what comes now and then, is to lose no time by it: such a thread looks in vain, sends in
 * between, or waits in epoll or poll, and begins to count anew.
 *
 * Does not: wait, read a clock, or touch what is shared. Threads: state of one thread. Errors: none.
 */
#ifndef FSOCK_CONTEXT_EASE_H
#define FSOCK_CONTEXT_EASE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

enum {
	EASE_HITS = 16, /* looks that found bytes, before one is put off */
	EASE_MISS = 2,	/* so many of them are worth one in vain: of looks one behind the other some come too early */
};

#define EASE_NS FS_US(2)

/* All zero: a thread that has read nothing. */
struct ease {
	int of;	       /* 1 + the descriptor it read last; 0 = none */
	unsigned hits; /* looks at it that found bytes, up to EASE_HITS */
	fs_ns since;   /* the last look, if the next one is to be put off; 0 = it is not */
};

/* A call found bytes at @fd. True: there were enough such; if this one left nothing, the next is to be put off by
 * ease_begin(). */
static inline bool ease_found(struct ease *e, int fd)
{
	if (e->of != fd + 1)
		*e = (struct ease){ .of = fd + 1 };
	e->hits += e->hits < EASE_HITS;
	e->since = 0;
	return e->hits >= EASE_HITS;
}

/* The next look is put off from @now on; ns of a clock that ease_goes_on() is given, too. */
static inline void ease_begin(struct ease *e, fs_ns now)
{
	e->since = now;
}

/* A call found nothing. Who put its look off and still finds nothing is as fast as its writer, and counts anew. */
static inline void ease_missed(struct ease *e)
{
	e->hits = e->hits < EASE_HITS && e->hits > EASE_MISS ? e->hits - EASE_MISS : 0;
	e->since = 0;
}

/* The thread did something else: it sent, or waits for other things, too. */
static inline void ease_end(struct ease *e)
{
	e->hits = 0;
	e->since = 0;
}

/* Is the next look, at @fd, to be put off? */
static inline bool ease_is_due(const struct ease *e, int fd)
{
	return e->since != 0 && e->of == fd + 1;
}

/* Still, at @now? A clock that went back ends it. */
static inline bool ease_goes_on(const struct ease *e, fs_ns now)
{
	return (uint64_t)(now - e->since) < (uint64_t)EASE_NS;
}

#endif
