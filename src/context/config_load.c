/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * config_load.c - options from files and from the environment.
 *
 * Runs inside a foreign program, maybe before its own libraries are ready: files by raw system calls,
 * one temporary anonymous mapping for a file's text so that a thread with a small stack survives.
 * config_parse() is pure and is what the fuzzer drives.
 *
 * Does not: expand variables, include other files, know quotes: a value is the rest of the line.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/err.h"
#include "context/config.h"
#include "context/text.h"
#include "sys/sys.h"

static const char env_prefix[] = "FSOCK_";

/* Variables that begin as options do and are none. */
static const char *const env_reserved[] = { "FSOCK_CONFIG", "FSOCK_FROM_RUN", "FSOCK_REPORT_FD",
					    "FSOCK_BUILD" };
static const char env_reserved_tests[] = "FSOCK_TEST_";

static unsigned tell(const struct text_message *m, const struct config_reporter *reporter)
{
	if (reporter->report)
		reporter->report(reporter->context, m->text);
	return 1;
}

/* --- files --- */

static void message_begin_line(struct text_message *m, const char *file, unsigned line)
{
	enum { SHOWN = 96 };
	size_t len = strlen(file);

	text_add_bytes(m, len > SHOWN ? file + len - SHOWN : file, FS_MIN(len, (size_t)SHOWN));
	text_add(m, ":");
	text_add_number(m, line);
	text_add(m, ": ");
}

/* Length of @text without a comment: '#' counts at the start and after a blank. */
static size_t cut_comment(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '#' && (i == 0 || text_is_blank(text[i - 1])))
			return i;
	}
	return len;
}

/* One line without its newline. Returns false with @m completed by what is wrong. */
static bool parse_line(struct config *config, const char *text, size_t len,
		       enum config_source source, struct text_message *m)
{
	char why[CONFIG_MESSAGE_LEN];
	const char *equals, *value;
	size_t name_len, value_len;
	int id;

	len = cut_comment(text, len);
	text_trim(&text, &len);
	if (len == 0)
		return true;
	equals = memchr(text, '=', len);
	if (!equals) {
		text_add(m, "expected 'option = value', found ");
		text_add_quoted(m, text, len);
		return false;
	}
	value = equals + 1;
	value_len = len - (size_t)(value - text);
	name_len = (size_t)(equals - text);
	text_trim(&text, &name_len);
	text_trim(&value, &value_len);
	id = config_find(text, name_len);
	if (id < 0) {
		text_add(m, "unknown option ");
		text_add_quoted(m, text, name_len);
		return false;
	}
	if (config_set(config, (unsigned)id, value, value_len, source, why) < 0) {
		text_add(m, why);
		return false;
	}
	return true;
}

unsigned config_parse(struct config *config, const char *text, size_t len, const char *file,
		      enum config_source source, const struct config_reporter *reporter)
{
	unsigned line = 0, errors = 0;

	while (len) {
		const char *newline = memchr(text, '\n', len);
		size_t line_len = newline ? (size_t)(newline - text) : len;
		struct text_message m = { .len = 0 };

		message_begin_line(&m, file, ++line);
		if (!parse_line(config, text, line_len, source, &m))
			errors += tell(&m, reporter);
		len -= newline ? line_len + 1 : line_len;
		text = newline ? newline + 1 : text + line_len;
	}
	return errors;
}

