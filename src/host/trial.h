/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * trial.h - would a seccomp filter kill this process for what a stack asks of the kernel?
 *
 * Service managers and sandboxes set filters before a program begins. Most refuse with an error, an answer like any
 * other; some kill (systemd's SystemCallFilter= does unless told otherwise), and a stack would be a program's death.
 * What a filter does cannot be read, only tried: a child makes the calls, and dies or not.
 *
 * The trial itself reads /proc, forks and waits: who is killed for that could not have had a stack either.
 *
 * Does not: look at filters that come later; src/preload sees those being set.
 * Threads:  any; it speaks of the calling thread's filters.
 * Errors:   what cannot be tried counts as deadly.
 */
#ifndef FSOCK_HOST_TRIAL_H
#define FSOCK_HOST_TRIAL_H

#include <stdbool.h>

/*
 * 0: it lives on. -EPERM: it would die; also where the child would be the first of a namespace of processes, which ends
 * with it. Else -errno: there is no child to be had. At once where no filter stands (10 us), otherwise 0.3 ms, and more
 * for a large process, whose page tables are copied. The program sees nothing of it: no signal, nothing for wait().
 * @files: with what Unix sockets ask of their files (option local_unix).
 */
int host_trial(bool files);

#endif
