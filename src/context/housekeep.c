/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * housekeep.c - what changes around the stack: routes, links, neighbours, policy, other processes.
 *
 * Runs from context_poll(): notifications every LOOK_NS at most, the slow part every CHECK_NS. What is
 * done for each socket is spread over the looks of a second, or a thousand sockets that nobody uses
 * would hold up the one in use for a millisecond. An idle
 * program does nothing of this; the first frame after a pause is preceded by whatever is due, so that a
 * rule set during the pause holds for it.
 */
#include <netinet/in.h>

#include "base/reason.h"
#include "context/bare.h"
#include "context/icmp.h"
#include "context/handover.h"
#include "context/internal.h"
#include "context/sister.h"
#include "host/diag.h"
#include "host/policy.h"
#include "sys/sys.h"

#define LOOK_NS FS_MS(1)
#define CHECK_NS FS_SEC(1)
#define RATE_CHECK_NS FS_MS(10) /* while the clock's rate is a guess, and the kernel has to be asked */
#define TELL_NS FS_MS(100) /* between publications of the ports' figures while the program is busy */

enum {
	OWN_MAX = 32, /* sockets of ours on one port; with more, the rest count as strangers */
	SLICE = 8,    /* sockets looked at in one go, besides those that the time passed stands for */
};

static void on_change(const struct host_change *change, void *arg)
{
	struct context *ctx = arg;

	if (change->kind != HOST_CHANGED_NEIGH)
		return;
	if (change->gone)
		context_neigh_gone(ctx, &change->neigh);
	else
		context_neigh_changed(ctx, &change->neigh);
}

/* --- policy --- */

static struct host_policy *policy_of(struct context *ctx)
{
	struct host_policy *policy;

	if (ctx->policy)
		return ctx->policy;
	policy = mem_private(sizeof(*policy) + HOST_NL_BUF_GOOD);
	if (!policy)
		return NULL;
	if (host_policy_open(policy, ctx->fd_floor, policy + 1, HOST_NL_BUF_GOOD) == 0)
		ctx->policy = policy;
	else
		sys_munmap(policy, sizeof(*policy) + HOST_NL_BUF_GOOD);
	return ctx->policy;
}

int context_policy_verdict(struct context *ctx, int ifindex)
{
	struct host_policy_query query = {
		.ifindex = ifindex,
		.v4 = true,
		.v6 = true,
		.ignore = HOST_POLICY_XDP, /* ours may be attached; a foreign one is open()'s to report */
	};
	struct host_policy_result result;
	struct host_policy *policy;
	int port = context_port_find(ctx, (uint32_t)ifindex);
	int ret;

	if (port >= 0) {
		query.own = ctx->stack->port[port]->programs;
		query.n_own = FS_ARRAY_SIZE(ctx->stack->port[port]->programs);
	}
	if (ctx->config.policy == CONFIG_POLICY_IGNORE)
		return 0;
	policy = policy_of(ctx);
	if (!policy)
		return FS_REASON_descriptors;
	ret = host_policy_check(policy, &ctx->nl, &query, &result);
	if (ret == 0 || (ret < 0 && port >= 0))
		return 0; /* a look that fails once does not undo what an earlier one allowed */
	host_format(ctx->why, sizeof(ctx->why), "%s", ret > 0 ? result.what : "policy cannot be looked at");
	return FS_REASON_policy;
}

static void check_policy(struct context *ctx)
{
	for (unsigned i = 0; i < ctx->n_handles; i++) {
		uint32_t bit = 1u << i, told = ctx->policy_applies & bit;

		ctx->policy_applies &= ~bit;
		if (!ctx->stack->port[i] || context_policy_verdict(ctx, (int)ctx->stack->ip.port[i].ifindex) == 0)
			continue;
		ctx->policy_applies |= bit;
		if (!told)
			host_log(&ctx->log, LOG_WARN, "host policy now applies (%s): sockets go on in the kernel",
				 ctx->why);
		context_demote_all(ctx, (int)i, FS_REASON_policy, ctx->why);
	}
}

