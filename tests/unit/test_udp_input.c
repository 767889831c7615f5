/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_udp_input.c - datagrams in: drop reasons, checksums, limits, fair shares, accounting.
 */
#include "udp_rig.h"

enum { PORT = 53, PEER_PORT = 9000 };

static const char text[] = "0123456789abcdefghijklmnopqrstuvwxyz";

struct fixture {
	struct rig_host h;
	struct udp_pcb pcb; /* dual-stack wildcard on PORT */
};

static void setup_sized(struct fixture *f, uint32_t pinned, uint32_t payload)
{
	rig_open_sized(&f->h, 0, &(struct rig_sizes){ pinned, payload, RIG_CHUNK });
	rig_bind(&f->h, &f->pcb, (struct ip_addr){ 0 }, PORT, UDP_PCB_V6);
}

static void setup(struct fixture *f)
{
	setup_sized(f, RIG_PINNED, RIG_PAYLOAD);
}

static void teardown(struct fixture *f)
{
	rig_unbind(&f->h, &f->pcb);
	rig_close_udp(&f->h);
}

static struct rig_datagram good(const struct fixture *f)
{
	return (struct rig_datagram){ .src = rig_v4(10, 0, 0, 2),
				      .dst = f->h.v4,
				      .src_port = PEER_PORT,
				      .dst_port = PORT,
				      .payload = text,
				      .len = 16 };
}

static struct rig_datagram good6(const struct fixture *f)
{
	struct rig_datagram d = good(f);

	d.src = rig_v6(0xfd, 2);
	d.dst = f->h.v6;
	return d;
}

static void expect_dropped(struct fixture *f, enum fs_counter which)
{
	rig_expect_drop(&f->h, which);
	assert_int_equal(f->h.readable_calls, 0);
	assert_int_equal(f->pcb.queue.frames, 0);
	assert_int_equal(f->h.counters[FS_CTR_rx_datagrams], 0);
	teardown(f);
}

static void drop(struct fixture *f, const struct rig_datagram *d, enum fs_counter which)
{
	rig_input(&f->h, d);
	expect_dropped(f, which);
}

static void expect_taken(struct fixture *f, const void *payload, size_t len)
{
	rig_expect_drop(&f->h, FS_CTR_N);
	assert_int_equal(f->h.counters[FS_CTR_rx_datagrams], 1);
	assert_int_equal(f->h.counters[FS_CTR_rx_bytes], len);
	assert_int_equal(f->h.readable_calls, 1);
	assert_ptr_equal(f->h.readable, &f->pcb);
	rig_expect(&f->pcb, payload, len);
	teardown(f);
}

static void take(struct fixture *f, const struct rig_datagram *d)
{
	rig_input(&f->h, d);
	expect_taken(f, d->payload, d->len);
}

static void udp_input__v4(void **state)
{
	struct rig_datagram d;
	struct fixture f;

	setup(&f);
	d = good(&f);
	take(&f, &d);
}

static void udp_input__v6(void **state)
{
	struct rig_datagram d;
	struct fixture f;

	setup(&f);
	d = good6(&f);
	take(&f, &d);
}

static void udp_input__with_ip_options(void **state)
{
	struct rig_datagram d;
	struct fixture f;

	setup(&f);
	d = good(&f);
	d.options = true;
	take(&f, &d);
}

static void udp_input__every_length(void **state)
{
	static uint8_t payload[1472];

	for (unsigned i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)(i * 7);
	for (size_t len = 0; len <= sizeof(payload); len += len < 140 ? 1 : 111) {
		struct rig_datagram d;
		struct fixture f;

		setup(&f);
		d = len & 1 ? good6(&f) : good(&f);
		d.payload = payload;
		d.len = len;
		take(&f, &d);
	}
}

static void udp_input__payload_starts_behind_the_header(void **state)
{
	struct rig_datagram d;
	struct fixture f;

	setup(&f);
	d = good(&f);
	rig_input(&f.h, &d);
	assert_memory_equal(f.pcb.queue.head->data, text, 16);
	assert_int_equal(f.pcb.queue.head->len, 16);
	teardown(&f);
}

static void udp_input__length_below_the_ip_payload_is_trimmed(void **state)
{
	struct rig_datagram d;
	struct fixture f;

	setup(&f);
	d = good(&f);
	d.surplus = 5;
	d.padding = 7;
	take(&f, &d);
}

