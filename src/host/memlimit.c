/* SPDX-License-Identifier: BSD-2-Clause */
/* memlimit.c - see memlimit.h; cgroups(7), and "Memory" in the kernel's admin-guide/cgroup-v2. */
#include "host/memlimit.h"

#include <stdbool.h>
#include <string.h>

#include "base/err.h"
#include "host/log.h"
#include "sys/sys.h"

enum {
	TEXT_MAX = 8192, /* memory.stat has some 2 KB, /proc/self/cgroup a line per hierarchy */
	NAME_MAX_LEN = 1024,
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

/* What the group at @path itself allows. */
static uint64_t left_in(const struct hierarchy *h, const char *root, const char *path)
{
	char name[NAME_MAX_LEN], text[TEXT_MAX];
	uint64_t limit, used, cache = 0;

	host_format(name, sizeof(name), "%s%s%s/%s", root, h->mount, path, h->limit);
	if (!read_text(name, text, sizeof(text)))
		return UINT64_MAX;
	limit = number(text);
	host_format(name, sizeof(name), "%s%s%s/%s", root, h->mount, path, h->usage);
	if (limit > INT64_MAX / 2 || !read_text(name, text, sizeof(text)))
		return UINT64_MAX;
	used = number(text);
	host_format(name, sizeof(name), "%s%s%s/%s", root, h->mount, path, "memory.stat");
	if (read_text(name, text, sizeof(text)))
		cache = field(text, h->inactive_file) + field(text, h->active_file);
	used -= FS_MIN(used, cache);
	return limit - FS_MIN(limit, used);
}

/* The least that it and those above it allow. A path that leads nowhere here, as in a container that sees its own
 * group as the root of the mount, is skipped up to what there is. */
static uint64_t left_up_from(const struct hierarchy *h, const char *root, char *path)
{
	uint64_t least = UINT64_MAX;

	for (;;) {
		uint64_t left = left_in(h, root, path);
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
static uint64_t left_by_line(const char *root, char *line)
{
	char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;

	if (!path)
		return UINT64_MAX;
	if (path == controllers + 1)
		return left_up_from(&version_2, root, path + 1);
	return has_memory(controllers + 1, path) ? left_up_from(&version_1, root, path + 1) : UINT64_MAX;
}

uint64_t host_memory_left(const char *root)
{
	char name[NAME_MAX_LEN], text[TEXT_MAX], *line = text;
	uint64_t least = UINT64_MAX;

	host_format(name, sizeof(name), "%s/proc/self/cgroup", root);
	if (!read_text(name, text, sizeof(text)))
		return least;
	while (*line) {
		char *end = strchr(line, '\n'), *next = end ? end + 1 : line + strlen(line);
		uint64_t left;

		if (end)
			*end = '\0';
		left = left_by_line(root, line);
		least = FS_MIN(least, left);
		line = next;
	}
	return least;
}
