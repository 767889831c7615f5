/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * datagram_local.c - see datagram_local.h. Not here: names and dialling (local_name.c), the ring (src/local/datagram.c).
 */
#include "context/datagram_local.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/counter.h"
#include "context/datagram.h"
#include "context/internal.h"
#include "context/local.h"
#include "context/stream_internal.h"
#include "host/clock.h"
#include "local/link.h"
#include "socket/opts.h"
#include "sys/sys.h"

/* Who was looked for in vain, or is gone, is looked for again after that. */
#define AGAIN_NS FS_MS(500)
#define DIAL_NS FS_MS(1) /* between two looks of servers */
#define CARRIED_NS FS_SEC(1) /* an interface has the address that it had */

enum {
	MOST_BACK = 64, /* datagrams of a link that has ended, which the kernel would have lost in part, too */
	MOST = 64,    /* datagrams of a link and turn: bounds the time that others wait */
	SELF = LOCAL_LINKS, /* local_peer.link: a socket of this stack */
	TRIES = 2,    /* of a send by the shadow: the first may learn of an error that waits there */
};

/* --- who is where --- */

static struct local_peer *find_peer(struct context *ctx, const struct ip_addr *addr, uint16_t port)
{
	return local_peer_find(&ctx->stack->local->peers, addr, port);
}

static struct local_peer *note_peer(struct context *ctx, const struct ip_addr *addr, uint16_t port,
				    enum local_peer_state state)
{
	return local_peer_note(&ctx->stack->local->peers, addr, port, state, ctx->now);
}

/* @addr and @port are at the end of link @index, or SELF. */
static struct local_peer *note_there(struct context *ctx, const struct ip_addr *addr, uint16_t port, unsigned index)
{
	struct local_peer *p = note_peer(ctx, addr, port, LOCAL_PEER_THERE);

	p->link = (uint8_t)index;
	p->serial = index < SELF ? ctx->stack->local->link[index].serial : 0;
	return p;
}

static void forget_peer(struct context *ctx, struct local_peer *p)
{
	p->state = LOCAL_PEER_KERNEL;
	p->by_kernel = true;
	p->looked = ctx->now;
}

static bool is_up(const struct context *ctx, const struct local_peer *p)
{
	const struct stack_link *l = &ctx->stack->local->link[p->link % LOCAL_LINKS];

	return p->link == SELF || (l->serial == p->serial && l->link->ended == LOCAL_LINK_UP);
}

/* The socket of this stack that takes what comes from the other end's @remote to @local. */
static struct sock *taker(struct context *ctx, const struct ip_addr *local, uint16_t local_port,
			  const struct ip_addr *remote, uint16_t remote_port)
{
	struct udp_pcb *pcb = udp_find(&ctx->stack->udp, local, local_port, remote, remote_port, CONTEXT_LOOPBACK);
	struct sock *s = pcb ? sock_of(pcb) : NULL;

	return s && s->linked ? s : NULL;
}

/* The address from which the kernel would have @s send to @remote. */
static struct ip_addr source_of(const struct sock *s, const struct ip_dst *dst, const struct ip_addr *remote)
{
	if (!ip_addr_is_any(&s->pcb.local))
		return s->pcb.local;
	return ip_addr_is_any(&dst->local) ? *remote : dst->local;
}

/* Who is connected looks for whom it is connected to. Others would look for each of those they talk to, however many,
 * and do so now and then. */
static bool may_dial(const struct context *ctx, const struct sock *s)
{
	return (s->pcb.flags & UDP_PCB_CONNECTED) || ctx->now >= ctx->stack->local->next_dial;
}

/* Would a socket of this stack take what @s sends there? */
static bool is_here(struct context *ctx, const struct sock *s, const struct ip_dst *dst, const struct ip_addr *addr,
		    uint16_t port)
{
	struct ip_addr source = source_of(s, dst, addr);

	return !config_bypass_has(ctx->config.bypass, IPPROTO_UDP, port) &&
	       taker(ctx, addr, port, &source, s->pcb.local_port);
}

