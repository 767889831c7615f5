/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * opts.c - the tables behind opts.h.
 */
#include "socket/opts.h"

#include <arpa/inet.h>
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
	OPT_TIMESTAMP_OLD = 29,
	OPT_TIMESTAMPNS_OLD = 35,
	OPT_TIMESTAMPING_OLD = 37,
	OPT_TIMESTAMP_NEW = 63,
	OPT_TIMESTAMPNS_NEW = 64,
	OPT_TIMESTAMPING_NEW = 65,
};
#ifndef SO_RCVMARK
#define SO_RCVMARK 75
#endif
#ifndef SO_TXREHASH
#define SO_TXREHASH 74
#endif
#ifndef SO_RESERVE_MEM
#define SO_RESERVE_MEM 73
#endif
#ifndef IP_RECVERR_RFC4884
#define IP_RECVERR_RFC4884 26
#endif
#ifndef IPV6_RECVERR_RFC4884
#define IPV6_RECVERR_RFC4884 31
#endif
#ifndef IP_LOCAL_PORT_RANGE
#define IP_LOCAL_PORT_RANGE 51
#endif
#ifndef IPV6_FLOWINFO
#define IPV6_FLOWINFO 11
#endif
#ifndef IPV6_FLOWINFO_SEND
#define IPV6_FLOWINFO_SEND 33
#endif

/* When does the entry's action hold, and what is struct sock_opt.value? Otherwise the socket falls back. */
enum when {
	ALWAYS,	/* the value says nothing */
	ZERO,	/* only for the value 0, which is the default: nothing changes */
	OFF,	/* only for -1, which is the default */
	BOOL,	/* 0 or 1 */
	VALUE,	/* as given */
	NET,	/* an interface in network order */
	HOPS,	/* -1 is the default and becomes 0; 0 itself means a hop limit of 0 and falls back */
	CLASS,	/* -1 is the default and becomes 0 */
	PMTU,	/* does this IP_MTU_DISCOVER leave DF out? */
};

struct opt {
	int level, name;
	enum sock_opt_action action;
	enum when when;
	uint32_t bit;
	const char *text;
};

#define O(level, name, action, when) { level, name, SOCK_OPT_##action, when, 0, #name }
#define C(level, name, cmsg) { level, name, SOCK_OPT_CMSG, BOOL, SOCK_CMSG_##cmsg, #name }

#define S(name, action, when, form, text) { SOL_SOCKET, name, SOCK_OPT_##action, when, form, text }

