/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lifecycle.c - sockets come, choose their way, and go (DESIGN D3, D4, D10).
 */
#include "context/lifecycle.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>

#include "base/reason.h"
#include "context/datagram_local.h"
#include "context/local.h"
#include "context/errqueue.h"
#include "context/handover.h"
#include "context/internal.h"
#include "context/passed.h"
#include "context/sister.h"
#include "context/stamp.h"
#include "context/stream_internal.h"
#include "context/take.h"
#include "host/link.h"
#include "socket/epoll.h"
#include "sys/sys.h"


/* --- names --- */

/* Kernel's socket address -> our form. False: not an Internet address. */
static bool from_sockaddr(const struct sockaddr_storage *ss, struct ip_addr *addr, uint16_t *port)
{
	if (ss->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)ss;

		*addr = ip_addr_v4(&in->sin_addr);
		*port = ntohs(in->sin_port);
		return true;
	}
	if (ss->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)ss;

		*addr = ip_addr_v6(&in6->sin6_addr);
		*port = ntohs(in6->sin6_port);
		return true;
	}
	return false;
}

void context_read_names(struct sock *s, int fd)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	if (sys_getsockname(fd, &ss, &len) == 0)
		from_sockaddr(&ss, &s->pcb.local, &s->pcb.local_port);
	s->bound = s->pcb.local_port != 0;
	len = sizeof(ss);
	s->pcb.flags &= ~(uint32_t)UDP_PCB_CONNECTED;
	s->pcb.remote = (struct ip_addr){ 0 };
	s->pcb.remote_port = 0;
	if (sys_getpeername(fd, &ss, &len) == 0 && from_sockaddr(&ss, &s->pcb.remote, &s->pcb.remote_port))
		s->pcb.flags |= UDP_PCB_CONNECTED;
}

/* --- steering --- */

static struct steer_rule rule_of(const struct sock *s)
{
	return (struct steer_rule){
		.protocol = IPPROTO_UDP,
		.v6_only = (s->pcb.flags & UDP_PCB_V6) && (s->pcb.flags & UDP_PCB_V6ONLY),
		.v4_only = !(s->pcb.flags & UDP_PCB_V6),
		.local_port = s->rule_port,
		.local = s->rule_local,
		.verdict = STEER_STACK,
	};
}

static uint32_t family_bits(const struct sock *s)
{
	return s->pcb.flags & (UDP_PCB_V6 | UDP_PCB_V6ONLY);
}

/* Another socket of the stack needs the same entry on @port (a server's connected sockets). */
static bool entry_needed(const struct context *ctx, const struct sock *s, unsigned port)
{
	struct list *e;

	LIST_FOR_EACH(e, &ctx->stack->all_socks) {
		const struct sock *other = FS_CONTAINER_OF(e, struct sock, all);

		if (other != s && (other->steered & (1u << port)) && other->rule_port == s->rule_port &&
		    ip_addr_equal(&other->rule_local, &s->rule_local) && family_bits(other) == family_bits(s))
			return true;
	}
	return false;
}

/* A process that did not join has no hold on a port: the entry stays until one that has looks. */
void context_unsteer(struct context *ctx, struct sock *s)
{
	struct steer_rule rule;

	if (s->protocol == SOCK_TCP) {
		stream_unsteer(ctx, s);
		return;
	}
	rule = rule_of(s);

	for (unsigned i = 0; s->steered && i < IP_MAX_PORTS; i++) {
		struct provider_handle *h = &ctx->handle[i];

		if (!(s->steered & (1u << i)) || (ctx->stack->port[i] && !h->ops))
			continue;
		if (h->ops && h->ops->steer_remove && !entry_needed(ctx, s, i))
			h->ops->steer_remove(h, &rule);
		s->steered &= (uint16_t)~(1u << i);
	}
	if (s->steered)
		ctx->stack->entries_left = true;
	context_groups_unsteer(ctx, s);
	stamp_steered(ctx, s);
}

