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
#include "context/thread.h"

static struct context ctx;
static struct stack stack;
static uint32_t alive;
static uint64_t counter[FS_CTR_N];

static int setup(void **state)
{
	memset(&ctx, 0, sizeof(ctx));
	memset(&stack, 0, sizeof(stack));
	memset(counter, 0, sizeof(counter));
	alive = CONTEXT_ALIVE;
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

static void context_trylock__waits_for_nobody(void **state)
{
	assert_true(context_trylock(&ctx));
	context_unlock(&ctx);
	stack.lock.owner = context_tid() + 1;
	assert_false(context_trylock(&ctx));
	assert_int_equal(stack.lock.waiting, 0);
	stack.lock.owner = 0;
	assert_true(context_trylock(&ctx));
	context_unlock(&ctx);
}

static sigjmp_buf way_out;
static volatile int got; /* what context_lock() said in the handler */

static void lock_in_handler(int number)
{
	got = context_lock(&ctx);
}

static void leave_handler(int number)
{
	siglongjmp(way_out, 1);
}

static void handle(void (*handler)(int), int flags)
{
	struct sigaction act = { .sa_handler = handler, .sa_flags = flags };

	sigaction(SIGUSR1, &act, NULL);
}

static void context_lock__not_in_a_handler_of_the_holder(void **state)
{
	handle(lock_in_handler, 0);
	got = -1;
	assert_true(context_lock(&ctx));
	raise(SIGUSR1); /* it must not wait for itself */
	assert_int_equal(got, false);
	assert_false(stack.broken);
	context_unlock(&ctx);
	raise(SIGUSR1);
	assert_int_equal(got, true);
	context_unlock(&ctx);
}

static void context_lock__not_in_a_handler_on_its_own_stack(void **state)
{
	static char memory[64 << 10];
	char *high = mmap(NULL, 64 << 10, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	const void *where[] = { memory, high };

	handle(lock_in_handler, SA_ONSTACK);
	for (int i = 0; i < 2; i++) {
		stack_t own = { .ss_sp = (void *)where[i], .ss_size = 64 << 10 };

		assert_int_equal(sigaltstack(&own, NULL), 0);
		assert_true(context_lock(&ctx));
		context_thread.lock_frame = 4096; /* as if this thread's stack lay below */
		raise(SIGUSR1);
		assert_int_equal(got, false);
		assert_false(stack.broken);
		context_unlock(&ctx);
	}
	sigaltstack(&(stack_t){ .ss_flags = SS_DISABLE }, NULL);
	munmap(high, 64 << 10);
}

static void context_lock__left_by_longjmp(void **state)
{
	handle(leave_handler, 0);
	if (sigsetjmp(way_out, 1) == 0) {
		assert_true(context_lock(&ctx));
		raise(SIGUSR1);
	}
	assert_int_equal(stack.lock.owner, context_tid());
	assert_false(context_lock(&ctx));
	assert_true(stack.broken); /* others do not wait for ever */
}

static void context_lock__holder_is_stopped(void **state)
{
	uint64_t before = counter[FS_CTR_lock_stopped];
	siginfo_t info;
	pid_t pid = fork();

	if (pid == 0)
		for (;;)
			pause();
	kill(pid, SIGSTOP);
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WSTOPPED), 0);
	stack.lock.owner = (uint32_t)pid;
	assert_false(context_lock_unless_stopped(&ctx));
	assert_false(context_lock_unless_stopped(&ctx));
	assert_int_equal(counter[FS_CTR_lock_stopped] - before, 1);
	assert_false(stack.broken);
	assert_int_equal(stack.lock.waiting, 0);
	stack.lock.owner = 0;
	assert_true(context_lock_unless_stopped(&ctx));
	assert_int_equal(stack.lock.stopped, 0);
	context_unlock(&ctx);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* Who waits goes on without it; it is no dead holder: what its own process lets go of waits for it. */
static void context_lock__holder_stays_stopped(void **state)
{
	siginfo_t info;
	pid_t pid = fork();

	if (pid == 0)
		for (;;)
			pause();
	kill(pid, SIGSTOP);
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WSTOPPED), 0);
	stack.lock.owner = (uint32_t)pid;
	assert_false(context_lock(&ctx));
	assert_true(stack.broken);
	assert_int_equal(stack.lock.outlived, pid);
	assert_int_equal(stack.lock.waiting, 0);
	assert_int_equal(counter[FS_CTR_lock_stopped], 1);
	assert_int_equal(counter[FS_CTR_lock_recovered], 1);
	assert_false(context_is_in_use(&ctx));
	assert_true(context_abandon(&ctx));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void *hold(void *arg)
{
	uint32_t *steps = arg;

	stack.lock.owner = context_tid();
	fs_store_release(&steps[0], 1);
	while (!fs_load_acquire(&steps[1]))
		usleep(1000);
	fs_store_release(&stack.lock.owner, 0); /* it goes on, and to the end of its call */
	return NULL;
}

