/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * process.c - see process.h.
 */
#include "context/process.h"

#include <errno.h>
#include <string.h>

#include "base/reason.h"
#include "context/helper.h"
#include "context/internal.h"
#include "context/internal_fds.h"
#include "context/sister.h"
#include "context/lease.h"
#include "context/take.h"
#include "context/thread.h"
#include "context/watch.h"
#include "host/netns.h"
#include "socket/epoll.h"
#include "sys/sys.h"

enum { NAME_BYTES = 64 };

/* --- fork --- */

/* Doorbells must exist before the child does: nobody could ring a stranger's eventfd. */
static void make_doorbells(struct context *ctx)
{
	for (unsigned i = 0; i < STATS_MAX_PROCS; i++)
		if (ctx->doorbell[i] < 0)
			ctx->doorbell[i] = sys_fd_raise(sys_eventfd(0, O_CLOEXEC | O_NONBLOCK), ctx->fd_floor);
}

static void before_fork(struct context *ctx)
{
	/* With the lock held no structure is half changed in the moment the child is made. */
	if (!context_lock(ctx))
		return;
	context_thread.lock_frame = 0; /* held beyond the frame that took it */
	make_doorbells(ctx);
	context_lease_before_fork(ctx);
	local_before_fork(ctx);
	context_heir_expected(ctx);
	ctx->forking = true;
}

void process_before_fork(void)
{
	struct context *home = fs_load_acquire(&fsock_context);

	if (!home || context_is_borrowed(home))
		return;
	for (unsigned i = 0; i < home->n_stacks; i++) /* in the order of their locks */
		before_fork(home->stacks[i]);
}

void process_parent_after_fork(void)
{
	struct context *o;

	CONTEXT_EACH(o, fs_load_acquire(&fsock_context)) {
		if (!o->forking)
			continue;
		o->forking = false;
		o->next_heir = -1;
		context_unlock(o);
	}
}

void process_child_after_fork(void)
{
	struct context *o;

	CONTEXT_EACH(o, fs_load_acquire(&fsock_context))
		o->forking = false; /* the locks are the parent's, in shared memory: it lets go */
	context_after_fork(fs_load_acquire(&fsock_context));
}

/* Its ids mean nothing to the others, and theirs nothing to it. Once foreign, its children are too. */
static bool is_foreign(struct context *ctx)
{
	uint64_t here = host_pidns_inode();

	if (here == 0) /* without /proc: the first process of a namespace can be told */
		return ctx->pidns == 0 || ctx->pid == 1;
	return here != ctx->pidns && ctx->pidns != 0;
}

/*
 * First use in another PID namespace: the sockets it inherited must come by their shadows, for both
 * sides. It asks those who may take the lock to see to that, by a mark and their doorbells.
 */
static void cut_off(struct context *ctx)
{
	uint64_t one = 1;

	if (fs_exchange(&ctx->cut_off, true))
		return;
	for (int fd = 0; fd <= ctx->fds.highest; fd++) {
		struct fd_entry *e = fd_entry_at(&ctx->fds, fd);
		struct sock *s = e ? e->object : NULL;

		if (!e || !fd_kind_is_sock(e->kind))
			continue;
		if (fs_load_relaxed(&s->generation) == e->generation)
			fs_store_relaxed(&s->let_go, true);
		fs_store_release(&e->kind, (uint32_t)FD_NONE);
	}
	fs_store_release(&ctx->stack->let_go, true);
	for (unsigned i = 0; i < STATS_MAX_PROCS; i++)
		if (ctx->doorbell[i] >= 0)
			sys_write(ctx->doorbell[i], &one, sizeof(one));
	host_log(&ctx->log, LOG_WARN, "in another PID namespace than its parent: this process's sockets are the kernel's");
}

