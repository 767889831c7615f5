/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * local_internal.h - what local.c, local_name.c and local_scope.c share. All with the stack's lock held.
 */
#ifndef FSOCK_CONTEXT_LOCAL_INTERNAL_H
#define FSOCK_CONTEXT_LOCAL_INTERNAL_H

#include <stdint.h>

#include "context/local.h"
#include "local/format.h"

/* stack->local, made if need be. 0 or -ENOMEM. */
int local_table(struct context *ctx);

/* A place for one more link, or -ENOBUFS. */
int local_place(struct context *ctx);

/* How large the arenas are that this side makes. */
struct local_agreed local_own_size(void);

/* Link @index begins, on @side, over the descriptor @memory of @len bytes, with the descriptors of *@fds, which are its
 * then. 0 or -errno; @memory stays the caller's. */
int local_begin(struct context *ctx, unsigned index, unsigned side, int memory, uint64_t len,
		const struct local_hold *fds);

/* The other stack of link @index is no more. */
void local_lost(struct context *ctx, unsigned index);

/* @s listens under @name from now on, or, if others listen at its address and port (SO_REUSEPORT), the next one that is
 * free; @in_dir: in the directory. 0 or -errno. */
int local_name_publish(struct context *ctx, struct sock *s, const struct host_meet_name *name, bool in_dir);

/* This process has name @i no more. */
void local_name_drop(struct context *ctx, unsigned i);

/* Names in the directory for @s, as far as they can be had. */
void local_scope_publish(struct context *ctx, struct sock *s);

/* Look at names, at who has dialled, and whether other stacks are still there. */
void local_look(struct context *ctx);

#endif
