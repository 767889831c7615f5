/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * local.c - see local.h: links are made, mapped, driven and ended.
 *
 * Not here: names, and who is found by them (local_name.c).
 */
#include "context/local_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "context/bare_internal.h"
#include "context/datagram_local.h"
#include "context/internal.h"
#include "context/stream_internal.h"
#include "host/meet.h"
#include "local/link.h"
#include "socket/bare.h"
#include "socket/epoll.h"
#include "sys/sys.h"

enum {
	SLOTS = 1024,  /* of each side: connections that it opened */
	UNITS = 24576, /* of each side: 96 MiB for their byte rings */
	MOST = 64,     /* messages of a link and turn: bounds the time that others wait */
	SHOWN = 4,     /* descriptors of a link */
	LAST_WORDS = 256, /* turns of datagrams that the dead have sent: a ring's worth */
};

#define CALLERS_NS FS_MS(10) /* between looks at who has dialled and said nothing */

/* What lies in the pair, with the descriptors of a link: memory, control, bell, far bell. */
struct parked {
	uint32_t index, serial;
	uint64_t len;
};

/* --- what the engine tells --- */

void local_event(struct context *ctx, struct local_conn *conn, uint32_t edges)
{
	struct sock *s = conn->user;

	if (bare_is(s)) {
		ctx->to_ring |= bare_link_event(conn, ctx->slot, ctx->stack->local->bare_news);
		return;
	}
	ctx->to_ring |= s->sleepers.slots;
	if (!list_is_empty(&s->items))
		ctx->to_ring |= epoll_sock_news(s, sock_poll_bits(edges));
}

static void event(void *context, struct local_conn *conn, uint32_t edges)
{
	local_event(context, conn, edges);
}

static void incoming(void *context, struct local_listener *listener)
{
	struct context *ctx = context;
	struct sock *s = listener->user;

	ctx->to_ring |= s->sleepers.slots | epoll_sock_readable(s);
}

/* Does the listener @s take connections to @local? As the kernel's: an address of its own before any. A Unix socket, and
 * nothing else, has no port. */
static bool takes(const struct sock *s, const struct ip_addr *local, uint16_t port, bool any)
{
	if (s->stream.local_port != port || s->stream.is_unix != !port || ip_addr_is_any(&s->stream.local) != any)
		return false;
	if (!any)
		return ip_addr_equal(&s->stream.local, local);
	return ip_addr_is_v4(local) ? !s->stream.v6 || !s->stream.v6_only : s->stream.v6;
}

/* Of several listeners of a port: has a process that lives a number of it, or may have? What one had that was killed
 * stays until it is buried, and would have every other caller meanwhile. */
static bool is_held(const struct context *ctx, const struct sock *s)
{
	if (!s->stream.reuseport || s->refs[ctx->slot] || s->heirs)
		return true;
	for (unsigned i = 0; i < STATS_MAX_PROCS; i++)
		if (s->refs[i] && !context_is_dead(ctx->stack->proc[i].pid))
			return true;
	return false;
}

static struct local_listener *find(void *context, uint64_t id, const struct ip_addr *local, uint16_t port)
{
	struct context *ctx = context;
	struct list *listeners = &ctx->stack->local->listeners;

	for (int any = 0; any < 2; any++) {
		struct list *e;

		LIST_FOR_EACH(e, listeners) {
			struct sock *s = FS_CONTAINER_OF(e, struct sock, stream.of_local);

			if (!takes(s, local, port, any) || !is_held(ctx, s))
				continue;
			list_take(e);
			list_push_back(listeners, e); /* those of one port (SO_REUSEPORT) take turns */
			return &s->stream.local_listener;
		}
	}
	return NULL;
}

static void moved(void *context, struct local_conn *conn)
{
	struct context *ctx = context;
	struct sock *s = conn->user;

	if (!s)
		return;
	if (bare_is(s)) {
		bare_link_moved(ctx, conn);
		return;
	}
	if (!list_is_linked(&s->stream.of_local))
		list_push_back(&ctx->stack->local->connecting, &s->stream.of_local);
	ctx->to_ring |= sock_sleepers(s); /* who has a number of it follows */
}

