/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * steer.h - which received frames go to the stack, for one interface.
 *
 * One program decides (bpf/decide.h; the order of its decisions is DESIGN D4): an XDP program for AF_XDP
 * sockets (bpf/steer.bpf.c), or the tap, an ingress program for packet sockets (bpf/tap.bpf.c). One
 * egress program keeps the kernel from answering for the stack's flows (bpf/guard.bpf.c). This header loads,
 * attaches, fills and removes them with nothing but bpf(2) and netlink.
 *
 * Does:     attach and detach, port entries, flow entries, local addresses, heartbeat, counters.
 * Does not: open AF_XDP sockets, read the clock, allocate, log, watch addresses (the caller feeds them).
 * Threads:  holder of the stack's lock; steer_heartbeat() and steer_stats() touch mapped memory only.
 * Errors:   0 or -errno; why text on a failed open.
 * Lifetime: both programs vanish with the last copy of the link descriptors, thus with the last process that
 *           joined, however it ends; and for all of them when the owner closes. A copy in a forked child
 *           that takes no frames keeps them: call steer_fork_child() there. Where a copy survives all the
 *           same, the heartbeat goes stale and frames pass.
 *
 * struct steer is private to a process and holds only descriptors and one pointer. The pointer is
 * valid in every process that maps the range at the same address: forked children inherit it, others
 * call steer_join().
 */
#ifndef FSOCK_STEER_STEER_H
#define FSOCK_STEER_STEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/clock.h"
#include "steer/maps.h"

/* Position of a descriptor in steer.fd. */
enum {
	STEER_FD_SHARED, /* map: the mapped range (struct steer_shared) */
	STEER_FD_FLOWS,	 /* map: flow entries */
	STEER_FD_ADDRS,	 /* map: local addresses and port entries with an address */
	STEER_FD_XSKS,	 /* map: queue -> AF_XDP socket */
	STEER_FD_LINK,	 /* link of the XDP program or the tap; -1 when the tap hangs on clsact */
	STEER_FD_GUARD,	 /* link of the guard; -1 when the guard hangs on clsact */
	STEER_FD_LOCK,	 /* tap: the interface's name (tap.h) */
	STEER_FD_SIDE,	 /* link of a tap behind the XDP program */
	STEER_N_FDS
};

/* How a tc program is attached. */
enum steer_guard {
	STEER_GUARD_AUTO,   /* to open: tcx link, else clsact. Never a result */
	STEER_GUARD_NONE,   /* no guard could be attached: accelerate UDP only */
	STEER_GUARD_TCX,    /* link, vanishes with its processes (kernel 6.6) */
	STEER_GUARD_CLSACT, /* filter, removed by steer_close() or by the next steer_open() */
};

struct steer {
	struct steer_shared *shared; /* mapped range; owned by the mapping's creator. NULL = closed */
	uint32_t ifindex;
	uint8_t guard; /* enum steer_guard, how it is attached */
	uint8_t tap;   /* the same for the tap, TCX or CLSACT; 0 = there is an XDP program instead */
	bool owner;    /* this process opened it, or took it over: what it closes is gone for all */
	int fd[STEER_N_FDS]; /* -1 = none; all close-on-exec and >= fd_floor */
};

/* Everything is borrowed for the call. */
struct steer_open_args {
	uint32_t ifindex;
	bool tap;		/* the tap, instead of an XDP program */
	uint8_t tap_hang;	/* enum steer_guard: AUTO, or one way only (tests) */
	bool native;		/* XDP program: driver mode; otherwise generic */
	bool no_udp_gso;	/* tap: the kernel's packet sockets do not know super-frames of UDP */
	uint8_t guard;		/* enum steer_guard: AUTO, or one way only (tests) */
	uint32_t n_queues;	/* receive queues that may be served, by whomever: 1 .. STEER_MAX_QUEUES */
	uint32_t max_flows;	/* capacity of the flow table; 0 = 65536 */
	uint32_t max_ports;	/* capacity of the address table; 0 = 4096 */
	struct eth_addr mac;	/* the interface's own */
	void *at;		/* page aligned range of STEER_SHARED_BYTES, overwritten; NULL = anywhere */
	int fd_floor;		/* lowest number a descriptor may get */
	uint32_t former;	/* program of an owner that ended, 0 = none: waited for, 0.2 s at most */
	char *why;		/* set to one sentence on failure; NULL = not wanted */
	size_t why_len;		/* bytes of it */
	char *log;		/* verifier's log when a program is refused; NULL = not wanted */
	size_t log_len;
};

