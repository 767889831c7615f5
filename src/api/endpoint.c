/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * endpoint.c - endpoints and channels come and go.
 *
 * A channel is a kernel socket that the context is told of as it is told of a program's: made, bound,
 * connected, closed (context/lifecycle.h). All the rest of acceleration follows from that.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "api/api_internal.h"
#include "api/host.h"
#include "api/table.h"
#include "context/lifecycle.h"
#include "context/take.h"
#include "host/mem.h"
#include "sys/sys.h"

struct context *api_context(int *reason)
{
	struct context *ctx = context_start(api_host_ppoll, reason);

	if (ctx)
		api_host_started();
	return ctx;
}

/* --- endpoints --- */

/* @local without its port. Length of the form the kernel takes, or -errno. */
static int copy_local(union fsock_addr *to, const struct sockaddr *local, socklen_t len)
{
	if (!local || len < sizeof(local->sa_family))
		return -EINVAL;
	if (local->sa_family == AF_INET && len >= sizeof(to->in)) {
		memcpy(&to->in, local, sizeof(to->in));
		to->in.sin_port = 0;
		return sizeof(to->in);
	}
	if (local->sa_family == AF_INET6 && len >= sizeof(to->in6)) {
		memcpy(&to->in6, local, sizeof(to->in6));
		to->in6.sin6_port = 0;
		return sizeof(to->in6);
	}
	return local->sa_family == AF_INET || local->sa_family == AF_INET6 ? -EINVAL : -EAFNOSUPPORT;
}

int api_open(const struct sockaddr *local, socklen_t len, unsigned flags, struct fsock_ep **out)
{
	union fsock_addr addr;
	struct fsock_ep *ep;
	int ret;

	if (!out)
		return -EINVAL;
	if (flags != FSOCK_UDP)
		return -EPROTONOSUPPORT;
	ret = copy_local(&addr, local, len);
	if (ret < 0)
		return ret;
	ep = mem_private(sizeof(*ep));
	if (!ep)
		return -ENOMEM;
	ep->local = addr;
	ep->len = (socklen_t)ret;
	ep->hold_max = API_HOLD_DEFAULT;
	ep->ctx = api_context(&ep->reason);
	list_init(&ep->channels);
	*out = ep;
	return 0;
}

int api_set_ep_attribute(struct fsock_ep *ep, int attribute, const void *value, size_t len)
{
	uint32_t n;

	if (!ep || !value || len != sizeof(n))
		return -EINVAL;
	memcpy(&n, value, sizeof(n));
	switch (attribute) {
	case FSOCK_RINGBUF_SIZE:
		if (n == 0 || n > INT32_MAX)
			return -EINVAL;
		ep->ringbuf = n;
		return 0;
	case FSOCK_HOLD_MAX:
		if (n == 0 || n > API_HOLD_MAX)
			return -EINVAL;
		ep->hold_max = n;
		return 0;
	default:
		return -EINVAL;
	}
}

static struct fsock_channel *first_channel(struct fsock_ep *ep)
{
	struct list *e;

	api_lock(&ep->lock);
	e = list_pop_front(&ep->channels);
	api_unlock(&ep->lock);
	return e ? FS_CONTAINER_OF(e, struct fsock_channel, of_ep) : NULL;
}

int api_close_ep(struct fsock_ep *ep)
{
	struct fsock_channel *ch;

	if (!ep)
		return -EINVAL;
	while ((ch = first_channel(ep)) != NULL)
		api_channel_destroy(ch);
	sys_munmap(ep, sizeof(*ep));
	return 0;
}

/* --- channels --- */

static int set_int(int fd, int level, int name, int value)
{
	return sys_setsockopt(fd, level, name, &value, sizeof(value));
}

/* An option that the context is to know of, as if the program had set it. */
static int set_told(const struct fsock_channel *ch, int level, int name, int value)
{
	int ret = set_int(ch->fd, level, name, value);

	if (ret == 0 && ch->ctx)
		lifecycle_option(ch->ctx, ch->fd, level, name, &value, sizeof(value));
	return ret;
}

