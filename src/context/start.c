/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * start.c - building a stack: memory, tables, keys, control sockets.
 *
 * Runs once per process, at its first Internet socket. Attaches to no interface: ports are opened when
 * a socket wants one.
 */
#include <elf.h>
#include <errno.h>
#include <linux/netlink.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/reason.h"
#include "context/exec_record.h"
#include "context/handover.h"
#include "context/internal.h"
#include "context/stay.h"
#include "context/thread.h"
#include "context/watch.h"
#include "host/netns.h"
#include "host/policy.h"
#include "host/signals.h"
#include "host/trial.h"
#include "socket/epoll.h"
#include "sys/sys.h"
#include "udp/group.h"

#ifndef FSOCK_SYSCONFDIR
#define FSOCK_SYSCONFDIR "/etc"
#endif
#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

enum {
	PAGE = 4096,
	STACK_LEAST = 4 << 20, /* bytes that a stack takes besides frames, rings and what the kernel keeps included */
	LOW_DESCRIPTORS = 64, /* how far below RLIMIT_NOFILE ours begin */
	/* But within 1024 in all: the kernel lets select() touch as much of a set as its descriptor table
	 * is long, and programs pass getdtablesize() with an ordinary fd_set. */
	OWN_DESCRIPTORS_MAX = 1024 - LOW_DESCRIPTORS,
};

struct context *fsock_context;

/* Do the options say that Unix sockets are looked after? 0 = they were not read yet. Once known no file is opened for it:
 * a filter of system calls may stand by then. Any thread. */
static int takes_unix;

/* Where each part of the first region lies, in bytes from the arena's base. */
struct layout {
	size_t counters, ports, links, records, head_end;
	size_t port_buckets, flow_buckets, dst_buckets, neigh_buckets, port_state, end;
};

