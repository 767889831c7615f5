/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sack.c - what the peer says it holds out of order, put onto the segments.
 *
 * SACKed segments that lie side by side form a run, whose two ends point to each other: searches step over a run at
 * once, so that an ACK costs as much as there are holes, not segments; and fewer still, for they begin at the end of
 * the list that is near, or at a cursor that keeps the place of the last block.
 *
 * A segment counts as SACKed when blocks cover it whole. A block that ends within one (the peer's window did, or it was
 * cut again on the way) leaves it as it is: should it come to that, it is sent again whole, which is right, if not
 * the least that would do.
 * Does not: forget what was SACKed because a timeout passed (RFC 2018 8 SHOULD, which RFC 6675 5.1 relaxes), but when
 * the peer was seen to drop it (recovery.c, loss.c).
 * Standards: RFC 2018, RFC 2883, RFC 6675.
 */
#include "base/counter.h"
#include "base/err.h"
#include "tcp/loss.h"

static bool is_sacked(struct fbuf *f)
{
	return f && tcp_seg_has(f, TCP_SEG_SACKED);
}

static bool is_run_end(struct fbuf *f)
{
	return !is_sacked(tcp_seg(f)->next);
}

/* --- runs --- */

/* @f is SACKed from now on: a run of its own, or part of those beside it. Returns the run's last. */
static struct fbuf *join_runs(struct fbuf *f)
{
	struct tcp_seg *s = tcp_seg(f);
	struct fbuf *first = is_sacked(s->prev) ? tcp_seg(s->prev)->run : f;
	struct fbuf *last = is_sacked(s->next) ? tcp_seg(s->next)->run : f;

	s->marks |= TCP_SEG_SACKED;
	tcp_seg(first)->run = last;
	tcp_seg(last)->run = first;
	return last;
}

void tcp_sack_leave(struct tcp_conn *c, struct fbuf *seg)
{
	struct tcp_seg *s = tcp_seg(seg);

	if (s->marks & TCP_SEG_SACKED && is_sacked(s->next)) {
		tcp_seg(s->next)->run = s->run;
		tcp_seg(s->run)->run = s->next;
	}
	if (c->sack_cursor == seg)
		c->sack_cursor = s->next == c->send_next ? NULL : s->next;
}

void tcp_sack_forget(struct tcp_conn *c)
{
	for (struct fbuf *f = c->first; f && f != c->send_next; f = tcp_seg(f)->next)
		tcp_seg(f)->marks &= (uint8_t)~TCP_SEG_SACKED;
	c->sacked_out = 0;
	c->sack_cursor = NULL;
}

/* --- blocks --- */

static tcp_seq distance(tcp_seq a, tcp_seq b)
{
	return seq_gt(a, b) ? a - b : b - a;
}

/* A segment near @left: retransmissions are SACKed at the beginning and new data at the end, in turns. */
static struct fbuf *near(const struct tcp_conn *c, tcp_seq left)
{
	struct fbuf *start[] = { c->first, c->sack_cursor, c->send_next ? tcp_seg(c->send_next)->prev : c->last };
	struct fbuf *best = start[0];

	for (unsigned i = 1; best && i < FS_ARRAY_SIZE(start); i++) {
		if (start[i] && distance(tcp_seg(start[i])->seq, left) < distance(tcp_seg(best)->seq, left))
			best = start[i];
	}
	return best;
}

/* The segment to begin at for a block from @left on: the first one not before it, or one in a run that reaches into the
 * block. NULL = nothing was sent. */
static struct fbuf *seek(const struct tcp_conn *c, tcp_seq left)
{
	struct fbuf *f = near(c, left);

