/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The data path of the xdp provider over rings in plain memory; the test plays the kernel. The socket's
 * descriptor is invalid, so kick() sees a dead port.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "provider/xdp/xdp_port.h"

enum { CHUNKS = 256, CHUNK = 4096, RX = 128, TX = 64, HEADROOM = 64, LOW_WATER = 32 };
enum { QUEUES = 4, RX_MORE = 16 }; /* of a port with several: the rings of all but the first */
enum { LATER = 8 };		   /* first queue of a port beside another one */

struct indices {
	uint32_t producer, consumer, flags;
};

/* Rings of a further queue. */
struct receiver {
	struct indices rx, fill;
	struct xdp_desc rx_desc[RX_MORE];
	uint64_t fill_addr[RX_MORE];
	uint32_t fill_taken;
};

struct rig {
	struct xdp_port port;
	struct receiver more[QUEUES];
	struct provider_handle handle;
	struct fbuf_pool pool, foreign;
	struct fbuf bufs[CHUNKS], foreign_bufs[2];
	uint8_t foreign_memory[2 * CHUNK];
	struct indices rx, tx, fill, completion;
	struct xdp_desc rx_desc[RX], tx_desc[TX];
	uint64_t fill_addr[RX], completion_addr[2 * TX];
	uint32_t fill_taken; /* the kernel's place in FILL */
	uint8_t *memory;
};

static struct rig *r;
static struct steer_shared *shared;

static struct xsk_ring ring(struct indices *i, void *entries, uint32_t size)
{
	return (struct xsk_ring){
		.size = size,
		.producer = &i->producer,
		.consumer = &i->consumer,
		.flags = &i->flags,
		.entries = entries,
	};
}

static int setup_queues(unsigned first, unsigned queues)
{
	uint8_t *memory = malloc((size_t)CHUNKS * CHUNK);

	r = calloc(1, sizeof(*r));
	shared = calloc(1, sizeof(*shared));
	if (!memory || !r || !shared)
		return -1;
	r->memory = memory;
	fbuf_pool_init(&r->pool, CHUNK, HEADROOM);
	fbuf_pool_add(&r->pool, r->bufs, memory, CHUNKS);
	r->pool.low_water = LOW_WATER;
	fbuf_pool_init(&r->foreign, CHUNK, 0);
	fbuf_pool_add(&r->foreign, r->foreign_bufs, r->foreign_memory, 2);
	r->port.base.pool = &r->pool;
	r->port.base.index = 3;
	r->port.base.first_queue = first;
	r->port.base.n_queues = queues;
	r->port.base.caps.max_parts = XSK_MAX_PARTS;
	r->port.base.caps.max_frame = 1518;
	r->port.shared = shared;
	r->port.queue[0].xsk.rx = ring(&r->rx, r->rx_desc, RX);
	r->port.queue[0].xsk.tx = ring(&r->tx, r->tx_desc, TX);
	r->port.queue[0].xsk.fill = ring(&r->fill, r->fill_addr, RX);
	r->port.queue[0].xsk.completion = ring(&r->completion, r->completion_addr, 2 * TX);
	r->port.queue[0].xsk.tx_budget = XSK_TX_BUDGET_DEFAULT;
	for (unsigned i = 1; i < queues; i++) {
		r->port.queue[i].xsk.rx = ring(&r->more[i].rx, r->more[i].rx_desc, RX_MORE);
		r->port.queue[i].xsk.fill = ring(&r->more[i].fill, r->more[i].fill_addr, RX_MORE);
	}
	r->handle.port = &r->port.base;
	for (int i = 0; i < PROVIDER_MAX_FDS; i++)
		r->handle.fd[i] = -1;
	xdp_io_init(&r->port);
	return 0;
}

static int setup(void **state)
{
	return setup_queues(0, 1);
}

static int setup_several(void **state)
{
	return setup_queues(0, QUEUES);
}

static int setup_later_ones(void **state)
{
	return setup_queues(LATER, QUEUES);
}

