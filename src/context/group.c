/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * group.c - groups: the stack's copy of what the shadows joined, and which of them are steered here
 * (DESIGN D3; design hazard 16).
 *
 * The shadow joins, so the kernel speaks IGMP and MLD, programs the device and gives every errno. After
 * each change the kernel is asked what came of it, interface by interface: that is exact whatever the
 * option left to its choice.
 *
 * A steered frame is the only copy there is. So a group on a port is steered only while nobody but
 * sockets of this stack could receive it, each of whom look-up then finds: no foreign socket on the port
 * that takes the group, none of ours left to the kernel. It is looked at when somebody joins, binds or
 * leaves, and once a second, for a foreigner may come later.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>

#include "base/reason.h"
#include "context/internal.h"
#include "context/stamp.h"
#include "host/diag.h"
#include "host/igmp6.h"
#include "host/link.h"
#include "host/route.h"
#include "sys/sys.h"
#include "udp/group.h"

#ifndef IPV6_MULTICAST_ALL
#define IPV6_MULTICAST_ALL 29
#endif

enum {
	LINKS_MAX = 256,
	OWN_MAX = 512,	   /* sockets of ours on one port; with more, the rest count as strangers */
	PORTS_A_ROUND = 16, /* looked at for foreigners in one round of housekeeping */
	PATIENCE = 3,	   /* rounds until a socket with a shared port and no group goes to libc */
	V6_SCOPE_LINK = 2, /* smaller ones never cross a link */
};

/* struct group_filter of the kernel with room for as many sources as a membership holds. */
struct filter {
	uint32_t ifindex;
	struct sockaddr_storage group;
	uint32_t mode, n;
	struct sockaddr_storage source[UDP_GROUP_SOURCES];
};

_Static_assert(offsetof(struct filter, group) == 8 && offsetof(struct filter, source) == 144,
	       "laid out as the kernel reads it");

/* --- memberships --- */

static void put_address(struct sockaddr_storage *to, const struct ip_addr *addr)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };

	memcpy(&in.sin_addr, addr->b + 12, 4);
	memcpy(&in6.sin6_addr, addr->b, 16);
	if (ip_addr_is_v4(addr))
		memcpy(to, &in, sizeof(in));
	else
		memcpy(to, &in6, sizeof(in6));
}

static struct ip_addr get_address(const struct sockaddr_storage *from)
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)from;
	const struct sockaddr_in *in = (const struct sockaddr_in *)from;

	return from->ss_family == AF_INET ? ip_addr_v4(&in->sin_addr) : ip_addr_v6(&in6->sin6_addr);
}

/* The shadow's membership in @group on @ifindex. 0, or -errno: it has none. */
static int read_filter(int fd, const struct ip_addr *group, uint32_t ifindex, struct udp_group *g)
{
	struct filter f = { .ifindex = ifindex, .n = UDP_GROUP_SOURCES };
	socklen_t len = sizeof(f);
	int ret;

	put_address(&f.group, group);
	ret = sys_getsockopt(fd, ip_addr_is_v4(group) ? IPPROTO_IP : IPPROTO_IPV6, MCAST_MSFILTER, &f, &len);
	if (ret < 0)
		return ret;
	g->exclude = f.mode == MCAST_EXCLUDE;
	g->too_many = f.n > UDP_GROUP_SOURCES;
	g->n_sources = (uint8_t)FS_MIN(f.n, (uint32_t)UDP_GROUP_SOURCES);
	for (unsigned i = 0; i < g->n_sources; i++)
		g->source[i] = get_address(&f.source[i]);
	return 0;
}

/* --- steering --- */

static bool is_bound(const struct udp_pcb *pcb)
{
	return pcb->flags & UDP_PCB_BOUND;
}

static struct steer_rule rule_of(const struct udp_group *g)
{
	return (struct steer_rule){
		.protocol = IPPROTO_UDP,
		.local_port = g->steered_port,
		.local = g->group,
		.verdict = STEER_STACK,
	};
}

/* Another membership needs the same entry. */
static bool entry_needed(const struct context *ctx, const struct udp_group *g)
{
	struct udp_group *other = NULL;

	while ((other = udp_group_next(&ctx->stack->udp, &g->group, other)) != NULL)
		if (other != g && other->ifindex == g->ifindex && other->steered_port == g->steered_port)
			return true;
	return false;
}

