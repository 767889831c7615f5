/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * multiplex_poll.c - poll(), and select() by it. Both halves as multiplex.c has it.
 */
#include <errno.h>
#include <string.h>

#include "context/block.h"
#include "context/internal.h"
#include "context/multiplex.h"
#include "context/sister.h"
#include "context/stay.h"
#include "context/thread.h"
#include "context/turn.h"
#include "socket/epoll.h"
#include "sys/sys.h"

enum { SMALL = 64 /* descriptors handled on the thread's stack */ };

struct poll_call {
	struct context *ctx;
	struct pollfd *fds; /* the program's */
	struct pollfd *own; /* copy with BLOCKER_SPARE entries behind: what the kernel is asked */
	struct stay *stay; /* accelerated members, and sets of such; NULL = it does not wait yet */
	struct stay *sisters[CONTEXT_STACKS]; /* the same of other stacks, by index */
	unsigned n;
	fs_ns next_look;
	void *memory; /* what own points to when they are many; owned until it waits; NULL = the stack's */
	size_t memory_bytes;
};

/* What the stack has for member @fd. Lock held. */
static short stack_events(struct context *ctx, int fd, short wanted)
{
	struct fd_entry *e = fd_entry_at(&ctx->fds, fd);
	struct sock *s = context_live_sock(ctx, fd);

	if (s && s->protocol == SOCK_TCP && s->stream.home)
		return 0; /* home's listener speaks for its twins */
	if (s)
		return (short)(sock_ready(s) & ((uint32_t)wanted | POLLERR | POLLHUP));
	if (e && e->kind == FD_EPOLL && epoll_set_ready(e->object))
		return (short)((POLLIN | POLLRDNORM) & wanted);
	return 0;
}

/* The shadow has something: the next receive must look there. Lock held. */
static void expect_kernel(struct context *ctx, int fd, short revents)
{
	struct sock *s = context_live_sock(ctx, fd);

	if (s && (revents & (POLLIN | POLLERR)) && s->kernel_hot == 0)
		s->kernel_hot = 1;
}

/* What the kernel is asked about for member @fd: itself, or nothing where the stack knows it all. Lock held. */
static int kernels_number(struct context *ctx, int fd)
{
	const struct sock *s = context_live_sock(ctx, fd);

	return s && sock_is_engines(s) ? -1 : fd;
}

/* What other stacks have for the members that they know. */
static __attribute__((noinline)) void ask_sisters(struct poll_call *c)
{
	for (unsigned k = 1; k < c->ctx->n_stacks; k++) {
		struct context *o = c->ctx->stacks[k];

		if (!sister_enter(o))
			continue;
		for (unsigned i = 0; i < c->n; i++) {
			c->fds[i].revents |= stack_events(o, c->fds[i].fd, c->fds[i].events);
			c->own[i].fd = c->own[i].fd < 0 ? -1 : kernels_number(o, c->own[i].fd);
		}
		sister_leave(o);
	}
}

/* Is there a member that the kernel knows more of than the stack? */
static bool has_kernels(const struct poll_call *c)
{
	for (unsigned i = 0; i < c->n; i++)
		if (c->own[i].fd >= 0)
			return true;
	return false;
}

/* One look at both sides: number of members with events, -EINTR and the like, -EAGAIN for none. */
static int poll_once(struct poll_call *c, bool must_look)
{
	struct context *ctx = c->ctx;
	struct timespec zero = { 0 };
	fs_ns now;
	bool look;
	int ready = 0, ret = 0;

	if (!context_lock(ctx))
		return MULTIPLEX_KERNEL;
	if (!context_joined(ctx)) {
		context_unlock(ctx);
		return MULTIPLEX_KERNEL;
	}
	context_calm(ctx);
	context_poll(ctx);
	turn_end(ctx);
	ease_end(&context_thread.ease);
	turn_drive(ctx);
	context_stir(ctx);
	now = ctx->now;
	look = must_look || now >= c->next_look;
	for (unsigned i = 0; i < c->n; i++) {
		c->fds[i].revents = stack_events(ctx, c->fds[i].fd, c->fds[i].events);
		c->own[i].fd = kernels_number(ctx, c->fds[i].fd);
		c->own[i].revents = 0;
	}
	context_ring(ctx);
	context_unlock(ctx);
	if (__builtin_expect(ctx->n_stacks > 1, 0))
		ask_sisters(c);
	if (look && has_kernels(c)) {
		c->next_look = now + FS_US(ctx->config.kernel_look);
		ret = sys_ppoll(c->own, c->n, &zero, NULL);
		if (ret < 0 && ret != -EINTR)
			return ret;
	}
	if (ret > 0 && context_lock(ctx)) {
		for (unsigned i = 0; i < c->n; i++)
			if (c->own[i].revents)
				expect_kernel(ctx, c->own[i].fd, c->own[i].revents);
		context_unlock(ctx);
	}
	for (unsigned i = 0; i < c->n; i++) {
		if (ret > 0)
			c->fds[i].revents |= c->own[i].revents;
		ready += c->fds[i].revents != 0;
	}
	turn_begin(now, ready);
	return ready ? ready : -EAGAIN;
}