bool context_is_steered(const struct sock *s)
{
	return s->steered || (s->protocol == SOCK_UDP && context_groups_left(s));
}

static void unsteer_left(struct context *ctx, struct list *socks)
{
	struct list *e;

	LIST_FOR_EACH(e, socks) {
		struct sock *s = FS_CONTAINER_OF(e, struct sock, all);

		if (s->way == SOCK_KERNEL && context_is_steered(s))
			context_unsteer(ctx, s);
	}
}

void context_unsteer_left(struct context *ctx)
{
	ctx->stack->entries_left = false;
	unsteer_left(ctx, &ctx->stack->all_socks);
	unsteer_left(ctx, &ctx->stack->all_streams);
}

/* Out of the tables, if it was in; what has arrived by now is taken first. */
static bool take_out(struct context *ctx, struct sock *s)
{
	if (!(s->pcb.flags & UDP_PCB_BOUND))
		return false;
	context_drain(ctx);
	udp_remove(&ctx->stack->udp, &s->pcb);
	return true;
}

/*
 * The shadow's address changed: move the pcb within the tables. What arrived for the former one is its
 * own still, as what stands in the kernel's queue is.
 */
static void renamed(struct context *ctx, struct sock *s, int fd)
{
	bool listed = take_out(ctx, s);

	context_forget_route(ctx, s);
	context_read_names(s, fd);
	s->link = 0;
	if (listed && s->pcb.local_port == s->rule_port) {
		udp_insert(&ctx->stack->udp, &s->pcb);
		if (s->no_unicast || s->pcb.groups)
			context_groups_review(ctx, s->pcb.local_port);
	} else if (listed) {
		/* Dissolving the association gave an implicit port back (udp_disconnect()). */
		datagram_local_leave(ctx, s);
		context_unsteer(ctx, s);
		s->way = SOCK_UNDECIDED;
		s->unsteered = false;
		s->missing = 0;
		record_reason(s->record, FS_REASON_pending, NULL);
	}
	sock_publish(s);
}

/* Put the port entry in on @port. 0 or a reason. */
static int steer_on(struct context *ctx, struct sock *s, unsigned port)
{
	struct provider_handle *h = &ctx->handle[port];
	struct steer_rule rule = rule_of(s);

	if (!h->ops)
		return FS_REASON_join_denied; /* another process', who may keep it from this one */
	if (context_rule_add(ctx, port, &rule) < 0) {
		host_format(ctx->why, sizeof(ctx->why), "steering table full%s", "");
		return FS_REASON_too_many_sockets;
	}
	s->steered |= (uint16_t)(1u << port);
	s->record->port_index = s->record->port_index == 0xff ? (uint8_t)port : s->record->port_index;
	stamp_steered(ctx, s);
	return 0;
}

void context_resteer(struct context *ctx, unsigned port)
{
	struct list *e;

	LIST_FOR_EACH(e, &ctx->stack->all_socks) {
		struct sock *s = FS_CONTAINER_OF(e, struct sock, all);
		int reason;

		context_groups_resteer(ctx, s, port);
		if (!(s->steered & (1u << port)))
			continue;
		s->steered &= (uint16_t)~(1u << port);
		if (s->way != SOCK_FAST)
			continue;
		reason = steer_on(ctx, s, port);
		if (reason && !s->steered)
			context_demote(ctx, s, reason, ctx->why);
	}
}

uint32_t context_interface_of(struct context *ctx, const struct ip_addr *local)
{
	struct host_addr addrs[64];
	int n = host_addr_list(&ctx->nl, 0, addrs, FS_ARRAY_SIZE(addrs));

	for (int i = 0; i < FS_MIN(n, (int)FS_ARRAY_SIZE(addrs)); i++)
		if (ip_addr_equal(&addrs[i].addr, local))
			return (uint32_t)addrs[i].ifindex;
	return 0;
}

