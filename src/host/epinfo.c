/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * epinfo.c - see epinfo.h.
 *
 * A line per member, proc_pid_fdinfo(5): "tfd:        5 events:       19 data:  deadbeef  pos:0 ino:... sdev:...",
 * numbers but the first in base 16.
 */
#include "host/epinfo.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "host/log.h"
#include "sys/sys.h"

/* The line's number after @name in @base; false: there is none. */
static bool number(const char *line, const char *name, int base, uint64_t *out)
{
	const char *at = strstr(line, name);
	char *end;

	if (!at)
		return false;
	at += strlen(name);
	*out = strtoull(at, &end, base);
	return end != at;
}

static bool tells_of(const char *line, int fd, struct epoll_event *event)
{
	uint64_t tfd, events, data;

	if (!number(line, "tfd:", 10, &tfd) || tfd != (uint64_t)fd || !number(line, " events:", 16, &events) ||
	    !number(line, " data:", 16, &data))
		return false;
	*event = (struct epoll_event){ .events = (uint32_t)events, .data.u64 = data };
	return true;
}

/* Line by line, however long the file is. */
static int look_through(int file, int fd, struct epoll_event *event)
{
	char text[4096];
	size_t have = 0;
	ssize_t more;

	while ((more = sys_read(file, text + have, sizeof(text) - 1 - have)) > 0) {
		char *line = text, *end;

		have += (size_t)more;
		text[have] = '\0';
		while ((end = strchr(line, '\n')) != NULL) {
			*end = '\0';
			if (tells_of(line, fd, event))
				return 0;
			line = end + 1;
		}
		have -= (size_t)(line - text);
		if (have == sizeof(text) - 1)
			break; /* no line of the kernel's is that long */
		memmove(text, line, have);
	}
	return more < 0 ? (int)more : -ENOENT;
}

bool host_is_epoll(int fd)
{
	static const char kind[] = "anon_inode:[eventpoll]";
	char path[64], name[sizeof(kind)];

	host_format(path, sizeof(path), "/proc/thread-self/fd/%d", fd);
	return sys_readlinkat(AT_FDCWD, path, name, sizeof(name)) == sizeof(kind) - 1 && memcmp(name, kind, sizeof(kind) - 1) == 0;
}

int host_epoll_interest(int epfd, int fd, struct epoll_event *event)
{
	char path[64];
	int file, ret;

	host_format(path, sizeof(path), "/proc/thread-self/fdinfo/%d", epfd);
	file = sys_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (file < 0)
		return file;
	ret = look_through(file, fd, event);
	sys_close(file);
	return ret;
}
