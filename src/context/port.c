/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * port.c - which interfaces are accelerated, and opening their ports (DESIGN D4, D6).
 *
 * Attaching is not free for the interface's other traffic, so only listed interfaces are touched: those
 * the option names, else veth and virtio; never unasked the one that carries the initial namespace's
 * default route. An interface that refused is not asked again until links change.
 */
#include <errno.h>
#include <net/if.h>
#include <string.h>

#include "base/reason.h"
#include "context/helper.h"
#include "context/internal.h"
#include "context/lease.h"
#include "context/sister.h"
#include "context/pool.h"
#include "host/link.h"
#include "host/netns.h"
#include "sys/sys.h"

enum {
	MAX_LINKS = 256,
	MAX_ADDRS = IP_MAX_LOCAL,
	LATENCY_SHED = 4, /* datagrams as of a kernel peer that are the shadow's in the latency profile */
};

int context_port_find(const struct context *ctx, uint32_t ifindex)
{
	for (unsigned i = 0; i < IP_MAX_PORTS; i++)
		if (ctx->stack->ip.port[i].ifindex == ifindex && ctx->stack->port[i])
			return (int)i;
	return -1;
}

/* --- may it be? --- */

static int refuse(struct context *ctx, int reason, const char *format, const char *arg)
{
	host_format(ctx->why, sizeof(ctx->why), format, arg);
	return reason;
}

/* 0 = may be accelerated, else the reason, and ctx->why. */
static int link_verdict(struct context *ctx, const struct host_link *link)
{
	bool named = ctx->config.interface[0] && config_list_has(ctx->config.interface, link->name);

	if (link->kind == HOST_LINK_LOOPBACK)
		return refuse(ctx, FS_REASON_loopback, "%s is the loopback interface", link->name);
	if (ctx->config.interface[0] && !named)
		return refuse(ctx, FS_REASON_no_interface, "%s is not in the option interface", link->name);
	if (!named && link->kind != HOST_LINK_VETH && link->kind != HOST_LINK_VIRTIO)
		return refuse(ctx, FS_REASON_no_interface, "%s is neither veth nor virtio", link->name);
	if (!link->ethernet || !link->has_mac)
		return refuse(ctx, FS_REASON_interface_kind, "%s is not an Ethernet", link->name);
	if (link->role != HOST_LINK_MASTERLESS)
		return refuse(ctx, FS_REASON_interface_kind, "%s has a master", link->name);
	if (!(link->flags & IFF_UP))
		return refuse(ctx, FS_REASON_interface_down, "%s is down", link->name);
	if (!named && host_netns_is_initial(ctx->nl.fd) &&
	    host_link_has_default_route(&ctx->nl, link->ifindex) != 0)
		return refuse(ctx, FS_REASON_default_route, "%s carries the default route", link->name);
	return context_policy_verdict(ctx, link->ifindex);
}

static int remembered_refusal(const struct context *ctx, uint32_t ifindex)
{
	for (unsigned i = 0; i < IP_MAX_PORTS; i++)
		if (ctx->declined[i].ifindex == ifindex)
			return ctx->declined[i].reason;
	return 0;
}

static void remember_refusal(struct context *ctx, uint32_t ifindex, int reason)
{
	for (unsigned i = 0; i < IP_MAX_PORTS; i++) {
		if (ctx->declined[i].ifindex == 0 || ctx->declined[i].ifindex == ifindex) {
			ctx->declined[i].ifindex = ifindex;
			ctx->declined[i].reason = reason;
			return;
		}
	}
}

unsigned context_interfaces(struct context *ctx, uint32_t *ifindex, unsigned n, int *reason)
{
	struct host_link *links = mem_private(MAX_LINKS * sizeof(*links));
	unsigned found = 0;
	int count;

	*reason = FS_REASON_no_interface;
	if (!links)
		return 0;
	count = host_link_list(&ctx->nl, links, MAX_LINKS);
	refuse(ctx, FS_REASON_no_interface, "no veth or virtio interface here%s", "");
	for (int i = 0; i < FS_MIN(count, (int)MAX_LINKS) && found < n; i++) {
		char former[sizeof(ctx->why)];
		int verdict;

		memcpy(former, ctx->why, sizeof(former));
		verdict = link_verdict(ctx, &links[i]);
		if (verdict == 0)
			ifindex[found++] = (uint32_t)links[i].ifindex;
		else if (verdict == FS_REASON_loopback || (links[i].kind == HOST_LINK_OTHER &&
							   verdict == FS_REASON_no_interface))
			memcpy(ctx->why, former, sizeof(former)); /* says nothing of use */
		else
			*reason = verdict;
	}
	sys_munmap(links, MAX_LINKS * sizeof(*links));
	return found;
}

