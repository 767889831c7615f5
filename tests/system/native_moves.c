/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * native_moves.c - cases of native_stream.c in which connections move to the kernel: because the program wants it, or
 * because a rule came. What becomes of their records, too.
 */
#include <errno.h>
#include <linux/capability.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "native_check.h"
#include "native_stream.h"

static char text_buffer[16];

/* It goes on there, with what it was set to. */
static void hand_over(struct fsock_channel *ch)
{
	char text[200];
	int fd = -1;
	size_t len = sizeof(fd);

	EQUAL(fsock_handover(ch), 0);
	EQUAL(get(ch, FSOCK_ACCELERATED), 0);
	tell_reason(ch, text);
	NEED(!fast || strncmp(text, "moved: ", 7) == 0);
	EQUAL(fsock_getopt(ch, FSOCK_FD, &fd, &len), 0);
	NEED(fd >= 0);
	EQUAL(fsock_handover(ch), 0);
}

static void case_handover(void)
{
	struct fsock_ep *ep = open_ep();
	struct fsock_channel *ch = fresh(ep), *bound;
	union fsock_addr before, after, name;
	size_t len = sizeof(before);
	struct fsock_rxinfo info;

	set(ch, FSOCK_NODELAY, 1);
	set(ch, FSOCK_KEEPALIVE, 40);
	EQUAL(fsock_connect(ch, &peer.sa, sizeof(peer)), 0);
	set(ch, FSOCK_USER_TIMEOUT, 30000);
	ask(ch, "before");
	EQUAL(fsock_getopt(ch, FSOCK_LOCAL, &before, &len), 0);
	EQUAL(fsock_send(ch, 0, "across", 6, NULL), 6);
	EQUAL(fsock_recv(ch, FSOCK_RECV_PEEK, text_buffer, 6, NULL), 6);
	hand_over(ch);
	EQUAL(fsock_recv(ch, 0, text_buffer, 9, &info), 6);
	EQUAL(info.flags, FSOCK_RX_KERNEL);
	NEED(memcmp(text_buffer, "across", 6) == 0);
	EQUAL(fsock_getopt(ch, FSOCK_LOCAL, &after, &len), 0);
	EQUAL(fsock_getopt(ch, FSOCK_PEER, &name, &len), 0);
	if (!linked) { /* from a link it goes on at other ports */
		NEED(memcmp(&before, &after, sizeof(before)) == 0);
		NEED(memcmp(&name, &peer, sizeof(name.in)) == 0);
	}
	EQUAL(get(ch, FSOCK_NODELAY), 1);
	EQUAL(get(ch, FSOCK_KEEPALIVE), 40);
	EQUAL(get(ch, FSOCK_USER_TIMEOUT), 30000);
	EQUAL(fsock_recv(ch, FSOCK_RECV_NONBLOCK, text_buffer, 9, NULL), -EAGAIN);
	EQUAL(fsock_connect(ch, &peer.sa, sizeof(peer)), -EISCONN);
	ask(ch, "after");
	EQUAL(fsock_shutdown(ch, FSOCK_SHUT_WR), 0);
	EQUAL(fsock_recv(ch, 0, text_buffer, 9, NULL), 0);
	EQUAL(fsock_close(ch), 0);
	/* The program's own port. */
	EQUAL(fsock_bind(ep, 0, 5153, &bound), 0);
	EQUAL(fsock_connect(bound, &peer.sa, sizeof(peer)), 0);
	EQUAL(fsock_send(bound, 0, "half", 4, NULL), 4);
	hand_over(bound);
	EQUAL(fsock_shutdown(bound, FSOCK_SHUT_WR), 0);
	receive(bound, text_buffer, 4);
	EQUAL(fsock_recv(bound, 0, text_buffer, 4, NULL), 0);
	EQUAL(fsock_getopt(bound, FSOCK_LOCAL, &after, &len), 0);
	NEED(linked || ntohs(after.in.sin_port) == 5153);
	EQUAL(fsock_close_ep(ep), 0);
}

