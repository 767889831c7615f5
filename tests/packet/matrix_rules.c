/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * matrix_rules.c - RFC 9293 3.10.7 and RFC 5961 as a function.
 *
 * One function per state or step of the standard, which says what is done; comments say where Linux differs and
 * we follow.
 */
#include "matrix_rules.h"

#include "base/err.h"

/* SEG.LEN */
static int64_t length(const struct matrix_segment *s)
{
	return (int64_t)s->len + s->syn + s->fin;
}

static struct matrix_outcome stay(const struct matrix_context *c)
{
	return (struct matrix_outcome){ .reply = MATRIX_NOTHING, .state = c->state };
}

static struct matrix_outcome answer(const struct matrix_context *c, enum matrix_reply reply, int64_t seq, int64_t ack)
{
	return (struct matrix_outcome){ .reply = reply, .seq = seq, .ack = ack, .state = c->state };
}

/* <SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>. After a simultaneous open our SYN goes again with it: that says the same, and is
 * what the peer may have missed (3.5, figure 8). */
static struct matrix_outcome say_where_we_are(const struct matrix_context *c)
{
	if (c->state == MATRIX_SYN_RECEIVED)
		return answer(c, MATRIX_SYN_ACK, 0, c->rcv_nxt);
	return answer(c, MATRIX_ACK, c->snd_nxt, c->rcv_nxt);
}

/* 3.10.7.1 */
static struct matrix_outcome in_closed(const struct matrix_context *c, const struct matrix_segment *s)
{
	if (s->rst)
		return stay(c);
	if (s->has_ack)
		return answer(c, MATRIX_RST, s->ack, 0);
	return answer(c, MATRIX_RST_ACK, 0, s->seq + length(s));
}

/* 3.10.7.2. Linux: a SYN with FIN is a scan, and dropped. */
static struct matrix_outcome in_listen(const struct matrix_context *c, const struct matrix_segment *s)
{
	struct matrix_outcome o;

	if (s->rst)
		return stay(c);
	if (s->has_ack)
		return answer(c, MATRIX_RST, s->ack, 0);
	if (!s->syn || s->fin)
		return stay(c);
	o = answer(c, MATRIX_SYN_ACK, 0, s->seq + 1);
	o.state = MATRIX_LISTENED;
	return o;
}

/* 3.10.7.3. Linux: what comes with a SYN that crosses ours is not queued: it was not acknowledged, and comes again. */
static struct matrix_outcome in_syn_sent(const struct matrix_context *c, const struct matrix_segment *s)
{
	struct matrix_outcome o;

	if (s->has_ack && (s->ack <= 0 || s->ack > c->snd_nxt))
		return s->rst ? stay(c) : answer(c, MATRIX_RST, s->ack, 0);
	o = stay(c);
	if (s->rst) {
		o.state = s->has_ack ? MATRIX_CLOSED : c->state;
		return o;
	}
	if (!s->syn)
		return o;
	if (!s->has_ack) {
		o = answer(c, MATRIX_SYN_ACK, 0, s->seq + 1);
		o.state = MATRIX_SYN_RECEIVED;
		return o;
	}
	o = answer(c, MATRIX_ACK, 1, s->seq + length(s));
	o.state = s->fin ? MATRIX_CLOSE_WAIT : MATRIX_ESTABLISHED;
	o.delivered = s->len;
	return o;
}

/*
 * First check. Once the handshake is done Linux (and for ACKs RFC 9293 A.2) still looks at what ends where we are, or
 * begins where the window ends, for what it acknowledges.
 */
static bool is_acceptable(const struct matrix_context *c, const struct matrix_segment *s)
{
	int64_t end = s->seq + length(s), edge = c->rcv_nxt + c->rcv_wnd;

	if (c->state != MATRIX_LISTENED)
		return end >= c->rcv_nxt && s->seq <= edge;
	if (length(s) == 0)
		return s->seq >= c->rcv_nxt && s->seq < edge;
	return (s->seq >= c->rcv_nxt && s->seq < edge) || (end > c->rcv_nxt && end <= edge);
}

/* Second check, RFC 5961 3.2. */
static struct matrix_outcome on_reset(const struct matrix_context *c, const struct matrix_segment *s)
{
	struct matrix_outcome o = stay(c);

	if (s->seq == c->rcv_nxt) {
		o.state = c->state == MATRIX_LISTENED ? MATRIX_LISTEN : MATRIX_CLOSED;
		return o;
	}
	if (s->seq > c->rcv_nxt && s->seq < c->rcv_nxt + c->rcv_wnd)
		return say_where_we_are(c);
	return o;
}

/* Seventh and eighth check: text and FIN in ESTABLISHED, FIN-WAIT-1, FIN-WAIT-2. */
static struct matrix_outcome on_text(const struct matrix_context *c, const struct matrix_segment *s)
{
	int64_t end = s->seq + s->len, edge = c->rcv_nxt + c->rcv_wnd;
	struct matrix_outcome o = stay(c);
	bool fin = s->fin && end < edge;

