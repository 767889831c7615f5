/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * draw.c - worlds from seeds.
 *
 * The bounds are chosen so that a run ends: what a plan takes of virtual time, and of events, is limited.
 * Does not judge: sim_check_watch() and the programs do.
 */
#include "draw.h"

#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "check.h"
#include "host.h"
#include "isn.h"
#include "pcap.h"
#include "play.h"
#include "tcp/cc.h"
#include "tcp/conn.h"
#include "trouble.h"
#include "world.h"

enum {
	MAX_FLOWS = 12,
	SLOW_BYTES = 20000,  /* at most, where each call moves little */
	LONG_BYTES = 400000,
	WIRE_CHUNKS = 6000,
	HARSH_LOSS = 120000, /* per million: from here on connections may die of it */
	MIN_V6_MTU = 1280,
	ISN_RANGE = 1 << 18, /* before the wrap */
	FLIGHTS = 10,	     /* so often the patience may be had again by who gets on */
};

struct draw {
	struct sim_world *world;
	struct sim_play *play;
	struct sim_random host, link, flow, time;
	struct sim_host *client, *server, *other; /* other: a second client; NULL mostly */
	struct fault_config good[2];		  /* of the first link, by end: what it is like without faults */
	fs_ns heals_at;
	bool reorders;
	bool verbose;
};

/* --- hosts --- */

static fs_ns draw_start(struct sim_random *r)
{
	/* Clocks of ms and us wrap, and so do differences of them. */
	static const uint64_t wraps_ms[] = { 1u << 31, 1ull << 32, (1ull << 32) / 1000, (1ull << 31) / 1000 };
	uint64_t near = sim_range(r, 0, 8000);

	if (sim_chance(r, 40))
		return FS_SEC(1) + (fs_ns)sim_below(r, FS_SEC(100));
	return FS_MS((fs_ns)(SIM_PICK(r, wraps_ms) - near)) + (fs_ns)sim_below(r, 1000000);
}

static void draw_tcp(struct sim_random *r, struct tcp_config *c)
{
	tcp_config_default(c);
	c->timestamps = sim_chance(r, 80);
	c->sack = sim_chance(r, 80);
	c->window_scaling = sim_chance(r, 85);
	c->ecn = (uint8_t)sim_below(r, 3);
	c->congestion = (uint8_t)(sim_chance(r, 40) ? 0 : sim_below(r, tcp_cc_count()));
	c->syncookies = (uint8_t)sim_below(r, 3);
	c->rfc1337 = sim_chance(r, 30);
	c->slow_start_after_idle = sim_chance(r, 70);
	c->mtu_probing = sim_chance(r, 50);
	if (sim_chance(r, 30))
		c->initial_cwnd = (uint32_t)sim_spread(r, 1, 64);
	if (sim_chance(r, 30))
		c->rcvbuf[1] = (uint32_t)sim_spread(r, 4096, 1 << 20);
	if (sim_chance(r, 30))
		c->rcvbuf[2] = FS_MAX(c->rcvbuf[1], (uint32_t)sim_spread(r, 65536, 16 << 20));
	if (sim_chance(r, 30))
		c->sndbuf[1] = (uint32_t)sim_spread(r, 4096, 1 << 20);
	if (sim_chance(r, 20))
		c->max_tw = (uint32_t)sim_below(r, 4);
	if (sim_chance(r, 30))
		c->fastopen = 3;
}

static uint32_t draw_mtu(struct sim_random *r)
{
	static const uint32_t usual[] = { 1500, 1500, 1500, 1500, 9000, 1280, 576, 1006, 4352 };

	return sim_chance(r, 90) ? SIM_PICK(r, usual) : (uint32_t)sim_range(r, 300, 9000);
}

static struct sim_host *draw_host(struct draw *d, uint32_t mtu)
{
	struct sim_random *r = &d->host;
	struct sim_host_config c = { .mtu = mtu, .use_tcp_config = true };

