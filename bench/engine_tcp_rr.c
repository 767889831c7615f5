/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * engine_tcp_rr.c - what the engine costs per request and answer, without a provider.
 *
 * One end of a connection that is asked and answers: a frame with the request, which acknowledges the last answer,
 * goes through ip_input() and the burst's end, tcp_recv() takes it, tcp_send() leaves the answer's frame. The peer is
 * a header kept here. Under `valgrind --tool=callgrind` with --toggle-collect for these four the difference of two
 * runs gives the instructions of one exchange: bench/run does that. Without valgrind it prints ns, best of many.
 *
 * Usage: engine_tcp_rr [rounds [payload bytes]]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_rig.h"
#include "tcp/tcp.h"
#include "wire/eth.h"
#include "wire/ipv4.h"
#include "wire/protocol.h"
#include "wire/tcp.h"

enum {
	CHUNK = 4096,
	MAX_PAYLOAD = 1400,
	L4 = ETH_HDR_LEN + IPV4_HDR_LEN,
	HDR = TCP_HDR_LEN + TCP_TS_LAYOUT_LEN,
	BATCHES = 50,
	PORT = 1000,
	PEER_PORT = 2000,
};

struct bench {
	struct engine_rig rig;
	struct tcp_stack tcp;
	struct tcp_conn *conn;
	struct table_node *ends[RIG_BUCKETS], *listeners[RIG_BUCKETS];
	fs_ns now;
	struct tcp_hdr peer;  /* its next segment */
	uint8_t frame[CHUNK]; /* as bytes, headers in front */
	unsigned payload_len;
	unsigned events;
};

static void check(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "engine_tcp_rr: %s\n", what);
	exit(1);
}

static void on_event(void *context, struct tcp_conn *conn, uint32_t edges)
{
	struct bench *b = context;

	b->events |= edges;
}

static struct ip_dst *on_resolve(void *context, const struct ip_addr *remote, const struct ip_addr *local,
				 uint64_t choice)
{
	return ((struct bench *)context)->rig.dst;
}

static const struct tcp_ops ops = { .event = on_event, .resolve = on_resolve };

static void make_stack(struct bench *b)
{
	static const struct siphash_key secret[TCP_N_SECRETS];

	b->now = FS_SEC(1000);
	engine_rig_open(&b->rig, CHUNK, IP_TX_HEADROOM);
	b->rig.pinned.low_water = RIG_FRAMES / 4;
	tcp_init(&b->tcp, &b->rig.ip, &rig_key, secret, b->ends, RIG_BUCKETS, b->listeners, RIG_BUCKETS, b->now);
	rig_add_slab(&b->tcp.conns);
	b->rig.env = (struct ip_env){ .csum = csum_ops(CSUM_SSE2), .tcp_input = tcp_input, .tcp_quick = tcp_quick_input,
				      .tcp = &b->tcp, .tcp_ops = &ops, .context = b, .now = b->now };
}

/* The peer's segment @b->peer with @len bytes, as receive() would give it. */
static struct fbuf *provide(struct bench *b, uint32_t len)
{
	uint32_t hdr_len = (uint32_t)tcp_emit_len(&b->peer);
	struct eth_hdr eth = { .dst = b->rig.ip.port[0].mac, .src = b->rig.dst->neigh->mac, .type = ETH_TYPE_IPV4 };
	struct ipv4_hdr ip = { .src = b->rig.dst->remote, .dst = b->rig.dst->local, .hdr_len = IPV4_HDR_LEN, .ttl = 64,
			       .dont_fragment = true, .total_len = (uint16_t)(IPV4_HDR_LEN + hdr_len + len),
			       .protocol = WIRE_PROTO_TCP };
	uint8_t *l4 = b->frame + L4;
	struct fbuf *f = fbuf_alloc(&b->rig.pinned);
	be16_t field;

	eth_emit(&eth, b->frame, ETH_HDR_LEN);
	ipv4_emit(&ip, b->frame + ETH_HDR_LEN, IPV4_HDR_LEN);
	tcp_emit(&b->peer, l4, TCP_MAX_HDR_LEN);
	memset(l4 + hdr_len, 0x55, len);
	field = csum_finish(csum_add(csum_pseudo(&ip.src, &ip.dst, WIRE_PROTO_TCP, hdr_len + len),
				     csum_inline(l4, hdr_len + len)));
	memcpy(l4 + 16, &field, sizeof(field));
	f->len = f->total = L4 + hdr_len + len;
	memcpy(f->data, b->frame, f->len);
	return f;
}

