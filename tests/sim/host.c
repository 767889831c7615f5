/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * host.c - engines with memory, driven over links in memory.
 *
 * Plays the context (driving, resolving, giving memory) and the routers' ICMP. A host is driven when a frame
 * has arrived or a timer is due, or later if it is lazy.
 */
#include "host.h"

#include <stdio.h>
#include <string.h>

#include "alloc.h"
#include "pcap.h"
#include "play.h"
#include "wire/eth.h"
#include "wire/packet.h"
#include "wire/protocol.h"
#include "wire/tcp.h"

enum {
	IFINDEX = 1,
	MTU = 1500,
	ETHERNET = 14,
	SLOTS = FAULT_TX_SLOTS,
	DSTS = 64,
	NEIGHS = 256,
	BUCKETS = 256,
	LISTENER_BUCKETS = 16,
	RETRY_NS = 20000,
};

/* --- building --- */

static void pool_fill(struct sim_world *w, struct fbuf_pool *pool, uint32_t count, uint32_t chunk, uint32_t headroom)
{
	fbuf_pool_init(pool, chunk, headroom);
	fbuf_pool_add(pool, sim_alloc(w, count * sizeof(struct fbuf)), sim_alloc(w, (size_t)count * chunk), count);
}

static void slab_fill(struct sim_world *w, struct slab *s, uint32_t count)
{
	size_t len = slab_bytes(s, count);

	slab_add(s, sim_alloc(w, len), len);
}

static struct table_node **buckets(struct sim_world *w, uint32_t n)
{
	return sim_alloc(w, n * sizeof(struct table_node *));
}

static uint32_t or_else(uint32_t value, uint32_t otherwise)
{
	return value ? value : otherwise;
}

static void fill_in(struct sim_host_config *c)
{
	c->pinned = or_else(c->pinned, 2048);
	c->payload = or_else(c->payload, 1024);
	c->mtu = or_else(c->mtu, MTU);
	c->chunk = or_else(c->chunk, c->mtu + ETHERNET + SIM_HEADROOM <= 2048 ? 2048 : 16384);
	c->conns = or_else(c->conns, 64);
	c->reqs = or_else(c->reqs, 64);
	c->tws = or_else(c->tws, 64);
	c->dsts = or_else(c->dsts, DSTS);
	c->buckets = or_else(c->buckets, BUCKETS);
	c->burst = or_else(c->burst, SIM_BURST);
	c->slots = or_else(c->slots, SLOTS);
	if (!c->use_tcp_config)
		tcp_config_default(&c->tcp);
}

static void keys_draw(struct sim_random *r, struct siphash_key *key, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		for (unsigned k = 0; k < 2; k++)
			key[i].k[k] = sim_random_next(r);
}

static void stack_build(struct sim_host *h)
{
	struct sim_world *w = h->world;
	const struct sim_host_config *c = &h->config;
	struct siphash_key key[1 + TCP_N_SECRETS];

	keys_draw(&h->random, key, FS_ARRAY_SIZE(key));
	pool_fill(w, &h->pinned, c->pinned, c->chunk, SIM_HEADROOM);
	h->pinned.low_water = c->low_water;
	pool_fill(w, &h->payload, c->payload, c->chunk, SIM_HEADROOM);
	if (c->segments)
		pool_fill(w, &h->segments, c->segments, SIM_SEGMENT, SIM_HEADROOM);
	ip_init(&h->ip, &key[0], &h->payload, h->counters, buckets(w, BUCKETS), BUCKETS);
	neigh_table_init(&h->ip.neigh, &key[0], buckets(w, BUCKETS), BUCKETS);
	slab_fill(w, &h->ip.dst_slab, c->dsts);
	slab_fill(w, &h->ip.neigh.slab, NEIGHS);
	tcp_init(&h->tcp, &h->ip, &key[0], &key[1], buckets(w, c->buckets), c->buckets,
		 buckets(w, LISTENER_BUCKETS), LISTENER_BUCKETS, w->now);
	h->tcp.config = c->tcp;
	if (c->segments)
		h->tcp.segments = &h->segments;
	slab_fill(w, &h->tcp.conns, c->conns);
	slab_fill(w, &h->tcp.reqs, c->reqs);
	slab_fill(w, &h->tcp.tws, c->tws);
}

