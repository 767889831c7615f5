/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * link.c - the wire between two ports of the fault provider, and everything that goes wrong on it.
 *
 * The order in which a frame meets its fate: the line is down, the frame is cut or refused for its length,
 * queue limit, marks, loss, damage, serialisation, delay, reordering, doubling. A lost frame still takes its
 * time on the line, as it would on a real one.
 */
#include <string.h>

#include "provider/fault/fault.h"
#include "provider/fault/fault_internal.h"
#include "provider/fault/frame.h"

/* --- chance --- */

/* SplitMix64: every seed is good, and the state is one word. */
static uint64_t random_next(struct fault_link *link)
{
	uint64_t z = link->random += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

/* Always draws, so that changing one chance does not shift what the others see. */
static bool happens(struct fault_link *link, uint32_t per_million)
{
	return random_next(link) % FAULT_MILLION < per_million;
}

static fs_ns random_up_to(uint64_t r, fs_ns limit)
{
	return limit > 0 ? (fs_ns)(r % ((uint64_t)limit + 1)) : 0;
}

static fs_ns jitter(struct fault_link *link, const struct fault_config *c)
{
	uint64_t r = random_next(link), s = random_next(link);

	switch (c->jitter_shape) {
	case FAULT_JITTER_BELL:
		return (random_up_to(r >> 32, c->jitter) + random_up_to(r & UINT32_MAX, c->jitter) +
			random_up_to(s >> 32, c->jitter) + random_up_to(s & UINT32_MAX, c->jitter)) / 4;
	case FAULT_JITTER_TAIL:
		return random_up_to(r, c->jitter) << FS_MIN(__builtin_clzll(s | 1), 6);
	default:
		return random_up_to(r, c->jitter);
	}
}

static bool burst_loses(struct fault_link *link, struct fault_direction *d)
{
	const struct fault_config *c = &d->config;
	bool leaves = happens(link, d->bad ? c->bad_leave : c->bad_enter);

	if (leaves)
		d->bad = !d->bad;
	return happens(link, d->bad ? c->bad_loss : c->good_loss) && c->bad_enter > 0;
}

/* What is lost by count, not by chance. */
static bool is_picked(struct fault_direction *d, const struct fbuf *frame)
{
	const struct fault_config *c = &d->config;
	bool picked = c->loss_mask >> (d->counts.sent & 63) & 1;
	uint32_t kinds;

	if (c->picks[0].kinds == 0)
		return picked;
	kinds = fault_frame_kinds(frame, d->flows);
	for (unsigned i = 0; i < FAULT_PICKS; i++) {
		const struct fault_pick *pick = &c->picks[i];

		if ((pick->kinds & kinds) && (pick->kinds & kinds) == pick->kinds &&
		    ++d->picked[i] >= pick->first && d->picked[i] - pick->first < pick->count)
			picked = true;
	}
	return picked;
}

/* --- the link --- */

void fault_link_init(struct fault_link *link, const struct fault_config *config, uint64_t seed)
{
	memset(link, 0, sizeof(*link));
	link->magic = FAULT_MAGIC;
	link->random = seed;
	for (unsigned e = 0; e < 2; e++) {
		link->to[e].config = *config;
		link->to[e].line = &link->to[e].own_line;
	}
}

void fault_link_advance(struct fault_link *link, fs_ns now)
{
	fs_assert(now >= link->now);
	link->now = now;
}

fs_ns fault_link_next(const struct fault_link *link)
{
	fs_ns next = FS_NEVER;

	for (int e = 0; e < 2; e++)
		if (link->to[e].head)
			next = FS_MIN(next, link->to[e].head->stamp);
	return next;
}

bool fault_link_is_down(const struct fault_link *link, unsigned end)
{
	const struct fault_config *c = &link->to[end].config;
	fs_ns since = link->now - c->down_from;

	if (c->down_for <= 0 || since < 0)
		return false;
	return (c->down_every > 0 ? since % c->down_every : since) < c->down_for;
}

struct fbuf *fault_link_refused(struct fault_link *link, unsigned end)
{
	return fbuf_queue_pop(&link->to[end].refused);
}

/* Put in place by arrival; of equal ones the first stays first. Most go to the end. */
static void in_flight_insert(struct fault_direction *d, struct fbuf *frame)
{
	struct fbuf **at = &d->head;

	if (d->tail && d->tail->stamp <= frame->stamp)
		at = &d->tail->link;
	else
		while (*at && (*at)->stamp <= frame->stamp)
			at = &(*at)->link;
	frame->link = *at;
	*at = frame;
	if (!frame->link)
		d->tail = frame;
}

struct fbuf *fault_direction_take(struct fault_direction *d, fs_ns now)
{
	struct fbuf *frame = d->head;

	if (!frame || frame->stamp > now)
		return NULL;
	d->head = frame->link;
	if (!d->head)
		d->tail = NULL;
	frame->link = NULL;
	return frame;
}

void fault_direction_clear(struct fault_direction *d)
{
	struct fbuf *frame;

	while ((frame = fault_direction_take(d, FS_NEVER)))
		fbuf_free(frame);
	fbuf_queue_free(&d->refused);
}

/* Bytes that wait for the line. */
static uint64_t backlog(const struct fault_link *link, const struct fault_direction *d)
{
	fs_ns wait = d->line->free - link->now;

	if (d->config.rate_bps == 0 || wait <= 0)
		return 0;
	return (uint64_t)((unsigned __int128)(uint64_t)wait * d->config.rate_bps / 8 / 1000000000u);
}

/* When the last bit has left; FS_NEVER when the queue before the line is full. */
static fs_ns serialise(struct fault_link *link, struct fault_direction *d, uint64_t waiting, uint32_t bytes)
{
	const struct fault_config *c = &d->config;

	if (c->rate_bps == 0)
		return link->now;
	if (c->queue_bytes > 0 && waiting + bytes > c->queue_bytes)
		return FS_NEVER;
	d->line->free = FS_MAX(link->now, d->line->free) +
			(fs_ns)((uint64_t)bytes * 8 * 1000000000u / c->rate_bps);
	return d->line->free;
}

static fs_ns arrival(struct fault_link *link, struct fault_direction *d, fs_ns left)
{
	const struct fault_config *c = &d->config;
	fs_ns at = left + c->delay + jitter(link, c);

	if (happens(link, c->reorder)) {
		d->counts.reordered++;
		return at + c->reorder_by;
	}
	d->last_arrival = FS_MAX(at, d->last_arrival);
	return d->last_arrival;
}

static void double_it(struct fault_direction *d, const struct fbuf *frame)
{
	struct fbuf *copy = fbuf_clone_into(frame, frame->pool);

	if (!copy)
		return;
	d->counts.doubled++;
	in_flight_insert(d, copy);
}

static void send_segment(struct fault_link *link, struct fault_direction *d, struct fbuf *frame)
{
	const struct fault_config *c = &d->config;
	uint64_t waiting = backlog(link, d);
	fs_ns left = serialise(link, d, waiting, frame->total);
	bool lost = happens(link, c->loss);

	lost |= burst_loses(link, d);
	lost |= is_picked(d, frame);
	d->counts.sent++;
	if (left == FS_NEVER || lost) {
		if (left == FS_NEVER)
			d->counts.overflowed++;
		else
			d->counts.lost++;
		fbuf_free(frame);
		return;
	}
	if (c->mark_bytes > 0 && waiting > c->mark_bytes && fault_frame_mark(frame))
		d->counts.marked++;
	if (happens(link, c->corrupt)) {
		d->counts.corrupted++;
		fault_frame_flip(frame, random_next(link) % ((uint64_t)frame->total * 8));
	}
	frame->stamp = arrival(link, d, left);
	in_flight_insert(d, frame);
	if (happens(link, c->duplicate))
		double_it(d, frame);
}

/* A router before the line refuses what is too long for it. Of those nobody asks about the oldest goes. */
static bool refuses(struct fault_direction *d, struct fbuf *frame)
{
	if (d->config.mtu == 0 || fault_frame_ip_len(frame) <= d->config.mtu)
		return false;
	d->counts.sent++;
	d->counts.too_long++;
	if (d->refused.frames >= FAULT_REFUSED_MAX)
		fbuf_free(fbuf_queue_pop(&d->refused));
	fbuf_queue_push(&d->refused, frame);
	return true;
}

void fault_link_send(struct fault_link *link, unsigned end, struct fbuf *frame)
{
	struct fault_direction *d = &link->to[end];
	struct fbuf_queue segments = { 0 };

	if (fault_link_is_down(link, end)) {
		d->counts.sent++;
		d->counts.lost++;
		fbuf_free(frame);
		return;
	}
	/* A super-frame that stays one has no whole sum: there is none over many segments. */
	if (d->config.complete && frame->gso_size == 0)
		fault_frame_complete(frame);
	if (!d->config.split)
		fbuf_queue_push(&segments, frame);
	else if (!fault_frame_split(frame, link->wire ? link->wire : frame->pool, &segments))
		d->counts.no_chunk++;
	while ((frame = fbuf_queue_pop(&segments)))
		if (!refuses(d, frame))
			send_segment(link, d, frame);
}
