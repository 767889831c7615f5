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
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/err.h"

enum {
	MAX_INTERPRETERS = 5, /* the kernel follows four "#!" lines */
	SCRIPT_LINE = 256,    /* BINPRM_BUF_SIZE */
	MAX_PHDRS = 128,
};

/* What an ELF file says that matters here. */
struct elf_facts {
	unsigned char class;
	uint16_t machine;
	bool has_interp;
	char interp[PATH_MAX];
};

/* Program header @i of a file of either class. */
static bool read_phdr(int fd, const struct elf_facts *facts, uint64_t at, uint32_t *type,
		      uint64_t *offset, uint64_t *size)
{
	Elf64_Phdr p64;
	Elf32_Phdr p32;

	if (facts->class == ELFCLASS64) {
		if (pread(fd, &p64, sizeof(p64), (off_t)at) != (ssize_t)sizeof(p64))
			return false;
		*type = p64.p_type;
		*offset = p64.p_offset;
		*size = p64.p_filesz;
		return true;
	}
	if (pread(fd, &p32, sizeof(p32), (off_t)at) != (ssize_t)sizeof(p32))
		return false;
	*type = p32.p_type;
	*offset = p32.p_offset;
	*size = p32.p_filesz;
	return true;
}

/* False when @fd is no ELF file this can read. */
static bool elf_read(int fd, struct elf_facts *facts)
{
	union {
		unsigned char ident[EI_NIDENT];
		Elf64_Ehdr e64;
		Elf32_Ehdr e32;
	} head;
	uint64_t at, step;
	unsigned n;

	memset(&head, 0, sizeof(head));
	memset(facts, 0, sizeof(*facts));
	if (pread(fd, &head, sizeof(head), 0) < (ssize_t)sizeof(head.e32) ||
	    memcmp(head.ident, ELFMAG, SELFMAG) != 0)
		return false;
	facts->class = head.ident[EI_CLASS];
	facts->machine = head.e32.e_machine; /* at the same place in both classes */
	if (facts->class == ELFCLASS64) {
		at = head.e64.e_phoff;
		n = head.e64.e_phnum;
		step = sizeof(Elf64_Phdr);
	} else {
		at = head.e32.e_phoff;
		n = head.e32.e_phnum;
		step = sizeof(Elf32_Phdr);
	}
	for (unsigned i = 0; i < n && i < MAX_PHDRS; i++) {
		uint64_t offset, size;
		uint32_t type;

		if (!read_phdr(fd, facts, at + i * step, &type, &offset, &size))
			break;
		if (type != PT_INTERP || size == 0 || size > sizeof(facts->interp) - 1)
			continue;
		if (pread(fd, facts->interp, size, (off_t)offset) != (ssize_t)size)
			break;
		facts->interp[size] = '\0';
		facts->has_interp = true;
	}
	return true;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static const char *machine_name(const struct elf_facts *facts)
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

/* Verdict on ELF facts alone, for a program as file or as process. */
static void judge_elf(struct target *t, const struct elf_facts *facts)
{
	struct elf_facts own;
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	bool known = fd >= 0 && elf_read(fd, &own);

	if (fd >= 0)
		close(fd);
	if (known && (facts->class != own.class || facts->machine != own.machine)) {
		decide(t, TARGET_OTHER_MACHINE, false, "build fsock for that architecture as well");
		snprintf(t->text, sizeof(t->text), "%s is a program for %s, this fsock is for %s",
			 t->file, machine_name(facts), machine_name(&own));
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

/* Would starting @file change who we are, so that the dynamic linker runs in secure mode? */
static bool is_secure(int fd, const char **how)
{
	struct statvfs fs;
	struct stat st;

	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 || fstat(fd, &st) < 0)
		return false;
	if (fstatvfs(fd, &fs) == 0 && (fs.f_flag & ST_NOSUID))
		return false;
	*how = "is set-user-ID";
	if ((st.st_mode & S_ISUID) && st.st_uid != getuid())
		return true;
	*how = "is set-group-ID";
	if ((st.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && st.st_gid != getgid())
		return true;
	/* To root a file's capabilities are nothing new. */
	*how = "has file capabilities";
	return getuid() != 0 && fgetxattr(fd, "security.capability", NULL, 0) > 0;
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
	char line[SCRIPT_LINE + 1], *word, *rest;
	ssize_t n = pread(fd, line, SCRIPT_LINE, 0);

	if (n < 2 || memcmp(line, "#!", 2) != 0)
		return false;
	line[n] = '\0';
	line[strcspn(line, "\n")] = '\0';
	word = strtok_r(line + 2, " \t", &rest);
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
	struct elf_facts facts;
	const char *how = "";
	int fd = open(t->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	bool script = false;

	if (fd < 0) {
		unreadable(t, "cannot be read");
		return false;
	}
	if (elf_read(fd, &facts)) {
		judge_elf(t, &facts);
		if (t->verdict == TARGET_HELPED && is_secure(fd, &how)) {
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
	for (int depth = 0; depth < MAX_INTERPRETERS; depth++) {
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
	struct elf_facts facts;
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
	if (fd < 0 || !elf_read(fd, &facts))
		unreadable(target, "cannot be read");
	else
		judge_elf(target, &facts);
	if (fd >= 0)
		close(fd);
}
