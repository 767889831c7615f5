/* SPDX-License-Identifier: BSD-2-Clause */
/* Processes that are gone, and what they held. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <sys/wait.h>
#include <unistd.h>

#include "context/internal.h"
#include "socket/epoll.h"

#define KEY (1ULL << 63 | 1ULL << EPOLL_TAG_SHIFT)

enum { HERE, GONE, OBJECTS = 4, PORT = 3 };

static struct context ctx;
static struct stack stack;
static struct stats_sock record;
static uint64_t counter[FS_CTR_N];
static uint8_t memory[3][(OBJECTS + 2) * 2048] __attribute__((aligned(FS_CACHE_LINE)));
static struct sock *s;
static struct epoll_set *set;

/* The number of a process that has ended. */
static uint32_t ended(void)
{
	pid_t child = fork();

	if (child == 0)
		_exit(0);
	waitpid(child, NULL, 0);
	return (uint32_t)child;
}

/* A process with a socket and a set, and one that is gone. */
static int setup(void **state)
{
	struct slab *slabs[] = { &stack.socks, &stack.sets, &stack.items };
	const uint32_t sizes[] = { sizeof(struct sock), sizeof(struct epoll_set), sizeof(struct epoll_item) };

	memset(&ctx, 0, sizeof(ctx));
	memset(&stack, 0, sizeof(stack));
	memset(&record, 0, sizeof(record));
	for (unsigned i = 0; i < FS_ARRAY_SIZE(slabs); i++) {
		slab_init(slabs[i], sizes[i]);
		assert_true(slab_add(slabs[i], memory[i], sizeof(memory[i])) >= OBJECTS);
	}
	list_init(&stack.all_socks);
	list_init(&stack.all_streams);
	list_init(&stack.all_sets);
	stack.counter = counter;
	ctx.stack = &stack;
	ctx.slot = HERE;
	ctx.pid = (uint32_t)getpid();
	ctx.report_fd = ctx.log.fd = -1;
	stack.proc[HERE].pid = ctx.pid;
	stack.proc[GONE].pid = ended();

	s = slab_alloc(&stack.socks);
	sock_init(s, &record, SOCK_UDP, false, 1);
	list_push_back(&stack.all_socks, &s->all);
	set = slab_alloc(&stack.sets);
	epoll_set_init(set, &stack.items, KEY);
	list_push_back(&stack.all_sets, &set->all);
	return 0;
}

static void context_reap__a_set_of_the_dead_leaves_the_sockets_of_the_living(void **state)
{
	const struct epoll_event event = { .events = EPOLLIN };
	struct epoll_item *item;

	s->refs[HERE] = 1;
	epoll_set_hold(set, GONE);
	epoll_set_hold(set, GONE); /* it was in a wait, too */
	assert_int_equal(epoll_item_add(set, (struct epoll_member){ .sock = s }, 5, &event, &item), 0);
	context_reap(&ctx);
	assert_int_equal(stack.proc[GONE].pid, 0);
	assert_int_equal(stack.sets.in_use, 0);
	assert_int_equal(stack.items.in_use, 0);
	assert_true(list_is_empty(&s->items));
	assert_int_equal(stack.socks.in_use, 1);
}

static void context_reap__a_call_of_the_dead_holds_no_socket(void **state)
{
	s->refs[GONE] = 1;
	s->users[GONE] = 1; /* killed in recv() */
	context_reap(&ctx);
	assert_int_equal(stack.socks.in_use, 0);
}

static void context_reap__leaves_a_set_that_the_living_hold(void **state)
{
	epoll_set_hold(set, HERE);
	epoll_set_hold(set, GONE);
	sleepers_add(&set->sleepers, HERE);
	sleepers_add(&set->sleepers, GONE);
	context_reap(&ctx);
	assert_int_equal(stack.sets.in_use, 1);
	assert_int_equal(set->sleepers.slots, 1u << HERE);
	epoll_set_let(set, HERE);
	context_set_settle(&ctx, set);
	assert_int_equal(stack.sets.in_use, 0);
}

static unsigned removed;

static int remove_rule(struct provider_handle *handle, const struct steer_rule *rule)
{
	removed++;
	return 0;
}

static void context_sock_settle__waits_for_one_who_holds_the_port(void **state)
{
	static const struct provider_ops ops = { .steer_remove = remove_rule };
	static struct provider_port port;

	removed = 0;
	stack.port[PORT] = &port;
	s->steered = 1u << PORT;
	assert_false(context_sock_settle(&ctx, s));
	assert_true(stack.lingering); /* somebody who holds it looks */
	assert_int_equal(stack.socks.in_use, 1);
	ctx.handle[PORT].ops = &ops;
	assert_true(context_sock_settle(&ctx, s));
	assert_int_equal(removed, 1);
	assert_int_equal(stack.socks.in_use, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(context_reap__a_set_of_the_dead_leaves_the_sockets_of_the_living, setup),
		cmocka_unit_test_setup(context_reap__a_call_of_the_dead_holds_no_socket, setup),
		cmocka_unit_test_setup(context_reap__leaves_a_set_that_the_living_hold, setup),
		cmocka_unit_test_setup(context_sock_settle__waits_for_one_who_holds_the_port, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
