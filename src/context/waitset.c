/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * waitset.c - see waitset.h.
 */
#include "context/waitset.h"

#include <sys/epoll.h>

#include "context/internal.h"
#include "context/local.h"
#include "socket/epoll.h"
#include "sys/sys.h"

/* Ports that came; a closed one left by itself. Lock held. */
static void refresh(struct context *ctx, struct waitset *w)
{
	struct epoll_event event = { .events = EPOLLIN };

	if (w->ports_serial == ctx->stack->ports_serial)
		return;
	sys_epoll_ctl(w->fd, EPOLL_CTL_ADD, ctx->monitor.nl.fd, &event); /* an interface that goes */
	for (unsigned i = 0; i < ctx->n_handles; i++) {
		struct provider_handle *h = &ctx->handle[i];

		if (h->ops) /* -EEXIST is fine */
			sys_epoll_ctl(w->fd, EPOLL_CTL_ADD, h->ops->wait_fd(h), &event);
	}
	if (ctx->stack->local)
		local_watch(ctx, w->fd, 0);
	w->ports_serial = ctx->stack->ports_serial;
}

/* Bells are never read: their edges are taken by asking for events. True: there were some. */
static bool take_edge(const struct waitset *w)
{
	struct epoll_event events[IP_MAX_PORTS + 4 + LOCAL_WATCHED];

	return sys_epoll_pwait(w->fd, events, FS_ARRAY_SIZE(events), 0, NULL) > 0;
}

/* Count this process among those who sleep for the stack's half of the set. Lock held. */
static void count(struct context *ctx, struct waitset *w)
{
	struct fd_entry *e = fd_entry_at(&ctx->fds, w->inner);

	if (w->armed || ctx->slot >= STATS_MAX_PROCS || !e || e->kind != FD_EPOLL)
		return; /* a set of the kernel's alone tells by itself */
	w->armed = e->object;
	w->slot = ctx->slot;
	epoll_set_hold(w->armed, w->slot); /* its memory stays until it is uncounted */
	sleepers_add(&w->armed->sleepers, w->slot);
	ctx->stack->proc[w->slot].sleepers++;
}

static void uncount(struct context *ctx, struct waitset *w)
{
	struct epoll_set *set = w->armed;

	if (!set)
		return;
	w->armed = NULL;
	if (ctx->slot != w->slot)
		return; /* a child with its parent's group: what is counted is the parent's */
	sleepers_remove(&set->sleepers, w->slot);
	ctx->stack->proc[w->slot].sleepers--;
	epoll_set_let(set, w->slot);
	context_set_settle(ctx, set);
}

void waitset_disarm(struct context *ctx, struct waitset *w)
{
	if (!context_lock(ctx))
		return;
	uncount(ctx, w);
	context_unlock(ctx);
}

void waitset_arm(struct context *ctx, struct waitset *w)
{
	bool rung = take_edge(w);

	if (!context_lock(ctx))
		return; /* a broken stack: what comes, comes by the inner descriptor */
	if (context_joined(ctx)) {
		w->rung = false;
		if (rung) /* it may be a name's, a caller's or an end's, which are told once */
			ctx->local.next_look = 0;
		/* A set of the kernel's alone drives nothing: notifications would stay, and keep @w readable. */
		context_poll(ctx);
		refresh(ctx, w);
		/* Who delivers holds the lock: it sees the count and rings, or the look that follows
		 * finds what it queued. */
		count(ctx, w);
		for (unsigned i = 0; i < ctx->n_handles; i++)
			if (ctx->handle[i].ops)
				ctx->handle[i].ops->arm(&ctx->handle[i]);
		if (ctx->stack->local)
			local_arm(ctx);
	}
	context_ring(ctx);
	context_unlock(ctx);
}

void waitset_keep(struct context *ctx, struct waitset *w)
{
	uint64_t one = 1;

	if (w->rung || !context_lock(ctx))
		return;
	w->rung = true;
	uncount(ctx, w);
	if (ctx->slot < STATS_MAX_PROCS)
		sys_write(ctx->doorbell[ctx->slot], &one, sizeof(one));
	context_unlock(ctx);
}

int waitset_open(struct context *ctx, struct waitset *w, int inner)
{
	struct epoll_event level = { .events = EPOLLIN, .data.u64 = WAITSET_INNER }, edge = { .events = EPOLLIN | EPOLLET };
	int fd = sys_epoll_create1(EPOLL_CLOEXEC), ret;

	if (fd < 0)
		return fd;
	*w = (struct waitset){ .fd = -1, .inner = inner };
	ret = sys_epoll_ctl(fd, EPOLL_CTL_ADD, inner, &level);
	if (ret == 0 && context_lock(ctx)) {
		if (context_joined(ctx)) {
			ret = sys_epoll_ctl(fd, EPOLL_CTL_ADD, ctx->doorbell[ctx->slot], &edge);
			w->ports_serial = ctx->stack->ports_serial - 1;
		}
		context_unlock(ctx);
	}
	if (ret < 0) {
		sys_close(fd);
		return ret;
	}
	w->fd = fd;
	waitset_keep(ctx, w); /* readable until somebody looked and armed it */
	return 0;
}

void waitset_close(struct context *ctx, struct waitset *w)
{
	if (w->fd < 0)
		return;
	if (context_lock(ctx)) {
		uncount(ctx, w);
		context_unlock(ctx);
	}
	sys_close(w->fd);
	w->fd = -1;
}
