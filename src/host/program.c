/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * program.c - see program.h.
 */
#include "host/program.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/prctl.h>
#include <linux/securebits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/err.h"
#include "host/caps.h"
#include "host/log.h"
#include "sys/sys.h"

enum { MAX_PHDRS = 128, NOTES_MAX = 1024 };

static bool read_all(int fd, void *to, size_t len, uint64_t offset)
{
	return sys_pread(fd, to, len, (int64_t)offset) == (ssize_t)len;
}

/* A program header of a file of either class, as one of 64 bits. */
static bool read_phdr(int fd, unsigned char class, uint64_t at, Elf64_Phdr *phdr)
{
	Elf32_Phdr p32;

	if (class == ELFCLASS64)
		return read_all(fd, phdr, sizeof(*phdr), at);
	if (!read_all(fd, &p32, sizeof(p32), at))
		return false;
	*phdr = (Elf64_Phdr){ .p_type = p32.p_type, .p_offset = p32.p_offset, .p_filesz = p32.p_filesz };
	return true;
}

bool host_elf_read(int fd, struct host_elf *elf)
{
	union {
		unsigned char ident[EI_NIDENT];
		Elf64_Ehdr e64;
		Elf32_Ehdr e32;
	} head;
	uint64_t at, step;
	unsigned n;

	memset(&head, 0, sizeof(head));
	memset(elf, 0, sizeof(*elf));
	if (sys_pread(fd, &head, sizeof(head), 0) < (ssize_t)sizeof(head.e32) ||
	    memcmp(head.ident, ELFMAG, SELFMAG) != 0)
		return false;
	elf->class = head.ident[EI_CLASS];
	elf->machine = head.e32.e_machine; /* at the same place in both classes */
	if (elf->class == ELFCLASS64) {
		at = head.e64.e_phoff;
		n = head.e64.e_phnum;
		step = sizeof(Elf64_Phdr);
	} else {
		at = head.e32.e_phoff;
		n = head.e32.e_phnum;
		step = sizeof(Elf32_Phdr);
	}
	for (unsigned i = 0; i < n && i < MAX_PHDRS; i++) {
		Elf64_Phdr p;

		if (!read_phdr(fd, elf->class, at + i * step, &p))
			break;
		if (p.p_type != PT_INTERP || p.p_filesz == 0 || p.p_filesz > sizeof(elf->interp) - 1)
			continue;
		if (!read_all(fd, elf->interp, p.p_filesz, p.p_offset))
			break;
		elf->interp[p.p_filesz] = '\0';
		elf->has_interp = true;
	}
	return true;
}

/* --- notes --- */

enum { NOTE_GO_BUILD = 4 }; /* of the name "Go": the Go linker's build id, cmd/internal/buildid */

/* What the first note of @type under @name says, among the notes of @len bytes; its length in *said. NULL: there is none. */
static const uint8_t *find_note(const uint8_t *notes, size_t len, uint32_t type, const char *name, size_t *said)
{
	size_t name_len = strlen(name) + 1;
	Elf64_Nhdr n;

	for (size_t at = 0; at + sizeof(n) <= len;) {
		size_t named = at + sizeof(n), desc;

		memcpy(&n, notes + at, sizeof(n));
		desc = named + (((size_t)n.n_namesz + 3) & ~(size_t)3);
		if (desc + n.n_descsz > len)
			return NULL;
		*said = n.n_descsz;
		/* Go counts a zero more to its name. */
		if (n.n_type == type && n.n_namesz >= name_len && memcmp(notes + named, name, name_len) == 0)
			return notes + desc;
		at = desc + (((size_t)n.n_descsz + 3) & ~(size_t)3);
	}
	return NULL;
}

/* Fewer bytes than there is room for are filled up with zeros. */
static bool find_build(const uint8_t *notes, size_t len, uint8_t id[HOST_PROGRAM_BUILD])
{
	size_t said;
	const uint8_t *found = find_note(notes, len, NT_GNU_BUILD_ID, "GNU", &said);

	if (!found)
		return false;
	memset(id, 0, HOST_PROGRAM_BUILD);
	memcpy(id, found, FS_MIN(said, (size_t)HOST_PROGRAM_BUILD));
	return true;
}

