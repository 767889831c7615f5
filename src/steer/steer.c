/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * steer.c - load, attach and fill the steering program and its guard.
 *
 * Order of a rule: the table entry first, then the slot's count, so that a count never promises more
 * than a look-up finds; the other way round on removal would do as well, the programs cope with both.
 * Does not: decide policy (which interface, which mode): the provider does.
 */
#include "steer/steer.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <netinet/in.h>
#include <string.h>

#include "base/err.h"
#include "steer/bpf_sys.h"
#include "steer/netlink.h"
#include "steer/tap.h"
#include "steer_insns.h" /* generated */
#include "sys/sys.h"

#define STEER_PROG_NAME "fsock_steer" /* by this name other processes know us */
#define GUARD_PROG_NAME "fsock_guard"
#define TAP_PROG_NAME "fsock_tap"

#define STAMP_KEY 0x9e3779b97f4a7c15ULL /* odd; its bits look like no time's */

enum {
	DEFAULT_FLOWS = 65536,
	DEFAULT_PORTS = 4096,
	FORMER_STEP_US = 1000,
	FORMER_LIMIT_US = 200000,
};

static_assert(sizeof(struct steer_shared) <= STEER_SHARED_BYTES, "the mapped range holds its struct");
static_assert(STEER_SHARED_BYTES % 65536 == 0, "whole pages, whatever their size");
static_assert(offsetof(struct steer_shared, beat) == FS_CACHE_LINE, "configuration is one line");
static_assert(sizeof(struct steer_beat) == FS_CACHE_LINE, "a queue's heartbeat is one line");
static_assert(sizeof(struct steer_counts) == 2 * FS_CACHE_LINE, "a CPU's counters are whole lines");
static_assert(sizeof(struct steer_slot) == 8, "a slot is one word");
static_assert(sizeof(struct steer_flow_key) == 40 && sizeof(struct steer_addr_key) == 20,
	      "keys have no padding the compiler made");

static int why(const struct steer_open_args *args, const char *text, int ret)
{
	size_t len;

	if (args->why && args->why_len) {
		len = strnlen(text, args->why_len - 1);
		memcpy(args->why, text, len);
		args->why[len] = '\0';
	}
	return ret;
}

/* A sentence for an error that needs no more knowledge than its number. */
static int why_errno(const struct steer_open_args *args, const char *otherwise, int ret)
{
	if (ret == -EPERM || ret == -EACCES)
		return why(args, "steering needs CAP_NET_ADMIN, CAP_BPF and CAP_PERFMON", -EPERM);
	if (ret == -EMFILE || ret == -ENFILE)
		return why(args, "out of file descriptors", -EMFILE);
	if (ret == -ENOMEM || ret == -ENOBUFS)
		return why(args, "no memory for the steering tables", -ENOMEM);
	if (ret == -ENODEV)
		return why(args, "the interface is gone", -ENODEV);
	return why(args, otherwise, -EOPNOTSUPP);
}

/* The program on the interface, after that of an owner which just ended had time to go. */
static int attached(const struct steer_open_args *args, uint32_t *id)
{
	const struct timespec pause = { .tv_nsec = FORMER_STEP_US * 1000 };
	int ret = steer_netlink_xdp(args->ifindex, id);

	for (int waited = 0; ret == 0 && *id && *id == args->former && waited < FORMER_LIMIT_US;
	     waited += FORMER_STEP_US) {
		sys_nanosleep(&pause);
		ret = steer_netlink_xdp(args->ifindex, id);
	}
	return ret;
}

/* Is the interface free of XDP programs? 0, -EBUSY (ours elsewhere), -EEXIST (foreign), -errno. */
static int interface_free(const struct steer_open_args *args)
{
	char name[BPF_SYS_NAME_LEN];
	uint32_t id;
	int ret;

	ret = attached(args, &id);
	if (ret < 0)
		return why_errno(args, "the interface does not answer", ret);
	if (id == 0)
		return !args->tap && steer_tap_held(args->ifindex) ?
			       why(args, "another process holds the interface's fast path", -EBUSY) :
			       0;
	ret = bpf_sys_prog_name(id, name);
	if (ret == 0 && strcmp(name, STEER_PROG_NAME) == 0)
		return why(args, "another process holds the interface's fast path", -EBUSY);
	/* What it does, it does before the tap; whether that may be is the host's policy. */
	if (args->tap)
		return 0;
	return why(args, "a foreign XDP program is attached to the interface", -EEXIST);
}

