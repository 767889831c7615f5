/* SPDX-License-Identifier: BSD-2-Clause */
/* Bare connections in sets: who is rung, and what a set tells. The engine's connections are states made by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "socket/bare.h"
#include "socket/epoll.h"

enum { MINE = 3, OTHER = STATS_MAX_PROCS - 1, CONNS = 4 };

static struct tcp_stack tcp;
static struct tcp_conn conn[CONNS];
static struct bare bare[CONNS];
static struct epoll_set set;
static struct list news[STATS_MAX_PROCS];

static int setup(void **state)
{
	memset(conn, 0, sizeof(conn));
	memset(bare, 0, sizeof(bare));
	epoll_set_init(&set, NULL, 1);
	for (unsigned i = 0; i < STATS_MAX_PROCS; i++)
		list_init(&news[i]);
	for (unsigned i = 0; i < CONNS; i++) {
		conn[i].stack = &tcp;
		conn[i].state = TCP_ESTABLISHED;
		bare_bind(&bare[i], &conn[i], MINE);
	}
	return 0;
}

/* Bytes that can be read, or none. */
static void bytes(unsigned i, uint32_t n)
{
	conn[i].options.rcvlowat = 1;
	conn[i].rcv_nxt = conn[i].copied_seq + n;
}

static uint32_t arrive(unsigned i)
{
	bytes(i, 10);
	return bare_event(&conn[i], TCP_READY_IN, MINE, news);
}

static unsigned count(void)
{
	struct epoll_event events[CONNS];

	return bare_collect(&set, MINE, events, CONNS);
}

static void bare_bind__the_word_holds_all(void **state)
{
	bare_asleep(&bare[0], true);
	bare_asleep(&bare[0], true);
	assert_true(bare_is(conn[0].user));
	assert_ptr_equal(bare_of(conn[0].user), &bare[0]);
	assert_int_equal(bare_slot(conn[0].user), MINE);
	bare_bind(&bare[1], &conn[1], OTHER);
	assert_int_equal(bare_slot(conn[1].user), OTHER);
	assert_ptr_equal(bare_of(conn[1].user), &bare[1]);
}

static void bare_event__rings_who_sleeps(void **state)
{
	assert_int_equal(arrive(0), 0);
	bare_asleep(&bare[0], true);
	bare_asleep(&bare[0], true);
	bare_asleep(&bare[0], false);
	assert_int_equal(arrive(0), 1 << MINE);
	bare_asleep(&bare[0], false);
	assert_int_equal(arrive(0), 0);
	bare_join(&bare[0], &set, &news[MINE]);
	assert_int_equal(arrive(0), 0);
	sleepers_add(&set.sleepers, MINE);
	assert_int_equal(arrive(0), 1 << MINE);
	assert_int_equal(arrive(1), 0); /* in no set */
}

/* Who wakes up finds the word of another connection, which counts others, or none. */
static void bare_asleep__until_it_is_gone(void **state)
{
	bare_asleep(&bare[0], true);
	bare[0].conn = NULL;
	bare_asleep(&bare[0], false);
	assert_int_equal(bare_sleepers(conn[0].user), 1 << MINE);
	bare_bind(&bare[0], &conn[1], MINE);
	bare_asleep(&bare[0], false);
	assert_ptr_equal(bare_of(conn[1].user), &bare[0]);
	assert_int_equal(bare_slot(conn[1].user), MINE);
	assert_int_equal(bare_sleepers(conn[1].user), 0);
}

/* Two sleep, one of them wakes up after another connection has taken the place: the other one is still rung. */
static void bare_carry_asleep__to_what_takes_the_place(void **state)
{
	const void *before;

	bare_asleep(&bare[0], true);
	bare_asleep(&bare[0], true);
	before = conn[0].user;
	bare_bind(&bare[0], &conn[1], MINE);
	bare_carry_asleep(before, &conn[1].user);
	assert_ptr_equal(bare_of(conn[1].user), &bare[0]);
	bare_asleep(&bare[0], false);
	assert_int_equal(bare_sleepers(conn[1].user), 1 << MINE);
	bare_asleep(&bare[0], false);
	assert_int_equal(bare_sleepers(conn[1].user), 0);
}

/* The kernel's half of the set has it then. */
static void bare_join__not_once_it_moved(void **state)
{
	bare[0].moved = 1;
	bare_join(&bare[0], &set, &news[MINE]);
	assert_null(bare[0].set);
	assert_int_equal(count(), 0);
}

