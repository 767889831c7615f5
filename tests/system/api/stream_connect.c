/* SPDX-License-Identifier: BSD-2-Clause */
/* stream_connect.c - connect() of streams that waits: errors, addresses, ports, time limits. P34, P39, P45, P51. */
#include "stream.h"

#include <signal.h>

static unsigned char buf[2048];

static int disconnect(int fd)
{
	struct addr none = { .ss.ss_family = AF_UNSPEC, .len = sizeof(struct sockaddr_in6) };

	return connect(fd, SA(&none), none.len);
}

CASE_FAST(out_and_back)
{
	struct addr to = there(PORT_PEER);
	int fd = tcp();

	CALL(connect(fd, SA(&to), to.len));
	order("accept %d", PORT_PEER);
	CALL(send(fd, "hello", 5, 0));
	order("take 0 5");
	bring(0, 9);
	receive_all(fd, 9);
	CALL(close(fd));
	order("rest 0");
}

CASE_FAST(names_before_and_after)
{
	struct addr to = there(PORT_PEER);
	int fd = tcp();

	say_names(fd);
	CALL(connect(fd, SA(&to), to.len));
	say_names(fd);
}

CASE_FAST(connect_again)
{
	struct addr to = there(PORT_PEER);
	int fd = tcp();

	CALL(connect(fd, SA(&to), to.len));
	CALL(connect(fd, SA(&to), to.len));
	CALL(connect(fd, SA(&to), to.len));
	to = there(PORT_CLOSED);
	CALL(connect(fd, SA(&to), to.len));
	say_error(fd);
	order("accept %d", PORT_PEER);
	bring(0, 4);
	receive_all(fd, 4);
}

CASE(refused)
{
	struct addr to = there(PORT_CLOSED);
	int fd = tcp();

	CALL(connect(fd, SA(&to), to.len));
	say_error(fd);
	say_names(fd);
	events_of(fd, POLLIN | POLLOUT, 0);
	CALL(recv(fd, buf, 10, MSG_DONTWAIT));
	CALL(send(fd, "x", 1, MSG_NOSIGNAL));
	CALL(shutdown(fd, SHUT_RDWR));
}

CASE_FAST(refused_then_another_port)
{
	struct addr to = there(PORT_CLOSED);
	int fd = tcp();

	CALL(connect(fd, SA(&to), to.len));
	CALL(connect(fd, SA(&to), to.len));
	to = there(PORT_PEER);
	CALL(connect(fd, SA(&to), to.len));
	order("accept %d", PORT_PEER);
	bring(0, 10);
	receive_all(fd, 10);
}

CASE_FAST(refused_until_somebody_listens)
{
	struct addr to = there(7020);
	int fd = tcp();

	CALL(connect(fd, SA(&to), to.len));
	order("listen 7020 4 0");
	CALL(connect(fd, SA(&to), to.len));
	order("accept 7020");
}

CASE_FAST(from_a_bound_port)
{
	struct addr to = there(PORT_PEER);
	int fd = tcp_bound(PORT_HERE + 10);

	say_names(fd);
	CALL(connect(fd, SA(&to), to.len));
	say_names(fd);
	order("accept %d", PORT_PEER);
	bring(0, 10);
	receive_all(fd, 10);
}

CASE_FAST(from_a_bound_address)
{
	struct addr to = there(PORT_PEER), a = here(0);
	int fd = tcp();

	CALL(bind(fd, SA(&a), a.len));
	say_names(fd);
	CALL(connect(fd, SA(&to), to.len));
	say_names(fd);
	order("accept %d", PORT_PEER);
	bring(0, 10);
	receive_all(fd, 10);
}

CASE_FAST(from_the_wildcard)
{
	struct addr to = there(PORT_PEER), a = any(PORT_HERE + 11);
	int fd = tcp();

	CALL(bind(fd, SA(&a), a.len));
	say_names(fd);
	CALL(connect(fd, SA(&to), to.len));
	say_names(fd);
	order("accept %d", PORT_PEER);
	bring(0, 10);
	receive_all(fd, 10);
}