static void context_abandon__not_while_a_call_of_its_process_goes_on(void **state)
{
	uint32_t steps[2] = { 0 };
	pthread_t holder;

	assert_int_equal(pthread_create(&holder, NULL, hold, steps), 0);
	while (!fs_load_acquire(&steps[0]))
		usleep(1000);
	stack.broken = true;
	stack.lock.outlived = stack.lock.owner;
	assert_true(context_is_in_use(&ctx));
	assert_false(context_abandon(&ctx));
	assert_false(context_trylock(&ctx));
	assert_int_equal(ctx.abandoned, 0);
	fs_store_release(&steps[1], 1);
	assert_false(context_lock(&ctx)); /* waits for its end */
	assert_int_not_equal(ctx.abandoned, 0);
	assert_true(context_abandon(&ctx));
	pthread_join(holder, NULL);
}

static void lock_twice_in_handler(int number)
{
	got = context_lock(&ctx);
	stack.broken = true;
	stack.lock.outlived = context_tid();
	got |= context_lock(&ctx);
}

static void context_abandon__not_in_a_handler_of_the_outlived_holder(void **state)
{
	handle(lock_twice_in_handler, 0);
	assert_true(context_lock(&ctx));
	raise(SIGUSR1);
	assert_int_equal(got, false);
	assert_int_equal(ctx.abandoned, 0);
	context_unlock(&ctx);
	assert_false(context_lock(&ctx));
	assert_int_not_equal(ctx.abandoned, 0);
}

static void context_abandon__after_a_jump_of_the_outlived_holder(void **state)
{
	handle(leave_handler, 0);
	if (sigsetjmp(way_out, 1) == 0) {
		assert_true(context_lock(&ctx));
		stack.broken = true;
		stack.lock.outlived = context_tid();
		raise(SIGUSR1);
	}
	assert_false(context_lock(&ctx));
	assert_int_equal(stack.lock.owner, 0);
	assert_int_not_equal(ctx.abandoned, 0);
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
	stack.lock.owner = stack.lock.begun = (uint32_t)dead_child(true);
	assert_false(context_lock(&ctx));
	assert_true(stack.broken);
	assert_int_equal(stack.lock.waiting, 0);
	assert_false(context_lock(&ctx)); /* for good */
}

static void context_lock__holder_is_a_zombie(void **state)
{
	/* Its parent may be the one that waits: nobody will ever reap it. */
	pid_t zombie = dead_child(false);

	stack.lock.owner = stack.lock.begun = (uint32_t)zombie;
	assert_false(context_lock(&ctx));
	assert_true(stack.broken);
	waitpid(zombie, NULL, 0);
}

static void context_lock__holder_died_before_it_began(void **state)
{
	assert_true(context_lock(&ctx)); /* what it leaves says nothing of the next one */
	context_unlock(&ctx);
	stack.lock.owner = (uint32_t)dead_child(true);
	assert_true(context_lock(&ctx));
	assert_int_equal(stack.lock.owner, context_tid());
	assert_false(stack.broken);
	context_unlock(&ctx);
}

static void context_lock__holder_died_in_a_ports_call(void **state)
{
	struct provider_port port = { 0 };
	uint32_t dead = (uint32_t)dead_child(true);

	stack.port[1] = &port;
	stack.lock.owner = dead;
	stack.lock.begun = ~dead;
	port.in_call = dead;
	assert_true(context_lock(&ctx));
	assert_int_equal(stack.lock.begun, context_tid());
	assert_int_equal(counter[FS_CTR_lock_inherited], 1);
	assert_int_equal(ctx.to_ring, SLEEPERS_ALL); /* it may not have come to it */
	assert_false(stack.broken);
	context_unlock(&ctx);
}

