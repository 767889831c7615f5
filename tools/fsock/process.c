/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * process.c - looking at a process from outside.
 */
#include "process.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "json.h"
#include "target.h"

static void read_comm(struct process_view *view)
{
	char path[40];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/comm", view->pid);
	file = fopen(path, "re");
	if (!file)
		return;
	if (fgets(view->comm, sizeof(view->comm), file))
		view->comm[strcspn(view->comm, "\n")] = '\0';
	fclose(file);
	/* A process names itself as it likes. */
	for (char *c = view->comm; *c; c++) {
		if ((unsigned char)*c < 0x20 || (unsigned char)*c >= 0x7f)
			*c = '?';
	}
}

/* Is one of our libraries mapped? */
static bool has_library(int pid)
{
	char path[40], *line = NULL;
	size_t room = 0;
	bool found = false;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	file = fopen(path, "re");
	if (!file)
		return false;
	while (!found && getline(&line, &room, file) > 0)
		found = strstr(line, "/libfsock-preload.so") || strstr(line, "/libfsock.so");
	free(line);
	fclose(file);
	return found;
}

/* There is no stack: say why. */
static void explain_absence(struct process_view *view)
{
	struct target target;

	if (view->note[0])
		return;
	target_examine_process(&target, view->pid);
	if (view->loaded && target.verdict == TARGET_GO) {
		snprintf(view->note, sizeof(view->note), "fsock is loaded; %s", target.text);
		snprintf(view->remedy, sizeof(view->remedy), "%s", target.remedy);
		return;
	}
	if (view->loaded) {
		snprintf(view->note, sizeof(view->note),
			 "fsock is loaded; the program has opened no Internet socket so far");
		return;
	}
	if (target.verdict != TARGET_HELPED) {
		snprintf(view->note, sizeof(view->note), "runs without fsock: %s", target.text);
		snprintf(view->remedy, sizeof(view->remedy), "%s", target.remedy);
		return;
	}
	snprintf(view->note, sizeof(view->note), "runs without fsock");
	snprintf(view->remedy, sizeof(view->remedy), "start it with: fsock run -- %s",
		 view->comm[0] ? view->comm : "PROGRAM");
}

static int read_stacks(struct process_view *view)
{
	int fds[STATS_READ_MAX_STACKS];
	int n = stats_find(view->pid, fds, STATS_READ_MAX_STACKS);
	int rc = 0;

	if (n <= 0)
		return n;
	view->stacks = calloc((size_t)n, sizeof(*view->stacks));
	for (int i = 0; i < n; i++) {
		const char *why = "";

		rc = view->stacks ? stats_snapshot_read(&view->stacks[view->n_stacks], fds[i], &why)
				  : -ENOMEM;
		if (rc == 0)
			view->n_stacks++;
		else if (rc == -EPROTO)
			snprintf(view->note, sizeof(view->note),
				 "has a stack whose statistics cannot be read: %s", why);
		close(fds[i]);
	}
	if (view->n_stacks)
		view->note[0] = '\0';
	return rc == -ENOMEM ? rc : 0;
}

int process_look(struct process_view *view, int pid)
{
	int rc;

	memset(view, 0, sizeof(*view));
	view->pid = pid;
	read_comm(view);
	rc = read_stacks(view);
	if (rc < 0) {
		process_free(view);
		return rc;
	}
	view->loaded = view->n_stacks || has_library(pid);
	if (view->n_stacks == 0)
		explain_absence(view);
	return 0;
}

void process_free(struct process_view *view)
{
	for (unsigned i = 0; i < view->n_stacks; i++)
		stats_snapshot_free(&view->stacks[i]);
	free(view->stacks);
	view->stacks = NULL;
	view->n_stacks = 0;
}

cJSON *process_json(const struct process_view *view)
{
	cJSON *root = cJSON_CreateObject();

	cJSON_AddNumberToObject(root, "pid", view->pid);
	json_add_text(root, "comm", view->comm);
	cJSON_AddBoolToObject(root, "loaded", view->loaded);
	json_add_text(root, "note", view->note);
	json_add_text(root, "remedy", view->remedy);
	return root;
}

const char *process_error(int error)
{
	switch (error) {
	case -ESRCH:
		return "no such process";
	case -EACCES:
	case -EPERM:
		return "the process belongs to another user; run this as that user or as root";
	default:
		return strerror(-error);
	}
}
