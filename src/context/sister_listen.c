/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sister_listen.c - listeners of home's and their twins in sisters.
 *
 * A twin has the listener's number in its stack's descriptor table: fork, dup and close are counted as for any socket.
 * It is in no epoll set; home's listener speaks for it. Home hears of each connection that waits at a twin by a note,
 * and counts it until it is accepted, so that the listener is readable as long as one waits anywhere.
 */
#include "base/reason.h"
#include "context/sister.h"

#include "context/internal.h"
#include "context/sister_internal.h"
#include "context/stream_internal.h"
#include "socket/epoll.h"

/* --- notes --- */

static bool tell(struct context *ctx, const struct sock *s, uint32_t n)
{
	struct passage_note note = {
		.kind = SISTER_INCOMING,
		.passed = n,
		.word = { (uintptr_t)s->stream.home, (uint64_t)ctx->index << 32 | s->stream.home_generation },
	};

	return sister_put(ctx, 0, &note, NULL);
}

void sister_incoming(struct context *ctx, struct sock *s)
{
	if (tell(ctx, s, 1))
		return;
	s->stream.untold++;
	ctx->stack->untold = true;
}

void sister_tell_home(struct context *ctx)
{
	bool all = true;
	struct list *e;

	LIST_FOR_EACH(e, &ctx->stack->all_streams) {
		struct sock *s = FS_CONTAINER_OF(e, struct sock, all);

		if (!s->stream.untold)
			continue;
		if (tell(ctx, s, s->stream.untold))
			s->stream.untold = 0;
		else
			all = false;
	}
	ctx->stack->untold = !all;
}

static void more_wait(struct context *home, struct sock *s, unsigned stack, uint32_t n)
{
	s->stream.elsewhere[stack] += n;
	home->to_ring |= s->sleepers.slots;
	if (!list_is_empty(&s->items))
		home->to_ring |= epoll_sock_readable(s);
}

void sister_came(struct context *home, const struct passage_note *note)
{
	struct sock *s = (struct sock *)(uintptr_t)note->word[0];
	unsigned from = (unsigned)(note->word[1] >> 32);

	if (from >= STREAM_STACKS || s->generation != (uint32_t)note->word[1] || !stream_listens(&s->stream))
		return; /* it went meanwhile, and its twins with it */
	more_wait(home, s, from, note->passed);
}

/* --- accepting --- */

static uint32_t waiting_at(const struct sock *s, unsigned stack)
{
	return stack == 0 ? s->stream.listener.n_ready : s->stream.elsewhere[stack];
}

int sister_next(const struct context *home, struct sock *s)
{
	for (unsigned i = 1; i <= home->n_stacks; i++) {
		unsigned stack = (s->stream.turn + i) % home->n_stacks;

		if (!waiting_at(s, stack))
			continue;
		s->stream.turn = (uint8_t)stack;
		if (stack > 0)
			s->stream.elsewhere[stack]--;
		return (int)stack;
	}
	return -1;
}

void sister_undo(struct context *home, struct sock *s, unsigned stack)
{
	more_wait(home, s, stack, 1);
}

/* --- twins --- */

/* The twin at @fd; NULL = there is none. */
static struct sock *twin_at(struct context *o, int fd)
{
	struct sock *s = context_live_sock(o, fd);

	return s && s->protocol == SOCK_TCP && s->stream.home ? s : NULL;
}

static void listen_beside(struct context *o, int fd, const struct sock *listener, uint32_t backlog)
{
	struct sock *s = twin_at(o, fd);

	if (s && s->way == SOCK_FAST) {
		tcp_listen(&o->stack->tcp, &s->stream.listener, backlog);
		return;
	}
	context_fd_forget(o, fd); /* whatever it was */
	s = o->n_handles ? stream_adopt(o, fd, listener, listener->nonblock ? SOCK_NONBLOCK : 0) : NULL;
	if (!s)
		return; /* home takes what comes there, by the passage */
	s->stream.local = listener->stream.local;
	s->stream.local_port = listener->stream.local_port;
	s->stream.reuseport = listener->stream.reuseport;
	s->stream.home = listener->stream.home;
	s->stream.home_generation = listener->generation;
	s->lent = listener->lent;
	stream_now(o);
	stream_begin_twin(o, s, backlog);
}

void sisters_listen(struct context *home, int fd, const struct sock *listener, uint32_t backlog)
{
	for (unsigned i = 1; i < home->n_stacks; i++) {
		if (!sister_enter(home->stacks[i]))
			continue;
		listen_beside(home->stacks[i], fd, listener, backlog);
		if (fd_kind_of(&home->fds, fd) != FD_STREAM)
			context_fd_forget(home->stacks[i], fd); /* closed meanwhile */
		sister_leave(home->stacks[i]);
	}
}

void sisters_each_twin(struct context *home, struct sock *s, sister_twin_fn *what, int reason)
{
	for (unsigned i = 1; i < home->n_stacks; i++) {
		struct context *o = home->stacks[i];
		struct list *e, *following;

		if (!sister_enter(o))
			continue;
		LIST_FOR_EACH_SAFE(e, following, &o->stack->all_streams) {
			struct sock *twin = FS_CONTAINER_OF(e, struct sock, all);

			if (twin->stream.home == s && twin->stream.home_generation == s->generation)
				what(o, twin, reason);
		}
		sister_leave(o);
	}
}
