/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * identity.h - who a process is to the kernel: its ids, groups, capabilities, namespace of users, root and filters. Of
 * two programs in one process it says whether the second is what the first one was.
 *
 * Does not: see what the kernel does not show: Landlock's rules, and before Linux 5.9 how many seccomp filters there
 *           are, only whether there is one.
 * Threads:  any; it speaks of the calling thread, as the kernel does.
 * Errors:   what cannot be read is not known, and nothing is equal to it.
 */
#ifndef FSOCK_HOST_IDENTITY_H
#define FSOCK_HOST_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>

struct host_identity {
	uint64_t said;		 /* what /proc says: four user and group ids, groups, bounding set, no_new_privs,
				    seccomp; hashed; 0 = not known */
	uint64_t permitted;	 /* capabilities; exec may give or take some */
	uint64_t user_namespace; /* inode; 0 = not known */
	uint64_t root[2];	 /* device and inode of "/" */
	uint64_t securebits;	 /* but what exec clears */
};

/* Reads a file and links of /proc: not for every call. */
void host_identity_read(struct host_identity *identity);

/* Are both known, and equal in everything? */
bool host_identity_equal(const struct host_identity *a, const struct host_identity *b);

/* The same in all that exec does not change by itself: without what is permitted. */
bool host_identity_equal_past_exec(const struct host_identity *a, const struct host_identity *b);

#endif
