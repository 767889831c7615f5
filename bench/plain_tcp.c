/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * plain_tcp.c - streams, short connections and idle ones on ordinary sockets, for what sockperf does not
 * measure. It knows nothing of fsock; bench/run starts it on kernel sockets and under the preload.
 *
 *      plain_tcp sink ADDRESS PORT [stay]    take one connection's bytes to their end
 *      plain_tcp pour ADDRESS PORT SECONDS [SIZE BATCH]
 *                                            send as much as goes, BLOCK bytes a call; or BATCH messages of SIZE
 *                                            bytes a call, with TCP_NODELAY
 *      plain_tcp serve ADDRESS PORT [empty] [spin]
 *                                            per connection a request, the answer, close; until a signal
 *      plain_tcp call ADDRESS PORT SECONDS N [empty] [spin]
 *                                            connect, a request, the answer, close: N at a time
 *      plain_tcp keep ADDRESS PORT COUNT     take COUNT connections that do nothing, until a signal
 *      plain_tcp hold ADDRESS PORT COUNT     open them
 *      plain_tcp echo ADDRESS PORT [spin]    echo on one connection
 *      plain_tcp ask ADDRESS PORT COUNT [spin]   half round trips to an echo, microseconds
 *
 * pour asks for CUBIC, Linux's default, whatever the machine's is: the kernel's figure of a stream hangs on it.
 *
 * ADDRESS may be the abstract name of a Unix socket, @NAME, of sink, pour, echo and ask; PORT means nothing then.
 * ADDRESS is the socket's own for sink, serve, keep and echo, the peer's for the others. spin: never sleep in a
 * call. empty: neither request nor answer, the server closes at once. stay: until a signal when all is counted.
 *
 * The last line on stdout is JSON. `ready` on stderr says that the end listens, or that hold holds all; `done`, that
 * call, or a sink that stays, has counted.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
	BLOCK = 128 << 10,
	MESSAGE = 64,
	EVENTS = 64,
	MOST_CALLS = 256, /* at a time */
	WARM_UP = 2000,
	MOST_BATCH = 64,	 /* messages in a call */
	CALLS_PER_CLOCK = 64, /* a look at it takes longer than a short message */
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

