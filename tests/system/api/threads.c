/* SPDX-License-Identifier: BSD-2-Clause */
/* threads.c - several threads on the same sockets and sets. P40, P53, EP16, EP17, EP19, EP22. */
#include "record.h"

#include <limits.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>

struct work {
	pthread_t thread;
	int fd, ep;
	int limit; /* of the wait, ms */
	int count;
	long result;
	int64_t began, ended;
};

static void start(struct work *w, void *(*run)(void *))
{
	w->began = now_ms();
	if (pthread_create(&w->thread, NULL, run, w) != 0)
		fail("pthread_create");
}

static void *drain(void *arg)
{
	struct work *w = arg;
	char buf[2048];

	while (recv(w->fd, buf, sizeof(buf), 0) > 0)
		w->count++;
	return NULL;
}

/* Each datagram goes to exactly one of the readers. */
CASE_FAST(two_readers)
{
	struct timeval limit = { 2, 0 };
	int fd = udp_bound(PORT_HERE), size = 8 << 20;
	struct work a = { .fd = fd }, b = { .fd = fd };

	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	start(&a, drain);
	start(&b, drain);
	say("sent %ld", peer("send %d 100 300", PORT_HERE));
	pthread_join(a.thread, NULL);
	pthread_join(b.thread, NULL);
	say("together %d", a.count + b.count);
}

static void *write_many(void *arg)
{
	struct work *w = arg;

	for (w->count = 0; w->count < 200; w->count++)
		if (send(w->fd, "0123456789", 10, 0) != 10)
			break;
	return NULL;
}

CASE_FAST(reader_and_writer)
{
	struct timeval limit = { 2, 0 };
	int fd = udp_connected(PORT_HERE, PORT_ECHO), size = 8 << 20;
	struct work a = { .fd = fd }, b = { .fd = fd };

	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	start(&a, drain);
	start(&b, write_many);
	pthread_join(b.thread, NULL);
	pthread_join(a.thread, NULL);
	say("written %d read %d", b.count, a.count);
}

static void *wait_set(void *arg)
{
	struct work *w = arg;
	struct epoll_event e;

	w->result = epoll_wait(w->ep, &e, 1, w->limit);
	w->ended = now_ms();
	return NULL;
}

