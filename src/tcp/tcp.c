/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp.c - the stack, its tables, and a segment's first steps: verified, parsed, brought to the end it is for.
 *
 * Connections, requests and TIME-WAITs are in one table by the keyed hash of their 4-tuple, since a segment
 * can belong to one of them only; listeners are in another by their port.
 * Not here: what a segment means (input.c, request.c, timewait.c, listen.c).
 * Standards: RFC 9293 3.1, 3.10.7; RFC 1071.
 */
#include "tcp/tcp.h"

#include <string.h>

#include "base/counter.h"
#include "base/err.h"
#include "ip/header.h"
#include "tcp/request.h"
#include "tcp/shares.h"
#include "tcp/tcp_internal.h"
#include "tcp/timewait.h"
#include "wire/protocol.h"

enum {
	/* Bytes of source and destination at the end of the IP header. */
	V4_ADDRESSES = 8,
	V6_ADDRESSES = 32,

	/* The two ECN bits of TOS and traffic class (RFC 3168 5). */
	ECN_BITS = 3,
	ECN_CE = 3,

	FLAGS_AT = 13, /* of the flags in the header */
};

void tcp_config_default(struct tcp_config *config)
{
	*config = (struct tcp_config){
		.rto_min_us = 200000,
		.rto_initial_us = 1000000,
		.rto_max_us = 120000000,
		.delack_min_us = 40000,
		.delack_max_us = 200000,
		.initial_cwnd = 10,
		.rcvbuf = { 4096, 131072, 6291456 },
		.sndbuf = { 4096, 16384, 4194304 },
		.max_reordering = 300,
		.tw_us = 60000000,
		.fin_timeout_us = 60000000,
		.max_tw = 262144,
		.challenge_per_s = 2, /* RFC 5961 7: ten in five seconds */
		.base_mss = 1024,
		.syn_retries = 6,
		.synack_retries = 5,
		.retries1 = 3,
		.retries2 = 15,
		.orphan_retries = 8,
		.ecn = 2,
		.syncookies = 1,
		.fastopen = 1,
		.timestamps = true,
		.sack = true,
		.window_scaling = true,
		.slow_start_after_idle = true,
	};
}

void tcp_init(struct tcp_stack *tcp, struct ip_stack *ip, const struct siphash_key *key,
	      const struct siphash_key *secret, struct table_node **end_buckets, uint32_t n_end,
	      struct table_node **listener_buckets, uint32_t n_listener, fs_ns now)
{
	memset(tcp, 0, sizeof(*tcp));
	tcp->ip = ip;
	tcp_config_default(&tcp->config);
	tcp->key = *key;
	memcpy(tcp->secret, secret, sizeof(tcp->secret));
	table_init(&tcp->ends, end_buckets, n_end);
	table_init(&tcp->listeners, listener_buckets, n_listener);
	slab_init(&tcp->conns, sizeof(struct tcp_conn));
	slab_init(&tcp->reqs, sizeof(struct tcp_req));
	slab_init(&tcp->tws, sizeof(struct tcp_tw));
	timer_wheel_init(&tcp->wheel, now);
	list_init(&tcp->dirty);
	list_init(&tcp->held);
	list_init(&tcp->tw_age);
	list_init(&tcp->holders);
}

uint32_t tcp_end_hash(const struct tcp_stack *tcp, const struct ip_addr *local, uint16_t local_port,
		      const struct ip_addr *remote, uint16_t remote_port)
{
	const uint64_t key[5] = { local->d[0], local->d[1], remote->d[0], remote->d[1],
				  (uint32_t)local_port << 16 | remote_port };

	return (uint32_t)siphash13_words(&tcp->key, key, FS_ARRAY_SIZE(key));
}

static inline bool is_between(const struct tcp_end *end, const struct ip_addr *local, uint16_t local_port,
			      const struct ip_addr *remote, uint16_t remote_port)
{
	return end->remote_port == remote_port && end->local_port == local_port &&
	       ip_addr_equal(&end->remote, remote) && ip_addr_equal(&end->local, local);
}

struct tcp_end *tcp_end_find(const struct tcp_stack *tcp, const struct ip_addr *local, uint16_t local_port,
			     const struct ip_addr *remote, uint16_t remote_port)
{
	uint32_t hash = tcp_end_hash(tcp, local, local_port, remote, remote_port);
	struct table_node *node;

	TABLE_FOR_EACH_MATCH(node, &tcp->ends, hash) {
		struct tcp_end *end = FS_CONTAINER_OF(node, struct tcp_end, node);

		if (is_between(end, local, local_port, remote, remote_port))
			return end;
	}
	return NULL;
}

