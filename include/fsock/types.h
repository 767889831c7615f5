/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * types.h - constants and structs of the native interface.
 *
 * The structs are part of the ABI. They do not change their size: later fields take the place of
 * `reserved`, and a bit of `valid` says that a field was filled, so that a program never reads what its
 * library does not know. Byte order: addresses and ports inside struct sockaddr as everywhere, network
 * order; all else host order. Times are ns of CLOCK_REALTIME, as SO_TIMESTAMPNS gives them.
 */
#ifndef FSOCK_TYPES_H
#define FSOCK_TYPES_H

#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* For fsock_init(): the interface these headers describe. */
#define FSOCK_API_VERSION 2

/* An endpoint: a local address, and what its channels have in common. Opaque. */
struct fsock_ep;

/* A channel: one bound port with its queue of datagrams, or a connection or listener of TCP. Opaque. */
struct fsock_channel;

/* A group of channels to wait for together. Opaque. */
struct fsock_group;

/* An Internet socket address of either family; sa.sa_family says which. */
union fsock_addr {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

/* --- flags --- */

/* fsock_open(): what the endpoint speaks. */
enum { FSOCK_UDP = 1, FSOCK_TCP = 2 };

/* fsock_bind() */
enum {
	FSOCK_BIND_DEFAULT = 0,
	FSOCK_BIND_SHARED = 1 << 0, /* others may bind the same port too. UDP: SO_REUSEADDR, group receivers. TCP:
				       SO_REUSEPORT, connections are spread over listeners */
};

/* fsock_accept() */
enum {
	FSOCK_ACCEPT_DEFAULT = 0,
	FSOCK_ACCEPT_NONBLOCK = 1 << 0, /* -EAGAIN where the call would wait */
};

/* fsock_shutdown() */
enum {
	FSOCK_SHUT_RD = 1 << 0, /* receive no more */
	FSOCK_SHUT_WR = 1 << 1, /* send no more: the peer receives 0 after what was sent */
};

/* fsock_recv(), fsock_recv_batch() */
enum {
	FSOCK_RECV_DEFAULT = 0,
	FSOCK_RECV_NONBLOCK = 1 << 0, /* -EAGAIN where the call would wait */
	FSOCK_RECV_PEEK = 1 << 1,     /* leave the datagram, or the bytes, in the queue */
	FSOCK_RECV_INPLACE = 1 << 2,  /* do not copy: fsock_recv() only, the batch form never does */
};

/* fsock_send() */
enum {
	FSOCK_SEND_DEFAULT = 0,
	FSOCK_SEND_NONBLOCK = 1 << 0, /* -EAGAIN where the call would wait */
	FSOCK_SEND_MORE = 1 << 1,     /* TCP: more comes at once, so a segment that is not full waits for it */
};

/* fsock_set_ep_attribute(): for channels bound afterwards. */
enum {
	FSOCK_RINGBUF_SIZE = 1, /* uint32_t, bytes: a channel's receive queue, as SO_RCVBUF counts it */
	FSOCK_HOLD_MAX = 2,	/* uint32_t, datagrams or pieces a channel may lend at once, 1 .. 65536; 256 */
};

/* fsock_setopt() and fsock_getopt() */
enum {
	FSOCK_RX_TIMEOUT = 1,  /* set, get: int64_t, ns a receive or accept waits at most; -1 = for ever
				  (default), 0 = never waits, as with FSOCK_RECV_NONBLOCK */
	FSOCK_JOIN_MCAST = 2,  /* set: struct fsock_membership */
	FSOCK_LEAVE_MCAST = 3, /* set: struct fsock_membership, as joined */
	FSOCK_FD = 4,	       /* get: int, the kernel socket behind the channel: for options that have no
				  name here. Not for close(), and not to wait on: see fsock_group_fd().
				  -EOPNOTSUPP: a connection on the fast path has none, see fsock_handover() */
	FSOCK_LOCAL = 5,       /* get: union fsock_addr, the channel's own address and port */
	FSOCK_PEER = 6,	       /* get: union fsock_addr, where it is connected to; -ENOTCONN */
	FSOCK_ACCELERATED = 7, /* get: int, 1 = what it sends and receives takes the fast path, 0 = the kernel's */
	FSOCK_REASON = 8,      /* get: char[], why it is not accelerated: "name: text", as fsock(1) has */
	FSOCK_HELD = 9,	       /* get: uint32_t, datagrams or pieces lent and not released */
	FSOCK_RX_STAMPS = 10,  /* set, get: int, 1 = rxinfo tells when a datagram was taken; 0 (default): the
				  kernel stamps every packet of the machine while anybody asks */

