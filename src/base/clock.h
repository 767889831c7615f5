/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * clock.h - the type of time. The engine never reads a clock: `now` is a parameter (DESIGN D1).
 */
#ifndef FSOCK_BASE_CLOCK_H
#define FSOCK_BASE_CLOCK_H

#include <stdint.h>

/* Nanoseconds of CLOCK_MONOTONIC (virtual in the simulator). Differences may be negative. */
typedef int64_t fs_ns;

#define FS_US(n) ((fs_ns)(n)*1000)
#define FS_MS(n) ((fs_ns)(n)*1000000)
#define FS_SEC(n) ((fs_ns)(n)*1000000000)
#define FS_NEVER INT64_MAX

#endif