/* What cannot move stays as it is. */
static void case_handover_errors(void)
{
	struct fsock_ep *ep = open_ep(), *datagrams;
	struct fsock_channel *ch = fresh(ep), *listener;
	struct iovec parts[FSOCK_PARTS_MAX];
	struct fsock_rxinfo info;
	int ret;

	EQUAL(fsock_handover(NULL), -EINVAL);
	EQUAL(fsock_handover(ch), -ENOTCONN);
	set_time(ch, FSOCK_TX_TIMEOUT, 0);
	ret = fsock_connect(ch, &peer.sa, sizeof(peer));
	NEED(!fast || ret == 0 || (ret == -EINPROGRESS && fsock_handover(ch) == -ENOTCONN));
	EQUAL(fsock_close(ch), 0);
	EQUAL(fsock_bind(ep, 0, 5154, &listener), 0);
	EQUAL(fsock_listen(listener, 5), 0);
	EQUAL(fsock_handover(listener), -ENOTCONN);
	EQUAL(fsock_open(&local.sa, sizeof(local), FSOCK_UDP, &datagrams), 0);
	EQUAL(fsock_bind(datagrams, 0, 0, &ch), 0);
	EQUAL(fsock_handover(ch), -EOPNOTSUPP);
	ch = connected(ep);
	EQUAL(fsock_send(ch, 0, "lent", 4, NULL), 4);
	EQUAL(fsock_recv(ch, FSOCK_RECV_INPLACE, parts, sizeof(parts), &info), 4);
	EQUAL(fsock_handover(ch), fast ? -EBUSY : 0);
	EQUAL(get(ch, FSOCK_ACCELERATED), fast);
	NEED(memcmp(parts[0].iov_base, "lent", 4) == 0);
	EQUAL(fsock_release(ch, &info), 0);
	ask(ch, "released");
	if (fast) { /* from here on without privilege */
		struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
		struct __user_cap_data_struct none[2] = { 0 };

		EQUAL(syscall(SYS_capset, &header, none), 0);
		EQUAL(fsock_handover(ch), -EPERM);
		EQUAL(get(ch, FSOCK_ACCELERATED), 1);
		ask(ch, "as before");
	}
}

/* Bytes in both queues, another thread in a send: the stream goes on whole, to its end. */
static void case_handover_bulk(void)
{
	struct fsock_channel *ch = connected(open_ep());
	static uint8_t block[BLOCK];
	pthread_t thread;
	size_t got = 0;
	ssize_t n;

	EQUAL(pthread_create(&thread, NULL, pour, ch), 0);
	while ((n = fsock_recv(ch, 0, block, sizeof(block), NULL)) > 0) {
		bool moves = got < BULK / 16 && got + (size_t)n >= BULK / 16;

		got = check(&(struct iovec){ block, (size_t)n }, 1, got);
		if (!moves)
			continue;
		while (get(ch, FSOCK_RX_QUEUED) == 0 || get(ch, FSOCK_TX_QUEUED) == 0)
			usleep(100);
		rest("fast");
		hand_over(ch);
		rest("moved");
	}
	EQUAL(n, 0);
	EQUAL(got, BULK);
	EQUAL(pthread_join(thread, NULL), 0);
	rest("done");
}

static void *ask_once(void *arg)
{
	receive(arg, text_buffer, 4);
	EQUAL(fsock_send(arg, 0, text_buffer, 4, NULL), 4);
	return NULL;
}

/* Who sleeps in a receive, or in a group, while it moves is woken by what comes by the kernel. */
static void case_handover_wakes(void)
{
	struct fsock_ep *ep = open_ep();
	struct fsock_channel *slept = connected(ep), *member = connected(ep);
	struct fsock_event event;
	struct fsock_group *g;
	pthread_t thread;
	char c;

	set_time(slept, FSOCK_RX_TIMEOUT, -1);
	EQUAL(pthread_create(&thread, NULL, ask_once, slept), 0);
	usleep(50000);
	hand_over(slept);
	EQUAL(fsock_send(slept, 0, "ball", 4, NULL), 4);
	EQUAL(pthread_join(thread, NULL), 0);
	receive(slept, text_buffer, 4);
	EQUAL(fsock_group_open(&g), 0);
	EQUAL(fsock_group_add(g, member, &c), 0);
	set(member, FSOCK_PAUSED, 1);
	hand_over(member);
	EQUAL(get(member, FSOCK_PAUSED), 1);
	EQUAL(fsock_send(member, 0, "x", 1, NULL), 1);
	EQUAL(fsock_recv(member, FSOCK_RECV_PEEK, &c, 1, NULL), 1);
	EQUAL(fsock_poll(g, &event, 1, 5 * MS), 0);
	set(member, FSOCK_PAUSED, 0);
	EQUAL(fsock_poll(g, &event, 1, 5000 * MS), 1);
	NEED(event.channel == member && event.data == &c && event.events == FSOCK_EVENT_IN);
	EQUAL(fsock_recv(member, 0, &c, 1, NULL), 1);
	EQUAL(fsock_poll(g, &event, 1, 0), 0);
	EQUAL(fsock_group_remove(g, member), 0);
	EQUAL(fsock_group_add(g, member, NULL), 0);
	EQUAL(fsock_group_close(g), 0);
	EQUAL(fsock_close_ep(ep), 0);
}

