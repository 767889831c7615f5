/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * native_stream.c - one case of the native interface's connections, for test_native_stream.py.
 *
 *     native_stream CASE ADDRESS PEER PORT [fast|link]
 *
 * PEER:PORT sends back what it is sent (example_stream). With `fast` connections must take the fast path, with `link` a
 * link. Says `well` and exits with 0, or names the line that was not as it must be. Cases in which connections change
 * sides: native_moves.c.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fsock/fsock.h>
#include <grp.h>
#include <linux/tcp.h>
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
#include "native_stream.h"

bool fast, linked;
union fsock_addr local, peer;
static uint16_t port;

struct fsock_ep *open_ep(void)
{
	struct fsock_ep *ep;

	EQUAL(fsock_open(&local.sa, sizeof(local), FSOCK_TCP, &ep), 0);
	return ep;
}

void set_time(struct fsock_channel *ch, int option, int64_t ns)
{
	EQUAL(fsock_setopt(ch, option, &ns, sizeof(ns)), 0);
}

int get(struct fsock_channel *ch, int option)
{
	int n = -1;
	size_t len = sizeof(n);

	EQUAL(fsock_getopt(ch, option, &n, &len), 0);
	return n;
}

void set(struct fsock_channel *ch, int option, int n)
{
	EQUAL(fsock_setopt(ch, option, &n, sizeof(n)), 0);
	EQUAL(get(ch, option), n);
}

struct fsock_channel *fresh(struct fsock_ep *ep)
{
	struct fsock_channel *ch;

	EQUAL(fsock_bind(ep, 0, 0, &ch), 0);
	set_time(ch, FSOCK_RX_TIMEOUT, 5000 * MS);
	set_time(ch, FSOCK_TX_TIMEOUT, 5000 * MS);
	return ch;
}

struct fsock_channel *connected(struct fsock_ep *ep)
{
	struct fsock_channel *ch = fresh(ep);

	EQUAL(fsock_connect(ch, &peer.sa, sizeof(peer)), 0);
	EQUAL(get(ch, FSOCK_ACCELERATED), fast || linked);
	return ch;
}

void receive(struct fsock_channel *ch, void *to, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = fsock_recv(ch, 0, (char *)to + done, len - done, NULL);

		NEED(n > 0);
		done += (size_t)n;
	}
}

void ask(struct fsock_channel *ch, const char *word)
{
	char buf[100];

	EQUAL(fsock_send(ch, 0, word, strlen(word), NULL), strlen(word));
	receive(ch, buf, strlen(word));
	NEED(memcmp(buf, word, strlen(word)) == 0);
}

void rest(const char *word)
{
	char c;

	fprintf(stderr, "%s\n", word);
	EQUAL(read(0, &c, 1), 1);
}

