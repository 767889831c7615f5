/* SPDX-License-Identifier: BSD-2-Clause */
/* stream_ends.c - how streams end: shutdown, close, reset, lingering, and what is seen of it. P40, P45, EP13. */
#include "stream.h"

#include <signal.h>

enum { ALL = POLLIN | POLLOUT | POLLPRI | POLLRDHUP };

static unsigned char buf[65536];

/* Until the peer has acknowledged an end it may put off: 40 ms in the kernel. */
static void settle_acks(void)
{
	sleep_ms(80);
}

CASE_FAST(peer_finishes)
{
	int slot, fd = linked(&slot);

	events_of(fd, ALL, 0);
	bring(slot, 10);
	order("fin %d", slot);
	events_of(fd, ALL, 2000);
	say_state(fd);
	CALL(recv(fd, buf, 100, 0));
	events_of(fd, ALL, 0);
	CALL(recv(fd, buf, 100, 0));
	CALL(recv(fd, buf, 100, MSG_DONTWAIT));
	CALL(recv(fd, buf, 100, MSG_PEEK));
	CALL(send(fd, "after", 5, 0));
	order("take %d 5", slot);
	CALL(close(fd));
	order("rest %d", slot);
}

CASE_FAST(we_finish)
{
	int slot, fd = linked(&slot);

	CALL(send(fd, "last", 4, 0));
	CALL(shutdown(fd, SHUT_WR));
	order("rest %d", slot);
	settle_acks();
	events_of(fd, ALL, 0);
	say_state(fd);
	CALL(send(fd, "x", 1, MSG_NOSIGNAL));
	CALL(shutdown(fd, SHUT_WR));
	bring(slot, 10);
	CALL(recv(fd, buf, 100, 0));
	order("close %d", slot);
	events_of(fd, POLLIN | POLLRDHUP, 2000);
	CALL(recv(fd, buf, 100, 0));
	settle_acks();
	events_of(fd, ALL, 0);
}

CASE_FAST(both_finish)
{
	int slot, fd = linked(&slot);

	order("fin %d", slot);
	events_of(fd, ALL, 2000);
	CALL(shutdown(fd, SHUT_WR));
	order("rest %d", slot);
	settle_acks();
	events_of(fd, ALL, 0);
	say_state(fd);
	CALL(recv(fd, buf, 1, 0));
	CALL(send(fd, "x", 1, MSG_NOSIGNAL));
	CALL(shutdown(fd, SHUT_RDWR));
	say_error(fd);
	say_names(fd);
}

CASE_FAST(we_stop_reading)
{
	int slot, fd = linked(&slot);

	bring(slot, 10);
	CALL(shutdown(fd, SHUT_RD));
	events_of(fd, ALL, 0);
	CALL(recv(fd, buf, 100, 0));
	CALL(recv(fd, buf, 100, 0));
	say_state(fd);
	bring(slot, 20);
	CALL(recv(fd, buf, 100, 0));
	CALL(recv(fd, buf, 100, 0));
	CALL(send(fd, "still", 5, 0));
	order("take %d 5", slot);
}

CASE_FAST(we_stop_both)
{
	int slot, fd = linked(&slot);

	CALL(shutdown(fd, SHUT_RDWR));
	events_of(fd, ALL, 0);
	settle_acks();
	say_state(fd);
	CALL(recv(fd, buf, 1, 0));
	CALL(send(fd, "x", 1, MSG_NOSIGNAL));
	order("rest %d", slot);
	order("fin %d", slot);
	settle_acks();
	events_of(fd, ALL, 0);
	CALL(shutdown(fd, SHUT_RD));
	say_error(fd);
}

CASE_FAST(ways_that_are_none)
{
	int slot, fd = linked(&slot);

	CALL(shutdown(fd, 3));
	CALL(shutdown(fd, hidden(-1)));
	say_state(fd);
	fd = tcp();
	CALL(shutdown(fd, SHUT_RD));
	CALL(shutdown(fd, SHUT_RDWR));
	CALL(shutdown(fd, 3));
	fd = tcp_bound(PORT_HERE + 30);
	CALL(shutdown(fd, SHUT_RDWR));
}