bool context_is_here(struct context *ctx)
{
	if (fs_load_acquire(ctx->alive) == CONTEXT_BORN)
		context_after_fork(ctx);
	if (fs_load_acquire(ctx->alive) != CONTEXT_FOREIGN)
		return true;
	cut_off(ctx);
	return false;
}

static void let_marked_go(struct context *ctx, struct list *socks)
{
	struct list *e;

	LIST_FOR_EACH(e, socks) {
		struct sock *s = FS_CONTAINER_OF(e, struct sock, all);

		if (!fs_load_relaxed(&s->let_go))
			continue;
		fs_store_relaxed(&s->let_go, false);
		context_demote(ctx, s, FS_REASON_pid_namespace, NULL);
	}
}

void context_let_go(struct context *ctx)
{
	fs_store_relaxed(&ctx->stack->let_go, false);
	let_marked_go(ctx, &ctx->stack->all_socks);
	let_marked_go(ctx, &ctx->stack->all_streams);
}

static void after_fork(struct context *ctx)
{
	if (ctx->executing) /* a signal handler's child, whose own program is not passed what its parent's is */
		context_fd_each_of_stack(ctx, context_fd_close_in_exec, NULL);
	ctx->executing = false;
	for (unsigned i = 0; i < ctx->n_handles; i++)
		if (ctx->handle[i].ops)
			ctx->handle[i].ops->fork_child(&ctx->handle[i]);
	memset(ctx->handle, 0, sizeof(ctx->handle));
	context_unwatch_owners(ctx);
	helper_after_fork(ctx);
	local_after_fork(ctx);
	ctx->exiting = 0;
	/* Threads, their sleep sets and their rings stayed behind. */
	for (int fd = 0; fd <= ctx->fds.highest; fd++) {
		struct fd_entry *e = fd_entry_at(&ctx->fds, fd);

		if (e)
			e->checked = 0; /* of the parent's number */
		if (!e || e->kind != FD_OURS)
			continue;
		sys_close(fd);
		context_fd_set(ctx, fd, FD_NONE, NULL, 0);
	}
	watch_after_fork(ctx);
	ctx->to_tell = 0;
	ctx->slot = STATS_MAX_PROCS;
	ctx->join_error = 0;
	ctx->pid = (uint32_t)sys_getpid();
	ctx->to_ring = 0;
	ctx->soon.sock = NULL; /* its parent goes on with them */
	ctx->n_handles = 0;
	ctx->abandoned = 0;
	if (is_foreign(ctx)) {
		ctx->heir = ctx->next_heir = -1;
		fs_store_release(ctx->alive, (uint32_t)CONTEXT_FOREIGN);
		return;
	}
	context_heir_born(ctx);
	fs_store_release(ctx->alive, (uint32_t)CONTEXT_ALIVE);
}

void context_after_fork(struct context *ctx)
{
	struct context *o;

	if (!ctx)
		return;
	context_thread = (struct context_thread){ .stay_page = context_thread.stay_page };
	CONTEXT_EACH(o, ctx->stacks[0])
		after_fork(o);
}

bool context_is_borrowed(const struct context *ctx)
{
	uint32_t alive = fs_load_relaxed(ctx->alive);

	return alive == CONTEXT_FOREIGN || (alive != 0 && (uint32_t)sys_getpid() != ctx->pid);
}

static bool may_be_lent = true;

void context_may_be_lent(bool may)
{
	fs_store_relaxed(&may_be_lent, may);
}

bool context_is_lent(const struct context *ctx)
{
	return fs_load_relaxed(&may_be_lent) ? context_is_borrowed(ctx) : fs_load_relaxed(ctx->alive) == CONTEXT_FOREIGN;
}

/* --- joining --- */

static int free_slot(struct context *ctx)
{
	struct stack *s = ctx->stack;

	for (unsigned i = 0; i < STATS_MAX_PROCS; i++) {
		if (s->proc[i].pid)
			continue;
		s->proc[i] = (struct stack_proc){ .pid = ctx->pid, .memory_fd = ctx->arena.fd };
		s->head.procs[i] = ctx->pid;
		ctx->slot = i;
		return 0;
	}
	return -EUSERS;
}

