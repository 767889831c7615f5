/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * udp.h - UDP (RFC 768, RFC 8200 8.1) between ip and the sockets.
 *
 * Does:     look-up (connected, specific, wildcard; IPv4 also on dual-stack IPv6 sockets), copies for
 *           every receiver of a group (group.h), length and checksum rules, receive queues within
 *           their limits and fair share of the pinned pool, building datagrams into frames in one
 *           copy-and-sum pass.
 * Does not: choose routes (a struct ip_dst is handed in), send more than one frame per datagram
 *           (larger ones take the shadow), know descriptors or threads.
 * Threads:  holder of the stack's lock only.
 * Errors:   0 or -errno.
 */
#ifndef FSOCK_UDP_UDP_H
#define FSOCK_UDP_UDP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/addr.h"
#include "base/clock.h"
#include "base/fbuf.h"
#include "base/list.h"
#include "base/siphash.h"
#include "base/table.h"

struct ip_stack;
struct ip_env;
struct ip_dst;
struct packet;
struct udp_group;
struct udp_stack;

enum udp_pcb_flags {
	UDP_PCB_V6 = 1 << 0,	  /* AF_INET6 socket: takes IPv4 too unless UDP_PCB_V6ONLY */
	UDP_PCB_V6ONLY = 1 << 1,
	UDP_PCB_CONNECTED = 1 << 2, /* takes datagrams from remote:remote_port only; local is set */
	UDP_PCB_BOUND = 1 << 3,	  /* in the look-up tables; written by udp_insert/udp_remove */
	UDP_PCB_REUSEPORT = 1 << 4, /* shares address and port with its likes: flows are spread */
	UDP_PCB_GRO = 1 << 5,	  /* takes super-frames whole; any time */
	UDP_PCB_NO_CHECK6 = 1 << 6, /* takes IPv6 datagrams without checksum; any time */
	/* IP_MULTICAST_ALL, IPV6_MULTICAST_ALL are 0: only groups it joined itself. Any time. */
	UDP_PCB_JOINED_ONLY = 1 << 7,
	UDP_PCB_JOINED_ONLY6 = 1 << 8,
};

/* How a datagram differs from its destination's template; all zero = not at all. */
struct udp_style {
	uint8_t tos, hop_limit; /* 0 = the destination's */
	bool may_fragment;	/* IPv4: without DF, and with an identification */
	bool no_checksum;	/* the field is 0 */
};

/*
 * One UDP endpoint, embedded in a socket, zeroed at birth. `local` any = wildcard. Accounting follows
 * Linux in effect, not in number: a datagram is charged its length plus UDP_CHARGE_OVERHEAD, and one
 * is always taken while the queue is below its limit.
 */
struct udp_pcb {
	/* --- written by the socket, between udp_remove() and udp_insert() when BOUND --- */
	struct ip_addr local, remote;
	uint16_t local_port, remote_port; /* host order; 0 = none */
	uint32_t flags;			  /* enum udp_pcb_flags */
	uint32_t ifindex;		  /* takes only what came by this interface; 0 = any */
	uint32_t limit;			  /* SO_RCVBUF as getsockopt reports it; any time */
	struct udp_style style[2];	  /* of what it sends, IPv4 [0] and IPv6 [1]; any time */

	/* --- written by udp --- */
	uint32_t charged;		  /* bytes accounted in queue */
	struct fbuf_queue queue;	  /* received, oldest first; data at the payload's first byte */
	uint32_t pinned;		  /* chunks of pinned pools in queue */
	struct list holder;		  /* in udp_stack.holders while pinned > 0 */
	uint32_t copied;		  /* chunks of the payload pool in queue */
	uint64_t drops;			  /* datagrams dropped because of limit or memory */
	struct udp_group *groups;	  /* memberships, latest first (group.h) */
	struct udp_stack *stack;	  /* borrowed; set by udp_insert(), kept afterwards; NULL = never in */
	struct table_node port_node;	  /* by local port, endpoints that are not connected */
	struct table_node flow_node;	  /* by 4-tuple, connected endpoints */
};

enum {
	UDP_HEADER = 8,
	UDP_MAX_PAYLOAD = 65507,  /* IPv4; the kernel's EMSGSIZE bound (IPv6: 65527) */
	UDP_SEGMENTS_MAX = 64,	  /* what every kernel with UDP_SEGMENT takes in one call */
	UDP_CHARGE_OVERHEAD = 512, /* about what a small skb costs beyond its data */
};

/* The answer of the last look-up: a burst of one flow skips the hashes. */
struct udp_hint {
	struct udp_pcb *pcb;	  /* NULL = no hint; any insert or remove clears it */
	struct ip_addr local, remote;
	uint16_t local_port, remote_port;
	uint32_t ifindex;
};

struct udp_stack {
	struct ip_stack *ip;	  /* borrowed */
	struct udp_hint last;
	struct table by_port, by_flow;
	struct table by_group;	  /* memberships; no table until udp_groups_init() */
	struct siphash_key key;
	uint32_t ids;		  /* IPv4 identifications given so far */
	struct list holders;	  /* endpoints with pinned chunks in their queue, oldest first */
	uint32_t idle;		  /* bound endpoints whose queue is empty: each may want a chunk next */
	uint32_t fair_share;	  /* pinned chunks one queue may hold before copying out, always;
				     0 = an eighth of the pool */
};

