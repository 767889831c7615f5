/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_tcp_trace.c - a simulated world driven by the input: time, segments, calls, errors and faults of the link.
 *
 * The first four bytes choose what the two hosts are like. Then come operations, a byte of what and as many arguments
 * as it takes (missing ones are 0). Segments are relative to a live connection and have right checksums, so that
 * they get beyond the parser. The oracle are the simulator's invariants: recounted connections, what may be sent,
 * memory that is all back. Streams are compared as long as no forged segment had text, a FIN or an ACK in it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "fuzz.h"
#include "tests/sim/check.h"
#include "tests/sim/host.h"
#include "tests/sim/pattern.h"
#include "tests/sim/play.h"
#include "tests/sim/trouble.h"
#include "tests/sim/world.h"
#include "tcp/cc.h"
#include "tcp/conn.h"

enum { MAX_OPS = 300, MAX_FLOWS = 6, TEXT = 255 * 5, SETTLE_S = 100 };

struct input {
	const uint8_t *at, *end;
};

struct trace {
	struct sim_world *world;
	struct sim_play *play;
	struct sim_host *host[2];
	struct sim_link *link;
	struct input in;
};

static uint8_t byte(struct input *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

static uint16_t word(struct input *in)
{
	uint16_t low = byte(in);

	return (uint16_t)(low | byte(in) << 8);
}

/* --- the world --- */

static struct sim_host *make_host(struct trace *t, uint8_t bits)
{
	struct sim_host_config c = { .pinned = bits & 1 ? 64 : 256, .payload = bits & 2 ? 16 : 128, .low_water = 16,
				     .conns = 8, .reqs = 4, .tws = 4, .use_tcp_config = true };

	tcp_config_default(&c.tcp);
	c.tcp.timestamps = !(bits & 4);
	c.tcp.sack = !(bits & 8);
	c.tcp.window_scaling = !(bits & 16);
	c.tcp.ecn = bits & 32 ? 1 : 0;
	c.tcp.syncookies = bits & 64 ? 2 : 0;
	c.tcp.fastopen = 3;
	c.tx_csum_partial = bits & 128;
	if (c.tx_csum_partial)
		c.gso = 16384;
	return sim_host_create(t->world, &c);
}

static void begin_flow(struct trace *t, uint8_t bits)
{
	struct sim_plan plan[2] = { { .use_options = true }, { .use_options = true } };

	if (t->play->n_flows >= MAX_FLOWS)
		return;
	for (unsigned i = 0; i < 2; i++) {
		tcp_options_default(&plan[i].options, &t->host[i]->tcp.config);
		plan[i].options.congestion = (uint8_t)((bits >> (2 * i)) % tcp_cc_count());
		plan[i].by_hand = true; /* what it does is in the input */
		plan[i].in_place = bits >> 4 & 1;
		plan[i].options.oob_inline = bits >> 5 & 1;
		plan[i].options.nodelay = bits >> 6 & 1;
	}
	sim_play_flow(t->play, t->host[0], t->host[1], SIM_PORT, plan, t->world->now);
}

/* --- operations --- */

static struct sim_end *some_end(struct trace *t, uint8_t which)
{
	struct sim_flow *f = t->play->flows;

	for (unsigned n = (which >> 1) % t->play->n_flows; n > 0; n--)
		f = f->next;
	return &f->end[which & 1];
}

static void let_time_pass(struct trace *t)
{
	fs_ns until = t->world->now + (FS_US(1) << (byte(&t->in) % 28)); /* up to two minutes */

	while (sim_step(t->world, until))
		;
}

/* A number near one of those that matter. */
static uint32_t near(struct input *in, const uint32_t *of, unsigned n)
{
	uint8_t which = byte(in);
	int16_t distance = (int16_t)word(in);

	return of[which % n] + (uint32_t)(which & 128 ? distance * 64 : distance / 64);
}

static void put_options(struct trace *t, const struct tcp_conn *c, struct tcp_hdr *h)
{
	uint8_t bits = byte(&t->in);
	const uint32_t blocks[] = { c->snd_una, c->snd_nxt, c->snd_end };

	if (tcp_has(c, TCP_CONN_TS) != !!(bits & 1)) {
		h->options |= TCP_HAS_TIMESTAMP;
		h->ts_val = c->ts_recent + (uint32_t)(int8_t)(bits & 2 ? byte(&t->in) : 0);
		h->ts_ecr = tcp_ts_now(c, t->world->now) - (bits & 4 ? byte(&t->in) : 0u);
	}
	h->n_sack = (uint8_t)(bits >> 4 & 3);
	if (h->n_sack > 3 - (h->options & TCP_HAS_TIMESTAMP ? 1 : 0))
		h->n_sack = 2;
	for (unsigned i = 0; i < h->n_sack; i++) {
		h->sack[i].left = near(&t->in, blocks, FS_ARRAY_SIZE(blocks));
		h->sack[i].right = near(&t->in, blocks, FS_ARRAY_SIZE(blocks));
	}
	if (bits & 64) {
		h->options |= TCP_HAS_MSS | TCP_HAS_WSCALE;
		h->mss = word(&t->in);
		h->wscale = byte(&t->in);
	}
}

/* What arrives is the peer's text at that place: what was received before and comes again must be the same. */
static void inject(struct trace *t)
{
	struct sim_end *e = some_end(t, byte(&t->in));
	const struct tcp_conn *c = e->conn;
	struct sim_forged f = { 0 };
	uint8_t text[TEXT];

	if (!c || c->state == TCP_CLOSED)
		return;
	const uint32_t seqs[] = { c->rcv_nxt, c->rcv_wup + c->rcv_wnd, c->copied_seq, c->irs };
	const uint32_t acks[] = { c->snd_una, c->snd_nxt, c->snd_end, c->iss, c->snd_una - c->max_wnd };

	f.src = c->end.remote;
	f.dst = c->end.local;
	f.h.src_port = c->end.remote_port;
	f.h.dst_port = c->end.local_port;
	f.h.flags = word(&t->in) & TCP_FLAGS;
	f.h.seq = near(&t->in, seqs, FS_ARRAY_SIZE(seqs));
	f.h.ack = near(&t->in, acks, FS_ARRAY_SIZE(acks));
	f.h.window = word(&t->in);
	f.h.urgent = f.h.flags & TCP_URG ? word(&t->in) : 0;
	f.len = byte(&t->in) * 5u;
	f.tos = byte(&t->in);
	put_options(t, c, &f.h);
	sim_pattern_fill(e->peer->key, (uint32_t)(f.h.seq - (c->irs + 1)), text, f.len);
	f.payload = text;
	t->play->spoiled = true;
	e->host->env.now = t->world->now;
	sim_forge(e->host, 0, &f);
	sim_host_settle(e->host);
}

static void call(struct trace *t)
{
	struct sim_end *e = some_end(t, byte(&t->in));
	uint8_t what = byte(&t->in);
	uint16_t argument = word(&t->in);

	if (!e->conn)
		return;
	e->host->env.now = t->world->now;
	sim_program_call(e, what, argument);
	sim_host_settle(e->host);
}

static void fault(struct trace *t)
{
	uint8_t bits = byte(&t->in), strength = byte(&t->in);
	struct fault_config *c = &t->link->fault.to[bits & 1].config;

	t->play->harsh = true; /* it may stay so for minutes, which ends connections */
	switch (bits >> 1 & 7) {
	case 0:
		c->loss = strength * 4000u;
		break;
	case 1:
		c->reorder = strength * 2000u;
		c->reorder_by = FS_MS(3);
		break;
	case 2:
		c->duplicate = strength * 2000u;
		break;
	case 3:
		c->mtu = strength ? 300 + strength * 5u : 0;
		t->link->icmp[bits & 1] = bits >> 4 & 3 ? SIM_ICMP_HONEST : SIM_ICMP_NONE;
		break;
	case 4:
		c->delay = FS_US(1) << strength % 20;
		break;
	case 5:
		c->corrupt = strength * 2000u;
		break;
	case 6:
		sim_host_flap_routes(t->host[bits & 1]);
		break;
	default:
		sim_host_neighbours(t->host[bits & 1], strength & 1);
	}
}

static void error(struct trace *t)
{
	struct sim_end *e = some_end(t, byte(&t->in));
	const struct tcp_conn *c = e->conn;
	struct tcp_icmp icmp;

	if (!c || c->state == TCP_CLOSED)
		return;
	const uint32_t seqs[] = { c->snd_una, c->snd_nxt, c->iss };

	icmp = (struct tcp_icmp){ .local = c->end.local, .remote = c->end.remote, .local_port = c->end.local_port,
				  .remote_port = c->end.remote_port, .error = ECONNREFUSED };
	icmp.kind = byte(&t->in) % 3;
	icmp.seq = near(&t->in, seqs, FS_ARRAY_SIZE(seqs));
	icmp.mtu = word(&t->in);
	e->host->env.now = t->world->now;
	t->play->spoiled = true;
	tcp_icmp_input(&e->host->tcp, &e->host->env, &icmp, t->world->now);
	sim_host_settle(e->host);
}

static void operate(struct trace *t)
{
	uint8_t what = byte(&t->in);

	switch (what % 8) {
	case 0:
	case 1:
		let_time_pass(t);
		break;
	case 2:
	case 3:
		inject(t);
		break;
	case 4:
	case 5:
		call(t);
		break;
	case 6:
		if (what & 8)
			error(t);
		else
			begin_flow(t, byte(&t->in));
		break;
	default:
		fault(t);
	}
}

/* --- the run --- */

/* Their users abort them: also those that begin or are accepted only now. */
static void kill_all(struct trace *t)
{
	fs_ns until = t->world->now + FS_SEC(SETTLE_S);

	while (sim_step(t->world, until))
		;
	for (struct sim_flow *f = t->play->flows; f; f = f->next)
		for (unsigned s = 0; s < 2; s++)
			if (f->end[s].conn) {
				f->end[s].host->env.now = t->world->now;
				sim_program_kill(&f->end[s]);
				sim_host_settle(f->end[s].host);
			}
}

static void body(struct sim_world *w, void *argument)
{
	const struct fault_config wire = { .delay = FS_US(50) };
	struct trace *t = argument;

	t->world = w;
	t->play = sim_play_create(w);
	for (unsigned i = 0; i < 2; i++)
		t->host[i] = make_host(t, byte(&t->in));
	t->link = sim_link_create(w, t->host[0], t->host[1], &wire, 512);
	t->link->fault.hold = FS_US(byte(&t->in) * 10);
	sim_play_listen(t->play, t->host[1], SIM_PORT, 4, NULL, 0);
	begin_flow(t, byte(&t->in));
	sim_check_watch(t->play);
	for (unsigned i = 0; i < MAX_OPS && t->in.at < t->in.end; i++)
		operate(t);
	sim_link_set(t->link, &wire);
	for (unsigned i = 0; i < 2; i++)
		sim_host_neighbours(t->host[i], true);
	t->play->spoiled = true; /* what is aborted ends anyhow */
	sim_play_unlisten(t->play);
	kill_all(t);
	sim_play_finish(t->play);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct trace t = { .in = { data, data + size } };
	struct sim_world *w = sim_world_create(1, FS_SEC(100), 0);
	bool good = sim_world_run(w, body, &t);

	if (!good) {
		fprintf(stderr, "%s\n", w->message);
		abort();
	}
	sim_world_destroy(w);
	return 0;
}