/* Two threads wait for the same set, whose one member is told of once. */
static void two_waiters(uint32_t how, int limit)
{
	int fd = udp_bound(PORT_HERE), ep = epoll_create1(0);
	struct work a = { .ep = ep, .limit = limit }, b = { .ep = ep, .limit = limit };
	struct epoll_event e = { .events = EPOLLIN | how };

	CALL(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
	start(&a, wait_set);
	start(&b, wait_set);
	sleep_ms(100);
	say("sent %ld", peer("send %d 10 1", PORT_HERE));
	pthread_join(a.thread, NULL);
	pthread_join(b.thread, NULL);
	say("events %ld", a.result + b.result);
	CALL(recv(fd, &a, 1, MSG_DONTWAIT));
}

/* One event, level triggered off by a read of the first: with ONESHOT exactly one returns. EP19 */
CASE_FAST(one_event_two_waiters)
{
	two_waiters(EPOLLONESHOT, 2000);
}

/*
 * Of two sets that hold the socket exclusively one is told. The other one, too, where its thread did not sleep yet when the
 * datagram came, or slept no more: one time of many it does. EP12
 */
CASE_FAST(exclusive_wakes_one)
{
	enum { TIMES = 20, LIMIT_MS = 1000 };
	int fd = udp_bound(PORT_HERE), alone = 0, none = 0;
	struct epoll_event e = { .events = EPOLLIN | EPOLLEXCLUSIVE };
	struct work a = { .ep = epoll_create1(0), .limit = LIMIT_MS }, b = { .ep = epoll_create1(0), .limit = LIMIT_MS };

	CALL(epoll_ctl(a.ep, EPOLL_CTL_ADD, fd, &e));
	CALL(epoll_ctl(b.ep, EPOLL_CTL_ADD, fd, &e));
	for (int i = 0; i < TIMES && !alone; i++) {
		start(&a, wait_set);
		start(&b, wait_set);
		sleep_ms(50);
		peer("send %d 10 1", PORT_HERE);
		pthread_join(a.thread, NULL);
		pthread_join(b.thread, NULL);
		alone += a.result + b.result == 1;
		none += a.result + b.result == 0;
		while (recv(fd, &e, 1, MSG_DONTWAIT) >= 0)
			;
	}
	say("one by itself %d, none %d", alone, none);
}

/* Adding from another thread takes effect in a wait that has begun. EP16 */
CASE(add_while_waiting)
{
	int fd = udp_bound(PORT_HERE), ep = epoll_create1(0), event = eventfd(1, 0);
	struct work a = { .ep = ep, .limit = 3 * HANGS_MS };
	struct epoll_event e = { .events = EPOLLIN };

	deliver(PORT_HERE, 10, 1);
	start(&a, wait_set);
	sleep_ms(100);
	CALL(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
	pthread_join(a.thread, NULL);
	say("events %ld, woken early %d", a.result, a.ended - a.began < HANGS_MS);
	CALL(epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL));
	start(&a, wait_set);
	sleep_ms(100);
	CALL(epoll_ctl(ep, EPOLL_CTL_ADD, event, &e));
	pthread_join(a.thread, NULL);
	say("events %ld, woken early %d", a.result, a.ended - a.began < HANGS_MS);
}

/* Nor does it matter how deep in sets, nor whether anything was in them when the wait began. EP05, EP16 */
CASE_FAST(add_to_a_nested_set_while_waiting)
{
	int fd = udp_bound(PORT_HERE), inner = epoll_create1(0), middle = epoll_create1(0), outer = epoll_create1(0);
	struct work a = { .ep = outer, .limit = 3 * HANGS_MS };
	struct epoll_event e = { .events = EPOLLIN };

	CALL(epoll_ctl(outer, EPOLL_CTL_ADD, middle, &e));
	CALL(epoll_ctl(middle, EPOLL_CTL_ADD, inner, &e));
	start(&a, wait_set);
	sleep_ms(100);
	CALL(epoll_ctl(inner, EPOLL_CTL_ADD, fd, &e));
	deliver(PORT_HERE, 10, 1);
	pthread_join(a.thread, NULL);
	say("events %ld, woken early %d", a.result, a.ended - a.began < HANGS_MS);
	CALL(recv(fd, &e, 1, MSG_DONTWAIT));
	start(&a, wait_set);
	sleep_ms(100);
	deliver(PORT_HERE, 10, 1);
	pthread_join(a.thread, NULL);
	say("events %ld, woken early %d", a.result, a.ended - a.began < HANGS_MS);
}

static void *wait_poll(void *arg)
{
	struct work *w = arg;
	struct pollfd set = { .fd = w->fd, .events = POLLIN };

	w->result = poll(&set, 1, 500);
	w->ended = now_ms();
	return NULL;
}

/* Closing under a waiter ends nothing early and breaks nothing. P40, EP17 */
CASE(close_while_polled)
{
	int fd = udp_bound(PORT_HERE), again;
	struct work a = { .fd = fd };

	start(&a, wait_poll);
	sleep_ms(100);
	CALL(close(fd));
	again = udp_bound(PORT_HERE2);
	say("number used again %d", again == fd);
	pthread_join(a.thread, NULL);
	say("result %ld", a.result);
	say("still works %ld", CALL(recv(again, &a, 1, MSG_DONTWAIT)));
}

static void *receive_forever(void *arg)
{
	struct work *w = arg;
	char c[100];

	w->result = recv(w->fd, c, sizeof(c), 0);
	return NULL;
}

/* In the kernel the call goes on: it holds the file. Here it ends (decision 0011). P40 */
CASE(closed_under_recv)
{
	int fd = udp_bound(PORT_HERE), again;
	struct work a = { .fd = fd };

	start(&a, receive_forever);
	sleep_ms(100);
	CALL(close(fd));
	say("sent %ld", peer("send %d 10 1", PORT_HERE));
	pthread_join(a.thread, NULL);
	say("recv = %ld", a.result);
	again = udp_bound(PORT_HERE);
	say("number used again %d", again == fd);
	deliver(PORT_HERE, 10, 1);
	CALL(recv(again, &a, 1, MSG_DONTWAIT));
}

/* Cancelled in a blocking call: no lock stays behind. EP22 */
CASE_FAST(cancelled)
{
	int fd = udp_bound(PORT_HERE), ep = epoll_create1(0);
	struct work a = { .fd = fd }, b = { .ep = ep, .limit = 3 * HANGS_MS };
	struct epoll_event e = { .events = EPOLLIN };
	void *value = NULL;

	epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
	start(&a, receive_forever);
	sleep_ms(100);
	CALL(pthread_cancel(a.thread));
	CALL(pthread_join(a.thread, &value));
	say("cancelled %d", value == PTHREAD_CANCELED);
	start(&b, wait_set);
	sleep_ms(100);
	CALL(pthread_cancel(b.thread));
	CALL(pthread_join(b.thread, &value));
	say("cancelled %d", value == PTHREAD_CANCELED);
	deliver(PORT_HERE, 30, 1);
	CALL(recv(fd, &a, 1, MSG_DONTWAIT));
}

CASE_FAST(woken_by_a_datagram)
{
	int fd = udp_bound(PORT_HERE), i;
	struct work w[4];

	for (i = 0; i < 4; i++) {
		w[i] = (struct work){ .fd = fd };
		start(&w[i], receive_forever);
	}
	sleep_ms(100);
	say("sent %ld", peer("send %d 10 4", PORT_HERE));
	for (i = 0; i < 4; i++)
		pthread_join(w[i].thread, NULL);
	say("sum %ld", w[0].result + w[1].result + w[2].result + w[3].result);
}

static void *open_and_close(void *arg)
{
	struct work *w = arg;
	struct addr to = there(PORT_ECHO);
	struct timeval limit = { 2, 0 };
	char c[16];
	int i, fd;

	for (i = 0; i < 50; i++) {
		fd = udp();
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
		if (sendto(fd, "ping", 4, 0, SA(&to), to.len) != 4 || recv(fd, c, sizeof(c), 0) != 4)
			w->count++;
		close(fd);
	}
	return NULL;
}

CASE_FAST(sockets_come_and_go)
{
	struct work w[3];
	int i;

	for (i = 0; i < 3; i++) {
		w[i] = (struct work){ .fd = -1 };
		start(&w[i], open_and_close);
	}
	for (i = 0; i < 3; i++)
		pthread_join(w[i].thread, NULL);
	say("failed %d", w[0].count + w[1].count + w[2].count);
}

static void *ask_and_answer(void *arg)
{
	int fd = udp_connected(PORT_HERE, PORT_ECHO);
	char byte;

	(void)arg;
	CALL(send(fd, "x", 1, 0));
	CALL(recv(fd, &byte, 1, 0));
	return NULL;
}

/* The process's first socket, in a thread that has as little stack as a thread may have. */
CASE_FAST(least_stack)
{
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, PTHREAD_STACK_MIN);
	if (pthread_create(&thread, &attr, ask_and_answer, NULL) != 0)
		fail("pthread_create");
	pthread_join(thread, NULL);
}

