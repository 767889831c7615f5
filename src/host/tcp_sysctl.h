/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_sysctl.h - what the namespace's settings say of TCP (Documentation/networking/ip-sysctl.rst of the kernel).
 *
 * Does:     those of net.ipv4.tcp_* that the engine has a setting of its own for.
 * Does not: congestion control, which a socket shows; what concerns the kernel's memory as a whole.
 * Threads:  any.
 */
#ifndef FSOCK_HOST_TCP_SYSCTL_H
#define FSOCK_HOST_TCP_SYSCTL_H

#include <stdint.h>

#include "tcp/tcp.h"

/* Of a connection, where its program says nothing. */
struct host_tcp_keep {
	uint16_t idle_s, interval_s; /* 0 = as the engine has it */
	uint8_t count;
};

/* Where the calling process finds them. */
#define HOST_TCP_SYSCTL_DIR "/proc/sys/net/ipv4"

/* Change @config and @keep by the files in @dir. What is missing, cannot be read or makes no sense stays. */
void host_tcp_sysctl(const char *dir, struct tcp_config *config, struct host_tcp_keep *keep);

#endif
