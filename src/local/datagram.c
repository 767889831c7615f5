/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * datagram.c - see datagram.h. Not here: positions in a ring (stream.c), whose a datagram is.
 */
#include "local/datagram.h"

#include <errno.h>

#include "base/counter.h"
#include "base/err.h"
#include "local/bell.h"
#include "local/link.h"
#include "local/link_internal.h"

static inline size_t in_ring(uint32_t len)
{
	return (sizeof(struct local_datagram) + len + LOCAL_DATAGRAM_ALIGN - 1) & ~(size_t)(LOCAL_DATAGRAM_ALIGN - 1);
}

void local_datagrams_init(struct local_link *link, struct local_header *header)
{
	uint8_t *ring[LOCAL_SIDES];

	for (unsigned side = 0; side < LOCAL_SIDES; side++)
		ring[side] = link->arena + local_datagrams_at(link->slots, link->units, side);
	local_tx_init(&link->datagrams.tx, ring[link->side], LOCAL_DATAGRAM_ORDER, &header->datagrams[link->side]);
	local_rx_init(&link->datagrams.rx, ring[1 - link->side], LOCAL_DATAGRAM_ORDER,
		      &header->datagrams[1 - link->side]);
}

bool local_datagram_put(struct local_link *link, const struct local_datagram *head, const struct iovec *iov, int n)
{
	static const uint8_t zeros[LOCAL_DATAGRAM_ALIGN];
	struct iovec all[1 + LOCAL_DATAGRAM_PARTS + 1];
	struct local_span from = { .iov = all, .left = n + 2 };
	size_t whole = in_ring(head->len);
	int put;

	fs_assert(n >= 0 && n <= LOCAL_DATAGRAM_PARTS && head->len <= LOCAL_DATAGRAM_MOST);
	if (link->ended != LOCAL_LINK_UP)
		return false;
	all[0] = (struct iovec){ (void *)head, sizeof(*head) };
	for (int i = 0; i < n; i++)
		all[i + 1] = iov[i];
	all[n + 1] = (struct iovec){ (void *)zeros, whole - sizeof(*head) - head->len };
	put = local_tx_put_whole(&link->datagrams.tx, &from, whole);
	if (put < 0)
		local_link_fail(link, LOCAL_LINK_BAD_POSITION);
	if (put <= 0)
		return false;
	link->datagrams.is_used = true;
	link->tx_bytes += head->len;
	link->counters[FS_CTR_local_bytes_out] += head->len;
	if (local_bell_due(&link->theirs->asleep))
		link->rings = true;
	return true;
}

/* The bytes of the one at @rx->pos, as they lie. */
static void point_at(const struct local_rx *rx, struct local_shown *shown)
{
	size_t at = (size_t)(rx->pos + sizeof(shown->head)) & rx->mask, len = shown->head.len;
	size_t here = FS_MIN(len, (size_t)rx->mask + 1 - at);

	shown->part[0] = (struct iovec){ (void *)(rx->ring + at), here };
	shown->part[1] = (struct iovec){ (void *)rx->ring, len - here };
	shown->n = len == 0 ? 0 : len == here ? 1 : 2;
}

static bool is_possible(const struct local_datagram *head)
{
	return head->kind > 0 && head->kind < LOCAL_N_DATAGRAM_KINDS && head->len <= LOCAL_DATAGRAM_MOST;
}

/* What lies at @rx->pos. Its length there; 0: it is not all there; -EPROTO: it cannot be. */
static ssize_t show(struct local_rx *rx, struct local_shown *shown)
{
	struct iovec to = { &shown->head, sizeof(shown->head) };
	struct local_span span = { .iov = &to, .left = 1 };
	ssize_t there = local_rx_look(rx, sizeof(shown->head));
	size_t whole;

	if (there < (ssize_t)sizeof(shown->head))
		return FS_MIN(there, (ssize_t)0);
	local_rx_copy(rx, &span, 0, sizeof(shown->head));
	/* The copy is all that is looked at from here on: the compiler may not read the ring again. */
	fs_program_order();
	if (!is_possible(&shown->head))
		return -EPROTO;
	whole = in_ring(shown->head.len);
	there = local_rx_look(rx, whole);
	if (there < (ssize_t)whole)
		return FS_MIN(there, (ssize_t)0);
	point_at(rx, shown);
	return (ssize_t)whole;
}

bool local_datagram_next(struct local_link *link, struct local_shown *shown)
{
	ssize_t whole;

	if (link->ended != LOCAL_LINK_UP)
		return false;
	whole = show(&link->datagrams.rx, shown);
	if (whole < 0)
		local_link_fail(link, LOCAL_LINK_BAD_DATAGRAM);
	link->datagrams.here = (uint32_t)FS_MAX(whole, (ssize_t)0);
	link->datagrams.len = shown->head.len;
	return whole > 0;
}

void local_datagram_pass(struct local_link *link)
{
	struct local_datagrams *d = &link->datagrams;

	if (link->ended != LOCAL_LINK_UP)
		return;
	fs_assert(d->here > 0);
	local_rx_pass(&d->rx, d->here);
	local_rx_give_back(&d->rx);
	d->here = 0;
	link->rx_bytes += d->len;
	link->counters[FS_CTR_local_bytes_in] += d->len;
}

bool local_datagram_unread(struct local_link *link, struct local_shown *shown)
{
	struct local_datagrams *d = &link->datagrams;
	struct local_rx *rx = &d->back;
	ssize_t whole;

	if (link->ended == LOCAL_LINK_UP)
		return false;
	if (!rx->ring) {
		*rx = (struct local_rx){ .ring = d->tx.ring, .words = d->tx.words, .mask = d->tx.mask, .ended = true };
		rx->seen_head = d->tx.head;
		rx->pos = d->tx.head - local_tx_unread(&d->tx);
	}
	/* The ring was the other side's to spoil, and where it says it has read; then there is nothing to be had. */
	whole = show(rx, shown);
	if (whole > 0)
		rx->pos += (uint64_t)whole;
	else
		rx->pos = rx->seen_head;
	return whole > 0;
}
