/* SPDX-License-Identifier: BSD-2-Clause */
/* epoll.c - epoll over datagram sockets and kernel descriptors. P42-P44, P47, EP01-EP31. */
#include "record.h"
#include "epoll_calls.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

static unsigned char buf[2048];

CASE_FAST(level)
{
	int ep = epoll_create1(EPOLL_CLOEXEC), fd = udp_bound(PORT_HERE);

	CALL(add(ep, fd, EPOLLIN, 0x1122334455667788));
	wait_for(ep, 8, 0);
	deliver(PORT_HERE, 10, 2);
	wait_for(ep, 8, 1000);
	wait_for(ep, 8, 0);
	CALL(recv(fd, buf, 100, 0));
	wait_for(ep, 8, 0);
	CALL(recv(fd, buf, 100, 0));
	wait_for(ep, 8, 0);
	CALL(mod(ep, fd, EPOLLIN | EPOLLOUT, 2));
	wait_for(ep, 8, 0);
	CALL(mod(ep, fd, EPOLLOUT, 3));
	deliver(PORT_HERE, 10, 1);
	wait_for(ep, 8, 0);
	CALL(mod(ep, fd, 0, 4));
	wait_for(ep, 8, 0);
	CALL(mod(ep, fd, EPOLLIN | EPOLLRDHUP | EPOLLPRI, 5));
	wait_for(ep, 8, 0);
}

CASE_FAST(waits)
{
	int ep = epoll_create1(0), fd = udp_bound(PORT_HERE);

	CALL(add(ep, fd, EPOLLIN, 1));
	CALL_TIMED(wait_for(ep, 8, 100), 100);
	peer("later 150 %d 30 1", PORT_HERE);
	CALL_TIMED(wait_for(ep, 8, 60000), 0);
	CALL(recv(fd, buf, 100, MSG_DONTWAIT));
	peer("later 150 %d 30 1", PORT_HERE);
	CALL_TIMED(wait_for(ep, 8, -1), 0);
	CALL(recv(fd, buf, 100, MSG_DONTWAIT));
	CALL_TIMED(wait_for(ep, 8, 0), 0);
	CALL_TIMED(wait_for(ep, 8, 1), 1);
}

/* One edge per arrival, also while unread datagrams remain. EP08 */
CASE_FAST(edge)
{
	int ep = epoll_create1(0), fd = udp_bound(PORT_HERE);

	CALL(add(ep, fd, EPOLLIN | EPOLLET, 1));
	deliver(PORT_HERE, 10, 1);
	wait_for(ep, 8, 1000);
	wait_for(ep, 8, 0);
	deliver(PORT_HERE, 10, 1);
	wait_for(ep, 8, 1000);
	wait_for(ep, 8, 0);
	CALL(recv(fd, buf, 100, 0));
	wait_for(ep, 8, 0);
	CALL(recv(fd, buf, 100, 0));
	CALL(recv(fd, buf, 100, MSG_DONTWAIT));
	wait_for(ep, 8, 0);
	deliver(PORT_HERE, 10, 1);
	wait_for(ep, 8, 1000);
	CALL(mod(ep, fd, EPOLLIN | EPOLLET, 2));
	wait_for(ep, 8, 0);
	wait_for(ep, 8, 0);
}

CASE(edge_writable)
{
	int ep = epoll_create1(0), fd = udp_connected(PORT_HERE, PORT_SINK);

	CALL(add(ep, fd, EPOLLOUT | EPOLLET, 1));
	wait_for(ep, 8, 0);
	wait_for(ep, 8, 0);
	CALL(mod(ep, fd, EPOLLIN | EPOLLOUT | EPOLLET, 1));
	wait_for(ep, 8, 0);
	wait_for(ep, 8, 0);
}

