/* SPDX-License-Identifier: BSD-2-Clause */
/* poll.c - poll, ppoll, select, pselect over datagram sockets and kernel descriptors. P41, P46, EP30, EP31. */
#include "record.h"

#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/timerfd.h>

static unsigned char buf[2048];

static void show(const struct pollfd *set, int count)
{
	int i;

	for (i = 0; i < count; i++)
		say("  [%d] %#x", i, (unsigned)set[i].revents);
}

CASE_BY(poll_states, shutdown)
{
	struct addr to = there(PORT_SINK);
	struct pollfd set = { .fd = udp(), .events = POLLIN | POLLOUT | POLLPRI | POLLRDHUP };

	CALL(poll(&set, 1, 0));
	show(&set, 1);
	CALL(connect(set.fd, SA(&to), to.len));
	CALL(poll(&set, 1, 0));
	show(&set, 1);
	set.events = POLLRDNORM | POLLRDBAND | POLLWRNORM | POLLWRBAND;
	CALL(poll(&set, 1, 0));
	show(&set, 1);
	CALL(shutdown(set.fd, SHUT_WR));
	set.events = POLLIN | POLLOUT | POLLRDHUP;
	CALL(poll(&set, 1, 0));
	show(&set, 1);
	CALL(shutdown(set.fd, SHUT_RD));
	CALL(poll(&set, 1, 0));
	show(&set, 1);
}

CASE_FAST(poll_data)
{
	struct pollfd set = { .fd = udp_bound(PORT_HERE), .events = POLLIN };

	CALL_TIMED(poll(&set, 1, 0), 0);
	show(&set, 1);
	CALL_TIMED(poll(&set, 1, 100), 100);
	show(&set, 1);
	deliver(PORT_HERE, 10, 2);
	CALL_TIMED(poll(&set, 1, 60000), 0);
	show(&set, 1);
	set.events = POLLOUT;
	CALL(poll(&set, 1, 0));
	show(&set, 1);
	set.events = 0;
	CALL(poll(&set, 1, 0));
	show(&set, 1);
	set.events = POLLIN | POLLRDNORM;
	CALL(recv(set.fd, buf, 100, 0));
	CALL(poll(&set, 1, 0));
	show(&set, 1);
	CALL(recv(set.fd, buf, 100, 0));
	CALL(poll(&set, 1, 0));
	show(&set, 1);
	peer("later 150 %d 30 1", PORT_HERE);
	CALL_TIMED(poll(&set, 1, 60000), 0);
	show(&set, 1);
	CALL(recv(set.fd, buf, 100, MSG_DONTWAIT));
	peer("later 150 %d 30 1", PORT_HERE);
	CALL_TIMED(poll(&set, 1, -1), 0);
	show(&set, 1);
}

CASE_FAST(poll_many_sockets)
{
	struct pollfd set[20];
	int i;

	for (i = 0; i < 20; i++)
		set[i] = (struct pollfd){ .fd = udp_bound(6000 + i), .events = POLLIN };
	deliver(6003, 10, 1);
	deliver(6017, 10, 1);
	CALL(poll(set, 20, 1000));
	show(set, 20);
	CALL(recv(set[3].fd, buf, 100, 0));
	CALL(poll(set, 20, 1000));
	say("3: %#x 17: %#x", (unsigned)set[3].revents, (unsigned)set[17].revents);
}

