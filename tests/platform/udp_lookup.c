/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which of two sockets that share a port gets an IPv4 datagram: connected before specific before
 * wildcard, the latter two AF_INET before AF_INET6, and of equals the one bound last.
 *
 * Relied on by: udp_find() of src/udp, whose unit test holds the same table.
 */
#include "bpf_tiny.h"

#include <arpa/inet.h>
#include <netinet/in.h>

enum { PORT = 5353, PEER_PORT = 6000, KINDS = 6 };

/* Best first. */
static const struct kind {
	const char *name;
	int connected, specific, v6;
} rank[KINDS] = {
	{ "connected", 1, 1, 0 }, { "connected, mapped", 1, 1, 1 },
	{ "specific", 0, 1, 0 },  { "specific, mapped", 0, 1, 1 },
	{ "wildcard", 0, 0, 0 },  { "wildcard, dual-stack", 0, 0, 1 },
};

static struct sockaddr_in v4_address(uint32_t host, uint16_t port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_port = htons(port),
				     .sin_addr = { htonl(host) } };
}

static socklen_t address(const struct kind *k, uint32_t host, uint16_t port,
			 struct sockaddr_storage *to)
{
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct sockaddr_in v4 = v4_address(host, port);

	if (!k->v6) {
		memcpy(to, &v4, sizeof(v4));
		return sizeof(v4);
	}
	if (host != INADDR_ANY) {
		v6.sin6_addr.s6_addr[10] = v6.sin6_addr.s6_addr[11] = 0xff;
		memcpy(v6.sin6_addr.s6_addr + 12, &v4.sin_addr, 4);
	}
	memcpy(to, &v6, sizeof(v6));
	return sizeof(v6);
}

static int open_kind(const struct kind *k)
{
	int fd = socket(k->v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), one = 1, no = 0;
	struct sockaddr_storage at;
	socklen_t len;

	if (fd < 0 && errno == EAFNOSUPPORT)
		skip("no IPv6");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (k->v6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof(no));
	len = address(k, k->specific ? INADDR_LOOPBACK : INADDR_ANY, PORT, &at);
	check(fd >= 0 && bind(fd, (struct sockaddr *)&at, len) == 0, k->name);
	if (k->connected) {
		len = address(k, INADDR_LOOPBACK, PEER_PORT, &at);
		check(connect(fd, (struct sockaddr *)&at, len) == 0, k->name);
	}
	return fd;
}

/* 0 or 1: which of the two, opened in this order, gets the peer's datagram. */
static int winner(int peer, const struct kind *first, const struct kind *second)
{
	struct sockaddr_in to = v4_address(INADDR_LOOPBACK, PORT);
	int fd[2] = { open_kind(first), open_kind(second) }, got = -1;
	char byte = 1;

	check(sendto(peer, &byte, 1, 0, (struct sockaddr *)&to, sizeof(to)) == 1, "sending");
	for (int i = 0; i < 2; i++) {
		if (recv(fd[i], &byte, 1, 0) == 1)
			got = i;
		close(fd[i]);
	}
	return got;
}

int main(void)
{
	struct sockaddr_in self = v4_address(INADDR_LOOPBACK, PEER_PORT);
	char what[128];
	int peer;

	own_namespace();
	peer = socket(AF_INET, SOCK_DGRAM, 0);
	check(peer >= 0 && bind(peer, (struct sockaddr *)&self, sizeof(self)) == 0, "the peer");
	for (int i = 0; i < KINDS; i++) {
		for (int j = 0; j < KINDS; j++) {
			/* Two sockets of one 4-tuple: not the same in all kernels. */
			if (i != j && rank[i].connected && rank[j].connected)
				continue;
			snprintf(what, sizeof(what), "\"%s\", then \"%s\"", rank[i].name,
				 rank[j].name);
			check(winner(peer, &rank[i], &rank[j]) == (i < j ? 0 : 1), what);
		}
	}
	return 0;
}
