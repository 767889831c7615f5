/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * send.c - datagrams out: payload copied and summed in one pass, headers from the destination's
 * template.
 *
 * Many datagrams of one call (UDP_SEGMENT) leave as one super-frame with a partial checksum where the port
 * takes it; else they are cut here, each with its own headers, and leave in one burst. What comes a
 * different way at the other end may overtake: so a call of UDP_SEGMENT that is one datagram leaves as a
 * super-frame of one.
 * Standards: RFC 768, RFC 791, RFC 6864, RFC 8200 8.1.
 */
#include <errno.h>
#include <string.h>

#include "base/counter.h"
#include "base/err.h"
#include "ip/header.h"
#include "ip/ip.h"
#include "udp/udp.h"
#include "udp/udp_internal.h"
#include "wire/eth.h"
#include "wire/ipv6.h"
#include "wire/udp.h"

enum { IP_MAX_PACKET = 65535 };

/* Two callers, one of them a single datagram's: there these must cost no call and no struct in memory. */
#define INLINE inline __attribute__((always_inline))

static_assert(IP_TX_HEADROOM >= IP_HEADER_ROOM + UDP_HEADER, "headers fit in front of the payload");
static_assert(IP_HEADER_ROOM >= ETH_HDR_LEN + IPV6_HDR_LEN, "a template holds either family");

/* The next bytes of an iovec. */
struct source {
	const struct iovec *iov; /* borrowed */
	int left;		 /* entries at iov */
	size_t done;		 /* bytes of iov[0] already taken */
};

/* Copy @len bytes to @to, whose first byte is at @offset of the datagram, and add them to *@sum.
 * Returns bytes copied: less when the source ends. */
static size_t take(const struct csum_ops *ops, struct source *s, uint8_t *to, size_t len,
		   uint64_t *sum, size_t offset)
{
	size_t copied = 0;

	while (copied < len && s->left > 0) {
		size_t here = FS_MIN(s->iov->iov_len - s->done, len - copied);
		const uint8_t *from = (const uint8_t *)s->iov->iov_base + s->done;

		if (here > 0)
			*sum = csum_combine(*sum, csum_copy(ops, to + copied, from, here),
					    offset + copied);
		copied += here;
		s->done += here;
		if (s->done == s->iov->iov_len) {
			s->iov++;
			s->left--;
			s->done = 0;
		}
	}
	return copied;
}

/* Payload into the parts of @frame, which has room for it. 0 or -EINVAL (iovec too short). */
static __attribute__((noinline)) int fill_parts(const struct csum_ops *ops, struct fbuf *frame, struct source *s, size_t len,
		      uint64_t *sum)
{
	size_t offset = 0;

	for (struct fbuf *part = frame; offset < len; part = part->next) {
		size_t here = FS_MIN(len - offset, (size_t)fbuf_tailroom(part));

		if (take(ops, s, part->data, here, sum, offset) != here)
			return -EINVAL;
		part->len = (uint32_t)here;
		offset += here;
	}
	frame->total = (uint32_t)len;
	return 0;
}

/* The same; nearly always it is one piece of memory into one chunk. */
static INLINE int fill(const struct csum_ops *ops, struct fbuf *frame, struct source *s, size_t len,
		uint64_t *sum)
{
	if (frame->next || s->left != 1 || s->iov->iov_len - s->done < len)
		return fill_parts(ops, frame, s, len, sum);
	*sum = csum_copy(ops, frame->data, (const uint8_t *)s->iov->iov_base + s->done, len);
	s->done += len;
	frame->len = frame->total = (uint32_t)len;
	return 0;
}

static INLINE bool is_plain(const struct udp_style *style)
{
	uint32_t any;

	_Static_assert(sizeof(any) == sizeof(*style), "one word");
	memcpy(&any, style, sizeof(any));
	return any == 0;
}

/* IP_TOS, IP_TTL and their likes. */
static __attribute__((noinline)) void restyle(struct udp_stack *udp, const struct udp_style *style, const struct ip_dst *dst,
		    uint8_t *ip)
{
	if (style->may_fragment && !dst->is_v6) {
		/* Fragments must not be taken for those of others to the same address (RFC 6864 4.3);
		 * the keyed hash of the destination keeps one from counting what goes to another. */
		be16_store(ip + IP_V4_ID, (uint16_t)(udp->ids++ + dst->node.hash));
		be16_store(ip + IP_V4_FRAGMENT, 0);
	}
	ip_header_restyle(dst, ip, style->tos, style->hop_limit);
}

