/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * output.c - what leaves, and when: retransmissions, new data, FIN, and the ACK that is owed if nothing carried it.
 *
 * New data wait for the congestion window, the peer's window, Nagle or a cork, pacing, and for local reasons: no
 * destination, frame or room in the port's queue. What waits for local reasons is tried again by TCP_TIMER_PACE;
 * everything else comes back with an ACK, a call, or the probe of a closed window (timer.c). Nothing is lost here.
 *
 * Not here: what goes into one frame (superframe.c), the frames themselves (frame.c), which segments count as lost
 * (loss.c).
 * Standards: RFC 9293 3.8.6.2.1 (silly windows), 3.8.6 (shrunken
 * windows), RFC 5681 4.1 (restart after idling), RFC 3168 6.1.2 (CWR).
 */
#include "base/counter.h"
#include "base/err.h"
#include "tcp/output_internal.h"

#define NOINLINE __attribute__((noinline))
#define INLINE	 inline __attribute__((always_inline))

enum {
	BLOCKED_FIRST_MS = 1, /* until what could not leave for local reasons is tried again; doubled each time */
	BLOCKED_DOUBLINGS = 9,
	PACE_SHIFT = 10,      /* a paced burst is what the rate allows in 2^-10 s, at least two segments */
	PACE_SEGMENTS = 2,

	/* States with a send side that may have data, or a FIN, to send or to send again. */
	SENDING = 1 << TCP_ESTABLISHED | 1 << TCP_CLOSE_WAIT | 1 << TCP_FIN_WAIT1 | 1 << TCP_CLOSING |
		  1 << TCP_LAST_ACK,
};

/* --- the way out --- */

/* The destination is not there yet, or not fit to build frames with. */
static NOINLINE struct ip_dst *resolve(struct tcp_conn *c, const struct ip_env *env)
{
	struct ip_stack *ip = c->stack->ip;
	struct ip_dst *dst = c->dst;

	if (dst && dst->stale) {
		ip_dst_put(ip, dst);
		dst = c->dst = NULL;
	}
	if (!dst) {
		dst = env->tcp_ops->resolve(env->context, &c->end.remote, &c->end.local, c->options.choice);
		/* The address is the connection's for life (RFC 9293 3.9.1.1, MUST-45). */
		if (!dst && env->no_route)
			c->soft_error = env->no_route;
		if (!dst || !ip_addr_equal(&dst->local, &c->end.local))
			return NULL;
		ip_dst_get(ip, dst);
		c->dst = dst;
		if (c->path_mtu == 0 || c->mtu_lowered_s == 0 || dst->mtu < c->path_mtu) {
			c->path_mtu = (uint16_t)FS_MIN(dst->mtu, (uint32_t)UINT16_MAX);
			tcp_update_mss(c);
		}
	}
	return ip_dst_ready(ip, dst) ? dst : NULL;
}

struct ip_dst *tcp_dst(struct tcp_conn *c, const struct ip_env *env)
{
	struct ip_dst *dst = c->dst;

	if (__builtin_expect(dst && !dst->stale && ip_dst_ready(c->stack->ip, dst), 1))
		return dst;
	return resolve(c, env);
}

static INLINE bool port_has_room(const struct tcp_conn *c, const struct ip_dst *dst)
{
	return c->stack->ip->port[dst->port].out.frames < IP_OUT_LIMIT;
}

/* The destination, if a frame may be queued for it now. */
static INLINE struct ip_dst *way(struct tcp_conn *c, const struct ip_env *env)
{
	struct ip_dst *dst = tcp_dst(c, env);

	return dst && port_has_room(c, dst) ? dst : NULL;
}

void tcp_blocked(struct tcp_conn *c, fs_ns now)
{
	tcp_count(c, FS_CTR_tcp_blocked);
	c->flags |= TCP_CONN_DST_BLOCKED;
	tcp_timer_set(c, TCP_TIMER_PACE,
		      now + (FS_MS(BLOCKED_FIRST_MS) << FS_MIN(c->blocked, (uint8_t)BLOCKED_DOUBLINGS)));
	if (c->blocked < UINT8_MAX)
		c->blocked++;
}

static INLINE void left(struct tcp_conn *c)
{
	if (__builtin_expect(tcp_has(c, TCP_CONN_DST_BLOCKED), 0)) {
		c->flags &= ~(uint32_t)TCP_CONN_DST_BLOCKED;
		c->blocked = 0;
	}
}