/* --- cases --- */
static void case_args(void)
{
	struct fsock_ep *ep = open_ep();
	struct fsock_channel *ch = fresh(ep), *other;
	struct fsock_rxinfo info = { 0 };
	struct fsock_txinfo to = { .valid = FSOCK_TXINFO_DESTINATION };
	struct iovec parts[FSOCK_PARTS_MAX];
	union fsock_addr name;
	size_t len = sizeof(name);
	int n = 5;
	char c;

	EQUAL(fsock_recv(ch, 0, &c, 1, NULL), -ENOTCONN);
	EQUAL(fsock_recv(ch, FSOCK_RECV_INPLACE, parts, sizeof(parts), &info), -ENOTCONN);
	EQUAL(fsock_send(ch, 0, &c, 1, NULL), -ENOTCONN);
	EQUAL(fsock_send(ch, 1U << 9, &c, 1, NULL), -EINVAL);
	EQUAL(fsock_send(ch, 0, &c, 1, &to), -EINVAL);
	EQUAL(fsock_accept(ch, 0, &other), -EINVAL);
	EQUAL(fsock_shutdown(ch, FSOCK_SHUT_WR), -ENOTCONN);
	EQUAL(fsock_shutdown(ch, 0), -EINVAL);
	EQUAL(fsock_connect(ch, &peer.sa, 1), -EINVAL);
	EQUAL(fsock_getopt(ch, FSOCK_PEER, &name, &len), -ENOTCONN);
	EQUAL(fsock_setopt(ch, FSOCK_LINGER, &n, sizeof(n)), -EINVAL);
	EQUAL(fsock_setopt(ch, FSOCK_NODELAY, &n, 1), -EINVAL);
	EQUAL(fsock_setopt(ch, FSOCK_JOIN_MCAST, &n, sizeof(n)), -ENOPROTOOPT);
	EQUAL(fsock_setopt(ch, FSOCK_ERROR, &n, sizeof(n)), -ENOPROTOOPT);
	info.held = 0x1000;
	EQUAL(fsock_release(ch, &info), -EINVAL);
	EQUAL(fsock_connect(ch, &peer.sa, sizeof(peer)), 0);
	EQUAL(fsock_connect(ch, &peer.sa, sizeof(peer)), -EISCONN);
	EQUAL(fsock_listen(ch, 5), fast || linked ? -EISCONN : -EINVAL);
	EQUAL(fsock_send(ch, 0, &c, 1, &to), -EINVAL);
	EQUAL(fsock_recv(ch, FSOCK_RECV_NONBLOCK, &c, 1, NULL), -EAGAIN);
	info.held = 0x1000;
	EQUAL(fsock_release(ch, &info), -EINVAL);
	EQUAL(fsock_close_ep(ep), 0);
	EQUAL(fsock_open(&local.sa, sizeof(local), FSOCK_UDP, &ep), 0);
	EQUAL(fsock_bind(ep, 0, 0, &ch), 0);
	EQUAL(fsock_listen(ch, 5), -EOPNOTSUPP);
	EQUAL(fsock_accept(ch, 0, &other), -EOPNOTSUPP);
	EQUAL(fsock_shutdown(ch, FSOCK_SHUT_WR), -EOPNOTSUPP);
	EQUAL(fsock_setopt(ch, FSOCK_NODELAY, &n, sizeof(n)), -ENOPROTOOPT);
	EQUAL(fsock_close_ep(ep), 0);
}

static void case_echo(void)
{
	struct fsock_channel *ch = connected(open_ep());
	struct fsock_rxinfo info;
	union fsock_addr name;
	size_t len = sizeof(name);
	char word[40];

	for (int i = 0; i < 200; i++) {
		snprintf(word, sizeof(word), "word %d", i);
		ask(ch, word);
	}
	EQUAL(fsock_getopt(ch, FSOCK_PEER, &name, &len), 0);
	NEED(memcmp(&name, &peer, sizeof(name.in)) == 0);
	len = sizeof(name);
	EQUAL(fsock_getopt(ch, FSOCK_LOCAL, &name, &len), 0);
	EQUAL(name.sa.sa_family, local.sa.sa_family);
	NEED(name.in.sin_port != 0);
	EQUAL(fsock_send(ch, FSOCK_SEND_MORE, "a", 1, NULL), 1);
	EQUAL(fsock_send(ch, 0, "b", 1, NULL), 1);
	receive(ch, word, 1);
	EQUAL(fsock_recv(ch, 0, word + 1, 9, &info), 1);
	EQUAL(info.length, 1);
	EQUAL(info.flags, fast || linked ? 0 : FSOCK_RX_KERNEL);
	NEED(memcmp(word, "ab", 2) == 0);
}

/* A connection on the fast path, or over a link, uses no descriptor. */
static void case_descriptors(void)
{
	struct fsock_ep *ep = open_ep();
	struct fsock_channel *ch = connected(ep);
	int fd = -1, before = 0;
	size_t len = sizeof(fd);

	EQUAL(fsock_getopt(ch, FSOCK_FD, &fd, &len), fast || linked ? -EOPNOTSUPP : 0);
	if (!fast && !linked)
		return;
	for (int i = 0; i < 50; i++) {
		before = i == 1 ? descriptors() : before;
		ask(connected(ep), "without");
	}
	NEED(descriptors() <= before + 1); /* what a thread sleeps on is opened once, where it has to sleep */
}