static void udp_input__chain_of_odd_parts(void **state)
{
	for (size_t part = 42; part < 80; part++) {
		const struct rig_frame *b;
		struct rig_datagram d;
		struct fixture f;

		setup(&f);
		d = good(&f);
		d.len = 36;
		b = rig_build(&d);
		rig_input_fbuf(&f.h, rig_fbuf(&f.h, b->bytes, b->len, part));
		expect_taken(&f, text, 36);
	}
}

static void udp_input__longest_datagram_as_a_chain(void **state)
{
	static uint8_t payload[UDP_MAX_PAYLOAD];
	struct rig_datagram d;
	struct fixture f;

	memset(payload, 0x5a, sizeof(payload));
	payload[sizeof(payload) - 1] = 1;
	setup(&f);
	d = good(&f);
	d.payload = payload;
	d.len = sizeof(payload);
	take(&f, &d);
}

static void udp_input__damage_in_each_part_is_noticed(void **state)
{
	for (size_t at = 34; at < 34 + 8 + 36; at++) {
		struct rig_frame *b;
		struct rig_datagram d;
		struct fixture f;

		if (at >= 34 && at < 40)
			continue; /* ports and length: another socket, another reason */
		setup(&f);
		d = good(&f);
		d.len = 36;
		b = rig_build(&d);
		b->bytes[at] ^= 0x10;
		rig_input_fbuf(&f.h, rig_fbuf(&f.h, b->bytes, b->len, 51));
		expect_dropped(&f, FS_CTR_drop_udp_checksum);
	}
}

static void udp_input__drop_udp_short(void **state)
{
	struct rig_frame *b;
	struct rig_datagram d;
	struct fixture f;

	setup(&f);
	d = good6(&f);
	b = rig_build(&d);
	b->bytes[b->l3 + 5] = 7; /* payload length of the IPv6 header */
	rig_input_fbuf(&f.h, rig_fbuf(&f.h, b->bytes, b->len, 0));
	expect_dropped(&f, FS_CTR_drop_udp_short);
}

static void udp_input__drop_udp_length(void **state)
{
	static const uint16_t lengths[] = { 7, 25, 65535 };

	for (unsigned i = 0; i < FS_ARRAY_SIZE(lengths); i++) {
		struct rig_datagram d;
		struct fixture f;

		setup(&f);
		d = good(&f);
		d.udp_len = lengths[i];
		drop(&f, &d, FS_CTR_drop_udp_length);
	}
}

static void udp_input__drop_udp_checksum(void **state)
{
	struct rig_datagram d;
	struct fixture f;

	setup(&f);
	d = good(&f);
	d.bad_checksum = true;
	drop(&f, &d, FS_CTR_drop_udp_checksum);
	setup(&f);
	d = good6(&f);
	d.bad_checksum = true;
	drop(&f, &d, FS_CTR_drop_udp_checksum);
}

static void udp_input__checksum_with_options_covers_the_addresses(void **state)
{
	struct rig_datagram d;
	struct fixture f;

	setup(&f);
	d = good(&f);
	d.options = true;
	d.bad_checksum = true;
	drop(&f, &d, FS_CTR_drop_udp_checksum);
}

static void udp_input__zero_checksum_is_fine_on_v4(void **state)
{
	struct rig_datagram d;
	struct fixture f;

	setup(&f);
	d = good(&f);
	d.no_checksum = true;
	take(&f, &d);
}

static void udp_input__drop_udp_zero6(void **state)
{
	struct rig_datagram d;
	struct fixture f;

	setup(&f);
	d = good6(&f);
	d.no_checksum = true;
	drop(&f, &d, FS_CTR_drop_udp_zero6);
}

static void udp_input__zero_checksum_on_v6_when_asked_for(void **state)
{
	struct rig_datagram d;
	struct fixture f;

	setup(&f);
	f.pcb.flags |= UDP_PCB_NO_CHECK6;
	d = good6(&f);
	d.no_checksum = true;
	take(&f, &d);
}

static void input_marked(struct fixture *f, const struct rig_datagram *d, enum fbuf_csum mark)
{
	const struct rig_frame *b = rig_build(d);
	struct fbuf *frame = rig_fbuf(&f->h, b->bytes, b->len, 0);

	frame->csum = (uint8_t)mark;
	rig_input_fbuf(&f->h, frame);
}

