/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * send.c - from the user's memory into segments.
 *
 * Bytes are copied once, into the chunk that leaves later, and summed in the same pass unless the port
 * completes checksums itself. A write that finds an unsent segment with room goes on there: many small
 * writes behind a closed window leave as few full segments (RFC 9293 3.9.1.2, SHLD-27, SHLD-28).
 *
 * Segments come from the port's pinned pool as long as it holds more than its low water, then from the
 * payload pool, whose chunks are smaller: what is queued must not keep the device from receiving (design
 * hazard 5). A frame may be made of several segments, so the smaller ones cost little on the wire.
 *
 * Not here: when and how segments leave (output.c).
 * Standards: RFC 9293 3.9.1.2, RFC 6093 (urgent pointer), RFC 7413 4.2.1 (data with the SYN).
 */
#include <errno.h>
#include <string.h>

#include "base/counter.h"
#include "base/csum.h"
#include "base/err.h"
#include "ip/ip.h"
#include "tcp/conn.h"
#include "tcp/send_internal.h"
#include "tcp/tcp.h"
#include "tcp/tcp_internal.h"

#define NOINLINE __attribute__((noinline))
#define INLINE	 inline __attribute__((always_inline))

enum {
	SNDBUF_ROUNDS = 2, /* the buffer holds so many windows: one in flight, one that waits for ACKs */
};

/* The next bytes of an iovec. */
struct source {
	const struct iovec *iov; /* borrowed */
	int left;		 /* entries at iov */
	size_t done;		 /* bytes of iov[0] already taken */
};

/* --- accounting --- */

static uint32_t unsent(const struct tcp_conn *c)
{
	return c->snd_end - (tcp_has(c, TCP_CONN_FIN_SENT) ? c->snd_end : c->snd_nxt);
}

/* May another segment be begun behind @segs more that hold @bytes? Linux's limit is soft in the same way: the last
 * one may exceed it. */
static INLINE bool has_room_behind(const struct tcp_conn *c, uint32_t bytes, uint32_t segs)
{
	if (c->snd_charge + bytes + segs * TCP_SEG_OVERHEAD >= c->sndbuf)
		return false;
	return c->options.notsent_lowat == 0 || unsent(c) + bytes < c->options.notsent_lowat;
}

static INLINE bool has_room(const struct tcp_conn *c)
{
	return has_room_behind(c, 0, 0);
}

void tcp_send_space(struct tcp_conn *c, const struct ip_env *env)
{
	uint32_t lowat = c->options.notsent_lowat;

	if (!tcp_has(c, TCP_CONN_NO_SPACE))
		return;
	tcp_send_tune(c);
	/* With a limit on what is not sent the edge comes at half of it (as Linux), so that a writer has something to
	 * do when it wakes. */
	if (!tcp_is_writable(c) || (lowat != 0 && unsent(c) >= (lowat + 1) / 2))
		return;
	c->flags &= ~(uint32_t)TCP_CONN_NO_SPACE;
	tcp_tell(c, env, TCP_READY_OUT);
}

void tcp_send_tune(struct tcp_conn *c)
{
	const struct tcp_config *config = &c->stack->config;
	uint64_t segments, want;

	if (c->options.sndbuf)
		return;
	segments = FS_MAX(FS_MAX(config->initial_cwnd, c->cc.cwnd), c->reordering + 1U);
	want = SNDBUF_ROUNDS * segments * ((uint64_t)c->mss + TCP_SEG_OVERHEAD);
	if (want > c->sndbuf)
		c->sndbuf = (uint32_t)FS_MAX(FS_MIN(want, (uint64_t)config->sndbuf[2]), (uint64_t)c->sndbuf);
}

static void charge(struct tcp_conn *c, struct fbuf *f, uint32_t bytes)
{
	f->charge += bytes;
	c->snd_charge += bytes;
}

static void uncharge(struct tcp_conn *c, struct fbuf *f, uint32_t bytes)
{
	f->charge -= bytes;
	c->snd_charge -= bytes;
}

/* --- segments --- */

