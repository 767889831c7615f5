/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * record.c - the socket records that `fsock why` and `fsock stat` read (DESIGN D10).
 *
 * A record outlives its socket until the table is full, so that a short program's sockets can be seen.
 */
#include <string.h>

#include "base/reason.h"
#include "context/internal.h"
#include "sys/sys.h"

#ifndef SO_COOKIE
#define SO_COOKIE 57
#endif

/* Records are reused oldest first only when the table is full. */
static struct stats_sock *find_record(struct stack *s)
{
	if (s->head.n_socks < s->head.max_socks)
		return &s->records[s->head.n_socks++];
	for (uint32_t i = 0; i < s->head.max_socks; i++)
		if (s->records[i].fd == -1 && !s->records[i].bare) /* those are the next bare one's (bare_record.c) */
			return &s->records[i];
	return NULL;
}

struct stats_sock *context_record(struct context *ctx, int fd, int family, int protocol)
{
	struct stats_sock *r = find_record(ctx->stack);
	socklen_t len = sizeof(r->cookie);

	if (!r)
		return NULL;
	memset(r, 0, sizeof(*r));
	r->fd = fd;
	r->pid = ctx->pid;
	if (ctx->slot >= STATS_MAX_PROCS)
		ctx->stack->strangers = true;
	r->family = (uint8_t)family;
	r->protocol = (uint8_t)protocol;
	r->port_index = 0xff;
	r->reason = FS_REASON_pending;
	if (sys_getsockopt(fd, SOL_SOCKET, SO_COOKIE, &r->cookie, &len) < 0)
		r->cookie = 1; /* not 0, which means unused */
	return r;
}

bool context_record_read(struct context *ctx, int fd, struct stats_sock *copy)
{
	const struct stats_sock *r = NULL;
	struct fd_entry *e;

	if (!context_lock(ctx))
		return false;
	e = fd_entry_at(&ctx->fds, fd);
	if (context_live_sock(ctx, fd))
		r = context_live_sock(ctx, fd)->record;
	else if (e && e->kind == FD_RECORD)
		r = e->object;
	if (r)
		*copy = *r;
	context_unlock(ctx);
	return r != NULL;
}

void record_reason(struct stats_sock *r, int reason, const char *detail)
{
	if (!r)
		return;
	r->reason = (uint8_t)reason;
	r->accelerated = reason == FS_REASON_none;
	r->detail[0] = '\0';
	if (detail) {
		size_t len = strnlen(detail, sizeof(r->detail) - 1);

		memcpy(r->detail, detail, len);
		r->detail[len] = '\0';
	}
}

/* A report is read without the stack beside it: say there which port the socket used. */
static void name_port(const struct context *ctx, struct stats_sock *r)
{
	const struct stats_port *p = &ctx->stack->port_stats[r->port_index];

	if (r->port_index >= STATS_MAX_PORTS || r->detail[0])
		return;
	host_format(r->detail, sizeof(r->detail), "%s on %s, %s, %u of %u queues", p->provider, p->ifname,
		    p->mode, p->queues, p->rx_queues);
}

void context_record_close(struct context *ctx, struct stats_sock *r)
{
	if (!r || r->fd == -1)
		return;
	if (ctx->report_fd >= 0) {
		name_port(ctx, r);
		sys_write(ctx->report_fd, r, sizeof(*r));
	}
	r->fd = -1;
}
