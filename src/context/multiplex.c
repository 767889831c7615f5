/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * multiplex.c - see multiplex.h.
 *
 * The kernel's half of every set is asked by the kernel's own call without waiting: once per call at
 * least, unless it certainly has nothing (watch.h), then at intervals while polling, so that neither side starves. Sleeping is one ppoll() over the
 * kernel's half and the thread's own sleep set (block.c).
 */
#include "context/multiplex.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <string.h>

#include "base/reason.h"
#include "context/block.h"
#include "context/internal.h"
#include "context/internal_fds.h"
#include "context/sister.h"
#include "context/stay.h"
#include "context/thread.h"
#include "context/turn.h"
#include "context/waitset.h"
#include "context/watch.h"
#include "host/epinfo.h"
#include "socket/bare.h"
#include "socket/epoll.h"
#include "sys/sys.h"

enum {
	BATCH = 256,	/* events of one kernel look */
	NUMBERS_MAX = 8, /* of a set that are known when it is looked for in others */
	SETS_MAX = 1024, /* descriptor numbers looked through for duplicates of a new set, and for sets that it is in */
};

/* --- common --- */

bool multiplex_concerns(struct context *ctx, int fd)
{
	enum fd_kind kind = ctx ? fd_kind_of(&context_of(ctx, fd)->fds, fd) : FD_NONE;

	return fd_kind_is_sock(kind) || kind == FD_EPOLL;
}

/* --- epoll_ctl --- */

static struct epoll_set *get_set(struct context *ctx, int epfd);

/* Of BATCH numbers from @first on those that are open and may be sets of the program's, in @at: one call instead of
 * as many. */
static void see_sets(struct context *ctx, int first, struct pollfd *at)
{
	struct timespec zero = { 0 };

	for (int i = 0; i < BATCH; i++) {
		enum fd_kind kind = fd_kind_of(&ctx->fds, first + i);

		at[i] = (struct pollfd){ .fd = kind == FD_NONE || kind == FD_EPOLL ? first + i : -1 };
	}
	if (sys_ppoll(at, BATCH, &zero, NULL) < 0)
		return; /* a limit below BATCH: each is asked */
	for (int i = 0; i < BATCH; i++)
		if ((at[i].revents & POLLNVAL) || context_fd_is_internal(ctx, at[i].fd))
			at[i].fd = -1;
}

static bool is_duplicate(struct context *ctx, int fd, int epfd)
{
	return fd_kind_of(&ctx->fds, fd) == FD_NONE &&
	       sys_call5(__NR_kcmp, (int)ctx->pid, (int)ctx->pid, KCMP_FILE, fd, epfd) == 0;
}

/* Is the set @epfd in what may be a set, @fd? *event is with what interest; without bits and data where that cannot
 * be told. */
static bool holds_set(struct context *ctx, int fd, int epfd, struct epoll_event *event)
{
	struct kcmp_epoll_slot slot = { .efd = (uint32_t)fd, .tfd = (uint32_t)epfd };
	long ret = sys_call5(__NR_kcmp, (int)ctx->pid, (int)ctx->pid, KCMP_EPOLL_TFD, epfd, (long)&slot);
	bool denied = ret == -EPERM || ret == -ENOSYS;

	*event = (struct epoll_event){ 0 };
	if (ret != 0 && (!denied || !host_is_epoll(fd)))
		return false;
	if (host_epoll_interest(fd, epfd, event) < 0)
		return !denied;
	return event->data.u64 != WAITSET_INNER;
}

/*
 * A thread may sleep in libc's epoll_wait() on this set, which until now was the kernel's alone: an event
 * of ours brings it back (multiplex_adopt()). Whoever meets the event takes the doorbell out again.
 */
static void wake_sleepers(struct context *ctx, int epfd, const struct epoll_set *set)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET, .data.u64 = epoll_wake_tag(set) };
	uint64_t one = 1;

	sys_write(ctx->doorbell[ctx->slot], &one, sizeof(one));
	sys_epoll_ctl(epfd, EPOLL_CTL_ADD, ctx->doorbell[ctx->slot], &event);
}

