/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * local_sim.c - both sides of a link in one process, in virtual time, by a scheduler that draws from a seed.
 *
 * Two programs, one on each side, carry flows between them: each end sends bytes that are a function of their position,
 * checks what comes, shuts, closes or resets as its plan says. A side takes one step at a time and does nothing
 * between: an end that finds nothing to do asks to be told, a side all of whose ends have asked sleeps until its
 * doorbell rings. So a wake-up that is lost shows as a world that stands still. In some worlds one side is killed
 * between two steps, and the other learns of it later.
 *
 *	local_sim --seed N | --seeds A..B | --seconds N [--twice N] [--verbose]
 *
 * Ends with 0 if all worlds held, else prints the seed that repeats the failure.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/counter.h"
#include "local/link.h"
#include "pattern.h"
#include "random.h"

enum { SIDES = 2, FLOWS = 24, SLOTS = 6, UNITS = 64, LISTENER = 9, PORT = 80, BLOCK = 1 << 16, STEPS_MOST = 4000000 };

/* How an end goes, once it has sent its bytes. */
enum ending { SHUTS, CLOSES, RESETS, CLOSES_EARLY, N_ENDINGS };

struct flow;

/* One end of a flow: the program's view. */
struct end {
	struct flow *flow;
	struct local_conn *conn; /* NULL: not yet, or closed */
	uint64_t planned, to_send, sent, got; /* bytes; to_send: planned, or as many as were sent when it gave up */
	uint64_t stops_after; /* CLOSES_EARLY: bytes that it reads */
	enum ending ending;
	bool is_open, is_shut, saw_end, is_over;
	bool is_asked;	      /* sleeps until an event */
	bool left_unanswered; /* closed before it knew whether it was accepted: the other end may never be */
	int error; /* that ended it */
};

struct flow {
	struct end end[SIDES];
	unsigned dialler;
	unsigned index;
	fs_ns begins;
};

struct side {
	struct local_link *link;
	struct local_listener listener;
	struct world *world;
	uint64_t counters[FS_CTR_N];
	fs_ns next;	 /* step, FS_NEVER = asleep */
	fs_ns rings_at;	 /* a bell is under way, FS_NEVER = none */
	bool is_dead, has_incoming;
	uint64_t wire[SIDES * SLOTS][2]; /* what of each connection a capture has, that came and that left */
};

struct world {
	uint64_t seed, hash, steps;
	struct sim_random random;
	fs_ns now;
	struct side side[SIDES];
	struct flow flow[FLOWS];
	unsigned flows;
	uint8_t order[SIDES];
	unsigned victim; /* SIDES = none */
	uint64_t kill_step;
	fs_ns death_known; /* to the other side */
	uint32_t most; /* bytes of a call */
	bool verbose;
};

_Noreturn void fs_assert_failed(const char *expression, const char *file, int line)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, expression);
	abort();
}

static const struct world *current; /* for failures */

static _Noreturn __attribute__((format(printf, 1, 2))) void fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "local_sim: seed %llu, step %llu: ", (unsigned long long)current->seed,
		(unsigned long long)current->steps);
	vfprintf(stderr, format, args);
	fprintf(stderr, "\n  again: local_sim --verbose --seed %llu\n", (unsigned long long)current->seed);
	exit(1);
}

static void note(struct world *w, unsigned side, const char *what, unsigned flow, int64_t value)
{
	w->hash = sim_mix(w->hash ^ sim_mix((uint64_t)w->now ^ side ^ (uint64_t)flow << 8 ^ (uint64_t)value << 20 ^
					    (uint64_t)what[0]));
	if (w->verbose)
		printf("%10lld side %u %-8s flow %u: %lld\n", (long long)w->now, side, what, flow, (long long)value);
}

static uint64_t key_of(const struct world *w, const struct end *end)
{
	return sim_mix(w->seed + end->flow->index * 2 + (end == &end->flow->end[1]));
}

static struct end *peer_of(const struct end *end)
{
	return end == &end->flow->end[0] ? &end->flow->end[1] : &end->flow->end[0];
}

/* --- what the link asks of us --- */

