/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * raw_port.c - a provider port without a stack: memory, interface facts, hand-made UDP frames.
 */
#include "raw_port.h"

#include <errno.h>
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

int raw_pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set) == 0 ? 0 : -errno;
}

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
		.n_queues = FS_MAX(args->queues, 1u),
		.ifname = args->ifname,
		.driver = rp->driver,
		.mac = rp->mac,
		.mtu = rp->mtu,
		.pool = rp->pool,
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

int raw_port_steer(struct raw_port *rp, uint16_t udp_port)
{
	struct steer_rule rule = {
		.protocol = IPPROTO_UDP,
		.local_port = udp_port,
		.verdict = STEER_STACK,
	};

	return rp->handle.ops->steer_add(&rp->handle, &rule);
}

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

void raw_headers(const struct raw_flow *flow, uint32_t payload, uint8_t *at)
{
	uint8_t *ip = at + 14, *udp = at + 34;
	uint32_t sum = 0;

	memset(at, 0, RAW_HEADERS);
	memcpy(at, flow->dst_mac.b, 6);
	memcpy(at + 6, flow->src_mac.b, 6);
	put16(at + 12, 0x0800);
	ip[0] = 0x45;
	put16(ip + 2, 28 + payload);
	ip[6] = 0x40; /* don't fragment */
	ip[8] = 64;
	ip[9] = IPPROTO_UDP;
	memcpy(ip + 12, flow->src.b + 12, 4);
	memcpy(ip + 16, flow->dst.b + 12, 4);
	for (int i = 0; i < 20; i += 2)
		sum += (uint32_t)ip[i] << 8 | ip[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	put16(ip + 10, ~sum & 0xffff);
	put16(udp, flow->src_port);
	put16(udp + 2, flow->dst_port);
	put16(udp + 4, 8 + payload);
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
