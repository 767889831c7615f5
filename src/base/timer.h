/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * timer.h - many timers, few of which ever fire: a hierarchical timer wheel.
 *
 * An object embeds a struct timer; its kind tells the one expiry callback what the timer is and thus
 * how to find the object. Functions are never stored: the wheel lives in stack memory (DESIGN D2).
 *
 * Does:     add, move and cancel in constant time; advance in time proportional to the timers it
 *           fires or moves, however far time jumps; the next deadline in O(levels).
 * Does not: read a clock. A timer never fires before its deadline, and at the first advance() whose
 *           `now` has reached it.
 * Threads:  holder of the stack's lock only.
 */
#ifndef FSOCK_BASE_TIMER_H
#define FSOCK_BASE_TIMER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/list.h"

enum {
	TIMER_TICK_SHIFT = 10, /* a slot of the lowest level covers 1024 ns */
	TIMER_LEVEL_BITS = 6,
	TIMER_SLOTS = 1 << TIMER_LEVEL_BITS,
	TIMER_LEVELS = 9, /* 9 * 6 + 10 bits: every fs_ns from 0 on */
};

struct timer {
	struct list link;  /* the slot it waits in */
	fs_ns deadline;	   /* when to fire; meaningful while pending */
	uint16_t place;	   /* wheel's own: 0 = not pending */
	uint16_t kind;	   /* the user's; given to timer_init() */
	uint32_t argument; /* the user's; the wheel never looks at it */
};

struct timer_wheel {
	uint64_t tick;			 /* advanced to: now >> TIMER_TICK_SHIFT */
	uint32_t count;			 /* timers pending, those due included */
	uint64_t occupied[TIMER_LEVELS]; /* bit per slot that holds timers */
	struct list due;		 /* taken from their slots, about to fire */
	struct list moving;		 /* taken from a slot, about to go to another */
	struct list slot[TIMER_LEVELS][TIMER_SLOTS];
	/* No timer of the slot is earlier; after a cancel it may be too early. Meaningful while
	 * the slot is occupied. */
	fs_ns earliest[TIMER_LEVELS][TIMER_SLOTS];
};

/* Called for each timer that fires; it is no longer pending and may be added again or freed. */
typedef void timer_fire_fn(void *context, struct timer *timer, fs_ns now);

/* Prepare an empty wheel at time @now. */
void timer_wheel_init(struct timer_wheel *w, fs_ns now);

/* Prepare a timer; zeroed memory is a prepared timer of kind 0. Not while it is pending. */
void timer_init(struct timer *t, uint16_t kind);

/* Let @t fire at @deadline. If pending it is moved. A deadline in the past fires at the next
 * advance; one added from within a callback never fires in that same advance. */
void timer_add(struct timer_wheel *w, struct timer *t, fs_ns deadline);

/* Let @t not fire. It need not be pending. Also allowed from a callback, for any timer. */
void timer_cancel(struct timer_wheel *w, struct timer *t);

/*
 * Fire what is due at @now. Who advances at every timer_wheel_next() gets deadlines in their order;
 * after a jump in time the order among the timers fired is unspecified, though the same for the same
 * history. Time that went back counts as no time. Returns the number fired.
 */
uint32_t timer_wheel_advance(struct timer_wheel *w, fs_ns now, timer_fire_fn *fire, void *context);

/*
 * When to advance next: never later than the earliest deadline; may be earlier after cancels.
 * FS_NEVER = no timer. After an advance to @now it lies after @now, unless a callback or somebody
 * since added a timer that is due already.
 */
fs_ns timer_wheel_next(const struct timer_wheel *w);

/* inline definitions */

static inline bool timer_is_pending(const struct timer *t)
{
	return t->place != 0;
}

#endif
