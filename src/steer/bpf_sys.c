/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bpf_sys.c - bpf(2) by raw system call.
 *
 * Does not: batch, pin, attach type information: the programs are small and need none.
 */
#include "steer/bpf_sys.h"

#include <errno.h>
#include <linux/bpf.h>
#include <string.h>

#include "sys/sys.h"

/* Loads give up with EAGAIN when a signal interrupts the verifier. */
#define LOAD_TRIES 5

static void copy_name(char to[BPF_SYS_NAME_LEN], const char *name)
{
	size_t len = strnlen(name, BPF_SYS_NAME_LEN - 1);

	memcpy(to, name, len);
	to[len] = '\0';
}

int bpf_sys_map_create(const struct bpf_sys_map *map, int fd_floor)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.map_type = map->type;
	attr.key_size = map->key_len;
	attr.value_size = map->value_len;
	attr.max_entries = map->entries;
	attr.map_flags = map->flags;
	copy_name(attr.map_name, map->name);
	return sys_fd_raise(sys_bpf(BPF_MAP_CREATE, &attr, sizeof(attr)), fd_floor);
}

/* Write map descriptors into a copy of the program. */
static void place_maps(uint64_t *insns, const struct bpf_sys_prog *prog, const int *map_fds)
{
	for (uint32_t i = 0; i < prog->n_places; i++) {
		const struct bpf_sys_place *place = &prog->places[i];
		struct bpf_insn insn[2];

		memcpy(insn, insns + place->insn, sizeof(insn));
		if (place->memory) {
			insn[0].src_reg = BPF_PSEUDO_MAP_VALUE;
			insn[1].imm = insn[0].imm;
		} else {
			insn[0].src_reg = BPF_PSEUDO_MAP_FD;
		}
		insn[0].imm = map_fds[place->map];
		memcpy(insns + place->insn, insn, sizeof(insn));
	}
}

static int load(const struct bpf_sys_prog *prog, const uint64_t *insns, int fd_floor, bool log)
{
	union bpf_attr attr;
	int ret = -EAGAIN;

	memset(&attr, 0, sizeof(attr));
	attr.prog_type = prog->type;
	attr.expected_attach_type = prog->attach_type;
	attr.prog_flags = prog->flags;
	attr.insns = (uint64_t)(uintptr_t)insns;
	attr.insn_cnt = prog->n_insns;
	attr.license = (uint64_t)(uintptr_t)"Dual BSD/GPL";
	copy_name(attr.prog_name, prog->name);
	if (log) {
		attr.log_buf = (uint64_t)(uintptr_t)prog->log;
		attr.log_size = prog->log_len;
		attr.log_level = 1;
	}
	for (int i = 0; i < LOAD_TRIES && ret == -EAGAIN; i++)
		ret = sys_bpf(BPF_PROG_LOAD, &attr, sizeof(attr));
	return sys_fd_raise(ret, fd_floor);
}

int bpf_sys_prog_load(const struct bpf_sys_prog *prog, const int *map_fds, int fd_floor)
{
	size_t len = prog->n_insns * sizeof(*prog->insns);
	uint64_t *insns;
	int ret;

	insns = sys_mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (sys_is_err(insns))
		return -ENOMEM;
	memcpy(insns, prog->insns, len);
	place_maps(insns, prog, map_fds);
	ret = load(prog, insns, fd_floor, false);
	/* The log slows a load that succeeds, so only a refused program is loaded with it. */
	if (ret < 0 && ret != -EPERM && prog->log)
		ret = load(prog, insns, fd_floor, true);
	sys_munmap(insns, len);
	return ret;
}

int bpf_sys_link_create(int prog_fd, uint32_t ifindex, uint32_t attach_type, uint32_t flags,
			int fd_floor)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.link_create.prog_fd = (uint32_t)prog_fd;
	attr.link_create.target_ifindex = ifindex;
	attr.link_create.attach_type = attach_type;
	attr.link_create.flags = flags;
	return sys_fd_raise(sys_bpf(BPF_LINK_CREATE, &attr, sizeof(attr)), fd_floor);
}

int bpf_sys_link_detach(int link_fd)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.link_detach.link_fd = (uint32_t)link_fd;
	return sys_bpf(BPF_LINK_DETACH, &attr, sizeof(attr));
}

int bpf_sys_map_update(int fd, const void *key, const void *value, uint64_t flags)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.map_fd = (uint32_t)fd;
	attr.key = (uint64_t)(uintptr_t)key;
	attr.value = (uint64_t)(uintptr_t)value;
	attr.flags = flags;
	return sys_bpf(BPF_MAP_UPDATE_ELEM, &attr, sizeof(attr));
}

int bpf_sys_map_delete(int fd, const void *key)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.map_fd = (uint32_t)fd;
	attr.key = (uint64_t)(uintptr_t)key;
	return sys_bpf(BPF_MAP_DELETE_ELEM, &attr, sizeof(attr));
}

int bpf_sys_map_next(int fd, const void *key, void *next)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.map_fd = (uint32_t)fd;
	attr.key = (uint64_t)(uintptr_t)key;
	attr.next_key = (uint64_t)(uintptr_t)next;
	return sys_bpf(BPF_MAP_GET_NEXT_KEY, &attr, sizeof(attr));
}

static bool link_info(int link_fd, struct bpf_link_info *info)
{
	union bpf_attr attr;

	memset(info, 0, sizeof(*info));
	memset(&attr, 0, sizeof(attr));
	attr.info.bpf_fd = (uint32_t)link_fd;
	attr.info.info_len = sizeof(*info);
	attr.info.info = (uint64_t)(uintptr_t)info;
	return sys_bpf(BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof(attr)) >= 0;
}

uint32_t bpf_sys_link_prog(int link_fd)
{
	struct bpf_link_info info;

	return link_info(link_fd, &info) ? info.prog_id : 0;
}

bool bpf_sys_link_is_off(int link_fd)
{
	struct bpf_link_info info;

	/* Where the kernel tells of a tcx link's interface, too. */
	return link_info(link_fd, &info) && info.xdp.ifindex == 0;
}

int bpf_sys_prog_name(uint32_t id, char name[BPF_SYS_NAME_LEN])
{
	struct bpf_prog_info info;
	union bpf_attr attr;
	int fd, ret;

	memset(&attr, 0, sizeof(attr));
	attr.prog_id = id;
	fd = sys_bpf(BPF_PROG_GET_FD_BY_ID, &attr, sizeof(attr));
	if (fd < 0)
		return fd;
	memset(&info, 0, sizeof(info));
	memset(&attr, 0, sizeof(attr));
	attr.info.bpf_fd = (uint32_t)fd;
	attr.info.info_len = sizeof(info);
	attr.info.info = (uint64_t)(uintptr_t)&info;
	ret = sys_bpf(BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof(attr));
	sys_close(fd);
	if (ret < 0)
		return ret;
	copy_name(name, info.name);
	return 0;
}
