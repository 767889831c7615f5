/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exec.c - a program that is executed inherits sockets, not the library's memory: connections that it will have
 * move to the kernel before (DESIGN section 5).
 *
 * In a child of vfork() nothing moves: its memory is the parent's, whose connections go on.
 */
#include <stdarg.h>
#include <stdlib.h>

#include "context/handover.h"
#include "preload/libc.h"

static void before(void)
{
	int saved = errno;

	if (fsock_context && !context_is_borrowed(fsock_context))
		handover_before_exec(fsock_context);
	errno = saved;
}

FSOCK_EXPORT int execve(const char *path, char *const argv[], char *const envp[])
{
	before();
	return LIBC(execve)(path, argv, envp);
}

FSOCK_EXPORT int execv(const char *path, char *const argv[])
{
	before();
	return LIBC(execv)(path, argv);
}

FSOCK_EXPORT int execvp(const char *file, char *const argv[])
{
	before();
	return LIBC(execvp)(file, argv);
}

FSOCK_EXPORT int execvpe(const char *file, char *const argv[], char *const envp[])
{
	before();
	return LIBC(execvpe)(file, argv, envp);
}

FSOCK_EXPORT int fexecve(int fd, char *const argv[], char *const envp[])
{
	before();
	return LIBC(fexecve)(fd, argv, envp);
}

FSOCK_EXPORT int execveat(int dir, const char *path, char *const argv[], char *const envp[], int flags)
{
	before();
	return LIBC(execveat)(dir, path, argv, envp, flags);
}

/* The arguments of execl() and its like, which end with NULL, from @first on. */
static size_t count(va_list args)
{
	va_list copy;
	size_t n = 1;

	va_copy(copy, args);
	while (va_arg(copy, char *))
		n++;
	va_end(copy);
	return n;
}

static void collect(char **argv, size_t n, const char *first, va_list args)
{
	argv[0] = (char *)first;
	for (size_t i = 1; i <= n; i++)
		argv[i] = va_arg(args, char *);
}

FSOCK_EXPORT int execl(const char *path, const char *arg, ...)
{
	va_list args;
	char **argv;
	size_t n;

	va_start(args, arg);
	n = count(args);
	argv = __builtin_alloca((n + 1) * sizeof(*argv));
	collect(argv, n, arg, args);
	va_end(args);
	return execv(path, argv);
}

FSOCK_EXPORT int execlp(const char *file, const char *arg, ...)
{
	va_list args;
	char **argv;
	size_t n;

	va_start(args, arg);
	n = count(args);
	argv = __builtin_alloca((n + 1) * sizeof(*argv));
	collect(argv, n, arg, args);
	va_end(args);
	return execvp(file, argv);
}

FSOCK_EXPORT int execle(const char *path, const char *arg, ...)
{
	va_list args;
	char **argv, **envp;
	size_t n;

	va_start(args, arg);
	n = count(args);
	argv = __builtin_alloca((n + 1) * sizeof(*argv));
	collect(argv, n, arg, args);
	envp = va_arg(args, char **);
	va_end(args);
	return execve(path, argv, envp);
}