static void on_event(void *context, struct local_conn *conn, uint32_t edges)
{
	struct side *s = context;
	struct end *end = conn->user;

	end->is_asked = false;
	note(s->world, (unsigned)(s - s->world->side), "event", end->flow->index, edges);
}

static void on_incoming(void *context, struct local_listener *listener)
{
	((struct side *)context)->has_incoming = true;
}

static struct local_listener *find(void *context, uint64_t id, const struct ip_addr *local, uint16_t port)
{
	return id == LISTENER && port == PORT ? &((struct side *)context)->listener : NULL;
}

static void on_moved(void *context, struct local_conn *conn)
{
}

/* As on a wire: no gap, no byte twice, no acknowledgement of what was not there. */
static void on_tap(void *context, const struct local_conn *conn, const struct local_segment *segment)
{
	struct side *s = context;
	uint64_t *there = s->wire[conn - conn->link->conn];

	if (segment->what == LOCAL_SEEN_SYN)
		there[0] = there[1] = 0;
	if (segment->seq != there[segment->out] || segment->ack > there[!segment->out])
		fail("side %u captures %d at %llu, %llu, where %llu, %llu would follow", (unsigned)(s - s->world->side),
		     (int)segment->what, (unsigned long long)segment->seq, (unsigned long long)segment->ack,
		     (unsigned long long)there[segment->out], (unsigned long long)there[!segment->out]);
	there[segment->out] += segment->len + (segment->what == LOCAL_SEEN_FIN);
}

static const struct local_ops ops = { on_event, on_incoming, find, on_moved, on_tap, NULL, NULL };

/* --- what an end does --- */

static void close_end(struct world *w, unsigned side, struct end *end)
{
	bool resets = end->ending == RESETS && !end->saw_end;

	note(w, side, resets ? "reset" : "close", end->flow->index, (int64_t)end->got);
	end->left_unanswered = end->conn->state == LOCAL_CONNECTING;
	if (resets)
		local_abort(end->conn);
	else
		local_close(end->conn);
	end->conn = NULL;
	end->is_open = false;
	end->is_over = true;
}

/* Errors that may come, and only where something was done that causes them. */
static void take_error(struct world *w, unsigned side, struct end *end, int error)
{
	const struct end *peer = peer_of(end);
	bool dead = w->side[1 - side].is_dead;

	note(w, side, "error", end->flow->index, error);
	if (end->error && error == EPIPE)
		return;
	end->error = error;
	if (error == ENOBUFS && !peer->is_open && end->got == 0)
		return; /* the listener was full */
	if (error != ECONNRESET && error != EPIPE && !(error == ECONNREFUSED && dead))
		fail("side %u, flow %u: error %d", side, end->flow->index, error);
	if (!dead && !(peer->is_over && (peer->ending != SHUTS || peer->error)))
		fail("side %u, flow %u: error %d, and the peer is well", side, end->flow->index, error);
}

static bool try_send(struct world *w, unsigned side, struct end *end)
{
	static uint8_t bytes[BLOCK];
	uint64_t wants = sim_spread(&w->random, 1, w->most);
	size_t n = (size_t)FS_MIN(wants, end->to_send - end->sent), first;
	struct iovec iov[2];
	ssize_t put;

	if (end->is_shut || n == 0)
		return false;
	sim_pattern_fill(key_of(w, end), end->sent, bytes, n);
	first = sim_chance(&w->random, 30) ? (size_t)sim_below(&w->random, n) : n;
	iov[0] = (struct iovec){ bytes, first };
	iov[1] = (struct iovec){ bytes + first, n - first };
	put = local_send(end->conn, iov, n > first ? 2 : 1, 0);
	note(w, side, "send", end->flow->index, put);
	if (put == -EAGAIN && sim_chance(&w->random, 5))
		note(w, side, "grow", end->flow->index,
		     local_grow(end->conn, (unsigned)sim_range(&w->random, w->order[side], w->order[side] + 3)));
	if (put == -EAGAIN)
		return false;
	if (put < 0) {
		take_error(w, side, end, (int)-put);
		end->to_send = end->sent;
		return true;
	}
	end->sent += (uint64_t)put;
	return true;
}