static int take_slot(struct context *ctx)
{
	if (free_slot(ctx) == 0)
		return 0;
	context_reap(ctx); /* what this process inherited waits for it: it is its heir */
	return free_slot(ctx);
}

/* An inherited entry may name a set that its last holder closed since. */
static bool is_live_set(const struct fd_entry *e)
{
	return e && e->kind == FD_EPOLL && epoll_set_generation(e->object) == e->generation;
}

void context_record_revive(struct context *ctx, struct sock *s, int fd)
{
	if ((s->record->fd >= 0 && sock_refs(s)) || s->record->cookie != s->cookie) /* another socket's by now */
		return;
	s->record->fd = fd;
	s->record->pid = ctx->pid;
}

/* References for what this process inherited. True: connections are among it. */
static bool count_descriptors(struct context *ctx)
{
	bool connected = false;

	for (int fd = 0; fd <= ctx->fds.highest; fd++) {
		struct fd_entry *e = fd_entry_at(&ctx->fds, fd);
		struct sock *s = e ? e->object : NULL;

		if (e && fd_kind_is_sock(e->kind) && s->generation == e->generation) {
			context_record_revive(ctx, s, fd);
			s->refs[ctx->slot]++;
			if (s->protocol == SOCK_TCP)
				stream_inherited(s, fd);
			connected |= s->protocol == SOCK_TCP && sock_is_engines(s);
		} else if (is_live_set(e)) {
			epoll_set_hold(e->object, ctx->slot);
		} else if (e && e->kind == FD_EPOLL) { /* the parent closed it meanwhile */
			context_fd_set(ctx, fd, FD_NONE, NULL, 0);
		}
	}
	return connected;
}

/* The set at @epfd is the kernel's alone from now on: its members carry the program's data again. */
static void release_set(struct context *ctx, int epfd, const struct epoll_set *set)
{
	struct list *e;

	LIST_FOR_EACH(e, &set->items) {
		const struct epoll_item *item = FS_CONTAINER_OF(e, struct epoll_item, of_set);
		struct epoll_event event = { .events = item->events, .data.u64 = item->data };

		if (item->disarmed)
			event.events &= EPOLLONESHOT | EPOLLET;
		if (item->events & EPOLLEXCLUSIVE) { /* cannot be modified */
			sys_epoll_ctl(epfd, EPOLL_CTL_DEL, item->fd, NULL);
			sys_epoll_ctl(epfd, EPOLL_CTL_ADD, item->fd, &event);
		} else {
			sys_epoll_ctl(epfd, item->in_kernel ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, item->fd, &event);
		}
	}
	for (unsigned i = 0; i < STATS_MAX_PROCS; i++)
		if (ctx->doorbell[i] >= 0)
			sys_epoll_ctl(epfd, EPOLL_CTL_DEL, ctx->doorbell[i], NULL);
	context_fd_set(ctx, epfd, FD_NONE, NULL, 0);
}

/*
 * This child cannot drive: the sockets it inherited go on in the kernel, for their other holders too,
 * since nobody can say which process will read next. One that is executing a program will read those which that gets:
 * others of them, and sets, stay what they are to their other holders.
 */
static void demote_inherited(struct context *ctx, int reason)
{
	for (int fd = 0; fd <= ctx->fds.highest; fd++) {
		struct fd_entry *e = fd_entry_at(&ctx->fds, fd);
		struct sock *s = e ? e->object : NULL;

		if (ctx->executing && (is_live_set(e) || !context_fd_stays_open(fd)))
			continue;
		if (is_live_set(e))
			release_set(ctx, fd, e->object);
		if (!e || !fd_kind_is_sock(e->kind))
			continue;
		if (s->generation == e->generation)
			context_demote(ctx, s, reason, NULL);
		context_fd_set(ctx, fd, FD_NONE, NULL, 0);
	}
	context_ring(ctx);
}