static int maps_create(struct steer *steer, const struct steer_open_args *args)
{
	const struct bpf_sys_map maps[] = {
		[STEER_FD_SHARED] = { "fsock_shared", BPF_MAP_TYPE_ARRAY, sizeof(uint32_t),
				      STEER_SHARED_BYTES, 1, BPF_F_MMAPABLE },
		[STEER_FD_FLOWS] = { "fsock_flows", BPF_MAP_TYPE_HASH, sizeof(struct steer_flow_key),
				     sizeof(uint32_t), args->max_flows ? args->max_flows : DEFAULT_FLOWS,
				     BPF_F_NO_PREALLOC },
		[STEER_FD_ADDRS] = { "fsock_addrs", BPF_MAP_TYPE_HASH, sizeof(struct steer_addr_key),
				     sizeof(uint32_t), args->max_ports ? args->max_ports : DEFAULT_PORTS,
				     BPF_F_NO_PREALLOC },
		/* The guard names it, so the tap has one as well, where AF_XDP may be missing. */
		[STEER_FD_XSKS] = { "fsock_xsks", args->tap ? BPF_MAP_TYPE_ARRAY : BPF_MAP_TYPE_XSKMAP,
				    sizeof(uint32_t), sizeof(uint32_t), args->n_queues, 0 },
	};

	for (unsigned i = 0; i < FS_ARRAY_SIZE(maps); i++) {
		steer->fd[i] = bpf_sys_map_create(&maps[i], args->fd_floor);
		if (steer->fd[i] < 0)
			return why_errno(args, "the kernel lacks a BPF map type that steering needs",
					 steer->fd[i]);
	}
	return 0;
}

static int shared_map(struct steer *steer, void *at)
{
	void *p = sys_mmap(at, STEER_SHARED_BYTES, PROT_READ | PROT_WRITE,
			   MAP_SHARED | (at ? MAP_FIXED : 0), steer->fd[STEER_FD_SHARED], 0);

	if (sys_is_err(p))
		return (int)(long)p;
	steer->shared = p;
	return 0;
}

static int tc_load(const struct steer *steer, const struct steer_open_args *args, enum steer_hook hook)
{
	const struct bpf_sys_prog progs[] = {
		[STEER_HOOK_GUARD] = { .name = GUARD_PROG_NAME,
				       .insns = guard_insns,
				       .n_insns = FS_ARRAY_SIZE(guard_insns),
				       .places = guard_places,
				       .n_places = FS_ARRAY_SIZE(guard_places) },
		[STEER_HOOK_TAP] = { .name = TAP_PROG_NAME,
				     .insns = tap_insns,
				     .n_insns = FS_ARRAY_SIZE(tap_insns),
				     .places = tap_places,
				     .n_places = FS_ARRAY_SIZE(tap_places) },
	};
	struct bpf_sys_prog prog = progs[hook];

	prog.type = BPF_PROG_TYPE_SCHED_CLS;
	prog.log = args->log;
	prog.log_len = (uint32_t)args->log_len;
	return bpf_sys_prog_load(&prog, steer->fd, args->fd_floor);
}

/*
 * Attach a tc program as @how says. Links in front of others: one that says "accept" would end the run
 * before our turn. Returns enum steer_guard, TCX or CLSACT, with the link in @link; or -errno.
 */
