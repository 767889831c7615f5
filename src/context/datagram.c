/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * datagram.c - see datagram.h.
 */
#include "context/datagram.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <string.h>

#include "base/reason.h"
#include "context/block.h"
#include "context/control.h"
#include "context/datagram_local.h"
#include "context/errqueue.h"
#include "context/internal.h"
#include "context/stamp.h"
#include "context/stay.h"
#include "socket/opts.h"
#include "sys/sys.h"

enum {
	KERNEL_HOT = 64,	   /* after a datagram from the shadow, look there for so many receives */
	IPV6_NAME_MIN = 24,	   /* SIN6_LEN_RFC2133: the shortest the kernel takes */
	IP4_HEADER = 20,
	IP6_HEADER = 40,
	MERGE_MAX = 65507,	   /* bytes and datagrams of one UDP_GRO receive */
	MERGE_DATAGRAMS = 64,
};

/* A socket left to the kernel with nothing more in the stack: its descriptor is libc's from now on. */
static bool retire(struct context *ctx, struct sock *s, int fd)
{
	struct stats_sock *record = s->record;

	if (s->way != SOCK_KERNEL || s->pcb.queue.head || s->held.head || sock_is_used(s))
		return false;
	if (s->errors.head || stamps_differ(&s->stamps))
		return false;
	if (ctx->slot >= STATS_MAX_PROCS || s->refs[ctx->slot] == 0)
		return false;
	/* Registrations with epoll sets need the object: they translate the kernel's events. */
	if (!list_is_empty(&s->items) || sock_refs(s) > 1 || s->heirs)
		return false;
	if (context_is_steered(s)) /* on a port that only others hold */
		return false;
	if (!fs_load_relaxed(&ctx->confined)) /* its filter may kill for that */
		context_narrow(s, fd);
	context_fd_set(ctx, fd, FD_RECORD, record, 0);
	s->record = &(struct stats_sock){ .fd = -1 }; /* the record lives on behind the descriptor */
	context_sock_free(ctx, s);
	return true;
}

/* --- receiving --- */

static socklen_t put_name(const struct sock *s, const struct fbuf *f, void *to, socklen_t room)
{
	union {
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} name;
	socklen_t len;

	memset(&name, 0, sizeof(name));
	if (s->pcb.flags & UDP_PCB_V6) {
		name.in6.sin6_family = AF_INET6;
		name.in6.sin6_port = htons(f->src_port);
		memcpy(&name.in6.sin6_addr, f->src.b, 16);
		if (!ip_addr_is_v4(&f->src) && ip_addr_is_link_local(&f->src))
			name.in6.sin6_scope_id = f->ifindex;
		len = sizeof(name.in6);
	} else {
		name.in.sin_family = AF_INET;
		name.in.sin_port = htons(f->src_port);
		memcpy(&name.in.sin_addr, f->src.b + 12, 4);
		len = sizeof(name.in);
	}
	memcpy(to, &name, FS_MIN(room, len));
	return len;
}

/* What the call tells beside the bytes. @total: those there were, of which it takes @done. */
static ssize_t put_rest(struct sock *s, struct fbuf *f, uint32_t segment, uint32_t total,
			uint32_t done, struct datagram *d)
{
	if (d->name)
		d->name_len = put_name(s, f, d->name, d->name_len);
	d->msg_flags = (done < total ? MSG_TRUNC : 0) | (d->flags & MSG_CMSG_CLOEXEC);
	if (__builtin_expect(s->cmsgs | segment, 0))
		control_put(s, f, segment, d);
	else
		d->control_len = 0;
	return d->flags & MSG_TRUNC ? total : done;
}

/* Copy the datagram to the program. Returns what the call returns. */
static ssize_t put_datagram(struct sock *s, struct fbuf *f, struct datagram *d)
{
	uint32_t done = 0;

	for (size_t i = 0; i < d->n_iov && done < f->total; i++) {
		uint32_t room = (uint32_t)FS_MIN(d->iov[i].iov_len, (size_t)f->total);

		done += fbuf_copy_out(f, done, d->iov[i].iov_base, room);
	}
	return put_rest(s, f, 0, f->total, done, d);
}