static int teardown(void **state)
{
	free(r->memory);
	free(r);
	free(shared);
	return 0;
}

/* --- the kernel's side --- */

/* Deliver one part of @len bytes of value @v at the usual place of the next FILL chunk. */
static void deliver(uint32_t len, uint8_t v, bool more)
{
	uint64_t addr;

	assert_int_not_equal(r->fill_taken, r->fill.producer);
	addr = r->fill_addr[r->fill_taken++ % RX] + XSK_RX_HEADROOM;
	r->fill.consumer = r->fill_taken;
	memset(r->memory + addr, v, len);
	r->rx_desc[r->rx.producer++ % RX] =
		(struct xdp_desc){ .addr = addr, .len = len, .options = more ? XDP_PKT_CONTD : 0 };
}

/* The same on a further queue. */
static void deliver_on(unsigned queue, uint32_t len, uint8_t v, bool more)
{
	struct receiver *q = &r->more[queue];
	uint64_t addr;

	assert_int_not_equal(q->fill_taken, q->fill.producer);
	addr = q->fill_addr[q->fill_taken++ % RX_MORE] + XSK_RX_HEADROOM;
	q->fill.consumer = q->fill_taken;
	memset(r->memory + addr, v, len);
	q->rx_desc[q->rx.producer++ % RX_MORE] =
		(struct xdp_desc){ .addr = addr, .len = len, .options = more ? XDP_PKT_CONTD : 0 };
}

/* Send everything queued and complete it, last first. */
static void complete_all(void)
{
	for (uint32_t i = r->tx.producer; i != r->tx.consumer;) {
		i--;
		r->completion_addr[r->completion.producer++ % (2 * TX)] = r->tx_desc[i % TX].addr;
	}
	r->tx.consumer = r->tx.producer;
}

static unsigned receive(struct fbuf **frames, unsigned n)
{
	return xdp_receive(&r->handle, frames, n);
}

static struct fbuf *frame(struct fbuf_pool *pool, uint32_t len)
{
	struct fbuf *f = fbuf_alloc_chain(pool, len);
	static uint8_t bytes[20 * CHUNK];

	assert_non_null(f);
	assert_int_equal(fbuf_append(f, bytes, len), len);
	return f;
}

/* --- reception --- */

static void xdp_io_init__fills_the_fill_ring(void **state)
{
	assert_int_equal(r->fill.producer, RX);
	assert_int_equal(r->pool.n_free, CHUNKS - RX);
	for (unsigned i = 0; i < RX; i++)
		assert_int_equal(r->fill_addr[i] % CHUNK, 0);
}

static void xdp_receive__one_part_is_a_frame(void **state)
{
	struct fbuf *f;

	assert_int_equal(receive(&f, 1), 0);
	deliver(60, 0xab, false);
	assert_int_equal(receive(&f, 1), 1);
	assert_int_equal(f->total, 60);
	assert_int_equal(f->len, 60);
	assert_int_equal(f->data[59], 0xab);
	assert_int_equal(f->port, 3);
	assert_int_equal(f->csum, FBUF_CSUM_UNKNOWN);
	assert_int_equal(f->gso_size, 0);
	assert_null(f->next);
	assert_null(f->link);
	assert_int_equal(r->rx.consumer, 1);
	fbuf_free(f);
}

static void xdp_receive__takes_no_more_than_asked(void **state)
{
	struct fbuf *f[8];

	for (int i = 0; i < 5; i++)
		deliver(60, (uint8_t)i, false);
	assert_int_equal(receive(f, 3), 3);
	assert_int_equal(r->rx.consumer, 3);
	assert_int_equal(receive(f + 3, 5), 2);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(f[i]->data[0], i);
		fbuf_free(f[i]);
	}
}

