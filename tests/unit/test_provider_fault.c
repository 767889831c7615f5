/* SPDX-License-Identifier: BSD-2-Clause */
/* The lossy link in memory: what arrives, when, and how often; repeatable from its seed. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "provider/fault/fault.h"

enum { CHUNKS = 4096, CHUNK = 256, MTU = 1500, LEN = 100, MANY = 20000 };

struct end {
	struct provider_handle handle;
	struct provider_port *port;
	struct fbuf_pool pool;
	struct fbuf *bufs;
	uint8_t *memory;
};

static struct fault_link link_;
static struct end end[2];

static void open_end(unsigned e)
{
	char option[FAULT_OPTION_LEN], why[PROVIDER_WHY_LEN] = "";
	struct provider_open_args args = {
		.mtu = MTU, .index = (uint8_t)(5 + e), .pool = &end[e].pool, .option = option, .why = why
	};

	fbuf_pool_init(&end[e].pool, CHUNK, 0);
	fbuf_pool_add(&end[e].pool, end[e].bufs, end[e].memory, CHUNKS);
	memset(end[e].port, 0, provider_fault.port_size);
	fault_option(&link_, e, option);
	assert_int_equal(provider_fault.open(&end[e].handle, end[e].port, &args), 0);
}

static void start(const struct fault_config *config, uint64_t seed)
{
	fault_link_init(&link_, config, seed);
	open_end(0);
	open_end(1);
}

static int setup(void **state)
{
	for (int e = 0; e < 2; e++) {
		end[e].bufs = malloc(CHUNKS * sizeof(struct fbuf));
		end[e].memory = malloc(CHUNKS * CHUNK);
		end[e].port = malloc(provider_fault.port_size);
	}
	return 0;
}

static int teardown(void **state)
{
	for (int e = 0; e < 2; e++) {
		free(end[e].bufs);
		free(end[e].memory);
		free(end[e].port);
	}
	return 0;
}

/* A frame that starts with @number. */
static struct fbuf *frame(unsigned e, uint32_t number, uint32_t len)
{
	struct fbuf *f = fbuf_alloc_chain(&end[e].pool, len);
	uint8_t bytes[CHUNK * 8] = { 0 };

	assert_non_null(f);
	memcpy(bytes, &number, sizeof(number));
	assert_int_equal(fbuf_append(f, bytes, len), len);
	return f;
}

static void send_number(unsigned e, uint32_t number)
{
	struct fbuf *f = frame(e, number, LEN);

	assert_int_equal(end[e].handle.ops->transmit(&end[e].handle, &f, 1), 1);
	assert_int_equal(end[e].handle.ops->kick(&end[e].handle), 0);
}

/* Number of the next frame at end @e, -1 = none now. */
static int64_t take(unsigned e)
{
	struct fbuf *f;
	uint32_t number;

	if (end[e].handle.ops->receive(&end[e].handle, &f, 1) == 0)
		return -1;
	assert_int_equal(fbuf_copy_out(f, 0, &number, sizeof(number)), sizeof(number));
	fbuf_free(f);
	return number;
}

/* Send MANY frames 1 us apart and count what comes out. */
static uint32_t many(uint64_t *sum_of_numbers)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < MANY; i++) {
		int64_t number;

		fault_link_advance(&link_, link_.now + FS_US(1));
		send_number(0, i);
		while ((number = take(1)) >= 0) {
			n++;
			*sum_of_numbers = *sum_of_numbers * 31 + (uint64_t)number;
		}
	}
	fault_link_advance(&link_, link_.now + FS_SEC(1));
	while (take(1) >= 0)
		n++;
	return n;
}

static void close_both(void)
{
	for (int e = 0; e < 2; e++)
		end[e].handle.ops->close(&end[e].handle);
	for (int e = 0; e < 2; e++)
		assert_int_equal(end[e].pool.n_free, CHUNKS);
}

