/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * doctor_kernel.c - privileges, kernel features and limits, by trying what can be tried for nothing.
 */
#include "findings.h"

#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <linux/bpf.h>
#include <linux/capability.h>

#include "base/err.h"
#include "context/config.h"
#include "steer/bpf_sys.h"

enum {
	IO_URING_PARAMS = 120, /* sizeof(struct io_uring_params) */
	MANY_DESCRIPTORS = 64, /* below it not even a small program gets on */
};

static const char privileges[] = "privileges", kernel[] = "kernel", limits[] = "limits";

/* First line of a /proc or /sys file; false when it cannot be read. */
static bool read_line(const char *path, char *line, size_t len)
{
	FILE *file = fopen(path, "re");
	bool ok = file && fgets(line, (int)len, file);

	if (file)
		fclose(file);
	if (ok)
		line[strcspn(line, "\n")] = '\0';
	return ok;
}

/* A number in a file, @missing when it cannot be read. */
static long read_number(const char *path, long missing)
{
	char line[32];

	return read_line(path, line, sizeof(line)) ? strtol(line, NULL, 10) : missing;
}

/* Value of "@key:" in /proc/self/status as hexadecimal or decimal text; false when absent. */
static bool read_status(const char *key, char *value, size_t len)
{
	FILE *file = fopen("/proc/self/status", "re");
	char line[256];
	bool found = false;

	while (file && !found && fgets(line, sizeof(line), file)) {
		size_t n = strlen(key);

		if (strncmp(line, key, n) != 0 || line[n] != ':')
			continue;
		line[strcspn(line, "\n")] = '\0';
		snprintf(value, len, "%s", line + n + 1 + strspn(line + n + 1, " \t"));
		found = true;
	}
	if (file)
		fclose(file);
	return found;
}

static uint64_t effective_capabilities(void)
{
	char value[32];

	return read_status("CapEff", value, sizeof(value)) ? strtoull(value, NULL, 16) : 0;
}

static bool has(uint64_t caps, unsigned which)
{
	return caps >> which & 1;
}

/* --- privileges --- */

void doctor_privileges(struct findings *findings)
{
	static const struct {
		const char *name;
		unsigned which;
		bool admin; /* CAP_SYS_ADMIN holds it too */
		const char *purpose;
	} needed[] = {
		{ "CAP_NET_ADMIN", CAP_NET_ADMIN, false, "attach steering to an interface" },
		{ "CAP_NET_RAW", CAP_NET_RAW, false, "open AF_XDP sockets" },
		{ "CAP_BPF", CAP_BPF, true, "load the steering program" },
	};
	uint64_t caps = effective_capabilities();
	char map[64], value[16];

	for (size_t i = 0; i < FS_ARRAY_SIZE(needed); i++) {
		if (has(caps, needed[i].which) || (needed[i].admin && has(caps, CAP_SYS_ADMIN)))
			finding_add(findings, FINDING_FINE, privileges, needed[i].name, "held: %s",
				    needed[i].purpose);
		else
			finding_mend(finding_add(findings, FINDING_WRONG, privileges, needed[i].name,
						 "missing: %s", needed[i].purpose),
				     "sudo fsock run ..., or give the program the capability: "
				     "setpriv --ambient-caps (util-linux)");
	}
	if (read_line("/proc/self/uid_map", map, sizeof(map)) && !strstr(map, "4294967295"))
		finding_add(findings, FINDING_NOTE, privileges, "user_namespace",
			    "this is a user namespace of its own; the kernel loads BPF programs only for "
			    "the initial one");
	if (read_status("Seccomp", value, sizeof(value)) && strcmp(value, "0") != 0)
		finding_add(findings, FINDING_NOTE, privileges, "seccomp",
			    "a seccomp filter is in force; it may forbid bpf(2) or AF_XDP");
}

/* --- kernel --- */

static void check_af_xdp(struct findings *findings)
{
	int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (fd >= 0) {
		close(fd);
		finding_add(findings, FINDING_FINE, kernel, "af_xdp", "AF_XDP sockets can be opened");
	} else if (errno == EPERM || errno == EACCES) {
		finding_mend(finding_add(findings, FINDING_WRONG, kernel, "af_xdp",
					 "AF_XDP sockets are not allowed here"),
			     "run as root or with CAP_NET_RAW");
	} else {
		finding_mend(finding_add(findings, FINDING_WRONG, kernel, "af_xdp",
					 "no AF_XDP sockets: %s", strerror(errno)),
			     "use a kernel with CONFIG_XDP_SOCKETS=y");
	}
}