void tcp_end_insert(struct tcp_stack *tcp, struct tcp_end *end)
{
	uint32_t hash = tcp_end_hash(tcp, &end->local, end->local_port, &end->remote, end->remote_port);

	table_insert(&tcp->ends, &end->node, hash);
	if (tcp->shares)
		tcp_shares_add(tcp->shares, hash, tcp->index);
}

void tcp_end_remove(struct tcp_stack *tcp, struct tcp_end *end)
{
	if (tcp->last == end)
		tcp->last = NULL;
	table_remove(&tcp->ends, &end->node);
	if (tcp->shares)
		tcp_shares_remove(tcp->shares, end->node.hash, tcp->index);
}

/* --- verification --- */

/* Sum over the pseudo-header and the whole segment, checksum field included. */
static uint64_t sum_segment(const struct csum_ops *ops, const struct packet *p, const struct fbuf *frame)
{
	uint64_t sum = ip_sum16(WIRE_PROTO_TCP);
	size_t at = frame->len;

	sum = csum_add(sum, ip_sum16((uint16_t)frame->total));
	if (p->has_options) {
		sum = csum_add(sum, csum_pseudo(&p->src, &p->dst, 0, 0));
		sum = csum_add(sum, csum_bytes(ops, frame->data, frame->len));
	} else {
		/* The addresses end where the TCP header begins: one pass over both. */
		size_t addresses = p->is_v6 ? V6_ADDRESSES : V4_ADDRESSES;

		sum = csum_add(sum, csum_bytes(ops, frame->data - addresses, frame->len + addresses));
	}
	for (const struct fbuf *part = frame->next; part; part = part->next) {
		sum = csum_combine(sum, csum_bytes(ops, part->data, part->len), at);
		at += part->len;
	}
	return sum;
}

/* Does the field hold the pseudo-header's sum only, as a sender on this host leaves it? */
static bool is_partial(const struct packet *p, const struct fbuf *frame)
{
	uint64_t pseudo = csum_pseudo(&p->src, &p->dst, WIRE_PROTO_TCP, frame->total);

	return be16_equal(csum_partial(pseudo), be16_make(p->l4_checksum));
}

/* MUST-3. */
static inline bool is_intact(const struct ip_env *env, const struct ip_stack *ip, const struct packet *p,
			     const struct fbuf *frame)
{
	if (frame->csum != FBUF_CSUM_UNKNOWN)
		return true;
	if (ip->port[frame->port].trust_partial && is_partial(p, frame))
		return true;
	return csum_is_valid(sum_segment(env->csum, p, frame));
}

/*
 * May the frame be taken for the many segments it says it is? What is no data there is nothing to cut of. Sets how
 * many there are; of one only, it is an ordinary frame. Its sum is judged as any other's: where the segments begin
 * does not matter to a stream.
 */
static __attribute__((noinline)) bool judge_super(const struct packet *p, struct fbuf *frame, uint32_t *segments)
{
	uint32_t size = frame->gso_size;

	if (size >= p->payload_len) {
		frame->gso_size = 0;
		return true;
	}
	*segments = (p->payload_len + size - 1) / size;
	return (frame->data[FLAGS_AT] & (TCP_SYN | TCP_RST)) == 0;
}

/* --- demultiplexing --- */

static_assert(TCP_FIN == 1 && TCP_SYN == 2, "each takes one number: tcp_input() adds them up");

static inline struct tcp_end *find(struct tcp_stack *tcp, const struct packet *p)
{
	struct tcp_end *end = tcp->last;

	if (__builtin_expect(end && is_between(end, &p->dst, p->dst_port, &p->src, p->src_port), 1))
		return end;
	end = tcp_end_find(tcp, &p->dst, p->dst_port, &p->src, p->src_port);
	if (end)
		tcp->last = end;
	return end;
}

#define EVERYBODY UINT32_MAX /* has looked: home answers */

/* What nobody here knows: may a sister? True: she has the frame. A SYN finds a listener in any stack, so what no
 * sister knows stays here, unless there is none and home was not asked. */
