/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ip_rig.h - ip stacks in a test: hosts with one port each, frames made by hand.
 *
 * Host i is 10.0.0.(1+i) and fd00::(1+i) with MAC 02:00:00:00:00:(1+i). Memory is the test's; time is
 * whatever the test says. udp_rig.h puts UDP on top.
 */
#ifndef FSOCK_TESTS_UNIT_IP_RIG_H
#define FSOCK_TESTS_UNIT_IP_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/counter.h"
#include "base/csum.h"
#include "ip/ip.h"
#include "udp/udp.h"
#include "wire/eth.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/protocol.h"
#include "wire/udp.h"

enum {
	RIG_CHUNK = 2048,
	RIG_HEADROOM = 128,
	RIG_PINNED = 256,
	RIG_PAYLOAD = 256,
	RIG_BUCKETS = 64,
	RIG_DSTS = 8,
	RIG_NEIGHS = 8,
	RIG_IFINDEX = 7,
	RIG_MTU = 1500,
	RIG_LIMIT = 212992,
	RIG_FRAME_MAX = 66000,
};

struct rig_sizes {
	uint32_t pinned, payload; /* chunks */
	uint32_t chunk;		  /* bytes of both */
};

struct rig_host {
	struct ip_stack ip;
	struct ip_env env; /* for the test to fill */
	struct fbuf_pool pinned, payload;
	uint64_t counters[FS_CTR_N];
	struct table_node *dst_buckets[RIG_BUCKETS], *neigh_buckets[RIG_BUCKETS];
	void *memory[6]; /* to free */
	struct ip_addr v4, v6;
	struct eth_addr mac;
	/* What udp_rig.h adds. */
	struct udp_stack udp;
	struct table_node *port_buckets[RIG_BUCKETS], *flow_buckets[RIG_BUCKETS];
	unsigned readable_calls;
	struct udp_pcb *readable; /* last one announced */
};

/* A datagram to build by hand. Zero means: what is right. */
struct rig_datagram {
	struct ip_addr src, dst;
	uint16_t src_port, dst_port;
	const void *payload;
	size_t len;
	size_t surplus;	  /* bytes of IP payload behind the datagram */
	size_t padding;	  /* bytes of frame behind the IP packet */
	uint16_t udp_len; /* other than the right one */
	uint16_t vid;	  /* VLAN tag; 0 = none */
	bool no_checksum, bad_checksum, partial_checksum;
	bool fragment, options;
	uint8_t protocol, tos, ttl;
	struct eth_addr mac; /* destination; zero = host 0's */
};

struct rig_frame {
	uint8_t bytes[RIG_FRAME_MAX];
	size_t len, l3, l4; /* l3, l4: offsets */
};

/* inline definitions */

static inline struct ip_addr rig_v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
	const uint8_t bytes[4] = { a, b, c, d };

	return ip_addr_v4(bytes);
}

static inline struct ip_addr rig_v6(uint8_t first, uint8_t last)
{
	return (struct ip_addr){ .b = { [0] = first, [15] = last } };
}

static inline void rig_pool(struct rig_host *h, struct fbuf_pool *pool, uint32_t count,
			    uint32_t chunk, unsigned slot)
{
	fbuf_pool_init(pool, chunk, pool == &h->pinned ? (uint32_t)RIG_HEADROOM : 0);
	if (count == 0)
		return;
	h->memory[slot] = aligned_alloc(64, count * sizeof(struct fbuf));
	h->memory[slot + 1] = aligned_alloc(64, (size_t)count * chunk);
	fbuf_pool_add(pool, h->memory[slot], h->memory[slot + 1], count);
}

