/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * play.c - flows: beginning them, handing events to their programs, ending them, and what must be left then.
 */
#include "play.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "tcp/conn.h"

enum {
	PORTS = 30000,
	RETRY_MS = 250,	   /* a connect that found no memory */
	MAX_TRIES = 400,
	GIVE_UP_S = 200,   /* a request lives for less, and so does what waits for accept */
	FORGET_S = 400,	   /* orphans, FIN-WAIT-2 and TIME-WAIT are over by then */
	NAMES = 4,
	NAME = 40,
};

const char *sim_end_name(const struct sim_end *end)
{
	static char name[NAMES][NAME]; /* several in one message */
	static unsigned turn;
	char *to = name[turn++ % NAMES];

	snprintf(to, NAME, "flow %u %s", end->flow->index, end->server ? "server" : "client");
	return to;
}

/* --- the map of ends --- */

static unsigned map_slot(const struct sim_host *host, uint16_t local_port, uint16_t remote_port)
{
	return (local_port * 31u + remote_port * 17u + host->index * 7u) % SIM_MAP;
}

struct sim_end *sim_play_find(struct sim_play *play, const struct sim_host *host, const struct ip_addr *remote,
			      uint16_t local_port, uint16_t remote_port)
{
	struct sim_end *e = play->map[map_slot(host, local_port, remote_port)];

	while (e && !(e->host == host && e->local_port == local_port && e->remote_port == remote_port &&
		      ip_addr_equal(&e->remote, remote)))
		e = e->map_next;
	return e;
}

static void map_insert(struct sim_play *play, struct sim_end *e)
{
	struct sim_end **slot = &play->map[map_slot(e->host, e->local_port, e->remote_port)];

	e->map_next = *slot;
	*slot = e;
	e->mapped = true;
}

static void map_remove(struct sim_play *play, struct sim_end *e)
{
	struct sim_end **at = &play->map[map_slot(e->host, e->local_port, e->remote_port)];

	if (!e->mapped)
		return;
	while (*at != e)
		at = &(*at)->map_next;
	*at = e->map_next;
	e->mapped = false;
}

uint32_t sim_play_closed_chunks(const struct sim_play *play, const struct sim_host *host, const struct fbuf_pool *pool,
				uint32_t (*count)(const struct tcp_conn *c, const struct fbuf_pool *pool))
{
	uint32_t n = 0;

	for (const struct sim_flow *f = play->flows; f; f = f->next) {
		for (unsigned side = 0; side < 2; side++) {
			const struct sim_end *e = &f->end[side];

			if (e->conn && e->host == host && !tcp_has(e->conn, TCP_CONN_IN_TABLE))
				n += count(e->conn, pool);
		}
	}
	for (unsigned i = 0; i < play->n_listening; i++) {
		const struct list *ready = &play->listening[i].listener.ready, *at;

		if (play->listening[i].host != host || !play->listening[i].listener.stack)
			continue;
		LIST_FOR_EACH(at, ready) {
			const struct tcp_conn *c = FS_CONTAINER_OF(at, struct tcp_conn, queue);

			if (!tcp_has(c, TCP_CONN_IN_TABLE))
				n += count(c, pool);
		}
	}
	return n;
}

/* --- waking programs --- */

static void end_wake(struct sim_end *e)
{
	struct sim_play *play = e->host->world->above;
	unsigned h = e->host->index;

	if (e->woken || !e->conn)
		return;
	e->woken = true;
	e->woken_next = NULL;
	*play->woken_tail[h] = e;
	play->woken_tail[h] = &e->woken_next;
}

static struct sim_end *woken_pop(struct sim_play *play, unsigned h)
{
	struct sim_end *e = play->woken[h];

	if (!e)
		return NULL;
	play->woken[h] = e->woken_next;
	if (!play->woken[h])
		play->woken_tail[h] = &play->woken[h];
	e->woken = false;
	return e;
}

static void wake_event(struct sim_world *w, void *object, uint64_t argument)
{
	struct sim_end *e = object;

	(void)argument;
	if (!e->conn || e->wakes_at > w->now)
		return; /* finished meanwhile, or woken before and to come again later */
	e->wakes_at = FS_NEVER;
	e->host->env.now = w->now;
	end_wake(e);
	sim_host_settle(e->host);
}

void sim_end_wake_at(struct sim_end *e, fs_ns at)
{
	at = FS_MAX(at, e->host->world->now);
	if (e->wakes_at <= at)
		return;
	e->wakes_at = at;
	sim_at(e->host->world, at, wake_event, e, 0);
}

