/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rig.h - one engine with TCP and one port, whose wire is whoever calls.
 *
 * Does:     build the stack, take frames in, keep frames sent until somebody looks, move a virtual clock from
 *           timer to timer, count what is left at the end.
 * Does not: know scripts, connections or what is right.
 * Threads:  one.
 * Errors:   aborts the program when the harness itself is at fault.
 */
#ifndef FSOCK_TESTS_PACKET_RIG_H
#define FSOCK_TESTS_PACKET_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/counter.h"
#include "base/fbuf.h"
#include "ip/ip.h"
#include "tcp/conn.h"
#include "tcp/tcp.h"
#include "wire/tcp.h"

enum {
	RIG_CHUNK = 2048,
	RIG_CHUNK_LARGE = 16384, /* where the MTU is above RIG_MTU */
	RIG_PINNED = 2048, /* chunks */
	RIG_PAYLOAD = 2048,
	RIG_BUCKETS = 256,
	RIG_CONNS = 64,
	RIG_MTU = 1500,
	RIG_FRAME_MAX = 66000,
	RIG_FOREVER_S = 40000, /* after so long everything must have ended */
};

/* Zero = the default. */
struct rig_config {
	uint32_t mtu;
	uint32_t pinned;    /* chunks, of either pool */
	fs_ns start;	    /* the clock's first value; default 1000 s */
	uint16_t gso;	    /* longest super-frame; 0 = the port takes none */
	bool csum_partial;  /* the port completes checksums */
	struct tcp_config tcp;
	bool use_tcp;	    /* `tcp` holds; otherwise the engine's defaults */
};

/* A segment the engine sent: of a super-frame one of its parts. */
struct rig_out {
	struct rig_out *next;
	struct ip_addr src, dst;
	struct tcp_hdr h;
	uint8_t options[40];
	uint8_t n_options;
	uint8_t tos, ttl;
	bool df;
	fs_ns at;
	uint32_t len; /* payload */
	uint8_t payload[];
};

struct rig_events {
	void *object;
	void (*event)(void *object, struct tcp_conn *conn, uint32_t edges);
	void (*incoming)(void *object, struct tcp_listener *listener);
};

struct rig {
	struct ip_stack ip;
	struct tcp_stack tcp;
	struct ip_env env;
	struct fbuf_pool pinned, payload;
	uint64_t counters[FS_CTR_N];
	struct ip_addr v4, v6, peer4, peer6, other4, other6;
	fs_ns now, start;
	struct rig_out *out, **out_tail; /* sent, not looked at yet */
	struct rig_events events;
	bool unreachable;		 /* no route to anywhere */
	bool moved;			 /* routes lead out by another address of ours */
	bool in_burst;			 /* frames are held back for one ip_input() */
	uint32_t n_held;
	struct fbuf *held[64];
	char error[256];		 /* a frame that is malformed; empty = none */
	struct table_node *dst_buckets[RIG_BUCKETS], *neigh_buckets[RIG_BUCKETS];
	struct table_node *end_buckets[RIG_BUCKETS], *listener_buckets[RIG_BUCKETS];
	void *memory[16]; /* owned */
	unsigned n_memory;
};

struct rig *rig_create(const struct rig_config *config);

/* What is left must be nothing once the clock ran on for RIG_FOREVER_S. NULL, or what is left (static text). */
const char *rig_destroy(struct rig *r);

/* An IP packet arrives; its Ethernet header is put in front here. Held back while a burst is open. */
void rig_inject(struct rig *r, bool v6, const void *packet, uint32_t len);
void rig_burst_begin(struct rig *r);
void rig_burst_end(struct rig *r);

/* A call was made: what it queued leaves. */
void rig_settle(struct rig *r);

/* The clock runs until @until, or until something is sent before: then it stands there. */
void rig_advance(struct rig *r, fs_ns until);

/* The next segment sent, the caller's to free(); NULL = none. */
struct rig_out *rig_take(struct rig *r);

/* The longest super-frame the port takes from now on, bytes; 0 = none. */
void rig_gso(struct rig *r, uint16_t bytes);
/* Next hop known, or not. */
void rig_link(struct rig *r, bool up);

static inline const struct ip_addr *rig_local(const struct rig *r, bool v6)
{
	return v6 ? &r->v6 : &r->v4;
}

static inline const struct ip_addr *rig_peer(const struct rig *r, bool v6)
{
	return v6 ? &r->peer6 : &r->peer4;
}

#endif
