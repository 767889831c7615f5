/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * api_internal.h - endpoints, channels and groups as the files of src/api share them.
 *
 * Objects live in private pages of their own, one per object: they are few, and what many datagrams
 * touch of a channel is its first cache line. The stack's half of a channel is the struct sock behind
 * its descriptor, as for a socket of the preload.
 *
 * Locks: a struct api_lock is held for a few instructions, never while the stack's lock is asked for
 * or a system call waits.
 */
#ifndef FSOCK_API_API_INTERNAL_H
#define FSOCK_API_API_INTERNAL_H

#include <fsock/fsock.h>
#include <sched.h>

#include "base/barrier.h"
#include "base/list.h"
#include "context/context.h"
#include "context/waitset.h"

enum {
	API_HOLD_DEFAULT = 256,
	API_HOLD_MAX = 65536,
	API_BUFFER_BYTES = 65536, /* the largest datagram there is */
};

struct api_lock {
	uint32_t taken;
};

struct fsock_ep {
	union fsock_addr local;	 /* port 0 */
	socklen_t len;
	uint32_t ringbuf;	 /* bytes; 0 = the kernel's default */
	uint32_t hold_max;	 /* datagrams */
	int reason;		 /* enum fs_reason: why there is no context, else 0 */
	struct context *ctx;	 /* borrowed; NULL = kernel only */
	struct api_lock lock;	 /* of: */
	struct list channels;	 /* owned, by fsock_channel.of_ep */
};

/*
 * A datagram in memory of ours: one that the kernel's way brought, or in more pieces than a caller
 * expects. Private pages, touched as far as it is long.
 */
struct api_buffer {
	struct api_buffer *next;
	uint8_t data[API_BUFFER_BYTES];
};

struct fsock_channel {
	struct context *ctx;	 /* borrowed; NULL = kernel only */
	int fd;			 /* the shadow, owned */
	uint32_t hold_max;
	int64_t rx_timeout;	 /* ns, -1 = for ever; any thread */
	int stamps;		 /* FSOCK_RX_STAMPS; any thread */
	struct fsock_ep *ep;
	struct list of_ep;
	uint16_t port;		 /* own, host order */
	bool v6;
	struct fsock_group *group; /* it is in; NULL = none. By group->lock: */
	struct list of_group;
	void *data;		 /* the program's, for the group's events */
	struct api_lock lock;	 /* of: */
	struct api_buffer *lent; /* received in place and not released */
	struct api_buffer *spare;
	uint32_t n_lent;
};

struct fsock_group {
	struct context *ctx;	 /* borrowed; NULL = kernel only */
	int epfd;		 /* the kernel's half of the set, owned; its members' data are channels */
	struct waitset wait;	 /* opened when asked for */
	struct api_lock lock;	 /* of: */
	struct list members;	 /* borrowed, by fsock_channel.of_group */
};

/* --- group.c --- */

/* Take a channel that ends out of its group. */
void api_group_forget(struct fsock_channel *ch);

/* --- endpoint.c --- */

/* The context, made if need be; NULL, and *reason. */
struct context *api_context(int *reason);

/* Close what a channel is made of, but for its place in the endpoint. */
void api_channel_destroy(struct fsock_channel *ch);

/* --- buffer.c --- */

/* An empty buffer; NULL = no memory. Owner: the caller. */
struct api_buffer *api_buffer_get(struct fsock_channel *ch);

/* Give back what api_buffer_get() gave. */
void api_buffer_put(struct fsock_channel *ch, struct api_buffer *buffer);

/* @buffer goes to the program... */
void api_buffer_lend(struct fsock_channel *ch, struct api_buffer *buffer);

/* ... and comes back. -EINVAL: it was not lent; any pointer. */
int api_buffer_return(struct fsock_channel *ch, const struct api_buffer *buffer);

/* Free them all. */
void api_buffer_end(struct fsock_channel *ch);

/* inline definitions */

static inline void api_lock(struct api_lock *lock)
{
	uint32_t no = 0;

	while (!fs_compare_exchange(&lock->taken, &no, 1)) {
		no = 0;
		sched_yield();
	}
}

static inline void api_unlock(struct api_lock *lock)
{
	fs_store_release(&lock->taken, 0);
}

#endif
