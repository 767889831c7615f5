/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * native_tcp.c - many connections of the native interface, for what no program with descriptors holds.
 *
 *      native_tcp echo ADDRESS PORT PORTS           listen on PORT and those that follow, send back what comes
 *      native_tcp answer ADDRESS PORT               the same for one connection, which is all it looks at
 *      native_tcp serve ADDRESS PORT                close each connection that comes
 *      native_tcp call ADDRESS PEER PORT SECONDS N  connections that such a server closes, N at a time: how many
 *      native_tcp idle ADDRESS PEER PORT PORTS COUNT ASKS
 *                                                   one connection that asks and is answered ASKS times, then
 *                                                   COUNT idle ones, spread over the ports, and the same again
 *
 * A stack's memory is its memfd's. What a connection takes of it is what it grew by; the frames, which do not grow, are
 * in it before. The last line on stdout is JSON; `ready` on stderr says that echo, or answer, listens.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fsock/fsock.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	MESSAGE = 64,
	WARM_UP = 2000,
	AT_ONCE = 64, /* connections on their way */
	EVENTS = 64,
};

static void check(const char *what, long ret)
{
	if (ret >= 0)
		return;
	fprintf(stderr, "native_tcp: %s: %s\n", what, strerror((int)-ret));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

/* --- memory --- */

static uint64_t stack_bytes(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	uint64_t bytes = 0;

	while (dir && (entry = readdir(dir)) != NULL) {
		char name[64] = "";
		struct stat file;

		if (readlinkat(dirfd(dir), entry->d_name, name, sizeof(name) - 1) > 0 && strncmp(name, "/memfd:fsock", 12) == 0 &&
		    fstat(atoi(entry->d_name), &file) == 0)
			bytes += (uint64_t)file.st_blocks * 512;
	}
	closedir(dir);
	return bytes;
}

static uint64_t private_bytes(void)
{
	unsigned long long kib = 0;
	FILE *file = fopen("/proc/self/status", "r");
	char line[200];

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "RssAnon: %llu", &kib) == 1)
			break;
	fclose(file);
	return kib * 1024;
}

/* --- both ends --- */

static union fsock_addr name_of(const char *address, int port)
{
	union fsock_addr at = { .in.sin_family = AF_INET };

	if (inet_pton(AF_INET, address, &at.in.sin_addr) != 1)
		check(address, -EINVAL);
	at.in.sin_port = htons((uint16_t)port);
	return at;
}

static struct fsock_ep *endpoint(const char *address)
{
	union fsock_addr local = name_of(address, 0);
	struct fsock_ep *ep;

	check("fsock_open", fsock_open(&local.sa, sizeof(local), FSOCK_TCP, &ep));
	return ep;
}

/* --- echo --- */

static void serve(struct fsock_channel *ch)
{
	char buf[4096];
	ssize_t n = fsock_recv(ch, FSOCK_RECV_NONBLOCK, buf, sizeof(buf), NULL);

	if (n > 0)
		check("send", fsock_send(ch, FSOCK_SEND_DEFAULT, buf, (size_t)n, NULL));
	else if (n != -EAGAIN)
		fsock_close(ch);
}

static void accept_all(struct fsock_channel *from, struct fsock_group *group)
{
	struct fsock_channel *ch;

	while (fsock_accept(from, FSOCK_ACCEPT_NONBLOCK, &ch) == 0)
		check("group", fsock_group_add(group, ch, ch));
}

static int echo(const char *address, int port, int ports)
{
	struct fsock_ep *ep = endpoint(address);
	struct fsock_event events[EVENTS];
	struct fsock_group *group;
	int on = 1, n;

	check("fsock_group_open", fsock_group_open(&group));
	for (int i = 0; i < ports; i++) {
		struct fsock_channel *ch;

		check("fsock_bind", fsock_bind(ep, FSOCK_BIND_DEFAULT, (uint16_t)(port + i), &ch));
		check("nodelay", fsock_setopt(ch, FSOCK_NODELAY, &on, sizeof(on)));
		check("fsock_listen", fsock_listen(ch, 4096));
		check("group", fsock_group_add(group, ch, NULL));
	}
	fprintf(stderr, "ready\n");
	while ((n = fsock_poll(group, events, EVENTS, -1)) >= 0 || n == -EINTR) {
		for (int i = 0; i < n; i++) {
			if (events[i].data)
				serve(events[i].channel);
			else
				accept_all(events[i].channel, group);
		}
	}
	check("poll", n);
	return 1;
}

