/* SPDX-License-Identifier: BSD-2-Clause */
/* recv.c - the receiving calls in all their shapes: sizes, flags, vectors, mmsg, errors. P49, P50, P55. */
#include "record.h"

static unsigned char buf[70000];

/* Print what one receive left in buf, and whether it is what the peer sent. */
static void contents(long got, int seq, int size)
{
	long i, shown = got < size ? got : size;

	for (i = 0; i < shown; i++)
		if (buf[i] != pattern(seq, (size_t)i))
			break;
	say("  %s", i == (shown < 0 ? 0 : shown) ? "contents right" : "contents wrong");
}

CASE_FAST(sizes)
{
	static const int sizes[] = { 0, 1, 2, 63, 64, 65, 255, 1400, 1452 };
	struct addr from;
	int fd = udp_bound(PORT_HERE);
	size_t i;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		deliver(PORT_HERE, sizes[i], 1);
		memset(&from, 0x55, sizeof(from));
		from.len = sizeof(from.ss);
		contents(CALL(recvfrom(fd, buf, sizeof(buf), 0, SA(&from), &from.len)), 0, sizes[i]);
		say_addr("from", &from);
	}
}

CASE(larger_than_mtu)
{
	static const int sizes[] = { 1473, 3000, 20000, 65507 };
	int fd = udp_bound(PORT_HERE);
	size_t i;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		deliver(PORT_HERE, sizes[i], 1);
		contents(CALL(recv(fd, buf, sizeof(buf), MSG_DONTWAIT)), 0, sizes[i]);
	}
	CALL(recv(fd, buf, sizeof(buf), MSG_DONTWAIT));
}

