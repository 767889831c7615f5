/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * socket.c - making sockets and changing what they are: the kernel acts first, then the context hears.
 *
 * getsockname(), getpeername() are not here: the shadow's answers are the right ones. So are those of
 * getsockopt(), but for one.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "context/lifecycle.h"
#include "context/process.h"
#include "preload/libc.h"
#include "preload/process.h"

FSOCK_EXPORT int socket(int domain, int type, int protocol)
{
	int fd = LIBC(socket)(domain, type, protocol);

	if (fd < 0)
		return fd;
	if (domain == AF_INET || domain == AF_INET6) {
		lifecycle_opened(fd, domain, type, protocol, (context_ppoll_fn *)(void *)LIBC(ppoll));
		preload_register_fork();
	} else {
		lifecycle_reused(fsock_context, fd);
	}
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
	int ret = LIBC(bind)(fd, addr, len);

	if (ret == 0 && fsock_context) {
		lifecycle_bound(fsock_context, fd, names_port(addr, len));
		lifecycle_named(fsock_context, fd, NULL, 0);
	}
	return ret;
}

FSOCK_EXPORT int connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	int ret = LIBC(connect)(fd, addr, len);

	if (!fsock_context)
		return ret;
	if (ret == 0)
		lifecycle_connected(fsock_context, fd);
	if (ret == 0 || errno == EINPROGRESS)
		lifecycle_named(fsock_context, fd, addr, len);
	return ret;
}

/* Unbound, it gets its port here. */
FSOCK_EXPORT int listen(int fd, int backlog)
{
	int ret = LIBC(listen)(fd, backlog);

	if (ret == 0 && fsock_context)
		lifecycle_named(fsock_context, fd, NULL, 0);
	return ret;
}

FSOCK_EXPORT int shutdown(int fd, int how)
{
	int ret = LIBC(shutdown)(fd, how);

	/* On an unconnected datagram socket the kernel says ENOTCONN and shuts it down all the same. */
	if (fsock_context && (ret == 0 || errno == ENOTCONN)) {
		int saved = errno;

		lifecycle_shut_down(fsock_context, fd);
		errno = saved;
	}
	return ret;
}

FSOCK_EXPORT int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	int ret = LIBC(setsockopt)(fd, level, name, value, len);

	if (ret == 0 && fsock_context)
		lifecycle_option(fsock_context, fd, level, name, value, len);
	return ret;
}

FSOCK_EXPORT int getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	int ret = LIBC(getsockopt)(fd, level, name, value, len), limit;

	if (ret == 0 && fsock_context && level == SOL_SOCKET && name == SO_RCVBUF) {
		limit = lifecycle_rcvbuf(fsock_context, fd);
		if (limit >= 0)
			memcpy(value, &limit, FS_MIN((size_t)*len, sizeof(limit)));
	}
	return ret;
}
