/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * check_wire.c - invariants of segments as hosts send them.
 *
 * Standards: RFC 9293 3.1, 3.7.1 (MUST-16), 3.8.6 (SHLD-14, SHLD-15); RFC 7323 3.2; RFC 2018 3 and 4; RFC 2883;
 * RFC 3168 6.1.4, 6.1.5.
 */
#include <string.h>

#include "base/csum.h"
#include "base/err.h"
#include "check_internal.h"
#include "pattern.h"
#include "tcp/cc.h"
#include "tcp/conn.h"
#include "wire/packet.h"
#include "wire/protocol.h"
#include "wire/tcp.h"

enum {
	BARE_ACKS_MAX = 2000, /* in a row without a pause: two engines answer each other's answers */
	PATTERN_EVERY = 8,    /* frames, whose payload is compared as they leave */
	ECT_MASK = 3,
};

struct segment {
	struct packet p;
	struct tcp_hdr h;
	uint32_t end;	/* of the data */
	uint32_t size;	/* payload of one of its segments */
	const struct fbuf *frame;
	bool waited;	/* built before the engine did what it did last */
};

#define CHECK(e, ...) SIM_CHECK(w, e, "%s sends %u+%u: " __VA_ARGS__)
#define WHAT sim_end_name(end), s->h.seq, s->p.payload_len

static bool parse(struct segment *s, const struct fbuf *frame)
{
	s->frame = frame;
	if (packet_parse(&s->p, frame->data, frame->len, frame->total) != PACKET_OK ||
	    s->p.protocol != WIRE_PROTO_TCP ||
	    tcp_parse(&s->h, frame->data + s->p.l4_offset, frame->len - s->p.l4_offset) < 0)
		return false;
	s->end = s->h.seq + s->p.payload_len + !!(s->h.flags & TCP_SYN);
	s->size = frame->gso_size ? frame->gso_size : s->p.payload_len;
	return true;
}

/* --- the frame itself --- */

static uint64_t sum_l4(const struct segment *s)
{
	const struct fbuf *part = s->frame;
	uint32_t at = 0, skip = s->p.l4_offset, left = s->p.l4_len;
	uint64_t sum = 0;

	for (; part && left > 0; part = part->next) {
		uint32_t here = FS_MIN(part->len - skip, left);

		sum = csum_combine(sum, csum_inline(part->data + skip, here), at);
		at += here;
		left -= here;
		skip = 0;
	}
	return sum;
}

static void check_frame(struct sim_world *w, const struct sim_host *h, const struct segment *s)
{
	uint64_t pseudo = csum_pseudo(&s->p.src, &s->p.dst, WIRE_PROTO_TCP, s->p.l4_len);
	uint32_t parts = 0;
	be16_t field;

	for (const struct fbuf *part = s->frame; part; part = part->next)
		parts += part->len;
	SIM_CHECK(w, parts == s->frame->total, "a frame of %u bytes has parts of %u", s->frame->total, parts);
	SIM_CHECK(w, s->p.l3_offset + s->p.l3_len == s->frame->total, "a packet of %u bytes in a frame of %u",
		  s->p.l3_len, s->frame->total);
	SIM_CHECK(w, s->frame->gso_size > 0 || s->p.l3_len <= h->config.mtu, "a packet of %u bytes", s->p.l3_len);
	SIM_CHECK(w, s->frame->gso_size == 0 || s->frame->csum == FBUF_CSUM_PARTIAL, "a super-frame with a whole sum");
	memcpy(&field, s->frame->data + s->p.l4_offset + 16, sizeof(field));
	if (s->frame->csum == FBUF_CSUM_PARTIAL) {
		SIM_CHECK(w, h->config.tx_csum_partial, "a partial sum nobody completes");
		SIM_CHECK(w, field.raw == csum_partial(pseudo).raw, "a partial sum of %04x", field.raw);
	} else {
		SIM_CHECK(w, csum_is_valid(csum_add(pseudo, sum_l4(s))), "the checksum of %u+%u", s->h.seq,
			  s->p.payload_len);
	}
}

static void check_payload(struct sim_world *w, const struct sim_end *end, const struct segment *s)
{
	uint64_t position = s->h.seq - (end->conn->iss + 1);
	uint32_t skip = s->p.payload_offset, left = s->p.payload_len;

	for (const struct fbuf *part = s->frame; part && left > 0; part = part->next) {
		uint32_t here;

		if (skip >= part->len) {
			skip -= part->len;
			continue;
		}
		here = FS_MIN(part->len - skip, left);
		CHECK(sim_pattern_match(end->key, position, part->data + skip, here) == here, "payload differs", WHAT);
		position += here;
		left -= here;
		skip = 0;
	}
}

/* --- data --- */

void sim_check_edge(struct sim_end *e, tcp_seq edge)
{
	e->track.send_edge = e->track.edge_known ? seq_max(e->track.send_edge, edge) : edge;
	e->track.edge_known = true;
}