	draw_tcp(r, &c.tcp);
	c.pinned = (uint32_t)(sim_chance(r, 70) ? 2048 : sim_spread(r, 160, 2048));
	c.payload = (uint32_t)(sim_chance(r, 70) ? 1024 : sim_spread(r, 64, 1024));
	/* What is queued to send must never keep ACKs from coming in. */
	c.low_water = sim_chance(r, 50) ? c.pinned / 8 : (uint32_t)sim_range(r, c.pinned / 12, c.pinned / 2);
	if (sim_chance(r, 30))
		c.chunk = 2048; /* long frames come in parts, then */
	c.lazy = sim_chance(r, 60) ? 0 : (fs_ns)sim_spread(r, FS_US(10), FS_MS(5));
	c.burst = (uint32_t)(sim_chance(r, 60) ? SIM_BURST : sim_spread(r, 1, SIM_BURST));
	c.slots = (uint32_t)(sim_chance(r, 70) ? FAULT_TX_SLOTS : sim_spread(r, 1, FAULT_TX_SLOTS));
	c.tx_csum_partial = sim_chance(r, 50);
	if (c.tx_csum_partial && sim_chance(r, 60))
		c.gso = (uint16_t)sim_spread(r, 8192, 65535);
	c.spread = c.chunk == 2048 && mtu <= 1500 && sim_chance(r, 30);
	if (sim_chance(r, 20))
		c.tws = (uint32_t)sim_range(r, 1, 8);
	if (sim_chance(r, 20))
		c.reqs = (uint32_t)sim_range(r, 1, 8);
	if (c.gso && sim_chance(r, 70))
		c.segments = (uint32_t)sim_spread(r, 1, 1024);
	return sim_host_create(d->world, &c);
}

/* --- links --- */

/* What a line is like on a good day. */
static void draw_line(struct sim_random *r, struct fault_config *c)
{
	c->delay = (fs_ns)sim_spread(r, FS_US(5), FS_MS(200));
	if (sim_chance(r, 50))
		c->rate_bps = sim_spread(r, 300000, 1000000000);
	c->complete = sim_chance(r, 50);
	c->split = sim_chance(r, 60);
}

static void draw_losses(struct sim_random *r, struct fault_config *c)
{
	static const uint32_t kinds[] = { FAULT_KIND_SYN, FAULT_KIND_SYN_ACK, FAULT_KIND_FIN, FAULT_KIND_ACK,
					  FAULT_KIND_DATA | FAULT_KIND_AGAIN, FAULT_KIND_FIN | FAULT_KIND_AGAIN,
					  FAULT_KIND_DATA };

	if (sim_chance(r, 35))
		c->loss = (uint32_t)sim_spread(r, 1000, 200000);
	if (sim_chance(r, 15)) {
		c->bad_enter = (uint32_t)sim_spread(r, 100, 30000);
		c->bad_leave = (uint32_t)sim_spread(r, 30000, 500000);
		c->bad_loss = (uint32_t)sim_range(r, 200000, 1000000);
	}
	if (sim_chance(r, 15))
		c->loss_mask = sim_random_next(r) & sim_random_next(r) & sim_random_next(r);
	for (unsigned i = 0; i < FAULT_PICKS && sim_chance(r, 30); i++)
		c->picks[i] = (struct fault_pick){ SIM_PICK(r, kinds), (uint32_t)sim_spread(r, 1, 40),
						   (uint32_t)sim_spread(r, 1, 4) };
}

