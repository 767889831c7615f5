/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * timewait.c - TIME-WAIT (RFC 9293 3.6.1): keeps a tuple from being taken for its successor for a minute.
 *
 * Does:     answers the peer's FIN when it comes again, lets a SYN begin anew that cannot be an old one (MAY-2,
 *           SHLD-4, RFC 6191), and our own connect with timestamps.
 * DEVIATION: RFC 9293 3.6.1 (MUST-13) wants 2 MSL, four minutes; Linux's minute is what hosts expect.
 *           Tested: tcp_tw_timer__ends_after_a_minute.
 * Standards: RFC 9293 3.10.7.4, RFC 1337, RFC 6191, RFC 7323 5.
 */
#include "tcp/timewait.h"

#include "base/counter.h"
#include "base/err.h"
#include "ip/ip.h"
#include "tcp/request.h"
#include "tcp/tcp_internal.h"

enum {
	ANSWER_INTERVAL_MS = 500, /* as requests: confused hosts do not keep each other busy */
	REUSE_AFTER_S = 1,	  /* the peer's clock of timestamps has ticked since */
	ISS_DISTANCE = 65535 + 2, /* a successor's first number is beyond what an unscaled window was (as Linux) */
};

/* --- life --- */

static struct tcp_tw *tw_of_age(struct list *age)
{
	return FS_CONTAINER_OF(age, struct tcp_tw, age);
}

static void tw_free(struct tcp_stack *tcp, struct tcp_tw *tw)
{
	timer_cancel(&tcp->wheel, &tw->timer);
	list_remove(&tw->age);
	tcp_end_remove(tcp, &tw->end);
	tcp->n_tw--;
	slab_free(&tcp->tws, tw);
}

/* (Re)start the two lifetimes. */
static void restart(struct tcp_stack *tcp, struct tcp_tw *tw, fs_ns now)
{
	list_remove(&tw->age);
	list_push_back(&tcp->tw_age, &tw->age);
	timer_add(&tcp->wheel, &tw->timer, now + FS_US((fs_ns)tcp->config.tw_us));
}

/* Memory for one more; with too many the oldest gives way, which has the least to protect. */
static struct tcp_tw *tw_alloc(struct tcp_stack *tcp)
{
	struct list *oldest = list_first(&tcp->tw_age);
	struct tcp_tw *tw = tcp->n_tw < tcp->config.max_tw ? slab_alloc(&tcp->tws) : NULL;

	if (tw)
		return tw;
	tcp->ip->counters[FS_CTR_tcp_time_waits_dropped]++;
	if (!oldest)
		return NULL;
	tw_free(tcp, tw_of_age(oldest));
	return slab_alloc(&tcp->tws);
}

bool tcp_tw_start(struct tcp_conn *c, fs_ns now)
{
	struct tcp_stack *tcp = c->stack;
	struct tcp_tw *tw = tw_alloc(tcp);

	if (tcp_has(c, TCP_CONN_IN_TABLE)) {
		tcp_end_remove(tcp, &c->end);
		c->flags &= ~(uint32_t)TCP_CONN_IN_TABLE;
	}
	if (!tw)
		return false;
	tw->end = c->end;
	tw->end.kind = TCP_END_TW;
	tw->snd_nxt = c->snd_nxt;
	tw->rcv_nxt = c->rcv_nxt;
	tw->window = (uint16_t)FS_MIN(tcp_receive_window(c) >> c->rcv_wscale, (uint32_t)UINT16_MAX);
	tw->timestamps = tcp_has(c, TCP_CONN_TS);
	tw->ts_recent = c->ts_recent;
	tw->ts_recent_at = c->ts_recent_at;
	tw->ts_offset = c->ts_offset;
	tw->style = c->options.style[tcp_has(c, TCP_CONN_V6)];
	tw->choice = c->options.choice;
	timer_init(&tw->timer, TCP_WHEEL_TW);
	tcp_end_insert(tcp, &tw->end);
	tcp->n_tw++;
	restart(tcp, tw, now);
	tcp->ip->counters[FS_CTR_tcp_time_waits]++;
	return true;
}

void tcp_tw_timer(struct tcp_stack *tcp, struct tcp_tw *tw)
{
	tw_free(tcp, tw);
}

/* --- segments --- */