static void udp_input__verified_by_the_provider(void **state)
{
	struct rig_datagram d;
	struct fixture f;

	setup(&f);
	d = good(&f);
	d.bad_checksum = true;
	input_marked(&f, &d, FBUF_CSUM_VERIFIED);
	expect_taken(&f, text, 16);
}

static void udp_input__partial_by_the_provider(void **state)
{
	struct rig_datagram d;
	struct fixture f;

	setup(&f);
	d = good(&f);
	d.partial_checksum = true;
	input_marked(&f, &d, FBUF_CSUM_PARTIAL);
	assert_int_equal(f.h.counters[FS_CTR_rx_csum_partial], 1);
	expect_taken(&f, text, 16);
}

static void trust(struct fixture *f)
{
	struct ip_port conf = f->h.ip.port[0];

	conf.trust_partial = true;
	assert_int_equal(ip_port_set(&f->h.ip, 0, &conf), 0);
}

static void udp_input__partial_on_a_trusting_port(void **state)
{
	struct rig_datagram d;
	struct fixture f;

	setup(&f);
	trust(&f);
	d = good(&f);
	d.partial_checksum = true;
	take(&f, &d);
	setup(&f);
	trust(&f);
	d = good6(&f);
	d.partial_checksum = true;
	rig_input(&f.h, &d);
	assert_int_equal(f.h.counters[FS_CTR_rx_csum_partial], 1);
	expect_taken(&f, text, 16);
}

static void udp_input__partial_elsewhere_is_wrong(void **state)
{
	struct rig_datagram d;
	struct fixture f;

	setup(&f);
	d = good(&f);
	d.partial_checksum = true;
	drop(&f, &d, FS_CTR_drop_udp_checksum);
}

static void udp_input__trust_is_for_partial_sums_only(void **state)
{
	struct rig_datagram d;
	struct fixture f;

	setup(&f);
	trust(&f);
	d = good(&f);
	d.bad_checksum = true;
	drop(&f, &d, FS_CTR_drop_udp_checksum);
	setup(&f);
	trust(&f);
	d = good(&f);
	rig_input(&f.h, &d);
	assert_int_equal(f.h.counters[FS_CTR_rx_csum_partial], 0);
	expect_taken(&f, text, 16);
}

static void udp_input__drop_udp_port(void **state)
{
	struct rig_datagram d;
	struct fixture f;

	setup(&f);
	d = good(&f);
	d.dst_port = 0;
	drop(&f, &d, FS_CTR_drop_udp_port);
}

static void udp_input__drop_udp_no_socket(void **state)
{
	struct rig_datagram d;
	struct fixture f;

	setup(&f);
	d = good(&f);
	d.dst_port = PORT + 1;
	drop(&f, &d, FS_CTR_drop_udp_no_socket);
}

static void udp_input__drop_udp_gso(void **state)
{
	const struct rig_frame *b;
	struct rig_datagram d;
	struct fixture f;
	struct fbuf *frame;

	setup(&f);
	d = good(&f);
	b = rig_build(&d);
	frame = rig_fbuf(&f.h, b->bytes, b->len, 0);
	frame->gso_size = 8;
	rig_input_fbuf(&f.h, frame);
	expect_dropped(&f, FS_CTR_drop_udp_gso);
}

/* A frame of one header and the datagrams 0123456789, 0123456789, 01234. */
static void input_super(struct fixture *f, enum fbuf_csum mark)
{
	struct rig_datagram d = good(f);
	const struct rig_frame *b;
	struct fbuf *frame;

	d.payload = "0123456789012345678901234";
	d.len = 25;
	b = rig_build(&d);
	frame = rig_fbuf(&f->h, b->bytes, b->len, 0);
	frame->gso_size = 10;
	frame->csum = (uint8_t)mark;
	rig_input_fbuf(&f->h, frame);
}