static void tap(void *context, const struct local_conn *conn, const struct local_segment *segment)
{
	struct context *ctx = context;
	struct timespec now;

	if (ctx->pcap.fd <= 0)
		return;
	sys_clock_gettime(CLOCK_REALTIME, &now);
	if (local_pcap_write(&ctx->pcap, conn, segment, (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec) < 0)
		host_log(&ctx->log, LOG_WARN, "local_pcap %s takes no more", ctx->config.local_pcap);
}

static bool admits(void *context, const struct local_conn *conn)
{
	return stream_local_admits(context, conn);
}

static bool affords(void *context, uint32_t units)
{
	return context_has_memory((size_t)units * LOCAL_UNIT);
}

static const struct local_ops ops = { .event = event, .incoming = incoming, .find = find, .moved = moved, .tap = tap,
				      .affords = affords, .admits = admits };

/* --- memory --- */

static void keep_spare(struct context *ctx)
{
	for (unsigned i = 0; i < LOCAL_SPARE; i++) {
		int fd = ctx->local.spare[i];

		if (fd <= 0)
			fd = (int)sys_fcntl(ctx->local.pair[0], F_DUPFD_CLOEXEC, ctx->fd_floor);
		ctx->local.spare[i] = FS_MAX(fd, 0);
	}
}

/* Who was forked before it was there has no part in it. */
static int make_pair(struct context *ctx)
{
	int *pair = ctx->local.pair;

	if (pair[0] > 0)
		return 0;
	if (ctx->stack->links_parked)
		return -EMFILE;
	ctx->stack->links_parked = true;
	if (sys_socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0) {
		pair[0] = pair[1] = 0;
		return -EMFILE;
	}
	for (unsigned i = 0; i < 2; i++)
		pair[i] = sys_fd_raise(pair[i], ctx->fd_floor);
	keep_spare(ctx);
	return 0;
}

int local_table(struct context *ctx)
{
	struct stack_local *l = ctx->stack->local;

	if (l)
		return 0;
	l = make_pair(ctx) < 0 ? NULL : context_grow(ctx, sizeof(*l));
	if (!l)
		return -ENOMEM;
	list_init(&l->listeners);
	list_init(&l->connecting);
	list_init(&l->starving);
	for (unsigned i = 0; i < STATS_MAX_PROCS; i++) {
		list_init(&l->bare_connecting[i]);
		list_init(&l->bare_news[i]);
	}
	ctx->stack->local = l;
	return 0;
}

static int map(struct context *ctx, unsigned index, int memory, uint64_t len)
{
	void *want = mem_link(&ctx->arena, index), *got;

	got = sys_mmap(want, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE | MAP_NORESERVE, memory, 0);
	if (sys_is_err(got))
		return (int)(long)got;
	if (got == want)
		return 0;
	sys_munmap(got, len);
	return -EEXIST;
}

/* This process has no part in link @index any more, whose memory is @len bytes. */
static void let_go(struct context *ctx, unsigned index, uint64_t len)
{
	struct local_hold *h = &ctx->local.hold[index];
	int fds[] = { h->control, h->bell, h->far_bell };

	sys_munmap(mem_link(&ctx->arena, index), len);
	for (unsigned i = 0; i < FS_ARRAY_SIZE(fds); i++)
		if (fds[i] > 0)
			sys_close(fds[i]);
	*h = (struct local_hold){ 0 };
}

/* --- descriptors for relatives --- */

void local_before_fork(struct context *ctx)
{
	if (ctx->config.local)
		make_pair(ctx);
}

/* Relatives that were made before link @index find its descriptors. */
static int park(struct context *ctx, unsigned index, int memory)
{
	const struct stack_link *l = &ctx->stack->local->link[index];
	const struct local_hold *h = &ctx->local.hold[index];
	const struct parked p = { .index = index, .serial = l->serial, .len = l->len };
	const int fds[SHOWN] = { memory, h->control, h->bell, h->far_bell };

	if (ctx->local.pair[0] <= 0)
		return -EMFILE;
	return host_meet_send(ctx->local.pair[0], &p, sizeof(p), fds, SHOWN);
}

/* Those of link @index with @serial are nobody's any more; the others stay. */
static void unpark(struct context *ctx, unsigned index, uint32_t serial)
{
	struct parked p;
	int fds[SHOWN];

	for (unsigned n = 0; ctx->local.pair[0] > 0 && n < LOCAL_LINKS; n++) {
		if (host_meet_receive(ctx->local.pair[1], &p, sizeof(p), fds, SHOWN, ctx->fd_floor) < 0)
			return;
		if (p.index != index || p.serial != serial)
			host_meet_send(ctx->local.pair[0], &p, sizeof(p), fds, SHOWN);
		for (unsigned i = 0; i < SHOWN; i++)
			sys_close(fds[i]);
		if (p.index == index && p.serial == serial)
			return;
	}
}

/* Take part in the link that @p tells of, unless this process does. The descriptors are this function's. */
static int take_part(struct context *ctx, const struct parked *p, const int *fds)
{
	struct local_hold *h = &ctx->local.hold[p->index % LOCAL_LINKS];
	const struct stack_link *l = &ctx->stack->local->link[p->index % LOCAL_LINKS];
	int ret = 0;

	if (h->serial != l->serial && l->serial == p->serial && l->len == p->len) {
		ret = map(ctx, p->index, fds[0], p->len);
		if (ret == 0) {
			*h = (struct local_hold){
				.serial = p->serial, .control = fds[1], .bell = fds[2], .far_bell = fds[3]
			};
			sys_close(fds[0]);
			return 0;
		}
	}
	for (unsigned i = 0; i < SHOWN; i++)
		sys_close(fds[i]);
	return ret;
}

/* Look through what is parked, and leave it there. */
static int take_parts(struct context *ctx)
{
	struct parked p;
	int fds[SHOWN], ret = host_meet_peek_from(ctx->local.pair[1], 0);

	while (ret == 0) {
		ret = host_meet_peek(ctx->local.pair[1], &p, sizeof(p), fds, SHOWN, ctx->fd_floor);
		if (ret == 0)
			ret = take_part(ctx, &p, fds);
	}
	host_meet_peek_from(ctx->local.pair[1], -1);
	return ret == -EAGAIN ? 0 : ret;
}

/* The program has as many descriptors as it may: it is what the spare ones are for. */
static int take_parts_somehow(struct context *ctx)
{
	int ret = take_parts(ctx);

	if (ret == 0)
		return 0;
	for (unsigned i = 0; i < LOCAL_SPARE; i++) {
		if (ctx->local.spare[i] > 0)
			sys_close(ctx->local.spare[i]);
		ctx->local.spare[i] = 0;
	}
	ret = take_parts(ctx);
	keep_spare(ctx);
	return ret;
}

bool local_catch_up(struct context *ctx)
{
	const struct stack_local *l = ctx->stack->local;
	bool missing = false;

	for (unsigned i = 0; i < l->n; i++) {
		struct local_hold *h = &ctx->local.hold[i];

		if (h->serial && h->serial != l->link[i].serial)
			let_go(ctx, i, MEM_LINK_BYTES);
		missing |= h->serial != l->link[i].serial;
	}
	if (missing && (ctx->local.pair[0] <= 0 || take_parts_somehow(ctx) < 0))
		return false;
	ctx->local.seen = ctx->stack->local_serial;
	return true;
}

/* --- a link begins, and ends --- */

int local_place(struct context *ctx)
{
	struct stack_local *l = ctx->stack->local;

	for (unsigned i = 0; i < LOCAL_LINKS; i++) {
		if (l->link[i].serial)
			continue;
		l->n = FS_MAX(l->n, i + 1);
		return (int)i;
	}
	return -ENOBUFS;
}

struct local_agreed local_own_size(void)
{
	return local_agree(SLOTS, UNITS);
}

/* The links' own memory is of one size: theirs may have fewer slots, never more. */
static int own_memory(struct context *ctx, struct stack_link *l)
{
	struct local_agreed most = local_own_size();

	if (!l->memory)
		l->memory = context_grow(ctx, local_link_len(&most));
	return l->memory ? 0 : -ENOMEM;
}

int local_begin(struct context *ctx, unsigned index, unsigned side, int memory, uint64_t len,
		const struct local_hold *fds)
{
	struct stack_link *l = &ctx->stack->local->link[index];
	struct local_config config = {
		.ops = &ops, .context = ctx, .counters = ctx->stack->counter, .side = side, .agreed = local_own_size()
	};
	int ret = own_memory(ctx, l);

	if (ret == 0)
		ret = map(ctx, index, memory, len);
	if (ret < 0)
		return ret;
	config.arena = mem_link(&ctx->arena, index);
	if (side == 0)
		local_arena_write(config.arena, &config.agreed);
	else
		ret = local_arena_read(config.arena, len, &config.agreed);
	if (ret == 0 && (config.agreed.slots > SLOTS || config.agreed.units > UNITS))
		ret = -EPROTO;
	if (ret < 0) {
		sys_munmap(config.arena, len);
		return ret;
	}
	l->serial = ++ctx->stack->local->serial;
	l->len = len;
	ctx->local.hold[index] = *fds;
	ctx->local.hold[index].serial = l->serial;
	ret = park(ctx, index, memory);
	if (ret < 0) {
		ctx->local.hold[index] = (struct local_hold){ 0 };
		l->serial = 0;
		sys_munmap(config.arena, len);
		return ret;
	}
	l->link = local_link_init(l->memory, &config);
	l->link->number = index + 1;
	l->link->taps = ctx->pcap.fd > 0;
	ctx->stack->local_serial++;
	ctx->local.seen++;
	context_ports_came(ctx); /* sleepers watch its bell */
	ctx->stack->counter[FS_CTR_local_links]++;
	return 0;
}

static void publish_link(struct context *ctx, unsigned index)
{
	const struct stack_link *l = &ctx->stack->local->link[index];
	const struct local_link *link = l->link;

	if (!l->serial) {
		ctx->stack->link_stats[index] = (struct stats_link){ 0 };
		return;
	}
	ctx->stack->link_stats[index] = (struct stats_link){
		.serial = l->serial,
		.peer_pid = link->peer_pid,
		.connections = link->in_use,
		.listened = link->side == 1,
		.beyond = l->beyond,
		.rx_bytes = link->rx_bytes,
		.tx_bytes = link->tx_bytes,
		.shared_bytes = l->len,
		.ring_bytes = ((uint64_t)link->half.reached + link->far_reached) * LOCAL_UNIT,
	};
}

void local_publish_links(struct context *ctx)
{
	const struct stack_local *l = ctx->stack->local;

	for (unsigned i = 0; l && i < l->n; i++)
		publish_link(ctx, i);
	ctx->stack->head.n_links = l ? l->n : 0;
}

/* Nobody has a connection by it any more. */
static void end(struct context *ctx, unsigned index)
{
	struct stack_link *l = &ctx->stack->local->link[index];
	struct local_agreed most = local_own_size();

	unpark(ctx, index, l->serial);
	let_go(ctx, index, l->len);
	memset(l->memory, 0, local_link_len(&most));
	*l = (struct stack_link){ .memory = l->memory };
	publish_link(ctx, index);
	ctx->stack->local_serial++;
	ctx->local.seen++;
}

/* Of a fork tree one process may be of another program than the others, with functions elsewhere. */
static void lend(struct context *ctx, struct local_link *link)
{
	link->ops = &ops;
	link->context = ctx;
	link->taps = ctx->pcap.fd > 0;
}

void local_lend(struct context *ctx, struct local_conn *conn)
{
	if (__builtin_expect(conn->flags & LOCAL_TAPPED, 0))
		lend(ctx, conn->link);
}

void local_lost(struct context *ctx, unsigned index)
{
	struct local_link *link = ctx->stack->local->link[index].link;

	lend(ctx, link);
	for (unsigned i = 0; i < LAST_WORDS && datagram_local_take(ctx, index); i++)
		continue;
	local_link_died(link);
}

/* --- driving --- */

static unsigned index_of(const struct context *ctx, const struct local_link *link)
{
	return (unsigned)((size_t)(link->arena - (uint8_t *)mem_link(&ctx->arena, 0)) / MEM_LINK_BYTES);
}

static void ring_far(struct context *ctx, unsigned index)
{
	uint64_t one = 1;

	ctx->stack->counter[FS_CTR_wakeups_rung]++;
	sys_write(ctx->local.hold[index].far_bell, &one, sizeof(one));
}

void local_heed(struct context *ctx, struct local_link *link)
{
	lend(ctx, link);
	local_link_poll(link, MOST);
}

void local_told(struct context *ctx, struct local_link *link)
{
	if (__builtin_expect(local_link_rings(link), 0))
		ring_far(ctx, index_of(ctx, link));
}

static unsigned drive(struct context *ctx, unsigned index)
{
	struct local_hold *h = &ctx->local.hold[index];
	struct local_link *link = ctx->stack->local->link[index].link;
	unsigned n;

	lend(ctx, link);
	n = local_link_poll(link, MOST) + datagram_local_take(ctx, index);
	local_told(ctx, link);
	if (__builtin_expect(!list_is_empty(&link->starving), 0))
		local_stall_note(ctx, link);
	if (__builtin_expect(link->ended == LOCAL_LINK_UP, 1))
		return n;
	if (h->control > 0 && !h->hung_up)
		sys_shutdown(h->control, SHUT_RDWR); /* it hears of it, if it lives */
	h->hung_up = true;
	datagram_local_take_back(ctx, index);
	if (local_link_is_idle(link))
		end(ctx, index);
	return n;
}

void local_drive(struct context *ctx, unsigned index)
{
	if (__builtin_expect(ctx->now >= ctx->local.next_look, 0))
		local_look(ctx);
	if (ctx->stack->local->link[index].serial)
		drive(ctx, index);
}

unsigned local_poll(struct context *ctx)
{
	const struct stack_local *l = ctx->stack->local;
	unsigned taken = 0;

	if (__builtin_expect(ctx->now >= ctx->local.next_look, 0))
		local_look(ctx);
	for (unsigned i = 0; i < l->n; i++)
		if (l->link[i].serial)
			taken += drive(ctx, i);
	if (__builtin_expect(!list_is_empty(&l->connecting), 0))
		stream_local_settle(ctx);
	local_stall_settle(ctx);
	bare_link_settle(ctx);
	return taken;
}

void local_arm(struct context *ctx)
{
	const struct stack_local *l = ctx->stack->local;

	for (unsigned i = 0; i < l->n; i++) {
		if (!l->link[i].serial)
			continue;
		local_link_arm(l->link[i].link);
		drive(ctx, i);
	}
	stream_local_settle(ctx);
	local_stall_settle(ctx);
	bare_link_settle(ctx);
}

fs_ns local_next(const struct context *ctx)
{
	fs_ns next;

	if (!ctx->stack->local)
		return FS_NEVER;
	next = FS_MIN(FS_MIN(stream_local_next(ctx), local_stall_next(ctx)), bare_link_next(ctx));
	return ctx->local.n_coming ? FS_MIN(next, ctx->now + CALLERS_NS) : next; /* others may wait behind those */
}

void local_watch(struct context *ctx, int epfd, uint64_t tag)
{
	const struct stack_local *l = ctx->stack->local;
	struct epoll_event bell = { .events = EPOLLIN | EPOLLET };
	struct epoll_event news = { .events = EPOLLIN | EPOLLET, .data.u64 = tag };

	for (unsigned i = 0; i < l->n; i++) {
		const struct local_hold *h = &ctx->local.hold[i];

		if (!l->link[i].serial || l->link[i].link->ended != LOCAL_LINK_UP)
			continue;
		sys_epoll_ctl(epfd, EPOLL_CTL_ADD, h->bell, &bell);
		sys_epoll_ctl(epfd, EPOLL_CTL_ADD, h->control, &news);
	}
	for (unsigned i = 0; i < ctx->local.n_names; i++)
		sys_epoll_ctl(epfd, EPOLL_CTL_ADD, ctx->local.name[i].fd, &news);
	for (unsigned i = 0; i < ctx->local.n_coming; i++)
		sys_epoll_ctl(epfd, EPOLL_CTL_ADD, ctx->local.coming[i].fd, &news);
}

/* --- processes --- */

void local_after_fork(struct context *ctx)
{
	for (unsigned i = 0; i < ctx->local.n_coming; i++) /* its parent hears them */
		sys_close(ctx->local.coming[i].fd);
	ctx->local.n_coming = 0;
}

void local_abandon(struct context *ctx)
{
	for (unsigned i = 0; i < LOCAL_LINKS; i++)
		if (ctx->local.hold[i].serial && ctx->local.hold[i].control > 0)
			sys_shutdown(ctx->local.hold[i].control, SHUT_RDWR);
	for (unsigned i = 0; i < ctx->local.n_names; i++)
		sys_shutdown(ctx->local.name[i].fd, SHUT_RDWR);
}
