/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * meet_internal.h - what meet.c and meet_dir.c share.
 */
#ifndef FSOCK_HOST_MEET_INTERNAL_H
#define FSOCK_HOST_MEET_INTERNAL_H

#include <stddef.h>

#include "host/meet.h"
#include "sys/sys.h"

enum { MEET_SOCKET_TYPE = SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC };

/* "fsock/2/tcp/4/7f000001/6379/0" with @between in the place of each stroke: version, protocol, family, address, port,
 * nth. 59 characters at the most; how many. */
size_t meet_name_text(const struct host_meet_name *name, const char *between, char *text, size_t size);

/* @fd, or, if @ret says that what was tried with it failed, that error, and @fd is closed. */
static inline int meet_kept(int fd, int ret)
{
	if (ret >= 0)
		return fd;
	sys_close(fd);
	return ret;
}

#endif