static int tc_attach(const struct steer_open_args *args, enum steer_hook hook, uint8_t how, int prog,
		     int *link)
{
	static const uint32_t tcx[] = { [STEER_HOOK_GUARD] = BPF_SYS_TCX_EGRESS,
					[STEER_HOOK_TAP] = BPF_SYS_TCX_INGRESS };
	int ret = -EOPNOTSUPP;

	if (how != STEER_GUARD_CLSACT) {
		ret = bpf_sys_link_create(prog, args->ifindex, tcx[hook], BPF_SYS_F_BEFORE,
					  args->fd_floor);
		if (ret >= 0) {
			*link = ret;
			return STEER_GUARD_TCX;
		}
	}
	if (how != STEER_GUARD_TCX)
		ret = steer_netlink_attach(args->ifindex, hook, prog);
	return ret < 0 ? ret : STEER_GUARD_CLSACT;
}

/* Without a guard UDP works all the same, hence no error: the result stands in steer->guard. */
static void guard_attach(struct steer *steer, const struct steer_open_args *args)
{
	int prog, ret;

	steer->guard = STEER_GUARD_NONE;
	if (args->guard == STEER_GUARD_NONE) {
		/* One that a dead owner left on clsact: it would look like a foreign program. */
		steer_netlink_detach(args->ifindex, STEER_HOOK_GUARD);
		return;
	}
	prog = tc_load(steer, args, STEER_HOOK_GUARD);
	if (prog < 0)
		return;
	ret = tc_attach(args, STEER_HOOK_GUARD, args->guard, prog, &steer->fd[STEER_FD_GUARD]);
	if (ret > 0)
		steer->guard = (uint8_t)ret;
	if (ret == STEER_GUARD_TCX)
		__atomic_fetch_or(&steer->shared->flags, STEER_F_GUARD_LINK, __ATOMIC_RELAXED);
	else
		__atomic_fetch_and(&steer->shared->flags, ~(uint32_t)STEER_F_GUARD_LINK, __ATOMIC_RELAXED);
	sys_close(prog);
}

static int xdp_attach(struct steer *steer, const struct steer_open_args *args)
{
	const struct bpf_sys_prog prog = {
		.name = STEER_PROG_NAME,
		.type = BPF_PROG_TYPE_XDP,
		.attach_type = BPF_XDP,
		.flags = BPF_F_XDP_HAS_FRAGS,
		.insns = steer_insns,
		.n_insns = FS_ARRAY_SIZE(steer_insns),
		.places = steer_places,
		.n_places = FS_ARRAY_SIZE(steer_places),
		.log = args->log,
		.log_len = (uint32_t)args->log_len,
	};
	uint32_t mode = args->native ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE;
	int prog_fd, link;

	prog_fd = bpf_sys_prog_load(&prog, steer->fd, args->fd_floor);
	if (prog_fd < 0)
		return why_errno(args, "the kernel refuses the steering program", prog_fd);
	link = bpf_sys_link_create(prog_fd, args->ifindex, BPF_XDP, mode, args->fd_floor);
	sys_close(prog_fd);
	if (link == -EBUSY || link == -EEXIST) {
		link = interface_free(args);
		return link < 0 ? link : why(args, "the interface is being attached elsewhere", -EBUSY);
	}
	if (link < 0)
		return why_errno(args, "the driver refuses an XDP program in this mode", link);
	steer->fd[STEER_FD_LINK] = link;
	return 0;
}

/* The interface's name, which an owner that just ended may still have for a moment. */
static int tap_lock(const struct steer_open_args *args)
{
	const struct timespec pause = { .tv_nsec = FORMER_STEP_US * 1000 };
	int ret = steer_tap_lock(args->ifindex, args->fd_floor);

	for (int waited = 0; ret == -EBUSY && args->former && waited < FORMER_LIMIT_US;
	     waited += FORMER_STEP_US) {
		sys_nanosleep(&pause);
		ret = steer_tap_lock(args->ifindex, args->fd_floor);
	}
	return ret;
}

