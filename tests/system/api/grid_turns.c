/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * grid_turns.c - every call that takes a socket from one state to another, on a socket of each kind in each state, and
 * what the socket says of itself afterwards. P45, P51, EP13, EP14.
 */
#include "grid.h"

#include <sys/epoll.h>

static unsigned char buf[4096];

static void bind_here(void)
{
	struct addr a = here(PORT_HERE2);

	TRY(bind(it, SA(&a), a.len));
}

static void bind_any(void)
{
	struct addr a = any(0);

	TRY(bind(it, SA(&a), a.len));
}

static void bind_elsewhere(void)
{
	struct addr a = there(PORT_HERE2);

	TRY(bind(it, SA(&a), a.len));
}

static int where(void)
{
	return grid_is_datagram() ? PORT_SINK : PORT_PEER;
}

/* ... and wait for the end of it, where it began. */
static void connect_to(const char *name, struct addr a)
{
	int ret, error;

	errno = ERRNO_MARK;
	ret = connect(it, SA(&a), a.len);
	error = errno;
	/* Whether the peer has answered by now is nobody's result. */
	events_of(it, POLLOUT, ret < 0 && error == EINPROGRESS ? 2000 : 0);
	grid_said(name, ret, error);
}

static void connect_out(void)
{
	struct addr a = there(where());

	connect_to("connect", a);
	connect_to("connect once more", a);
	connect_to("connect for the third time", a);
}

static void connect_to_closed(void)
{
	connect_to("connect where nobody listens", there(PORT_CLOSED));
}

static void disconnect(void)
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };

	TRY(connect(it, &none, sizeof(none)));
	say_names(it);
	connect_to("connect anew", there(where()));
}

static void listen_now(void)
{
	TRY(listen(it, 5));
	TRY(listen(it, 0));
	TRY(listen(it, hidden(-1)));
}

static void accept_one(void)
{
	struct addr a = { .len = sizeof(a.ss) };
	int fd;

	grid_renew();
	errno = ERRNO_MARK;
	fd = accept4(it, SA(&a), &a.len, SOCK_CLOEXEC | SOCK_NONBLOCK);
	grid_said("accept4", fd < 0 ? -1 : 0, errno);
	if (fd < 0)
		return;
	events_of(fd, POLLIN | POLLOUT | POLLRDHUP, 0);
	TRY(accept4(it, NULL, NULL, 0));
	close(fd);
}

/* What acknowledges the last FIN of a connection ends it: whether it has come by now is nobody's result. */
static void await_last_ack(void)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);
	int64_t end = now_ms() + 4000;

	while (getsockopt(it, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 && info.tcpi_state == STATE_LAST_ACK && now_ms() < end)
		sleep_ms(1);
}

static void shut_down(int how)
{
	int ret, error;

	errno = ERRNO_MARK;
	ret = shutdown(it, how);
	error = errno;
	await_last_ack();
	grid_said("shutdown", ret, error);
}

static void shut(int how)
{
	shut_down(how);
	TRY(recv(it, buf, sizeof(buf), 0));
	TRY(recv(it, buf, sizeof(buf), 0));
	TRY(send(it, "x", 1, MSG_NOSIGNAL));
	shut_down(how);
	shut_down(SHUT_RDWR);
}

static void shut_reading(void)
{
	shut(SHUT_RD);
}

static void shut_writing(void)
{
	shut(SHUT_WR);
}

static void shut_both(void)
{
	shut(SHUT_RDWR);
}

static void receive(void)
{
	TRY(recv(it, buf, 1, MSG_PEEK));
	TRY(recv(it, buf, 1, 0));
	TRY(recv(it, buf, sizeof(buf), 0));
	TRY(recv(it, buf, sizeof(buf), 0));
	TRY(read(it, buf, sizeof(buf)));
	TRY(read(it, buf, sizeof(buf)));
}

static void transmit(void)
{
	TRY(send(it, "abc", 3, MSG_NOSIGNAL));
	TRY(send(it, "abc", 3, MSG_NOSIGNAL));
	TRY(recv(it, buf, sizeof(buf), 0));
}