/* The interface of one address: that of the former question, or asked. */
static uint32_t carrier_of(struct context *ctx, const struct ip_addr *local, struct context_places *places)
{
	if (!places->found || !ip_addr_equal(&places->local, local)) {
		places->found = true;
		places->local = *local;
		places->carrier = context_interface_of(ctx, local);
	}
	return places->carrier;
}

/* The interfaces that the local address of @s names. Returns how many; *reason says why when 0. */
static unsigned places_of(struct context *ctx, const struct sock *s, struct context_places *places,
			  const uint32_t **ifindex, int *reason)
{
	*reason = FS_REASON_no_interface;
	if (!ip_addr_is_any(&s->pcb.local)) {
		/* Bound to another device than the address's, it takes what arrives there by the shadow. */
		uint32_t carrier = carrier_of(ctx, &s->pcb.local, places);

		*ifindex = &places->carrier;
		return carrier != 0 && (s->pcb.ifindex == 0 || s->pcb.ifindex == carrier);
	}
	if (s->pcb.ifindex) {
		*ifindex = &s->pcb.ifindex;
		return 1;
	}
	if (!places->listed)
		places->n = context_interfaces(ctx, places->ifindex, IP_MAX_PORTS, &places->reason);
	places->listed = true;
	*ifindex = places->ifindex;
	*reason = places->reason;
	return places->n;
}

int context_steer(struct context *ctx, struct sock *s, struct context_places *places)
{
	const uint32_t *ifindex;
	int reason, refused = 0;
	unsigned n = places_of(ctx, s, places, &ifindex, &reason);

	for (unsigned i = 0; i < n; i++) {
		int port = context_port(ctx, ifindex[i], &reason);

		if (port >= 0)
			reason = s->steered & (1u << port) ? 0 : steer_on(ctx, s, (unsigned)port);
		if (reason)
			refused = reason;
	}
	return s->steered ? 0 : refused ? refused : reason;
}

int context_accelerate(struct context *ctx, struct sock *s, int fd)
{
	struct context_places places = { 0 };
	int reason;

	if (s->way != SOCK_UNDECIDED || !s->bound)
		return FS_REASON_pending;
	ctx->why[0] = '\0';
	if (config_bypass_has(ctx->config.bypass, IPPROTO_UDP, s->pcb.local_port))
		return FS_REASON_bypass;
	if (ip_addr_is_loopback(&s->pcb.local))
		return FS_REASON_loopback;
	if (ip_addr_is_link_local(&s->pcb.local) && !ip_addr_is_v4(&s->pcb.local))
		return FS_REASON_scoped;
	s->no_unicast = ip_addr_is_multicast(&s->pcb.local) || context_port_is_shared(ctx, s);
	ctx->stack->shared |= s->no_unicast;
	s->rule_port = s->pcb.local_port;
	s->rule_local = s->pcb.local;
	if (ip_addr_is_any(&s->rule_local))
		s->rule_local = (struct ip_addr){ 0 };
	/* The table first: a datagram that is steered must find its socket. */
	udp_insert(&ctx->stack->udp, &s->pcb);
	reason = s->no_unicast ? 0 : context_steer(ctx, s, &places);
	if (reason == FS_REASON_interface_down) {
		s->missing = 1; /* as if it had been up until now */
		ctx->stack->waiting = true;
	} else if (reason) {
		udp_remove(&ctx->stack->udp, &s->pcb);
		return reason;
	}
	s->way = SOCK_FAST;
	context_widen(s, fd);
	record_reason(s->record, FS_REASON_none, NULL);
	context_sock_review(ctx, s, FS_REASON_interface_down);
	context_groups_review(ctx, s->pcb.local_port);
	sock_publish(s);
	return 0;
}

