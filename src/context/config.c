/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * config.c - reading the options: files, environment, value by value.
 *
 * Runs inside a foreign program, maybe before its own libraries are ready: no malloc, no stdio,
 * files by raw system calls, one temporary anonymous mapping for a file's text so that a thread
 * with a small stack survives. config_parse() and config_set() are pure and are what the fuzzer
 * drives.
 *
 * Does not: expand variables, include other files, know quotes: a value is the rest of the line.
 */
#include "context/config.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>

#include "base/err.h"
#include "sys/sys.h"

static const char env_prefix[] = "FSOCK_";

/* Variables that begin as options do and are none. */
static const char *const env_reserved[] = { "FSOCK_CONFIG", "FSOCK_FROM_RUN", "FSOCK_REPORT_FD",
					    "FSOCK_BUILD" };
static const char env_reserved_tests[] = "FSOCK_TEST_";

#define FIELD(name) (uint32_t) offsetof(struct config, name)
static const struct config_option options[] = {
#define OPT_BOOL(name, def, help) { #name, CONFIG_BOOL, "", "", help, "", def, 0, 1, FIELD(name) },
#define OPT_U32(name, def, min, max, unit, help)                                                   \
	{ #name, CONFIG_U32, unit, "", help, "", def, min, max, FIELD(name) },
#define OPT_SIZE(name, def, min, max, help)                                                        \
	{ #name, CONFIG_SIZE, "bytes", "", help, "", def, min, max, FIELD(name) },
#define OPT_ENUM(name, def, choices, help)                                                         \
	{ #name, CONFIG_ENUM, "", choices, help, "", def, 0, 0, FIELD(name) },
#define OPT_STR(name, def, max_len, help)                                                          \
	{ #name, CONFIG_STR, "", "", help, def, 0, 0, max_len, FIELD(name) },
#include "context/options.def"
#undef OPT_BOOL
#undef OPT_U32
#undef OPT_SIZE
#undef OPT_ENUM
#undef OPT_STR
};
static_assert(FS_ARRAY_SIZE(options) == CONFIG_N_OPTIONS, "enum and table come from one file");

#define OPT_BOOL(name, def, help)
#define OPT_U32(name, def, min, max, unit, help)
#define OPT_SIZE(name, def, min, max, help)
#define OPT_ENUM(name, def, choices, help)
#define OPT_STR(name, def, max_len, help)                                                          \
	static_assert((max_len) < CONFIG_VALUE_LEN && sizeof(def) <= (max_len) + 1, #name);
#include "context/options.def"
#undef OPT_BOOL
#undef OPT_U32
#undef OPT_SIZE
#undef OPT_ENUM
#undef OPT_STR

/* --- text --- */

/* A message under construction; what does not fit is cut. */
struct message {
	char text[CONFIG_MESSAGE_LEN];
	size_t len;
};

/* Foreign bytes: control characters would let a file or variable forge lines in a log. */
static void message_add_bytes(struct message *m, const char *bytes, size_t len)
{
	for (size_t i = 0; i < len && m->len < sizeof(m->text) - 1; i++) {
		unsigned char c = (unsigned char)bytes[i];

		m->text[m->len++] = c < 0x20 || c == 0x7f ? '?' : (char)c;
	}
	m->text[m->len] = '\0';
}

static void message_add(struct message *m, const char *text)
{
	message_add_bytes(m, text, strlen(text));
}

/* A name or value as the user wrote it, shortened so that the rest of the sentence fits. */
static void message_add_quoted(struct message *m, const char *bytes, size_t len)
{
	enum { SHOWN = 48 };

	message_add(m, "'");
	message_add_bytes(m, bytes, FS_MIN(len, (size_t)SHOWN));
	message_add(m, len > SHOWN ? "...'" : "'");
}

static void message_add_number(struct message *m, uint64_t value)
{
	char digits[20];
	size_t n = sizeof(digits);

	do {
		digits[--n] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	message_add_bytes(m, digits + n, sizeof(digits) - n);
}

static unsigned message_send(const struct message *m, const struct config_reporter *reporter)
{
	if (reporter->report)
		reporter->report(reporter->context, m->text);
	return 1;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static char fold(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (char)(c - 'A' + 'a');
	return c == '-' ? '_' : c;
}

/* Equal up to case and '-' for '_'. @word is NUL terminated, @text is not. */
static bool same_word(const char *text, size_t len, const char *word)
{
	if (strlen(word) != len)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (fold(text[i]) != fold(word[i]))
			return false;
	}
	return true;
}

/* Take blanks off both ends. */
static void trim(const char **text, size_t *len)
{
	while (*len && is_blank(**text)) {
		(*text)++;
		(*len)--;
	}
	while (*len && is_blank((*text)[*len - 1]))
		(*len)--;
}

/* Next element of a list separated by @separator, trimmed; false at the end. */
static bool next_element(const char **list, size_t *left, char separator, const char **element,
			 size_t *len)
{
	const char *end;

	if (!*list)
		return false;
	end = memchr(*list, separator, *left);
	*element = *list;
	*len = end ? (size_t)(end - *list) : *left;
	*left -= end ? *len + 1 : *len;
	*list = end ? end + 1 : NULL;
	trim(element, len);
	return true;
}

/*
 * Leading digits into *value; returns how many, 0 when there are none or the number is too large.
 */
static size_t parse_digits(const char *text, size_t len, uint64_t *value)
{
	uint64_t v = 0;
	size_t n;

	for (n = 0; n < len && text[n] >= '0' && text[n] <= '9'; n++) {
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(text[n] - '0'), &v))
			return 0;
	}
	*value = v;
	return n;
}

/* --- values --- */

static bool parse_bool(const char *value, size_t len, bool *to)
{
	static const char *const words[][2] = {
		{ "0", "1" }, { "off", "on" }, { "no", "yes" }, { "false", "true" }
	};

	for (size_t i = 0; i < FS_ARRAY_SIZE(words); i++) {
		for (int which = 0; which < 2; which++) {
			if (same_word(value, len, words[i][which])) {
				*to = which;
				return true;
			}
		}
	}
	return false;
}

static bool parse_choice(const char *choices, const char *value, size_t len, uint32_t *to)
{
	size_t left = strlen(choices), choice_len;
	const char *choice;
	uint32_t n = 0;

	for (; next_element(&choices, &left, '|', &choice, &choice_len); n++) {
		if (choice_len == len && memcmp(choice, value, len) == 0) {
			*to = n;
			return true;
		}
	}
	return false;
}

/* A number with its unit or nothing behind it, e.g. "50", "50us", "50 us". */
static bool parse_u32(const struct config_option *option, const char *value, size_t len,
		      uint32_t *to)
{
	uint64_t v;
	size_t n = parse_digits(value, len, &v);
	const char *unit = value + n;
	size_t unit_len = len - n;

	if (n == 0 || v < option->min || v > option->max)
		return false;
	trim(&unit, &unit_len);
	if (unit_len && !same_word(unit, unit_len, option->unit))
		return false;
	*to = (uint32_t)v;
	return true;
}

static unsigned unit_shift(char unit)
{
	switch (fold(unit)) {
	case 'k':
		return 10;
	case 'm':
		return 20;
	case 'g':
		return 30;
	default:
		return 0;
	}
}

/* Bytes; K, M and G are powers of 1024. */
static bool parse_size(const struct config_option *option, const char *value, size_t len,
		       uint64_t *to)
{
	uint64_t v;
	size_t n = parse_digits(value, len, &v);
	const char *unit = value + n;
	size_t unit_len = len - n;
	unsigned shift = 0;

	if (n == 0)
		return false;
	trim(&unit, &unit_len);
	if (unit_len == 1)
		shift = unit_shift(*unit);
	if (unit_len && !shift)
		return false;
	if (v > UINT64_MAX >> shift || v << shift < option->min || v << shift > option->max)
		return false;
	*to = v << shift;
	return true;
}

/* One element of bypass: protocol:port[-port]. */
static bool parse_bypass(const char *text, size_t len, int *protocol, uint64_t *from, uint64_t *to)
{
	const char *colon = memchr(text, ':', len);
	size_t n;

	if (!colon)
		return false;
	if (same_word(text, (size_t)(colon - text), "udp"))
		*protocol = IPPROTO_UDP;
	else if (same_word(text, (size_t)(colon - text), "tcp"))
		*protocol = IPPROTO_TCP;
	else
		return false;
	len -= (size_t)(colon + 1 - text);
	text = colon + 1;
	n = parse_digits(text, len, from);
	if (n == 0)
		return false;
	*to = *from;
	if (n < len) {
		if (text[n] != '-' || parse_digits(text + n + 1, len - n - 1, to) != len - n - 1 ||
		    n + 1 == len)
			return false;
	}
	return *from <= *to && *to <= UINT16_MAX;
}

static bool is_bypass_none(const char *list, size_t len)
{
	return len == 0 || same_word(list, len, "none");
}

static bool bypass_valid(const char *list, size_t len)
{
	const char *element;
	size_t element_len;
	uint64_t from, to;
	int protocol;

	if (is_bypass_none(list, len))
		return true;
	while (next_element(&list, &len, ',', &element, &element_len)) {
		if (!parse_bypass(element, element_len, &protocol, &from, &to))
			return false;
	}
	return true;
}

static bool is_printable(const char *value, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)value[i] < 0x20 || value[i] == 0x7f)
			return false;
	}
	return true;
}

static bool parse_string(unsigned id, const char *value, size_t len, char *to)
{
	if (len > options[id].max || !is_printable(value, len))
		return false;
	if (id == CONFIG_bypass && !bypass_valid(value, len))
		return false;
	memcpy(to, value, len);
	to[len] = '\0';
	return true;
}

/* What the option would have taken. */
static void explain(const struct config_option *option, unsigned id, const char *value, size_t len,
		    char *why)
{
	struct message m = { .len = 0 };

	message_add(&m, option->name);
	message_add(&m, ": ");
	message_add_quoted(&m, value, len);
	switch (option->type) {
	case CONFIG_BOOL:
		message_add(&m, " is neither 0 nor 1");
		break;
	case CONFIG_ENUM:
		message_add(&m, " is none of ");
		message_add(&m, option->choices);
		break;
	case CONFIG_U32:
	case CONFIG_SIZE:
		message_add(&m, " is not a number from ");
		message_add_number(&m, option->min);
		message_add(&m, " to ");
		message_add_number(&m, option->max);
		if (option->unit[0]) {
			message_add(&m, " ");
			message_add(&m, option->unit);
		}
		if (option->type == CONFIG_SIZE)
			message_add(&m, " (K, M, G allowed)");
		break;
	case CONFIG_STR:
		if (!is_printable(value, len)) {
			message_add(&m, " holds a control character");
			break;
		}
		if (len <= option->max && id == CONFIG_bypass) {
			message_add(&m, " is not a list of protocol:port[-port]");
			break;
		}
		message_add(&m, " is longer than ");
		message_add_number(&m, option->max);
		message_add(&m, " bytes");
		break;
	}
	memcpy(why, m.text, m.len + 1);
}

int config_set(struct config *config, unsigned id, const char *value, size_t len,
	       enum config_source source, char *why)
{
	const struct config_option *option = config_option_at(id);
	char *field;
	bool ok = false;

	fs_assert(option);
	field = (char *)config + option->offset;
	switch (option->type) {
	case CONFIG_BOOL:
		ok = parse_bool(value, len, (bool *)(void *)field);
		break;
	case CONFIG_U32:
		ok = parse_u32(option, value, len, (uint32_t *)(void *)field);
		break;
	case CONFIG_SIZE:
		ok = parse_size(option, value, len, (uint64_t *)(void *)field);
		break;
	case CONFIG_ENUM:
		ok = parse_choice(option->choices, value, len, (uint32_t *)(void *)field);
		break;
	case CONFIG_STR:
		ok = parse_string(id, value, len, field);
		break;
	}
	if (!ok) {
		explain(option, id, value, len, why);
		return -EINVAL;
	}
	config->source[id] = (uint8_t)source;
	return 0;
}

void config_init(struct config *config)
{
	memset(config, 0, sizeof(*config));
#define OPT_BOOL(name, def, help) config->name = (def);
#define OPT_U32(name, def, min, max, unit, help) config->name = (def);
#define OPT_SIZE(name, def, min, max, help) config->name = (def);
#define OPT_ENUM(name, def, choices, help) config->name = (def);
#define OPT_STR(name, def, max_len, help) memcpy(config->name, def, sizeof(def));
#include "context/options.def"
#undef OPT_BOOL
#undef OPT_U32
#undef OPT_SIZE
#undef OPT_ENUM
#undef OPT_STR
}

int config_find(const char *name, size_t len)
{
	for (unsigned id = 0; id < CONFIG_N_OPTIONS; id++) {
		if (same_word(name, len, options[id].name))
			return (int)id;
	}
	return -1;
}

const struct config_option *config_option_at(unsigned id)
{
	return id < CONFIG_N_OPTIONS ? &options[id] : NULL;
}

const char *config_source_name(enum config_source source)
{
	static const char *const names[] = { "default", "system file", "user file", "environment",
					     "command line" };
	static_assert(FS_ARRAY_SIZE(names) == CONFIG_N_SOURCES, "one name per source");

	return (unsigned)source < CONFIG_N_SOURCES ? names[source] : "unknown";
}

static void choice_text(const char *choices, uint32_t n, struct message *m)
{
	size_t left = strlen(choices), len;
	const char *choice;

	for (uint32_t i = 0; next_element(&choices, &left, '|', &choice, &len); i++) {
		if (i == n) {
			message_add_bytes(m, choice, len);
			return;
		}
	}
}

char *config_value_text(const struct config *config, unsigned id, char *to)
{
	const struct config_option *option = config_option_at(id);
	const char *field;
	struct message m = { .len = 0 };
	uint32_t number;
	uint64_t size;

	fs_assert(option);
	field = (const char *)config + option->offset;
	switch (option->type) {
	case CONFIG_BOOL:
		message_add(&m, *(const bool *)(const void *)field ? "1" : "0");
		break;
	case CONFIG_U32:
		memcpy(&number, field, sizeof(number));
		message_add_number(&m, number);
		break;
	case CONFIG_SIZE:
		memcpy(&size, field, sizeof(size));
		message_add_number(&m, size);
		break;
	case CONFIG_ENUM:
		memcpy(&number, field, sizeof(number));
		choice_text(option->choices, number, &m);
		break;
	case CONFIG_STR:
		memcpy(to, field, option->max + 1);
		return to;
	}
	memcpy(to, m.text, m.len + 1);
	return to;
}

/* --- files --- */

static void message_begin_line(struct message *m, const char *file, unsigned line)
{
	enum { SHOWN = 96 };
	size_t len = strlen(file);

	message_add_bytes(m, len > SHOWN ? file + len - SHOWN : file, FS_MIN(len, (size_t)SHOWN));
	message_add(m, ":");
	message_add_number(m, line);
	message_add(m, ": ");
}

/* Length of @text without a comment: '#' counts at the start and after a blank. */
static size_t cut_comment(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '#' && (i == 0 || is_blank(text[i - 1])))
			return i;
	}
	return len;
}

