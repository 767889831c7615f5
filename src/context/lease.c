/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lease.c - see lease.h.
 */
#include "context/lease.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/siphash.h"
#include "context/internal.h"
#include "local/conn.h"
#include "sys/sys.h"
#include "tcp/tcp.h"

enum {
	FIRST = 16,  /* leases at least, for the engine to choose from */
	FIRST_LINK = 2, /* made at the first connect over a link, which may be the program's only one */
	BATCH = 64,  /* descriptors of one message; a message takes 768 bytes of the pair's buffer */
	BUFFER = 1 << 19, /* asked for; the kernel gives what it allows */
	TURNS = 256, /* RFC 6056 3.3.4: the table's TABLE_LENGTH */
};

/* In stack memory, zeroed at birth, for good. */
struct lease_table {
	struct siphash_key key;
	uint32_t n, max;
	uint32_t opened[IP_MAX_PORTS];	/* stack->port_opened[] when the first one was entered there */
	uint32_t entered[IP_MAX_PORTS]; /* so many are, from the first on */
	uint32_t turn[TURNS];
	uint64_t covers[65536 / 64];	/* by port */
	struct lease {
		const struct local_conn *by_link; /* had it last, of those over links; NULL = none did */
		uint16_t port; /* host order */
		bool moved;    /* see context_lease_moved() */
	} lease[];
};

/* --- holding --- */

/* Who was forked before it was there has no part in it: of two pairs each would end with its own processes. */
static int make_pair(struct context *ctx)
{
	int *pair = ctx->leases, bytes = BUFFER, ret;

	if (pair[0] > 0)
		return 0;
	if (ctx->stack->leases_held)
		return -EMFILE;
	ctx->stack->leases_held = true;
	ret = sys_socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair);
	for (int i = 0; i < 2; i++)
		pair[i] = ret < 0 ? -1 : sys_fd_raise(pair[i], ctx->fd_floor);
	if (pair[0] > 0 && pair[1] > 0) {
		sys_setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
		return 0;
	}
	for (int i = 0; i < 2; i++)
		if (pair[i] > 0)
			sys_close(pair[i]);
	pair[0] = pair[1] = 0;
	return -EMFILE;
}

void context_lease_before_fork(struct context *ctx)
{
	make_pair(ctx);
}

/* Put @fd into the pair, where they stay open. 0 or -errno. They are the caller's to close. */
static int park(const struct context *ctx, const int *fd, unsigned n)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(BATCH * sizeof(int))];
	} control = {
		.align = { .cmsg_len = CMSG_LEN(n * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS },
	};
	struct iovec iov = { (void *)"", 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
			      .msg_controllen = CMSG_SPACE(n * sizeof(int)) };
	ssize_t ret;

	memcpy(CMSG_DATA(&control.align), fd, n * sizeof(int));
	ret = sys_sendmsg(ctx->leases[0], &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	/* Too many of the user's are under way, or the buffer is full. */
	return ret == -ETOOMANYREFS || ret == -EAGAIN ? -EMFILE : ret < 0 ? (int)ret : 0;
}

/* A descriptor, and the port it is bound to. -EADDRNOTAVAIL: there is none, -errno. */
static int open_lease(const struct context *ctx, uint16_t *port)
{
	struct sockaddr_in6 name = { .sin6_family = AF_INET6 };
	socklen_t len = sizeof(name), family_len = sizeof(struct sockaddr_in);
	int fd = sys_socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP), both = 0, ret;

	if (fd == -EAFNOSUPPORT) {
		name.sin6_family = AF_INET;
		fd = sys_socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
	} else {
		family_len = sizeof(name);
		if (fd >= 0)
			sys_setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &both, sizeof(both));
	}
	fd = sys_fd_raise(fd, ctx->fd_floor);
	if (fd < 0)
		return fd;
	/* Without SO_REUSEADDR: what is bound so the kernel leaves alone when it chooses ports. */
	ret = context_same_namespace(ctx, fd) ? sys_bind(fd, &name, family_len) : -EXDEV;
	if (ret == 0)
		ret = sys_getsockname(fd, &name, &len);
	*port = ntohs(name.sin6_port); /* in both families at the same place */
	if (ret == 0)
		return fd;
	sys_close(fd);
	return ret == -EADDRINUSE ? -EADDRNOTAVAIL : ret;
}

