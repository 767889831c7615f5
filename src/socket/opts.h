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

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sock_opt_action {
	SOCK_OPT_FALL_BACK, /* the fast path does not carry it: the socket goes to the kernel */
	SOCK_OPT_SHADOW,    /* concerns only what the shadow does anyway */
	SOCK_OPT_RCVBUF,    /* read SO_RCVBUF back into the pcb's limit */
	SOCK_OPT_RCVTIMEO,
	SOCK_OPT_V6ONLY,    /* read IPV6_V6ONLY back */
	SOCK_OPT_GROUP_SEND, /* how datagrams to groups leave: read it back */
	SOCK_OPT_GROUP,	    /* a membership, or which groups are received: read it back */
	SOCK_OPT_SHARE,	    /* others may bind to the port: SO_REUSEADDR */
	SOCK_OPT_REUSEPORT, /* SO_REUSEPORT: the same, and flows are spread */
	SOCK_OPT_REUSEPORT_BPF, /* a program spreads them: the whole group falls back */
	SOCK_OPT_DEVICE,    /* read SO_BINDTOIFINDEX back */

	/* From here on the value tells all (struct sock_opt.value). */
	SOCK_OPT_CMSG,	    /* control message `bit` with received datagrams: on or off */
	SOCK_OPT_TOS,	    /* of what is sent, by family: _TOS IPv4, _TCLASS IPv6 */
	SOCK_OPT_TCLASS,
	SOCK_OPT_TTL,	    /* 0 = the route's */
	SOCK_OPT_HOPS,
	SOCK_OPT_FRAGMENT,  /* IPv4 without DF: on or off */
	SOCK_OPT_NO_CHECK,  /* no checksum: on IPv4, _CHECK6_TX on IPv6 */
	SOCK_OPT_NO_CHECK6_TX,
	SOCK_OPT_NO_CHECK6_RX, /* takes IPv6 datagrams without */
	SOCK_OPT_MARK,
	SOCK_OPT_UNICAST_IF,   /* interface, host order */
	SOCK_OPT_UNICAST_IF6,
	SOCK_OPT_DONTROUTE,
	SOCK_OPT_RECVERR,
	SOCK_OPT_CORK,
	SOCK_OPT_SEGMENT,
	SOCK_OPT_GRO,
	SOCK_OPT_STAMP,	       /* SO_TIMESTAMP and the like: `bit` is of enum sock_stamp */
	SOCK_OPT_STAMPING,     /* SO_TIMESTAMPING: flags; `bit` likewise */
	SOCK_OPT_SELECT_ERROR, /* messages in the error queue are POLLPRI, too */
};

/* Control messages that a socket may ask for with what it receives. */
enum sock_cmsg {
	SOCK_CMSG_OVFL = 1 << 0,      /* SO_RXQ_OVFL */
	SOCK_CMSG_MARK = 1 << 1,      /* SO_RCVMARK */
	SOCK_CMSG_PKTINFO = 1 << 2,   /* the rest by family: of IPv4 datagrams */
	SOCK_CMSG_TTL = 1 << 3,
	SOCK_CMSG_TOS = 1 << 4,
	SOCK_CMSG_ORIGDST = 1 << 5,
	SOCK_CMSG_PKTINFO6 = 1 << 6,  /* of any datagram of an AF_INET6 socket */
	SOCK_CMSG_HOPLIMIT = 1 << 7,  /* of IPv6 datagrams */
	SOCK_CMSG_TCLASS = 1 << 8,
	SOCK_CMSG_ORIGDST6 = 1 << 9,
	SOCK_CMSG_STAMPS = 1 << 10,   /* timestamps: what exactly is in sock.stamps */
};

/* Which form of a timestamp option it was. */
enum sock_stamp {
	SOCK_STAMP_NS = 1 << 0,
	SOCK_STAMP_NEW = 1 << 1,
};

struct sock_opt {
	enum sock_opt_action action;
	uint32_t bit;	  /* SOCK_OPT_CMSG: which; SOCK_OPT_STAMP: enum sock_stamp */
	int value;	  /* as the kernel took it: 1 for on; 0 for a default given as -1 */
	const char *name; /* "IP_TTL"; NULL = not in the table */
};

/* @value, @len as given to a setsockopt() that the shadow accepted. */
struct sock_opt sock_opt(int level, int name, const void *value, size_t len);

/* The options of the table one after the other. False: @i is past the last. */
bool sock_opt_at(size_t i, int *level, int *name);

static inline enum sock_opt_action sock_opt_action(int level, int name, const void *value, size_t len)
{
	return sock_opt(level, name, value, len).action;
}

enum sock_flag_action {
	SOCK_FLAG_FAST,	     /* every flag is carried */
	SOCK_FLAG_SHADOW,    /* this one call is the kernel's business */
	SOCK_FLAG_MORE,	     /* this one and the next are: the shadow gathers them */
	SOCK_FLAG_FALL_BACK, /* later calls depend on it: the socket goes to the kernel */
};

enum sock_flag_action sock_send_flags(int flags);
enum sock_flag_action sock_recv_flags(int flags);

#endif
