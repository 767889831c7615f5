/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * trouble.h - what happens to hosts besides their links: strangers, forged errors, routes and neighbours that
 * come and go, devices that are busy.
 *
 * Threads: one.
 */
#ifndef FSOCK_TESTS_SIM_TROUBLE_H
#define FSOCK_TESTS_SIM_TROUBLE_H

#include "play.h"
#include "wire/tcp.h"

/* Draw some, to happen until sim_trouble_stop(). */
void sim_trouble_draw(struct sim_play *play, struct sim_random random);
void sim_trouble_stop(struct sim_world *w);

/* A segment as it would come to @host by @port, headers filled in around @h (ports and checksum included). */
struct sim_forged {
	struct ip_addr src, dst;
	struct tcp_hdr h;
	const void *payload;
	uint32_t len;
	uint8_t tos;
	bool bad_checksum;
};
void sim_forge(struct sim_host *host, unsigned port, const struct sim_forged *f);

#endif
