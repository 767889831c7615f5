/* SPDX-License-Identifier: BSD-2-Clause */
/* stream_epoll.c - epoll over streams, listeners, datagrams and kernel descriptors. P42-P45, P47, EP01-EP19. */
#include "stream.h"
#include "epoll_calls.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

enum { ALL = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI };

static unsigned char buf[65536];

CASE_FAST(level)
{
	int slot, fd = linked(&slot), ep = epoll_create1(0);

	CALL(add(ep, fd, EPOLLIN, 0x1122334455667788));
	wait_for(ep, 8, 0);
	bring(slot, 10);
	wait_for(ep, 8, 2000);
	wait_for(ep, 8, 0);
	CALL(recv(fd, buf, 5, 0));
	wait_for(ep, 8, 0);
	CALL(recv(fd, buf, 5, 0));
	wait_for(ep, 8, 0);
	CALL(mod(ep, fd, EPOLLIN | EPOLLOUT, 2));
	wait_for(ep, 8, 0);
	bring(slot, 10);
	wait_for(ep, 8, 0);
	CALL(mod(ep, fd, 0, 3));
	wait_for(ep, 8, 0);
	CALL(mod(ep, fd, ALL, 4));
	order("fin %d", slot);
	wait_for(ep, 8, 2000);
	CALL(epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL));
	wait_for(ep, 8, 0);
}

/* One edge per arrival, also while unread bytes remain. EP08 */
CASE_FAST(edge_of_arrivals)
{
	int slot, fd = linked(&slot), ep = epoll_create1(0);

	CALL(add(ep, fd, EPOLLIN | EPOLLET, 1));
	wait_for(ep, 8, 0);
	bring(slot, 10);
	wait_for(ep, 8, 2000);
	wait_for(ep, 8, 0);
	bring(slot, 10);
	wait_for(ep, 8, 2000);
	wait_for(ep, 8, 0);
	CALL(recv(fd, buf, 15, 0));
	wait_for(ep, 8, 0);
	CALL(recv(fd, buf, 15, 0));
	wait_for(ep, 8, 0);
	bring(slot, 10);
	wait_for(ep, 8, 2000);
	CALL(mod(ep, fd, EPOLLIN | EPOLLET, 2));
	wait_for(ep, 8, 0);
	wait_for(ep, 8, 0);
}

/* A bare acknowledgement is no edge for who can write already. */
CASE_FAST(edge_without_news)
{
	int slot, fd = linked(&slot), ep = epoll_create1(0);

	CALL(add(ep, fd, EPOLLIN | EPOLLOUT | EPOLLET, 1));
	wait_for(ep, 8, 0);
	wait_for(ep, 8, 0);
	CALL(send(fd, "x", 1, 0));
	order("take %d 1", slot);
	sleep_ms(60);
	wait_for(ep, 8, 0);
	bring(slot, 1);
	wait_for(ep, 8, 2000);
	wait_for(ep, 8, 0);
}

static long stuff(int fd)
{
	long total = 0, n;
	int idle = 0;

	while (idle < 3) {
		n = send(fd, stream_bytes, sizeof(stream_bytes), MSG_DONTWAIT | MSG_NOSIGNAL);
		total += n > 0 ? n : 0;
		idle = n > 0 ? 0 : idle + 1;
		if (n < 0)
			sleep_ms(20);
	}
	return total;
}

static int narrow(int *slot)
{
	struct addr to = there(7021);
	int fd = tcp(), size = 20000;

	if (peer("listen 7021 4 4096") != 0)
		fail("listen");
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	if (connect(fd, SA(&to), to.len) < 0)
		fail("connect");
	*slot = (int)peer("accept 7021");
	return fd;
}

/* An edge when there is room again. EP09 */
CASE_FAST(edge_of_room)
{
	int slot, fd = narrow(&slot), ep = epoll_create1(0);
	long total;

	CALL(add(ep, fd, EPOLLOUT | EPOLLET, 1));
	wait_for(ep, 8, 0);
	wait_for(ep, 8, 0);
	total = stuff(fd);
	wait_for(ep, 8, 0);
	wait_for(ep, 8, 50);
	say("all there: %d", peer("take %d %ld", slot, total) == total);
	wait_for(ep, 8, 3000);
	sleep_ms(60);
	total = stuff(fd);
	wait_for(ep, 8, 0);
	say("all there: %d", peer("take %d %ld", slot, total) == total);
	wait_for(ep, 8, 3000);
}

