/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * meet_dir.h - where programs of one host find each other that share a directory, and maybe no network namespace:
 * sockets with the names of meet.h, as files in there.
 *
 * Such a file outlives its socket, so whoever leaves one behind is cleaned up after: a name is dead when no socket of
 * any process is bound to it any more, which the kernel tells without disturbing anybody. Names are made and removed
 * with the directory locked (flock(2)), else one that was just found dead could be somebody's by the time it is
 * removed. Who is stopped with the lock, or takes it to be a nuisance, keeps others from publishing, no more: who
 * publishes waits for some milliseconds, who removes does not wait. What is no socket of this user's own is left
 * alone, and no symbolic link is followed.
 *
 * Does:     is the directory fit for it, names, dialling, removal of dead names.
 * Does not: decide which addresses may be published, or whom to trust: who may write to the directory may have any name
 *           in it. Needs /proc, as what is found there does (host_meet_bell()).
 * Threads:  any, as meet.h.
 * Errors:   -errno; whatever fails leaves no descriptor.
 */
#ifndef FSOCK_HOST_MEET_DIR_H
#define FSOCK_HOST_MEET_DIR_H

#include "host/meet.h"

/*
 * The directory @path, to be closed by the caller, or -errno and in *@why the rest of a sentence about it: it must belong
 * to root or this user, and be readable; where all may write it needs the sticky bit, or anybody could remove names. Who
 * renames or replaces it later does so for programs that open it then.
 */
int host_meet_dir_open(const char *path, int fd_floor, const char **why);

/* As host_meet_publish(), for the address @name->addr, which is none of a wildcard. A dead file in the way is removed.
 * -EADDRINUSE: somebody has the name; -EWOULDBLOCK: the directory is locked. */
int host_meet_publish_in(int dir, const struct host_meet_name *name, int fd_floor);

/* As host_meet_dial(). A name that turns out to be dead is removed, if the lock is free, and nobody there. -EACCES:
 * what has the name is another user's, or no socket. */
int host_meet_dial_in(int dir, const struct host_meet_name *name, int fd_floor);

/* Remove the file of @name if no process has its socket any more. For who has just closed it. */
void host_meet_bury_in(int dir, const struct host_meet_name *name);

/* Remove dead names of this user's, as far as the first few hundred entries go and if the lock is free. How many. */
unsigned host_meet_sweep(int dir);

#endif
