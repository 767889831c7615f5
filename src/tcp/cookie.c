/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cookie.c - SYN cookies (RFC 4987 3.6): with the SYN queue full nothing is kept of a SYN; the number of the SYN-ACK
 * is a keyed hash that the handshake's last ACK brings back, with what had to be remembered in it.
 *
 * In the 32 bits: the peer's number and a hash of the tuple, so that the number grows as any other's does; 8 bits
 * of a clock of minutes; 24 bits of a second hash that holds the minute and an index in a table of MSS values. The
 * second hash is over the peer's number, too: added alone, a number that is off by one or two would only turn one
 * index into another, and a segment behind the one that was lost would begin the connection in the first one's place.
 * What the SYN offered besides goes into the low bits of our timestamp, which the ACK echoes; without
 * timestamps window scale, SACK and ECN are lost, the connection is a slow one.
 * Does not: send the SYN-ACK again. If it is lost, the peer's next SYN gets another.
 * Tested: T4987-2.
 */
#include "base/counter.h"
#include "base/err.h"
#include "ip/ip.h"
#include "tcp/request.h"
#include "tcp/tcp_internal.h"

enum {
	MINUTE_S = 60,
	AGE_MAX = 2,	       /* minutes a cookie is good for, at least one less */
	MINUTE_SHIFT = 24,
	LOW_MASK = (1 << MINUTE_SHIFT) - 1,

	/* Low bits of the timestamp of a SYN-ACK with a cookie. */
	TS_WSCALE = 15,	       /* the peer's shift; 15 = no scaling */
	TS_SACK = 1 << 4,
	TS_ECN = 1 << 5,
	TS_BITS = 6,
	TS_MASK = (1 << TS_BITS) - 1,
};

/* Two domains of one key: numbers seen in one place tell nothing of the other. */
enum { DOMAIN_BASE = 1, DOMAIN_LOW = 2 };

/* The greatest not above the peer's is taken: what is common on Ethernet and with tunnels, the defaults, and
 * something for whoever has less. Ascending. Every entry more is one more number that an ACK may guess. */
static const uint16_t mss_v4[] = { 216, 536, 1300, 1440, 1460, 8960 };
static const uint16_t mss_v6[] = { 216, 536, 1220, 1420, 1440, 8940 };
static_assert(FS_ARRAY_SIZE(mss_v4) == FS_ARRAY_SIZE(mss_v6), "one size");

static uint32_t hash(const struct tcp_stack *tcp, const struct tcp_end *end, uint32_t domain, uint32_t minute,
		     tcp_seq irs)
{
	const uint64_t key[7] = { end->local.d[0],
				  end->local.d[1],
				  end->remote.d[0],
				  end->remote.d[1],
				  (uint32_t)end->local_port << 16 | end->remote_port,
				  (uint64_t)domain << 32 | minute,
				  irs };

	return (uint32_t)siphash24(&tcp->secret[TCP_SECRET_COOKIE], key, sizeof(key));
}

static uint32_t minute_of(fs_ns now)
{
	return (uint32_t)(now / FS_SEC(MINUTE_S));
}

static tcp_seq make(const struct tcp_stack *tcp, const struct tcp_end *end, tcp_seq irs, uint32_t index, fs_ns now)
{
	uint32_t minute = minute_of(now);

	return hash(tcp, end, DOMAIN_BASE, 0, 0) + irs + (minute << MINUTE_SHIFT) +
	       ((hash(tcp, end, DOMAIN_LOW, minute, irs) + index) & LOW_MASK);
}

enum { COOKIE_NONE = -1, COOKIE_LATER = -2 };

/*
 * The index in it; or COOKIE_NONE: it is none, or too old. COOKIE_LATER: its minute is right, so it probably
 * belongs to a number before this one: the first segments of a connection were lost, and this is one behind them.
 */
static int check(const struct tcp_stack *tcp, const struct tcp_end *end, tcp_seq irs, tcp_seq cookie, fs_ns now)
{
	uint32_t minute = minute_of(now), age, index;

	cookie -= hash(tcp, end, DOMAIN_BASE, 0, 0) + irs;
	age = (minute - (cookie >> MINUTE_SHIFT)) & 0xff;
	if (age > AGE_MAX)
		return COOKIE_NONE;
	index = (cookie - hash(tcp, end, DOMAIN_LOW, minute - age, irs)) & LOW_MASK;
	if (age < AGE_MAX && index < FS_ARRAY_SIZE(mss_v4))
		return (int)index;
	return COOKIE_LATER; /* what is missing may have borrowed from the minute */
}

static uint32_t mss_index(const struct tcp_handshake *hs, bool is_v6)
{
	const uint16_t *table = is_v6 ? mss_v6 : mss_v4;
	uint32_t i = FS_ARRAY_SIZE(mss_v4) - 1;

	while (i > 0 && table[i] > hs->peer_mss)
		i--;
	return i;
}

