/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * epoll.h - the stack's half of an epoll set.
 *
 * The program's epoll descriptor is a real kernel epoll instance. Kernel members are in it as the
 * program put them. An accelerated socket's shadow is in it too, with the interest the program gave
 * but with data of ours (`tag`), so that both halves of one member can be merged into one event; but for
 * connections, of which the shadow has nothing to say (docs/decisions/0028). What
 * the stack delivers is queued here, per set, cost proportional to the ready members.
 *
 * A set may be a member of others, and is one of both halves: what the stack delivers to the inner set queues the
 * registrations by which it is in outer ones, as deep as the kernel lets sets nest.
 *
 * Does:     interest, level and edge triggering, one-shot, the ready list, merging.
 * Does not: call the kernel, wait, know descriptors but as numbers to identify a registration.
 * Lives in: stack memory, as the kernel's set is shared by a fork tree.
 * Threads:  holder of the stack's lock only.
 * Errors:   -errno as epoll_ctl(2).
 */
#ifndef FSOCK_SOCKET_EPOLL_H
#define FSOCK_SOCKET_EPOLL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/slab.h"
#include "socket/sleepers.h"

struct sock;
struct epoll_set;

/* One registration: (set, descriptor number, member). */
struct epoll_item {
	struct list of_member;	/* sock.items or epoll_set.outer */
	struct list of_set;	/* epoll_set.items */
	struct list ready;	/* epoll_set.ready; unlinked = not queued */
	struct sock *sock;	/* the member, borrowed: the item goes when either end goes; NULL = it is a set */
	struct epoll_set *inner; /* that set, likewise; NULL = it is a socket */
	struct epoll_set *set;	/* borrowed */
	uint64_t data;		/* the program's */
	uint32_t events;	/* interest with EPOLLET, EPOLLONESHOT */
	int32_t fd;		/* number it was registered under */
	bool disarmed;		/* one-shot, fired */
	bool reported;		/* EPOLLET: the state since the last edge was reported */
	bool in_kernel;		/* the kernel's set has it, too; never a connection of the engine's (decision 0028) */
	uint32_t batch;		/* epoll_set.batch when it was last reported */
};

struct epoll_set {
	struct list items, ready;
	struct list outer;	/* epoll_item.of_member: registrations of this set with others */
	struct list bare;	/* struct tcp_conn.queue: bare members with news (bare.h) */
	struct list bare_links;	/* struct local_conn.queued: those of them that are over links */
	struct slab *slab;	/* of items; borrowed from the stack */
	uint64_t key;		/* random, EPOLL_TAG_SHIFT upwards used: our data in the kernel carry it */
	/* Descriptors that name it and calls that wait for it, by process slot: nobody's any more, it ends. */
	uint16_t refs[STATS_MAX_PROCS];
	uint64_t heirs;		/* as sock.heirs */
	struct list all;	/* in the stack's list of sets */
	struct sleepers sleepers; /* in a wait on this set, or in poll() with it as a member */
	uint32_t batch;		/* serial of the wait being answered: an item appears once in it */
	bool unheard;		/* it is in a set that cannot be told of the stack's half: members are the kernel's */
	bool links_first;	/* of those two lists (bare_collect()) */
	bool moved;		/* a bare member is the kernel's by now (bare_collect()) */
	bool asks;		/* the wait of the thread that drives the stack now: what comes, it finds */
	bool told;		/* who waits for it has an exclusive member's news, and has not looked yet */
	bool stack_turn;	/* the kernel's side was served last by a wait with room for one event */
	uint32_t halves_turn;	/* odd: its halves in sister stacks are looked at first, the next time; atomic */
	fs_ns kernel_looked;	/* when the kernel's half was last asked */
	uint32_t kernel_looks;	/* how often */
	bool kernel_empty;	/* and had nothing, the last time; whoever watches it has heard of nothing since */
};

/* Bits of a tag below the key; see epoll_tag(). */
#define EPOLL_TAG_SHIFT 36
#define EPOLL_TAG_OFFSET ((1ULL << EPOLL_TAG_SHIFT) - 1)

void epoll_set_init(struct epoll_set *set, struct slab *items, uint64_t key);

/* One more, one less descriptor or call of the process in @slot. One less than none is none: in a child, the
 * calls that its parent was in are the parent's to end. */