/* --- opening --- */

static int reason_of_open(int error)
{
	switch (error) {
	case -EBUSY: return FS_REASON_interface_busy;
	case -EEXIST: return FS_REASON_foreign_xdp;
	case -EPERM: return FS_REASON_privilege;
	case -ENOBUFS: return FS_REASON_memlock;
	case -EMFILE: return FS_REASON_descriptors;
	case -EOPNOTSUPP: return FS_REASON_no_af_xdp;
	case -ENETDOWN: return FS_REASON_interface_down;
	case -EPROTO: return FS_REASON_self_test;
	default: return FS_REASON_memory;
	}
}

uint16_t context_port_udp_gso(const struct provider_port *port)
{
	return port->caps.gso_udp ? port->caps.max_gso : 0;
}

static void fill_port(struct context *ctx, unsigned slot, const struct host_link *link,
		      struct ip_port *conf)
{
	const struct provider_port *p = ctx->stack->port[slot];
	struct host_addr addrs[MAX_ADDRS];
	int n = host_addr_list(&ctx->nl, link->ifindex, addrs, MAX_ADDRS);

	*conf = (struct ip_port){
		.ifindex = (uint32_t)link->ifindex,
		.mtu = link->mtu,
		.pool = &ctx->stack->pinned[slot],
		.mac = link->mac,
		.up = (link->flags & IFF_UP) && p->error == 0,
		.tx_csum_partial = p->caps.tx_csum_partial,
		.udp_gso = context_port_udp_gso(p),
		.tcp_gso = ctx->config.super_frames ? p->caps.max_gso : 0,
		.gso_parts = (uint8_t)FS_MIN(p->caps.gso_parts, (uint32_t)UINT8_MAX),
		.max_parts = (uint8_t)FS_MIN(p->caps.max_parts, (uint32_t)UINT8_MAX),
		.trust_partial = link->kind == HOST_LINK_VETH,
	};
	for (int i = 0; i < FS_MIN(n, MAX_ADDRS); i++)
		conf->local[conf->n_local++] = addrs[i].addr;
}

int context_port_configure(struct context *ctx, unsigned slot, const struct host_link *link)
{
	struct provider_handle *h = &ctx->handle[slot];
	struct ip_port conf;
	int ret;

	fill_port(ctx, slot, link, &conf);
	ret = ip_port_set(&ctx->stack->ip, slot, &conf);
	if (ret == 0 && h->ops->set_local_addrs)
		ret = h->ops->set_local_addrs(h, conf.local, conf.n_local);
	return ret;
}

static void publish(struct context *ctx, unsigned slot, const struct host_link *link,
		    const struct pool_plan *plan)
{
	struct stats_port *p = &ctx->stack->port_stats[slot];
	struct provider_handle *h = &ctx->handle[slot];

	memset(p, 0, sizeof(*p));
	p->ifindex = (uint32_t)link->ifindex;
	p->owner_pid = ctx->pid;
	p->queues = h->port->n_queues;
	p->rx_queues = link->rx_queues;
	host_format(p->note, sizeof(p->note), "%s", plan->note);
	host_format(p->ifname, sizeof(p->ifname), "%s", link->name);
	host_format(p->provider, sizeof(p->provider), "%s", h->ops->name);
	host_format(p->mode, sizeof(p->mode), "%s", h->port->caps.mode);
	p->frames_total = ctx->stack->pinned[slot].n_total;
	p->frames_free = ctx->stack->pinned[slot].n_free;
	if (ctx->stack->head.n_ports <= slot)
		ctx->stack->head.n_ports = slot + 1;
}

/* As long as a client waits for the fast path, and for the same reason. In the latency profile not at once either:
 * what a fast peer sends before it knows its neighbour comes as from a kernel peer, and to look at more sockets for
 * such costs a tenth of the rate (docs/decisions/0020). */
static int64_t shed_limit(const struct context *ctx)
{
	if (!ctx->config.kernel_peers)
		return PROVIDER_SHED_ALL;
	return ctx->config.profile == CONFIG_PROFILE_LATENCY ? LATENCY_SHED : FS_MAX(ctx->config.client_datagrams, 1u);
}