CASE_FAST(peer_resets)
{
	int slot, fd = linked(&slot);

	order("reset %d", slot);
	events_of(fd, ALL, 2000);
	say_state(fd);
	CALL(recv(fd, buf, 1, 0));
	CALL(recv(fd, buf, 1, 0));
	events_of(fd, ALL, 0);
	CALL(send(fd, "x", 1, MSG_NOSIGNAL));
	CALL(shutdown(fd, SHUT_WR));
	say_names(fd);
}

CASE_FAST(reset_by_error_option)
{
	int slot, fd = linked(&slot);

	order("reset %d", slot);
	events_of(fd, POLLIN, 2000);
	say_error(fd);
	say_error(fd);
	CALL(recv(fd, buf, 1, 0));
	CALL(send(fd, "x", 1, MSG_NOSIGNAL));
	events_of(fd, ALL, 0);
}

/* What came before the reset is lost to the reader. */
CASE_FAST(reset_with_unread_data)
{
	int slot, fd = linked(&slot), n = -1;

	bring(slot, 100);
	order("reset %d", slot);
	events_of(fd, POLLIN | POLLRDHUP, 2000);
	settle_acks();
	CALL(ioctl(fd, FIONREAD, &n));
	CALL(recv(fd, buf, 10, 0));
	CALL(recv(fd, buf, 1000, 0));
	CALL(recv(fd, buf, 1000, 0));
}

CASE_FAST(reset_wakes_recv)
{
	int slot, fd = linked(&slot);

	order("later 100 reset %d", slot);
	CALL(recv(fd, buf, 1, 0));
	CALL(recv(fd, buf, 1, 0));
}

CASE_FAST(reset_after_the_end)
{
	int slot, fd = linked(&slot);

	order("fin %d", slot);
	CALL(recv(fd, buf, 1, 0));
	order("reset %d", slot);
	settle_acks();
	events_of(fd, ALL, 0);
	say_error(fd);
	CALL(send(fd, "x", 1, MSG_NOSIGNAL));
}

/* The peer has closed: the first send goes out and is answered by a reset. */
CASE_FAST(send_to_one_who_closed)
{
	int slot, fd = linked(&slot);

	order("close %d", slot);
	events_of(fd, POLLIN, 2000);
	CALL(send(fd, "x", 1, MSG_NOSIGNAL));
	events_of(fd, POLLPRI, 2000);
	CALL(send(fd, "x", 1, MSG_NOSIGNAL));
	CALL(send(fd, "x", 1, MSG_NOSIGNAL));
	CALL(recv(fd, buf, 1, 0));
	say_error(fd);
}

CASE_FAST(close_sends_the_end)
{
	int slot, fd = linked(&slot);

	fill_stream_bytes();
	CALL(send(fd, stream_bytes, 50000, 0));
	CALL(close(fd));
	order("rest %d", slot);
	order("sum %d", slot);
	CALL(send(fd, "x", 1, MSG_NOSIGNAL));
}

CASE_FAST(close_with_unread_data)
{
	int slot, fd = linked(&slot);

	bring(slot, 10);
	CALL(close(fd));
	order("rest %d", slot);
}

CASE_FAST(close_then_data_arrives)
{
	int slot, fd = linked(&slot);

	CALL(close(fd));
	order("rest %d", slot);
	order("send %d 10", slot);
	settle_acks();
	order("error %d", slot);
}

CASE_FAST(linger_zero)
{
	struct linger hard = { 1, 0 };
	int slot, fd = linked(&slot);

	CALL(setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)));
	CALL(send(fd, "x", 1, 0));
	order("take %d 1", slot);
	CALL(close(fd));
	order("rest %d", slot);
}

CASE_FAST(linger_in_time)
{
	struct linger wait = { 1, 60 };
	int slot, fd = linked(&slot);

	CALL(setsockopt(fd, SOL_SOCKET, SO_LINGER, &wait, sizeof(wait)));
	CALL(send(fd, "0123456789", 10, 0));
	CALL_TIMED(close(fd), 0);
	order("rest %d", slot);
}

