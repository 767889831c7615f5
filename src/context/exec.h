/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exec.h - a stack outlives the program that had it where the process executes another (docs/decisions/0035).
 *
 * The former program passes on what drives the stack: its memory, its doorbells, the ports' descriptors. They stay open
 * across exec, under their numbers, and a record tells of them (exec_record.h). The new one takes its place: process
 * number, slot and references are the same; what it did not inherit ends as if it had closed it.
 *
 * Passed only to a program that is, as far as the kernel shows it, what the maker of the stack was (host/identity.h),
 * and looked at in both: what is writable here never comes to one of other rights (DESIGN D11).
 *
 * Does not: judge whether the new program will do so; whoever calls does (preload/exec.c). One that does not would keep
 *           what it was passed open, and its connections dead.
 * Threads:  the one that executes, of a process without others; without the lock.
 */
#ifndef FSOCK_CONTEXT_EXEC_H
#define FSOCK_CONTEXT_EXEC_H

#include "context/context.h"
#include "host/program.h"

/* What a program that is executed now is about: nothing on the fast path; some, which ends with this program; some that
 * the new one will have. In any stack of @home's process. */
enum exec_stake { EXEC_NOTHING, EXEC_ENDS, EXEC_GOES_ON };
enum exec_stake exec_stake(struct context *home);

/*
 * Pass on, with the helper ended. The number of the record's descriptor, which the new program is to be told
 * (EXEC_RECORD_ENV); or -errno: the stack stays. Sockets that it inherits as its standard input, output or error go to
 * the kernel in any case. A child that made no call yet joins; where it cannot, what the program would inherit goes to
 * the kernel.
 */
int exec_pass(struct context *ctx, const uint8_t build[HOST_PROGRAM_BUILD]);

/* It was not executed: everything is close-on-exec again. */
void exec_take_back(struct context *ctx, int record);

/* The same where nothing was passed. */
void exec_failed(struct context *ctx);

/* In the new program: take up what the record @number tells of, if it is one. NULL: nothing of it is this program's,
 * and what was passed with it is closed. */
struct context *exec_take_up(int number, const uint8_t build[HOST_PROGRAM_BUILD], context_ppoll_fn *libc_ppoll);

/* This process is about to give up root's rights, without which no connection moves any more. Those that came here by
 * exec and that the next one would pass on leave before: who executes programs as another user does it so (setpriv,
 * runuser). */
void exec_before_less(struct context *home);

#endif