/*
 * steer_open() - attach both programs with empty tables: every frame still passes.
 *
 * Return: 0
 *         -EBUSY       another process's fsock steering is attached
 *         -EEXIST      a foreign XDP program is attached (an XDP program is to be)
 *         -EPERM       CAP_NET_ADMIN, CAP_BPF or CAP_PERFMON missing
 *         -ENOMEM, -EMFILE
 *         -ENODEV      no such interface
 *         -EOPNOTSUPP  kernel or driver cannot (mode, map types)
 * On failure nothing remains attached, open or mapped. A failed guard is not a failure: see
 * steer.guard. Cost: some 20 ms, most of it in the kernel's attach.
 */
int steer_open(struct steer *steer, const struct steer_open_args *args);

/*
 * steer_guard_add() - attach the guard now, where steer_open() was told STEER_GUARD_NONE.
 *
 * For an owner that steers UDP only at first: the guard costs some 15 ms to attach, as much to
 * detach, and a look at each packet the kernel sends. Nothing when it is there already or this
 * process is not the owner. The result stands in steer.guard, as after steer_open().
 */
void steer_guard_add(struct steer *steer, int fd_floor);

/*
 * steer_side_add() - attach the tap as well, behind the XDP program: what that passes to the kernel though
 * it is the stack's, UDP with a partial checksum in generic mode (hazard 3), can then be marked for packet
 * sockets (tap.h). Until steer_side_on() the tap lets everything pass.
 *
 * It lasts until steer_close() or the process ends. Costs some 15 ms, and a call for each packet the interface
 * passes on.
 * Return: 0, also when it is there; -EPERM: not the owner; -EOPNOTSUPP: the kernel has no tcx links
 * (before 6.6), and a filter that can outlive its owner is not worth this; -errno.
 */
int steer_side_add(struct steer *steer, int fd_floor);

/* What the XDP program sheds is the packet sockets' from here on, which the caller has bound: the tap stands and
 * the same rules decide there. A store. */
void steer_side_on(struct steer_shared *shared);

/* It is the kernel's again: the owner ended, and its tap with it. */
void steer_side_off(struct steer_shared *shared);

/* The count of steer_counts.passed_partial alone: cheap. */
uint64_t steer_passed_partial(const struct steer_shared *shared);

/*
 * A process that shares the stack but not by inheritance: take descriptors (already this process's, e.g. by
 * pidfd_getfd()) and map the range @at. It is no owner.
 * Owner of @fd's descriptors: steer after 0, the caller after any error.
 */
int steer_join(struct steer *steer, uint32_t ifindex, const int fd[STEER_N_FDS], void *at);

/*
 * steer_beside() - use what stands at @home, of the same process: duplicates of its tables, and the range mapped
 * @at. Steers by the same rules to further sockets (steer_set_xsk()). It is no owner and holds no link: what is
 * attached ends with @home's.
 * 0; -EMFILE; -errno. On failure nothing remains.
 */
int steer_beside(struct steer *steer, const struct steer *home, void *at, int fd_floor);

/*
 * steer_adopt() - the owner ended: be the owner of what @steer got by steer_join(). What is attached stays, and is
 * not looked at; a guard that came since then is attached again, as by steer_guard_add().
 */
void steer_adopt(struct steer *steer, int fd_floor);

/* In a forked child: close the link descriptors, so that the attachment ends with the owner. With
 * @keep_maps the child may still add and remove rules; without, the maps are closed too (the mapping
 * stays, it belongs to the stack's memory). */
void steer_fork_child(struct steer *steer, bool keep_maps);

/* Owner: detach, remove a clsact guard, unmap, close. Others: unmap, close. Idempotent. */
void steer_close(struct steer *steer);

/* Ids of the attached programs, so that policy detection does not take them for somebody else's. Owner
 * only, who thereby tells them to those beside. The rest of @ids is 0. Returns how many; the one that takes frames
 * is the first. */
unsigned steer_programs(const struct steer *steer, uint32_t ids[STEER_MAX_PROGRAMS]);

/* The same for those beside: what the owner found last. */
void steer_programs_told(const struct steer_shared *shared, uint32_t ids[STEER_MAX_PROGRAMS]);

/* Was the program that takes frames detached behind our back (`bpftool link detach`)? False where it hangs on clsact,
 * which does not tell. One system call. */
bool steer_is_off(const struct steer *steer);

