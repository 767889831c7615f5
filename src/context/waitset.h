/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * waitset.h - a descriptor by which somebody else's event loop hears that the stack may have something.
 *
 * An epoll descriptor over an inner one (the kernel's half of a set), this process's doorbell, and the
 * ports. It becomes readable when any of them does; whoever waits for it then drives the stack, and arms
 * it again when there is nothing left: an armed wait set counts as a sleeper, so that a thread that
 * takes its datagrams in from elsewhere rings.
 *
 * Lives in private memory of one process. After a fork the child has none.
 * Threads:  any; the functions take the stack's lock.
 */
#ifndef FSOCK_CONTEXT_WAITSET_H
#define FSOCK_CONTEXT_WAITSET_H

#include <stdbool.h>

#include "context/context.h"

struct epoll_set;

/* Data under which a wait set holds its inner one: it is rung, and need not hear by the way of sets within sets. */
#define WAITSET_INNER 0x666b63772d736574ULL

struct waitset {
	int fd;		       /* -1 = not open */
	int inner;	       /* borrowed */
	uint32_t ports_serial; /* of the stack, when the ports were last entered */
	struct epoll_set *armed; /* whose sleepers count us, held; NULL = not armed */
	uint32_t slot;	       /* of the process, under which they do */
	bool rung;	       /* readable by our own hand: something was left behind */
};

/* Open @w over @inner: readable until it is first armed. 0 or -errno. */
int waitset_open(struct context *ctx, struct waitset *w, int inner);

/* Somebody looks: until it is armed again nobody need ring. */
void waitset_disarm(struct context *ctx, struct waitset *w);

/* Nothing was found: wait for news from now on. The caller looks once more afterwards, for what came
 * before. */
void waitset_arm(struct context *ctx, struct waitset *w);

/* Something was found, and more may be left: @w stays readable until it is armed. */
void waitset_keep(struct context *ctx, struct waitset *w);

void waitset_close(struct context *ctx, struct waitset *w);

#endif
