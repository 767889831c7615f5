/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exec.c - see exec.h.
 */
#include "context/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/reason.h"
#include "context/exec_record.h"
#include "context/internal.h"
#include "context/internal_fds.h"
#include "context/lifecycle.h"
#include "context/sister.h"
#include "context/stream_internal.h"
#include "host/netns.h"
#include "socket/epoll.h"
#include "sys/sys.h"

enum {
	STANDARD = 3,
	END_WAITS = 20, /* of a millisecond, for a thread of the program's that has just ended to be gone */
};

#define HELPER_END_NS FS_SEC(5) /* the same for the helper: on a busy machine that may take its time */
#define PAUSE_NS FS_MS(1)
/* So long may the new program take to come to its first constructor, before frames are the kernel's as when nobody
 * lives. */
#define GAP_NS FS_SEC(10)

/* --- before --- */

/* From the number @from on, a socket on the fast path; one that the new program will have, if @inherited. */
static bool has_fast(struct context *ctx, int from, bool inherited)
{
	for (int fd = from; fd <= ctx->fds.highest; fd++) {
		const struct sock *s = context_live_sock(ctx, fd);

		if (s && s->way == SOCK_FAST && (!inherited || context_fd_stays_open(fd)))
			return true;
	}
	return false;
}

enum exec_stake exec_stake(struct context *home)
{
	enum exec_stake stake = EXEC_NOTHING;
	struct context *o;

	CONTEXT_EACH(o, home) {
		if (stake == EXEC_GOES_ON || !context_lock(o))
			continue;
		if (has_fast(o, 0, true))
			stake = EXEC_GOES_ON;
		else if (has_fast(o, 0, false))
			stake = EXEC_ENDS;
		context_leave(o);
	}
	return stake;
}

/* libc's streams read and write the first three past the library, and what a program starts by posix_spawn() has
 * them. */
static void leave_standard(struct context *ctx)
{
	for (int fd = 0; fd < STANDARD; fd++)
		if (fd_kind_is_sock(fd_kind_of(&ctx->fds, fd)) && context_fd_stays_open(fd))
			lifecycle_to_kernel(ctx, fd, FS_REASON_executed, NULL);
}

/* Who joined a thread that ended saw its last act, and the kernel may still be about to bury it. */
static void await_helper(struct context *ctx)
{
	const struct timespec pause = { .tv_nsec = PAUSE_NS };
	int tid = (int)fs_load_relaxed(&ctx->helper.tid);
	fs_ns waited = 0;

	while (tid && waited < HELPER_END_NS && sys_tgkill(sys_getpid(), tid, 0) == 0) {
		sys_nanosleep(&pause);
		waited += PAUSE_NS;
	}
	fs_store_relaxed(&ctx->helper.tid, 0); /* another thread may have its number from now on */
}

/* A thread that exec ends may be in the middle of a change to the stack. */
static bool is_single(struct context *ctx)
{
	const struct timespec pause = { .tv_nsec = PAUSE_NS };
	struct stat st;

	await_helper(ctx);
	for (unsigned i = 0; i < END_WAITS; i++) {
		if (stat("/proc/self/task", &st) < 0)
			return false;
		if (st.st_nlink <= 3) /* a folder for each thread, and two names */
			return true;
		if (st.st_nlink > 4)
			return false;
		sys_nanosleep(&pause);
	}
	return false;
}

static bool is_as_maker(const struct context *ctx)
{
	struct host_identity now;

	host_identity_read(&now);
	return host_identity_equal(&now, &ctx->maker);
}

/* Nobody drives until @until. */
static void vouch(struct context *ctx, fs_ns until)
{
	for (unsigned i = 0; i < ctx->n_handles; i++)
		if (ctx->handle[i].ops && ctx->handle[i].ops->vouch)
			ctx->handle[i].ops->vouch(&ctx->handle[i], until);
}

/* What waits for this program's next call goes. */
static void rest(struct context *ctx)
{
	if (ctx->stack->tcp.ip) {
		stream_now(ctx);
		segments_release(ctx, FS_NEVER);
		segments_flush(ctx);
	}
	context_publish(ctx);
}

static struct exec_entry *add_entry(struct exec_record *r, int fd, enum fd_kind kind)
{
	struct exec_entry *e = &r->entry[r->n];

	if (r->bytes + sizeof(*e) > EXEC_RECORD_MAX)
		return NULL;
	r->bytes += sizeof(*e);
	r->n++;
	*e = (struct exec_entry){ .fd = fd, .kind = (uint32_t)kind };
	return e;
}

/* True: there is no room. */
static bool add_ours(int *fd, void *record)
{
	return !add_entry(record, *fd, FD_OURS);
}

