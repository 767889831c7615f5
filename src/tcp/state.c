/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * state.c - the life of a connection: birth, states, close in all its ways, the calls that ask for them.
 *
 * Standards: RFC 9293 3.3.2 (states), 3.6 and 3.10.4 (close), 3.10.5 (abort), 3.10.1 (open), with the choices
 * Linux made where several are allowed.
 * Not here: what a segment does to a state (input.c), timeouts (timer.c), listeners (listen.c).
 */
#include <errno.h>
#include <string.h>

#include "base/counter.h"
#include "base/err.h"
#include "tcp/conn.h"
#include "tcp/tcp_internal.h"

const char *const tcp_state_name[] = {
	[0] = "",
	[TCP_ESTABLISHED] = "ESTABLISHED",
	[TCP_SYN_SENT] = "SYN-SENT",
	[TCP_SYN_RECEIVED] = "SYN-RECEIVED",
	[TCP_FIN_WAIT1] = "FIN-WAIT-1",
	[TCP_FIN_WAIT2] = "FIN-WAIT-2",
	[TCP_TIME_WAIT] = "TIME-WAIT",
	[TCP_CLOSED] = "CLOSED",
	[TCP_CLOSE_WAIT] = "CLOSE-WAIT",
	[TCP_LAST_ACK] = "LAST-ACK",
	[TCP_LISTEN] = "LISTEN",
	[TCP_CLOSING] = "CLOSING",
};
static_assert(FS_ARRAY_SIZE(tcp_state_name) == TCP_N_STATES, "every state has a name");

#define TO(state) (1U << (state))

/*
 * Figure 5 of RFC 9293 for a tcp_conn: where each state may go. From everywhere to CLOSED: reset, timeout, abort.
 * CLOSED goes to ESTABLISHED at accept and to SYN-RECEIVED with Fast Open; to any state by import.
 */
static const uint16_t transitions[TCP_N_STATES] = {
	[TCP_CLOSED] = TO(TCP_SYN_SENT) | TO(TCP_SYN_RECEIVED) | TO(TCP_ESTABLISHED) | TO(TCP_FIN_WAIT1) |
		       TO(TCP_FIN_WAIT2) | TO(TCP_CLOSE_WAIT) | TO(TCP_CLOSING) | TO(TCP_LAST_ACK),
	[TCP_SYN_SENT] = TO(TCP_CLOSED) | TO(TCP_SYN_RECEIVED) | TO(TCP_ESTABLISHED),
	[TCP_SYN_RECEIVED] = TO(TCP_CLOSED) | TO(TCP_ESTABLISHED),
	[TCP_ESTABLISHED] = TO(TCP_CLOSED) | TO(TCP_FIN_WAIT1) | TO(TCP_CLOSE_WAIT),
	[TCP_FIN_WAIT1] = TO(TCP_CLOSED) | TO(TCP_FIN_WAIT2) | TO(TCP_CLOSING),
	[TCP_FIN_WAIT2] = TO(TCP_CLOSED) | TO(TCP_TIME_WAIT),
	[TCP_CLOSING] = TO(TCP_CLOSED) | TO(TCP_TIME_WAIT),
	[TCP_CLOSE_WAIT] = TO(TCP_CLOSED) | TO(TCP_LAST_ACK),
	[TCP_LAST_ACK] = TO(TCP_CLOSED),
	[TCP_TIME_WAIT] = TO(TCP_CLOSED),
};

/* What becomes possible on entering a state, whatever was possible before. */
static uint32_t edges_of(enum tcp_state state)
{
	switch (state) {
	case TCP_ESTABLISHED:
		return TCP_READY_OUT;
	case TCP_CLOSE_WAIT:
		return TCP_READY_IN | TCP_READY_RDHUP;
	case TCP_CLOSING:
	case TCP_TIME_WAIT:
		return TCP_READY_IN | TCP_READY_RDHUP | TCP_READY_HUP;
	case TCP_FIN_WAIT1: /* sending gives EPIPE from here on */
		return TCP_READY_OUT;
	case TCP_LAST_ACK:
		return TCP_READY_OUT | TCP_READY_HUP;
	case TCP_CLOSED:
		return TCP_READY_IN | TCP_READY_OUT | TCP_READY_RDHUP | TCP_READY_HUP;
	default:
		return 0;
	}
}

