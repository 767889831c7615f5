/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * heir.c - what a forked child inherited waits for it until it joins (docs/decisions/0014).
 *
 * References are counted by process slot, and a child has none before its first call on a socket. Until
 * then it is an heir: a note in the stack, and one bit in every socket and epoll set that its parent had
 * at the fork. Whatever has heirs outlives its last reference. The note goes when the child joins,
 * closes what it inherited, ends, or execs.
 */
#include <string.h>

#include "base/reason.h"
#include "context/internal.h"
#include "context/passed.h"
#include "socket/epoll.h"
#include "sys/sys.h"

#define BIRTH_NS FS_SEC(3) /* a child that has not said its number by then was never born */

static void take_bit_of(struct list *socks, uint64_t bit)
{
	struct list *e;

	LIST_FOR_EACH(e, socks)
		FS_CONTAINER_OF(e, struct sock, all)->heirs &= ~bit;
}

static void take_bit(struct context *ctx, unsigned heir)
{
	uint64_t bit = 1ULL << heir;
	struct list *e;

	take_bit_of(&ctx->stack->all_socks, bit);
	take_bit_of(&ctx->stack->all_streams, bit);
	LIST_FOR_EACH(e, &ctx->stack->all_sets) {
		struct epoll_set *set = FS_CONTAINER_OF(e, struct epoll_set, all);

		set->heirs &= ~bit;
	}
	ctx->stack->heir[heir] = (struct stack_heir){ 0 };
}

static enum context_presence presence(const struct context *ctx, const struct stack_heir *h)
{
	uint32_t pid = fs_load_acquire(&h->pid);

	if (pid == 0)
		return host_clock_kernel() - h->since > BIRTH_NS ? CONTEXT_GONE : CONTEXT_HERE;
	return context_presence(ctx, pid, fs_load_relaxed(&h->memory_fd));
}

/* Whether it will ever read cannot be known: what waits for it alone waits with its queue, and without
 * taking frames that somebody else may have a use for by now. */
static void stop_steering_for(struct context *ctx, struct list *socks, unsigned heir)
{
	struct list *e;

	LIST_FOR_EACH(e, socks) {
		struct sock *s = FS_CONTAINER_OF(e, struct sock, all);

		if (!(s->heirs & 1ULL << heir) || sock_refs(s) || s->way == SOCK_KERNEL)
			continue;
		context_dismiss(ctx, s, FS_REASON_join_denied, "its last holder cannot be seen");
	}
}

void context_forget_gone_heirs(struct context *ctx, bool sees)
{
	passed_forget(ctx);
	for (unsigned i = 0; i < STACK_HEIRS; i++) {
		enum context_presence seen;

		if (!ctx->stack->heir[i].since)
			continue;
		seen = presence(ctx, &ctx->stack->heir[i]);
		if (seen == CONTEXT_GONE)
			take_bit(ctx, i);
		if (!sees || seen != CONTEXT_UNSEEN || ctx->slot >= STATS_MAX_PROCS)
			continue;
		stop_steering_for(ctx, &ctx->stack->all_socks, i);
		stop_steering_for(ctx, &ctx->stack->all_streams, i);
	}
}

static int free_note(const struct stack *s)
{
	for (int i = 0; i < STACK_HEIRS; i++)
		if (!s->heir[i].since)
			return i;
	return -1;
}

void context_heir_expected(struct context *ctx)
{
	int heir = free_note(ctx->stack);

	if (heir < 0) {
		context_forget_gone_heirs(ctx, true);
		heir = free_note(ctx->stack);
	}
	ctx->next_heir = heir;
	if (heir < 0)
		return; /* what this child inherits ends with its other holders */
	ctx->stack->heir[heir] = (struct stack_heir){ .since = host_clock_kernel(),
						      .memory_fd = ctx->arena.fd };
	for (int fd = 0; fd <= ctx->fds.highest; fd++) {
		struct fd_entry *e = fd_entry_at(&ctx->fds, fd);
		struct sock *s = context_live_sock(ctx, fd);

		if (s)
			s->heirs |= 1ULL << heir;
		else if (e && e->kind == FD_EPOLL &&
			 epoll_set_generation(e->object) == e->generation)
			((struct epoll_set *)e->object)->heirs |= 1ULL << heir;
	}
}

