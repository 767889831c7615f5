/* SPDX-License-Identifier: BSD-2-Clause */
/* rw.c - the calls of files on datagram sockets, and descriptors that are not ours. P49, P24, P55. */
#include "record.h"

#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

static unsigned char buf[4096];

CASE_FAST(read_and_write)
{
	int fd = udp_connected(PORT_HERE, PORT_ECHO);
	struct iovec part[2] = { { buf, 3 }, { buf + 3, 4000 } };

	CALL(write(fd, "hello", 5));
	CALL(read(fd, buf, sizeof(buf)));
	CALL(write(fd, "", 0));
	CALL(read(fd, buf, sizeof(buf)));
	CALL(write(fd, "hello", 5));
	CALL(readv(fd, part, 2));
	say("%.5s", buf);
	part[1].iov_len = 2;
	CALL(writev(fd, part, 2));
	CALL(read(fd, buf, 2));
	CALL(writev(fd, part, 2));
	settle();
	CALL(read(fd, buf, 0));
	CALL(recv(fd, buf, 10, MSG_DONTWAIT));
}

CASE(positions)
{
	int fd = udp_connected(PORT_HERE, PORT_ECHO);
	struct iovec part = { buf, 10 };
	off_t at = 0;

	CALL(pread(fd, buf, 10, 0));
	CALL(pwrite(fd, buf, 10, 0));
	CALL(preadv(fd, &part, 1, 0));
	CALL(pwritev(fd, &part, 1, 0));
	CALL(lseek(fd, 0, SEEK_CUR));
	CALL(sendfile(fd, fd, &at, 10));
	CALL(posix_fallocate(fd, 0, 10));
}

CASE_FAST(scatter_at_minus_one)
{
	int fd = udp_connected(PORT_HERE, PORT_ECHO);
	struct iovec part = { buf, 10 };

	CALL(pwritev2(fd, &part, 1, -1, 0));
	settle();
	CALL(preadv2(fd, &part, 1, -1, 0));
	CALL(preadv2(fd, &part, 1, -1, RWF_NOWAIT));
	CALL(pwritev2(fd, &part, 1, 5, 0));
}

/* Flags that mean something to files only are no reason to miss what is there. */
CASE_FAST(scatter_with_flags)
{
	static const int flags[] = { RWF_HIPRI, RWF_DSYNC, RWF_SYNC, RWF_NOWAIT, RWF_APPEND, 0x40000000 };
	int fd = udp_connected(PORT_HERE, PORT_ECHO);
	struct iovec part = { buf, 10 };
	volatile int negative = -1;

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		CALL(pwritev2(fd, &part, 1, -1, flags[i]));
		CALL(pwritev2(fd, &part, 0, -1, flags[i]));
		CALL(pwritev2(fd, &part, negative, -1, flags[i]));
		CALL(send(fd, "hello", 5, 0));
		settle();
		CALL(preadv2(fd, &part, 1, 0, flags[i]));
		CALL(preadv2(fd, &part, negative, -1, flags[i]));
		CALL(preadv2(fd, &part, 1, -1, flags[i]));
		CALL(preadv2(fd, &part, 1, -1, flags[i] | RWF_NOWAIT));
		CALL(preadv2(fd, &part, 1, -1, flags[i] | RWF_NOWAIT));
	}
}

CASE(stat)
{
	struct stat st;
	int fd = udp();

	CALL(fstat(fd, &st));
	say("socket %d size %ld", S_ISSOCK(st.st_mode), (long)st.st_size);
}

CASE(pipes_and_files_pass_through)
{
	int pipes[2], fd = memfd_create("x", 0), pair[2];
	struct iovec part = { buf, 10 };

	CALL(pipe(pipes));
	CALL(write(pipes[1], "abc", 3));
	CALL(read(pipes[0], buf, 10));
	CALL(readv(fd, &part, 1));
	CALL(write(fd, "abc", 3));
	CALL(pread(fd, buf, 10, 0));
	CALL(send(pipes[1], "abc", 3, 0));
	CALL(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
	CALL(send(pair[0], "abcd", 4, 0));
	CALL(recv(pair[1], buf, 10, MSG_PEEK));
	CALL(recv(pair[1], buf, 2, MSG_TRUNC));
	CALL(close(pipes[1]));
	CALL(read(pipes[0], buf, 10));
}

/* Loopback is not accelerated; it must simply work. */
CASE_BY(loopback, loopback)
{
	struct addr a = here(PORT_HERE), from = { .len = sizeof(from.ss) };
	int one = udp(), two = udp();

	if (family() == AF_INET)
		inet_pton(AF_INET, "127.0.0.1", &((struct sockaddr_in *)&a.ss)->sin_addr);
	else
		inet_pton(AF_INET6, mapped() ? "::ffff:127.0.0.1" : "::1",
			  &((struct sockaddr_in6 *)&a.ss)->sin6_addr);
	CALL(bind(one, SA(&a), a.len));
	CALL(sendto(two, "over lo", 7, 0, SA(&a), a.len));
	CALL(recvfrom(one, buf, 100, 0, SA(&from), &from.len));
	CALL(sendto(one, "back", 4, 0, SA(&from), from.len));
	CALL(recv(two, buf, 100, 0));
}

/* To an address of this host that is not on lo: the kernel's local delivery. P52 */
CASE_BY(own_address, loopback)
{
	struct addr a = here(PORT_HERE), from = { .len = sizeof(from.ss) };
	int one = udp_bound(PORT_HERE), two = udp();

	CALL(sendto(two, "to myself", 9, 0, SA(&a), a.len));
	CALL(recvfrom(one, buf, 100, 0, SA(&from), &from.len));
	say_addr("from", &from);
	CALL(sendto(one, "back", 4, 0, SA(&from), from.len));
	CALL(recv(two, buf, 100, 0));
	CALL(sendto(one, "self", 4, 0, SA(&a), a.len));
	CALL(recv(one, buf, 100, 0));
}
