/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * table.c - intrusive chained hash table with incremental growth.
 *
 * While growing, old buckets are emptied in ascending order; table.moved divides them: below it an
 * entry is in the new array, from it on in the old one. So every hash has one place at any time.
 */
#include "base/table.h"

#include "base/err.h"

/* Old buckets moved per insertion. An array that doubles has been emptied long before it is full
 * again with any value from 1 on; more shortens the time during which two arrays are touched. */
#define MOVED_PER_INSERT 4

static void buckets_clear(struct table_node **buckets, uint32_t n_buckets)
{
	fs_assert(n_buckets > 0 && (n_buckets & (n_buckets - 1)) == 0);
	for (uint32_t i = 0; i < n_buckets; i++)
		buckets[i] = NULL;
}

void table_init(struct table *t, struct table_node **buckets, uint32_t n_buckets)
{
	buckets_clear(buckets, n_buckets);
	*t = (struct table){ .bucket = buckets, .mask = n_buckets - 1 };
}

void table_insert(struct table *t, struct table_node *node, uint32_t hash)
{
	struct table_node **chain;

	table_grow_step(t, MOVED_PER_INSERT);
	chain = table_bucket(t, hash);
	node->hash = hash;
	node->next = *chain;
	*chain = node;
	t->count++;
}

void table_remove(struct table *t, struct table_node *node)
{
	struct table_node **link = table_bucket(t, node->hash);

	while (*link != node) {
		fs_assert(*link != NULL); /* not in this table */
		link = &(*link)->next;
	}
	*link = node->next;
	node->next = NULL;
	t->count--;
}

void table_grow(struct table *t, struct table_node **buckets, uint32_t n_buckets)
{
	fs_assert(n_buckets > t->mask + 1);
	table_grow_step(t, UINT32_MAX);
	buckets_clear(buckets, n_buckets);
	t->old = t->bucket;
	t->old_mask = t->mask;
	t->moved = 0;
	t->bucket = buckets;
	t->mask = n_buckets - 1;
}

/* Append to its new chain, keeping the order among entries of equal hash. */
static void bucket_append(struct table *t, struct table_node *node)
{
	struct table_node **link = &t->bucket[node->hash & t->mask];

	while (*link)
		link = &(*link)->next;
	node->next = NULL;
	*link = node;
}

void table_grow_step(struct table *t, uint32_t n)
{
	while (t->old && n-- > 0) {
		struct table_node *node = t->old[t->moved], *next;

		t->old[t->moved] = NULL;
		for (; node; node = next) {
			next = node->next;
			bucket_append(t, node);
		}
		if (t->moved++ == t->old_mask)
			t->old = NULL;
	}
}

struct table_node *table_next(const struct table *t, struct table_cursor *cursor)
{
	uint32_t n_old = t->old ? t->old_mask + 1 : 0;
	struct table_node *node = cursor->next;

	while (!node) {
		uint32_t i = cursor->bucket++;

		if (i < n_old)
			node = t->old[i];
		else if (i - n_old <= t->mask)
			node = t->bucket[i - n_old];
		else
			return NULL;
	}
	cursor->next = node->next;
	return node;
}
