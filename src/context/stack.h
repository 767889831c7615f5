/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stack.h - one stack: the layout of its shared memory and its lock.
 *
 * Offset 0 is the head that other programs read (stats/format/stats.h). Everything else is reached by
 * plain pointers, valid in every process that maps the arena (DESIGN D2). Functions are never stored.
 *
 * Lock order (style rule 20): the stack's lock is the only lock. It protects all of struct stack, the
 * process's struct context behind it, and the descriptor table. Nobody sleeps holding it; system calls
 * made under it do not block (sends with MSG_DONTWAIT, netlink answers, map updates).
 * A holder that died, or stays stopped, is noticed by those who wait, which marks the stack `broken` (lock.c).
 */
#ifndef FSOCK_CONTEXT_STACK_H
#define FSOCK_CONTEXT_STACK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/barrier.h"
#include "base/counter.h"
#include "base/fbuf.h"
#include "base/list.h"
#include "base/slab.h"
#include "ip/ip.h"
#include "provider/provider.h"
#include "stats/format/stats.h"
#include "tcp/tcp.h"
#include "udp/udp.h"

enum {
	STACK_PORT_BUCKETS = 4096, /* local ports */
	STACK_FLOW_BUCKETS = 4096,
	STACK_DST_BUCKETS = 1024,
	STACK_MAX_DSTS = 4096,
	STACK_PAYLOAD_CHUNK = 512,    /* bytes: most datagrams that are copied out are small */
	STACK_SEGMENT_CHUNK = 2048,   /* a segment of Ethernet's MTU, with room for its headers */
	STACK_PAYLOAD_STEP = 1 << 20, /* bytes either of these pools grows by */
	STACK_PAYLOAD_LOW = 1280,     /* free chunks before a burst: 64 frames of 9000 bytes and more */
	STACK_FRAME_CHUNK = 4096,
	STACK_HEIRS = 63,	      /* bits of sock.heirs, of which one more is passed.c's */
	STACK_PORT_STATE = 16384,     /* room for a provider's shared half */
	STACK_BARE_PLACES = 64,	      /* connections without a descriptor that have records */
};

struct icmp_paths;
struct lease_table;
struct stack_local;
struct sister_family;

/* Who drives the stack. */
struct stack_proc {
	uint32_t pid;	   /* 0 = free */
	uint32_t sleepers; /* its threads between "set sleeping" and waking up */
	uint32_t light;	   /* of those, how many do not watch the ports (turn.h) */
	int32_t memory_fd; /* number of the stack's memory in it */
	uint64_t passed;   /* key of the record by which it passes its place on, in exec; 0 = it does not */
};

/* A forked child that has not joined: what it inherited waits for it. */
struct stack_heir {
	fs_ns since;	   /* of the fork; 0 = unused */
	uint32_t pid;	   /* 0 = the child has not run yet */
	int32_t memory_fd; /* number of the stack's memory in it */
};

/* A connection without a descriptor that has a record (bare_record.c). */
struct stack_bare {
	void *conn;		     /* struct tcp_conn, or struct local_conn; NULL = free */
	bool by_link;
	struct stats_sock *record;   /* the place's, for good; NULL = none yet */
};

struct stack_lock {
	uint32_t owner;	  /* thread id of the holder, 0 = free */
	uint32_t waiting; /* threads in futex wait, or about to be */
	uint32_t stopped; /* the holder was seen stopped while it held it; 0 = not */
	uint32_t outlived; /* the holder that stayed stopped until the others gave the stack up; 0 = none did */
	uint32_t begun;	  /* the holder, from when it may change anything; its complement while nothing is half done when
			   * it is in a system call of a port's (context_calm()); else 0 */
};

struct stack {
	struct stats_head head; /* offset 0 */

	struct stack_lock lock __attribute__((aligned(FS_CACHE_LINE)));
	bool broken;		/* a holder died inside, or is stopped there: nobody trusts anything any more */
	uint64_t arena_len;	/* bytes every process must have mapped before it goes on */

	struct ip_stack ip __attribute__((aligned(FS_CACHE_LINE)));
	struct udp_stack udp;
	struct tcp_stack tcp; /* tcp.ip NULL = nobody wanted it yet */