static void fault_open__refuses_anything_but_its_option(void **state)
{
	static const char *const bad[] = { "", "link=", "link=0,0", "link=00000000000000zz,0",
					   "link=0000000000000000,0" };
	char why[PROVIDER_WHY_LEN] = "";
	char option[FAULT_OPTION_LEN];
	struct provider_open_args args = { .why = why };

	for (unsigned i = 0; i < FS_ARRAY_SIZE(bad); i++) {
		args.option = bad[i];
		assert_int_equal(provider_fault.probe(&args, NULL), -EOPNOTSUPP);
		assert_true(strlen(why) > 0);
	}
	fault_link_init(&link_, &(struct fault_config){ 0 }, 1);
	fault_option(&link_, 1, option);
	args.option = option;
	assert_int_equal(provider_fault.probe(&args, NULL), 0);
	option[strlen(option) - 1] = '2';
	assert_int_equal(provider_fault.probe(&args, NULL), -EOPNOTSUPP);
}

static void fault_receive__perfect_wire_keeps_bytes_and_metadata(void **state)
{
	struct fbuf *f, *got[2];
	uint8_t a[1400], b[1400];

	start(&(struct fault_config){ 0 }, 1);
	for (unsigned i = 0; i < sizeof(a); i++)
		a[i] = (uint8_t)(i * 13);
	f = fbuf_alloc_chain(&end[0].pool, sizeof(a));
	fbuf_append(f, a, sizeof(a));
	f->vlan = 7;
	assert_int_equal(end[0].handle.ops->transmit(&end[0].handle, &f, 1), 1);
	assert_int_equal(end[1].handle.ops->receive(&end[1].handle, got, 2), 0); /* not kicked yet */
	assert_int_equal(end[0].handle.ops->tx_pending(&end[0].handle), 1);
	assert_int_equal(end[0].handle.ops->kick(&end[0].handle), 0);
	assert_int_equal(end[0].handle.ops->tx_pending(&end[0].handle), 0);
	assert_true(end[1].handle.ops->arm(&end[1].handle));
	assert_int_equal(end[1].handle.ops->receive(&end[1].handle, got, 2), 1);
	assert_false(end[1].handle.ops->arm(&end[1].handle));
	assert_int_equal(got[0]->total, sizeof(a));
	assert_int_equal(got[0]->port, 6);
	assert_int_equal(got[0]->vlan, 7);
	assert_int_equal(got[0]->stamp, 0);
	assert_int_equal(got[0]->csum, FBUF_CSUM_UNKNOWN);
	assert_ptr_equal(got[0]->pool, &end[1].pool);
	fbuf_copy_out(got[0], 0, b, sizeof(b));
	assert_memory_equal(a, b, sizeof(a));
	fbuf_free(got[0]);
	close_both();
}

static void fault_receive__super_frame_arrives_whole(void **state)
{
	static const uint8_t head[] = { 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, /* 1986 bytes of TCP over IPv4 */
					0x45, 0, 0x07, 0xc2, 0, 0, 0x40, 0, 64, 6, 0x1f, 0x34, 10, 0, 0, 1, 10, 0, 0, 2,
					0, 1, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x10, 1, 0, 0, 0, 0, 0 };
	struct fbuf *f, *got;

	start(&(struct fault_config){ 0 }, 1);
	f = frame(0, 1, 2000);
	f->gso_size = 500;
	f->csum = FBUF_CSUM_PARTIAL;
	assert_int_equal(end[0].handle.ops->transmit(&end[0].handle, &f, 1), 1);
	end[0].handle.ops->kick(&end[0].handle);
	assert_int_equal(end[1].handle.ops->receive(&end[1].handle, &got, 1), 1);
	assert_int_equal(got->gso_size, 500);
	assert_int_equal(got->csum, FBUF_CSUM_PARTIAL);
	fbuf_free(got);
	/* Also by a wire that completes sums: there is none over many segments. */
	link_.to[1].config.complete = true;
	f = frame(0, 1, 2000);
	memcpy(f->data, head, sizeof(head));
	f->gso_size = 500;
	f->csum = FBUF_CSUM_PARTIAL;
	assert_int_equal(end[0].handle.ops->transmit(&end[0].handle, &f, 1), 1);
	end[0].handle.ops->kick(&end[0].handle);
	assert_int_equal(end[1].handle.ops->receive(&end[1].handle, &got, 1), 1);
	assert_int_equal(got->csum, FBUF_CSUM_PARTIAL);
	fbuf_free(got);
	close_both();
}

