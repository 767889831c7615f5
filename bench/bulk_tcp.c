/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bulk_tcp.c - bytes in one direction over connections on ordinary sockets. It knows nothing of fsock;
 * bench/run starts it on kernel sockets and under the preload.
 *
 *      bulk_tcp sink ADDRESS PORT FLOWS SECONDS [SKIP]
 *              accept FLOWS connections and count what comes by each in SECONDS, which begin SKIP seconds after
 *              the last one was accepted; then close all
 *      bulk_tcp send ADDRESS PORT FLOWS SECONDS [ALGORITHM]
 *              connect FLOWS times and send as fast as goes, for SECONDS or until the other side has closed all;
 *              under the congestion control ALGORITHM (cubic)
 *
 * An empty connection, which the sink closes, comes before those that count: what a program's first one costs is
 * not what is looked for.
 *
 * ADDRESS is the socket's own for sink, the peer's for send; IPv4 or IPv6. The last line on stdout is JSON:
 * bytes per connection, and seconds. `ready` on stderr says that the sink listens.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	MAX_FLOWS = 64,
	CHUNK = 1 << 16,
	PATIENCE_MS = 1000, /* between two looks at the clock while nothing comes */
};

struct flows {
	struct pollfd fd[MAX_FLOWS];
	uint64_t bytes[MAX_FLOWS];
	int n, open;
};

static char data[CHUNK];

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void fail(const char *what)
{
	fprintf(stderr, "bulk_tcp: %s: %s\n", what, strerror(errno));
	exit(1);
}

static socklen_t name_of(const char *address, int port, struct sockaddr_storage *at)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)at;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)at;

	memset(at, 0, sizeof(*at));
	if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)port);
		return sizeof(*v4);
	}
	if (inet_pton(AF_INET6, address, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)port);
		return sizeof(*v6);
	}
	fprintf(stderr, "bulk_tcp: no address: %s\n", address);
	exit(2);
}

static void add(struct flows *f, int fd, short events)
{
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		fail("fcntl");
	f->fd[f->n++] = (struct pollfd){ fd, events, 0 };
	f->open++;
}

/* poll() looks away from it. */
static void drop(struct flows *f, int i)
{
	close(f->fd[i].fd);
	f->fd[i].fd = -1;
	f->open--;
}

static void print(const struct flows *f, double seconds)
{
	printf("{\"seconds\":%.6f,\"bytes\":[", seconds);
	for (int i = 0; i < f->n; i++)
		printf("%s%llu", i ? "," : "", (unsigned long long)f->bytes[i]);
	printf("]}\n");
}

static int listener(const char *address, int port)
{
	struct sockaddr_storage at;
	socklen_t len = name_of(address, port, &at);
	int fd = socket(at.ss_family, SOCK_STREAM, 0), on = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    bind(fd, (struct sockaddr *)&at, len) < 0 || listen(fd, MAX_FLOWS) < 0)
		fail("listen");
	fprintf(stderr, "ready\n");
	return fd;
}

static int sink(int listening, int n, double seconds, double skip)
{
	struct flows f = { .n = 0 };
	double begin, end, at;

	for (int i = -1; i < n; i++) {
		int fd = accept(listening, NULL, NULL);

		if (fd < 0)
			fail("accept");
		if (i < 0)
			close(fd);
		else
			add(&f, fd, POLLIN);
	}
	begin = now() + skip;
	end = begin + seconds;
	while ((at = now()) < end && f.open > 0) {
		if (poll(f.fd, (nfds_t)f.n, PATIENCE_MS) < 0)
			fail("poll");
		at = now();
		for (int i = 0; i < f.n; i++) {
			ssize_t got;

			if (f.fd[i].fd < 0 || !f.fd[i].revents)
				continue;
			got = recv(f.fd[i].fd, data, sizeof(data), 0);
			if (got == 0 || (got < 0 && errno != EAGAIN))
				drop(&f, i);
			else if (got > 0 && at >= begin && at < end)
				f.bytes[i] += (uint64_t)got;
		}
	}
	print(&f, seconds);
	return f.open < f.n; /* a sender that ended, or broke, before its time */
}

static int connected(const char *address, int port, const char *algorithm)
{
	struct sockaddr_storage at;
	socklen_t len = name_of(address, port, &at);
	int fd = socket(at.ss_family, SOCK_STREAM, 0);

	if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, algorithm, (socklen_t)strlen(algorithm)) < 0)
		fail(algorithm);
	if (connect(fd, (struct sockaddr *)&at, len) < 0)
		fail("connect");
	return fd;
}

/* Until the sink has closed it: no later connection is accepted before it. */
static void empty(int fd)
{
	if (recv(fd, data, sizeof(data), 0) < 0)
		fail("recv");
	close(fd);
}

static int send_all(struct flows *f, double seconds)
{
	double begin = now(), end = begin + seconds;

	while (now() < end && f->open > 0) {
		if (poll(f->fd, (nfds_t)f->n, PATIENCE_MS) < 0)
			fail("poll");
		for (int i = 0; i < f->n; i++) {
			ssize_t put;

			if (f->fd[i].fd < 0 || !f->fd[i].revents)
				continue;
			put = send(f->fd[i].fd, data, sizeof(data), MSG_NOSIGNAL);
			if (put > 0)
				f->bytes[i] += (uint64_t)put;
			else if (errno != EAGAIN)
				drop(f, i);
		}
	}
	print(f, now() - begin);
	return 0;
}

int main(int argc, char **argv)
{
	struct flows f = { .n = 0 };
	const char *algorithm;
	int port, n;

	if (argc < 6 || (n = atoi(argv[4])) < 1 || n > MAX_FLOWS) {
		fprintf(stderr, "usage: bulk_tcp sink|send ADDRESS PORT FLOWS SECONDS [SKIP|ALGORITHM]\n");
		return 2;
	}
	port = atoi(argv[3]);
	algorithm = argc > 6 ? argv[6] : "cubic";
	if (strcmp(argv[1], "sink") == 0)
		return sink(listener(argv[2], port), n, atof(argv[5]), argc > 6 ? atof(argv[6]) : 0);
	empty(connected(argv[2], port, algorithm));
	for (int i = 0; i < n; i++)
		add(&f, connected(argv[2], port, algorithm), POLLOUT);
	return send_all(&f, atof(argv[5]));
}
