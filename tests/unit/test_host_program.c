/* SPDX-License-Identifier: BSD-2-Clause */
/* What program files say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/program.h"

static char folder[] = "/tmp/fst-program-XXXXXX", path[64];

static int setup_group(void **state)
{
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/file", folder);
	return 0;
}

static int teardown_group(void **state)
{
	return rmdir(folder);
}

static int teardown(void **state)
{
	unlink(path);
	return 0;
}

static int make(const void *content, size_t len, mode_t mode)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

	assert_int_equal(write(fd, content, len), len);
	assert_int_equal(fchmod(fd, mode), 0);
	return fd;
}

/* A copy of this program. */
static int copy(void)
{
	int from = open("/proc/self/exe", O_RDONLY), to = make("", 0, 0755);
	ssize_t n;

	while ((n = sendfile(to, from, NULL, 1 << 24)) > 0)
		continue;
	close(from);
	return to;
}

static enum host_program_fate fate(void)
{
	return host_program_judge(AT_FDCWD, path, 0);
}

/* Program headers of @kind become something else. */
static void take_out(int fd, uint32_t kind)
{
	Elf64_Ehdr head;
	Elf64_Phdr p;

	assert_int_equal(pread(fd, &head, sizeof(head), 0), sizeof(head));
	for (unsigned i = 0; i < head.e_phnum; i++) {
		off_t at = (off_t)(head.e_phoff + i * sizeof(p));

		assert_int_equal(pread(fd, &p, sizeof(p), at), sizeof(p));
		if (p.p_type == kind)
			p.p_type = PT_NULL;
		assert_int_equal(pwrite(fd, &p, sizeof(p), at), sizeof(p));
	}
}

static void host_program_build__is_that_of_the_file(void **state)
{
	uint8_t own[HOST_PROGRAM_BUILD] = { 0 }, its[HOST_PROGRAM_BUILD] = { 0 }, none[HOST_PROGRAM_BUILD] = { 0 };
	int fd = copy();

	assert_true(host_program_own_build(own));
	assert_true(host_program_build(fd, its));
	assert_memory_equal(own, its, sizeof(own));
	assert_memory_not_equal(own, none, sizeof(own));
	take_out(fd, PT_NOTE);
	assert_false(host_program_build(fd, its));
	close(fd);
}

static void host_program_build__of_no_program(void **state)
{
	uint8_t id[HOST_PROGRAM_BUILD];
	int fd = make("#!/bin/sh\n", 10, 0755);

	assert_false(host_program_build(fd, id));
	close(fd);
}

/* The build id becomes one as the Go linker writes it. */
static void make_go(int fd)
{
	struct {
		Elf64_Nhdr head;
		char name[4];
	} note, go = { { 4, 0, 4 }, "Go" };
	uint8_t file[1 << 16];
	ssize_t n = pread(fd, file, sizeof(file), 0);
	int made = 0;

	for (ssize_t at = 0; at + (ssize_t)sizeof(note) <= n; at += 4) {
		memcpy(&note, file + at, sizeof(note));
		if (note.head.n_type != NT_GNU_BUILD_ID || note.head.n_namesz != 4 || memcmp(note.name, "GNU", 4) != 0)
			continue;
		go.head.n_descsz = note.head.n_descsz;
		assert_int_equal(pwrite(fd, &go, sizeof(go), at), sizeof(go));
		made++;
	}
	assert_int_equal(made, 1);
}

static void host_program_is_go__by_its_note(void **state)
{
	uint8_t id[HOST_PROGRAM_BUILD];
	int fd = make("#!/bin/sh\n", 10, 0755);

	assert_false(host_program_is_go(fd));
	close(fd);
	fd = copy();
	assert_false(host_program_is_go(fd));
	make_go(fd);
	assert_true(host_program_is_go(fd));
	assert_false(host_program_build(fd, id));
	take_out(fd, PT_NOTE);
	assert_false(host_program_is_go(fd));
	close(fd);
}

static void host_program_judge__what_cannot_be_executed(void **state)
{
	assert_int_equal(fate(), HOST_PROGRAM_FAILS);
	assert_int_equal(host_program_judge(AT_FDCWD, folder, 0), HOST_PROGRAM_FAILS);
	close(make("#!/bin/sh\n", 10, 0644));
	assert_int_equal(fate(), HOST_PROGRAM_FAILS);
}

