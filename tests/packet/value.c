/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * value.c - expressions of packet scripts, by recursive descent; and names of errors.
 */
#include "value.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"

static const struct {
	const char *unit;
	int64_t ns;
} units[] = {
	{ "ns", 1 },		  { "us", 1000 },	       { "ms", 1000000 },	   { "s", 1000000000 },
	{ "min", 60000000000LL }, { "h", 3600000000000LL }, { "d", 86400000000000LL },
};

static const struct {
	const char *name;
	int error;
} errors[] = {
	{ "EAGAIN", EAGAIN },		{ "EPIPE", EPIPE },		{ "ENOTCONN", ENOTCONN },
	{ "ECONNRESET", ECONNRESET },	{ "ECONNREFUSED", ECONNREFUSED }, { "ETIMEDOUT", ETIMEDOUT },
	{ "EINVAL", EINVAL },		{ "EISCONN", EISCONN },		{ "EALREADY", EALREADY },
	{ "EADDRINUSE", EADDRINUSE },	{ "EADDRNOTAVAIL", EADDRNOTAVAIL }, { "ENETUNREACH", ENETUNREACH },
	{ "EHOSTUNREACH", EHOSTUNREACH }, { "ENOMEM", ENOMEM },		{ "ENOPROTOOPT", ENOPROTOOPT },
	{ "EPROTO", EPROTO },		{ "EMSGSIZE", EMSGSIZE },	{ "ENOENT", ENOENT },
	{ "EINPROGRESS", EINPROGRESS }, { "EACCES", EACCES },		{ "ECONNABORTED", ECONNABORTED },
};

int value_errno(const char *name)
{
	for (unsigned i = 0; i < FS_ARRAY_SIZE(errors); i++)
		if (strcmp(errors[i].name, name) == 0)
			return errors[i].error;
	return 0;
}

const char *value_errno_name(int error)
{
	for (unsigned i = 0; i < FS_ARRAY_SIZE(errors); i++)
		if (errors[i].error == error)
			return errors[i].name;
	return error == 0 ? "none" : strerror(error);
}

const struct value *value_find(const struct values *v, const char *name)
{
	for (unsigned i = 0; i < v->n; i++)
		if (strcmp(v->value[i].name, name) == 0)
			return &v->value[i];
	return NULL;
}

struct value *value_of(struct values *v, const char *name)
{
	for (unsigned i = 0; i < v->n; i++)
		if (strcmp(v->value[i].name, name) == 0)
			return &v->value[i];
	if (v->n == VALUE_MAX || strlen(name) >= VALUE_NAME || name[0] == '\0') {
		snprintf(v->error, sizeof(v->error), "no room for a variable `%.40s'", name);
		return NULL;
	}
	strcpy(v->value[v->n].name, name);
	return &v->value[v->n++];
}

bool value_set(struct values *v, const char *name, int64_t number)
{
	struct value *value = value_of(v, name);

	if (value)
		value->number = number;
	return value != NULL;
}

static bool fail(struct values *v, const char *what, const char *at)
{
	snprintf(v->error, sizeof(v->error), "%s at `%.40s'", what, at);
	return false;
}

static bool parse_sum(struct values *v, const char **at, int64_t *to);

static size_t word_len(const char *at)
{
	size_t n = 0;

	while (isalnum((unsigned char)at[n]) || at[n] == '_')
		n++;
	return n;
}

/* A literal, with a fraction only in front of a unit: "1..5" is a range. */
static bool parse_literal(struct values *v, const char **at, int64_t *to)
{
	int64_t whole = 0, part = 0, scale = 1;
	const char *p = *at;
	size_t n;

	if (p[0] == '0' && p[1] == 'x') {
		for (p += 2; isxdigit((unsigned char)*p); p++)
			whole = whole * 16 + (isdigit((unsigned char)*p) ? *p - '0' : (*p | 32) - 'a' + 10);
		*at = p;
		*to = whole;
		return true;
	}
	for (; isdigit((unsigned char)*p); p++)
		whole = whole * 10 + (*p - '0');
	if (p[0] == '.' && isdigit((unsigned char)p[1]))
		for (p++; isdigit((unsigned char)*p); p++) {
			part = part * 10 + (*p - '0');
			scale *= 10;
		}
	n = word_len(p);
	*at = p + n;
	*to = whole;
	if (n == 0)
		return scale == 1 || fail(v, "a fraction without unit", p);
	for (unsigned i = 0; i < FS_ARRAY_SIZE(units); i++)
		if (strlen(units[i].unit) == n && strncmp(units[i].unit, p, n) == 0) {
			*to = whole * units[i].ns + part * units[i].ns / scale;
			return true;
		}
	return fail(v, "unknown unit", p);
}

static bool parse_name(struct values *v, const char **at, int64_t *to)
{
	const char *p = *at + 1;
	char name[VALUE_NAME] = "";
	const struct value *value;
	size_t n = word_len(p);

	if (n > 0 && n < sizeof(name))
		memcpy(name, p, n);
	value = value_find(v, name);
	if (!value)
		return fail(v, "no such variable", p);
	*at = p + n;
	*to = value->number;
	return true;
}

static bool parse_factor(struct values *v, const char **at, int64_t *to)
{
	if (**at == '(') {
		(*at)++;
		if (!parse_sum(v, at, to))
			return false;
		if (**at != ')')
			return fail(v, "`)' is missing", *at);
		(*at)++;
		return true;
	}
	if (**at == '-') {
		(*at)++;
		if (!parse_factor(v, at, to))
			return false;
		*to = -*to;
		return true;
	}
	if (isdigit((unsigned char)**at))
		return parse_literal(v, at, to);
	if (**at == '$')
		return parse_name(v, at, to);
	if (strncmp(*at, "now", 3) == 0 && word_len(*at) == 3) {
		*at += 3;
		*to = v->now_ms;
		return true;
	}
	return fail(v, "not a number", *at);
}

static bool parse_product(struct values *v, const char **at, int64_t *to)
{
	if (!parse_factor(v, at, to))
		return false;
	while (**at == '*' || **at == '/') {
		char op = *(*at)++;
		int64_t right;

		if (!parse_factor(v, at, &right))
			return false;
		if (op == '/' && right == 0)
			return fail(v, "division by zero", *at);
		*to = op == '*' ? *to * right : *to / right;
	}
	return true;
}

static bool parse_sum(struct values *v, const char **at, int64_t *to)
{
	if (!parse_product(v, at, to))
		return false;
	while (**at == '+' || **at == '-') {
		char op = *(*at)++;
		int64_t right;

		if (!parse_product(v, at, &right))
			return false;
		*to = op == '+' ? *to + right : *to - right;
	}
	return true;
}

bool value_parse(struct values *v, const char **at, int64_t *to)
{
	return parse_sum(v, at, to);
}

bool value_eval(struct values *v, const char *text, int64_t *to)
{
	const char *at = text;

	if (!parse_sum(v, &at, to))
		return false;
	return *at == '\0' || fail(v, "something follows the number", at);
}