static int reason_of_join(int error)
{
	switch (error) {
	case -EUSERS: return FS_REASON_too_many_processes;
	case -EMFILE:
	case -ENFILE: return FS_REASON_descriptors;
	case -ENOMEM: return FS_REASON_memory;
	default: return FS_REASON_join_denied;
	}
}

int context_join_reason(const struct context *ctx)
{
	return reason_of_join(ctx->join_error);
}

/* It drives the stack from its slot, or (@ret < 0) cannot. */
static int take_part(struct context *ctx, int ret)
{
	context_lend(ctx);
	if (ret == 0)
		ret = context_hold_ports(ctx);
	if (ret == 0) {
		if (count_descriptors(ctx))
			helper_want(ctx);
		context_heir_joined(ctx);
		context_ports_changed(ctx);
		if (sister_has_twins(ctx))
			sisters_join(ctx);
		context_reap(ctx); /* what the dead made is this process's to answer for */
		return 0;
	}
	host_log(&ctx->log, LOG_INFO, "inherited sockets go on in the kernel (error %d)", -ret);
	context_drop_ports(ctx);
	context_unwatch_owners(ctx);
	demote_inherited(ctx, reason_of_join(ret));
	context_heir_joined(ctx);
	if (ctx->slot < STATS_MAX_PROCS) {
		context_forget_holds(ctx, ctx->slot);
		ctx->stack->proc[ctx->slot].pid = 0;
		ctx->stack->head.procs[ctx->slot] = 0;
		ctx->slot = STATS_MAX_PROCS;
	}
	ctx->join_error = ret;
	return ret;
}

void context_not_executed(struct context *ctx)
{
	ctx->executing = false;
	if (!ctx->join_error || !context_lock(ctx))
		return;
	demote_inherited(ctx, reason_of_join(ctx->join_error));
	context_unlock(ctx);
}

int context_join(struct context *ctx)
{
	int ret;

	if (ctx->join_error)
		return ctx->join_error; /* what it cannot have now it will not have later */
	ret = context_reopen_control(ctx);
	if (ret == 0)
		ret = take_slot(ctx);
	return take_part(ctx, ret);
}

/* Has it any socket of its parent's that is not left to the kernel? */
static bool inherits(struct context *ctx)
{
	for (int fd = 0; fd <= ctx->fds.highest; fd++)
		if (context_live_sock(ctx, fd))
			return true;
	return false;
}

static bool has_place(struct context *ctx)
{
	for (unsigned turn = 0; turn < 2; turn++) {
		for (unsigned i = 0; i < STATS_MAX_PROCS; i++)
			if (!ctx->stack->proc[i].pid)
				return true;
		if (turn == 0)
			context_reap(ctx);
	}
	return false;
}

static void join(struct context *ctx)
{
	if (!context_lock(ctx))
		return;
	if (ctx->slot >= STATS_MAX_PROCS && inherits(ctx) && has_place(ctx))
		context_join(ctx);
	context_leave(ctx);
}

void process_join(void)
{
	struct context *home = fs_load_acquire(&fsock_context);

	for (unsigned i = 0; home && i < home->n_stacks; i++)
		join(home->stacks[i]);
}

/* --- those who are gone --- */

/* What the number @fd of process @pid means: bytes in @name, or -errno. */
static int name_of(uint32_t pid, int fd, char name[NAME_BYTES])
{
	char path[48];

	host_format(path, sizeof(path), "/proc/%u/fd/%u", pid, (unsigned)fd);
	return sys_readlinkat(AT_FDCWD, path, name, NAME_BYTES);
}

/* Does process @pid map something by that name? What exec closes, a program may close too. */
static enum context_presence look_for_mapping(uint32_t pid, const char *name, size_t len)
{
	char path[32], text[4096];
	size_t have = 0;
	bool found = false;
	ssize_t n;
	int fd;