static void draw_faults(struct sim_random *r, struct fault_config *c, uint32_t mtu, fs_ns now)
{
	draw_losses(r, c);
	if (sim_chance(r, 25)) {
		c->jitter = (fs_ns)sim_spread(r, FS_US(1), FS_MS(50));
		c->jitter_shape = (uint8_t)sim_below(r, 3);
	}
	if (c->rate_bps && sim_chance(r, 70))
		c->queue_bytes = (uint32_t)sim_spread(r, mtu + 18, 300000);
	if (sim_chance(r, 15))
		c->duplicate = (uint32_t)sim_spread(r, 1000, 200000);
	if (sim_chance(r, 15))
		c->corrupt = (uint32_t)sim_spread(r, 1000, 100000);
	if (sim_chance(r, 25)) {
		c->reorder = (uint32_t)sim_spread(r, 1000, 300000);
		c->reorder_by = (fs_ns)sim_spread(r, FS_US(10), FS_MS(60));
	}
	if (c->rate_bps && sim_chance(r, 30))
		c->mark_bytes = (uint32_t)sim_spread(r, 1500, 60000);
	if (sim_chance(r, 12)) {
		c->down_from = now + (fs_ns)sim_below(r, FS_SEC(5));
		c->down_for = (fs_ns)sim_spread(r, FS_MS(5), FS_SEC(4));
		c->down_every = c->down_for * (fs_ns)sim_range(r, 2, 6);
	}
}

static bool is_harsh(const struct fault_config *c)
{
	return c->loss > HARSH_LOSS || c->bad_enter > 0 || c->loss_mask || c->down_for > 0 || c->corrupt > 50000 ||
	       c->jitter_shape == FAULT_JITTER_TAIL || c->picks[0].kinds != 0 || c->queue_bytes > 0;
}

static void draw_link(struct draw *d, struct sim_host *a, struct sim_host *b)
{
	struct sim_random *r = &d->link;
	struct fault_config config[2] = { 0 };
	uint32_t mtu = FS_MIN(a->config.mtu, b->config.mtu);
	struct sim_link *link;

	draw_line(r, &config[0]);
	config[1] = config[0];
	if (sim_chance(r, 30))
		draw_line(r, &config[1]);
	memcpy(d->good, config, sizeof(config));
	for (unsigned e = 0; e < 2; e++)
		draw_faults(r, &config[e], mtu, d->world->now);
	link = sim_link_create(d->world, a, b, &config[0], WIRE_CHUNKS);
	for (unsigned e = 0; e < 2; e++) {
		link->fault.to[e].config = config[e];
		d->play->harsh |= is_harsh(&config[e]);
		d->reorders |= config[e].reorder > 0;
	}
	link->fault.hold = sim_chance(r, 60) ? 0 : (fs_ns)sim_spread(r, FS_US(10), FS_MS(300));
	/* A path narrower than its ends; below 1280 none has IPv6. */
	if (sim_chance(r, 15) && mtu > 600 && mtu != MIN_V6_MTU) {
		for (unsigned e = 0; e < 2; e++) {
			link->fault.to[e].config.mtu = (uint32_t)sim_range(r, mtu > MIN_V6_MTU ? MIN_V6_MTU : 576, mtu - 1);
			link->icmp[e] = (uint8_t)sim_below(r, 3);
		}
	}
}

static void heal(struct sim_world *w, void *object, uint64_t argument)
{
	struct draw *d = object;

	(void)argument;
	for (unsigned i = 0; i < w->n_links; i++) {
		for (unsigned e = 0; e < 2; e++) {
			struct fault_config *c = &w->link[i]->fault.to[e].config;
			struct fault_config was = *c;

			*c = d->good[e];
			c->split = was.split;
			c->complete = was.complete;
			/* An honest narrow path stays narrow; a silent one becomes wide. */
			if (w->link[i]->icmp[e] != SIM_ICMP_NONE)
				c->mtu = was.mtu;
		}
		w->link[i]->fault.hold = FS_MIN(w->link[i]->fault.hold, FS_MS(1));
	}
	for (unsigned i = 0; i < w->n_hosts; i++) {
		w->host[i]->busy_percent = 0;
		w->host[i]->unreachable = false;
		sim_host_neighbours(w->host[i], true);
	}
	sim_trouble_stop(w);
}

/* --- programs --- */