static bool try_receive(struct world *w, unsigned side, struct end *end)
{
	static uint8_t bytes[BLOCK];
	struct iovec iov = { bytes, (size_t)sim_spread(&w->random, 1, w->most) };
	bool peeks = sim_chance(&w->random, 10);
	ssize_t got;

	if (end->saw_end)
		return false;
	got = local_recv(end->conn, &iov, 1, peeks ? LOCAL_RECV_PEEK : 0, 0);
	note(w, side, peeks ? "peek" : "receive", end->flow->index, got);
	if (got == -EAGAIN)
		return false;
	if (got < 0) {
		take_error(w, side, end, (int)-got);
		end->saw_end = true;
		return true;
	}
	if (got == 0) {
		end->saw_end = true;
		if (!end->error && !w->side[1 - side].is_dead && end->got != peer_of(end)->to_send)
			fail("side %u, flow %u: the end after %llu bytes", side, end->flow->index,
			     (unsigned long long)end->got);
		return true;
	}
	if (sim_pattern_match(key_of(w, peer_of(end)), end->got, bytes, (size_t)got) != (size_t)got)
		fail("side %u, flow %u: wrong bytes behind %llu", side, end->flow->index, (unsigned long long)end->got);
	if (!peeks)
		end->got += (uint64_t)got;
	if (end->got > peer_of(end)->sent)
		fail("side %u, flow %u: bytes that nobody sent", side, end->flow->index);
	return true;
}

/* The plan's last acts. True: something was done. */
static bool try_end(struct world *w, unsigned side, struct end *end)
{
	if (end->ending == CLOSES_EARLY && end->got >= end->stops_after) {
		end->to_send = end->sent; /* for who asks what came in the end */
		close_end(w, side, end);
		return true;
	}
	if (end->sent < end->to_send)
		return false;
	if (end->saw_end || end->ending == RESETS || end->ending == CLOSES) {
		close_end(w, side, end);
		return true;
	}
	if (end->is_shut)
		return false;
	end->is_shut = true;
	note(w, side, "shut", end->flow->index, local_shutdown(end->conn, LOCAL_SHUT_WRITING));
	return true;
}

/* True: it did something, or may do something now. */
static bool act(struct world *w, unsigned side, struct end *end)
{
	bool first = sim_chance(&w->random, 50);

	if (end->conn->state == LOCAL_CONNECTING && sim_chance(&w->random, 50)) {
		end->is_asked = true; /* a program that waits for its connect */
		return false;
	}
	if ((first ? try_send : try_receive)(w, side, end) || (first ? try_receive : try_send)(w, side, end) ||
	    try_end(w, side, end))
		return true;
	end->is_asked = local_conn_wait(end->conn, (end->saw_end ? 0 : LOCAL_READY_IN) |
						      (end->sent < end->to_send ? LOCAL_READY_OUT : 0)) == 0;
	note(w, side, "wait", end->flow->index, end->is_asked);
	return !end->is_asked;
}

/* --- what a side does --- */

static void dial(struct world *w, unsigned side, struct flow *f)
{
	struct local_call call = { .listener = LISTENER, .local_port = (uint16_t)f->index, .remote_port = PORT,
				   .send_order = w->order[side], .receive_order = w->order[1 - side] };
	struct end *end = &f->end[side];
	int rc = local_connect(w->side[side].link, &call, end, &end->conn);

	note(w, side, "dial", f->index, rc);
	end->is_open = rc == 0;
	end->is_asked = false;
	f->begins = FS_NEVER;
	if (rc == -ENOTCONN)
		end->is_over = true;
	else if (rc < 0)
		f->begins = w->now + FS_US(sim_range(&w->random, 1, 500)); /* no slot, no room: later */
}

/* Who was turned away for now tries again. */
static void dial_again(struct world *w, struct flow *f, struct end *end)
{
	*end = (struct end){ .flow = f, .planned = end->planned, .to_send = end->planned, .ending = end->ending,
			     .stops_after = end->stops_after };
	f->begins = w->now + FS_US(sim_range(&w->random, 1, 500));
}