/* Look for @addr and @port anew. */
static struct local_peer *look_for(struct context *ctx, const struct sock *s, const struct ip_dst *dst,
				   const struct ip_addr *addr, uint16_t port)
{
	int index;

	if (config_bypass_has(ctx->config.bypass, IPPROTO_UDP, port))
		return note_peer(ctx, addr, port, LOCAL_PEER_KERNEL);
	if (is_here(ctx, s, dst, addr, port))
		return note_there(ctx, addr, port, SELF);
	if (!may_dial(ctx, s))
		return NULL;
	if (!(s->pcb.flags & UDP_PCB_CONNECTED))
		ctx->stack->local->next_dial = ctx->now + DIAL_NS;
	index = local_find_datagrams(ctx, addr, port);
	return index < 0 ? note_peer(ctx, addr, port, LOCAL_PEER_KERNEL) :
			   note_there(ctx, addr, port, (unsigned)index);
}

/* With client_datagrams=0 nothing goes by the kernel first, whatever becomes of it. */
static bool is_hasty(const struct context *ctx)
{
	return ctx->config.client_datagrams == 0;
}

/* What is known of @addr and @port, looked for where that is due; NULL: nothing. The first datagram to another program goes
 * by the kernel: most programs that send one send no second. */
static struct local_peer *peer_of(struct context *ctx, const struct sock *s, const struct ip_dst *dst,
				  const struct ip_addr *addr, uint16_t port)
{
	struct local_peer *p = find_peer(ctx, addr, port);

	if (!p && is_here(ctx, s, dst, addr, port))
		return note_there(ctx, addr, port, SELF);
	if (!p) {
		p = note_peer(ctx, addr, port, LOCAL_PEER_NEW);
		return is_hasty(ctx) ? look_for(ctx, s, dst, addr, port) : p;
	}
	if (p->state == LOCAL_PEER_THERE && !is_up(ctx, p))
		forget_peer(ctx, p); /* the kernel says what became of it */
	if (p->state == LOCAL_PEER_NEW || (p->state == LOCAL_PEER_KERNEL && ctx->now - p->looked >= AGAIN_NS))
		p = look_for(ctx, s, dst, addr, port);
	return p;
}

/* Goes the next datagram there by a link, or within the stack? If not, it goes by the kernel. Until the other side has the
 * link it may refuse it, and what was put into it would be lost with who sent it. */
static bool goes_there(const struct context *ctx, struct local_peer *p)
{
	if (p && p->state == LOCAL_PEER_THERE &&
	    (p->link == SELF || is_hasty(ctx) || local_link_is_joined(ctx->stack->local->link[p->link].link)))
		return true;
	if (p)
		p->by_kernel = true;
	return false;
}

bool datagram_local_is_there(struct context *ctx, const struct sock *s, int fd, const struct ip_dst *d,
			     const struct ip_addr *addr, uint16_t port)
{
	struct local_peer *p = ctx->stack->local ? find_peer(ctx, addr, port) : NULL;

	/* Without a system call for who sends one datagram, or to the kernel's, or to many. */
	if (s->sent == 0 && !is_hasty(ctx) && !(ctx->stack->local && is_here(ctx, s, d, addr, port)))
		return false;
	if (p && p->state == LOCAL_PEER_KERNEL && ctx->now - p->looked < AGAIN_NS)
		return false;
	if (ctx->stack->local && !may_dial(ctx, s) && !is_here(ctx, s, d, addr, port))
		return false;
	if (local_datagrams_verdict(ctx, s, fd) != 0) {
		if (ctx->stack->local)
			note_peer(ctx, addr, port, LOCAL_PEER_KERNEL);
		return false;
	}
	p = peer_of(ctx, s, d, addr, port);
	return p && p->state == LOCAL_PEER_THERE;
}

void datagram_local_passed_by(struct context *ctx, const struct ip_addr *addr, uint16_t port)
{
	struct local_peer *p = find_peer(ctx, addr, port);

	if (p)
		p->by_kernel = true;
}

/* --- taking part --- */

int datagram_local_join(struct context *ctx, struct sock *s, int fd)
{
	int reason = local_datagrams_verdict(ctx, s, fd);

	if (reason)
		return reason;
	if (s->way == SOCK_UNDECIDED) {
		if (context_port_is_shared(ctx, s))
			return FS_REASON_port_shared;
		s->no_unicast = false;
		s->rule_port = s->pcb.local_port;
		s->rule_local = s->pcb.local;
		if (ip_addr_is_any(&s->rule_local))
			s->rule_local = (struct ip_addr){ 0 };
		udp_insert(&ctx->stack->udp, &s->pcb);
		s->way = SOCK_FAST;
		s->links_only = true;
		record_reason(s->record, FS_REASON_none, NULL);
	}
	if (s->no_unicast)
		return FS_REASON_port_shared;
	s->linked = true;
	if (s->port_asked)
		local_publish_datagrams(ctx, s); /* without a name it can still be answered */
	sock_publish(s);
	return 0;
}

