/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * paper_tcp.c - what the Fast Sockets paper measured, on ordinary sockets: round trips by size, requests with a
 * connection each, files by size. It knows nothing of fsock; bench/run starts it on kernel sockets and under fsock.
 *
 *	paper_tcp serve ADDRESS PORT [spin]	what the others ask, one connection after the other, until a signal
 *	paper_tcp trips ADDRESS PORT SECONDS SIZES [spin]
 *						round trips of messages of each size, on a connection for each size
 *	paper_tcp calls ADDRESS PORT SECONDS [spin]
 *						connect, a request, an answer of the same size, close
 *	paper_tcp fetch ADDRESS PORT SECONDS SIZES [sendfile] [spin]
 *						connect, a request, a file of each size, close: from the
						server's file to one here
 *
 * SIZES: bytes, separated by commas. SECONDS: of each size. spin: never sleep in a call. sendfile: instead of pread()
 * and send(). The server closes a connection first, so that TIME-WAIT is its own. Files stay open: the server's is an
 * ordinary one whose bytes the kernel has at hand, the one here lies in memory, so that nothing waits for a disk.
 *
 * The last line on stdout is JSON: for each size how many, and their median and mean in microseconds. `ready` on stderr
 * says that serve listens.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	LARGEST = 16 << 20,
	BLOCK = 64 << 10,
	REQUEST = 64,
	TURNS = 8, /* round trips between two looks at the clock, whose price is a part of one */
	WARM_UP = 10,
	LEAST = 10, /* samples of a size */
	MOST = 1 << 20,
};

enum what { ECHO, ANSWER, FILE_BY_READ, FILE_BY_SENDFILE };

/* The first bytes of each connection. */
struct request {
	uint32_t what; /* enum what */
	uint32_t size; /* of each message, or of the file */
	uint8_t rest[REQUEST - 8];
};
_Static_assert(sizeof(struct request) == REQUEST, "what a request is said to be");

struct client {
	struct sockaddr_in to;
	double seconds;
	bool spin, by_sendfile;
	int file; /* where what is fetched goes */
	double *samples;
};

static uint8_t block[BLOCK];

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

_Noreturn static void fail(const char *what)
{
	fprintf(stderr, "paper_tcp: %s: %s\n", what, strerror(errno));
	exit(1);
}

static struct sockaddr_in name_of(const char *address, int port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };

	if (inet_pton(AF_INET, address, &at.sin_addr) != 1) {
		fprintf(stderr, "paper_tcp: no address: %s\n", address);
		exit(2);
	}
	return at;
}