CASE_FAST(poll_mixed)
{
	struct itimerspec tick = { .it_value.tv_nsec = 150000000 };
	int pipes[2], timer = timerfd_create(CLOCK_MONOTONIC, 0), event = eventfd(0, 0);
	struct pollfd set[4];
	uint64_t one = 1;

	if (pipe(pipes) < 0)
		fail("pipe");
	set[0] = (struct pollfd){ .fd = udp_bound(PORT_HERE), .events = POLLIN };
	set[1] = (struct pollfd){ .fd = pipes[0], .events = POLLIN };
	set[2] = (struct pollfd){ .fd = event, .events = POLLIN };
	set[3] = (struct pollfd){ .fd = timer, .events = POLLIN };
	CALL(poll(set, 4, 0));
	CALL(timerfd_settime(timer, 0, &tick, NULL));
	CALL_TIMED(poll(set, 4, 60000), 0);
	show(set, 4);
	CALL(read(timer, &one, 8));
	CALL(write(pipes[1], "x", 1));
	CALL(poll(set, 4, 2000));
	show(set, 4);
	deliver(PORT_HERE, 10, 1);
	CALL(poll(set, 4, 2000));
	show(set, 4);
	CALL(write(event, &one, 8));
	CALL(poll(set, 4, 2000));
	show(set, 4);
	CALL(close(pipes[1]));
	CALL(read(pipes[0], buf, 1));
	CALL(recv(set[0].fd, buf, 100, 0));
	CALL(poll(set, 4, 2000));
	show(set, 4);
	CALL(read(event, &one, 8));
	set[1].fd = -1;
	peer("later 100 %d 30 1", PORT_HERE);
	CALL_TIMED(poll(set, 4, 60000), 0);
	show(set, 4);
}

CASE(poll_odd_sets)
{
	int fd = udp_bound(PORT_HERE), gone = udp();
	struct pollfd set[4] = {
		{ .fd = -1, .events = POLLIN, .revents = 77 },
		{ .fd = gone, .events = POLLIN },
		{ .fd = fd, .events = POLLIN },
		{ .fd = fd, .events = POLLOUT },
	};

	close(gone);
	CALL(poll(set, 4, 0));
	show(set, 4);
	CALL(poll(NULL, 0, 0));
	CALL_TIMED(poll(NULL, 0, 50), 50);
	CALL_TIMED(poll(set, 1, 50), 50);
	show(set, 1);
}

CASE(poll_more_than_the_limit)
{
	struct pollfd *set = calloc((size_t)hidden(100), sizeof(*set));
	struct rlimit limit = { 20, 20 };

	if (!set || setrlimit(RLIMIT_NOFILE, &limit) < 0)
		fail("setrlimit");
	CALL(poll(set, 20, 0));
	CALL(poll(set, 21, 0));
	CALL(poll(set, 100, 0));
}

CASE_FAST(ppoll_times)
{
	struct timespec zero = { 0, 0 }, some = { 0, 100000000 }, bad = { 0, 1000000000 }, negative = { -1, 0 };
	struct pollfd set = { .fd = udp_bound(PORT_HERE), .events = POLLIN };

	CALL_TIMED(ppoll(&set, 1, &zero, NULL), 0);
	CALL_TIMED(ppoll(&set, 1, &some, NULL), 100);
	say("unchanged %d", some.tv_sec == 0 && some.tv_nsec == 100000000);
	CALL(ppoll(&set, 1, &bad, NULL));
	CALL(ppoll(&set, 1, &negative, NULL));
	peer("later 150 %d 30 1", PORT_HERE);
	CALL_TIMED(ppoll(&set, 1, NULL, NULL), 0);
	show(&set, 1);
	CALL(recv(set.fd, buf, 100, MSG_DONTWAIT));
}

CASE_FAST(select_sets)
{
	struct timeval limit = { 0, 0 };
	fd_set in, out, err;
	int fd = udp_bound(PORT_HERE), other = udp_bound(PORT_HERE2), max = other + 1;

	deliver(PORT_HERE, 10, 1);
	FD_ZERO(&in);
	FD_SET(fd, &in);
	FD_SET(other, &in);
	out = in;
	err = in;
	CALL(select(max, &in, &out, &err, &limit));
	say("in %d %d out %d %d err %d %d", FD_ISSET(fd, &in), FD_ISSET(other, &in), FD_ISSET(fd, &out),
	    FD_ISSET(other, &out), FD_ISSET(fd, &err), FD_ISSET(other, &err));
	FD_SET(fd, &in);
	FD_SET(other, &in);
	CALL(select(max, &in, NULL, NULL, &limit));
	say("in %d %d", FD_ISSET(fd, &in), FD_ISSET(other, &in));
	CALL(recv(fd, buf, 100, 0));
	FD_SET(fd, &in);
	FD_SET(other, &in);
	CALL(select(max, &in, NULL, NULL, &limit));
	say("cleared at a timeout: in %d %d", FD_ISSET(fd, &in), FD_ISSET(other, &in));
	CALL(select(-1, &in, NULL, NULL, &limit));
	limit.tv_usec = -1;
	CALL(select(max, &in, NULL, NULL, &limit));
	limit = (struct timeval){ 0, 5000000 };
	FD_SET(fd, &in);
	peer("later 50 %d 30 1", PORT_HERE);
	CALL(select(max, &in, NULL, NULL, &limit));
	say("in %d", FD_ISSET(fd, &in));
}