/* --- UDP_GRO: what came one after the other and looks alike is received as one --- */

static bool is_alike(const struct fbuf *a, const struct fbuf *b)
{
	return !b->late && a->src_port == b->src_port && ip_addr_equal(&a->src, &b->src) &&
	       ip_addr_equal(&a->dst, &b->dst) && a->ifindex == b->ifindex && a->tos == b->tos &&
	       a->ttl == b->ttl && a->gso_size == 0 && b->gso_size == 0;
}

/* How many datagrams from @first on are one receive of at most @room bytes: equal lengths, of which the
 * last may be shorter. Never so many that bytes are lost which a receive of its own would get. */
static unsigned merge(const struct fbuf *first, size_t room, uint32_t *total)
{
	const struct fbuf *f = first;
	unsigned n = 1;

	*total = first->total;
	while (first->total > 0 && f->total == first->total && n < MERGE_DATAGRAMS) {
		f = f->link;
		if (!f || !is_alike(first, f) || f->total > first->total || f->total == 0 ||
		    *total + f->total > FS_MIN(room, (size_t)MERGE_MAX))
			break;
		*total += f->total;
		n++;
	}
	return n;
}

/* Scatter @f over what is left of d->iov, which *@i and *@used say. Returns bytes copied. */
static uint32_t scatter(const struct datagram *d, const struct fbuf *f, size_t *i, size_t *used)
{
	uint32_t done = 0;

	while (*i < d->n_iov && done < f->total) {
		uint32_t room = (uint32_t)FS_MIN(d->iov[*i].iov_len - *used, (size_t)f->total);
		uint32_t n = fbuf_copy_out(f, done, (uint8_t *)d->iov[*i].iov_base + *used, room);

		done += n;
		*used += n;
		if (*used == d->iov[*i].iov_len) {
			(*i)++;
			*used = 0;
		}
	}
	return done;
}

static __attribute__((noinline)) ssize_t take_merged(struct sock *s, struct datagram *d)
{
	struct fbuf *first = s->pcb.queue.head, *f = first;
	size_t room = 0, at = 0, used = 0;
	uint32_t total, done = 0, segment;
	unsigned n;
	ssize_t ret;

	for (size_t i = 0; i < d->n_iov; i++)
		room += d->iov[i].iov_len;
	n = merge(first, room, &total);
	segment = n > 1 ? first->total : first->gso_size < first->total ? first->gso_size : 0;
	for (unsigned i = 0; i < n; i++, f = f->link)
		done += scatter(d, f, &at, &used);
	ret = put_rest(s, first, segment, total, done, d);
	if (d->flags & MSG_PEEK)
		return ret;
	s->record->rx_fast += n;
	s->record->rx_bytes += total;
	while (n-- > 0)
		fbuf_free(udp_receive(&s->pcb));
	return ret;
}

static ssize_t take_fast(struct context *ctx, struct sock *s, struct datagram *d)
{
	struct fbuf *f;
	ssize_t n;

	if (s->kernel_hot)
		s->kernel_hot--;
	s->kernel_turn = !(d->flags & MSG_PEEK); /* what was shown is taken next */
	if (__builtin_expect(s->pcb.flags & UDP_PCB_GRO, 0))
		return take_merged(s, d);
	if (d->flags & MSG_PEEK)
		return put_datagram(s, s->pcb.queue.head, d);
	f = udp_receive(&s->pcb);
	n = put_datagram(s, f, d);
	s->record->rx_fast++;
	s->record->rx_bytes += f->total;
	fbuf_free(f);
	return n;
}

ssize_t datagram_read_shadow(int fd, struct datagram *d)
{
	struct msghdr msg = {
		.msg_name = d->name,
		.msg_namelen = d->name_len,
		.msg_iov = (struct iovec *)d->iov,
		.msg_iovlen = d->n_iov,
		.msg_control = d->control,
		.msg_controllen = d->control_len,
	};
	ssize_t n = sys_recvmsg(fd, &msg, (d->flags & ~DATAGRAM_COMPAT) | MSG_DONTWAIT);

	if (n >= 0) {
		d->name_len = msg.msg_namelen;
		d->control_len = msg.msg_controllen;
		d->msg_flags = msg.msg_flags;
	}
	return n;
}