static struct ip_dst *resolve(void *context, const struct ip_addr *remote, const struct ip_addr *local, uint64_t choice);

static void no_datagrams(const struct ip_env *env, const struct packet *p, struct fbuf *frame, fs_ns now)
{
	(void)env, (void)p, (void)now;
	fbuf_free(frame);
}

static const struct tcp_ops host_ops = {
	.event = sim_play_event,
	.incoming = sim_play_incoming,
	.resolve = resolve,
	.released = sim_play_released,
};

static struct sim_host *host_create(struct sim_world *w, const struct sim_host_config *config, unsigned address)
{
	struct sim_host *h = sim_zalloc(w, sizeof(*h));
	const uint8_t v4[4] = { 10, 0, 0, (uint8_t)(1 + address) };

	SIM_CHECK(w, w->n_hosts < SIM_MAX_HOSTS, "hosts");
	h->world = w;
	h->index = w->n_hosts;
	h->config = *config;
	fill_in(&h->config);
	snprintf(h->name, sizeof(h->name), "h%u", h->index);
	h->random = sim_random_stream(w->seed, 1000 + h->index);
	h->v4 = ip_addr_v4(v4);
	h->v6 = (struct ip_addr){ .b = { 0xfd, [15] = (uint8_t)(1 + address) } };
	h->mac = (struct eth_addr){ { 2, 0, 0, 0, 0, (uint8_t)(1 + address) } };
	h->retry_at = FS_NEVER;
	h->driven_at = w->now;
	h->env = (struct ip_env){ .csum = csum_ops(CSUM_SCALAR),
				  .input = no_datagrams,
				  .tcp_input = tcp_input,
				  .tcp_quick = tcp_quick_input,
				  .tcp = &h->tcp,
				  .tcp_ops = &host_ops,
				  .context = h,
				  .now = w->now };
	stack_build(h);
	w->host[w->n_hosts++] = h;
	return h;
}

struct sim_host *sim_host_create(struct sim_world *w, const struct sim_host_config *config)
{
	return host_create(w, config, w->n_hosts);
}

/* --- ports and links --- */

static void port_open(struct sim_host *h, struct sim_link *link, unsigned end)
{
	struct sim_world *w = h->world;
	unsigned index = h->n_ports++;
	struct sim_port *p = &h->port[index];
	char option[FAULT_OPTION_LEN], why[PROVIDER_WHY_LEN];
	struct provider_open_args args = { .mtu = h->config.mtu,
					   .index = (uint8_t)index,
					   .pool = &h->pinned,
					   .option = option,
					   .why = why };
	struct ip_port conf = { .ifindex = IFINDEX + index,
				.mtu = h->config.mtu,
				.up = true,
				.n_local = 2,
				.mac = h->mac,
				.pool = &h->pinned,
				.tx_csum_partial = h->config.tx_csum_partial,
				.tcp_gso = h->config.gso,
				.gso_parts = 17,
				.max_parts = 18 }; /* as on AF_XDP */

	SIM_CHECK(w, index < SIM_PORTS, "ports");
	snprintf(p->name, sizeof(p->name), "%s.%u", h->name, index);
	p->link = link;
	p->end = end;
	p->port = sim_zalloc(w, provider_fault.port_size);
	fault_option(&link->fault, end, option);
	SIM_CHECK(w, provider_fault.open(&p->handle, p->port, &args) == 0, "%s", why);
	fault_port_slots(&p->handle, h->config.slots);
	conf.local[0] = h->v4;
	conf.local[1] = h->v6;
	SIM_CHECK(w, ip_port_set(&h->ip, index, &conf) == 0, "port");
	link->ip[end] = &h->ip.port[index];
}

struct sim_link *sim_link_create(struct sim_world *w, struct sim_host *a, struct sim_host *b,
				 const struct fault_config *config, uint32_t chunks)
{
	struct sim_link *link = sim_zalloc(w, sizeof(*link));

	SIM_CHECK(w, w->n_links < SIM_MAX_LINKS, "links");
	pool_fill(w, &link->wire, chunks, 2048, FAULT_WIRE_HEADROOM);
	fault_link_init(&link->fault, config, sim_random_stream(w->seed, 2000 + w->n_links).state);
	link->fault.wire = &link->wire;
	fault_link_advance(&link->fault, w->now);
	link->host[0] = a;
	link->host[1] = b;
	for (unsigned e = 0; e < 2; e++) {
		link->port[e] = link->host[e]->n_ports;
		port_open(link->host[e], link, e);
	}
	w->link[w->n_links++] = link;
	return link;
}

