/* SPDX-License-Identifier: BSD-2-Clause */
/* ICMP errors by raw sockets of this host's kernel, over its loopback interface in a namespace of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "context/icmp.h"
#include "context/internal.h"
#include "tcp/conn.h"
#include "tcp/end.h"
#include "tcp/tcp.h"
#include "wire/icmp.h"
#include "wire/icmpv6.h"

enum { BUCKETS = 64, FD_FLOOR = 100, HEADERS = 20 + 8, MESSAGE = ICMP_HDR_LEN + 40 + 8, PORT = 4000, PEER_PORT = 80,
       TOO_BIG_MTU = 0x500 };

struct fixture {
	struct context ctx;
	struct stack stack;
	struct table_node *dst_buckets[BUCKETS], *end_buckets[BUCKETS], *listener_buckets[BUCKETS];
	uint64_t counter[FS_CTR_N];
};

static struct fixture fixture, *const f = &fixture;
static struct ip_addr loopback4, loopback6;

/* In a namespace where nobody else is, or as this process stands where that is not allowed. */
static int enter_namespace(void **state)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd;

	if (unshare(CLONE_NEWNET) < 0)
		return 0;
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	ioctl(fd, SIOCSIFFLAGS, &lo);
	close(fd);
	return 0;
}

static int setup(void **state)
{
	const struct siphash_key key[TCP_N_SECRETS] = { 0 };
	const struct in_addr v4 = { htonl(INADDR_LOOPBACK) };

	memset(f, 0, sizeof(*f));
	f->ctx.stack = &f->stack;
	f->ctx.fd_floor = FD_FLOOR;
	f->ctx.nl.fd = f->ctx.log.fd = -1;
	f->ctx.env.csum = csum_ops(CSUM_SCALAR);
	f->ctx.now = FS_SEC(100);
	f->stack.counter = f->counter;
	ip_init(&f->stack.ip, key, NULL, f->counter, f->dst_buckets, BUCKETS);
	tcp_init(&f->stack.tcp, &f->stack.ip, key, key, f->end_buckets, BUCKETS, f->listener_buckets, BUCKETS, f->ctx.now);
	loopback4 = ip_addr_v4(&v4);
	loopback6 = ip_addr_v6(&in6addr_loopback);
	return mem_create(&f->ctx.arena, "fsock-test-icmp", 4096, FD_FLOOR);
}

static int teardown(void **state)
{
	for (int i = 0; i < 2; i++)
		if (f->ctx.icmp[i] > 0)
			close(f->ctx.icmp[i]);
	mem_close(&f->ctx.arena);
	return 0;
}

static void listen_or_skip(void)
{
	int ret = context_icmp_open(&f->ctx);

	if (ret == -EPERM)
		skip();
	assert_int_equal(ret, 0);
}

/* An error of IPv4 that quotes protocol @protocol. @wrong: so does its checksum. */
static void send_v4(uint8_t type, uint8_t protocol, bool wrong)
{
	uint8_t message[ICMP_HDR_LEN + HEADERS] = { type, 0, 0, 0, 0, 0, 0, 0, 0x45, 0, 0, HEADERS, 0, 0, 0, 0, 64, protocol };
	const struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
	be16_t sum;

	memcpy(&message[ICMP_HDR_LEN + 12], &loopback4.w[3], 4);
	memcpy(&message[ICMP_HDR_LEN + 16], &loopback4.w[3], 4);
	sum = csum_finish(f->ctx.env.csum->sum(message, sizeof(message)));
	memcpy(&message[2], &sum, sizeof(sum));
	message[2] ^= wrong;
	assert_int_equal(sendto(fd, message, sizeof(message), 0, (const void *)&to, sizeof(to)), sizeof(message));
	close(fd);
}

/* The kernel makes the checksum itself. */
static void send_v6(uint8_t type, uint8_t next)
{
	uint8_t message[MESSAGE] = { type, 0, 0, 0, 0, 0, TOO_BIG_MTU >> 8, 0, 0x60, 0, 0, 0, 0, 8, next, 64 };
	const struct sockaddr_in6 to = { .sin6_family = AF_INET6, .sin6_addr = in6addr_loopback };
	int fd = socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6);

	memcpy(&message[ICMPV6_HDR_LEN + 8], &loopback6, 16);
	memcpy(&message[ICMPV6_HDR_LEN + 24], &loopback6, 16);
	message[ICMPV6_HDR_LEN + 40] = PORT >> 8;
	message[ICMPV6_HDR_LEN + 41] = PORT & 0xff;
	message[ICMPV6_HDR_LEN + 43] = PEER_PORT;
	assert_int_equal(sendto(fd, message, sizeof(message), 0, (const void *)&to, sizeof(to)), sizeof(message));
	close(fd);
}

/* The engine knows no such connection, and counts that it was asked. */
static void assert_heard(unsigned n)
{
	context_icmp_read(&f->ctx);
	assert_int_equal(f->counter[FS_CTR_tcp_icmp_ignored], n);
}

