/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * command.h - the sub-commands of fsock(1), one struct and one file each.
 *
 * Adding one: its file, a declaration here, a line in main.c's table, a section in fsock(1).
 * Exit statuses shared by all but run: 0 done, 1 there was something to complain of, 2 wrong
 * usage.
 */
#ifndef FSOCK_TOOLS_COMMAND_H
#define FSOCK_TOOLS_COMMAND_H

enum {
	EXIT_FINE = 0,
	EXIT_FINDINGS = 1,
	EXIT_USAGE = 2,
	/* of run and why --, as env(1) has them */
	EXIT_OURS = 125,
	EXIT_CANNOT_EXECUTE = 126,
	EXIT_NOT_FOUND = 127,
};

struct command {
	const char *name;
	const char *usage;   /* behind the name */
	const char *summary; /* half a line */
	const char *help;    /* paragraphs, each line ended by a newline */
	/* argv[0] is the sub-command's name. Returns the exit status. */
	int (*main)(int argc, char **argv);
};

extern const struct command command_run, command_why, command_stat, command_doctor, command_providers,
	command_handover;

/* Print how @command is used on standard error; returns EXIT_USAGE. @complaint may be NULL. */
int command_misused(const struct command *command, const char *complaint, const char *about);

/* A process id from @text; 0 when it is none. */
int command_pid(const char *text);

/* Complain on standard error: "fsock NAME: text". */
void command_warn(const struct command *command, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