/* An ACK that says where the connection ended. */
static void answer(struct tcp_stack *tcp, const struct ip_env *env, struct tcp_tw *tw, const struct tcp_in *in)
{
	struct tcp_reply r = {
		.local = tw->end.local,
		.remote = tw->end.remote,
		.local_port = tw->end.local_port,
		.remote_port = tw->end.remote_port,
		.style = tw->style,
		.choice = tw->choice,
		.h = { .flags = TCP_ACK, .seq = tw->snd_nxt, .ack = tw->rcv_nxt, .window = tw->window },
	};
	bool takes_space = in->len > 0 || ((in->h.flags & TCP_FIN) && !(in->h.flags & TCP_SYN));

	/* What takes sequence space is the peer's, who waits; a bare ACK or a SYN may be half of a loop. */
	if (!takes_space && tw->answered_at != 0 && in->now - tw->answered_at < FS_MS(ANSWER_INTERVAL_MS)) {
		tcp->ip->counters[FS_CTR_tcp_challenges_held]++;
		return;
	}
	if (!takes_space)
		tw->answered_at = in->now;
	if (tw->timestamps) {
		r.h.options = TCP_HAS_TIMESTAMP;
		r.h.ts_val = (uint32_t)(in->now / FS_MS(1)) + tw->ts_offset;
		r.h.ts_ecr = tw->ts_recent;
	}
	tcp_reply(tcp, env, &r, in->now);
}

static bool has_timestamp(const struct tcp_tw *tw, const struct tcp_in *in)
{
	return tw->timestamps && (in->h.options & TCP_HAS_TIMESTAMP);
}

/* RFC 7323 5: older than the connection's last segment. */
static bool is_stale(const struct tcp_tw *tw, const struct tcp_in *in)
{
	return has_timestamp(tw, in) && !(in->h.flags & TCP_RST) && seq_lt(in->h.ts_val, tw->ts_recent);
}

/*
 * May the SYN begin anew (MAY-2)? Its number lies beyond all the old connection used, or its timestamp is newer than
 * all of them (RFC 6191 2): then it is no duplicate from that time.
 */
static bool begins_anew(const struct tcp_tw *tw, const struct tcp_in *in, bool stale)
{
	if ((in->h.flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) != TCP_SYN || stale)
		return false;
	return seq_gt(in->h.seq, tw->rcv_nxt) || (has_timestamp(tw, in) && seq_gt(in->h.ts_val, tw->ts_recent));
}

/* True: a listener has it, the entry is gone. */
static bool begin_anew(struct tcp_stack *tcp, const struct ip_env *env, struct tcp_tw *tw, struct tcp_in *in)
{
	const struct packet *p = in->p;
	struct tcp_listener *l =
		tcp_listener_find(tcp, &p->dst, p->dst_port, &p->src, p->src_port, in->ifindex);

	if (!l)
		return false;
	in->iss = tw->snd_nxt + ISS_DISTANCE;
	if (in->iss == 0)
		in->iss = 1;
	tcp->ip->counters[FS_CTR_tcp_time_waits_reused]++;
	tw_free(tcp, tw);
	tcp_listen_input(l, env, in);
	return true;
}

void tcp_tw_input(struct tcp_tw *tw, const struct ip_env *env, struct tcp_in *in)
{
	struct tcp_stack *tcp = env->tcp;
	bool stale = is_stale(tw, in);

	if (begins_anew(tw, in, stale) && begin_anew(tcp, env, tw, in))
		return;
	if (in->h.flags & TCP_RST) {
		/*
		 * RFC 1337 calls it assassination, and says to ignore it; Linux obeys an exact RST unless told
		 * otherwise. In neither case is it answered.
		 */
		if (in->h.seq == tw->rcv_nxt && !tcp->config.rfc1337)
			tw_free(tcp, tw);
		else
			tcp->ip->counters[FS_CTR_drop_tcp_blind]++;
		return;
	}
	if (!stale && in->h.seq == tw->rcv_nxt && in->end == in->h.seq) {
		/* The peer's last ACK, once more. */
		if (has_timestamp(tw, in)) {
			tw->ts_recent = in->h.ts_val;
			tw->ts_recent_at = in->now;
		}
		restart(tcp, tw, in->now);
		return;
	}
	/* The peer's FIN again, or an old duplicate. A SYN that may be either does not prolong anything. */
	tcp->ip->counters[stale ? FS_CTR_drop_tcp_paws : FS_CTR_drop_tcp_old]++;
	if (stale || (in->h.flags & TCP_ACK))
		restart(tcp, tw, in->now);
	answer(tcp, env, tw, in);
}

bool tcp_tw_may_go(const struct tcp_tw *tw, const struct tcp_stack *tcp, fs_ns now)
{
	/* Only timestamps tell the peer that our SYN is none of the old connection's (RFC 6191). */
	return tw->timestamps && tcp->config.timestamps && now - tw->ts_recent_at > FS_SEC(REUSE_AFTER_S);
}

bool tcp_tw_reuse(struct tcp_tw *tw, struct tcp_conn *c, fs_ns now)
{
	struct tcp_stack *tcp = c->stack;

	if (!tcp_tw_may_go(tw, tcp, now))
		return false;
	c->iss = tw->snd_nxt + ISS_DISTANCE;
	c->ts_offset = tw->ts_offset;
	c->ts_recent = tw->ts_recent;
	c->ts_recent_at = tw->ts_recent_at;
	tcp->ip->counters[FS_CTR_tcp_time_waits_reused]++;
	tw_free(tcp, tw);
	return true;
}
