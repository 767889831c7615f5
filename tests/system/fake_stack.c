/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fake_stack.c - a process that looks as if a stack lived in it, for test_cli.py.
 *
 * fake_stack [BREAK]     make the memfd, print "ready", wait for the end of standard input. A
 *                        newline there adds to the counters. BREAK spoils the head: magic,
 *                        version, offset, short, socks; none: the memfd is closed.
 * fake_stack --report N  append N socket records to FSOCK_REPORT_FD and end with status 3, as a
 *                        program under `fsock why --` does; --report-env prints the fsock
 *                        variables.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/counter.h"
#include "base/reason.h"
#include "stats/format/stats.h"

enum { MAX_SOCKS = 8 };

struct segment {
	struct stats_head head;
	uint64_t counters[FS_CTR_N];
	struct stats_port ports[STATS_MAX_PORTS];
	struct stats_link links[STATS_MAX_LINKS];
	struct stats_sock socks[MAX_SOCKS];
};

extern char **environ;

static void put_v4(uint8_t to[16], const char *text)
{
	to[10] = to[11] = 0xff;
	if (inet_pton(AF_INET, text, to + 12) != 1)
		abort();
}

static void fill_socks(struct stats_sock *s)
{
	s[0] = (struct stats_sock){ .cookie = 101,
				    .family = AF_INET,
				    .protocol = IPPROTO_UDP,
				    .accelerated = 1,
				    .fd = 5,
				    .pid = (uint32_t)getpid(),
				    .local_port = 5000,
				    .remote_port = 6000,
				    .rx_fast = 990,
				    .rx_kernel = 10,
				    .tx_fast = 1000,
				    .rx_bytes = 64000,
				    .drops = 3 };
	put_v4(s[0].local, "10.0.0.1");
	put_v4(s[0].remote, "10.0.0.2");
	s[1] = (struct stats_sock){ .cookie = 102,
				    .family = AF_INET6,
				    .protocol = IPPROTO_UDP,
				    .reason = FS_REASON_bypass,
				    .fd = 6,
				    .pid = (uint32_t)getpid(),
				    .port_index = 0xff,
				    .local_port = 53,
				    .tx_kernel = 7,
				    .detail = "udp:53\033[31m" };
	s[1].local[15] = 1;
	/* s[2] stays unused: cookie 0 */
	s[3] = (struct stats_sock){ .cookie = 104,
				    .family = AF_INET,
				    .protocol = IPPROTO_TCP,
				    .reason = 250,
				    .fd = -1,
				    .pid = (uint32_t)getpid(),
				    .port_index = 0xff };
}

static void fill(struct segment *s)
{
	s->head = (struct stats_head){
		.magic = STATS_MAGIC,
		.version = STATS_VERSION,
		.head_bytes = sizeof(*s),
		.stack_id = 1,
		.owner_pid = (uint32_t)getpid(),
		.created_ns = 1,
		.comm = "fake_stack",
		.profile = "latency",
		.n_counters = FS_CTR_N,
		.counters_offset = offsetof(struct segment, counters),
		.n_ports = 1,
		.ports_offset = offsetof(struct segment, ports),
		.n_socks = 4,
		.max_socks = MAX_SOCKS,
		.socks_offset = offsetof(struct segment, socks),
		.links_offset = offsetof(struct segment, links),
		.procs = { (uint32_t)getpid() },
	};
	s->counters[FS_CTR_rx_datagrams] = 990;
	/* Beyond what a double holds exactly. */
	s->counters[FS_CTR_rx_bytes] = (1ULL << 60) + 1;
	s->counters[FS_CTR_drop_udp_rcvbuf] = 3;
	s->ports[0] = (struct stats_port){ .ifindex = 4,
					   .queues = 1,
					   .rx_queues = 2,
					   .note = "the option queues says so",
					   .ifname = "veth0",
					   .provider = "xdp",
					   .mode = "generic",
					   .owner_pid = (uint32_t)getpid(),
					   .frames_total = 4096,
					   .frames_free = 4000,
					   .counter = { 990, 63360, 1000, 64000 } };
	fill_socks(s->socks);
}