static void fault_transmit__throws_away_what_no_wire_carries(void **state)
{
	struct fbuf *f[3];

	start(&(struct fault_config){ 0 }, 1);
	f[0] = frame(0, 1, MTU + 19);
	f[1] = fbuf_alloc(&end[0].pool); /* empty */
	f[2] = frame(0, 1, 1000);
	f[2]->gso_size = 100; /* without a partial checksum */
	assert_int_equal(end[0].handle.ops->transmit(&end[0].handle, f, 3), 3);
	assert_int_equal(end[0].port->stats.tx_bad, 3);
	assert_int_equal(end[0].handle.ops->tx_pending(&end[0].handle), 0);
	close_both();
}

static void fault_link__delay_is_exact(void **state)
{
	start(&(struct fault_config){ .delay = FS_MS(5) }, 1);
	assert_true(fault_link_next(&link_) == FS_NEVER);
	fault_link_advance(&link_, FS_MS(1));
	send_number(0, 1);
	assert_true(fault_link_next(&link_) == FS_MS(6));
	fault_link_advance(&link_, FS_MS(6) - 1);
	assert_int_equal(take(1), -1);
	fault_link_advance(&link_, FS_MS(6));
	assert_int_equal(take(1), 1);
	assert_int_equal(take(0), -1); /* the other direction saw nothing */
	close_both();
}

static void fault_link__jitter_keeps_order(void **state)
{
	int64_t last = -1, number;

	start(&(struct fault_config){ .delay = FS_US(10), .jitter = FS_US(50) }, 3);
	for (uint32_t i = 0; i < 1000; i++) {
		fault_link_advance(&link_, FS_US(i));
		send_number(0, i);
		while ((number = take(1)) >= 0) {
			assert_int_equal(number, last + 1);
			last = number;
		}
	}
	close_both();
}

static void fault_link__rate_spaces_frames(void **state)
{
	/* 100 bytes at 8 Mbit/s take 100 us. */
	start(&(struct fault_config){ .rate_bps = 8000000 }, 1);
	for (uint32_t i = 0; i < 3; i++)
		send_number(0, i);
	for (uint32_t i = 0; i < 3; i++) {
		fault_link_advance(&link_, FS_US(100) * (i + 1) - 1);
		assert_int_equal(take(1), -1);
		fault_link_advance(&link_, FS_US(100) * (i + 1));
		assert_int_equal(take(1), i);
	}
	close_both();
}

static void fault_link__full_queue_drops_the_last(void **state)
{
	start(&(struct fault_config){ .rate_bps = 8000000, .queue_bytes = 350 }, 1);
	for (uint32_t i = 0; i < 6; i++)
		send_number(0, i);
	assert_int_equal(link_.to[1].counts.overflowed, 3);
	fault_link_advance(&link_, FS_SEC(1));
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(take(1), i);
	assert_int_equal(take(1), -1);
	close_both();
}

static void fault_link__loss_has_its_rate(void **state)
{
	uint64_t sum = 0;
	uint32_t n;

	start(&(struct fault_config){ .loss = 100000 }, 42);
	n = many(&sum);
	assert_in_range(n, MANY * 89 / 100, MANY * 91 / 100);
	assert_int_equal(link_.to[1].counts.lost, MANY - n);
	close_both();
}

/* Gilbert-Elliott: bad a third of the time (1 % in, 2 % out), every second frame lost there. */
static void fault_link__bursts_have_rate_and_length(void **state)
{
	uint32_t lost = 0, adjacent = 0;
	bool former = false;

	start(&(struct fault_config){ .bad_enter = 10000, .bad_leave = 20000, .bad_loss = 500000 }, 7);
	for (uint32_t i = 0; i < MANY; i++) {
		bool here;

		send_number(0, i);
		here = take(1) < 0;
		lost += here;
		adjacent += here && former;
		former = here;
	}
	assert_in_range(lost, MANY * 12 / 100, MANY * 22 / 100);
	/* Independent losses at that rate would be adjacent for one in six; bursts for nearly half. */
	assert_true(adjacent * 100 > lost * 40);
	close_both();
}

