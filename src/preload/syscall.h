/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * syscall.h - between the entry of syscall(), which is the machine's, and what it leads to.
 */
#ifndef FSOCK_PRELOAD_SYSCALL_H
#define FSOCK_PRELOAD_SYSCALL_H

#include <stdint.h>

enum { PRELOAD_SYSCALLS = 512 }; /* numbers in the list; others are never ours */

/* 1 = the number is one of syscalls.def. */
extern const uint8_t preload_listed[PRELOAD_SYSCALLS];

/* Libc's; NULL until it was looked for. */
typedef long preload_syscall_fn(long nr, long a, long b, long c, long d, long e, long f);
extern preload_syscall_fn *preload_libc_syscall;

preload_syscall_fn *preload_find_syscall(void);

/* By libc's syscall(): -1 and errno. */
long preload_syscall_raw(long nr, long a, long b, long c);

/* What the program gets for a listed number, errno included. */
long preload_lead(long nr, long a, long b, long c, long d, long e, long f);

#endif
