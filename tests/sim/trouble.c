/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * trouble.c - strangers and bad days.
 *
 * The strangers know addresses and ports, and that is all: or they know the window, and not the number in it that
 * counts. None of it may end a connection or change what it delivers (RFC 5961, RFC 5927).
 */
#include "trouble.h"

#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "wire/eth.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/protocol.h"

enum {
	FRAME = 2048,
	FORGE_GAP_MS = 40, /* between two of a stranger's segments, on average */
};

struct trouble {
	struct sim_play *play;
	struct sim_random random;
	bool stopped;
	bool segments, errors, routes, neighbours, busy;
};

/* --- forged segments --- */

void sim_forge(struct sim_host *host, unsigned port, const struct sim_forged *f)
{
	uint8_t b[FRAME];
	bool v6 = !ip_addr_is_v4(&f->dst);
	uint32_t l4_len = (uint32_t)tcp_emit_len(&f->h) + f->len;
	struct eth_hdr eth = { .dst = host->mac, .src = sim_host_peer(host, port)->mac,
			       .type = v6 ? ETH_TYPE_IPV6 : ETH_TYPE_IPV4 };
	size_t at = eth_emit(&eth, b, FRAME), l4;
	be16_t sum;

	SIM_CHECK(host->world, l4_len + 64 < FRAME, "a forged segment of %u bytes", l4_len);
	if (v6) {
		struct ipv6_hdr ip = { .src = f->src, .dst = f->dst, .hop_limit = 64, .payload_len = (uint16_t)l4_len,
				       .next_header = WIRE_PROTO_TCP, .traffic_class = f->tos };

		l4 = at + ipv6_emit(&ip, b + at, FRAME - at);
	} else {
		struct ipv4_hdr ip = { .src = f->src, .dst = f->dst, .hdr_len = IPV4_HDR_LEN, .ttl = 64, .tos = f->tos,
				       .total_len = (uint16_t)(IPV4_HDR_LEN + l4_len), .protocol = WIRE_PROTO_TCP,
				       .dont_fragment = true };

		l4 = at + ipv4_emit(&ip, b + at, FRAME - at);
	}
	at = l4 + tcp_emit(&f->h, b + l4, FRAME - l4);
	if (f->len > 0)
		memcpy(b + at, f->payload, f->len);
	memset(b + l4 + 16, 0, 2);
	sum = csum_finish(csum_add(csum_pseudo(&f->src, &f->dst, WIRE_PROTO_TCP, l4_len), csum_inline(b + l4, l4_len)));
	sum.raw ^= f->bad_checksum;
	memcpy(b + l4 + 16, &sum, 2);
	sim_host_inject(host, port, b, (uint32_t)at + f->len, FBUF_CSUM_UNKNOWN);
}

/* Some end that has a connection now; NULL = none was hit upon. */
static struct sim_end *some_end(struct trouble *t)
{
	struct sim_flow *f = t->play->flows;

	for (uint64_t n = sim_below(&t->random, t->play->n_flows); f && n > 0; n--)
		f = f->next;
	if (!f)
		return NULL;
	return &f->end[sim_below(&t->random, 2)];
}

static bool is_synchronised(const struct sim_end *e)
{
	return e->conn && e->conn->state != TCP_CLOSED && e->conn->state != TCP_SYN_SENT &&
	       e->conn->state != TCP_SYN_RECEIVED;
}

/* RST that misses, SYN, or a bare ACK of what was never sent. */
static void forge_segment(struct trouble *t)
{
	struct sim_end *e = some_end(t);
	struct sim_random *r = &t->random;
	struct sim_forged f;
	const struct tcp_conn *c;
	uint32_t window;

	if (!e || !is_synchronised(e))
		return;
	c = e->conn;
	window = tcp_receive_window(c);
	f = (struct sim_forged){ .src = c->end.remote, .dst = c->end.local };
	f.h.src_port = c->end.remote_port;
	f.h.dst_port = c->end.local_port;
	switch (sim_below(r, 3)) {
	case 0:
		f.h.flags = (uint16_t)(TCP_RST | (sim_chance(r, 50) ? TCP_ACK : 0));
		f.h.seq = c->rcv_nxt + (window > 1 ? (uint32_t)sim_range(r, 1, window - 1) : 77);
		if (sim_chance(r, 30))
			f.h.seq = c->rcv_nxt - (uint32_t)sim_range(r, 1, 1u << 30);
		f.h.ack = c->snd_una;
		break;
	case 1:
		f.h.flags = (uint16_t)(TCP_SYN | (sim_chance(r, 50) ? TCP_ACK : 0));
		f.h.seq = sim_chance(r, 50) ? c->rcv_nxt : (uint32_t)sim_random_next(r);
		f.h.ack = sim_chance(r, 50) ? c->snd_nxt : (uint32_t)sim_random_next(r);
		break;
	default:
		f.h.flags = TCP_ACK;
		f.h.seq = c->rcv_nxt;
		f.h.ack = c->snd_nxt + (uint32_t)sim_range(r, 1, 1u << 30);
		f.h.window = 100;
		if (tcp_has(c, TCP_CONN_TS)) {
			f.h.options = TCP_HAS_TIMESTAMP;
			f.h.ts_val = c->ts_recent;
		}
	}
	sim_forge(e->host, 0, &f);
	sim_host_settle(e->host);
}

