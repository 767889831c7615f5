/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * netns.c - identity of network namespaces.
 *
 * Does not compare with /proc/1/ns/net where it can avoid it: inside a container process 1 is the
 * container's own, and reading its link needs a privilege. Newer kernels (seen on 6.18) give the
 * initial namespace a fixed inode number below all dynamic ones; older ones (5.14 to 6.17) number
 * namespace cookies from 1 in order of creation, and the initial namespace is created first. On
 * either kind of kernel the other kind's mark belongs to no network namespace at all.
 */
#include "host/netns.h"

#include <stddef.h>

#include "sys/sys.h"

enum {
	NETNS_COOKIE_OPTION = 71, /* SO_NETNS_COOKIE */
	INITIAL_COOKIE = 1,
};

#define INITIAL_INODE 0xeffffff9ULL /* NET_NS_INIT_INO; dynamic numbers start at 0xf0000000 */

/* The number in "net:[4026531840]", 0 if @path is no such link. */
static uint64_t inode_of(const char *path)
{
	char text[64];
	uint64_t inode = 0;
	int len = sys_readlinkat(AT_FDCWD, path, text, sizeof(text));

	for (int i = 0; i < len; i++) {
		if (text[i] >= '0' && text[i] <= '9')
			inode = inode * 10 + (uint64_t)(text[i] - '0');
	}
	return inode;
}

uint64_t host_netns_inode(void)
{
	uint64_t inode = inode_of("/proc/thread-self/ns/net");

	return inode ? inode : inode_of("/proc/self/ns/net");
}

uint64_t host_pidns_inode(void)
{
	return inode_of("/proc/self/ns/pid");
}

uint64_t host_userns_inode(void)
{
	return inode_of("/proc/thread-self/ns/user");
}

bool host_pidns_changes(void)
{
	return inode_of("/proc/self/ns/pid") != inode_of("/proc/self/ns/pid_for_children");
}

bool host_time_changes(void)
{
	/* Both are 0 before Linux 5.6, where time is the same everywhere. */
	return inode_of("/proc/self/ns/time") != inode_of("/proc/self/ns/time_for_children");
}

bool host_netns_is_initial(int fd)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);
	uint64_t inode = host_netns_inode();
	uint64_t init;

	if (inode == INITIAL_INODE)
		return true;
	if (sys_getsockopt(fd, SOL_SOCKET, NETNS_COOKIE_OPTION, &cookie, &len) == 0)
		return cookie == INITIAL_COOKIE;
	init = inode_of("/proc/1/ns/net");
	return init == 0 || init == inode;
}
