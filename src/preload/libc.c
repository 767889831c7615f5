/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libc.c - finding libc's functions.
 */
#include "preload/libc.h"

#include <dlfcn.h>

#include "base/err.h"

struct libc_table libc_table;

void *libc_find(const char *name, void **slot)
{
	int saved = errno;
	void *address = dlsym(RTLD_NEXT, name);

	fs_assert(address != NULL);
	fs_store_relaxed(slot, address);
	errno = saved;
	return address;
}
