/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * datagram.h - datagrams over a link: one ring each way for all sockets of both stacks.
 *
 * A datagram is a head, which says from whom it comes and to whom it goes, and its bytes; it is put whole, or not at
 * all. There are no connections: whom it is for is found at the other end, by the look-up of those that come by a wire.
 * What finds nobody there goes back to who sent it, who knows what the kernel would have made of it.
 *
 * Does:     put, show what came where it lies, pass; give back what the other side had not read when the link ended.
 * Does not: know sockets, or which addresses are the other side's: heads are copied once, and their user's to judge.
 * Trust:    what cannot be ends the link (link.h). The bytes may be any, and change while they are read.
 * Threads:  holder of the stack's lock only.
 */
#ifndef FSOCK_LOCAL_DATAGRAM_H
#define FSOCK_LOCAL_DATAGRAM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "local/format.h"
#include "local/stream.h"

struct local_link;

enum { LOCAL_DATAGRAM_PARTS = 16 /* pieces that one can be put together from */ };

enum local_datagram_kind {
	LOCAL_DATAGRAM = 1, /* from src to dst */
	LOCAL_RETURNED,	    /* the same, from who should have had it: nobody has dst */
	LOCAL_GONE,	    /* nobody has src any more; no bytes, no dst */
	LOCAL_N_DATAGRAM_KINDS
};

/* Of one link; its own memory. */
struct local_datagrams {
	struct local_tx tx;
	struct local_rx rx;
	struct local_rx back; /* once it has ended: what the other side did not read of ours */
	uint32_t here, len;   /* bytes in the ring, and of payload, of the one that was shown last; 0 = it was passed */
	bool is_used;	      /* this side has put some */
};

/* A datagram where it lies. */
struct local_shown {
	struct local_datagram head; /* copied; kind and len are possible ones */
	struct iovec part[2];	    /* its bytes; the second of length 0 where they are in one piece */
	int n;			    /* of part that are used: 0 to 2 */
};

/* Send @head and head->len bytes, which @iov has, in up to LOCAL_DATAGRAM_PARTS pieces. False: there is no room, or no
 * link any more. */
bool local_datagram_put(struct local_link *link, const struct local_datagram *head, const struct iovec *iov, int n);

/* What came, the oldest first; it stays until it is passed. False: nothing, or no link any more. */
bool local_datagram_next(struct local_link *link, struct local_shown *shown);

/* The one that was shown is done with; nothing, where the link has ended since. */
void local_datagram_pass(struct local_link *link);

/* The link has ended: what was put and the other side did not read, the oldest first, each once. False: no more. */
bool local_datagram_unread(struct local_link *link, struct local_shown *shown);

#endif