static void case_inplace(void)
{
	struct fsock_channel *ch = connected(open_ep());
	struct iovec parts[FSOCK_PARTS_MAX];
	struct fsock_rxinfo info, again;

	for (int i = 0; i < 3000; i++) {
		EQUAL(fsock_send(ch, 0, "in place", 8, NULL), 8);
		EQUAL(fsock_recv(ch, FSOCK_RECV_INPLACE, parts, sizeof(parts), &info), 8);
		EQUAL(info.parts, 1);
		EQUAL(parts[0].iov_len, 8);
		NEED(memcmp(parts[0].iov_base, "in place", 8) == 0);
		EQUAL(get(ch, FSOCK_HELD), 1);
		again = info;
		EQUAL(fsock_release(ch, &info), 0);
		EQUAL(info.held, 0);
		EQUAL(fsock_release(ch, &again), -EINVAL);
		EQUAL(get(ch, FSOCK_HELD), 0);
	}
	EQUAL(fsock_recv(ch, FSOCK_RECV_INPLACE | FSOCK_RECV_NONBLOCK, parts, sizeof(parts), &info), -EAGAIN);
}

static uint8_t byte_at(size_t offset)
{
	return (uint8_t)(offset * 7 ^ offset >> 8 ^ offset >> 16);
}

void *pour(void *arg)
{
	static uint8_t block[BLOCK];

	for (size_t done = 0; done < BULK; done += BLOCK) {
		for (size_t i = 0; i < BLOCK; i++)
			block[i] = byte_at(done + i);
		EQUAL(fsock_send(arg, 0, block, BLOCK, NULL), BLOCK);
	}
	EQUAL(fsock_shutdown(arg, FSOCK_SHUT_WR), 0);
	return NULL;
}

size_t check(const struct iovec *parts, unsigned n, size_t at)
{
	for (unsigned i = 0; i < n; i++)
		for (size_t k = 0; k < parts[i].iov_len; k++)
			if (((uint8_t *)parts[i].iov_base)[k] != byte_at(at++))
				failed("a byte is another", __LINE__, (long)at - 1);
	return at;
}

/* Much at once, taken in place, a few pieces at a time; to its end. */
static void case_bulk(void)
{
	struct fsock_channel *ch = connected(open_ep());
	struct fsock_datagram d[8];
	pthread_t thread;
	size_t got = 0;
	int n;

	EQUAL(pthread_create(&thread, NULL, pour, ch), 0);
	while ((n = fsock_recv_batch(ch, 0, d, 8)) > 0) {
		for (int i = 0; i < n; i++) {
			size_t before = got;

			NEED(d[i].info.parts >= 1 && d[i].info.parts <= FSOCK_PARTS_MAX);
			got = check(d[i].part, d[i].info.parts, got);
			EQUAL(d[i].info.length, got - before);
		}
		EQUAL(fsock_release_batch(ch, d, (unsigned)n), 0);
	}
	EQUAL(n, 0);
	EQUAL(got, BULK);
	EQUAL(pthread_join(thread, NULL), 0);
}

/* Pieces that are kept close the window; given back, they open it. */
static void case_hold(void)
{
	struct fsock_ep *ep = open_ep();
	struct fsock_channel *ch;
	struct fsock_datagram d[3], more;
	uint32_t max = 3;
	char c;

	EQUAL(fsock_set_ep_attribute(ep, FSOCK_HOLD_MAX, &max, sizeof(max)), 0);
	ch = connected(ep);
	for (int i = 0; i < 3; i++) {
		EQUAL(fsock_send(ch, 0, "held", 4, NULL), 4);
		EQUAL(fsock_recv_batch(ch, 0, &d[i], 1), 1);
	}
	EQUAL(fsock_send(ch, 0, "more", 4, NULL), 4);
	EQUAL(fsock_recv(ch, FSOCK_RECV_PEEK, &c, 1, NULL), 1);
	EQUAL(fsock_recv_batch(ch, 0, &more, 1), -ENOBUFS);
	EQUAL(fsock_release(ch, &d[1].info), 0);
	EQUAL(fsock_recv_batch(ch, 0, &more, 1), 1);
	NEED(memcmp(more.part[0].iov_base, "more", 4) == 0);
	NEED(memcmp(d[0].part[0].iov_base, "held", 4) == 0);
	EQUAL(fsock_close(ch), 0); /* with three lent */
	ask(connected(ep), "after");
}