static void no_delay(int fd)
{
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

/* What a byte of the file is. */
static uint8_t byte_at(size_t pos)
{
	return (uint8_t)(pos * 7 + (pos >> 8));
}

/* --- bytes: true when all of them went, or came --- */

static bool put(int fd, const uint8_t *from, size_t n, bool spin)
{
	for (size_t done = 0; done < n;) {
		ssize_t sent = send(fd, from + done, n - done, MSG_NOSIGNAL | (spin ? MSG_DONTWAIT : 0));

		if (sent > 0)
			done += (size_t)sent;
		else if (errno != EAGAIN)
			return false;
	}
	return true;
}

static ssize_t take_some(int fd, uint8_t *to, size_t n, bool spin)
{
	ssize_t got;

	do
		got = recv(fd, to, n, spin ? MSG_DONTWAIT : 0);
	while (got < 0 && errno == EAGAIN);
	return got;
}

static bool take(int fd, uint8_t *to, size_t n, bool spin)
{
	for (size_t done = 0; done < n;) {
		ssize_t got = take_some(fd, to + done, n - done, spin);

		if (got <= 0)
			return false;
		done += (size_t)got;
	}
	return true;
}

/* --- the server --- */

/* It goes with the process. */
static int file_to_give(void)
{
	FILE *file = tmpfile();
	int fd = file ? fileno(file) : -1;

	if (fd < 0)
		fail("tmpfile");
	for (size_t pos = 0; pos < LARGEST; pos += BLOCK) {
		for (size_t i = 0; i < BLOCK; i++)
			block[i] = byte_at(pos + i);
		if (pwrite(fd, block, BLOCK, (off_t)pos) != BLOCK)
			fail("pwrite");
	}
	return fd;
}

static bool give_by_read(int fd, int file, size_t size, bool spin)
{
	for (size_t done = 0; done < size;) {
		size_t part = size - done < BLOCK ? size - done : BLOCK;
		ssize_t got = pread(file, block, part, (off_t)done);

		if (got <= 0 || !put(fd, block, (size_t)got, spin))
			return false;
		done += (size_t)got;
	}
	return true;
}

static bool give_by_sendfile(int fd, int file, size_t size)
{
	off_t at = 0;

	while ((size_t)at < size) {
		if (sendfile(fd, file, &at, size - (size_t)at) <= 0 && errno != EAGAIN)
			return false;
	}
	return true;
}

static void echo(int fd, size_t size, bool spin)
{
	if (size <= sizeof(block))
		while (take(fd, block, size, spin) && put(fd, block, size, spin))
			;
}

static void answer(int fd, int file, bool spin)
{
	struct request ask;
	bool whole = true;

	no_delay(fd);
	if (!take(fd, (uint8_t *)&ask, sizeof(ask), spin) || ask.size > LARGEST)
		fail("request");
	if (ask.what == ECHO)
		echo(fd, ask.size, spin);
	else if (ask.what == ANSWER)
		whole = put(fd, (const uint8_t *)&ask, sizeof(ask), spin);
	else if (ask.what == FILE_BY_SENDFILE)
		whole = give_by_sendfile(fd, file, ask.size);
	else
		whole = give_by_read(fd, file, ask.size, spin);
	if (!whole)
		fail("answer");
	close(fd);
}

static int serve(const struct sockaddr_in *at, bool spin)
{
	int flags = spin ? SOCK_NONBLOCK : 0, listener = socket(AF_INET, SOCK_STREAM | flags, 0), file = file_to_give();
	int on = 1, fd;

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (listener < 0 || bind(listener, (const struct sockaddr *)at, sizeof(*at)) < 0 || listen(listener, 64) < 0)
		fail("listen");
	fprintf(stderr, "ready\n");
	for (;;) {
		fd = accept4(listener, NULL, NULL, flags);
		if (fd >= 0)
			answer(fd, file, spin);
		else if (errno != EAGAIN)
			fail("accept");
	}
}

/* --- the client --- */

static int asked(const struct client *c, enum what what, size_t size)
{
	struct request ask = { .what = what, .size = (uint32_t)size };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)&c->to, sizeof(c->to)) < 0)
		fail("connect");
	no_delay(fd);
	if (!put(fd, (const uint8_t *)&ask, sizeof(ask), c->spin))
		fail("request");
	return fd;
}

/* The server's end of it comes behind the answer. */
static void end(const struct client *c, int fd)
{
	uint8_t more;

	if (take_some(fd, &more, 1, c->spin) != 0)
		fail("end");
	close(fd);
}

static void call(const struct client *c)
{
	int fd = asked(c, ANSWER, REQUEST);

	if (!take(fd, block, REQUEST, c->spin))
		fail("answer");
	end(c, fd);
}

static void fetch(const struct client *c, size_t size)
{
	int fd = asked(c, c->by_sendfile ? FILE_BY_SENDFILE : FILE_BY_READ, size);
	size_t at = 0;
	ssize_t got;

	while ((got = take_some(fd, block, sizeof(block), c->spin)) > 0) {
		if (at + (size_t)got > size || pwrite(c->file, block, (size_t)got, (off_t)at) != got)
			break;
		at += (size_t)got;
	}
	if (got != 0 || at != size)
		fail("fetch");
	close(fd);
}

/* What lies in the file is what the server has. */
static void check_file(const struct client *c, size_t size)
{
	for (size_t pos = 0; pos < size; pos += BLOCK) {
		size_t part = size - pos < BLOCK ? size - pos : BLOCK;

		if (pread(c->file, block, part, (off_t)pos) != (ssize_t)part)
			fail("pread");
		for (size_t i = 0; i < part; i++) {
			if (block[i] != byte_at(pos + i)) {
				fprintf(stderr, "paper_tcp: byte %zu of %zu is another one\n", pos + i, size);
				exit(1);
			}
		}
	}
}

