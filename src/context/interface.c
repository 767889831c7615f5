/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * interface.c - interfaces go, return and change: what becomes of their ports and of the sockets that are
 * steered there (docs/decisions/0018).
 *
 * Down: the port stays attached, its sockets steered; until it is up again everything goes by the shadows,
 * so that the kernel's errors are the program's. Gone: the port is closed, its sockets wait with nothing
 * steered. Whenever links or addresses change, and now and then, they are steered again where their address
 * is by then.
 */
#include <errno.h>
#include <net/if.h>
#include <string.h>

#include "base/reason.h"
#include "context/internal.h"
#include "host/link.h"

#define RETRY_FIRST FS_SEC(1)
#define RETRY_LAST FS_SEC(32)

enum {
	DRAIN_MAX = 64, /* bursts: a ring's worth, whatever keeps arriving */
	LINK_HEADERS = 18, /* Ethernet and a tag */
};

/* --- sockets --- */

static bool port_works(const struct context *ctx, unsigned port)
{
	return ctx->stack->port[port] && ctx->stack->ip.port[port].up;
}

bool context_is_served(const struct context *ctx, const struct sock *s)
{
	for (unsigned i = 0; i < IP_MAX_PORTS; i++)
		if ((s->steered & (1u << i)) && port_works(ctx, i))
			return true;
	return false;
}

void context_sock_review(struct context *ctx, struct sock *s, int reason)
{
	bool served;

	if (s->way != SOCK_FAST || s->no_unicast)
		return; /* what lives by its groups is group.c's */
	if (s->links_only && !context_is_served(ctx, s) && !context_groups_served(ctx, s))
		return; /* why no interface serves it was said when that was found out */
	served = context_is_served(ctx, s) || context_groups_served(ctx, s);
	if (served)
		reason = FS_REASON_none;
	if (s->unsteered == !served && (s->record->reason == reason || reason == FS_REASON_no_interface))
		return; /* why its address is nowhere was said when it went */
	s->unsteered = !served;
	record_reason(s->record, reason, served ? NULL : ctx->why);
	sock_publish(s);
}

/* What moves frames has changed: say of each socket whether it is served still. */
static void review_all(struct context *ctx, int reason)
{
	struct list *e;

	LIST_FOR_EACH(e, &ctx->stack->all_socks) {
		struct sock *s = FS_CONTAINER_OF(e, struct sock, all);

		if (s->way == SOCK_FAST && (s->no_unicast || s->pcb.groups))
			context_groups_review(ctx, s->pcb.local_port);
	}
	LIST_FOR_EACH(e, &ctx->stack->all_socks) {
		struct sock *s = FS_CONTAINER_OF(e, struct sock, all);

		/* What waits already has a reason of its own. */
		if (s->steered || !s->unsteered)
			context_sock_review(ctx, s, reason);
	}
}

static void wait_for_return(struct context *ctx, struct sock *s)
{
	s->missing += s->missing < UINT8_MAX;
	ctx->stack->waiting = true;
}

/* The port's tables are no more: who was steered there waits. */
static void forget_entries(struct context *ctx, unsigned port)
{
	struct list *e;

	stream_port_gone(ctx, port);
	LIST_FOR_EACH(e, &ctx->stack->all_socks) {
		struct sock *s = FS_CONTAINER_OF(e, struct sock, all);

		if (s->record->port_index == port)
			s->record->port_index = 0xff;
		if (!(s->steered & (1u << port)))
			continue;
		s->steered &= (uint16_t)~(1u << port);
		if (s->way == SOCK_FAST)
			wait_for_return(ctx, s);
	}
}

/* --- ports --- */

/* No frame leaves any more; what waited to is lost, as in a device that goes down. */
static void port_down(struct context *ctx, unsigned port)
{
	struct ip_port *p = &ctx->stack->ip.port[port];

	p->up = false;
	ctx->stack->counter[FS_CTR_drop_tx_port] += p->out.frames;
	fbuf_queue_free(&p->out);
	host_log(&ctx->log, LOG_INFO, "%s: down, its sockets go on in the kernel until it is up",
		 ctx->stack->port_stats[port].ifname);
	host_format(ctx->why, sizeof(ctx->why), "%s is down", ctx->stack->port_stats[port].ifname);
	review_all(ctx, FS_REASON_interface_down);
}

