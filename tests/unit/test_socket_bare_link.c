/* SPDX-License-Identifier: BSD-2-Clause */
/* Bare connections over links in sets: who is rung, whom a set asks, and what it tells. Both sides of a link are here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "local_rig.h"
#include "socket/bare.h"
#include "socket/epoll.h"

enum { MINE = 3, OTHER = STATS_MAX_PROCS - 1 };

static struct bare bare;
static struct epoll_set set;
static struct list news[STATS_MAX_PROCS];
static struct local_conn *ends[2]; /* of these the second is bare */

static int setup(void **state)
{
	rig_setup(state);
	rig_connect(*state, ends);
	memset(&bare, 0, sizeof(bare));
	memset(&set, 0, sizeof(set));
	epoll_set_init(&set, NULL, 1);
	for (unsigned i = 0; i < STATS_MAX_PROCS; i++)
		list_init(&news[i]);
	ends[1]->user = bare_word(&bare, MINE);
	bare_bind_link(&bare, ends[1]);
	return 0;
}

static unsigned count(void)
{
	struct epoll_event events[4];

	return bare_collect(&set, MINE, events, 4);
}

/* Bytes come, and what was asked for is told: to whom it rings. */
static uint32_t arrive(struct rig *r, unsigned here)
{
	assert_int_equal(rig_send(ends[0], "x", 1, 0), 1);
	r->side[1].told = NULL;
	rig_settle(r);
	return r->side[1].told ? bare_link_event(r->side[1].told, here, news) : 0;
}

static void bare_bind_link__the_word_is_the_connections(void **state)
{
	bare_asleep(&bare, true);
	assert_true(bare_is(ends[1]->user));
	assert_ptr_equal(bare_of(ends[1]->user), &bare);
	assert_int_equal(bare_sleepers(ends[1]->user), 1 << MINE);
	bare_asleep(&bare, false);
	assert_int_equal(bare_sleepers(ends[1]->user), 0);
	bare.local = NULL; /* it is gone */
	bare_asleep(&bare, true);
	assert_int_equal(bare_sleepers(ends[1]->user), 0);
}

/* Who has nothing when it is looked at is asked once, told once, and stays while it is ready. */
static void bare_collect__asks_who_has_nothing(void **state)
{
	struct rig *r = *state;
	char byte;

	assert_int_equal(arrive(r, MINE), 0);
	assert_null(r->side[1].told); /* nobody had asked */
	bare_join(&bare, &set, &news[MINE]);
	assert_true(bare_any(&set, MINE));
	assert_int_equal(count(), 1);
	assert_int_equal(rig_recv(ends[1], &byte, 1, 0), 1);
	assert_int_equal(count(), 0);
	assert_true(list_is_empty(&set.bare_links));
	sleepers_add(&set.sleepers, MINE);
	assert_int_equal(arrive(r, MINE), 1 << MINE);
	assert_int_equal(count(), 1);
	assert_int_equal(count(), 1);
}

static void bare_collect__room_is_told_to_who_wants_it(void **state)
{
	struct rig *r = *state;
	static char bytes[1 << LOCAL_ORDER_MIN];

	bare_join(&bare, &set, &news[MINE]);
	while (rig_send(ends[1], bytes, sizeof(bytes), 0) > 0)
		continue;
	assert_int_equal(count(), 0);
	bare.wants_out = true;
	bare_look_again(&bare);
	assert_int_equal(count(), 0);
	r->side[1].told = NULL;
	while (rig_recv(ends[0], bytes, sizeof(bytes), 0) > 0)
		continue;
	rig_settle(r);
	assert_ptr_equal(r->side[1].told, ends[1]);
	bare_link_event(ends[1], MINE, news);
	assert_int_equal(bare_ready(&bare), EPOLLOUT);
	assert_int_equal(count(), 1);
}

static void bare_collect__not_who_is_paused(void **state)
{
	struct rig *r = *state;

	bare.paused = true;
	bare_join(&bare, &set, &news[MINE]);
	assert_int_equal(count(), 0);
	arrive(r, MINE);
	assert_null(r->side[1].told);
	bare.paused = false;
	bare_join(&bare, &set, &news[MINE]);
	assert_int_equal(count(), 1);
}