CASE_FAST(level_of_room)
{
	int slot, fd = narrow(&slot), ep = epoll_create1(0);

	CALL(add(ep, fd, EPOLLOUT, 1));
	wait_for(ep, 8, 0);
	stuff(fd);
	wait_for(ep, 8, 50);
	order("sink %d", slot);
	wait_for(ep, 8, 3000);
	sleep_ms(60);
	wait_for(ep, 8, 0);
}

CASE_FAST(once)
{
	int slot, fd = linked(&slot), ep = epoll_create1(0);

	CALL(add(ep, fd, EPOLLIN | EPOLLONESHOT, 1));
	bring(slot, 10);
	wait_for(ep, 8, 2000);
	wait_for(ep, 8, 0);
	bring(slot, 10);
	wait_for(ep, 8, 50);
	CALL(mod(ep, fd, EPOLLIN | EPOLLONESHOT, 2));
	wait_for(ep, 8, 0);
	receive_all(fd, 20);
	CALL(mod(ep, fd, EPOLLIN | EPOLLONESHOT, 3));
	wait_for(ep, 8, 0);
	order("reset %d", slot);
	wait_for(ep, 8, 2000);
	wait_for(ep, 8, 0);
	CALL(mod(ep, fd, EPOLLOUT | EPOLLONESHOT, 4));
	wait_for(ep, 8, 0);
}

CASE_FAST(once_disarmed_hears_nothing)
{
	int slot, fd = linked(&slot), ep = epoll_create1(0);

	CALL(add(ep, fd, EPOLLIN | EPOLLONESHOT, 1));
	bring(slot, 10);
	wait_for(ep, 8, 2000);
	order("reset %d", slot);
	wait_for(ep, 8, 60);
	CALL(mod(ep, fd, 0, 2));
	wait_for(ep, 8, 0);
}

CASE_FAST(peer_stops_writing)
{
	int slot, fd = linked(&slot), ep = epoll_create1(0);

	CALL(add(ep, fd, EPOLLRDHUP, 1));
	order("fin %d", slot);
	wait_for(ep, 8, 2000);
	CALL(mod(ep, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, 2));
	wait_for(ep, 8, 0);
	wait_for(ep, 8, 0);
	CALL(shutdown(fd, SHUT_WR));
	order("rest %d", slot);
	sleep_ms(60);
	wait_for(ep, 8, 0);
}

CASE_FAST(peer_resets)
{
	int slot, fd = linked(&slot), ep = epoll_create1(0), et = epoll_create1(0);

	CALL(add(ep, fd, ALL, 1));
	CALL(add(et, fd, ALL | EPOLLET, 2));
	wait_for(ep, 8, 0);
	wait_for(et, 8, 0);
	order("reset %d", slot);
	events_of(fd, POLLIN, 2000);
	wait_for(ep, 8, 0);
	wait_for(et, 8, 0);
	wait_for(et, 8, 0);
	say_error(fd);
	wait_for(ep, 8, 0);
	wait_for(et, 8, 0);
}

CASE_FAST(no_event_asked_for)
{
	int slot, fd = linked(&slot), ep = epoll_create1(0);

	CALL(add(ep, fd, 0, 1));
	bring(slot, 10);
	order("fin %d", slot);
	wait_for(ep, 8, 50);
	order("reset %d", slot);
	wait_for(ep, 8, 2000);
}

CASE_FAST(urgent)
{
	int slot, fd = linked(&slot), ep = epoll_create1(0);

	CALL(add(ep, fd, EPOLLPRI | EPOLLIN, 1));
	order("oob %d", slot);
	wait_for(ep, 8, 2000);
	CALL(recv(fd, buf, 1, MSG_OOB));
	wait_for(ep, 8, 0);
	CALL(mod(ep, fd, EPOLLPRI | EPOLLET, 2));
	order("oob %d", slot);
	wait_for(ep, 8, 2000);
	wait_for(ep, 8, 0);
}

