/* SPDX-License-Identifier: BSD-2-Clause */
/* memlimit.c - see memlimit.h; cgroups(7), and "Memory" in the kernel's admin-guide/cgroup-v2. */
#include "host/memlimit.h"

#include <stdbool.h>
#include <string.h>

#include "base/err.h"
#include "host/log.h"
#include "host/mem.h"
#include "sys/sys.h"

/* Mapped for the time of the question: the thread of a program that asks may have no stack for it. */
struct scratch {
	const char *root;
	char name[1024];
	char text[8192];   /* memory.stat has some 2 KB */
	char groups[8192]; /* /proc/self/cgroup: a line per hierarchy */
};

/* One version of the hierarchy: where it is mounted, and its names for the same things. */
struct hierarchy {
	const char *mount;
	const char *limit, *usage;
	const char *inactive_file, *active_file; /* lines of memory.stat */
};

static const struct hierarchy version_1 = { "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
					    "total_inactive_file ", "total_active_file " };
static const struct hierarchy version_2 = { "/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file ",
					    "active_file " };

/* The file's text, cut off at @size - 1. False: it cannot be read. */
static bool read_text(const char *path, char *text, size_t size)
{
	int fd = sys_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	ssize_t len;

	if (fd < 0)
		return false;
	len = sys_read(fd, text, size - 1);
	sys_close(fd);
	if (len < 0)
		return false;
	text[len] = '\0';
	return true;
}

/* "max", and what version 1 says for none, is more than any memory. */
static uint64_t number(const char *text)
{
	uint64_t n = 0;

	if (*text < '0' || *text > '9')
		return UINT64_MAX;
	for (; *text >= '0' && *text <= '9' && n < UINT64_MAX / 16; text++)
		n = n * 10 + (uint64_t)(*text - '0');
	return n;
}

/* The number in the line of @text that begins with @name; 0 = there is none. */
static uint64_t field(const char *text, const char *name)
{
	const char *line = text;

	while (line && strncmp(line, name, strlen(name)) != 0) {
		line = strchr(line, '\n');
		if (line)
			line++;
	}
	return line ? number(line + strlen(name)) : 0;
}

/* Read @file of the group at @path into s->text. */
static bool read_of(struct scratch *s, const struct hierarchy *h, const char *path, const char *file)
{
	host_format(s->name, sizeof(s->name), "%s%s%s/%s", s->root, h->mount, path, file);
	return read_text(s->name, s->text, sizeof(s->text));
}

/* What the group at @path itself allows. */
static uint64_t left_in(struct scratch *s, const struct hierarchy *h, const char *path)
{
	uint64_t limit, used, cache = 0;

	if (!read_of(s, h, path, h->limit))
		return UINT64_MAX;
	limit = number(s->text);
	if (limit > INT64_MAX / 2 || !read_of(s, h, path, h->usage))
		return UINT64_MAX;
	used = number(s->text);
	if (read_of(s, h, path, "memory.stat"))
		cache = field(s->text, h->inactive_file) + field(s->text, h->active_file);
	used -= FS_MIN(used, cache);
	return limit - FS_MIN(limit, used);
}

/* The least that it and those above it allow. A path that leads nowhere here, as in a container that sees its own
 * group as the root of the mount, is skipped up to what there is. */
static uint64_t left_up_from(struct scratch *s, const struct hierarchy *h, char *path)
{
	uint64_t least = UINT64_MAX;

	for (;;) {
		uint64_t left = left_in(s, h, path);
		char *slash = strrchr(path, '/');

		least = FS_MIN(least, left);
		if (!slash)
			return least;
		*slash = '\0';
	}
}

/* Is "memory" one of the controllers, separated by commas, in the text up to @end? */
static bool has_memory(const char *controllers, const char *end)
{
	while (controllers < end) {
		const char *comma = memchr(controllers, ',', (size_t)(end - controllers));
		size_t len = (size_t)((comma ? comma : end) - controllers);

		if (len == strlen("memory") && memcmp(controllers, "memory", len) == 0)
			return true;
		controllers += len + 1;
	}
	return false;
}

/* A line of /proc/self/cgroup: number:controllers:path. */
static uint64_t left_by_line(struct scratch *s, char *line)
{
	char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;

	if (!path)
		return UINT64_MAX;
	if (path == controllers + 1)
		return left_up_from(s, &version_2, path + 1);
	return has_memory(controllers + 1, path) ? left_up_from(s, &version_1, path + 1) : UINT64_MAX;
}

/* The least that a line of s->groups allows. */
static uint64_t left_by_groups(struct scratch *s)
{
	uint64_t least = UINT64_MAX;

	for (char *line = s->groups, *next; *line; line = next) {
		char *end = strchr(line, '\n');
		uint64_t left;

		next = end ? end + 1 : line + strlen(line);
		if (end)
			*end = '\0';
		left = left_by_line(s, line);
		least = FS_MIN(least, left);
	}
	return least;
}

uint64_t host_memory_left(const char *root)
{
	struct scratch *s = mem_private(sizeof(*s));
	uint64_t left = UINT64_MAX;

	if (!s)
		return 0;
	s->root = root;
	host_format(s->name, sizeof(s->name), "%s/proc/self/cgroup", root);
	if (read_text(s->name, s->groups, sizeof(s->groups)))
		left = left_by_groups(s);
	sys_munmap(s, sizeof(*s));
	return left;
}
