/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reader.h - looking at the statistics of another process's stack.
 *
 * Does:     find the stacks of a process, copy what they show into a snapshot, check it.
 * Does not: stop, slow or change the process; interpret counters; print.
 * Threads:  any, one snapshot each.
 * Errors:   0 or a count, or -errno.
 *
 * The segment is another process's memory and may hold anything (DESIGN D11). Everything is copied
 * once by read calls and checked in the copy: a mapping would let the other side change what was
 * checked, and end the reader by SIGBUS when the file shrinks.
 */
#ifndef FSOCK_STATS_READER_H
#define FSOCK_STATS_READER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "stats/format/stats.h"

enum {
	STATS_READ_MAX_COUNTERS = 4096, /* more than any version has */
	STATS_READ_MAX_SOCKS = 1048576, /* upper limit of the option max_sockets */
	STATS_READ_MAX_STACKS = 64,	/* of one process */
};

/* A checked copy. Texts in it are terminated and hold printable bytes only. */
struct stats_snapshot {
	struct stats_head head;
	uint32_t n_counters; /* entries of counters; may be more or fewer than this build knows */
	uint32_t n_ports;    /* entries of ports */
	uint32_t n_socks;    /* used records of socks */
	uint32_t n_links;    /* entries of links; unused ones have serial 0 */
	uint64_t *counters;  /* owned; NULL when there are none, as the next three */
	struct stats_port *ports;
	struct stats_sock *socks;
	struct stats_link *links;
};

/*
 * Is @head possible for a file of @file_len bytes? NULL when it is, else a sentence on what is
 * wrong. Pure.
 */
const char *stats_head_check(const struct stats_head *head, uint64_t file_len);

/*
 * Copy what the stack behind @fd shows. 0; -EPROTO: not a stack this version can read, *why says
 * what is wrong with it; -ENOMEM; -errno of fstat or read. On failure @snapshot is empty.
 * @why may be NULL. @fd stays open.
 */
int stats_snapshot_read(struct stats_snapshot *snapshot, int fd, const char **why);

/* Free the copies; also right for an empty or zeroed snapshot. */
void stats_snapshot_free(struct stats_snapshot *snapshot);

/*
 * Open the stacks process @pid holds, each once however many descriptors it has of it. Returns how
 * many of @fds (at most @max) were filled; the caller closes them. -ESRCH: no such process;
 * -EACCES: not ours to look at.
 */
int stats_find(pid_t pid, int *fds, unsigned max);

/* Make the texts of a record printable and terminated, as in a snapshot; for FSOCK_REPORT_FD. */
void stats_sock_tame(struct stats_sock *sock);

#endif
