/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * events.c - channels in an event loop that is not fsock's: epoll waits for standard input and for a
 * group of channels, by the group's one descriptor.
 *
 *     events ADDRESS PORT PORT...
 *
 * A line is printed for each datagram. The program ends when standard input does.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fsock/fsock.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static void die(const char *what, int error)
{
	fprintf(stderr, "events: %s: %s\n", what, strerror(-error));
	exit(1);
}

/* The rule of fsock_group_fd(): look until there is nothing, only then wait for the descriptor again. */
static void serve(struct fsock_group *group)
{
	struct fsock_event events[16];
	struct fsock_datagram d;
	int n;

	while ((n = fsock_poll(group, events, 16, 0)) > 0) {
		for (int i = 0; i < n; i++) {
			if (fsock_recv_batch(events[i].channel, FSOCK_RECV_NONBLOCK, &d, 1) != 1)
				continue;
			printf("%s: %.*s\n", (char *)events[i].data, (int)d.part[0].iov_len,
			       (char *)d.part[0].iov_base);
			fsock_release(events[i].channel, &d.info);
		}
	}
	fflush(stdout);
	if (n < 0 && n != -EINTR)
		die("poll", n);
}

static void watch(int epfd, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	if (epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &event) < 0)
		die("epoll", -errno);
}

/* True: it has ended. */
static bool read_input(void)
{
	char buf[100];

	return read(STDIN_FILENO, buf, sizeof(buf)) <= 0;
}

static void add_channels(struct fsock_ep *ep, struct fsock_group *group, char **ports)
{
	for (; *ports; ports++) {
		struct fsock_channel *ch;
		int ret = fsock_bind(ep, FSOCK_BIND_DEFAULT, (uint16_t)atoi(*ports), &ch);

		if (ret == 0)
			ret = fsock_group_add(group, ch, *ports);
		if (ret < 0)
			die(*ports, ret);
	}
}

int main(int argc, char **argv)
{
	union fsock_addr local = { .in.sin_family = AF_INET };
	int epfd = epoll_create1(EPOLL_CLOEXEC), group_fd, ret;
	struct fsock_group *group = NULL;
	struct fsock_ep *ep = NULL;
	bool ended = false;

	if (argc < 3 || inet_pton(AF_INET, argv[1], &local.in.sin_addr) != 1) {
		fprintf(stderr, "usage: events ADDRESS PORT PORT...\n");
		return 2;
	}
	ret = fsock_init(FSOCK_API_VERSION);
	if (ret == 0)
		ret = fsock_open(&local.sa, sizeof(local.in), FSOCK_UDP, &ep);
	if (ret == 0)
		ret = fsock_group_open(&group);
	if (ret < 0)
		die("start", ret);
	add_channels(ep, group, argv + 2);
	group_fd = fsock_group_fd(group);
	if (group_fd < 0)
		die("descriptor", group_fd);
	watch(epfd, group_fd);
	watch(epfd, STDIN_FILENO);
	fprintf(stderr, "ready\n");

	while (!ended) {
		struct epoll_event event;

		if (epoll_wait(epfd, &event, 1, -1) < 0)
			continue; /* a signal */
		if (event.data.fd == group_fd)
			serve(group);
		else
			ended = read_input();
	}
	fsock_group_close(group);
	fsock_close_ep(ep);
	fsock_fini();
	return 0;
}
