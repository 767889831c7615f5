/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * call.c - statements that call the engine as a socket does, and ask it for what a socket shows.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "info.h"
#include "script.h"
#include "tcp/cc.h"

enum { IO_MAX = 1 << 21 };

static bool expect(struct script *s, const char *what, int64_t got, int64_t want)
{
	if (got == want)
		return true;
	return script_fail(s, "%s gave %lld%s%s, not %lld%s%s\n  at: %s", what, (long long)got, got < 0 ? " " : "",
			   got < 0 ? value_errno_name((int)-got) : "", (long long)want, want < 0 ? " " : "",
			   want < 0 ? value_errno_name((int)-want) : "", s->text);
}

/* The call is done; what it queued leaves. */
static bool done(struct script *s, const char *what, int64_t got, int64_t want)
{
	rig_settle(s->rig);
	return expect(s, what, got, want);
}

static bool need_conn(struct script *s)
{
	return s->current->conn || script_fail(s, "flow %s has no connection", s->current->name);
}

static struct tcp_listener *listener_of(struct script *s, const struct flow *f)
{
	for (unsigned i = 0; i < s->n_listeners; i++)
		if (s->listener[i].stack && s->listener[i].local_port == f->local_port)
			return &s->listener[i];
	return NULL;
}

/* --- beginning and end --- */

/* The script's first flow listens: a client's has its ports the other way round. */
static void turn_to_client(struct flow *f)
{
	uint16_t port = f->local_port;

	if (f->conn || f->connects || f->iss_known)
		return;
	f->connects = true;
	f->local_port = f->remote_port;
	f->remote_port = port;
}

/* connect [to ADDRESS] [any] [= RESULT]; any: from whatever address the route has. */
static bool run_connect(struct script *s, struct words *w)
{
	struct rig *r = s->rig;
	struct ip_addr remote = *rig_peer(r, s->v6), local = *rig_local(r, s->v6);
	struct flow *f = s->current;
	int64_t want;
	int ret;

	turn_to_client(f);
	if (words_take(w, "to") && (w->at == w->n || !script_address(s, words_next(w), &remote)))
		return false;
	if (words_take(w, "any"))
		local = (struct ip_addr){ 0 };
	if (!words_result(s, w, 0, &want))
		return false;
	if (!f->conn)
		f->conn = tcp_open(&r->tcp, f);
	if (!f->conn)
		return expect(s, "open", -ENOMEM, want);
	if (f->has_options && (ret = tcp_set_options(f->conn, &r->env, &f->options, r->now)) < 0)
		return expect(s, "set", ret, 0);
	ret = tcp_connect(f->conn, &r->env, &local, f->local_port, &remote, f->remote_port, r->now);
	return done(s, "connect", ret, want);
}

static bool run_listen(struct script *s, struct words *w)
{
	struct flow *f = s->current;
	struct tcp_listener *l = listener_of(s, f);
	int64_t backlog = 16, want;

	if (w->at < w->n && strcmp(w->word[w->at], "=") != 0 && !words_number(s, w, &backlog))
		return false;
	if (!words_result(s, w, 0, &want))
		return false;
	if (!l) {
		if (s->n_listeners == SCRIPT_LISTENERS)
			return script_fail(s, "too many listeners");
		l = &s->listener[s->n_listeners++];
		*l = (struct tcp_listener){ .local_port = f->local_port, .is_v6 = s->v6, .user = s };
		tcp_options_default(&l->options, &s->rig->tcp.config);
	}
	if (f->has_options)
		l->options = f->options;
	l->own = f->listening;
	return done(s, "listen", tcp_listen(&s->rig->tcp, l, (uint32_t)backlog), want);
}

static bool run_unlisten(struct script *s, struct words *w)
{
	struct tcp_listener *l = listener_of(s, s->current);

	if (!l)
		return script_fail(s, "nobody listens");
	tcp_unlisten(l, &s->rig->env, s->rig->now);
	return done(s, "unlisten", 0, 0);
}

/* accept: the current flow's connection. accept = EAGAIN: there is none. */
static bool run_accept(struct script *s, struct words *w)
{
	struct tcp_listener *l = listener_of(s, s->current);
	struct tcp_conn *conn;
	int64_t want;

	if (!words_result(s, w, 0, &want))
		return false;
	if (!l)
		return script_fail(s, "nobody listens");
	conn = tcp_accept(l);
	if (!conn)
		return done(s, "accept", -EAGAIN, want);
	if (conn->end.remote_port != s->current->remote_port || s->current->conn)
		return script_fail(s, "accepted a connection that is not flow %s's", s->current->name);
	s->current->conn = conn;
	conn->user = s->current;
	s->current->options = *tcp_get_options(conn);
	return done(s, "accept", 0, want);
}