	host_format(path, sizeof(path), "/proc/%u/maps", pid);
	fd = sys_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return CONTEXT_UNSEEN;
	while ((n = sys_read(fd, text + have, sizeof(text) - have)) > 0) {
		size_t rest;

		have += (size_t)n;
		found |= memmem(text, have, name, len) != NULL;
		rest = FS_MIN(have, len - 1); /* the name may lie across two reads */
		memmove(text, text + have - rest, rest);
		have = rest;
	}
	sys_close(fd);
	if (found)
		return CONTEXT_HERE;
	return n == 0 ? CONTEXT_GONE : CONTEXT_UNSEEN;
}

enum context_presence context_presence(const struct context *ctx, uint32_t pid, int memory_fd)
{
	char ours[NAME_BYTES], its[NAME_BYTES];
	int n, len;

	if (context_is_dead(pid))
		return CONTEXT_GONE;
	n = name_of(ctx->pid, ctx->arena.fd, ours);
	len = name_of(pid, memory_fd, its);
	/* Hidden after setuid() or chroot(). */
	if (n < 0 || (len < 0 && len != -ENOENT))
		return CONTEXT_UNSEEN;
	if (len == n && memcmp(its, ours, (size_t)n) == 0)
		return CONTEXT_HERE;
	return look_for_mapping(pid, ours, (size_t)n);
}

void context_memory_moved(struct context *ctx)
{
	if (ctx->heir >= 0)
		fs_store_relaxed(&ctx->stack->heir[ctx->heir].memory_fd, ctx->arena.fd);
	if (ctx->slot < STATS_MAX_PROCS)
		fs_store_relaxed(&ctx->stack->proc[ctx->slot].memory_fd, ctx->arena.fd);
}

/* Somebody else who still holds @s answers for its record. */
static void adopt_record(struct context *ctx, struct sock *s)
{
	for (unsigned i = 0; i < STATS_MAX_PROCS; i++) {
		uint32_t pid = ctx->stack->proc[i].pid;

		if (s->refs[i] && pid != s->record->pid && (pid == ctx->pid || !context_is_dead(pid))) {
			s->record->pid = pid;
			return;
		}
	}
}

static void hand_on_records(struct context *ctx, struct list *socks)
{
	struct list *e;

	LIST_FOR_EACH(e, socks) {
		struct sock *s = FS_CONTAINER_OF(e, struct sock, all);

		if (s->record->pid == ctx->pid)
			adopt_record(ctx, s);
	}
}

void context_hand_on_records(struct context *ctx)
{
	hand_on_records(ctx, &ctx->stack->all_socks);
	hand_on_records(ctx, &ctx->stack->all_streams);
}

/* What the process of @slot had of @s. */
static void let_sock(struct sock *s, unsigned slot)
{
	s->refs[slot] = 0;
	s->users[slot] = 0;
	sleepers_forget(&s->sleepers, slot);
	take_release_all(s, slot);
}

static void bury_socks(struct context *ctx, struct list *socks, unsigned slot, uint32_t pid)
{
	struct list *e, *following;

	LIST_FOR_EACH_SAFE(e, following, socks) {
		struct sock *s = FS_CONTAINER_OF(e, struct sock, all);

		let_sock(s, slot);
		if (!context_sock_settle(ctx, s) && s->record->pid == pid)
			adopt_record(ctx, s);
	}
}

