/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * target.c - will the dynamic linker load our library into this program?
 *
 * "Ours" is measured against this command's own ELF header: same machine, same dynamic linker.
 */
#include "target.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "host/program.h"

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static const char *machine_name(const struct host_elf *facts)
{
	switch (facts->machine) {
	case EM_386:
		return "i386";
	case EM_X86_64:
		return facts->class == ELFCLASS32 ? "x32" : "x86-64";
	case EM_ARM:
		return "arm";
	case EM_AARCH64:
		return "aarch64";
	case EM_RISCV:
		return "riscv";
	default:
		return "another machine";
	}
}

static void decide(struct target *t, enum target_verdict verdict, bool preload, const char *remedy)
{
	t->verdict = verdict;
	t->preload = preload;
	t->remedy = remedy;
}

/* Verdict on what the file @program says, of a program as file or as process. */
static void judge_elf(struct target *t, int program, const struct host_elf *facts)
{
	struct host_elf own;
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	bool known = fd >= 0 && host_elf_read(fd, &own);

	if (fd >= 0)
		close(fd);
	if (known && (facts->class != own.class || facts->machine != own.machine)) {
		decide(t, TARGET_OTHER_MACHINE, false, "build fsock for that architecture as well");
		snprintf(t->text, sizeof(t->text), "%s is a program for %s, this fsock is for %s",
			 t->file, machine_name(facts), machine_name(&own));
		return;
	}
	if (host_program_is_go(program)) {
		decide(t, TARGET_GO, true, "its sockets are the kernel's");
		snprintf(t->text, sizeof(t->text),
			 "%s is a Go program: its runtime makes system calls by itself, past the C library", t->file);
		return;
	}
	if (!facts->has_interp) {
		decide(t, TARGET_STATIC, true, "link it dynamically");
		snprintf(t->text, sizeof(t->text),
			 "%s is statically linked: no library can be loaded into it", t->file);
		return;
	}
	if (known && own.has_interp &&
	    strcmp(base_name(facts->interp), base_name(own.interp)) != 0) {
		decide(t, TARGET_OTHER_LIBC, false, "build fsock against that C library as well");
		snprintf(t->text, sizeof(t->text), "%s uses another C library (%.100s)", t->file,
			 facts->interp);
		return;
	}
	decide(t, TARGET_HELPED, true, "");
}

/* As execvp(): a name with a slash is a path, others are sought along PATH. */
static bool find_program(const char *program, char *path, size_t len)
{
	const char *dirs = getenv("PATH");
	struct stat st;

	if (strchr(program, '/'))
		return snprintf(path, len, "%s", program) < (int)len;
	if (!dirs)
		dirs = "/bin:/usr/bin";
	while (*program && dirs) {
		size_t n = strcspn(dirs, ":");
		int full = snprintf(path, len, "%.*s%s%s", (int)n, dirs, n ? "/" : "", program);

		if (full < (int)len && stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
		    access(path, X_OK) == 0)
			return true;
		dirs = dirs[n] ? dirs + n + 1 : NULL;
	}
	return false;
}

/*
 * The interpreter a script's first line names; for env(1) the program behind it, since that is
 * what stays. False when @fd is no script.
 */
static bool read_script(int fd, char *interpreter, size_t len)
{
	char line[HOST_PROGRAM_LINE + 1], *word, *rest;

	if (!host_program_line(fd, line))
		return false;
	word = strtok_r(line, " \t", &rest);
	if (!word)
		return false;
	if (strcmp(base_name(word), "env") == 0) {
		char *next = strtok_r(NULL, " \t", &rest);

		while (next && (*next == '-' || strchr(next, '=')))
			next = strtok_r(NULL, " \t", &rest);
		word = next ? next : word;
	}
	return snprintf(interpreter, len, "%s", word) < (int)len;
}

static void unreadable(struct target *t, const char *what)
{
	decide(t, TARGET_UNREADABLE, true, "");
	snprintf(t->text, sizeof(t->text), "%s %s", t->file, what);
}

/* Examine t->file; true when it is a script and @next got its interpreter. */
static bool examine_file(struct target *t, char *next, size_t len)
{
	struct host_elf facts;
	const char *how = "";
	int fd = open(t->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	bool script = false;

	if (fd < 0) {
		unreadable(t, "cannot be read");
		return false;
	}
	if (host_elf_read(fd, &facts)) {
		judge_elf(t, fd, &facts);
		if (t->verdict == TARGET_HELPED && host_program_is_secure(fd, &how)) {
			decide(t, TARGET_SECURE, true,
			       "run it as the user it changes to, without these bits");
			snprintf(t->text, sizeof(t->text),
				 "%s %s: the dynamic linker ignores preloaded libraries there",
				 t->file, how);
		}
	} else {
		script = read_script(fd, next, len);
		/* A file without "#!" is run by execvp() with the shell. */
		if (!script)
			unreadable(t, "is no ELF program and names no interpreter");
	}
	close(fd);
	return script;
}

void target_examine(struct target *target, const char *program)
{
	char next[PATH_MAX];

	memset(target, 0, sizeof(*target));
	snprintf(next, sizeof(next), "%s", program);
	for (int depth = 0; depth < HOST_PROGRAM_INTERPRETERS; depth++) {
		if (!find_program(next, target->file, sizeof(target->file))) {
			snprintf(target->file, sizeof(target->file), "%s", next);
			unreadable(target, "was not found");
			return;
		}
		if (!examine_file(target, next, sizeof(next)))
			return;
	}
	unreadable(target, "has too many interpreters");
}

void target_examine_process(struct target *target, int pid)
{
	struct host_elf facts;
	char link[32];
	ssize_t n;
	int fd;

	memset(target, 0, sizeof(*target));
	snprintf(link, sizeof(link), "/proc/%d/exe", pid);
	n = readlink(link, target->file, sizeof(target->file) - 1);
	if (n < 0) {
		snprintf(target->file, sizeof(target->file), "process %d", pid);
		unreadable(target, errno == ENOENT ? "is a kernel thread or has ended"
						   : "cannot be looked at");
		return;
	}
	target->file[n] = '\0';
	fd = open(link, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || !host_elf_read(fd, &facts))
		unreadable(target, "cannot be read");
	else
		judge_elf(target, fd, &facts);
	if (fd >= 0)
		close(fd);
}
