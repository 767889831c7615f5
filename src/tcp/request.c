/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * request.c - the SYN queue: from a SYN to the handshake's last ACK.
 *
 * What arrives for a request is judged as RFC 9293 3.10.7.4 says for SYN-RECEIVED, in its order, with the checks of
 * RFC 5961 and RFC 7323 before anything is believed. What is answered out of order is answered at most twice a
 * second, as Linux does, so that two confused hosts do not keep each other busy.
 * Not here: the queue of complete connections (listen.c).
 * Standards: RFC 9293, RFC 4987, RFC 5961 3 and 4, RFC 7323 3 and 5, RFC 3168 6.1.1, RFC 6298.
 */
#include "tcp/request.h"

#include <string.h>

#include "base/counter.h"
#include "base/err.h"
#include "ip/ip.h"
#include "tcp/tcp_internal.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"

enum {
	MSS_DEFAULT_V4 = 536,  /* RFC 9293 3.7.1, MUST-15 */
	MSS_DEFAULT_V6 = 1220,
	WSCALE_MAX = 14,       /* RFC 7323 2.3 */
	TIMESTAMP_LEN = 12,    /* bytes of every segment that has them */
	ANSWER_INTERVAL_MS = 500,

	BLOCKED_FIRST_MS = 1, /* until what could not leave is tried again; doubled each time, as in output.c */

	/* Old requests are given up early when they take half of the queue, but not before this many tries. */
	RETRIES_FLOOR = 2,
	QUEUE_SMALL = 8,
};

struct tcp_end tcp_end_of(const struct tcp_in *in, enum tcp_end_kind kind)
{
	return (struct tcp_end){
		.local = in->p->dst,
		.remote = in->p->src,
		.local_port = in->h.dst_port,
		.remote_port = in->h.src_port,
		.kind = (uint8_t)kind,
	};
}

/* --- negotiation --- */

/*
 * RFC 3168 6.1.1: an ECN-setup SYN has both bits, and is not itself ECN-capable, which only a confused or a
 * malicious sender's is. An algorithm that cannot do without asks for it whatever the configuration says.
 */
static bool agrees_to_ecn(const struct tcp_listener *l, const struct tcp_in *in)
{
	const struct tcp_cc_ops *cc = tcp_cc_at(l->options.congestion);

	if ((in->h.flags & (TCP_ECE | TCP_CWR)) != (TCP_ECE | TCP_CWR))
		return false;
	return (cc && cc->wants_ecn) || (l->stack->config.ecn != 0 && !in->ect);
}

/* The MSS to announce (SHLD-6, MUST-67): of the whole packet less fixed headers, and not above the user's. */
static uint16_t own_mss(const struct tcp_listener *l, const struct ip_dst *dst)
{
	uint32_t headers = TCP_HDR_LEN + (uint32_t)(dst->is_v6 ? (int)IPV6_HDR_LEN : (int)IPV4_HDR_LEN);
	uint32_t mss = FS_MIN(dst->mtu, (uint32_t)UINT16_MAX);

	mss = mss > headers ? mss - headers : 0;
	if (l->options.mss)
		mss = FS_MIN(mss, (uint32_t)l->options.mss);
	return (uint16_t)mss;
}

static uint16_t peer_mss(const struct tcp_listener *l, const struct tcp_in *in)
{
	uint16_t mss = in->p->is_v6 ? MSS_DEFAULT_V6 : MSS_DEFAULT_V4;

	if ((in->h.options & TCP_HAS_MSS) && in->h.mss != 0)
		mss = in->h.mss;
	return l->options.mss ? FS_MIN(mss, l->options.mss) : mss;
}

bool tcp_negotiate(struct tcp_listener *l, const struct ip_env *env, const struct tcp_in *in,
		   struct tcp_handshake *hs)
{
	const struct tcp_config *config = &l->stack->config;
	const struct tcp_hdr *h = &in->h;
	const struct ip_dst *dst =
		env->tcp_ops->resolve(env->context, &in->p->src, &in->p->dst, l->options.choice);
	struct tcp_rx_start start;