void tcp_set_state(struct tcp_conn *c, const struct ip_env *env, enum tcp_state state)
{
	fs_assert(transitions[c->state] & TO(state));
	c->state = (uint8_t)state;
	tcp_tell(c, env, edges_of(state) | (state == TCP_CLOSED && c->error ? TCP_READY_ERR : 0U));
}

void tcp_tell(struct tcp_conn *c, const struct ip_env *env, uint32_t edges)
{
	/* Who waits in an accept queue has nobody to tell. */
	if (edges == 0 || tcp_has(c, TCP_CONN_ORPHAN) || (c->listener && !c->user))
		return;
	if (env->tcp_ops && env->tcp_ops->event)
		env->tcp_ops->event(env->context, c, edges);
}

/* --- birth --- */

/* Everything of a connection that is not its user's, as at birth. */
static void prepare(struct tcp_conn *c)
{
	const struct tcp_config *config = &c->stack->config;

	c->end.kind = TCP_END_CONN;
	c->state = TCP_CLOSED;
	timer_init(&c->timer, TCP_WHEEL_CONN);
	for (unsigned i = 0; i < TCP_N_TIMERS; i++)
		c->due[i] = FS_NEVER;
	list_init(&c->holder);
	list_init(&c->dirty);
	list_init(&c->queue);
	tcp_rtt_init(&c->rtt, config->rto_initial_us);
	c->cc.cwnd = FS_MAX(config->initial_cwnd, 1U);
	c->cc.ssthresh = TCP_SSTHRESH_NONE;
	c->cc.clamp = TCP_CWND_MAX;
	c->cc.min_rtt_us = UINT32_MAX;
	c->undo_retrans = -1;
	c->sndbuf = c->options.sndbuf ? c->options.sndbuf : config->sndbuf[1];
}

struct tcp_conn *tcp_conn_alloc(struct tcp_stack *tcp, void *user)
{
	struct tcp_conn *c = slab_alloc(&tcp->conns);

	if (!c) {
		tcp->ip->counters[FS_CTR_tcp_no_conn]++;
		return NULL;
	}
	tcp->n_conns++;
	c->stack = tcp;
	c->user = user;
	tcp_options_default(&c->options, &tcp->config);
	prepare(c);
	return c;
}

struct tcp_conn *tcp_open(struct tcp_stack *tcp, void *user)
{
	return tcp_conn_alloc(tcp, user);
}

void tcp_conn_free(struct tcp_conn *c, const struct ip_env *env)
{
	struct tcp_stack *tcp = c->stack;

	fs_assert(c->state == TCP_CLOSED && !tcp_has(c, TCP_CONN_IN_TABLE));
	tcp_send_purge(c);
	tcp_ooo_purge(c);
	tcp_rx_purge(c);
	tcp_timers_stop(c);
	timer_cancel(&tcp->wheel, &c->timer);
	if (c->dst)
		ip_dst_put(tcp->ip, c->dst);
	list_remove(&c->holder);
	list_remove(&c->dirty);
	list_remove(&c->queue);
	tcp->n_conns--;
	if (tcp_has(c, TCP_CONN_ORPHAN)) {
		tcp->n_orphans--;
		if (env->tcp_ops && env->tcp_ops->released)
			env->tcp_ops->released(env->context, c, c->user);
	}
	slab_free(&tcp->conns, c);
}

/* A connection that ended may connect again (as Linux): as it was born, with its user and options. */
static void reborn(struct tcp_conn *c)
{
	struct tcp_options options = c->options;
	struct tcp_stack *tcp = c->stack;
	void *user = c->user;

	memset(c, 0, sizeof(*c));
	c->stack = tcp;
	c->user = user;
	c->options = options;
	prepare(c);
}

/* --- connect --- */