void tcp_update_mss(struct tcp_conn *c)
{
	bool is_v6 = tcp_has(c, TCP_CONN_V6);
	uint32_t headers = is_v6 ? TCP_HEADERS_V6 : TCP_HEADERS_V4;
	uint32_t least = TCP_MSS_LEAST, mss, room;
	const struct fbuf_pool *pool = c->stack->ip->payload;

	mss = c->path_mtu > headers + least ? c->path_mtu - headers : least;
	mss = FS_MIN(mss, (uint32_t)(c->peer_mss ? c->peer_mss : is_v6 ? TCP_MSS_DEFAULT_V6 : TCP_MSS_DEFAULT_V4));
	if (c->options.mss)
		mss = FS_MIN(mss, (uint32_t)c->options.mss);
	mss = FS_MAX(mss, least);
	/* MUST-16: options come off. Those that are not on every segment travel without payload. */
	if (tcp_has(c, TCP_CONN_TS))
		mss -= TCP_TS_LAYOUT_LEN;
	c->mss = (uint16_t)mss;
	if (c->dst && c->dst->way == IP_DST_FAST && c->stack->ip->port[c->dst->port].pool)
		pool = c->stack->ip->port[c->dst->port].pool;
	room = pool->chunk_size - IP_TX_HEADROOM;
	c->cc.mss = FS_MIN(mss, room);
	tcp_plain_update(c);
}

/* --- pacing --- */

static INLINE uint64_t pacing_rate(const struct tcp_conn *c)
{
	uint64_t rate = c->cc.pacing_rate, max = c->options.max_pacing_rate;

	if (__builtin_expect(max != 0, 0))
		return rate == 0 || rate > max ? max : rate;
	return rate;
}

/* Bytes that may leave now; 0: not yet, the timer will tell. Without pacing there is no end. */
static NOINLINE uint32_t pacing_quantum(struct tcp_conn *c, uint64_t rate, fs_ns now)
{
	uint64_t quantum = rate >> PACE_SHIFT;

	if (c->pace_at > now) {
		tcp_timer_set(c, TCP_TIMER_PACE, c->pace_at);
		return 0;
	}
	quantum = FS_MIN(FS_MAX(quantum, PACE_SEGMENTS * (uint64_t)c->mss), (uint64_t)UINT16_MAX);
	/* What is left of a super-frame would leave as a frame of its own. */
	return (uint32_t)(quantum > c->mss ? quantum - quantum % c->mss : quantum);
}

static INLINE uint32_t pacing_budget(struct tcp_conn *c, fs_ns now)
{
	uint64_t rate = pacing_rate(c);

	return __builtin_expect(rate == 0, 1) ? UINT32_MAX : pacing_quantum(c, rate, now);
}

/* @bytes left in a burst. A timer that was late gives back up to half of the time it takes. */
static NOINLINE void pace(struct tcp_conn *c, uint32_t bytes, fs_ns now)
{
	fs_ns takes = (fs_ns)((uint64_t)bytes * (uint64_t)FS_SEC(1) / pacing_rate(c));

	if (c->pace_at > 0 && c->pace_at < now)
		takes -= FS_MIN(takes / 2, now - c->pace_at);
	c->pace_at = now + takes;
}

/* --- retransmission --- */

/*
 * May @seg, which is sent again, go as it is? Beyond a window that shrank only the first one may, which serves as
 * the probe of it (RFC 9293 3.8.6, SHLD-16); what is longer than the window or the MSS now is split. -ENOBUFS, or
 * 0 = yes, 1 = not now.
 */
static int fit_again(struct tcp_conn *c, struct fbuf *seg)
{
	struct tcp_seg *s = tcp_seg(seg);
	int32_t window = tcp_window_from(c, s->seq);
	uint32_t most = c->mss;

	if (window <= 0 && s->seq != c->snd_una)
		return 1;
	if (window > 0)
		most = FS_MIN(most, (uint32_t)window);
	return s->len > most ? tcp_seg_split(c, seg, most) : 0;
}

/* Does @seg follow in the same frame of a retransmission? */
static bool joins_again(const struct tcp_conn *c, struct fbuf *seg, const struct tcp_run *run, uint32_t room,
			uint32_t parts)
{
	const struct tcp_seg *s;

	if (!seg || seg == c->send_next || run->n >= room || run->n >= parts)
		return false;
	s = tcp_seg(seg);
	return (s->marks & (TCP_SEG_LOST | TCP_SEG_RETRANS | TCP_SEG_SACKED)) == TCP_SEG_LOST &&
	       run->len + s->len <= c->mss && tcp_window_from(c, s->seq + s->len) >= 0;
}

static uint16_t seg_flags(const struct tcp_conn *c, struct fbuf *seg)
{
	const struct tcp_seg *s = tcp_seg(seg);
	uint16_t flags = s->marks & TCP_SEG_PUSH ? TCP_PSH : 0;

	/* Our FIN goes again with what is before it. */
	if (!s->next && tcp_has(c, TCP_CONN_FIN_SENT))
		flags |= TCP_FIN;
	return flags;
}