static void leave_detached(struct context *ctx, unsigned port)
{
	host_format(ctx->why, sizeof(ctx->why), "the steering program of %s is gone", ctx->stack->port_stats[port].ifname);
	host_log(&ctx->log, LOG_WARN, "%s: sockets go on in the kernel", ctx->why);
	ctx->stack->counter[FS_CTR_ports_lost]++;
	sisters_demote(ctx, ctx->stack->ip.port[port].ifindex, FS_REASON_detached, ctx->why);
	context_demote_all(ctx, (int)port, FS_REASON_detached, ctx->why);
}

/* Who took the steering program off wants the kernel's path: all goes there. What is opened later begins anew. */
static void check_steering(struct context *ctx)
{
	for (unsigned i = 0; i < ctx->n_handles; i++) {
		struct provider_handle *h = &ctx->handle[i];

		if (!h->ops || !h->ops->is_detached || !ctx->stack->port[i] || !h->ops->is_detached(h))
			continue;
		if (h->port->error != -ENOLINK)
			leave_detached(ctx, i);
		h->port->error = -ENOLINK;
		if ((uint32_t)h->port->owner_pid == ctx->pid) /* others' rings are theirs to empty */
			context_port_forget(ctx, i, FS_REASON_detached);
	}
}

/* --- shared ports --- */

static bool takes_v4(const struct sock *s)
{
	return !(s->pcb.flags & UDP_PCB_V6) || !(s->pcb.flags & UDP_PCB_V6ONLY);
}

/* Would a datagram match both sockets equally well? */
static bool clash(const struct sock *a, const struct sock *b)
{
	uint32_t both = a->pcb.flags & b->pcb.flags;

	if (a->pcb.ifindex != b->pcb.ifindex)
		return false; /* the one bound to the interface goes first */
	if ((both & UDP_PCB_REUSEPORT) && a->way != SOCK_KERNEL && b->way != SOCK_KERNEL &&
	    !a->no_unicast && !b->no_unicast)
		return false; /* a group: flows are spread (udp_find()) */
	if ((a->pcb.flags ^ b->pcb.flags) & UDP_PCB_CONNECTED)
		return false; /* the connected one goes first (a server's socket per client) */
	if ((a->pcb.flags & UDP_PCB_CONNECTED) &&
	    !(ip_addr_equal(&a->pcb.remote, &b->pcb.remote) && a->pcb.remote_port == b->pcb.remote_port))
		return false;

	if (ip_addr_is_any(&a->pcb.local) != ip_addr_is_any(&b->pcb.local))
		return false;
	if (!ip_addr_is_any(&a->pcb.local))
		return ip_addr_equal(&a->pcb.local, &b->pcb.local);
	return (both & UDP_PCB_V6) || (takes_v4(a) && takes_v4(b));
}

/* Does a socket outside this stack have @s's port, too? */
static bool is_foreign(struct context *ctx, const struct sock *s)
{
	uint64_t own[OWN_MAX];
	struct list *e;
	struct host_port_query query = {
		.addr = s->pcb.local,
		.port = s->pcb.local_port,
		.proto = IPPROTO_UDP,
		.v4 = takes_v4(s),
		.v6 = s->pcb.flags & UDP_PCB_V6,
		.ifindex = (int)s->pcb.ifindex,
		.own = own,
	};

	LIST_FOR_EACH(e, &ctx->stack->all_socks) {
		const struct sock *other = FS_CONTAINER_OF(e, struct sock, all);

		if (other->pcb.local_port == s->pcb.local_port && query.n_own < OWN_MAX)
			own[query.n_own++] = other->cookie;
	}
	return host_port_shared(&query, ctx->nl_buf, HOST_NL_BUF_GOOD) > 0;
}

bool context_port_is_shared(struct context *ctx, struct sock *s)
{
	bool clashes = false;
	struct list *e;

	if (ctx->stack->lingering)
		context_look_at_heirs(ctx, true); /* what waited for a child that is gone is in nobody's way */
	/* Sockets of this stack may share a port as long as look-up tells them apart, as the kernel's
	 * does: connected before specific before wildcard. What is sent to the address of two comes by their
	 * shadows; their groups stay (group.c). */
	LIST_FOR_EACH(e, &ctx->stack->all_socks) {
		struct sock *other = FS_CONTAINER_OF(e, struct sock, all);

		if (other == s || other->pcb.local_port != s->pcb.local_port || !clash(s, other))
			continue;
		clashes = true;
		context_unicast_off(ctx, other);
	}
	/* Who does not share has had it from bind() that nobody else has the port. */
	return clashes || (s->shareable && is_foreign(ctx, s));
}

