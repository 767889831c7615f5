/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * siphash.h - a keyed hash that a peer without the key cannot steer (Aumasson and Bernstein,
 * "SipHash: a fast short-input PRF", 2012).
 *
 * SipHash-1-3 for hash tables, whose values nobody outside sees; SipHash-2-4 where the value itself
 * is shown to others (cookies, ephemeral ports, initial sequence numbers).
 *
 * Does not: make keys; the context hands in random ones.
 * Threads:  any, no state.
 */
#ifndef FSOCK_BASE_SIPHASH_H
#define FSOCK_BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

struct siphash_key {
	uint64_t k[2]; /* the 16 key bytes as two little-endian words */
};

uint64_t siphash24(const struct siphash_key *key, const void *bytes, size_t len);
uint64_t siphash13(const struct siphash_key *key, const void *bytes, size_t len);

/* siphash13() over @n words given as values; on a little-endian machine equal to hashing their
 * bytes. For table keys: short and of a fixed number of words. */
uint64_t siphash13_words(const struct siphash_key *key, const uint64_t *words, size_t n);

#endif
