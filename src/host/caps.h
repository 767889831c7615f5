/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * caps.h - what this process may do here, and what the kernel can: for doctor, and for the reason
 * given when acceleration is declined.
 *
 * Does:     read capabilities, limits, the kernel's version; try AF_XDP, io_uring and BPF
 *           harmlessly.
 * Does not: remember: the answer may change with each setuid() or prctl().
 * Threads:  any; it speaks of the calling thread, as the kernel does.
 * Errors:   none; what cannot be read is reported absent.
 */
#ifndef FSOCK_HOST_CAPS_H
#define FSOCK_HOST_CAPS_H

#include <stdbool.h>
#include <stdint.h>

#define HOST_LIMIT_NONE UINT64_MAX

struct host_caps {
	uint64_t effective; /* bit n = capability n of linux/capability.h. Of these: */
	bool net_admin;
	bool net_raw;
	bool bpf;      /* CAP_BPF or CAP_SYS_ADMIN */
	bool perfmon;  /* CAP_PERFMON or CAP_SYS_ADMIN */
	bool ipc_lock; /* RLIMIT_MEMLOCK does not bind */
	bool sys_ptrace;

	uint64_t memlock;	/* RLIMIT_MEMLOCK in bytes; this and the next: HOST_LIMIT_NONE */
	uint64_t address_space; /* RLIMIT_AS */
	uint64_t descriptors;	/* RLIMIT_NOFILE */
	uint64_t memory_max;	/* of the memory cgroup a container sees as its root */

	char kernel[65]; /* uname's release, and the numbers in it */
	unsigned kernel_major;
	unsigned kernel_minor;
	unsigned kernel_patch;

	int af_xdp;   /* 0 = a socket can be made; -errno: -EAFNOSUPPORT not built, -EPERM */
	int io_uring; /* 0 = a ring can be made; -errno: -EPERM switched off, -ENOSYS */
	int bpf_load; /* 0 = an XDP program can be loaded; -errno */
	bool no_new_privs;
	int seccomp;   /* 0 none, 1 strict, 2 filter */
	unsigned cpus; /* this thread may run on */
};

/* Look. About 100 us, most of it the ring and the program that are made and closed again. */
void host_caps_read(struct host_caps *caps);

/* The cheap part alone: capabilities, and nothing tried. About 1 us. */
uint64_t host_caps_effective(void);

/* The calling thread's seccomp mode: 0 none, 1 strict, 2 filter. About 10 us. */
int host_caps_seccomp(void);

/* The limit at @resource (RLIMIT_*), HOST_LIMIT_NONE = unlimited. */
uint64_t host_caps_limit(int resource);

#endif
