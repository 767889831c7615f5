/* SPDX-License-Identifier: BSD-2-Clause */
/* stream_listen.c - listen(), accept() and accept4() of streams: queue, addresses, options. P50, P51, EP28. */
#include "stream.h"

#include <signal.h>
#include <sys/resource.h>

static unsigned char buf[2048];

static int bound_with(int port, int reuse_addr, int reuse_port)
{
	struct addr a = here(port);
	int fd = tcp();

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &reuse_addr, sizeof(int));
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &reuse_port, sizeof(int));
	CALL(bind(fd, SA(&a), a.len));
	return fd;
}

CASE_FAST(in_and_back)
{
	struct addr a = { .len = sizeof(a.ss) };
	int fd = tcp_listening(PORT_HERE, 8), got;

	peer("begin %d 9100", PORT_HERE);
	got = accept(fd, SA(&a), &a.len);
	say_addr("from", &a);
	order("done 0");
	say_names(got);
	bring(0, 10);
	receive_all(got, 10);
	CALL(send(got, "back", 4, 0));
	order("take 0 4");
	CALL(close(got));
	order("rest 0");
}

CASE_FAST(address_lengths)
{
	static const int lens[] = { 0, 1, 2, 8, 16, 28, 128, 200 };
	struct sockaddr_storage ss[2];
	socklen_t len;
	int fd = tcp_listening(PORT_HERE, 16);
	size_t i;

	for (i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		memset(ss, 0xee, sizeof(ss));
		peer("begin %d %d", PORT_HERE, 9110 + (int)i);
		len = (socklen_t)lens[i];
		CALL_FD(accept(fd, (struct sockaddr *)ss, &len));
		say("  %d became %u", lens[i], len);
		say_data("  address", ss, 32);
	}
}

CASE_FAST(address_is_not_wanted)
{
	socklen_t len = 77;
	struct addr a;
	int fd = tcp_listening(PORT_HERE, 16);

	peer("begin %d", PORT_HERE);
	CALL_FD(accept(fd, NULL, NULL));
	peer("begin %d", PORT_HERE);
	CALL_FD(accept(fd, NULL, &len));
	say("length %u", len);
	peer("begin %d", PORT_HERE);
	CALL_FD(accept(fd, SA(&a), NULL));
	peer("begin %d", PORT_HERE);
	len = (socklen_t)-1;
	CALL_FD(accept(fd, SA(&a), &len));
	nonblock(fd);
	CALL_FD(accept(fd, NULL, NULL));
}

CASE_FAST(flags)
{
	static const int flags[] = { 0, SOCK_NONBLOCK, SOCK_CLOEXEC, SOCK_NONBLOCK | SOCK_CLOEXEC };
	int fd = tcp_listening(PORT_HERE, 16), got;
	size_t i;

	for (i = 0; i < 4; i++) {
		peer("begin %d", PORT_HERE);
		got = accept4(fd, NULL, NULL, flags[i]);
		say("flags %#x: descriptor %d, status %#x", (unsigned)flags[i], fcntl(got, F_GETFD), (unsigned)fcntl(got, F_GETFL));
	}
	CALL_FD(accept4(fd, NULL, NULL, 1));
	CALL_FD(accept4(fd, NULL, NULL, SOCK_NONBLOCK | 0x40000000));
	nonblock(fd);
	peer("begin %d", PORT_HERE);
	events_of(fd, POLLIN, 2000);
	got = accept(fd, NULL, NULL);
	say("of a non-blocking listener: %#x", (unsigned)fcntl(got, F_GETFL));
}

CASE_FAST(nothing_waits)
{
	int fd = tcp_listening(PORT_HERE, 16);

	events_of(fd, POLLIN | POLLOUT, 0);
	nonblock(fd);
	CALL_FD(accept(fd, NULL, NULL));
	peer("begin %d", PORT_HERE);
	events_of(fd, POLLIN | POLLOUT, 2000);
	events_of(fd, POLLIN | POLLOUT, 0);
	CALL_FD(accept(fd, NULL, NULL));
	events_of(fd, POLLIN | POLLOUT, 0);
	CALL_FD(accept(fd, NULL, NULL));
}

