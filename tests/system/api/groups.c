/* SPDX-License-Identifier: BSD-2-Clause */
/* groups.c - memberships, filters and what sending to groups answers: values, errors, what is read back. */
#include "record.h"

#include <net/if.h>

#ifndef IPV6_MULTICAST_ALL
#define IPV6_MULTICAST_ALL 29
#endif

enum { SOURCES = 4 };

static char buf[2048];

static bool v6(void)
{
	return family() == AF_INET6 && !mapped();
}

static int level(void)
{
	return v6() ? IPPROTO_IPV6 : IPPROTO_IP;
}

static unsigned ifindex_of(void)
{
	return if_nametoindex("fst0");
}

/* Address @n of a kind: 0 and up are groups, 100 and up sources, 200 no group. */
static struct sockaddr_storage address(int n)
{
	struct sockaddr_storage ss = { 0 };
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ss;
	struct sockaddr_in *in = (struct sockaddr_in *)&ss;
	char text[64];

	if (v6()) {
		in6->sin6_family = AF_INET6;
		snprintf(text, sizeof(text), n < 100 ? "ff15::88:%x" : "fd77::%x", n + 1);
		inet_pton(AF_INET6, text, &in6->sin6_addr);
	} else {
		in->sin_family = AF_INET;
		snprintf(text, sizeof(text), n < 100 ? "239.88.0.%d" : "10.77.0.%d", n + 1);
		inet_pton(AF_INET, text, &in->sin_addr);
	}
	return ss;
}

static struct addr group_at(int n, int port)
{
	struct addr a = { .ss = address(n) };

	a.len = v6() ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
	((struct sockaddr_in *)&a.ss)->sin_port = htons((uint16_t)port);
	return a;
}

static int change(int fd, int name, int group, unsigned ifindex)
{
	struct group_req req = { .gr_interface = ifindex, .gr_group = address(group) };

	return setsockopt(fd, level(), name, &req, sizeof(req));
}

static int change_source(int fd, int name, int group, int source, unsigned ifindex)
{
	struct group_source_req req = { .gsr_interface = ifindex,
					.gsr_group = address(group),
					.gsr_source = address(source) };

	return setsockopt(fd, level(), name, &req, sizeof(req));
}

/* What the socket says of its membership. */
static void show_filter(int fd, int group, unsigned ifindex)
{
	struct {
		struct group_filter head;
		struct sockaddr_storage more[SOURCES];
	} f = { .head = { .gf_interface = ifindex, .gf_group = address(group), .gf_numsrc = SOURCES } };
	socklen_t len = sizeof(f);
	int ret = getsockopt(fd, level(), MCAST_MSFILTER, &f, &len);

	if (ret < 0)
		say("filter: %s", strerrorname_np(errno));
	else
		say("filter: mode %u, %u sources, length %u", f.head.gf_fmode, f.head.gf_numsrc, len);
}

static void show_value(int fd, int name)
{
	int value = 0;
	socklen_t len = sizeof(value);
	int ret = getsockopt(fd, level(), name, &value, &len);

	say("option %d: %d length %u", name, ret < 0 ? -errno : value, len);
}

CASE(join_and_leave)
{
	int fd = udp();

	CALL(change(fd, MCAST_JOIN_GROUP, 1, ifindex_of()));
	CALL(change(fd, MCAST_JOIN_GROUP, 1, ifindex_of()));
	CALL(change(fd, MCAST_JOIN_GROUP, 200, ifindex_of()));
	CALL(change(fd, MCAST_JOIN_GROUP, 2, 9999));
	show_filter(fd, 1, ifindex_of());
	show_filter(fd, 2, ifindex_of());
	show_filter(fd, 200, ifindex_of());
	CALL(change(fd, MCAST_LEAVE_GROUP, 2, ifindex_of()));
	CALL(change(fd, MCAST_LEAVE_GROUP, 1, 9999));
	CALL(change(fd, MCAST_LEAVE_GROUP, 1, ifindex_of()));
	CALL(change(fd, MCAST_LEAVE_GROUP, 1, ifindex_of()));
	show_filter(fd, 1, ifindex_of());
	CALL(setsockopt(fd, level(), MCAST_JOIN_GROUP, buf, 4));
	CALL(setsockopt(fd, level(), MCAST_JOIN_SOURCE_GROUP, buf, 140));
	CALL(close(fd));
}

