/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * attack.c - strangers: a flood of SYNs, and forged segments and errors for connections that exist.
 *
 * The strangers of `blind` know addresses and ports, and try numbers: outside the window, and all over it but for the
 * one that counts (RFC 5961), or quote in ICMP errors what is not in flight (RFC 5927).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "check.h"
#include "scenario.h"
#include "tcp/conn.h"
#include "trouble.h"

/* --- flood --- */

enum {
	FLOOD = 1000000,
	FLOOD_BATCH = 20,
	FLOOD_GAP_US = 200, /* 100,000 SYNs a second */
	BACKLOG = 128,
	NEWCOMERS = 20,
	OLD_BYTES = 4000000,
};

struct flood {
	struct sim_pair pair;
	struct sim_random random;
	uint32_t left;
};

static void flood_more(struct sim_world *w, void *object, uint64_t argument)
{
	struct flood *fl = object;
	struct sim_host *server = fl->pair.server;
	struct sim_random *r = &fl->random;

	(void)argument;
	sim_doing = "flood";
	server->env.now = w->now;
	for (unsigned i = 0; i < FLOOD_BATCH && fl->left > 0; i++, fl->left--) {
		uint64_t x = sim_random_next(r);
		const uint8_t src[4] = { 192, (uint8_t)x, (uint8_t)(x >> 8), (uint8_t)(1 + (x >> 16) % 254) };
		struct sim_forged f = { .src = ip_addr_v4(src), .dst = server->v4 };

		f.h.src_port = (uint16_t)(1 + (x >> 32) % 65535);
		f.h.dst_port = SIM_PORT;
		f.h.seq = (uint32_t)sim_random_next(r);
		f.h.flags = TCP_SYN;
		f.h.window = 65535;
		f.h.options = TCP_HAS_MSS | TCP_HAS_SACK_PERMITTED | TCP_HAS_TIMESTAMP | TCP_HAS_WSCALE;
		f.h.mss = 1460;
		f.h.ts_val = (uint32_t)x;
		f.h.wscale = 7;
		sim_forge(server, 1, &f); /* by another link than the clients' */
	}
	sim_host_settle(server);
	if (fl->left > 0)
		sim_at(w, w->now + FS_US(FLOOD_GAP_US), flood_more, fl, 0);
}

static void check_newcomers(struct sim_world *w, void *object, uint64_t argument)
{
	struct flood *fl = object;
	unsigned in = 0;

	(void)argument;
	for (struct sim_flow *f = fl->pair.play->flows->next->next; f; f = f->next)
		in += f->end[0].done && f->end[0].received == 100;
	SIM_CHECK(w, fl->left > 0, "the flood is over");
	SIM_CHECK(w, in == NEWCOMERS, "%u of %u newcomers got in during the flood", in, NEWCOMERS);
}

