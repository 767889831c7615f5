/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fault.c - the lossy link in memory.
 *
 * The order in which a frame meets its fate: queue limit, loss, damage, serialisation, delay,
 * reordering, doubling. A lost frame still takes its time on the line, as it would on a real one.
 */
#include "provider/fault/fault.h"

#include <errno.h>
#include <string.h>

#define FAULT_MAGIC 0x6661756c746c6e6bULL /* "faultlnk" */

struct fault_port {
	struct provider_port base;
	struct fault_link *link; /* borrowed */
	unsigned end;
	struct fbuf_queue queued; /* accepted, not kicked; owned */
	uint32_t slots;
	uint32_t busy_kicks;
	bool down;
};

static struct fault_port *port_of(const struct provider_handle *handle)
{
	return (struct fault_port *)(void *)handle->port; /* its first member */
}

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

static fs_ns random_up_to(struct fault_link *link, fs_ns limit)
{
	uint64_t r = random_next(link);

	return limit > 0 ? (fs_ns)(r % ((uint64_t)limit + 1)) : 0;
}

static bool burst_loses(struct fault_link *link, struct fault_direction *d)
{
	const struct fault_config *c = &d->config;
	bool leaves = happens(link, d->bad ? c->bad_leave : c->bad_enter);

	if (leaves)
		d->bad = !d->bad;
	return happens(link, d->bad ? c->bad_loss : c->good_loss) && c->bad_enter > 0;
}

static void flip_bit(struct fault_link *link, struct fbuf *frame)
{
	uint64_t bit = random_next(link) % ((uint64_t)frame->total * 8);
	uint64_t byte = bit / 8;
	struct fbuf *part = frame;

	while (byte >= part->len) {
		byte -= part->len;
		part = part->next;
	}
	part->data[byte] ^= (uint8_t)(1u << (bit & 7));
}

/* --- the link --- */

