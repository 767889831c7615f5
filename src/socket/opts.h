/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * opts.h - what a socket option or message flag means to the fast path of a datagram socket.
 *
 * The shadow has every option first: the kernel checks it, gives the errno, keeps the value. What is
 * decided here is whether the fast path may go on. An option not in the table makes the socket fall
 * back: none is ignored (DESIGN D10).
 * Threads: any, pure.
 */
#ifndef FSOCK_SOCKET_OPTS_H
#define FSOCK_SOCKET_OPTS_H

#include <stddef.h>

enum sock_opt_action {
	SOCK_OPT_FALL_BACK, /* the fast path does not carry it: the socket goes to the kernel */
	SOCK_OPT_SHADOW,    /* concerns only what the shadow does anyway */
	SOCK_OPT_RCVBUF,    /* read SO_RCVBUF back into the pcb's limit */
	SOCK_OPT_RCVTIMEO,
	SOCK_OPT_V6ONLY,    /* read IPV6_V6ONLY back */
	SOCK_OPT_GROUP,	    /* a membership, or which groups are received: read it back */
};

/* @value, @len as given to a setsockopt() that the shadow accepted. */
enum sock_opt_action sock_opt_action(int level, int name, const void *value, size_t len);

enum sock_flag_action {
	SOCK_FLAG_FAST,	     /* every flag is carried */
	SOCK_FLAG_SHADOW,    /* this one call is the kernel's business */
	SOCK_FLAG_FALL_BACK, /* later calls depend on it: the socket goes to the kernel */
};

enum sock_flag_action sock_send_flags(int flags);
enum sock_flag_action sock_recv_flags(int flags);

#endif