/* What the shadow gave is accounted, and makes later receives look there first. */
static void took_kernel(struct context *ctx, int fd, ssize_t n, struct datagram *d)
{
	struct sock *s;

	if (n < 0)
		return;
	s = context_enter(ctx, fd);
	if (!s)
		return;
	if (d->flags & MSG_PEEK) {
		context_promise(s, true);
		context_leave(ctx);
		return;
	}
	control_merge_drops(s, d);
	stamp_by_shadow(s);
	s->kernel_hot = KERNEL_HOT;
	context_read_late(s);
	s->record->rx_kernel++;
	s->record->rx_bytes += (uint64_t)n;
	ctx->stack->counter[FS_CTR_rx_kernel_datagrams]++;
	ctx->stack->counter[FS_CTR_rx_kernel_bytes] += (uint64_t)n;
	context_leave(ctx);
}

/* An ICMP error said that the path takes less. */
static void took_narrower(struct context *ctx, int fd)
{
	struct sock *s = context_enter(ctx, fd);

	if (!s)
		return;
	context_doubt_route(ctx, s);
	context_leave(ctx);
}

/* The number means something else by now. */
static ssize_t not_ours(struct context *ctx, int fd)
{
	if (context_lock(ctx)) {
		context_check_descriptor(ctx, fd);
		context_leave(ctx);
	}
	return DATAGRAM_KERNEL;
}

/* Must "nothing" be true of both sources? A program that does not wait may know that somebody has sent; where there are
 * only links, the kernel has the first of each flow. */
static inline bool is_strict(const struct sock *s, const struct datagram *d, bool must)
{
	return must || (s->links_only && (s->nonblock || (d->flags & MSG_DONTWAIT)));
}

/*
 * One try over both sources. -EAGAIN: neither has anything, and @nonblock says whether the socket may wait for it.
 * @must forces a look at the shadow: a call that will not come again soon must not report "nothing" out of habit.
 */
static ssize_t receive_once(struct context *ctx, int fd, struct datagram *d, bool must, bool *nonblock)
{
	const struct fbuf *first = NULL; /* of the queue, when the shadow was looked at */
	bool looked = false;

	for (;;) {
		struct sock *s = context_enter(ctx, fd);
		ssize_t n;

		if (!s)
			return DATAGRAM_KERNEL;
		if (!s->pcb.queue.head)
			context_poll_calm(ctx);
		if (looked)
			context_not_late(s, first);
		/* Housekeeping may have found that the number means something else by now. */
		if (context_live_sock(ctx, fd) != s || retire(ctx, s, fd)) {
			context_leave(ctx);
			return DATAGRAM_KERNEL;
		}
		if ((looked && s->pcb.queue.head == first) ||
		    (!context_kernel_due(ctx, s) && !(is_strict(s, d, must) && !s->pcb.queue.head))) {
			*nonblock = s->nonblock;
			n = s->pcb.queue.head ? take_fast(ctx, s, d) : -EAGAIN;
			context_leave(ctx);
			return n;
		}
		first = s->pcb.queue.head;
		s->kernel_turn = false;
		s->kernel_looked = ctx->now;
		context_leave(ctx);
		looked = true;
		n = datagram_read_shadow(fd, d);
		if (n == -ENOTSOCK || n == -EBADF)
			return not_ours(ctx, fd);
		if (n != -EAGAIN) {
			took_kernel(ctx, fd, n, d);
			if (n == -EMSGSIZE)
				took_narrower(ctx, fd);
			return n;
		}
	}
}

/* Begin to wait for the socket behind @fd. What the call needs to know of it is copied: nobody holds the
 * lock while it waits. 0, DATAGRAM_KERNEL: it is gone, -ENOMEM. */
