/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * block.c - see block.h.
 *
 * Signals: the first QUIET_NS of a wait run without any system call, so that a ping-pong pays none; a
 * handler that runs in this window counts as having run before the call. After that every signal is
 * blocked and let in by signal_admit(), which tells EINTR from a restart.
 */
#include "context/block.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "base/barrier.h"
#include "context/bare.h"
#include "context/helper.h"
#include "context/internal.h"
#include "context/sister.h"
#include "context/stay.h"
#include "context/thread.h"
#include "context/turn.h"
#include "socket/bare.h"
#include "socket/epoll.h"
#include "sys/sys.h"

#define QUIET_NS FS_US(10)
#define SLICE_NS FS_US(20)
#define HOLD_NS FS_US(20) /* of a wait before ACKs that were held for an answer leave */
#define LINGER_NS FS_SEC(1)
#define BLIND_NS FS_MS(1) /* of sleep where no doorbell or no signal can end it */
#define DEAF_NS FS_MS(10) /* where no signal can, since some wait that the caller blocks */
#define HELPER_SOON FS_MS(20) /* a helper that looks later than that hears of a thread that goes on to the program */
#define UNTOLD_NS FS_MS(2) /* of sleep before the ports' figures are published */

/* What the sleep set says: a port's owner ended; there is something to look at about links. */
enum { OWNER_ENDED = 1, LINK_NEWS = 2 };

void blocker_init(struct blocker *b, struct context *ctx, fs_ns limit, bool restartable, const signal_set *mask)
{
	memset(b, 0, sizeof(*b));
	b->ctx = ctx;
	b->limit = limit;
	b->restartable = restartable;
	b->spin_allowed = true;
	if (mask) {
		b->mask = *mask;
		b->user_mask = true;
	}
}

/* Another thread polls, and there is no processor left to do the same. */
static bool gives_way(const struct blocker *b)
{
	return turn_driven(b->ctx) && turn_crowds(b->ctx);
}

/* How long to spin. */
static fs_ns budget(const struct blocker *b, fs_ns now)
{
	if (!b->spin_allowed || (b->ctx->n_handles == 0 && !b->ctx->stack->local))
		return 0;
	if (gives_way(b) || rival_is_there(&context_thread.rival, now))
		return 0;
	if (b->ctx->spin_limit == INT64_MAX)
		return FS_SEC(3600);
	return spin_budget(&context_thread.spin, b->ctx->spin_limit);
}

static void block_signals(struct blocker *b)
{
	if (b->blocked)
		return;
	b->saved = signal_block_all();
	if (!b->user_mask)
		b->mask = b->saved;
	b->blocked = true;
}

/* Let pending signals in. 0 or -EINTR. */
static int admit(struct blocker *b)
{
	enum signal_result result = signal_admit(b->mask);

	b->is_deaf = result == SIGNAL_BLOCKED;
	if (result == SIGNAL_NONE || b->is_deaf || (result == SIGNAL_RESTART && b->restartable))
		return 0;
	fs_fetch_add(&b->ctx->stack->counter[FS_CTR_eintr], 1);
	return -EINTR;
}

/* --- sleeping --- */

/* This thread's epoll set over the doorbell and the ports, brought up to date. Lock held. Without a
 * descriptor left for it there is none, and sleep_now() sleeps in slices. */
