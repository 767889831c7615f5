/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inplace.c - what it costs to receive a datagram and look at it: in place by the native interface, or copied by
 * recv(), which bench/run starts under the preload.
 *
 *      inplace send ADDRESS PORT SIZE      sends bursts to ADDRESS:PORT, each when it is asked for
 *      inplace native ADDRESS PORT ROUNDS  receives in place, by fsock_recv_batch()
 *      inplace plain ADDRESS PORT ROUNDS   receives by recv()
 *
 * A burst arrives while nobody reads; then it is timed how long it takes to read all of it. So the figure
 * is the receiver's own work, whatever the sender's speed. Both receivers do the same with a datagram: they
 * check the sequence number it begins with. The last line on stdout is JSON.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fsock/fsock.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	BURST = 512,	/* datagrams: what the smallest ring holds */
	BATCH = 64,
	LOOKS = 50,	/* empty receives before the rest of a burst is taken for lost */
	QUIET_US = 4000, /* for the burst to arrive */
};

struct receiver {
	int fd;			  /* plain */
	struct fsock_channel *ch; /* native; NULL = plain */
	uint64_t expected, gaps;
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

static _Noreturn void die(const char *what, int error)
{
	fprintf(stderr, "inplace: %s: %s\n", what, strerror(error));
	exit(1);
}

static struct sockaddr_in address(char **argv)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1])) };

	if (inet_pton(AF_INET, argv[0], &at.sin_addr) != 1)
		die(argv[0], EINVAL);
	return at;
}

/* --- receiving --- */

static void look_at(struct receiver *r, const void *data)
{
	uint64_t sequence;

	memcpy(&sequence, data, sizeof(sequence));
	r->gaps += sequence != r->expected;
	r->expected = sequence + 1;
}

/* What is there, without waiting. */
static int take_native(struct receiver *r)
{
	struct fsock_datagram d[BATCH];
	int n = fsock_recv_batch(r->ch, FSOCK_RECV_NONBLOCK, d, BATCH);

	if (n <= 0)
		return 0;
	for (int i = 0; i < n; i++)
		look_at(r, d[i].part[0].iov_base);
	fsock_release_batch(r->ch, d, (unsigned)n);
	return n;
}

static int take_plain(struct receiver *r)
{
	char buf[2048];
	int n = 0;

	for (; n < BATCH && recv(r->fd, buf, sizeof(buf), MSG_DONTWAIT) > 0; n++)
		look_at(r, buf);
	return n;
}

static void ask(const struct receiver *r)
{
	if (r->ch ? fsock_send(r->ch, 0, "go", 2, NULL) != 2 : send(r->fd, "go", 2, 0) != 2)
		die("ask", EIO);
}

/* ns per datagram of one burst; 0 = none came. */
static double burst(struct receiver *r)
{
	int got = 0, empty = 0;
	uint64_t began, ended;

	ask(r);
	usleep(QUIET_US);
	began = ended = now_ns();
	while (got < BURST && empty < LOOKS) {
		int n = r->ch ? take_native(r) : take_plain(r);

		got += n;
		empty = n ? 0 : empty + 1;
		if (n)
			ended = now_ns();
	}
	return got ? (double)(ended - began) / got : 0;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The sender has said hello and is connected to. */
static int run(struct receiver *r, long rounds)
{
	double *cost = calloc((size_t)rounds, sizeof(*cost));
	long n = 0;

	if (!cost || rounds < 1)
		die("rounds", EINVAL);
	for (int i = 0; i < 20; i++) /* let caches and both ends settle */
		burst(r);
	r->gaps = 0;
	for (long i = 0; i < rounds; i++) {
		cost[n] = burst(r);
		n += cost[n] > 0; /* a sender that did not run in time says nothing */
	}
	if (n == 0)
		die("bursts", ETIMEDOUT);
	qsort(cost, (size_t)n, sizeof(*cost), compare);
	printf("{\"ns\":%.1f,\"best\":%.1f,\"p10\":%.1f,\"p90\":%.1f,\"gaps\":%llu}\n", cost[n / 2], cost[0],
	       cost[n / 10], cost[n * 9 / 10], (unsigned long long)r->gaps);
	free(cost);
	return 0;
}

static int native(char **argv)
{
	struct sockaddr_in local = address(argv);
	struct fsock_rxinfo info;
	struct receiver r = { 0 };
	struct fsock_ep *ep;
	char hello[16];

	if (fsock_init(FSOCK_API_VERSION) < 0 ||
	    fsock_open((struct sockaddr *)&local, sizeof(local), FSOCK_UDP, &ep) < 0 ||
	    fsock_bind(ep, 0, (uint16_t)atoi(argv[1]), &r.ch) < 0)
		die("channel", EIO);
	fprintf(stderr, "ready\n");
	if (fsock_recv(r.ch, 0, hello, sizeof(hello), &info) < 0 ||
	    fsock_connect(r.ch, &info.source.sa, sizeof(info.source.in)) < 0)
		die("hello", EIO);
	return run(&r, atol(argv[2]));
}

static int plain(char **argv)
{
	struct sockaddr_in at = address(argv), peer;
	struct receiver r = { .fd = socket(AF_INET, SOCK_DGRAM, 0) };
	socklen_t len = sizeof(peer);
	char hello[16];

	if (r.fd < 0 || bind(r.fd, (struct sockaddr *)&at, sizeof(at)) < 0)
		die("socket", errno);
	fprintf(stderr, "ready\n");
	if (recvfrom(r.fd, hello, sizeof(hello), 0, (struct sockaddr *)&peer, &len) < 0 ||
	    connect(r.fd, (struct sockaddr *)&peer, len) < 0)
		die("hello", errno);
	return run(&r, atol(argv[2]));
}

/* --- sending --- */

static int sender(char **argv)
{
	struct sockaddr_in to = address(argv);
	size_t size = (size_t)atol(argv[2]);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	char buf[2048] = { 0 }, go[16];

	if (size < sizeof(uint64_t) || size > sizeof(buf))
		die("size", EINVAL);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 || send(fd, "hello", 5, 0) != 5)
		die("socket", errno);
	for (uint64_t sequence = 0; recv(fd, go, sizeof(go), 0) > 0;) {
		for (int i = 0; i < BURST; i++, sequence++) {
			memcpy(buf, &sequence, sizeof(sequence));
			send(fd, buf, size, 0);
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 5 && strcmp(argv[1], "send") == 0)
		return sender(argv + 2);
	if (argc == 5 && strcmp(argv[1], "native") == 0)
		return native(argv + 2);
	if (argc == 5 && strcmp(argv[1], "plain") == 0)
		return plain(argv + 2);
	fprintf(stderr, "usage: inplace send|native|plain ADDRESS PORT SIZE|ROUNDS\n");
	return 2;
}
