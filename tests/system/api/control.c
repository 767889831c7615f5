/* SPDX-License-Identifier: BSD-2-Clause */
/* control.c - control messages: those that come with what is received, those that change what is sent. P49. */
#include "record.h"

#include <net/if.h>
#include <netinet/udp.h>

#ifndef SO_RCVMARK
#define SO_RCVMARK 75
#endif

enum { ROOM = 512 };

struct option {
	int level, name;
	const char *text;
};

#define O(level, name) { level, name, #name }

static const struct option wanted[] = {
	O(IPPROTO_IP, IP_PKTINFO), O(IPPROTO_IP, IP_RECVTTL), O(IPPROTO_IP, IP_RECVTOS),
	O(IPPROTO_IP, IP_RECVORIGDSTADDR), O(IPPROTO_IPV6, IPV6_RECVPKTINFO),
	O(IPPROTO_IPV6, IPV6_RECVHOPLIMIT), O(IPPROTO_IPV6, IPV6_RECVTCLASS),
	O(IPPROTO_IPV6, IPV6_RECVORIGDSTADDR), O(SOL_SOCKET, SO_RCVMARK), O(SOL_SOCKET, SO_RXQ_OVFL),
	O(IPPROTO_IP, IP_RECVFRAGSIZE), O(IPPROTO_IPV6, IPV6_RECVFRAGSIZE), O(IPPROTO_IPV6, IPV6_RECVRTHDR),
	O(IPPROTO_IPV6, IPV6_RECVHOPOPTS), O(IPPROTO_IPV6, IPV6_RECVDSTOPTS), O(IPPROTO_IPV6, IPV6_RECVPATHMTU),
};

enum { N_WANTED = sizeof(wanted) / sizeof(wanted[0]) };

static bool want(int fd, const struct option *o, int on)
{
	return setsockopt(fd, o->level, o->name, &on, sizeof(on)) == 0;
}

static void want_all(int fd)
{
	for (int i = 0; i < N_WANTED; i++)
		want(fd, &wanted[i], 1);
}

static const char *device(unsigned index)
{
	static char name[IF_NAMESIZE];

	return if_indextoname(index, name) ? name : "none";
}

static void say_in(const char *label, const void *address, int kind)
{
	char text[INET6_ADDRSTRLEN];

	inet_ntop(kind, address, text, sizeof(text));
	say("    %s %s", label, text);
}

static void say_message(const struct cmsghdr *c)
{
	const unsigned char *data = CMSG_DATA(c);
	size_t len = c->cmsg_len - CMSG_LEN(0);
	int v;

	say("  level %d type %d length %zu", c->cmsg_level, c->cmsg_type, c->cmsg_len);
	if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO && len == sizeof(struct in_pktinfo)) {
		struct in_pktinfo info;

		memcpy(&info, data, sizeof(info));
		say("    by %s", device((unsigned)info.ipi_ifindex));
		say_in("own", &info.ipi_spec_dst, AF_INET);
		say_in("to", &info.ipi_addr, AF_INET);
	} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO &&
		   len == sizeof(struct in6_pktinfo)) {
		struct in6_pktinfo info;

		memcpy(&info, data, sizeof(info));
		say("    by %s", device(info.ipi6_ifindex));
		say_in("to", &info.ipi6_addr, AF_INET6);
	} else if (len == sizeof(v)) {
		memcpy(&v, data, sizeof(v));
		say("    value %d", v);
	} else {
		say_data("    bytes", data, len);
	}
}

static void get(int fd, size_t room, int flags)
{
	unsigned char control[ROOM], data[2048];
	struct iovec iov = { data, sizeof(data) };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = room ? control : NULL,
			    .msg_controllen = room };
	struct cmsghdr *c;

	memset(control, 0x55, sizeof(control));
	if (CALL(recvmsg(fd, &m, flags)) < 0)
		return;
	say("control %zu flags %x", m.msg_controllen, m.msg_flags);
	for (c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
		say_message(c);
}

static int curious(void)
{
	int fd = udp_bound(PORT_HERE);

	want_all(fd);
	return fd;
}

