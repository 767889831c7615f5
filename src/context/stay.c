/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stay.c - see stay.h.
 *
 * Records lie one behind the other in a page of the thread's, as calls nest; what does not fit there has
 * pages of its own.
 */
#include "context/stay.h"

#include <pthread.h>

#include "base/barrier.h"
#include "context/internal.h"
#include "context/thread.h"
#include "socket/epoll.h"
#include "sys/sys.h"

enum { PAGE = 4096 };

/* --- where records lie --- */

static bool is_on_page(const struct stay *stay)
{
	return (uintptr_t)stay - (uintptr_t)context_thread.stay_page < PAGE;
}

static struct stay *place(struct context *ctx, size_t bytes)
{
	struct context_thread *t = &context_thread;
	uintptr_t end;

	if (!t->stay_page) {
		t->stay_page = mem_private(PAGE);
		if (!t->stay_page)
			return NULL;
		pthread_setspecific(ctx->thread_key, t); /* so that the thread's end frees it */
	}
	end = (uintptr_t)t->stay_page;
	for (const struct stay *s = t->stays; s; s = s->below)
		if (is_on_page(s))
			end = FS_MAX(end, (uintptr_t)s + s->bytes);
	if (end + bytes <= (uintptr_t)t->stay_page + PAGE)
		return (struct stay *)end;
	return mem_private(bytes);
}

/* Take it out of the thread's list. False: it is not in it. */
static bool unlink_stay(const struct stay *stay)
{
	struct stay **at = &context_thread.stays;

	while (*at && *at != stay)
		at = &(*at)->below;
	if (!*at)
		return false;
	*at = stay->below;
	return true;
}

static void unmap(struct stay *stay)
{
	if (stay->number > 0)
		sys_close(stay->number);
	if (stay->memory)
		sys_munmap(stay->memory, stay->memory_bytes);
	if (!is_on_page(stay))
		sys_munmap(stay, stay->bytes);
}

/* --- a call --- */

struct stay *stay_begin(struct context *ctx, unsigned room)
{
	size_t bytes = sizeof(struct stay) + room * sizeof(struct stay_object);
	struct stay *stay;

	stay_look(ctx);
	stay = place(ctx, bytes);
	if (!stay)
		return NULL;
	*stay = (struct stay){
		.ctx = ctx,
		.below = context_thread.stays,
		.frame = (uintptr_t)__builtin_frame_address(0),
		.bytes = bytes,
	};
	context_thread.stays = stay;
	return stay;
}

void stay_on_sock(struct context *ctx, struct stay *stay, struct sock *s)
{
	s->users[ctx->slot]++;
	stay->on[stay->n++] = (struct stay_object){ .sock = s };
}

void stay_on_set(struct context *ctx, struct stay *stay, struct epoll_set *set)
{
	epoll_set_hold(set, ctx->slot);
	stay->on[stay->n++] = (struct stay_object){ .set = set };
}

void stay_on_bare(struct stay *stay, struct bare *bare)
{
	stay->on[stay->n++] = (struct stay_object){ .bare = bare };
}

bool stay_is_ours(const struct stay *stay)
{
	const struct stay *s = context_thread.stays;

	while (s && s != stay)
		s = s->below;
	return s;
}

void stay_end(struct context *ctx, struct stay *stay)
{
	if (!stay || !unlink_stay(stay))
		return;
	for (unsigned i = 0; i < stay->n; i++) {
		struct sock *s = stay->on[i].sock;

		if (s) {
			s->users[ctx->slot]--;
			context_sock_settle(ctx, s);
		} else if (stay->on[i].set) {
			epoll_set_let(stay->on[i].set, ctx->slot);
			context_set_settle(ctx, stay->on[i].set);
		}
	}
	unmap(stay);
}

void stay_drop(struct stay *stay)
{
	if (stay && unlink_stay(stay))
		unmap(stay);
}

/* --- calls that did not get to their end --- */

void stay_look(struct context *ctx)
{
	struct stay *s = context_thread.stays, *below;

	for (; s; s = below) {
		below = s->below;
		if (s->ctx == ctx && context_frame_is_gone(s->frame, (uintptr_t)__builtin_frame_address(0)))
			stay_end(ctx, s);
	}
}

void stay_thread_ends(struct context *ctx, bool locked)
{
	struct stay *s = context_thread.stays, *below;

	for (; s; s = below) {
		below = s->below;
		if (s->ctx != ctx)
			continue;
		if (locked)
			stay_end(ctx, s);
		else
			stay_drop(s);
	}
}

void stay_page_unmap(void)
{
	if (context_thread.stay_page)
		sys_munmap(context_thread.stay_page, PAGE);
	context_thread.stay_page = NULL;
}