CASE_FAST(oneshot)
{
	int ep = epoll_create1(0), fd = udp_bound(PORT_HERE);

	CALL(add(ep, fd, EPOLLIN | EPOLLONESHOT, 1));
	deliver(PORT_HERE, 10, 1);
	wait_for(ep, 8, 1000);
	wait_for(ep, 8, 0);
	deliver(PORT_HERE, 10, 1);
	wait_for(ep, 8, 50);
	CALL(mod(ep, fd, EPOLLIN | EPOLLONESHOT, 2));
	wait_for(ep, 8, 0);
	wait_for(ep, 8, 0);
	CALL(recv(fd, buf, 100, 0));
	CALL(recv(fd, buf, 100, 0));
	CALL(mod(ep, fd, EPOLLIN | EPOLLONESHOT, 3));
	wait_for(ep, 8, 0);
	deliver(PORT_HERE, 10, 1);
	wait_for(ep, 8, 1000);
}

CASE(control_errors)
{
	struct epoll_event e = { .events = EPOLLIN };
	int ep = epoll_create1(0), fd = udp_bound(PORT_HERE), gone = udp(), file = open("/proc/self/stat", O_RDONLY);

	close(gone);
	CALL(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
	CALL(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
	CALL(epoll_ctl(ep, EPOLL_CTL_MOD, 0, &e));
	CALL(epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL));
	CALL(epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL));
	CALL(epoll_ctl(ep, EPOLL_CTL_MOD, fd, &e));
	CALL(epoll_ctl(ep, 77, fd, &e));
	CALL(epoll_ctl(ep, EPOLL_CTL_ADD, gone, &e));
	CALL(epoll_ctl(ep, EPOLL_CTL_ADD, -1, &e));
	CALL(epoll_ctl(-1, EPOLL_CTL_ADD, fd, &e));
	CALL(epoll_ctl(fd, EPOLL_CTL_ADD, fd, &e));
	CALL(epoll_ctl(fd, EPOLL_CTL_ADD, ep, &e));
	CALL(epoll_ctl(ep, EPOLL_CTL_ADD, ep, &e));
	CALL(epoll_ctl(ep, EPOLL_CTL_ADD, file, &e));
	e.events = EPOLLIN | EPOLLEXCLUSIVE;
	CALL(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
	CALL(epoll_ctl(ep, EPOLL_CTL_MOD, fd, &e));
	e.events = EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT;
	CALL(epoll_ctl(ep, EPOLL_CTL_DEL, fd, &e));
	CALL(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
	CALL(epoll_wait(ep, &e, 0, 0));
	CALL(epoll_wait(ep, &e, hidden(-1), 0));
	CALL(epoll_wait(fd, &e, 1, 0));
	CALL(epoll_wait(-1, &e, 1, 0));
	CALL_FD(epoll_create(0));
	CALL_FD(epoll_create(-1));
	CALL_FD(epoll_create(1));
	CALL_FD(epoll_create1(0x77));
}

/* ADD before bind and connect; the registration stays valid. EP07 */
CASE_FAST(added_first)
{
	struct addr a = here(PORT_HERE), to = there(PORT_ECHO);
	int ep = epoll_create1(0), fd = udp();

	CALL(add(ep, fd, EPOLLIN, 1));
	wait_for(ep, 8, 0);
	CALL(bind(fd, SA(&a), a.len));
	deliver(PORT_HERE, 10, 1);
	wait_for(ep, 8, 1000);
	CALL(recv(fd, buf, 100, 0));
	CALL(connect(fd, SA(&to), to.len));
	CALL(send(fd, "x", 1, 0));
	wait_for(ep, 8, 1000);
	CALL(recv(fd, buf, 100, 0));
	CALL(mod(ep, fd, EPOLLIN, 2));
	CALL(send(fd, "x", 1, 0));
	wait_for(ep, 8, 1000);
}

CASE_FAST(two_sets_one_socket)
{
	int one = epoll_create1(0), two = epoll_create1(0), fd = udp_bound(PORT_HERE);

	CALL(add(one, fd, EPOLLIN, 1));
	CALL(add(two, fd, EPOLLIN | EPOLLET, 2));
	deliver(PORT_HERE, 10, 1);
	wait_for(one, 8, 1000);
	wait_for(two, 8, 1000);
	wait_for(one, 8, 0);
	wait_for(two, 8, 0);
	CALL(recv(fd, buf, 100, 0));
	wait_for(one, 8, 0);
	CALL(close(one));
	deliver(PORT_HERE, 10, 1);
	wait_for(two, 8, 1000);
}

CASE_FAST(nested)
{
	struct pollfd set;
	int inner = epoll_create1(0), outer = epoll_create1(0), fd = udp_bound(PORT_HERE);
	struct timeval limit = { 1, 0 };
	fd_set in;

	CALL(add(inner, fd, EPOLLIN, 1));
	CALL(add(outer, inner, EPOLLIN, 2));
	CALL(add(inner, outer, EPOLLIN, 3));
	wait_for(outer, 8, 0);
	set = (struct pollfd){ .fd = inner, .events = POLLIN };
	CALL(poll(&set, 1, 0));
	peer("later 150 %d 30 1", PORT_HERE);
	CALL_TIMED(wait_for(outer, 8, 60000), 0);
	wait_for(inner, 8, 0);
	CALL(poll(&set, 1, 1000));
	say("events %#x", (unsigned)set.revents);
	FD_ZERO(&in);
	FD_SET(inner, &in);
	CALL(select(inner + 1, &in, NULL, NULL, &limit));
	CALL(recv(fd, buf, 100, 0));
	wait_for(outer, 8, 0);
	CALL(poll(&set, 1, 0));
	peer("later 150 %d 30 1", PORT_HERE);
	CALL_TIMED(poll(&set, 1, 60000), 0);
}

/* Sets in sets, as deep as the kernel allows and one more; a loop over all of them. EP05 */
CASE_FAST(nested_deeply)
{
	enum { DEEP = 6 };
	int sets[DEEP], fd = udp_bound(PORT_HERE), i, last = 0;

	for (i = 0; i < DEEP; i++)
		sets[i] = epoll_create1(0);
	CALL(add(sets[0], fd, EPOLLIN, 1));
	for (i = 1; i < DEEP; i++)
		if (CALL(add(sets[i], sets[i - 1], EPOLLIN, (uint64_t)i)) == 0)
			last = i;
	CALL(add(sets[0], sets[last], EPOLLIN, 99));
	peer("later 150 %d 30 1", PORT_HERE);
	CALL_TIMED(wait_for(sets[last], 8, 60000), 0);
	for (i = last; i >= 0; i--)
		wait_for(sets[i], 8, 0);
	CALL(recv(fd, buf, 100, 0));
	wait_for(sets[last], 8, 0);
}

/* An outer set's wait, the inner one's, and the datagram. */
static void through(int outer, int inner, int fd)
{
	wait_for(outer, 8, 1000);
	wait_for(inner, 8, 1000);
	CALL(recv(fd, buf, 100, 0));
	wait_for(outer, 8, 0);
}

/* A set hears of members that a set in it gets later, by level, by edge and once; another one holds the same. */
CASE_FAST(nested_while_empty)
{
	int inner = epoll_create1(0), outer = epoll_create1(0), other = epoll_create1(0);
	int fd = udp_bound(PORT_HERE), second = udp_bound(PORT_HERE2);

	CALL(add(outer, inner, EPOLLIN, 0x1122334455667788));
	CALL(add(other, inner, EPOLLIN, 3));
	wait_for(outer, 8, 0);
	CALL(add(inner, fd, EPOLLIN, 2));
	CALL(add(outer, inner, EPOLLIN, 4));
	deliver(PORT_HERE, 10, 1);
	wait_for(other, 8, 1000);
	through(outer, inner, fd);
	wait_for(other, 8, 0);
	CALL(epoll_ctl(other, EPOLL_CTL_DEL, inner, NULL));
	CALL(mod(other, inner, EPOLLIN, 5));
	CALL(mod(outer, inner, EPOLLIN | EPOLLET, 6));
	deliver(PORT_HERE, 10, 1);
	wait_for(outer, 8, 1000);
	wait_for(outer, 8, 0);
	deliver(PORT_HERE, 10, 1);
	through(outer, inner, fd);
	CALL(recv(fd, buf, 100, 0));
	CALL(mod(outer, inner, EPOLLIN | EPOLLONESHOT, 7));
	deliver(PORT_HERE, 10, 1);
	through(outer, inner, fd);
	deliver(PORT_HERE, 10, 1);
	wait_for(outer, 8, 100);
	CALL(mod(outer, inner, EPOLLIN, 8));
	CALL(add(outer, second, EPOLLIN, 9));
	through(outer, inner, fd);
	deliver(PORT_HERE2, 10, 1);
	wait_for(outer, 8, 1000);
	CALL(close(inner));
	wait_for(outer, 8, 0);
}

/* The outer set has two numbers, as one that a library keeps a duplicate of. */
CASE_FAST(nested_in_a_set_with_two_numbers)
{
	int inner = epoll_create1(0), outer = epoll_create1(0), same = dup(outer);
	int fd = udp_bound(PORT_HERE);

	CALL(add(outer, inner, EPOLLIN, 0x1122334455667788));
	CALL(add(inner, fd, EPOLLIN, 2));
	deliver(PORT_HERE, 10, 1);
	wait_for(same, 8, 1000);
	through(outer, inner, fd);
	CALL(epoll_ctl(same, EPOLL_CTL_DEL, inner, NULL));
	deliver(PORT_HERE, 10, 1);
	wait_for(inner, 8, 1000);
	wait_for(outer, 8, 0);
}

/* The inner one has, and is in the outer one by the other. */
CASE_FAST(nested_by_another_number)
{
	int inner = epoll_create1(0), outer = epoll_create1(0), same = dup(inner);
	int fd = udp_bound(PORT_HERE);

	CALL(add(outer, same, EPOLLIN, 0x1122334455667788));
	CALL(add(inner, fd, EPOLLIN, 2));
	deliver(PORT_HERE, 10, 1);
	through(outer, inner, fd);
	CALL(epoll_ctl(outer, EPOLL_CTL_DEL, inner, NULL));
	CALL(epoll_ctl(outer, EPOLL_CTL_DEL, same, NULL));
	deliver(PORT_HERE, 10, 1);
	wait_for(outer, 8, 0);
}

/* What becomes the kernel's while it is in sets stays in them as it was. EP37, P48 */
CASE_BY(registered_and_moved, option)
{
	int level = epoll_create1(0), edge = epoll_create1(0), once = epoll_create1(0), fd = udp_bound(PORT_HERE);

	CALL(add(level, fd, EPOLLIN, 0x1122334455667788));
	CALL(add(edge, fd, EPOLLIN | EPOLLET, 2));
	CALL(add(once, fd, EPOLLIN | EPOLLONESHOT, 3));
	deliver(PORT_HERE, 10, 1);
	wait_for(level, 8, 1000);
	CALL(recv(fd, buf, 100, 0));
	CALL(fcntl(fd, F_SETFL, O_ASYNC));
	wait_for(level, 8, 0);
	deliver(PORT_HERE, 10, 1);
	wait_for(level, 8, 1000);
	wait_for(edge, 8, 1000);
	wait_for(edge, 8, 0);
	CALL(add(level, fd, EPOLLIN, 1));
	CALL(mod(once, fd, EPOLLIN | EPOLLONESHOT, 4));
	wait_for(once, 8, 1000);
	wait_for(once, 8, 0);
	CALL(recv(fd, buf, 100, 0));
	deliver(PORT_HERE, 10, 1);
	wait_for(edge, 8, 1000);
	wait_for(once, 8, 0);
	CALL(epoll_ctl(level, EPOLL_CTL_DEL, fd, NULL));
	wait_for(level, 8, 0);
	CALL(recv(fd, buf, 100, 0));
}

CASE_FAST(mixed)
{
	struct itimerspec tick = { .it_value.tv_nsec = 100000000 };
	int ep = epoll_create1(0), pipes[2], timer = timerfd_create(CLOCK_MONOTONIC, 0), event = eventfd(0, 0);
	int fd = udp_bound(PORT_HERE);
	uint64_t one = 1;

	if (pipe(pipes) < 0)
		fail("pipe");
	CALL(add(ep, fd, EPOLLIN, 1));
	CALL(add(ep, pipes[0], EPOLLIN, 2));
	CALL(add(ep, timer, EPOLLIN, 3));
	CALL(add(ep, event, EPOLLIN, 4));
	wait_for(ep, 8, 0);
	CALL(write(pipes[1], "x", 1));
	wait_for(ep, 8, 1000);
	CALL(timerfd_settime(timer, 0, &tick, NULL));
	CALL(read(pipes[0], buf, 1));
	CALL_TIMED(wait_for(ep, 8, 60000), 0);
	deliver(PORT_HERE, 10, 1);
	wait_for(ep, 8, 1000);
	CALL(read(timer, &one, 8));
	CALL(recv(fd, buf, 100, 0));
	wait_for(ep, 8, 0);
	CALL(write(event, &one, 8));
	wait_for(ep, 8, 1000);
	CALL(read(event, &one, 8));
	CALL(close(pipes[1]));
	wait_for(ep, 8, 1000);
	CALL(close(pipes[0]));
	peer("later 150 %d 30 1", PORT_HERE);
	CALL_TIMED(wait_for(ep, 8, -1), 0);
}

/* The other kinds of kernel descriptors, one after the other. EP01 */
CASE_FAST(mixed_with_signals_and_sets)
{
	int ep = epoll_create1(0), inner = epoll_create1(0), fd = udp_bound(PORT_HERE), event = eventfd(0, 0), signals;
	struct signalfd_siginfo info;
	uint64_t one = 1;
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR1);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	signals = signalfd(-1, &mask, 0);
	CALL(add(inner, event, EPOLLIN, 0x11));
	CALL(add(ep, fd, EPOLLIN, 0x100000001));
	CALL(add(ep, signals, EPOLLIN, 0x200000002));
	CALL(add(ep, inner, EPOLLIN, 0x300000003));
	wait_for(ep, 8, 0);
	raise(SIGUSR1);
	wait_for(ep, 8, 1000);
	CALL(read(signals, &info, sizeof(info)) == sizeof(info));
	CALL(write(event, &one, 8));
	wait_for(ep, 8, 1000);
	wait_for(inner, 8, 0);
	CALL(read(event, &one, 8));
	deliver(PORT_HERE, 10, 1);
	wait_for(ep, 8, 1000);
	CALL(recv(fd, buf, 100, 0));
	wait_for(ep, 8, 0);
}

/* With room for one event each of the ready ones must have its turn. EP15 */
CASE(one_at_a_time)
{
	int ep = epoll_create1(0), i, pipes[2];
	struct epoll_event e;
	unsigned seen = 0;

	for (i = 0; i < 5; i++) {
		add(ep, udp_bound(6000 + i), EPOLLIN, (uint64_t)i);
		deliver(6000 + i, 10, 1);
	}
	for (; i < 8; i++) {
		if (pipe(pipes) < 0 || write(pipes[1], "x", 1) != 1)
			fail("pipe");
		add(ep, pipes[0], EPOLLIN, (uint64_t)i);
	}
	for (i = 0; i < 24; i++)
		if (epoll_wait(ep, &e, 1, 100) == 1)
			seen |= 1U << e.data.u64;
	say("seen %#x", seen);
}

CASE_FAST(closing_removes)
{
	int ep = epoll_create1(0), fd = udp_bound(PORT_HERE), copy;

	CALL(add(ep, fd, EPOLLIN, 1));
	deliver(PORT_HERE, 10, 1);
	CALL(close(fd));
	wait_for(ep, 8, 0);
	fd = udp_bound(PORT_HERE);
	wait_for(ep, 8, 0);
	deliver(PORT_HERE, 10, 1);
	wait_for(ep, 8, 0);
	CALL(add(ep, fd, EPOLLIN, 2));
	wait_for(ep, 8, 0);
	/* The registration belongs to the description: it lives as long as a duplicate does. EP18 */
	copy = dup(fd);
	CALL(close(fd));
	wait_for(ep, 8, 0);
	CALL(recv(copy, buf, 100, 0));
	deliver(PORT_HERE, 10, 1);
	wait_for(ep, 8, 100);
	CALL(close(copy));
	wait_for(ep, 8, 0);
}

CASE_FAST(registered_duplicate)
{
	int ep = epoll_create1(0), fd = udp_bound(PORT_HERE), copy = dup(fd);

	CALL(add(ep, fd, EPOLLIN, 1));
	CALL(add(ep, copy, EPOLLIN, 2));
	deliver(PORT_HERE, 10, 1);
	wait_for(ep, 8, 1000);
	CALL(epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL));
	wait_for(ep, 8, 1000);
	CALL(recv(copy, buf, 100, MSG_DONTWAIT));
}

