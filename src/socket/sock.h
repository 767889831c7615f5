/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sock.h - one accelerated socket: the object behind a descriptor whose kernel socket is its shadow.
 *
 * Does:     state, ownership by processes, readiness, registration with epoll sets.
 * Does not: call the kernel: what the shadow knows is told to it. Decide about acceleration.
 * Lives in: stack memory, shared by a fork tree; plain pointers, no descriptors but as numbers.
 * Threads:  holder of the stack's lock only.
 */
#ifndef FSOCK_SOCKET_SOCK_H
#define FSOCK_SOCKET_SOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/list.h"
#include "socket/sleepers.h"
#include "socket/stamp.h"
#include "socket/stream.h"
#include "stats/format/stats.h"
#include "udp/udp.h"

struct ip_dst;

/*
 * enum sock_way - by which way does what this socket sends and receives go?
 *
 * SOCK_UNDECIDED the kernel's way so far; nothing steered. from: creation.
 *                allowed: everything, on the shadow; sends are counted. exits: FAST, KERNEL.
 * SOCK_FAST      its port is steered to the stack; or would be, but what it is steered on is down, gone or
 *                shared (@unsteered): then the shadow does everything until that changes. allowed:
 *                everything; the shadow is served too. exits: KERNEL (never back: who is left to the
 *                kernel by choice of its own, or the host's, stays there); UNDECIDED, when its port or
 *                interface is chosen anew.
 * SOCK_KERNEL    only the shadow counts; record->reason says why. What is still queued in the stack is
 *                read first. exits: none.
 */
enum sock_way { SOCK_UNDECIDED, SOCK_FAST, SOCK_KERNEL, SOCK_N_WAYS };

/* struct sock.protocol: IPPROTO_TCP, IPPROTO_UDP. */
enum { SOCK_TCP = 6, SOCK_UDP = 17 };

struct sock {
	union {
		struct udp_pcb pcb; /* UDP: addresses as the shadow has them; queue of received datagrams */
		struct stream stream; /* TCP */
	};
	struct list all;	/* in the stack's list of datagram or of stream sockets */
	struct list items;	/* struct epoll_item.of_member: registrations with epoll sets */
	struct stats_sock *record; /* borrowed from the statistics table, never NULL */
	struct ip_dst *dst;	/* last destination used, counted; NULL = none */
	uint64_t cookie;	/* SO_COOKIE of the shadow */
	uint32_t generation;	/* differs from that of any earlier socket in this memory; 0 = free */
	uint8_t way;		/* enum sock_way */
	uint8_t protocol;	/* SOCK_UDP or SOCK_TCP: which half counts */
	bool nonblock;		/* O_NONBLOCK of the open file description */
	bool bound;		/* the shadow has a local port */
	bool no_unicast;	/* SOCK_FAST, but the port is shared or the address a group: groups only */
	bool unsteered;		/* SOCK_FAST, but nothing it takes comes to the stack now: the shadow's alone */
	bool linked;		/* SOCK_FAST, UDP: it takes part in links (context/datagram_local.h) */
	bool links_only;	/* the same, and nothing else makes it fast */
	uint8_t link;		/* UDP: by which it sent last, from 1; 0 = none */
	bool port_asked;	/* UDP: the program chose the port, as servers do */
	uint8_t missing;	/* SOCK_FAST: ports that it was steered on and whose interface is gone */
	uint8_t waited;		/* rounds of housekeeping it was so without a membership */
	bool widened;		/* the shadow's receive buffer is larger than pcb.limit says */
	uint16_t steered;	/* bit n: port n's steering holds this socket's port entry */
	uint16_t rule_port;	/* local port of these entries, host order */
	uint16_t stamped_port;	/* the same where ports were told that it wants stamps; 0 = nowhere */
	struct ip_addr rule_local; /* and their address */

	/* Datagrams from the kernel's side. */
	uint32_t kernel_hot;	/* > 0: the shadow delivered lately, look there at every receive */
	bool kernel_turn;	/* the fast path was served last: the kernel's side goes first */
	uint16_t late_reads;	/* of the shadow, while the first of the queue was fbuf.late */
	fs_ns kernel_looked;	/* when the shadow was last read */
	fs_ns error_looked;	/* when it was last asked for a pending error */

