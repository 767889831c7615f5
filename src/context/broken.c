/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * broken.c - a process lets go of a stack whose lock's holder died, jumped or stays stopped amid a change.
 *
 * Datagram sockets and listeners have a complete kernel socket beside the stack. A connection's says nothing
 * (docs/decisions/0026): it is connected to a socket of ours on this host, which resets it, so that whoever waits for
 * it, reads or writes hears of the end as of any that the peer had reset (RFC 9293 3.10.7.4). The peer hears of it
 * from the kernel, when it speaks next.
 *
 * No lock is held, and nothing in the stack is as it should be: what is read here are words that are never half
 * written, in memory that stays mapped, and lists no further than WALK_MAX. A holder that was stopped may go on
 * meanwhile, to the end of its call: links of what it frees stay links of their kind (base/slab.h, base/list.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "context/internal.h"
#include "context/local.h"
#include "context/sister.h"
#include "context/stream_internal.h"
#include "host/signals.h"
#include "socket/epoll.h"
#include "sys/sys.h"

#define LOCAL_NS FS_MS(100) /* for a connection within this host; and for another process to make one */
#define LOOK_NS FS_MS(1)    /* between looks whether another thread is through */

enum { WALK_MAX = 1 << 16 };

/* struct context.abandoned, struct stream.abandoned. */
enum { STATE_HELD, STATE_LETTING_GO, STATE_ABANDONED };

/* --- the kernel's half of connections --- */

/* Where a listener of ours is that @fd can reach, whatever it is bound to: at its own address, or at the loopback's. */
static int listen_beside(int fd, union stream_name *name, socklen_t *len)
{
	static const struct in6_addr any6 = IN6ADDR_ANY_INIT, loopback6 = IN6ADDR_LOOPBACK_INIT;
	int listener, ret;

	*len = sizeof(*name);
	ret = sys_getsockname(fd, name, len);
	if (ret < 0)
		return ret;
	if (name->sa.sa_family == AF_UNIX) {
		*len = sizeof(sa_family_t); /* a name of the kernel's choice */
	} else if (name->sa.sa_family == AF_INET6) {
		name->in6.sin6_port = 0;
		if (memcmp(&name->in6.sin6_addr, &any6, sizeof(any6)) == 0)
			name->in6.sin6_addr = loopback6;
	} else {
		name->in.sin_port = 0;
		if (name->in.sin_addr.s_addr == htonl(INADDR_ANY))
			name->in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	}
	listener = sys_socket(name->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (listener < 0)
		return listener;
	ret = sys_bind(listener, name, *len);
	if (ret == 0)
		ret = sys_listen(listener, 1);
	if (ret == 0)
		ret = sys_getsockname(listener, name, len);
	if (ret == 0)
		return listener;
	sys_close(listener);
	return ret;
}

/* Where it cannot be reset it says that it is not connected: that is no reset, but no wait without end either. */
static void reset(int fd)
{
	const struct linger at_once = { .l_onoff = 1 };
	struct timespec limit = { .tv_nsec = LOCAL_NS };
	long flags = sys_fcntl(fd, F_GETFL, 0);
	union stream_name name;
	struct pollfd ready;
	socklen_t len;
	int listener = listen_beside(fd, &name, &len), other = -1, ret;

	if (listener < 0)
		return;
	ready = (struct pollfd){ .fd = listener, .events = POLLIN };
	sys_fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	ret = sys_connect(fd, &name, len);
	if (ret == 0 && name.sa.sa_family == AF_UNIX)
		sys_sendto(fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0); /* unread, it makes the close a reset */
	sys_fcntl(fd, F_SETFL, flags);
	if ((ret == 0 || ret == -EINPROGRESS) && sys_ppoll(&ready, 1, &limit, NULL) > 0)
		other = sys_accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (other >= 0) {
		sys_setsockopt(other, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
		sys_close(other);
	}
	sys_close(listener);
}

/* Whoever comes second, of the processes that share the socket, finds it reset. */
static void reset_once(int fd, struct sock *s)
{
	const struct timespec pause = { .tv_nsec = LOOK_NS };
	uint32_t held = STATE_HELD;

	if (fs_compare_exchange(&s->stream.abandoned, &held, (uint32_t)STATE_LETTING_GO)) {
		reset(fd);
		fs_store_release(&s->stream.abandoned, (uint32_t)STATE_ABANDONED);
	}
	for (fs_ns waited = 0; waited < LOCAL_NS && fs_load_acquire(&s->stream.abandoned) != STATE_ABANDONED; waited += LOOK_NS)
		sys_nanosleep(&pause);
}

/* --- the kernel's epoll sets, which have had no connections of the engine's (docs/decisions/0028) --- */

static void enter(struct context *ctx, int fd, struct epoll_item *item)
{
	struct epoll_event event = { .events = item->events, .data.u64 = epoll_tag(item) };

	if (item->disarmed)
		event.events &= EPOLLONESHOT | EPOLLET;
	for (int epfd = 0; epfd <= ctx->fds.highest; epfd++) {
		const struct fd_entry *e = fd_entry_at(&ctx->fds, epfd);

		if (e && e->kind == FD_EPOLL && e->object == item->set)
			sys_epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &event);
	}
}

static void enter_all(struct context *ctx, int fd, struct sock *s)
{
	struct list *e = s->items.next;

	for (unsigned n = 0; e && e != &s->items && n < WALK_MAX; n++, e = e->next) {
		struct epoll_item *item = FS_CONTAINER_OF(e, struct epoll_item, of_member);

		if (item->set)
			enter(ctx, context_live_sock(ctx, item->fd) == s ? item->fd : fd, item);
	}
}

/* --- letting go --- */

static void let_stream_go(struct context *ctx, int fd, struct sock *s)
{
	if (s->stream.home)
		return; /* a twin has no shadow of its own */
	if (stream_is_listener(&s->stream) && !s->nonblock) {
		/* O_NONBLOCK of its shadow was ours (stream_listen.c). */
		sys_fcntl(fd, F_SETFL, sys_fcntl(fd, F_GETFL, 0) & ~O_NONBLOCK);
	} else if (sock_is_engines(s) && (s->nonblock || !s->stream.connecting)) {
		/* A connect() that waits begins anew, by the kernel. */
		reset_once(fd, s);
		enter_all(ctx, fd, s);
	}
}

static void close_ports(struct context *ctx)
{
	for (unsigned i = 0; i < ctx->n_handles; i++) {
		struct provider_handle *h = &ctx->handle[i];

		/* Who is stopped, or computes, holds the port longer. */
		if (h->ops && h->ops->steer_forget && ctx->handle_opened[i] == ctx->stack->port_opened[i])
			h->ops->steer_forget(h);
		for (int k = 0; h->ops && k < h->n_fds; k++)
			if (h->fd[k] >= 0)
				sys_close(h->fd[k]);
		h->ops = NULL;
		h->n_fds = 0; /* the numbers are the program's now */
	}
}

/* Who sleeps looks for itself, in this process and the others. */
static void ring_all(const struct context *ctx)
{
	uint64_t one = 1;

	for (unsigned i = 0; i < STATS_MAX_PROCS; i++)
		if (ctx->stack->proc[i].pid && ctx->doorbell[i] >= 0)
			sys_write(ctx->doorbell[i], &one, sizeof(one));
}

static void let_streams_go(struct context *ctx)
{
	if (mem_map_rest(&ctx->arena, ctx->stack->arena_len) < 0)
		return; /* other processes' registrations may lie there */
	for (int fd = 0; fd <= ctx->fds.highest; fd++) {
		struct sock *s = context_live_sock(ctx, fd);

		if (s && s->protocol == SOCK_TCP)
			let_stream_go(ctx, fd, s);
	}
}

static void let_go(struct context *ctx)
{
	close_ports(ctx);
	local_abandon(ctx);
	let_streams_go(ctx);
	ring_all(ctx);
}

bool context_abandon(struct context *ctx)
{
	const struct timespec pause = { .tv_nsec = LOOK_NS };
	uint32_t held = STATE_HELD;
	signal_set saved;

	if (fs_load_acquire(&ctx->abandoned) == STATE_ABANDONED)
		return true;
	if (context_is_in_use(ctx))
		return false;
	saved = signal_block_all(); /* a handler that jumps out would leave the rest open for good */
	if (fs_compare_exchange(&ctx->abandoned, &held, (uint32_t)STATE_LETTING_GO)) {
		let_go(ctx);
		fs_store_release(&ctx->abandoned, (uint32_t)STATE_ABANDONED);
	}
	while (fs_load_acquire(&ctx->abandoned) != STATE_ABANDONED)
		sys_nanosleep(&pause);
	signal_restore(saved);
	sisters_follow(ctx);
	return true;
}