/* Read what left, as the peer, and let go of it. A young connection acknowledges at once, before the answer. */
static void take_out(struct bench *b)
{
	struct fbuf *f;

	check(b->rig.ip.port[0].out.frames > 0, "nothing left");
	while ((f = fbuf_queue_pop(&b->rig.ip.port[0].out)) != NULL) {
		struct tcp_hdr h;
		int hdr_len = tcp_parse(&h, f->data + L4, f->total - L4);

		b->peer.ack = h.seq + f->total - L4 - (uint32_t)hdr_len + ((h.flags & TCP_SYN) != 0);
		b->peer.ts_ecr = h.ts_val;
		fbuf_free(f);
	}
}

static void set_time(struct bench *b, fs_ns step)
{
	b->now += step;
	b->rig.env.now = b->now;
	b->peer.ts_val = (uint32_t)(b->now / FS_MS(1));
}

static void burst(struct bench *b, struct fbuf *frame)
{
	ip_input(&b->rig.ip, &b->rig.env, &frame, 1, b->now);
	tcp_burst_end(&b->tcp, &b->rig.env, b->now);
}

static void establish(struct bench *b)
{
	b->conn = tcp_open(&b->tcp, NULL);
	check(tcp_connect(b->conn, &b->rig.env, &b->rig.dst->local, PORT, &b->rig.dst->remote, PEER_PORT, b->now) == 0, "connect");
	b->peer = (struct tcp_hdr){ .src_port = PEER_PORT, .dst_port = PORT, .seq = 5000,
				    .flags = TCP_SYN | TCP_ACK, .window = 65535, .mss = 1460, .wscale = 7,
				    .options = TCP_HAS_MSS | TCP_HAS_SACK_PERMITTED | TCP_HAS_TIMESTAMP |
					       TCP_HAS_WSCALE };
	take_out(b);
	set_time(b, FS_US(20));
	burst(b, provide(b, 0));
	take_out(b);
	check(tcp_ready(b->conn) & TCP_READY_OUT, "not established");
	b->peer.seq++;
	b->peer.flags = TCP_ACK | TCP_PSH;
	b->peer.options = TCP_HAS_TIMESTAMP;
	b->peer.window = 502;
}

/* One request and its answer; what the callgrind run counts is in the four calls. */
static uint64_t exchange(struct bench *b)
{
	static uint8_t bytes[MAX_PAYLOAD];
	struct iovec iov = { bytes, b->payload_len };
	struct fbuf *frame = provide(b, b->payload_len);
	uint64_t began, took;

	began = rig_now_ns();
	burst(b, frame);
	check(tcp_recv(b->conn, &b->rig.env, &iov, 1, 0, 0, b->now) == (ssize_t)b->payload_len, "short request");
	check(tcp_send(b->conn, &b->rig.env, &iov, 1, 0, b->now) == (ssize_t)b->payload_len, "short answer");
	took = rig_now_ns() - began;
	b->peer.seq += b->payload_len;
	take_out(b);
	set_time(b, FS_US(20));
	if (tcp_next(&b->tcp) <= b->now)
		tcp_advance(&b->tcp, &b->rig.env, b->now);
	return took;
}

int main(int argc, char **argv)
{
	static struct bench b;
	unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 0) : 20000;
	uint64_t best = UINT64_MAX;

	b.payload_len = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 0) : 64;
	if (rounds == 0 || b.payload_len == 0 || b.payload_len > MAX_PAYLOAD) {
		fprintf(stderr, "usage: engine_tcp_rr [rounds [payload bytes]]\n");
		return 2;
	}
	make_stack(&b);
	establish(&b);
	for (unsigned batch = 0; batch < BATCHES; batch++) {
		uint64_t sum = 0;

		for (unsigned long i = 0; i < rounds / BATCHES + 1; i++)
			sum += exchange(&b);
		best = best < sum / (rounds / BATCHES + 1) ? best : sum / (rounds / BATCHES + 1);
	}
	printf("%u bytes each way: %llu ns an exchange\n", b.payload_len, (unsigned long long)best);
	return 0;
}
