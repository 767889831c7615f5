/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * descriptors.c - numbers go, are copied, and turn out to mean something else; and the process's end.
 */
#include <errno.h>

#include "base/reason.h"
#include "context/handover.h"
#include "context/internal.h"
#include "context/lifecycle.h"
#include "context/sister.h"
#include "context/stay.h"
#include "context/stream_internal.h"
#include "context/watch.h"
#include "socket/epoll.h"
#include "sys/sys.h"

/* Its last descriptor here goes: those who ended without a call keep nothing open, as in the kernel. */
static void forget_the_dead(struct context *ctx, const struct sock *s)
{
	if (s->refs[ctx->slot] > 1)
		return;
	if (sock_refs(s) > s->refs[ctx->slot])
		context_bury_dead(ctx);
	if (s->heirs & ~CONTEXT_IN_MESSAGE)
		context_forget_gone_heirs(ctx, true);
}

static void put_sock(struct context *ctx, struct sock *s)
{
	if (ctx->slot < STATS_MAX_PROCS)
		forget_the_dead(ctx, s);
	if (ctx->slot < STATS_MAX_PROCS && s->refs[ctx->slot])
		s->refs[ctx->slot]--;
	if (context_sock_settle(ctx, s) || sock_refs(s))
		return;
	/* Threads sleep in it: the last to leave frees it (datagram.c). They must leave. */
	ctx->to_ring |= sock_sleepers(s);
	if (s->heirs)
		return;
	context_give_back(ctx, s, FS_REASON_none);
	if (s->protocol == SOCK_TCP)
		stream_end(ctx, s); /* the connection ends as the descriptor did */
	context_demote(ctx, s, FS_REASON_shutdown, NULL);
}

static void forget(struct context *ctx, struct fd_entry *e)
{
	struct sock *s = e->object;
	struct epoll_set *set = e->object;
	struct stats_sock *record = e->object;

	switch ((enum fd_kind)e->kind) {
	case FD_SOCK:
	case FD_STREAM:
		if (s->generation == e->generation)
			put_sock(ctx, s);
		break;
	case FD_RECORD:
		if (record->pid == ctx->pid) /* an inherited one is its maker's */
			context_record_close(ctx, record);
		break;
	case FD_EPOLL:
		epoll_set_let(set, ctx->slot);
		context_set_settle(ctx, set);
		break;
	case FD_NONE:
	case FD_OURS:
		break;
	}
}

bool context_names(int fd, const struct sock *s)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	return sys_getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) == 0 && cookie == s->cookie;
}

void context_check_descriptor(struct context *ctx, int fd)
{
	struct fd_entry *e = fd_entry_at(&ctx->fds, fd);
	struct sock *s = e ? e->object : NULL;

	if (!e || !fd_kind_is_sock(e->kind) || s->generation != e->generation)
		return;
	e->checked = ctx->now;
	if (context_names(fd, s))
		return;
	record_reason(s->record, FS_REASON_fd_passed, "closed or replaced outside fsock's sight");
	context_fd_forget(ctx, fd);
}

void context_check_old_descriptor(struct context *ctx, int fd)
{
	const struct fd_entry *e = fd_entry_at(&ctx->fds, fd);

	ctx->now = host_clock_now(&ctx->clock);
	if (e && ctx->now - e->checked >= CONTEXT_CHECKED_NS)
		context_check_descriptor(ctx, fd);
}

void context_fd_forget(struct context *ctx, int fd)
{
	struct fd_entry *e = fd_entry_at(&ctx->fds, fd);

	if (!e)
		return;
	forget(ctx, e);
	fs_store_release(&e->kind, (uint32_t)FD_NONE);
}

static void closing(struct context *ctx, int fd)
{
	struct fd_entry *e;

	if (fd_kind_of(&ctx->fds, fd) == FD_NONE || !context_lock(ctx))
		return;
	e = fd_entry_at(&ctx->fds, fd);
	if (e->kind == FD_OURS) { /* nobody closes these but us */
		context_leave(ctx);
		return;
	}
	stay_look(ctx);
	/* A child that has not joined holds no references yet; closing is no use that makes it join. */
	if (ctx->slot < STATS_MAX_PROCS || e->kind == FD_RECORD)
		forget(ctx, e);
	else
		context_heir_closed(ctx, fd);
	if (e->kind == FD_EPOLL)
		watch_forget(ctx, fd); /* or the ring would keep the set alive */
	fs_store_release(&e->kind, (uint32_t)FD_NONE);
	context_leave(ctx);
}

/* Twice, for a twin that was made between (sister.h). */
void lifecycle_closing_known(struct context *ctx, int fd)
{
	struct context *o;

	CONTEXT_EACH(o, ctx)
		closing(o, fd);
	if (ctx->n_stacks > 1)
		CONTEXT_EACH(o, ctx)
			closing(o, fd);
}

