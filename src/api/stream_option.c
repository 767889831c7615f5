/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stream_option.c - options of connections and listeners. Of the engine's they are words of struct tcp_options, of the
 * kernel's socket options by the same numbers.
 */
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>

#include "api/api_internal.h"
#include "api/table.h"
#include "base/reason.h"
#include "context/lifecycle.h"
#include "context/stream.h"
#include "sys/sys.h"

enum { KEEPALIVE_MOST = 32767 /* s: the kernel's MAX_TCP_KEEPIDLE */ };

/* <netinet/tcp.h> and <linux/tcp.h> meet names of the engine's; the numbers are the kernel's ABI. */
enum {
	TCP_NODELAY = 1,
	TCP_KEEPIDLE = 4,
	TCP_INFO = 11,
	TCP_USER_TIMEOUT = 18,
};

/* --- on a kernel socket --- */

/* Tell it, and the context where that listens for it: what it accepts begins with these. */
static int set(const struct fsock_channel *ch, int level, int name, const void *value, socklen_t len)
{
	int ret = sys_setsockopt(ch->fd, level, name, value, len);

	if (ret == 0 && ch->ctx && stream_is(ch->ctx, ch->fd))
		ret = stream_option(ch->ctx, ch->fd, level, name, value, len);
	return ret == CONTEXT_KERNEL ? 0 : ret;
}

