/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * timer.c - hierarchical timer wheel.
 *
 * Read the tick count of a deadline as digits of TIMER_LEVEL_BITS each. A timer waits on the level of
 * the highest digit in which its deadline differs from the wheel's tick, in the slot of that digit.
 * Hence on every level all occupied slots lie ahead of the wheel's own digit (on level 0, at it or
 * ahead), everything on a level is earlier than everything on the levels above, and the earliest
 * timers are in the first occupied slot of the lowest occupied level.
 *
 * When the tick advances, let h be the highest digit that changes: levels below h, and slots of level
 * h before the new digit, are due as a whole; the slot of level h at the new digit is dealt out again.
 */
#include "base/timer.h"

#include "base/err.h"

/* struct timer.place: 0 = not pending, PLACE_DUE = in wheel.due, else PLACE_SLOT + slot number. */
enum { PLACE_NONE, PLACE_DUE, PLACE_SLOT };

static uint64_t tick_of(fs_ns t)
{
	return t > 0 ? (uint64_t)t >> TIMER_TICK_SHIFT : 0;
}

static unsigned digit(uint64_t tick, unsigned level)
{
	return (tick >> (level * TIMER_LEVEL_BITS)) % TIMER_SLOTS;
}

/* Level of the highest digit in which two ticks differ; 0 if they are equal. */
static unsigned level_of_difference(uint64_t a, uint64_t b)
{
	unsigned bit = 63 - (unsigned)__builtin_clzll((a ^ b) | 1);

	return bit / TIMER_LEVEL_BITS;
}

void timer_wheel_init(struct timer_wheel *w, fs_ns now)
{
	w->tick = tick_of(now);
	w->count = 0;
	list_init(&w->due);
	list_init(&w->moving);
	for (unsigned level = 0; level < TIMER_LEVELS; level++) {
		w->occupied[level] = 0;
		for (unsigned i = 0; i < TIMER_SLOTS; i++)
			list_init(&w->slot[level][i]);
	}
}

void timer_init(struct timer *t, uint16_t kind)
{
	*t = (struct timer){ .kind = kind };
}

/* Put a timer that is in no list into its slot. */
static void slot_insert(struct timer_wheel *w, struct timer *t)
{
	uint64_t tick = FS_MAX(tick_of(t->deadline), w->tick);
	unsigned level = level_of_difference(tick, w->tick);
	unsigned i = digit(tick, level);
	uint64_t bit = UINT64_C(1) << i;

	if (!(w->occupied[level] & bit) || t->deadline < w->earliest[level][i])
		w->earliest[level][i] = t->deadline;
	w->occupied[level] |= bit;
	t->place = (uint16_t)(PLACE_SLOT + level * TIMER_SLOTS + i);
	list_push_back(&w->slot[level][i], &t->link);
}

void timer_add(struct timer_wheel *w, struct timer *t, fs_ns deadline)
{
	timer_cancel(w, t);
	t->deadline = deadline;
	slot_insert(w, t);
	w->count++;
}

void timer_cancel(struct timer_wheel *w, struct timer *t)
{
	unsigned level, i;

	if (!timer_is_pending(t))
		return;
	list_remove(&t->link);
	w->count--;
	if (t->place >= PLACE_SLOT) {
		level = (t->place - PLACE_SLOT) / TIMER_SLOTS;
		i = (t->place - PLACE_SLOT) % TIMER_SLOTS;
		if (list_is_empty(&w->slot[level][i]))
			w->occupied[level] &= ~(UINT64_C(1) << i);
	}
	t->place = PLACE_NONE;
}

static void make_due(struct timer_wheel *w, struct timer *t)
{
	t->place = PLACE_DUE;
	list_push_back(&w->due, &t->link);
}

/* Take every timer out of a slot: to the due list if its time has come by @now, else to the slot
 * that is right for the wheel's tick (possibly this very one). No list head is ever on this process's
 * stack: the wheel must make sense to others if we die here. */
static void slot_deal_out(struct timer_wheel *w, unsigned level, unsigned i, fs_ns now)
{
	struct list *e;

	list_splice_back(&w->moving, &w->slot[level][i]);
	w->occupied[level] &= ~(UINT64_C(1) << i);
	while ((e = list_pop_front(&w->moving))) {
		struct timer *t = FS_CONTAINER_OF(e, struct timer, link);

		if (t->deadline <= now)
			make_due(w, t);
		else
			slot_insert(w, t);
	}
}

/* Deal out the occupied slots of @level whose number is below @end, in order. */
static void level_deal_out(struct timer_wheel *w, unsigned level, unsigned end, fs_ns now)
{
	uint64_t below = end < TIMER_SLOTS ? (UINT64_C(1) << end) - 1 : UINT64_MAX;
	uint64_t slots = w->occupied[level] & below;

	for (; slots; slots &= slots - 1)
		slot_deal_out(w, level, (unsigned)__builtin_ctzll(slots), now);
}

uint32_t timer_wheel_advance(struct timer_wheel *w, fs_ns now, timer_fire_fn *fire, void *context)
{
	uint64_t tick = FS_MAX(tick_of(now), w->tick);
	unsigned highest = level_of_difference(tick, w->tick);
	uint32_t fired = 0;
	struct list *e;

	/* What is not due goes to slots of the new tick, so the tick must be in place first; the
	 * slots dealt out below are all at or before it. */
	w->tick = tick;
	for (unsigned level = 0; level < highest; level++)
		level_deal_out(w, level, TIMER_SLOTS, now);
	level_deal_out(w, highest, digit(tick, highest) + 1, now);

	/* All due timers are off the slots before the first callback runs: what callbacks add cannot
	 * be met again, and what they cancel is simply gone from the list. */
	while ((e = list_pop_front(&w->due))) {
		struct timer *t = FS_CONTAINER_OF(e, struct timer, link);

		t->place = PLACE_NONE;
		w->count--;
		fired++;
		fire(context, t, now);
	}
	return fired;
}

fs_ns timer_wheel_next(const struct timer_wheel *w)
{
	for (unsigned level = 0; level < TIMER_LEVELS; level++) {
		if (w->occupied[level])
			return w->earliest[level][__builtin_ctzll(w->occupied[level])];
	}
	return FS_NEVER;
}
