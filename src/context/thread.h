/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * thread.h - what each thread keeps for itself: its id, the descriptor it sleeps on, what it waits for.
 *
 * Thread-local storage of the initial-exec kind: the library is loaded at start, so access is one
 * instruction and never allocates.
 */
#ifndef FSOCK_CONTEXT_THREAD_H
#define FSOCK_CONTEXT_THREAD_H

#include <stdint.h>

#include "context/context.h"
#include "context/ease.h"
#include "context/habit.h"
#include "context/spin.h"

struct stay;

/* What a thread sleeps on of one stack. */
struct context_sleep {
	uint32_t ports_serial; /* of the stack, when epfd was last brought up to date */
	bool ports_off;	       /* the ports' descriptors are in epfd, but wake nobody: a light sleep */
	int epfd;	       /* 0 = none yet; holds the doorbell and the ports' descriptors. In the stack's
				* descriptor table too, for other threads (internal_fds.h) */
};

struct context_thread {
	uint32_t tid;	       /* 0 = not asked yet (or a child of fork) */
	struct context_sleep sleep[CONTEXT_STACKS]; /* by index of the stack */
	uintptr_t lock_frame;  /* where on its stack it took the lock last, if it has one; 0 = cannot be told */
	uint8_t drives;	       /* stacks whose locks it has while it drives one for another (sister.c), by bit */
	struct stay *stays;    /* what its waiting calls count as users of, innermost first (stay.h) */
	void *stay_page;       /* where these lie; owned, NULL = none yet */
	uint8_t watch;	       /* 1 + the index of its ring (watch.h); 0 = it has asked for none, 255 = it gets none */
	uint16_t stood;	       /* pauses it has made while its process ends (lock.c) */
	struct spin spin;      /* what its waits taught it */
	struct rival rival;    /* for its processor */
	struct ease ease;      /* what its looks at links found */
	struct turn {	       /* since its last wait (turn.h) */
		fs_ns since;   /* it was told of events then; 0 = of none, or it has come back */
		fs_ns told;    /* the same, kept */
		uint16_t events; /* of so many */
		uint8_t proven; /* short turns in a row, up to TURN_PROVEN */
		uint8_t brisk; /* turns in a row that were short, or for their many events, likewise */
		uint16_t processors; /* it may use, up to what matters; 0 = not asked yet */
		struct habit habit; /* calls that send */
	} turn;
};

extern __thread struct context_thread context_thread __attribute__((tls_model("initial-exec")));

#endif
