/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stream.c - bytes through a ring: the writer's half and the reader's.
 *
 * Not here: when a side is told (bell.h), what a connection makes of the bytes (conn.c).
 */
#include "local/stream.h"

#include <errno.h>
#include <string.h>

#include "base/barrier.h"

enum {
	/* The reader shows where it is after this part of the ring: seldom enough that the writer's look is mostly at
	 * its own copy of the line, and often enough that a stream does not stop for it. */
	GIVE_BACK_PART = 4,
	/* A writer that waits is told when this part is free: a wake-up has to be worth its price. */
	TELL_PART = 2,
	TELL_MOST = 32 << 10, /* bytes: of a larger ring so much is worth it, too */
	/* Bytes: the writer asks so long ahead for lines that it will fill, since the reader still has them. Further ahead,
	 * what the reader's processor asks for by itself takes them back; of a long message the writer's does the same. */
	AHEAD = 128,
	AHEAD_MOST = 1024, /* at once */

	ORDER_BITS = 8, /* of local_stream_words.grown */
};
static_assert(TELL_PART < GIVE_BACK_PART, "who shows each quarter has shown half when nothing is left");

static inline uint64_t size_of(uint32_t mask)
{
	return (uint64_t)mask + 1;
}

void local_stream_clear(struct local_stream_words *words)
{
	fs_store_relaxed(&words->head, 0);
	fs_store_relaxed(&words->urgent, 0);
	fs_store_relaxed(&words->turn, 0);
	fs_store_relaxed(&words->grown, 0);
	fs_store_relaxed(&words->tail, 0);
	fs_store_relaxed(&words->reader_waits, 0);
	fs_store_relaxed(&words->writer_waits, 0);
	fs_store_relaxed(&words->read, 0);
	fs_store_relaxed(&words->taken, 0);
}

void local_tx_init(struct local_tx *tx, uint8_t *ring, unsigned order, struct local_stream_words *words)
{
	*tx = (struct local_tx){ .ring = ring, .words = words, .mask = (UINT32_C(1) << order) - 1 };
}

void local_rx_init(struct local_rx *rx, const uint8_t *ring, unsigned order, struct local_stream_words *words)
{
	*rx = (struct local_rx){ .ring = ring, .words = words, .mask = (UINT32_C(1) << order) - 1 };
}

/* --- the writer --- */

/* @tail, where the reader says that it is. */
static inline int note_tail(struct local_tx *tx, uint64_t tail)
{
	if (__builtin_expect(tail - tx->before.turn > tx->head - tx->before.turn, 0)) {
		/* It is behind the turn still: nothing of the larger ring is read. */
		if (tx->before.turn - tail > size_of(tx->before.mask))
			return -EPROTO;
		tail = tx->before.turn;
	}
	if (tx->head - tail > size_of(tx->mask))
		return -EPROTO;
	tx->seen_tail = tail;
	return 0;
}

/* Look where the reader is. */
static inline int look_at_tail(struct local_tx *tx)
{
	/* Acquire: the reader has copied what lies before its tail. */
	return note_tail(tx, fs_load_acquire(&tx->words->tail));
}

static inline size_t room_seen(const struct local_tx *tx)
{
	return (size_t)(size_of(tx->mask) - (tx->head - tx->seen_tail));
}

/* @n bytes into the ring; there is room, and @from has so many. */
static inline void copy_in(struct local_tx *tx, struct local_span *from, size_t n)
{
	while (n > 0) {
		size_t at = tx->head & tx->mask;
		size_t here = FS_MIN(FS_MIN(local_span_room(from), n), size_of(tx->mask) - at);

		memcpy(tx->ring + at, (const uint8_t *)from->iov->iov_base + from->done, here);
		from->done += here;
		tx->head += here;
		n -= here;
	}
}

/* Bytes left in @s, as far as they matter: at least @enough, or all. */
static size_t span_left(const struct local_span *s, size_t enough)
{
	size_t n = s->left > 0 ? s->iov->iov_len - s->done : 0;

	for (int i = 1; i < s->left && n < enough; i++)
		n += s->iov[i].iov_len;
	return n;
}

/* A message in one piece, for which room has been seen, not across the end of the ring. */
static inline bool is_simple(const struct local_tx *tx, const struct local_span *from, size_t *n)
{
	if (from->left != 1)
		return false;
	*n = from->iov->iov_len - from->done;
	return *n - 1 < LOCAL_SHOW && *n <= room_seen(tx) && (tx->head & tx->mask) + *n <= size_of(tx->mask);
}