static void fault_link__doubles_follow_their_original(void **state)
{
	uint32_t n = 0, doubled = 0;
	int64_t last = -1, number;

	start(&(struct fault_config){ .duplicate = 200000 }, 9);
	for (uint32_t i = 0; i < 1000; i++) {
		send_number(0, i);
		while ((number = take(1)) >= 0) {
			doubled += number == last;
			last = number;
			n++;
		}
	}
	assert_int_equal(n, 1000 + doubled);
	assert_int_equal(link_.to[1].counts.doubled, doubled);
	assert_in_range(doubled, 150, 250);
	close_both();
}

static void fault_link__corruption_is_one_bit(void **state)
{
	start(&(struct fault_config){ .corrupt = FAULT_MILLION }, 11);
	for (int i = 0; i < 200; i++) {
		uint8_t bytes[700];
		struct fbuf *f = frame(0, 0, sizeof(bytes)), *got;
		unsigned bits = 0;

		assert_int_equal(end[0].handle.ops->transmit(&end[0].handle, &f, 1), 1);
		end[0].handle.ops->kick(&end[0].handle);
		assert_int_equal(end[1].handle.ops->receive(&end[1].handle, &got, 1), 1);
		fbuf_copy_out(got, 0, bytes, sizeof(bytes));
		fbuf_free(got);
		for (unsigned k = 0; k < sizeof(bytes); k++)
			bits += (unsigned)__builtin_popcount(bytes[k]);
		assert_int_equal(bits, 1);
	}
	close_both();
}

static void fault_link__reordered_frames_are_overtaken(void **state)
{
	uint32_t late = 0;
	int64_t highest = -1, number;

	start(&(struct fault_config){ .delay = FS_US(10), .reorder = 50000, .reorder_by = FS_US(5) }, 13);
	for (uint32_t i = 0; i < 2020; i++) {
		fault_link_advance(&link_, FS_US(i));
		if (i < 2000)
			send_number(0, i);
		while ((number = take(1)) >= 0) {
			late += number < highest;
			highest = FS_MAX(number, highest);
		}
	}
	assert_int_equal(highest, 1999);
	assert_in_range(late, 60, 140);
	assert_in_range(link_.to[1].counts.reordered, late, late + 3); /* the last may find nobody behind */
	close_both();
}

static void fault_link__same_seed_same_run(void **state)
{
	const struct fault_config config = { .delay = FS_US(20), .jitter = FS_US(10), .loss = 50000,
					     .duplicate = 20000, .reorder = 30000,
					     .reorder_by = FS_US(7) };
	uint64_t sum[3] = { 0 };
	uint32_t n[3];

	for (int i = 0; i < 3; i++) {
		start(&config, i == 2 ? 6 : 5);
		n[i] = many(&sum[i]);
		close_both();
	}
	assert_int_equal(n[0], n[1]);
	assert_true(sum[0] == sum[1]);
	assert_true(sum[0] != sum[2]);
}

static void fault_link__counts_add_up(void **state)
{
	const struct fault_counts *c = &link_.to[1].counts;
	uint64_t sum = 0;
	uint32_t n;

	start(&(struct fault_config){ .rate_bps = 900000000, .queue_bytes = 3000, .loss = 10000,
				      .duplicate = 10000, .corrupt = 10000, .jitter = 100 }, 17);
	n = many(&sum);
	assert_int_equal(c->sent, MANY);
	assert_int_equal(c->delivered, n);
	assert_int_equal(c->sent, c->lost + c->overflowed + c->refused + c->delivered - c->doubled);
	assert_true(c->lost > 0 && c->doubled > 0 && c->corrupted > 0);
	close_both();
}

static void fault_link__mask_loses_by_count(void **state)
{
	uint32_t n = 0;

	start(&(struct fault_config){ .loss_mask = 0x8000000000000005 }, 1);
	for (uint32_t i = 0; i < 128; i++) {
		send_number(0, i);
		if (take(1) < 0) {
			assert_true(i % 64 == 0 || i % 64 == 2 || i % 64 == 63);
			n++;
		}
	}
	assert_int_equal(n, 6);
	close_both();
}

