/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * activation.c - sockets that a service manager opened for this program (sd_listen_fds(3)).
 *
 * LISTEN_FDS numbers from 3 on are meant for the process LISTEN_PID, and the manager lets them alone while that
 * lives. So they are taken before the program begins, as if it had opened them itself: options that differ from a
 * fresh socket's are followed, and what waits in the kernel's queues is served beside the fast path. Of other sockets
 * that a program inherits nobody says who else reads them: they stay the kernel's.
 */
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "context/lifecycle.h"
#include "preload/leave.h"
#include "preload/libc.h"
#include "preload/socket.h"

enum { FIRST = 3, MAX = 1024 };

static const struct { int level, name; } options[] = {
	{ SOL_SOCKET, SO_REUSEADDR },	 { SOL_SOCKET, SO_REUSEPORT },	 { SOL_SOCKET, SO_BINDTODEVICE },
	{ SOL_SOCKET, SO_MARK },	 { SOL_SOCKET, SO_PRIORITY },	 { SOL_SOCKET, SO_BROADCAST },
	{ SOL_SOCKET, SO_KEEPALIVE },	 { SOL_SOCKET, SO_OOBINLINE },	 { SOL_SOCKET, SO_LINGER },
	{ SOL_SOCKET, SO_RCVBUF },	 { SOL_SOCKET, SO_SNDBUF },	 { SOL_SOCKET, SO_TIMESTAMP },
	{ SOL_SOCKET, SO_TIMESTAMPNS },	 { SOL_SOCKET, SO_INCOMING_CPU }, { IPPROTO_IP, IP_TOS },
	{ IPPROTO_IP, IP_TTL },		 { IPPROTO_IP, IP_FREEBIND },	 { IPPROTO_IP, IP_TRANSPARENT },
	{ IPPROTO_IP, IP_PKTINFO },	 { IPPROTO_IPV6, IPV6_V6ONLY },	 { IPPROTO_IPV6, IPV6_TCLASS },
	{ IPPROTO_IPV6, IPV6_RECVPKTINFO }, { IPPROTO_TCP, TCP_NODELAY }, { IPPROTO_TCP, TCP_KEEPIDLE },
	{ IPPROTO_TCP, TCP_KEEPINTVL },	 { IPPROTO_TCP, TCP_KEEPCNT },	 { IPPROTO_TCP, TCP_DEFER_ACCEPT },
	{ IPPROTO_TCP, TCP_FASTOPEN },	 { IPPROTO_TCP, TCP_MAXSEG },	 { IPPROTO_TCP, TCP_CONGESTION },
	{ IPPROTO_TCP, TCP_USER_TIMEOUT },
};

struct value {
	char bytes[64];
	socklen_t len;
};

static bool get(int fd, int level, int name, struct value *v)
{
	*v = (struct value){ .len = sizeof(v->bytes) };
	return LIBC(getsockopt)(fd, level, name, v->bytes, &v->len) == 0;
}

static int number(int fd, int level, int name)
{
	struct value v;
	int n = -1;

	if (get(fd, level, name, &v) && v.len == sizeof(n))
		memcpy(&n, v.bytes, sizeof(n));
	return n;
}

/* The kernel tells twice what was asked for (socket(7)). */
static void halve(struct value *v)
{
	int n;

	memcpy(&n, v->bytes, sizeof(n));
	n /= 2;
	memcpy(v->bytes, &n, sizeof(n));
}

/* What @fd has and a socket just made has not. */
static void follow_options(int fd, int fresh)
{
	for (size_t i = 0; i < FS_ARRAY_SIZE(options); i++) {
		int level = options[i].level, name = options[i].name;
		struct value its, usual;

		if (!get(fd, level, name, &its) || !get(fresh, level, name, &usual) ||
		    (its.len == usual.len && memcmp(its.bytes, usual.bytes, its.len) == 0))
			continue;
		if (level == SOL_SOCKET && (name == SO_RCVBUF || name == SO_SNDBUF))
			halve(&its);
		preload_option_set(fd, level, name, its.bytes, its.len);
	}
}

/* With the backlog that it has, which TCP_INFO tells of a listener in this place. */
static void listen_on(int fd)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	if (LIBC(getsockopt)(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0)
		listen(fd, (int)info.tcpi_sacked);
}

static void take(int fd)
{
	int domain = number(fd, SOL_SOCKET, SO_DOMAIN), type = number(fd, SOL_SOCKET, SO_TYPE);
	int protocol = number(fd, SOL_SOCKET, SO_PROTOCOL), fresh;
	bool listens = number(fd, SOL_SOCKET, SO_ACCEPTCONN) == 1;
	int flags = fcntl(fd, F_GETFL);

	if (fsock_context && fd_kind_is_sock(fd_kind_of(&fsock_context->fds, fd)))
		return; /* passed on with the stack of the program before */
	if ((domain != AF_INET && domain != AF_INET6) || !(type == SOCK_DGRAM || (type == SOCK_STREAM && listens)))
		return;
	fresh = LIBC(socket)(domain, type | SOCK_CLOEXEC, protocol);
	if (fresh < 0)
		return;
	preload_opened(fd, domain, type | (flags & O_NONBLOCK ? SOCK_NONBLOCK : 0), protocol);
	if (fsock_context) {
		lifecycle_lent(fsock_context, fd);
		follow_options(fd, fresh);
		lifecycle_bound(fsock_context, fd, true);
		if (listens)
			listen_on(fd);
		lifecycle_named(fsock_context, fd, NULL, 0);
	}
	close(fresh);
}

/* The number in the environment; 0 = none. */
static long told(const char *name)
{
	const char *text = getenv(name);

	return text ? strtol(text, NULL, 10) : 0;
}

__attribute__((constructor)) static void take_all(void)
{
	long n = told("LISTEN_FDS");
	int saved = errno;

	if (n <= 0 || n > MAX || told("LISTEN_PID") != getpid() || preload_leave_confined())
		return;
	for (int fd = FIRST; fd < FIRST + n; fd++)
		take(fd);
	errno = saved;
}