struct sim_host *sim_host_sibling(struct sim_host *host, const struct sim_host_config *config)
{
	struct sim_host *h = host_create(host->world, config, host->index);

	h->is_sibling = true;
	host->sibling = h;
	for (unsigned i = 0; i < host->n_ports; i++)
		port_open(h, host->port[i].link, host->port[i].end);
	return h;
}

void sim_link_advance(struct sim_link *link, fs_ns now)
{
	fault_link_advance(&link->fault, now);
}

void sim_link_set(struct sim_link *link, const struct fault_config *config)
{
	link->fault.to[0].config = link->fault.to[1].config = *config;
}

struct sim_host *sim_host_peer(const struct sim_host *host, unsigned port)
{
	return host->port[port].link->host[!host->port[port].end];
}

/* --- resolving --- */

static unsigned port_towards(const struct sim_host *h, const struct ip_addr *remote)
{
	for (unsigned i = 0; i < h->n_ports; i++) {
		const struct sim_host *peer = sim_host_peer(h, i);

		if (ip_addr_equal(remote, &peer->v4) || ip_addr_equal(remote, &peer->v6))
			return i;
	}
	return h->default_port;
}

static struct ip_dst *resolve(void *context, const struct ip_addr *remote, const struct ip_addr *local, uint64_t choice)
{
	struct sim_host *h = context;
	struct ip_dst *dst = ip_dst_find(&h->ip, remote, local, choice);
	struct ip_dst answer = { .remote = *remote, .bound = *local, .choice = choice, .way = IP_DST_FAST };

	if (h->unreachable)
		return NULL;
	if (dst)
		return dst;
	answer.port = (uint8_t)port_towards(h, remote);
	answer.local = ip_addr_is_any(local) ? *sim_host_addr(h, !ip_addr_is_v4(remote)) : *local;
	answer.mtu = h->config.mtu;
	answer.neigh = neigh_find(&h->ip.neigh, answer.port, remote);
	if (!answer.neigh)
		answer.neigh = neigh_learn(&h->ip.neigh, answer.port, remote, &sim_host_peer(h, answer.port)->mac,
					   NEIGH_VALID, h->world->now);
	return answer.neigh ? ip_dst_add(&h->ip, &answer) : NULL;
}

void sim_host_flap_routes(struct sim_host *host)
{
	ip_dst_flush(&host->ip);
}

void sim_host_neighbours(struct sim_host *host, bool known)
{
	for (unsigned i = 0; i < host->n_ports; i++) {
		const struct sim_host *peer = sim_host_peer(host, i);

		for (unsigned v6 = 0; v6 < 2; v6++)
			neigh_learn(&host->ip.neigh, (uint8_t)i, sim_host_addr(peer, v6), &peer->mac,
				    known ? NEIGH_VALID : NEIGH_FAILED, host->world->now);
	}
}

/* --- ICMP --- */

struct icmp_event {
	struct sim_host *host;
	struct tcp_icmp icmp;
};

static void icmp_arrives(struct sim_world *w, void *object, uint64_t argument)
{
	struct icmp_event *e = object;

	(void)argument;
	sim_doing = "ICMP error";
	tcp_icmp_input(&e->host->tcp, &e->host->env, &e->icmp, w->now);
	if (e->host->sibling)
		tcp_icmp_input(&e->host->sibling->tcp, &e->host->sibling->env, &e->icmp, w->now);
	sim_host_settle(e->host);
	if (e->host->sibling)
		sim_host_settle(e->host->sibling);
}