static int begin_wait(struct context *ctx, int fd, struct blocker *b)
{
	struct sock *s = context_enter(ctx, fd);
	struct stay *stay;

	if (!s)
		return DATAGRAM_KERNEL;
	stay = stay_begin(ctx, 1);
	if (stay) {
		fs_ns limit = s->rcvtimeo;

		/* The kernel restarts a receive only where no timeout is set (sock_intr_errno()). */
		blocker_init(b, ctx, limit ? limit : -1, limit == 0, NULL);
		stay_on_sock(ctx, stay, s);
		b->stay = stay;
		b->spin_allowed = s->way == SOCK_FAST && !s->unsteered;
	}
	context_leave(ctx);
	return stay ? 0 : -ENOMEM;
}

/* Nothing there: wait for it. */
static ssize_t receive_blocking(struct context *ctx, int fd, struct datagram *d)
{
	struct pollfd fds[1 + BLOCKER_SPARE] = { { .fd = fd, .events = POLLIN } };
	BLOCKER(b);
	ssize_t n = begin_wait(ctx, fd, &b);
	bool nonblock; /* since it waits: as in the kernel, too late */

	if (n < 0)
		return n;
	do {
		int ret = blocker_pause(&b, fds, 1);

		if (ret < 0) {
			n = ret == -ETIMEDOUT ? -EAGAIN : ret;
			break;
		}
		n = receive_once(ctx, fd, d, b.slept, &nonblock);
		b.slept = false;
	} while (n == -EAGAIN);
	return n;
}

int datagram_check_iov(const struct datagram *d, size_t *total)
{
	int ret = 0;

	*total = 0;
	if (d->n_iov > IOV_MAX)
		return -EMSGSIZE;
	for (size_t i = 0; i < d->n_iov; i++) {
		size_t len = d->iov[i].iov_len;

		if (len > SSIZE_MAX)
			return -EINVAL;
		if (len > DATAGRAM_NO_BUFFER && d->n_iov > 1) /* of a single one only what is used has to be there */
			ret = -EFAULT;
		*total = FS_MIN(*total + len, (size_t)RW_MAX);
	}
	return ret;
}

ssize_t datagram_receive(struct context *ctx, int fd, struct datagram *d)
{
	bool nonblock;
	size_t total;
	ssize_t n;

	if (!datagram_sock(ctx, fd))
		return DATAGRAM_KERNEL;
	if (sock_recv_flags(d->flags) != SOCK_FLAG_FAST)
		return errqueue_receive(ctx, fd, d);
	n = datagram_check_iov(d, &total);
	if (n < 0)
		return n;
	n = receive_once(ctx, fd, d, false, &nonblock);
	if (n != -EAGAIN || (d->flags & MSG_DONTWAIT) || nonblock)
		return n;
	return receive_blocking(ctx, fd, d);
}

int datagram_next_length(struct context *ctx, int fd, bool none_before)
{
	struct sock *s = context_enter(ctx, fd);
	int n;

	if (!s)
		return -1;
	if (!s->pcb.queue.head)
		context_poll(ctx);
	if (context_live_sock(ctx, fd) != s) {
		context_leave(ctx);
		return -1;
	}
	if (none_before)
		context_not_late(s, s->pcb.queue.head);
	n = s->pcb.queue.head && !s->pcb.queue.head->late ? (int)s->pcb.queue.head->total : 0;
	if (n > 0)
		context_promise(s, false);
	context_leave(ctx);
	return n;
}

void datagram_shadow_told(struct context *ctx, int fd)
{
	struct sock *s = context_enter(ctx, fd);

	if (!s)
		return;
	context_promise(s, true);
	context_leave(ctx);
}

/* --- sending --- */

