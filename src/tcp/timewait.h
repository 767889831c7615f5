/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * timewait.h - a connection that is over but for what the network may still hold of it (RFC 9293 3.6.1).
 *
 * All that can come is the peer's FIN again, old duplicates, and a SYN that begins anew; for these a few words
 * suffice. timewait.c reads and writes them.
 * Threads:  holder of the stack's lock only.
 */
#ifndef FSOCK_TCP_TIMEWAIT_H
#define FSOCK_TCP_TIMEWAIT_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/seq.h"
#include "base/timer.h"
#include "tcp/tcp.h"

struct ip_env;
struct tcp_conn;
struct tcp_in;

struct tcp_tw {
	struct tcp_end end;	/* first member: see tcp_end */
	struct list age;	/* in tcp_stack.tw_age */
	struct timer timer;	/* kind TCP_WHEEL_TW */
	tcp_seq snd_nxt, rcv_nxt; /* beyond both FINs */
	uint16_t window;	/* as the last segment's field said it */
	bool timestamps;
	struct tcp_style style; /* of its ACKs */
	uint32_t ts_recent, ts_offset;
	fs_ns ts_recent_at;
	fs_ns answered_at;	/* last ACK to what was no FIN; 0 = never */
	uint64_t choice;	/* for tcp_ops.resolve */
};
static_assert(sizeof(struct tcp_tw) <= 192, "TIME-WAIT is small");

/* Handle @in; a SYN that may begin anew goes to its listener, the entry is gone then. */
void tcp_tw_input(struct tcp_tw *tw, const struct ip_env *env, struct tcp_in *in);

/* An entry for @c's tuple, in its place in the table; false: no memory, the connection just ends (as Linux). */
bool tcp_tw_start(struct tcp_conn *c, fs_ns now);
void tcp_tw_timer(struct tcp_stack *tcp, struct tcp_tw *tw);

/* May a connection of ours take the entry's place (T6191-1)? */
bool tcp_tw_may_go(const struct tcp_tw *tw, const struct tcp_stack *tcp, fs_ns now);

/* May @c connect over this entry? Then the entry is gone and iss, ts_offset and ts_recent are set. */
bool tcp_tw_reuse(struct tcp_tw *tw, struct tcp_conn *c, fs_ns now);

#endif
