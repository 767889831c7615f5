/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * peer.c - the other end of the API programs: `api_peer v4|v6`.
 *
 * Three sockets: ECHO answers what it gets, SINK counts it, SOURCE sends on order. Orders arrive on
 * CONTROL_FD as text, one message each, and are answered with a number:
 *
 *   ready                    1 when all sockets are open
 *   send PORT SIZE COUNT     datagrams to the other side's PORT; how many went out
 *   later MS PORT SIZE COUNT the same, MS milliseconds after the answer
 *   from SRC PORT SIZE       one datagram from a socket bound to SRC for this
 *   got                      datagrams that SINK received since the last question; waits up to 300 ms
 *                            for the first and until none came for 30 ms
 *   bytes, hash              of those same datagrams
 *   ttl, tos, from           of the last that SINK received: hop limit, traffic class, and the last byte of
 *                            the address it came from
 *   style TTL TOS            SOURCE sends so from now on
 *   segments SIZE COUNT PORT one call with UDP_SEGMENT: COUNT datagrams of SIZE bytes
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CONTROL_FD = 3, PORT_ECHO = 7007, PORT_SOURCE = 7008, PORT_SINK = 7009, BIG = 65536 };

struct peer {
	int family;
	int echo, source, sink;
	long count, bytes;	/* what the sink saw since the last "got" */
	uint32_t hash;
	long last_bytes, last_hash;
	int ttl, tos, from;	/* of the last datagram of the sink */
	int64_t later_at;	/* ms; 0: nothing waits */
	int later_port, later_size, later_count;
};

static unsigned char buffer[BIG];

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static socklen_t address(int family, struct sockaddr_storage *ss, int mine, int port)
{
	struct sockaddr_in *in4 = (struct sockaddr_in *)ss;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;

	memset(ss, 0, sizeof(*ss));
	if (family == AF_INET) {
		in4->sin_family = AF_INET;
		in4->sin_port = htons((uint16_t)port);
		inet_pton(AF_INET, mine ? "10.77.0.2" : "10.77.0.1", &in4->sin_addr);
		return sizeof(*in4);
	}
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons((uint16_t)port);
	inet_pton(AF_INET6, mine ? "fd77::2" : "fd77::1", &in6->sin6_addr);
	return sizeof(*in6);
}

static int open_port(int family, int port)
{
	struct sockaddr_storage ss;
	socklen_t len = address(family, &ss, 1, port);
	int fd = socket(family, SOCK_DGRAM, 0), size = 4 << 20;

	if (fd < 0 || bind(fd, (struct sockaddr *)&ss, len) < 0) {
		perror("api_peer: bind");
		exit(1);
	}
	/* Beyond rmem_max: a burst must not depend on when this process gets a processor. */
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	return fd;
}

static int send_some(const struct peer *p, int fd, int port, int size, int count)
{
	struct sockaddr_storage ss;
	socklen_t len = address(p->family, &ss, 0, port);
	int seq, i;

	for (seq = 0; seq < count; seq++) {
		for (i = 0; i < size; i++)
			buffer[i] = (unsigned char)(seq * 31 + i * 7 + (i >> 8));
		while (sendto(fd, buffer, (size_t)size, 0, (struct sockaddr *)&ss, len) < 0) {
			/* Errors of earlier datagrams (ICMP) are reported here; send again. */
			if (errno != EINTR && errno != ECONNREFUSED)
				return seq;
		}
	}
	return count;
}

static int send_segments(const struct peer *p, int size, int count, int port)
{
	struct sockaddr_storage ss;
	socklen_t len = address(p->family, &ss, 0, port);
	int i, none = 0, sent;

	for (i = 0; i < size * count; i++)
		buffer[i] = (unsigned char)(i * 7 + (i >> 8));
	setsockopt(p->source, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size));
	sent = (int)sendto(p->source, buffer, (size_t)(size * count), 0, (struct sockaddr *)&ss, len);
	setsockopt(p->source, IPPROTO_UDP, UDP_SEGMENT, &none, sizeof(none));
	return sent;
}

/* Ask for what is told of a datagram beside its bytes. */
static void be_curious(const struct peer *p, int fd)
{
	int on = 1;

	if (p->family == AF_INET) {
		setsockopt(fd, IPPROTO_IP, IP_RECVTTL, &on, sizeof(on));
		setsockopt(fd, IPPROTO_IP, IP_RECVTOS, &on, sizeof(on));
	} else {
		setsockopt(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, &on, sizeof(on));
		setsockopt(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, &on, sizeof(on));
	}
}

static void set_style(const struct peer *p, int ttl, int tos)
{
	if (p->family == AF_INET) {
		setsockopt(p->source, IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl));
		setsockopt(p->source, IPPROTO_IP, IP_TOS, &tos, sizeof(tos));
	} else {
		setsockopt(p->source, IPPROTO_IPV6, IPV6_UNICAST_HOPS, &ttl, sizeof(ttl));
		setsockopt(p->source, IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof(tos));
	}
}

