/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * urgent.c - urgent data received: the mark and the byte before it.
 *
 * The pointer in a segment names the number after the urgent data (RFC 9293 3.8.5, MUST-62); sockets treat the
 * one byte before it as out of band (RFC 6093 3.1), and rcv_up is its number. Data may become urgent any number
 * of times and over any length (MUST-31): the mark moves on, and the byte of a mark that was overtaken is
 * ordinary again. What the flags say:
 *
 *   URG_IN | URG_WAIT   the mark is known, its byte has not come
 *   URG_IN | URG_BYTE   the byte waits for MSG_OOB, in oob_byte (and still lies in the stream)
 *   URG_IN              it was read by MSG_OOB; the mark is not read past
 *
 * Standards: RFC 9293 3.8.5, 3.10.7.4 (sixth), RFC 6093, with Linux's answers where these are silent.
 * Not here: reading that stops at the mark (recv.c), sending (send.c, output.c).
 */
#include <errno.h>

#include "base/err.h"
#include "tcp/conn.h"
#include "tcp/tcp_internal.h"

enum { URG_FLAGS = TCP_CONN_URG_IN | TCP_CONN_URG_WAIT | TCP_CONN_URG_BYTE };

/*
 * The last byte read was the old mark's neighbour, and the old urgent byte is next: step over it now, or with the
 * mark gone it would be read as data.
 */
static void skip_old_byte(struct tcp_conn *c)
{
	struct fbuf *frame = c->rx.head;

	if (!tcp_has(c, TCP_CONN_URG_IN) || c->options.oob_inline || c->rcv_up != c->copied_seq || !frame)
		return;
	c->copied_seq++;
	if (frame->total > 1) {
		fbuf_pull(frame, 1);
		return;
	}
	frame = fbuf_queue_pop(&c->rx);
	tcp_rx_unsettle(c, frame);
	fbuf_free(frame);
}

/* Does the pointer of @in announce something new? */
static bool is_news(const struct tcp_conn *c, tcp_seq up)
{
	if (seq_lt(up, c->copied_seq) || seq_lt(up, c->rcv_nxt))
		return false;
	return !tcp_has(c, TCP_CONN_URG_IN) || seq_gt(up, c->rcv_up);
}

void tcp_urgent_in(struct tcp_conn *c, const struct ip_env *env, const struct tcp_in *in)
{
	bool tell = false;
	uint32_t at;

	if (in->h.flags & TCP_URG) {
		tcp_seq up = in->h.seq + in->h.urgent - (in->h.urgent != 0);

		if (is_news(c, up)) {
			skip_old_byte(c);
			c->flags = (c->flags & ~(uint32_t)URG_FLAGS) | TCP_CONN_URG_IN | TCP_CONN_URG_WAIT;
			c->rcv_up = up;
			tell = true; /* MUST-32 */
		}
	}
	at = c->rcv_up - in->h.seq;
	if (tcp_has(c, TCP_CONN_URG_WAIT) && at < in->len) {
		fbuf_copy_out(in->frame, at, &c->oob_byte, 1);
		c->flags = (c->flags & ~(uint32_t)TCP_CONN_URG_WAIT) | TCP_CONN_URG_BYTE;
		tell = true;
	}
	if (tell)
		tcp_tell(c, env, TCP_READY_PRI);
}

uint32_t tcp_urgent_limit(const struct tcp_conn *c, uint32_t len)
{
	return tcp_has(c, TCP_CONN_URG_IN) ? FS_MIN(len, c->rcv_up - c->copied_seq) : len;
}

void tcp_urgent_passed(struct tcp_conn *c)
{
	if (seq_gt(c->copied_seq, c->rcv_up))
		c->flags &= ~(uint32_t)URG_FLAGS;
}

int tcp_urgent_recv(struct tcp_conn *c, uint8_t *to, uint32_t flags)
{
	if (c->options.oob_inline || !tcp_has(c, TCP_CONN_URG_WAIT | TCP_CONN_URG_BYTE))
		return -EINVAL;
	if (!tcp_has(c, TCP_CONN_URG_BYTE)) {
		bool is_over = c->state == TCP_CLOSED || tcp_has(c, TCP_CONN_FIN_RECEIVED | TCP_CONN_SHUT_RD);

		return is_over ? 0 : -EAGAIN;
	}
	*to = c->oob_byte;
	if (!(flags & TCP_RECV_PEEK))
		c->flags &= ~(uint32_t)TCP_CONN_URG_BYTE;
	return 1;
}

bool tcp_at_mark(const struct tcp_conn *c)
{
	return tcp_has(c, TCP_CONN_URG_IN) && c->rcv_up == c->copied_seq;
}
