/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * script.c - running packet scripts: lines, words, settings, time, flows.
 */
#include "script.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

enum { SERVER_PORT = 80, CLIENT_PORT = 40000 };

/* With IPv6 what the peer says crosses the end of the number space. */
static const tcp_seq peer_iss[2] = { 0x40000000, 0xfffffe00 };

bool script_fail(struct script *s, const char *format, ...)
{
	va_list args;

	if (s->message[0] != '\0')
		return false; /* the first one is the cause */
	va_start(args, format);
	vsnprintf(s->message, sizeof(s->message), format, args);
	va_end(args);
	return false;
}

/* --- words --- */

char *words_next(struct words *w)
{
	return w->at < w->n ? w->word[w->at++] : NULL;
}

bool words_take(struct words *w, const char *word)
{
	if (w->at == w->n || strcmp(w->word[w->at], word) != 0)
		return false;
	w->at++;
	return true;
}

bool words_number(struct script *s, struct words *w, int64_t *to)
{
	const char *word = words_next(w);

	if (!word)
		return script_fail(s, "a number is missing");
	return value_eval(&s->values, word, to) || script_fail(s, "%s", s->values.error);
}

bool words_result(struct script *s, struct words *w, int64_t fallback, int64_t *to)
{
	*to = fallback;
	if (!words_take(w, "="))
		return true;
	if (w->at < w->n && value_errno(w->word[w->at]) != 0) {
		*to = -value_errno(words_next(w));
		return true;
	}
	return words_number(s, w, to);
}

/* Words are set apart by blanks; what is in <...> is one, without the closing bracket. */
static bool split(struct script *s, char *line, struct words *w)
{
	char *p = line;

	*w = (struct words){ 0 };
	for (;;) {
		while (*p == ' ' || *p == '\t')
			p++;
		if (*p == '\0' || *p == '#')
			return true;
		if (w->n == SCRIPT_WORDS)
			return script_fail(s, "too many words");
		w->word[w->n++] = p;
		if (*p == '<' && p[1] != ' ' && p[1] != '=') {
			p = strchr(p, '>');
			if (!p)
				return script_fail(s, "`>' is missing");
		} else {
			while (*p && *p != ' ' && *p != '\t' && *p != '#')
				p++;
			if (*p == '#' || *p == '\0') {
				*p = '\0';
				return true;
			}
		}
		*p++ = '\0';
	}
}

bool script_address(struct script *s, const char *text, struct ip_addr *to)
{
	uint8_t bytes[16];

	if (inet_pton(s->v6 ? AF_INET6 : AF_INET, text, bytes) != 1)
		return script_fail(s, "no such address: %s", text);
	if (s->v6)
		memcpy(to->b, bytes, 16);
	else
		*to = ip_addr_v4(bytes);
	return true;
}

/* --- flows --- */

static struct flow *add_flow(struct script *s, const char *name)
{
	struct flow *f = &s->flow[s->n_flows];

	if (s->n_flows == SCRIPT_FLOWS || strlen(name) >= sizeof(f->name))
		return NULL;
	*f = (struct flow){ .local_port = SERVER_PORT,
			    .remote_port = (uint16_t)(CLIENT_PORT + s->n_flows),
			    .peer_iss = peer_iss[s->v6],
			    .window = UINT16_MAX,
			    .written = 1,
			    .read = 1 };
	strcpy(f->name, name);
	s->n_flows++;
	return f;
}

static bool run_flow(struct script *s, struct words *w)
{
	const char *name = words_next(w);

	if (!name)
		return script_fail(s, "flow NAME");
	for (unsigned i = 0; i < s->n_flows; i++)
		if (strcmp(s->flow[i].name, name) == 0) {
			s->current = &s->flow[i];
			return true;
		}
	s->current = add_flow(s, name);
	return s->current || script_fail(s, "too many flows");
}

/* forget: the next SYN begins a new connection of the same 4-tuple. */
static bool run_forget(struct script *s, struct words *w)
{
	struct flow *f = s->current;
	struct flow fresh = { .local_port = f->local_port,
			      .remote_port = f->remote_port,
			      .connects = f->connects,
			      .peer_iss = f->peer_iss,
			      .window = f->window,
			      .ts_known = f->ts_known,
			      .ts_base = f->ts_base,
			      .written = 1,
			      .read = 1 };

	if (f->conn)
		return script_fail(s, "the flow's connection is still open");
	strcpy(fresh.name, f->name);
	*f = fresh;
	return true;
}

