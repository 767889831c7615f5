// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * steer.bpf.c - the XDP program: which frames go to the stack (DESIGN D4).
 *
 * In this order, each step may say PASS, that is "the kernel as if we were not here":
 *   1  IPv4 or IPv6 without extension headers, no fragment, no VLAN tag, TCP or UDP
 *   2  anything registered under (protocol, destination port)?     bystanders leave here
 *   3  destination MAC ours (no group, no foreign station), destination address local (hazard 2)
 *   4  somebody takes this queue's frames (hazard 6)
 *   5  flow entry: its verdict
 *   6  port entry: UDP and SYN redirect; other TCP only if the kernel has no connection (hazard 1)
 *   7  generic mode: UDP with a partial checksum passes (hazard 3)
 *
 * Does not: keep state but the heartbeat's question and counters; look past the transport header.
 * Reads only the linear first part of multi-buffer frames; a frame whose headers are not in it passes.
 */
#include "common.h"

static long (*const bpf_redirect_map)(void *map, __u64 key, __u64 flags) = (void *)BPF_FUNC_redirect_map;
static __u64 (*const bpf_ktime_get_coarse_ns)(void) = (void *)BPF_FUNC_ktime_get_coarse_ns;
static struct bpf_sock *(*const bpf_skc_lookup_tcp)(void *ctx, struct bpf_sock_tuple *tuple, __u32 size,
						    __u64 netns, __u64 flags) =
	(void *)BPF_FUNC_skc_lookup_tcp;
static long (*const bpf_sk_release)(void *sock) = (void *)BPF_FUNC_sk_release;

#define NS_PER_MS 1000000ULL

/* A frame that something is registered for. */
struct packet {
	__u32 src[4], dst[4];	   /* network order */
	__u16 src_port, dst_port;  /* network order */
	__u16 udp_len, udp_sum;	   /* network order; UDP only */
	bool v4;
	bool tcp;
	bool syn; /* TCP: SYN without ACK */
};

ALWAYS_INLINE bool is_local(const struct packet *p)
{
	struct steer_addr_key key = {};

	if (p->v4)
		for (unsigned i = 0; i < STEER_FAST_LOCAL4; i++)
			if (READ_ONCE(steer_shared.local4[i]) == p->dst[3])
				return p->dst[3] != 0; /* 0 marks an unused place */
	__builtin_memcpy(key.addr, p->dst, sizeof(key.addr));
	return bpf_map_lookup_elem(&steer_addrs, &key) != NULL;
}

ALWAYS_INLINE bool is_own_mac(const struct eth *eth)
{
	__u8 differs = 0;

	for (unsigned i = 0; i < sizeof(eth->dst); i++)
		differs |= eth->dst[i] ^ steer_shared.mac[i];
	return differs == 0;
}

ALWAYS_INLINE int flow_verdict(const struct packet *p)
{
	struct steer_flow_key key = {};
	const __u32 *verdict;

	__builtin_memcpy(key.local, p->dst, sizeof(key.local));
	__builtin_memcpy(key.remote, p->src, sizeof(key.remote));
	key.local_port = from_net16(p->dst_port);
	key.remote_port = from_net16(p->src_port);
	key.slot = p->tcp ? STEER_SLOT_TCP : STEER_SLOT_UDP;
	verdict = bpf_map_lookup_elem(&steer_flows, &key);
	return verdict ? (int)*verdict : 0;
}

ALWAYS_INLINE bool port_taken(const struct packet *p, const struct steer_slot *slot)
{
	struct steer_addr_key key = {};

	if (slot->wild & (STEER_WILD_BOTH | (p->v4 ? STEER_WILD_V4 : STEER_WILD_V6)))
		return true;
	if (slot->exact == 0)
		return false;
	__builtin_memcpy(key.addr, p->dst, sizeof(key.addr));
	key.port = from_net16(p->dst_port);
	key.slot = p->tcp ? STEER_SLOT_TCP : STEER_SLOT_UDP;
	return bpf_map_lookup_elem(&steer_addrs, &key) != NULL;
}

