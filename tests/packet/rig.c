/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rig.c - one engine with TCP and one port.
 *
 * Frames the engine sends are checked here for what holds always: header checksums, addresses, don't-fragment,
 * length within the MTU; a super-frame is cut as a device would. The provider of this rig gives frames back at
 * once.
 */
#include "rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/csum.h"
#include "base/err.h"
#include "neigh/neigh.h"
#include "wire/eth.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/protocol.h"

enum { HEADROOM = 128, DSTS = 16, NEIGHS = 16, IFINDEX = 7, GSO_PARTS = 64 };

static const struct siphash_key key = { { 0x1234, 0x5678 } };
static const struct siphash_key secret[TCP_N_SECRETS] = { { { 1, 2 } }, { { 3, 4 } }, { { 5, 6 } } };

_Noreturn void fs_assert_failed(const char *expression, const char *file, int line)
{
	fprintf(stderr, "Bail out! %s:%d: assertion failed: %s\n", file, line, expression);
	abort();
}

static void *keep(struct rig *r, size_t size)
{
	void *memory = aligned_alloc(64, (size + 63) / 64 * 64);

	if (!memory || r->n_memory == FS_ARRAY_SIZE(r->memory))
		abort();
	memset(memory, 0xa5, size); /* nothing may rely on zeroes it did not write */
	r->memory[r->n_memory++] = memory;
	return memory;
}

static void fill_pool(struct rig *r, struct fbuf_pool *pool, uint32_t count, uint32_t chunk)
{
	fbuf_pool_init(pool, chunk, HEADROOM);
	fbuf_pool_add(pool, keep(r, count * sizeof(struct fbuf)), keep(r, (size_t)count * chunk), count);
}

static void fill_slab(struct rig *r, struct slab *slab, uint32_t count)
{
	size_t bytes = slab_bytes(slab, count);

	slab_add(slab, keep(r, bytes), bytes);
}

/* --- what the engine asks for --- */

static void on_event(void *context, struct tcp_conn *conn, uint32_t edges)
{
	struct rig *r = context;

	if (r->events.event)
		r->events.event(r->events.object, conn, edges);
}

static void on_incoming(void *context, struct tcp_listener *listener)
{
	struct rig *r = context;

	if (r->events.incoming)
		r->events.incoming(r->events.object, listener);
}

static const struct eth_addr gateway = { { 2, 0, 0, 0, 0, 2 } };

static struct ip_dst *resolve(void *context, const struct ip_addr *remote, const struct ip_addr *local,
			      uint64_t choice)
{
	struct rig *r = context;
	struct ip_dst answer = { .remote = *remote,
				 .bound = *local,
				 .choice = choice,
				 .way = IP_DST_FAST,
				 .mtu = r->ip.port[0].mtu };
	struct ip_dst *cached = ip_dst_find(&r->ip, remote, local, choice);
	const struct ip_addr *hop = rig_peer(r, !ip_addr_is_v4(remote));

	if (r->unreachable)
		return NULL;
	if (cached)
		return cached;
	answer.local = *rig_local(r, !ip_addr_is_v4(remote));
	if (r->moved)
		answer.local = ip_addr_is_v4(remote) ? r->other4 : r->other6;
	else if (!ip_addr_is_any(local))
		answer.local = *local;
	answer.neigh = neigh_find(&r->ip.neigh, 0, hop);
	if (!answer.neigh)
		answer.neigh = neigh_learn(&r->ip.neigh, 0, hop, &gateway, NEIGH_VALID, r->now);
	return ip_dst_add(&r->ip, &answer);
}

static const struct tcp_ops ops = { .event = on_event, .incoming = on_incoming, .resolve = resolve };

/* --- life --- */

static void open_port(struct rig *r, const struct rig_config *config)
{
	struct ip_port conf = { .ifindex = IFINDEX,
				.mtu = config->mtu ? config->mtu : RIG_MTU,
				.up = true,
				.pool = &r->pinned,
				.mac = { { 2, 0, 0, 0, 0, 1 } },
				.tx_csum_partial = config->csum_partial,
				.n_local = 4 };

	conf.local[0] = r->v4;
	conf.local[1] = r->v6;
	conf.local[2] = r->other4;
	conf.local[3] = r->other6;
	if (ip_port_set(&r->ip, 0, &conf) < 0)
		abort();
	rig_gso(r, config->gso);
}