static void draw_options(struct sim_random *r, struct sim_plan *p)
{
	struct tcp_options *o = &p->options;

	o->nodelay = sim_chance(r, 40);
	o->oob_inline = sim_chance(r, 50);
	o->congestion = (uint8_t)(sim_chance(r, 40) ? 0 : sim_below(r, tcp_cc_count()));
	if (sim_chance(r, 20))
		o->sndbuf = (uint32_t)sim_spread(r, 4608, 4 << 20);
	if (sim_chance(r, 20))
		o->rcvbuf = (uint32_t)sim_spread(r, 2304, 4 << 20);
	if (sim_chance(r, 8))
		o->window_clamp = (uint32_t)sim_spread(r, 1500, 1 << 20);
	if (sim_chance(r, 10))
		o->notsent_lowat = (uint32_t)sim_spread(r, 1, 1 << 17);
	if (sim_chance(r, 10))
		o->rcvlowat = (uint32_t)sim_spread(r, 1, 3000);
	if (sim_chance(r, 10))
		o->mss = (uint16_t)sim_range(r, 88, 1460);
	if (sim_chance(r, 10))
		o->max_pacing_rate = (uint32_t)sim_spread(r, 50000, 100000000);
	if (sim_chance(r, 15)) {
		o->keepalive = true;
		o->keep_idle_s = (uint16_t)sim_range(r, 1, 30);
		o->keep_interval_s = (uint16_t)sim_range(r, 1, 30);
	}
	if (sim_chance(r, 5))
		o->user_timeout_ms = (uint32_t)sim_spread(r, 1000, 60000);
}

static uint64_t draw_bytes(struct sim_random *r)
{
	if (sim_chance(r, 15))
		return 0;
	return sim_spread(r, 1, sim_chance(r, 70) ? 60000 : LONG_BYTES);
}

static void draw_plan(struct sim_random *r, struct sim_plan *p, const struct sim_host *host)
{
	static const uint8_t endings[] = { SIM_END_SHUT, SIM_END_SHUT, SIM_END_SHUT, SIM_END_SHUT, SIM_END_PASSIVE,
					   SIM_END_PASSIVE, SIM_END_CLOSE, SIM_END_RESET, SIM_END_ABORT };

	*p = (struct sim_plan){ .send = draw_bytes(r), .ending = SIM_PICK(r, endings), .use_options = true };
	tcp_options_default(&p->options, &host->tcp.config);
	draw_options(r, p);
	if (sim_chance(r, 25)) {
		p->write_max = (uint32_t)sim_spread(r, 1, 3000);
		p->write_gap = sim_chance(r, 50) ? 0 : (fs_ns)sim_spread(r, FS_US(10), FS_MS(20));
	}
	if (sim_chance(r, 20)) {
		p->read_max = (uint32_t)sim_spread(r, 1, 5000);
		p->read_gap = sim_chance(r, 50) ? 0 : (fs_ns)sim_spread(r, FS_US(10), FS_MS(20));
	}
	if (sim_chance(r, 12)) {
		p->pause_after = sim_spread(r, 1, 50000);
		p->pause_for = (fs_ns)sim_spread(r, FS_MS(1), FS_SEC(30));
	}
	if (sim_chance(r, 12))
		p->stay_for = (fs_ns)sim_spread(r, FS_MS(1), FS_SEC(5));
	p->abort_after = sim_spread(r, 1, 100000);
	p->more_percent = (uint8_t)(sim_chance(r, 20) ? sim_below(r, 90) : 0);
	p->peek_percent = (uint8_t)(sim_chance(r, 15) ? sim_below(r, 60) : 0);
	p->skip_percent = (uint8_t)(sim_chance(r, 10) ? sim_below(r, 60) : 0);
	p->in_place = sim_chance(r, 20);
	p->fiddles = sim_chance(r, 20);
	if (sim_chance(r, 10))
		p->urgent_every = (uint32_t)sim_spread(r, 50, 20000);
	if ((p->write_max > 0 && p->write_max < 100) || p->write_gap > 0)
		p->send = FS_MIN(p->send, (uint64_t)SLOW_BYTES);
}

