/* SPDX-License-Identifier: BSD-2-Clause */
/* How many queues and frames a port asks for, what it gives up when that is too much, and its pool. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "context/internal.h"
#include "context/pool.h"

enum { WHOLE = 4096, LEAST = 256, FD_FLOOR = 100 }; /* chunks: 16 MiB and 1 MiB */

static struct context ctx;
static struct stack stack;

static int setup(void **state)
{
	memset(&ctx, 0, sizeof(ctx));
	memset(&stack, 0, sizeof(stack));
	ctx.stack = &stack;
	config_init(&ctx.config);
	return mem_create(&ctx.arena, "fsock-test-pool", 4096, FD_FLOOR);
}

static int teardown(void **state)
{
	mem_close(&ctx.arena);
	return 0;
}

static struct pool_plan planned(uint32_t rx_queues)
{
	struct pool_plan plan;

	pool_plan_init(&plan, &ctx.config, rx_queues);
	return plan;
}

static void assert_plan(const struct pool_plan *plan, uint32_t queues, uint32_t chunks)
{
	assert_int_equal(plan->queues, queues);
	assert_int_equal(plan->chunks, chunks);
}

static void pool_plan_init__all_queues_with_the_whole_size(void **state)
{
	static const uint32_t queues[] = { 1, 2, 3, 8 };
	struct pool_plan plan = planned(0);

	assert_plan(&plan, 1, WHOLE); /* a driver that says nothing */
	for (unsigned i = 0; i < FS_ARRAY_SIZE(queues); i++) {
		plan = planned(queues[i]);
		assert_plan(&plan, queues[i], WHOLE);
		assert_string_equal(plan.note, "");
		assert_false(plan.short_of);
	}
}

static void pool_plan_init__many_queues_share(void **state)
{
	struct pool_plan plan = planned(16);

	assert_plan(&plan, 16, WHOLE / 2);
	plan = planned(PROVIDER_MAX_QUEUES + 1);
	assert_plan(&plan, PROVIDER_MAX_QUEUES, WHOLE * 8 / PROVIDER_MAX_QUEUES);
	assert_true(plan.short_of);
	assert_string_not_equal(plan.note, "");
}

static void pool_plan_init__the_option_chooses(void **state)
{
	struct pool_plan plan;

	ctx.config.queues = 2;
	plan = planned(4);
	assert_plan(&plan, 2, WHOLE);
	assert_false(plan.short_of); /* as wanted */
	assert_non_null(strstr(plan.note, "queues"));
	plan = planned(2);
	assert_string_equal(plan.note, "");
	plan = planned(PROVIDER_MAX_QUEUES + 1);
	assert_plan(&plan, 2, WHOLE);
	assert_false(plan.short_of);
}

static void pool_plan_shrink__frames_before_queues(void **state)
{
	struct pool_plan plan = planned(3);

	for (uint32_t chunks = WHOLE / 2; chunks >= LEAST; chunks /= 2) {
		assert_true(pool_plan_shrink(&plan, "too much"));
		assert_plan(&plan, 3, chunks);
	}
	assert_true(pool_plan_shrink(&plan, "still too much"));
	assert_plan(&plan, 2, LEAST);
	assert_true(pool_plan_shrink(&plan, "still too much"));
	assert_plan(&plan, 1, LEAST);
	assert_false(pool_plan_shrink(&plan, "no way"));
	assert_plan(&plan, 1, LEAST);
	assert_true(plan.short_of);
	assert_string_equal(plan.note, "still too much");
}

static void pool_make__has_what_the_plan_says(void **state)
{
	const struct pool_plan plan = { .queues = 2, .chunks = LEAST };

	assert_int_equal(pool_make(&ctx, 3, &plan), 0);
	assert_int_equal(stack.pinned[3].n_total, 2 * LEAST);
	assert_int_equal(stack.pinned[3].first_count, 2 * LEAST);
	assert_int_equal(stack.pinned[3].low_water, LEAST / 2);
	stack.pinned[3].memory[2 * LEAST * STACK_FRAME_CHUNK - 1] = 1;
}

static void pool_make__changes_with_the_next_port(void **state)
{
	struct pool_plan plan = { .queues = 2, .chunks = LEAST };
	uint8_t *memory;

	assert_int_equal(pool_make(&ctx, 0, &plan), 0);
	memory = stack.pinned[0].memory;
	plan.queues = 1;
	assert_int_equal(pool_make(&ctx, 0, &plan), 0);
	assert_int_equal(stack.pinned[0].n_total, LEAST);
	assert_ptr_equal(stack.pinned[0].memory, memory);
	plan.queues = 2; /* there is room */
	assert_int_equal(pool_make(&ctx, 0, &plan), 0);
	assert_int_equal(stack.pinned[0].n_total, 2 * LEAST);
	assert_ptr_equal(stack.pinned[0].memory, memory);
	plan.queues = 4;
	assert_int_equal(pool_make(&ctx, 0, &plan), 0);
	assert_int_equal(stack.pinned[0].n_total, 4 * LEAST);
	assert_ptr_not_equal(stack.pinned[0].memory, memory);
	assert_int_equal(stack.pinned[0].n_free, 4 * LEAST);
}

/* A socket that still holds a frame of the port before would find it gone. */
static void pool_make__stays_while_frames_are_held(void **state)
{
	struct pool_plan plan = { .queues = 1, .chunks = LEAST };
	struct fbuf *held;

	assert_int_equal(pool_make(&ctx, 0, &plan), 0);
	held = fbuf_alloc(&stack.pinned[0]);
	plan.queues = 4;
	assert_int_equal(pool_make(&ctx, 0, &plan), 0);
	assert_int_equal(stack.pinned[0].n_total, LEAST);
	fbuf_free(held);
	assert_int_equal(pool_make(&ctx, 0, &plan), 0);
	assert_int_equal(stack.pinned[0].n_total, 4 * LEAST);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(pool_plan_init__all_queues_with_the_whole_size),
		CASE(pool_plan_init__many_queues_share),
		CASE(pool_plan_init__the_option_chooses),
		CASE(pool_plan_shrink__frames_before_queues),
		CASE(pool_make__has_what_the_plan_says),
		CASE(pool_make__changes_with_the_next_port),
		CASE(pool_make__stays_while_frames_are_held),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
