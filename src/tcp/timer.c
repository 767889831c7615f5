/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * timer.c - what happens when nothing happens: five deadlines of a connection behind one timer of the wheel.
 *
 * The wheel's timer is due at the earliest deadline or before. Nearly every segment moves deadlines away, which
 * touches a word only; the timer then fires for nothing, once per round trip at most, and goes to the new place.
 *
 * Here are the rules of giving up: retransmissions (R1, R2), SYNs, probes of closed windows, keep-alive, user
 * timeout, orphans. What a timeout means for the congestion window is loss.c, what is sent then output.c.
 * Standards: RFC 6298 5, RFC 9293 3.8.1, 3.8.3 (R1, R2), 3.8.4 (keep-alive), 3.8.6.1 (closed windows), RFC 5482 (user
 * timeout), RFC 8899 4.4 in spirit (black holes). Numbers of retries are Linux's, which counts them as time.
 */
#include <errno.h>

#include "base/counter.h"
#include "base/err.h"
#include "tcp/output_internal.h"
#include "tcp/request.h"
#include "tcp/tcp_internal.h"
#include "tcp/timewait.h"

enum {
	BACKOFF_MAX = 20,	 /* doublings; rto_max bounds the time long before */
	LOCAL_RETRY_MS = 500,	 /* a probe that could not leave: Linux's interval for want of resources */
	KEEP_IDLE_S = 7200,	 /* RFC 9293 3.8.4, MUST-28 */
	KEEP_INTERVAL_S = 75,
	KEEP_COUNT = 9,
	PATIENCE = 2,		 /* largest RTOs without a word from a peer that closed its window: it is gone */
	IPV6_MTU_LEAST = 1280,	 /* RFC 8200 5 */
};

/* --- deadlines --- */

void tcp_timers_stop(struct tcp_conn *c)
{
	for (unsigned i = 0; i < TCP_N_TIMERS; i++)
		c->due[i] = FS_NEVER;
	timer_cancel(&c->stack->wheel, &c->timer);
}

static bool fin_waits(const struct tcp_conn *c)
{
	return tcp_has(c, TCP_CONN_FIN_QUEUED) && !tcp_has(c, TCP_CONN_FIN_SENT);
}

static fs_ns user_timeout(const struct tcp_conn *c)
{
	return FS_MS((fs_ns)c->options.user_timeout_ms);
}

void tcp_rto_arm(struct tcp_conn *c, fs_ns now)
{
	fs_ns deadline = now + FS_US(tcp_rto_us(c));

	/* The user's timeout is exact: nobody waits for an RTO beyond it (RFC 5482). */
	if (__builtin_expect(c->options.user_timeout_ms != 0 && c->rtx_began != 0, 0))
		deadline = FS_MIN(deadline, c->rtx_began + user_timeout(c));
	tcp_timer_set(c, TCP_TIMER_RTX, deadline);
}

void tcp_rearm_rtx(struct tcp_conn *c, fs_ns now)
{
	if (tcp_is_outstanding(c)) {
		if (c->persist)
			c->rtt.backoff = 0;
		c->persist = false;
		if (tcp_tlp_arm(c, now))
			tcp_timer_stop(c, TCP_TIMER_RTX);
		else
			tcp_rto_arm(c, now);
		return;
	}
	tcp_tlp_arm(c, now); /* off */
	if (!c->send_next && !fin_waits(c)) {
		c->persist = false;
		tcp_timer_stop(c, TCP_TIMER_RTX);
		return;
	}
	/* Data wait and nothing will tell when they may go. The first probe follows after one RTO (SHLD-29); answers to
	 * probes do not begin anew. */
	if (c->persist && c->due[TCP_TIMER_RTX] != FS_NEVER)
		return;
	c->persist = true;
	c->rtt.backoff = 0;
	c->probes_out = 0;
	c->rtx_began = 0;
	tcp_rto_arm(c, now);
}

/* --- giving up --- */

/* How long Linux's @retries take: doubling from the least RTO, whatever the path's is, up to the largest. */
static fs_ns patience(const struct tcp_config *config, uint32_t retries)
{
	uint64_t total = 0, rto = config->rto_min_us;

	for (uint32_t i = 0; i <= retries; i++) {
		total += FS_MIN(rto, (uint64_t)config->rto_max_us);
		rto = FS_MIN(rto * 2, (uint64_t)config->rto_max_us);
	}
	return FS_US((fs_ns)total);
}