static bool may_be_joined(const struct sock *s)
{
	return s->shareable && s->way == SOCK_FAST && !s->no_unicast &&
	       !(s->pcb.flags & UDP_PCB_CONNECTED);
}

/*
 * Whether somebody else bound to a port that its socket lets others share (hazard 16): steering would take
 * what is theirs. One socket a round, in turns: the question walks the kernel's whole table.
 */
static void check_shared(struct context *ctx)
{
	struct sock *asked = NULL;
	struct list *e;
	unsigned n = 0;

	LIST_FOR_EACH(e, &ctx->stack->all_socks) {
		struct sock *s = FS_CONTAINER_OF(e, struct sock, all);

		if (may_be_joined(s) && n++ == ctx->shared_turn)
			asked = s;
	}
	ctx->shared_turn = n && ctx->shared_turn + 1 < n ? ctx->shared_turn + 1 : 0;
	if (!asked || !is_foreign(ctx, asked))
		return;
	LIST_FOR_EACH(e, &ctx->stack->all_socks) {
		struct sock *s = FS_CONTAINER_OF(e, struct sock, all);

		if (may_be_joined(s) && s->pcb.local_port == asked->pcb.local_port)
			context_unicast_off(ctx, s);
	}
}

/* --- figures --- */

static void publish_port(struct context *ctx, unsigned i)
{
	struct provider_handle *h = &ctx->handle[i];
	struct stats_port *p = &ctx->stack->port_stats[i];

	_Static_assert(sizeof(struct provider_stats) <= sizeof(p->counter), "the format has room");
	if (!h->ops)
		return;
	h->ops->refresh_stats(h);
	p->frames_free = ctx->stack->pinned[i].n_free;
	p->error = h->port->error;
	__builtin_memcpy(p->counter, &h->port->stats, sizeof(h->port->stats));
}

static void publish_ports(struct context *ctx, fs_ns now)
{
	ctx->told = now;
	for (unsigned i = 0; i < ctx->n_handles; i++)
		publish_port(ctx, i);
	local_publish_links(ctx);
}

bool context_publish_idle(struct context *ctx)
{
	fs_ns now = host_clock_now(&ctx->clock);

	if (now - ctx->told < LOOK_NS)
		return false;
	publish_ports(ctx, now);
	return true;
}

void context_publish(struct context *ctx)
{
	struct list *e;

	publish_ports(ctx, ctx->now);
	LIST_FOR_EACH(e, &ctx->stack->all_socks)
		sock_publish(FS_CONTAINER_OF(e, struct sock, all));
	LIST_FOR_EACH(e, &ctx->stack->all_streams)
		sock_publish(FS_CONTAINER_OF(e, struct sock, all));
	bare_record_publish_some(ctx, STACK_BARE_PLACES);
}

/* --- ports --- */

static bool tend(struct context *ctx, struct provider_handle *h)
{
	enum provider_tended done = h->ops->tend(h, false);

	if (done == PROVIDER_TENDS_SLOWLY) {
		context_brace(ctx, true);
		done = h->ops->tend(h, true);
		context_brace(ctx, false);
	}
	return done == PROVIDER_TENDED;
}

/* What a provider did changes the descriptors of its port: the other processes join anew, sleepers take the
 * new ones up. */
void context_tend_ports(struct context *ctx)
{
	for (unsigned i = 0; i < ctx->n_handles; i++) {
		struct provider_handle *h = &ctx->handle[i];

		if (!h->ops || !h->ops->tend || (uint32_t)h->port->owner_pid != ctx->pid || !tend(ctx, h))
			continue;
		ctx->stack->port_opened[i] = context_ports_came(ctx);
		ctx->handle_opened[i] = ctx->stack->port_opened[i];
		context_note_hold(ctx, i);
		host_log(&ctx->log, LOG_INFO, "%s: packet sockets take what the queues cannot",
			 ctx->stack->port_stats[i].ifname);
	}
}

/* --- the round --- */

/* How many of @n sockets a look takes care of that comes @elapsed after the one before. */
static uint32_t slice_of(uint32_t n, fs_ns elapsed)
{
	return SLICE + (uint32_t)((uint64_t)n * (uint64_t)FS_MIN(elapsed, CHECK_NS) / CHECK_NS);
}

