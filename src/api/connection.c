/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * connection.c - TCP: connections and listeners come, change sides, and go.
 *
 * A connection is the engine's alone where the fast path carries it (context/bare.h), else a kernel socket that does
 * not block; who waits for that waits here. A listener is a kernel socket that the context is told of, as a program's
 * is.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "api/api_internal.h"
#include "api/host.h"
#include "api/table.h"
#include "base/reason.h"
#include "context/handover.h"
#include "context/lifecycle.h"
#include "context/stream.h"
#include "sys/sys.h"

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

/* --- sockets --- */

/* A socket for the channel, with what its endpoint asks for. */
static int make_socket(struct fsock_channel *ch)
{
	int family = ch->ep->local.sa.sa_family, type = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
	int fd = sys_socket(family, type, 0), ret;

	if (fd < 0)
		return fd;
	ch->fd = fd;
	if (ch->ctx)
		lifecycle_opened(fd, family, type, 0, api_host_ppoll);
	ret = api_set_told(ch, SOL_SOCKET, SO_REUSEADDR, 1);
	if (ret == 0 && ch->ep->ringbuf)
		ret = api_set_told(ch, SOL_SOCKET, SO_RCVBUF, (int)(ch->ep->ringbuf / 2)); /* the kernel doubles it */
	return ret;
}

static int bind_to(struct fsock_channel *ch, uint16_t port)
{
	union fsock_addr addr = api_address(ch->ep, port);
	int ret = sys_bind(ch->fd, &addr, ch->ep->len);

	if (ret == 0 && ch->ctx)
		lifecycle_bound(ch->ctx, ch->fd, port != 0);
	return ret;
}

static void drop_socket(struct fsock_channel *ch)
{
	if (ch->fd < 0)
		return;
	if (ch->ctx)
		lifecycle_closing(ch->ctx, ch->fd);
	sys_close(ch->fd);
	ch->fd = -1;
}

int api_connection_bind(struct fsock_channel *ch, unsigned flags, uint16_t port)
{
	int ret = 0;

	ch->port = port;
	if (port == 0 && ch->ctx)
		return 0; /* whatever it will be may need no socket */
	if (!ch->ctx) {
		ch->kind = API_KERNEL;
		ch->hold_max = ch->ep->hold_max;
	}
	ret = make_socket(ch);
	if (ret == 0 && (flags & FSOCK_BIND_SHARED))
		ret = api_set_told(ch, SOL_SOCKET, SO_REUSEPORT, 1);
	return ret == 0 && port ? bind_to(ch, port) : ret;
}

/* --- changing what a channel is --- */

/*
 * A fresh channel becomes one that has a kernel socket alone: the engine's half goes, its options are the socket's now.
 * Its group's sets are left; the caller has them entered again.
 */
static int give_socket(struct fsock_channel *ch, enum api_kind kind)
{
	struct tcp_options options;
	bool had = bare_get_options(ch->ctx, &ch->bare, &options) == 0;
	int ret = ch->fd < 0 ? make_socket(ch) : 0;

	if (ret < 0) {
		drop_socket(ch);
		return ret;
	}
	if (had)
		api_stream_copy_options(ch, &options);
	api_group_suspend(ch);
	bare_close(ch->ctx, &ch->bare);
	ch->hold_max = ch->ep->hold_max;
	ch->kind = (uint8_t)kind;
	return 0;
}

enum api_kind api_adopt(struct fsock_channel *ch)
{
	struct bare was;
	int shadow = -1;
	bool first;

	api_lock(&ch->ep->lock);
	first = ch->kind == API_FAST;
	if (first) {
		was = ch->bare;
		shadow = ch->fd;
		if (!was.by_link) { /* it lends nothing any more */
			ch->lent = ch->spare = NULL;
			ch->n_lent = 0;
		}
		ch->hold_max = ch->ep->hold_max;
		ch->stamps = false;
		ch->wants_out = was.wants_out;
		ch->paused = was.paused;
		ch->fd = was.fd;
		fs_store_release(&ch->kind, (uint8_t)API_KERNEL);
	}
	api_unlock(&ch->ep->lock);
	if (!first)
		return API_KERNEL;
	if (shadow >= 0 && shadow != was.fd) {
		lifecycle_closing(ch->ctx, shadow);
		sys_close(shadow);
	}
	lifecycle_moved(ch->ctx, was.fd, was.moved);
	api_group_resume(ch);
	return API_KERNEL;
}