/* What one plan makes impossible for the other. */
static void reconcile(struct sim_plan plan[2])
{
	for (unsigned i = 0; i < 2; i++) {
		if ((plan[i].read_max > 0 && plan[i].read_max < 100) || plan[i].read_gap > 0)
			plan[!i].send = FS_MIN(plan[!i].send, (uint64_t)SLOW_BYTES);
		/* A reader of frames or by TRUNC cannot tell where an urgent byte was taken out. */
		if (plan[!i].urgent_every > 0) {
			plan[i].in_place = false;
			plan[i].skip_percent = plan[i].peek_percent = 0;
		}
		if (plan[i].ending == SIM_END_ABORT && plan[i].abort_after > plan[0].send + plan[1].send)
			plan[i].ending = SIM_END_SHUT;
	}
	/* Without congestion control the receiver's buffer must hold whatever comes. */
	for (unsigned i = 0; i < 2; i++)
		if (strcmp(tcp_cc_at(plan[i].options.congestion)->name, "none") == 0 &&
		    (plan[!i].options.rcvbuf || plan[!i].fiddles || plan[!i].options.window_clamp))
			plan[i].options.congestion = 0;
	if (plan[0].ending == SIM_END_PASSIVE && plan[1].ending == SIM_END_PASSIVE)
		plan[0].ending = SIM_END_SHUT;
	/* One waits for the other's end, which does not come by FIN. */
	for (unsigned i = 0; i < 2; i++)
		if (plan[i].ending == SIM_END_PASSIVE && plan[!i].ending == SIM_END_ABORT)
			plan[i].ending = SIM_END_SHUT;
}

static bool is_orderly(const struct sim_plan plan[2])
{
	for (unsigned i = 0; i < 2; i++)
		if ((plan[i].ending != SIM_END_SHUT && plan[i].ending != SIM_END_PASSIVE) ||
		    plan[i].options.user_timeout_ms > 0)
			return false;
	return true;
}

static void draw_flow(struct draw *d, fs_ns start)
{
	struct sim_random *r = &d->flow;
	struct sim_host *client = d->other && sim_chance(r, 50) ? d->other : d->client;
	bool reversed = client == d->client && sim_chance(r, 20);
	struct sim_host *from = reversed ? d->server : client, *to = reversed ? d->client : d->server;
	struct sim_plan plan[2];
	struct sim_flow *f;

	draw_plan(r, &plan[0], from);
	draw_plan(r, &plan[1], to);
	reconcile(plan);
	/* Who answers with cookies forgets a client whose ACK was lost, and so does everybody after the last SYN-ACK in vain:
	 * a client that waits for the other end and sends nothing would wait for ever. */
	if ((to->config.tcp.syncookies != 0 || d->play->harsh) && plan[0].ending == SIM_END_PASSIVE)
		plan[0].send = FS_MAX(plan[0].send, 1u);
	f = sim_play_flow(d->play, from, to, SIM_PORT, plan, start);
	if (from->config.mtu < MIN_V6_MTU || to->config.mtu < MIN_V6_MTU) {
		f->v6 = false;
		f->end[0].remote = *sim_host_addr(to, false);
	}
	f->orderly = is_orderly(plan);
	if (sim_chance(r, 6))
		sim_play_mutual(d->play, f, (uint16_t)(9000 + f->index));
}

