/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * helper.c - see helper.h.
 */
#include "context/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "context/handover.h"
#include "context/internal.h"
#include "context/sister.h"
#include "context/thread.h"
#include "context/turn.h"
#include "sys/sys.h"

#define QUIET_NS FS_MS(5)     /* without a call from the program before it is taken to compute */
#define LOOK_NS FS_MS(10)     /* between looks whether it still calls */
#define LOOK_LAST_NS FS_SEC(1) /* the same while nothing changes at all */
#define COMPANY_NS FS_MS(200) /* between looks at the other processes of the stack, if there are any */
#define BIRTH_NS FS_SEC(1)    /* for it to begin, however busy the machine */
#define BUSY_NS FS_MS(1)      /* until another try when somebody else has the lock: who has it drives */

enum {
	STACK_BYTES = 128 << 10,
	HELD_LOOKS = 100, /* tries at a lock that the same thread has before it is asked whether that lives */
};

/* context.helper.state. */
enum { STATE_NONE, STATE_CHANGING, STATE_RUNNING };

/* What a look at the stack decides. */
struct plan {
	fs_ns until;  /* sleep so long... */
	bool watches; /* ... or until frames come */
};

/* --- deciding --- */

/* Lock held. The descriptors of ports and of ICMP errors, once each. */
static void refresh_watch(struct context *ctx)
{
	struct epoll_event event = { .events = EPOLLIN };

	if (ctx->helper.ports_serial == ctx->stack->ports_serial)
		return;
	ctx->helper.ports_serial = ctx->stack->ports_serial;
	for (unsigned i = 0; i < ctx->n_handles; i++)
		if (ctx->handle[i].ops)
			sys_epoll_ctl(ctx->helper.epfd, EPOLL_CTL_ADD, ctx->handle[i].ops->wait_fd(&ctx->handle[i]), &event);
	for (unsigned i = 0; i < FS_ARRAY_SIZE(ctx->icmp); i++)
		if (ctx->icmp[i] > 0)
			sys_epoll_ctl(ctx->helper.epfd, EPOLL_CTL_ADD, ctx->icmp[i], &event);
	if (ctx->stack->local)
		local_watch(ctx, ctx->helper.epfd, 0);
}

/* Lock held. Frames that come from here on wake it. False: there are some already. */
static bool arm(struct context *ctx, bool on)
{
	bool work = false;

	for (unsigned i = 0; i < ctx->n_handles; i++) {
		struct provider_handle *h = &ctx->handle[i];

		if (h->ops && on)
			work |= h->ops->arm(h);
		else if (h->ops)
			h->ops->disarm(h);
	}
	if (on && ctx->stack->local)
		local_arm(ctx);
	return !work;
}

/* Lock held. While the program @is_away no answer of its is at hand that ACKs could wait for. */
static void drive(struct context *ctx, bool is_away)
{
	context_calm(ctx);
	context_take(ctx);
	if (is_away && segments_held(ctx))
		segments_release(ctx, FS_NEVER);
	if (ctx->to_tell)
		sisters_tell(ctx);
	context_stir(ctx);
	context_ring(ctx);
}

/* Do other processes share the stack, or will they? */
static bool has_company(const struct context *ctx)
{
	for (unsigned i = 0; i < STATS_MAX_PROCS; i++)
		if (i != ctx->slot && ctx->stack->proc[i].pid)
			return true;
	return ctx->stack->lingering;
}

/* Lock held. Nobody else may look for long what a process that was killed had open. */
static void look_at_company(struct context *ctx, fs_ns now)
{
	if (now < ctx->helper.next_look || !has_company(ctx))
		return;
	ctx->helper.next_look = now + COMPANY_NS;
	context_bury_dead(ctx);
	context_look_at_heirs(ctx, false);
}

/* Lock held. */
static struct plan look(struct context *ctx)
{
	struct stack *s = ctx->stack;
	fs_ns now = host_clock_now(&ctx->clock), quiet = now - s->driven_at;
	struct plan p = { .watches = quiet >= (turn_relied_on(ctx) ? TURN_LATE_NS : QUIET_NS) && !turn_is_watched(ctx) };