CASE_FAST(set_duplicated)
{
	int ep = epoll_create1(0), fd = udp_bound(PORT_HERE), copy = dup(ep);

	CALL(add(ep, fd, EPOLLIN, 1));
	CALL(close(ep));
	deliver(PORT_HERE, 10, 1);
	wait_for(copy, 8, 1000);
	CALL(mod(copy, fd, EPOLLIN, 2));
	wait_for(copy, 8, 1000);
	CALL(recv(fd, buf, 100, MSG_DONTWAIT));
}

CASE_FAST(refused_port)
{
	int ep = epoll_create1(0), fd = udp_connected(PORT_HERE, PORT_CLOSED);

	CALL(add(ep, fd, EPOLLIN, 1));
	CALL(send(fd, "x", 1, 0));
	settle();
	wait_for(ep, 8, 500);
	CALL(recv(fd, buf, 100, MSG_DONTWAIT));
	wait_for(ep, 8, 0);
	CALL(mod(ep, fd, 0, 2));
	CALL(send(fd, "x", 1, 0));
	settle();
	wait_for(ep, 8, 500);
}

CASE_FAST(pwait_kinds)
{
	struct timespec some = { 0, 100000000 }, bad = { 0, -1 };
	int ep = epoll_create1(0), fd = udp_bound(PORT_HERE);
	struct epoll_event e;
	sigset_t none;

	sigemptyset(&none);
	CALL(add(ep, fd, EPOLLIN, 1));
	CALL_TIMED(epoll_pwait(ep, &e, 1, 100, &none), 100);
	CALL_TIMED(epoll_pwait2(ep, &e, 1, &some, &none), 100);
	CALL(epoll_pwait2(ep, &e, 1, &bad, NULL));
	deliver(PORT_HERE, 10, 1);
	CALL(epoll_pwait(ep, &e, 1, -1, &none));
	CALL(epoll_pwait2(ep, &e, 1, NULL, NULL));
	CALL(recv(fd, buf, 100, MSG_DONTWAIT));
}

