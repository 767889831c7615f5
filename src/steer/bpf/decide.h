/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * decide.h - which frames go to the stack: the one piece of code that all steering programs share
 * (DESIGN D4).
 *
 * In this order, each step may say PASS, that is "the kernel as if we were not here":
 *   1  IPv4 or IPv6 without extension headers, no fragment, no VLAN tag, TCP or UDP
 *   2  anything registered under (protocol, destination port)?     bystanders leave here
 *   3  destination MAC ours and destination address local (hazard 2); or a group's MAC, then only what
 *      a port entry of that very group takes. No foreign station
 *   4  somebody takes this queue's frames (hazard 6)
 *   5  flow entry: its verdict
 *   6  port entry: UDP and SYN are taken; other TCP only if the kernel has no connection (hazard 1)
 *   7  take(): how a frame gets to the stack is the program's own affair
 *
 * Does not: keep state but the heartbeat's question and counters; look past the transport header.
 * Reads only the linear first part of frames; one whose headers are not in it passes.
 *
 * The guard looks for its answers with the same steps, the other way round (guard.bpf.c).
 *
 * A program of another kind than XDP defines CONTEXT (the struct its context is), PASS and DROP (what
 * it returns) before it includes this file.
 */
#ifndef FSOCK_STEER_BPF_DECIDE_H
#define FSOCK_STEER_BPF_DECIDE_H

#include "common.h"

#ifndef CONTEXT
#define CONTEXT xdp_md
#define PASS XDP_PASS
#define DROP XDP_DROP
#endif

static struct bpf_sock *(*const bpf_skc_lookup_tcp)(void *ctx, struct bpf_sock_tuple *tuple, __u32 size,
						    __u64 netns, __u64 flags) =
	(void *)BPF_FUNC_skc_lookup_tcp;
static long (*const bpf_sk_release)(void *sock) = (void *)BPF_FUNC_sk_release;

enum { GROUP_MAC = 0x01 /* in the first byte: IEEE 802.3 3.2.3 */ };

/* 1 if @v is 0, without a branch. */
ALWAYS_INLINE __u64 is_zero(__u32 v)
{
	return ((__u64)v - 1) >> 63;
}

/* A frame that something is registered for. */
struct packet {
	__u32 src[4], dst[4];	   /* network order */
	__u16 src_port, dst_port;  /* network order */
	__u16 udp_len, udp_sum;	   /* network order; UDP only */
	struct steer_slot slot;	   /* what is registered under its port */
	__u32 queue;		   /* receive queue it came by */
	/* 0 or 1, computed and not branched for: what the verifier does not know to be one or the other it
	 * walks once. That is most of the time an attach takes. */
	__u64 v4;
	__u64 tcp;
	__u64 syn; /* TCP: SYN without ACK */
	__u64 group; /* the destination MAC is a group's */
	__u64 arrived; /* ns of CLOCK_MONOTONIC where frames are stamped, else 0 */
};

/* Step 7: bring a frame of the stack's to it. @flow: by a flow entry. Returns what the program returns. */
typedef int take_fn(struct CONTEXT *ctx, const struct packet *p, struct steer_beat *beat, __u64 now,
		    bool flow);

_Static_assert(STEER_SLOT_UDP == 0 && STEER_SLOT_TCP == 1, "packet.tcp is the index of a slot");

/* Most interfaces have few addresses, so this mostly spares the hash. 0 marks an unused place. */
ALWAYS_INLINE bool is_fast_local4(__u32 dst)
{
	__u64 found = 0;

	for (unsigned i = 0; i < STEER_FAST_LOCAL4; i++)
		found |= is_zero(READ_ONCE(steer_shared.local4[i]) ^ dst);
	return found & (is_zero(dst) ^ 1);
}

ALWAYS_INLINE bool is_local(const struct packet *p)
{
	struct steer_addr_key key = {};

	if (p->v4 && is_fast_local4(p->dst[3]))
		return true;
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
	key.slot = p->tcp;
	verdict = bpf_map_lookup_elem(&steer_flows, &key);
	/* One station's: what is sent to a group's is no flow, whatever its address says (step 3). */
	return verdict ? (int)*verdict & (int)(p->group - 1) : 0;
}

ALWAYS_INLINE bool port_taken(const struct packet *p)
{
	struct steer_addr_key key = {};

	if (!p->group && p->slot.wild & (STEER_WILD_BOTH | (p->v4 ? STEER_WILD_V4 : STEER_WILD_V6)))
		return true;
	if (p->slot.exact == 0)
		return false;
	__builtin_memcpy(key.addr, p->dst, sizeof(key.addr));
	key.port = from_net16(p->dst_port);
	key.slot = p->tcp + p->group * STEER_GROUP;
	return bpf_map_lookup_elem(&steer_addrs, &key) != NULL;
}

/*
 * Does the kernel have a connection, a half-open one or a TIME-WAIT for this segment? A listener
 * alone does not count: it is the shadow of the stack's own.
 */
ALWAYS_INLINE bool kernel_owns(struct CONTEXT *ctx, const struct packet *p)
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

/* The queue got a frame: ask whether somebody takes it, if that is due. */
ALWAYS_INLINE void ask(struct steer_beat *beat, __u64 now)
{
	__u64 taken = READ_ONCE(beat->taken_ns);

	if (READ_ONCE(beat->asked_ns) <= taken && now > taken + STEER_ASK_MS * NS_PER_MS)
		*(volatile __u64 *)&beat->asked_ns = now;
}