/* Home's port of the interface, whose steering a sister's uses. Home's lock held. */
static const struct provider_handle *beside(const struct context *ctx, uint32_t ifindex)
{
	const struct context *home = ctx->stacks[0];
	int port = context_port_find(home, ifindex);

	return port < 0 ? NULL : &home->handle[port];
}

/* Try one provider on one interface. 0 or -errno with ctx->why. */
static int try_open(struct context *ctx, unsigned slot, const struct host_link *link, unsigned kind,
		    struct pool_plan *plan, uint32_t former)
{
	const struct provider_ops *ops = provider_at(kind);
	static const char *const modes[] = { "", "mode=generic", "mode=native" };
	char why[PROVIDER_WHY_LEN] = "";
	struct provider_open_args args = {
		.kind = kind,
		.index = (uint8_t)slot,
		.n_queues = plan->queues,
		.first_queue = plan->first,
		.beside = ctx->index ? beside(ctx, (uint32_t)link->ifindex) : NULL,
		.ifindex = (uint32_t)link->ifindex,
		.ifname = link->name,
		.driver = link->driver,
		.mac = link->mac,
		.mtu = link->mtu,
		.pool = &ctx->stack->pinned[slot],
		.rings = mem_rings(&ctx->arena, slot),
		.rings_len = MEM_RINGS_PER_PORT,
		.fd_floor = ctx->fd_floor,
		.option = modes[ctx->config.xdp_mode],
		.shed_limit = shed_limit(ctx),
		.shed_ready = ctx->config.profile == CONFIG_PROFILE_LATENCY,
		.former = former,
		.why = why,
	};
	struct provider_handle *h = &ctx->handle[slot];
	struct provider_port *port = ctx->stack->port_state[slot];
	int ret;

	if (ops->port_size > STACK_PORT_STATE || ops->rings_len > MEM_RINGS_PER_PORT)
		return -E2BIG;
	memset(port, 0, STACK_PORT_STATE);
	memset(h, 0, sizeof(*h));
	ret = ops->open(h, port, &args);
	if (ret < 0) {
		memset(h, 0, sizeof(*h));
		host_format(ctx->why, sizeof(ctx->why), "%s: %s", link->name, why);
		return ret;
	}
	port->owner_pid = (int32_t)ctx->pid;
	ctx->stack->port[slot] = port;
	ctx->n_handles = FS_MAX(ctx->n_handles, slot + 1);
	if (port->n_queues < plan->queues) {
		plan->short_of = true;
		host_format(plan->note, sizeof(plan->note), "%s", why);
	}
	return 0;
}

/* The same with as much frame memory, and as many queues, as can be had. */
static int try_sizes(struct context *ctx, unsigned slot, const struct host_link *link, unsigned kind,
		     struct pool_plan *plan, uint32_t former)
{
	int ret;

	pool_plan_init(plan, &ctx->config, link->rx_queues);
	pool_plan_share(plan, ctx);
	do {
		host_format(ctx->why, sizeof(ctx->why), "no memory for the frame pool of %s", link->name);
		ret = pool_make(ctx, slot, plan);
		if (ret == 0)
			ret = try_open(ctx, slot, link, kind, plan, former);
	} while ((ret == -ENOBUFS || ret == -ENOMEM) && pool_plan_shrink(plan, ctx->why));
	return ret;
}

/* What its last holder left of a port: frames that lay in its rings. */
static void clear_remains(struct context *ctx, unsigned slot)
{
	struct provider_handle *h = &ctx->handle[slot];
	struct provider_port *port = ctx->stack->port[slot];

	*h = (struct provider_handle){ .ops = provider_at(port->kind), .port = port };
	memset(h->fd, 0xff, sizeof(h->fd)); /* all -1 */
	port->owner_pid = (int32_t)ctx->pid;
	h->ops->close(h);
	memset(h, 0, sizeof(*h));
	ctx->stack->port[slot] = NULL;
}

/* This process has let go of what it held in the slot. */
static void drop_hold(struct context *ctx, unsigned slot)
{
	if (ctx->slot < STATS_MAX_PROCS)
		ctx->stack->hold[slot][ctx->slot].pid = 0;
}

/*
 * As another process' port it is closed here only when its interface went, which takes the memory from the
 * kernel: the frames that lay in its rings return. Its owner lets go of the rest when it compares.
 */