void context_unicast_off(struct context *ctx, struct sock *s)
{
	if (s->way != SOCK_FAST || s->no_unicast)
		return;
	context_unsteer(ctx, s);
	datagram_local_leave(ctx, s);
	s->no_unicast = true;
	ctx->stack->shared = true;
	context_groups_review(ctx, s->pcb.local_port);
}

/* A refusal that another destination, or time, may change leaves the socket undecided. */
static bool is_final(int reason)
{
	return reason != FS_REASON_loopback && reason != FS_REASON_multicast &&
	       reason != FS_REASON_pending && reason != FS_REASON_scoped;
}

/* Can it have to do with other programs of this host? */
static bool may_be_near(struct context *ctx, const struct sock *s)
{
	return local_has_datagrams(ctx) && (!(s->pcb.flags & UDP_PCB_CONNECTED) || local_is_own(ctx, &s->pcb.remote));
}

static void decide(struct context *ctx, struct sock *s, int fd)
{
	int reason;

	if (s->way != SOCK_UNDECIDED)
		return; /* the reason stands that decided it */
	reason = context_accelerate(ctx, s, fd);
	if (reason == 0) {
		datagram_local_join(ctx, s, fd);
		return;
	}
	if (s->bound && reason != FS_REASON_bypass && may_be_near(ctx, s)) {
		int none = datagram_local_join(ctx, s, fd);

		if (none == 0) { /* and by links alone: why, is told */
			if (reason != FS_REASON_loopback)
				record_reason(s->record, reason, ctx->why);
			return;
		}
		reason = reason == FS_REASON_loopback ? none : reason;
	}
	if (is_final(reason))
		context_demote(ctx, s, reason, ctx->why);
	else
		record_reason(s->record, reason, ctx->why);
}

void context_rebind(struct context *ctx, struct sock *s, int fd, uint32_t ifindex)
{
	bool listed;

	if (s->pcb.ifindex == ifindex)
		return;
	context_forget_route(ctx, s);
	listed = take_out(ctx, s);
	s->pcb.ifindex = ifindex;
	if (!listed)
		return;
	context_unsteer(ctx, s);
	datagram_local_leave(ctx, s);
	s->way = SOCK_UNDECIDED;
	s->unsteered = false;
	s->missing = 0;
	s->no_unicast = false;
	s->shareable = true; /* others may have the port by other interfaces */
	decide(ctx, s, fd);
	context_groups_review(ctx, s->pcb.local_port);
	sock_publish(s);
}

/* One of those that share a port went to the kernel: flows are spread by the kernel, for all of them. */
static void leave_shared(struct context *ctx, const struct sock *s)
{
	struct list *e;

	LIST_FOR_EACH(e, &ctx->stack->all_socks) {
		struct sock *other = FS_CONTAINER_OF(e, struct sock, all);

		if (other != s && other->way == SOCK_FAST && (other->pcb.flags & UDP_PCB_REUSEPORT) &&
		    other->rule_port == s->rule_port && ip_addr_equal(&other->rule_local, &s->rule_local))
			context_unicast_off(ctx, other);
	}
}

void context_demote(struct context *ctx, struct sock *s, int reason, const char *detail)
{
	bool listed, was_fast = s->way == SOCK_FAST;

	if (s->protocol == SOCK_TCP) {
		stream_demote(ctx, s, reason, detail);
		return;
	}
	if (s->way == SOCK_KERNEL)
		return;
	listed = s->pcb.flags & UDP_PCB_BOUND;
	context_unsteer(ctx, s);
	datagram_local_leave(ctx, s);
	s->missing = 0;
	if (listed)
		udp_remove(&ctx->stack->udp, &s->pcb);
	s->way = SOCK_KERNEL;
	/* Its shadow now needs copies of the groups it shared with others. */
	if (listed)
		context_groups_review(ctx, s->rule_port);
	context_forget_route(ctx, s);
	record_reason(s->record, reason, detail);
	sock_publish(s);
	ctx->stack->counter[FS_CTR_moved_to_kernel]++;
	/* Who was shut down or closed takes no part in a group any more. */
	if (was_fast && (s->pcb.flags & UDP_PCB_REUSEPORT) && reason != FS_REASON_shutdown)
		leave_shared(ctx, s);
	ctx->to_ring |= sock_sleepers(s); /* they look at the shadow from now on */
}