	ctx->helper.until = 0; /* what it does itself needs no kick */
	ctx->now = ctx->env.now = now;
	look_at_company(ctx, now);
	if (p.watches || FS_MIN(segments_next(ctx), local_next(ctx)) <= now)
		drive(ctx, p.watches);
	if (p.watches) {
		refresh_watch(ctx);
		if (!arm(ctx, true))
			drive(ctx, true);
		context_ring(ctx); /* what came over links meanwhile */
		p.until = now + LOOK_LAST_NS;
	} else {
		/* Nothing but sleepers for a long time: look less and less often. */
		p.until = now + FS_MAX(LOOK_NS, FS_MIN(quiet, LOOK_LAST_NS));
	}
	if (has_company(ctx))
		p.until = FS_MIN(p.until, FS_MAX(ctx->helper.next_look, now + LOOK_NS));
	p.until = FS_MIN(p.until, FS_MIN(FS_MIN(segments_next(ctx), local_next(ctx)), turn_look(ctx)));
	ctx->helper.until = p.until;
	return p;
}

/* --- the thread --- */

/* True: what it watches rang. */
static bool rest(struct context *ctx, const struct plan *p)
{
	fs_ns left = fs_left(p->until, host_clock_now(&ctx->clock));
	struct timespec limit = { .tv_sec = left / FS_SEC(1), .tv_nsec = left % FS_SEC(1) };
	struct pollfd fds[] = { { .fd = ctx->helper.kick, .events = POLLIN },
				{ .fd = p->watches ? ctx->helper.epfd : -1, .events = POLLIN } };
	struct epoll_event rung[4];
	uint64_t kicks;

	sys_ppoll(fds, FS_ARRAY_SIZE(fds), &limit, NULL);
	if (fds[0].revents)
		sys_read(ctx->helper.kick, &kicks, sizeof(kicks));
	if (fds[1].revents)
		sys_epoll_pwait(ctx->helper.epfd, rung, FS_ARRAY_SIZE(rung), 0, NULL); /* bells' edges are seen then */
	return fds[1].revents;
}

/* What needs the program's rights is for its threads: those that sleep in fsock look at it. */
static void wake_program(const struct context *ctx)
{
	uint64_t one = 1;

	if (ctx->slot < STATS_MAX_PROCS && ctx->doorbell[ctx->slot] >= 0)
		sys_write(ctx->doorbell[ctx->slot], &one, sizeof(one));
}

/* Who has the lock drives, if it lives: who waits for the lock finds out (lock.c), and nobody else may. */
static bool may_lock(struct context *ctx)
{
	uint32_t holder = fs_load_relaxed(&ctx->stack->lock.owner);

	if (holder != ctx->helper.holder)
		ctx->helper.looks = 0;
	ctx->helper.holder = holder;
	return holder == 0 || ++ctx->helper.looks > HELD_LOOKS;
}

static bool step(struct context *ctx)
{
	struct plan p = { .until = host_clock_now(&ctx->clock) + BUSY_NS };
	bool rung;

	if (fs_load_relaxed(&ctx->helper.stop))
		return false;
	if (__builtin_expect(ctx->n_stacks > 1, 0))
		sister_follow(ctx);
	if (fs_load_relaxed(&ctx->stack->broken)) {
		if (context_abandon(ctx)) /* the program may compute, or wait for something else */
			return false;
		rest(ctx, &p);
		return true;
	}
	if (handover_is_asked(ctx))
		wake_program(ctx);
	if (may_lock(ctx) && context_lock_unless_stopped(ctx)) {
		p = look(ctx);
		context_unlock(ctx);
	}
	rung = rest(ctx, &p);
	if (p.watches && context_lock(ctx)) {
		if (rung)
			ctx->local.next_look = 0;
		arm(ctx, false);
		context_unlock(ctx);
	}
	return true;
}

/* A thread's own: the program keeps what it has. Who @follows has what it must not be refused: libc aborts the
 * program then. */
static void drop_capabilities(bool follows)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	uint32_t keep = follows ? 1U << CAP_SETUID | 1U << CAP_SETGID : 0;

	memset(data, 0, sizeof(data));
	if (keep && sys_call2(__NR_capget, (long)&header, (long)data) == 0)
		keep &= data[0].permitted;
	memset(data, 0, sizeof(data));
	data[0].effective = data[0].permitted = keep;
	sys_call2(__NR_capset, (long)&header, (long)data);
	sys_call5(__NR_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
}

static void *run(void *arg)
{
	struct context *ctx = arg;

	fs_store_release(&ctx->helper.tid, context_tid());
	sys_call5(__NR_prctl, PR_SET_NAME, (long)"fsock-helper", 0, 0, 0);
	drop_capabilities(ctx->helper.follows);
	while (step(ctx))
		continue;
	return NULL;
}

/* --- coming and going --- */

static void close_set(struct context *ctx)
{
	if (ctx->helper.epfd > 0)
		sys_close(ctx->helper.epfd);
	ctx->helper.epfd = 0;
}