/* Does another socket of the stack take what comes to the port of @s? */
static bool is_last(const struct context *ctx, const struct sock *s)
{
	struct list *e;

	LIST_FOR_EACH(e, &ctx->stack->all_socks) {
		const struct sock *other = FS_CONTAINER_OF(e, struct sock, all);

		if (other != s && other->linked && other->rule_port == s->rule_port)
			return false;
	}
	return true;
}

/* Who sends to @s asks the kernel from now on, before anything is lost on the way. */
static void say_gone(struct context *ctx, const struct sock *s)
{
	const struct local_datagram gone = { .kind = LOCAL_GONE, .src = s->rule_local, .src_port = s->rule_port };
	const struct stack_local *l = ctx->stack->local;

	for (unsigned i = 0; i < l->n; i++) {
		struct local_link *link = l->link[i].link;

		if (!l->link[i].serial || !(link->datagrams.is_used || link->datagrams.rx.pos))
			continue;
		local_datagram_put(link, &gone, NULL, 0);
		local_told(ctx, link);
	}
}

void datagram_local_leave(struct context *ctx, struct sock *s)
{
	if (!s->linked)
		return;
	s->linked = s->links_only = false;
	local_drop_names(ctx, s);
	if (is_last(ctx, s))
		say_gone(ctx, s);
}

/* --- delivering --- */

/* The payload pool has room for @len bytes more than what it keeps for others. */
static void make_room(struct context *ctx, uint32_t len)
{
	uint32_t want = STACK_PAYLOAD_LOW + 2 * (len / STACK_PAYLOAD_CHUNK);

	while (ctx->stack->payload.n_free < want + udp_payload_reserve(&ctx->stack->udp) && context_payload_reserve(ctx))
		continue;
}

/* The interface that IP_PKTINFO names: the one that has the address, not the loopback that it came by
 * (ip_route_output_key_hash_rcu(), ip6_rcv_core()). */
static uint32_t interface_of(struct context *ctx, const struct ip_addr *addr)
{
	struct stack_local *l = ctx->stack->local;

	if (ip_addr_is_loopback(addr))
		return CONTEXT_LOOPBACK;
	if (!ip_addr_equal(&l->carried, addr) || ctx->now - l->carried_looked >= CARRIED_NS) {
		l->carried = *addr;
		l->carrier = context_interface_of(ctx, addr);
		l->carried_looked = ctx->now;
	}
	return l->carrier ? l->carrier : CONTEXT_LOOPBACK;
}

static bool tells_interface(const struct sock *s)
{
	return s->cmsgs & (SOCK_CMSG_PKTINFO | SOCK_CMSG_PKTINFO6);
}

/* What @head says of it and the bytes of @iov join the queue of @s. @changed: who sends may have sent by the kernel before. */
static void deliver(struct context *ctx, struct sock *s, const struct local_datagram *head, const struct iovec *iov,
		    int n, bool changed)
{
	struct fbuf part[LOCAL_DATAGRAM_PARTS];

	part[0] = (struct fbuf){
		.total = head->len,
		.stamp = ctx->stack->stamped ? host_clock_wall() : 0,
		.src = head->src,
		.dst = head->dst,
		.src_port = head->src_port,
		.dst_port = head->dst_port,
		.ifindex = tells_interface(s) ? interface_of(ctx, &head->dst) : CONTEXT_LOOPBACK,
		.ttl = head->hops,
		.tos = head->tos,
		.late = changed || head->after_kernel,
	};
	for (int i = 0; i < n; i++) {
		part[i].next = i + 1 < n ? &part[i + 1] : NULL;
		part[i].data = iov[i].iov_base;
		part[i].len = (uint32_t)iov[i].iov_len;
	}
	make_room(ctx, head->len);
	udp_deliver_copy(&ctx->env, &s->pcb, part);
	ctx->stack->counter[FS_CTR_local_datagrams_in]++;
}

