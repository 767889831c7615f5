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
#include "context/sister.h"
#include "context/stream.h"
#include "preload/leave.h"
#include "preload/libc.h"
#include "preload/socket.h"
#include "socket/opts.h"

enum { FIRST = 3, MAX = 1024 };

struct value {
	char bytes[64];
	socklen_t len;
};

/* SO_GET_FILTER has the number of SO_ATTACH_FILTER and counts instructions: without room it says how many there are, and
 * refuses where they are not of the kind that it shows. */
static bool get(int fd, int level, int name, struct value *v)
{
	bool filter = level == SOL_SOCKET && name == SO_ATTACH_FILTER;

	*v = (struct value){ .len = filter ? 0 : sizeof(v->bytes) };
	if (LIBC(getsockopt)(fd, level, name, v->bytes, &v->len) == 0)
		return true;
	v->len = filter && errno == EACCES;
	return v->len > 0;
}

static bool equal(const struct value *a, const struct value *b)
{
	return a->len == b->len && memcmp(a->bytes, b->bytes, FS_MIN((size_t)a->len, sizeof(a->bytes))) == 0;
}

static int number(int fd, int level, int name)
{
	struct value v;
	int n = -1;

	if (get(fd, level, name, &v) && v.len == sizeof(n))
		memcpy(&n, v.bytes, sizeof(n));
	return n;
}

/* The table of one half of the engine's. */
typedef bool options_fn(size_t i, int *level, int *name);

/* What @fd has and a socket just made has not. What the engine does not carry leaves it to the kernel. */
static void follow_options(int fd, int fresh, options_fn *at)
{
	int level, name;

	for (size_t i = 0; at(i, &level, &name); i++) {
		struct value its, usual;

		if (get(fd, level, name, &its) && get(fresh, level, name, &usual) && !equal(&its, &usual))
			preload_option_set(fd, level, name, its.bytes, FS_MIN(its.len, (socklen_t)sizeof(its.bytes)));
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

	if (context_knows(fsock_context, fd))
		return; /* passed on with the stack of the program before */
	if ((domain != AF_INET && domain != AF_INET6) || !(type == SOCK_DGRAM || (type == SOCK_STREAM && listens)))
		return;
	fresh = LIBC(socket)(domain, type | SOCK_CLOEXEC, protocol);
	if (fresh < 0)
		return;
	preload_opened(fd, domain, type | (flags & O_NONBLOCK ? SOCK_NONBLOCK : 0), protocol);
	if (fsock_context) {
		lifecycle_lent(fsock_context, fd);
		follow_options(fd, fresh, listens ? stream_option_at : sock_opt_at);
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
