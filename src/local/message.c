/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * message.c - cells through a ring. Not here: what they say.
 */
#include "local/message.h"

#include <string.h>

#include "base/barrier.h"

enum { KIND_BITS = 8, SHOW_PART = 4 };
static_assert(LOCAL_N_KINDS <= 1 << KIND_BITS, "a kind fits");

/*
 * What a head is written with beside the kind: the turn round the ring, from 1, so that cells of zeros and those of the
 * turn before are none. It wraps after four thousand million messages; the cell has been written since.
 */
static inline uint32_t turn_of(uint64_t next)
{
	return (uint32_t)(next / LOCAL_CELLS + 1) << KIND_BITS;
}

bool local_out_has_room(struct local_out *out)
{
	uint32_t next = (uint32_t)out->next;

	if (next - out->seen_taken >= LOCAL_CELLS) {
		/* Acquire: the other side has copied what it has taken. */
		uint32_t taken = fs_load_acquire(out->taken);

		if (next - taken <= LOCAL_CELLS)
			out->seen_taken = taken;
	}
	return next - out->seen_taken < LOCAL_CELLS;
}

void local_out_put(struct local_out *out, const struct local_cell *cell)
{
	struct local_cell *to = &out->cells[out->next % LOCAL_CELLS];

	memcpy((uint8_t *)to + sizeof(to->head), (const uint8_t *)cell + sizeof(to->head),
	       sizeof(*to) - sizeof(to->head));
	/* Release: the rest of the cell is there before its head. */
	fs_store_release(&to->head, turn_of(out->next) | cell->head);
	out->next++;
}

bool local_in_get(struct local_in *in, struct local_cell *copy)
{
	const struct local_cell *from = &in->cells[in->next % LOCAL_CELLS];
	uint32_t head = fs_load_acquire(&from->head);

	if (((head ^ turn_of(in->next)) >> KIND_BITS) != 0)
		return false;
	memcpy((uint8_t *)copy + sizeof(head), (const uint8_t *)from + sizeof(head), sizeof(*copy) - sizeof(head));
	copy->head = head & ((1U << KIND_BITS) - 1);
	in->next++;
	return true;
}

bool local_in_show(struct local_in *in, bool all)
{
	uint32_t next = (uint32_t)in->next;

	if (next == in->shown || (!all && next - in->shown < LOCAL_CELLS / SHOW_PART))
		return false;
	/* Release: the cells have been copied. */
	fs_store_release(in->taken, next);
	in->shown = next;
	return true;
}