/* As unsteer() in lifecycle.c: without a hold on the port it stays until a process that has looks. */
static void unsteer(struct context *ctx, struct udp_group *g)
{
	int port = context_port_find(ctx, g->ifindex);
	struct provider_handle *h = port >= 0 ? &ctx->handle[port] : NULL;
	struct steer_rule rule = rule_of(g);

	if (!g->steered_port)
		return;
	if (h && !h->ops) {
		ctx->stack->entries_left = true;
		return;
	}
	if (h && h->ops->steer_remove && !entry_needed(ctx, g))
		h->ops->steer_remove(h, &rule);
	g->steered_port = 0;
}

/* 0 or a reason. */
static int steer(struct context *ctx, struct udp_group *g)
{
	int reason = FS_REASON_no_interface;
	int port = context_port(ctx, g->ifindex, &reason);
	struct provider_handle *h;
	struct steer_rule rule;
	struct sock *s = sock_of(g->pcb);

	if (port < 0)
		return reason;
	h = &ctx->handle[port];
	if (!h->ops)
		return FS_REASON_owner_gone;
	g->steered_port = g->pcb->local_port;
	rule = rule_of(g);
	if (context_rule_add(ctx, (unsigned)port, &rule) < 0) {
		g->steered_port = 0;
		return FS_REASON_too_many_sockets;
	}
	if (s->record->port_index == 0xff)
		s->record->port_index = (uint8_t)port;
	stamp_steered(ctx, s);
	return 0;
}

/* --- may it be steered? --- */

/* Does a socket that look-up does not find take what comes for @group (any = for any) and @port? */
static bool has_foreigner(struct context *ctx, const struct ip_addr *group, uint16_t port, uint32_t ifindex)
{
	uint64_t own[OWN_MAX];
	struct host_port_query query = {
		.addr = *group,
		.port = port,
		.proto = IPPROTO_UDP,
		.v4 = ip_addr_is_any(group) || ip_addr_is_v4(group),
		.v6 = ip_addr_is_any(group) || !ip_addr_is_v4(group),
		.ifindex = (int)ifindex,
		.own = own,
	};
	struct list *e;

	LIST_FOR_EACH(e, &ctx->stack->all_socks) {
		const struct sock *s = FS_CONTAINER_OF(e, struct sock, all);

		if (s->pcb.local_port == port && is_bound(&s->pcb) && query.n_own < OWN_MAX)
			own[query.n_own++] = s->cookie;
	}
	return host_port_shared(&query, ctx->nl_buf, HOST_NL_BUF_GOOD) != 0;
}

static bool is_on_the_wire(const struct ip_addr *group)
{
	return ip_addr_is_v4(group) || (group->b[1] & 0x0f) >= V6_SCOPE_LINK;
}

/* Has a socket of ours, on whatever port, joined without a filter? Then the device takes everybody. */
static bool is_open(const struct context *ctx, const struct ip_addr *group, uint32_t ifindex)
{
	const struct udp_group *g = NULL;

	while ((g = udp_group_next(&ctx->stack->udp, group, g)) != NULL)
		if (g->ifindex == ifindex && g->exclude && g->n_sources == 0)
			return true;
	return false;
}

/*
 * May what comes for @group and @port by @ifindex be ours? Every socket of this stack that could receive
 * it must be found, and found by the kernel's rule: one that did not join gets what the device lets
 * through, which is known only if one of ours joined for all sources.
 */
static bool may_steer(struct context *ctx, const struct ip_addr *group, uint16_t port, uint32_t ifindex,
		      bool alone)
{
	uint32_t joined_only = ip_addr_is_v4(group) ? UDP_PCB_JOINED_ONLY : UDP_PCB_JOINED_ONLY6;
	struct list *e;

	if (!is_on_the_wire(group))
		return false;
	LIST_FOR_EACH(e, &ctx->stack->all_socks) {
		const struct sock *s = FS_CONTAINER_OF(e, struct sock, all);
		const struct udp_group *g;

		if (!udp_group_matches(&s->pcb, group, port, ifindex))
			continue;
		if (!is_bound(&s->pcb))
			return false;
		g = udp_group_find(&s->pcb, group, ifindex);
		if (g ? g->too_many : !(s->pcb.flags & joined_only) && !is_open(ctx, group, ifindex))
			return false;
	}
	return alone || !has_foreigner(ctx, group, port, ifindex);
}