CASE(time_limit)
{
	struct timeval limit = { 0, 150000 };
	int fd = tcp_listening(PORT_HERE, 16);

	CALL(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)));
	CALL_TICKED(accept(fd, NULL, NULL), 150);
}

CASE_FAST(time_limit_is_inherited)
{
	struct timeval limit = { 2, 0 }, back = { 77, 77 };
	socklen_t len = sizeof(back);
	int fd = tcp_listening(PORT_HERE, 16), got;

	CALL(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)));
	order("later 50 begin %d", PORT_HERE);
	got = accept(fd, NULL, NULL);
	CALL(getsockopt(got, SOL_SOCKET, SO_RCVTIMEO, &back, &len));
	say("limit %ld.%06ld", (long)back.tv_sec, (long)back.tv_usec);
}

CASE_FAST(waits_for_a_connection)
{
	int fd = tcp_listening(PORT_HERE, 16);

	order("later 100 begin %d", PORT_HERE);
	CALL_FD(accept(fd, NULL, NULL));
	order("later 100 begin %d", PORT_HERE);
	events_of(fd, POLLIN, 3000);
	CALL_FD(accept(fd, NULL, NULL));
}

CASE(signals)
{
	struct timeval limit = { 60, 0 };
	int fd = tcp_listening(PORT_HERE, 16);
	struct itimerval soon = { .it_value.tv_usec = 100000 };

	on_signal(SIGALRM, count_signal, 0);
	setitimer(ITIMER_REAL, &soon, NULL);
	CALL_TICKED(accept(fd, NULL, NULL), 0);
	on_signal(SIGALRM, count_signal, SA_RESTART);
	CALL(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)));
	setitimer(ITIMER_REAL, &soon, NULL);
	CALL_TICKED(accept(fd, NULL, NULL), 0);
	say("signals %d", signals_seen);
}

CASE_FAST(signal_that_restarts)
{
	int fd = tcp_listening(PORT_HERE, 16);
	struct itimerval soon = { .it_value.tv_usec = 60000 };

	on_signal(SIGALRM, count_signal, SA_RESTART);
	setitimer(ITIMER_REAL, &soon, NULL);
	order("later 200 begin %d", PORT_HERE);
	CALL_FD(accept(fd, NULL, NULL));
	say("signals %d", signals_seen);
}

CASE(not_a_listener)
{
	int fd = tcp(), pipes[2];

	nonblock(fd);
	CALL_FD(accept(fd, NULL, NULL));
	fd = tcp_bound(PORT_HERE);
	CALL_FD(accept(fd, NULL, NULL));
	CALL(pipe(pipes));
	CALL_FD(accept(pipes[0], NULL, NULL));
	CALL_FD(accept(-1, NULL, NULL));
	CALL_FD(accept(99, NULL, NULL));
	CALL_FD(accept(socket(AF_INET, SOCK_DGRAM, 0), NULL, NULL));
	CALL(listen(pipes[0], 4));
	CALL(listen(99, 4));
	CALL(listen(socket(AF_INET, SOCK_DGRAM, 0), 4));
}

CASE_FAST(accept_on_a_connection)
{
	int slot, fd = linked(&slot);

	CALL_FD(accept(fd, NULL, NULL));
	CALL(listen(fd, 4));
}

CASE(calls_that_a_listener_refuses)
{
	struct addr a = here(PORT_HERE + 1), name = { .len = sizeof(name.ss) };
	int fd = tcp_listening(PORT_HERE, 16), left = -1;

	CALL(send(fd, "x", 1, MSG_NOSIGNAL));
	CALL(recv(fd, buf, 1, 0));
	CALL(read(fd, buf, 1));
	CALL(bind(fd, SA(&a), a.len));
	CALL(ioctl(fd, FIONREAD, &left));
	CALL(getpeername(fd, SA(&name), &name.len));
	CALL(getsockname(fd, SA(&name), &name.len));
	say_addr("local", &name);
	say_state(fd);
	say_error(fd);
}