/* Nobody answered: the user learns ETIMEDOUT, or what ICMP said meanwhile (MUST-56). As tcp_drop(). */
static bool give_up(struct tcp_conn *c, const struct ip_env *env)
{
	tcp_count(c, FS_CTR_tcp_timeouts);
	return tcp_drop(c, env, c->soft_error ? c->soft_error : ETIMEDOUT);
}

/* When the last segment came, ns ago. */
static fs_ns silence(const struct tcp_conn *c, fs_ns now)
{
	return (fs_ns)(tcp_coarse(now) - c->heard) << TCP_COARSE_SHIFT;
}

/* --- SYN --- */

static bool fire_syn(struct tcp_conn *c, const struct ip_env *env, fs_ns now)
{
	const struct tcp_config *config = &c->stack->config;
	uint32_t most = c->options.syn_count ? c->options.syn_count : config->syn_retries;

	if (c->state == TCP_SYN_RECEIVED && tcp_has(c, TCP_CONN_PASSIVE))
		most = config->synack_retries;
	if (c->rtx_began == 0)
		c->rtx_began = now;
	if (c->retransmits >= most || (user_timeout(c) && now - c->rtx_began >= user_timeout(c)))
		return give_up(c, env);
	if (c->state == TCP_SYN_SENT && c->retransmits == 0)
		tcp_fastopen_lost(c, now);
	tcp_count(c, FS_CTR_tcp_rto);
	tcp_count(c, FS_CTR_tcp_retransmitted);
	c->retransmits++;
	c->total_retrans++;
	c->rtt.backoff = (uint8_t)FS_MIN(c->rtt.backoff + 1, BACKOFF_MAX);
	tcp_rto_arm(c, now);
	tcp_send_syn(c, env, now);
	return false;
}

/* --- retransmission timeout --- */

/* Its window shrank to nothing under what is in flight: as long as it answers no reason to give up (SHLD-17), and
 * none to count that time when the window opens again. But our user is not there to give up an orphan: that ends all
 * the same. */
static bool is_held_by_window(const struct tcp_conn *c, fs_ns now)
{
	return c->snd_wnd == 0 && !user_timeout(c) && !tcp_has(c, TCP_CONN_ORPHAN) &&
	       silence(c, now) < PATIENCE * FS_US((fs_ns)c->stack->config.rto_max_us);
}

/* R2, the user's timeout, or an orphan's shorter patience (RFC 9293 3.8.3). */
static bool is_expired(const struct tcp_conn *c, fs_ns now)
{
	const struct tcp_config *config = &c->stack->config;
	fs_ns since = now - c->rtx_began;

	if (user_timeout(c))
		return since >= user_timeout(c);
	return since >= patience(config, tcp_has(c, TCP_CONN_ORPHAN) ? config->orphan_retries : config->retries2);
}

/*
 * Full segments vanish one timeout after the other: perhaps a router drops what is larger than its next link without
 * saying so. Smaller ones show it; the destination's MTU is tried again after some time (tcp_age_mtu()).
 */
static void escape_black_hole(struct tcp_conn *c, fs_ns now)
{
	const struct tcp_config *config = &c->stack->config;
	bool is_v6 = tcp_has(c, TCP_CONN_V6);
	uint32_t headers = is_v6 ? TCP_HEADERS_V6 : TCP_HEADERS_V4;
	uint32_t mss = c->path_mtu - headers;
	uint32_t mtu;

	if (!config->mtu_probing || !c->first || tcp_seg(c->first)->len < c->mss)
		return;
	mtu = headers + FS_MAX(FS_MIN((uint32_t)config->base_mss, mss / 2), (uint32_t)TCP_MSS_LEAST);
	if (is_v6)
		mtu = FS_MAX(mtu, (uint32_t)IPV6_MTU_LEAST);
	if (mtu >= c->path_mtu)
		return;
	tcp_count(c, FS_CTR_tcp_black_holes);
	tcp_lower_mtu(c, mtu, now);
}

/* R1 (MUST-20): the way may have changed. The host is asked anew at the next transmission. */
static void doubt_the_way(struct tcp_conn *c, fs_ns now)
{
	escape_black_hole(c, now);
	if (c->dst) {
		ip_dst_put(c->stack->ip, c->dst);
		c->dst = NULL;
	}
}