static const struct opt opts[] = {
	{ SOL_SOCKET, OPT_RCVTIMEO_OLD, SOCK_OPT_RCVTIMEO, ALWAYS, 0, "SO_RCVTIMEO" },
	{ SOL_SOCKET, OPT_RCVTIMEO_NEW, SOCK_OPT_RCVTIMEO, ALWAYS, 0, "SO_RCVTIMEO" },
	{ SOL_SOCKET, OPT_SNDTIMEO_OLD, SOCK_OPT_SHADOW, ALWAYS, 0, "SO_SNDTIMEO" }, /* as SO_SNDBUF */
	{ SOL_SOCKET, OPT_SNDTIMEO_NEW, SOCK_OPT_SHADOW, ALWAYS, 0, "SO_SNDTIMEO" },
	O(SOL_SOCKET, SO_RCVBUF, RCVBUF, ALWAYS),
	O(SOL_SOCKET, SO_RCVBUFFORCE, RCVBUF, ALWAYS),
	O(SOL_SOCKET, SO_SNDBUF, SHADOW, ALWAYS), /* the fast path's send never waits */
	O(SOL_SOCKET, SO_SNDBUFFORCE, SHADOW, ALWAYS),
	O(SOL_SOCKET, SO_RCVLOWAT, SHADOW, ALWAYS), /* no meaning for datagrams, as the next five */
	O(SOL_SOCKET, SO_KEEPALIVE, SHADOW, ALWAYS),
	O(SOL_SOCKET, SO_LINGER, SHADOW, ALWAYS),
	O(SOL_SOCKET, SO_OOBINLINE, SHADOW, ALWAYS),
	O(SOL_SOCKET, SO_DEBUG, SHADOW, ALWAYS),
	O(SOL_SOCKET, SO_BSDCOMPAT, SHADOW, ALWAYS),
	O(SOL_SOCKET, SO_REUSEADDR, SHARE, ALWAYS),
	O(SOL_SOCKET, SO_REUSEPORT, REUSEPORT, BOOL),
	O(SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, REUSEPORT_BPF, ALWAYS),
	O(SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, REUSEPORT_BPF, ALWAYS),
	O(SOL_SOCKET, SO_BINDTODEVICE, DEVICE, ALWAYS),
	O(SOL_SOCKET, SO_BINDTOIFINDEX, DEVICE, ALWAYS),
	O(SOL_SOCKET, SO_BROADCAST, SHADOW, ALWAYS), /* broadcasts take the shadow */
	O(SOL_SOCKET, SO_DONTROUTE, DONTROUTE, BOOL),
	O(SOL_SOCKET, SO_PRIORITY, SHADOW, ALWAYS), /* for queueing disciplines, of which only plain ones are accepted */
	O(SOL_SOCKET, SO_MAX_PACING_RATE, SHADOW, ALWAYS), /* likewise */
	O(SOL_SOCKET, SO_MARK, MARK, VALUE),
	C(SOL_SOCKET, SO_RCVMARK, MARK),
	O(SOL_SOCKET, SO_NO_CHECK, NO_CHECK, BOOL),
	O(SOL_SOCKET, SO_BUSY_POLL, SHADOW, ALWAYS), /* fsock polls by its own budget */
	O(SOL_SOCKET, SO_BUSY_POLL_BUDGET, SHADOW, ALWAYS),
	O(SOL_SOCKET, SO_PREFER_BUSY_POLL, SHADOW, ALWAYS),
	O(SOL_SOCKET, SO_INCOMING_CPU, SHADOW, ALWAYS),
	O(SOL_SOCKET, SO_ZEROCOPY, SHADOW, ALWAYS), /* MSG_ZEROCOPY falls back itself */
	O(SOL_SOCKET, SO_TXTIME, SHADOW, ALWAYS), /* a datagram with SCM_TXTIME takes the shadow */
	O(SOL_SOCKET, SO_PEEK_OFF, SHADOW, OFF), /* else what is peeked depends on both queues */
	O(SOL_SOCKET, SO_LOCK_FILTER, SHADOW, ALWAYS), /* there is a filter only where the socket fell back for it */
	O(SOL_SOCKET, SO_DETACH_FILTER, SHADOW, ALWAYS),
	O(SOL_SOCKET, SO_SELECT_ERR_QUEUE, SELECT_ERROR, BOOL),
	O(SOL_SOCKET, SO_PASSCRED, SHADOW, ALWAYS), /* of local sockets */
	O(SOL_SOCKET, SO_NOFCS, SHADOW, ALWAYS),
	O(SOL_SOCKET, SO_TXREHASH, SHADOW, ALWAYS),
	O(SOL_SOCKET, SO_RESERVE_MEM, SHADOW, ALWAYS),
	O(SOL_SOCKET, SO_CNX_ADVICE, SHADOW, ALWAYS),
	S(OPT_TIMESTAMP_OLD, STAMP, BOOL, 0, "SO_TIMESTAMP"),
	S(OPT_TIMESTAMPNS_OLD, STAMP, BOOL, SOCK_STAMP_NS, "SO_TIMESTAMPNS"),
	S(OPT_TIMESTAMP_NEW, STAMP, BOOL, SOCK_STAMP_NEW, "SO_TIMESTAMP"),
	S(OPT_TIMESTAMPNS_NEW, STAMP, BOOL, SOCK_STAMP_NS | SOCK_STAMP_NEW, "SO_TIMESTAMPNS"),
	S(OPT_TIMESTAMPING_OLD, STAMPING, VALUE, 0, "SO_TIMESTAMPING"),
	S(OPT_TIMESTAMPING_NEW, STAMPING, VALUE, SOCK_STAMP_NEW, "SO_TIMESTAMPING"),
	O(SOL_SOCKET, SO_WIFI_STATUS, SHADOW, ZERO),
	C(SOL_SOCKET, SO_RXQ_OVFL, OVFL),

	/* Groups: joined on the shadow. */
	O(IPPROTO_IP, IP_MULTICAST_TTL, GROUP_SEND, ALWAYS),
	O(IPPROTO_IP, IP_MULTICAST_LOOP, GROUP_SEND, ALWAYS),
	O(IPPROTO_IP, IP_MULTICAST_IF, GROUP_SEND, ALWAYS),
	O(IPPROTO_IPV6, IPV6_MULTICAST_HOPS, GROUP_SEND, ALWAYS),
	O(IPPROTO_IPV6, IPV6_MULTICAST_LOOP, GROUP_SEND, ALWAYS),
	O(IPPROTO_IPV6, IPV6_MULTICAST_IF, GROUP_SEND, ALWAYS),
	O(IPPROTO_IP, IP_MULTICAST_ALL, GROUP, ALWAYS),
	O(IPPROTO_IP, IP_ADD_MEMBERSHIP, GROUP, ALWAYS),
	O(IPPROTO_IP, IP_DROP_MEMBERSHIP, GROUP, ALWAYS),
	O(IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP, GROUP, ALWAYS),
	O(IPPROTO_IP, IP_DROP_SOURCE_MEMBERSHIP, GROUP, ALWAYS),
	O(IPPROTO_IP, IP_BLOCK_SOURCE, GROUP, ALWAYS),
	O(IPPROTO_IP, IP_UNBLOCK_SOURCE, GROUP, ALWAYS),
	O(IPPROTO_IP, IP_MSFILTER, GROUP, ALWAYS),
	O(IPPROTO_IP, MCAST_JOIN_GROUP, GROUP, ALWAYS),
	O(IPPROTO_IP, MCAST_LEAVE_GROUP, GROUP, ALWAYS),
	O(IPPROTO_IP, MCAST_JOIN_SOURCE_GROUP, GROUP, ALWAYS),
	O(IPPROTO_IP, MCAST_LEAVE_SOURCE_GROUP, GROUP, ALWAYS),
	O(IPPROTO_IP, MCAST_BLOCK_SOURCE, GROUP, ALWAYS),
	O(IPPROTO_IP, MCAST_UNBLOCK_SOURCE, GROUP, ALWAYS),
	O(IPPROTO_IP, MCAST_MSFILTER, GROUP, ALWAYS),
	O(IPPROTO_IPV6, IPV6_JOIN_GROUP, GROUP, ALWAYS),
	O(IPPROTO_IPV6, IPV6_LEAVE_GROUP, GROUP, ALWAYS),
	O(IPPROTO_IPV6, MCAST_JOIN_GROUP, GROUP, ALWAYS),
	O(IPPROTO_IPV6, MCAST_LEAVE_GROUP, GROUP, ALWAYS),
	O(IPPROTO_IPV6, MCAST_JOIN_SOURCE_GROUP, GROUP, ALWAYS),
	O(IPPROTO_IPV6, MCAST_LEAVE_SOURCE_GROUP, GROUP, ALWAYS),
	O(IPPROTO_IPV6, MCAST_BLOCK_SOURCE, GROUP, ALWAYS),
	O(IPPROTO_IPV6, MCAST_UNBLOCK_SOURCE, GROUP, ALWAYS),
	O(IPPROTO_IPV6, MCAST_MSFILTER, GROUP, ALWAYS),
	{ IPPROTO_IPV6, OPT_IPV6_MULTICAST_ALL, SOCK_OPT_GROUP, ALWAYS, 0, "IPV6_MULTICAST_ALL" },

	O(IPPROTO_IP, IP_RECVERR, RECVERR, BOOL),
	O(IPPROTO_IP, IP_RECVERR_RFC4884, SHADOW, ALWAYS),
	O(IPPROTO_IP, IP_MTU_DISCOVER, FRAGMENT, PMTU),
	O(IPPROTO_IP, IP_TOS, TOS, VALUE),
	O(IPPROTO_IP, IP_TTL, TTL, HOPS),
	O(IPPROTO_IP, IP_MINTTL, SHADOW, ALWAYS), /* of TCP */
	C(IPPROTO_IP, IP_PKTINFO, PKTINFO),
	C(IPPROTO_IP, IP_RECVTTL, TTL),
	C(IPPROTO_IP, IP_RECVTOS, TOS),
	C(IPPROTO_IP, IP_RECVORIGDSTADDR, ORIGDST),
	O(IPPROTO_IP, IP_RECVOPTS, SHADOW, ZERO),
	O(IPPROTO_IP, IP_RETOPTS, SHADOW, ZERO),
	O(IPPROTO_IP, IP_PASSSEC, SHADOW, ZERO),
	O(IPPROTO_IP, IP_CHECKSUM, SHADOW, ZERO),
	O(IPPROTO_IP, IP_RECVFRAGSIZE, SHADOW, ALWAYS), /* fragments come by the shadow */
	O(IPPROTO_IP, IP_FREEBIND, SHADOW, ALWAYS), /* an address that is nobody's is looked for at bind */
	O(IPPROTO_IP, IP_TRANSPARENT, SHADOW, ALWAYS),
	O(IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, SHADOW, ALWAYS),
	O(IPPROTO_IP, IP_LOCAL_PORT_RANGE, SHADOW, ALWAYS),
	O(IPPROTO_IP, IP_UNICAST_IF, UNICAST_IF, NET),

	O(IPPROTO_IPV6, IPV6_V6ONLY, V6ONLY, ALWAYS),
	O(IPPROTO_IPV6, IPV6_RECVERR, RECVERR, BOOL),
	O(IPPROTO_IPV6, IPV6_RECVERR_RFC4884, SHADOW, ALWAYS),
	O(IPPROTO_IPV6, IPV6_MTU_DISCOVER, SHADOW, ALWAYS), /* no header says so, and what is too long takes the shadow */
	O(IPPROTO_IPV6, IPV6_DONTFRAG, SHADOW, ALWAYS), /* likewise */
	O(IPPROTO_IPV6, IPV6_RECVPATHMTU, SHADOW, ALWAYS), /* of what took the shadow */
	O(IPPROTO_IPV6, IPV6_MTU, SHADOW, ZERO),
	O(IPPROTO_IPV6, IPV6_UNICAST_HOPS, HOPS, HOPS),
	O(IPPROTO_IPV6, IPV6_MINHOPCOUNT, SHADOW, ALWAYS),
	O(IPPROTO_IPV6, IPV6_TCLASS, TCLASS, CLASS),
	C(IPPROTO_IPV6, IPV6_RECVPKTINFO, PKTINFO6),
	C(IPPROTO_IPV6, IPV6_RECVHOPLIMIT, HOPLIMIT),
	C(IPPROTO_IPV6, IPV6_RECVTCLASS, TCLASS),
	C(IPPROTO_IPV6, IPV6_RECVORIGDSTADDR, ORIGDST6),
	O(IPPROTO_IPV6, IPV6_RECVRTHDR, SHADOW, ALWAYS), /* packets with extension headers come by the shadow */
	O(IPPROTO_IPV6, IPV6_RECVHOPOPTS, SHADOW, ALWAYS),
	O(IPPROTO_IPV6, IPV6_RECVDSTOPTS, SHADOW, ALWAYS),
	O(IPPROTO_IPV6, IPV6_RECVFRAGSIZE, SHADOW, ALWAYS),
	O(IPPROTO_IPV6, IPV6_AUTOFLOWLABEL, SHADOW, ZERO),
	O(IPPROTO_IPV6, IPV6_FLOWINFO_SEND, SHADOW, ZERO),
	O(IPPROTO_IPV6, IPV6_FLOWINFO, SHADOW, ZERO),
	O(IPPROTO_IPV6, IPV6_FREEBIND, SHADOW, ALWAYS),
	O(IPPROTO_IPV6, IPV6_TRANSPARENT, SHADOW, ALWAYS),
	O(IPPROTO_IPV6, IPV6_UNICAST_IF, UNICAST_IF6, NET),

	O(IPPROTO_UDP, UDP_CORK, CORK, BOOL),
	O(IPPROTO_UDP, UDP_SEGMENT, SEGMENT, VALUE),
	O(IPPROTO_UDP, UDP_GRO, GRO, BOOL),
	O(IPPROTO_UDP, UDP_NO_CHECK6_TX, NO_CHECK6_TX, BOOL),
	O(IPPROTO_UDP, UDP_NO_CHECK6_RX, NO_CHECK6_RX, BOOL),

	/* Known, so that the reason can name them. */
	O(SOL_SOCKET, SO_ATTACH_FILTER, FALL_BACK, ALWAYS),
	O(SOL_SOCKET, SO_ATTACH_BPF, FALL_BACK, ALWAYS),
	O(IPPROTO_IP, IP_OPTIONS, FALL_BACK, ALWAYS),
	O(IPPROTO_IP, IP_XFRM_POLICY, FALL_BACK, ALWAYS),
	O(IPPROTO_IPV6, IPV6_PKTINFO, FALL_BACK, ALWAYS),
	O(IPPROTO_IPV6, IPV6_HOPOPTS, FALL_BACK, ALWAYS),
	O(IPPROTO_IPV6, IPV6_RTHDRDSTOPTS, FALL_BACK, ALWAYS),
	O(IPPROTO_IPV6, IPV6_RTHDR, FALL_BACK, ALWAYS),
	O(IPPROTO_IPV6, IPV6_DSTOPTS, FALL_BACK, ALWAYS),
	O(IPPROTO_IPV6, IPV6_ADDR_PREFERENCES, FALL_BACK, ALWAYS),
	O(IPPROTO_IPV6, IPV6_ADDRFORM, FALL_BACK, ALWAYS),
	O(IPPROTO_UDP, UDP_ENCAP, FALL_BACK, ALWAYS),
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

static bool leaves_df_out(int v)
{
	return v == IP_PMTUDISC_DONT || v == IP_PMTUDISC_INTERFACE || v == IP_PMTUDISC_OMIT;
}

/* Does the entry hold for the value? Turns it into what it means. */
static bool holds(enum when when, int *v)
{
	int given = *v;

	switch (when) {
	case ALWAYS:
	case VALUE:
		return true;
	case ZERO:
		return given == 0;
	case OFF:
		return given < 0;
	case BOOL:
		*v = given != 0;
		return true;
	case NET:
		*v = (int)ntohl((uint32_t)given);
		return true;
	case HOPS:
		*v = given < 0 ? 0 : given;
		return given != 0;
	case CLASS:
		*v = given < 0 ? 0 : given;
		return true;
	case PMTU:
		*v = leaves_df_out(given);
		return true;
	}
	return false;
}

struct sock_opt sock_opt(int level, int name, const void *value, size_t len)
{
	struct sock_opt found = { .action = SOCK_OPT_FALL_BACK };

	for (size_t i = 0; i < FS_ARRAY_SIZE(opts); i++) {
		if (opts[i].level != level || opts[i].name != name)
			continue;
		found.name = opts[i].text;
		found.bit = opts[i].bit;
		if (opts[i].when != ALWAYS)
			found.value = value_of(value, len);
		if (holds(opts[i].when, &found.value))
			found.action = opts[i].action;
		break;
	}
	return found;
}

bool sock_opt_at(size_t i, int *level, int *name)
{
	if (i >= FS_ARRAY_SIZE(opts))
		return false;
	*level = opts[i].level;
	*name = opts[i].name;
	return true;
}

enum sock_flag_action sock_send_flags(int flags)
{
	/* MSG_CONFIRM refreshes a neighbour, which the stack does anyway; MSG_EOR means nothing here. */
	if (!(flags & ~(MSG_DONTWAIT | MSG_NOSIGNAL | MSG_CONFIRM | MSG_EOR | MSG_DONTROUTE)))
		return SOCK_FLAG_FAST;
	if (flags & MSG_OOB)
		return SOCK_FLAG_SHADOW; /* the kernel refuses it */
	if (flags & MSG_ZEROCOPY)
		return SOCK_FLAG_FALL_BACK; /* who wants it wants its notifications, of every datagram */
	return flags & MSG_MORE ? SOCK_FLAG_MORE : SOCK_FLAG_SHADOW;
}

enum sock_flag_action sock_recv_flags(int flags)
{
	/* The error queue is the shadow's alone. MSG_OOB means nothing to a datagram's receiver. */
	return flags & MSG_ERRQUEUE ? SOCK_FLAG_SHADOW : SOCK_FLAG_FAST;
}