CASE(accepting_flag)
{
	int fd = tcp();

	get_int(fd, "fresh", SOL_SOCKET, SO_ACCEPTCONN);
	fd = tcp_bound(PORT_HERE);
	get_int(fd, "bound", SOL_SOCKET, SO_ACCEPTCONN);
	CALL(listen(fd, 4));
	get_int(fd, "listening", SOL_SOCKET, SO_ACCEPTCONN);
	CALL(listen(fd, 9));
	get_int(fd, "listening", SOL_SOCKET, SO_ACCEPTCONN);
	set_int(fd, SOL_SOCKET, SO_ACCEPTCONN, 0);
	CALL(shutdown(fd, SHUT_RDWR));
	get_int(fd, "shut", SOL_SOCKET, SO_ACCEPTCONN);
}

CASE_FAST(unbound)
{
	struct addr a = { .len = sizeof(a.ss) };
	int fd = tcp(), got;

	CALL(listen(fd, 4));
	CALL(getsockname(fd, SA(&a), &a.len));
	say_addr("local", &a);
	peer("begin %d", ntohs(((struct sockaddr_in6 *)&a.ss)->sin6_port));
	got = accept(fd, NULL, NULL);
	bring(0, 10);
	receive_all(got, 10);
}

CASE_FAST(wildcard)
{
	struct addr a = any(PORT_HERE + 1);
	int fd = tcp(), got;

	CALL(bind(fd, SA(&a), a.len));
	CALL(listen(fd, 4));
	peer("begin %d", PORT_HERE + 1);
	got = accept(fd, NULL, NULL);
	say_names(got);
	bring(0, 10);
	receive_all(got, 10);
}

/* A listener of IPv6 alone does not hear IPv4; the port stays free for one that does. */
CASE_FAST(both_families_apart)
{
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(PORT_HERE + 2) };
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(PORT_HERE + 2) };
	int one = socket(AF_INET6, SOCK_STREAM, 0), two = socket(AF_INET, SOCK_STREAM, 0), got;

	CALL(bind(one, (struct sockaddr *)&six, sizeof(six)));
	CALL(bind(two, (struct sockaddr *)&four, sizeof(four)));
	close(one);
	one = socket(AF_INET6, SOCK_STREAM, 0);
	set_int(one, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	CALL(bind(one, (struct sockaddr *)&six, sizeof(six)));
	CALL(bind(two, (struct sockaddr *)&four, sizeof(four)));
	CALL(listen(one, 4));
	CALL(listen(two, 4));
	peer("begin %d", PORT_HERE + 2);
	got = accept(family() == AF_INET || mapped() ? two : one, NULL, NULL);
	bring(0, 10);
	receive_all(got, 10);
	nonblock(one);
	nonblock(two);
	CALL_FD(accept(one, NULL, NULL));
	CALL_FD(accept(two, NULL, NULL));
}

CASE_FAST(first_data_before_accept)
{
	int fd = tcp_listening(PORT_HERE, 16), got;

	peer("begin %d", PORT_HERE);
	events_of(fd, POLLIN, 2000);
	order("done 0");
	bring(0, 1000);
	order("fin 0");
	got = accept(fd, NULL, NULL);
	receive_all(got, 2000);
	say_state(got);
}

CASE_FAST(reset_before_accept)
{
	int fd = tcp_listening(PORT_HERE, 16), got;

	peer("begin %d", PORT_HERE);
	events_of(fd, POLLIN, 2000);
	order("done 0");
	order("reset 0");
	settle();
	events_of(fd, POLLIN, 0);
	got = accept(fd, NULL, NULL);
	say_state(got);
	CALL(recv(got, buf, 1, 0));
	CALL(recv(got, buf, 1, 0));
}

