/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * diag_unix.c - see diag_unix.h.
 */
#include "host/diag_unix.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>

#include "base/err.h"
#include "host/log.h"
#include "host/netlink.h"
#include "sys/sys.h"

enum { MINOR_BITS = 20 }; /* of the kernel's own dev_t */

static bool is_meant(const struct host_nl_attr *table, const struct host_unix_query *query)
{
	const struct host_nl_attr *name = &table[UNIX_DIAG_NAME], *file = &table[UNIX_DIAG_VFS];
	struct unix_diag_vfs vfs;

	if (query->name)
		return name->data && name->len == query->name_len && memcmp(name->data, query->name, name->len) == 0;
	if (!file->data || file->len < sizeof(vfs))
		return false;
	memcpy(&vfs, file->data, sizeof(vfs));
	return vfs.udiag_vfs_ino == (uint32_t)query->inode &&
	       vfs.udiag_vfs_dev == (major(query->device) << MINOR_BITS | minor(query->device));
}

int64_t host_unix_parse(const struct host_nl_msg *msg, const struct host_unix_query *query)
{
	struct host_nl_attr table[UNIX_DIAG_VFS + 1];
	struct unix_diag_msg head;
	int ret = host_nl_msg_attrs(msg, sizeof(head), table, FS_ARRAY_SIZE(table));

	if (ret < 0)
		return ret;
	memcpy(&head, msg->data, sizeof(head));
	return head.udiag_state == TCP_LISTEN && is_meant(table, query) ? (int64_t)head.udiag_ino : 0;
}

struct search {
	const struct host_unix_query *query;
	int64_t inode;
	unsigned n;
};

static int search_answer(const struct host_nl_msg *msg, void *arg)
{
	struct search *search = arg;
	int64_t inode;

	if (msg->type != SOCK_DIAG_BY_FAMILY)
		return 0;
	inode = host_unix_parse(msg, search->query);
	if (inode > 0) {
		search->inode = inode;
		search->n++;
	}
	return inode < 0 ? (int)inode : 0;
}

/* The inode of the one listener that can be meant, or 0. What is shown of a file's inode is half of it, so there may be
 * several. */
static int64_t find_listener(const struct host_unix_query *query, int fd_floor, void *buf, size_t size)
{
	struct unix_diag_req head = {
		.sdiag_family = AF_UNIX,
		.udiag_states = 1u << TCP_LISTEN,
		.udiag_show = query->name ? UDIAG_SHOW_NAME : UDIAG_SHOW_VFS,
	};
	struct search search = { .query = query };
	struct host_nl_req req;
	struct host_nl nl;
	int ret = host_nl_open(&nl, NETLINK_SOCK_DIAG, fd_floor, buf, size);

	if (ret < 0)
		return 0;
	host_nl_req_init(&req, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &head, sizeof(head));
	ret = host_nl_call(&nl, &req, search_answer, &search);
	host_nl_close(&nl);
	return ret == 0 && search.n == 1 ? search.inode : 0;
}

/* Are /proc's numbers those by which this process knows others? */
static bool is_proc_ours(void)
{
	char own[16], shown[16];
	size_t len = host_format(own, sizeof(own), "%d", (int)sys_getpid());

	return sys_readlinkat(AT_FDCWD, "/proc/self", shown, sizeof(shown)) == (ssize_t)len && memcmp(own, shown, len) == 0;
}

bool host_unix_is_held(const struct host_unix_query *query, uint32_t pid, int fd_floor, void *buf,
			size_t size)
{
	char path[48], wanted[32], what[sizeof(wanted)];
	int64_t inode = pid && is_proc_ours() ? find_listener(query, fd_floor, buf, size) : 0;
	size_t len = host_format(wanted, sizeof(wanted), "socket:[%u]", (unsigned)inode);

	for (unsigned fd = 0; inode > 0 && fd < HOST_UNIX_FDS; fd++) {
		ssize_t n;

		host_format(path, sizeof(path), "/proc/%u/fd/%u", pid, fd);
		n = sys_readlinkat(AT_FDCWD, path, what, sizeof(what));
		if (n == -EACCES || n == -EPERM)
			return false;
		if (n == (ssize_t)len && memcmp(what, wanted, len) == 0)
			return true;
	}
	return false;
}