static void xdp_receive__parts_become_one_frame_even_over_bursts(void **state)
{
	struct fbuf *f[2];

	deliver(3840, 1, true);
	assert_int_equal(receive(f, 2), 0);
	deliver(3840, 2, true);
	assert_int_equal(receive(f, 2), 0);
	deliver(100, 3, false);
	deliver(50, 4, false);
	assert_int_equal(receive(f, 2), 2);
	assert_int_equal(f[0]->total, 2 * 3840 + 100);
	assert_int_equal(f[0]->next->next->len, 100);
	assert_int_equal(f[0]->next->next->data[99], 3);
	assert_null(f[0]->next->next->next);
	assert_int_equal(f[1]->total, 50);
	fbuf_free(f[0]);
	fbuf_free(f[1]);
}

static void xdp_receive__refills_in_batches(void **state)
{
	struct fbuf *f;
	unsigned batch = r->port.queue[0].rx_batch;

	for (unsigned i = 1; i <= batch; i++) {
		deliver(60, 0, false);
		assert_int_equal(receive(&f, 1), 1);
		fbuf_free(f);
		assert_int_equal(r->fill.producer, i < batch ? RX : RX + batch);
	}
}

/* While nothing comes, smaller batches: nobody waits for their time then. */
static void xdp_receive__empty_look_tidies_the_rings(void **state)
{
	uint32_t before = r->pool.n_free;
	struct fbuf *f[XDP_IDLE_BATCH];

	for (int i = 0; i < XDP_IDLE_BATCH; i++) {
		deliver(60, 0, false);
		f[i] = frame(&r->pool, 60);
	}
	assert_int_equal(xdp_transmit(&r->handle, f, XDP_IDLE_BATCH), XDP_IDLE_BATCH);
	complete_all();
	assert_int_equal(receive(f, XDP_IDLE_BATCH), XDP_IDLE_BATCH);
	assert_int_equal(r->fill.producer, RX);
	for (int i = 0; i < XDP_IDLE_BATCH; i++)
		fbuf_free(f[i]);
	assert_int_equal(receive(f, 1), 0);
	assert_int_equal(r->fill.producer, RX + XDP_IDLE_BATCH);
	assert_int_equal(r->pool.n_free, before);
}

/* Hazard 5: what sockets hold takes the pool below its mark, so that they copy out; some stays. */
static void xdp_receive__hoarded_frames_leave_a_reserve(void **state)
{
	uint32_t taken = 0;
	struct fbuf *f;

	while (r->fill_taken != r->fill.producer) {
		deliver(60, 0, false);
		taken += receive(&f, 1);
	}
	assert_int_equal(taken, CHUNKS - LOW_WATER / 4);
	assert_int_equal(r->pool.n_free, LOW_WATER / 4);
	assert_true(r->port.base.stats.rx_no_frame > 0);
	for (uint32_t i = 0; i < RX; i++) /* they come back: reception goes on */
		if (r->bufs[i].data && !r->bufs[i].link)
			fbuf_free(&r->bufs[i]);
	assert_int_equal(receive(&f, 1), 0);
	assert_int_not_equal(r->fill.producer, r->fill_taken);
}

/* D11: an address that is not in the kernel's hands is not followed. */
static void xdp_receive__foreign_addresses_are_thrown_away(void **state)
{
	static const uint64_t bad[] = { (uint64_t)CHUNKS * CHUNK, UINT64_MAX, (uint64_t)(CHUNKS - 1) * CHUNK };
	struct fbuf *f[4];

	for (unsigned i = 0; i < FS_ARRAY_SIZE(bad); i++)
		r->rx_desc[r->rx.producer++ % RX] = (struct xdp_desc){ .addr = bad[i], .len = 60 };
	deliver(60, 9, false);
	assert_int_equal(receive(f, 4), 1);
	assert_int_equal(f[0]->data[0], 9);
	assert_int_equal(r->port.base.stats.rx_bad, 3);
	r->rx_desc[r->rx.producer++ % RX] = r->rx_desc[3]; /* the same chunk twice */
	assert_int_equal(receive(f + 1, 1), 0);
	assert_int_equal(r->port.base.stats.rx_bad, 4);
	fbuf_free(f[0]);
}

