/* SPDX-License-Identifier: BSD-2-Clause */
/* Ports whose interface goes down or away, and the sockets steered there. No interface is asked about. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "base/reason.h"
#include "context/internal.h"

enum { CHUNK = 4096, CHUNKS = 8, BUCKETS = 16, PORTS = 2, SOCKS = 3 };

struct fixture {
	struct context ctx;
	struct stack stack;
	struct provider_port port[PORTS];
	struct fbuf bufs[CHUNKS];
	struct table_node *dst_buckets[BUCKETS], *neigh_buckets[BUCKETS];
	struct stats_sock record[SOCKS];
	struct stats_port port_stats[IP_MAX_PORTS];
	uint64_t counter[FS_CTR_N];
	struct sock sock[SOCKS];
	unsigned closed, taken;
	unsigned char memory[CHUNKS * CHUNK] __attribute__((aligned(CHUNK)));
};

static struct fixture fixture, *const f = &fixture;

static unsigned fake_receive(struct provider_handle *handle, struct fbuf **frames, unsigned n)
{
	f->taken++;
	return 0;
}

static void fake_close(struct provider_handle *handle)
{
	f->closed++;
	handle->port->owner_pid = 0;
}

static const struct provider_ops fake = { .name = "fake", .receive = fake_receive, .close = fake_close };

static void open_port(unsigned i)
{
	struct ip_port conf = { .ifindex = 10 + i, .mtu = 1500, .pool = &f->stack.pinned[i], .up = true };

	fbuf_pool_init(&f->stack.pinned[i], CHUNK, IP_TX_HEADROOM);
	if (i == 0)
		fbuf_pool_add(&f->stack.pinned[i], f->bufs, f->memory, CHUNKS);
	assert_int_equal(ip_port_set(&f->stack.ip, i, &conf), 0);
	f->port[i] = (struct provider_port){ .ifindex = 10 + i, .owner_pid = 1 };
	f->stack.port[i] = &f->port[i];
	f->stack.port_opened[i] = 1;
	f->ctx.handle[i] = (struct provider_handle){ .ops = &fake, .port = &f->port[i] };
	f->ctx.n_handles = i + 1;
}

static int setup(void **state)
{
	const struct siphash_key key = { 0 };

	memset(f, 0, sizeof(*f));
	f->ctx.log.fd = -1;
	f->ctx.stack = &f->stack;
	f->ctx.pid = 1;
	f->ctx.nl.fd = -1;
	f->stack.counter = f->counter;
	f->stack.port_stats = f->port_stats;
	list_init(&f->stack.all_socks);
	list_init(&f->stack.all_streams);
	ip_init(&f->stack.ip, &key, &f->stack.payload, f->counter, f->dst_buckets, BUCKETS);
	neigh_table_init(&f->stack.ip.neigh, &key, f->neigh_buckets, BUCKETS);
	for (unsigned i = 0; i < PORTS; i++)
		open_port(i);
	for (unsigned i = 0; i < SOCKS; i++) {
		sock_init(&f->sock[i], &f->record[i], SOCK_UDP, false, i + 1);
		f->sock[i].way = SOCK_FAST;
		list_push_back(&f->stack.all_socks, &f->sock[i].all);
	}
	f->sock[0].steered = 1;	      /* on the first port */
	f->sock[1].steered = 1 | 2;   /* on both */
	f->sock[2].way = SOCK_KERNEL; /* not our business any more */
	f->record[2].reason = FS_REASON_option;
	return 0;
}

static void fail_port(unsigned i, int error)
{
	f->port[i].error = error;
	context_port_failed(&f->ctx, i);
}

static void context_port_failed__down_keeps_the_port(void **state)
{
	fail_port(0, -ENETDOWN);
	assert_int_equal(f->closed, 0);
	assert_ptr_equal(f->stack.port[0], &f->port[0]);
	assert_false(f->stack.ip.port[0].up);
	assert_true(f->sock[0].unsteered);
	assert_int_equal(f->sock[0].way, SOCK_FAST);
	assert_int_equal(f->sock[0].steered, 1);
	assert_int_equal(f->sock[0].missing, 0);
	assert_int_equal(f->record[0].reason, FS_REASON_interface_down);
	assert_false(f->record[0].accelerated);
}