static void udp_input__super_frame_becomes_datagrams(void **state)
{
	struct fixture f;

	setup(&f);
	input_super(&f, FBUF_CSUM_PARTIAL);
	assert_int_equal(f.pcb.queue.frames, 3);
	assert_int_equal(f.h.readable_calls, 1);
	assert_int_equal(f.h.counters[FS_CTR_rx_datagrams], 3);
	assert_int_equal(f.h.counters[FS_CTR_rx_bytes], 25);
	assert_int_equal(f.pcb.queue.head->src_port, PEER_PORT);
	assert_int_equal(f.pcb.queue.head->gso_size, 0);
	rig_expect(&f.pcb, "0123456789", 10);
	rig_expect(&f.pcb, "0123456789", 10);
	rig_expect(&f.pcb, "01234", 5);
	teardown(&f);
}

/* The same in parts of one datagram each: the parts themselves are queued. */
static void udp_input__super_frame_in_parts_is_not_copied(void **state)
{
	struct fixture f;
	struct rig_datagram d;
	const struct rig_frame *b;
	struct fbuf *frame, *part;
	uint32_t at;

	setup(&f);
	d = good(&f);
	d.payload = "0123456789012345678901234";
	d.len = 25;
	b = rig_build(&d);
	at = b->len - 15;
	part = frame = rig_fbuf(&f.h, b->bytes, at, 0);
	for (; at < b->len; at += part->len) {
		part = part->next = fbuf_alloc(&f.h.pinned);
		part->len = FS_MIN(10u, b->len - at);
		memcpy(part->data, b->bytes + at, part->len);
		frame->total += part->len;
	}
	frame->gso_size = 10;
	frame->csum = FBUF_CSUM_PARTIAL;
	rig_input_fbuf(&f.h, frame);
	assert_int_equal(f.pcb.queue.frames, 3);
	assert_int_equal(f.pcb.copied, 0);
	assert_int_equal(f.pcb.pinned, 3);
	assert_int_equal(f.h.counters[FS_CTR_rx_datagrams], 3);
	assert_int_equal(f.pcb.queue.tail->src_port, PEER_PORT);
	assert_int_equal(f.pcb.queue.tail->total, 5);
	assert_ptr_equal(f.pcb.queue.tail, part);
	rig_expect(&f.pcb, "0123456789", 10);
	rig_expect(&f.pcb, "0123456789", 10);
	rig_expect(&f.pcb, "01234", 5);
	teardown(&f);
}

static void udp_input__super_frame_stays_whole(void **state)
{
	struct fixture f;

	setup(&f);
	f.pcb.flags |= UDP_PCB_GRO;
	input_super(&f, FBUF_CSUM_VERIFIED);
	assert_int_equal(f.pcb.queue.frames, 1);
	assert_int_equal(f.pcb.queue.head->gso_size, 10);
	rig_expect(&f.pcb, "0123456789012345678901234", 25);
	teardown(&f);
}

static void udp_input__super_frame_meets_the_limit(void **state)
{
	struct fixture f;

	setup(&f);
	f.pcb.limit = UDP_CHARGE_OVERHEAD + 11;
	input_super(&f, FBUF_CSUM_PARTIAL);
	assert_int_equal(f.pcb.queue.frames, 2);
	assert_int_equal(f.pcb.drops, 1);
	assert_int_equal(f.h.counters[FS_CTR_drop_udp_rcvbuf], 1);
	teardown(&f);
}

static void udp_input__knows_what_was_lost_before(void **state)
{
	struct rig_datagram d;
	struct fixture f;

	setup(&f);
	d = good(&f);
	f.pcb.limit = 1;
	for (unsigned i = 0; i < 3; i++)
		rig_input(&f.h, &d);
	assert_int_equal(f.pcb.queue.head->drops, 0);
	rig_expect(&f.pcb, text, 16);
	rig_input(&f.h, &d);
	assert_int_equal(f.pcb.queue.head->drops, 2);
	teardown(&f);
}

/* One is always taken while the queue is below its limit; the next one is not. */
static void udp_input__drop_udp_rcvbuf(void **state)
{
	struct rig_datagram d;
	struct fixture f;

	setup(&f);
	f.pcb.limit = 16 + UDP_CHARGE_OVERHEAD + 1;
	d = good(&f);
	for (unsigned i = 0; i < 4; i++)
		rig_input(&f.h, &d);
	assert_int_equal(f.pcb.queue.frames, 2);
	assert_int_equal(f.pcb.drops, 2);
	assert_int_equal(f.h.counters[FS_CTR_drop_udp_rcvbuf], 2);
	assert_int_equal(f.h.readable_calls, 2);
	rig_expect(&f.pcb, text, 16);
	rig_input(&f.h, &d);
	assert_int_equal(f.pcb.queue.frames, 2);
	teardown(&f);
}

