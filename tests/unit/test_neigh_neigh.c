/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_neigh_neigh.c - the neighbour table: what it remembers, forgets, gives up and finds due.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "neigh/neigh.h"

enum { BUCKETS = 16, ENTRIES = 4 };

static const struct eth_addr mac_a = { { 2, 0, 0, 0, 0, 0xa } }, mac_b = { { 2, 0, 0, 0, 0, 0xb } };

struct fixture {
	struct neigh_table table;
	struct table_node *buckets[BUCKETS];
	void *memory;
};

static void setup(struct fixture *f)
{
	static const struct siphash_key key = { { 3, 4 } };
	size_t len;

	neigh_table_init(&f->table, &key, f->buckets, BUCKETS);
	len = (ENTRIES + 1) * (size_t)f->table.slab.object_size;
	f->memory = aligned_alloc(64, len);
	assert_int_equal(slab_add(&f->table.slab, f->memory, len), ENTRIES);
}

static void teardown(struct fixture *f)
{
	free(f->memory);
}

static struct ip_addr addr(uint8_t last)
{
	return (struct ip_addr){ .b = { [10] = 0xff, [11] = 0xff, [12] = 10, [15] = last } };
}

static struct neigh *learn(struct fixture *f, uint8_t last, fs_ns now)
{
	struct ip_addr a = addr(last);

	return neigh_learn(&f->table, 0, &a, &mac_a, NEIGH_VALID, now);
}

static struct neigh *find(struct fixture *f, uint8_t port, uint8_t last)
{
	struct ip_addr a = addr(last);

	return neigh_find(&f->table, port, &a);
}

static void neigh_find__unknown_is_null(void **state)
{
	struct fixture f;

	setup(&f);
	assert_null(find(&f, 0, 1));
	teardown(&f);
}

static void neigh_find__by_port_and_address(void **state)
{
	struct ip_addr a = addr(1);
	struct fixture f;
	struct neigh *n, *other;

	setup(&f);
	n = learn(&f, 1, 5);
	other = neigh_learn(&f.table, 1, &a, &mac_b, NEIGH_VALID, 5);
	assert_ptr_not_equal(n, other);
	assert_ptr_equal(find(&f, 0, 1), n);
	assert_ptr_equal(find(&f, 1, 1), other);
	assert_null(find(&f, 2, 1));
	assert_null(find(&f, 0, 2));
	teardown(&f);
}

static void neigh_learn__keeps_what_the_host_says(void **state)
{
	struct fixture f;
	struct neigh *n;

	setup(&f);
	n = learn(&f, 1, 5);
	assert_int_equal(n->state, NEIGH_VALID);
	assert_memory_equal(&n->mac, &mac_a, sizeof(mac_a));
	assert_int_equal(n->refreshed_at, 5);
	assert_int_equal(n->used_at, 0);
	assert_int_equal(n->port, 0);
	teardown(&f);
}

static void neigh_learn__same_word_leaves_the_generation(void **state)
{
	struct fixture f;
	uint32_t generation, changes;
	struct neigh *n;

	setup(&f);
	n = learn(&f, 1, 5);
	generation = n->generation;
	changes = f.table.changes;
	assert_ptr_equal(learn(&f, 1, 9), n);
	assert_int_equal(n->generation, generation);
	assert_int_equal(f.table.changes, changes);
	assert_int_equal(n->refreshed_at, 9);
	teardown(&f);
}

