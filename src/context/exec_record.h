/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exec_record.h - what a process that executes a program tells that program of its stack (docs/decisions/0035).
 *
 * Written to a memfd of its own, which is sealed: nobody changes it any more, whoever has it, too. Read once by the
 * library in the new program. It names descriptors by number, and objects by their address in the stack's memory, which
 * is the same in both.
 *
 * Does:     write and read that memfd; say whether bytes are such a record.
 * Does not: believe what only the stack or the kernel can say: whether objects live, and are what a number names.
 * Threads:  any.
 */
#ifndef FSOCK_CONTEXT_EXEC_RECORD_H
#define FSOCK_CONTEXT_EXEC_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "host/clock.h"
#include "host/identity.h"
#include "host/program.h"
#include "ip/ip.h"
#include "stats/format/stats.h"

/* The number of the record's descriptor stands there, from exec until the library has begun. */
#define EXEC_RECORD_ENV "FSOCK_INHERITED"

enum { EXEC_RECORD_MAX = 1 << 20 /* bytes */ };

#define EXEC_RECORD_MAGIC 0x63657865636b6f73ULL

/* A descriptor that is passed on. */
struct exec_entry {
	uint64_t object;     /* address of the socket or set; 0 = it is one of fsock's own */
	int32_t fd;
	uint32_t kind;	     /* enum fd_kind: FD_SOCK, FD_STREAM, FD_EPOLL, or FD_OURS for fsock's own */
	uint32_t generation; /* of the object */
	uint32_t unused;
};

struct exec_record {
	uint64_t magic;
	uint64_t key;	     /* as the stack has it for this process: tells one exec from another */
	uint64_t bytes;	     /* in all */
	uint8_t build[HOST_PROGRAM_BUILD]; /* who reads has to be the very same library: layouts are its own */
	uint32_t pid;
	uint64_t mapped;     /* bytes of the stack's memory */
	int32_t memory;	     /* its descriptor */
	uint32_t arena_slot; /* where in the address space */
	uint32_t slot;	     /* of the process in the stack */
	int32_t fd_floor;
	int32_t doorbell[STATS_MAX_PROCS], leases[2], icmp[2], links[2]; /* as in struct context */
	uint32_t opened[IP_MAX_PORTS]; /* handle_opened there: which ports the process holds; 0 = not this one */
	uint32_t n_connects;
	struct host_clock clock; /* time goes on as it went: the stack's is of it */
	struct host_identity maker; /* as in struct context */
	uint32_t n;
	struct exec_entry entry[];
};

/* A sealed memfd with @r in it, close-on-exec, at or above @fd_floor; or -errno. */
int exec_record_write(const struct exec_record *r, int fd_floor);

/* The @room bytes at @r get what is in the memfd @fd: how many; -EINVAL: it is not sealed as by exec_record_write();
 * -EPERM: another user made it. */
ssize_t exec_record_read(int fd, void *r, size_t room);

/* Are these @len bytes a record of the library built as @build? Of which process it says itself. */
bool exec_record_is_good(const void *bytes, size_t len, const uint8_t build[HOST_PROGRAM_BUILD]);

#endif