/* Processor seconds of this process, all its threads, in the program and in the kernel. */
static double cpu_seconds(void)
{
	struct rusage used;

	getrusage(RUSAGE_SELF, &used);
	return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
	       (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static void fail(const char *what)
{
	fprintf(stderr, "plain_tcp: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* Until a signal. */
static int stay(void)
{
	while (pause() < 0)
		;
	return 0;
}

static struct sockaddr_in name_of(const char *address, int port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };

	if (inet_pton(AF_INET, address, &at.sin_addr) != 1) {
		fprintf(stderr, "plain_tcp: no address: %s\n", address);
		exit(2);
	}
	return at;
}

union name {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_un un;
};

/* Of either family, with its length. */
static union name any_name(const char *address, int port, socklen_t *len)
{
	union name name = { .un = { .sun_family = AF_UNIX } };
	size_t n = strnlen(address, sizeof(name.un.sun_path));

	if (address[0] != '@') {
		*len = sizeof(name.in);
		return (union name){ .in = name_of(address, port) };
	}
	memcpy(name.un.sun_path + 1, address + 1, n - 1);
	*len = (socklen_t)(sizeof(sa_family_t) + n);
	return name;
}

static int listening(const char *address, int port, int flags)
{
	socklen_t len;
	union name at = any_name(address, port, &len);
	int fd = socket(at.sa.sa_family, SOCK_STREAM | flags, 0), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (fd < 0 || bind(fd, &at.sa, len) < 0 || listen(fd, 4096) < 0)
		fail("listen");
	return fd;
}

static int connected(const char *address, int port)
{
	socklen_t len;
	union name to = any_name(address, port, &len);
	int fd = socket(to.sa.sa_family, SOCK_STREAM, 0);

	if (fd < 0 || connect(fd, &to.sa, len) < 0)
		fail("connect");
	return fd;
}

static int accepted(int listener)
{
	int fd = accept(listener, NULL, NULL);

	if (fd < 0)
		fail("accept");
	return fd;
}

static void no_delay(int fd)
{
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static void allow_files(long count)
{
	struct rlimit files = { .rlim_cur = (rlim_t)count + 256, .rlim_max = (rlim_t)count + 256 };
	struct rlimit have;

	if (getrlimit(RLIMIT_NOFILE, &have) == 0 && have.rlim_cur < files.rlim_cur &&
	    setrlimit(RLIMIT_NOFILE, &files) < 0)
		fail("setrlimit");
}

/* --- one stream --- */

static char block[BLOCK];

static int counted(void)
{
	fflush(stdout);
	fprintf(stderr, "done\n");
	return stay();
}

static int sink(const char *address, int port, bool to_stay)
{
	int listener = listening(address, port, 0), fd;
	uint64_t bytes = 0, first, last;
	double cpu;
	ssize_t got;

	fprintf(stderr, "ready\n");
	fd = accepted(listener);
	first = last = now_ns();
	cpu = cpu_seconds();
	while ((got = recv(fd, block, sizeof(block), 0)) > 0) {
		last = now_ns();
		bytes += (uint64_t)got;
	}
	if (got < 0)
		fail("recv");
	cpu = cpu_seconds() - cpu;
	close(fd);
	printf("{\"bytes\":%llu,\"seconds\":%.6f,\"cpu\":%.6f}\n", (unsigned long long)bytes, (double)(last - first) / 1e9,
	       cpu);
	return to_stay ? counted() : bytes == 0;
}

/* @batch messages of @size bytes each in one call: the bytes that went. */
static uint64_t put_messages(int fd, size_t size, unsigned batch)
{
	struct iovec iov = { block, size };
	struct mmsghdr messages[MOST_BATCH];
	uint64_t bytes = 0;
	int n;

	for (unsigned i = 0; i < batch; i++)
		messages[i] = (struct mmsghdr){ .msg_hdr = { .msg_iov = &iov, .msg_iovlen = 1 } };
	n = sendmmsg(fd, messages, batch, 0);
	if (n < 0)
		fail("sendmmsg");
	for (int i = 0; i < n; i++)
		bytes += messages[i].msg_len;
	return bytes;
}

/* @size bytes, @batch times: the bytes that went. */
static uint64_t put(int fd, size_t size, unsigned batch)
{
	ssize_t sent;

	if (batch > 1)
		return put_messages(fd, size, batch);
	sent = send(fd, block, size, 0);
	if (sent < 0)
		fail("send");
	return (uint64_t)sent;
}

/* It ends when the peer has seen the end: until then bytes are on their way, and cost. */
static int pour(const char *address, int port, double seconds, size_t size, unsigned batch)
{
	static const char cubic[] = "cubic";
	int fd = connected(address, port), calls = size < BLOCK ? CALLS_PER_CLOCK : 1;
	uint64_t bytes = 0, end = now_ns() + (uint64_t)(seconds * 1e9);
	double cpu = cpu_seconds();

	if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, cubic, sizeof(cubic) - 1) < 0)
		fail("TCP_CONGESTION");
	if (size < BLOCK)
		no_delay(fd);
	while (now_ns() < end) {
		for (int i = 0; i < calls; i++)
			bytes += put(fd, size, batch);
	}
	if (shutdown(fd, SHUT_WR) < 0 || recv(fd, block, 1, 0) != 0)
		fail("shutdown");
	cpu = cpu_seconds() - cpu;
	close(fd);
	printf("{\"bytes\":%llu,\"cpu\":%.6f}\n", (unsigned long long)bytes, cpu);
	return 0;
}

/* --- short connections --- */

static void watch(int set, int fd, uint32_t events, int op)
{
	struct epoll_event event = { .events = events, .data.fd = fd };

	if (epoll_ctl(set, op, fd, &event) < 0)
		fail("epoll_ctl");
}

static void answer(int fd)
{
	char message[MESSAGE];

	/* A request comes in one piece, and an answer fits into the empty buffer. */
	if (recv(fd, message, sizeof(message), 0) == MESSAGE && send(fd, message, sizeof(message), MSG_NOSIGNAL) != MESSAGE)
		fail("send");
	close(fd);
}

/* The server closes first: TIME-WAIT is its own, and the client's port numbers are free at once. */
static int serve(const char *address, int port, bool empty, bool spin)
{
	int listener = listening(address, port, SOCK_NONBLOCK), set = epoll_create1(0);
	struct epoll_event events[EVENTS];
	int n, fd;

	watch(set, listener, EPOLLIN, EPOLL_CTL_ADD);
	fprintf(stderr, "ready\n");
	while ((n = epoll_wait(set, events, EVENTS, spin ? 0 : -1)) >= 0) {
		for (int i = 0; i < n; i++) {
			if (events[i].data.fd != listener) {
				answer(events[i].data.fd);
				continue;
			}
			while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
				if (empty)
					close(fd);
				else
					watch(set, fd, EPOLLIN, EPOLL_CTL_ADD);
			}
		}
	}
	fail("epoll_wait");
	return 1;
}

/* @first: what to wait for before anything is done: EPOLLOUT, to send a request, or EPOLLIN, for the end. */
static void begin_call(int set, const struct sockaddr_in *to, uint32_t first)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	if (fd < 0 || (connect(fd, (const struct sockaddr *)to, sizeof(*to)) < 0 && errno != EINPROGRESS))
		fail("connect");
	watch(set, fd, first, EPOLL_CTL_ADD);
}

