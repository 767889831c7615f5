/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fastopen.h - TCP Fast Open (RFC 7413), as seen by a listener, its children, and connections that open.
 *
 * Threads:  holder of the stack's lock only.
 */
#ifndef FSOCK_TCP_FASTOPEN_H
#define FSOCK_TCP_FASTOPEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/clock.h"

struct ip_env;
struct tcp_conn;
struct tcp_handshake;
struct tcp_hdr;
struct tcp_in;
struct tcp_listener;
struct tcp_req;
struct tcp_stack;
struct tcp_synack;

enum { TCP_FASTOPEN_COOKIE_LEN = 8 }; /* of those we grant */

/* --- server --- */

/* Our cookie for @remote at @local. */
void tcp_fastopen_cookie(const struct tcp_stack *tcp, const struct ip_addr *local, const struct ip_addr *remote,
			 uint8_t cookie[TCP_FASTOPEN_COOKIE_LEN]);

/*
 * The SYN @in for @l has the option, or data. True: a child took them and is answered (RFC 7413 4.2). False: it
 * is for an ordinary request; @s gets the cookie to grant, if any (into @cookie).
 */
bool tcp_fastopen_begin(struct tcp_listener *l, const struct ip_env *env, struct tcp_in *in,
			const struct tcp_handshake *hs, struct tcp_synack *s, uint8_t cookie[TCP_FASTOPEN_COOKIE_LEN]);

/* A child's handshake completed (@ok) or failed. Others may be asked as well. */
void tcp_child_settled(struct tcp_conn *c, const struct ip_env *env, bool ok);

/* A place that TCP_REQ_PENALTY kept is free again. */
void tcp_fastopen_pardon(struct tcp_req *req);

/* --- client --- */

/* @c's SYN may carry data, so that a connect may wait for them: a cookie is known (or none is wanted), and the
 * path is not known to swallow such SYNs. Its segments are then of the size the server took last time. */
bool tcp_fastopen_ready(struct tcp_conn *c, fs_ns now);

/* The option for @c's first SYN into @h, if any; returns payload bytes that may go with it. */
uint32_t tcp_fastopen_syn(struct tcp_conn *c, struct tcp_hdr *h, fs_ns now);

/* The SYN-ACK to a SYN with option or data came: keeps the cookie, counts. */
void tcp_fastopen_answered(struct tcp_conn *c, const struct tcp_in *in);

/* Such a SYN was not answered in time; the next goes without. */
void tcp_fastopen_lost(struct tcp_conn *c, fs_ns now);

#endif
