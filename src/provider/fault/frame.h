/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * frame.h - what a link in memory does to the bytes of a frame, and what it reads in them.
 *
 * Does:     damage, congestion marks, completing checksums, cutting super-frames of TCP into segments; telling
 *           SYN, FIN, ACK and retransmissions from each other.
 * Does not: decide about a frame (link.c).
 * Threads:  one for the link.
 */
#ifndef FSOCK_PROVIDER_FAULT_FRAME_H
#define FSOCK_PROVIDER_FAULT_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fbuf.h"

enum {
	FAULT_FLOWS = 16, /* whose retransmissions are known at a time */
};

/* What is remembered of a flow to know its retransmissions. */
struct fault_flow {
	uint64_t key;  /* of addresses and ports; 0 = unused */
	uint32_t next; /* first sequence number not seen yet */
};

/* Kinds of segments, as bits; a segment may be of several. */
enum fault_kind {
	FAULT_KIND_SYN = 1 << 0,     /* without ACK */
	FAULT_KIND_SYN_ACK = 1 << 1,
	FAULT_KIND_FIN = 1 << 2,
	FAULT_KIND_ACK = 1 << 3,     /* and nothing else */
	FAULT_KIND_DATA = 1 << 4,
	FAULT_KIND_AGAIN = 1 << 5,   /* holds nothing new: retransmission of data, SYN or FIN */
	FAULT_KIND_RST = 1 << 6,
};

/* Which kinds @frame is of; 0 = no segment of TCP. @flows (FAULT_FLOWS of them) remembers it. */
uint32_t fault_frame_kinds(const struct fbuf *frame, struct fault_flow *flows);

/* Bytes of @frame's IP packet, of one segment's where it is a super-frame; 0 = no IP packet. */
uint32_t fault_frame_ip_len(const struct fbuf *frame);

/* Change bit @bit of the frame, which has it. A partial checksum is completed first: otherwise nothing would
 * ever tell. */
void fault_frame_flip(struct fbuf *frame, uint64_t bit);

/* Congestion experienced (RFC 3168 5), if the sender said that it understands. */
bool fault_frame_mark(struct fbuf *frame);

/* Turn a partial checksum into a whole one. Frames without are left alone. */
void fault_frame_complete(struct fbuf *frame);

/* Cut a super-frame of TCP into frames of @pool, in order onto @to, with whole checksums; and free it. What is
 * none goes onto @to as it is. False: @pool has too few chunks, the frame is freed. */
bool fault_frame_split(struct fbuf *frame, struct fbuf_pool *pool, struct fbuf_queue *to);

#endif
