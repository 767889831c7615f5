/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bpf_tiny.h - just enough of bpf(2) for the programs of this folder, and a namespace of their own.
 *
 * Does:     enter a new network namespace with the loopback interface up, load and attach a few
 *           instructions, tell why a check failed.
 * Does not: clean up: namespace, programs and links end with the process.
 * Errors:   functions that return do so with a descriptor or -errno; check() ends the process with 1,
 *           skip() with 77, which the test runner reports as skipped.
 */
#ifndef FSOCK_TESTS_PLATFORM_BPF_TINY_H
#define FSOCK_TESTS_PLATFORM_BPF_TINY_H

#include <errno.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define OP(c, d, s, o, i)                                                                         \
	((struct bpf_insn){ .code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (int)(i) })
#define MOV_IMM(d, i) OP(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, i)
#define MOV_REG(d, s) OP(BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define ADD_IMM(d, i) OP(BPF_ALU64 | BPF_ADD | BPF_K, d, 0, 0, i)
#define STORE32(d, o, i) OP(BPF_ST | BPF_MEM | BPF_W, d, 0, o, i)
#define STORE16(d, o, i) OP(BPF_ST | BPF_MEM | BPF_H, d, 0, o, i)
#define LOAD32(d, s, o) OP(BPF_LDX | BPF_MEM | BPF_W, d, s, o, 0)
#define JUMP_IF_ZERO(d, o) OP(BPF_JMP | BPF_JEQ | BPF_K, d, 0, o, 0)
#define CALL(function) OP(BPF_JMP | BPF_CALL, 0, 0, 0, function)
#define EXIT() OP(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)

enum {
	LO = 1,		 /* index of the loopback interface in every namespace */
	TCX_EGRESS = 47, /* BPF_TCX_EGRESS, Linux 6.6 */
	SKB_MODE = 2,	 /* XDP_FLAGS_SKB_MODE */
};

static inline void check(int holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "does not hold: %s (errno %d, %s)\n", what, errno, strerror(errno));
	exit(1);
}

static inline void skip(const char *why)
{
	fprintf(stderr, "skipped: %s\n", why);
	exit(77);
}

static inline long bpf(int command, union bpf_attr *attr)
{
	long ret = syscall(__NR_bpf, command, attr, sizeof(*attr));

	return ret < 0 ? -errno : ret;
}

static inline void own_namespace(void)
{
	struct ifreq up = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd;

	if (geteuid() != 0)
		skip("needs root");
	check(unshare(CLONE_NEWNET) == 0, "a network namespace of our own");
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	check(fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &up) == 0, "loopback can be set up");
	close(fd);
}

static inline int prog_load(uint32_t type, const struct bpf_insn *insns, uint32_t n)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.prog_type = type;
	attr.insns = (uintptr_t)insns;
	attr.insn_cnt = n;
	attr.license = (uintptr_t)"Dual BSD/GPL";
	return (int)bpf(BPF_PROG_LOAD, &attr);
}

/* A program of @type that returns @code. */
static inline int prog_constant(uint32_t type, int code)
{
	const struct bpf_insn insns[] = { MOV_IMM(BPF_REG_0, code), EXIT() };

	return prog_load(type, insns, 2);
}

static inline int link_lo(int prog, uint32_t attach_type, uint32_t flags)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.link_create.prog_fd = (uint32_t)prog;
	attr.link_create.target_ifindex = LO;
	attr.link_create.attach_type = attach_type;
	attr.link_create.flags = flags;
	return (int)bpf(BPF_LINK_CREATE, &attr);
}

static inline void pause_ms(long ms)
{
	const struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

#endif