void sim_play_event(void *context, struct tcp_conn *conn, uint32_t edges)
{
	struct sim_host *h = context;
	struct sim_end *e = conn->user;

	sim_note(h->world, edges);
	if (!e)
		return; /* in an accept queue */
	SIM_CHECK(h->world, e->host == h && e->conn == conn, "an event for another connection");
	e->edges |= edges;
	e->track.told |= edges;
	end_wake(e);
}

static void programs(struct sim_world *w, struct sim_host *h)
{
	struct sim_play *play = w->above;
	struct sim_end *e;

	while ((e = woken_pop(play, h->index))) {
		if (e->conn && e->host == h && !e->frozen)
			sim_program_run(e);
	}
	sim_doing = h->name;
}

/* --- ends --- */

void sim_end_adopt(struct sim_end *e, struct sim_host *host, struct tcp_conn *conn)
{
	struct sim_play *play = host->world->above;

	map_remove(play, e);
	e->host = host;
	e->conn = conn;
	e->frozen = false;
	e->local = conn->end.local;
	e->remote = conn->end.remote;
	e->local_port = conn->end.local_port;
	e->remote_port = conn->end.remote_port;
	conn->user = e;
	map_insert(play, e);
}

/*
 * Of two ends one is done. The other may never learn of it: a connection that died before it was accepted has no
 * server's end; and who only reads is not told that its peer timed out. Then its user loses patience.
 */
static void give_up(struct sim_world *w, void *object, uint64_t argument)
{
	struct sim_end *e = object;
	struct sim_play *play = w->above;

	(void)argument;
	if (e->done)
		return;
	if (e->conn) {
		e->host->env.now = w->now;
		sim_program_kill(e);
		sim_host_settle(e->host);
	} else {
		e->done = true;
		play->n_done++;
	}
}

void sim_end_finish(struct sim_end *e)
{
	struct sim_world *w = e->host->world;
	struct sim_play *play = w->above;
	struct sim_flow *f = e->flow;

	map_remove(play, e);
	e->done = true;
	sim_note(w, e->received);
	if (f->orderly && e->error == 0 && e->peer->error == 0 && !play->harsh && !play->starved)
		SIM_CHECK(w, e->eof && e->received == e->peer->plan.send, "%s: done after %llu of %llu bytes",
			  sim_end_name(e), (unsigned long long)e->received, (unsigned long long)e->peer->plan.send);
	if (e->peer->done)
		play->n_done++;
	else if (e->error != 0 || !f->orderly || play->harsh || play->starved)
		sim_at(w, w->now + FS_SEC(GIVE_UP_S), give_up, e->peer, 0);
}

static uint16_t next_port(struct sim_play *play)
{
	uint16_t span = play->port_span ? play->port_span : (uint16_t)PORTS;

	return (uint16_t)(SIM_CLIENT_PORT + play->next_port++ % span);
}

static void end_begin(struct sim_world *w, void *object, uint64_t argument);

static void connect_later(struct sim_end *e)
{
	struct sim_world *w = e->host->world;

	SIM_CHECK(w, ++e->connect_tries < MAX_TRIES, "%s: cannot begin to connect", sim_end_name(e));
	sim_at(w, w->now + FS_MS(RETRY_MS), end_begin, e, 0);
}

/* tcp_open() and tcp_connect(), as a program would; again later where memory or ports are missing. */
static void end_begin(struct sim_world *w, void *object, uint64_t argument)
{
	struct sim_end *e = object;
	struct sim_play *play = w->above;
	struct sim_host *h = e->host;
	struct tcp_conn *conn;
	int rc;

	(void)argument;
	sim_doing = sim_end_name(e);
	h->env.now = w->now;
	if (!e->flow->mutual)
		e->local_port = next_port(play);
	conn = tcp_open(&h->tcp, e);
	if (!conn) {
		connect_later(e);
		return;
	}
	e->conn = conn;
	if (e->plan.use_options) {
		rc = tcp_set_options(conn, &h->env, &e->plan.options, w->now);
		SIM_CHECK(w, rc == 0, "%s: options refused with %d", sim_end_name(e), rc);
	}
	map_insert(play, e);
	rc = tcp_connect(conn, &h->env, &(struct ip_addr){ 0 }, e->local_port, &e->remote, e->remote_port, w->now);
	if (rc < 0) {
		SIM_CHECK(w, rc == -EADDRNOTAVAIL || play->starved || play->harsh, "%s: connect gives %d",
			  sim_end_name(e), rc);
		map_remove(play, e);
		e->conn = NULL;
		tcp_close(conn, &h->env, w->now);
		connect_later(e);
	} else {
		e->local = conn->end.local;
		e->iss = conn->iss;
	}
	sim_host_settle(h);
}