static void xdp_receive__length_beyond_the_chunk_spoils_the_frame_only(void **state)
{
	struct fbuf *f[2];
	uint32_t held = r->pool.n_free;

	deliver(100, 1, true);
	deliver(100, 2, true);
	r->rx_desc[1].len = CHUNK;
	deliver(100, 3, true);
	deliver(100, 4, false);
	deliver(60, 5, false);
	assert_int_equal(receive(f, 2), 1);
	assert_int_equal(f[0]->data[0], 5);
	assert_int_equal(r->port.base.stats.rx_bad, 1);
	fbuf_free(f[0]);
	assert_int_equal(r->pool.n_free, held + 5);
}

/* --- transmission --- */

static void xdp_transmit__puts_and_counts(void **state)
{
	struct fbuf *f[2] = { frame(&r->pool, 60), frame(&r->pool, 1000) };

	assert_int_equal(xdp_transmit(&r->handle, f, 2), 2);
	assert_int_equal(r->tx.producer, 2);
	assert_int_equal(r->tx_desc[1].len, 1000);
	assert_int_equal(r->tx_desc[1].addr % CHUNK, HEADROOM);
	assert_int_equal(r->tx_desc[1].options, 0);
	assert_int_equal(r->port.base.stats.tx_frames, 2);
	assert_int_equal(r->port.base.stats.tx_bytes, 1060);
	assert_int_equal(xdp_tx_pending(&r->handle), 2);
}

static void xdp_transmit__completed_frames_return_in_any_order(void **state)
{
	uint32_t before = r->pool.n_free;
	struct fbuf *f[10];

	for (int i = 0; i < 10; i++)
		f[i] = frame(&r->pool, 60);
	assert_int_equal(xdp_transmit(&r->handle, f, 10), 10);
	complete_all();
	xdp_io_reclaim(&r->port);
	assert_int_equal(r->pool.n_free, before);
	assert_int_equal(r->completion.consumer, 10);
	assert_int_equal(r->port.tx_in_flight, 0);
	assert_int_equal(r->port.base.stats.rx_bad, 0);
}

static void xdp_transmit__completion_of_what_was_not_sent_is_ignored(void **state)
{
	uint32_t before = r->pool.n_free;
	struct fbuf *f = frame(&r->pool, 60);
	uint64_t addr;

	assert_int_equal(xdp_transmit(&r->handle, &f, 1), 1);
	addr = r->tx_desc[0].addr;
	r->completion_addr[0] = addr;
	r->completion_addr[1] = addr; /* twice */
	r->completion_addr[2] = (uint64_t)1 << 40;
	r->completion.producer = 3;
	xdp_io_reclaim(&r->port);
	assert_int_equal(r->pool.n_free, before);
	assert_int_equal(r->port.base.stats.rx_bad, 2);
}

static void xdp_transmit__full_ring_refuses_the_rest(void **state)
{
	struct fbuf *f[TX + 3];

	for (int i = 0; i < TX + 3; i++)
		f[i] = frame(&r->pool, 60);
	assert_int_equal(xdp_transmit(&r->handle, f, TX + 3), TX);
	assert_int_equal(r->port.base.stats.tx_full, 3);
	complete_all();
	assert_int_equal(xdp_transmit(&r->handle, f + TX, 3), 3);
	assert_int_equal(r->tx.producer, TX + 3);
}

static void xdp_transmit__chain_is_one_frame_of_many_descriptors(void **state)
{
	struct fbuf *f = frame(&r->pool, 2 * CHUNK);
	uint32_t before;

	assert_int_equal(xdp_transmit(&r->handle, &f, 1), 1);
	assert_int_equal(r->tx.producer, 3);
	assert_int_equal(r->tx_desc[0].options, XDP_PKT_CONTD);
	assert_int_equal(r->tx_desc[1].options, XDP_PKT_CONTD);
	assert_int_equal(r->tx_desc[2].options, 0);
	assert_int_equal(r->tx_desc[0].len + r->tx_desc[1].len + r->tx_desc[2].len, 2 * CHUNK);
	before = r->pool.n_free;
	complete_all();
	xdp_io_reclaim(&r->port);
	assert_int_equal(r->pool.n_free, before + 3);
}