CASE_FAST(in_the_order_of_arrival)
{
	struct addr a;
	int fd = tcp_listening(PORT_HERE, 16), i;

	for (i = 0; i < 5; i++) {
		peer("begin %d %d", PORT_HERE, 9130 + i);
		if (i == 0)
			events_of(fd, POLLIN, 2000);
		order("done %d", i);
	}
	for (i = 0; i < 5; i++) {
		a.len = sizeof(a.ss);
		CALL_FD(accept(fd, SA(&a), &a.len));
		say_addr("from", &a);
	}
}

/* Of more connections than the queue holds, those beyond complete when there is room. */
CASE_PART(backlog)
{
	int fd = tcp_listening(PORT_HERE, 1), i, got = 0;

	for (i = 0; i < 2; i++) {
		peer("begin %d", PORT_HERE);
		events_of(fd, POLLIN, 2000);
		order("done %d", i);
	}
	peer("begin %d", PORT_HERE);
	sleep_ms(100);
	nonblock(fd);
	while (accept(fd, NULL, NULL) >= 0)
		got++;
	say("accepted %d", got);
	events_of(fd, POLLIN, 4000);
	CALL_FD(accept(fd, NULL, NULL));
	order("done 2");
}

CASE_FAST(longer_queue_by_a_second_listen)
{
	int fd = tcp_listening(PORT_HERE, 0), i, got = 0;

	CALL(listen(fd, 10));
	for (i = 0; i < 6; i++) {
		peer("begin %d", PORT_HERE);
		events_of(fd, POLLIN, 2000);
		order("done %d", i);
	}
	CALL(listen(fd, 20));
	nonblock(fd);
	/* The last segment of a peer's handshake may take its time. */
	while (events_of(fd, POLLIN, got < 6 ? 4000 : 0) && accept(fd, NULL, NULL) >= 0)
		got++;
	say("accepted %d", got);
}

CASE_FAST(backlogs_that_make_no_sense)
{
	int fd = tcp_bound(PORT_HERE);

	CALL(listen(fd, hidden(-1)));
	CALL(listen(fd, 0));
	CALL(listen(fd, 1 << 30));
	peer("begin %d", PORT_HERE);
	CALL_FD(accept(fd, NULL, NULL));
}

CASE_FAST(shutdown_stops_listening)
{
	struct addr a = here(PORT_HERE);
	int fd = tcp_listening(PORT_HERE, 8), got;

	CALL(shutdown(fd, SHUT_WR));
	say_state(fd);
	peer("begin %d", PORT_HERE);
	got = accept(fd, NULL, NULL);
	bring(0, 10);
	CALL(shutdown(fd, SHUT_RD));
	say_state(fd);
	events_of(fd, POLLIN | POLLOUT | POLLRDHUP, 0);
	CALL_FD(accept(fd, NULL, NULL));
	order("connect %d", PORT_HERE);
	receive_all(got, 10);
	CALL(bind(fd, SA(&a), a.len));
	CALL(listen(fd, 8));
	say_state(fd);
	peer("begin %d", PORT_HERE);
	CALL_FD(accept(fd, NULL, NULL));
}

static void shut(int fd)
{
	shutdown(fd, SHUT_RDWR);
}

CASE(shutdown_wakes_accept)
{
	int fd = tcp_listening(PORT_HERE, 8);

	later(100, shut, fd);
	CALL_TICKED(accept(fd, NULL, NULL), 0);
	later_done();
}

CASE_FAST(close_with_connections_in_queue)
{
	int fd = tcp_listening(PORT_HERE, 8), i;

	for (i = 0; i < 3; i++) {
		peer("begin %d", PORT_HERE);
		events_of(fd, POLLIN, 2000);
		order("done %d", i);
	}
	CALL(close(fd));
	for (i = 0; i < 3; i++)
		order("rest %d", i);
	order("connect %d", PORT_HERE);
}

CASE_FAST(close_keeps_the_accepted)
{
	int fd = tcp_listening(PORT_HERE, 8), slot, got = taken_in(fd, PORT_HERE, &slot);

	CALL(close(fd));
	bring(slot, 20);
	receive_all(got, 20);
	order("connect %d", PORT_HERE);
	fd = bound_with(PORT_HERE, 0, 0);
	close(fd);
	fd = bound_with(PORT_HERE, 1, 0);
	CALL(listen(fd, 4));
	CALL(send(got, "still", 5, 0));
	order("take %d 5", slot);
}