/* Of a program that can be executed, but not looked at now. */
static void host_program_judge__without_a_descriptor_to_look_with(void **state)
{
	struct rlimit limit, none;

	close(copy());
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = (struct rlimit){ .rlim_cur = 3, .rlim_max = limit.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(fate(), HOST_PROGRAM_OTHER);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(fate(), HOST_PROGRAM_ALIKE);
}

static void host_program_cannot_be__what_execve_says_as_well(void **state)
{
	static const int either[] = { EMFILE, ENFILE, ENOMEM, EINTR, EIO, EPERM, EBADF, ETXTBSY, 0 };

	assert_true(host_program_cannot_be(-ENOENT));
	assert_true(host_program_cannot_be(-ENOTDIR));
	assert_true(host_program_cannot_be(-EACCES));
	for (size_t i = 0; i < sizeof(either) / sizeof(either[0]); i++)
		assert_false(host_program_cannot_be(-either[i]));
}

static void host_program_judge__a_program_like_this_one(void **state)
{
	int fd = copy(), at = open(folder, O_PATH);

	assert_int_equal(fate(), HOST_PROGRAM_ALIKE);
	assert_int_equal(host_program_judge(fd, "", AT_EMPTY_PATH), HOST_PROGRAM_ALIKE);
	assert_int_equal(host_program_judge(at, "file", 0), HOST_PROGRAM_ALIKE);
	assert_int_equal(host_program_judge(at, "other", 0), HOST_PROGRAM_FAILS);
	take_out(fd, PT_INTERP); /* as one that is linked statically */
	assert_int_equal(fate(), HOST_PROGRAM_OTHER);
	close(at);
	close(fd);
}

static void host_program_judge__one_of_another_machine(void **state)
{
	const uint16_t machine = EM_RISCV;
	int fd = copy();

	assert_int_equal(pwrite(fd, &machine, sizeof(machine), offsetof(Elf64_Ehdr, e_machine)), sizeof(machine));
	assert_int_equal(fate(), HOST_PROGRAM_OTHER);
	close(fd);
}

static void host_program_judge__one_that_changes_who_runs_it(void **state)
{
	int fd = copy();

	if (geteuid() != 0) {
		close(fd);
		skip();
	}
	assert_int_equal(fchown(fd, 65534, 65534), 0);
	assert_int_equal(fchmod(fd, 04755), 0);
	assert_int_equal(fate(), HOST_PROGRAM_OTHER);
	assert_int_equal(fchmod(fd, 02755), 0);
	assert_int_equal(fate(), HOST_PROGRAM_OTHER);
	assert_int_equal(fchmod(fd, 0755), 0);
	assert_int_equal(fate(), HOST_PROGRAM_ALIKE);
	close(fd);
}

static void host_program_judge__scripts_by_their_interpreters(void **state)
{
	static const struct {
		const char *text;
		enum host_program_fate fate;
	} scripts[] = {
		{ "#!/proc/self/exe\n", HOST_PROGRAM_ALIKE },
		{ "#! \t/proc/self/exe -x\n", HOST_PROGRAM_ALIKE },
		{ "#!/proc/self/exe", HOST_PROGRAM_ALIKE },
		{ "#!/nowhere/at/all\n", HOST_PROGRAM_OTHER },
		{ "#!\n", HOST_PROGRAM_OTHER },
		{ "echo no interpreter\n", HOST_PROGRAM_OTHER },
		{ "", HOST_PROGRAM_OTHER },
	};

	for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
		close(make(scripts[i].text, strlen(scripts[i].text), 0755));
		assert_int_equal(fate(), scripts[i].fate);
	}
}

static void host_program_judge__a_script_that_is_its_own_interpreter(void **state)
{
	char text[80];

	snprintf(text, sizeof(text), "#!%s\n", path);
	close(make(text, strlen(text), 0755));
	assert_int_equal(fate(), HOST_PROGRAM_OTHER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(host_program_build__is_that_of_the_file, teardown),
		cmocka_unit_test_teardown(host_program_build__of_no_program, teardown),
		cmocka_unit_test_teardown(host_program_is_go__by_its_note, teardown),
		cmocka_unit_test_teardown(host_program_judge__what_cannot_be_executed, teardown),
		cmocka_unit_test_teardown(host_program_judge__without_a_descriptor_to_look_with, teardown),
		cmocka_unit_test(host_program_cannot_be__what_execve_says_as_well),
		cmocka_unit_test_teardown(host_program_judge__a_program_like_this_one, teardown),
		cmocka_unit_test_teardown(host_program_judge__one_of_another_machine, teardown),
		cmocka_unit_test_teardown(host_program_judge__one_that_changes_who_runs_it, teardown),
		cmocka_unit_test_teardown(host_program_judge__scripts_by_their_interpreters, teardown),
		cmocka_unit_test_teardown(host_program_judge__a_script_that_is_its_own_interpreter, teardown),
	};

	return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
