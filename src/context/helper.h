/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * helper.h - the thread that keeps connections going while the program computes (DESIGN D7).
 *
 * Whoever calls drives the stack. Between calls nobody does: timers come due, the peer's segments want to be
 * acknowledged. The helper then takes the lock's place, and only then:
 *
 *	the program calls, or its threads sleep	 asleep. Who sleeps in fsock wakes for frames and timers
 *	nobody does, for QUIET_NS		 it waits for frames and timers itself, and takes them
 *
 * It starts with a process's first connection or listener of the engine's, and has no capabilities. It does no
 * housekeeping: what needs the rights of the program waits for the program.
 *
 * A second thread is in the way of calls that change the process as a whole: helper_stop() goes before them. libc's
 * setuid() and the like make every thread change, and abort the program when one is not allowed to. Where nothing
 * stands before these calls (libfsock.so alone), the thread has CAP_SETUID and CAP_SETGID as long as the program has.
 */
#ifndef FSOCK_CONTEXT_HELPER_H
#define FSOCK_CONTEXT_HELPER_H

#include "context/context.h"

/* Have one, if the stack has connections or listeners; a load where it runs already. No lock. Any thread. */
void helper_want(struct context *ctx);

/* It ends, and is gone from the process. No lock; nothing happens in a signal handler that interrupted who has it.
 * helper_want() starts another one. */
void helper_stop(struct context *ctx);

/* The same for good. */
void helper_end(struct context *ctx);

/* Have it come to its own code, if it was just made: until then libc remembers it as unborn, also in a child that it does
 * not hear of, whose setuid() would wait for it. A second at most; async-signal-safe. Any lock. */
void helper_await(const struct context *ctx);

/* A child has none. No lock. */
void helper_after_fork(struct context *ctx);

/* --- lock held --- */

/* Is there one? */
bool helper_runs(const struct context *ctx);

/* A timer was set that may be due before the helper looks again; or a thread that slept goes on to the program. */
static inline void helper_heed(struct context *ctx, fs_ns due);
void helper_kick(struct context *ctx);

/* inline definitions */

static inline void helper_heed(struct context *ctx, fs_ns due)
{
	if (__builtin_expect(due < ctx->helper.until, 0))
		helper_kick(ctx);
}

#endif