/* Fills @to up to @len from @fd; the length, or -errno. */
static ssize_t read_whole(int fd, char *to, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = sys_read(fd, to + done, len - done);

		if (n == -EINTR)
			continue;
		if (n < 0)
			return n;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

static unsigned report_file(const char *file, const char *what, int error,
			    const struct config_reporter *reporter)
{
	struct text_message m = { .len = 0 };

	text_add_quoted(&m, file, strlen(file));
	text_add(&m, what);
	if (error) {
		text_add(&m, " (errno ");
		text_add_number(&m, (uint64_t)error);
		text_add(&m, ")");
	}
	return tell(&m, reporter);
}

/*
 * May @file be missing without a word? Unless it was named. A program that changed its user often
 * keeps the HOME of the one before, whose files are not its own.
 */
static bool may_be_absent(int error, bool named, enum config_source source)
{
	if (named)
		return false;
	return error == -ENOENT || error == -ENOTDIR ||
	       (error == -EACCES && source == CONFIG_FROM_USER_FILE);
}

/* Read and apply @file; @named: somebody asked for just this one. */
static unsigned load_file(struct config *config, const char *file, bool named,
			  enum config_source source, const struct config_reporter *reporter)
{
	unsigned errors = 0;
	char *text;
	ssize_t len;
	/* O_NONBLOCK: a FIFO in the file's place must not stop the program. */
	int fd = sys_openat(AT_FDCWD, file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);

	if (fd < 0 && may_be_absent(fd, named, source))
		return 0;
	if (fd < 0)
		return report_file(file, " cannot be opened", -fd, reporter);
	text = sys_mmap(NULL, CONFIG_FILE_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			-1, 0);
	if (sys_is_err(text)) {
		sys_close(fd);
		return report_file(file, " was not read: no memory", 0, reporter);
	}
	len = read_whole(fd, text, CONFIG_FILE_MAX);
	sys_close(fd);
	if (len < 0)
		errors = report_file(file, " cannot be read", (int)-len, reporter);
	else if (len == CONFIG_FILE_MAX)
		errors = report_file(file, " was not read: longer than 64 KiB", 0, reporter);
	else
		errors = config_parse(config, text, (size_t)len, file, source, reporter);
	sys_munmap(text, CONFIG_FILE_MAX);
	return errors;
}

/* --- environment --- */

/*
 * Value of variable @name, NULL when unset. getenv() may be the program's own, and takes no
 * vector.
 */
static const char *environment_get(char *const *environment, const char *name)
{
	size_t len = strlen(name);

	for (; environment && *environment; environment++) {
		if (strncmp(*environment, name, len) == 0 && (*environment)[len] == '=')
			return *environment + len + 1;
	}
	return NULL;
}

int config_user_file(char *const *environment, char *path, size_t len, bool *named)
{
	static const char *const from[][2] = { { "FSOCK_CONFIG", "" },
					       { "XDG_CONFIG_HOME", "/fsock/fsock.conf" },
					       { "HOME", "/.config/fsock/fsock.conf" } };

	for (size_t i = 0; i < FS_ARRAY_SIZE(from); i++) {
		const char *dir = environment_get(environment, from[i][0]);
		size_t dir_len = dir ? strlen(dir) : 0, tail_len = strlen(from[i][1]);

		if (dir_len == 0)
			continue;
		if (dir_len + tail_len >= len)
			return -ENAMETOOLONG;
		memcpy(path, dir, dir_len);
		memcpy(path + dir_len, from[i][1], tail_len + 1);
		*named = i == 0;
		return 0;
	}
	return -ENOENT;
}

static bool is_reserved(const char *name, size_t len)
{
	for (size_t i = 0; i < FS_ARRAY_SIZE(env_reserved); i++) {
		if (strlen(env_reserved[i]) == len && memcmp(env_reserved[i], name, len) == 0)
			return true;
	}
	return len >= strlen(env_reserved_tests) &&
	       memcmp(name, env_reserved_tests, strlen(env_reserved_tests)) == 0;
}

/* One FSOCK_ variable, given as NAME=value. */
static unsigned load_variable(struct config *config, const char *variable, const char *from_run,
			      const struct config_reporter *reporter)
{
	const char *equals = strchr(variable, '=');
	const size_t skip = strlen(env_prefix);
	enum config_source source = CONFIG_FROM_ENVIRONMENT;
	char why[CONFIG_MESSAGE_LEN];
	struct text_message m = { .len = 0 };
	const char *value;
	size_t value_len;
	int id;

	if (!equals || is_reserved(variable, (size_t)(equals - variable)))
		return 0;
	id = config_find(variable + skip, (size_t)(equals - variable) - skip);
	text_add(&m, "environment: ");
	if (id < 0) {
		text_add(&m, "no option belongs to ");
		text_add_quoted(&m, variable, (size_t)(equals - variable));
		return tell(&m, reporter);
	}
	if (from_run && config_list_has(from_run, config_option_at((unsigned)id)->name))
		source = CONFIG_FROM_COMMAND_LINE;
	value = equals + 1;
	value_len = strlen(value);
	text_trim(&value, &value_len);
	if (config_set(config, (unsigned)id, value, value_len, source, why) < 0) {
		text_add(&m, why);
		return tell(&m, reporter);
	}
	return 0;
}

static unsigned load_environment(struct config *config, char *const *environment,
				 const struct config_reporter *reporter)
{
	const char *from_run = environment_get(environment, "FSOCK_FROM_RUN");
	unsigned errors = 0;

	for (; environment && *environment; environment++) {
		if (strncmp(*environment, env_prefix, strlen(env_prefix)) == 0)
			errors += load_variable(config, *environment, from_run, reporter);
	}
	return errors;
}

static unsigned load_all(struct config *config, const struct config_load_args *args)
{
	char path[CONFIG_PATH_LEN];
	unsigned errors = 0;
	bool named = false;
	int found;

	config_init(config);
	if (args->system_file)
		errors += load_file(config, args->system_file, false, CONFIG_FROM_SYSTEM_FILE,
				    &args->reporter);
	if (args->secure)
		return errors;
	found = config_user_file(args->environment, path, sizeof(path), &named);
	if (found == 0)
		errors += load_file(config, path, named, CONFIG_FROM_USER_FILE, &args->reporter);
	else if (found == -ENAMETOOLONG)
		errors += report_file("fsock.conf", " was not read: its path is too long", 0,
				      &args->reporter);
	return errors + load_environment(config, args->environment, &args->reporter);
}

unsigned config_load(struct config *config, const struct config_load_args *args)
{
	unsigned errors = load_all(config, args);

	/* Who names a directory to meet in wants to meet. */
	if (config_scope_directory(config->local_scope) && config->source[CONFIG_local] < config->source[CONFIG_local_scope])
		config->local = true;
	return errors;
}
