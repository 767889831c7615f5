/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * check.c - invariants of a connection at rest: sequence space, counts, memory, timers, readiness.
 *
 * Each is what the standard or conn.h says, computed anew from what the connection holds; nothing here calls the
 * function it checks. Segments on their way out are check_wire.c.
 */
#include "check.h"

#include "base/err.h"
#include "check_internal.h"
#include "tcp/cc.h"
#include "tcp/conn.h"

#define CHECK(e, ...) SIM_CHECK(w, e, "%s, %s " __VA_ARGS__)

enum {
	FULL_LOOK = 128,    /* connections with more segments are recounted now and then */
	FULL_EVERY = 32,
	TIMER_SLACK = 1100, /* ns: the wheel's tick */
};

struct counts {
	uint32_t segs, sent, sacked, lost, retrans, charge;
};

/* Who it is, for messages. */
static const char *who(const struct tcp_conn *c)
{
	return c->user ? sim_end_name(c->user) : "a connection";
}

#define WHO who(c), tcp_state_name[c->state]

/* Something of ours is not acked: data, SYN or FIN. */
static bool is_outstanding(const struct tcp_conn *c)
{
	return c->snd_una != c->snd_nxt;
}

/* --- sequence space --- */

static bool has_synced(const struct tcp_conn *c)
{
	return c->state != TCP_CLOSED && c->state != TCP_SYN_SENT;
}

static void check_send_space(struct sim_world *w, const struct tcp_conn *c)
{
	uint32_t fin = tcp_has(c, TCP_CONN_FIN_SENT);

	CHECK(seq_le(c->snd_una, c->snd_nxt), "SND.UNA %u, SND.NXT %u", WHO, c->snd_una, c->snd_nxt);
	CHECK(seq_le(c->snd_nxt, c->snd_end + fin), "SND.NXT %u beyond the end %u", WHO, c->snd_nxt, c->snd_end);
	CHECK(!fin || c->snd_nxt == c->snd_end + 1, "FIN is sent, SND.NXT is %u", WHO, c->snd_nxt);
	CHECK(!fin || tcp_has(c, TCP_CONN_FIN_QUEUED), "FIN is sent, and was not asked for", WHO);
	CHECK(c->cc.cwnd >= 1 && c->cc.cwnd <= TCP_CWND_MAX, "cwnd %u", WHO, c->cc.cwnd);
	CHECK(c->mss > 0, "MSS 0", WHO);
	CHECK(c->max_wnd >= c->snd_wnd, "MAX.SND.WND %u below %u", WHO, c->max_wnd, c->snd_wnd);
}

static void check_receive_space(struct sim_world *w, const struct tcp_conn *c)
{
	uint32_t queued = 0, fin = tcp_has(c, TCP_CONN_FIN_RECEIVED);

	for (const struct fbuf *f = c->rx.head; f; f = f->link)
		queued += f->total;
	CHECK(queued + fin == c->rcv_nxt - c->copied_seq, "%u bytes queued from %u to %u", WHO, queued,
	      c->copied_seq, c->rcv_nxt);
	CHECK(tcp_receive_window(c) <= (uint32_t)UINT16_MAX << c->rcv_wscale, "window %u, scale %u", WHO,
	      tcp_receive_window(c), c->rcv_wscale);
	CHECK(seq_le(c->last_ack_sent, c->rcv_nxt), "acked %u, have %u", WHO, c->last_ack_sent, c->rcv_nxt);
}

/* Runs ascend, neither overlap nor touch, lie within what was allowed. */
static void check_runs(struct sim_world *w, const struct tcp_conn *c)
{
	tcp_seq before = c->rcv_nxt;
	uint32_t n = 0;

	for (struct fbuf *f = c->ooo_first; f; f = tcp_ooo(f)->next) {
		const struct tcp_ooo *run = tcp_ooo(f);
		uint32_t bytes = 0;

		CHECK(seq_lt(before, run->seq), "a run at %u touches what ends at %u", WHO, run->seq, before);
		for (const struct fbuf *part = f; part; part = part == run->tail ? NULL : part->link)
			bytes += part->total;
		CHECK(bytes > 0 && run->end - run->seq == bytes, "a run of %u bytes holds %u", WHO, run->end - run->seq,
		      bytes);
		CHECK(run->next || f == c->ooo_last, "the last run is not the last", WHO);
		before = run->end;
		n++;
	}
	CHECK(n == c->n_ooo, "%u runs, counted %u", WHO, n, c->n_ooo);
	CHECK(!c->ooo_first || seq_le(before, c->rcv_nxt + tcp_receive_window(c)), "a run ends at %u, the window at %u", WHO,
	      before, c->rcv_nxt + tcp_receive_window(c));
}

