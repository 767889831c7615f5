/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * recv.c - the receive queue: payload in order, and the memory it may keep.
 *
 * Frames are queued as they came. A small one is merged into the frame before it, so that little data do not
 * pin big frames; and when the pinned pool runs low, payload is copied out of it, first that of connections
 * which do not read (design hazard 5). The rules are those of src/udp/input.c, and both share the pools.
 * Standards: RFC 9293 3.10.3 (RECEIVE), 3.8.5 (where it stops at urgent data).
 * Not here: what the window says of it (window.c), when reading is worth an ACK (delack.c).
 */
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "tcp/conn.h"
#include "tcp/recv_internal.h"
#include "tcp/tcp_internal.h"

enum {
	/* One queue holds at most 1/2 of what the payload pool may become above its reserve, which is kept for queues
	 * that are empty. */
	PAYLOAD_PART = 2,
	RESERVE_PART = 8,

	EVICT_LOOK = 16, /* frames of a queue that are looked at for one to copy out */
};

static uint32_t chunks(const struct fbuf *frame)
{
	uint32_t n = 1;

	while ((frame = frame->next) != NULL)
		n++;
	return n;
}

/* --- memory --- */

static bool is_pinned(const struct tcp_conn *c, const struct fbuf *frame)
{
	return frame->pool != c->stack->ip->payload;
}

static bool may_copy(const struct tcp_conn *c)
{
	const struct fbuf_pool *payload = c->stack->ip->payload;
	uint32_t room = payload->n_free + payload->to_come;
	uint32_t reserve = (payload->n_total + payload->to_come) / RESERVE_PART;

	if (c->rcv_charge == 0)
		return true;
	return room > reserve && c->rcv_charge / payload->chunk_size < (room - reserve) / PAYLOAD_PART;
}

/* A copy of @frame in the payload pool, or NULL. @frame stays the caller's. */
static struct fbuf *copy_out(struct tcp_conn *c, const struct fbuf *frame)
{
	struct fbuf *copy = may_copy(c) ? fbuf_clone_into(frame, c->stack->ip->payload) : NULL;

	if (copy)
		tcp_count(c, FS_CTR_copied_out);
	return copy;
}

/* The link in @c's queue that names its oldest frame of @pool, among the first few. */
static struct fbuf **find_pinned(struct tcp_conn *c, const struct fbuf_pool *pool)
{
	struct fbuf **at = &c->rx.head;

	for (unsigned i = 0; *at && i < EVICT_LOOK; i++, at = &(*at)->link)
		if ((*at)->pool == pool)
			return at;
	return NULL;
}

/*
 * @pool is low: copy a frame out of the connection that has held one for longest and does not read. False: none
 * was copied; it gives up early, and the next segment tries the next holder.
 */
static bool evict(struct tcp_stack *tcp, const struct fbuf_pool *pool)
{
	struct list *oldest = list_pop_front(&tcp->holders);
	struct fbuf **at, *frame, *copy;
	struct tcp_conn *c;

	if (!oldest)
		return false;
	list_push_back(&tcp->holders, oldest);
	c = FS_CONTAINER_OF(oldest, struct tcp_conn, holder);
	at = find_pinned(c, pool);
	copy = at ? copy_out(c, *at) : NULL;
	if (!copy)
		return false;
	frame = *at;
	copy->charge = frame->charge;
	copy->link = frame->link;
	*at = copy;
	if (c->rx.tail == frame)
		c->rx.tail = copy;
	frame->link = NULL;
	frame->charge = 0;
	tcp_rx_unpin(c, chunks(frame));
	fbuf_free(frame);
	return true;
}

/* The frame to keep where tcp_rx_may_hold() says no: itself, or its copy, and the frame is freed. NULL: no memory. */
static __attribute__((noinline)) struct fbuf *settle_scarce(struct tcp_conn *c, struct fbuf *frame)
{
	struct fbuf_pool *pool = frame->pool;
	/* Of a connection that reads, which goes on below the low water, where unread ones stop. */
	bool reserve = c->rcv_charge == 0 && pool->n_free > pool->low_water / 2;
	struct fbuf *copy;

	if (!reserve || !evict(c->stack, pool)) {
		copy = copy_out(c, frame);
		if (copy)
			fbuf_free(frame);
		if (copy || !reserve)
			return copy;
	}
	tcp_rx_pin(c, chunks(frame));
	return frame;
}

struct fbuf *tcp_rx_settle(struct tcp_conn *c, struct fbuf *frame)
{
	uint32_t n = chunks(frame);

	if (is_pinned(c, frame)) {
		if (__builtin_expect(tcp_rx_may_hold(c, frame->pool), 1)) {
			tcp_rx_pin(c, n);
		} else {
			frame = settle_scarce(c, frame);
			if (!frame)
				return NULL;
			n = chunks(frame);
		}
	}
	frame->charge = frame->total + n * TCP_RX_OVERHEAD;
	c->rcv_charge += frame->charge;
	return frame;
}

