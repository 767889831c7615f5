/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * neigh.c - next hop address -> link address.
 *
 * Every linked entry is in the hash and in one list ordered by refreshed_at. The list serves all that
 * is not a look-up: flushing, finding what is due, choosing what a full slab gives up.
 * Does not speak ARP or ND: the host feeds it.
 */
#include "neigh/neigh.h"

#include <string.h>

#include "base/err.h"

static uint32_t neigh_hash(const struct neigh_table *table, uint8_t port,
			   const struct ip_addr *addr)
{
	const uint64_t key[3] = { addr->d[0], addr->d[1], port };

	return (uint32_t)siphash13_words(&table->key, key, FS_ARRAY_SIZE(key));
}

static struct neigh *neigh_of_age(struct list *age)
{
	return FS_CONTAINER_OF(age, struct neigh, age);
}

void neigh_table_init(struct neigh_table *table, const struct siphash_key *key,
		      struct table_node **buckets, uint32_t n_buckets)
{
	memset(table, 0, sizeof(*table));
	table_init(&table->table, buckets, n_buckets);
	slab_init(&table->slab, sizeof(struct neigh));
	table->key = *key;
	list_init(&table->age);
}

struct neigh *neigh_find(struct neigh_table *table, uint8_t port, const struct ip_addr *addr)
{
	uint32_t hash = neigh_hash(table, port, addr);
	struct table_node *node;

	TABLE_FOR_EACH_MATCH(node, &table->table, hash) {
		struct neigh *n = FS_CONTAINER_OF(node, struct neigh, node);

		if (n->port == port && ip_addr_equal(&n->addr, addr))
			return n;
	}
	return NULL;
}

/* Only a change of what a frame's header holds moves the generation: a refresh leaves templates
 * alone. */
static void neigh_change(struct neigh_table *table, struct neigh *n, const struct eth_addr *mac,
			 enum neigh_state state)
{
	bool same_mac = state != NEIGH_VALID || memcmp(&n->mac, mac, sizeof(*mac)) == 0;

	if (n->state == state && same_mac)
		return;
	n->state = state;
	if (state == NEIGH_VALID)
		n->mac = *mac;
	n->generation++;
	table->changes++;
}

/* Out of the table. The memory goes with the last reference: destinations hold plain pointers. */
static void neigh_unlink(struct neigh_table *table, struct neigh *n)
{
	neigh_change(table, n, NULL, NEIGH_UNKNOWN);
	table_remove(&table->table, &n->node);
	list_remove(&n->age);
	n->linked = false;
	if (n->refs == 0)
		slab_free(&table->slab, n);
}

/* Give up the least recently refreshed entry nobody references. False: there is none. */
static bool neigh_evict(struct neigh_table *table)
{
	struct list *e;

	LIST_FOR_EACH(e, &table->age) {
		struct neigh *n = neigh_of_age(e);

		if (n->refs != 0)
			continue;
		neigh_unlink(table, n);
		return true;
	}
	return false;
}

static struct neigh *neigh_create(struct neigh_table *table, uint8_t port,
				  const struct ip_addr *addr)
{
	struct neigh *n = slab_alloc(&table->slab);

	if (!n && neigh_evict(table))
		n = slab_alloc(&table->slab);
	if (!n)
		return NULL;
	n->addr = *addr;
	n->port = port;
	n->linked = true;
	table_insert(&table->table, &n->node, neigh_hash(table, port, addr));
	list_push_back(&table->age, &n->age);
	return n;
}

struct neigh *neigh_learn(struct neigh_table *table, uint8_t port, const struct ip_addr *addr,
			  const struct eth_addr *mac, enum neigh_state state, fs_ns now)
{
	struct neigh *n = neigh_find(table, port, addr);

	fs_assert(state != NEIGH_VALID || mac != NULL);
	if (!n)
		n = neigh_create(table, port, addr);
	if (!n)
		return NULL;
	neigh_change(table, n, mac, state);
	neigh_asked(table, n, now);
	return n;
}

void neigh_forget(struct neigh_table *table, uint8_t port, const struct ip_addr *addr)
{
	struct neigh *n = neigh_find(table, port, addr);

	if (!n)
		return;
	if (n->refs == 0)
		neigh_unlink(table, n);
	else
		neigh_change(table, n, NULL, NEIGH_UNKNOWN);
}

void neigh_flush_port(struct neigh_table *table, uint8_t port)
{
	struct list *e, *following;

	LIST_FOR_EACH_SAFE(e, following, &table->age) {
		struct neigh *n = neigh_of_age(e);

		if (n->port == port)
			neigh_unlink(table, n);
	}
}

void neigh_get(struct neigh *n)
{
	n->refs++;
}

void neigh_put(struct neigh_table *table, struct neigh *n)
{
	fs_assert(n->refs > 0);
	n->refs--;
	if (n->refs == 0 && !n->linked)
		slab_free(&table->slab, n);
}

struct neigh *neigh_next_due(struct neigh_table *table, fs_ns now, fs_ns interval)
{
	struct list *e;

	LIST_FOR_EACH(e, &table->age) {
		struct neigh *n = neigh_of_age(e);

		if (now - n->refreshed_at <= interval)
			return NULL; /* the list is in this order: the rest is younger */
		if (n->used_at != 0 && now - n->used_at <= interval)
			return n;
	}
	return NULL;
}

void neigh_asked(struct neigh_table *table, struct neigh *n, fs_ns now)
{
	n->refreshed_at = now;
	if (!n->linked)
		return;
	list_remove(&n->age);
	list_push_back(&table->age, &n->age);
}
