/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * idle.c - very many idle connections in one stack: what they take, and what an active one costs beside them.
 *
 * They are copies of one that is established, imported under other tuples. Times are of the machine the scenario runs
 * on and only printed; memory is checked. Instructions: valgrind --tool=callgrind --toggle-collect=sim_idle_alone, or
 * sim_idle_among; ./check compares them.
 */
#include <stdio.h>
#include <time.h>

#include "base/err.h"
#include "scenario.h"
#include "tcp/conn.h"
#include "tcp/snapshot.h"

enum {
	IDLE = 1000000,
	BUCKETS = 1 << 20,
	PORTS = 50000, /* of each peer */
	ROUNDS = 4000,
	REPEATS = 5,
	MESSAGE = 64,
	KIB = 1024,
	BATCH = 128,
};

struct talk {
	struct sim_world *world;
	struct sim_host *client, *server;
	struct tcp_conn *conn[2]; /* client's, server's */
	bool among;
};

static void exchange(struct talk *t, unsigned from)
{
	struct sim_host *hosts[2] = { t->client, t->server };
	uint8_t bytes[MESSAGE] = { 0 };
	struct iovec iov = { bytes, sizeof(bytes) };
	struct sim_world *w = t->world;

	SIM_CHECK(w, tcp_send(t->conn[from], &hosts[from]->env, &iov, 1, 0, w->now) == MESSAGE, "send");
	sim_host_settle(hosts[from]);
	sim_link_advance(w->link[0], w->now);
	sim_host_drive(hosts[!from]);
	SIM_CHECK(w, tcp_recv(t->conn[!from], &hosts[!from]->env, &iov, 1, 0, 0, w->now) == MESSAGE, "receive");
}

/* Requests and answers, as fast as they go. */
static void rounds(struct talk *t, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		exchange(t, 0);
		exchange(t, 1);
	}
}

/* Names of their own, for callgrind. clang clones no function. */
#ifdef __clang__
#define NAMED __attribute__((noinline))
#else
#define NAMED __attribute__((noinline, noclone))
#endif

typedef void rounds_fn(struct talk *t);

NAMED rounds_fn sim_idle_alone, sim_idle_among;

void sim_idle_alone(struct talk *t)
{
	rounds(t, ROUNDS);
}

void sim_idle_among(struct talk *t)
{
	rounds(t, ROUNDS);
	t->among = true; /* so that they are two functions */
}

static double ns_a_round(struct talk *t, rounds_fn *fn)
{
	struct timespec a, b;
	double best = 1e18;

	for (unsigned i = 0; i < REPEATS; i++) {
		double ns;

		clock_gettime(CLOCK_MONOTONIC, &a);
		fn(t);
		clock_gettime(CLOCK_MONOTONIC, &b);
		ns = (double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec);
		best = FS_MIN(best, ns / ROUNDS);
	}
	return best;
}

static struct tcp_conn *wait_for(struct sim_world *w, struct tcp_listener *l)
{
	struct tcp_conn *c = NULL;

	while (!(c = tcp_accept(l)) && sim_step(w, FS_NEVER))
		;
	SIM_CHECK(w, c, "accept");
	return c;
}

/* A connection without programs. */
static void connect_pair(struct talk *t, struct tcp_listener *l, uint16_t port)
{
	struct sim_world *w = t->world;
	struct tcp_conn *c = tcp_open(&t->client->tcp, NULL);

	SIM_CHECK(w, c && tcp_connect(c, &t->client->env, &(struct ip_addr){ 0 }, port, &t->server->v4, SIM_PORT, w->now) == 0,
		  "connect");
	sim_host_settle(t->client);
	t->conn[0] = c;
	t->conn[1] = wait_for(w, l);
}

static void import_one(struct talk *t, struct tcp_snapshot *s, uint32_t i)
{
	const uint8_t peer[4] = { 10, 1, 0, (uint8_t)(1 + i / PORTS) };
	struct tcp_conn *c;

	s->remote = ip_addr_v4(peer);
	s->remote_port = (uint16_t)(1024 + i % PORTS);
	c = tcp_import(&t->server->tcp, &t->server->env, s, NULL, t->world->now);
	SIM_CHECK(t->world, c, "import of number %u", i);
	tcp_thaw(c, &t->server->env, t->world->now);
}

static void check_memory(struct sim_world *w, const struct sim_host *server, uint32_t n)
{
	uint32_t object = server->tcp.conns.object_size;

	printf("%u connections: %u bytes each (struct tcp_conn %zu), and a word in the table\n", n, object,
	       sizeof(struct tcp_conn));
	SIM_CHECK(w, server->tcp.conns.in_use >= n, "%u connections", server->tcp.conns.in_use);
	SIM_CHECK(w, object <= KIB, "%u bytes each", object);
	SIM_CHECK(w, server->tcp.wheel.count <= 2, "%u timers for idle connections", server->tcp.wheel.count);
	SIM_CHECK(w, server->pinned.n_free == server->pinned.n_total && server->payload.n_free == server->payload.n_total,
		  "idle connections hold chunks");
}

void sim_scenario_idle(struct sim_world *w, const struct sim_scenario_args *args)
{
	uint32_t n = (uint32_t)((uint64_t)IDLE * args->scale / 100);
	struct sim_host_config big = { .conns = n + 8, .buckets = BUCKETS };
	struct talk t = { .world = w };
	struct tcp_snapshot snapshot;
	struct sim_pair pair;
	double alone, among;

	sim_pair_create(w, &pair, NULL, &big, &(struct fault_config){ 0 });
	pair.server->quiet = pair.client->quiet = true;
	w->max_steps = UINT32_MAX;
	t.client = pair.client;
	t.server = pair.server;
	connect_pair(&t, &pair.listening->listener, 30000);
	SIM_CHECK(w, tcp_export(t.conn[1], &snapshot, w->now) == 0, "export");
	tcp_discard(t.conn[1], &t.server->env);
	tcp_abort(t.conn[0], &t.client->env, w->now);
	connect_pair(&t, &pair.listening->listener, 30001);
	rounds(&t, ROUNDS);
	alone = ns_a_round(&t, sim_idle_alone);
	for (uint32_t i = 0; i < n; i++) {
		import_one(&t, &snapshot, i);
		if (i % BATCH == 0) { /* each says once where it is */
			sim_host_settle(t.server);
			while (sim_step(w, w->now + FS_MS(1)))
				;
		}
	}
	sim_host_settle(t.server);
	while (sim_step(w, w->now + FS_SEC(1)))
		;
	check_memory(w, t.server, n);
	among = ns_a_round(&t, sim_idle_among);
	printf("a round trip of 64 B, both engines and the link: %.0f ns alone, %.0f ns among them: %.3f x\n", alone, among,
	       among / alone);
}