static int tap_attach(struct steer *steer, const struct steer_open_args *args)
{
	int ret = tap_lock(args), prog;

	if (ret == -EBUSY)
		return why(args, "another process holds the interface's fast path", -EBUSY);
	if (ret < 0)
		return why_errno(args, "the interface's name cannot be held", ret);
	steer->fd[STEER_FD_LOCK] = ret;
	/* What hangs on clsact now a dead owner left. */
	steer_netlink_detach(args->ifindex, STEER_HOOK_GUARD);
	steer_netlink_detach(args->ifindex, STEER_HOOK_TAP);
	prog = tc_load(steer, args, STEER_HOOK_TAP);
	if (prog < 0)
		return why_errno(args, "the kernel refuses the steering program", prog);
	ret = tc_attach(args, STEER_HOOK_TAP, args->tap_hang, prog, &steer->fd[STEER_FD_LINK]);
	sys_close(prog);
	if (ret < 0)
		return why_errno(args, "the kernel takes no tc program on this interface", ret);
	steer->tap = (uint8_t)ret;
	return 0;
}

static int attach(struct steer *steer, const struct steer_open_args *args)
{
	return args->tap ? tap_attach(steer, args) : xdp_attach(steer, args);
}

static uint32_t flags_of(const struct steer_open_args *args)
{
	if (args->tap)
		return STEER_F_TAP | (args->no_udp_gso ? STEER_F_NO_UDP_GSO : 0);
	return args->native ? 0 : STEER_F_GENERIC;
}

static void configure(struct steer_shared *shared, const struct steer_open_args *args)
{
	shared->flags = flags_of(args);
	shared->n_queues = args->n_queues;
	memcpy(shared->mac, args->mac.b, sizeof(shared->mac));
}

static void fds_clear(struct steer *steer)
{
	for (unsigned i = 0; i < STEER_N_FDS; i++)
		steer->fd[i] = -1;
}

static void fd_drop(int *fd)
{
	if (*fd >= 0)
		sys_close(*fd);
	*fd = -1;
}

/* Others hold copies of the owner's: what it takes away is gone for them, too. */
static void link_drop(const struct steer *steer, int *fd)
{
	if (steer->owner && *fd >= 0)
		bpf_sys_link_detach(*fd);
	fd_drop(fd);
}

int steer_open(struct steer *steer, const struct steer_open_args *args)
{
	int ret;

	memset(steer, 0, sizeof(*steer));
	fds_clear(steer);
	if (args->ifindex == 0)
		return why(args, "no such interface", -ENODEV);
	if (args->n_queues == 0 || args->n_queues > STEER_MAX_QUEUES)
		return why(args, "the interface has too many receive queues", -EOPNOTSUPP);
	ret = interface_free(args);
	if (ret < 0)
		return ret;
	steer->ifindex = args->ifindex;
	steer->owner = true;
	ret = maps_create(steer, args);
	if (ret < 0)
		goto failed;
	ret = shared_map(steer, args->at);
	if (ret < 0) {
		ret = why_errno(args, "the steering tables cannot be mapped", ret);
		goto failed;
	}
	configure(steer->shared, args);
	ret = attach(steer, args);
	if (ret < 0)
		goto failed;
	/* After what is exclusive: a clsact guard found now has no living owner. */
	guard_attach(steer, args);
	return 0;

failed:
	steer_close(steer);
	return ret;
}

int steer_side_add(struct steer *steer, int fd_floor)
{
	const struct steer_open_args args = { .ifindex = steer->ifindex, .fd_floor = fd_floor };
	int prog, ret;

	if (!steer->owner)
		return -EPERM;
	if (steer->fd[STEER_FD_SIDE] >= 0)
		return 0;
	prog = tc_load(steer, &args, STEER_HOOK_TAP);
	if (prog < 0)
		return prog;
	ret = tc_attach(&args, STEER_HOOK_TAP, STEER_GUARD_TCX, prog, &steer->fd[STEER_FD_SIDE]);
	sys_close(prog);
	if (ret < 0)
		return ret == -EPERM ? ret : -EOPNOTSUPP;
	return 0;
}

void steer_side_on(struct steer_shared *shared)
{
	__atomic_fetch_or(&shared->flags, STEER_F_SIDE, __ATOMIC_RELEASE);
}

