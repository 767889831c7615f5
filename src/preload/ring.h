/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ring.h - what the front door tells of io_uring.
 */
#ifndef FSOCK_PRELOAD_RING_H
#define FSOCK_PRELOAD_RING_H

/* A ring was made: the program has not seen its descriptor yet. */
void preload_ring_made(void);

/* @fd is a new socket. */
void preload_ring_opened(int fd);

#endif
