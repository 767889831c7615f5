/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stats.h - what a stack shows of itself: the head of its shared memory.
 *
 * A stack is a memfd named STATS_MEMFD_PREFIX<id>, found under /proc/PID/fd of every process that
 * holds it. Its first STATS_HEAD_BYTES hold struct stats_head, at the offsets named there the tables
 * below. A reader maps them read-only; the program pays nothing. Readers trust nothing: they check
 * magic, version, sizes and every offset against the file's length.
 *
 * Writers: the holder of the stack's lock, but for stats_head.request. Values are plain stores: a reader may see a
 * record half updated, never an index out of range (n_* only grow, up to the max).
 */
#ifndef FSOCK_STATS_FORMAT_STATS_H
#define FSOCK_STATS_FORMAT_STATS_H

#include <assert.h>
#include <stdint.h>

#define STATS_MEMFD_PREFIX "fsock-stack-"
#define STATS_MAGIC 0x6b636f7366ULL /* "fsock" */

enum {
	STATS_VERSION = 4,
	STATS_MAX_PORTS = 16,
	STATS_MAX_PROCS = 16,
	STATS_MAX_LINKS = 96,
	STATS_ANY_LINK = 255, /* stats_sock.link of a listener that takes connections of any */
	STATS_DETAIL_LEN = 96,
	STATS_NO_FD = -2, /* stats_sock.fd: it is open, and has no descriptor */
};

/* One socket the program opened through fsock, accelerated or not. */
struct stats_sock {
	uint64_t cookie;	/* kernel's SO_COOKIE of the shadow: identity; 0 = record unused */
	uint8_t family;		/* AF_INET, AF_INET6, AF_UNIX */
	uint8_t protocol;	/* IPPROTO_*; 0 of a Unix socket */
	uint8_t accelerated;	/* 1 = datagrams may take the fast path now */
	uint8_t reason;		/* enum fs_reason, 0 when accelerated */
	int32_t fd;		/* number at creation; STATS_NO_FD; -1 = closed (kept until the record is reused) */
	uint32_t pid;		/* process that created it */
	uint8_t port_index;	/* stats_port it uses, 0xff = none or several */
	uint8_t bare;		/* 1 = a connection of the native interface, without a descriptor */
	uint16_t local_port, remote_port; /* host order, 0 = none */
	uint8_t state;		/* TCP's, as Linux numbers them (TCP_LISTEN = 10); 0 = not known */
	uint8_t link;		/* stats_link it goes over, from 1; STATS_ANY_LINK; 0 = none */
	union {
		struct {
			uint8_t local[16], remote[16]; /* v4-mapped form, all 0 = any */
		};
		char unix_name[32]; /* of a Unix socket: its name, or that of the listener it is connected to, with a
				       zero at its end; of a longer one the end */
	};
	uint64_t rx_fast, rx_kernel; /* datagrams received by each way */
	uint64_t tx_fast, tx_kernel; /* datagrams sent by each way */
	uint64_t rx_bytes, tx_bytes; /* payload of both ways */
	uint64_t drops;		     /* datagrams dropped because the receive buffer was full */
	uint32_t queued_frames, queued_bytes; /* not received yet; of a listener frames: who waits for accept() */
	uint32_t unread_bytes;	     /* TCP: sent, and not acknowledged, or by a link not received; a listener's backlog */
	uint32_t peer_pid;	     /* of a connection by a link: a process of the other program; 0 = not known */
	char detail[STATS_DETAIL_LEN]; /* one sentence on the reason, "" = none */
};
static_assert(sizeof(struct stats_sock) == 232, "stats_sock is a format");

/* One attachment to one interface. */
struct stats_port {
	uint32_t ifindex;
	uint32_t queues, rx_queues; /* served, and those the interface has: frames of the rest pass */
	uint32_t pad;
	char ifname[16];
	char provider[16];
	char mode[16];		/* "generic", "native", ... */
	int32_t error;		/* 0 or -errno */
	uint32_t owner_pid;
	uint32_t frames_total, frames_free;
	char note[STATS_DETAIL_LEN]; /* why queues or frames are fewer than asked for, "" = they are not */
	uint64_t counter[32];	/* struct provider_stats in its order, rest 0 */
};
static_assert(sizeof(struct stats_port) == 432, "stats_port is a format");

/* One link with another program of this host. */
struct stats_link {
	uint32_t serial;	/* of all links of the stack; 0 = the place is free */
	uint32_t peer_pid;	/* a process of the other program, as the kernel told; 0 = not known any more,
				   or of a PID namespace that is not seen from here */
	uint32_t connections;	/* that not both sides have ended */
	uint8_t listened;	/* 1 = the other program dialled */
	uint8_t beyond;		/* 1 = the other program is of another network namespace */
	uint8_t pad[2];
	uint64_t rx_bytes, tx_bytes;
	uint64_t shared_bytes;	/* length of the memory that both map */
	uint64_t ring_bytes;	/* of it, what the rings of connections have taken at the most, and keep */
};
static_assert(sizeof(struct stats_link) == 48, "stats_link is a format");

/*
 * What another program asks of the stack's: that the socket behind descriptor @fd of process @pid goes on in the
 * kernel. Who asks waits until serial equals answered, writes pid and fd, and raises serial; the program stores the
 * result and then serial in answered. The one part of the memory that others write: nothing hangs on it but sockets
 * that the program has, and who may write it could do worse to the program.
 */
struct stats_request {
	uint32_t serial, answered;
	uint32_t pid;
	int32_t fd;
	int32_t result; /* 0 or -errno: -EBADF no socket of fsock's, -EPERM CAP_NET_ADMIN is missing */
	uint32_t pad;
};
static_assert(sizeof(struct stats_request) == 24, "stats_request is a format");

struct stats_head {
	uint64_t magic;
	uint32_t version;
	uint32_t head_bytes;	/* length of the part a reader maps, from offset 0 */
	uint32_t stack_id;
	uint32_t owner_pid;	/* process that made the stack */
	uint64_t created_ns;	/* CLOCK_MONOTONIC */
	char comm[16];		/* name of that process */
	char profile[16];
	uint32_t n_counters;	/* entries at counters_offset: uint64_t each, order of counters.def */
	uint32_t counters_offset;
	uint32_t n_ports;	/* used entries of ports */
	uint32_t ports_offset;	/* struct stats_port[STATS_MAX_PORTS] */
	uint32_t n_socks;	/* records ever used, grows to max_socks */
	uint32_t max_socks;
	uint32_t socks_offset;	/* struct stats_sock[max_socks] */
	uint32_t procs[STATS_MAX_PROCS]; /* processes driving the stack, 0 = free slot */
	uint32_t n_bare;	/* connections open without a descriptor; only the first of them have records */
	uint32_t n_links;	/* places ever used, grows to STATS_MAX_LINKS */
	uint32_t links_offset;	/* struct stats_link[STATS_MAX_LINKS] */
	struct stats_request request;
};
static_assert(sizeof(struct stats_head) == 192, "stats_head is a format");

/*
 * FSOCK_REPORT_FD: "N" or "N,M", descriptors of `fsock why -- prog`. To N (a memfd opened O_APPEND) a
 * process appends one struct stats_sock when a socket is closed and for each one open at exit; one of
 * family 0 when it has no stack, and so no record of any socket. By M (a sequenced-packet socket) it
 * sends the memfd of its stack: records in there whose fd is not -1 were not appended.
 */
#define STATS_REPORT_ENV "FSOCK_REPORT_FD"

#endif
