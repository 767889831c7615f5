/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * option.c - options of a channel, and what can be asked of it.
 */
#include <errno.h>
#include <string.h>

#include "api/api_internal.h"
#include "api/table.h"
#include "base/reason.h"
#include "context/internal.h"
#include "context/lifecycle.h"
#include "sys/sys.h"

/* --- groups of hosts --- */

/* Tell the shadow, then the context. */
static int set(const struct fsock_channel *ch, int level, int name, const void *value, size_t len)
{
	int ret = sys_setsockopt(ch->fd, level, name, value, (socklen_t)len);

	if (ret == 0 && ch->ctx)
		lifecycle_option(ch->ctx, ch->fd, level, name, value, len);
	return ret;
}

static int any_source(const struct fsock_channel *ch, bool join, const struct fsock_membership *m)
{
	int name6 = join ? IPV6_JOIN_GROUP : IPV6_LEAVE_GROUP;
	int name4 = join ? IP_ADD_MEMBERSHIP : IP_DROP_MEMBERSHIP;
	struct ipv6_mreq mreq6 = { .ipv6mr_interface = m->interface };
	struct ip_mreqn mreq4 = { .imr_ifindex = (int)m->interface };

	if (m->group.sa.sa_family == AF_INET6) {
		mreq6.ipv6mr_multiaddr = m->group.in6.sin6_addr;
		return set(ch, IPPROTO_IPV6, name6, &mreq6, sizeof(mreq6));
	}
	mreq4.imr_multiaddr = m->group.in.sin_addr;
	return set(ch, IPPROTO_IP, name4, &mreq4, sizeof(mreq4));
}

static int one_source(const struct fsock_channel *ch, bool join, const struct fsock_membership *m)
{
	struct group_source_req req = { .gsr_interface = m->interface };
	int level = m->group.sa.sa_family == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP;

	if (m->source.sa.sa_family != m->group.sa.sa_family)
		return -EINVAL;
	memcpy(&req.gsr_group, &m->group, sizeof(m->group));
	memcpy(&req.gsr_source, &m->source, sizeof(m->source));
	return set(ch, level, join ? MCAST_JOIN_SOURCE_GROUP : MCAST_LEAVE_SOURCE_GROUP, &req, sizeof(req));
}

static int member(const struct fsock_channel *ch, bool join, const void *value, size_t len)
{
	struct fsock_membership m;

	if (len != sizeof(m))
		return -EINVAL;
	memcpy(&m, value, sizeof(m));
	if (m.group.sa.sa_family != AF_INET && m.group.sa.sa_family != AF_INET6)
		return -EINVAL;
	return m.source.sa.sa_family == AF_UNSPEC ? any_source(ch, join, &m) : one_source(ch, join, &m);
}

static int stamps(struct fsock_channel *ch, const void *value, size_t len)
{
	int on, ret;

	if (len != sizeof(on))
		return -EINVAL;
	memcpy(&on, value, sizeof(on));
	on = on != 0;
	ret = set(ch, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on));
	if (ret == 0)
		fs_store_relaxed(&ch->stamps, (bool)on);
	return ret;
}

int api_setopt(struct fsock_channel *ch, int option, const void *value, size_t len)
{
	int64_t timeout;

	if (!ch || !value)
		return -EINVAL;
	if (ch->kind != API_DATAGRAM && option != FSOCK_RX_TIMEOUT)
		return api_stream_setopt(ch, option, value, len);
	switch (option) {
	case FSOCK_RX_TIMEOUT:
		if (len != sizeof(timeout))
			return -EINVAL;
		memcpy(&timeout, value, sizeof(timeout));
		fs_store_relaxed(&ch->rx_timeout, timeout < 0 ? -1 : timeout);
		return 0;
	case FSOCK_RX_STAMPS:
		return stamps(ch, value, len);
	case FSOCK_JOIN_MCAST:
		return member(ch, true, value, len);
	case FSOCK_LEAVE_MCAST:
		return member(ch, false, value, len);
	default:
		return -ENOPROTOOPT;
	}
}

/* --- asking --- */

int api_put(void *value, size_t *len, const void *from, size_t bytes)
{
	if (*len < bytes)
		return -EINVAL;
	memcpy(value, from, bytes);
	*len = bytes;
	return 0;
}

static int put_int(void *value, size_t *len, int n)
{
	return api_put(value, len, &n, sizeof(n));
}

static int put_name(const struct fsock_channel *ch, int option, void *value, size_t *len)
{
	union fsock_addr addr = { 0 };
	int ret = api_socket_name(ch, option == FSOCK_PEER, &addr);

	return ret < 0 ? ret : api_put(value, len, &addr, sizeof(addr));
}

/* What the statistics say of the channel; without a context, why there is none. */
static void get_record(const struct fsock_channel *ch, struct stats_sock *record)
{
	memset(record, 0, sizeof(*record));
	record->reason = (uint8_t)ch->ep->reason;
	if (ch->ctx && !context_record_read(ch->ctx, ch->fd, record))
		record->reason = FS_REASON_recovering;
}

static int put_reason(const struct fsock_channel *ch, void *value, size_t *len)
{
	const struct fs_reason_info *info;
	struct stats_sock record;
	char text[256];

	get_record(ch, &record);
	info = fs_reason_info(record.reason);
	host_format(text, sizeof(text), "%s: %s%s%s%s", info ? info->name : "unknown", info ? info->text : "",
		    record.detail[0] ? " (" : "", record.detail, record.detail[0] ? ")" : "");
	if (*len == 0)
		return -EINVAL;
	*len = FS_MIN(*len, strlen(text) + 1);
	memcpy(value, text, *len);
	((char *)value)[*len - 1] = '\0';
	return 0;
}

static uint32_t held(struct fsock_channel *ch)
{
	uint32_t n = fs_load_relaxed(&ch->n_lent);
	struct sock *s = ch->ctx ? context_enter(ch->ctx, ch->fd) : NULL;

	if (!s)
		return n;
	if (s->holder == ch->ctx->slot)
		n += s->held.frames;
	context_leave(ch->ctx);
	return n;
}

int api_getopt(struct fsock_channel *ch, int option, void *value, size_t *len)
{
	struct stats_sock record;
	int64_t timeout;
	uint32_t n;

	if (!ch || !value || !len)
		return -EINVAL;
	if (ch->kind != API_DATAGRAM && option != FSOCK_RX_TIMEOUT) {
		int ret = api_stream_getopt(ch, option, value, len);

		if (ret != CONTEXT_KERNEL)
			return ret;
	}
	switch (option) {
	case FSOCK_RX_TIMEOUT:
		timeout = fs_load_relaxed(&ch->rx_timeout);
		return api_put(value, len, &timeout, sizeof(timeout));
	case FSOCK_RX_STAMPS:
		return put_int(value, len, fs_load_relaxed(&ch->stamps));
	case FSOCK_FD:
		return put_int(value, len, ch->fd);
	case FSOCK_LOCAL:
	case FSOCK_PEER:
		return put_name(ch, option, value, len);
	case FSOCK_ACCELERATED:
		get_record(ch, &record);
		return put_int(value, len, record.accelerated != 0);
	case FSOCK_REASON:
		return put_reason(ch, value, len);
	case FSOCK_HELD:
		n = held(ch);
		return api_put(value, len, &n, sizeof(n));
	default:
		return -ENOPROTOOPT;
	}
}
