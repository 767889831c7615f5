/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * native.c - one case of the native interface, for test_native.py.
 *
 *     native CASE ADDRESS PEER PORT [fast]
 *
 * PEER:PORT answers each datagram with itself (example_echo). With `fast` the datagrams must take the
 * fast path. Says `well` and exits with 0, or names the line that was not as it must be.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fsock/fsock.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "native_check.h"

static bool fast;
static union fsock_addr local = { .in.sin_family = AF_INET }, peer = { .in.sin_family = AF_INET };

static struct fsock_ep *open_ep(void)
{
	struct fsock_ep *ep;

	EQUAL(fsock_open(&local.sa, sizeof(local), FSOCK_UDP, &ep), 0);
	return ep;
}

static void limit(struct fsock_channel *ch, int64_t ns)
{
	EQUAL(fsock_setopt(ch, FSOCK_RX_TIMEOUT, &ns, sizeof(ns)), 0);
}

static bool is_fast(struct fsock_channel *ch)
{
	int n = -1;
	size_t len = sizeof(n);

	EQUAL(fsock_getopt(ch, FSOCK_ACCELERATED, &n, &len), 0);
	return n == 1;
}

static uint32_t held(struct fsock_channel *ch)
{
	uint32_t n;
	size_t len = sizeof(n);

	EQUAL(fsock_getopt(ch, FSOCK_HELD, &n, &len), 0);
	return n;
}

/* A round trip, copied. */
static void ask(struct fsock_channel *ch, const char *word, struct fsock_rxinfo *info)
{
	char buf[100];
	ssize_t n;

	EQUAL(fsock_send(ch, 0, word, strlen(word), NULL), strlen(word));
	n = fsock_recv(ch, 0, buf, sizeof(buf), info);
	EQUAL(n, strlen(word));
	NEED(memcmp(buf, word, (size_t)n) == 0);
}

/* A channel connected to the peer, after both know each other. */
static struct fsock_channel *connected(struct fsock_ep *ep)
{
	struct fsock_channel *ch;
	struct fsock_rxinfo info = { .flags = FSOCK_RX_KERNEL };

	EQUAL(fsock_bind(ep, 0, 0, &ch), 0);
	EQUAL(fsock_connect(ch, &peer.sa, sizeof(peer.in)), 0);
	limit(ch, 3000 * MS);
	for (int i = 0; i < 100 && (info.flags & FSOCK_RX_KERNEL); i++)
		ask(ch, "hello", &info);
	EQUAL(is_fast(ch), fast);
	EQUAL(!(info.flags & FSOCK_RX_KERNEL), fast);
	return ch;
}

/* --- cases --- */

