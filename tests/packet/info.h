/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * info.h - fields of TCP_INFO by their names, read through the kernel's own struct.
 *
 * Threads: any, no state.
 */
#ifndef FSOCK_TESTS_PACKET_INFO_H
#define FSOCK_TESTS_PACKET_INFO_H

#include <stdbool.h>
#include <stdint.h>

enum { INFO_BYTES = 512 };

/* The field `tcpi_NAME` of the INFO_BYTES at @info; false: there is none of that name here. */
bool info_field(const uint8_t *info, const char *name, int64_t *to);

#endif
