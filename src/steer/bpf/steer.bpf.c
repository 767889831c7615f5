// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * steer.bpf.c - the XDP program: what decide.h finds to be the stack's goes to the AF_XDP socket of its
 * queue. In generic mode UDP with a partial checksum passes (hazard 3): to the kernel, or to a tap behind
 * (STEER_F_SIDE), which sees how a super-frame is cut. So does, with a tap, what somebody wants to know the
 * time of: this mode runs after the kernel took its stamp, which the tap's sockets are told.
 */
#include "decide.h"

static long (*const bpf_redirect_map)(void *map, __u64 key, __u64 flags) = (void *)BPF_FUNC_redirect_map;
static long (*const bpf_xdp_adjust_meta)(struct xdp_md *ctx, int delta) = (void *)BPF_FUNC_xdp_adjust_meta;

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

/* When the frame arrived, in front of it. Where there is no room, whoever takes it reads the clock. */
ALWAYS_INLINE void stamp(struct xdp_md *ctx, __u64 arrived)
{
	struct steer_stamp *to;

	if (bpf_xdp_adjust_meta(ctx, -(int)sizeof(*to)) < 0)
		return;
	to = (struct steer_stamp *)(long)ctx->data_meta;
	if ((void *)(to + 1) > (void *)(long)ctx->data)
		return;
	to->ns = arrived;
	to->mark = arrived ^ READ_ONCE(steer_shared.stamp_key);
}

/* Is it left to the tap, or where there is none to the kernel? */
ALWAYS_INLINE bool is_shed(const struct packet *p)
{
	__u32 flags = steer_shared.flags;

	if (p->tcp || !(flags & STEER_F_GENERIC))
		return false;
	return ((flags & STEER_F_SIDE) && p->slot.aside) || is_partial(p);
}

/* Hand the frame to the queue's socket. */
ALWAYS_INLINE int take(struct xdp_md *ctx, const struct packet *p, struct steer_beat *beat, __u64 now,
		       bool flow)
{
	int fallback = flow && p->tcp ? XDP_DROP : XDP_PASS;
	int act;

	if (is_shed(p)) {
		if (!(steer_shared.flags & STEER_F_SIDE))
			COUNT(passed_partial);
		return XDP_PASS;
	}
	if (p->arrived)
		stamp(ctx, p->arrived);
	act = (int)bpf_redirect_map(&steer_xsks, p->queue, fallback);
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
	ask(beat, now);
	return act;
}

SECTION("xdp.frags")
int fsock_steer(struct xdp_md *ctx)
{
	const struct eth *eth = (const struct eth *)(long)ctx->data;

	if ((const void *)(eth + 1) > (const void *)(long)ctx->data_end)
		return XDP_PASS;
	return steer_from(ctx, eth, eth + 1, ctx->rx_queue_index, take);
}
