/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stream.h - TCP sockets, as front doors call them.
 *
 * Does:     connect, listen, accept, send, receive, shut down, names and options of sockets whose connection or
 *           listener is the engine's; the choice between engine and kernel at connect() and listen().
 * Does not: make or close descriptors, but that of an accepted connection: its shadow.
 *
 * A descriptor that the kernel serves alone is answered with CONTEXT_KERNEL: the caller makes libc's call.
 *
 * Threads:  any; the functions take the stack's lock unless marked.
 * Errors:   -errno. errno itself is left alone. SIGPIPE is raised as the kernel does.
 */
#ifndef FSOCK_CONTEXT_STREAM_H
#define FSOCK_CONTEXT_STREAM_H

#include <stdbool.h>
#include <sys/socket.h>

#include "context/context.h"
#include "context/datagram.h"

/* Is @fd a TCP socket that the context looks after? Cheap, no lock. */
static inline bool stream_is(struct context *ctx, int fd)
{
	return ctx && fd_kind_of(&ctx->fds, fd) == FD_STREAM;
}

/* Before bind(2): the error where there is a connection, of which the shadow knows nothing; else CONTEXT_KERNEL. */
int stream_bind(struct context *ctx, int fd, const struct sockaddr *name, socklen_t len);

/* connect(2), which waits where the socket does. */
int stream_connect(struct context *ctx, int fd, const struct sockaddr *name, socklen_t len);

/* libc's connect() did, or began to, after CONTEXT_KERNEL. */
void stream_connected(struct context *ctx, int fd);

/* listen(2): the shadow's as well. */
int stream_listen(struct context *ctx, int fd, int backlog);

/* What listens at @fd will accept connections without descriptors: other stacks have no twins of it (sister.h). Before
 * stream_listen(). */
void stream_stand_alone(struct context *ctx, int fd);

/* accept4(2): a descriptor. @name and @len as given by the program. */
int stream_accept(struct context *ctx, int fd, struct sockaddr *name, socklen_t *len, int flags);

/* The same without a descriptor where the connection is the engine's: @bare, zeroed, has it then. Else the descriptor
 * of one that is the kernel's or comes over a link, non-blocking. @wait: ns, 0 = never, -1 = for ever. */
struct bare;
int stream_accept_bare(struct context *ctx, int fd, struct bare *bare, fs_ns wait);

/* Bytes, 0 at the end. @d as for datagrams; the name of a receive becomes empty. */
ssize_t stream_send(struct context *ctx, int fd, const struct datagram *d);
ssize_t stream_receive(struct context *ctx, int fd, struct datagram *d);

/* The same, which wait as long as @wait says whatever the socket is set to: ns, 0 = not, -1 = for ever. */
ssize_t stream_send_within(struct context *ctx, int fd, const struct datagram *d, fs_ns wait);
ssize_t stream_receive_within(struct context *ctx, int fd, struct datagram *d, fs_ns wait);

/*
 * sendfile(2) from @file into @fd. @offset: read from there on and moved, NULL = the file's own position. The file is
 * the program's and ordinary, or libc's call has the error.
 */
ssize_t stream_send_file(struct context *ctx, int fd, int file, int64_t *offset, size_t count);

/* splice(2) between @fd and a pipe; @flags are its. What is no pipe is libc's. */
ssize_t stream_from_pipe(struct context *ctx, int fd, int pipe, size_t len, unsigned flags);
ssize_t stream_to_pipe(struct context *ctx, int fd, int pipe, size_t len, unsigned flags);

int stream_shutdown(struct context *ctx, int fd, int how);

/* getsockname(2), @peer: getpeername(2). */
int stream_name(struct context *ctx, int fd, bool peer, struct sockaddr *name, socklen_t *len);

/* Before setsockopt(2): -EINVAL if a connection comes too late for it, which the shadow does not know of; else 0. A
 * connection that gets what only the kernel has moves there. */
int stream_option_before(struct context *ctx, int fd, int level, int name);

/* It failed with EINVAL: true if that was for want of a connection, which now is there: call it again. */
bool stream_option_again(struct context *ctx, int fd, int level, int name, const void *value, socklen_t len);

/* setsockopt(2) on @fd succeeded on the shadow: follow. 0 or -errno that the engine has for it. */
int stream_option(struct context *ctx, int fd, int level, int name, const void *value, socklen_t len);

/* The options that are known, one after the other. False: @i is past the last. No lock. */
bool stream_option_at(size_t i, int *level, int *name);

/* getsockopt(2) of what the engine knows better than the shadow; CONTEXT_KERNEL for the rest. */
int stream_get_option(struct context *ctx, int fd, int level, int name, void *value, socklen_t *len);

/* SIOCINQ (FIONREAD), SIOCOUTQ, SIOCOUTQNSD, SIOCATMARK: the answer, CONTEXT_KERNEL or -errno. */
int stream_ioctl(struct context *ctx, int fd, unsigned long request);

/* O_NONBLOCK as the program knows it, where the shadow's own differs; -1 = ask the shadow. */
int stream_nonblock(struct context *ctx, int fd);

/* Before close(@fd): waits as SO_LINGER asks. */
void stream_linger(struct context *ctx, int fd);

#endif
