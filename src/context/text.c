/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * text.c - see text.h.
 */
#include "context/text.h"

#include <string.h>

#include "base/err.h"

void text_add_bytes(struct text_message *m, const char *bytes, size_t len)
{
	for (size_t i = 0; i < len && m->len < sizeof(m->text) - 1; i++) {
		unsigned char c = (unsigned char)bytes[i];

		m->text[m->len++] = c < 0x20 || c == 0x7f ? '?' : (char)c;
	}
	m->text[m->len] = '\0';
}

void text_add(struct text_message *m, const char *text)
{
	text_add_bytes(m, text, strlen(text));
}

void text_add_quoted(struct text_message *m, const char *bytes, size_t len)
{
	enum { SHOWN = 48 };

	text_add(m, "'");
	text_add_bytes(m, bytes, FS_MIN(len, (size_t)SHOWN));
	text_add(m, len > SHOWN ? "...'" : "'");
}

void text_add_number(struct text_message *m, uint64_t value)
{
	char digits[20];
	size_t n = sizeof(digits);

	do {
		digits[--n] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	text_add_bytes(m, digits + n, sizeof(digits) - n);
}

bool text_is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

char text_fold(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (char)(c - 'A' + 'a');
	return c == '-' ? '_' : c;
}

bool text_same_word(const char *text, size_t len, const char *word)
{
	if (strlen(word) != len)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text_fold(text[i]) != text_fold(word[i]))
			return false;
	}
	return true;
}

void text_trim(const char **text, size_t *len)
{
	while (*len && text_is_blank(**text)) {
		(*text)++;
		(*len)--;
	}
	while (*len && text_is_blank((*text)[*len - 1]))
		(*len)--;
}

bool text_next_element(const char **list, size_t *left, char separator, const char **element,
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
	text_trim(element, len);
	return true;
}

size_t text_digits(const char *text, size_t len, uint64_t *value)
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
