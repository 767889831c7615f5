/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sister.h - several stacks in one process (docs/decisions/0036).
 *
 * Where an interface has several receive queues, and the option `stacks` asks for it, a process has several stacks that
 * divide these between them: home, which is its first, and sisters. Each has memory, lock, engine, ports and helper
 * thread of its own, so that threads which work on different connections do not wait for each other.
 *
 * Home has everything that a process has without sisters: all sockets of UDP, connections that the process begins,
 * listeners, the ports' steering. Sisters have twins of its listeners, and the connections that these accept: what
 * comes to their queues begins there and stays there. A frame that comes to another stack's queue is passed to its owner
 * through memory that they share (base/passage.h, tcp/shares.h).
 *
 * A number may mean something in several stacks: a listener and its twins, an epoll set with members in each.
 * What moves bytes goes to the first that knows it, context_of(); what changes a descriptor goes to all, CONTEXT_EACH.
 *
 * Lock order: home's before a sister's; who has a sister's only tries others'.
 */
#ifndef FSOCK_CONTEXT_SISTER_H
#define FSOCK_CONTEXT_SISTER_H

#include <stdbool.h>
#include <stdint.h>

#include "context/context.h"

struct fbuf;
struct ip_env;
struct packet;
struct sock;

/* --- which; no lock --- */

/* The same where there are several. */
struct context *sister_of(struct context *home, int fd);

/* The stack that moves the bytes of @fd; home where none knows it. NULL: there is no context. */
static inline struct context *context_of(struct context *home, int fd)
{
	return __builtin_expect(!home || fs_load_acquire(&home->n_stacks) == 1, 1) ? home : sister_of(home, fd);
}

/* Does any of them know @fd? */
bool sisters_know(struct context *home, int fd);

static inline bool context_knows(struct context *home, int fd)
{
	if (!home)
		return false;
	if (__builtin_expect(fs_load_acquire(&home->n_stacks) == 1, 1))
		return fd_kind_of(&home->fds, fd) != FD_NONE;
	return sisters_know(home, fd);
}

/* Every stack of @home's process in turn, home last. */
#define CONTEXT_EACH(o, home)                                                                                    \
	for (unsigned left_ = (home) ? fs_load_acquire(&(home)->n_stacks) : 0;                                   \
	     left_ > 0 && ((o) = (home)->stacks[left_ - 1], true); left_--)

/* --- breaking --- */

/*
 * One of the process's stacks broke: the others are given up, too. Home's has the steering, and a kernel that answers for a
 * port of home's is kept from it; what a sister has counted as hers leads nowhere. So as with one stack all connections are
 * reset at both ends, and listeners are the kernel's. Locks of others may be held; what is in use is left to its helper.
 */
void sisters_follow(struct context *ctx);

/* Has one of them broken, but not @ctx? It follows, no lock held. */
void sister_follow(struct context *ctx);

/* --- making --- */

/* A port of home's is about to open on an interface with @queues receive queues: have the sisters that the options ask
 * for. Home's lock held. */
void sisters_want(struct context *home, uint32_t queues);

/* What this stack serves of @queues: the first one, and how many. */
void sister_share(const struct context *ctx, uint32_t queues, uint32_t *first, uint32_t *n);

/* Home's port in @slot has opened: the sisters open theirs beside it. False: they could not. Home's lock held. */
bool sisters_open(struct context *home, unsigned slot);

/* What home's port of the interface is left for holds for the sisters': their sockets there go to the kernel. Home's lock
 * held; nothing where @home is not. */
void sisters_demote(struct context *home, uint32_t ifindex, int reason, const char *detail);

/* Home's port of the interface closes: theirs, too. Home's lock held. */
void sisters_close(struct context *home, uint32_t ifindex);

/* The engine of @ctx counts its ends where its sisters see them, if it has any. Its lock held. */
void sister_lend(struct context *ctx);

/* This process, a child, joined home: join its sisters. Home's lock held. */
void sisters_join(struct context *home);

/* --- locks --- */

/* As context_lock(), where home's may be held: this process drives @o. */
bool sister_enter(struct context *o);
/* As context_leave(). */
void sister_leave(struct context *o);

/* --- driving; the stack's lock held --- */

/* Drive the sisters as well that nobody else drives, and tell the others what there is for them. Frames taken. */
unsigned sisters_poll(struct context *ctx);

/* What waits in the passages for this stack. Frames taken. */
unsigned sister_receive(struct context *ctx);

/* There is something for the sisters in ctx->to_tell: whoever drives them shall look. */
void sisters_tell(struct context *ctx);

/* What waits in sisters for the end of this thread's turn leaves. No lock. */
void sisters_flush(struct context *ctx);

/* tcp_ops.pass_on. */
void sister_pass_on(void *context, struct fbuf *frame, unsigned stack, uint32_t passed);

/* ip_env.input of a sister: datagrams are home's. */
void sister_pass_datagram(const struct ip_env *env, const struct packet *p, struct fbuf *frame, fs_ns now);

/* --- listeners --- */

/* Home listens on @fd with this @backlog, as @listener was just now: twins do. No lock. */
void sisters_listen(struct context *home, int fd, const struct sock *listener, uint32_t backlog);

/* The twin @s has one more connection: home is told. A sister's lock held. */
void sister_incoming(struct context *ctx, struct sock *s);

/* Of those that wait at home's listener @s and its twins, where is the next one? Its turn is taken. Index of the stack,
 * -1: there is none. Home's lock held. */
int sister_next(const struct context *home, struct sock *s);

/* That one waits on, where it did: there was no descriptor. Home's lock held. */
void sister_undo(struct context *home, struct sock *s, unsigned stack);

/* Call @what for each twin of home's listener @s, with its stack's lock. Home's lock held. */
typedef void sister_twin_fn(struct context *ctx, struct sock *twin, int reason);
void sisters_each_twin(struct context *home, struct sock *s, sister_twin_fn *what, int reason);

/* Is it home, and are there sisters? */
static inline bool sister_has_twins(const struct context *ctx)
{
	return ctx->n_stacks > 1 && ctx->index == 0;
}

#endif
