/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * spin.h - how long a thread polls before it sleeps (DESIGN D8): what it learns from its waits.
 *
 * The budget halves with each wait that was longer, down to nearly nothing: who waits for a user at a
 * keyboard does not burn a processor. One wait in PAUSE_MIN tries all of it again.
 *
 * Two threads that answer each other can both be asleep most of the time: each waits as long as the other
 * takes to wake, which is beyond any budget, although both would answer at once. So at times a thread
 * polls for a round of waits up to REACH times the budget. Its own waking up is saved then, and when the
 * other does the same within that round, both find the answer within the budget and stay there. Where that
 * does not happen, the other end is simply slow: the pause until the next round doubles.
 *
 * Where somebody else wants the same processor, polling holds him up, perhaps the very one who is waited for. It shows
 * by a turn that comes LOST late: the thread sleeps then, and when that was not the first time, does not poll for a while.
 *
 * Does not: read a clock. Threads: state of one thread. Errors: none.
 */
#ifndef FSOCK_CONTEXT_SPIN_H
#define FSOCK_CONTEXT_SPIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

enum {
	SPIN_REACH = 4,	       /* budgets that a wait of a round may poll */
	SPIN_ROUND = 24,       /* waits of a round: more than the least pause, so that two threads' rounds meet */
	SPIN_PAUSE_MIN = 16,   /* waits between rounds */
	SPIN_PAUSE_MAX = 4096,
	SPIN_HALVINGS = 6,
	SPIN_DOUBT = 4, /* sleeps that were short, and polling the whole budget next was not: it is in the way of the answer */
};

/* All zero: a thread that has not waited. */
struct spin {
	uint16_t misses; /* waits since the last that was short, or since the last round */
	uint16_t pause;	 /* so many begin the next round; 0 = the least */
	uint8_t round;	 /* waits left of a round; 0 = none under way */
	uint8_t doubt;	 /* up to SPIN_DOUBT; a wait that polling ends takes it away */
	bool believed;	 /* the last wait slept, but for less than the budget: so the next one polls all of it */
};

/* Of a thread and who wants its processor; all zero: nobody does. */
struct rival {
	int64_t switches; /* of processes that the thread did not ask for, when it looked last (getrusage()), + 1; 0 = never */
	fs_ns lost;	/* when the thread saw last that it had lost the processor */
	fs_ns until;	/* it does not poll before */
	uint8_t losses; /* that came soon after each other, up to RIVAL_DOUBLINGS */
};

enum { RIVAL_DOUBLINGS = 7 };
#define RIVAL_LOST_NS FS_MS(1)	 /* between two turns: it may have been somebody else's, the kernel knows */
#define RIVAL_PAUSE_NS FS_MS(50) /* without polling after the second loss, twice that after the third, and so on */
#define RIVAL_SOON_NS FS_MS(100) /* behind the pause: a loss is by the same rival */

/* The thread finds at @now that it had lost the processor. */
void rival_met(struct rival *rival, fs_ns now);

static inline bool rival_is_there(const struct rival *rival, fs_ns now)
{
	return now < rival->until;
}

/* How long the next wait polls, given the most it normally may. */
fs_ns spin_budget(const struct spin *spin, fs_ns limit);

/* A wait took @waited in all; @slept: polling did not end it. */
void spin_learn(struct spin *spin, fs_ns limit, fs_ns waited, bool slept);

#endif
