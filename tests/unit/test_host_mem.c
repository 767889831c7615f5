/* SPDX-License-Identifier: BSD-2-Clause */
/* Arenas at fixed addresses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/mem.h"

enum { PAGE = 4096, FLOOR = 300 };

static struct mem_arena arena;

static int setup(void **state)
{
	return mem_create(&arena, "test-arena", 3 * PAGE, FLOOR);
}

static int teardown(void **state)
{
	mem_close(&arena);
	return 0;
}

static uint8_t *slot_base(unsigned slot)
{
	return (uint8_t *)(FSOCK_STACK_BASE + slot * MEM_SLOT_BYTES);
}

/* Take the first page of @slot away. */
static void *take(unsigned slot)
{
	void *at = mmap(slot_base(slot), PAGE, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	assert_ptr_equal(at, slot_base(slot));
	return at;
}

static bool is_all_zero(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i])
			return false;
	return true;
}

static void mem_create__at_the_fixed_address(void **state)
{
	struct stat st;

	assert_ptr_equal(arena.base, slot_base(0));
	assert_int_equal(arena.slot, 0);
	assert_int_equal(arena.mapped, 3 * PAGE);
	assert_true(is_all_zero(arena.base, 3 * PAGE));
	assert_true(arena.fd >= FLOOR);
	assert_int_equal(fcntl(arena.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(fstat(arena.fd, &st), 0);
	assert_int_equal(st.st_size, 3 * PAGE);
}

static void mem_create__rounds_up_to_pages(void **state)
{
	struct mem_arena other;

	assert_int_equal(mem_create(&other, "test-arena", PAGE + 1, FLOOR), 0);
	assert_int_equal(other.slot, 1); /* 0 is the set-up's */
	assert_int_equal(other.mapped, 2 * PAGE);
	mem_close(&other);
}

static void mem_create__takes_the_next_slot(void **state)
{
	struct mem_arena other;
	void *taken = take(1);

	assert_int_equal(mem_create(&other, "test-arena", PAGE, FLOOR), 0);
	assert_int_equal(other.slot, 2);
	assert_ptr_equal(other.base, slot_base(2));
	mem_close(&other);
	munmap(taken, PAGE);
}

static void mem_create__every_slot_taken(void **state)
{
	struct mem_arena other;

	for (unsigned slot = 1; slot < MEM_SLOTS; slot++)
		take(slot);
	assert_int_equal(mem_create(&other, "test-arena", PAGE, FLOOR), -EEXIST);
	assert_int_equal(other.fd, -1);
	for (unsigned slot = 1; slot < MEM_SLOTS; slot++)
		munmap(slot_base(slot), PAGE);
}

static void mem_create__pointers_hold_in_a_child(void **state)
{
	uint8_t **self = (void *)arena.base;
	int status;
	pid_t pid;

	*self = arena.base + 64;
	pid = fork();
	if (pid == 0) {
		**self = 42;
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(arena.base[64], 42);
}

static void mem_grow__region_behind_the_last(void **state)
{
	void *at = NULL;

	memset(arena.base, 0x5a, arena.mapped);
	assert_int_equal(mem_grow(&arena, PAGE + 1, &at), 0);
	assert_ptr_equal(at, arena.base + 3 * PAGE);
	assert_int_equal(arena.mapped, 5 * PAGE);
	assert_true(is_all_zero(at, 2 * PAGE));
	assert_int_equal(arena.base[0], 0x5a);
}

static void mem_grow__next_address_is_taken(void **state)
{
	uint8_t *next = arena.base + arena.mapped;
	void *at = NULL;

	assert_ptr_equal(mmap(next, PAGE, PROT_NONE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0),
			 next);
	assert_int_equal(mem_grow(&arena, PAGE, &at), -EEXIST);
	assert_int_equal(arena.mapped, 3 * PAGE);
	munmap(next, PAGE);
	assert_int_equal(mem_grow(&arena, PAGE, &at), 0);
}

static void mem_grow__never_into_the_rings(void **state)
{
	void *at = NULL;

	assert_int_equal(mem_grow(&arena, MEM_RINGS_OFFSET, &at), -ENOMEM);
	assert_int_equal(arena.mapped, 3 * PAGE);
	assert_ptr_equal(mem_rings(&arena, 0), arena.base + MEM_RINGS_OFFSET);
	assert_ptr_equal(mem_rings(&arena, 2),
			 arena.base + MEM_RINGS_OFFSET + 2 * MEM_RINGS_PER_PORT);
}

static void mem_map_rest__what_another_process_added(void **state)
{
	int status, go[2];
	pid_t pid;
	void *at;

	assert_int_equal(pipe(go), 0);
	pid = fork();
	if (pid == 0) {
		char c;

		alarm(10);
		if (read(go[0], &c, 1) != 1 || mem_map_rest(&arena, 2 * PAGE) != 0 ||
		    arena.mapped != 3 * PAGE)
			_exit(1);
		if (mem_map_rest(&arena, 4 * PAGE) != 0 || arena.mapped != 4 * PAGE)
			_exit(2);
		_exit(arena.base[3 * PAGE] == 7 ? 0 : 3);
	}
	assert_int_equal(mem_grow(&arena, PAGE, &at), 0);
	*(uint8_t *)at = 7;
	assert_int_equal(write(go[1], "x", 1), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(go[0]);
	close(go[1]);
}

static void mem_close__gives_the_slot_back(void **state)
{
	struct mem_arena other;
	int fd;

	assert_int_equal(mem_create(&other, "test-arena", PAGE, FLOOR), 0);
	fd = other.fd;
	mem_close(&other);
	assert_int_equal(other.fd, -1);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	mem_close(&other); /* twice is once */
	assert_int_equal(mem_create(&other, "test-arena", PAGE, FLOOR), 0);
	assert_int_equal(other.slot, 1);
	mem_close(&other);
}

static void mem_private__zeroed_pages(void **state)
{
	uint8_t *p = mem_private(PAGE + 1);

	assert_non_null(p);
	assert_true(is_all_zero(p, 2 * PAGE));
	assert_int_equal((uintptr_t)p % PAGE, 0);
	munmap(p, 2 * PAGE);
	assert_null(mem_private(SIZE_MAX / 2));
}

/* In a child with @which limited to @value: exit status 0 when creating fails with @error, and nothing
 * else happens. */
static int fails_under_limit(int which, rlim_t value, int error)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct rlimit limit = { value, value };
		struct mem_arena other;

		setrlimit(which, &limit);
		_exit(mem_create(&other, "test-arena", 64 * PAGE, FLOOR) == error && other.fd < 0
			      ? 0
			      : 1);
	}
	return waitpid(pid, &status, 0) == pid ? status : -1;
}

static void mem_create__short_of_something(void **state)
{
	assert_int_equal(fails_under_limit(RLIMIT_AS, 1 << 16, -ENOMEM), 0);
	/* Not SIGXFSZ, which would end the program. */
	assert_int_equal(fails_under_limit(RLIMIT_FSIZE, 63 * PAGE, -EFBIG), 0);
	assert_int_equal(fails_under_limit(RLIMIT_NOFILE, 3, -EMFILE), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(mem_create__at_the_fixed_address),
		T(mem_create__rounds_up_to_pages),
		T(mem_create__takes_the_next_slot),
		T(mem_create__every_slot_taken),
		T(mem_create__pointers_hold_in_a_child),
		T(mem_create__short_of_something),
		T(mem_grow__region_behind_the_last),
		T(mem_grow__next_address_is_taken),
		T(mem_grow__never_into_the_rings),
		T(mem_map_rest__what_another_process_added),
		T(mem_close__gives_the_slot_back),
		T(mem_private__zeroed_pages),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