CASE_FAST(bind_without_a_port)
{
	struct addr to = there(PORT_PEER), a = here(0);
	int fd = tcp();

	set_int(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
	CALL(bind(fd, SA(&a), a.len));
	say_names(fd);
	CALL(connect(fd, SA(&to), to.len));
	say_names(fd);
	order("accept %d", PORT_PEER);
	bring(0, 10);
	receive_all(fd, 10);
}

CASE_FAST(bind_after_connect)
{
	struct addr to = there(PORT_PEER), a = here(PORT_HERE + 12);
	int fd = tcp();

	CALL(connect(fd, SA(&to), to.len));
	CALL(bind(fd, SA(&a), a.len));
	CALL(listen(fd, 4));
	say_state(fd);
}

CASE(same_pair_of_ports_twice)
{
	struct addr to = there(PORT_PEER), a = here(PORT_HERE + 13);
	int one = tcp(), two = tcp(), on = 1;

	setsockopt(one, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(two, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	CALL(bind(one, SA(&a), a.len));
	CALL(bind(two, SA(&a), a.len));
	CALL(connect(one, SA(&to), to.len));
	CALL(connect(two, SA(&to), to.len));
	to = there(PORT_CLOSED);
	CALL(connect(two, SA(&to), to.len));
}

CASE_FAST(one_port_two_peers)
{
	struct addr to = there(PORT_PEER), a = here(PORT_HERE + 14);
	int one = tcp(), two = tcp(), on = 1;

	order("listen 7020 4 0");
	setsockopt(one, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(two, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	CALL(bind(one, SA(&a), a.len));
	CALL(bind(two, SA(&a), a.len));
	CALL(connect(one, SA(&to), to.len));
	to = there(7020);
	CALL(connect(two, SA(&to), to.len));
	order("accept %d", PORT_PEER);
	order("accept 7020");
	bring(0, 10);
	bring(1, 20);
	receive_all(one, 10);
	receive_all(two, 20);
}

CASE(disconnect_fresh)
{
	int fd = tcp();

	CALL(disconnect(fd));
	say_names(fd);
	fd = tcp_bound(PORT_HERE + 15);
	CALL(disconnect(fd));
	say_names(fd);
}

CASE_FAST(disconnect_and_connect_again)
{
	struct addr to = there(PORT_PEER);
	int fd = tcp();

	CALL(connect(fd, SA(&to), to.len));
	order("accept %d", PORT_PEER);
	CALL(disconnect(fd));
	say_state(fd);
	order("rest 0");
	say_names(fd);
	CALL(recv(fd, buf, 1, MSG_DONTWAIT));
	CALL(connect(fd, SA(&to), to.len));
	order("accept %d", PORT_PEER);
	bring(1, 30);
	receive_all(fd, 30);
}

CASE_FAST(disconnect_keeps_the_port)
{
	struct addr to = there(PORT_PEER);
	int fd = tcp_bound(PORT_HERE + 16);

	CALL(connect(fd, SA(&to), to.len));
	CALL(disconnect(fd));
	say_names(fd);
	CALL(connect(fd, SA(&to), to.len));
	say_names(fd);
}

CASE_FAST(disconnect_then_listen)
{
	struct addr to = there(PORT_PEER);
	int fd = tcp_bound(PORT_HERE + 17), slot, got;

	CALL(connect(fd, SA(&to), to.len));
	CALL(disconnect(fd));
	CALL(listen(fd, 4));
	got = taken_in(fd, PORT_HERE + 17, &slot);
	bring(slot, 5);
	receive_all(got, 5);
}

CASE(addresses_of_a_wrong_kind)
{
	struct addr to = there(PORT_PEER);
	int fd = tcp();

	to.ss.ss_family = AF_UNIX;
	CALL(connect(fd, SA(&to), to.len));
	to.ss.ss_family = family() == AF_INET ? AF_INET6 : AF_INET;
	CALL(connect(fd, SA(&to), sizeof(struct sockaddr_in)));
	to = there(PORT_PEER);
	CALL(connect(fd, SA(&to), 0));
	CALL(connect(fd, SA(&to), 1));
	CALL(connect(fd, SA(&to), sizeof(sa_family_t)));
	CALL(connect(fd, SA(&to), to.len - 1));
	CALL(connect(fd, SA(&to), hidden(-1)));
	CALL(connect(fd, SA(&to), sizeof(to.ss) + 1));
	say_state(fd);
}

CASE(address_out_of_reach)
{
	struct addr to = there(PORT_PEER);
	int fd = tcp();

	CALL(connect(fd, (struct sockaddr *)(uintptr_t)hidden(8), to.len));
	say_state(fd);
}

CASE_FAST(address_longer_than_needed)
{
	struct addr to = there(PORT_PEER);
	int fd = tcp();

	CALL(connect(fd, SA(&to), sizeof(to.ss)));
	say_names(fd);
}

CASE(destinations_that_cannot_be)
{
	struct addr to = there(PORT_PEER);
	struct sockaddr_in *four = (struct sockaddr_in *)&to.ss;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)&to.ss;
	const char *prefix = mapped() ? "::ffff:" : "";
	static const char *const v4[] = { "224.0.0.5", "255.255.255.255", "203.0.113.9" };
	static const char *const v6[] = { "ff02::5", "2001:db8::9", "fe80::1234" };
	char text[64];
	size_t i;
	int fd;

	for (i = 0; i < 3; i++) {
		fd = tcp();
		if (family() == AF_INET) {
			inet_pton(AF_INET, v4[i], &four->sin_addr);
		} else {
			snprintf(text, sizeof(text), "%s%s", prefix, mapped() ? v4[i] : v6[i]);
			inet_pton(AF_INET6, text, &six->sin6_addr);
		}
		say("to number %zu", i);
		CALL(connect(fd, SA(&to), to.len));
		say_error(fd);
		say_state(fd);
	}
}

CASE(port_zero)
{
	struct addr to = there(0);
	int fd = tcp();

	CALL(connect(fd, SA(&to), to.len));
	say_error(fd);
}

CASE(on_a_listener)
{
	struct addr to = there(PORT_PEER);
	int fd = tcp_listening(PORT_HERE, 4);

	CALL(connect(fd, SA(&to), to.len));
	say_state(fd);
}

/* To its own address and port: a connection of one end. P51 */
CASE(to_itself)
{
	struct addr a = here(PORT_HERE);
	int fd = tcp_bound(PORT_HERE);

	CALL(connect(fd, SA(&a), a.len));
	say_names(fd);
	say_state(fd);
	CALL(send(fd, "echo", 4, 0));
	receive_all(fd, 4);
	CALL(shutdown(fd, SHUT_WR));
	events_of(fd, POLLIN | POLLRDHUP, 2000);
	say_error(fd);
}

CASE(bad_descriptors)
{
	struct addr to = there(PORT_PEER);
	int pipes[2];

	CALL(pipe(pipes));
	CALL(connect(-1, SA(&to), to.len));
	CALL(connect(99, SA(&to), to.len));
	CALL(connect(pipes[0], SA(&to), to.len));
}

/* SO_SNDTIMEO ends the wait, not the attempt. */
CASE(send_timeout)
{
	struct timeval limit = { 0, 150000 }, none = { 0, 0 };
	struct addr to = nowhere(PORT_PEER);
	int fd = tcp();

	CALL(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)));
	CALL_TICKED(connect(fd, SA(&to), to.len), 150);
	say_error(fd);
	say_state(fd);
	CALL_TICKED(connect(fd, SA(&to), to.len), 0);
	CALL(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof(none)));
	events_of(fd, POLLIN | POLLOUT, 0);
	CALL(close(fd));
}

CASE_FAST(send_timeout_in_time)
{
	struct timeval limit = { 60, 0 };
	struct addr to = there(PORT_PEER);
	int fd = tcp();

	CALL(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)));
	CALL_TICKED(connect(fd, SA(&to), to.len), 0);
}