CASE_FAST(listener)
{
	int fd = tcp_listening(PORT_HERE, 8), ep = epoll_create1(0);

	CALL(add(ep, fd, EPOLLIN, 1));
	wait_for(ep, 8, 0);
	peer("begin %d", PORT_HERE);
	wait_for(ep, 8, 2000);
	wait_for(ep, 8, 0);
	CALL_FD(accept(fd, NULL, NULL));
	wait_for(ep, 8, 0);
	peer("begin %d", PORT_HERE);
	wait_for(ep, 8, 2000);
	CALL(shutdown(fd, SHUT_RDWR));
	wait_for(ep, 8, 0);
}

CASE_FAST(listener_edge)
{
	int fd = tcp_listening(PORT_HERE, 8), ep = epoll_create1(0), i;

	nonblock(fd);
	CALL(add(ep, fd, EPOLLIN | EPOLLET, 1));
	wait_for(ep, 8, 0);
	for (i = 0; i < 3; i++) {
		peer("begin %d", PORT_HERE);
		wait_for(ep, 8, 2000);
		wait_for(ep, 8, 0);
	}
	for (i = 0; i < 4; i++)
		CALL_FD(accept(fd, NULL, NULL));
	wait_for(ep, 8, 0);
	peer("begin %d", PORT_HERE);
	wait_for(ep, 8, 2000);
}

CASE_FAST(listener_added_before_listen)
{
	int fd = tcp_bound(PORT_HERE), ep = epoll_create1(0);

	CALL(add(ep, fd, EPOLLIN, 1));
	wait_for(ep, 8, 0);
	CALL(listen(fd, 4));
	wait_for(ep, 8, 0);
	peer("begin %d", PORT_HERE);
	wait_for(ep, 8, 2000);
	CALL_FD(accept(fd, NULL, NULL));
	wait_for(ep, 8, 0);
}

CASE_FAST(exclusive)
{
	int fd = tcp_listening(PORT_HERE, 8), one = epoll_create1(0), two = epoll_create1(0);

	CALL(add(one, fd, EPOLLIN | EPOLLEXCLUSIVE, 1));
	CALL(add(two, fd, EPOLLIN | EPOLLEXCLUSIVE, 2));
	CALL(mod(one, fd, EPOLLIN | EPOLLEXCLUSIVE, 3));
	CALL(mod(one, fd, EPOLLIN, 3));
	peer("begin %d", PORT_HERE);
	events_of(fd, POLLIN, 2000);
	wait_for(one, 8, 0);
	wait_for(two, 8, 0);
	CALL_FD(accept(fd, NULL, NULL));
	wait_for(one, 8, 0);
	wait_for(two, 8, 0);
}

CASE_FAST(two_sets)
{
	int slot, fd = linked(&slot), one = epoll_create1(0), two = epoll_create1(0);

	CALL(add(one, fd, EPOLLIN, 1));
	CALL(add(two, fd, EPOLLIN | EPOLLET, 2));
	bring(slot, 10);
	wait_for(one, 8, 2000);
	wait_for(two, 8, 2000);
	wait_for(one, 8, 0);
	wait_for(two, 8, 0);
	receive_all(fd, 10);
	wait_for(one, 8, 0);
	CALL(close(one));
	bring(slot, 10);
	wait_for(two, 8, 2000);
}

CASE_PART(with_others)
{
	struct addr a = here(PORT_HERE2);
	int slot, fd = linked(&slot), ep = epoll_create1(0), pipes[2], event = eventfd(0, 0), datagrams = udp();
	uint64_t one = 1;

	CALL(bind(datagrams, SA(&a), a.len));
	CALL(pipe(pipes));
	CALL(add(ep, fd, EPOLLIN, 1));
	CALL(add(ep, pipes[0], EPOLLIN, 2));
	CALL(add(ep, event, EPOLLIN, 3));
	CALL(add(ep, datagrams, EPOLLIN, 4));
	wait_for(ep, 8, 0);
	CALL(write(pipes[1], "x", 1));
	wait_for(ep, 8, 2000);
	bring(slot, 10);
	events_of(fd, POLLIN, 2000);
	wait_for(ep, 8, 0);
	CALL(write(event, &one, 8));
	wait_for(ep, 8, 0);
	CALL(read(pipes[0], buf, 1));
	receive_all(fd, 10);
	wait_for(ep, 8, 0);
	CALL(read(event, &one, 8));
	wait_for(ep, 8, 0);
	order("later 50 send %d 10", slot);
	wait_for(ep, 8, 3000);
}

