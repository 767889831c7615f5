/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * config.h - the options of one process, read once, from options.def's table.
 *
 * Order of precedence, strongest first:
 *   1 command line   `fsock run --name=value`, which arrives as 2 with the name in FSOCK_FROM_RUN
 *   2 environment    FSOCK_<NAME>
 *   3 user file      FSOCK_CONFIG, else $XDG_CONFIG_HOME/fsock/fsock.conf, else
 *                    $HOME/.config/fsock/fsock.conf
 *   4 system file    <sysconfdir>/fsock/fsock.conf
 *   5 the table's default
 *
 * A file holds `name = value` lines; '#' at the start of a line or after a blank begins a comment;
 * '-' and '_' are the same in names, capitals too.
 *
 * Does:     parse, check ranges, remember where each value came from.
 * Does not: allocate, use stdio, act on any value, watch files for changes.
 * Threads:  any, as long as each works on its own struct; a loaded struct is only read.
 * Errors:   nothing stops the program. What is wrong (unknown name, value out of range, unreadable
 *           file) is reported as one line of text each, and the former value stays.
 */
#ifndef FSOCK_CONTEXT_CONFIG_H
#define FSOCK_CONTEXT_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	CONFIG_MESSAGE_LEN = 320, /* longest message with its NUL */
	CONFIG_PATH_LEN = 512,	  /* longest file name with its NUL; longer ones are reported */
	CONFIG_FILE_MAX = 65536,  /* longest file that is read; longer ones are reported */
	CONFIG_VALUE_LEN = 272,	  /* longest value as text with its NUL */
};

/* Where a value came from; a higher number overrides a lower one. */
enum config_source {
	CONFIG_FROM_DEFAULT,
	CONFIG_FROM_SYSTEM_FILE,
	CONFIG_FROM_USER_FILE,
	CONFIG_FROM_ENVIRONMENT,
	CONFIG_FROM_COMMAND_LINE,
	CONFIG_N_SOURCES,
};

enum config_type { CONFIG_BOOL, CONFIG_U32, CONFIG_SIZE, CONFIG_ENUM, CONFIG_STR };

/* CONFIG_<name>: index of an option in the table. */
enum config_id {
#define OPT_BOOL(name, def, help) CONFIG_##name,
#define OPT_U32(name, def, min, max, unit, help) CONFIG_##name,
#define OPT_SIZE(name, def, min, max, help) CONFIG_##name,
#define OPT_ENUM(name, def, choices, help) CONFIG_##name,
#define OPT_STR(name, def, max_len, help) CONFIG_##name,
#include "context/options.def"
#undef OPT_BOOL
#undef OPT_U32
#undef OPT_SIZE
#undef OPT_ENUM
#undef OPT_STR
	CONFIG_N_OPTIONS,
};

/* Values of the OPT_ENUM options: their position in the list; a unit test compares the names. */
enum config_profile { CONFIG_PROFILE_DEFAULT, CONFIG_PROFILE_LATENCY };
enum config_log { CONFIG_LOG_ERROR, CONFIG_LOG_WARN, CONFIG_LOG_INFO, CONFIG_LOG_DEBUG };
enum config_handover_signal {
	CONFIG_HANDOVER_NONE,
	CONFIG_HANDOVER_USR1,
	CONFIG_HANDOVER_USR2,
	CONFIG_HANDOVER_URG,
	CONFIG_HANDOVER_WINCH
};
enum config_policy { CONFIG_POLICY_HONOUR, CONFIG_POLICY_IGNORE };
enum config_xdp_mode { CONFIG_XDP_AUTO, CONFIG_XDP_GENERIC, CONFIG_XDP_NATIVE };

/* One field per option, named as in the table, with the unit given there. */
struct config {
#define OPT_BOOL(name, def, help) bool name;
#define OPT_U32(name, def, min, max, unit, help) uint32_t name;
#define OPT_SIZE(name, def, min, max, help) uint64_t name;
#define OPT_ENUM(name, def, choices, help) uint32_t name;
#define OPT_STR(name, def, max_len, help) char name[(max_len) + 1];
#include "context/options.def"
#undef OPT_BOOL
#undef OPT_U32
#undef OPT_SIZE
#undef OPT_ENUM
#undef OPT_STR
	uint8_t source[CONFIG_N_OPTIONS]; /* enum config_source, by enum config_id */
};

/* One line of the table. */
struct config_option {
	const char *name;
	enum config_type type;
	const char *unit;    /* "" = none */
	const char *choices; /* CONFIG_ENUM: "a|b|c"; else "" */
	const char *help;
	const char *def_text;	/* CONFIG_STR: the default; else "" */
	uint64_t def, min, max; /* CONFIG_STR: max is the longest value in bytes */
	uint32_t offset;	/* of the field in struct config */
};

/* Takes one finished message without newline; @text is valid during the call only. */
typedef void config_report_fn(void *context, const char *text);

/* Who is told about errors. */
struct config_reporter {
	config_report_fn *report; /* NULL = nobody */
	void *context;		  /* handed to report */
};

/* What config_load() works from. Everything is borrowed for the call. */
struct config_load_args {
	char *const *environment; /* as environ; NULL = empty */
	const char *system_file;  /* path; NULL = none */
	bool secure;		  /* AT_SECURE process: environment and user file are not trusted */
	struct config_reporter reporter;
};

/* Every option at its default. */
void config_init(struct config *config);

/* All sources in their order over the defaults, and what they imply (local_scope). Returns the number of messages given. */
unsigned config_load(struct config *config, const struct config_load_args *args);

/*
 * Apply the text of one file; @file is only used in messages ("file:line: ..."). Pure: any bytes
 * may stand in @text. Returns the number of messages given.
 */
unsigned config_parse(struct config *config, const char *text, size_t len, const char *file,
		      enum config_source source, const struct config_reporter *reporter);

/*
 * Set one option from text. 0; -EINVAL with @why (CONFIG_MESSAGE_LEN bytes) set to one sentence;
 * the former value then stays. @value needs no NUL; blanks around it must be gone.
 */
int config_set(struct config *config, unsigned id, const char *value, size_t len,
	       enum config_source source, char *why);

/* Index of the option called @name (any case, '-' for '_'), or -1. @name needs no NUL. */
int config_find(const char *name, size_t len);

/* The table; NULL when @id is out of range. */
const struct config_option *config_option_at(unsigned id);

/* The value as text that config_set() takes back. Returns @to, CONFIG_VALUE_LEN bytes. */
char *config_value_text(const struct config *config, unsigned id, char *to);

/* "default", "system file", ... */
const char *config_source_name(enum config_source source);

/*
 * Path of the user's file as config_load() would look for it. 0; -ENOENT when the environment
 * names none; -ENAMETOOLONG. *named is true when FSOCK_CONFIG gave it, so that its absence is an
 * error.
 */
int config_user_file(char *const *environment, char *path, size_t len, bool *named);

/* Is @word an element of the comma separated @list? Blanks around elements do not count. */
bool config_list_has(const char *list, const char *word);

/* Does the option bypass's @list name @port of @protocol (IPPROTO_UDP, IPPROTO_TCP)? */
bool config_bypass_has(const char *list, int protocol, uint16_t port);

/* Does the option local_users' @list name the user @uid? */
bool config_users_have(const char *list, uint32_t uid);

/* The directory that the option local_scope's @value names, NULL = none. */
const char *config_scope_directory(const char *value);

#endif
