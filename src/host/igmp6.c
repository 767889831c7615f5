/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * igmp6.c - see igmp6.h.
 *
 * A line is "INDEX  NAME  32 hexadecimal digits  USERS FLAGS TIMER", the digits in network order.
 */
#include "host/igmp6.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>

#include "sys/sys.h"

enum { LINE_MAX_LEN = 256 };

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* The next word from *@at on: its length, *@at behind it; @word its first byte. */
static size_t next_word(const char **at, const char *end, const char **word)
{
	while (*at < end && is_blank(**at))
		(*at)++;
	*word = *at;
	while (*at < end && !is_blank(**at))
		(*at)++;
	return (size_t)(*at - *word);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_address(const char *word, const struct ip_addr *addr)
{
	for (unsigned i = 0; i < sizeof(addr->b); i++) {
		int high = hex_digit(word[2 * i]), low = hex_digit(word[2 * i + 1]);

		if (high < 0 || low < 0 || (high << 4 | low) != addr->b[i])
			return false;
	}
	return true;
}

int host_igmp6_parse_line(const char *line, size_t len, uint32_t ifindex, const struct ip_addr *group)
{
	const char *end = line + len, *word;
	uint64_t index = 0;
	size_t n = next_word(&line, end, &word);

	for (size_t i = 0; i < n; i++) {
		if (word[i] < '0' || word[i] > '9' || index > UINT32_MAX)
			return 0;
		index = index * 10 + (uint64_t)(word[i] - '0');
	}
	if (n == 0 || index != ifindex || next_word(&line, end, &word) == 0)
		return 0;
	n = next_word(&line, end, &word);
	return n == 2 * sizeof(group->b) && is_address(word, group);
}

int host_igmp6_joined(uint32_t ifindex, const struct ip_addr *group, char *buf, size_t size)
{
	int fd = sys_openat(AT_FDCWD, "/proc/thread-self/net/igmp6", O_RDONLY | O_CLOEXEC, 0);
	size_t have = 0;
	ssize_t len = 0;
	int found = 0;

	if (fd < 0)
		return fd;
	while (!found && (len = sys_read(fd, buf + have, size - have)) > 0) {
		size_t used = 0;

		have += (size_t)len;
		for (size_t i = 0; i < have && !found; i++) {
			if (buf[i] != '\n')
				continue;
			found = host_igmp6_parse_line(buf + used, i - used, ifindex, group);
			used = i + 1;
		}
		/* A line longer than any is not one of ours: forget it rather than stop. */
		if (used == 0 && have > LINE_MAX_LEN)
			used = have;
		memmove(buf, buf + used, have - used);
		have -= used;
	}
	sys_close(fd);
	return len < 0 ? (int)len : found;
}