/* What our SYN offers. */
static void set_offers(struct tcp_conn *c)
{
	const struct tcp_config *config = &c->stack->config;
	const struct tcp_cc_ops *cc = tcp_cc_at(c->options.congestion);

	if (config->timestamps)
		c->flags |= TCP_CONN_TS;
	if (config->sack)
		c->flags |= TCP_CONN_SACK;
	if (config->window_scaling)
		c->flags |= TCP_CONN_WSCALE;
	if (config->ecn == 1 || (cc && cc->wants_ecn))
		c->flags |= TCP_CONN_ECN;
}

static void set_sizes(struct tcp_conn *c)
{
	bool is_v6 = tcp_has(c, TCP_CONN_V6);
	uint32_t headers = is_v6 ? TCP_HEADERS_V6 : TCP_HEADERS_V4; /* without options: MUST-67 */
	uint32_t mss;

	c->path_mtu = (uint16_t)FS_MIN(c->dst->mtu, (uint32_t)UINT16_MAX);
	mss = c->path_mtu > headers ? c->path_mtu - headers : 1;
	if (c->options.mss)
		mss = FS_MIN(mss, (uint32_t)c->options.mss);
	c->advertised_mss = (uint16_t)mss;
	c->peer_mss = is_v6 ? TCP_MSS_DEFAULT_V6 : TCP_MSS_DEFAULT_V4; /* MUST-15 */
	tcp_update_mss(c);
}

bool tcp_tuple_is_free(const struct tcp_stack *tcp, const struct ip_addr *local, uint16_t local_port,
		       const struct ip_addr *remote, uint16_t remote_port, fs_ns now)
{
	const struct tcp_end *taken = tcp_end_find(tcp, local, local_port, remote, remote_port);

	return !taken || (taken->kind == TCP_END_TW && tcp_tw_may_go((const struct tcp_tw *)(const void *)taken, tcp, now));
}

/* The 4-tuple is free, or a TIME-WAIT that gives way. Sets iss and timestamp offset. */
static int claim(struct tcp_conn *c, fs_ns now)
{
	struct tcp_stack *tcp = c->stack;
	struct tcp_end *end = &c->end;
	struct tcp_end *taken = tcp_end_find(tcp, &end->local, end->local_port, &end->remote, end->remote_port);

	if (taken && taken->kind != TCP_END_TW)
		return -EADDRNOTAVAIL;
	if (taken)
		return tcp_tw_reuse((struct tcp_tw *)(void *)taken, c, now) ? 0 : -EADDRNOTAVAIL;
	c->iss = tcp_isn(tcp, end, now);
	c->ts_offset = tcp_ts_offset(tcp, end);
	return 0;
}

/* Where @c->end.remote lies; fills the local address if it is open. */
static int find_way(struct tcp_conn *c, const struct ip_env *env)
{
	struct tcp_end *end = &c->end;
	struct ip_dst *dst;

	/* MUST-46. Broadcast addresses of a subnet the host knows: it does not resolve them to a way of ours. */
	if (ip_addr_is_multicast(&end->remote) || ip_addr_is_any(&end->remote) ||
	    (ip_addr_is_v4(&end->remote) && end->remote.w[3] == UINT32_MAX))
		return -ENETUNREACH;
	dst = env->tcp_ops->resolve(env->context, &end->remote, &end->local, c->options.choice);
	if (!dst || dst->way != IP_DST_FAST || dst->to_group)
		return -ENETUNREACH;
	ip_dst_get(c->stack->ip, dst);
	c->dst = dst;
	if (ip_addr_is_any(&end->local))
		end->local = dst->local; /* MUST-44, MUST-45 */
	return 0;
}

static void forget_way(struct tcp_conn *c)
{
	if (c->dst)
		ip_dst_put(c->stack->ip, c->dst);
	c->dst = NULL;
}

