/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * echo.c - an echo server: each datagram goes back where it came from.
 *
 *     echo ADDRESS PORT
 *
 * The first program to read: start, endpoint, channel, receive, send. Without privilege, or on an address
 * that fsock does not accelerate, it works just as well; it only says so.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fsock/fsock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void die(const char *what, int error)
{
	fprintf(stderr, "echo: %s: %s\n", what, strerror(-error));
	exit(1);
}

static struct fsock_channel *open_channel(const char *address, uint16_t port)
{
	union fsock_addr local = { .in.sin_family = AF_INET };
	struct fsock_channel *ch;
	struct fsock_ep *ep;
	int ret;

	if (inet_pton(AF_INET, address, &local.in.sin_addr) != 1) {
		local.in6.sin6_family = AF_INET6;
		if (inet_pton(AF_INET6, address, &local.in6.sin6_addr) != 1)
			die(address, -EINVAL);
	}
	ret = fsock_open(&local.sa, sizeof(local), FSOCK_UDP, &ep);
	if (ret < 0)
		die("endpoint", ret);
	ret = fsock_bind(ep, FSOCK_BIND_DEFAULT, port, &ch);
	if (ret < 0)
		die("channel", ret);
	return ch;
}

static void say_which_way(struct fsock_channel *ch)
{
	char reason[200];
	size_t len = sizeof(reason);

	if (fsock_getopt(ch, FSOCK_REASON, reason, &len) == 0)
		fprintf(stderr, "echo: ready, %s\n", reason);
}

int main(int argc, char **argv)
{
	struct fsock_channel *ch;
	static char buf[65536];
	int ret;

	if (argc != 3) {
		fprintf(stderr, "usage: echo ADDRESS PORT\n");
		return 2;
	}
	ret = fsock_init(FSOCK_API_VERSION);
	if (ret < 0)
		die("fsock", ret);
	ch = open_channel(argv[1], (uint16_t)atoi(argv[2]));
	say_which_way(ch);

	for (;;) {
		struct fsock_rxinfo from;
		struct fsock_txinfo to = { .valid = FSOCK_TXINFO_DESTINATION };
		ssize_t n = fsock_recv(ch, FSOCK_RECV_DEFAULT, buf, sizeof(buf), &from);

		if (n < 0)
			die("receive", (int)n);
		to.destination = from.source;
		n = fsock_send(ch, FSOCK_SEND_DEFAULT, buf, (size_t)n, &to);
		if (n < 0)
			fprintf(stderr, "echo: an answer is lost: %s\n", strerror((int)-n));
	}
}
