/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * turn.c - see turn.h.
 */
#include "context/turn.h"

#include <sched.h>
#include <sys/syscall.h>

#include "context/helper.h"
#include "sys/sys.h"

#define LATELY_NS FS_MS(20) /* without a turn of anybody's until light sleepers look after the ports themselves */

enum {
	ROOMY = 4,    /* processors that are enough for more than one thread of a process to spin; those of others may */
	LARGE = 4096, /* bytes of a frame that waits for no other: what fills the caches is better gone */
};

/* How long a turn of so many events may take, and the next call still comes soon. */
static fs_ns brisk(const struct turn *t)
{
	return FS_MAX(TURN_SHORT_NS, t->events * TURN_EVENT_NS);
}

static void note(uint8_t *in_row, bool good)
{
	if (!good)
		*in_row = 0;
	else if (*in_row < TURN_PROVEN)
		++*in_row;
}

/* Its length tells what to expect of the next ones. */
static void learn(struct turn *t, fs_ns now)
{
	habit_end(&t->habit);
	note(&t->proven, now - t->since <= TURN_SHORT_NS);
	note(&t->brisk, now - t->since <= brisk(t));
	t->since = 0;
}

void turn_close(struct context *ctx)
{
	learn(&context_thread.turn, ctx->now);
	if (ctx->stack->held_since || ctx->soon.sock)
		segments_flush(ctx);
}

/* --- answers --- */

static bool any_large(const struct context *ctx)
{
	for (unsigned i = 0; i < ctx->n_handles; i++) {
		const struct fbuf *f = ctx->handle[i].ops ? ctx->stack->ip.port[i].out.head : NULL;

		for (; f; f = f->link) /* a large one is not the last: the end of a write follows it */
			if (f->total > LARGE)
				return true;
	}
	return false;
}

bool turn_adds(struct context *ctx, enum habit_word word, const struct sock *s)
{
	struct turn *t = &context_thread.turn;

	return habit_say(&t->habit, word, s, ctx->now) && helper_runs(ctx);
}

/* Has something waited as long as it may? */
static bool is_due(const struct context *ctx)
{
	return (ctx->stack->held_since && ctx->now - ctx->stack->held_since >= TURN_HOLD_NS) ||
	       (ctx->soon.sock && ctx->now - ctx->soon.since >= TURN_HOLD_NS);
}

bool turn_holds(struct context *ctx)
{
	struct turn *t = &context_thread.turn;
	struct stack *s = ctx->stack;
	uint32_t n;

	if (ctx->now - t->since > brisk(t))
		learn(t, ctx->now);
	if (!t->since || (t->brisk < TURN_PROVEN && !t->habit.left) || !helper_runs(ctx))
		return false;
	if (is_due(ctx)) {
		t->habit.left = 0;
		return false;
	}
	n = segments_waiting(ctx);
	if (n == 0 || n >= TURN_FRAMES || any_large(ctx))
		return false;
	if (!s->held_since) {
		s->held_since = ctx->now;
		s->counter[FS_CTR_tcp_held_back]++;
		ctx->holds++;
	}
	helper_heed(ctx, s->held_since + TURN_LATE_NS);
	return true;
}

/* --- the driver --- */

/* This thread, also beside those of other processes. */
static uint64_t myself(const struct context *ctx)
{
	return (uint64_t)ctx->slot << 32 | context_thread.tid;
}

static bool drives_here(const struct context *ctx)
{
	return fs_load_relaxed(&ctx->stack->driver.who) >> 32 == ctx->slot;
}

void turn_drive(struct context *ctx)
{
	const struct turn *t = &context_thread.turn;
	struct stack *s = ctx->stack;

	if (t->proven < TURN_PROVEN || !helper_runs(ctx))
		return;
	/* It goes on until somebody has events who had his last ones later: that is who works. */
	if (s->driver.who != myself(ctx) && ctx->now - s->driver.at <= TURN_SHORT_NS && t->told <= s->driver.told)
		return;
	s->driver.told = t->told;
	fs_store_relaxed(&s->driver.who, myself(ctx));
	fs_store_relaxed(&s->driver.at, ctx->now);
	fs_store_relaxed(&s->driver.cpu, sched_getcpu());
}