/* Bring the entry of one group on one port into line. @alone: no foreigner has the port. 0 or a reason. */
static int review_one(struct context *ctx, const struct udp_group *of, uint16_t port, bool alone)
{
	const struct ip_addr group = of->group;
	uint32_t ifindex = of->ifindex;
	bool may = may_steer(ctx, &group, port, ifindex, alone);
	int reason = may ? 0 : FS_REASON_port_shared;
	struct udp_group *g = NULL;

	while ((g = udp_group_next(&ctx->stack->udp, &group, g)) != NULL) {
		bool fits = is_bound(g->pcb) && udp_group_matches(g->pcb, &group, port, ifindex);

		if (g->ifindex != ifindex)
			continue;
		if (g->steered_port == port && !(may && fits))
			unsteer(ctx, g);
		else if (!g->steered_port && may && fits)
			reason = steer(ctx, g);
	}
	return reason;
}

/* Does the port of @g work, so that what is steered comes? */
static bool arrives(const struct context *ctx, const struct udp_group *g)
{
	int port = g->steered_port ? context_port_find(ctx, g->ifindex) : -1;

	return port >= 0 && ctx->stack->ip.port[port].up;
}

bool context_groups_served(const struct context *ctx, const struct sock *s)
{
	struct list *e;

	for (const struct udp_group *g = s->pcb.groups; g; g = g->next)
		if (arrives(ctx, g) && udp_group_matches(&s->pcb, &g->group, g->steered_port, g->ifindex))
			return true;
	LIST_FOR_EACH(e, &ctx->stack->all_socks) {
		const struct sock *other = FS_CONTAINER_OF(e, struct sock, all);
		const struct udp_group *g = other->pcb.local_port == s->pcb.local_port ? other->pcb.groups
										       : NULL;

		for (; g; g = g->next)
			if (arrives(ctx, g) &&
			    udp_group_matches(&s->pcb, &g->group, g->steered_port, g->ifindex))
				return true;
	}
	return false;
}

/* Is a group of @s steered, but on an interface that is down? */
static bool is_down(const struct context *ctx, const struct sock *s)
{
	for (const struct udp_group *g = s->pcb.groups; g; g = g->next)
		if (g->steered_port && !arrives(ctx, g))
			return true;
	return false;
}

/* Sockets on @port whose unicast is not ours live by their groups: say which have one. */
static void settle(struct context *ctx, uint16_t port, int reason)
{
	struct list *e;

	LIST_FOR_EACH(e, &ctx->stack->all_socks) {
		struct sock *s = FS_CONTAINER_OF(e, struct sock, all);
		bool unsteered;

		if (s->pcb.local_port != port || s->way != SOCK_FAST)
			continue;
		if (s->links_only && !context_is_served(ctx, s) && !context_groups_served(ctx, s))
			continue;
		unsteered = !context_is_served(ctx, s) && !context_groups_served(ctx, s);
		s->unsteered = unsteered;
		if (unsteered && !s->no_unicast)
			continue; /* its interface is down or gone, and interface.c says so */
		ctx->stack->unsteered |= unsteered;
		if (!unsteered)
			record_reason(s->record, FS_REASON_none, NULL);
		else if (is_down(ctx, s))
			record_reason(s->record, FS_REASON_interface_down, NULL);
		else if (s->pcb.groups)
			record_reason(s->record, reason ? reason : FS_REASON_port_shared, ctx->why);
		else
			record_reason(s->record, ip_addr_is_multicast(&s->pcb.local) ? FS_REASON_pending
										     : FS_REASON_port_shared,
				      NULL);
	}
}