CASE(old_options)
{
	struct ip_mreqn mreqn = { .imr_ifindex = (int)ifindex_of() };
	struct ip_mreq mreq = { .imr_interface.s_addr = htonl(INADDR_LOOPBACK) };
	struct ipv6_mreq mreq6 = { .ipv6mr_interface = ifindex_of() };
	struct sockaddr_storage ss = address(3);
	int fd = udp();

	if (v6()) {
		mreq6.ipv6mr_multiaddr = ((struct sockaddr_in6 *)&ss)->sin6_addr;
		CALL(setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &mreq6, sizeof(mreq6)));
		CALL(setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &mreq6, sizeof(mreq6)));
		show_filter(fd, 3, ifindex_of());
		CALL(setsockopt(fd, IPPROTO_IPV6, IPV6_LEAVE_GROUP, &mreq6, sizeof(mreq6)));
		CALL(setsockopt(fd, IPPROTO_IPV6, IPV6_LEAVE_GROUP, &mreq6, sizeof(mreq6)));
		CALL(setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &mreq6, 8));
		mreq6.ipv6mr_interface = 9999;
		CALL(setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &mreq6, sizeof(mreq6)));
		return;
	}
	mreqn.imr_multiaddr = mreq.imr_multiaddr = ((struct sockaddr_in *)&ss)->sin_addr;
	CALL(setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &mreqn, sizeof(mreqn)));
	CALL(setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &mreqn, sizeof(mreqn)));
	show_filter(fd, 3, ifindex_of());
	CALL(setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &mreq, sizeof(mreq)));
	show_filter(fd, 3, 1);
	CALL(setsockopt(fd, IPPROTO_IP, IP_DROP_MEMBERSHIP, &mreq, sizeof(mreq)));
	CALL(setsockopt(fd, IPPROTO_IP, IP_DROP_MEMBERSHIP, &mreqn, sizeof(mreqn)));
	CALL(setsockopt(fd, IPPROTO_IP, IP_DROP_MEMBERSHIP, &mreqn, sizeof(mreqn)));
	mreq.imr_interface.s_addr = htonl(0x01010101);
	CALL(setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &mreq, sizeof(mreq)));
	mreq.imr_interface.s_addr = 0;
	CALL(setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &mreq, sizeof(mreq)));
	CALL(setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &mreq, 4));
}

