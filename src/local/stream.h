/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stream.h - one direction of a connection: bytes through a ring in shared memory, one writer and one reader.
 *
 * Positions count bytes from the connection's first and run free; a byte lies at its position modulo the ring's size.
 * The writer shows how far it has written (`head`), in a line of its own. The reader, when it has seen all up to there,
 * asks for that line and for the line of the next byte at once, so that a small message costs the time of one transfer
 * from processor to processor (docs/decisions/0037 has what else was measured).
 *
 * The reader takes any part of what is there. It writes where it is to a line of its own (`read`), and now and then to
 * the line that the writer looks at when it finds no room (`tail`): after a quarter of the ring, and when the writer
 * waits.
 *
 * Does not: wait, wake anybody, know connections. Its user tells the other side where told to.
 * Trust:    what the other side writes is copied once and checked; a position that cannot be is -EPROTO, after which
 *           the stream is not to be used. Bytes that come may be any.
 * Threads:  the writer's functions by one thread, the reader's by one, in any two processes.
 */
#ifndef FSOCK_LOCAL_STREAM_H
#define FSOCK_LOCAL_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "local/bell.h"
#include "local/format.h"

/* A long write is shown in such parts: the reader copies one while the writer copies the next. */
enum { LOCAL_SHOW = 16 << 10 };

/* The next bytes of an iovec, read or written. */
struct local_span {
	const struct iovec *iov; /* borrowed */
	int left;		 /* entries at iov */
	size_t done;		 /* bytes of iov[0] already used */
};

/* A ring that bytes before position `turn` lie in; those behind it are in a larger one. 0 = there was none. */
struct local_turn {
	uint64_t turn;
	const uint8_t *ring; /* shared */
	uint32_t mask;
};

/* The writer's half; its own memory. */
struct local_tx {
	uint8_t *ring;			  /* shared */
	struct local_stream_words *words; /* shared */
	uint32_t mask;			  /* size of the ring - 1 */
	uint64_t head;			  /* position of the next byte, as words->head says */
	uint64_t seen_tail;		  /* words->tail when last looked at, but none before the turn */
	struct local_turn before;
};

/* The reader's half; its own memory. */
struct local_rx {
	const uint8_t *ring;		  /* shared */
	struct local_stream_words *words; /* shared */
	uint32_t mask;
	bool ended;	    /* what seen_head says is all there ever is */
	bool cut;	    /* at the writer's turn: bytes behind it were there */
	uint64_t pos;	    /* of the next byte */
	uint64_t seen_head; /* words->head when last looked at */
	uint64_t published; /* what words->tail says */
	uint64_t urgent;    /* position behind the last urgent byte, 0 = none; words->urgent when last looked at */
	struct local_turn before;
};

/* Make an empty stream, before the other side knows of it. */
void local_stream_clear(struct local_stream_words *words);

/* A ring of 1 << @order bytes, borrowed like @words. */
void local_tx_init(struct local_tx *tx, uint8_t *ring, unsigned order, struct local_stream_words *words);
void local_rx_init(struct local_rx *rx, const uint8_t *ring, unsigned order, struct local_stream_words *words);

/* Writer: copy bytes of @from, which moves on, until it ends or there is no room. Returns how many, or -EPROTO. */
ssize_t local_tx_put(struct local_tx *tx, struct local_span *from);

/* Writer: all @n bytes of @from at once, or none where there is no room. Whether it put them, or -EPROTO. It looks at the
 * reader's exact position before it gives up, which reads a line that the reader writes often. */
int local_tx_put_whole(struct local_tx *tx, struct local_span *from, size_t n);

/* Writer: the @n-th byte that it will put from here on is urgent. */
void local_tx_urge(struct local_tx *tx, size_t n);

/*
 * Writer: where the next bytes go, @most and LOCAL_SHOW at the most, as one piece or two. What is put there, from the front
 * on, local_tx_commit() sends. How many pieces, 0 = there is no room; -EPROTO likewise.
 */