int tcp_connect(struct tcp_conn *c, const struct ip_env *env, const struct ip_addr *local, uint16_t local_port,
		const struct ip_addr *remote, uint16_t remote_port, fs_ns now)
{
	int ret;

	if (c->state == TCP_SYN_SENT || c->state == TCP_SYN_RECEIVED)
		return -EALREADY;
	if (c->state != TCP_CLOSED)
		return -EISCONN;
	if (tcp_has(c, TCP_CONN_FIN_QUEUED)) { /* it ended */
		tcp_rx_purge(c);
		if (c->rcv_charge > 0)
			return -EISCONN; /* its user still has frames of it */
		reborn(c);
	}
	c->end.local = *local;
	c->end.local_port = local_port;
	c->end.remote = *remote;
	c->end.remote_port = remote_port;
	ret = find_way(c, env);
	if (ret == 0)
		ret = claim(c, now);
	if (ret < 0) {
		forget_way(c);
		return ret;
	}
	if (!ip_addr_is_v4(&c->end.remote))
		c->flags |= TCP_CONN_V6;
	set_offers(c);
	set_sizes(c);
	tcp_rx_begin(c, now);
	c->snd_una = c->snd_nxt = c->snd_up = c->last_partial = c->high_seq = c->undo_marker = c->iss;
	c->snd_end = c->iss + 1;
	tcp_end_insert(c->stack, &c->end);
	c->flags |= TCP_CONN_IN_TABLE;
	tcp_set_state(c, env, TCP_SYN_SENT);
	if (!c->options.fastopen_connect || !tcp_fastopen_ready(c, now))
		tcp_send_syn(c, env, now);
	return 0;
}

void tcp_established(struct tcp_conn *c, const struct ip_env *env, fs_ns now)
{
	c->flags |= TCP_CONN_CONNECTED;
	tcp_update_mss(c);
	tcp_rx_established(c, now);
	/* RFC 6928 2: one segment where the SYN was lost, and once does not prove that: its timeout is short. */
	c->cc.cwnd = c->retransmits > 1 ? 1 : tcp_cc_initial_window(c->stack->config.initial_cwnd, c->cc.mss);
	tcp_cc_set(&c->cc, c->options.congestion, now);
	tcp_loss_init(c, now);
	tcp_send_tune(c);
	c->retransmits = 0;
	c->rtx_began = 0;
	c->heard = tcp_coarse(now);
	tcp_plain_update(c);
	tcp_count(c, tcp_has(c, TCP_CONN_PASSIVE) ? FS_CTR_tcp_opened_passive : FS_CTR_tcp_opened_active);
	tcp_set_state(c, env, TCP_ESTABLISHED);
	tcp_keepalive_arm(c, now); /* which looks at the state */
}

/* --- ends --- */

/*
 * DEVIATION: RFC 9293 3.10.7.4 flushes what was received when a RST comes. Here the program reads it first and then
 * learns of the reset, as on Linux. Tested: tcp_reset__queued_data_are_read_before_the_error.
 */
bool tcp_drop(struct tcp_conn *c, const struct ip_env *env, int error)
{
	if (error)
		c->error = error;
	tcp_timers_stop(c);
	tcp_send_purge(c);
	tcp_ooo_purge(c);
	list_remove(&c->dirty);
	c->ack_flags = 0;
	if (tcp_has(c, TCP_CONN_IN_TABLE))
		tcp_end_remove(c->stack, &c->end);
	c->flags = (c->flags & ~(uint32_t)(TCP_CONN_IN_TABLE | TCP_CONN_DIRTY | TCP_CONN_FIN_AHEAD)) |
		   TCP_CONN_SHUT_RD | TCP_CONN_FIN_QUEUED;
	forget_way(c);
	if (tcp_has(c, TCP_CONN_TFO_CHILD))
		tcp_child_settled(c, env, false);
	if (c->state != TCP_CLOSED)
		tcp_set_state(c, env, TCP_CLOSED);
	if (!tcp_has(c, TCP_CONN_ORPHAN))
		return false;
	tcp_conn_free(c, env);
	return true;
}

bool tcp_reset(struct tcp_conn *c, const struct ip_env *env, int error, fs_ns now)
{
	tcp_send_reset(c, env, now);
	return tcp_drop(c, env, error);
}

bool tcp_enter_time_wait(struct tcp_conn *c, const struct ip_env *env, fs_ns now)
{
	/* The peer's FIN is acked by whom it met; the entry only repeats that. */
	if ((c->ack_flags & (TCP_ACK_NOW | TCP_ACK_DELAYED)) || c->last_ack_sent != c->rcv_nxt)
		tcp_send_ack(c, env, now);
	tcp_tw_start(c, now); /* takes the place in the table */
	tcp_set_state(c, env, TCP_TIME_WAIT);
	return tcp_drop(c, env, 0);
}