void rig_gso(struct rig *r, uint16_t bytes)
{
	r->ip.port[0].tcp_gso = bytes;
	r->ip.port[0].gso_parts = bytes ? GSO_PARTS : 0;
}

struct rig *rig_create(const struct rig_config *config)
{
	static const uint8_t ours[4] = { 10, 0, 0, 1 }, theirs[4] = { 10, 0, 0, 2 }, other[4] = { 10, 0, 0, 3 };
	uint32_t chunk = config->mtu > RIG_MTU ? RIG_CHUNK_LARGE : RIG_CHUNK;
	struct rig *r = calloc(1, sizeof(*r));

	if (!r)
		abort();
	r->start = config->start ? config->start : FS_SEC(1000);
	r->now = r->start;
	r->out_tail = &r->out;
	r->v4 = ip_addr_v4(ours);
	r->peer4 = ip_addr_v4(theirs);
	r->other4 = ip_addr_v4(other);
	r->other6 = (struct ip_addr){ .b = { [0] = 0xfd, [15] = 3 } };
	r->v6 = (struct ip_addr){ .b = { [0] = 0xfd, [15] = 1 } };
	r->peer6 = (struct ip_addr){ .b = { [0] = 0xfd, [15] = 2 } };
	fill_pool(r, &r->pinned, config->pinned ? config->pinned : RIG_PINNED, chunk);
	fill_pool(r, &r->payload, config->pinned ? config->pinned : RIG_PAYLOAD, chunk);
	ip_init(&r->ip, &key, &r->payload, r->counters, r->dst_buckets, RIG_BUCKETS);
	neigh_table_init(&r->ip.neigh, &key, r->neigh_buckets, RIG_BUCKETS);
	fill_slab(r, &r->ip.dst_slab, DSTS);
	fill_slab(r, &r->ip.neigh.slab, NEIGHS);
	open_port(r, config);
	tcp_init(&r->tcp, &r->ip, &key, secret, r->end_buckets, RIG_BUCKETS, r->listener_buckets, RIG_BUCKETS,
		 r->now);
	if (config->use_tcp)
		r->tcp.config = config->tcp;
	fill_slab(r, &r->tcp.conns, RIG_CONNS);
	fill_slab(r, &r->tcp.reqs, RIG_CONNS);
	fill_slab(r, &r->tcp.tws, RIG_CONNS);
	r->env = (struct ip_env){ .csum = csum_ops(CSUM_SCALAR),
				  .tcp_input = tcp_input,
				  .tcp_quick = tcp_quick_input,
				  .context = r,
				  .tcp = &r->tcp,
				  .tcp_ops = &ops,
				  .now = r->now };
	return r;
}

static const char *what_is_left(struct rig *r)
{
	static char text[200];

	if (r->tcp.n_conns || r->tcp.n_orphans || r->tcp.n_tw || r->tcp.ends.count || r->tcp.reqs.in_use ||
	    r->tcp.tws.in_use || r->tcp.listeners.count)
		snprintf(text, sizeof(text),
			 "left: %u connections, %u orphans, %u in TIME-WAIT, %u requests, %u ends, %u listeners",
			 r->tcp.n_conns, r->tcp.n_orphans, r->tcp.n_tw, r->tcp.reqs.in_use,
			 (unsigned)r->tcp.ends.count, (unsigned)r->tcp.listeners.count);
	else if (r->pinned.n_free != r->pinned.n_total || r->payload.n_free != r->payload.n_total)
		snprintf(text, sizeof(text), "left: %u pinned and %u payload chunks",
			 r->pinned.n_total - r->pinned.n_free, r->payload.n_total - r->payload.n_free);
	else
		return NULL;
	return text;
}

const char *rig_destroy(struct rig *r)
{
	fs_ns end = r->now + FS_SEC(RIG_FOREVER_S);
	const char *left;
	struct rig_out *o;

	while (r->now < end && !r->error[0]) {
		rig_advance(r, end);
		while ((o = rig_take(r)) != NULL)
			free(o);
	}
	ip_port_clear(&r->ip, 0);
	left = what_is_left(r);
	for (unsigned i = 0; i < r->n_memory; i++)
		free(r->memory[i]);
	free(r);
	return left;
}

