/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * common.h - what the programs share: packet headers, helpers, the maps' names.
 *
 * Does:     declare the few kernel helpers used, so that the build needs clang but no BPF library.
 * Does not: size the maps: the loader does, the objects only name them (gen_insns.py).
 * Threads:  the programs run on any CPU; tables are written by user space.
 */
#ifndef FSOCK_STEER_BPF_COMMON_H
#define FSOCK_STEER_BPF_COMMON_H

#include <linux/bpf.h>
#include <stdbool.h>
#include <stddef.h>

#include "../maps.h"

#define SECTION(name) __attribute__((section(name), used))
#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

enum {
	ETH_HEADER = 14,
	ETHERTYPE_V4 = 0x0800,
	ETHERTYPE_V6 = 0x86dd,
	PROTO_TCP = 6,
	PROTO_UDP = 17,
	V4_FRAGMENT = 0x3fff, /* more-fragments flag and offset, RFC 791 3.1 */
	V6_HEADER = 40,
	UDP_HEADER = 8,
	TCP_HEADER = 20,
	TCP_SYN = 0x02,
	TCP_RST = 0x04,
	TCP_ACK = 0x10,
};

/* Only the fields the programs read; the rest is named by its place. */
struct eth {
	__u8 dst[6], src[6];
	__u16 type;
};

struct ip4 {
	__u8 version_ihl, tos;
	__u16 total, id, fragment;
	__u8 ttl, protocol;
	__u16 sum;
	__u32 src, dst;
} __attribute__((packed, aligned(2)));

struct ip6 {
	__u8 version_class, class_flow[3];
	__u16 payload;
	__u8 next, hops;
	__u32 src[4], dst[4];
} __attribute__((packed, aligned(2)));

struct tcp {
	__u16 src, dst;
	__u32 seq, ack;
	__u8 offset, flags;
	__u16 window, sum, urgent;
} __attribute__((packed, aligned(2)));

struct udp {
	__u16 src, dst, len, sum;
};

/* Maps: the symbol is all the object says about them. */
struct map {
	int named_by_symbol;
};

extern struct map steer_flows, steer_addrs, steer_xsks;

/* The mapped range, placed by the loader. Fields that change under the program's eyes are read once
 * through a volatile pointer. */
extern struct steer_shared steer_shared;

static void *(*const bpf_map_lookup_elem)(void *map, const void *key) = (void *)BPF_FUNC_map_lookup_elem;
static __u64 (*const bpf_ktime_get_ns)(void) = (void *)BPF_FUNC_ktime_get_ns;
static __u64 (*const bpf_ktime_get_coarse_ns)(void) = (void *)BPF_FUNC_ktime_get_coarse_ns;
static __u32 (*const bpf_get_smp_processor_id)(void) = (void *)BPF_FUNC_get_smp_processor_id;

ALWAYS_INLINE __u16 from_net16(__u16 v)
{
	return __builtin_bswap16(v);
}

#define NS_PER_MS 1000000ULL
#define READ_ONCE(x) (*(const volatile __typeof__(x) *)&(x))

/* Add one to a counter. Atomic, because CPUs beyond STEER_CPU_LINES share a line. */
#define COUNT(name)                                                                               \
	__sync_fetch_and_add(                                                                     \
		&steer_shared.count[bpf_get_smp_processor_id() % STEER_CPU_LINES].name, 1)

/* The 16-byte form of an IPv4 address. */
ALWAYS_INLINE void map_v4(__u32 to[4], __u32 addr)
{
	to[0] = 0;
	to[1] = 0;
	to[2] = __builtin_bswap32(0xffff);
	to[3] = addr;
}

ALWAYS_INLINE void copy_v6(__u32 to[4], const __u32 from[4])
{
	for (int i = 0; i < 4; i++)
		to[i] = from[i];
}

#endif