/* The port's view of where segments are to come from. The route may be unknown for now: then payload pool. */
static struct ip_port *port_of(const struct tcp_conn *c)
{
	return c->dst && c->dst->way == IP_DST_FAST ? &c->stack->ip->port[c->dst->port] : NULL;
}

/* Does a chunk of the pool for segments hold a whole one? */
static bool fits_segments(const struct tcp_conn *c)
{
	const struct fbuf_pool *pool = c->stack->segments;

	return pool && pool->n_free > 0 && c->mss <= pool->chunk_size - IP_TX_HEADROOM;
}

/*
 * @pool, the pinned one, is at its low water. Small chunks make small segments, so they come after others. Where
 * nothing is queued no ACK would give back any, and a program that waits for room would not read what fills the pools: the
 * first segment goes below the low water, as that of a connection that reads does (tcp_rx_settle()), and further. Linux
 * forces memory for it in the same place (tcp_stream_alloc_skb()).
 */
static NOINLINE struct fbuf *chunk_scarce(struct tcp_conn *c, struct fbuf_pool *pool)
{
	struct fbuf *f = fits_segments(c) ? fbuf_alloc(c->stack->segments) : NULL;

	if (!f)
		f = fbuf_alloc(c->stack->ip->payload);
	if (!f && !c->first && pool && pool->n_free > pool->low_water / 4)
		f = fbuf_alloc(pool);
	return f;
}

/*
 * An empty chunk whose data begin behind the room for headers. NULL = no memory. @bulk: it will be part of a
 * super-frame, which may lie anywhere, where the port has those. Then pinned chunks are left to reception, and half the
 * size leaves twice as many in the caches.
 */
static INLINE struct fbuf *chunk_alloc(struct tcp_conn *c, const struct ip_port *port, bool bulk)
{
	struct fbuf_pool *pool = port ? port->pool : NULL;
	struct fbuf *f = NULL;

	if (pool && pool->n_free > pool->low_water && !(bulk && port->tcp_gso && fits_segments(c)))
		f = fbuf_alloc(pool);
	if (!f)
		f = chunk_scarce(c, pool);
	if (!f) {
		tcp_count(c, FS_CTR_pool_empty);
		return NULL;
	}
	f->data = f->chunk + IP_TX_HEADROOM;
	return f;
}

/* Payload bytes a chunk of @f's pool holds, at most a segment's. */
static INLINE uint32_t seg_limit(const struct tcp_conn *c, const struct fbuf *f)
{
	uint32_t room = f->pool->chunk_size - tcp_seg((struct fbuf *)(uintptr_t)f)->offset;

	return FS_MIN(room, (uint32_t)c->mss);
}

/* Describe @f as an empty segment at @seq. */
static INLINE void seg_init(struct fbuf *f, tcp_seq seq)
{
	struct tcp_seg *s = tcp_seg(f);

	s->prev = s->next = NULL;
	s->sent_at = 0;
	s->seq = seq;
	s->len = 0;
	s->offset = IP_TX_HEADROOM;
	s->sum = 0;
	s->marks = 0;
	s->retransmits = 0;
}

/* Put @f behind @at, NULL = as the first. */
static INLINE void list_put(struct tcp_conn *c, struct fbuf *f, struct fbuf *at)
{
	struct fbuf *next = at ? tcp_seg(at)->next : c->first;

	tcp_seg(f)->prev = at;
	tcp_seg(f)->next = next;
	*(at ? &tcp_seg(at)->next : &c->first) = f;
	*(next ? &tcp_seg(next)->prev : &c->last) = f;
	c->n_segs++;
}

/* @f becomes an empty segment at the end. Its sum is taken with its bytes where a frame will need it: not in a
 * super-frame (@bulk). What of those leaves alone after all is summed then. */
static INLINE void seg_put(struct tcp_conn *c, const struct ip_port *port, struct fbuf *f, bool bulk)
{
	seg_init(f, c->snd_end);
	if (!port || !(port->tx_csum_partial || (bulk && port->tcp_gso)))
		tcp_seg(f)->marks = TCP_SEG_SUMMED;
	charge(c, f, TCP_SEG_OVERHEAD);
	list_put(c, f, c->last);
	if (!c->send_next)
		c->send_next = f;
}

