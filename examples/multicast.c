/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * multicast.c - a receiver of one multicast group: when each datagram came, from whom, by which interface.
 *
 *     multicast GROUP PORT INTERFACE [SOURCE]
 *
 * With SOURCE only that sender's datagrams are wanted (source-specific multicast). The port is bound so
 * that other receivers of the group on this host get theirs too.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fsock/fsock.h>
#include <inttypes.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void die(const char *what, int error)
{
	fprintf(stderr, "multicast: %s: %s\n", what, strerror(-error));
	exit(1);
}

static union fsock_addr address(const char *text)
{
	union fsock_addr addr = { .in.sin_family = AF_INET };

	if (inet_pton(AF_INET, text, &addr.in.sin_addr) == 1)
		return addr;
	addr.in6.sin6_family = AF_INET6;
	if (inet_pton(AF_INET6, text, &addr.in6.sin6_addr) != 1)
		die(text, -EINVAL);
	return addr;
}

static const char *name_of(const union fsock_addr *addr, char *text, socklen_t len)
{
	if (addr->sa.sa_family == AF_INET)
		return inet_ntop(AF_INET, &addr->in.sin_addr, text, len);
	return inet_ntop(AF_INET6, &addr->in6.sin6_addr, text, len);
}

static void show(const struct fsock_rxinfo *info, ssize_t bytes)
{
	char text[INET6_ADDRSTRLEN], interface[IF_NAMESIZE] = "?";

	if (info->valid & FSOCK_RXINFO_INTERFACE)
		if_indextoname(info->interface, interface);
	if (info->valid & FSOCK_RXINFO_SOFTWARE)
		printf("%" PRIu64 ".%09" PRIu64 " ", info->software / 1000000000, info->software % 1000000000);
	printf("%zd bytes from %s by %s\n", bytes, name_of(&info->source, text, sizeof(text)), interface);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct fsock_membership membership = { 0 };
	union fsock_addr any = { 0 };
	struct fsock_channel *ch;
	struct fsock_ep *ep;
	static char buf[65536];
	int on = 1, ret;

	if (argc < 4) {
		fprintf(stderr, "usage: multicast GROUP PORT INTERFACE [SOURCE]\n");
		return 2;
	}
	membership.group = address(argv[1]);
	membership.interface = if_nametoindex(argv[3]);
	if (argc > 4)
		membership.source = address(argv[4]);
	any.sa.sa_family = membership.group.sa.sa_family;

	ret = fsock_init(FSOCK_API_VERSION);
	if (ret < 0)
		die("fsock", ret);
	ret = fsock_open(&any.sa, sizeof(any), FSOCK_UDP, &ep);
	if (ret < 0)
		die("endpoint", ret);
	ret = fsock_bind(ep, FSOCK_BIND_SHARED, (uint16_t)atoi(argv[2]), &ch);
	if (ret < 0)
		die("channel", ret);
	fsock_setopt(ch, FSOCK_RX_STAMPS, &on, sizeof(on));
	ret = fsock_setopt(ch, FSOCK_JOIN_MCAST, &membership, sizeof(membership));
	if (ret < 0)
		die("join", ret);
	fprintf(stderr, "ready\n");

	for (;;) {
		struct fsock_rxinfo info;
		ssize_t n = fsock_recv(ch, FSOCK_RECV_DEFAULT, buf, sizeof(buf), &info);

		if (n < 0)
			die("receive", (int)n);
		show(&info, n);
	}
}
