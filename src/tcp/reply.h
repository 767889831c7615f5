/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reply.h - segments of no connection.
 *
 * Threads:  holder of the stack's lock only.
 */
#ifndef FSOCK_TCP_REPLY_H
#define FSOCK_TCP_REPLY_H

#include <stdint.h>

#include "base/addr.h"
#include "base/clock.h"
#include "tcp/tcp.h"
#include "wire/tcp.h"

struct ip_env;
struct tcp_in;

struct tcp_reply {
	struct ip_addr local, remote;
	uint16_t local_port, remote_port;
	struct tcp_hdr h;	/* ports, checksum and length are filled here */
	struct tcp_style style;
	uint64_t choice;	/* for tcp_ops.resolve */
};

/* Build and queue it. 0, or -errno: it could not leave, nobody cares. */
int tcp_reply(struct tcp_stack *tcp, const struct ip_env *env, const struct tcp_reply *r, fs_ns now);

/* The RST that answers a segment nobody wants (RFC 9293 3.10.7.1); nothing to a RST. */
void tcp_reply_reset(struct tcp_stack *tcp, const struct ip_env *env, const struct tcp_in *in);

#endif
