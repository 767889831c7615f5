/* SPDX-License-Identifier: BSD-2-Clause */
/* From one stack to another: copies both ways, the ring's end, no room, no chunks, a producer gone wrong; two threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>

#include "base/passage.h"

enum { LEN = 4096, CHUNK = 256, CHUNKS = 64, PASSED = 20000 };

struct rig {
	struct passage p;
	struct fbuf_pool from, to;
	struct fbuf bufs[2][CHUNKS];
	uint8_t memory[2][CHUNKS * CHUNK];
	uint8_t ring[LEN];
};

static int setup(void **state)
{
	struct rig *r = aligned_alloc(FS_CACHE_LINE, (sizeof(*r) + FS_CACHE_LINE - 1) / FS_CACHE_LINE * FS_CACHE_LINE);

	passage_init(&r->p, r->ring, LEN);
	fbuf_pool_init(&r->from, CHUNK, 0);
	fbuf_pool_init(&r->to, CHUNK, 0);
	fbuf_pool_add(&r->from, r->bufs[0], r->memory[0], CHUNKS);
	fbuf_pool_add(&r->to, r->bufs[1], r->memory[1], CHUNKS);
	*state = r;
	return 0;
}

/* Every chunk is back. */
static int teardown(void **state)
{
	struct rig *r = *state;

	assert_int_equal(r->from.n_free, CHUNKS);
	assert_int_equal(r->to.n_free, CHUNKS);
	free(r);
	return 0;
}

/* A frame of @len bytes that begin with @seed. */
static struct fbuf *frame_of(struct rig *r, uint32_t len, uint8_t seed)
{
	struct fbuf *f = fbuf_alloc_chain(&r->from, len);

	for (uint32_t i = 0; i < len; i++) {
		uint8_t byte = (uint8_t)(seed + i);

		fbuf_append(f, &byte, 1);
	}
	return f;
}

static void put(struct rig *r, uint32_t len, uint8_t seed, bool fits)
{
	struct passage_note note = { .kind = 3, .ifindex = seed, .passed = 5, .word = { 7, 9 } };
	struct fbuf *f = frame_of(r, len, seed);

	f->gso_size = 100;
	f->csum = FBUF_CSUM_PARTIAL;
	f->stamp = 1234;
	assert_int_equal(passage_put(&r->p, &note, f), fits);
	fbuf_free(f);
}

static void take(struct rig *r, uint32_t len, uint8_t seed)
{
	struct passage_note note;
	struct fbuf *f;
	uint8_t byte;

	assert_true(passage_take(&r->p, &note, &r->to, &f));
	assert_int_equal(note.len, len);
	assert_int_equal(note.kind, 3);
	assert_int_equal(note.ifindex, seed);
	assert_int_equal(note.passed, 5);
	assert_int_equal(note.word[0], 7);
	assert_int_equal(note.word[1], 9);
	assert_non_null(f);
	assert_int_equal(f->total, len);
	assert_int_equal(f->gso_size, 100);
	assert_int_equal(f->csum, FBUF_CSUM_PARTIAL);
	assert_int_equal(f->stamp, 1234);
	for (uint32_t i = 0; i < len; i++) {
		assert_int_equal(fbuf_copy_out(f, i, &byte, 1), 1);
		assert_int_equal(byte, (uint8_t)(seed + i));
	}
	fbuf_free(f);
}

static void nothing(struct rig *r)
{
	struct passage_note note;
	struct fbuf *f;

	assert_true(passage_is_empty(&r->p));
	assert_false(passage_take(&r->p, &note, &r->to, &f));
	assert_null(f);
}

static void passage__in_order(void **state)
{
	struct rig *r = *state;

	nothing(r);
	put(r, 1, 1, true);
	put(r, 1000, 2, true);
	put(r, 64, 3, true);
	assert_false(passage_is_empty(&r->p));
	take(r, 1, 1);
	take(r, 1000, 2);
	take(r, 64, 3);
	nothing(r);
}

/* Records lie across the end of the ring, and counters wrap. */
static void passage__around(void **state)
{
	struct rig *r = *state;

	r->p.head = r->p.tail = (UINT32_MAX - 5000) & ~7u;
	for (uint32_t i = 0; i < 50; i++) {
		put(r, 701, (uint8_t)i, true);
		put(r, 3 + i, (uint8_t)(i + 100), true);
		take(r, 701, (uint8_t)i);
		take(r, 3 + i, (uint8_t)(i + 100));
	}
	nothing(r);
}