/* Of a child in whose memory the stacks are not. */
static void forget_foreign(struct context *ctx, int fd)
{
	struct fd_entry *e = fd_entry_at(&ctx->fds, fd);

	if (e && fs_load_relaxed(ctx->alive) == CONTEXT_FOREIGN)
		fs_store_release(&e->kind, (uint32_t)FD_NONE);
}

void lifecycle_closing(struct context *ctx, int fd)
{
	struct context *o;

	CONTEXT_EACH(o, ctx)
		forget_foreign(o, fd);
	if (context_knows(ctx, fd) && !context_is_borrowed(ctx))
		lifecycle_closing_known(ctx, fd);
}

/* @to means what @from does. */
static void copy_entry(struct context *ctx, int from, int to)
{
	const struct fd_entry *e = fd_entry_at(&ctx->fds, from);
	bool counted = ctx->slot < STATS_MAX_PROCS; /* else joining counts what there is */

	if (fd_kind_is_sock(e->kind)) {
		struct sock *s = e->object;

		if (s->generation == e->generation) {
			if (counted)
				s->refs[ctx->slot]++;
			context_fd_set(ctx, to, (enum fd_kind)e->kind, s, s->generation);
		}
	} else if (e->kind == FD_EPOLL) {
		if (counted)
			epoll_set_hold(e->object, ctx->slot);
		context_fd_set(ctx, to, FD_EPOLL, e->object, e->generation);
	}
}

void lifecycle_duplicated(struct context *ctx, int from, int to)
{
	struct context *o;

	if (context_is_borrowed(ctx))
		return;
	lifecycle_reused(ctx, to);
	CONTEXT_EACH(o, ctx) {
		if (fd_kind_of(&o->fds, from) == FD_NONE || !context_lock(o))
			continue;
		copy_entry(o, from, to);
		context_unlock(o);
	}
}

static void find_duplicate(struct context *ctx, int fd, uint64_t cookie)
{
	if (!context_lock(ctx))
		return;
	for (int i = 0; i <= ctx->fds.highest; i++) {
		const struct sock *s = context_live_sock(ctx, i);

		if (s && s->cookie == cookie) {
			copy_entry(ctx, i, fd);
			break;
		}
	}
	context_unlock(ctx);
}

/* Of an Internet socket; 0 = it is none. */
static uint64_t internet_cookie(int fd)
{
	uint64_t cookie = 0;
	int domain = 0;
	socklen_t cookie_len = sizeof(cookie), domain_len = sizeof(domain);

	if (sys_getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &domain_len) < 0 ||
	    (domain != AF_INET && domain != AF_INET6) ||
	    sys_getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &cookie_len) < 0)
		return 0;
	return cookie;
}

uint64_t lifecycle_found(struct context *ctx, int fd)
{
	struct context *o;
	uint64_t cookie;

	if (context_is_borrowed(ctx))
		return 0;
	lifecycle_reused(ctx, fd);
	cookie = internet_cookie(fd);
	if (cookie == 0)
		return 0;
	CONTEXT_EACH(o, ctx)
		find_duplicate(o, fd, cookie);
	return cookie;
}

/*
 * A child that has not joined holds nothing of the stack's, and does not wait for it: who forked it may have the lock,
 * and wait for its end, in a signal handler. What it leaves behind others find.
 */
static bool lock_to_end(struct context *ctx)
{
	return ctx->slot < STATS_MAX_PROCS ? context_lock(ctx) : context_trylock(ctx);
}

static void leave_stack(struct context *ctx)
{
	if (!lock_to_end(ctx))
		return;
	if (ctx->slot < STATS_MAX_PROCS)
		bare_bury(ctx, ctx->slot);
	context_publish(ctx);
	context_give_back_all(ctx, FS_REASON_none);
	handover_at_exit(ctx);
	local_scope_leave(ctx);
	context_hand_on_records(ctx);
	for (uint32_t i = 0; ctx->report_fd >= 0 && i < ctx->stack->head.n_socks; i++)
		if (ctx->stack->records[i].pid == ctx->pid)
			context_record_close(ctx, &ctx->stack->records[i]);
	context_unlock(ctx);
}

/* The other threads, the helper too, would be killed wherever they are. */
static void keep_others_out(struct context *ctx)
{
	if (!lock_to_end(ctx))
		return;
	ctx->exiting = context_tid();
	context_unlock(ctx);
}

void lifecycle_exit(struct context *ctx)
{
	struct context *o;

	if (context_is_borrowed(ctx))
		return;
	CONTEXT_EACH(o, ctx)
		leave_stack(o);
	for (unsigned i = 0; i < ctx->n_stacks; i++) /* home first: who has its lock may want a sister's */
		keep_others_out(ctx->stacks[i]);
}