static void case_args(void)
{
	struct fsock_ep *ep = NULL;
	struct fsock_channel *ch, *other;
	struct fsock_group *g, *h;
	struct fsock_event event;
	struct fsock_rxinfo info = { 0 };
	struct sockaddr_storage unix_name = { .ss_family = AF_UNIX };
	struct iovec parts[FSOCK_PARTS_MAX];
	uint32_t n = 0;
	char text[10];
	size_t len = sizeof(text);

	EQUAL(fsock_open(NULL, 0, FSOCK_UDP, &ep), -EINVAL);
	EQUAL(fsock_open(&local.sa, 4, FSOCK_UDP, &ep), -EINVAL);
	EQUAL(fsock_open(&local.sa, sizeof(local), 0, &ep), -EPROTONOSUPPORT);
	EQUAL(fsock_open(&local.sa, sizeof(local), FSOCK_UDP | 2, &ep), -EPROTONOSUPPORT);
	EQUAL(fsock_open((void *)&unix_name, sizeof(unix_name), FSOCK_UDP, &ep), -EAFNOSUPPORT);
	ep = open_ep();
	EQUAL(fsock_set_ep_attribute(ep, FSOCK_HOLD_MAX, &n, sizeof(n)), -EINVAL);
	n = 100000;
	EQUAL(fsock_set_ep_attribute(ep, FSOCK_HOLD_MAX, &n, sizeof(n)), -EINVAL);
	EQUAL(fsock_set_ep_attribute(ep, FSOCK_RINGBUF_SIZE, &n, 2), -EINVAL);
	EQUAL(fsock_set_ep_attribute(ep, FSOCK_RINGBUF_SIZE, &n, sizeof(n)), 0);
	EQUAL(fsock_set_ep_attribute(ep, 99, &n, sizeof(n)), -EINVAL);
	EQUAL(fsock_bind(ep, 1U << 9, 0, &ch), -EINVAL);
	EQUAL(fsock_bind(ep, 0, 7001, &ch), 0);
	EQUAL(fsock_bind(ep, 0, 7001, &other), -EADDRINUSE);
	EQUAL(fsock_recv(ch, 1U << 9, text, sizeof(text), NULL), -EINVAL);
	EQUAL(fsock_recv(ch, FSOCK_RECV_INPLACE, text, sizeof(text), &info), -EINVAL);
	EQUAL(fsock_recv(ch, FSOCK_RECV_INPLACE, parts, sizeof(parts), NULL), -EINVAL);
	EQUAL(fsock_recv(ch, FSOCK_RECV_INPLACE | FSOCK_RECV_PEEK, parts, sizeof(parts), &info), -EINVAL);
	EQUAL(fsock_send(ch, 1U << 9, text, 1, NULL), -EINVAL);
	EQUAL(fsock_send(ch, 0, text, 1, NULL), -EDESTADDRREQ);
	EQUAL(fsock_release(ch, &info), 0); /* nothing held */
	info.held = 0x1000;
	EQUAL(fsock_release(ch, &info), -EINVAL);
	info.held = 0x1001;
	EQUAL(fsock_release(ch, &info), -EINVAL);
	EQUAL(fsock_setopt(ch, FSOCK_FD, &n, sizeof(n)), -ENOPROTOOPT);
	EQUAL(fsock_getopt(ch, FSOCK_JOIN_MCAST, text, &len), -ENOPROTOOPT);
	EQUAL(fsock_getopt(ch, FSOCK_LOCAL, text, &len), -EINVAL); /* too short */
	EQUAL(fsock_getopt(ch, FSOCK_REASON, text, &len), 0);
	EQUAL(strlen(text), sizeof(text) - 1); /* cut, and ended */
	len = sizeof(peer);
	EQUAL(fsock_getopt(ch, FSOCK_PEER, &peer, &len), -ENOTCONN);
	EQUAL(fsock_group_open(&g), 0);
	EQUAL(fsock_group_open(&h), 0);
	EQUAL(fsock_group_add(g, ch, NULL), 0);
	EQUAL(fsock_group_add(h, ch, NULL), -EBUSY);
	EQUAL(fsock_group_remove(h, ch), -ENOENT);
	EQUAL(fsock_poll(g, &event, 0, 0), -EINVAL);
	EQUAL(fsock_poll(g, &event, 1, 0), 0);
	EQUAL(fsock_group_close(h), 0);
	EQUAL(fsock_close(ch), 0); /* leaves its group */
	EQUAL(fsock_poll(g, &event, 1, 0), 0);
	EQUAL(fsock_group_close(g), 0);
	EQUAL(fsock_close_ep(ep), 0);
}