/* --- frames in --- */

static struct fbuf *to_frame(struct rig *r, const uint8_t *bytes, uint32_t len)
{
	struct fbuf *head = fbuf_alloc_chain(&r->pinned, len);

	if (!head || fbuf_append(head, bytes, len) != len)
		abort();
	return head;
}

void rig_inject(struct rig *r, bool v6, const void *packet, uint32_t len)
{
	static uint8_t bytes[RIG_FRAME_MAX + 64];
	struct eth_hdr eth = { .dst = { { 2, 0, 0, 0, 0, 1 } },
			       .src = gateway,
			       .type = v6 ? ETH_TYPE_IPV6 : ETH_TYPE_IPV4 };
	size_t at = eth_emit(&eth, bytes, sizeof(bytes));
	bool alone = !r->in_burst;

	fs_assert(len <= RIG_FRAME_MAX && r->n_held < FS_ARRAY_SIZE(r->held));
	memcpy(bytes + at, packet, len);
	r->held[r->n_held++] = to_frame(r, bytes, (uint32_t)at + len);
	if (alone)
		rig_burst_end(r);
}

void rig_burst_begin(struct rig *r)
{
	r->in_burst = true;
}

void rig_burst_end(struct rig *r)
{
	uint32_t n = r->n_held;

	r->in_burst = false;
	r->n_held = 0;
	r->env.now = r->now;
	ip_input(&r->ip, &r->env, r->held, n, r->now);
	rig_settle(r);
}

/* --- frames out --- */

static bool complain(struct rig *r, const char *what)
{
	if (r->error[0] == '\0')
		snprintf(r->error, sizeof(r->error), "%s", what);
	return false;
}

static bool parse_ip(struct rig *r, const uint8_t *l3, uint32_t len, struct rig_out *o, uint32_t *l4, uint32_t *l4_len)
{
	if (l3[0] >> 4 == 4) {
		struct ipv4_hdr ip;
		int n = ipv4_parse(&ip, l3, len);

		if (n != IPV4_HDR_LEN || ip.total_len != len || ip.protocol != WIRE_PROTO_TCP)
			return complain(r, "bad IPv4 header");
		if (!ipv4_checksum_ok(l3, (size_t)n))
			return complain(r, "bad IPv4 header checksum");
		o->src = ip.src;
		o->dst = ip.dst;
		o->tos = ip.tos;
		o->ttl = ip.ttl;
		o->df = ip.dont_fragment;
		*l4 = IPV4_HDR_LEN;
	} else {
		struct ipv6_hdr ip;
		int n = ipv6_parse(&ip, l3, len);

		if (n != IPV6_HDR_LEN || ip.next_header != WIRE_PROTO_TCP ||
		    (ip.payload_len != len - IPV6_HDR_LEN && len - IPV6_HDR_LEN <= UINT16_MAX))
			return complain(r, "bad IPv6 header");
		o->src = ip.src;
		o->dst = ip.dst;
		o->tos = ip.traffic_class;
		o->ttl = ip.hop_limit;
		o->df = true;
		*l4 = IPV6_HDR_LEN;
	}
	*l4_len = len - *l4;
	return true;
}

static bool checksum_ok(const struct rig_out *o, const uint8_t *l4, uint32_t len, uint8_t csum)
{
	uint64_t pseudo = csum_pseudo(&o->src, &o->dst, WIRE_PROTO_TCP, len);
	be16_t field;

	if (csum != FBUF_CSUM_PARTIAL)
		return csum_finish(csum_add(pseudo, csum_inline(l4, len))).raw == 0;
	memcpy(&field, l4 + 16, sizeof(field));
	return field.raw == csum_partial(pseudo).raw;
}

