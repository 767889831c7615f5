/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mem.c - memfd arenas at fixed addresses.
 *
 * Does not pin anything: the provider pins the frame pool when it registers it.
 */
#include "host/mem.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/sys.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

enum { PAGE = 4096 };

static size_t page_up(size_t len)
{
	return (len + PAGE - 1) & ~(size_t)(PAGE - 1);
}

/* Map file bytes [from, to) at their place. */
static int map_range(struct mem_arena *arena, size_t from, size_t to)
{
	uint8_t *want = arena->base + from;
	void *got = sys_mmap(want, to - from, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE,
			     arena->fd, (int64_t)from);

	if (sys_is_err(got))
		return (int)(long)got;
	if (got != want) { /* kernels before 4.17 take the address as a hint */
		sys_munmap(got, to - from);
		return -EEXIST;
	}
	return 0;
}

int mem_resize(int fd, size_t len)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && len > limit.rlim_cur)
		return -EFBIG;
	return sys_ftruncate(fd, (int64_t)len);
}

int mem_create(struct mem_arena *arena, const char *name, size_t len, int fd_floor)
{
	int ret;

	len = page_up(len);
	arena->fd = sys_fd_raise(sys_memfd_create(name, MFD_CLOEXEC), fd_floor);
	if (arena->fd < 0)
		return arena->fd;
	ret = mem_resize(arena->fd, len);
	for (arena->slot = 0; ret == 0 && arena->slot < MEM_SLOTS; arena->slot++) {
		arena->base = (uint8_t *)(FSOCK_STACK_BASE + arena->slot * MEM_SLOT_BYTES);
		ret = map_range(arena, 0, len);
		if (ret == 0) {
			arena->mapped = len;
			return 0;
		}
		if (ret == -EEXIST && arena->slot + 1 < MEM_SLOTS)
			ret = 0; /* taken, by an inherited stack for instance: the next one */
	}
	sys_close(arena->fd);
	arena->fd = -1;
	return ret;
}

int mem_attach(struct mem_arena *arena, int fd, unsigned slot, size_t len)
{
	struct stat st;
	int ret;

	if (slot >= MEM_SLOTS || len == 0 || len != page_up(len) || len > MEM_RINGS_OFFSET || fstat(fd, &st) < 0 ||
	    st.st_uid != geteuid() || (uint64_t)st.st_size < len)
		return -EINVAL;
	*arena = (struct mem_arena){
		.base = (uint8_t *)(FSOCK_STACK_BASE + slot * MEM_SLOT_BYTES),
		.fd = fd,
		.slot = slot,
	};
	ret = map_range(arena, 0, len);
	if (ret < 0)
		arena->fd = -1;
	else
		arena->mapped = len;
	return ret;
}

int mem_grow(struct mem_arena *arena, size_t len, void **at)
{
	size_t from = arena->mapped, to = from + page_up(len);
	int ret;

	if (to > MEM_RINGS_OFFSET)
		return -ENOMEM;
	ret = mem_resize(arena->fd, to);
	if (ret < 0)
		return ret;
	ret = map_range(arena, from, to);
	if (ret < 0)
		return ret;
	arena->mapped = to;
	*at = arena->base + from;
	return 0;
}

int mem_map_rest(struct mem_arena *arena, size_t len)
{
	int ret;

	if (len <= arena->mapped)
		return 0;
	ret = map_range(arena, arena->mapped, len);
	if (ret < 0)
		return ret;
	arena->mapped = len;
	return 0;
}

void mem_close(struct mem_arena *arena)
{
	if (arena->fd < 0)
		return;
	sys_munmap(arena->base, arena->mapped);
	sys_close(arena->fd);
	arena->fd = -1;
}

void *mem_private(size_t len)
{
	void *p = sys_mmap(NULL, page_up(len), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return sys_is_err(p) ? NULL : p;
}