/* Never-ending datagrams must not hide a pipe, nor the other way round. EP02, EP03 */
CASE_FAST(neither_side_starves)
{
	int ep = epoll_create1(0), fd = udp_bound(PORT_HERE), pipes[2], i, sock = 0, tube = 0;
	struct epoll_event e[2];
	int j, n;

	if (pipe(pipes) < 0 || write(pipes[1], "x", 1) != 1)
		fail("pipe");
	add(ep, fd, EPOLLIN, 1);
	add(ep, pipes[0], EPOLLIN, 2);
	deliver(PORT_HERE, 10, 200);
	for (i = 0; i < 200; i++) { /* both are ready: every wait must report both */
		n = epoll_wait(ep, e, 2, 1000);
		for (j = 0; j < n; j++) {
			sock += e[j].data.u64 == 1;
			tube += e[j].data.u64 == 2;
			if (e[j].data.u64 == 1)
				recv(fd, buf, 100, MSG_DONTWAIT);
		}
	}
	say("datagrams %d, pipe seen at least 50 times %d", sock, tube >= 50);
}

CASE_FAST(hundred_sets)
{
	int sets[100], fd = udp_bound(PORT_HERE), i, seen = 0;
	struct epoll_event e;

	for (i = 0; i < 100; i++) {
		sets[i] = epoll_create1(0);
		add(sets[i], fd, EPOLLIN, (uint64_t)i);
	}
	deliver(PORT_HERE, 10, 1);
	for (i = 0; i < 100; i++)
		seen += epoll_wait(sets[i], &e, 1, 100) == 1 && e.data.u64 == (uint64_t)i;
	say("seen %d", seen);
	CALL(recv(fd, buf, 100, MSG_DONTWAIT));
}