void steer_side_off(struct steer_shared *shared)
{
	__atomic_fetch_and(&shared->flags, ~(uint32_t)STEER_F_SIDE, __ATOMIC_RELAXED);
}

void steer_guard_add(struct steer *steer, int fd_floor)
{
	const struct steer_open_args args = {
		.ifindex = steer->ifindex,
		.guard = STEER_GUARD_AUTO,
		.fd_floor = fd_floor,
	};

	if (steer->owner && steer->guard == STEER_GUARD_NONE)
		guard_attach(steer, &args);
}

int steer_join(struct steer *steer, uint32_t ifindex, const int fd[STEER_N_FDS], void *at)
{
	int ret;

	memset(steer, 0, sizeof(*steer));
	memcpy(steer->fd, fd, sizeof(steer->fd));
	steer->ifindex = ifindex;
	steer->guard = fd[STEER_FD_GUARD] >= 0 ? STEER_GUARD_TCX : STEER_GUARD_NONE;
	ret = shared_map(steer, at);
	if (ret < 0)
		fds_clear(steer);
	return ret;
}

int steer_beside(struct steer *steer, const struct steer *home, void *at, int fd_floor)
{
	static const int tables[] = { STEER_FD_SHARED, STEER_FD_FLOWS, STEER_FD_ADDRS, STEER_FD_XSKS };
	int fd[STEER_N_FDS], ret = 0;

	for (unsigned i = 0; i < STEER_N_FDS; i++)
		fd[i] = -1;
	for (unsigned i = 0; i < FS_ARRAY_SIZE(tables) && ret >= 0; i++)
		ret = fd[tables[i]] = sys_fcntl(home->fd[tables[i]], F_DUPFD_CLOEXEC, fd_floor);
	if (ret >= 0)
		ret = steer_join(steer, home->ifindex, fd, at);
	for (unsigned i = 0; i < STEER_N_FDS && ret < 0; i++)
		fd_drop(&fd[i]);
	return ret == -EINVAL ? -EMFILE : ret; /* a floor above the limit */
}

void steer_adopt(struct steer *steer, int fd_floor)
{
	const struct steer_open_args args = {
		.ifindex = steer->ifindex,
		.guard = STEER_GUARD_AUTO,
		.fd_floor = fd_floor,
	};

	steer->owner = true;
	/* It came after this process had joined, and its link ended with the owner. */
	if (steer->guard == STEER_GUARD_TCX && steer->fd[STEER_FD_GUARD] < 0)
		guard_attach(steer, &args);
}

void steer_fork_child(struct steer *steer, bool keep_maps)
{
	steer->owner = false;
	fd_drop(&steer->fd[STEER_FD_LINK]);
	fd_drop(&steer->fd[STEER_FD_GUARD]);
	fd_drop(&steer->fd[STEER_FD_LOCK]);
	fd_drop(&steer->fd[STEER_FD_SIDE]);
	for (unsigned i = 0; i < STEER_N_FDS && !keep_maps; i++)
		fd_drop(&steer->fd[i]);
}

void steer_close(struct steer *steer)
{
	/* Detach first: no frame may be redirected while the tables go. */
	link_drop(steer, &steer->fd[STEER_FD_LINK]);
	link_drop(steer, &steer->fd[STEER_FD_SIDE]);
	link_drop(steer, &steer->fd[STEER_FD_GUARD]);
	if (steer->owner && steer->guard == STEER_GUARD_CLSACT)
		steer_netlink_detach(steer->ifindex, STEER_HOOK_GUARD);
	if (steer->owner && steer->tap == STEER_GUARD_CLSACT)
		steer_netlink_detach(steer->ifindex, STEER_HOOK_TAP);
	if (steer->shared)
		sys_munmap(steer->shared, STEER_SHARED_BYTES);
	steer->shared = NULL;
	for (unsigned i = 0; i < STEER_N_FDS; i++)
		fd_drop(&steer->fd[i]);
	steer->owner = false;
	steer->guard = STEER_GUARD_NONE;
	steer->tap = 0;
}