static void *answer_twice(void *arg)
{
	struct work *w = arg;
	struct addr from;
	char c[16];

	while (w->count < 2) {
		from.len = sizeof(from.ss);
		if (recvfrom(w->fd, c, sizeof(c), 0, SA(&from), &from.len) != 4 || sendto(w->fd, c, 4, 0, SA(&from), from.len) != 4)
			break;
		w->count++;
	}
	return NULL;
}

/* Of one stack: the kernel carries what stays inside the host. P52 */
CASE(talk_to_each_other)
{
	struct addr to = here(PORT_HERE);
	struct work w = { .fd = udp_bound(PORT_HERE) };
	int fd = udp_bound(PORT_HERE2);
	char c[16];

	start(&w, answer_twice);
	CALL(connect(fd, SA(&to), to.len));
	for (int i = 0; i < 2; i++) {
		CALL(send(fd, "ping", 4, 0));
		CALL(recv(fd, c, sizeof(c), 0));
	}
	pthread_join(w.thread, NULL);
	say("answered %d", w.count);
}

enum { WAYS_TO_WAIT = 12 };

static void *wait_somehow(void *arg)
{
	struct work *w = arg;
	char c[100];
	struct iovec iov = { c, sizeof(c) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct mmsghdr many = { .msg_hdr = msg };
	struct pollfd set = { .fd = w->fd, .events = POLLIN };
	struct epoll_event e;
	fd_set in;

	FD_ZERO(&in);
	FD_SET(w->fd, &in);
	switch (w->count) {
	case 0: return (void *)recvfrom(w->fd, c, sizeof(c), 0, NULL, NULL);
	case 1: return (void *)recvmsg(w->fd, &msg, 0);
	case 2: return (void *)(long)recvmmsg(w->fd, &many, 1, 0, NULL);
	case 3: return (void *)read(w->fd, c, sizeof(c));
	case 4: return (void *)readv(w->fd, &iov, 1);
	case 5: return (void *)(long)poll(&set, 1, -1);
	case 6: return (void *)(long)ppoll(&set, 1, NULL, NULL);
	case 7: return (void *)(long)select(w->fd + 1, &in, NULL, NULL, NULL);
	case 8: return (void *)(long)pselect(w->fd + 1, &in, NULL, NULL, NULL, NULL);
	case 9: return (void *)(long)epoll_wait(w->ep, &e, 1, -1);
	case 10: return (void *)(long)epoll_pwait(w->ep, &e, 1, -1, NULL);
	default: return (void *)(long)epoll_pwait2(w->ep, &e, 1, NULL, NULL);
	}
}

/* Every call that waits is a point of cancellation. EP22, P37 */
CASE_FAST(cancelled_in_each)
{
	int fd = udp_bound(PORT_HERE), ep = epoll_create1(0);
	struct epoll_event e = { .events = EPOLLIN };
	char c[100];
	void *value;

	CALL(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
	for (int way = 0; way < WAYS_TO_WAIT; way++) {
		struct work w = { .fd = fd, .ep = ep, .count = way };

		start(&w, wait_somehow);
		sleep_ms(20);
		pthread_cancel(w.thread);
		pthread_join(w.thread, &value);
		say("way %d: cancelled %d", way, value == PTHREAD_CANCELED);
	}
	deliver(PORT_HERE, 30, 1);
	CALL(recv(fd, c, sizeof(c), MSG_DONTWAIT));
}

/* An edge is one waiter's, though what made it is not read. EP19 */
CASE_FAST(one_edge_two_waiters)
{
	two_waiters(EPOLLET, 700);
}

/* A member is closed, and its number is another's, while a thread waits: nothing is reported of either. EP17 */
CASE_FAST(close_while_in_a_set)
{
	int fd = udp_bound(PORT_HERE), ep = epoll_create1(0), again;
	struct work a = { .ep = ep, .limit = 500 };
	struct epoll_event e = { .events = EPOLLIN };
	char c[100];

	CALL(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
	start(&a, wait_set);
	sleep_ms(100);
	CALL(close(fd));
	again = udp_bound(PORT_HERE);
	say("number used again %d", again == fd);
	deliver(PORT_HERE, 10, 1);
	pthread_join(a.thread, NULL);
	say("result %ld", a.result);
	CALL(epoll_ctl(ep, EPOLL_CTL_ADD, again, &e));
	CALL(epoll_wait(ep, &e, 1, 1000));
	CALL(recv(again, c, sizeof(c), MSG_DONTWAIT));
}
