/* SPDX-License-Identifier: BSD-2-Clause */
/* The stack's half of the error queue: its bounds, its messages' bytes. Reading it is for the API tests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <time.h>

#include <linux/errqueue.h>

#include "context/errqueue.h"
#include "socket/sock.h"

enum { CHUNKS = 8192, CHUNK = 64, FRAME = 100, LIMIT = 20000 };

struct fixture {
	struct stack stack;
	struct context ctx;
	struct sock s;
	struct stats_sock record;
	struct ip_stack ip;
	struct fbuf bufs[CHUNKS];
	uint8_t memory[CHUNKS * CHUNK];
	struct fbuf_pool frames; /* where what is sent lies */
	struct fbuf frame_buf;
	uint8_t frame_memory[2048];
};

static struct fixture f;
static struct fbuf *frame;

static int setup(void **state)
{
	memset(&f, 0, sizeof(f));
	f.ctx.stack = &f.stack;
	f.stack.udp.ip = &f.stack.ip;
	f.stack.ip.payload = &f.stack.payload;
	f.stack.ip.port[1].ifindex = 9;
	fbuf_pool_init(&f.stack.payload, CHUNK, 0);
	fbuf_pool_add(&f.stack.payload, f.bufs, f.memory, CHUNKS);
	fbuf_pool_init(&f.frames, sizeof(f.frame_memory), 0);
	fbuf_pool_add(&f.frames, &f.frame_buf, f.frame_memory, 1);
	sock_init(&f.s, &f.record, SOCK_UDP, false, 1);
	f.s.pcb.limit = LIMIT;
	f.s.stamps.flags = STAMP_OPT_ID;
	frame = fbuf_alloc(&f.frames);
	frame->len = frame->total = FRAME;
	frame->port = 1;
	memset(frame->data, 0x5a, FRAME);
	frame->data[14] = 0x45;
	frame->data[14 + 1] = 0x2e; /* type of service */
	frame->data[14 + 8] = 61;   /* time to live */
	memcpy(frame->data + 14 + 12, "\x0a\x00\x00\x01\x0a\x00\x00\x02", 8);
	return 0;
}

static void errqueue_sent__holds_a_copy(void **state)
{
	struct fbuf *e;
	uint8_t bytes[FRAME];
	fs_ns now;

	setup(state);
	errqueue_sent(&f.ctx, &f.s, frame, STAMP_TX_SOFTWARE);
	e = f.s.errors.head;
	assert_ptr_equal(f.ctx.stamping.first, e);
	assert_int_equal(e->stamp, 0);
	assert_int_equal(e->total, FRAME);
	assert_int_equal(fbuf_copy_out(e, 0, bytes, FRAME), FRAME);
	assert_memory_equal(bytes, frame->data, FRAME);
	assert_int_equal(e->l3_offset, SCM_TSTAMP_SND);
	assert_int_equal(e->ifindex, 9);
	assert_int_equal(e->ttl, 61);
	assert_int_equal(e->tos, 0x2e);
	assert_int_equal(e->src.b[15], 1);
	assert_int_equal(e->dst.b[15], 2);
	errqueue_leaves(&f.ctx, &now);
	assert_true(now > 0);
	assert_int_equal(e->stamp, now);
	assert_null(f.ctx.stamping.first);
	errqueue_purge(&f.s);
	assert_int_equal(f.stack.payload.n_free, CHUNKS);
}

static void errqueue_sent__or_the_stamp_alone(void **state)
{
	setup(state);
	f.s.stamps.flags |= STAMP_OPT_TSONLY;
	errqueue_sent(&f.ctx, &f.s, frame, STAMP_TX_SOFTWARE | STAMP_TX_SCHED);
	assert_int_equal(f.s.errors.frames, 2);
	assert_int_equal(f.s.errors.head->l3_offset, SCM_TSTAMP_SCHED);
	assert_true(f.s.errors.head->stamp > 0); /* it waits from now on */
	assert_int_equal(f.s.errors.tail->l3_offset, SCM_TSTAMP_SND);
	assert_int_equal(f.s.errors.tail->total, 0);
	assert_int_equal(f.s.errors.tail->ifindex, 0);
	assert_int_equal(f.s.errors.head->drops, 0); /* both are of the first datagram */
	assert_int_equal(f.s.errors.tail->drops, 0);
	errqueue_sent(&f.ctx, &f.s, frame, STAMP_TX_SOFTWARE);
	assert_int_equal(f.s.errors.tail->drops, 1);
	errqueue_sent(&f.ctx, &f.s, frame, STAMP_TX_HARDWARE); /* numbered, and no stamp to tell */
	assert_int_equal(f.s.errors.frames, 3);
	errqueue_sent(&f.ctx, &f.s, frame, STAMP_TX_SOFTWARE);
	assert_int_equal(f.s.errors.tail->drops, 3);
	errqueue_purge(&f.s);
}