static void context_port_failed__down_drops_what_waits_to_leave(void **state)
{
	fbuf_queue_push(&f->stack.ip.port[0].out, fbuf_alloc(&f->stack.pinned[0]));
	fail_port(0, -ENETDOWN);
	assert_int_equal(f->counter[FS_CTR_drop_tx_port], 1);
	assert_int_equal(f->stack.pinned[0].n_free, CHUNKS);
	assert_null(f->stack.ip.port[0].out.head);
}

static void context_port_failed__another_port_serves_on(void **state)
{
	fail_port(0, -ENETDOWN);
	assert_false(f->sock[1].unsteered);
	assert_int_equal(f->record[1].reason, FS_REASON_none);
	fail_port(1, -ENETDOWN);
	assert_true(f->sock[1].unsteered);
	assert_int_equal(f->record[1].reason, FS_REASON_interface_down);
}

static void context_port_failed__gone_closes_it_and_sockets_wait(void **state)
{
	fail_port(0, -ENODEV);
	assert_int_equal(f->closed, 1);
	assert_int_not_equal(f->taken, 0); /* what had arrived was asked for first */
	assert_null(f->stack.port[0]);
	assert_int_equal(f->stack.port_opened[0], 0);
	assert_int_equal(f->stack.ip.port[0].ifindex, 0);
	assert_true(f->stack.waiting);
	assert_int_equal(f->counter[FS_CTR_ports_lost], 1);
	assert_int_equal(f->counter[FS_CTR_moved_to_kernel], 0);
	assert_int_equal(f->sock[0].way, SOCK_FAST);
	assert_int_equal(f->sock[0].steered, 0);
	assert_int_equal(f->sock[0].missing, 1);
	assert_true(f->sock[0].unsteered);
	assert_int_equal(f->record[0].reason, FS_REASON_interface_down);
}

static void context_port_failed__gone_leaves_the_other_port(void **state)
{
	fail_port(0, -ENODEV);
	assert_int_equal(f->sock[1].steered, 2);
	assert_int_equal(f->sock[1].missing, 1);
	assert_false(f->sock[1].unsteered);
	fail_port(1, -ENODEV);
	assert_int_equal(f->sock[1].missing, 2);
	assert_true(f->sock[1].unsteered);
	assert_int_equal(f->closed, 2);
}

static void context_port_failed__down_then_gone(void **state)
{
	fail_port(0, -ENETDOWN);
	fail_port(0, -ENODEV);
	assert_null(f->stack.port[0]);
	assert_int_equal(f->sock[0].missing, 1);
	fail_port(0, -ENODEV); /* nothing is left to fail */
	assert_int_equal(f->closed, 1);
}

static void context_port_failed__leaves_others_alone(void **state)
{
	fail_port(0, -ENODEV);
	assert_int_equal(f->sock[2].missing, 0);
	assert_int_equal(f->record[2].reason, FS_REASON_option);
}

static void context_port_lost__says_its_reason(void **state)
{
	context_port_lost(&f->ctx, 0, FS_REASON_recovering);
	assert_int_equal(f->record[0].reason, FS_REASON_recovering);
	assert_int_equal(f->sock[0].missing, 1);
}

static void context_sock_review__up_again(void **state)
{
	fail_port(0, -ENETDOWN);
	f->stack.ip.port[0].up = true;
	context_sock_review(&f->ctx, &f->sock[0], FS_REASON_interface_down);
	assert_false(f->sock[0].unsteered);
	assert_int_equal(f->record[0].reason, FS_REASON_none);
	assert_true(f->record[0].accelerated);
}

static void context_sock_review__keeps_why_an_address_is_nowhere(void **state)
{
	fail_port(0, -ENODEV);
	context_sock_review(&f->ctx, &f->sock[0], FS_REASON_no_interface);
	assert_int_equal(f->record[0].reason, FS_REASON_interface_down);
	context_sock_review(&f->ctx, &f->sock[0], FS_REASON_interface_busy);
	assert_int_equal(f->record[0].reason, FS_REASON_interface_busy);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup(name, setup)
	const struct CMUnitTest tests[] = {
		CASE(context_port_failed__down_keeps_the_port),
		CASE(context_port_failed__down_drops_what_waits_to_leave),
		CASE(context_port_failed__another_port_serves_on),
		CASE(context_port_failed__gone_closes_it_and_sockets_wait),
		CASE(context_port_failed__gone_leaves_the_other_port),
		CASE(context_port_failed__down_then_gone),
		CASE(context_port_failed__leaves_others_alone),
		CASE(context_port_lost__says_its_reason),
		CASE(context_sock_review__up_again),
		CASE(context_sock_review__keeps_why_an_address_is_nowhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