ssize_t local_tx_put(struct local_tx *tx, struct local_span *from)
{
	size_t done = 0, n;

	if (__builtin_expect(is_simple(tx, from, &n), 1)) {
		memcpy(tx->ring + (tx->head & tx->mask), (const uint8_t *)from->iov->iov_base + from->done, n);
		from->done += n;
		tx->head += n;
		/* Release: as below. */
		fs_store_release(&tx->words->head, tx->head);
		for (size_t i = 0; i < FS_MIN(n, (size_t)AHEAD_MOST); i += FS_CACHE_LINE)
			fs_prefetch_to_write(tx->ring + ((tx->head + AHEAD + i) & tx->mask));
		return (ssize_t)n;
	}
	while ((n = FS_MIN(span_left(from, LOCAL_SHOW), (size_t)LOCAL_SHOW)) > 0) {
		if (room_seen(tx) < n) {
			if (look_at_tail(tx) < 0)
				return -EPROTO;
			n = FS_MIN(n, room_seen(tx));
			if (n == 0)
				break;
		}
		copy_in(tx, from, n);
		/* Release: the bytes are there before the position says so. */
		fs_store_release(&tx->words->head, tx->head);
		done += n;
	}
	return (ssize_t)done;
}

/* For who gives up where there is no room: no reader's position is older than its own word for it. */
static int look_at_read(struct local_tx *tx)
{
	/* Acquire: the reader has copied what it has read. */
	return note_tail(tx, fs_load_acquire(&tx->words->read));
}

int local_tx_put_whole(struct local_tx *tx, struct local_span *from, size_t n)
{
	if (room_seen(tx) < n && look_at_read(tx) < 0)
		return -EPROTO;
	if (room_seen(tx) < n)
		return 0;
	copy_in(tx, from, n);
	/* Release: the bytes are there before the position says so. */
	fs_store_release(&tx->words->head, tx->head);
	return 1;
}

int local_tx_reserve(struct local_tx *tx, struct iovec part[2], size_t most)
{
	size_t at = tx->head & tx->mask, n = FS_MIN(most, (size_t)LOCAL_SHOW), here;

	if (room_seen(tx) < n && look_at_tail(tx) < 0)
		return -EPROTO;
	n = FS_MIN(n, room_seen(tx));
	here = FS_MIN(n, size_of(tx->mask) - at);
	part[0] = (struct iovec){ .iov_base = tx->ring + at, .iov_len = here };
	part[1] = (struct iovec){ .iov_base = tx->ring, .iov_len = n - here };
	return n == 0 ? 0 : n == here ? 1 : 2;
}

void local_tx_commit(struct local_tx *tx, size_t n)
{
	tx->head += n;
	/* Release: the bytes are there before the position says so. */
	fs_store_release(&tx->words->head, tx->head);
}

void local_tx_urge(struct local_tx *tx, size_t n)
{
	/* The head that covers the byte is stored after it, with release. */
	fs_store_relaxed(&tx->words->urgent, tx->head + n);
}

ssize_t local_tx_room(struct local_tx *tx)
{
	if (look_at_tail(tx) < 0)
		return -EPROTO;
	return (ssize_t)room_seen(tx);
}

uint64_t local_tx_unread(const struct local_tx *tx)
{
	/* Acquire: pairs with the release in local_rx_pass(). */
	uint64_t read = fs_load_acquire(&tx->words->read);

	/* A count that cannot be is as good as none. */
	return FS_MIN(tx->head - read, size_of(tx->mask) + (tx->before.turn ? size_of(tx->before.mask) : 0));
}

void local_tx_turn(struct local_tx *tx, uint8_t *ring, unsigned order, uint32_t at)
{
	tx->before = (struct local_turn){ .turn = tx->head, .ring = tx->ring, .mask = tx->mask };
	tx->ring = ring;
	tx->mask = (UINT32_C(1) << order) - 1;
	tx->seen_tail = tx->head;
	/* The heads of bytes behind it are stored after both, with release. */
	fs_store_relaxed(&tx->words->grown, (uint64_t)at << ORDER_BITS | order);
	fs_store_relaxed(&tx->words->turn, tx->head);
}

/*
 * words->writer_waits is the tail from which on the writer is to be told: 31 bits of it, since 0 means that nobody
 * waits. The distance to it is never more than a ring.
 */
static inline uint32_t waits_for(uint64_t tail)
{
	return (uint32_t)(tail << 1) | 1;
}

static inline bool is_reached(uint32_t target, uint64_t tail)
{
	return target != 0 && (int32_t)(waits_for(tail) - target) >= 0;
}
static_assert(LOCAL_ORDER_MAX < 30, "a distance of two rings has a sign in 31 bits");

