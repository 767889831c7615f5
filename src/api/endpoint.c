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
#include "host/netns.h"
#include "sys/sys.h"

/* Memory of an endpoint's channels. */
struct api_region {
	struct api_region *next;
	size_t bytes; /* of all, this header included */
};

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

/* Connections without a socket cannot be asked where they are. */
static bool is_elsewhere(const struct context *ctx)
{
	uint64_t here = ctx && ctx->netns ? host_netns_inode() : 0;

	return here && here != ctx->netns;
}

int api_open(const struct sockaddr *local, socklen_t len, unsigned flags, struct fsock_ep **out)
{
	union fsock_addr addr;
	struct fsock_ep *ep;
	int ret;

	if (!out)
		return -EINVAL;
	if (flags != FSOCK_UDP && flags != FSOCK_TCP)
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
	ep->tcp = flags == FSOCK_TCP;
	ep->elsewhere = ep->tcp && is_elsewhere(ep->ctx);
	list_init(&ep->channels);
	slab_init(&ep->slab, sizeof(struct fsock_channel));
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
	struct api_region *region;

	if (!ep)
		return -EINVAL;
	while ((ch = first_channel(ep)) != NULL)
		api_channel_destroy(ch);
	while ((region = ep->regions) != NULL) {
		ep->regions = region->next;
		sys_munmap(region, region->bytes);
	}
	sys_munmap(ep, sizeof(*ep));
	return 0;
}

/* --- channels --- */

enum { REGION_FIRST = 4096, REGION_MOST = 1 << 20 };

/* The endpoint's lock is held. As much again as there is, within bounds. */
static void grow(struct fsock_ep *ep)
{
	size_t bytes = ep->regions ? FS_MIN(2 * ep->regions->bytes, (size_t)REGION_MOST) : REGION_FIRST;
	struct api_region *region = mem_private(bytes);

	if (!region)
		return;
	*region = (struct api_region){ .next = ep->regions, .bytes = bytes };
	ep->regions = region;
	slab_add(&ep->slab, region + 1, bytes - sizeof(*region));
}

struct fsock_channel *api_channel_alloc(struct fsock_ep *ep, enum api_kind kind)
{
	struct fsock_channel *ch;

	api_lock(&ep->lock);
	if (ep->slab.in_use == ep->slab.total)
		grow(ep);
	ch = slab_alloc(&ep->slab);
	api_unlock(&ep->lock);
	if (!ch)
		return NULL;
	ch->ep = ep;
	ch->ctx = ep->ctx;
	ch->v6 = ep->local.sa.sa_family == AF_INET6;
	ch->rx_timeout = ch->tx_timeout = -1;
	ch->fd = -1;
	ch->kind = (uint8_t)kind;
	if (api_is_bare(ch))
		ch->bare.v6 = ch->v6;
	else
		ch->hold_max = ep->hold_max;
	return ch;
}

void api_channel_publish(struct fsock_channel *ch)
{
	api_lock(&ch->ep->lock);
	list_push_back(&ch->ep->channels, &ch->of_ep);
	api_unlock(&ch->ep->lock);
}

static int set_int(int fd, int level, int name, int value)
{
	return sys_setsockopt(fd, level, name, &value, sizeof(value));
}

int api_set_told(const struct fsock_channel *ch, int level, int name, int value)
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

int api_read_port(struct fsock_channel *ch)
{
	union fsock_addr addr;
	socklen_t len = sizeof(addr);
	int ret = sys_getsockname(ch->fd, &addr, &len);

	ch->port = ntohs(ch->v6 ? addr.in6.sin6_port : addr.in.sin_port);
	return ret;
}

union fsock_addr api_address(const struct fsock_ep *ep, uint16_t port)
{
	union fsock_addr addr = ep->local;

	if (addr.sa.sa_family == AF_INET6)
		addr.in6.sin6_port = htons(port);
	else
		addr.in.sin_port = htons(port);
	return addr;
}

static int bind_socket(struct fsock_channel *ch, unsigned flags, uint16_t port)
{
	union fsock_addr addr = api_address(ch->ep, port);
	int ret = 0;

	if (flags & FSOCK_BIND_SHARED)
		ret = api_set_told(ch, SOL_SOCKET, SO_REUSEADDR, 1);
	if (ret == 0 && ch->ep->ringbuf)
		ret = api_set_told(ch, SOL_SOCKET, SO_RCVBUF, (int)(ch->ep->ringbuf / 2)); /* the kernel doubles it */
	if (ret < 0)
		return ret;
	ret = sys_bind(ch->fd, &addr, ch->ep->len);
	if (ret == 0 && ch->ctx)
		lifecycle_bound(ch->ctx, ch->fd, port != 0);
	if (ret == 0)
		ret = api_read_port(ch);
	return ret;
}

static int bind_datagram(struct fsock_channel *ch, unsigned flags, uint16_t port)
{
	int family = ch->ep->local.sa.sa_family, fd = sys_socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return fd;
	ch->fd = fd;
	if (ch->ctx)
		lifecycle_opened(fd, family, SOCK_DGRAM, 0, api_host_ppoll);
	ask_for_details(ch);
	return bind_socket(ch, flags, port);
}

int api_bind(struct fsock_ep *ep, unsigned flags, uint16_t port, struct fsock_channel **out)
{
	struct fsock_channel *ch;
	int ret;

	if (!ep || !out || (flags & ~(unsigned)FSOCK_BIND_SHARED))
		return -EINVAL;
	ch = api_channel_alloc(ep, ep->tcp ? API_FRESH : API_DATAGRAM);
	if (!ch)
		return -ENOMEM;
	ret = ep->tcp ? api_connection_bind(ch, flags, port) : bind_datagram(ch, flags, port);
	if (ret < 0) {
		api_channel_destroy(ch);
		return ret;
	}
	api_channel_publish(ch);
	*out = ch;
	return 0;
}

int api_connect(struct fsock_channel *ch, const struct sockaddr *peer, socklen_t len)
{
	int ret;

	if (!ch || !peer)
		return -EINVAL;
	if (ch->kind != API_DATAGRAM)
		return api_connection_connect(ch, peer, len);
	ret = sys_connect(ch->fd, peer, len);
	if (ret == 0 && ch->ctx)
		lifecycle_connected(ch->ctx, ch->fd);
	return ret;
}

void api_channel_destroy(struct fsock_channel *ch)
{
	struct fsock_ep *ep = ch->ep;

	api_group_forget(ch);
	if (api_is_bare(ch) && ch->bare.by_link)
		api_buffer_end(ch);
	if (api_is_bare(ch))
		bare_close(ch->ctx, &ch->bare);
	if (!api_is_bare(ch)) /* it may have moved just now: what closes is its socket */
		api_buffer_end(ch);
	if (ch->fd >= 0) {
		if (ch->ctx) { /* before the shadow goes */
			take_closing(ch->ctx, ch->fd);
			lifecycle_closing(ch->ctx, ch->fd);
		}
		sys_close(ch->fd);
	}
	api_lock(&ep->lock);
	slab_free(&ep->slab, ch);
	api_unlock(&ep->lock);
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