static void xdp_transmit__chain_goes_whole_or_not_at_all(void **state)
{
	struct fbuf *small = NULL, *chain = frame(&r->pool, 2 * CHUNK);

	for (int i = 0; i < TX - 2; i++) {
		small = frame(&r->pool, 60);
		assert_int_equal(xdp_transmit(&r->handle, &small, 1), 1);
	}
	assert_int_equal(xdp_transmit(&r->handle, &chain, 1), 0);
	assert_int_equal(r->tx.producer, TX - 2);
	assert_int_equal(chain->total, 2 * CHUNK);
	fbuf_free(chain);
}

static void xdp_transmit__parts_pulled_empty_are_skipped(void **state)
{
	struct fbuf *f = frame(&r->pool, 2 * CHUNK);
	uint32_t before = r->pool.n_free;

	fbuf_pull(f, CHUNK); /* more than the first part holds */
	assert_int_equal(xdp_transmit(&r->handle, &f, 1), 1);
	assert_int_equal(r->tx.producer, 2);
	assert_int_equal(r->tx_desc[0].len + r->tx_desc[1].len, CHUNK);
	assert_int_equal(r->pool.n_free, before + 1);
}

static void xdp_transmit__what_cannot_be_sent_is_dropped_and_counted(void **state)
{
	uint32_t before = r->pool.n_free;
	struct fbuf *f[3];

	f[0] = fbuf_alloc(&r->pool); /* empty */
	f[1] = frame(&r->pool, XSK_MAX_PARTS * CHUNK); /* one part too many */
	f[2] = frame(&r->pool, 3000); /* no side socket for super-frames */
	f[2]->gso_size = 1000;
	f[2]->csum = FBUF_CSUM_PARTIAL;
	assert_int_equal(xdp_transmit(&r->handle, f, 3), 3);
	assert_int_equal(r->port.base.stats.tx_bad, 3);
	assert_int_equal(r->tx.producer, 0);
	assert_int_equal(r->pool.n_free, before);
}

static void xdp_transmit__frame_of_another_pool_is_copied(void **state)
{
	struct fbuf *f = frame(&r->foreign, 500);

	assert_int_equal(xdp_transmit(&r->handle, &f, 1), 1);
	assert_int_equal(r->foreign.n_free, 2);
	assert_int_equal(r->tx_desc[0].len, 500);
	assert_true(r->tx_desc[0].addr < (uint64_t)CHUNKS * CHUNK);
}

static void xdp_transmit__foreign_frame_waits_for_chunk_and_room(void **state)
{
	struct fbuf *f = frame(&r->foreign, 500), *all, *small;

	all = fbuf_alloc_chain(&r->pool, r->pool.n_free * CHUNK - HEADROOM);
	assert_int_equal(r->pool.n_free, 0);
	assert_int_equal(xdp_transmit(&r->handle, &f, 1), 0);
	fbuf_free(all);
	for (int i = 0; i < TX; i++) {
		small = frame(&r->pool, 60);
		assert_int_equal(xdp_transmit(&r->handle, &small, 1), 1);
	}
	all = NULL;
	assert_int_equal(xdp_transmit(&r->handle, &f, 1), 0);
	assert_int_equal(f->total, 500);
	fbuf_free(f);
}

static void xdp_kick__nothing_queued_is_no_call(void **state)
{
	assert_int_equal(xdp_kick(&r->handle), 0);
	assert_int_equal(r->port.base.stats.kicks, 0);
}

static void xdp_io_check__death_and_return(void **state)
{
	assert_false(xdp_io_check(&r->port, 0));
	assert_true(xdp_io_check(&r->port, -ENETDOWN));
	assert_int_equal(r->port.base.error, -ENETDOWN);
	assert_true(xdp_io_check(&r->port, -EAGAIN)); /* says nothing */
	assert_false(xdp_io_check(&r->port, 0));
	assert_int_equal(r->port.base.error, 0);
	assert_true(xdp_io_check(&r->port, -ENXIO)); /* removed: for good */
	assert_true(xdp_io_check(&r->port, 0));
	assert_true(xdp_io_check(&r->port, -ENETDOWN));
	assert_int_equal(r->port.base.error, -ENODEV);
}