/* Does another stack of the process know the set @epfd? */
static bool known_beside(const struct context *ctx, int epfd)
{
	for (unsigned i = 0; i < ctx->n_stacks; i++)
		if (ctx->stacks[i] != ctx && fd_kind_of(&ctx->stacks[i]->fds, epfd) == FD_EPOLL)
			return true;
	return false;
}

/* The set @epfd has been in the set @outer before fsock knew either: by an item of the outer one from now on. */
static void join_outer(struct context *ctx, int outer, int epfd, struct epoll_set *set, const struct epoll_event *event)
{
	bool known = fd_kind_of(&ctx->fds, outer) == FD_EPOLL;
	struct epoll_event kernels = { .events = event->events };
	struct epoll_item *item;
	struct epoll_set *of = event->events && context_items_reserve(ctx) ? get_set(ctx, outer) : NULL;

	if (!of || known_beside(ctx, outer)) {
		set->unheard = true;
		return;
	}
	if (epoll_item_find(of, (struct epoll_member){ .inner = set }, epfd))
		return; /* met by another number of the outer one */
	if (epoll_item_add(of, (struct epoll_member){ .inner = set }, epfd, event, &item) < 0) {
		set->unheard = true;
		return;
	}
	item->disarmed = !(event->events & ~(EPOLLONESHOT | EPOLLET | EPOLLWAKEUP | EPOLLEXCLUSIVE));
	item->in_kernel = true;
	kernels.data.u64 = epoll_tag(item);
	sys_epoll_ctl(outer, EPOLL_CTL_MOD, epfd, &kernels);
	if (!known)
		wake_sleepers(ctx, outer, of);
}

/* Numbers of the new set. */
struct numbers {
	int fd[NUMBERS_MAX];
	unsigned n;
};

/* The other numbers of the new set @numbers->fd[0], which mean the same description. */
static void find_duplicates(struct context *ctx, struct epoll_set *set, struct numbers *numbers)
{
	struct pollfd at[BATCH];

	for (int first = 0; first < SETS_MAX; first += BATCH) {
		see_sets(ctx, first, at);
		for (int i = 0; i < BATCH; i++) {
			if (at[i].fd < 0 || !is_duplicate(ctx, at[i].fd, numbers->fd[0]))
				continue;
			context_fd_set(ctx, at[i].fd, FD_EPOLL, set, epoll_set_generation(set));
			epoll_set_hold(set, ctx->slot);
			if (numbers->n < NUMBERS_MAX)
				numbers->fd[numbers->n++] = at[i].fd;
		}
	}
}

/* Sets that hold it, by whichever number. As deep as the kernel nests: each that is new finds its own. */
static void find_outer(struct context *ctx, struct epoll_set *set, const struct numbers *numbers)
{
	struct pollfd at[BATCH];
	struct epoll_event event;

	for (int first = 0; first < SETS_MAX; first += BATCH) {
		see_sets(ctx, first, at);
		for (int i = 0; i < BATCH; i++) {
			const struct fd_entry *e = at[i].fd < 0 ? NULL : fd_entry_at(&ctx->fds, at[i].fd);

			if (at[i].fd < 0 || (e && e->kind == FD_EPOLL && e->object == set))
				continue;
			for (unsigned k = 0; k < numbers->n; k++)
				if (holds_set(ctx, at[i].fd, numbers->fd[k], &event))
					join_outer(ctx, at[i].fd, numbers->fd[k], set, &event);
		}
	}
}

/* What happened to the set @epfd before fsock knew it. */
static void find_past(struct context *ctx, int epfd, struct epoll_set *set)
{
	struct numbers numbers = { .fd = { epfd }, .n = 1 };

	find_duplicates(ctx, set, &numbers);
	find_outer(ctx, set, &numbers);
}

/* The set behind @epfd, made at the first accelerated member. Lock held. */
static struct epoll_set *get_set(struct context *ctx, int epfd)
{
	struct fd_entry *e = fd_entry_at(&ctx->fds, epfd);
	struct epoll_set *set;
	uint64_t key;

