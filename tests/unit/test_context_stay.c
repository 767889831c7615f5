/* SPDX-License-Identifier: BSD-2-Clause */
/* What waiting calls hold: it comes back when they end, also those that a handler left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

#include "context/stay.h"

#include "context/internal.h"
#include "context/thread.h"
#include "socket/epoll.h"

enum { HERE = 2, MANY = 1000 };

static struct context ctx;
static struct stack stack;
static struct sock s;
static struct epoll_set set;

static int setup(void **state)
{
	memset(&ctx, 0, sizeof(ctx));
	memset(&stack, 0, sizeof(stack));
	memset(&s, 0, sizeof(s));
	memset(&set, 0, sizeof(set));
	ctx.stack = &stack;
	ctx.slot = HERE;
	if (pthread_key_create(&ctx.thread_key, NULL) != 0) /* key 0 is a sanitizer's */
		return -1;
	s.refs[HERE] = 1; /* the program holds both: nothing is freed here */
	set.refs[HERE] = 1;
	return 0;
}

static int teardown(void **state)
{
	stay_thread_ends(&ctx, true);
	stay_page_unmap();
	assert_null(context_thread.stays);
	assert_null(context_thread.stay_page);
	assert_false(sock_is_used(&s));
	assert_int_equal(set.refs[HERE], 1);
	return pthread_key_delete(ctx.thread_key);
}

/* A waiting call; the frames it would have. */
static __attribute__((noinline)) struct stay *call(unsigned n)
{
	struct stay *stay = stay_begin(&ctx, n);

	assert_non_null(stay);
	for (unsigned i = 0; i < n; i++) {
		if (i % 2)
			stay_on_set(&ctx, stay, &set);
		else
			stay_on_sock(&ctx, stay, &s);
	}
	return stay;
}

static void stay_end__gives_back(void **state)
{
	struct stay *stay = call(3);

	assert_int_equal(s.users[HERE], 2);
	assert_int_equal(set.refs[HERE], 2);
	assert_true(stay_is_ours(stay));
	stay_end(&ctx, stay);
	assert_false(stay_is_ours(stay));
	assert_int_equal(s.users[HERE], 0);
	assert_int_equal(set.refs[HERE], 1);
	stay_end(&ctx, stay); /* twice is once */
	assert_int_equal(set.refs[HERE], 1);
	stay_end(&ctx, NULL);
}