/* Our clock with @bits below, and not ahead of it: a timestamp from the future would make PAWS drop what follows. */
static uint32_t encode_timestamp(const struct tcp_handshake *hs, fs_ns now)
{
	uint32_t clock = (uint32_t)(now / FS_MS(1));
	uint32_t bits = hs->flags & TCP_CONN_WSCALE ? hs->snd_wscale : (uint32_t)TS_WSCALE;
	uint32_t ts;

	if (hs->flags & TCP_CONN_SACK)
		bits |= TS_SACK;
	if (hs->flags & TCP_CONN_ECN)
		bits |= TS_ECN;
	ts = (clock & ~(uint32_t)TS_MASK) | bits;
	if (seq_gt(ts, clock))
		ts -= 1 << TS_BITS;
	return ts + hs->ts_offset;
}

/* What the echo says the SYN offered, of what we still agree to. */
static void decode_timestamp(const struct tcp_listener *l, struct tcp_handshake *hs, uint32_t echo)
{
	const struct tcp_config *config = &l->stack->config;
	uint32_t bits = (echo - hs->ts_offset) & TS_MASK;

	if ((bits & TS_SACK) && config->sack)
		hs->flags |= TCP_CONN_SACK;
	if (bits & TS_ECN)
		hs->flags |= TCP_CONN_ECN;
	if ((bits & TS_WSCALE) == TS_WSCALE || !config->window_scaling)
		return;
	hs->flags |= TCP_CONN_WSCALE;
	hs->snd_wscale = (uint8_t)(bits & TS_WSCALE);
}

void tcp_cookie_send(struct tcp_listener *l, const struct ip_env *env, const struct tcp_in *in,
		     struct tcp_handshake *hs)
{
	struct tcp_stack *tcp = l->stack;
	struct tcp_end end = tcp_end_of(in, TCP_END_REQ);
	struct tcp_synack s = { .end = &end, .hs = hs, .cookie_len = -1 };

	if (hs->flags & TCP_CONN_TS) {
		s.ts_val = encode_timestamp(hs, in->now);
	} else {
		/* The answer may not agree to what nobody will remember. */
		hs->flags &= ~(uint32_t)(TCP_CONN_SACK | TCP_CONN_WSCALE | TCP_CONN_ECN);
		hs->rcv_wscale = 0;
	}
	hs->iss = make(tcp, &end, hs->irs, mss_index(hs, in->p->is_v6), in->now);
	l->cookies_at = in->now;
	tcp->ip->counters[FS_CTR_tcp_cookies_sent]++;
	tcp_send_synack(l, env, &s, in->now);
}

/* Were cookies sent so lately that one may come back? At other times nobody need try to guess one. */
static bool are_expected(const struct tcp_listener *l, fs_ns now)
{
	return l->stack->config.syncookies != 0 && l->cookies_at != 0 &&
	       now - l->cookies_at <= FS_SEC(AGE_MAX * MINUTE_S);
}

bool tcp_cookie_accept(struct tcp_listener *l, const struct ip_env *env, struct tcp_in *in)
{
	struct tcp_stack *tcp = l->stack;
	struct tcp_end end = tcp_end_of(in, TCP_END_REQ);
	uint32_t echoed = in->h.options & TCP_HAS_TIMESTAMP;
	struct tcp_handshake hs;
	struct tcp_conn *c;
	int index;

	if (!are_expected(l, in->now))
		return false;
	index = check(tcp, &end, in->h.seq - 1, in->h.ack - 1, in->now);
	if (index < 0 || (echoed && !tcp->config.timestamps)) {
		tcp->ip->counters[FS_CTR_tcp_cookies_bad]++;
		/*
		 * A RST would end a connection whose first bytes come again in a moment; Linux sends it. Of others'
		 * ACKs one in 85 is taken for such a one, and gets its RST a minute later.
		 */
		return index == COOKIE_LATER;
	}
	if (tcp_accept_queue_full(l))
		return true;
	/* As from the SYN; the ACK offers nothing. */
	if (!tcp_negotiate(l, env, in, &hs)) {
		tcp->ip->counters[FS_CTR_tcp_blocked]++;
		return true;
	}
	hs.flags &= TCP_CONN_TS;
	hs.irs = in->h.seq - 1;
	hs.iss = in->h.ack - 1;
	hs.peer_mss = (in->p->is_v6 ? mss_v6 : mss_v4)[index];
	hs.ts_offset = tcp_ts_offset(tcp, &end);
	if (echoed)
		decode_timestamp(l, &hs, in->h.ts_ecr);
	if (hs.flags & TCP_CONN_WSCALE)
		hs.rcv_wscale = tcp_rx_start(&tcp->config, &l->options, hs.advertised_mss, true).wscale;
	c = tcp_child_create(l, env, &end, &hs, in->now);
	if (!c)
		return true;
	tcp->ip->counters[FS_CTR_tcp_cookies_accepted]++;
	tcp_child_established(c, env, in, 0);
	return true;
}