static void refresh_sleep_set(struct context *ctx)
{
	struct context_sleep *t = &context_thread.sleep[ctx->index];
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };

	if (t->epfd == 0) {
		int fd = sys_fd_raise(sys_epoll_create1(EPOLL_CLOEXEC), ctx->fd_floor);

		if (fd < 0)
			return;
		t->epfd = fd;
		context_fd_set(ctx, fd, FD_OURS, t, 0); /* the program must not close it */
		pthread_setspecific(ctx->thread_key, &context_thread); /* so that the thread's end closes it */
		t->ports_serial = ctx->stack->ports_serial - 1;
		sys_epoll_ctl(fd, EPOLL_CTL_ADD, ctx->doorbell[ctx->slot], &event);
	}
	if (t->ports_serial == ctx->stack->ports_serial)
		return;
	event.events = EPOLLIN;
	/* An AF_XDP socket does not tell that its interface went; the link's event does. */
	sys_epoll_ctl(t->epfd, EPOLL_CTL_ADD, ctx->monitor.nl.fd, &event);
	for (unsigned i = 0; i < FS_ARRAY_SIZE(ctx->icmp); i++)
		if (ctx->icmp[i] > 0)
			sys_epoll_ctl(t->epfd, EPOLL_CTL_ADD, ctx->icmp[i], &event);
	event.events = EPOLLIN | EPOLLET;
	event.data.u64 = OWNER_ENDED;
	for (unsigned i = 0; i < IP_MAX_PORTS; i++)
		if (ctx->owner[i].pid)
			sys_epoll_ctl(t->epfd, EPOLL_CTL_ADD, ctx->owner[i].fd, &event);
	event = (struct epoll_event){ .events = EPOLLIN };
	for (unsigned i = 0; i < ctx->n_handles; i++) {
		struct provider_handle *h = &ctx->handle[i];

		/* A descriptor that is in already answers EEXIST; a closed one left by itself. */
		if (h->ops && sys_epoll_ctl(t->epfd, EPOLL_CTL_ADD, h->ops->wait_fd(h), &event) == -EEXIST && t->ports_off)
			sys_epoll_ctl(t->epfd, EPOLL_CTL_MOD, h->ops->wait_fd(h), &event);
	}
	if (ctx->stack->local)
		local_watch(ctx, t->epfd, LINK_NEWS);
	t->ports_off = false;
	t->ports_serial = ctx->stack->ports_serial;
}

static void note_sleeper(const struct stay_object *o, unsigned slot, bool asleep)
{
	struct sleepers *sleepers = o->sock ? &o->sock->sleepers : &o->set->sleepers;

	if (o->bare)
		bare_asleep(o->bare, asleep);
	else if (asleep)
		sleepers_add(sleepers, slot);
	else
		sleepers_remove(sleepers, slot);
}

/* What the sleep is for in the stack @ctx; NULL = nothing. */
static struct stay *stay_in(const struct blocker *b, const struct context *ctx)
{
	if (ctx == b->ctx)
		return b->stay;
	return b->sisters ? b->sisters[ctx->index] : NULL;
}

/* One more or one less sleeper. Lock held. */
static void count_sleeper(const struct blocker *b, struct context *ctx, bool asleep)
{
	const struct stay *stay = stay_in(b, ctx);
	struct stack_proc *p = &ctx->stack->proc[ctx->slot];

	for (unsigned i = 0; stay && i < stay->n; i++)
		note_sleeper(&stay->on[i], ctx->slot, asleep);
	p->sleepers += asleep ? 1 : UINT32_MAX;
	if (b->light)
		p->light += asleep ? 1 : UINT32_MAX;
}

/* Figures as they are now, in case this is a long sleep. */
static void tell(struct blocker *b)
{
	for (unsigned i = 0; i < b->stay->n; i++) {
		const struct stay_object *o = &b->stay->on[i];

		if (o->sock)
			sock_publish(o->sock);
		else if (o->bare && o->bare->conn)
			bare_record_publish(b->ctx, o->bare->conn);
	}
	b->untold = !context_publish_idle(b->ctx);
}

/* Do frames wake this thread? */
static void watch_ports(struct context *ctx, bool on)
{
	struct context_sleep *t = &context_thread.sleep[ctx->index];
	struct epoll_event event = { .events = on ? EPOLLIN : 0 };

	if (t->ports_off == !on || t->epfd <= 0)
		return;
	t->ports_off = !on;
	for (unsigned i = 0; i < ctx->n_handles; i++)
		if (ctx->handle[i].ops)
			sys_epoll_ctl(t->epfd, EPOLL_CTL_MOD, ctx->handle[i].ops->wait_fd(&ctx->handle[i]), &event);
}