static void check_some_descriptors(struct context *ctx, fs_ns elapsed)
{
	uint32_t n = slice_of((uint32_t)ctx->fds.highest + 1, elapsed);

	for (; n > 0 && ctx->unchecked_fd <= ctx->fds.highest; n--)
		context_check_descriptor(ctx, ctx->unchecked_fd++);
}

/* And put it last. */
static void publish_first(struct list *socks)
{
	struct list *e = list_pop_front(socks);

	if (!e)
		return;
	list_push_back(socks, e);
	sock_publish(FS_CONTAINER_OF(e, struct sock, all));
}

static void publish_some(struct context *ctx, fs_ns elapsed)
{
	uint32_t n = slice_of(ctx->stack->socks.in_use, elapsed);

	bare_record_publish_some(ctx, SLICE);
	for (; n > 0 && ctx->unpublished > 0; n--, ctx->unpublished--) {
		publish_first(&ctx->stack->all_socks);
		publish_first(&ctx->stack->all_streams);
	}
}

static void check(struct context *ctx)
{
	host_clock_sync(&ctx->clock);
	ctx->next_check = ctx->now + (host_clock_guesses(&ctx->clock) ? RATE_CHECK_NS : CHECK_NS);
	check_policy(ctx);
	check_steering(ctx);
	check_shared(ctx);
	context_reap(ctx);
	context_look_at_heirs(ctx, true);
	if (ctx->stack->strangers)
		context_reap_strangers(ctx);
	context_neigh_refresh(ctx);
	context_groups_check(ctx);
	context_ports_retry(ctx);
	if (ctx->local.missing)
		local_scope_refresh(ctx);
	/* A round that is not through goes on: rules may change faster than it takes. */
	if (ctx->unchecked_fd > ctx->fds.highest)
		ctx->unchecked_fd = 0;
	if (ctx->unpublished == 0)
		ctx->unpublished = ctx->stack->socks.in_use;
}

/* A netfilter or xfrm rule must hold for the next datagram, not in a second. */
static bool rules_changed(struct context *ctx)
{
	return ctx->policy && ctx->n_handles && host_policy_changed(ctx->policy);
}

void context_housekeep(struct context *ctx)
{
	fs_ns elapsed = ctx->now - ctx->next_look + LOOK_NS;
	int changed;

	ctx->next_look = ctx->now + LOOK_NS;
	context_stir(ctx);
	if (fs_load_relaxed(&ctx->confined)) /* what follows might be its death, and none of its sockets needs it */
		return;
	changed = host_monitor_drain(&ctx->monitor, on_change, ctx);
	if (changed < 0)
		changed = HOST_CHANGED_ALL;
	if (changed & (HOST_CHANGED_LINK | HOST_CHANGED_ADDR))
		context_ports_refresh(ctx);
	if (changed & (HOST_CHANGED_LINK | HOST_CHANGED_ADDR | HOST_CHANGED_ROUTE))
		ip_dst_flush(&ctx->stack->ip);
	if ((changed & HOST_CHANGED_ADDR) && ctx->local.dir > 0)
		local_scope_refresh(ctx);
	context_icmp_read(ctx);
	if (fs_load_acquire(&ctx->stack->let_go))
		context_let_go(ctx);
	if (ctx->stack->lock.stopped == 0 && fs_load_relaxed(&ctx->n_late))
		context_record_late(ctx);
	if (ctx->n_owners)
		context_look_at_owners(ctx);
	if (ctx->stack->entries_left)
		context_unsteer_left(ctx);
	if (handover_is_asked(ctx))
		handover_look(ctx);
	if (!list_is_empty(&ctx->stack->moved))
		handover_settle(ctx);
	context_tend_ports(ctx);
	if (ctx->next_check == 0)
		ctx->next_check = ctx->now + RATE_CHECK_NS;
	else if (ctx->now >= ctx->next_check || (changed & HOST_CHANGED_TC) || rules_changed(ctx))
		check(ctx);
	if (ctx->slot < STATS_MAX_PROCS)
		check_some_descriptors(ctx, elapsed);
	if (ctx->now - ctx->told >= TELL_NS)
		publish_ports(ctx, ctx->now);
	publish_some(ctx, elapsed);
}