void tcp_rx_unsettle(struct tcp_conn *c, struct fbuf *frame)
{
	c->rcv_charge -= frame->charge;
	frame->charge = 0;
	if (is_pinned(c, frame))
		tcp_rx_unpin(c, chunks(frame));
}

static void discard(struct tcp_conn *c, struct fbuf *frame)
{
	tcp_rx_unsettle(c, frame);
	fbuf_free(frame);
}

void tcp_rx_purge(struct tcp_conn *c)
{
	struct fbuf *frame;

	while ((frame = fbuf_queue_pop(&c->rx)) != NULL)
		discard(c, frame);
}

/* --- in --- */

bool tcp_rx_merge(struct tcp_conn *c, struct fbuf *tail, const struct fbuf *frame)
{
	uint32_t len = frame->total;

	if (len > TCP_RX_MERGE_MAX || tail->next || fbuf_is_shared(tail) || fbuf_tailroom(tail) < len)
		return false;
	fbuf_copy_out(frame, 0, tail->data + tail->len, len);
	tail->len += len;
	tail->total += len;
	tail->charge += len;
	if (frame->stamp)
		tail->stamp = frame->stamp; /* as tcp_try_coalesce() of the kernel: that of the last byte */
	c->rcv_charge += len;
	tcp_count(c, FS_CTR_tcp_merged);
	return true;
}

int tcp_rx_append(struct tcp_conn *c, struct tcp_in *in)
{
	struct fbuf *frame = in->frame, *kept;
	uint32_t len = frame->total;

	in->frame = NULL;
	if (c->rx.tail && tcp_rx_merge(c, c->rx.tail, frame)) {
		fbuf_free(frame);
	} else {
		if (__builtin_expect(c->rcv_charge >= c->rcvbuf, 0)) {
			/* What waits behind a gap was not promised to be kept (RFC 2018 8). */
			tcp_ooo_purge(c);
			if (c->rcv_charge >= c->rcvbuf) {
				tcp_count(c, FS_CTR_drop_tcp_rcvbuf);
				fbuf_free(frame);
				return -ENOBUFS;
			}
		}
		kept = tcp_rx_settle(c, frame);
		if (__builtin_expect(!kept && c->ooo_first, 0)) {
			/* What waits behind it may be what takes the memory, and would again when it comes again. */
			tcp_ooo_purge(c);
			kept = tcp_rx_settle(c, frame);
		}
		if (__builtin_expect(!kept, 0)) {
			tcp_count(c, FS_CTR_drop_tcp_no_memory);
			fbuf_free(frame);
			return -ENOBUFS;
		}
		fbuf_queue_push(&c->rx, kept);
	}
	c->rcv_nxt += len;
	c->bytes_received += len;
	c->stack->ip->counters[FS_CTR_tcp_bytes_in] += len;
	return 0;
}

/* --- out --- */

uint32_t tcp_inq(const struct tcp_conn *c)
{
	uint32_t n = c->rcv_nxt - c->copied_seq - tcp_has(c, TCP_CONN_FIN_RECEIVED);

	if (__builtin_expect(tcp_has(c, TCP_CONN_URG_IN), 0) && !c->options.oob_inline)
		return tcp_urgent_limit(c, n);
	return n;
}

/* Where the bytes go. */
struct sink {
	const struct iovec *iov; /* borrowed */
	int left;		 /* entries at iov */
	size_t done;		 /* bytes of iov[0] already filled */
	fs_ns stamp;		 /* of the last frame that was read from */
};

/* Room in the present piece; steps over full ones. 0 = there is none. */
static size_t room(struct sink *s)
{
	while (s->left > 0 && s->iov->iov_len == s->done) {
		s->iov++;
		s->left--;
		s->done = 0;
	}
	return s->left > 0 ? s->iov->iov_len - s->done : 0;
}

/* @n bytes of the oldest frame were read. */
static void consume(struct tcp_conn *c, struct fbuf *frame, uint32_t n)
{
	c->copied_seq += n;
	if (n < frame->total)
		fbuf_pull(frame, n);
	else
		discard(c, fbuf_queue_pop(&c->rx));
	if (__builtin_expect(tcp_has(c, TCP_CONN_URG_IN), 0))
		tcp_urgent_passed(c);
}