void context_groups_review(struct context *ctx, uint16_t port)
{
	static const struct ip_addr any;
	bool alone = false, asked = false;
	int reason = 0;
	struct list *e;

	if (ctx->stack->groups.in_use == 0 && !ctx->stack->shared)
		return; /* nobody lives by groups: no need to look through all sockets */
	ctx->why[0] = '\0';
	LIST_FOR_EACH(e, &ctx->stack->all_socks) {
		const struct sock *s = FS_CONTAINER_OF(e, struct sock, all);
		const struct udp_group *g = s->pcb.groups;

		for (; g && (s->pcb.local_port == port || g->steered_port == port); g = g->next) {
			int refused;

			if (!asked)
				alone = !has_foreigner(ctx, &any, port, 0);
			asked = true;
			refused = review_one(ctx, g, port, alone);
			reason = refused ? refused : reason;
		}
	}
	settle(ctx, port, reason);
}

/* --- what changes them --- */

static void leave(struct context *ctx, struct udp_group *g)
{
	unsteer(ctx, g);
	udp_group_leave(&ctx->stack->udp, g);
	slab_free(&ctx->stack->groups, g);
}

/* Learn whether the shadow is a member on @ifindex. True: something changed. */
static bool sync_one(struct context *ctx, struct sock *s, int fd, const struct ip_addr *group,
		     uint32_t ifindex)
{
	struct udp_group *g = udp_group_find(&s->pcb, group, ifindex);
	struct udp_group now;

	if (read_filter(fd, group, ifindex, &now) < 0) {
		if (g)
			leave(ctx, g);
		return g;
	}
	if (!g) {
		g = context_group_alloc(ctx);
		if (!g) {
			/* The groups it joined would not be known in full. */
			context_demote(ctx, s, FS_REASON_memory, NULL);
			return false;
		}
		*g = (struct udp_group){ .group = *group, .ifindex = ifindex };
		udp_group_join(&ctx->stack->udp, &s->pcb, g);
	}
	g->exclude = now.exclude;
	g->too_many = now.too_many;
	g->n_sources = now.n_sources;
	memcpy(g->source, now.source, now.n_sources * sizeof(now.source[0]));
	return true;
}

/* On every interface: the option left the choice to the kernel. */
static bool sync_all(struct context *ctx, struct sock *s, int fd, const struct ip_addr *group)
{
	struct host_link *links = mem_private(LINKS_MAX * sizeof(*links));
	bool changed = false;
	int n;

	if (!links)
		return false;
	n = host_link_list(&ctx->nl, links, LINKS_MAX);
	for (int i = 0; i < FS_MIN(n, (int)LINKS_MAX); i++)
		changed |= sync_one(ctx, s, fd, group, (uint32_t)links[i].ifindex);
	sys_munmap(links, LINKS_MAX * sizeof(*links));
	return changed;
}

/* Which group, and on which interface (0 = not said), does the option concern? False: none. */
static bool concerns(int level, int name, const void *value, size_t len, struct ip_addr *group,
		     uint32_t *ifindex)
{
	const uint8_t *at = value;
	struct sockaddr_storage ss;

	*ifindex = 0;
	if (name >= MCAST_JOIN_GROUP && name <= MCAST_MSFILTER) {
		if (len < 8 + sizeof(struct sockaddr_in6))
			return false;
		memset(&ss, 0, sizeof(ss));
		memcpy(&ss, at + 8, FS_MIN(len - 8, sizeof(ss)));
		memcpy(ifindex, at, sizeof(*ifindex));
		*group = get_address(&ss);
		return true;
	}
	if (level == IPPROTO_IPV6) {
		if (len < sizeof(struct ipv6_mreq))
			return false;
		*group = ip_addr_v6(at);
		memcpy(ifindex, at + 16, sizeof(*ifindex));
		return true;
	}
	if (len < sizeof(struct ip_mreq))
		return false;
	*group = ip_addr_v4(at);
	if ((name == IP_ADD_MEMBERSHIP || name == IP_DROP_MEMBERSHIP) && len >= sizeof(struct ip_mreqn))
		memcpy(ifindex, at + 8, sizeof(*ifindex));
	return true;
}

static void read_all_flags(struct sock *s, int fd)
{
	int v4 = 1, v6 = 1;
	socklen_t len = sizeof(int);

	sys_getsockopt(fd, IPPROTO_IP, IP_MULTICAST_ALL, &v4, &len);
	len = sizeof(int);
	sys_getsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_ALL, &v6, &len);
	s->pcb.flags &= ~(uint32_t)(UDP_PCB_JOINED_ONLY | UDP_PCB_JOINED_ONLY6);
	s->pcb.flags |= (v4 ? 0 : (uint32_t)UDP_PCB_JOINED_ONLY) | (v6 ? 0 : (uint32_t)UDP_PCB_JOINED_ONLY6);
}