/* One segment of @whole's payload from @from on. */
static void push_out(struct rig *r, const struct rig_out *whole, const uint8_t *payload, uint32_t from, uint32_t len,
		     bool last)
{
	struct rig_out *o = malloc(sizeof(*o) + len);

	if (!o)
		abort();
	*o = *whole;
	o->next = NULL;
	o->h.seq += from;
	o->len = len;
	if (!last)
		o->h.flags &= (uint16_t)~(TCP_FIN | TCP_PSH);
	if (from > 0)
		o->h.flags &= (uint16_t)~TCP_CWR;
	memcpy(o->payload, payload + from, len);
	*r->out_tail = o;
	r->out_tail = &o->next;
}

/* What a device or the wire makes of a frame. */
static bool capture(struct rig *r, const struct fbuf *frame)
{
	static uint8_t bytes[RIG_FRAME_MAX + 64];
	uint32_t len = fbuf_copy_out(frame, 0, bytes, sizeof(bytes)), l4, l4_len, payload, step;
	const uint8_t *l3 = bytes + ETH_HDR_LEN;
	struct rig_out whole = { .at = r->now };
	int hdr_len;

	if (len != frame->total || len < ETH_HDR_LEN + IPV4_HDR_LEN)
		return complain(r, "frame too long or too short");
	if (!parse_ip(r, l3, len - ETH_HDR_LEN, &whole, &l4, &l4_len))
		return false;
	hdr_len = tcp_parse(&whole.h, l3 + l4, l4_len);
	if (hdr_len < 0)
		return complain(r, "bad TCP header or options");
	if (!checksum_ok(&whole, l3 + l4, l4_len, frame->csum))
		return complain(r, "bad TCP checksum");
	if (frame->csum == FBUF_CSUM_PARTIAL && !r->ip.port[0].tx_csum_partial)
		return complain(r, "partial checksum, which the port does not take");
	whole.n_options = (uint8_t)(hdr_len - TCP_HDR_LEN);
	memcpy(whole.options, l3 + l4 + TCP_HDR_LEN, whole.n_options);
	payload = l4_len - (uint32_t)hdr_len;
	step = frame->gso_size ? frame->gso_size : payload;
	if (frame->gso_size && (payload <= step || payload > r->ip.port[0].tcp_gso))
		return complain(r, "super-frame of one segment, or longer than the port takes");
	if (l4 + (uint32_t)hdr_len + step > r->ip.port[0].mtu)
		return complain(r, "segment longer than the MTU");
	if (payload == 0)
		push_out(r, &whole, l3 + l4 + hdr_len, 0, 0, true);
	for (uint32_t at = 0; at < payload; at += step)
		push_out(r, &whole, l3 + l4 + hdr_len, at, FS_MIN(step, payload - at), at + step >= payload);
	return true;
}

static void collect(struct rig *r)
{
	struct fbuf *frame;

	while ((frame = fbuf_queue_pop(&r->ip.port[0].out)) != NULL) {
		capture(r, frame);
		fbuf_free(frame);
	}
}

void rig_settle(struct rig *r)
{
	r->env.now = r->now;
	tcp_burst_end(&r->tcp, &r->env, r->now);
	collect(r);
}

struct rig_out *rig_take(struct rig *r)
{
	struct rig_out *o = r->out;

	if (!o)
		return NULL;
	r->out = o->next;
	if (!r->out)
		r->out_tail = &r->out;
	return o;
}

/* --- time --- */

void rig_advance(struct rig *r, fs_ns until)
{
	unsigned idle = 0;

	while (!r->out) {
		fs_ns next = tcp_next(&r->tcp);
		fs_ns before = r->now;

		if (next > until)
			break;
		r->now = FS_MAX(next, r->now);
		r->env.now = r->now;
		tcp_advance(&r->tcp, &r->env, r->now);
		rig_settle(r);
		/* An engine that is due again and again at one moment hangs its driver. */
		idle = r->now == before ? idle + 1 : 0;
		if (idle > 1000) {
			complain(r, "the engine is due for ever without the clock moving");
			break;
		}
	}
	if (!r->out)
		r->now = FS_MAX(until, r->now);
	r->env.now = r->now;
}

void rig_link(struct rig *r, bool up)
{
	for (unsigned v6 = 0; v6 < 2; v6++)
		neigh_learn(&r->ip.neigh, 0, rig_peer(r, v6), &gateway, up ? NEIGH_VALID : NEIGH_FAILED, r->now);
}
