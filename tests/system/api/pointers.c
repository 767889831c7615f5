/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pointers.c - addresses the program may not touch. The kernel answers EFAULT; where fsock copies in the
 * program itself the program may fault instead (deviations.txt). F3, P50.
 */
#include "record.h"

#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>

/* An address nobody can read or write, and that no compiler knows to be one. */
static void *nowhere(void)
{
	static void *page;

	if (!page)
		page = mmap(NULL, 65536, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return page;
}

CASE(addresses)
{
	int fd = udp();

	CALL(bind(fd, nowhere(), here(0).len));
	CALL(connect(fd, nowhere(), here(0).len));
	CALL(bind(fd, nowhere(), 0));
	CALL(connect(fd, nowhere(), 0));
}

CASE(send_address)
{
	int fd = udp_bound(PORT_HERE);

	CALL(sendto(fd, "x", 1, 0, nowhere(), here(0).len));
}

CASE(names)
{
	struct addr a = { .len = sizeof(a.ss) };
	int fd = udp_connected(PORT_HERE, PORT_ECHO);

	CALL(getsockname(fd, nowhere(), &a.len));
	CALL(getsockname(fd, SA(&a), nowhere()));
	CALL(getpeername(fd, nowhere(), &a.len));
	CALL(getpeername(fd, SA(&a), nowhere()));
}

CASE(options)
{
	int fd = udp(), value;
	socklen_t len = sizeof(value);

	CALL(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, nowhere(), 4));
	CALL(getsockopt(fd, SOL_SOCKET, SO_RCVBUF, nowhere(), &len));
	CALL(getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &value, nowhere()));
	CALL(getsockopt(fd, SOL_SOCKET, SO_ERROR, nowhere(), &len));
	CALL(ioctl(fd, FIONREAD, nowhere()));
	CALL(ioctl(fd, FIONBIO, nowhere()));
}

CASE(nothing_to_receive)
{
	struct iovec part = { nowhere(), 10 };
	struct msghdr msg = { .msg_iov = &part, .msg_iovlen = 1 };
	int fd = udp_bound(PORT_HERE);

	CALL(recv(fd, nowhere(), 10, MSG_DONTWAIT));
	CALL(recvmsg(fd, &msg, MSG_DONTWAIT));
}

CASE(receive_header)
{
	int fd = udp_bound(PORT_HERE);

	CALL(recvmsg(fd, nowhere(), MSG_DONTWAIT));
	CALL(recvmmsg(fd, nowhere(), 1, MSG_DONTWAIT, NULL));
}

CASE(receive)
{
	int fd = udp_bound(PORT_HERE);

	deliver(PORT_HERE, 10, 1);
	CALL(recv(fd, nowhere(), 10, MSG_DONTWAIT));
}

CASE(receive_address)
{
	struct addr a = { .len = sizeof(a.ss) };
	int fd = udp_bound(PORT_HERE);
	char buf[100];

	deliver(PORT_HERE, 10, 1);
	CALL(recvfrom(fd, buf, 10, MSG_DONTWAIT, nowhere(), &a.len));
}

CASE(send_data)
{
	struct addr to = there(PORT_ECHO);
	int fd = udp_bound(PORT_HERE);

	CALL(sendto(fd, nowhere(), 10, 0, SA(&to), to.len));
}

CASE(send_header)
{
	int fd = udp_connected(PORT_HERE, PORT_ECHO);

	CALL(sendmsg(fd, nowhere(), 0));
	CALL(sendmmsg(fd, nowhere(), 1, 0));
	CALL(writev(fd, nowhere(), 1));
}

CASE(poll_set)
{
	CALL(poll(nowhere(), 1, 0));
}

CASE(select_sets)
{
	int fd = udp_bound(PORT_HERE);

	CALL(select(fd + 1, nowhere(), NULL, NULL, &(struct timeval){ 0, 0 }));
}

CASE(epoll_change)
{
	int ep = epoll_create1(0), fd = udp_bound(PORT_HERE);

	CALL(epoll_ctl(ep, EPOLL_CTL_ADD, fd, nowhere()));
}

CASE(epoll_events)
{
	int ep = epoll_create1(0), fd = udp_bound(PORT_HERE);
	struct epoll_event e = { .events = EPOLLOUT };

	CALL(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
	CALL(epoll_wait(ep, nowhere(), 1, 0));
}