	if (e && e->kind == FD_EPOLL)
		return e->object;
	set = context_set_alloc(ctx);
	if (!set || sys_getrandom(&key, sizeof(key), 0) != sizeof(key)) {
		slab_free(&ctx->stack->sets, set);
		return NULL;
	}
	/* Never 0: that is the key of a set that ended. */
	epoll_set_init(set, &ctx->stack->items, (key & ~EPOLL_TAG_OFFSET) | 1ULL << 63);
	epoll_set_hold(set, ctx->slot);
	list_push_back(&ctx->stack->all_sets, &set->all);
	context_fd_set(ctx, epfd, FD_EPOLL, set, epoll_set_generation(set));
	find_past(ctx, epfd, set);
	return set;
}

/* Is the member one of which the kernel's set need not know? */
static bool is_engines(const struct epoll_item *item)
{
	return item->sock && sock_is_engines(item->sock);
}

/* Into the kernel's set. It keeps a member while the socket lives, whatever became of the number it was put in with. */
static int into_kernels(struct context *ctx, int epfd, struct epoll_item *item)
{
	struct epoll_event event = { .events = item->events, .data.u64 = epoll_tag(item) };
	int number = item->fd, ret;

	if (item->sock && context_live_sock(ctx, number) != item->sock) {
		number = (int)sys_fcntl(stream_number(ctx, item->sock), F_DUPFD_CLOEXEC, ctx->fd_floor);
		if (number < 0)
			return number;
	}
	ret = sys_epoll_ctl(epfd, EPOLL_CTL_ADD, number, &event);
	item->in_kernel = ret == 0;
	if (number != item->fd)
		sys_close(number);
	return ret;
}

int context_tell_epoll(struct context *ctx, int epfd, struct epoll_item *item)
{
	int ret = 0;

	if (!is_engines(item))
		return item->in_kernel ? 0 : into_kernels(ctx, epfd, item);
	if (item->in_kernel)
		ret = sys_epoll_ctl(epfd, EPOLL_CTL_DEL, item->fd, NULL);
	item->in_kernel = false;
	return ret;
}

/* Would the kernel take a member? The descriptor may be no set. */
static int try_kernels(struct context *ctx, int epfd, struct epoll_item *item)
{
	int ret = into_kernels(ctx, epfd, item);

	return ret < 0 ? ret : context_tell_epoll(ctx, epfd, item);
}

/* A member that is ready already is news for who sleeps for the set; the kernel sees its own half only. */
static void tell_sleepers(struct context *ctx, const struct epoll_item *item)
{
	if (list_is_linked(&item->ready))
		ctx->to_ring |= epoll_set_news(item->set);
}

/* What the kernel says of this interest, whoever the member is. */
static int check_interest(int op, const struct epoll_item *item, const struct epoll_event *event)
{
	const uint32_t goes_with = EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE;

	if (op == EPOLL_CTL_MOD && ((event->events | item->events) & EPOLLEXCLUSIVE))
		return -EINVAL;
	return (event->events & EPOLLEXCLUSIVE) && (event->events & ~goes_with) ? -EINVAL : 0;
}

/* A set that holds @member is in another one that cannot be told of the stack's half. */
static void leave_unheard(struct context *ctx, struct epoll_member member)
{
	struct list *e;

	if (member.sock) {
		context_demote(ctx, member.sock, FS_REASON_option, "in an epoll set inside another that cannot be told");
		return;
	}
	member.inner->unheard = true;
	LIST_FOR_EACH(e, &member.inner->items) {
		const struct epoll_item *item = FS_CONTAINER_OF(e, struct epoll_item, of_set);

		leave_unheard(ctx, (struct epoll_member){ .sock = item->sock, .inner = item->inner });
	}
}

static int ctl_add(struct context *ctx, int epfd, int fd, struct epoll_member member, const struct epoll_event *event)
{
	bool known = fd_kind_of(&ctx->fds, epfd) == FD_EPOLL;
	struct epoll_set *set = context_items_reserve(ctx) ? get_set(ctx, epfd) : NULL;
	struct epoll_item *item;
	int ret;

	if (!set)
		return -ENOMEM;
	ret = epoll_item_add(set, member, fd, event, &item);
	if (ret < 0)
		return ret;
	if (!known && is_engines(item))
		ret = try_kernels(ctx, epfd, item);
	else if (is_engines(item))
		ret = check_interest(EPOLL_CTL_ADD, NULL, event);
	else
		ret = context_tell_epoll(ctx, epfd, item);
	if (ret < 0)
		epoll_item_remove(item);
	else
		tell_sleepers(ctx, item);
	/* Which half of a set within a set is whose, the kernel's one event for both cannot say. */
	if (ret == 0 && (set->unheard || (member.inner && (known_beside(ctx, epfd) || known_beside(ctx, fd)))))
		leave_unheard(ctx, member);
	return ret;
}