static bool fire_rto(struct tcp_conn *c, const struct ip_env *env, fs_ns now)
{
	const struct tcp_config *config = &c->stack->config;

	if (c->rtx_began == 0 || is_held_by_window(c, now))
		c->rtx_began = now;
	if (is_expired(c, now))
		return give_up(c, env);
	tcp_count(c, FS_CTR_tcp_rto);
	if (c->packets_out > 0)
		tcp_loss_on_rto(c, now);
	if (tcp_has(c, TCP_CONN_FIN_SENT) && !tcp_fin_is_acked(c))
		c->flags |= TCP_CONN_FIN_LOST;
	if (c->retransmits < UINT8_MAX)
		c->retransmits++;
	if (config->retries1 && c->retransmits % config->retries1 == 0)
		doubt_the_way(c, now);
	c->rtt.backoff = (uint8_t)FS_MIN(c->rtt.backoff + 1, BACKOFF_MAX);
	tcp_rto_arm(c, now);
	tcp_mark_dirty(c);
	return false;
}

/* --- closed windows --- */

/*
 * A peer that answers probes may keep its window closed as long as it likes (MUST-37), unless our user set a limit
 * or is gone; one that does not answer is given up as with data.
 */
static bool probes_expired(const struct tcp_conn *c, fs_ns now)
{
	const struct tcp_config *config = &c->stack->config;

	if (user_timeout(c) && now - c->rtx_began >= user_timeout(c))
		return true;
	if (!tcp_has(c, TCP_CONN_ORPHAN))
		return c->probes_out >= config->retries2;
	return c->probes_out >= config->orphan_retries ||
	       (c->rtt.backoff >= config->orphan_retries && tcp_rto_us(c) >= config->rto_max_us);
}

static bool fire_probe(struct tcp_conn *c, const struct ip_env *env, fs_ns now)
{
	bool was_open = seq_gt(c->snd_una + c->snd_wnd, c->snd_nxt);

	if (c->rtx_began == 0)
		c->rtx_began = now;
	if (probes_expired(c, now))
		return give_up(c, env);
	if (tcp_push_partial(c, env, now))
		return false;
	if (was_open && fin_waits(c) && !c->send_next) {
		tcp_mark_dirty(c);
		return false;
	}
	if (c->probes_out < UINT8_MAX)
		c->probes_out++;
	if (was_open) { /* it was not the window */
		tcp_timer_set(c, TCP_TIMER_RTX, now + FS_MS(LOCAL_RETRY_MS));
		return false;
	}
	tcp_count(c, FS_CTR_tcp_window_probes);
	tcp_send_probe(c, env, now);
	if (c->rtt.backoff < c->stack->config.retries2)
		c->rtt.backoff++; /* SHLD-30 */
	tcp_rto_arm(c, now);
	return false;
}

static bool fire_rtx(struct tcp_conn *c, const struct ip_env *env, fs_ns now)
{
	if (c->state == TCP_SYN_SENT || c->state == TCP_SYN_RECEIVED)
		return fire_syn(c, env, now);
	if (tcp_is_outstanding(c))
		return fire_rto(c, env, now);
	if (c->send_next || fin_waits(c))
		return fire_probe(c, env, now);
	c->persist = false;
	return false;
}

/* --- keep-alive, FIN-WAIT-2 --- */

static fs_ns keep_idle(const struct tcp_conn *c)
{
	return FS_SEC(c->options.keep_idle_s ? c->options.keep_idle_s : KEEP_IDLE_S);
}

static fs_ns keep_interval(const struct tcp_conn *c)
{
	return FS_SEC(c->options.keep_interval_s ? c->options.keep_interval_s : KEEP_INTERVAL_S);
}

static bool may_keep_alive(const struct tcp_conn *c)
{
	return c->options.keepalive && c->state != TCP_CLOSED && c->state != TCP_SYN_SENT &&
	       c->state != TCP_TIME_WAIT;
}

void tcp_keepalive_arm(struct tcp_conn *c, fs_ns now)
{
	if (c->state == TCP_FIN_WAIT2 && tcp_has(c, TCP_CONN_ORPHAN))
		return; /* the timer is that of FIN-WAIT-2 */
	c->keepalive_probes = 0;
	if (may_keep_alive(c))
		tcp_timer_set(c, TCP_TIMER_LIFE, now + FS_MAX(keep_idle(c) - silence(c, now), (fs_ns)0));
	else
		tcp_timer_stop(c, TCP_TIMER_LIFE);
}

/* Did the peer miss too many probes, or the user's timeout pass (RFC 5482 4.1)? One that is missing proves nothing
 * (MUST-29). */
static bool is_dead(const struct tcp_conn *c, fs_ns quiet)
{
	uint32_t most = c->options.keep_count ? c->options.keep_count : KEEP_COUNT;

	if (user_timeout(c))
		return c->keepalive_probes > 0 && quiet >= user_timeout(c);
	return c->keepalive_probes >= most;
}

