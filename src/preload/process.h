/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * process.h - hooks at the ends of a process's life.
 */
#ifndef FSOCK_PRELOAD_PROCESS_H
#define FSOCK_PRELOAD_PROCESS_H

/* Register for fork(), once, when there is something to protect: a program that opens no Internet
 * socket pays nothing. */
void preload_register_fork(void);

/* A child may follow that runs in our memory, but is not we. */
void preload_before_borrower(void);

#endif