/* Neither the datagrams that come as fragments nor the small ones may wait for the other kind. */
CASE_PART(both_kinds_without_starving)
{
	int fd = udp_bound(PORT_HERE), round, large = 0, small = 0, size = 8 << 20;
	long got;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	for (round = 0; round < 20; round++) {
		deliver(PORT_HERE, 100, 5);
		deliver(PORT_HERE, 5000, 2);
	}
	while ((got = recv(fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0) {
		large += got == 5000;
		small += got == 100;
	}
	say("large %d small %d", large, small);
}

CASE_FAST(truncation)
{
	int fd = udp_bound(PORT_HERE);

	deliver(PORT_HERE, 100, 8);
	contents(CALL(recv(fd, buf, 10, 0)), 0, 10);
	contents(CALL(recv(fd, buf, 10, MSG_TRUNC)), 1, 10);
	contents(CALL(recv(fd, buf, 100, MSG_TRUNC)), 2, 100);
	CALL(recv(fd, buf, 0, 0));
	CALL(recv(fd, buf, 0, MSG_TRUNC));
	CALL(recv(fd, NULL, 0, MSG_TRUNC));
	CALL(read(fd, buf, 7));
	contents(CALL(recvfrom(fd, buf, 50, 0, NULL, NULL)), 7, 50);
	CALL(recv(fd, buf, 10, MSG_DONTWAIT));
}

CASE_FAST(peek)
{
	struct addr from = { .len = sizeof(from.ss) };
	int fd = udp_bound(PORT_HERE), size = -1;

	deliver(PORT_HERE, 100, 1);
	deliver(PORT_HERE, 30, 1);
	contents(CALL(recv(fd, buf, 10, MSG_PEEK)), 0, 10);
	contents(CALL(recv(fd, buf, 200, MSG_PEEK)), 0, 100);
	CALL(recv(fd, buf, 10, MSG_PEEK | MSG_TRUNC));
	CALL(recv(fd, NULL, 0, MSG_PEEK | MSG_TRUNC));
	CALL(recvfrom(fd, buf, 200, MSG_PEEK, SA(&from), &from.len));
	say_addr("from", &from);
	CALL(ioctl(fd, FIONREAD, &size));
	say("next is %d bytes", size);
	CALL(recv(fd, buf, 200, MSG_PEEK | MSG_WAITALL));
	contents(CALL(recv(fd, buf, 200, 0)), 0, 100);
	contents(CALL(recv(fd, buf, 200, MSG_PEEK | MSG_DONTWAIT)), 0, 30);
	contents(CALL(recv(fd, buf, 200, 0)), 0, 30);
	CALL(recv(fd, buf, 200, MSG_PEEK | MSG_DONTWAIT));
}

/* However both ways take turns: what a call showed, and its length, is what the next one takes. */
CASE_PART(what_was_peeked_is_received)
{
	enum { EACH = 6, LARGE = 3000 };
	int fd = udp_bound(PORT_HERE), size = -1, shown = 0, told = 0;
	static char other[4096];

	deliver(PORT_HERE, LARGE, 2);
	CALL(recv(fd, buf, 200, MSG_PEEK | MSG_DONTWAIT | MSG_TRUNC));
	CALL(recv(fd, buf, sizeof(buf), MSG_DONTWAIT));
	CALL(ioctl(fd, FIONREAD, &size));
	CALL(recv(fd, buf, sizeof(buf), MSG_DONTWAIT));
	for (int i = 0; i < EACH; i++) {
		deliver(PORT_HERE, 20 + i, 1);
		deliver(PORT_HERE, LARGE + i, 1);
	}
	for (int i = 0; i < EACH; i++) {
		long peeked = recv(fd, buf, sizeof(buf), MSG_PEEK | MSG_DONTWAIT);

		settle();
		if (peeked > 0 && recv(fd, other, sizeof(other), MSG_DONTWAIT) == peeked)
			shown += memcmp(buf, other, (size_t)peeked) == 0;
		size = -1;
		ioctl(fd, FIONREAD, &size);
		settle();
		told += recv(fd, buf, sizeof(buf), MSG_DONTWAIT) == size;
	}
	say("shown %d, told %d of %d", shown, told, EACH);
}

CASE_FAST(flags)
{
	int fd = udp_bound(PORT_HERE);

	deliver(PORT_HERE, 40, 6);
	CALL(recv(fd, buf, 100, MSG_WAITALL));
	CALL(recv(fd, buf, 100, MSG_DONTWAIT));
	CALL(recv(fd, buf, 100, MSG_NOSIGNAL));
	CALL(recv(fd, buf, 100, MSG_CMSG_CLOEXEC));
	CALL(recv(fd, buf, 100, MSG_EOR));
	CALL(recv(fd, buf, 100, MSG_DONTROUTE));
	CALL(recv(fd, buf, 100, MSG_DONTWAIT));
	CALL(recv(fd, buf, 100, MSG_DONTWAIT | MSG_PEEK | MSG_TRUNC));
}

CASE_FAST(flags_of_other_protocols)
{
	int fd = udp_bound(PORT_HERE);

	deliver(PORT_HERE, 40, 1);
	CALL(recv(fd, buf, 100, MSG_OOB));
	CALL(recv(fd, buf, 100, MSG_ERRQUEUE));
	CALL(recv(fd, buf, 100, MSG_ERRQUEUE | MSG_DONTWAIT));
	CALL(recv(fd, buf, 100, MSG_DONTWAIT));
}

CASE(empty)
{
	struct addr from = { .len = sizeof(from.ss) };
	struct iovec part = { buf, 10 };
	struct msghdr msg = { .msg_iov = &part, .msg_iovlen = 1 };
	int fd = udp_bound(PORT_HERE);

	CALL(recv(fd, buf, 10, MSG_DONTWAIT));
	CALL(recvfrom(fd, buf, 10, MSG_DONTWAIT, SA(&from), &from.len));
	say("address length %u", from.len);
	CALL(recvmsg(fd, &msg, MSG_DONTWAIT));
	CALL(fcntl(fd, F_SETFL, O_NONBLOCK));
	CALL(recv(fd, buf, 10, 0));
	CALL(read(fd, buf, 10));
	CALL(readv(fd, &part, 1));
	fd = udp();
	CALL(recv(fd, buf, 10, MSG_DONTWAIT));
}

CASE(bad_descriptors)
{
	struct iovec part = { buf, 10 };
	struct msghdr msg = { .msg_iov = &part, .msg_iovlen = 1 };
	struct mmsghdr many = { .msg_hdr = msg };
	int pipes[2], fd = udp();

	if (pipe(pipes) < 0)
		fail("pipe");
	close(fd);
	CALL(recv(-1, buf, 10, 0));
	CALL(recv(9999, buf, 10, 0));
	CALL(recv(fd, buf, 10, 0));
	CALL(recv(pipes[0], buf, 10, 0));
	CALL(recvmsg(-1, &msg, 0));
	CALL(recvmsg(fd, &msg, 0));
	CALL(recvmsg(pipes[0], &msg, 0));
	CALL(recvmmsg(fd, &many, 1, 0, NULL));
	CALL(recvmmsg(pipes[0], &many, 1, 0, NULL));
	CALL(read(fd, buf, 10));
	CALL(readv(fd, &part, 1));
	CALL(send(fd, buf, 10, 0));
	CALL(write(fd, buf, 10));
}

CASE_FAST(address_lengths)
{
	struct addr from;
	int fd = udp_bound(PORT_HERE);
	socklen_t lengths[] = { 0, 1, 2, 8, 16, 28, sizeof(struct sockaddr_storage) };
	size_t i;

	deliver(PORT_HERE, 20, 9);
	for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		memset(&from, 0x55, sizeof(from));
		from.len = lengths[i];
		CALL(recvfrom(fd, buf, 100, 0, SA(&from), &from.len));
		say("given %u, length %u, next byte untouched %d", lengths[i], from.len,
		    ((unsigned char *)&from.ss)[lengths[i] < 28 ? lengths[i] : 28] == 0x55);
	}
	from.len = (socklen_t)-1;
	CALL(recvfrom(fd, buf, 100, 0, SA(&from), &from.len));
	from.len = 77;
	CALL(recvfrom(fd, buf, 100, MSG_DONTWAIT, NULL, &from.len));
	say("length without an address %u", from.len);
	CALL(recv(fd, buf, 100, MSG_DONTWAIT));
}

CASE_FAST(message_header)
{
	struct iovec part[4] = { { buf, 5 }, { NULL, 0 }, { buf + 5, 0 }, { buf + 5, 60 } };
	struct addr from = { .len = 0 };
	char control[128];
	struct msghdr msg = { .msg_iov = part, .msg_iovlen = 4 };
	int fd = udp_bound(PORT_HERE);

	deliver(PORT_HERE, 50, 8);
	msg.msg_name = SA(&from);
	msg.msg_namelen = sizeof(from.ss);
	msg.msg_control = control;
	msg.msg_controllen = sizeof(control);
	msg.msg_flags = -1;
	contents(CALL(recvmsg(fd, &msg, 0)), 0, 50);
	from.len = msg.msg_namelen;
	say_addr("from", &from);
	say("control %zu flags %#x", msg.msg_controllen, (unsigned)msg.msg_flags);
	part[3].iov_len = 10;
	msg.msg_namelen = 3;
	contents(CALL(recvmsg(fd, &msg, 0)), 1, 15);
	say("name %u control %zu flags %#x", msg.msg_namelen, msg.msg_controllen, (unsigned)msg.msg_flags);
	CALL(recvmsg(fd, &msg, MSG_TRUNC));
	say("flags %#x", (unsigned)msg.msg_flags);
	CALL(recvmsg(fd, &msg, MSG_PEEK | MSG_TRUNC));
	say("flags %#x", (unsigned)msg.msg_flags);
	msg.msg_name = NULL;
	msg.msg_namelen = 99;
	CALL(recvmsg(fd, &msg, MSG_CMSG_CLOEXEC));
	say("name %u flags %#x", msg.msg_namelen, (unsigned)msg.msg_flags);
	msg.msg_iovlen = 0;
	CALL(recvmsg(fd, &msg, 0));
	say("flags %#x", (unsigned)msg.msg_flags);
	msg.msg_iovlen = 4;
	CALL(readv(fd, part, 4));
	CALL(readv(fd, part, 0));
	CALL(recv(fd, buf, 100, 0));
	CALL(recv(fd, buf, 100, 0));
	CALL(recvmsg(fd, &msg, MSG_DONTWAIT));
}

CASE_FAST(vector_limits)
{
	static struct iovec part[IOV_MAX + 1];
	struct msghdr msg = { .msg_iov = part };
	int fd = udp_bound(PORT_HERE), i;

	for (i = 0; i <= IOV_MAX; i++) {
		part[i].iov_base = buf + i;
		part[i].iov_len = 1;
	}
	deliver(PORT_HERE, 1024, 2);
	msg.msg_iovlen = IOV_MAX + 1;
	CALL(recvmsg(fd, &msg, MSG_DONTWAIT));
	CALL(readv(fd, part, IOV_MAX + 1));
	CALL(readv(fd, part, hidden(-1)));
	msg.msg_iovlen = IOV_MAX;
	contents(CALL(recvmsg(fd, &msg, MSG_DONTWAIT)), 0, 1024);
	contents(CALL(readv(fd, part, IOV_MAX)), 1, 1024);
	part[1].iov_len = (size_t)-1;
	msg.msg_iovlen = 2;
	CALL(recvmsg(fd, &msg, MSG_DONTWAIT));
	CALL(readv(fd, part, 2));
}

/* Each is a length, but their sum is none; what one buffer is said to hold may be more than any has. */
CASE_FAST(lengths_that_overflow)
{
	struct iovec part[3] = { { buf, SSIZE_MAX }, { buf, SSIZE_MAX }, { buf, 4 } };
	struct msghdr msg = { .msg_iov = part, .msg_iovlen = 3 };
	void *volatile at = buf; /* a buffer and lengths that the compiler does not know */
	volatile size_t most = SIZE_MAX, half = SSIZE_MAX;
	int fd = udp_bound(PORT_HERE);

	deliver(PORT_HERE, 100, 3);
	CALL(readv(fd, part, 3));
	CALL(recvmsg(fd, &msg, MSG_DONTWAIT));
	CALL(readv(fd, part, 1));
	CALL(recv(fd, at, most, MSG_DONTWAIT));
	CALL(read(fd, at, most));
	CALL(read(fd, at, half));
	CALL(recv(fd, buf, 100, MSG_DONTWAIT));
}

CASE_FAST(mmsg_shapes)
{
	struct mmsghdr msg[8];
	struct iovec part[8];
	struct addr from[8];
	int fd = udp_bound(PORT_HERE), i;

	for (i = 0; i < 8; i++) {
		part[i].iov_base = buf + i * 1000;
		part[i].iov_len = i == 2 ? 10 : 1000;
		memset(&msg[i], 0, sizeof(msg[i]));
		msg[i].msg_hdr.msg_iov = &part[i];
		msg[i].msg_hdr.msg_iovlen = 1;
		msg[i].msg_hdr.msg_name = SA(&from[i]);
		msg[i].msg_hdr.msg_namelen = sizeof(from[i].ss);
	}
	CALL(recvmmsg(fd, msg, 8, MSG_DONTWAIT, NULL));
	deliver(PORT_HERE, 100, 5);
	CALL(recvmmsg(fd, msg, 8, MSG_DONTWAIT, NULL));
	for (i = 0; i < 5; i++) {
		say("length %u flags %#x name %u", msg[i].msg_len, (unsigned)msg[i].msg_hdr.msg_flags,
		    msg[i].msg_hdr.msg_namelen);
		from[i].len = msg[i].msg_hdr.msg_namelen;
		say_addr("from", &from[i]);
	}
	deliver(PORT_HERE, 100, 3);
	CALL(recvmmsg(fd, msg, 2, 0, NULL));
	CALL(recvmmsg(fd, msg, 8, MSG_WAITFORONE, NULL));
	deliver(PORT_HERE, 10, 2);
	CALL(recvmmsg(fd, msg, 0, 0, NULL));
	CALL(recvmmsg(fd, msg, 1, MSG_PEEK, NULL));
	CALL(recvmmsg(fd, msg, 8, MSG_DONTWAIT | MSG_TRUNC, NULL));
}

/* sendmmsg() stops at 1,024 messages, recvmmsg() does not. */
CASE_FAST(mmsg_of_many)
{
	enum { MANY = 1300 };
	static struct mmsghdr msg[MANY];
	struct iovec part = { buf, 10 };
	int fd = udp_bound(PORT_HERE), room = 8 << 20, i;
	struct pollfd p = { .fd = fd, .events = POLLIN };

	CALL(setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)));
	for (i = 0; i < MANY; i++) {
		msg[i].msg_hdr.msg_iov = &part;
		msg[i].msg_hdr.msg_iovlen = 1;
	}
	for (i = 0; i < MANY; i += 100) {
		deliver(PORT_HERE, 10, 100);
		poll(&p, 1, 0); /* a call now and then, or a packet socket's ring runs over */
	}
	CALL(recvmmsg(fd, msg, MANY, MSG_DONTWAIT, NULL));
}