static void neigh_learn__each_change_moves_the_generation(void **state)
{
	static const struct {
		const struct eth_addr *mac;
		enum neigh_state state;
	} step[] = {
		{ &mac_b, NEIGH_VALID }, { NULL, NEIGH_FAILED }, { &mac_b, NEIGH_VALID },
		{ NULL, NEIGH_UNKNOWN }, { NULL, NEIGH_FAILED }, { &mac_a, NEIGH_VALID },
	};
	struct ip_addr a = addr(1);
	struct fixture f;
	struct neigh *n;

	setup(&f);
	n = learn(&f, 1, 5);
	for (unsigned i = 0; i < FS_ARRAY_SIZE(step); i++) {
		uint32_t generation = n->generation, changes = f.table.changes;

		assert_ptr_equal(neigh_learn(&f.table, 0, &a, step[i].mac, step[i].state, 6), n);
		assert_int_equal(n->state, step[i].state);
		assert_int_equal(n->generation, generation + 1);
		assert_int_equal(f.table.changes, changes + 1);
		if (step[i].mac)
			assert_memory_equal(&n->mac, step[i].mac, sizeof(n->mac));
	}
	teardown(&f);
}

static void neigh_learn__valid_without_mac_is_our_bug(void **state)
{
	struct ip_addr a = addr(1);
	struct fixture f;

	setup(&f);
	expect_assert_failure(neigh_learn(&f.table, 0, &a, NULL, NEIGH_VALID, 1));
	teardown(&f);
}

static void neigh_learn__full_gives_up_the_least_recently_refreshed(void **state)
{
	struct fixture f;

	setup(&f);
	for (uint8_t i = 1; i <= ENTRIES; i++)
		assert_non_null(learn(&f, i, i));
	learn(&f, 1, 10); /* now 2 is the oldest */
	assert_non_null(learn(&f, 9, 11));
	assert_null(find(&f, 0, 2));
	assert_non_null(find(&f, 0, 1));
	assert_non_null(find(&f, 0, 3));
	assert_non_null(find(&f, 0, 4));
	teardown(&f);
}

static void neigh_learn__full_of_referenced_entries(void **state)
{
	struct fixture f;

	setup(&f);
	for (uint8_t i = 1; i <= ENTRIES; i++)
		neigh_get(learn(&f, i, i));
	assert_null(learn(&f, 9, 11));
	neigh_put(&f.table, find(&f, 0, 3));
	assert_non_null(learn(&f, 9, 12));
	assert_null(find(&f, 0, 3));
	teardown(&f);
}

static void neigh_forget__unreferenced_is_gone(void **state)
{
	struct ip_addr a = addr(1);
	struct fixture f;

	setup(&f);
	learn(&f, 1, 1);
	neigh_forget(&f.table, 0, &a);
	assert_null(find(&f, 0, 1));
	assert_int_equal(f.table.slab.in_use, 0);
	neigh_forget(&f.table, 0, &a);
	teardown(&f);
}

static void neigh_forget__referenced_becomes_unknown(void **state)
{
	struct ip_addr a = addr(1);
	struct fixture f;
	struct neigh *n;
	uint32_t generation;

	setup(&f);
	n = learn(&f, 1, 1);
	neigh_get(n);
	generation = n->generation;
	neigh_forget(&f.table, 0, &a);
	assert_ptr_equal(find(&f, 0, 1), n);
	assert_int_equal(n->state, NEIGH_UNKNOWN);
	assert_int_equal(n->generation, generation + 1);
	neigh_put(&f.table, n);
	assert_ptr_equal(find(&f, 0, 1), n);
	teardown(&f);
}

static void neigh_flush_port__takes_only_that_port(void **state)
{
	struct ip_addr a = addr(1);
	struct fixture f;

	setup(&f);
	learn(&f, 1, 1);
	learn(&f, 2, 1);
	neigh_learn(&f.table, 1, &a, &mac_a, NEIGH_VALID, 1);
	neigh_flush_port(&f.table, 0);
	assert_null(find(&f, 0, 1));
	assert_null(find(&f, 0, 2));
	assert_non_null(find(&f, 1, 1));
	assert_int_equal(f.table.slab.in_use, 1);
	teardown(&f);
}