static bool fire_keepalive(struct tcp_conn *c, const struct ip_env *env, fs_ns now)
{
	fs_ns quiet = silence(c, now), idle = keep_idle(c);

	/* Data on the way are a better probe (MUST-26). */
	if (c->first || tcp_is_outstanding(c)) {
		tcp_timer_set(c, TCP_TIMER_LIFE, now + idle);
		return false;
	}
	if (quiet < idle) {
		c->keepalive_probes = 0;
		tcp_timer_set(c, TCP_TIMER_LIFE, now + idle - quiet);
		return false;
	}
	if (is_dead(c, quiet)) {
		tcp_count(c, FS_CTR_tcp_timeouts);
		return tcp_reset(c, env, c->soft_error ? c->soft_error : ETIMEDOUT, now);
	}
	tcp_count(c, FS_CTR_tcp_keepalives);
	tcp_send_probe(c, env, now);
	if (c->keepalive_probes < UINT8_MAX)
		c->keepalive_probes++;
	tcp_timer_set(c, TCP_TIMER_LIFE, now + keep_interval(c));
	return false;
}

static bool fire_life(struct tcp_conn *c, const struct ip_env *env, fs_ns now)
{
	if (c->state == TCP_FIN_WAIT2 && tcp_has(c, TCP_CONN_ORPHAN))
		return tcp_drop(c, env, 0);
	return may_keep_alive(c) ? fire_keepalive(c, env, now) : false;
}

/* --- the wheel --- */

/* One deadline came. As tcp_drop(). */
static bool fire_one(struct tcp_conn *c, const struct ip_env *env, enum tcp_timer which, fs_ns now)
{
	switch (which) {
	case TCP_TIMER_RTX:
		return fire_rtx(c, env, now);
	case TCP_TIMER_LOSS:
		tcp_loss_on_timer(c, env, now);
		tcp_mark_dirty(c);
		return false;
	case TCP_TIMER_ACK:
		tcp_ack_overdue(c);
		return false;
	case TCP_TIMER_PACE:
		tcp_mark_dirty(c);
		return false;
	case TCP_TIMER_LIFE:
		return fire_life(c, env, now);
	case TCP_N_TIMERS:
		break;
	}
	return false;
}

static void fire_conn(struct tcp_conn *c, const struct ip_env *env, fs_ns now)
{
	/* Loss detection before the RTO: what it sends may make that unnecessary (RFC 8985 7.2). */
	static const uint8_t order[TCP_N_TIMERS] = { TCP_TIMER_LOSS, TCP_TIMER_RTX, TCP_TIMER_ACK, TCP_TIMER_PACE,
						     TCP_TIMER_LIFE };
	fs_ns next = FS_NEVER;

	if (tcp_has(c, TCP_CONN_FROZEN))
		return; /* tcp_thaw() sets them again */
	for (unsigned i = 0; i < TCP_N_TIMERS; i++) {
		if (c->due[order[i]] > now)
			continue;
		c->due[order[i]] = FS_NEVER;
		if (fire_one(c, env, order[i], now))
			return;
	}
	for (unsigned i = 0; i < TCP_N_TIMERS; i++)
		next = FS_MIN(next, c->due[i]);
	if (next != FS_NEVER && (!timer_is_pending(&c->timer) || next < c->timer.deadline))
		timer_add(&c->stack->wheel, &c->timer, next);
}

struct firing {
	struct tcp_stack *tcp;
	const struct ip_env *env;
};

static void fire(void *context, struct timer *timer, fs_ns now)
{
	const struct firing *f = context;

	switch (timer->kind) {
	case TCP_WHEEL_CONN:
		fire_conn(FS_CONTAINER_OF(timer, struct tcp_conn, timer), f->env, now);
		break;
	case TCP_WHEEL_REQ:
		tcp_req_timer(f->tcp, f->env, FS_CONTAINER_OF(timer, struct tcp_req, timer), now);
		break;
	case TCP_WHEEL_TW:
		tcp_tw_timer(f->tcp, FS_CONTAINER_OF(timer, struct tcp_tw, timer));
		break;
	default:
		fs_assert(!"a timer of no kind");
	}
}

void tcp_advance(struct tcp_stack *tcp, const struct ip_env *env, fs_ns now)
{
	struct firing f = { tcp, env };

	timer_wheel_advance(&tcp->wheel, now, fire, &f);
	tcp_burst_end(tcp, env, now);
}

fs_ns tcp_next(const struct tcp_stack *tcp)
{
	return timer_wheel_next(&tcp->wheel);
}
