/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * program.c - what a simulated program does when it runs: read, write, end.
 *
 * Behaves as a program under EPOLLET: reads and writes until -EAGAIN, then waits for the next edge. What it reads is
 * compared with what the other one sent, byte by byte.
 * Does not: know of time beyond the gaps its plan wants.
 */
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "pattern.h"
#include "play.h"

enum {
	MAX_CALL = 65536,
	CALLS_A_TURN = 64, /* then others run: no program is alone */
};

static uint8_t buffer[MAX_CALL]; /* of whichever program runs */

static bool is_memory_error(const struct sim_end *e, ssize_t rc)
{
	(void)e;
	return rc == -ENOMEM || rc == -ENOBUFS;
}

static bool is_spoiled(const struct sim_end *e)
{
	return ((const struct sim_play *)e->host->world->above)->spoiled;
}

/* Errors the plan or the network may cause. */
static bool is_allowed(const struct sim_end *e, int error)
{
	const struct sim_play *play = e->host->world->above;

	if (play->spoiled)
		return true;
	/* Of two ends that connect to each other one may reset before the other knows that it is connected (RFC 9293
	 * 3.10.7.4). */
	if (error == ECONNREFUSED)
		return e->flow->refused || (e->flow->mutual && !e->flow->orderly) || play->harsh || play->starved;
	if (error == ETIMEDOUT)
		return play->harsh || play->starved || e->plan.options.user_timeout_ms > 0 || e->plan.options.keepalive;
	if (error == ECONNRESET || error == EPIPE)
		return !e->flow->orderly || play->harsh || play->starved;
	return (error == ENETUNREACH || error == EHOSTUNREACH || error == ENOBUFS || error == ENOMEM) &&
	       (play->harsh || play->starved);
}

/* close(2): the pointer is the engine's from here on. */
static void let_go(struct sim_end *e, bool abort)
{
	struct tcp_conn *conn = e->conn;

	e->conn = NULL;
	e->host->calls++;
	if (abort)
		tcp_abort(conn, &e->host->env, e->host->world->now);
	else
		tcp_close(conn, &e->host->env, e->host->world->now);
	sim_end_finish(e);
}

static void give_back_one(struct sim_end *e)
{
	unsigned i = (unsigned)sim_below(&e->random, e->n_held);

	tcp_release(e->conn, &e->host->env, e->held[i], e->host->world->now);
	e->held[i] = e->held[--e->n_held];
}

static void failed(struct sim_end *e, int error)
{
	struct sim_world *w = e->host->world;

	SIM_CHECK(w, is_allowed(e, error), "%s: error %d", sim_end_name(e), error);
	e->error = error;
	while (e->n_held > 0)
		give_back_one(e);
	let_go(e, false);
}

/* --- reading --- */

static void check_bytes(struct sim_end *e, uint64_t position, const uint8_t *bytes, size_t len)
{
	size_t good = sim_pattern_match(e->peer->key, position, bytes, len);

	if (is_spoiled(e))
		return;
	SIM_CHECK(e->host->world, good == len, "%s: byte %llu is %02x instead of %02x", sim_end_name(e),
		  (unsigned long long)(position + good), bytes[good],
		  sim_pattern(e->peer->key, position + good));
}

static void arrived(struct sim_end *e, size_t len)
{
	struct sim_play *play = e->host->world->above;

	e->received += len;
	e->received_at = e->host->world->now;
	play->bytes += len;
	SIM_CHECK(e->host->world, e->received <= e->peer->sent || is_spoiled(e), "%s: %llu bytes, and only %llu were sent",
		  sim_end_name(e), (unsigned long long)e->received, (unsigned long long)e->peer->sent);
	if (e->plan.pause_for > 0 && !e->paused && e->received >= e->plan.pause_after) {
		e->paused = true;
		e->reads_at = e->host->world->now + e->plan.pause_for;
	} else if (e->plan.read_gap > 0) {
		e->reads_at = e->host->world->now + e->plan.read_gap;
	}
}

static void at_end(struct sim_end *e)
{
	SIM_CHECK(e->host->world, (e->received == e->peer->sent && e->peer->shut) || is_spoiled(e), "%s: the end after %llu of %llu bytes",
		  sim_end_name(e), (unsigned long long)e->received, (unsigned long long)e->peer->sent);
	e->eof = true;
	e->readable = false;
}

