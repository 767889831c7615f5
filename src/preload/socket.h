/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * socket.h - what other files of the preload need of socket.c.
 */
#ifndef FSOCK_PRELOAD_SOCKET_H
#define FSOCK_PRELOAD_SOCKET_H

#include <sys/socket.h>

/* @fd is a new socket of the program's: it is fsock's from now on, if anything is. */
void preload_opened(int fd, int domain, int type, int protocol);

/* The kernel's half of @fd has this option now: so has the other. 0, or -1 with errno where the engine cannot. */
int preload_option_set(int fd, int level, int name, const void *value, socklen_t len);

#endif
