/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ip.h - IPv4 and IPv6 of one stack: ports, addresses, destinations, frames in and out.
 *
 * Does:     validate received frames and hand datagrams to the protocol (through struct ip_env), keep
 *           the cache of destinations the host resolved (DESIGN D5), build headers from a template.
 * Does not: route (the host asks the kernel and feeds the cache), reassemble or fragment (the
 *           shadow does), call providers: frames to send wait in ip_port.out for the driver.
 * Threads:  holder of the stack's lock only.
 * Errors:   0 or -errno; NULL as said at the function.
 */
#ifndef FSOCK_IP_IP_H
#define FSOCK_IP_IP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/clock.h"
#include "base/csum.h"
#include "base/fbuf.h"
#include "base/list.h"
#include "base/siphash.h"
#include "base/slab.h"
#include "base/table.h"
#include "neigh/neigh.h"

struct packet;	/* wire/packet.h */
struct tcp_ops; /* tcp/tcp.h */

enum {
	IP_MAX_PORTS = 16,
	IP_MAX_LOCAL = 32,	  /* addresses per port */
	IP_HEADER_ROOM = 64,	  /* Ethernet + VLAN + IPv6, rounded: longest template */
	IP_OUT_LIMIT = 1024,	  /* frames waiting for the driver per port */
	IP_DEFAULT_HOP_LIMIT = 64, /* RFC 1700, and what Linux sends */
	/* Headroom every pinned pool needs: template and transport header in front of the payload,
	 * rounded up so that a payload starts a cache line and a 64-byte datagram touches two. */
	IP_TX_HEADROOM = 128,
};

/* One port as the engine sees it. What every frame touches comes first. */
struct ip_port {
	uint32_t ifindex;	/* 0 = slot unused */
	uint32_t mtu;		/* IP bytes per frame */
	struct fbuf_pool *pool; /* the port's own pinned pool: what leaves by it is allocated there.
				   Borrowed; never NULL while ifindex != 0; headroom at least
				   IP_TX_HEADROOM */
	struct fbuf_queue out;	/* built, waiting for transmit(); owned */
	struct eth_addr mac;
	bool up;
	bool tx_csum_partial;	/* provider completes checksums */
	uint16_t udp_gso;	/* longest super-frame of UDP it takes, bytes; 0 = none. Written at any time */
	uint16_t tcp_gso;	/* the same of TCP. Falls when the device gives segmentation up */
	uint8_t gso_parts;	/* longest chain of a super-frame */
	uint8_t max_parts;	/* longest chain of an ordinary frame; 0 = 1 */
	bool trust_partial;	/* frames with a partial checksum come from this host and are accepted
				   although nobody marked them (native XDP on veth) */
	uint8_t n_local;
	struct ip_addr local[IP_MAX_LOCAL]; /* addresses of the interface, fed by the host */
};

/* What a destination resolves to. */
enum ip_dst_way {
	IP_DST_FAST,   /* through port, neighbour known or pending (ask ip_dst_ready()) */
	IP_DST_KERNEL, /* through the shadow; reason says why */
};

/*
 * A resolved destination, in stack memory, cached by (remote, bound local, choice). Owner: the cache; who
 * keeps a pointer across calls holds a reference (ip_dst_get()).
 * The fields of the first group are the host's answer, handed to ip_dst_add().
 */
struct ip_dst {
	struct table_node node;
	struct list age;	  /* in ip_stack.idle (refs == 0, oldest first) or .busy */
	struct ip_addr remote;	  /* key */
	struct ip_addr bound;	  /* key: socket's bound source, any = none */
	uint64_t choice;	  /* key: what else the host's answer hangs on, packed by the host; 0 =
				     nothing */

	/* --- the host's answer --- */
	struct ip_addr local;	  /* source address chosen */
	uint8_t way;		  /* enum ip_dst_way */
	uint8_t reason;		  /* enum fs_reason when IP_DST_KERNEL */
	uint8_t port;		  /* IP_DST_FAST: index */
	uint8_t hop_limit;	  /* of the route; 0 = IP_DEFAULT_HOP_LIMIT */
	uint8_t error;		  /* IP_DST_KERNEL: the host knows no route, positive errno; 0 = it knows one */
	uint32_t mtu;		  /* of the path, IP bytes */
	struct neigh *neigh;	  /* next hop, referenced; NULL for IP_DST_KERNEL */
	fs_ns checked_at;	  /* when the host last asked the kernel */

	/* --- kept by ip --- */
	uint32_t refs;		  /* sockets that cache it; freed only at 0 */
	bool stale;		  /* unlinked from the cache: look it up anew */
	bool is_v6;
	bool to_group;		  /* remote is one: the hop limit is the sender's of groups */
	uint8_t header_len;	  /* valid bytes of header: Ethernet + IP; 0 = no template yet */
	uint32_t neigh_generation; /* of the template below */
	uint64_t pseudo_sum;	  /* csum.h sum over addresses and protocol 17, length 0 */
	uint64_t ip_sum;	  /* IPv4: sum of the template's IP header, whose length and check are 0 */
	uint8_t header[IP_HEADER_ROOM]; /* template, right-aligned so that the payload follows aligned;
					   length fields 0 */
};

struct ip_stack {
	struct fbuf_pool *payload; /* unpinned pool for data copied out, borrowed. The pinned pools
				      belong to the ports: one UMEM per interface queue */
	uint64_t *counters;	/* FS_CTR_N of them, borrowed */
	struct ip_port port[IP_MAX_PORTS];
	struct table dsts;
	struct slab dst_slab;	/* of struct ip_dst; its memory is handed in by the context */
	struct list idle;	/* cached destinations nobody references, oldest first */
	struct list busy;	/* the others, stale ones included */
	struct siphash_key key;
	struct neigh_table neigh; /* initialised by the context with neigh_table_init() */
};