/* What a transmission of @run means for its segments. */
static void count_again(struct tcp_conn *c, const struct tcp_run *run, fs_ns now)
{
	struct fbuf *f = run->first;

	for (uint32_t i = 0; i < run->n; i++, f = tcp_seg(f)->next) {
		tcp_rate_sent(c, f, now);
		tcp_mark_retransmitted(c, f, now);
		tcp_seg(f)->sent_at = now;
		tcp_count(c, FS_CTR_tcp_retransmitted);
	}
	c->bytes_retrans += run->len;
	if (run->flags & TCP_FIN)
		c->flags &= ~(uint32_t)TCP_CONN_FIN_LOST;
}

enum sent {
	SENT_ALL,     /* nothing is left that might go */
	SENT_LIMITED, /* what is left waits for the congestion window */
	SENT_HELD,    /* or for something else that comes with an ACK, a call or a timer */
	SENT_BLOCKED, /* or for local reasons */
};

/* Lost segments again, as many as the congestion window lets go. */
static NOINLINE enum sent send_again(struct tcp_conn *c, const struct ip_env *env, struct ip_dst *dst, fs_ns now)
{
	uint32_t budget = pacing_budget(c, now), done = 0;
	enum sent end = SENT_ALL;
	struct fbuf *seg;

	while ((seg = tcp_loss_next(c, NULL)) != NULL) {
		struct tcp_run run = { .first = seg, .again = true };
		uint32_t room = tcp_cwnd_room(c);
		int fit;

		end = room == 0 ? SENT_LIMITED : done >= budget ? SENT_HELD : port_has_room(c, dst) ? SENT_ALL
												    : SENT_BLOCKED;
		if (end != SENT_ALL)
			break;
		fit = fit_again(c, seg);
		if (fit != 0) {
			end = fit < 0 ? SENT_BLOCKED : SENT_HELD;
			break;
		}
		do {
			run.n++;
			run.len += tcp_seg(seg)->len;
			run.flags |= seg_flags(c, seg);
			seg = tcp_seg(seg)->next;
		} while (joins_again(c, seg, &run, room, tcp_parts_of(c, dst)));
		if (!tcp_frame_data(c, env, dst, &run, now)) {
			end = SENT_BLOCKED;
			break;
		}
		count_again(c, &run, now);
		if (run.first == c->first)
			tcp_rto_arm(c, now);
		done += run.len;
	}
	if (done > 0 && budget != UINT32_MAX)
		pace(c, done, now);
	if (done > 0)
		left(c);
	return end;
}

/* --- new data --- */

/*
 * The window ends within the next segment. Silly windows are not filled (RFC 9293 3.8.6.2.1, MUST-38), but one which
 * is large for this peer is: rule (3). Otherwise it waits, at last for the probe that overrides (rule 4).
 */
static NOINLINE enum sent cut_to_window(struct tcp_conn *c, struct fbuf *seg, int32_t window)
{
	if (window <= 0 || (uint32_t)window < c->max_wnd / 2)
		return SENT_HELD;
	return tcp_seg_split(c, seg, (uint32_t)window) < 0 ? SENT_BLOCKED : SENT_ALL;
}

/* RFC 5681 4.1: after a pause the window says nothing about the path any more: halved per RTO, down to the initial
 * window, as Linux does (it follows RFC 2861 in that). */
static NOINLINE void restart_after_idle(struct tcp_conn *c, fs_ns now)
{
	const struct tcp_cc_ops *ops = tcp_cc_at(c->cc.algorithm);
	fs_ns idle = now - c->last_sent_at, rto = FS_US(c->rtt.rto_us);
	uint32_t restart = tcp_cc_initial_window(c->stack->config.initial_cwnd, c->cc.mss);
	uint32_t cwnd = c->cc.cwnd;

	if (ops->owns_window || !c->stack->config.slow_start_after_idle || idle <= rto)
		return;
	if (ops->event)
		ops->event(&c->cc, TCP_CC_CWND_RESTART, now);
	c->cc.ssthresh = FS_MAX(c->cc.ssthresh, cwnd / 4 * 3);
	restart = FS_MIN(restart, cwnd);
	while ((idle -= rto) > 0 && cwnd > restart)
		cwnd /= 2;
	c->cc.cwnd = FS_MAX(cwnd, restart);
	c->cc.cwnd_count = 0;
}

/* The first data after nothing was in flight. */
static INLINE void begin_flight(struct tcp_conn *c, fs_ns now)
{
	const struct tcp_cc_ops *ops = tcp_cc_at(c->cc.algorithm);

	if (__builtin_expect(now - c->last_sent_at > FS_US(c->rtt.rto_us) && c->last_sent_at != 0, 0))
		restart_after_idle(c, now);
	if (ops->event)
		ops->event(&c->cc, TCP_CC_TX_START, now);
}

