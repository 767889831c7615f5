/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * buffer.c - memory of a channel for datagrams that do not lie in a frame.
 */
#include <errno.h>

#include "api/api_internal.h"
#include "host/mem.h"
#include "sys/sys.h"

struct api_buffer *api_buffer_get(struct fsock_channel *ch)
{
	struct api_buffer *buffer;

	api_lock(&ch->ep->lock);
	buffer = ch->spare;
	if (buffer)
		ch->spare = buffer->next;
	api_unlock(&ch->ep->lock);
	return buffer ? buffer : mem_private(sizeof(*buffer));
}

void api_buffer_put(struct fsock_channel *ch, struct api_buffer *buffer)
{
	api_lock(&ch->ep->lock);
	buffer->next = ch->spare;
	ch->spare = buffer;
	api_unlock(&ch->ep->lock);
}

void api_buffer_lend(struct fsock_channel *ch, struct api_buffer *buffer)
{
	api_lock(&ch->ep->lock);
	buffer->next = ch->lent;
	ch->lent = buffer;
	ch->n_lent++;
	api_unlock(&ch->ep->lock);
}

int api_buffer_return(struct fsock_channel *ch, const struct api_buffer *buffer)
{
	struct api_buffer **at, *found;

	api_lock(&ch->ep->lock);
	for (at = &ch->lent; *at && *at != buffer; at = &(*at)->next)
		continue;
	found = *at;
	if (found) {
		*at = found->next;
		ch->n_lent--;
		found->next = ch->spare;
		ch->spare = found;
	}
	api_unlock(&ch->ep->lock);
	return found ? 0 : -EINVAL;
}

static void free_all(struct api_buffer *buffer)
{
	while (buffer) {
		struct api_buffer *next = buffer->next;

		sys_munmap(buffer, sizeof(*buffer));
		buffer = next;
	}
}

void api_buffer_end(struct fsock_channel *ch)
{
	free_all(ch->lent);
	free_all(ch->spare);
	ch->lent = ch->spare = NULL;
	ch->n_lent = 0;
}