static int ctl_mod(struct context *ctx, int epfd, int fd, struct epoll_item *item,
		   const struct epoll_event *event)
{
	struct epoll_event kernel = { .events = event->events, .data.u64 = epoll_tag(item) };
	int ret;

	if (is_engines(item))
		ret = check_interest(EPOLL_CTL_MOD, item, event);
	else
		ret = sys_epoll_ctl(epfd, item->in_kernel ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &kernel);
	if (ret < 0)
		return ret;
	item->in_kernel = !is_engines(item);
	epoll_item_modify(item, event);
	tell_sleepers(ctx, item);
	return ret;
}

static int ctl_locked(struct context *ctx, int epfd, int op, int fd, struct epoll_member member,
		      const struct epoll_event *event)
{
	struct fd_entry *e = fd_entry_at(&ctx->fds, epfd);
	struct epoll_item *item = NULL;
	int ret;

	if (e && e->kind == FD_EPOLL)
		item = epoll_item_find(e->object, member, fd);
	switch (op) {
	case EPOLL_CTL_ADD:
		if (!item)
			return ctl_add(ctx, epfd, fd, member, event);
		ret = check_interest(op, item, event);
		return ret < 0 ? ret : -EEXIST;
	case EPOLL_CTL_MOD:
		return item ? ctl_mod(ctx, epfd, fd, item, event)
			    : sys_epoll_ctl(epfd, op, fd, (struct epoll_event *)event);
	case EPOLL_CTL_DEL:
		ret = item && !item->in_kernel ? 0 : sys_epoll_ctl(epfd, op, fd, NULL);
		if (item)
			epoll_item_remove(item);
		return ret;
	default:
		return -EINVAL;
	}
}

/* Neither: @fd is the kernel's alone. */
static struct epoll_member member_at(struct context *ctx, int fd)
{
	const struct fd_entry *e = fd_entry_at(&ctx->fds, fd);
	struct epoll_member member = { .sock = context_live_sock(ctx, fd) };

	if (e && e->kind == FD_EPOLL && epoll_set_generation(e->object) == e->generation)
		member.inner = e->object;
	return member;
}

/* In the stack that has the member. */
static int ctl(struct context *ctx, int epfd, int op, int fd, const struct epoll_event *event, bool waiting)
{
	struct epoll_member member = { 0 };
	int ret = MULTIPLEX_KERNEL;

	if (!multiplex_concerns(ctx, fd) || (op != EPOLL_CTL_DEL && !event) || !context_lock(ctx))
		return MULTIPLEX_KERNEL;
	if (context_live_sock(ctx, epfd)) { /* no set: the kernel says so, and the socket remains one */
		context_unlock(ctx);
		return MULTIPLEX_KERNEL;
	}
	if (op == EPOLL_CTL_ADD)
		context_check_old_descriptor(ctx, fd);
	if (context_joined(ctx))
		member = member_at(ctx, fd);
	if (member.sock || member.inner) {
		bool known = fd_kind_of(&ctx->fds, epfd) == FD_EPOLL;

		ret = ctl_locked(ctx, epfd, op, fd, member, event);
		if (ret == 0 && waiting && !known && fd_kind_of(&ctx->fds, epfd) == FD_EPOLL)
			wake_sleepers(ctx, epfd, fd_entry_at(&ctx->fds, epfd)->object);
	}
	context_ring(ctx);
	context_unlock(ctx);
	return ret;
}

