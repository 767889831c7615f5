/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exec_record.c - see exec_record.h.
 */
#include "context/exec_record.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/mem.h"
#include "socket/epoll.h"
#include "socket/fdtable.h"
#include "socket/sock.h"
#include "sys/sys.h"

enum {
	NUMBERS = FD_CHUNK * FD_CHUNKS,
	SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE,
};

int exec_record_write(const struct exec_record *r, int fd_floor)
{
	int fd = sys_fd_raise(sys_memfd_create("fsock-exec", MFD_CLOEXEC | MFD_ALLOW_SEALING), fd_floor), ret;

	if (fd < 0)
		return fd;
	ret = mem_resize(fd, r->bytes);
	if (ret == 0 && sys_write(fd, r, r->bytes) == (ssize_t)r->bytes && sys_fcntl(fd, F_ADD_SEALS, SEALS) == 0)
		return fd;
	sys_close(fd);
	return ret < 0 ? ret : -ENOSPC;
}

ssize_t exec_record_read(int fd, void *r, size_t room)
{
	int seals = sys_fcntl(fd, F_GET_SEALS, 0);
	struct stat st;

	/* The kernel may have added some of its own (vm.memfd_noexec). */
	if (seals < 0 || (seals & SEALS) != SEALS)
		return -EINVAL;
	/* Who made it: not one of whom a program of other rights has its descriptors and environment. */
	if (fstat(fd, &st) < 0 || st.st_uid != geteuid())
		return -EPERM;
	return sys_pread(fd, r, room, 0);
}

static bool is_number(int32_t fd)
{
	return fd >= 0 && fd < NUMBERS;
}

static bool is_number_or_none(int32_t fd)
{
	return fd < NUMBERS;
}

/* Within the stack's memory, all @size bytes of it. */
static bool is_object(const struct exec_record *r, const struct exec_entry *e, size_t size)
{
	uint64_t base = FSOCK_STACK_BASE + r->arena_slot * MEM_SLOT_BYTES;

	return e->object > base && e->object % sizeof(void *) == 0 && size <= r->mapped &&
	       e->object - base <= r->mapped - size;
}

static bool is_good_entry(const struct exec_record *r, const struct exec_entry *e)
{
	if (!is_number(e->fd))
		return false;
	switch ((enum fd_kind)e->kind) {
	case FD_SOCK:
	case FD_STREAM:
		return is_object(r, e, sizeof(struct sock));
	case FD_EPOLL:
		return is_object(r, e, sizeof(struct epoll_set));
	case FD_OURS:
		return e->object == 0;
	default:
		return false;
	}
}

static bool are_numbers(const struct exec_record *r)
{
	bool good = is_number(r->memory) && is_number(r->fd_floor);

	for (unsigned i = 0; i < STATS_MAX_PROCS; i++)
		good &= is_number_or_none(r->doorbell[i]);
	for (unsigned i = 0; i < 2; i++)
		good &= is_number_or_none(r->leases[i]) && is_number_or_none(r->icmp[i]) && is_number_or_none(r->links[i]);
	return good;
}

bool exec_record_is_good(const void *bytes, size_t len, const uint8_t build[HOST_PROGRAM_BUILD])
{
	const struct exec_record *r = bytes;

	if (len < sizeof(*r) || r->magic != EXEC_RECORD_MAGIC || r->bytes != len ||
	    memcmp(r->build, build, HOST_PROGRAM_BUILD) != 0)
		return false;
	if (r->key == 0 || r->mapped == 0 || r->mapped > MEM_RINGS_OFFSET || r->arena_slot >= MEM_SLOTS ||
	    r->slot >= STATS_MAX_PROCS || !are_numbers(r))
		return false;
	if (r->n != (len - sizeof(*r)) / sizeof(r->entry[0]) || (len - sizeof(*r)) % sizeof(r->entry[0]) != 0)
		return false;
	for (uint32_t i = 0; i < r->n; i++)
		if (!is_good_entry(r, &r->entry[i]))
			return false;
	return true;
}