/* ports LOCAL REMOTE */
static bool run_ports(struct script *s, struct words *w)
{
	int64_t local, remote;

	if (!words_number(s, w, &local) || !words_number(s, w, &remote))
		return false;
	s->current->local_port = (uint16_t)local;
	s->current->remote_port = (uint16_t)remote;
	return true;
}

static bool run_peer_iss(struct script *s, struct words *w)
{
	int64_t iss;

	if (!words_number(s, w, &iss))
		return false;
	s->current->peer_iss = (uint32_t)iss;
	return true;
}

/* --- settings --- */

static bool run_mtu(struct script *s, struct words *w)
{
	int64_t mtu;

	if (!words_number(s, w, &mtu))
		return false;
	s->config.mtu = (uint32_t)mtu;
	return value_set(&s->values, "mss", mtu - (s->v6 ? 60 : 40));
}

static bool run_clock(struct script *s, struct words *w)
{
	return words_number(s, w, &s->config.start);
}

/* device gso N, device csum: what the port takes. The former may change. */
static bool run_device(struct script *s, struct words *w)
{
	int64_t gso = s->config.gso;

	if (words_take(w, "csum"))
		s->config.csum_partial = true;
	else if (!words_take(w, "gso") || !words_number(s, w, &gso))
		return script_fail(s, "device gso N | device csum");
	s->config.gso = (uint16_t)gso;
	if (s->rig)
		rig_gso(s->rig, (uint16_t)gso);
	return true;
}

static bool run_only(struct script *s, struct words *w)
{
	const char *family = words_next(w);

	s->skip = family && strcmp(family, s->v6 ? "v6" : "v4") != 0;
	return family || script_fail(s, "only v4|v6");
}

static const struct {
	const char *name;
	uint16_t offset, size;
} config_fields[] = {
#define FIELD(f) { #f, offsetof(struct tcp_config, f), sizeof(((struct tcp_config *)0)->f) }
	FIELD(rto_min_us),     FIELD(rto_initial_us),	FIELD(rto_max_us),	FIELD(delack_min_us),
	FIELD(delack_max_us),  FIELD(initial_cwnd),	FIELD(rcvbuf[0]),	FIELD(rcvbuf[1]),
	FIELD(rcvbuf[2]),      FIELD(sndbuf[0]),	FIELD(sndbuf[1]),	FIELD(sndbuf[2]),
	FIELD(max_reordering), FIELD(tw_us),		FIELD(fin_timeout_us),	FIELD(max_tw),
	FIELD(challenge_per_s), FIELD(base_mss),	FIELD(syn_retries),	FIELD(synack_retries),
	FIELD(retries1),       FIELD(retries2),		FIELD(orphan_retries),	FIELD(ecn),
	FIELD(syncookies),     FIELD(fastopen),		FIELD(congestion),	FIELD(timestamps),
	FIELD(sack),	       FIELD(window_scaling),	FIELD(rfc1337),		FIELD(slow_start_after_idle),
	FIELD(mtu_probing),
#undef FIELD
};

static struct tcp_config *config_of(struct script *s)
{
	if (s->rig)
		return &s->rig->tcp.config;
	if (!s->config.use_tcp)
		tcp_config_default(&s->config.tcp);
	s->config.use_tcp = true;
	return &s->config.tcp;
}

/* config NAME VALUE: of the stack, at any time. */
static bool run_config(struct script *s, struct words *w)
{
	const char *name = words_next(w);
	struct tcp_config *config = config_of(s);
	int64_t value;

	if (name && strcmp(name, "congestion") == 0 && w->at < w->n) {
		int index = tcp_cc_by_name(w->word[w->at], strlen(w->word[w->at]));

		w->at++;
		config->congestion = (uint8_t)index;
		return index >= 0 || script_fail(s, "no such congestion control");
	}
	if (!name || !words_number(s, w, &value))
		return script_fail(s, "config NAME VALUE");
	for (unsigned i = 0; i < FS_ARRAY_SIZE(config_fields); i++)
		if (strcmp(config_fields[i].name, name) == 0) {
			memcpy((char *)config + config_fields[i].offset, &value, config_fields[i].size);
			return true;
		}
	return script_fail(s, "no such setting: %s", name);
}