/* A set got its first member in one more stack: who waits for it shall wait for that half, too. */
static void tell_waiters(struct context *home, int epfd)
{
	struct context *o;

	CONTEXT_EACH(o, home) {
		struct fd_entry *e;

		if (fd_kind_of(&o->fds, epfd) != FD_EPOLL || !sister_enter(o))
			continue;
		e = fd_entry_at(&o->fds, epfd);
		if (e->kind == FD_EPOLL)
			o->to_ring |= ((struct epoll_set *)e->object)->sleepers.slots;
		sister_leave(o);
	}
}

/* The set @fd was put into another one by the half that @known has: the others' members are the kernel's now. */
static void silence_halves(struct context *known, int fd)
{
	struct context *o;

	CONTEXT_EACH(o, known) {
		struct fd_entry *e;

		if (o == known || fd_kind_of(&o->fds, fd) != FD_EPOLL || !sister_enter(o))
			continue;
		e = fd_entry_at(&o->fds, fd);
		if (e->kind == FD_EPOLL)
			leave_unheard(o, (struct epoll_member){ .inner = e->object });
		sister_leave(o);
	}
}

int multiplex_ctl(struct context *ctx, int epfd, int op, int fd, const struct epoll_event *event, bool waiting)
{
	struct context *o = context_of(ctx, fd);
	bool known, knew;
	int ret;

	if (__builtin_expect(ctx->n_stacks == 1, 1))
		return ctl(ctx, epfd, op, fd, event, waiting);
	knew = context_knows(ctx, epfd);
	known = fd_kind_of(&o->fds, epfd) == FD_EPOLL;
	ret = ctl(o, epfd, op, fd, event, waiting && !knew);
	if (ret == 0 && op == EPOLL_CTL_ADD && fd_kind_of(&o->fds, fd) == FD_EPOLL)
		silence_halves(o, fd);
	if (ret == 0 && knew && !known && fd_kind_of(&o->fds, epfd) == FD_EPOLL)
		tell_waiters(ctx, epfd);
	return ret;
}

int multiplex_bare(struct context *ctx, int epfd, struct bare *bare, bool in)
{
	bool known = fd_kind_of(&ctx->fds, epfd) == FD_EPOLL;
	struct epoll_set *set = NULL;

	if (!context_lock(ctx))
		return -ENOMEM;
	if (!bare_is_own(bare, ctx->slot)) {
		context_leave(ctx);
		return in ? -EBADF : 0;
	}
	if (in && context_joined(ctx) && context_items_reserve(ctx))
		set = get_set(ctx, epfd);
	if (set || !in)
		bare_join(bare, set, &ctx->stack->bare_news[ctx->slot]);
	if (set && !known)
		wake_sleepers(ctx, epfd, set);
	else if (set)
		ctx->to_ring |= set->sleepers.slots;
	context_leave(ctx);
	return set || !in ? 0 : -ENOMEM;
}

/* --- epoll_wait --- */

struct wait_call {
	struct context *ctx;
	struct epoll_set *set;
	int epfd, max;
	struct epoll_event *events;
	struct stay *sisters[CONTEXT_STACKS]; /* halves of the set that other stacks have, by index */
};

/* Kernel events -> the program's, in place. Lock held. Returns how many remain. */
static int translate(struct wait_call *c, struct epoll_event *events, int n)
{
	int kept = 0;

	for (int i = 0; i < n; i++) {
		struct epoll_event out = events[i];
		struct epoll_item *item;
		bool gone;

		if (out.data.u64 == epoll_wake_tag(c->set)) {
			sys_epoll_ctl(c->epfd, EPOLL_CTL_DEL, c->ctx->doorbell[c->ctx->slot], NULL);
			continue;
		}
		item = epoll_item_from_tag(c->set, out.data.u64, &gone);
		if (gone)
			continue;
		if (item && is_engines(item))
			continue;
		if (item) {
			if (item->sock && (out.events & (EPOLLIN | EPOLLERR)) && item->sock->kernel_hot == 0)
				item->sock->kernel_hot = 1;
			if (!epoll_merge(item, events[i].events, &out))
				continue;
		}
		events[kept++] = out;
	}
	return kept;
}

/* The same where the stack's half is not to be had, in a child that did not join or when the stack is
 * broken: only what the program gave as data is put back. Items stay mapped whatever happened. */