static void transmit_to(void)
{
	struct addr a = there(where());

	TRY(sendto(it, "abc", 3, MSG_NOSIGNAL, SA(&a), a.len));
	TRY(sendto(it, "abc", 3, MSG_NOSIGNAL, SA(&a), a.len));
}

static void error_twice(void)
{
	say_error(it);
	TRY(0);
	say_error(it);
	TRY(0);
}

static void duplicate(void)
{
	int other = dup(it), fd = it;

	close(it);
	it = other;
	TRY(recv(it, buf, 1, MSG_PEEK));
	TRY(send(it, "x", 1, MSG_NOSIGNAL));
	it = dup2(it, fd);
	close(other);
	TRY(recv(it, buf, 1, MSG_PEEK));
}

/* An edge and a single shot: what is reported once is not again. */
static void edges(void)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET };
	int i, n, set = epoll_create1(0);

	epoll_ctl(set, EPOLL_CTL_ADD, it, &event);
	for (i = 0; i < 3; i++) {
		n = epoll_wait(set, &event, 1, 0);
		say("edge: %d, %#x", n, n > 0 ? event.events : 0);
	}
	event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLONESHOT;
	TRY(epoll_ctl(set, EPOLL_CTL_MOD, it, &event));
	for (i = 0; i < 3; i++) {
		n = epoll_wait(set, &event, 1, 0);
		say("one shot: %d, %#x", n, n > 0 ? event.events : 0);
	}
	close(set);
}

struct turn {
	const char *name;
	void (*work)(void);
};

#define TURN(work) { #work, work }

static const struct turn turns[] = {
	TURN(bind_here), TURN(bind_any), TURN(bind_elsewhere), TURN(connect_out), TURN(connect_to_closed), TURN(disconnect),
	TURN(listen_now), TURN(accept_one), TURN(shut_reading), TURN(shut_writing), TURN(shut_both), TURN(receive),
	TURN(transmit), TURN(transmit_to), TURN(error_twice), TURN(duplicate), TURN(edges),
};

/* The peer's kernel may put the acknowledgement of our end off: whether it has come is nobody's result. */
static void say_where(int fd)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 && info.tcpi_state == STATE_FIN_WAIT1)
		say("  state FIN_WAIT2");
	else
		say_state(fd);
}

static void all(const struct grid_state *table, const char *state)
{
	size_t i;

	grid_enter(table, state);
	for (i = 0; i < sizeof(turns) / sizeof(turns[0]); i++) {
		grid_again();
		say("%s", turns[i].name);
		grid_once(true);	/* what follows is about one socket, whatever becomes of it */
		turns[i].work();
		say_error(it);
		if (table == grid_streams)
			say_where(it);
		if (table != grid_others)
			say_names(it);
		grid_once(false);
		grid_leave();
		peer("clear"); /* now that the peer has all of the handshakes */
	}
}

#define STREAM(state) all(grid_streams, #state)
#define DATAGRAM(state) all(grid_datagrams, "datagram_" #state)

CASE_PART(fresh) { STREAM(fresh); }
CASE_PART(bound) { STREAM(bound); }
CASE_PART(listening) { STREAM(listening); }
CASE_PART(awaited) { STREAM(awaited); }
CASE_PART(connecting) { STREAM(connecting); }
CASE_PART(refused) { STREAM(refused); }
CASE_PART(was_refused) { STREAM(was_refused); }
CASE_PART(connected) { STREAM(connected); }
CASE_PART(with_data) { STREAM(with_data); }
CASE_PART(peer_finished) { STREAM(peer_finished); }
CASE_PART(we_finished) { STREAM(we_finished); }
CASE_PART(both_finished) { STREAM(both_finished); }
CASE_PART(deaf) { STREAM(deaf); }
CASE_PART(reset) { STREAM(reset); }
CASE_PART(was_reset) { STREAM(was_reset); }
CASE_PART(datagram_fresh) { DATAGRAM(fresh); }
CASE_PART(datagram_bound) { DATAGRAM(bound); }
CASE_PART(datagram_connected) { DATAGRAM(connected); }
CASE_PART(datagram_with_data) { DATAGRAM(with_data); }
CASE_PART(datagram_refused) { DATAGRAM(refused); }
CASE(datagram_deaf) { DATAGRAM(deaf); }
CASE(datagram_shut) { DATAGRAM(shut); }