/* @run left for the first time. */
static INLINE void count_new(struct tcp_conn *c, const struct tcp_run *run, fs_ns now)
{
	struct fbuf *f = run->first;
	uint32_t n = run->n;

	do {
		tcp_rate_sent(c, f, now);
		tcp_seg(f)->sent_at = now;
		c->packets_out++;
		if (!tcp_seg_is_full(c, f))
			c->last_partial = tcp_seg_end(f);
		f = tcp_seg(f)->next;
	} while (--n > 0);
	c->send_next = f;
	c->snd_nxt += run->len;
	c->last_sent_at = now;
	c->stack->ip->counters[FS_CTR_tcp_bytes_out] += run->len;
	if (__builtin_expect(run->flags & (TCP_FIN | TCP_CWR), 0)) {
		if (run->flags & TCP_FIN) {
			c->flags |= TCP_CONN_FIN_SENT;
			c->snd_nxt++;
		}
		if (run->flags & TCP_CWR)
			c->flags &= ~(uint32_t)TCP_CONN_CWR_PENDING;
	}
}

/* The rarer ones of these; @last: of @run. */
static NOINLINE uint16_t rare_flags(const struct tcp_conn *c, const struct tcp_run *run, struct fbuf *last,
				    int32_t window)
{
	uint16_t flags = 0;

	if (!tcp_seg(last)->next && tcp_has(c, TCP_CONN_FIN_QUEUED | TCP_CONN_PUSH_ALL)) {
		/* MUST-61: what was held back for more to come empties the queue now, and no more will. */
		tcp_seg(last)->marks |= TCP_SEG_PUSH;
		if (tcp_has(c, TCP_CONN_FIN_QUEUED) && window > (int32_t)run->len)
			flags |= TCP_FIN;
	}
	if (tcp_has(c, TCP_CONN_CWR_PENDING) && tcp_has(c, TCP_CONN_ECN))
		flags |= TCP_CWR;
	return flags;
}

/* Control bits that depend on where in the stream @run ends. */
static INLINE uint16_t new_flags(const struct tcp_conn *c, const struct tcp_run *run, int32_t window)
{
	struct fbuf *last = run->first;
	uint16_t flags = 0;

	for (uint32_t n = run->n; n > 1; n--) {
		flags |= tcp_seg(last)->marks & TCP_SEG_PUSH ? TCP_PSH : 0;
		last = tcp_seg(last)->next;
	}
	if (__builtin_expect(tcp_has(c, TCP_CONN_FIN_QUEUED | TCP_CONN_PUSH_ALL | TCP_CONN_CWR_PENDING), 0))
		flags |= rare_flags(c, run, last, window);
	return flags | (tcp_seg(last)->marks & TCP_SEG_PUSH ? TCP_PSH : 0);
}

/*
 * New data while all windows allow. @budget: bytes that pacing lets go; @room: segments of the congestion window.
 * Anything but SENT_BLOCKED comes back by itself.
 */
static INLINE enum sent send_new(struct tcp_conn *c, const struct ip_env *env, struct ip_dst *dst, uint32_t room,
				 uint32_t budget, bool hold, fs_ns now)
{
	enum sent end = SENT_ALL;
	struct fbuf *seg, *behind;

	while ((seg = c->send_next) != NULL) {
		struct tcp_run run = { .first = seg, .n = 1, .len = tcp_seg(seg)->len };
		int32_t window = tcp_window_from(c, c->snd_nxt);

		if (room == 0)
			return SENT_LIMITED;
		if (budget == 0)
			return SENT_HELD;
		if (__builtin_expect(run.len > c->mss, 0)) {
			if (tcp_seg_split(c, seg, c->mss) < 0)
				return SENT_BLOCKED;
			continue;
		}
		if (__builtin_expect((int32_t)run.len > window, 0)) {
			end = cut_to_window(c, seg, window);
			if (end != SENT_ALL)
				return end;
			continue;
		}
		if (tcp_is_held_back(c, seg, hold))
			return SENT_HELD;
		if (!port_has_room(c, dst))
			return SENT_BLOCKED;
		if (c->packets_out == 0) {
			begin_flight(c, now);
			room = FS_MIN(room, c->cc.cwnd);
		}
		behind = tcp_seg(seg)->next;
		if (behind) {
			behind = tcp_run_gather(c, dst, &run, FS_MIN((uint32_t)window, budget), room, hold);
			if (behind && c->stack->ip->port[dst->port].tcp_gso &&
			    tcp_run_waits_for_window(c, dst, &run, room, behind))
				return run.n >= room ? SENT_LIMITED : SENT_HELD;
		}
		if (c->packets_out > 0 && !behind && c->stack->ip->port[dst->port].tcp_gso &&
		    tcp_run_waits_for_more(c, dst, &run, now))
			return SENT_HELD;
		run.flags = new_flags(c, &run, window);
		if (!tcp_frame_data(c, env, dst, &run, now))
			return SENT_BLOCKED;
		count_new(c, &run, now);
		room -= run.n;
		if (budget != UINT32_MAX)
			budget -= FS_MIN(budget, run.len);
	}
	return SENT_ALL;
}