int api_handover(struct fsock_channel *ch)
{
	union fsock_addr peer;
	int saved = errno, ret;

	if (!ch)
		return -EINVAL;
	switch (api_kind(ch)) {
	case API_DATAGRAM:
		return -EOPNOTSUPP;
	case API_FAST:
		ret = bare_handover(ch->ctx, &ch->bare, ch->fd);
		if (ret == 0 || ret == CONTEXT_KERNEL) {
			api_kind(ch);
			ret = 0;
		}
		errno = saved;
		return ret;
	case API_KERNEL:
		ret = api_socket_name(ch, true, &peer);
		if (ret == 0 && ch->ctx)
			ret = handover_fd(ch->ctx, ch->fd, FS_REASON_moved);
		errno = saved;
		return ret == -EBADF ? 0 : ret; /* it is the kernel's */
	default:
		return -ENOTCONN;
	}
}

/* --- connecting --- */

/* The address is to be the endpoint's; the port the kernel chooses at connect(), when it knows the peer. */
static int bind_address(struct fsock_channel *ch)
{
	int on = 1;

	sys_setsockopt(ch->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	return bind_to(ch, 0);
}

static int connect_socket(struct fsock_channel *ch, const struct sockaddr *peer, socklen_t len)
{
	fs_ns wait = api_patience(&ch->tx_timeout, false), deadline = api_deadline(wait);
	int ret = api_socket_connect(ch, peer, len);

	while ((ret == -EINPROGRESS || ret == -EALREADY) && wait != 0) {
		ret = api_socket_wait(ch, POLLOUT, deadline);
		if (ret < 0)
			break;
		ret = api_socket_connect(ch, peer, len); /* now it says how it went */
	}
	if (ret == -ETIMEDOUT && wait > 0 && host_clock_kernel() >= deadline)
		ret = -EINPROGRESS;
	ch->wants_out = ret == -EINPROGRESS || ret == -EALREADY;
	api_group_refresh(ch);
	return ret;
}

/* The fast path does not carry it. */
static int fall_back(struct fsock_channel *ch, const struct sockaddr *peer, socklen_t len, int reason)
{
	bool bound = ch->fd >= 0;
	int ret = give_socket(ch, API_KERNEL);

	if (ret < 0)
		return ret;
	if (reason != FS_REASON_loopback)
		bare_declined(ch->ctx, ch->fd, reason);
	if (!bound)
		ret = bind_address(ch);
	api_group_resume(ch);
	return ret < 0 ? ret : connect_socket(ch, peer, len);
}

static struct ip_addr local_address(const struct fsock_ep *ep)
{
	struct ip_addr addr = ep->local.sa.sa_family == AF_INET6 ? ip_addr_v6(&ep->local.in6.sin6_addr) :
								   ip_addr_v4(&ep->local.in.sin_addr);

	return ip_addr_is_any(&addr) ? (struct ip_addr){ 0 } : addr;
}

static int connect_fast(struct fsock_channel *ch, const struct sockaddr *peer, socklen_t len)
{
	struct bare_from from = { .v6 = ch->v6, .local = local_address(ch->ep), .port = ch->fd >= 0 ? ch->port : 0 };
	int reason = 0, ret = CONTEXT_KERNEL;

	if (ch->kind == API_FRESH && !ch->ctx->config.accelerate)
		reason = FS_REASON_disabled;
	else if (ch->kind == API_FRESH && ch->ep->elsewhere)
		reason = FS_REASON_namespace;
	else
		ret = bare_connect(ch->ctx, &ch->bare, &from, peer, len, api_patience(&ch->tx_timeout, false), &reason);
	if (ret == CONTEXT_KERNEL && ch->kind == API_FRESH && ch->bare.moved)
		ch->kind = API_FAST; /* it was one for a moment, before the kernel had the last word */
	if (ret == CONTEXT_KERNEL)
		return api_kind(ch) == API_KERNEL ? connect_socket(ch, peer, len) : fall_back(ch, peer, len, reason);
	/* As long as it is fresh nobody makes it the kernel's. */
	if (ret == 0 || ch->bare.connecting || ch->bare.moved)
		ch->kind = API_FAST; /* also where a signal came, or memory was short: it is on its way */
	else if (ret != -EISCONN)
		ch->kind = API_FRESH;
	return ret;
}

static int dissolve(struct fsock_channel *ch)
{
	struct tcp_options options;
	bool had = bare_get_options(ch->ctx, &ch->bare, &options) == 0;
	struct epoll_set *set = ch->bare.set;

	if (ch->bare.by_link)
		api_buffer_end(ch);
	bare_abort(ch->ctx, &ch->bare);
	if (api_kind(ch) == API_KERNEL)
		return sys_connect(ch->fd, &(struct sockaddr){ .sa_family = AF_UNSPEC }, sizeof(struct sockaddr));
	ch->bare.set = set;
	ch->bare.v6 = ch->v6;
	ch->kind = API_FRESH;
	if (had && bare_open(ch->ctx, &ch->bare) == 0)
		bare_set_options(ch->ctx, &ch->bare, &options);
	return 0;
}

int api_connection_connect(struct fsock_channel *ch, const struct sockaddr *peer, socklen_t len)
{
	enum api_kind kind = api_kind(ch);
	int saved = errno, ret;

	if (kind == API_LISTENER)
		return -EISCONN;
	if (len < sizeof(peer->sa_family))
		return -EINVAL;
	if (kind == API_KERNEL)
		ret = connect_socket(ch, peer, len);
	else
		ret = peer->sa_family == AF_UNSPEC ? dissolve(ch) : connect_fast(ch, peer, len);
	errno = saved;
	return ret;
}

/* --- listening --- */

int api_listen(struct fsock_channel *ch, int backlog)
{
	bool bound, fresh;
	int ret = 0;

	if (!ch)
		return -EINVAL;
	if (ch->kind == API_DATAGRAM)
		return -EOPNOTSUPP;
	if (ch->kind == API_FAST)
		return -EISCONN;
	bound = ch->port != 0;
	fresh = ch->kind == API_FRESH;
	if (fresh)
		ret = give_socket(ch, API_LISTENER);
	if (ret == 0 && !bound)
		ret = bind_to(ch, 0);
	if (ret == 0 && ch->ctx)
		stream_stand_alone(ch->ctx, ch->fd);
	if (ret == 0)
		ret = ch->ctx ? stream_listen(ch->ctx, ch->fd, backlog) : CONTEXT_KERNEL;
	if (ret == CONTEXT_KERNEL)
		ret = sys_listen(ch->fd, backlog);
	if (ret == 0)
		ret = api_read_port(ch);
	if (ret == 0)
		ch->kind = API_LISTENER;
	if (fresh)
		api_group_resume(ch);
	return ret;
}

static int accept_kernel(const struct fsock_channel *ch, fs_ns wait)
{
	fs_ns deadline = api_deadline(wait);
	int ret;

	while ((ret = sys_accept4(ch->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) == -EAGAIN && wait != 0) {
		ret = api_socket_wait(ch, POLLIN, deadline);
		if (ret < 0)
			return ret;
	}
	if (ret >= 0 && ch->ctx)
		lifecycle_accepted(ch->ctx, ret, FS_REASON_kernel_arrival);
	return ret;
}

int api_accept(struct fsock_channel *listener, unsigned flags, struct fsock_channel **out)
{
	int saved = errno, ret = CONTEXT_KERNEL;
	struct fsock_channel *ch;
	fs_ns wait;

	if (!listener || !out || (flags & ~(unsigned)FSOCK_ACCEPT_NONBLOCK))
		return -EINVAL;
	if (listener->kind == API_DATAGRAM)
		return -EOPNOTSUPP;
	if (listener->kind != API_LISTENER)
		return -EINVAL;
	ch = api_channel_alloc(listener->ep, API_FAST);
	if (!ch)
		return -ENOMEM;
	wait = api_patience(&listener->rx_timeout, flags & FSOCK_ACCEPT_NONBLOCK);
	if (ch->ctx)
		ret = stream_accept_bare(ch->ctx, listener->fd, &ch->bare, wait);
	if (ret == -EAGAIN && wait != 0)
		ret = -ETIMEDOUT;
	if (ret == CONTEXT_KERNEL)
		ret = accept_kernel(listener, wait);
	errno = saved;
	if (ret < 0) {
		api_channel_destroy(ch);
		return ret;
	}
	if (!ch->bare.conn && !ch->bare.moved) {
		ch->kind = API_KERNEL;
		ch->hold_max = ch->ep->hold_max;
		ch->fd = ret;
	}
	ch->port = listener->port;
	api_channel_publish(ch);
	*out = ch;
	return 0;
}

/* --- ending a direction --- */

int api_shutdown(struct fsock_channel *ch, unsigned how)
{
	int ret = CONTEXT_KERNEL;

	if (!ch || how == 0 || (how & ~(unsigned)(FSOCK_SHUT_RD | FSOCK_SHUT_WR)))
		return -EINVAL;
	if (ch->kind == API_DATAGRAM)
		return -EOPNOTSUPP;
	if (ch->kind == API_LISTENER)
		return -ENOTCONN;
	if (api_kind(ch) != API_KERNEL)
		ret = bare_shutdown(ch->ctx, &ch->bare,
				    (how & FSOCK_SHUT_RD ? TCP_SHUT_RD : 0) | (how & FSOCK_SHUT_WR ? TCP_SHUT_WR : 0));
	if (ret == CONTEXT_KERNEL && api_kind(ch) == API_KERNEL)
		ret = api_socket_shutdown(ch, how == FSOCK_SHUT_RD ? SHUT_RD : how == FSOCK_SHUT_WR ? SHUT_WR : SHUT_RDWR);
	return ret;
}
