/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bare.c - see bare.h.
 *
 * All is level-triggered: a connection stays in its set's list while it is ready, and leaves it at the next look after.
 */
#include "socket/bare.h"

#include "socket/epoll.h"
#include "socket/sock.h"

static_assert(STATS_MAX_PROCS <= 1 << BARE_SLOT_BITS, "slots fit into the word");

void *bare_word(struct bare *bare, unsigned slot)
{
	return (void *)((uintptr_t)bare | (uintptr_t)slot << BARE_SLOT_SHIFT | 1);
}

void bare_bind(struct bare *bare, struct tcp_conn *conn, unsigned slot)
{
	bare->conn = conn;
	bare->by_link = false;
	conn->user = bare_word(bare, slot);
}

void bare_bind_link(struct bare *bare, struct local_conn *conn)
{
	bare->local = conn;
	bare->by_link = true;
}

static void list_once(struct list *where, struct list *element)
{
	if (!list_is_linked(element))
		list_push_back(where, element);
}

uint32_t bare_event(struct tcp_conn *conn, uint32_t edges, unsigned here, struct list *news)
{
	unsigned slot = bare_slot(conn->user);
	uint32_t ring = bare_sleepers(conn->user);
	const struct bare *bare;

	if (slot != here) {
		list_once(&news[slot], &conn->queue);
		return 1U << slot;
	}
	bare = bare_of(conn->user);
	if (bare->set) {
		list_once(&bare->set->bare, &conn->queue);
		return ring | bare->set->sleepers.slots;
	}
	if (edges & TCP_READY_HUP) /* out of the engine's tables: else nobody finds it when the owner is gone */
		list_once(&news[slot], &conn->queue);
	return ring;
}

uint32_t bare_link_event(struct local_conn *conn, unsigned here, struct list *news)
{
	unsigned slot = bare_slot(conn->user);
	uint32_t ring = bare_sleepers(conn->user);
	const struct bare *bare;

	if (slot != here) {
		list_once(&news[slot], &conn->queued);
		return 1U << slot;
	}
	bare = bare_of(conn->user);
	if (!bare->set)
		return ring;
	list_once(&bare->set->bare_links, &conn->queued);
	return ring | bare->set->sleepers.slots;
}

void bare_sort(struct list *news)
{
	struct list *e, *following;

	LIST_FOR_EACH_SAFE(e, following, news) {
		struct tcp_conn *conn = FS_CONTAINER_OF(e, struct tcp_conn, queue);
		const struct bare *bare = bare_of(conn->user);

		if (bare->set) {
			list_take(e);
			list_push_back(&bare->set->bare, e);
		} else if (conn->state != TCP_CLOSED) {
			list_take(e);
		}
	}
}

/* Whoever is in no set is found by nobody's look, and need not be. */
void bare_link_sort(struct list *news)
{
	struct list *e;

	while ((e = list_pop_front(news)) != NULL) {
		const struct bare *bare = bare_of(FS_CONTAINER_OF(e, struct local_conn, queued)->user);

		if (bare->set)
			list_push_back(&bare->set->bare_links, e);
	}
}

/* One that connects is in a list of its own. */
void bare_look_again(struct bare *bare)
{
	if (bare->by_link && bare->local && bare->set)
		list_once(&bare->set->bare_links, &bare->local->queued);
}

void bare_join(struct bare *bare, struct epoll_set *set, struct list *news)
{
	if (bare->moved)
		return;
	bare->set = set;
	if (!bare->conn)
		return;
	if (bare->by_link) {
		if (!bare->local->own.settling)
			list_remove(&bare->local->queued);
		bare_look_again(bare);
		return;
	}
	list_remove(&bare->conn->queue);
	if (set || bare->conn->state == TCP_CLOSED)
		list_push_back(set ? &set->bare : news, &bare->conn->queue);
}

