/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * wire_guard.h - puts the bytes a parser gets right before an unreadable page,
 * so that a read out of bounds faults in every build and not only under a sanitizer.
 */
#ifndef FSOCK_TESTS_UNIT_WIRE_GUARD_H
#define FSOCK_TESTS_UNIT_WIRE_GUARD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

enum { GUARD_PAGE = 4096, GUARD_PAGES = 18 }; /* room for the longest packet */

struct guard {
	uint8_t *map; /* GUARD_PAGES pages, then an unreadable one */
};

/* inline definitions */

static inline struct guard guard_make(void)
{
	size_t len = (GUARD_PAGES + 1) * (size_t)GUARD_PAGE;
	struct guard g;


	g.map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(g.map, MAP_FAILED);
	assert_int_equal(mprotect(g.map + len - GUARD_PAGE, GUARD_PAGE, PROT_NONE), 0);
	return g;
}

static inline void guard_free(struct guard *g)
{
	munmap(g->map, (GUARD_PAGES + 1) * (size_t)GUARD_PAGE);
}

/* @len bytes whose end is the end of readable memory; valid until the next call. */
static inline uint8_t *guard_end(struct guard *g, const void *bytes, size_t len)
{
	uint8_t *at = g->map + GUARD_PAGES * (size_t)GUARD_PAGE - len;

	assert_true(len <= GUARD_PAGES * (size_t)GUARD_PAGE);
	if (len > 0)
		memcpy(at, bytes, len);
	return at;
}

#endif