/* --- segments to send --- */

static void count_segment(struct counts *n, struct fbuf *f)
{
	uint8_t marks = tcp_seg(f)->marks;

	n->segs++;
	n->charge += f->charge;
	n->sent += tcp_seg(f)->sent_at != 0;
	n->sacked += !!(marks & TCP_SEG_SACKED);
	n->lost += !!(marks & TCP_SEG_LOST);
	n->retrans += !!(marks & TCP_SEG_RETRANS);
}

static void check_segment(struct sim_world *w, const struct tcp_conn *c, struct fbuf *f)
{
	const struct tcp_seg *s = tcp_seg(f);
	uint8_t marks = s->marks;

	CHECK(s->len > 0 && s->offset + s->len <= f->pool->chunk_size, "a segment of %u bytes at %u", WHO, s->len,
	      s->offset);
	CHECK(s->sent_at != 0 || !(marks & (TCP_SEG_SACKED | TCP_SEG_LOST | TCP_SEG_RETRANS)),
	      "marks %x on a segment never sent", WHO, marks);
	CHECK(!((marks & TCP_SEG_SACKED) && (marks & TCP_SEG_LOST)), "a segment is SACKed and lost", WHO);
	CHECK(!(marks & TCP_SEG_RETRANS) || (marks & TCP_SEG_EVER_RETRANS), "retransmitted, and never was", WHO);
}

static void check_segments(struct sim_world *w, const struct tcp_conn *c)
{
	tcp_seq next = c->first ? tcp_seg(c->first)->seq : c->snd_end;
	bool unsent = false;
	struct counts n = { 0 };

	for (struct fbuf *f = c->first; f; f = tcp_seg(f)->next) {
		CHECK(tcp_seg(f)->seq == next, "segment %u begins at %u", WHO, next, tcp_seg(f)->seq);
		check_segment(w, c, f);
		if (f == c->send_next)
			unsent = true;
		CHECK(unsent == (tcp_seg(f)->sent_at == 0), "segment %u: sent or not?", WHO, next);
		count_segment(&n, f);
		next = tcp_seg_end(f);
		CHECK(tcp_seg(f)->next || f == c->last, "the last segment is not the last", WHO);
	}
	CHECK(next == c->snd_end, "segments end at %u, not %u", WHO, next, c->snd_end);
	CHECK(!c->send_next || tcp_seg(c->send_next)->seq == c->snd_nxt, "unsent from %u, SND.NXT %u", WHO,
	      tcp_seg(c->send_next)->seq, c->snd_nxt);
	CHECK(!c->send_next == !unsent, "the first unsent segment is not in the list", WHO);
	CHECK(n.segs == c->n_segs, "%u segments, counted %u", WHO, n.segs, c->n_segs);
	CHECK(n.sent == c->packets_out, "%u segments out, counted %u", WHO, n.sent, c->packets_out);
	CHECK(n.lost == c->lost_out, "%u lost, counted %u", WHO, n.lost, c->lost_out);
	CHECK(n.retrans == c->retrans_out, "%u retransmitted, counted %u", WHO, n.retrans, c->retrans_out);
	CHECK(!tcp_has(c, TCP_CONN_SACK) || n.sacked == c->sacked_out, "%u SACKed, counted %u", WHO, n.sacked,
	      c->sacked_out);
	CHECK(n.charge == c->snd_charge, "%u bytes charged, counted %u", WHO, n.charge, c->snd_charge);
}

static void check_pipe(struct sim_world *w, const struct tcp_conn *c)
{
	CHECK(c->sacked_out + c->lost_out <= c->packets_out, "%u out, %u SACKed, %u lost", WHO, c->packets_out,
	      c->sacked_out, c->lost_out);
	CHECK(c->retrans_out <= c->packets_out, "%u retransmitted of %u", WHO, c->retrans_out, c->packets_out);
	CHECK(c->packets_out <= c->n_segs, "%u out of %u", WHO, c->packets_out, c->n_segs);
}

/* --- memory --- */

static uint32_t chunks_of(const struct fbuf *frame)
{
	uint32_t n = 0;

	for (; frame; frame = frame->next)
		n++;
	return n;
}

static void add_frame(const struct tcp_conn *c, const struct fbuf *f, uint32_t *charge, uint32_t *pinned)
{
	*charge += f->charge;
	if (f->pool != c->stack->ip->payload)
		*pinned += chunks_of(f);
}

