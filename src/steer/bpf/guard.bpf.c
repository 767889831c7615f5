// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * guard.bpf.c - the egress program: the kernel does not answer for the stack's connections (hazard 18).
 *
 * A segment can reach the kernel by a side road: reassembled from fragments, behind an extension
 * header, through another interface, while the heartbeat was stale. The kernel knows no such
 * connection and would reset it. This program drops and counts
 *   - whatever TCP the kernel says for a flow whose entry says "stack";
 *   - resets without ACK from a port of the stack's for which the kernel has no connection. What has an ACK
 *     the kernel answers so when it knows no better, and only that (RFC 9293 3.5.2): its sockets reset their
 *     peers with an ACK, as do refusals of a SYN (docs/decisions/0024).
 * AF_XDP transmit does not pass here: it hands frames to the driver past the queueing layer.
 *
 * Does not: look at UDP (the kernel's shadow may send), fragments, VLAN devices' frames, ICMP.
 * Runs for every packet the interface sends, hence the same first exit as the steering program.
 */
#define CONTEXT __sk_buff
#define PASS (-1) /* no opinion: the next program or filter decides. Equal for tcx and for clsact */
#define DROP 2	  /* TC_ACT_SHOT */
#include "decide.h"

/*
 * Sockets leave the map when they close. A guard that outlived its owner (a clsact filter after a kill)
 * must let the kernel reset what died, and talk where the stack once did.
 */
ALWAYS_INLINE bool has_owner(void)
{
	__u32 flags = READ_ONCE(steer_shared.flags);
	__u64 asked = READ_ONCE(steer_shared.beat[0].asked_ns);

	/* A packet socket is in no map. Who has no link either shows in the heartbeat only that he lives. */
	if (flags & STEER_F_TAP)
		return (flags & STEER_F_GUARD_LINK) || asked <= READ_ONCE(steer_shared.beat[0].taken_ns) ||
		       bpf_ktime_get_coarse_ns() <= asked + STEER_STALE_MS * NS_PER_MS;
	for (__u32 i = 0; i < STEER_MAX_QUEUES && i < steer_shared.n_queues; i++) {
		/* A copy: the verifier follows a counter only while it is not in memory. */
		__u32 queue = i;

		if (bpf_map_lookup_elem(&steer_xsks, &queue))
			return true;
	}
	return false;
}

/* Is the segment with these @flags, the other way round the packet @p, about a connection of the stack's? */
ALWAYS_INLINE bool is_usurped(struct __sk_buff *skb, const struct packet *p, __u8 flags)
{
	int verdict = p->slot.flows ? flow_verdict(p) : 0;

	if (verdict)
		return verdict == STEER_FLOW_STACK;
	return (flags & (TCP_RST | TCP_ACK)) == TCP_RST && port_taken(p) && !kernel_owns(skb, p);
}

/* @p: of what would be the answer to this segment. */
ALWAYS_INLINE int guard(struct __sk_buff *skb, struct packet *p, const struct tcp *tcp)
{
	if ((const void *)(tcp + 1) > (const void *)(long)skb->data_end)
		return PASS;
	p->tcp = STEER_SLOT_TCP;
	p->src_port = tcp->dst;
	p->dst_port = tcp->src;
	p->slot = READ_ONCE(steer_shared.slot[STEER_SLOT_TCP][from_net16(tcp->src)]);
	if (p->slot.flows == 0 && p->slot.exact == 0 && p->slot.wild == 0)
		return PASS;
	if (!is_usurped(skb, p, tcp->flags) || !has_owner())
		return PASS;
	COUNT(guard_dropped);
	return DROP;
}

ALWAYS_INLINE int guard_v4(struct __sk_buff *skb, const struct ip4 *ip)
{
	struct packet p = { .v4 = 1 };

	if ((const void *)(ip + 1) > (const void *)(long)skb->data_end)
		return PASS;
	if (ip->protocol != PROTO_TCP || (ip->fragment & from_net16(V4_FRAGMENT)))
		return PASS;
	map_v4(p.dst, ip->src);
	map_v4(p.src, ip->dst);
	return guard(skb, &p, (const void *)ip + (ip->version_ihl & 0x0f) * 4);
}

ALWAYS_INLINE int guard_v6(struct __sk_buff *skb, const struct ip6 *ip)
{
	struct packet p = {};

	if ((const void *)(ip + 1) > (const void *)(long)skb->data_end || ip->next != PROTO_TCP)
		return PASS;
	copy_v6(p.dst, ip->src);
	copy_v6(p.src, ip->dst);
	return guard(skb, &p, (const void *)(ip + 1));
}

SECTION("tc")
int fsock_guard(struct __sk_buff *skb)
{
	const struct eth *eth = (const struct eth *)(long)skb->data;

	if ((const void *)(eth + 1) > (const void *)(long)skb->data_end)
		return PASS;
	if (eth->type == from_net16(ETHERTYPE_V4))
		return guard_v4(skb, (const struct ip4 *)(eth + 1));
	if (eth->type == from_net16(ETHERTYPE_V6))
		return guard_v6(skb, (const struct ip6 *)(eth + 1));
	return PASS;
}
