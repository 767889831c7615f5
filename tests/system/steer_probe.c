/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * steer_probe.c - drives src/steer by commands on standard input, one line of JSON per answer.
 *
 *	steer_probe INTERFACE generic|native|tap|tap-clsact auto|none|tcx|clsact [QUEUES]
 *	steer_probe INTERFACE generic|native foreign
 *
 * The first form opens steering and answers {"open":0,...}; the second attaches a program that is not
 * ours and sleeps. test_steer.py makes the frames and judges the answers.
 *
 * Does not: use the provider: its own AF_XDP socket is as small as possible, one queue, no wake-ups. For
 * the tap it has two packet sockets without a ring in that place.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "steer/bpf_sys.h"
#include "steer/steer.h"
#include "steer/tap.h"

enum { CHUNK = 4096, CHUNKS = 128, RING = 64, MAX_WORDS = 16, NS_PER_MS = 1000000 };

#ifndef XDP_USE_SG /* headers before Linux 6.6 */
#define XDP_USE_SG (1 << 4)
#define XDP_PKT_CONTD (1 << 0)
#endif

struct ring {
	uint32_t *producer, *consumer;
	void *entries;
};

/* One AF_XDP socket: chunks 0 .. RING-1 receive, the next RING transmit. */
struct xsk {
	int fd;
	uint32_t queue;
	uint8_t *memory;
	struct ring rx, tx, fill, completion;
};

struct probe {
	struct steer steer;
	struct steer_open_args args;
	char why[160];
	struct xsk xsk[STEER_MAX_QUEUES];
	int tap[2]; /* packet sockets for IPv4 and IPv6 */
};

_Noreturn void fs_assert_failed(const char *expression, const char *file, int line)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, expression);
	abort();
}

static int answer(int ret)
{
	printf("{\"ret\":%d}\n", ret);
	return ret;
}

static fs_ns now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (fs_ns)t.tv_sec * 1000 * NS_PER_MS + t.tv_nsec;
}

/* --- AF_XDP --- */

static int ring_map(struct ring *ring, int fd, const struct xdp_ring_offset *at, size_t entry,
		    off_t offset)
{
	char *p = mmap(NULL, at->desc + RING * entry, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
		       fd, offset);

	if (p == MAP_FAILED)
		return -errno;
	ring->producer = (uint32_t *)(void *)(p + at->producer);
	ring->consumer = (uint32_t *)(void *)(p + at->consumer);
	ring->entries = p + at->desc;
	return 0;
}

static int rings_map(struct xsk *x)
{
	struct xdp_mmap_offsets at;
	socklen_t len = sizeof(at);

	if (getsockopt(x->fd, SOL_XDP, XDP_MMAP_OFFSETS, &at, &len) < 0)
		return -errno;
	if (ring_map(&x->rx, x->fd, &at.rx, sizeof(struct xdp_desc), XDP_PGOFF_RX_RING) < 0 ||
	    ring_map(&x->tx, x->fd, &at.tx, sizeof(struct xdp_desc), XDP_PGOFF_TX_RING) < 0 ||
	    ring_map(&x->fill, x->fd, &at.fr, sizeof(uint64_t), XDP_UMEM_PGOFF_FILL_RING) < 0 ||
	    ring_map(&x->completion, x->fd, &at.cr, sizeof(uint64_t),
		     (off_t)XDP_UMEM_PGOFF_COMPLETION_RING) < 0)
		return -errno;
	return 0;
}

static void fill_put(struct xsk *x, uint64_t chunk)
{
	uint32_t at = *x->fill.producer;

	((uint64_t *)x->fill.entries)[at % RING] = chunk;
	__atomic_store_n(x->fill.producer, at + 1, __ATOMIC_RELEASE);
}