static void trip(const struct client *c, int fd, size_t size)
{
	if (!put(fd, block, size, c->spin) || !take(fd, block, size, c->spin))
		fail("round trip");
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void tell(const struct client *c, size_t size, size_t n, bool first)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += c->samples[i];
	qsort(c->samples, n, sizeof(*c->samples), compare);
	printf("%s{\"size\":%zu,\"n\":%zu,\"p50\":%.3f,\"mean\":%.3f}", first ? "[" : ",", size, n, c->samples[n / 2],
	       sum / (double)n);
}

/* Is it enough of a size that began at @began, ns, and has @n samples? */
static bool enough(const struct client *c, size_t n, uint64_t began)
{
	return n == MOST || (n >= LEAST && (double)(now_ns() - began) >= c->seconds * 1e9);
}

static void trips_of(const struct client *c, size_t size, bool first)
{
	int fd = asked(c, ECHO, size);
	uint64_t began, before, now;
	size_t n = 0;

	for (int i = 0; i < WARM_UP * TURNS; i++)
		trip(c, fd, size);
	for (began = before = now_ns(); !enough(c, n, began); before = now) {
		for (int i = 0; i < TURNS; i++)
			trip(c, fd, size);
		now = now_ns();
		c->samples[n++] = (double)(now - before) / 1e3 / TURNS;
	}
	shutdown(fd, SHUT_WR);
	end(c, fd);
	tell(c, size, n, first);
}

/* @size: of the file, 0 for calls. */
static void connections_of(const struct client *c, size_t size, bool first)
{
	uint64_t began = 0, before;
	size_t n = 0;

	for (int i = -WARM_UP; i < 0 || !enough(c, n, began); i++) {
		if (i == 0)
			began = now_ns();
		before = now_ns();
		if (size > 0)
			fetch(c, size);
		else
			call(c);
		if (i >= 0)
			c->samples[n++] = (double)(now_ns() - before) / 1e3;
		else if (i == -1)
			check_file(c, size);
	}
	tell(c, size > 0 ? size : REQUEST, n, first);
}

/* @of each of @sizes, bytes and commas; at most @most each. */
static int each(const struct client *c, const char *sizes, size_t most,
		void (*of)(const struct client *c, size_t size, bool first))
{
	const char *at = sizes;
	char *behind;

	for (;; at = behind + 1) {
		unsigned long size = strtoul(at, &behind, 10);

		if (size < 1 || size > most || (*behind && *behind != ',')) {
			fprintf(stderr, "paper_tcp: no such size: %s\n", at);
			return 2;
		}
		of(c, size, at == sizes);
		if (!*behind)
			break;
	}
	printf("]\n");
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

static int ask(int argc, char **argv, const struct sockaddr_in *to)
{
	struct client c = { .to = *to, .seconds = atof(argv[4]), .spin = has_word(argc, argv, "spin") };

	c.by_sendfile = has_word(argc, argv, "sendfile");
	c.file = memfd_create("paper_tcp", MFD_CLOEXEC);
	c.samples = malloc(MOST * sizeof(*c.samples));
	if (c.file < 0 || !c.samples)
		fail("memory");
	if (strcmp(argv[1], "calls") == 0) {
		connections_of(&c, 0, true);
		printf("]\n");
		return 0;
	}
	if (argc > 5 && strcmp(argv[1], "trips") == 0)
		return each(&c, argv[5], BLOCK, trips_of);
	if (argc > 5 && strcmp(argv[1], "fetch") == 0)
		return each(&c, argv[5], LARGEST, connections_of);
	return 2;
}

int main(int argc, char **argv)
{
	int port = argc > 3 ? atoi(argv[3]) : 0, status = 2;
	struct sockaddr_in name;

	if (port > 0) {
		name = name_of(argv[2], port);
		if (strcmp(argv[1], "serve") == 0)
			return serve(&name, has_word(argc, argv, "spin"));
		if (argc > 4)
			status = ask(argc, argv, &name);
	}
	if (status == 2)
		fprintf(stderr, "usage: paper_tcp serve|trips|calls|fetch ADDRESS PORT [SECONDS [SIZES]] [words]\n");
	return status;
}