/* Whoever drives follows no pointer of another process. */
static void bare_link_event__of_another_process(void **state)
{
	bare_join(&bare, &set, &news[MINE]);
	assert_int_equal(count(), 0);
	assert_int_equal(arrive(*state, OTHER), 1 << MINE);
	assert_ptr_equal(list_first(&news[MINE]), &ends[1]->queued);
	assert_false(bare_any(&set, MINE));
	bare_link_sort(&news[MINE]);
	assert_true(list_is_empty(&news[MINE]));
	assert_int_equal(count(), 1);
}

/* A child may look at its parent's set: it has not what is in it, and leaves it there. */
static void bare_collect__of_another_process(void **state)
{
	struct epoll_event events[4];

	bare_join(&bare, &set, &news[MINE]);
	assert_int_equal(count(), 0);
	arrive(*state, MINE);
	assert_false(bare_any(&set, OTHER));
	assert_int_equal(bare_collect(&set, OTHER, events, 4), 0);
	assert_int_equal(count(), 1);
	assert_true(bare_is_own(&bare, MINE));
	assert_false(bare_is_own(&bare, OTHER));
}

/* Of the engine's members and those over links neither kind keeps the other from being told. */
static void bare_collect__both_kinds_take_turns(void **state)
{
	static struct tcp_stack tcp;
	struct tcp_conn conn = { .stack = &tcp, .state = TCP_ESTABLISHED, .options.rcvlowat = 1, .rcv_nxt = 10 };
	struct bare engines = { 0 };
	struct epoll_event events[4];
	unsigned told = 0;

	bare_bind(&engines, &conn, MINE);
	bare_join(&engines, &set, &news[MINE]);
	bare_join(&bare, &set, &news[MINE]);
	assert_int_equal(count(), 1);
	arrive(*state, MINE);
	for (unsigned turn = 0; turn < 6; turn++) {
		assert_int_equal(bare_collect(&set, MINE, events, 1), 1);
		told += events[0].data.ptr == &bare;
		assert_int_equal(bare_collect(&set, MINE, events, 0), 0); /* what has no room for either is no turn */
	}
	assert_int_equal(told, 3);
	assert_int_equal(count(), 2);
	list_remove(&conn.queue);
}

static void bare_link_sort__who_is_in_no_set(void **state)
{
	bare_ask_link(&bare);
	assert_int_equal(arrive(*state, OTHER), 1 << MINE);
	bare_link_sort(&news[MINE]);
	assert_false(list_is_linked(&ends[1]->queued));
}

/* It is in the list of those that connect, joins and leaves no other, and has nothing to tell. */
static void bare_join__while_it_connects(void **state)
{
	struct list connecting;

	list_init(&connecting);
	list_push_back(&connecting, &ends[1]->queued);
	ends[1]->own.settling = true;
	bare_join(&bare, &set, &news[MINE]);
	assert_ptr_equal(list_first(&connecting), &ends[1]->queued);
	assert_int_equal(count(), 0);
	bare_join(&bare, NULL, &news[MINE]);
	assert_ptr_equal(list_first(&connecting), &ends[1]->queued);
	bare.wants_out = true;
	ends[1]->state = LOCAL_OVER;
	assert_int_equal(bare_ready(&bare), 0);
	ends[1]->state = LOCAL_ESTABLISHED;
	assert_int_equal(bare_ready(&bare), EPOLLOUT);
	list_take(&ends[1]->queued);
}

static void bare_ready__an_end_is_told(void **state)
{
	local_close(ends[0]);
	rig_settle(*state);
	assert_int_equal(bare_ready(&bare), EPOLLIN | EPOLLRDHUP);
	bare.paused = true;
	assert_int_equal(bare_ready(&bare), 0);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(bare_bind_link__the_word_is_the_connections),
		CASE(bare_collect__asks_who_has_nothing),
		CASE(bare_collect__room_is_told_to_who_wants_it),
		CASE(bare_collect__not_who_is_paused),
		CASE(bare_link_event__of_another_process),
		CASE(bare_collect__of_another_process),
		CASE(bare_collect__both_kinds_take_turns),
		CASE(bare_link_sort__who_is_in_no_set),
		CASE(bare_join__while_it_connects),
		CASE(bare_ready__an_end_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
