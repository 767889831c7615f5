/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fbuf.h - frame buffers and the pools they come from.
 *
 * An fbuf describes one chunk of packet memory; a frame is a chain of them (`next`), described by its
 * head. Two pools serve a stack: the pinned one, whose chunks the provider's device or kernel reads
 * and writes (fixed size, DESIGN D2), and the unpinned payload pool, which grows and takes what is
 * copied out when the pinned one runs low (design hazard 5).
 *
 * Does:     allocation, release, chains, trimming, copying in and out of a chain.
 * Does not: obtain memory (the context hands regions in), know any protocol.
 * Threads:  holder of the stack's lock only.
 * Errors:   NULL when a pool is empty. Nothing here fails otherwise.
 */
#ifndef FSOCK_BASE_FBUF_H
#define FSOCK_BASE_FBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/clock.h"
#include "base/err.h"

struct fbuf_pool;

/* What is known of a frame's transport checksum. */
enum fbuf_csum {
	FBUF_CSUM_UNKNOWN,  /* in: must be verified. out: complete, nothing to do */
	FBUF_CSUM_VERIFIED, /* in: the provider vouches for it */
	FBUF_CSUM_PARTIAL,  /* field holds the folded pseudo-header sum; in: data never left the host,
			       accept; out: the provider completes it (only if its caps say so) */
};

/*
 * One chunk. Lives in stack memory, plain pointers (DESIGN D2). Owner: whoever holds the head; with
 * fbuf_hold() a second one, who gets the chunk back instead of the pool.
 * First line: what every packet touches. Second line: filled by ip and the protocols on receipt; whoever
 * took a frame in and has read it, or builds one to send, may keep words of its own there.
 */
struct fbuf {
	struct fbuf *next;	/* rest of this frame, owned; NULL = last part */
	struct fbuf *link;	/* next frame in the queue that holds this one */
	uint8_t *data;		/* first valid byte, inside the chunk */
	struct fbuf_pool *pool; /* where it returns to, borrowed, never NULL */
	uint32_t len;		/* valid bytes of this part */
	uint32_t total;		/* head only: valid bytes of the whole chain */
	uint32_t index;		/* position in its pool: chunk address = pool->memory + index * chunk */
	uint16_t gso_size;	/* head only: payload bytes per segment of a super-frame; 0 = ordinary */
	uint16_t vlan;		/* head only: 802.1Q TCI the provider stripped, host order; 0 = none */
	uint8_t csum;		/* head only: enum fbuf_csum */
	uint8_t port;		/* head only: index of the stack's port it came by or leaves by */
	uint8_t l3_offset;	/* head only: offset of the IP header from the frame's start */
	uint8_t holds;		/* owners beside the one who frees next, see fbuf_hold() */
	uint32_t charge;	/* bytes accounted against the socket that holds it */
	fs_ns stamp;		/* head only: when it arrived, CLOCK_REALTIME; 0 = unknown: nobody asked */

	/* --- second line --- */
	union {
		struct { /* of a received packet */
			struct ip_addr src, dst;
			uint16_t src_port, dst_port; /* host order */
			uint32_t ifindex;	     /* kernel's index of the interface it came by */
			uint8_t ttl, tos;
			uint8_t late; /* 0 or 1: its socket's shadow may have what was sent before it; see own */
			uint32_t drops;	    /* datagrams its socket had lost when this one was queued */
			fs_ns device_stamp; /* head only: when it arrived by the device's clock; 0 = unknown */
		};
		uint64_t own[7]; /* whatever the protocol that holds it keeps there; copies of a frame may have it */
	};
	uint8_t *chunk; /* first byte of the chunk, set once by fbuf_pool_add() */
};

static_assert(sizeof(struct fbuf) == 2 * FS_CACHE_LINE, "an fbuf is two cache lines");
static_assert(offsetof(struct fbuf, own) == FS_CACHE_LINE, "addresses start the second line");

/* A first-in first-out list of frames through fbuf.link. */
struct fbuf_queue {
	struct fbuf *head, *tail;
	uint32_t frames; /* frames in the list */
};

/*
 * A pool over one or more regions of equal chunks. The fbuf array and the chunk memory are handed in.
 * Pools live in stack memory.
 */
struct fbuf_pool {
	struct fbuf *free;	   /* stack of free buffers through fbuf.link: last used, first out */
	uint32_t n_free, n_total;  /* chunks */
	uint32_t low_water;	   /* below this many free, hold no more than a fair share */
	uint32_t to_come;	   /* chunks that may still be added: whoever adds them keeps ahead of who takes them */
	uint32_t chunk_size;	   /* bytes per chunk */
	uint32_t chunk_shift;	   /* log2 of it, 0 = not a power of two */
	uint32_t headroom;	   /* bytes left in front of data by fbuf_alloc() */
	uint8_t *memory;	   /* first chunk of the first region; for address <-> fbuf */
	struct fbuf *first;	   /* fbuf of that chunk */
	uint32_t first_count;	   /* chunks in the first region (the pinned pool has only one) */
};

/* Prepare an empty pool. */
void fbuf_pool_init(struct fbuf_pool *pool, uint32_t chunk_size, uint32_t headroom);

/*
 * Give @count chunks at @memory, described by @bufs (count entries, any content), to the pool.
 * Both are borrowed for the pool's life. The first call defines pool->first.
 */