/* The timeout of recvmmsg is looked at only after a datagram; a blocked call does not see it. */
CASE_FAST(mmsg_timeout)
{
	struct timespec limit = { 0, 100000000 }, bad = { 0, 2000000000 }, zero = { 0, 0 };
	struct mmsghdr msg[8];
	struct iovec part[8];
	int fd = udp_bound(PORT_HERE), i;

	for (i = 0; i < 8; i++) {
		part[i].iov_base = buf + i * 1000;
		part[i].iov_len = 1000;
		memset(&msg[i], 0, sizeof(msg[i]));
		msg[i].msg_hdr.msg_iov = &part[i];
		msg[i].msg_hdr.msg_iovlen = 1;
	}
	CALL(recvmmsg(fd, msg, 8, 0, &bad));
	deliver(PORT_HERE, 100, 2);
	CALL(recvmmsg(fd, msg, 2, 0, &limit));
	say("time left: %d", limit.tv_sec == 0 && limit.tv_nsec > 0 && limit.tv_nsec <= 100000000);
	deliver(PORT_HERE, 100, 3);
	CALL(recvmmsg(fd, msg, 8, 0, &zero));
	CALL(recv(fd, buf, 100, MSG_DONTWAIT));
	CALL(recv(fd, buf, 100, MSG_DONTWAIT));
	limit.tv_nsec = 50000000;
	peer("later 150 %d 100 1", PORT_HERE);
	CALL_TIMED(recvmmsg(fd, msg, 8, 0, &limit), 0);
}