static void close_descriptors(struct context *ctx)
{
	if (ctx->helper.kick > 0)
		sys_close(ctx->helper.kick);
	ctx->helper.kick = 0;
	close_set(ctx);
}

static int start(struct context *ctx)
{
	pthread_attr_t attr;
	sigset_t all, saved;
	pthread_t thread;
	int ret;

	if (ctx->helper.kick <= 0)
		ctx->helper.kick = sys_fd_raise(sys_eventfd(0, O_CLOEXEC | O_NONBLOCK), ctx->fd_floor);
	ctx->helper.epfd = sys_fd_raise(sys_epoll_create1(EPOLL_CLOEXEC), ctx->fd_floor);
	if (ctx->helper.kick < 0 || ctx->helper.epfd < 0)
		return -EMFILE;
	ctx->helper.ports_serial = ctx->stack->ports_serial - 1;
	ctx->helper.until = 0;
	fs_store_relaxed(&ctx->helper.stop, false);
	fs_store_release(&ctx->helper.tid, 0);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	/* Signals are the program's threads' affair; libc keeps its own two out of the set. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &saved);
	ret = pthread_create(&thread, &attr, run, ctx);
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
	pthread_attr_destroy(&attr);
	if (ret == 0)
		ctx->helper.thread = thread;
	return -ret;
}

void helper_want(struct context *ctx)
{
	uint32_t none = STATE_NONE;
	int saved = errno, ret;

	if (fs_load_relaxed(&ctx->helper.state) != STATE_NONE || !ctx->config.helper || context_is_borrowed(ctx))
		return;
	if (ctx->executing) /* which would end it in the middle of anything */
		return;
	if (ctx->slot >= STATS_MAX_PROCS || !fs_compare_exchange(&ctx->helper.state, &none, STATE_CHANGING))
		return;
	ret = start(ctx);
	if (ret < 0) {
		/* Timers run with the program's calls; it is not tried again at every call. */
		host_log(&ctx->log, LOG_WARN, "no helper thread (error %d): timers wait for the program's calls", -ret);
		close_descriptors(ctx);
		ctx->config.helper = ctx->stack->tcp.config.hold_acks = false;
	}
	fs_store_release(&ctx->helper.state, ret < 0 ? (uint32_t)STATE_NONE : (uint32_t)STATE_RUNNING);
	errno = saved;
}

bool helper_runs(const struct context *ctx)
{
	return fs_load_relaxed(&ctx->helper.state) == STATE_RUNNING;
}

void helper_kick(struct context *ctx)
{
	uint64_t one = 1;

	if (ctx->helper.kick <= 0)
		return;
	ctx->helper.until = 0; /* it looks again at once: no second kick before */
	sys_write(ctx->helper.kick, &one, sizeof(one));
}

void helper_stop(struct context *ctx)
{
	uint32_t running = STATE_RUNNING;
	uint64_t one = 1;
	int saved = errno;
	bool locked;

	if (fs_load_acquire(ctx->alive) == CONTEXT_BORN)
		context_after_fork(ctx); /* it stayed with the parent */
	if (fs_load_relaxed(&ctx->stack->lock.owner) == context_tid())
		return; /* in a signal handler: the helper may wait for what this thread has */
	if (context_is_borrowed(ctx) || !fs_compare_exchange(&ctx->helper.state, &running, STATE_CHANGING))
		return;
	fs_store_release(&ctx->helper.stop, true);
	sys_write(ctx->helper.kick, &one, sizeof(one));
	pthread_join(ctx->helper.thread, NULL);
	wake_program(ctx); /* light sleepers relied on it */
	locked = context_lock(ctx);
	close_set(ctx); /* not what it is kicked by: a sister's driver does that without the lock */
	if (locked)
		context_unlock(ctx);
	fs_store_release(&ctx->helper.state, (uint32_t)STATE_NONE);
	errno = saved;
}

void helper_await(const struct context *ctx)
{
	fs_ns end = host_clock_kernel() + BIRTH_NS;

	while (fs_load_acquire(&ctx->helper.state) != STATE_NONE && !fs_load_acquire(&ctx->helper.tid) &&
	       host_clock_kernel() < end)
		sched_yield();
}

void helper_end(struct context *ctx)
{
	helper_stop(ctx);
	ctx->config.helper = ctx->stack->tcp.config.hold_acks = false;
}

void helper_after_fork(struct context *ctx)
{
	close_descriptors(ctx);
	ctx->helper.until = 0;
	ctx->helper.tid = 0;
	ctx->helper.state = STATE_NONE;
}