/* DCTCP marks every segment (RFC 8257 3.1): as the connection does now, or did when a frame was built that waits. */
static bool marks_all(const struct sim_end *end)
{
	return tcp_cc_at(end->conn->cc.algorithm)->wants_ecn ||
	       tcp_cc_at(end->host->tcp.config.congestion)->wants_ecn;
}

static void check_data(struct sim_world *w, struct sim_end *end, const struct segment *s)
{
	const struct tcp_conn *c = end->conn;
	struct sim_track *t = &end->track;
	uint32_t options = s->h.hdr_len - (uint32_t)TCP_HDR_LEN;
	tcp_seq edge = c->snd_una + c->snd_wnd;
	bool is_new = !t->sent_any || seq_gt(s->end, t->high_sent);

	sim_check_edge(end, edge);
	CHECK(seq_le(s->end, c->snd_end), "beyond what is queued, %u", WHAT, c->snd_end);
	/* One byte may go beyond: a probe. What the peer once allowed may be sent again (MAY-7). */
	if (is_new)
		CHECK(seq_le(s->end, edge) || (s->p.payload_len == 1 && s->h.seq == edge), "new, beyond the window's edge %u",
		      WHAT, edge);
	else
		CHECK(seq_le(s->end, t->send_edge + 1), "beyond the highest edge %u", WHAT, t->send_edge);
	CHECK(s->size + options <= c->peer_mss, "%u bytes with options, the peer takes %u", WHAT, s->size + options,
	      c->peer_mss);
	/* ECT on what was sent before would let a loss pass unnoticed (RFC 3168 6.1.5). */
	CHECK(is_new || (s->p.tos & ECT_MASK) == 0 || marks_all(end), "a retransmission with ECT", WHAT);
	CHECK(tcp_has(c, TCP_CONN_ECN) || (s->p.tos & ECT_MASK) == 0, "ECT, which was not agreed on", WHAT);
	if (is_new)
		t->high_sent = s->end;
	t->sent_any = true;
	if (w->steps % PATTERN_EVERY == 0)
		check_payload(w, end, s);
}

/* --- acknowledgements --- */

/* Received, out of order and kept? A FIN may be the last of it. */
static bool holds(const struct tcp_conn *c, const struct tcp_sack_block *b)
{
	tcp_seq right = b->right;

	if (tcp_has(c, TCP_CONN_FIN_AHEAD) && right == c->rcv_fin + 1)
		right--;
	if (right == b->left)
		return true;
	for (struct fbuf *f = c->ooo_first; f; f = tcp_ooo(f)->next)
		if (seq_le(tcp_ooo(f)->seq, b->left) && seq_ge(tcp_ooo(f)->end, right))
			return true;
	return false;
}

static void check_sack(struct sim_world *w, const struct sim_end *end, const struct segment *s)
{
	const struct tcp_conn *c = end->conn;
	const struct tcp_sack_block *b = s->h.sack;
	unsigned first = 0;

	CHECK(tcp_has(c, TCP_CONN_SACK), "SACK was not agreed on", WHAT);
	/* A first block below the ACK, or within the second, is a D-SACK (RFC 2883 4). */
	if (seq_le(b[0].right, s->h.ack) || (s->h.n_sack > 1 && seq_le(b[1].left, b[0].left) && seq_ge(b[1].right, b[0].right)))
		first = 1;
	for (unsigned i = first; i < s->h.n_sack; i++) {
		CHECK(seq_lt(b[i].left, b[i].right) && seq_gt(b[i].left, s->h.ack), "SACK block %u..%u", WHAT, b[i].left,
		      b[i].right);
		/* What moved on, or was given up, since the segment was built is no lie. */
		CHECK(s->waited || s->h.ack != c->rcv_nxt || holds(c, &b[i]), "SACK block %u..%u is not held", WHAT, b[i].left,
		      b[i].right);
		for (unsigned k = first; k < i; k++)
			CHECK(seq_lt(b[k].right, b[i].left) || seq_gt(b[k].left, b[i].right), "SACK blocks overlap", WHAT);
	}
}

static void check_ack(struct sim_world *w, struct sim_end *end, const struct segment *s)
{
	const struct tcp_conn *c = end->conn;
	struct sim_track *t = &end->track;

	CHECK(seq_le(s->h.ack, c->rcv_nxt), "ACK %u, RCV.NXT %u", WHAT, s->h.ack, c->rcv_nxt);
	CHECK(!t->acked_any || seq_ge(s->h.ack, t->acked_out), "ACK %u after %u", WHAT, s->h.ack, t->acked_out);
	CHECK(!tcp_has(c, TCP_CONN_TS) || (s->h.options & TCP_HAS_TIMESTAMP), "without a timestamp", WHAT);
	t->acked_out = s->h.ack;
	t->acked_any = true;
	if (s->h.n_sack > 0)
		check_sack(w, end, s);
	if (s->p.payload_len > 0 || (s->h.flags & (TCP_FIN | TCP_SYN)) || w->now - t->bare_at > FS_SEC(2)) {
		t->bare_acks = 0;
		end->peer->track.bare_acks = 0;
	}
	t->bare_at = w->now;
	if (s->p.payload_len == 0)
		CHECK(++t->bare_acks <= BARE_ACKS_MAX, "%u bare ACKs in a row", WHAT, t->bare_acks);
}

