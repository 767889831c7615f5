/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * local_peer.c - see local_peer.h.
 */
#include "context/local_peer.h"

#include <stddef.h>

static struct local_peer *set_of(struct local_peers *peers, const struct ip_addr *addr, uint16_t port)
{
	uint64_t hash = (addr->d[0] ^ addr->d[1] ^ port) * UINT64_C(0x9e3779b97f4a7c15);

	return &peers->place[(hash >> 32) % LOCAL_PEER_SETS * LOCAL_PEER_WAYS];
}

static bool is_of(const struct local_peer *p, const struct ip_addr *addr, uint16_t port)
{
	return p->port == port && ip_addr_equal(&p->addr, addr);
}

struct local_peer *local_peer_find(struct local_peers *peers, const struct ip_addr *addr, uint16_t port)
{
	struct local_peer *p = set_of(peers, addr, port);

	for (unsigned i = 0; i < LOCAL_PEER_WAYS; i++)
		if (is_of(&p[i], addr, port))
			return &p[i];
	return NULL;
}

/* Is @a the one to give its place away, rather than @b? */
static bool goes_first(const struct local_peer *a, const struct local_peer *b)
{
	bool a_there = a->state == LOCAL_PEER_THERE, b_there = b->state == LOCAL_PEER_THERE;

	if (!a->port || !b->port)
		return b->port != 0;
	return a_there != b_there ? b_there : a->looked < b->looked;
}

struct local_peer *local_peer_note(struct local_peers *peers, const struct ip_addr *addr, uint16_t port,
				   enum local_peer_state state, fs_ns now)
{
	struct local_peer *p = local_peer_find(peers, addr, port), *set = set_of(peers, addr, port);

	if (!p) {
		p = set;
		for (unsigned i = 1; i < LOCAL_PEER_WAYS; i++)
			if (goes_first(&set[i], p))
				p = &set[i];
		*p = (struct local_peer){ .addr = *addr, .port = port, .by_kernel = state != LOCAL_PEER_THERE };
	}
	p->state = (uint8_t)state;
	p->looked = now;
	return p;
}
