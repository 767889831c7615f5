/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * format.h - the arena of a link: what two processes of one host share, byte for byte.
 *
 *	header		one page: what was agreed, and a few words of each side
 *	control rings	one per side, of cells: its messages to the other side (message.h)
 *	slots		those of side 0, then those of side 1: the shared words of one connection each
 *	data		the half of side 0, then the half of side 1, in units: byte rings are carved from them
 *	datagrams	the ring that side 0 writes, then that of side 1 (datagram.h)
 *
 * Side 0 dialled the link, side 1 listened. A side hands out slots and units of its own half only, so no allocator is
 * shared: who opens a connection brings the slot and both byte rings, and has them back when both sides have closed.
 *
 * Trust: the other side may write anything anywhere at any time. Whatever is read here is copied once and checked
 * before it is used (DESIGN D11); offsets and free-running counts only, no pointers. What a side must be able to rely
 * on is in memory of its own (struct local_link, struct local_conn).
 *
 * A change of anything here is a new LOCAL_VERSION; sides of different versions do not link.
 */
#ifndef FSOCK_LOCAL_FORMAT_H
#define FSOCK_LOCAL_FORMAT_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/err.h"

enum {
	LOCAL_MAGIC = 0x4b4c5346, /* "FSLK" */
	LOCAL_VERSION = 5,
	LOCAL_SIDES = 2,
	LOCAL_PAGE = 4096,

	LOCAL_CELLS = 256,	    /* of a control ring */
	LOCAL_SLOTS_MAX = 1 << 15,  /* of a side */
	LOCAL_UNIT = 4096,	    /* bytes */
	LOCAL_UNITS_MAX = 1 << 19,  /* of a side: 2 GiB */
	LOCAL_ORDER_MIN = 12,	    /* of a byte ring: its size is 1 << order, a unit at least */
	LOCAL_ORDER_MAX = 26,

	/* Of a ring of datagrams: 512 KiB, more than any socket may hold that has no privilege (net.core.rmem_max). */
	LOCAL_DATAGRAM_ORDER = 19,

	LOCAL_AHEAD_MAX = 111, /* bytes that go ahead of a stream: a name of a Unix socket */
};

/* Written by side 0 before the arena is shared, read once by side 1. */
struct local_agreed {
	uint32_t magic, version;
	uint64_t len;	/* of the arena, bytes */
	uint32_t slots; /* of each side */
	uint32_t units; /* of each side */
};

/* What belongs to one side. */
struct local_side_words {
	/* 1: this side sleeps, or is about to, and is to be told of messages. Set by it, cleared by who tells it. */
	uint32_t asleep __attribute__((aligned(FS_CACHE_LINE)));
	/* 1: this side has messages that found no room, and is to be told when there is some. Likewise. */
	uint32_t stuck __attribute__((aligned(FS_CACHE_LINE)));
	/* Cells of the other side's ring that this side has taken; written by it, now and then. */
	uint32_t taken __attribute__((aligned(FS_CACHE_LINE)));
	uint32_t joined; /* 1: this side has the link. Written once */
};

/* Shared words of one direction of a connection, or of a ring of datagrams. Positions count the bytes from its first. */
struct local_stream_words {
	/* --- a line that the writer writes, and the reader looks at when it has seen all --- */
	uint64_t head __attribute__((aligned(FS_CACHE_LINE))); /* the next byte to be written */
	uint64_t urgent; /* behind the last urgent byte, 0 = there was none; stored before the head that covers it */
	uint64_t turn;	 /* from here on bytes lie in another ring, 0 = none do; likewise, and once */
	uint64_t grown;	 /* that one, of the writer's half: its first unit, << 8, and its order */

	/* --- a line that the reader writes now and then, and the writer looks at --- */
	uint64_t tail __attribute__((aligned(FS_CACHE_LINE))); /* what lies before may be written over */
	uint32_t reader_waits; /* 1: the reader is to be told of bytes. Set by it, cleared by who tells it */

	/* --- the reader's own line, into which the writer writes when there is no room --- */
	uint64_t read __attribute__((aligned(FS_CACHE_LINE))); /* the next byte to be read, exactly */
	uint32_t taken;	       /* 1: the reader has a user: it was accepted, or is who connected */
	uint32_t writer_waits; /* from which tail on the writer is to be told of room, 0 = it waits not (stream.c) */
};

struct local_header {
	struct local_agreed agreed;
	struct local_side_words side[LOCAL_SIDES];
	struct local_stream_words datagrams[LOCAL_SIDES]; /* of the ring that each side writes */
};

struct local_slot {
	struct local_stream_words way[2]; /* 0: from the slot's owner to the other side; 1: back */
};