static void xdp_io_reclaim_all__nothing_is_lost_on_close(void **state)
{
	struct fbuf *f = frame(&r->pool, 3 * CHUNK), *got[2];

	assert_int_equal(xdp_transmit(&r->handle, &f, 1), 1);
	f = frame(&r->pool, 60);
	assert_int_equal(xdp_transmit(&r->handle, &f, 1), 1);
	deliver(60, 1, false); /* still in RX */
	deliver(60, 2, false);
	deliver(60, 3, true);
	assert_int_equal(receive(got, 1), 1);
	fbuf_free(got[0]);
	assert_int_equal(receive(got, 2), 1);
	fbuf_free(got[0]);
	assert_non_null(r->port.queue[0].rx_head); /* a frame half received */
	r->port.tx_super = frame(&r->pool, 60); /* of a process that died as it sent it */
	deliver(60, 4, false);
	xdp_io_reclaim_all(&r->port);
	assert_int_equal(r->pool.n_free, CHUNKS);
}

/* Steering asks who takes frames; a look at the empty ring is an answer (hazard 6). */
static void xdp_receive__empty_look_answers_steering(void **state)
{
	struct fbuf *f;

	shared->beat[0].asked_ns = 5000;
	assert_int_equal(receive(&f, 1), 0);
	assert_true(shared->beat[0].taken_ns >= 5000);
}

/* --- several queues --- */

static void xdp_io_init__fills_every_queue(void **state)
{
	for (unsigned i = 1; i < QUEUES; i++)
		assert_int_equal(r->more[i].fill.producer, RX_MORE);
	assert_int_equal(r->pool.n_free, CHUNKS - RX - (QUEUES - 1) * RX_MORE);
}

static void xdp_receive__takes_from_every_queue(void **state)
{
	struct fbuf *f[8];
	unsigned seen = 0;

	deliver(60, 0, false);
	for (unsigned i = 1; i < QUEUES; i++)
		deliver_on(i, 60, (uint8_t)i, false);
	assert_int_equal(receive(f, 8), QUEUES);
	for (unsigned i = 0; i < QUEUES; i++) {
		seen |= 1u << f[i]->data[0];
		fbuf_free(f[i]);
	}
	assert_int_equal(seen, (1u << QUEUES) - 1);
	assert_int_equal(r->port.base.stats.rx_frames, QUEUES);
	assert_int_equal(receive(f, 8), 0);
}

/* A flood on the first queue leaves the others their turn: at most one burst each later. */
static void xdp_receive__flood_on_one_queue_silences_no_other(void **state)
{
	struct fbuf *f[4];
	unsigned bursts = 0;

	for (int i = 0; i < 60; i++)
		deliver(60, 0, false);
	deliver_on(QUEUES - 1, 60, 9, false);
	for (bool found = false; !found; bursts++) {
		assert_true(bursts < QUEUES);
		assert_int_equal(receive(f, 4), 4);
		for (int i = 0; i < 4; i++) {
			found |= f[i]->data[0] == 9;
			fbuf_free(f[i]);
		}
	}
}

/* Parts of frames on different queues are not mixed up. */
static void xdp_receive__assembles_per_queue(void **state)
{
	struct fbuf *f[4];

	deliver(3840, 1, true);
	deliver_on(2, 3840, 2, true);
	assert_int_equal(receive(f, 4), 0);
	deliver_on(2, 50, 2, false);
	deliver(40, 1, false);
	assert_int_equal(receive(f, 4), 2);
	for (int i = 0; i < 2; i++) {
		uint8_t v = f[i]->data[0];

		assert_int_equal(f[i]->total, 3840 + (v == 2 ? 50 : 40));
		assert_int_equal(f[i]->next->data[0], v);
		fbuf_free(f[i]);
	}
}

