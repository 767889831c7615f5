/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sister.c - see sister.h. Listeners and their twins: sister_listen.c.
 */
#include "context/sister.h"

#include <errno.h>
#include <string.h>

#include "base/passage.h"
#include "base/reason.h"
#include "context/helper.h"
#include "context/internal.h"
#include "context/sister_internal.h"
#include "context/stamp.h"
#include "context/thread.h"
#include "sys/sys.h"
#include "tcp/end.h"
#include "wire/packet.h"

enum {
	PASSAGE_BYTES = 1 << 18, /* from one stack to another: four super-frames, or a thousand small ones */
	AT_ONCE = 64,		 /* frames taken from a passage in one go */
};

/* --- which --- */

struct context *sister_of(struct context *home, int fd)
{
	unsigned n = fs_load_acquire(&home->n_stacks);

	for (unsigned i = 0; i < n; i++)
		if (fd_kind_of(&home->stacks[i]->fds, fd) != FD_NONE)
			return home->stacks[i];
	return home;
}

bool sisters_know(struct context *home, int fd)
{
	return fd_kind_of(&sister_of(home, fd)->fds, fd) != FD_NONE;
}

/* --- locks --- */

/*
 * Who drives home for a sister's sake has her lock, and home's work may be about her: a listener's twin, a port beside
 * one that closes. She is between two calls' work then, as after her own housekeeping.
 */
static bool drives(const struct context *o)
{
	return (context_thread.drives & 1u << o->index) &&
	       fs_load_relaxed(&o->stack->lock.owner) == context_tid();
}

bool sister_enter(struct context *o)
{
	uintptr_t frame = context_thread.lock_frame;

	if (drives(o)) {
		o->entered++;
		return true;
	}
	if (!context_lock(o)) {
		fs_store_relaxed(&context_thread.lock_frame, frame);
		return false;
	}
	o->outer_frame = frame;
	o->entered = 0;
	if (context_joined(o))
		return true;
	sister_leave(o);
	return false;
}

void sister_leave(struct context *o)
{
	uintptr_t frame = o->outer_frame;

	if (o->entered) {
		o->entered--;
		return;
	}
	context_ring(o);
	context_unlock(o);
	fs_store_relaxed(&context_thread.lock_frame, frame);
}

/* As sister_enter(), unless anybody has the lock, or this process would have to join. */
static bool try_enter(struct context *o)
{
	uintptr_t frame = context_thread.lock_frame;

	if (o->slot >= STATS_MAX_PROCS || !context_trylock(o)) {
		fs_store_relaxed(&context_thread.lock_frame, frame);
		return false;
	}
	o->outer_frame = frame;
	o->entered = 0;
	context_thread.drives |= (uint8_t)(1u << o->index);
	context_calm(o);
	return true;
}

static void leave_tried(struct context *o)
{
	context_thread.drives &= (uint8_t)~(1u << o->index);
	sister_leave(o);
}

/* --- driving --- */

/* Who sleeps there looks, or its helper thread. */
static void wake(struct context *o)
{
	const struct stack *s = o->stack;
	uint64_t one = 1;
	bool any = false;

	fs_full_barrier(); /* what is in the passage is seen by who counted itself as a sleeper after this */
	for (unsigned i = 0; i < STATS_MAX_PROCS; i++) {
		if (fs_load_relaxed(&s->proc[i].sleepers) == 0 || o->doorbell[i] < 0)
			continue;
		sys_write(o->doorbell[i], &one, sizeof(one));
		any = true;
	}
	if (!any)
		helper_kick(o);
}