static void case_echo(void)
{
	struct fsock_channel *ch = connected(open_ep());
	struct fsock_txinfo to = { .valid = FSOCK_TXINFO_DESTINATION | FSOCK_TXINFO_SOFTWARE };
	union fsock_addr self;
	struct fsock_rxinfo info;
	struct timespec now;
	size_t len = sizeof(self);
	char word[40];
	int64_t age;
	int on = 1;

	ask(ch, "unstamped", &info);
	EQUAL(info.valid & FSOCK_RXINFO_SOFTWARE, 0);
	EQUAL(fsock_setopt(ch, FSOCK_RX_STAMPS, &on, sizeof(on)), 0);
	for (int i = 0; i < 200; i++) {
		snprintf(word, sizeof(word), "word %d", i);
		ask(ch, word, &info);
	}
	EQUAL(fsock_getopt(ch, FSOCK_LOCAL, &self, &len), 0);
	EQUAL(info.valid & 0x17, FSOCK_RXINFO_SOURCE | FSOCK_RXINFO_DESTINATION | FSOCK_RXINFO_SOFTWARE |
					 FSOCK_RXINFO_INTERFACE);
	NEED(memcmp(&info.source.in, &peer.in, 8) == 0);
	NEED(memcmp(&info.destination.in, &self.in, 8) == 0);
	NEED(info.interface > 1);
	EQUAL(info.length, strlen(word));
	clock_gettime(CLOCK_REALTIME, &now);
	age = now.tv_sec * 1000 * MS + now.tv_nsec - (int64_t)info.software;
	NEED(age > 0 && age < 1000 * MS);
	to.destination = peer;
	EQUAL(fsock_send(ch, 0, "x", 1, &to), 1);
	NEED(to.software > info.software && to.software < info.software + 3000 * MS);
}

static void case_inplace(void)
{
	struct fsock_channel *ch = connected(open_ep());
	struct iovec parts[FSOCK_PARTS_MAX];
	struct fsock_rxinfo info, again;

	for (int i = 0; i < 3000; i++) { /* more than the frame pool holds */
		EQUAL(fsock_send(ch, 0, "in place", 8, NULL), 8);
		EQUAL(fsock_recv(ch, FSOCK_RECV_INPLACE, parts, sizeof(parts), &info), 8);
		EQUAL(info.parts, 1);
		EQUAL(parts[0].iov_len, 8);
		NEED(memcmp(parts[0].iov_base, "in place", 8) == 0);
		EQUAL(held(ch), 1);
		again = info;
		EQUAL(fsock_release(ch, &info), 0);
		EQUAL(info.held, 0);
		EQUAL(fsock_release(ch, &again), -EINVAL);
		EQUAL(held(ch), 0);
	}
}

/* Several at once, given back in an odd order. */
static void case_batch(void)
{
	struct fsock_channel *ch = connected(open_ep());
	struct fsock_datagram d[64], swap;
	int got = 0, n;

	for (unsigned char i = 0; i < 50; i++)
		EQUAL(fsock_send(ch, 0, &i, 1, NULL), 1);
	while (got < 50) {
		n = fsock_recv_batch(ch, 0, d + got, 64 - (unsigned)got);
		NEED(n > 0);
		got += n;
	}
	EQUAL(held(ch), 50);
	for (int i = 0; i < 50; i++)
		EQUAL(*(unsigned char *)d[i].part[0].iov_base, i);
	for (int i = 0; i < 25; i += 2) {
		swap = d[i];
		d[i] = d[49 - i];
		d[49 - i] = swap;
	}
	EQUAL(fsock_release_batch(ch, d, 50), 0);
	EQUAL(held(ch), 0);
	EQUAL(fsock_recv_batch(ch, FSOCK_RECV_NONBLOCK, d, 64), -EAGAIN);
	ask(ch, "after", NULL);
}

static void wait_for_one(struct fsock_channel *ch)
{
	char c;

	EQUAL(fsock_recv(ch, FSOCK_RECV_PEEK, &c, 1, NULL), 1);
}

