/* SPDX-License-Identifier: BSD-2-Clause */
/* Datagrams lent in place: who has them, and that they come back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <time.h>

#include "context/take.h"
#include "udp_rig.h"

enum { PORT = 7000, PEER_PORT = 4000, HERE = 0, THERE = 1 };

struct fixture {
	struct rig_host h;
	struct ip_addr peer;
	struct sock s;
	struct stats_sock record;
	struct context ctx;
};

static int setup(void **state)
{
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	rig_open(&f.h, 0);
	f.peer = rig_v4(10, 0, 0, 2);
	sock_init(&f.s, &f.record, SOCK_UDP, false, 1);
	rig_bind(&f.h, &f.s.pcb, (struct ip_addr){ 0 }, PORT, 0);
	f.ctx.slot = HERE;
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	take_release_all(&f->s, STATS_MAX_PROCS);
	rig_unbind(&f->h, &f->s.pcb);
	rig_close_udp(&f->h); /* every chunk is back */
	return 0;
}

/* @n datagrams arrive and are lent. */
static void lend(struct fixture *f, struct fbuf **frames, unsigned n)
{
	struct rig_datagram d = { .src = f->peer, .dst = f->h.v4, .src_port = PEER_PORT, .dst_port = PORT,
				  .payload = "x", .len = 1 };

	for (unsigned i = 0; i < n; i++) {
		rig_input(&f->h, &d);
		assert_int_equal(take_may_hold(&f->ctx, &f->s), 0);
		frames[i] = f->s.pcb.queue.head;
		take_hold(&f->ctx, &f->s, frames[i], 1, frames[i]->total);
	}
}

static void take_hold__counts_and_remembers(void **state)
{
	struct fixture *f = *state;
	struct fbuf *frames[3];

	lend(f, frames, 3);
	assert_int_equal(f->record.rx_fast, 3);
	assert_int_equal(f->record.rx_bytes, 3);
	assert_int_equal(f->s.held.frames, 3);
	assert_int_equal(f->s.pcb.queue.frames, 0);
}

static void take_hold__of_several_leaves_the_rest(void **state)
{
	struct fixture *f = *state;
	struct rig_datagram d = { .src = f->peer, .dst = f->h.v4, .src_port = PEER_PORT, .dst_port = PORT,
				  .payload = "x", .len = 1 };
	struct fbuf *frames[5];
	uint32_t idle;

	lend(f, frames, 1);
	idle = f->s.pcb.stack->idle;
	for (unsigned i = 1; i < 5; i++) {
		rig_input(&f->h, &d);
		frames[i] = f->s.pcb.queue.tail;
	}
	take_hold(&f->ctx, &f->s, frames[3], 3, 3);
	assert_ptr_equal(f->s.pcb.queue.head, frames[4]);
	assert_ptr_equal(f->s.pcb.queue.tail, frames[4]);
	assert_int_equal(f->s.pcb.queue.frames, 1);
	assert_int_equal(f->s.pcb.stack->idle, idle - 1);
	take_hold(&f->ctx, &f->s, frames[4], 1, 1);
	assert_null(f->s.pcb.queue.head);
	assert_null(f->s.pcb.queue.tail);
	assert_int_equal(f->s.pcb.stack->idle, idle);
	assert_int_equal(f->record.rx_fast, 5);
	for (unsigned i = 0; i < 5; i++) { /* at the head each time: in order */
		assert_ptr_equal(f->s.held.head, frames[i]);
		assert_int_equal(take_release(&f->ctx, &f->s, frames[i]), 0);
	}
	assert_null(f->s.held.tail);
	assert_int_equal(f->s.pcb.charged, 0);
}

static void take_release__in_any_order(void **state)
{
	static const unsigned char orders[][4] = { { 0, 1, 2, 3 }, { 3, 2, 1, 0 }, { 1, 3, 0, 2 }, { 2, 0, 3, 1 } };
	struct fixture *f = *state;
	struct fbuf *frames[4];

	for (unsigned k = 0; k < 4; k++) {
		lend(f, frames, 4);
		for (unsigned i = 0; i < 4; i++)
			assert_int_equal(take_release(&f->ctx, &f->s, frames[orders[k][i]]), 0);
		assert_null(f->s.held.head);
		assert_null(f->s.held.tail);
		assert_int_equal(f->s.pcb.charged, 0);
	}
}

static void take_release__of_what_was_not_lent(void **state)
{
	struct fixture *f = *state;
	struct fbuf *frames[2], stranger = { 0 };

	assert_int_equal(take_release(&f->ctx, &f->s, &stranger), -EINVAL);
	lend(f, frames, 2);
	assert_int_equal(take_release(&f->ctx, &f->s, NULL), -EINVAL);
	assert_int_equal(take_release(&f->ctx, &f->s, &stranger), -EINVAL);
	assert_int_equal(take_release(&f->ctx, &f->s, frames[1]), 0);
	assert_int_equal(take_release(&f->ctx, &f->s, frames[1]), -EINVAL);
	assert_int_equal(f->s.held.frames, 1);
}

static void take_may_hold__one_process_at_a_time(void **state)
{
	struct fixture *f = *state;
	struct fbuf *frames[2];

	lend(f, frames, 1);
	f->ctx.slot = THERE;
	assert_int_equal(take_may_hold(&f->ctx, &f->s), -EBUSY);
	assert_int_equal(take_release(&f->ctx, &f->s, frames[0]), -EINVAL);
	f->ctx.slot = HERE;
	assert_int_equal(take_release(&f->ctx, &f->s, frames[0]), 0);
	f->ctx.slot = THERE;
	lend(f, frames, 2);
}

static void take_release_all__of_one_process(void **state)
{
	struct fixture *f = *state;
	struct fbuf *frames[3];

	lend(f, frames, 3);
	take_release_all(&f->s, THERE);
	assert_int_equal(f->s.held.frames, 3);
	take_release_all(&f->s, HERE);
	assert_int_equal(f->s.held.frames, 0);
	assert_int_equal(f->s.pcb.charged, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(take_hold__counts_and_remembers, setup, teardown),
		cmocka_unit_test_setup_teardown(take_hold__of_several_leaves_the_rest, setup, teardown),
		cmocka_unit_test_setup_teardown(take_release__in_any_order, setup, teardown),
		cmocka_unit_test_setup_teardown(take_release__of_what_was_not_lent, setup, teardown),
		cmocka_unit_test_setup_teardown(take_may_hold__one_process_at_a_time, setup, teardown),
		cmocka_unit_test_setup_teardown(take_release_all__of_one_process, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
