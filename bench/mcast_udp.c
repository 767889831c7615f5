/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mcast_udp.c - one sender and several receivers of a group, on ordinary sockets. It knows nothing of
 * fsock; bench/run starts it on kernel sockets and under the preload.
 *
 *      mcast_udp recv GROUP PORT INTERFACE RECEIVERS [spin]   until a signal
 *      mcast_udp send GROUP PORT INTERFACE SECONDS SIZE
 *
 * The receivers are sockets of one process, each a member; they wait in poll(), or with spin look again
 * and again. The last line on stdout is JSON: recv tells what each socket received.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { RECEIVERS_MAX = 16, LONGEST = 9000, TURN = 64 };

static volatile sig_atomic_t ended;

static void end(int number)
{
	(void)number;
	ended = 1;
}

static void die(const char *what)
{
	fprintf(stderr, "mcast_udp: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static struct sockaddr_in name_of(const char *address, const char *port)
{
	struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)) };

	if (inet_pton(AF_INET, address, &name.sin_addr) != 1)
		die(address);
	return name;
}

static int open_socket(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (fd < 0)
		die("socket");
	return fd;
}

static int open_member(const struct sockaddr_in *group, unsigned ifindex)
{
	struct ip_mreqn req = { .imr_multiaddr = group->sin_addr, .imr_ifindex = (int)ifindex };
	int fd = open_socket(), on = 1, room = 4 << 20;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	if (bind(fd, (const struct sockaddr *)group, sizeof(*group)) < 0)
		die("bind");
	if (setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &req, sizeof(req)) < 0)
		die("IP_ADD_MEMBERSHIP");
	return fd;
}

/* Up to TURN datagrams of one socket; how many. */
static unsigned drain(int fd)
{
	static char buf[LONGEST];
	unsigned n = 0;

	while (n < TURN && recv(fd, buf, sizeof(buf), MSG_DONTWAIT) >= 0)
		n++;
	return n;
}

static void receive(const struct sockaddr_in *group, unsigned ifindex, int n, bool spin)
{
	struct pollfd fds[RECEIVERS_MAX];
	uint64_t count[RECEIVERS_MAX] = { 0 };

	for (int i = 0; i < n; i++)
		fds[i] = (struct pollfd){ .fd = open_member(group, ifindex), .events = POLLIN };
	fprintf(stderr, "ready\n");
	while (!ended) {
		if (!spin && poll(fds, (nfds_t)n, 1000) <= 0)
			continue;
		for (int i = 0; i < n; i++)
			if (spin || fds[i].revents)
				count[i] += drain(fds[i].fd);
	}
	printf("{\"received\": [");
	for (int i = 0; i < n; i++)
		printf("%s%llu", i ? ", " : "", (unsigned long long)count[i]);
	printf("]}\n");
}

static void send_all(const struct sockaddr_in *group, unsigned ifindex, int seconds, size_t size)
{
	static const char buf[LONGEST];
	struct ip_mreqn by = { .imr_ifindex = (int)ifindex };
	double began = seconds_now(), now = began;
	uint64_t sent = 0, refused = 0;
	int fd = open_socket();

	if (setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &by, sizeof(by)) < 0)
		die("IP_MULTICAST_IF");
	while (!ended && now < began + seconds) {
		for (int i = 0; i < TURN; i++) {
			if (sendto(fd, buf, size, 0, (const struct sockaddr *)group, sizeof(*group)) >= 0)
				sent++;
			else
				refused++;
		}
		now = seconds_now();
	}
	printf("{\"sent\": %llu, \"refused\": %llu, \"seconds\": %.6f}\n", (unsigned long long)sent,
	       (unsigned long long)refused, now - began);
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = end };
	struct sockaddr_in group;
	unsigned ifindex;

	if (argc < 6) {
		fprintf(stderr, "usage: mcast_udp recv GROUP PORT INTERFACE RECEIVERS [spin]\n"
				"       mcast_udp send GROUP PORT INTERFACE SECONDS SIZE\n");
		return 2;
	}
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	group = name_of(argv[2], argv[3]);
	ifindex = if_nametoindex(argv[4]);
	if (!strcmp(argv[1], "recv") && atoi(argv[5]) >= 1 && atoi(argv[5]) <= RECEIVERS_MAX)
		receive(&group, ifindex, atoi(argv[5]), argc > 6 && !strcmp(argv[6], "spin"));
	else if (!strcmp(argv[1], "send") && argc > 6 && atoi(argv[6]) >= 0 && atoi(argv[6]) <= LONGEST)
		send_all(&group, ifindex, atoi(argv[5]), (size_t)atoi(argv[6]));
	else
		return 2;
	return 0;
}
