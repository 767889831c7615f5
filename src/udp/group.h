/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * group.h - memberships of endpoints in groups, and who receives a group's datagram.
 *
 * The rules are Linux's (ip_mc_sf_allow(), inet6_mc_check()): a datagram to a group goes to every
 * endpoint whose address, port and peer match, unless its membership's source filter says no. An endpoint
 * without a membership for the group takes it too, since somebody on this host joined, until
 * IP_MULTICAST_ALL (IPV6_MULTICAST_ALL) was switched off. IPv6 memberships are found by group alone,
 * the latest first, whatever the interface.
 *
 * Does:     keep memberships as they are told, find receivers, of broadcasts as well.
 * Does not: join: the shadow does, the kernel speaks IGMP and MLD. Check that anybody joined on the
 *           interface: only groups that were are steered here.
 * Threads:  holder of the stack's lock only.
 */
#ifndef FSOCK_UDP_GROUP_H
#define FSOCK_UDP_GROUP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/table.h"
#include "udp/udp.h"

struct fbuf;

/* Sources a filter can hold; the kernel's default limit is 10 for IPv4 (igmp_max_msf), 64 for IPv6. */
enum { UDP_GROUP_SOURCES = 16 };

/* One membership of one endpoint, in stack memory. Owner: whoever joined it. */
struct udp_group {
	struct table_node node;	 /* by group */
	struct udp_group *next;	 /* of the same endpoint, latest first */
	struct udp_pcb *pcb;
	struct ip_addr group;
	uint32_t ifindex;
	bool exclude;		 /* all but the sources; otherwise the sources only */
	bool too_many;		 /* the owner's: the filter has more sources than fit here */
	uint8_t n_sources;
	uint16_t steered_port;	 /* the owner's: local port of its entry in steering; 0 = none */
	struct ip_addr source[UDP_GROUP_SOURCES];
};

/* Where memberships are kept; @buckets: a power of two, borrowed for the stack's life. */
void udp_groups_init(struct udp_stack *udp, struct table_node **buckets, uint32_t n);

/* Enter @g, whose group, ifindex and filter are set, for @pcb; take it out. The filter may change any
 * time. A pcb whose memory is released must have left. */
void udp_group_join(struct udp_stack *udp, struct udp_pcb *pcb, struct udp_group *g);
void udp_group_leave(struct udp_stack *udp, struct udp_group *g);

/* The membership of @pcb on that very interface, or NULL. */
struct udp_group *udp_group_find(const struct udp_pcb *pcb, const struct ip_addr *group, uint32_t ifindex);

/* The next of all endpoints' memberships in @group after @g (NULL = the first), or NULL. */
struct udp_group *udp_group_next(const struct udp_stack *udp, const struct ip_addr *group,
				 const struct udp_group *g);

/* Would @pcb, by its address, port, family and device, receive what comes for @group and @port by the
 * interface @ifindex, from some peer? Memberships are left aside. */
bool udp_group_matches(const struct udp_pcb *pcb, const struct ip_addr *group, uint16_t port,
		       uint32_t ifindex);

/* Do memberships and filters of @pcb let through what @source sends to @group by @ifindex? */
bool udp_group_allows(const struct udp_stack *udp, const struct udp_pcb *pcb, const struct ip_addr *group,
		      const struct ip_addr *source, uint32_t ifindex);

/*
 * Call @each for every endpoint that receives the datagram @frame describes (source, destination, ports
 * and interface are filled in). @each must not insert or remove endpoints.
 */
void udp_group_receivers(struct udp_stack *udp, const struct fbuf *frame,
			 void (*each)(void *arg, struct udp_pcb *pcb), void *arg);

#endif