void context_group_option(struct context *ctx, struct sock *s, int fd, int level, int name,
			  const void *value, size_t len)
{
	struct ip_addr group;
	uint32_t ifindex;
	bool changed = true;

	if ((level == IPPROTO_IP && name == IP_MULTICAST_ALL) ||
	    (level == IPPROTO_IPV6 && name == IPV6_MULTICAST_ALL))
		read_all_flags(s, fd);
	else if (!concerns(level, name, value, len, &group, &ifindex))
		return;
	else if (ifindex)
		changed = sync_one(ctx, s, fd, &group, ifindex);
	else
		changed = sync_all(ctx, s, fd, &group);
	if (!changed)
		return;
	ip_dst_flush(&ctx->stack->ip); /* what is sent to the group now comes back */
	if (s->pcb.local_port && s->way == SOCK_FAST)
		context_groups_review(ctx, s->pcb.local_port);
}

/* --- sending --- */

static int read_int(int fd, int level, int name, int otherwise)
{
	socklen_t len = sizeof(int);
	int v = otherwise;

	return sys_getsockopt(fd, level, name, &v, &len) == 0 ? v : otherwise;
}

/* IP_MULTICAST_IF: the kernel tells the address of it only, so the interface is taken from what was set. */
static void read_interface(struct context *ctx, struct sock *s, const void *value, size_t len)
{
	struct ip_mreqn req = { .imr_ifindex = 0 };

	if (len >= sizeof(req))
		memcpy(&req, value, sizeof(req));
	else if (len >= sizeof(struct ip_mreq))
		memcpy(&req, value, sizeof(struct ip_mreq));
	else
		memcpy(&req.imr_address, value, sizeof(req.imr_address));
	s->group_if[0] = (uint32_t)req.imr_ifindex;
	s->group_source = (struct ip_addr){ 0 };
	if (req.imr_address.s_addr == 0)
		return;
	s->group_source = ip_addr_v4(&req.imr_address);
	if (!s->group_if[0])
		s->group_if[0] = context_interface_of(ctx, &s->group_source);
}

void context_group_sending(struct context *ctx, struct sock *s, int fd, int level, int name,
			   const void *value, size_t len)
{
	bool v6 = level == IPPROTO_IPV6;
	int hops = read_int(fd, level, v6 ? IPV6_MULTICAST_HOPS : IP_MULTICAST_TTL, 1);

	s->group_hops[v6] = hops > 1 ? (uint8_t)hops : 0;
	s->group_stays[v6] = hops == 0;
	s->group_quiet[v6] = !read_int(fd, level, v6 ? IPV6_MULTICAST_LOOP : IP_MULTICAST_LOOP, 1);
	if (v6)
		s->group_if[1] = (uint32_t)read_int(fd, level, IPV6_MULTICAST_IF, 0);
	else if (name == IP_MULTICAST_IF)
		read_interface(ctx, s, value, len);
	context_forget_route(ctx, s);
}

void context_group_choice(const struct sock *s, bool v6, struct context_choice *choice)
{
	choice->oif = s->pcb.ifindex ? s->pcb.ifindex : s->group_if[v6];
	choice->quiet = s->group_quiet[v6];
	if (!v6 && ip_addr_is_any(&choice->bound))
		choice->bound = s->group_source;
}

/* Would the kernel deliver what is sent to @d here as well? */
static bool is_joined(struct context *ctx, const struct host_route *route, const struct ip_dst *d)
{
	if (ip_addr_is_v4(&d->remote))
		return route->joined;
	return host_igmp6_joined((uint32_t)route->ifindex, &d->remote, (char *)ctx->nl_buf,
				 HOST_NL_BUF_GOOD) != 0;
}