/* The process of @slot is gone, and with it what it held. */
static void bury(struct context *ctx, unsigned slot)
{
	uint32_t pid = ctx->stack->proc[slot].pid;
	struct stack *stack = ctx->stack;
	struct list *e, *following;

	ctx->stack->proc[slot] = (struct stack_proc){ 0 };
	ctx->stack->head.procs[slot] = 0;
	context_forget_holds(ctx, slot);
	bare_bury(ctx, slot);
	bury_socks(ctx, &stack->all_socks, slot, pid);
	bury_socks(ctx, &stack->all_streams, slot, pid);
	LIST_FOR_EACH_SAFE(e, following, &stack->all_sets) {
		struct epoll_set *set = FS_CONTAINER_OF(e, struct epoll_set, all);

		epoll_set_forget(set, slot);
		context_set_settle(ctx, set);
	}
	/* What it left to the kernel has no socket here that would end with it. */
	for (uint32_t i = 0; i < stack->head.n_socks; i++)
		if (stack->records[i].pid == pid)
			context_record_close(ctx, &stack->records[i]);
}

void context_bury_dead(struct context *ctx)
{
	for (unsigned i = 0; i < STATS_MAX_PROCS; i++) {
		const struct stack_proc *p = &ctx->stack->proc[i];

		if (p->pid && i != ctx->slot &&
		    context_presence(ctx, p->pid, fs_load_relaxed(&p->memory_fd)) == CONTEXT_GONE)
			bury(ctx, i);
	}
}

void context_reap(struct context *ctx)
{
	context_bury_dead(ctx);
	if (ctx->slot < STATS_MAX_PROCS)
		context_hold_ports(ctx);
}

void context_reap_strangers(struct context *ctx)
{
	struct stack *s = ctx->stack;
	uint32_t living = ctx->pid; /* seen last: records of one process stand together */

	s->strangers = false;
	for (uint32_t i = 0; i < s->head.n_socks; i++) {
		struct stats_sock *r = &s->records[i];

		if (r->fd == -1 || r->pid == living)
			continue;
		if (context_is_dead(r->pid)) {
			context_record_close(ctx, r);
			continue;
		}
		living = r->pid;
		s->strangers = true;
	}
}

/* --- going on after exec --- */

static void let_socks(struct list *socks, unsigned slot)
{
	struct list *e;

	LIST_FOR_EACH(e, socks)
		let_sock(FS_CONTAINER_OF(e, struct sock, all), slot);
}

static void let_sets(struct context *ctx)
{
	struct list *e;

	LIST_FOR_EACH(e, &ctx->stack->all_sets)
		epoll_set_forget(FS_CONTAINER_OF(e, struct epoll_set, all), ctx->slot);
}

/* Does a descriptor of this process's mean the socket of the record @r? */
static bool has_socket_of(struct context *ctx, const struct stats_sock *r)
{
	const struct sock *s = context_live_sock(ctx, r->fd);

	return s && s->record == r;
}

/* Records of the former program's are answered for by who has their sockets; of those that the kernel has nothing is known
 * here. */
static void sort_records(struct context *ctx)
{
	struct list *lists[] = { &ctx->stack->all_socks, &ctx->stack->all_streams }, *e;

	for (unsigned i = 0; i < FS_ARRAY_SIZE(lists); i++) {
		LIST_FOR_EACH(e, lists[i]) {
			struct sock *s = FS_CONTAINER_OF(e, struct sock, all);

			if (s->record->pid == ctx->pid && !s->refs[ctx->slot])
				adopt_record(ctx, s);
		}
	}
	for (uint32_t i = 0; i < ctx->stack->head.n_socks; i++) {
		struct stats_sock *r = &ctx->stack->records[i];

		if (r->pid == ctx->pid && r->fd != -1 && !has_socket_of(ctx, r))
			context_record_close(ctx, r);
	}
}

bool context_resume(struct context *ctx)
{
	unsigned slot = ctx->slot;

	let_socks(&ctx->stack->all_socks, slot);
	let_socks(&ctx->stack->all_streams, slot);
	let_sets(ctx);
	if (take_part(ctx, 0) < 0)
		return false;
	bare_bury(ctx, slot);
	context_settle(ctx);
	sort_records(ctx);
	return true;
}