/* Destination of the call. False: irregular; the kernel knows what to say. */
static bool get_name(const struct sock *s, const void *name, socklen_t len, struct ip_addr *addr,
		     uint16_t *port)
{
	const struct sockaddr_in6 *in6 = name;
	const struct sockaddr_in *in = name;

	if (len > sizeof(struct sockaddr_storage))
		return false; /* EINVAL, as for a negative one (move_addr_to_kernel()) */
	if (s->pcb.flags & UDP_PCB_V6) {
		if (len < IPV6_NAME_MIN || in6->sin6_family != AF_INET6 || in6->sin6_flowinfo != 0)
			return false;
		if (len >= sizeof(*in6) && in6->sin6_scope_id != 0)
			return false;
		*addr = ip_addr_v6(&in6->sin6_addr);
		*port = ntohs(in6->sin6_port);
		return !((s->pcb.flags & UDP_PCB_V6ONLY) && ip_addr_is_v4(addr));
	}
	if (len < sizeof(*in) || in->sin_family != AF_INET)
		return false;
	*addr = ip_addr_v4(&in->sin_addr);
	*port = ntohs(in->sin_port);
	return true;
}

/* An error waits on the shadow: an ICMP answer to what was sent. Unconnected sockets have to ask for
 * such (IP_RECVERR). 0 or -errno. */
static int pending_error(struct context *ctx, struct sock *s, int fd)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (!((s->pcb.flags & UDP_PCB_CONNECTED) || s->recverr) ||
	    ctx->now - s->error_looked < FS_US(ctx->config.kernel_look))
		return 0;
	s->error_looked = ctx->now;
	if (sys_getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0) {
		context_check_descriptor(ctx, fd);
		return DATAGRAM_KERNEL;
	}
	if (error == EMSGSIZE)
		context_doubt_route(ctx, s);
	return -error;
}

static bool fits(const struct ip_dst *dst, size_t len)
{
	size_t header = dst->is_v6 ? IP6_HEADER : IP4_HEADER;

	return len + UDP_HEADER + header <= dst->mtu;
}

/* Where the call sends to. False: the kernel knows what to say (EDESTADDRREQ, EINVAL, ...). */
static bool destination(const struct sock *s, const struct datagram *d, struct ip_addr *addr,
			uint16_t *port)
{
	if (d->name)
		return get_name(s, d->name, d->name_len, addr, port) && *port != 0;
	*addr = s->pcb.remote;
	*port = s->pcb.remote_port;
	return s->pcb.flags & UDP_PCB_CONNECTED;
}

/* A client whose time has come before it sent anything. */
static void send_first(struct context *ctx, struct sock *s, int fd, const struct datagram *d)
{
	bool near = local_has_datagrams(ctx);
	struct ip_addr addr;
	uint16_t port;

	if (!near && ctx->config.profile != CONFIG_PROFILE_LATENCY && ctx->n_handles == 0)
		return;
	if (!destination(s, d, &addr, &port) || (near && context_try_local(ctx, s, fd, &addr, port)))
		return;
	if (ctx->config.profile != CONFIG_PROFILE_LATENCY && ctx->n_handles == 0)
		return;
	if (config_bypass_has(ctx->config.bypass, IPPROTO_UDP, port))
		record_reason(s->record, FS_REASON_bypass, NULL);
	else
		context_try_client(ctx, s, fd, &addr);
}

/* Can datagrams of @len bytes go to @dst by the fast path now? */
static inline bool usable(struct context *ctx, struct ip_dst *dst, size_t len)
{
	return dst && dst->way == IP_DST_FAST && fits(dst, len) && ctx->handle[dst->port].ops &&
	       (ip_dst_ready(&ctx->stack->ip, dst) || context_neigh_retry(ctx, dst));
}

/* Is @addr an address of an interface that the stack knows? Others may be no source. */
static bool is_own(const struct context *ctx, const struct ip_addr *addr)
{
	for (unsigned i = 0; i < IP_MAX_PORTS; i++)
		if (ctx->stack->ip.port[i].ifindex && ip_port_is_local(&ctx->stack->ip.port[i], addr))
			return true;
	return false;
}

/*
 * How many bytes of a message are one datagram; 0 = all. A sender of super-frames sends single datagrams as
 * such of one, or they would overtake them: the receiver's steering tells them by their checksums
 * (design hazard 3).
 */