void context_group_resolved(struct context *ctx, const struct host_route *route,
			    const struct context_choice *choice, struct ip_dst *d)
{
	int port = context_port_find(ctx, (uint32_t)route->ifindex);

	d->local = route->prefsrc;
	d->mtu = route->mtu;
	d->hop_limit = 1;
	if (!is_on_the_wire(&d->remote) || ip_addr_is_any(&d->local) ||
	    (!choice->quiet && is_joined(ctx, route, d))) {
		d->reason = FS_REASON_multicast;
	} else if (port >= 0) {
		d->neigh = context_next_hop(ctx, route->ifindex, (unsigned)port, &d->remote);
		if (d->neigh) {
			d->way = IP_DST_FAST;
			d->port = (uint8_t)port;
		}
	}
}

void context_groups_unsteer(struct context *ctx, struct sock *s)
{
	for (struct udp_group *g = s->pcb.groups; g; g = g->next)
		unsteer(ctx, g);
}

void context_groups_forget(struct context *ctx, struct sock *s)
{
	while (s->pcb.groups)
		leave(ctx, s->pcb.groups);
}

void context_groups_resteer(struct context *ctx, struct sock *s, unsigned port)
{
	for (struct udp_group *g = s->pcb.groups; g; g = g->next) {
		struct steer_rule rule = rule_of(g);

		if (!g->steered_port || g->ifindex != ctx->stack->ip.port[port].ifindex)
			continue;
		if (context_rule_add(ctx, port, &rule) < 0)
			g->steered_port = 0; /* the kernel's, until a review finds room */
	}
	stamp_steered(ctx, s);
}

void context_groups_gone(struct context *ctx, uint32_t ifindex, bool for_good)
{
	struct list *e;

	LIST_FOR_EACH(e, &ctx->stack->all_socks) {
		struct sock *s = FS_CONTAINER_OF(e, struct sock, all);
		struct udp_group *g = s->pcb.groups, *next;

		for (; g; g = next) {
			next = g->next;
			if (g->ifindex != ifindex)
				continue;
			if (g->steered_port && !for_good && s->no_unicast) {
				s->missing = 1;
				ctx->stack->waiting = true;
			}
			g->steered_port = 0; /* the tables went with the port */
			if (for_good)
				leave(ctx, g);
		}
	}
}

bool context_groups_on(const struct context *ctx, const struct sock *s, unsigned port)
{
	uint32_t ifindex = ctx->stack->ip.port[port].ifindex;

	for (const struct udp_group *g = s->pcb.groups; g; g = g->next)
		if (g->steered_port && g->ifindex == ifindex)
			return true;
	return false;
}

bool context_groups_left(const struct sock *s)
{
	for (const struct udp_group *g = s->pcb.groups; g; g = g->next)
		if (g->steered_port)
			return true;
	return false;
}

/* --- now and then --- */

/* The lowest port above @after on which a group is steered; 0 = none. */
static uint16_t next_port(const struct context *ctx, uint16_t after)
{
	uint16_t best = 0;
	struct list *e;

	LIST_FOR_EACH(e, &ctx->stack->all_socks) {
		const struct sock *s = FS_CONTAINER_OF(e, struct sock, all);
		uint16_t port = s->pcb.local_port;

		if (port > after && (best == 0 || port < best) && context_groups_left(s))
			best = port;
	}
	return best;
}

/* A socket that shares its port and joins nothing has no use for the stack. */
static void lose_patience(struct context *ctx)
{
	struct list *e;

	if (!ctx->stack->unsteered)
		return;
	ctx->stack->unsteered = false;
	LIST_FOR_EACH(e, &ctx->stack->all_socks) {
		struct sock *s = FS_CONTAINER_OF(e, struct sock, all);
		bool unsteered = s->way == SOCK_FAST && s->unsteered && s->no_unicast;

		ctx->stack->unsteered |= unsteered;
		if (!unsteered || s->pcb.groups || ip_addr_is_multicast(&s->pcb.local))
			s->waited = 0;
		else if (++s->waited > PATIENCE)
			context_demote(ctx, s, FS_REASON_port_shared, NULL);
	}
}

void context_groups_check(struct context *ctx)
{
	static const struct ip_addr any;

	for (int i = 0; i < PORTS_A_ROUND && ctx->stack->groups.in_use; i++) {
		ctx->group_port = next_port(ctx, ctx->group_port);
		if (!ctx->group_port)
			break;
		if (has_foreigner(ctx, &any, ctx->group_port, 0))
			context_groups_review(ctx, ctx->group_port);
	}
	lose_patience(ctx);
}