/* Looks at bytes further on. Returns what was found; an error is thereby taken. */
static ssize_t peek(struct sim_end *e, uint32_t len)
{
	uint32_t waiting = tcp_inq(e->conn);
	uint32_t offset = (uint32_t)sim_below(&e->random, waiting / 2 + 1);
	struct iovec iov = { buffer, len };
	ssize_t n = tcp_recv(e->conn, &e->host->env, &iov, 1, TCP_RECV_PEEK, offset, e->host->world->now);

	if (n > 0)
		check_bytes(e, e->received + offset, buffer, (size_t)n);
	return n;
}

/*
 * An urgent byte that MSG_OOB has, or nobody wanted, is left out of what is read: at the next read behind the mark, or
 * when a later mark takes its place (as Linux): two, then, if that is the next byte. @n: bytes just read, not accounted
 * yet.
 */
static void leave_out_before(struct sim_end *e, uint32_t n)
{
	tcp_seq position = e->conn->copied_seq - (e->conn->irs + 1) - n;
	uint32_t left_out = position - (uint32_t)e->received;

	if (e->conn->copied_seq == 0 && e->conn->irs == 0)
		return; /* it never was synchronised */
	SIM_CHECK(e->host->world, left_out == 0 || (left_out <= 2 && e->peer->plan.urgent_every > 0) || is_spoiled(e),
		  "%s: %u bytes left out", sim_end_name(e), left_out);
	e->received += left_out;
}

static ssize_t read_copied(struct sim_end *e)
{
	struct sim_world *w = e->host->world;
	uint32_t max = e->plan.read_max ? e->plan.read_max : (uint32_t)MAX_CALL;
	uint32_t len = (uint32_t)sim_range(&e->random, 1, max);
	bool at_mark;
	struct iovec iov[2];
	uint32_t flags = 0, first = (uint32_t)sim_below(&e->random, len + 1);
	ssize_t n;

	leave_out_before(e, 0);
	at_mark = tcp_at_mark(e->conn);
	if (!at_mark && e->plan.peek_percent && sim_chance(&e->random, e->plan.peek_percent)) {
		n = peek(e, len);
		if (n < 0)
			return n;
	}
	if (e->plan.skip_percent && sim_chance(&e->random, e->plan.skip_percent))
		flags = TCP_RECV_TRUNC;
	iov[0] = (struct iovec){ buffer, first };
	iov[1] = (struct iovec){ buffer + first, len - first };
	n = tcp_recv(e->conn, &e->host->env, iov, 2, flags, 0, w->now);
	leave_out_before(e, (uint32_t)FS_MAX(n, 0));
	if (n > 0 && !(flags & TCP_RECV_TRUNC))
		check_bytes(e, e->received, buffer, (size_t)n);
	return n;
}

/* Frames are kept for a while and go back in any order. */
static ssize_t read_in_place(struct sim_end *e)
{
	struct fbuf *frame;
	uint32_t at = 0;

	while (e->n_held == SIM_HELD || (e->n_held > 0 && sim_chance(&e->random, 40)))
		give_back_one(e);
	frame = tcp_hold(e->conn);
	if (!frame) {
		struct iovec iov = { buffer, 1 };
		ssize_t n;

		while (e->n_held > 0)
			give_back_one(e);
		n = tcp_recv(e->conn, &e->host->env, &iov, 1, 0, 0, e->host->world->now);
		if (n > 0)
			check_bytes(e, e->received, buffer, (size_t)n);
		return n;
	}
	e->held[e->n_held++] = frame;
	for (const struct fbuf *part = frame; part; part = part->next) {
		check_bytes(e, e->received + at, part->data, part->len);
		at += part->len;
	}
	SIM_CHECK(e->host->world, at == frame->total && at > 0, "%s: a frame of %u bytes holds %u", sim_end_name(e),
		  frame->total, at);
	return (ssize_t)at;
}

static void read_urgent(struct sim_end *e)
{
	uint8_t byte;
	struct iovec iov = { &byte, 1 };
	tcp_seq at = e->conn->rcv_up;
	uint64_t position = at - (tcp_seq)(e->conn->irs + 1);
	ssize_t n = tcp_recv(e->conn, &e->host->env, &iov, 1, TCP_RECV_OOB, 0, e->host->world->now);

	if (n == 1)
		SIM_CHECK(e->host->world, is_spoiled(e) || byte == sim_pattern(e->peer->key, position), "%s: urgent byte %llu",
			  sim_end_name(e), (unsigned long long)position);
}

