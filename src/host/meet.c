/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * meet.c - abstract unix sockets of packets (SOCK_SEQPACKET): messages keep their bounds and order, and the death of
 * either end is seen.
 *
 * A name reads "fsock/2/tcp/4/7f000001/6379/0": version, protocol, family, address, port, nth; behind a zero byte, and
 * without one at its end. The wildcard's address is 0 of its family. Of a Unix socket: "fsock/2/unix/" and 32 digits.
 */
#include "host/meet.h"

#include <linux/magic.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "host/log.h"
#include "host/meet_internal.h"
#include "host/mem.h"
#include "sys/sys.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* Linux 6.3 */
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020
#endif
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5 */
#endif
#ifndef PID_FS_MAGIC
#define PID_FS_MAGIC 0x50494446
#endif

#define WHO_INODE (1ULL << 63) /* no number of a process has it */

enum {
	MEMORY_SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL,
};

/* Control data of one message: exactly @n descriptors (CMSG_LEN; CMSG_SPACE of an odd number has room for one more). */
union control {
	struct cmsghdr head;
	char bytes[CMSG_SPACE(HOST_MEET_FDS * sizeof(int))];
};

static size_t put_digits(const uint8_t *bytes, size_t n, char *text)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		text[2 * i] = digits[bytes[i] >> 4];
		text[2 * i + 1] = digits[bytes[i] & 15];
	}
	return 2 * n;
}

size_t meet_name_text(const struct host_meet_name *name, const char *between, char *text, size_t size)
{
	static const uint8_t zeros[sizeof(name->addr.b)];
	bool is_any = ip_addr_is_any(&name->addr);
	bool v6 = is_any ? name->v6 : !ip_addr_is_v4(&name->addr);
	size_t len, skip = v6 ? 0 : 12;

	if (name->protocol == 0) {
		len = host_format(text, size, "fsock%s%d%sunix%s", between, HOST_MEET_VERSION, between, between);
		return len + put_digits(name->addr.b, sizeof(name->addr.b), text + len);
	}
	len = host_format(text, size, "fsock%s%d%s%s%s%s%s", between, HOST_MEET_VERSION, between,
			  name->protocol == IPPROTO_UDP ? "udp" : "tcp", between, v6 ? "6" : "4", between);
	len += put_digits((is_any ? zeros : name->addr.b) + skip, sizeof(zeros) - skip, text + len);
	return len + host_format(text + len, size - len, "%s%u%s%u", between, name->port, between, name->nth);
}

/* The address of @name, and its length. */
static socklen_t make_address(const struct host_meet_name *name, struct sockaddr_un *un)
{
	size_t len;

	memset(un, 0, sizeof(*un));
	un->sun_family = AF_UNIX;
	len = meet_name_text(name, "/", un->sun_path + 1, sizeof(un->sun_path) - 1);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len);
}

int host_meet_publish(const struct host_meet_name *name, int fd_floor)
{
	struct sockaddr_un un;
	socklen_t len = make_address(name, &un);
	int fd = sys_fd_raise(sys_socket(AF_UNIX, MEET_SOCKET_TYPE, 0), fd_floor);
	int ret;

	if (fd < 0)
		return fd;
	ret = sys_bind(fd, &un, len);
	if (ret == 0)
		ret = sys_listen(fd, HOST_MEET_BACKLOG);
	return meet_kept(fd, ret);
}

int host_meet_dial(const struct host_meet_name *name, int fd_floor)
{
	struct sockaddr_un un;
	socklen_t len = make_address(name, &un);
	int fd = sys_fd_raise(sys_socket(AF_UNIX, MEET_SOCKET_TYPE, 0), fd_floor);

	return fd < 0 ? fd : meet_kept(fd, sys_connect(fd, &un, len));
}

int host_meet_accept(int fd, int fd_floor)
{
	return sys_fd_raise(sys_accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), fd_floor);
}

/* What no other process alive has, wherever that one's number means something: its inode in the file system of
 * processes. 0 = this kernel has none. */
static uint64_t inode_of_peer(int fd)
{
	struct statfs fs;
	struct stat st;
	uint64_t inode = 0;
	int pidfd;
	socklen_t len = sizeof(pidfd);

	if (sys_getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len) < 0)
		return 0;
	if (sys_fstatfs(pidfd, &fs) == 0 && fs.f_type == PID_FS_MAGIC && sys_fstat(pidfd, &st) == 0)
		inode = st.st_ino;
	sys_close(pidfd);
	return inode;
}

int host_meet_peer(int fd, struct host_meet_peer *peer)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	int ret = sys_getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len);

	if (ret < 0)
		return ret;
	if (len != sizeof(cred) || cred.uid == UINT32_MAX) /* the kernel's word for nobody */
		return -ENOTCONN;
	*peer = (struct host_meet_peer){
		.pid = (uint32_t)cred.pid, .uid = cred.uid, .gid = cred.gid, .who = (uint32_t)cred.pid
	};
	if (peer->pid == 0) {
		peer->who = inode_of_peer(fd);
		peer->who |= peer->who ? WHO_INODE : 0;
	}
	return 0;
}