void epoll_set_hold(struct epoll_set *set, unsigned slot);
void epoll_set_let(struct epoll_set *set, unsigned slot);

/* The process of @slot is gone, and with it what it held and who slept. */
void epoll_set_forget(struct epoll_set *set, unsigned slot);

/* Does any process hold it? */
bool epoll_set_is_held(const struct epoll_set *set);

/* Does no process hold it but that of @slot, nor wait for it as an heir? */
bool epoll_set_is_alone(const struct epoll_set *set, unsigned slot);

/* Tells a set from another one in the same memory, for descriptor tables; never 0 for a live one. */
static inline uint32_t epoll_set_generation(const struct epoll_set *set)
{
	return (uint32_t)(set->key >> EPOLL_TAG_SHIFT);
}

/* The set ends: take every registration out, its own with others too. Its generation is 0 from now on. */
void epoll_set_clear(struct epoll_set *set);

/* What is registered: one of the two, the other is NULL. */
struct epoll_member {
	struct sock *sock;
	struct epoll_set *inner;
};

/* The member as it was registered by the number @fd, NULL = it was not. */
struct epoll_item *epoll_item_find(struct epoll_set *set, struct epoll_member member, int fd);

/* EPOLL_CTL_ADD's half: 0 or -ENOMEM; the caller has made sure that it is not there yet, and that no set comes to hold
 * itself. *item is what was made. Readiness that exists already counts as an edge. */
int epoll_item_add(struct epoll_set *set, struct epoll_member member, int fd, const struct epoll_event *event,
		   struct epoll_item **item);

/* EPOLL_CTL_MOD's: arms a one-shot anew, evaluates readiness. */
void epoll_item_modify(struct epoll_item *item, const struct epoll_event *event);

/* EPOLL_CTL_DEL's; its memory is free. */
void epoll_item_remove(struct epoll_item *item);

/* Data of the one event that tells waiters asleep in the kernel's own epoll_wait() to look again. */
static inline uint64_t epoll_wake_tag(const struct epoll_set *set)
{
	return set->key | EPOLL_TAG_OFFSET;
}

/*
 * Data to give the kernel for this item: the set's random key above its offset in the stack's slot of
 * address space. A program's own data meet the key by chance once in 2^28.
 */
static inline uint64_t epoll_tag(const struct epoll_item *item)
{
	return (item->set->key & ~EPOLL_TAG_OFFSET) | ((uintptr_t)item & EPOLL_TAG_OFFSET);
}

/* The item the kernel's event belongs to; NULL = a kernel member's own data. An item that went since
 * the kernel reported it gives NULL and sets *gone. */
struct epoll_item *epoll_item_from_tag(struct epoll_set *set, uint64_t data, bool *gone);

/* Something of @kind (EPOLLIN, ...) became true of @s, or more so: queue the registrations that ask for it; of
 * exclusive ones (EPOLLEXCLUSIVE) in the order in which they were made, up to the first whose set somebody waits for.
 * As the next two. */
uint32_t epoll_sock_news(struct sock *s, uint32_t kind);

/* @set has something new: queue the registrations by which it is in others. Who sleeps for it or for one of them, by
 * bit of the process's slot. */
uint32_t epoll_set_news(struct epoll_set *set);

/* A wait had no room for all that @set has: of what it leaves the exclusive members are others' to take. As above. */
uint32_t epoll_pass_on(struct epoll_set *set);

/* A socket gained a datagram: queue its registrations. Who sleeps for sets that have something new by it,
 * by bit of the process's slot. */
uint32_t epoll_sock_readable(struct sock *s);

/* The same for a message in the stack's half of its error queue. */
uint32_t epoll_sock_error(struct sock *s);

/* A new answer begins: every item may appear in it once. */
void epoll_begin(struct epoll_set *set);

/*
 * Move up to @n events of ready members to @events, oldest first; level-triggered ones stay queued
 * behind the rest while they are ready. Returns how many.
 */
unsigned epoll_collect(struct epoll_set *set, struct epoll_event *events, unsigned n);

/*
 * The kernel reported @events for @item's shadow: make it the program's event in *@out, merged with
 * what the stack has. False when the member is disarmed and nothing is to be reported.
 */
bool epoll_merge(struct epoll_item *item, uint32_t events, struct epoll_event *out);

/* Would epoll_collect() find anything? Without side effects. */
bool epoll_set_ready(const struct epoll_set *set);

#endif
