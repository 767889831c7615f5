/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tap.c - the filter for packet sockets and the name of an interface.
 *
 * The name is an abstract unix address, which belongs to a network namespace as the interface does, and
 * goes with the process that bound it.
 */
#include "steer/tap.h"

#include <errno.h>
#include <linux/filter.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/err.h"
#include "steer/maps.h"
#include "sys/sys.h"

enum { PACKET_OTHERHOST = 3 };

int steer_tap_filter(int fd)
{
	/* Frames of other stations that promiscuous interfaces see have this type, too, hence the mark. */
	static const struct sock_filter insns[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_PKTTYPE)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_OTHERHOST, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_MARK)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, STEER_TAP_MARK, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	const struct sock_fprog prog = {
		.len = FS_ARRAY_SIZE(insns),
		.filter = (struct sock_filter *)(uintptr_t)insns,
	};

	return sys_setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog));
}

static socklen_t name_of(uint32_t ifindex, struct sockaddr_un *addr)
{
	static const char prefix[] = "\0fsock.tap.";
	char *at = addr->sun_path + sizeof(prefix) - 1;

	memset(addr, 0, sizeof(*addr));
	addr->sun_family = AF_UNIX;
	memcpy(addr->sun_path, prefix, sizeof(prefix) - 1);
	for (int shift = 28; shift >= 0; shift -= 4)
		*at++ = "0123456789abcdef"[ifindex >> shift & 15];
	return (socklen_t)(at - (char *)addr);
}

int steer_tap_lock(uint32_t ifindex, int fd_floor)
{
	struct sockaddr_un addr;
	socklen_t len = name_of(ifindex, &addr);
	int fd = sys_fd_raise(sys_socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), fd_floor);
	int ret;

	if (fd < 0)
		return fd;
	ret = sys_bind(fd, &addr, len);
	if (ret < 0) {
		sys_close(fd);
		return ret == -EADDRINUSE ? -EBUSY : ret;
	}
	return fd;
}

bool steer_tap_held(uint32_t ifindex)
{
	int fd = steer_tap_lock(ifindex, 0);

	if (fd >= 0)
		sys_close(fd);
	return fd == -EBUSY;
}