/* Steps 4 to 7, and the local address of step 3: the packet is not touched any more. */
ALWAYS_INLINE int decide(struct CONTEXT *ctx, const struct packet *p, take_fn *take)
{
	struct steer_beat *beat;
	int verdict = 0;
	__u64 asked, now;

	if (!p->group && !is_local(p)) {
		COUNT(passed_not_local);
		return PASS;
	}
	if (p->queue >= STEER_MAX_QUEUES)
		return PASS;
	beat = &steer_shared.beat[p->queue];
	now = bpf_ktime_get_coarse_ns();
	asked = READ_ONCE(beat->asked_ns);
	if (asked > READ_ONCE(beat->taken_ns) && now > asked + STEER_STALE_MS * NS_PER_MS) {
		COUNT(passed_stale);
		return PASS;
	}

	if (p->slot.flows)
		verdict = flow_verdict(p);
	if (verdict == STEER_FLOW_KERNEL) {
		COUNT(passed_verdict);
		return PASS;
	}
	if (verdict == STEER_FLOW_DROP) {
		COUNT(dropped_verdict);
		return DROP;
	}
	if (verdict != STEER_FLOW_STACK) {
		if (!port_taken(p)) {
			if (p->group)
				COUNT(passed_not_local);
			return PASS;
		}
		if (p->tcp && !p->syn && kernel_owns(ctx, p)) {
			COUNT(passed_kernel_owned);
			return PASS;
		}
	}
	return take(ctx, p, beat, now, verdict == STEER_FLOW_STACK);
}

/*
 * Steps 2 and 3 but for the address, then the transport header's fields. @l4 lies wholly in the linear
 * part for UDP_HEADER bytes; TCP needs more and checks it here. False: pass.
 */
ALWAYS_INLINE bool transport(struct CONTEXT *ctx, const struct eth *eth, struct packet *p, const void *l4)
{
	const void *end = (const void *)(long)ctx->data_end;
	const struct udp *udp = l4;
	__u64 tcp_whole = 0;
	__u8 flags = 0;

	p->slot = READ_ONCE(steer_shared.slot[p->tcp][from_net16(udp->dst)]);
	if (p->slot.flows == 0 && p->slot.exact == 0 && p->slot.wild == 0)
		return false;
	/* Before whatever else has to be looked up, which may take microseconds after a pause. */
	p->arrived = 0;
	if (READ_ONCE(steer_shared.stamp_key))
		p->arrived = bpf_ktime_get_ns();
	p->group = eth->dst[0] & GROUP_MAC;
	if (!p->group && !is_own_mac(eth)) {
		COUNT(passed_not_local);
		return false;
	}
	p->src_port = udp->src;
	p->dst_port = udp->dst;
	p->udp_len = udp->len;
	p->udp_sum = udp->sum;
	if (l4 + TCP_HEADER <= end) {
		flags = ((const __u8 *)l4)[13];
		tcp_whole = 1;
	}
	p->syn = is_zero((flags & (TCP_SYN | TCP_ACK)) ^ TCP_SYN);
	return !p->tcp || tcp_whole;
}

/* Step 1's last word. False: neither TCP nor UDP. */
ALWAYS_INLINE bool is_carried(struct packet *p, __u8 protocol)
{
	p->tcp = is_zero(protocol ^ PROTO_TCP);
	return p->tcp | is_zero(protocol ^ PROTO_UDP);
}

ALWAYS_INLINE bool parse_v4(struct CONTEXT *ctx, const struct eth *eth, const struct ip4 *ip, struct packet *p)
{
	const void *end = (const void *)(long)ctx->data_end;
	const void *l4;

	if ((const void *)(ip + 1) > end)
		return false;
	if (!is_carried(p, ip->protocol))
		return false;
	if ((ip->version_ihl & 0xf0) != 0x40 || (ip->version_ihl & 0x0f) < 5)
		return false;
	if (ip->fragment & from_net16(V4_FRAGMENT))
		return false;
	l4 = (const void *)ip + (ip->version_ihl & 0x0f) * 4;
	if (l4 + UDP_HEADER > end)
		return false;
	map_v4(p->src, ip->src);
	map_v4(p->dst, ip->dst);
	return transport(ctx, eth, p, l4);
}

ALWAYS_INLINE bool parse_v6(struct CONTEXT *ctx, const struct eth *eth, const struct ip6 *ip, struct packet *p)
{
	const void *end = (const void *)(long)ctx->data_end;
	const void *l4 = ip + 1;

	if (l4 + UDP_HEADER > end)
		return false;
	if (!is_carried(p, ip->next))
		return false;
	if ((ip->version_class & 0xf0) != 0x60)
		return false;
	copy_v6(p->src, ip->src);
	copy_v6(p->dst, ip->dst);
	return transport(ctx, eth, p, l4);
}

/* All seven steps, for a frame of the link header @eth, which may be a copy, and of the rest at @l3. */
ALWAYS_INLINE int steer_from(struct CONTEXT *ctx, const struct eth *eth, const void *l3, __u32 queue,
			     take_fn *take)
{
	struct packet p = { .queue = queue };
	bool ours = false;

	p.v4 = is_zero(eth->type ^ from_net16(ETHERTYPE_V4));
	if (eth->type == from_net16(ETHERTYPE_V4))
		ours = parse_v4(ctx, eth, l3, &p);
	else if (eth->type == from_net16(ETHERTYPE_V6))
		ours = parse_v6(ctx, eth, l3, &p);
	/* One copy of the rest for both families: verifying it is most of what attaching costs. */
	return ours ? decide(ctx, &p, take) : PASS;
}

#endif
