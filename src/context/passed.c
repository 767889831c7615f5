/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * passed.c - see passed.h.
 */
#include "context/passed.h"

#include <linux/capability.h>

#include "base/reason.h"
#include "context/handover.h"
#include "context/helper.h"
#include "context/internal.h"
#include "context/lifecycle.h"
#include "context/sister.h"
#include "context/stream_internal.h"
#include "host/caps.h"
#include "host/clock.h"
#include "sys/sys.h"

#define WAITS_NS FS_SEC(60)

enum { MANY = UINT8_MAX }; /* messages of one socket are not counted beyond, and end by time */

static void mark(struct context *ctx, struct sock *s)
{
	if (!s->was_passed) {
		list_push_back(&ctx->stack->all_passed, &s->of_passed);
		fs_store_release(&ctx->stack->passed, ctx->stack->passed + 1);
	}
	s->was_passed = true;
	s->passed = (uint8_t)FS_MIN(s->passed + 1, MANY);
	s->passed_at = host_clock_kernel();
	s->heirs |= CONTEXT_IN_MESSAGE;
}

void passed_end_sock(struct context *ctx, struct sock *s)
{
	list_remove(&s->of_passed);
	fs_store_release(&ctx->stack->passed, ctx->stack->passed - 1);
	s->was_passed = false;
}

static void unmark(struct sock *s)
{
	s->passed = 0;
	s->heirs &= ~CONTEXT_IN_MESSAGE;
}

/* One message less that has it. */
static void arrived(struct sock *s)
{
	if (s->passed == MANY || s->passed == 0)
		return;
	if (--s->passed == 0)
		unmark(s);
}

/* Without it no connection moves, and that is not worth a try, nor a word. */
static bool may_move(void)
{
	return host_caps_effective() >> CAP_NET_ADMIN & 1;
}

void passed_send(struct context *ctx, int fd)
{
	struct sock *s = stream_is(ctx, fd) ? stream_enter_checked(ctx, fd) : NULL;

	if (!s)
		return;
	if ((s->stream.conn && !may_move()) || handover_sock(ctx, s, FS_REASON_fd_passed) < 0)
		mark(ctx, s);
	context_leave(ctx);
}

void passed_send_failed(struct context *ctx, int fd)
{
	struct sock *s = NULL;

	if (ctx && fs_load_acquire(&ctx->stack->passed) && stream_is(ctx, fd))
		s = stream_enter_checked(ctx, fd);
	if (!s)
		return;
	arrived(s);
	context_leave(ctx);
}

/* Whoever has a descriptor of it may have the socket. */
static struct sock *find(struct context *ctx, uint64_t cookie)
{
	struct list *e;

	LIST_FOR_EACH(e, &ctx->stack->all_passed) {
		struct sock *s = FS_CONTAINER_OF(e, struct sock, of_passed);

		if (sock_is_engines(s) && s->cookie == cookie)
			return s;
	}
	return NULL;
}

/* @fd is one more of this process's for @s. False: it cannot be. */
static bool adopt(struct context *ctx, struct sock *s, int fd)
{
	if (!context_joined(ctx))
		return false;
	context_fd_set(ctx, fd, FD_STREAM, s, s->generation);
	if (fd_kind_of(&ctx->fds, fd) != FD_STREAM)
		return false;
	context_record_revive(ctx, s, fd);
	s->refs[ctx->slot]++;
	return true;
}

/* Unless @fd is a copy of what this process has, which is known by now. */
static void receive(struct context *ctx, int fd, uint64_t cookie, bool peeked)
{
	bool adopted = false;
	struct sock *s;

	if (!fs_load_acquire(&ctx->stack->passed) || !context_lock(ctx))
		return;
	s = find(ctx, cookie);
	if (s && fd_kind_of(&ctx->fds, fd) == FD_NONE)
		adopted = adopt(ctx, s, fd);
	if (s && !peeked)
		arrived(s);
	context_leave(ctx);
	if (adopted)
		helper_want(ctx);
}

void passed_receive(struct context *ctx, int fd, bool peeked)
{
	struct context *o;
	uint64_t cookie;
	bool any = false;

	CONTEXT_EACH(o, ctx)
		any |= fs_load_acquire(&o->stack->passed) != 0;
	if (!any || context_is_borrowed(ctx)) {
		lifecycle_reused(ctx, fd);
		return;
	}
	cookie = lifecycle_found(ctx, fd);
	if (cookie == 0)
		return;
	CONTEXT_EACH(o, ctx)
		receive(o, fd, cookie, peeked);
}

void passed_forget(struct context *ctx)
{
	struct list *e;
	fs_ns now;

	if (!ctx->stack->passed)
		return;
	now = host_clock_kernel();
	LIST_FOR_EACH(e, &ctx->stack->all_passed) {
		struct sock *s = FS_CONTAINER_OF(e, struct sock, of_passed);

		if (s->passed && now - s->passed_at > WAITS_NS)
			unmark(s);
	}
}

void passed_end(struct context *ctx)
{
	struct list *e;

	LIST_FOR_EACH(e, &ctx->stack->all_passed)
		unmark(FS_CONTAINER_OF(e, struct sock, of_passed));
}