static void fault_link__schedule_of_outages(void **state)
{
	start(&(struct fault_config){ .down_from = FS_MS(10), .down_for = FS_MS(2), .down_every = FS_MS(5) }, 1);
	for (uint32_t ms = 0; ms < 30; ms++) {
		bool down = ms >= 10 && (ms - 10) % 5 < 2;

		fault_link_advance(&link_, FS_MS(ms));
		assert_int_equal(fault_link_is_down(&link_, 1), down);
		send_number(0, ms);
		assert_int_equal(take(1), down ? -1 : (int)ms);
	}
	close_both();
}

static void fault_link__line_shared_by_two(void **state)
{
	struct fault_line line = { 0 };

	/* Both directions through one line: the second frame waits for the first of the other. */
	start(&(struct fault_config){ .rate_bps = 8000000, .queue_bytes = 250 }, 1);
	link_.to[0].line = link_.to[1].line = &line;
	send_number(0, 1);
	send_number(1, 2);
	send_number(0, 3); /* finds 200 bytes waiting */
	assert_int_equal(link_.to[1].counts.overflowed, 1);
	fault_link_advance(&link_, FS_US(100));
	assert_int_equal(take(1), 1);
	assert_int_equal(take(0), -1);
	fault_link_advance(&link_, FS_US(200));
	assert_int_equal(take(0), 2);
	close_both();
}

static void fault_link__wire_with_memory_of_its_own(void **state)
{
	static struct fbuf bufs[4];
	static uint8_t memory[4 * CHUNK];
	struct fbuf_pool wire;
	struct fbuf *f;

	fbuf_pool_init(&wire, CHUNK, FAULT_WIRE_HEADROOM);
	fbuf_pool_add(&wire, bufs, memory, 4);
	start(&(struct fault_config){ .delay = FS_MS(50) }, 1);
	link_.wire = &wire;
	link_.hold = FS_MS(1);
	f = frame(0, 77, LEN);
	fbuf_hold(f);
	end[0].handle.ops->transmit(&end[0].handle, &f, 1);
	end[0].handle.ops->kick(&end[0].handle);
	assert_int_equal(wire.n_free, 3);
	assert_true(fbuf_is_shared(f)); /* the device is not done with it */
	fault_link_advance(&link_, FS_MS(1));
	assert_int_equal(take(0), -1);
	assert_false(fbuf_is_shared(f));
	assert_int_equal(end[0].handle.ops->tx_pending(&end[0].handle), 0);
	for (uint32_t i = 0; i < 4; i++)
		send_number(0, i);
	assert_int_equal(link_.to[1].counts.no_chunk, 1);
	fault_link_advance(&link_, FS_MS(51));
	assert_int_equal(take(1), 77);
	fbuf_free(f);
	close_both();
	assert_int_equal(wire.n_free, 4);
}

static void fault_link__jitter_has_shapes(void **state)
{
	static const struct { uint8_t shape; fs_ns mean_from, mean_to, max_from, max_to; } cases[] = {
		{ FAULT_JITTER_EVEN, 47, 53, 95, 100 },
		{ FAULT_JITTER_BELL, 47, 53, 80, 100 },
		{ FAULT_JITTER_TAIL, 130, 350, 1000, 6400 },
	};

	for (unsigned k = 0; k < FS_ARRAY_SIZE(cases); k++) {
		fs_ns sum = 0, most = 0;

		start(&(struct fault_config){ .jitter = 100, .jitter_shape = cases[k].shape }, 5);
		for (uint32_t i = 0; i < 2000; i++) {
			fs_ns late;

			fault_link_advance(&link_, (fs_ns)i * 100000);
			send_number(0, i);
			late = fault_link_next(&link_) - link_.now;
			fault_link_advance(&link_, link_.now + late);
			assert_int_equal(take(1), i);
			sum += late;
			most = FS_MAX(most, late);
		}
		assert_in_range(sum / 2000, cases[k].mean_from, cases[k].mean_to);
		assert_in_range(most, cases[k].max_from, cases[k].max_to);
		close_both();
	}
}

