/* SPDX-License-Identifier: BSD-2-Clause */
/* What a program believes of a record that it was passed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <sys/resource.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "context/exec_record.h"
#include "host/mem.h"
#include "socket/fdtable.h"

enum { PID = 4711, ENTRIES = 4, MAPPED = 1 << 20, SLOT = 3 };

static const uint8_t build[HOST_PROGRAM_BUILD] = { 1, 2, 3 };

#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020
#endif

static union {
	struct exec_record r;
	uint8_t bytes[sizeof(struct exec_record) + (ENTRIES + 1) * sizeof(struct exec_entry)];
} a;

static uint64_t in_memory(uint64_t offset)
{
	return FSOCK_STACK_BASE + SLOT * MEM_SLOT_BYTES + offset;
}

static size_t length(unsigned entries)
{
	return sizeof(a.r) + entries * sizeof(struct exec_entry);
}

static int setup(void **state)
{
	memset(&a, 0, sizeof(a));
	a.r = (struct exec_record){
		.magic = EXEC_RECORD_MAGIC,
		.key = 5,
		.bytes = length(ENTRIES),
		.pid = PID,
		.mapped = MAPPED,
		.memory = 1000,
		.arena_slot = SLOT,
		.slot = 1,
		.fd_floor = 900,
		.n = ENTRIES,
	};
	memcpy(a.r.build, build, sizeof(build));
	memset(a.r.doorbell, -1, sizeof(a.r.doorbell));
	a.r.entry[0] = (struct exec_entry){ .fd = 1000, .kind = FD_OURS };
	a.r.entry[1] = (struct exec_entry){ .fd = 3, .kind = FD_STREAM, .object = in_memory(4096), .generation = 1 };
	a.r.entry[2] = (struct exec_entry){ .fd = 4, .kind = FD_SOCK, .object = in_memory(8192), .generation = 2 };
	a.r.entry[3] = (struct exec_entry){ .fd = 5, .kind = FD_EPOLL, .object = in_memory(65536), .generation = 3 };
	return 0;
}

static bool is_good(size_t len)
{
	return exec_record_is_good(&a, len, build);
}

static void exec_record_is_good__what_was_written(void **state)
{
	assert_true(is_good(length(ENTRIES)));
	a.r.n = 0;
	a.r.bytes = length(0);
	assert_true(is_good(length(0)));
}

static void exec_record_is_good__of_its_own_length(void **state)
{
	for (size_t len = 0; len < sizeof(a); len++)
		if (len != length(ENTRIES))
			assert_false(is_good(len));
	for (a.r.n = 0; a.r.n < 100; a.r.n++)
		assert_true(is_good(length(ENTRIES)) == (a.r.n == ENTRIES));
	setup(state);
	a.r.bytes = length(ENTRIES) + 1; /* part of an entry */
	assert_false(is_good(length(ENTRIES) + 1));
}

static void exec_record_is_good__for_this_build(void **state)
{
	uint8_t other[HOST_PROGRAM_BUILD];

	for (unsigned i = 0; i < HOST_PROGRAM_BUILD; i++) {
		memcpy(other, build, sizeof(other));
		other[i] ^= 1;
		assert_false(exec_record_is_good(&a, length(ENTRIES), other));
	}
}

static void exec_record_is_good__with_places_that_there_are(void **state)
{
	static const struct {
		size_t at;
		uint32_t value;
	} wrong[] = {
		{ offsetof(struct exec_record, arena_slot), MEM_SLOTS },
		{ offsetof(struct exec_record, slot), STATS_MAX_PROCS },
		{ offsetof(struct exec_record, memory), (uint32_t)-1 },
		{ offsetof(struct exec_record, fd_floor), (uint32_t)-1 },
		{ offsetof(struct exec_record, doorbell), FD_CHUNK * FD_CHUNKS },
		{ offsetof(struct exec_record, leases), FD_CHUNK * FD_CHUNKS },
		{ offsetof(struct exec_record, icmp) + 4, FD_CHUNK * FD_CHUNKS },
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		setup(state);
		memcpy(a.bytes + wrong[i].at, &wrong[i].value, sizeof(wrong[i].value));
		assert_false(is_good(length(ENTRIES)));
	}
	setup(state);
	a.r.mapped = MEM_RINGS_OFFSET + 1;
	assert_false(is_good(length(ENTRIES)));
	setup(state);
	a.r.key = 0;
	assert_false(is_good(length(ENTRIES)));
}

static void expect_bad_entry(struct exec_entry entry)
{
	setup(NULL);
	a.r.entry[1] = entry;
	assert_false(is_good(length(ENTRIES)));
}

