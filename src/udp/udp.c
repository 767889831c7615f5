/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * udp.c - endpoints: the look-up tables and the receive queue's way out.
 *
 * Connected endpoints are in by_flow only, the others in by_port only. So a server with a thousand
 * connected endpoints on one port has a chain of one in by_port. The keyed hash is for flows, whose
 * remote half a peer chooses; local ports are ours, and the port itself is the best hash of ports.
 * Datagrams in are input.c, out send.c, memberships group.c.
 */
#include "udp/udp.h"

#include <string.h>

#include "base/err.h"
#include "ip/ip.h"
#include "udp/udp_internal.h"

uint32_t udp_flow_hash(const struct udp_stack *udp, const struct ip_addr *local, uint16_t local_port,
		       const struct ip_addr *remote, uint16_t remote_port)
{
	const uint64_t key[5] = { local->d[0], local->d[1], remote->d[0], remote->d[1],
				  (uint32_t)local_port << 16 | remote_port };

	return (uint32_t)siphash13_words(&udp->key, key, FS_ARRAY_SIZE(key));
}

void udp_init(struct udp_stack *udp, struct ip_stack *ip, const struct siphash_key *key,
	      struct table_node **port_buckets, uint32_t n_port, struct table_node **flow_buckets,
	      uint32_t n_flow)
{
	memset(udp, 0, sizeof(*udp));
	udp->ip = ip;
	udp->key = *key;
	list_init(&udp->holders);
	table_init(&udp->by_port, port_buckets, n_port);
	table_init(&udp->by_flow, flow_buckets, n_flow);
}

void udp_insert(struct udp_stack *udp, struct udp_pcb *pcb)
{
	fs_assert(!(pcb->flags & UDP_PCB_BOUND));
	udp->last.pcb = NULL;
	pcb->stack = udp;
	pcb->flags |= UDP_PCB_BOUND;
	udp->idle += pcb->queue.frames == 0;
	if (!(pcb->flags & UDP_PCB_CONNECTED)) {
		table_insert(&udp->by_port, &pcb->port_node, pcb->local_port);
		return;
	}
	table_insert(&udp->by_flow, &pcb->flow_node,
		     udp_flow_hash(udp, &pcb->local, pcb->local_port, &pcb->remote, pcb->remote_port));
}

void udp_remove(struct udp_stack *udp, struct udp_pcb *pcb)
{
	if (!(pcb->flags & UDP_PCB_BOUND))
		return;
	udp->last.pcb = NULL;
	pcb->flags &= ~(uint32_t)UDP_PCB_BOUND;
	udp->idle -= pcb->queue.frames == 0;
	if (pcb->flags & UDP_PCB_CONNECTED)
		table_remove(&udp->by_flow, &pcb->flow_node);
	else
		table_remove(&udp->by_port, &pcb->port_node);
}

static bool device_fits(const struct udp_pcb *pcb, const struct udp_hint *key)
{
	return pcb->ifindex == 0 || pcb->ifindex == key->ifindex;
}

/* Of several with the same 4-tuple the latest, whatever their families: so does Linux 6.18, whose hash
 * of 4-tuples does not score; older kernels do. */
static struct udp_pcb *find_flow(struct udp_stack *udp, const struct udp_hint *key, bool is_v4)
{
	uint32_t hash =
		udp_flow_hash(udp, &key->local, key->local_port, &key->remote, key->remote_port);
	struct table_node *node;

	TABLE_FOR_EACH_MATCH(node, &udp->by_flow, hash) {
		struct udp_pcb *pcb = FS_CONTAINER_OF(node, struct udp_pcb, flow_node);

		if (pcb->local_port == key->local_port && pcb->remote_port == key->remote_port &&
		    ip_addr_equal(&pcb->remote, &key->remote) &&
		    ip_addr_equal(&pcb->local, &key->local) && udp_takes_family(pcb->flags, is_v4) &&
		    device_fits(pcb, key))
			return pcb;
	}
	return NULL;
}

/* Linux's compute_score() without connected sockets, which this look-up never meets: the address
 * outweighs the device, and that the family. -1 = not for this socket. */
static int port_score(const struct udp_pcb *pcb, const struct udp_hint *key, bool is_v4)
{
	int score = 0;

	if (pcb->local_port != key->local_port || !udp_takes_family(pcb->flags, is_v4) ||
	    !device_fits(pcb, key))
		return -1;
	if (ip_addr_is_any(&pcb->local)) {
		/* bind(::ffff:0.0.0.0) means any IPv4 address, and no other. */
		if (!is_v4 && ip_addr_is_v4(&pcb->local))
			return -1;
	} else {
		if (!ip_addr_equal(&pcb->local, &key->local))
			return -1;
		score += 4;
	}
	score += pcb->ifindex ? 2 : 0;
	return score + (is_v4 && !(pcb->flags & UDP_PCB_V6));
}

