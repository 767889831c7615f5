/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * err.h - assertions and small helpers every room may use.
 *
 * Does:     fs_assert() for our own bugs only: a peer's packet, a program's argument or another
 *           process's word never asserts (style rule 32).
 * Threads:  any.
 */
#ifndef FSOCK_BASE_ERR_H
#define FSOCK_BASE_ERR_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define FS_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define FS_CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
/* One argument is evaluated twice: a call with effects has no place in them. */
#define FS_MIN(a, b) ((a) < (b) ? (a) : (b))
#define FS_MAX(a, b) ((a) > (b) ? (a) : (b))
#define FS_CACHE_LINE 64

/* Provided by whoever links the engine (src/host in products, a test otherwise). Does not return. */
_Noreturn void fs_assert_failed(const char *expression, const char *file, int line);

#define fs_assert(e) ((e) ? (void)0 : fs_assert_failed(#e, __FILE__, __LINE__))

#endif
