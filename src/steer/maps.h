/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * maps.h - memory layouts shared by the BPF programs and the loader.
 *
 * Does:     define keys, values and the mapped page range that both sides read and write.
 * Does not: contain code; it is compiled for the host and for BPF alike, hence the kernel's types.
 * Threads:  written per field below. The programs run on any CPU at any time.
 *
 * Addresses have 16 bytes in network order, IPv4 as ::ffff:a.b.c.d (base/addr.h). Ports are in host
 * order.
 */
#ifndef FSOCK_STEER_MAPS_H
#define FSOCK_STEER_MAPS_H

#include <linux/types.h>

enum {
	STEER_MAX_QUEUES = 64,	 /* receive queues of one interface that can be served */
	STEER_CPU_LINES = 64,	 /* counter lines; CPUs beyond share them (hence atomic adds) */
	STEER_FAST_LOCAL4 = 4,	 /* local IPv4 addresses found without a hash look-up */
	STEER_STALE_MS = 1000,	 /* an unanswered ask older than this is stale (DESIGN D4) */
	STEER_ASK_MS = 100,	 /* no new ask within this after an answer */
	STEER_MAX_PROGRAMS = 3,	 /* attached at a time */
	STEER_SHARED_BYTES = 0x110000, /* sizeof(struct steer_shared) in whole pages of 4 to 64 KiB */
};

/* steer_shared.flags */
enum {
	STEER_F_GENERIC = 1 << 0,    /* attached in generic mode: shed UDP with partial checksums */
	STEER_F_TAP = 1 << 1,	     /* packet sockets take the frames, not AF_XDP ones */
	STEER_F_NO_UDP_GSO = 1 << 2, /* tap: packet sockets cannot describe super-frames of UDP */
	STEER_F_SIDE = 1 << 3,	     /* the tap behind the XDP program takes what that sheds */
	STEER_F_GUARD_LINK = 1 << 4, /* the guard hangs on a link, so it does not outlive its owner */
};

/* What the tap puts into the mark of a frame it took. */
enum { STEER_TAP_MARK = 0x66736f63 };

/* Index of steer_shared.slot. */
enum { STEER_SLOT_UDP, STEER_SLOT_TCP, STEER_SLOTS };

/* Added to steer_addr_key.slot for a port entry whose address is a group: it takes frames to a group's
 * station only, and other port entries take none of those. */
enum { STEER_GROUP = STEER_SLOTS };

/* steer_slot.wild: wildcard port entries, one bit per kind of socket that may hold the port. */
enum {
	STEER_WILD_BOTH = 1 << 0, /* IPv6 socket that takes IPv4 as well */
	STEER_WILD_V4 = 1 << 1,	  /* IPv4 socket */
	STEER_WILD_V6 = 1 << 2,	  /* IPv6-only socket */
};

/*
 * What is registered under one (protocol, local port). All zero means nothing: the bystander's exit,
 * one load away from the parsed header. Written by user space with atomic operations, because joined
 * processes add and remove rules too; read by the programs.
 */
struct steer_slot {
	__u32 flows; /* entries of the flow table with this local port */
	__u16 exact; /* port entries with a local address, in the address table */
	__u8 wild;   /* STEER_WILD_* */
	__u8 aside;  /* UDP in generic mode: not 0 = the tap behind takes it, where there is one */
};

/*
 * Is somebody taking the frames of this queue? The program asks, at the first redirect later than
 * STEER_ASK_MS after the last answer; whoever polls the queue answers (steer_heartbeat()). Both sides
 * write at most ten times a second and nothing while no frames come, so the line stays shared by both
 * CPUs under load. A time stamp written per burst would move the line on every packet.
 * Times are ns of CLOCK_MONOTONIC, 0 = never. asked > taken: unanswered since asked.
 */
struct steer_beat {
	__u64 asked_ns; /* written by the program */
	__u64 taken_ns; /* written by user space, holder of the stack's lock */
	__u64 pad[6];
};

/* Counters of one CPU line, packets. Order: steer_stats() adds them up by position. */
struct steer_counts {
	__u64 redirected;	   /* handed to an AF_XDP socket, or marked for a packet socket */
	__u64 passed_stale;	   /* nobody takes frames: to the kernel */
	__u64 passed_partial;	   /* UDP with a partial checksum, generic mode without a tap behind it
				      (hazard 3); tap: super-frames that packet sockets cannot describe */
	__u64 passed_kernel_owned; /* TCP segment of a connection the kernel has (hazard 1) */
	__u64 passed_verdict;	   /* flow entry says kernel */
	__u64 passed_not_local;	   /* registered port, but destination MAC or address is not ours */
	__u64 passed_no_queue;	   /* no AF_XDP socket on this queue: UDP and SYN */
	__u64 dropped_no_queue;	   /* no AF_XDP socket on this queue: flow of the stack */
	__u64 dropped_verdict;	   /* flow entry says drop */
	__u64 guard_dropped;	   /* kernel segments about the stack's connections, stopped on the way out */
	__u64 pad[6];
};

/*
 * What the XDP program puts in front of a frame, as metadata: when it arrived. An AF_XDP socket in copy mode
 * takes metadata along. Memory there may hold anything where the program put nothing, so the stamp is
 * marked: with the key of the time, which changes whenever stamping is switched on.
 */
struct steer_stamp {
	__u64 ns;   /* CLOCK_MONOTONIC */
	__u64 mark; /* ns ^ stamp_key */
};

/* The mapped range. Owned by the attachment; every process of the stack maps it at one address. */
struct steer_shared {
	/* --- written by the owner at open and on address changes, read by the programs --- */
	__u32 flags;			 /* STEER_F_* */
	__u32 n_queues;			 /* entries of the socket map */
	__u32 local4[STEER_FAST_LOCAL4]; /* network order; 0 = unused. A cache of the address table */
	__u8 mac[6];			 /* the interface's own */
	__u8 pad[2];
	__u64 stamp_key;		 /* 0 = frames are not stamped; else see struct steer_stamp. Written at any
					    time, by ports under different locks: atomic, as the next but one */
	__u32 programs[STEER_MAX_PROGRAMS]; /* ids, 0 = none: see steer_programs() */
	__u32 stamp_users;		 /* ports that want stamps */
	__u64 stamp_turns;		 /* how often one began to */

	/* --- one line per queue, per CPU, one slot per port --- */
	struct steer_beat beat[STEER_MAX_QUEUES];
	struct steer_counts count[STEER_CPU_LINES];
	struct steer_slot slot[STEER_SLOTS][65536];
};

/* Key of the address table: a local address of the interface (port and slot 0), or a port entry. */
struct steer_addr_key {
	__u8 addr[16];
	__u16 port;  /* 0 = the address itself */
	__u8 slot;   /* STEER_SLOT_*, plus STEER_GROUP; 0 with port 0 */
	__u8 pad;    /* 0 */
};

/* Key of the flow table. */
struct steer_flow_key {
	__u8 local[16];
	__u8 remote[16];
	__u16 local_port, remote_port;
	__u8 slot; /* STEER_SLOT_* */
	__u8 pad[3]; /* 0 */
};

/* Values of both tables. Numbers equal provider.h's enum steer_verdict. */
enum steer_flow_verdict { STEER_FLOW_STACK = 1, STEER_FLOW_KERNEL = 2, STEER_FLOW_DROP = 3 };

#endif
