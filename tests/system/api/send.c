/* SPDX-License-Identifier: BSD-2-Clause */
/* send.c - the sending calls in all their shapes: sizes, vectors, flags, errors. P49, P55. */
#include "record.h"

static unsigned char big[70000];

static void fill(void)
{
	size_t i;

	for (i = 0; i < sizeof(big); i++)
		big[i] = pattern(3, i);
}

static void arrived(void)
{
	say("peer got %ld datagrams", peer("got"));
	say("bytes %ld", peer("bytes"));
	say("hash %ld", peer("hash"));
}

CASE_FAST(sendto_sizes)
{
	static const size_t sizes[] = { 0, 1, 2, 63, 64, 65, 1400, 1452, 1472 };
	struct addr to = there(PORT_SINK);
	int fd = udp_bound(PORT_HERE);
	size_t i;

	fill();
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t size = sizes[i];

		if (family() == AF_INET6 && !mapped() && size > 1452)
			continue;
		say("size %zu", size);
		CALL(sendto(fd, big, size, 0, SA(&to), to.len));
		arrived();
	}
}

CASE_PART(larger_than_mtu)
{
	static const size_t sizes[] = { 1473, 1500, 3000, 8972, 20000, 65487, 65507, 65508, 65527, 65528, 70000 };
	struct addr to = there(PORT_SINK);
	int fd = udp_bound(PORT_HERE), size = 1 << 20;
	size_t i;

	fill();
	CALL(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)));
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		say("size %zu", sizes[i]);
		CALL(sendto(fd, big, sizes[i], 0, SA(&to), to.len));
		arrived();
	}
	CALL(connect(fd, SA(&to), to.len));
	CALL(send(fd, big, 65507, 0));
	arrived();
	CALL(send(fd, big, 65508, 0));
	CALL(write(fd, big, 65508));
	CALL(send(fd, big, 10, 0));
	arrived();
}

CASE_BUT(large_and_small_mixed, 3)
{
	struct addr to = there(PORT_SINK);
	int fd = udp_connected(PORT_HERE, PORT_SINK), i;

	fill();
	for (i = 0; i < 300; i++) {
		if (send(fd, big, 64, 0) != 64)
			fail("send");
		if (i % 100 == 50 && sendto(fd, big, 4000, 0, SA(&to), to.len) != 4000)
			fail("sendto");
	}
	say("peer got %ld datagrams", peer("got"));
	say("bytes %ld", peer("bytes"));
}

CASE_PART(destinations)
{
	struct addr to = there(PORT_SINK), name = { .len = sizeof(name.ss) };
	int fd = udp();

	CALL(send(fd, "x", 1, 0));
	CALL(write(fd, "x", 1));
	CALL(sendto(fd, "x", 1, 0, NULL, 0));
	CALL(sendto(fd, "x", 1, 0, SA(&to), 0));
	CALL(sendto(fd, "x", 1, 0, SA(&to), 3));
	CALL(sendto(fd, "x", 1, 0, SA(&to), (socklen_t)-1));
	CALL(sendto(fd, "x", 1, 0, SA(&to), sizeof(to.ss) + 1));
	to = there(0);
	CALL(sendto(fd, "x", 1, 0, SA(&to), to.len));
	to = there(PORT_SINK);
	to.ss.ss_family = AF_UNIX;
	CALL(sendto(fd, "x", 1, 0, SA(&to), to.len));
	to.ss.ss_family = AF_UNSPEC;
	CALL(sendto(fd, "x", 1, 0, SA(&to), to.len));
	arrived();
	fd = udp_connected(0, PORT_ECHO);
	to = there(PORT_SINK);
	CALL(sendto(fd, "elsewhere", 9, 0, SA(&to), to.len));
	CALL(getpeername(fd, SA(&name), &name.len));
	say_addr("still connected to", &name);
	CALL(sendto(-1, "x", 1, 0, SA(&to), to.len));
	CALL(sendto(9999, "x", 1, 0, SA(&to), to.len));
	CALL(sendto(CONTROL_FD + 40, "x", 1, 0, SA(&to), to.len));
	arrived();
}