/* The first connection's numbers wrap in mid-transfer, in one direction or in both. */
static void draw_numbers(struct draw *d)
{
	struct sim_random *r = &d->flow;
	struct sim_end *client = &d->play->flows->end[0], *server = &d->play->flows->end[1];
	struct sim_end *ends[] = { client, server };

	if (!sim_chance(r, 10))
		return;
	for (unsigned i = 0; i < 2; i++) {
		struct sim_end *e = ends[i];

		if (sim_chance(r, 30))
			continue;
		e->plan.send = FS_MAX(e->plan.send, e->plan.write_gap || e->peer->plan.read_gap ? 0u : LONG_BYTES / 2);
		sim_isn_before_wrap(e->host, i == 0 ? SIM_CLIENT_PORT : SIM_PORT,
				    i == 0 ? &client->remote : sim_host_addr(client->host, client->flow->v6),
				    i == 0 ? SIM_PORT : SIM_CLIENT_PORT, d->play->flows->start, ISN_RANGE);
	}
}

static void draw_flows(struct draw *d)
{
	struct sim_random *r = &d->flow;
	unsigned n = (unsigned)sim_spread(r, 1, MAX_FLOWS);
	struct sim_host *hosts[] = { d->client, d->server };
	fs_ns at = d->world->now + FS_MS(1);

	for (unsigned i = 0; i < FS_ARRAY_SIZE(hosts); i++) {
		uint32_t backlog = (uint32_t)(sim_chance(r, 60) ? 128 : sim_range(r, 0, 4));
		fs_ns delay = sim_chance(r, 60) ? 0 : (fs_ns)sim_spread(r, FS_US(10), FS_SEC(1));

		sim_play_listen(d->play, hosts[i], SIM_PORT, backlog, NULL, delay);
		/* Who overflows forgets what cookies stand for, and resets what follows; without cookies a handshake that
		 * nobody ends may keep others out for longer than they try (as Linux). */
		d->play->harsh |= backlog < n || hosts[i]->config.reqs < n;
	}
	d->play->port_span = sim_chance(r, 20) ? (uint16_t)sim_range(r, n, n + 3) : 0;
	for (unsigned i = 0; i < n; i++) {
		draw_flow(d, at);
		if (sim_chance(r, 60))
			at += (fs_ns)sim_spread(r, FS_US(1), FS_SEC(2));
	}
	draw_numbers(d);
}

/* --- the run --- */

static void describe(const struct draw *d)
{
	for (unsigned i = 0; i < d->world->n_hosts; i++) {
		const struct sim_host *h = d->world->host[i];
		const struct tcp_config *c = &h->tcp.config;

		fprintf(stderr, "%s: mtu %u chunk %u pinned %u (low %u) payload %u segments %u lazy %lld burst %u slots %u partial %d gso %u; "
			"ts %d sack %d ws %d ecn %u cc %s cookies %u iw %u rcvbuf %u sndbuf %u fastopen %u probing %d\n",
			h->name, h->config.mtu, h->config.chunk, h->config.pinned, h->config.low_water, h->config.payload,
			h->config.segments,
			(long long)h->config.lazy, h->config.burst, h->config.slots, h->config.tx_csum_partial,
			h->config.gso, c->timestamps, c->sack, c->window_scaling, c->ecn, tcp_cc_at(c->congestion)->name,
			c->syncookies, c->initial_cwnd, c->rcvbuf[1], c->sndbuf[1], c->fastopen, c->mtu_probing);
	}
	for (unsigned e = 0; e < 2; e++) {
		const struct fault_config *c = &d->world->link[0]->fault.to[e].config;

		fprintf(stderr, "to h%u: delay %lld jitter %lld/%u rate %llu queue %u loss %u burst %u dup %u corrupt %u "
			"reorder %u by %lld mark %u mtu %u mask %llx down %lld/%lld split %d complete %d\n", e,
			(long long)c->delay, (long long)c->jitter, c->jitter_shape, (unsigned long long)c->rate_bps,
			c->queue_bytes, c->loss, c->bad_enter, c->duplicate, c->corrupt, c->reorder,
			(long long)c->reorder_by, c->mark_bytes, c->mtu, (unsigned long long)c->loss_mask,
			(long long)c->down_for, (long long)c->down_every, c->split, c->complete);
	}
	for (const struct sim_flow *f = d->play->flows; f; f = f->next)
		for (unsigned s = 0; s < 2; s++) {
			const struct sim_plan *p = &f->end[s].plan;

			fprintf(stderr, "%s on %s: sends %llu by %u gap %lld, reads %u gap %lld pause %lld after %llu, ending %u, "
				"more %u urgent %u in place %d sndbuf %u rcvbuf %u lowat %u/%u cc %u%s\n",
				sim_end_name(&f->end[s]), f->end[s].host->name, (unsigned long long)p->send, p->write_max,
				(long long)p->write_gap, p->read_max, (long long)p->read_gap, (long long)p->pause_for,
				(unsigned long long)p->pause_after, p->ending, p->more_percent, p->urgent_every, p->in_place,
				p->options.sndbuf, p->options.rcvbuf, p->options.rcvlowat, p->options.notsent_lowat,
				p->options.congestion, f->mutual ? ", mutual" : "");
		}
}

