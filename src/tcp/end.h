/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * end.h - the table of ends: connections, requests and TIME-WAITs by their 4-tuple, and the numbers a tuple begins
 * with.
 *
 * Threads:  holder of the stack's lock only.
 */
#ifndef FSOCK_TCP_END_H
#define FSOCK_TCP_END_H

#include <stdint.h>

#include "base/addr.h"
#include "base/clock.h"
#include "base/seq.h"
#include "tcp/tcp.h"

/* --- tcp.c --- */

uint32_t tcp_end_hash(const struct tcp_stack *tcp, const struct ip_addr *local, uint16_t local_port,
		      const struct ip_addr *remote, uint16_t remote_port);

/* NULL = there is none. */
struct tcp_end *tcp_end_find(const struct tcp_stack *tcp, const struct ip_addr *local, uint16_t local_port,
			     const struct ip_addr *remote, uint16_t remote_port);
void tcp_end_insert(struct tcp_stack *tcp, struct tcp_end *end); /* hash computed here */
void tcp_end_remove(struct tcp_stack *tcp, struct tcp_end *end);

/* --- reply.c --- */

/* Initial sequence number and timestamp offset of a tuple (RFC 6528, T7323-8). */
tcp_seq tcp_isn(const struct tcp_stack *tcp, const struct tcp_end *end, fs_ns now);
uint32_t tcp_ts_offset(const struct tcp_stack *tcp, const struct tcp_end *end);

#endif