static void udp_input__limit_of_one_byte_takes_one(void **state)
{
	struct rig_datagram d;
	struct fixture f;

	setup(&f);
	f.pcb.limit = 1;
	d = good(&f);
	take(&f, &d);
}

static void udp_input__nobody_listens(void **state)
{
	struct rig_datagram d;
	struct fixture f;

	setup(&f);
	f.h.env.readable = NULL;
	d = good(&f);
	rig_input(&f.h, &d);
	rig_expect(&f.pcb, text, 16);
	teardown(&f);
}

static void udp_input__beyond_its_share_is_copied_out(void **state)
{
	struct rig_datagram d;
	struct fixture f;

	setup(&f);
	f.h.udp.fair_share = 3;
	d = good(&f);
	for (unsigned i = 0; i < 5; i++)
		rig_input(&f.h, &d);
	assert_int_equal(f.pcb.pinned, 3);
	assert_int_equal(f.pcb.copied, 2);
	assert_int_equal(f.h.counters[FS_CTR_copied_out], 2);
	assert_int_equal(f.h.pinned.n_free, RIG_PINNED - 3);
	for (unsigned i = 0; i < 5; i++)
		rig_expect(&f.pcb, text, 16);
	teardown(&f);
}

static void udp_input__default_share_is_an_eighth(void **state)
{
	struct rig_datagram d;
	struct fixture f;

	setup_sized(&f, 512, 512);
	f.pcb.limit = UINT32_MAX;
	d = good(&f);
	for (unsigned i = 0; i < 100; i++)
		rig_input(&f.h, &d);
	assert_true(f.pcb.pinned > 48 && f.pcb.pinned <= 64);
	assert_int_equal(f.pcb.pinned + f.pcb.copied, 100);
	teardown(&f);
}

/* Nobody else holds one: what cannot be copied instead is copied itself. */
static void udp_input__below_low_water_everything_is_copied_out(void **state)
{
	struct rig_datagram d;
	struct fixture f;

	setup(&f);
	f.h.pinned.low_water = RIG_PINNED;
	d = good(&f);
	rig_input(&f.h, &d);
	assert_int_equal(f.pcb.pinned, 0);
	assert_int_equal(f.pcb.copied, 1);
	assert_int_equal(f.h.pinned.n_free, RIG_PINNED);
	rig_expect(&f.pcb, text, 16);
	teardown(&f);
}

/* What recvmsg() tells of a datagram survives the copy. */
static void udp_input__copy_keeps_the_description(void **state)
{
	struct rig_datagram d;
	struct fixture f;
	struct fbuf *frame;

	setup(&f);
	f.h.pinned.low_water = RIG_PINNED;
	d = good(&f);
	d.tos = 8;
	rig_input(&f.h, &d);
	frame = udp_receive(&f.pcb);
	assert_ptr_equal(frame->pool, &f.h.payload);
	assert_true(ip_addr_equal(&frame->src, &d.src));
	assert_true(ip_addr_equal(&frame->dst, &d.dst));
	assert_int_equal(frame->src_port, PEER_PORT);
	assert_int_equal(frame->ifindex, RIG_IFINDEX);
	assert_int_equal(frame->tos, 8);
	fbuf_free(frame);
	teardown(&f);
}

static void udp_input__chain_counts_its_chunks(void **state)
{
	static const uint8_t payload[5000] = { 1, 2, 3 };
	struct rig_datagram d;
	struct fixture f;

	setup(&f);
	d = good(&f);
	d.payload = payload;
	d.len = sizeof(payload);
	rig_input(&f.h, &d);
	assert_int_equal(f.pcb.pinned, 3);
	f.h.pinned.low_water = RIG_PINNED;
	rig_input(&f.h, &d);
	assert_int_equal(f.pcb.copied, 3);
	rig_expect(&f.pcb, payload, sizeof(payload));
	assert_int_equal(f.pcb.pinned, 0);
	rig_expect(&f.pcb, payload, sizeof(payload));
	teardown(&f);
}

