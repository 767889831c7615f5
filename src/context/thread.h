/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * thread.h - what each thread keeps for itself: its id and the descriptor it sleeps on.
 *
 * Thread-local storage of the initial-exec kind: the library is loaded at start, so access is one
 * instruction and never allocates.
 */
#ifndef FSOCK_CONTEXT_THREAD_H
#define FSOCK_CONTEXT_THREAD_H

#include <stdint.h>

#include "context/spin.h"

struct context_thread {
	uint32_t tid;	       /* 0 = not asked yet (or a child of fork) */
	uint32_t ports_serial; /* of the stack, when epfd was last brought up to date */
	int epfd;	       /* 0 = none yet; holds the doorbell and the ports' descriptors. In the
				* descriptor table too, for other threads (internal_fds.h) */
	uintptr_t lock_frame;  /* where on its stack it took the lock; 0 = it has not, or cannot be told */
	struct spin spin;      /* what its waits taught it */
};

extern __thread struct context_thread context_thread __attribute__((tls_model("initial-exec")));

#endif
