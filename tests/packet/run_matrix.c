/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * run_matrix - every kind of segment in every state at every place of the window (tcp-requirements: RFC 9293 3.10.7,
 * RFC 5961), with IPv4 and IPv6; results as TAP, one for each state and family.
 *
 * States are reached by lines of packet scripts; one segment is injected; reply, state and bytes are compared with
 * matrix_rules.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "matrix_rules.h"
#include "script.h"

enum { WINDOW_GUESS = 1000, LINES = 12, PATIENCE_MS = 45, FAR = 100, ANCIENT = 70000, PEER_WINDOW = 65535 };

/* --- states --- */

#define ESTABLISH "connect", "out * 0 win *", "in SA 0 ack 1 win 65535 <mss 1000>", "out A 1 ack 1 win ?w"

static const struct {
	const char *name;
	int64_t rcv_nxt, snd_una, snd_nxt;
	const char *line[LINES];
} states[] = {
	[MATRIX_CLOSED] = { "CLOSED", 1, 0, 0, { "let w 1000" } },
	[MATRIX_LISTEN] = { "LISTEN", 1, 0, 0, { "let w 1000", "listen" } },
	[MATRIX_SYN_SENT] = { "SYN-SENT", 1, 0, 1, { "let w 1000", "connect", "out S 0" } },
	[MATRIX_SYN_RECEIVED] = { "SYN-RECEIVED after simultaneous open", 1, 0, 1,
				  { "connect", "out S 0", "in S 0 win 65535 <mss 1000>", "out SA 0 ack 1 win ?w" } },
	[MATRIX_LISTENED] = { "SYN-RECEIVED of a listener", 1, 0, 1,
			      { "listen", "in S 0 win 65535 <mss 1000>", "out SA 0 ack 1 win ?w" } },
	[MATRIX_ESTABLISHED] = { "ESTABLISHED", 1, 1, 1, { ESTABLISH } },
	[MATRIX_FIN_WAIT_1] = { "FIN-WAIT-1", 1, 1, 2, { ESTABLISH, "shutdown wr", "out FA 1 ack 1 win ?w" } },
	[MATRIX_FIN_WAIT_2] = { "FIN-WAIT-2", 1, 2, 2,
				{ ESTABLISH, "shutdown wr", "out FA 1 ack 1 win ?w", "in A 1 ack 2" } },
	[MATRIX_CLOSE_WAIT] = { "CLOSE-WAIT", 2, 1, 1, { ESTABLISH, "in FA 1 ack 1", "+40ms out A 1 ack 2 win ?w" } },
	[MATRIX_CLOSING] = { "CLOSING", 2, 1, 2,
			     { ESTABLISH, "shutdown wr", "out FA 1 ack 1", "in FA 1 ack 1", "out A 2 ack 2 win ?w" } },
	[MATRIX_LAST_ACK] = { "LAST-ACK", 2, 1, 2,
			      { ESTABLISH, "in FA 1 ack 1", "+40ms out A 1 ack 2", "shutdown wr",
				"out FA 1 ack 2 win ?w" } },
	[MATRIX_TIME_WAIT] = { "TIME-WAIT", 2, 2, 2,
			       { ESTABLISH, "shutdown wr", "out FA 1 ack 1", "in FA 1 ack 2",
				 "out A 2 ack 2 win ?w" } },
};
static_assert(FS_ARRAY_SIZE(states) == MATRIX_N_STATES, "every state can be reached");

/* --- segments --- */

static const struct {
	const char *flags;
	uint32_t len;
} kinds[] = {
	{ "S", 0 },  { "SA", 0 },  { "SF", 0 }, { "SFA", 0 }, { "A", 0 },  { "PA", 10 }, { "F", 0 }, { "FA", 0 },
	{ "FA", 10 }, { "R", 0 },  { "RA", 0 }, { "R", 10 },  { "-", 0 },  { "P", 10 },
};

/* Where a segment begins, from RCV.NXT; of @w bytes of window. */
static const struct {
	const char *name;
	int64_t of_window, offset;
} places[] = {
	{ "left edge", 0, 0 },	    { "just before", 0, -1 },	  { "inside", 0, FAR },
	{ "right edge", 1, -1 },    { "outside left", 0, -2 * FAR }, { "outside right", 1, FAR },
};