/* With room for one event each of the ready ones has its turn. EP15 */
CASE_FAST(one_at_a_time)
{
	int ep = epoll_create1(0), i, slot, pipes[2];
	struct epoll_event e;
	unsigned seen = 0;

	for (i = 0; i < 5; i++) {
		add(ep, linked_out(&slot), EPOLLIN, (uint64_t)i);
		bring(slot, 10);
	}
	for (; i < 8; i++) {
		if (pipe(pipes) < 0 || write(pipes[1], "x", 1) != 1)
			fail("pipe");
		add(ep, pipes[0], EPOLLIN, (uint64_t)i);
	}
	for (i = 0; i < 64; i++) {
		if (epoll_wait(ep, &e, 1, 1000) != 1)
			fail("round %d", i);
		seen |= 1U << e.data.u64;
	}
	say("seen %#x", seen);
}

CASE_FAST(copy_is_registered)
{
	int slot, fd = linked(&slot), ep = epoll_create1(0), copy = dup(fd);

	CALL(add(ep, fd, EPOLLIN, 1));
	CALL(add(ep, copy, EPOLLIN, 2));
	bring(slot, 10);
	events_of(fd, POLLIN, 2000);
	wait_for(ep, 8, 0);
	CALL(close(copy));
	CALL(epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL));
	wait_for(ep, 8, 0);
}

CASE_FAST(last_close_removes)
{
	int slot, fd = linked(&slot), ep = epoll_create1(0), copy = dup(fd);

	CALL(add(ep, fd, EPOLLIN, 1));
	bring(slot, 10);
	CALL(close(fd));
	wait_for(ep, 8, 2000);
	CALL(close(copy));
	wait_for(ep, 8, 0);
	fd = linked(&slot);
	CALL(epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL));
	CALL(add(ep, fd, EPOLLIN, 2));
	bring(slot, 10);
	wait_for(ep, 8, 2000);
}

