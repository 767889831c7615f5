/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * local.h - links with other stacks of the host: found, made, shared by the processes of the stack, ended (DESIGN D9).
 *
 * Each listener that may be reached so listens under names in the abstract unix name space, too (host/meet.h). Who
 * connects to an address of the host asks there first. Who answers gets the memory that both will share, and what each
 * rings the other with. Every process of a stack maps every link of it, at the same address, so whoever holds the lock
 * drives all. Who was forked before a link was made finds its descriptors within a pair of unix sockets that all have
 * inherited, as the leases do (lease.h).
 *
 * With the option local_scope listeners are also found by who shares a directory with them, by those addresses of their
 * namespace that are no loopback's: files of the directory instead of abstract names, the rest is the same
 * (local_scope.c, host/meet_dir.h). An address of another namespace is looked for nowhere else, one of this namespace
 * not there.
 *
 * A link is between stacks: connections of any process of either go over it. It ends with the last process of a side,
 * which its unix socket tells.
 *
 * Streams of Unix sockets (option local_unix) have links of their own: each is of one listener and of one process that
 * calls it, so that what the kernel says of its ends (SO_PEERCRED and the like) holds for every connection by it, and
 * nobody reaches by it what he was not let to. Who calls a path shows that he can: he brings the file's descriptor.
 *
 * Does:     names and links; telling the other side, being told.
 * Does not: connections (stream_local.c), what lies in the shared memory (src/local).
 * Trust:    processes of the same user, by SO_PEERCRED; and of those nothing that they write (DESIGN D11).
 * Threads:  holder of the stack's lock only, unless marked.
 */
#ifndef FSOCK_CONTEXT_LOCAL_H
#define FSOCK_CONTEXT_LOCAL_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/addr.h"
#include "base/clock.h"
#include "base/list.h"
#include "context/local_peer.h"
#include "host/meet.h"
#include "host/mem.h"
#include "stats/format/stats.h"

static_assert((int)MEM_LINKS == (int)STATS_MAX_LINKS, "each link is shown");

struct context;
struct local_conn;
struct local_link;
struct sock;

enum {
	LOCAL_LINKS = MEM_LINKS,
	LOCAL_NAMES = 128,  /* of listeners, of one process */
	LOCAL_COMING = 16,  /* who has dialled, and not said what it brings */
	LOCAL_SPARE = 4,    /* as many as a link has */
	LOCAL_FOUND = 32,   /* addresses and ports whose listeners are known */
	LOCAL_GROUP = 64,   /* listeners of one address and port (SO_REUSEPORT) that are told apart */
	LOCAL_WATCHED = 2 * LOCAL_LINKS + LOCAL_NAMES + LOCAL_COMING, /* descriptors that local_watch() adds, at most */
	LOCAL_LEAST = 16 << 20, /* bytes of memory that must be there for one more link */
};

/* In stack memory: the links, by their index. */
struct stack_link {
	struct local_link *link; /* NULL = the place is free */
	void *memory;		 /* the link's own, for this place; NULL = none yet */
	uint64_t len;		 /* of what is shared */
	uint32_t serial;	 /* differs from that of any earlier link; 0 = the place is free */
	uint64_t who;		 /* a process of the other stack (host_meet_peer); 0 = it may be another's by now */
	uint32_t uid;		 /* its user, and whether that was another one than this side's: connections of TCP alone */
	bool strange;
	bool beyond;		 /* that stack is of another network namespace */
	bool of_unix;		 /* it carries connections of Unix sockets, those alone, and to one listener: */
	struct ip_addr unix_id;	 /* what that is known by; any = nobody is to call by it any more */
	uint32_t caller, caller_uid, caller_gid; /* whose connections they are, where this side dialled; else 0 */
};

struct stack_local {
	struct stack_link link[LOCAL_LINKS];
	unsigned n;		 /* places that were ever taken */
	uint32_t serial;	 /* last one given to a link */
	struct list listeners;	 /* stream.of_local: sockets that take connections over links */
	struct local_peers peers; /* whom datagrams were sent to or came from */
	fs_ns next_dial;	 /* when a socket that is not connected may look for who it sends datagrams to */
	struct ip_addr own;	 /* an address of this host, the last one that was asked about for a datagram */
	struct ip_addr carried;	 /* another one, and the interface that had it */
	uint32_t carrier;
	fs_ns carried_looked;
	struct list connecting;	 /* stream.of_local: whose connect() was not answered yet, or whose other side moved */
	struct list starving;	 /* local_own.starved, the oldest first (local_stall.c) */
	/* The same of connections without a descriptor, and those with news (socket/bare.h), by slot of their process:
	 * local_conn.queued. */
	struct list bare_connecting[STATS_MAX_PROCS], bare_news[STATS_MAX_PROCS];
	uint32_t n_bare[STATS_MAX_PROCS]; /* how many there are */
};