/* What all datagrams of one call have in common. */
struct message {
	struct udp_stack *udp;
	const struct ip_env *env;
	const struct udp_pcb *pcb;
	const struct udp_style *style;
	struct ip_dst *dst;
	uint16_t remote_port;
};

/* The IP header in front of the UDP header at @udp. @len: UDP header and payload. */
static INLINE void put_ip(const struct message *m, uint8_t *udp, uint16_t len)
{
	uint8_t *ip = ip_header_put(m->dst, udp, len, WIRE_PROTO_UDP);

	if (!is_plain(m->style))
		restyle(m->udp, m->style, m->dst, ip);
}

static INLINE be16_t udp_checksum(const struct ip_dst *dst, const struct udp_hdr *hdr, uint64_t payload)
{
	uint64_t sum = csum_add(dst->pseudo_sum, payload);

	/* The length counts twice: in the pseudo-header and in the header. */
	sum = csum_add(sum, udp_sum16(hdr->src_port) + udp_sum16(hdr->dst_port) +
				    2 * udp_sum16(hdr->len));
	return csum_finish_udp(sum);
}

/* Headers in front of the filled payload. */
static INLINE void put_headers(const struct message *m, struct fbuf *frame, uint64_t payload_sum)
{
	const struct ip_dst *dst = m->dst;
	uint8_t *udp = frame->data - UDP_HEADER;
	uint32_t headers = UDP_HEADER + (uint32_t)dst->header_len;
	struct udp_hdr hdr = {
		.src_port = m->pcb->local_port,
		.dst_port = m->remote_port,
		.len = (uint16_t)(UDP_HEADER + frame->total),
	};
	be16_t field;

	if (frame->csum == FBUF_CSUM_PARTIAL)
		field = csum_partial(csum_add(dst->pseudo_sum, udp_sum16(hdr.len)));
	else
		field = udp_checksum(dst, &hdr, payload_sum);
	hdr.checksum = m->style->no_checksum ? 0 : be16_get(field);
	put_ip(m, udp, hdr.len);
	udp_emit(&hdr, udp, UDP_HEADER);
	frame->data -= headers;
	frame->len += headers;
	frame->total += headers;
	frame->port = dst->port;
	frame->l3_offset = ETH_HDR_LEN;
}

/* Longest payload one frame to @dst carries. The IP length field ends at 65535 whatever the MTU. */
static size_t max_payload(const struct ip_dst *dst)
{
	size_t room = FS_MIN(dst->mtu, (uint32_t)IP_MAX_PACKET) + ETH_HDR_LEN;
	size_t headers = (size_t)dst->header_len + UDP_HEADER;

	return room > headers ? room - headers : 0;
}

/* One datagram of the next @len bytes of @source. As udp_send(). */
static INLINE int build(const struct message *m, struct source *source, size_t len)
{
	struct ip_stack *ip = m->udp->ip;
	struct ip_port *port = &ip->port[m->dst->port];
	struct fbuf *frame;
	uint64_t sum = 0;

	frame = len <= port->pool->chunk_size - port->pool->headroom
			? fbuf_alloc(port->pool)
			: fbuf_alloc_chain(port->pool, (uint32_t)len);
	if (!frame) {
		ip->counters[FS_CTR_pool_empty]++;
		return -ENOBUFS;
	}
	if (fill(m->env->csum, frame, source, len, &sum) < 0) {
		fbuf_free(frame);
		return -EINVAL;
	}
	frame->csum = port->tx_csum_partial && !m->style->no_checksum ? FBUF_CSUM_PARTIAL
								      : FBUF_CSUM_UNKNOWN;
	put_headers(m, frame, sum);
	ip->counters[FS_CTR_tx_datagrams]++;
	ip->counters[FS_CTR_tx_bytes] += len;
	fbuf_queue_push(&port->out, frame);
	return 0;
}

int udp_send(struct udp_stack *udp, const struct ip_env *env, const struct udp_pcb *pcb,
	     struct ip_dst *dst, uint16_t remote_port, const struct iovec *iov, int n, size_t len)
{
	static const struct udp_style plain;
	struct message m = { udp, env, pcb, &plain, dst, remote_port };
	struct source source = { .iov = iov, .left = n };
	int ret;

	if (__builtin_expect(!is_plain(&pcb->style[dst->is_v6]), 0))
		return udp_send_as(udp, env, pcb, &pcb->style[dst->is_v6], dst, remote_port, iov, n, len,
				   0);
	fs_assert(dst->header_len != 0 && dst->neigh_generation == dst->neigh->generation);
	if (len > max_payload(dst))
		return -EMSGSIZE;
	if (udp->ip->port[dst->port].out.frames >= IP_OUT_LIMIT)
		return -EAGAIN;
	ret = build(&m, &source, len);
	if (ret == 0)
		dst->neigh->used_at = env->now;
	return ret;
}