/*
 * FIN-WAIT-2 with nobody left to tell must not wait for ever.
 * DEVIATION: RFC 9293 3.6.1 knows no such timeout; with Linux, config.fin_timeout and TCP_LINGER2.
 * Tested: tcp_close__an_orphan_does_not_wait_for_ever.
 */
static bool wait_for_fin(struct tcp_conn *c, const struct ip_env *env, fs_ns now)
{
	fs_ns timeout = FS_US(c->stack->config.fin_timeout_us);

	if (c->options.linger2_s < 0)
		return tcp_reset(c, env, 0, now);
	if (c->options.linger2_s > 0)
		timeout = FS_MIN(timeout, FS_SEC(c->options.linger2_s));
	tcp_timer_set(c, TCP_TIMER_LIFE, now + timeout);
	return false;
}

bool tcp_fin_acked(struct tcp_conn *c, const struct ip_env *env, fs_ns now)
{
	switch (c->state) {
	case TCP_FIN_WAIT1:
		tcp_set_state(c, env, TCP_FIN_WAIT2);
		return tcp_has(c, TCP_CONN_ORPHAN) && wait_for_fin(c, env, now);
	case TCP_CLOSING:
		return tcp_enter_time_wait(c, env, now);
	case TCP_LAST_ACK:
		return tcp_drop(c, env, 0);
	default:
		return false;
	}
}

/* --- close --- */

/* FIN goes after what is queued. In SYN-RECEIVED it waits for the handshake (RFC 9293 3.10.4.4): input.c goes on. */
static void queue_fin(struct tcp_conn *c, const struct ip_env *env, fs_ns now)
{
	c->flags |= TCP_CONN_FIN_QUEUED | TCP_CONN_PUSH_ALL;
	if (c->state == TCP_ESTABLISHED)
		tcp_set_state(c, env, TCP_FIN_WAIT1);
	else if (c->state == TCP_CLOSE_WAIT)
		tcp_set_state(c, env, TCP_LAST_ACK);
	else
		return;
	tcp_output(c, env, now);
}

int tcp_shutdown(struct tcp_conn *c, const struct ip_env *env, uint32_t how, fs_ns now)
{
	bool begun = tcp_has(c, TCP_CONN_FIN_QUEUED), begins = (how & TCP_SHUT_WR) && !begun;

	if (c->state == TCP_CLOSED)
		return -ENOTCONN;
	if (c->state == TCP_SYN_SENT) {
		tcp_drop(c, env, 0);
		return 0;
	}
	if ((how & TCP_SHUT_RD) && !tcp_has(c, TCP_CONN_SHUT_RD)) {
		c->flags |= TCP_CONN_SHUT_RD;
		tcp_tell(c, env, TCP_READY_IN | TCP_READY_RDHUP | (begun || begins ? TCP_READY_HUP : 0U));
	} else if (begins && tcp_has(c, TCP_CONN_SHUT_RD)) {
		tcp_tell(c, env, TCP_READY_HUP);
	}
	if (begins)
		queue_fin(c, env, now);
	return 0;
}

static void become_orphan(struct tcp_conn *c)
{
	if (tcp_has(c, TCP_CONN_ORPHAN))
		return; /* closed before, and now aborted */
	c->flags |= TCP_CONN_ORPHAN;
	c->stack->n_orphans++;
}

/* Does the peer think there is a connection, so that an abort must tell it (RFC 9293 3.10.5)? */
static bool peer_needs_reset(const struct tcp_conn *c)
{
	switch (c->state) {
	case TCP_SYN_RECEIVED:
	case TCP_ESTABLISHED:
	case TCP_FIN_WAIT1:
	case TCP_FIN_WAIT2:
	case TCP_CLOSE_WAIT:
		return true;
	case TCP_CLOSING:
	case TCP_LAST_ACK: /* data or FIN of ours did not leave: it may wait for them */
		return c->snd_nxt != c->snd_end + 1;
	default:
		return false;
	}
}