CASE_FAST(add_and_remove_often)
{
	int ep = epoll_create1(0), fd = udp_bound(PORT_HERE), i, errors = 0;

	for (i = 0; i < 2000; i++) {
		errors += add(ep, fd, EPOLLIN, (uint64_t)i) != 0;
		errors += epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL) != 0;
	}
	say("errors %d", errors);
	CALL(add(ep, fd, EPOLLIN, 9));
	deliver(PORT_HERE, 10, 1);
	wait_for(ep, 8, 1000);
	CALL(recv(fd, buf, 100, MSG_DONTWAIT));
}

/* --- what the kernel has, while sockets are polled --- */

static struct {
	int end;		/* of a pipe, to write to */
	atomic_int asked, ends; /* the other thread is to write, to end */
} writing;

static void *writes(void *arg)
{
	while (!writing.ends) {
		if (!writing.asked) {
			sched_yield();
			continue;
		}
		if (write(writing.end, "x", 1) != 1)
			fail("write");
		writing.asked = 0;
	}
	return NULL;
}

/* A byte into the pipe by this thread or by the other one; returns when it is there. */
static void put_byte(bool other)
{
	if (!other && write(writing.end, "x", 1) != 1)
		fail("write");
	for (writing.asked = other; writing.asked;)
		sched_yield();
}