static int xsk_open(struct probe *p, uint32_t queue)
{
	struct xsk *x = &p->xsk[queue];
	struct xdp_umem_reg reg = { .len = CHUNK * CHUNKS, .chunk_size = CHUNK };
	struct sockaddr_xdp addr = { .sxdp_family = AF_XDP,
				     .sxdp_flags = XDP_COPY | XDP_USE_SG,
				     .sxdp_ifindex = p->args.ifindex,
				     .sxdp_queue_id = queue };
	const int size = RING;
	int ret;

	x->queue = queue;
	x->memory = mmap(NULL, CHUNK * CHUNKS, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	reg.addr = (uintptr_t)x->memory;
	x->fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (x->fd < 0)
		return -errno;
	if (setsockopt(x->fd, SOL_XDP, XDP_UMEM_REG, &reg, sizeof(reg)) < 0 ||
	    setsockopt(x->fd, SOL_XDP, XDP_UMEM_FILL_RING, &size, sizeof(size)) < 0 ||
	    setsockopt(x->fd, SOL_XDP, XDP_UMEM_COMPLETION_RING, &size, sizeof(size)) < 0 ||
	    setsockopt(x->fd, SOL_XDP, XDP_RX_RING, &size, sizeof(size)) < 0 ||
	    setsockopt(x->fd, SOL_XDP, XDP_TX_RING, &size, sizeof(size)) < 0)
		return -errno;
	ret = rings_map(x);
	if (ret < 0)
		return ret;
	for (uint64_t i = 0; i < RING; i++)
		fill_put(x, i * CHUNK);
	ret = bind(x->fd, (struct sockaddr *)&addr, sizeof(addr));
	if (ret < 0 && errno == EINVAL) { /* kernel without multi-buffer sockets */
		addr.sxdp_flags = XDP_COPY;
		ret = bind(x->fd, (struct sockaddr *)&addr, sizeof(addr));
	}
	if (ret < 0)
		return -errno;
	return steer_set_xsk(&p->steer, queue, x->fd);
}

/* --- packet sockets --- */

static int tap_open(struct probe *p)
{
	static const uint16_t protocols[] = { ETH_P_IP, ETH_P_IPV6 };

	for (int i = 0; i < 2; i++) {
		struct sockaddr_ll addr = { .sll_family = AF_PACKET,
					    .sll_protocol = htons(protocols[i]),
					    .sll_ifindex = (int)p->args.ifindex };

		p->tap[i] = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
		if (p->tap[i] < 0 || steer_tap_filter(p->tap[i]) < 0 ||
		    bind(p->tap[i], (struct sockaddr *)&addr, sizeof(addr)) < 0)
			return -errno;
	}
	return 0;
}

static void tap_take(struct probe *p, int ms)
{
	static uint8_t frame[65536];
	struct pollfd fds[] = { { .fd = p->tap[0], .events = POLLIN },
				{ .fd = p->tap[1], .events = POLLIN } };
	const char *comma = "";

	poll(fds, 2, ms);
	printf("{\"frames\":[");
	for (int i = 0; i < 2; i++) {
		ssize_t len;

		while ((len = recv(p->tap[i], frame, sizeof(frame), MSG_DONTWAIT)) >= 0) {
			printf("%s\"", comma);
			for (ssize_t at = 0; at < len; at++)
				printf("%02x", frame[at]);
			printf("\"");
			comma = ",";
		}
	}
	steer_heartbeat(p->steer.shared, 0, now());
	printf("]}\n");
}

/* Print the frames of a queue as hex strings; waits up to @ms for the first. */
static void take(struct probe *p, uint32_t queue, int ms)
{
	struct xsk *x = &p->xsk[queue];
	struct pollfd fd = { .fd = x->fd, .events = POLLIN };
	uint32_t at = *x->rx.consumer;
	const char *comma = "";
	bool inside = false;

	poll(&fd, 1, ms);
	printf("{\"frames\":[");
	while (at != __atomic_load_n(x->rx.producer, __ATOMIC_ACQUIRE)) {
		const struct xdp_desc *d = &((struct xdp_desc *)x->rx.entries)[at++ % RING];

		if (!inside)
			printf("%s\"", comma);
		for (uint32_t i = 0; i < d->len; i++)
			printf("%02x", x->memory[d->addr + i]);
		inside = d->options & XDP_PKT_CONTD;
		if (!inside)
			printf("\"");
		comma = ",";
		fill_put(x, d->addr / CHUNK * CHUNK);
	}
	__atomic_store_n(x->rx.consumer, at, __ATOMIC_RELEASE);
	steer_heartbeat(p->steer.shared, queue, now());
	printf("]}\n");
}

static int transmit(struct xsk *x, const char *hex)
{
	uint32_t at = *x->tx.producer, len = (uint32_t)strlen(hex) / 2;
	struct xdp_desc *d = &((struct xdp_desc *)x->tx.entries)[at % RING];
	uint64_t chunk = (RING + at % RING) * (uint64_t)CHUNK;

	for (uint32_t i = 0; i < len; i++)
		sscanf(hex + 2 * i, "%2hhx", &x->memory[chunk + i]);
	*d = (struct xdp_desc){ .addr = chunk, .len = len };
	__atomic_store_n(x->tx.producer, at + 1, __ATOMIC_RELEASE);
	*x->completion.consumer = __atomic_load_n(x->completion.producer, __ATOMIC_ACQUIRE);
	return sendto(x->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 ? -errno : 0;
}

/* --- commands --- */

static struct ip_addr addr_of(const char *text)
{
	uint8_t b[16];

	if (inet_pton(AF_INET, text, b) == 1)
		return ip_addr_v4(b);
	if (inet_pton(AF_INET6, text, b) == 1)
		return ip_addr_v6(b);
	return (struct ip_addr){ 0 };
}

static uint8_t protocol_of(const char *text)
{
	return strcmp(text, "udp") == 0 ? IPPROTO_UDP : strcmp(text, "tcp") == 0 ? IPPROTO_TCP : 99;
}

/* port add|remove PROTO both|v4|v6|ADDRESS PORT */
static int do_port(struct probe *p, char **w)
{
	struct steer_port port = { .protocol = protocol_of(w[2]), .port = (uint16_t)atoi(w[4]) };

	if (strcmp(w[3], "both") == 0)
		port.wild = STEER_WILD_BOTH;
	else if (strcmp(w[3], "v4") == 0)
		port.wild = STEER_WILD_V4;
	else if (strcmp(w[3], "v6") == 0)
		port.wild = STEER_WILD_V6;
	else
		port.local = addr_of(w[3]);
	return strcmp(w[1], "add") == 0 ? steer_port_add(&p->steer, &port)
					: steer_port_remove(&p->steer, &port);
}

/* flow add|remove PROTO LOCAL LPORT REMOTE RPORT [stack|kernel|drop] */
static int do_flow(struct probe *p, char **w)
{
	const struct steer_flow flow = { .protocol = protocol_of(w[2]),
					 .local = addr_of(w[3]),
					 .local_port = (uint16_t)atoi(w[4]),
					 .remote = addr_of(w[5]),
					 .remote_port = (uint16_t)atoi(w[6]) };
	enum steer_flow_verdict verdict = STEER_FLOW_DROP;

	if (strcmp(w[1], "add") != 0)
		return steer_flow_remove(&p->steer, &flow);
	if (strcmp(w[7], "stack") == 0)
		verdict = STEER_FLOW_STACK;
	else if (strcmp(w[7], "kernel") == 0)
		verdict = STEER_FLOW_KERNEL;
	return steer_flow_add(&p->steer, &flow, verdict);
}

static int do_local(struct probe *p, char **w)
{
	struct ip_addr addrs[MAX_WORDS];
	unsigned n = 0;

	for (w++; *w; w++)
		addrs[n++] = addr_of(*w);
	return steer_set_local(&p->steer, addrs, n);
}

static void do_mac(struct probe *p, const char *text)
{
	struct eth_addr mac;

	sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac.b[0], &mac.b[1], &mac.b[2], &mac.b[3],
	       &mac.b[4], &mac.b[5]);
	steer_set_mac(&p->steer, &mac);
}

static void do_stats(const struct probe *p)
{
	struct steer_counts c;

	steer_stats(p->steer.shared, &c);
	printf("{\"redirected\":%llu,\"passed_stale\":%llu,\"passed_partial\":%llu,"
	       "\"passed_kernel_owned\":%llu,\"passed_verdict\":%llu,\"passed_not_local\":%llu,"
	       "\"passed_no_queue\":%llu,\"dropped_no_queue\":%llu,\"dropped_verdict\":%llu,"
	       "\"guard_dropped\":%llu,\"answered_ns\":%llu}\n",
	       c.redirected, c.passed_stale, c.passed_partial, c.passed_kernel_owned, c.passed_verdict,
	       c.passed_not_local, c.passed_no_queue, c.dropped_no_queue, c.dropped_verdict,
	       c.guard_dropped, p->steer.shared->beat[0].taken_ns);
}

/*
 * fork idle	a child that inherits everything and does nothing, as after a raw clone()
 * fork proper	a child that called steer_fork_child() without maps
 * fork rules	a child that kept the maps; it adds a UDP port entry for 7777 and ends
 */
static void do_fork(struct probe *p, const char *kind)
{
	const struct steer_port port = { .protocol = IPPROTO_UDP, .wild = STEER_WILD_BOTH, .port = 7777 };
	bool idle = strcmp(kind, "idle") == 0;
	pid_t pid = fork();

	if (pid == 0) {
		if (strcmp(kind, "rules") == 0) {
			steer_fork_child(&p->steer, true);
			_exit(steer_port_add(&p->steer, &port) == 0 ? 0 : 1);
		}
		if (!idle)
			steer_fork_child(&p->steer, false);
		if (!idle)
			close(p->xsk[0].fd), close(p->tap[0]), close(p->tap[1]);
		for (;;)
			pause();
	}
	printf("{\"pid\":%d}\n", pid);
}

/* What a process that shares no memory does: take descriptors, map, add a rule (UDP 7778), close. */
static int do_join(struct probe *p)
{
	const struct steer_port port = { .protocol = IPPROTO_UDP, .wild = STEER_WILD_BOTH, .port = 7778 };
	struct steer joined;
	int fd[STEER_N_FDS], ret;

	for (unsigned i = 0; i < STEER_N_FDS; i++)
		fd[i] = i < STEER_FD_LINK ? dup(p->steer.fd[i]) : -1;
	ret = steer_join(&joined, p->args.ifindex, fd, NULL);
	if (ret == 0)
		ret = steer_port_add(&joined, &port);
	steer_close(&joined);
	return ret;
}

static int do_open(struct probe *p)
{
	int ret = steer_open(&p->steer, &p->args);
	int lowest = 0x7fffffff;

	for (unsigned i = 0; i < STEER_N_FDS; i++)
		if (p->steer.fd[i] >= 0 && p->steer.fd[i] < lowest)
			lowest = p->steer.fd[i];
	printf("{\"open\":%d,\"guard\":%d,\"tap\":%d,\"lowest_fd\":%d,\"why\":\"%s\"}\n", ret, p->steer.guard,
	       p->steer.tap, lowest, p->why);
	return ret;
}

static int command(struct probe *p, char **w)
{
	if (strcmp(w[0], "xsk") == 0)
		return answer(p->args.tap ? tap_open(p) : xsk_open(p, (uint32_t)atoi(w[1])));
	if (strcmp(w[0], "unxsk") == 0)
		return answer(steer_set_xsk(&p->steer, (uint32_t)atoi(w[1]), -1));
	if (strcmp(w[0], "rexsk") == 0)
		return answer(steer_set_xsk(&p->steer, (uint32_t)atoi(w[1]), p->xsk[atoi(w[1])].fd));
	if (strcmp(w[0], "port") == 0)
		return answer(do_port(p, w));
	if (strcmp(w[0], "flow") == 0)
		return answer(do_flow(p, w));
	if (strcmp(w[0], "local") == 0)
		return answer(do_local(p, w));
	if (strcmp(w[0], "send") == 0)
		return answer(transmit(&p->xsk[0], w[1]));
	if (strcmp(w[0], "join") == 0)
		return answer(do_join(p));
	if (strcmp(w[0], "mac") == 0) {
		do_mac(p, w[1]);
		return answer(0);
	}
	if (strcmp(w[0], "take") == 0 && p->args.tap)
		tap_take(p, atoi(w[2]));
	else if (strcmp(w[0], "take") == 0)
		take(p, (uint32_t)atoi(w[1]), atoi(w[2]));
	else if (strcmp(w[0], "stats") == 0)
		do_stats(p);
	else if (strcmp(w[0], "fork") == 0)
		do_fork(p, w[1]);
	else if (strcmp(w[0], "close") == 0)
		steer_close(&p->steer), answer(0);
	else if (strcmp(w[0], "open") == 0)
		do_open(p);
	else
		return answer(-EINVAL);
	return 0;
}

/* An XDP program that is not ours: passes everything. */
static int foreign(const struct steer_open_args *args)
{
	const struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_PASS },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	struct bpf_sys_prog prog = { .name = "foreign", .type = BPF_PROG_TYPE_XDP, .n_insns = 2 };
	uint64_t words[2];
	int fd;

	memcpy(words, insns, sizeof(words));
	prog.insns = words;
	fd = bpf_sys_prog_load(&prog, NULL, 0);
	if (fd >= 0)
		fd = bpf_sys_link_create(fd, args->ifindex, BPF_XDP,
					 args->native ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE, 0);
	printf("{\"open\":%d}\n", fd < 0 ? fd : 0);
	while (fd >= 0)
		pause();
	return 1;
}

