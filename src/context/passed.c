/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * passed.c - see passed.h.
 */
#include "context/passed.h"

#include "base/reason.h"
#include "context/handover.h"
#include "context/internal.h"
#include "context/lifecycle.h"
#include "context/sister.h"
#include "context/stream_internal.h"
#include "host/clock.h"
#include "sys/sys.h"

#define UNDER_WAY (1ULL << STACK_HEIRS) /* of sock.heirs, beside those of children */
#define WAITS_NS FS_SEC(60)

void passed_send(struct context *ctx, int fd)
{
	struct sock *s;

	if (handover_fd(ctx, fd, FS_REASON_fd_passed) == 0 || !stream_is(ctx, fd))
		return;
	s = stream_enter_checked(ctx, fd);
	if (!s)
		return;
	if (s->stream.conn && s->passed < UINT8_MAX) {
		s->passed++;
		s->passed_at = host_clock_kernel();
		s->heirs |= UNDER_WAY;
		fs_store_release(&ctx->stack->passed, true);
	}
	context_leave(ctx);
}

/* One message less that has it. */
static void arrived(struct sock *s)
{
	if (s->passed && --s->passed == 0)
		s->heirs &= ~UNDER_WAY;
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

static struct sock *find(struct context *ctx, uint64_t cookie)
{
	struct list *e;

	LIST_FOR_EACH(e, &ctx->stack->all_streams) {
		struct sock *s = FS_CONTAINER_OF(e, struct sock, all);

		if (s->passed && s->cookie == cookie)
			return s;
	}
	return NULL;
}

/* Unless @fd is a copy of what this process has, which is known by now, its socket is one more of this process's. */
static void receive(struct context *ctx, int fd, uint64_t cookie, bool peeked)
{
	struct sock *s;

	if (!context_lock(ctx))
		return;
	s = find(ctx, cookie);
	if (s && fd_kind_of(&ctx->fds, fd) == FD_NONE && context_joined(ctx)) {
		context_fd_set(ctx, fd, FD_STREAM, s, s->generation);
		context_record_revive(ctx, s, fd);
		s->refs[ctx->slot]++;
	}
	if (s && !peeked)
		arrived(s);
	context_leave(ctx);
}

void passed_receive(struct context *ctx, int fd, bool peeked)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);
	struct context *o;
	bool any = false;

	CONTEXT_EACH(o, ctx)
		any |= fs_load_acquire(&o->stack->passed);
	if (!any || context_is_borrowed(ctx)) {
		lifecycle_reused(ctx, fd);
		return;
	}
	lifecycle_found(ctx, fd);
	if (sys_getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) < 0)
		return;
	CONTEXT_EACH(o, ctx)
		receive(o, fd, cookie, peeked);
}

void passed_forget(struct context *ctx)
{
	fs_ns now;
	struct list *e;

	if (!ctx->stack->passed)
		return;
	now = host_clock_kernel();
	LIST_FOR_EACH(e, &ctx->stack->all_streams) {
		struct sock *s = FS_CONTAINER_OF(e, struct sock, all);

		if (s->passed && now - s->passed_at > WAITS_NS) {
			s->passed = 0;
			s->heirs &= ~UNDER_WAY;
		}
	}
}