void context_port_failed(struct context *ctx, unsigned port)
{
	const struct provider_port *p = ctx->stack->port[port];

	if (!p)
		return;
	context_stir(ctx);
	if (p->error == -ENOLINK)
		return; /* housekeeping's: who drives may lack the rights to move connections */
	if (p->error != -ENETDOWN)
		context_port_lost(ctx, port, FS_REASON_interface_down);
	else if (ctx->stack->ip.port[port].up)
		port_down(ctx, port);
}

void context_port_forget(struct context *ctx, unsigned port, int reason)
{
	uint32_t ifindex = ctx->stack->ip.port[port].ifindex;

	forget_entries(ctx, port);
	context_groups_gone(ctx, ifindex, reason == FS_REASON_interface_down);
	context_port_close(ctx, port);
	ctx->to_ring = SLEEPERS_ALL; /* whoever holds it lets go */
	review_all(ctx, reason);
}

void context_port_lost(struct context *ctx, unsigned port, int reason)
{
	const char *name = ctx->stack->port_stats[port].ifname;
	const char *what = reason == FS_REASON_interface_down	? "is gone"
			   : reason == FS_REASON_interface_kind ? "has a master now"
			   : reason == FS_REASON_recovering	? "is another than its port was opened for"
								: "is lost";

	if (!ctx->stack->port[port])
		return;
	/* What had arrived is read still, as what lies in the kernel's queues. */
	for (int n = 0; n < DRAIN_MAX && context_take_port(ctx, port); n++)
		continue;
	host_format(ctx->why, sizeof(ctx->why), "%s %s", name, what);
	host_log(&ctx->log, LOG_WARN, "%s: its sockets go on in the kernel until it is taken up again",
		 ctx->why);
	ctx->stack->port_stats[port].error = ctx->stack->port[port]->error;
	ctx->stack->counter[FS_CTR_ports_lost]++;
	context_port_forget(ctx, port, reason);
}

/* May this process close the port though its interface is there? Only its owner's end detaches it. */
static bool owns(const struct context *ctx, unsigned port)
{
	return (uint32_t)ctx->stack->port[port]->owner_pid == ctx->pid;
}

/* Was the port opened for another MTU or station? Its rings and its way to receive follow from the one,
 * steering's look at a frame from the other. Less MTU than that is no matter. */
static bool is_other(const struct context *ctx, unsigned port, const struct host_link *link)
{
	return link->mtu + LINK_HEADERS > ctx->stack->port[port]->caps.max_frame ||
	       memcmp(&link->mac, &ctx->stack->ip.port[port].mac, sizeof(link->mac)) != 0;
}

static void follow_name(struct context *ctx, unsigned port, const struct host_link *link)
{
	struct stats_port *p = &ctx->stack->port_stats[port];

	if (strncmp(p->ifname, link->name, sizeof(p->ifname)) == 0)
		return;
	host_log(&ctx->log, LOG_INFO, "%s: its name is %s now", p->ifname, link->name);
	host_format(p->ifname, sizeof(p->ifname), "%s", link->name);
}

static void refresh_port(struct context *ctx, unsigned port)
{
	struct provider_handle *h = &ctx->handle[port];
	const struct ip_port *p = &ctx->stack->ip.port[port];
	bool was_up = p->up;
	struct host_link link;
	int ret;

	h->ops->refresh_stats(h); /* learns what became of the provider's sockets */
	ret = host_link_get(&ctx->nl, (int)p->ifindex, &link);
	if (ret == -ENODEV || h->port->error == -ENODEV) {
		context_port_lost(ctx, port, FS_REASON_interface_down);
		return;
	}
	if (ret < 0)
		return; /* a question that fails once changes nothing */
	follow_name(ctx, port, &link);
	if (link.role != HOST_LINK_MASTERLESS && owns(ctx, port)) {
		context_port_lost(ctx, port, FS_REASON_interface_kind);
		return;
	}
	if ((link.flags & IFF_UP) && is_other(ctx, port, &link) && owns(ctx, port)) {
		context_port_lost(ctx, port, FS_REASON_recovering);
		return;
	}
	context_port_configure(ctx, port, &link);
	ctx->stack->port_stats[port].rx_queues = link.rx_queues;
	ctx->stack->port_stats[port].error = h->port->error;
	if (was_up && !p->up)
		port_down(ctx, port);
	else if (!was_up && p->up)
		host_log(&ctx->log, LOG_INFO, "%s: up again", link.name);
}

/* --- addresses --- */

static bool address_is_here(const struct context *ctx, const struct sock *s)
{
	for (unsigned i = 0; i < IP_MAX_PORTS; i++)
		if ((s->steered & (1u << i)) && ctx->stack->port[i] &&
		    (!ctx->stack->ip.port[i].up || ip_port_is_local(&ctx->stack->ip.port[i], &s->pcb.local)))
			return true;
	return false;
}

