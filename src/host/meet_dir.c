/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * meet_dir.c - unix sockets of packets under names in a directory, reached by descriptors: /proc/self/fd/N/name to
 * bind, /proc/self/fd/N to connect. So a long path fits into a socket's name, a changed root or a directory that is
 * moved away makes no difference, and no link leads out of it.
 */
#include "host/meet_dir.h"

#include <dirent.h>
#include <string.h>
#include <sys/file.h>
#include <sys/un.h>
#include <unistd.h>

#include "host/log.h"
#include "host/meet_internal.h"
#include "sys/sys.h"

#define PREFIX "fsock-"

#define STEP_NS 100000 /* between tries to lock */

enum {
	NAME_SIZE = 72, /* with "-any" and the NUL */
	TRIES = 50,
	ENTRIES_BYTES = 4096,
	SWEPT = 512, /* entries looked at, at most: others may have left any number */
};

static void name_text(const struct host_meet_name *name, char text[NAME_SIZE])
{
	size_t len = meet_name_text(name, "-", text, NAME_SIZE);

	host_format(text + len, NAME_SIZE - len, "%s", name->by_any ? "-any" : "");
}

static socklen_t make_address(int dir, const char *text, struct sockaddr_un *un)
{
	size_t len;

	memset(un, 0, sizeof(*un));
	un->sun_family = AF_UNIX;
	len = host_format(un->sun_path, sizeof(un->sun_path), "/proc/self/fd/%d/%s", dir, text);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
}

/* The socket @text, which this user made, by a descriptor that is good for naming it. -ENOENT; -EACCES: it is
 * another's, or no socket. */
static int grasp(int dir, const char *text)
{
	int fd = sys_openat(dir, text, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
	struct stat st;
	bool fits;

	if (fd < 0)
		return fd;
	fits = sys_fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode) && st.st_uid == geteuid();
	return meet_kept(fd, fits ? 0 : -EACCES);
}

/* @fd connects to what grasp() gave as @to. */
static int connect_to(int fd, int to)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	size_t len = host_format(un.sun_path, sizeof(un.sun_path), "/proc/self/fd/%d", to);

	return sys_connect(fd, &un, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1));
}

/* --- the directory --- */

static const char *unfit(const struct stat *st)
{
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return "belongs to another user";
	if ((st->st_mode & S_IWOTH) && !(st->st_mode & S_ISVTX))
		return "may be written to by all, and has no sticky bit";
	return NULL;
}

int host_meet_dir_open(const char *path, int fd_floor, const char **why)
{
	int fd = sys_fd_raise(sys_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0), fd_floor);
	struct stat st;

	*why = fd == -ENOENT ? "is not there" : fd == -ENOTDIR ? "is no directory" : "cannot be opened";
	if (fd < 0)
		return fd;
	*why = sys_fstat(fd, &st) < 0 ? "cannot be looked at" : unfit(&st);
	return meet_kept(fd, *why ? -EPERM : 0);
}

/* Its lock is of a file of its own: relatives share the descriptor @dir, and would share its lock. Who may read the
 * directory may hold it, for as long as he likes: -EWOULDBLOCK after @tries, a tenth of a millisecond each. */
static int lock(int dir, unsigned tries)
{
	const struct timespec step = { .tv_nsec = STEP_NS };
	int fd = sys_openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0), ret = -EWOULDBLOCK;

	if (fd < 0)
		return fd;
	for (unsigned i = 0; i < tries && ret == -EWOULDBLOCK; i++) {
		if (i > 0)
			sys_nanosleep(&step);
		ret = sys_flock(fd, LOCK_EX | LOCK_NB);
	}
	return meet_kept(fd, ret);
}

/* A child that was forked meanwhile has the descriptor, too. */
static void unlock(int fd)
{
	sys_flock(fd, LOCK_UN);
	sys_close(fd);
}

/* --- names --- */

/* Is there a socket @text of this user's that nobody has any more? One of another type may not connect to one that
 * somebody has: which of the two errors it is tells, and nobody hears of it. */
static bool is_dead(int dir, const char *text)
{
	int to = grasp(dir, text), fd, ret;

	if (to < 0)
		return false;
	fd = sys_socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ret = fd < 0 ? fd : connect_to(fd, to);
	if (fd >= 0)
		sys_close(fd);
	sys_close(to);
	return ret == -ECONNREFUSED;
}

/* With the lock. */
static bool remove_dead(int dir, const char *text)
{
	return is_dead(dir, text) && sys_unlinkat(dir, text, 0) == 0;
}

static void bury(int dir, const char *text)
{
	int held = is_dead(dir, text) ? lock(dir, 1) : -ENOENT; /* else the next one finds it dead */

	if (held < 0)
		return;
	remove_dead(dir, text);
	unlock(held);
}

int host_meet_publish_in(int dir, const struct host_meet_name *name, int fd_floor)
{
	char text[NAME_SIZE];
	struct sockaddr_un un;
	socklen_t len;
	int fd = sys_fd_raise(sys_socket(AF_UNIX, MEET_SOCKET_TYPE, 0), fd_floor), held, ret;

	if (fd < 0)
		return fd;
	held = lock(dir, TRIES);
	if (held < 0)
		return meet_kept(fd, held);
	name_text(name, text);
	len = make_address(dir, text, &un);
	ret = sys_bind(fd, &un, len);
	if (ret == -EADDRINUSE && remove_dead(dir, text))
		ret = sys_bind(fd, &un, len);
	if (ret == 0)
		ret = sys_listen(fd, HOST_MEET_BACKLOG);
	unlock(held);
	return meet_kept(fd, ret);
}

int host_meet_dial_in(int dir, const struct host_meet_name *name, int fd_floor)
{
	char text[NAME_SIZE];
	int to, fd, ret;

	name_text(name, text);
	to = grasp(dir, text);
	if (to < 0)
		return to == -ENOENT ? -ECONNREFUSED : to;
	fd = sys_fd_raise(sys_socket(AF_UNIX, MEET_SOCKET_TYPE, 0), fd_floor);
	ret = fd < 0 ? fd : connect_to(fd, to);
	sys_close(to);
	if (fd < 0)
		return fd;
	if (ret == -ECONNREFUSED)
		bury(dir, text);
	return meet_kept(fd, ret);
}

void host_meet_bury_in(int dir, const struct host_meet_name *name)
{
	char text[NAME_SIZE];

	name_text(name, text);
	bury(dir, text);
}

/* --- what was left behind --- */

/* @left: how many may still be looked at. */
static unsigned sweep_some(int dir, const char *entries, size_t len, unsigned *left)
{
	unsigned n = 0;

	for (size_t at = 0; at < len && *left > 0; (*left)--) {
		const struct dirent64 *e = (const void *)(entries + at);

		if (e->d_type == DT_SOCK && strncmp(e->d_name, PREFIX, sizeof(PREFIX) - 1) == 0 &&
		    strlen(e->d_name) < NAME_SIZE)
			n += remove_dead(dir, e->d_name);
		at += e->d_reclen;
	}
	return n;
}

unsigned host_meet_sweep(int dir)
{
	_Alignas(struct dirent64) char entries[ENTRIES_BYTES];
	int held = lock(dir, 1); /* its own place in the directory, which is at the beginning */
	unsigned n = 0, left = SWEPT;
	ssize_t len;

	if (held < 0)
		return 0;
	while (left > 0 && (len = sys_getdents64(held, entries, sizeof(entries))) > 0)
		n += sweep_some(dir, entries, (size_t)len, &left);
	unlock(held);
	return n;
}