static void add(struct lease_table *t, uint16_t port)
{
	t->lease[t->n++] = (struct lease){ .port = port };
	t->covers[port / 64] |= 1ULL << (port % 64);
}

/* @n leases more, at most BATCH. How many there are, or -errno when there is none. */
static int make_some(struct context *ctx, unsigned n)
{
	struct lease_table *t = ctx->stack->leases;
	uint16_t port[BATCH];
	int fd[BATCH], made = 0, error = -EADDRNOTAVAIL;

	for (unsigned i = 0; i < n; i++) {
		fd[made] = open_lease(ctx, &port[made]);
		if (fd[made] < 0) {
			error = fd[made];
			break;
		}
		if (config_bypass_has(ctx->config.bypass, IPPROTO_TCP, port[made]))
			sys_close(fd[made]);
		else
			made++;
	}
	if (made > 0)
		error = park(ctx, fd, (unsigned)made);
	for (int i = 0; i < made; i++) {
		sys_close(fd[i]);
		if (error == 0)
			add(t, port[i]);
	}
	return error < 0 ? error : made;
}

/* As many again, and @least at least. 0, or -errno when there are no more. */
static int grow(struct context *ctx, uint32_t least)
{
	struct lease_table *t = ctx->stack->leases;
	uint32_t before = t->n, left = FS_MIN(FS_MAX(t->n, least), t->max - t->n);
	int made = make_pair(ctx);

	if (made < 0)
		return made;
	for (; left > 0; left -= FS_MIN(left, (uint32_t)BATCH)) {
		made = make_some(ctx, FS_MIN(left, (uint32_t)BATCH));
		if (made < 0)
			break;
	}
	if (t->n > before)
		return 0;
	return made < 0 ? made : -EMFILE;
}

static int make_table(struct context *ctx)
{
	uint32_t max = ctx->config.max_leases;
	struct lease_table *t;

	if (ctx->stack->leases)
		return 0;
	t = context_grow(ctx, sizeof(*t) + max * sizeof(t->lease[0]));
	if (!t || sys_getrandom(&t->key, sizeof(t->key), 0) != (ssize_t)sizeof(t->key))
		return -ENOMEM;
	t->max = max;
	ctx->stack->leases = t;
	return 0;
}

/* --- steering --- */

static struct steer_rule rule_of(const struct lease *lease)
{
	return (struct steer_rule){ .protocol = IPPROTO_TCP, .local_port = lease->port, .verdict = STEER_STACK };
}

/* Another process's port that this one has no part in keeps what it has. */
static void enter(struct context *ctx, unsigned port)
{
	struct lease_table *t = ctx->stack->leases;
	struct provider_handle *h = &ctx->handle[port];

	if (t->opened[port] != ctx->stack->port_opened[port])
		t->entered[port] = 0;
	t->opened[port] = ctx->stack->port_opened[port];
	if (!h->ops || ctx->handle_opened[port] != ctx->stack->port_opened[port])
		return;
	for (; t->entered[port] < t->n; t->entered[port]++) {
		struct steer_rule rule = rule_of(&t->lease[t->entered[port]]);

		if (context_rule_add(ctx, port, &rule) < 0)
			return;
	}
}

void context_lease_resteer(struct context *ctx, unsigned port)
{
	if (!ctx->stack->leases)
		return;
	ctx->stack->leases->entered[port] = 0;
	enter(ctx, port);
}

/* So many, from the first on, are entered everywhere. */
static uint32_t steered(struct context *ctx)
{
	struct lease_table *t = ctx->stack->leases;
	uint32_t n = t->n;

	for (unsigned i = 0; i < IP_MAX_PORTS; i++) {
		if (!ctx->stack->port[i])
			continue;
		enter(ctx, i);
		n = FS_MIN(n, t->entered[i]);
	}
	return n;
}