void context_port_close(struct context *ctx, unsigned slot)
{
	struct provider_handle *h = &ctx->handle[slot];
	struct provider_port *port = ctx->stack->port[slot];

	if (sister_has_twins(ctx))
		sisters_close(ctx, ctx->stack->ip.port[slot].ifindex);
	ctx->stack->counter[FS_CTR_drop_tx_port] += ctx->stack->ip.port[slot].out.frames;
	ip_port_clear(&ctx->stack->ip, slot);
	if (h->ops)
		h->ops->close(h);
	if (port && port->owner_pid)
		clear_remains(ctx, slot);
	memset(h, 0, sizeof(*h));
	drop_hold(ctx, slot);
	ctx->stack->port[slot] = NULL;
	ctx->stack->port_opened[slot] = 0;
	context_ports_changed(ctx);
}

uint32_t context_ports_changed(struct context *ctx)
{
	ctx->stack->ports_serial++;
	helper_kick(ctx);
	return ctx->stack->ports_serial;
}

uint32_t context_ports_came(struct context *ctx)
{
	ctx->to_ring = SLEEPERS_ALL;
	return context_ports_changed(ctx);
}

void context_ports_compare(struct context *ctx)
{
	ctx->ports_seen = ctx->stack->ports_serial;
	for (unsigned i = 0; i < ctx->n_handles; i++) {
		struct provider_handle *h = &ctx->handle[i];

		if (!h->ops || ctx->handle_opened[i] == ctx->stack->port_opened[i])
			continue;
		h->ops->close(h);
		memset(h, 0, sizeof(*h));
		drop_hold(ctx, i);
	}
	/* What another process opened since: a shared socket may be steered there. Without the right to
	 * join, its frames wait for that process, or pass to the shadow when it does not take them. */
	if (ctx->slot < STATS_MAX_PROCS)
		context_hold_ports(ctx);
}

/* An open port is ready: others may come. */
static void announce(struct context *ctx, unsigned slot, const struct host_link *link,
		     const struct pool_plan *plan)
{
	publish(ctx, slot, link, plan);
	ip_dst_flush(&ctx->stack->ip); /* what had no port may have one now */
	ctx->stack->port[slot]->stamp = ctx->stack->stamped != 0;
	ctx->stack->port_opened[slot] = context_ports_came(ctx);
	ctx->handle_opened[slot] = ctx->stack->port_opened[slot];
	context_note_hold(ctx, slot);
	context_lease_resteer(ctx, slot);
	stream_resteer(ctx, slot);
	host_log(&ctx->log, plan->short_of ? LOG_WARN : LOG_INFO,
		 "%s: attached by %s, %u of %u queues, %u frames%s%s", link->name,
		 ctx->handle[slot].ops->name, ctx->handle[slot].port->n_queues, link->rx_queues,
		 ctx->stack->pinned[slot].n_total, plan->note[0] ? ": " : "", plan->note);
}

/* Whoever holds a port that closed reads in its memory how to let go: the slot is free when all have. */
static bool is_free(struct context *ctx, unsigned slot)
{
	if (ctx->stack->port[slot])
		return false;
	for (unsigned i = 0; i < STATS_MAX_PROCS; i++) {
		struct provider_hold *hold = &ctx->stack->hold[slot][i];

		if (hold->pid && i != ctx->slot && !context_is_dead((uint32_t)hold->pid))
			return false;
	}
	memset(ctx->stack->hold[slot], 0, sizeof(ctx->stack->hold[slot]));
	return true;
}

static int open_port(struct context *ctx, const struct host_link *link)
{
	const struct provider_handle *next_to = ctx->index ? beside(ctx, (uint32_t)link->ifindex) : NULL;
	struct pool_plan plan = { 0 };
	unsigned slot = 0;
	int ret = 0;

	while (slot < IP_MAX_PORTS && !is_free(ctx, slot))
		slot++;
	if (slot == IP_MAX_PORTS)
		return -ENOMEM;
	pool_plan_init(&plan, &ctx->config, link->rx_queues);
	sisters_want(ctx, plan.queues);
	for (unsigned kind = 0; ret == 0 && kind < provider_count(); kind++) {
		const struct provider_ops *ops = provider_at(kind);

		if (strcmp(ctx->config.provider, "auto") && strcmp(ctx->config.provider, ops->name))
			continue;
		if (next_to && next_to->port->kind != kind)
			continue;
		ret = try_sizes(ctx, slot, link, kind, &plan, 0);
		if (ret == 0)
			break;
		/* Where it cannot work, the next one may; whatever else is in the way is so for all. */
		if ((ret == -EOPNOTSUPP || ret == -EPROTO) && kind + 1 < provider_count() &&
		    !strcmp(ctx->config.provider, "auto")) {
			host_log(&ctx->log, LOG_INFO, "not by %s: %s", ops->name, ctx->why);
			ret = 0;
		}
	}
	if (ret == 0 && !ctx->stack->port[slot])
		ret = -EOPNOTSUPP;
	if (ret < 0)
		return ret;
	ret = context_port_configure(ctx, slot, link);
	if (ret < 0) {
		context_port_close(ctx, slot);
		return ret;
	}
	if (sister_has_twins(ctx) && !ctx->undivided && !sisters_open(ctx, slot)) {
		host_log(&ctx->log, LOG_WARN, "%s: one stack serves all queues, the others could not open theirs",
			 link->name);
		ctx->undivided = true;
		context_port_close(ctx, slot);
		return open_port(ctx, link);
	}
	announce(ctx, slot, link, &plan);
	return (int)slot;
}