static void exec_record_is_good__with_objects_inside_the_memory(void **state)
{
	struct exec_entry good = a.r.entry[1], e;

	for (unsigned kind = 0; kind < 10; kind++) {
		if (kind == FD_SOCK || kind == FD_STREAM || kind == FD_EPOLL)
			continue;
		e = good;
		e.kind = kind; /* FD_OURS has no object */
		expect_bad_entry(e);
	}
	const uint64_t outside[] = { 0, 8, in_memory(0), in_memory(0) - 8, in_memory(4097), in_memory(MAPPED),
				     in_memory(MAPPED - 8), UINT64_MAX - 7 };
	for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
		e = good;
		e.object = outside[i];
		expect_bad_entry(e);
	}
	e = good;
	e.fd = -1;
	expect_bad_entry(e);
	e.fd = FD_CHUNK * FD_CHUNKS;
	expect_bad_entry(e);
}

/* What comes back of the record, from a descriptor that the kernel may have added seals to. */
static void exec_record_read__what_was_written(void **state)
{
	static uint8_t got[sizeof(a)];
	int fd = exec_record_write(&a.r, 100);

	assert_true(fd >= 100);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(exec_record_read(fd, got, sizeof(got)), length(ENTRIES));
	assert_memory_equal(got, &a, length(ENTRIES));
	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), -1);
	close(fd);
}

static int sealed(int seals)
{
	int fd = memfd_create("fst-record", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, &a, length(ENTRIES)), length(ENTRIES));
	if (fcntl(fd, F_ADD_SEALS, seals) == 0)
		return fd;
	close(fd);
	return -1;
}

static void exec_record_read__only_of_what_nobody_changes(void **state)
{
	static const int seals[] = { F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE };
	static uint8_t got[sizeof(a)];
	int fd, ends[2], all = 0;

	for (size_t i = 0; i < sizeof(seals) / sizeof(seals[0]); i++)
		all |= seals[i];
	for (size_t i = 0; i < sizeof(seals) / sizeof(seals[0]); i++) {
		fd = sealed(all & ~seals[i]);
		assert_int_equal(exec_record_read(fd, got, sizeof(got)), -EINVAL);
		close(fd);
	}
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(exec_record_read(ends[0], got, sizeof(got)), -EINVAL);
	close(ends[0]);
	close(ends[1]);
	assert_int_equal(exec_record_read(-1, got, sizeof(got)), -EINVAL);
}

/* As vm.memfd_noexec does. */
/* Anybody can seal what he wrote. */
static void exec_record_read__of_another_user(void **state)
{
	struct exec_record got;
	int fd = exec_record_write(&a.r, 100);

	assert_true(fd >= 0);
	if (fchown(fd, geteuid() + 1, (gid_t)-1) < 0)
		skip();
	assert_int_equal(exec_record_read(fd, &got, sizeof(got)), -EPERM);
	close(fd);
}

static void exec_record_write__beyond_the_limit_of_files(void **state)
{
	struct rlimit before, none;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	none = (struct rlimit){ .rlim_cur = 0, .rlim_max = before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	assert_int_equal(exec_record_write(&a.r, 100), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
}

static void exec_record_read__with_a_seal_more(void **state)
{
	static uint8_t got[sizeof(a)];
	int fd = sealed(F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_EXEC);

	if (fd < 0)
		skip(); /* Linux before 6.3 */
	assert_int_equal(exec_record_read(fd, got, sizeof(got)), length(ENTRIES));
	close(fd);
}

/* Whatever bytes are turned: it comes to an answer, from these bytes alone. */
static void exec_record_is_good__whatever_it_says(void **state)
{
	for (size_t at = 0; at < length(ENTRIES); at++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			a.bytes[at] ^= (uint8_t)(1u << bit);
			is_good(length(ENTRIES));
			a.bytes[at] ^= (uint8_t)(1u << bit);
		}
	}
	assert_true(is_good(length(ENTRIES)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(exec_record_read__what_was_written, setup),
		cmocka_unit_test_setup(exec_record_read__only_of_what_nobody_changes, setup),
		cmocka_unit_test_setup(exec_record_read__with_a_seal_more, setup),
		cmocka_unit_test_setup(exec_record_read__of_another_user, setup),
		cmocka_unit_test_setup(exec_record_write__beyond_the_limit_of_files, setup),
		cmocka_unit_test_setup(exec_record_is_good__what_was_written, setup),
		cmocka_unit_test_setup(exec_record_is_good__of_its_own_length, setup),
		cmocka_unit_test_setup(exec_record_is_good__for_this_build, setup),
		cmocka_unit_test_setup(exec_record_is_good__with_places_that_there_are, setup),
		cmocka_unit_test_setup(exec_record_is_good__with_objects_inside_the_memory, setup),
		cmocka_unit_test_setup(exec_record_is_good__whatever_it_says, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