CASE(old_source_options)
{
	struct ip_mreq_source req = { 0 };
	struct sockaddr_storage group = address(4), source = address(100), host = address(0);
	struct ip_msfilter filter = { .imsf_fmode = MCAST_INCLUDE, .imsf_numsrc = 1 };
	socklen_t len = sizeof(filter);
	int fd = udp();

	if (v6())
		return;
	host = here(0).ss;
	req.imr_multiaddr = ((struct sockaddr_in *)&group)->sin_addr;
	req.imr_sourceaddr = ((struct sockaddr_in *)&source)->sin_addr;
	if (host.ss_family == AF_INET)
		req.imr_interface = ((struct sockaddr_in *)&host)->sin_addr;
	CALL(setsockopt(fd, IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP, &req, sizeof(req)));
	CALL(setsockopt(fd, IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP, &req, sizeof(req)));
	CALL(setsockopt(fd, IPPROTO_IP, IP_BLOCK_SOURCE, &req, sizeof(req)));
	show_filter(fd, 4, ifindex_of());
	CALL(setsockopt(fd, IPPROTO_IP, IP_DROP_SOURCE_MEMBERSHIP, &req, sizeof(req)));
	CALL(setsockopt(fd, IPPROTO_IP, IP_DROP_SOURCE_MEMBERSHIP, &req, sizeof(req)));
	show_filter(fd, 4, ifindex_of());
	CALL(change(fd, MCAST_JOIN_GROUP, 4, ifindex_of()));
	CALL(setsockopt(fd, IPPROTO_IP, IP_BLOCK_SOURCE, &req, sizeof(req)));
	CALL(setsockopt(fd, IPPROTO_IP, IP_BLOCK_SOURCE, &req, sizeof(req)));
	show_filter(fd, 4, ifindex_of());
	CALL(setsockopt(fd, IPPROTO_IP, IP_UNBLOCK_SOURCE, &req, sizeof(req)));
	filter.imsf_multiaddr = req.imr_multiaddr;
	filter.imsf_interface = req.imr_interface;
	filter.imsf_slist[0] = req.imr_sourceaddr;
	CALL(setsockopt(fd, IPPROTO_IP, IP_MSFILTER, &filter, sizeof(filter)));
	show_filter(fd, 4, ifindex_of());
	CALL(getsockopt(fd, IPPROTO_IP, IP_MSFILTER, &filter, &len));
	say("mode %u, %u sources, length %u", filter.imsf_fmode, filter.imsf_numsrc, len);
	CALL(setsockopt(fd, IPPROTO_IP, IP_MSFILTER, &filter, 4));
}

CASE(sources)
{
	int fd = udp(), i;

	CALL(change_source(fd, MCAST_LEAVE_SOURCE_GROUP, 5, 100, ifindex_of()));
	CALL(change_source(fd, MCAST_BLOCK_SOURCE, 5, 100, ifindex_of()));
	for (i = 0; i < 3; i++)
		CALL(change_source(fd, MCAST_JOIN_SOURCE_GROUP, 5, 100 + i, ifindex_of()));
	CALL(change_source(fd, MCAST_JOIN_SOURCE_GROUP, 5, 100, ifindex_of()));
	CALL(change(fd, MCAST_JOIN_GROUP, 5, ifindex_of()));
	show_filter(fd, 5, ifindex_of());
	CALL(change_source(fd, MCAST_LEAVE_SOURCE_GROUP, 5, 101, ifindex_of()));
	show_filter(fd, 5, ifindex_of());
	CALL(change(fd, MCAST_LEAVE_GROUP, 5, ifindex_of()));
	CALL(change(fd, MCAST_JOIN_GROUP, 5, ifindex_of()));
	for (i = 0; i < 3; i++)
		CALL(change_source(fd, MCAST_BLOCK_SOURCE, 5, 100 + i, ifindex_of()));
	show_filter(fd, 5, ifindex_of());
	CALL(change_source(fd, MCAST_UNBLOCK_SOURCE, 5, 109, ifindex_of()));
	CALL(change_source(fd, MCAST_UNBLOCK_SOURCE, 5, 100, ifindex_of()));
	CALL(change_source(fd, MCAST_JOIN_SOURCE_GROUP, 5, 100, ifindex_of()));
	show_filter(fd, 5, ifindex_of());
}

CASE(sending_options)
{
	static const int values[] = { 0, 1, 5, 255, 256, -1, -2 };
	static const int names4[] = { IP_MULTICAST_TTL, IP_MULTICAST_LOOP, IP_MULTICAST_ALL };
	static const int names6[] = { IPV6_MULTICAST_HOPS, IPV6_MULTICAST_LOOP, IPV6_MULTICAST_ALL };
	const int *names = v6() ? names6 : names4;
	int fd = udp(), index = (int)ifindex_of(), i, j;
	struct ip_mreqn mreqn = { .imr_ifindex = index };

	for (i = 0; i < 3; i++) {
		show_value(fd, names[i]);
		for (j = 0; j < 7; j++) {
			CALL(setsockopt(fd, level(), names[i], &values[j], sizeof(values[j])));
			show_value(fd, names[i]);
		}
		CALL(setsockopt(fd, level(), names[i], &values[1], 1));
		show_value(fd, names[i]);
	}
	if (v6()) {
		CALL(setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, &index, sizeof(index)));
		index = 9999;
		CALL(setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, &index, sizeof(index)));
		return;
	}
	CALL(setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &mreqn, sizeof(mreqn)));
	show_value(fd, IP_MULTICAST_IF);
	mreqn.imr_ifindex = 9999;
	CALL(setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &mreqn, sizeof(mreqn)));
	mreqn.imr_ifindex = 0;
	mreqn.imr_address.s_addr = htonl(0x01010101);
	CALL(setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &mreqn.imr_address, 4));
	CALL(setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &mreqn.imr_address, 2));
}