static void case_peek(void)
{
	struct fsock_channel *ch = connected(open_ep());
	struct fsock_rxinfo info;
	char buf[10];

	EQUAL(fsock_send(ch, 0, "peeked", 6, NULL), 6);
	wait_for_one(ch);
	EQUAL(fsock_recv(ch, FSOCK_RECV_PEEK, buf, 2, &info), 2);
	EQUAL(info.flags & FSOCK_RX_TRUNCATED, FSOCK_RX_TRUNCATED);
	EQUAL(info.length, 6);
	EQUAL(fsock_recv(ch, 0, buf, 4, &info), 4);
	EQUAL(info.length, 6);
	EQUAL(fsock_recv(ch, FSOCK_RECV_NONBLOCK, buf, 4, &info), -EAGAIN);
	EQUAL(fsock_send(ch, 0, "", 0, NULL), 0);
	EQUAL(fsock_recv(ch, 0, buf, 4, &info), 0);
	EQUAL(info.length, 0);
}

static void case_timeout(void)
{
	struct fsock_channel *ch = connected(open_ep());
	struct timespec before, after;
	int64_t took;
	char buf[10];

	EQUAL(fsock_recv(ch, FSOCK_RECV_NONBLOCK, buf, 4, NULL), -EAGAIN);
	limit(ch, 0);
	EQUAL(fsock_recv(ch, 0, buf, 4, NULL), -EAGAIN);
	limit(ch, 20 * MS);
	clock_gettime(CLOCK_MONOTONIC, &before);
	errno = 0;
	EQUAL(fsock_recv(ch, 0, buf, 4, NULL), -ETIMEDOUT);
	EQUAL(errno, 0);
	clock_gettime(CLOCK_MONOTONIC, &after);
	took = (after.tv_sec - before.tv_sec) * 1000 * MS + after.tv_nsec - before.tv_nsec;
	NEED(took >= 20 * MS && took < 20000 * MS);
	limit(ch, INT64_MAX); /* added to a clock it would be long past */
	ask(ch, "after", NULL);
}

static void case_hold_max(void)
{
	struct fsock_ep *ep = open_ep();
	struct fsock_channel *ch;
	struct fsock_datagram d[4], more;
	uint32_t max = 4;
	char buf[10];

	EQUAL(fsock_set_ep_attribute(ep, FSOCK_HOLD_MAX, &max, sizeof(max)), 0);
	ch = connected(ep);
	for (int i = 0; i < 4; i++) {
		EQUAL(fsock_send(ch, 0, "held", 4, NULL), 4);
		EQUAL(fsock_recv_batch(ch, 0, &d[i], 1), 1);
	}
	EQUAL(fsock_send(ch, 0, "more", 4, NULL), 4);
	wait_for_one(ch);
	EQUAL(fsock_recv_batch(ch, 0, &more, 1), -ENOBUFS);
	EQUAL(fsock_release(ch, &d[2].info), 0);
	EQUAL(fsock_recv_batch(ch, 0, &more, 1), 1);
	NEED(memcmp(more.part[0].iov_base, "more", 4) == 0);
	NEED(memcmp(d[0].part[0].iov_base, "held", 4) == 0);
	EQUAL(fsock_send(ch, 0, "copy", 4, NULL), 4);
	EQUAL(fsock_recv(ch, 0, buf, sizeof(buf), NULL), 4); /* copying needs no place */
}

/* Frames that a closed channel lent are back in the pool: many times as many as it has. */
static void case_close_held(void)
{
	struct fsock_ep *ep = open_ep();
	struct fsock_datagram d;

	for (int turn = 0; turn < 40; turn++) {
		struct fsock_channel *ch = connected(ep);

		for (int i = 0; i < 100; i++) {
			EQUAL(fsock_send(ch, 0, "held", 4, NULL), 4);
			EQUAL(fsock_recv_batch(ch, 0, &d, 1), 1);
			EQUAL(!(d.info.flags & FSOCK_RX_KERNEL), fast);
		}
		EQUAL(held(ch), 100);
		EQUAL(fsock_close(ch), 0);
	}
}

static void wait_child(pid_t pid)
{
	int status;

	EQUAL(waitpid(pid, &status, 0), pid);
	EQUAL(status, 0);
}