/* False: the end is gone. */
static bool read_some(struct sim_end *e)
{
	struct sim_world *w = e->host->world;

	for (unsigned i = 0; e->readable && !e->eof && w->now >= e->reads_at; i++) {
		ssize_t n;

		if (i == CALLS_A_TURN) {
			sim_end_wake_at(e, w->now);
			return true;
		}
		n = e->plan.in_place ? read_in_place(e) : read_copied(e);
		if (n > 0) {
			arrived(e, (size_t)n);
		} else if (n == 0) {
			at_end(e);
		} else if (n == -EAGAIN) {
			e->readable = false;
		} else {
			failed(e, (int)-n);
			return false;
		}
	}
	if (e->readable && !e->eof)
		sim_end_wake_at(e, e->reads_at);
	return true;
}

/* --- writing --- */

static ssize_t write_once(struct sim_end *e)
{
	uint32_t max = e->plan.write_max ? e->plan.write_max : (uint32_t)MAX_CALL;
	uint32_t min = e->plan.write_min ? e->plan.write_min : 1;
	uint64_t len = sim_range(&e->random, FS_MIN(min, max), max);
	uint32_t flags = 0, first;
	struct iovec iov[2];

	len = FS_MIN(len, e->plan.send - e->sent);
	if (e->plan.urgent_every > 0 && e->sent >= e->next_urgent) {
		e->next_urgent += e->plan.urgent_every;
		flags |= TCP_SEND_OOB;
	} else if (e->plan.more_percent && e->sent + len < e->plan.send && sim_chance(&e->random, e->plan.more_percent)) {
		flags |= TCP_SEND_MORE;
	}
	sim_pattern_fill(e->key, e->sent, buffer, len);
	first = (uint32_t)sim_below(&e->random, len + 1);
	iov[0] = (struct iovec){ buffer, first };
	iov[1] = (struct iovec){ buffer + first, len - first };
	return tcp_send(e->conn, &e->host->env, iov, 2, flags, e->host->world->now);
}

static bool write_some(struct sim_end *e)
{
	struct sim_world *w = e->host->world;

	for (unsigned i = 0; e->writable && e->sent < e->plan.send && w->now >= e->writes_at; i++) {
		ssize_t n;

		if (i == CALLS_A_TURN) {
			sim_end_wake_at(e, w->now);
			return true;
		}
		n = write_once(e);
		if (n > 0) {
			e->sent += (uint64_t)n;
			if (e->plan.write_gap > 0)
				e->writes_at = w->now + e->plan.write_gap;
		} else if (n == -EAGAIN) {
			e->writable = false;
		} else if (is_memory_error(e, n)) {
			e->writes_at = w->now + FS_MS(10);
		} else {
			SIM_CHECK(w, n < 0, "%s: send took nothing", sim_end_name(e));
			failed(e, (int)-n);
			return false;
		}
	}
	if (e->writable && e->sent < e->plan.send)
		sim_end_wake_at(e, e->writes_at);
	return true;
}

/* --- ending --- */

static void fiddle(struct sim_end *e)
{
	struct tcp_options o = *tcp_get_options(e->conn);

	switch (sim_below(&e->random, 4)) {
	case 0:
		o.nodelay = !o.nodelay;
		break;
	case 1:
		o.cork = !o.cork;
		break;
	case 2:
		o.rcvbuf = (uint32_t)sim_spread(&e->random, 4096, 1 << 20);
		break;
	default:
		tcp_quickack(e->conn, &e->host->env, sim_chance(&e->random, 50), e->host->world->now);
		return;
	}
	tcp_set_options(e->conn, &e->host->env, &o, e->host->world->now);
}

/* A cork that nobody takes out again would hold the last bytes for 200 ms only; but the plan says all is said. */
static void uncork(struct sim_end *e)
{
	struct tcp_options o = *tcp_get_options(e->conn);

	if (!o.cork)
		return;
	o.cork = false;
	tcp_set_options(e->conn, &e->host->env, &o, e->host->world->now);
}

static void leave(struct sim_end *e, bool abort)
{
	struct sim_world *w = e->host->world;

	while (e->n_held > 0)
		give_back_one(e);
	if (e->plan.ending == SIM_END_RESET) {
		struct tcp_options o = *tcp_get_options(e->conn);

		o.linger_s = 0;
		tcp_set_options(e->conn, &e->host->env, &o, w->now);
	}
	e->shut = true;
	let_go(e, abort);
}

