/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sister_internal.h - what the files of sisters share. All with the stack's lock held.
 */
#ifndef FSOCK_CONTEXT_SISTER_INTERNAL_H
#define FSOCK_CONTEXT_SISTER_INTERNAL_H

#include "base/passage.h"
#include "context/context.h"
#include "tcp/shares.h"

static_assert((int)CONTEXT_STACKS == (int)TCP_SHARES_STACKS && (int)CONTEXT_STACKS == (int)STREAM_STACKS,
	      "every stack has a column");

/* What they have in common, in home's memory. */
struct sister_family {
	unsigned n;
	uint32_t stamped[CONTEXT_STACKS]; /* sockets of each that want to know when frames arrive */
	struct tcp_shares shares;
	struct passage passage[CONTEXT_STACKS][CONTEXT_STACKS]; /* from the first to the second */
};

/* passage_note.kind. SISTER_INCOMING: `passed` more wait at the twin of listener word[0]; word[1] is its generation
 * below the stack's index. */
enum sister_note { SISTER_FRAME, SISTER_INCOMING };

/* Into the passage to @stack. False: it is full. */
bool sister_put(struct context *ctx, unsigned stack, const struct passage_note *note, const struct fbuf *frame);

/* --- sister_listen.c --- */

/* A note of a sister's about a listener of home's. */
void sister_came(struct context *home, const struct passage_note *note);

/* Tell home what there was no room for. */
void sister_tell_home(struct context *ctx);

#endif
