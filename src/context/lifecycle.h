/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lifecycle.h - what the front door tells the context about descriptors: made, bound, connected,
 * duplicated, closed, an option set.
 *
 * The rule everywhere: the kernel acts on the shadow first and gives the errno; only what succeeded is
 * told here. close() is the exception: steering must be gone before the shadow is.
 *
 * @ctx is home where a descriptor comes, is copied, changes its flags or goes: every stack that knows it hears. Else it
 * is the one that moves its bytes (context_of()).
 *
 * Threads:  any; each function takes the stack's lock itself.
 * Errors:   none: what fsock cannot do, the kernel does. errno is preserved.
 */
#ifndef FSOCK_CONTEXT_LIFECYCLE_H
#define FSOCK_CONTEXT_LIFECYCLE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "context/context.h"
#include "context/sister.h"

/* socket() returned @fd. Starts the context if this is the first Internet socket, with @libc_ppoll; or the first of a
 * Unix socket's bytes, where context_takes_unix(). */
void lifecycle_opened(int fd, int domain, int type, int protocol, context_ppoll_fn *libc_ppoll);

/* @fd, known since lifecycle_opened(), was opened by a service manager, which keeps it for the next instance. */
void lifecycle_lent(struct context *ctx, int fd);

/* bind() on @fd succeeded; @port_asked: the program named a port, it did not leave it to the kernel. */
void lifecycle_bound(struct context *ctx, int fd, bool port_asked);

/* @fd is a connection that the kernel accepted, for a listener whose shadow it arrived at; @reason: why there. */
void lifecycle_accepted(struct context *ctx, int fd, int reason);

/* @fd carries on a connection that was the engine's and had no number. @reason: enum fs_reason, why. */
void lifecycle_moved(struct context *ctx, int fd, int reason);

/* connect() on @fd succeeded, or dissolved the association (AF_UNSPEC). */
void lifecycle_connected(struct context *ctx, int fd);

/* shutdown() on @fd succeeded. */
void lifecycle_shut_down(struct context *ctx, int fd);

/* setsockopt() on @fd succeeded. */
void lifecycle_option(struct context *ctx, int fd, int level, int name, const void *value, size_t len);

/* SO_RCVBUF as the program knows it, where the shadow's own differs; -1 = ask the shadow. */
int lifecycle_rcvbuf(struct context *ctx, int fd);

/* O_NONBLOCK of @fd's description was set to @on. */
void lifecycle_nonblock(struct context *ctx, int fd, bool on);

/* O_ASYNC of @fd's description, or of a stream's its owner, was set: only the kernel sends SIGIO and SIGURG. */
void lifecycle_async(struct context *ctx, int fd);

/* @fd, left to the kernel, was bound, listens or is being connected: its record says to what. @peer: an
 * address of @len bytes; 0 = none was given. */
void lifecycle_named(struct context *ctx, int fd, const void *peer, size_t len);

/* The socket @fd, if it is one of ours, goes on in the kernel. @reason: enum fs_reason; @detail may be NULL. */
void lifecycle_to_kernel(struct context *ctx, int fd, int reason, const char *detail);

/* A stdio stream was made of @fd. */
void lifecycle_stream(struct context *ctx, int fd);

/* @to is now a duplicate of @from. */
void lifecycle_duplicated(struct context *ctx, int from, int to);

/* The kernel made @fd of a descriptor that we did not see: it may be a duplicate of one of ours. Returns its cookie; 0 = it is no
 * Internet socket. */
uint64_t lifecycle_found(struct context *ctx, int fd);

/* @fd is about to be closed (or replaced by dup2). */
void lifecycle_closing(struct context *ctx, int fd);

/* The same of one that the context knows, and has not borrowed: who asked already need not pay for it twice. */
void lifecycle_closing_known(struct context *ctx, int fd);

/* A wrapper saw the kernel hand out @fd for something else: whatever we knew of it is stale. */
static inline void lifecycle_reused(struct context *ctx, int fd)
{
	if (context_knows(ctx, fd))
		lifecycle_closing(ctx, fd);
}

/* The process exits: report its sockets. */
void lifecycle_exit(struct context *ctx);

#endif
