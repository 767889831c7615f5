/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ooo.c - payload that came ahead of something missing, in runs without gaps.
 *
 * Of bytes that come twice the first are kept: a segment fills gaps and nothing else, so that nobody who guesses
 * sequence numbers replaces what is there. It is cut into as many pieces as it fills gaps; the last piece
 * is the frame itself, the others are copies (rare: a retransmission cut otherwise than the original).
 * Standards: RFC 9293 3.10.7.4 (SHLD-31), RFC 2018 (blocks), RFC 2883 (D-SACK).
 * Not here: FIN ahead of a gap (input.c), what a run may cost (recv.c).
 */
#include "base/err.h"
#include "tcp/conn.h"
#include "tcp/tcp_internal.h"

enum {
	RUNS_MAX = 256, /* bounds what a look-up costs, whatever the peer sends */
	CHUNK_COST = 512,
};

static void link_run(struct tcp_conn *c, struct fbuf *run, struct fbuf *prev, struct fbuf *next)
{
	tcp_ooo(run)->prev = prev;
	tcp_ooo(run)->next = next;
	if (prev)
		tcp_ooo(prev)->next = run;
	else
		c->ooo_first = run;
	if (next)
		tcp_ooo(next)->prev = run;
	else
		c->ooo_last = run;
}

static void unlink_run(struct tcp_conn *c, struct fbuf *run)
{
	struct fbuf *prev = tcp_ooo(run)->prev, *next = tcp_ooo(run)->next;

	if (prev)
		tcp_ooo(prev)->next = next;
	else
		c->ooo_first = next;
	if (next)
		tcp_ooo(next)->prev = prev;
	else
		c->ooo_last = prev;
	c->n_ooo--;
}

static void drop_run(struct tcp_conn *c, struct fbuf *run)
{
	unlink_run(c, run);
	while (run) {
		struct fbuf *following = run->link;

		run->link = NULL;
		tcp_rx_unsettle(c, run);
		fbuf_free(run);
		run = following;
	}
}

void tcp_ooo_purge(struct tcp_conn *c)
{
	while (c->ooo_first)
		drop_run(c, c->ooo_first);
}

/* The first run that ends behind @at, NULL = none. From the end, where nearly all that comes belongs. */
static struct fbuf *find(const struct tcp_conn *c, tcp_seq at)
{
	struct fbuf *found = NULL;

	for (struct fbuf *run = c->ooo_last; run && seq_gt(tcp_ooo(run)->end, at); run = tcp_ooo(run)->prev)
		found = run;
	return found;
}

static void touch(struct tcp_conn *c, struct fbuf *run)
{
	tcp_ooo(run)->arrived = ++c->ooo_arrivals;
}

/* @next begins where @run ends: one run. */
static void join(struct tcp_conn *c, struct fbuf *run, struct fbuf *next)
{
	unlink_run(c, next);
	tcp_ooo(run)->tail->link = next;
	tcp_ooo(run)->tail = tcp_ooo(next)->tail;
	tcp_ooo(run)->end = tcp_ooo(next)->end;
}

/* @frame, settled, is a run of [@from, @to) between @prev and @next. */
static void begin_run(struct tcp_conn *c, struct fbuf *frame, tcp_seq from, tcp_seq to, struct fbuf *prev,
		      struct fbuf *next)
{
	*tcp_ooo(frame) = (struct tcp_ooo){ .tail = frame, .seq = from, .end = to };
	frame->link = NULL;
	link_run(c, frame, prev, next);
	c->n_ooo++;
	touch(c, frame);
}

/* Give a new run a place: the highest one goes if it is above. False: there is none. */
static bool make_place(struct tcp_conn *c, tcp_seq from)
{
	if (c->n_ooo < RUNS_MAX)
		return true;
	if (seq_lt(tcp_ooo(c->ooo_last)->seq, from))
		return false;
	drop_run(c, c->ooo_last);
	return true;
}

/* @piece fills [@from, @to), which touches no run but at its ends. Takes it. False: it was not kept. */
static bool keep(struct tcp_conn *c, struct fbuf *piece, tcp_seq from, tcp_seq to)
{
	struct fbuf *next = find(c, from);
	struct fbuf *prev = next ? tcp_ooo(next)->prev : c->ooo_last;
	struct fbuf *run = prev && tcp_ooo(prev)->end == from ? prev : NULL;

	if (run && tcp_rx_merge(c, tcp_ooo(run)->tail, piece)) {
		fbuf_free(piece);
	} else {
		struct fbuf *kept;

		if (!run && !make_place(c, from)) {
			tcp_count(c, FS_CTR_drop_tcp_rcvbuf);
			fbuf_free(piece);
			return false;
		}
		kept = tcp_rx_settle(c, piece);
		if (!kept) {
			tcp_count(c, FS_CTR_drop_tcp_no_memory);
			fbuf_free(piece);
			return false;
		}
		piece = kept;
		next = find(c, from); /* the place may have been next's */
		if (run) {
			tcp_ooo(run)->tail->link = piece;
			tcp_ooo(run)->tail = piece;
		} else {
			begin_run(c, piece, from, to, next ? tcp_ooo(next)->prev : c->ooo_last, next);
			run = piece;
		}
	}
	tcp_ooo(run)->end = to;
	touch(c, run);
	if (next && tcp_ooo(next)->seq == to)
		join(c, run, next);
	return true;
}

/* Bytes [@from, @to) of @in as a frame: its own if nothing new follows in it. NULL: no memory. */
static struct fbuf *cut(struct tcp_conn *c, struct tcp_in *in, tcp_seq from, tcp_seq to, bool is_last)
{
	struct fbuf *piece = in->frame;

