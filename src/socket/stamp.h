/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stamp.h - what a socket wants to know about time: SO_TIMESTAMP and its kin (timestamping.rst).
 *
 * Does:     the kernel's rules: which option switches what, which stamps a socket reads, how sends are
 *           numbered (SOF_TIMESTAMPING_OPT_ID).
 * Does not: read clocks, write control messages (context/stamp.c), keep the error queue
 *           (context/errqueue.c).
 * Threads:  holder of the stack's lock only.
 *
 * Numbers: the shadow counts the datagrams that it sends, the fast path the others, and a program knows
 * one count. So the shadow's numbers are translated when they are read: `runs` remembers how far the
 * program's count was ahead of the shadow's, for the last few times that this changed.
 */
#ifndef FSOCK_SOCKET_STAMP_H
#define FSOCK_SOCKET_STAMP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

/* SOF_TIMESTAMPING_*, of linux/net_tstamp.h, and one that is younger than Debian 12's. */
enum {
	STAMP_TX_HARDWARE = 1 << 0,
	STAMP_TX_SOFTWARE = 1 << 1,
	STAMP_RX_HARDWARE = 1 << 2,
	STAMP_RX_SOFTWARE = 1 << 3,
	STAMP_SOFTWARE = 1 << 4,
	STAMP_RAW_HARDWARE = 1 << 6,
	STAMP_OPT_ID = 1 << 7,
	STAMP_TX_SCHED = 1 << 8,
	STAMP_TX_ACK = 1 << 9,
	STAMP_OPT_CMSG = 1 << 10,
	STAMP_OPT_TSONLY = 1 << 11,
	STAMP_OPT_PKTINFO = 1 << 13,
	STAMP_OPT_RX_FILTER = 1 << 17,

	STAMP_TX_RECORD = STAMP_TX_HARDWARE | STAMP_TX_SOFTWARE | STAMP_TX_SCHED | STAMP_TX_ACK,
	STAMP_TX_NUMBERED = STAMP_TX_HARDWARE | STAMP_TX_SOFTWARE | STAMP_TX_SCHED, /* of datagrams */
	STAMP_TX_OURS = STAMP_TX_SOFTWARE | STAMP_TX_SCHED, /* those of which there is something to tell */
};

enum {
	STAMP_RUNS = 8,
};

#define STAMP_NEVER (-1) /* stamps.last: nothing was received by the fast path since it was asked for */

/* All zero: no stamps wanted. */
struct stamps {
	uint32_t flags;	  /* SO_TIMESTAMPING: STAMP_* */
	bool receive;	  /* SO_TIMESTAMP or SO_TIMESTAMPNS */
	bool ns;	  /* the latter */
	bool new_layout;  /* the _NEW form of whichever was set last */
	bool keep_last;	  /* SIOCGSTAMP was asked for: `last` is kept */
	bool counted;	  /* in the stack's count of sockets that want stamps */
	fs_ns last;	  /* CLOCK_REALTIME of the last datagram; 0 = unknown, STAMP_NEVER */
	uint32_t number;  /* of the next datagram */
	uint32_t shadow;  /* how many of these the shadow has numbered */
	struct {
		uint32_t from;	/* the shadow's numbers from here on... */
		uint32_t ahead;	/* ... are so much less than the program's */
	} run[STAMP_RUNS];
	uint32_t n_runs;  /* ever begun; the last STAMP_RUNS are there */
};

/* SO_TIMESTAMP(NS), old or new, was set. */
void stamps_set(struct stamps *t, bool on, bool ns, bool new_layout);

/* SO_TIMESTAMPING, old or new, was set to @flags. */
void stamps_set_flags(struct stamps *t, uint32_t flags, bool new_layout);

/* Must arriving frames be stamped for this socket? */
bool stamps_wanted(const struct stamps *t);

/* Has a receive to do with stamps at all? */
bool stamps_concern(const struct stamps *t);

/* SCM_TIMESTAMPING of a datagram, or of a message of the error queue: does it tell the software stamp,
 * the device's? */
bool stamps_tell_software(const struct stamps *t, bool error);
bool stamps_tell_device(const struct stamps *t, bool error);

/* The number of a datagram that leaves by the fast path with @flags of STAMP_TX_RECORD. 0 = unnumbered. */
uint32_t stamps_number(struct stamps *t, uint32_t flags);

/* The shadow sent one with @flags. */
void stamps_shadow_sent(struct stamps *t, uint32_t flags);

/* A number of the shadow's, as the program counts. */
uint32_t stamps_translate(const struct stamps *t, uint32_t shadow);

/* Did the fast path number any? Then the shadow alone cannot go on for the socket. */
static inline bool stamps_differ(const struct stamps *t)
{
	return t->number != t->shadow;
}

#endif
