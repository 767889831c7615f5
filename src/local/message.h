/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * message.h - active messages: cells of one line through a ring, one writer and one reader.
 *
 * A message names what is to be done at the other side, and brings what that needs. They carry what is rare; bytes do
 * not wait for them, nor are they looked at where bytes are moved.
 *
 * Does not: know what the kinds mean (link.c), wait, wake anybody.
 * Trust:    a cell is copied once; kind and slot are the caller's to check.
 * Threads:  one for each side.
 */
#ifndef FSOCK_LOCAL_MESSAGE_H
#define FSOCK_LOCAL_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "local/format.h"

/*
 * What a message does. In the order in which several of one connection have to be said. From OPEN on a slot is in use;
 * each side ends with exactly one of REFUSED, RESET and CLOSE, after which it says nothing of it, touches nothing of
 * it, and its owner may use it again when both have.
 */
enum local_kind {
	LOCAL_OPEN = 1,	  /* a connection, struct local_open_args; bytes may follow at once */
	LOCAL_ACCEPTED,	  /* it waits for accept, or is accepted; word[0]: bytes ahead, as local_open_args.ahead */
	LOCAL_REFUSED,	  /* it is not; word[0]: ECONNREFUSED, or ENOBUFS where the listener is full */
	LOCAL_BYTES,	  /* there are bytes, for a reader that asked */
	LOCAL_ROOM,	  /* there is room, for a writer that asked */
	LOCAL_URGENT,	  /* one of the bytes is urgent */
	LOCAL_SHUTDOWN,	  /* no more bytes come */
	LOCAL_STOP,	  /* no more bytes are taken; of Unix sockets alone */
	LOCAL_MOVED,	  /* it goes on elsewhere, struct local_place: this side reads and writes no more here */
	LOCAL_RESET,	  /* the end: what was on the way is lost */
	LOCAL_CLOSE,	  /* the end, orderly; no more bytes come */
	LOCAL_N_KINDS
};

struct local_out {
	struct local_cell *cells;	/* shared */
	const uint32_t *taken;		/* shared: how many the other side has taken */
	uint64_t next;			/* cells ever written */
	uint32_t seen_taken;		/* *taken when last looked at */
};

struct local_in {
	const struct local_cell *cells; /* shared */
	uint32_t *taken;		/* shared: how many we have taken, now and then */
	uint64_t next;			/* cells ever read */
	uint32_t shown;			/* what *taken says */
};

/* Is there room for another cell? A count of the other side's that cannot be says no. */
bool local_out_has_room(struct local_out *out);

/* Write @cell, whose head is the kind, where there is room. */
void local_out_put(struct local_out *out, const struct local_cell *cell);

/* Copy the next cell, whose head is the kind then. False: there is none. */
bool local_in_get(struct local_in *in, struct local_cell *copy);

/* Show what was taken, if that is a quarter of the ring, or @all. True: it was, and the writer may have to be told. */
bool local_in_show(struct local_in *in, bool all);

#endif
