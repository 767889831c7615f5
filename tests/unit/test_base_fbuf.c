/* SPDX-License-Identifier: BSD-2-Clause */
/* Frame buffers: pools, chains, trimming, copying. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/fbuf.h"
#include "support.h"

enum { CHUNK = 256, HEADROOM = 64, COUNT = 8, EXTRA = 4 };

struct rig {
	struct fbuf_pool pool, payload;
	struct fbuf bufs[COUNT], extra_bufs[EXTRA], payload_bufs[COUNT];
	uint8_t memory[COUNT * CHUNK], extra[EXTRA * CHUNK], payload_memory[COUNT * 100];
};

static struct rig rig;

static int setup(void **state)
{
	memset(&rig, 0xa5, sizeof(rig)); /* fbuf_pool_add() takes any content */
	fbuf_pool_init(&rig.pool, CHUNK, HEADROOM);
	fbuf_pool_add(&rig.pool, rig.bufs, rig.memory, COUNT);
	fbuf_pool_init(&rig.payload, 100, 0);
	fbuf_pool_add(&rig.payload, rig.payload_bufs, rig.payload_memory, COUNT);
	return 0;
}

/* A frame of @len bytes 0, 1, 2, ... */
static struct fbuf *counting_frame(struct fbuf_pool *pool, uint32_t len)
{
	struct fbuf *f = fbuf_alloc_chain(pool, len);
	uint8_t bytes[COUNT * CHUNK];

	assert_non_null(f);
	for (uint32_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)i;
	assert_int_equal(fbuf_append(f, bytes, len), len);
	return f;
}

static void assert_counting(const struct fbuf *f, uint32_t first, uint32_t len)
{
	uint8_t bytes[COUNT * CHUNK];
	uint32_t sum = 0;

	assert_int_equal(f->total, len);
	for (const struct fbuf *part = f; part; part = part->next)
		sum += part->len;
	assert_int_equal(sum, len);
	assert_int_equal(fbuf_copy_out(f, 0, bytes, sizeof(bytes)), len);
	for (uint32_t i = 0; i < len; i++)
		assert_int_equal(bytes[i], (uint8_t)(first + i));
}

static void fbuf_alloc__metadata_is_zero(void **state)
{
	struct fbuf *f = fbuf_alloc(&rig.pool);

	memset(&f->len, 0xff, 8);
	f->csum = FBUF_CSUM_PARTIAL;
	f->gso_size = 9;
	f->vlan = 7;
	f->stamp = 5;
	f->charge = 3;
	f->src_port = 2;
	fbuf_free(f);
	assert_ptr_equal(fbuf_alloc(&rig.pool), f); /* last used, first out */
	assert_int_equal(f->len, 0);
	assert_int_equal(f->total, 0);
	assert_int_equal(f->csum, FBUF_CSUM_UNKNOWN);
	assert_int_equal(f->gso_size, 0);
	assert_int_equal(f->vlan, 0);
	assert_int_equal(f->stamp, 0);
	assert_int_equal(f->charge, 0);
	assert_int_equal(f->src_port, 0);
	assert_null(f->next);
	assert_ptr_equal(f->pool, &rig.pool);
	assert_ptr_equal(f->data, rig.memory + f->index * CHUNK + HEADROOM);
	assert_int_equal(fbuf_headroom(f), HEADROOM);
	assert_int_equal(fbuf_tailroom(f), CHUNK - HEADROOM);
}

static void fbuf_hold__first_free_gives_to_the_other_owner(void **state)
{
	struct fbuf *f = counting_frame(&rig.pool, 20);

	fbuf_hold(f);
	assert_true(fbuf_is_shared(f));
	fbuf_free(f);
	assert_false(fbuf_is_shared(f));
	assert_int_equal(rig.pool.n_free, COUNT - 1);
	assert_counting(f, 0, 20);
	fbuf_free(f);
	assert_int_equal(rig.pool.n_free, COUNT);
}

static void fbuf_free__held_part_leaves_its_chain(void **state)
{
	struct fbuf *a = fbuf_alloc(&rig.pool), *b = fbuf_alloc(&rig.pool), *c = fbuf_alloc(&rig.pool);

	a->next = b;
	b->next = c;
	fbuf_hold(b);
	fbuf_free(a);
	assert_int_equal(rig.pool.n_free, COUNT - 1);
	assert_null(b->next);
	fbuf_free(b);
	assert_int_equal(rig.pool.n_free, COUNT);
}