/* Timers after data left: the tail loss probe if it applies; else RTO, which runs on if it does (RFC 6298 5.1). */
static INLINE void arm_after_sending(struct tcp_conn *c, fs_ns now)
{
	if (__builtin_expect(c->persist, 0)) {
		c->persist = false;
		c->rtt.backoff = 0;
		tcp_timer_stop(c, TCP_TIMER_RTX);
	}
	if (tcp_tlp_arm(c, now))
		tcp_timer_stop(c, TCP_TIMER_RTX);
	else if (c->due[TCP_TIMER_RTX] == FS_NEVER)
		tcp_rto_arm(c, now);
}

/* New data, with all that is to be done before and after. */
static INLINE enum sent push_new(struct tcp_conn *c, const struct ip_env *env, struct ip_dst *dst, bool hold, fs_ns now)
{
	uint32_t budget = pacing_budget(c, now);
	tcp_seq before = c->snd_nxt;
	enum sent end;

	tcp_age_mtu(c, now);
	end = send_new(c, env, dst, tcp_cwnd_room(c), budget, hold, now);
	if (c->snd_nxt != before) {
		left(c);
		tcp_answered(c, now);
		if (budget != UINT32_MAX)
			pace(c, c->snd_nxt - before, now);
		tcp_cwnd_validate(c, end == SENT_LIMITED);
		arm_after_sending(c, now);
		tcp_chrono_stop(c, TCP_CHRONO_RWND, now);
		if (__builtin_expect(tcp_has(c, TCP_CONN_NO_SPACE), 0)) {
			tcp_send_space(c, env); /* less is not sent now: TCP_NOTSENT_LOWAT */
			if (tcp_has(c, TCP_CONN_NO_SPACE) && end == SENT_ALL)
				tcp_chrono_start(c, TCP_CHRONO_SNDBUF, now);
		}
	}
	return end;
}

/* --- FIN --- */

/* The FIN by itself: nothing is before it that could carry it, or it was lost alone. */
static NOINLINE enum sent send_fin(struct tcp_conn *c, const struct ip_env *env, struct ip_dst *dst, fs_ns now)
{
	bool again = tcp_has(c, TCP_CONN_FIN_SENT);

	if (!again && tcp_window_from(c, c->snd_nxt) <= 0)
		return SENT_HELD;
	if (!port_has_room(c, dst) || !tcp_frame_control(c, env, dst, c->snd_end, TCP_ACK | TCP_FIN, now))
		return SENT_BLOCKED;
	left(c);
	if (again) {
		c->total_retrans++;
		tcp_count(c, FS_CTR_tcp_retransmitted);
	} else {
		c->flags |= TCP_CONN_FIN_SENT;
		c->snd_nxt = c->snd_end + 1;
	}
	c->flags &= ~(uint32_t)TCP_CONN_FIN_LOST;
	c->last_sent_at = now;
	/* RACK's timer may run still for data that are acked by now: it looks after no FIN. */
	if ((c->due[TCP_TIMER_RTX] == FS_NEVER && c->loss_timer != TCP_LOSS_TIMER_TLP) || c->persist)
		tcp_rearm_rtx(c, now);
	return SENT_ALL;
}

/* Is it the FIN's turn? */
static INLINE bool fin_is_due(const struct tcp_conn *c)
{
	if (!tcp_has(c, TCP_CONN_FIN_QUEUED) || c->send_next)
		return false;
	return !tcp_has(c, TCP_CONN_FIN_SENT) || (tcp_has(c, TCP_CONN_FIN_LOST) && !tcp_fin_is_acked(c));
}

/* --- one connection's turn --- */

void tcp_mark_dirty(struct tcp_conn *c)
{
	if (tcp_has(c, TCP_CONN_DIRTY))
		return;
	if (tcp_ack_is_held(c)) {
		list_take(&c->dirty);
		c->ack_flags |= c->ack_flags & TCP_ACK_DELAYED ? TCP_ACK_NOW : 0;
	}
	c->flags |= TCP_CONN_DIRTY;
	list_push_back(&c->stack->dirty, &c->dirty);
}