static int untag(const struct epoll_set *set, struct epoll_event *events, int n)
{
	int kept = 0;

	for (int i = 0; i < n; i++) {
		const struct epoll_item *item;
		bool gone;

		if (events[i].data.u64 == epoll_wake_tag(set))
			continue;
		item = epoll_item_from_tag((struct epoll_set *)set, events[i].data.u64, &gone);
		if (gone)
			continue;
		events[kept] = events[i];
		if (item)
			events[kept].data.u64 = item->data;
		kept++;
	}
	return kept;
}

/* How many places the kernel's half may take, so that the stack's is not starved. */
static int kernel_share(struct wait_call *c)
{
	int room = FS_MIN(c->max, (int)BATCH);

	if (!epoll_set_ready(c->set) && !bare_any(c->set, c->ctx->slot))
		return room;
	if (room > 1)
		return (room + 1) / 2;
	c->set->stack_turn = !c->set->stack_turn;
	return c->set->stack_turn ? 0 : 1;
}

/* What the stack has, sockets and bare connections: who is first takes turns. */
static int collect(struct wait_call *c, int n)
{
	bool bare_first = c->set->batch & 1;

	bare_sort(&c->ctx->stack->bare_news[c->ctx->slot]);
	if (c->ctx->stack->local)
		bare_link_sort(&c->ctx->stack->local->bare_news[c->ctx->slot]);
	if (bare_first)
		n += (int)bare_collect(c->set, c->ctx->slot, c->events + n, (unsigned)(c->max - n));
	n += (int)epoll_collect(c->set, c->events + n, (unsigned)(c->max - n));
	if (!bare_first)
		n += (int)bare_collect(c->set, c->ctx->slot, c->events + n, (unsigned)(c->max - n));
	return n;
}

/* Ask the kernel for @share events at most. Lock held before and after, unless it breaks meanwhile: false, and *n events of
 * the kernel's are all there is. */
static bool look_at_kernel(struct wait_call *c, int share, int *n)
{
	struct epoll_set *set = c->set;
	uint32_t looks = ++set->kernel_looks;

	set->kernel_looked = c->ctx->now;
	context_unlock(c->ctx);
	*n = sys_epoll_pwait(c->epfd, c->events, share, 0, NULL);
	if (!context_lock(c->ctx)) {
		*n = *n > 0 ? untag(set, c->events, *n) : 0; /* what was fetched will not be reported again */
		return false;
	}
	/* What another look took meanwhile may still be there. A set of several stacks is looked at from each. */
	set->kernel_empty = *n == 0 && looks == set->kernel_looks && c->ctx->n_stacks == 1;
	return true;
}

/* One look at both halves. Events, or -EAGAIN for none. */
static int wait_once(struct wait_call *c, bool must)
{
	struct context *ctx = c->ctx;
	int n = 0, share = 0;

	if (!context_lock(ctx))
		return MULTIPLEX_KERNEL;
	context_calm(ctx);
	c->set->asks = true;
	context_poll(ctx);
	c->set->asks = false;
	turn_end(ctx);
	ease_end(&context_thread.ease);
	turn_drive(ctx);
	context_stir(ctx);
	if (watch_due(ctx, c->set, c->epfd, must))
		share = kernel_share(c);
	context_ring(ctx);
	if (share && !look_at_kernel(c, share, &n))
		return n ? n : MULTIPLEX_KERNEL;
	if (n < 0 && n != -EINTR) {
		context_unlock(ctx);
		return n;
	}
	epoll_begin(c->set);
	n = n > 0 ? translate(c, c->events, n) : 0;
	n = collect(c, n);
	if (n == c->max) {
		ctx->to_ring |= epoll_pass_on(c->set);
		context_ring(ctx);
	}
	turn_begin(ctx->now, n);
	context_unlock(ctx);
	return n ? n : -EAGAIN;
}

/* --- sets with members in several stacks --- */

/* The half that @o has of the set; NULL = none. Its lock held. */
static struct epoll_set *half_in(struct context *o, int epfd)
{
	const struct fd_entry *e = fd_entry_at(&o->fds, epfd);

	return e && e->kind == FD_EPOLL ? e->object : NULL;
}

/* The other halves: of @n events those that are the kernel's for their members become the program's, and behind them
 * comes what they @have. */
