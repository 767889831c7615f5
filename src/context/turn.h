/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * turn.h - what a thread does between two waits for several descriptors: its turn.
 *
 * A thread whose last TURN_PROVEN turns were short will be back soon, or, where it had many events, makes its next
 * call soon. Two things rest on that:
 *
 * Answers leave together (decision 0032). A program that was told of several events at once answers one after the
 * other. Frames that leave with each answer cost a system call each, and wake a peer each. So they wait in the ports'
 * out queues
 *
 *	until it waits again, for whatever			turn_end()
 *	or there are TURN_FRAMES or a large one, or the first waits TURN_HOLD_NS	the call that has frames then
 *	or the helper finds them TURN_LATE_NS old		the program computes after all
 *
 * And so does what several calls say in answer to one event (decision 0034), where the thread has the habit of making
 * so many: until the last of them, or as above. Bytes that others will follow stay in their connection as with
 * MSG_MORE.
 *
 * One drives, the others sleep (decision 0033). A thread that comes back again and again takes what the ports
 * receive, for all; it is the driver. Others that go to sleep meanwhile sleep lightly: frames do not wake them, the
 * driver rings when there is something for them. When it sleeps itself it watches the ports; when it computes after
 * all, the helper does. All that holds for the processes of a stack together, as those of a server that forks: a
 * driver of another process may be stopped or killed, awake or asleep, so that when nobody has driven for 20 ms light
 * sleepers wake and watch the ports themselves.
 *
 * Neither is done without a helper thread.
 */
#ifndef FSOCK_CONTEXT_TURN_H
#define FSOCK_CONTEXT_TURN_H

#include "context/internal.h"
#include "context/thread.h"

enum {
	TURN_FRAMES = 16,
	TURN_PROVEN = 8,
};

#define TURN_HOLD_NS FS_US(30)
#define TURN_SHORT_NS FS_US(500)
#define TURN_EVENT_NS FS_US(50) /* for each event of a turn of many that is brisk */
#define TURN_LATE_NS FS_MS(1)

/* This thread is told of @n events. No lock. */
static inline void turn_begin(fs_ns now, int n)
{
	if (n <= 0)
		return;
	context_thread.turn.since = context_thread.turn.told = now;
	context_thread.turn.events = (uint16_t)FS_MIN(n, UINT16_MAX);
}

/* turn_end() where there is a turn, and turn_says(). */
void turn_close(struct context *ctx);
bool turn_adds(struct context *ctx, enum habit_word word, const struct sock *s);

/* It comes back: what waits leaves. Lock held, ctx->now the time. */
static inline void turn_end(struct context *ctx)
{
	if (context_thread.turn.since)
		turn_close(ctx);
}

/* Is there one, of several events? */
static inline bool turn_of_many(void)
{
	return context_thread.turn.since && context_thread.turn.events > 1;
}

/* Are more calls expected that send something? */
static inline bool turn_goes_on(void)
{
	return context_thread.turn.since && context_thread.turn.habit.left;
}

/* A call for @s is about to send. True: what it sends may wait for the next one, at most until the turn ends. Lock
 * held, ctx->now the time. */
static inline bool turn_says(struct context *ctx, enum habit_word word, const struct sock *s)
{
	return context_thread.turn.since && turn_adds(ctx, word, s);
}

/* In a turn of either kind: may what is in the out queues stay there? Lock held. */
bool turn_holds(struct context *ctx);

/* This thread waits and polls: is it, or does it become the driver? Lock held. */
void turn_drive(struct context *ctx);

/* Is somebody else the driver? Without the lock it is a guess. */
bool turn_driven(const struct context *ctx);

/* Would this thread, if it spun as well, take the driver's processor? No lock. */
bool turn_crowds(const struct context *ctx);

/* This thread goes to sleep and watches the ports. Lock held. */
void turn_resign(struct context *ctx);

/* May this thread, which goes to sleep, leave the ports to the driver? Lock held. */
bool turn_may_rest(const struct context *ctx);

/* Does a sleeper of any process watch all ports that this one has? Lock held. */
bool turn_is_watched(const struct context *ctx);

/* Are there light sleepers in this process, or in any if the driver is of this one? Lock held. */
bool turn_relied_on(const struct context *ctx);

/* How long after a thread goes to sleep lightly its helper looks whether somebody still drives: soon, if that is the
 * driver's too; another process's helper looks itself. Lock held. */
fs_ns turn_watch_after(const struct context *ctx);

/* The helper: what has waited too long leaves. When it has to look again, FS_NEVER = not for this. Lock held. */
fs_ns turn_look(struct context *ctx);

#endif