/* The router before end @end says that @frame was too long. */
static void answer_too_long(struct sim_link *link, unsigned end, const struct fbuf *frame)
{
	struct sim_host *from = link->host[!end];
	struct icmp_event *e;
	struct packet p;

	if (link->icmp[end] == SIM_ICMP_NONE ||
	    packet_parse(&p, frame->data, frame->len, frame->total) != PACKET_OK || p.protocol != WIRE_PROTO_TCP)
		return;
	e = sim_zalloc(from->world, sizeof(*e));
	e->host = from;
	e->icmp = (struct tcp_icmp){ .local = p.src,
				     .remote = p.dst,
				     .local_port = p.src_port,
				     .remote_port = p.dst_port,
				     .seq = be32_load(frame->data + p.l4_offset + 4),
				     .kind = TCP_ICMP_TOO_BIG,
				     .mtu = link->icmp[end] == SIM_ICMP_OLD && !p.is_v6
						    ? 0
						    : link->fault.to[end].config.mtu,
				     .error = EMSGSIZE };
	sim_at(from->world, from->world->now + link->fault.to[!end].config.delay, icmp_arrives, e, 0);
}

static void take_refused(struct sim_link *link, unsigned end)
{
	struct fbuf *frame;

	while ((frame = fault_link_refused(&link->fault, end))) {
		answer_too_long(link, end, frame);
		fbuf_free(frame);
	}
}

/* --- out --- */

static void note_frame(struct sim_world *w, const struct fbuf *frame)
{
	uint32_t n = FS_MIN(frame->len, 120u);
	uint64_t word;

	for (uint32_t i = 0; i + 8 <= n; i += 8) {
		memcpy(&word, frame->data + i, 8);
		sim_note(w, word);
	}
	sim_note(w, frame->total);
}

static bool is_reset(const struct fbuf *frame)
{
	struct packet p;

	return packet_parse(&p, frame->data, frame->len, frame->total) == PACKET_OK &&
	       p.protocol == WIRE_PROTO_TCP && (frame->data[p.l4_offset + 13] & TCP_RST);
}

/* Resets that wait for the device. */
static uint32_t resets_waiting(const struct sim_host *h)
{
	uint32_t n = 0;

	for (unsigned i = 0; i < h->n_ports; i++)
		for (const struct fbuf *f = h->ip.port[i].out.head; f; f = f->link)
			n += is_reset(f);
	return n;
}

static void push_front(struct fbuf_queue *q, struct fbuf *frame)
{
	frame->link = q->head;
	q->head = frame;
	if (!q->tail)
		q->tail = frame;
	q->frames++;
}

static void flush_port(struct sim_host *h, unsigned index)
{
	struct sim_port *p = &h->port[index];
	struct sim_world *w = h->world;
	const struct provider_ops *ops = p->handle.ops;
	struct fbuf *frame;

	while (ops->tx_pending(&p->handle) < h->config.slots &&
	       (frame = fbuf_queue_pop(&h->ip.port[index].out))) {
		note_frame(w, frame);
		p->waited = p->n_waiting > 0;
		p->n_waiting -= p->waited;
		h->resets_out += is_reset(frame);
		if (w->pcap)
			sim_pcap_frame(w->pcap, p->name, true, frame, w->now);
		if (w->watch.sending)
			w->watch.sending(w, h, index, frame);
		if (w->watch.mangle)
			w->watch.mangle(w, h, index, frame);
		if (ops->transmit(&p->handle, &frame, 1) == 0) {
			push_front(&h->ip.port[index].out, frame);
			sim_fail(w, "the device refused what it has room for");
		}
	}
	p->n_waiting = h->ip.port[index].out.frames;
	if (h->busy_percent > 0 && sim_chance(&h->random, h->busy_percent))
		fault_port_busy(&p->handle, 1);
	ops->kick(&p->handle);
	take_refused(p->link, !p->end);
	if (ops->tx_pending(&p->handle) > 0 || h->ip.port[index].out.frames > 0)
		h->retry_at = FS_MIN(h->retry_at, w->now + RETRY_NS);
}

static void flush(struct sim_host *h)
{
	struct sim_alloc_plan *plan = sim_alloc_enter(); /* a full wire is no failed allocation */

	h->retry_at = FS_NEVER;
	for (unsigned i = 0; i < h->n_ports; i++)
		flush_port(h, i);
	sim_alloc_leave(plan);
}

/* --- in --- */

/* The headers stay together, the rest is torn where @r says: as a device with small buffers gives frames. */
static struct fbuf *tear(struct sim_host *h, struct fbuf *frame)
{
	uint32_t first = 128 + (uint32_t)sim_below(&h->random, 64), rest;
	struct fbuf *tail;