/* A new segment at the end. NULL = no memory. @bulk as for chunk_alloc(). */
static INLINE struct fbuf *seg_begin(struct tcp_conn *c, const struct ip_port *port, bool bulk)
{
	struct fbuf *f = chunk_alloc(c, port, bulk);

	if (f)
		seg_put(c, port, f, bulk);
	return f;
}

/* @len bytes at @from behind what @f holds. */
static INLINE void seg_append(const struct ip_env *env, struct fbuf *f, const void *from, uint32_t len)
{
	struct tcp_seg *s = tcp_seg(f);
	uint8_t *to = f->chunk + s->offset + s->len;

	if (s->marks & TCP_SEG_SUMMED)
		s->sum = csum_fold(csum_combine(s->sum, csum_copy(env->csum, to, from, len), s->len));
	else
		memcpy(to, from, len);
	s->len = (uint16_t)(s->len + len);
	f->len = f->total = s->len;
}

/* Fill up to @len bytes of @s into @f; returns bytes taken. */
static uint32_t fill(const struct ip_env *env, struct fbuf *f, struct source *s, uint32_t len)
{
	uint32_t done = 0;

	while (done < len && s->left > 0) {
		uint32_t here = (uint32_t)FS_MIN(s->iov->iov_len - s->done, (size_t)(len - done));

		if (here > 0)
			seg_append(env, f, (const uint8_t *)s->iov->iov_base + s->done, here);
		done += here;
		s->done += here;
		if (s->done == s->iov->iov_len) {
			s->iov++;
			s->left--;
			s->done = 0;
		}
	}
	return done;
}

static bool source_is_empty(struct source *s)
{
	while (s->left > 0 && s->done == s->iov->iov_len) {
		s->iov++;
		s->left--;
		s->done = 0;
	}
	return s->left <= 0;
}

/* A shorter MSS may have left longer ones behind: no room then. */
static uint32_t seg_room(const struct tcp_conn *c, const struct fbuf *f)
{
	uint32_t limit = seg_limit(c, f), len = tcp_seg((struct fbuf *)(uintptr_t)f)->len;

	return limit > len ? limit - len : 0;
}

/*
 * Bytes of @s into unsent segments. Returns how many; fewer when the buffer is full (-EAGAIN if nothing fit) or
 * memory ran out (-ENOMEM if nothing is queued that would free some).
 */
static NOINLINE ssize_t queue_many(struct tcp_conn *c, const struct ip_env *env, struct source *s)
{
	struct ip_port *port = port_of(c);
	size_t done = 0;

	while (!source_is_empty(s)) {
		struct fbuf *f = c->send_next ? c->last : NULL;
		uint32_t room = f ? seg_room(c, f) : 0, took;

		if (room == 0) {
			if (!has_room(c))
				return done ? (ssize_t)done : -EAGAIN;
			f = seg_begin(c, port, true);
			if (!f)
				return done ? (ssize_t)done : c->first ? -EAGAIN : -ENOMEM;
			room = seg_room(c, f);
		}
		/* Pushes of writes that share a segment become the last one's (SHLD-27). */
		tcp_seg(f)->marks &= (uint8_t)~TCP_SEG_PUSH;
		took = fill(env, f, s, room);
		charge(c, f, took);
		c->snd_end += took;
		done += took;
	}
	return (ssize_t)done;
}

/* The same for what nearly every request and answer is: one piece of memory for one new segment. */
static INLINE ssize_t queue_one(struct tcp_conn *c, const struct ip_env *env, struct source *s)
{
	struct ip_port *port = port_of(c);
	size_t len = s->iov->iov_len;
	struct fbuf *f;

	f = seg_begin(c, port, false);
	if (!f)
		return c->first ? -EAGAIN : -ENOMEM;
	if (len > seg_limit(c, f)) {
		/* The payload pool's: go on with it there. */
		uint32_t took = fill(env, f, s, seg_limit(c, f));
		ssize_t more;

		charge(c, f, took);
		c->snd_end += took;
		more = queue_many(c, env, s);
		return more < 0 ? (ssize_t)took : (ssize_t)took + more;
	}
	seg_append(env, f, s->iov->iov_base, (uint32_t)len);
	charge(c, f, (uint32_t)len);
	c->snd_end += (uint32_t)len;
	s->left = 0;
	return (ssize_t)len;
}

