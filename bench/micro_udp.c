/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * micro_udp.c - what the engine costs per datagram, without a provider.
 *
 * Copies a ready frame into a fresh buffer, as a provider hands it over, runs ip_input(), takes the
 * datagram as recv() would, and answers with udp_send(). Prints nanoseconds per datagram in and out,
 * the cost of the loop without the engine (alloc, copy of the frame, free) taken off: the best of many
 * batches, since a busy machine can only add.
 * Under `valgrind --tool=callgrind --toggle-collect=ip_input --toggle-collect=udp_send` the count of
 * instructions of one datagram each way is Ir / rounds.
 *
 * Usage: micro_udp [rounds [payload bytes [burst]]]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_rig.h"
#include "udp/udp.h"
#include "wire/eth.h"
#include "wire/ipv4.h"
#include "wire/protocol.h"
#include "wire/udp.h"

enum {
	CHUNK = 2048,
	HEADROOM = 128,
	MAX_BURST = 64,
	MAX_PAYLOAD = 1472,
	BATCHES = 50,
};

struct bench {
	struct engine_rig rig;
	struct udp_stack udp;
	struct udp_pcb pcb;
	struct table_node *ports[RIG_BUCKETS], *flows[RIG_BUCKETS];
	uint8_t frame[CHUNK];
	uint32_t frame_len;
	unsigned long rounds; /* of one batch */
	unsigned payload_len, burst;
};

static void make_stack(struct bench *b)
{
	engine_rig_open(&b->rig, CHUNK, HEADROOM);
	udp_init(&b->udp, &b->rig.ip, &rig_key, b->ports, RIG_BUCKETS, b->flows, RIG_BUCKETS);
	b->rig.env = (struct ip_env){ .csum = csum_ops(CSUM_SSE2), .input = udp_input, .udp = &b->udp };
	b->pcb = (struct udp_pcb){ .local_port = 1000, .limit = 212992 };
	udp_insert(&b->udp, &b->pcb);
}

static void make_frame(struct bench *b)
{
	uint16_t len = (uint16_t)(UDP_HEADER + b->payload_len);
	struct eth_hdr eth = { .dst = b->rig.ip.port[0].mac,
			       .src = b->rig.dst->neigh->mac,
			       .type = ETH_TYPE_IPV4 };
	struct ipv4_hdr ip = { .src = b->rig.dst->remote,
			       .dst = b->rig.dst->local,
			       .hdr_len = 20,
			       .ttl = 64,
			       .total_len = (uint16_t)(len + 20),
			       .protocol = WIRE_PROTO_UDP };
	struct udp_hdr udp = { .src_port = 2000, .dst_port = 1000, .len = len };
	uint8_t *l4 = b->frame + ETH_HDR_LEN + IPV4_HDR_LEN;
	be16_t field;

	eth_emit(&eth, b->frame, ETH_HDR_LEN);
	ipv4_emit(&ip, b->frame + ETH_HDR_LEN, IPV4_HDR_LEN);
	udp_emit(&udp, l4, UDP_HEADER);
	field = csum_finish_udp(
		csum_add(csum_pseudo(&ip.src, &ip.dst, WIRE_PROTO_UDP, len), csum_inline(l4, len)));
	memcpy(l4 + 6, &field, sizeof(field));
	b->frame_len = (uint32_t)(l4 + len - b->frame);
}

/* A burst of frames as receive() would give them. */
static void provide(struct bench *b, struct fbuf **frames)
{
	for (unsigned i = 0; i < b->burst; i++) {
		frames[i] = fbuf_alloc(&b->rig.pinned);
		memcpy(frames[i]->data, b->frame, b->frame_len);
		frames[i]->len = frames[i]->total = b->frame_len;
	}
}

/* Rounds without the engine: what the frame of the measurement costs. */
static uint64_t time_frame(struct bench *b)
{
	struct fbuf *frames[MAX_BURST];
	uint64_t start = rig_now_ns();

	for (unsigned long r = 0; r < b->rounds; r += b->burst) {
		provide(b, frames);
		for (unsigned i = 0; i < b->burst; i++)
			fbuf_free(frames[i]);
	}
	return rig_now_ns() - start;
}

static uint64_t time_engine(struct bench *b)
{
	uint8_t answer[MAX_PAYLOAD] = { 0 };
	struct iovec iov = { answer, b->payload_len };
	struct fbuf *frames[MAX_BURST], *f;
	uint64_t start = rig_now_ns();

	for (unsigned long r = 0; r < b->rounds; r += b->burst) {
		provide(b, frames);
		ip_input(&b->rig.ip, &b->rig.env, frames, b->burst, (fs_ns)r);
		while ((f = udp_receive(&b->pcb)) != NULL) {
			fbuf_free(f);
			if (!ip_dst_ready(&b->rig.ip, b->rig.dst))
				abort();
			if (udp_send(&b->udp, &b->rig.env, &b->pcb, b->rig.dst, 2000, &iov, 1,
				     b->payload_len) < 0)
				abort();
		}
		fbuf_queue_free(&b->rig.ip.port[0].out);
	}
	return rig_now_ns() - start;
}

static unsigned long argument(int argc, char **argv, int i, unsigned long otherwise)
{
	return i < argc ? strtoul(argv[i], NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
	unsigned long payload = argument(argc, argv, 2, 64), burst = argument(argc, argv, 3, 1);
	struct bench *b = rig_memory(sizeof(*b));
	uint64_t best_engine = UINT64_MAX, best_frame = UINT64_MAX;

	b->rounds = argument(argc, argv, 1, 1000000) / BATCHES + 1;
	b->payload_len = payload > MAX_PAYLOAD ? (unsigned)MAX_PAYLOAD : (unsigned)payload;
	b->burst = burst < 1 || burst > MAX_BURST ? 1 : (unsigned)burst;
	make_stack(b);
	make_frame(b);
	for (int i = 0; i < BATCHES; i++) {
		uint64_t frame = time_frame(b), engine = time_engine(b);

		best_frame = FS_MIN(best_frame, frame);
		best_engine = FS_MIN(best_engine, engine);
	}
	if (b->rig.counters[FS_CTR_rx_datagrams] < BATCHES * b->rounds)
		abort();
	printf("payload %u burst %u: engine %.1f ns, with buffers and copy of the frame %.1f ns\n",
	       b->payload_len, b->burst, (double)(best_engine - best_frame) / (double)b->rounds,
	       (double)best_engine / (double)b->rounds);
	return 0;
}
