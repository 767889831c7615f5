/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stream.c - an echo server over TCP: many connections, one thread, bytes sent back from where they lie.
 *
 *     stream ADDRESS PORT
 *
 * Endpoint, listener, group; a connection that has no room for an answer keeps the piece it received until it has.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fsock/fsock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct client {
	struct fsock_channel *ch;
	struct iovec parts[FSOCK_PARTS_MAX]; /* a piece on its way back; info.held tells whether there is one */
	struct fsock_rxinfo info;
	unsigned part;			     /* of it, the next to be sent */
	size_t sent;			     /* bytes of that */
	int paused;
};

static void die(const char *what, int error)
{
	fprintf(stderr, "stream: %s: %s\n", what, strerror(-error));
	exit(1);
}

static struct fsock_channel *listener(const char *address, uint16_t port)
{
	union fsock_addr local = { .in.sin_family = AF_INET };
	struct fsock_channel *ch = NULL;
	struct fsock_ep *ep;
	int ret, on = 1;

	if (inet_pton(AF_INET, address, &local.in.sin_addr) != 1) {
		local.in6.sin6_family = AF_INET6;
		if (inet_pton(AF_INET6, address, &local.in6.sin6_addr) != 1)
			die(address, -EINVAL);
	}
	ret = fsock_open(&local.sa, sizeof(local), FSOCK_TCP, &ep);
	if (ret == 0)
		ret = fsock_bind(ep, FSOCK_BIND_DEFAULT, port, &ch);
	if (ret == 0)
		ret = fsock_setopt(ch, FSOCK_NODELAY, &on, sizeof(on)); /* of all that it accepts */
	if (ret == 0)
		ret = fsock_listen(ch, 4096);
	if (ret < 0)
		die("listener", ret);
	return ch;
}

static void accept_all(struct fsock_channel *from, struct fsock_group *group)
{
	struct fsock_channel *ch;

	while (fsock_accept(from, FSOCK_ACCEPT_NONBLOCK, &ch) == 0) {
		struct client *c = calloc(1, sizeof(*c));

		if (!c)
			die("client", -ENOMEM);
		c->ch = ch;
		if (fsock_group_add(group, ch, c) < 0) {
			fsock_close(ch);
			free(c);
		}
	}
}

/* The group is not to tell what we cannot take. */
static void pause_client(struct client *c, int on)
{
	fsock_setopt(c->ch, FSOCK_PAUSED, &on, sizeof(on));
}

/* What is left of the piece. 1: all is sent and released; 0: there is no room now; -errno. */
static int give_back(struct client *c)
{
	while (c->part < c->info.parts) {
		const struct iovec *at = &c->parts[c->part];
		ssize_t n = fsock_send(c->ch, FSOCK_SEND_NONBLOCK, (char *)at->iov_base + c->sent, at->iov_len - c->sent,
				       NULL);

		if (n < 0)
			return n == -EAGAIN ? 0 : (int)n;
		c->sent += (size_t)n;
		if (c->sent < at->iov_len)
			continue;
		c->part++;
		c->sent = 0;
	}
	c->part = 0;
	fsock_release(c->ch, &c->info);
	return 1;
}

/* False: the connection is over. */
static int serve(struct client *c)
{
	for (;;) {
		ssize_t n;
		int ret = c->info.held ? give_back(c) : 1;

		if (ret == 0 && !c->paused)
			pause_client(c, c->paused = 1);
		if (ret <= 0)
			return ret == 0;
		if (c->paused)
			pause_client(c, c->paused = 0);
		n = fsock_recv(c->ch, FSOCK_RECV_INPLACE | FSOCK_RECV_NONBLOCK, c->parts, sizeof(c->parts), &c->info);
		if (n <= 0)
			return n == -EAGAIN;
	}
}

int main(int argc, char **argv)
{
	struct fsock_event events[64];
	struct fsock_channel *from;
	struct fsock_group *group;
	char reason[200];
	size_t len = sizeof(reason);
	int n;

	if (argc != 3) {
		fprintf(stderr, "usage: stream ADDRESS PORT\n");
		return 2;
	}
	n = fsock_init(FSOCK_API_VERSION);
	if (n < 0)
		die("fsock", n);
	from = listener(argv[1], (uint16_t)atoi(argv[2]));
	if (fsock_group_open(&group) < 0 || fsock_group_add(group, from, NULL) < 0)
		die("group", -ENOMEM);
	if (fsock_getopt(from, FSOCK_REASON, reason, &len) == 0)
		fprintf(stderr, "stream: ready, %s\n", reason);
	while ((n = fsock_poll(group, events, 64, -1)) >= 0 || n == -EINTR) {
		for (int i = 0; i < n; i++) {
			struct client *c = events[i].data;

			if (!c) {
				accept_all(from, group);
			} else if (!serve(c)) {
				fsock_close(c->ch);
				free(c);
			}
		}
	}
	die("poll", n);
}