void context_dismiss(struct context *ctx, struct sock *s, int reason, const char *detail)
{
	if (s->way == SOCK_FAST && s->protocol == SOCK_UDP) {
		context_unsteer(ctx, s);
		context_drain(ctx);
	}
	context_demote(ctx, s, reason, detail);
}

void context_demote_all(struct context *ctx, int port, int reason, const char *detail)
{
	struct list *e;

	LIST_FOR_EACH(e, &ctx->stack->all_socks) {
		struct sock *s = FS_CONTAINER_OF(e, struct sock, all);

		if (s->way == SOCK_FAST &&
		    (port < 0 || (s->steered & (1u << port)) || context_groups_on(ctx, s, (unsigned)port)))
			context_demote(ctx, s, reason, detail);
	}
	if (port >= 0)
		handover_port(ctx, (unsigned)port, reason, detail);
	context_ring(ctx);
}

/* --- coming --- */

static void record_only(struct context *ctx, int fd, int domain, int protocol, int reason)
{
	struct stats_sock *r = context_record(ctx, fd, domain, protocol);

	if (!r)
		return;
	record_reason(r, reason, NULL);
	context_fd_set(ctx, fd, FD_RECORD, r, 0);
}

static uint64_t cookie_of(int fd)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	sys_getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len);
	return cookie;
}

/* The lock cannot be had: the socket is the kernel's; who holds the lock next writes its record. */
static void note_late(struct context *ctx, int fd, int domain)
{
	unsigned i = fs_fetch_add(&ctx->n_late, 1);

	if (i >= FS_ARRAY_SIZE(ctx->late))
		return;
	ctx->late[i].fd = fd;
	ctx->late[i].domain = domain;
	fs_store_release(&ctx->late[i].cookie, cookie_of(fd));
}

void context_record_late(struct context *ctx)
{
	for (unsigned i = 0; i < FS_ARRAY_SIZE(ctx->late); i++) {
		uint64_t cookie = fs_load_acquire(&ctx->late[i].cookie);
		int fd = ctx->late[i].fd;

		fs_store_relaxed(&ctx->late[i].cookie, 0); /* who fills a place holds no lock */
		if (cookie && fd_kind_of(&ctx->fds, fd) == FD_NONE && cookie_of(fd) == cookie)
			record_only(ctx, fd, ctx->late[i].domain, IPPROTO_UDP, FS_REASON_holder_stopped);
	}
	fs_store_relaxed(&ctx->n_late, 0);
}

static void open_datagram(struct context *ctx, int fd, int domain, int type)
{
	struct stats_sock *record = context_record(ctx, fd, domain, IPPROTO_UDP);
	struct sock *s = record ? context_sock_alloc(ctx) : NULL;

	if (!s) {
		bool full = ctx->stack->socks.in_use >= ctx->config.max_sockets;

		record_reason(record, full ? FS_REASON_too_many_sockets : FS_REASON_memory, NULL);
		context_fd_set(ctx, fd, record ? FD_RECORD : FD_NONE, record, 0);
		return;
	}
	sock_init(s, record, SOCK_UDP, domain == AF_INET6, ++ctx->stack->generation);
	s->cookie = record->cookie;
	s->nonblock = type & SOCK_NONBLOCK;
	context_read_options(s, fd);
	s->refs[ctx->slot] = 1;
	list_push_back(&ctx->stack->all_socks, &s->all);
	context_fd_set(ctx, fd, FD_SOCK, s, s->generation);
}