/*
 * A chunk for @rest bytes cut off @seg: from where that came, above low water; otherwise the payload pool's. A lower
 * MSS makes many segments of one, and must not take the chunks that ACKs come in by (design hazard 5).
 */
static struct fbuf *alloc_rest(struct tcp_conn *c, const struct fbuf *seg, uint32_t rest)
{
	struct fbuf_pool *payload = c->stack->ip->payload;
	/* What is to be acked next may go further: until it is, nothing is given back. */
	uint32_t keep = seg == c->first ? seg->pool->low_water / 2 : seg->pool->low_water;

	if (seg->pool->n_free > keep)
		return fbuf_alloc(seg->pool);
	return rest <= payload->chunk_size - IP_TX_HEADROOM ? fbuf_alloc(payload) : NULL;
}

int tcp_seg_split(struct tcp_conn *c, struct fbuf *seg, uint32_t len)
{
	struct tcp_seg *s = tcp_seg(seg), *r;
	uint32_t rest = s->len - len;
	struct fbuf *f = alloc_rest(c, seg, rest);

	fs_assert(len > 0 && len < s->len);
	if (!f) {
		tcp_count(c, FS_CTR_pool_empty);
		return -ENOBUFS;
	}
	f->data = f->chunk + IP_TX_HEADROOM;
	r = tcp_seg(f);
	*r = *s;
	r->seq = s->seq + len;
	r->len = (uint16_t)rest;
	r->offset = IP_TX_HEADROOM;
	memcpy(f->data, seg->chunk + s->offset + len, rest);
	f->len = f->total = rest;
	s->len = (uint16_t)len;
	s->marks &= (uint8_t)~TCP_SEG_PUSH;
	/* Sums of the halves are taken when they leave: splitting is rare. */
	s->marks &= (uint8_t)~TCP_SEG_SUMMED;
	r->marks &= (uint8_t)~TCP_SEG_SUMMED;
	if (!fbuf_is_shared(seg))
		seg->len = seg->total = len;
	uncharge(c, seg, rest);
	charge(c, f, rest + TCP_SEG_OVERHEAD);
	if (!tcp_is_writable(c)) /* it may have been until now: whoever polls is to hear when it is again */
		c->flags |= TCP_CONN_NO_SPACE;
	list_put(c, f, seg);
	if (s->sent_at != 0) {
		c->packets_out++;
		c->sacked_out += (s->marks & TCP_SEG_SACKED) != 0;
		c->lost_out += (s->marks & TCP_SEG_LOST) != 0;
		c->retrans_out += (s->marks & TCP_SEG_RETRANS) != 0;
	}
	return 0;
}

void tcp_seg_trim_front(struct tcp_conn *c, struct fbuf *seg, uint32_t n)
{
	struct tcp_seg *s = tcp_seg(seg);

	fs_assert(n < s->len);
	s->seq += n;
	s->offset = (uint16_t)(s->offset + n);
	s->len = (uint16_t)(s->len - n);
	s->marks &= (uint8_t)~TCP_SEG_SUMMED;
	uncharge(c, seg, n);
}

void tcp_seg_pop(struct tcp_conn *c)
{
	struct fbuf *f = c->first;
	struct fbuf *next = tcp_seg(f)->next;

	c->first = next;
	*(next ? &tcp_seg(next)->prev : &c->last) = NULL;
	if (c->send_next == f)
		c->send_next = next;
	c->n_segs--;
	uncharge(c, f, f->charge);
	fbuf_free_part(f);
}

void tcp_send_purge(struct tcp_conn *c)
{
	while (c->first)
		tcp_seg_pop(c);
	c->send_next = NULL;
	tcp_loss_purge(c);
}