static void case_fork(void)
{
	struct fsock_channel *ch = connected(open_ep());
	struct fsock_datagram d, other;
	pid_t pid;

	EQUAL(fsock_send(ch, 0, "held", 4, NULL), 4);
	EQUAL(fsock_recv_batch(ch, 0, &d, 1), 1);
	pid = fork();
	if (pid == 0) {
		/* In turns: the parent waits. */
		if (fast) {
			EQUAL(fsock_send(ch, 0, "child", 5, NULL), 5);
			wait_for_one(ch);
			EQUAL(fsock_recv_batch(ch, 0, &other, 1), -EBUSY);
			EQUAL(fsock_release(ch, &d.info), -EINVAL);
			EQUAL(fsock_recv(ch, 0, (char[10]){ 0 }, 10, NULL), 5);
		}
		ask(ch, "of the child", NULL);
		_exit(0);
	}
	wait_child(pid);
	NEED(memcmp(d.part[0].iov_base, "held", 4) == 0);
	EQUAL(fsock_release(ch, &d.info), 0);
	ask(ch, "of the parent", NULL);
}

/* An idle child has the descriptor too: closing gives back all the same. */
static void case_close_forked(void)
{
	struct fsock_channel *ch = connected(open_ep()), *again;
	struct fsock_datagram d;
	int wait[2];
	pid_t pid;

	EQUAL(pipe(wait), 0);
	EQUAL(fsock_send(ch, 0, "held", 4, NULL), 4);
	EQUAL(fsock_recv_batch(ch, 0, &d, 1), 1);
	pid = fork();
	if (pid == 0) {
		close(wait[1]);
		_exit(read(wait[0], &d, 1) != 0); /* until the parent closes its end */
	}
	EQUAL(fsock_close(ch), 0);
	again = connected(open_ep());
	ask(again, "after", NULL);
	close(wait[1]);
	wait_child(pid);
}

/* What a dead process held is found. */
static void case_crash_held(void)
{
	struct fsock_channel *ch = connected(open_ep());
	struct fsock_datagram d;
	int ret = -EBUSY;
	pid_t pid = fork();

	if (pid == 0) {
		EQUAL(fsock_send(ch, 0, "held", 4, NULL), 4);
		EQUAL(fsock_recv_batch(ch, 0, &d, 1), 1);
		_exit(0);
	}
	wait_child(pid);
	for (int i = 0; i < 400 && ret == -EBUSY; i++) {
		EQUAL(fsock_send(ch, 0, "turn", 4, NULL), 4);
		wait_for_one(ch);
		ret = fsock_recv_batch(ch, 0, &d, 1);
		if (ret == -EBUSY)
			EQUAL(fsock_recv(ch, 0, (char[10]){ 0 }, 10, NULL), 4);
		usleep(10000);
	}
	EQUAL(ret, 1);
	EQUAL(fsock_release(ch, &d.info), 0);
}

