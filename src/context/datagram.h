/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * datagram.h - sending and receiving on an accelerated datagram socket.
 *
 * Every receive serves two sources, the stack's queue and the shadow's, neither starving the other.
 * Every send that the fast path cannot carry exactly takes the shadow.
 *
 * Threads:  any; the functions take the stack's lock.
 * Errors:   -errno. errno itself is left alone.
 */
#ifndef FSOCK_CONTEXT_DATAGRAM_H
#define FSOCK_CONTEXT_DATAGRAM_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "context/context.h"

/* Returned instead of a result: the caller makes libc's call on the shadow with its own arguments. */
#define DATAGRAM_KERNEL CONTEXT_KERNEL

/* MSG_CMSG_COMPAT, which recvmsg() and sendmsg() refuse and recv() and send() ignore. */
#define DATAGRAM_COMPAT ((int)0x80000000)

/* One message, as send() or recv() sees it. */
struct datagram {
	const struct iovec *iov;
	size_t n_iov;
	int flags;		/* MSG_* of the call */
	void *name;		/* send: destination or NULL. receive: where to put the source or NULL */
	socklen_t name_len;	/* in: bytes at name. receive, out: length of the source's address */
	void *control;		/* send: control data. receive: room for it */
	size_t control_len;	/* in: bytes. receive, out: used */
	fs_ns *stamp;		/* send, out: when it left, ns of CLOCK_REALTIME; NULL = not wanted */
	int msg_flags;		/* receive, out: MSG_TRUNC, MSG_CTRUNC and what the shadow sets */
};

/* The socket behind @fd if its calls are ours now; NULL = libc's. Cheap, no lock. */
static inline struct sock *datagram_sock(struct context *ctx, int fd)
{
	struct fd_entry *e;

	if (!ctx)
		return NULL;
	e = fd_entry_at(&ctx->fds, fd);
	return e && fs_load_acquire(&e->kind) == FD_SOCK ? fs_load_relaxed(&e->object) : NULL;
}

enum {
	RW_MAX = INT32_MAX & ~4095, /* bytes: MAX_RW_COUNT, no call of the kernel's moves more */
};

#define DATAGRAM_NO_BUFFER (1ULL << 56) /* bytes: so long is none, no program has the addresses */

/* How much the call is about, as the kernel's import_iovec() has it: 0 and *total, -EMSGSIZE, -EINVAL or -EFAULT. */
int datagram_check_iov(const struct datagram *d, size_t *total);

/* Bytes received (the datagram's length with MSG_TRUNC), DATAGRAM_KERNEL, or -errno. */
ssize_t datagram_receive(struct context *ctx, int fd, struct datagram *d);

/* One look at the shadow, without waiting and without the lock: as recvmsg(2), for the call that @d describes. */
ssize_t datagram_read_shadow(int fd, struct datagram *d);

/* Bytes sent, DATAGRAM_KERNEL, or -errno. */
ssize_t datagram_send(struct context *ctx, int fd, const struct datagram *d);

/*
 * The same for @n of them in a row, with one start of the provider. Returns how many were sent, each
 * whole; when that is less than @n, *result is what datagram_send() would say of the next.
 */
unsigned datagram_send_many(struct context *ctx, int fd, const struct datagram *d, unsigned n,
			    ssize_t *result);

/* libc's call sent @bytes, which are @d, on the shadow of @fd (after DATAGRAM_KERNEL): account, and see
 * whether the client has earned its port. */
void datagram_sent_by_kernel(struct context *ctx, int fd, ssize_t bytes, const struct datagram *d);

/* SIOCGSTAMP: when the last datagram arrived, CLOCK_REALTIME. False: the shadow's answer is the right one.
 * From now on arrivals are stamped. */
bool datagram_last_stamp(struct context *ctx, int fd, fs_ns *stamp);

/* FIONREAD: bytes of the next datagram in the stack's queue, which the next receive takes. 0 = none, or the shadow may have
 * one before it: ask the shadow, and call datagram_shadow_told() when it has one, else this once more, with @none_before.
 * -1: not ours. */
int datagram_next_length(struct context *ctx, int fd, bool none_before);
void datagram_shadow_told(struct context *ctx, int fd);

#endif