bool steer_is_off(const struct steer *steer)
{
	return steer->fd[STEER_FD_LINK] >= 0 && bpf_sys_link_is_off(steer->fd[STEER_FD_LINK]);
}

int steer_set_xsk(struct steer *steer, uint32_t queue, int xsk)
{
	uint32_t value = (uint32_t)xsk;
	int ret;

	if (xsk >= 0)
		return bpf_sys_map_update(steer->fd[STEER_FD_XSKS], &queue, &value, BPF_ANY);
	ret = bpf_sys_map_delete(steer->fd[STEER_FD_XSKS], &queue);
	return ret == -ENOENT ? 0 : ret;
}

void steer_set_mac(struct steer *steer, const struct eth_addr *mac)
{
	memcpy(steer->shared->mac, mac->b, sizeof(steer->shared->mac));
}

/* --- local addresses --- */

static bool addr_listed(const struct steer_addr_key *key, const struct ip_addr *addrs, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (memcmp(key->addr, addrs[i].b, sizeof(key->addr)) == 0)
			return true;
	return false;
}

/* Delete local addresses that are not in @addrs. */
static int local_prune(int fd, const struct ip_addr *addrs, unsigned n)
{
	struct steer_addr_key kept, next;
	const struct steer_addr_key *at = NULL; /* last entry that stays; NULL = start */
	int ret;

	while ((ret = bpf_sys_map_next(fd, at, &next)) == 0) {
		if (next.port == 0 && !addr_listed(&next, addrs, n)) {
			ret = bpf_sys_map_delete(fd, &next);
			if (ret < 0 && ret != -ENOENT)
				return ret;
			continue;
		}
		kept = next;
		at = &kept;
	}
	return ret == -ENOENT ? 0 : ret;
}

/* The table holds all of them, so that an address missing here for a moment is found there. */
static void local_fast(struct steer_shared *shared, const struct ip_addr *addrs, unsigned n)
{
	unsigned filled = 0;

	for (unsigned i = 0; i < n && filled < STEER_FAST_LOCAL4; i++)
		if (ip_addr_is_v4(&addrs[i]))
			__atomic_store_n(&shared->local4[filled++], addrs[i].w[3], __ATOMIC_RELAXED);
	for (; filled < STEER_FAST_LOCAL4; filled++)
		__atomic_store_n(&shared->local4[filled], 0, __ATOMIC_RELAXED);
}

int steer_set_local(struct steer *steer, const struct ip_addr *addrs, unsigned n)
{
	const uint32_t present = STEER_FLOW_STACK;
	int ret = 0, err;

	for (unsigned i = 0; i < n; i++) {
		struct steer_addr_key key = { .port = 0 };

		memcpy(key.addr, addrs[i].b, sizeof(key.addr));
		err = bpf_sys_map_update(steer->fd[STEER_FD_ADDRS], &key, &present, BPF_ANY);
		if (err < 0)
			ret = err;
	}
	local_fast(steer->shared, addrs, n);
	err = local_prune(steer->fd[STEER_FD_ADDRS], addrs, n);
	return ret < 0 ? ret : err;
}

/* --- port and flow entries --- */

/* STEER_SLOT_* of a protocol, -EPROTONOSUPPORT. */
static int slot_of(uint8_t protocol)
{
	if (protocol == IPPROTO_UDP)
		return STEER_SLOT_UDP;
	return protocol == IPPROTO_TCP ? STEER_SLOT_TCP : -EPROTONOSUPPORT;
}

static struct steer_addr_key port_key(const struct steer_port *port, int slot)
{
	struct steer_addr_key key = { .port = port->port, .slot = (uint8_t)slot };

	if (ip_addr_is_multicast(&port->local))
		key.slot += STEER_GROUP;
	memcpy(key.addr, port->local.b, sizeof(key.addr));
	return key;
}

