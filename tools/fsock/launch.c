/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * launch.c - options into the environment, the library into LD_PRELOAD.
 */
#include "launch.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "context/config.h"
#include "target.h"

static const char library_name[] = "libfsock-preload.so";

/*
 * Add @name to the list of what came by the command line; an outer `fsock run` may have begun it.
 */
static int note_origin(const char *name)
{
	const char *former = getenv("FSOCK_FROM_RUN");
	char list[1024];

	if (former && config_list_has(former, name))
		return 0;
	if (snprintf(list, sizeof(list), "%s%s%s", former ? former : "",
		     former && *former ? "," : "", name) >= (int)sizeof(list))
		return -1;
	return setenv("FSOCK_FROM_RUN", list, 1);
}

int launch_take_option(const struct command *command, const char *word)
{
	const char *name = word + strspn(word, "-"), *equals = strchr(name, '=');
	char variable[64] = "FSOCK_", why[CONFIG_MESSAGE_LEN];
	struct config config;
	size_t at = strlen(variable);
	int id = config_find(name, equals ? (size_t)(equals - name) : strlen(name));

	if (word[0] != '-' || word[1] != '-' || id < 0) {
		command_misused(command, "no such option:", word);
		return EXIT_OURS;
	}
	if (!equals) {
		command_misused(command, "a value must follow, as in --name=value:", word);
		return EXIT_OURS;
	}
	config_init(&config);
	if (config_set(&config, (unsigned)id, equals + 1, strlen(equals + 1),
		       CONFIG_FROM_COMMAND_LINE, why) < 0) {
		command_misused(command, why, NULL);
		return EXIT_OURS;
	}
	name = config_option_at((unsigned)id)->name;
	for (const char *c = name; *c && at < sizeof(variable) - 1; c++)
		variable[at++] = (char)toupper((unsigned char)*c);
	variable[at] = '\0';
	if (setenv(variable, equals + 1, 1) < 0 || note_origin(name) < 0) {
		command_warn(command, "cannot set %s", variable);
		return EXIT_OURS;
	}
	return 0;
}

static bool ends_with(const char *text, const char *end)
{
	size_t a = strlen(text), b = strlen(end);

	return a >= b && strcmp(text + a - b, end) == 0;
}

bool launch_find_library(char *path, size_t len)
{
	static const char in_build[] = "/tools/fsock", bin[] = "/" FSOCK_BINDIR;
	char dir[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", dir, sizeof(dir) - 1);
	int full = 0;

	if (n < 0)
		return false;
	dir[n] = '\0';
	*strrchr(dir, '/') = '\0';
	if (ends_with(dir, in_build)) {
		dir[strlen(dir) - strlen(in_build)] = '\0';
		full = snprintf(path, len, "%s/src/preload/%s", dir, library_name);
	} else if (ends_with(dir, bin)) {
		dir[strlen(dir) - strlen(bin)] = '\0';
		full = snprintf(path, len, "%s/%s/%s", dir, FSOCK_LIBDIR, library_name);
	} else {
		full = snprintf(path, len, "%s/%s/%s", FSOCK_PREFIX, FSOCK_LIBDIR, library_name);
	}
	return full < (int)len && access(path, R_OK) == 0;
}

/* Put @path first in LD_PRELOAD; what the user preloads besides stays. */
static int preload(const char *path)
{
	const char *former = getenv("LD_PRELOAD");
	char *list;
	int rc;

	if (!former || !*former)
		return setenv("LD_PRELOAD", path, 1);
	if (strstr(former, path))
		return 0;
	if (asprintf(&list, "%s:%s", path, former) < 0)
		return -1;
	rc = setenv("LD_PRELOAD", list, 1);
	free(list);
	return rc;
}

int launch_prepare(const struct command *command, const char *program)
{
	char library[PATH_MAX];
	struct target target;

	target_examine(&target, program);
	if (target.verdict != TARGET_HELPED && target.verdict != TARGET_UNREADABLE)
		command_warn(command, "not accelerated: %s (%s)", target.text, target.remedy);
	if (!target.preload)
		return 0;
	if (!launch_find_library(library, sizeof(library))) {
		command_warn(command,
			     "%s was not found beside this command; install fsock or run it "
			     "from its build folder",
			     library_name);
		return EXIT_OURS;
	}
	if (strpbrk(library, ": \t")) {
		command_warn(command, "%s cannot be preloaded: blank or colon in its path",
			     library);
		return EXIT_OURS;
	}
	if (preload(library) < 0) {
		command_warn(command, "cannot set LD_PRELOAD");
		return EXIT_OURS;
	}
	return 0;
}

int launch_exec(const struct command *command, char *const *argv)
{
	int error;

	execvp(argv[0], argv);
	error = errno;
	command_warn(command, "%s: %s", argv[0], strerror(error));
	return error == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_EXECUTE;
}
