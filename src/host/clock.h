/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * clock.h - CLOCK_MONOTONIC at the price of a counter read.
 *
 * A polling call asks the time on every turn; 20 ns for the vDSO is half of what an empty receive may
 * cost. So time is the processor's counter, anchored to the kernel's clock by host_clock_sync(), which
 * the driver calls about every 100 ms. Where the counter is not invariant the kernel is asked; so it is where the anchor is
 * older than a second by the counter. Then it may have gone on while the machine slept, or begun at 0 since, which the
 * kernel's clock does not: the two are a second apart at most, until the next sync().
 *
 * Threads:  now(): any. sync(): one at a time (the holder of the stack's lock).
 */
#ifndef FSOCK_HOST_CLOCK_H
#define FSOCK_HOST_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/barrier.h"
#include "base/clock.h"

struct host_clock {
	uint32_t serial; /* odd while sync() is at it: readers look again */
	uint64_t ticks0; /* counter at the anchor */
	fs_ns ns0;	 /* kernel's clock at the anchor */
	uint64_t mult;	 /* ns per tick, 32.32 fixed point; 0 = no usable counter */
	uint64_t trust;	 /* ticks for which the anchor holds: a second of them, a millisecond where the rate is a guess */
};

/* Start: reads the kernel's clock; the rate is a guess, good for a millisecond, until the first sync() after it. */
void host_clock_init(struct host_clock *clock);

/* Anchor anew and refine the rate; the rate not by what lies behind an anchor that holds no more. */
void host_clock_sync(struct host_clock *clock);

/* Is the rate a guess still? A sync() 1 ms to a second after the last one knows it. */
bool host_clock_guesses(const struct host_clock *clock);

/* The kernel's clock itself. */
fs_ns host_clock_kernel(void);

/* CLOCK_REALTIME, the kernel's: a program that fakes the time of day does not change it. */
fs_ns host_clock_wall(void);

/* How far CLOCK_REALTIME is ahead of CLOCK_MONOTONIC: changes only when somebody sets the time of day.
 * Some tens of ns off, unless @close: what an earlier call said, kept while it is as good; 0 = none. */
fs_ns host_clock_wall_offset(fs_ns close);

/* inline definitions */

static inline uint64_t host_ticks(void)
{
#if defined(__x86_64__)
	return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
	uint64_t v;

	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(v));
	return v;
#endif
}

static inline fs_ns host_clock_now(const struct host_clock *clock)
{
	uint64_t ticks0, mult, trust, passed;
	uint32_t serial;
	fs_ns ns0;

	do { /* each load is ordered before the next */
		serial = fs_load_acquire(&clock->serial);
		ticks0 = fs_load_acquire(&clock->ticks0);
		ns0 = fs_load_acquire(&clock->ns0);
		mult = fs_load_acquire(&clock->mult);
		trust = fs_load_acquire(&clock->trust);
	} while (__builtin_expect((serial & 1) || fs_load_relaxed(&clock->serial) != serial, 0));
	passed = host_ticks() - ticks0; /* that the counter went back is that it passed more than it can count */
	if (__builtin_expect(mult == 0 || passed > trust, 0))
		return host_clock_kernel();
	return ns0 + (fs_ns)(((unsigned __int128)passed * mult) >> 32);
}

#endif
