/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ip.h - IPv4 and IPv6 of one stack: ports, addresses, destinations, frames in and out.
 *
 * Does:     validate received frames and hand datagrams to the protocol (through struct ip_env), keep
 *           the cache of destinations the host resolved (DESIGN D5), build headers from a template.
 * Does not: route (the host asks the kernel and feeds the cache), reassemble or fragment (the
 *           shadow does), call providers: frames to send wait in ip_port.out for the driver.
 * Threads:  holder of the stack's lock only.
 */
#ifndef FSOCK_IP_IP_H
#define FSOCK_IP_IP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/clock.h"
#include "base/csum.h"
#include "base/fbuf.h"
#include "base/siphash.h"
#include "base/slab.h"
#include "base/table.h"
#include "neigh/neigh.h"

struct packet; /* wire/packet.h */

enum {
	IP_MAX_PORTS = 16,
	IP_MAX_LOCAL = 32,	 /* addresses per port */
	IP_HEADER_ROOM = 64,	 /* Ethernet + VLAN + IPv6, rounded: longest template */
	IP_OUT_LIMIT = 1024,	 /* frames waiting for the driver per port */
};

/* One port as the engine sees it. */
struct ip_port {
	uint32_t ifindex;	/* 0 = slot unused */
	uint32_t mtu;		/* IP bytes per frame */
	struct eth_addr mac;
	bool up;
	bool tx_csum_partial;	/* provider completes checksums */
	uint8_t n_local;
	struct ip_addr local[IP_MAX_LOCAL]; /* addresses of the interface, fed by the host */
	struct fbuf_pool *pool; /* the port's own pinned pool: what leaves by it is allocated there.
				   Borrowed; never NULL while ifindex != 0 */
	struct fbuf_queue out;	/* built, waiting for transmit() */
};

/* What a destination resolves to. */
enum ip_dst_way {
	IP_DST_FAST,   /* through port, neighbour known or pending (check neigh->state) */
	IP_DST_KERNEL, /* through the shadow; reason says why */
};

/* A resolved destination, in stack memory, cached by (remote, bound local). */
struct ip_dst {
	struct table_node node;
	struct ip_addr remote;	  /* key */
	struct ip_addr bound;	  /* key: socket's bound source, any = none */
	uint8_t way;		  /* enum ip_dst_way */
	uint8_t reason;		  /* enum fs_reason when IP_DST_KERNEL */
	uint8_t port;		  /* IP_DST_FAST: index */
	uint8_t header_len;	  /* valid bytes of header: Ethernet + IP */
	uint16_t refs;		  /* sockets that cache it; freed only at 0 */
	bool stale;		  /* unlinked from the cache: look it up anew */
	struct ip_addr local;	  /* source address chosen */
	uint32_t mtu;		  /* of the path, IP bytes */
	struct neigh *neigh;	  /* borrowed from the table; NULL for IP_DST_KERNEL */
	uint32_t neigh_generation; /* of the template below */
	fs_ns checked_at;	  /* when the host last asked the kernel */
	uint32_t pseudo_sum;	  /* partial sum over addresses and protocol 17, unfolded */
	uint32_t ip_sum;	  /* IPv4: partial sum of the template's header with length 0, id 0, check 0 */
	uint8_t header[IP_HEADER_ROOM]; /* template, right-aligned so that the payload follows aligned */
};

struct ip_stack {
	struct fbuf_pool *payload; /* unpinned pool for data copied out, borrowed. The pinned pools
				      belong to the ports: one UMEM per interface queue */
	struct ip_port port[IP_MAX_PORTS];
	struct table dsts;
	struct slab dst_slab;
	struct siphash_key key;
	struct neigh_table neigh;
	uint64_t *counters;	/* FS_CTR_N of them, borrowed */
	uint16_t next_id;	/* IPv4 identification of the next datagram without DF */
};

/* What a process lends the engine for a call: functions and tables never live in shared memory. */
struct ip_env {
	const struct csum_ops *csum;
	/* A validated datagram whose transport header starts at frame->data. Takes the frame. */
	void (*input)(const struct ip_env *env, const struct packet *p, struct fbuf *frame, fs_ns now);
	/* @pcb's queue went from empty to readable, or gained a datagram. NULL = nobody listens. */
	void (*readable)(void *context, void *pcb);
	void *context; /* the caller's, for the callbacks */
	void *udp;     /* struct udp_stack of the stack */
};

#endif