CASE(control_errors)
{
	struct epoll_event e = { .events = EPOLLIN };
	int ep = epoll_create1(0), fd = tcp();

	CALL(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
	CALL(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
	CALL(epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL));
	CALL(epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL));
	CALL(epoll_ctl(ep, EPOLL_CTL_MOD, fd, &e));
	CALL(epoll_ctl(ep, 77, fd, &e));
	CALL(epoll_ctl(fd, EPOLL_CTL_ADD, fd, &e));
	CALL(epoll_ctl(fd, EPOLL_CTL_ADD, ep, &e));
	e.events = EPOLLIN | EPOLLEXCLUSIVE;
	CALL(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
	CALL(epoll_ctl(ep, EPOLL_CTL_MOD, fd, &e));
}

/* The kernel's set hears of a connection only where it has to: what it would refuse is refused all the same. */
CASE_FAST(control_errors_of_connections)
{
	struct epoll_event e = { .events = EPOLLIN, .data.u64 = 3 };
	int slot, ep = epoll_create1(0), first = linked(&slot), fd = linked_out(&slot), copy;

	CALL(add(ep, first, EPOLLIN, 1));
	CALL(epoll_ctl(ep, EPOLL_CTL_MOD, fd, &e));
	CALL(epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL));
	CALL(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
	CALL(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
	CALL(epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL));
	CALL(epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL));
	CALL(epoll_ctl(ep, EPOLL_CTL_MOD, fd, &e));
	CALL(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
	e.events = EPOLLIN | EPOLLEXCLUSIVE;
	CALL(epoll_ctl(ep, EPOLL_CTL_MOD, fd, &e));
	e.events |= EPOLLONESHOT;
	CALL(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
	CALL(epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL));
	CALL(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
	e.events &= ~EPOLLONESHOT;
	CALL(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
	CALL(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
	e.events = EPOLLIN;
	CALL(epoll_ctl(ep, EPOLL_CTL_MOD, fd, &e));
	CALL(epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL));
	CALL(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
	copy = dup(fd);
	CALL(close(fd));
	bring(slot, 10);
	wait_for(ep, 8, 2000);
	CALL(close(copy));
	wait_for(ep, 8, 0);
}

/* Connections and listeners in a set that has been in another one since before it had any. EP05 */
CASE_FAST(nested)
{
	int slot, fd = linked(&slot), inner = epoll_create1(0), outer = epoll_create1(0);

	CALL(add(outer, inner, EPOLLIN, 1));
	wait_for(outer, 8, 0);
	CALL(add(inner, fd, EPOLLIN, 2));
	wait_for(outer, 8, 0);
	bring(slot, 10);
	wait_for(outer, 8, 2000);
	wait_for(inner, 8, 0);
	CALL(recv(fd, buf, 100, 0));
	wait_for(outer, 8, 0);
	CALL(mod(inner, fd, EPOLLIN | EPOLLOUT, 3));
	wait_for(outer, 8, 0);
	CALL(mod(inner, fd, EPOLLIN | EPOLLRDHUP, 4));
	wait_for(outer, 8, 0);
	order("fin %d", slot);
	wait_for(outer, 8, 2000);
	wait_for(inner, 8, 0);
	CALL(epoll_ctl(inner, EPOLL_CTL_DEL, fd, NULL));
	wait_for(outer, 8, 0);
}

CASE_FAST(set_in_poll)
{
	int slot, fd = linked(&slot), ep = epoll_create1(0);

	CALL(add(ep, fd, EPOLLIN, 1));
	events_of(ep, POLLIN, 0);
	order("later 50 send %d 10", slot);
	events_of(ep, POLLIN, 3000);
	wait_for(ep, 8, 0);
	receive_all(fd, 10);
	events_of(ep, POLLIN, 0);
}

CASE_FAST(set_in_poll_of_what_was_added_before)
{
	int slot, fd = tcp_bound(PORT_HERE), ep = epoll_create1(0), one;

	CALL(add(ep, fd, EPOLLIN, 1));
	events_of(ep, POLLIN, 0);
	CALL(listen(fd, 4));
	slot = (int)peer("begin %d", PORT_HERE);
	events_of(ep, POLLIN, 2000);
	one = accept(fd, NULL, NULL);
	events_of(ep, POLLIN, 0);
	CALL(add(ep, one, EPOLLIN, 2));
	events_of(ep, POLLIN, 0);
	bring(slot, 10);
	events_of(ep, POLLIN, 2000);
	wait_for(ep, 8, 0);
}

CASE_FAST(set_in_poll_with_a_copy)
{
	int slot, fd = linked(&slot), ep = epoll_create1(0), copy = dup(fd);

	CALL(add(ep, fd, EPOLLIN, 1));
	CALL(add(ep, copy, EPOLLIN, 2));
	events_of(ep, POLLIN, 0);
	copy = dup(fd);
	events_of(ep, POLLIN, 0);
	bring(slot, 10);
	events_of(ep, POLLIN, 2000);
	wait_for(ep, 8, 0);
	CALL(close(copy));
	CALL(close(fd));
	events_of(ep, POLLIN, 0);
	wait_for(ep, 8, 0);
}

/* F_SETOWN takes it to the kernel. */
CASE_PART(moves_after_its_number_is_closed)
{
	int slot, fd = linked(&slot), ep = epoll_create1(0), copy, other;

	CALL(add(ep, fd, EPOLLIN, 1));
	bring(slot, 10);
	receive_all(fd, 10);
	copy = dup(fd);
	CALL(close(fd));
	other = tcp();
	say("the number is another's: %d", other == fd);
	CALL(fcntl(copy, F_SETOWN, getpid()));
	wait_for(ep, 8, 0);
	bring(slot, 10);
	wait_for(ep, 8, 2000);
	receive_all(copy, 10);
	wait_for(ep, 8, 0);
	CALL(close(copy));
	wait_for(ep, 8, 0);
}

/* Level, edge and once, before and after it becomes the kernel's. EP37, P48 */
CASE_BY(moves_with_its_registrations, option)
{
	int slot, fd = linked(&slot), level = epoll_create1(0), edge = epoll_create1(0), once = epoll_create1(0);

	CALL(add(level, fd, EPOLLIN, 0x1122334455667788));
	CALL(add(edge, fd, EPOLLIN | EPOLLET, 2));
	CALL(add(once, fd, EPOLLIN | EPOLLONESHOT, 3));
	bring(slot, 10);
	wait_for(level, 8, 2000);
	receive_all(fd, 10);
	CALL(fcntl(fd, F_SETOWN, getpid()));
	wait_for(level, 8, 0);
	bring(slot, 10);
	wait_for(level, 8, 2000);
	wait_for(edge, 8, 2000);
	wait_for(edge, 8, 0);
	CALL(add(level, fd, EPOLLIN, 1));
	CALL(mod(once, fd, EPOLLIN | EPOLLONESHOT, 4));
	wait_for(once, 8, 2000);
	wait_for(once, 8, 0);
	receive_all(fd, 10);
	order("fin %d", slot);
	wait_for(edge, 8, 2000);
	wait_for(once, 8, 0);
	CALL(epoll_ctl(level, EPOLL_CTL_DEL, fd, NULL));
	wait_for(level, 8, 0);
}

CASE_FAST(waits)
{
	int slot, fd = linked(&slot), ep = epoll_create1(0);

	CALL(add(ep, fd, EPOLLIN, 1));
	CALL_TIMED(wait_for(ep, 8, 100), 100);
	order("later 100 send %d 10", slot);
	CALL_TIMED(wait_for(ep, 8, 60000), 0);
	receive_all(fd, 10);
	order("later 100 fin %d", slot);
	CALL_TIMED(wait_for(ep, 8, -1), 0);
}

static int ctl_set, ctl_fd;

static void change(int unused)
{
	(void)unused;
	mod(ctl_set, ctl_fd, EPOLLOUT, 2);
}

CASE_FAST(changed_while_it_waits)
{
	int slot, fd = linked(&slot), ep = epoll_create1(0);

	CALL(add(ep, fd, EPOLLIN, 1));
	ctl_set = ep;
	ctl_fd = fd;
	later(80, change, 0);
	CALL_TIMED(wait_for(ep, 8, 60000), 0);
	later_done();
}

static void add_it(int fd)
{
	add(ctl_set, fd, EPOLLIN | EPOLLOUT, 3);
}

CASE_FAST(added_while_it_waits)
{
	int slot, fd = linked(&slot), ep = epoll_create1(0);

	ctl_set = ep;
	later(80, add_it, fd);
	CALL_TIMED(wait_for(ep, 8, 60000), 0);
	later_done();
}

CASE_FAST(server_of_many)
{
	int listener = tcp_listening(PORT_HERE, 32), ep = epoll_create1(0), i, n, got, fd, accepted = 0, ended = 0;
	struct epoll_event e[8];

	nonblock(listener);
	add(ep, listener, EPOLLIN, (uint64_t)listener);
	for (i = 0; i < 12; i++) {
		peer("begin %d", PORT_HERE);
		peer("later 50 send %d %d", i, 100 + i);
		peer("later 100 fin %d", i);
		while (accepted <= i || ended < accepted) {
			n = epoll_wait(ep, e, 8, 3000);
			if (n <= 0)
				fail("wait in round %d", i);
			while (n-- > 0) {
				fd = (int)e[n].data.u64;
				if (fd == listener) {
					fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
					accepted += fd >= 0;
					add(ep, fd, EPOLLIN, (uint64_t)fd);
					continue;
				}
				got = (int)recv(fd, buf, sizeof(buf), 0);
				if (got == 0)
					ended += close(fd) == 0;
				else if (got != 100 + i)
					fail("%d bytes in round %d", got, i);
			}
		}
	}
	say("accepted %d, ended %d", accepted, ended);
}