/* It looks after frames and timers while it sleeps. */
static void take_watch(struct blocker *b, struct context *ctx)
{
	turn_resign(ctx);
	context_calm(ctx);
	if (segments_held(ctx))
		segments_release(ctx, FS_NEVER);
	context_stir(ctx);
	b->timers_at = FS_MIN(b->timers_at, segments_next(ctx));
}

/* What comes over links is told of to who asked. */
static void ask(const struct stay *stay)
{
	for (unsigned i = 0; stay && i < stay->n; i++) {
		if (stay->on[i].bare)
			bare_ask_link(stay->on[i].bare);
		if (!stay->on[i].sock)
			continue;
		/* One at a time: who is ready for either is not asked, and it is not known here which of them is waited for. */
		sock_ask(stay->on[i].sock, POLLIN);
		sock_ask(stay->on[i].sock, POLLOUT);
	}
}

/* The stack @ctx knows that this thread sleeps. Lock held: who delivers holds it too, so it is ordered with the look at
 * the queues that follows. */
static void arm_in(struct blocker *b, struct context *ctx)
{
	if (b->light)
		helper_heed(ctx, ctx->now + turn_watch_after(ctx));
	else
		take_watch(b, ctx);
	watch_ports(ctx, !b->light);
	count_sleeper(b, ctx, true);
	for (unsigned i = 0; i < ctx->n_handles && !b->light; i++)
		if (ctx->handle[i].ops)
			ctx->handle[i].ops->arm(&ctx->handle[i]);
	if (__builtin_expect(ctx->stack->local != NULL, 0)) {
		local_arm(ctx);
		ask(stay_in(b, ctx));
		b->timers_at = FS_MIN(b->timers_at, local_next(ctx));
	}
}

static __attribute__((noinline)) void arm_sisters(struct blocker *b)
{
	for (unsigned i = 0; i < b->ctx->n_stacks; i++) {
		struct context *o = b->ctx->stacks[i];

		if (o == b->ctx || !sister_enter(o))
			continue;
		refresh_sleep_set(o);
		o->now = host_clock_now(&o->clock);
		arm_in(b, o);
		b->armed_sisters |= (uint8_t)(1u << i);
		sister_leave(o);
	}
}

/* Publish "sleeping". */
static int arm(struct blocker *b)
{
	struct context *ctx = b->ctx;

	if (!context_lock(ctx))
		return CONTEXT_KERNEL;
	if (!stay_is_ours(b->stay)) {
		context_unlock(ctx);
		return -EINTR;
	}
	refresh_sleep_set(ctx);
	tell(b);
	b->light = context_thread.sleep[ctx->index].epfd > 0 && turn_may_rest(ctx);
	b->timers_at = FS_NEVER;
	arm_in(b, ctx);
	b->armed = true;
	context_unlock(ctx);
	if (__builtin_expect(ctx->n_stacks > 1, 0))
		arm_sisters(b);
	return 0;
}

/* Lock held. */
static void disarm_in(struct blocker *b, struct context *ctx)
{
	count_sleeper(b, ctx, false);
	if (!b->light)
		helper_heed(ctx, ctx->now + (turn_relied_on(ctx) ? 2 * TURN_LATE_NS : HELPER_SOON));
	for (unsigned i = 0; i < ctx->n_handles && !b->light; i++)
		if (ctx->handle[i].ops)
			ctx->handle[i].ops->disarm(&ctx->handle[i]);
}

static void disarm(struct blocker *b)
{
	if (!b->armed)
		return;
	b->armed = false;
	disarm_in(b, b->ctx);
	if (b->owner_ended)
		b->ctx->next_look = 0; /* the call's next turn takes over */
	if (b->link_news)
		b->ctx->local.next_look = 0;
	b->owner_ended = b->link_news = false;
}

/* No lock held. */
static __attribute__((noinline)) void disarm_sisters(struct blocker *b)
{
	for (unsigned i = 0; b->armed_sisters; i++, b->armed_sisters >>= 1) {
		struct context *o = b->ctx->stacks[i];

		if (!(b->armed_sisters & 1) || !sister_enter(o))
			continue;
		disarm_in(b, o);
		sister_leave(o);
	}
}

