/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * local_scope.c - listeners that programs of other network namespaces find in a directory (option local_scope).
 *
 * Each has a name there for each address at which the namespace takes connections for it. Never one for an address that
 * means something else elsewhere: of the loopback network, or local to a link.
 */
#include <errno.h>
#include <netinet/in.h>

#include "base/reason.h"
#include "context/internal.h"
#include "context/local_internal.h"
#include "host/link.h"
#include "host/meet_dir.h"
#include "host/route.h"
#include "sys/sys.h"

enum { ADDRESSES = 64 };

/* --- the directory --- */

void local_scope_open(struct context *ctx)
{
	const char *path = config_scope_directory(ctx->config.local_scope), *why;
	int fd;

	if (!path)
		return;
	fd = host_meet_dir_open(path, ctx->fd_floor, &why);
	if (fd >= 0)
		ctx->local.dir = fd;
	else
		host_log(&ctx->log, LOG_WARN, "local_scope: %s %s: nobody of other network namespaces is met there", path,
			 why);
}

int local_scope_verdict(struct context *ctx, const struct ip_addr *remote, const struct ip_addr *local)
{
	struct host_route_query query = HOST_ROUTE_QUERY(*remote);
	struct host_route route;

	query.src = *local;
	query.proto = IPPROTO_TCP;
	query.connect = true;
	return host_route_get(&ctx->nl, &query, &route) < 0 ? FS_REASON_no_interface :
							      context_policy_verdict(ctx, route.ifindex);
}

/* --- names --- */

static bool is_meant_elsewhere(const struct ip_addr *addr)
{
	return !ip_addr_is_any(addr) && !ip_addr_is_multicast(addr) && !ip_addr_is_loopback(addr) &&
	       !ip_addr_is_link_local(addr);
}

/* Does the kernel take connections to @addr, which is one of its own, for @s? */
static bool takes(const struct sock *s, const struct ip_addr *addr)
{
	if (!is_meant_elsewhere(addr) || s->stream.ifindex)
		return false;
	if (!ip_addr_is_any(&s->stream.local))
		return ip_addr_equal(&s->stream.local, addr);
	return ip_addr_is_v4(addr) ? !s->stream.v6 || !s->stream.v6_only : s->stream.v6;
}

static bool has_name(const struct context *ctx, const struct sock *s, const struct ip_addr *addr)
{
	for (unsigned i = 0; i < ctx->local.n_names; i++) {
		const struct local_name *n = &ctx->local.name[i];

		if (n->in_dir && n->sock == s && n->generation == s->generation && ip_addr_equal(&n->called.addr, addr))
			return true;
	}
	return false;
}

/* False: the directory is locked, for longer than it can be waited. */
static bool publish_at(struct context *ctx, struct sock *s, const struct host_addr *at)
{
	const struct host_meet_name name = {
		.addr = at->addr,
		.port = s->stream.local_port,
		.protocol = SOCK_TCP,
		.by_any = ip_addr_is_any(&s->stream.local),
	};
	int ret = context_policy_verdict(ctx, at->ifindex) ? -EACCES : local_name_publish(ctx, s, &name, true);

	if (ret < 0)
		host_log(&ctx->log, LOG_INFO, "port %u has no name in the directory of local_scope at one address (%d)",
			 name.port, -ret);
	ctx->local.missing |= ret == -EWOULDBLOCK || ret == -EADDRINUSE; /* another try may have it */
	return ret != -EWOULDBLOCK;
}

/* How many of the namespace's addresses are in @addrs. */
static int list_addresses(struct context *ctx, struct host_addr *addrs)
{
	int n = host_addr_list(&ctx->nl, 0, addrs, ADDRESSES);

	return FS_MIN(n, (int)ADDRESSES);
}

static void publish_missing(struct context *ctx, struct sock *s, const struct host_addr *addrs, int n)
{
	for (int i = 0; i < n; i++)
		if (takes(s, &addrs[i].addr) && !has_name(ctx, s, &addrs[i].addr) && !publish_at(ctx, s, &addrs[i]))
			break;
}

void local_scope_publish(struct context *ctx, struct sock *s)
{
	struct host_addr addrs[ADDRESSES];

	if (ctx->local.dir <= 0)
		return;
	if (!ctx->local.swept)
		host_meet_sweep(ctx->local.dir);
	ctx->local.swept = true;
	publish_missing(ctx, s, addrs, list_addresses(ctx, addrs));
}

/* --- addresses that come and go --- */

static bool is_among(const struct ip_addr *addr, const struct host_addr *addrs, int n)
{
	for (int i = 0; i < n; i++)
		if (ip_addr_equal(&addrs[i].addr, addr))
			return true;
	return false;
}

/* Of the processes that have @s one gives it its new names. */
static bool is_first_holder(const struct context *ctx, const struct sock *s)
{
	for (unsigned i = 0; i < ctx->slot; i++)
		if (s->refs[i])
			return false;
	return ctx->slot < STATS_MAX_PROCS && s->refs[ctx->slot];
}

void local_scope_refresh(struct context *ctx)
{
	struct context_local *l = &ctx->local;
	struct host_addr addrs[ADDRESSES];
	int n = list_addresses(ctx, addrs);
	struct list *e;

	l->missing = n < 0;
	if (n < 0 || !ctx->stack->local)
		return;
	for (unsigned i = l->n_names; i-- > 0;)
		if (l->name[i].in_dir && !is_among(&l->name[i].called.addr, addrs, n))
			local_name_drop(ctx, i);
	LIST_FOR_EACH(e, &ctx->stack->local->listeners) {
		struct sock *s = FS_CONTAINER_OF(e, struct sock, stream.of_local);

		if (is_first_holder(ctx, s))
			publish_missing(ctx, s, addrs, n);
	}
	context_ports_came(ctx); /* sleepers watch the names */
}

void local_scope_leave(struct context *ctx)
{
	for (unsigned i = ctx->local.n_names; i-- > 0;)
		if (ctx->local.name[i].in_dir)
			local_name_drop(ctx, i);
}
