/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lent.c - sockets that a service manager has as well, which gives them to the next instance of the service.
 *
 * What waits in a listener of the kernel's that its service closes, waits for that next instance. So where the service lets
 * go of one, its shadow gets what waits in the engine and is what the manager gave away: without our O_NONBLOCK, and a
 * datagram socket with the receive buffer that it had. A process that is killed gives nothing back.
 */
#include "base/reason.h"
#include "context/internal.h"
#include "context/lifecycle.h"
#include "context/stream_internal.h"

void lifecycle_lent(struct context *ctx, int fd)
{
	struct sock *s = context_enter(ctx, fd);

	if (!s)
		s = stream_enter(ctx, fd);
	if (!s)
		return;
	s->lent = true;
	ctx->presets.read_at = 0; /* read from this one, they are its own */
	context_leave(ctx);
}

void context_give_back(struct context *ctx, struct sock *s, int reason)
{
	int fd;

	if (!s->lent)
		return;
	if (s->protocol == SOCK_TCP) {
		stream_give_back(ctx, s, reason);
		return;
	}
	fd = stream_number(ctx, s);
	if (fd >= 0 && context_names(fd, s))
		context_narrow(s, fd);
}

/* --- at exit and before exec --- */

static bool is_held_here(const struct context *ctx, const struct sock *s)
{
	return s->lent && s->refs[ctx->slot];
}

static bool is_held_elsewhere(const struct context *ctx, const struct sock *s)
{
	return sock_refs(s) > s->refs[ctx->slot];
}

/* Does somebody else seem to hold one that is held here? */
static bool are_shared(const struct context *ctx, const struct list *socks)
{
	struct list *e;

	LIST_FOR_EACH(e, socks) {
		const struct sock *s = FS_CONTAINER_OF(e, struct sock, all);

		if (is_held_here(ctx, s) && (is_held_elsewhere(ctx, s) || s->heirs))
			return true;
	}
	return false;
}

/* Of several processes that end at a time none may wait for the others: who leaves one to them counts no more. */
static void let_go(struct context *ctx, struct list *socks, int reason)
{
	struct list *e;

	LIST_FOR_EACH(e, socks) {
		struct sock *s = FS_CONTAINER_OF(e, struct sock, all);

		if (!is_held_here(ctx, s))
			continue;
		if (!is_held_elsewhere(ctx, s))
			context_give_back(ctx, s, reason);
		else if (reason == FS_REASON_none)
			s->refs[ctx->slot] = 0;
	}
}

void context_give_back_all(struct context *ctx, int reason)
{
	if (ctx->slot >= STATS_MAX_PROCS)
		return;
	if (are_shared(ctx, &ctx->stack->all_socks) || are_shared(ctx, &ctx->stack->all_streams)) {
		context_bury_dead(ctx);
		context_forget_gone_heirs(ctx, true);
	}
	let_go(ctx, &ctx->stack->all_socks, reason);
	let_go(ctx, &ctx->stack->all_streams, reason);
}