static void context_lock__holder_died_in_another_stacks_call(void **state)
{
	static struct stack other;
	struct context sister = { .stack = &other };
	struct provider_port port = { 0 };
	uint32_t dead = (uint32_t)dead_child(true);

	ctx.n_stacks = 2;
	ctx.stacks[0] = &ctx;
	ctx.stacks[1] = &sister;
	other.port[0] = &port;
	stack.lock.owner = dead;
	stack.lock.begun = ~dead;
	port.in_call = dead;
	assert_true(context_lock(&ctx));
	assert_int_equal(ctx.to_tell, 2); /* nor to these */
	context_unlock(&ctx);
	other.port[0] = NULL;
}

static void context_lock__holder_died_before_or_after_the_call(void **state)
{
	struct provider_port port = { .in_call = 0 };
	uint32_t dead = (uint32_t)dead_child(true);

	stack.port[0] = &port;
	stack.lock.owner = dead;
	stack.lock.begun = ~dead;
	assert_false(context_lock(&ctx));
	assert_true(stack.broken);
}

static void context_lock__holder_died_in_a_call_amid_its_work(void **state)
{
	struct provider_port port = { 0 };
	uint32_t dead = (uint32_t)dead_child(true);

	stack.port[0] = &port;
	stack.lock.owner = stack.lock.begun = port.in_call = dead;
	assert_false(context_lock(&ctx));
	assert_true(stack.broken);
}

static void context_calm__until_the_work_goes_on(void **state)
{
	assert_true(context_lock(&ctx));
	context_calm(&ctx);
	assert_int_equal(stack.lock.begun, ~context_tid());
	context_stir(&ctx);
	assert_int_equal(stack.lock.begun, context_tid());
	context_calm(&ctx);
	context_unlock(&ctx);
	assert_int_equal(stack.lock.begun, 0);
}

static void context_lock__only_for_the_thread_that_exits(void **state)
{
	ctx.exiting = context_tid();
	assert_true(context_lock(&ctx));
	context_unlock(&ctx);
	ctx.exiting++;
	assert_false(context_lock(&ctx));
	assert_int_equal(stack.lock.owner, 0);
	ctx.exiting = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(context_lock__holds_the_threads_number, setup),
		cmocka_unit_test_setup(context_trylock__waits_for_nobody, setup),
		cmocka_unit_test_setup(context_lock__not_in_a_handler_of_the_holder, setup),
		cmocka_unit_test_setup(context_lock__not_in_a_handler_on_its_own_stack, setup),
		cmocka_unit_test_setup(context_lock__left_by_longjmp, setup),
		cmocka_unit_test_setup(context_lock__holder_is_stopped, setup),
		cmocka_unit_test_setup(context_lock__holder_stays_stopped, setup),
		cmocka_unit_test_setup(context_abandon__not_while_a_call_of_its_process_goes_on, setup),
		cmocka_unit_test_setup(context_abandon__not_in_a_handler_of_the_outlived_holder, setup),
		cmocka_unit_test_setup(context_abandon__after_a_jump_of_the_outlived_holder, setup),
		cmocka_unit_test_setup(context_lock__excludes, setup),
		cmocka_unit_test_setup(context_is_dead__each_way, setup),
		cmocka_unit_test_setup(context_lock__holder_died, setup),
		cmocka_unit_test_setup(context_lock__holder_is_a_zombie, setup),
		cmocka_unit_test_setup(context_lock__holder_died_before_it_began, setup),
		cmocka_unit_test_setup(context_lock__holder_died_in_a_ports_call, setup),
		cmocka_unit_test_setup(context_lock__holder_died_in_another_stacks_call, setup),
		cmocka_unit_test_setup(context_lock__holder_died_before_or_after_the_call, setup),
		cmocka_unit_test_setup(context_lock__holder_died_in_a_call_amid_its_work, setup),
		cmocka_unit_test_setup(context_calm__until_the_work_goes_on, setup),
		cmocka_unit_test_setup(context_lock__only_for_the_thread_that_exits, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
