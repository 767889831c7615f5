/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * local_rig.h - both sides of a link in one test: an arena, two links on it, a listener on each side, events kept.
 *
 * Side 0 dialled the link. Messages move when a test lets a side poll. Include after cmocka.h.
 * Threads: one.
 */
#ifndef FSOCK_TESTS_UNIT_LOCAL_RIG_H
#define FSOCK_TESTS_UNIT_LOCAL_RIG_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/counter.h"
#include "local/link.h"

enum { RIG_SLOTS = 4, RIG_UNITS = 64, RIG_LISTENER = 77, RIG_PORT = 80, RIG_ALL = 1000, RIG_SEEN = 32 };

struct rig_side {
	struct local_link *link;
	struct local_listener listener;
	bool is_deaf;	 /* no listener is found */
	bool unwelcome;	 /* nobody who calls here is */
	bool is_unix;	 /* its listener is a Unix socket, which has no port */
	uint32_t most;	 /* units of the other side's that there is memory for; 0 = any */
	unsigned incoming, moved; /* calls of these */
	uint32_t edges;	 /* of all events since the last look */
	struct local_conn *told; /* by the last event */
	uint64_t counters[FS_CTR_N];
	unsigned n_seen; /* segments that were told to be captured: these, the last ones where there were more */
	struct local_segment seen[RIG_SEEN];
	size_t longest; /* of those */
};

struct rig {
	uint8_t *arena;
	struct local_agreed agreed;
	struct rig_side side[2];
};

static void rig_event(void *context, struct local_conn *conn, uint32_t edges)
{
	struct rig_side *s = context;

	s->edges |= edges;
	s->told = conn;
}

static void rig_incoming(void *context, struct local_listener *listener)
{
	struct rig_side *s = context;

	assert_ptr_equal(listener, &s->listener);
	s->incoming++;
}

static struct local_listener *rig_find(void *context, uint64_t id, const struct ip_addr *local, uint16_t port)
{
	struct rig_side *s = context;

	return s->is_deaf || id != RIG_LISTENER || port != (s->is_unix ? 0 : RIG_PORT) ? NULL : &s->listener;
}

static void rig_moved(void *context, struct local_conn *conn)
{
	struct rig_side *s = context;

	s->moved++;
}

static void rig_tap(void *context, const struct local_conn *conn, const struct local_segment *segment)
{
	struct rig_side *s = context;

	s->seen[s->n_seen++ % RIG_SEEN] = *segment;
	s->longest = FS_MAX(s->longest, segment->len);
}

static bool rig_affords(void *context, uint32_t units)
{
	struct rig_side *s = context;

	return s->most == 0 || units <= s->most;
}

static bool rig_admits(void *context, const struct local_conn *conn)
{
	struct rig_side *s = context;

	return !s->unwelcome;
}

static const struct local_ops rig_ops = {
	rig_event, rig_incoming, rig_find, rig_moved, rig_tap, rig_affords, rig_admits
};

static int rig_setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	r->agreed = local_agree(RIG_SLOTS, RIG_UNITS);
	r->arena = aligned_alloc(LOCAL_PAGE, r->agreed.len);
	memset(r->arena, 0, r->agreed.len);
	local_arena_write(r->arena, &r->agreed);
	for (unsigned i = 0; i < 2; i++) {
		struct rig_side *s = &r->side[i];
		struct local_config config = {
			.ops = &rig_ops, .context = s, .counters = s->counters, .arena = r->arena, .side = i
		};
		size_t len = (local_link_len(&r->agreed) + FS_CACHE_LINE - 1) & ~(size_t)(FS_CACHE_LINE - 1);

		assert_int_equal(local_arena_read(r->arena, r->agreed.len, &config.agreed), 0);
		s->link = local_link_init(memset(aligned_alloc(FS_CACHE_LINE, len), 0, len), &config);
		local_listener_init(&s->listener, 2, NULL);
	}
	*state = r;
	return 0;
}

static int rig_teardown(void **state)
{
	struct rig *r = *state;

	for (unsigned i = 0; i < 2; i++)
		free(r->side[i].link);
	free(r->arena);
	free(r);
	return 0;
}

/* Both sides take all messages there are, until there are none. */
static inline void rig_settle(struct rig *r)
{
	while (local_link_poll(r->side[0].link, RIG_ALL) + local_link_poll(r->side[1].link, RIG_ALL) > 0)
		;
}

/* What was told to a side since this was asked last. */
static inline uint32_t rig_edges(struct rig *r, unsigned side)
{
	uint32_t edges = r->side[side].edges;

	r->side[side].edges = 0;
	return edges;
}

/* @side begins to connect, with the smallest rings. */
static inline struct local_conn *rig_dial(struct rig *r, unsigned side)
{
	static const uint8_t dialler[4] = { 127, 0, 0, 1 }, called[4] = { 127, 0, 0, 2 };
	struct local_call call = { .listener = RIG_LISTENER, .local = ip_addr_v4(dialler), .remote = ip_addr_v4(called),
				   .local_port = 4000, .remote_port = RIG_PORT, .send_order = LOCAL_ORDER_MIN,
				   .receive_order = LOCAL_ORDER_MIN };
	struct local_conn *conn = NULL;

	assert_int_equal(local_connect(r->side[side].link, &call, r, &conn), 0);
	return conn;
}

/* A connection that side 0 opened: ends[0] is its end, ends[1] side 1's. */
static inline void rig_connect(struct rig *r, struct local_conn *ends[2])
{
	ends[0] = rig_dial(r, 0);
	rig_settle(r);
	ends[1] = local_accept(&r->side[1].listener, r);
	assert_non_null(ends[1]);
	assert_int_equal(ends[0]->state, LOCAL_ESTABLISHED);
	assert_int_equal(ends[1]->state, LOCAL_ESTABLISHED);
	rig_edges(r, 0);
	rig_edges(r, 1);
}

static inline ssize_t rig_send(struct local_conn *conn, const void *bytes, size_t len, uint32_t flags)
{
	struct iovec iov = { (void *)(uintptr_t)bytes, len };

	return local_send(conn, &iov, 1, flags);
}

static inline ssize_t rig_recv(struct local_conn *conn, void *to, size_t len, uint32_t flags)
{
	struct iovec iov = { to, len };

	return local_recv(conn, &iov, 1, flags, 0);
}

/* The next bytes of @conn are @text, as many as were asked for. */
#define assert_reads(conn, text)                                                                                       \
	do {                                                                                                           \
		char got_[64] = "";                                                                                    \
		assert_int_equal(rig_recv(conn, got_, sizeof(got_), 0), strlen(text));                                 \
		assert_string_equal(got_, text);                                                                       \
	} while (0)

/* Both have closed, and nothing is left of it. */
static inline void rig_nothing_left(struct rig *r)
{
	rig_settle(r);
	assert_true(local_link_is_idle(r->side[0].link));
	assert_true(local_link_is_idle(r->side[1].link));
	assert_int_equal(r->side[0].link->half.used, 0);
	assert_int_equal(r->side[1].link->half.used, 0);
}

#endif
