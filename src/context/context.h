/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * context.h - what one process holds of fsock: its stack, its descriptors of it, its options.
 *
 * The context is the composition root: it makes the stack, opens ports, lends the engine time and
 * functions, and is the only reader of the clock. Front doors (preload, later api) call the functions
 * of datagram.h, lifecycle.h and multiplex.h; this header is shared by the files of this room.
 *
 * Made at the first Internet socket, in private pages of its own; never freed (exit does).
 * Threads:  fields are protected by the stack's lock unless marked.
 */
#ifndef FSOCK_CONTEXT_CONTEXT_H
#define FSOCK_CONTEXT_CONTEXT_H

#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "context/config.h"
#include "context/local.h"
#include "context/local_pcap.h"
#include "context/stack.h"
#include "host/clock.h"
#include "host/identity.h"
#include "host/log.h"
#include "host/mem.h"
#include "host/monitor.h"
#include "host/netlink.h"
#include "host/tcp_sysctl.h"
#include "ip/ip.h"
#include "provider/provider.h"
#include "socket/fdtable.h"
#include "socket/sock.h"

/* ppoll() with the signal mask as the kernel takes it, or NULL. */
typedef int context_ppoll_fn(struct pollfd *, unsigned long, const struct timespec *, const void *);

enum {
	CONTEXT_STACKS = 8,   /* of one process */
	CONTEXT_WATCHES = 32, /* threads that have rings (watch.h) */
};

struct context {
	struct stack *stack;   /* shared, never NULL once the context is published */
	struct fd_table fds;
	/* The stacks of this process by their index, home first, this one among them (sister.h). In each the same; more
	 * come at a time, under home's lock, and n_stacks is stored last. Any thread. */
	struct context *stacks[CONTEXT_STACKS];
	unsigned n_stacks;
	unsigned index;	       /* of this one; 0 = home */
	uint32_t entered;      /* how often who drives it for another stack entered it again (sister.c). Lock held */
	uintptr_t outer_frame; /* context_thread.lock_frame before a sister's caller entered (sister.h) */
	bool undivided;	       /* home serves all queues: sisters could not open their share */
	uint32_t to_tell;      /* sisters, by index, for whom something is in the passages since they were told */
	struct ip_env env;     /* lent to the engine */
	struct host_clock clock;
	uint32_t *alive;       /* in a page that fork and clone wipe: CONTEXT_BORN = this is a child that has
				  not been through context_after_fork() yet; CONTEXT_FOREIGN = it never
				  takes the lock, for others cannot know whether it lives */