enum { ACK_ALL, ACK_UNA, ACK_BEFORE, ACK_ANCIENT, ACK_FUTURE, N_ACKS };

static int64_t ack_number(const struct matrix_context *c, unsigned which)
{
	const int64_t number[N_ACKS] = { c->snd_nxt, c->snd_una, c->snd_una - 1, c->snd_una - ANCIENT,
					 c->snd_nxt + 1 };

	return number[which];
}

static struct matrix_segment segment_of(const struct matrix_context *c, unsigned kind, unsigned place, unsigned ack)
{
	const char *flags = kinds[kind].flags;

	return (struct matrix_segment){
		.syn = strchr(flags, 'S'),
		.fin = strchr(flags, 'F'),
		.rst = strchr(flags, 'R'),
		.has_ack = strchr(flags, 'A'),
		.len = kinds[kind].len,
		.seq = c->rcv_nxt + places[place].of_window * c->rcv_wnd + places[place].offset,
		.ack = ack_number(c, ack),
	};
}

/* --- what happened --- */

/* Our half-open and complete connections, as the standard counts states. */
static enum matrix_state state_now(struct script *s, const struct matrix_context *c, struct tcp_conn **conn)
{
	static const uint8_t of_tcp[TCP_N_STATES] = {
		[TCP_ESTABLISHED] = MATRIX_ESTABLISHED, [TCP_SYN_SENT] = MATRIX_SYN_SENT,
		[TCP_SYN_RECEIVED] = MATRIX_SYN_RECEIVED, [TCP_FIN_WAIT1] = MATRIX_FIN_WAIT_1,
		[TCP_FIN_WAIT2] = MATRIX_FIN_WAIT_2, [TCP_CLOSED] = MATRIX_CLOSED,
		[TCP_CLOSE_WAIT] = MATRIX_CLOSE_WAIT, [TCP_LAST_ACK] = MATRIX_LAST_ACK,
		[TCP_CLOSING] = MATRIX_CLOSING,
	};
	struct flow *f = s->current;

	if (s->n_listeners > 0 && !f->conn)
		f->conn = tcp_accept(&s->listener[0]);
	*conn = f->conn;
	if (s->rig->tcp.n_tw > 0)
		return MATRIX_TIME_WAIT;
	if (f->conn)
		return of_tcp[f->conn->state];
	if (s->n_listeners == 0)
		return MATRIX_CLOSED;
	return s->rig->tcp.reqs.in_use > 0 ? MATRIX_LISTENED : MATRIX_LISTEN;
}

static enum matrix_reply reply_of(const struct rig_out *o)
{
	switch (o->h.flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) {
	case TCP_ACK:
		return MATRIX_ACK;
	case TCP_SYN | TCP_ACK:
		return MATRIX_SYN_ACK;
	case TCP_RST:
		return MATRIX_RST;
	case TCP_RST | TCP_ACK:
		return MATRIX_RST_ACK;
	}
	return MATRIX_NOTHING; /* which no caller takes for an answer: see observe() */
}

/* False: more than one reply, or a strange one. */
static bool observe(struct script *s, const struct matrix_context *c, struct matrix_outcome *got)
{
	struct tcp_conn *conn;
	struct rig_out *o, *second;

	*got = (struct matrix_outcome){ .reply = MATRIX_NOTHING };
	if (!s->rig->out)
		rig_advance(s->rig, s->rig->now + FS_MS(PATIENCE_MS)); /* a delayed ACK is one */
	o = rig_take(s->rig);
	second = rig_take(s->rig);
	if (o) {
		struct flow *f = segment_flow(s, o);

		got->reply = reply_of(o);
		got->seq = (int32_t)(o->h.seq - (f ? f->iss : 0));
		got->ack = o->h.flags & TCP_ACK ? (int64_t)(int32_t)(o->h.ack - (f ? f->peer_iss : 0)) : 0;
	}
	got->state = state_now(s, c, &conn);
	got->delivered = conn ? tcp_inq(conn) : 0;
	if (second || (o && got->reply == MATRIX_NOTHING)) {
		free(o);
		free(second);
		return false;
	}
	free(o);
	return s->rig->error[0] == '\0';
}

