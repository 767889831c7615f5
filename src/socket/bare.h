/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bare.h - a connection without a descriptor: what a program of the native interface has of it.
 *
 * A connection that a program knows by number is a struct sock, of some 1 KiB of stack memory. A bare one is the
 * engine's struct tcp_conn alone, or over a link the struct local_conn, and this in private memory of the process that
 * made it. Their `user` says so: it is odd, and holds the process's slot, the threads asleep for the connection, and
 * where the struct bare is; so whoever drives the stack knows whom to ring, and only the owner follows the pointer.
 *
 * Does:     the word, readiness of bare connections in sets.
 * Does not: call the kernel, or the engine but for readiness.
 * Lives in: private memory; tcp_conn.queue and local_conn.queued, by which connections with news are listed, in the
 *           stack's.
 * Threads:  holder of the stack's lock only.
 */
#ifndef FSOCK_SOCKET_BARE_H
#define FSOCK_SOCKET_BARE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "base/list.h"
#include "local/conn.h"
#include "tcp/conn.h"

struct epoll_set;

struct bare {
	union {
		struct tcp_conn *conn; /* NULL = none: closed, or not begun */
		struct local_conn *local; /* by_link */
	};
	struct fbuf *held, *held_last; /* received in place and not released, by fbuf.link, oldest first. by_link: these,
				    * and n_held, are of the program's door (src/api), of its own memory */
	uint32_t n_held;
	bool connecting : 1;	   /* connect has not said yet what became of it */
	bool v6 : 1;		   /* of an AF_INET6 endpoint: its kernel socket is to be one, too */
	bool refused : 1;	   /* by_link: it came to nothing, in the kernel neither: for connect to say */
	bool wants_out : 1;	   /* a send found no room, or it connects: EPOLLOUT is news */
	bool paused;		   /* what can be received is no news */
	bool by_link;		   /* it is `local`, or was until it moved; not `conn`. Any thread */
	uint8_t moved;		   /* enum fs_reason: why the kernel carries it on, for good; 0 = it does not. Any thread */
	union {
		struct epoll_set *set; /* the group it is in; NULL = none */
		int fd;		   /* moved: the kernel socket that carries it on, the program's to take */
	};
};

/* The `user` of a bare connection: bit 0 set, the pointer, the slot, threads asleep. */
enum { BARE_SLOT_SHIFT = 48, BARE_SLOT_BITS = 5, BARE_ASLEEP_SHIFT = 53 };
#define BARE_ASLEEP_ONE (1ULL << BARE_ASLEEP_SHIFT)
#define BARE_POINTER ((1ULL << BARE_SLOT_SHIFT) - 2)

/* What says that a connection is @bare's, a process's of @slot. */
void *bare_word(struct bare *bare, unsigned slot);

/* Make @conn @bare's, a process's of @slot. */
void bare_bind(struct bare *bare, struct tcp_conn *conn, unsigned slot);

/* The same of one over a link, whose user is bare_word() already. */
void bare_bind_link(struct bare *bare, struct local_conn *conn);

/* It became ready for @edges, enum tcp_ready, while the process of slot @here drives: list it in its set, or in its
 * process's @news (one list per slot). Processes whose sleepers must know, by bit of their slot. */
uint32_t bare_event(struct tcp_conn *conn, uint32_t edges, unsigned here, struct list *news);

/* The same of one over a link, with lists of its own kind. One that is in another list stays there. */
uint32_t bare_link_event(struct local_conn *conn, unsigned here, struct list *news);

/* The process of that list: its connections in @news go to their sets. */
void bare_sort(struct list *news);
void bare_link_sort(struct list *news);

/* @bare joins @set, or (NULL) leaves the one it is in; @news is its process's. Readiness that exists is news. */
void bare_join(struct bare *bare, struct epoll_set *set, struct list *news);

/* @bare is to be looked at by its set, if it is in one: what it wants is another thing than before. */
void bare_look_again(struct bare *bare);

/* Ask the other side of a link to tell when @bare can receive, or send: somebody waits. Nothing for others. */
void bare_ask_link(const struct bare *bare);

/* What holds of @bare now, of what its program hears without asking: EPOLLIN, EPOLLRDHUP ... */
uint32_t bare_ready(const struct bare *bare);

/* Up to @n events of bare members of @set, of the process of slot @here, that are ready, oldest first; data is the struct
 * bare. Those reported queue up behind the rest. Where members moved to the kernel, one event without bits and data comes
 * first: their process is to put them into the kernel's half. Returns how many. */
unsigned bare_collect(struct epoll_set *set, unsigned here, struct epoll_event *events, unsigned n);

/* Would it find any? */
bool bare_any(const struct epoll_set *set, unsigned here);

/* inline definitions: of the `user` of a connection */

static inline bool bare_is(const void *user)
{
	return (uintptr_t)user & 1;
}

static inline unsigned bare_slot(const void *user)
{
	return (uintptr_t)user >> BARE_SLOT_SHIFT & ((1U << BARE_SLOT_BITS) - 1);
}

/* Its owner's struct; in the owner only. */
static inline struct bare *bare_of(const void *user)
{
	return (struct bare *)((uintptr_t)user & BARE_POINTER);
}

/* The process whose threads sleep for it, as a bit; 0 = none does. */
static inline uint32_t bare_sleepers(const void *user)
{
	return (uintptr_t)user >> BARE_ASLEEP_SHIFT ? 1U << bare_slot(user) : 0;
}

/* Is it not known yet what becomes of @conn, which connects over a link? */
static inline bool bare_link_waits(const struct local_conn *conn)
{
	return conn->own.settling && conn->state != LOCAL_ESTABLISHED;
}

/* Of @bare, which has a connection. */
static inline void **bare_user(const struct bare *bare)
{
	return bare->by_link ? &bare->local->user : &bare->conn->user;
}

/* Has the process of slot @here the connection of @bare? A child, which has its parent's in copy, has not. */
static inline bool bare_is_own(const struct bare *bare, unsigned here)
{
	const void *user = bare->conn ? *bare_user(bare) : NULL;

	return !bare->conn || (bare_is(user) && bare_of(user) == bare && bare_slot(user) == here);
}

/* Another connection takes the place of the one with the word @before: who sleeps sleeps for that of *@user. */
static inline void bare_carry_asleep(const void *before, void **user)
{
	*user = (void *)((uintptr_t)*user + ((uintptr_t)before & ~(BARE_ASLEEP_ONE - 1)));
}

/* A thread goes to sleep for @bare, or has woken up. Its connection may have gone, or have begun anew, meanwhile. */
static inline void bare_asleep(const struct bare *bare, bool yes)
{
	void **user = bare->conn ? bare_user(bare) : NULL;

	if (user && yes)
		*user = (void *)((uintptr_t)*user + BARE_ASLEEP_ONE);
	else if (user && bare_sleepers(*user))
		*user = (void *)((uintptr_t)*user - BARE_ASLEEP_ONE);
}

#endif
