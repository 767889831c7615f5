/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inherit.c - see inherit.h; and the other end: what this program was passed by the one before.
 */
#include "preload/inherit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>

#include "context/exec.h"
#include "context/exec_record.h"
#include "host/log.h"
#include "preload/libc.h"
#include "preload/process.h"
#include "sys/sys.h"

enum { PATH_ROOM = 4096 };

/* The value in @envp, the last one as for ld.so; NULL = it is not there. */
static const char *value_of(char *const envp[], const char *name)
{
	size_t len = strlen(name);
	const char *value = NULL;

	for (; envp && *envp; envp++)
		if (strncmp(*envp, name, len) == 0 && (*envp)[len] == '=')
			value = *envp + len + 1;
	return value;
}

/* Is the file of that name this library as it was built? */
static bool is_this(const char *path, size_t len)
{
	uint8_t own[HOST_PROGRAM_BUILD], its[HOST_PROGRAM_BUILD];
	char name[PATH_ROOM];
	bool same;
	int fd;

	/* One without a folder is looked for along ld.so's paths, not here. */
	if (len >= sizeof(name) || !memchr(path, '/', len))
		return false;
	memcpy(name, path, len);
	name[len] = '\0';
	fd = sys_openat(AT_FDCWD, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
	if (fd < 0)
		return false;
	same = host_program_own_build(own) && host_program_build(fd, its) && memcmp(own, its, sizeof(own)) == 0;
	sys_close(fd);
	return same;
}

static bool preloads_this(char *const envp[])
{
	static const char between[] = ": "; /* ld.so(8) */
	const char *list = value_of(envp, "LD_PRELOAD");

	if (value_of(envp, "LD_TRACE_LOADED_OBJECTS")) /* ld.so names what it would load, and ends */
		return false;
	while (list && *list) {
		size_t len = strcspn(list, between);

		if (is_this(list, len))
			return true;
		list += len + strspn(list + len, between);
	}
	return false;
}

enum host_program_fate inherit_judge(int dir, const char *path, int flags, char *const envp[])
{
	enum host_program_fate fate = host_program_judge(dir, path, flags);

	if (fate == HOST_PROGRAM_ALIKE && (host_program_loses_rights() || !preloads_this(envp)))
		return HOST_PROGRAM_OTHER;
	return fate;
}

/* What execvp() makes of @path, one of several: 1 = it is executed; 0 = the next one is tried; -1 = that cannot be
 * said. */
static int is_program(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == EACCES ? 0 : -1;
	if (!S_ISREG(st.st_mode) || !(st.st_mode & 0111))
		return 0; /* EACCES */
	if (faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0)
		return 1;
	return errno == EACCES ? 0 : -1;
}

enum host_program_fate inherit_find(const char *name, char *path, size_t room, const char **found)
{
	const char *folders = getenv("PATH");

	*found = name;
	if (strchr(name, '/'))
		return HOST_PROGRAM_ALIKE;
	if (!folders)
		folders = "/bin:/usr/bin"; /* libc's own choice */
	while (*name && folders) {
		size_t len = strcspn(folders, ":");
		int is;

		if (len + 1 + strlen(name) >= room)
			return HOST_PROGRAM_OTHER;
		memcpy(path, folders, len);
		path[len] = '/';
		strcpy(path + len + (len > 0), name);
		is = is_program(path);
		*found = path;
		if (is != 0)
			return is > 0 ? HOST_PROGRAM_ALIKE : HOST_PROGRAM_OTHER;
		folders = folders[len] ? folders + len + 1 : NULL;
	}
	return HOST_PROGRAM_FAILS;
}

size_t inherit_places(char *const envp[])
{
	size_t n = 0;

	while (envp && envp[n])
		n++;
	return n + 2;
}

char **inherit_environment(char **to, char *const envp[], char word[INHERIT_WORD], int record)
{
	static const char name[] = EXEC_RECORD_ENV "=";
	size_t n = 0;

	for (; envp && *envp; envp++)
		if (strncmp(*envp, name, sizeof(name) - 1) != 0)
			to[n++] = *envp;
	host_format(word, INHERIT_WORD, "%s%u", name, (unsigned)record);
	to[n] = word;
	to[n + 1] = NULL;
	return to;
}

/* Before the program's own constructors, and before it looks at its environment. */
__attribute__((constructor(200))) void inherit_take_up(void)
{
	static bool done;
	uint8_t build[HOST_PROGRAM_BUILD];
	int number, saved = errno;
	const char *told;
	char *end;

	if (done)
		return;
	done = true;
	told = getenv(EXEC_RECORD_ENV);
	if (!told)
		return;
	number = (int)strtol(told, &end, 10);
	if (*end || end == told)
		number = -1;
	unsetenv(EXEC_RECORD_ENV);
	/* Whoever runs a program in secure mode could make it close whatever it has. */
	if (number > 2 && getauxval(AT_SECURE) == 0 && host_program_own_build(build) &&
	    exec_take_up(number, build, (context_ppoll_fn *)(void *)LIBC(ppoll)))
		preload_register_fork();
	errno = saved;
}
