/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * watch.c - see watch.h.
 */
#include "context/watch.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "context/internal.h"
#include "context/thread.h"
#include "host/watch.h"
#include "socket/epoll.h"

#define WATCHED_NS FS_MS(1) /* between looks at the kernel's half of a set of which nothing was heard */

enum { NO_RING = UINT8_MAX /* it asked for one in vain */ };

/* A ring for this thread, if there is room for one. */
static struct host_watch *open_ring(struct context *ctx)
{
	int error = 0;

	context_thread.watch = NO_RING;
	if (ctx->watch_denied)
		return NULL;
	for (unsigned i = 0; i < CONTEXT_WATCHES; i++) {
		struct context_watch *w = &ctx->watch[i];

		if (w->taken)
			continue;
		if (w->ring)
			error = host_watch_begin(w->ring, ctx->fd_floor);
		else
			w->ring = host_watch_open(ctx->fd_floor, &error);
		if (error)
			break;
		w->taken = true;
		context_thread.watch = (uint8_t)(i + 1);
		pthread_setspecific(ctx->thread_key, &context_thread); /* so that the thread's end closes it */
		return w->ring;
	}
	/* EINVAL: a kernel without the flags. What else there is may be over for the next thread. */
	ctx->watch_denied = error == -EPERM || error == -ENOSYS || error == -EINVAL;
	if (ctx->watch_denied)
		host_log(&ctx->log, LOG_INFO, "io_uring is denied (error %d): epoll sets are looked at every %u us", -error,
			 ctx->config.kernel_look);
	return NULL;
}

/* This thread's; NULL = it has none. What a ring takes may be the death of who is confined. */
static struct host_watch *own_ring(struct context *ctx, bool make)
{
	unsigned at = context_thread.watch;
	struct context_watch *w;

	if (ctx->index != 0 || !ctx->config.io_uring || at == NO_RING || fs_load_relaxed(&ctx->confined))
		return NULL; /* of several stacks the first looks at the kernel's half */
	if (at == 0)
		return make ? open_ring(ctx) : NULL;
	w = &ctx->watch[at - 1];
	if (*host_watch_fd(w->ring) < 0 && host_watch_begin(w->ring, ctx->fd_floor) < 0) {
		w->taken = false; /* not once more at each turn */
		context_thread.watch = NO_RING;
		return NULL;
	}
	return w->ring;
}

bool watch_due(struct context *ctx, struct epoll_set *set, int epfd, bool must)
{
	const struct fd_entry *e = fd_entry_at(&ctx->fds, epfd);
	bool still_it = e && e->kind == FD_EPOLL && e->object == set; /* else the number may be another file's by now */
	struct host_watch *ring = still_it ? own_ring(ctx, !must) : NULL;
	bool news = host_watch_ready(ring, epfd);
	fs_ns since = ctx->now - set->kernel_looked;

	if (since < 0) /* of another process, whose clock is ahead */
		since = FS_SEC(1);
	if (news) {
		set->kernel_empty = false;
		set->kernel_looks++; /* a look that began before says nothing about it */
	}
	if (set->kernel_empty && host_watch_covers(ring, epfd))
		return since >= WATCHED_NS;
	return must || news || since >= FS_US(ctx->config.kernel_look);
}

/* A ring that watches it keeps the set alive. Only its own thread can take it out; another one's ends, and begins anew with
 * that thread's next look. So does one's own where its system call might be the death of who is confined. */
void watch_forget(struct context *ctx, int epfd)
{
	bool confined = fs_load_relaxed(&ctx->confined);

	for (unsigned i = 0; i < CONTEXT_WATCHES; i++) {
		struct context_watch *w = &ctx->watch[i];

		if (!w->taken || !host_watch_has(w->ring, epfd))
			continue;
		if (context_thread.watch == i + 1 && !confined)
			host_watch_forget(w->ring, epfd);
		else
			host_watch_end(w->ring);
	}
}

void watch_thread_ends(struct context *ctx)
{
	unsigned at = context_thread.watch;

	context_thread.watch = NO_RING;
	if (at == 0 || at == NO_RING || ctx->index != 0)
		return;
	host_watch_end(ctx->watch[at - 1].ring); /* its pages stay: others look for descriptors without the lock */
	ctx->watch[at - 1].taken = false;
}

void watch_after_fork(struct context *ctx)
{
	for (unsigned i = 0; i < CONTEXT_WATCHES; i++)
		host_watch_leave(ctx->watch[i].ring);
	memset(ctx->watch, 0, sizeof(ctx->watch));
	ctx->watch_denied = false;
	context_thread.watch = 0;
}

void watch_close(struct context *ctx)
{
	for (unsigned i = 0; i < CONTEXT_WATCHES; i++)
		host_watch_close(ctx->watch[i].ring);
	memset(ctx->watch, 0, sizeof(ctx->watch));
}

bool watch_visit(struct context *ctx, bool (*visit)(int *fd, void *arg), void *arg)
{
	for (unsigned i = 0; i < CONTEXT_WATCHES; i++)
		if (ctx->watch[i].taken && *host_watch_fd(ctx->watch[i].ring) >= 0 && visit(host_watch_fd(ctx->watch[i].ring), arg))
			return true;
	return false;
}