static void case_group(void)
{
	struct fsock_ep *ep = open_ep();
	struct fsock_channel *ch[3];
	struct fsock_event events[8];
	struct fsock_group *g;
	bool seen[3] = { false };
	char buf[10];
	int n;

	EQUAL(fsock_group_open(&g), 0);
	for (int i = 0; i < 3; i++) {
		ch[i] = connected(ep);
		EQUAL(fsock_group_add(g, ch[i], &seen[i]), 0);
	}
	EQUAL(fsock_poll(g, events, 8, 0), 0);
	EQUAL(fsock_poll(g, events, 8, 5 * MS), 0);
	for (int i = 0; i < 3; i++)
		EQUAL(fsock_send(ch[i], 0, "x", 1, NULL), 1);
	for (int i = 0; i < 3; i++)
		wait_for_one(ch[i]);
	for (int left = 3; left > 0; left -= n) {
		n = fsock_poll(g, events, 8, 3000 * MS);
		NEED(n > 0 && n <= left);
		EQUAL(fsock_poll(g, events, 8, 0), n); /* level-triggered */
		for (int i = 0; i < n; i++) {
			EQUAL(events[i].events, FSOCK_EVENT_IN);
			EQUAL(fsock_recv(events[i].channel, FSOCK_RECV_NONBLOCK, buf, 4, NULL), 1);
			*(bool *)events[i].data = true;
		}
	}
	NEED(seen[0] && seen[1] && seen[2]);
	EQUAL(fsock_poll(g, events, 8, 0), 0);
	EQUAL(fsock_group_remove(g, ch[0]), 0);
	EQUAL(fsock_send(ch[0], 0, "x", 1, NULL), 1);
	EQUAL(fsock_poll(g, events, 8, 5 * MS), 0);
	EQUAL(fsock_close(ch[1]), 0);
	EQUAL(fsock_send(ch[2], 0, "x", 1, NULL), 1);
	EQUAL(fsock_poll(g, events, 8, INT64_MAX), 1);
	NEED(events[0].channel == ch[2]);
	EQUAL(fsock_group_close(g), 0);
	EQUAL(fsock_close_ep(ep), 0);
}

enum { EACH = 300 };

static void *receive_some(void *arg)
{
	struct fsock_datagram d[4];
	long got = 0;
	int n;

	while ((n = fsock_recv_batch(arg, 0, d, 4)) > 0) {
		got += n;
		EQUAL(fsock_release_batch(arg, d, (unsigned)n), 0);
	}
	EQUAL(n, -ETIMEDOUT);
	return (void *)got;
}

static void case_threads(void)
{
	struct fsock_channel *ch = connected(open_ep());
	pthread_t thread[3];
	long sum = 0;

	limit(ch, 500 * MS);
	for (int i = 0; i < 3; i++)
		EQUAL(pthread_create(&thread[i], NULL, receive_some, ch), 0);
	for (int i = 0; i < EACH; i++) {
		EQUAL(fsock_send(ch, 0, "x", 1, NULL), 1);
		if (i % 20 == 0)
			usleep(1000);
	}
	for (int i = 0; i < 3; i++) {
		void *got;

		EQUAL(pthread_join(thread[i], &got), 0);
		sum += (long)got;
	}
	EQUAL(sum, EACH);
}

/* Readable says that something may be there: the other thread may hold the stack, or a notification be
 * all there was. What comes is found all the same, without a wait of three seconds. */
static void await_event(struct fsock_group *g, struct pollfd *fd, struct fsock_event events[4])
{
	int turns = 0;

	do {
		NEED(turns++ < 200);
		EQUAL(poll(fd, 1, 3000), 1);
	} while (fsock_poll(g, events, 4, 0) != 1);
}

/* Another thread polls for ever and takes in what comes; a loop waits for a group's descriptor. */
static void case_foreign_loop(void)
{
	struct fsock_ep *ep = open_ep();
	struct fsock_channel *mine = connected(ep), *other = connected(ep);
	struct fsock_event events[4];
	struct pollfd fd = { .events = POLLIN };
	struct fsock_group *g;
	pthread_t thread;
	void *got;

	limit(other, 1000 * MS);
	EQUAL(pthread_create(&thread, NULL, receive_some, other), 0);
	EQUAL(fsock_group_open(&g), 0);
	EQUAL(fsock_group_add(g, mine, NULL), 0);
	fd.fd = fsock_group_fd(g);
	NEED(fd.fd >= 0);
	for (int i = 0; i < 50; i++) {
		for (int turns = 0; poll(&fd, 1, 0) > 0; turns++) {
			NEED(turns < 200); /* it becomes quiet; a notification may keep it for a moment */
			while (fsock_poll(g, events, 4, 0) > 0)
				EQUAL(fsock_recv(mine, FSOCK_RECV_NONBLOCK, (char[10]){ 0 }, 10, NULL), 4);
			usleep(turns > 2 ? 1000 : 0);
		}
		EQUAL(fsock_send(mine, 0, "mine", 4, NULL), 4);
		usleep(2000);
		await_event(g, &fd, events);
	}
	EQUAL(pthread_join(thread, &got), 0);
	EQUAL((long)got, 0);
	EQUAL(fsock_group_close(g), 0);
}

