/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * take.h - receiving by a front door's own means: several datagrams per turn, copied or in place.
 *
 * Does:     the loop over both sources, the stack's queue and the shadow's, neither starving the other;
 *           waiting; datagrams lent in place until they are released.
 * Does not: know what a front door makes of a datagram: that is its take() and take_kernel().
 *
 * A datagram lent goes on to count against its socket's limits, so that a reader who keeps many loses
 * what arrives and starves nobody else. One process at a time holds datagrams of a socket: when it
 * dies, they are known to be its own.
 *
 * Threads:  any; marked functions with the lock held.
 * Errors:   -errno; CONTEXT_KERNEL: the descriptor is the kernel's alone now.
 */
#ifndef FSOCK_CONTEXT_TAKE_H
#define FSOCK_CONTEXT_TAKE_H

#include <stdbool.h>
#include <sys/types.h>

#include "context/context.h"

/* One call. Embedded in the front door's own struct. */
struct take {
	struct context *ctx;
	int fd;
	fs_ns wait; /* ns to wait, FS_SPAN_MAX at most; 0 = never, -1 = for ever */
	bool peek;  /* what is looked at stays in the queue, and is not counted */

	/* Datagrams of @s's queue, which is not empty, as many as wanted: their number, or -errno. Lock held. */
	int (*take)(struct take *t, struct sock *s);

	/* The same from the shadow @t->fd, by system calls that do not wait: -EAGAIN = none. Sets `bytes`. */
	int (*take_kernel)(struct take *t);
	uint64_t bytes; /* out of take_kernel: of all datagrams it returned */
};

/*
 * Receive. Return: what take() or take_kernel() returned; -EAGAIN @t->wait is 0 and there is nothing;
 * -ETIMEDOUT, -EINTR, CONTEXT_KERNEL.
 */
int take_run(struct take *t);

/* --- lock held --- */

/* The oldest datagram for good, counted; the caller frees it. The queue is not empty. */
struct fbuf *take_one(struct sock *s);

/* May this process have datagrams of @s in place? 0, -EBUSY: another one holds some. */
int take_may_hold(const struct context *ctx, const struct sock *s);

/* The oldest @n datagrams of @bytes in all, of which @last is the last, counted and lent to this process, which
 * take_may_hold() allowed. They keep their order. */
void take_hold(struct context *ctx, struct sock *s, struct fbuf *last, uint32_t n, uint64_t bytes);

/* Take @frame back and free it. -EINVAL: this process does not hold it; it may be any pointer. */
int take_release(struct context *ctx, struct sock *s, const struct fbuf *frame);

/* Take back everything process slot @slot holds; STATS_MAX_PROCS = whoever holds it. */
void take_release_all(struct sock *s, unsigned slot);

/* Take back what this process holds of the socket behind @fd, which is about to be closed; other holders
 * of the descriptor may keep the socket alive. Takes the lock. */
void take_closing(struct context *ctx, int fd);

#endif