static inline void rig_open_ip(struct rig_host *h, unsigned i, const struct rig_sizes *sizes)
{
	static const struct siphash_key key = { { 1, 2 } };
	struct ip_port conf = { .ifindex = RIG_IFINDEX, .mtu = RIG_MTU, .up = true, .n_local = 2 };

	memset(h, 0, sizeof(*h));
	rig_pool(h, &h->pinned, sizes->pinned, sizes->chunk, 0);
	rig_pool(h, &h->payload, sizes->payload, sizes->chunk, 2);
	ip_init(&h->ip, &key, &h->payload, h->counters, h->dst_buckets, RIG_BUCKETS);
	neigh_table_init(&h->ip.neigh, &key, h->neigh_buckets, RIG_BUCKETS);
	h->memory[4] = malloc((RIG_DSTS + 1) * h->ip.dst_slab.object_size);
	h->memory[5] = malloc((RIG_NEIGHS + 1) * h->ip.neigh.slab.object_size);
	slab_add(&h->ip.dst_slab, h->memory[4], (RIG_DSTS + 1) * h->ip.dst_slab.object_size);
	slab_add(&h->ip.neigh.slab, h->memory[5], (RIG_NEIGHS + 1) * h->ip.neigh.slab.object_size);
	h->v4 = rig_v4(10, 0, 0, (uint8_t)(1 + i));
	h->v6 = rig_v6(0xfd, (uint8_t)(1 + i));
	h->mac = (struct eth_addr){ { 2, 0, 0, 0, 0, (uint8_t)(1 + i) } };
	conf.mac = h->mac;
	conf.local[0] = h->v4;
	conf.local[1] = h->v6;
	conf.pool = &h->pinned;
	assert_int_equal(ip_port_set(&h->ip, 0, &conf), 0);
}

/* Every chunk is back; then the memory goes. */
static inline void rig_close(struct rig_host *h)
{
	assert_int_equal(ip_port_clear(&h->ip, 0), 0);
	assert_int_equal(h->pinned.n_free, h->pinned.n_total);
	assert_int_equal(h->payload.n_free, h->payload.n_total);
	for (unsigned i = 0; i < FS_ARRAY_SIZE(h->memory); i++)
		free(h->memory[i]);
}

/* A fast destination to @remote, neighbour known. */
static inline struct ip_dst *rig_dst(struct rig_host *h, struct ip_addr remote)
{
	const struct eth_addr mac = { { 2, 0, 0, 0, 0, remote.b[15] } };
	struct ip_dst answer = { .remote = remote, .way = IP_DST_FAST, .mtu = RIG_MTU };

	answer.local = ip_addr_is_v4(&remote) ? h->v4 : h->v6;
	answer.neigh = neigh_learn(&h->ip.neigh, 0, &remote, &mac, NEIGH_VALID, FS_SEC(1));
	assert_non_null(answer.neigh);
	return ip_dst_add(&h->ip, &answer);
}

static inline void rig_put_ip(struct rig_frame *f, const struct rig_datagram *d, size_t l4_len)
{
	uint8_t protocol = d->protocol ? d->protocol : (uint8_t)WIRE_PROTO_UDP;
	uint8_t ttl = d->ttl ? d->ttl : 64;

	if (ip_addr_is_v4(&d->dst)) {
		static const uint8_t nops[4] = { 1, 1, 1, 0 };
		uint8_t hdr_len = d->options ? 24 : 20;
		struct ipv4_hdr ip = { .src = d->src,
				       .dst = d->dst,
				       .hdr_len = hdr_len,
				       .total_len = (uint16_t)(hdr_len + l4_len),
				       .ttl = ttl,
				       .protocol = protocol,
				       .tos = d->tos,
				       .options = nops,
				       .dont_fragment = !d->fragment,
				       .more_fragments = d->fragment };

		f->l4 = f->l3 + ipv4_emit(&ip, f->bytes + f->l3, 64);
	} else {
		struct ipv6_hdr ip = { .src = d->src,
				       .dst = d->dst,
				       .hop_limit = ttl,
				       .payload_len = (uint16_t)l4_len,
				       .next_header = protocol,
				       .traffic_class = d->tos };

		f->l4 = f->l3 + ipv6_emit(&ip, f->bytes + f->l3, 64);
	}
}

