/* SPDX-License-Identifier: BSD-2-Clause */
/* stream_async.c - connect() of non-blocking streams, and how its end is seen. P45, EP14. */
#include "stream.h"

#include <sys/epoll.h>
#include <sys/select.h>

static unsigned char buf[2048];

static int begun(const struct addr *to)
{
	int fd = tcp();

	nonblock(fd);
	CALL(connect(fd, SA(to), to->len));
	return fd;
}

CASE_FAST(success)
{
	struct addr to = there(PORT_PEER);
	int fd = begun(&to);

	events_of(fd, POLLOUT, 2000);
	say_error(fd);
	say_names(fd);
	CALL(connect(fd, SA(&to), to.len));
	CALL(connect(fd, SA(&to), to.len));
	order("accept %d", PORT_PEER);
	CALL(send(fd, "hello", 5, 0));
	order("take 0 5");
}

CASE_FAST(events_afterwards)
{
	struct addr to = there(PORT_PEER);
	int fd = begun(&to);

	events_of(fd, POLLIN | POLLOUT | POLLRDHUP | POLLPRI, 2000);
	events_of(fd, POLLIN, 0);
	order("accept %d", PORT_PEER);
	bring(0, 1);
	events_of(fd, POLLIN | POLLOUT, 2000);
}

CASE(while_it_lasts)
{
	struct addr to = nowhere(PORT_PEER);
	int fd = begun(&to);

	CALL(connect(fd, SA(&to), to.len));
	CALL(send(fd, "x", 1, MSG_NOSIGNAL));
	CALL(recv(fd, buf, 1, 0));
	events_of(fd, POLLIN | POLLOUT | POLLRDHUP, 0);
	say_error(fd);
	say_state(fd);
	CALL(getpeername(fd, SA(&to), &to.len));
	CALL(listen(fd, 3));
	CALL(shutdown(fd, SHUT_WR));
	say_state(fd);
	events_of(fd, POLLIN | POLLOUT | POLLRDHUP, 0);
}

CASE(another_destination_meanwhile)
{
	struct addr to = nowhere(PORT_PEER);
	int fd = begun(&to);

	to = there(PORT_PEER);
	CALL(connect(fd, SA(&to), to.len));
	say_state(fd);
}

CASE(disconnect_meanwhile)
{
	struct addr to = nowhere(PORT_PEER), none = { .ss.ss_family = AF_UNSPEC, .len = sizeof(struct sockaddr_in6) };
	int fd = begun(&to);

	CALL(connect(fd, SA(&none), none.len));
	say_state(fd);
	events_of(fd, POLLIN | POLLOUT, 0);
	to = there(PORT_PEER);
	CALL(connect(fd, SA(&to), to.len));
	events_of(fd, POLLOUT, 2000);
}

CASE(close_meanwhile)
{
	struct addr to = nowhere(PORT_PEER);
	int fd = begun(&to);

	CALL(close(fd));
	CALL(close(fd));
}

CASE(refused)
{
	struct addr to = there(PORT_CLOSED);
	int fd = begun(&to);

	events_of(fd, POLLIN | POLLOUT | POLLRDHUP, 2000);
	say_error(fd);
	say_error(fd);
	events_of(fd, POLLIN | POLLOUT | POLLRDHUP, 0);
	CALL(recv(fd, buf, 1, 0));
	CALL(send(fd, "x", 1, MSG_NOSIGNAL));
}

CASE(refused_seen_by_connect)
{
	struct addr to = there(PORT_CLOSED);
	int fd = begun(&to);

	events_of(fd, POLLOUT, 2000);
	CALL(connect(fd, SA(&to), to.len));
	say_error(fd);
	CALL(connect(fd, SA(&to), to.len));
}

CASE(refused_seen_by_recv)
{
	struct addr to = there(PORT_CLOSED);
	int fd = begun(&to);

	events_of(fd, POLLOUT, 2000);
	CALL(recv(fd, buf, 1, 0));
	CALL(recv(fd, buf, 1, 0));
	say_error(fd);
}

