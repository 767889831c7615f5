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

/* The longest span that may be added to a time: 146 years. Programs give longer ones for "no limit". */
#define FS_SPAN_MAX (INT64_MAX / 2)

/* inline definitions */

/* @sec and @ns, neither negative, as one span of FS_SPAN_MAX at most. */
static inline fs_ns fs_span(int64_t sec, int64_t ns)
{
	if (sec >= FS_SPAN_MAX / FS_SEC(1) || ns >= FS_SPAN_MAX - FS_SEC(sec))
		return FS_SPAN_MAX;
	return FS_SEC(sec) + ns;
}

#endif
