/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * take.c - see take.h.
 */
#include "context/take.h"

#include <errno.h>

#include "context/block.h"
#include "context/internal.h"
#include "context/stay.h"

enum { KERNEL_HOT = 64 /* as for the other front door (datagram.c) */ };

/* --- both sources --- */

/* What the shadow gave is counted, and makes later receives look there first. */
static void took_kernel(struct take *t, int n)
{
	struct sock *s;

	if (n <= 0)
		return;
	s = context_enter(t->ctx, t->fd);
	if (!s)
		return;
	if (t->peek) {
		context_promise(s, true);
		context_leave(t->ctx);
		return;
	}
	s->kernel_hot = KERNEL_HOT;
	context_read_late(s);
	s->record->rx_kernel += (uint64_t)n;
	s->record->rx_bytes += t->bytes;
	t->ctx->stack->counter[FS_CTR_rx_kernel_datagrams] += (uint64_t)n;
	t->ctx->stack->counter[FS_CTR_rx_kernel_bytes] += t->bytes;
	context_leave(t->ctx);
}

/* Lock held. */
static int take_fast(struct take *t, struct sock *s)
{
	if (!s->pcb.queue.head)
		return -EAGAIN;
	if (s->kernel_hot)
		s->kernel_hot--;
	s->kernel_turn = !t->peek; /* what was shown is taken next */
	return t->take(t, s);
}

/*
 * One try over both sources. -EAGAIN: neither has anything. @must forces a look at the shadow: a call
 * that will not come again soon must not report "nothing" out of habit.
 */
static int take_once(struct take *t, bool must)
{
	struct context *ctx = t->ctx;
	struct sock *s = context_enter(ctx, t->fd);
	const struct fbuf *first;
	int n;

	if (!s)
		return CONTEXT_KERNEL;
	if (!s->pcb.queue.head)
		context_poll(ctx);
	if (context_live_sock(ctx, t->fd) != s) { /* housekeeping found it replaced */
		context_leave(ctx);
		return CONTEXT_KERNEL;
	}
	if (!context_kernel_due(ctx, s) && !(must && !s->pcb.queue.head)) {
		n = take_fast(t, s);
		context_leave(ctx);
		return n;
	}
	first = s->pcb.queue.head;
	s->kernel_turn = false;
	s->kernel_looked = ctx->now;
	context_leave(ctx);
	n = t->take_kernel(t);
	if (n != -EAGAIN) {
		took_kernel(t, n);
		return n;
	}
	s = context_enter(ctx, t->fd);
	if (!s)
		return CONTEXT_KERNEL;
	context_not_late(s, first);
	n = take_fast(t, s);
	context_leave(ctx);
	return n;
}

/* --- waiting --- */

/* Begin to wait. 0, CONTEXT_KERNEL: the socket is gone, -ENOMEM. */
static int begin_wait(struct take *t, struct blocker *b)
{
	struct sock *s = context_enter(t->ctx, t->fd);
	struct stay *stay;

	if (!s)
		return CONTEXT_KERNEL;
	stay = stay_begin(t->ctx, 1);
	if (stay) {
		blocker_init(b, t->ctx, t->wait, true, NULL);
		stay_on_sock(t->ctx, stay, s);
		b->stay = stay;
		b->spin_allowed = s->way == SOCK_FAST && !s->unsteered;
	}
	context_leave(t->ctx);
	return stay ? 0 : -ENOMEM;
}

static int take_waiting(struct take *t)
{
	struct pollfd fds[1 + BLOCKER_SPARE] = { { .fd = t->fd, .events = POLLIN } };
	BLOCKER(b);
	int n = begin_wait(t, &b);

	if (n < 0)
		return n;
	do {
		n = blocker_pause(&b, fds, 1);
		if (n < 0)
			return n;
		n = take_once(t, b.slept);
		b.slept = false;
	} while (n == -EAGAIN);
	return n;
}

int take_run(struct take *t)
{
	int n = take_once(t, false);

	if (n != -EAGAIN || t->wait == 0)
		return n;
	return take_waiting(t);
}

/* --- datagrams of the stack --- */

struct fbuf *take_one(struct sock *s)
{
	struct fbuf *frame = udp_receive(&s->pcb);

	s->record->rx_fast++;
	s->record->rx_bytes += frame->total;
	return frame;
}

int take_may_hold(const struct context *ctx, const struct sock *s)
{
	return s->held.head && s->holder != ctx->slot ? -EBUSY : 0;
}

void take_hold(struct context *ctx, struct sock *s, struct fbuf *last, uint32_t n, uint64_t bytes)
{
	s->record->rx_fast += n;
	s->record->rx_bytes += bytes;
	s->holder = ctx->slot;
	udp_hold_run(&s->pcb, last, n, &s->held);
}

/* Who releases in the order received finds it at the head. */
static struct fbuf *unlink_held(struct fbuf_queue *q, const struct fbuf *frame)
{
	struct fbuf *before = q->head, *found;

	if (before == frame)
		return fbuf_queue_pop(q);
	while (before && before->link != frame)
		before = before->link;
	if (!before)
		return NULL;
	found = before->link;
	before->link = found->link;
	if (q->tail == found)
		q->tail = before;
	q->frames--;
	return found;
}

int take_release(struct context *ctx, struct sock *s, const struct fbuf *frame)
{
	struct fbuf *found;

	if (!frame || s->holder != ctx->slot)
		return -EINVAL;
	found = unlink_held(&s->held, frame);
	if (!found)
		return -EINVAL;
	udp_release(&s->pcb, found);
	return 0;
}

void take_release_all(struct sock *s, unsigned slot)
{
	struct fbuf *frame;

	if (slot != STATS_MAX_PROCS && s->holder != slot)
		return;
	while ((frame = fbuf_queue_pop(&s->held)) != NULL)
		udp_release(&s->pcb, frame);
}

void take_closing(struct context *ctx, int fd)
{
	struct sock *s;

	if (!context_lock(ctx))
		return;
	s = context_live_sock(ctx, fd);
	if (s && ctx->slot < STATS_MAX_PROCS)
		take_release_all(s, ctx->slot);
	context_unlock(ctx);
}
