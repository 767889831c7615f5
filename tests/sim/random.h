/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * random.h - chance in the simulator: streams of numbers that all come from one seed.
 *
 * Every purpose has a stream of its own, so that one more draw here does not change what happens there.
 * Threads: any, one per stream.
 */
#ifndef FSOCK_TESTS_SIM_RANDOM_H
#define FSOCK_TESTS_SIM_RANDOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sim_random {
	uint64_t state;
};

/* inline definitions */

/* One round of SplitMix64's output function: spreads every bit over all. */
static inline uint64_t sim_mix(uint64_t z)
{
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static inline uint64_t sim_random_next(struct sim_random *r)
{
	return sim_mix(r->state += 0x9e3779b97f4a7c15ULL);
}

/* The stream of @seed for @purpose. */
static inline struct sim_random sim_random_stream(uint64_t seed, uint64_t purpose)
{
	return (struct sim_random){ sim_mix(seed * 0x9e3779b97f4a7c15ULL + sim_mix(purpose + 1)) };
}

/* 0 .. n - 1; 0 for n == 0. */
static inline uint64_t sim_below(struct sim_random *r, uint64_t n)
{
	uint64_t x = sim_random_next(r);

	return n ? x % n : 0;
}

/* low .. high. */
static inline uint64_t sim_range(struct sim_random *r, uint64_t low, uint64_t high)
{
	return low + sim_below(r, high - low + 1);
}

static inline bool sim_chance(struct sim_random *r, unsigned percent)
{
	return sim_below(r, 100) < percent;
}

/* low .. high, every order of magnitude (of 2) as likely as the other; low > 0. */
static inline uint64_t sim_spread(struct sim_random *r, uint64_t low, uint64_t high)
{
	unsigned from = 63 - (unsigned)__builtin_clzll(low), to = 63 - (unsigned)__builtin_clzll(high);
	unsigned bit = (unsigned)sim_range(r, from, to);
	uint64_t x = (1ULL << bit) + sim_below(r, 1ULL << bit);

	return x < low ? low : x > high ? high : x;
}

/* One of an array's elements. */
#define SIM_PICK(r, array) ((array)[sim_below((r), sizeof(array) / sizeof((array)[0]))])

#endif
