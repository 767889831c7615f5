/* SPDX-License-Identifier: BSD-2-Clause */
/* style.c - options that change the headers or the way of what is sent, and UDP_SEGMENT, UDP_GRO, corks. */
#include "record.h"

#include <linux/errqueue.h>
#include <net/if.h>
#include <netinet/udp.h>

#ifndef UDP_GRO
#define UDP_GRO 104
#endif
#ifndef SO_ZEROCOPY
#define SO_ZEROCOPY 60
#endif

static bool v4(void)
{
	return family() == AF_INET || mapped();
}

static void set(int fd, int level, int name, int value)
{
	say("level %d name %d value %d", level, name, value);
	CALL(setsockopt(fd, level, name, &value, sizeof(value)));
}

static void put(int fd, const void *data, size_t len, int flags)
{
	struct addr to = there(PORT_SINK);

	CALL(sendto(fd, data, len, flags, SA(&to), to.len));
}

static void seen(void)
{
	long n = peer("got");

	say("  got %ld of %ld bytes hash %ld", n, peer("bytes"), peer("hash"));
}

static void seen_with_style(void)
{
	seen();
	say("  ttl %ld tos %ld", peer("ttl"), peer("tos"));
}

CASE_FAST(ttl)
{
	static const int values[] = { 1, 9, 255, -1 };
	int fd = udp_bound(PORT_HERE);

	for (int i = 0; i < 4; i++) {
		set(fd, v4() ? IPPROTO_IP : IPPROTO_IPV6, v4() ? IP_TTL : IPV6_UNICAST_HOPS, values[i]);
		put(fd, "hello", 5, 0);
		seen_with_style();
	}
}

CASE_FAST(tos)
{
	static const int values[] = { 0x10, 0xb8, 0xff, 0 };
	int fd = udp_bound(PORT_HERE);

	for (int i = 0; i < 4; i++) {
		set(fd, v4() ? IPPROTO_IP : IPPROTO_IPV6, v4() ? IP_TOS : IPV6_TCLASS, values[i]);
		put(fd, "hello", 5, 0);
		seen_with_style();
	}
}

/* The options of one family leave the other's datagrams alone. */
CASE_FAST(other_family)
{
	int fd = udp_bound(PORT_HERE);

	if (family() == AF_INET)
		set(fd, IPPROTO_IPV6, IPV6_TCLASS, 0x20);
	else
		set(fd, v4() ? IPPROTO_IPV6 : IPPROTO_IP, v4() ? IPV6_TCLASS : IP_TOS, 0x20);
	put(fd, "hello", 5, 0);
	seen_with_style();
}

CASE_FAST(path_mtu_discovery)
{
	int fd = udp_bound(PORT_HERE);

	for (int i = 0; i <= 5; i++) {
		set(fd, v4() ? IPPROTO_IP : IPPROTO_IPV6, v4() ? IP_MTU_DISCOVER : IPV6_MTU_DISCOVER, i);
		put(fd, "hello", 5, 0);
		seen();
	}
}

CASE(too_long)
{
	int fd = udp_bound(PORT_HERE);
	static char big[3000];

	for (int i = 0; i <= 5; i++) {
		set(fd, v4() ? IPPROTO_IP : IPPROTO_IPV6, v4() ? IP_MTU_DISCOVER : IPV6_MTU_DISCOVER, i);
		put(fd, big, sizeof(big), 0);
		seen();
	}
}

/* A local error joins the queue of errors, which is the shadow's. */
CASE_PART(too_long_is_queued)
{
	int fd = udp_connected(PORT_HERE, PORT_SINK), level = v4() ? IPPROTO_IP : IPPROTO_IPV6;
	unsigned char control[512], data[64];
	struct iovec iov = { data, sizeof(data) };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			    .msg_controllen = sizeof(control) };
	static char big[3000];
	struct sock_extended_err e;
	struct cmsghdr *c;

	set(fd, level, v4() ? IP_RECVERR : IPV6_RECVERR, 1);
	set(fd, level, v4() ? IP_MTU_DISCOVER : IPV6_MTU_DISCOVER, IP_PMTUDISC_DO);
	CALL(send(fd, big, sizeof(big), 0));
	CALL(recvmsg(fd, &m, MSG_ERRQUEUE));
	c = CMSG_FIRSTHDR(&m);
	if (c && c->cmsg_len >= CMSG_LEN(sizeof(e))) {
		memcpy(&e, CMSG_DATA(c), sizeof(e));
		say("level %d type %d: errno %u origin %u info %u", c->cmsg_level, c->cmsg_type, e.ee_errno,
		    e.ee_origin, e.ee_info);
	}
	CALL(recvmsg(fd, &m, MSG_ERRQUEUE | MSG_DONTWAIT));
	CALL(send(fd, "small", 5, 0));
	seen();
}

