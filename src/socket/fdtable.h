/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fdtable.h - descriptor number -> what fsock knows of it, per process.
 *
 * "Not ours" is one or two loads and no system call. Two levels, so that its size follows the numbers
 * in use and never RLIMIT_NOFILE. The table is private memory: fork copies it, as the kernel copies
 * the descriptors.
 *
 * Threads:  reading: any, lock-free. context_fd_set() writes: holder of the stack's lock. A reader that
 *           is about to act on an entry takes the lock and looks again.
 */
#ifndef FSOCK_SOCKET_FDTABLE_H
#define FSOCK_SOCKET_FDTABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/barrier.h"
#include "base/clock.h"

enum {
	FD_CHUNK = 512,	  /* entries per chunk */
	FD_CHUNKS = 2048, /* 1 Mi numbers; higher ones are never ours */
};

/*
 * enum fd_kind - what stands behind a number
 *
 * FD_NONE    not ours: libc.
 * FD_SOCK    struct sock of UDP, accelerated or undecided.
 * FD_STREAM  struct sock of TCP, likewise.
 * FD_RECORD  struct stats_sock of a socket left to the kernel for good: calls go to libc, only
 *            close() and dup() are noticed.
 * FD_EPOLL   struct epoll_set: an epoll descriptor with accelerated members.
 * FD_OURS    struct context_sleep: what a thread of this process sleeps on.
 */
enum fd_kind { FD_NONE, FD_SOCK, FD_RECORD, FD_EPOLL, FD_OURS, FD_STREAM };

struct fd_entry {
	void *object;	     /* by kind; borrowed */
	uint32_t generation; /* of the struct sock, to notice memory that was reused */
	uint32_t kind;	     /* enum fd_kind; stored last with release */
	fs_ns checked;	     /* when it was entered, or found to be still true */
};

struct fd_table {
	struct fd_entry *chunk[FD_CHUNKS]; /* NULL = all FD_NONE; only ever set once */
	int highest;			   /* highest number ever entered, -1 = none */
};

/* inline definitions */

static inline bool fd_kind_is_sock(uint32_t kind)
{
	return kind == FD_SOCK || kind == FD_STREAM;
}

/* The entry of @fd, or NULL when nothing of ours was ever near that number. */
static inline struct fd_entry *fd_entry_at(struct fd_table *t, int fd)
{
	struct fd_entry *chunk;

	if ((unsigned)fd >= FD_CHUNK * FD_CHUNKS)
		return NULL;
	chunk = fs_load_acquire(&t->chunk[(unsigned)fd / FD_CHUNK]);
	return chunk ? &chunk[(unsigned)fd % FD_CHUNK] : NULL;
}

static inline enum fd_kind fd_kind_of(struct fd_table *t, int fd)
{
	struct fd_entry *e = fd_entry_at(t, fd);

	return e ? (enum fd_kind)fs_load_acquire(&e->kind) : FD_NONE;
}

#endif