static int answer(const char *address, int port)
{
	struct fsock_ep *ep = endpoint(address);
	struct fsock_channel *listener, *ch;
	char buf[MESSAGE];
	int on = 1;
	ssize_t n;

	check("fsock_bind", fsock_bind(ep, FSOCK_BIND_DEFAULT, (uint16_t)port, &listener));
	check("nodelay", fsock_setopt(listener, FSOCK_NODELAY, &on, sizeof(on)));
	check("fsock_listen", fsock_listen(listener, 16));
	fprintf(stderr, "ready\n");
	check("fsock_accept", fsock_accept(listener, FSOCK_ACCEPT_DEFAULT, &ch));
	while ((n = fsock_recv(ch, FSOCK_RECV_DEFAULT, buf, sizeof(buf), NULL)) > 0)
		check("send", fsock_send(ch, FSOCK_SEND_DEFAULT, buf, (size_t)n, NULL));
	return 0;
}

/* --- calls without a byte --- */

static int serve_none(const char *address, int port)
{
	struct fsock_ep *ep = endpoint(address);
	struct fsock_event events[EVENTS];
	struct fsock_channel *listener, *ch;
	struct fsock_group *group;
	int n;

	check("fsock_group_open", fsock_group_open(&group));
	check("fsock_bind", fsock_bind(ep, FSOCK_BIND_DEFAULT, (uint16_t)port, &listener));
	check("fsock_listen", fsock_listen(listener, 4096));
	check("group", fsock_group_add(group, listener, NULL));
	fprintf(stderr, "ready\n");
	while ((n = fsock_poll(group, events, EVENTS, -1)) >= 0 || n == -EINTR)
		while (fsock_accept(listener, FSOCK_ACCEPT_NONBLOCK, &ch) == 0)
			check("fsock_close", fsock_close(ch));
	check("poll", n);
	return 1;
}

static void begin_call(struct fsock_ep *ep, struct fsock_group *group, const union fsock_addr *to)
{
	struct fsock_channel *ch;
	int64_t now = 0;
	int ret;

	check("fsock_bind", fsock_bind(ep, FSOCK_BIND_DEFAULT, 0, &ch));
	check("timeout", fsock_setopt(ch, FSOCK_TX_TIMEOUT, &now, sizeof(now)));
	ret = fsock_connect(ch, &to->sa, sizeof(*to));
	if (ret != -EINPROGRESS)
		check("fsock_connect", ret);
	check("group", fsock_group_add(group, ch, ch));
}

/* True when the call has come to its end, and the next has begun. */
static bool go_on(struct fsock_ep *ep, struct fsock_group *group, struct fsock_channel *ch, const union fsock_addr *to)
{
	char byte;
	int accelerated = 0;
	size_t len = sizeof(accelerated);
	ssize_t got = fsock_recv(ch, FSOCK_RECV_NONBLOCK, &byte, 1, NULL);

	if (got == -EAGAIN) {
		fsock_connect(ch, &to->sa, sizeof(*to)); /* it says that it is there: no need to tell any more */
		return false;
	}
	check("the end", got > 0 ? -EPROTO : got);
	check("accelerated", fsock_getopt(ch, FSOCK_ACCELERATED, &accelerated, &len));
	if (!accelerated)
		check("the kernel's connection", -ENOTSUP);
	check("fsock_close", fsock_close(ch));
	begin_call(ep, group, to);
	return true;
}

static int call(const char *address, const char *peer, int port, double seconds, int parallel)
{
	union fsock_addr to = name_of(peer, port);
	struct fsock_ep *ep = endpoint(address);
	struct fsock_event events[EVENTS];
	struct fsock_group *group;
	uint64_t start, now;
	long done = 0;

	check("fsock_group_open", fsock_group_open(&group));
	for (int i = 0; i < parallel; i++)
		begin_call(ep, group, &to);
	start = now = now_ns();
	while ((double)(now - start) < seconds * 1e9) {
		int n = fsock_poll(group, events, EVENTS, -1);

		check("poll", n == -EINTR ? 0 : n);
		for (int i = 0; i < n; i++)
			done += go_on(ep, group, events[i].channel, &to);
		now = now_ns();
	}
	printf("{\"calls\": %ld, \"seconds\": %.6f}\n", done, (double)(now - start) / 1e9);
	return 0;
}

/* --- idle --- */

static struct fsock_channel *connecting(struct fsock_ep *ep, const char *peer, int port)
{
	union fsock_addr to = name_of(peer, port);
	struct fsock_channel *ch;
	int64_t now = 0;
	int reset = 0, ret; /* at this program's end there is nothing to finish */

