/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * table.h - hash table: intrusive, chained, growing without a pause.
 *
 * An entry embeds a struct table_node. The table knows hashes only; the caller computes them (keyed:
 * siphash.h) and compares keys:
 *
 *     TABLE_FOR_EACH_MATCH(n, &t, hash)
 *         if (key_equal(FS_CONTAINER_OF(n, struct flow, node), key))
 *             return ...
 *
 * Growth: hand in a larger bucket array; each insertion then moves a few old buckets, so that no
 * single call pays for all. A look-up consults exactly one bucket at any time.
 *
 * Does not: allocate, own entries, hash.
 * Threads:  holder of the stack's lock only. Lives in stack memory, plain pointers.
 */
#ifndef FSOCK_BASE_TABLE_H
#define FSOCK_BASE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table_node {
	struct table_node *next; /* rest of the chain */
	uint32_t hash;		 /* as given at insertion */
};

struct table {
	struct table_node **bucket; /* mask + 1 chains, borrowed */
	struct table_node **old;    /* array being emptied, borrowed; NULL = not growing */
	uint32_t mask, old_mask;    /* number of buckets - 1 */
	uint32_t moved;		    /* old buckets below this one are empty already */
	uint32_t count;		    /* entries */
};

/* A walk over all entries. Zeroed = at the start. */
struct table_cursor {
	struct table_node *next; /* entry to give next, NULL = look in the following buckets */
	uint32_t bucket;	 /* buckets already begun, counted over the old and the new array */
};

/* Prepare an empty table over @n_buckets (a power of two) at @buckets (any content; borrowed). */
void table_init(struct table *t, struct table_node **buckets, uint32_t n_buckets);

/* Add an entry; equal keys are the caller's business. The newest of equal hash is found first. */
void table_insert(struct table *t, struct table_node *node, uint32_t hash);

/* Take out an entry that is in the table. */
void table_remove(struct table *t, struct table_node *node);

/*
 * Begin to grow into @n_buckets (a power of two, more than there are) at @buckets (any content;
 * borrowed). The former array stays in use until table_is_growing() says no; then it is the
 * caller's again. A growth still under way is finished first.
 */
void table_grow(struct table *t, struct table_node **buckets, uint32_t n_buckets);

/* Move up to @n old buckets now. */
void table_grow_step(struct table *t, uint32_t n);

/*
 * The next entry of a walk, NULL at the end. Each entry is given once; the one given last may be
 * removed. Between two calls nothing else may be removed and nothing inserted.
 */
struct table_node *table_next(const struct table *t, struct table_cursor *cursor);

/* inline definitions */

static inline bool table_is_growing(const struct table *t)
{
	return t->old != NULL;
}

/* More entries than buckets: time to hand in a larger array. */
static inline bool table_wants_growth(const struct table *t)
{
	return t->count > t->mask && !table_is_growing(t);
}

/* The chain in which entries of that hash are. */
static inline struct table_node **table_bucket(const struct table *t, uint32_t hash)
{
	if (t->old && (hash & t->old_mask) >= t->moved)
		return &t->old[hash & t->old_mask];
	return &t->bucket[hash & t->mask];
}

/* First entry of that hash from @node on along the chain. */
static inline struct table_node *table_match(struct table_node *node, uint32_t hash)
{
	while (node && node->hash != hash)
		node = node->next;
	return node;
}

/* Loop over the entries whose whole hash is @h; the body may remove @n only if it then leaves. */
#define TABLE_FOR_EACH_MATCH(n, t, h)                                                              \
	for ((n) = table_match(*table_bucket((t), (h)), (h)); (n);                                 \
	     (n) = table_match((n)->next, (h)))

#endif