static bool accept_some(struct world *w, unsigned side)
{
	struct side *s = &w->side[side];
	struct local_conn *conn;
	struct end *end;

	if (!s->has_incoming || sim_chance(&w->random, 30))
		return s->has_incoming;
	conn = local_accept(&s->listener, NULL);
	if (!conn) {
		s->has_incoming = false;
		return false;
	}
	end = &w->flow[conn->remote_port].end[side];
	if (conn->local_port != PORT || end->conn)
		fail("side %u accepts flow %u twice", side, conn->remote_port);
	conn->user = end;
	end->conn = conn;
	end->is_open = true;
	note(w, side, "accept", end->flow->index, 0);
	return true;
}

/* One act of one end that may act. False: there is none. */
static bool act_of_one(struct world *w, unsigned side)
{
	unsigned from = (unsigned)sim_below(&w->random, w->flows);

	for (unsigned i = 0; i < w->flows; i++) {
		struct flow *f = &w->flow[(from + i) % w->flows];
		struct end *end = &f->end[side];

		if (!end->conn || end->is_asked)
			continue;
		if (act(w, side, end)) {
			if (end->is_over && end->error == ENOBUFS && f->dialler == side)
				dial_again(w, f, end);
			return true;
		}
	}
	return false;
}

static bool dial_some(struct world *w, unsigned side)
{
	for (unsigned i = 0; i < w->flows; i++)
		if (w->flow[i].dialler == side && w->flow[i].begins <= w->now) {
			dial(w, side, &w->flow[i]);
			return true;
		}
	return false;
}

/* The next time that a flow of @side begins. */
static fs_ns next_dial(const struct world *w, unsigned side)
{
	fs_ns next = FS_NEVER;

	for (unsigned i = 0; i < w->flows; i++)
		if (w->flow[i].dialler == side)
			next = FS_MIN(next, w->flow[i].begins);
	return next;
}

static void step(struct world *w, unsigned side)
{
	struct side *s = &w->side[side];
	bool busy;

	s->next = w->now + (fs_ns)sim_range(&w->random, 10, 3000);
	if (sim_chance(&w->random, 60))
		local_link_poll(s->link, (unsigned)sim_spread(&w->random, 1, 100));
	busy = dial_some(w, side) || accept_some(w, side) || act_of_one(w, side);
	if (!busy) {
		local_link_arm(s->link);
		busy = local_link_poll(s->link, LOCAL_CELLS) > 0;
	}
	if (!busy) {
		note(w, side, "sleep", 0, 0);
		s->next = next_dial(w, side);
	}
	if (local_link_rings(s->link) && !w->side[1 - side].is_dead) {
		fs_ns heard = w->now + (fs_ns)sim_range(&w->random, 10, 20000);

		w->side[1 - side].rings_at = FS_MIN(w->side[1 - side].rings_at, heard);
	}
	if (s->link->ended != LOCAL_LINK_UP && s->link->ended != LOCAL_LINK_DIED)
		fail("side %u: the link is no more: %s", side, local_end_name[s->link->ended]);
}

static void wake(struct world *w, unsigned side)
{
	struct side *s = &w->side[side];

	s->rings_at = FS_NEVER;
	note(w, side, "rung", 0, 0);
	local_link_poll(s->link, LOCAL_CELLS);
	s->next = FS_MIN(s->next, w->now + 10);
}

/* --- death --- */

static void kill_side(struct world *w)
{
	struct side *s = &w->side[w->victim];

	note(w, w->victim, "killed", 0, 0);
	s->is_dead = true;
	s->next = s->rings_at = FS_NEVER;
	w->death_known = w->now + (fs_ns)sim_range(&w->random, 10, 1000000);
	w->kill_step = UINT64_MAX;
	for (unsigned i = 0; i < w->flows; i++) {
		w->flow[i].end[w->victim].is_over = true;
		if (w->flow[i].dialler == w->victim)
			w->flow[i].begins = FS_NEVER;
	}
}