/* A connection of the kernel's, for good. */
static void record_connection(struct context *ctx, int fd, int reason)
{
	int domain = 0;
	socklen_t len = sizeof(domain);

	lifecycle_reused(ctx, fd);
	if (!context_lock(ctx))
		return;
	sys_getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len);
	record_only(ctx, fd, domain, domain == AF_UNIX ? 0 : IPPROTO_TCP, reason);
	context_unlock(ctx);
}

void lifecycle_accepted(struct context *ctx, int fd, int reason)
{
	record_connection(ctx, fd, reason);
	lifecycle_named(ctx, fd, NULL, 0);
}

void lifecycle_moved(struct context *ctx, int fd, int reason)
{
	struct sockaddr_storage peer = { 0 };
	socklen_t len = sizeof(peer);

	record_connection(ctx, fd, reason);
	lifecycle_named(ctx, fd, &peer, sys_getpeername(fd, &peer, &len) == 0 ? len : 0);
}

bool context_same_namespace(const struct context *ctx, int fd)
{
	uint64_t its = 0;
	socklen_t len = sizeof(its);

	/* Kernels before 5.14 cannot tell. */
	return ctx->netns_cookie == 0 || sys_getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &its, &len) < 0 ||
	       its == ctx->netns_cookie;
}

static void opened(struct context *ctx, int fd, int domain, int type, int protocol)
{
	bool datagram = (type & 0xf) == SOCK_DGRAM && (protocol == 0 || protocol == IPPROTO_UDP);
	bool stream = (type & 0xf) == SOCK_STREAM && (protocol == 0 || protocol == IPPROTO_TCP || domain == AF_UNIX);
	int protocol_of = domain == AF_UNIX ? 0 : protocol ? protocol : stream ? IPPROTO_TCP : IPPROTO_UDP;

	if (!context_lock_unless_stopped(ctx)) {
		if (fs_load_relaxed(&ctx->stack->lock.stopped))
			note_late(ctx, fd, domain);
		return;
	}
	if (!ctx->config.accelerate)
		record_only(ctx, fd, domain, protocol_of, FS_REASON_disabled);
	else if (!datagram && !stream)
		record_only(ctx, fd, domain, protocol_of, FS_REASON_protocol);
	else if (!context_same_namespace(ctx, fd))
		record_only(ctx, fd, domain, protocol_of, FS_REASON_namespace);
	else if (!context_joined(ctx))
		record_only(ctx, fd, domain, protocol_of, context_join_reason(ctx));
	else if (stream)
		stream_open(ctx, fd, domain, type & SOCK_NONBLOCK);
	else
		open_datagram(ctx, fd, domain, type);
	context_unlock(ctx);
}

void lifecycle_opened(int fd, int domain, int type, int protocol, context_ppoll_fn *libc_ppoll)
{
	int saved = errno, reason = 0;
	struct context *ctx;

	if (domain != AF_INET && domain != AF_INET6 && domain != AF_UNIX)
		return;
	if ((type & 0xf) == SOCK_RAW)
		return;
	ctx = context_start(libc_ppoll, &reason);
	if (ctx) {
		lifecycle_reused(ctx, fd);
		opened(ctx, fd, domain, type, protocol);
	}
	errno = saved;
}

/* --- changing --- */

/* As context_enter(), and make sure that the number means what it meant (P21): what follows would give
 * the names or options of a stranger to a socket of ours. */
struct sock *context_enter_checked(struct context *ctx, int fd)
{
	if (fd_kind_of(&ctx->fds, fd) != FD_SOCK || !context_lock(ctx))
		return NULL;
	context_check_old_descriptor(ctx, fd);
	context_leave(ctx);
	return context_enter(ctx, fd);
}

static void stream_bound(struct context *ctx, int fd, bool port_asked)
{
	struct sock *s = stream_enter_checked(ctx, fd);

	if (!s)
		return;
	if (s->stream.is_unix)
		stream_unix_bound(s, fd);
	else
		stream_read_names(s, fd);
	s->stream.named_port = port_asked;
	sock_publish(s);
	context_leave(ctx);
}