static bool run_close(struct script *s, struct words *w)
{
	if (!need_conn(s))
		return false;
	tcp_close(s->current->conn, &s->rig->env, s->rig->now);
	s->current->conn = NULL;
	return done(s, "close", 0, 0);
}

static bool run_abort(struct script *s, struct words *w)
{
	if (!need_conn(s))
		return false;
	tcp_abort(s->current->conn, &s->rig->env, s->rig->now);
	s->current->conn = NULL;
	return done(s, "abort", 0, 0);
}

static bool run_shutdown(struct script *s, struct words *w)
{
	int64_t want;
	uint32_t how = 0;

	while (w->at < w->n && strcmp(w->word[w->at], "=") != 0) {
		if (words_take(w, "rd"))
			how |= TCP_SHUT_RD;
		else if (words_take(w, "wr"))
			how |= TCP_SHUT_WR;
		else
			return script_fail(s, "shutdown rd|wr ...");
	}
	if (!words_result(s, w, 0, &want) || !need_conn(s))
		return false;
	return done(s, "shutdown", tcp_shutdown(s->current->conn, &s->rig->env, how, s->rig->now), want);
}

/* --- bytes --- */

/* send N [more] [oob] [salt X] [= N] */
static bool run_send(struct script *s, struct words *w)
{
	static uint8_t bytes[IO_MAX];
	struct flow *f = s->current;
	int64_t n, want, salt = 0;
	struct iovec iov;
	uint32_t flags = 0;
	ssize_t ret;

	if (!words_number(s, w, &n) || !need_conn(s))
		return false;
	if (n < 0 || n > IO_MAX)
		return script_fail(s, "send at most %d", IO_MAX);
	while (w->at < w->n && strcmp(w->word[w->at], "=") != 0) {
		if (words_take(w, "more"))
			flags |= TCP_SEND_MORE;
		else if (words_take(w, "oob"))
			flags |= TCP_SEND_OOB;
		else if (!words_take(w, "salt") || !words_number(s, w, &salt))
			return script_fail(s, "send N [more] [oob] [salt X] [= N]");
	}
	if (!words_result(s, w, n, &want))
		return false;
	for (int64_t i = 0; i < n; i++)
		bytes[i] = script_byte(f->written + (uint32_t)i, (uint8_t)salt);
	iov = (struct iovec){ bytes, (size_t)n };
	ret = tcp_send(f->conn, &s->rig->env, &iov, 1, flags, s->rig->now);
	if (ret > 0)
		f->written += (uint32_t)ret;
	return done(s, "send", ret, want);
}

struct recv_args {
	uint32_t flags;
	int64_t max, offset, salt, at, want;
};

static bool parse_recv(struct script *s, struct words *w, struct recv_args *a)
{
	*a = (struct recv_args){ .at = s->current->read };
	if (!words_number(s, w, &a->max))
		return false;
	while (w->at < w->n && strcmp(w->word[w->at], "=") != 0) {
		bool ok = true;

		if (words_take(w, "peek"))
			a->flags |= TCP_RECV_PEEK;
		else if (words_take(w, "oob"))
			a->flags |= TCP_RECV_OOB;
		else if (words_take(w, "trunc"))
			a->flags |= TCP_RECV_TRUNC;
		else if (words_take(w, "offset"))
			ok = words_number(s, w, &a->offset);
		else if (words_take(w, "salt"))
			ok = words_number(s, w, &a->salt);
		else if (words_take(w, "from"))
			ok = words_number(s, w, &a->at);
		else
			return script_fail(s, "recv N [peek|oob|trunc] [offset N] [salt X] [from POSITION] = N");
		if (!ok)
			return false;
	}
	if (w->at == w->n)
		return script_fail(s, "recv needs a result: recv N = ...");
	return words_result(s, w, 0, &a->want) && need_conn(s);
}

/* What is read must be what the script sent: byte POSITION of the stream, by default the next one. */
static bool run_recv(struct script *s, struct words *w)
{
	static uint8_t bytes[IO_MAX];
	struct flow *f = s->current;
	struct recv_args a;
	struct iovec iov;
	ssize_t ret;

	if (!parse_recv(s, w, &a))
		return false;
	if (a.max < 0 || a.max > IO_MAX)
		return script_fail(s, "recv at most %d", IO_MAX);
	iov = (struct iovec){ bytes, (size_t)a.max };
	ret = tcp_recv(f->conn, &s->rig->env, &iov, 1, a.flags, (uint32_t)a.offset, s->rig->now);
	for (ssize_t i = 0; i < ret && !(a.flags & TCP_RECV_TRUNC); i++)
		if (bytes[i] != script_byte((uint32_t)(a.at + a.offset + i), (uint8_t)a.salt))
			return script_fail(s, "byte %zd of those received is not what was sent", i);
	if (ret > 0 && !(a.flags & (TCP_RECV_PEEK | TCP_RECV_OOB)))
		f->read = (uint32_t)(a.at + ret);
	return done(s, "recv", ret, a.want);
}