int tcp_send_restore(struct tcp_conn *c, const void *from, uint32_t len, fs_ns now)
{
	const uint8_t *bytes = from;
	uint32_t done = 0;

	while (done < len) {
		bool was_sent = seq_lt(c->snd_end, c->snd_nxt);
		uint32_t here = len - done;
		struct fbuf *f = seg_begin(c, port_of(c), true);

		if (!f)
			return done ? (int)done : -ENOMEM;
		here = FS_MIN(here, seg_limit(c, f));
		if (was_sent)
			here = FS_MIN(here, c->snd_nxt - c->snd_end);
		memcpy(f->data, bytes + done, here);
		tcp_seg(f)->len = (uint16_t)here;
		tcp_seg(f)->marks = TCP_SEG_PUSH;
		charge(c, f, here);
		c->snd_end += here;
		done += here;
		if (was_sent) {
			tcp_rate_sent(c, f, now);
			tcp_seg(f)->sent_at = now;
			tcp_seg(f)->marks |= TCP_SEG_EVER_RETRANS; /* when it was sent is not known: no sample */
			c->packets_out++;
			c->send_next = NULL;
		}
	}
	return (int)done;
}

/* --- the call --- */

/* Fast Open waits for data before its SYN goes (tcp_connect()). */
static bool syn_waits_for_data(const struct tcp_conn *c)
{
	return c->state == TCP_SYN_SENT && c->snd_nxt == c->iss;
}

/* Why nothing can be sent: -errno, 0 = it can after all. */
static NOINLINE int refuse(struct tcp_conn *c)
{
	if (c->error)
		return -tcp_take_error(c);
	if (tcp_has(c, TCP_CONN_FIN_QUEUED))
		return -EPIPE;
	switch (c->state) {
	case TCP_ESTABLISHED:
	case TCP_CLOSE_WAIT:
		break;
	case TCP_SYN_SENT:
		if (syn_waits_for_data(c))
			return 0;
		c->flags |= TCP_CONN_NO_SPACE;
		return -EAGAIN;
	case TCP_SYN_RECEIVED:
		/* A Fast Open child may answer before its peer's ACK (RFC 7413 4.2.2). */
		if (tcp_has(c, TCP_CONN_TFO_CHILD))
			return 0;
		c->flags |= TCP_CONN_NO_SPACE;
		return -EAGAIN;
	default:
		return -EPIPE;
	}
	if (tcp_has(c, TCP_CONN_FROZEN))
		return -EAGAIN;
	return 0;
}

/* The same, nearly free for a connection that is well. */
static INLINE int may_send(struct tcp_conn *c)
{
	if (__builtin_expect((c->state != TCP_ESTABLISHED && c->state != TCP_CLOSE_WAIT) || c->error ||
				     tcp_has(c, TCP_CONN_FIN_QUEUED | TCP_CONN_FROZEN),
			     0))
		return refuse(c);
	return 0;
}

/* RFC 6093 with Linux's and BSD's view: the last byte is urgent, the pointer says what follows it (MUST-62). */
static void mark_urgent(struct tcp_conn *c)
{
	c->snd_up = c->snd_end;
	c->flags |= TCP_CONN_URG_OUT;
}

/* Bytes were queued: what may leave does. @hold: more of them come at once. */
static INLINE void leave(struct tcp_conn *c, const struct ip_env *env, bool hold, uint32_t flags, fs_ns now)
{
	c->flags &= ~(uint32_t)TCP_CONN_PUSH_ALL;
	tcp_chrono_start(c, TCP_CHRONO_BUSY, now);
	if (!hold)
		tcp_seg(c->last)->marks |= TCP_SEG_PUSH;
	if (flags & TCP_SEND_OOB)
		mark_urgent(c);
	if (__builtin_expect(c->state == TCP_SYN_SENT, 0))
		tcp_send_syn(c, env, now);
	else
		tcp_output_hold(c, env, hold, now);
	/* Whoever polls learns of the next edge though no call was refused. */
	if (!tcp_is_writable(c)) {
		c->flags |= TCP_CONN_NO_SPACE;
		if (!c->send_next)
			tcp_chrono_start(c, TCP_CHRONO_SNDBUF, now);
	}
}