void fbuf_pool_add(struct fbuf_pool *pool, struct fbuf *bufs, uint8_t *memory, uint32_t count);

/* One empty chunk: data after the headroom, len 0, all metadata 0. Owner: the caller. NULL = empty. */
struct fbuf *fbuf_alloc(struct fbuf_pool *pool);

/* Chain of empty chunks with room for @len bytes after the headroom, len and total 0 (the parts'
 * lengths are set by whoever fills them). Only the head has headroom: later parts are filled from the
 * start of their chunks. NULL = not enough chunks, nothing taken. */
struct fbuf *fbuf_alloc_chain(struct fbuf_pool *pool, uint32_t len);

/* Return a whole frame, each part to its own pool, or to its other owner: a part that is held leaves the
 * chain, keeps its bytes and loses one hold. NULL is allowed. */
void fbuf_free(struct fbuf *frame);

/* Return one part, which may be in the middle of a chain that another owner has. */
void fbuf_free_part(struct fbuf *part);

/* Drop @n bytes from the front; parts that become empty stay in the chain with len 0.
 * @n must not exceed frame->total. l3_offset is left as it is. */
void fbuf_pull(struct fbuf *frame, uint32_t n);

/* Shorten to @total bytes; surplus parts are freed. @total must not exceed frame->total. */
void fbuf_trim(struct fbuf *frame, uint32_t total);

/* Copy bytes [offset, offset+len) of the frame to @to. Returns bytes copied (less at the end). */
uint32_t fbuf_copy_out(const struct fbuf *frame, uint32_t offset, void *to, uint32_t len);

/* Append @len bytes at @from to a frame whose chain was allocated long enough. Returns bytes copied
 * (less when the chain's room ends); len and total grow by as much. */
uint32_t fbuf_append(struct fbuf *frame, const void *from, uint32_t len);

/* Copy the whole frame with its metadata into a chain of @pool. The copy is in no queue and is
 * accounted to nobody: link and charge are 0. NULL = not enough chunks. */
struct fbuf *fbuf_clone_into(const struct fbuf *frame, struct fbuf_pool *pool);

/* The same with @len bytes from @offset on, which the frame has; not a super-frame any more. */
struct fbuf *fbuf_clone_part(const struct fbuf *frame, struct fbuf_pool *pool, uint32_t offset,
			     uint32_t len);

/* Make the first part a frame of its own, no super-frame, with the whole one's metadata. Returns the rest,
 * described as the whole was, for the caller to own; NULL = there is none. */
struct fbuf *fbuf_cut_front(struct fbuf *frame);

static inline void fbuf_queue_push(struct fbuf_queue *q, struct fbuf *frame); /* takes ownership */
struct fbuf *fbuf_queue_pop(struct fbuf_queue *q);		/* gives ownership; NULL = empty */
void fbuf_queue_free(struct fbuf_queue *q);			/* frees every frame */

/* inline definitions */

/* Position of a part's first valid byte from the pool's memory (pinned pool only). */
static inline uint64_t fbuf_offset(const struct fbuf *part)
{
	return (uint64_t)(part->data - part->pool->memory);
}

/*
 * The next buffer of a pool that is not empty, for who builds a frame at once: next, pool, index, chunk and holds (0)
 * are right, all the rest is the caller's to write. Else fbuf_alloc().
 */
static inline struct fbuf *fbuf_take(struct fbuf_pool *pool)
{
	struct fbuf *f = pool->free;

	pool->free = f->link;
	pool->n_free--;
	return f;
}

static inline void fbuf_queue_push(struct fbuf_queue *q, struct fbuf *frame)
{
	frame->link = NULL;
	if (q->tail)
		q->tail->link = frame;
	else
		q->head = frame;
	q->tail = frame;
	q->frames++;
}

/* fbuf_free_part() of one that nobody holds, without a call. */
static inline void fbuf_give_back(struct fbuf *part)
{
	struct fbuf_pool *pool = part->pool;

	fs_assert(part->data != NULL); /* freed twice */
	part->data = NULL;
	part->next = NULL;
	part->link = pool->free;
	pool->free = part;
	pool->n_free++;
}

/*
 * Take a second share of a part, so that handing its frame on does not give it away: a sender keeps what it
 * may have to send again. The owners agree on who may change it: while fbuf_is_shared(), nobody but the
 * one it was handed to.
 */
static inline void fbuf_hold(struct fbuf *part)
{
	fs_assert(part->holds < UINT8_MAX);
	part->holds++;
}

static inline bool fbuf_is_shared(const struct fbuf *part)
{
	return part->holds > 0;
}

/* Bytes that can be put in front of a part's data. */
static inline uint32_t fbuf_headroom(const struct fbuf *part)
{
	return (uint32_t)(part->data - part->chunk);
}

/* Bytes that can be put behind a part's data. */
static inline uint32_t fbuf_tailroom(const struct fbuf *part)
{
	return part->pool->chunk_size - fbuf_headroom(part) - part->len;
}

/* Extend a frame by @n bytes (any content) in front of its data and return their address.
 * @n must not exceed the head's headroom. */
static inline uint8_t *fbuf_push(struct fbuf *frame, uint32_t n)
{
	fs_assert(n <= fbuf_headroom(frame));
	frame->data -= n;
	frame->len += n;
	frame->total += n;
	return frame->data;
}

#endif