/* --- time --- */

bool script_quiet(struct script *s)
{
	const struct rig_out *o = s->rig->out;

	if (s->rig->error[0])
		return script_fail(s, "a frame was sent with: %s", s->rig->error);
	if (!o)
		return true;
	return script_fail(s, "a segment that nobody expected\n  before: %s\n  sent at %.9g s: out %s", s->text,
			   (double)(o->at - s->rig->start) / 1e9, segment_text(segment_flow(s, o), o));
}

static bool advance_to(struct script *s, fs_ns until)
{
	if (!script_quiet(s))
		return false;
	if (until < s->rig->now)
		return script_fail(s, "that time has passed: it is %.9g s",
				   (double)(s->rig->now - s->rig->start) / 1e9);
	rig_advance(s->rig, until);
	s->values.now_ms = script_ms(s);
	if (s->rig->now < until)
		return script_quiet(s);
	return true;
}

static bool run_wait(struct script *s, struct words *w)
{
	int64_t span;

	return words_number(s, w, &span) && advance_to(s, s->rig->now + span);
}

static bool run_at(struct script *s, struct words *w)
{
	int64_t at;

	return words_number(s, w, &at) && advance_to(s, s->rig->start + at);
}

/* skip SPAN: whatever was sent and is sent meanwhile is thrown away. `skipped` says how many there were. */
static bool run_skip(struct script *s, struct words *w)
{
	int64_t span, n = 0;
	fs_ns until;

	if (!words_number(s, w, &span))
		return false;
	until = s->rig->now + span;
	while (s->rig->now < until || s->rig->out) {
		struct rig_out *o;

		rig_advance(s->rig, until);
		if (s->rig->error[0])
			return script_fail(s, "%s", s->rig->error);
		while ((o = rig_take(s->rig)) != NULL) {
			segment_flow(s, o);
			free(o);
			n++;
		}
	}
	s->values.now_ms = script_ms(s);
	return value_set(&s->values, "skipped", n);
}

/* drop N: the next N segments sent are not looked at. */
static bool run_drop(struct script *s, struct words *w)
{
	int64_t n;

	if (!words_number(s, w, &n))
		return false;
	while (n-- > 0) {
		struct rig_out *o = rig_take(s->rig);

		if (!o)
			return script_fail(s, "nothing is there to be dropped");
		segment_flow(s, o);
		free(o);
	}
	return true;
}

static bool run_quiet(struct script *s, struct words *w)
{
	return script_quiet(s);
}

/* --- the world --- */

static bool run_burst(struct script *s, struct words *w)
{
	if (!script_quiet(s))
		return false;
	rig_burst_begin(s->rig);
	return true;
}

static bool run_end(struct script *s, struct words *w)
{
	rig_burst_end(s->rig);
	return true;
}

static bool run_link(struct script *s, struct words *w)
{
	bool up = words_take(w, "up");

	if (!up && !words_take(w, "down"))
		return script_fail(s, "link up|down");
	rig_link(s->rig, up);
	return true;
}

/* route up|down|moved: to the peer by our address, not at all, or by another address of ours. */
static bool run_route(struct script *s, struct words *w)
{
	bool up = words_take(w, "up"), moved = !up && words_take(w, "moved");

	if (!up && !moved && !words_take(w, "down"))
		return script_fail(s, "route up|down|moved");
	s->rig->unreachable = !up && !moved;
	s->rig->moved = moved;
	ip_dst_flush(&s->rig->ip);
	return true;
}

static bool run_let(struct script *s, struct words *w)
{
	const char *name = words_next(w);
	int64_t number;

	return name && words_number(s, w, &number) && value_set(&s->values, name, number);
}