void sim_scenario_flood(struct sim_world *w, const struct sim_scenario_args *args)
{
	const struct fault_config wire = { .delay = FS_MS(2), .rate_bps = 100000000, .queue_bytes = 300000 };
	const struct sim_host_config host = { .reqs = BACKLOG + 8, .pinned = 8192 };
	struct flood fl = { .random = sim_random_stream(w->seed, 5) };
	const uint64_t *n;
	fs_ns length;
	struct sim_host *sink;

	fl.left = FLOOD / 100 * args->scale;
	length = FS_US(FLOOD_GAP_US) * (fl.left / FLOOD_BATCH);
	sim_pair_create(w, &fl.pair, &host, &host, &wire);
	sink = sim_host_create(w, &host); /* where answers to nobody go */
	sim_link_create(w, fl.pair.server, sink, &(struct fault_config){ 0 }, 4096);
	fl.pair.server->default_port = 1;
	fl.pair.server->tcp.config.syncookies = 1;
	sim_check_watch(fl.pair.play);
	/* Two that are there before, and are to go on; others come in the middle of it. */
	sim_pair_flow(&fl.pair, OLD_BYTES, 1000, w->now + FS_MS(1));
	sim_pair_flow(&fl.pair, 1000, OLD_BYTES, w->now + FS_MS(1));
	for (unsigned i = 0; i < NEWCOMERS; i++)
		sim_pair_flow(&fl.pair, 100, 100, w->now + FS_MS(100) + length * (2 + i) / 40);
	sim_at(w, w->now + FS_MS(50), flood_more, &fl, 0);
	sim_at(w, w->now + FS_MS(50) + length * 19 / 20, check_newcomers, &fl, 0);
	sim_pair_finish(&fl.pair, FS_SEC(60) + length);
	n = fl.pair.server->counters;
	printf("%llu cookies sent, %llu accepted, %llu wrong, the SYN queue refused %llu\n",
	       (unsigned long long)n[FS_CTR_tcp_cookies_sent], (unsigned long long)n[FS_CTR_tcp_cookies_accepted],
	       (unsigned long long)n[FS_CTR_tcp_cookies_bad], (unsigned long long)n[FS_CTR_drop_tcp_syn_overflow]);
	SIM_CHECK(w, n[FS_CTR_tcp_cookies_accepted] > 0, "nobody came in by a cookie");
}

/* --- blind attacks --- */

enum { BLIND_SEGMENTS = 200000, BLIND_BATCH = 10, BLIND_GAP_US = 500, BLIND_FLOWS = 6, BLIND_BYTES = 3000000 };

struct blind {
	struct sim_pair pair;
	struct sim_random random;
	uint32_t left;
};

/* Anywhere but at @c's rcv_nxt; half of the time within the window. */
static uint32_t wrong_number(struct sim_random *r, const struct tcp_conn *c)
{
	uint32_t window = tcp_receive_window(c);

	if (window > 2 && sim_chance(r, 50))
		return c->rcv_nxt + (uint32_t)sim_range(r, 1, window - 1);
	return c->rcv_nxt + window + (uint32_t)sim_range(r, 1, (1ull << 31) - window);
}

/* Neither what is in flight nor what may be acknowledged again (RFC 5961 5.2). */
static uint32_t wrong_ack(struct sim_random *r, const struct tcp_conn *c)
{
	if (sim_chance(r, 50))
		return c->snd_nxt + (uint32_t)sim_range(r, 1, 1u << 30);
	return c->snd_una - c->max_wnd - (uint32_t)sim_range(r, 1, 1u << 30);
}

static void blind_segment(struct blind *b, struct sim_end *e)
{
	static const uint16_t kinds[] = { TCP_RST, TCP_RST | TCP_ACK, TCP_SYN, TCP_SYN | TCP_ACK, TCP_FIN | TCP_ACK,
					  TCP_ACK | TCP_PSH, TCP_FIN | TCP_SYN, TCP_ACK | TCP_URG };
	static const char text[100] = "not what the peer sent";
	struct sim_random *r = &b->random;
	const struct tcp_conn *c = e->conn;
	struct sim_forged f = { .src = c->end.remote, .dst = c->end.local };

	f.h.src_port = c->end.remote_port;
	f.h.dst_port = c->end.local_port;
	f.h.flags = SIM_PICK(r, kinds);
	f.h.window = (uint16_t)sim_random_next(r);
	f.h.urgent = (uint16_t)sim_random_next(r);
	f.h.seq = wrong_number(r, c);
	f.h.ack = (f.h.flags & (TCP_RST | TCP_SYN)) && sim_chance(r, 50) ? c->snd_una : wrong_ack(r, c);
	/* A text's number may be right if what it acknowledges is wrong. */
	if (!(f.h.flags & (TCP_RST | TCP_SYN)) && sim_chance(r, 30))
		f.h.seq = c->rcv_nxt;
	if (tcp_has(c, TCP_CONN_TS)) {
		f.h.options = TCP_HAS_TIMESTAMP;
		f.h.ts_val = c->ts_recent;
	}
	if (!(f.h.flags & (TCP_RST | TCP_SYN))) {
		f.payload = text;
		f.len = sizeof(text);
	}
	sim_forge(e->host, 0, &f);
}