int host_meet_send(int fd, const void *message, size_t len, const int *fds, unsigned n)
{
	union control control = { 0 };
	struct iovec iov = { .iov_base = (void *)message, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t ret;

	/* One of no bytes could not be told from the end. */
	if (len == 0 || n > HOST_MEET_FDS)
		return -EINVAL;
	if (n > 0) {
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(&control.head), fds, n * sizeof(int));
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_LEN(n * sizeof(int));
	}
	ret = sys_sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	/* Which of these it is depends on what the other end had read when it went. */
	if (ret == -ECONNRESET || ret == -ENOTCONN || ret == -ECONNREFUSED)
		return -EPIPE;
	return ret < 0 ? (int)ret : 0;
}

/* Descriptors that came with @msg, into @fds, which has room for as many as the control data had. How many. */
static unsigned take_fds(struct msghdr *msg, int *fds)
{
	unsigned n = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t len = c->cmsg_len - CMSG_LEN(0);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		memcpy(fds + n, CMSG_DATA(c), len);
		n += (unsigned)(len / sizeof(int));
	}
	return n;
}

/* Move each of @n descriptors to the floor. On failure all are closed. */
static int raise_fds(int *fds, unsigned n, int fd_floor)
{
	int ret = 0;

	for (unsigned i = 0; i < n && ret == 0; i++) {
		fds[i] = sys_fd_raise(fds[i], fd_floor); /* closes what it does not move */
		if (fds[i] < 0)
			ret = fds[i];
	}
	for (unsigned i = 0; ret < 0 && i < n; i++) {
		if (fds[i] >= 0)
			sys_close(fds[i]);
	}
	return ret;
}

static int receive(int fd, void *message, size_t len, int *fds, unsigned n, int fd_floor, int flags)
{
	union control control;
	int came[HOST_MEET_FDS];
	struct iovec iov = { .iov_base = message, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	unsigned n_came;
	ssize_t ret;

	if (len == 0 || n > HOST_MEET_FDS)
		return -EINVAL;
	/* With room for just so many the kernel itself drops the others, and says so. */
	if (n > 0) {
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_LEN(n * sizeof(int));
	}
	ret = sys_recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC | flags);
	if (ret < 0)
		return (int)ret;
	n_came = n > 0 ? take_fds(&msg, came) : 0;
	if ((size_t)ret != len || n_came != n || (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
		for (unsigned i = 0; i < n_came; i++)
			sys_close(came[i]);
		return ret == 0 ? -ECONNRESET : -EPROTO;
	}
	ret = raise_fds(came, n, fd_floor);
	if (ret == 0 && n > 0)
		memcpy(fds, came, n * sizeof(int));
	return (int)ret;
}

int host_meet_receive(int fd, void *message, size_t len, int *fds, unsigned n, int fd_floor)
{
	return receive(fd, message, len, fds, n, fd_floor, 0);
}

int host_meet_peek_from(int fd, int offset)
{
	return sys_setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof(offset));
}

int host_meet_peek(int fd, void *message, size_t len, int *fds, unsigned n, int fd_floor)
{
	return receive(fd, message, len, fds, n, fd_floor, MSG_PEEK);
}

int host_meet_memory(const char *name, size_t len, int fd_floor)
{
	int fd, ret;

	if (len == 0)
		return -EINVAL;
	/* Hosts may demand that such memory never be executed (vm.memfd_noexec); kernels before 6.3 do not know it. */
	fd = sys_memfd_create(name, MFD_CLOEXEC | MFD_NOEXEC_SEAL);
	if (fd == -EINVAL)
		fd = sys_memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	fd = sys_fd_raise(fd, fd_floor);
	if (fd < 0)
		return fd;
	ret = mem_resize(fd, len);
	if (ret == 0)
		ret = sys_fcntl(fd, F_ADD_SEALS, MEMORY_SEALS);
	return meet_kept(fd, ret);
}

int64_t host_meet_memory_len(int fd)
{
	int seals = sys_fcntl(fd, F_GET_SEALS, 0), mode = sys_fcntl(fd, F_GETFL, 0);
	struct statfs fs;
	int64_t len;

	/* No other seal but that against execution: one against writing would let no side map it. */
	if (seals < 0 || (seals & ~F_SEAL_EXEC) != MEMORY_SEALS || mode < 0 || (mode & O_ACCMODE) != O_RDWR)
		return -EPROTO;
	/* Huge pages have seals too, but touching them is SIGBUS where there are none left. */
	if (sys_fstatfs(fd, &fs) < 0 || fs.f_type != TMPFS_MAGIC)
		return -EPROTO;
	len = sys_lseek(fd, 0, SEEK_END); /* the position is nobody's */
	return len > 0 ? len : -EPROTO;
}

int host_meet_bell(int fd)
{
	static const char eventfd[] = "anon_inode:[eventfd]";
	int mode = sys_fcntl(fd, F_GETFL, 0);
	char path[32], what[sizeof(eventfd)];

	if (mode < 0 || (mode & O_ACCMODE) != O_RDWR || !(mode & O_NONBLOCK))
		return -EPROTO;
	host_format(path, sizeof(path), "/proc/self/fd/%d", fd);
	/* A longer answer is another thing's name, cut. */
	if (sys_readlinkat(AT_FDCWD, path, what, sizeof(what)) != sizeof(eventfd) - 1 ||
	    memcmp(what, eventfd, sizeof(eventfd) - 1) != 0)
		return -EPROTO;
	return 0;
}