static void end_somehow(struct sim_end *e)
{
	bool all_sent = e->connected && e->sent == e->plan.send;

	if (e->plan.ending == SIM_END_ABORT && e->sent + e->received >= e->plan.abort_after) {
		leave(e, true);
		return;
	}
	if (!all_sent)
		return;
	if (e->plan.ending == SIM_END_CLOSE || e->plan.ending == SIM_END_RESET) {
		leave(e, false);
		return;
	}
	if (!e->shut && (e->plan.ending != SIM_END_PASSIVE || e->eof)) {
		e->host->calls++;
		uncork(e);
		e->shut = true; /* before the call: its FIN may be there at once */
		tcp_shutdown(e->conn, &e->host->env, TCP_SHUT_WR, e->host->world->now);
	}
	if (!e->shut || !e->eof)
		return;
	if (e->leaves_at == 0)
		e->leaves_at = e->host->world->now + e->plan.stay_for;
	if (e->host->world->now >= e->leaves_at)
		leave(e, false);
	else
		sim_end_wake_at(e, e->leaves_at);
}

static void take_edges(struct sim_end *e)
{
	uint32_t edges = e->edges;

	e->edges = 0;
	if (edges & (TCP_READY_IN | TCP_READY_RDHUP | TCP_READY_HUP | TCP_READY_ERR))
		e->readable = true;
	if (edges & (TCP_READY_OUT | TCP_READY_HUP | TCP_READY_ERR))
		e->writable = true;
	if (edges & (TCP_READY_IN | TCP_READY_OUT))
		e->connected = true;
	if ((edges & TCP_READY_PRI) && !e->plan.in_place)
		read_urgent(e);
}

void sim_program_run(struct sim_end *e)
{
	sim_doing = sim_end_name(e);
	e->wakes_at = FS_NEVER;
	take_edges(e);
	if (e->plan.by_hand)
		return;
	if (e->plan.fiddles && sim_chance(&e->random, 5))
		fiddle(e);
	if (!read_some(e) || !write_some(e))
		return;
	end_somehow(e);
}

void sim_program_kill(struct sim_end *e)
{
	while (e->n_held > 0)
		give_back_one(e);
	let_go(e, true);
}

/* Reads at most @len bytes, as the plan has it. */
static void read_by_hand(struct sim_end *e, uint16_t len)
{
	ssize_t n;

	e->plan.read_max = FS_MAX(len, (uint16_t)1);
	n = e->plan.in_place ? read_in_place(e) : read_copied(e);
	if (n > 0)
		arrived(e, (size_t)n);
	else if (n < 0 && n != -EAGAIN && n != -ENOTCONN)
		failed(e, (int)-n);
}

static void write_by_hand(struct sim_end *e, uint16_t len, uint32_t flags)
{
	struct iovec iov = { buffer, FS_MAX(len, (uint16_t)1) };
	ssize_t n;

	sim_pattern_fill(e->key, e->sent, buffer, iov.iov_len);
	n = tcp_send(e->conn, &e->host->env, &iov, 1, flags, e->host->world->now);
	if (n > 0)
		e->sent += (uint64_t)n;
	if (flags & TCP_SEND_OOB)
		e->plan.urgent_every = 1;
}

static void set_by_hand(struct sim_end *e, uint16_t argument)
{
	struct tcp_options o = *tcp_get_options(e->conn);

	switch (argument & 7) {
	case 0:
		o.rcvbuf = argument;
		break;
	case 1:
		o.sndbuf = argument;
		break;
	case 2:
		o.cork = argument >> 3 & 1;
		o.nodelay = argument >> 4 & 1;
		break;
	case 3:
		o.keepalive = argument >> 3 & 1;
		o.keep_idle_s = 1 + (argument >> 4 & 15);
		o.keep_interval_s = 1 + (argument >> 8 & 15);
		break;
	case 4:
		o.user_timeout_ms = argument;
		break;
	case 5:
		o.notsent_lowat = argument;
		break;
	case 6:
		o.congestion = (uint8_t)(argument >> 3);
		break;
	default:
		o.window_clamp = argument;
	}
	tcp_set_options(e->conn, &e->host->env, &o, e->host->world->now);
}

void sim_program_call(struct sim_end *e, uint8_t what, uint16_t argument)
{
	sim_doing = sim_end_name(e);
	switch (what % 10) {
	case 0:
	case 1:
		write_by_hand(e, argument, what & 16 ? TCP_SEND_MORE : 0);
		break;
	case 2:
		write_by_hand(e, argument, TCP_SEND_OOB);
		break;
	case 3:
	case 4:
		read_by_hand(e, argument);
		break;
	case 5:
		set_by_hand(e, argument);
		break;
	case 6:
		e->shut |= argument & TCP_SHUT_WR;
		tcp_shutdown(e->conn, &e->host->env, argument & 3, e->host->world->now);
		break;
	case 7:
		tcp_quickack(e->conn, &e->host->env, argument & 1, e->host->world->now);
		break;
	case 8:
		tcp_take_error(e->conn);
		break;
	default:
		leave(e, argument & 1);
	}
}