/* check A ==|!=|<|<=|>|>= B */
static bool run_check(struct script *s, struct words *w)
{
	static const char *const ops[] = { "==", "!=", "<", "<=", ">", ">=" };
	int64_t a, b;
	const char *op;
	unsigned i = 0;
	bool holds;

	if (!words_number(s, w, &a) || (op = words_next(w)) == NULL || !words_number(s, w, &b))
		return script_fail(s, "check A OP B");
	while (i < FS_ARRAY_SIZE(ops) && strcmp(ops[i], op) != 0)
		i++;
	holds = i == 0 ? a == b : i == 1 ? a != b : i == 2 ? a < b : i == 3 ? a <= b : i == 4 ? a > b : a >= b;
	return (holds && i < FS_ARRAY_SIZE(ops)) ||
	       script_fail(s, "%lld %s %lld does not hold: %s", (long long)a, op, (long long)b, s->text);
}

/* counter NAME +N: since the script began or the line before that named it. */
static bool run_counter(struct script *s, struct words *w)
{
	const char *name = words_next(w);
	int64_t want;
	uint64_t got;
	uint32_t i = 0;

	if (!name || !words_number(s, w, &want))
		return script_fail(s, "counter NAME N");
	while (i < FS_CTR_N && strcmp(fs_counter_info(i)->name, name) != 0)
		i++;
	if (i == FS_CTR_N)
		return script_fail(s, "no such counter: %s", name);
	got = s->rig->counters[i] - s->counted[i];
	s->counted[i] = s->rig->counters[i];
	return got == (uint64_t)want ||
	       script_fail(s, "%s counted %llu\n  expected: %s", name, (unsigned long long)got, s->text);
}

/* count conns|orphans|tws|reqs|ready N: what the stack holds. */
static bool run_count(struct script *s, struct words *w)
{
	const char *what = words_next(w);
	const struct tcp_stack *t = &s->rig->tcp;
	int64_t want, got = -1;

	if (!what || !words_number(s, w, &want))
		return script_fail(s, "count WHAT N");
	if (strcmp(what, "conns") == 0)
		got = t->n_conns;
	else if (strcmp(what, "orphans") == 0)
		got = t->n_orphans;
	else if (strcmp(what, "tws") == 0)
		got = t->n_tw;
	else if (strcmp(what, "reqs") == 0)
		got = t->reqs.in_use;
	else if (strcmp(what, "ready") == 0 && s->n_listeners > 0)
		got = s->listener[0].n_ready;
	return got == want ||
	       script_fail(s, "%s: %lld\n  expected: %s", what, (long long)got, s->text);
}

/* --- handshakes in one line --- */

static bool lines(struct script *s, const char *const *line, unsigned n)
{
	const char *text = s->text;
	bool ok = true;

	for (unsigned i = 0; i < n && ok; i++)
		ok = script_line(s, line[i]);
	s->text = text;
	return ok;
}

/*
 * established active|passive [rtt SPAN] [win N] [<options of the peer's SYN>]: a handshake a few lines long in one. The
 * peer's window is as in its SYN's field, and stays; the round trip is the first sample.
 */
static bool run_established(struct script *s, struct words *w)
{
	char syn[SCRIPT_LINE], ack[64];
	bool active = words_take(w, "active");
	const char *options = "<mss $mss, sackok, ts 100 ., nop, wscale 7";
	int64_t window = s->current->window, rtt = 0;

	if (!active && !words_take(w, "passive"))
		return script_fail(s, "established active|passive");
	if (words_take(w, "rtt") && !words_number(s, w, &rtt))
		return false;
	if (words_take(w, "win") && !words_number(s, w, &window))
		return false;
	if (w->at < w->n && w->word[w->at][0] == '<')
		options = words_next(w);
	snprintf(ack, sizeof(ack), "+%lldns in A 1 ack 1", (long long)rtt);
	if (active) {
		const char *const line[] = { "connect", "out * 0 win *", syn, "out A 1 ack 1", "state ESTABLISHED" };

		snprintf(syn, sizeof(syn), "+%lldns in SA 0 ack 1 win %lld %s>", (long long)rtt, (long long)window,
			 options);
		return lines(s, line, FS_ARRAY_SIZE(line));
	}
	{
		const char *const line[] = { "listen", syn, "out * 0 ack 1", ack, "accept", "state ESTABLISHED",
					     "incoming 1" };

		snprintf(syn, sizeof(syn), "in S 0 win %lld %s>", (long long)window, options);
		return lines(s, line, FS_ARRAY_SIZE(line));
	}
}

