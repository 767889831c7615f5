// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * tap.bpf.c - the ingress program of interfaces served by packet sockets, alone or behind the XDP program:
 * what decide.h finds to be the stack's is marked as somebody else's.
 *
 * The kernel's protocols take no frame of type "other host". Packet sockets of one protocol, IPv4 or
 * IPv6, are served after this program, take such frames too, and a filter (steer/tap.h) leaves them
 * only those with our mark. So one decision gives a frame to the stack and withholds it from the
 * kernel: there is no second program that could come to another one.
 *
 * Does not: cut super-frames up: the packet socket tells their segments' size.
 */
#define CONTEXT __sk_buff
#define PASS (-1) /* the next program or filter decides. Equal for tcx and for clsact */
#define DROP 2	  /* TC_ACT_SHOT */
#include "decide.h"

#define TAKEN 0 /* TC_ACT_OK: no other program sees it, as with XDP */

enum {
	PACKET_OTHERHOST = 3,
	HEADERS_MAX = 14 + 60 + 20, /* link, IPv4 with options, TCP */
};

static long (*const bpf_skb_change_type)(void *ctx, __u32 type) = (void *)BPF_FUNC_skb_change_type;
static long (*const bpf_skb_load_bytes_relative)(const void *ctx, __u32 at, void *to, __u32 len,
						 __u32 start) = (void *)BPF_FUNC_skb_load_bytes_relative;
static long (*const bpf_skb_pull_data)(void *ctx, __u32 len) = (void *)BPF_FUNC_skb_pull_data;

ALWAYS_INLINE int take(struct __sk_buff *skb, const struct packet *p, struct steer_beat *beat, __u64 now,
		       bool flow)
{
	(void)flow;
	/* What the packet socket cannot describe it would throw away. */
	if (!p->tcp && skb->gso_size && (steer_shared.flags & STEER_F_NO_UDP_GSO)) {
		COUNT(passed_partial);
		return PASS;
	}
	if (bpf_skb_change_type(skb, PACKET_OTHERHOST) < 0)
		return PASS;
	skb->mark = STEER_TAP_MARK;
	COUNT(redirected);
	ask(beat, now);
	return TAKEN;
}

/*
 * A frame that an XDP program in generic mode was shown as a copy comes without its link header: the copy
 * has forgotten how long that is, and what lies in front of the data is out of reach but for a helper.
 * Then the data begin with the network header, and their 12th byte is no EtherType, or by chance one, and
 * nothing behind it fits.
 */
ALWAYS_INLINE int tap(struct __sk_buff *skb)
{
	const struct eth *at = (const struct eth *)(long)skb->data;
	const void *l3 = at + 1;
	struct eth eth;

	if (l3 > (const void *)(long)skb->data_end)
		return PASS;
	__builtin_memcpy(&eth, at, sizeof(eth));
	if (eth.type != (__u16)skb->protocol) {
		if (bpf_skb_load_bytes_relative(skb, 0, &eth, sizeof(eth), BPF_HDR_START_MAC) < 0)
			return PASS;
		l3 = at;
	}
	return steer_from(skb, &eth, l3, 0, take);
}

SECTION("tc")
int fsock_tap(struct __sk_buff *skb)
{
	__u32 linear = skb->data_end - skb->data;

	/* Behind an XDP program it may stand long before it is needed. */
	if (!(READ_ONCE(steer_shared.flags) & (STEER_F_TAP | STEER_F_SIDE)))
		return PASS;
	/* The kernel took the tag out of the frame; what decide.h sees would not tell. */
	if (skb->vlan_present)
		return PASS;
	if (skb->protocol != from_net16(ETHERTYPE_V4) && skb->protocol != from_net16(ETHERTYPE_V6))
		return PASS;
	if (linear < HEADERS_MAX && linear < skb->len &&
	    bpf_skb_pull_data(skb, skb->len < HEADERS_MAX ? skb->len : HEADERS_MAX) < 0)
		return PASS;
	return tap(skb);
}