/* Room for @n datagrams of up to @len bytes, or -ENOBUFS, -EAGAIN as udp_send(). */
static int reserve(struct ip_stack *ip, const struct ip_port *port, uint32_t n, size_t len)
{
	uint32_t parts = 1 + (uint32_t)(len + port->pool->headroom - 1) / port->pool->chunk_size;

	if (port->out.frames + n > IP_OUT_LIMIT)
		return -EAGAIN;
	if (port->pool->n_free >= n * parts)
		return 0;
	ip->counters[FS_CTR_pool_empty]++;
	return -ENOBUFS;
}

static size_t bytes_in(const struct iovec *iov, int n)
{
	size_t sum = 0;

	for (int i = 0; i < n; i++)
		sum += iov[i].iov_len;
	return sum;
}

/* Payload into a chain without summing it. 0 or -EINVAL. */
static int fill_unsummed(struct fbuf *frame, struct source *s, size_t len)
{
	struct fbuf *part = frame;

	while (len > 0 && s->left > 0) {
		size_t here = FS_MIN(s->iov->iov_len - s->done, len);

		if (fbuf_tailroom(part) == 0)
			part = part->next;
		here = FS_MIN(here, (size_t)fbuf_tailroom(part));
		memcpy(part->data + part->len, (const uint8_t *)s->iov->iov_base + s->done, here);
		part->len += (uint32_t)here;
		frame->total += (uint32_t)here;
		s->done += here;
		len -= here;
		if (s->done == s->iov->iov_len) {
			s->iov++;
			s->left--;
			s->done = 0;
		}
	}
	return len ? -EINVAL : 0;
}

/* @len bytes, @count datagrams of @size, as one frame. As udp_send(). */
static int build_super(const struct message *m, struct source *source, size_t len, uint16_t size, size_t count)
{
	struct ip_stack *ip = m->udp->ip;
	struct ip_port *port = &ip->port[m->dst->port];
	struct fbuf *frame = fbuf_alloc_chain(port->pool, (uint32_t)len);

	if (!frame) {
		ip->counters[FS_CTR_pool_empty]++;
		return -ENOBUFS;
	}
	if (fill_unsummed(frame, source, len) < 0) {
		fbuf_free(frame);
		return -EINVAL;
	}
	frame->csum = FBUF_CSUM_PARTIAL;
	frame->gso_size = size;
	put_headers(m, frame, 0);
	ip->counters[FS_CTR_tx_datagrams] += count;
	ip->counters[FS_CTR_tx_bytes] += len;
	ip->counters[FS_CTR_tx_super]++;
	fbuf_queue_push(&port->out, frame);
	return 0;
}

/* Does a call of UDP_SEGMENT leave as one frame? */
static bool goes_whole(const struct message *m, size_t len)
{
	return len + m->dst->header_len + UDP_HEADER <= m->udp->ip->port[m->dst->port].udp_gso &&
	       !m->style->no_checksum;
}

int udp_send_as(struct udp_stack *udp, const struct ip_env *env, const struct udp_pcb *pcb,
		const struct udp_style *style, struct ip_dst *dst, uint16_t remote_port,
		const struct iovec *iov, int n, size_t len, uint32_t segment)
{
	struct message m = { udp, env, pcb, style, dst, remote_port };
	struct source source = { .iov = iov, .left = n };
	size_t size = segment ? FS_MIN((size_t)segment, len) : len;
	size_t count = size ? (len + size - 1) / size : 1;
	int ret;

	fs_assert(dst->header_len != 0 && dst->neigh_generation == dst->neigh->generation);
	if (size > max_payload(dst) || len > UDP_MAX_PAYLOAD)
		return -EMSGSIZE;
	if (count > UDP_SEGMENTS_MAX || bytes_in(iov, n) < len)
		return -EINVAL;
	if (segment && goes_whole(&m, len)) {
		ret = reserve(udp->ip, &udp->ip->port[dst->port], 1, len);
		if (ret == 0)
			ret = build_super(&m, &source, len, (uint16_t)FS_MIN(segment, (uint32_t)UINT16_MAX), count);
		if (ret == 0)
			dst->neigh->used_at = env->now;
		return ret;
	}
	ret = reserve(udp->ip, &udp->ip->port[dst->port], (uint32_t)count, size);
	for (size_t done = 0; ret == 0 && count > 0; count--) {
		size_t here = FS_MIN(size, len - done);

		ret = build(&m, &source, here);
		done += here;
	}
	if (ret == 0)
		dst->neigh->used_at = env->now;
	return ret;
}