/* What one process has of link i; private. */
struct local_hold {
	uint32_t serial;   /* stack_link.serial of what is mapped; 0 = nothing */
	int control;	   /* unix socket: it ends when the other stack does */
	int bell;	   /* eventfd that the other side rings. Never read: edge triggered */
	int far_bell;	   /* rung for the other side */
	bool hung_up;	   /* the other side has been told that the link is no more */
	bool called;	   /* of Unix sockets: this process made it, or one that it was forked from */
};

/* Of one process. */
struct context_local {
	struct local_hold hold[LOCAL_LINKS];
	struct local_name {
		int fd;		     /* listens under the name */
		struct sock *sock;   /* for this one; borrowed: gone where its generation is another */
		uint32_t generation;
		bool in_dir;	     /* a file in the directory, else of the name space */
		struct host_meet_name called;
	} name[LOCAL_NAMES];
	struct local_caller {
		int fd;
		bool in_dir;	     /* by such a name */
		uint8_t protocol;    /* of that name (host_meet_name) */
		struct ip_addr unix_id; /* which one */
		fs_ns since;
	} coming[LOCAL_COMING];
	struct local_found {
		struct ip_addr addr;
		uint16_t port;
		uint8_t n, next;     /* listeners found, 0 = nobody there is asked again so soon; whose turn it is */
		bool no_memory;	     /* why it is 0: theirs had none */
		uint8_t link[LOCAL_GROUP]; /* index of each one's */
		uint32_t serial[LOCAL_GROUP]; /* that it had */
		fs_ns until;	     /* it is taken for true; 0 = the place is free */
	} found[LOCAL_FOUND];
	unsigned n_names, n_coming, next_found;
	uint32_t user;		     /* effective, when names were made or renewed last */
	bool missing;		     /* names that listeners should have there: to be tried again */
	bool swept;		     /* it has been cleared of what others left, by this process */
	int dir;		     /* option local_scope: where names are found by other namespaces, too; 0 = none */
	int pair[2];		     /* see above; 0 = none */
	int spare[LOCAL_SPARE];	     /* numbers kept, so that a link's descriptors find room; 0 = none */
	uint32_t seen;		     /* stack->local_serial when the holds were brought up to date */
	fs_ns next_look;	     /* at names, callers and controls */
	bool no_memory;		     /* why the present connect() has no link */
};

/* @s, which listens by its shadow, can be found by others of the host from now on. Why not (enum fs_reason), or 0. */
int local_publish(struct context *ctx, struct sock *s, int fd, uint32_t backlog);

/* --- Unix sockets (stream_unix.c) --- */

/* What a Unix socket is known by on the host: of a file, its device and inode; of a name that is none, its hash. */
struct ip_addr local_unix_path(uint64_t device, uint64_t inode);
struct ip_addr local_unix_abstract(const void *name, size_t len);
bool local_unix_is_path(const struct ip_addr *id);

/* A listener that is to be called. */
struct local_called {
	struct ip_addr id;
	int file;	  /* open descriptor of its socket file (O_PATH); -1 = it has none, and an abstract name: */
	const void *name; /* of @name_len bytes, its first zero included */
	size_t name_len;
};

/* The link to the listener @called, for this process to call it; made if need be, with who has shown to be that listener
 * (host/diag_unix.h). NULL: nobody, or nobody of this user's, is there, or it cannot be had. */
struct local_link *local_find_unix(struct context *ctx, const struct local_called *called);

/* May @conn come over its link, to the listener that it names? */
bool local_unix_admits(const struct context *ctx, const struct local_conn *conn);

/* Is @link one of a Unix socket's listener, where nothing else may come? */
bool local_is_of_unix(const struct context *ctx, const struct local_link *link);

/* getsockopt(2) of what the kernel says of the other end of @conn: SO_PEERCRED and its kin. 0 or -errno. */
int local_unix_peer(const struct context *ctx, const struct local_conn *conn, int name, void *value, socklen_t *len);

/* No longer; who waits can still be accepted. */
void local_unpublish(struct context *ctx, struct sock *s);

/* The same, and who waits to be accepted is reset. */
void local_withdraw(struct context *ctx, struct sock *s);

/* --- the same of datagrams (datagram_local.h) --- */