/* --- options --- */

static bool set_option(struct script *s, struct flow *f, const char *name, int64_t value)
{
	struct tcp_options *o = &f->options;
	struct tcp_listen_options *l = &f->listening;

#define FIELDS(X)                                                                                                   \
	X(sndbuf) X(rcvbuf) X(user_timeout_ms) X(notsent_lowat) X(rcvlowat) X(window_clamp) X(max_pacing_rate)      \
	X(linger_s) X(keep_idle_s) X(keep_interval_s) X(linger2_s) X(mss) X(keep_count)                             \
	X(syn_count) X(congestion) X(nodelay) X(cork) X(keepalive) X(oob_inline) X(recverr)         \
	X(fastopen_connect) X(fastopen_no_cookie) X(quickack_off)
#define LISTENERS(X) X(fastopen_queue) X(defer_accept) X(v6_only)
#define SET(field)                                                                                                  \
	if (strcmp(name, #field) == 0) {                                                                            \
		TO->field = (typeof(TO->field + 0))value;                                                             \
		return true;                                                                                        \
	}
#define TO o
	FIELDS(SET)
#undef TO
#define TO l
	LISTENERS(SET)
#undef TO
#undef SET
#undef LISTENERS
#undef FIELDS
	if (strcmp(name, "tos") == 0) {
		o->style[0].tos = o->style[1].tos = (uint8_t)value;
		return true;
	}
	if (strcmp(name, "ttl") == 0) {
		o->style[0].hop_limit = o->style[1].hop_limit = (uint8_t)value;
		return true;
	}
	return script_fail(s, "no such option: %s", name);
}

static bool option_value(struct script *s, struct words *w, const char *name, int64_t *value)
{
	int index = -ENOENT;

	if (strcmp(name, "congestion") == 0 && w->at < w->n)
		index = tcp_cc_by_name(w->word[w->at], strlen(w->word[w->at]));
	if (index < 0)
		return words_number(s, w, value);
	w->at++;
	*value = index;
	return true;
}

/* set NAME VALUE [= 0]: of the flow's connection, or of what it is going to be, listener or connection. */
static bool run_set(struct script *s, struct words *w)
{
	struct flow *f = s->current;
	const char *name = words_next(w);
	int64_t value, want;
	int ret = 0;

	if (!name || !option_value(s, w, name, &value) || !words_result(s, w, 0, &want))
		return script_fail(s, "set NAME VALUE");
	if (f->conn)
		f->options = *tcp_get_options(f->conn);
	else if (!f->has_options)
		tcp_options_default(&f->options, &s->rig->tcp.config);
	f->has_options = true;
	if (!set_option(s, f, name, value))
		return false;
	if (f->conn)
		ret = tcp_set_options(f->conn, &s->rig->env, &f->options, s->rig->now);
	return done(s, "set", ret, want);
}

static bool run_quickack(struct script *s, struct words *w)
{
	bool on = words_take(w, "on");

	if ((!on && !words_take(w, "off")) || !need_conn(s))
		return script_fail(s, "quickack on|off");
	tcp_quickack(s->current->conn, &s->rig->env, on, s->rig->now);
	return done(s, "quickack", 0, 0);
}

/* --- what a socket shows --- */

static const struct {
	const char *name;
	uint32_t bit;
} ready_names[] = {
	{ "in", TCP_READY_IN },	  { "out", TCP_READY_OUT }, { "pri", TCP_READY_PRI },
	{ "err", TCP_READY_ERR }, { "hup", TCP_READY_HUP }, { "rdhup", TCP_READY_RDHUP },
};

static const char *ready_text(uint32_t bits)
{
	static char text[64];
	size_t n = 0;

	text[0] = '\0';
	for (unsigned i = 0; i < FS_ARRAY_SIZE(ready_names); i++)
		if (bits & ready_names[i].bit)
			n += (size_t)snprintf(text + n, sizeof(text) - n, " %s", ready_names[i].name);
	return n ? text : " nothing";
}

static bool compare_ready(struct script *s, struct words *w, const char *what, uint32_t got)
{
	uint32_t want = 0;
	const char *word;

	while ((word = words_next(w)) != NULL) {
		unsigned i = 0;

		while (i < FS_ARRAY_SIZE(ready_names) && strcmp(ready_names[i].name, word) != 0)
			i++;
		if (i == FS_ARRAY_SIZE(ready_names) && strcmp(word, "nothing") != 0)
			return script_fail(s, "no such readiness: %s", word);
		want |= i < FS_ARRAY_SIZE(ready_names) ? ready_names[i].bit : 0;
	}
	return got == want || script_fail(s, "%s:%s\n  expected: %s", what, ready_text(got), s->text);
}

/* ready [in] [out] ...: exactly these levels. */
static bool run_ready(struct script *s, struct words *w)
{
	return need_conn(s) && compare_ready(s, w, "ready", tcp_ready(s->current->conn));
}

/* events [in] ...: exactly these edges since the last `events'. */
static bool run_events(struct script *s, struct words *w)
{
	uint32_t edges = s->current->edges;

	s->current->edges = 0;
	return compare_ready(s, w, "events", edges);
}

static bool run_incoming(struct script *s, struct words *w)
{
	uint32_t n = s->incoming;
	int64_t want;

	s->incoming = 0;
	return words_number(s, w, &want) && expect(s, "incoming", n, want);
}

static bool run_state(struct script *s, struct words *w)
{
	const char *want = words_next(w);
	const char *got;

	if (!want || !need_conn(s))
		return script_fail(s, "state NAME");
	got = tcp_state_name[s->current->conn->state];
	return strcmp(got, want) == 0 || script_fail(s, "state is %s\n  expected: %s", got, s->text);
}

/* error NAME|none: SO_ERROR, which is cleared thereby. */
static bool run_error(struct script *s, struct words *w)
{
	const char *want = words_next(w);
	int got;

	if (!want || !need_conn(s))
		return script_fail(s, "error NAME");
	got = tcp_take_error(s->current->conn);
	return (strcmp(want, "none") == 0 ? got == 0 : got == value_errno(want)) ||
	       script_fail(s, "error is %s\n  expected: %s", value_errno_name(got), s->text);
}

static bool run_inq(struct script *s, struct words *w)
{
	int64_t want;

	return need_conn(s) && words_number(s, w, &want) && expect(s, "inq", tcp_inq(s->current->conn), want);
}

static bool run_outq(struct script *s, struct words *w)
{
	int64_t want;

	return need_conn(s) && words_number(s, w, &want) && expect(s, "outq", tcp_outq(s->current->conn), want);
}

static bool run_unsent(struct script *s, struct words *w)
{
	int64_t want;

	return need_conn(s) && words_number(s, w, &want) &&
	       expect(s, "unsent", tcp_outq_unsent(s->current->conn), want);
}

static bool run_atmark(struct script *s, struct words *w)
{
	int64_t want;

	return need_conn(s) && words_number(s, w, &want) && expect(s, "atmark", tcp_at_mark(s->current->conn), want);
}

static bool info_value(struct script *s, const char *name, int64_t *to)
{
	uint8_t info[INFO_BYTES] = { 0 };

	tcp_info(s->current->conn, info, sizeof(info), s->rig->now);
	return info_field(info, name, to) || script_fail(s, "TCP_INFO has no `%s' here", name);
}

/* info FIELD VALUE|?NAME */
static bool run_info(struct script *s, struct words *w)
{
	const char *name = words_next(w);
	int64_t got, want;

	if (!name || !need_conn(s) || !info_value(s, name, &got))
		return script_fail(s, "info FIELD VALUE");
	if (w->at < w->n && w->word[w->at][0] == '?')
		return value_set(&s->values, words_next(w) + 1, got);
	return words_number(s, w, &want) && expect(s, name, got, want);
}

void call_finish(struct script *s)
{
	for (unsigned i = 0; i < s->n_flows; i++)
		if (s->flow[i].conn)
			tcp_abort(s->flow[i].conn, &s->rig->env, s->rig->now);
	for (unsigned i = 0; i < s->n_listeners; i++)
		if (s->listener[i].stack)
			tcp_unlisten(&s->listener[i], &s->rig->env, s->rig->now);
	rig_settle(s->rig);
}

const struct statement call_statements[] = {
	{ "connect", run_connect, false },   { "listen", run_listen, false },
	{ "unlisten", run_unlisten, false }, { "accept", run_accept, false },
	{ "close", run_close, false },	     { "abort", run_abort, false },
	{ "shutdown", run_shutdown, false }, { "send", run_send, false },
	{ "recv", run_recv, false },	     { "set", run_set, false },
	{ "quickack", run_quickack, false }, { "ready", run_ready, false },
	{ "events", run_events, false },     { "incoming", run_incoming, false },
	{ "state", run_state, false },	     { "error", run_error, false },
	{ "inq", run_inq, false },	     { "outq", run_outq, false },
	{ "unsent", run_unsent, false },     { "atmark", run_atmark, false },
	{ "info", run_info, false },	     { NULL, NULL, false },
};