static void fbuf_free_part__the_chain_of_the_other_owner_stays(void **state)
{
	struct fbuf *a = fbuf_alloc(&rig.pool), *b = fbuf_alloc(&rig.pool);

	a->next = b;
	fbuf_hold(a);
	fbuf_free_part(a);
	assert_ptr_equal(a->next, b);
	assert_int_equal(rig.pool.n_free, COUNT - 2);
	fbuf_free(a);
	assert_int_equal(rig.pool.n_free, COUNT);
	a = fbuf_alloc(&rig.pool);
	fbuf_free_part(a); /* the only owner */
	assert_int_equal(rig.pool.n_free, COUNT);
}

static void fbuf_alloc__empty_pool_gives_null(void **state)
{
	struct fbuf *f[COUNT];

	for (int i = 0; i < COUNT; i++) {
		f[i] = fbuf_alloc(&rig.pool);
		assert_int_equal(f[i]->index, i);
	}
	assert_null(fbuf_alloc(&rig.pool));
	assert_int_equal(rig.pool.n_free, 0);
	for (int i = 0; i < COUNT; i++)
		fbuf_free(f[i]);
	assert_int_equal(rig.pool.n_free, COUNT);
}

static void fbuf_pool_add__second_region(void **state)
{
	struct fbuf *f;

	for (int i = 0; i < COUNT; i++)
		fbuf_alloc(&rig.pool);
	fbuf_pool_add(&rig.pool, rig.extra_bufs, rig.extra, EXTRA);
	assert_int_equal(rig.pool.n_total, COUNT + EXTRA);
	f = fbuf_alloc(&rig.pool);
	assert_ptr_equal(f, &rig.extra_bufs[0]);
	assert_int_equal(f->index, COUNT);
	assert_ptr_equal(f->data, rig.extra + HEADROOM);
	assert_int_equal(fbuf_tailroom(f), CHUNK - HEADROOM);
}

static void fbuf_alloc_chain__exact_sizes(void **state)
{
	static const struct {
		uint32_t len, parts;
	} want[] = {
		{ 0, 1 },	   { 1, 1 },	       { CHUNK - HEADROOM, 1 },
		{ CHUNK - HEADROOM + 1, 2 }, { 2 * CHUNK - HEADROOM, 2 },
		{ COUNT * CHUNK - HEADROOM, COUNT },
	};

	for (size_t i = 0; i < FS_ARRAY_SIZE(want); i++) {
		struct fbuf *f = fbuf_alloc_chain(&rig.pool, want[i].len);
		uint32_t parts = 0;

		assert_non_null(f);
		for (struct fbuf *part = f; part; part = part->next) {
			assert_int_equal(part->len, 0);
			parts++;
		}
		assert_int_equal(parts, want[i].parts);
		assert_int_equal(rig.pool.n_free, COUNT - parts);
		fbuf_free(f);
	}
}

static void fbuf_alloc_chain__too_long_takes_nothing(void **state)
{
	assert_null(fbuf_alloc_chain(&rig.pool, COUNT * CHUNK - HEADROOM + 1));
	assert_null(fbuf_alloc_chain(&rig.pool, UINT32_MAX));
	assert_int_equal(rig.pool.n_free, COUNT);
}

static void fbuf_free__null_is_allowed(void **state)
{
	fbuf_free(NULL);
}

static void fbuf_free__twice_asserts(void **state)
{
	struct fbuf *f = fbuf_alloc(&rig.pool);

	fbuf_free(f);
	assert_trips(fbuf_free(f));
}

static void fbuf_free__parts_return_to_their_own_pools(void **state)
{
	struct fbuf *head = fbuf_alloc(&rig.pool);

	head->next = fbuf_alloc(&rig.payload);
	fbuf_free(head);
	assert_int_equal(rig.pool.n_free, COUNT);
	assert_int_equal(rig.payload.n_free, COUNT);
}

static void fbuf_offset__from_the_pools_memory(void **state)
{
	struct fbuf *f = fbuf_alloc(&rig.pool);

	assert_int_equal(fbuf_offset(f), f->index * CHUNK + HEADROOM);
}