/* One that was not told because somebody drives it hears of it by that thread, unless that had looked before. */
void sisters_tell(struct context *ctx)
{
	uint32_t to = ctx->to_tell, back = 0;

	ctx->to_tell = 0;
	ctx->entered = 0;
	context_thread.drives |= (uint8_t)(1u << ctx->index);
	for (unsigned i = 0; i < ctx->n_stacks; i++) {
		struct context *o = ctx->stacks[i];

		if (!(to & 1u << i))
			continue;
		if (!try_enter(o)) {
			wake(o);
			continue;
		}
		/* No housekeeping: the helper of @ctx may be who tells. */
		o->now = o->env.now = host_clock_now(&o->clock);
		context_take(o);
		back |= o->to_tell;
		o->to_tell = 0;
		leave_tried(o);
	}
	context_thread.drives = 0;
	for (unsigned i = 0; i < ctx->n_stacks; i++)
		if (i != ctx->index && (back & 1u << i))
			wake(ctx->stacks[i]);
	if (back & 1u << ctx->index)
		context_take(ctx);
}

unsigned sisters_poll(struct context *ctx)
{
	unsigned taken = 0;

	ctx->entered = 0;
	context_thread.drives = (uint8_t)(1u << ctx->index);
	for (unsigned i = 0; i < ctx->n_stacks; i++) {
		struct context *o = ctx->stacks[i];

		if (o == ctx || !try_enter(o))
			continue;
		ctx->to_tell &= ~(1u << i);
		taken += context_poll_alone(o);
		if (o->stack->held_since || o->soon.sock)
			segments_flush(o);
		ctx->to_tell |= o->to_tell & ~(1u << ctx->index);
		if (o->to_tell & 1u << ctx->index)
			taken += context_take(ctx); /* sent back at once */
		o->to_tell = 0;
		leave_tried(o);
	}
	context_thread.drives = 0;
	if (ctx->to_tell)
		sisters_tell(ctx);
	return taken;
}

void sisters_flush(struct context *ctx)
{
	for (unsigned i = 0; i < ctx->n_stacks; i++) {
		struct context *o = ctx->stacks[i];

		if (o == ctx || !sister_enter(o))
			continue;
		o->now = o->env.now = host_clock_now(&o->clock);
		if (o->stack->held_since || o->soon.sock)
			segments_flush(o);
		sister_leave(o);
	}
}

/* --- breaking --- */

/* Its lock held. Who waits for it goes on without. */
static void give_up(struct context *o)
{
	fs_store_release(&o->stack->broken, true);
	context_unlock(o);
	context_abandon(o);
}

void sisters_follow(struct context *ctx)
{
	uintptr_t frame = context_thread.lock_frame;
	struct context *o;

	CONTEXT_EACH(o, ctx) {
		if (fs_load_acquire(&o->stack->broken))
			continue;
		/* Of its own it would be taken for one that jumped out (lock.c). */
		if (fs_load_relaxed(&o->stack->lock.owner) != context_tid() && context_trylock(o))
			give_up(o);
		else
			helper_kick(o);
	}
	fs_store_relaxed(&context_thread.lock_frame, frame);
}

void sister_follow(struct context *ctx)
{
	bool any = false;
	struct context *o;

	CONTEXT_EACH(o, ctx)
		any |= fs_load_acquire(&o->stack->broken);
	if (any && !fs_load_acquire(&ctx->stack->broken) && context_lock(ctx))
		give_up(ctx);
}

/* --- frames that pass --- */

bool sister_put(struct context *ctx, unsigned stack, const struct passage_note *note, const struct fbuf *frame)
{
	struct sister_family *f = ctx->stack->family;

	if (stack >= f->n || !passage_put(&f->passage[ctx->index][stack], note, frame))
		return false;
	ctx->to_tell |= 1u << stack;
	return true;
}

void sister_pass_on(void *context, struct fbuf *frame, unsigned stack, uint32_t passed)
{
	struct context *ctx = context;
	struct passage_note note = { .kind = SISTER_FRAME, .ifindex = frame->ifindex, .passed = passed };
	bool put = sister_put(ctx, stack, &note, frame);

	ctx->stack->counter[put ? FS_CTR_frames_passed : FS_CTR_drop_passage_full]++;
	fbuf_free(frame);
}

