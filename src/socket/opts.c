/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * opts.c - the tables behind opts.h.
 */
#include "socket/opts.h"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>

#include "base/err.h"

/* Numbers that Debian 12's headers may lack or hide behind time64 variants. */
enum {
	OPT_RCVTIMEO_OLD = 20,
	OPT_SNDTIMEO_OLD = 21,
	OPT_RCVTIMEO_NEW = 66,
	OPT_SNDTIMEO_NEW = 67,
	OPT_IPV6_MULTICAST_ALL = 29,
};

/* When does the entry's action hold? Otherwise the socket falls back. */
enum when {
	ALWAYS,
	ZERO,	/* only for the value 0, which is the default: nothing changes */
	PMTU,	/* IP_PMTUDISC_WANT and _DO: the fast path sends whole packets with DF anyway */
	HOPS,	/* -1: back to the default */
};

struct opt {
	int level, name;
	enum sock_opt_action action;
	enum when when;
};

static const struct opt opts[] = {
	{ SOL_SOCKET, SO_RCVBUF, SOCK_OPT_RCVBUF, ALWAYS },
	{ SOL_SOCKET, SO_RCVBUFFORCE, SOCK_OPT_RCVBUF, ALWAYS },
	{ SOL_SOCKET, SO_SNDBUF, SOCK_OPT_SHADOW, ALWAYS }, /* the fast path's send never waits */
	{ SOL_SOCKET, SO_SNDBUFFORCE, SOCK_OPT_SHADOW, ALWAYS },
	{ SOL_SOCKET, OPT_RCVTIMEO_OLD, SOCK_OPT_RCVTIMEO, ALWAYS },
	{ SOL_SOCKET, OPT_RCVTIMEO_NEW, SOCK_OPT_RCVTIMEO, ALWAYS },
	{ SOL_SOCKET, OPT_SNDTIMEO_OLD, SOCK_OPT_SHADOW, ALWAYS }, /* as for SO_SNDBUF */
	{ SOL_SOCKET, OPT_SNDTIMEO_NEW, SOCK_OPT_SHADOW, ALWAYS },
	{ SOL_SOCKET, SO_REUSEADDR, SOCK_OPT_SHADOW, ALWAYS }, /* sharing is looked for at bind */
	{ SOL_SOCKET, SO_REUSEPORT, SOCK_OPT_SHADOW, ALWAYS },
	{ SOL_SOCKET, SO_BROADCAST, SOCK_OPT_SHADOW, ALWAYS }, /* broadcasts take the shadow */
	{ SOL_SOCKET, SO_KEEPALIVE, SOCK_OPT_SHADOW, ALWAYS }, /* no meaning for datagrams */
	{ SOL_SOCKET, SO_LINGER, SOCK_OPT_SHADOW, ALWAYS },
	{ SOL_SOCKET, SO_OOBINLINE, SOCK_OPT_SHADOW, ALWAYS },
	{ SOL_SOCKET, SO_DEBUG, SOCK_OPT_SHADOW, ALWAYS },
	{ SOL_SOCKET, SO_BUSY_POLL, SOCK_OPT_SHADOW, ALWAYS }, /* fsock polls by its own budget */
	{ SOL_SOCKET, SO_ZEROCOPY, SOCK_OPT_SHADOW, ALWAYS },  /* MSG_ZEROCOPY falls back itself */
	{ SOL_SOCKET, SO_PRIORITY, SOCK_OPT_SHADOW, ZERO },
	{ SOL_SOCKET, SO_MARK, SOCK_OPT_SHADOW, ZERO },
	{ SOL_SOCKET, SO_TIMESTAMP, SOCK_OPT_SHADOW, ZERO },
	{ SOL_SOCKET, SO_TIMESTAMPNS, SOCK_OPT_SHADOW, ZERO },
	{ SOL_SOCKET, SO_TIMESTAMPING, SOCK_OPT_SHADOW, ZERO },
	{ SOL_SOCKET, SO_RXQ_OVFL, SOCK_OPT_SHADOW, ZERO },

	/* Groups: joined on the shadow. */
	{ IPPROTO_IP, IP_MULTICAST_TTL, SOCK_OPT_SHADOW, ALWAYS },
	{ IPPROTO_IP, IP_MULTICAST_LOOP, SOCK_OPT_SHADOW, ALWAYS },
	{ IPPROTO_IP, IP_MULTICAST_IF, SOCK_OPT_SHADOW, ALWAYS },
	{ IPPROTO_IP, IP_MULTICAST_ALL, SOCK_OPT_GROUP, ALWAYS },
	{ IPPROTO_IP, IP_ADD_MEMBERSHIP, SOCK_OPT_GROUP, ALWAYS },
	{ IPPROTO_IP, IP_DROP_MEMBERSHIP, SOCK_OPT_GROUP, ALWAYS },
	{ IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP, SOCK_OPT_GROUP, ALWAYS },
	{ IPPROTO_IP, IP_DROP_SOURCE_MEMBERSHIP, SOCK_OPT_GROUP, ALWAYS },
	{ IPPROTO_IP, IP_BLOCK_SOURCE, SOCK_OPT_GROUP, ALWAYS },
	{ IPPROTO_IP, IP_UNBLOCK_SOURCE, SOCK_OPT_GROUP, ALWAYS },
	{ IPPROTO_IP, IP_MSFILTER, SOCK_OPT_GROUP, ALWAYS },
	{ IPPROTO_IP, MCAST_JOIN_GROUP, SOCK_OPT_GROUP, ALWAYS },
	{ IPPROTO_IP, MCAST_LEAVE_GROUP, SOCK_OPT_GROUP, ALWAYS },
	{ IPPROTO_IP, MCAST_JOIN_SOURCE_GROUP, SOCK_OPT_GROUP, ALWAYS },
	{ IPPROTO_IP, MCAST_LEAVE_SOURCE_GROUP, SOCK_OPT_GROUP, ALWAYS },
	{ IPPROTO_IP, MCAST_BLOCK_SOURCE, SOCK_OPT_GROUP, ALWAYS },
	{ IPPROTO_IP, MCAST_UNBLOCK_SOURCE, SOCK_OPT_GROUP, ALWAYS },
	{ IPPROTO_IP, MCAST_MSFILTER, SOCK_OPT_GROUP, ALWAYS },
	{ IPPROTO_IP, IP_RECVERR, SOCK_OPT_SHADOW, ALWAYS }, /* the error queue is the shadow's */
	{ IPPROTO_IP, IP_MTU_DISCOVER, SOCK_OPT_SHADOW, PMTU },
	{ IPPROTO_IP, IP_TOS, SOCK_OPT_SHADOW, ZERO },
	{ IPPROTO_IP, IP_TTL, SOCK_OPT_SHADOW, HOPS },
	{ IPPROTO_IP, IP_PKTINFO, SOCK_OPT_SHADOW, ZERO },
	{ IPPROTO_IP, IP_RECVTOS, SOCK_OPT_SHADOW, ZERO },
	{ IPPROTO_IP, IP_RECVTTL, SOCK_OPT_SHADOW, ZERO },
	{ IPPROTO_IP, IP_RECVOPTS, SOCK_OPT_SHADOW, ZERO },
	{ IPPROTO_IP, IP_FREEBIND, SOCK_OPT_SHADOW, ZERO },

	{ IPPROTO_IPV6, IPV6_V6ONLY, SOCK_OPT_V6ONLY, ALWAYS },
	{ IPPROTO_IPV6, IPV6_MULTICAST_HOPS, SOCK_OPT_SHADOW, ALWAYS },
	{ IPPROTO_IPV6, IPV6_MULTICAST_LOOP, SOCK_OPT_SHADOW, ALWAYS },
	{ IPPROTO_IPV6, IPV6_MULTICAST_IF, SOCK_OPT_SHADOW, ALWAYS },
	{ IPPROTO_IPV6, IPV6_JOIN_GROUP, SOCK_OPT_GROUP, ALWAYS },
	{ IPPROTO_IPV6, IPV6_LEAVE_GROUP, SOCK_OPT_GROUP, ALWAYS },
	{ IPPROTO_IPV6, MCAST_JOIN_GROUP, SOCK_OPT_GROUP, ALWAYS },
	{ IPPROTO_IPV6, MCAST_LEAVE_GROUP, SOCK_OPT_GROUP, ALWAYS },
	{ IPPROTO_IPV6, MCAST_JOIN_SOURCE_GROUP, SOCK_OPT_GROUP, ALWAYS },
	{ IPPROTO_IPV6, MCAST_LEAVE_SOURCE_GROUP, SOCK_OPT_GROUP, ALWAYS },
	{ IPPROTO_IPV6, MCAST_BLOCK_SOURCE, SOCK_OPT_GROUP, ALWAYS },
	{ IPPROTO_IPV6, MCAST_UNBLOCK_SOURCE, SOCK_OPT_GROUP, ALWAYS },
	{ IPPROTO_IPV6, MCAST_MSFILTER, SOCK_OPT_GROUP, ALWAYS },
	{ IPPROTO_IPV6, OPT_IPV6_MULTICAST_ALL, SOCK_OPT_GROUP, ALWAYS },
	{ IPPROTO_IPV6, IPV6_RECVERR, SOCK_OPT_SHADOW, ALWAYS },
	{ IPPROTO_IPV6, IPV6_MTU_DISCOVER, SOCK_OPT_SHADOW, PMTU },
	{ IPPROTO_IPV6, IPV6_UNICAST_HOPS, SOCK_OPT_SHADOW, HOPS },
	{ IPPROTO_IPV6, IPV6_TCLASS, SOCK_OPT_SHADOW, ZERO },
	{ IPPROTO_IPV6, IPV6_RECVPKTINFO, SOCK_OPT_SHADOW, ZERO },
	{ IPPROTO_IPV6, IPV6_RECVHOPLIMIT, SOCK_OPT_SHADOW, ZERO },
	{ IPPROTO_IPV6, IPV6_RECVTCLASS, SOCK_OPT_SHADOW, ZERO },

	{ IPPROTO_UDP, UDP_CORK, SOCK_OPT_SHADOW, ZERO },
	{ IPPROTO_UDP, UDP_SEGMENT, SOCK_OPT_SHADOW, ZERO },
	{ IPPROTO_UDP, UDP_GRO, SOCK_OPT_SHADOW, ZERO },
};