/* True when the call has come to its end, and the next has begun. */
static bool go_on(int set, const struct epoll_event *event, const struct sockaddr_in *to, uint32_t first)
{
	char message[MESSAGE] = "request";
	int fd = event->data.fd;
	ssize_t got;

	if (event->events & EPOLLOUT) {
		if (send(fd, message, sizeof(message), MSG_NOSIGNAL) != MESSAGE)
			fail("request");
		watch(set, fd, EPOLLIN, EPOLL_CTL_MOD);
		return false;
	}
	got = recv(fd, message, sizeof(message), 0);
	if (got == MESSAGE)
		return false;
	if (got != 0)
		fail("answer");
	close(fd);
	begin_call(set, to, first);
	return true;
}

/* It stays until a signal, so that it can be asked what way its bytes took. */
static int call(const char *address, int port, double seconds, int parallel, bool empty, bool spin)
{
	uint32_t first = empty ? EPOLLIN : EPOLLOUT;
	struct sockaddr_in to = name_of(address, port);
	struct epoll_event events[MOST_CALLS];
	int set = epoll_create1(0);
	uint64_t began = now_ns(), now = began;
	long done = 0;

	if (parallel < 1 || parallel > MOST_CALLS)
		return 2;
	for (int i = 0; i < parallel; i++)
		begin_call(set, &to, first);
	while ((double)(now - began) < seconds * 1e9) {
		int n = epoll_wait(set, events, parallel, spin ? 0 : -1);

		for (int i = 0; i < n; i++)
			done += go_on(set, &events[i], &to, first);
		now = now_ns();
	}
	printf("{\"calls\":%ld,\"seconds\":%.6f}\n", done, (double)(now - began) / 1e9);
	return counted();
}

/* --- an active connection beside idle ones --- */

static bool all(int fd, char *message, bool spin)
{
	size_t have = 0;

	while (have < MESSAGE) {
		ssize_t got = recv(fd, message + have, MESSAGE - have, spin ? MSG_DONTWAIT : 0);

		if (got > 0)
			have += (size_t)got;
		else if (got == 0 || (errno != EAGAIN && errno != EINTR))
			return false;
	}
	return true;
}

static int keep(const char *address, int port, long count)
{
	int listener = listening(address, port, 0);

	allow_files(count);
	fprintf(stderr, "ready\n");
	for (long i = 0; i < count; i++)
		accepted(listener);
	return stay();
}

