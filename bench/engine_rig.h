/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * engine_rig.h - the lower half of an engine without a provider: one port, one peer, whose station is known.
 *
 * Does not: free anything. What a protocol needs is its benchmark's.
 * Errors:   none: without memory it aborts.
 */
#ifndef FSOCK_BENCH_ENGINE_RIG_H
#define FSOCK_BENCH_ENGINE_RIG_H

#include <stddef.h>
#include <stdint.h>

#include "base/counter.h"
#include "ip/ip.h"

enum { RIG_FRAMES = 4096, RIG_BUCKETS = 1024 };

/* Zeroed at birth. @env is the benchmark's to fill. */
struct engine_rig {
	struct ip_stack ip;
	struct ip_env env;
	struct ip_dst *dst; /* from us to the peer */
	struct fbuf_pool pinned, payload;
	uint64_t counters[FS_CTR_N];
	struct table_node *dsts[RIG_BUCKETS], *neighs[RIG_BUCKETS];
};

extern const uint8_t rig_us[4], rig_them[4]; /* IPv4 */
extern const struct siphash_key rig_key;

/* Chunks of @chunk bytes, @headroom of them in front of what arrives. */
void engine_rig_open(struct engine_rig *rig, uint32_t chunk, uint32_t headroom);

void *rig_memory(size_t len); /* zeroed, in whole cache lines */
void rig_add_slab(struct slab *slab);
uint64_t rig_now_ns(void);

#endif
