/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * handover.h - connections of the engine's move to the kernel (DESIGN D13), unnoticed by the peer.
 *
 * Used on request for one or for all, when a program is executed that inherits them, when a process may not go on with
 * what it inherited, when a descriptor is given to stdio, and at exit for what is not finished. Needs CAP_NET_ADMIN.
 * Without it a connection stays, and at exit the peer gets what exit_linger allows, then RST.
 *
 * Threads:  holder of the stack's lock, unless marked.
 * Errors:   -errno: -EPERM, or why the connection cannot move now; it goes on in the engine.
 */
#ifndef FSOCK_CONTEXT_HANDOVER_H
#define FSOCK_CONTEXT_HANDOVER_H

#include "context/context.h"

/* The connection of @s goes on in its shadow. 0 also where it has none: what listens or did not connect yet is left to
 * the kernel. @reason: what its record says from then on. */
int handover_sock(struct context *ctx, struct sock *s, int reason);

/* @conn, whose user is told by the caller, goes on as @fd, a fresh socket or one bound to its port. */
int handover_conn(struct context *ctx, struct tcp_conn *conn, int fd);

/* Those whose handshake with the listener @s is under way complete it with its shadow. Who cannot is forgotten. */
void handover_begun(struct context *ctx, struct sock *s);

/* And those that wait for accept() go along with it, into the queue of its shadow. Who cannot is reset. */
void handover_waiting(struct context *ctx, struct sock *s);

/* handover_sock() by number, with the lock not held. -EBADF: no socket of ours. */
int handover_fd(struct context *ctx, int fd, int reason);

/* All streams of the stack's @port go on in the kernel, as far as they can; of those without a descriptor, this process's. */
void handover_port(struct context *ctx, unsigned port, int reason, const char *detail);

/* What the program about to be executed inherits, and what ends with this one. Lock not held. */
void handover_before_exec(struct context *ctx);

/* The process ends: its connections are closed, and those move that are not finished, or that children hold who have made
 * no call yet. Lock held, let go of in between. */
void handover_at_exit(struct context *ctx);

/* Forget connections that moved a while ago. */
void handover_settle(struct context *ctx);

/* Somebody asked through the stack's memory (`fsock handover`), or by the option's signal: do it. */
void handover_look(struct context *ctx);

/* Has somebody, and nobody did it yet? No lock needed. */
bool handover_is_asked(const struct context *ctx);

/* Once there is @home: the signal that the option handover_signal names asks for all of the process's, by a handler; not
 * in a program that has one of its own. No lock. */
void handover_heed_signal(const struct context *home);

#endif
