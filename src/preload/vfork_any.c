/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vfork_any.c - vfork() where its entry is not written for the machine: fork(), as POSIX lets it be.
 */
#include "preload/libc.h"

FSOCK_EXPORT pid_t vfork(void)
{
	return fork();
}

FSOCK_EXPORT pid_t __vfork(void) __THROW __attribute__((alias("vfork")));