CASE_FAST(each_alone)
{
	int fd = udp_bound(PORT_HERE);

	peer("style 33 %d", 0xb8);
	for (int i = 0; i < N_WANTED; i++) {
		say("%s", wanted[i].text);
		if (!want(fd, &wanted[i], 1))
			continue;
		deliver(PORT_HERE, 10, 1);
		get(fd, ROOM, 0);
		want(fd, &wanted[i], 0);
		deliver(PORT_HERE, 10, 1);
		get(fd, ROOM, 0);
	}
}

CASE_FAST(all_in_their_order)
{
	int fd = curious();

	peer("style 44 %d", 0x11);
	deliver(PORT_HERE, 100, 2);
	get(fd, ROOM, 0);
	get(fd, ROOM, 0);
	deliver(PORT_HERE, 0, 1);
	get(fd, ROOM, 0);
}

CASE_FAST(truncated)
{
	int fd = curious();

	for (size_t room = 0; room < 200; room += room < 48 ? 1 : 7) {
		unsigned char control[256], data[16];
		struct iovec iov = { data, sizeof(data) };
		struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
				    .msg_controllen = room };

		peer("send %d 10 1", PORT_HERE);
		memset(control, 0x55, sizeof(control));
		if (recvmsg(fd, &m, 0) < 0)
			fail("recvmsg");
		for (size_t i = room; i < sizeof(control); i++)
			if (control[i] != 0x55)
				say("byte %zu beyond the room is written", i);
		say("room %zu control %zu flags %x", room, m.msg_controllen, m.msg_flags);
		say_data("  bytes", control, room);
	}
}

CASE_FAST(no_room_is_said)
{
	int fd = curious();
	struct addr from = { .len = sizeof(from.ss) };
	char data[16];

	deliver(PORT_HERE, 10, 2);
	get(fd, 0, 0);
	CALL(recvfrom(fd, data, sizeof(data), 0, SA(&from), &from.len));
	say_addr("from", &from);
}

CASE_FAST(peeked)
{
	int fd = curious();

	deliver(PORT_HERE, 10, 1);
	get(fd, ROOM, MSG_PEEK);
	get(fd, 20, MSG_PEEK | MSG_TRUNC);
	get(fd, ROOM, 0);
	get(fd, ROOM, MSG_DONTWAIT);
}

CASE_FAST(wildcard_and_connected)
{
	struct addr a = any(PORT_HERE);
	int fd = udp(), other;

	want_all(fd);
	CALL(bind(fd, SA(&a), a.len));
	deliver(PORT_HERE, 10, 1);
	get(fd, ROOM, 0);
	other = udp_connected(PORT_HERE2, PORT_SOURCE);
	want_all(other);
	deliver(PORT_HERE2, 10, 1);
	get(other, ROOM, 0);
}

CASE_FAST(many_messages)
{
	static unsigned char control[3][ROOM], data[3][32];
	struct mmsghdr vec[3];
	struct iovec iov[3];
	int fd = curious();
	int n;

	for (int i = 0; i < 3; i++) {
		iov[i] = (struct iovec){ data[i], sizeof(data[i]) };
		vec[i] = (struct mmsghdr){ .msg_hdr = { .msg_iov = &iov[i], .msg_iovlen = 1,
							.msg_control = control[i],
							.msg_controllen = i == 1 ? 30 : ROOM } };
	}
	deliver(PORT_HERE, 10, 3);
	n = (int)CALL(recvmmsg(fd, vec, 3, MSG_DONTWAIT, NULL));
	for (int i = 0; i < n; i++)
		say("control %zu flags %x", vec[i].msg_hdr.msg_controllen, vec[i].msg_hdr.msg_flags);
}

/* --- sent --- */

/* One datagram to the sink with the message; how it arrived. */
static void put(int fd, int level, int type, const void *value, size_t len)
{
	union {
		struct cmsghdr head;
		unsigned char bytes[CMSG_SPACE(128)];
	} control;
	struct addr to = there(PORT_SINK);
	struct iovec iov = { (void *)(uintptr_t)"0123456789", 10 };
	struct msghdr m = { .msg_name = &to.ss, .msg_namelen = to.len, .msg_iov = &iov, .msg_iovlen = 1,
			    .msg_control = &control, .msg_controllen = CMSG_SPACE(len) };
	long n;

	memset(&control, 0, sizeof(control));
	control.head.cmsg_level = level;
	control.head.cmsg_type = type;
	control.head.cmsg_len = CMSG_LEN(len);
	memcpy(CMSG_DATA(&control.head), value, len);
	say("level %d type %d length %zu", level, type, len);
	if (CALL(sendmsg(fd, &m, 0)) < 0)
		return;
	n = peer("got");
	say("  got %ld of %ld bytes ttl %ld tos %ld from .%ld", n, peer("bytes"), peer("ttl"), peer("tos"),
	    peer("from"));
}

