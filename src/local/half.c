/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * half.c - runs of units by a map of bits: first fit, aligned to their own length.
 */
#include "local/half.h"

#include <stdbool.h>
#include <string.h>

#include "base/err.h"

enum { WORD = 64 };

void local_half_init(struct local_half *h, uint64_t *map, uint32_t units)
{
	fs_assert(units % WORD == 0);
	*h = (struct local_half){ .map = map, .units = units };
	memset(map, 0, units / 8);
}

static uint64_t bits(uint32_t n)
{
	return n >= WORD ? UINT64_MAX : (UINT64_C(1) << n) - 1;
}

/* Where a run of @n < WORD begins in @word, or WORD. */
static uint32_t find_in_word(uint64_t word, uint32_t n)
{
	for (uint32_t at = 0; at < WORD; at += n)
		if (!(word >> at & bits(n)))
			return at;
	return WORD;
}

static void set(struct local_half *h, uint32_t first, uint32_t n, bool used)
{
	for (uint32_t done = 0; done < n; done += WORD) {
		uint64_t mask = bits(n - done) << (first % WORD), *word = &h->map[(first + done) / WORD];

		fs_assert((*word & mask) == (used ? 0 : mask));
		*word = used ? *word | mask : *word & ~mask;
	}
	h->used = used ? h->used + n : h->used - n;
}

uint32_t local_half_get(struct local_half *h, uint32_t n)
{
	uint32_t words = h->units / WORD, step = n > WORD ? n / WORD : 1;

	while (h->hint < words && h->map[h->hint] == UINT64_MAX)
		h->hint++;
	for (uint32_t i = h->hint & ~(step - 1); i + step <= words; i += step) {
		uint32_t at = n >= WORD ? 0 : find_in_word(h->map[i], n), free = 0;

		while (n >= WORD && free < step && h->map[i + free] == 0)
			free++;
		if (at < WORD && (n < WORD || free == step)) {
			set(h, i * WORD + at, n, true);
			h->reached = FS_MAX(h->reached, i * WORD + at + n);
			return i * WORD + at;
		}
	}
	return LOCAL_HALF_NONE;
}

void local_half_put(struct local_half *h, uint32_t first, uint32_t n)
{
	set(h, first, n, false);
	h->hint = FS_MIN(h->hint, first / WORD);
}
