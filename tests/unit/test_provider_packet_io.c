/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The data path of the packet provider over rings in plain memory; the test plays the kernel. Unix sockets
 * that keep messages apart stand for the packet sockets.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "provider/packet/packet_port.h"

enum { CHUNKS = 64, CHUNK = 4096, HEADROOM = 64, LOW_WATER = 16, SLOT = 2048, SLOTS = 8, AT = 96 };

struct rig {
	struct packet_port port;
	struct provider_handle handle;
	struct fbuf_pool pool;
	struct fbuf bufs[CHUNKS];
	_Alignas(16) uint8_t slots[PACKET_SOCKETS][SLOTS * SLOT];
	uint8_t memory[CHUNKS * CHUNK];
	uint32_t filled[PACKET_SOCKETS];
	int far[PACKET_SOCKETS]; /* the kernel's ends */
};

static struct rig *r;
static struct steer_shared *shared;

static int setup(void **state)
{
	r = aligned_alloc(64, (sizeof(*r) + 63) / 64 * 64);
	shared = calloc(1, sizeof(*shared));
	if (!r || !shared)
		return -1;
	memset(r, 0, sizeof(*r));
	fbuf_pool_init(&r->pool, CHUNK, HEADROOM);
	fbuf_pool_add(&r->pool, r->bufs, r->memory, CHUNKS);
	r->pool.low_water = LOW_WATER;
	r->port.base.pool = &r->pool;
	r->port.base.index = 3;
	r->port.base.caps.max_gso = UINT16_MAX;
	r->port.shared = shared;
	r->handle.port = &r->port.base;
	for (int i = 0; i < PROVIDER_MAX_FDS; i++)
		r->handle.fd[i] = -1;
	for (int i = 0; i < PACKET_SOCKETS; i++) {
		int pair[2];

		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
			return -1;
		r->handle.fd[i] = pair[0];
		r->far[i] = pair[1];
		r->port.rx.ring[i] = (struct packet_ring){ .memory = r->slots[i], .slot_len = SLOT, .slots = SLOTS };
	}
	return 0;
}

static int teardown(void **state)
{
	for (int i = 0; i < PACKET_SOCKETS; i++) {
		close(r->handle.fd[i]);
		close(r->far[i]);
	}
	free(r);
	free(shared);
	return 0;
}

/* The kernel puts a frame of @len times @byte into a ring; one that does not fit, into the queue. */
static void arrive(int i, uint32_t len, uint8_t byte, struct virtio_net_hdr vnet)
{
	uint8_t *at = r->slots[i] + (r->filled[i]++ % SLOTS) * SLOT;
	struct tpacket2_hdr *hdr = (void *)at;
	uint32_t status = TP_STATUS_USER;

	assert_int_equal(hdr->tp_status, TP_STATUS_KERNEL);
	hdr->tp_mac = AT;
	hdr->tp_len = hdr->tp_snaplen = len;
	if (len > SLOT - AT) {
		uint8_t *message = malloc(sizeof(vnet) + len);

		hdr->tp_snaplen = SLOT - AT;
		status |= TP_STATUS_COPY;
		memcpy(message, &vnet, sizeof(vnet));
		memset(message + sizeof(vnet), byte, len);
		assert_int_equal(send(r->far[i], message, sizeof(vnet) + len, 0), sizeof(vnet) + len);
		free(message);
	} else {
		memcpy(at + AT - sizeof(vnet), &vnet, sizeof(vnet));
		memset(at + AT, byte, len);
	}
	__atomic_store_n(&hdr->tp_status, status, __ATOMIC_RELEASE);
}

static const struct virtio_net_hdr plain;

static void assert_frame(const struct fbuf *f, uint32_t len, uint8_t byte)
{
	uint32_t n = 0;

	assert_int_equal(f->total, len);
	assert_int_equal(f->port, 3);
	for (const struct fbuf *part = f; part; part = part->next)
		for (uint32_t i = 0; i < part->len; i++, n++)
			assert_int_equal(part->data[i], byte);
	assert_int_equal(n, len);
}

static void packet_receive__nothing_answers_steering(void **state)
{
	struct fbuf *f[4];

	shared->beat[0].asked_ns = 5;
	assert_int_equal(packet_receive(&r->handle, f, 4), 0);
	assert_int_equal(shared->beat[0].taken_ns, 5);
}