static void print_counters(const struct sim_world *w)
{
	for (unsigned i = 0; i < w->n_hosts; i++) {
		fprintf(stderr, "%s:", w->host[i]->name);
		for (unsigned k = 0; k < FS_CTR_N; k++)
			if (w->host[i]->counters[k] > 0)
				fprintf(stderr, " %s %llu", fs_counter_info(k)->name,
					(unsigned long long)w->host[i]->counters[k]);
		fprintf(stderr, "\n");
	}
}

/* What is left in the engines. */
static void print_connections(const struct sim_world *w)
{
	for (unsigned i = 0; i < w->n_hosts; i++) {
		const struct sim_host *h = w->host[i];
		struct table_cursor at = { 0 };
		struct table_node *node;

		while ((node = table_next(&h->tcp.ends, &at))) {
			const struct tcp_end *end = FS_CONTAINER_OF(node, struct tcp_end, node);
			const struct tcp_conn *c = (const struct tcp_conn *)(const void *)end;

			if (end->kind != TCP_END_CONN)
				continue;
			fprintf(stderr, "%s %u-%u %s flags %x: una %u nxt %u end %u wnd %u cwnd %u mss %u segs %u out %u lost %u "
				"retrans %u sacked %u; rx %u ooo %u charge %u/%u window %u; due %lld %lld %lld %lld %lld\n",
				h->name, end->local_port, end->remote_port, tcp_state_name[c->state], c->flags, c->snd_una,
				c->snd_nxt, c->snd_end, c->snd_wnd, c->cc.cwnd, c->mss, c->n_segs, c->packets_out, c->lost_out,
				c->retrans_out, c->sacked_out, c->rx.frames, c->n_ooo, c->rcv_charge, c->rcvbuf,
				tcp_receive_window(c), (long long)c->due[0], (long long)c->due[1], (long long)c->due[2],
				(long long)c->due[3], (long long)c->due[4]);
		}
		fprintf(stderr, "%s: pinned %u of %u free, payload %u of %u\n", h->name, h->pinned.n_free, h->pinned.n_total,
			h->payload.n_free, h->payload.n_total);
	}
}

static void build(struct draw *d)
{
	struct sim_world *w = d->world;
	uint64_t seed = w->seed;
	uint32_t mtu;

	d->host = sim_random_stream(seed, 10);
	d->link = sim_random_stream(seed, 11);
	d->flow = sim_random_stream(seed, 12);
	d->time = sim_random_stream(seed, 13);
	d->play = sim_play_create(w);
	mtu = draw_mtu(&d->host);
	d->client = draw_host(d, mtu);
	d->server = draw_host(d, sim_chance(&d->host, 80) ? mtu : draw_mtu(&d->host));
	draw_link(d, d->client, d->server);
	if (sim_chance(&d->host, 15)) {
		d->other = draw_host(d, mtu);
		draw_link(d, d->other, d->server);
	}
	draw_flows(d);
	sim_trouble_draw(d->play, sim_random_stream(seed, 14));
	/* A cookie comes back with the first segment of the handshake's number; what overtakes it is reset (as Linux). */
	for (unsigned i = 0; i < w->n_hosts; i++)
		d->play->harsh |= w->host[i]->config.tcp.syncookies == 2 && d->reorders;
	d->heals_at = w->now + (fs_ns)sim_spread(&d->time, FS_MS(200), FS_SEC(40));
	sim_at(w, d->heals_at, heal, d, 0);
}