/* One that is on its way, or in vain so far, has nothing to tell. */
static uint32_t ready_bits(const struct bare *bare)
{
	if (!bare->by_link)
		return tcp_ready(bare->conn);
	return bare_link_waits(bare->local) ? 0 : local_ready(bare->local);
}

uint32_t bare_ready(const struct bare *bare)
{
	uint32_t have = sock_poll_bits(ready_bits(bare));

	return have & (EPOLLERR | EPOLLHUP | (bare->paused ? 0 : EPOLLIN | EPOLLRDHUP) | (bare->wants_out ? EPOLLOUT : 0));
}

/* One at a time: who is ready for either is not asked. */
void bare_ask_link(const struct bare *bare)
{
	if (!bare->by_link || !bare->local || bare->local->own.settling)
		return;
	local_conn_wait(bare->local, LOCAL_READY_IN);
	local_conn_wait(bare->local, LOCAL_READY_OUT);
}

/* The same for who is told of what it wants alone. It may have it by then. */
static uint32_t ready_or_asked(const struct bare *bare)
{
	uint32_t have = bare_ready(bare);

	if (have || bare->local->own.settling)
		return have;
	if (!bare->paused)
		local_conn_wait(bare->local, LOCAL_READY_IN);
	if (bare->wants_out)
		local_conn_wait(bare->local, LOCAL_READY_OUT);
	return bare_ready(bare);
}

/* Whose member @e of a set's list is. */
static const void *user_of_link(const struct list *e)
{
	return FS_CONTAINER_OF(e, struct local_conn, queued)->user;
}

static const void *user_of_engine(const struct list *e)
{
	return FS_CONTAINER_OF(e, struct tcp_conn, queue)->user;
}

/* Of one kind of members, as bare_collect(). Who has nothing is in no list from then on; @ready has seen to it that he is
 * told of. */
static inline __attribute__((always_inline)) unsigned collect(struct list *members, unsigned here,
							      const void *(*user_of)(const struct list *),
							      uint32_t (*ready)(const struct bare *),
							      struct epoll_event *events, unsigned n)
{
	struct list again, *e;
	unsigned got = 0;

	list_init(&again);
	while (got < n && (e = list_pop_front(members)) != NULL) {
		const void *user = user_of(e);
		bool ours = bare_slot(user) == here;
		uint32_t have = ours ? ready(bare_of(user)) : 0;

		if (have)
			events[got++] = (struct epoll_event){ .events = have, .data.ptr = bare_of(user) };
		if (have || !ours)
			list_push_back(&again, e);
	}
	list_splice_back(members, &again);
	return got;
}

static unsigned collect_links(struct epoll_set *set, unsigned here, struct epoll_event *events, unsigned n)
{
	return collect(&set->bare_links, here, user_of_link, ready_or_asked, events, n);
}

static unsigned collect_engines(struct epoll_set *set, unsigned here, struct epoll_event *events, unsigned n)
{
	return collect(&set->bare, here, user_of_engine, bare_ready, events, n);
}

/* Where the first left no room the others are first next time. */
unsigned bare_collect(struct epoll_set *set, unsigned here, struct epoll_event *events, unsigned n)
{
	bool links_first = set->links_first;
	unsigned got = 0;

	if (set->moved && n > 0) {
		set->moved = false;
		events[got++] = (struct epoll_event){ 0 };
	}
	got += (links_first ? collect_links : collect_engines)(set, here, events + got, n - got);
	if (got == n && n > 0)
		set->links_first = !links_first;
	return got + (links_first ? collect_engines : collect_links)(set, here, events + got, n - got);
}

static bool is_ready(const void *user, unsigned here)
{
	return bare_slot(user) == here && bare_ready(bare_of(user));
}

bool bare_any(const struct epoll_set *set, unsigned here)
{
	struct list *e;

	if (set->moved)
		return true;
	LIST_FOR_EACH(e, &set->bare)
		if (is_ready(user_of_engine(e), here))
			return true;
	LIST_FOR_EACH(e, &set->bare_links)
		if (is_ready(user_of_link(e), here))
			return true;
	return false;
}