	if (!dst)
		return false;
	*hs = (struct tcp_handshake){ .irs = h->seq };
	hs->peer_mss = peer_mss(l, in);
	hs->advertised_mss = own_mss(l, dst);
	/* What the SYN does not offer is not to be in the answer (RFC 7323 1.3, RFC 2018 2). */
	if (config->timestamps && (h->options & TCP_HAS_TIMESTAMP)) {
		hs->flags |= TCP_CONN_TS;
		hs->ts_recent = h->ts_val;
	}
	if (config->sack && (h->options & TCP_HAS_SACK_PERMITTED))
		hs->flags |= TCP_CONN_SACK;
	if (config->window_scaling && (h->options & TCP_HAS_WSCALE)) {
		hs->flags |= TCP_CONN_WSCALE;
		hs->snd_wscale = FS_MIN(h->wscale, (uint8_t)WSCALE_MAX);
	}
	if (agrees_to_ecn(l, in))
		hs->flags |= TCP_CONN_ECN;
	/* Linux quantises the window by the payload of a segment, hence the well-known 65160. */
	start = tcp_rx_start(config, &l->options,
			     (uint16_t)(hs->advertised_mss - (hs->flags & TCP_CONN_TS ? TIMESTAMP_LEN : 0)),
			     (hs->flags & TCP_CONN_WSCALE) != 0);
	hs->window = FS_MIN(start.window, (uint32_t)UINT16_MAX);
	hs->rcv_wscale = start.wscale;
	return true;
}

/* --- what is sent --- */

/* A reply to where @end leads. */
static struct tcp_reply reply_to(const struct tcp_listener *l, const struct tcp_end *end)
{
	return (struct tcp_reply){
		.local = end->local,
		.remote = end->remote,
		.local_port = end->local_port,
		.remote_port = end->remote_port,
		.style = l->options.style[!ip_addr_is_v4(&end->remote)],
		.choice = l->options.choice,
	};
}

int tcp_send_synack(struct tcp_listener *l, const struct ip_env *env, const struct tcp_synack *s, fs_ns now)
{
	const struct tcp_handshake *hs = s->hs;
	struct tcp_reply r = reply_to(l, s->end);

	r.h.flags = TCP_SYN | TCP_ACK | (hs->flags & TCP_CONN_ECN ? TCP_ECE : 0);
	r.h.seq = hs->iss;
	r.h.ack = hs->irs + 1;
	r.h.window = (uint16_t)hs->window; /* never scaled in a SYN: RFC 7323 2.2 */
	r.h.options = TCP_HAS_MSS;
	r.h.mss = hs->advertised_mss;
	if (hs->flags & TCP_CONN_SACK)
		r.h.options |= TCP_HAS_SACK_PERMITTED;
	if (hs->flags & TCP_CONN_WSCALE) {
		r.h.options |= TCP_HAS_WSCALE;
		r.h.wscale = hs->rcv_wscale;
	}
	if (hs->flags & TCP_CONN_TS) {
		r.h.options |= TCP_HAS_TIMESTAMP;
		r.h.ts_val = s->ts_val;
		r.h.ts_ecr = hs->ts_recent;
	}
	if (s->cookie_len >= 0) {
		r.h.options |= TCP_HAS_FASTOPEN;
		r.h.cookie_len = (uint8_t)s->cookie_len;
		memcpy(r.h.cookie, s->cookie, (size_t)s->cookie_len);
	}
	return tcp_reply(l->stack, env, &r, now);
}

static uint32_t req_ts_now(const struct tcp_req *req, fs_ns now)
{
	return (uint32_t)(now / FS_MS(1)) + req->hs.ts_offset;
}

/* The SYN-ACK for the first time, or again. 0 or why it did not leave. */
static int send_synack(struct tcp_req *req, const struct ip_env *env, struct tcp_synack *s, fs_ns now)
{
	s->end = &req->end;
	s->hs = &req->hs;
	s->ts_val = req->ts_last = req_ts_now(req, now);
	return tcp_send_synack(req->listener, env, s, now);
}

static void resend_synack(struct tcp_req *req, const struct ip_env *env, fs_ns now)
{
	struct tcp_synack s = { .cookie_len = -1 };

	if (send_synack(req, env, &s, now) < 0)
		return;
	req->sent_at = 0;
	req->retransmits++;
	req->listener->stack->ip->counters[FS_CTR_tcp_retransmitted]++;
}

