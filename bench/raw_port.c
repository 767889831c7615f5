/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * raw_port.c - a provider port without a stack: memory, interface facts, hand-made frames.
 */
#include "raw_port.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* The engine's assertions end a benchmark. */
_Noreturn void fs_assert_failed(const char *expression, const char *file, int line)
{
	fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, expression);
	abort();
}

int64_t raw_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

double raw_cpu_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int raw_pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set) == 0 ? 0 : -errno;
}

/* --- words --- */

const char *raw_value(int argc, char **argv, const char *key, const char *missing)
{
	size_t len = strlen(key);

	for (int i = 1; i < argc; i++)
		if (strncmp(argv[i], key, len) == 0 && argv[i][len] == '=')
			return argv[i] + len + 1;
	return missing;
}

static int parse_mac(const char *text, struct eth_addr *mac)
{
	unsigned b[6];

	if (sscanf(text, "%x:%x:%x:%x:%x:%x", b, b + 1, b + 2, b + 3, b + 4, b + 5) != 6)
		return -EINVAL;
	for (int i = 0; i < 6; i++)
		mac->b[i] = (uint8_t)b[i];
	return 0;
}

static int parse_addr(const char *text, struct ip_addr *addr)
{
	uint8_t bytes[16];

	if (inet_pton(AF_INET, text, bytes) == 1)
		*addr = ip_addr_v4(bytes);
	else if (inet_pton(AF_INET6, text, bytes) == 1)
		*addr = ip_addr_v6(bytes);
	else
		return -EINVAL;
	return 0;
}

int raw_parse(int argc, char **argv, struct raw_port_args *args, struct raw_flow *flow)
{
	args->provider = raw_value(argc, argv, "provider", "xdp");
	args->ifname = raw_value(argc, argv, "interface", "");
	args->option = raw_value(argc, argv, "option", "");
	args->chunks = (uint32_t)atoi(raw_value(argc, argv, "chunks", "4096"));
	args->first = (uint32_t)atoi(raw_value(argc, argv, "first", "0"));
	args->queues = (uint32_t)atoi(raw_value(argc, argv, "queues", "1"));
	flow->src_port = flow->dst_port = (uint16_t)atoi(raw_value(argc, argv, "port", "5000"));
	if (parse_addr(raw_value(argc, argv, "local", ""), &args->local) < 0 ||
	    parse_addr(raw_value(argc, argv, "remote", ""), &flow->dst) < 0 ||
	    parse_mac(raw_value(argc, argv, "mac", ""), &flow->dst_mac) < 0)
		return -EINVAL;
	flow->src = args->local;
	return ip_addr_is_v4(&flow->src) == ip_addr_is_v4(&flow->dst) ? 0 : -EINVAL;
}

/* --- the port --- */

static int interface_facts(struct raw_port *rp, const char *ifname)
{
	struct ethtool_drvinfo info = { .cmd = ETHTOOL_GDRVINFO };
	struct ifreq ifr = { 0 };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), rc = -ENODEV;

	if (fd < 0)
		return -errno;
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", ifname);
	if (ioctl(fd, SIOCGIFINDEX, &ifr) < 0)
		goto out;
	rp->ifindex = (uint32_t)ifr.ifr_ifindex;
	if (ioctl(fd, SIOCGIFMTU, &ifr) < 0)
		goto out;
	rp->mtu = (uint32_t)ifr.ifr_mtu;
	if (ioctl(fd, SIOCGIFHWADDR, &ifr) < 0)
		goto out;
	memcpy(rp->mac.b, ifr.ifr_hwaddr.sa_data, sizeof(rp->mac.b));
	ifr.ifr_data = (void *)&info;
	if (ioctl(fd, SIOCETHTOOL, &ifr) == 0)
		snprintf(rp->driver, sizeof(rp->driver), "%s", info.driver);
	rc = 0;
out:
	close(fd);
	return rc;
}

static uint8_t *shared_memory(size_t len)
{
	void *at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return at == MAP_FAILED ? NULL : at;
}

struct raw_port *raw_port_create(const struct raw_port_args *args)
{
	struct raw_port *rp = calloc(1, sizeof(*rp));
	struct fbuf *bufs = (void *)shared_memory(args->chunks * sizeof(struct fbuf));
	uint8_t *memory = shared_memory((size_t)args->chunks * RAW_CHUNK);

	if (!rp || !bufs || !memory || interface_facts(rp, args->ifname) < 0)
		return NULL;
	rp->pool = (void *)shared_memory(sizeof(*rp->pool));
	if (!rp->pool)
		return NULL;
	fbuf_pool_init(rp->pool, RAW_CHUNK, RAW_HEADROOM);
	fbuf_pool_add(rp->pool, bufs, memory, args->chunks);
	rp->pool->low_water = args->chunks / 16;
	return rp;
}

int raw_port_open(struct raw_port *rp, const struct raw_port_args *args)
{
	const struct provider_ops *ops = provider_by_name(args->provider);
	struct provider_open_args oa = {
		.ifindex = rp->ifindex,
		.first_queue = args->first,
		.n_queues = FS_MAX(args->queues, 1u),
		.ifname = args->ifname,
		.driver = rp->driver,
		.mac = rp->mac,
		.mtu = rp->mtu,
		.pool = rp->pool,
		.beside = args->beside,
		.fd_floor = RAW_FD_FLOOR,
		.option = args->option,
		.why = rp->why,
	};
	int rc;

	if (!ops)
		return -ENOENT;
	rp->port = (void *)shared_memory(ops->port_size);
	oa.rings_len = ops->rings_len;
	oa.rings = mmap(NULL, oa.rings_len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!rp->port || oa.rings == MAP_FAILED)
		return -ENOMEM;
	rp->why[0] = '\0';
	rc = ops->open(&rp->handle, rp->port, &oa);
	if (rc < 0 || !rp->port->caps.steers)
		return rc;
	return ops->set_local_addrs(&rp->handle, &args->local, 1);
}