/* Prepare; bucket arrays are handed in (powers of two), borrowed for the stack's life. */
void udp_init(struct udp_stack *udp, struct ip_stack *ip, const struct siphash_key *key,
	      struct table_node **port_buckets, uint32_t n_port, struct table_node **flow_buckets,
	      uint32_t n_flow);

/* Enter into, move within (after local/remote/flags changed: call before and after), leave the
 * tables. A pcb whose memory is released must have been removed. Removing one that is not in is
 * fine. What is queued stays. */
void udp_insert(struct udp_stack *udp, struct udp_pcb *pcb);
void udp_remove(struct udp_stack *udp, struct udp_pcb *pcb);

/*
 * The endpoint a datagram belongs to, or NULL. Linux's preference (tests/platform/udp_lookup.c):
 * connected to this peer, then bound to this address, then wildcard; among the latter two one bound
 * to the interface goes first, then an IPv4 datagram prefers an AF_INET socket; of equals the latest
 * inserted wins, but of those that share their port (UDP_PCB_REUSEPORT) one by the flow's keyed hash.
 * An IPv4 datagram reaches AF_INET6 sockets unless UDP_PCB_V6ONLY. @ifindex: where it came by.
 */
struct udp_pcb *udp_find(struct udp_stack *udp, const struct ip_addr *local, uint16_t local_port,
			 const struct ip_addr *remote, uint16_t remote_port, uint32_t ifindex);

/*
 * ip_env.input of a stack: one datagram, transport header at frame->data. Takes the frame: queues it
 * on its endpoint (then calls env->readable) or frees it and counts why. Queued frames hold the
 * payload only. A super-frame is queued whole for UDP_PCB_GRO, else as its datagrams, copied. Counts
 * rx_datagrams, rx_bytes; and copied_out when a payload left the pinned pool: this one's, or that of an
 * endpoint which has not read for long and makes room for one that does.
 * What came in a frame to a group goes to every receiver: copies in the payload pool, counted in
 * rx_group_copies, and the frame itself to the last; a receiver that is full counts its own drop.
 */
void udp_input(const struct ip_env *env, const struct packet *p, struct fbuf *frame, fs_ns now);

/*
 * A copy of @frame's payload and what is said of it (addresses, ports, ifindex, ttl, tos, stamp) joins @pcb's queue, as
 * udp_input() would have it: for what came by no wire. The frame is the caller's, and its bytes may be anywhere.
 * Counts rx_datagrams and rx_bytes, or the datagram among @pcb's drops.
 */
void udp_deliver_copy(const struct ip_env *env, struct udp_pcb *pcb, const struct fbuf *frame);

/*
 * Build one datagram of the bytes in @iov[0..n) (@len in all) and put it on the out queue of dst's
 * port. ip_dst_ready(@dst) was true just before. The frame is built with DF and identification 0, as
 * Linux sends an atomic datagram (RFC 6864 4.1), unless its style says otherwise. Counts tx_datagrams, tx_bytes.
 * Return: 0, or -ENOBUFS (no frame free; counts pool_empty), -EAGAIN (out queue full),
 *         -EMSGSIZE (longer than dst->mtu carries), -EINVAL (@iov holds fewer bytes than @len).
 */
int udp_send(struct udp_stack *udp, const struct ip_env *env, const struct udp_pcb *pcb,
	     struct ip_dst *dst, uint16_t remote_port, const struct iovec *iov, int n, size_t len);

/*
 * The same in another @style than the endpoint's (borrowed), and cut into datagrams of @segment bytes
 * of which the last may be shorter; 0 = one datagram, whatever @len. All of them or none. They leave as
 * one super-frame where the port takes it, even one datagram alone, so that all of a sender's look alike.
 * Return: as udp_send(), and -EINVAL for more than UDP_SEGMENTS_MAX datagrams.
 */
int udp_send_as(struct udp_stack *udp, const struct ip_env *env, const struct udp_pcb *pcb,
		const struct udp_style *style, struct ip_dst *dst, uint16_t remote_port,
		const struct iovec *iov, int n, size_t len, uint32_t segment);

/*
 * Chunks of the payload pool that only empty queues may take: an eighth of it or one for each of them,
 * never more than half. Whoever grows the pool keeps it above that, or the others find it full.
 */
uint32_t udp_payload_reserve(const struct udp_stack *udp);

/* Free everything queued on @pcb. */
void udp_purge(struct udp_pcb *pcb);

/* Take the oldest datagram off the queue and its accounting; the caller owns it. NULL = none. */
struct fbuf *udp_receive(struct udp_pcb *pcb);

/* The same, but it goes on to count against the endpoint's limits, as if it stood in the queue, until
 * udp_release() takes and frees it: for readers that use it where it lies. */
struct fbuf *udp_hold(struct udp_pcb *pcb);

/* The oldest @n at once, of which @last is the last, moved in order to the end of @to. @n > 0. */
void udp_hold_run(struct udp_pcb *pcb, struct fbuf *last, uint32_t n, struct fbuf_queue *to);

/* Take back one that udp_hold() or udp_hold_run() gave, in any order. */
void udp_release(struct udp_pcb *pcb, struct fbuf *frame);

#endif
