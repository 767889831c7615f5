/* SPDX-License-Identifier: BSD-2-Clause */
/* clocks.c - a preloaded library whose clocks jump an hour forth and back from one look to the next. */
#include <stdatomic.h>
#include <sys/time.h>
#include <time.h>

static atomic_int looks;

static time_t jump(void)
{
	return atomic_fetch_add(&looks, 1) % 2 ? 3600 : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
	(void)clock;
	*now = (struct timespec){ .tv_sec = 1000000 + jump() };
	return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	(void)zone;
	*now = (struct timeval){ .tv_sec = 1000000 + jump() };
	return 0;
}

time_t time(time_t *now)
{
	time_t seconds = 1000000 + jump();

	if (now)
		*now = seconds;
	return seconds;
}
