/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * igmp6.h - is anybody on this host a member of an IPv6 group? (proc(5), /proc/net/igmp6)
 *
 * For IPv4 the route's answer says so (host/route.h). The kernel has no such answer for IPv6.
 * Threads:  any.
 * Errors:   1, 0 or -errno.
 */
#ifndef FSOCK_HOST_IGMP6_H
#define FSOCK_HOST_IGMP6_H

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

/* 1: @ifindex is a member of @group, whoever joined; 0: not. @buf: some hundred bytes or more. */
int host_igmp6_joined(uint32_t ifindex, const struct ip_addr *group, char *buf, size_t size);

/* The same for one line of @len bytes. Pure. A damaged one is 0. */
int host_igmp6_parse_line(const char *line, size_t len, uint32_t ifindex, const struct ip_addr *group);

#endif
