/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * plain_udp.c - small loads on ordinary sockets, for what sockperf does not measure. It knows nothing
 * of fsock; bench/run starts it on kernel sockets and under the preload.
 *
 *      plain_udp empty ADDRESS PORT COUNT    nanoseconds of a receive that finds nothing
 *      plain_udp idle ADDRESS PORT SECONDS   CPU time of a receiver that waits for what never comes
 *      plain_udp hold ADDRESS PORT           an open socket and nothing else, until a signal
 *      plain_udp sink ADDRESS PORT SECONDS   datagrams that arrive, from the first one on, in that time
 *      plain_udp segments ADDRESS PORT SECONDS TO
 *                                            as many of 1400 bytes as go, 45 a call by UDP_SEGMENT
 *      plain_udp echo ADDRESS PORT COUNT [spin]  echo until a signal; beside it COUNT sockets on the
 *                                            ports from UNREAD on, bound and never read
 *      plain_udp fill ADDRESS PORT COUNT     send FILL_TURNS datagrams to each of COUNT ports from PORT on
 *      plain_udp ask ADDRESS PORT COUNT [spin]   half round trips to an echo, microseconds
 *
 * ADDRESS is the socket's own for the first five, the peer's for fill and ask. spin: receive without
 * blocking, again and again.
 *
 * The last line on stdout is JSON. `ready` on stderr says that the socket is bound.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum {
	BATCH = 1000, SEGMENT = 1400, SEGMENTS = 45,
	UNREAD = 20000,	  /* first port of the sockets that nobody reads */
	FILL_TURNS = 360, /* more than a queue of the default size takes */
	FILL_BYTES = 120,
	FILL_BURST = 64,  /* then a pause: what the receiver's rings drop fills no queue */
	WARM_UP = 2000,
	ASK_BYTES = 64,
	PATIENCE_US = 200000,
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

static uint64_t cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

static struct sockaddr_in name_of(const char *address, int port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };

	if (inet_pton(AF_INET, address, &at.sin_addr) != 1) {
		fprintf(stderr, "plain_udp: no address: %s\n", address);
		exit(2);
	}
	return at;
}

static int bound(const char *address, int port)
{
	struct sockaddr_in at = name_of(address, port);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0) {
		perror("plain_udp: bind");
		exit(1);
	}
	return fd;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The median of batches: a batch that an interrupt fell into does not count. */
static int empty(int fd, long count)
{
	long batches = count / BATCH, i, j, found = 0;
	double *cost = calloc((size_t)batches, sizeof(*cost));
	char buf[64];

	if (!cost || batches == 0)
		return 1;
	for (i = 0; i < batches; i++) {
		uint64_t began = now_ns();

		for (j = 0; j < BATCH; j++)
			found += recv(fd, buf, sizeof(buf), MSG_DONTWAIT) >= 0 || errno != EAGAIN;
		cost[i] = (double)(now_ns() - began) / BATCH;
	}
	qsort(cost, (size_t)batches, sizeof(*cost), compare);
	printf("{\"calls\":%ld,\"ns\":%.1f,\"p90\":%.1f,\"found\":%ld}\n", batches * BATCH,
	       cost[batches / 2], cost[batches * 9 / 10], found);
	free(cost);
	return found != 0;
}

static int idle(int fd, double seconds)
{
	struct timeval limit = { (time_t)seconds, 0 };
	uint64_t cpu, began;
	char buf[64];

	/* What starting cost is not idling. */
	recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
	usleep(200000);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	cpu = cpu_ns();
	began = now_ns();
	recv(fd, buf, sizeof(buf), 0);
	printf("{\"seconds\":%.3f,\"percent\":%.4f}\n", (double)(now_ns() - began) / 1e9,
	       100.0 * (double)(cpu_ns() - cpu) / (double)(now_ns() - began));
	return 0;
}

/* --- an active socket beside unread ones --- */

static ssize_t take(int fd, char *buf, size_t len, struct sockaddr_in *from, bool spin)
{
	socklen_t from_len = sizeof(*from);
	ssize_t got;

	do
		got = recvfrom(fd, buf, len, spin ? MSG_DONTWAIT : 0, (struct sockaddr *)from, &from_len);
	while (spin && got < 0 && errno == EAGAIN);
	return got;
}

static int echo(int fd, const char *address, int unread, bool spin)
{
	struct rlimit files = { .rlim_cur = (rlim_t)unread + 256, .rlim_max = (rlim_t)unread + 256 };
	struct rlimit have;
	struct sockaddr_in from;
	char buf[2048];

	if (getrlimit(RLIMIT_NOFILE, &have) == 0 && have.rlim_cur < files.rlim_cur &&
	    setrlimit(RLIMIT_NOFILE, &files) < 0) {
		perror("plain_udp: setrlimit");
		return 1;
	}
	for (int i = 0; i < unread; i++)
		bound(address, UNREAD + i);
	fprintf(stderr, "ready\n");
	for (;;) {
		ssize_t got = take(fd, buf, sizeof(buf), &from, spin);

		if (got >= 0)
			sendto(fd, buf, (size_t)got, 0, (struct sockaddr *)&from, sizeof(from));
	}
}