/* What a process lends the engine for a call: functions and tables never live in shared memory. */
struct ip_env {
	const struct csum_ops *csum;
	/* A validated datagram of UDP whose transport header starts at frame->data; the frame is trimmed to
	 * the IP packet's end and src, dst, ports, ttl, tos, ifindex, l3_offset are filled in.
	 * Takes the frame. In products this is udp_input(). */
	void (*input)(const struct ip_env *env, const struct packet *p, struct fbuf *frame, fs_ns now);
	/* The same for TCP; in products tcp_input(). NULL = segments are dropped. */
	void (*tcp_input)(const struct ip_env *env, const struct packet *p, struct fbuf *frame, fs_ns now);
	/* Before anything else is looked at: takes a frame of TCP that it knows, or leaves it untouched (false). In
	 * products tcp_quick_input(). NULL = none is known; else tcp_ops has an event(). */
	bool (*tcp_quick)(const struct ip_env *env, struct fbuf *frame, fs_ns now);
	/* @pcb's queue went from empty to readable, or gained a datagram. NULL = nobody listens. */
	void (*readable)(void *context, void *pcb);
	void *context; /* the caller's, for the callbacks */
	void *udp;     /* struct udp_stack of the stack */
	void *tcp;     /* struct tcp_stack of the stack; NULL with tcp_input */
	const struct tcp_ops *tcp_ops; /* what the caller does for TCP (tcp/tcp.h); as tcp_input */
	uint32_t passed; /* stacks beside this one that have looked at the frames of this call, by bit (tcp/shares.h) */
	fs_ns now;     /* time of the call, up to a second old: marks next hops as used */
	int no_route;  /* written by tcp_ops.resolve(): why it returned NULL, positive errno; 0 = there is a route */
};

/*
 * Prepare an empty stack: no ports, no destinations. @payload, @counters (FS_CTR_N entries) and
 * @dst_buckets (a power of two) are borrowed for the stack's life. Then the caller runs
 * neigh_table_init(&ip->neigh, ...) and gives both slabs memory with slab_add().
 */
void ip_init(struct ip_stack *ip, const struct siphash_key *key, struct fbuf_pool *payload,
	     uint64_t *counters, struct table_node **dst_buckets, uint32_t n_dst_buckets);

/*
 * Take @n frames a provider delivered; fbuf.port says by which port. Owner of every frame: this call,
 * whatever becomes of it. What is dropped counts in exactly one drop_* counter.
 */
void ip_input(struct ip_stack *ip, const struct ip_env *env, struct fbuf **frames, unsigned n,
	      fs_ns now);

/*
 * Fill slot @port from @conf (its `out` is ignored; what waits there already stays), or change it.
 * A changed mac spoils the templates of the port's destinations, which rebuild by themselves.
 * Return: 0, or -EINVAL: no such slot, ifindex 0, too many addresses, no pool or one whose headroom
 * is below IP_TX_HEADROOM.
 */
int ip_port_set(struct ip_stack *ip, unsigned port, const struct ip_port *conf);

/* The port is gone: free what waits to be sent, flush its destinations and neighbours. 0 or -EINVAL. */
int ip_port_clear(struct ip_stack *ip, unsigned port);

/* Is @addr an address of the port's interface? */
bool ip_port_is_local(const struct ip_port *port, const struct ip_addr *addr);

/* The destination cached for (@remote, @bound, @choice), or NULL: ask the host. Counts route_hits or
 * route_misses. Borrowed: valid until the next add or flush unless referenced. */
struct ip_dst *ip_dst_find(struct ip_stack *ip, const struct ip_addr *remote,
			   const struct ip_addr *bound, uint64_t choice);

/*
 * Cache the host's answer: remote, bound, choice and the answer's group of @resolved are copied, its neigh
 * gains a reference. Replaces an entry of the same key, which becomes stale.
 * A full slab gives up the oldest entry that nobody references.
 * Return: the entry (borrowed as by ip_dst_find()), or NULL: every entry is referenced.
 */
struct ip_dst *ip_dst_add(struct ip_stack *ip, const struct ip_dst *resolved);

/* Keep @dst across calls; give it back. A stale one is freed with its last reference. */
void ip_dst_get(struct ip_stack *ip, struct ip_dst *dst);
void ip_dst_put(struct ip_stack *ip, struct ip_dst *dst);

/* Routes, rules or addresses changed: forget all, or those through @port. Counts route_flushes.
 * Referenced ones become stale. */
void ip_dst_flush(struct ip_stack *ip);
void ip_dst_flush_port(struct ip_stack *ip, unsigned port);

/*
 * May a frame be built for @dst now? True: the port is up, the neighbour is known, and the template
 * is up to date (rebuilt here after a change). False: the kernel's way, for this datagram. Counts
 * neigh_misses when it is the neighbour that is missing.
 */
static inline bool ip_dst_ready(struct ip_stack *ip, struct ip_dst *dst);

/* The slow half of ip_dst_ready(). */
bool ip_dst_refresh(struct ip_stack *ip, struct ip_dst *dst);

/* inline definitions */

static inline bool ip_dst_ready(struct ip_stack *ip, struct ip_dst *dst)
{
	/* A template exists only for IP_DST_FAST in NEIGH_VALID; every change moves the generation. */
	if (dst->header_len != 0 && dst->neigh_generation == dst->neigh->generation &&
	    ip->port[dst->port].up)
		return true;
	return ip_dst_refresh(ip, dst);
}

#endif
