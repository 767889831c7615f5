/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * route.h - what the kernel would do with a packet: one question, one answer (DESIGN D5).
 *
 * Does:     RTM_GETROUTE with everything a socket's own look-up knows (source, interface, mark,
 *           uid, DSCP, ports), so rules, VRFs, multipath, nexthop objects, per-route and learned
 *           MTUs hold. 1 to 5 us each (design-hazards row 25).
 * Does not: cache, match prefixes of its own, resolve the next hop (neigh.h).
 * Threads:  as struct host_nl.
 * Errors:   -errno as connect() or send() of a kernel socket would say it: -ENETUNREACH no route,
 *           -EHOSTUNREACH unreachable, -EACCES prohibit, -EINVAL blackhole or a source that is not
 *           ours; or those of netlink.h.
 */
#ifndef FSOCK_HOST_ROUTE_H
#define FSOCK_HOST_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"

struct host_nl;
struct host_nl_msg;

#define HOST_ROUTE_UID_SELF UINT32_MAX /* the caller's own uid */

/* What is asked. Start from HOST_ROUTE_QUERY(destination) and set what the socket has set. */
struct host_route_query {
	struct ip_addr dst;
	struct ip_addr src; /* bound source address; any = not bound */
	int oif;	    /* SO_BINDTODEVICE or IP_UNICAST_IF; 0 = none */
	uint32_t mark;	    /* SO_MARK; 0 = none */
	uint32_t uid;	    /* owner of the socket, HOST_ROUTE_UID_SELF */
	uint8_t tos;	    /* IP_TOS or IPV6_TCLASS; ECN bits are ignored */
	uint8_t proto;	    /* IPPROTO_UDP or IPPROTO_TCP; 0 = no ports */
	uint16_t sport;	    /* host order, 0 = not yet known; for rules and multipath by ports */
	uint16_t dport;	    /* host order */
	bool connect;	    /* as connect() asks: again, with the source first chosen */
};

#define HOST_ROUTE_QUERY(destination)                                                              \
	((struct host_route_query){ .dst = (destination), .uid = HOST_ROUTE_UID_SELF })

enum host_route_type {
	HOST_ROUTE_UNICAST,   /* to a neighbour or a gateway */
	HOST_ROUTE_LOCAL,     /* to this host, IPv6 anycast included */
	HOST_ROUTE_BROADCAST, /* IPv4 only */
	HOST_ROUTE_MULTICAST,
};

struct host_route {
	enum host_route_type type;
	int ifindex;		/* where it leaves; the loopback interface for HOST_ROUTE_LOCAL */
	struct ip_addr gateway; /* next hop; any = the destination. IPv6 even for IPv4 routes */
	struct ip_addr prefsrc; /* source address: the one asked for, or the kernel's choice */
	uint32_t mtu;		/* of an IP packet: learned, of the route or the interface */
	bool joined;		/* HOST_ROUTE_MULTICAST, IPv4: this host is a member there, with that source */
	bool mtu_locked;	/* "mtu lock": the kernel sends without DF */
	uint8_t hop_limit;	/* of the route; 0 = the system's default */
	uint32_t expires_ms;	/* how long a learned MTU holds; 0 = until an event */
};

/*
 * host_route_get() - ask for @query's route, @route is written on success only.
 * Return: 0 or -errno of the head comment.
 */
int host_route_get(struct host_nl *nl, const struct host_route_query *query,
		   struct host_route *route);

/*
 * host_route_parse() - the route in an RTM_NEWROUTE message. Pure; @route->mtu is 0 when the
 * message names none. Return: 0, -EBADMSG, or -errno of an unreachable, prohibit or blackhole type.
 */
int host_route_parse(const struct host_nl_msg *msg, struct host_route *route);

/*
 * host_route_is_default() - does @msg, an RTM_NEWROUTE of a dump, describe a default route that
 * forwards out of @ifindex? Pure. 1, 0 or -EBADMSG.
 */
int host_route_is_default(const struct host_nl_msg *msg, int ifindex);

#endif
