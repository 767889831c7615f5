/* SPDX-License-Identifier: BSD-2-Clause */
/* connect.c - connected datagram sockets: filtering, reconnecting, refused ports. P45, P51. */
#include "record.h"

static unsigned char buf[2048];

static int disconnect(int fd)
{
	struct addr none = { .ss.ss_family = AF_UNSPEC, .len = sizeof(struct sockaddr_in6) };

	return connect(fd, SA(&none), none.len);
}

static void names(int fd)
{
	struct addr a = { .len = sizeof(a.ss) };

	if (CALL(getsockname(fd, SA(&a), &a.len)) == 0)
		say_addr("  local", &a);
	a.len = sizeof(a.ss);
	if (CALL(getpeername(fd, SA(&a), &a.len)) == 0)
		say_addr("  remote", &a);
}

/* Only the connected peer is heard. */
CASE_FAST(filters)
{
	int fd = udp_connected(PORT_HERE, PORT_SOURCE);

	deliver(PORT_HERE, 20, 1);
	say("from another port: %ld", peer("from 7100 %d 30", PORT_HERE));
	settle();
	deliver(PORT_HERE, 40, 1);
	CALL(recv(fd, buf, sizeof(buf), MSG_DONTWAIT));
	CALL(recv(fd, buf, sizeof(buf), MSG_DONTWAIT));
	CALL(recv(fd, buf, sizeof(buf), MSG_DONTWAIT));
}

/* What was queued before connect() stays readable. */
CASE_FAST(queued_before_connect)
{
	struct addr to = there(PORT_SOURCE), from = { .len = sizeof(from.ss) };
	int fd = udp_bound(PORT_HERE);

	say("from another port: %ld", peer("from 7100 %d 30", PORT_HERE));
	settle();
	CALL(connect(fd, SA(&to), to.len));
	CALL(recvfrom(fd, buf, sizeof(buf), MSG_DONTWAIT, SA(&from), &from.len));
	say_addr("from", &from);
	CALL(recv(fd, buf, sizeof(buf), MSG_DONTWAIT));
}

CASE_FAST(reconnect_and_disconnect)
{
	struct addr to = there(PORT_ECHO);
	int fd = udp();

	names(fd);
	CALL(connect(fd, SA(&to), to.len));
	names(fd);
	CALL(send(fd, "one", 3, 0));
	CALL(recv(fd, buf, sizeof(buf), 0));
	to = there(PORT_SINK);
	CALL(connect(fd, SA(&to), to.len));
	names(fd);
	CALL(send(fd, "two", 3, 0));
	say("peer got %ld", peer("got"));
	CALL(disconnect(fd));
	names(fd);
	CALL(send(fd, "x", 1, 0));
	CALL(disconnect(fd));
	to = there(PORT_ECHO);
	CALL(sendto(fd, "three", 5, 0, SA(&to), to.len));
	CALL(recv(fd, buf, sizeof(buf), 0));
	CALL(connect(fd, SA(&to), to.len));
	CALL(send(fd, "four", 4, 0));
	CALL(recv(fd, buf, sizeof(buf), 0));
}

/* A bound port survives disconnecting; a bound address, too. */
CASE_FAST(disconnect_keeps_the_port)
{
	int fd = udp_connected(PORT_HERE, PORT_ECHO);

	names(fd);
	CALL(disconnect(fd));
	names(fd);
	deliver(PORT_HERE, 25, 1);
	CALL(recv(fd, buf, sizeof(buf), MSG_DONTWAIT));
}

CASE_FAST(connect_before_bind)
{
	struct addr a = here(PORT_HERE);
	int fd = udp_connected(0, PORT_ECHO);

	CALL(bind(fd, SA(&a), a.len));
	CALL(send(fd, "x", 1, 0));
	CALL(recv(fd, buf, sizeof(buf), 0));
}

CASE_FAST(wildcard_then_connect)
{
	struct addr a = any(PORT_HERE), to = there(PORT_ECHO);
	int fd = udp();

	CALL(bind(fd, SA(&a), a.len));
	names(fd);
	CALL(connect(fd, SA(&to), to.len));
	names(fd);
	CALL(send(fd, "x", 1, 0));
	CALL(recv(fd, buf, sizeof(buf), 0));
	CALL(disconnect(fd));
	names(fd);
	deliver(PORT_HERE, 25, 1);
	CALL(recv(fd, buf, sizeof(buf), MSG_DONTWAIT));
}

