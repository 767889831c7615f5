/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * isn.c - keys by trial: a connection is begun and thrown away for each.
 */
#include "isn.h"

#include "tcp/conn.h"

enum { TRIES_PER_HIT = 3 };

/* What a connection would begin with. */
static tcp_seq trial(struct sim_host *h, uint16_t local_port, const struct ip_addr *remote, uint16_t remote_port, fs_ns at)
{
	struct tcp_conn *c = tcp_open(&h->tcp, NULL);
	tcp_seq iss = 0;

	if (!c)
		return 0;
	if (tcp_connect(c, &h->env, &(struct ip_addr){ 0 }, local_port, remote, remote_port, at) == 0)
		iss = c->iss;
	tcp_abort(c, &h->env, at);
	for (unsigned i = 0; i < h->n_ports; i++)
		fbuf_queue_free(&h->ip.port[i].out);
	return iss;
}

bool sim_isn_before_wrap(struct sim_host *host, uint16_t local_port, const struct ip_addr *remote, uint16_t remote_port,
			 fs_ns at, uint32_t range)
{
	uint64_t tries = TRIES_PER_HIT * ((1ull << 32) / range);

	while (tries-- > 0) {
		for (unsigned k = 0; k < 2; k++)
			host->tcp.secret[TCP_SECRET_ISN].k[k] = sim_random_next(&host->random);
		if (trial(host, local_port, remote, remote_port, at) >= UINT32_MAX - range)
			return true;
	}
	return false;
}
