/* SPDX-License-Identifier: BSD-2-Clause */
/* opts.c - socket options: what they answer, before and after traffic, and their errors. P50. */
#include "record.h"

#include <netinet/udp.h>

struct option {
	int level, name;
	const char *text;
};

#define O(level, name) { level, name, #name }

static const struct option options[] = {
	O(SOL_SOCKET, SO_DEBUG), O(SOL_SOCKET, SO_REUSEADDR), O(SOL_SOCKET, SO_TYPE), O(SOL_SOCKET, SO_ERROR),
	O(SOL_SOCKET, SO_DONTROUTE), O(SOL_SOCKET, SO_BROADCAST), O(SOL_SOCKET, SO_SNDBUF),
	O(SOL_SOCKET, SO_RCVBUF), O(SOL_SOCKET, SO_KEEPALIVE), O(SOL_SOCKET, SO_OOBINLINE),
	O(SOL_SOCKET, SO_NO_CHECK), O(SOL_SOCKET, SO_PRIORITY), O(SOL_SOCKET, SO_REUSEPORT),
	O(SOL_SOCKET, SO_PASSCRED), O(SOL_SOCKET, SO_RCVLOWAT), O(SOL_SOCKET, SO_SNDLOWAT),
	O(SOL_SOCKET, SO_TIMESTAMP), O(SOL_SOCKET, SO_ACCEPTCONN), O(SOL_SOCKET, SO_TIMESTAMPNS),
	O(SOL_SOCKET, SO_MARK), O(SOL_SOCKET, SO_TIMESTAMPING), O(SOL_SOCKET, SO_PROTOCOL),
	O(SOL_SOCKET, SO_DOMAIN), O(SOL_SOCKET, SO_RXQ_OVFL), O(SOL_SOCKET, SO_PEEK_OFF),
	O(SOL_SOCKET, SO_SELECT_ERR_QUEUE), O(SOL_SOCKET, SO_BUSY_POLL), O(SOL_SOCKET, SO_ZEROCOPY),
	O(SOL_SOCKET, SO_BINDTOIFINDEX),
	O(IPPROTO_IP, IP_TOS), O(IPPROTO_IP, IP_TTL), O(IPPROTO_IP, IP_RECVERR), O(IPPROTO_IP, IP_PKTINFO),
	O(IPPROTO_IP, IP_MTU_DISCOVER), O(IPPROTO_IP, IP_RECVTTL), O(IPPROTO_IP, IP_RECVTOS), O(IPPROTO_IP, IP_MTU),
	O(IPPROTO_IP, IP_FREEBIND), O(IPPROTO_IP, IP_MULTICAST_TTL), O(IPPROTO_IP, IP_MULTICAST_LOOP),
	O(IPPROTO_IP, IP_MULTICAST_ALL), O(IPPROTO_IP, IP_HDRINCL), O(IPPROTO_IP, IP_MINTTL),
	O(IPPROTO_IPV6, IPV6_V6ONLY), O(IPPROTO_IPV6, IPV6_UNICAST_HOPS), O(IPPROTO_IPV6, IPV6_TCLASS),
	O(IPPROTO_IPV6, IPV6_RECVPKTINFO), O(IPPROTO_IPV6, IPV6_MTU), O(IPPROTO_IPV6, IPV6_MTU_DISCOVER),
	O(IPPROTO_IPV6, IPV6_RECVERR), O(IPPROTO_IPV6, IPV6_DONTFRAG), O(IPPROTO_IPV6, IPV6_MULTICAST_HOPS),
	O(IPPROTO_UDP, UDP_CORK), O(IPPROTO_UDP, UDP_SEGMENT), O(IPPROTO_UDP, 104 /* UDP_GRO */),
	O(IPPROTO_UDP, 101 /* UDP_NO_CHECK6_TX */), O(IPPROTO_UDP, 102 /* UDP_NO_CHECK6_RX */),
	O(IPPROTO_UDP, 9999), O(SOL_SOCKET, 9999), O(IPPROTO_IP, 9999), O(IPPROTO_IPV6, 9999), O(9999, 1),
	O(IPPROTO_TCP, 1), O(-1, -1),
};

