/* SPDX-License-Identifier: BSD-2-Clause */
/* timeo.c - SO_RCVTIMEO and SO_SNDTIMEO. P39. */
#include "record.h"

static unsigned char buf[2048];

CASE(values)
{
	static const struct timeval times[] = {
		{ 0, 0 }, { 1, 500000 }, { 0, 1 }, { -1, 0 }, { 0, 1000000 }, { 0, -1 }, { 100000000, 0 },
	};
	struct timeval back;
	socklen_t len = sizeof(back);
	int fd = udp();
	size_t i;

	for (i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		CALL(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &times[i], sizeof(times[i])));
		CALL(getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &back, &len));
		say("receive %ld.%06ld length %u", (long)back.tv_sec, (long)back.tv_usec, len);
		CALL(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &times[i], sizeof(times[i])));
		CALL(getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &back, &len));
		say("send %ld.%06ld length %u", (long)back.tv_sec, (long)back.tv_usec, len);
	}
	CALL(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &times[1], 4));
}

CASE(receive_times_out)
{
	struct timeval limit = { 0, 200000 };
	struct iovec part = { buf, 10 };
	struct msghdr msg = { .msg_iov = &part, .msg_iovlen = 1 };
	struct mmsghdr many = { .msg_hdr = msg };
	int fd = udp_bound(PORT_HERE);

	CALL(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)));
	CALL_TICKED(recv(fd, buf, 10, 0), 200);
	CALL_TICKED(recvmsg(fd, &msg, 0), 200);
	CALL_TICKED(recvmmsg(fd, &many, 1, 0, NULL), 200);
	CALL_TICKED(read(fd, buf, 10), 200);
	CALL_TICKED(readv(fd, &part, 1), 200);
	CALL_TICKED(recv(fd, buf, 10, MSG_DONTWAIT), 0);
	CALL_TICKED(recv(fd, buf, 10, MSG_PEEK), 200);
}

CASE_FAST(data_ends_the_wait)
{
	struct timeval limit = { 60, 0 }, none = { 0, 0 };
	int fd = udp_bound(PORT_HERE);

	CALL(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)));
	peer("later 100 %d 50 1", PORT_HERE);
	CALL_TICKED(recv(fd, buf, 100, 0), 0);
	CALL(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &none, sizeof(none)));
	peer("later 300 %d 50 1", PORT_HERE);
	CALL_TICKED(recv(fd, buf, 100, 0), 0);
}

CASE_FAST(timeout_of_a_duplicate)
{
	struct timeval limit = { 0, 100000 };
	int fd = udp_bound(PORT_HERE), copy = dup(fd);

	CALL(setsockopt(copy, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)));
	CALL_TICKED(recv(fd, buf, 10, 0), 100);
	deliver(PORT_HERE, 10, 1);
	CALL_TICKED(recv(fd, buf, 10, 0), 0);
}