static void packet_receive__copies_and_gives_the_slot_back(void **state)
{
	struct fbuf *f[4];

	for (unsigned turn = 0; turn < 3 * SLOTS; turn++) {
		arrive(0, 60 + turn, (uint8_t)turn, plain);
		assert_int_equal(packet_receive(&r->handle, f, 4), 1);
		assert_frame(f[0], 60 + turn, (uint8_t)turn);
		fbuf_free(f[0]);
	}
	assert_int_equal(r->pool.n_free, CHUNKS);
	assert_int_equal(r->port.base.stats.rx_frames, 3 * SLOTS);
}

static void packet_receive__what_the_header_says(void **state)
{
	const struct virtio_net_hdr super = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_type = 5,
					      .gso_size = 100 };
	struct fbuf *f[4];

	arrive(1, 1000, 1, super);
	assert_int_equal(packet_receive(&r->handle, f, 4), 1);
	assert_int_equal(f[0]->csum, FBUF_CSUM_PARTIAL);
	assert_int_equal(f[0]->gso_size, 100);
	fbuf_free(f[0]);
}

static void packet_receive__long_frames_keep_their_place(void **state)
{
	struct fbuf *f[4];

	arrive(0, 60, 1, plain);
	arrive(0, 60000, 2, plain);
	arrive(0, 61, 3, plain);
	arrive(0, 9000, 4, plain);
	assert_int_equal(packet_receive(&r->handle, f, 4), 4);
	assert_frame(f[0], 60, 1);
	assert_frame(f[1], 60000, 2);
	assert_frame(f[2], 61, 3);
	assert_frame(f[3], 9000, 4);
	for (int i = 0; i < 4; i++)
		fbuf_free(f[i]);
	assert_int_equal(r->pool.n_free, CHUNKS);
}

static void packet_receive__a_queued_frame_that_is_missing(void **state)
{
	struct tpacket2_hdr *hdr = (void *)r->slots[0];
	struct fbuf *f[4];

	hdr->tp_len = 5000;
	hdr->tp_status = TP_STATUS_USER | TP_STATUS_COPY;
	r->filled[0]++;
	arrive(0, 60, 7, plain);
	assert_int_equal(packet_receive(&r->handle, f, 4), 1);
	assert_frame(f[0], 60, 7);
	fbuf_free(f[0]);
	assert_int_equal(r->port.base.stats.rx_bad, 1);
	assert_int_equal(r->pool.n_free, CHUNKS);
}

static void packet_receive__both_rings_have_their_turn(void **state)
{
	struct fbuf *f[2];
	unsigned seen[2] = { 0, 0 };

	for (unsigned i = 0; i < 4; i++) {
		arrive(0, 60, 0, plain);
		arrive(1, 60, 1, plain);
	}
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(packet_receive(&r->handle, f, 2), 2);
		for (unsigned k = 0; k < 2; k++) {
			seen[f[k]->data[0]]++;
			fbuf_free(f[k]);
		}
	}
	assert_int_equal(seen[0], 2);
	assert_int_equal(seen[1], 2);
}

static void packet_receive__leaves_chunks_to_senders(void **state)
{
	struct fbuf *held[CHUNKS], *f[4];
	unsigned n = 0;

	while (r->pool.n_free > LOW_WATER / 4)
		held[n++] = fbuf_alloc(&r->pool);
	arrive(0, 60, 9, plain);
	assert_int_equal(packet_receive(&r->handle, f, 4), 0);
	assert_int_equal(r->port.base.stats.rx_no_frame, 1);
	fbuf_free(held[--n]);
	assert_int_equal(packet_receive(&r->handle, f, 4), 1);
	assert_frame(f[0], 60, 9);
	fbuf_free(f[0]);
	while (n > 0)
		fbuf_free(held[--n]);
}

static struct fbuf *made(uint32_t len, uint8_t ethertype_low)
{
	struct fbuf *f = fbuf_alloc_chain(&r->pool, len);
	static uint8_t bytes[20000];

	memset(bytes, 0, sizeof(bytes));
	bytes[12] = ethertype_low == 0xdd ? 0x86 : 0x08;
	bytes[13] = ethertype_low;
	fbuf_append(f, bytes, len);
	return f;
}

static ssize_t left(int i)
{
	static uint8_t message[70000];
	ssize_t n = recv(r->far[i], message, sizeof(message), MSG_DONTWAIT);

	if (n > 0)
		for (unsigned k = 0; k < sizeof(struct virtio_net_hdr); k++)
			assert_int_equal(message[k], 0);
	return n < 0 ? -errno : n - (ssize_t)sizeof(struct virtio_net_hdr);
}