/* The ACK that is owed and that nothing carried. */
static INLINE void send_owed_ack(struct tcp_conn *c, const struct ip_env *env, fs_ns now)
{
	if (!(c->ack_flags & TCP_ACK_NOW))
		return;
	if (c->ack_flags & TCP_ACK_CHALLENGE)
		tcp_send_challenge(c, env, now);
	else
		tcp_send_ack(c, env, now);
}

/* What waits is sent when its time comes; for a window that is closed, or something else that may never tell, the
 * probe will. */
static NOINLINE void watch_the_rest(struct tcp_conn *c, enum sent end, fs_ns now)
{
	if (end == SENT_BLOCKED)
		tcp_blocked(c, now);
	else if (end == SENT_HELD && c->send_next && tcp_window_from(c, tcp_seg_end(c->send_next)) < 0)
		tcp_chrono_start(c, TCP_CHRONO_RWND, now);
	if (end == SENT_HELD && pacing_rate(c) != 0 && c->pace_at > now)
		tcp_timer_set(c, TCP_TIMER_PACE, c->pace_at);
	if (!tcp_is_outstanding(c) && (c->send_next || tcp_has(c, TCP_CONN_FIN_QUEUED)) &&
	    !c->persist)
		tcp_rearm_rtx(c, now);
}

/* Before data may flow, and after. */
static NOINLINE void output_rare(struct tcp_conn *c, const struct ip_env *env, fs_ns now)
{
	if (tcp_has(c, TCP_CONN_FROZEN))
		return;
	switch (c->state) {
	case TCP_SYN_SENT:
		if (tcp_has(c, TCP_CONN_DST_BLOCKED))
			tcp_send_syn(c, env, now);
		break;
	case TCP_SYN_RECEIVED:
		/* What answers a SYN is our SYN with an ACK (RFC 9293 3.5, figure 8). */
		if (tcp_has(c, TCP_CONN_DST_BLOCKED) || (c->ack_flags & TCP_ACK_NOW))
			tcp_send_syn(c, env, now);
		break;
	case TCP_FIN_WAIT2:
		send_owed_ack(c, env, now);
		break;
	default:
		break;
	}
}

static INLINE bool may_send(const struct tcp_conn *c)
{
	if (__builtin_expect(!(SENDING >> c->state & 1), 0))
		return c->state == TCP_SYN_RECEIVED && tcp_has(c, TCP_CONN_TFO_CHILD) &&
		       !tcp_has(c, TCP_CONN_FROZEN | TCP_CONN_DST_BLOCKED) && !(c->ack_flags & TCP_ACK_NOW);
	return !tcp_has(c, TCP_CONN_FROZEN);
}

/* RFC 5682 2.1 step 2.b is over: new data went first; or none may go (Nagle holds them), then it is a loss as any
 * other. */
static NOINLINE enum sent doubt_no_more(struct tcp_conn *c, const struct ip_env *env, struct ip_dst *dst,
					enum sent end, fs_ns now)
{
	if (c->snd_nxt != c->high_seq)
		return end;
	c->frto = TCP_FRTO_OFF;
	return send_again(c, env, dst, now);
}

void tcp_output_hold(struct tcp_conn *c, const struct ip_env *env, bool hold, fs_ns now)
{
	enum sent end = SENT_ALL;
	struct ip_dst *dst;

	if (__builtin_expect(!may_send(c), 0)) {
		output_rare(c, env, now);
		return;
	}
	if (c->send_next || c->lost_out > 0 || fin_is_due(c)) {
		dst = tcp_dst(c, env);
		if (__builtin_expect(!dst, 0))
			end = SENT_BLOCKED;
		if (end == SENT_ALL && c->lost_out > 0)
			end = send_again(c, env, dst, now);
		if (end == SENT_ALL && c->send_next)
			end = push_new(c, env, dst, hold, now);
		if (__builtin_expect(c->frto == TCP_FRTO_PROBE, 0) && end != SENT_BLOCKED)
			end = doubt_no_more(c, env, dst, end, now);
		if (end == SENT_ALL && fin_is_due(c))
			end = send_fin(c, env, dst, now);
		if (__builtin_expect(end != SENT_ALL, 0))
			watch_the_rest(c, end, now);
	}
	send_owed_ack(c, env, now);
}

void tcp_output(struct tcp_conn *c, const struct ip_env *env, fs_ns now)
{
	tcp_output_hold(c, env, false, now);
}

static NOINLINE void send_dirty(struct tcp_stack *tcp, const struct ip_env *env, fs_ns now)
{
	struct list *e;

	while ((e = list_pop_front(&tcp->dirty)) != NULL) {
		struct tcp_conn *c = FS_CONTAINER_OF(e, struct tcp_conn, dirty);

		c->flags &= ~(uint32_t)TCP_CONN_DIRTY;
		tcp_output(c, env, now);
	}
}

