/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_host_diag_unix.c - which Unix socket listens where.
 */
#include "host/diag_unix.h"

#include <fcntl.h>
#include <linux/unix_diag.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include "host/netlink.h"
#include "host_message.h"

enum { SHOWN = 77, BY_FAMILY = 20 };

static const struct host_unix_query by_name = { .name = "\0name", .name_len = 5 };

/* A socket as sock_diag shows it. */
static struct host_nl_req socket_request(uint8_t state, const void *name, size_t len, uint32_t device, uint32_t inode)
{
	struct unix_diag_msg head = { .udiag_family = AF_UNIX, .udiag_state = state, .udiag_ino = SHOWN };
	struct unix_diag_vfs vfs = { .udiag_vfs_dev = device, .udiag_vfs_ino = inode };
	struct host_nl_req req;

	host_nl_req_init(&req, BY_FAMILY, 0, &head, sizeof(head));
	if (name)
		host_nl_req_put(&req, UNIX_DIAG_NAME, name, len);
	if (inode)
		host_nl_req_put(&req, UNIX_DIAG_VFS, &vfs, sizeof(vfs));
	return req;
}

static int parsed(const struct host_nl_req *req, const struct host_unix_query *query)
{
	struct host_nl_msg msg = message_of(req, BY_FAMILY);

	return (int)host_unix_parse(&msg, query);
}

static void host_unix_parse__names(void **state)
{
	struct host_nl_req req = socket_request(TCP_LISTEN, "\0name", 5, 0, 0);

	assert_int_equal(parsed(&req, &by_name), SHOWN);
	req = socket_request(TCP_LISTEN, "\0name", 4, 0, 0);
	assert_int_equal(parsed(&req, &by_name), 0);
	req = socket_request(TCP_LISTEN, "\0nome", 5, 0, 0);
	assert_int_equal(parsed(&req, &by_name), 0);
	req = socket_request(TCP_ESTABLISHED, "\0name", 5, 0, 0);
	assert_int_equal(parsed(&req, &by_name), 0);
	req = socket_request(TCP_LISTEN, NULL, 0, 1, 2);
	assert_int_equal(parsed(&req, &by_name), 0);
}

static void host_unix_parse__files(void **state)
{
	const struct host_unix_query by_file = { .device = makedev(259, 300), .inode = UINT64_C(0x100000005) };
	struct host_nl_req req = socket_request(TCP_LISTEN, "name", 5, 259 << 20 | 300, 5);

	assert_int_equal(parsed(&req, &by_file), SHOWN);
	req = socket_request(TCP_LISTEN, NULL, 0, 259 << 20 | 301, 5);
	assert_int_equal(parsed(&req, &by_file), 0);
	req = socket_request(TCP_LISTEN, NULL, 0, 259 << 20 | 300, 6);
	assert_int_equal(parsed(&req, &by_file), 0);
	req = socket_request(TCP_LISTEN, "name", 5, 0, 0);
	assert_int_equal(parsed(&req, &by_file), 0);
}

static int parse_any(const struct host_nl_msg *msg)
{
	const struct host_unix_query by_file = { .device = 1, .inode = 2 };

	return (int)(host_unix_parse(msg, &by_name) + host_unix_parse(msg, &by_file));
}

static void host_unix_parse__torture(void **state)
{
	struct host_nl_req req = socket_request(TCP_LISTEN, "\0name", 5, 1, 2);
	struct host_nl_msg msg = message_of(&req, BY_FAMILY);

	message_torture(&msg, parse_any);
}

/* By the kernel of this host. */
static void host_unix_is_held__by_this_process(void **state)
{
	static _Alignas(8) uint8_t buf[HOST_NL_BUF_MIN];
	struct sockaddr_un un = { .sun_family = AF_UNIX, .sun_path = "\0test_host_diag_unix" };
	const struct host_unix_query query = { .name = un.sun_path, .name_len = 20 };
	socklen_t len = offsetof(struct sockaddr_un, sun_path) + 20;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (const struct sockaddr *)&un, len), 0);
	assert_false(host_unix_is_held(&query, (uint32_t)getpid(), 0, buf, sizeof(buf)));
	assert_int_equal(listen(fd, 1), 0);
	assert_true(host_unix_is_held(&query, (uint32_t)getpid(), 0, buf, sizeof(buf)));
	assert_false(host_unix_is_held(&query, (uint32_t)getppid(), 0, buf, sizeof(buf)));
	assert_false(host_unix_is_held(&query, 0, 0, buf, sizeof(buf)));
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(host_unix_parse__names),
		cmocka_unit_test(host_unix_parse__files),
		cmocka_unit_test(host_unix_parse__torture),
		cmocka_unit_test(host_unix_is_held__by_this_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
