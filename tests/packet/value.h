/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * value.h - words, numbers and variables of packet scripts.
 *
 * An expression has no blanks: integers (decimal, 0x...), times with a unit (1.5s, 200ms, 40us, 3h: ns), $NAME, `now`
 * (ms since the script began), + - * / and parentheses.
 *
 * Does not: know statements.
 * Threads:  one.
 * Errors:   false, with @error saying why.
 */
#ifndef FSOCK_TESTS_PACKET_VALUE_H
#define FSOCK_TESTS_PACKET_VALUE_H

#include <stdbool.h>
#include <stdint.h>

enum { VALUE_NAME = 24, VALUE_MAX = 64, VALUE_BYTES = 16 };

struct value {
	char name[VALUE_NAME];
	int64_t number;
	uint8_t bytes[VALUE_BYTES]; /* of a cookie */
	uint8_t n_bytes;
};

struct values {
	struct value value[VALUE_MAX];
	unsigned n;
	int64_t now_ms;
	char error[128];
};

/* The variable @name, made when absent; NULL: too many, or no name. */
struct value *value_of(struct values *v, const char *name);
const struct value *value_find(const struct values *v, const char *name); /* NULL = none */

bool value_set(struct values *v, const char *name, int64_t number);

/* The whole of @text is one expression. */
bool value_eval(struct values *v, const char *text, int64_t *to);

/* The expression at *@at, which is moved behind it. */
bool value_parse(struct values *v, const char **at, int64_t *to);

/* EAGAIN and its likes, positive; 0 = no such name. */
int value_errno(const char *name);
const char *value_errno_name(int error);

#endif
