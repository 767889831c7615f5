/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * diag_unix.h - whose is this Unix socket's listener? By sock_diag(7) and proc(5), without a connection to it.
 *
 * Does:     find the socket that listens at a file or abstract name, and say whether a process has a descriptor of it.
 * Does not: answer where it cannot be sure: without the kernel's diagnosis of Unix sockets, where file systems show other
 *           inodes than they have (overlayfs, btrfs), where the process' descriptors are not to be seen (another user's,
 *           not dumpable, another PID namespace).
 * Threads:  any; opens and closes its own socket.
 */
#ifndef FSOCK_HOST_DIAG_UNIX_H
#define FSOCK_HOST_DIAG_UNIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct host_nl_msg;

/* Which listener. */
struct host_unix_query {
	const void *name;	/* abstract name of @name_len bytes, its first zero included; NULL = by its file: */
	size_t name_len;
	uint64_t device, inode; /* st_dev and st_ino of that */
};

/*
 * host_unix_is_held() - has the process @pid one of its first HOST_UNIX_FDS descriptors of the only listener that
 * @query can mean, of this network namespace? @buf: HOST_NL_BUF_MIN bytes or more, 4-byte aligned, used during the
 * call. False also where that cannot be said.
 */
enum { HOST_UNIX_FDS = 256 };
bool host_unix_is_held(const struct host_unix_query *query, uint32_t pid, int fd_floor, void *buf,
			size_t size);

/* Can the socket in this answer of sock_diag be meant? Pure. Its inode, 0 = no, or -EBADMSG. */
int64_t host_unix_parse(const struct host_nl_msg *msg, const struct host_unix_query *query);

#endif