/* Whoever drives follows no pointer of another process. */
static void bare_event__of_another_process(void **state)
{
	bare_bind(&bare[0], &conn[0], OTHER);
	conn[0].user = (void *)(((uintptr_t)conn[0].user & ~BARE_POINTER) | 0x7000);
	assert_int_equal(bare_event(&conn[0], TCP_READY_IN, MINE, news), 1U << OTHER);
	assert_int_equal(bare_event(&conn[0], TCP_READY_IN, STATS_MAX_PROCS, news), 1U << OTHER);
	assert_ptr_equal(list_first(&news[OTHER]), &conn[0].queue);
	assert_ptr_equal(list_last(&news[OTHER]), &conn[0].queue);
	list_take(&conn[0].queue);
}

static void bare_sort__news_go_to_their_sets(void **state)
{
	bare_join(&bare[0], &set, &news[MINE]);
	assert_int_equal(count(), 0); /* joined, and not ready: it left the list */
	bytes(0, 1);
	bytes(1, 1);
	bare_event(&conn[0], TCP_READY_IN, OTHER, news);
	bare_event(&conn[1], TCP_READY_IN, OTHER, news);
	bare_sort(&news[MINE]);
	assert_true(list_is_empty(&news[MINE])); /* the other is in no set, and lives */
	assert_int_equal(count(), 1);
}

/* One that ended is in no table of the engine's: its process's end must find it. */
static void bare_sort__who_ended_stays_known(void **state)
{
	conn[0].state = TCP_CLOSED;
	bare_event(&conn[0], TCP_READY_HUP, MINE, news);
	bare_sort(&news[MINE]);
	assert_ptr_equal(list_first(&news[MINE]), &conn[0].queue);
	bare_join(&bare[0], &set, &news[MINE]);
	assert_true(list_is_empty(&news[MINE]));
	bare_join(&bare[0], NULL, &news[MINE]);
	assert_ptr_equal(list_first(&news[MINE]), &conn[0].queue);
}

static void bare_collect__is_level_triggered_and_fair(void **state)
{
	struct epoll_event events[CONNS];

	for (unsigned i = 0; i < 3; i++) {
		bare_join(&bare[i], &set, &news[MINE]);
		arrive(i);
	}
	assert_true(bare_any(&set, MINE));
	for (unsigned turn = 0; turn < 6; turn++) {
		assert_int_equal(bare_collect(&set, MINE, events, 1), 1);
		assert_ptr_equal(events[0].data.ptr, &bare[turn % 3]);
		assert_int_equal(events[0].events, EPOLLIN);
	}
	assert_int_equal(bare_collect(&set, MINE, events, CONNS), 3);
	bytes(1, 0);
	assert_int_equal(count(), 2);
	arrive(1);
	assert_int_equal(count(), 3);
	for (unsigned i = 0; i < 3; i++)
		bytes(i, 0);
	assert_false(bare_any(&set, MINE));
	assert_int_equal(count(), 0);
	assert_true(list_is_empty(&set.bare));
}

static void bare_ready__tells_what_was_asked_for(void **state)
{
	conn[0].sndbuf = 10000;
	bytes(0, 1);
	assert_int_equal(bare_ready(&bare[0]), EPOLLIN);
	bare[0].wants_out = true;
	assert_int_equal(bare_ready(&bare[0]), EPOLLIN | EPOLLOUT);
	bare[0].paused = true;
	assert_int_equal(bare_ready(&bare[0]), EPOLLOUT);
	conn[0].error = ECONNRESET;
	assert_true(bare_ready(&bare[0]) & EPOLLERR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(bare_bind__the_word_holds_all, setup),
		cmocka_unit_test_setup(bare_event__rings_who_sleeps, setup),
		cmocka_unit_test_setup(bare_asleep__until_it_is_gone, setup),
		cmocka_unit_test_setup(bare_carry_asleep__to_what_takes_the_place, setup),
		cmocka_unit_test_setup(bare_join__not_once_it_moved, setup),
		cmocka_unit_test_setup(bare_event__of_another_process, setup),
		cmocka_unit_test_setup(bare_sort__news_go_to_their_sets, setup),
		cmocka_unit_test_setup(bare_sort__who_ended_stays_known, setup),
		cmocka_unit_test_setup(bare_collect__is_level_triggered_and_fair, setup),
		cmocka_unit_test_setup(bare_ready__tells_what_was_asked_for, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