static void packet_kick__nothing_queued_no_call(void **state)
{
	assert_int_equal(packet_kick(&r->handle), 0);
	assert_int_equal(r->port.base.stats.kicks, 0);
}

static void packet_kick__one_frame_one_call(void **state)
{
	struct fbuf *f = made(60, 0);

	assert_int_equal(packet_transmit(&r->handle, &f, 1), 1);
	assert_int_equal(packet_tx_pending(&r->handle), 1);
	assert_int_equal(packet_kick(&r->handle), 0);
	assert_int_equal(left(0), 60);
	assert_int_equal(r->port.base.stats.kicks, 1);
	assert_int_equal(r->port.base.stats.tx_bytes, 60);
	assert_int_equal(r->pool.n_free, CHUNKS);
}

static void packet_kick__a_burst_is_one_call_per_protocol(void **state)
{
	static const uint8_t types[] = { 0, 0, 0, 0xdd, 0xdd, 0 };
	struct fbuf *f[6];

	for (unsigned i = 0; i < 6; i++)
		f[i] = made(60 + i, types[i]);
	assert_int_equal(packet_transmit(&r->handle, f, 6), 6);
	assert_int_equal(packet_kick(&r->handle), 0);
	assert_int_equal(r->port.base.stats.kicks, 3);
	assert_int_equal(left(0), 60);
	assert_int_equal(left(0), 61);
	assert_int_equal(left(0), 62);
	assert_int_equal(left(0), 65);
	assert_int_equal(left(1), 63);
	assert_int_equal(left(1), 64);
	assert_int_equal(left(1), -EAGAIN);
}

static void packet_kick__frames_of_several_parts(void **state)
{
	struct fbuf *f[2] = { made(15000, 0), made(60, 0) };

	assert_int_equal(packet_transmit(&r->handle, f, 2), 2);
	assert_int_equal(packet_kick(&r->handle), 0);
	assert_int_equal(left(0), 15000);
	assert_int_equal(left(0), 60);
	assert_int_equal(r->pool.n_free, CHUNKS);
}

static void packet_kick__what_can_never_leave_is_dropped(void **state)
{
	struct fbuf *f[3] = { made(60, 0), fbuf_alloc(&r->pool), made(70, 0) };

	f[0]->gso_size = 10; /* without FBUF_CSUM_PARTIAL */
	assert_int_equal(packet_transmit(&r->handle, f, 3), 3);
	assert_int_equal(packet_kick(&r->handle), 0);
	assert_int_equal(left(0), 70);
	assert_int_equal(r->port.base.stats.tx_bad, 2);
	assert_int_equal(r->pool.n_free, CHUNKS);
}

static void packet_kick__later_when_the_socket_is_full(void **state)
{
	struct fbuf *f;
	unsigned sent = 0;

	do {
		f = made(15000, 0);
		assert_int_equal(packet_transmit(&r->handle, &f, 1), 1);
		sent++;
	} while (packet_kick(&r->handle) == 0);
	assert_int_equal(packet_kick(&r->handle), -EAGAIN);
	assert_int_equal(packet_tx_pending(&r->handle), 1);
	for (unsigned i = 0; i + 1 < sent; i++)
		assert_int_equal(left(0), 15000);
	assert_int_equal(packet_kick(&r->handle), 0);
	assert_int_equal(left(0), 15000);
	assert_int_equal(r->pool.n_free, CHUNKS);
}

static void packet_transmit__full_queue_refuses(void **state)
{
	struct fbuf *f = made(60, 0);

	r->port.tx.frames = PACKET_TX_MAX;
	assert_int_equal(packet_transmit(&r->handle, &f, 1), 0);
	assert_int_equal(r->port.base.stats.tx_full, 1);
	r->port.tx.frames = 0;
	fbuf_free(f);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(packet_receive__nothing_answers_steering),
		T(packet_receive__copies_and_gives_the_slot_back),
		T(packet_receive__what_the_header_says),
		T(packet_receive__long_frames_keep_their_place),
		T(packet_receive__a_queued_frame_that_is_missing),
		T(packet_receive__both_rings_have_their_turn),
		T(packet_receive__leaves_chunks_to_senders),
		T(packet_kick__nothing_queued_no_call),
		T(packet_kick__one_frame_one_call),
		T(packet_kick__a_burst_is_one_call_per_protocol),
		T(packet_kick__frames_of_several_parts),
		T(packet_kick__what_can_never_leave_is_dropped),
		T(packet_kick__later_when_the_socket_is_full),
		T(packet_transmit__full_queue_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
