/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sock.c - see sock.h.
 */
#include "socket/sock.h"

#include <string.h>

#include "socket/epoll.h"

void sock_init(struct sock *s, struct stats_sock *record, bool v6, uint32_t generation)
{
	memset(s, 0, sizeof(*s));
	list_init(&s->all);
	list_init(&s->items);
	s->record = record;
	s->generation = generation;
	s->pcb.flags = v6 ? UDP_PCB_V6 : 0;
}

unsigned sock_refs(const struct sock *s)
{
	unsigned n = 0;

	for (unsigned i = 0; i < STATS_MAX_PROCS; i++)
		n += s->refs[i];
	return n;
}

bool sock_is_used(const struct sock *s)
{
	for (unsigned i = 0; i < STATS_MAX_PROCS; i++)
		if (s->users[i])
			return true;
	return false;
}

uint32_t sock_sleepers(const struct sock *s)
{
	uint32_t slots = s->sleepers.slots;
	struct list *e;

	LIST_FOR_EACH(e, &s->items)
		slots |= FS_CONTAINER_OF(e, struct epoll_item, of_sock)->set->sleepers.slots;
	return slots;
}

void sock_publish(struct sock *s)
{
	struct stats_sock *r = s->record;

	r->accelerated = s->way == SOCK_FAST && !s->unsteered;
	r->local_port = s->pcb.local_port;
	r->remote_port = s->pcb.remote_port;
	memcpy(r->local, s->pcb.local.b, sizeof(r->local));
	memcpy(r->remote, s->pcb.remote.b, sizeof(r->remote));
	r->drops = s->pcb.drops;
	r->queued_frames = s->pcb.queue.frames;
	r->queued_bytes = s->pcb.charged;
}
