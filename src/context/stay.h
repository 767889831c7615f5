/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stay.h - what a waiting call needs to stay: the sockets and epoll sets that it waits for.
 *
 * Nobody holds the lock while a call waits, and another thread may close what it waits for. So the call
 * counts as a user of it, and the memory stays until the call has ended. A call may end without getting
 * to its end: a signal handler leaves it by siglongjmp(). What it counted is therefore written down
 * outside its frames, in memory of the thread, and the thread's next waiting call, or its next close()
 * or its end, gives back what calls counted whose frames are gone (context_frame_is_gone()).
 *
 * Does:     count, write down, give back; memory that the call mapped goes with it, and so does a descriptor.
 * Does not: count sleepers: signals are blocked as long as a call counts as one (block.c), so none is
 *           left behind by a handler.
 * Threads:  each its own; with the stack's lock held unless marked.
 */
#ifndef FSOCK_CONTEXT_STAY_H
#define FSOCK_CONTEXT_STAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bare;
struct context;
struct epoll_set;
struct sock;

/* One of these; the others are NULL. */
struct stay_object {
	struct sock *sock;
	struct epoll_set *set;
	struct bare *bare; /* nobody may close it meanwhile: counts no users */
};

/* Of one call; in private memory. */
struct stay {
	struct context *ctx;  /* whose objects they are */
	struct stay *below;   /* of the call that a handler interrupted to make this one; NULL = none */
	uintptr_t frame;      /* where on the thread's stack the call was */
	size_t bytes;	      /* of this record */
	void *memory;	      /* pages that the call mapped and that go with it; NULL = none */
	size_t memory_bytes;
	int number;	      /* a descriptor that the call made and that goes with it; 0 = none */
	unsigned n;
	struct stay_object on[];
};

/* Of the call under way, with room for @room objects; none yet. NULL = no memory. */
struct stay *stay_begin(struct context *ctx, unsigned room);

void stay_on_sock(struct context *ctx, struct stay *stay, struct sock *s);
void stay_on_set(struct context *ctx, struct stay *stay, struct epoll_set *set);
void stay_on_bare(struct stay *stay, struct bare *bare);

/* Is it still written down? Not in a child that a handler made, which is no user of anything. */
bool stay_is_ours(const struct stay *stay);

/* The call ends. NULL, or no longer written down: nothing. */
void stay_end(struct context *ctx, struct stay *stay);

/* The same where the lock is not to be had, on a broken stack: nobody counts any more. No lock. */
void stay_drop(struct stay *stay);

/* Give back what calls of this thread left behind in this stack that are over, seen from the caller. */
void stay_look(struct context *ctx);

/* The thread ends. @locked: as stay_end() or as stay_drop(). */
void stay_thread_ends(struct context *ctx, bool locked);

/* The same, of all stacks, is done: what it was written down in goes. No lock. */
void stay_page_unmap(void);

#endif