static uint32_t segments_of(struct context *ctx, struct sock *s, const struct ip_dst *dst, const struct control *c,
			    size_t len)
{
	struct ip_port *port = &ctx->stack->ip.port[dst->port];

	if (!c->segment && !s->segmented)
		return 0;
	port->udp_gso = context_port_udp_gso(ctx->stack->port[dst->port]);
	if (c->segment) {
		if (port->udp_gso && !s->segmented) {
			s->segmented = true;
			sock_set_special(s);
		}
		return c->segment;
	}
	return port->udp_gso && !c->stamps && !dst->to_group ? (uint32_t)FS_MAX(len, (size_t)1) : 0;
}

/*
 * The same as send_fast() with options that ordinary sockets do not have, or control messages. What is
 * corked gathers in the shadow, and so does what follows MSG_MORE, up to and with the one without.
 */
static __attribute__((noinline)) ssize_t send_special(struct context *ctx, struct sock *s, int fd,
						      const struct datagram *d, size_t len,
						      const struct ip_addr *addr, uint16_t port)
{
	bool v6 = !ip_addr_is_v4(addr);
	struct ip_dst *dst;
	struct control c;
	uint32_t segment;
	unsigned by;
	int ret;

	if (s->more || s->corked || !control_get(s, d, v6, &c) || (c.segment && (c.style.no_checksum || c.stamps)))
		return DATAGRAM_KERNEL;
	if (ip_addr_is_multicast(addr) && (c.headers || c.segment || s->dont_route || (d->flags & MSG_DONTROUTE)))
		return DATAGRAM_KERNEL;
	dst = c.rerouted ? context_resolve_by(ctx, addr, &c.choice) : context_resolve(ctx, s, addr);
	if (s->linked && dst && datagram_local_is_near(dst) && !(c.rerouted || c.segment || c.stamps)) {
		ret = len <= UDP_MAX_PAYLOAD ? pending_error(ctx, s, fd) : DATAGRAM_KERNEL;
		return ret < 0 ? ret : datagram_local_send(ctx, s, &c.style, dst, addr, port, d, len);
	}
	if (!usable(ctx, dst, c.segment ? FS_MIN((size_t)c.segment, len) : len))
		return DATAGRAM_KERNEL;
	if (c.rerouted && !is_own(ctx, &dst->local))
		return DATAGRAM_KERNEL;
	if (dst->to_group && s->group_stays[v6])
		return DATAGRAM_KERNEL;
	if (dst->to_group)
		c.style.hop_limit = s->group_hops[v6];
	if ((s->dont_route || (d->flags & MSG_DONTROUTE)) && !ip_addr_equal(&dst->neigh->addr, addr))
		return DATAGRAM_KERNEL; /* behind a gateway */
	ret = pending_error(ctx, s, fd);
	if (ret < 0)
		return ret;
	by = dst->port;
	segment = segments_of(ctx, s, dst, &c, len);
	for (int tries = 0;; tries++) {
		ret = udp_send_as(&ctx->stack->udp, &ctx->env, &s->pcb, &c.style, dst, port, d->iov,
				  (int)d->n_iov, len, segment);
		if (ret == 0)
			break;
		/* A port that is lost takes its destinations with it. */
		if (tries || context_flush(ctx, by) < 0)
			return DATAGRAM_KERNEL;
	}
	if (c.stamps)
		errqueue_sent(ctx, s, ctx->stack->ip.port[by].out.tail, c.stamps);
	if (ctx->stamping.first)
		errqueue_send(ctx, by);
	ctx->to_flush |= 1u << by;
	s->record->tx_fast += c.segment && len ? (len + c.segment - 1) / c.segment : 1;
	s->record->tx_bytes += len;
	return (ssize_t)len;
}