CASE(refused_seen_by_send)
{
	struct addr to = there(PORT_CLOSED);
	int fd = begun(&to);

	events_of(fd, POLLOUT, 2000);
	CALL(send(fd, "x", 1, MSG_NOSIGNAL));
	CALL(send(fd, "x", 1, MSG_NOSIGNAL));
	CALL(recv(fd, buf, 1, 0));
	say_error(fd);
}

CASE_FAST(refused_then_success)
{
	struct addr to = there(PORT_CLOSED);
	int fd = begun(&to);

	events_of(fd, POLLOUT, 2000);
	say_error(fd);
	to = there(PORT_PEER);
	CALL(connect(fd, SA(&to), to.len));
	CALL(connect(fd, SA(&to), to.len));
	events_of(fd, POLLOUT, 2000);
	order("accept %d", PORT_PEER);
	bring(0, 3);
	receive_all(fd, 3);
}

CASE(times_out)
{
	struct addr to = nowhere(PORT_PEER);
	int fd = tcp();

	set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 200);
	nonblock(fd);
	CALL(connect(fd, SA(&to), to.len));
	events_of(fd, POLLIN | POLLOUT | POLLRDHUP, 5000);
	say_error(fd);
	say_error(fd);
	events_of(fd, POLLIN | POLLOUT | POLLRDHUP, 0);
}

CASE(unreachable)
{
	struct addr to = there(PORT_PEER);
	int fd;

	if (family() == AF_INET)
		inet_pton(AF_INET, "203.0.113.9", &((struct sockaddr_in *)&to.ss)->sin_addr);
	else
		inet_pton(AF_INET6, mapped() ? "::ffff:203.0.113.9" : "2001:db8::9", &((struct sockaddr_in6 *)&to.ss)->sin6_addr);
	fd = begun(&to);
	events_of(fd, POLLOUT, 0);
	say_error(fd);
}

CASE(fresh_sockets_events)
{
	int fd = tcp();

	events_of(fd, POLLIN | POLLOUT | POLLRDHUP | POLLPRI, 0);
	events_of(fd, 0, 0);
	fd = tcp_bound(PORT_HERE + 20);
	events_of(fd, POLLIN | POLLOUT | POLLRDHUP | POLLPRI, 0);
	events_of(fd, POLLIN, 0);
}

CASE_FAST(select_for_writing)
{
	struct addr to = there(PORT_PEER);
	struct timeval limit = { 2, 0 };
	int fd = begun(&to);
	fd_set in, out, bad;

	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_ZERO(&bad);
	FD_SET(fd, &in);
	FD_SET(fd, &out);
	FD_SET(fd, &bad);
	CALL(select(fd + 1, &in, &out, &bad, &limit));
	say("in %d out %d bad %d", FD_ISSET(fd, &in), FD_ISSET(fd, &out), FD_ISSET(fd, &bad));
	say_error(fd);
}

CASE(select_of_a_refused_one)
{
	struct addr to = there(PORT_CLOSED);
	struct timeval limit = { 2, 0 };
	int fd = begun(&to);
	fd_set in, out, bad;

	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_ZERO(&bad);
	FD_SET(fd, &in);
	FD_SET(fd, &out);
	FD_SET(fd, &bad);
	CALL(select(fd + 1, NULL, &out, NULL, &limit));
	CALL(select(fd + 1, &in, &out, &bad, &limit));
	say("in %d out %d bad %d", FD_ISSET(fd, &in), FD_ISSET(fd, &out), FD_ISSET(fd, &bad));
	say_error(fd);
}

static void wait_for(int ep, int timeout)
{
	struct epoll_event e = { 0 };

	if (CALL(epoll_wait(ep, &e, 1, timeout)) == 1)
		say("  %#x data %llu", e.events, (unsigned long long)e.data.u64);
}

static void watch(int ep, int fd, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.u64 = 5 };

	CALL(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
}

CASE_FAST(epoll_after_it_began)
{
	struct addr to = there(PORT_PEER);
	int ep = epoll_create1(0), fd = begun(&to);

	watch(ep, fd, EPOLLOUT | EPOLLIN | EPOLLRDHUP);
	wait_for(ep, 2000);
	wait_for(ep, 0);
	say_error(fd);
}