/* Something is wrong with what came: say where we are. Throttled, see above. */
static void answer(struct tcp_req *req, const struct ip_env *env, const struct tcp_in *in, bool challenge)
{
	struct tcp_listener *l = req->listener;
	struct tcp_reply r = reply_to(l, &req->end);
	uint64_t *counters = l->stack->ip->counters;

	if (req->answered_at != 0 && in->now - req->answered_at < FS_MS(ANSWER_INTERVAL_MS)) {
		counters[FS_CTR_tcp_challenges_held] += challenge;
		return;
	}
	req->answered_at = in->now;
	r.h.flags = TCP_ACK;
	r.h.seq = req->hs.iss + 1;
	r.h.ack = req->hs.irs + 1;
	r.h.window = (uint16_t)(req->hs.window >> req->hs.rcv_wscale);
	if (req->hs.flags & TCP_CONN_TS) {
		r.h.options = TCP_HAS_TIMESTAMP;
		r.h.ts_val = req_ts_now(req, in->now);
		r.h.ts_ecr = req->hs.ts_recent;
	}
	counters[FS_CTR_tcp_challenges] += challenge;
	tcp_reply(l->stack, env, &r, in->now);
}

/* --- life --- */

void tcp_req_free(struct tcp_req *req)
{
	struct tcp_listener *l = req->listener;
	struct tcp_stack *tcp = l->stack;

	timer_cancel(&tcp->wheel, &req->timer);
	list_remove(&req->link);
	if (req->flags & TCP_REQ_PENALTY) {
		l->n_fastopen--;
	} else {
		tcp_end_remove(tcp, &req->end);
		l->n_reqs--;
		l->n_young -= req->timeouts == 0;
	}
	slab_free(&tcp->reqs, req);
}

static fs_ns req_timeout(const struct tcp_req *req)
{
	const struct tcp_config *config = &req->listener->stack->config;
	uint64_t us = (uint64_t)config->rto_initial_us << FS_MIN(req->timeouts, (uint8_t)20);

	return FS_US((fs_ns)FS_MIN(us, (uint64_t)config->rto_max_us));
}

static struct tcp_req *req_create(struct tcp_listener *l, const struct tcp_in *in, const struct tcp_handshake *hs)
{
	struct tcp_stack *tcp = l->stack;
	struct tcp_req *req = slab_alloc(&tcp->reqs);

	if (!req)
		return NULL;
	req->end = tcp_end_of(in, TCP_END_REQ);
	req->hs = *hs;
	req->listener = l;
	timer_init(&req->timer, TCP_WHEEL_REQ);
	list_push_back(&l->reqs, &req->link);
	l->n_reqs++;
	l->n_young++;
	tcp_end_insert(tcp, &req->end);
	return req;
}

/* The SYN-ACK for the first time. What cannot leave just now, because the neighbour is not known yet perhaps, is tried
 * again soon: the peer's own patience is a second. */
static void begin_waiting(struct tcp_req *req, const struct ip_env *env, struct tcp_synack *s, fs_ns now)
{
	fs_ns wait = FS_MIN(FS_MS(BLOCKED_FIRST_MS) << FS_MIN(req->blocked, (uint8_t)16), req_timeout(req));

	if (send_synack(req, env, s, now) < 0 && wait < req_timeout(req)) {
		req->blocked++;
	} else {
		req->blocked = 0;
		wait = req_timeout(req);
	}
	req->ts_first = req->ts_last;
	req->sent_at = now;
	timer_add(&req->listener->stack->wheel, &req->timer, now + wait);
}

/* The SYN queue has room, or nothing is kept: *@cookie. False: the SYN is dropped. */
static bool may_begin(struct tcp_listener *l, const struct tcp_in *in, bool *cookie)
{
	struct tcp_stack *tcp = l->stack;

	/* What was in TIME-WAIT is no flood: its peer is real, and takes no more than it did (as Linux). */
	*cookie = in->iss == 0 && (tcp->config.syncookies == 2 || l->n_reqs > l->backlog);
	if (*cookie && tcp->config.syncookies == 0) {
		tcp->ip->counters[FS_CTR_drop_tcp_syn_overflow]++;
		return false;
	}
	return !tcp_accept_queue_full(l);
}

/* DEVIATION: data on a SYN are not kept for later without Fast Open (RFC 9293 3.10.7.2 lets them be queued): the
 * SYN-ACK does not ack them, so the peer sends them again, as to Linux. Tested: tcp_request_begin__syn_with_data. */
