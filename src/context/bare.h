/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bare.h - connections without a descriptor, as the native interface calls them (socket/bare.h).
 *
 * Does:     begin, send, receive, lend, shut down and end connections of the engine's that have no kernel socket.
 *           Accepting is stream_accept_bare()'s, waiting for many multiplex_bare()'s.
 * Does not: fall back: who cannot begin one is told, and takes a kernel socket. One whose interface is gone waits for
 *           it, and ends by its timeouts.
 *
 * A connection belongs to the process that began or accepted it: calls of another one, a child, fail with -EBADF. It
 * ends with its process as close() ends it.
 *
 * Threads:  any; the functions take the stack's lock. No call may be under way in what another thread closes.
 * Errors:   -errno. -ECONNABORTED: the stack broke. Waits: ns, 0 = never, -1 = for ever; -EAGAIN where @wait is 0, else
 *           -ETIMEDOUT; -EINTR. CONTEXT_KERNEL: it moved to the kernel, before the call or meanwhile; bare->fd is the
 *           socket, not blocking, and from then on the only thing of @bare that counts, with paused and wants_out.
 */
#ifndef FSOCK_CONTEXT_BARE_H
#define FSOCK_CONTEXT_BARE_H

#include <stdbool.h>
#include <sys/socket.h>

#include "context/context.h"
#include "socket/bare.h"

/* An unconnected one, whose options can be set: 0; -ENOMEM. @bare is zeroed, and stays where it is. */
int bare_open(struct context *ctx, struct bare *bare);

/* From where a connection begins. */
struct bare_from {
	bool v6;	      /* the endpoint's family; IPv6 takes mapped addresses too */
	struct ip_addr local; /* any = the route's */
	uint16_t port;	      /* held by the caller's kernel socket, host order; 0 = a leased one */
};

/*
 * Connect @bare, opened if it is not. 0; -EINPROGRESS: the time is up, it goes on; -EALREADY, -EISCONN; as it failed:
 * it may connect anew; CONTEXT_KERNEL: the fast path does not carry it, *reason (enum fs_reason) and ctx->why tell why.
 * Called again it says what became of the first try.
 */
int bare_connect(struct context *ctx, struct bare *bare, const struct bare_from *from, const struct sockaddr *peer,
		 socklen_t len, fs_ns wait, int *reason);

/* Bytes of @buf taken: all but where the time is up, a signal came or the connection ended meanwhile. @flags: enum
 * tcp_send_flags. -EPIPE raises no signal. */
ssize_t bare_send(struct context *ctx, struct bare *bare, const void *buf, size_t len, uint32_t flags, fs_ns wait);

/* Bytes, 0 at the end. @flags: enum tcp_recv_flags. */
ssize_t bare_receive(struct context *ctx, struct bare *bare, void *buf, size_t len, uint32_t flags, fs_ns wait);

/*
 * In place: up to @n pieces of at most @parts chunks each, oldest first, waiting for the first only; no more than
 * @most are lent at a time (-ENOBUFS). Each is told to @give, with the lock held, and belongs to @bare until it is
 * released. Pieces, 0 at the end.
 */
typedef void bare_give_fn(void *to, unsigned i, struct fbuf *piece);
int bare_lend(struct context *ctx, struct bare *bare, unsigned n, unsigned parts, uint32_t most, fs_ns wait,
	      bare_give_fn *give, void *to);

/* Give back the @n pieces @piece[]; any pointers. 0; -EINVAL: one was not lent. */
int bare_release(struct context *ctx, struct bare *bare, struct fbuf *const *piece, unsigned n);

/* @how: enum tcp_shut. 0 or -ENOTCONN. */
int bare_shutdown(struct context *ctx, struct bare *bare, uint32_t how);

/* The address in the kernel's form; -ENOTCONN. @len as for getsockname(2). */
int bare_name(struct context *ctx, struct bare *bare, bool v6, bool peer, void *name, socklen_t *len);

int bare_get_options(struct context *ctx, struct bare *bare, struct tcp_options *options);
int bare_set_options(struct context *ctx, struct bare *bare, const struct tcp_options *options);

/* Does its group tell what can be received? */
int bare_pause(struct context *ctx, struct bare *bare, bool paused);

/* SO_ERROR, SIOCINQ, SIOCOUTQ; TCP_INFO, in @value. */
enum bare_ask { BARE_ERROR, BARE_INQ, BARE_OUTQ, BARE_INFO };
int bare_ask(struct context *ctx, struct bare *bare, enum bare_ask what, void *value, size_t *len);

/* What it lent comes back, and the engine finishes it alone. It is zeroed, and in no set. */
void bare_close(struct context *ctx, struct bare *bare);

/* The same with RST. */
void bare_abort(struct context *ctx, struct bare *bare);

/*
 * The connection moves to the kernel (DESIGN D13), as the socket @fd, which is bound to its port, or one made for it
 * (-1). Threads that wait for it are woken, and told.
 *
 * 0; -ENOTCONN: it is not established, or has ended; -EBUSY: it lends pieces; -EPERM: CAP_NET_ADMIN is missing;
 * -EMFILE, -ENOMEM ...: it stays as it is.
 */
int bare_handover(struct context *ctx, struct bare *bare, int fd);

/* @bare, which its program does not know of yet, or not that: moves because of @reason, if it can. The lock is held. */
int bare_follow(struct context *ctx, struct bare *bare, int reason);

/* Those of this process that the stack's @port carries move, as far as they can: because of @reason it shall not
 * carry them any more. The lock is held. */
void bare_leave(struct context *ctx, unsigned port, int reason);

/* --- bare_record.c: lock held --- */

/* @bare's connection, just bound to it, counts as open, and may get a record; before its end, or its move, the
 * opposite. @conn here: struct tcp_conn or struct local_conn. */
void bare_record_open(struct context *ctx, const struct bare *bare);
void bare_record_close(struct context *ctx, const void *conn);

/* Bring the record of @conn, if it has one, up to date; those of @n places, in turns. */
void bare_record_publish(struct context *ctx, const void *conn);
void bare_record_publish_some(struct context *ctx, unsigned n);

/* --- what the kernel carries --- */

/* The kernel socket @fd is what a connection became that the fast path does not carry: its record says why. */
void bare_declined(struct context *ctx, int fd, int reason);

#endif
