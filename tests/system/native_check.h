/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * native_check.h - how the cases of the native interface say what is not as it must be: the line, and what it was.
 */
#ifndef FSOCK_TESTS_NATIVE_CHECK_H
#define FSOCK_TESTS_NATIVE_CHECK_H

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MS 1000000LL
#define NEED(e) ((e) ? (void)0 : failed(#e, __LINE__, 0))
#define EQUAL(a, b) equal((long)(a), (long)(b), #a, __LINE__)

static inline _Noreturn void failed(const char *what, int line, long got)
{
	fprintf(stderr, "line %d: %s (%ld, %s)\n", line, what, got, got < 0 ? strerror((int)-got) : "");
	_exit(1);
}

static inline void equal(long got, long wanted, const char *what, int line)
{
	if (got != wanted)
		failed(what, line, got);
}

/* How many this process has, and three more. */
static inline int descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	NEED(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

#endif
