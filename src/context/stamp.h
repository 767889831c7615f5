/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stamp.h - times of arrival: taken with the frames, told with the datagrams.
 *
 * Does:     count who wants stamps, stamp frames while somebody does, have providers do it, SO_TIMESTAMP and
 *           SO_TIMESTAMPING as control messages, SIOCGSTAMP.
 * Does not: know the rules (socket/stamp.h); stamp what is sent (errqueue.h).
 * Threads:  holder of the stack's lock, unless marked.
 */
#ifndef FSOCK_CONTEXT_STAMP_H
#define FSOCK_CONTEXT_STAMP_H

#include <stdbool.h>
#include <stdint.h>

#include "context/control.h"
#include "context/internal.h"

/* What @s wants to know has changed, or (@s ends) is nothing any more. */
void stamp_changed(struct context *ctx, struct sock *s);
void stamp_forget(struct context *ctx, struct sock *s);

/* The entries of @s changed: let the ports they are on stamp as well as they can, if it wants stamps, or no
 * longer for its sake. */
void stamp_steered(struct context *ctx, struct sock *s);

/* Sisters (sister.h) may want to know when what is passed to them came: this stack stamps for their sake. */
void stamp_passed(struct context *ctx);

/* Stamp what @h just received, where the provider did not: the stack's count of who wants it is not 0. */
void stamp_frames(struct context *ctx, const struct provider_handle *h, struct fbuf **frames, unsigned n);

/* Tell what @s wants to know of @f; @error: a message of the error queue. */
void stamp_put(struct sock *s, struct fbuf *f, bool error, struct control_writer *w);

/* The same of a segment that came at @stamp (CLOCK_REALTIME), as the kernel's tcp_recv_timestamp(). */
void stamp_put_segment(const struct stamps *t, fs_ns stamp, struct control_writer *w);

/* A datagram of @s came by the shadow, which knows its time. */
static inline void stamp_by_shadow(struct sock *s)
{
	s->stamps.last = STAMP_NEVER;
}

#endif