int local_tx_reserve(struct local_tx *tx, struct iovec part[2], size_t most);
void local_tx_commit(struct local_tx *tx, size_t n);

/* Writer: bytes for which there is room; looks at the reader's position. -EPROTO likewise. */
ssize_t local_tx_room(struct local_tx *tx);

/* Writer: bytes that the reader has not taken. */
uint64_t local_tx_unread(const struct local_tx *tx);

/* Writer that finds no room: ask to be told when half of the ring is free, or 32 KiB. 1: the reader will; 0: it is free by now,
 * which it may tell of as well, since others on this side may have asked before; or -EPROTO. */
int local_tx_wait(struct local_tx *tx);

/*
 * Writer: bytes from here on go into @ring of 1 << @order bytes, larger than the one before and at unit @at; the reader
 * need not have read any for that. It happens once in a stream, not before its first byte.
 */
void local_tx_turn(struct local_tx *tx, uint8_t *ring, unsigned order, uint32_t at);

/* Reader that was cut: from where on, and where the other ring is, copied once. */
struct local_turned {
	uint64_t turn, unit;
	unsigned order;
};
struct local_turned local_rx_turned(const struct local_rx *rx);

/* And what lies there is to be seen. False: that cannot be. */
bool local_rx_turn(struct local_rx *rx, uint64_t turn, const uint8_t *ring, unsigned order);

/* Reader: bytes that are there; looks at the writer's position, unless it has seen @enough. -EPROTO likewise. Where it is
 * cut, there are more once it has turned. */
ssize_t local_rx_look(struct local_rx *rx, size_t enough);

/* Reader: copy @n bytes from the @skip-th on to @to, which moves on. So many are there, and have been seen. */
void local_rx_copy(const struct local_rx *rx, struct local_span *to, size_t skip, size_t n);

/* Reader: @n bytes that have been seen are read. */
static inline void local_rx_pass(struct local_rx *rx, size_t n);

/*
 * Reader, after it passed bytes: let the writer have the room where that is due: after a quarter of the ring, or when a
 * writer that waits may be told. True: it is to be told.
 *
 * A reader that has taken all there is has shown all but a quarter. So a writer that asks for half either finds it when
 * it looks again, or its flag is seen; what is not shown makes nobody wait (tests/model/room.pml).
 */
bool local_rx_give_back(struct local_rx *rx);

/* inline definitions */

/* The bytes at @pos, of a stream that goes on in @ring: which are contiguous up to the end of what they lie in. Sets
 * *n to how many of @n these are. */
static inline const uint8_t *local_ring_at(const struct local_turn *before, const uint8_t *ring, uint32_t mask, uint64_t pos,
					   size_t *n)
{
	if (__builtin_expect(pos < before->turn, 0)) {
		*n = FS_MIN(*n, (size_t)(before->turn - pos));
		ring = before->ring;
		mask = before->mask;
	}
	*n = FS_MIN(*n, (size_t)mask + 1 - (pos & mask));
	return ring + (pos & mask);
}

/* Writer, after it put bytes: does the reader wait for them, and is to be told? */
static inline bool local_tx_tell(struct local_tx *tx)
{
	return local_bell_due(&tx->words->reader_waits);
}

/* Reader: ask to be told of bytes; what it waits for is to be looked at once more. */
static inline void local_rx_ask(struct local_rx *rx)
{
	local_bell_arm(&rx->words->reader_waits, 1);
}

static inline void local_rx_pass(struct local_rx *rx, size_t n)
{
	rx->pos += n;
	/* Release: what is counted has been copied. */
	fs_store_release(&rx->words->read, rx->pos);
}

/* Room in the present piece; steps over used ones. 0 = there is none. */
static inline size_t local_span_room(struct local_span *s)
{
	while (s->left > 0 && s->iov->iov_len == s->done) {
		s->iov++;
		s->left--;
		s->done = 0;
	}
	return s->left > 0 ? s->iov->iov_len - s->done : 0;
}

#endif