CASE_FAST(flags)
{
	struct addr to = there(PORT_SINK);
	int fd = udp_bound(PORT_HERE);

	CALL(sendto(fd, "a", 1, MSG_DONTWAIT, SA(&to), to.len));
	CALL(sendto(fd, "b", 1, MSG_NOSIGNAL, SA(&to), to.len));
	CALL(sendto(fd, "c", 1, MSG_CONFIRM, SA(&to), to.len));
	CALL(sendto(fd, "d", 1, MSG_EOR, SA(&to), to.len));
	arrived();
}

CASE_PART(flags_of_other_protocols)
{
	struct addr to = there(PORT_SINK);
	int fd = udp_bound(PORT_HERE);

	CALL(sendto(fd, "e", 1, MSG_OOB, SA(&to), to.len));
	CALL(sendto(fd, "f", 1, MSG_DONTROUTE, SA(&to), to.len));
	CALL(sendto(fd, "g", 1, MSG_MORE, SA(&to), to.len));
	CALL(sendto(fd, "h", 1, 0, SA(&to), to.len));
	CALL(sendto(fd, "i", 1, MSG_ERRQUEUE, SA(&to), to.len));
	arrived();
}

CASE_FAST(vectors)
{
	struct iovec part[5] = {
		{ big, 10 }, { NULL, 0 }, { big + 100, 0 }, { big + 10, 1 }, { big + 11, 500 },
	};
	struct addr to = there(PORT_SINK);
	struct msghdr msg = { .msg_name = SA(&to), .msg_namelen = to.len, .msg_iov = part, .msg_iovlen = 5 };
	int fd = udp_bound(PORT_HERE);

	fill();
	CALL(sendmsg(fd, &msg, 0));
	arrived();
	msg.msg_iovlen = 0;
	CALL(sendmsg(fd, &msg, 0));
	arrived();
	msg.msg_iov = NULL;
	CALL(sendmsg(fd, &msg, 0));
	arrived();
	msg.msg_iov = part;
	msg.msg_iovlen = 5;
	CALL(connect(fd, SA(&to), to.len));
	msg.msg_name = NULL;
	msg.msg_namelen = 0;
	CALL(sendmsg(fd, &msg, 0));
	CALL(writev(fd, part, 5));
	CALL(writev(fd, part + 1, 1));
	arrived();
}

CASE_FAST(vector_limits)
{
	static struct iovec part[IOV_MAX + 1];
	struct addr to = there(PORT_SINK);
	struct msghdr msg = { .msg_name = SA(&to), .msg_namelen = to.len, .msg_iov = part };
	int fd = udp_bound(PORT_HERE), i;

	fill();
	for (i = 0; i <= IOV_MAX; i++) {
		part[i].iov_base = big + i;
		part[i].iov_len = 1;
	}
	msg.msg_iovlen = IOV_MAX;
	CALL(sendmsg(fd, &msg, 0));
	arrived();
	msg.msg_iovlen = IOV_MAX + 1;
	CALL(sendmsg(fd, &msg, 0));
	CALL(connect(fd, SA(&to), to.len));
	CALL(writev(fd, part, 0));
	CALL(writev(fd, part, IOV_MAX + 1));
	CALL(writev(fd, part, hidden(-1)));
	CALL(writev(fd, part, IOV_MAX));
	part[0].iov_len = (size_t)-1;
	CALL(writev(fd, part, 2));
	msg.msg_iovlen = 2;
	CALL(sendmsg(fd, &msg, 0));
	arrived();
}

