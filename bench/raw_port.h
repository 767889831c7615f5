/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * raw_port.h - one provider port on an interface, without a stack above it: for measuring the ring
 * layer alone (raw_pp) and for testing it against a real kernel (tests/system/xdp_probe).
 *
 * Does:     shared memory for pool, port and rings; open; UDP frames built by hand; time.
 * Does not: control plane: interface facts are asked once, addresses and MACs come as arguments.
 * Threads:  one.
 * Errors:   0 or -errno as provider.h's open(); raw_port.why says why.
 */
#ifndef FSOCK_BENCH_RAW_PORT_H
#define FSOCK_BENCH_RAW_PORT_H

#include <stdint.h>

#include "provider/provider.h"

enum {
	RAW_HEADERS = 14 + 20 + 8, /* Ethernet, IPv4, UDP */
	RAW_CHUNK = 4096,
	RAW_HEADROOM = 64,
	RAW_FD_FLOOR = 200,
};

struct raw_port_args {
	const char *provider; /* name in the registry */
	const char *ifname;
	const char *option;   /* the provider's; "" = none */
	uint32_t chunks;      /* of the pool */
	uint32_t queues;      /* receive queues, from the first; 0 = 1 */
	struct ip_addr local; /* only frames to this address come */
};

/* Port and pool lie in shared memory, so forked children see the same; the rest is each process's. */
struct raw_port {
	struct provider_handle handle;
	struct provider_port *port;
	struct fbuf_pool *pool;
	uint32_t ifindex, mtu;
	struct eth_addr mac;
	char driver[32];
	char why[PROVIDER_WHY_LEN];
};

/* Where a UDP frame goes. Ports in host order. */
struct raw_flow {
	struct eth_addr src_mac, dst_mac;
	struct ip_addr src, dst; /* IPv4 */
	uint16_t src_port, dst_port;
};

/* Map memory and fill in what the interface is. NULL: no memory, or no such interface. */
struct raw_port *raw_port_create(const struct raw_port_args *args);
/* Open the provider on it and name the local address. */
int raw_port_open(struct raw_port *rp, const struct raw_port_args *args);
/* Steer one UDP port here, whatever the remote end. */
int raw_port_steer(struct raw_port *rp, uint16_t udp_port);

/* Headers for @payload bytes of UDP data at @at (RAW_HEADERS bytes). Checksum of UDP is 0: none. */
void raw_headers(const struct raw_flow *flow, uint32_t payload, uint8_t *at);
/* Turn a received frame round: addresses and ports change places. */
void raw_turn_round(uint8_t *frame);

int64_t raw_now(void); /* ns of CLOCK_MONOTONIC */
int raw_pin(int cpu);  /* this thread to one CPU; 0 or -errno */

#endif