static int echo(const char *address, int port, bool spin)
{
	int listener = listening(address, port, 0), fd;
	char message[MESSAGE];

	fprintf(stderr, "ready\n");
	fd = accepted(listener);
	no_delay(fd);
	while (all(fd, message, spin) && send(fd, message, sizeof(message), MSG_NOSIGNAL) == MESSAGE)
		;
	return stay();
}

/* They end with a reset, and their port numbers are free at once. */
static int hold(const char *address, int port, long count)
{
	struct linger reset = { .l_onoff = 1 };

	allow_files(count);
	for (long i = 0; i < count; i++) {
		int fd = connected(address, port);

		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	}
	fprintf(stderr, "ready\n");
	return stay();
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static int ask(const char *address, int port, long count, bool spin)
{
	double *half = calloc((size_t)count, sizeof(*half));
	int fd = connected(address, port);
	char message[MESSAGE] = "ask";

	if (!half || count < 1)
		return 2;
	no_delay(fd);
	for (long i = -WARM_UP; i < count; i++) {
		uint64_t began = now_ns();

		if (send(fd, message, sizeof(message), MSG_NOSIGNAL) != MESSAGE || !all(fd, message, spin))
			fail("round trip");
		if (i >= 0)
			half[i] = (double)(now_ns() - began) / 2000;
	}
	close(fd);
	qsort(half, (size_t)count, sizeof(*half), compare);
	printf("{\"n\":%ld,\"p50\":%.3f,\"p99\":%.3f,\"p99.9\":%.3f}\n", count, half[count / 2], half[count * 99 / 100],
	       half[count * 999 / 1000]);
	free(half);
	return 0;
}

/* Is one of the words behind the numbers @word? */
static bool has_word(int argc, char **argv, const char *word)
{
	for (int i = 4; i < argc; i++) {
		if (strcmp(argv[i], word) == 0)
			return true;
	}
	return false;
}

static int start_pour(int argc, char **argv)
{
	long size = argc > 5 ? atol(argv[5]) : BLOCK, batch = argc > 6 ? atol(argv[6]) : 1;

	if (size < 1 || size > BLOCK || batch < 1 || batch > MOST_BATCH) {
		fprintf(stderr, "plain_tcp: no such messages\n");
		return 2;
	}
	return pour(argv[2], atoi(argv[3]), atof(argv[4]), (size_t)size, (unsigned)batch);
}

int main(int argc, char **argv)
{
	bool spin = has_word(argc, argv, "spin"), empty = has_word(argc, argv, "empty");
	const char *mode = argc > 1 ? argv[1] : "", *number = argc > 4 ? argv[4] : "0";
	int port = argc > 3 ? atoi(argv[3]) : 0;

	if (port > 0 && strcmp(mode, "sink") == 0)
		return sink(argv[2], port, has_word(argc, argv, "stay"));
	if (argc > 4 && strcmp(mode, "pour") == 0)
		return start_pour(argc, argv);
	if (port > 0 && strcmp(mode, "serve") == 0)
		return serve(argv[2], port, empty, spin);
	if (argc > 5 && strcmp(mode, "call") == 0)
		return call(argv[2], port, atof(number), atoi(argv[5]), empty, spin);
	if (argc > 4 && strcmp(mode, "keep") == 0)
		return keep(argv[2], port, atol(number));
	if (port > 0 && strcmp(mode, "echo") == 0)
		return echo(argv[2], port, spin);
	if (argc > 4 && strcmp(mode, "hold") == 0)
		return hold(argv[2], port, atol(number));
	if (argc > 4 && strcmp(mode, "ask") == 0)
		return ask(argv[2], port, atol(number), spin);
	fprintf(stderr, "usage: plain_tcp sink|pour|serve|call|keep|hold|echo|ask ADDRESS PORT [SECONDS|COUNT [N]] [words]\n");
	return 2;
}