void tcp_burst_end(struct tcp_stack *tcp, const struct ip_env *env, fs_ns now)
{
	if (!list_is_empty(&tcp->dirty))
		send_dirty(tcp, env, now);
}

/* --- single segments --- */

static void put_syn_options(const struct tcp_conn *c, struct tcp_hdr *h, fs_ns now)
{
	h->options = TCP_HAS_MSS;
	h->mss = c->advertised_mss;
	if (tcp_has(c, TCP_CONN_SACK))
		h->options |= TCP_HAS_SACK_PERMITTED;
	if (tcp_has(c, TCP_CONN_TS)) {
		h->options |= TCP_HAS_TIMESTAMP;
		h->ts_val = tcp_ts_now(c, now);
		h->ts_ecr = c->ts_recent;
	}
	if (tcp_has(c, TCP_CONN_WSCALE)) {
		h->options |= TCP_HAS_WSCALE;
		h->wscale = c->rcv_wscale;
	}
}

/* RFC 3168 6.1.1: both bits ask, one agrees. A SYN that was not answered goes without: some paths drop it. */
static uint16_t syn_ecn(struct tcp_conn *c)
{
	if (c->state == TCP_SYN_RECEIVED)
		return tcp_has(c, TCP_CONN_ECN) ? TCP_ECE : 0;
	if (c->retransmits > 0)
		c->flags &= ~(uint32_t)TCP_CONN_ECN;
	return tcp_has(c, TCP_CONN_ECN) ? TCP_ECE | TCP_CWR : 0;
}

/* The segment that goes with a Fast Open SYN: at most @most bytes. False: none. */
static bool syn_data(struct tcp_conn *c, struct tcp_run *run, uint32_t most)
{
	struct fbuf *seg = c->send_next;

	if (!seg || most == 0)
		return false;
	if (tcp_seg(seg)->len > most && tcp_seg_split(c, seg, most) < 0)
		return false;
	*run = (struct tcp_run){ .first = seg, .n = 1, .len = tcp_seg(seg)->len };
	return true;
}

static bool put_syn(struct tcp_conn *c, const struct ip_env *env, struct ip_dst *dst, fs_ns now)
{
	struct tcp_hdr h = { .seq = c->iss, .flags = TCP_SYN };
	struct tcp_run run;
	bool data = false;

	h.flags |= syn_ecn(c);
	if (c->state == TCP_SYN_RECEIVED) {
		h.flags |= TCP_ACK;
		h.ack = c->rcv_nxt;
	}
	h.window = tcp_announce_window(c, true);
	put_syn_options(c, &h, now);
	if (c->state == TCP_SYN_SENT && c->retransmits == 0)
		data = syn_data(c, &run, tcp_fastopen_syn(c, &h, now));
	if (!tcp_frame_syn(c, env, dst, &h, data ? &run : NULL))
		return false;
	if (data) {
		c->flags |= TCP_CONN_TFO_SYN_DATA;
		count_new(c, &run, now);
	}
	if (h.flags & TCP_ACK)
		tcp_ack_sent(c);
	return true;
}

void tcp_send_syn(struct tcp_conn *c, const struct ip_env *env, fs_ns now)
{
	struct ip_dst *dst = way(c, env);
	bool first = c->snd_nxt == c->iss;

	/* It counts as sent whatever comes of it: the timer sends it again. */
	if (first)
		c->snd_nxt = c->iss + 1;
	if (dst && put_syn(c, env, dst, now)) {
		left(c);
		c->last_sent_at = now;
	} else {
		tcp_blocked(c, now);
	}
	if (c->due[TCP_TIMER_RTX] == FS_NEVER)
		tcp_rto_arm(c, now);
}

void tcp_send_ack(struct tcp_conn *c, const struct ip_env *env, fs_ns now)
{
	struct ip_dst *dst = way(c, env);

	if (dst && tcp_frame_control(c, env, dst, tcp_control_seq(c), TCP_ACK, now)) {
		left(c);
		return;
	}
	c->ack_flags |= TCP_ACK_NOW;
	tcp_blocked(c, now);
}

void tcp_send_challenge(struct tcp_conn *c, const struct ip_env *env, fs_ns now)
{
	/* The budget is the connection's own: a shared one would tell others that it is spent (T5961-4). */
	if (tcp_coarse(now) - c->challenge_from >= tcp_coarse(FS_SEC(1)) || c->challenges == 0) {
		c->challenge_from = tcp_coarse(now);
		c->challenges = 0;
	}
	c->ack_flags &= (uint8_t) ~(TCP_ACK_NOW | TCP_ACK_CHALLENGE);
	if (c->challenges >= c->stack->config.challenge_per_s) {
		tcp_count(c, FS_CTR_tcp_challenges_held);
		return;
	}
	c->challenges++;
	tcp_count(c, FS_CTR_tcp_challenges);
	tcp_send_ack(c, env, now);
}