static void leave_by(int fd)
{
	int index = (int)ifindex_of();
	struct ip_mreqn mreqn = { .imr_ifindex = index };

	if (v6())
		setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, &index, sizeof(index));
	else
		setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &mreqn, sizeof(mreqn));
}

/* Member and sender in one: what is looped back, and what its sender is called. */
CASE(looped)
{
	struct addr to = group_at(6, PORT_HERE), wild = any(PORT_HERE), from = { .len = sizeof(from.ss) };
	int fd = udp(), off = 0, i;

	if (mapped())
		return; /* the name of a mapped group is not this file's business */
	CALL(bind(fd, SA(&wild), wild.len));
	leave_by(fd);
	CALL(change(fd, MCAST_JOIN_GROUP, 6, ifindex_of()));
	for (i = 0; i < 3; i++)
		CALL(sendto(fd, "looped", 6, 0, SA(&to), to.len));
	settle();
	for (i = 0; i < 3; i++)
		CALL(recvfrom(fd, buf, sizeof(buf), MSG_DONTWAIT, SA(&from), &from.len));
	say_addr("from", &from);
	CALL(recv(fd, buf, sizeof(buf), MSG_DONTWAIT));
	CALL(setsockopt(fd, level(), v6() ? IPV6_MULTICAST_LOOP : IP_MULTICAST_LOOP, &off, sizeof(off)));
	CALL(sendto(fd, "silent", 6, 0, SA(&to), to.len));
	settle();
	CALL(recv(fd, buf, sizeof(buf), MSG_DONTWAIT));
	CALL(connect(fd, SA(&to), to.len));
	CALL(send(fd, "silent", 6, 0));
	from.len = sizeof(from.ss);
	CALL(getpeername(fd, SA(&from), &from.len));
	say_addr("peer", &from);
	CALL(sendto(fd, buf, 65507, 0, SA(&to), to.len));
	CALL(sendto(fd, buf, 0, 0, SA(&to), to.len));
}

CASE(bound_to_a_group)
{
	struct addr to = group_at(7, PORT_HERE), name = { .len = sizeof(name.ss) };
	int fd = udp();

	if (mapped())
		return;
	CALL(bind(fd, SA(&to), to.len));
	CALL(getsockname(fd, SA(&name), &name.len));
	say_addr("name", &name);
	CALL(change(fd, MCAST_JOIN_GROUP, 7, ifindex_of()));
	deliver(PORT_HERE, 10, 1); /* to the address of the interface: not this socket's */
	CALL(recv(fd, buf, sizeof(buf), MSG_DONTWAIT));
}

CASE(broadcast)
{
	struct sockaddr_in all = { .sin_family = AF_INET, .sin_port = htons(PORT_SINK) };
	int fd = udp(), on = 1;

	if (family() != AF_INET)
		return;
	all.sin_addr.s_addr = htonl(0x0a4d00ff);
	CALL(sendto(fd, "all", 3, 0, (struct sockaddr *)&all, sizeof(all)));
	CALL(connect(fd, (struct sockaddr *)&all, sizeof(all)));
	CALL(setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on)));
	CALL(sendto(fd, "all", 3, 0, (struct sockaddr *)&all, sizeof(all)));
	CALL(connect(fd, (struct sockaddr *)&all, sizeof(all)));
	CALL(send(fd, "all", 3, 0));
}