static inline void rig_put_checksum(struct rig_frame *f, const struct rig_datagram *d, uint16_t len)
{
	uint64_t pseudo = csum_pseudo(&d->src, &d->dst, WIRE_PROTO_UDP, len);
	be16_t field = csum_finish_udp(csum_add(pseudo, csum_inline(f->bytes + f->l4, len)));

	if (d->partial_checksum)
		field = csum_partial(pseudo);
	if (d->bad_checksum)
		field.raw ^= 0x100;
	if (!d->no_checksum)
		memcpy(f->bytes + f->l4 + 6, &field, 2);
}

/* The frame of @d. Valid until the next call. */
static inline struct rig_frame *rig_build(const struct rig_datagram *d)
{
	static struct rig_frame f;
	struct eth_hdr eth = { .dst = d->mac, .src = { { 2, 0, 0, 0, 0, 9 } } };
	uint16_t len = (uint16_t)(UDP_HEADER + d->len);
	struct udp_hdr udp = { d->src_port, d->dst_port, d->udp_len ? d->udp_len : len, 0 };

	memset(&f, 0, sizeof(f));
	eth.type = ip_addr_is_v4(&d->dst) ? ETH_TYPE_IPV4 : ETH_TYPE_IPV6;
	if (d->mac.b[0] == 0)
		eth.dst = (struct eth_addr){ { 2, 0, 0, 0, 0, 1 } };
	if (d->vid) {
		eth.n_tags = 1;
		eth.tag[0] = (struct eth_tag){ ETH_TYPE_VLAN, d->vid };
	}
	f.l3 = eth_emit(&eth, f.bytes, 64);
	rig_put_ip(&f, d, len + d->surplus);
	udp_emit(&udp, f.bytes + f.l4, 8);
	if (d->len > 0)
		memcpy(f.bytes + f.l4 + 8, d->payload, d->len);
	rig_put_checksum(&f, d, len);
	f.len = f.l4 + len + d->surplus + d->padding;
	return &f;
}

/* Bytes as a frame of @h's pinned pool, in parts of at most @part bytes (0 = as the chunks allow). */
static inline struct fbuf *rig_fbuf(struct rig_host *h, const void *bytes, size_t len, size_t part)
{
	const uint8_t *p = bytes;
	struct fbuf *head = NULL, **link = &head;
	size_t left = len;

	do {
		struct fbuf *f = fbuf_alloc(&h->pinned);
		size_t here = FS_MIN(left, (size_t)fbuf_tailroom(f));

		if (part)
			here = FS_MIN(here, part);
		memcpy(f->data, p, here);
		f->len = (uint32_t)here;
		*link = f;
		link = &f->next;
		p += here;
		left -= here;
	} while (left > 0);
	head->total = (uint32_t)len;
	return head;
}

static inline void rig_input_fbuf(struct rig_host *h, struct fbuf *frame)
{
	ip_input(&h->ip, &h->env, &frame, 1, h->env.now);
}

static inline void rig_input(struct rig_host *h, const struct rig_datagram *d)
{
	const struct rig_frame *f = rig_build(d);

	rig_input_fbuf(h, rig_fbuf(h, f->bytes, f->len, 0));
}

/* Of all drop_* counters only @which (FS_CTR_N: none) has counted, once. */
static inline void rig_expect_drop(const struct rig_host *h, enum fs_counter which)
{
	for (uint32_t i = 0; i < FS_CTR_N; i++) {
		const char *name = fs_counter_info(i)->name;

		if (strncmp(name, "drop_", 5) != 0)
			continue;
		if (h->counters[i] != (i == (uint32_t)which))
			fail_msg("%s is %llu", name, (unsigned long long)h->counters[i]);
	}
}

#endif
