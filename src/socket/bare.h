/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bare.h - a connection without a descriptor: what a program of the native interface has of it.
 *
 * A connection that a program knows by number is a struct sock, of some 1 KiB of stack memory. A bare one is the
 * engine's struct tcp_conn alone, and this in private memory of the process that made it. tcp_conn.user says so:
 * it is odd, and holds the process's slot, the threads asleep for the connection, and where the struct bare is; so
 * whoever drives the stack knows whom to ring, and only the owner follows the pointer.
 *
 * Does:     the word, readiness of bare connections in sets.
 * Does not: call the kernel or the engine's calls but tcp_ready().
 * Lives in: private memory; tcp_conn.queue, by which connections with news are listed, in the stack's.
 * Threads:  holder of the stack's lock only.
 */
#ifndef FSOCK_SOCKET_BARE_H
#define FSOCK_SOCKET_BARE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "base/list.h"
#include "tcp/conn.h"

struct epoll_set;

struct bare {
	struct tcp_conn *conn;	   /* NULL = none: closed, or not begun */
	struct epoll_set *set;	   /* the group it is in; NULL = none */
	struct fbuf *held, *held_last; /* received in place and not released, by fbuf.link, oldest first */
	union {
		uint32_t n_held;
		int fd;		   /* moved: the kernel socket that carries it on, the program's to take */
	};
	bool connecting : 1;	   /* connect has not said yet what became of it */
	bool v6 : 1;		   /* of an AF_INET6 endpoint: its kernel socket is to be one, too */
	bool paused;		   /* what can be received is no news */
	bool wants_out;		   /* a send found no room, or it connects: EPOLLOUT is news */
	uint8_t moved;		   /* enum fs_reason: why the kernel carries it on, for good; 0 = it does not. Any thread */
};

/* tcp_conn.user of a bare connection: bit 0 set, the pointer, the slot, threads asleep. */
enum { BARE_SLOT_SHIFT = 48, BARE_SLOT_BITS = 5, BARE_ASLEEP_SHIFT = 53 };
#define BARE_ASLEEP_ONE (1ULL << BARE_ASLEEP_SHIFT)
#define BARE_POINTER ((1ULL << BARE_SLOT_SHIFT) - 2)

/* Make @conn @bare's, a process's of @slot. */
void bare_bind(struct bare *bare, struct tcp_conn *conn, unsigned slot);

/* It became ready for @edges, enum tcp_ready, while the process of slot @here drives: list it in its set, or in its
 * process's @news (one list per slot). Processes whose sleepers must know, by bit of their slot. */
uint32_t bare_event(struct tcp_conn *conn, uint32_t edges, unsigned here, struct list *news);

/* The process of that list: its connections in @news go to their sets. */
void bare_sort(struct list *news);

/* @bare joins @set, or (NULL) leaves the one it is in; @news is its process's. Readiness that exists is news. */
void bare_join(struct bare *bare, struct epoll_set *set, struct list *news);

/* What holds of @bare now, of what its program hears without asking: EPOLLIN, EPOLLRDHUP ... */
uint32_t bare_ready(const struct bare *bare);

/* Up to @n events of bare members of @set that are ready, oldest first; data is the struct bare. Those reported queue
 * up behind the rest. Where members moved to the kernel, one event without bits and data comes first: their process
 * is to put them into the kernel's half. Returns how many. */
unsigned bare_collect(struct epoll_set *set, struct epoll_event *events, unsigned n);

/* Would it find any? */
bool bare_any(const struct epoll_set *set);

/* inline definitions */

static inline bool bare_is(const struct tcp_conn *conn)
{
	return (uintptr_t)conn->user & 1;
}

static inline unsigned bare_slot(const struct tcp_conn *conn)
{
	return (uintptr_t)conn->user >> BARE_SLOT_SHIFT & ((1U << BARE_SLOT_BITS) - 1);
}

/* Its owner's struct; in the owner only. */
static inline struct bare *bare_of(const struct tcp_conn *conn)
{
	return (struct bare *)((uintptr_t)conn->user & BARE_POINTER);
}

/* The process whose threads sleep for it, as a bit; 0 = none does. */
static inline uint32_t bare_sleepers(const struct tcp_conn *conn)
{
	return (uintptr_t)conn->user >> BARE_ASLEEP_SHIFT ? 1U << bare_slot(conn) : 0;
}

/* A thread goes to sleep for @bare, or has woken up. Its connection may have gone, or have begun anew, meanwhile. */
static inline void bare_asleep(const struct bare *bare, bool yes)
{
	struct tcp_conn *conn = bare->conn;

	if (conn && yes)
		conn->user = (void *)((uintptr_t)conn->user + BARE_ASLEEP_ONE);
	else if (conn && bare_sleepers(conn))
		conn->user = (void *)((uintptr_t)conn->user - BARE_ASLEEP_ONE);
}

#endif