void tcp_request_begin(struct tcp_listener *l, const struct ip_env *env, struct tcp_in *in)
{
	uint8_t cookie[TCP_FASTOPEN_COOKIE_LEN];
	struct tcp_synack s = { .cookie_len = -1 };
	struct tcp_stack *tcp = l->stack;
	struct tcp_handshake hs;
	struct tcp_req *req;
	struct tcp_end end;
	bool stateless;

	if (!may_begin(l, in, &stateless))
		return;
	if (!tcp_negotiate(l, env, in, &hs)) {
		tcp->ip->counters[FS_CTR_tcp_blocked]++;
		tcp->ip->counters[FS_CTR_drop_tcp_listen]++;
		return;
	}
	end = tcp_end_of(in, TCP_END_REQ);
	hs.ts_offset = tcp_ts_offset(tcp, &end);
	if (stateless) {
		tcp_cookie_send(l, env, in, &hs);
		return;
	}
	hs.iss = in->iss ? in->iss : tcp_isn(tcp, &end, in->now);
	if (tcp_fastopen_begin(l, env, in, &hs, &s, cookie))
		return;
	req = req_create(l, in, &hs);
	if (!req) {
		tcp->ip->counters[FS_CTR_drop_tcp_no_memory]++;
		return;
	}
	begin_waiting(req, env, &s, in->now);
}

/* --- segments --- */

/* Is the segment's space in the window of the SYN-ACK (RFC 9293 3.10.7.4, first)? */
static bool is_acceptable(const struct tcp_req *req, const struct tcp_in *in)
{
	tcp_seq left = req->hs.irs + 1, right = left + req->hs.window;

	if (in->h.seq == left)
		return true;
	if (in->h.seq == in->end)
		return seq_ge(in->h.seq, left) && seq_lt(in->h.seq, right);
	return seq_gt(in->end, left) && seq_lt(in->h.seq, right);
}

/*
 * RFC 7323 5: older than what came before. And the echo of what we never sent: only the two numbers of one of our
 * SYN-ACKs, first to last, are an answer to it; so a third ACK cannot be guessed by its sequence numbers alone.
 */
static bool is_stale(const struct tcp_req *req, const struct tcp_in *in)
{
	const struct tcp_hdr *h = &in->h;

	if (!(h->options & TCP_HAS_TIMESTAMP) || !(req->hs.flags & TCP_CONN_TS) || (h->flags & TCP_RST))
		return false;
	if (seq_lt(h->ts_val, req->hs.ts_recent))
		return true;
	return (h->flags & TCP_ACK) && h->ts_ecr != 0 &&
	       (seq_lt(h->ts_ecr, req->ts_first) || seq_gt(h->ts_ecr, req->ts_last));
}