/* How long the programs take by their own wish. */
static fs_ns leisure(const struct sim_play *play)
{
	fs_ns sum = 0;

	for (const struct sim_flow *f = play->flows; f; f = f->next)
		for (unsigned s = 0; s < 2; s++) {
			const struct sim_plan *p = &f->end[s].plan, *q = &f->end[!s].plan;

			sum += p->pause_for + p->stay_for + p->write_gap * (fs_ns)p->send + p->read_gap * (fs_ns)q->send;
		}
	return sum;
}

/* Did each flow that is not done receive something in the last patience before @until? */
static bool has_progress(const struct sim_play *play, fs_ns until)
{
	for (const struct sim_flow *f = play->flows; f; f = f->next)
		for (unsigned s = 0; s < 2; s++)
			if (!f->end[s].done && FS_MAX(f->end[0].received_at, f->end[1].received_at) < until - FS_SEC(SIM_PATIENCE_S))
				return false;
	return true;
}

static void body(struct sim_world *w, void *argument)
{
	const struct sim_run_args *args = argument;
	struct draw draw = { .world = w, .verbose = args->verbose };
	struct draw *d = sim_zalloc(w, sizeof(*d));
	fs_ns until;

	*d = draw;
	build(d);
	if (args->verbose)
		describe(d);
	sim_check_watch(d->play);
	until = d->heals_at + FS_SEC(SIM_PATIENCE_S) + leisure(d->play);
	/* Slowly is not never: a reader whose buffer is smaller than the window it promised has a few segments of each flight,
	 * and without timestamps (Karn) nothing shortens the timeout between them. */
	for (unsigned i = 0; i < FLIGHTS && !sim_play_run(d->play, until) && has_progress(d->play, until); i++)
		until += FS_SEC(SIM_PATIENCE_S);
	if (!sim_play_run(d->play, until)) {
		for (struct sim_flow *f = d->play->flows; f; f = f->next)
			for (unsigned s = 0; s < 2; s++)
				SIM_CHECK(w, f->end[s].done, "%s (%s) has not finished: sent %llu of %llu, received %llu of %llu",
					  sim_end_name(&f->end[s]),
					  f->end[s].conn ? tcp_state_name[f->end[s].conn->state] : "no connection",
					  (unsigned long long)f->end[s].sent, (unsigned long long)f->end[s].plan.send,
					  (unsigned long long)f->end[s].received, (unsigned long long)f->end[!s].plan.send);
		sim_fail(w, "not finished");
	}
	sim_play_finish(d->play);
}

bool sim_run_seed(const struct sim_run_args *args, struct sim_result *result, char *message)
{
	struct sim_random r = sim_random_stream(args->seed, 9);
	struct sim_world *w = sim_world_create(args->seed, draw_start(&r), args->poison);
	bool good;

	w->pcap = args->pcap ? sim_pcap_open(args->pcap) : NULL;
	good = sim_world_run(w, body, (void *)(uintptr_t)args);
	if (args->verbose && !good)
		print_connections(w);
	if (args->verbose)
		print_counters(w);
	if (!good)
		memcpy(message, w->message, SIM_MESSAGE);
	*result = (struct sim_result){ .hash = w->hash, .steps = w->steps, .virtual_ms = (w->now - w->began) / FS_MS(1) };
	if (w->above) {
		result->bytes = ((struct sim_play *)w->above)->bytes;
		result->flows = ((struct sim_play *)w->above)->n_flows;
	}
	sim_pcap_close(w->pcap);
	sim_world_destroy(w);
	return good;
}