	check("fsock_bind", fsock_bind(ep, FSOCK_BIND_DEFAULT, 0, &ch));
	check("linger", fsock_setopt(ch, FSOCK_LINGER, &reset, sizeof(reset)));
	check("timeout", fsock_setopt(ch, FSOCK_TX_TIMEOUT, &now, sizeof(now)));
	ret = fsock_connect(ch, &to.sa, sizeof(to));
	if (ret != -EINPROGRESS)
		check("fsock_connect", ret);
	return ch;
}

/* Wait for one on its way. */
static void established(struct fsock_channel *ch, const char *peer, int port)
{
	union fsock_addr to = name_of(peer, port);
	int64_t limit = 10000000000;
	int fast = 0, ret;
	size_t len = sizeof(fast);

	check("timeout", fsock_setopt(ch, FSOCK_TX_TIMEOUT, &limit, sizeof(limit)));
	ret = fsock_connect(ch, &to.sa, sizeof(to));
	if (ret != -EISCONN)
		check("connection", ret);
	check("accelerated", fsock_getopt(ch, FSOCK_ACCELERATED, &fast, &len));
	if (!fast)
		check("the kernel's connection", -ENOTSUP);
}

static void open_idle(struct fsock_ep *ep, const char *peer, int port, int ports, long count)
{
	struct fsock_channel *ch[AT_ONCE];

	for (long done = 0; done < count;) {
		int n = 0;

		for (; n < AT_ONCE && done + n < count; n++)
			ch[n] = connecting(ep, peer, port + (int)((done + n) % ports));
		for (int i = 0; i < n; i++, done++)
			established(ch[i], peer, port + (int)(done % ports));
	}
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* Half round trips in us, to @p50 and @p99. */
static void ask(struct fsock_channel *ch, long count, double *p50, double *p99)
{
	uint32_t *took = calloc((size_t)count, sizeof(*took));
	char message[MESSAGE] = "";

	for (long i = -WARM_UP; i < count; i++) {
		uint64_t start = now_ns();
		ssize_t got = 0;

		check("send", fsock_send(ch, FSOCK_SEND_DEFAULT, message, sizeof(message), NULL));
		while (got < MESSAGE) {
			ssize_t n = fsock_recv(ch, FSOCK_RECV_DEFAULT, message, sizeof(message), NULL);

			check("recv", n ? n : -EPIPE);
			got += n;
		}
		if (i >= 0)
			took[i] = (uint32_t)(now_ns() - start);
	}
	qsort(took, (size_t)count, sizeof(*took), compare);
	*p50 = took[count / 2] / 2e3;
	*p99 = took[count - 1 - count / 100] / 2e3;
	free(took);
}

static int idle(const char *address, const char *peer, int port, int ports, long count, long asks)
{
	struct fsock_ep *ep = endpoint(address);
	struct fsock_channel *active = connecting(ep, peer, port);
	uint64_t stack, private, start;
	double p50[2], p99[2], seconds;
	int on = 1;

	established(active, peer, port);
	check("nodelay", fsock_setopt(active, FSOCK_NODELAY, &on, sizeof(on)));
	ask(active, asks, &p50[0], &p99[0]);
	stack = stack_bytes();
	private = private_bytes();
	start = now_ns();
	open_idle(ep, peer, port, ports, count);
	seconds = (double)(now_ns() - start) / 1e9;
	stack = stack_bytes() - stack;
	private = private_bytes() - private;
	ask(active, asks, &p50[1], &p99[1]);
	printf("{\"alone\": {\"50\": %.3f, \"99\": %.3f}, \"among\": {\"50\": %.3f, \"99\": %.3f}, \"connections\": %ld, "
	       "\"stack\": %.1f, \"private\": %.1f, \"seconds\": %.2f}\n",
	       p50[0], p99[0], p50[1], p99[1], count, (double)stack / (double)count, (double)private / (double)count, seconds);
	return 0;
}

int main(int argc, char **argv)
{
	check("fsock_init", fsock_init(FSOCK_API_VERSION));
	if (argc == 5 && strcmp(argv[1], "echo") == 0)
		return echo(argv[2], atoi(argv[3]), atoi(argv[4]));
	if (argc == 4 && strcmp(argv[1], "answer") == 0)
		return answer(argv[2], atoi(argv[3]));
	if (argc == 4 && strcmp(argv[1], "serve") == 0)
		return serve_none(argv[2], atoi(argv[3]));
	if (argc == 7 && strcmp(argv[1], "call") == 0)
		return call(argv[2], argv[3], atoi(argv[4]), atof(argv[5]), atoi(argv[6]));
	if (argc == 8 && strcmp(argv[1], "idle") == 0)
		return idle(argv[2], argv[3], atoi(argv[4]), atoi(argv[5]), atol(argv[6]), atol(argv[7]));
	fprintf(stderr, "usage: see native_tcp.c\n");
	return 2;
}
