/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * beside.c - another preloaded library that wraps socket calls, each by the next definition of its name. At the end it
 * says how many came through it.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static int sockets, sends, depth, deepest;

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* Evaluate @call, one call deeper: who comes back here by it is counted. */
#define DEEPER(call)                                     \
	__extension__({                                  \
		__typeof__(call) ret_;                   \
                                                         \
		depth++;                                 \
		deepest = depth > deepest ? depth : deepest; \
		ret_ = (call);                           \
		depth--;                                 \
		ret_;                                    \
	})

int socket(int domain, int type, int protocol)
{
	sockets++;
	return DEEPER(NEXT(socket)(domain, type, protocol));
}

int connect(int fd, const struct sockaddr *to, socklen_t len)
{
	return DEEPER(NEXT(connect)(fd, to, len));
}

ssize_t send(int fd, const void *data, size_t len, int flags)
{
	sends++;
	return DEEPER(NEXT(send)(fd, data, len, flags));
}

ssize_t recv(int fd, void *data, size_t len, int flags)
{
	return DEEPER(NEXT(recv)(fd, data, len, flags));
}

int close(int fd)
{
	return DEEPER(NEXT(close)(fd));
}

__attribute__((destructor)) static void end(void)
{
	char line[100];
	int n = snprintf(line, sizeof(line), "beside: sockets %d sends %d depth %d\n", sockets, sends, deepest);

	if (sockets && write(1, line, (size_t)n) != n)
		_exit(99);
}