	while (f && seq_gt(tcp_seg(f)->seq, left)) {
		if (is_sacked(f) && is_run_end(f))
			f = tcp_seg(f)->run;
		if (seq_le(tcp_seg(f)->seq, left) || !tcp_seg(f)->prev)
			break;
		f = tcp_seg(f)->prev;
	}
	while (f && f != c->send_next && seq_lt(tcp_seg(f)->seq, left)) {
		if (is_sacked(f) && tcp_sack_run_begins(f)) {
			if (seq_gt(tcp_seg_end(tcp_seg(f)->run), left))
				break;
			f = tcp_seg(f)->run;
		}
		f = tcp_seg(f)->next;
	}
	return f;
}

/* Sent once and delivered: it tells a round trip, whether the path reorders, and that not all was lost. */
static void original_sacked(struct tcp_conn *c, const struct tcp_seg *s, struct tcp_ack_state *a)
{
	if (seq_lt(s->seq, a->reorder_from))
		a->reorder_from = s->seq;
	if (seq_le(s->seq + s->len, c->high_seq))
		a->orig_delivered = true;
	if (a->first_sacked == 0)
		a->first_sacked = s->sent_at;
	a->last_sacked = s->sent_at;
}

/* Returns the last of the run it is part of then. */
static struct fbuf *mark_sacked(struct tcp_conn *c, struct fbuf *f, struct tcp_ack_state *a)
{
	struct tcp_seg *s = tcp_seg(f);
	tcp_seq end = s->seq + s->len;

	tcp_rack_delivered(c, f, a);
	tcp_rate_delivered(c, f, a);
	if (!(s->marks & TCP_SEG_EVER_RETRANS))
		original_sacked(c, s, a);
	if (s->marks & TCP_SEG_LOST)
		c->lost_out--;
	if (s->marks & TCP_SEG_RETRANS)
		c->retrans_out--;
	s->marks &= (uint8_t) ~(TCP_SEG_LOST | TCP_SEG_RETRANS);
	if (c->sacked_out == 0 || seq_gt(end, c->high_sacked))
		c->high_sacked = end;
	c->sacked_out++;
	c->cc.delivered++;
	a->data_sacked = true;
	return join_runs(f);
}

static void apply(struct tcp_conn *c, const struct tcp_sack_block *b, struct tcp_ack_state *a)
{
	struct fbuf *last = NULL;

	for (struct fbuf *f = seek(c, b->left); f && f != c->send_next; f = tcp_seg(f)->next) {
		struct tcp_seg *s = tcp_seg(f);

		if (seq_ge(s->seq, b->right))
			break;
		if (is_sacked(f)) {
			if (tcp_sack_run_begins(f))
				f = s->run;
		} else if (seq_ge(s->seq, b->left) && seq_le(s->seq + s->len, b->right)) {
			f = mark_sacked(c, f, a);
		} else {
			continue;
		}
		last = f;
	}
	if (last)
		c->sack_cursor = last;
}

/*
 * T2018-3. What a peer may say: data that was sent, beyond what the same ACK acknowledges. Blocks below SND.UNA are no
 * error in an ACK that was overtaken; nor are they news. The left edge is compared with both: a block that begins half
 * the number space away is behind one of them.
 */
static bool is_usable(struct tcp_conn *c, const struct tcp_sack_block *b, tcp_seq ack)
{
	if (seq_lt(ack, c->snd_una) && seq_le(b->right, c->snd_una) && seq_lt(b->left, b->right))
		return false;
	if (seq_lt(b->left, b->right) && seq_gt(b->left, ack) && seq_le(b->right, c->snd_nxt) &&
	    seq_lt(b->left, c->snd_nxt))
		return true;
	tcp_count(c, FS_CTR_tcp_sacks_ignored);
	return false;
}

/* --- D-SACK --- */

/* RFC 2883 4: the first block tells of a duplicate if it lies below the ACK's number, or within the second block. */
static bool is_dsack(const struct tcp_hdr *h)
{
	const struct tcp_sack_block *b = h->sack;

	if (seq_lt(b[0].left, h->ack))
		return true;
	return h->n_sack > 1 && seq_le(b[0].right, b[1].right) && seq_ge(b[0].left, b[1].left);
}

