/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * owner.c - which processes hold the ports of a stack, and what becomes of a port whose owner ended
 * (docs/decisions/0013).
 *
 * Whoever joined holds the links, too, by which the steering programs are attached: steering goes on when the owner
 * ends, and so do the frames' ways. The first to notice owns the port from then on. Where nobody is left who
 * holds it, steering ends and the kernel's shadows take what comes, until a process that joins opens the port
 * anew over the same frame pool.
 */
#include <errno.h>
#include <string.h>

#include "base/reason.h"
#include "context/internal.h"
#include "sys/sys.h"

enum { EXIT_WAIT_MS = 500 /* for a process that is ending: its descriptors go before it does */ };

/* Has the process ended, all threads and descriptors of it? Waits for it up to @wait_ms. */
static bool has_ended(uint32_t pid, unsigned wait_ms)
{
	struct timespec limit = { .tv_nsec = FS_MS(wait_ms) };
	struct pollfd end = { .fd = sys_pidfd_open((int)pid, 0), .events = POLLIN };
	bool ended;

	if (end.fd == -ESRCH)
		return true;
	if (end.fd < 0)
		return context_is_dead(pid);
	ended = sys_ppoll(&end, 1, &limit, NULL) > 0;
	sys_close(end.fd);
	return ended;
}

/* --- who holds what --- */

void context_note_hold(struct context *ctx, unsigned port)
{
	struct provider_hold *hold;

	if (ctx->slot >= STATS_MAX_PROCS)
		return;
	hold = &ctx->stack->hold[port][ctx->slot];
	hold->pid = ctx->handle[port].ops ? (int32_t)ctx->pid : 0;
	memcpy(hold->fd, ctx->handle[port].fd, sizeof(hold->fd));
}

int context_rule_add(struct context *ctx, unsigned port, const struct steer_rule *rule)
{
	struct provider_handle *h = &ctx->handle[port];
	int ret = h->ops->steer_add ? h->ops->steer_add(h, rule) : 0;

	context_note_hold(ctx, port);
	return ret;
}

void context_forget_holds(struct context *ctx, unsigned slot)
{
	for (unsigned i = 0; i < IP_MAX_PORTS; i++)
		ctx->stack->hold[i][slot].pid = 0;
}

/* What holds by @slot has no descriptors of ours any more. */
static bool is_gone(const struct context *ctx, unsigned slot)
{
	const struct stack_proc *p = &ctx->stack->proc[slot];

	return context_presence(ctx, p->pid, fs_load_relaxed(&p->memory_fd)) == CONTEXT_GONE;
}

/* Take the port's descriptors from a process that has them, the owner before others. 0; -ESRCH: nobody is
 * left who has; -EPERM, -errno: somebody has, and this process may not. */
static int join_anyone(struct context *ctx, unsigned i)
{
	struct provider_port *port = ctx->stack->port[i];
	struct provider_handle *h = &ctx->handle[i];
	int ret = -ESRCH;

	for (unsigned n = 0; n < 2 * STATS_MAX_PROCS; n++) {
		const struct provider_hold *hold = &ctx->stack->hold[i][n % STATS_MAX_PROCS];
		bool owners_turn = n < STATS_MAX_PROCS;
		int got;

		if (!hold->pid || (hold->pid == port->owner_pid) != owners_turn)
			continue;
		got = provider_at(port->kind)->join(h, port, hold, ctx->fd_floor);
		if (got == 0) {
			ctx->handle_opened[i] = ctx->stack->port_opened[i];
			ctx->n_handles = FS_MAX(ctx->n_handles, i + 1);
			context_note_hold(ctx, i);
			return 0;
		}
		memset(h, 0, sizeof(*h));
		if (got != -ESRCH)
			ret = got;
		else if (!is_gone(ctx, n % STATS_MAX_PROCS) && !has_ended((uint32_t)hold->pid, EXIT_WAIT_MS))
			ret = -EPERM;
	}
	return ret;
}

/* --- taking over --- */

/* One that is not drives nothing: it was buried, or became another program by exec, which detached. */
static bool is_member(const struct context *ctx, uint32_t pid)
{
	for (unsigned i = 0; i < STATS_MAX_PROCS; i++)
		if (pid && ctx->stack->proc[i].pid == pid)
			return true;
	return false;
}

static void adopt(struct context *ctx, unsigned i)
{
	struct provider_handle *h = &ctx->handle[i];

	if (h->ops->adopt)
		h->ops->adopt(h, ctx->fd_floor);
	h->port->owner_pid = (int32_t)ctx->pid;
	ctx->stack->port_stats[i].owner_pid = ctx->pid;
	context_note_hold(ctx, i);
	ctx->stack->counter[FS_CTR_ports_adopted]++;
	context_ports_changed(ctx); /* others watch this process from now on */
	ctx->to_ring = SLEEPERS_ALL;
	host_log(&ctx->log, LOG_INFO, "%s: taken over from a process that ended",
		 ctx->stack->port_stats[i].ifname);
}

/* Hold port @i, whoever owned it. 0, also where it is lost in being opened anew; -errno: others hold it, and this
 * process may not. */
