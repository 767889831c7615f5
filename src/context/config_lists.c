/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * config_lists.c - values that are lists, or have a form: what stands in them.
 */
#include <netinet/in.h>
#include <string.h>

#include "context/config_internal.h"
#include "context/text.h"

/* One element of bypass: protocol:port[-port]. */
static bool parse_bypass(const char *text, size_t len, int *protocol, uint64_t *from, uint64_t *to)
{
	const char *colon = memchr(text, ':', len);
	size_t n;

	if (!colon)
		return false;
	if (text_same_word(text, (size_t)(colon - text), "udp"))
		*protocol = IPPROTO_UDP;
	else if (text_same_word(text, (size_t)(colon - text), "tcp"))
		*protocol = IPPROTO_TCP;
	else
		return false;
	len -= (size_t)(colon + 1 - text);
	text = colon + 1;
	n = text_digits(text, len, from);
	if (n == 0)
		return false;
	*to = *from;
	if (n < len) {
		if (text[n] != '-' || text_digits(text + n + 1, len - n - 1, to) != len - n - 1 ||
		    n + 1 == len)
			return false;
	}
	return *from <= *to && *to <= UINT16_MAX;
}

static bool is_bypass_none(const char *list, size_t len)
{
	return len == 0 || text_same_word(list, len, "none");
}

bool config_bypass_is_valid(const char *list, size_t len)
{
	const char *element;
	size_t element_len;
	uint64_t from, to;
	int protocol;

	if (is_bypass_none(list, len))
		return true;
	while (text_next_element(&list, &len, ',', &element, &element_len)) {
		if (!parse_bypass(element, element_len, &protocol, &from, &to))
			return false;
	}
	return true;
}

static const char scope_path[] = "path:";

bool config_scope_is_valid(const char *value, size_t len)
{
	const size_t head = sizeof(scope_path) - 1;

	if (len > head && memcmp(value, scope_path, head) == 0)
		return value[head] == '/';
	return len == sizeof("netns") - 1 && memcmp(value, "netns", len) == 0;
}

const char *config_scope_directory(const char *value)
{
	return strncmp(value, scope_path, sizeof(scope_path) - 1) == 0 ? value + sizeof(scope_path) - 1 : NULL;
}

static const char any_user[] = "any";

/* One element of local_users. */
static bool parse_user(const char *text, size_t len, uint64_t *uid)
{
	return len > 0 && text_digits(text, len, uid) == len && *uid < UINT32_MAX;
}

bool config_users_are_valid(const char *list, size_t len)
{
	const char *element;
	size_t element_len;
	uint64_t uid;

	if (len == 0 || text_same_word(list, len, any_user))
		return true;
	while (text_next_element(&list, &len, ',', &element, &element_len)) {
		if (!parse_user(element, element_len, &uid))
			return false;
	}
	return true;
}

bool config_users_have(const char *list, uint32_t uid)
{
	size_t left = strlen(list), len;
	const char *element;
	uint64_t named;

	if (text_same_word(list, left, any_user))
		return true;
	while (text_next_element(&list, &left, ',', &element, &len)) {
		if (parse_user(element, len, &named) && named == uid)
			return true;
	}
	return false;
}

bool config_list_has(const char *list, const char *word)
{
	size_t left = strlen(list), len;
	const char *element;

	while (text_next_element(&list, &left, ',', &element, &len)) {
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
	while (text_next_element(&list, &left, ',', &element, &len)) {
		if (parse_bypass(element, len, &which, &from, &to) && which == protocol &&
		    port >= from && port <= to)
			return true;
	}
	return false;
}
