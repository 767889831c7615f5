/* SPDX-License-Identifier: BSD-2-Clause */
/* Rendezvous by abstract unix sockets: names, messages, memory, and ends that do as they like. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "host/meet.h"
#include "local/format.h"
#include "meet_name.h"

static_assert((int)HOST_MEET_VERSION == (int)LOCAL_VERSION, "builds whose links differ do not meet");

enum {
	FLOOR = 300,
	PAGE = 4096,
	CAN_SEND = 253, /* descriptors in one message: SCM_MAX_FD */
	NOBODY = 65534,
};

/* Names of this process: tests of other processes in this namespace have other ports. */
static struct host_meet_name name_at(const char *address, unsigned nth)
{
	return meet_name_at(address, (uint16_t)getpid(), nth);
}

static unsigned count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static unsigned n_before;

static int setup(void **state)
{
	n_before = count_fds();
	return 0;
}

/* Whatever a test did, no descriptor stays. */
static int teardown(void **state)
{
	return count_fds() == n_before ? 0 : -1;
}

static bool is_as_promised(int fd)
{
	return fd >= FLOOR && (fcntl(fd, F_GETFD) & FD_CLOEXEC) && (fcntl(fd, F_GETFL) & O_NONBLOCK);
}

/* Two ends that have met: [0] dialled, [1] accepted. */
static void meet(int end[2])
{
	struct host_meet_name name = name_at("127.0.0.1", 0);
	int listener = host_meet_publish(&name, FLOOR);

	assert_true(listener >= 0);
	end[0] = host_meet_dial(&name, FLOOR);
	end[1] = host_meet_accept(listener, FLOOR);
	assert_true(end[0] >= 0 && end[1] >= 0);
	close(listener);
}

static void part(const int end[2])
{
	close(end[0]);
	close(end[1]);
}

/* As a peer does who keeps to no form: @len bytes with @n times the descriptor @fd. */
static void send_anything(int to, size_t len, int fd, unsigned n)
{
	static const char text[64] = "0123456789abcdef";
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(CAN_SEND * sizeof(int))] = { 0 };
	struct iovec iov = { (void *)text, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n > 0) {
		struct cmsghdr *c = (void *)control;

		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n * sizeof(int));
		for (unsigned i = 0; i < n; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &fd, sizeof(fd));
		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE(n * sizeof(int));
	}
	assert_int_equal(sendmsg(to, &msg, MSG_NOSIGNAL), len);
}