static void note(struct peer *p, struct msghdr *m, const struct sockaddr_storage *ss)
{
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS)
			p->tos = *CMSG_DATA(c);
		else if (c->cmsg_type == IP_TTL || c->cmsg_type == IPV6_HOPLIMIT)
			memcpy(&p->ttl, CMSG_DATA(c), sizeof(p->ttl));
		else if (c->cmsg_type == IPV6_TCLASS)
			memcpy(&p->tos, CMSG_DATA(c), sizeof(p->tos));
	}
	if (ss->ss_family == AF_INET)
		p->from = (int)(ntohl(((const struct sockaddr_in *)ss)->sin_addr.s_addr) & 0xff);
	else
		p->from = ((const struct sockaddr_in6 *)ss)->sin6_addr.s6_addr[15];
}

static void take(struct peer *p, int fd, int answer)
{
	struct sockaddr_storage ss;
	char control[256];
	struct iovec iov = { buffer, sizeof(buffer) };
	struct msghdr m = { .msg_name = &ss, .msg_namelen = sizeof(ss), .msg_iov = &iov, .msg_iovlen = 1,
			    .msg_control = control, .msg_controllen = sizeof(control) };
	ssize_t got = recvmsg(fd, &m, MSG_DONTWAIT);
	socklen_t len = m.msg_namelen;
	uint32_t hash = 2166136261U;
	ssize_t i;

	if (got < 0)
		return;
	if (answer) {
		sendto(fd, buffer, (size_t)got, 0, (struct sockaddr *)&ss, len);
		return;
	}
	note(p, &m, &ss);
	p->count++;
	p->bytes += got;
	for (i = 0; i < got; i++)
		hash = (hash ^ buffer[i]) * 16777619U;
	p->hash += hash; /* whatever the order: a sender that changes processors may reorder */
}

static long got(struct peer *p)
{
	struct pollfd sink = { .fd = p->sink, .events = POLLIN };
	long count;

	while (poll(&sink, 1, p->count ? 30 : 300) > 0)
		take(p, p->sink, 0);
	count = p->count;
	p->last_bytes = p->bytes;
	p->last_hash = p->hash;
	p->count = p->bytes = 0;
	p->hash = 0;
	return count;
}

static long obey(struct peer *p, const char *order)
{
	int a, b, c, d, fd;

	if (strcmp(order, "ready") == 0)
		return 1;
	if (sscanf(order, "send %d %d %d", &a, &b, &c) == 3)
		return send_some(p, p->source, a, b, c);
	if (sscanf(order, "later %d %d %d %d", &a, &b, &c, &d) == 4) {
		p->later_at = now_ms() + a;
		p->later_port = b;
		p->later_size = c;
		p->later_count = d;
		return 0;
	}
	if (sscanf(order, "from %d %d %d", &a, &b, &c) == 3) {
		fd = open_port(p->family, a);
		d = send_some(p, fd, b, c, 1);
		close(fd);
		return d;
	}
	if (strcmp(order, "got") == 0)
		return got(p);
	if (strcmp(order, "bytes") == 0)
		return p->last_bytes;
	if (strcmp(order, "hash") == 0)
		return p->last_hash;
	if (strcmp(order, "ttl") == 0)
		return p->ttl;
	if (strcmp(order, "tos") == 0)
		return p->tos;
	if (strcmp(order, "from") == 0)
		return p->from;
	if (sscanf(order, "style %d %d", &a, &b) == 2) {
		set_style(p, a, b);
		return 0;
	}
	if (sscanf(order, "segments %d %d %d", &a, &b, &c) == 3)
		return send_segments(p, a, b, c);
	return -1;
}

static int until_later(const struct peer *p)
{
	int64_t left = p->later_at - now_ms();

	if (!p->later_at)
		return -1;
	return left < 0 ? 0 : (int)left;
}

int main(int argc, char **argv)
{
	struct peer p = { 0 };
	char order[256], answer[32];
	ssize_t len;

	if (argc != 2)
		return 2;
	p.family = strcmp(argv[1], "v6") == 0 ? AF_INET6 : AF_INET;
	p.echo = open_port(p.family, PORT_ECHO);
	p.source = open_port(p.family, PORT_SOURCE);
	p.sink = open_port(p.family, PORT_SINK);
	be_curious(&p, p.sink);
	for (;;) {
		struct pollfd set[] = {
			{ .fd = CONTROL_FD, .events = POLLIN },
			{ .fd = p.echo, .events = POLLIN },
			{ .fd = p.sink, .events = POLLIN },
		};

		if (poll(set, 3, until_later(&p)) < 0 && errno != EINTR)
			return 1;
		if (p.later_at && now_ms() >= p.later_at) {
			p.later_at = 0;
			send_some(&p, p.source, p.later_port, p.later_size, p.later_count);
		}
		if (set[1].revents)
			take(&p, p.echo, 1);
		if (set[2].revents)
			take(&p, p.sink, 0);
		if (!set[0].revents)
			continue;
		len = recv(CONTROL_FD, order, sizeof(order) - 1, 0);
		if (len <= 0)
			return 0;
		order[len] = 0;
		len = snprintf(answer, sizeof(answer), "%ld", obey(&p, order));
		if (send(CONTROL_FD, answer, (size_t)len, MSG_NOSIGNAL) != len)
			return 0;
	}
}
