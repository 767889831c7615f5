/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * passed.h - connections whose descriptor is sent to another process in a message (SCM_RIGHTS).
 *
 * Nobody knows who will receive it, so the connection moves to the kernel before (handover.h). That takes
 * CAP_NET_ADMIN, which servers give up whose parts send connections to each other. Then it stays in the stack, and the
 * descriptor means something to the processes of this stack alone, which know the socket by its cookie. On its way it
 * is held like what a child inherits (0014): a sender's close does not end it. What nobody took within a minute ends.
 *
 * Threads:  any; the lock is not held, unless marked.
 * Errors:   none: the message is sent all the same, as the kernel would.
 */
#ifndef FSOCK_CONTEXT_PASSED_H
#define FSOCK_CONTEXT_PASSED_H

#include "context/context.h"

struct sock;

/* @fd is about to be sent; and was not, after all. Any descriptor, @ctx NULL where it is none of ours. */
void passed_send(struct context *ctx, int fd);
void passed_send_failed(struct context *ctx, int fd);

/* @fd came in a message to this process; its number may have meant something else before. @peeked: it comes again. */
void passed_receive(struct context *ctx, int fd, bool peeked);

/* What was not received in time is nobody's; nor what was not when the stack's last process ends. Lock held. */
void passed_forget(struct context *ctx);
void passed_end(struct context *ctx);

/* @s, of which was_passed says so, ends. Lock held. */
void passed_end_sock(struct context *ctx, struct sock *s);

#endif