	if (!is_last) {
		piece = fbuf_clone_part(piece, c->stack->ip->payload, from - in->h.seq, to - from);
		if (!piece)
			tcp_count(c, FS_CTR_drop_tcp_no_memory);
		return piece;
	}
	in->frame = NULL;
	if (from != in->h.seq)
		fbuf_pull(piece, from - in->h.seq);
	if (piece->total != to - from)
		fbuf_trim(piece, to - from);
	return piece;
}

/* Room in the buffer for @in, at the cost of what lies above it. */
static bool make_room(struct tcp_conn *c, const struct tcp_in *in)
{
	while (c->rcv_charge + in->len + CHUNK_COST > c->rcvbuf) {
		struct fbuf *highest = c->ooo_last;

		if (!highest || seq_le(tcp_ooo(highest)->seq, in->h.seq))
			return false;
		drop_run(c, highest);
	}
	return true;
}

bool tcp_ooo_insert(struct tcp_conn *c, struct tcp_in *in)
{
	tcp_seq at = in->h.seq, end = at + in->len;
	bool kept = false;

	if (!make_room(c, in)) {
		tcp_count(c, FS_CTR_drop_tcp_rcvbuf);
		return false;
	}
	while (seq_lt(at, end)) {
		struct fbuf *run = find(c, at);
		tcp_seq to = end;

		if (run && seq_le(tcp_ooo(run)->seq, at)) {
			to = seq_min(end, tcp_ooo(run)->end);
			tcp_dsack(c, at, to);
			touch(c, run);
		} else {
			struct fbuf *piece;
			bool is_last = true;

			if (run && seq_lt(tcp_ooo(run)->seq, end)) {
				to = tcp_ooo(run)->seq;
				is_last = seq_ge(tcp_ooo(run)->end, end);
			}
			piece = cut(c, in, at, to, is_last);
			kept |= piece && keep(c, piece, at, to);
			if (is_last && to != end)
				tcp_dsack(c, to, end);
			if (is_last)
				break;
		}
		at = to;
	}
	return kept;
}

void tcp_ooo_drain(struct tcp_conn *c)
{
	struct fbuf *run = c->ooo_first;
	uint32_t len;

	if (!run || tcp_ooo(run)->seq != c->rcv_nxt)
		return;
	len = tcp_ooo(run)->end - c->rcv_nxt;
	unlink_run(c, run);
	while (run) {
		struct fbuf *following = run->link;

		fbuf_queue_push(&c->rx, run);
		run = following;
	}
	c->rcv_nxt += len;
	c->bytes_received += len;
	c->stack->ip->counters[FS_CTR_tcp_bytes_in] += len;
}

void tcp_dsack(struct tcp_conn *c, tcp_seq left, tcp_seq right)
{
	if (!tcp_has(c, TCP_CONN_SACK) || left == right)
		return;
	if (!(c->ack_flags & TCP_ACK_DSACK)) {
		c->ack_flags |= TCP_ACK_DSACK;
		c->dsack = (struct tcp_range){ left, right };
	} else if (seq_le(left, c->dsack.right) && seq_ge(right, c->dsack.left)) {
		c->dsack.left = seq_min(c->dsack.left, left);
		c->dsack.right = seq_max(c->dsack.right, right);
	}
	/* Another range waits to be told: one fits, and the peer learns enough from that. */
}

/* Is run @a's last growth later than @b's? */
static bool is_newer(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) > 0;
}

static bool holds_dsack(const struct tcp_conn *c, const struct tcp_ooo *run)
{
	return seq_le(run->seq, c->dsack.left) && seq_ge(run->end, c->dsack.right);
}

/* What was received twice may be gone again since, for want of room: then it would look like a block that is here. */
static bool has_dsack(const struct tcp_conn *c)
{
	bool has = (c->ack_flags & TCP_ACK_DSACK) && seq_lt(c->dsack.left, c->rcv_nxt);

	for (struct fbuf *f = c->ooo_first; f && (c->ack_flags & TCP_ACK_DSACK) && !has; f = tcp_ooo(f)->next)
		has = holds_dsack(c, tcp_ooo(f));
	return has;
}

/* RFC 2883 4 (2): a duplicate of what waits is followed by the whole of it, whatever came since. */
static uint32_t rank(const struct tcp_conn *c, const struct tcp_ooo *run, bool dsack)
{
	return dsack && holds_dsack(c, run) ? c->ooo_arrivals + 1 : run->arrived;
}

uint32_t tcp_ooo_blocks(const struct tcp_conn *c, struct tcp_sack_block *to, uint32_t max)
{
	uint32_t age[TCP_MAX_SACK], first = 0, n;

	max = FS_MIN(max, (uint32_t)TCP_MAX_SACK);
	if (has_dsack(c) && max > 0) {
		to[0] = (struct tcp_sack_block){ c->dsack.left, c->dsack.right };
		first = 1;
	}
	n = first;
	for (struct fbuf *f = c->ooo_first; f; f = tcp_ooo(f)->next) {
		const struct tcp_ooo *run = tcp_ooo(f);
		uint32_t at = n, arrived = rank(c, run, first > 0);
		bool is_end = tcp_has(c, TCP_CONN_FIN_AHEAD) && run->end == c->rcv_fin;

		while (at > first && is_newer(arrived, age[at - 1]))
			at--;
		if (at >= max)
			continue;
		n = FS_MIN(n + 1, max);
		for (uint32_t i = n - 1; i > at; i--) {
			to[i] = to[i - 1];
			age[i] = age[i - 1];
		}
		to[at] = (struct tcp_sack_block){ run->seq, run->end + is_end };
		age[at] = arrived;
	}
	return n;
}