static uint8_t guard_of(const char *text)
{
	static const char *const names[] = { "auto", "none", "tcx", "clsact" };

	for (uint8_t i = 0; i < FS_ARRAY_SIZE(names); i++)
		if (strcmp(text, names[i]) == 0)
			return i;
	return STEER_GUARD_AUTO;
}

int main(int argc, char **argv)
{
	static struct probe p;
	static char line[65536];
	char *words[MAX_WORDS];

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc < 4)
		return 2;
	p.args = (struct steer_open_args){
		.ifindex = if_nametoindex(argv[1]),
		.native = strcmp(argv[2], "native") == 0,
		.tap = strncmp(argv[2], "tap", 3) == 0,
		.tap_hang = strcmp(argv[2], "tap-clsact") == 0 ? STEER_GUARD_CLSACT : STEER_GUARD_AUTO,
		.guard = guard_of(argv[3]),
		.n_queues = argc > 4 ? (uint32_t)atoi(argv[4]) : 1,
		.max_flows = 64,
		.max_ports = 64,
		.fd_floor = 100,
		.why = p.why,
		.why_len = sizeof(p.why),
	};
	if (strcmp(argv[3], "foreign") == 0)
		return foreign(&p.args);
	if (do_open(&p) < 0)
		return 1;
	while (fgets(line, sizeof(line), stdin)) {
		unsigned n = 0;

		for (char *w = strtok(line, " \n"); w && n < MAX_WORDS - 1; w = strtok(NULL, " \n"))
			words[n++] = w;
		for (unsigned i = n; i < MAX_WORDS; i++)
			words[i] = NULL;
		if (n)
			command(&p, words);
	}
	steer_close(&p.steer);
	return 0;
}
