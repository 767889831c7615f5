/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * control.c - see control.h.
 *
 * The order of received messages is that of udp_recvmsg() and udpv6_recvmsg(): what the socket level adds
 * (timestamps, then lost datagrams, the mark), UDP_GRO, then the network level's.
 */
#include "context/control.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>

#include "base/err.h"
#include "context/stamp.h"
#include "socket/opts.h"

enum {
	CONTROL_MAX = 4096, /* more than any program needs of what is known here */
	TTL_MAX = 255,
	CMSG_TIMESTAMPING_OLD = 37,
	CMSG_TIMESTAMPING_NEW = 65,
	CMSG_TS_OPT_ID = 81,
};

/* --- received --- */

/* What does not fit is cut, and said to be. */
void control_write(struct control_writer *w, int level, int type, const void *data, size_t len)
{
	struct cmsghdr head = { .cmsg_len = CMSG_LEN(len), .cmsg_level = level, .cmsg_type = type };
	size_t space;

	if (!w->at || w->room < sizeof(head)) {
		w->flags |= MSG_CTRUNC;
		return;
	}
	if (w->room < head.cmsg_len) {
		w->flags |= MSG_CTRUNC;
		head.cmsg_len = w->room;
	}
	memcpy(w->at, &head, sizeof(head));
	memcpy(w->at + sizeof(head), data, head.cmsg_len - sizeof(head));
	space = FS_MIN(CMSG_SPACE(len), w->room);
	w->at += space;
	w->room -= space;
}

static void put_int(struct control_writer *w, int level, int type, int value)
{
	control_write(w, level, type, &value, sizeof(value));
}

/* The address an answer would come from: that which the datagram was sent to, or, of a group, one of the
 * interface (fib_compute_spec_dst() takes the one that routes prefer, which with several may be another). */
static struct ip_addr answer_from(const struct udp_pcb *pcb, const struct fbuf *f)
{
	const struct ip_port *port = &pcb->stack->ip->port[f->port];

	if (!ip_addr_is_multicast(&f->dst))
		return f->dst;
	for (unsigned i = 0; i < port->n_local; i++)
		if (ip_addr_is_v4(&port->local[i]))
			return port->local[i];
	return (struct ip_addr){ 0 };
}

static void put_v4(struct control_writer *w, const struct sock *s, const struct fbuf *f,
		   const struct ip_addr *answer)
{
	uint32_t wanted = s->cmsgs;

	if (wanted & SOCK_CMSG_PKTINFO) {
		struct in_pktinfo info = { .ipi_ifindex = (int)f->ifindex };

		struct ip_addr own = answer ? *answer : answer_from(&s->pcb, f);

		memcpy(&info.ipi_addr, f->dst.b + 12, sizeof(info.ipi_addr));
		memcpy(&info.ipi_spec_dst, own.b + 12, sizeof(info.ipi_spec_dst));
		control_write(w, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
	}
	if (wanted & SOCK_CMSG_TTL)
		put_int(w, IPPROTO_IP, IP_TTL, f->ttl);
	if (wanted & SOCK_CMSG_TOS)
		control_write(w, IPPROTO_IP, IP_TOS, &f->tos, sizeof(f->tos));
	if (wanted & SOCK_CMSG_ORIGDST) {
		struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(f->dst_port) };

		memcpy(&to.sin_addr, f->dst.b + 12, sizeof(to.sin_addr));
		control_write(w, IPPROTO_IP, IP_RECVORIGDSTADDR, &to, sizeof(to));
	}
}

static void put_v6(struct control_writer *w, uint32_t wanted, const struct fbuf *f)
{
	if (wanted & SOCK_CMSG_HOPLIMIT)
		put_int(w, IPPROTO_IPV6, IPV6_HOPLIMIT, f->ttl);
	if (wanted & SOCK_CMSG_TCLASS)
		put_int(w, IPPROTO_IPV6, IPV6_TCLASS, f->tos);
	if (wanted & SOCK_CMSG_ORIGDST6) {
		struct sockaddr_in6 to = { .sin6_family = AF_INET6, .sin6_port = htons(f->dst_port) };

		memcpy(&to.sin6_addr, f->dst.b, sizeof(to.sin6_addr));
		if (ip_addr_is_link_local(&f->dst))
			to.sin6_scope_id = f->ifindex;
		control_write(w, IPPROTO_IPV6, IPV6_RECVORIGDSTADDR, &to, sizeof(to));
	}
}

