/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_host_memlimit.c - limits of control groups, read from a tree of files like the kernel's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "host/memlimit.h"

static char root[64];

static int make_root(void **state)
{
	strcpy(root, "/tmp/fsock-memlimit-XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static int remove_root(void **state)
{
	return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Write @text to @path below the root, with the directories on the way. */
static void put(const char *path, const char *text)
{
	char name[512];
	FILE *file;

	snprintf(name, sizeof(name), "%s%s", root, path);
	for (char *p = name + strlen(root) + 1; (p = strchr(p, '/')) != NULL; p++) {
		*p = '\0';
		mkdir(name, 0700);
		*p = '/';
	}
	file = fopen(name, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void host_memory_left__nothing_is_no_limit(void **state)
{
	assert_true(host_memory_left(root) == UINT64_MAX);
	put("/proc/self/cgroup", "");
	assert_true(host_memory_left(root) == UINT64_MAX);
	put("/proc/self/cgroup", "garbage\n0\n1:memory\n::\n0::/none\n2:memory:/none\n");
	assert_true(host_memory_left(root) == UINT64_MAX);
}

static void host_memory_left__version_2(void **state)
{
	put("/proc/self/cgroup", "0::/a/b\n");
	put("/sys/fs/cgroup/a/b/memory.max", "max\n");
	put("/sys/fs/cgroup/a/b/memory.current", "1000\n");
	assert_true(host_memory_left(root) == UINT64_MAX);
	put("/sys/fs/cgroup/a/b/memory.max", "10000\n");
	assert_int_equal(host_memory_left(root), 9000);
	put("/sys/fs/cgroup/a/b/memory.current", "10001\n");
	assert_int_equal(host_memory_left(root), 0);
}

/* What only caches files is given up when somebody needs it. */
static void host_memory_left__page_cache_is_free(void **state)
{
	put("/proc/self/cgroup", "0::/a\n");
	put("/sys/fs/cgroup/a/memory.max", "10000\n");
	put("/sys/fs/cgroup/a/memory.current", "9000\n");
	put("/sys/fs/cgroup/a/memory.stat", "anon 2000\nfile 7000\ninactive_file 4000\nactive_file 3000\nshmem 5\n");
	assert_int_equal(host_memory_left(root), 8000);
	put("/sys/fs/cgroup/a/memory.stat", "inactive_file 99999\n");
	assert_int_equal(host_memory_left(root), 10000);
}

static void host_memory_left__groups_above_count(void **state)
{
	put("/proc/self/cgroup", "0::/a/b\n");
	put("/sys/fs/cgroup/a/b/memory.max", "10000\n");
	put("/sys/fs/cgroup/a/b/memory.current", "1000\n");
	put("/sys/fs/cgroup/a/memory.max", "5000\n");
	put("/sys/fs/cgroup/a/memory.current", "3000\n");
	assert_int_equal(host_memory_left(root), 2000);
}

/* A container may see its own group as the root of the mount, and the host's path in /proc. */
static void host_memory_left__path_of_the_host(void **state)
{
	put("/proc/self/cgroup", "0::/system.slice/some.scope\n");
	put("/sys/fs/cgroup/memory.max", "10000\n");
	put("/sys/fs/cgroup/memory.current", "4000\n");
	assert_int_equal(host_memory_left(root), 6000);
}

static void host_memory_left__version_1(void **state)
{
	put("/proc/self/cgroup", "3:cpu,cpuacct:/x\n5:hugetlb,memory:/y\n1:name=memory:/z\n0::/\n");
	put("/sys/fs/cgroup/memory/y/memory.limit_in_bytes", "9223372036854771712\n");
	put("/sys/fs/cgroup/memory/y/memory.usage_in_bytes", "1000\n");
	put("/sys/fs/cgroup/memory/x/memory.limit_in_bytes", "1\n");
	put("/sys/fs/cgroup/memory/z/memory.limit_in_bytes", "1\n");
	assert_true(host_memory_left(root) == UINT64_MAX);
	put("/sys/fs/cgroup/memory/y/memory.limit_in_bytes", "10000\n");
	put("/sys/fs/cgroup/memory/y/memory.stat", "inactive_file 1\ntotal_inactive_file 100\ntotal_active_file 200\n");
	assert_int_equal(host_memory_left(root), 9300);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_root, remove_root)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(host_memory_left__nothing_is_no_limit),
		TEST(host_memory_left__version_2),
		TEST(host_memory_left__page_cache_is_free),
		TEST(host_memory_left__groups_above_count),
		TEST(host_memory_left__path_of_the_host),
		TEST(host_memory_left__version_1),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
