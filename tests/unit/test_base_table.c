/* SPDX-License-Identifier: BSD-2-Clause */
/* Hash table: chains, growth step by step, walks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/table.h"
#include "support.h"

enum { N = 1000 };

struct entry {
	uint32_t key;
	int met;
	struct table_node node;
};

static struct entry entry[N];
static struct table_node *small[8], *large[64], *huge[1024];

/* Few distinct hashes would hide chain errors, all distinct ones would hide match errors. */
static uint32_t hash_of(uint32_t key)
{
	return (key / 2) * 2654435761u;
}

static struct entry *find(const struct table *t, uint32_t key)
{
	struct table_node *n;

	TABLE_FOR_EACH_MATCH(n, t, hash_of(key)) {
		struct entry *e = FS_CONTAINER_OF(n, struct entry, node);

		if (e->key == key)
			return e;
	}
	return NULL;
}

static void insert(struct table *t, uint32_t key)
{
	entry[key].key = key;
	table_insert(t, &entry[key].node, hash_of(key));
}

static void assert_holds(const struct table *t, uint32_t first, uint32_t end)
{
	for (uint32_t key = 0; key < N; key++)
		assert_ptr_equal(find(t, key), key >= first && key < end ? &entry[key] : NULL);
	assert_int_equal(t->count, end - first);
}

static void table_init__clears_the_buckets(void **state)
{
	struct table t;

	memset(small, 0xff, sizeof(small));
	table_init(&t, small, FS_ARRAY_SIZE(small));
	assert_null(find(&t, 1));
	assert_trips(table_init(&t, small, 6));
	assert_trips(table_init(&t, small, 0));
}

static void table_insert__found_until_removed(void **state)
{
	struct table t;

	table_init(&t, small, FS_ARRAY_SIZE(small));
	for (uint32_t key = 0; key < 100; key++)
		insert(&t, key);
	assert_holds(&t, 0, 100);
	for (uint32_t key = 0; key < 50; key++)
		table_remove(&t, &entry[key].node);
	assert_holds(&t, 50, 100);
}

static void table_insert__newest_of_equal_hash_first(void **state)
{
	struct table t;
	struct table_node a, b, *n;

	table_init(&t, small, FS_ARRAY_SIZE(small));
	table_insert(&t, &a, 7);
	table_insert(&t, &b, 7);
	n = table_match(*table_bucket(&t, 7), 7);
	assert_ptr_equal(n, &b);
	table_grow(&t, large, FS_ARRAY_SIZE(large));
	table_grow_step(&t, UINT32_MAX); /* and so it stays in the larger array */
	n = table_match(*table_bucket(&t, 7), 7);
	assert_ptr_equal(n, &b);
	assert_ptr_equal(table_match(n->next, 7), &a);
}

static void table_remove__absent_asserts(void **state)
{
	struct table t;
	struct table_node stranger = { .hash = 3 };

	table_init(&t, small, FS_ARRAY_SIZE(small));
	assert_trips(table_remove(&t, &stranger));
}

static void table_wants_growth__beyond_one_per_bucket(void **state)
{
	struct table t;

	table_init(&t, small, FS_ARRAY_SIZE(small));
	for (uint32_t key = 0; key < 7; key++)
		insert(&t, key);
	assert_false(table_wants_growth(&t));
	insert(&t, 7);
	assert_true(table_wants_growth(&t));
	table_grow(&t, large, FS_ARRAY_SIZE(large));
	assert_false(table_wants_growth(&t));
}

static void table_grow__everything_is_found_at_every_step(void **state)
{
	struct table t;

	table_init(&t, small, FS_ARRAY_SIZE(small));
	for (uint32_t key = 0; key < 60; key++)
		insert(&t, key);
	table_grow(&t, large, FS_ARRAY_SIZE(large));
	for (uint32_t step = 0; step < FS_ARRAY_SIZE(small); step++) {
		assert_true(table_is_growing(&t));
		assert_holds(&t, 0, 60);
		table_grow_step(&t, 1);
	}
	assert_false(table_is_growing(&t));
	memset(small, 0xff, sizeof(small)); /* the caller's again */
	assert_holds(&t, 0, 60);
}

static void table_grow__insertions_carry_it_on(void **state)
{
	struct table t;

	table_init(&t, small, FS_ARRAY_SIZE(small));
	for (uint32_t key = 0; key < 20; key++)
		insert(&t, key);
	table_grow(&t, large, FS_ARRAY_SIZE(large));
	table_remove(&t, &entry[0].node); /* removal in the middle of growth */
	for (uint32_t key = 20; table_is_growing(&t); key++) {
		assert_true(key < 30);
		insert(&t, key);
	}
	assert_holds(&t, 1, t.count + 1);
}

static void table_grow__again_while_growing(void **state)
{
	struct table t;

	table_init(&t, small, FS_ARRAY_SIZE(small));
	for (uint32_t key = 0; key < 60; key++)
		insert(&t, key);
	table_grow(&t, large, FS_ARRAY_SIZE(large));
	table_grow(&t, huge, FS_ARRAY_SIZE(huge));
	memset(small, 0xff, sizeof(small));
	for (uint32_t key = 60; key < N; key++)
		insert(&t, key);
	assert_false(table_is_growing(&t));
	assert_holds(&t, 0, N);
	assert_trips(table_grow(&t, large, FS_ARRAY_SIZE(large)));
}

/* Meet every entry once; remove every other one on the way. */
static void walk(struct table *t, uint32_t n)
{
	struct table_cursor cursor = { 0 };
	struct table_node *node;
	uint32_t met = 0;

	for (uint32_t key = 0; key < N; key++)
		entry[key].met = 0;
	while ((node = table_next(t, &cursor))) {
		struct entry *e = FS_CONTAINER_OF(node, struct entry, node);

		assert_int_equal(e->met++, 0);
		met++;
		if (e->key % 2)
			table_remove(t, node);
	}
	assert_int_equal(met, n);
	assert_null(table_next(t, &cursor)); /* the end is the end */
}

static void table_next__each_once(void **state)
{
	struct table t;

	table_init(&t, small, FS_ARRAY_SIZE(small));
	walk(&t, 0);
	for (uint32_t key = 0; key < 100; key++)
		insert(&t, key);
	walk(&t, 100);
	walk(&t, 50);
}

static void table_next__each_once_while_growing(void **state)
{
	for (uint32_t step = 0; step <= FS_ARRAY_SIZE(small); step++) {
		struct table t;

		table_init(&t, small, FS_ARRAY_SIZE(small));
		for (uint32_t key = 0; key < 100; key++)
			insert(&t, key);
		table_grow(&t, large, FS_ARRAY_SIZE(large));
		table_grow_step(&t, step);
		walk(&t, 100);
		walk(&t, 50);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(table_init__clears_the_buckets),
		cmocka_unit_test(table_insert__found_until_removed),
		cmocka_unit_test(table_insert__newest_of_equal_hash_first),
		cmocka_unit_test(table_remove__absent_asserts),
		cmocka_unit_test(table_wants_growth__beyond_one_per_bucket),
		cmocka_unit_test(table_grow__everything_is_found_at_every_step),
		cmocka_unit_test(table_grow__insertions_carry_it_on),
		cmocka_unit_test(table_grow__again_while_growing),
		cmocka_unit_test(table_next__each_once),
		cmocka_unit_test(table_next__each_once_while_growing),
	};

	return cmocka_run_group_tests_name("base_table", tests, NULL, NULL);
}
