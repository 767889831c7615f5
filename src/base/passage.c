/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * passage.c - see passage.h.
 *
 * A record is a note and the frame's bytes behind it, rounded up. Records wrap around at the end of the ring.
 */
#include "base/passage.h"

#include <string.h>

#include "base/err.h"

enum { ALIGN = 8 };

static uint32_t room_for(uint32_t len)
{
	return (uint32_t)((sizeof(struct passage_note) + len + ALIGN - 1) / ALIGN * ALIGN);
}

void passage_init(struct passage *p, uint8_t *bytes, uint32_t len)
{
	fs_assert(len >= sizeof(struct passage_note) && len <= UINT32_C(1) << 31 && (len & (len - 1)) == 0);
	p->bytes = bytes;
	p->mask = len - 1;
	p->head = p->tail = 0;
}

/* --- bytes --- */

/* How many of @len bytes at the count @at lie before the ring's end. */
static uint32_t before_end(const struct passage *p, uint32_t at, uint32_t len)
{
	return FS_MIN(len, p->mask + 1 - (at & p->mask));
}

static uint32_t write_at(struct passage *p, uint32_t at, const void *from, uint32_t len)
{
	uint32_t first = before_end(p, at, len);

	memcpy(p->bytes + (at & p->mask), from, first);
	memcpy(p->bytes, (const uint8_t *)from + first, len - first);
	return at + len;
}

static uint32_t read_at(const struct passage *p, uint32_t at, void *to, uint32_t len)
{
	uint32_t first = before_end(p, at, len);

	memcpy(to, p->bytes + (at & p->mask), first);
	memcpy((uint8_t *)to + first, p->bytes, len - first);
	return at + len;
}

/* --- records --- */

bool passage_put(struct passage *p, const struct passage_note *note, const struct fbuf *frame)
{
	struct passage_note n = *note;
	uint32_t at = p->head, used;

	n.len = frame ? frame->total : 0;
	n.gso_size = frame ? frame->gso_size : 0;
	n.csum = frame ? frame->csum : 0;
	n.stamp = frame ? frame->stamp : 0;
	used = at - fs_load_acquire(&p->tail); /* the consumer has read what it counted as free */
	if (n.len > p->mask || used > p->mask + 1 || room_for(n.len) > p->mask + 1 - used)
		return false;
	at = write_at(p, at, &n, sizeof(n));
	for (const struct fbuf *part = frame; part; part = part->next)
		at = write_at(p, at, part->data, part->len);
	fs_store_release(&p->head, p->head + room_for(n.len)); /* the record is there before the count says so */
	return true;
}

/* @len bytes at the count @at, as a frame. NULL: the pool has too few chunks. */
static struct fbuf *frame_at(const struct passage *p, uint32_t at, uint32_t len, struct fbuf_pool *pool)
{
	struct fbuf *frame = fbuf_alloc_chain(pool, len);
	uint32_t end = at + len;

	while (frame && at != end) {
		uint32_t run = before_end(p, at, end - at);

		fbuf_append(frame, p->bytes + (at & p->mask), run);
		at += run;
	}
	return frame;
}

bool passage_take(struct passage *p, struct passage_note *note, struct fbuf_pool *pool, struct fbuf **frame)
{
	uint32_t tail = p->tail, have = fs_load_acquire(&p->head) - tail;

	*frame = NULL;
	if (have < sizeof(*note) || have > p->mask + 1)
		return false;
	read_at(p, tail, note, sizeof(*note));
	if (note->len > p->mask || room_for(note->len) > have) {
		fs_store_release(&p->tail, tail + have); /* no record of ours: the rest means nothing either */
		return false;
	}
	if (note->len > 0)
		*frame = frame_at(p, tail + (uint32_t)sizeof(*note), note->len, pool);
	if (*frame) {
		(*frame)->gso_size = note->gso_size;
		(*frame)->csum = note->csum;
		(*frame)->stamp = note->stamp;
	}
	fs_store_release(&p->tail, tail + room_for(note->len)); /* the record was read before it counts as free */
	return true;
}
