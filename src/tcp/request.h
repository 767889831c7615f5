/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * request.h - a handshake at a listener: what was agreed on, and the half-open connection that keeps it.
 *
 * A SYN becomes a struct tcp_req, a few words in the table of ends instead of a connection, so that a flood of
 * SYNs costs little (RFC 4987). The proper third ACK makes a connection of it. With a SYN cookie there is not even
 * that: the ACK itself carries what was agreed on (cookie.c).
 *
 * Threads:  holder of the stack's lock only.
 */
#ifndef FSOCK_TCP_REQUEST_H
#define FSOCK_TCP_REQUEST_H

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

/* What the two SYNs agreed on. */
struct tcp_handshake {
	tcp_seq irs, iss;
	uint32_t flags;		 /* TCP_CONN_TS, _SACK, _WSCALE, _ECN of enum tcp_conn_flag */
	uint32_t ts_recent;	 /* of the peer's latest segment */
	uint32_t ts_offset;	 /* of ours */
	uint32_t window;	 /* the SYN-ACK announced, bytes */
	uint16_t peer_mss;	 /* as the peer said, or the default (RFC 9293 3.7.1, MUST-15) */
	uint16_t advertised_mss;
	uint8_t snd_wscale, rcv_wscale;
};

enum tcp_req_flag {
	TCP_REQ_ACKED = 1 << 0,	  /* the handshake's last ACK came, but was not taken: queue full, or deferred */
	TCP_REQ_PENALTY = 1 << 1, /* no request: a place a reset Fast Open child goes on to take (fastopen.c) */
};

struct tcp_req {
	struct tcp_end end;	 /* first member: see tcp_end */
	struct tcp_listener *listener; /* borrowed, never NULL */
	struct list link;	 /* in listener->reqs */
	struct timer timer;	 /* kind TCP_WHEEL_REQ */
	struct tcp_handshake hs;
	fs_ns sent_at;		 /* the SYN-ACK; 0 = more than once, so no round trip can be had of it (Karn) */
	fs_ns answered_at;	 /* when something out of order was answered last; 0 = never */
	uint32_t ts_first, ts_last; /* timestamps of the first and the last SYN-ACK */
	uint8_t timeouts;	 /* of the timer */
	uint8_t retransmits;	 /* SYN-ACKs sent after the first */
	uint8_t flags;		 /* enum tcp_req_flag */
	uint8_t blocked;	 /* tries to send the first SYN-ACK that failed for local reasons */
};
static_assert(sizeof(struct tcp_req) <= 192, "a half-open connection is small");

/* --- request.c --- */

void tcp_req_input(struct tcp_req *req, const struct ip_env *env, struct tcp_in *in);
void tcp_req_timer(struct tcp_stack *tcp, const struct ip_env *env, struct tcp_req *req, fs_ns now);

/* A SYN for @l: makes a request, a Fast Open child or a cookie of it and answers; or drops it. */
void tcp_request_begin(struct tcp_listener *l, const struct ip_env *env, struct tcp_in *in);

/* What @in's SYN and @l's options agree on; iss and ts_offset are the caller's. False: no route back. */
bool tcp_negotiate(struct tcp_listener *l, const struct ip_env *env, const struct tcp_in *in,
		   struct tcp_handshake *hs);

/* The SYN-ACK of @hs; with @cookie_len >= 0 a Fast Open option of so many bytes of @cookie. As tcp_reply(). */
struct tcp_synack {
	const struct tcp_end *end;
	const struct tcp_handshake *hs;
	uint32_t ts_val;
	int cookie_len; /* -1 = no Fast Open option */
	const uint8_t *cookie;
};
int tcp_send_synack(struct tcp_listener *l, const struct ip_env *env, const struct tcp_synack *s, fs_ns now);

/* The end a segment belongs to, as seen from here; not in the table. */
struct tcp_end tcp_end_of(const struct tcp_in *in, enum tcp_end_kind kind);

/* Forget @req. */
void tcp_req_free(struct tcp_req *req);

/* --- listen.c --- */

/* Whose a SYN from @remote to @local is; NULL = nobody's. Linux's preference, see score(). */
struct tcp_listener *tcp_listener_find(struct tcp_stack *tcp, const struct ip_addr *local, uint16_t local_port,
				       const struct ip_addr *remote, uint16_t remote_port, uint32_t ifindex);
void tcp_listen_input(struct tcp_listener *l, const struct ip_env *env, struct tcp_in *in);

/* accept() would get more than it asked to keep. Counts the overflow. */
bool tcp_accept_queue_full(struct tcp_listener *l);

/*
 * A connection of @hs between @end's ends, in the table and in @l's accept queue, with @l's options: CLOSED still,
 * so that the caller may decide what it is. NULL: no memory, which is counted.
 */
struct tcp_conn *tcp_child_create(struct tcp_listener *l, const struct ip_env *env, const struct tcp_end *end,
				  const struct tcp_handshake *hs, fs_ns now);

/* The handshake's last ACK @in made it: ESTABLISHED, and what @in carries is the connection's. @syn_sent_at: the
 * SYN-ACK, 0 = unknown. */
void tcp_child_established(struct tcp_conn *c, const struct ip_env *env, struct tcp_in *in, fs_ns syn_sent_at);

/* --- cookie.c --- */

/* Answer the SYN with a cookie; nothing is kept. */
void tcp_cookie_send(struct tcp_listener *l, const struct ip_env *env, const struct tcp_in *in,
		     struct tcp_handshake *hs);

/* Is the ACK @in the answer to one? Then the connection is made of it, or it is dropped because accept() is
 * behind. False: it is not. */
bool tcp_cookie_accept(struct tcp_listener *l, const struct ip_env *env, struct tcp_in *in);

#endif
