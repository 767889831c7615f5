/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * block.h - waiting: spin a little, then sleep properly (DESIGN D8).
 *
 * A blocking call is a loop around a try that never blocks:
 *
 *     BLOCKER(b);
 *
 *     blocker_init(&b, ...);
 *     while ((ret = try()) == -EAGAIN) {
 *             ret = blocker_pause(&b, fds, n);
 *             if (ret < 0)
 *                     break;
 *     }
 *
 * The variable's end, or the thread's by pthread_cancel() in blocker_pause(), lets everything go
 * (blocker_end()).
 *
 * blocker_pause() returns at once while the spin budget lasts. Then it publishes "sleeping" and returns
 * once more, so that the try looks again; only the next pause sleeps. Whoever delivers after that look
 * finds the published mark and rings the doorbell: no wake-up is lost.
 *
 * Threads:  one blocker per call, on its stack. The lock is not held around blocker_pause().
 */
#ifndef FSOCK_CONTEXT_BLOCK_H
#define FSOCK_CONTEXT_BLOCK_H

#include <poll.h>
#include <stdbool.h>

#include "base/clock.h"
#include "context/context.h"
#include "host/signals.h"

struct stay;

enum { BLOCKER_SPARE = 1 + CONTEXT_STACKS };

struct blocker {
	struct context *ctx;
	struct stay *stay;	/* what the sleep is for; the blocker's to end. Set after blocker_init() */
	struct stay **sisters;	/* the same in other stacks, by index, an array of the caller's; NULL = nothing there */
	fs_ns limit;		/* ns from the first pause on; -1 = none */
	bool restartable;	/* SA_RESTART applies to the call */
	bool spin_allowed;	/* something polled in user space can end the wait */

	/* --- kept by block.c --- */
	fs_ns started;		/* 0 = no pause yet */
	uint32_t clock_serial;	/* of the clock then: synced since, it may have stepped */
	fs_ns due;		/* when the limit may be over, by the stack's clock; FS_NEVER = not */
	fs_ns deadline;		/* when it is, by the kernel's, which is asked when the wait grows long; 0 = not yet */
	fs_ns spin_until, quiet_until, next_slice;
	fs_ns turned;		/* when it last had the processor */
	signal_set mask;	/* in force during the call: the caller's or the one given */
	signal_set saved;	/* to restore */
	bool user_mask, blocked, armed, slept, ever_slept;
	uint8_t armed_sisters;	/* by bit of the index */
	uint32_t unanswered;	/* how often it was not to be told of what it waits for (stream.c) */
	bool link_news;		/* so did something about links with other stacks */
	bool owner_ended;	/* a process that owns a port ended while this one slept */
	bool light;		/* it sleeps, and somebody else takes frames (turn.h) */
	bool untold;		/* figures of ports are still to be published */
	bool unheard;		/* signals were not asked for since it last got ready to sleep */
	bool is_deaf;		/* those that wait, when last looked at, are the caller's to block: each sleep would end at once */
	fs_ns timers_at;	/* when TCP's timers want somebody awake; FS_NEVER = not */
};

/* @limit: ns; -1 = none. @mask: signal mask for the duration (ppoll and friends), kernel form; NULL = leave it. */
void blocker_init(struct blocker *b, struct context *ctx, fs_ns limit, bool restartable, const signal_set *mask);

/*
 * Wait a little for one of @fds (whatever the kernel may report) or anything the stack takes.
 * fds must have room for BLOCKER_SPARE more entries behind @n.
 * Return: 0 look again; -EINTR, also in a child that a signal handler made in between; -ETIMEDOUT the
 * limit is over; CONTEXT_KERNEL the stack broke, or has nothing of what a confined process waits for: make libc's call.
 */
int blocker_pause(struct blocker *b, struct pollfd *fds, unsigned n);

/* What the sleep is for is about to change: the next pause publishes anew. */
void blocker_disarm(struct blocker *b);

/* Let go of everything: wakes nobody, restores the mask. Twice is once. */
void blocker_end(struct blocker *b);

/* A blocker that ends with its scope. */
#define BLOCKER(b) struct blocker b __attribute__((cleanup(blocker_end))) = { 0 }

#endif