static void xdp_receive__refills_the_queue_it_took_from(void **state)
{
	unsigned batch = r->port.queue[3].rx_batch;
	struct fbuf *f;

	for (unsigned i = 0; i < batch; i++) {
		deliver_on(3, 60, 0, false);
		assert_int_equal(receive(&f, 1), 1);
		fbuf_free(f);
	}
	assert_int_equal(r->more[3].fill.producer, RX_MORE + batch);
	assert_int_equal(r->more[2].fill.producer, RX_MORE);
	assert_int_equal(r->fill.producer, RX);
}

static void xdp_receive__empty_look_answers_steering_on_every_queue(void **state)
{
	struct fbuf *f;

	for (unsigned i = 0; i < QUEUES; i++)
		shared->beat[i].asked_ns = 5000;
	assert_int_equal(receive(&f, 1), 0);
	for (unsigned i = 0; i < QUEUES; i++)
		assert_true(shared->beat[i].taken_ns >= 5000);
}

static void xdp_receive__empty_look_answers_for_no_other_queue(void **state)
{
	struct fbuf *f;

	for (unsigned i = 0; i < STEER_MAX_QUEUES; i++)
		shared->beat[i].asked_ns = 5000;
	assert_int_equal(receive(&f, 1), 0);
	for (unsigned i = 0; i < STEER_MAX_QUEUES; i++)
		assert_int_equal(shared->beat[i].taken_ns != 0, i >= LATER && i < LATER + QUEUES);
}

static void xdp_transmit__frames_of_every_queue_leave_by_the_first(void **state)
{
	struct fbuf *f[2];

	deliver_on(1, 60, 1, false);
	deliver_on(2, 60, 2, false);
	assert_int_equal(receive(f, 2), 2);
	assert_int_equal(xdp_transmit(&r->handle, f, 2), 2);
	assert_int_equal(r->tx.producer, 2);
	complete_all();
	xdp_io_reclaim(&r->port);
	assert_int_equal(r->port.tx_in_flight, 0);
	assert_int_equal(r->port.base.stats.rx_bad, 0);
}

static void xdp_arm__sees_work_on_any_queue(void **state)
{
	assert_false(xdp_arm(&r->handle));
	deliver_on(3, 60, 1, false);
	assert_true(xdp_arm(&r->handle));
}

static void xdp_io_reclaim_all__nothing_is_lost_on_any_queue(void **state)
{
	struct fbuf *f;

	deliver_on(1, 3840, 1, true);
	assert_int_equal(receive(&f, 1), 0);
	assert_non_null(r->port.queue[1].rx_head);
	deliver_on(2, 60, 1, false);
	xdp_io_reclaim_all(&r->port);
	assert_int_equal(r->pool.n_free, CHUNKS);
}

/* --- the depth of FILL --- */

/* @n bursts of @frames frames of two parts, read and given back. */
static void stream(unsigned n, unsigned frames)
{
	struct fbuf *f[RX / 2];

	while (n-- > 0) {
		for (unsigned i = 0; i < frames; i++) {
			deliver(3840, 1, true);
			deliver(50, 2, false);
		}
		assert_int_equal(receive(f, frames), frames);
		for (unsigned i = 0; i < frames; i++)
			fbuf_free(f[i]);
	}
}

static uint32_t depth(void)
{
	return r->fill.producer - r->fill_taken;
}

static void xdp_receive__super_frames_make_fill_shallow(void **state)
{
	stream(XDP_CALM_MIN * RX / 2, 1);
	stream(RX, 1);
	assert_in_range(depth(), 1, RX / 2);
	stream(XDP_CALM_MIN * RX, 1);
	assert_in_range(depth(), RX / 4 - r->port.queue[0].rx_batch, RX / 4);
	stream(XDP_CALM_MIN * RX, 1);
	assert_in_range(depth(), RX / 4 - r->port.queue[0].rx_batch, RX / 4);
}

