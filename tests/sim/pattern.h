/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pattern.h - the bytes a simulated program sends: a function of a key and their position.
 *
 * So the receiver knows what must come without anybody keeping it.
 * Threads: any, no state.
 */
#ifndef FSOCK_TESTS_SIM_PATTERN_H
#define FSOCK_TESTS_SIM_PATTERN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "random.h"

/* inline definitions */

static inline uint64_t sim_pattern_word(uint64_t key, uint64_t position)
{
	return sim_mix(key + (position >> 3) * 0x9e3779b97f4a7c15ULL);
}

static inline uint8_t sim_pattern(uint64_t key, uint64_t position)
{
	return (uint8_t)(sim_pattern_word(key, position) >> (8 * (position & 7)));
}

static inline void sim_pattern_fill(uint64_t key, uint64_t position, uint8_t *to, size_t len)
{
	size_t i = 0;

	while (i < len && ((position + i) & 7) != 0) {
		to[i] = sim_pattern(key, position + i);
		i++;
	}
	for (; i + 8 <= len; i += 8) {
		uint64_t word = sim_pattern_word(key, position + i);

		memcpy(to + i, &word, 8);
	}
	for (; i < len; i++)
		to[i] = sim_pattern(key, position + i);
}

/* How many bytes from the first on are right. */
static inline size_t sim_pattern_match(uint64_t key, uint64_t position, const uint8_t *bytes, size_t len)
{
	size_t i = 0;

	while (i < len && ((position + i) & 7) != 0) {
		if (bytes[i] != sim_pattern(key, position + i))
			return i;
		i++;
	}
	for (; i + 8 <= len; i += 8) {
		uint64_t word = sim_pattern_word(key, position + i);

		if (memcmp(bytes + i, &word, 8) != 0)
			break;
	}
	while (i < len && bytes[i] == sim_pattern(key, position + i))
		i++;
	return i;
}

#endif