CASE(signal_interrupts)
{
	struct itimerval soon = { .it_value.tv_usec = 100000 };
	struct addr to = nowhere(PORT_PEER);
	int fd = tcp();

	on_signal(SIGALRM, count_signal, 0);
	setitimer(ITIMER_REAL, &soon, NULL);
	CALL_TICKED(connect(fd, SA(&to), to.len), 0);
	say("signals %d", signals_seen);
	say_state(fd);
	nonblock(fd);
	CALL(connect(fd, SA(&to), to.len));
	events_of(fd, POLLOUT, 0);
}

static void end_it(int fd)
{
	shutdown(fd, SHUT_RDWR);
}

CASE(signal_that_restarts)
{
	struct itimerval soon = { .it_value.tv_usec = 100000 };
	struct timeval limit = { 0, 300000 };
	struct addr to = nowhere(PORT_PEER);
	int fd = tcp();

	on_signal(SIGALRM, count_signal, SA_RESTART);
	setitimer(ITIMER_REAL, &soon, NULL);
	CALL(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)));
	CALL(connect(fd, SA(&to), to.len));
	say("signals %d", signals_seen);
}

CASE(shutdown_ends_the_attempt)
{
	struct addr to = nowhere(PORT_PEER);
	int fd = tcp();

	later(100, end_it, fd);
	CALL_TICKED(connect(fd, SA(&to), to.len), 0);
	later_done();
	say_error(fd);
	say_state(fd);
}