static bool add_programs(struct context *ctx, struct exec_record *r)
{
	for (int fd = 0; fd <= ctx->fds.highest; fd++) {
		const struct fd_entry *from = fd_entry_at(&ctx->fds, fd);
		bool is_set = from && from->kind == FD_EPOLL && epoll_set_generation(from->object) == from->generation;
		struct exec_entry *to;

		if ((!is_set && !context_live_sock(ctx, fd)) || !context_fd_stays_open(fd))
			continue;
		to = add_entry(r, fd, (enum fd_kind)from->kind);
		if (!to)
			return false;
		to->object = (uintptr_t)from->object;
		to->generation = from->generation;
	}
	return true;
}

static bool fill_record(struct context *ctx, struct exec_record *r, const uint8_t build[HOST_PROGRAM_BUILD])
{
	*r = (struct exec_record){
		.magic = EXEC_RECORD_MAGIC,
		.bytes = sizeof(*r),
		.pid = ctx->pid,
		.mapped = ctx->arena.mapped,
		.memory = ctx->arena.fd,
		.arena_slot = ctx->arena.slot,
		.slot = ctx->slot,
		.fd_floor = ctx->fd_floor,
		.n_connects = ctx->n_connects,
		.clock = ctx->clock,
		.maker = ctx->maker,
	};
	memcpy(r->build, build, sizeof(r->build));
	memcpy(r->doorbell, ctx->doorbell, sizeof(r->doorbell));
	memcpy(r->leases, ctx->leases, sizeof(r->leases));
	memcpy(r->links, ctx->local.pair, sizeof(r->links));
	memcpy(r->icmp, ctx->icmp, sizeof(r->icmp));
	for (unsigned i = 0; i < ctx->n_handles; i++)
		r->opened[i] = ctx->handle[i].ops ? ctx->handle_opened[i] : 0;
	return sys_getrandom(&r->key, sizeof(r->key), 0) == (ssize_t)sizeof(r->key) && r->key != 0 &&
	       !context_fd_each_of_stack(ctx, add_ours, r) && add_programs(ctx, r);
}

static bool keep_open(int *fd, void *arg)
{
	sys_fcntl(*fd, F_SETFD, 0);
	return false;
}

/* The record's descriptor, or -errno. */
static int pass(struct context *ctx, struct exec_record *r, const uint8_t build[HOST_PROGRAM_BUILD])
{
	int fd;

	rest(ctx);
	if (!fill_record(ctx, r, build))
		return -E2BIG;
	fd = exec_record_write(r, ctx->fd_floor);
	if (fd < 0)
		return fd;
	ctx->stack->proc[ctx->slot].passed = r->key;
	vouch(ctx, host_clock_kernel() + GAP_NS);
	context_fd_each_of_stack(ctx, keep_open, NULL);
	sys_fcntl(fd, F_SETFD, 0);
	return fd;
}

/* Is there something to go on with, and is it this process's to drive? The network may be another one than the ports
 * are in, and the clock than timers are set by. */
static bool may_go_on(struct context *ctx)
{
	bool may;

	if (host_netns_inode() != ctx->netns || host_time_changes() || !context_lock(ctx))
		return false;
	may = has_fast(ctx, STANDARD, true) && context_joined(ctx);
	context_leave(ctx);
	return may;
}

int exec_pass(struct context *ctx, const uint8_t build[HOST_PROGRAM_BUILD])
{
	struct exec_record *r;
	int fd = -EBUSY;

	if (ctx->stack->family || !is_as_maker(ctx))
		return -EPERM;
	ctx->executing = true;
	leave_standard(ctx);
	/* Alone last: a process that joins has a helper as a rule. */
	if (!may_go_on(ctx) || !is_single(ctx))
		return -EBUSY;
	r = mem_private(EXEC_RECORD_MAX);
	if (!r)
		return -ENOMEM;
	if (context_lock(ctx)) {
		fd = pass(ctx, r, build);
		context_leave(ctx);
	}
	sys_munmap(r, EXEC_RECORD_MAX);
	return fd;
}

void exec_take_back(struct context *ctx, int record)
{
	ctx->executing = false;
	sys_close(record);
	context_fd_each_of_stack(ctx, context_fd_close_in_exec, NULL);
	if (!context_lock(ctx))
		return;
	ctx->stack->proc[ctx->slot].passed = 0;
	vouch(ctx, host_clock_kernel());
	context_leave(ctx);
}

void exec_failed(struct context *ctx)
{
	context_not_executed(ctx);
}

/* --- after --- */

/* To be unmapped by who gets it; NULL: the descriptor is none of a record's, and stays what it is. */
static struct exec_record *read_record(int fd, const uint8_t build[HOST_PROGRAM_BUILD])
{
	struct exec_record *r = mem_private(EXEC_RECORD_MAX);
	ssize_t len = r ? exec_record_read(fd, r, EXEC_RECORD_MAX) : -1;