static void put_int(int fd, int level, int type, int value)
{
	say("value %d", value);
	put(fd, level, type, &value, sizeof(value));
}

static void ordinary(int fd)
{
	struct addr to = there(PORT_SINK);

	CALL(sendto(fd, "plain", 5, 0, SA(&to), to.len));
	say("  got %ld ttl %ld tos %ld", peer("got"), peer("ttl"), peer("tos"));
}

CASE_FAST(hop_limit_and_class)
{
	int fd = udp_bound(PORT_HERE);
	unsigned char byte = 0x28;
	bool v4 = family() == AF_INET || mapped();

	put_int(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TTL : IPV6_HOPLIMIT, 7);
	ordinary(fd);
	put_int(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TTL : IPV6_HOPLIMIT, 255);
	put_int(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TOS : IPV6_TCLASS, 0xb9);
	ordinary(fd);
	if (v4)
		put(fd, IPPROTO_IP, IP_TOS, &byte, 1);
	else
		put_int(fd, IPPROTO_IPV6, IPV6_HOPLIMIT, -1);
}

CASE_FAST(segments_of_one_call)
{
	int fd = udp_bound(PORT_HERE);
	uint16_t size = 4;

	put(fd, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size));
	size = 100;
	put(fd, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size));
	size = 0;
	put(fd, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size));
	ordinary(fd);
}

static void put_info(int fd, const struct addr *from, unsigned ifindex)
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&from->ss;
	const struct sockaddr_in *in = (const struct sockaddr_in *)&from->ss;
	struct in6_pktinfo info6 = { .ipi6_ifindex = ifindex };
	struct in_pktinfo info = { .ipi_ifindex = (int)ifindex };

	if (family() == AF_INET) {
		info.ipi_spec_dst = in->sin_addr;
		put(fd, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
	} else {
		info6.ipi6_addr = in6->sin6_addr;
		put(fd, IPPROTO_IPV6, IPV6_PKTINFO, &info6, sizeof(info6));
	}
}

CASE_FAST(source_and_interface)
{
	struct addr wild = any(PORT_HERE), from = here(0);
	int fd = udp();

	CALL(bind(fd, SA(&wild), wild.len));
	ordinary(fd);
	put_info(fd, &from, 0);
	put_info(fd, &from, if_nametoindex("fst0"));
	if (family() == AF_INET)
		put_info(fd, &wild, if_nametoindex("fst0"));
}

/* What is wrong or unknown is the kernel's to judge, and the socket stays as it is. */
CASE_PART(refused)
{
	struct addr strange = there(0);
	int fd = udp_bound(PORT_HERE);
	bool v4 = family() == AF_INET || mapped();
	unsigned char many[64] = { 0 };

	put_int(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TTL : IPV6_HOPLIMIT, v4 ? 0 : -2);
	put_int(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TTL : IPV6_HOPLIMIT, 256);
	put_int(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TOS : IPV6_TCLASS, 256);
	put_int(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TOS : IPV6_TCLASS, -1);
	put(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TTL : IPV6_HOPLIMIT, many, 3);
	put(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_PKTINFO : IPV6_PKTINFO, many, 5);
	put(fd, IPPROTO_UDP, UDP_SEGMENT, many, 4);
	put_int(fd, IPPROTO_UDP, 9999, 1);
	put_int(fd, SOL_SOCKET, 9999, 1);
	put_int(fd, 9999, 1, 1);
	put_info(fd, &strange, 0);
	put_info(fd, &strange, 9999);
	ordinary(fd);
}

CASE_BUT(accelerated_after_a_strange_one, 1)
{
	int fd = udp_bound(PORT_HERE);
	struct addr to = there(PORT_ECHO);
	char c[8];

	put_int(fd, SOL_SOCKET, SO_MARK, 0);
	for (int i = 0; i < 150; i++) {
		if (sendto(fd, "x", 1, 0, SA(&to), to.len) != 1 || recv(fd, c, sizeof(c), 0) != 1)
			fail("echo");
	}
}