	/* What this process may drive. handle[i] belongs to stack->port[i]; ops NULL = not joined. */
	struct provider_handle handle[IP_MAX_PORTS];
	uint32_t handle_opened[IP_MAX_PORTS]; /* stack->port_opened[i] when handle[i] was made */
	/* Descriptors that tell of the end of processes that own ports (pidfd); pid 0 = unused. */
	struct context_owner {
		uint32_t pid;
		int fd;
	} owner[IP_MAX_PORTS];
	unsigned n_owners;
	uint32_t ports_seen;   /* stack->ports_serial when handles were last compared */
	unsigned n_handles;    /* slots of handle[] that were ever used */
	unsigned slot;	       /* index in stack->proc; STATS_MAX_PROCS = none: not joined */
	int join_error;	       /* 0, or why this child cannot join */
	uint32_t pid;
	uint32_t exiting;      /* the thread that ends the process: no other one changes the stack any more; 0 = none */
	int heir;	       /* index in stack->heir of this process, not joined yet; -1 = none */
	int next_heir;	       /* that of the child being forked */
	uint64_t pidns;	       /* inode of the PID namespace; 0 = not known */
	uint32_t abandoned;    /* how far this process has let go of a broken stack (broken.c); atomic */
	bool cut_off;	       /* of another PID namespace, and has said so */
	bool confined;	       /* by a filter of system calls, to the kernel's sockets: nothing is looked after; atomic */
	struct {	       /* sockets opened while the lock's holder was stopped, without a record yet */
		uint64_t cookie; /* 0 = none; stored last */
		int fd, domain;
	} late[8];
	unsigned n_late;       /* places taken; may exceed them */
	struct {	       /* the thread that goes on while the program computes (helper.h) */
		uint32_t state;	       /* whether there is one */
		bool stop;
		bool follows;	       /* libc's setuid() and its like reach it: nobody ends it before */
		int kick, epfd;	       /* eventfd that wakes it, set of the ports' descriptors; 0 = none */
		uint32_t ports_serial; /* of the stack, when epfd was brought up to date */
		uint32_t holder, looks; /* who had the lock when it last wanted it, and how often in a row */
		uint32_t holds;	       /* of the context, when it looked last */
		uint32_t tid;	       /* of the last one, also when it has ended; 0 = none has begun */
		fs_ns next_look;    /* when it looks next for processes that are gone */
		fs_ns until;	       /* it looks again by then; 0 = at once, or there is none. Lock held */
		pthread_t thread;
	} helper;
	uint32_t holds;	       /* how often frames or bytes of this process were held back (turn.h) */
	struct {	       /* whose connection has bytes that the next call of this turn may add to (turn.h) */
		struct sock *sock; /* borrowed: gone where its generation is another; NULL = nobody's */
		uint32_t generation;
		fs_ns since;
	} soon;
	uint32_t n_connects;   /* of TCP, tried by this process */
	int somaxconn;	       /* the kernel's; 0 = not read yet */
	struct {	       /* what the namespace presets for streams, as a socket showed it */
		fs_ns read_at;	       /* 0 = never */
		uint8_t congestion;    /* index in cc.def */
		bool v6_only;	       /* of IPv6 sockets; known when v6_read */
		bool v6_read;
		struct host_tcp_keep keep; /* read when the engine was prepared */
	} presets;
	bool forking;	       /* this thread holds the lock across fork() */
	uint32_t to_leave;     /* a signal asked that all its sockets move (handover.h), still to be done; atomic */
	bool executing;	       /* a program is about to be executed: what it will not have is left as it is */
	uint32_t to_flush;     /* ports, by bit, with frames of the send under way: datagram_send_many() */
	uint32_t to_ring;      /* processes, by bit of their slot, whose sleepers must know: context_ring() */

	/* Constant after start. */
	struct host_identity maker; /* who made the stack: only such programs are passed it (exec.h). Here and not in
				  the stack: others of the fork tree, of lesser rights, may write there */
	struct config config;
	struct host_log log;
	fs_ns spin_limit;      /* longest spin of a blocking call; INT64_MAX = without end; 0 = never */
	int fd_floor;	       /* our descriptors are at or above it */

	struct mem_arena arena;
	struct host_nl nl;
	struct host_monitor monitor;
	uint8_t *nl_buf, *monitor_buf; /* owned pages */
	struct host_policy *policy;    /* opened at the first look; owned pages, NULL = not yet */
	uint32_t policy_applies;       /* ports whose interface it forbids, by bit, as the log was told */
	struct context_local local; /* other stacks of this host */
	int leases[2];	       /* unix sockets that hold the leased ports (lease.h); 0 = none */
	int icmp[2];	       /* raw sockets, IPv4 and IPv6 (icmp.h); 0 = none */
	int icmp_error;	       /* why there is none; 0 = none was asked for, or there is */
	int doorbell[STATS_MAX_PROCS]; /* eventfds, by slot; -1 = not made. Never read: edge triggered */
	struct context_watch { /* one thread's io_uring over epoll sets (watch.h); this process only */
		bool taken;
		struct host_watch *ring; /* NULL = never one; its pages stay when its thread ends */
	} watch[CONTEXT_WATCHES];
	bool watch_denied;     /* none is to be had */
	unsigned thread_key;   /* pthread key whose destructor closes a thread's sleep set */
	/* libc's ppoll(), as it is behind whatever interposes it; set by the front door. */
	context_ppoll_fn *libc_ppoll;
	int signal_fd;	       /* signalfd over everything, or -1 */
	int report_fd;	       /* STATS_REPORT_ENV, or -1 */
	struct local_pcap pcap; /* what links carry goes there; home's alone */
	unsigned long netns;   /* inode of the network namespace the stack was made in */
	uint64_t netns_cookie; /* the kernel's name for it, which sockets tell, too; 0 = it tells none */