static void blind_error(struct blind *b, struct sim_end *e)
{
	struct sim_random *r = &b->random;
	const struct tcp_conn *c = e->conn;
	struct tcp_icmp icmp = { .local = c->end.local, .remote = c->end.remote, .local_port = c->end.local_port,
				 .remote_port = c->end.remote_port, .error = ECONNREFUSED, .mtu = 576 };

	icmp.kind = (uint8_t)sim_below(r, 3);
	icmp.seq = icmp.kind == TCP_ICMP_TOO_BIG ? wrong_ack(r, c) : c->snd_una;
	tcp_icmp_input(&e->host->tcp, &e->host->env, &icmp, e->host->world->now);
}

static void blind_more(struct sim_world *w, void *object, uint64_t argument)
{
	struct blind *b = object;

	(void)argument;
	sim_doing = "stranger";
	for (unsigned i = 0; i < BLIND_BATCH && b->left > 0; i++, b->left--) {
		struct sim_flow *f = b->pair.play->flows;
		struct sim_end *e;

		for (uint64_t n = sim_below(&b->random, BLIND_FLOWS); n > 0; n--)
			f = f->next;
		e = &f->end[sim_below(&b->random, 2)];
		if (!e->conn || e->conn->state == TCP_SYN_SENT || e->conn->state == TCP_CLOSED)
			continue;
		e->host->env.now = w->now;
		if (sim_chance(&b->random, 90))
			blind_segment(b, e);
		else
			blind_error(b, e);
		sim_host_settle(e->host);
	}
	if (b->left > 0 && b->pair.play->n_done < b->pair.play->n_flows)
		sim_at(w, w->now + FS_US(BLIND_GAP_US), blind_more, b, 0);
}

void sim_scenario_blind(struct sim_world *w, const struct sim_scenario_args *args)
{
	const struct fault_config wire = { .delay = FS_MS(5), .rate_bps = 20000000, .queue_bytes = 100000 };
	struct blind b = { .random = sim_random_stream(w->seed, 6), .left = BLIND_SEGMENTS / 100 * args->scale };
	struct sim_host_config host = { .pinned = 4096, .use_tcp_config = true };
	fs_ns began = w->now;

	tcp_config_default(&host.tcp);
	sim_pair_create(w, &b.pair, &host, &host, &wire);
	sim_check_watch(b.pair.play);
	for (unsigned i = 0; i < BLIND_FLOWS; i++)
		sim_pair_flow(&b.pair, BLIND_BYTES, 1000, w->now + FS_MS(1));
	sim_at(w, w->now + FS_MS(100), blind_more, &b, 0);
	if (!sim_play_run(b.pair.play, w->now + FS_SEC(120)))
		sim_fail(w, "a stranger stopped a connection");
	for (unsigned i = 0; i < 2; i++) {
		const struct sim_host *h = w->host[i];
		uint64_t challenges = h->counters[FS_CTR_tcp_challenges];
		uint64_t most = (uint64_t)host.tcp.challenge_per_s * BLIND_FLOWS *
				(uint64_t)((w->now - began) / FS_SEC(1) + 2);

		SIM_CHECK(w, challenges <= most, "%llu challenge ACKs in %lld s", (unsigned long long)challenges,
			  (long long)((w->now - began) / FS_SEC(1)));
		printf("%s: %llu challenges, %llu held back, %llu blind, %llu outside\n", h->name,
		       (unsigned long long)challenges, (unsigned long long)h->counters[FS_CTR_tcp_challenges_held],
		       (unsigned long long)h->counters[FS_CTR_drop_tcp_blind],
		       (unsigned long long)h->counters[FS_CTR_drop_tcp_window]);
	}
	sim_play_finish(b.pair.play);
}