/*
 * A message: what to do, with which connection, and what is needed for it. `head` is written last: its low byte is the
 * kind, the rest says in which turn round the ring it was written, so that what lies there from the turn before is not
 * taken for new.
 */
struct local_open_args {
	uint64_t listener;	     /* as the rendezvous named it */
	uint32_t ring[2];	     /* where the byte ring of each way begins, in units of the opener's half */
	struct ip_addr remote, local; /* as the listening side sees them: who connects, and to which address */
	uint16_t remote_port, local_port; /* host order */
	uint8_t order[2];	     /* size of each ring: 1 << order bytes */
	uint8_t is_unix;	     /* 1: between Unix sockets, without ports: `local` is what the listener is known by */
	uint8_t ahead;		     /* of such: so many bytes are there, ahead of the stream */
};

/* Where a connection goes on without the link. */
struct local_place {
	uint16_t port;	    /* of the loopback address, host order: who moves listens there */
	uint8_t spare[6];
	uint8_t nonce[16];  /* what is said there first */
};

/*
 * The head of a datagram in its ring; its bytes follow, and then as many as make the whole a multiple of
 * LOCAL_DATAGRAM_ALIGN.
 */
struct local_datagram {
	uint32_t len;		    /* of the bytes that follow */
	uint8_t kind;		    /* enum local_datagram_kind */
	uint8_t tos, hops;	    /* as its IP header would have them */
	uint8_t after_kernel;	    /* 1: the one before may have gone by the kernel, and be there already */
	struct ip_addr src, dst;
	uint16_t src_port, dst_port; /* host order */
	uint8_t spare2[4];
};

enum { LOCAL_DATAGRAM_ALIGN = 16, LOCAL_DATAGRAM_MOST = 65527 /* bytes: UDP over IPv6 */ };

struct local_cell {
	uint32_t head;
	uint32_t slot; /* counted through both sides' */
	union {
		struct local_open_args open;
		struct local_place place;
		uint64_t word[7];
	};
} __attribute__((aligned(FS_CACHE_LINE)));

static_assert(sizeof(struct local_agreed) == 24, "one form on every machine");
static_assert(offsetof(struct local_header, side) == FS_CACHE_LINE &&
		      offsetof(struct local_header, datagrams) == 7 * FS_CACHE_LINE &&
		      sizeof(struct local_header) == 13 * FS_CACHE_LINE,
	      "each word that one side writes often has a line of its own");
static_assert(sizeof(struct local_stream_words) == 3 * FS_CACHE_LINE && sizeof(struct local_slot) == 6 * FS_CACHE_LINE,
	      "three lines a way");
static_assert(sizeof(struct local_open_args) == 56 && sizeof(struct local_cell) == FS_CACHE_LINE, "a cell is a line");
static_assert(sizeof(struct local_place) == 24 && sizeof(struct local_datagram) == 48, "one form on every machine");
static_assert(sizeof(struct local_datagram) % LOCAL_DATAGRAM_ALIGN == 0, "a head without bytes is whole");
static_assert(1 << LOCAL_ORDER_MIN == LOCAL_UNIT, "the smallest ring is a unit");

/* inline definitions */

static inline size_t local_cells_at(unsigned side)
{
	return LOCAL_PAGE + (size_t)side * LOCAL_CELLS * sizeof(struct local_cell);
}

static inline size_t local_slots_at(void)
{
	return local_cells_at(LOCAL_SIDES);
}

/* Where the data of @side begin. */
static inline size_t local_data_at(uint32_t slots, uint32_t units, unsigned side)
{
	size_t slots_end = local_slots_at() + (size_t)LOCAL_SIDES * slots * sizeof(struct local_slot);

	return ((slots_end + LOCAL_PAGE - 1) & ~(size_t)(LOCAL_PAGE - 1)) + (size_t)side * units * LOCAL_UNIT;
}

/* Units of a ring of 1 << @order bytes. */
static inline uint32_t local_units_of(unsigned order)
{
	return UINT32_C(1) << (order - LOCAL_ORDER_MIN);
}

/* Where the ring begins that @side writes datagrams to. */
static inline size_t local_datagrams_at(uint32_t slots, uint32_t units, unsigned side)
{
	return local_data_at(slots, units, LOCAL_SIDES) + ((size_t)side << LOCAL_DATAGRAM_ORDER);
}

/* Bytes of an arena in which each side has @slots and @units. */
static inline size_t local_arena_len(uint32_t slots, uint32_t units)
{
	return local_datagrams_at(slots, units, LOCAL_SIDES);
}

#endif