static void case_peek(void)
{
	struct fsock_channel *ch = connected(open_ep());
	char buf[10];

	EQUAL(fsock_send(ch, 0, "peeked", 6, NULL), 6);
	EQUAL(fsock_recv(ch, FSOCK_RECV_PEEK, buf, 2, NULL), 2);
	EQUAL(get(ch, FSOCK_RX_QUEUED), 6);
	EQUAL(fsock_recv(ch, 0, buf, 4, NULL), 4);
	EQUAL(fsock_recv(ch, 0, buf, 10, NULL), 2);
	EQUAL(fsock_recv(ch, 0, buf, 0, NULL), 0);
}

static void case_timeout(void)
{
	struct fsock_channel *ch = connected(open_ep());
	static char block[1 << 20];
	struct timespec before, after;
	int64_t took;
	ssize_t n;
	char c;

	set_time(ch, FSOCK_RX_TIMEOUT, 20 * MS);
	clock_gettime(CLOCK_MONOTONIC, &before);
	errno = 0;
	EQUAL(fsock_recv(ch, 0, &c, 1, NULL), -ETIMEDOUT);
	EQUAL(errno, 0);
	clock_gettime(CLOCK_MONOTONIC, &after);
	took = (after.tv_sec - before.tv_sec) * 1000 * MS + after.tv_nsec - before.tv_nsec;
	NEED(took >= 20 * MS && took < 20000 * MS);
	set_time(ch, FSOCK_RX_TIMEOUT, 0);
	EQUAL(fsock_recv(ch, 0, &c, 1, NULL), -EAGAIN);
	/* Nobody reads what comes back: there is no room in the end. */
	set_time(ch, FSOCK_TX_TIMEOUT, 200 * MS);
	do
		n = fsock_send(ch, 0, block, sizeof(block), NULL);
	while (n > 0);
	EQUAL(n, -ETIMEDOUT);
	do
		n = fsock_send(ch, FSOCK_SEND_NONBLOCK, block, sizeof(block), NULL);
	while (n > 0);
	EQUAL(n, -EAGAIN);
	NEED(linked || get(ch, FSOCK_TX_QUEUED) > 0); /* what a link has taken is at the other side */
}

/* A connect of @ch that does not wait, in a group of its own. What it said. */
static int begin_connect(struct fsock_channel *ch, struct fsock_group **g)
{
	int ret;

	EQUAL(fsock_group_open(g), 0);
	EQUAL(fsock_group_add(*g, ch, NULL), 0);
	set_time(ch, FSOCK_TX_TIMEOUT, 0);
	ret = fsock_connect(ch, &peer.sa, sizeof(peer));
	NEED(ret == -EINPROGRESS || ret == 0);
	return ret;
}

/* A connect that does not wait; one that is refused; the same channel again. */
static void case_connect(void)
{
	struct fsock_ep *ep = open_ep();
	struct fsock_channel *ch = fresh(ep);
	struct fsock_event event = { 0 };
	struct fsock_group *g;
	int ret = begin_connect(ch, &g);

	while (!(event.events & FSOCK_EVENT_OUT) && ret != 0)
		NEED(fsock_poll(g, &event, 1, 5000 * MS) == 1);
	EQUAL(ret ? fsock_connect(ch, &peer.sa, sizeof(peer)) : 0, 0);
	EQUAL(fsock_connect(ch, &peer.sa, sizeof(peer)), -EISCONN);
	EQUAL(get(ch, FSOCK_ACCELERATED), fast || linked);
	ask(ch, "connected");
	EQUAL(fsock_close(ch), 0);
	ch = fresh(ep);
	EQUAL(fsock_group_add(g, ch, NULL), 0);
	set(ch, FSOCK_NODELAY, 1);
	peer.in.sin_port = htons((uint16_t)(port + 7)); /* nobody's */
	EQUAL(fsock_connect(ch, &peer.sa, sizeof(peer)), -ECONNREFUSED);
	peer.in.sin_port = htons(port);
	EQUAL(fsock_connect(ch, &peer.sa, sizeof(peer)), 0);
	EQUAL(get(ch, FSOCK_NODELAY), 1);
	ask(ch, "again");
	EQUAL(fsock_poll(g, &event, 1, 0), 0);
	EQUAL(fsock_send(ch, 0, "x", 1, NULL), 1);
	EQUAL(fsock_poll(g, &event, 1, 5000 * MS), 1);
	EQUAL(event.events, FSOCK_EVENT_IN);
	if (fast) { /* dissolved, and connected once more */
		union fsock_addr none = { .sa.sa_family = AF_UNSPEC };

		EQUAL(fsock_connect(ch, &none.sa, sizeof(none)), 0);
		EQUAL(fsock_send(ch, 0, "x", 1, NULL), -ENOTCONN);
		EQUAL(fsock_connect(ch, &peer.sa, sizeof(peer)), 0);
		EQUAL(get(ch, FSOCK_NODELAY), 1);
		ask(ch, "once more");
	}
	EQUAL(fsock_close_ep(ep), 0);
	EQUAL(fsock_group_close(g), 0);
}