static void udp_input__drop_udp_no_memory(void **state)
{
	struct rig_datagram d;
	struct fixture f;

	setup_sized(&f, RIG_PINNED, 0);
	f.h.pinned.low_water = RIG_PINNED * 2;
	d = good(&f);
	rig_input(&f.h, &d);
	assert_int_equal(f.pcb.drops, 1);
	expect_dropped(&f, FS_CTR_drop_udp_no_memory);
}

/* An endpoint that reads has a reserve below the low water, one that does not has none. */
static void udp_input__empty_queue_may_use_the_reserve(void **state)
{
	struct rig_datagram d;
	struct fixture f;

	setup_sized(&f, RIG_PINNED, 0);
	f.h.pinned.low_water = RIG_PINNED;
	d = good(&f);
	rig_input(&f.h, &d);
	assert_int_equal(f.pcb.pinned, 1);
	rig_input(&f.h, &d);
	assert_int_equal(f.pcb.pinned, 1);
	rig_expect_drop(&f.h, FS_CTR_drop_udp_no_memory);
	rig_expect(&f.pcb, text, 16);
	teardown(&f);
}

/* The k-th datagram finds the payload pool empty: counted, and nothing is lost or leaked besides. */
static void udp_input__payload_pool_empty_at_each_allocation(void **state)
{
	for (uint32_t k = 0; k < 6; k++) {
		struct rig_datagram d;
		struct fixture f;

		setup_sized(&f, RIG_PINNED, k);
		f.h.pinned.low_water = RIG_PINNED * 2;
		d = good(&f);
		for (unsigned i = 0; i < 10; i++)
			rig_input(&f.h, &d);
		assert_int_equal(f.pcb.queue.frames + f.h.counters[FS_CTR_drop_udp_no_memory], 10);
		assert_int_equal(f.pcb.copied, f.pcb.queue.frames);
		assert_true(k == 0 || f.pcb.queue.frames > 0);
		assert_int_equal(f.h.pinned.n_free, RIG_PINNED);
		assert_int_equal(f.pcb.charged, f.pcb.queue.frames * (16 + UDP_CHARGE_OVERHEAD));
		teardown(&f);
	}
}

/*
 * Design hazard 5: lazy readers must not starve an active one. A thousand sockets are filled until
 * each refuses or memory is short; then the pinned pool still has its low water free, and the active
 * socket gets every datagram.
 */
static void hazard_05__unread_sockets_starve_nobody(void **state)
{
	enum { SOCKETS = 1000, PINNED = 4096, PAYLOAD = 4096, LOW = 512 };
	struct udp_pcb *lazy = calloc(SOCKETS, sizeof(*lazy));
	struct rig_datagram d;
	struct fixture f;
	uint32_t held = 0;

	rig_open_sized(&f.h, 0, &(struct rig_sizes){ PINNED, PAYLOAD, 256 });
	rig_bind(&f.h, &f.pcb, (struct ip_addr){ 0 }, PORT, UDP_PCB_V6);
	f.h.pinned.low_water = LOW;
	d = good(&f);
	for (unsigned i = 0; i < SOCKETS; i++)
		rig_bind(&f.h, &lazy[i], (struct ip_addr){ 0 }, (uint16_t)(1000 + i), 0);
	for (unsigned i = 0; i < SOCKETS; i++) {
		d.dst_port = (uint16_t)(1000 + i);
		for (unsigned n = 0; n <= RIG_LIMIT / (16 + UDP_CHARGE_OVERHEAD) + 1; n++)
			rig_input(&f.h, &d);
		assert_true(lazy[i].queue.frames > 0); /* nobody gets nothing */
		held += lazy[i].pinned;
	}
	assert_int_equal(f.h.pinned.n_free, PINNED - held);
	assert_true(f.h.pinned.n_free >= LOW);
	d.dst_port = PORT;
	for (unsigned n = 0; n < 10000; n++) {
		rig_input(&f.h, &d);
		rig_expect(&f.pcb, text, 16);
	}
	assert_int_equal(f.pcb.drops, 0);
	for (unsigned i = 0; i < SOCKETS; i++)
		rig_unbind(&f.h, &lazy[i]);
	free(lazy);
	teardown(&f);
}

