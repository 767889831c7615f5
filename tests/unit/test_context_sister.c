/* SPDX-License-Identifier: BSD-2-Clause */
/* Stacks of one process, of which one breaks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <unistd.h>

#include "context/internal.h"
#include "context/sister.h"
#include "context/thread.h"

enum { STACKS = 3 };

static struct context ctx[STACKS];
static struct stack stack[STACKS];
static uint32_t alive;
static uint64_t counter[FS_CTR_N];

static int setup(void **state)
{
	memset(ctx, 0, sizeof(ctx));
	memset(stack, 0, sizeof(stack));
	alive = CONTEXT_ALIVE;
	for (unsigned i = 0; i < STACKS; i++) {
		stack[i].counter = counter;
		ctx[i].stack = &stack[i];
		ctx[i].alive = &alive;
		ctx[i].pid = (uint32_t)getpid();
		ctx[i].index = (uint8_t)i;
		ctx[i].n_stacks = STACKS;
		ctx[i].fds.highest = -1;
		for (unsigned k = 0; k < STACKS; k++)
			ctx[i].stacks[k] = &ctx[k];
	}
	return 0;
}

static void assert_broken(unsigned i, bool broken)
{
	assert_int_equal(stack[i].broken, broken);
	assert_int_equal(ctx[i].abandoned != 0, broken);
}

static void context_lock__of_one_that_broke_gives_all_up(void **state)
{
	stack[1].broken = true;
	assert_false(context_lock(&ctx[1]));
	for (unsigned i = 0; i < STACKS; i++) {
		assert_broken(i, true);
		assert_int_equal(stack[i].lock.owner, 0);
		assert_false(context_lock(&ctx[i]));
	}
}

static void sisters_follow__one_in_use_is_left_alone(void **state)
{
	assert_true(context_lock(&ctx[0]));
	stack[1].broken = true;
	assert_false(context_lock(&ctx[1])); /* as who drives her for home's sake */
	assert_broken(0, false);
	assert_broken(2, true);
	assert_int_equal(stack[0].lock.owner, context_tid());
	context_unlock(&ctx[0]);
	sister_follow(&ctx[0]); /* its helper */
	assert_broken(0, true);
}

static void sister_follow__none_broke(void **state)
{
	sister_follow(&ctx[0]);
	for (unsigned i = 0; i < STACKS; i++)
		assert_broken(i, false);
	assert_true(context_lock(&ctx[0]));
	context_unlock(&ctx[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(context_lock__of_one_that_broke_gives_all_up, setup),
		cmocka_unit_test_setup(sisters_follow__one_in_use_is_left_alone, setup),
		cmocka_unit_test_setup(sister_follow__none_broke, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