static int collect_sisters(const struct wait_call *c, int n, bool have)
{
	unsigned n_stacks = c->ctx->n_stacks, turn = fs_load_relaxed(&c->set->halves_turn); /* others move it on */

	for (unsigned i = 0; i < n_stacks; i++) {
		struct wait_call half = *c;

		half.ctx = c->ctx->stacks[(turn + i) % n_stacks];
		if (half.ctx == c->ctx || fd_kind_of(&half.ctx->fds, c->epfd) != FD_EPOLL)
			continue;
		if (!sister_enter(half.ctx)) { /* it broke: its members are the kernel's */
			half.set = half_in(half.ctx, c->epfd);
			n = half.set ? untag(half.set, c->events, n) : n;
			continue;
		}
		half.set = half_in(half.ctx, c->epfd);
		if (half.set) {
			if (have)
				epoll_begin(half.set);
			n = translate(&half, c->events, n);
			if (have && n < c->max)
				n = collect(&half, n);
		}
		sister_leave(half.ctx);
	}
	return n;
}

/* As wait_once(). Who is looked at first takes turns: a half that is always ready leaves room for the others. What the
 * kernel tells of the others' members is theirs to translate, so they come last where they were not first. */
static __attribute__((noinline)) int wait_once_in_all(struct wait_call *c, bool must)
{
	struct wait_call rest = *c;
	bool sisters_first = fs_fetch_add(&c->set->halves_turn, 1) & 1;
	int first = 0, n;

	if (sisters_first) {
		rest.max = (c->max + 1) / 2;
		first = collect_sisters(&rest, 0, true);
		rest.events += first;
		rest.max = c->max - first;
	}
	n = rest.max > 0 ? wait_once(&rest, must) : 0;
	if (n < 0 && n != -EAGAIN && first == 0)
		return n;
	n = first + collect_sisters(&rest, FS_MAX(n, 0), !sisters_first);
	turn_begin(c->ctx->now, n);
	return n ? n : -EAGAIN;
}

/* Is there a half that this call does not wait for yet? */
static bool has_more_halves(const struct wait_call *c)
{
	for (unsigned i = 0; i < c->ctx->n_stacks; i++) {
		struct context *o = c->ctx->stacks[i];

		if (o != c->ctx && !c->sisters[i] && fd_kind_of(&o->fds, c->epfd) == FD_EPOLL &&
		    !fs_load_relaxed(&o->stack->broken))
			return true;
	}
	return false;
}

static __attribute__((noinline)) void stay_on_halves(struct wait_call *c)
{
	for (unsigned i = 0; i < c->ctx->n_stacks; i++) {
		struct context *o = c->ctx->stacks[i];
		struct epoll_set *set;

		if (o == c->ctx || c->sisters[i] || fd_kind_of(&o->fds, c->epfd) != FD_EPOLL || !sister_enter(o))
			continue;
		set = half_in(o, c->epfd);
		c->sisters[i] = set ? stay_begin(o, 1) : NULL;
		if (c->sisters[i])
			stay_on_set(o, c->sisters[i], set);
		sister_leave(o);
	}
}

static int look(struct wait_call *c, struct blocker *b, bool must)
{
	if (__builtin_expect(c->ctx->n_stacks == 1, 1))
		return wait_once(c, must);
	if (has_more_halves(c)) {
		blocker_disarm(b);
		stay_on_halves(c);
	}
	return wait_once_in_all(c, must);
}

/* --- waiting --- */

static int wait_run(struct wait_call *c, struct stay *stay, fs_ns limit, const signal_set *mask)
{
	struct pollfd fds[1 + BLOCKER_SPARE] = { { .fd = c->epfd, .events = POLLIN } };
	BLOCKER(b);
	int ret;

	blocker_init(&b, c->ctx, limit, false, mask);
	b.stay = stay;
	b.sisters = c->sisters;
	ret = look(c, &b, true);
	if (ret != -EAGAIN || (limit == 0 && !mask))
		return ret == -EAGAIN ? 0 : ret;
	do {
		ret = blocker_pause(&b, fds, 1);
		if (ret < 0)
			break;
		ret = look(c, &b, b.slept);
		b.slept = false;
	} while (ret == -EAGAIN);
	if (ret == -ETIMEDOUT)
		ret = look(c, &b, true);
	return ret == -EAGAIN ? 0 : ret;
}

