/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exec.c - a program that is executed inherits sockets, not the library's memory: connections that it will have
 * move to the kernel before (DESIGN section 5).
 *
 * Sets that it will have tell of their members by the data that the program gave, no more by ours.
 *
 * The helper ends before: exec would end it wherever it is, perhaps with the lock that others of its stack wait for.
 *
 * In a child of vfork() nothing moves: its memory is the parent's, whose connections go on.
 */
#include <stdarg.h>
#include <stdlib.h>

#include "context/handover.h"
#include "context/helper.h"
#include "context/multiplex.h"
#include "context/sister.h"
#include "preload/libc.h"

static void before(void)
{
	bool ours = fsock_context && !context_is_borrowed(fsock_context);
	int saved = errno;
	struct context *o;

	CONTEXT_EACH(o, ours ? fsock_context : NULL) {
		handover_before_exec(o);
		multiplex_before_exec(o);
		helper_stop(o);
	}
	errno = saved;
}

/* Exec returned @ret: the program stays what it was. */
static int failed(int ret)
{
	bool ours = fsock_context && !context_is_borrowed(fsock_context);
	int saved = errno;
	struct context *o;

	CONTEXT_EACH(o, ours ? fsock_context : NULL) {
		multiplex_exec_failed(o);
		helper_want(o);
	}
	errno = saved;
	return ret;
}

FSOCK_EXPORT int execve(const char *path, char *const argv[], char *const envp[])
{
	before();
	return failed(LIBC(execve)(path, argv, envp));
}

FSOCK_EXPORT int execv(const char *path, char *const argv[])
{
	before();
	return failed(LIBC(execv)(path, argv));
}

FSOCK_EXPORT int execvp(const char *file, char *const argv[])
{
	before();
	return failed(LIBC(execvp)(file, argv));
}

FSOCK_EXPORT int execvpe(const char *file, char *const argv[], char *const envp[])
{
	before();
	return failed(LIBC(execvpe)(file, argv, envp));
}

FSOCK_EXPORT int fexecve(int fd, char *const argv[], char *const envp[])
{
	before();
	return failed(LIBC(fexecve)(fd, argv, envp));
}

FSOCK_EXPORT int execveat(int dir, const char *path, char *const argv[], char *const envp[], int flags)
{
	before();
	return failed(LIBC(execveat)(dir, path, argv, envp, flags));
}

/* How many arguments of execl() and its like there are from @first on, which end with NULL. */
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

/* By reference: what follows the NULL is read by the caller, and some machines pass a va_list by value. */
static char **collect(char **argv, size_t n, const char *first, va_list *args)
{
	argv[0] = (char *)first;
	for (size_t i = 1; i <= n; i++)
		argv[i] = va_arg(*args, char *);
	return argv;
}

/* As a vector in the caller's frame: exec may be called where malloc() may not. */
#define VECTOR(first, args)                                                                         \
	({                                                                                          \
		size_t n_ = count(args);                                                            \
                                                                                                    \
		collect(__builtin_alloca((n_ + 1) * sizeof(char *)), n_, first, &args);             \
	})

FSOCK_EXPORT int execl(const char *path, const char *arg, ...)
{
	va_list args;
	char **argv;

	va_start(args, arg);
	argv = VECTOR(arg, args);
	va_end(args);
	return execv(path, argv);
}

FSOCK_EXPORT int execlp(const char *file, const char *arg, ...)
{
	va_list args;
	char **argv;

	va_start(args, arg);
	argv = VECTOR(arg, args);
	va_end(args);
	return execvp(file, argv);
}

FSOCK_EXPORT int execle(const char *path, const char *arg, ...)
{
	va_list args;
	char **argv, **envp;

	va_start(args, arg);
	argv = VECTOR(arg, args);
	envp = va_arg(args, char **);
	va_end(args);
	return execve(path, argv, envp);
}