	/* Of TCP. Set before fsock_listen() they are those of the connections accepted, but for timeouts. */
	FSOCK_TX_TIMEOUT = 11,	 /* set, get: int64_t, ns a send waits for room and fsock_connect() for the peer;
				    -1 = for ever (default), 0 = never */
	FSOCK_NODELAY = 12,	 /* set, get: int, 1 = small segments do not wait for acknowledgements; 0 */
	FSOCK_KEEPALIVE = 13,	 /* set, get: int, s of silence after which the peer is asked whether it lives,
				    1 .. 32767; 0 = never (default) */
	FSOCK_LINGER = 14,	 /* set, get: int, -1 = what fsock_close() finds unsent goes on its way (default),
				    0 = it is thrown away, and the peer told of a reset */
	FSOCK_USER_TIMEOUT = 15, /* set, get: uint32_t, ms that sent bytes may wait for their acknowledgement before
				    the connection fails; 0 = about 15 minutes (default) */
	FSOCK_ERROR = 16,	 /* get: int, the error that waits, as positive errno; 0 = none. It is taken */
	FSOCK_RX_QUEUED = 17,	 /* get: int, bytes that can be received now */
	FSOCK_TX_QUEUED = 18,	 /* get: int, bytes sent and not acknowledged */
	FSOCK_TCP_INFO = 19,	 /* get: struct tcp_info of <linux/tcp.h>, as long as fits */
	FSOCK_PAUSED = 20,	 /* set, get: int, 1 = its group does not tell what a connection receives, nor that the
				    peer sends no more: for who cannot take it now; 0 (default) */
};

/* --- receiving --- */

/* rxinfo.valid: which fields are filled. */
enum {
	FSOCK_RXINFO_SOURCE = 1 << 0,
	FSOCK_RXINFO_DESTINATION = 1 << 1,
	FSOCK_RXINFO_SOFTWARE = 1 << 2,
	FSOCK_RXINFO_HARDWARE = 1 << 3,
	FSOCK_RXINFO_INTERFACE = 1 << 4,
	FSOCK_RXINFO_VLAN = 1 << 5,
};

/* rxinfo.flags */
enum {
	FSOCK_RX_TRUNCATED = 1 << 0, /* the buffer was too short; `length` says what was sent */
	FSOCK_RX_KERNEL = 1 << 1,    /* came by the kernel's way */
};

/* What is known of one received datagram. Filled by the library. Of a stream's bytes: flags, parts, length and held. */
struct fsock_rxinfo {
	uint32_t valid;		      /* FSOCK_RXINFO_* */
	uint32_t flags;		      /* FSOCK_RX_* */
	union fsock_addr source;      /* sender's address and port */
	union fsock_addr destination; /* address it was sent to: a group's, or one of ours; and the port */
	uint64_t software;	      /* when the library or the kernel took it, ns; see FSOCK_RX_STAMPS */
	uint64_t hardware;	      /* when the device received it, ns of the device's clock */
	uint32_t interface;	      /* index of the interface it came by */
	uint16_t vlan;		      /* 802.1Q tag control information; 0 = untagged */
	uint16_t parts;		      /* in place: entries filled in the caller's vector */
	uint32_t length;	      /* bytes of the datagram as it was sent */
	uint32_t reserved0;
	uint64_t held;		      /* in place: for fsock_release(); 0 = nothing to release */
	uint64_t reserved[3];
};

/* Most pieces one datagram is lent in: nearly always one, more beyond about 3,800 bytes. */
enum { FSOCK_PARTS_MAX = 4 };

/* A datagram received in place, one of a batch. */
struct fsock_datagram {
	struct iovec part[FSOCK_PARTS_MAX]; /* its bytes, info.parts entries; read only */
	struct fsock_rxinfo info;
};

/* --- sending --- */

/* txinfo.valid, set by the program: what it gives and what it wants. */
enum {
	FSOCK_TXINFO_DESTINATION = 1 << 0, /* send there, whether or not the channel is connected */
	FSOCK_TXINFO_SOFTWARE = 1 << 1,	   /* report when the datagram was handed over */
};

struct fsock_txinfo {
	uint32_t valid;		      /* FSOCK_TXINFO_* */
	uint32_t reserved0;
	union fsock_addr destination; /* in */
	uint32_t reserved1;
	uint64_t software;	      /* out: when it was handed to the device's driver, or to the kernel, ns */
	uint64_t reserved[5];
};

/* --- groups of hosts, groups of channels --- */

/* A multicast group to join or leave. */
struct fsock_membership {
	union fsock_addr group;	 /* the port counts for nothing */
	union fsock_addr source; /* the only sender wanted; sa_family AF_UNSPEC = any */
	uint32_t interface;	 /* index; 0 = as the routes say */
	uint32_t reserved;
};

/* fsock_event.events */
enum {
	FSOCK_EVENT_IN = 1 << 0,    /* a receive would not wait */
	FSOCK_EVENT_ERROR = 1 << 1, /* a receive or send would report an error */
	FSOCK_EVENT_OUT = 1 << 2,   /* TCP, after a send that found too little room, or a connect that went on:
				       there is room, or it is connected. The next send ends it */
	FSOCK_EVENT_HANGUP = 1 << 3, /* TCP: the peer sends no more (IN too), or the connection ended */
};

struct fsock_event {
	struct fsock_channel *channel;
	void *data;	 /* as given to fsock_group_add() */
	uint32_t events; /* FSOCK_EVENT_* */
	uint32_t reserved;
};

#ifdef __cplusplus
#define FSOCK_STATIC_ASSERT static_assert
#else
#define FSOCK_STATIC_ASSERT _Static_assert
#endif
FSOCK_STATIC_ASSERT(sizeof(struct fsock_rxinfo) == 128, "part of the ABI");
FSOCK_STATIC_ASSERT(sizeof(struct fsock_datagram) == 192, "part of the ABI");
FSOCK_STATIC_ASSERT(sizeof(struct fsock_txinfo) == 88, "part of the ABI");
FSOCK_STATIC_ASSERT(sizeof(struct fsock_membership) == 64, "part of the ABI");
FSOCK_STATIC_ASSERT(sizeof(struct fsock_event) == 24, "part of the ABI");
#undef FSOCK_STATIC_ASSERT

#endif
