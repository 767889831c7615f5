/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * input.c - datagrams in: length, endpoint, checksum, limits, queue.
 *
 * The endpoint is sought before the checksum is verified: what nobody wants is not worth summing. A
 * group's receivers are sought after: they are steered here because somebody wants them.
 * Standards: RFC 768, RFC 1122 4.1.3, RFC 8200 8.1.
 */
#include "base/counter.h"
#include "base/err.h"
#include "base/list.h"
#include "ip/ip.h"
#include "udp/group.h"
#include "udp/udp.h"
#include "udp/udp_internal.h"
#include "wire/eth.h"
#include "wire/packet.h"
#include "wire/protocol.h"

enum {
	/* Bytes of source and destination at the end of the IP header. */
	V4_ADDRESSES = 8,
	V6_ADDRESSES = 32,

	/* One queue holds at most 1/8 of what is free of a pinned pool above its low water, and 1/2 of
	 * the payload pool above its reserve, which is there to be used. */
	PINNED_PART = 8,
	PAYLOAD_PART = 2,

	/* The reserve, kept for queues that are empty: from 1/8 to 1/2 of the payload pool. */
	RESERVE_MIN_PART = 8,
	RESERVE_MAX_PART = 2,

	EVICT_LOOK = 16, /* datagrams of a queue that are looked at for one to copy out */
};

/* Sum over the pseudo-header and the whole datagram, checksum field included. */
static uint64_t sum_datagram(const struct csum_ops *ops, const struct packet *p,
			     const struct fbuf *frame)
{
	uint64_t sum = udp_sum16(WIRE_PROTO_UDP);
	size_t at = frame->len;

	sum = csum_add(sum, udp_sum16((uint16_t)frame->total));
	if (p->has_options) {
		sum = csum_add(sum, csum_pseudo(&p->src, &p->dst, 0, 0));
		sum = csum_add(sum, csum_bytes(ops, frame->data, frame->len));
	} else {
		/* The addresses end where the UDP header begins: one pass over both. */
		size_t addresses = p->is_v6 ? V6_ADDRESSES : V4_ADDRESSES;

		sum = csum_add(sum,
			       csum_bytes(ops, frame->data - addresses, frame->len + addresses));
	}
	for (const struct fbuf *part = frame->next; part; part = part->next) {
		sum = csum_combine(sum, csum_bytes(ops, part->data, part->len), at);
		at += part->len;
	}
	return sum;
}

/* Does the field hold the pseudo-header's sum only, as a sender on this host leaves it? */
static bool is_partial(const struct packet *p, const struct fbuf *frame)
{
	uint64_t pseudo = csum_pseudo(&p->src, &p->dst, WIRE_PROTO_UDP, frame->total);

	return be16_equal(csum_partial(pseudo), be16_make(p->l4_checksum));
}

/* FS_CTR_N = intact, or as good as for an endpoint of @flags. Counts rx_csum_partial. */
static enum fs_counter check(const struct ip_env *env, struct ip_stack *ip, uint32_t flags,
			     const struct packet *p, const struct fbuf *frame)
{
	if (p->l4_checksum == 0)
		return p->is_v6 && !(flags & UDP_PCB_NO_CHECK6) ? FS_CTR_drop_udp_zero6 : FS_CTR_N;
	if (frame->csum == FBUF_CSUM_VERIFIED)
		return FS_CTR_N;
	if (frame->csum == FBUF_CSUM_PARTIAL ||
	    (ip->port[frame->port].trust_partial && is_partial(p, frame))) {
		ip->counters[FS_CTR_rx_csum_partial]++;
		return FS_CTR_N;
	}
	return csum_is_valid(sum_datagram(env->csum, p, frame)) ? FS_CTR_N
								: FS_CTR_drop_udp_checksum;
}

/*
 * May the queue keep the frame itself? Its part shrinks with what is free (the dynamic thresholds of
 * Choudhury and Hahne), so that many unread queues together leave the pool usable without anybody
 * counting them. A fixed share per queue would need that count and still be wrong as it grows.
 */
static bool may_hold(const struct udp_stack *udp, const struct udp_pcb *pcb,
		     const struct fbuf_pool *pool)
{
	uint32_t share = udp->fair_share ? udp->fair_share : pool->n_total / PINNED_PART;

	return pool->n_free > pool->low_water && pcb->pinned < share &&
	       pcb->pinned < (pool->n_free - pool->low_water + PINNED_PART - 1) / PINNED_PART;
}

