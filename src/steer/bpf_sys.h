/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bpf_sys.h - the few commands of bpf(2) that steering needs, without a library.
 *
 * Does:     create maps, load programs from instruction arrays, create links, read and write entries.
 * Does not: parse ELF (gen_insns.py does, at build time), know what the maps mean.
 * Threads:  any; no state.
 * Errors:   0 or a descriptor, or -errno. Descriptors are close-on-exec and at or above the floor.
 */
#ifndef FSOCK_STEER_BPF_SYS_H
#define FSOCK_STEER_BPF_SYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	BPF_SYS_NAME_LEN = 16, /* BPF_OBJ_NAME_LEN, with the NUL */
};

struct bpf_sys_map {
	const char *name;
	uint32_t type;	  /* enum bpf_map_type */
	uint32_t key_len, value_len, entries;
	uint32_t flags;	  /* BPF_F_* */
};

/* One 64-bit load whose immediate becomes a map. */
struct bpf_sys_place {
	uint32_t insn; /* index of the instruction */
	uint8_t map;   /* index in the descriptors handed to bpf_sys_prog_load() */
	bool memory;   /* address of the map's only value plus the instruction's offset; else the map */
};

struct bpf_sys_prog {
	const char *name;
	uint32_t type;	/* enum bpf_prog_type */
	uint32_t attach_type; /* enum bpf_attach_type */
	uint32_t flags; /* BPF_F_* */
	const uint64_t *insns;
	uint32_t n_insns;
	const struct bpf_sys_place *places;
	uint32_t n_places;
	char *log;	/* verifier's log of a refused program; NULL = not wanted */
	uint32_t log_len;
};

int bpf_sys_map_create(const struct bpf_sys_map *map, int fd_floor);
int bpf_sys_prog_load(const struct bpf_sys_prog *prog, const int *map_fds, int fd_floor);

/* Attach to an interface. @attach_type: BPF_XDP with XDP_FLAGS_*, BPF_SYS_TCX_* with BPF_F_*. */
int bpf_sys_link_create(int prog_fd, uint32_t ifindex, uint32_t attach_type, uint32_t flags,
			int fd_floor);

/* Take the program away, whoever holds the link's other descriptors (Linux 5.9; tcx 6.6). */
int bpf_sys_link_detach(int link_fd);

int bpf_sys_map_update(int fd, const void *key, const void *value, uint64_t flags);
int bpf_sys_map_delete(int fd, const void *key);
int bpf_sys_map_next(int fd, const void *key, void *next); /* @key NULL: first. -ENOENT: no more */

/* Name of the program with this id. -EPERM without CAP_SYS_ADMIN, -ENOENT. */
int bpf_sys_prog_name(uint32_t id, char name[BPF_SYS_NAME_LEN]);
uint32_t bpf_sys_link_prog(int link_fd); /* id of the program a link holds; 0 = not known */
bool bpf_sys_link_is_off(int link_fd);	 /* somebody took the program of an XDP or tcx link away, or the interface */

/* BPF_TCX_* and BPF_F_BEFORE, which headers before Linux 6.6 lack. */
#define BPF_SYS_TCX_INGRESS 46
#define BPF_SYS_TCX_EGRESS 47
#define BPF_SYS_F_BEFORE (1U << 3)

#endif