static int set_keepalive(const struct fsock_channel *ch, int seconds)
{
	int on = seconds != 0, ret = 0;

	if (on)
		ret = set(ch, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof(seconds));
	return ret < 0 ? ret : set(ch, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

static int set_kernel(const struct fsock_channel *ch, int option, int n)
{
	struct linger linger = { .l_onoff = n == 0 };

	switch (option) {
	case FSOCK_NODELAY:
		return set(ch, IPPROTO_TCP, TCP_NODELAY, &n, sizeof(n));
	case FSOCK_KEEPALIVE:
		return set_keepalive(ch, n);
	case FSOCK_LINGER:
		return set(ch, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	default:
		return set(ch, IPPROTO_TCP, TCP_USER_TIMEOUT, &n, sizeof(n));
	}
}

static int get_int(const struct fsock_channel *ch, int level, int name)
{
	int n = 0;
	socklen_t len = sizeof(n);

	api_socket_get(ch, level, name, &n, &len);
	return n;
}

static int get_kernel(const struct fsock_channel *ch, int option)
{
	struct linger linger = { 0 };
	socklen_t len = sizeof(linger);
	int n = 0;

	switch (option) {
	case FSOCK_NODELAY:
		return get_int(ch, IPPROTO_TCP, TCP_NODELAY);
	case FSOCK_KEEPALIVE:
		return get_int(ch, SOL_SOCKET, SO_KEEPALIVE) ? get_int(ch, IPPROTO_TCP, TCP_KEEPIDLE) : 0;
	case FSOCK_LINGER:
		sys_getsockopt(ch->fd, SOL_SOCKET, SO_LINGER, &linger, &len);
		return linger.l_onoff ? linger.l_linger : -1;
	case FSOCK_ERROR:
		return get_int(ch, SOL_SOCKET, SO_ERROR);
	case FSOCK_RX_QUEUED:
	case FSOCK_TX_QUEUED:
		n = api_socket_ioctl(ch, option == FSOCK_RX_QUEUED ? SIOCINQ : SIOCOUTQ);
		return FS_MAX(n, 0);
	default:
		return get_int(ch, IPPROTO_TCP, TCP_USER_TIMEOUT);
	}
}

void api_stream_copy_options(const struct fsock_channel *ch, const struct tcp_options *from)
{
	set_kernel(ch, FSOCK_NODELAY, from->nodelay);
	set_kernel(ch, FSOCK_KEEPALIVE, from->keepalive ? from->keep_idle_s : 0);
	if (from->linger_s >= 0)
		set_kernel(ch, FSOCK_LINGER, from->linger_s);
	set_kernel(ch, FSOCK_USER_TIMEOUT, (int)from->user_timeout_ms);
}

/* --- on a connection of the engine's --- */

static int set_fast(struct fsock_channel *ch, int option, int n)
{
	struct tcp_options options;
	int ret = bare_open(ch->ctx, &ch->bare);

	if (ret == 0)
		ret = bare_get_options(ch->ctx, &ch->bare, &options);
	if (ret < 0)
		return ret;
	switch (option) {
	case FSOCK_NODELAY:
		options.nodelay = n != 0;
		break;
	case FSOCK_KEEPALIVE:
		options.keepalive = n != 0;
		options.keep_idle_s = (uint16_t)n;
		break;
	case FSOCK_LINGER:
		options.linger_s = n;
		break;
	default:
		options.user_timeout_ms = (uint32_t)n;
		break;
	}
	return bare_set_options(ch->ctx, &ch->bare, &options);
}

static int get_fast(struct fsock_channel *ch, int option, int *n)
{
	struct tcp_options options;
	size_t len = sizeof(*n);
	int ret;

	if (option == FSOCK_ERROR || option == FSOCK_RX_QUEUED || option == FSOCK_TX_QUEUED)
		return bare_ask(ch->ctx, &ch->bare,
				option == FSOCK_ERROR ? BARE_ERROR : option == FSOCK_RX_QUEUED ? BARE_INQ : BARE_OUTQ, n, &len);
	ret = bare_open(ch->ctx, &ch->bare);
	if (ret == 0)
		ret = bare_get_options(ch->ctx, &ch->bare, &options);
	if (ret < 0)
		return ret;
	*n = option == FSOCK_NODELAY ? options.nodelay :
	     option == FSOCK_KEEPALIVE ? (options.keepalive ? options.keep_idle_s : 0) :
	     option == FSOCK_LINGER ? options.linger_s : (int)options.user_timeout_ms;
	return 0;
}

/* --- the calls --- */

static int check(int option, int n)
{
	switch (option) {
	case FSOCK_NODELAY:
	case FSOCK_PAUSED:
		return 0;
	case FSOCK_KEEPALIVE:
		return n < 0 || n > KEEPALIVE_MOST ? -EINVAL : 0;
	case FSOCK_LINGER:
		return n != 0 && n != -1 ? -EINVAL : 0;
	case FSOCK_USER_TIMEOUT:
		return n < 0 ? -EINVAL : 0;
	default:
		return -ENOPROTOOPT;
	}
}

static int set_paused(struct fsock_channel *ch, int on)
{
	if (api_is_bare(ch))
		return bare_pause(ch->ctx, &ch->bare, on);
	ch->paused = on;
	api_group_refresh(ch);
	return 0;
}

int api_stream_setopt(struct fsock_channel *ch, int option, const void *value, size_t len)
{
	int64_t timeout;
	int n = 0, ret;

	if (option == FSOCK_TX_TIMEOUT) {
		if (len != sizeof(timeout))
			return -EINVAL;
		memcpy(&timeout, value, sizeof(timeout));
		fs_store_relaxed(&ch->tx_timeout, timeout < 0 ? -1 : timeout);
		return 0;
	}
	if (len == sizeof(n))
		memcpy(&n, value, sizeof(n));
	ret = check(option, n);
	if (ret == 0 && len != sizeof(n))
		ret = -EINVAL;
	if (ret < 0)
		return ret;
	do
		ret = option == FSOCK_PAUSED ? set_paused(ch, n) :
		      api_is_bare(ch) ? set_fast(ch, option, n) : set_kernel(ch, option, n);
	while (ret == CONTEXT_KERNEL);
	return ret;
}

static int put_name(struct fsock_channel *ch, bool peer, void *value, size_t *len)
{
	union fsock_addr addr = { 0 };
	socklen_t bytes = sizeof(addr);
	int ret = bare_name(ch->ctx, &ch->bare, ch->v6, peer, &addr, &bytes);

	/* What is known before: as fsock_bind() was told. */
	if (ret == -ENOTCONN && !peer) {
		addr = api_address(ch->ep, ch->port);
		ret = 0;
	}
	return ret < 0 ? ret : api_put(value, len, &addr, sizeof(addr));
}

static int put_way(const struct fsock_channel *ch, void *value, size_t *len)
{
	const struct fs_reason_info *info = fs_reason_info(ch->kind == API_FAST ? FS_REASON_none : FS_REASON_pending);
	char text[128];

	host_format(text, sizeof(text), "%s: %s", info->name, info->text);
	if (*len == 0)
		return -EINVAL;
	*len = FS_MIN(*len, strlen(text) + 1);
	memcpy(value, text, *len);
	((char *)value)[*len - 1] = '\0';
	return 0;
}

/* What only a connection of the engine's answers by itself. */
static int get_bare(struct fsock_channel *ch, int option, void *value, size_t *len)
{
	int n = api_kind(ch) == API_FAST;

	switch (option) {
	case FSOCK_FD:
		return ch->fd >= 0 ? api_put(value, len, &ch->fd, sizeof(ch->fd)) : -EOPNOTSUPP;
	case FSOCK_LOCAL:
	case FSOCK_PEER:
		return put_name(ch, option == FSOCK_PEER, value, len);
	case FSOCK_ACCELERATED:
		return api_put(value, len, &n, sizeof(n));
	case FSOCK_REASON:
		return put_way(ch, value, len);
	case FSOCK_HELD:
		return api_put(value, len, &ch->bare.n_held, sizeof(ch->bare.n_held));
	case FSOCK_TCP_INFO:
		return bare_ask(ch->ctx, &ch->bare, BARE_INFO, value, len);
	default:
		return -ENOPROTOOPT;
	}
}

static int get_info(const struct fsock_channel *ch, void *value, size_t *len)
{
	socklen_t bytes = (socklen_t)FS_MIN(*len, (size_t)INT32_MAX);
	int ret = api_socket_get(ch, IPPROTO_TCP, TCP_INFO, value, &bytes);

	*len = bytes;
	return ret;
}

static int get_option(struct fsock_channel *ch, int option, void *value, size_t *len)
{
	int64_t timeout;
	int n = 0, ret = 0;

	switch (option) {
	case FSOCK_PAUSED:
		n = api_is_bare(ch) ? ch->bare.paused : ch->paused;
		return api_put(value, len, &n, sizeof(n));
	case FSOCK_TX_TIMEOUT:
		timeout = fs_load_relaxed(&ch->tx_timeout);
		return api_put(value, len, &timeout, sizeof(timeout));
	case FSOCK_NODELAY:
	case FSOCK_KEEPALIVE:
	case FSOCK_LINGER:
	case FSOCK_USER_TIMEOUT:
	case FSOCK_ERROR:
	case FSOCK_RX_QUEUED:
	case FSOCK_TX_QUEUED:
		if (api_is_bare(ch))
			ret = get_fast(ch, option, &n);
		else
			n = get_kernel(ch, option);
		return ret < 0 ? ret : api_put(value, len, &n, sizeof(n));
	default:
		if (api_is_bare(ch))
			return get_bare(ch, option, value, len);
		if (option == FSOCK_TCP_INFO)
			return get_info(ch, value, len);
		return option == FSOCK_RX_STAMPS ? -ENOPROTOOPT : CONTEXT_KERNEL;
	}
}

int api_stream_getopt(struct fsock_channel *ch, int option, void *value, size_t *len)
{
	bool bare;
	int ret;

	do {
		bare = api_is_bare(ch);
		ret = get_option(ch, option, value, len);
	} while (bare && ret == CONTEXT_KERNEL);
	return ret;
}