/* An ICMP error that quotes what is not in flight. */
static void forge_error(struct trouble *t)
{
	struct sim_end *e = some_end(t);
	struct sim_random *r = &t->random;
	const struct tcp_conn *c;
	struct tcp_icmp icmp;

	if (!e || !is_synchronised(e))
		return;
	c = e->conn;
	icmp = (struct tcp_icmp){ .local = c->end.local, .remote = c->end.remote, .local_port = c->end.local_port,
				  .remote_port = c->end.remote_port, .error = ECONNREFUSED, .mtu = 68 };
	icmp.kind = (uint8_t)sim_below(r, 3);
	icmp.seq = sim_chance(r, 50) ? c->snd_nxt + (uint32_t)sim_range(r, 1, 1u << 30)
				     : c->snd_una - (uint32_t)sim_range(r, 1, 1u << 30);
	if (icmp.kind == TCP_ICMP_HARD && sim_chance(r, 50))
		icmp.seq = c->snd_una; /* a hard error ends no synchronised connection, whatever it quotes */
	tcp_icmp_input(&e->host->tcp, &e->host->env, &icmp, e->host->world->now);
	sim_host_settle(e->host);
}

/* --- bad days --- */

static void neighbours_return(struct sim_world *w, void *object, uint64_t argument)
{
	(void)w, (void)argument;
	sim_host_neighbours(object, true);
}

static void route_returns(struct sim_world *w, void *object, uint64_t argument)
{
	(void)w, (void)argument;
	((struct sim_host *)object)->unreachable = false;
}

static void happen(struct sim_world *w, void *object, uint64_t argument)
{
	struct trouble *t = object;
	struct sim_random *r = &t->random;
	struct sim_host *h = w->host[sim_below(r, w->n_hosts)];
	fs_ns soon = w->now + (fs_ns)sim_spread(r, FS_US(100), FS_MS(600));

	(void)argument;
	if (t->stopped)
		return;
	sim_doing = "trouble";
	h->env.now = w->now;
	if (t->segments)
		forge_segment(t);
	if (t->errors)
		forge_error(t);
	if (t->routes && sim_chance(r, 20)) {
		sim_host_flap_routes(h);
		h->unreachable = sim_chance(r, 30);
		sim_at(w, soon, route_returns, h, 0);
	}
	if (t->neighbours && sim_chance(r, 10)) {
		sim_host_neighbours(h, false);
		sim_at(w, soon, neighbours_return, h, 0);
	}
	sim_at(w, w->now + (fs_ns)sim_range(r, 1, 2 * FS_MS(FORGE_GAP_MS)), happen, t, 0);
}

void sim_trouble_draw(struct sim_play *play, struct sim_random random)
{
	struct sim_world *w = play->world;
	struct trouble *t = sim_zalloc(w, sizeof(*t));

	t->play = play;
	t->random = random;
	t->segments = sim_chance(&t->random, 15);
	t->errors = sim_chance(&t->random, 15);
	t->routes = sim_chance(&t->random, 10);
	t->neighbours = sim_chance(&t->random, 10);
	t->busy = sim_chance(&t->random, 10);
	w->trouble = t;
	if (t->routes || t->neighbours)
		play->harsh = true;
	for (unsigned i = 0; i < w->n_hosts && t->busy; i++)
		w->host[i]->busy_percent = (uint32_t)sim_range(&t->random, 1, 60);
	if (t->segments || t->errors || t->routes || t->neighbours)
		sim_at(w, w->now + FS_MS(FORGE_GAP_MS), happen, t, 0);
}

void sim_trouble_stop(struct sim_world *w)
{
	struct trouble *t = w->trouble;

	if (t)
		t->stopped = true;
}
