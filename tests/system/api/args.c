/* SPDX-License-Identifier: BSD-2-Clause */
/* args.c - argument errors of the calls that make, name and join sockets. P50, P51. */
#include "record.h"

CASE(socket_kinds)
{
	int fd;

	CALL_FD(socket(family(), SOCK_DGRAM, 0));
	CALL_FD(socket(family(), SOCK_DGRAM, IPPROTO_UDP));
	CALL_FD(socket(family(), SOCK_DGRAM, IPPROTO_TCP));
	CALL_FD(socket(family(), SOCK_DGRAM, 255));
	CALL_FD(socket(family(), SOCK_DGRAM, 100000));
	CALL_FD(socket(family(), 77, 0));
	CALL_FD(socket(family(), SOCK_SEQPACKET, IPPROTO_UDP));
	CALL_FD(socket(9999, SOCK_DGRAM, 0));
	CALL_FD(socket(-1, SOCK_DGRAM, 0));
	CALL_FD(socket(AF_UNIX, SOCK_DGRAM, 0));
	CALL_FD(socket(family(), SOCK_STREAM, 0));
	CALL_FD(socket(family(), SOCK_DGRAM | 0x100, 0));
	fd = socket(family(), SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	CALL(fcntl(fd, F_GETFL));
	CALL(fcntl(fd, F_GETFD));
	fd = socket(family(), SOCK_DGRAM, 0);
	CALL(fcntl(fd, F_GETFL));
	CALL(fcntl(fd, F_GETFD));
}

CASE(descriptor_is_lowest_free)
{
	int one = udp(), two = udp(), again;

	say("adjacent: %d", two - one);
	CALL(close(one));
	again = udp();
	say("number used again: %d", again == one);
}

CASE(bind_errors)
{
	struct addr a = here(PORT_HERE), foreign = there(PORT_HERE);
	int fd = udp(), other = udp(), pipes[2];

	CALL(bind(fd, SA(&a), 0));
	CALL(bind(fd, SA(&a), 2));
	CALL(bind(fd, SA(&a), (socklen_t)-1));
	CALL(bind(fd, SA(&a), sizeof(struct sockaddr_storage) + 1));
	CALL(bind(fd, SA(&foreign), foreign.len));
	a.ss.ss_family = AF_UNIX;
	CALL(bind(fd, SA(&a), a.len));
	a = here(PORT_HERE);
	CALL(bind(fd, SA(&a), a.len));
	CALL(bind(fd, SA(&a), a.len));
	CALL(bind(other, SA(&a), a.len));
	a = any(PORT_HERE);
	CALL(bind(other, SA(&a), a.len));
	CALL(bind(-1, SA(&a), a.len));
	CALL(bind(9999, SA(&a), a.len));
	if (pipe(pipes) == 0)
		CALL(bind(pipes[0], SA(&a), a.len));
}

CASE(bind_port_zero_and_wildcard)
{
	struct addr a = any(0), name = { .len = sizeof(name.ss) };
	int fd = udp();

	CALL(bind(fd, SA(&a), a.len));
	CALL(getsockname(fd, SA(&name), &name.len));
	say_addr("name", &name);
	fd = udp();
	a = here(0);
	CALL(bind(fd, SA(&a), a.len));
	name.len = sizeof(name.ss);
	CALL(getsockname(fd, SA(&name), &name.len));
	say_addr("name", &name);
}

CASE_BY(bind_reuse, port_shared)
{
	struct addr a = here(PORT_HERE);
	int one = udp(), two = udp(), three = udp(), on = 1;

	CALL(setsockopt(one, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)));
	CALL(bind(one, SA(&a), a.len));
	CALL(bind(two, SA(&a), a.len));
	CALL(setsockopt(two, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)));
	CALL(bind(two, SA(&a), a.len));
	CALL(setsockopt(three, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)));
	CALL(bind(three, SA(&a), a.len));
}

CASE(bind_again_after_close)
{
	int i, fd;

	for (i = 0; i < 5; i++) {
		fd = udp_bound(PORT_HERE);
		CALL(close(fd));
	}
}

CASE(connect_errors)
{
	struct addr a = there(PORT_ECHO);
	int fd = udp(), pipes[2];

	CALL(connect(fd, SA(&a), 0));
	CALL(connect(fd, SA(&a), 1));
	CALL(connect(fd, SA(&a), 4));
	CALL(connect(fd, SA(&a), (socklen_t)-1));
	a.ss.ss_family = AF_UNIX;
	CALL(connect(fd, SA(&a), a.len));
	a.ss.ss_family = 9999;
	CALL(connect(fd, SA(&a), a.len));
	a = there(PORT_ECHO);
	CALL(connect(-1, SA(&a), a.len));
	CALL(connect(9999, SA(&a), a.len));
	if (pipe(pipes) == 0)
		CALL(connect(pipes[0], SA(&a), a.len));
	a = there(0);
	CALL(connect(fd, SA(&a), a.len));
}