/*
 * Does the kernel have a connection, a half-open one or a TIME-WAIT for this segment? A listener
 * alone does not count: it is the shadow of the stack's own.
 */
ALWAYS_INLINE bool kernel_owns(struct xdp_md *ctx, const struct packet *p)
{
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *sock;
	__u32 size;
	bool owns;

	if (p->v4) {
		tuple.ipv4.saddr = p->src[3];
		tuple.ipv4.daddr = p->dst[3];
		tuple.ipv4.sport = p->src_port;
		tuple.ipv4.dport = p->dst_port;
		size = sizeof(tuple.ipv4);
	} else {
		copy_v6(tuple.ipv6.saddr, p->src);
		copy_v6(tuple.ipv6.daddr, p->dst);
		tuple.ipv6.sport = p->src_port;
		tuple.ipv6.dport = p->dst_port;
		size = sizeof(tuple.ipv6);
	}
	sock = bpf_skc_lookup_tcp(ctx, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	if (!sock)
		return false;
	owns = sock->state != BPF_TCP_LISTEN;
	bpf_sk_release(sock);
	return owns;
}

/*
 * Does the checksum field hold the folded, uncomplemented pseudo-header sum (hazard 3)? A kernel peer
 * on the same host leaves it so, for one datagram and for a super-frame of many alike.
 * One's complement sums do not care for byte order, nor for the two 0xffff of mapped IPv4 addresses.
 */
ALWAYS_INLINE bool is_partial(const struct packet *p)
{
	__u64 sum = (__u64)p->udp_len + from_net16(PROTO_UDP);

	for (int i = 0; i < 4; i++)
		sum += (__u64)p->src[i] + p->dst[i];
	sum = (sum >> 32) + (sum & 0xffffffff);
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	return sum == p->udp_sum;
}

/* Hand the frame to the queue's socket and ask whether it is taken, if that is due. */
ALWAYS_INLINE int redirect(struct xdp_md *ctx, const struct packet *p, struct steer_beat *beat,
			   __u64 now, bool flow)
{
	int fallback = flow && p->tcp ? XDP_DROP : XDP_PASS;
	__u64 taken = READ_ONCE(beat->taken_ns);
	int act;

	if (!p->tcp && (steer_shared.flags & STEER_F_GENERIC) && is_partial(p)) {
		COUNT(passed_partial);
		return XDP_PASS;
	}
	act = (int)bpf_redirect_map(&steer_xsks, ctx->rx_queue_index, fallback);
	if (act == XDP_PASS) {
		COUNT(passed_no_queue);
		return act;
	}
	if (act == XDP_DROP)
		COUNT(dropped_no_queue);
	else
		COUNT(redirected);
	/* Dropped ones ask as well: where only the link outlived its owner, the flows must not vanish in
	 * a queue without socket for ever. */
	if (READ_ONCE(beat->asked_ns) <= taken && now > taken + STEER_ASK_MS * NS_PER_MS)
		*(volatile __u64 *)&beat->asked_ns = now;
	return act;
}

/* Steps 4 to 7. */
ALWAYS_INLINE int decide(struct xdp_md *ctx, const struct packet *p, const struct steer_slot *slot)
{
	__u64 now = bpf_ktime_get_coarse_ns();
	__u32 queue = ctx->rx_queue_index;
	struct steer_beat *beat;
	int verdict = 0;
	__u64 asked;

	if (queue >= STEER_MAX_QUEUES)
		return XDP_PASS;
	beat = &steer_shared.beat[queue];
	asked = READ_ONCE(beat->asked_ns);
	if (asked > READ_ONCE(beat->taken_ns) && now > asked + STEER_STALE_MS * NS_PER_MS) {
		COUNT(passed_stale);
		return XDP_PASS;
	}

	if (slot->flows)
		verdict = flow_verdict(p);
	if (verdict == STEER_FLOW_STACK)
		return redirect(ctx, p, beat, now, true);
	if (verdict == STEER_FLOW_KERNEL) {
		COUNT(passed_verdict);
		return XDP_PASS;
	}
	if (verdict == STEER_FLOW_DROP) {
		COUNT(dropped_verdict);
		return XDP_DROP;
	}

	if (!port_taken(p, slot))
		return XDP_PASS;
	if (p->tcp && !p->syn && kernel_owns(ctx, p)) {
		COUNT(passed_kernel_owned);
		return XDP_PASS;
	}
	return redirect(ctx, p, beat, now, false);
}

/* Steps 2 and 3, then the transport header's fields. @l4 lies wholly in the linear part for
 * UDP_HEADER bytes; TCP needs more and checks it here. */
ALWAYS_INLINE int transport(struct xdp_md *ctx, struct packet *p, const void *l4, __u8 protocol)
{
	const void *end = (const void *)(long)ctx->data_end;
	const struct eth *eth = (const struct eth *)(long)ctx->data;
	const struct udp *udp = l4;
	struct steer_slot slot;

	p->tcp = protocol == PROTO_TCP;
	slot = READ_ONCE(steer_shared.slot[p->tcp ? STEER_SLOT_TCP : STEER_SLOT_UDP]
					  [from_net16(udp->dst)]);
	if (slot.flows == 0 && slot.exact == 0 && slot.wild == 0)
		return XDP_PASS;
	if (!is_own_mac(eth) || !is_local(p)) {
		COUNT(passed_not_local);
		return XDP_PASS;
	}
	p->src_port = udp->src;
	p->dst_port = udp->dst;
	if (p->tcp) {
		if (l4 + TCP_HEADER > end)
			return XDP_PASS;
		p->syn = (((const __u8 *)l4)[13] & (TCP_SYN | TCP_ACK)) == TCP_SYN;
	} else {
		p->udp_len = udp->len;
		p->udp_sum = udp->sum;
	}
	return decide(ctx, p, &slot);
}

ALWAYS_INLINE int steer_v4(struct xdp_md *ctx, const struct ip4 *ip)
{
	const void *end = (const void *)(long)ctx->data_end;
	struct packet p = { .v4 = true };
	const void *l4;

	if ((const void *)(ip + 1) > end)
		return XDP_PASS;
	if (ip->protocol != PROTO_TCP && ip->protocol != PROTO_UDP)
		return XDP_PASS;
	if ((ip->version_ihl & 0xf0) != 0x40 || (ip->version_ihl & 0x0f) < 5)
		return XDP_PASS;
	if (ip->fragment & from_net16(V4_FRAGMENT))
		return XDP_PASS;
	l4 = (const void *)ip + (ip->version_ihl & 0x0f) * 4;
	if (l4 + UDP_HEADER > end)
		return XDP_PASS;
	map_v4(p.src, ip->src);
	map_v4(p.dst, ip->dst);
	return transport(ctx, &p, l4, ip->protocol);
}

ALWAYS_INLINE int steer_v6(struct xdp_md *ctx, const struct ip6 *ip)
{
	const void *end = (const void *)(long)ctx->data_end;
	const void *l4 = ip + 1;
	struct packet p = { .v4 = false };

	if (l4 + UDP_HEADER > end)
		return XDP_PASS;
	if (ip->next != PROTO_TCP && ip->next != PROTO_UDP)
		return XDP_PASS;
	if ((ip->version_class & 0xf0) != 0x60)
		return XDP_PASS;
	copy_v6(p.src, ip->src);
	copy_v6(p.dst, ip->dst);
	return transport(ctx, &p, l4, ip->next);
}

SECTION("xdp.frags")
int fsock_steer(struct xdp_md *ctx)
{
	const struct eth *eth = (const struct eth *)(long)ctx->data;

	if ((const void *)(eth + 1) > (const void *)(long)ctx->data_end)
		return XDP_PASS;
	if (eth->type == from_net16(ETHERTYPE_V4))
		return steer_v4(ctx, (const struct ip4 *)(eth + 1));
	if (eth->type == from_net16(ETHERTYPE_V6))
		return steer_v6(ctx, (const struct ip6 *)(eth + 1));
	return XDP_PASS;
}