/*
 * Design hazard 5, the other half: who pays. Unread sockets hold the pool down to its mark; an active
 * one beside them is served without a copy of its own datagrams. What is copied are frames that sleep,
 * each once, and what they held is still there, in order.
 */
static void hazard_05__unread_frames_are_copied_not_the_active_ones(void **state)
{
	enum { SOCKETS = 1000, PINNED = 1200, PAYLOAD = 8192, LOW = 512, ROUNDS = 5000 };
	struct udp_pcb *lazy = calloc(SOCKETS, sizeof(*lazy));
	uint64_t copied;
	struct rig_datagram d;
	struct fixture f;

	rig_open_sized(&f.h, 0, &(struct rig_sizes){ PINNED, PAYLOAD, 256 });
	rig_bind(&f.h, &f.pcb, (struct ip_addr){ 0 }, PORT, UDP_PCB_V6);
	f.h.pinned.low_water = LOW;
	d = good(&f);
	for (unsigned i = 0; i < SOCKETS; i++) {
		rig_bind(&f.h, &lazy[i], (struct ip_addr){ 0 }, (uint16_t)(1000 + i), 0);
		d.dst_port = (uint16_t)(1000 + i);
		d.payload = text;
		rig_input(&f.h, &d);
		d.payload = text + 1;
		rig_input(&f.h, &d);
	}
	assert_true(f.h.pinned.n_free <= LOW + 1);
	copied = f.h.counters[FS_CTR_copied_out];
	d.dst_port = PORT;
	d.payload = text;
	for (unsigned n = 0; n < ROUNDS; n++) {
		rig_input(&f.h, &d);
		rig_expect(&f.pcb, text, 16);
	}
	assert_int_equal(f.pcb.drops, 0);
	assert_true(f.h.counters[FS_CTR_copied_out] - copied <= 1);
	for (unsigned i = 0; i < SOCKETS; i++) {
		rig_expect(&lazy[i], text, 16);
		rig_expect(&lazy[i], text + 1, 16);
		rig_unbind(&f.h, &lazy[i]);
	}
	assert_true(list_is_empty(&f.h.udp.holders));
	free(lazy);
	teardown(&f);
}

/* A holder whose pinned frame is the last of its queue: the queue goes on behind the copy. */
static void hazard_05__a_frame_copied_from_the_end_of_a_queue(void **state)
{
	struct udp_pcb lazy;
	struct rig_datagram d;
	struct fixture f;

	setup(&f);
	rig_bind(&f.h, &lazy, (struct ip_addr){ 0 }, PORT + 1, UDP_PCB_V6);
	d = good(&f);
	d.dst_port = PORT + 1;
	rig_input(&f.h, &d);
	f.h.pinned.low_water = RIG_PINNED;
	d.dst_port = PORT;
	rig_input(&f.h, &d);
	assert_int_equal(lazy.pinned, 0);
	assert_int_equal(lazy.copied, 1);
	assert_int_equal(f.pcb.pinned, 1);
	d.dst_port = PORT + 1;
	d.payload = text + 1;
	rig_input(&f.h, &d);
	rig_expect(&lazy, text, 16);
	rig_expect(&lazy, text + 1, 16);
	rig_expect(&f.pcb, text, 16);
	rig_unbind(&f.h, &lazy);
	teardown(&f);
}

/* Whoever grows the payload pool while it is at its reserve never finds an unread queue refused. */
static void udp_payload_reserve__is_within_its_bounds(void **state)
{
	struct fixture f;

	setup_sized(&f, RIG_PINNED, 800);
	assert_int_equal(udp_payload_reserve(&f.h.udp), 100);
	f.h.udp.idle += 150;
	assert_int_equal(udp_payload_reserve(&f.h.udp), 151);
	f.h.udp.idle += 1000;
	assert_int_equal(udp_payload_reserve(&f.h.udp), 400);
	f.h.udp.idle -= 1150;
	teardown(&f);
}

/* --- what came by no wire --- */