/* All but those lent from: without a call on them, wherever their program waits for them; at the next look the last one too. */
static void case_follow_policy(void)
{
	struct fsock_ep *ep = open_ep();
	struct fsock_channel *busy = connected(ep), *slept = connected(ep), *member = connected(ep), *lends = connected(ep);
	struct iovec parts[FSOCK_PARTS_MAX];
	struct fsock_rxinfo info;
	struct fsock_event event;
	struct fsock_group *g;
	pthread_t thread;
	char text[200];

	set_time(slept, FSOCK_RX_TIMEOUT, -1);
	EQUAL(pthread_create(&thread, NULL, ask_once, slept), 0);
	EQUAL(fsock_group_open(&g), 0);
	EQUAL(fsock_group_add(g, member, NULL), 0);
	EQUAL(fsock_send(lends, 0, "lent", 4, NULL), 4);
	EQUAL(fsock_recv(lends, FSOCK_RECV_INPLACE, parts, sizeof(parts), &info), 4);
	rest("fast");
	while (get(busy, FSOCK_ACCELERATED))
		ask(busy, "before");
	ask(busy, "after");
	tell_reason(busy, text);
	NEED(strncmp(text, "policy: ", 8) == 0);
	EQUAL(fsock_poll(g, &event, 1, 0), 0);
	EQUAL(fsock_send(member, 0, "x", 1, NULL), 1);
	EQUAL(fsock_poll(g, &event, 1, 5000 * MS), 1);
	NEED(event.channel == member && event.events == FSOCK_EVENT_IN);
	receive(member, text_buffer, 1);
	EQUAL(fsock_send(slept, 0, "ball", 4, NULL), 4);
	EQUAL(pthread_join(thread, NULL), 0);
	receive(slept, text_buffer, 4);
	EQUAL(get(slept, FSOCK_ACCELERATED), 0);
	EQUAL(get(member, FSOCK_ACCELERATED), 0);
	EQUAL(get(lends, FSOCK_ACCELERATED), 1);
	NEED(memcmp(parts[0].iov_base, "lent", 4) == 0);
	EQUAL(fsock_release(lends, &info), 0);
	while (get(lends, FSOCK_ACCELERATED))
		ask(lends, "released");
	ask(lends, "after");
	EQUAL(fsock_group_close(g), 0);
	EQUAL(fsock_close_ep(ep), 0);
	rest("moved");
}

/* Three that wait for accept() when the rule comes: they go on in the kernel, whole. */
static void case_accept_after_policy(void)
{
	struct fsock_channel *from, *ch;
	struct fsock_event event;
	struct fsock_group *g;
	char text[200];
	ssize_t n;

	EQUAL(fsock_bind(open_ep(), 0, 5200, &from), 0);
	EQUAL(fsock_group_open(&g), 0);
	EQUAL(fsock_group_add(g, from, NULL), 0);
	EQUAL(fsock_listen(from, 100), 0);
	rest("ready");
	do {
		tell_reason(from, text);
		EQUAL(fsock_poll(g, &event, 1, 1000 * MS), 1);
	} while (strncmp(text, "policy: ", 8) != 0);
	for (int i = 0; i < 3; i++) {
		EQUAL(fsock_poll(g, &event, 1, 0), 1);
		EQUAL(event.events, FSOCK_EVENT_IN);
		EQUAL(fsock_accept(from, FSOCK_ACCEPT_NONBLOCK, &ch), 0);
		EQUAL(get(ch, FSOCK_ACCELERATED), 0);
		while ((n = fsock_recv(ch, 0, text, sizeof(text), NULL)) > 0)
			EQUAL(fsock_send(ch, 0, text, (size_t)n, NULL), n);
		EQUAL(n, 0);
		EQUAL(fsock_close(ch), 0);
	}
	EQUAL(fsock_accept(from, FSOCK_ACCEPT_NONBLOCK, &ch), -EAGAIN);
	EQUAL(fsock_poll(g, &event, 1, 0), 0);
	rest("accepted");
	set_time(from, FSOCK_RX_TIMEOUT, 5000 * MS);
	EQUAL(fsock_accept(from, 0, &ch), 0);
	tell_reason(ch, text);
	NEED(strncmp(text, "kernel_arrival: ", 16) == 0 || strncmp(text, "policy: ", 8) == 0);
}

