/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * epinfo.h - what the kernel's epoll sets of this process hold, which no call but /proc/self/fdinfo tells.
 *
 * Threads:  any.
 */
#ifndef FSOCK_HOST_EPINFO_H
#define FSOCK_HOST_EPINFO_H

#include <stdbool.h>
#include <sys/epoll.h>

/* Is @fd an epoll set? A tenth of what it costs to ask what it holds. False as well where /proc says nothing. */
bool host_is_epoll(int fd);

/*
 * Is a member registered as number @fd in the set @epfd? 0, and with what interest and data; a one-shot member that has
 * fired has no bits but EPOLLONESHOT and the like. -ENOENT: no, or @epfd is no set. Other -errno: /proc says nothing.
 */
int host_epoll_interest(int epfd, int fd, struct epoll_event *event);

#endif