/* --- sending --- */

static struct local_datagram head_of(const struct sock *s, const struct udp_style *style, const struct ip_dst *dst,
				     const struct ip_addr *addr, uint16_t port, size_t len)
{
	return (struct local_datagram){
		.len = (uint32_t)len,
		.kind = LOCAL_DATAGRAM,
		.tos = style->tos,
		.hops = style->hop_limit ? style->hop_limit : dst->hop_limit ? dst->hop_limit : IP_DEFAULT_HOP_LIMIT,
		.src = source_of(s, dst, addr),
		.dst = *addr,
		.src_port = s->pcb.local_port,
		.dst_port = port,
	};
}

/* Within the stack. False: nobody is there any more. */
static bool send_here(struct context *ctx, struct local_peer *p, const struct local_datagram *head,
		      const struct datagram *d)
{
	struct sock *to = taker(ctx, &head->dst, head->dst_port, &head->src, head->src_port);

	if (!to) {
		forget_peer(ctx, p);
		return false;
	}
	deliver(ctx, to, head, d->iov, (int)d->n_iov, false);
	if (!find_peer(ctx, &head->src, head->src_port))
		note_there(ctx, &head->src, head->src_port, SELF);
	return true;
}

/* By its link. False: it is no more. */
static bool send_there(struct context *ctx, struct sock *s, struct local_peer *p, const struct local_datagram *head,
		       const struct datagram *d)
{
	unsigned index = p->link;
	struct local_link *link = ctx->stack->local->link[index].link;

	if (!local_datagram_put(link, head, d->iov, (int)d->n_iov)) {
		if (link->ended != LOCAL_LINK_UP)
			return false;
		ctx->stack->counter[FS_CTR_drop_local_full]++;
	}
	local_told(ctx, link);
	if (__builtin_expect(s->link != index + 1, 0)) {
		s->link = (uint8_t)(index + 1);
		s->record->peer_pid = link->peer_pid;
	}
	return true;
}

ssize_t datagram_local_send(struct context *ctx, struct sock *s, const struct udp_style *style, const struct ip_dst *dst,
			    const struct ip_addr *addr, uint16_t port, const struct datagram *d, size_t len)
{
	struct local_datagram head = head_of(s, style, dst, addr, port, len);
	struct local_peer *p = peer_of(ctx, s, dst, addr, port);

	if (goes_there(ctx, p) && p->link != SELF) {
		/* Who only sends hears, too, that somebody is gone. */
		local_drive(ctx, p->link);
		p = peer_of(ctx, s, dst, addr, port);
	}
	if (!goes_there(ctx, p))
		return DATAGRAM_KERNEL;
	head.after_kernel = p->by_kernel;
	if (len > UDP_MAX_PAYLOAD || d->n_iov > LOCAL_DATAGRAM_PARTS ||
	    !(p->link == SELF ? send_here(ctx, p, &head, d) : send_there(ctx, s, p, &head, d))) {
		p->by_kernel = true;
		return DATAGRAM_KERNEL;
	}
	p->by_kernel = false;
	ctx->stack->counter[FS_CTR_local_datagrams_out]++;
	s->record->tx_fast++;
	s->record->tx_bytes += len;
	return (ssize_t)len;
}

/* --- what comes back --- */

/* What @head describes was sent by a socket of this stack, and goes the kernel's way. */
static void send_by_shadow(struct context *ctx, const struct local_datagram *head, struct iovec *iov, int n)
{
	struct sock *s = taker(ctx, &head->src, head->src_port, &head->dst, head->dst_port);
	int fd = s ? stream_number(ctx, s) : -1;
	union stream_name name;
	struct msghdr msg = { .msg_name = &name, .msg_iov = iov, .msg_iovlen = (size_t)n };
	ssize_t sent = -1;

	if (fd < 0)
		return; /* it was closed meanwhile, or is a relative's alone */
	msg.msg_namelen = sizeof(name);
	stream_put_name(s->pcb.flags & UDP_PCB_V6, &head->dst, head->dst_port, &name, &msg.msg_namelen);
	for (int i = 0; i < TRIES && sent < 0; i++)
		sent = sys_sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	s->error_looked = 0; /* the answer is there by now, where it is an error */
	s->kernel_looked = 0;
	ctx->stack->counter[FS_CTR_local_datagrams_back]++;
	ctx->to_ring |= sock_sleepers(s);
}

