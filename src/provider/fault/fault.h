/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fault.h - a link in memory between two ports, with everything that goes wrong on real ones.
 *
 * Frames handed to one end arrive at the other after delay, serialisation and queueing, unless they
 * are lost, damaged, doubled or overtaken. Time is handed in and all chance comes from one seed, so a
 * run can be repeated bit by bit. Used by unit tests and by the simulator.
 *
 * Does:     the whole contract of provider.h but steering: every frame comes to the stack.
 * Does not: make system calls, read a clock, allocate: frames in flight stay in the sender's pool and
 *           are copied into the receiver's when they arrive.
 * Threads:  one for the link and both its ends.
 * Errors:   as provider.h. fault_port_* make calls fail on purpose.
 */
#ifndef FSOCK_PROVIDER_FAULT_FAULT_H
#define FSOCK_PROVIDER_FAULT_FAULT_H

#include <stdbool.h>
#include <stdint.h>

#include "provider/provider.h"

enum {
	FAULT_TX_SLOTS = 256,  /* frames transmit() takes before kick() must be called */
	FAULT_OPTION_LEN = 40, /* bytes of an option text made by fault_option() */
	FAULT_MILLION = 1000000,
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
};

/* What became of the frames of one direction. sent = lost + overflowed + refused + delivered - doubled
 * + in flight. */
struct fault_counts {
	uint64_t sent;	     /* frames kicked into the link */
	uint64_t delivered;  /* given to receive() */
	uint64_t lost;	     /* by chance, both models */
	uint64_t overflowed; /* the queue before the line was full */
	uint64_t refused;    /* the receiver's pool had no chunk */
	uint64_t doubled, corrupted, reordered;
};

struct fault_direction {
	struct fault_config config; /* may be changed at any time; holds for frames kicked from then on */
	struct fault_counts counts;
	struct fbuf *head, *tail;   /* in flight, by arrival (kept in fbuf.stamp); owned */
	fs_ns line_free;	    /* when the line has sent what it was given */
	fs_ns last_arrival;	    /* jitter must not reorder */
	bool bad;		    /* Gilbert-Elliott state */
};

struct fault_link {
	uint64_t magic;
	uint64_t random; /* state of the generator */
	fs_ns now;
	struct fault_direction to[2]; /* to[e]: what arrives at end e */
};

/* Prepare a link whose both directions behave as @config. @link: any memory, borrowed until both
 * ports are closed. */
void fault_link_init(struct fault_link *link, const struct fault_config *config, uint64_t seed);

/* Let time pass: frames due until @now can be received. @now never goes back. */
void fault_link_advance(struct fault_link *link, fs_ns now);

/* When the next frame arrives at either end; FS_NEVER = none in flight. */
fs_ns fault_link_next(const struct fault_link *link);

/* Option text for provider_ops.open(): end 0 or 1 of @link. @to: FAULT_OPTION_LEN bytes. */
void fault_option(const struct fault_link *link, unsigned end, char *to);

/* The device goes away or comes back: kick() and receive() behave as on a dead port. */
void fault_port_down(struct provider_handle *handle, bool down);
/* The next @n calls of kick() answer -EAGAIN and send nothing. */
void fault_port_busy(struct provider_handle *handle, uint32_t n);
/* transmit() takes at most @n frames between kicks; 0 = none. At most FAULT_TX_SLOTS. */
void fault_port_slots(struct provider_handle *handle, uint32_t n);

extern const struct provider_ops provider_fault;

#endif