int steer_port_add(struct steer *steer, const struct steer_port *port)
{
	const uint32_t verdict = STEER_FLOW_STACK;
	struct steer_addr_key key;
	struct steer_slot *entry;
	int slot = slot_of(port->protocol);
	int ret;

	if (slot < 0)
		return slot;
	if (port->port == 0)
		return -EINVAL;
	entry = &steer->shared->slot[slot][port->port];
	if (ip_addr_is_any(&port->local)) {
		__atomic_fetch_or(&entry->wild, port->wild, __ATOMIC_RELAXED);
		return 0;
	}
	key = port_key(port, slot);
	ret = bpf_sys_map_update(steer->fd[STEER_FD_ADDRS], &key, &verdict, BPF_NOEXIST);
	if (ret == 0)
		__atomic_fetch_add(&entry->exact, 1, __ATOMIC_RELAXED);
	return ret == -EEXIST ? 0 : ret;
}

int steer_port_remove(struct steer *steer, const struct steer_port *port)
{
	struct steer_addr_key key;
	struct steer_slot *entry;
	int slot = slot_of(port->protocol);
	int ret;

	if (slot < 0)
		return slot;
	entry = &steer->shared->slot[slot][port->port];
	if (ip_addr_is_any(&port->local)) {
		__atomic_fetch_and(&entry->wild, (uint8_t)~port->wild, __ATOMIC_RELAXED);
		return 0;
	}
	key = port_key(port, slot);
	ret = bpf_sys_map_delete(steer->fd[STEER_FD_ADDRS], &key);
	if (ret == 0)
		__atomic_fetch_sub(&entry->exact, 1, __ATOMIC_RELAXED);
	return ret == -ENOENT ? 0 : ret;
}

void steer_port_aside(struct steer_shared *shared, uint16_t port, bool on)
{
	__atomic_store_n(&shared->slot[STEER_SLOT_UDP][port].aside, on, __ATOMIC_RELAXED);
}

static struct steer_flow_key flow_key(const struct steer_flow *flow, int slot)
{
	struct steer_flow_key key = { .local_port = flow->local_port,
				      .remote_port = flow->remote_port,
				      .slot = (uint8_t)slot };

	memcpy(key.local, flow->local.b, sizeof(key.local));
	memcpy(key.remote, flow->remote.b, sizeof(key.remote));
	return key;
}

int steer_flow_add(struct steer *steer, const struct steer_flow *flow, enum steer_flow_verdict verdict)
{
	const uint32_t value = verdict;
	struct steer_flow_key key;
	int slot = slot_of(flow->protocol);
	int ret;

	if (slot < 0)
		return slot;
	key = flow_key(flow, slot);
	ret = bpf_sys_map_update(steer->fd[STEER_FD_FLOWS], &key, &value, BPF_NOEXIST);
	if (ret == 0)
		__atomic_fetch_add(&steer->shared->slot[slot][flow->local_port].flows, 1,
				   __ATOMIC_RELAXED);
	if (ret == -EEXIST)
		ret = bpf_sys_map_update(steer->fd[STEER_FD_FLOWS], &key, &value, BPF_EXIST);
	return ret;
}

int steer_flow_remove(struct steer *steer, const struct steer_flow *flow)
{
	struct steer_flow_key key;
	int slot = slot_of(flow->protocol);
	int ret;

	if (slot < 0)
		return slot;
	if (__atomic_load_n(&steer->shared->slot[slot][flow->local_port].flows, __ATOMIC_RELAXED) == 0)
		return 0;
	key = flow_key(flow, slot);
	ret = bpf_sys_map_delete(steer->fd[STEER_FD_FLOWS], &key);
	if (ret == 0)
		__atomic_fetch_sub(&steer->shared->slot[slot][flow->local_port].flows, 1,
				   __ATOMIC_RELAXED);
	return ret == -ENOENT ? 0 : ret;
}

/* --- stamps --- */

