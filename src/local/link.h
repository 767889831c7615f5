/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * link.h - a link: shared memory between two processes of one host, which carries all their connections (DESIGN D9).
 *
 * Does:     make and check the arena, take and give messages, say when the other side is to be told, end.
 * Does not: map memory, wait, wake anybody, find the other process: its user does. Whatever cannot be, as the other
 *           side left it, ends the link, never the process; all its connections are reset then, and others know nothing
 *           of it.
 * Threads:  holder of the stack's lock only; the other side is another stack.
 * Errors:   0 or a count, or -errno.
 *
 * Telling the other side (a doorbell, whatever it is) is the user's: after any call into src/local it asks
 * local_link_rings(). Before it sleeps it calls local_link_arm() and takes messages once more: if there are none, it may.
 */
#ifndef FSOCK_LOCAL_LINK_H
#define FSOCK_LOCAL_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/barrier.h"
#include "local/conn.h"
#include "local/datagram.h"
#include "local/format.h"
#include "local/half.h"
#include "local/message.h"

struct local_listener;

/* Why a link is no more. */
enum local_end {
	LOCAL_LINK_UP,
	LOCAL_LINK_DIED,	 /* the other process ended: local_link_died() */
	LOCAL_LINK_BAD_KIND,	 /* a message that is none, or that such a connection does not get */
	LOCAL_LINK_BAD_SLOT,	 /* about a connection that there is not, or not any more */
	LOCAL_LINK_BAD_RING,	 /* a byte ring that is not in the other side's half */
	LOCAL_LINK_BAD_POSITION, /* a position in a byte ring that cannot be */
	LOCAL_LINK_BAD_DATAGRAM, /* a datagram that cannot be */
	LOCAL_LINK_N_ENDS
};

extern const char *const local_end_name[LOCAL_LINK_N_ENDS]; /* "up", "died" ... */

/* What the caller does for the engine; a const table. The first argument is local_config.context. None of them may call
 * back into src/local. */
struct local_ops {
	/* @conn became ready for @edges (enum local_ready), also for more of the same. Not for what its user does. */
	void (*event)(void *context, struct local_conn *conn, uint32_t edges);

	/* @listener has a connection for local_accept() that it had not. */
	void (*incoming)(void *context, struct local_listener *listener);

	/* Which listener does @id name, that would take a connection to @local and @port? NULL: none. */
	struct local_listener *(*find)(void *context, uint64_t id, const struct ip_addr *local, uint16_t port);

	/* The other side of @conn, which has a user, goes on at conn->place, and waits there. */
	void (*moved)(void *context, struct local_conn *conn);

	/* A wire would carry @segment of @conn. Where local_link.taps is set; may be NULL where it never is. */
	void (*tap)(void *context, const struct local_conn *conn, const struct local_segment *segment);

	/* Is there memory for the first @units of the other side's rings? Asked when it hands out further ones than ever
	 * before: they take pages only as they are written to. NULL: always. */
	bool (*affords)(void *context, uint32_t units);

	/* May @conn, which comes, be who it says it is by its addresses and ports? Asked before it is accepted, so that who
	 * may not can still go another way. NULL: it may. */
	bool (*admits)(void *context, const struct local_conn *conn);
};

struct local_config {
	const struct local_ops *ops; /* const */
	void *context;		     /* for them */
	uint64_t *counters;	     /* of the stack, FS_CTR_N */
	void *arena;		     /* borrowed until the link is no more; aligned to a page */
	unsigned side;		     /* 0 dialled, 1 listened */
	struct local_agreed agreed;
};

struct local_link {
	/* --- set at the start --- */
	const struct local_ops *ops;
	void *context;
	uint64_t *counters;
	uint8_t *arena;
	struct local_conn *conn; /* one for each slot of both sides, in the memory that was handed in */
	uint32_t slots;		 /* of each side */
	uint32_t units;		 /* of each side */
	unsigned side;
	bool taps;		 /* the user wants ops->tap for connections that begin; it may change it */
	struct local_side_words *ours, *theirs; /* shared */

	/* --- what changes --- */
	enum local_end ended;
	bool rings;		 /* the other side is to be told */
	struct local_out out;
	struct local_in in;
	struct local_half half;	 /* ours */
	uint32_t free_slot;	 /* of ours that were used: the first of a chain through local_conn.next, or LOCAL_NO_SLOT */
	uint32_t fresh;		 /* how many of ours ever were */
	uint32_t owing, owing_last; /* connections with messages that found no room, likewise */
	uint32_t in_use;	 /* connections that are not free, of both sides */
	struct local_datagrams datagrams;
	struct list starving;	 /* local_own.starved: who found no room to send, and may have more. The user's to take out */

	/* --- for who looks on --- */
	uint32_t number, peer_pid; /* the user's own */
	uint32_t far_reached;	 /* as half.reached, of the other side's */
	uint32_t tapped[2];	 /* connections whose beginning was told to ops->tap: that came, that this side began */
	uint64_t rx_bytes, tx_bytes; /* of all connections, as far as local_conn_count() has come, and all datagrams */
};

/* Bytes of the stack's memory that a link needs, aligned to a cache line; untouched but for its use. */
size_t local_link_len(const struct local_agreed *agreed);

/* How an arena of @slots (1 to LOCAL_SLOTS_MAX) and @units (of 64, to LOCAL_UNITS_MAX) a side is. */
struct local_agreed local_agree(uint32_t slots, uint32_t units);

/* Side 0, before the arena (zeros, agreed->len bytes) is shared: write down what it is. */
void local_arena_write(void *arena, const struct local_agreed *agreed);

/* Side 1: what is the arena of @len bytes that came? 0, -EPROTONOSUPPORT (another version), -EPROTO (it cannot be). */
int local_arena_read(const void *arena, size_t len, struct local_agreed *agreed);

/* Begin a link in @memory of local_link_len() bytes, all 0. */
struct local_link *local_link_init(void *memory, const struct local_config *config);

/* Take what messages came, @most at the most. Returns how many, 0 also where the link is no more. */
unsigned local_link_poll(struct local_link *link, unsigned most);

/* Is the other side to be told? It is asked once for each time. */
static inline bool local_link_rings(struct local_link *link)
{
	bool rings = link->rings;

	link->rings = false;
	return rings;
}

/* Has the other side the link, too? Until then it may still refuse it. */
static inline bool local_link_is_joined(const struct local_link *link)
{
	return fs_load_relaxed(&link->theirs->joined) != 0;
}

/* This side may sleep: it is told of the next message, once, and takes first what came before. */
void local_link_arm(struct local_link *link);

/* The other process is no more. What it said before holds; its connections end as those of a killed process do on the
 * kernel: reset where it had bytes unread, with an orderly end of stream elsewhere. */
void local_link_died(struct local_link *link);

/* Is there a connection that has a user, or that the other side has not ended? If not, the memory may go. */
static inline bool local_link_is_idle(const struct local_link *link)
{
	return link->in_use == 0;
}

#endif