static void came_back(struct context *ctx, unsigned index, struct local_shown *shown)
{
	struct local_peer *p = find_peer(ctx, &shown->head.dst, shown->head.dst_port);

	if (!p || p->link != index || p->serial != ctx->stack->local->link[index].serial)
		return; /* nothing was sent there this way, as far as is known */
	forget_peer(ctx, p);
	send_by_shadow(ctx, &shown->head, shown->part, shown->n);
}

void datagram_local_take_back(struct context *ctx, unsigned index)
{
	struct local_shown shown;

	for (unsigned n = 0; local_datagram_unread(ctx->stack->local->link[index].link, &shown);) {
		if (shown.head.kind != LOCAL_DATAGRAM)
			continue;
		if (n++ < MOST_BACK)
			came_back(ctx, index, &shown);
		else
			ctx->stack->counter[FS_CTR_drop_local_full]++;
	}
}

static void went(struct context *ctx, unsigned index, const struct local_datagram *head)
{
	struct stack_local *l = ctx->stack->local;

	for (unsigned i = 0; i < FS_ARRAY_SIZE(l->peers.place); i++) {
		struct local_peer *p = &l->peers.place[i];

		if (p->port == head->src_port && p->link == index && p->serial == l->link[index].serial &&
		    (ip_addr_is_any(&head->src) || ip_addr_equal(&head->src, &p->addr)))
			forget_peer(ctx, p);
	}
}

/* --- taking --- */

/* Who sends says itself who it is. Programs go by it, and answer there: it shall not be another host, nor a port that only
 * root has, and what another user's programs send (local_users) the kernel sends, which knows their ports. */
static bool is_honest(struct context *ctx, const struct stack_link *l, const struct local_datagram *head)
{
	struct ip_addr *own = &ctx->stack->local->own;

	if (l->strange)
		return false;
	if (!ip_addr_equal(own, &head->dst)) {
		if (!local_is_own(ctx, &head->dst))
			return false;
		*own = head->dst;
	}
	return local_is_own(ctx, &head->src) && local_may_have(ctx, l->link, head->src_port);
}

/* To who sent it, whose shadow sends it. */
static void return_one(struct context *ctx, struct local_link *link, struct local_shown *shown)
{
	shown->head.kind = LOCAL_RETURNED;
	if (!local_datagram_put(link, &shown->head, shown->part, shown->n))
		ctx->stack->counter[FS_CTR_drop_local_full]++;
}

static void take_one(struct context *ctx, unsigned index, struct local_shown *shown)
{
	struct stack_link *l = &ctx->stack->local->link[index];
	struct local_datagram *head = &shown->head;
	struct local_peer *from = find_peer(ctx, &head->src, head->src_port);
	bool is_known = from && from->state == LOCAL_PEER_THERE && is_up(ctx, from);
	struct sock *s;

	if (!is_known || from->link != index || !ip_addr_equal(&ctx->stack->local->own, &head->dst)) {
		/* Nobody is found in another namespace: who sends from there was not asked. */
		if (l->beyond || head->src_port == 0) {
			ctx->stack->counter[FS_CTR_drop_local_forged]++;
			return;
		}
		if (!is_honest(ctx, l, head)) {
			return_one(ctx, l->link, shown); /* the kernel knows whether it is */
			return;
		}
		if (!is_known) /* who is at another link is answered there, as long as there is that link */
			note_there(ctx, &head->src, head->src_port, index);
	}
	s = taker(ctx, &head->dst, head->dst_port, &head->src, head->src_port);
	if (s)
		deliver(ctx, s, head, shown->part, shown->n, !is_known);
	else
		return_one(ctx, l->link, shown);
}

unsigned datagram_local_take(struct context *ctx, unsigned index)
{
	struct local_link *link = ctx->stack->local->link[index].link;
	struct local_shown shown;
	unsigned n;

	for (n = 0; n < MOST && local_datagram_next(link, &shown); n++) {
		if (shown.head.kind == LOCAL_DATAGRAM)
			take_one(ctx, index, &shown);
		else if (shown.head.kind == LOCAL_RETURNED)
			came_back(ctx, index, &shown);
		else
			went(ctx, index, &shown.head);
		local_datagram_pass(link);
	}
	return n;
}