void control_put_network(const struct sock *s, const struct fbuf *f, const struct ip_addr *own,
			 struct control_writer *w)
{
	if (s->cmsgs & SOCK_CMSG_PKTINFO6) {
		struct in6_pktinfo info = { .ipi6_ifindex = f->ifindex };

		memcpy(&info.ipi6_addr, f->dst.b, sizeof(info.ipi6_addr));
		control_write(w, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
	}
	if (ip_addr_is_v4(&f->dst))
		put_v4(w, s, f, own);
	else
		put_v6(w, s->cmsgs, f);
}

void control_put(struct sock *s, struct fbuf *f, uint32_t segment, struct datagram *d)
{
	struct control_writer w = { .at = d->control, .room = d->control_len };
	uint32_t drops = f->drops + s->kernel_drops;

	if (s->cmsgs & SOCK_CMSG_STAMPS)
		stamp_put(s, f, false, &w);
	if ((s->cmsgs & SOCK_CMSG_OVFL) && drops)
		control_write(&w, SOL_SOCKET, SO_RXQ_OVFL, &drops, sizeof(drops));
	if (s->cmsgs & SOCK_CMSG_MARK)
		put_int(&w, SOL_SOCKET, SO_MARK, 0); /* nothing that could set one was passed */
	if (segment)
		put_int(&w, IPPROTO_UDP, UDP_GRO, (int)segment);
	control_put_network(s, f, NULL, &w);
	d->control_len -= w.room;
	d->msg_flags |= w.flags;
}

/* --- walking --- */

bool control_next(const uint8_t *bytes, size_t len, size_t *at, struct cmsghdr *head, bool *bad)
{
	if (*at > len || len - *at < sizeof(*head))
		return false;
	memcpy(head, bytes + *at, sizeof(*head));
	if (head->cmsg_len >= sizeof(*head) && head->cmsg_len <= len - *at)
		return true;
	*bad = true;
	return false;
}

void control_merge_drops(struct sock *s, struct datagram *d)
{
	uint8_t *bytes = d->control;
	struct cmsghdr head;
	bool bad = false;
	uint32_t drops;

	if (!(s->cmsgs & SOCK_CMSG_OVFL) || !bytes)
		return;
	for (size_t at = 0; control_next(bytes, d->control_len, &at, &head, &bad); at += CMSG_ALIGN(head.cmsg_len)) {
		if (head.cmsg_level != SOL_SOCKET || head.cmsg_type != SO_RXQ_OVFL ||
		    head.cmsg_len != CMSG_LEN(sizeof(drops)))
			continue;
		memcpy(&drops, bytes + at + sizeof(head), sizeof(drops));
		s->kernel_drops = drops;
		drops += (uint32_t)s->pcb.drops;
		memcpy(bytes + at + sizeof(head), &drops, sizeof(drops));
	}
}

uint8_t *control_next_error(const struct datagram *d, size_t *at, size_t len)
{
	uint8_t *bytes = d->control;
	struct cmsghdr head;
	bool bad = false;

	while (bytes && control_next(bytes, d->control_len, at, &head, &bad)) {
		uint8_t *data = bytes + *at + sizeof(head);

		*at += CMSG_ALIGN(head.cmsg_len);
		if (head.cmsg_len >= CMSG_LEN(len) &&
		    ((head.cmsg_level == IPPROTO_IP && head.cmsg_type == IP_RECVERR) ||
		     (head.cmsg_level == IPPROTO_IPV6 && head.cmsg_type == IPV6_RECVERR)))
			return data;
	}
	return NULL;
}

/* --- sent --- */

/* A message's payload as an int, if it has the length of one (or of a byte where @byte_too). */
static bool get_int(const struct cmsghdr *head, const uint8_t *data, bool byte_too, int *v)
{
	if (byte_too && head->cmsg_len == CMSG_LEN(1)) {
		*v = *data;
		return true;
	}
	if (head->cmsg_len != CMSG_LEN(sizeof(*v)))
		return false;
	memcpy(v, data, sizeof(*v));
	return true;
}

static void leave_by(struct control *c, uint32_t ifindex)
{
	if (ifindex)
		c->choice.oif = ifindex;
	c->rerouted = true;
}

/* IPV6_PKTINFO with an IPv4 datagram of an AF_INET6 socket, as IP_PKTINFO. */
static bool get_mapped_info(const struct cmsghdr *head, const uint8_t *data, struct control *c)
{
	struct in6_pktinfo info;

	if (head->cmsg_len != CMSG_LEN(sizeof(info)))
		return false;
	memcpy(&info, data, sizeof(info));
	c->choice.bound = ip_addr_v6(&info.ipi6_addr);
	if (!ip_addr_is_v4(&c->choice.bound))
		return false;
	if (ip_addr_is_any(&c->choice.bound))
		c->choice.bound = (struct ip_addr){ 0 };
	leave_by(c, info.ipi6_ifindex);
	return true;
}

/* ip_cmsg_send() of the kernel. */
static bool get_v4(const struct sock *s, const struct cmsghdr *head, const uint8_t *data,
		   struct control *c)
{
	struct in_pktinfo info;
	int v;

