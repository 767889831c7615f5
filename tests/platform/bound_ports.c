/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A TCP socket that is bound to a port, and nothing more, keeps the port from every connect() and bind() that leave
 * the choice to the kernel, also while its only descriptor lies unread in a unix socket; once that message is thrown
 * away the port is free.
 *
 * Relied on by: the leases of src/context/lease.c.
 */
#include "bpf_tiny.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>

enum { FROM = 40000, PORTS = 64, HELD = 16, LISTENER = 80 };

static int held[PORTS]; /* by port less FROM */

/* A namespace with so few local ports that a program can use up all. */
static void enter_namespace(void)
{
	char range[32];
	int fd, len;

	own_namespace();
	fd = open("/proc/sys/net/ipv4/ip_local_port_range", O_WRONLY);
	len = snprintf(range, sizeof(range), "%d %d", FROM, FROM + PORTS - 1);
	check(fd >= 0 && write(fd, range, (size_t)len) == len, "the namespace has few local ports");
	close(fd);
}

static int port_of(int fd)
{
	struct sockaddr_in6 name;
	socklen_t len = sizeof(name);

	check(getsockname(fd, (void *)&name, &len) == 0, "a socket has a name");
	return ntohs(name.sin6_port);
}

/* Hold HELD ports by descriptors that lie in @pair. */
static void hold(const int pair[2])
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(HELD * sizeof(int))];
	} control = { .align = { CMSG_LEN(HELD * sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	struct sockaddr_in6 any = { .sin6_family = AF_INET6 };
	struct iovec iov = { (void *)"", 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
	int fd[HELD], no = 0;

	for (int i = 0; i < HELD; i++) {
		fd[i] = socket(AF_INET6, SOCK_STREAM, 0);
		if (fd[i] < 0 && errno == EAFNOSUPPORT)
			skip("no IPv6");
		setsockopt(fd[i], IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof(no));
		check(bind(fd[i], (void *)&any, sizeof(any)) == 0, "a port is given to whoever asks");
		held[port_of(fd[i]) - FROM] = 1;
	}
	memcpy(CMSG_DATA(&control.align), fd, sizeof(fd));
	check(sendmsg(pair[0], &msg, 0) == 1, "descriptors go into a unix socket");
	for (int i = 0; i < HELD; i++)
		close(fd[i]);
}

/* Connections of the kernel's to a listener, until it has no port left. How many; none from a port that is held. */
static int connect_all(int family, int fd[PORTS])
{
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(LISTENER), .sin6_addr = in6addr_loopback };
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(LISTENER), .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int n = 0;

	for (;;) {
		int ret;

		fd[n] = socket(family, SOCK_STREAM, 0);
		ret = family == AF_INET ? connect(fd[n], (void *)&v4, sizeof(v4)) : connect(fd[n], (void *)&v6, sizeof(v6));
		if (ret < 0)
			break;
		check(n < PORTS && !held[port_of(fd[n]) - FROM], "a bound port is left alone");
		n++;
	}
	check(errno == EADDRNOTAVAIL, "the kernel says that it has no port left");
	close(fd[n]);
	return n;
}

static void reset_all(int *fd, int n)
{
	struct linger now = { 1, 0 };

	for (int i = 0; i < n; i++) {
		setsockopt(fd[i], SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		close(fd[i]);
	}
}

int main(void)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(LISTENER) };
	int pair[2], fd[PORTS + 1], listener, n, no = 0;
	char byte;

	enter_namespace();
	check(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0, "a pair of unix sockets");
	hold(pair);
	listener = socket(AF_INET6, SOCK_STREAM, 0);
	setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof(no));
	check(bind(listener, (void *)&any, sizeof(any)) == 0 && listen(listener, 16 * PORTS) == 0, "a listener");
	for (int family = AF_INET;; family = AF_INET6) {
		n = connect_all(family, fd);
		check(n == PORTS - HELD, "every other port is used");
		reset_all(fd, n);
		if (family == AF_INET6)
			break;
	}
	/* Nobody asks for the descriptors of the message: they are closed. */
	check(recv(pair[1], &byte, 1, 0) == 1, "the message is read without its descriptors");
	memset(held, 0, sizeof(held));
	check(connect_all(AF_INET, fd) == PORTS, "a bound port is left alone");
	return 0;
}