/* Send this queue's frames to an AF_XDP socket bound to it; @xsk -1 takes it out again (closing the
 * socket does so too). Do this after bind() and a filled FILL ring: frames come from here on. */
int steer_set_xsk(struct steer *steer, uint32_t queue, int xsk);

/* Replace the interface's own address. */
void steer_set_mac(struct steer *steer, const struct eth_addr *mac);

/* Replace the set of addresses local to the interface. Frames to others pass (hazard 2). New ones
 * become valid before old ones go. -E2BIG: table full, the set is then incomplete. */
int steer_set_local(struct steer *steer, const struct ip_addr *addrs, unsigned n);

/* A bound or listening socket. */
struct steer_port {
	uint8_t protocol;	/* IPPROTO_UDP or IPPROTO_TCP */
	uint8_t wild;		/* one STEER_WILD_* bit when @local is the wildcard; else ignored */
	uint16_t port;		/* host order */
	struct ip_addr local;	/* any = wildcard; a group = frames to the group, in group frames only */
};

/* Add, or nothing when it is there. Before the shadow listens; remove after it closed (D4).
 * -E2BIG: table full. -EPROTONOSUPPORT. */
int steer_port_add(struct steer *steer, const struct steer_port *port);
int steer_port_remove(struct steer *steer, const struct steer_port *port); /* absent: 0 */

/* Datagrams for @port, of whatever entry, are left to the tap beside the XDP program, once it stands: its
 * sockets are told the kernel's own time of arrival. Means something in generic mode only. */
void steer_port_aside(struct steer_shared *shared, uint16_t port, bool on);

/* One 4-tuple. */
struct steer_flow {
	uint8_t protocol; /* IPPROTO_UDP or IPPROTO_TCP */
	uint16_t local_port, remote_port; /* host order */
	struct ip_addr local, remote;
};

/* Add, or replace the verdict. -E2BIG: table full. -EPROTONOSUPPORT. */
int steer_flow_add(struct steer *steer, const struct steer_flow *flow, enum steer_flow_verdict verdict);
int steer_flow_remove(struct steer *steer, const struct steer_flow *flow); /* absent: 0; no call where the port has none */

/* Forget every rule, so that all frames pass and the kernel answers for all connections, whoever holds the links or
 * sockets. Stores alone, by whichever process: for a stack that serves nobody any more. NULL: nothing. */
void steer_forget(struct steer_shared *shared);

/*
 * One port more that wants frames stamped, or one less: the program stamps as long as there is any. Each that
 * begins changes the key for all, since its memory may hold stamps which it did not look at; a port that goes on
 * reads it anew. One that ends without a word leaves them on. No system call.
 */
void steer_stamps_on(struct steer_shared *shared);
void steer_stamps_off(struct steer_shared *shared);

/* Sum of all CPUs, free running. No system call. */
void steer_stats(const struct steer_shared *shared, struct steer_counts *sum);

/*
 * steer_heartbeat() - "somebody polls this queue".
 *
 * Call it on every receive of the queue, after the ring was looked at, whether or not frames came: it
 * answers only when the program asked, thus writes at most ten times a second and never when idle.
 * (Answering on empty polls too is what ends staleness after a redirect to a full ring was lost.)
 * @now: CLOCK_MONOTONIC, may be some microseconds old.
 */
static inline void steer_heartbeat(struct steer_shared *shared, uint32_t queue, fs_ns now);

/* The same for who knows the queue's line. */
static inline void steer_beat_answer(struct steer_beat *beat, fs_ns now);

/* Nobody polls until @until, but somebody will then: until then nothing is stale, and nothing is asked. */
static inline void steer_beat_vouch(struct steer_beat *beat, fs_ns until);

/* inline definitions */

static inline void steer_heartbeat(struct steer_shared *shared, uint32_t queue, fs_ns now)
{
	steer_beat_answer(&shared->beat[queue], now);
}

static inline void steer_beat_answer(struct steer_beat *beat, fs_ns now)
{
	uint64_t asked = __atomic_load_n(&beat->asked_ns, __ATOMIC_RELAXED);

	/* The answer must not lie before the question, or the question stays open for ever. */
	if (asked > beat->taken_ns)
		__atomic_store_n(&beat->taken_ns, (uint64_t)now > asked ? (uint64_t)now : asked,
				 __ATOMIC_RELAXED);
}

static inline void steer_beat_vouch(struct steer_beat *beat, fs_ns until)
{
	__atomic_store_n(&beat->taken_ns, (uint64_t)until, __ATOMIC_RELAXED);
}

#endif