static int fill(const char *address, int port, int count)
{
	struct timespec pause_between = { .tv_nsec = 100000 };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	char data[FILL_BYTES] = "unread";
	long sent = 0;

	for (int turn = 0; turn < FILL_TURNS; turn++) {
		for (int i = 0; i < count; i++) {
			struct sockaddr_in to = name_of(address, port + i);

			sent += sendto(fd, data, sizeof(data), 0, (struct sockaddr *)&to, sizeof(to)) > 0;
			if (sent % FILL_BURST == 0)
				nanosleep(&pause_between, NULL);
		}
	}
	printf("{\"sent\":%ld}\n", sent);
	return 0;
}

/* One round trip in ns, or 0 when the answer did not come. */
static uint64_t round_trip(int fd, bool spin)
{
	uint64_t began = now_ns(), until = began + PATIENCE_US * 1000ULL;
	char buf[ASK_BYTES] = "ask";
	ssize_t got;

	if (send(fd, buf, sizeof(buf), 0) < 0)
		return 0;
	do
		got = recv(fd, buf, sizeof(buf), spin ? MSG_DONTWAIT : 0);
	while (spin && got < 0 && errno == EAGAIN && now_ns() < until);
	return got < 0 ? 0 : now_ns() - began;
}

static int ask(const char *address, int port, long count, bool spin)
{
	struct sockaddr_in to = name_of(address, port);
	struct timeval patience = { .tv_usec = PATIENCE_US };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	double *half = calloc((size_t)count, sizeof(*half));
	long n = 0, lost = 0;

	if (!half || count < 1 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		return 1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	for (int i = 0; i < WARM_UP; i++)
		round_trip(fd, spin);
	for (long i = 0; i < count; i++) {
		uint64_t ns = round_trip(fd, spin);

		if (ns)
			half[n++] = (double)ns / 2000;
		else
			lost++;
	}
	if (n == 0)
		return 1;
	qsort(half, (size_t)n, sizeof(*half), compare);
	printf("{\"n\":%ld,\"lost\":%ld,\"p50\":%.3f,\"p99\":%.3f,\"p99.9\":%.3f}\n", n, lost, half[n / 2],
	       half[n * 99 / 100], half[n * 999 / 1000]);
	free(half);
	return 0;
}

static int sink(int fd, double seconds)
{
	struct timeval limit = { 0, 500000 };
	uint64_t count = 0, first = 0, last = 0, end;
	static char buf[65536];

	end = now_ns() + (uint64_t)((seconds + 10) * 1e9);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	while (now_ns() < end) {
		if (recv(fd, buf, sizeof(buf), 0) < 0) {
			if (first)
				break; /* silence: the sender has ended */
			continue;
		}
		last = now_ns();
		if (!first) {
			first = last;
			end = first + (uint64_t)(seconds * 1e9);
		}
		count++;
	}
	printf("{\"received\":%llu,\"seconds\":%.6f}\n", (unsigned long long)count,
	       (double)(last - first) / 1e9);
	return count == 0;
}

static int segments(int fd, int port, double seconds, const char *to)
{
	struct sockaddr_in peer = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	uint64_t sent = 0, end = now_ns() + (uint64_t)(seconds * 1e9);
	static char buf[SEGMENT * SEGMENTS];
	int size = SEGMENT;

	if (inet_pton(AF_INET, to, &peer.sin_addr) != 1 ||
	    setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size)) < 0 ||
	    connect(fd, (struct sockaddr *)&peer, sizeof(peer)) < 0) {
		perror("plain_udp: segments");
		return 1;
	}
	while (now_ns() < end)
		sent += send(fd, buf, sizeof(buf), 0) == (ssize_t)sizeof(buf) ? SEGMENTS : 0;
	printf("{\"sent\":%llu}\n", (unsigned long long)sent);
	return 0;
}

int main(int argc, char **argv)
{
	long number = argc > 4 ? atol(argv[4]) : 0;
	bool spin = argc > 5 && strcmp(argv[5], "spin") == 0;
	int port, fd;

	if (argc < 4) {
		fprintf(stderr, "usage: plain_udp empty|idle|hold|echo|fill|ask ADDRESS PORT "
				"[COUNT|SECONDS [spin]]\n");
		return 2;
	}
	port = atoi(argv[3]);
	if (strcmp(argv[1], "fill") == 0)
		return fill(argv[2], port, (int)number);
	if (strcmp(argv[1], "ask") == 0)
		return ask(argv[2], port, number, spin);
	fd = bound(argv[2], port);
	if (strcmp(argv[1], "echo") == 0)
		return echo(fd, argv[2], (int)number, spin);
	fprintf(stderr, "ready\n");
	if (strcmp(argv[1], "empty") == 0)
		return empty(fd, argc > 4 ? number : 1000000);
	if (strcmp(argv[1], "idle") == 0)
		return idle(fd, argc > 4 ? atof(argv[4]) : 5);
	if (strcmp(argv[1], "sink") == 0)
		return sink(fd, argc > 4 ? atof(argv[4]) : 2);
	if (strcmp(argv[1], "segments") == 0 && argc > 5)
		return segments(fd, atoi(argv[3]), atof(argv[4]), argv[5]);
	for (;;)
		pause();
}