/* Options of IPPROTO_IP may be one byte long; others are an int. */
static int value_of(const void *value, size_t len)
{
	int v = 0;

	if (len >= sizeof(v))
		memcpy(&v, value, sizeof(v));
	else if (len >= 1)
		v = *(const unsigned char *)value;
	return v;
}

enum sock_opt_action sock_opt_action(int level, int name, const void *value, size_t len)
{
	for (size_t i = 0; i < FS_ARRAY_SIZE(opts); i++) {
		int v;

		if (opts[i].level != level || opts[i].name != name)
			continue;
		if (opts[i].when == ALWAYS)
			return opts[i].action;
		v = value_of(value, len);
		if ((opts[i].when == ZERO && v == 0) || (opts[i].when == HOPS && v == -1) ||
		    (opts[i].when == PMTU && (v == IP_PMTUDISC_WANT || v == IP_PMTUDISC_DO)))
			return opts[i].action;
		return SOCK_OPT_FALL_BACK;
	}
	return SOCK_OPT_FALL_BACK;
}

enum sock_flag_action sock_send_flags(int flags)
{
	/* MSG_CONFIRM refreshes a neighbour, which the stack does anyway; MSG_EOR means nothing here. */
	if (!(flags & ~(MSG_DONTWAIT | MSG_NOSIGNAL | MSG_CONFIRM | MSG_EOR)))
		return SOCK_FLAG_FAST;
	if (flags & MSG_OOB)
		return SOCK_FLAG_SHADOW; /* the kernel refuses it */
	/* MSG_MORE corks: what follows must follow on the same side. */
	return SOCK_FLAG_FALL_BACK;
}

enum sock_flag_action sock_recv_flags(int flags)
{
	/* The error queue is the shadow's alone. MSG_OOB means nothing to a datagram's receiver. */
	return flags & MSG_ERRQUEUE ? SOCK_FLAG_SHADOW : SOCK_FLAG_FAST;
}
