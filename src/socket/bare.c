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

void bare_bind(struct bare *bare, struct tcp_conn *conn, unsigned slot)
{
	bare->conn = conn;
	conn->user = (void *)((uintptr_t)bare | (uintptr_t)slot << BARE_SLOT_SHIFT | 1);
}

static void list_once(struct list *where, struct tcp_conn *conn)
{
	if (!list_is_linked(&conn->queue))
		list_push_back(where, &conn->queue);
}

uint32_t bare_event(struct tcp_conn *conn, uint32_t edges, unsigned here, struct list *news)
{
	unsigned slot = bare_slot(conn);
	uint32_t ring = bare_sleepers(conn);
	const struct bare *bare;

	if (slot != here) {
		list_once(&news[slot], conn);
		return 1U << slot;
	}
	bare = bare_of(conn);
	if (bare->set) {
		list_once(&bare->set->bare, conn);
		return ring | bare->set->sleepers.slots;
	}
	if (edges & TCP_READY_HUP)
		list_once(&news[slot], conn); /* out of the engine's tables: else nobody finds it when the owner is gone */
	return ring;
}

void bare_sort(struct list *news)
{
	struct list *e, *following;

	LIST_FOR_EACH_SAFE(e, following, news) {
		struct tcp_conn *conn = FS_CONTAINER_OF(e, struct tcp_conn, queue);
		const struct bare *bare = bare_of(conn);

		if (bare->set) {
			list_take(e);
			list_push_back(&bare->set->bare, e);
		} else if (conn->state != TCP_CLOSED) {
			list_take(e);
		}
	}
}

void bare_join(struct bare *bare, struct epoll_set *set, struct list *news)
{
	if (bare->moved)
		return;
	bare->set = set;
	if (!bare->conn)
		return;
	list_remove(&bare->conn->queue);
	if (set || bare->conn->state == TCP_CLOSED)
		list_push_back(set ? &set->bare : news, &bare->conn->queue);
}

uint32_t bare_ready(const struct bare *bare)
{
	uint32_t have = sock_poll_bits(tcp_ready(bare->conn));

	return have & (EPOLLERR | EPOLLHUP | (bare->paused ? 0 : EPOLLIN | EPOLLRDHUP) | (bare->wants_out ? EPOLLOUT : 0));
}

unsigned bare_collect(struct epoll_set *set, struct epoll_event *events, unsigned n)
{
	struct list again, *e;
	unsigned got = 0;

	if (set->moved && n > 0) {
		set->moved = false;
		events[got++] = (struct epoll_event){ 0 };
	}
	list_init(&again);
	while (got < n && (e = list_pop_front(&set->bare)) != NULL) {
		struct bare *bare = bare_of(FS_CONTAINER_OF(e, struct tcp_conn, queue));
		uint32_t have = bare_ready(bare);

		if (!have)
			continue;
		events[got++] = (struct epoll_event){ .events = have, .data.ptr = bare };
		list_push_back(&again, e);
	}
	list_splice_back(&set->bare, &again);
	return got;
}

bool bare_any(const struct epoll_set *set)
{
	struct list *e;

	if (set->moved)
		return true;
	LIST_FOR_EACH(e, &set->bare)
		if (bare_ready(bare_of(FS_CONTAINER_OF(e, struct tcp_conn, queue))))
			return true;
	return false;
}
