// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * guard.bpf.c - the egress program: the kernel does not answer for the stack's flows (hazard 18).
 *
 * A segment can reach the kernel by a side road: reassembled from fragments, behind an extension
 * header, through another interface, while the heartbeat was stale. The kernel knows no such
 * connection and would reset it.
 * This program drops and counts TCP segments whose flow entry says "stack". AF_XDP transmit does not
 * pass here: it hands frames to the driver past the queueing layer.
 *
 * Does not: look at UDP (the kernel's shadow may send), fragments, VLAN devices' frames, ICMP.
 * Runs for every packet the interface sends, hence the same first exit as the steering program.
 */
#include "common.h"

/* "no opinion": the next program or filter decides. Equal for tcx and for clsact. */
#define GUARD_NEXT (-1)
#define GUARD_DROP 2 /* TC_ACT_SHOT */

/*
 * Sockets leave the map when they close. A guard that outlived its owner (a clsact filter after a kill)
 * must let the kernel reset what died, and talk where the stack once did.
 */
ALWAYS_INLINE bool has_owner(void)
{
	__u64 asked = READ_ONCE(steer_shared.beat[0].asked_ns);

	/* A packet socket is in no map; that nobody reads it shows in the heartbeat only. */
	if (steer_shared.flags & STEER_F_TAP)
		return asked <= READ_ONCE(steer_shared.beat[0].taken_ns) ||
		       bpf_ktime_get_coarse_ns() <= asked + STEER_STALE_MS * NS_PER_MS;
	for (__u32 i = 0; i < STEER_MAX_QUEUES && i < steer_shared.n_queues; i++) {
		/* A copy: the verifier follows a counter only while it is not in memory. */
		__u32 queue = i;

		if (bpf_map_lookup_elem(&steer_xsks, &queue))
			return true;
	}
	return false;
}

ALWAYS_INLINE int guard(const struct __sk_buff *skb, const struct ports *ports,
			struct steer_flow_key *key)
{
	const __u32 *verdict;

	if ((const void *)(ports + 1) > (const void *)(long)skb->data_end)
		return GUARD_NEXT;
	key->local_port = from_net16(ports->src);
	key->remote_port = from_net16(ports->dst);
	key->slot = STEER_SLOT_TCP;
	if (READ_ONCE(steer_shared.slot[STEER_SLOT_TCP][key->local_port].flows) == 0)
		return GUARD_NEXT;
	verdict = bpf_map_lookup_elem(&steer_flows, key);
	if (!verdict || *verdict != STEER_FLOW_STACK || !has_owner())
		return GUARD_NEXT;
	COUNT(guard_dropped);
	return GUARD_DROP;
}

ALWAYS_INLINE int guard_v4(const struct __sk_buff *skb, const struct ip4 *ip)
{
	struct steer_flow_key key = {};

	if ((const void *)(ip + 1) > (const void *)(long)skb->data_end)
		return GUARD_NEXT;
	if (ip->protocol != PROTO_TCP || (ip->fragment & from_net16(V4_FRAGMENT)))
		return GUARD_NEXT;
	map_v4((__u32 *)key.local, ip->src);
	map_v4((__u32 *)key.remote, ip->dst);
	return guard(skb, (const void *)ip + (ip->version_ihl & 0x0f) * 4, &key);
}

ALWAYS_INLINE int guard_v6(const struct __sk_buff *skb, const struct ip6 *ip)
{
	struct steer_flow_key key = {};

	if ((const void *)(ip + 1) > (const void *)(long)skb->data_end || ip->next != PROTO_TCP)
		return GUARD_NEXT;
	copy_v6((__u32 *)key.local, ip->src);
	copy_v6((__u32 *)key.remote, ip->dst);
	return guard(skb, (const struct ports *)(ip + 1), &key);
}

SECTION("tc")
int fsock_guard(struct __sk_buff *skb)
{
	const struct eth *eth = (const struct eth *)(long)skb->data;

	if ((const void *)(eth + 1) > (const void *)(long)skb->data_end)
		return GUARD_NEXT;
	if (eth->type == from_net16(ETHERTYPE_V4))
		return guard_v4(skb, (const struct ip4 *)(eth + 1));
	if (eth->type == from_net16(ETHERTYPE_V6))
		return guard_v6(skb, (const struct ip6 *)(eth + 1));
	return GUARD_NEXT;
}