CASE_FAST(epoll_before_it_began)
{
	struct addr to = there(PORT_PEER);
	int ep = epoll_create1(0), fd = tcp();

	nonblock(fd);
	watch(ep, fd, EPOLLOUT | EPOLLIN | EPOLLRDHUP);
	wait_for(ep, 0);
	CALL(connect(fd, SA(&to), to.len));
	wait_for(ep, 2000);
	say_error(fd);
}

CASE(epoll_edge_of_a_refused_one)
{
	struct addr to = there(PORT_CLOSED);
	int ep = epoll_create1(0), fd = tcp();

	nonblock(fd);
	CALL(connect(fd, SA(&to), to.len));
	watch(ep, fd, EPOLLOUT | EPOLLIN | EPOLLRDHUP | EPOLLET);
	wait_for(ep, 2000);
	wait_for(ep, 0);
	say_error(fd);
	wait_for(ep, 0);
}

CASE(epoll_without_any_event)
{
	struct addr to = there(PORT_CLOSED);
	int ep = epoll_create1(0), fd = begun(&to);

	watch(ep, fd, 0);
	wait_for(ep, 2000);
	say_error(fd);
	wait_for(ep, 0);
}

/* What is asked of a stream that a blocking connect() of another thread waits on. */
static void finish(int fd)
{
	struct addr to = there(PORT_PEER);

	say("meanwhile");
	say_state(fd);
	CALL(connect(fd, SA(&to), to.len));
	shutdown(fd, SHUT_RDWR);
}

CASE(another_thread_connects)
{
	struct addr to = nowhere(PORT_PEER);
	int fd = tcp();

	nonblock(fd);
	CALL(connect(fd, SA(&to), to.len));
	later(50, finish, fd);
	events_of(fd, POLLOUT, 3000);
	later_done();
	say_error(fd);
}

CASE_FAST(many_at_once)
{
	struct addr to = there(PORT_PEER);
	struct pollfd set[20];
	int i, left = 20, bad = 0;

	for (i = 0; i < 20; i++) {
		set[i] = (struct pollfd){ .fd = tcp(), .events = POLLOUT };
		nonblock(set[i].fd);
		if (connect(set[i].fd, SA(&to), to.len) == 0 || errno != EINPROGRESS)
			bad++;
	}
	while (left && poll(set, 20, 3000) > 0) {
		for (i = 0; i < 20; i++) {
			if (!set[i].revents)
				continue;
			bad += set[i].revents != POLLOUT;
			set[i].fd = -1;
			set[i].revents = 0;
			left--;
		}
	}
	say("left %d, bad %d", left, bad);
}

CASE(fast_open_falls_back)
{
	struct addr to = there(PORT_PEER);
	int fd = tcp();

	CALL(sendto(fd, "early", 5, MSG_FASTOPEN, SA(&to), to.len));
	order("accept %d", PORT_PEER);
	order("take 0 5");
	CALL(connect(fd, SA(&to), to.len));
	say_state(fd);
	fd = tcp();
	set_int(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1);
	CALL(connect(fd, SA(&to), to.len));
	CALL(send(fd, "early", 5, 0));
	order("accept %d", PORT_PEER);
	order("take 1 5");
}

CASE_FAST(fast_open_waits_for_data)
{
	struct addr to = there(PORT_PEER);
	int fd = tcp();

	set_int(fd, IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, 1);
	set_int(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1);
	CALL(connect(fd, SA(&to), to.len));
	say_state(fd);
	events_of(fd, POLLIN | POLLOUT, 0);
	CALL(send(fd, "early", 5, 0));
	order("accept %d", PORT_PEER);
	order("take 0 5");
	bring(0, 5);
	receive_all(fd, 5);
}

/* sendto() with an address on a stream that has no connection. */
CASE(send_without_connection)
{
	struct addr to = there(PORT_PEER);
	int fd = tcp();

	CALL(sendto(fd, "x", 1, MSG_NOSIGNAL, SA(&to), to.len));
	CALL(send(fd, "x", 1, MSG_NOSIGNAL));
	CALL(recv(fd, buf, 1, MSG_DONTWAIT));
	CALL(recv(fd, buf, 1, MSG_OOB));
	CALL(shutdown(fd, SHUT_WR));
	CALL(send(fd, "", 0, MSG_NOSIGNAL));
}