void tcp_abort(struct tcp_conn *c, const struct ip_env *env, fs_ns now)
{
	become_orphan(c);
	if (peer_needs_reset(c) && !tcp_has(c, TCP_CONN_FROZEN))
		tcp_reset(c, env, 0, now);
	else
		tcp_drop(c, env, 0);
}

void tcp_close(struct tcp_conn *c, const struct ip_env *env, fs_ns now)
{
	/* SHLD-3: bytes that nobody read are lost, and the peer shall know. So shall it with linger 0. */
	bool lost = tcp_inq(c) > 0 || c->rx.head;

	if (c->state == TCP_CLOSED || c->state == TCP_SYN_SENT || c->options.linger_s == 0) {
		tcp_abort(c, env, now);
		return;
	}
	become_orphan(c);
	if (lost) {
		tcp_reset(c, env, 0, now);
		return;
	}
	c->flags |= TCP_CONN_SHUT_RD;
	tcp_ooo_purge(c);
	if (!tcp_has(c, TCP_CONN_FIN_QUEUED))
		queue_fin(c, env, now);
	else if (c->state == TCP_FIN_WAIT2)
		wait_for_fin(c, env, now);
}

/* --- what can be done now --- */

/* Bytes for which poll(2) calls it readable. Never more than the window lets in. */
static bool is_readable(const struct tcp_conn *c)
{
	uint32_t n = c->rcv_nxt - c->copied_seq;
	uint32_t target = FS_MAX(c->options.rcvlowat, 1U);

	if (tcp_has(c, TCP_CONN_URG_IN) && c->rcv_up == c->copied_seq && !c->options.oob_inline && n > 0)
		n--; /* the urgent byte is not read as data */
	return n >= target || (n > 0 && tcp_is_full(c));
}

static uint32_t ready_when_connected(const struct tcp_conn *c)
{
	bool reads_end = tcp_has(c, TCP_CONN_FIN_RECEIVED | TCP_CONN_SHUT_RD);
	bool writes_end = tcp_has(c, TCP_CONN_FIN_QUEUED);
	uint32_t ready = 0;

	if (reads_end || is_readable(c))
		ready |= TCP_READY_IN;
	if (writes_end || tcp_is_writable(c))
		ready |= TCP_READY_OUT;
	if (reads_end)
		ready |= TCP_READY_RDHUP;
	if (reads_end && writes_end)
		ready |= TCP_READY_HUP;
	if (tcp_has(c, TCP_CONN_URG_BYTE))
		ready |= TCP_READY_PRI;
	return ready;
}

uint32_t tcp_ready(const struct tcp_conn *c)
{
	uint32_t error = c->error ? TCP_READY_ERR : 0;

	switch (c->state) {
	case TCP_CLOSED: /* before connect: OUT and HUP, as Linux; afterwards both directions are shut */
		return error | TCP_READY_HUP | TCP_READY_OUT | ready_when_connected(c);
	case TCP_SYN_SENT: /* Fast Open: the SYN waits for data */
		return error | (c->snd_nxt == c->iss ? TCP_READY_OUT : 0U);
	case TCP_SYN_RECEIVED:
		return error | (tcp_has(c, TCP_CONN_TFO_CHILD) ? ready_when_connected(c) : 0U);
	default:
		return error | ready_when_connected(c);
	}
}

int tcp_take_error(struct tcp_conn *c)
{
	int error = c->error;

	c->error = 0;
	return error;
}

int tcp_take_any_error(struct tcp_conn *c)
{
	int error = tcp_take_error(c);

	if (error == 0) {
		error = c->soft_error;
		c->soft_error = 0;
	}
	return error;
}

uint32_t tcp_outq(const struct tcp_conn *c)
{
	if (c->state == TCP_SYN_SENT || c->state == TCP_SYN_RECEIVED || c->state == TCP_CLOSED)
		return 0;
	return c->snd_end + tcp_has(c, TCP_CONN_FIN_QUEUED) - c->snd_una;
}

uint32_t tcp_outq_unsent(const struct tcp_conn *c)
{
	if (c->state == TCP_SYN_SENT || c->state == TCP_SYN_RECEIVED || c->state == TCP_CLOSED)
		return 0;
	return c->snd_end + tcp_has(c, TCP_CONN_FIN_QUEUED) - c->snd_nxt;
}
