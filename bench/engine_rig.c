/* SPDX-License-Identifier: BSD-2-Clause */
/* engine_rig.c - see engine_rig.h. */
#include "engine_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"

enum { SLAB_BYTES = 1 << 16 };

const uint8_t rig_us[4] = { 10, 0, 0, 1 }, rig_them[4] = { 10, 0, 0, 2 };
const struct siphash_key rig_key = { { 1, 2 } };

_Noreturn void fs_assert_failed(const char *expression, const char *file, int line)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, expression);
	abort();
}

uint64_t rig_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void *rig_memory(size_t len)
{
	void *p = aligned_alloc(64, len);

	if (!p)
		abort();
	memset(p, 0, len);
	return p;
}

void rig_add_slab(struct slab *slab)
{
	slab_add(slab, rig_memory(SLAB_BYTES), SLAB_BYTES);
}

void engine_rig_open(struct engine_rig *rig, uint32_t chunk, uint32_t headroom)
{
	static const struct eth_addr us = { { 2, 0, 0, 0, 0, 1 } }, peer = { { 2, 0, 0, 0, 0, 2 } };
	struct ip_port port = { .ifindex = 1, .mtu = 1500, .up = true, .n_local = 1, .mac = us, .pool = &rig->pinned };
	struct ip_dst answer = { .way = IP_DST_FAST, .mtu = 1500 };

	fbuf_pool_init(&rig->pinned, chunk, headroom);
	fbuf_pool_init(&rig->payload, chunk, 0);
	fbuf_pool_add(&rig->pinned, rig_memory(RIG_FRAMES * sizeof(struct fbuf)), rig_memory((size_t)RIG_FRAMES * chunk),
		      RIG_FRAMES);
	ip_init(&rig->ip, &rig_key, &rig->payload, rig->counters, rig->dsts, RIG_BUCKETS);
	neigh_table_init(&rig->ip.neigh, &rig_key, rig->neighs, RIG_BUCKETS);
	rig_add_slab(&rig->ip.dst_slab);
	rig_add_slab(&rig->ip.neigh.slab);
	port.local[0] = ip_addr_v4(rig_us);
	ip_port_set(&rig->ip, 0, &port);
	answer.local = ip_addr_v4(rig_us);
	answer.remote = ip_addr_v4(rig_them);
	answer.neigh = neigh_learn(&rig->ip.neigh, 0, &answer.remote, &peer, NEIGH_VALID, 1);
	rig->dst = ip_dst_add(&rig->ip, &answer);
}