static void stay_begin__more_than_a_page(void **state)
{
	struct stay *stay = call(MANY);

	stay->memory = mmap(NULL, 1 << 16, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	stay->memory_bytes = 1 << 16;
	assert_int_equal(s.users[HERE], MANY / 2);
	stay_end(&ctx, stay);
	assert_int_equal(s.users[HERE], 0);
}

static void stay_drop__counts_nothing(void **state)
{
	struct stay *stay = call(2);

	stay_drop(stay);
	assert_null(context_thread.stays);
	assert_int_equal(s.users[HERE], 1); /* of a broken stack nobody asks */
	s.users[HERE] = 0;
	set.refs[HERE] = 1;
}

/* --- handlers --- */

static sigjmp_buf way_out;
static volatile int users_inside, left;

static void wait_inside(int number)
{
	struct stay *stay;

	stay_look(&ctx); /* as close() does */
	users_inside = s.users[HERE];
	stay = call(1);
	users_inside += s.users[HERE];
	stay_end(&ctx, stay);
}

static void leave(int number)
{
	siglongjmp(way_out, 1);
}

static void wait_and_leave(int number)
{
	call(1);
	siglongjmp(way_out, 1);
}

static void handle(void (*handler)(int), int flags)
{
	struct sigaction act = { .sa_handler = handler, .sa_flags = flags };

	sigaction(SIGUSR1, &act, NULL);
}

static void stay_begin__what_is_under_way_stays(void **state)
{
	struct stay *outer = call(1);

	handle(wait_inside, 0);
	raise(SIGUSR1);
	assert_int_equal(users_inside, 1 + 2);
	assert_true(stay_is_ours(outer));
	assert_int_equal(s.users[HERE], 1);
	stay_end(&ctx, outer);
}

static void stay_begin__not_from_a_handler_on_its_own_stack(void **state)
{
	char *high = mmap(NULL, 64 << 10, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	stack_t own = { .ss_sp = high, .ss_size = 64 << 10 };
	struct stay *outer = call(1);

	outer->frame = 4096; /* as if this thread's stack lay below the handler's */
	assert_int_equal(sigaltstack(&own, NULL), 0);
	handle(wait_inside, SA_ONSTACK);
	raise(SIGUSR1);
	assert_int_equal(users_inside, 1 + 2);
	sigaltstack(&(stack_t){ .ss_flags = SS_DISABLE }, NULL);
	munmap(high, 64 << 10);
	stay_end(&ctx, outer);
}

static void stay_begin__gives_back_what_was_left(void **state)
{
	struct stay *stay;

	handle(leave, 0);
	for (left = 0; left < MANY; left++) {
		if (sigsetjmp(way_out, 1) == 0) {
			call(2);
			raise(SIGUSR1);
		}
		assert_int_equal(s.users[HERE], 1);
	}
	stay = call(2);
	assert_int_equal(s.users[HERE], 1);
	assert_int_equal(set.refs[HERE], 2);
	stay_end(&ctx, stay);
}

static void stay_look__gives_back_what_was_left(void **state)
{
	handle(wait_and_leave, 0);
	if (sigsetjmp(way_out, 1) == 0) {
		call(2);
		raise(SIGUSR1);
	}
	assert_int_equal(s.users[HERE], 2); /* of two calls, one in the handler */
	stay_look(&ctx);
	assert_null(context_thread.stays);
	assert_int_equal(s.users[HERE], 0);
}

static void *leave_and_end(void *arg)
{
	call(2);
	assert_int_equal(s.users[HERE], 1);
	stay_thread_ends(&ctx, true);
	stay_page_unmap();
	return NULL;
}

static void stay_thread_ends__gives_back(void **state)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, leave_and_end, NULL), 0);
	pthread_join(thread, NULL);
	assert_int_equal(s.users[HERE], 0);
	assert_int_equal(set.refs[HERE], 1);
}

/* Each stack has its own back, with its own lock. */
static void stay_thread_ends__leaves_other_stacks_theirs(void **state)
{
	static struct context other;
	static struct sock its;
	struct stay *here = call(2), *there;

	other.slot = HERE;
	other.thread_key = ctx.thread_key;
	its.refs[HERE] = 1;
	there = stay_begin(&other, 1);
	stay_on_sock(&other, there, &its);
	stay_thread_ends(&ctx, true);
	assert_false(stay_is_ours(here));
	assert_true(stay_is_ours(there));
	assert_int_equal(s.users[HERE], 0);
	assert_int_equal(its.users[HERE], 1);
	stay_thread_ends(&other, true);
	assert_int_equal(its.users[HERE], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(stay_end__gives_back, setup, teardown),
		cmocka_unit_test_setup_teardown(stay_begin__more_than_a_page, setup, teardown),
		cmocka_unit_test_setup_teardown(stay_drop__counts_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(stay_begin__what_is_under_way_stays, setup, teardown),
		cmocka_unit_test_setup_teardown(stay_begin__not_from_a_handler_on_its_own_stack, setup,
						teardown),
		cmocka_unit_test_setup_teardown(stay_begin__gives_back_what_was_left, setup, teardown),
		cmocka_unit_test_setup_teardown(stay_look__gives_back_what_was_left, setup, teardown),
		cmocka_unit_test_setup_teardown(stay_thread_ends__gives_back, setup, teardown),
		cmocka_unit_test_setup_teardown(stay_thread_ends__leaves_other_stacks_theirs, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