	if (frame->next || frame->total <= first + 1)
		return frame;
	rest = frame->total - first;
	tail = fbuf_alloc(frame->pool);
	if (!tail)
		return frame;
	memcpy(tail->data, frame->data + first, rest);
	tail->len = rest;
	frame->len = first;
	frame->next = tail;
	return frame;
}

static void take_frame(struct sim_host *h, unsigned port, struct fbuf *frame)
{
	struct sim_world *w = h->world;
	struct sim_host *to = h;

	note_frame(w, frame);
	if (w->pcap)
		sim_pcap_frame(w->pcap, h->port[port].name, false, frame, w->now);
	if (h->sibling && w->watch.steer)
		to = w->watch.steer(w, h, frame);
	if (to != h) {
		struct sim_alloc_plan *plan = sim_alloc_enter();
		struct fbuf *copy = fbuf_clone_into(frame, &to->pinned);

		sim_alloc_leave(plan);
		fbuf_free(frame);
		frame = copy;
		if (!frame)
			return;
	}
	if (w->watch.received)
		w->watch.received(w, to, port, frame);
	if (h->config.spread)
		frame = tear(h, frame);
	ip_input(&to->ip, &to->env, &frame, 1, w->now);
}

static void receive(struct sim_host *h)
{
	struct fbuf *frames[SIM_BURST];

	for (unsigned i = 0; i < h->n_ports; i++) {
		const struct provider_ops *ops = h->port[i].handle.ops;
		unsigned n = ops->receive(&h->port[i].handle, frames, h->config.burst);

		for (unsigned k = 0; k < n; k++)
			take_frame(h, i, frames[k]);
	}
}

void sim_host_inject(struct sim_host *host, unsigned port, const void *bytes, uint32_t len, uint8_t csum)
{
	struct sim_alloc_plan *plan = sim_alloc_enter();
	struct fbuf *frame = fbuf_alloc_chain(&host->pinned, len);

	sim_alloc_leave(plan);
	if (!frame)
		return;
	fbuf_append(frame, bytes, len);
	frame->csum = csum;
	frame->port = (uint8_t)port;
	take_frame(host, port, frame);
}

/* --- driving --- */

static fs_ns frames_due(const struct sim_host *h)
{
	fs_ns due = FS_NEVER;

	if (h->is_sibling)
		return due;
	for (unsigned i = 0; i < h->n_ports; i++) {
		const struct sim_port *p = &h->port[i];
		const struct fbuf *first = p->link->fault.to[p->end].head;

		if (first)
			due = FS_MIN(due, first->stamp);
	}
	return due;
}

fs_ns sim_host_due(const struct sim_host *h)
{
	fs_ns due = FS_MIN(frames_due(h), tcp_next(&h->tcp));

	if (h->config.lazy > 0 && due != FS_NEVER)
		due = FS_MAX(due, h->driven_at + h->config.lazy);
	return FS_MAX(FS_MIN(due, h->retry_at), h->world->now);
}

static void burst_ends(struct sim_host *h)
{
	tcp_burst_end(&h->tcp, &h->env, h->world->now);
	flush(h);
}

void sim_host_settle(struct sim_host *h)
{
	struct sim_world *w = h->world;

	burst_ends(h);
	if (w->watch.programs)
		w->watch.programs(w, h);
	burst_ends(h);
	h->resets_made = h->resets_out + resets_waiting(h) - h->resets_before;
	if (w->watch.resting && !h->quiet)
		w->watch.resting(w, h);
	h->resets_before = h->resets_out + resets_waiting(h);
	h->segments_in = h->resets_in = h->calls = 0;
}

void sim_host_drive(struct sim_host *h)
{
	struct sim_world *w = h->world;

	sim_doing = h->name;
	h->driven_at = w->now;
	h->env.now = w->now;
	if (h->sibling)
		h->sibling->env.now = w->now;
	if (!h->is_sibling)
		receive(h);
	tcp_advance(&h->tcp, &h->env, w->now);
	sim_host_settle(h);
	if (h->sibling)
		sim_host_settle(h->sibling);
}

void sim_host_close(struct sim_host *h)
{
	for (unsigned i = 0; i < h->n_ports; i++) {
		h->port[i].handle.ops->close(&h->port[i].handle);
		ip_port_clear(&h->ip, i);
	}
}