static struct timespec to_timespec(fs_ns ns)
{
	return (struct timespec){ .tv_sec = ns / FS_SEC(1), .tv_nsec = ns % FS_SEC(1) };
}

/* Entries behind the call's own: signals, and what this thread sleeps on of each stack. Returns how many. */
static unsigned own_entries(const struct blocker *b, struct pollfd *fds)
{
	const struct context *ctx = b->ctx;

	fds[0] = (struct pollfd){ .fd = b->is_deaf ? -1 : ctx->signal_fd, .events = POLLIN };
	for (unsigned i = 0; i < ctx->n_stacks; i++) {
		int epfd = fs_load_relaxed(&context_thread.sleep[i].epfd);

		fds[1 + i] = (struct pollfd){ .fd = epfd > 0 ? epfd : -1, .events = POLLIN };
	}
	return 1 + ctx->n_stacks;
}

static void note_rung(struct blocker *b, uint64_t what)
{
	b->owner_ended |= what == OWNER_ENDED;
	b->link_news |= what == LINK_NEWS;
}

/* Clears the doorbells' edges; what the ports have stays. */
static void answer_bells(struct blocker *b, const struct pollfd *sets, unsigned n)
{
	struct epoll_event rung[4];

	for (unsigned i = 0; i < n; i++) {
		int events = sets[i].revents ? sys_epoll_pwait(sets[i].fd, rung, FS_ARRAY_SIZE(rung), 0, NULL) : 0;

		for (int k = 0; k < events; k++)
			note_rung(b, rung[k].data.u64);
	}
}

/* Would nothing of our own end the sleep? @own: own_entries() made them. */
static bool is_blind(const struct blocker *b, const struct pollfd *own)
{
	uint32_t stacks = 1u << b->ctx->index | b->armed_sisters;
	bool blind = own[0].fd < 0 && !b->is_deaf;

	for (unsigned i = 0; i < b->ctx->n_stacks; i++)
		blind |= (stacks & 1u << i) && own[1 + i].fd < 0;
	return blind;
}

/* It slept. Signals are looked at where it was told of some, or nobody could tell. */
static int hear(struct blocker *b, const struct pollfd *signals)
{
	b->unheard = false;
	return signals->revents || signals->fd < 0 ? admit(b) : 0;
}

static int sleep_now(struct blocker *b, struct pollfd *fds, unsigned n)
{
	struct context *ctx = b->ctx;
	struct timespec limit, *until = NULL;
	unsigned own = own_entries(b, fds + n);
	int saved = errno;
	fs_ns left = is_blind(b, fds + n) ? BLIND_NS : b->is_deaf ? DEAF_NS : FS_NEVER;

	if (fs_load_relaxed(&ctx->stack->lingering))
		left = FS_MIN(left, LINGER_NS); /* heirs that exec or end do not ring */
	if (b->untold)
		left = FS_MIN(left, UNTOLD_NS);
	if (b->limit >= 0)
		left = fs_sooner(left, fs_left(b->deadline, host_clock_kernel()));
	if (b->timers_at != FS_NEVER)
		left = fs_sooner(left, fs_left(b->timers_at, host_clock_now(&ctx->clock)));
	if (left != FS_NEVER) {
		limit = to_timespec(left);
		until = &limit;
	}
	fs_fetch_add(&ctx->stack->counter[FS_CTR_sleeps], 1);
	if (b->light)
		fs_fetch_add(&ctx->stack->counter[FS_CTR_sleeps_light], 1);
	b->slept = b->ever_slept = true;
	/* libc's own: a cancellation point. With signals blocked it fails only where there are more entries than
	 * RLIMIT_NOFILE lets there be, so sleep without our own, or without any. */
	if (ctx->libc_ppoll(fds, n + own, until, NULL) < 0) {
		limit = to_timespec(FS_MIN(left, BLIND_NS));
		if (ctx->libc_ppoll(fds, n, &limit, NULL) < 0)
			ctx->libc_ppoll(NULL, 0, &limit, NULL);
		errno = saved;
		fds[n].fd = -1;
		for (unsigned i = 1; i < own; i++)
			fds[n + i].revents = POLLIN;
	}
	answer_bells(b, fds + n + 1, own - 1);
	if (context_lock(ctx)) {
		disarm(b);
		context_unlock(ctx);
	}
	b->armed = false; /* without the lock: on a broken stack nobody counts sleepers */
	if (__builtin_expect(b->armed_sisters, 0))
		disarm_sisters(b);
	return hear(b, fds + n);
}