/* The notes of the ELF file @fd from its program header *i on, which is left behind. Their length; 0: there are no more. */
static size_t read_notes(int fd, unsigned *i, uint8_t notes[NOTES_MAX])
{
	Elf64_Ehdr head;
	Elf64_Phdr p;

	if (!read_all(fd, &head, sizeof(head), 0) || memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 ||
	    head.e_ident[EI_CLASS] != ELFCLASS64)
		return 0;
	while (*i < head.e_phnum && *i < MAX_PHDRS) {
		if (!read_phdr(fd, ELFCLASS64, head.e_phoff + (*i)++ * sizeof(p), &p))
			return 0;
		if (p.p_type == PT_NOTE && p.p_filesz > 0 && p.p_filesz <= NOTES_MAX &&
		    read_all(fd, notes, p.p_filesz, p.p_offset))
			return p.p_filesz;
	}
	return 0;
}

bool host_program_build(int fd, uint8_t id[HOST_PROGRAM_BUILD])
{
	uint8_t notes[NOTES_MAX];
	unsigned i = 0;
	size_t len;

	while ((len = read_notes(fd, &i, notes)) > 0)
		if (find_build(notes, len, id))
			return true;
	return false;
}

bool host_program_is_go(int fd)
{
	uint8_t notes[NOTES_MAX];
	unsigned i = 0;
	size_t len, said;

	while ((len = read_notes(fd, &i, notes)) > 0)
		if (find_note(notes, len, NOTE_GO_BUILD, "Go", &said))
			return true;
	return false;
}

/* The linker's, where the file begins in memory. */
extern const uint8_t __ehdr_start[] __attribute__((visibility("hidden")));

/* False: there are no more. */
static bool own_phdr(unsigned i, Elf64_Phdr *p)
{
	Elf64_Ehdr head;

	memcpy(&head, __ehdr_start, sizeof(head));
	if (i >= head.e_phnum)
		return false;
	memcpy(p, __ehdr_start + head.e_phoff + i * sizeof(*p), sizeof(*p));
	return true;
}

bool host_program_own_build(uint8_t id[HOST_PROGRAM_BUILD])
{
	uint64_t first = 0; /* address in the file of what lies at its begin */
	Elf64_Phdr p;

	for (unsigned i = 0; own_phdr(i, &p); i++)
		if (p.p_type == PT_LOAD && p.p_offset == 0)
			first = p.p_vaddr;
	for (unsigned i = 0; own_phdr(i, &p); i++)
		if (p.p_type == PT_NOTE && find_build(__ehdr_start + (p.p_vaddr - first), p.p_filesz, id))
			return true;
	return false;
}

/* --- scripts, rights --- */

bool host_program_line(int fd, char line[HOST_PROGRAM_LINE + 1])
{
	ssize_t n = sys_pread(fd, line, HOST_PROGRAM_LINE, 0);

	if (n < 2 || memcmp(line, "#!", 2) != 0)
		return false;
	line[n] = '\0';
	line[strcspn(line, "\n")] = '\0';
	memmove(line, line + 2, strlen(line + 2) + 1);
	return true;
}

