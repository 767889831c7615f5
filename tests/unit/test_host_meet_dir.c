/* SPDX-License-Identifier: BSD-2-Clause */
/* Rendezvous by files in a directory: names that die, and who may remove them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "host/meet_dir.h"
#include "meet_name.h"

enum { FLOOR = 300, PORT = 7400 };

static char path[] = "/tmp/fst-meet-XXXXXX";
static int dir;

static struct host_meet_name name_at(const char *address, unsigned nth)
{
	return meet_name_at(address, PORT, nth);
}

static int setup(void **state)
{
	const char *why;

	strcpy(path + sizeof(path) - 7, "XXXXXX");
	if (!mkdtemp(path))
		return -1;
	dir = host_meet_dir_open(path, FLOOR, &why);
	return dir >= FLOOR ? 0 : -1;
}

/* Nothing may be left in it. */
static int teardown(void **state)
{
	close(dir);
	return rmdir(path);
}

static bool is_there(const char *file)
{
	struct stat st;

	return fstatat(dir, file, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* As one leaves it who is killed. */
static void leave_dead(const struct host_meet_name *name)
{
	int fd = host_meet_publish_in(dir, name, FLOOR);

	assert_true(fd >= FLOOR);
	close(fd);
}

static void host_meet_dir_open__says_why_not(void **state)
{
	const char *why;
	char inside[64], file[64];

	snprintf(inside, sizeof(inside), "%s/none", path);
	snprintf(file, sizeof(file), "%s/file", path);
	assert_int_equal(host_meet_dir_open(inside, FLOOR, &why), -ENOENT);
	assert_string_equal(why, "is not there");
	close(open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	assert_int_equal(host_meet_dir_open(file, FLOOR, &why), -ENOTDIR);
	assert_string_equal(why, "is no directory");
	unlink(file);
	assert_int_equal(chmod(path, 0777), 0);
	assert_int_equal(host_meet_dir_open(path, FLOOR, &why), -EPERM);
	assert_string_equal(why, "may be written to by all, and has no sticky bit");
	assert_int_equal(chmod(path, 01777), 0);
	close(host_meet_dir_open(path, FLOOR, &why));
	assert_null(why);
	assert_int_equal(chmod(path, 0700), 0);
	if (geteuid() != 0)
		return;
	assert_int_equal(chown(path, 1234, 1234), 0);
	assert_int_equal(host_meet_dir_open(path, FLOOR, &why), -EPERM);
	assert_string_equal(why, "belongs to another user");
	assert_int_equal(chown(path, 0, 0), 0);
}

static void host_meet_publish_in__and_dialled(void **state)
{
	struct host_meet_name name = name_at("fd77::1", 63), any = name;
	int fd, end[2];

	any.by_any = true;
	assert_int_equal(host_meet_dial_in(dir, &name, FLOOR), -ECONNREFUSED);
	fd = host_meet_publish_in(dir, &name, FLOOR);
	assert_true(fd >= FLOOR);
	assert_true(is_there("fsock-5-tcp-6-fd770000000000000000000000000001-7400-63"));
	assert_int_equal(host_meet_publish_in(dir, &name, FLOOR), -EADDRINUSE);
	assert_int_equal(host_meet_dial_in(dir, &any, FLOOR), -ECONNREFUSED);
	end[0] = host_meet_dial_in(dir, &name, FLOOR);
	end[1] = host_meet_accept(fd, FLOOR);
	assert_true(end[0] >= FLOOR && end[1] >= FLOOR);
	assert_int_equal(host_meet_send(end[0], "hello", 5, NULL, 0), 0);
	close(end[0]);
	close(end[1]);
	close(fd);
	host_meet_bury_in(dir, &name);
	assert_false(is_there("fsock-5-tcp-6-fd770000000000000000000000000001-7400-63"));
}

static void host_meet_publish_in__in_the_place_of_a_dead_one(void **state)
{
	struct host_meet_name name = name_at("10.0.0.1", 0);
	int fd;

	leave_dead(&name);
	assert_true(is_there("fsock-5-tcp-4-0a000001-7400-0"));
	fd = host_meet_publish_in(dir, &name, FLOOR);
	assert_true(fd >= FLOOR);
	close(host_meet_dial_in(dir, &name, FLOOR));
	close(fd);
	host_meet_bury_in(dir, &name);
}

static void host_meet_dial_in__removes_what_is_dead(void **state)
{
	struct host_meet_name name = name_at("10.0.0.1", 0);

	leave_dead(&name);
	assert_int_equal(host_meet_dial_in(dir, &name, FLOOR), -ECONNREFUSED);
	assert_false(is_there("fsock-5-tcp-4-0a000001-7400-0"));
}

/* Another user's link in a directory that all may write to, say. */
static void host_meet_dial_in__follows_no_link(void **state)
{
	struct host_meet_name name = name_at("10.0.0.1", 0), other = name_at("10.0.0.2", 0);
	int fd = host_meet_publish_in(dir, &other, FLOOR), to = host_meet_dial_in(dir, &other, FLOOR);

	assert_true(fd >= FLOOR && to >= FLOOR);
	close(to);
	assert_int_equal(symlinkat("fsock-5-tcp-4-0a000002-7400-0", dir, "fsock-5-tcp-4-0a000001-7400-0"), 0);
	assert_int_equal(host_meet_dial_in(dir, &name, FLOOR) < 0, true);
	close(fd);
	host_meet_dial_in(dir, &name, FLOOR);
	assert_true(is_there("fsock-5-tcp-4-0a000002-7400-0"));
	unlinkat(dir, "fsock-5-tcp-4-0a000001-7400-0", 0);
	host_meet_bury_in(dir, &other);
}

/* Of a socket that some relative has still, also where it takes nobody any more. */
static void host_meet_bury_in__leaves_the_living(void **state)
{
	struct host_meet_name name = name_at("10.0.0.1", 0);
	int fd = host_meet_publish_in(dir, &name, FLOOR), copy = dup(fd);

	close(fd);
	host_meet_bury_in(dir, &name);
	assert_true(is_there("fsock-5-tcp-4-0a000001-7400-0"));
	shutdown(copy, SHUT_RDWR);
	assert_int_equal(host_meet_dial_in(dir, &name, FLOOR), -ECONNREFUSED);
	assert_true(is_there("fsock-5-tcp-4-0a000001-7400-0"));
	assert_int_equal(host_meet_publish_in(dir, &name, FLOOR), -EADDRINUSE);
	close(copy);
	host_meet_bury_in(dir, &name);
	assert_false(is_there("fsock-5-tcp-4-0a000001-7400-0"));
}

/* To look whether somebody lives is no call to him. */
static void host_meet_bury_in__is_not_heard(void **state)
{
	struct host_meet_name name = name_at("10.0.0.1", 0);
	int fd = host_meet_publish_in(dir, &name, FLOOR);

	host_meet_bury_in(dir, &name);
	host_meet_sweep(dir);
	assert_int_equal(host_meet_publish_in(dir, &name, FLOOR), -EADDRINUSE);
	assert_int_equal(host_meet_accept(fd, FLOOR), -EAGAIN);
	close(fd);
	host_meet_bury_in(dir, &name);
}

static void host_meet_sweep__takes_the_dead_alone(void **state)
{
	struct host_meet_name name = name_at("10.0.0.1", 0), lives = name_at("10.0.0.2", 0);
	int fd = host_meet_publish_in(dir, &lives, FLOOR), other;
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	for (name.port = 1; name.port <= 300; name.port++) /* more than one look into the directory shows */
		leave_dead(&name);
	close(openat(dir, "fsock-file", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	snprintf(un.sun_path, sizeof(un.sun_path), "%s/other", path);
	other = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(other, (void *)&un, sizeof(un)), 0);
	close(other);
	assert_int_equal(host_meet_sweep(dir), 300);
	assert_true(is_there("fsock-5-tcp-4-0a000002-7400-0"));
	assert_int_equal(unlinkat(dir, "fsock-file", 0) + unlinkat(dir, "other", 0), 0);
	close(fd);
	host_meet_bury_in(dir, &lives);
}

/* Who keeps the directory locked keeps others from publishing, not from dialling, and not for long. */
static void host_meet_publish_in__where_it_is_locked(void **state)
{
	struct host_meet_name name = name_at("10.0.0.1", 0), next = name_at("10.0.0.2", 0);
	int fd = host_meet_publish_in(dir, &name, FLOOR), held = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_int_equal(flock(held, LOCK_EX), 0);
	assert_int_equal(host_meet_publish_in(dir, &next, FLOOR), -EWOULDBLOCK);
	close(host_meet_dial_in(dir, &name, FLOOR));
	close(fd);
	assert_int_equal(host_meet_dial_in(dir, &name, FLOOR), -ECONNREFUSED);
	assert_true(is_there("fsock-5-tcp-4-0a000001-7400-0"));
	close(held);
	host_meet_bury_in(dir, &name);
}

/* Many take turns with one name, and remove each other's dead ones: nobody who has it is robbed of it. */
static void take_turns(const struct host_meet_name *name, unsigned rounds)
{
	for (unsigned i = 0; i < rounds; i++) {
		int fd = host_meet_publish_in(dir, name, FLOOR), end;

		if (fd < 0) {
			close(host_meet_dial_in(dir, name, FLOOR));
			continue;
		}
		end = host_meet_dial_in(dir, name, FLOOR);
		if (end < 0 && end != -EAGAIN)
			_exit(1);
		close(end);
		close(fd);
		if (i % 2)
			host_meet_bury_in(dir, name);
	}
	_exit(0);
}

static void host_meet_publish_in__races_with_who_removes(void **state)
{
	enum { MANY = 6, ROUNDS = 300 };
	struct host_meet_name name = name_at("10.0.0.1", 0);
	pid_t child[MANY];
	int status;

	for (unsigned i = 0; i < MANY; i++) {
		child[i] = fork();
		if (child[i] == 0)
			take_turns(&name, ROUNDS);
	}
	for (unsigned i = 0; i < MANY; i++) {
		assert_int_equal(waitpid(child[i], &status, 0), child[i]);
		assert_int_equal(status, 0);
	}
	host_meet_bury_in(dir, &name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(host_meet_dir_open__says_why_not, setup, teardown),
		cmocka_unit_test_setup_teardown(host_meet_publish_in__and_dialled, setup, teardown),
		cmocka_unit_test_setup_teardown(host_meet_publish_in__in_the_place_of_a_dead_one, setup, teardown),
		cmocka_unit_test_setup_teardown(host_meet_dial_in__removes_what_is_dead, setup, teardown),
		cmocka_unit_test_setup_teardown(host_meet_dial_in__follows_no_link, setup, teardown),
		cmocka_unit_test_setup_teardown(host_meet_bury_in__leaves_the_living, setup, teardown),
		cmocka_unit_test_setup_teardown(host_meet_bury_in__is_not_heard, setup, teardown),
		cmocka_unit_test_setup_teardown(host_meet_sweep__takes_the_dead_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(host_meet_publish_in__where_it_is_locked, setup, teardown),
		cmocka_unit_test_setup_teardown(host_meet_publish_in__races_with_who_removes, setup, teardown),
	};

	return cmocka_run_group_tests_name("host_meet_dir", tests, NULL, NULL);
}