/* What the shadow is to tell of its datagrams, so that rxinfo has the same fields either way. The context knows
 * it of every datagram. */
static void ask_for_details(const struct fsock_channel *ch)
{
	set_int(ch->fd, IPPROTO_IP, IP_PKTINFO, 1);
	if (ch->v6)
		set_int(ch->fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
}

/* The kernel may have chosen it. */
static int read_port(struct fsock_channel *ch)
{
	union fsock_addr addr;
	socklen_t len = sizeof(addr);
	int ret = sys_getsockname(ch->fd, &addr, &len);

	ch->port = ntohs(ch->v6 ? addr.in6.sin6_port : addr.in.sin_port);
	return ret;
}

static int bind_socket(struct fsock_channel *ch, unsigned flags, uint16_t port)
{
	union fsock_addr addr = ch->ep->local;
	int ret = 0;

	if (flags & FSOCK_BIND_SHARED)
		ret = set_told(ch, SOL_SOCKET, SO_REUSEADDR, 1);
	if (ret == 0 && ch->ep->ringbuf)
		ret = set_told(ch, SOL_SOCKET, SO_RCVBUF, (int)(ch->ep->ringbuf / 2)); /* the kernel doubles it */
	if (ret < 0)
		return ret;
	if (ch->v6)
		addr.in6.sin6_port = htons(port);
	else
		addr.in.sin_port = htons(port);
	ret = sys_bind(ch->fd, &addr, ch->ep->len);
	if (ret == 0 && ch->ctx)
		lifecycle_bound(ch->ctx, ch->fd, port != 0);
	if (ret == 0)
		ret = read_port(ch);
	return ret;
}

int api_bind(struct fsock_ep *ep, unsigned flags, uint16_t port, struct fsock_channel **out)
{
	struct fsock_channel *ch;
	int ret;

	if (!ep || !out || (flags & ~(unsigned)FSOCK_BIND_SHARED))
		return -EINVAL;
	ch = mem_private(sizeof(*ch));
	if (!ch)
		return -ENOMEM;
	ch->ep = ep;
	ch->ctx = ep->ctx;
	ch->v6 = ep->local.sa.sa_family == AF_INET6;
	ch->hold_max = ep->hold_max;
	ch->rx_timeout = -1;
	ch->fd = sys_socket(ep->local.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (ch->fd < 0) {
		ret = ch->fd;
		sys_munmap(ch, sizeof(*ch));
		return ret;
	}
	if (ch->ctx)
		lifecycle_opened(ch->fd, ep->local.sa.sa_family, SOCK_DGRAM, 0, api_host_ppoll);
	ask_for_details(ch);
	ret = bind_socket(ch, flags, port);
	if (ret < 0) {
		api_channel_destroy(ch);
		return ret;
	}
	api_lock(&ep->lock);
	list_push_back(&ep->channels, &ch->of_ep);
	api_unlock(&ep->lock);
	*out = ch;
	return 0;
}

int api_connect(struct fsock_channel *ch, const struct sockaddr *peer, socklen_t len)
{
	int ret;

	if (!ch || !peer)
		return -EINVAL;
	ret = sys_connect(ch->fd, peer, len);
	if (ret == 0 && ch->ctx)
		lifecycle_connected(ch->ctx, ch->fd);
	return ret;
}

void api_channel_destroy(struct fsock_channel *ch)
{
	api_group_forget(ch);
	if (ch->ctx) { /* before the shadow goes */
		take_closing(ch->ctx, ch->fd);
		lifecycle_closing(ch->ctx, ch->fd);
	}
	sys_close(ch->fd);
	api_buffer_end(ch);
	sys_munmap(ch, sizeof(*ch));
}

int api_close(struct fsock_channel *ch)
{
	if (!ch)
		return -EINVAL;
	api_lock(&ch->ep->lock);
	list_remove(&ch->of_ep);
	api_unlock(&ch->ep->lock);
	api_channel_destroy(ch);
	return 0;
}