/* With the option an unconnected socket hears of them, too. */
CASE(refused_unconnected)
{
	int fd = udp_bound(PORT_HERE);
	struct addr to = there(PORT_CLOSED);

	set(fd, v4() ? IPPROTO_IP : IPPROTO_IPV6, v4() ? IP_RECVERR : IPV6_RECVERR, 1);
	CALL(sendto(fd, "x", 1, 0, SA(&to), to.len));
	settle();
	sleep_ms(5);
	CALL(sendto(fd, "x", 1, 0, SA(&to), to.len));
}

CASE_FAST(without_checksum)
{
	int fd = udp_bound(PORT_HERE);

	set(fd, SOL_SOCKET, SO_NO_CHECK, 1);
	if (v4()) { /* IPv6 has an option of its own, and the peer would have to agree */
		put(fd, "hello", 5, 0);
		seen();
	}
	set(fd, SOL_SOCKET, SO_NO_CHECK, 0);
	put(fd, "hello", 5, 0);
	seen();
}

CASE_FAST(priority_and_mark)
{
	int fd = udp_bound(PORT_HERE);

	set(fd, SOL_SOCKET, SO_PRIORITY, 5);
	put(fd, "hello", 5, 0);
	seen();
	set(fd, SOL_SOCKET, SO_MARK, 77);
	put(fd, "hello", 5, 0);
	seen();
}

CASE_FAST(on_link_only)
{
	int fd = udp_bound(PORT_HERE);

	put(fd, "hello", 5, MSG_DONTROUTE);
	seen();
	set(fd, SOL_SOCKET, SO_DONTROUTE, 1);
	put(fd, "hello", 5, 0);
	seen();
}

CASE_FAST(mirrored)
{
	static const int names[] = { SO_BUSY_POLL, 69, 70, SO_INCOMING_CPU, SO_RCVLOWAT, SO_MAX_PACING_RATE,
				     SO_SELECT_ERR_QUEUE, SO_ZEROCOPY, SO_KEEPALIVE, SO_BROADCAST };
	int fd = udp_bound(PORT_HERE), value;
	socklen_t len = sizeof(value);

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		set(fd, SOL_SOCKET, names[i], 1);
		CALL(getsockopt(fd, SOL_SOCKET, names[i], &value, &len));
		say("reads %d", value);
		put(fd, "hello", 5, 0);
		seen();
	}
}

CASE_FAST(flags_that_change_nothing)
{
	static const int flags[] = { MSG_CONFIRM, MSG_NOSIGNAL, MSG_DONTWAIT, MSG_EOR };
	int fd = udp_bound(PORT_HERE);
	char c[16];

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		put(fd, "hello", 5, flags[i]);
		seen();
	}
	deliver(PORT_HERE, 10, 2);
	CALL(recv(fd, c, sizeof(c), MSG_WAITALL));
	CALL(recv(fd, c, sizeof(c), MSG_WAITALL | MSG_DONTWAIT));
}

CASE(flags_of_one_call)
{
	static const int flags[] = { MSG_OOB, MSG_PROXY, MSG_CONFIRM | MSG_PROXY, MSG_WAITALL, MSG_TRUNC, 0x8000000 };
	int fd = udp_bound(PORT_HERE);

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		say("flags %x", flags[i]);
		put(fd, "hello", 5, flags[i]);
		seen();
	}
}

/* --- corks --- */

CASE_PART(more_joins)
{
	int fd = udp_bound(PORT_HERE);

	put(fd, "one", 3, MSG_MORE);
	put(fd, "two", 3, MSG_MORE);
	seen();
	put(fd, "three", 5, 0);
	seen();
	put(fd, "alone", 5, 0);
	seen();
}

CASE_PART(cork_joins)
{
	int fd = udp_bound(PORT_HERE);

	set(fd, IPPROTO_UDP, UDP_CORK, 1);
	put(fd, "one", 3, 0);
	put(fd, "two", 3, MSG_MORE);
	seen();
	set(fd, IPPROTO_UDP, UDP_CORK, 0);
	seen();
	put(fd, "alone", 5, 0);
	seen();
}

/* --- segments --- */

CASE_FAST(segmented)
{
	int fd = udp_bound(PORT_HERE);
	static unsigned char big[60000];

	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = pattern(1, i);
	set(fd, IPPROTO_UDP, UDP_SEGMENT, 1000);
	put(fd, big, 60000, 0);
	seen();
	put(fd, big, 2500, 0);
	seen();
	put(fd, big, 1000, 0);
	seen();
	put(fd, big, 10, 0);
	seen();
	put(fd, big, 0, 0);
	seen();
	set(fd, IPPROTO_UDP, UDP_SEGMENT, 0);
	put(fd, big, 1400, 0);
	seen();
}

