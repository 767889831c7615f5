/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * doctor_kernel.c - privileges, kernel features and limits in words. The looking is src/host's.
 */
#include "findings.h"

#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/bpf.h>

#include "base/err.h"
#include "context/config.h"
#include "host/caps.h"
#include "steer/bpf_sys.h"

enum { MANY_DESCRIPTORS = 64 /* below it not even a small program gets on */ };

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

/* --- privileges --- */

void doctor_privileges(struct findings *findings, const struct host_caps *caps)
{
	const struct {
		const char *name;
		bool held;
		const char *purpose;
	} needed[] = {
		{ "CAP_NET_ADMIN", caps->net_admin, "attach steering to an interface" },
		{ "CAP_NET_RAW", caps->net_raw, "open AF_XDP sockets" },
		{ "CAP_BPF", caps->bpf, "load the steering program" },
		{ "CAP_PERFMON", caps->perfmon, "have the verifier take it: it reads at computed offsets" },
	};
	char map[64];

	for (size_t i = 0; i < FS_ARRAY_SIZE(needed); i++) {
		if (needed[i].held)
			finding_add(findings, FINDING_FINE, privileges, needed[i].name, "held: %s",
				    needed[i].purpose);
		else
			finding_mend(finding_add(findings, FINDING_WRONG, privileges,
						 needed[i].name, "missing: %s", needed[i].purpose),
				     "sudo fsock run ..., or give the program the capability: "
				     "setpriv --ambient-caps (util-linux)");
	}
	if (read_line("/proc/self/uid_map", map, sizeof(map)) && !strstr(map, "4294967295"))
		finding_add(
			findings, FINDING_NOTE, privileges, "user_namespace",
			"this is a user namespace of its own; the kernel loads BPF programs only "
			"for the initial one");
	if (caps->seccomp)
		finding_add(findings, FINDING_NOTE, privileges, "seccomp",
			    "a seccomp filter is in force; it may forbid bpf(2) or AF_XDP");
}

/* --- kernel --- */

static void check_af_xdp(struct findings *findings, const struct host_caps *caps)
{
	if (caps->af_xdp == 0)
		finding_add(findings, FINDING_FINE, kernel, "af_xdp",
			    "AF_XDP sockets can be opened");
	else if (caps->af_xdp == -EPERM || caps->af_xdp == -EACCES)
		finding_mend(finding_add(findings, FINDING_WRONG, kernel, "af_xdp",
					 "AF_XDP sockets are not allowed here"),
			     "run as root or with CAP_NET_RAW");
	else
		finding_mend(finding_add(findings, FINDING_WRONG, kernel, "af_xdp",
					 "no AF_XDP sockets: %s", strerror(-caps->af_xdp)),
			     "use a kernel with CONFIG_XDP_SOCKETS=y");
}

static void check_bpf(struct findings *findings, const struct host_caps *caps)
{
	long unprivileged = read_number("/proc/sys/kernel/unprivileged_bpf_disabled", -1);

	if (caps->bpf_load == 0)
		finding_add(findings, FINDING_FINE, kernel, "bpf", "XDP programs can be loaded");
	else if (caps->bpf_load == -EPERM || caps->bpf_load == -EACCES)
		finding_mend(finding_add(findings, FINDING_WRONG, kernel, "bpf",
					 "loading XDP programs is not allowed here"
					 " (kernel.unprivileged_bpf_disabled is %ld)",
					 unprivileged),
			     "run as root or with CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN");
	else
		finding_mend(finding_add(findings, FINDING_WRONG, kernel, "bpf",
					 "XDP programs cannot be loaded: %s",
					 strerror(-caps->bpf_load)),
			     "use a kernel with CONFIG_BPF_SYSCALL=y");
	if (read_number("/proc/sys/net/core/bpf_jit_enable", 1) == 0)
		finding_mend(finding_add(findings, FINDING_NOTE, kernel, "bpf_jit",
					 "BPF programs are interpreted: steering is slow"),
			     "sysctl net.core.bpf_jit_enable=1");
}

/* A classifier of two instructions: "return 0". */
static int load_classifier(void)
{
	const struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	uint64_t words[FS_ARRAY_SIZE(insns)];
	struct bpf_sys_prog prog = { .name = "fsock_probe",
				     .type = BPF_PROG_TYPE_SCHED_CLS,
				     .insns = words,
				     .n_insns = FS_ARRAY_SIZE(insns) };

	static_assert(sizeof(words) == sizeof(insns), "an instruction is 8 bytes");
	memcpy(words, insns, sizeof(words));
	return bpf_sys_prog_load(&prog, NULL, 3);
}

/*
 * A kernel with tcx looks for the interface, which does not exist; others do not know the place.
 */
static void check_tcx(struct findings *findings)
{
	int prog = load_classifier(), rc;

	if (prog < 0)
		return;
	rc = bpf_sys_link_create(prog, INT32_MAX, BPF_SYS_TCX_EGRESS, 0, 3);
	close(prog);
	if (rc >= 0)
		close(rc);
	if (rc == -ENODEV || rc >= 0)
		finding_add(findings, FINDING_FINE, kernel, "tcx",
			    "the egress guard attaches by tcx");
	else
		finding_add(findings, FINDING_NOTE, kernel, "tcx",
			    "no tcx (before Linux 6.6): the egress guard uses a clsact qdisc");
}