/* The peer's SYN again: it has not seen our answer. */
static bool is_same_syn(const struct tcp_req *req, const struct tcp_in *in)
{
	return in->h.seq == req->hs.irs && (in->h.flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN;
}

static void answer_again(struct tcp_req *req, const struct ip_env *env, const struct tcp_in *in)
{
	struct tcp_stack *tcp = req->listener->stack;

	if (req->answered_at != 0 && in->now - req->answered_at < FS_MS(ANSWER_INTERVAL_MS))
		return;
	req->answered_at = in->now;
	resend_synack(req, env, in->now);
	timer_add(&tcp->wheel, &req->timer, in->now + req_timeout(req));
}

/* The handshake is complete: the request becomes a connection, if accept() keeps up. */
static void complete(struct tcp_req *req, const struct ip_env *env, struct tcp_in *in)
{
	struct tcp_listener *l = req->listener;
	struct tcp_handshake hs = req->hs;
	struct tcp_end end = req->end;
	fs_ns sent_at = req->sent_at;
	uint8_t retransmits = req->retransmits;
	struct tcp_conn *c;

	/* The peer believes to be connected, so it will send something, or our SYN-ACK makes it say so again. */
	if (tcp_accept_queue_full(l)) {
		req->flags |= TCP_REQ_ACKED;
		return;
	}
	c = tcp_child_create(l, env, &end, &hs, in->now);
	if (!c) {
		req->flags |= TCP_REQ_ACKED;
		return;
	}
	c->total_retrans = c->retransmits = retransmits;
	tcp_req_free(req);
	tcp_child_established(c, env, in, sent_at);
}

/* RST, SYN and ACK of a segment whose numbers are acceptable: RFC 9293 3.10.7.4, second to fifth. */
static void judge_flags(struct tcp_req *req, const struct ip_env *env, struct tcp_in *in)
{
	struct tcp_listener *l = req->listener;
	uint64_t *counters = l->stack->ip->counters;
	uint16_t flags = in->h.flags;

	if ((flags & TCP_RST) && in->h.seq == req->hs.irs + 1) {
		/* A passive open goes back to LISTEN, and nobody is told (MUST-11). */
		counters[FS_CTR_tcp_resets_in]++;
		tcp_req_free(req);
		return;
	}
	/*
	 * RFC 5961 3.2: in the window, but not exactly where we are. The same for a SYN that is not the one before
	 * (4.2): RFC 9293 would return to LISTEN, so that anybody who guesses the window ends the handshake; Linux
	 * resets it. A peer that began anew answers the challenge with the exact RST.
	 */
	if (flags & (TCP_RST | TCP_SYN)) {
		counters[FS_CTR_drop_tcp_blind]++;
		/* A RST whose text alone reaches into the window is outside of it: its number counts. */
		if (!(flags & TCP_RST) || seq_gt(in->h.seq, req->hs.irs))
			answer(req, env, in, true);
		return;
	}
	if (!(flags & TCP_ACK)) {
		counters[FS_CTR_drop_tcp_ack]++;
		return;
	}
	if (in->h.ack != req->hs.iss + 1) {
		counters[FS_CTR_drop_tcp_ack]++;
		tcp_reply_reset(l->stack, env, in);
		return;
	}
	/* TCP_DEFER_ACCEPT: a bare ACK wakes nobody. It is as if it had been lost. */
	if (req->timeouts < l->own.defer_accept && in->end == req->hs.irs + 1) {
		req->flags |= TCP_REQ_ACKED;
		return;
	}
	complete(req, env, in);
}

void tcp_req_input(struct tcp_req *req, const struct ip_env *env, struct tcp_in *in)
{
	uint64_t *counters = req->listener->stack->ip->counters;
	bool stale = is_stale(req, in);

	if (is_same_syn(req, in) && !stale) {
		answer_again(req, env, in);
		return;
	}
	/* DEVIATION: as in input.c, RFC 7323 3.2 drops it. Tested: tcp_req_input__without_timestamp. */
	if ((req->hs.flags & TCP_CONN_TS) && !(in->h.options & TCP_HAS_TIMESTAMP) && !(in->h.flags & TCP_RST))
		counters[FS_CTR_tcp_no_timestamp]++;
	if (stale || !is_acceptable(req, in)) {
		counters[stale ? FS_CTR_drop_tcp_paws : FS_CTR_drop_tcp_window]++;
		if (!(in->h.flags & TCP_RST))
			answer(req, env, in, false);
		return;
	}
	if ((req->hs.flags & TCP_CONN_TS) && (in->h.options & TCP_HAS_TIMESTAMP) && in->h.seq == req->hs.irs + 1)
		req->hs.ts_recent = in->h.ts_val;
	judge_flags(req, env, in);
}

/* --- time --- */

/*
 * How often the SYN-ACK is sent again. Requests nobody answers, and only these grow old, may not take the queue
 * from those who would: when they take more than half of it, the oldest go first (as Linux).
 */
static uint32_t allowed_timeouts(const struct tcp_listener *l)
{
	uint32_t allowed = l->options.syn_count ? l->options.syn_count : l->stack->config.synack_retries;
	uint32_t young = l->n_young * 2;

	if (l->n_reqs * 2 <= FS_MAX(l->backlog, (uint32_t)QUEUE_SMALL))
		return allowed;
	for (; allowed > RETRIES_FLOOR && l->n_reqs >= young; allowed--)
		young *= 2;
	return allowed;
}

void tcp_req_timer(struct tcp_stack *tcp, const struct ip_env *env, struct tcp_req *req, fs_ns now)
{
	struct tcp_listener *l = req->listener;
	uint32_t defer = l->own.defer_accept;
	bool acked = req->flags & TCP_REQ_ACKED;

	if (req->flags & TCP_REQ_PENALTY) {
		tcp_fastopen_pardon(req);
		return;
	}
	if (req->blocked) {
		struct tcp_synack s = { .cookie_len = -1 };

		begin_waiting(req, env, &s, now);
		return;
	}
	if (req->timeouts >= allowed_timeouts(l) && (!acked || req->timeouts >= defer)) {
		tcp_req_free(req);
		return;
	}
	/* While the peer's data are waited for its SYN need not be answered; in the end it gets a last chance. */
	if (!acked || req->timeouts + 1u >= defer)
		resend_synack(req, env, now);
	if (req->timeouts++ == 0)
		l->n_young--;
	timer_add(&tcp->wheel, &req->timer, now + req_timeout(req));
}