int multiplex_wait(struct context *ctx, int epfd, struct epoll_event *events, int max, fs_ns limit,
		   const signal_set *mask)
{
	struct wait_call c = { .epfd = epfd, .events = events, .max = max };
	struct stay *stay = NULL;
	struct fd_entry *e;

	ctx = c.ctx = context_of(ctx, epfd);
	if (!ctx || fd_kind_of(&ctx->fds, epfd) != FD_EPOLL || max <= 0 || !context_lock(ctx))
		return MULTIPLEX_KERNEL;
	e = fd_entry_at(&ctx->fds, epfd);
	c.set = e->kind == FD_EPOLL && context_joined(ctx) ? e->object : NULL;
	if (c.set)
		stay = stay_begin(ctx, 1);
	if (stay)
		stay_on_set(ctx, stay, c.set);
	context_unlock(ctx);
	if (!c.set)
		return MULTIPLEX_KERNEL;
	return stay ? wait_run(&c, stay, limit, mask) : -ENOMEM;
}

static int adopt(struct context *ctx, int epfd, struct epoll_event *events, int n)
{
	struct wait_call c = { .ctx = ctx, .epfd = epfd };
	struct fd_entry *e;
	bool locked;

	if (!ctx || n <= 0 || fd_kind_of(&ctx->fds, epfd) != FD_EPOLL)
		return n;
	locked = context_lock(ctx);
	e = fd_entry_at(&ctx->fds, epfd);
	if (e->kind == FD_EPOLL) {
		c.set = e->object;
		if (locked && context_joined(ctx)) {
			epoll_begin(c.set);
			n = translate(&c, events, n);
		} else {
			n = untag(c.set, events, n);
		}
	}
	if (locked)
		context_unlock(ctx);
	return n;
}

int multiplex_adopt(struct context *ctx, int epfd, struct epoll_event *events, int n)
{
	struct context *o;

	CONTEXT_EACH(o, ctx)
		n = adopt(o, epfd, events, n);
	return n;
}

/* --- exec --- */

/* Give the kernel's half of @item the program's data, or (@ours) back what tells us of the item. */
static void name_member(int epfd, const struct epoll_item *item, bool ours)
{
	struct epoll_event event = { .events = item->events, .data.u64 = ours ? epoll_tag(item) : item->data };

	if (item->disarmed) /* as the kernel leaves one that has fired: the stack's half may have been the one */
		event.events &= EPOLLONESHOT | EPOLLET | EPOLLWAKEUP;
	if (!(item->events & EPOLLEXCLUSIVE)) {
		sys_epoll_ctl(epfd, EPOLL_CTL_MOD, item->fd, &event);
		return;
	}
	sys_epoll_ctl(epfd, EPOLL_CTL_DEL, item->fd, NULL); /* which cannot be modified */
	sys_epoll_ctl(epfd, EPOLL_CTL_ADD, item->fd, &event);
}

static void name_members(struct context *ctx, bool ours)
{
	if (ctx->slot >= STATS_MAX_PROCS || !context_lock(ctx))
		return; /* a child that made no call: its sets are its parent's, too */
	context_forget_gone_heirs(ctx, true);
	for (int fd = 0; context_joined(ctx) && fd <= ctx->fds.highest; fd++) {
		struct fd_entry *e = fd_entry_at(&ctx->fds, fd);
		struct epoll_set *set = e && e->kind == FD_EPOLL ? e->object : NULL;
		struct list *l;

		if (!set || !epoll_set_is_alone(set, ctx->slot) || !context_fd_stays_open(fd))
			continue;
		LIST_FOR_EACH(l, &set->items) {
			const struct epoll_item *item = FS_CONTAINER_OF(l, struct epoll_item, of_set);

			if (item->in_kernel)
				name_member(fd, item, ours);
		}
	}
	context_unlock(ctx);
}

void multiplex_before_exec(struct context *ctx)
{
	name_members(ctx, false);
}

void multiplex_exec_failed(struct context *ctx)
{
	name_members(ctx, true);
}
