/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fault.c - the lossy link in memory, as a provider. What happens on the wire is link.c.
 */
#include "provider/fault/fault.h"

#include <errno.h>
#include <string.h>

#include "provider/fault/fault_internal.h"

struct fault_port {
	struct provider_port base;
	struct fault_link *link; /* borrowed */
	unsigned end;
	struct fbuf_queue queued; /* accepted, not kicked; owned */
	struct fbuf_queue sent;	  /* copied to the wire, given back at their stamp; owned */
	uint32_t slots;
	uint32_t busy_kicks;
	bool down;
};

static struct fault_port *port_of(const struct provider_handle *handle)
{
	return (struct fault_port *)(void *)handle->port; /* its first member */
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
			.gso_parts = UINT32_MAX,
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

/* Give back what the wire has. */
static void complete_sent(struct fault_port *p, fs_ns now)
{
	while (p->sent.head && p->sent.head->stamp <= now)
		fbuf_free(fbuf_queue_pop(&p->sent));
}

static unsigned fault_receive(struct provider_handle *handle, struct fbuf **frames, unsigned n)
{
	struct fault_port *p = port_of(handle);
	struct fault_direction *d = &p->link->to[p->end];
	unsigned got = 0;
	struct fbuf *frame;

	complete_sent(p, p->link->now);
	while (!p->down && got < n && (frame = fault_direction_take(d, p->link->now))) {
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
		if (!p->link->wire && is_shared(f) && !(f = part_with(f))) {
			stats->tx_bad++;
			continue;
		}
		fbuf_queue_push(&p->queued, f);
	}
	stats->tx_full += n - i;
	return i;
}

/* Onto the wire, which has memory of its own or that of the sender. */
static void put_on_wire(struct fault_port *p, struct fbuf *frame)
{
	struct fault_link *link = p->link;
	struct fbuf *copy;

	if (!link->wire) {
		fault_link_send(link, !p->end, frame);
		return;
	}
	copy = fbuf_clone_into(frame, link->wire);
	frame->stamp = link->now + link->hold;
	fbuf_queue_push(&p->sent, frame);
	if (copy)
		fault_link_send(link, !p->end, copy);
	else
		link->to[!p->end].counts.no_chunk++;
}

static int fault_kick(struct provider_handle *handle)
{
	struct fault_port *p = port_of(handle);
	struct fbuf *frame;

	complete_sent(p, p->link->now);
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
		put_on_wire(p, frame);
	complete_sent(p, p->link->now);
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
	fbuf_queue_free(&p->sent);
	/* What is under way from here lies in this port's pool, without a wire's own. */
	fault_direction_clear(&p->link->to[!p->end]);
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

const struct fbuf_queue *fault_port_queue(const struct provider_handle *handle, unsigned which)
{
	const struct fault_port *p = port_of(handle);

	return which == 0 ? &p->queued : &p->sent;
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
