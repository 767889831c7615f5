/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * meet_name.h - names of listeners (host/meet.h) by their addresses as people write them.
 */
#ifndef FSOCK_TESTS_UNIT_MEET_NAME_H
#define FSOCK_TESTS_UNIT_MEET_NAME_H

#include <arpa/inet.h>

#include "host/meet.h"

static inline struct host_meet_name meet_name_at(const char *address, uint16_t port, unsigned nth)
{
	struct host_meet_name name = { .protocol = IPPROTO_TCP, .nth = (uint16_t)nth, .port = port };
	uint8_t bytes[16];

	if (inet_pton(AF_INET, address, bytes) == 1)
		name.addr = ip_addr_v4(bytes);
	else if (inet_pton(AF_INET6, address, bytes) == 1)
		name.addr = ip_addr_v6(bytes);
	else
		fail_msg("no address: %s", address);
	return name;
}

#endif