/* Of a connection that a former listener on the port took in, nothing is left that concerns its address. */
CASE_PART(new_listener_in_the_kernel)
{
	int first = tcp_listening(PORT_HERE, 4), second, fd, slot = (int)order("connect %d %d", PORT_HERE, 6001);

	fd = accept4(first, NULL, NULL, SOCK_CLOEXEC);
	close(first);
	second = tcp_listening(PORT_HERE, 4);
	bring(slot, 10);
	receive_all(fd, 10);
	order("reset %d", slot);
	events_of(fd, POLLIN, 2000);
	close(fd);
	set_int(second, IPPROTO_TCP, TCP_SAVE_SYN, 1); /* this listens in the kernel */
	if (order("connect %d %d", PORT_HERE, 6001) >= 0)
		CALL_FD(accept4(second, NULL, NULL, SOCK_CLOEXEC));
}

CASE(address_in_use)
{
	int one = bound_with(PORT_HERE, 0, 0), two = bound_with(PORT_HERE, 0, 0);

	close(two);
	two = bound_with(PORT_HERE, 1, 0);
	close(two);
	CALL(listen(one, 4));
	two = bound_with(PORT_HERE, 1, 0);
	close(one);
	close(two);
	one = bound_with(PORT_HERE, 1, 0);
	two = bound_with(PORT_HERE, 1, 0);
	CALL(listen(one, 4));
	CALL(listen(two, 4));
}

CASE_FAST(reuseport_pair)
{
	int one = bound_with(PORT_HERE, 0, 1), two = bound_with(PORT_HERE, 0, 1), i, got = 0;
	int other = bound_with(PORT_HERE, 0, 0);

	close(other);
	CALL(listen(one, 16));
	CALL(listen(two, 16));
	nonblock(one);
	nonblock(two);
	for (i = 0; i < 16; i++) {
		struct pollfd set[2] = { { one, POLLIN, 0 }, { two, POLLIN, 0 } };

		peer("begin %d", PORT_HERE);
		poll(set, 2, 2000);
		got += accept(set[0].revents ? one : two, NULL, NULL) >= 0;
	}
	say("accepted %d", got);
}

CASE_FAST(inherited_options)
{
	struct linger linger = { 1, 7 }, back = { 0, 0 };
	socklen_t len = sizeof(back);
	int fd = tcp_bound(PORT_HERE), got, slot;

	set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, 111);
	set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, 22);
	set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
	set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 12345);
	set_int(fd, SOL_SOCKET, SO_RCVBUF, 100000);
	set_int(fd, SOL_SOCKET, SO_SNDBUF, 50000);
	set_int(fd, SOL_SOCKET, SO_RCVLOWAT, 5);
	set_int(fd, SOL_SOCKET, SO_OOBINLINE, 1);
	set_int(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 4096);
	set_int(fd, IPPROTO_IP, IP_TOS, 0x20);
	CALL(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
	CALL(listen(fd, 8));
	got = taken_in(fd, PORT_HERE, &slot);
	get_int(got, "TCP_NODELAY", IPPROTO_TCP, TCP_NODELAY);
	get_int(got, "SO_KEEPALIVE", SOL_SOCKET, SO_KEEPALIVE);
	get_int(got, "TCP_KEEPIDLE", IPPROTO_TCP, TCP_KEEPIDLE);
	get_int(got, "TCP_KEEPINTVL", IPPROTO_TCP, TCP_KEEPINTVL);
	get_int(got, "TCP_KEEPCNT", IPPROTO_TCP, TCP_KEEPCNT);
	get_int(got, "TCP_USER_TIMEOUT", IPPROTO_TCP, TCP_USER_TIMEOUT);
	get_int(got, "SO_RCVBUF", SOL_SOCKET, SO_RCVBUF);
	get_int(got, "SO_SNDBUF", SOL_SOCKET, SO_SNDBUF);
	get_int(got, "SO_RCVLOWAT", SOL_SOCKET, SO_RCVLOWAT);
	get_int(got, "SO_OOBINLINE", SOL_SOCKET, SO_OOBINLINE);
	get_int(got, "TCP_NOTSENT_LOWAT", IPPROTO_TCP, TCP_NOTSENT_LOWAT);
	get_int(got, "IP_TOS", IPPROTO_IP, IP_TOS);
	get_int(got, "SO_REUSEADDR", SOL_SOCKET, SO_REUSEADDR);
	CALL(getsockopt(got, SOL_SOCKET, SO_LINGER, &back, &len));
	say("linger %d %d", back.l_onoff, back.l_linger);
}