int raw_port_steer(struct raw_port *rp, uint8_t protocol, uint16_t port)
{
	struct steer_rule rule = {
		.protocol = protocol,
		.local_port = port,
		.verdict = STEER_STACK,
	};

	return rp->handle.ops->steer_add(&rp->handle, &rule);
}

void raw_port_print(struct raw_port *rp)
{
	const struct provider_stats *s = &rp->port->stats;

	rp->handle.ops->refresh_stats(&rp->handle);
	printf("\"rx\":%" PRIu64 ",\"tx\":%" PRIu64 ",\"kicks\":%" PRIu64 ",\"kick_again\":%" PRIu64
	       ",\"tx_full\":%" PRIu64 ",\"tx_bad\":%" PRIu64 ",\"rx_bad\":%" PRIu64 ",\"rx_no_frame\":%" PRIu64
	       ",\"rx_dropped\":%" PRIu64 ",\"rx_ring_full\":%" PRIu64 ",\"fill_empty\":%" PRIu64
	       ",\"passed_stale\":%" PRIu64 ",\"passed_partial\":%" PRIu64,
	       s->rx_frames, s->tx_frames, s->kicks, s->kick_again, s->tx_full, s->tx_bad, s->rx_bad,
	       s->rx_no_frame, s->kernel_rx_dropped, s->kernel_rx_ring_full, s->kernel_fill_empty,
	       s->steer_passed_stale, s->steer_passed_partial);
}

/* --- frames --- */

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v & 0xffff);
}

/* @sum and @n bytes (an even number), folded to 16 bits. */
static uint32_t sum16(uint32_t sum, const uint8_t *p, int n)
{
	for (int i = 0; i < n; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

/* Link and IP header in front of @l4_len bytes of @protocol. Returns their length. */
static uint32_t put_ip(const struct raw_flow *flow, uint8_t protocol, uint32_t l4_len, uint8_t *at)
{
	bool v4 = ip_addr_is_v4(&flow->src);
	uint8_t *ip = at + 14;

	memcpy(at, flow->dst_mac.b, 6);
	memcpy(at + 6, flow->src_mac.b, 6);
	put16(at + 12, v4 ? 0x0800 : 0x86dd);
	if (!v4) {
		put32(ip, 0x60000000);
		put16(ip + 4, l4_len);
		ip[6] = protocol;
		ip[7] = 64;
		memcpy(ip + 8, flow->src.b, 16);
		memcpy(ip + 24, flow->dst.b, 16);
		return 14 + 40;
	}
	put16(ip, 0x4500);
	put16(ip + 2, 20 + l4_len);
	put32(ip + 4, 0x4000); /* don't fragment */
	ip[8] = 64;
	ip[9] = protocol;
	put16(ip + 10, 0);
	memcpy(ip + 12, flow->src.b + 12, 4);
	memcpy(ip + 16, flow->dst.b + 12, 4);
	put16(ip + 10, ~sum16(0, ip, 20) & 0xffff);
	return 14 + 20;
}

uint32_t raw_headers(const struct raw_flow *flow, uint32_t payload, uint8_t *at)
{
	uint32_t l4 = put_ip(flow, IPPROTO_UDP, 8 + payload, at);
	uint8_t *udp = at + l4;

	put16(udp, flow->src_port);
	put16(udp + 2, flow->dst_port);
	put16(udp + 4, 8 + payload);
	put16(udp + 6, 0);
	return l4 + 8;
}

/* Addresses of IPv4 are mapped, whose ffff changes no sum. */
void raw_partial(const struct raw_flow *flow, uint8_t protocol, uint32_t len, uint8_t *field)
{
	put16(field, sum16(sum16(protocol + len, flow->src.b, 16), flow->dst.b, 16));
}

uint32_t raw_tcp_headers(const struct raw_flow *flow, uint32_t seq, uint32_t payload, uint8_t *at)
{
	static const uint8_t usual[RAW_TCP_HEADER] = { [12] = RAW_TCP_HEADER / 4 << 4, [13] = 0x18 /* PSH, ACK */,
						       [14] = 0xff, [20] = 1, 1, 8, 10 /* timestamps */ };
	uint32_t len = RAW_TCP_HEADER + payload, l4 = put_ip(flow, IPPROTO_TCP, len, at);
	uint8_t *tcp = at + l4;

	memcpy(tcp, usual, sizeof(usual));
	put16(tcp, flow->src_port);
	put16(tcp + 2, flow->dst_port);
	put32(tcp + 4, seq);
	raw_partial(flow, IPPROTO_TCP, len, tcp + 16);
	return l4 + RAW_TCP_HEADER;
}

static void swap(uint8_t *a, uint8_t *b, size_t n)
{
	uint8_t t[8];

	memcpy(t, a, n);
	memcpy(a, b, n);
	memcpy(b, t, n);
}

void raw_turn_round(uint8_t *frame)
{
	swap(frame, frame + 6, 6);
	swap(frame + 26, frame + 30, 4);
	swap(frame + 34, frame + 36, 2);
}