	/* Options, as the shadow has them (context/option.c). */
	uint32_t cmsgs;		/* control messages wanted with received datagrams: enum sock_cmsg */
	uint32_t mark;		/* SO_MARK */
	uint32_t group_if[2];	/* IP_MULTICAST_IF, IPV6_MULTICAST_IF: interface; 0 = the route's */
	struct ip_addr group_source; /* IP_MULTICAST_IF: source address; any = the route's */
	uint8_t group_hops[2];	/* IP_MULTICAST_TTL, IPV6_MULTICAST_HOPS; 0 = 1, the default */
	bool group_stays[2];	/* they are 0: datagrams to groups leave by no wire */
	bool group_quiet[2];	/* IP_MULTICAST_LOOP, IPV6_MULTICAST_LOOP are 0 */
	uint32_t unicast_if[2]; /* IP_UNICAST_IF, IPV6_UNICAST_IF; 0 = none */
	uint32_t kernel_drops;	/* what the shadow last said in SO_RXQ_OVFL */
	uint16_t segment;	/* UDP_SEGMENT; 0 = none */
	bool corked;		/* UDP_CORK: what is sent gathers in the shadow */
	bool more;		/* the last one had MSG_MORE: the next joins it in the shadow */
	bool dont_route;	/* SO_DONTROUTE */
	bool segmented;		/* it has sent super-frames: what it sends looks like them from then on */
	bool special;		/* one of the five above is set, or sends are stamped: sending looks closer */
	bool error_is_pri;	/* SO_SELECT_ERR_QUEUE */
	bool recverr;		/* IP_RECVERR or IPV6_RECVERR: errors come unconnected, too */
	bool shareable;		/* SO_REUSEADDR or SO_REUSEPORT: others may bind to its port later */

	/* Timestamps, and the stack's half of the error queue (context/errqueue.c). */
	struct stamps stamps;
	struct fbuf_queue errors; /* owned */
	uint32_t errors_charged;  /* bytes of it, counted against pcb.limit */

	/* Datagrams lent in place (context/take.h): owned, still charged to the pcb. */
	struct fbuf_queue held;
	uint32_t holder;	/* process slot that holds them, while there are any */

	uint32_t sent;		/* datagrams sent while undecided */
	fs_ns rcvtimeo;		/* SO_RCVTIMEO; 0 = none */

	/* Descriptors by process slot: close of the last one ends the socket. */
	uint16_t refs[STATS_MAX_PROCS];
	bool lent;		/* a service manager has it, too (context/lent.c) */
	bool executed;		/* a program got it by exec, on the fast path (context/exec.c) */
	bool let_go;		/* a process that may not take the lock holds it: to the kernel with it */
	uint64_t heirs;		/* forked children that hold it and have not joined yet, one bit each;
				 * and messages, the last one */
	bool was_passed;	/* it was sent in a message (context/passed.h) */
	struct list of_passed;	/* if so, in the stack's list of these */
	uint8_t passed;		/* messages under way that have it */
	fs_ns passed_at;	/* when the last one was sent */
	uint16_t users[STATS_MAX_PROCS]; /* calls that wait for it, by slot: memory stays until they end */
	struct sleepers sleepers; /* asleep for it: their doorbells ring when it turns readable */
};

/* A fresh socket in zeroed memory. */
void sock_init(struct sock *s, struct stats_sock *record, uint8_t protocol, bool v6, uint32_t generation);

/* Descriptors of all processes. */
unsigned sock_refs(const struct sock *s);

/* Does a call of any process wait for it? */
bool sock_is_used(const struct sock *s);

/* Does all that is known of its readiness come from the stack? Then the shadow's says nothing. */
static inline bool sock_is_engines(const struct sock *s)
{
	return s->protocol == SOCK_TCP && (s->stream.conn || s->stream.local_conn);
}

/* Is it to another process of the host? */
static inline bool sock_is_local(const struct sock *s)
{
	return s->protocol == SOCK_TCP && s->stream.local_conn;
}

/* Before somebody waits for @events of @s: what comes over a link is told of to who asked only. True: it is ready for
 * one of them now. */
bool sock_ask(const struct sock *s, uint32_t events);

/* The same of what comes beyond what it is ready for now. */
void sock_ask_more(const struct sock *s);

/* POLLIN, POLLOUT, ... (= EPOLLIN, ...) as far as the stack knows; the caller adds what the shadow says. */
uint32_t sock_ready(const struct sock *s);

/* The same of what the engine says, enum tcp_ready. */
uint32_t sock_poll_bits(uint32_t ready);

/* One of the options changed that make sending look closer. */
static inline void sock_set_special(struct sock *s)
{
	s->special = s->segment || s->corked || s->more || s->dont_route || s->segmented ||
		     (s->stamps.flags & STAMP_TX_RECORD);
}

/* The pcb's socket. */
static inline struct sock *sock_of(struct udp_pcb *pcb)
{
	return FS_CONTAINER_OF(pcb, struct sock, pcb);
}

/* Processes with threads asleep for @s or for any set it is registered with, by bit of their slot. */
uint32_t sock_sleepers(const struct sock *s);

/* Bring record's queue figures and addresses up to date. */
void sock_publish(struct sock *s);

/* The state in which TCP would show a connection by a link: enum tcp_state. */
uint8_t sock_local_state(const struct local_conn *c);

/* What the record of a connection has from the engine, or from its link. */
void sock_publish_conn(const struct tcp_conn *c, struct stats_sock *r);
void sock_publish_local(struct local_conn *c, struct stats_sock *r);

#endif