void fault_link_init(struct fault_link *link, const struct fault_config *config, uint64_t seed)
{
	memset(link, 0, sizeof(*link));
	link->magic = FAULT_MAGIC;
	link->random = seed;
	link->to[0].config = link->to[1].config = *config;
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

static struct fbuf *in_flight_take(struct fault_direction *d, fs_ns now)
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

/* When the last bit has left; FS_NEVER when the queue before the line is full. */
static fs_ns serialise(struct fault_link *link, struct fault_direction *d, uint32_t bytes)
{
	const struct fault_config *c = &d->config;
	fs_ns start = FS_MAX(link->now, d->line_free);
	uint64_t waiting;

	if (c->rate_bps == 0)
		return link->now;
	waiting = (uint64_t)((unsigned __int128)(uint64_t)(start - link->now) * c->rate_bps / 8 /
			     1000000000u);
	if (c->queue_bytes > 0 && waiting + bytes > c->queue_bytes)
		return FS_NEVER;
	d->line_free = start + (fs_ns)((uint64_t)bytes * 8 * 1000000000u / c->rate_bps);
	return d->line_free;
}

static fs_ns arrival(struct fault_link *link, struct fault_direction *d, fs_ns left)
{
	const struct fault_config *c = &d->config;
	fs_ns at = left + c->delay + random_up_to(link, c->jitter);

	if (happens(link, c->reorder)) {
		d->counts.reordered++;
		return at + c->reorder_by;
	}
	d->last_arrival = FS_MAX(at, d->last_arrival);
	return d->last_arrival;
}

static void send_one(struct fault_link *link, struct fault_direction *d, struct fbuf *frame)
{
	const struct fault_config *c = &d->config;
	fs_ns left = serialise(link, d, frame->total);
	bool lost = happens(link, c->loss);
	struct fbuf *copy;

	d->counts.sent++;
	lost |= burst_loses(link, d);
	if (left == FS_NEVER) {
		d->counts.overflowed++;
		fbuf_free(frame);
		return;
	}
	if (lost) {
		d->counts.lost++;
		fbuf_free(frame);
		return;
	}
	if (happens(link, c->corrupt)) {
		d->counts.corrupted++;
		flip_bit(link, frame);
	}
	frame->stamp = arrival(link, d, left);
	in_flight_insert(d, frame);
	if (!happens(link, c->duplicate))
		return;
	copy = fbuf_clone_into(frame, frame->pool);
	if (!copy)
		return;
	d->counts.doubled++;
	in_flight_insert(d, copy);
}

static void direction_clear(struct fault_direction *d)
{
	struct fbuf *frame;

	while ((frame = in_flight_take(d, FS_NEVER)))
		fbuf_free(frame);
}

/* --- option text: the address of the link and the end --- */

static const char option_key[] = "link=";

void fault_option(const struct fault_link *link, unsigned end, char *to)
{
	static const char digits[] = "0123456789abcdef";
	size_t n = sizeof(option_key) - 1;

	memcpy(to, option_key, n);
	for (int shift = 60; shift >= 0; shift -= 4)
		to[n++] = digits[(uintptr_t)link >> shift & 15];
	to[n++] = ',';
	to[n++] = end ? '1' : '0';
	to[n] = '\0';
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static struct fault_link *option_parse(const char *text, unsigned *end)
{
	struct fault_link *link;
	uint64_t address = 0;

	if (strncmp(text, option_key, sizeof(option_key) - 1) != 0)
		return NULL;
	text += sizeof(option_key) - 1;
	for (int i = 0; i < 16; i++, text++) {
		if (hex_digit(*text) < 0)
			return NULL;
		address = address << 4 | (uint64_t)hex_digit(*text);
	}
	if (text[0] != ',' || (text[1] != '0' && text[1] != '1') || text[2] != '\0')
		return NULL;
	*end = (unsigned)(text[1] - '0');
	link = (struct fault_link *)(uintptr_t)address;
	return link && link->magic == FAULT_MAGIC ? link : NULL;
}

/* --- the contract --- */

static int fault_probe(const struct provider_open_args *args, struct provider_caps *caps)
{
	static const char text[] = "the fault provider serves links in memory only";
	unsigned end;

	if (!option_parse(args->option, &end)) {
		memcpy(args->why, text, sizeof(text));
		return -EOPNOTSUPP;
	}
	if (caps)
		*caps = (struct provider_caps){
			.max_frame = args->mtu + 18,
			.max_parts = UINT32_MAX,
			.max_gso = UINT16_MAX,
			.tx_csum_partial = true,
			.needs_kick = true,
		};
	return 0;
}

static int fault_join(struct provider_handle *handle, struct provider_port *port,
		      const struct provider_hold *from, int fd_floor)
{
	(void)from, (void)fd_floor;
	*handle = (struct provider_handle){ .ops = &provider_fault, .port = port };
	for (int i = 0; i < PROVIDER_MAX_FDS; i++)
		handle->fd[i] = -1;
	return 0;
}

static int fault_open(struct provider_handle *handle, struct provider_port *port,
		      const struct provider_open_args *args)
{
	struct fault_port *p = (struct fault_port *)(void *)port;
	int rc = fault_probe(args, &port->caps);

	if (rc < 0)
		return rc;
	fault_join(handle, port, NULL, 0);
	port->kind = args->kind;
	port->ifindex = args->ifindex;
	port->n_queues = 1;
	port->index = args->index;
	port->pool = args->pool;
	p->link = option_parse(args->option, &p->end);
	p->slots = FAULT_TX_SLOTS;
	return 0;
}

static void fault_fork_child(struct provider_handle *handle)
{
	(void)handle; /* holds nothing but memory */
}

static unsigned fault_receive(struct provider_handle *handle, struct fbuf **frames, unsigned n)
{
	struct fault_port *p = port_of(handle);
	struct fault_direction *d = &p->link->to[p->end];
	unsigned got = 0;
	struct fbuf *frame;

	while (!p->down && got < n && (frame = in_flight_take(d, p->link->now))) {
		struct fbuf *in = fbuf_clone_into(frame, p->base.pool);

		fbuf_free(frame);
		if (!in) {
			d->counts.refused++;
			p->base.stats.rx_no_frame++;
			continue;
		}
		in->port = p->base.index;
		in->stamp = 0;
		if (in->csum != FBUF_CSUM_PARTIAL)
			in->csum = FBUF_CSUM_UNKNOWN;
		d->counts.delivered++;
		p->base.stats.rx_frames++;
		p->base.stats.rx_bytes += in->total;
		frames[got++] = in;
	}
	return got;
}

static bool is_shared(const struct fbuf *frame)
{
	for (; frame; frame = frame->next)
		if (fbuf_is_shared(frame))
			return true;
	return false;
}

/* A copy for the link, which keeps frames for as long as a wire does and damages some; what the sender holds
 * is as free as if a device had read it. NULL: no chunk. */
static struct fbuf *part_with(struct fbuf *frame)
{
	struct fbuf *copy = fbuf_clone_into(frame, frame->pool);

	fbuf_free(frame);
	return copy;
}

static unsigned fault_transmit(struct provider_handle *handle, struct fbuf *const *frames,
			       unsigned n)
{
	struct fault_port *p = port_of(handle);
	struct provider_stats *stats = &p->base.stats;
	unsigned i;

	for (i = 0; i < n && p->queued.frames < p->slots; i++) {
		struct fbuf *f = frames[i];
		bool super = f->gso_size > 0;

		stats->tx_frames++;
		if (f->total == 0 || (!super && f->total > p->base.caps.max_frame) ||
		    (super && f->csum != FBUF_CSUM_PARTIAL)) {
			stats->tx_bad++;
			fbuf_free(f);
			continue;
		}
		stats->tx_bytes += f->total;
		if (is_shared(f) && !(f = part_with(f))) {
			stats->tx_bad++;
			continue;
		}
		fbuf_queue_push(&p->queued, f);
	}
	stats->tx_full += n - i;
	return i;
}

static int fault_kick(struct provider_handle *handle)
{
	struct fault_port *p = port_of(handle);
	struct fbuf *frame;

	if (p->queued.frames == 0)
		return 0;
	p->base.stats.kicks++;
	if (p->down)
		return -ENETDOWN;
	if (p->busy_kicks > 0) {
		p->busy_kicks--;
		p->base.stats.kick_again++;
		return -EAGAIN;
	}
	while ((frame = fbuf_queue_pop(&p->queued)))
		send_one(p->link, &p->link->to[!p->end], frame);
	return 0;
}

static unsigned fault_tx_pending(const struct provider_handle *handle)
{
	return port_of(handle)->queued.frames;
}

static int fault_wait_fd(const struct provider_handle *handle)
{
	(void)handle;
	return -1; /* nobody sleeps here: time is handed in */
}

static bool fault_arm(struct provider_handle *handle)
{
	const struct fault_port *p = port_of(handle);
	const struct fbuf *next = p->link->to[p->end].head;

	return !p->down && next && next->stamp <= p->link->now;
}

static void fault_nothing(struct provider_handle *handle)
{
	(void)handle;
}

static int fault_set_local_addrs(struct provider_handle *handle, const struct ip_addr *addrs,
				 unsigned n)
{
	(void)handle, (void)addrs, (void)n;
	return 0; /* every frame comes */
}

static void fault_heartbeat(struct provider_handle *handle, fs_ns now)
{
	(void)handle, (void)now;
}

static void fault_close(struct provider_handle *handle)
{
	struct fault_port *p = port_of(handle);

	fbuf_queue_free(&p->queued);
	/* What is under way from here lies in this port's pool. */
	direction_clear(&p->link->to[!p->end]);
}

/* --- failures on demand --- */

void fault_port_down(struct provider_handle *handle, bool down)
{
	struct fault_port *p = port_of(handle);

	p->down = down;
	p->base.error = down ? -ENETDOWN : 0;
}

void fault_port_busy(struct provider_handle *handle, uint32_t n)
{
	port_of(handle)->busy_kicks = n;
}

void fault_port_slots(struct provider_handle *handle, uint32_t n)
{
	port_of(handle)->slots = FS_MIN(n, (uint32_t)FAULT_TX_SLOTS);
}

const struct provider_ops provider_fault = {
	.name = "fault",
	.port_size = sizeof(struct fault_port),
	.probe = fault_probe,
	.open = fault_open,
	.fork_child = fault_fork_child,
	.join = fault_join,
	.receive = fault_receive,
	.transmit = fault_transmit,
	.kick = fault_kick,
	.tx_pending = fault_tx_pending,
	.wait_fd = fault_wait_fd,
	.arm = fault_arm,
	.disarm = fault_nothing,
	.set_local_addrs = fault_set_local_addrs,
	.heartbeat = fault_heartbeat,
	.refresh_stats = fault_nothing,
	.close = fault_close,
};
