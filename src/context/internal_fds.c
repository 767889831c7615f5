/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * internal_fds.c - see internal_fds.h.
 */
#include "context/internal_fds.h"

#include <fcntl.h>

#include "context/internal.h"
#include "context/sister.h"
#include "context/thread.h"
#include "context/watch.h"
#include "host/policy.h"
#include "sys/sys.h"

typedef context_fd_visit_fn visit_fn;

static bool visit_open(int *const fixed[], size_t n, visit_fn *visit, void *arg)
{
	for (size_t i = 0; i < n; i++)
		if (*fixed[i] > 2 && visit(fixed[i], arg))
			return true;
	return false;
}

bool context_fd_each_of_stack(struct context *ctx, visit_fn *visit, void *arg)
{
	int *fixed[] = { &ctx->arena.fd,	   &ctx->leases[0], &ctx->leases[1], &ctx->icmp[0],
			 &ctx->icmp[1], &ctx->local.pair[0], &ctx->local.pair[1] };

	if (visit_open(fixed, FS_ARRAY_SIZE(fixed), visit, arg))
		return true;
	for (unsigned i = 0; i < STATS_MAX_PROCS; i++)
		if (ctx->doorbell[i] >= 0 && visit(&ctx->doorbell[i], arg))
			return true;
	for (unsigned i = 0; i < ctx->n_handles; i++)
		for (int k = 0; k < ctx->handle[i].n_fds; k++)
			if (ctx->handle[i].fd[k] >= 0 && visit(&ctx->handle[i].fd[k], arg))
				return true;
	return false;
}

static bool visit_links(struct context *ctx, visit_fn *visit, void *arg)
{
	struct context_local *l = &ctx->local;

	for (unsigned i = 0; i < LOCAL_LINKS; i++) {
		int *fixed[] = { &l->hold[i].control, &l->hold[i].bell, &l->hold[i].far_bell };

		if (l->hold[i].serial && visit_open(fixed, FS_ARRAY_SIZE(fixed), visit, arg))
			return true;
	}
	for (unsigned i = 0; i < LOCAL_SPARE; i++)
		if (l->spare[i] > 0 && visit(&l->spare[i], arg))
			return true;
	for (unsigned i = 0; i < l->n_names; i++)
		if (visit(&l->name[i].fd, arg))
			return true;
	for (unsigned i = 0; i < l->n_coming; i++)
		if (visit(&l->coming[i].fd, arg))
			return true;
	return l->dir > 0 && visit(&l->dir, arg);
}

/* Every place that holds a descriptor of ours but the threads', until @visit says true. */
static bool for_each(struct context *ctx, visit_fn *visit, void *arg)
{
	int *fixed[] = { &ctx->nl.fd,  &ctx->monitor.nl.fd, &ctx->signal_fd,  &ctx->report_fd,
			 &ctx->log.fd, &ctx->helper.kick,   &ctx->helper.epfd, &ctx->pcap.fd };

	if (context_fd_each_of_stack(ctx, visit, arg) || visit_open(fixed, FS_ARRAY_SIZE(fixed), visit, arg))
		return true;
	if (ctx->config.local && visit_links(ctx, visit, arg))
		return true;
	for (unsigned i = 0; i < IP_MAX_PORTS; i++)
		if (ctx->owner[i].pid && visit(&ctx->owner[i].fd, arg))
			return true;
	if (watch_visit(ctx, visit, arg))
		return true;
	return ctx->policy &&
	       ((ctx->policy->netfilter.fd >= 0 && visit(&ctx->policy->netfilter.fd, arg)) ||
		(ctx->policy->xfrm.fd >= 0 && visit(&ctx->policy->xfrm.fd, arg)) ||
		(ctx->policy->cgroup >= 0 && visit(&ctx->policy->cgroup, arg)) ||
		(ctx->policy->tables[0] >= 0 && visit(&ctx->policy->tables[0], arg)) ||
		(ctx->policy->tables[1] >= 0 && visit(&ctx->policy->tables[1], arg)));
}

bool context_fd_close_in_exec(int *fd, void *arg)
{
	sys_fcntl(*fd, F_SETFD, FD_CLOEXEC);
	return false;
}

bool context_fd_stays_open(int fd)
{
	int flags = sys_fcntl(fd, F_GETFD, 0);

	return flags >= 0 && !(flags & FD_CLOEXEC);
}

static bool is_number(int *fd, void *arg)
{
	return *fd == *(int *)arg;
}

bool context_fd_is_internal(struct context *ctx, int fd)
{
	struct context *o;

	if (fd < ctx->fd_floor)
		return false;
	CONTEXT_EACH(o, ctx)
		if (fd_kind_of(&o->fds, fd) == FD_OURS || for_each(o, is_number, &fd))
			return true;
	return false;
}

struct range {
	unsigned from, last, found;
};

static bool lowest(int *fd, void *arg)
{
	struct range *r = arg;

	if ((unsigned)*fd >= r->from && (unsigned)*fd <= r->last && (unsigned)*fd < r->found)
		r->found = (unsigned)*fd;
	return false;
}

bool context_fd_next_internal(struct context *ctx, unsigned from, unsigned last, unsigned *found)
{
	struct range r = { .from = from, .last = last, .found = UINT32_MAX };
	struct context *o;

	CONTEXT_EACH(o, ctx) {
		for_each(o, lowest, &r);
		for (int fd = o->fd_floor; fd <= o->fds.highest; fd++)
			if (fd_kind_of(&o->fds, fd) == FD_OURS)
				lowest(&fd, &r);
	}
	*found = r.found;
	return r.found != UINT32_MAX;
}

static bool move(int *fd, void *arg)
{
	const struct context *ctx = ((void **)arg)[0];
	int number = *(int *)((void **)arg)[1], to;

	if (*fd != number)
		return false;
	to = sys_fcntl(number, F_DUPFD_CLOEXEC, ctx->fd_floor);
	if (to >= 0)
		*fd = to; /* the old number is about to be replaced, which closes it */
	return true;
}

/* Another thread's, perhaps: it finds the new number when it next goes to sleep. */
static void move_threads(struct context *ctx, int fd)
{
	struct fd_entry *e = fd_entry_at(&ctx->fds, fd);
	struct context_sleep *t;
	int to;

	if (!context_lock(ctx))
		return;
	t = e->object;
	to = e->kind == FD_OURS ? sys_fcntl(fd, F_DUPFD_CLOEXEC, ctx->fd_floor) : -1;
	if (to >= 0) {
		fs_store_relaxed(&t->epfd, to);
		context_fd_set(ctx, to, FD_OURS, t, 0);
		context_fd_set(ctx, fd, FD_NONE, NULL, 0);
	}
	context_unlock(ctx);
}

static void move_internal(struct context *ctx, int fd)
{
	void *arg[2] = { ctx, &fd };

	if (fd_kind_of(&ctx->fds, fd) == FD_OURS)
		move_threads(ctx, fd);
	else
		for_each(ctx, move, arg);
	context_memory_moved(ctx);
	for (unsigned i = 0; i < ctx->n_handles; i++)
		if (ctx->handle[i].ops)
			context_note_hold(ctx, i);
}

void context_fd_move_internal(struct context *ctx, int fd)
{
	struct context *o;

	if (fd < ctx->fd_floor)
		return;
	CONTEXT_EACH(o, ctx)
		move_internal(o, fd);
}
