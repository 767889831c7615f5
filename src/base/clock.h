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

/* What is left at @now until @end; never negative, which elsewhere means "for ever". A function, because FS_MAX() would
 * read a clock twice, and the second time may be behind the end. */
static inline fs_ns fs_left(fs_ns end, fs_ns now)
{
	return end > now ? end - now : 0;
}

static inline fs_ns fs_sooner(fs_ns a, fs_ns b)
{
	return a < b ? a : b;
}

#endif