/* One line without its newline. Returns false with @m completed by what is wrong. */
static bool parse_line(struct config *config, const char *text, size_t len,
		       enum config_source source, struct message *m)
{
	char why[CONFIG_MESSAGE_LEN];
	const char *equals, *value;
	size_t name_len, value_len;
	int id;

	len = cut_comment(text, len);
	trim(&text, &len);
	if (len == 0)
		return true;
	equals = memchr(text, '=', len);
	if (!equals) {
		message_add(m, "expected 'option = value', found ");
		message_add_quoted(m, text, len);
		return false;
	}
	value = equals + 1;
	value_len = len - (size_t)(value - text);
	name_len = (size_t)(equals - text);
	trim(&text, &name_len);
	trim(&value, &value_len);
	id = config_find(text, name_len);
	if (id < 0) {
		message_add(m, "unknown option ");
		message_add_quoted(m, text, name_len);
		return false;
	}
	if (config_set(config, (unsigned)id, value, value_len, source, why) < 0) {
		message_add(m, why);
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
		struct message m = { .len = 0 };

		message_begin_line(&m, file, ++line);
		if (!parse_line(config, text, line_len, source, &m))
			errors += message_send(&m, reporter);
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
	struct message m = { .len = 0 };

	message_add_quoted(&m, file, strlen(file));
	message_add(&m, what);
	if (error) {
		message_add(&m, " (errno ");
		message_add_number(&m, (uint64_t)error);
		message_add(&m, ")");
	}
	return message_send(&m, reporter);
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
	struct message m = { .len = 0 };
	const char *value;
	size_t value_len;
	int id;

	if (!equals || is_reserved(variable, (size_t)(equals - variable)))
		return 0;
	id = config_find(variable + skip, (size_t)(equals - variable) - skip);
	message_add(&m, "environment: ");
	if (id < 0) {
		message_add(&m, "no option belongs to ");
		message_add_quoted(&m, variable, (size_t)(equals - variable));
		return message_send(&m, reporter);
	}
	if (from_run && config_list_has(from_run, options[id].name))
		source = CONFIG_FROM_COMMAND_LINE;
	value = equals + 1;
	value_len = strlen(value);
	trim(&value, &value_len);
	if (config_set(config, (unsigned)id, value, value_len, source, why) < 0) {
		message_add(&m, why);
		return message_send(&m, reporter);
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

unsigned config_load(struct config *config, const struct config_load_args *args)
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

/* --- lists --- */

bool config_list_has(const char *list, const char *word)
{
	size_t left = strlen(list), len;
	const char *element;

	while (next_element(&list, &left, ',', &element, &len)) {
		if (len && len == strlen(word) && memcmp(element, word, len) == 0)
			return true;
	}
	return false;
}

bool config_bypass_has(const char *list, int protocol, uint16_t port)
{
	size_t left = strlen(list), len;
	const char *element;
	uint64_t from, to;
	int which;

	if (is_bypass_none(list, left))
		return false;
	while (next_element(&list, &left, ',', &element, &len)) {
		if (parse_bypass(element, len, &which, &from, &to) && which == protocol &&
		    port >= from && port <= to)
			return true;
	}
	return false;
}