void context_heir_born(struct context *ctx)
{
	ctx->heir = ctx->next_heir;
	ctx->next_heir = -1;
	if (ctx->heir >= 0)
		fs_store_release(&ctx->stack->heir[ctx->heir].pid, ctx->pid);
}

void context_heir_joined(struct context *ctx)
{
	if (ctx->heir < 0)
		return;
	take_bit(ctx, (unsigned)ctx->heir);
	ctx->heir = -1;
	context_settle(ctx);
}

void context_heir_closed(struct context *ctx, int fd)
{
	struct fd_entry *closed = fd_entry_at(&ctx->fds, fd);
	uint64_t *heirs;

	if (ctx->heir < 0)
		return;
	for (int i = 0; i <= ctx->fds.highest; i++) {
		const struct fd_entry *e = fd_entry_at(&ctx->fds, i);

		if (i != fd && e && e->kind == closed->kind && e->object == closed->object)
			return; /* a duplicate of it is left */
	}
	if (context_live_sock(ctx, fd))
		heirs = &((struct sock *)closed->object)->heirs;
	else if (closed->kind == FD_EPOLL && epoll_set_generation(closed->object) == closed->generation)
		heirs = &((struct epoll_set *)closed->object)->heirs;
	else
		return;
	*heirs &= ~(1ULL << ctx->heir);
	ctx->stack->lingering = true; /* somebody who joined looks whether that was the last */
}

/* --- what is nobody's any more --- */

/* Take out what @s has in steering. False: this process does not hold every port it is on, and what stayed
 * would go on taking frames that have no receiver. */
static bool take_entries_out(struct context *ctx, struct sock *s)
{
	if (ctx->slot >= STATS_MAX_PROCS)
		return false;
	context_give_back(ctx, s, FS_REASON_none); /* before, or what is under way to it would meet nobody */
	context_unsteer(ctx, s);
	return !context_is_steered(s);
}

bool context_sock_settle(struct context *ctx, struct sock *s)
{
	if (sock_refs(s) || sock_is_used(s))
		return false;
	if (s->heirs || !take_entries_out(ctx, s)) {
		ctx->stack->lingering = true;
		return false;
	}
	context_sock_free(ctx, s);
	return true;
}

void context_set_settle(struct context *ctx, struct epoll_set *set)
{
	if (epoll_set_is_held(set))
		return;
	if (set->heirs) {
		ctx->stack->lingering = true;
		return;
	}
	epoll_set_clear(set);
	list_remove(&set->all);
	slab_free(&ctx->stack->sets, set);
}

void context_settle(struct context *ctx)
{
	struct list *e, *following;

	ctx->stack->lingering = false; /* what lingers on sets it again */
	LIST_FOR_EACH_SAFE(e, following, &ctx->stack->all_socks)
		context_sock_settle(ctx, FS_CONTAINER_OF(e, struct sock, all));
	LIST_FOR_EACH_SAFE(e, following, &ctx->stack->all_streams)
		context_sock_settle(ctx, FS_CONTAINER_OF(e, struct sock, all));
	LIST_FOR_EACH_SAFE(e, following, &ctx->stack->all_sets)
		context_set_settle(ctx, FS_CONTAINER_OF(e, struct epoll_set, all));
}

void context_look_at_heirs(struct context *ctx, bool sees)
{
	context_forget_gone_heirs(ctx, sees);
	if (ctx->stack->lingering && ctx->slot < STATS_MAX_PROCS)
		context_settle(ctx);
}