/* Each wait reports what is there when it begins, however often there was nothing before. EP02, EP03 */
CASE_FAST(kernels_at_once)
{
	int ep = epoll_create1(0), fd = udp_bound(PORT_HERE), pipes[2], missed = 0, gone = 0, ghosts = 0, edges = 0;
	struct epoll_event e;
	pthread_t thread;

	if (pipe(pipes) < 0)
		fail("pipe");
	writing.end = pipes[1];
	pthread_create(&thread, NULL, writes, NULL);
	add(ep, fd, EPOLLIN, 1);
	add(ep, pipes[0], EPOLLIN, 2);
	for (int i = 0; i < 2000; i++) {
		if (i % 100 == 0)
			epoll_wait(ep, &e, 1, 1);
		ghosts += epoll_wait(ep, &e, 1, 0) != 0;
		put_byte(i % 2);
		missed += epoll_wait(ep, &e, 1, 0) != 1 || e.data.u64 != 2;
		gone += epoll_wait(ep, &e, 1, 0) != 1; /* nobody has read it */
		if (read(pipes[0], buf, 1) != 1)
			fail("read");
	}
	mod(ep, pipes[0], EPOLLIN | EPOLLET, 2);
	for (int i = 0; i < 200; i++) {
		put_byte(i % 2);
		edges += epoll_wait(ep, &e, 1, 0) == 1;
		ghosts += epoll_wait(ep, &e, 1, 0) != 0;
	}
	writing.ends = 1;
	pthread_join(thread, NULL);
	say("missed %d, gone %d, ghosts %d, edges %d", missed, gone, ghosts, edges);
	deliver(PORT_HERE, 10, 1);
	wait_for(ep, 8, 1000);
	CALL(recv(fd, buf, 100, MSG_DONTWAIT));
}