static size_t align_to(size_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

static struct layout make_layout(uint32_t max_socks)
{
	struct layout l;

	l.counters = align_to(sizeof(struct stack), FS_CACHE_LINE);
	l.ports = align_to(l.counters + FS_CTR_N * sizeof(uint64_t), FS_CACHE_LINE);
	l.links = align_to(l.ports + STATS_MAX_PORTS * sizeof(struct stats_port), FS_CACHE_LINE);
	l.records = align_to(l.links + STATS_MAX_LINKS * sizeof(struct stats_link), FS_CACHE_LINE);
	l.head_end = align_to(l.records + max_socks * sizeof(struct stats_sock), PAGE);
	l.port_buckets = l.head_end;
	l.flow_buckets = l.port_buckets + STACK_PORT_BUCKETS * sizeof(void *);
	l.dst_buckets = l.flow_buckets + STACK_FLOW_BUCKETS * sizeof(void *);
	l.neigh_buckets = l.dst_buckets + STACK_DST_BUCKETS * sizeof(void *);
	l.port_state = align_to(l.neigh_buckets + STACK_DST_BUCKETS * sizeof(void *), PAGE);
	l.end = l.port_state + (size_t)IP_MAX_PORTS * STACK_PORT_STATE;
	return l;
}

static void fill_head(struct context *ctx, const struct layout *l)
{
	struct stack *s = ctx->stack;
	struct stats_head *h = &s->head;
	uint8_t *base = ctx->arena.base;
	int fd = sys_openat(AT_FDCWD, "/proc/self/comm", O_RDONLY | O_CLOEXEC, 0);
	long got;

	h->version = STATS_VERSION;
	h->head_bytes = (uint32_t)l->head_end;
	h->stack_id = ctx->arena.slot;
	h->owner_pid = ctx->pid;
	h->created_ns = (uint64_t)ctx->clock.ns0;
	if (fd >= 0) {
		got = sys_read(fd, h->comm, sizeof(h->comm) - 1);
		h->comm[got > 0 ? got - 1 : 0] = '\0'; /* the kernel ends it with a newline */
		sys_close(fd);
	}
	strcpy(h->profile, ctx->config.profile == CONFIG_PROFILE_LATENCY ? "latency" : "default");
	h->n_counters = FS_CTR_N;
	h->counters_offset = (uint32_t)l->counters;
	h->ports_offset = (uint32_t)l->ports;
	h->links_offset = (uint32_t)l->links;
	h->max_socks = ctx->config.max_sockets;
	h->socks_offset = (uint32_t)l->records;
	s->counter = (void *)(base + l->counters);
	s->port_stats = (void *)(base + l->ports);
	s->link_stats = (void *)(base + l->links);
	s->records = (void *)(base + l->records);
	fs_store_release(&h->magic, STATS_MAGIC); /* a reader that sees it sees the rest */
}

static int fill_keys(struct siphash_key key[3])
{
	return sys_getrandom(key, 3 * sizeof(*key), 0) == 3 * sizeof(*key) ? 0 : -EIO;
}

static enum csum_kind best_csum(void)
{
#if defined(__x86_64__)
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx2") ? CSUM_AVX2 : CSUM_SSE2;
#else
	return CSUM_SCALAR;
#endif
}

/* Tables, pools and engine in the first region. */
static int fill_stack(struct context *ctx, const struct layout *l)
{
	struct stack *s = ctx->stack;
	uint8_t *base = ctx->arena.base;
	struct siphash_key key[3];
	int ret = fill_keys(key);

	if (ret < 0)
		return ret;
	fill_head(ctx, l);
	s->arena_len = ctx->arena.mapped;
	list_init(&s->all_socks);
	list_init(&s->all_streams);
	list_init(&s->all_passed);
	list_init(&s->moved);
	list_init(&s->all_sets);
	for (unsigned i = 0; i < STATS_MAX_PROCS; i++)
		list_init(&s->bare_news[i]);
	slab_init(&s->socks, sizeof(struct sock));
	slab_init(&s->items, sizeof(struct epoll_item));
	slab_init(&s->sets, sizeof(struct epoll_set));
	slab_init(&s->groups, sizeof(struct udp_group));
	context_payload_init(ctx);
	context_engine_init(ctx, key, (void *)(base + l->port_buckets),
			    (void *)(base + l->flow_buckets),
			    (void *)(base + l->dst_buckets),
			    (void *)(base + l->neigh_buckets));
	for (unsigned i = 0; i < IP_MAX_PORTS; i++)
		s->port_state[i] = base + l->port_state + (size_t)i * STACK_PORT_STATE;
	return 0;
}

/* Number from which our descriptors start: high, so that programs keep their low ones. */
static int choose_fd_floor(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur < 2 * LOW_DESCRIPTORS)
		return 16;
	return (int)FS_MIN(limit.rlim_cur - LOW_DESCRIPTORS, (rlim_t)OWN_DESCRIPTORS_MAX);
}

static fs_ns choose_spin(const struct config *config)
{
	cpu_set_t cpus;

	/* With one processor a spinning receiver only keeps its sender from running. */
	if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0 && CPU_COUNT(&cpus) < 2 &&
	    sysconf(_SC_NPROCESSORS_ONLN) < 2)
		return 0;
	return config->profile == CONFIG_PROFILE_LATENCY ? INT64_MAX : FS_US(config->spin);
}

static void report(void *arg, const char *text)
{
	const struct context *ctx = arg;

	host_log(&ctx->log, LOG_WARN, "%s", text);
}

static void drop_report(void *arg, const char *text)
{
	/* It is said when the context starts. */
}

static void note_takes_unix(const struct config *config)
{
	fs_store_relaxed(&takes_unix, config->accelerate && config->local && config->local_unix ? 1 : -1);
}

bool context_takes_unix(void)
{
	struct config_load_args args = {
		.environment = environ,
		.system_file = FSOCK_SYSCONFDIR "/fsock/fsock.conf",
		.secure = getauxval(AT_SECURE) != 0,
		.reporter = { drop_report, NULL },
	};
	struct config config;

	if (__builtin_expect(fs_load_relaxed(&takes_unix) == 0, 0)) {
		config_load(&config, &args);
		note_takes_unix(&config);
	}
	return fs_load_relaxed(&takes_unix) > 0;
}

