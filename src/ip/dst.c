/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dst.c - the cache of destinations and the header template of each.
 *
 * A cached destination is in the hash and in one of two lists: idle (nobody references it, oldest
 * first) or busy. A stale one has left the hash; it is busy until its last reference goes, so a
 * socket that did not look at `stale` yet reads old but whole data.
 * Does not decide where anything goes: the host asks the kernel (DESIGN D5).
 * Standards: RFC 791, RFC 6864 (identification of atomic datagrams), RFC 8200.
 */
#include <string.h>

#include "base/counter.h"
#include "base/err.h"
#include "ip/header.h"
#include "ip/ip.h"
#include "ip/ip_internal.h"
#include "wire/eth.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/protocol.h"

static uint32_t dst_hash(const struct ip_stack *ip, const struct ip_addr *remote,
			 const struct ip_addr *bound, uint64_t choice)
{
	const uint64_t key[5] = { remote->d[0], remote->d[1], bound->d[0], bound->d[1], choice };

	return (uint32_t)siphash13_words(&ip->key, key, FS_ARRAY_SIZE(key));
}

static struct ip_dst *dst_of_age(struct list *age)
{
	return FS_CONTAINER_OF(age, struct ip_dst, age);
}

static struct ip_dst *dst_lookup(struct ip_stack *ip, const struct ip_addr *remote,
				 const struct ip_addr *bound, uint64_t choice)
{
	uint32_t hash = dst_hash(ip, remote, bound, choice);
	struct table_node *node;

	TABLE_FOR_EACH_MATCH(node, &ip->dsts, hash) {
		struct ip_dst *dst = FS_CONTAINER_OF(node, struct ip_dst, node);

		if (ip_addr_equal(&dst->remote, remote) && ip_addr_equal(&dst->bound, bound) &&
		    dst->choice == choice)
			return dst;
	}
	return NULL;
}

struct ip_dst *ip_dst_find(struct ip_stack *ip, const struct ip_addr *remote,
			   const struct ip_addr *bound, uint64_t choice)
{
	struct ip_dst *dst = dst_lookup(ip, remote, bound, choice);

	ip->counters[dst ? FS_CTR_route_hits : FS_CTR_route_misses]++;
	return dst;
}

static void dst_free(struct ip_stack *ip, struct ip_dst *dst)
{
	list_remove(&dst->age);
	if (dst->neigh)
		neigh_put(&ip->neigh, dst->neigh);
	slab_free(&ip->dst_slab, dst);
}

/* Out of the cache; the memory goes now or with the last reference. */
static void dst_unlink(struct ip_stack *ip, struct ip_dst *dst)
{
	if (dst->stale)
		return;
	table_remove(&ip->dsts, &dst->node);
	dst->stale = true;
	if (dst->refs == 0)
		dst_free(ip, dst);
}

static struct ip_dst *dst_alloc(struct ip_stack *ip)
{
	struct ip_dst *dst = slab_alloc(&ip->dst_slab);
	struct list *oldest;

	if (dst)
		return dst;
	oldest = list_first(&ip->idle);
	if (!oldest)
		return NULL;
	dst_unlink(ip, dst_of_age(oldest));
	return slab_alloc(&ip->dst_slab);
}

struct ip_dst *ip_dst_add(struct ip_stack *ip, const struct ip_dst *resolved)
{
	struct ip_dst *old = dst_lookup(ip, &resolved->remote, &resolved->bound, resolved->choice);
	struct ip_dst *dst;

	/* First the reference: evicting below may otherwise free the neighbour just handed in. */
	if (resolved->neigh)
		neigh_get(resolved->neigh);
	if (old)
		dst_unlink(ip, old);
	dst = dst_alloc(ip);
	if (!dst) {
		if (resolved->neigh)
			neigh_put(&ip->neigh, resolved->neigh);
		return NULL;
	}
	dst->remote = resolved->remote;
	dst->bound = resolved->bound;
	dst->choice = resolved->choice;
	dst->local = resolved->local;
	dst->way = resolved->way;
	dst->reason = resolved->reason;
	dst->port = resolved->port;
	dst->hop_limit = resolved->hop_limit;
	dst->error = resolved->error;
	dst->mtu = resolved->mtu;
	dst->neigh = resolved->neigh;
	dst->checked_at = resolved->checked_at;
	dst->is_v6 = !ip_addr_is_v4(&resolved->remote);
	dst->to_group = ip_addr_is_multicast(&resolved->remote);
	table_insert(&ip->dsts, &dst->node,
		     dst_hash(ip, &dst->remote, &dst->bound, dst->choice));
	list_push_back(&ip->idle, &dst->age);
	return dst;
}

void ip_dst_get(struct ip_stack *ip, struct ip_dst *dst)
{
	if (dst->refs++ > 0)
		return;
	list_remove(&dst->age);
	list_push_back(&ip->busy, &dst->age);
}

void ip_dst_put(struct ip_stack *ip, struct ip_dst *dst)
{
	fs_assert(dst->refs > 0);
	if (--dst->refs > 0)
		return;
	if (dst->stale) {
		dst_free(ip, dst);
		return;
	}
	list_remove(&dst->age);
	list_push_back(&ip->idle, &dst->age);
}