void sister_pass_datagram(const struct ip_env *env, const struct packet *p, struct fbuf *frame, fs_ns now)
{
	fbuf_push(frame, p->l4_offset);
	sister_pass_on(env->context, frame, 0, 0);
}

/* The port of @ctx on the interface, -1 = it has none any more. */
static int port_of(const struct context *ctx, uint32_t ifindex)
{
	for (int i = 0; i < IP_MAX_PORTS; i++)
		if (ctx->stack->ip.port[i].ifindex == ifindex)
			return i;
	return -1;
}

static void take_frame(struct context *ctx, const struct passage_note *note, struct fbuf *frame)
{
	int port = frame ? port_of(ctx, note->ifindex) : -1;

	if (port < 0) {
		ctx->stack->counter[FS_CTR_drop_passage_full] += note->len > 0;
		fbuf_free(frame);
		return;
	}
	frame->port = (uint8_t)port;
	ctx->env.passed = note->passed;
	ip_input(&ctx->stack->ip, &ctx->env, &frame, 1, ctx->now);
	ctx->env.passed = 0;
}

static unsigned receive_from(struct context *ctx, struct passage *p)
{
	struct passage_note note;
	struct fbuf *frame;
	unsigned n = 0;

	while (n < AT_ONCE && passage_take(p, &note, &ctx->stack->payload, &frame)) {
		if (note.kind == SISTER_INCOMING)
			sister_came(ctx, &note);
		else
			take_frame(ctx, &note, frame);
		n++;
	}
	return n;
}

unsigned sister_receive(struct context *ctx)
{
	struct sister_family *f = ctx->stack->family;
	unsigned n = 0;

	if (ctx->stack->untold)
		sister_tell_home(ctx);
	stamp_passed(ctx);
	for (unsigned i = 0; i < f->n; i++) {
		struct passage *p = &f->passage[i][ctx->index];

		if (i == ctx->index || passage_is_empty(p))
			continue;
		while (ctx->stack->payload.n_free < STACK_PAYLOAD_LOW + udp_payload_reserve(&ctx->stack->udp) &&
		       context_payload_reserve(ctx))
			continue;
		n += receive_from(ctx, p);
	}
	return n;
}

/* --- making --- */

/* Home's ends count from now on. */
static void count_ends(struct context *home)
{
	struct tcp_stack *tcp = &home->stack->tcp;
	struct table_cursor cursor = { 0 };
	struct table_node *node;

	while (tcp->ip && (node = table_next(&tcp->ends, &cursor)) != NULL)
		tcp_shares_add(tcp->shares, node->hash, tcp->index);
}

/* In home's memory, which all of them map. NULL: there is none left. */
static struct sister_family *make_family(struct context *home, unsigned n)
{
	struct sister_family *f = context_grow(home, sizeof(*f));
	size_t len = (size_t)n * n * PASSAGE_BYTES;
	uint8_t *bytes = f ? context_grow(home, len) : NULL;

	if (!bytes)
		return NULL;
	f->n = n;
	for (unsigned from = 0; from < n; from++)
		for (unsigned to = 0; to < n; to++)
			passage_init(&f->passage[from][to], bytes + ((size_t)from * n + to) * PASSAGE_BYTES,
				     PASSAGE_BYTES);
	return f;
}

void sister_lend(struct context *ctx)
{
	struct tcp_stack *tcp = &ctx->stack->tcp;

	if (!ctx->stack->family || tcp->shares)
		return;
	tcp->shares = &ctx->stack->family->shares;
	tcp->index = (uint8_t)ctx->index;
}

/* Sisters have home's keys: what one of them sent, a cookie say, the others understand. */
static int begin(struct context *home, struct context *o)
{
	int ret;

	o->stack->family = home->stack->family;
	o->now = o->env.now = home->now;
	ret = segments_open(o);
	if (ret < 0)
		return ret;
	o->stack->tcp.key = home->stack->tcp.key;
	memcpy(o->stack->tcp.secret, home->stack->tcp.secret, sizeof(home->stack->tcp.secret));
	return 0;
}