/* Read bytes into @s, or throw them away. */
static uint32_t take(struct tcp_conn *c, struct sink *s, bool throw)
{
	uint32_t done = 0;
	struct fbuf *frame;
	size_t here;

	while ((frame = c->rx.head) != NULL && (here = room(s)) > 0) {
		uint32_t n = (uint32_t)FS_MIN(here, (size_t)frame->total);

		if (__builtin_expect(tcp_has(c, TCP_CONN_URG_IN), 0)) {
			n = tcp_urgent_limit(c, n);
			if (n == 0 && done > 0)
				break;
			if (n == 0 && !c->options.oob_inline) {
				consume(c, frame, 1); /* MSG_OOB has it, or nobody wanted it */
				continue;
			}
			if (n == 0)
				n = (uint32_t)FS_MIN(here, (size_t)frame->total);
		}
		if (!throw)
			fbuf_copy_out(frame, 0, (uint8_t *)s->iov->iov_base + s->done, n);
		s->done += n;
		s->stamp = frame->stamp;
		done += n;
		consume(c, frame, n);
	}
	return done;
}

/* The same without consequences, from the @skip-th byte on. */
static __attribute__((noinline)) uint32_t peek(const struct tcp_conn *c, struct sink *s, uint32_t skip, bool throw)
{
	tcp_seq at = c->copied_seq + skip;
	uint32_t done = 0;
	size_t here;

	for (const struct fbuf *frame = c->rx.head; frame; frame = frame->link) {
		uint32_t offset = skip;

		if (skip >= frame->total) {
			skip -= frame->total;
			continue;
		}
		skip = 0;
		while (offset < frame->total && (here = room(s)) > 0) {
			uint32_t n = (uint32_t)FS_MIN(here, (size_t)(frame->total - offset));

			if (tcp_has(c, TCP_CONN_URG_IN) && seq_in(c->rcv_up, at, n)) {
				if (c->rcv_up != at)
					n = c->rcv_up - at;
				else if (done > 0)
					return done;
				else if (!c->options.oob_inline) {
					offset++;
					at++;
					continue;
				}
			}
			if (!throw)
				fbuf_copy_out(frame, offset, (uint8_t *)s->iov->iov_base + s->done, n);
			s->done += n;
			s->stamp = frame->stamp;
			offset += n;
			at += n;
			done += n;
		}
	}
	return done;
}

static ssize_t recv_urgent(struct tcp_conn *c, struct sink *s, uint32_t flags)
{
	uint8_t byte;
	int got;

	if (room(s) == 0)
		flags |= TCP_RECV_TRUNC;
	got = tcp_urgent_recv(c, &byte, flags);
	if (got == 1 && !(flags & TCP_RECV_TRUNC))
		*((uint8_t *)s->iov->iov_base + s->done) = byte;
	return got;
}

/* There is nothing to read: the end, an error, or not yet. */
static ssize_t nothing(struct tcp_conn *c)
{
	if (tcp_has(c, TCP_CONN_FIN_RECEIVED))
		return 0;
	if (c->error)
		return -tcp_take_error(c);
	if (tcp_has(c, TCP_CONN_SHUT_RD))
		return 0;
	return c->state == TCP_CLOSED ? -ENOTCONN : -EAGAIN;
}

/* May tcp_ack_after_read() find a reason? In a dialogue it seldom does. */
static inline bool may_owe_ack(const struct tcp_conn *c)
{
	uint32_t flags = c->ack_flags;

	if (tcp_window_is_low(c))
		return true;
	if (!(flags & (TCP_ACK_NOW | TCP_ACK_DELAYED)))
		return false;
	return c->rcv_nxt - c->rcv_wup > c->rcv_mss || (flags & (TCP_ACK_PINGPONG | TCP_ACK_PUSHED2)) != TCP_ACK_PINGPONG;
}

/* What follows from reading @n bytes, for the window and for what is acknowledged. */
static inline void after_read(struct tcp_conn *c, const struct ip_env *env, uint32_t n, fs_ns now)
{
	if (tcp_us(now) - c->rcv_space_us >= c->rcv_rtt_us) {
		if (__builtin_expect(c->copied_seq - c->rcv_space_seq > c->rcv_space, 0))
			tcp_window_adapt(c, now);
		else if (c->rcv_rtt_us != 0)
			tcp_rx_round(c, now);
	}
	if (may_owe_ack(c))
		tcp_ack_after_read(c, env, n, now);
}

static ssize_t recv_unread(struct tcp_conn *c, const struct ip_env *env, struct sink *s, uint32_t flags,
			   uint32_t offset, fs_ns now)
{
	bool throw = flags & TCP_RECV_TRUNC;
	uint32_t got;

	if (flags & TCP_RECV_PEEK) {
		got = peek(c, s, offset, throw);
		return got > 0 || (c->rx.head && room(s) == 0) ? (ssize_t)got : nothing(c);
	}
	if (!c->rx.head)
		return nothing(c);
	if (room(s) == 0)
		s->stamp = c->rx.head->stamp; /* who asks for no byte is told of the next one */
	got = take(c, s, throw);
	if (got > 0)
		after_read(c, env, got, now);
	else if (room(s) > 0)
		return nothing(c); /* an urgent byte was all there was */
	return got;
}

