/* SPDX-License-Identifier: BSD-2-Clause */
/* What the kernel says of its epoll sets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "host/epinfo.h"

enum { MEMBERS = 300 }; /* more lines than one read brings */

static int members[MEMBERS], set;

static int setup(void **state)
{
	set = epoll_create1(EPOLL_CLOEXEC);
	for (unsigned i = 0; i < MEMBERS; i++) {
		struct epoll_event event = { .events = EPOLLIN | EPOLLET, .data.u64 = 0xfedcba9800000000ULL + i };

		members[i] = eventfd(1, EFD_CLOEXEC);
		if (epoll_ctl(set, EPOLL_CTL_ADD, members[i], &event) < 0)
			return -1;
	}
	return 0;
}

static int teardown(void **state)
{
	for (unsigned i = 0; i < MEMBERS; i++)
		close(members[i]);
	return close(set);
}

static void host_epoll_interest__of_each_member(void **state)
{
	for (unsigned i = 0; i < MEMBERS; i++) {
		struct epoll_event event;

		assert_int_equal(host_epoll_interest(set, members[i], &event), 0);
		assert_int_equal(event.events, EPOLLIN | EPOLLET | EPOLLERR | EPOLLHUP);
		assert_int_equal(event.data.u64, 0xfedcba9800000000ULL + i);
	}
}

static void host_epoll_interest__one_shot_that_fired(void **state)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLONESHOT };
	int once = epoll_create1(EPOLL_CLOEXEC);

	assert_int_equal(epoll_ctl(once, EPOLL_CTL_ADD, members[0], &event), 0);
	assert_int_equal(epoll_wait(once, &event, 1, 1000), 1);
	assert_int_equal(host_epoll_interest(once, members[0], &event), 0);
	assert_int_equal(event.events, EPOLLONESHOT);
	close(once);
}

static void host_epoll_interest__neither_member_nor_set(void **state)
{
	struct epoll_event event;

	assert_int_equal(host_epoll_interest(set, set, &event), -ENOENT);
	assert_int_equal(host_epoll_interest(members[0], members[1], &event), -ENOENT);
	assert_int_equal(host_epoll_interest(1 << 20, members[1], &event), -ENOENT);
}

static void host_is_epoll__sets_alone(void **state)
{
	assert_true(host_is_epoll(set));
	assert_false(host_is_epoll(members[0]));
	assert_false(host_is_epoll(1 << 20));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(host_epoll_interest__of_each_member),
		T(host_epoll_interest__one_shot_that_fired),
		T(host_epoll_interest__neither_member_nor_set),
		T(host_is_epoll__sets_alone),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
