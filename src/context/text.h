/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * text.h - reading and writing the few words, numbers and lists that options consist of.
 *
 * Does:     work on bytes with a length, without a locale.
 * Does not: allocate, use stdio, keep state.
 * Threads:  any.
 */
#ifndef FSOCK_CONTEXT_TEXT_H
#define FSOCK_CONTEXT_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "context/config.h"

/* --- writing --- */

/* A message under construction; what does not fit is cut. */
struct text_message {
	char text[CONFIG_MESSAGE_LEN];
	size_t len;
};

/* Foreign bytes: control characters would let a file or variable forge lines in a log. */
void text_add_bytes(struct text_message *m, const char *bytes, size_t len);
void text_add(struct text_message *m, const char *text);

/* A name or value as the user wrote it, shortened so that the rest of the sentence fits. */
void text_add_quoted(struct text_message *m, const char *bytes, size_t len);
void text_add_number(struct text_message *m, uint64_t value);

/* --- reading --- */

bool text_is_blank(char c);

/* Small letter, and '_' for '-'. */
char text_fold(char c);

/* Equal up to case and '-' for '_'. @word is NUL terminated, @text is not. */
bool text_same_word(const char *text, size_t len, const char *word);

/* Take blanks off both ends. */
void text_trim(const char **text, size_t *len);

/* Next element of a list separated by @separator, trimmed; false at the end. */
bool text_next_element(const char **list, size_t *left, char separator, const char **element,
		       size_t *len);

/* Leading digits into *value; returns how many, 0 when there are none or the number is too large. */
size_t text_digits(const char *text, size_t len, uint64_t *value);

#endif