	if (head->cmsg_level == IPPROTO_IPV6)
		return (s->pcb.flags & UDP_PCB_V6) && head->cmsg_type == IPV6_PKTINFO &&
		       get_mapped_info(head, data, c);
	switch (head->cmsg_type) {
	case IP_PKTINFO:
		if (head->cmsg_len != CMSG_LEN(sizeof(info)))
			return false;
		memcpy(&info, data, sizeof(info));
		c->choice.bound = (struct ip_addr){ 0 };
		if (info.ipi_spec_dst.s_addr)
			c->choice.bound = ip_addr_v4(&info.ipi_spec_dst);
		leave_by(c, (uint32_t)info.ipi_ifindex);
		return true;
	case IP_TTL:
		if (!get_int(head, data, false, &v) || v < 1 || v > TTL_MAX)
			return false;
		c->style.hop_limit = (uint8_t)v;
		return true;
	case IP_TOS:
		if (!get_int(head, data, true, &v) || v < 0 || v > UINT8_MAX)
			return false;
		c->style.tos = (uint8_t)v;
		c->rerouted = true;
		return true;
	}
	return false;
}

/* ip6_datagram_send_ctl() of the kernel. */
static bool get_v6(const struct sock *s, const struct cmsghdr *head, const uint8_t *data,
		   struct control *c)
{
	struct in6_pktinfo info;
	struct ip_addr from;
	int v;

	switch (head->cmsg_type) {
	case IPV6_PKTINFO:
		if (head->cmsg_len != CMSG_LEN(sizeof(info)))
			return false;
		memcpy(&info, data, sizeof(info));
		if (info.ipi6_ifindex && s->pcb.ifindex && info.ipi6_ifindex != s->pcb.ifindex)
			return false;
		from = ip_addr_v6(&info.ipi6_addr);
		if (ip_addr_is_v4(&from))
			return false;
		if (!ip_addr_is_any(&from))
			c->choice.bound = from;
		leave_by(c, info.ipi6_ifindex);
		return true;
	case IPV6_HOPLIMIT:
		/* -1 leaves it as it is; 0 is one that our templates cannot say. */
		if (!get_int(head, data, false, &v) || v < -1 || v == 0 || v > TTL_MAX)
			return false;
		if (v > 0)
			c->style.hop_limit = (uint8_t)v;
		return true;
	case IPV6_TCLASS:
		/* -1 is not the default here but, on Linux 6.18, 255. */
		if (!get_int(head, data, false, &v) || v < 0 || v > UINT8_MAX)
			return false;
		c->style.tos = (uint8_t)v;
		c->rerouted = true;
		return true;
	}
	return false;
}

static bool get_udp(const struct cmsghdr *head, const uint8_t *data, struct control *c)
{
	uint16_t size;

	if (head->cmsg_type != UDP_SEGMENT || head->cmsg_len != CMSG_LEN(sizeof(size)))
		return false;
	memcpy(&size, data, sizeof(size));
	c->segment = size;
	return true;
}

/* __sock_cmsg_send() of the kernel. */
static bool get_stamps(const struct cmsghdr *head, const uint8_t *data, uint32_t *stamps)
{
	uint32_t v;

	if ((head->cmsg_type != CMSG_TIMESTAMPING_OLD && head->cmsg_type != CMSG_TIMESTAMPING_NEW) ||
	    head->cmsg_len != CMSG_LEN(sizeof(v)))
		return false;
	memcpy(&v, data, sizeof(v));
	if (v & ~(uint32_t)STAMP_TX_RECORD)
		return false;
	*stamps = v;
	return true;
}

uint32_t control_stamps(const struct sock *s, const struct datagram *d)
{
	uint32_t stamps = s->stamps.flags & STAMP_TX_RECORD;
	struct cmsghdr head;
	bool bad = false;

	for (size_t at = 0; d->control && control_next(d->control, d->control_len, &at, &head, &bad);
	     at += CMSG_ALIGN(head.cmsg_len)) {
		if (head.cmsg_level != SOL_SOCKET)
			continue;
		if (head.cmsg_type == CMSG_TS_OPT_ID)
			return 0; /* the program gave the number itself */
		get_stamps(&head, (const uint8_t *)d->control + at + sizeof(head), &stamps);
	}
	return stamps;
}

static bool get_one(const struct sock *s, bool v6, const struct cmsghdr *head, const uint8_t *data,
		    struct control *c)
{
	if (head->cmsg_level == SOL_SOCKET)
		return get_stamps(head, data, &c->stamps);
	c->headers = true;
	if (head->cmsg_level == IPPROTO_UDP)
		return get_udp(head, data, c);
	if (head->cmsg_level == IPPROTO_IPV6 && v6)
		return get_v6(s, head, data, c);
	if (head->cmsg_level == IPPROTO_IP || head->cmsg_level == IPPROTO_IPV6)
		return !v6 && get_v4(s, head, data, c);
	return false;
}

bool control_get(const struct sock *s, const struct datagram *d, bool v6, struct control *out)
{
	struct cmsghdr head;
	bool bad = false;

	out->style = s->pcb.style[v6];
	out->segment = s->segment;
	out->rerouted = out->headers = false;
	out->stamps = s->stamps.flags & STAMP_TX_RECORD;
	context_choice(s, v6, &out->choice);
	if (d->control_len == 0)
		return true;
	if (!d->control || d->control_len > CONTROL_MAX)
		return false;
	for (size_t at = 0; control_next(d->control, d->control_len, &at, &head, &bad);
	     at += CMSG_ALIGN(head.cmsg_len)) {
		if (!get_one(s, v6, &head, (const uint8_t *)d->control + at + sizeof(head), out))
			return false;
	}
	context_choice_tos(&out->choice, out->style.tos);
	return !bad;
}