/* One datagram to @dst, which is usable. 0 or as udp_send(). */
static inline int build(struct context *ctx, struct sock *s, struct ip_dst *dst, uint16_t port,
			const struct datagram *d, size_t len)
{
	struct udp_style style;

	if (__builtin_expect(!dst->to_group, 1))
		return udp_send(&ctx->stack->udp, &ctx->env, &s->pcb, dst, port, d->iov, (int)d->n_iov, len);
	style = s->pcb.style[dst->is_v6];
	style.hop_limit = s->group_hops[dst->is_v6];
	return udp_send_as(&ctx->stack->udp, &ctx->env, &s->pcb, &style, dst, port, d->iov, (int)d->n_iov, len, 0);
}

/* Lock held; @s is on the fast path. */
static ssize_t send_fast(struct context *ctx, struct sock *s, int fd, const struct datagram *d, size_t len)
{
	struct ip_addr addr;
	struct ip_dst *dst;
	uint16_t port;
	bool is_near;
	ssize_t sent;
	int ret;

	if (!destination(s, d, &addr, &port))
		return DATAGRAM_KERNEL;
	if (__builtin_expect(s->special || d->control_len || (d->flags & MSG_DONTROUTE), 0)) {
		sent = send_special(ctx, s, fd, d, len, &addr, port);
		if (sent == DATAGRAM_KERNEL && s->linked)
			datagram_local_passed_by(ctx, &addr, port);
		return sent;
	}
	dst = context_resolve(ctx, s, &addr);
	is_near = s->linked && dst && len <= UDP_MAX_PAYLOAD && datagram_local_is_near(dst);
	if (!is_near && (!usable(ctx, dst, len) || (dst->to_group && s->group_stays[dst->is_v6])))
		return DATAGRAM_KERNEL;
	ret = pending_error(ctx, s, fd);
	if (ret < 0)
		return ret;
	if (is_near)
		return datagram_local_send(ctx, s, &s->pcb.style[dst->is_v6], dst, &addr, port, d, len);
	if (__builtin_expect(s->links_only, 0))
		context_steer_too(ctx, s, fd);
	ret = build(ctx, s, dst, port, d, len);
	if (ret < 0 && context_flush(ctx, dst->port) == 0)
		ret = build(ctx, s, dst, port, d, len);
	if (ret < 0)
		return DATAGRAM_KERNEL; /* out of frames: the shadow has its own memory */
	ctx->to_flush |= 1u << dst->port;
	s->record->tx_fast++;
	s->record->tx_bytes += len;
	return (ssize_t)len;
}

/* A send that has to do with MSG_MORE: it, or the one before, has it. */
static void note_more(struct sock *s, bool more)
{
	s->more = more;
	sock_set_special(s);
}

/* Lock held. */
static ssize_t send_by_flags(struct context *ctx, struct sock *s, int fd, const struct datagram *d,
			     size_t len)
{
	enum sock_flag_action action = sock_send_flags(d->flags);
	ssize_t ret = DATAGRAM_KERNEL;

	if (__builtin_expect(action == SOCK_FLAG_FALL_BACK, 0))
		context_dismiss(ctx, s, FS_REASON_flag, "MSG_ZEROCOPY");
	else if (s->way == SOCK_FAST && action == SOCK_FLAG_FAST)
		ret = send_fast(ctx, s, fd, d, len);
	if (__builtin_expect(s->more || action == SOCK_FLAG_MORE, 0))
		note_more(s, action == SOCK_FLAG_MORE);
	return ret;
}

/* What was sent leaves, with one kick a port however many datagrams it was. False: a port failed, and the
 * kernel says what became of its interface. */
static bool flush_sent(struct context *ctx, fs_ns *stamp)
{
	bool sent = true, stamping = ctx->stamping.any;

	if (__builtin_expect(stamping || stamp, 0))
		errqueue_leaves(ctx, stamp);
	context_calm(ctx);
	for (; ctx->to_flush; ctx->to_flush &= ctx->to_flush - 1) {
		unsigned port = (unsigned)__builtin_ctz(ctx->to_flush);

		if (!ctx->handle[port].ops || context_flush(ctx, port) == -ENETDOWN)
			sent = false;
	}
	context_stir(ctx);
	if (__builtin_expect(stamping, 0))
		ctx->stamping.any = !sent;
	return sent;
}

