/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * plain_udp.c - small loads on ordinary sockets, for what sockperf does not measure. It knows nothing
 * of fsock; bench/run starts it on kernel sockets and under the preload.
 *
 *      plain_udp empty ADDRESS PORT COUNT    nanoseconds of a receive that finds nothing
 *      plain_udp idle ADDRESS PORT SECONDS   CPU time of a receiver that waits for what never comes
 *      plain_udp hold ADDRESS PORT           an open socket and nothing else, until a signal
 *
 * The last line on stdout is JSON. `ready` on stderr says that the socket is bound.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 1000 };

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

static int bound(const char *address, int port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (fd < 0 || inet_pton(AF_INET, address, &at.sin_addr) != 1 ||
	    bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0) {
		perror("plain_udp: bind");
		exit(1);
	}
	fprintf(stderr, "ready\n");
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

int main(int argc, char **argv)
{
	int fd;

	if (argc < 4) {
		fprintf(stderr, "usage: plain_udp empty|idle|hold ADDRESS PORT [COUNT|SECONDS]\n");
		return 2;
	}
	fd = bound(argv[2], atoi(argv[3]));
	if (strcmp(argv[1], "empty") == 0)
		return empty(fd, argc > 4 ? atol(argv[4]) : 1000000);
	if (strcmp(argv[1], "idle") == 0)
		return idle(fd, argc > 4 ? atof(argv[4]) : 5);
	for (;;)
		pause();
}
