/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fault.h - a link in memory between two ports, with everything that goes wrong on real ones.
 *
 * Frames handed to one end arrive at the other after delay, serialisation and queueing, unless they
 * are lost, damaged, doubled or overtaken. Time is handed in and all chance comes from one seed, so a
 * run can be repeated bit by bit. Used by unit tests and by the simulator.
 *
 * Does:     the whole contract of provider.h but steering: every frame comes to the stack.
 * Does not: make system calls, read a clock, allocate: frames in flight stay in the sender's pool, or one
 *           handed in, and are copied into the receiver's when they arrive.
 * Threads:  one for the link and both its ends.
 * Errors:   as provider.h. fault_port_* make calls fail on purpose.
 */
#ifndef FSOCK_PROVIDER_FAULT_FAULT_H
#define FSOCK_PROVIDER_FAULT_FAULT_H

#include <stdbool.h>
#include <stdint.h>

#include "provider/fault/frame.h"
#include "provider/provider.h"

enum {
	FAULT_TX_SLOTS = 256,  /* frames transmit() takes before kick() must be called */
	FAULT_OPTION_LEN = 40, /* bytes of an option text made by fault_option() */
	FAULT_MILLION = 1000000,
	FAULT_PICKS = 4,
	FAULT_REFUSED_MAX = 16, /* frames a link keeps for fault_link_refused() */
	FAULT_WIRE_HEADROOM = 128, /* of a wire pool's chunks, if super-frames are cut */
};

/* How jitter is spread: evenly up to it; around half of it; mostly below it, and now and then up to 64 times it. */
enum fault_jitter { FAULT_JITTER_EVEN, FAULT_JITTER_BELL, FAULT_JITTER_TAIL };

/* Segments lost by count: of those that are of all @kinds the @first (from 1) and what follows, @count of them. */
struct fault_pick {
	uint32_t kinds; /* enum fault_kind; 0 = this entry and those behind are unused */
	uint32_t first, count;
};

/* How one direction behaves. All zero: a perfect wire without delay. Chances are per million. */
struct fault_config {
	fs_ns delay;		/* one way, >= 0 */
	fs_ns jitter;		/* up to this much more, evenly; frames keep their order */
	uint64_t rate_bps;	/* bits per second on the line; 0 = no limit */
	uint32_t queue_bytes;	/* waiting for the line; what exceeds it is dropped. 0 = no limit.
				   Means nothing without a rate */
	uint32_t loss;		/* each frame on its own */
	uint32_t duplicate;	/* a second copy follows directly */
	uint32_t corrupt;	/* one bit of the frame changes */
	uint32_t reorder;	/* the frame is late by reorder_by and others overtake it */
	fs_ns reorder_by;
	/* Gilbert-Elliott model of bursts, on top of loss: two states, a chance to leave each, and a
	 * chance of loss in each. Off while bad_enter is 0. */
	uint32_t bad_enter, bad_leave, good_loss, bad_loss;

	uint8_t jitter_shape;	/* enum fault_jitter */
	bool complete;		/* the sender's device completes checksums: nothing partial arrives */
	bool split;		/* and cuts super-frames of TCP into segments, which then meet their fates alone */
	uint32_t mark_bytes;	/* frames that find more than this waiting are marked CE if their sender
				   understands (RFC 3168); 0 = none */
	uint32_t mtu;		/* longer IP packets are refused, see fault_link_refused(); 0 = none are */
	uint64_t loss_mask;	/* bit n: of every 64 frames the n-th is lost */
	struct fault_pick picks[FAULT_PICKS];
	/* Nothing gets through from down_from on for down_for, again every down_every (0 = once). */
	fs_ns down_from, down_for, down_every;
};

/* What became of the frames of one direction. sent = lost + overflowed + too_long + refused + delivered -
 * doubled + in flight. A super-frame that is cut counts as its segments. */
struct fault_counts {
	uint64_t sent;	     /* frames kicked into the link */
	uint64_t delivered;  /* given to receive() */
	uint64_t lost;	     /* by chance, both models */
	uint64_t overflowed; /* the queue before the line was full */
	uint64_t refused;    /* the receiver's pool had no chunk */
	uint64_t doubled, corrupted, reordered;
	uint64_t too_long;   /* than the MTU */
	uint64_t marked;
	uint64_t no_chunk;   /* not in sent: the wire pool had none */
};

/* What serialises frames: a direction's own, or one that several directions share as they would a router's
 * port. They have the same rate and queue then. */
struct fault_line {
	fs_ns free; /* when it has sent what it was given */
};

struct fault_direction {
	struct fault_config config; /* may be changed at any time; holds for frames kicked from then on */
	struct fault_counts counts;
	struct fbuf *head, *tail;   /* in flight, by arrival (kept in fbuf.stamp); owned */
	struct fault_line *line;    /* borrowed; its own unless somebody says otherwise */
	struct fault_line own_line;
	struct fbuf_queue refused;  /* too long; owned */
	struct fault_flow flows[FAULT_FLOWS];
	uint32_t picked[FAULT_PICKS]; /* segments counted for each */
	fs_ns last_arrival;	    /* jitter must not reorder */
	bool bad;		    /* Gilbert-Elliott state */
};

struct fault_link {
	uint64_t magic;
	uint64_t random; /* state of the generator */
	fs_ns now;
	struct fault_direction to[2]; /* to[e]: what arrives at end e */
	/* Where frames lie while in flight, borrowed; NULL = in the sender's pool. With one, a sender's frame is
	 * copied when it is kicked, and given back @hold after that, as a device does that is slow to say that
	 * it has sent. */
	struct fbuf_pool *wire;
	fs_ns hold;
};

/* Prepare a link whose both directions behave as @config. @link: any memory, borrowed until both
 * ports are closed. */
void fault_link_init(struct fault_link *link, const struct fault_config *config, uint64_t seed);

/* Let time pass: frames due until @now can be received. @now never goes back. */
void fault_link_advance(struct fault_link *link, fs_ns now);

/* When the next frame arrives at either end; FS_NEVER = none in flight. */
fs_ns fault_link_next(const struct fault_link *link);

/* Does nothing get through to end @end now? */
bool fault_link_is_down(const struct fault_link *link, unsigned end);

/* The oldest frame towards @end that was longer than the MTU, for whoever plays the router that says so. The
 * caller owns it; NULL = none. */
struct fbuf *fault_link_refused(struct fault_link *link, unsigned end);

/* Option text for provider_ops.open(): end 0 or 1 of @link. @to: FAULT_OPTION_LEN bytes. */
void fault_option(const struct fault_link *link, unsigned end, char *to);

/* The device goes away or comes back: kick() and receive() behave as on a dead port. */
void fault_port_down(struct provider_handle *handle, bool down);
/* The next @n calls of kick() answer -EAGAIN and send nothing. */
void fault_port_busy(struct provider_handle *handle, uint32_t n);
/* transmit() takes at most @n frames between kicks; 0 = none. At most FAULT_TX_SLOTS. */
void fault_port_slots(struct provider_handle *handle, uint32_t n);

/* For accounting: the frames this port has, not kicked yet (0) and sent but not given back (1). */
enum { FAULT_QUEUES = 2 };
const struct fbuf_queue *fault_port_queue(const struct provider_handle *handle, unsigned which);

extern const struct provider_ops provider_fault;

#endif