static void read_options(struct context *ctx)
{
	struct config_load_args args = {
		.environment = environ,
		.system_file = FSOCK_SYSCONFDIR "/fsock/fsock.conf",
		.secure = getauxval(AT_SECURE) != 0,
		.reporter = { report, ctx },
	};
	const char *fds = getenv(STATS_REPORT_ENV);

	ctx->log = (struct host_log){ .fd = 2, .level = LOG_WARN };
	config_load(&ctx->config, &args);
	note_takes_unix(&ctx->config);
	ctx->log.level = (enum log_level)ctx->config.log;
	if (ctx->config.log_file[0]) {
		int file = sys_openat(AT_FDCWD, ctx->config.log_file,
				      O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

		file = sys_fd_raise(file, ctx->fd_floor);
		if (file >= 0)
			ctx->log.fd = file;
		else
			host_log(&ctx->log, LOG_WARN, "cannot write log_file %s", ctx->config.log_file);
	}
	if (ctx->config.local && ctx->config.local_pcap[0] &&
	    local_pcap_open(&ctx->pcap, ctx->config.local_pcap, ctx->config.local_pcap_snap, ctx->fd_floor) < 0)
		host_log(&ctx->log, LOG_WARN, "cannot add to local_pcap %s", ctx->config.local_pcap);
	if (ctx->config.local && ctx->config.accelerate)
		local_scope_open(ctx);
	/* A copy above the floor: whoever closes all numbers must not close this one. */
	ctx->report_fd = -1;
	if (fds && !args.secure)
		ctx->report_fd = sys_fcntl((int)strtol(fds, NULL, 10), F_DUPFD_CLOEXEC, ctx->fd_floor);
}

/* `fsock why` gets the stack itself, too: what was open in a program that a signal ended stands there. */
static void lend_stack(const struct context *ctx)
{
	const char *fds = getenv(STATS_REPORT_ENV), *comma = fds ? strchr(fds, ',') : NULL;
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { .align = { .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS } };
	struct iovec iov = { (void *)"", 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
	socklen_t len = sizeof(int);
	int to, type = 0;

	if (ctx->report_fd < 0 || !comma)
		return;
	to = (int)strtol(comma + 1, NULL, 10);
	/* The number may be another's by now: nothing but this socket is of that type. */
	if (sys_getsockopt(to, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_SEQPACKET)
		return;
	memcpy(CMSG_DATA(&control.align), &ctx->arena.fd, sizeof(int));
	sys_sendmsg(to, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* The page that tells a child from its parent whatever made it. */
static int make_alive_page(struct context *ctx)
{
	ctx->alive = mem_private(PAGE);
	if (!ctx->alive)
		return -ENOMEM;
	*ctx->alive = CONTEXT_ALIVE;
	return sys_madvise(ctx->alive, PAGE, MADV_WIPEONFORK);
}

static int open_netlink(struct context *ctx)
{
	int ret = host_nl_open(&ctx->nl, NETLINK_ROUTE, ctx->fd_floor, ctx->nl_buf, HOST_NL_BUF_GOOD);

	if (ret < 0)
		return ret;
	return host_monitor_open(&ctx->monitor, ctx->fd_floor, ctx->monitor_buf, HOST_NL_BUF_GOOD);
}

int context_reopen_control(struct context *ctx)
{
	host_nl_close(&ctx->nl);
	host_monitor_close(&ctx->monitor);
	if (ctx->policy)
		host_policy_close(ctx->policy);
	ctx->policy = NULL;
	return open_netlink(ctx);
}

static int open_control(struct context *ctx)
{
	socklen_t len = sizeof(ctx->netns_cookie);
	int ret;

	ctx->nl_buf = mem_private(2 * HOST_NL_BUF_GOOD);
	if (!ctx->nl_buf)
		return -ENOMEM;
	ctx->monitor_buf = ctx->nl_buf + HOST_NL_BUF_GOOD;
	ret = open_netlink(ctx);
	if (ret < 0)
		return ret;
	ctx->netns = host_netns_inode();
	sys_getsockopt(ctx->nl.fd, SOL_SOCKET, SO_NETNS_COOKIE, &ctx->netns_cookie, &len);
	ctx->pidns = host_pidns_inode();
	ctx->signal_fd = signal_open(ctx->fd_floor);
	if (ctx->doorbell[0] < 0)
		ctx->doorbell[0] = sys_fd_raise(sys_eventfd(0, O_CLOEXEC | O_NONBLOCK), ctx->fd_floor);
	return ctx->doorbell[0] < 0 ? ctx->doorbell[0] : 0;
}

static int make_stack(struct context *ctx)
{
	struct layout l = make_layout(ctx->config.max_sockets);
	char name[32];
	int ret;

	if (!context_has_memory(STACK_LEAST))
		return -ENOMEM;
	host_format(name, sizeof(name), "%s%u", STATS_MEMFD_PREFIX, ctx->pid);
	ret = mem_create(&ctx->arena, name, l.end, ctx->fd_floor);
	if (ret < 0)
		return ret;
	ctx->stack = (void *)ctx->arena.base;
	ctx->env.csum = csum_ops(best_csum());
	ret = fill_stack(ctx, &l);
	if (ret < 0)
		return ret;
	host_identity_read(&ctx->maker);
	ctx->slot = 0;
	ctx->stack->proc[0] = (struct stack_proc){ .pid = ctx->pid, .memory_fd = ctx->arena.fd };
	ctx->stack->head.procs[0] = ctx->pid;
	if (ctx->index == 0)
		lend_stack(ctx);
	return open_control(ctx);
}

/* Does the memory say, too, that it was passed to this process by @r? */
static bool is_passed(const struct context *ctx, const struct exec_record *r)
{
	const struct stats_head *h = &ctx->stack->head;
	const struct stack_proc *p = &ctx->stack->proc[r->slot];

	return h->magic == STATS_MAGIC && h->version == STATS_VERSION && h->stack_id == r->arena_slot &&
	       p->pid == ctx->pid && p->passed == r->key;
}

/* The stack of the program that was here before. */
static int take_stack(struct context *ctx, const struct exec_record *r)
{
	int ret = mem_attach(&ctx->arena, r->memory, r->arena_slot, r->mapped);
	struct host_identity now;

	if (ret < 0)
		return ret;
	ctx->stack = (void *)ctx->arena.base;
	if (!is_passed(ctx, r))
		return -ESTALE;
	host_identity_read(&now);
	if (!host_identity_equal_past_exec(&now, &r->maker))
		return -EPERM;
	ctx->maker = r->maker;
	ctx->env.csum = csum_ops(best_csum());
	ctx->clock = r->clock;
	ctx->slot = r->slot;
	ctx->n_connects = r->n_connects;
	memcpy(ctx->doorbell, r->doorbell, sizeof(ctx->doorbell));
	memcpy(ctx->leases, r->leases, sizeof(ctx->leases));
	memcpy(ctx->local.pair, r->links, sizeof(ctx->local.pair));
	memcpy(ctx->icmp, r->icmp, sizeof(ctx->icmp));
	memcpy(ctx->handle_opened, r->opened, sizeof(ctx->handle_opened));
	lend_stack(ctx);
	return open_control(ctx);
}

static int reason_of(int error)
{
	switch (error) {
	case -EEXIST:
		return FS_REASON_address_space;
	case -EMFILE:
	case -ENFILE:
		return FS_REASON_descriptors;
	default:
		return FS_REASON_memory;
	}
}

/* A thread ends: its sleep set goes, and what its calls left behind. */
static void leaves_stack(struct context *ctx, struct context_sleep *sleep)
{
	bool locked = context_lock(ctx);
	struct fd_entry *e = sleep->epfd > 0 ? fd_entry_at(&ctx->fds, sleep->epfd) : NULL;

	/* Without the lock, too: the number is the program's from now on. */
	if (e)
		fs_store_release(&e->kind, (uint32_t)FD_NONE);
	if (sleep->epfd > 0)
		sys_close(sleep->epfd);
	sleep->epfd = 0;
	stay_thread_ends(ctx, locked);
	watch_thread_ends(ctx);
	if (locked)
		context_unlock(ctx);
}

static void thread_ends(void *arg)
{
	struct context_thread *t = arg;
	struct context *home = fs_load_acquire(&fsock_context);

	for (unsigned i = 0; home && i < home->n_stacks; i++)
		leaves_stack(home->stacks[i], &t->sleep[i]);
	stay_page_unmap();
}

static void close_if_ours(const struct context *ctx, int fd)
{
	if (fd >= ctx->fd_floor)
		sys_close(fd);
}

/* It did not come to a stack: what was opened on the way must not be missing to the program. */
static void release(struct context *ctx)
{
	close_if_ours(ctx, ctx->nl.fd);
	close_if_ours(ctx, ctx->monitor.nl.fd);
	close_if_ours(ctx, ctx->signal_fd);
	close_if_ours(ctx, ctx->doorbell[0]);
	watch_close(ctx);
	if (ctx->arena.fd >= ctx->fd_floor)
		mem_close(&ctx->arena);
	if (ctx->nl_buf)
		sys_munmap(ctx->nl_buf, 2 * HOST_NL_BUF_GOOD);
	if (ctx->alive)
		sys_munmap(ctx->alive, PAGE);
	sys_munmap(ctx, sizeof(*ctx));
}

static void discard(struct context *ctx)
{
	close_if_ours(ctx, ctx->log.fd);
	close_if_ours(ctx, ctx->report_fd);
	close_if_ours(ctx, ctx->pcap.fd);
	close_if_ours(ctx, ctx->local.dir);
	pthread_key_delete(ctx->thread_key);
	release(ctx);
}

static void say_why(const struct host_log *log, int reason, int error)
{
	const struct fs_reason_info *info = fs_reason_info((uint32_t)reason);

	host_log(log, LOG_WARN, "no stack (error %d), this program runs on the kernel's sockets: %s; %s",
		 -error, info->text, info->remedy);
}

/* There is no table of records: one for the program as a whole, so that `fsock why` has something to say. */
static void report_refusal(const struct context *ctx, int reason)
{
	struct stats_sock record = { .cookie = 1, .fd = -1, .pid = ctx->pid, .port_index = 0xff };

	record_reason(&record, reason, "no socket of this process is accelerated");
	if (ctx->report_fd >= 0)
		sys_write(ctx->report_fd, &record, sizeof(record));
}

/* Its page and its stack, or the one that @passed tells of; *@reason says why not. */
static int furnish(struct context *ctx, const struct exec_record *passed, int *reason)
{
	int ret = passed ? 0 : host_trial(context_takes_unix()); /* what was there before lived under the same filters */

	*reason = FS_REASON_confined;
	if (ret == -EPERM)
		return ret;
	if (ret == 0)
		ret = make_alive_page(ctx);
	if (ret == 0)
		ret = passed ? take_stack(ctx, passed) : make_stack(ctx);
	*reason = reason_of(ret);
	return ret;
}

/* With a stack of its own, or the one that @passed tells of. */
static struct context *make_context(context_ppoll_fn *libc_ppoll, const struct exec_record *passed, int *reason)
{
	static const struct host_log standard_error = { .fd = 2, .level = LOG_WARN };
	struct context *ctx = mem_private(sizeof(*ctx));
	int ret;

	*reason = FS_REASON_memory;
	if (!ctx) {
		say_why(&standard_error, *reason, -ENOMEM);
		return NULL;
	}
	ctx->fd_floor = passed ? FS_MIN(choose_fd_floor(), passed->fd_floor) : choose_fd_floor();
	ctx->pid = (uint32_t)sys_getpid();
	ctx->fds.highest = -1;
	ctx->stacks[0] = ctx;
	ctx->n_stacks = 1;
	ctx->heir = ctx->next_heir = -1;
	ctx->signal_fd = -1;
	ctx->libc_ppoll = libc_ppoll;
	if (pthread_key_create(&ctx->thread_key, thread_ends) != 0) {
		sys_munmap(ctx, sizeof(*ctx));
		return NULL;
	}
	for (unsigned i = 0; i < STATS_MAX_PROCS; i++)
		ctx->doorbell[i] = -1;
	read_options(ctx);
	host_clock_init(&ctx->clock);
	ctx->spin_limit = choose_spin(&ctx->config);
	ret = furnish(ctx, passed, reason);
	if (ret == 0)
		return ctx;
	say_why(&ctx->log, *reason, ret);
	report_refusal(ctx, *reason);
	discard(ctx);
	return NULL;
}

void context_discard_sister(struct context *ctx)
{
	release(ctx); /* but what is home's: log, report, key */
}

struct context *context_make_sister(struct context *home, unsigned index)
{
	struct context *ctx = mem_private(sizeof(*ctx));

	if (!ctx)
		return NULL;
	ctx->fd_floor = home->fd_floor;
	ctx->pid = home->pid;
	ctx->fds.highest = -1;
	ctx->heir = ctx->next_heir = -1;
	ctx->index = index;
	ctx->n_stacks = 1;
	ctx->signal_fd = -1;
	ctx->libc_ppoll = home->libc_ppoll;
	ctx->thread_key = home->thread_key;
	for (unsigned i = 0; i < STATS_MAX_PROCS; i++)
		ctx->doorbell[i] = -1;
	ctx->config = home->config;
	ctx->log = home->log;
	ctx->report_fd = home->report_fd;
	ctx->clock = home->clock;
	ctx->spin_limit = home->spin_limit;
	if (make_alive_page(ctx) == 0 && make_stack(ctx) == 0)
		return ctx;
	context_discard_sister(ctx);
	return NULL;
}

/* Whether this process has tried to have a stack. FAILED: for good. */
enum { START_NONE, START_UNDER_WAY, START_FAILED, START_DONE };

static uint32_t *start_state(void)
{
	static uint32_t state;

	return &state;
}

struct context *context_take_up(context_ppoll_fn *libc_ppoll, const struct exec_record *passed)
{
	uint32_t none = START_NONE;
	struct context *ctx;
	int reason;

	/* Another library's constructor may have been before. */
	if (!fs_compare_exchange(start_state(), &none, (uint32_t)START_UNDER_WAY))
		return NULL;
	ctx = make_context(libc_ppoll, passed, &reason);
	if (!ctx)
		fs_store_release(start_state(), (uint32_t)START_NONE); /* it may have one of its own */
	return ctx;
}

void context_taken_up(struct context *ctx)
{
	fs_store_release(&fsock_context, ctx);
	handover_heed_signal(ctx);
	fs_store_release(start_state(), START_DONE);
}

struct context *context_start(context_ppoll_fn *libc_ppoll, int *reason)
{
	uint32_t *state = start_state(), none = START_NONE;
	struct context *ctx = fs_load_acquire(&fsock_context);

	if (ctx)
		return ctx;
	if (fs_compare_exchange(state, &none, (uint32_t)START_UNDER_WAY)) {
		int saved = errno;

		ctx = make_context(libc_ppoll, NULL, reason);
		errno = saved;
		fs_store_release(&fsock_context, ctx);
		if (ctx)
			handover_heed_signal(ctx);
		fs_store_release(state, ctx ? (uint32_t)START_DONE : (uint32_t)START_FAILED);
		return ctx;
	}
	while (fs_load_acquire(state) == START_UNDER_WAY)
		sched_yield();
	*reason = FS_REASON_memory;
	return fs_load_acquire(&fsock_context);
}
