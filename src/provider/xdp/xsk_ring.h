/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * xsk_ring.h - one of the four single-producer single-consumer rings of an AF_XDP socket.
 *
 * The indices proper lie in memory shared with the kernel; each side keeps cached copies, so that the
 * line written by the other side is read only when the cached copy says full or empty. The cached
 * copies live in stack memory: every process of a fork tree that holds the stack's lock continues
 * where the last one stopped.
 *
 * Does:     reserve, fill and publish (producer: FILL, TX); see, read and release (consumer: RX,
 *           COMPLETION).
 * Does not: make system calls; know what an address means.
 * Threads:  holder of the stack's lock only. The kernel is the other side.
 * Errors:   none. An index of the other side that cannot be is not taken over (DESIGN D11).
 */
#ifndef FSOCK_PROVIDER_XDP_XSK_RING_H
#define FSOCK_PROVIDER_XDP_XSK_RING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/barrier.h"
#include "provider/xdp/xsk_uapi.h"

struct xsk_ring {
	uint32_t cached_prod; /* producer side: next to fill. consumer side: last seen end */
	uint32_t cached_cons; /* producer side: last seen reader. consumer side: next to read */
	uint32_t size;	      /* entries, a power of two */
	uint32_t *producer;   /* shared with the kernel; written by the producing side only */
	uint32_t *consumer;   /* shared with the kernel; written by the consuming side only */
	uint32_t *flags;      /* FILL and TX: written by the kernel; else NULL */
	void *entries;	      /* struct xdp_desc (RX, TX) or uint64_t (FILL, COMPLETION) */
};

/* inline definitions */

/* Describe the ring that was mapped at @base with the kernel's offsets @o. */
static inline void xsk_ring_init(struct xsk_ring *r, void *base, const struct xdp_ring_offset *o,
				 uint32_t size)
{
	uint8_t *at = base;

	*r = (struct xsk_ring){
		.size = size,
		.producer = (uint32_t *)(void *)(at + o->producer),
		.consumer = (uint32_t *)(void *)(at + o->consumer),
		.flags = (uint32_t *)(void *)(at + o->flags),
		.entries = at + o->desc,
	};
}

static inline struct xdp_desc *xsk_ring_desc(const struct xsk_ring *r, uint32_t at)
{
	return (struct xdp_desc *)r->entries + (at & (r->size - 1));
}

static inline uint64_t *xsk_ring_addr(const struct xsk_ring *r, uint32_t at)
{
	return (uint64_t *)r->entries + (at & (r->size - 1));
}

/* Producer: entries free to fill. Looks at the kernel's index only if fewer than @want seem free. */
static inline uint32_t xsk_ring_room(struct xsk_ring *r, uint32_t want)
{
	uint32_t room = r->size - (r->cached_prod - r->cached_cons);
	uint32_t cons;

	if (room >= want)
		return room;
	/* Acquire: the kernel has read an entry before we overwrite it. */
	cons = fs_load_acquire(r->consumer);
	if (r->cached_prod - cons <= r->size)
		r->cached_cons = cons;
	return r->size - (r->cached_prod - r->cached_cons);
}

/* Producer: make everything up to cached_prod visible. */
static inline void xsk_ring_publish(struct xsk_ring *r)
{
	/* Release: the entries are written before the kernel can see the index. */
	fs_store_release(r->producer, r->cached_prod);
}

/* Consumer: entries ready to be read. Looks at the kernel's index only when none is known. */
static inline uint32_t xsk_ring_ready(struct xsk_ring *r)
{
	uint32_t ready = r->cached_prod - r->cached_cons;
	uint32_t prod;

	if (ready > 0)
		return ready;
	/* Acquire: entries are read after the index that announced them. */
	prod = fs_load_acquire(r->producer);
	if (prod - r->cached_cons <= r->size)
		r->cached_prod = prod;
	return r->cached_prod - r->cached_cons;
}

/* Consumer: give the entries up to cached_cons back to the kernel. */
static inline void xsk_ring_release(struct xsk_ring *r)
{
	/* Release: the entries are read before the kernel may overwrite them. */
	fs_store_release(r->consumer, r->cached_cons);
}

/* FILL and TX: the kernel sleeps until it is called. */
static inline bool xsk_ring_needs_wakeup(const struct xsk_ring *r)
{
	return fs_load_relaxed(r->flags) & XDP_RING_NEED_WAKEUP;
}

#endif
