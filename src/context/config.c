/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * config.c - the table of options, and one value to and from text.
 *
 * Runs inside a foreign program, maybe before its own libraries are ready: no malloc, no stdio.
 */
#include "context/config.h"

#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "context/config_internal.h"
#include "context/text.h"

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

static bool parse_bool(const char *value, size_t len, bool *to)
{
	static const char *const words[][2] = {
		{ "0", "1" }, { "off", "on" }, { "no", "yes" }, { "false", "true" }
	};

	for (size_t i = 0; i < FS_ARRAY_SIZE(words); i++) {
		for (int which = 0; which < 2; which++) {
			if (text_same_word(value, len, words[i][which])) {
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

	for (; text_next_element(&choices, &left, '|', &choice, &choice_len); n++) {
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
	size_t n = text_digits(value, len, &v);
	const char *unit = value + n;
	size_t unit_len = len - n;

	if (n == 0 || v < option->min || v > option->max)
		return false;
	text_trim(&unit, &unit_len);
	if (unit_len && !text_same_word(unit, unit_len, option->unit))
		return false;
	*to = (uint32_t)v;
	return true;
}

static unsigned unit_shift(char unit)
{
	switch (text_fold(unit)) {
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
	size_t n = text_digits(value, len, &v);
	const char *unit = value + n;
	size_t unit_len = len - n;
	unsigned shift = 0;

	if (n == 0)
		return false;
	text_trim(&unit, &unit_len);
	if (unit_len == 1)
		shift = unit_shift(*unit);
	if (unit_len && !shift)
		return false;
	if (v > UINT64_MAX >> shift || v << shift < option->min || v << shift > option->max)
		return false;
	*to = v << shift;
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

/* Options whose text has a form. */
static const struct {
	unsigned id;
	bool (*is_valid)(const char *value, size_t len);
	const char *else_it; /* what is said of a value that has not */
} forms[] = {
	{ CONFIG_bypass, config_bypass_is_valid, " is not a list of protocol:port[-port]" },
	{ CONFIG_local_scope, config_scope_is_valid, " is neither netns nor path: and an absolute path" },
	{ CONFIG_local_users, config_users_are_valid, " is neither any nor a list of numbers of users" },
};

/* What is wrong with the form of @value; NULL = nothing. */
static const char *wrong_form(unsigned id, const char *value, size_t len)
{
	for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++)
		if (forms[i].id == id && !forms[i].is_valid(value, len))
			return forms[i].else_it;
	return NULL;
}

static bool parse_string(unsigned id, const char *value, size_t len, char *to)
{
	if (len > options[id].max || !is_printable(value, len) || wrong_form(id, value, len))
		return false;
	memcpy(to, value, len);
	to[len] = '\0';
	return true;
}

/* What the option would have taken. */
static void explain(const struct config_option *option, unsigned id, const char *value, size_t len,
		    char *why)
{
	struct text_message m = { .len = 0 };

	text_add(&m, option->name);
	text_add(&m, ": ");
	text_add_quoted(&m, value, len);
	switch (option->type) {
	case CONFIG_BOOL:
		text_add(&m, " is neither 0 nor 1");
		break;
	case CONFIG_ENUM:
		text_add(&m, " is none of ");
		text_add(&m, option->choices);
		break;
	case CONFIG_U32:
	case CONFIG_SIZE:
		text_add(&m, " is not a number from ");
		text_add_number(&m, option->min);
		text_add(&m, " to ");
		text_add_number(&m, option->max);
		if (option->unit[0]) {
			text_add(&m, " ");
			text_add(&m, option->unit);
		}
		if (option->type == CONFIG_SIZE)
			text_add(&m, " (K, M, G allowed)");
		break;
	case CONFIG_STR:
		if (!is_printable(value, len)) {
			text_add(&m, " holds a control character");
			break;
		}
		if (len <= option->max) {
			text_add(&m, wrong_form(id, value, len));
			break;
		}
		text_add(&m, " is longer than ");
		text_add_number(&m, option->max);
		text_add(&m, " bytes");
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
		if (text_same_word(name, len, options[id].name))
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

static void choice_text(const char *choices, uint32_t n, struct text_message *m)
{
	size_t left = strlen(choices), len;
	const char *choice;

	for (uint32_t i = 0; text_next_element(&choices, &left, '|', &choice, &len); i++) {
		if (i == n) {
			text_add_bytes(m, choice, len);
			return;
		}
	}
}

char *config_value_text(const struct config *config, unsigned id, char *to)
{
	const struct config_option *option = config_option_at(id);
	const char *field;
	struct text_message m = { .len = 0 };
	uint32_t number;
	uint64_t size;

	fs_assert(option);
	field = (const char *)config + option->offset;
	switch (option->type) {
	case CONFIG_BOOL:
		text_add(&m, *(const bool *)(const void *)field ? "1" : "0");
		break;
	case CONFIG_U32:
		memcpy(&number, field, sizeof(number));
		text_add_number(&m, number);
		break;
	case CONFIG_SIZE:
		memcpy(&size, field, sizeof(size));
		text_add_number(&m, size);
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