	if (length(s) == 0)
		return o;
	o = say_where_we_are(c);
	if (s->seq > c->rcv_nxt || end + s->fin <= c->rcv_nxt)
		return o; /* behind a gap, or nothing new */
	o.delivered = (end < edge ? end : edge) - c->rcv_nxt;
	o.ack = c->rcv_nxt + o.delivered + fin;
	if (!fin)
		return o;
	if (c->state == MATRIX_ESTABLISHED)
		o.state = MATRIX_CLOSE_WAIT;
	else
		o.state = c->state == MATRIX_FIN_WAIT_1 ? MATRIX_CLOSING : MATRIX_TIME_WAIT;
	return o;
}

/* The same where the peer's FIN came already: what is old is answered, what is new cannot be. */
static struct matrix_outcome after_fin(const struct matrix_context *c, const struct matrix_segment *s)
{
	if (length(s) > 0 && s->seq + length(s) <= c->rcv_nxt)
		return say_where_we_are(c);
	return stay(c);
}

/* Fifth check. */
static struct matrix_outcome on_ack(const struct matrix_context *c, const struct matrix_segment *s)
{
	struct matrix_context next = *c;
	struct matrix_outcome o;

	if (c->state == MATRIX_SYN_RECEIVED || c->state == MATRIX_LISTENED) {
		if (s->ack <= c->snd_una || s->ack > c->snd_nxt)
			return answer(c, MATRIX_RST, s->ack, 0);
		next.state = MATRIX_ESTABLISHED;
		return on_text(&next, s);
	}
	/* RFC 5961 5.2 */
	if (s->ack > c->snd_nxt || s->ack < FS_MAX(c->snd_una - c->max_snd_wnd, (int64_t)1))
		return say_where_we_are(c);
	o = stay(c);
	if (s->ack == c->snd_nxt && c->snd_una != c->snd_nxt) {
		switch (c->state) {
		case MATRIX_FIN_WAIT_1:
			next.state = MATRIX_FIN_WAIT_2;
			break;
		case MATRIX_CLOSING:
			o.state = MATRIX_TIME_WAIT;
			return o;
		case MATRIX_LAST_ACK:
			o.state = MATRIX_CLOSED;
			return o;
		default:
			break;
		}
	}
	if (next.state == MATRIX_ESTABLISHED || next.state == MATRIX_FIN_WAIT_1 || next.state == MATRIX_FIN_WAIT_2)
		return on_text(&next, s);
	return after_fin(&next, s);
}

/*
 * TIME-WAIT. Linux: a RST that is not exact is not even challenged; an empty segment where we are is the last ACK once more;
 * everything else is answered, with ACK or without. Nobody listens here: a SYN begins nothing.
 */
static struct matrix_outcome in_time_wait(const struct matrix_context *c, const struct matrix_segment *s)
{
	struct matrix_outcome o = stay(c);

	if (s->rst) {
		o.state = s->seq == c->rcv_nxt ? MATRIX_CLOSED : c->state;
		return o;
	}
	if (s->seq == c->rcv_nxt && length(s) == 0)
		return o;
	return say_where_we_are(c);
}

/* The segments of a handshake that come again, whose numbers are those of before. */
static bool is_handshake_again(const struct matrix_context *c, const struct matrix_segment *s)
{
	return s->syn && !s->rst && s->seq == c->rcv_nxt - 1 &&
	       (c->state == MATRIX_SYN_RECEIVED || c->state == MATRIX_LISTENED);
}

/* The SYN: our answer again. The SYN-ACK to our SYN of a simultaneous open: what we wait for, and a FIN with it counts. */
static struct matrix_outcome on_handshake_again(const struct matrix_context *c, const struct matrix_segment *s)
{
	struct matrix_context next = *c;
	struct matrix_segment rest = *s;

	if (!s->has_ack)
		return answer(c, MATRIX_SYN_ACK, 0, c->rcv_nxt);
	if (c->state == MATRIX_LISTENED || s->ack != c->snd_nxt)
		return say_where_we_are(c);
	next.state = MATRIX_ESTABLISHED;
	rest.syn = false;
	rest.seq++;
	return on_text(&next, &rest);
}

struct matrix_outcome matrix_expect(const struct matrix_context *c, const struct matrix_segment *s)
{
	switch (c->state) {
	case MATRIX_CLOSED:
		return in_closed(c, s);
	case MATRIX_LISTEN:
		return in_listen(c, s);
	case MATRIX_SYN_SENT:
		return in_syn_sent(c, s);
	case MATRIX_TIME_WAIT:
		return in_time_wait(c, s);
	default:
		break;
	}
	if (is_handshake_again(c, s))
		return on_handshake_again(c, s);
	if (s->rst)
		return on_reset(c, s);
	if (!is_acceptable(c, s) || s->syn) /* RFC 5961 4.2: a SYN is challenged, wherever it is */
		return say_where_we_are(c);
	if (!s->has_ack)
		return stay(c);
	return on_ack(c, s);
}
