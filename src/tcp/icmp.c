/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * icmp.c - ICMP errors that quote segments of ours, and the MTU of paths.
 *
 * Anybody can send an error; only who sees the connection, or is lucky, quotes a number that is in flight (RFC 5927).
 * Beyond that an established connection believes no error but "too big": it tries on, and tells the program what
 * it heard if it gives up (MUST-56), or at once if asked to (SHLD-25, SHLD-20). A connection that is not there yet
 * ends with a hard error.
 * DEVIATION: RFC 9293 3.9.2.2 (SHLD-26) aborts on hard errors in every state; like Linux and RFC 5927 we do not
 *           where the handshake is done. Tested: tcp_icmp_input__hard_error_in_established.
 * Not here: path MTU discovery without ICMP (timer.c).
 * Standards: RFC 9293 3.9.2.2, RFC 792, RFC 4443, RFC 1191, RFC 8201, RFC 5927, RFC 6633.
 */
#include <errno.h>

#include "base/counter.h"
#include "base/err.h"
#include "ip/ip.h"
#include "tcp/request.h"
#include "tcp/tcp_internal.h"
#include "wire/icmp.h"
#include "wire/icmpv6.h"
#include "wire/protocol.h"

/* --- what a message says --- */

struct meaning {
	uint8_t kind; /* enum tcp_icmp_kind */
	int error;    /* Linux's for it */
};

/* RFC 792, RFC 1122 3.2.2.1. Networks and hosts that are out of reach may be back soon. */
static const struct meaning unreachable_v4[] = {
	{ TCP_ICMP_SOFT, ENETUNREACH },	 { TCP_ICMP_SOFT, EHOSTUNREACH }, { TCP_ICMP_HARD, ENOPROTOOPT },
	{ TCP_ICMP_HARD, ECONNREFUSED }, { TCP_ICMP_TOO_BIG, EMSGSIZE },  { TCP_ICMP_SOFT, EOPNOTSUPP },
	{ TCP_ICMP_HARD, ENETUNREACH },	 { TCP_ICMP_HARD, EHOSTDOWN },	  { TCP_ICMP_HARD, ENONET },
	{ TCP_ICMP_HARD, ENETUNREACH },	 { TCP_ICMP_HARD, EHOSTUNREACH }, { TCP_ICMP_SOFT, ENETUNREACH },
	{ TCP_ICMP_SOFT, EHOSTUNREACH }, { TCP_ICMP_HARD, EHOSTUNREACH }, { TCP_ICMP_HARD, EHOSTUNREACH },
	{ TCP_ICMP_HARD, EHOSTUNREACH },
};

/* RFC 4443 3.1 */
static const struct meaning unreachable_v6[] = {
	{ TCP_ICMP_SOFT, ENETUNREACH },	 { TCP_ICMP_HARD, EACCES }, { TCP_ICMP_SOFT, EHOSTUNREACH },
	{ TCP_ICMP_SOFT, EHOSTUNREACH }, { TCP_ICMP_HARD, ECONNREFUSED }, { TCP_ICMP_HARD, EACCES },
	{ TCP_ICMP_HARD, EACCES },
};

static bool read_v4(struct tcp_icmp *icmp, struct meaning *m, const void *message, size_t len)
{
	struct icmp_hdr h;

	if (icmp_parse(&h, message, len) < 0)
		return false;
	switch (h.type) {
	case FS_ICMP_UNREACHABLE:
		if (h.code >= FS_ARRAY_SIZE(unreachable_v4))
			return false;
		*m = unreachable_v4[h.code];
		icmp->mtu = m->kind == TCP_ICMP_TOO_BIG ? icmp_mtu(&h) : 0;
		return true;
	case FS_ICMP_TIME_EXCEEDED:
		*m = (struct meaning){ TCP_ICMP_SOFT, EHOSTUNREACH };
		return true;
	case FS_ICMP_PARAMETER:
		*m = (struct meaning){ TCP_ICMP_SOFT, EPROTO };
		return true;
	default: /* source quench (RFC 6633), redirects, which are the host's, and what is no error */
		return false;
	}
}

static bool read_v6(struct tcp_icmp *icmp, struct meaning *m, const void *message, size_t len)
{
	struct icmpv6_hdr h;

	if (icmpv6_parse(&h, message, len) < 0)
		return false;
	switch (h.type) {
	case FS_ICMPV6_UNREACHABLE:
		if (h.code >= FS_ARRAY_SIZE(unreachable_v6))
			return false;
		*m = unreachable_v6[h.code];
		return true;
	case FS_ICMPV6_PACKET_TOO_BIG:
		*m = (struct meaning){ TCP_ICMP_TOO_BIG, EMSGSIZE };
		icmp->mtu = h.rest;
		return true;
	case FS_ICMPV6_TIME_EXCEEDED:
		*m = (struct meaning){ TCP_ICMP_SOFT, EHOSTUNREACH };
		return true;
	case FS_ICMPV6_PARAMETER:
		*m = (struct meaning){ TCP_ICMP_SOFT, EPROTO };
		return true;
	default:
		return false;
	}
}

bool tcp_icmp_read(struct tcp_icmp *icmp, bool v6, const void *message, size_t len)
{
	const uint8_t *quoted = (const uint8_t *)message + ICMP_HDR_LEN;
	struct icmp_original o;
	struct meaning m;

	static_assert((int)ICMP_HDR_LEN == (int)ICMPV6_HDR_LEN, "one place for what is quoted");
	*icmp = (struct tcp_icmp){ 0 };
	if (!(v6 ? read_v6 : read_v4)(icmp, &m, message, len))
		return false;
	if (icmp_original_parse(&o, v6, quoted, len - ICMP_HDR_LEN) < 0 || o.protocol != WIRE_PROTO_TCP || !o.has_ports)
		return false;
	icmp->local = o.src;
	icmp->remote = o.dst;
	icmp->local_port = o.src_port;
	icmp->remote_port = o.dst_port;
	icmp->seq = o.tcp_seq;
	icmp->kind = m.kind;
	icmp->error = m.error;
	return true;
}