/* Each is a length, but their sum is none. */
CASE_FAST(lengths_that_overflow)
{
	struct iovec part[3] = { { big, SSIZE_MAX }, { big, SSIZE_MAX }, { big, 4 } };
	struct addr to = there(PORT_SINK);
	struct msghdr msg = { .msg_iov = part, .msg_iovlen = 3 };
	void *volatile at = big; /* a buffer and lengths that the compiler does not know */
	volatile size_t most = SIZE_MAX;
	int fd = udp_bound(PORT_HERE);

	CALL(connect(fd, SA(&to), to.len));
	CALL(send(fd, big, 10, 0));
	CALL(writev(fd, part, 3));
	CALL(sendmsg(fd, &msg, 0));
	CALL(writev(fd, part, 1));
	CALL(send(fd, at, most, 0));
	CALL(write(fd, at, most));
	CALL(send(fd, big, 10, 0));
	arrived();
}

CASE(control_messages)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { .bytes = { 0 } };
	struct addr to = there(PORT_SINK);
	struct iovec part = { "control", 7 };
	struct msghdr msg = { .msg_name = SA(&to), .msg_namelen = to.len, .msg_iov = &part, .msg_iovlen = 1,
			      .msg_control = control.bytes, .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	int fd = udp_bound(PORT_HERE), value = 32;

	c->cmsg_level = family() == AF_INET ? IPPROTO_IP : IPPROTO_IPV6;
	c->cmsg_type = family() == AF_INET ? IP_TTL : IPV6_HOPLIMIT;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &value, sizeof(value));
	CALL(sendmsg(fd, &msg, 0));
	value = 300;
	memcpy(CMSG_DATA(c), &value, sizeof(value));
	CALL(sendmsg(fd, &msg, 0));
	c->cmsg_level = 9999;
	CALL(sendmsg(fd, &msg, 0));
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = 9999;
	CALL(sendmsg(fd, &msg, 0));
	c->cmsg_len = 3;
	CALL(sendmsg(fd, &msg, 0));
	c->cmsg_len = 4000;
	CALL(sendmsg(fd, &msg, 0));
	arrived();
}

CASE_FAST(sendmmsg_shapes)
{
	struct addr to = there(PORT_SINK);
	struct iovec part[4] = { { big, 1 }, { big + 1, 20 }, { big, 0 }, { big, 1400 } };
	struct mmsghdr msg[4];
	int fd = udp_bound(PORT_HERE), i;

	fill();
	memset(msg, 0, sizeof(msg));
	for (i = 0; i < 4; i++) {
		msg[i].msg_len = 4321;
		msg[i].msg_hdr.msg_name = SA(&to);
		msg[i].msg_hdr.msg_namelen = to.len;
		msg[i].msg_hdr.msg_iov = &part[i];
		msg[i].msg_hdr.msg_iovlen = 1;
	}
	CALL(sendmmsg(fd, msg, 4, 0));
	for (i = 0; i < 4; i++)
		say("length %u", msg[i].msg_len);
	arrived();
	CALL(sendmmsg(fd, msg, 0, 0));
	part[2].iov_len = 66000;
	CALL(sendmmsg(fd, msg, 4, 0));
	CALL(sendmmsg(fd, msg + 2, 2, 0));
	CALL(sendmmsg(-1, msg, 2, 0));
	CALL(sendmmsg(9999, msg, 2, 0));
	arrived();
}

CASE_FAST(echo_round_trips)
{
	struct addr to = there(PORT_ECHO), from;
	int fd = udp_bound(PORT_HERE), i;
	unsigned char back[2048];
	ssize_t got;

	fill();
	for (i = 0; i < 200; i++) {
		if (sendto(fd, big, (size_t)(i * 7), 0, SA(&to), to.len) != i * 7)
			fail("sendto");
		from.len = sizeof(from.ss);
		got = recvfrom(fd, back, sizeof(back), 0, SA(&from), &from.len);
		if (got != i * 7 || memcmp(back, big, (size_t)got) != 0)
			fail("round %d came back with %zd bytes", i, got);
	}
	say_addr("from", &from);
}
