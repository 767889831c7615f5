/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bare_internal.h - what bare.c and bare_link.c share, and local.c asks of the latter. All with the stack's lock held.
 */
#ifndef FSOCK_CONTEXT_BARE_INTERNAL_H
#define FSOCK_CONTEXT_BARE_INTERNAL_H

#include "context/bare.h"
#include "context/stream_internal.h"

/* --- bare.c --- */

/* The engine's connection of @bare, which has none, unconnected. 0 or -ENOMEM. */
int bare_open_locked(struct context *ctx, struct bare *bare);

/* The same, which comes to nothing: its options were read. */
void bare_drop(struct context *ctx, struct bare *bare);

/* What the native interface sets of them, to the kernel socket @fd. */
void bare_put_options(int fd, const struct tcp_options *options);

/* --- bare_link.c: of a connection over a link (bare->by_link), but for the first two --- */

/* Connect @bare to @remote, if a link leads there: -EINPROGRESS, or CONTEXT_KERNEL. */
int bare_link_connect(struct context *ctx, struct bare *bare, const struct bare_from *from,
		      const struct ip_addr *remote, uint16_t port);

/* @bare is the next connection that waits at @listener, which has one by a link. */
void bare_link_accept(struct context *ctx, struct bare *bare, struct sock *listener);

/* What has become of it: 0, -EINPROGRESS, or how it failed: then @bare is unconnected. */
int bare_link_outcome(struct context *ctx, struct bare *bare);

/* As tcp_send() and tcp_recv(), driving the link, and the stack where there is no room or there are no bytes. Also
 * CONTEXT_KERNEL: it moved. */
ssize_t bare_link_send(struct context *ctx, struct bare *bare, const struct iovec *iov);
ssize_t bare_link_receive(struct context *ctx, struct bare *bare, const struct iovec *iov, uint32_t flags);

/* As the calls of these names. */
int bare_link_shutdown(struct context *ctx, struct bare *bare, uint32_t how);
int bare_link_name(const struct bare *bare, bool v6, bool peer, void *name, socklen_t *len);
void bare_link_get_options(struct context *ctx, const struct bare *bare, struct tcp_options *options);
void bare_link_set_options(struct bare *bare, const struct tcp_options *options);
int bare_link_ask(struct bare *bare, enum bare_ask what, void *value, size_t *len);
int bare_link_move(struct context *ctx, struct bare *bare, int reason);

/* It is nobody's, and the other side is told. */
void bare_link_end(struct context *ctx, struct local_conn *conn, bool abort);

/* Those of the process of @slot end, as by close(). */
void bare_link_bury(struct context *ctx, unsigned slot);

/* @conn is in the list of those that bare_link_settle() looks at. */
void bare_link_settle_later(struct context *ctx, struct local_conn *conn);

/* The other side of @conn has moved: its process follows, who sleeps is woken for that. */
void bare_link_moved(struct context *ctx, struct local_conn *conn);

/* Those of this process whose connect was answered, or not in time, or whose other side moved; and when that has to be
 * looked at again, FS_NEVER = it need not. */
void bare_link_settle(struct context *ctx);
fs_ns bare_link_next(const struct context *ctx);

#endif
