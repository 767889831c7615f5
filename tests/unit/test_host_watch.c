/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Epoll sets watched through io_uring. Where the kernel denies io_uring the tests of what it does are
 * skipped; the promises that hold without it are tested everywhere.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/clock.h"
#include "host/watch.h"

struct rig {
	struct host_watch *watch;
	int epfd, event;
};

static struct rig r;

static int new_set(int event)
{
	struct epoll_event e = { .events = EPOLLIN };
	int epfd = epoll_create1(EPOLL_CLOEXEC);

	assert_int_equal(epoll_ctl(epfd, EPOLL_CTL_ADD, event, &e), 0);
	return epfd;
}

static int setup(void **state)
{
	int error = 0;

	r.watch = host_watch_open(300, &error);
	r.event = eventfd(0, EFD_NONBLOCK);
	r.epfd = new_set(r.event);
	return 0;
}

static int teardown(void **state)
{
	host_watch_close(r.watch);
	close(r.epfd);
	return close(r.event);
}

static void need_uring(void)
{
	if (!r.watch)
		skip();
}

static void ring(void)
{
	uint64_t one = 1;

	assert_int_equal(write(r.event, &one, sizeof(one)), sizeof(one));
}

static void empty(void)
{
	uint64_t value;

	assert_int_equal(read(r.event, &value, sizeof(value)), sizeof(value));
}

/* Is it ready within 2 s? Completions come when the kernel runs this thread's work. */
static bool becomes_ready(void)
{
	fs_ns end = host_clock_kernel() + FS_SEC(2);

	while (host_clock_kernel() < end) {
		if (host_watch_ready(r.watch, r.epfd))
			return true;
		usleep(100);
	}
	return false;
}

static void host_watch_ready__without_a_ring(void **state)
{
	assert_false(host_watch_ready(NULL, r.epfd));
	host_watch_forget(NULL, r.epfd);
	host_watch_close(NULL);
}

static void host_watch_open__denied(void **state)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct rlimit none = { 3, 3 };
		int error = 0;

		setrlimit(RLIMIT_NOFILE, &none);
		_exit(!host_watch_open(300, &error) && error < 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void host_watch_ready__says_true_once_at_first(void **state)
{
	need_uring();
	assert_true(host_watch_ready(r.watch, r.epfd));
	assert_false(host_watch_ready(r.watch, r.epfd));
	usleep(1000);
	assert_false(host_watch_ready(r.watch, r.epfd));
}

static void host_watch_ready__each_news(void **state)
{
	need_uring();
	assert_true(host_watch_ready(r.watch, r.epfd));
	for (int i = 0; i < 5; i++) {
		ring();
		assert_true(becomes_ready());
		empty();
		while (host_watch_ready(r.watch, r.epfd))
			continue;
	}
}

static void host_watch_end__another_ring_in_its_pages(void **state)
{
	need_uring();
	assert_true(host_watch_ready(r.watch, r.epfd));
	assert_true(host_watch_covers(r.watch, r.epfd));
	host_watch_end(r.watch);
	assert_int_equal(*host_watch_fd(r.watch), -1);
	host_watch_end(r.watch);
	assert_int_equal(host_watch_begin(r.watch, 300), 0);
	assert_true(*host_watch_fd(r.watch) >= 300);
	assert_false(host_watch_covers(r.watch, r.epfd));
	assert_true(host_watch_ready(r.watch, r.epfd));
	while (host_watch_ready(r.watch, r.epfd))
		continue;
	ring();
	assert_true(becomes_ready());
}

/* What wakes the set is known in the same step, whoever did it. */
static void host_watch_covers__at_once(void **state)
{
	int status;

	need_uring();
	assert_false(host_watch_covers(NULL, r.epfd));
	assert_false(host_watch_covers(r.watch, r.epfd));
	while (host_watch_ready(r.watch, r.epfd))
		continue;
	for (int i = 0; i < 50; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			uint64_t one = 1;

			_exit(write(r.event, &one, sizeof(one)) == sizeof(one) ? 0 : 1);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
		assert_true(host_watch_covers(r.watch, r.epfd));
		assert_true(host_watch_ready(r.watch, r.epfd));
		empty();
		while (host_watch_ready(r.watch, r.epfd))
			continue;
	}
}

static void host_watch_ready__several_sets(void **state)
{
	int silent = eventfd(0, EFD_NONBLOCK), other = new_set(silent);

	need_uring();
	assert_true(host_watch_ready(r.watch, r.epfd));
	assert_true(host_watch_ready(r.watch, other));
	ring();
	assert_true(becomes_ready());
	assert_false(host_watch_ready(r.watch, other));
	close(other);
	close(silent);
}

static void host_watch_ready__more_sets_than_places(void **state)
{
	int sets[WATCH_MAX];

	need_uring();
	for (int i = 0; i < WATCH_MAX; i++) {
		sets[i] = new_set(r.event);
		assert_true(host_watch_ready(r.watch, sets[i]));
	}
	assert_false(host_watch_ready(r.watch, r.epfd)); /* looked at in intervals instead */
	host_watch_forget(r.watch, sets[7]);
	assert_true(host_watch_ready(r.watch, r.epfd)); /* its place is free */
	for (int i = 0; i < WATCH_MAX; i++)
		close(sets[i]);
}

static void host_watch_forget__no_news_of_the_former_set(void **state)
{
	need_uring();
	assert_true(host_watch_ready(r.watch, r.epfd));
	host_watch_forget(r.watch, r.epfd);
	host_watch_forget(r.watch, 9999); /* never watched */
	ring();
	usleep(1000);
	/* Watched anew: true once, then what is pending is reported. */
	assert_true(host_watch_ready(r.watch, r.epfd));
	empty();
	while (host_watch_ready(r.watch, r.epfd))
		continue;
	assert_false(host_watch_ready(r.watch, r.epfd));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(host_watch_ready__without_a_ring),
		T(host_watch_open__denied),
		T(host_watch_ready__says_true_once_at_first),
		T(host_watch_ready__each_news),
		T(host_watch_end__another_ring_in_its_pages),
		T(host_watch_covers__at_once),
		T(host_watch_ready__several_sets),
		T(host_watch_ready__more_sets_than_places),
		T(host_watch_forget__no_news_of_the_former_set),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
