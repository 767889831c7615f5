/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reader.c - statistics of a foreign stack, read without trusting it.
 */
#include "stats/reader.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- checks --- */

/* Do @n entries of @size bytes at @offset lie behind the head and inside @limit? */
static bool table_fits(uint64_t offset, uint64_t n, uint64_t size, uint64_t limit)
{
	return offset % 8 == 0 && offset >= sizeof(struct stats_head) && offset <= limit &&
	       n <= (limit - offset) / size;
}

const char *stats_head_check(const struct stats_head *head, uint64_t file_len)
{
	if (head->magic != STATS_MAGIC)
		return "not a stack of fsock, or one that is being set up";
	if (head->version != STATS_VERSION)
		return "another version of fsock made it";
	if (head->head_bytes < sizeof(*head) || head->head_bytes > file_len)
		return "its length is wrong";
	if (head->n_counters > STATS_READ_MAX_COUNTERS ||
	    !table_fits(head->counters_offset, head->n_counters, sizeof(uint64_t),
			head->head_bytes))
		return "its counters lie outside of it";
	if (head->n_ports > STATS_MAX_PORTS ||
	    !table_fits(head->ports_offset, STATS_MAX_PORTS, sizeof(struct stats_port),
			head->head_bytes))
		return "its ports lie outside of it";
	if (head->n_links > STATS_MAX_LINKS ||
	    !table_fits(head->links_offset, STATS_MAX_LINKS, sizeof(struct stats_link), head->head_bytes))
		return "its links lie outside of it";
	if (head->max_socks > STATS_READ_MAX_SOCKS || head->n_socks > head->max_socks ||
	    !table_fits(head->socks_offset, head->max_socks, sizeof(struct stats_sock),
			head->head_bytes))
		return "its sockets lie outside of it";
	return NULL;
}

/* Terminate @text of @len bytes, and take the bytes that could steer a terminal out of it. */
static void tame(char *text, size_t len)
{
	text[len - 1] = '\0';
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c < 0x20 || c >= 0x7f)
			*text = '?';
	}
}

void stats_sock_tame(struct stats_sock *sock)
{
	tame(sock->detail, sizeof(sock->detail));
}

/* --- snapshot --- */

/* 0; -EPROTO when the file ends before; -errno. */
static int read_at(int fd, void *to, size_t len, off_t at)
{
	char *bytes = to;

	while (len) {
		ssize_t n = pread(fd, bytes, len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EPROTO;
		bytes += n;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Copy a table into memory of its own. *to stays NULL for an empty one. */
static int read_table(int fd, void **to, uint32_t n, size_t size, uint32_t offset)
{
	if (n == 0)
		return 0;
	*to = calloc(n, size);
	if (!*to)
		return -ENOMEM;
	return read_at(fd, *to, n * size, (off_t)offset);
}

static int read_tables(struct stats_snapshot *s, int fd)
{
	int rc;

	rc = read_table(fd, (void **)&s->counters, s->head.n_counters, sizeof(*s->counters),
			s->head.counters_offset);
	if (rc == 0)
		rc = read_table(fd, (void **)&s->ports, s->head.n_ports, sizeof(*s->ports),
				s->head.ports_offset);
	if (rc == 0)
		rc = read_table(fd, (void **)&s->socks, s->head.n_socks, sizeof(*s->socks),
				s->head.socks_offset);
	if (rc == 0)
		rc = read_table(fd, (void **)&s->links, s->head.n_links, sizeof(*s->links), s->head.links_offset);
	if (rc < 0)
		return rc;
	s->n_links = s->head.n_links;
	s->n_counters = s->head.n_counters;
	s->n_ports = s->head.n_ports;
	for (uint32_t i = 0; i < s->n_ports; i++) {
		tame(s->ports[i].ifname, sizeof(s->ports[i].ifname));
		tame(s->ports[i].provider, sizeof(s->ports[i].provider));
		tame(s->ports[i].note, sizeof(s->ports[i].note));
		tame(s->ports[i].mode, sizeof(s->ports[i].mode));
	}
	for (uint32_t i = 0; i < s->head.n_socks; i++) {
		if (s->socks[i].cookie == 0)
			continue;
		stats_sock_tame(&s->socks[i]);
		s->socks[s->n_socks++] = s->socks[i];
	}
	tame(s->head.comm, sizeof(s->head.comm));
	tame(s->head.profile, sizeof(s->head.profile));
	return 0;
}

int stats_snapshot_read(struct stats_snapshot *snapshot, int fd, const char **why)
{
	const char *wrong = NULL;
	struct stat st;
	int rc;

	memset(snapshot, 0, sizeof(*snapshot));
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size < (off_t)sizeof(snapshot->head)) {
		rc = -EPROTO;
		wrong = "its length is wrong";
	} else {
		rc = read_at(fd, &snapshot->head, sizeof(snapshot->head), 0);
		if (rc == 0)
			wrong = stats_head_check(&snapshot->head, (uint64_t)st.st_size);
		if (rc == 0)
			rc = wrong ? -EPROTO : read_tables(snapshot, fd);
	}
	if (rc == 0)
		return 0;
	stats_snapshot_free(snapshot);
	if (why)
		*why = wrong ? wrong : "it shrank while it was read";
	return rc;
}

void stats_snapshot_free(struct stats_snapshot *snapshot)
{
	free(snapshot->counters);
	free(snapshot->ports);
	free(snapshot->socks);
	free(snapshot->links);
	memset(snapshot, 0, sizeof(*snapshot));
}

/* --- finding --- */

/* Is descriptor @name of directory @dir a stack's memfd? */
static bool is_stack(int dir, const char *name)
{
	static const char prefix[] = "/memfd:" STATS_MEMFD_PREFIX;
	char link[64];
	ssize_t n = readlinkat(dir, name, link, sizeof(link));

	return n >= (ssize_t)sizeof(prefix) - 1 && memcmp(link, prefix, sizeof(prefix) - 1) == 0;
}

struct identity {
	dev_t dev;
	ino_t ino;
};

static bool is_known(const struct identity *known, unsigned n, const struct stat *st)
{
	for (unsigned i = 0; i < n; i++) {
		if (known[i].dev == st->st_dev && known[i].ino == st->st_ino)
			return true;
	}
	return false;
}

int stats_find(pid_t pid, int *fds, unsigned max)
{
	struct identity known[STATS_READ_MAX_STACKS];
	char path[32];
	unsigned n = 0;
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT ? -ESRCH : -errno;
	if (max > STATS_READ_MAX_STACKS)
		max = STATS_READ_MAX_STACKS;
	while (n < max && (entry = readdir(dir)) != NULL) {
		struct stat st;
		int fd;

		if (!is_stack(dirfd(dir), entry->d_name))
			continue;
		/* O_NONBLOCK: the descriptor may have become something else by now. */
		fd = openat(dirfd(dir), entry->d_name,
			    O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
		if (fd < 0)
			continue;
		if (fstat(fd, &st) < 0 || is_known(known, n, &st)) {
			close(fd);
			continue;
		}
		known[n] = (struct identity){ st.st_dev, st.st_ino };
		fds[n++] = fd;
	}
	closedir(dir);
	return (int)n;
}