/* Processes that share home, and would know no sisters. */
static bool has_company(const struct context *home)
{
	for (unsigned i = 0; i < STATS_MAX_PROCS; i++)
		if (i != home->slot && home->stack->proc[i].pid)
			return true;
	for (unsigned i = 0; i < STACK_HEIRS; i++)
		if (home->stack->heir[i].since)
			return true;
	return home->stack->lingering;
}

void sisters_want(struct context *home, uint32_t queues)
{
	unsigned n = FS_MIN(home->config.stacks, queues);

	if (n < 2 || home->index != 0 || home->n_stacks > 1 || home->stack->family || has_company(home))
		return;
	if (segments_open(home) < 0)
		return;
	home->stack->family = make_family(home, n);
	if (!home->stack->family)
		return;
	home->stack->family->stamped[0] = home->stack->stamped;
	sister_lend(home);
	count_ends(home);
	for (unsigned i = 1; i < n; i++) {
		struct context *o = context_make_sister(home, i);

		if (o && begin(home, o) < 0) {
			context_discard_sister(o);
			o = NULL;
		}
		if (!o) {
			host_log(&home->log, LOG_WARN, "%u of %u stacks: there is no memory for more, or no descriptors",
				 home->n_stacks, n);
			break;
		}
		home->stacks[i] = o;
		memcpy(o->stacks, home->stacks, sizeof(o->stacks));
		for (unsigned k = 0; k <= i; k++) {
			home->stacks[k]->stacks[i] = o;
			fs_store_release(&home->stacks[k]->n_stacks, i + 1);
		}
	}
	for (unsigned i = 1; i < home->n_stacks; i++)
		helper_want(home->stacks[i]); /* what comes to its queues for home does not wait for a call */
}

void sister_share(const struct context *ctx, uint32_t queues, uint32_t *first, uint32_t *n)
{
	uint32_t stacks = FS_MIN(ctx->n_stacks, queues);

	*first = *n = 0;
	if (ctx->index >= stacks)
		return;
	*first = queues * ctx->index / stacks;
	*n = queues * (ctx->index + 1) / stacks - *first;
}

bool sisters_open(struct context *home, unsigned slot)
{
	bool all = true;

	for (unsigned i = 1; i < home->n_stacks; i++) {
		struct context *o = home->stacks[i];

		if (!sister_enter(o)) {
			all = false;
			continue;
		}
		all &= context_port_beside(o, &home->handle[slot]) == 0;
		sister_leave(o);
	}
	return all;
}

/* Take the lock of the sister @o who has a port of the interface: its slot. -1, without the lock: she has none. */
static int enter_at(struct context *o, uint32_t ifindex)
{
	int port;

	if (!sister_enter(o))
		return -1;
	port = context_port_find(o, ifindex);
	if (port < 0)
		sister_leave(o);
	return port;
}

void sisters_demote(struct context *home, uint32_t ifindex, int reason, const char *detail)
{
	for (unsigned i = 1; home->index == 0 && i < home->n_stacks; i++) {
		struct context *o = home->stacks[i];
		int port = enter_at(o, ifindex);

		if (port < 0)
			continue;
		context_demote_all(o, port, reason, detail);
		sister_leave(o);
	}
}

void sisters_close(struct context *home, uint32_t ifindex)
{
	for (unsigned i = 1; i < home->n_stacks; i++) {
		struct context *o = home->stacks[i];
		int port = enter_at(o, ifindex);

		if (port < 0)
			continue;
		context_port_lost(o, (unsigned)port, FS_REASON_recovering);
		sister_leave(o);
	}
}

void sisters_join(struct context *home)
{
	for (unsigned i = 1; i < home->n_stacks; i++) {
		if (!sister_enter(home->stacks[i]))
			continue;
		helper_want(home->stacks[i]);
		sister_leave(home->stacks[i]);
	}
}
