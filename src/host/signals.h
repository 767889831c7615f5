/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * signals.h - blocking calls that honour signals exactly while they poll in user space.
 *
 * A call that spins cannot see that a handler ran, so it could neither return EINTR nor know whether
 * SA_RESTART forbids that. Instead the waiting thread blocks every signal, looks for pending ones now
 * and then (or sleeps on a signalfd beside its other descriptors), asks what action each has, and lets
 * them in by one ppoll() under the caller's mask: the handler runs there, once, as it would have in
 * the kernel's own call. Nothing is ever taken from the signalfd.
 *
 * Does not: wrap handlers, or install one but for signal_take().
 * Threads:  any; all state is the caller's.
 */
#ifndef FSOCK_HOST_SIGNALS_H
#define FSOCK_HOST_SIGNALS_H

#include <stdbool.h>
#include <stdint.h>

/* The kernel's signal set: bit n-1 = signal n. */
typedef uint64_t signal_set;

/* What signal_admit() saw. */
enum signal_result {
	SIGNAL_NONE,	/* nothing pending, or nothing with a handler: go on */
	SIGNAL_BLOCKED, /* likewise, and what is pending stays so: the mask is in its way */
	SIGNAL_RESTART, /* handlers ran, all with SA_RESTART */
	SIGNAL_EINTR,	/* a handler without SA_RESTART ran */
};

/* Block everything but what libc needs between threads (cancellation, set*id); returns the former set. */
signal_set signal_block_all(void);

void signal_restore(signal_set mask);

/* The kernel's form of a libc sigset_t. */
signal_set signal_set_from(const void *sigset);

/* Let in what is pending and not in @mask. Called with everything blocked; so it is afterwards. */
enum signal_result signal_admit(signal_set mask);

/* Have @handler run for signal @number, and calls go on after it, if the program left it at its default. 0, or -EBUSY:
 * the program has an action of its own, or ignores it. */
int signal_take(int number, void (*handler)(int));

/* A signalfd over every signal that signal_block_all() blocks, raised above @fd_floor. -errno. One serves a whole process. */
int signal_open(int fd_floor);

#endif
