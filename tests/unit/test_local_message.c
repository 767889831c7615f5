/* SPDX-License-Identifier: BSD-2-Clause */
/* Cells: order, the turn round the ring, no room, counts that cannot be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "local/message.h"

struct rig {
	struct local_cell cells[LOCAL_CELLS];
	struct local_out out;
	struct local_in in;
	uint32_t taken;
};

static int setup(void **state)
{
	static struct rig r;

	memset(&r, 0, sizeof(r));
	r.out = (struct local_out){ .cells = r.cells, .taken = &r.taken };
	r.in = (struct local_in){ .cells = r.cells, .taken = &r.taken };
	*state = &r;
	return 0;
}

static void put(struct rig *r, uint32_t n)
{
	struct local_cell cell = { .head = LOCAL_BYTES, .slot = n, .word = { n, [6] = ~(uint64_t)n } };

	assert_true(local_out_has_room(&r->out));
	local_out_put(&r->out, &cell);
}

static void get(struct rig *r, uint32_t n)
{
	struct local_cell cell;

	assert_true(local_in_get(&r->in, &cell));
	assert_int_equal(cell.head, LOCAL_BYTES);
	assert_int_equal(cell.slot, n);
	assert_int_equal(cell.word[0], n);
	assert_int_equal(cell.word[6], ~(uint64_t)n);
}

static void nothing(struct rig *r)
{
	struct local_cell cell;

	assert_false(local_in_get(&r->in, &cell));
}

static void local_message__in_order_over_many_turns(void **state)
{
	struct rig *r = *state;

	nothing(r);
	for (uint32_t i = 0; i < 5 * LOCAL_CELLS; i += 2) {
		put(r, i);
		put(r, i + 1);
		get(r, i);
		get(r, i + 1);
		nothing(r);
		local_in_show(&r->in, false);
	}
}

static void local_out_has_room__until_full(void **state)
{
	struct rig *r = *state;

	for (uint32_t i = 0; i < LOCAL_CELLS; i++)
		put(r, i);
	assert_false(local_out_has_room(&r->out));
	get(r, 0);
	assert_false(local_out_has_room(&r->out)); /* not shown */
	assert_false(local_in_show(&r->in, false));
	assert_true(local_in_show(&r->in, true));
	put(r, LOCAL_CELLS);
	assert_false(local_out_has_room(&r->out));
	for (uint32_t i = 1; i <= LOCAL_CELLS; i++)
		get(r, i);
	nothing(r);
	assert_true(local_in_show(&r->in, false));
	assert_false(local_in_show(&r->in, true)); /* nothing new */
}

/* The turn is kept in 24 bits, the count of what was taken in 32. */
static void local_message__counts_wrap(void **state)
{
	struct rig *r = *state;
	uint64_t far = (UINT64_C(1) << 32) - 3 * LOCAL_CELLS;

	r->out.next = r->in.next = far;
	r->out.seen_taken = r->in.shown = r->taken = (uint32_t)far;
	for (uint32_t i = 0; i < 6 * LOCAL_CELLS; i++) {
		put(r, i);
		get(r, i);
		nothing(r);
		local_in_show(&r->in, false);
	}
}

/* Whatever count the other side claims: nothing is written where it has not read, as far as was known. */
static void local_out_has_room__impossible_counts(void **state)
{
	struct rig *r = *state;

	for (uint32_t i = 0; i < LOCAL_CELLS; i++)
		put(r, i);
	r->taken = LOCAL_CELLS + 1;
	assert_false(local_out_has_room(&r->out));
	r->taken = UINT32_MAX;
	assert_false(local_out_has_room(&r->out));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(local_message__in_order_over_many_turns, setup),
		cmocka_unit_test_setup(local_out_has_room__until_full, setup),
		cmocka_unit_test_setup(local_message__counts_wrap, setup),
		cmocka_unit_test_setup(local_out_has_room__impossible_counts, setup),
	};

	return cmocka_run_group_tests_name("local_message", tests, NULL, NULL);
}