/* A link that ended, one with a connection, and a listener for more. */
static void fill_links(struct segment *s)
{
	s->head.n_links = 2;
	s->links[1] = (struct stats_link){ .serial = 7, .peer_pid = 4711, .connections = 3, .listened = 1, .beyond = 1,
					   .rx_bytes = (1ULL << 60) + 1, .tx_bytes = 5000,
					   .shared_bytes = 1 << 28, .ring_bytes = 1 << 17 };
	s->head.n_socks = 6;
	s->socks[4] = (struct stats_sock){ .cookie = 105, .family = AF_INET, .protocol = IPPROTO_TCP, .accelerated = 1,
					   .fd = 7, .pid = (uint32_t)getpid(), .port_index = 0xff, .local_port = 80,
					   .remote_port = 40000, .state = 8, .link = 2, .peer_pid = 4711,
					   .queued_bytes = 11, .unread_bytes = 22, .rx_bytes = 333, .tx_bytes = 444 };
	put_v4(s->socks[4].local, "127.0.0.1");
	put_v4(s->socks[4].remote, "127.0.0.2");
	s->socks[5] = (struct stats_sock){ .cookie = 106, .family = AF_INET, .protocol = IPPROTO_TCP,
					   .reason = FS_REASON_loopback, .fd = 8, .pid = (uint32_t)getpid(),
					   .port_index = 0xff, .local_port = 80, .state = 10, .link = STATS_ANY_LINK,
					   .queued_frames = 2, .unread_bytes = 128 };
}

static void spoil(struct segment *s, const char *how, int fd)
{
	if (strcmp(how, "magic") == 0)
		s->head.magic = 1;
	else if (strcmp(how, "version") == 0)
		s->head.version = 999;
	else if (strcmp(how, "offset") == 0)
		s->head.socks_offset = UINT32_MAX - 7;
	else if (strcmp(how, "socks") == 0)
		s->head.n_socks = UINT32_MAX;
	else if (strcmp(how, "links") == 0)
		s->head.n_links = STATS_MAX_LINKS + 1;
	else if (strcmp(how, "none") == 0)
		close(fd);
	else if (strcmp(how, "short") != 0 || ftruncate(fd, 100) < 0)
		abort();
}

static int report(int n)
{
	const char *fd = getenv(STATS_REPORT_ENV);
	struct stats_sock socks[MAX_SOCKS] = { 0 };

	if (!fd)
		return 2;
	fill_socks(socks);
	for (int i = 0; i < n && i < 2; i++) {
		if (write(atoi(fd), &socks[i], sizeof(socks[i])) != (ssize_t)sizeof(socks[i]))
			return 2;
	}
	return 3;
}

static int print_environment(void)
{
	for (char **e = environ; *e; e++) {
		if (strncmp(*e, "FSOCK_", 6) == 0 || strncmp(*e, "LD_PRELOAD=", 11) == 0)
			puts(*e);
	}
	return 0;
}

int main(int argc, char **argv)
{
	int fd = memfd_create(STATS_MEMFD_PREFIX "1", MFD_CLOEXEC), c;
	struct segment *s;

	if (argc > 2 && strcmp(argv[1], "--report") == 0)
		return report(atoi(argv[2]));
	if (argc > 1 && strcmp(argv[1], "--report-env") == 0)
		return print_environment();
	if (fd < 0 || ftruncate(fd, sizeof(*s)) < 0)
		return 2;
	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (s == MAP_FAILED)
		return 2;
	fill(s);
	if (argc > 1 && strcmp(argv[1], "linked") == 0)
		fill_links(s);
	else if (argc > 1)
		spoil(s, argv[1], fd);
	puts("ready");
	fflush(stdout);
	while ((c = getchar()) != EOF) {
		s->counters[FS_CTR_rx_datagrams] += 1000;
		s->socks[0].rx_fast += 1000;
	}
	return 0;
}
