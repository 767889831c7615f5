/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * program.h - what a program file says of itself before it is executed: ELF header, first line, set-id bits, build.
 *
 * Does:     read; follow nothing but what is named here.
 * Does not: start anything, allocate, remember.
 * Threads:  any, also in a child of fork().
 * Errors:   false where the file does not say, or cannot be read.
 */
#ifndef FSOCK_HOST_PROGRAM_H
#define FSOCK_HOST_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	HOST_PROGRAM_LINE = 256, /* bytes of a "#!" line that the kernel looks at (BINPRM_BUF_SIZE) */
	HOST_PROGRAM_INTERPRETERS = 5, /* it follows four such lines */
	HOST_PROGRAM_BUILD = 20, /* bytes of a build id */
};

/* What an ELF file says that matters here. */
struct host_elf {
	unsigned char class;
	uint16_t machine;
	bool has_interp;
	char interp[1024]; /* a longer one counts as none */
};

/* False when @fd is no ELF file this can read. */
bool host_elf_read(int fd, struct host_elf *elf);

/* The first line of a script behind its "#!", ended by NUL. False when @fd is none. */
bool host_program_line(int fd, char line[HOST_PROGRAM_LINE + 1]);

/* Would starting it change who we are, so that the dynamic linker runs in secure mode? @how gets the words. */
bool host_program_is_secure(int fd, const char **how);

/* Would the dynamic linker of a program that is executed now be in secure mode, or the program be without a capability
 * that this thread has, whatever the file? */
bool host_program_loses_rights(void);

/* The build id of the ELF file @fd, and that of the program or library that this function is in. */
bool host_program_build(int fd, uint8_t id[HOST_PROGRAM_BUILD]);
bool host_program_own_build(uint8_t id[HOST_PROGRAM_BUILD]);

/* Was it made by the Go linker? Its runtime makes system calls by instructions of its own then, also where it has libc. */
bool host_program_is_go(int fd);

/* Is @error, of looking at a program's file, one that executing it fails with as well? Others say nothing of that. */
bool host_program_cannot_be(int error);

/*
 * What comes of executing @path, taken from @dir with @flags as execveat() takes them. FAILS: there is no such program.
 * ALIKE: its dynamic linker is this program's own, and loads what it is told to. OTHER: it is not, or nobody knows.
 */
enum host_program_fate { HOST_PROGRAM_FAILS, HOST_PROGRAM_OTHER, HOST_PROGRAM_ALIKE };
enum host_program_fate host_program_judge(int dir, const char *path, int flags);

#endif