/* A segment from @seq on with @len bytes and @flags, checksums left out: nobody here looks at them but IP's. */
static struct fbuf *segment(uint32_t seq, uint16_t len, uint8_t flags)
{
	uint8_t b[54] = { [12] = 8, [14] = 0x45, [22] = 64, [23] = 6, [26] = 10, [30] = 10, [35] = 1, [37] = 2,
			  [46] = 0x50, [47] = flags };
	uint8_t payload[256] = { 0 };
	struct fbuf *f = fbuf_alloc_chain(&end[0].pool, sizeof(b) + len);
	uint32_t sum = 0;

	b[16] = (uint8_t)((len + 40) >> 8);
	b[17] = (uint8_t)(len + 40);
	for (int i = 14; i < 34; i += 2)
		sum += (uint32_t)(b[i] << 8 | b[i + 1]);
	sum = ~((sum & 0xffff) + (sum >> 16));
	b[24] = (uint8_t)(sum >> 8);
	b[25] = (uint8_t)sum;
	for (int i = 0; i < 4; i++)
		b[38 + i] = (uint8_t)(seq >> (24 - 8 * i));
	fbuf_append(f, b, sizeof(b));
	fbuf_append(f, payload, len);
	return f;
}

static bool arrives(struct fbuf *f)
{
	end[0].handle.ops->transmit(&end[0].handle, &f, 1);
	end[0].handle.ops->kick(&end[0].handle);
	if (end[1].handle.ops->receive(&end[1].handle, &f, 1) == 0)
		return false;
	fbuf_free(f);
	return true;
}

static void fault_link__picks_segments_by_kind(void **state)
{
	enum { FIN = 1, SYN = 2, ACK = 16 };

	start(&(struct fault_config){ .picks = { { FAULT_KIND_SYN, 2, 1 },
						 { FAULT_KIND_FIN, 1, 2 },
						 { FAULT_KIND_DATA | FAULT_KIND_AGAIN, 1, 1 } } }, 1);
	assert_true(arrives(segment(0, 0, SYN)));
	assert_false(arrives(segment(0, 0, SYN)));
	assert_true(arrives(segment(0, 0, SYN)));
	assert_true(arrives(segment(1, 100, ACK)));
	assert_false(arrives(segment(1, 100, ACK)));
	assert_true(arrives(segment(1, 100, ACK)));
	assert_false(arrives(segment(101, 0, FIN | ACK)));
	assert_false(arrives(segment(101, 0, FIN | ACK)));
	assert_true(arrives(segment(101, 0, FIN | ACK)));
	assert_true(arrives(segment(102, 0, ACK)));
	assert_int_equal(link_.to[1].counts.lost, 4);
	close_both();
}

static void fault_link__refuses_what_is_too_long(void **state)
{
	struct fbuf *f;

	start(&(struct fault_config){ .mtu = 140 }, 1);
	assert_true(arrives(segment(0, 100, 16)));
	assert_false(arrives(segment(0, 101, 16)));
	f = fault_link_refused(&link_, 1);
	assert_non_null(f);
	assert_int_equal(f->total, 14 + 40 + 101);
	fbuf_free(f);
	for (uint32_t i = 0; i < FAULT_REFUSED_MAX + 5; i++)
		assert_false(arrives(segment(i, 200, 16)));
	assert_int_equal(link_.to[1].refused.frames, FAULT_REFUSED_MAX);
	assert_int_equal(link_.to[1].counts.too_long, FAULT_REFUSED_MAX + 6);
	close_both();
}

static void fault_receive__empty_pool_refuses(void **state)
{
	struct fbuf *all;

	start(&(struct fault_config){ 0 }, 1);
	all = fbuf_alloc_chain(&end[1].pool, CHUNKS * CHUNK);
	send_number(0, 1);
	assert_int_equal(take(1), -1);
	assert_int_equal(link_.to[1].counts.refused, 1);
	assert_int_equal(end[1].port->stats.rx_no_frame, 1);
	fbuf_free(all);
	close_both();
}