CASE(user_timeout)
{
	struct addr to = nowhere(PORT_PEER);
	int fd = tcp();

	set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 300);
	CALL_TICKED(connect(fd, SA(&to), to.len), 250);
	say_error(fd);
	say_state(fd);
}

CASE(one_repetition)
{
	struct addr to = nowhere(PORT_PEER);
	int fd = tcp();

	if (family() != AF_INET)
		return;
	set_int(fd, IPPROTO_TCP, TCP_SYNCNT, 1);
	CALL_TICKED(connect(fd, SA(&to), to.len), 1500);
	events_of(fd, POLLIN | POLLOUT, 0);
	CALL(recv(fd, buf, 1, 0));
}

/* The other end's first segments are a reset. */
CASE_FAST(peer_accepts_and_resets)
{
	struct addr to = there(PORT_PEER);
	int fd = tcp();

	CALL(connect(fd, SA(&to), to.len));
	order("accept %d", PORT_PEER);
	order("reset 0");
	events_of(fd, POLLIN | POLLRDHUP, 1000);
	say_error(fd);
	CALL(connect(fd, SA(&to), to.len));
}

CASE_FAST(many_in_a_row)
{
	struct addr to = there(PORT_PEER);
	int i, fd;

	for (i = 0; i < 20; i++) {
		fd = tcp();
		if (connect(fd, SA(&to), to.len) < 0 || peer("accept %d", PORT_PEER) != 0)
			fail("round %d", i);
		if (send(fd, "0123456789", 10, 0) != 10 || peer("take 0 10") != 10)
			fail("data of round %d", i);
		close(fd);
		if (peer("rest 0") != 0 || peer("close 0") != 0)
			fail("end of round %d", i);
	}
	say("rounds %d", i);
}

CASE_FAST(many_at_once)
{
	struct addr to = there(PORT_PEER);
	int i, fds[30], wrong = 0;

	for (i = 0; i < 30; i++) {
		fds[i] = tcp();
		if (connect(fds[i], SA(&to), to.len) < 0 || peer("accept %d", PORT_PEER) != i)
			fail("number %d", i);
	}
	for (i = 29; i >= 0; i--) {
		if (send(fds[i], stream_bytes, (size_t)i + 1, 0) != i + 1 || peer("take %d %d", i, i + 1) != i + 1)
			wrong++;
	}
	say("wrong: %d", wrong);
}