/* --- what it does --- */

enum {
	/* The least a path is believed to carry. IPv4: Linux's; less would be an attack's, or a link nobody has. */
	MTU_MIN_V4 = 552,
	MTU_MIN_V6 = 1280, /* RFC 8200 5: every link does */
};

/* RFC 1191 7.1: sizes that links have, descending. What an old router that does not say may mean. */
static const uint16_t plateau[] = { 32000, 17914, 8166, 4352, 2002, 1492, 1006, 552 };

static uint32_t next_plateau(uint32_t mtu)
{
	for (unsigned i = 0; i < FS_ARRAY_SIZE(plateau); i++)
		if (plateau[i] < mtu)
			return plateau[i];
	return MTU_MIN_V4;
}

void tcp_lower_mtu(struct tcp_conn *c, uint32_t mtu, fs_ns now)
{
	if (mtu >= c->path_mtu)
		return;
	c->path_mtu = (uint16_t)mtu;
	c->mtu_lowered_s = FS_MAX((uint32_t)(now / FS_SEC(1)), 1U);
	tcp_count(c, FS_CTR_tcp_mtu_lowered);
	tcp_update_mss(c);
	tcp_loss_on_mtu(c, now);
	tcp_mark_dirty(c);
}

void tcp_raise_mtu(struct tcp_conn *c, fs_ns now)
{
	c->mtu_lowered_s = 0;
	if (!c->dst)
		return;
	c->path_mtu = (uint16_t)FS_MIN(c->dst->mtu, (uint32_t)UINT16_MAX);
	tcp_update_mss(c);
}

/* T1191-1, T8201-1. The quoted number is in flight. The path's MTU from here on; 0 = as before. */
static uint32_t too_big(struct tcp_conn *c, const struct tcp_icmp *icmp, fs_ns now)
{
	uint32_t mtu = icmp->mtu;

	if (tcp_has(c, TCP_CONN_V6)) {
		/* RFC 8201 4: no node reduces below what every link carries. */
		if (mtu < MTU_MIN_V6)
			goto ignored;
	} else {
		if (mtu == 0)
			mtu = next_plateau(c->path_mtu);
		mtu = FS_MAX(mtu, (uint32_t)MTU_MIN_V4);
	}
	if (mtu < c->path_mtu) {
		tcp_lower_mtu(c, mtu, now);
		return mtu;
	}
ignored:
	tcp_count(c, FS_CTR_tcp_icmp_ignored);
	return 0;
}

/* Did we send a segment with that number which is not acked yet (RFC 5927 4)? */
static bool is_in_flight(const struct tcp_conn *c, tcp_seq seq)
{
	return seq_ge(seq, c->snd_una) && seq_lt(seq, c->snd_nxt);
}

/* No connection yet whose end would hurt: nobody but us begins it. A Fast Open child has bytes already. */
static bool is_opening(const struct tcp_conn *c)
{
	return c->state == TCP_SYN_SENT || (c->state == TCP_SYN_RECEIVED && !tcp_has(c, TCP_CONN_TFO_CHILD));
}

/* The program learns of it when it asks or the connection is given up; or now, and the connection goes on (as Linux). */
static void soft_error(struct tcp_conn *c, const struct ip_env *env, int error)
{
	if (!c->options.recverr) {
		c->soft_error = (uint8_t)error;
		return;
	}
	c->error = (int16_t)error;
	tcp_tell(c, env, TCP_READY_ERR);
}

static uint32_t conn_error(struct tcp_conn *c, const struct ip_env *env, const struct tcp_icmp *icmp, fs_ns now)
{
	if (tcp_has(c, TCP_CONN_FROZEN) || !is_in_flight(c, icmp->seq)) {
		tcp_count(c, FS_CTR_tcp_icmp_ignored);
		return 0;
	}
	if (icmp->kind == TCP_ICMP_TOO_BIG)
		return too_big(c, icmp, now);
	if (is_opening(c)) /* RFC 5461 4.1, against MUST-56: the program tries another address, and not after minutes */
		tcp_drop(c, env, icmp->error);
	else
		soft_error(c, env, icmp->error);
	return 0;
}

/* No program knows of it, so there is nobody to tell. */
static void req_error(struct tcp_req *req, const struct tcp_icmp *icmp)
{
	if (icmp->kind == TCP_ICMP_HARD && icmp->seq == req->hs.iss)
		tcp_req_free(req);
	else
		req->listener->stack->ip->counters[FS_CTR_tcp_icmp_ignored]++;
}

uint32_t tcp_icmp_input(struct tcp_stack *tcp, const struct ip_env *env, const struct tcp_icmp *icmp, fs_ns now)
{
	struct tcp_end *end =
		tcp_end_find(tcp, &icmp->local, icmp->local_port, &icmp->remote, icmp->remote_port);

	if (end && end->kind == TCP_END_CONN)
		return conn_error((struct tcp_conn *)(void *)end, env, icmp, now);
	if (end && end->kind == TCP_END_REQ)
		req_error((struct tcp_req *)(void *)end, icmp);
	else
		tcp->ip->counters[FS_CTR_tcp_icmp_ignored]++;
	return 0;
}