void lifecycle_bound(struct context *ctx, int fd, bool port_asked)
{
	struct sock *s = context_enter_checked(ctx, fd);
	int saved = errno;

	if (!s) {
		stream_bound(ctx, fd, port_asked);
		errno = saved;
		return;
	}
	renamed(ctx, s, fd);
	s->port_asked = port_asked;
	/* A server attaches at once; who lets the kernel choose a port is a client (DESIGN D4). */
	if (port_asked || ctx->config.profile == CONFIG_PROFILE_LATENCY)
		decide(ctx, s, fd);
	context_leave(ctx);
	errno = saved;
}

void lifecycle_connected(struct context *ctx, int fd)
{
	struct sock *s = context_enter_checked(ctx, fd);
	int saved = errno;
	bool connected, bypassed;

	if (!s)
		return;
	renamed(ctx, s, fd);
	connected = s->pcb.flags & UDP_PCB_CONNECTED;
	bypassed = connected && config_bypass_has(ctx->config.bypass, IPPROTO_UDP, s->pcb.remote_port);
	if (bypassed && s->way != SOCK_KERNEL)
		context_dismiss(ctx, s, FS_REASON_bypass, NULL); /* may be fast since its bind() */
	else if (connected && s->way == SOCK_UNDECIDED)
		context_try_client(ctx, s, fd, &s->pcb.remote);
	else if (bypassed && s->record->reason == FS_REASON_option)
		/* It would be the kernel's without the option, too; the list is what the user can change. */
		record_reason(s->record, FS_REASON_bypass, NULL);
	context_leave(ctx);
	errno = saved;
}

void lifecycle_named(struct context *ctx, int fd, const void *peer, size_t len)
{
	struct sockaddr_storage ss = { 0 };
	struct stats_sock *r;
	struct ip_addr addr;
	struct fd_entry *e;
	uint16_t port;
	socklen_t room = sizeof(ss);

	if (fd_kind_of(&ctx->fds, fd) != FD_RECORD || context_is_borrowed(ctx) || !context_lock(ctx))
		return;
	e = fd_entry_at(&ctx->fds, fd);
	r = e->kind == FD_RECORD ? e->object : NULL;
	if (r && sys_getsockname(fd, &ss, &room) == 0 && from_sockaddr(&ss, &addr, &port)) {
		memcpy(r->local, addr.b, sizeof(r->local));
		r->local_port = port;
	}
	ss = (struct sockaddr_storage){ 0 };
	if (len)
		memcpy(&ss, peer, FS_MIN(len, sizeof(ss)));
	if (r && from_sockaddr(&ss, &addr, &port)) {
		memcpy(r->remote, addr.b, sizeof(r->remote));
		r->remote_port = port;
	}
	context_unlock(ctx);
}

/* What the kernel does at the first send (inet_autobind()); 0 or -errno. */
static int bind_any(const struct sock *s, int fd)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	struct sockaddr_in in = { .sin_family = AF_INET };

	int ret = s->pcb.flags & UDP_PCB_V6 ? sys_bind(fd, &in6, sizeof(in6)) : sys_bind(fd, &in, sizeof(in));

	return ret == -EINVAL ? 0 : ret; /* bound already: something was sent by the shadow */
}

/*
 * A client attaches at its first socket under the latency profile or where a port stands already, else
 * when it has sent enough (DESIGN D4).
 */
void context_try_client(struct context *ctx, struct sock *s, int fd, const struct ip_addr *remote)
{
	struct ip_dst *d;

	if (s->way != SOCK_UNDECIDED)
		return;
	ctx->now = host_clock_now(&ctx->clock);
	d = context_resolve(ctx, s, remote);
	if (d && d->way == IP_DST_KERNEL && d->reason != FS_REASON_no_interface) {
		record_reason(s->record, d->reason, NULL);
		return;
	}
	if (!(d && d->way == IP_DST_FAST) && ctx->config.profile != CONFIG_PROFILE_LATENCY &&
	    s->sent < ctx->config.client_datagrams) {
		record_reason(s->record, FS_REASON_short_lived, NULL);
		return;
	}
	if (!s->bound && bind_any(s, fd) < 0)
		return;
	renamed(ctx, s, fd);
	decide(ctx, s, fd);
}

