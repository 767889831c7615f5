/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * raw_port.h - one provider port on an interface, without a stack above it: for measuring the ring
 * layer alone (raw_pp, raw_stream) and for testing it against a real kernel (tests/system/xdp_probe).
 *
 * Does:     shared memory for pool, port and rings; open; UDP and TCP frames built by hand; time; the words of
 *           a command line that all of these programs take.
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
	RAW_TCP_HEADER = 32,	   /* with timestamps, as a usual segment of data */
	RAW_TCP_HEADERS = 14 + 40 + RAW_TCP_HEADER, /* at most: IPv6 */
	RAW_CHUNK = 4096,
	RAW_HEADROOM = 64,
	RAW_FD_FLOOR = 200,
};

struct raw_port_args {
	const char *provider; /* name in the registry */
	const char *ifname;
	const char *option;   /* the provider's; "" = none */
	uint32_t chunks;      /* of the pool */
	uint32_t first;	      /* receive queue, by which it sends as well */
	uint32_t queues;      /* receive queues, from the first; 0 = 1 */
	const struct provider_handle *beside; /* as in provider.h; NULL = none */
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

/* Where a frame goes. Ports in host order. */
struct raw_flow {
	struct eth_addr src_mac, dst_mac;
	struct ip_addr src, dst; /* of one family */
	uint16_t src_port, dst_port;
};

/* The text behind "@key=" among the words from the second on, else @missing. */
const char *raw_value(int argc, char **argv, const char *key, const char *missing);
/* The words interface, local, remote, mac, port, provider, option, chunks, first and queues. 0, or -EINVAL. */
int raw_parse(int argc, char **argv, struct raw_port_args *args, struct raw_flow *flow);

/* Map memory and fill in what the interface is. NULL: no memory, or no such interface. */
struct raw_port *raw_port_create(const struct raw_port_args *args);
/* Open the provider on it and name the local address. */
int raw_port_open(struct raw_port *rp, const struct raw_port_args *args);
/* Steer one port of UDP or TCP here, whatever the remote end. */
int raw_port_steer(struct raw_port *rp, uint8_t protocol, uint16_t port);
/* Its counters as members of a JSON object. */
void raw_port_print(struct raw_port *rp);

/* Headers for @payload bytes of UDP data at @at (RAW_HEADERS bytes, 20 more of IPv6). Checksum of UDP is 0: none.
 * Returns their length. */
uint32_t raw_headers(const struct raw_flow *flow, uint32_t payload, uint8_t *at);
/* The same of TCP, @seq and an ACK of nothing: up to RAW_TCP_HEADERS bytes. The checksum is partial: that of the
 * pseudo-header alone (FBUF_CSUM_PARTIAL). Returns the headers' length. */
uint32_t raw_tcp_headers(const struct raw_flow *flow, uint32_t seq, uint32_t payload, uint8_t *at);
/* Write the partial checksum of a segment of @len bytes, its header among them, to @field. */
void raw_partial(const struct raw_flow *flow, uint8_t protocol, uint32_t len, uint8_t *field);
/* Turn a received frame round: addresses and ports change places. */
void raw_turn_round(uint8_t *frame);

int64_t raw_now(void); /* ns of CLOCK_MONOTONIC */
double raw_cpu_seconds(void); /* of this process so far */
int raw_pin(int cpu);  /* this thread to one CPU; 0 or -errno */

#endif