enum { N_OPTIONS = sizeof(options) / sizeof(options[0]) };

static void show(int fd, const struct option *o)
{
	int value = 0;
	socklen_t len = sizeof(value);

	errno = ERRNO_MARK;
	if (getsockopt(fd, o->level, o->name, &value, &len) < 0)
		say("get %d %s: %s", o->level, o->text, strerrorname_np(errno));
	else
		say("get %d %s: %d length %u%s", o->level, o->text, value, len,
		    errno == ERRNO_MARK ? "" : " errno changed");
}

CASE(values)
{
	int fd = udp(), i;

	for (i = 0; i < N_OPTIONS; i++)
		show(fd, &options[i]);
}

CASE_FAST(values_after_traffic)
{
	int fd = udp_connected(PORT_HERE, PORT_ECHO), i;
	char c;

	CALL(send(fd, "x", 1, 0));
	CALL(recv(fd, &c, 1, 0));
	for (i = 0; i < N_OPTIONS; i++)
		show(fd, &options[i]);
}

CASE_BY(set_and_get, option)
{
	static const int values[] = { 1, 0, 2, -1 };
	int fd, i, j, value;

	for (i = 0; i < N_OPTIONS; i++) {
		if (options[i].name == SO_MARK && options[i].level == SOL_SOCKET)
			continue;
		for (j = 0; j < 4; j++) {
			fd = udp();
			value = values[j];
			errno = ERRNO_MARK;
			if (setsockopt(fd, options[i].level, options[i].name, &value, sizeof(value)) < 0)
				say("set %d %s to %d: %s", options[i].level, options[i].text, value,
				    strerrorname_np(errno));
			else
				show(fd, &options[i]);
			close(fd);
		}
	}
}

CASE(lengths)
{
	int fd = udp(), value = 0x01010101;
	unsigned char bytes[64];
	socklen_t len;

	CALL(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &value, 0));
	CALL(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &value, 3));
	CALL(setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &value, 64));
	CALL(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &value, (socklen_t)-1));
	CALL(setsockopt(fd, IPPROTO_IP, IP_TTL, bytes, 0));
	bytes[0] = 9;
	CALL(setsockopt(fd, IPPROTO_IP, IP_TTL, bytes, 1));
	for (len = 0; len <= 8; len += 2) {
		socklen_t got = len;

		memset(bytes, 0x55, sizeof(bytes));
		CALL(getsockopt(fd, SOL_SOCKET, SO_TYPE, bytes, &got));
		say("given %u, length %u, bytes %02x%02x%02x%02x%02x", len, got, bytes[0], bytes[1],
		    bytes[2], bytes[3], bytes[4]);
	}
	len = (socklen_t)-1;
	CALL(getsockopt(fd, SOL_SOCKET, SO_TYPE, bytes, &len));
	len = 4;
	CALL(getsockopt(-1, SOL_SOCKET, SO_TYPE, bytes, &len));
	CALL(setsockopt(9999, SOL_SOCKET, SO_RCVBUF, bytes, 4));
	CALL(setsockopt(1, SOL_SOCKET, SO_RCVBUF, bytes, 4));
}

CASE(buffers)
{
	static const int sizes[] = { 0, 1, 2304, 5000, 100000, 1000000, 100000000, -1 };
	int fd = udp(), value;
	socklen_t len = sizeof(value);
	size_t i;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		value = sizes[i];
		CALL(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &value, sizeof(value)));
		CALL(getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &value, &len));
		say("receive %d gives %d", sizes[i], value);
		value = sizes[i];
		CALL(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &value, sizeof(value)));
		CALL(getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &value, &len));
		say("send %d gives %d", sizes[i], value);
	}
	value = 3000000;
	CALL(setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &value, sizeof(value)));
	CALL(getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &value, &len));
	say("forced gives %d", value);
}

CASE(room_for_the_answer)
{
	static const socklen_t rooms[] = { 0, 1, 2, 3, 4, 8 };
	int fd = udp_bound(PORT_HERE), value;

	for (size_t i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++) {
		socklen_t len = rooms[i];

		value = -1;
		CALL(getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &value, &len));
		say("room %u length %u %#x", rooms[i], len, (unsigned)value);
	}
}