CASE_FAST(blocking_waits_for_data)
{
	int fd = udp_bound(PORT_HERE);

	peer("later 150 %d 77 3", PORT_HERE);
	contents(CALL_TIMED(recv(fd, buf, 100, 0), 0), 0, 77);
	contents(CALL_TIMED(read(fd, buf, 100), 0), 1, 77);
	contents(CALL_TIMED(recvfrom(fd, buf, 100, MSG_WAITALL, NULL, NULL), 0), 2, 77);
	peer("later 150 %d 78 1", PORT_HERE);
	contents(CALL_TIMED(read(fd, buf, 100), 0), 0, 78);
}

CASE_FAST(wildcard_bind)
{
	struct addr a = any(PORT_HERE), from = { .len = sizeof(from.ss) };
	int fd = udp();

	CALL(bind(fd, SA(&a), a.len));
	deliver(PORT_HERE, 64, 2);
	contents(CALL(recvfrom(fd, buf, 100, 0, SA(&from), &from.len)), 0, 64);
	say_addr("from", &from);
	CALL(sendto(fd, buf, 64, 0, SA(&from), from.len));
	contents(CALL(recv(fd, buf, 100, MSG_DONTWAIT)), 1, 64);
}

CASE_FAST(wildcard_and_specific)
{
	struct addr every = any(PORT_HERE), one = here(PORT_HERE);
	int wide = udp(), narrow = udp(), on = 1;

	setsockopt(wide, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(narrow, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	CALL(bind(wide, SA(&every), every.len));
	CALL(bind(narrow, SA(&one), one.len));
	deliver(PORT_HERE, 64, 2);
	CALL(recv(narrow, buf, 100, MSG_DONTWAIT));
	CALL(recv(wide, buf, 100, MSG_DONTWAIT));
	CALL(close(narrow));
	deliver(PORT_HERE, 64, 1);
	CALL(recv(wide, buf, 100, MSG_DONTWAIT));
}

CASE_FAST(pktinfo)
{
	union {
		char bytes[256];
		struct cmsghdr align;
	} control;
	struct addr a = any(PORT_HERE);
	struct iovec part = { buf, 100 };
	struct msghdr msg = { .msg_iov = &part, .msg_iovlen = 1 };
	struct cmsghdr *c;
	int fd = udp(), on = 1;

	if (family() == AF_INET)
		CALL(setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on)));
	else
		CALL(setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on)));
	CALL(bind(fd, SA(&a), a.len));
	deliver(PORT_HERE, 64, 2);
	msg.msg_control = control.bytes;
	msg.msg_controllen = sizeof(control);
	CALL(recvmsg(fd, &msg, 0));
	say("control %zu flags %#x", msg.msg_controllen, (unsigned)msg.msg_flags);
	for (c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		say("level %d type %d", c->cmsg_level, c->cmsg_type);
		say_data("data", CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
	}
	msg.msg_controllen = 8;
	CALL(recvmsg(fd, &msg, 0));
	say("control %zu flags %#x", msg.msg_controllen, (unsigned)msg.msg_flags);
}