static void check_receive_memory(struct sim_world *w, const struct tcp_conn *c)
{
	const struct sim_end *e = c->user;
	uint32_t charge = 0, pinned = 0;

	for (const struct fbuf *f = c->rx.head; f; f = f->link)
		add_frame(c, f, &charge, &pinned);
	for (struct fbuf *run = c->ooo_first; run; run = tcp_ooo(run)->next)
		for (const struct fbuf *f = run; f; f = f == tcp_ooo(run)->tail ? NULL : f->link)
			add_frame(c, f, &charge, &pinned);
	for (unsigned i = 0; e && i < e->n_held; i++)
		add_frame(c, e->held[i], &charge, &pinned);
	CHECK(charge == c->rcv_charge, "%u bytes charged, counted %u", WHO, charge, c->rcv_charge);
	CHECK(pinned == c->rcv_pinned, "%u chunks pinned, counted %u", WHO, pinned, c->rcv_pinned);
	CHECK((pinned > 0) == list_is_linked(&c->holder), "%u chunks pinned, and the list of holders differs", WHO,
	      pinned);
}

/* --- timers --- */

static void check_timers(struct sim_world *w, const struct tcp_conn *c)
{
	fs_ns first = FS_NEVER;
	uint32_t rto = tcp_rto_us(c);
	const struct tcp_config *config = &c->stack->config;
	bool frozen = tcp_has(c, TCP_CONN_FROZEN);

	for (unsigned i = 0; i < TCP_N_TIMERS; i++)
		first = FS_MIN(first, c->due[i]);
	CHECK(frozen || first == FS_NEVER || (timer_is_pending(&c->timer) && c->timer.deadline <= first + TIMER_SLACK),
	      "due at %lld, the wheel comes at %lld", WHO, (long long)first, (long long)c->timer.deadline);
	CHECK(rto >= config->rto_min_us || c->rtt.srtt_us == 0, "RTO %u us", WHO, rto);
	CHECK(rto <= config->rto_max_us, "RTO %u us", WHO, rto);
	if (frozen || c->state == TCP_CLOSED)
		return;
	CHECK(!is_outstanding(c) || c->due[TCP_TIMER_RTX] != FS_NEVER ||
		      (c->due[TCP_TIMER_LOSS] != FS_NEVER && c->loss_timer == TCP_LOSS_TIMER_TLP),
	      "%u..%u is outstanding and no timer runs", WHO, c->snd_una, c->snd_nxt);
	/* The mark may be left over where nothing is to be sent any more; FIN and ACKs are looked at below. */
	CHECK(!tcp_has(c, TCP_CONN_DST_BLOCKED) || first != FS_NEVER || !(is_outstanding(c) || c->send_next),
	      "blocked, and nobody tries again", WHO);
	CHECK(!(c->ack_flags & TCP_ACK_DELAYED) || (c->ack_flags & TCP_ACK_NOW) ||
		      c->due[TCP_TIMER_ACK] <= w->now + FS_MS(500),
	      "an ACK is delayed until %lld", WHO, (long long)c->due[TCP_TIMER_ACK]);
	CHECK(c->last_ack_sent == c->rcv_nxt || !has_synced(c) || (c->ack_flags & TCP_ACK_DELAYED) ||
		      c->due[TCP_TIMER_PACE] != FS_NEVER,
	      "%u was received, %u acked, and no ACK is to come", WHO, c->rcv_nxt, c->last_ack_sent);
}

/* Data wait, nothing is in the network that an ACK could come for: something must be to come. */
static void check_progress(struct sim_world *w, const struct tcp_conn *c)
{
	bool waits = c->send_next || (tcp_has(c, TCP_CONN_FIN_QUEUED) && !tcp_has(c, TCP_CONN_FIN_SENT));

	if (!waits || is_outstanding(c) || tcp_has(c, TCP_CONN_FROZEN) || !has_synced(c) ||
	    c->state == TCP_SYN_RECEIVED)
		return;
	CHECK(c->due[TCP_TIMER_RTX] != FS_NEVER || c->due[TCP_TIMER_PACE] != FS_NEVER,
	      "data wait with window %u, and no timer runs", WHO, c->snd_wnd);
}

/* --- readiness --- */