static void stay_on_member(struct context *ctx, struct stay *stay, int fd)
{
	struct fd_entry *e = fd_entry_at(&ctx->fds, fd);
	struct sock *s = context_live_sock(ctx, fd);

	if (s)
		stay_on_sock(ctx, stay, s);
	else if (e && e->kind == FD_EPOLL)
		stay_on_set(ctx, stay, e->object);
}

static __attribute__((noinline)) void begin_in_sisters(struct poll_call *c)
{
	for (unsigned k = 1; k < c->ctx->n_stacks; k++) {
		struct context *o = c->ctx->stacks[k];

		if (!sister_enter(o))
			continue;
		c->sisters[k] = stay_begin(o, c->n);
		for (unsigned i = 0; c->sisters[k] && i < c->n; i++)
			stay_on_member(o, c->sisters[k], c->fds[i].fd);
		sister_leave(o);
	}
}

/* Begin to wait for the accelerated members. 0, -ENOMEM, or MULTIPLEX_KERNEL: this process has no place
 * to sleep in, as it could not join. */
static int poll_begin(struct poll_call *c)
{
	int ret = MULTIPLEX_KERNEL;

	if (!context_lock(c->ctx))
		return MULTIPLEX_KERNEL;
	if (context_joined(c->ctx)) {
		c->stay = stay_begin(c->ctx, c->n);
		ret = c->stay ? 0 : -ENOMEM;
	}
	if (c->stay) {
		c->stay->memory = c->memory;
		c->stay->memory_bytes = c->memory_bytes;
		c->memory = NULL;
		for (unsigned i = 0; i < c->n; i++)
			stay_on_member(c->ctx, c->stay, c->fds[i].fd);
	}
	context_unlock(c->ctx);
	if (ret == 0 && c->ctx->n_stacks > 1)
		begin_in_sisters(c);
	return ret;
}

static int poll_run(struct poll_call *c, fs_ns limit, const signal_set *mask)
{
	BLOCKER(b);
	int ret = poll_once(c, true);

	if (ret != -EAGAIN || (limit == 0 && !mask))
		return ret == -EAGAIN ? 0 : ret;
	ret = poll_begin(c);
	if (ret < 0)
		return ret;
	blocker_init(&b, c->ctx, limit, false, mask);
	b.stay = c->stay;
	b.sisters = c->sisters;
	do {
		ret = blocker_pause(&b, c->own, c->n);
		if (ret < 0)
			break;
		ret = poll_once(c, b.slept);
		b.slept = false;
	} while (ret == -EAGAIN);
	if (ret == -ETIMEDOUT)
		ret = poll_once(c, true);
	return ret == -EAGAIN ? 0 : ret;
}

int multiplex_poll(struct context *ctx, struct pollfd *fds, nfds_t n, fs_ns limit, const signal_set *mask)
{
	struct pollfd small[SMALL + BLOCKER_SPARE];
	struct poll_call c = { .ctx = ctx, .fds = fds, .own = small, .n = (unsigned)n };
	bool concerned = false;
	int ret;

	for (nfds_t i = 0; multiplex_matters(ctx) && !concerned && i < n; i++)
		concerned = multiplex_concerns(ctx, fds[i].fd);
	if (!concerned || n > FD_CHUNK * FD_CHUNKS)
		return MULTIPLEX_KERNEL;
	if (n > SMALL) {
		c.memory_bytes = (n + BLOCKER_SPARE) * sizeof(*c.own);
		c.memory = mem_private(c.memory_bytes);
		if (!c.memory)
			return -ENOMEM;
		c.own = c.memory;
	}
	memcpy(c.own, fds, n * sizeof(*fds));
	ret = poll_run(&c, limit, mask);
	if (c.memory)
		sys_munmap(c.memory, c.memory_bytes);
	return ret;
}