CASE_FAST(select_times)
{
	struct timeval limit = { 0, 100000 };
	struct timespec fixed = { 0, 100000000 };
	fd_set in;
	int fd = udp_bound(PORT_HERE);

	FD_ZERO(&in);
	FD_SET(fd, &in);
	CALL_TIMED(select(fd + 1, &in, NULL, NULL, &limit), 100);
	say("left %ld.%06ld", (long)limit.tv_sec, (long)limit.tv_usec);
	limit = (struct timeval){ 60, 0 };
	FD_SET(fd, &in);
	peer("later 150 %d 30 1", PORT_HERE);
	CALL_TIMED(select(fd + 1, &in, NULL, NULL, &limit), 0);
	say("time was taken off %d", limit.tv_sec < 60);
	CALL(recv(fd, buf, 100, MSG_DONTWAIT));
	FD_SET(fd, &in);
	CALL_TIMED(pselect(fd + 1, &in, NULL, NULL, &fixed, NULL), 100);
	say("untouched %d", fixed.tv_sec == 0 && fixed.tv_nsec == 100000000);
	CALL_TIMED(select(0, NULL, NULL, NULL, &(struct timeval){ 0, 50000 }), 50);
	FD_SET(fd, &in);
	peer("later 150 %d 30 1", PORT_HERE);
	CALL_TIMED(select(fd + 1, &in, NULL, NULL, NULL), 0);
}

CASE(select_bad_descriptor)
{
	struct timeval limit = { 0, 0 };
	int fd = udp_bound(PORT_HERE), gone = udp();
	fd_set in;

	close(gone);
	FD_ZERO(&in);
	FD_SET(fd, &in);
	FD_SET(gone, &in);
	CALL(select(gone + 1, &in, NULL, NULL, &limit));
	say("kept on an error: %d %d", FD_ISSET(fd, &in), FD_ISSET(gone, &in));
}

/* A set of the program's own making, larger than FD_SETSIZE. P24 */
CASE_FAST(select_beyond_setsize)
{
	struct rlimit limit;
	unsigned long bits[32] = { 0 };
	struct timeval wait = { 1, 0 };
	int fd = udp_bound(PORT_HERE), high;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max < 4096 ? limit.rlim_max : 4096;
	setrlimit(RLIMIT_NOFILE, &limit);
	high = fcntl(fd, F_DUPFD, 1500);
	if (high < 0) {
		say("no high descriptors");
		return;
	}
	bits[high / 64] |= 1UL << (high % 64);
	deliver(PORT_HERE, 10, 1);
	CALL(select(high + 1, (fd_set *)(void *)bits, NULL, NULL, &wait));
	say("set %d", (int)(bits[high / 64] >> (high % 64) & 1));
	CALL(recv(high, buf, 100, MSG_DONTWAIT));
}

/* The pipe must be seen although datagrams never end, and the datagrams although the pipe is always
 * ready. EP02, EP03 */
CASE_FAST(neither_side_starves)
{
	struct pollfd set[2];
	int pipes[2], i, both = 0;

	if (pipe(pipes) < 0 || write(pipes[1], "x", 1) != 1)
		fail("pipe");
	set[0] = (struct pollfd){ .fd = udp_bound(PORT_HERE), .events = POLLIN };
	set[1] = (struct pollfd){ .fd = pipes[0], .events = POLLIN };
	deliver(PORT_HERE, 10, 100);
	for (i = 0; i < 100; i++) {
		poll(set, 2, 1000);
		both += set[0].revents == POLLIN && set[1].revents == POLLIN;
		recv(set[0].fd, buf, 100, MSG_DONTWAIT);
	}
	say("both seen %d times", both);
}
