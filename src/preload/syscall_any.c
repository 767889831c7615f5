/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * syscall_any.c - the entry of syscall() where all its arguments are in registers; what it leads to: syscall.c.
 *
 * What is not on the list is a jump when optimized, for clone() may return on another stack.
 */
#include "preload/libc.h"
#include "preload/syscall.h"

/* Declared as it is defined: no va_list, which would cost a frame. */
FSOCK_EXPORT long preload_syscall(long nr, long a, long b, long c, long d, long e, long f) __asm__("syscall");

long preload_syscall(long nr, long a, long b, long c, long d, long e, long f)
{
	if ((unsigned long)nr < PRELOAD_SYSCALLS && preload_listed[nr])
		return preload_lead(nr, a, b, c, d, e, f);
	return (preload_libc_syscall ? preload_libc_syscall : preload_find_syscall())(nr, a, b, c, d, e, f);
}