int local_tx_wait(struct local_tx *tx)
{
	uint64_t target = tx->head - (size_of(tx->mask) - FS_MIN(size_of(tx->mask) / TELL_PART, (uint64_t)TELL_MOST));
	int rc;

	local_bell_arm(&tx->words->writer_waits, waits_for(target));
	rc = look_at_tail(tx);
	return rc == 0 && (int64_t)(tx->seen_tail - target) < 0 ? 1 : rc;
}

/* --- the reader --- */

/* How far the writer can be before the reader at the most. */
static uint64_t reach(const struct local_rx *rx)
{
	return size_of(rx->mask) + (rx->pos < rx->before.turn ? rx->before.turn - rx->pos : 0);
}

/* Of @there bytes, of which some were seen: those that lie where the reader knows. -EPROTO likewise. */
static __attribute__((noinline)) ssize_t look_beyond(struct local_rx *rx, uint64_t there)
{
	uint64_t turn = fs_load_relaxed(&rx->words->turn);

	rx->cut = turn && !rx->before.turn && turn - rx->pos < there;
	if (rx->cut)
		there = turn - rx->pos;
	return there > reach(rx) || there < rx->seen_head - rx->pos ? -EPROTO : (ssize_t)there;
}

struct local_turned local_rx_turned(const struct local_rx *rx)
{
	uint64_t grown = fs_load_relaxed(&rx->words->grown);

	return (struct local_turned){
		.turn = fs_load_relaxed(&rx->words->turn),
		.unit = grown >> ORDER_BITS,
		.order = grown & ((1u << ORDER_BITS) - 1),
	};
}

bool local_rx_turn(struct local_rx *rx, uint64_t turn, const uint8_t *ring, unsigned order)
{
	rx->cut = false;
	if (rx->before.turn || turn == 0 || turn - rx->pos > size_of(rx->mask) ||
	    UINT64_C(1) << order <= size_of(rx->mask))
		return false;
	rx->before = (struct local_turn){ .turn = turn, .ring = rx->ring, .mask = rx->mask };
	rx->ring = ring;
	rx->mask = (UINT32_C(1) << order) - 1;
	return true;
}

ssize_t local_rx_look(struct local_rx *rx, size_t enough)
{
	uint64_t seen = rx->seen_head - rx->pos, there;

	if (seen >= enough || rx->ended)
		return (ssize_t)seen;
	/* Asked for together with the writer's line, where the reader spins for both. */
	__builtin_prefetch(rx->ring + (rx->seen_head & rx->mask));
	/* Acquire: pairs with the release in local_tx_put(). */
	there = fs_load_acquire(&rx->words->head) - rx->pos;
	if (__builtin_expect(fs_load_relaxed(&rx->words->turn) != 0, 0)) {
		ssize_t known = look_beyond(rx, there);

		if (known < 0)
			return known;
		there = (uint64_t)known;
	} else if (there > size_of(rx->mask) || there < seen) {
		return -EPROTO;
	}
	if (there > seen) {
		uint64_t urgent = fs_load_relaxed(&rx->words->urgent);

		rx->seen_head = rx->pos + there;
		/* One that is behind what may come is not to be found in the ring, ever. */
		rx->urgent = urgent - rx->pos <= there ? urgent : rx->urgent;
	}
	return (ssize_t)there;
}

void local_rx_copy(const struct local_rx *rx, struct local_span *to, size_t skip, size_t n)
{
	uint64_t pos = rx->pos + skip;

	while (n > 0) {
		size_t here = FS_MIN(local_span_room(to), n);
		const uint8_t *from = local_ring_at(&rx->before, rx->ring, rx->mask, pos, &here);

		memcpy((uint8_t *)to->iov->iov_base + to->done, from, here);
		to->done += here;
		pos += here;
		n -= here;
	}
}

bool local_rx_give_back(struct local_rx *rx)
{
	struct local_stream_words *words = rx->words;
	bool is_much = rx->pos - rx->published > rx->mask / GIVE_BACK_PART;

	if (rx->pos == rx->published || !(is_much || is_reached(fs_load_relaxed(&words->writer_waits), rx->pos)))
		return false;
	/* Release: what lies before it has been copied. */
	fs_store_release(&words->tail, rx->pos);
	rx->published = rx->pos;
	/* A writer that begins to wait after the look that follows sees this tail. */
	fs_full_barrier();
	return is_reached(fs_load_relaxed(&words->writer_waits), rx->pos) && local_bell_taken(&words->writer_waits);
}