/* The member of the group that @key's flow belongs to. All score @score; there are @members. */
static struct udp_pcb *pick(struct udp_stack *udp, const struct udp_hint *key, bool is_v4, int score,
			    uint32_t members)
{
	uint32_t skip = udp_flow_hash(udp, &key->local, key->local_port, &key->remote, key->remote_port) %
			members;
	struct table_node *node;

	TABLE_FOR_EACH_MATCH(node, &udp->by_port, key->local_port) {
		struct udp_pcb *pcb = FS_CONTAINER_OF(node, struct udp_pcb, port_node);

		if ((pcb->flags & UDP_PCB_REUSEPORT) && port_score(pcb, key, is_v4) == score &&
		    skip-- == 0)
			return pcb;
	}
	return NULL;
}

static struct udp_pcb *find_port(struct udp_stack *udp, const struct udp_hint *key, bool is_v4)
{
	struct udp_pcb *best = NULL;
	struct table_node *node;
	uint32_t members = 0;
	int best_score = -1;

	TABLE_FOR_EACH_MATCH(node, &udp->by_port, key->local_port) {
		struct udp_pcb *pcb = FS_CONTAINER_OF(node, struct udp_pcb, port_node);
		int score = port_score(pcb, key, is_v4);

		if (score > best_score) {
			best = pcb;
			best_score = score;
			members = 0;
		}
		members += score == best_score && (pcb->flags & UDP_PCB_REUSEPORT);
	}
	if (__builtin_expect(members > 1, 0))
		return pick(udp, key, is_v4, best_score, members);
	return best;
}

/* The hint's endpoint, sought. Apart from udp_find(), whose short way needs no registers saved. */
static __attribute__((noinline)) struct udp_pcb *find(struct udp_stack *udp, struct udp_hint *key)
{
	bool is_v4 = ip_addr_is_v4(&key->local);

	key->pcb = NULL;
	if (udp->by_flow.count != 0)
		key->pcb = find_flow(udp, key, is_v4);
	if (!key->pcb)
		key->pcb = find_port(udp, key, is_v4);
	return key->pcb;
}

struct udp_pcb *udp_find(struct udp_stack *udp, const struct ip_addr *local, uint16_t local_port,
			 const struct ip_addr *remote, uint16_t remote_port, uint32_t ifindex)
{
	struct udp_hint *last = &udp->last;

	/* The whole 4-tuple is compared: for an endpoint that is not connected the next datagram's
	 * flow may have an endpoint of its own. */
	if (last->pcb && last->remote_port == remote_port && last->local_port == local_port &&
	    ip_addr_equal(&last->remote, remote) && ip_addr_equal(&last->local, local) &&
	    last->ifindex == ifindex)
		return last->pcb;
	last->local = *local;
	last->remote = *remote;
	last->local_port = local_port;
	last->remote_port = remote_port;
	last->ifindex = ifindex;
	return find(udp, last);
}

/* The frame counts against the endpoint no more. */
static void discharge(struct udp_pcb *pcb, struct fbuf *frame)
{
	pcb->charged -= frame->charge;
	if (frame->pool == pcb->stack->ip->payload)
		pcb->copied -= udp_chunks(frame);
	else
		udp_unpin(pcb, frame);
	frame->charge = 0;
}

struct fbuf *udp_hold(struct udp_pcb *pcb)
{
	struct fbuf *frame = fbuf_queue_pop(&pcb->queue);

	if (frame)
		pcb->stack->idle += pcb->queue.frames == 0 && (pcb->flags & UDP_PCB_BOUND);
	return frame;
}

void udp_hold_run(struct udp_pcb *pcb, struct fbuf *last, uint32_t n, struct fbuf_queue *to)
{
	struct fbuf_queue *from = &pcb->queue;

	fs_assert(n > 0 && n <= from->frames);
	if (to->tail)
		to->tail->link = from->head;
	else
		to->head = from->head;
	to->tail = last;
	to->frames += n;
	from->head = last->link;
	if (!from->head)
		from->tail = NULL;
	from->frames -= n;
	last->link = NULL;
	pcb->stack->idle += from->frames == 0 && (pcb->flags & UDP_PCB_BOUND);
}

struct fbuf *udp_receive(struct udp_pcb *pcb)
{
	struct fbuf *frame = udp_hold(pcb);

	if (frame)
		discharge(pcb, frame);
	return frame;
}

void udp_release(struct udp_pcb *pcb, struct fbuf *frame)
{
	discharge(pcb, frame);
	fbuf_free(frame);
}

void udp_purge(struct udp_pcb *pcb)
{
	struct fbuf *frame;

	while ((frame = udp_receive(pcb)) != NULL)
		fbuf_free(frame);
}