static void fbuf_push__uses_headroom(void **state)
{
	struct fbuf *f = counting_frame(&rig.pool, 10);
	uint8_t *was = f->data;

	assert_ptr_equal(fbuf_push(f, 14), was - 14);
	assert_int_equal(f->len, 24);
	assert_int_equal(f->total, 24);
	assert_trips(fbuf_push(f, HEADROOM));
}

static void fbuf_pull__every_length(void **state)
{
	enum { LEN = 3 * CHUNK };

	for (uint32_t n = 0; n <= LEN; n += 7) {
		struct fbuf *f = counting_frame(&rig.pool, LEN);

		fbuf_pull(f, n);
		assert_counting(f, n, LEN - n);
		fbuf_free(f);
	}
}

static void fbuf_pull__beyond_the_end_asserts(void **state)
{
	struct fbuf *f = counting_frame(&rig.pool, 10);

	assert_trips(fbuf_pull(f, 11));
}

static void fbuf_trim__every_length_frees_the_surplus(void **state)
{
	enum { LEN = 3 * CHUNK };

	for (uint32_t n = 0; n <= LEN; n++) {
		struct fbuf *f = counting_frame(&rig.pool, LEN);
		uint32_t in_head = CHUNK - HEADROOM;
		uint32_t parts = n <= in_head ? 1 : 1 + (n - in_head + CHUNK - 1) / CHUNK;

		fbuf_trim(f, n);
		assert_counting(f, 0, n);
		assert_int_equal(rig.pool.n_free, COUNT - parts);
		fbuf_free(f);
	}
	assert_int_equal(rig.pool.n_free, COUNT);
}

static void fbuf_trim__longer_asserts(void **state)
{
	struct fbuf *f = counting_frame(&rig.pool, 10);

	assert_trips(fbuf_trim(f, 11));
}

static void fbuf_copy_out__ranges(void **state)
{
	enum { LEN = 2 * CHUNK };
	struct fbuf *f = counting_frame(&rig.pool, LEN);
	uint8_t out[LEN + 1];

	for (uint32_t offset = 0; offset <= LEN + 3; offset += 5) {
		for (uint32_t len = 0; len <= LEN; len += 11) {
			uint32_t there = offset < LEN ? LEN - offset : 0;
			uint32_t want = FS_MIN(there, len);

			memset(out, 0xee, sizeof(out));
			assert_int_equal(fbuf_copy_out(f, offset, out, len), want);
			for (uint32_t i = 0; i < want; i++)
				assert_int_equal(out[i], (uint8_t)(offset + i));
			assert_int_equal(out[want], 0xee);
		}
	}
}

static void fbuf_append__stops_at_the_chains_end(void **state)
{
	struct fbuf *f = fbuf_alloc(&rig.pool);
	uint8_t bytes[CHUNK] = { 0 };

	assert_int_equal(fbuf_append(f, bytes, CHUNK), CHUNK - HEADROOM);
	assert_int_equal(f->total, CHUNK - HEADROOM);
	assert_int_equal(fbuf_append(f, bytes, 1), 0);
}

static void fbuf_append__in_small_pieces(void **state)
{
	struct fbuf *f = fbuf_alloc_chain(&rig.pool, 3 * CHUNK);

	for (uint32_t i = 0; i < 3 * CHUNK; i++) {
		uint8_t byte = (uint8_t)i;

		assert_int_equal(fbuf_append(f, &byte, 1), 1);
	}
	assert_counting(f, 0, 3 * CHUNK);
}