static __attribute__((noinline)) bool pass_on(struct tcp_stack *tcp, const struct ip_env *env, const struct packet *p,
					      struct fbuf *frame)
{
	uint32_t hash = tcp_end_hash(tcp, &p->dst, p->dst_port, &p->src, p->src_port);
	uint32_t passed = env->passed | 1u << tcp->index;
	uint32_t others = tcp_shares_of(tcp->shares, hash) & ~passed;

	if (!others && tcp_listener_find(tcp, &p->dst, p->dst_port, &p->src, p->src_port, frame->ifindex))
		return false;
	if (!others)
		others = 1u & ~passed;
	if (!others && tcp->index != 0) { /* home has passed it on before it looked at its own listener */
		others = env->passed != EVERYBODY;
		passed = EVERYBODY;
	}
	if (!others)
		return false;
	frame->csum = frame->csum == FBUF_CSUM_UNKNOWN ? (uint8_t)FBUF_CSUM_VERIFIED : frame->csum;
	fbuf_push(frame, p->l4_offset);
	env->tcp_ops->pass_on(env->context, frame, (unsigned)__builtin_ctz(others), passed);
	return true;
}

/* Everything but connections. */
static __attribute__((noinline)) void deliver_rare(struct tcp_stack *tcp, const struct ip_env *env,
						   struct tcp_end *end, struct tcp_in *in)
{
	const struct packet *p = in->p;
	struct tcp_listener *l;

	if (end && end->kind == TCP_END_REQ) {
		tcp_req_input((struct tcp_req *)(void *)end, env, in);
		return;
	}
	if (end) {
		tcp_tw_input((struct tcp_tw *)(void *)end, env, in);
		return;
	}
	l = tcp_listener_find(tcp, &p->dst, p->dst_port, &p->src, p->src_port, in->ifindex);
	if (l) {
		tcp_listen_input(l, env, in);
		return;
	}
	tcp->ip->counters[FS_CTR_drop_tcp_no_socket]++;
	if (in->now >= tcp->stray_until)
		tcp_reply_reset(tcp, env, in);
}

void tcp_input(const struct ip_env *env, const struct packet *p, struct fbuf *frame, fs_ns now)
{
	struct tcp_stack *tcp = env->tcp;
	enum fs_counter why = FS_CTR_drop_tcp_gso;
	struct tcp_end *end;
	struct tcp_in in; /* field by field: clearing it first would cost as much as parsing */
	int hdr_len;

	in.p = p;
	in.now = now;
	in.iss = 0;
	in.segments = 1;
	if (__builtin_expect(frame->gso_size != 0, 0) && !judge_super(p, frame, &in.segments))
		goto drop;
	why = FS_CTR_drop_tcp_checksum;
	if (__builtin_expect(!is_intact(env, tcp->ip, p, frame), 0))
		goto drop;
	end = find(tcp, p);
	if (__builtin_expect(!end && tcp->shares, 0) && pass_on(tcp, env, p, frame))
		return;
	why = FS_CTR_drop_tcp_header;
	hdr_len = tcp_parse(&in.h, frame->data, frame->len);
	/* A malformed option ends the list, as in Linux: what came before it counts (MUST-7). */
	if (__builtin_expect(hdr_len < 0 && hdr_len != WIRE_BAD_OPTION, 0))
		goto drop;
	if (__builtin_expect(in.h.src_port == 0 || in.h.dst_port == 0, 0))
		goto drop;
	in.ifindex = frame->ifindex;
	in.ce = (p->tos & ECN_BITS) == ECN_CE;
	in.ect = (p->tos & ECN_BITS) != 0;
	frame->data += in.h.hdr_len;
	frame->len -= in.h.hdr_len;
	frame->total -= in.h.hdr_len;
	in.len = frame->total;
	in.end = in.h.seq + in.len + (in.h.flags & TCP_FIN) + (in.h.flags >> 1 & 1u);
	in.frame = frame;
	if (in.len == 0) {
		fbuf_free(frame);
		in.frame = NULL;
	}
	tcp->ip->counters[FS_CTR_tcp_segments_in] += in.segments;
	if (__builtin_expect(end && end->kind == TCP_END_CONN, 1))
		tcp_conn_input((struct tcp_conn *)(void *)end, env, &in);
	else
		deliver_rare(tcp, env, end, &in);
	if (in.frame)
		fbuf_free(in.frame);
	return;
drop:
	tcp->ip->counters[why]++;
	fbuf_free(frame);
}
