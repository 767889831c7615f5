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
#include <time.h>

#include "base/counter.h"
#include "ip/ip.h"
#include "udp/udp.h"
#include "wire/eth.h"
#include "wire/ipv4.h"
#include "wire/protocol.h"
#include "wire/udp.h"

enum {
	CHUNK = 2048,
	HEADROOM = 128,
	FRAMES = 4096,
	BUCKETS = 1024,
	MAX_BURST = 64,
	MAX_PAYLOAD = 1472,
	SLAB_BYTES = 1 << 16,
	BATCHES = 50,
};

struct bench {
	struct ip_stack ip;
	struct udp_stack udp;
	struct ip_env env;
	struct udp_pcb pcb;
	struct ip_dst *dst;
	struct fbuf_pool pinned, payload;
	uint64_t counters[FS_CTR_N];
	struct table_node *dsts[BUCKETS], *neighs[BUCKETS], *ports[BUCKETS], *flows[BUCKETS];
	uint8_t frame[CHUNK];
	uint32_t frame_len;
	unsigned long rounds; /* of one batch */
	unsigned payload_len, burst;
};

_Noreturn void fs_assert_failed(const char *expression, const char *file, int line)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, expression);
	abort();
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void *memory(size_t len)
{
	void *p = aligned_alloc(64, len);

	if (!p)
		abort();
	memset(p, 0, len);
	return p;
}

static void add_slab(struct slab *slab)
{
	slab_add(slab, memory(SLAB_BYTES), SLAB_BYTES);
}

static void make_stack(struct bench *b)
{
	static const uint8_t us[4] = { 10, 0, 0, 1 }, them[4] = { 10, 0, 0, 2 };
	static const struct eth_addr peer = { { 2, 0, 0, 0, 0, 2 } };
	static const struct siphash_key key = { { 1, 2 } };
	struct ip_port port = { .ifindex = 1, .mtu = 1500, .up = true, .n_local = 1 };
	struct ip_dst answer = { .way = IP_DST_FAST, .mtu = 1500 };

	fbuf_pool_init(&b->pinned, CHUNK, HEADROOM);
	fbuf_pool_init(&b->payload, CHUNK, 0);
	fbuf_pool_add(&b->pinned, memory(FRAMES * sizeof(struct fbuf)), memory(FRAMES * CHUNK),
		      FRAMES);
	ip_init(&b->ip, &key, &b->payload, b->counters, b->dsts, BUCKETS);
	neigh_table_init(&b->ip.neigh, &key, b->neighs, BUCKETS);
	add_slab(&b->ip.dst_slab);
	add_slab(&b->ip.neigh.slab);
	udp_init(&b->udp, &b->ip, &key, b->ports, BUCKETS, b->flows, BUCKETS);
	b->env = (struct ip_env){ .csum = csum_ops(CSUM_SSE2), .input = udp_input, .udp = &b->udp };
	port.mac = (struct eth_addr){ { 2, 0, 0, 0, 0, 1 } };
	port.local[0] = ip_addr_v4(us);
	port.pool = &b->pinned;
	ip_port_set(&b->ip, 0, &port);
	b->pcb = (struct udp_pcb){ .local_port = 1000, .limit = 212992 };
	udp_insert(&b->udp, &b->pcb);
	answer.local = ip_addr_v4(us);
	answer.remote = ip_addr_v4(them);
	answer.neigh = neigh_learn(&b->ip.neigh, 0, &answer.remote, &peer, NEIGH_VALID, 1);
	b->dst = ip_dst_add(&b->ip, &answer);
}

static void make_frame(struct bench *b)
{
	uint16_t len = (uint16_t)(UDP_HEADER + b->payload_len);
	struct eth_hdr eth = { .dst = b->ip.port[0].mac,
			       .src = b->dst->neigh->mac,
			       .type = ETH_TYPE_IPV4 };
	struct ipv4_hdr ip = { .src = b->dst->remote,
			       .dst = b->dst->local,
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
		frames[i] = fbuf_alloc(&b->pinned);
		memcpy(frames[i]->data, b->frame, b->frame_len);
		frames[i]->len = frames[i]->total = b->frame_len;
	}
}

/* Rounds without the engine: what the frame of the measurement costs. */
static uint64_t time_frame(struct bench *b)
{
	struct fbuf *frames[MAX_BURST];
	uint64_t start = now_ns();

	for (unsigned long r = 0; r < b->rounds; r += b->burst) {
		provide(b, frames);
		for (unsigned i = 0; i < b->burst; i++)
			fbuf_free(frames[i]);
	}
	return now_ns() - start;
}

static uint64_t time_engine(struct bench *b)
{
	uint8_t answer[MAX_PAYLOAD] = { 0 };
	struct iovec iov = { answer, b->payload_len };
	struct fbuf *frames[MAX_BURST], *f;
	uint64_t start = now_ns();

	for (unsigned long r = 0; r < b->rounds; r += b->burst) {
		provide(b, frames);
		ip_input(&b->ip, &b->env, frames, b->burst, (fs_ns)r);
		while ((f = udp_receive(&b->pcb)) != NULL) {
			fbuf_free(f);
			if (!ip_dst_ready(&b->ip, b->dst))
				abort();
			if (udp_send(&b->udp, &b->env, &b->pcb, b->dst, 2000, &iov, 1,
				     b->payload_len) < 0)
				abort();
		}
		fbuf_queue_free(&b->ip.port[0].out);
	}
	return now_ns() - start;
}

static unsigned long argument(int argc, char **argv, int i, unsigned long otherwise)
{
	return i < argc ? strtoul(argv[i], NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
	unsigned long payload = argument(argc, argv, 2, 64), burst = argument(argc, argv, 3, 1);
	struct bench *b = memory(sizeof(*b));
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
	if (b->counters[FS_CTR_rx_datagrams] < BATCHES * b->rounds)
		abort();
	printf("payload %u burst %u: engine %.1f ns, with buffers and copy of the frame %.1f ns\n",
	       b->payload_len, b->burst, (double)(best_engine - best_frame) / (double)b->rounds,
	       (double)best_engine / (double)b->rounds);
	return 0;
}
