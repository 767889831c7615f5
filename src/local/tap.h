/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tap.h - what a wire would carry of a connection, for whoever captures it (local_ops.tap).
 *
 * Does:     tell of segments of TCP that there would be: bytes of this side as it sends them, the other side's as they
 *           are read, or as its end shows how far they go. Each byte once, none behind the end of its direction.
 * Does not: keep anything, know a format. Costs nothing but a look at local_conn.flags while nobody captures.
 * Trust:    bytes and what the other side has read are its own: told as they lie there, kept within the ring.
 * Threads:  holder of the stack's lock only.
 */
#ifndef FSOCK_LOCAL_TAP_H
#define FSOCK_LOCAL_TAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct local_conn;

enum local_seen {
	LOCAL_SEEN_SYN,
	LOCAL_SEEN_SYN_ACK,
	LOCAL_SEEN_ACK,
	LOCAL_SEEN_BYTES,
	LOCAL_SEEN_FIN,
	LOCAL_SEEN_RESET,
	LOCAL_N_SEEN
};

struct local_segment {
	enum local_seen what;
	bool out;     /* from this side */
	uint64_t seq; /* position of its first byte in its direction; the end of a direction counts as a byte behind all */
	uint64_t ack; /* how far its sender has what comes the other way, likewise */
	size_t len;   /* BYTES: how many, in the ring at their position; else 0 */
};

/* Of one connection. */
struct local_tap {
	uint64_t shown;	    /* bytes that came, up to this position */
	uint32_t serial;    /* of those that the same side opened, and that were captured */
	bool dialled;	    /* by this side */
	bool answered;	    /* SYN_ACK was */
	bool end_out, end_in; /* the end of that direction was */
	bool is_over;	    /* there is no more to it */
};

/* A connection of which all is to be told begins, by this side (@out) or the other; it is answered; its beginning comes
 * to nothing: with @refused by a reset. */
void local_tap_open(struct local_conn *conn, bool out);
void local_tap_answer(struct local_conn *conn, bool out);
void local_tap_fail(struct local_conn *conn, bool out, bool refused);

/* @n bytes were put; @n bytes from the next one on are about to be passed. */
void local_tap_sent(struct local_conn *conn, size_t n);
/* The other side goes on in another ring: its bytes before @turn are told where they lie. */
void local_tap_came(struct local_conn *conn, uint64_t turn);
void local_tap_received(struct local_conn *conn, size_t n);

/* A direction ends, in order or, both, by a reset. */
void local_tap_end(struct local_conn *conn, bool out);
void local_tap_reset(struct local_conn *conn, bool out);

/* Which bytes @segment of @conn carries: two pieces of the ring, the second perhaps empty. */
struct local_piece {
	const uint8_t *at;
	size_t len;
};
void local_tap_bytes(const struct local_conn *conn, const struct local_segment *segment, struct local_piece piece[2]);

#endif
