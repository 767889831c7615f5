/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * errqueue.h - the stack's half of a socket's error queue: when datagrams were sent.
 *
 * Does:     messages for SOF_TIMESTAMPING_TX_SOFTWARE and _TX_SCHED of what the fast path sends, with the
 *           frame or (OPT_TSONLY) without; recvmsg(MSG_ERRQUEUE) over both halves.
 * Does not: hold ICMP errors: they are the shadow's. Wait: the error queue never does.
 *
 * A message is a frame of the payload pool: a copy of that which was sent, headers and all, or empty. Its
 * fields mean what they say, seen from the sender: src is our address, ifindex the interface it left by
 * (0 = not to be told); and l3_offset is of enum scm_tstamp, drops the datagram's number. It is charged to the
 * receive buffer, as in the kernel; what finds no room is not reported.
 *
 * Threads:  holder of the stack's lock, unless marked.
 */
#ifndef FSOCK_CONTEXT_ERRQUEUE_H
#define FSOCK_CONTEXT_ERRQUEUE_H

#include <stdint.h>
#include <sys/types.h>

#include "context/datagram.h"
#include "context/internal.h"

/* @s sent @frame, which still waits for the provider, with @flags of STAMP_TX_RECORD. */
void errqueue_sent(struct context *ctx, struct sock *s, const struct fbuf *frame, uint32_t flags);

/*
 * The last frame in the out queue of @port is one that lacks its stamp: if it is alone there and the provider
 * can tell when it leaves, send it now and put what it says into the messages.
 */
void errqueue_send(struct context *ctx, unsigned port);

/* What waited for the provider goes out now: the stamp of all of it that lacks one, and
 * *stamp unless NULL, ns of CLOCK_REALTIME. */
void errqueue_leaves(struct context *ctx, fs_ns *stamp);

/* It did not, and leaves by the shadow instead. */
void errqueue_undo(struct context *ctx, struct sock *s);

/* recvmsg(MSG_ERRQUEUE): bytes, -EAGAIN, another -errno, or DATAGRAM_KERNEL. Any thread. */
ssize_t errqueue_receive(struct context *ctx, int fd, struct datagram *d);

/* @s ends. */
void errqueue_purge(struct sock *s);

#endif