uint32_t udp_payload_reserve(const struct udp_stack *udp)
{
	const struct fbuf_pool *payload = udp->ip->payload;
	uint32_t reserve = FS_MAX(payload->n_total / RESERVE_MIN_PART, udp->idle);

	return FS_MIN(reserve, payload->n_total / RESERVE_MAX_PART);
}

/* A queue that holds something leaves a chunk to each that holds nothing: so the first datagram of an
 * endpoint finds memory whatever the others keep. */
static bool may_copy(const struct udp_stack *udp, const struct udp_pcb *pcb)
{
	const struct fbuf_pool *payload = udp->ip->payload;
	uint32_t reserve = udp_payload_reserve(udp);

	if (pcb->queue.frames == 0)
		return true;
	return payload->n_free > reserve &&
	       pcb->copied < (payload->n_free - reserve) / PAYLOAD_PART;
}

/* A copy of @frame in the payload pool, accounted to @pcb. NULL: no memory. @frame stays the caller's. */
static struct fbuf *copy_out(struct udp_stack *udp, struct udp_pcb *pcb, const struct fbuf *frame)
{
	struct fbuf *copy = may_copy(udp, pcb) ? fbuf_clone_into(frame, udp->ip->payload) : NULL;

	if (!copy)
		return NULL;
	udp->ip->counters[FS_CTR_copied_out]++;
	pcb->copied += udp_chunks(copy);
	return copy;
}

/* The link in @pcb's queue that names its oldest frame of @pool, among the first few. */
static struct fbuf **find_pinned(struct udp_pcb *pcb, const struct fbuf_pool *pool)
{
	struct fbuf **at = &pcb->queue.head;

	for (unsigned i = 0; *at && i < EVICT_LOOK; i++, at = &(*at)->link)
		if ((*at)->pool == pool)
			return at;
	return NULL;
}

/*
 * @pool is low: copy a frame out of the queue that has held one for longest, which is of an endpoint
 * that does not read. To copy the frames of those that do would cost each of their datagrams a copy for
 * as long as others sleep; this costs one per frame that sleeps. False: none was copied; it gives up
 * early, and the next datagram tries the next holder.
 */
static bool evict(struct udp_stack *udp, const struct fbuf_pool *pool)
{
	struct list *oldest = list_pop_front(&udp->holders);
	struct fbuf **at, *frame, *copy;
	struct udp_pcb *pcb;

	if (!oldest)
		return false;
	list_push_back(&udp->holders, oldest);
	pcb = FS_CONTAINER_OF(oldest, struct udp_pcb, holder);
	at = find_pinned(pcb, pool);
	copy = at ? copy_out(udp, pcb, *at) : NULL;
	if (!copy)
		return false;
	frame = *at;
	copy->charge = frame->charge;
	copy->link = frame->link;
	*at = copy;
	if (pcb->queue.tail == frame)
		pcb->queue.tail = copy;
	frame->link = NULL;
	udp_unpin(pcb, frame);
	fbuf_free(frame);
	return true;
}

/*
 * The frame to queue where may_hold() says no: itself, or its copy in the payload pool. NULL: no memory,
 * frame freed. Apart, so that the way of those who read saves no registers for it.
 */
static __attribute__((noinline)) struct fbuf *settle_scarce(struct udp_stack *udp, struct udp_pcb *pcb,
							    struct fbuf *frame)
{
	struct fbuf_pool *pool = frame->pool;
	/* Of an endpoint that reads, which goes on below the low water, where unread ones stop. */
	bool reserve = pcb->queue.frames == 0 && pool->n_free > pool->low_water / 2;
	struct fbuf *copy = NULL;

	if (!reserve || !evict(udp, pool)) {
		copy = copy_out(udp, pcb, frame);
		if (copy || !reserve) {
			fbuf_free(frame);
			return copy;
		}
	}
	udp_pin(udp, pcb, frame);
	return frame;
}

