/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * netns.h - which namespace is this: of the network, of processes, of users, of time.
 *
 * Threads:  any. A thread's namespace may differ from its process's: these speak of the calling
 *           thread's.
 * Errors:   as each function says.
 */
#ifndef FSOCK_HOST_NETNS_H
#define FSOCK_HOST_NETNS_H

#include <stdbool.h>
#include <stdint.h>

/* The namespace's inode number, its identity while it lives; 0 = /proc is not there to say so. */
uint64_t host_netns_inode(void);

/* The same of the process's PID namespace. */
uint64_t host_pidns_inode(void);

/* And of the calling thread's namespace of users. */
uint64_t host_userns_inode(void);

/* Will its children be in another PID namespace than it is (unshare(CLONE_NEWPID))? Also while there is none yet. */
bool host_pidns_changes(void);

/* Will its next program's clocks be others (unshare(CLONE_NEWTIME))? */
bool host_time_changes(void);

/*
 * host_netns_is_initial() - is this the namespace the machine started with, the one an
 * administrator's own login uses? @fd: any socket made in it. When it cannot be told the answer is
 * true, the careful one.
 */
bool host_netns_is_initial(int fd);

#endif
