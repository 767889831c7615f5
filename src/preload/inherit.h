/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inherit.h - may a program that is about to be executed have the stack (docs/decisions/0035), and how it is told.
 */
#ifndef FSOCK_PRELOAD_INHERIT_H
#define FSOCK_PRELOAD_INHERIT_H

#include <stddef.h>

#include "host/program.h"

/* ALIKE: the library, this very build of it, will be in the program @path (execveat()'s @dir and @flags) with @envp. */
enum host_program_fate inherit_judge(int dir, const char *path, int flags, char *const envp[]);

/* The program that execvp() would find as @name: *found, which may be @path then. FAILS: it would find none. OTHER:
 * what it would find cannot be said. */
enum host_program_fate inherit_find(const char *name, char *path, size_t room, const char **found);

/* Go on with what this program was passed, if it was passed something. Once, in a constructor of this library, or before
 * that where another one opens a socket or executes a program. */
void inherit_take_up(void);

enum { INHERIT_WORD = 32 /* bytes of EXEC_RECORD_ENV with its value */ };

/* How many places @envp takes with one variable more, and the NULL. */
size_t inherit_places(char *const envp[]);

/* @envp in @to, and that the record is @record, in @word. */
char **inherit_environment(char **to, char *const envp[], char word[INHERIT_WORD], int record);

#endif