/* Do datagrams of this process go over links at all? */
bool local_has_datagrams(const struct context *ctx);

/* May datagrams of @s go over links, whatever else it does? Why not (enum fs_reason), or 0. */
int local_datagrams_verdict(struct context *ctx, const struct sock *s, int fd);

/* The datagram socket @s, bound to a port of the program's choice, can be found, if there is a name left for it. */
void local_publish_datagrams(struct context *ctx, struct sock *s);

/* Nobody is to find @s any more, whoever has its names. */
void local_drop_names(struct context *ctx, const struct sock *s);

/* The index of the link whose other side takes datagrams for @addr and @port, made if need be; or -1. */
int local_find_datagrams(struct context *ctx, const struct ip_addr *addr, uint16_t port);

/* --- the directory of the option local_scope --- */

/* The directory of the option local_scope, if there is one that is fit. No lock: there is no stack yet. */
void local_scope_open(struct context *ctx);

/* Addresses of this namespace came or went: so do the names of listeners there. */
void local_scope_refresh(struct context *ctx);

/* May the other side call itself by @port? Some are root's. */
bool local_may_have(const struct context *ctx, const struct local_link *link, uint16_t port);

/* Has the interface by which @local reaches @remote, of another namespace, rules that a link would pass by? Why not
 * (enum fs_reason), or 0. */
int local_scope_verdict(struct context *ctx, const struct ip_addr *remote, const struct ip_addr *local);

/* This process ends: its names in the directory go, unless relatives have them. */
void local_scope_leave(struct context *ctx);

/* --- finding --- */

/* Is @addr an address of this host? */
bool local_is_own(struct context *ctx, const struct ip_addr *addr);

/* The link by which a listener at @addr and @port is reached, made if need be; of several, the next one's in turn.
 * NULL: nobody, or nobody of this user's, is there, or it cannot be had. @from: NULL = @addr is this host's; else it
 * is looked for in the directory, and the kernel would call it from there. */
struct local_link *local_find(struct context *ctx, const struct ip_addr *addr, uint16_t port,
			      const struct ip_addr *from);

/* Is the other stack of @link in another network namespace? */
bool local_is_beyond(const struct context *ctx, const struct local_link *link);

/* Nothing came of @conn: for a while nobody is found there. @refused: there was no such listener, and whoever is there
 * next is another one. */
void local_forget(struct context *ctx, const struct local_conn *conn, bool refused);

/* --- driving, sleeping, relatives --- */

/* Take what came over links; look at names and ends when that is due. Returns how many messages. */
unsigned local_poll(struct context *ctx);

/* Who has found no room on @link since: where its reader takes nothing for long, there will be more. */
void local_stall_note(struct context *ctx, struct local_link *link);

/* Those for whom it is time get more room. */
void local_stall_settle(struct context *ctx);

/* @conn became ready for @edges (local_ops.event). */
void local_event(struct context *ctx, struct local_conn *conn, uint32_t edges);

/* When it is; FS_NEVER = there are none. */
fs_ns local_stall_next(const struct context *ctx);

/* Before a call into src/local about @conn that drives no link: one that is captured calls this process's functions. */
void local_lend(struct context *ctx, struct local_conn *conn);

/* Take what came over @link alone. Before a call that only sends. */
void local_heed(struct context *ctx, struct local_link *link);

/* Take what came over link @index alone, and look at names and ends if that is due. The link may be no more then. */
void local_drive(struct context *ctx, unsigned index);

/* After a call into src/local about @link: tell the other side if it waits for that. */
void local_told(struct context *ctx, struct local_link *link);

/* Bring what is shown of links up to date (stats_link). */
void local_publish_links(struct context *ctx);

/* A thread is about to sleep, and will look once more before: what comes from now on rings. */
void local_arm(struct context *ctx);

/* When local_poll() has something to do by itself, FS_NEVER = not. */
fs_ns local_next(const struct context *ctx);

/* Descriptors for a set that a thread sleeps on: bells and what local_poll() looks at, with @tag as data for the
 * latter. */
void local_watch(struct context *ctx, int epfd, uint64_t tag);

/* Bring the mappings up to date with what other processes of the stack did. False: it cannot be done. */
bool local_catch_up(struct context *ctx);

/* A fork is near: what the child is to inherit must be there. */
void local_before_fork(struct context *ctx);

/* In a child. No lock. */
void local_after_fork(struct context *ctx);

/* The stack is broken: the other sides shall hear of it. No lock. */
void local_abandon(struct context *ctx);

#endif