/* --- accepting --- */

/* The flow whose client began it: ports are used again, numbers are not. */
static struct sim_end *expected(struct sim_play *play, const struct sim_host *server, const struct tcp_conn *conn)
{
	struct sim_end *found = NULL;

	for (struct sim_flow *f = play->flows; f; f = f->next) {
		struct sim_end *e = &f->end[1], *c = &f->end[0];

		if (!f->mutual && !e->done && !e->conn && e->host == server && c->iss == conn->irs &&
		    c->local_port == conn->end.remote_port &&
		    c->remote_port == conn->end.local_port && ip_addr_equal(&c->remote, &conn->end.local) &&
		    (ip_addr_equal(&c->host->v4, &conn->end.remote) || ip_addr_equal(&c->host->v6, &conn->end.remote)))
			found = e;
	}
	return found;
}

static void accept_one(struct sim_listening *l, struct tcp_conn *conn)
{
	struct sim_host *h = l->host;
	struct sim_play *play = h->world->above;
	struct sim_end *e = expected(play, h, conn);

	sim_note(h->world, conn->end.remote_port);
	if (!e) {
		play->strays++;
		h->calls++;
		tcp_abort(conn, &h->env, h->world->now);
		return;
	}
	sim_end_adopt(e, h, conn);
	if (e->plan.use_options)
		tcp_set_options(conn, &h->env, &e->plan.options, h->world->now);
	/* What happened in the queue was told to nobody: try everything, as after accept(2). */
	e->readable = e->writable = e->connected = true;
	e->edges = conn->flags & TCP_CONN_URG_BYTE ? TCP_READY_PRI : 0;
	e->track.told = ~0u;
	end_wake(e);
}

static void accept_event(struct sim_world *w, void *object, uint64_t argument)
{
	struct sim_listening *l = object;
	struct tcp_conn *conn;

	(void)argument;
	sim_doing = "accept";
	l->host->env.now = w->now;
	l->pending = false;
	while (l->listener.stack && (conn = tcp_accept(&l->listener)))
		accept_one(l, conn);
	sim_host_settle(l->host);
}

void sim_play_incoming(void *context, struct tcp_listener *listener)
{
	struct sim_listening *l = listener->user;

	(void)context;
	if (l->pending)
		return;
	l->pending = true;
	sim_at(l->host->world, l->host->world->now + l->accept_delay, accept_event, l, 0);
}

void sim_play_released(void *context, struct tcp_conn *conn, void *user)
{
	struct sim_host *h = context;
	struct sim_end *e = user;

	SIM_CHECK(h->world, !e || e->conn != conn, "%s: its connection is gone", sim_end_name(e));
}

/* --- the whole --- */

struct sim_play *sim_play_create(struct sim_world *w)
{
	struct sim_play *play = sim_zalloc(w, sizeof(*play));

	play->world = w;
	play->flows_tail = &play->flows;
	for (unsigned i = 0; i < SIM_MAX_HOSTS; i++)
		play->woken_tail[i] = &play->woken[i];
	play->random = sim_random_stream(w->seed, 1);
	w->above = play;
	w->watch.programs = programs;
	return play;
}

struct sim_listening *sim_play_listen(struct sim_play *play, struct sim_host *host, uint16_t port, uint32_t backlog,
				      const struct tcp_options *options, fs_ns accept_delay)
{
	struct sim_listening *l = &play->listening[play->n_listening++];

	SIM_CHECK(play->world, play->n_listening <= SIM_MAX_LISTENERS, "listeners");
	l->host = host;
	l->accept_delay = accept_delay;
	l->listener.local_port = port;
	l->listener.is_v6 = true;
	l->listener.user = l;
	if (options)
		l->listener.options = *options;
	else
		tcp_options_default(&l->listener.options, &host->tcp.config);
	SIM_CHECK(play->world, tcp_listen(&host->tcp, &l->listener, backlog) == 0, "listen");
	return l;
}

static void end_init(struct sim_play *play, struct sim_flow *f, unsigned side, struct sim_host *host,
		     const struct sim_plan *plan)
{
	struct sim_end *e = &f->end[side];

	e->flow = f;
	e->peer = &f->end[!side];
	e->host = host;
	e->server = side == 1;
	e->plan = *plan;
	e->wakes_at = FS_NEVER;
	e->next_urgent = plan->urgent_every;
	e->random = sim_random_stream(play->world->seed, 5000 + f->index * 2ull + side);
	e->key = sim_random_next(&e->random);
}

