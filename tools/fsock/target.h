/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * target.h - can a program file be helped by a preloaded library? (posix-surface P10)
 *
 * Does:     follow PATH and "#!" lines as the kernel and execvp() do, read ELF headers, look at
 *           set-id bits and file capabilities.
 * Does not: start anything; promise: what the program execs later is another target.
 */
#ifndef FSOCK_TOOLS_TARGET_H
#define FSOCK_TOOLS_TARGET_H

#include <limits.h>
#include <stdbool.h>

enum target_verdict {
	TARGET_HELPED,
	TARGET_GO,     /* the library is loaded, and none of its runtime's calls comes by */
	TARGET_STATIC, /* no dynamic linker, so nobody loads the library */
	TARGET_SECURE, /* set-id or capabilities: the dynamic linker drops LD_PRELOAD */
	TARGET_OTHER_MACHINE,
	TARGET_OTHER_LIBC, /* another dynamic linker than ours: musl, a private glibc */
	TARGET_UNREADABLE, /* missing, not executable, or of no known form: exec will tell */
};

struct target {
	enum target_verdict verdict;
	bool preload;		   /* setting LD_PRELOAD does no harm, and may help children */
	char file[PATH_MAX];	   /* the file that decided: the program or its interpreter */
	char text[PATH_MAX + 160]; /* one sentence on the verdict, "" when helped */
	const char *remedy;	   /* what to do about it, "" = nothing */
};

/* Examine @program as execvp() would find it. */
void target_examine(struct target *target, const char *program);

/* Examine the program that runs as @pid. Its own set-id state is not looked at. */
void target_examine_process(struct target *target, int pid);

#endif