/*
 * Segments in a duplicate range that makes sense; 0 = it does not. A range longer than any window cannot have been in
 * flight, and who reports more duplicates than were ever sent again lies, or the network duplicates: neither says
 * that recovery was wrong.
 */
static uint32_t duplicates(struct tcp_conn *c, const struct tcp_sack_block *b)
{
	uint32_t len = b->right - b->left, n;

	if (seq_ge(b->left, b->right) || seq_gt(b->right, c->snd_nxt) || len > c->max_wnd) {
		tcp_count(c, FS_CTR_tcp_sacks_ignored);
		return 0;
	}
	n = c->mss > 0 && len > c->mss ? (len + c->mss - 1) / c->mss : 1;
	c->dsack_dups += n;
	return c->dsack_dups > c->total_retrans ? 0 : n;
}

/* How many of the @n segments of a duplicate range were sent again since the window was reduced. Of what is acked
 * already nothing is known any more: all of them, if the range is not older. */
static uint32_t proved_unnecessary(const struct tcp_conn *c, const struct tcp_sack_block *b, uint32_t n)
{
	uint32_t count = 0;

	if (seq_le(b->right, c->undo_marker))
		return 0;
	if (seq_le(b->right, c->snd_una))
		return n;
	for (struct fbuf *f = seek(c, b->left); f && f != c->send_next && seq_lt(tcp_seg(f)->seq, b->right);
	     f = tcp_seg(f)->next) {
		if (seq_ge(tcp_seg(f)->seq, b->left) && tcp_seg_has(f, TCP_SEG_EVER_RETRANS))
			count++;
	}
	return count;
}

static void dsack(struct tcp_conn *c, const struct tcp_sack_block *b, struct tcp_ack_state *a)
{
	uint32_t n = duplicates(c, b);

	if (n == 0)
		return;
	tcp_count(c, FS_CTR_tcp_dsacks_in);
	a->dsack = true;
	a->dsack_tlp = c->tlp_out && c->tlp_retrans && b->right == c->tlp_high_seq;
	/* RFC 8985 6.2 step 4: what a probe doubled says nothing about reordering. */
	if (c->reord_seen > 0 && !a->dsack_tlp)
		c->rack.dsack_seen = true;
	if (c->can_undo && c->undo_retrans > 0)
		c->undo_retrans = FS_MAX(c->undo_retrans - (int32_t)proved_unnecessary(c, b, n), 0);
}

/* The most recent block is the first (RFC 2018 4): it is applied last, so that the cursor stays there. */
void tcp_sack_input(struct tcp_conn *c, const struct tcp_in *in, struct tcp_ack_state *a)
{
	const struct tcp_hdr *h = &in->h;
	uint32_t first = 0;

	if (is_dsack(h)) {
		dsack(c, &h->sack[0], a);
		first = 1;
	}
	for (uint32_t i = h->n_sack; i-- > first;) {
		if (is_usable(c, &h->sack[i], h->ack))
			apply(c, &h->sack[i], a);
	}
}

/* --- reordering --- */

/* In segments: from the lowest one overtaken to the highest delivered before it. More than the threshold for duplicates
 * was wrong then; RACK waits from now on (RFC 8985 6.2 step 3). */
void tcp_check_reordering(struct tcp_conn *c, const struct tcp_ack_state *a)
{
	uint32_t distance, mss = FS_MAX(c->mss, (uint16_t)1);

	if (!seq_lt(a->reorder_from, a->prior_fack))
		return;
	distance = (a->prior_fack - a->reorder_from + mss - 1) / mss;
	if (distance > c->reordering)
		c->reordering = FS_MAX(FS_MIN(distance, c->stack->config.max_reordering), c->reordering);
	c->reord_seen++;
	tcp_count(c, FS_CTR_tcp_reordered);
}