/* A socket whose address left the interface waits for it, wherever it returns. */
static void follow_addresses(struct context *ctx)
{
	struct list *e;

	LIST_FOR_EACH(e, &ctx->stack->all_socks) {
		struct sock *s = FS_CONTAINER_OF(e, struct sock, all);

		if (s->way != SOCK_FAST || !s->steered || ip_addr_is_any(&s->pcb.local) ||
		    ip_addr_is_any(&s->rule_local) || address_is_here(ctx, s))
			continue;
		context_unsteer(ctx, s);
		wait_for_return(ctx, s);
		host_format(ctx->why, sizeof(ctx->why), "its address was taken from the interface%s", "");
		context_sock_review(ctx, s, FS_REASON_no_interface);
	}
}

/* --- return --- */

/* Is @s steered where its address is? */
static bool is_at_home(const struct context *ctx, const struct sock *s, const struct context_places *places)
{
	int port = context_port_find(ctx, places->carrier);

	return port >= 0 && (s->steered & (1u << port));
}

static void steer_again(struct context *ctx, struct sock *s, struct context_places *places)
{
	uint16_t before = s->steered;
	unsigned gained;
	int reason;

	ctx->why[0] = '\0';
	reason = context_steer(ctx, s, places);
	gained = (unsigned)__builtin_popcount(s->steered & ~(unsigned)before);
	/* An address is on one interface; who takes all of them waits for as many as there were. */
	if (!ip_addr_is_any(&s->pcb.local))
		s->missing = s->missing && !is_at_home(ctx, s, places);
	else
		s->missing -= (uint8_t)FS_MIN(gained, (unsigned)s->missing);
	context_sock_review(ctx, s, reason ? reason : FS_REASON_interface_down);
}

static void recover(struct context *ctx)
{
	struct context_places places = { 0 };
	struct list *e;

	if (!ctx->stack->waiting)
		return;
	ctx->stack->waiting = false;
	LIST_FOR_EACH(e, &ctx->stack->all_socks) {
		struct sock *s = FS_CONTAINER_OF(e, struct sock, all);

		if (s->way != SOCK_FAST || !s->missing)
			continue;
		if (s->pcb.groups)
			context_groups_review(ctx, s->pcb.local_port);
		if (s->no_unicast)
			s->missing = s->pcb.groups && !context_groups_served(ctx, s);
		else
			steer_again(ctx, s, &places);
		ctx->stack->waiting |= s->missing > 0;
	}
	ctx->stack->waiting |= !stream_return(ctx);
}

/* Ports that work, by bit. */
static uint32_t working(const struct context *ctx)
{
	uint32_t bits = 0;

	for (unsigned i = 0; i < IP_MAX_PORTS; i++)
		bits |= (uint32_t)port_works(ctx, i) << i;
	return bits;
}

void context_ports_refresh(struct context *ctx)
{
	uint32_t before = working(ctx), serial = ctx->stack->ports_serial;

	memset(ctx->declined, 0, sizeof(ctx->declined));
	for (unsigned i = 0; i < ctx->n_handles; i++)
		if (ctx->stack->port[i] && ctx->handle[i].ops)
			refresh_port(ctx, i);
	follow_addresses(ctx);
	recover(ctx);
	if (working(ctx) != before || serial != ctx->stack->ports_serial) {
		host_format(ctx->why, sizeof(ctx->why), "the interface is down%s", "");
		review_all(ctx, FS_REASON_interface_down);
	}
	ctx->retry_pause = RETRY_FIRST;
	ctx->next_retry = ctx->now + RETRY_FIRST;
}

void context_ports_retry(struct context *ctx)
{
	for (unsigned i = 0; i < ctx->n_handles; i++) {
		/* It works again without a word, or the word was lost. */
		if (ctx->handle[i].ops && ctx->stack->port[i] && !ctx->stack->ip.port[i].up) {
			context_ports_refresh(ctx);
			return;
		}
	}
	if (!ctx->stack->waiting || ctx->now < ctx->next_retry)
		return;
	memset(ctx->declined, 0, sizeof(ctx->declined));
	recover(ctx);
	ctx->retry_pause = FS_MIN(FS_MAX(2 * ctx->retry_pause, RETRY_FIRST), RETRY_LAST);
	ctx->next_retry = ctx->now + ctx->retry_pause;
}
