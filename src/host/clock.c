/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * clock.c - anchoring the processor's counter to CLOCK_MONOTONIC.
 */
#include "host/clock.h"

#include <time.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "sys/sys.h"

#define GUESS_MULT ((1ULL << 32) / 3) /* 3 GHz: good enough to pace polling for a millisecond, and no longer */

enum {
	READINGS = 5,
	UNDISTURBED = 1000, /* ticks that a reading takes when nothing comes between */
};

fs_ns host_clock_kernel(void)
{
	struct timespec t;

	sys_clock_gettime(CLOCK_MONOTONIC, &t);
	return FS_SEC(t.tv_sec) + t.tv_nsec;
}

fs_ns host_clock_wall(void)
{
	struct timespec t;

	sys_clock_gettime(CLOCK_REALTIME, &t);
	return FS_SEC(t.tv_sec) + t.tv_nsec;
}

fs_ns host_clock_wall_offset(fs_ns close)
{
	fs_ns offset = 0, best = INT64_MAX;

	for (int i = 0; i < READINGS; i++) {
		fs_ns before = host_clock_kernel();
		fs_ns wall = host_clock_wall();
		fs_ns took = host_clock_kernel() - before;

		if (took >= best)
			continue;
		best = took;
		offset = wall - before - took / 2;
	}
	/* Both clocks are slewed alike, so what differs by less was read less well. */
	return close && close - offset < best && offset - close < best ? close : offset;
}

static bool counter_is_invariant(void)
{
#if defined(__x86_64__)
	unsigned a, b, c, d;

	return __get_cpuid(0x80000007, &a, &b, &c, &d) && (d & (1u << 8));
#else
	return true; /* the generic timer of arm64 is invariant by architecture */
#endif
}

/* Both clocks at one moment: the reading that took the least time of a few. */
static void read_both(fs_ns *ns, uint64_t *ticks)
{
	uint64_t best = UINT64_MAX;

	*ns = 0;
	*ticks = 0;
	for (int i = 0; i < READINGS && best > UNDISTURBED; i++) {
		uint64_t before = host_ticks();
		fs_ns now = host_clock_kernel();
		uint64_t took = host_ticks() - before;

		if (took >= best)
			continue;
		best = took;
		*ns = now;
		*ticks = before + took / 2;
	}
}

/* The ticks of a second. */
static uint64_t trusted(uint64_t mult)
{
	return (uint64_t)(((unsigned __int128)FS_SEC(1) << 32) / mult);
}

void host_clock_init(struct host_clock *clock)
{
	clock->serial = 0;
	clock->mult = counter_is_invariant() ? GUESS_MULT : 0;
	clock->trust = trusted(GUESS_MULT) / 1000;
	read_both(&clock->ns0, &clock->ticks0);
}

bool host_clock_guesses(const struct host_clock *clock)
{
	return clock->mult != 0 && fs_load_relaxed(&clock->trust) == trusted(GUESS_MULT) / 1000;
}

void host_clock_sync(struct host_clock *clock)
{
	fs_ns ns;
	uint64_t ticks, mult, trust;

	if (clock->mult == 0)
		return;
	read_both(&ns, &ticks);
	if (ns - clock->ns0 < FS_MS(1))
		return;
	mult = clock->mult;
	trust = clock->trust;
	if (ticks - clock->ticks0 - 1 < trusted(mult)) {
		mult = (uint64_t)(((unsigned __int128)(ns - clock->ns0) << 32) / (ticks - clock->ticks0));
		trust = trusted(mult);
	}
	/* Odd before, even after: each release store is ordered behind the one before it. */
	fs_store_relaxed(&clock->serial, clock->serial + 1);
	fs_store_release(&clock->mult, mult);
	fs_store_release(&clock->trust, trust);
	fs_store_release(&clock->ns0, ns);
	fs_store_release(&clock->ticks0, ticks);
	fs_store_release(&clock->serial, clock->serial + 1);
}