static void fault_port__fails_on_demand(void **state)
{
	struct provider_handle *h = &end[0].handle;
	struct fbuf *f[4];

	start(&(struct fault_config){ 0 }, 1);
	for (int i = 0; i < 4; i++)
		f[i] = frame(0, (uint32_t)i, LEN);
	fault_port_slots(h, 2);
	assert_int_equal(h->ops->transmit(h, f, 4), 2);
	assert_int_equal(end[0].port->stats.tx_full, 2);
	fault_port_busy(h, 1);
	assert_int_equal(h->ops->kick(h), -EAGAIN);
	fault_port_down(h, true);
	assert_int_equal(h->ops->kick(h), -ENETDOWN);
	assert_int_equal(end[0].port->error, -ENETDOWN);
	fault_port_down(h, false);
	assert_int_equal(h->ops->kick(h), 0);
	assert_int_equal(end[0].port->error, 0);
	fault_port_down(&end[1].handle, true);
	assert_int_equal(take(1), -1);
	fault_port_down(&end[1].handle, false);
	assert_int_equal(take(1), 0);
	fbuf_free(f[2]);
	fbuf_free(f[3]);
	close_both();
}

/* A device says what was sent when it is asked to send, not only when something new was. */
static void fault_kick__gives_back_what_was_sent(void **state)
{
	static struct fbuf_pool wire;
	struct fbuf *bufs = malloc(CHUNKS * sizeof(*bufs)), *f;
	uint8_t *memory = malloc((size_t)CHUNKS * CHUNK);
	struct provider_handle *h = &end[0].handle;

	start(&(struct fault_config){ 0 }, 1);
	fbuf_pool_init(&wire, CHUNK, 0);
	fbuf_pool_add(&wire, bufs, memory, CHUNKS);
	link_.wire = &wire;
	link_.hold = 1000;
	f = frame(0, 1, LEN);
	assert_int_equal(h->ops->transmit(h, &f, 1), 1);
	assert_int_equal(h->ops->kick(h), 0);
	assert_int_equal(end[0].pool.n_free, CHUNKS - 1);
	fault_link_advance(&link_, link_.now + 1000);
	assert_int_equal(h->ops->kick(h), 0);
	assert_int_equal(end[0].pool.n_free, CHUNKS);
	assert_int_equal(take(1), 1);
	close_both();
	free(bufs);
	free(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fault_open__refuses_anything_but_its_option),
		cmocka_unit_test(fault_receive__perfect_wire_keeps_bytes_and_metadata),
		cmocka_unit_test(fault_receive__super_frame_arrives_whole),
		cmocka_unit_test(fault_transmit__throws_away_what_no_wire_carries),
		cmocka_unit_test(fault_link__delay_is_exact),
		cmocka_unit_test(fault_link__jitter_keeps_order),
		cmocka_unit_test(fault_link__rate_spaces_frames),
		cmocka_unit_test(fault_link__full_queue_drops_the_last),
		cmocka_unit_test(fault_link__loss_has_its_rate),
		cmocka_unit_test(fault_link__bursts_have_rate_and_length),
		cmocka_unit_test(fault_link__doubles_follow_their_original),
		cmocka_unit_test(fault_link__corruption_is_one_bit),
		cmocka_unit_test(fault_link__reordered_frames_are_overtaken),
		cmocka_unit_test(fault_link__same_seed_same_run),
		cmocka_unit_test(fault_link__counts_add_up),
		cmocka_unit_test(fault_link__mask_loses_by_count),
		cmocka_unit_test(fault_link__schedule_of_outages),
		cmocka_unit_test(fault_link__line_shared_by_two),
		cmocka_unit_test(fault_link__wire_with_memory_of_its_own),
		cmocka_unit_test(fault_link__jitter_has_shapes),
		cmocka_unit_test(fault_link__picks_segments_by_kind),
		cmocka_unit_test(fault_link__refuses_what_is_too_long),
		cmocka_unit_test(fault_receive__empty_pool_refuses),
		cmocka_unit_test(fault_port__fails_on_demand),
		cmocka_unit_test(fault_kick__gives_back_what_was_sent),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
