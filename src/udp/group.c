/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * group.c - see group.h.
 *
 * Memberships hash by group alone: the walk of a port's endpoints then needs one short chain per
 * endpoint, and whoever joined a group is found without a list of sockets. The hash is not keyed: what
 * is entered comes from programs of this host, a peer only looks up.
 */
#include "udp/group.h"

#include "base/err.h"
#include "base/fbuf.h"
#include "udp/udp_internal.h"

static uint32_t group_hash(const struct ip_addr *group)
{
	uint64_t mixed = (group->d[0] ^ group->d[1]) * 0x9e3779b97f4a7c15ULL;

	return (uint32_t)(mixed >> 32);
}

void udp_groups_init(struct udp_stack *udp, struct table_node **buckets, uint32_t n)
{
	table_init(&udp->by_group, buckets, n);
}

void udp_group_join(struct udp_stack *udp, struct udp_pcb *pcb, struct udp_group *g)
{
	g->pcb = pcb;
	g->next = pcb->groups;
	pcb->groups = g;
	table_insert(&udp->by_group, &g->node, group_hash(&g->group));
}

void udp_group_leave(struct udp_stack *udp, struct udp_group *g)
{
	struct udp_group **at = &g->pcb->groups;

	while (*at != g)
		at = &(*at)->next;
	*at = g->next;
	table_remove(&udp->by_group, &g->node);
}

struct udp_group *udp_group_find(const struct udp_pcb *pcb, const struct ip_addr *group, uint32_t ifindex)
{
	struct udp_group *g = pcb->groups;

	while (g && !(g->ifindex == ifindex && ip_addr_equal(&g->group, group)))
		g = g->next;
	return g;
}

struct udp_group *udp_group_next(const struct udp_stack *udp, const struct ip_addr *group,
				 const struct udp_group *g)
{
	uint32_t hash = group_hash(group);
	struct table_node *node;

	if (udp->by_group.count == 0)
		return NULL;
	node = g ? g->node.next : *table_bucket(&udp->by_group, hash);
	for (node = table_match(node, hash); node; node = table_match(node->next, hash)) {
		struct udp_group *other = FS_CONTAINER_OF(node, struct udp_group, node);

		if (ip_addr_equal(&other->group, group))
			return other;
	}
	return NULL;
}

static bool passes(const struct udp_group *g, const struct ip_addr *source)
{
	for (unsigned i = 0; i < g->n_sources; i++)
		if (ip_addr_equal(&g->source[i], source))
			return !g->exclude;
	return g->exclude;
}

bool udp_group_allows(const struct udp_stack *udp, const struct udp_pcb *pcb, const struct ip_addr *group,
		      const struct ip_addr *source, uint32_t ifindex)
{
	bool v4 = ip_addr_is_v4(group);
	struct udp_group *g = NULL;

	while ((g = udp_group_next(udp, group, g)) != NULL)
		if (g->pcb == pcb && (!v4 || g->ifindex == ifindex))
			return passes(g, source);
	return !(pcb->flags & (v4 ? UDP_PCB_JOINED_ONLY : UDP_PCB_JOINED_ONLY6));
}

bool udp_group_matches(const struct udp_pcb *pcb, const struct ip_addr *group, uint16_t port,
		       uint32_t ifindex)
{
	bool v4 = ip_addr_is_v4(group);

	if (pcb->local_port != port || !udp_takes_family(pcb->flags, v4))
		return false;
	if (pcb->ifindex != 0 && pcb->ifindex != ifindex)
		return false;
	/* bind(::ffff:0.0.0.0) means any IPv4 address, and no other. */
	if (ip_addr_is_any(&pcb->local))
		return v4 || !ip_addr_is_v4(&pcb->local);
	return ip_addr_equal(&pcb->local, group);
}

static bool receives(const struct udp_stack *udp, const struct udp_pcb *pcb, const struct fbuf *frame)
{
	return udp_group_matches(pcb, &frame->dst, frame->dst_port, frame->ifindex) &&
	       (!ip_addr_is_multicast(&frame->dst) ||
		udp_group_allows(udp, pcb, &frame->dst, &frame->src, frame->ifindex));
}

void udp_group_receivers(struct udp_stack *udp, const struct fbuf *frame,
			 void (*each)(void *arg, struct udp_pcb *pcb), void *arg)
{
	struct table_node *node;
	uint32_t hash;

	TABLE_FOR_EACH_MATCH(node, &udp->by_port, frame->dst_port) {
		struct udp_pcb *pcb = FS_CONTAINER_OF(node, struct udp_pcb, port_node);

		if (receives(udp, pcb, frame))
			each(arg, pcb);
	}
	if (udp->by_flow.count == 0)
		return;
	/* Bound to the group, then connected to the sender. */
	hash = udp_flow_hash(udp, &frame->dst, frame->dst_port, &frame->src, frame->src_port);
	TABLE_FOR_EACH_MATCH(node, &udp->by_flow, hash) {
		struct udp_pcb *pcb = FS_CONTAINER_OF(node, struct udp_pcb, flow_node);

		if (pcb->remote_port == frame->src_port && ip_addr_equal(&pcb->remote, &frame->src) &&
		    receives(udp, pcb, frame))
			each(arg, pcb);
	}
}