static void passage_put__until_full(void **state)
{
	struct rig *r = *state;

	put(r, 1900, 1, true);
	put(r, 1900, 2, true);
	put(r, 1900, 3, false);
	take(r, 1900, 1);
	put(r, 1900, 3, true);
	take(r, 1900, 2);
	take(r, 1900, 3);
	put(r, 5000, 4, false); /* longer than the whole ring */
	nothing(r);
}

static void passage_put__note_by_itself(void **state)
{
	struct rig *r = *state;
	struct passage_note note = { .kind = 1, .word = { 42 } };
	struct fbuf *f;

	assert_true(passage_put(&r->p, &note, NULL));
	memset(&note, 0, sizeof(note));
	assert_true(passage_take(&r->p, &note, &r->to, &f));
	assert_int_equal(note.word[0], 42);
	assert_int_equal(note.len, 0);
	assert_null(f);
	nothing(r);
}

/* The frame is lost, what follows is not. */
static void passage_take__pool_empty(void **state)
{
	struct rig *r = *state;
	struct fbuf *held = fbuf_alloc_chain(&r->to, (CHUNKS - 1) * CHUNK), *f;
	struct passage_note note;

	put(r, 2 * CHUNK, 1, true);
	put(r, 10, 2, true);
	assert_true(passage_take(&r->p, &note, &r->to, &f));
	assert_null(f);
	assert_int_equal(note.len, 2 * CHUNK);
	take(r, 10, 2);
	fbuf_free(held);
	nothing(r);
}

/* A length that cannot be: what is there is thrown away, and the passage works again. */
static void passage_take__nonsense(void **state)
{
	struct rig *r = *state;
	struct passage_note note;
	struct fbuf *f;
	uint32_t lengths[] = { LEN, UINT32_MAX, 1000 };

	for (unsigned i = 0; i < FS_ARRAY_SIZE(lengths); i++) {
		put(r, 100, 1, true);
		memcpy(r->ring + (r->p.tail & (LEN - 1)), &lengths[i], sizeof(lengths[i]));
		assert_false(passage_take(&r->p, &note, &r->to, &f));
		nothing(r);
	}
	r->p.head = r->p.tail + 2 * LEN;
	assert_false(passage_take(&r->p, &note, &r->to, &f));
	r->p.head = r->p.tail;
	put(r, 100, 1, true);
	take(r, 100, 1);
}

static void *producer(void *arg)
{
	struct rig *r = arg;

	for (uint32_t i = 0; i < PASSED; i++) {
		struct passage_note note = { .word = { i } };
		struct fbuf *f = frame_of(r, 1 + i % 500, (uint8_t)i);

		while (!passage_put(&r->p, &note, f))
			sched_yield();
		fbuf_free(f);
	}
	return NULL;
}

static void passage__two_threads_lose_nothing(void **state)
{
	struct rig *r = *state;
	struct passage_note note;
	pthread_t thread;
	struct fbuf *f;
	uint8_t last;

	assert_int_equal(pthread_create(&thread, NULL, producer, r), 0);
	for (uint32_t i = 0; i < PASSED; i++) {
		while (!passage_take(&r->p, &note, &r->to, &f))
			sched_yield();
		assert_int_equal(note.word[0], i);
		assert_non_null(f);
		assert_int_equal(f->total, 1 + i % 500);
		assert_int_equal(fbuf_copy_out(f, f->total - 1, &last, 1), 1);
		assert_int_equal(last, (uint8_t)(i + i % 500));
		fbuf_free(f);
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
	nothing(r);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(passage__in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(passage__around, setup, teardown),
		cmocka_unit_test_setup_teardown(passage_put__until_full, setup, teardown),
		cmocka_unit_test_setup_teardown(passage_put__note_by_itself, setup, teardown),
		cmocka_unit_test_setup_teardown(passage_take__pool_empty, setup, teardown),
		cmocka_unit_test_setup_teardown(passage_take__nonsense, setup, teardown),
		cmocka_unit_test_setup_teardown(passage__two_threads_lose_nothing, setup, teardown),
	};

	return cmocka_run_group_tests_name("base_passage", tests, NULL, NULL);
}