/* A frame that @pcb's accounting of chunks knows of joins the queue. */
static inline void append(struct udp_stack *udp, struct udp_pcb *pcb, struct fbuf *frame)
{
	uint64_t *counters = udp->ip->counters;

	frame->charge = frame->total + UDP_CHARGE_OVERHEAD;
	frame->drops = (uint32_t)pcb->drops;
	pcb->charged += frame->charge;
	counters[FS_CTR_rx_datagrams]++;
	counters[FS_CTR_rx_bytes] += frame->total;
	udp->idle -= pcb->queue.frames == 0;
	fbuf_queue_push(&pcb->queue, frame);
}

/* Queue the payload within the endpoint's limits. FS_CTR_N = queued, otherwise the frame is gone. */
static inline enum fs_counter enqueue(struct udp_stack *udp, struct udp_pcb *pcb, struct fbuf *frame)
{
	if (__builtin_expect(pcb->charged >= pcb->limit, 0)) {
		fbuf_free(frame);
		return FS_CTR_drop_udp_rcvbuf;
	}
	if (__builtin_expect(may_hold(udp, pcb, frame->pool), 1)) {
		udp_pin(udp, pcb, frame);
	} else {
		frame = settle_scarce(udp, pcb, frame);
		if (!frame)
			return FS_CTR_drop_udp_no_memory;
	}
	append(udp, pcb, frame);
	return FS_CTR_N;
}

/*
 * A super-frame for an endpoint that wants datagrams: each is copied out, so that it has a chunk and a
 * life of its own. What finds no room is dropped and counted one by one, as its datagrams would be. The
 * frame stays the caller's.
 */
static __attribute__((noinline)) void
enqueue_segments(struct udp_stack *udp, struct udp_pcb *pcb, const struct fbuf *frame)
{
	struct fbuf_pool *payload = udp->ip->payload;
	uint32_t here;

	for (uint32_t at = 0; at < frame->total; at += here) {
		enum fs_counter why = FS_CTR_drop_udp_rcvbuf;
		struct fbuf *copy = NULL;

		here = FS_MIN((uint32_t)frame->gso_size, frame->total - at);
		if (pcb->charged < pcb->limit) {
			why = FS_CTR_drop_udp_no_memory;
			copy = may_copy(udp, pcb) ? fbuf_clone_part(frame, payload, at, here) : NULL;
		}
		if (copy) {
			pcb->copied += udp_chunks(copy);
			append(udp, pcb, copy);
		} else {
			pcb->drops++;
			udp->ip->counters[why]++;
		}
	}
}

/* Does every part of the super-frame hold one datagram? */
static bool is_in_datagrams(const struct fbuf *frame)
{
	for (const struct fbuf *part = frame; part; part = part->next)
		if (part->next ? part->len != frame->gso_size : part->len > frame->gso_size || part->len == 0)
			return false;
	return true;
}

/* Then they need no copying. Takes the frame. */
static __attribute__((noinline)) void enqueue_parts(struct udp_stack *udp, struct udp_pcb *pcb, struct fbuf *frame)
{
	while (frame) {
		struct fbuf *rest = fbuf_cut_front(frame);
		enum fs_counter why = enqueue(udp, pcb, frame);

		if (why != FS_CTR_N) {
			pcb->drops++;
			udp->ip->counters[why]++;
		}
		frame = rest;
	}
}

/* A copy, which is always in the payload pool: the frame has a receiver still to come. */
static enum fs_counter enqueue_copy(struct udp_stack *udp, struct udp_pcb *pcb, const struct fbuf *frame)
{
	struct fbuf *copy;

	if (pcb->charged >= pcb->limit)
		return FS_CTR_drop_udp_rcvbuf;
	copy = may_copy(udp, pcb) ? fbuf_clone_into(frame, udp->ip->payload) : NULL;
	if (!copy)
		return FS_CTR_drop_udp_no_memory;
	pcb->copied += udp_chunks(copy);
	append(udp, pcb, copy);
	return FS_CTR_N;
}

/* Give @frame to @pcb: itself, or its content if somebody else gets it as well. */
__attribute__((always_inline)) static inline void deliver(const struct ip_env *env, struct udp_pcb *pcb,
							  struct fbuf *frame, bool shared)
{
	struct udp_stack *udp = env->udp;

