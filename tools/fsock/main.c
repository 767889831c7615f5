/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * main.c - fsock(1): finds the sub-command, prints help and version.
 */
#include "command.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fsock/version.h>

#include "base/err.h"

static const struct command *const commands[] = { &command_run, &command_why, &command_stat,
						  &command_doctor, &command_providers, &command_handover };

static const struct command *find(const char *name)
{
	for (size_t i = 0; i < FS_ARRAY_SIZE(commands); i++) {
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	}
	return NULL;
}

static void print_overview(FILE *to)
{
	fprintf(to, "usage: fsock COMMAND [ARGUMENT...]\n\n");
	for (size_t i = 0; i < FS_ARRAY_SIZE(commands); i++)
		fprintf(to, "  fsock %-9s %s\n", commands[i]->name, commands[i]->summary);
	fprintf(to, "  fsock %-9s %s\n", "help", "describe a command: fsock help COMMAND");
	fprintf(to, "\nfsock --version prints the version. More: fsock(1), fsock.conf(5).\n");
}

static void print_help(const struct command *command)
{
	printf("usage: fsock %s %s\n\n%s", command->name, command->usage, command->help);
}

int command_misused(const struct command *command, const char *complaint, const char *about)
{
	if (complaint)
		fprintf(stderr, "fsock %s: %s%s%s\n", command->name, complaint, about ? " " : "",
			about ? about : "");
	fprintf(stderr, "usage: fsock %s %s\n", command->name, command->usage);
	return EXIT_USAGE;
}

int command_pid(const char *text)
{
	char *end;
	long pid = strtol(text, &end, 10);

	return *text && !*end && pid > 0 && pid <= INT_MAX ? (int)pid : 0;
}

void command_warn(const struct command *command, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "fsock %s: ", command->name);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

static int help(int argc, char **argv)
{
	const struct command *command;

	if (argc < 2) {
		print_overview(stdout);
		return EXIT_FINE;
	}
	command = find(argv[1]);
	if (!command) {
		fprintf(stderr, "fsock: no command '%s'\n", argv[1]);
		return EXIT_USAGE;
	}
	print_help(command);
	return EXIT_FINE;
}

/*
 * --help counts among the command's own arguments only, not among those of a program behind them: the
 * first word of `run`, or what follows "--".
 */
static int wants_help(const struct command *command, int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (command == &command_run && argv[i][0] != '-')
			break;
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			print_help(command);
			return 1;
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	const struct command *command;

	if (argc < 2) {
		print_overview(stderr);
		return EXIT_USAGE;
	}
	if (strcmp(argv[1], "--version") == 0) {
		printf("fsock %s\n", FSOCK_VERSION);
		return EXIT_FINE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		print_overview(stdout);
		return EXIT_FINE;
	}
	if (strcmp(argv[1], "help") == 0)
		return help(argc - 1, argv + 1);
	command = find(argv[1]);
	if (!command) {
		fprintf(stderr, "fsock: no command '%s'; try fsock --help\n", argv[1]);
		return EXIT_USAGE;
	}
	if (wants_help(command, argc - 1, argv + 1))
		return EXIT_FINE;
	return command->main(argc - 1, argv + 1);
}