static int hold_port(struct context *ctx, unsigned i)
{
	const struct provider_port *port = ctx->stack->port[i];
	int ret = ctx->handle[i].ops ? 0 : join_anyone(ctx, i);

	if (ret == -ESRCH) {
		context_port_reopen(ctx, i);
		return 0;
	}
	if (ret == 0 && (uint32_t)port->owner_pid != ctx->pid &&
	    (!is_member(ctx, (uint32_t)port->owner_pid) || has_ended((uint32_t)port->owner_pid, 0)))
		adopt(ctx, i);
	return ret;
}

/* What the program that was here before held of port @i. */
static void resume_port(struct context *ctx, unsigned i)
{
	struct provider_port *port = ctx->stack->port[i];
	struct provider_hold own = ctx->stack->hold[i][ctx->slot];
	struct provider_handle *h = &ctx->handle[i];
	bool owns = port && (uint32_t)port->owner_pid == ctx->pid;
	int ret = -ESRCH;

	ctx->stack->hold[i][ctx->slot].pid = 0;
	if (port && (uint32_t)own.pid == ctx->pid && ctx->handle_opened[i] == ctx->stack->port_opened[i])
		ret = provider_at(port->kind)->join(h, port, &own, ctx->fd_floor);
	if (ret < 0) {
		memset(h, 0, sizeof(*h));
		if (owns)
			port->owner_pid = 0; /* whoever is left that holds it has it, or it is opened anew */
		return;
	}
	ctx->n_handles = FS_MAX(ctx->n_handles, i + 1);
	if (owns && h->ops->adopt)
		h->ops->adopt(h, ctx->fd_floor);
	context_note_hold(ctx, i);
}

void context_resume_ports(struct context *ctx)
{
	for (unsigned i = 0; i < IP_MAX_PORTS; i++)
		resume_port(ctx, i);
}

void context_drop_ports(struct context *ctx)
{
	for (unsigned i = 0; i < IP_MAX_PORTS; i++) {
		struct provider_handle *h = &ctx->handle[i];

		if (!h->ops)
			continue;
		/* Before: who owns one detaches it from the interface for all. */
		if ((uint32_t)h->port->owner_pid == ctx->pid)
			h->port->owner_pid = 0;
		h->ops->close(h);
	}
	memset(ctx->handle, 0, sizeof(ctx->handle));
	ctx->n_handles = 0;
}

/* --- noticing --- */

static bool owns_something(const struct context *ctx, uint32_t pid)
{
	for (unsigned i = 0; i < ctx->n_handles; i++)
		if (ctx->handle[i].ops && (uint32_t)ctx->stack->port[i]->owner_pid == pid)
			return true;
	return false;
}

void context_unwatch_owners(struct context *ctx)
{
	for (unsigned i = 0; i < IP_MAX_PORTS; i++) {
		if (ctx->owner[i].pid)
			sys_close(ctx->owner[i].fd);
		ctx->owner[i].pid = 0;
	}
	ctx->n_owners = 0;
}

/* A descriptor that tells of the end of process @pid. Without one left, the look once a second does. */
static void watch_owner(struct context *ctx, uint32_t pid)
{
	unsigned free = IP_MAX_PORTS;
	int fd;

	for (unsigned i = 0; i < IP_MAX_PORTS; i++) {
		if (ctx->owner[i].pid == pid)
			return;
		if (!ctx->owner[i].pid)
			free = FS_MIN(free, i);
	}
	fd = free == IP_MAX_PORTS ? -EMFILE : sys_fd_raise(sys_pidfd_open((int)pid, 0), ctx->fd_floor);
	if (fd < 0)
		return;
	ctx->owner[free].pid = pid;
	ctx->owner[free].fd = fd;
	ctx->n_owners++;
}

static void watch_owners(struct context *ctx)
{
	for (unsigned i = 0; i < IP_MAX_PORTS; i++) {
		struct context_owner *o = &ctx->owner[i];

		if (!o->pid || owns_something(ctx, o->pid))
			continue;
		sys_close(o->fd);
		o->pid = 0;
		ctx->n_owners--;
	}
	for (unsigned i = 0; i < ctx->n_handles; i++)
		if (ctx->handle[i].ops && (uint32_t)ctx->stack->port[i]->owner_pid != ctx->pid)
			watch_owner(ctx, (uint32_t)ctx->stack->port[i]->owner_pid);
}

int context_hold_ports(struct context *ctx)
{
	int ret = 0;

	for (unsigned i = 0; ret == 0 && i < IP_MAX_PORTS; i++)
		if (ctx->stack->port[i] && (uint32_t)ctx->stack->port[i]->owner_pid != ctx->pid)
			ret = hold_port(ctx, i);
	watch_owners(ctx);
	return ret;
}

void context_look_at_owners(struct context *ctx)
{
	struct pollfd fds[IP_MAX_PORTS];
	struct timespec zero = { 0 };
	unsigned n = 0;

	for (unsigned i = 0; i < IP_MAX_PORTS; i++)
		if (ctx->owner[i].pid)
			fds[n++] = (struct pollfd){ .fd = ctx->owner[i].fd, .events = POLLIN };
	if (n && sys_ppoll(fds, n, &zero, NULL) > 0)
		context_reap(ctx);
}
