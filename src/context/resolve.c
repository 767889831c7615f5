/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * resolve.c - where a datagram or a segment goes: the kernel is asked per destination, the answer cached (D5).
 *
 * A destination that the fast path cannot serve is cached too, as IP_DST_KERNEL with its reason, so that
 * a program sending there pays one look-up and no question.
 */
#include <errno.h>
#include <netinet/in.h>

#include "base/reason.h"
#include "context/icmp.h"
#include "context/internal.h"
#include "host/neigh.h"
#include "host/route.h"
#include "wire/eth.h"

/* Learned path MTUs come without a notification: ask again after a second. */
#define DST_FRESH FS_SEC(1)
#define NEIGH_RETRY FS_US(50)
#define NEIGH_SOLICIT FS_MS(100)
#define NEIGH_INTERVAL FS_SEC(25) /* the kernel forgets "in use" after about 30 s (hazard 25) */

enum {
	DSCP_MASK = 0xfc, /* ECN bits choose no route */
	CHOICE_MAX_OIF = (1 << 24) - 1,
};

struct neigh *context_next_hop(struct context *ctx, int ifindex, unsigned port, const struct ip_addr *hop)
{
	struct neigh_table *table = &ctx->stack->ip.neigh;
	struct neigh *n = neigh_find(table, (uint8_t)port, hop);
	struct host_neigh answer;

	if (n && n->state == NEIGH_VALID)
		return n;
	if (ip_addr_is_multicast(hop)) {
		answer.mac = eth_group_of(hop);
		return neigh_learn(table, (uint8_t)port, hop, &answer.mac, NEIGH_VALID, ctx->now);
	}
	if (host_neigh_get(&ctx->nl, ifindex, hop, &answer) == 0 && answer.usable)
		return neigh_learn(table, (uint8_t)port, hop, &answer.mac, NEIGH_VALID, ctx->now);
	/* Unresolved: the kernel solicits when the datagram goes its way, and the monitor hears. */
	return neigh_learn(table, (uint8_t)port, hop, NULL, NEIGH_FAILED, ctx->now);
}

/* Turn the kernel's answer into an entry. */
static void resolved(struct context *ctx, const struct host_route *route, struct ip_dst *d)
{
	int port = context_port_find(ctx, (uint32_t)route->ifindex);

	d->local = route->prefsrc;
	d->mtu = context_icmp_mtu(ctx, &d->remote, route->mtu);
	d->hop_limit = route->hop_limit;
	if (route->type == HOST_ROUTE_LOCAL) {
		d->reason = FS_REASON_loopback;
	} else if (route->type != HOST_ROUTE_UNICAST) {
		d->reason = FS_REASON_multicast;
	} else if (port < 0) {
		d->reason = FS_REASON_no_interface;
	} else {
		const struct ip_addr *hop =
			ip_addr_is_any(&route->gateway) ? &d->remote : &route->gateway;

		d->neigh = context_next_hop(ctx, route->ifindex, (unsigned)port, hop);
		if (d->neigh) {
			d->way = IP_DST_FAST;
			d->port = (uint8_t)port;
		}
	}
}

/* Ask the kernel. */
static struct ip_dst *ask(struct context *ctx, const struct ip_addr *remote,
			  const struct context_choice *choice, uint64_t key)
{
	struct ip_dst d = {
		.remote = *remote,
		.bound = choice->bound,
		.choice = key,
		.way = IP_DST_KERNEL,
		.reason = FS_REASON_no_interface,
		.checked_at = ctx->now,
	};
	struct host_route_query query = HOST_ROUTE_QUERY(*remote);
	struct host_route route;
	int ret;

	query.src = choice->bound;
	query.oif = (int)choice->oif;
	query.mark = choice->mark;
	query.tos = choice->tos;
	query.proto = choice->tcp ? IPPROTO_TCP : IPPROTO_UDP;
	query.connect = true;
	if (ip_addr_is_any(remote))
		d.reason = FS_REASON_multicast;
	else if (ip_addr_is_link_local(remote) && !ip_addr_is_v4(remote))
		d.reason = FS_REASON_scoped; /* the scope is the shadow's: one address, many links */
	else if ((ret = host_route_get(&ctx->nl, &query, &route)) < 0)
		d.error = (uint8_t)FS_MIN(-ret, UINT8_MAX);
	else if (ip_addr_is_multicast(remote))
		context_group_resolved(ctx, &route, choice, &d);
	else
		resolved(ctx, &route, &d);
	return ip_dst_add(&ctx->stack->ip, &d);
}

/* The part of the choice beside the address, as one word: 32 bits of mark, 24 of interface, 6 of TOS, one
 * for the protocol, and the lowest for groups. */
uint64_t context_choice_pack(const struct context_choice *choice)
{
	return (uint64_t)choice->mark << 32 | choice->oif << 8 | choice->tos | (uint64_t)choice->tcp << 1 |
	       choice->quiet;
}

void context_choice_unpack(uint64_t packed, struct context_choice *choice)
{
	*choice = (struct context_choice){
		.mark = (uint32_t)(packed >> 32),
		.oif = (uint32_t)packed >> 8,
		.tos = packed & DSCP_MASK,
		.quiet = packed & 1,
		.tcp = packed >> 1 & 1,
	};
}

