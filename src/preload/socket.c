/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * socket.c - making sockets and changing what they are: the kernel acts first, then the context hears.
 *
 * Of datagram sockets the shadow's answers are the right ones to getsockname(), getpeername() and, but for one option,
 * getsockopt(). Of a connection the engine's are.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "context/lifecycle.h"
#include "context/process.h"
#include "context/stream.h"
#include "preload/inherit.h"
#include "preload/leave.h"
#include "preload/libc.h"
#include "preload/process.h"
#include "preload/socket.h"

void preload_opened(int fd, int domain, int type, int protocol)
{
	inherit_take_up();
	lifecycle_opened(fd, domain, type, protocol, (context_ppoll_fn *)(void *)LIBC(ppoll));
	preload_register_fork();
	preload_leave_opened(fd);
}

static bool is_ours(int domain, int type)
{
	if (domain == AF_UNIX)
		return (type & 0xf) == SOCK_STREAM && context_takes_unix();
	return domain == AF_INET || domain == AF_INET6;
}

FSOCK_EXPORT int socket(int domain, int type, int protocol)
{
	int fd = LIBC(socket)(domain, type, protocol);

	if (fd < 0)
		return fd;
	if (!preload_leave_confined() && is_ours(domain, type))
		preload_opened(fd, domain, type, protocol);
	else
		lifecycle_reused(fsock_context, fd);
	return fd;
}

/* Did the program ask for a certain port? */
static bool names_port(const struct sockaddr *addr, socklen_t len)
{
	struct sockaddr_in in; /* the port lies at the same place in both families */

	if (len < sizeof(in))
		return false;
	memcpy(&in, addr, sizeof(in));
	return in.sin_port != 0;
}

FSOCK_EXPORT int bind(int fd, const struct sockaddr *addr, socklen_t len)
{
	int ret = stream_bind(context_of(fsock_context, fd), fd, addr, len);

	if (ret != CONTEXT_KERNEL)
		return (int)libc_result(ret);
	ret = LIBC(bind)(fd, addr, len);
	if (ret == 0 && fsock_context) {
		lifecycle_bound(context_of(fsock_context, fd), fd, names_port(addr, len));
		lifecycle_named(context_of(fsock_context, fd), fd, NULL, 0);
	}
	return ret;
}

FSOCK_EXPORT int connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	int ret = stream_connect(context_of(fsock_context, fd), fd, addr, len);

	if (ret != CONTEXT_KERNEL)
		return (int)libc_result(ret);
	ret = LIBC(connect)(fd, addr, len);
	if (!fsock_context)
		return ret;
	if (ret == 0)
		lifecycle_connected(context_of(fsock_context, fd), fd);
	if (ret == 0 || errno == EINPROGRESS) {
		int saved = errno;

		stream_connected(context_of(fsock_context, fd), fd);
		lifecycle_named(context_of(fsock_context, fd), fd, addr, len);
		errno = saved;
	}
	return ret;
}

/* Unbound, it gets its port here. */
FSOCK_EXPORT int listen(int fd, int backlog)
{
	int ret = stream_listen(context_of(fsock_context, fd), fd, backlog);

	if (ret != CONTEXT_KERNEL)
		return (int)libc_result(ret);
	ret = LIBC(listen)(fd, backlog);
	if (ret == 0 && fsock_context)
		lifecycle_named(context_of(fsock_context, fd), fd, NULL, 0);
	return ret;
}

/* A connection of the kernel's for a listener that only the kernel has. */
static int accepted(int fd)
{
	if (fd >= 0 && fsock_context)
		lifecycle_reused(fsock_context, fd);
	return fd;
}

FSOCK_EXPORT int accept(int fd, struct sockaddr *name, socklen_t *len)
{
	int ret = stream_accept(context_of(fsock_context, fd), fd, name, len, 0);

	return ret == CONTEXT_KERNEL ? accepted(LIBC(accept)(fd, name, len)) : (int)libc_result(ret);
}

FSOCK_EXPORT int accept4(int fd, struct sockaddr *name, socklen_t *len, int flags)
{
	int ret = stream_accept(context_of(fsock_context, fd), fd, name, len, flags);

	return ret == CONTEXT_KERNEL ? accepted(LIBC(accept4)(fd, name, len, flags)) : (int)libc_result(ret);
}

FSOCK_EXPORT int getsockname(int fd, struct sockaddr *name, socklen_t *len)
{
	int ret = stream_name(context_of(fsock_context, fd), fd, false, name, len);

	return ret == CONTEXT_KERNEL ? LIBC(getsockname)(fd, name, len) : (int)libc_result(ret);
}

FSOCK_EXPORT int getpeername(int fd, struct sockaddr *name, socklen_t *len)
{
	int ret = stream_name(context_of(fsock_context, fd), fd, true, name, len);

	return ret == CONTEXT_KERNEL ? LIBC(getpeername)(fd, name, len) : (int)libc_result(ret);
}

FSOCK_EXPORT int shutdown(int fd, int how)
{
	int ret = stream_shutdown(context_of(fsock_context, fd), fd, how);

	if (ret != CONTEXT_KERNEL)
		return (int)libc_result(ret);
	ret = LIBC(shutdown)(fd, how);

	/* On an unconnected datagram socket the kernel says ENOTCONN and shuts it down all the same. */
	if (fsock_context && (ret == 0 || errno == ENOTCONN)) {
		int saved = errno;

		lifecycle_shut_down(context_of(fsock_context, fd), fd);
		errno = saved;
	}
	return ret;
}

int preload_option_set(int fd, int level, int name, const void *value, socklen_t len)
{
	struct context *o;
	int ret = 0;

	if (stream_is(context_of(fsock_context, fd), fd)) {
		CONTEXT_EACH(o, fsock_context)
			if (stream_is(o, fd))
				ret = stream_option(o, fd, level, name, value, len);
		return (int)libc_result(ret);
	}
	lifecycle_option(context_of(fsock_context, fd), fd, level, name, value, len);
	return 0;
}

FSOCK_EXPORT int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	struct context *ctx = context_of(fsock_context, fd);
	int ret = stream_is(ctx, fd) ? stream_option_before(ctx, fd, level, name) : 0;

	if (ret < 0)
		return (int)libc_result(ret);
	ret = LIBC(setsockopt)(fd, level, name, value, len);
	if (ret < 0 && errno == EINVAL && stream_is(context_of(fsock_context, fd), fd) &&
	    stream_option_again(context_of(fsock_context, fd), fd, level, name, value, len))
		ret = LIBC(setsockopt)(fd, level, name, value, len);
	return ret < 0 || !fsock_context ? ret : preload_option_set(fd, level, name, value, len);
}

FSOCK_EXPORT int getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	int ret = stream_get_option(context_of(fsock_context, fd), fd, level, name, value, len), limit;

	if (ret != CONTEXT_KERNEL)
		return (int)libc_result(ret);
	ret = LIBC(getsockopt)(fd, level, name, value, len);
	if (ret == 0 && fsock_context && level == SOL_SOCKET && name == SO_RCVBUF) {
		limit = lifecycle_rcvbuf(context_of(fsock_context, fd), fd);
		if (limit >= 0)
			memcpy(value, &limit, FS_MIN((size_t)*len, sizeof(limit)));
	}
	return ret;
}