	if (len >= 0 && exec_record_is_good(r, (size_t)len, build))
		return r;
	if (r)
		sys_munmap(r, EXEC_RECORD_MAX);
	return NULL;
}

static bool is_kept(const struct context *ctx, int fd)
{
	bool kept = fd == ctx->arena.fd;

	for (unsigned i = 0; i < STATS_MAX_PROCS; i++)
		kept |= fd == ctx->doorbell[i];
	for (unsigned i = 0; i < 2; i++)
		kept |= fd == ctx->leases[i] || fd == ctx->icmp[i] || fd == ctx->local.pair[i];
	return kept;
}

/* Close what was passed on and is not @ctx's (NULL: nothing is). */
static void close_rest(const struct context *ctx, const struct exec_record *r)
{
	for (uint32_t i = 0; i < r->n; i++)
		if (r->entry[i].kind == FD_OURS && !(ctx && is_kept(ctx, r->entry[i].fd)))
			sys_close(r->entry[i].fd);
}

/* Is the number what it was when the record was written, and the object that of then? */
static bool is_still(const struct exec_entry *e)
{
	const void *object = (const void *)(uintptr_t)e->object;
	const struct sock *s = object;
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	if (e->kind == FD_EPOLL)
		return epoll_set_generation(object) == e->generation && sys_fcntl(e->fd, F_GETFD, 0) >= 0;
	return s->generation == e->generation && s->protocol == (e->kind == FD_STREAM ? SOCK_TCP : SOCK_UDP) &&
	       sys_getsockopt(e->fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) == 0 && cookie == s->cookie;
}

static void enter_descriptors(struct context *ctx, const struct exec_record *r)
{
	for (uint32_t i = 0; i < r->n; i++) {
		const struct exec_entry *e = &r->entry[i];
		struct sock *s = (void *)(uintptr_t)e->object;

		if (e->kind == FD_OURS || !is_still(e))
			continue;
		context_fd_set(ctx, e->fd, (enum fd_kind)e->kind, s, e->generation);
		if (e->kind == FD_EPOLL)
			continue;
		s->executed = true;
		if (s->record->pid == ctx->pid)
			s->record->fd = e->fd;
	}
}

/* The options are the new program's. */
static void heed_options(struct context *ctx)
{
	if (!ctx->config.helper && context_lock(ctx)) {
		ctx->stack->tcp.config.hold_acks = false; /* nobody would say them while the program computes */
		context_unlock(ctx);
	}
	for (int fd = 0; !ctx->config.accelerate && fd <= ctx->fds.highest; fd++)
		if (fd_kind_is_sock(fd_kind_of(&ctx->fds, fd)))
			lifecycle_to_kernel(ctx, fd, FS_REASON_disabled, NULL);
}

static void go_on(struct context *ctx, const struct exec_record *r)
{
	if (!context_lock(ctx)) {
		close_rest(ctx, r);
		return;
	}
	ctx->stack->proc[ctx->slot] = (struct stack_proc){ .pid = ctx->pid, .memory_fd = ctx->arena.fd };
	enter_descriptors(ctx, r);
	context_lend(ctx);
	context_resume_ports(ctx);
	vouch(ctx, host_clock_kernel());
	close_rest(ctx, r);
	if (context_resume(ctx))
		ctx->stack->counter[FS_CTR_programs_resumed]++;
	context_leave(ctx);
	heed_options(ctx);
}

struct context *exec_take_up(int number, const uint8_t build[HOST_PROGRAM_BUILD], context_ppoll_fn *libc_ppoll)
{
	struct exec_record *r = read_record(number, build);
	struct context *ctx;

	if (!r)
		return NULL;
	sys_close(number);
	for (uint32_t i = 0; i < r->n; i++)
		if (r->entry[i].kind == FD_OURS)
			sys_fcntl(r->entry[i].fd, F_SETFD, FD_CLOEXEC);
	/* A child that another library's constructor made has copies, and no part in it. */
	ctx = r->pid == (uint32_t)sys_getpid() ? context_take_up(libc_ppoll, r) : NULL;
	if (ctx) {
		go_on(ctx, r);
		context_taken_up(ctx);
	} else {
		close_rest(NULL, r);
	}
	sys_munmap(r, EXEC_RECORD_MAX);
	return ctx;
}

/* --- with less rights --- */

static bool came_by_exec(struct context *ctx, int fd)
{
	const struct sock *s = context_live_sock(ctx, fd);

	return s && s->executed && sock_is_engines(s) && context_fd_stays_open(fd);
}

void exec_before_less(struct context *home)
{
	struct context *o;

	CONTEXT_EACH(o, home)
		for (int fd = 0; fd <= o->fds.highest; fd++)
			if (came_by_exec(o, fd))
				lifecycle_to_kernel(o, fd, FS_REASON_executed, NULL);
}