static void udp_deliver_copy__within_the_limit(void **state)
{
	struct fbuf part[2] = { { .next = &part[1], .data = (uint8_t *)text, .len = 5, .total = 16, .ttl = 3 },
				{ .data = (uint8_t *)text + 5, .len = 11 } };
	struct fixture f;
	struct fbuf *copy;

	setup(&f);
	part[0].src = rig_v4(127, 0, 0, 1);
	part[0].src_port = 7;
	part[0].ifindex = 1;
	f.pcb.limit = 16 + UDP_CHARGE_OVERHEAD + 1;
	for (unsigned i = 0; i < 3; i++)
		udp_deliver_copy(&f.h.env, &f.pcb, part);
	assert_int_equal(f.h.readable_calls, 2);
	assert_int_equal(f.pcb.drops, 1);
	assert_int_equal(f.h.counters[FS_CTR_drop_udp_rcvbuf], 1);
	assert_int_equal(f.h.counters[FS_CTR_rx_group_copies], 0);
	copy = udp_receive(&f.pcb);
	assert_int_equal(copy->ifindex, 1);
	assert_int_equal(copy->ttl, 3);
	assert_int_equal(copy->src_port, 7);
	fbuf_free(copy);
	rig_expect(&f.pcb, text, 16);
	teardown(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(udp_input__v4),
		cmocka_unit_test(udp_input__v6),
		cmocka_unit_test(udp_input__with_ip_options),
		cmocka_unit_test(udp_input__every_length),
		cmocka_unit_test(udp_input__payload_starts_behind_the_header),
		cmocka_unit_test(udp_input__length_below_the_ip_payload_is_trimmed),
		cmocka_unit_test(udp_input__chain_of_odd_parts),
		cmocka_unit_test(udp_input__longest_datagram_as_a_chain),
		cmocka_unit_test(udp_input__damage_in_each_part_is_noticed),
		cmocka_unit_test(udp_input__drop_udp_short),
		cmocka_unit_test(udp_input__drop_udp_length),
		cmocka_unit_test(udp_input__drop_udp_checksum),
		cmocka_unit_test(udp_input__checksum_with_options_covers_the_addresses),
		cmocka_unit_test(udp_input__zero_checksum_is_fine_on_v4),
		cmocka_unit_test(udp_input__drop_udp_zero6),
		cmocka_unit_test(udp_input__verified_by_the_provider),
		cmocka_unit_test(udp_input__partial_by_the_provider),
		cmocka_unit_test(udp_input__partial_on_a_trusting_port),
		cmocka_unit_test(udp_input__partial_elsewhere_is_wrong),
		cmocka_unit_test(udp_input__trust_is_for_partial_sums_only),
		cmocka_unit_test(udp_input__drop_udp_port),
		cmocka_unit_test(udp_input__drop_udp_no_socket),
		cmocka_unit_test(udp_input__drop_udp_gso),
		cmocka_unit_test(udp_input__super_frame_becomes_datagrams),
		cmocka_unit_test(udp_input__super_frame_in_parts_is_not_copied),
		cmocka_unit_test(udp_input__super_frame_stays_whole),
		cmocka_unit_test(udp_input__super_frame_meets_the_limit),
		cmocka_unit_test(udp_input__knows_what_was_lost_before),
		cmocka_unit_test(udp_input__zero_checksum_on_v6_when_asked_for),
		cmocka_unit_test(udp_input__drop_udp_rcvbuf),
		cmocka_unit_test(udp_input__limit_of_one_byte_takes_one),
		cmocka_unit_test(udp_input__nobody_listens),
		cmocka_unit_test(udp_input__beyond_its_share_is_copied_out),
		cmocka_unit_test(udp_input__default_share_is_an_eighth),
		cmocka_unit_test(udp_input__below_low_water_everything_is_copied_out),
		cmocka_unit_test(udp_input__copy_keeps_the_description),
		cmocka_unit_test(udp_input__chain_counts_its_chunks),
		cmocka_unit_test(udp_input__drop_udp_no_memory),
		cmocka_unit_test(udp_input__empty_queue_may_use_the_reserve),
		cmocka_unit_test(udp_input__payload_pool_empty_at_each_allocation),
		cmocka_unit_test(hazard_05__unread_sockets_starve_nobody),
		cmocka_unit_test(hazard_05__unread_frames_are_copied_not_the_active_ones),
		cmocka_unit_test(hazard_05__a_frame_copied_from_the_end_of_a_queue),
		cmocka_unit_test(udp_payload_reserve__is_within_its_bounds),
		cmocka_unit_test(udp_deliver_copy__within_the_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