/* Unlink the destinations of @list, all or those through @port (-1 = all). */
static void flush_list(struct ip_stack *ip, struct list *list, int port)
{
	struct list *e, *following;

	LIST_FOR_EACH_SAFE(e, following, list) {
		struct ip_dst *dst = dst_of_age(e);

		if (port < 0 || (dst->way == IP_DST_FAST && dst->port == port))
			dst_unlink(ip, dst);
	}
}

static void dst_flush(struct ip_stack *ip, int port)
{
	ip->counters[FS_CTR_route_flushes]++;
	flush_list(ip, &ip->idle, port);
	flush_list(ip, &ip->busy, port);
}

void ip_dst_flush(struct ip_stack *ip)
{
	dst_flush(ip, -1);
}

void ip_dst_flush_port(struct ip_stack *ip, unsigned port)
{
	dst_flush(ip, (int)port);
}

void ip_dst_spoil_port(struct ip_stack *ip, unsigned port)
{
	struct list *const lists[] = { &ip->idle, &ip->busy };
	struct list *e;

	for (unsigned i = 0; i < FS_ARRAY_SIZE(lists); i++) {
		LIST_FOR_EACH(e, lists[i]) {
			struct ip_dst *dst = dst_of_age(e);

			if (dst->way == IP_DST_FAST && dst->port == port)
				dst->header_len = 0;
		}
	}
}

/*
 * The IP header of the template, length and checksum 0. DF is set and the identification 0: RFC 6864
 * 4.1 lets an atomic datagram carry any, and Linux sends 0 on unconnected sockets.
 */
static void build_ip(struct ip_dst *dst, uint8_t *at)
{
	uint8_t hop_limit = dst->hop_limit ? dst->hop_limit : (uint8_t)IP_DEFAULT_HOP_LIMIT;

	if (dst->is_v6) {
		struct ipv6_hdr ip6 = {
			.src = dst->local,
			.dst = dst->remote,
			.next_header = WIRE_PROTO_UDP,
			.hop_limit = hop_limit,
		};

		ipv6_emit(&ip6, at, IPV6_HDR_LEN);
		dst->ip_sum = 0;
	} else {
		struct ipv4_hdr ip4 = {
			.src = dst->local,
			.dst = dst->remote,
			.hdr_len = IPV4_HDR_LEN,
			.total_len = IPV4_HDR_LEN,
			.dont_fragment = true,
			.ttl = hop_limit,
			.protocol = WIRE_PROTO_UDP,
		};

		ipv4_emit(&ip4, at, IPV4_HDR_LEN);
		memset(at + 2, 0, 2);
		memset(at + 10, 0, 2);
		dst->ip_sum = csum_fold(csum_inline(at, IPV4_HDR_LEN));
	}
}

static void build_template(struct ip_stack *ip, struct ip_dst *dst)
{
	size_t ip_len = dst->is_v6 ? (size_t)IPV6_HDR_LEN : (size_t)IPV4_HDR_LEN;
	struct eth_hdr eth = {
		.dst = dst->neigh->mac,
		.src = ip->port[dst->port].mac,
		.type = dst->is_v6 ? ETH_TYPE_IPV6 : ETH_TYPE_IPV4,
	};
	uint8_t *end = dst->header + IP_HEADER_ROOM;

	memset(dst->header, 0, sizeof(dst->header));
	eth_emit(&eth, end - ip_len - ETH_HDR_LEN, ETH_HDR_LEN);
	build_ip(dst, end - ip_len);
	dst->pseudo_sum = csum_fold(csum_pseudo(&dst->local, &dst->remote, WIRE_PROTO_UDP, 0));
	dst->header_len = (uint8_t)(ETH_HDR_LEN + ip_len);
	dst->neigh_generation = dst->neigh->generation;
}

bool ip_dst_refresh(struct ip_stack *ip, struct ip_dst *dst)
{
	dst->header_len = 0;
	if (dst->way != IP_DST_FAST || !ip->port[dst->port].up)
		return false;
	if (!dst->neigh || dst->neigh->state != NEIGH_VALID) {
		ip->counters[FS_CTR_neigh_misses]++;
		return false;
	}
	ip->counters[FS_CTR_neigh_hits]++;
	build_template(ip, dst);
	return true;
}

void ip_header_restyle(const struct ip_dst *dst, uint8_t *ip, uint8_t tos, uint8_t hop_limit)
{
	if (dst->is_v6) {
		ip[0] = (uint8_t)(6 << 4 | tos >> 4);
		ip[1] = (uint8_t)(tos << 4);
		if (hop_limit)
			ip[IP_V6_HOP_LIMIT] = hop_limit;
		return;
	}
	ip[IP_V4_TOS] = tos;
	if (hop_limit)
		ip[IP_V4_TTL] = hop_limit;
	memset(ip + IP_V4_CHECKSUM, 0, 2);
	ip_store_field(ip + IP_V4_CHECKSUM, csum_finish(csum_inline(ip, IPV4_HDR_LEN)));
}