/* An answer 'port unreachable' is reported once, by whatever call comes next. */
CASE_FAST(refused)
{
	int fd = udp_connected(PORT_HERE, PORT_CLOSED), value = -1;
	socklen_t len = sizeof(value);

	CALL(send(fd, "x", 1, 0));
	settle();
	CALL(recv(fd, buf, sizeof(buf), MSG_DONTWAIT));
	CALL(recv(fd, buf, sizeof(buf), MSG_DONTWAIT));
	CALL(send(fd, "x", 1, 0));
	settle();
	CALL(send(fd, "x", 1, 0));
	CALL(send(fd, "x", 1, 0));
	settle();
	CALL(getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &len));
	say("error %s", strerrorname_np(value));
	CALL(getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &len));
	say("error %d", value);
	CALL(recv(fd, buf, sizeof(buf), MSG_DONTWAIT));
}

CASE_FAST(refused_ends_a_blocking_receive)
{
	int fd = udp_connected(PORT_HERE, PORT_CLOSED);

	CALL(send(fd, "x", 1, 0));
	CALL_TIMED(recv(fd, buf, sizeof(buf), 0), 0);
}

CASE_FAST(refused_unconnected)
{
	struct addr to = there(PORT_CLOSED);
	int fd = udp_bound(PORT_HERE);

	CALL(sendto(fd, "x", 1, 0, SA(&to), to.len));
	settle();
	CALL(recv(fd, buf, sizeof(buf), MSG_DONTWAIT));
	CALL(sendto(fd, "x", 1, 0, SA(&to), to.len));
	settle();
	CALL(sendto(fd, "x", 1, 0, SA(&to), to.len));
}

CASE_FAST(refused_then_data)
{
	struct addr to = there(PORT_CLOSED);
	int fd = udp_connected(PORT_HERE, PORT_CLOSED);

	CALL(send(fd, "x", 1, 0));
	settle();
	to = there(PORT_ECHO);
	CALL(connect(fd, SA(&to), to.len));
	CALL(recv(fd, buf, sizeof(buf), MSG_DONTWAIT));
	CALL(send(fd, "x", 1, 0));
	CALL(recv(fd, buf, sizeof(buf), 0));
}

CASE(refused_other_kinds_of_call)
{
	struct pollfd set;
	int fd = udp_connected(PORT_HERE, PORT_CLOSED);
	struct iovec part = { buf, 10 };
	struct msghdr msg = { .msg_iov = &part, .msg_iovlen = 1 };
	struct mmsghdr many[2] = { { .msg_hdr = msg }, { .msg_hdr = msg } };

	CALL(write(fd, "x", 1));
	settle();
	set = (struct pollfd){ .fd = fd, .events = POLLIN };
	CALL(poll(&set, 1, 0));
	say("events %#x", (unsigned)set.revents);
	set.events = 0;
	CALL(poll(&set, 1, 0));
	say("events %#x", (unsigned)set.revents);
	CALL(read(fd, buf, 10));
	CALL(poll(&set, 1, 0));
	CALL(write(fd, "x", 1));
	settle();
	CALL(recvmsg(fd, &msg, MSG_DONTWAIT));
	CALL(write(fd, "x", 1));
	settle();
	CALL(recvmmsg(fd, many, 2, MSG_DONTWAIT, NULL));
	CALL(write(fd, "x", 1));
	settle();
	CALL(sendmmsg(fd, many, 2, 0));
	settle();
	CALL(sendmsg(fd, &msg, 0));
	CALL(recv(fd, buf, 10, MSG_PEEK | MSG_DONTWAIT));
}

/* Two sockets of one program talking to each other through the peer's namespace do not mix. */
CASE_FAST(two_sockets)
{
	int one = udp_connected(PORT_HERE, PORT_ECHO), two = udp_connected(PORT_HERE2, PORT_ECHO), i;

	for (i = 0; i < 20; i++) {
		send(one, "first", 5, 0);
		send(two, "second!", 7, 0);
		if (recv(two, buf, sizeof(buf), 0) != 7 || recv(one, buf, sizeof(buf), 0) != 5)
			fail("round %d", i);
	}
	say("rounds %d", i);
}

CASE_PART(other_family)
{
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(PORT_ECHO) };
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(PORT_ECHO) };
	int fd = udp();

	inet_pton(AF_INET, "10.77.0.2", &four.sin_addr);
	inet_pton(AF_INET6, "fd77::2", &six.sin6_addr);
	CALL(sendto(fd, "four", 4, 0, (struct sockaddr *)&four, sizeof(four)));
	CALL(sendto(fd, "six", 3, 0, (struct sockaddr *)&six, sizeof(six)));
	fd = udp();
	CALL(connect(fd, (struct sockaddr *)&six, sizeof(six)));
	names(fd);
	CALL(connect(fd, (struct sockaddr *)&four, sizeof(four)));
	names(fd);
}

CASE(scope_of_link_local)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(PORT_ECHO) };
	int fd = udp();

	inet_pton(AF_INET6, "fe80::1234", &six.sin6_addr);
	CALL(connect(fd, (struct sockaddr *)&six, sizeof(six)));
	six.sin6_scope_id = 9999;
	CALL(connect(fd, (struct sockaddr *)&six, sizeof(six)));
}