CASE(linger_too_long)
{
	struct linger wait = { 1, 1 };
	struct addr to = there(7021);
	int slot, fd = tcp();

	if (family() != AF_INET)
		return;
	order("listen 7021 4 4096");
	CALL(connect(fd, SA(&to), to.len));
	slot = (int)order("accept 7021");
	CALL(setsockopt(fd, SOL_SOCKET, SO_LINGER, &wait, sizeof(wait)));
	fill_stream_bytes();
	say("some: %d", send(fd, stream_bytes, sizeof(stream_bytes), MSG_DONTWAIT) > 4096);
	CALL_TIMED(close(fd), 950);
	say("more: %d", peer("take %d 5000", slot) == 5000);
}

CASE_FAST(linger_zero_and_shutdown)
{
	struct linger hard = { 1, 0 };
	int slot, fd = linked(&slot);

	CALL(setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)));
	CALL(shutdown(fd, SHUT_WR));
	order("rest %d", slot);
	CALL(close(fd));
	settle_acks();
	order("error %d", slot);
}

CASE_FAST(disconnect_resets)
{
	struct addr none = { .ss.ss_family = AF_UNSPEC, .len = sizeof(struct sockaddr_in6) };
	int slot, fd = linked(&slot);

	bring(slot, 10);
	CALL(connect(fd, SA(&none), none.len));
	order("rest %d", slot);
	say_state(fd);
	events_of(fd, ALL, 0);
	CALL(recv(fd, buf, 10, MSG_DONTWAIT));
	CALL(send(fd, "x", 1, MSG_NOSIGNAL));
}

static void shut_read(int fd)
{
	shutdown(fd, SHUT_RD);
}

CASE_FAST(shutdown_wakes_recv)
{
	int slot, fd = linked(&slot);

	later(100, shut_read, fd);
	CALL_TIMED(recv(fd, buf, 1, 0), 0);
	later_done();
}

static void shut_both(int fd)
{
	shutdown(fd, SHUT_RDWR);
}

CASE_FAST(shutdown_wakes_poll)
{
	int slot, fd = linked(&slot);

	later(100, shut_both, fd);
	events_of(fd, POLLIN, 3000);
	later_done();
}

CASE_FAST(end_wakes_select)
{
	struct timeval limit = { 3, 0 };
	int slot, fd = linked(&slot);
	fd_set in, bad;

	FD_ZERO(&in);
	FD_ZERO(&bad);
	FD_SET(fd, &in);
	FD_SET(fd, &bad);
	order("later 100 fin %d", slot);
	CALL(select(fd + 1, &in, NULL, &bad, &limit));
	say("in %d bad %d", FD_ISSET(fd, &in), FD_ISSET(fd, &bad));
	CALL(recv(fd, buf, 1, 0));
}

CASE_FAST(urgent_wakes_select)
{
	struct timeval limit = { 3, 0 };
	int slot, fd = linked(&slot);
	fd_set in, bad;

	FD_ZERO(&in);
	FD_ZERO(&bad);
	FD_SET(fd, &in);
	FD_SET(fd, &bad);
	order("oob %d", slot);
	CALL(select(fd + 1, NULL, NULL, &bad, &limit));
	say("bad %d", FD_ISSET(fd, &bad));
	CALL(recv(fd, buf, 1, MSG_OOB));
}

CASE_FAST(states_of_the_active_end)
{
	int slot, fd = tcp();
	struct addr to = there(PORT_PEER);

	say_state(fd);
	CALL(connect(fd, SA(&to), to.len));
	slot = (int)order("accept %d", PORT_PEER);
	say_state(fd);
	CALL(shutdown(fd, SHUT_WR));
	order("rest %d", slot);
	settle_acks();
	say_state(fd);
	order("fin %d", slot);
	settle_acks();
	say_state(fd);
}

CASE_FAST(states_of_the_passive_end)
{
	int slot, fd = linked_in(&slot);

	say_state(fd);
	order("fin %d", slot);
	events_of(fd, POLLIN, 2000);
	say_state(fd);
	CALL(shutdown(fd, SHUT_WR));
	order("rest %d", slot);
	settle_acks();
	say_state(fd);
}

CASE_FAST(keepalive_of_a_living_peer)
{
	int slot, fd = linked(&slot);

	if (family() != AF_INET)
		return;
	set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, 1);
	set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, 1);
	set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, 1);
	set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	events_of(fd, POLLIN, 2500);
	bring(slot, 10);
	receive_all(fd, 10);
}