static __attribute__((noinline)) ssize_t recv_any(struct tcp_conn *c, const struct ip_env *env, struct sink *s,
						  uint32_t flags, uint32_t offset, fs_ns now)
{
	ssize_t got = flags & TCP_RECV_OOB ? recv_urgent(c, s, flags) : recv_unread(c, env, s, flags, offset, now);

	if (flags & TCP_RECV_STAMP)
		c->stack->read_stamp = s->stamp;
	return got;
}

/* All there is: one frame of one chunk, which was never read from. */
static inline uint32_t take_only(struct tcp_conn *c, struct fbuf *frame, void *to)
{
	uint32_t len = frame->total;

	memcpy(to, frame->data, len);
	c->copied_seq += len;
	c->rx = (struct fbuf_queue){ 0 };
	c->rcv_charge -= frame->charge;
	frame->charge = 0;
	if (is_pinned(c, frame))
		tcp_rx_unpin(c, 1);
	if (__builtin_expect(fbuf_is_shared(frame), 0))
		fbuf_free_part(frame);
	else
		fbuf_give_back(frame);
	return len;
}

ssize_t tcp_recv(struct tcp_conn *c, const struct ip_env *env, const struct iovec *iov, int n, uint32_t flags,
		 uint32_t offset, fs_ns now)
{
	struct fbuf *frame = c->rx.head;
	uint32_t got;

	/* A message that came in one frame, into one buffer that holds it. */
	if (__builtin_expect(!frame || ((uintptr_t)frame->link | (uintptr_t)frame->next) || (flags | (unsigned)(n ^ 1)) ||
				     iov->iov_len < frame->total || tcp_has(c, TCP_CONN_URG_IN),
			     0)) {
		struct sink s = { .iov = iov, .left = n };

		return recv_any(c, env, &s, flags, offset, now);
	}
	got = take_only(c, frame, iov->iov_base);
	after_read(c, env, got, now);
	return got;
}

/* --- in place --- */

/* The oldest frame goes beyond the urgent mark: what is before it as a frame of its own. NULL: no memory. */
static __attribute__((noinline)) struct fbuf *hold_before_mark(struct tcp_conn *c)
{
	struct fbuf *frame = c->rx.head, *front;
	uint32_t n = tcp_urgent_limit(c, frame->total);

	if (n == 0 && !c->options.oob_inline) {
		consume(c, frame, 1);
		return tcp_hold(c);
	}
	if (n == 0 || n == frame->total) {
		c->copied_seq += frame->total;
		tcp_urgent_passed(c);
		return fbuf_queue_pop(&c->rx);
	}
	front = fbuf_clone_part(frame, c->stack->ip->payload, 0, n);
	if (!front)
		return NULL;
	front->charge = front->total + chunks(front) * TCP_RX_OVERHEAD;
	c->rcv_charge += front->charge;
	consume(c, frame, n);
	return front;
}

struct fbuf *tcp_hold(struct tcp_conn *c)
{
	if (!c->rx.head)
		return NULL;
	if (__builtin_expect(tcp_has(c, TCP_CONN_URG_IN), 0))
		return hold_before_mark(c);
	c->copied_seq += c->rx.head->total;
	return fbuf_queue_pop(&c->rx);
}

/* What is behind the oldest frame's first @parts becomes the next frame. */
static __attribute__((noinline)) void split_oldest(struct tcp_conn *c, unsigned parts)
{
	struct fbuf *frame = c->rx.head, *last = frame, *rest = frame->next, *before = NULL;
	uint32_t charge = frame->charge, pieces = 1, bytes = frame->len;

	for (; pieces < parts && rest; pieces++, rest = rest->next) {
		last = rest;
		bytes += rest->len;
	}
	if (!rest)
		return;
	/* As it is described, of one part first: what was between comes back to it. */
	before = frame->next;
	last->next = NULL;
	frame->next = rest;
	rest = fbuf_cut_front(frame);
	rest->total = rest->total + frame->len - bytes;
	frame->next = before;
	frame->total = bytes;
	frame->charge = FS_MIN(bytes + pieces * TCP_RX_OVERHEAD, charge);
	rest->charge = charge - frame->charge;
	rest->link = frame->link;
	frame->link = rest;
	if (c->rx.tail == frame)
		c->rx.tail = rest;
	c->rx.frames++;
}

struct fbuf *tcp_hold_some(struct tcp_conn *c, unsigned parts)
{
	if (c->rx.head && c->rx.head->next)
		split_oldest(c, parts);
	return tcp_hold(c);
}

void tcp_release(struct tcp_conn *c, const struct ip_env *env, struct fbuf *frame, fs_ns now)
{
	uint32_t n = frame->charge;

	discard(c, frame);
	after_read(c, env, n, now);
}
