/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * leave.h - a process leaves its sockets to the kernel for good: what makes it do so, and what follows.
 */
#ifndef FSOCK_PRELOAD_LEAVE_H
#define FSOCK_PRELOAD_LEAVE_H

#include <stdbool.h>

/* The calls by syscall(), with their results and errno. */
long preload_ring_setup(long entries, long params);
long preload_seccomp(long operation, long flags, long program);

/* @fd is a new socket. */
void preload_leave_opened(int fd);

/* A filter stands: new sockets are not even looked at, for that takes system calls. */
bool preload_leave_confined(void);

#endif