/* "return @verdict", the shortest program there is. */
static int load_trivial(uint32_t type, uint32_t attach_type, int verdict)
{
	const struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = verdict },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	uint64_t words[FS_ARRAY_SIZE(insns)];
	struct bpf_sys_prog prog = { .name = "fsock_probe", .type = type, .attach_type = attach_type,
				     .insns = words, .n_insns = FS_ARRAY_SIZE(insns) };

	static_assert(sizeof(words) == sizeof(insns), "an instruction is 8 bytes");
	memcpy(words, insns, sizeof(words));
	return bpf_sys_prog_load(&prog, NULL, 3);
}

static void check_bpf(struct findings *findings)
{
	long unprivileged = read_number("/proc/sys/kernel/unprivileged_bpf_disabled", -1);
	int fd = load_trivial(BPF_PROG_TYPE_XDP, 0, XDP_PASS);

	if (fd >= 0) {
		close(fd);
		finding_add(findings, FINDING_FINE, kernel, "bpf", "XDP programs can be loaded");
	} else if (fd == -EPERM || fd == -EACCES) {
		finding_mend(finding_add(findings, FINDING_WRONG, kernel, "bpf",
					 "loading XDP programs is not allowed here"
					 " (kernel.unprivileged_bpf_disabled is %ld)", unprivileged),
			     "run as root or with CAP_BPF and CAP_NET_ADMIN");
	} else {
		finding_mend(finding_add(findings, FINDING_WRONG, kernel, "bpf",
					 "XDP programs cannot be loaded: %s", strerror(-fd)),
			     "use a kernel with CONFIG_BPF_SYSCALL=y");
	}
	if (read_number("/proc/sys/net/core/bpf_jit_enable", 1) == 0)
		finding_mend(finding_add(findings, FINDING_NOTE, kernel, "bpf_jit",
					 "BPF programs are interpreted: steering is slow"),
			     "sysctl net.core.bpf_jit_enable=1");
}

/* A kernel with tcx looks for the interface, which does not exist; others do not know the place. */
static void check_tcx(struct findings *findings)
{
	int prog = load_trivial(BPF_PROG_TYPE_SCHED_CLS, 0, 0), rc;

	if (prog < 0)
		return;
	rc = bpf_sys_link_create(prog, INT32_MAX, BPF_SYS_TCX_EGRESS, 0, 3);
	close(prog);
	if (rc >= 0)
		close(rc);
	if (rc == -ENODEV || rc >= 0)
		finding_add(findings, FINDING_FINE, kernel, "tcx", "the egress guard attaches by tcx");
	else
		finding_add(findings, FINDING_NOTE, kernel, "tcx",
			    "no tcx (before Linux 6.6): the egress guard uses a clsact qdisc");
}

static void check_io_uring(struct findings *findings)
{
	_Alignas(8) char params[IO_URING_PARAMS] = { 0 };
	long fd = syscall(__NR_io_uring_setup, 1, params);

	if (fd >= 0) {
		close((int)fd);
		finding_add(findings, FINDING_FINE, kernel, "io_uring", "allowed");
		return;
	}
	finding_mend(finding_add(findings, FINDING_NOTE, kernel, "io_uring",
				 "not available (%s): epoll sets that mix kernel and fast sockets are "
				 "looked at now and then instead, which costs a little",
				 strerror(errno)),
		     read_number("/proc/sys/kernel/io_uring_disabled", 0) > 0
			     ? "sysctl kernel.io_uring_disabled=0"
			     : "allow io_uring in the container's seccomp profile");
}

static void check_ptrace(struct findings *findings)
{
	long scope = read_number("/proc/sys/kernel/yama/ptrace_scope", 0);

	if (scope > 0 && !has(effective_capabilities(), CAP_SYS_PTRACE))
		finding_mend(finding_add(findings, FINDING_NOTE, kernel, "ptrace_scope",
					 "is %ld: children of a program may be unable to share its fast "
					 "path", scope),
			     "sysctl kernel.yama.ptrace_scope=0");
}

void doctor_kernel(struct findings *findings)
{
	struct utsname name;

	if (uname(&name) == 0)
		finding_add(findings, FINDING_FINE, kernel, "release", "%s %s, %ld processor%s",
			    name.release, name.machine, sysconf(_SC_NPROCESSORS_ONLN),
			    sysconf(_SC_NPROCESSORS_ONLN) == 1 ? ": calls do not spin" : "s");
	check_af_xdp(findings);
	check_bpf(findings);
	check_tcx(findings);
	check_io_uring(findings);
	check_ptrace(findings);
}