/* A thread's own set, of the socket that all share and a pipe: how many of its waits were wrong. */
static void *sees_at_once(void *sock)
{
	int ep = epoll_create1(0), pipes[2];
	intptr_t wrong = 0;
	struct epoll_event e;

	if (pipe(pipes) < 0)
		fail("pipe");
	add(ep, *(int *)sock, EPOLLIN, 1);
	add(ep, pipes[0], EPOLLIN, 2);
	for (int i = 0; i < 20; i++) {
		wrong += epoll_wait(ep, &e, 1, i % 10 == 0) != 0;
		if (write(pipes[1], "x", 1) != 1)
			fail("write");
		wrong += epoll_wait(ep, &e, 1, 0) != 1;
		if (read(pipes[0], (char[1]){ 0 }, 1) != 1)
			fail("read");
	}
	close(pipes[0]);
	close(pipes[1]);
	close(ep);
	return (void *)wrong;
}

/* More threads than there are rings for, at once and one after another. */
CASE_FAST(kernels_at_once_in_threads)
{
	int fd = udp_bound(PORT_HERE);
	pthread_t thread[50];
	intptr_t sum = 0;
	void *wrong;

	for (int turn = 0; turn < 3; turn++) {
		for (int i = 0; i < 50; i++)
			pthread_create(&thread[i], NULL, sees_at_once, &fd);
		for (int i = 0; i < 50; i++) {
			pthread_join(thread[i], &wrong);
			sum += (intptr_t)wrong;
		}
	}
	for (int i = 0; i < 100; i++) {
		pthread_create(&thread[0], NULL, sees_at_once, &fd);
		pthread_join(thread[0], &wrong);
		sum += (intptr_t)wrong;
	}
	say("wrong %d", (int)sum);
	deliver(PORT_HERE, 10, 1);
	CALL(recv(fd, buf, 100, 0));
}