ssize_t tcp_send_any(struct tcp_conn *c, const struct ip_env *env, const struct iovec *iov, int n, uint32_t flags,
		     fs_ns now)
{
	struct source s = { .iov = iov, .left = n };
	bool hold = flags & TCP_SEND_MORE;
	ssize_t done;

	done = may_send(c);
	if (done < 0)
		return done;
	tcp_rate_check_app_limited(c);
	if (n == 1 && !c->send_next && iov->iov_len - 1 < c->mss && has_room(c))
		done = queue_one(c, env, &s);
	else
		done = queue_many(c, env, &s);
	if (done <= 0) {
		if (done < 0)
			c->flags |= TCP_CONN_NO_SPACE;
		return done;
	}
	/* Whoever is told to wait has nothing more to give for now: what is there is pushed (as Linux). */
	if (!source_is_empty(&s))
		hold = false;
	leave(c, env, hold, flags, now);
	return done;
}

/* --- bytes that others put into segments --- */

static void reserve_part(struct tcp_reservation *r, struct fbuf *f, uint32_t len)
{
	const struct tcp_seg *s = tcp_seg(f);

	r->iov[r->n].iov_base = f->chunk + s->offset + s->len;
	r->iov[r->n].iov_len = len;
	r->seg[r->n++] = f;
}

int tcp_reserve(struct tcp_conn *c, struct tcp_reservation *r, size_t len)
{
	const struct ip_port *port = port_of(c);
	struct fbuf *f = c->send_next ? c->last : NULL;
	uint32_t room, bytes = 0;
	int ret = may_send(c);

	r->n = 0;
	r->first = 0;
	if (ret < 0)
		return ret;
	room = f ? (uint32_t)FS_MIN(len, (size_t)seg_room(c, f)) : 0;
	if (room > 0) {
		reserve_part(r, f, room);
		r->first = 1;
		bytes = room;
	}
	while (bytes < len && r->n < TCP_RESERVE_MAX && has_room_behind(c, bytes, r->n - r->first)) {
		f = chunk_alloc(c, port, true);
		if (!f)
			break;
		seg_init(f, 0);
		room = (uint32_t)FS_MIN(len - bytes, (size_t)seg_limit(c, f));
		reserve_part(r, f, room);
		bytes += room;
	}
	if (r->n > 0)
		return 0;
	c->flags |= TCP_CONN_NO_SPACE;
	return has_room(c) && !c->first ? -ENOMEM : -EAGAIN;
}

/* @len bytes lie behind what @f holds: they are its own from here on. */
static void seg_extend(struct tcp_conn *c, const struct ip_env *env, struct fbuf *f, uint32_t len)
{
	struct tcp_seg *s = tcp_seg(f);

	if (s->marks & TCP_SEG_SUMMED)
		s->sum = csum_fold(csum_combine(s->sum, env->csum->sum(f->chunk + s->offset + s->len, len), s->len));
	s->marks &= (uint8_t)~TCP_SEG_PUSH;
	s->len = (uint16_t)(s->len + len);
	f->len = f->total = s->len;
	charge(c, f, len);
	c->snd_end += len;
}

void tcp_commit(struct tcp_conn *c, const struct ip_env *env, struct tcp_reservation *r, size_t len, uint32_t flags,
		fs_ns now)
{
	const struct ip_port *port = port_of(c);
	size_t left = len;

	if (len > 0)
		tcp_rate_check_app_limited(c);
	for (unsigned i = 0; i < r->n; i++) {
		uint32_t here = (uint32_t)FS_MIN(left, r->iov[i].iov_len);

		if (i >= r->first) {
			if (here == 0) {
				fbuf_free_part(r->seg[i]);
				continue;
			}
			seg_put(c, port, r->seg[i], true);
		}
		if (here > 0)
			seg_extend(c, env, r->seg[i], here);
		left -= here;
	}
	r->n = 0;
	/* In SYN-SENT what lies there leaves when the handshake is over. */
	if (len > 0 || (c->send_next && !(flags & TCP_SEND_MORE) && c->state != TCP_SYN_SENT))
		leave(c, env, (flags & TCP_SEND_MORE) && has_room(c), flags, now);
}