	fs_ns now;	       /* of the current drive */
	fs_ns wall_offset;     /* CLOCK_REALTIME less CLOCK_MONOTONIC, as read at... */
	fs_ns wall_read;       /* ... this time; 0 = never (stamp.c) */
	struct {
		bool any;	     /* the send under way left messages in its socket's error queue... */
		uint32_t frames;     /* ... which before held so many, */
		uint32_t number;     /* with this the next number */
		struct fbuf *first;  /* those from here on may lack their stamp; NULL = none does */
	} stamping;
	fs_ns next_look;       /* when housekeeping is due: notifications */
	uint16_t group_port;   /* last one looked at for foreign members */
	unsigned shared_turn;  /* which of the sockets that others may join is asked about next */
	fs_ns next_retry, retry_pause; /* when interfaces that others have are tried again */
	fs_ns next_check;      /* when the slow part is due: policy, processes, neighbours */
	int unchecked_fd;      /* the next descriptor to look at; above the highest = done until then */
	uint32_t unpublished;  /* sockets whose figures are still to be published */
	fs_ns no_payload_until; /* the control group left no memory for more */
	fs_ns told;	       /* when those of ports were, the last time */
	struct {
		uint32_t ifindex; /* 0 = unused */
		int reason;
	} declined[IP_MAX_PORTS]; /* interfaces that refused; forgotten when links change */
	char why[STATS_DETAIL_LEN]; /* sentence of the last refusal */
};

/* Values of *context.alive. */
enum { CONTEXT_BORN, CONTEXT_ALIVE, CONTEXT_FOREIGN };

/* Returned instead of a result: the caller makes libc's call with its own arguments. No errno. */
#define CONTEXT_KERNEL (-100000)

/* The context of this process; NULL until the first Internet socket. Any thread. */
extern struct context *fsock_context;

/*
 * Make and publish it; @libc_ppoll: see struct context. Returns NULL when that is impossible (memory,
 * address space): then there is no stack, *reason says why, and every socket is the kernel's. Any thread; the first
 * wins.
 */
struct context *context_start(context_ppoll_fn *libc_ppoll, int *reason);

/* Are streams of Unix sockets looked after at all (option local_unix)? Also before there is a context: else none is made
 * for such a socket. Any thread. */
bool context_takes_unix(void);

/*
 * Is this a child that shares the parent's memory until it execs (vfork, posix_spawn)? What it does to
 * its descriptors is not the parent's business: calls go to libc and nothing is noted. The kernel is asked.
 */
bool context_is_borrowed(const struct context *ctx);

/*
 * The same for calls that are made often: the kernel is asked unless it was said that nobody else may run here. Who hears
 * of such children before they begin says so, and takes it back then, for good. Any thread.
 */
bool context_is_lent(const struct context *ctx);
void context_may_be_lent(bool may);

/* --- the stack's lock; see stack.h --- */

/* False: the stack is broken, or the calling thread holds the lock already (a signal handler came in
 * between): use the shadow. */
bool context_lock(struct context *ctx);
void context_unlock(struct context *ctx);

/* --- driving; all with the lock held --- */

/*
 * Take what the ports received through the engine, after what housekeeping is due. Returns frames taken.
 * Housekeeping may end sockets whose descriptors went unseen: look them up again (context_live_sock()).
 */
unsigned context_poll(struct context *ctx);

/* The same without housekeeping, at the time ctx->now: sockets stay. */
unsigned context_take(struct context *ctx);

/* Take what has arrived by now, on every port: before a socket leaves the look-up, for whom it is still. Not from
 * within context_take(). */
void context_drain(struct context *ctx);

/* The same of one port, whatever state it is in. */
unsigned context_take_port(struct context *ctx, unsigned port);

/* Hand the engine's out queue of @port to the provider and start it. 0; -EAGAIN: some remain; -ENETDOWN: the
 * port failed and what remained is lost, or at best late. */
int context_flush(struct context *ctx, unsigned port);

/* Wake the threads that sleep for what came. Called by whoever drove, before unlocking. */
void context_ring(struct context *ctx);

/* Keep the control plane and memory up to date when due. */
void context_housekeep(struct context *ctx);

/* --- records --- */

/* A fresh record in the statistics; NULL = table full. Lock held. */
struct stats_sock *context_record(struct context *ctx, int fd, int family, int protocol);

/* A copy of the record behind @fd. False: it has none. Takes the lock. */
bool context_record_read(struct context *ctx, int fd, struct stats_sock *copy);

/* Say why a socket is not accelerated. @detail may be NULL. */
void record_reason(struct stats_sock *record, int reason, const char *detail);

/* The socket behind the record is gone. */
void context_record_close(struct context *ctx, struct stats_sock *record);

#endif