CASE_PART(segments_refused)
{
	int fd = udp_bound(PORT_HERE);
	static unsigned char big[65536];

	set(fd, IPPROTO_UDP, UDP_SEGMENT, -1);
	set(fd, IPPROTO_UDP, UDP_SEGMENT, 65536);
	set(fd, IPPROTO_UDP, UDP_SEGMENT, 1473);
	put(fd, big, 3000, 0);
	put(fd, big, 100, 0);
	set(fd, IPPROTO_UDP, UDP_SEGMENT, 10);
	put(fd, big, 10000, 0);
	put(fd, big, 1290, 0);
	put(fd, big, 65535, 0);
	if (v4()) {
		set(fd, SOL_SOCKET, SO_NO_CHECK, 1);
		put(fd, big, 100, 0);
	}
}

/* Twenty datagrams of 1000 bytes that were one call of the peer's, however they are merged. */
static void read_segments(int fd)
{
	static unsigned char data[65536], control[128];
	int total = 0, n = 0;

	while (n < 20) {
		struct iovec iov = { data, sizeof(data) };
		struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
				    .msg_controllen = sizeof(control) };
		ssize_t got = recvmsg(fd, &m, 0);
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		int size = (int)got;

		if (got <= 0)
			fail("recvmsg");
		if (c && c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO &&
		    c->cmsg_len == CMSG_LEN(sizeof(size)))
			memcpy(&size, CMSG_DATA(c), sizeof(size));
		for (ssize_t i = 0; i < got; i++)
			if (data[i] != (unsigned char)((total + i) * 7 + ((total + i) >> 8)))
				fail("byte %zd", total + i);
		if (size != 1000 || (m.msg_flags & MSG_TRUNC))
			say("segments of %d, flags %x", size, m.msg_flags);
		total += (int)got;
		n += (int)(got + size - 1) / size;
	}
	say("%d bytes in %d datagrams", total, n);
}

/*
 * Merging is the receiver's to choose: what counts is that every byte arrives and can be told apart. In generic
 * mode the first calls, until there are packet sockets for what is not summed, come by the shadow.
 */
CASE_PART(merged)
{
	int fd = udp_bound(PORT_HERE), value = -1;
	socklen_t len = sizeof(value);

	set(fd, IPPROTO_UDP, UDP_GRO, 1);
	CALL(getsockopt(fd, IPPROTO_UDP, UDP_GRO, &value, &len));
	say("reads %d", value);
	for (int i = 0; i < 8; i++) {
		say("sent %ld", peer("segments 1000 20 %d", PORT_HERE));
		read_segments(fd);
		usleep(20000);
	}
}

/* --- what falls back, and says so --- */

CASE_BY(filter, option)
{
	int fd = udp_bound(PORT_HERE);
	struct { uint16_t code; uint8_t jt, jf; uint32_t k; } all = { 6, 0, 0, 0xffff };
	struct { unsigned short len; void *filter; } program = { 1, &all };

	CALL(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)));
	put(fd, "hello", 5, 0);
	seen();
}

CASE_BY(peek_offset, option)
{
	int fd = udp_bound(PORT_HERE);
	char c[16];

	set(fd, SOL_SOCKET, SO_PEEK_OFF, 3);
	deliver(PORT_HERE, 10, 1);
	CALL(recv(fd, c, sizeof(c), MSG_PEEK));
	CALL(recv(fd, c, sizeof(c), MSG_PEEK | MSG_DONTWAIT));
	CALL(recv(fd, c, sizeof(c), 0));
}

CASE_BY(zerocopy, flag)
{
	int fd = udp_bound(PORT_HERE);

	set(fd, SOL_SOCKET, SO_ZEROCOPY, 1);
	put(fd, "hello", 5, MSG_ZEROCOPY);
	seen();
}

CASE_BY(unknown_to_the_fast_path, option)
{
	int fd = udp_bound(PORT_HERE);

	set(fd, IPPROTO_IP, IP_RECVOPTS, 1);
	set(fd, SOL_SOCKET, SO_TIMESTAMP, 1);
	put(fd, "hello", 5, 0);
	seen();
}

/* What had arrived before the option is received after it, unread until then. */
CASE_BY(fall_back_keeps_what_came, option)
{
	int fd = udp_bound(PORT_HERE), n = 0;
	char buf[64];

	peer("send %d 10 40", PORT_HERE);
	usleep(100000);
	set(fd, IPPROTO_IP, IP_RECVOPTS, 1);
	while (recv(fd, buf, sizeof(buf), MSG_DONTWAIT) > 0)
		n++;
	say("received %d", n);
}

CASE_BY(nobodys_address, no_interface)
{
	int fd = udp();
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(PORT_HERE) };
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(PORT_HERE) };

	set(fd, IPPROTO_IP, IP_FREEBIND, 1);
	inet_pton(AF_INET, "192.0.2.99", &in.sin_addr);
	inet_pton(AF_INET6, mapped() ? "::ffff:192.0.2.99" : "2001:db8::99", &in6.sin6_addr);
	if (family() == AF_INET)
		CALL(bind(fd, (struct sockaddr *)&in, sizeof(in)));
	else
		CALL(bind(fd, (struct sockaddr *)&in6, sizeof(in6)));
}