/* Has the stack nothing of what it waits for? */
static bool is_kernels_alone(const struct stay *stay)
{
	for (unsigned i = 0; stay && i < stay->n; i++)
		if (!stay->on[i].sock || stay->on[i].sock->way != SOCK_KERNEL)
			return false;
	return true;
}

/* --- the ladder --- */

/* From here on the limit is measured by the kernel's clock, which no wait ends before. */
static void fix_deadline(struct blocker *b, fs_ns now)
{
	fs_ns passed = fs_load_relaxed(&b->ctx->clock.serial) == b->clock_serial ? now - b->started : 0;

	if (b->deadline == 0)
		b->deadline = host_clock_kernel() + FS_MAX(b->limit - passed, (fs_ns)0);
}

/* Was the processor taken from this thread since it asked last? A turn can be long by itself. */
static bool was_preempted(const struct blocker *b)
{
	struct rival *rival = &context_thread.rival;
	int64_t before = rival->switches;
	struct rusage usage;

	if (fs_load_relaxed(&b->ctx->confined) || sys_call2(__NR_getrusage, RUSAGE_THREAD, (long)&usage) < 0)
		return false;
	rival->switches = usage.ru_nivcsw + 1;
	return before && rival->switches != before;
}

/* Who spins for the processor of one that has work holds it up, and itself: it sleeps. */
static inline void mind_others(struct blocker *b, fs_ns now)
{
	if (__builtin_expect(now - b->turned >= RIVAL_LOST_NS && now < b->spin_until, 0) && was_preempted(b)) {
		rival_met(&context_thread.rival, now);
		b->spin_until = b->started;
	}
	b->turned = now;
}

/* Is the limit over? The counter may run ahead of the kernel's clock by what its rate is off. */
static bool is_over(struct blocker *b, fs_ns now)
{
	if (now < b->due)
		return false;
	fix_deadline(b, now);
	return host_clock_kernel() >= b->deadline;
}

static void begin(struct blocker *b, fs_ns now)
{
	b->started = now;
	b->clock_serial = fs_load_relaxed(&b->ctx->clock.serial);
	b->due = b->limit < 0 ? FS_NEVER : now + FS_MIN(b->limit, FS_NEVER - now);
	if (b->limit >= 0 && host_clock_guesses(&b->ctx->clock))
		fix_deadline(b, now);
	b->spin_until = now + budget(b, now);
	b->quiet_until = FS_MIN(now + QUIET_NS, b->spin_until);
	b->next_slice = b->turned = now;
	if (b->user_mask)
		b->quiet_until = now; /* a signal that the given mask lets in is due at once */
}

/* The steps in which the thread may be cancelled. */
static int slow_step(struct blocker *b, struct pollfd *fds, unsigned n, fs_ns now)
{
	int ret;

	pthread_testcancel(); /* a thread that only spins would never be asked */
	block_signals(b);
	if (b->limit >= 0)
		fix_deadline(b, now);
	if (now < b->spin_until && gives_way(b))
		b->spin_until = b->started;
	if (now < b->spin_until) {
		b->next_slice = now + SLICE_NS;
		return admit(b);
	}
	if (b->armed)
		return sleep_now(b, fds, n);
	/* Who sleeps is told of them; but the try behind the last one may have kept it from that. */
	ret = b->unheard ? admit(b) : 0;
	b->unheard = true;
	return ret < 0 ? ret : arm(b);
}