static void neigh_flush_port__referenced_lives_until_put(void **state)
{
	struct fixture f;
	struct neigh *n;

	setup(&f);
	n = learn(&f, 1, 1);
	neigh_get(n);
	neigh_get(n);
	neigh_flush_port(&f.table, 0);
	assert_null(find(&f, 0, 1));
	assert_int_equal(n->state, NEIGH_UNKNOWN);
	neigh_asked(&f.table, n, 7); /* harmless on an entry out of the table */
	assert_null(neigh_next_due(&f.table, FS_SEC(99), 1));
	neigh_put(&f.table, n);
	assert_int_equal(f.table.slab.in_use, 1);
	neigh_put(&f.table, n);
	assert_int_equal(f.table.slab.in_use, 0);
	teardown(&f);
}

static void neigh_put__more_often_than_get_is_our_bug(void **state)
{
	struct fixture f;
	struct neigh *n;

	setup(&f);
	n = learn(&f, 1, 1);
	expect_assert_failure(neigh_put(&f.table, n));
	teardown(&f);
}

static void neigh_next_due__used_but_not_refreshed(void **state)
{
	struct fixture f;
	struct neigh *n;

	setup(&f);
	n = learn(&f, 1, FS_SEC(1));
	n->used_at = FS_SEC(40);
	assert_null(neigh_next_due(&f.table, FS_SEC(31), FS_SEC(30))); /* exactly the interval */
	assert_ptr_equal(neigh_next_due(&f.table, FS_SEC(41), FS_SEC(30)), n);
	neigh_asked(&f.table, n, FS_SEC(41));
	assert_null(neigh_next_due(&f.table, FS_SEC(41), FS_SEC(30)));
	assert_ptr_equal(neigh_next_due(&f.table, FS_SEC(41) + FS_SEC(30), FS_SEC(30) - 1), NULL);
	n->used_at = FS_SEC(70);
	assert_ptr_equal(neigh_next_due(&f.table, FS_SEC(72), FS_SEC(30)), n);
	teardown(&f);
}

static void neigh_next_due__idle_entries_rest(void **state)
{
	struct fixture f;

	setup(&f);
	learn(&f, 1, FS_SEC(1)); /* never used */
	learn(&f, 2, FS_SEC(1))->used_at = FS_SEC(2);
	assert_null(neigh_next_due(&f.table, FS_SEC(100), FS_SEC(30)));
	teardown(&f);
}

static void neigh_next_due__each_once(void **state)
{
	unsigned seen = 0;
	struct fixture f;
	struct neigh *n;

	setup(&f);
	for (uint8_t i = 1; i <= ENTRIES; i++)
		learn(&f, i, FS_SEC(1))->used_at = i == 2 ? 0 : FS_SEC(99);
	while ((n = neigh_next_due(&f.table, FS_SEC(100), FS_SEC(30))) != NULL) {
		assert_int_equal(seen & (1u << n->addr.b[15]), 0);
		seen |= 1u << n->addr.b[15];
		neigh_asked(&f.table, n, FS_SEC(100));
	}
	assert_int_equal(seen, 1 << 1 | 1 << 3 | 1 << 4);
	teardown(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(neigh_find__unknown_is_null),
		cmocka_unit_test(neigh_find__by_port_and_address),
		cmocka_unit_test(neigh_learn__keeps_what_the_host_says),
		cmocka_unit_test(neigh_learn__same_word_leaves_the_generation),
		cmocka_unit_test(neigh_learn__each_change_moves_the_generation),
		cmocka_unit_test(neigh_learn__valid_without_mac_is_our_bug),
		cmocka_unit_test(neigh_learn__full_gives_up_the_least_recently_refreshed),
		cmocka_unit_test(neigh_learn__full_of_referenced_entries),
		cmocka_unit_test(neigh_forget__unreferenced_is_gone),
		cmocka_unit_test(neigh_forget__referenced_becomes_unknown),
		cmocka_unit_test(neigh_flush_port__takes_only_that_port),
		cmocka_unit_test(neigh_flush_port__referenced_lives_until_put),
		cmocka_unit_test(neigh_put__more_often_than_get_is_our_bug),
		cmocka_unit_test(neigh_next_due__used_but_not_refreshed),
		cmocka_unit_test(neigh_next_due__idle_entries_rest),
		cmocka_unit_test(neigh_next_due__each_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