CASE(connect_unreachable)
{
	struct addr a = there(PORT_ECHO);
	int fd = udp();

	if (family() == AF_INET)
		inet_pton(AF_INET, "192.0.2.1", &((struct sockaddr_in *)&a.ss)->sin_addr);
	else if (mapped())
		inet_pton(AF_INET6, "::ffff:192.0.2.1", &((struct sockaddr_in6 *)&a.ss)->sin6_addr);
	else
		inet_pton(AF_INET6, "2001:db8::1", &((struct sockaddr_in6 *)&a.ss)->sin6_addr);
	CALL(connect(fd, SA(&a), a.len));
	CALL(sendto(fd, "x", 1, 0, SA(&a), a.len));
	if (family() != AF_INET)
		return;
	inet_pton(AF_INET, "255.255.255.255", &((struct sockaddr_in *)&a.ss)->sin_addr);
	CALL(connect(fd, SA(&a), a.len));
	CALL(sendto(fd, "x", 1, 0, SA(&a), a.len));
	inet_pton(AF_INET, "10.77.0.255", &((struct sockaddr_in *)&a.ss)->sin_addr);
	CALL(connect(fd, SA(&a), a.len));
	CALL(sendto(fd, "x", 1, 0, SA(&a), a.len));
}

CASE(names)
{
	struct addr a = { .len = 0 };
	int fd = udp(), pipes[2];

	a.len = sizeof(a.ss);
	CALL(getsockname(fd, SA(&a), &a.len));
	say_addr("unbound", &a);
	a.len = sizeof(a.ss);
	CALL(getpeername(fd, SA(&a), &a.len));
	fd = udp_connected(PORT_HERE, PORT_ECHO);
	a.len = sizeof(a.ss);
	CALL(getsockname(fd, SA(&a), &a.len));
	say_addr("local", &a);
	a.len = sizeof(a.ss);
	CALL(getpeername(fd, SA(&a), &a.len));
	say_addr("remote", &a);
	memset(&a, 0x55, sizeof(a));
	a.len = 0;
	CALL(getsockname(fd, SA(&a), &a.len));
	say("length %u, untouched %d", a.len, ((unsigned char *)&a.ss)[0] == 0x55);
	memset(&a, 0x55, sizeof(a));
	a.len = 4;
	CALL(getpeername(fd, SA(&a), &a.len));
	say("length %u, cut after four: %d", a.len, ((unsigned char *)&a.ss)[4] == 0x55);
	a.len = (socklen_t)-1;
	CALL(getsockname(fd, SA(&a), &a.len));
	a.len = (socklen_t)-1;
	CALL(getpeername(fd, SA(&a), &a.len));
	a.len = sizeof(a.ss);
	CALL(getsockname(-1, SA(&a), &a.len));
	CALL(getpeername(9999, SA(&a), &a.len));
	if (pipe(pipes) == 0) {
		CALL(getsockname(pipes[0], SA(&a), &a.len));
		CALL(getpeername(pipes[0], SA(&a), &a.len));
	}
}

CASE_FAST(implicit_bind)
{
	struct addr to = there(PORT_SINK), a = { .len = sizeof(a.ss) };
	int fd = udp();

	CALL(sendto(fd, "hello", 5, 0, SA(&to), to.len));
	CALL(getsockname(fd, SA(&a), &a.len));
	say_addr("after sendto", &a);
	fd = udp();
	CALL(connect(fd, SA(&to), to.len));
	a.len = sizeof(a.ss);
	CALL(getsockname(fd, SA(&a), &a.len));
	say_addr("after connect", &a);
	say("peer got %ld", peer("got"));
}

CASE(stream_calls_on_datagram_sockets)
{
	struct addr a = { .len = sizeof(a.ss) };
	int fd = udp_bound(PORT_HERE);

	CALL(listen(fd, 5));
	CALL(accept(fd, SA(&a), &a.len));
	CALL(accept4(fd, SA(&a), &a.len, SOCK_NONBLOCK));
	CALL(lseek(fd, 0, SEEK_SET));
	CALL(ftruncate(fd, 0));
	CALL(fsync(fd));
	CALL(sockatmark(fd));
	CALL(isfdtype(fd, 0140000));
}

CASE(v6only)
{
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(PORT_HERE) };
	struct addr a = any(PORT_HERE), to = there(PORT_SINK);
	int fd = udp(), other, on = 1, value = -1;
	socklen_t len = sizeof(value);

	CALL(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)));
	CALL(getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &value, &len));
	say("value %d", value);
	CALL(bind(fd, SA(&a), a.len));
	CALL(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)));
	other = socket(AF_INET, SOCK_DGRAM, 0);
	CALL(bind(other, (struct sockaddr *)&four, sizeof(four)));
	CALL(sendto(fd, "x", 1, 0, SA(&to), to.len));
	CALL(connect(fd, SA(&to), to.len));
	CALL(sendto(fd, "x", 1, 0, (struct sockaddr *)&four, sizeof(four)));
}