static uint32_t reading(const struct tcp_conn *c)
{
	bool ends = tcp_has(c, TCP_CONN_FIN_RECEIVED | TCP_CONN_SHUT_RD);
	uint32_t n = 0, target = FS_MAX(c->options.rcvlowat, 1u), ready = 0;

	for (const struct fbuf *f = c->rx.head; f; f = f->link)
		n += f->total;
	if (tcp_has(c, TCP_CONN_URG_IN) && c->rcv_up == c->copied_seq && !c->options.oob_inline && n > 0)
		n--;
	if (ends)
		ready |= TCP_READY_IN | TCP_READY_RDHUP;
	/* Linux also says so where the low mark cannot be reached: the window or the buffer is used up. */
	if (n >= target || (n > 0 && (tcp_receive_window(c) <= c->rcv_mss || c->rcv_charge >= c->rcvbuf - c->rcvbuf / 8)))
		ready |= TCP_READY_IN;
	return ready;
}

/* tcp_poll() of Linux, in the words of poll(2). */
static uint32_t expected_level(const struct tcp_conn *c)
{
	bool reads_end = tcp_has(c, TCP_CONN_FIN_RECEIVED | TCP_CONN_SHUT_RD);
	bool writes_end = tcp_has(c, TCP_CONN_FIN_QUEUED);
	uint32_t ready = c->error ? TCP_READY_ERR : 0;

	if (c->state == TCP_CLOSED)
		ready |= TCP_READY_HUP | TCP_READY_OUT;
	if (c->state == TCP_SYN_SENT && c->snd_nxt == c->iss)
		return ready | TCP_READY_OUT; /* Fast Open waits for data */
	if (c->state == TCP_SYN_SENT || (c->state == TCP_SYN_RECEIVED && !tcp_has(c, TCP_CONN_TFO_CHILD)))
		return ready;
	ready |= reading(c);
	if (writes_end || (uint64_t)c->snd_charge * 3 <= (uint64_t)c->sndbuf * 2 + 2)
		ready |= TCP_READY_OUT;
	if (reads_end && writes_end)
		ready |= TCP_READY_HUP;
	if (tcp_has(c, TCP_CONN_URG_BYTE))
		ready |= TCP_READY_PRI;
	return ready;
}

static void check_level(struct sim_world *w, const struct tcp_conn *c)
{
	uint32_t level = tcp_ready(c), expected = expected_level(c);
	/* How much must be free for OUT is a matter of rounding, and of a limit on what is not sent. */
	uint32_t sure = c->options.notsent_lowat ? (uint32_t)~TCP_READY_OUT : ~0u;

	CHECK((level & sure) == (expected & sure), "readiness %x, expected %x", WHO, level, expected);
}

/* --- the whole --- */

void sim_check_conn(struct sim_world *w, const struct sim_host *host, const struct tcp_conn *c)
{
	const struct sim_end *e = c->user;

	(void)host;
	CHECK(c->state > 0 && c->state < TCP_N_STATES && c->state != TCP_LISTEN && c->state != TCP_TIME_WAIT, "state %u",
	      WHO, c->state);
	CHECK(!tcp_has(c, TCP_CONN_DIRTY) && !list_is_linked(&c->dirty), "still to be sent at rest", WHO);
	CHECK(!(c->ack_flags & TCP_ACK_NOW) || c->due[TCP_TIMER_PACE] != FS_NEVER || tcp_has(c, TCP_CONN_FROZEN),
	      "an ACK is owed at rest", WHO);
	check_send_space(w, c);
	check_pipe(w, c);
	check_timers(w, c);
	check_level(w, c);
	if (has_synced(c))
		check_receive_space(w, c);
	check_runs(w, c);
	check_progress(w, c);
	if (e && c->n_segs + c->rx.frames > FULL_LOOK && e->track.looks % FULL_EVERY != 0)
		return;
	check_segments(w, c);
	check_receive_memory(w, c);
}

#define TO(state) (1u << (state))

/* RFC 9293 figure 5, over any number of steps. */
static const uint32_t reachable[TCP_N_STATES] = {
	[TCP_SYN_SENT] = ~0u,
	[TCP_SYN_RECEIVED] = ~TO(TCP_SYN_SENT),
	[TCP_ESTABLISHED] = ~(TO(TCP_SYN_SENT) | TO(TCP_SYN_RECEIVED)),
	[TCP_FIN_WAIT1] = TO(TCP_FIN_WAIT1) | TO(TCP_FIN_WAIT2) | TO(TCP_CLOSING) | TO(TCP_TIME_WAIT) | TO(TCP_CLOSED),
	[TCP_FIN_WAIT2] = TO(TCP_FIN_WAIT2) | TO(TCP_TIME_WAIT) | TO(TCP_CLOSED),
	[TCP_CLOSING] = TO(TCP_CLOSING) | TO(TCP_TIME_WAIT) | TO(TCP_CLOSED),
	[TCP_CLOSE_WAIT] = TO(TCP_CLOSE_WAIT) | TO(TCP_LAST_ACK) | TO(TCP_CLOSED),
	[TCP_LAST_ACK] = TO(TCP_LAST_ACK) | TO(TCP_CLOSED),
	[TCP_CLOSED] = TO(TCP_CLOSED),
};