/* A signal that the given mask lets in counts even where no time was given. */
static int time_is_up(struct blocker *b)
{
	int ret = 0;

	if (b->user_mask) {
		block_signals(b);
		ret = admit(b);
	}
	return ret < 0 ? ret : -ETIMEDOUT;
}

/* The program has nothing to say: it waits. */
static __attribute__((noinline)) void release_acks(struct context *ctx)
{
	if (!context_lock(ctx))
		return;
	context_calm(ctx);
	segments_release(ctx, FS_NEVER);
	context_leave(ctx);
}

/* It waits in the midst of a turn. */
static __attribute__((noinline)) void answer_all(struct context *ctx)
{
	if (!context_lock(ctx))
		return;
	ctx->now = host_clock_now(&ctx->clock);
	turn_end(ctx);
	context_unlock(ctx);
	if (ctx->n_stacks > 1)
		sisters_flush(ctx);
}

static void cancelled(void *arg)
{
	blocker_end(arg);
}

int blocker_pause(struct blocker *b, struct pollfd *fds, unsigned n)
{
	fs_ns now = host_clock_now(&b->ctx->clock);
	int ret;

	/* The program's own call can wait for that, and its filter may kill for what is asked here. */
	if (__builtin_expect(fs_load_relaxed(&b->ctx->confined), 0) && is_kernels_alone(b->stay))
		return CONTEXT_KERNEL;
	if (b->started == 0)
		begin(b, now);
	if (__builtin_expect(context_thread.turn.since, 0))
		answer_all(b->ctx);
	if (is_over(b, now))
		return time_is_up(b);
	if (__builtin_expect(segments_held(b->ctx), 0) && now - b->started >= HOLD_NS)
		release_acks(b->ctx);
	mind_others(b, now);
	if (now < b->spin_until && (now < b->quiet_until || now < b->next_slice)) {
		fs_cpu_relax();
		return 0;
	}
	pthread_cleanup_push(cancelled, b);
	ret = slow_step(b, fds, n, now);
	pthread_cleanup_pop(0);
	return ret;
}

/* Was the spin worth it? */
static void learn(const struct blocker *b)
{
	fs_ns waited;

	if (b->started == 0 || b->spin_until == b->started || b->ctx->spin_limit == 0 || !b->spin_allowed)
		return;
	fs_fetch_add(&b->ctx->stack->counter[b->ever_slept ? FS_CTR_spins_missed : FS_CTR_spins_hit], 1);
	if (b->ctx->spin_limit == INT64_MAX)
		return;
	waited = host_clock_now(&b->ctx->clock) - b->started;
	spin_learn(&context_thread.spin, b->ctx->spin_limit, waited, b->ever_slept);
}

void blocker_disarm(struct blocker *b)
{
	if (b->armed && context_lock(b->ctx)) {
		disarm(b);
		context_unlock(b->ctx);
	}
	disarm_sisters(b);
}

static __attribute__((noinline)) void end_in_sisters(struct blocker *b)
{
	disarm_sisters(b);
	for (unsigned i = 0; b->sisters && i < b->ctx->n_stacks; i++) {
		struct context *o = b->ctx->stacks[i];

		if (!b->sisters[i])
			continue;
		if (sister_enter(o)) {
			stay_end(o, b->sisters[i]);
			sister_leave(o);
		} else {
			stay_drop(b->sisters[i]);
		}
		b->sisters[i] = NULL;
	}
}

void blocker_end(struct blocker *b)
{
	struct context *ctx = b->ctx;

	if (!ctx)
		return;
	if (b->started)
		learn(b);
	if (context_lock(ctx)) {
		disarm(b);
		stay_end(ctx, b->stay);
		context_unlock(ctx);
	} else {
		stay_drop(b->stay);
	}
	if (__builtin_expect(ctx->n_stacks > 1, 0))
		end_in_sisters(b);
	if (b->blocked)
		signal_restore(b->saved);
	b->ctx = NULL;
}