/* What is set between listen() and accept() goes to what is accepted later, too. */
CASE_FAST(options_set_while_listening)
{
	int fd = tcp_listening(PORT_HERE, 8), got, slot;

	set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	got = taken_in(fd, PORT_HERE, &slot);
	get_int(got, "TCP_NODELAY", IPPROTO_TCP, TCP_NODELAY);
	get_int(got, "SO_KEEPALIVE", SOL_SOCKET, SO_KEEPALIVE);
}

CASE_FAST(deferred_until_data)
{
	int fd = tcp_bound(PORT_HERE), got;

	set_int(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, 5);
	get_int(fd, "TCP_DEFER_ACCEPT", IPPROTO_TCP, TCP_DEFER_ACCEPT);
	CALL(listen(fd, 8));
	peer("begin %d", PORT_HERE);
	events_of(fd, POLLIN, 150);
	order("done 0");
	events_of(fd, POLLIN, 50);
	order("send 0 10");
	events_of(fd, POLLIN, 3000);
	got = accept(fd, NULL, NULL);
	CALL(recv(got, buf, 100, MSG_DONTWAIT));
}

CASE_FAST(two_listeners)
{
	int one = tcp_listening(PORT_HERE, 8), two = tcp_listening(PORT_HERE2, 8), a, b, first, second;

	a = taken_in(two, PORT_HERE2, &first);
	b = taken_in(one, PORT_HERE, &second);
	bring(first, 10);
	bring(second, 20);
	receive_all(b, 20);
	receive_all(a, 10);
	nonblock(one);
	nonblock(two);
	CALL_FD(accept(one, NULL, NULL));
	CALL_FD(accept(two, NULL, NULL));
}

CASE_FAST(many)
{
	int fd = tcp_listening(PORT_HERE, 32), i, slot, got, bad = 0;

	for (i = 0; i < 30; i++) {
		got = taken_in(fd, PORT_HERE, &slot);
		bad += slot != 0 || peer("deliver 0 100") != 100 || recv(got, buf, 100, MSG_WAITALL) != 100;
		bad += send(got, buf, 50, 0) != 50 || peer("take 0 50") != 50;
		close(got);
		bad += peer("rest 0") != 0 || peer("close 0") != 0;
	}
	say("bad %d", bad);
}

CASE_FAST(listener_of_two_descriptors)
{
	int fd = tcp_listening(PORT_HERE, 8), copy = dup(fd), slot, got;

	CALL(close(fd));
	got = taken_in(copy, PORT_HERE, &slot);
	bring(slot, 10);
	receive_all(got, 10);
	CALL(close(copy));
	order("connect %d", PORT_HERE);
}

/* The connection waits until there is a descriptor again. */
CASE_FAST(no_descriptor_left)
{
	struct rlimit was, none;
	int fd = tcp_listening(PORT_HERE, 8), next = dup(fd);

	peer("begin %d", PORT_HERE);
	events_of(fd, POLLIN, 2000);
	close(next);
	getrlimit(RLIMIT_NOFILE, &was);
	none = (struct rlimit){ (rlim_t)next, was.rlim_max };
	CALL(setrlimit(RLIMIT_NOFILE, &none));
	CALL_FD(accept(fd, NULL, NULL));
	CALL(setrlimit(RLIMIT_NOFILE, &was));
	CALL_FD(accept(fd, NULL, NULL));
}