/* Wait for a child that _exit()s with 0 when all was well. */
static void assert_child_well(pid_t pid)
{
	int status = -1;

	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* In a child: so many descriptors it may have. By a process beside it, as valgrind keeps what a program asks for itself
 * from the kernel. */
static void limit_files(rlim_t n)
{
	struct rlimit limit = { n, n };
	pid_t program = getpid(), pid = fork();
	int status = -1;

	if (pid == 0)
		_exit(prlimit(program, RLIMIT_NOFILE, &limit, NULL) == 0 ? 0 : 1);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
		_exit(90);
}

/* --- names --- */

static void host_meet_publish__and_dial_and_accept(void **state)
{
	struct host_meet_name name = name_at("127.0.0.1", 0);
	int listener = host_meet_publish(&name, FLOOR), dialled, accepted;

	assert_true(is_as_promised(listener));
	assert_int_equal(host_meet_accept(listener, FLOOR), -EAGAIN);
	dialled = host_meet_dial(&name, FLOOR);
	assert_true(is_as_promised(dialled));
	accepted = host_meet_accept(listener, FLOOR);
	assert_true(is_as_promised(accepted));
	assert_int_equal(host_meet_accept(listener, FLOOR), -EAGAIN);
	assert_int_equal(host_meet_publish(&name, FLOOR), -EADDRINUSE);
	close(listener);
	assert_int_equal(host_meet_dial(&name, FLOOR), -ECONNREFUSED);
	close(dialled);
	close(accepted);
}

static void host_meet_publish__name_says_all(void **state)
{
	struct host_meet_name name = name_at("2001:db8::a", 7);
	struct sockaddr_un un;
	socklen_t len = sizeof(un);
	char want[64];
	int fd = host_meet_publish(&name, FLOOR);

	assert_int_equal(getsockname(fd, (void *)&un, &len), 0);
	snprintf(want, sizeof(want), "fsock/%d/tcp/6/20010db800000000000000000000000a/%u/7", LOCAL_VERSION, name.port);
	assert_int_equal(len, offsetof(struct sockaddr_un, sun_path) + 1 + strlen(want));
	assert_int_equal(un.sun_path[0], 0);
	assert_memory_equal(un.sun_path + 1, want, strlen(want));
	close(fd);
}

static void host_meet_publish__each_part_tells_names_apart(void **state)
{
	struct host_meet_name names[] = {
		name_at("127.0.0.1", 0), name_at("127.0.0.2", 0), name_at("127.0.0.1", 1),
		name_at("0.0.0.0", 0),	 name_at("::1", 0),	  name_at("::", 0),
		name_at("127.0.0.1", 0), name_at("127.0.0.1", 0), name_at("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535),
	};
	int fd[FS_ARRAY_SIZE(names)];

	names[5].v6 = true;
	names[6].protocol = IPPROTO_UDP;
	names[7].port ^= 0x8000;
	names[8].port = UINT16_MAX;
	for (size_t i = 0; i < FS_ARRAY_SIZE(names); i++) {
		assert_int_equal(host_meet_dial(&names[i], FLOOR), -ECONNREFUSED);
		fd[i] = host_meet_publish(&names[i], FLOOR);
		assert_true(fd[i] >= FLOOR);
	}
	for (size_t i = 0; i < FS_ARRAY_SIZE(names); i++)
		close(fd[i]);
}

/* Of an address that is none, its form says nothing; of one that is, nothing else does. */
static void host_meet_publish__family(void **state)
{
	struct host_meet_name any4 = name_at("0.0.0.0", 0), any = name_at("::", 0), four = name_at("127.0.0.1", 0),
			      six = name_at("::1", 0), other;
	int fd = host_meet_publish(&any4, FLOOR);

	assert_int_equal(host_meet_publish(&any, FLOOR), -EADDRINUSE);
	close(fd);
	any4.v6 = any.v6 = true;
	fd = host_meet_publish(&any4, FLOOR);
	assert_int_equal(host_meet_publish(&any, FLOOR), -EADDRINUSE);
	close(fd);
	other = four;
	other.v6 = true;
	fd = host_meet_publish(&four, FLOOR);
	assert_int_equal(host_meet_publish(&other, FLOOR), -EADDRINUSE);
	close(fd);
	other = six;
	other.v6 = true;
	fd = host_meet_publish(&six, FLOOR);
	assert_int_equal(host_meet_publish(&other, FLOOR), -EADDRINUSE);
	close(fd);
}

/* A name goes with the last who has it: a child that lives on keeps it. */
static void host_meet_publish__child_keeps_the_name(void **state)
{
	struct host_meet_name name = name_at("127.0.0.1", 0);
	int listener = host_meet_publish(&name, FLOOR), dialled, go[2];
	char c;
	pid_t pid;

	assert_int_equal(pipe(go), 0);
	pid = fork();
	if (pid == 0) {
		close(go[1]);
		_exit(read(go[0], &c, 1) == 0 ? 0 : 1);
	}
	close(listener);
	dialled = host_meet_dial(&name, FLOOR);
	assert_true(dialled >= FLOOR);
	close(go[0]);
	close(go[1]);
	assert_child_well(pid);
	assert_int_equal(host_meet_send(dialled, "x", 1, NULL, 0), -EPIPE);
	assert_int_equal(host_meet_dial(&name, FLOOR), -ECONNREFUSED);
	close(dialled);
}

/* Has the name, and does not listen, or speaks another kind of socket. */
static void host_meet_dial__squatter(void **state)
{
	static const int types[] = { SOCK_SEQPACKET, SOCK_STREAM, SOCK_DGRAM };
	struct host_meet_name name = name_at("127.0.0.1", 0);
	struct sockaddr_un un;
	socklen_t len = sizeof(un);
	int fd = host_meet_publish(&name, FLOOR), dialled;

	assert_int_equal(getsockname(fd, (void *)&un, &len), 0);
	close(fd);
	for (size_t i = 0; i < FS_ARRAY_SIZE(types); i++) {
		fd = socket(AF_UNIX, types[i] | SOCK_CLOEXEC, 0);
		assert_int_equal(bind(fd, (void *)&un, len), 0);
		if (types[i] == SOCK_STREAM)
			assert_int_equal(listen(fd, 1), 0);
		dialled = host_meet_dial(&name, FLOOR);
		assert_true(dialled == -ECONNREFUSED || dialled == -EPROTOTYPE);
		close(fd);
	}
}

static void host_meet_dial__too_many_wait(void **state)
{
	struct host_meet_name name = name_at("127.0.0.1", 0);
	int listener = host_meet_publish(&name, FLOOR), fd[2 * HOST_MEET_BACKLOG], accepted;
	unsigned n = 0;

	do
		fd[n] = host_meet_dial(&name, FLOOR);
	while (fd[n] >= 0 && ++n < FS_ARRAY_SIZE(fd));
	assert_in_range(n, 1, FS_ARRAY_SIZE(fd) - 1);
	assert_int_equal(fd[n], -EAGAIN);
	accepted = host_meet_accept(listener, FLOOR);
	assert_true(accepted >= FLOOR);
	fd[n] = host_meet_dial(&name, FLOOR);
	assert_true(fd[n] >= FLOOR);
	for (unsigned i = 0; i <= n; i++)
		close(fd[i]);
	close(accepted);
	close(listener);
}

static void host_meet_accept__who_dialled_is_gone(void **state)
{
	struct host_meet_name name = name_at("127.0.0.1", 0);
	struct host_meet_peer peer;
	int listener = host_meet_publish(&name, FLOOR), fd = host_meet_dial(&name, FLOOR);
	char c;

	close(fd);
	fd = host_meet_accept(listener, FLOOR);
	assert_true(fd >= FLOOR);
	assert_int_equal(host_meet_peer(fd, &peer), 0);
	assert_int_equal(host_meet_receive(fd, &c, 1, NULL, 0, FLOOR), -ECONNRESET);
	assert_int_equal(host_meet_send(fd, "x", 1, NULL, 0), -EPIPE);
	close(fd);
	close(listener);
}

/* In a child: what is asked for there is judged by who reads its exit status. */
static void host_meet__no_descriptor_left(void **state)
{
	struct host_meet_name name = name_at("127.0.0.1", 0), other = name_at("127.0.0.1", 1);
	int listener = host_meet_publish(&name, FLOOR), dialled = host_meet_dial(&name, FLOOR);
	pid_t pid = fork();

	if (pid == 0) {
		/* Numbers below the floor are left, none above it. */
		unsigned n = count_fds();

		limit_files(FLOOR);
		if (host_meet_publish(&other, FLOOR) != -EMFILE || host_meet_dial(&name, FLOOR) != -EMFILE ||
		    host_meet_accept(listener, FLOOR) != -EMFILE || host_meet_memory("x", PAGE, FLOOR) != -EMFILE)
			_exit(1);
		_exit(count_fds() == n ? 0 : 2);
	}
	assert_child_well(pid);
	assert_int_equal(host_meet_dial(&other, FLOOR), -ECONNREFUSED); /* its name went with it */
	close(listener);
	close(dialled);
}

/* --- who is there --- */

static void host_meet_peer__of_both_ends(void **state)
{
	struct host_meet_name name = name_at("127.0.0.1", 0);
	int listener = host_meet_publish(&name, FLOOR), fd;
	struct host_meet_peer peer;
	pid_t parent = getpid(), pid = fork();

	if (pid == 0) {
		/* As another user, where it may be one. */
		int ignored = setresgid(NOBODY - 1, NOBODY - 1, NOBODY - 1) + setresuid(NOBODY, NOBODY, NOBODY);

		(void)ignored;
		fd = host_meet_dial(&name, FLOOR);
		if (fd < 0 || host_meet_peer(fd, &peer) < 0)
			_exit(1);
		_exit(peer.pid == (uint32_t)parent ? 0 : 2);
	}
	assert_child_well(pid);
	fd = host_meet_accept(listener, FLOOR);
	memset(&peer, 0xff, sizeof(peer));
	assert_int_equal(host_meet_peer(fd, &peer), 0);
	assert_int_equal(peer.pid, pid);
	assert_int_equal(peer.uid, geteuid() == 0 ? NOBODY : geteuid());
	assert_int_equal(peer.gid, geteuid() == 0 ? NOBODY - 1 : getegid());
	close(fd);
	close(listener);
}

static void host_meet_peer__nobody(void **state)
{
	struct host_meet_peer peer;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), other = eventfd(0, EFD_CLOEXEC);

	assert_int_equal(host_meet_peer(fd, &peer), -ENOTCONN);
	assert_int_equal(host_meet_peer(other, &peer), -ENOTSOCK);
	close(fd);
	close(other);
}

/* --- messages --- */

static void host_meet_send__with_descriptors(void **state)
{
	int end[2], given[HOST_MEET_FDS], came[HOST_MEET_FDS];
	char message[16];
	uint64_t value;

	meet(end);
	for (unsigned i = 0; i < HOST_MEET_FDS; i++)
		given[i] = eventfd(i + 1, 0); /* neither close-on-exec nor high where it comes from */
	for (unsigned n = 0; n <= HOST_MEET_FDS; n++) {
		int floor = n % 2 ? FLOOR : 0; /* 0: their numbers are as the kernel chose them */

		memset(message, 0, sizeof(message));
		assert_int_equal(host_meet_send(end[0], "0123456789abcdef", 16, given, n), 0);
		assert_int_equal(host_meet_receive(end[1], message, 16, came, n, floor), 0);
		assert_memory_equal(message, "0123456789abcdef", 16);
		for (unsigned i = 0; i < n; i++) {
			assert_true(came[i] >= floor);
			assert_int_equal(fcntl(came[i], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
			assert_int_equal(read(came[i], &value, 8), 8);
			assert_int_equal(value, i + 1);
			assert_int_equal(write(given[i], &value, 8), 8);
			close(came[i]);
		}
	}
	assert_int_equal(host_meet_receive(end[1], message, 16, came, 0, FLOOR), -EAGAIN);
	for (unsigned i = 0; i < HOST_MEET_FDS; i++)
		close(given[i]);
	part(end);
}

/* Also of what was sent before anybody accepted. */
static void host_meet_send__keeps_bounds_and_order(void **state)
{
	struct host_meet_name name = name_at("127.0.0.1", 0);
	int listener = host_meet_publish(&name, FLOOR), end[2];
	char message[3];

	end[0] = host_meet_dial(&name, FLOOR);
	assert_int_equal(host_meet_send(end[0], "a", 1, NULL, 0), 0);
	end[1] = host_meet_accept(listener, FLOOR);
	assert_int_equal(host_meet_send(end[0], "bcd", 3, NULL, 0), 0);
	assert_int_equal(host_meet_receive(end[1], message, 1, NULL, 0, FLOOR), 0);
	assert_int_equal(message[0], 'a');
	assert_int_equal(host_meet_receive(end[1], message, 3, NULL, 0, FLOOR), 0);
	assert_memory_equal(message, "bcd", 3);
	close(listener);
	part(end);
}

static void host_meet_send__what_cannot_be(void **state)
{
	int end[2], fds[HOST_MEET_FDS + 1];
	static char large[1 << 24];

	meet(end);
	for (unsigned i = 0; i <= HOST_MEET_FDS; i++)
		fds[i] = end[0];
	assert_int_equal(host_meet_send(end[0], "x", 0, NULL, 0), -EINVAL);
	assert_int_equal(host_meet_send(end[0], "x", 1, fds, HOST_MEET_FDS + 1), -EINVAL);
	assert_int_equal(host_meet_send(end[0], large, sizeof(large), NULL, 0), -EMSGSIZE);
	fds[1] = -1;
	assert_int_equal(host_meet_send(end[0], "x", 1, fds, 2), -EBADF);
	assert_int_equal(host_meet_receive(end[1], large, 0, NULL, 0, FLOOR), -EINVAL);
	assert_int_equal(host_meet_receive(end[1], large, 1, fds, HOST_MEET_FDS + 1, FLOOR), -EINVAL);
	assert_int_equal(host_meet_receive(end[1], large, 1, NULL, 0, FLOOR), -EAGAIN); /* nothing went */
	part(end);
}

static void host_meet_send__nobody_reads(void **state)
{
	int end[2], fd = eventfd(0, EFD_CLOEXEC), ret;
	unsigned n = 0;
	char c;

	meet(end);
	while ((ret = host_meet_send(end[0], "x", 1, &fd, 1)) == 0 && n < 100000)
		n++;
	assert_int_equal(ret, -EAGAIN);
	assert_true(n > 0);
	close(fd);
	assert_int_equal(host_meet_receive(end[1], &c, 1, &fd, 1, FLOOR), 0);
	close(fd);
	part(end);
}

/* The other end went, with and without having read all: one error, and no SIGPIPE, which would end the test. */
static void host_meet_send__the_other_end_is_gone(void **state)
{
	for (unsigned unread = 0; unread < 2; unread++) {
		int end[2];
		char c;

		meet(end);
		for (unsigned i = 0; i < unread; i++)
			assert_int_equal(host_meet_send(end[0], "x", 1, NULL, 0), 0);
		close(end[1]);
		for (unsigned i = 0; i < 2; i++)
			assert_int_equal(host_meet_send(end[0], "x", 1, NULL, 0), -EPIPE);
		assert_int_equal(host_meet_receive(end[0], &c, 1, NULL, 0, FLOOR), -ECONNRESET);
		close(end[0]);
	}
}

static void host_meet_receive__what_was_sent_before_the_end(void **state)
{
	int end[2], fd = eventfd(0, EFD_CLOEXEC);
	char c = 0;

	meet(end);
	assert_int_equal(host_meet_send(end[0], "x", 1, &fd, 1), 0);
	close(end[0]);
	close(fd);
	assert_int_equal(host_meet_receive(end[1], &c, 1, &fd, 1, FLOOR), 0);
	assert_int_equal(c, 'x');
	close(fd);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(host_meet_receive(end[1], &c, 1, &fd, 1, FLOOR), -ECONNRESET);
	close(end[1]);
}

/* Each other form is refused, and leaves nothing open; what comes behind it is taken. */
static void host_meet_receive__another_form(void **state)
{
	static const struct {
		size_t len;
		unsigned n, n_wanted;
	} forms[] = {
		{ 15, 2, 2 }, { 17, 2, 2 }, { 1, 0, 0 }, { 64, 0, 0 },		/* longer, shorter */
		{ 16, 0, 2 }, { 16, 1, 2 }, { 16, 3, 2 }, { 16, 4, 2 },		/* descriptors */
		{ 16, 0, 1 }, { 16, 2, 1 }, { 16, 3, 1 }, { 16, 1, 0 },
		{ 16, CAN_SEND, 0 }, { 16, CAN_SEND, 1 }, { 16, CAN_SEND, 2 }, { 16, CAN_SEND, HOST_MEET_FDS },
		{ 17, CAN_SEND, HOST_MEET_FDS }, { 64, 1, 0 },
	};
	int end[2], fd = eventfd(0, EFD_CLOEXEC), came[HOST_MEET_FDS];
	char message[16];
	unsigned n;

	meet(end);
	n = count_fds();
	for (size_t i = 0; i < FS_ARRAY_SIZE(forms); i++) {
		send_anything(end[0], forms[i].len, fd, forms[i].n);
		assert_int_equal(host_meet_receive(end[1], message, 16, came, forms[i].n_wanted, FLOOR), -EPROTO);
		assert_int_equal(count_fds(), n);
	}
	assert_int_equal(host_meet_send(end[0], "0123456789abcdef", 16, &fd, 1), 0);
	assert_int_equal(host_meet_receive(end[1], message, 16, came, 1, FLOOR), 0);
	close(came[0]);
	close(fd);
	part(end);
}

/* No bytes read as the end, which it is made to be; descriptors with them do not stay. */
static void host_meet_receive__no_bytes(void **state)
{
	int end[2], fd = eventfd(0, EFD_CLOEXEC), came[2];
	char c;
	unsigned n;

	meet(end);
	n = count_fds();
	send_anything(end[0], 0, -1, 0);
	assert_int_equal(host_meet_receive(end[1], &c, 1, NULL, 0, FLOOR), -ECONNRESET);
	send_anything(end[0], 0, fd, 2);
	assert_int_equal(host_meet_receive(end[1], &c, 1, came, 2, FLOOR), -ECONNRESET);
	send_anything(end[0], 0, fd, CAN_SEND);
	assert_int_equal(host_meet_receive(end[1], &c, 1, came, 2, FLOOR), -ECONNRESET);
	assert_int_equal(count_fds(), n);
	close(fd);
	part(end);
}

/* The sockets themselves, each under way in the other, and ends that nobody holds: the kernel's to clean. */
static void host_meet_receive__sockets_of_the_meeting(void **state)
{
	int end[2], came[2];
	char c;

	meet(end);
	send_anything(end[0], 1, end[1], 2);
	send_anything(end[1], 1, end[0], 2);
	assert_int_equal(host_meet_receive(end[1], &c, 1, came, 2, FLOOR), 0);
	part(came);
	send_anything(end[0], 1, end[1], CAN_SEND);
	part(end);
}

static void host_meet_receive__no_number_for_all(void **state)
{
	/* There is a number for: none; one of two; both, but none above the floor; one above it. */
	static const struct {
		unsigned numbers;
		int floor_up, error;
	} cases[] = {
		{ 0, 0, -EPROTO },
		{ 1, 0, -EPROTO },
		{ 2, 2, -EMFILE },
		{ 3, 2, -EMFILE },
	};
	int end[2], fd = eventfd(0, EFD_CLOEXEC);

	meet(end);
	for (size_t i = 0; i < FS_ARRAY_SIZE(cases); i++) {
		pid_t pid;

		send_anything(end[0], 1, fd, 2);
		pid = fork();
		if (pid == 0) {
			int next, came[2];
			char c;

			do
				next = dup(fd);
			while (next >= 0 && next < end[1]); /* then all numbers up to it are taken */
			limit_files((rlim_t)next + 1 + cases[i].numbers);
			if (host_meet_receive(end[1], &c, 1, came, 2, next + 1 + cases[i].floor_up) != cases[i].error)
				_exit(1);
			/* As many numbers are free again as before. */
			for (unsigned n = 0; n < cases[i].numbers; n++) {
				if (dup(fd) < 0)
					_exit(2);
			}
			_exit(dup(fd) < 0 ? 0 : 3);
		}
		assert_child_well(pid);
	}
	close(fd);
	part(end);
}

/* As a user that may not have more under way than descriptors: sending is refused, and says why. */
static void host_meet_send__too_many_under_way(void **state)
{
	pid_t pid = fork();

	if (pid == 0) {
		int pair[2], fds[HOST_MEET_FDS], ret = 0;
		char c;

		if (geteuid() == 0 && setresuid(NOBODY, NOBODY, NOBODY) < 0)
			_exit(1);
		if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) < 0)
			_exit(1);
		for (unsigned i = 0; i < HOST_MEET_FDS; i++)
			fds[i] = pair[0];
		limit_files(64);
		for (unsigned i = 0; i < 1000 && ret == 0; i++)
			ret = host_meet_send(pair[0], "x", 1, fds, HOST_MEET_FDS);
		if (ret != -ETOOMANYREFS)
			_exit(2);
		/* Others' messages are none the worse. */
		_exit(host_meet_send(pair[1], "y", 1, NULL, 0) == 0 &&
				      host_meet_receive(pair[0], &c, 1, NULL, 0, 0) == 0 && c == 'y'
			      ? 0
			      : 3);
	}
	assert_child_well(pid);
}

/* --- memory --- */

static void host_meet_memory__can_be_shared(void **state)
{
	int fd = host_meet_memory("test-meet", 3 * PAGE, FLOOR);
	uint8_t *a, *b;

	assert_true(fd >= FLOOR);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(host_meet_memory_len(fd), 3 * PAGE);
	a = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	b = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(a != MAP_FAILED && b != MAP_FAILED);
	for (size_t i = 0; i < 3 * PAGE; i++)
		assert_int_equal(a[i], 0);
	a[3 * PAGE - 1] = 7;
	assert_int_equal(b[3 * PAGE - 1], 7);
	munmap(a, 3 * PAGE);
	munmap(b, 3 * PAGE);
	close(fd);
}

static void host_meet_memory__stays_as_it_is(void **state)
{
	int fd = host_meet_memory("test-meet", PAGE, FLOOR);

	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(ftruncate(fd, 2 * PAGE), -1);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	assert_int_equal(host_meet_memory_len(fd), PAGE);
	close(fd);
}

static void host_meet_memory__cannot_be(void **state)
{
	pid_t pid;

	assert_int_equal(host_meet_memory("test-meet", 0, FLOOR), -EINVAL);
	pid = fork();
	if (pid == 0) {
		struct rlimit limit = { PAGE, PAGE };

		setrlimit(RLIMIT_FSIZE, &limit); /* not SIGXFSZ */
		_exit(host_meet_memory("test-meet", PAGE + 1, FLOOR) == -EFBIG &&
				      host_meet_memory("test-meet", PAGE, FLOOR) >= FLOOR
			      ? 0
			      : 1);
	}
	assert_child_well(pid);
}

/* A memfd of @len bytes with @seals. */
static int memory_with(unsigned flags, off_t len, int seals)
{
	int fd = memfd_create("test-meet", MFD_CLOEXEC | MFD_ALLOW_SEALING | flags);

	if (fd < 0)
		return fd;
	assert_int_equal(ftruncate(fd, len), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static void host_meet_memory_len__of_what_it_must_be(void **state)
{
	int fd = memory_with(0, 5 * PAGE, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);

	assert_int_equal(host_meet_memory_len(fd), 5 * PAGE);
	close(fd);
}

static void host_meet_memory_len__of_what_could_change(void **state)
{
	static const int seals[] = {
		0,
		F_SEAL_SEAL,
		F_SEAL_SHRINK | F_SEAL_GROW,
		F_SEAL_SHRINK | F_SEAL_SEAL,
		F_SEAL_GROW | F_SEAL_SEAL,
		F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL | F_SEAL_WRITE,
		F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL | F_SEAL_FUTURE_WRITE,
	};
	int fd;

	for (size_t i = 0; i < FS_ARRAY_SIZE(seals); i++) {
		fd = memory_with(0, PAGE, seals[i]);
		assert_int_equal(host_meet_memory_len(fd), -EPROTO);
		close(fd);
	}
	fd = memory_with(0, 0, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	assert_int_equal(host_meet_memory_len(fd), -EPROTO);
	close(fd);
}

static void host_meet_memory_len__of_other_things(void **state)
{
	char path[] = "/tmp/test-meet-XXXXXX", shm[64], again[64];
	int pair[2], fd[8], n = 0, memory = host_meet_memory("test-meet", PAGE, FLOOR);

	fd[n++] = mkstemp(path);
	assert_int_equal(ftruncate(fd[0], PAGE), 0);
	unlink(path);
	snprintf(shm, sizeof(shm), "/test-meet-%d", (int)getpid());
	fd[n++] = shm_open(shm, O_RDWR | O_CREAT | O_EXCL, 0600); /* of the right file system, and not sealed */
	if (fd[1] >= 0) {
		assert_int_equal(ftruncate(fd[1], PAGE), 0);
		shm_unlink(shm);
	}
	fd[n++] = open("/dev/null", O_RDWR | O_CLOEXEC);
	fd[n++] = eventfd(0, EFD_CLOEXEC);
	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	fd[n++] = pair[0];
	fd[n++] = pair[1];
	/* The right memory, not to be written, or not even read. */
	snprintf(again, sizeof(again), "/proc/self/fd/%d", memory);
	fd[n++] = open(again, O_RDONLY | O_CLOEXEC);
	fd[n++] = open(again, O_PATH | O_CLOEXEC);
	for (int i = 0; i < n; i++) {
		assert_int_equal(host_meet_memory_len(fd[i]), -EPROTO);
		close(fd[i]);
	}
	close(memory);
	assert_int_equal(host_meet_memory_len(-1), -EPROTO);
}

static void host_meet_memory_len__of_huge_pages(void **state)
{
	int fd = memory_with(MFD_HUGETLB, 2 << 20, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);

	/* A kernel without them refuses to make one, and so nobody can send one. */
	assert_int_equal(host_meet_memory_len(fd), -EPROTO);
	close(fd);
}

/* --- bells --- */

static void host_meet_bell__is_one(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uint64_t value;

	assert_int_equal(host_meet_bell(fd), 0);
	assert_int_equal(read(fd, &value, sizeof(value)), -1); /* it was not rung by that */
	close(fd);
	assert_int_equal(host_meet_bell(fd), -EPROTO);
}

static void host_meet_bell__of_other_things(void **state)
{
	/* A file whose name could be taken for it, if a name were all that is looked at. */
	char folder[] = "/tmp/anon_inode:[eventfd]XXXXXX", path[sizeof(folder) + 4];
	int pair[2], ends[2], fd[8], n = 0;

	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/fd", folder);
	fd[n++] = open(path, O_RDWR | O_CREAT | O_NONBLOCK | O_CLOEXEC, 0600);
	unlink(path);
	rmdir(folder);
	assert_int_equal(pipe2(pair, O_CLOEXEC | O_NONBLOCK), 0);
	fd[n++] = pair[0];
	fd[n++] = pair[1];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
	fd[n++] = ends[0];
	fd[n++] = ends[1];
	fd[n++] = eventfd(0, EFD_CLOEXEC); /* blocks */
	fd[n++] = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	fd[n++] = open("/dev/null", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	for (int i = 0; i < n; i++) {
		assert_int_equal(host_meet_bell(fd[i]), -EPROTO);
		close(fd[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(host_meet_publish__and_dial_and_accept),
		T(host_meet_publish__name_says_all),
		T(host_meet_publish__each_part_tells_names_apart),
		T(host_meet_publish__family),
		T(host_meet_publish__child_keeps_the_name),
		T(host_meet_dial__squatter),
		T(host_meet_dial__too_many_wait),
		T(host_meet_accept__who_dialled_is_gone),
		T(host_meet__no_descriptor_left),
		T(host_meet_peer__of_both_ends),
		T(host_meet_peer__nobody),
		T(host_meet_send__with_descriptors),
		T(host_meet_send__keeps_bounds_and_order),
		T(host_meet_send__what_cannot_be),
		T(host_meet_send__nobody_reads),
		T(host_meet_send__the_other_end_is_gone),
		T(host_meet_receive__what_was_sent_before_the_end),
		T(host_meet_receive__another_form),
		T(host_meet_receive__no_bytes),
		T(host_meet_receive__sockets_of_the_meeting),
		T(host_meet_receive__no_number_for_all),
		T(host_meet_send__too_many_under_way),
		T(host_meet_memory__can_be_shared),
		T(host_meet_memory__stays_as_it_is),
		T(host_meet_memory__cannot_be),
		T(host_meet_memory_len__of_what_it_must_be),
		T(host_meet_memory_len__of_what_could_change),
		T(host_meet_memory_len__of_other_things),
		T(host_meet_memory_len__of_huge_pages),
		T(host_meet_bell__is_one),
		T(host_meet_bell__of_other_things),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