static void context_icmp_read__errors_about_tcp(void **state)
{
	listen_or_skip();
	assert_heard(0);
	send_v4(FS_ICMP_UNREACHABLE, IPPROTO_TCP, false);
	send_v4(FS_ICMP_TIME_EXCEEDED, IPPROTO_TCP, false);
	send_v4(FS_ICMP_PARAMETER, IPPROTO_TCP, false);
	assert_heard(3);
	send_v6(FS_ICMPV6_PACKET_TOO_BIG, IPPROTO_TCP);
	send_v6(FS_ICMPV6_UNREACHABLE, IPPROTO_TCP);
	assert_heard(5);
}

/* A process that sleeps on the sockets must not wake for them. */
static void assert_silent(void)
{
	uint8_t byte;

	for (int i = 0; i < 2; i++)
		assert_int_equal(recv(f->ctx.icmp[i], &byte, 1, MSG_DONTWAIT), -1);
}

static void context_icmp_open__nothing_else_arrives(void **state)
{
	listen_or_skip();
	send_v4(FS_ICMP_UNREACHABLE, IPPROTO_UDP, false);
	send_v4(FS_ICMP_ECHO_REPLY, IPPROTO_TCP, false);
	send_v4(FS_ICMP_SOURCE_QUENCH, IPPROTO_TCP, false);
	send_v6(FS_ICMPV6_UNREACHABLE, IPPROTO_UDP);
	send_v6(FS_ICMPV6_UNREACHABLE, IPPROTO_ICMPV6);
	send_v6(FS_ICMPV6_ECHO_REPLY, IPPROTO_TCP);
	assert_silent();
	send_v4(FS_ICMP_UNREACHABLE, IPPROTO_TCP, false);
	assert_heard(1);
}

/* The kernel has not looked when a raw socket gets its copy. */
static void context_icmp_read__wrong_checksum(void **state)
{
	listen_or_skip();
	send_v4(FS_ICMP_UNREACHABLE, IPPROTO_TCP, true);
	assert_heard(0);
	send_v4(FS_ICMP_UNREACHABLE, IPPROTO_TCP, false);
	assert_heard(1);
}

static void context_icmp_open__once(void **state)
{
	uint32_t serial;
	int fd;

	listen_or_skip();
	fd = f->ctx.icmp[0];
	serial = f->stack.ports_serial;
	assert_int_equal(serial, 1); /* sleep sets are made anew */
	assert_int_equal(context_icmp_open(&f->ctx), 0);
	assert_int_equal(f->ctx.icmp[0], fd);
	assert_int_equal(f->stack.ports_serial, serial);
	assert_true(fd >= FD_FLOOR);
}

static void context_icmp_mtu__what_was_not_learned(void **state)
{
	assert_int_equal(context_icmp_mtu(&f->ctx, &loopback4, 1500), 1500);
	listen_or_skip();
	assert_int_equal(context_icmp_mtu(&f->ctx, &loopback4, 1500), 1500);
	send_v6(FS_ICMPV6_PACKET_TOO_BIG, IPPROTO_TCP); /* about a connection that does not exist */
	assert_heard(1);
	assert_int_equal(context_icmp_mtu(&f->ctx, &loopback6, 1500), 1500);
}

/* A connection over IPv6 whose first byte, number 0, is in flight. */
static struct tcp_conn *connected(void)
{
	static uint8_t memory[2 * sizeof(struct tcp_conn) + FS_CACHE_LINE] __attribute__((aligned(FS_CACHE_LINE)));
	struct tcp_conn *c;

	fbuf_pool_init(&f->stack.payload, STACK_PAYLOAD_CHUNK, IP_TX_HEADROOM);
	f->stack.ip.payload = &f->stack.payload;
	slab_add(&f->stack.tcp.conns, memory, sizeof(memory));
	c = tcp_open(&f->stack.tcp, f);
	assert_non_null(c);
	c->end.local = c->end.remote = loopback6;
	c->end.local_port = PORT;
	c->end.remote_port = PEER_PORT;
	c->flags |= TCP_CONN_V6;
	c->path_mtu = 9000;
	c->snd_nxt = 1;
	tcp_end_insert(&f->stack.tcp, &c->end);
	return c;
}

static void context_icmp_mtu__what_a_connection_believed(void **state)
{
	struct tcp_conn *c = connected();

	listen_or_skip();
	send_v6(FS_ICMPV6_PACKET_TOO_BIG, IPPROTO_TCP);
	assert_heard(0);
	assert_int_equal(c->path_mtu, TOO_BIG_MTU);
	assert_int_equal(context_icmp_mtu(&f->ctx, &loopback6, 9000), TOO_BIG_MTU);
	assert_int_equal(context_icmp_mtu(&f->ctx, &loopback6, 1280), 1280);
	assert_int_equal(context_icmp_mtu(&f->ctx, &loopback4, 9000), 9000);
	f->ctx.now += FS_SEC(600); /* perhaps it can carry more again */
	assert_int_equal(context_icmp_mtu(&f->ctx, &loopback6, 9000), 9000);
	tcp_end_remove(&f->stack.tcp, &c->end);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(context_icmp_read__errors_about_tcp),
		TEST(context_icmp_open__nothing_else_arrives),
		TEST(context_icmp_read__wrong_checksum),
		TEST(context_icmp_open__once),
		TEST(context_icmp_mtu__what_was_not_learned),
		TEST(context_icmp_mtu__what_a_connection_believed),
	};

	return cmocka_run_group_tests(tests, enter_namespace, NULL);
}
