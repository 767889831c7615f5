/* SPDX-License-Identifier: BSD-2-Clause */
/* The stack's lock: who holds it, who died with it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "context/internal.h"

static struct context ctx;
static struct stack stack;
static uint32_t alive;
static uint64_t counter[FS_CTR_N];

static int setup(void **state)
{
	memset(&ctx, 0, sizeof(ctx));
	memset(&stack, 0, sizeof(stack));
	alive = 1;
	stack.counter = counter;
	ctx.stack = &stack;
	ctx.alive = &alive;
	ctx.pid = (uint32_t)getpid();
	return 0;
}

static void context_lock__holds_the_threads_number(void **state)
{
	assert_true(context_lock(&ctx));
	assert_int_equal(stack.lock.owner, context_tid());
	context_unlock(&ctx);
	assert_int_equal(stack.lock.owner, 0);
}

static void context_lock__not_twice_by_one_thread(void **state)
{
	assert_true(context_lock(&ctx));
	assert_false(context_lock(&ctx)); /* a signal handler: it must not wait for itself */
	context_unlock(&ctx);
	assert_true(context_lock(&ctx));
	context_unlock(&ctx);
}

enum { TURNS = 20000 };

static void *count(void *arg)
{
	unsigned *n = arg;

	for (int i = 0; i < TURNS; i++) {
		if (!context_lock(&ctx))
			break;
		++*n;
		context_unlock(&ctx);
	}
	return NULL;
}

static void context_lock__excludes(void **state)
{
	pthread_t other;
	unsigned n = 0;

	assert_int_equal(pthread_create(&other, NULL, count, &n), 0);
	count(&n);
	pthread_join(other, NULL);
	assert_int_equal(n, 2 * TURNS);
	assert_int_equal(stack.lock.waiting, 0);
}

/* A process that ended; @reaped: and was waited for. */
static pid_t dead_child(bool reaped)
{
	siginfo_t info;
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | (reaped ? 0 : WNOWAIT)), 0);
	return pid;
}

static void context_is_dead__each_way(void **state)
{
	pid_t zombie = dead_child(false);

	assert_false(context_is_dead((uint32_t)getpid()));
	assert_false(context_is_dead(context_tid()));
	assert_true(context_is_dead((uint32_t)dead_child(true)));
	assert_true(context_is_dead((uint32_t)zombie));
	waitpid(zombie, NULL, 0);
}

static void context_lock__holder_died(void **state)
{
	stack.lock.owner = (uint32_t)dead_child(true);
	assert_false(context_lock(&ctx));
	assert_true(stack.broken);
	assert_int_equal(stack.lock.waiting, 0);
	assert_false(context_lock(&ctx)); /* for good */
}

static void context_lock__holder_is_a_zombie(void **state)
{
	/* Its parent may be the one that waits: nobody will ever reap it. */
	pid_t zombie = dead_child(false);

	stack.lock.owner = (uint32_t)zombie;
	assert_false(context_lock(&ctx));
	assert_true(stack.broken);
	waitpid(zombie, NULL, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(context_lock__holds_the_threads_number, setup),
		cmocka_unit_test_setup(context_lock__not_twice_by_one_thread, setup),
		cmocka_unit_test_setup(context_lock__excludes, setup),
		cmocka_unit_test_setup(context_is_dead__each_way, setup),
		cmocka_unit_test_setup(context_lock__holder_died, setup),
		cmocka_unit_test_setup(context_lock__holder_is_a_zombie, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
