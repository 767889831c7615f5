/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * internal_fds.h - which descriptor numbers are fsock's own.
 *
 * Asked only when the program closes or replaces numbers, so they are found by looking at the places
 * that hold them. Only the threads' own are in the descriptor table, as no thread sees another's.
 * Threads:  any; a port opening at the same time may be missed by a loop that closes all numbers, as it
 *           would miss a descriptor another thread opens.
 */
#ifndef FSOCK_CONTEXT_INTERNAL_FDS_H
#define FSOCK_CONTEXT_INTERNAL_FDS_H

#include <stdbool.h>

#include "context/context.h"

/* Cheap for numbers below the floor, where none of ours is. */
bool context_fd_is_internal(struct context *ctx, int fd);

/* The lowest of ours in [from, last]; false = none. */
bool context_fd_next_internal(struct context *ctx, unsigned from, unsigned last, unsigned *found);

/* Visit those that nobody could make anew who goes on with the stack: its memory, doorbells, leases, what the ports have.
 * Until @visit says true; then it is true, too. */
typedef bool context_fd_visit_fn(int *fd, void *arg);
bool context_fd_each_of_stack(struct context *ctx, context_fd_visit_fn *visit, void *arg);

/* For it: the next program will not have that one. */
bool context_fd_close_in_exec(int *fd, void *arg);

/* Will a program that is executed have @fd? No lock needed. */
bool context_fd_stays_open(int fd);

/* If @fd is ours, give that descriptor another number. */
void context_fd_move_internal(struct context *ctx, int fd);

#endif