void sim_check_sending(struct sim_world *w, struct sim_host *host, unsigned port, const struct fbuf *frame)
{
	struct segment segment, *s = &segment;
	struct sim_end *end;

	SIM_CHECK(w, parse(s, frame), "a frame that does not parse");
	s->waited = host->port[port].waited;
	check_frame(w, host, s);
	end = sim_play_find(w->above, host, &s->p.dst, s->p.src_port, s->p.dst_port);
	if (!end || !end->conn || (s->h.flags & TCP_RST) || end->conn->state == TCP_CLOSED)
		return;
	if (s->h.flags & TCP_SYN)
		return;
	CHECK(s->h.flags & TCP_ACK, "without ACK", WHAT);
	if (s->p.payload_len > 0)
		check_data(w, end, s);
	else
		CHECK((s->p.tos & ECT_MASK) == 0 || marks_all(end),
		      "ECT without data (RFC 3168 6.1.4)", WHAT);
	check_ack(w, end, s);
}

void sim_check_received(struct sim_world *w, struct sim_host *host, unsigned port, const struct fbuf *frame)
{
	struct segment s;
	struct sim_end *end;

	(void)port;
	if (!parse(&s, frame) || (s.h.flags & TCP_RST)) {
		host->resets_in++;
		return;
	}
	end = sim_play_find(w->above, host, &s.p.src, s.p.dst_port, s.p.src_port);
	if (end && (s.p.payload_len > 0 || (s.h.flags & (TCP_SYN | TCP_FIN))))
		end->track.bare_acks = 0;
	host->segments_in += frame->gso_size ? (s.p.payload_len + frame->gso_size - 1) / frame->gso_size : 1;
}

/* --- pools --- */

static uint32_t count_parts(const struct fbuf *frame, const struct fbuf_pool *pool)
{
	uint32_t n = 0;

	for (; frame; frame = frame->next)
		n += frame->pool == pool;
	return n;
}

/* Chunks a connection owns, those it shares with a provider included. */
static uint32_t count_conn(const struct tcp_conn *c, const struct fbuf_pool *pool)
{
	const struct sim_end *e = c->user;
	uint32_t n = 0;

	for (const struct fbuf *f = c->rx.head; f; f = f->link)
		n += count_parts(f, pool);
	for (struct fbuf *run = c->ooo_first; run; run = tcp_ooo(run)->next)
		for (const struct fbuf *f = run; f; f = f == tcp_ooo(run)->tail ? NULL : f->link)
			n += count_parts(f, pool);
	for (struct fbuf *f = c->first; f; f = tcp_seg(f)->next)
		n += f->pool == pool;
	for (unsigned i = 0; e && i < e->n_held; i++)
		n += count_parts(e->held[i], pool);
	return n;
}

/* Those that are nobody's but the device's. */
static uint32_t count_free_of_conn(const struct fbuf *frame, const struct fbuf_pool *pool)
{
	uint32_t n = 0;

	for (; frame; frame = frame->next)
		n += frame->pool == pool && frame->holds == 0;
	return n;
}

static uint32_t count_queue(const struct fbuf_queue *q, const struct fbuf_pool *pool)
{
	uint32_t n = 0;

	for (const struct fbuf *f = q->head; f; f = f->link)
		n += count_free_of_conn(f, pool);
	return n;
}

static void check_pool(struct sim_world *w, const struct sim_host *host, const struct fbuf_pool *pool, const char *name)
{
	uint32_t used = 0;
	struct table_cursor at = { 0 };
	struct table_node *node;

	while ((node = table_next(&host->tcp.ends, &at))) {
		struct tcp_end *end = FS_CONTAINER_OF(node, struct tcp_end, node);

		if (end->kind == TCP_END_CONN)
			used += count_conn((const struct tcp_conn *)(const void *)end, pool);
	}
	used += sim_play_closed_chunks(w->above, host, pool, count_conn);
	for (unsigned i = 0; i < host->n_ports; i++) {
		used += count_queue(&host->ip.port[i].out, pool);
		for (unsigned k = 0; k < FAULT_QUEUES; k++)
			used += count_queue(fault_port_queue(&host->port[i].handle, k), pool);
	}
	SIM_CHECK(w, used == pool->n_total - pool->n_free, "%s pool: %u chunks in use, %u owned", name,
		  pool->n_total - pool->n_free, used);
}

void sim_check_pools(struct sim_world *w, const struct sim_host *host)
{
	check_pool(w, host, &host->pinned, "pinned");
	check_pool(w, host, &host->payload, "payload");
	check_pool(w, host, &host->segments, "segment");
}