	if (__builtin_expect(frame->gso_size != 0, 0) && !(pcb->flags & UDP_PCB_GRO)) {
		if (!shared && is_in_datagrams(frame)) {
			enqueue_parts(udp, pcb, frame);
		} else {
			enqueue_segments(udp, pcb, frame);
			if (!shared)
				fbuf_free(frame);
		}
	} else {
		enum fs_counter why = shared ? enqueue_copy(udp, pcb, frame) : enqueue(udp, pcb, frame);

		if (__builtin_expect(why != FS_CTR_N, 0)) {
			pcb->drops++;
			udp->ip->counters[why]++;
			return;
		}
		udp->ip->counters[FS_CTR_rx_group_copies] += shared;
	}
	if (env->readable)
		env->readable(env->context, pcb);
}

void udp_deliver_copy(const struct ip_env *env, struct udp_pcb *pcb, const struct fbuf *frame)
{
	struct udp_stack *udp = env->udp;
	enum fs_counter why = enqueue_copy(udp, pcb, frame);

	if (why != FS_CTR_N) {
		pcb->drops++;
		udp->ip->counters[why]++;
	} else if (env->readable) {
		env->readable(env->context, pcb);
	}
}

/* A group's datagram on its way. The last receiver seen waits, since it may get the frame itself. */
struct fan_out {
	const struct ip_env *env;
	struct fbuf *frame;
	struct udp_pcb *waiting;
	bool unsummed; /* an IPv6 datagram without checksum */
};

static void fan_out(void *arg, struct udp_pcb *pcb)
{
	struct fan_out *f = arg;

	if (f->unsummed && !(pcb->flags & UDP_PCB_NO_CHECK6))
		return;
	if (f->waiting)
		deliver(f->env, f->waiting, f->frame, true);
	f->waiting = pcb;
}

/* Takes the frame, which holds the payload only. */
static __attribute__((noinline)) void
deliver_to_group(const struct ip_env *env, const struct packet *p, struct fbuf *frame)
{
	struct fan_out f = { env, frame, NULL, p->is_v6 && p->l4_checksum == 0 };
	struct udp_stack *udp = env->udp;

	udp_group_receivers(udp, frame, fan_out, &f);
	if (f.waiting) {
		deliver(env, f.waiting, frame, false);
		return;
	}
	udp->ip->counters[f.unsummed ? FS_CTR_drop_udp_zero6 : FS_CTR_drop_udp_no_socket]++;
	fbuf_free(frame);
}

/* May @frame be queued as the super-frame it says it is? Nobody summed its datagrams. */
static bool is_sound_super(const struct packet *p, const struct fbuf *frame)
{
	return frame->csum != FBUF_CSUM_UNKNOWN && p->payload_len > 0 &&
	       frame->total >= UDP_HEADER + p->payload_len;
}

void udp_input(const struct ip_env *env, const struct packet *p, struct fbuf *frame, fs_ns now)
{
	struct udp_stack *udp = env->udp;
	bool to_group = eth_addr_is_group(&p->eth.dst);
	enum fs_counter why = FS_CTR_drop_udp_gso;
	struct udp_pcb *pcb = NULL;

	if (__builtin_expect(frame->gso_size != 0, 0)) {
		if (frame->gso_size >= p->payload_len)
			frame->gso_size = 0; /* of one datagram */
		else if (!is_sound_super(p, frame))
			goto drop;
	}
	why = FS_CTR_drop_udp_port;
	if (__builtin_expect(p->dst_port == 0, 0))
		goto drop;
	/* A UDP length below the IP payload is legal: the rest is not the datagram's. */
	if (frame->total > UDP_HEADER + p->payload_len)
		fbuf_trim(frame, UDP_HEADER + p->payload_len);
	why = FS_CTR_drop_udp_no_socket;
	if (__builtin_expect(!to_group, 1)) {
		pcb = udp_find(udp, &p->dst, p->dst_port, &p->src, p->src_port, frame->ifindex);
		if (!pcb)
			goto drop;
	}
	why = check(env, udp->ip, pcb ? pcb->flags : (uint32_t)UDP_PCB_NO_CHECK6, p, frame);
	if (__builtin_expect(why != FS_CTR_N, 0))
		goto drop;
	frame->data += UDP_HEADER;
	frame->len -= UDP_HEADER;
	frame->total -= UDP_HEADER;
	if (__builtin_expect(pcb != NULL, 1))
		deliver(env, pcb, frame, false);
	else
		deliver_to_group(env, p, frame);
	return;
drop:
	udp->ip->counters[why]++;
	fbuf_free(frame);
}
