/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ip.c - an ip stack's life and its ports.
 *
 * Frames in are input.c, destinations and templates dst.c.
 */
#include "ip/ip.h"

#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "ip/ip_internal.h"

void ip_init(struct ip_stack *ip, const struct siphash_key *key, struct fbuf_pool *payload,
	     uint64_t *counters, struct table_node **dst_buckets, uint32_t n_dst_buckets)
{
	memset(ip, 0, sizeof(*ip));
	ip->payload = payload;
	ip->counters = counters;
	ip->key = *key;
	table_init(&ip->dsts, dst_buckets, n_dst_buckets);
	slab_init(&ip->dst_slab, sizeof(struct ip_dst));
	list_init(&ip->idle);
	list_init(&ip->busy);
}

static bool conf_is_usable(const struct ip_port *conf)
{
	return conf->ifindex != 0 && conf->n_local <= IP_MAX_LOCAL && conf->pool &&
	       conf->pool->headroom >= IP_TX_HEADROOM;
}

int ip_port_set(struct ip_stack *ip, unsigned port, const struct ip_port *conf)
{
	struct ip_port *p;
	struct fbuf_queue out;
	bool same_mac;

	if (port >= IP_MAX_PORTS || !conf_is_usable(conf))
		return -EINVAL;
	p = &ip->port[port];
	out = p->out;
	same_mac = memcmp(&p->mac, &conf->mac, sizeof(p->mac)) == 0;
	*p = *conf;
	p->out = out;
	if (!same_mac)
		ip_dst_spoil_port(ip, port);
	return 0;
}

int ip_port_clear(struct ip_stack *ip, unsigned port)
{
	if (port >= IP_MAX_PORTS)
		return -EINVAL;
	fbuf_queue_free(&ip->port[port].out);
	ip_dst_flush_port(ip, port);
	neigh_flush_port(&ip->neigh, (uint8_t)port);
	memset(&ip->port[port], 0, sizeof(ip->port[port]));
	return 0;
}

bool ip_port_is_local(const struct ip_port *port, const struct ip_addr *addr)
{
	for (unsigned i = 0; i < port->n_local; i++) {
		if (ip_addr_equal(&port->local[i], addr))
			return true;
	}
	return false;
}
