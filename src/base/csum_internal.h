/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * csum_internal.h - the portable variant, for the file that holds the table of variants:
 * csum_x86.c or csum_portable.c, chosen by the build.
 */
#ifndef FSOCK_BASE_CSUM_INTERNAL_H
#define FSOCK_BASE_CSUM_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

/* As struct csum_ops describes. */
uint64_t csum_scalar_sum(const void *from, size_t len);
uint64_t csum_scalar_copy(void *dest, const void *from, size_t len);

#endif