/* 0, or the reason and ctx->why. */
static int reopen(struct context *ctx, unsigned slot, uint32_t ifindex, unsigned kind, uint32_t former)
{
	struct pool_plan plan;
	struct host_link link;
	int ret;

	if (host_link_get(&ctx->nl, (int)ifindex, &link) < 0)
		return refuse(ctx, FS_REASON_interface_down, "%s is gone",
			      ctx->stack->port_stats[slot].ifname);
	ret = link_verdict(ctx, &link);
	if (ret)
		return ret;
	ret = try_sizes(ctx, slot, &link, kind, &plan, former);
	if (ret == 0)
		ret = context_port_configure(ctx, slot, &link);
	if (ret < 0)
		return reason_of_open(ret);
	if (sister_has_twins(ctx) && !ctx->undivided && !sisters_open(ctx, slot)) {
		ctx->undivided = true;
		context_port_close(ctx, slot);
		return reopen(ctx, slot, ifindex, kind, 0);
	}
	announce(ctx, slot, &link, &plan);
	return 0;
}

void context_port_reopen(struct context *ctx, unsigned slot)
{
	const struct provider_port *port = ctx->stack->port[slot];
	uint32_t ifindex = port->ifindex, kind = port->kind, former = port->programs[0];
	int reason;

	clear_remains(ctx, slot);
	memset(ctx->stack->hold[slot], 0, sizeof(ctx->stack->hold[slot]));
	reason = ctx->index ? FS_REASON_recovering : reopen(ctx, slot, ifindex, kind, former);
	if (reason == 0) {
		ctx->stack->counter[FS_CTR_ports_reopened]++;
		context_resteer(ctx, slot);
		return;
	}
	remember_refusal(ctx, ifindex, reason);
	if (reason != FS_REASON_interface_down)
		context_demote_all(ctx, (int)slot, reason, ctx->why);
	context_port_forget(ctx, slot, reason);
}

int context_port(struct context *ctx, uint32_t ifindex, int *reason)
{
	int port = context_port_find(ctx, ifindex);
	struct host_link link;

	if (port >= 0)
		return port;
	if (ctx->index) { /* home opens a sister's */
		*reason = FS_REASON_recovering;
		return -1;
	}
	*reason = remembered_refusal(ctx, ifindex);
	if (*reason)
		return -1;
	if (host_link_get(&ctx->nl, (int)ifindex, &link) < 0) {
		*reason = FS_REASON_interface_down;
		return -1;
	}
	*reason = link_verdict(ctx, &link);
	if (*reason == 0) {
		port = open_port(ctx, &link);
		if (port >= 0)
			return port;
		*reason = reason_of_open(port);
		host_log(&ctx->log, *reason == FS_REASON_interface_busy ? LOG_INFO : LOG_WARN,
			 "not accelerated: %s", ctx->why);
	}
	remember_refusal(ctx, ifindex, *reason);
	return -1;
}

int context_port_beside(struct context *ctx, const struct provider_handle *home)
{
	int port = context_port_find(ctx, home->port->ifindex);
	struct pool_plan plan;
	struct host_link link;
	int ret = host_link_get(&ctx->nl, (int)home->port->ifindex, &link);

	if (port >= 0) /* of the one that home had before */
		context_port_lost(ctx, (unsigned)port, FS_REASON_recovering);
	if (ret < 0)
		return ret;
	pool_plan_init(&plan, &ctx->config, link.rx_queues);
	pool_plan_share(&plan, ctx);
	ret = plan.queues ? open_port(ctx, &link) : 0;
	if (ret < 0)
		host_log(&ctx->log, LOG_INFO, "%s: no port for queues from %u on (error %d): %s", link.name, plan.first,
			 -ret, ctx->why);
	return FS_MIN(ret, 0);
}