struct ip_dst *context_resolve_by(struct context *ctx, const struct ip_addr *remote,
				  const struct context_choice *choice)
{
	uint64_t key = context_choice_pack(choice);
	struct ip_dst *d;

	if (choice->oif > CHOICE_MAX_OIF)
		return NULL;
	d = ip_dst_find(&ctx->stack->ip, remote, &choice->bound, key);
	if (!d || ctx->now - d->checked_at >= DST_FRESH)
		d = ask(ctx, remote, choice, key);
	return d;
}

void context_choice_tos(struct context_choice *choice, uint8_t tos)
{
	choice->tos = tos & DSCP_MASK;
}

void context_choice(const struct sock *s, bool v6, struct context_choice *choice)
{
	*choice = (struct context_choice){
		.oif = s->pcb.ifindex ? s->pcb.ifindex : s->unicast_if[v6],
		.mark = s->mark,
	};
	context_choice_tos(choice, s->pcb.style[v6].tos);
	/* Who is bound to a group sends from the interface's address. */
	if (!ip_addr_is_any(&s->pcb.local) && !ip_addr_is_multicast(&s->pcb.local))
		choice->bound = s->pcb.local;
}

struct ip_dst *context_resolve(struct context *ctx, struct sock *s, const struct ip_addr *remote)
{
	struct ip_stack *ip = &ctx->stack->ip;
	struct context_choice choice;
	struct ip_dst *d = s->dst;

	if (d && !d->stale && ip_addr_equal(&d->remote, remote) && ctx->now - d->checked_at < DST_FRESH)
		return d;
	context_choice(s, !ip_addr_is_v4(remote), &choice);
	if (__builtin_expect(ip_addr_is_multicast(remote), 0))
		context_group_choice(s, !ip_addr_is_v4(remote), &choice);
	d = context_resolve_by(ctx, remote, &choice);
	if (s->dst)
		ip_dst_put(ip, s->dst);
	s->dst = d;
	if (d)
		ip_dst_get(ip, d);
	return d;
}

void context_doubt_route(struct context *ctx, struct sock *s)
{
	if (s->dst)
		s->dst->checked_at = ctx->now - DST_FRESH;
}

void context_forget_route(struct context *ctx, struct sock *s)
{
	if (s->dst)
		ip_dst_put(&ctx->stack->ip, s->dst);
	s->dst = NULL;
}

/* The kernel resolves within some 50 us of the first datagram; notifications are read once a ms. */
bool context_neigh_retry(struct context *ctx, struct ip_dst *dst)
{
	struct neigh *n = dst->neigh;

	if (n->state == NEIGH_VALID || ctx->now - n->refreshed_at < NEIGH_RETRY)
		return false;
	context_next_hop(ctx, (int)ctx->stack->ip.port[dst->port].ifindex, dst->port, &n->addr);
	return ip_dst_ready(&ctx->stack->ip, dst);
}

void context_neigh_want(struct context *ctx, struct ip_dst *dst)
{
	struct neigh *n = dst->neigh;

	if (ip_dst_ready(&ctx->stack->ip, dst) || context_neigh_retry(ctx, dst) ||
	    (n->used_at && ctx->now - n->used_at < NEIGH_SOLICIT))
		return;
	n->used_at = ctx->now;
	host_neigh_use(&ctx->nl, (int)ctx->stack->ip.port[dst->port].ifindex, &n->addr);
}

void context_neigh_changed(struct context *ctx, const struct host_neigh *h)
{
	int port = context_port_find(ctx, (uint32_t)h->ifindex);

	if (port < 0 || ip_addr_is_multicast(&h->addr) || !neigh_find(&ctx->stack->ip.neigh, (uint8_t)port, &h->addr))
		return; /* nobody sends there */
	neigh_learn(&ctx->stack->ip.neigh, (uint8_t)port, &h->addr, h->usable ? &h->mac : NULL,
		    h->usable ? NEIGH_VALID : NEIGH_FAILED, ctx->now);
}

void context_neigh_gone(struct context *ctx, const struct host_neigh *h)
{
	int port = context_port_find(ctx, (uint32_t)h->ifindex);

	if (port >= 0 && !ip_addr_is_multicast(&h->addr))
		neigh_forget(&ctx->stack->ip.neigh, (uint8_t)port, &h->addr);
}

void context_neigh_refresh(struct context *ctx)
{
	struct neigh_table *table = &ctx->stack->ip.neigh;
	struct neigh *n;

	while ((n = neigh_next_due(table, ctx->now, NEIGH_INTERVAL)) != NULL) {
		/* Without CAP_NET_ADMIN the entry is declared unresolved: the next datagram takes the
		 * kernel's way, which refreshes it, and the monitor brings it back. */
		if (!ip_addr_is_multicast(&n->addr) &&
		    host_neigh_use(&ctx->nl, (int)ctx->stack->ip.port[n->port].ifindex, &n->addr) == -EPERM)
			neigh_learn(table, n->port, &n->addr, NULL, NEIGH_FAILED, ctx->now);
		neigh_asked(table, n, ctx->now);
	}
}
