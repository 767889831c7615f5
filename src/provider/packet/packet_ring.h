/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * packet_ring.h - a TPACKET_V2 receive ring: its layout, and what one slot says.
 *
 * The kernel fills slots in order and waits at the first that was not given back. A frame longer than
 * its slot lies in the socket's own queue, in the same order, and the slot says so.
 *
 * Does:     choose sizes, read and check a slot and its virtio-net header, give it back.
 * Does not: make system calls, move bytes.
 * Threads:  holder of the stack's lock only. The kernel is the other side.
 * Errors:   -EINVAL for a slot that cannot be (DESIGN D11).
 */
#ifndef FSOCK_PROVIDER_PACKET_PACKET_RING_H
#define FSOCK_PROVIDER_PACKET_PACKET_RING_H

#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/barrier.h"

enum {
	PACKET_RING_BYTES = 2 << 20,   /* of one ring */
	PACKET_BLOCK_BYTES = 64 << 10, /* a multiple of every slot */
	PACKET_SLOT_MIN = 2048,
	PACKET_SLOT_MAX = 16384, /* longer frames come by the socket's queue */
	PACKET_SLOT_HEAD = 128,	 /* in front of the frame, at most: header, address, virtio-net header */
};

/* Lives in stack memory: every process of a fork tree continues where the last one stopped. */
struct packet_ring {
	uint8_t *memory;   /* mapped at one address in every process */
	uint32_t slot_len; /* bytes, a power of two */
	uint32_t slots;	   /* a power of two */
	uint32_t next;	   /* the slot the kernel fills next, or has filled; free running */
};

/* A filled slot, checked: the frame lies wholly in it. */
struct packet_slot {
	const uint8_t *frame;
	uint32_t len;	/* bytes at @frame: all of the frame, or 0 when it is in the queue */
	uint32_t total; /* bytes of the frame as it was on the wire */
	bool queued;	/* to be received from the socket */
	uint16_t vlan;	/* 802.1Q TCI the kernel stripped; 0 = none */
	struct virtio_net_hdr vnet; /* of one in the queue it is a hint: what comes with it counts */
};

/* What a virtio-net header says, in an fbuf's words. */
struct packet_meta {
	uint8_t csum;	   /* enum fbuf_csum */
	uint16_t gso_size; /* 0 = ordinary */
};

/* Set slot_len and slots for an interface's MTU. */
void packet_ring_size(struct packet_ring *ring, uint32_t mtu);

/* The next slot when the kernel has filled it; NULL otherwise. */
static inline struct tpacket2_hdr *packet_ring_ready(const struct packet_ring *ring);

/* Give the next slot back, after it was read. */
static inline void packet_ring_advance(struct packet_ring *ring);

/* Read the slot at @hdr of @slot_len bytes. 0 or -EINVAL. What the kernel could change under our eyes is
 * read once. */
int packet_slot_read(const struct tpacket2_hdr *hdr, uint32_t slot_len, struct packet_slot *out);

/* 0, or -EINVAL: a frame of @total bytes that says it is a super-frame and is none we know. */
int packet_meta_read(const struct virtio_net_hdr *vnet, uint32_t total, struct packet_meta *out);

/* Kernels before 6.2 cannot describe a UDP super-frame to a packet socket, and lose it. */
bool packet_release_lacks_udp_gso(const char *release);

/* inline definitions */

static inline struct tpacket2_hdr *packet_ring_at(const struct packet_ring *ring, uint32_t i)
{
	return (struct tpacket2_hdr *)(void *)(ring->memory +
					       (uint64_t)(i & (ring->slots - 1)) * ring->slot_len);
}

static inline struct tpacket2_hdr *packet_ring_ready(const struct packet_ring *ring)
{
	struct tpacket2_hdr *hdr = packet_ring_at(ring, ring->next);

	/* Acquire: the frame is read after the status that announced it. */
	return fs_load_acquire(&hdr->tp_status) & TP_STATUS_USER ? hdr : NULL;
}

static inline void packet_ring_advance(struct packet_ring *ring)
{
	struct tpacket2_hdr *hdr = packet_ring_at(ring, ring->next++);

	/* Release: the frame is read before the kernel may overwrite it. */
	fs_store_release(&hdr->tp_status, TP_STATUS_KERNEL);
}

#endif