static bool is_same(const struct matrix_outcome *a, const struct matrix_outcome *b)
{
	if (a->reply != b->reply || a->state != b->state || a->delivered != b->delivered)
		return false;
	if (a->reply == MATRIX_NOTHING)
		return true;
	return a->seq == b->seq && a->ack == b->ack;
}

static void print_outcome(const char *what, const struct matrix_outcome *o)
{
	static const char *const reply[] = { "nothing", "ACK", "SYN-ACK", "RST", "RST-ACK" };

	printf("#   %s: %s", what, reply[o->reply]);
	if (o->reply != MATRIX_NOTHING)
		printf(" seq %lld ack %lld", (long long)o->seq, (long long)o->ack);
	printf(", %s, %lld bytes\n", states[o->state].name, (long long)o->delivered);
}

/* --- one case --- */

static bool reach(struct script *s, enum matrix_state state, bool v6, struct matrix_context *c)
{
	const struct value *w;

	script_begin(s, v6);
	s->config.pinned = 64;
	for (unsigned i = 0; i < LINES && states[state].line[i]; i++)
		if (!script_line(s, states[state].line[i]))
			return false;
	w = value_find(&s->values, "w");
	*c = (struct matrix_context){ .state = state,
				      .rcv_nxt = states[state].rcv_nxt,
				      .snd_una = states[state].snd_una,
				      .snd_nxt = states[state].snd_nxt,
				      .rcv_wnd = w ? w->number : WINDOW_GUESS,
				      .max_snd_wnd = PEER_WINDOW };
	return true;
}

static bool try_case(enum matrix_state state, bool v6, unsigned kind, unsigned place, unsigned ack)
{
	static struct script s;
	struct matrix_outcome want, got;
	struct matrix_context c;
	struct matrix_segment g;
	char line[128];
	bool ok;

	if (!reach(&s, state, v6, &c)) {
		printf("# %s cannot be reached: %s\n", states[state].name, s.message);
		script_drop(&s);
		return false;
	}
	g = segment_of(&c, kind, place, ack);
	want = matrix_expect(&c, &g);
	snprintf(line, sizeof(line), "in %s %lld len %u%s%lld", kinds[kind].flags, (long long)g.seq, g.len,
		 g.has_ack ? " ack " : " salt ", (long long)(g.has_ack ? g.ack : 0));
	ok = script_line(&s, line) && observe(&s, &c, &got);
	if (!ok)
		printf("# %s %s, %s: %s\n", states[state].name, v6 ? "v6" : "v4", line,
		       s.message[0] ? s.message : "more than one reply, or a strange one");
	if (ok && !is_same(&want, &got)) {
		ok = false;
		printf("# %s %s, %s (%s):\n", states[state].name, v6 ? "v6" : "v4", line, places[place].name);
		print_outcome("expected", &want);
		print_outcome("got", &got);
	}
	script_drop(&s);
	return ok;
}

int main(void)
{
	unsigned failed_states = 0, test = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("1..%u\n", MATRIX_N_STATES * 2);
	for (unsigned v6 = 0; v6 < 2; v6++)
		for (unsigned state = 0; state < MATRIX_N_STATES; state++) {
			unsigned cases = 0, failed = 0;

			for (unsigned i = 0; i < FS_ARRAY_SIZE(kinds) * FS_ARRAY_SIZE(places) * N_ACKS; i++) {
				unsigned kind = i / N_ACKS / FS_ARRAY_SIZE(places);
				unsigned place = i / N_ACKS % FS_ARRAY_SIZE(places), ack = i % N_ACKS;

				/* Without ACK the number is no matter. */
				if (!strchr(kinds[kind].flags, 'A') && ack > 0)
					continue;
				cases++;
				failed += !try_case(state, v6, kind, place, ack);
			}
			failed_states += failed > 0;
			printf("%sok %u - %s %s: %u cases\n", failed ? "not " : "", ++test, states[state].name,
			       v6 ? "v6" : "v4", cases);
		}
	return failed_states > 0;
}