static void xdp_receive__other_frames_have_the_whole_of_fill(void **state)
{
	struct fbuf *f;

	stream(XDP_CALM_MIN * RX * 2, 1);
	assert_in_range(depth(), 1, RX / 4);
	for (unsigned i = 0; i < 2 * XDP_CALM_MIN * RX; i++) {
		deliver(60, 0, false);
		assert_int_equal(receive(&f, 1), 1);
		fbuf_free(f);
	}
	assert_in_range(depth(), RX - r->port.queue[0].rx_batch, RX);
}

/* And is not taken for one that comes often so soon again. */
static void xdp_receive__reader_that_was_away_has_the_whole_of_fill(void **state)
{
	stream(XDP_CALM_MIN * RX * 2, 1);
	assert_in_range(depth(), 1, RX / 4);
	stream(1, RX / 8 - 1);
	stream(RX / 8, 1);
	assert_in_range(depth(), RX - r->port.queue[0].rx_batch, RX);
	stream(XDP_CALM_MIN * RX / 2 + RX / 2, 1);
	assert_in_range(depth(), RX - r->port.queue[0].rx_batch, RX);
	stream(XDP_CALM_MIN * RX * 2, 1);
	assert_in_range(depth(), 1, RX / 2);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define SEVERAL(name) cmocka_unit_test_setup_teardown(name, setup_several, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(xdp_io_init__fills_the_fill_ring),
		CASE(xdp_receive__one_part_is_a_frame),
		CASE(xdp_receive__takes_no_more_than_asked),
		CASE(xdp_receive__parts_become_one_frame_even_over_bursts),
		CASE(xdp_receive__refills_in_batches),
		CASE(xdp_receive__empty_look_tidies_the_rings),
		CASE(xdp_receive__hoarded_frames_leave_a_reserve),
		CASE(xdp_receive__foreign_addresses_are_thrown_away),
		CASE(xdp_receive__length_beyond_the_chunk_spoils_the_frame_only),
		CASE(xdp_receive__empty_look_answers_steering),
		CASE(xdp_receive__super_frames_make_fill_shallow),
		CASE(xdp_receive__other_frames_have_the_whole_of_fill),
		CASE(xdp_receive__reader_that_was_away_has_the_whole_of_fill),
		CASE(xdp_transmit__puts_and_counts),
		CASE(xdp_transmit__completed_frames_return_in_any_order),
		CASE(xdp_transmit__completion_of_what_was_not_sent_is_ignored),
		CASE(xdp_transmit__full_ring_refuses_the_rest),
		CASE(xdp_transmit__chain_is_one_frame_of_many_descriptors),
		CASE(xdp_transmit__chain_goes_whole_or_not_at_all),
		CASE(xdp_transmit__parts_pulled_empty_are_skipped),
		CASE(xdp_transmit__what_cannot_be_sent_is_dropped_and_counted),
		CASE(xdp_transmit__frame_of_another_pool_is_copied),
		CASE(xdp_transmit__foreign_frame_waits_for_chunk_and_room),
		CASE(xdp_kick__nothing_queued_is_no_call),
		CASE(xdp_io_check__death_and_return),
		CASE(xdp_io_reclaim_all__nothing_is_lost_on_close),
		SEVERAL(xdp_io_init__fills_every_queue),
		SEVERAL(xdp_receive__takes_from_every_queue),
		SEVERAL(xdp_receive__flood_on_one_queue_silences_no_other),
		SEVERAL(xdp_receive__assembles_per_queue),
		SEVERAL(xdp_receive__refills_the_queue_it_took_from),
		SEVERAL(xdp_receive__empty_look_answers_steering_on_every_queue),
		cmocka_unit_test_setup_teardown(xdp_receive__empty_look_answers_for_no_other_queue,
						setup_later_ones, teardown),
		SEVERAL(xdp_transmit__frames_of_every_queue_leave_by_the_first),
		SEVERAL(xdp_arm__sees_work_on_any_queue),
		SEVERAL(xdp_io_reclaim_all__nothing_is_lost_on_any_queue),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