bool host_program_is_secure(int fd, const char **how)
{
	struct statvfs fs;
	struct stat st;

	if (sys_call5(__NR_prctl, PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 || fstat(fd, &st) < 0)
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

/* Is @capability there still in a program that is executed? @root: as root has all that the bounding set leaves. */
static bool keeps(unsigned capability, bool root)
{
	if (root)
		return sys_call5(__NR_prctl, PR_CAPBSET_READ, (long)capability, 0, 0, 0) == 1;
	return sys_call5(__NR_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, (long)capability, 0, 0) == 1;
}

bool host_program_loses_rights(void)
{
	uint64_t has = host_caps_effective();
	bool root;

	if (geteuid() != getuid() || getegid() != getgid())
		return true; /* what a file gives it gave before */
	root = getuid() == 0 && !(sys_call5(__NR_prctl, PR_GET_SECUREBITS, 0, 0, 0, 0) & SECBIT_NOROOT);
	for (unsigned right = 0; right <= CAP_LAST_CAP; right++)
		if ((has >> right & 1) && !keeps(right, root))
			return true;
	return false;
}

/* --- what comes of executing it --- */

static int open_at(int dir, const char *path, int flags, int how)
{
	char name[32];

	if ((flags & AT_EMPTY_PATH) && path[0] == '\0') {
		host_format(name, sizeof(name), "/proc/self/fd/%u", (unsigned)dir);
		return sys_openat(AT_FDCWD, name, how | O_CLOEXEC, 0);
	}
	return sys_openat(dir, path, how | O_CLOEXEC | (flags & AT_SYMLINK_NOFOLLOW ? O_NOFOLLOW : 0), 0);
}

bool host_program_cannot_be(int error)
{
	return error == -ENOENT || error == -ENOTDIR || error == -EACCES || error == -ELOOP || error == -ENAMETOOLONG;
}

/* The kernel refuses what is no file, and what nobody may execute. Only where it would say the same of execve() itself:
 * that there is no descriptor left to look with, say, does not keep it. */
static bool fails(int dir, const char *path, int flags)
{
	bool by_number = (flags & AT_EMPTY_PATH) && path[0] == '\0';
	int fd = by_number ? dir : open_at(dir, path, flags, O_PATH);
	struct stat st;
	bool refused;

	if (fd < 0)
		return !by_number && host_program_cannot_be(fd);
	refused = fstat(fd, &st) == 0 && !(S_ISREG(st.st_mode) && (st.st_mode & 0111));
	if (!by_number)
		sys_close(fd);
	return refused;
}

static bool is_like_own(const struct host_elf *elf)
{
	int fd = sys_openat(AT_FDCWD, "/proc/self/exe", O_RDONLY | O_CLOEXEC, 0);
	struct host_elf own;
	bool known = fd >= 0 && host_elf_read(fd, &own);

	if (fd >= 0)
		sys_close(fd);
	return known && elf->has_interp && own.has_interp && elf->class == own.class && elf->machine == own.machine &&
	       strcmp(elf->interp, own.interp) == 0;
}

/* One file. True: it is a script, whose interpreter is @next. */
static bool judge_file(int fd, enum host_program_fate *fate, char next[HOST_PROGRAM_LINE + 1])
{
	struct host_elf elf;
	const char *how;
	struct stat st;
	char *word;

	*fate = HOST_PROGRAM_OTHER;
	if (fstat(fd, &st) < 0 || host_program_is_secure(fd, &how))
		return false;
	if (host_elf_read(fd, &elf)) {
		*fate = is_like_own(&elf) ? HOST_PROGRAM_ALIKE : HOST_PROGRAM_OTHER;
		return false;
	}
	if (!host_program_line(fd, next))
		return false;
	word = next + strspn(next, " \t");
	word[strcspn(word, " \t")] = '\0';
	memmove(next, word, strlen(word) + 1);
	return true;
}

enum host_program_fate host_program_judge(int dir, const char *path, int flags)
{
	enum host_program_fate fate = HOST_PROGRAM_OTHER;
	char next[HOST_PROGRAM_LINE + 1];
	int fd;

	if (fails(dir, path, flags))
		return HOST_PROGRAM_FAILS;
	fd = open_at(dir, path, flags, O_RDONLY | O_NONBLOCK);
	for (int depth = 0; fd >= 0 && depth < HOST_PROGRAM_INTERPRETERS; depth++) {
		bool script = judge_file(fd, &fate, next);

		sys_close(fd);
		if (!script)
			return fate;
		fd = open_at(AT_FDCWD, next, 0, O_RDONLY | O_NONBLOCK);
	}
	if (fd >= 0)
		sys_close(fd);
	return HOST_PROGRAM_OTHER;
}