/*
 * What must be told when it becomes true: readiness, but that a program which limits what is not sent is woken only when
 * half of that has left (as Linux, so that it does not wake for each segment).
 */
static uint32_t told_level(const struct tcp_conn *c)
{
	uint32_t level = tcp_ready(c), lowat = c->options.notsent_lowat;

	if (lowat > 0 && !tcp_has(c, TCP_CONN_FIN_QUEUED) && seq_gt(c->snd_end, c->snd_nxt) &&
	    2 * (uint64_t)(c->snd_end - c->snd_nxt) >= lowat)
		level &= ~(uint32_t)TCP_READY_OUT;
	return level;
}

/* What only moves one way. */
static void check_track(struct sim_world *w, struct sim_end *e)
{
	const struct tcp_conn *c = e->conn;
	struct sim_track *t = &e->track;
	uint32_t level = tcp_ready(c), became;

	if (t->seen && t->state != TCP_SYN_SENT && has_synced(c)) {
		CHECK(reachable[t->state] & TO(c->state), "came from %s", WHO, tcp_state_name[t->state]);
		CHECK(seq_le(t->rcv_nxt, c->rcv_nxt), "RCV.NXT went from %u to %u", WHO, t->rcv_nxt, c->rcv_nxt);
		CHECK(seq_le(t->copied_seq, c->copied_seq), "read position went back", WHO);
		CHECK(seq_le(t->snd_una, c->snd_una), "SND.UNA went from %u to %u", WHO, t->snd_una, c->snd_una);
		CHECK(seq_le(t->snd_nxt, c->snd_nxt), "SND.NXT went from %u to %u", WHO, t->snd_nxt, c->snd_nxt);
		CHECK(seq_le(t->right_edge, c->rcv_wup + c->rcv_wnd), "the window's edge went from %u to %u", WHO,
		      t->right_edge, c->rcv_wup + c->rcv_wnd);
	}
	became = told_level(c) & ~t->level & ~t->told;
	CHECK(!t->seen || became == 0, "became ready for %x, and nobody was told (%u of %u bytes charged)", WHO, became,
	      c->snd_charge, c->sndbuf);
	t->seen = true;
	t->state = c->state;
	t->rcv_nxt = c->rcv_nxt;
	t->copied_seq = c->copied_seq;
	t->snd_una = c->snd_una;
	t->snd_nxt = c->snd_nxt;
	t->right_edge = c->rcv_wup + c->rcv_wnd;
	/* OUT counts as known only once it was told: it may be there before. */
	t->level = level & ~(level & ~t->level & ~t->told & TCP_READY_OUT);
	t->told = 0;
	t->looks++;
	if (has_synced(c))
		sim_check_edge(e, c->snd_una + c->snd_wnd);
}

/* Resets answer segments, or a program's wish, or a timer's. */
static void check_resets(struct sim_world *w, const struct sim_host *h)
{
	uint32_t reasons = h->segments_in + h->calls + h->tcp.n_conns + h->tcp.reqs.in_use;

	SIM_CHECK(w, h->resets_made <= reasons, "%u resets for %u segments, %u calls", h->resets_made, h->segments_in,
		  h->calls);
}

static void rests(struct sim_world *w, struct sim_host *h)
{
	struct table_cursor at = { 0 };
	struct table_node *node;
	uint32_t n = 0;

	check_resets(w, h);
	SIM_CHECK(w, list_is_empty(&h->tcp.dirty), "connections still have to send");
	while ((node = table_next(&h->tcp.ends, &at))) {
		struct tcp_end *end = FS_CONTAINER_OF(node, struct tcp_end, node);
		const struct tcp_conn *c = (const struct tcp_conn *)(const void *)end;
		struct sim_end *e;

		if (end->kind != TCP_END_CONN)
			continue;
		n++;
		e = c->user;
		sim_check_conn(w, h, c);
		if (e && e->conn == c)
			check_track(w, e);
	}
	SIM_CHECK(w, n <= h->tcp.n_conns && h->tcp.n_conns == h->tcp.conns.in_use, "%u connections in the table, %u in all",
		  n, h->tcp.n_conns);
	if (w->steps % FULL_EVERY == 0)
		sim_check_pools(w, h);
}

void sim_check_watch(struct sim_play *play)
{
	play->world->watch.resting = rests;
	play->world->watch.sending = sim_check_sending;
	play->world->watch.received = sim_check_received;
}