void tcp_send_reset(struct tcp_conn *c, const struct ip_env *env, fs_ns now)
{
	struct ip_dst *dst = way(c, env);

	/* In SYN-SENT there is nobody to tell; nobody needs to be told twice. */
	if (c->state == TCP_SYN_SENT || c->state == TCP_CLOSED)
		return;
	if (!dst || !tcp_frame_control(c, env, dst, tcp_control_seq(c), TCP_RST | TCP_ACK, now)) {
		tcp_count(c, FS_CTR_tcp_blocked); /* the peer asks again with its next segment */
		return;
	}
	tcp_count(c, FS_CTR_tcp_resets_out);
}

/*
 * A window that holds part of what waits gets that part (3.8.6.2.1's override); otherwise an old number, which the
 * peer must answer with an ACK that shows its window (RFC 9293 3.8.6.1; as Linux, no byte is risked). In urgent
 * mode one more goes before it, with a number that is not old, so that the peer sees the pointer even then (3.8.5):
 * that one it need not answer.
 */
void tcp_send_probe(struct tcp_conn *c, const struct ip_env *env, fs_ns now)
{
	struct ip_dst *dst = way(c, env);
	bool urgent = tcp_has(c, TCP_CONN_URG_OUT) && seq_gt(c->snd_up, c->snd_una);

	if (dst && (!urgent || tcp_frame_control(c, env, dst, c->snd_una, TCP_ACK, now)) &&
	    tcp_frame_control(c, env, dst, c->snd_una - 1, TCP_ACK, now))
		left(c);
	else
		tcp_blocked(c, now);
}

bool tcp_push_partial(struct tcp_conn *c, const struct ip_env *env, fs_ns now)
{
	struct fbuf *seg = c->send_next;
	int32_t window = tcp_window_from(c, c->snd_nxt);
	struct ip_dst *dst;
	uint32_t most;

	if (!seg || window <= 0)
		return false;
	dst = way(c, env); /* which may change the MSS */
	most = FS_MIN((uint32_t)window, (uint32_t)c->mss);
	if (tcp_seg(seg)->len > most && tcp_seg_split(c, seg, most) < 0)
		return false;
	tcp_seg(seg)->marks |= TCP_SEG_PUSH;
	if (dst) {
		struct tcp_run run = { .first = seg, .n = 1, .len = tcp_seg(seg)->len };

		run.flags = new_flags(c, &run, window);
		if (tcp_frame_data(c, env, dst, &run, now)) {
			left(c);
			count_new(c, &run, now);
			arm_after_sending(c, now);
			tcp_send_space(c, env);
			return true;
		}
	}
	tcp_blocked(c, now);
	return false;
}

/* The last segment sent goes again, or the FIN if that is all. */
static bool probe_again(struct tcp_conn *c, const struct ip_env *env, struct ip_dst *dst, fs_ns now)
{
	struct fbuf *seg = c->send_next ? tcp_seg(c->send_next)->prev : c->last;
	struct tcp_run run = { .first = seg, .n = 1, .again = true };

	if (!seg)
		return tcp_has(c, TCP_CONN_FIN_SENT) && send_fin(c, env, dst, now) == SENT_ALL;
	if (fit_again(c, seg) != 0)
		return false;
	run.len = tcp_seg(seg)->len;
	run.flags = seg_flags(c, seg);
	if (!tcp_frame_data(c, env, dst, &run, now))
		return false;
	tcp_rate_sent(c, seg, now);
	tcp_seg(seg)->sent_at = now;
	tcp_seg(seg)->marks |= TCP_SEG_EVER_RETRANS;
	c->bytes_retrans += run.len;
	tcp_count(c, FS_CTR_tcp_retransmitted);
	return true;
}

bool tcp_probe_tail(struct tcp_conn *c, const struct ip_env *env, fs_ns now)
{
	struct fbuf *seg = c->send_next;
	struct ip_dst *dst = way(c, env);
	tcp_seq before = c->snd_nxt;

	if (!dst)
		return false;
	/* RFC 8985 7.3: one new segment even beyond the congestion window, if the peer's allows. */
	if (seg && tcp_window_from(c, tcp_seg_end(seg)) >= 0) {
		c->flags |= TCP_CONN_PUSH_ALL; /* nor does Nagle hold a probe back */
		send_new(c, env, dst, 1, UINT32_MAX, false, now);
		c->flags &= ~(uint32_t)TCP_CONN_PUSH_ALL;
		if (c->snd_nxt != before) {
			left(c);
			tcp_send_space(c, env);
			return true;
		}
	}
	if (!probe_again(c, env, dst, now))
		return false;
	left(c);
	return true;
}
