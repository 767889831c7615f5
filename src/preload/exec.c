/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exec.c - a program that is executed inherits sockets, not the library's memory. Where the library will be in that
 * program, too, it is passed the stack and goes on (docs/decisions/0035). Otherwise connections that it will have move
 * to the kernel before (DESIGN section 5).
 *
 * Sets that it will have then tell of their members by the data that the program gave, no more by ours.
 *
 * The helper ends before: exec would end it wherever it is, perhaps with the lock that others of its stack wait for.
 *
 * In a child of vfork() nothing moves: its memory is the parent's, whose connections go on.
 */
#include <stdarg.h>
#include <stdlib.h>

#include "context/exec.h"
#include "context/handover.h"
#include "context/helper.h"
#include "context/multiplex.h"
#include "context/sister.h"
#include "preload/inherit.h"
#include "preload/libc.h"

#ifndef AT_EXECVE_CHECK
#define AT_EXECVE_CHECK 0x10000
#endif

enum { PATH_ROOM = 4096 };

/* Which of libc's functions was called, with what. */
struct order {
	enum { EXECVE, EXECV, EXECVP, EXECVPE, FEXECVE, EXECVEAT } by;
	int dir; /* of fexecve() the file */
	const char *path;
	char *const *argv, *const *envp;
	int flags;
};

static int execute(const struct order *o)
{
	switch (o->by) {
	case EXECV: return LIBC(execv)(o->path, o->argv);
	case EXECVP: return LIBC(execvp)(o->path, o->argv);
	case EXECVPE: return LIBC(execvpe)(o->path, o->argv, o->envp);
	case FEXECVE: return LIBC(fexecve)(o->dir, o->argv, o->envp);
	case EXECVEAT: return LIBC(execveat)(o->dir, o->path, o->argv, o->envp, o->flags);
	default: return LIBC(execve)(o->path, o->argv, o->envp);
	}
}

static void before(struct context *home)
{
	struct context *o;

	CONTEXT_EACH(o, home) {
		handover_before_exec(o);
		multiplex_before_exec(o);
		helper_stop(o);
	}
}

/* Exec returned @ret: the program stays what it was. */
static int failed(struct context *home, int ret)
{
	int saved = errno;
	struct context *o;

	CONTEXT_EACH(o, home) {
		exec_failed(o);
		multiplex_exec_failed(o);
		helper_want(o);
	}
	errno = saved;
	return ret;
}

/* The program that @o names will have the library: it is passed the stack. False: that cannot be; true: it was not
 * executed, for the reason in errno, and everything is as it was. */
static bool pass_on(struct context *ctx, struct order *o)
{
	char **room = __builtin_alloca(inherit_places(o->envp) * sizeof(*room));
	uint8_t build[HOST_PROGRAM_BUILD];
	int record = -1, saved = errno;
	char word[INHERIT_WORD];

	helper_stop(ctx);
	if (host_program_own_build(build))
		record = exec_pass(ctx, build);
	errno = saved;
	if (record < 0)
		return false;
	o->envp = inherit_environment(room, o->envp, word, record);
	execute(o);
	saved = errno;
	exec_take_back(ctx, record);
	helper_want(ctx);
	errno = saved;
	return true;
}

static bool is_searched(const struct order *o)
{
	return o->by == EXECVP || o->by == EXECVPE;
}

/* What comes of @o; *passing is the same by the function that takes file and environment. */
static enum host_program_fate judge(const struct order *o, struct order *passing, char *path, size_t room)
{
	enum host_program_fate fate;

	*passing = *o;
	if (o->by == FEXECVE)
		return inherit_judge(o->dir, "", AT_EMPTY_PATH, o->envp);
	if (o->by == EXECVEAT)
		return inherit_judge(o->dir, o->path, o->flags, o->envp);
	passing->by = EXECVE;
	if (is_searched(o)) {
		fate = inherit_find(o->path, path, room, &passing->path);
		if (fate != HOST_PROGRAM_ALIKE)
			return fate;
	}
	return inherit_judge(AT_FDCWD, passing->path, 0, o->envp);
}

/* What the program has goes to the kernel before. */
static int leave_and_execute(struct context *home, const struct order *o)
{
	int saved = errno;

	before(home);
	errno = saved;
	return failed(home, execute(o));
}

/* Something is at stake. Not in run(): a child of clone(), or a handler, may have a page of stack. */
__attribute__((noinline)) static int judge_and_execute(struct context *home, const struct order *o, bool goes_on)
{
	enum host_program_fate fate;
	char path[PATH_ROOM];
	struct order passing;
	int saved = errno;

	fate = judge(o, &passing, path, sizeof(path));
	errno = saved;
	if (fate == HOST_PROGRAM_FAILS)
		return execute(o);
	if (fate == HOST_PROGRAM_ALIKE && goes_on && pass_on(home, &passing) && !is_searched(o))
		return -1; /* else libc may find another file, or a shell for it */
	return leave_and_execute(home, o);
}

static int run(const struct order *o)
{
	enum exec_stake stake;
	struct context *home;
	int saved = errno;

	inherit_take_up();
	home = fsock_context;
	/* One that is only looked at is not executed. */
	if (!home || context_is_borrowed(home) || (o->flags & AT_EXECVE_CHECK))
		return execute(o);
	stake = exec_stake(home);
	errno = saved;
	return stake == EXEC_NOTHING ? leave_and_execute(home, o) : judge_and_execute(home, o, stake == EXEC_GOES_ON);
}

FSOCK_EXPORT int execve(const char *path, char *const argv[], char *const envp[])
{
	return run(&(struct order){ .by = EXECVE, .path = path, .argv = argv, .envp = envp });
}

FSOCK_EXPORT int execv(const char *path, char *const argv[])
{
	return run(&(struct order){ .by = EXECV, .path = path, .argv = argv, .envp = environ });
}

FSOCK_EXPORT int execvp(const char *file, char *const argv[])
{
	return run(&(struct order){ .by = EXECVP, .path = file, .argv = argv, .envp = environ });
}

FSOCK_EXPORT int execvpe(const char *file, char *const argv[], char *const envp[])
{
	return run(&(struct order){ .by = EXECVPE, .path = file, .argv = argv, .envp = envp });
}

FSOCK_EXPORT int fexecve(int fd, char *const argv[], char *const envp[])
{
	return run(&(struct order){ .by = FEXECVE, .dir = fd, .argv = argv, .envp = envp });
}

FSOCK_EXPORT int execveat(int dir, const char *path, char *const argv[], char *const envp[], int flags)
{
	struct order o = { .by = EXECVEAT, .dir = dir, .path = path, .argv = argv, .envp = envp, .flags = flags };

	return run(&o);
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