/* What the kernel would say of each connection that the dead had: a reset where it had not read all, else the end. */
static void learn_of_death(struct world *w)
{
	unsigned side = 1 - w->victim;
	struct side *s = &w->side[side];

	w->death_known = FS_NEVER;
	local_link_poll(s->link, LOCAL_CELLS);
	for (unsigned i = 0; i < w->flows; i++) {
		struct end *end = &w->flow[i].end[side], *dead = peer_of(end);

		/* Whose end it had said itself stays as it said. */
		dead->is_shut = end->conn && end->conn->state == LOCAL_ESTABLISHED &&
				!(end->conn->flags & LOCAL_PEER_LEFT) && dead->is_open;
	}
	local_link_died(s->link);
	for (unsigned i = 0; i < w->flows; i++) {
		struct end *end = &w->flow[i].end[side], *dead = peer_of(end);

		if (!dead->is_shut)
			continue;
		if ((end->sent > dead->got) != (end->conn->error != 0) || !(end->conn->flags & LOCAL_PEER_LEFT))
			fail("flow %u: of %llu bytes the dead read %llu, and the error is %d", i,
			     (unsigned long long)end->sent, (unsigned long long)dead->got, end->conn->error);
	}
	note(w, side, "died", 0, 0);
	s->next = FS_MIN(s->next, w->now + 10);
}

/* --- worlds --- */

static void draw(struct world *w)
{
	struct sim_random r = sim_random_stream(w->seed, 1);

	w->flows = (unsigned)sim_range(&r, 1, FLOWS);
	w->most = (uint32_t)sim_spread(&r, 1, BLOCK);
	w->victim = sim_chance(&r, 40) ? (unsigned)sim_below(&r, SIDES) : SIDES;
	w->kill_step = w->victim < SIDES ? sim_spread(&r, 1, 20000) : UINT64_MAX;
	for (unsigned side = 0; side < SIDES; side++)
		w->order[side] = (uint8_t)sim_range(&r, LOCAL_ORDER_MIN, LOCAL_ORDER_MIN + 3);
	for (unsigned i = 0; i < w->flows; i++) {
		struct flow *f = &w->flow[i];

		f->index = i;
		f->dialler = (unsigned)sim_below(&r, SIDES);
		f->begins = FS_US(sim_range(&r, 0, 2000));
		for (unsigned side = 0; side < SIDES; side++) {
			struct end *end = &f->end[side];

			end->flow = f;
			end->planned = sim_chance(&r, 10)
					       ? 0
					       : sim_spread(&r, 1, FS_MIN((uint64_t)w->most * 300, UINT64_C(200000)));
			end->to_send = end->planned;
			end->ending = sim_chance(&r, 70) ? SHUTS : (enum ending)sim_range(&r, CLOSES, CLOSES_EARLY);
			end->stops_after = sim_below(&r, 20000);
		}
	}
}

static void create(struct world *w, uint64_t seed)
{
	struct local_agreed agreed = local_agree(SLOTS, UNITS);
	uint8_t *arena = aligned_alloc(LOCAL_PAGE, agreed.len);
	size_t own = (local_link_len(&agreed) + FS_CACHE_LINE - 1) & ~(size_t)(FS_CACHE_LINE - 1);

	w->seed = seed;
	w->random = sim_random_stream(seed, 2);
	w->death_known = FS_NEVER;
	draw(w);
	memset(arena, 0, agreed.len);
	local_arena_write(arena, &agreed);
	for (unsigned side = 0; side < SIDES; side++) {
		struct side *s = &w->side[side];
		struct local_config config = { .ops = &ops,
					       .context = s,
					       .counters = s->counters,
					       .arena = arena,
					       .side = side,
					       .agreed = agreed };

		*s = (struct side){ .world = w, .rings_at = FS_NEVER };
		s->link = local_link_init(memset(aligned_alloc(FS_CACHE_LINE, own), 0, own), &config);
		s->link->taps = true;
		local_listener_init(&s->listener, (uint32_t)sim_range(&w->random, 0, 4), NULL);
	}
}

static bool is_over(const struct world *w)
{
	for (unsigned i = 0; i < w->flows; i++)
		for (unsigned side = 0; side < SIDES; side++) {
			const struct end *end = &w->flow[i].end[side];

			/* Who was never dialled, since its dialler is dead, or refused unseen, has nothing to end. */
			bool never = !end->conn && (w->side[1 - side].is_dead || peer_of(end)->left_unanswered);

			if (!end->is_over && !w->side[side].is_dead && !never)
				return false;
		}
	return w->death_known == FS_NEVER;
}