static void errqueue_leaves__stamps_what_has_none(void **state)
{
	fs_ns first, second;

	setup(state);
	errqueue_sent(&f.ctx, &f.s, frame, STAMP_TX_SOFTWARE);
	errqueue_leaves(&f.ctx, &first);
	errqueue_sent(&f.ctx, &f.s, frame, STAMP_TX_SOFTWARE);
	errqueue_sent(&f.ctx, &f.s, frame, STAMP_TX_SOFTWARE);
	errqueue_leaves(&f.ctx, &second);
	assert_true(second >= first);
	assert_int_equal(f.s.errors.tail->stamp, second);
	assert_int_equal(f.s.errors.head->stamp, first);
	assert_int_equal(f.s.errors.head->link->stamp, f.s.errors.tail->stamp);
	errqueue_purge(&f.s);
}

/* A send that the provider could not start becomes the shadow's, which numbers it. */
static void errqueue_undo__takes_back_what_the_send_left(void **state)
{
	uint32_t charged;

	setup(state);
	errqueue_sent(&f.ctx, &f.s, frame, STAMP_TX_SOFTWARE);
	errqueue_leaves(&f.ctx, NULL);
	f.ctx.stamping.any = false; /* it left */
	charged = f.s.errors_charged;
	errqueue_undo(&f.ctx, &f.s); /* of a send without stamps: nothing to take back */
	assert_int_equal(f.s.errors.frames, 1);
	errqueue_sent(&f.ctx, &f.s, frame, STAMP_TX_SOFTWARE | STAMP_TX_SCHED);
	errqueue_sent(&f.ctx, &f.s, frame, STAMP_TX_SOFTWARE);
	assert_int_equal(f.s.errors.frames, 4);
	errqueue_leaves(&f.ctx, NULL);
	errqueue_undo(&f.ctx, &f.s);
	assert_int_equal(f.s.errors.frames, 1);
	assert_int_equal(f.s.errors_charged, charged);
	assert_int_equal(f.s.stamps.number, 1);
	assert_ptr_equal(f.s.errors.head, f.s.errors.tail);
	assert_false(f.ctx.stamping.any);
	errqueue_purge(&f.s);
	assert_int_equal(f.stack.payload.n_free, CHUNKS);
}

/* It shares the receive buffer with what arrived, and what finds no room is not reported. */
static void errqueue_sent__is_bounded(void **state)
{
	uint32_t alone;

	setup(state);
	for (unsigned i = 0; i < 1000; i++)
		errqueue_sent(&f.ctx, &f.s, frame, STAMP_TX_SOFTWARE);
	errqueue_leaves(&f.ctx, NULL);
	alone = f.s.errors.frames;
	assert_in_range(alone, 2, LIMIT / FRAME);
	assert_true(f.s.errors_charged < LIMIT);
	assert_int_equal(f.s.stamps.number, 1000);
	errqueue_purge(&f.s);
	assert_int_equal(f.s.errors_charged, 0);
	f.s.pcb.charged = LIMIT / 2;
	for (unsigned i = 0; i < 1000; i++)
		errqueue_sent(&f.ctx, &f.s, frame, STAMP_TX_SOFTWARE);
	assert_true(f.s.errors.frames < alone);
	errqueue_purge(&f.s);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(errqueue_sent__holds_a_copy),
		cmocka_unit_test(errqueue_sent__or_the_stamp_alone),
		cmocka_unit_test(errqueue_leaves__stamps_what_has_none),
		cmocka_unit_test(errqueue_undo__takes_back_what_the_send_left),
		cmocka_unit_test(errqueue_sent__is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
