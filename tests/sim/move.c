/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * move.c - connections move between two engines at one address, in mid-transfer, under loss, in every state.
 *
 * Each host has a second engine beside it. Every few milliseconds some connection is taken out of one and put into the
 * other: at once, or after frames came for it that found it frozen. The programs notice nothing but that; what
 * arrives must be right as ever.
 */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "check.h"
#include "scenario.h"
#include "tcp/conn.h"
#include "tcp/snapshot.h"
#include "wire/packet.h"
#include "wire/protocol.h"

enum {
	FLOWS = 120,
	QUEUE_MAX = 1 << 21,
	WITHIN_S = 3000,
	FROZEN_MS = 60, /* at most, between leaving and arriving */
};

struct mover {
	struct sim_pair pair;
	struct sim_random random;
	uint32_t moved[TCP_N_STATES]; /* by state */
	uint32_t refused;
	fs_ns stays[FLOWS][2];	      /* an end until then */
	uint8_t *send, *receive; /* bytes of the queues on their way */
};

struct parcel {
	struct mover *m;
	struct sim_end *end;
	struct tcp_snapshot snapshot;
	uint8_t *send, *receive;
	uint32_t n_send, n_receive;
};

static bool has_connection(const struct sim_host *h, const struct packet *p)
{
	struct table_cursor at = { 0 };
	struct table_node *node;

	while ((node = table_next(&h->tcp.ends, &at))) {
		const struct tcp_end *end = FS_CONTAINER_OF(node, struct tcp_end, node);

		if (end->local_port == p->dst_port && end->remote_port == p->src_port &&
		    ip_addr_equal(&end->local, &p->dst) && ip_addr_equal(&end->remote, &p->src))
			return true;
	}
	return false;
}

/* What steering does in a product: flows that moved go where they are. */
static struct sim_host *steer(struct sim_world *w, struct sim_host *host, const struct fbuf *frame)
{
	struct packet p;

	(void)w;
	if (packet_parse(&p, frame->data, frame->len, frame->total) != PACKET_OK || p.protocol != WIRE_PROTO_TCP)
		return host;
	return has_connection(host->sibling, &p) ? host->sibling : host;
}

/* --- moving --- */

static struct sim_host *other_engine(struct sim_world *w, struct sim_host *h)
{
	if (!h->is_sibling)
		return h->sibling;
	for (unsigned i = 0; i < w->n_hosts; i++)
		if (w->host[i]->sibling == h)
			return w->host[i];
	sim_fail(w, "a sibling of nobody");
}

static void put_queue(struct sim_world *w, struct tcp_conn *c, enum tcp_queue which, const uint8_t *bytes, uint32_t n)
{
	uint32_t done = 0;

	while (done < n) {
		int took = tcp_import_queue(c, which, bytes + done, n - done, w->now);

		SIM_CHECK(w, took > 0, "import of byte %u of %u of queue %d gives %d", done, n, which, took);
		done += (uint32_t)took;
	}
}

static void arrive(struct sim_world *w, void *object, uint64_t argument)
{
	struct parcel *p = object;
	struct sim_end *e = p->end;
	struct sim_host *from = e->host, *to = other_engine(w, e->host);
	struct tcp_conn *old = e->conn, *c;

	(void)argument;
	sim_doing = "arrival";
	if (!old)
		return; /* its user closed it meanwhile, frozen: nobody has it any more */
	to->env.now = w->now;
	old->user = NULL;
	tcp_discard(old, &from->env);
	c = tcp_import(&to->tcp, &to->env, &p->snapshot, NULL, w->now);
	SIM_CHECK(w, c, "%s: import in %s", sim_end_name(e), tcp_state_name[p->snapshot.state]);
	put_queue(w, c, TCP_QUEUE_SEND, p->send, p->n_send);
	put_queue(w, c, TCP_QUEUE_RECEIVE, p->receive, p->n_receive);
	sim_end_adopt(e, to, c);
	tcp_thaw(c, &to->env, w->now);
	/* Whoever takes a socket over looks at it first. */
	e->edges |= tcp_ready(c);
	e->track.told |= ~0u;
	e->track.looks = 0;
	sim_end_wake_at(e, w->now);
	sim_host_settle(from);
	sim_host_settle(to);
}

static void leave(struct sim_world *w, struct mover *m, struct sim_end *e)
{
	struct parcel *p = sim_zalloc(w, sizeof(*p));
	fs_ns wait = sim_chance(&m->random, 60) ? 0 : (fs_ns)sim_below(&m->random, FS_MS(FROZEN_MS));
	uint8_t state = e->conn->state;

	if (tcp_export(e->conn, &p->snapshot, w->now) < 0) {
		m->refused++;
		return;
	}
	m->moved[state]++;
	m->stays[e->flow->index][e->server] = w->now + (fs_ns)sim_spread(&m->random, FS_MS(20), FS_SEC(5));
	p->m = m;
	p->end = e;
	p->n_send = p->snapshot.snd_end - p->snapshot.snd_una;
	p->n_receive = tcp_export_queue(e->conn, TCP_QUEUE_RECEIVE, 0, m->receive, QUEUE_MAX);
	if ((int32_t)p->n_send < 0)
		p->n_send = 0; /* the FIN is acked */
	SIM_CHECK(w, tcp_export_queue(e->conn, TCP_QUEUE_SEND, 0, m->send, QUEUE_MAX) == p->n_send,
		  "%s: the send queue is not what the snapshot says", sim_end_name(e));
	p->send = memcpy(sim_alloc(w, p->n_send + 1), m->send, p->n_send);
	p->receive = memcpy(sim_alloc(w, p->n_receive + 1), m->receive, p->n_receive);
	e->frozen = true;
	sim_at(w, w->now + wait, arrive, p, 0);
}

