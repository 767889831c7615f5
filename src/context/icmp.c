/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * icmp.c - see icmp.h.
 */
#include "context/icmp.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/icmp.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/csum.h"
#include "base/siphash.h"
#include "context/internal.h"
#include "sys/sys.h"
#include "tcp/tcp.h"
#include "wire/icmp.h"
#include "wire/icmpv6.h"
#include "wire/ipv4.h"

enum {
	V4, V6,
	LONGEST = 2048,	 /* bytes read: RFC 1812 4.3.2.3 and RFC 4443 2.4 end errors at 576 and 1280 */
	MESSAGES = 64,	 /* taken at a time, whatever keeps arriving */
	PATHS = 256,	 /* remotes whose MTU is remembered; one of the same place replaces the former */
	QUOTED = 8,	 /* offset of what an error quotes */
};

#define PATH_NS FS_SEC(600)

/* In stack memory, for good. */
struct icmp_paths {
	struct icmp_path {
		struct ip_addr remote;
		fs_ns until; /* 0 = unused */
		uint32_t mtu;
	} path[PATHS];
};

/* --- sockets --- */

/* Errors that quote TCP. A raw IPv4 socket sees the IP header as well, an IPv6 one does not. */
static struct sock_filter quotes_tcp_v4[] = {
	BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0), /* X = length of the IP header */
	BPF_STMT(BPF_LD | BPF_B | BPF_IND, QUOTED + 9),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_TCP, 0, 1),
	BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	BPF_STMT(BPF_RET | BPF_K, 0),
};

/* Behind what is none of these an extension header may stand, and TCP behind it. */
static struct sock_filter may_quote_tcp_v6[] = {
	BPF_STMT(BPF_LD | BPF_B | BPF_ABS, QUOTED + 6),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 2, 0),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_ICMPV6, 1, 0),
	BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	BPF_STMT(BPF_RET | BPF_K, 0),
};

static int filter_v4(int fd)
{
	const struct icmp_filter types = {
		~(1U << FS_ICMP_UNREACHABLE | 1U << FS_ICMP_TIME_EXCEEDED | 1U << FS_ICMP_PARAMETER),
	};

	return sys_setsockopt(fd, SOL_RAW, ICMP_FILTER, &types, sizeof(types));
}

static int filter_v6(int fd)
{
	struct icmp6_filter types;

	ICMP6_FILTER_SETBLOCKALL(&types);
	ICMP6_FILTER_SETPASS(FS_ICMPV6_UNREACHABLE, &types);
	ICMP6_FILTER_SETPASS(FS_ICMPV6_PACKET_TOO_BIG, &types);
	ICMP6_FILTER_SETPASS(FS_ICMPV6_TIME_EXCEEDED, &types);
	ICMP6_FILTER_SETPASS(FS_ICMPV6_PARAMETER, &types);
	return sys_setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &types, sizeof(types));
}

/* A descriptor or -errno. */
static int open_raw(const struct context *ctx, int which)
{
	struct sock_fprog program = {
		.len = which == V4 ? FS_ARRAY_SIZE(quotes_tcp_v4) : FS_ARRAY_SIZE(may_quote_tcp_v6),
		.filter = which == V4 ? quotes_tcp_v4 : may_quote_tcp_v6,
	};
	int fd = sys_fd_raise(sys_socket(which == V4 ? AF_INET : AF_INET6, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
					 which == V4 ? IPPROTO_ICMP : IPPROTO_ICMPV6), ctx->fd_floor), ret;

	if (fd < 0)
		return fd;
	ret = context_same_namespace(ctx, fd) ? (which == V4 ? filter_v4 : filter_v6)(fd) : -EXDEV;
	if (ret == 0)
		ret = sys_setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
	if (ret == 0)
		return fd;
	sys_close(fd);
	return ret;
}

int context_icmp_open(struct context *ctx)
{
	int error = 0;

	if (ctx->icmp[V4] > 0 || ctx->icmp_error)
		return ctx->icmp_error;
	if (!ctx->stack->paths)
		ctx->stack->paths = context_grow(ctx, sizeof(struct icmp_paths));
	for (int i = V4; i <= V6; i++) {
		int fd = open_raw(ctx, i);

		ctx->icmp[i] = FS_MAX(fd, 0);
		if (fd < 0 && fd != -EAFNOSUPPORT)
			error = fd;
	}
	ctx->icmp_error = error == -EXDEV ? 0 : error; /* the next connection's thread may be where it belongs */
	if (ctx->icmp_error)
		host_log(&ctx->log, LOG_WARN, "no raw socket (error %d): TCP does not hear of ICMP errors", -error);
	context_ports_came(ctx);
	return error;
}

/* --- paths --- */

static struct icmp_path *path_to(const struct context *ctx, const struct ip_addr *remote)
{
	uint64_t words[2];

	memcpy(words, remote, sizeof(words));
	return &ctx->stack->paths->path[siphash13_words(&ctx->stack->ip.key, words, 2) % PATHS];
}

uint32_t context_icmp_mtu(const struct context *ctx, const struct ip_addr *remote, uint32_t mtu)
{
	const struct icmp_path *p = ctx->stack->paths ? path_to(ctx, remote) : NULL;

	return p && ctx->now < p->until && ip_addr_equal(&p->remote, remote) ? FS_MIN(p->mtu, mtu) : mtu;
}

static void learn(struct context *ctx, const struct ip_addr *remote, uint32_t mtu)
{
	bool known = context_icmp_mtu(ctx, remote, UINT32_MAX) <= mtu;

	if (ctx->stack->paths)
		*path_to(ctx, remote) = (struct icmp_path){ *remote, ctx->now + PATH_NS, mtu };
	if (!known)
		ip_dst_flush(&ctx->stack->ip); /* other connections on that path, and the next one, ask anew */
}

/* --- messages --- */

/* The message behind the IP header, if its checksum is right: raw IPv4 sockets get theirs before the kernel has looked,
 * of IPv6 it drops wrong ones itself. False: it is no good. */
static bool unwrap(const struct context *ctx, const uint8_t **message, size_t *len)
{
	struct ipv4_hdr ip;
	int header = ipv4_parse(&ip, *message, *len);

	if (header < 0)
		return false;
	*message += header;
	*len -= (size_t)header;
	return csum_is_valid(ctx->env.csum->sum(*message, *len));
}

static void take(struct context *ctx, int which, const uint8_t *message, size_t len)
{
	struct tcp_icmp icmp;
	uint32_t mtu;

	if ((which == V4 && !unwrap(ctx, &message, &len)) || !tcp_icmp_read(&icmp, which == V6, message, len))
		return;
	mtu = tcp_icmp_input(&ctx->stack->tcp, &ctx->env, &icmp, ctx->now);
	if (mtu)
		learn(ctx, &icmp.remote, mtu);
}

void context_icmp_read(struct context *ctx)
{
	uint8_t message[LONGEST];

	for (int which = V4; which <= V6; which++) {
		for (unsigned i = 0; ctx->icmp[which] > 0 && i < MESSAGES; i++) {
			ssize_t n = sys_recvfrom(ctx->icmp[which], message, sizeof(message), MSG_DONTWAIT | MSG_TRUNC,
						 NULL, NULL);

			if (n < 0)
				break;
			if (n <= (ssize_t)sizeof(message))
				take(ctx, which, message, (size_t)n);
		}
	}
}