	struct fbuf_pool pinned[IP_MAX_PORTS];
	uint32_t pinned_room[IP_MAX_PORTS]; /* chunks there is memory for, at pinned[].memory */
	struct provider_port *port[IP_MAX_PORTS]; /* NULL = slot unused; index = ip.port's */
	void *port_state[IP_MAX_PORTS]; /* STACK_PORT_STATE bytes each, for their shared halves */
	uint32_t port_opened[IP_MAX_PORTS]; /* ports_serial when it was; 0 = closed */
	struct provider_hold hold[IP_MAX_PORTS][STATS_MAX_PROCS]; /* who could hand a port on, by slot; of
				 * one that closed, who has yet to let go */
	uint32_t ports_serial;	/* bumped when a port comes, goes or changes its owner: sleepers refresh
				 * their sets */

	struct fbuf_pool payload;
	struct fbuf_pool segments; /* tcp.segments */
	uint64_t payload_bytes; /* of both, so far */

	struct slab socks, items, sets;
	struct slab groups;	/* struct udp_group: memberships */
	struct list all_socks, all_streams, all_sets; /* sockets of UDP, of TCP; epoll sets */
	struct stack_heir heir[STACK_HEIRS];
	bool let_go;		/* a socket is marked so; written without the lock */
	bool lingering;		/* sockets or sets without references wait for heirs */
	uint32_t passed;	/* sockets that were sent in messages (passed.h) and have not ended; read without the lock */
	struct list all_passed;	/* these: struct sock.of_passed */
	bool strangers;		/* records were made by processes that have no slot */
	uint32_t generation;	/* last one given to a socket */

	struct stack_proc proc[STATS_MAX_PROCS];
	bool shared;		/* there was a socket whose unicast is not steered */
	bool unsteered;		/* some socket has been found so: look who goes to the kernel for good */
	bool waiting;		/* sockets wait for their interfaces: sock.missing */
	bool entries_left;	/* sockets left to the kernel that are still steered to the stack */

	struct sister_family *family; /* what it has in common with its sisters (sister.h); NULL = it has none */
	bool untold;		/* listeners have connections of which home was not told yet */

	struct stack_local *local;  /* links with other stacks of the host (local.h); NULL = none were wanted yet */
	bool links_parked;	    /* some process has made the pair that keeps links' descriptors, or tried */
	uint32_t local_serial;	    /* bumped when one comes or goes: processes map it, or let go */
	struct lease_table *leases; /* local ports (lease.h); NULL = none were needed yet */
	struct icmp_paths *paths;   /* what ICMP taught of paths (icmp.h); NULL = nobody listens yet */
	bool leases_held;	/* some process has made the pair that keeps them, or tried */

	uint32_t stamped;	/* sockets that want to know when frames arrive, and sisters as one */
	bool stamps_passed;	/* sisters do */
	uint32_t flows;		/* flow entries made, but for those of moves that are over */
	struct list moved;	/* struct tcp_conn, by `queue`: the kernel has them now */
	fs_ns moved_at;		/* when the last one went there */
	fs_ns held_since;	/* frames wait in out queues for the end of a batch of events (turn.h); 0 = none do */
	fs_ns driven_at;	/* when a call of some program's drove it last */
	struct {		/* the thread that takes frames, of whichever process (turn.h) */
		uint64_t who;	/* its process's slot and its id */
		fs_ns at;	/* when it did so last, or became it; 0 = it sleeps */
		fs_ns told;	/* when it was told of events last */
		int cpu;
	} driver;
	struct stack_bare bare[STACK_BARE_PLACES];
	uint32_t n_bare_places;	/* of those taken */
	uint32_t bare_turn;	/* whose record is brought up to date next */
	uint64_t bare_serial;
	struct list bare_news[STATS_MAX_PROCS]; /* bare connections with news, by slot of their process (socket/bare.h) */

	uint64_t *counter;	/* FS_CTR_N, in the head's part */
	struct stats_sock *records;
	struct stats_port *port_stats;
	struct stats_link *link_stats;
};

/* inline definitions */

static inline bool stack_trylock(struct stack *s, uint32_t tid)
{
	uint32_t nobody = 0;

	return fs_compare_exchange(&s->lock.owner, &nobody, tid);
}

#endif