/* Its program waits in a group, and calls on nothing. */
static void case_follow_policy_asleep(void)
{
	struct fsock_channel *ch = connected(open_ep());
	struct fsock_event event;
	struct fsock_group *g;
	char c;

	EQUAL(fsock_group_open(&g), 0);
	EQUAL(fsock_group_add(g, ch, NULL), 0);
	fprintf(stderr, "fast\n");
	for (int got = 0; got < 2; got++) { /* the peer says a word before the move, and one after it */
		EQUAL(fsock_poll(g, &event, 1, 20000 * MS), 1);
		EQUAL(fsock_recv(ch, FSOCK_RECV_NONBLOCK, &c, 1, NULL), 1);
		fprintf(stderr, "%c %d\n", c, get(ch, FSOCK_ACCELERATED));
	}
	EQUAL(fsock_send(ch, 0, "z", 1, NULL), 1);
	rest("moved");
}

enum { MANY = 70 };

static void *ask_until_moved(void *arg)
{
	while (get(arg, FSOCK_ACCELERATED))
		ask(arg, "busy");
	return NULL;
}

/* One thread's call moves them while another closes them: whose socket it is by now, it ends. */
static void case_follow_policy_closing(void)
{
	struct fsock_ep *ep = open_ep();
	struct fsock_channel *ch[MANY], *busy = connected(ep);
	int before = descriptors();
	pthread_t thread;

	for (int i = 0; i < MANY; i++)
		ch[i] = connected(ep);
	rest("fast");
	EQUAL(pthread_create(&thread, NULL, ask_until_moved, busy), 0);
	for (int i = 0; i < MANY; i++)
		EQUAL(fsock_close(ch[i]), 0);
	EQUAL(pthread_join(thread, NULL), 0);
	EQUAL(descriptors(), before + 1);
	rest("moved");
}

/* More than have records; then one is left, then none. */
static void case_records(void)
{
	struct fsock_ep *ep = open_ep();
	struct fsock_channel *ch[MANY];

	for (int i = 0; i < MANY; i++)
		ask(ch[i] = connected(ep), "counted");
	usleep(20000);
	EQUAL(fsock_recv(ch[0], FSOCK_RECV_NONBLOCK, text_buffer, 1, NULL), -EAGAIN);
	rest("many");
	for (int i = 1; i < MANY; i++)
		EQUAL(fsock_close(ch[i]), 0);
	set_time(ch[0], FSOCK_RX_TIMEOUT, 100 * MS);
	ask(ch[0], "figures of who sleeps are of now");
	EQUAL(fsock_recv(ch[0], 0, text_buffer, 1, NULL), -ETIMEDOUT);
	rest("one");
	hand_over(ch[0]);
	rest("none");
	EQUAL(fsock_close_ep(ep), 0);
}

/* One thread's call moves them while another puts them into a group, which then tells what has come. */
static void case_follow_policy_joining(void)
{
	struct fsock_ep *ep = open_ep();
	struct fsock_channel *ch[MANY], *busy = connected(ep);
	struct fsock_event event;
	bool told[MANY] = { false };
	struct fsock_group *g;
	pthread_t thread;

	EQUAL(fsock_group_open(&g), 0);
	for (int i = 0; i < MANY; i++) {
		ch[i] = connected(ep);
		EQUAL(fsock_send(ch[i], 0, "x", 1, NULL), 1);
		EQUAL(fsock_recv(ch[i], FSOCK_RECV_PEEK, text_buffer, 1, NULL), 1);
	}
	rest("fast");
	EQUAL(pthread_create(&thread, NULL, ask_until_moved, busy), 0);
	for (int i = 0; i < MANY; i++) {
		usleep(100); /* so that the move finds some in the group, and some not */
		EQUAL(fsock_group_add(g, ch[i], &told[i]), 0);
	}
	EQUAL(pthread_join(thread, NULL), 0);
	for (int left = MANY; left > 0;) {
		EQUAL(fsock_poll(g, &event, 1, 5000 * MS), 1);
		NEED(event.events & FSOCK_EVENT_IN);
		left -= !*(bool *)event.data;
		*(bool *)event.data = true;
		EQUAL(fsock_recv(event.channel, FSOCK_RECV_NONBLOCK, text_buffer, 1, NULL), 1);
	}
	EQUAL(fsock_group_close(g), 0);
	EQUAL(fsock_close_ep(ep), 0);
	rest("moved");
}

const struct native_case native_moves[] = {
	{ "handover", case_handover },
	{ "handover_errors", case_handover_errors },
	{ "handover_bulk", case_handover_bulk },
	{ "handover_wakes", case_handover_wakes },
	{ "records", case_records },
	{ "accept_after_policy", case_accept_after_policy },
	{ "follow_policy", case_follow_policy },
	{ "follow_policy_asleep", case_follow_policy_asleep },
	{ "follow_policy_closing", case_follow_policy_closing },
	{ "follow_policy_joining", case_follow_policy_joining },
	{ NULL, NULL },
};