static void fbuf_clone_into__bytes_and_metadata(void **state)
{
	struct fbuf *f = counting_frame(&rig.pool, 300), *copy;

	f->gso_size = 100;
	f->csum = FBUF_CSUM_VERIFIED;
	f->port = 3;
	f->stamp = 123;
	f->vlan = 42;
	f->l3_offset = 14;
	f->charge = 77;
	f->src.b[15] = 1;
	f->dst.b[15] = 2;
	f->src_port = 1000;
	f->dst_port = 2000;
	f->ifindex = 9;
	f->ttl = 64;
	f->tos = 0x10;
	copy = fbuf_clone_into(f, &rig.payload);
	fbuf_free(f);

	assert_counting(copy, 0, 300);
	assert_ptr_equal(copy->pool, &rig.payload);
	assert_int_equal(copy->gso_size, 100);
	assert_int_equal(copy->csum, FBUF_CSUM_VERIFIED);
	assert_int_equal(copy->port, 3);
	assert_int_equal(copy->stamp, 123);
	assert_int_equal(copy->vlan, 42);
	assert_int_equal(copy->l3_offset, 14);
	assert_int_equal(copy->charge, 0);
	assert_int_equal(copy->src.b[15], 1);
	assert_int_equal(copy->dst.b[15], 2);
	assert_int_equal(copy->src_port, 1000);
	assert_int_equal(copy->dst_port, 2000);
	assert_int_equal(copy->ifindex, 9);
	assert_int_equal(copy->ttl, 64);
	assert_int_equal(copy->tos, 0x10);
}

static void fbuf_clone_part__any_part(void **state)
{
	for (uint32_t offset = 0; offset <= 300; offset += 25) {
		struct fbuf *f = counting_frame(&rig.pool, 300), *copy;

		f->gso_size = 100;
		f->src_port = 1000;
		copy = fbuf_clone_part(f, &rig.payload, offset, FS_MIN(60u, 300 - offset));
		fbuf_free(f);
		assert_counting(copy, offset, FS_MIN(60u, 300 - offset));
		assert_int_equal(copy->src_port, 1000);
		assert_int_equal(copy->gso_size, 0);
		fbuf_free(copy);
	}
}

static void fbuf_clone_into__short_pool_changes_nothing(void **state)
{
	struct fbuf *f = counting_frame(&rig.pool, 900);

	assert_null(fbuf_clone_into(f, &rig.payload));
	assert_int_equal(rig.payload.n_free, COUNT);
	assert_counting(f, 0, 900);
}

static void fbuf_queue__first_in_first_out(void **state)
{
	struct fbuf_queue q = { 0 };
	struct fbuf *a = fbuf_alloc(&rig.pool), *b = fbuf_alloc(&rig.pool);

	assert_null(fbuf_queue_pop(&q));
	fbuf_queue_push(&q, a);
	fbuf_queue_push(&q, b);
	assert_int_equal(q.frames, 2);
	assert_ptr_equal(fbuf_queue_pop(&q), a);
	assert_ptr_equal(fbuf_queue_pop(&q), b);
	assert_null(fbuf_queue_pop(&q));
	assert_null(q.tail);
	fbuf_queue_push(&q, b); /* usable after it ran empty */
	fbuf_queue_push(&q, a);
	fbuf_queue_free(&q);
	assert_int_equal(q.frames, 0);
	assert_int_equal(rig.pool.n_free, COUNT);
}

#define T(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(fbuf_alloc__metadata_is_zero),
		T(fbuf_hold__first_free_gives_to_the_other_owner),
		T(fbuf_free__held_part_leaves_its_chain),
		T(fbuf_free_part__the_chain_of_the_other_owner_stays),
		T(fbuf_alloc__empty_pool_gives_null),
		T(fbuf_pool_add__second_region),
		T(fbuf_alloc_chain__exact_sizes),
		T(fbuf_alloc_chain__too_long_takes_nothing),
		T(fbuf_free__null_is_allowed),
		T(fbuf_free__twice_asserts),
		T(fbuf_free__parts_return_to_their_own_pools),
		T(fbuf_offset__from_the_pools_memory),
		T(fbuf_push__uses_headroom),
		T(fbuf_pull__every_length),
		T(fbuf_pull__beyond_the_end_asserts),
		T(fbuf_trim__every_length_frees_the_surplus),
		T(fbuf_trim__longer_asserts),
		T(fbuf_copy_out__ranges),
		T(fbuf_append__stops_at_the_chains_end),
		T(fbuf_append__in_small_pieces),
		T(fbuf_clone_into__bytes_and_metadata),
		T(fbuf_clone_part__any_part),
		T(fbuf_clone_into__short_pool_changes_nothing),
		T(fbuf_queue__first_in_first_out),
	};

	return cmocka_run_group_tests_name("base_fbuf", tests, NULL, NULL);
}