/* Number of the datagram that begins with @first: pattern() undone (31 * 223 = 1 modulo 256). */
static int sequence(unsigned char first)
{
	return (unsigned char)(first * 223);
}

/* A receive buffer that is full drops datagrams; those accepted stay, in their order. */
CASE_PART(overflow)
{
	int fd = udp_bound(PORT_HERE), size = 4096, count = 0, last = -1;
	socklen_t len = sizeof(size);
	long got;

	CALL(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)));
	CALL(getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, &len));
	say("buffer %d", size);
	deliver(PORT_HERE, 500, 100);
	while ((got = recv(fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0) {
		if (sequence(buf[0]) <= last)
			say("datagram %d after %d", sequence(buf[0]), last);
		last = sequence(buf[0]);
		count++;
	}
	say("some accepted %d, some dropped %d", count > 0, count < 100);
	deliver(PORT_HERE, 500, 1);
	CALL(recv(fd, buf, sizeof(buf), MSG_DONTWAIT));
}

CASE_FAST(many_in_order)
{
	int fd = udp_bound(PORT_HERE), size = 8 << 20, round, i, wrong = 0;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	for (round = 0; round < 10; round++) {
		deliver(PORT_HERE, 200, 200);
		for (i = 0; i < 200; i++) {
			if (recv(fd, buf, sizeof(buf), MSG_DONTWAIT) != 200 || buf[0] != pattern(i, 0) ||
			    buf[199] != pattern(i, 199))
				wrong++;
		}
	}
	say("wrong %d", wrong);
}