/* Timers begin anew with each move: who moves all the time never retransmits. */
static bool may_leave(const struct mover *m, const struct sim_end *e, fs_ns now)
{
	return e->conn && !e->frozen && e->n_held == 0 && e->conn->state != TCP_CLOSED &&
	       now >= m->stays[e->flow->index][e->server];
}

static void move_some(struct sim_world *w, void *object, uint64_t argument)
{
	struct mover *m = object;
	struct sim_play *play = m->pair.play;
	struct sim_end *candidates[2 * FLOWS];
	unsigned n = 0;

	(void)argument;
	if (play->n_done == play->n_flows)
		return;
	for (struct sim_flow *f = play->flows; f; f = f->next)
		for (unsigned s = 0; s < 2; s++)
			if (may_leave(m, &f->end[s], w->now))
				candidates[n++] = &f->end[s];
	if (n > 0)
		leave(w, m, candidates[sim_below(&m->random, n)]);
	sim_at(w, w->now + (fs_ns)sim_spread(&m->random, FS_US(100), FS_MS(4)), move_some, m, 0);
}

static void begin_flows(struct mover *m, struct sim_world *w)
{
	struct sim_random *r = &m->random;

	for (unsigned i = 0; i < FLOWS; i++) {
		struct sim_plan plan[2] = { { .send = sim_spread(r, 1, 200000) }, { .send = sim_spread(r, 1, 200000) } };
		struct sim_flow *f;

		for (unsigned s = 0; s < 2; s++) {
			plan[s].ending = sim_chance(r, 20) && !s ? SIM_END_PASSIVE : SIM_END_SHUT;
			plan[s].in_place = sim_chance(r, 20);
			/* Pauses keep some in each state for a while. */
			plan[s].pause_after = sim_spread(r, 1, 100000);
			plan[s].pause_for = sim_chance(r, 50) ? FS_MS(300) : 0;
			plan[s].stay_for = sim_chance(r, 50) ? FS_MS(100) : 0;
			if (sim_chance(r, 20))
				plan[s].urgent_every = 3000;
		}
		/* A reader of frames cannot tell where an urgent byte was taken out. */
		for (unsigned s = 0; s < 2; s++)
			plan[s].in_place &= plan[!s].urgent_every == 0;
		f = sim_play_flow(m->pair.play, m->pair.client, m->pair.server, SIM_PORT, plan,
				  w->now + FS_MS(1) + FS_MS(30) * i);
		f->orderly = true;
	}
}

void sim_scenario_move(struct sim_world *w, const struct sim_scenario_args *args)
{
	const struct fault_config config = { .delay = FS_MS(10), .jitter = FS_MS(1), .rate_bps = 50000000, .loss = 15000,
					     .reorder = 10000, .reorder_by = FS_MS(5), .duplicate = 3000 };
	struct sim_host_config host = { .pinned = 4096, .payload = 4096, .conns = 2 * FLOWS };
	static const uint8_t wanted[] = { TCP_ESTABLISHED, TCP_FIN_WAIT1, TCP_FIN_WAIT2, TCP_CLOSE_WAIT, TCP_LAST_ACK,
					  TCP_CLOSING };
	struct mover m = { .random = sim_random_stream(w->seed, 77) };
	uint32_t sum = 0;

	(void)args;
	sim_pair_create(w, &m.pair, &host, &host, &config);
	sim_host_sibling(m.pair.client, &host);
	sim_host_sibling(m.pair.server, &host);
	m.send = sim_alloc(w, QUEUE_MAX);
	m.receive = sim_alloc(w, QUEUE_MAX);
	w->watch.steer = steer;
	sim_check_watch(m.pair.play);
	begin_flows(&m, w);
	sim_at(w, w->now + FS_MS(50), move_some, &m, 0);
	sim_pair_finish(&m.pair, FS_SEC(WITHIN_S));
	for (unsigned i = 0; i < FS_ARRAY_SIZE(wanted); i++)
		SIM_CHECK(w, m.moved[wanted[i]] > 0, "none moved in %s", tcp_state_name[wanted[i]]);
	for (unsigned i = 0; i < TCP_N_STATES; i++) {
		sum += m.moved[i];
		if (m.moved[i] > 0)
			printf("%s %u, ", tcp_state_name[i], m.moved[i]);
	}
	printf("%u moves in all\n", sum);
}
