/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * process.h - what can be seen of one process from outside: its stacks, or why there are none.
 *
 * Does:     read /proc and the statistics segments. Costs the process nothing.
 * Does not: print, signal, trace.
 */
#ifndef FSOCK_TOOLS_PROCESS_H
#define FSOCK_TOOLS_PROCESS_H

#include <limits.h>
#include <stdbool.h>

#include <cjson/cJSON.h>

#include "stats/reader.h"

struct process_view {
	int pid;
	char comm[32]; /* "" = unknown */
	bool loaded;   /* the library is mapped in it */
	unsigned n_stacks;
	struct stats_snapshot *stacks; /* owned */
	char note[PATH_MAX + 200];     /* when there is no stack: a sentence on why; else "" */
	char remedy[160];	       /* what to do about it, "" = nothing */
};

/* Look. 0; -ESRCH no such process; -EACCES it belongs to somebody else; -ENOMEM. */
int process_look(struct process_view *view, int pid);

void process_free(struct process_view *view);

/* {"pid", "comm", "loaded", "note", "remedy"} */
cJSON *process_json(const struct process_view *view);

/* A sentence on process_look()'s failure. */
const char *process_error(int error);

#endif