/* --- choosing --- */

/* RFC 6056 3.3.4: a place that only the key tells, and from there, by *@turn, one after the other. */
static uint32_t first_place(struct lease_table *t, const struct ip_addr *local, const struct ip_addr *remote,
			    uint16_t remote_port, uint32_t **turn)
{
	uint64_t tuple[5], hash;

	memcpy(&tuple[0], local, sizeof(*local));
	memcpy(&tuple[2], remote, sizeof(*remote));
	tuple[4] = remote_port;
	hash = siphash13_words(&t->key, tuple, FS_ARRAY_SIZE(tuple));
	*turn = &t->turn[(hash >> 32) % TURNS];
	return (uint32_t)hash;
}

/* Of the first @n. */
static int choose(struct context *ctx, uint32_t n, const struct ip_addr *local, const struct ip_addr *remote,
		  uint16_t remote_port)
{
	struct lease_table *t = ctx->stack->leases;
	uint32_t *turn, first = first_place(t, local, remote, remote_port, &turn);

	for (uint32_t i = 0; i < n; i++) {
		const struct lease *lease = &t->lease[(first + (*turn)++) % n];

		if (!lease->moved && tcp_tuple_is_free(&ctx->stack->tcp, local, lease->port, remote, remote_port, ctx->now))
			return lease->port;
	}
	return -EADDRNOTAVAIL;
}

/* Has a connection over a link the lease? A place in its link's memory is free, or another one's, when it has not. */
static bool is_by_link(const struct lease *lease)
{
	return lease->by_link && lease->by_link->state != LOCAL_FREE && lease->by_link->local_port == lease->port;
}

static int choose_for_link(struct lease_table *t, uint32_t first, uint32_t *turn, const struct local_conn ***holder)
{
	for (uint32_t i = 0; i < t->n; i++) {
		struct lease *lease = &t->lease[(first + (*turn)++) % t->n];

		if (lease->moved || is_by_link(lease))
			continue;
		*holder = &lease->by_link;
		return lease->port;
	}
	return -EADDRNOTAVAIL;
}

int context_lease(struct context *ctx, const struct ip_addr *local, const struct ip_addr *remote, uint16_t remote_port)
{
	int ret = make_table(ctx), port = -EADDRNOTAVAIL;
	const struct lease_table *t = ctx->stack->leases;
	bool few;

	if (ret < 0)
		return ret;
	few = t->n < FS_MIN((uint32_t)FIRST, t->max); /* those of links may be: too few that nobody guesses which */
	if (!few)
		port = choose(ctx, steered(ctx), local, remote, remote_port);
	if (port >= 0)
		return port;
	ret = grow(ctx, FIRST);
	return ret < 0 && (!few || t->n == 0) ? ret : choose(ctx, steered(ctx), local, remote, remote_port);
}

int context_lease_link(struct context *ctx, const struct ip_addr *local, const struct ip_addr *remote,
		       uint16_t remote_port, const struct local_conn ***holder)
{
	int ret = make_table(ctx), port;
	uint32_t *turn, first;

	if (ret < 0)
		return ret;
	first = first_place(ctx->stack->leases, local, remote, remote_port, &turn);
	port = choose_for_link(ctx->stack->leases, first, turn, holder);
	if (port >= 0)
		return port;
	ret = grow(ctx, FIRST_LINK);
	return ret < 0 ? ret : choose_for_link(ctx->stack->leases, first, turn, holder);
}

bool context_lease_covers(const struct context *ctx, uint16_t port)
{
	const struct lease_table *t = ctx->stack->leases;

	return t && (t->covers[port / 64] >> (port % 64) & 1);
}

void context_lease_moved(struct context *ctx, uint16_t port)
{
	struct lease_table *t = ctx->stack->leases;

	for (uint32_t i = 0; t && i < t->n; i++)
		if (t->lease[i].port == port)
			t->lease[i].moved = true;
}