/* --- limits --- */

/* "unlimited" or a number with its unit. */
static const char *amount(uint64_t bytes, char text[32])
{
	if (bytes == UINT64_MAX)
		snprintf(text, 32, "unlimited");
	else if (bytes >= 10ULL << 20)
		snprintf(text, 32, "%" PRIu64 " MiB", bytes >> 20);
	else
		snprintf(text, 32, "%" PRIu64 " KiB", bytes >> 10);
	return text;
}

static uint64_t limit_of(__rlimit_resource_t which)
{
	struct rlimit limit;

	if (getrlimit(which, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
		return UINT64_MAX;
	return limit.rlim_cur;
}

static void check_memlock(struct findings *findings, uint64_t umem)
{
	uint64_t limit = limit_of(RLIMIT_MEMLOCK);
	char have[32], need[32];

	if (has(effective_capabilities(), CAP_IPC_LOCK))
		finding_add(findings, FINDING_FINE, limits, "memlock", "does not bind: CAP_IPC_LOCK is held");
	else if (limit >= umem)
		finding_add(findings, FINDING_FINE, limits, "memlock", "%s a user, %s needed per queue",
			    amount(limit, have), amount(umem, need));
	else
		finding_mend(finding_add(findings, FINDING_WRONG, limits, "memlock",
					 "%s a user, %s needed per queue", amount(limit, have),
					 amount(umem, need)),
			     "ulimit -l unlimited, or a smaller umem_size");
}

static void check_descriptors(struct findings *findings)
{
	uint64_t limit = limit_of(RLIMIT_NOFILE);

	if (limit >= MANY_DESCRIPTORS)
		finding_add(findings, FINDING_FINE, limits, "nofile", "%" PRIu64 " descriptors", limit);
	else
		finding_mend(finding_add(findings, FINDING_WRONG, limits, "nofile",
					 "%" PRIu64 " descriptors leave none for fsock", limit),
			     "ulimit -n 1024");
}

static void check_address_space(struct findings *findings, uint64_t umem)
{
	uint64_t limit = limit_of(RLIMIT_AS);
	char have[32];
	void *at;

	if (limit < 4 * umem)
		finding_mend(finding_add(findings, FINDING_WRONG, limits, "address_space",
					 "RLIMIT_AS of %s is too small for a stack",
					 amount(limit, have)),
			     "ulimit -v unlimited");
	else
		finding_add(findings, FINDING_FINE, limits, "address_space", "%s", amount(limit, have));
	at = mmap((void *)FSOCK_STACK_BASE, 4096, PROT_NONE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_NORESERVE, -1, 0);
	if (at == (void *)FSOCK_STACK_BASE)
		finding_add(findings, FINDING_FINE, limits, "stack_address", "free at %p", at);
	else
		finding_add(findings, FINDING_WRONG, limits, "stack_address",
			    "nothing can be mapped at %p", (void *)FSOCK_STACK_BASE);
	if (at != MAP_FAILED)
		munmap(at, 4096);
}

/* memory.max of the control group and of those above it: the smallest counts. */
static void check_memory(struct findings *findings, uint64_t umem)
{
	char group[256], path[512], value[32], have[32], need[32];
	uint64_t smallest = UINT64_MAX;
	char *slash;

	if (!read_line("/proc/self/cgroup", group, sizeof(group)) || strncmp(group, "0::", 3) != 0)
		return;
	do {
		snprintf(path, sizeof(path), "/sys/fs/cgroup%s/memory.max", group + 3);
		if (read_line(path, value, sizeof(value)) && strcmp(value, "max") != 0)
			smallest = FS_MIN(smallest, strtoull(value, NULL, 10));
		slash = strrchr(group + 3, '/');
		if (slash)
			*slash = '\0';
	} while (slash);
	if (smallest >= 2 * umem)
		finding_add(findings, FINDING_FINE, limits, "memory", "control group: %s",
			    amount(smallest, have));
	else
		finding_mend(finding_add(findings, FINDING_WRONG, limits, "memory",
					 "the control group's memory.max of %s leaves no room for %s a "
					 "queue", amount(smallest, have), amount(umem, need)),
			     "raise memory.max, or a smaller umem_size");
}

void doctor_limits(struct findings *findings, const struct config *config)
{
	check_memlock(findings, config->umem_size);
	check_descriptors(findings);
	check_address_space(findings, config->umem_size);
	check_memory(findings, config->umem_size);
}