static const struct statement own_statements[] = {
	{ "mtu", run_mtu, true },	    { "clock", run_clock, true },
	{ "device", run_device, true },	    { "only", run_only, true },
	{ "config", run_config, true },	    { "flow", run_flow, true },
	{ "ports", run_ports, true },	    { "peer_iss", run_peer_iss, true },
	{ "let", run_let, true },	    { "forget", run_forget, false },
	{ "wait", run_wait, false },	    { "at", run_at, false },
	{ "skip", run_skip, false },	    { "drop", run_drop, false },
	{ "quiet", run_quiet, false },	    { "burst", run_burst, false },
	{ "end", run_end, false },	    { "link", run_link, false },
	{ "route", run_route, false },	    { "check", run_check, false },
	{ "counter", run_counter, false },  { "count", run_count, false },
	{ "established", run_established, false }, { NULL, NULL, false },
};

/* --- life --- */

static void note_event(void *object, struct tcp_conn *conn, uint32_t edges)
{
	struct script *s = object;

	for (unsigned i = 0; i < s->n_flows; i++)
		if (s->flow[i].conn == conn)
			s->flow[i].edges |= edges;
}

static void note_incoming(void *object, struct tcp_listener *listener)
{
	struct script *s = object;

	s->incoming++;
}

void script_begin(struct script *s, bool v6)
{
	memset(s, 0, sizeof(*s));
	s->v6 = v6;
	s->text = "";
	s->current = add_flow(s, "a");
	value_set(&s->values, "mss", RIG_MTU - (v6 ? 60 : 40));
	value_set(&s->values, "ip", v6 ? 40 : 20);
}

static void begin_rig(struct script *s)
{
	s->rig = rig_create(&s->config);
	s->rig->events = (struct rig_events){ s, note_event, note_incoming };
}

static const struct statement *find(const struct statement *table, const char *name)
{
	for (; table->name; table++)
		if (strcmp(table->name, name) == 0)
			return table;
	return NULL;
}

/* A line may begin with the time it happens at: +200ms since the line before, or @1.2s since the beginning. */
static bool run_time_prefix(struct script *s, struct words *w)
{
	char *word = w->word[w->at];
	int64_t span;

	if (word[0] != '+' && word[0] != '@')
		return true;
	w->at++;
	if (!s->rig)
		begin_rig(s);
	if (!value_eval(&s->values, word + 1, &span))
		return script_fail(s, "%s", s->values.error);
	return advance_to(s, (word[0] == '+' ? s->rig->now : s->rig->start) + span);
}

bool script_line(struct script *s, const char *line)
{
	const struct statement *tables[] = { own_statements, segment_statements, call_statements };
	const struct statement *found = NULL;
	char copy[SCRIPT_LINE];
	struct words w;
	const char *name;

	if (s->skip)
		return true;
	if (strlen(line) >= sizeof(copy))
		return script_fail(s, "line too long");
	strcpy(copy, line);
	s->text = line;
	if (!split(s, copy, &w))
		return false;
	if (w.n == 0)
		return true;
	if (!run_time_prefix(s, &w))
		return false;
	name = words_next(&w);
	for (unsigned i = 0; i < FS_ARRAY_SIZE(tables) && !found && name; i++)
		found = find(tables[i], name);
	if (!found)
		return script_fail(s, "no such statement: %s", name ? name : "");
	if (!found->setting && !s->rig)
		begin_rig(s);
	if (!found->run(s, &w))
		return script_fail(s, "bad statement: %s", line);
	return w.at == w.n || script_fail(s, "words left over from `%s' on", w.word[w.at]);
}

bool script_end(struct script *s)
{
	const char *left;

	s->text = "the end";
	if (!s->rig)
		return true;
	if (!script_quiet(s))
		return false;
	call_finish(s);
	left = rig_destroy(s->rig);
	s->rig = NULL;
	return !left || script_fail(s, "%s", left);
}

void script_drop(struct script *s)
{
	if (!s->rig)
		return;
	rig_burst_end(s->rig);
	call_finish(s);
	rig_destroy(s->rig);
	s->rig = NULL;
}