bool context_try_local(struct context *ctx, struct sock *s, int fd, const struct ip_addr *remote, uint16_t port)
{
	const struct ip_dst *d = context_resolve(ctx, s, remote);

	if (!d || d->way != IP_DST_KERNEL || d->reason != FS_REASON_loopback ||
	    !datagram_local_is_there(ctx, s, fd, d, remote, port))
		return false;
	if (!s->bound && bind_any(s, fd) < 0)
		return false;
	renamed(ctx, s, fd);
	return datagram_local_join(ctx, s, fd) == 0;
}

void context_steer_too(struct context *ctx, struct sock *s, int fd)
{
	struct context_places places = { 0 };

	s->links_only = false; /* whatever comes of it: what cannot be steered comes by the shadow */
	if (context_steer(ctx, s, &places) == 0)
		context_widen(s, fd);
}

void lifecycle_shut_down(struct context *ctx, int fd)
{
	struct sock *s = context_enter_checked(ctx, fd);

	if (!s)
		return;
	context_dismiss(ctx, s, FS_REASON_shutdown, NULL);
	context_leave(ctx);
}

static struct sock *enter_either(struct context *ctx, int fd)
{
	struct sock *s = context_enter(ctx, fd);

	return s ? s : stream_enter(ctx, fd);
}

void lifecycle_nonblock(struct context *ctx, int fd, bool on)
{
	struct context *o;

	CONTEXT_EACH(o, ctx) {
		struct sock *s = enter_either(o, fd);

		if (!s)
			continue;
		s->nonblock = on;
		context_leave(o);
	}
}

void lifecycle_to_kernel(struct context *ctx, int fd, int reason, const char *detail)
{
	struct sock *s = enter_either(ctx, fd);

	if (!s)
		return;
	if (s->protocol == SOCK_TCP)
		handover_sock(ctx, s, reason);
	else
		context_dismiss(ctx, s, reason, detail);
	context_leave(ctx);
}

void lifecycle_async(struct context *ctx, int fd)
{
	lifecycle_to_kernel(ctx, fd, FS_REASON_option, "O_ASYNC");
}

void lifecycle_stream(struct context *ctx, int fd)
{
	lifecycle_to_kernel(ctx, fd, FS_REASON_option, "read and written by a stdio stream");
}

/* --- going --- */

static void datagram_end(struct context *ctx, struct sock *s)
{
	context_unsteer(ctx, s);
	datagram_local_leave(ctx, s);
	if (s->pcb.flags & UDP_PCB_BOUND)
		udp_remove(&ctx->stack->udp, &s->pcb);
	context_groups_forget(ctx, s);
	take_release_all(s, STATS_MAX_PROCS);
	udp_purge(&s->pcb);
	errqueue_purge(s);
	stamp_forget(ctx, s);
	if (s->dst)
		ip_dst_put(&ctx->stack->ip, s->dst);
}

void context_sock_free(struct context *ctx, struct sock *s)
{
	struct list *e;

	sock_publish(s);
	if (s->was_passed)
		passed_end_sock(ctx, s);
	if (s->protocol == SOCK_TCP)
		stream_end(ctx, s);
	else
		datagram_end(ctx, s);
	while ((e = list_first(&s->items)) != NULL)
		epoll_item_remove(FS_CONTAINER_OF(e, struct epoll_item, of_member));
	list_remove(&s->all);
	context_record_close(ctx, s->record);
	s->generation = 0;
	slab_free(&ctx->stack->socks, s);
}
