/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * meet.h - where two programs of one host find each other (DESIGN D9): abstract unix sockets, named after what the
 * listener listens at, as well as the descriptors and the memory that they hand to each other there.
 *
 * Such names are of the network namespace, as ports are, need no file system, and go with their last descriptor: a
 * child that inherited it keeps the name, exec() and death give it up.
 *
 * Does:     names, dialling, who is there, messages with descriptors, memory that cannot shrink under who maps it.
 * Does not: know what the messages say, decide whom to trust, wait. Any process of the namespace may have any of these
 *           names, and may dial them: ask host_meet_peer() before anything is read or believed.
 * Trust:    the other end sends what it likes. A message is taken in its agreed form or not at all, and no descriptor
 *           stays behind of one that is not. To close a descriptor may wait for a file system of the sender's making,
 *           so receive from nobody from whom a signal would not be taken.
 * Threads:  any. Nothing is kept here but the descriptors, which are non-blocking and close-on-exec; each is the
 *           caller's, to close, and its number is @fd_floor at least.
 * Errors:   -errno; whatever fails leaves no descriptor. Where no number is left at or above the floor: -EMFILE.
 */
#ifndef FSOCK_HOST_MEET_H
#define FSOCK_HOST_MEET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

enum {
	/* Part of each name: builds that could not talk do not meet. The version of the format that links have
	 * (LOCAL_VERSION; the unit test compares), and grows also with what is said before there is a link. */
	HOST_MEET_VERSION = 5,

	HOST_MEET_BACKLOG = 128, /* who may wait to be accepted; the namespace's somaxconn may be less */
	HOST_MEET_FDS = 8,	 /* descriptors in one message, at most */
};

struct host_meet_name {
	struct ip_addr addr; /* any (of either form) = wildcard; of a Unix socket what it is known by, 16 bytes */
	uint16_t port;	     /* host order */
	uint8_t protocol;    /* IPPROTO_TCP, IPPROTO_UDP; 0: a Unix socket, which has no port */
	bool v6;	     /* of a wildcard: which family's. Else the address says */
	uint16_t nth;	     /* of several listeners at one address and port (SO_REUSEPORT) */
	bool by_any;	     /* in a directory (meet_dir.h): its listener is at the wildcard, which @addr is one of */
};

/*
 * Listen under @name. A descriptor, readable when somebody has dialled; -EADDRINUSE: somebody has the name, whoever
 * that may be; -errno.
 */
int host_meet_publish(const struct host_meet_name *name, int fd_floor);

/*
 * Connect to whoever listens under @name, never waiting for it: it has not accepted yet, but may be sent messages. A
 * descriptor; -ECONNREFUSED: nobody; -EAGAIN: too many wait there; -errno (-EPERM: a security module's word).
 */
int host_meet_dial(const struct host_meet_name *name, int fd_floor);

/*
 * The next one who dialled, who may be gone already. A descriptor; -EAGAIN: nobody; -EMFILE: there may still be
 * somebody, so @fd may stay readable; -errno.
 */
int host_meet_accept(int fd, int fd_floor);

/* Who is at the other end: who called connect(), or listen(), at that time. It may have died or passed its end on. */
struct host_meet_peer {
	uint32_t pid;	   /* 0: a process that this PID namespace does not see. Never an identity: it is used again */
	uint32_t uid, gid; /* effective ones; in this user namespace, the overflow ids (65534) if they are not in it */
	uint64_t who;	   /* differs from that of any other process alive: made of its pid, or, where that is 0, of what
			      the kernel tells of it (SO_PEERPIDFD, Linux 6.9); 0: not to be told from others */
};

/* 0; -ENOTCONN: nobody ever was. */
int host_meet_peer(int fd, struct host_meet_peer *peer);

/*
 * Send one message of @len bytes, not 0, with @n descriptors, HOST_MEET_FDS at most, which stay the caller's too. It
 * goes whole or not at all. 0; -EAGAIN: no room for now; -EPIPE: the other end is gone (no signal comes);
 * -ETOOMANYREFS: this user has too many descriptors under way (RLIMIT_NOFILE); -EMSGSIZE; -EINVAL; -errno.
 */
int host_meet_send(int fd, const void *message, size_t len, const int *fds, unsigned n);

/*
 * Take the next message, which must have exactly @len bytes, not 0, and @n descriptors, HOST_MEET_FDS at most. 0, and
 * the descriptors are the caller's. Otherwise none is:
 * -EAGAIN: there is none yet; -ECONNRESET: the other end is gone, or sent a message of no bytes. What it sent and
 * nobody took may be lost then.
 * -EPROTO: it had another form, or this process may have no more descriptors (RLIMIT_NOFILE, a security module).
 * -EMFILE: so it was only when they were to be moved to the floor. The message is taken, and gone, with either.
 * What the descriptors are is not looked at, and the sender may still change what belongs to the file (O_NONBLOCK).
 */
int host_meet_receive(int fd, void *message, size_t len, int *fds, unsigned n, int fd_floor);

/*
 * Look through messages that are left where they are, from the first one on: begin at @offset 0, where each look goes on
 * to the next message; -1 ends it. Whoever has the same socket shares the offset, so one does this at a time. 0 or
 * -errno; host_meet_peek() as host_meet_receive().
 */
int host_meet_peek_from(int fd, int offset);
int host_meet_peek(int fd, void *message, size_t len, int *fds, unsigned n, int fd_floor);

/*
 * Memory of @len bytes to share, zeroed: a memfd sealed against shrinking, growing and further seals. @name is for
 * whoever looks at /proc. Its pages are taken from the system when they are touched. A descriptor; -EFBIG: beyond
 * RLIMIT_FSIZE; -EINVAL: @len is 0; -errno.
 */
int host_meet_memory(const char *name, size_t len, int fd_floor);

/*
 * Is what came such memory, of pages of the usual size, and may it be mapped for reading and writing? Its length in
 * bytes, which cannot change any more, or -EPROTO. The sender may still punch holes into it: what lies there turns to
 * zeroes then, and touching it takes new pages, which this process pays for.
 */
int64_t host_meet_memory_len(int fd);

/*
 * Is what came a bell: an eventfd to be written to, which does not block? 0 or -EPROTO; also where /proc is not there to
 * say so. To ring anything else could end this process (SIGPIPE), write to a file, or wait. What it cannot say is whether
 * the sender leaves it so: who takes O_NONBLOCK away later and fills the count makes whoever rings wait.
 */
int host_meet_bell(int fd);

#endif
