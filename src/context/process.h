/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * process.h - fork: parent and child share the stack (DESIGN D2, section 5; hazards 6, 26, 27).
 *
 * A child inherits the memory, not the right to drive: its copies of the ports' descriptors are closed
 * at once, so that an idle child never keeps an interface's queue or steering alive. It joins at its
 * first use of an inherited socket, taking the descriptors from the owner; where it may not, or the
 * owner is gone, its sockets go on in the kernel, whose shadows it holds.
 */
#ifndef FSOCK_CONTEXT_PROCESS_H
#define FSOCK_CONTEXT_PROCESS_H

#include "context/context.h"

/* Around fork(), for pthread_atfork(). */
void process_before_fork(void);
void process_parent_after_fork(void);
void process_child_after_fork(void);

/* In a child that goes on where its parent ends: take part now, not at the first call on a socket. */
void process_join(void);

#endif