void steer_forget(struct steer_shared *shared)
{
	static const struct steer_slot none;

	if (!shared)
		return; /* closed meanwhile */
	/* Without a word in its port's slot no program looks at any table. */
	for (unsigned slot = 0; slot < STEER_SLOTS; slot++)
		for (unsigned port = 0; port < FS_ARRAY_SIZE(shared->slot[slot]); port++)
			if (memcmp(&shared->slot[slot][port], &none, sizeof(none)) != 0)
				shared->slot[slot][port] = none;
}

void steer_stamps_on(struct steer_shared *shared)
{
	uint64_t turn;

	__atomic_fetch_add(&shared->stamp_users, 1, __ATOMIC_SEQ_CST);
	turn = __atomic_fetch_add(&shared->stamp_turns, 1, __ATOMIC_RELAXED);
	/* Odd times odd: never 0, and new for the next 2^63 times. */
	__atomic_store_n(&shared->stamp_key, (2 * turn + 1) * STAMP_KEY, __ATOMIC_SEQ_CST);
}

void steer_stamps_off(struct steer_shared *shared)
{
	__u64 key = __atomic_load_n(&shared->stamp_key, __ATOMIC_SEQ_CST);

	/* Unless another port begins meanwhile: then the key is new, or about to be. */
	if (__atomic_fetch_sub(&shared->stamp_users, 1, __ATOMIC_SEQ_CST) == 1)
		__atomic_compare_exchange_n(&shared->stamp_key, &key, 0, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/* --- counters --- */

void steer_stats(const struct steer_shared *shared, struct steer_counts *sum)
{
	const unsigned words = sizeof(*sum) / sizeof(uint64_t);
	uint64_t total[sizeof(*sum) / sizeof(uint64_t)] = { 0 };

	for (unsigned cpu = 0; cpu < STEER_CPU_LINES; cpu++) {
		const uint64_t *line = (const uint64_t *)&shared->count[cpu];

		for (unsigned i = 0; i < words; i++)
			total[i] += __atomic_load_n(&line[i], __ATOMIC_RELAXED);
	}
	memcpy(sum, total, sizeof(*sum));
}

uint64_t steer_passed_partial(const struct steer_shared *shared)
{
	uint64_t n = 0;

	for (unsigned cpu = 0; cpu < STEER_CPU_LINES; cpu++)
		n += __atomic_load_n(&shared->count[cpu].passed_partial, __ATOMIC_RELAXED);
	return n;
}

unsigned steer_programs(const struct steer *steer, uint32_t ids[STEER_MAX_PROGRAMS])
{
	static const int links[] = { STEER_FD_LINK, STEER_FD_GUARD, STEER_FD_SIDE };
	unsigned n = 0;
	uint32_t id;

	_Static_assert(FS_ARRAY_SIZE(links) == STEER_MAX_PROGRAMS, "each may be there");
	memset(ids, 0, STEER_MAX_PROGRAMS * sizeof(*ids));
	for (unsigned i = 0; i < FS_ARRAY_SIZE(links); i++) {
		id = steer->fd[links[i]] < 0 ? 0 : bpf_sys_link_prog(steer->fd[links[i]]);
		if (id)
			ids[n++] = id;
	}
	if (steer->tap == STEER_GUARD_CLSACT && n < STEER_MAX_PROGRAMS &&
	    steer_netlink_id(steer->ifindex, STEER_HOOK_TAP, &id) == 0)
		ids[n++] = id;
	if (steer->guard == STEER_GUARD_CLSACT && n < STEER_MAX_PROGRAMS &&
	    steer_netlink_id(steer->ifindex, STEER_HOOK_GUARD, &id) == 0)
		ids[n++] = id;
	for (unsigned i = 0; i < STEER_MAX_PROGRAMS; i++)
		__atomic_store_n(&steer->shared->programs[i], ids[i], __ATOMIC_RELAXED);
	return n;
}

void steer_programs_told(const struct steer_shared *shared, uint32_t ids[STEER_MAX_PROGRAMS])
{
	for (unsigned i = 0; i < STEER_MAX_PROGRAMS; i++)
		ids[i] = __atomic_load_n(&shared->programs[i], __ATOMIC_RELAXED);
}