/* A connect that does not wait, and nobody asks it again: what the connection says by other calls is the same. */
static void case_connect_once(void)
{
	struct fsock_ep *ep = open_ep();
	struct fsock_channel *ch = fresh(ep);
	struct fsock_event event = { 0 };
	struct fsock_group *g;
	union fsock_addr name;
	size_t len = sizeof(name);

	begin_connect(ch, &g);
	EQUAL(fsock_poll(g, &event, 1, 5000 * MS), 1);
	EQUAL(event.events, FSOCK_EVENT_OUT);
	EQUAL(get(ch, FSOCK_ERROR), 0);
	EQUAL(fsock_getopt(ch, FSOCK_PEER, &name, &len), 0);
	ask(ch, "connected");
	EQUAL(fsock_poll(g, &event, 1, 0), 0);
	EQUAL(fsock_handover(ch), 0);
	ask(ch, "moved");
	EQUAL(fsock_group_close(g), 0);
	EQUAL(fsock_close_ep(ep), 0);
}

/* Connected, and then busy with something else. */
static void case_away(void)
{
	connected(open_ep());
	rest("away");
}

/* Sixteen connections to each of eight ports, for a test that counts the calls of each. */
static void case_ports(void)
{
	struct fsock_ep *ep = open_ep();

	for (int i = 0; i < 128; i++) {
		struct fsock_channel *ch;

		peer.in.sin_port = htons((uint16_t)(port + i / 16));
		EQUAL(write(1, "begin\n", 6), 6);
		ch = connected(ep);
		EQUAL(fsock_send(ch, 0, "x", 1, NULL), 1);
		EQUAL(write(1, "end\n", 4), 4);
	}
}

/* Half closed: all that was sent comes back, then the end, which the group tells. */
static void case_shutdown(void)
{
	struct fsock_channel *ch = connected(open_ep());
	struct fsock_event event;
	struct fsock_group *g;
	char buf[10];

	EQUAL(fsock_group_open(&g), 0);
	EQUAL(fsock_group_add(g, ch, &event), 0);
	EQUAL(fsock_send(ch, 0, "last", 4, NULL), 4);
	EQUAL(fsock_shutdown(ch, FSOCK_SHUT_WR), 0);
	EQUAL(fsock_send(ch, 0, "x", 1, NULL), -EPIPE);
	receive(ch, buf, 4);
	EQUAL(fsock_recv(ch, 0, buf, 4, NULL), 0);
	EQUAL(fsock_poll(g, &event, 1, 5000 * MS), 1);
	NEED(event.data == &event);
	EQUAL(event.events & (FSOCK_EVENT_IN | FSOCK_EVENT_HANGUP), FSOCK_EVENT_IN | FSOCK_EVENT_HANGUP);
	EQUAL(fsock_recv(ch, FSOCK_RECV_INPLACE, &(struct iovec[FSOCK_PARTS_MAX]){ 0 },
			 FSOCK_PARTS_MAX * sizeof(struct iovec), &(struct fsock_rxinfo){ 0 }), 0);
}