/* The socket of @fd, ready for sending, with the lock; NULL without it: the kernel's. */
static struct sock *begin_send(struct context *ctx, int fd)
{
	struct sock *s = context_enter(ctx, fd);

	if (!s)
		return NULL;
	ctx->now = host_clock_now(&ctx->clock);
	ctx->env.now = ctx->now;
	if (__builtin_expect(ctx->now >= ctx->next_look, 0)) {
		/* A program that only sends must hear of routes, neighbours and rules too. */
		context_housekeep(ctx);
		s = context_live_sock(ctx, fd);
		if (!s)
			context_leave(ctx);
	}
	return s;
}

ssize_t datagram_send(struct context *ctx, int fd, const struct datagram *d)
{
	struct sock *s = datagram_sock(ctx, fd);
	uint64_t before;
	ssize_t ret;
	size_t len;

	if (!s || datagram_check_iov(d, &len) < 0)
		return DATAGRAM_KERNEL;
	s = begin_send(ctx, fd);
	if (!s)
		return DATAGRAM_KERNEL;
	if (s->way == SOCK_UNDECIDED)
		send_first(ctx, s, fd, d);
	before = s->record->tx_fast;
	ret = send_by_flags(ctx, s, fd, d, len);
	if (!flush_sent(ctx, d->stamp) && ret >= 0) {
		errqueue_undo(ctx, s);
		s->record->tx_fast = before;
		s->record->tx_bytes -= (uint64_t)ret;
		ret = DATAGRAM_KERNEL;
	}
	context_leave(ctx);
	return ret;
}

unsigned datagram_send_many(struct context *ctx, int fd, const struct datagram *d, unsigned n,
			    ssize_t *result)
{
	struct sock *s = datagram_sock(ctx, fd) ? begin_send(ctx, fd) : NULL;
	uint64_t before, bytes;
	unsigned done;
	size_t len;

	*result = DATAGRAM_KERNEL;
	if (!s)
		return 0;
	before = s->record->tx_fast;
	bytes = s->record->tx_bytes;
	for (done = 0; done < n; done++) {
		*result = DATAGRAM_KERNEL;
		if (datagram_check_iov(&d[done], &len) < 0)
			break;
		if (s->way == SOCK_UNDECIDED)
			send_first(ctx, s, fd, &d[done]);
		*result = send_by_flags(ctx, s, fd, &d[done], len);
		if (*result < 0)
			break;
	}
	if (!flush_sent(ctx, NULL) && done > 0) {
		errqueue_undo(ctx, s);
		s->record->tx_fast = before;
		s->record->tx_bytes = bytes;
		*result = DATAGRAM_KERNEL;
		done = 0;
	}
	context_leave(ctx);
	return done;
}

void datagram_sent_by_kernel(struct context *ctx, int fd, ssize_t bytes, const struct datagram *d)
{
	struct sock *s;
	struct ip_addr addr;
	uint16_t port;

	if (bytes < 0 || !datagram_sock(ctx, fd))
		return;
	s = context_enter(ctx, fd);
	if (!s)
		return;
	s->sent++;
	if (s->stamps.flags & STAMP_OPT_ID)
		stamps_shadow_sent(&s->stamps, control_stamps(s, d));
	s->record->tx_kernel++;
	s->record->tx_bytes += (uint64_t)bytes;
	ctx->stack->counter[FS_CTR_tx_kernel_datagrams]++;
	ctx->stack->counter[FS_CTR_tx_kernel_bytes] += (uint64_t)bytes;
	if (s->way == SOCK_UNDECIDED) {
		if (!d->name && (s->pcb.flags & UDP_PCB_CONNECTED))
			context_try_client(ctx, s, fd, &s->pcb.remote);
		else if (d->name && get_name(s, d->name, d->name_len, &addr, &port)) {
			if (config_bypass_has(ctx->config.bypass, IPPROTO_UDP, port))
				record_reason(s->record, FS_REASON_bypass, NULL);
			else
				context_try_client(ctx, s, fd, &addr);
		}
	}
	context_leave(ctx);
}