/* Options that change what travels: after them the bytes must still arrive, whichever way. */
CASE_PART(traffic_with_options)
{
	static const struct {
		int level, name, value;
	} sets[] = {
		{ IPPROTO_IP, IP_TTL, 3 }, { IPPROTO_IP, IP_TOS, 0x10 }, { SOL_SOCKET, SO_PRIORITY, 3 },
		{ SOL_SOCKET, SO_DONTROUTE, 1 }, { SOL_SOCKET, SO_BROADCAST, 1 }, { SOL_SOCKET, SO_NO_CHECK, 1 },
		{ IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO }, { IPPROTO_IP, IP_RECVERR, 1 },
		{ IPPROTO_IPV6, IPV6_UNICAST_HOPS, 3 }, { IPPROTO_IPV6, IPV6_TCLASS, 8 },
		{ IPPROTO_IPV6, IPV6_DONTFRAG, 1 }, { SOL_SOCKET, SO_TIMESTAMP, 1 },
		{ SOL_SOCKET, SO_RXQ_OVFL, 1 },
	};
	size_t i;
	char c[8];
	int fd;

	for (i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
		fd = udp();
		if (setsockopt(fd, sets[i].level, sets[i].name, &sets[i].value, sizeof(int)) == 0) {
			struct addr to = there(PORT_ECHO);

			say("level %d option %d", sets[i].level, sets[i].name);
			CALL(sendto(fd, "option", 6, 0, SA(&to), to.len));
			CALL(recv(fd, c, sizeof(c), 0));
		}
		close(fd);
	}
}

CASE_FAST(no_fragments_allowed)
{
	int fd = udp_connected(PORT_HERE, PORT_SINK), value = IP_PMTUDISC_DO, mtu = -1;
	static char big[3000];
	socklen_t len = sizeof(mtu);

	if (family() == AF_INET || mapped())
		CALL(setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &value, sizeof(value)));
	else
		CALL(setsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &value, sizeof(value)));
	CALL(send(fd, big, 3000, 0));
	CALL(send(fd, big, 1400, 0));
	CALL(getsockopt(fd, family() == AF_INET ? IPPROTO_IP : IPPROTO_IPV6,
			family() == AF_INET ? IP_MTU : IPV6_MTU, &mtu, &len));
	say("mtu %d, peer got %ld", mtu, peer("got"));
}

CASE_FAST(segments)
{
	struct addr to = there(PORT_SINK);
	int fd = udp_bound(PORT_HERE), size = 100;
	static char big[1000];

	CALL(setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size)));
	CALL(sendto(fd, big, 1000, 0, SA(&to), to.len));
	CALL(sendto(fd, big, 250, 0, SA(&to), to.len));
	say("peer got %ld", peer("got"));
	say("bytes %ld", peer("bytes"));
}

CASE(cork)
{
	struct addr to = there(PORT_SINK);
	int fd = udp_bound(PORT_HERE), on = 1, off = 0;

	CALL(setsockopt(fd, IPPROTO_UDP, UDP_CORK, &on, sizeof(on)));
	CALL(sendto(fd, "one", 3, 0, SA(&to), to.len));
	CALL(sendto(fd, "two", 3, 0, SA(&to), to.len));
	say("peer got %ld", peer("got"));
	CALL(setsockopt(fd, IPPROTO_UDP, UDP_CORK, &off, sizeof(off)));
	say("peer got %ld", peer("got"));
	say("bytes %ld", peer("bytes"));
}

CASE_PART(bind_to_device)
{
	int fd = udp();
	char name[16] = "", c;
	socklen_t len = sizeof(name);
	struct addr to = there(PORT_ECHO);

	CALL(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "nothere", 8));
	CALL(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "fst0", 5));
	CALL(getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, &len));
	say("device %s length %u", name, len);
	CALL(sendto(fd, "x", 1, 0, SA(&to), to.len));
	CALL(recv(fd, &c, 1, 0));
	CALL(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3));
	CALL(sendto(fd, "x", 1, MSG_DONTWAIT, SA(&to), to.len));
}
