/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mem.h - the memory a stack lives in (DESIGN D2): a memfd, mapped shared at a fixed address.
 *
 * Address = base + offset in the file, so a plain pointer means the same thing in every process of a
 * fork tree, and a reader finds everything at its offset. The arena only grows, region by region, by
 * raw mmap with MAP_FIXED_NOREPLACE: ThreadSanitizer and friends keep their own address ranges
 * (hazard 24). The upper half of a slot is left to providers for ring mappings.
 *
 * Threads:  create/grow: holder of the stack's lock. map_rest: any thread of a process, serialised.
 * Errors:   -EEXIST address taken, -ENOMEM, -EMFILE, ... as the kernel says.
 */
#ifndef FSOCK_HOST_MEM_H
#define FSOCK_HOST_MEM_H

#include <stddef.h>
#include <stdint.h>

enum {
	MEM_SLOTS = 16, /* stacks one fork tree may hold */
	MEM_LINKS = 96, /* shared memories with other stacks, of one stack */
};

#define MEM_SLOT_BYTES (64ULL << 30)		   /* address space per stack */
#define MEM_RINGS_OFFSET (MEM_SLOT_BYTES / 2)	   /* where a slot's ring mappings start */
#define MEM_RINGS_PER_PORT (256ULL << 20)	   /* address space for one port's rings */
#define MEM_LINKS_OFFSET (MEM_RINGS_OFFSET + (8ULL << 30)) /* behind those of all ports */
#define MEM_LINK_BYTES (256ULL << 20)		   /* address space for one link's memory */

/* A process's hold on an arena; private memory. */
struct mem_arena {
	uint8_t *base;	 /* address of offset 0 */
	size_t mapped;	 /* bytes this process has mapped, from offset 0 */
	int fd;		 /* the memfd, close-on-exec */
	unsigned slot;	 /* 0 .. MEM_SLOTS-1 */
};

/*
 * Make an arena of @len bytes (rounded up to pages) in the first free slot. @name is the memfd's.
 * -EEXIST: every slot taken; -ENOMEM: address space or memory limit.
 */
int mem_create(struct mem_arena *arena, const char *name, size_t len, int fd_floor);

/* Give the memfd @fd @len bytes. -EFBIG: beyond RLIMIT_FSIZE, where the kernel would send SIGXFSZ, which ends the
 * program; -errno. */
int mem_resize(int fd, size_t len);

/*
 * Map the arena that another program left in this process, @len bytes of the memfd @fd, in the slot it has. @fd is the
 * arena's then. -EEXIST: that place is taken; -EINVAL: no such memory.
 */
int mem_attach(struct mem_arena *arena, int fd, unsigned slot, size_t len);

/* Grow by @len bytes (rounded up to pages), zeroed. *@at gets the new region's address. */
int mem_grow(struct mem_arena *arena, size_t len, void **at);

/* Map what another process of the tree added: up to @len bytes from offset 0. */
int mem_map_rest(struct mem_arena *arena, size_t len);

/* Unmap and close. The memory lives on in processes that still map it. */
void mem_close(struct mem_arena *arena);

/* Anonymous private memory, zeroed, page granular: a process's own state. NULL = none. */
void *mem_private(size_t len);

/* Address range for the rings of port @index. */
static inline void *mem_rings(const struct mem_arena *arena, unsigned index)
{
	return arena->base + MEM_RINGS_OFFSET + index * MEM_RINGS_PER_PORT;
}

/* Where the memory of link @index is mapped, MEM_LINK_BYTES at the most. */
static inline void *mem_link(const struct mem_arena *arena, unsigned index)
{
	return arena->base + MEM_LINKS_OFFSET + index * MEM_LINK_BYTES;
}

_Static_assert(MEM_LINKS_OFFSET + MEM_LINKS * MEM_LINK_BYTES <= MEM_SLOT_BYTES, "links end before the next slot");

#endif