bool turn_driven(const struct context *ctx)
{
	fs_ns at = fs_load_relaxed(&ctx->stack->driver.at);

	return at && fs_load_relaxed(&ctx->stack->driver.who) != myself(ctx) &&
	       host_clock_now(&ctx->clock) - at <= TURN_SHORT_NS;
}

void turn_resign(struct context *ctx)
{
	if (ctx->stack->driver.who == myself(ctx))
		fs_store_relaxed(&ctx->stack->driver.at, 0);
}

/* Does the process of @slot take the frames of every port that this one has? */
static bool has_our_ports(const struct context *ctx, unsigned slot)
{
	for (unsigned i = 0; i < ctx->n_handles && slot < STATS_MAX_PROCS; i++)
		if (ctx->handle[i].ops && !ctx->stack->hold[i][slot].pid)
			return false;
	return slot < STATS_MAX_PROCS;
}

bool turn_may_rest(const struct context *ctx)
{
	return helper_runs(ctx) && ctx->doorbell[ctx->slot] >= 0 && turn_driven(ctx) &&
	       (drives_here(ctx) || has_our_ports(ctx, fs_load_relaxed(&ctx->stack->driver.who) >> 32));
}

bool turn_is_watched(const struct context *ctx)
{
	for (unsigned i = 0; i < STATS_MAX_PROCS; i++)
		if (ctx->stack->proc[i].sleepers > ctx->stack->proc[i].light && (i == ctx->slot || has_our_ports(ctx, i)))
			return true;
	return false;
}

bool turn_relied_on(const struct context *ctx)
{
	const struct stack *s = ctx->stack;

	if (ctx->slot >= STATS_MAX_PROCS || s->proc[ctx->slot].light)
		return ctx->slot < STATS_MAX_PROCS;
	for (unsigned i = 0; drives_here(ctx) && i < STATS_MAX_PROCS; i++)
		if (s->proc[i].light)
			return true;
	return false;
}

fs_ns turn_watch_after(const struct context *ctx)
{
	return drives_here(ctx) ? TURN_LATE_NS : LATELY_NS;
}

/* How many processors it may use, and which if there is one. */
static int processors(struct turn *t)
{
	cpu_set_t set;

	if (t->processors == 0) {
		CPU_ZERO(&set);
		t->processors = 1;
		if (sys_call3(__NR_sched_getaffinity, 0, sizeof(set), (long)&set) > 0)
			t->processors = (uint16_t)FS_MIN(CPU_COUNT(&set), ROOMY);
	}
	return t->processors;
}

bool turn_crowds(const struct context *ctx)
{
	int n = processors(&context_thread.turn);

	return n == 1 || !drives_here(ctx) ? sched_getcpu() == fs_load_relaxed(&ctx->stack->driver.cpu) : n < ROOMY;
}

/* --- the helper --- */

/* Its light sleepers look for themselves. */
static void wake_light(const struct context *ctx)
{
	uint64_t one = 1;

	sys_write(ctx->doorbell[ctx->slot], &one, sizeof(one));
}

fs_ns turn_look(struct context *ctx)
{
	struct stack *s = ctx->stack;
	bool active = ctx->holds != ctx->helper.holds;

	ctx->helper.holds = ctx->holds;
	if ((s->held_since && ctx->now - s->held_since >= TURN_LATE_NS) ||
	    (ctx->soon.sock && ctx->now - ctx->soon.since >= TURN_LATE_NS))
		segments_flush(ctx);
	/* While the program holds frames from time to time, or has light sleepers, looks follow each other: no call
	 * has to ask for one. */
	if (active || s->held_since || ctx->soon.sock)
		return ctx->now + TURN_LATE_NS;
	if (!turn_relied_on(ctx))
		return FS_NEVER;
	if (ctx->now - s->driven_at <= LATELY_NS)
		return ctx->now + turn_watch_after(ctx);
	/* Nobody drives: who was to ring them may be stopped, or dead. */
	if (s->proc[ctx->slot].light)
		wake_light(ctx);
	return ctx->now + LATELY_NS;
}
