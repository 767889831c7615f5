/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * multiplex.h - poll, select and epoll over kernel and accelerated descriptors together.
 *
 * Threads:  any; the functions take the stack's lock.
 * Errors:   -errno. MULTIPLEX_KERNEL: nothing of ours is in the set, the caller makes libc's call.
 */
#ifndef FSOCK_CONTEXT_MULTIPLEX_H
#define FSOCK_CONTEXT_MULTIPLEX_H

#include <poll.h>
#include <sys/epoll.h>

#include "context/context.h"
#include "host/signals.h"

#define MULTIPLEX_KERNEL CONTEXT_KERNEL

/* @limit in ns, -1 = none. @mask: kernel form or NULL. Returns descriptors with events. */
int multiplex_poll(struct context *ctx, struct pollfd *fds, nfds_t n, fs_ns limit, const signal_set *mask);

/* Could any descriptor of this process be accelerated? Without that, arguments are not even read. */
static inline bool multiplex_matters(const struct context *ctx)
{
	return ctx && (fs_load_relaxed(&ctx->n_stacks) > 1 || fs_load_relaxed(&ctx->stack->socks.in_use) != 0);
}

/* True if any of the descriptors is accelerated: select() is then made of multiplex_poll(). */
bool multiplex_concerns(struct context *ctx, int fd);

/* epoll_ctl() as a whole. @waiting: threads may be asleep in libc's epoll_wait(); those on a set that
 * gets its first accelerated member now are brought back. */
int multiplex_ctl(struct context *ctx, int epfd, int op, int fd, const struct epoll_event *event,
		  bool waiting);

/* @bare, a connection of this process, is in the set @epfd from now on, or (@in false) no longer; its events have its
 * address as data. 0 or -ENOMEM. */
struct bare;
int multiplex_bare(struct context *ctx, int epfd, struct bare *bare, bool in);

/* epoll_pwait() as a whole. */
int multiplex_wait(struct context *ctx, int epfd, struct epoll_event *events, int max, fs_ns limit,
		   const signal_set *mask);

/*
 * libc's epoll_wait() returned @n @events for a set that became ours while it slept: make them the
 * program's. Returns how many remain; 0: wait on with multiplex_wait() for the rest of the time.
 */
int multiplex_adopt(struct context *ctx, int epfd, struct epoll_event *events, int n);

/*
 * A program is about to be executed: of the sets that it inherits from this process alone, members are the kernel's,
 * with the data that the program gave. Of a set that other processes hold they keep our data, which those wait for.
 * Streams have moved before (handover_before_exec()). And back, where exec returns.
 */
void multiplex_before_exec(struct context *ctx);
void multiplex_exec_failed(struct context *ctx);

#endif