static void check_io_uring(struct findings *findings, const struct host_caps *caps)
{
	if (caps->io_uring == 0) {
		finding_add(findings, FINDING_FINE, kernel, "io_uring", "allowed");
		return;
	}
	finding_mend(
		finding_add(findings, FINDING_NOTE, kernel, "io_uring",
			    "not available (%s): epoll sets that mix kernel and fast sockets are "
			    "looked at now and then instead, which costs a little",
			    strerror(-caps->io_uring)),
		read_number("/proc/sys/kernel/io_uring_disabled", 0) > 0
			? "sysctl kernel.io_uring_disabled=0"
			: "allow io_uring in the container's seccomp profile");
}

static void check_ptrace(struct findings *findings, const struct host_caps *caps)
{
	long scope = read_number("/proc/sys/kernel/yama/ptrace_scope", 0);

	if (scope > 0 && !caps->sys_ptrace)
		finding_mend(
			finding_add(findings, FINDING_NOTE, kernel, "ptrace_scope",
				    "is %ld: children of a program may be unable to share its fast "
				    "path",
				    scope),
			"sysctl kernel.yama.ptrace_scope=0");
}

void doctor_kernel(struct findings *findings, const struct host_caps *caps)
{
	finding_add(findings, FINDING_FINE, kernel, "release", "Linux %s, %u processor%s",
		    caps->kernel, caps->cpus, caps->cpus == 1 ? ": calls do not spin" : "s");
	check_af_xdp(findings, caps);
	check_bpf(findings, caps);
	check_tcx(findings);
	check_io_uring(findings, caps);
	check_ptrace(findings, caps);
}

/* --- limits --- */

/* "unlimited" or a number with its unit. */
static const char *amount(uint64_t bytes, char text[32])
{
	if (bytes == HOST_LIMIT_NONE)
		snprintf(text, 32, "unlimited");
	else if (bytes >= 10ULL << 20)
		snprintf(text, 32, "%" PRIu64 " MiB", bytes >> 20);
	else
		snprintf(text, 32, "%" PRIu64 " KiB", bytes >> 10);
	return text;
}

static void check_memlock(struct findings *findings, const struct host_caps *caps, uint64_t umem)
{
	char have[32], need[32];

	amount(caps->memlock, have);
	amount(umem, need);
	if (caps->ipc_lock)
		finding_add(findings, FINDING_FINE, limits, "memlock",
			    "does not bind: CAP_IPC_LOCK is held");
	else if (caps->memlock >= umem)
		finding_add(findings, FINDING_FINE, limits, "memlock",
			    "%s a user, %s wanted per queue", have, need);
	else if (caps->memlock >= config_option_at(CONFIG_umem_size)->min)
		finding_mend(finding_add(findings, FINDING_NOTE, limits, "memlock",
					 "%s a user, %s wanted per queue: frame pools are smaller, or fewer "
					 "queues served",
					 have, need),
			     "ulimit -l unlimited, or a smaller umem_size");
	else
		finding_mend(finding_add(findings, FINDING_WRONG, limits, "memlock",
					 "%s a user, %s wanted per queue", have, need),
			     "ulimit -l unlimited, or a smaller umem_size");
}

static void check_descriptors(struct findings *findings, const struct host_caps *caps)
{
	if (caps->descriptors >= MANY_DESCRIPTORS)
		finding_add(findings, FINDING_FINE, limits, "nofile", "%" PRIu64 " descriptors",
			    caps->descriptors);
	else
		finding_mend(finding_add(findings, FINDING_WRONG, limits, "nofile",
					 "%" PRIu64 " descriptors leave none for fsock",
					 caps->descriptors),
			     "ulimit -n 1024");
}

static void check_address_space(struct findings *findings, const struct host_caps *caps,
				uint64_t umem)
{
	char have[32];
	void *at;

	amount(caps->address_space, have);
	if (caps->address_space < 4 * umem)
		finding_mend(finding_add(findings, FINDING_WRONG, limits, "address_space",
					 "RLIMIT_AS of %s is too small for a stack", have),
			     "ulimit -v unlimited");
	else
		finding_add(findings, FINDING_FINE, limits, "address_space", "%s", have);
	at = mmap((void *)FSOCK_STACK_BASE, 4096, PROT_NONE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_NORESERVE, -1, 0);
	if (at == (void *)FSOCK_STACK_BASE)
		finding_add(findings, FINDING_FINE, limits, "stack_address", "free at %p", at);
	else
		finding_mend(finding_add(findings, FINDING_WRONG, limits, "stack_address",
					 "nothing can be mapped at %p", (void *)FSOCK_STACK_BASE),
			     "build with another address: meson setup -Dstack_base=...");
	if (at != MAP_FAILED)
		munmap(at, 4096);
}

static void check_memory(struct findings *findings, const struct host_caps *caps, uint64_t umem)
{
	char have[32], need[32];

	amount(caps->memory_max, have);
	if (caps->memory_max >= 2 * umem)
		finding_add(findings, FINDING_FINE, limits, "memory", "control group: %s", have);
	else
		finding_mend(
			finding_add(findings, FINDING_WRONG, limits, "memory",
				    "the control group's memory.max of %s leaves no room for %s a "
				    "queue",
				    have, amount(umem, need)),
			"raise memory.max, or a smaller umem_size");
}

void doctor_limits(struct findings *findings, const struct host_caps *caps,
		   const struct config *config)
{
	check_memlock(findings, caps, config->umem_size);
	check_descriptors(findings, caps);
	check_address_space(findings, caps, config->umem_size);
	check_memory(findings, caps, config->umem_size);
}