struct sim_flow *sim_play_flow(struct sim_play *play, struct sim_host *client, struct sim_host *server, uint16_t port,
			       const struct sim_plan plan[2], fs_ns start)
{
	struct sim_flow *f = sim_zalloc(play->world, sizeof(*f));

	f->index = play->n_flows++;
	f->v6 = f->index & 1;
	f->start = start;
	*play->flows_tail = f;
	play->flows_tail = &f->next;
	end_init(play, f, 0, client, &plan[0]);
	end_init(play, f, 1, server, &plan[1]);
	f->end[0].remote = *sim_host_addr(server, f->v6);
	f->end[0].remote_port = port;
	f->end[1].local_port = port;
	sim_at(play->world, start, end_begin, &f->end[0], 0);
	return f;
}

void sim_play_mutual(struct sim_play *play, struct sim_flow *f, uint16_t port)
{
	struct sim_end *client = &f->end[0], *server = &f->end[1];

	f->mutual = true;
	client->local_port = server->remote_port = port;
	server->local_port = client->remote_port;
	server->remote = *sim_host_addr(client->host, f->v6);
	sim_at(play->world, f->start, end_begin, server, 0);
}

void sim_play_unlisten(struct sim_play *play)
{
	for (unsigned i = 0; i < play->n_listening; i++) {
		struct sim_listening *l = &play->listening[i];

		if (!l->listener.stack)
			continue;
		l->host->calls += 1 + l->listener.n_ready;
		l->host->env.now = play->world->now;
		tcp_unlisten(&l->listener, &l->host->env, play->world->now);
		sim_host_settle(l->host);
	}
}

bool sim_play_run(struct sim_play *play, fs_ns until)
{
	while (play->n_done < play->n_flows)
		if (!sim_step(play->world, until))
			return play->n_done == play->n_flows;
	return true;
}

static void check_empty(struct sim_world *w, const struct sim_host *h)
{
	const struct tcp_stack *t = &h->tcp;

	sim_doing = h->name;
	SIM_CHECK(w, t->n_conns == 0 && t->conns.in_use == 0, "%u connections, %u in use", t->n_conns, t->conns.in_use);
	SIM_CHECK(w, t->reqs.in_use == 0 && t->tws.in_use == 0 && t->n_tw == 0, "%u requests, %u in TIME-WAIT (%u)",
		  t->reqs.in_use, t->tws.in_use, t->n_tw);
	SIM_CHECK(w, t->ends.count == 0 && t->listeners.count == 0 && t->n_orphans == 0, "%u ends, %u orphans",
		  t->ends.count, t->n_orphans);
	SIM_CHECK(w, t->wheel.count == 0, "%u timers", t->wheel.count);
	SIM_CHECK(w, list_is_empty(&t->dirty) && list_is_empty(&t->holders) && list_is_empty(&t->tw_age), "lists");
}

static void check_pools(struct sim_world *w, const struct sim_host *h)
{
	sim_doing = h->name;
	SIM_CHECK(w, h->pinned.n_free == h->pinned.n_total, "%u pinned chunks are missing",
		  h->pinned.n_total - h->pinned.n_free);
	SIM_CHECK(w, h->payload.n_free == h->payload.n_total, "%u payload chunks are missing",
		  h->payload.n_total - h->payload.n_free);
	SIM_CHECK(w, h->segments.n_free == h->segments.n_total, "%u segment chunks are missing",
		  h->segments.n_total - h->segments.n_free);
}

static bool is_over(const struct sim_world *w)
{
	for (unsigned i = 0; i < w->n_hosts; i++)
		if (w->host[i]->tcp.ends.count > 0 || w->host[i]->tcp.n_conns > 0)
			return false;
	return true;
}

void sim_play_finish(struct sim_play *play)
{
	struct sim_world *w = play->world;
	fs_ns until = w->now + FS_SEC(FORGET_S);

	sim_play_unlisten(play);
	while (!is_over(w) && sim_step(w, until))
		;
	/* What is under way comes to an end, too. */
	until = w->now + FS_SEC(FORGET_S);
	while (sim_step(w, until))
		;
	for (unsigned i = 0; i < w->n_hosts; i++)
		check_empty(w, w->host[i]);
	for (unsigned i = 0; i < w->n_hosts; i++)
		sim_host_close(w->host[i]);
	for (unsigned i = 0; i < w->n_hosts; i++)
		check_pools(w, w->host[i]);
}