static struct {
	int set;
	atomic_int polled, ends;
} other;

/* Polls the set a few times, and lives on without another wait. */
static void *polls_and_stays(void *arg)
{
	struct epoll_event e;

	for (int i = 0; i < 5; i++)
		epoll_wait(other.set, &e, 1, 2);
	for (other.polled = 1; !other.ends;)
		sched_yield();
	return NULL;
}

/* How many members the kernel knows of the set @ep. */
static int members(int ep)
{
	char path[50], line[200];
	int n = 0;
	FILE *info;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", ep);
	info = fopen(path, "r");
	while (info && fgets(line, sizeof(line), info))
		n += strncmp(line, "tfd:", 4) == 0;
	if (info)
		fclose(info);
	return n;
}

/* A set that another thread polled is gone with its last number, out of the set that it is in, too. */
CASE_FAST(closed_beside_who_polled)
{
	int outer = epoll_create1(0), fd = udp_bound(PORT_HERE), event = eventfd(0, 0);
	pthread_t thread;

	other.set = epoll_create1(0);
	add(other.set, fd, EPOLLIN, 1);
	add(other.set, event, EPOLLIN, 2);
	add(outer, other.set, EPOLLIN, 3);
	pthread_create(&thread, NULL, polls_and_stays, NULL);
	while (!other.polled)
		sched_yield();
	deliver(PORT_HERE, 10, 1);
	wait_for(outer, 8, 1000);
	CALL(recv(fd, buf, 100, 0));
	CALL(close(other.set));
	CALL(write(event, &(uint64_t){ 1 }, 8));
	CALL_TIMED(wait_for(outer, 8, 30), 30);
	CALL(members(outer));
	other.ends = 1;
	pthread_join(thread, NULL);
}
