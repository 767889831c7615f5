/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * liars.c - receivers that lie: what they acknowledge they do not have, what they announced they take back.
 *
 * A liar's segments are changed on their way out. Beside it the same sender serves an honest receiver, which must
 * not suffer; the sender must keep its invariants and its memory; and when the liar stops lying what it was told is
 * what was sent, unless it said it had what it never got.
 */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "check.h"
#include "scenario.h"
#include "tcp/conn.h"
#include "wire/packet.h"
#include "wire/protocol.h"
#include "wire/tcp.h"

enum { HONEST_BYTES = 2000000, LIAR_BYTES = 300000, LIES_S = 20, AHEAD = 30000 };

/*
 * AHEAD_OF_DATA  acknowledges what is in flight: to be served faster (optimistic ACKs).
 * BEYOND         acknowledges what was never sent.
 * FALSE_BLOCKS   says by SACK that it holds what it lost, and never has it: reneging.
 * SHRINKING      takes windows back, to nothing now and then.
 */
enum lie { LIE_AHEAD_OF_DATA, LIE_BEYOND, LIE_FALSE_BLOCKS, LIE_SHRINKING, LIES };

static const char *const lie_name[LIES] = { "optimistic ACKs", "ACKs of nothing", "false SACK blocks", "shrinking windows" };

struct liar {
	enum lie lie;
	struct sim_host *host;
	const struct sim_end *victim;
	struct sim_random random;
	fs_ns until;
	uint32_t told;
};

static void change(struct liar *l, struct tcp_hdr *h, const struct tcp_conn *victim)
{
	struct sim_random *r = &l->random;
	uint32_t out = victim->snd_nxt - h->ack;

	switch (l->lie) {
	case LIE_AHEAD_OF_DATA:
		h->ack += FS_MIN(out, (uint32_t)AHEAD);
		break;
	case LIE_BEYOND:
		h->ack += out + (uint32_t)sim_range(r, 1, 1u << 20);
		break;
	case LIE_FALSE_BLOCKS:
		if (out < 3000)
			return;
		h->n_sack = 1;
		h->sack[0].left = h->ack + (uint32_t)sim_range(r, 1, 2000);
		h->sack[0].right = h->sack[0].left + (uint32_t)sim_range(r, 1, out - 2001);
		break;
	default:
		h->window = sim_chance(r, 30) ? 0 : (uint16_t)sim_below(r, h->window + 1u);
	}
	l->told++;
}

/* A bare ACK of the liar's, in its own chunk: written anew. */
static void mangle(struct sim_world *w, struct sim_host *host, unsigned port, struct fbuf *frame)
{
	struct liar *l = w->more;
	struct packet p;
	struct tcp_hdr h;
	uint8_t *ip, *tcp;
	be16_t sum;
	size_t len;

	(void)port;
	if (host != l->host || w->now > l->until || !l->victim->conn ||
	    packet_parse(&p, frame->data, frame->len, frame->total) != PACKET_OK || p.payload_len > 0 || p.is_v6 ||
	    tcp_parse(&h, frame->data + p.l4_offset, frame->len - p.l4_offset) < 0 || h.flags != TCP_ACK)
		return;
	change(l, &h, l->victim->conn);
	ip = frame->data + p.l3_offset;
	tcp = frame->data + p.l4_offset;
	len = tcp_emit(&h, tcp, TCP_MAX_HDR_LEN);
	frame->len = frame->total = (uint32_t)(p.l4_offset + len);
	be16_store(ip + 2, (uint16_t)(p.l4_offset - p.l3_offset + len));
	memset(ip + 10, 0, 2);
	sum = csum_finish(csum_inline(ip, 20));
	memcpy(ip + 10, &sum, 2);
	memset(tcp + 16, 0, 2);
	sum = csum_finish(csum_add(csum_pseudo(&p.src, &p.dst, WIRE_PROTO_TCP, (uint32_t)len), csum_inline(tcp, len)));
	memcpy(tcp + 16, &sum, 2);
}

static void check_honest(struct sim_world *w, void *object, uint64_t argument)
{
	const struct sim_flow *f = object;

	(void)argument;
	SIM_CHECK(w, f->end[0].done && f->end[0].received == HONEST_BYTES, "the honest one got %llu of %u bytes meanwhile",
		  (unsigned long long)f->end[0].received, HONEST_BYTES);
}

struct run {
	enum lie lie;
	uint32_t told;
};

static void body(struct sim_world *w, void *argument)
{
	const struct fault_config wire = { .delay = FS_MS(10), .rate_bps = 20000000, .queue_bytes = 60000, .loss = 5000 };
	struct sim_plan plan[2] = { { .send = 0 }, { .send = LIAR_BYTES } };
	struct run *run = argument;
	struct liar l = { .lie = run->lie, .random = sim_random_stream(w->seed, 8), .until = w->now + FS_SEC(LIES_S) };
	struct sim_pair pair;
	struct sim_flow *honest, *lying;

	sim_pair_create(w, &pair, NULL, NULL, &wire);
	l.host = sim_host_create(w, &(struct sim_host_config){ 0 });
	sim_link_create(w, l.host, pair.server, &wire, 4096);
	honest = sim_pair_flow(&pair, 0, HONEST_BYTES, w->now + FS_MS(1));
	lying = sim_play_flow(pair.play, l.host, pair.server, SIM_PORT, plan, w->now + FS_MS(1));
	lying->v6 = false;
	lying->end[0].remote = pair.server->v4;
	/* Who says it has what it has not loses it. */
	lying->orderly = run->lie != LIE_AHEAD_OF_DATA;
	l.victim = &lying->end[1];
	w->more = &l;
	w->watch.mangle = mangle;
	sim_check_watch(pair.play);
	sim_at(w, l.until, check_honest, honest, 0);
	sim_pair_finish(&pair, FS_SEC(2000));
	run->told = l.told;
}

void sim_scenario_liars(struct sim_world *outer, const struct sim_scenario_args *args)
{
	(void)args;
	for (unsigned i = 0; i < LIES; i++) {
		struct run run = { .lie = (enum lie)i };

		sim_world_within(outer, outer->seed + i, lie_name[i], body, &run);
		SIM_CHECK(outer, run.told > 3, "%s: %u lies only", lie_name[i], run.told);
		printf("%s: %u lies told\n", lie_name[i], run.told);
	}
}
