/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * icmp.c - ICMP errors that quote segments of ours, and the MTU of paths.
 *
 * Anybody can send an error; only who sees the connection, or is lucky, quotes a number that is in flight (RFC 5927).
 * Beyond that an established connection believes no error but "too big": it tries on, and tells the program what
 * it heard if it gives up (MUST-56, SHLD-25). A connection that is not there yet ends with a hard error.
 * DEVIATION: RFC 9293 3.9.2.2 (SHLD-26) aborts on hard errors in every state; like Linux and RFC 5927 we do not
 *           where the handshake is done. Tested: tcp_icmp_input__hard_error_in_established.
 * Not here: path MTU discovery without ICMP (timer.c). Source quench never gets here (MUST-55).
 * Standards: RFC 9293 3.9.2.2, RFC 1191, RFC 8201, RFC 5927.
 */
#include "base/counter.h"
#include "base/err.h"
#include "ip/ip.h"
#include "tcp/request.h"
#include "tcp/tcp_internal.h"

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

/* T1191-1, T8201-1. The quoted number is in flight. */
static void too_big(struct tcp_conn *c, const struct tcp_icmp *icmp, fs_ns now)
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
		return;
	}
ignored:
	tcp_count(c, FS_CTR_tcp_icmp_ignored);
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

static void conn_error(struct tcp_conn *c, const struct ip_env *env, const struct tcp_icmp *icmp, fs_ns now)
{
	if (tcp_has(c, TCP_CONN_FROZEN) || !is_in_flight(c, icmp->seq)) {
		tcp_count(c, FS_CTR_tcp_icmp_ignored);
		return;
	}
	if (icmp->kind == TCP_ICMP_TOO_BIG)
		too_big(c, icmp, now);
	else if (icmp->kind == TCP_ICMP_HARD && is_opening(c))
		tcp_drop(c, env, icmp->error);
	else
		c->soft_error = icmp->error;
}

/* No program knows of it, so there is nobody to tell. */
static void req_error(struct tcp_req *req, const struct tcp_icmp *icmp)
{
	if (icmp->kind == TCP_ICMP_HARD && icmp->seq == req->hs.iss)
		tcp_req_free(req);
	else
		req->listener->stack->ip->counters[FS_CTR_tcp_icmp_ignored]++;
}

void tcp_icmp_input(struct tcp_stack *tcp, const struct ip_env *env, const struct tcp_icmp *icmp, fs_ns now)
{
	struct tcp_end *end =
		tcp_end_find(tcp, &icmp->local, icmp->local_port, &icmp->remote, icmp->remote_port);

	if (end && end->kind == TCP_END_CONN)
		conn_error((struct tcp_conn *)(void *)end, env, icmp, now);
	else if (end && end->kind == TCP_END_REQ)
		req_error((struct tcp_req *)(void *)end, icmp);
	else
		tcp->ip->counters[FS_CTR_tcp_icmp_ignored]++;
}