static void case_options(void)
{
	struct fsock_ep *ep = open_ep();
	struct fsock_channel *ch = fresh(ep);
	struct tcp_info info = { 0 };
	size_t len = sizeof(info);

	for (int turn = 0; turn < 2; turn++) {
		set(ch, FSOCK_NODELAY, 1 - turn);
		set(ch, FSOCK_KEEPALIVE, 40);
		set(ch, FSOCK_KEEPALIVE, turn);
		set(ch, FSOCK_LINGER, 0);
		set(ch, FSOCK_LINGER, -1);
		set(ch, FSOCK_USER_TIMEOUT, 30000 + turn);
		set(ch, FSOCK_PAUSED, turn);
		EQUAL(turn ? 0 : fsock_connect(ch, &peer.sa, sizeof(peer)), 0);
		EQUAL(get(ch, FSOCK_NODELAY), 1 - turn);
		EQUAL(get(ch, FSOCK_USER_TIMEOUT), 30000 + turn);
	}
	EQUAL(get(ch, FSOCK_ERROR), 0);
	ask(ch, "counted");
	EQUAL(fsock_getopt(ch, FSOCK_TCP_INFO, &info, &len), 0);
	EQUAL(info.tcpi_state, 1); /* established */
	NEED(info.tcpi_rtt > 0 && len > offsetof(struct tcp_info, tcpi_bytes_received));
	EQUAL(info.tcpi_bytes_received, 7);
	set(ch, FSOCK_LINGER, 0);
	EQUAL(fsock_close_ep(ep), 0);
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
	EQUAL(fsock_group_add(g, ch[0], NULL), -EBUSY);
	EQUAL(fsock_poll(g, events, 8, 0), 0);
	EQUAL(fsock_poll(g, events, 8, 5 * MS), 0);
	for (int i = 0; i < 3; i++)
		EQUAL(fsock_send(ch[i], 0, "x", 1, NULL), 1);
	for (int i = 0; i < 3; i++)
		EQUAL(fsock_recv(ch[i], FSOCK_RECV_PEEK, buf, 1, NULL), 1);
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
	set(ch[2], FSOCK_PAUSED, 1);
	EQUAL(fsock_send(ch[2], 0, "x", 1, NULL), 1);
	EQUAL(fsock_recv(ch[2], FSOCK_RECV_PEEK, buf, 1, NULL), 1);
	EQUAL(fsock_poll(g, events, 8, 5 * MS), 0);
	set(ch[2], FSOCK_PAUSED, 0);
	EQUAL(fsock_poll(g, events, 8, 5000 * MS), 1);
	NEED(events[0].channel == ch[2]);
	EQUAL(fsock_recv(ch[2], 0, buf, 4, NULL), 1);
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

/* One thread sleeps in a receive, another drives and sleeps in a group; each is woken for its own. */
static void *answer(void *arg)
{
	char buf[10];

	for (int i = 0; i < 100; i++) {
		receive(arg, buf, 4);
		EQUAL(fsock_send(arg, 0, buf, 4, NULL), 4);
	}
	return NULL;
}

static void case_threads(void)
{
	struct fsock_ep *ep = open_ep();
	struct fsock_channel *a = connected(ep), *b = connected(ep);
	struct fsock_event event;
	struct fsock_group *g;
	pthread_t thread;
	char buf[10];

	EQUAL(fsock_group_open(&g), 0);
	EQUAL(fsock_group_add(g, b, NULL), 0);
	EQUAL(fsock_send(a, 0, "ball", 4, NULL), 4);
	EQUAL(pthread_create(&thread, NULL, answer, a), 0);
	for (int i = 0; i < 100; i++) {
		EQUAL(fsock_send(b, 0, "x", 1, NULL), 1);
		EQUAL(fsock_poll(g, &event, 1, 5000 * MS), 1);
		EQUAL(fsock_recv(b, FSOCK_RECV_NONBLOCK, buf, 4, NULL), 1);
	}
	EQUAL(pthread_join(thread, NULL), 0);
	receive(a, buf, 4);
}

/* Events for a loop that is not fsock's. */
static void case_foreign_loop(void)
{
	struct fsock_channel *ch = connected(open_ep());
	struct pollfd fd = { .events = POLLIN };
	struct fsock_event event;
	struct fsock_group *g;
	char buf[10];

	EQUAL(fsock_group_open(&g), 0);
	EQUAL(fsock_group_add(g, ch, NULL), 0);
	fd.fd = fsock_group_fd(g);
	NEED(fd.fd >= 0);
	for (int i = 0; i < 50; i++) {
		for (int turns = 0; poll(&fd, 1, 0) > 0; turns++) {
			NEED(turns < 200);
			while (fsock_poll(g, &event, 1, 0) > 0)
				EQUAL(fsock_recv(ch, FSOCK_RECV_NONBLOCK, buf, 4, NULL), 1);
			usleep(turns > 2 ? 1000 : 0);
		}
		EQUAL(fsock_send(ch, 0, "x", 1, NULL), 1);
		while (fsock_poll(g, &event, 1, 0) == 0)
			EQUAL(poll(&fd, 1, 5000), 1);
		EQUAL(fsock_recv(ch, 0, buf, 4, NULL), 1);
	}
}

/* A child may not use its parent's connections, and takes none with it when it ends; its own it may. */
static void case_fork(void)
{
	struct fsock_ep *ep = open_ep();
	struct fsock_channel *ch = connected(ep);
	char c;
	pid_t pid;
	int status;

	ask(ch, "before");
	pid = fork();
	if (pid == 0) {
		if (fast) {
			EQUAL(fsock_send(ch, 0, "x", 1, NULL), -EBADF);
			EQUAL(fsock_recv(ch, 0, &c, 1, NULL), -EBADF);
			EQUAL(fsock_handover(ch), -EBADF);
			EQUAL(fsock_close(ch), 0);
		}
		ask(connected(open_ep()), "child");
		exit(0);
	}
	EQUAL(waitpid(pid, &status, 0), pid);
	EQUAL(status, 0);
	ask(ch, "after");
	/* Its own connection it left open: that ends with it. */
	for (int i = 0; i < 3; i++)
		ask(connected(ep), "more");
}

/* The port is the program's choice. */
static void case_bound(void)
{
	struct fsock_ep *ep = open_ep();
	struct fsock_channel *ch, *other;
	union fsock_addr name;
	size_t len = sizeof(name);

	EQUAL(fsock_bind(ep, 0, 5151, &ch), 0);
	EQUAL(fsock_getopt(ch, FSOCK_LOCAL, &name, &len), 0);
	EQUAL(ntohs(name.in.sin_port), 5151);
	EQUAL(fsock_connect(ch, &peer.sa, sizeof(peer)), 0);
	EQUAL(get(ch, FSOCK_ACCELERATED), fast || linked);
	EQUAL(fsock_getopt(ch, FSOCK_LOCAL, &name, &len), 0);
	EQUAL(ntohs(name.in.sin_port), 5151);
	ask(ch, "bound");
	EQUAL(fsock_bind(ep, 0, 5152, &ch), 0);
	EQUAL(fsock_listen(ch, 5), 0);
	EQUAL(fsock_bind(ep, 0, 5152, &other), -EADDRINUSE);
}

/* The word behind @name of every thread of this process is @wanted. */
static void threads_have(const char *name, const char *wanted)
{
	DIR *tasks = opendir("/proc/self/task");
	struct dirent *task;

	NEED(tasks);
	while ((task = readdir(tasks)) != NULL) {
		char path[300], line[200], word[100] = "";
		FILE *status;

		snprintf(path, sizeof(path), "/proc/self/task/%s/status", task->d_name);
		status = task->d_name[0] == '.' ? NULL : fopen(path, "r");
		while (status && fgets(line, sizeof(line), status))
			if (strncmp(line, name, strlen(name)) == 0)
				sscanf(line + strlen(name), ":%99s", word);
		if (status) {
			fclose(status);
			EQUAL(strcmp(word, wanted), 0);
		}
	}
	closedir(tasks);
}

/* libc makes every thread follow, and aborts where one is refused. */
static void case_ids(void)
{
	struct fsock_channel *ch = connected(open_ep());

	ask(ch, "root");
	EQUAL(setgroups(0, NULL), 0);
	EQUAL(setgid(65534), 0);
	EQUAL(setuid(65534), 0);
	ask(ch, "nobody");
	threads_have("Uid", "65534");
	threads_have("Gid", "65534");
	threads_have("CapPrm", "0000000000000000");
	EQUAL(setuid(0), -1);
	ask(ch, "nobody");
}

/* Until standard input ends: connections to port 5200 get back what they send, one after the other. Of those on the fast
 * path every second one moves after its first answer. */
static void case_serve(void)
{
	struct fsock_channel *from, *ch;
	struct fsock_group *g;
	struct fsock_event event;
	static char block[BLOCK];
	long quick = 0, slow = 0, moved = 0;
	union fsock_addr name;
	size_t len = sizeof(name);

	EQUAL(fsock_bind(open_ep(), 0, 5200, &from), 0);
	EQUAL(fsock_group_open(&g), 0);
	EQUAL(fsock_group_add(g, from, NULL), 0);
	EQUAL(fsock_listen(from, 100), 0);
	EQUAL(fsock_accept(from, FSOCK_ACCEPT_NONBLOCK, &ch), -EAGAIN);
	set_time(from, FSOCK_RX_TIMEOUT, 20 * MS);
	EQUAL(fsock_accept(from, 0, &ch), -ETIMEDOUT);
	fprintf(stderr, "ready\n");
	for (;;) {
		ssize_t n;

		if (fsock_poll(g, &event, 1, 50 * MS) == 0) {
			if (poll(&(struct pollfd){ .fd = 0, .events = POLLIN }, 1, 0) > 0)
				break;
			continue;
		}
		EQUAL(event.events, FSOCK_EVENT_IN);
		EQUAL(fsock_accept(from, 0, &ch), 0);
		EQUAL(fsock_getopt(ch, FSOCK_PEER, &name, &len), 0);
		EQUAL(name.sa.sa_family, local.sa.sa_family);
		*(get(ch, FSOCK_ACCELERATED) ? &quick : &slow) += 1;
		while ((n = fsock_recv(ch, 0, block, sizeof(block), NULL)) > 0) {
			EQUAL(fsock_send(ch, 0, block, (size_t)n, NULL), n);
			if (quick % 2 == 0 && get(ch, FSOCK_ACCELERATED)) {
				EQUAL(fsock_handover(ch), 0);
				moved++;
			}
		}
		NEED(n == 0 || n == -ECONNRESET);
		EQUAL(fsock_close(ch), 0);
	}
	printf("%ld fast, %ld kernel, %ld moved\n", quick, slow, moved);
}

void tell_reason(struct fsock_channel *ch, char *text)
{
	size_t len = 200;

	EQUAL(fsock_getopt(ch, FSOCK_REASON, text, &len), 0);
}

/* Why it is not accelerated, for the test to judge. */
static void case_reason(void)
{
	char text[200];

	tell_reason(connected(open_ep()), text);
	puts(text);
}

static const struct native_case cases[] = {
	{ "args", case_args },	       { "echo", case_echo },	      { "descriptors", case_descriptors },
	{ "inplace", case_inplace },   { "bulk", case_bulk },	      { "hold", case_hold },
	{ "peek", case_peek },	       { "timeout", case_timeout },   { "connect", case_connect },
	{ "shutdown", case_shutdown }, { "options", case_options },   { "group", case_group },
	{ "threads", case_threads },   { "foreign_loop", case_foreign_loop }, { "fork", case_fork },
	{ "bound", case_bound },       { "serve", case_serve },	      { "reason", case_reason },
	{ "connect_once", case_connect_once }, { "away", case_away },	      { "ports", case_ports },
	{ "ids", case_ids },
	{ NULL, NULL },
};

static bool read_address(const char *text, union fsock_addr *to)
{
	to->in.sin_family = AF_INET;
	if (inet_pton(AF_INET, text, &to->in.sin_addr) == 1)
		return true;
	to->in6.sin6_family = AF_INET6;
	return inet_pton(AF_INET6, text, &to->in6.sin6_addr) == 1;
}

static const struct native_case *find(const struct native_case *c, const char *name)
{
	while (c->name && strcmp(c->name, name) != 0)
		c++;
	return c->name ? c : NULL;
}

int main(int argc, char **argv)
{
	const struct native_case *c;

	if (argc < 5 || !read_address(argv[2], &local) || !read_address(argv[3], &peer))
		return 2;
	port = (uint16_t)atoi(argv[4]);
	peer.in.sin_port = htons(port);
	fast = argc > 5 && strcmp(argv[5], "fast") == 0;
	linked = argc > 5 && strcmp(argv[5], "link") == 0;
	c = find(cases, argv[1]) ?: find(native_moves, argv[1]);
	if (!c)
		return 2;
	EQUAL(fsock_init(FSOCK_API_VERSION), 0);
	c->run();
	fsock_fini();
	fprintf(stderr, "well\n");
	return 0;
}