/* The next thing that happens. False: nothing ever does. */
static bool advance(struct world *w)
{
	fs_ns next = w->death_known;
	unsigned side;

	for (side = 0; side < SIDES; side++)
		next = FS_MIN(next, FS_MIN(w->side[side].next, w->side[side].rings_at));
	if (next == FS_NEVER)
		return false;
	w->now = FS_MAX(w->now, next);
	if (w->steps++ == w->kill_step) {
		kill_side(w);
		return true;
	}
	if (w->death_known == next) {
		learn_of_death(w);
		return true;
	}
	for (side = 0; side < SIDES; side++)
		if (w->side[side].rings_at == next) {
			wake(w, side);
			return true;
		}
	side = w->side[0].next == next ? 0 : 1;
	step(w, side);
	return true;
}

/* All is over: what may be left? */
static void finish(struct world *w)
{
	for (unsigned round = 0; round < 4; round++)
		for (unsigned side = 0; side < SIDES; side++)
			if (!w->side[side].is_dead) {
				local_listener_close(&w->side[side].listener);
				local_link_poll(w->side[side].link, LOCAL_CELLS);
			}
	for (unsigned side = 0; side < SIDES; side++) {
		struct side *s = &w->side[side];

		if (!s->is_dead && (!local_link_is_idle(s->link) || s->link->half.used != 0))
			fail("side %u: %u connections are left, %u units", side, s->link->in_use, s->link->half.used);
	}
}

static uint64_t run(uint64_t seed, bool verbose)
{
	struct world *w = calloc(1, sizeof(*w));
	uint64_t hash;

	current = w;
	w->verbose = verbose;
	create(w, seed);
	while (!is_over(w)) {
		if (!advance(w))
			fail("all sleep, and nobody will wake them");
		if (w->steps > STEPS_MOST)
			fail("no end after %u steps", STEPS_MOST);
	}
	finish(w);
	hash = w->hash;
	free(w->side[0].link->arena);
	for (unsigned side = 0; side < SIDES; side++)
		free(w->side[side].link);
	free(w);
	return hash;
}

static void run_seed(uint64_t seed, unsigned twice, bool verbose)
{
	uint64_t hash = run(seed, verbose);

	if (twice && seed % twice == 0 && run(seed, false) != hash) {
		fprintf(stderr, "local_sim: seed %llu: not the same a second time\n", (unsigned long long)seed);
		exit(1);
	}
}

int main(int argc, char **argv)
{
	unsigned long long first = 1, last = 0, seconds = 0, twice = 0;
	struct timespec now;
	bool verbose = false;
	uint64_t n = 0;
	time_t until;

	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : "";
		bool known = strcmp(argv[i], "--verbose") == 0;

		verbose |= known;
		if (!known && ((strcmp(argv[i], "--seeds") == 0 && sscanf(value, "%llu..%llu", &first, &last) == 2) ||
			       (strcmp(argv[i], "--seconds") == 0 && sscanf(value, "%llu", &seconds) == 1) ||
			       (strcmp(argv[i], "--twice") == 0 && sscanf(value, "%llu", &twice) == 1)))
			i++;
		else if (!known && strcmp(argv[i], "--seed") == 0 && sscanf(value, "%llu", &first) == 1)
			last = first, i++;
		else if (!known)
			last = seconds = 0, i = argc;
	}
	if (last < first && !seconds) {
		fprintf(stderr, "usage: local_sim --seed N | --seeds A..B | --seconds N [--twice N] [--verbose]\n");
		return 2;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	until = now.tv_sec + (time_t)seconds;
	if (seconds) {
		first = (unsigned long long)now.tv_sec * 1000;
		last = UINT64_MAX;
		printf("local_sim: from seed %llu on\n", first);
		fflush(stdout);
	}
	for (uint64_t seed = first; seed <= last && (!seconds || time(NULL) < until); seed++, n++)
		run_seed(seed, (unsigned)twice, verbose);
	printf("local_sim: %llu worlds held\n", (unsigned long long)n);
	return 0;
}
