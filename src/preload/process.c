/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * process.c - fork and exit.
 */
#include "preload/process.h"

#include <pthread.h>

#include "context/lifecycle.h"
#include "context/process.h"
#include "preload/libc.h"

void preload_register_fork(void)
{
	static unsigned registered;
	unsigned no = 0;

	if (!fs_load_acquire(&fsock_context) || !fs_compare_exchange(&registered, &no, 1u))
		return;
	pthread_atfork(process_before_fork, process_parent_after_fork, process_child_after_fork);
}

__attribute__((destructor)) static void at_exit(void)
{
	if (fsock_context)
		lifecycle_exit(fsock_context);
}

FSOCK_EXPORT _Noreturn void _exit(int status)
{
	at_exit();
	for (;;)
		LIBC(_exit)(status);
}
