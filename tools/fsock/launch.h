/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * launch.h - starting a program with fsock in front of it: what `run` and `why --` share.
 *
 * Does:     parse --<option>=value against options.def, find the library, set our own environment.
 * Does not: fork.
 */
#ifndef FSOCK_TOOLS_LAUNCH_H
#define FSOCK_TOOLS_LAUNCH_H

#include <stdbool.h>
#include <stddef.h>

struct command;

/*
 * The library that belongs to this command: beside it in the build folder, in the library folder
 * of the prefix it was installed to, wherever that prefix stands now. False: not there; @path is
 * where it was sought.
 */
bool launch_find_library(char *path, size_t len);

/*
 * Take one command line word "--name=value" into our environment as FSOCK_<NAME>. 0, or an exit
 * status after a complaint. Names beyond options.def are the caller's business, before this call.
 */
int launch_take_option(const struct command *command, const char *word);

/*
 * Set LD_PRELOAD for @program and say in one line on standard error when fsock cannot help it.
 * 0, or an exit status after a complaint.
 */
int launch_prepare(const struct command *command, const char *program);

/* execvp() and, when that fails, the complaint. Returns 126 or 127 as env(1) does. */
int launch_exec(const struct command *command, char *const *argv);

#endif