/* Longer than a frame: fragments, which are the kernel's. */
static void case_large(void)
{
	struct fsock_channel *ch = connected(open_ep());
	static char text[8000];
	struct fsock_datagram d;

	memset(text, 'y', sizeof(text));
	EQUAL(fsock_send(ch, 0, text, sizeof(text), NULL), sizeof(text));
	EQUAL(fsock_recv_batch(ch, 0, &d, 1), 1);
	EQUAL(d.info.length, sizeof(text));
	EQUAL(d.info.flags, FSOCK_RX_KERNEL);
	EQUAL(d.info.parts, 1);
	NEED(memcmp(d.part[0].iov_base, text, sizeof(text)) == 0);
	NEED(memcmp(&d.info.source.in, &peer.in, 8) == 0);
	EQUAL(held(ch), 1);
	EQUAL(fsock_release(ch, &d.info), 0);
	EQUAL(held(ch), 0);
	ask(ch, "after", NULL);
}

/* A channel and a plain socket, until standard input ends. */
static void case_both(void)
{
	struct sockaddr_in at = local.in;
	struct fsock_channel *ch = connected(open_ep());
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	char buf[10];

	at.sin_port = htons(7777);
	EQUAL(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	EQUAL(connect(fd, &peer.sa, sizeof(peer.in)), 0);
	for (int i = 0; i < 50; i++) {
		EQUAL(send(fd, "plain", 5, 0), 5);
		EQUAL(recv(fd, buf, sizeof(buf), 0), 5);
		ask(ch, "native", NULL);
	}
	fprintf(stderr, "ready\n");
	while (read(0, buf, sizeof(buf)) > 0)
		continue;
}

/* Why it is not accelerated, for the test to judge. */
static void case_reason(void)
{
	struct fsock_channel *ch = connected(open_ep());
	char text[200];
	size_t len = sizeof(text);

	EQUAL(fsock_getopt(ch, FSOCK_REASON, text, &len), 0);
	puts(text);
}

static const struct {
	const char *name;
	void (*run)(void);
} cases[] = {
	{ "args", case_args },	       { "echo", case_echo },	      { "inplace", case_inplace },
	{ "batch", case_batch },       { "peek", case_peek },	      { "timeout", case_timeout },
	{ "hold_max", case_hold_max }, { "close_held", case_close_held }, { "fork", case_fork },
	{ "close_forked", case_close_forked }, { "crash_held", case_crash_held }, { "group", case_group },   { "threads", case_threads },
	{ "large", case_large },	       { "foreign_loop", case_foreign_loop },
	       { "both", case_both },	      { "reason", case_reason },
};

int main(int argc, char **argv)
{
	if (argc < 5 || inet_pton(AF_INET, argv[2], &local.in.sin_addr) != 1 ||
	    inet_pton(AF_INET, argv[3], &peer.in.sin_addr) != 1)
		return 2;
	peer.in.sin_port = htons((uint16_t)atoi(argv[4]));
	fast = argc > 5;
	EQUAL(fsock_group_open(&(struct fsock_group *){ 0 }), -EINVAL); /* before fsock_init() */
	EQUAL(fsock_init(FSOCK_API_VERSION + 1), -ENOTSUP);
	EQUAL(fsock_init(FSOCK_API_VERSION), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		if (strcmp(cases[i].name, argv[1]) != 0)
			continue;
		cases[i].run();
		fsock_fini();
		EQUAL(fsock_group_open(&(struct fsock_group *){ 0 }), -EINVAL);
		fprintf(stderr, "well\n");
		return 0;
	}
	return 2;
}
