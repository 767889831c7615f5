/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * caps.c - privileges, limits and kernel features, by asking or by trying.
 *
 * Does not read kernel configuration files: whether a feature works is what counts, and containers
 * hide or refuse much that is built in.
 */
#include "host/caps.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/io_uring.h>
#include <linux/prctl.h>
#include <linux/utsname.h>
#include <string.h>
#include <sys/resource.h>

#include "base/err.h"
#include "host/log.h"
#include "sys/sys.h"

enum {
	FAMILY_XDP = 44, /* AF_XDP */
	CPU_WORDS = 128, /* 8192 processors */
};

uint64_t host_caps_effective(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	memset(data, 0, sizeof(data));
	if (sys_call2(__NR_capget, (long)&head, (long)data) < 0)
		return 0;
	return (uint64_t)data[1].effective << 32 | data[0].effective;
}

uint64_t host_caps_limit(int resource)
{
	struct {
		uint64_t now;
		uint64_t most;
	} limit;

	if (sys_call4(__NR_prlimit64, 0, resource, 0, (long)&limit) < 0)
		return HOST_LIMIT_NONE;
	return limit.now; /* RLIM64_INFINITY is all ones too */
}

static bool has(uint64_t effective, int capability)
{
	return effective >> capability & 1;
}

static void read_kernel(struct host_caps *caps)
{
	struct new_utsname name;
	unsigned numbers[3] = { 0 };
	unsigned n = 0;

	if (sys_call1(__NR_uname, (long)&name) < 0)
		return;
	host_format(caps->kernel, sizeof(caps->kernel), "%s", name.release);
	for (const char *at = name.release; *at && n < FS_ARRAY_SIZE(numbers); at++) {
		if (*at >= '0' && *at <= '9')
			numbers[n] = numbers[n] * 10 + (unsigned)(*at - '0');
		else if (*at == '.')
			n++;
		else
			break;
	}
	caps->kernel_major = numbers[0];
	caps->kernel_minor = numbers[1];
	caps->kernel_patch = numbers[2];
}

static int keep_none(int fd)
{
	if (fd < 0)
		return fd;
	sys_close(fd);
	return 0;
}

static int try_io_uring(void)
{
	struct io_uring_params params;

	memset(&params, 0, sizeof(params));
	return keep_none((int)sys_call2(__NR_io_uring_setup, 1, (long)&params));
}

/* "return XDP_PASS", loaded and dropped. */
static int try_bpf(void)
{
	static const struct bpf_insn pass[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_PASS },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	static const char license[] = "Dual BSD/GPL";
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_XDP;
	attr.insns = (uint64_t)(uintptr_t)pass;
	attr.insn_cnt = FS_ARRAY_SIZE(pass);
	attr.license = (uint64_t)(uintptr_t)license;
	return keep_none(sys_bpf(BPF_PROG_LOAD, &attr, sizeof(attr)));
}

/* The number in a small file; HOST_LIMIT_NONE for "max", a huge one, or when it cannot be read. */
static uint64_t read_number(const char *path)
{
	char text[32];
	uint64_t value = 0;
	ssize_t len;
	int fd = sys_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);

	if (fd < 0)
		return HOST_LIMIT_NONE;
	len = sys_read(fd, text, sizeof(text));
	sys_close(fd);
	if (len <= 0 || text[0] < '0' || text[0] > '9')
		return HOST_LIMIT_NONE;
	for (ssize_t i = 0; i < len && text[i] >= '0' && text[i] <= '9'; i++)
		value = value * 10 + (uint64_t)(text[i] - '0');
	return value < 1ULL << 62 ? value : HOST_LIMIT_NONE;
}

/* As a container sees its own limit: at the root of what is mounted, version 2 or 1. */
static uint64_t read_memory_max(void)
{
	return FS_MIN(read_number("/sys/fs/cgroup/memory.max"),
		      read_number("/sys/fs/cgroup/memory/memory.limit_in_bytes"));
}

/* The value of "Seccomp:\t2" in /proc/thread-self/status. */
int host_caps_seccomp(void)
{
	static const char key[] = "\nSeccomp:\t";
	char text[4096];
	const char *found;
	ssize_t len;
	int fd = sys_openat(AT_FDCWD, "/proc/thread-self/status", O_RDONLY | O_CLOEXEC, 0);

	if (fd < 0) /* which in mode 1 would have been the end */
		return FS_MAX((int)sys_call5(__NR_prctl, PR_GET_SECCOMP, 0, 0, 0, 0), 0);
	len = sys_read(fd, text, sizeof(text) - 1);
	sys_close(fd);
	if (len <= 0)
		return 0;
	text[len] = 0;
	found = strstr(text, key);
	return found ? found[sizeof(key) - 1] - '0' : 0;
}

static unsigned count_cpus(void)
{
	uint64_t mask[CPU_WORDS];
	unsigned count = 0;
	long len = sys_call3(__NR_sched_getaffinity, 0, sizeof(mask), (long)mask);

	for (long i = 0; i < len / (long)sizeof(mask[0]); i++)
		count += (unsigned)__builtin_popcountll(mask[i]);
	return count ? count : 1;
}

void host_caps_read(struct host_caps *caps)
{
	uint64_t effective = host_caps_effective();

	*caps = (struct host_caps){
		.effective = effective,
		.net_admin = has(effective, CAP_NET_ADMIN),
		.net_raw = has(effective, CAP_NET_RAW),
		.bpf = has(effective, CAP_BPF) || has(effective, CAP_SYS_ADMIN),
		.perfmon = has(effective, CAP_PERFMON) || has(effective, CAP_SYS_ADMIN),
		.ipc_lock = has(effective, CAP_IPC_LOCK),
		.sys_ptrace = has(effective, CAP_SYS_PTRACE),
		.memlock = host_caps_limit(RLIMIT_MEMLOCK),
		.address_space = host_caps_limit(RLIMIT_AS),
		.descriptors = host_caps_limit(RLIMIT_NOFILE),
		.memory_max = read_memory_max(),
		.af_xdp = keep_none(sys_socket(FAMILY_XDP, SOCK_RAW | SOCK_CLOEXEC, 0)),
		.io_uring = try_io_uring(),
		.bpf_load = try_bpf(),
		.no_new_privs = sys_call5(__NR_prctl, PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1,
		.seccomp = host_caps_seccomp(),
		.cpus = count_cpus(),
	};
	read_kernel(caps);
}
