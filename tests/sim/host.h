/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * host.h - a simulated host: an engine with its memory, and what a driver does for it; and the links between hosts.
 *
 * Does:     build stacks, move frames between engines and links, fire timers, resolve destinations, turn frames
 *           that were too long into ICMP errors, route frames to a sibling engine at the same address.
 * Does not: know connections beyond handing their events up (play.h).
 * Threads:  one.
 * Errors:   sim_fail().
 */
#ifndef FSOCK_TESTS_SIM_HOST_H
#define FSOCK_TESTS_SIM_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/counter.h"
#include "base/fbuf.h"
#include "ip/ip.h"
#include "provider/fault/fault.h"
#include "tcp/conn.h"
#include "tcp/tcp.h"
#include "world.h"

enum {
	SIM_PORTS = 10,
	SIM_HEADROOM = 128,
	SIM_BURST = 64,
	SIM_SEGMENT = 2048,
};

/* Zero = a usable default, see sim_host_create(). */
struct sim_host_config {
	uint32_t pinned, payload; /* chunks */
	uint32_t segments;	  /* chunks of SIM_SEGMENT bytes for super-frames; 0 = no such pool */
	uint32_t chunk;		  /* bytes of the pinned ones */
	uint32_t low_water;	  /* of the pinned pool */
	uint32_t conns, reqs, tws, dsts;
	uint32_t buckets;	  /* of the connection table */
	uint32_t mtu;
	uint32_t burst;		  /* frames taken at once, at most SIM_BURST */
	uint32_t slots;		  /* frames the device takes between kicks */
	fs_ns lazy;		  /* frames and timers are looked at only this often: bursts gather */
	bool tx_csum_partial;
	uint16_t gso;		  /* longest super-frame, bytes; 0 = none */
	bool spread;		  /* frames on the link are split in parts where the host takes them */
	struct tcp_config tcp;
	bool use_tcp_config;	  /* `tcp` holds; otherwise the defaults */
};

struct sim_port {
	struct provider_handle handle;
	struct provider_port *port;
	struct sim_link *link;
	unsigned end; /* of the link */
	char name[12]; /* in captures */
	uint32_t n_waiting; /* frames the device had no room for when it was last given some */
	bool waited;	    /* the frame on its way out was one of them: the engine has moved on since */
};

struct sim_host {
	struct sim_world *world;
	unsigned index;
	char name[8];
	struct sim_host_config config;
	struct ip_stack ip;
	struct tcp_stack tcp;
	struct ip_env env;
	struct fbuf_pool pinned, payload, segments;
	uint64_t counters[FS_CTR_N];
	struct ip_addr v4, v6;
	struct eth_addr mac;
	struct sim_port port[SIM_PORTS];
	unsigned n_ports;
	struct sim_host *sibling; /* has its addresses and links, too, and receives nothing itself; NULL = none */
	bool is_sibling;
	bool unreachable;	  /* resolve() says so: no route */
	unsigned default_port;	  /* to where nobody is known */
	bool quiet;		  /* not looked at after each step: scenarios with many connections */
	struct sim_random random;
	fs_ns driven_at;	  /* last time */
	fs_ns retry_at;		  /* what the device refused is tried again */
	uint32_t busy_percent;	  /* of kicks that are refused once */
	/* What happened in this drive, for whoever looks at the host afterwards. */
	uint32_t segments_in, resets_in, calls, resets_made;
	uint32_t resets_out;	  /* sent, in life */
	uint32_t resets_before;	  /* sent or waiting, when it rested last */
};

/* How a link's router speaks of frames that are too long (RFC 1191, RFC 8201). */
enum sim_icmp_mode {
	SIM_ICMP_HONEST, SIM_ICMP_OLD /* does not say which MTU */, SIM_ICMP_NONE
};

struct sim_link {
	struct fault_link fault;
	struct fbuf_pool wire;
	struct sim_host *host[2];
	unsigned port[2];
	uint8_t icmp[2];   /* enum sim_icmp_mode of the router before end e */
	struct ip_port *ip[2];
};

/* A host with its memory, and no port yet. Its number decides its addresses: 10.0.0.(1+i), fd00::(1+i). */
struct sim_host *sim_host_create(struct sim_world *w, const struct sim_host_config *config);

/* A second engine at @host's addresses and links, which gets the frames that sim_watch.steer gives it. */
struct sim_host *sim_host_sibling(struct sim_host *host, const struct sim_host_config *config);

/* Join two hosts. @chunks: of the memory for frames under way. */
struct sim_link *sim_link_create(struct sim_world *w, struct sim_host *a, struct sim_host *b,
				 const struct fault_config *config, uint32_t chunks);
void sim_link_advance(struct sim_link *link, fs_ns now);

/* Both directions behave as @config from now on. */
void sim_link_set(struct sim_link *link, const struct fault_config *config);

/* When it must be driven; FS_NEVER = nothing is going on. */
fs_ns sim_host_due(const struct sim_host *host);

/* Take frames, fire timers, let programs run, send. */
void sim_host_drive(struct sim_host *host);

/* After calls from outside a drive: send what they queued, and look at the host. */
void sim_host_settle(struct sim_host *host);

/* @bytes arrive at @host by @port, whatever its links do. */
void sim_host_inject(struct sim_host *host, unsigned port, const void *bytes, uint32_t len, uint8_t csum);

/* Frames that wait in providers and out queues, which nobody else owns. */
void sim_host_close(struct sim_host *host);

/* Routes are asked for anew; neighbours become unknown, or known again. */
void sim_host_flap_routes(struct sim_host *host);
void sim_host_neighbours(struct sim_host *host, bool known);

/* The other host on the link of @port. */
struct sim_host *sim_host_peer(const struct sim_host *host, unsigned port);

/* An address of @host, of the family wanted. */
static inline const struct ip_addr *sim_host_addr(const struct sim_host *host, bool v6)
{
	return v6 ? &host->v6 : &host->v4;
}

#endif
