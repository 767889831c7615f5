/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * watch.c - see watch.h. A ring layer of two dozen lines: liburing is not in every process, and the
 * preload brings nothing but libc (DESIGN D6).
 */
#include "host/watch.h"

#include <linux/io_uring.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/barrier.h"
#include "base/err.h"
#include "host/mem.h"
#include "sys/sys.h"

enum {
	SQ_ENTRIES = 8,
	CQ_ENTRIES = 256,
};

struct watched {
	int fd;		     /* -1 = free */
	uint32_t generation; /* completions of former uses of the slot carry another one */
	bool armed, ready;
};

struct host_watch {
	int fd; /* the ring; owned */
	void *rings;
	size_t rings_len, sqes_len;
	struct io_uring_sqe *sqes;
	uint32_t *sq_tail, *sq_mask, *sq_array, *sq_flags;
	uint32_t *cq_head, *cq_tail, *cq_mask;
	struct io_uring_cqe *cqes;
	int used; /* slots in use are below it */
	struct watched watched[WATCH_MAX];
};

/* The kernel says at which byte of the mapping a part lies, aligned for it. */
static void *ring_at(const struct host_watch *w, uint32_t offset)
{
	return (uint8_t *)w->rings + offset;
}

static int map_rings(struct host_watch *w, const struct io_uring_params *p)
{
	size_t sq = p->sq_off.array + p->sq_entries * sizeof(uint32_t);
	size_t cq = p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe);

	if (!(p->features & IORING_FEAT_SINGLE_MMAP))
		return -95; /* EOPNOTSUPP: kernels before 5.4 */
	w->rings_len = FS_MAX(sq, cq);
	w->rings = sys_mmap(NULL, w->rings_len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, w->fd,
			    IORING_OFF_SQ_RING);
	if (sys_is_err(w->rings))
		return (int)(long)w->rings;
	w->sqes_len = p->sq_entries * sizeof(*w->sqes);
	w->sqes = sys_mmap(NULL, w->sqes_len, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_POPULATE, w->fd, IORING_OFF_SQES);
	if (sys_is_err(w->sqes))
		return (int)(long)w->sqes;
	/* A child must neither see completions nor keep the ring alive. */
	sys_madvise(w->rings, w->rings_len, MADV_DONTFORK);
	sys_madvise(w->sqes, p->sq_entries * sizeof(*w->sqes), MADV_DONTFORK);
	w->sq_tail = ring_at(w, p->sq_off.tail);
	w->sq_mask = ring_at(w, p->sq_off.ring_mask);
	w->sq_array = ring_at(w, p->sq_off.array);
	w->sq_flags = ring_at(w, p->sq_off.flags);
	w->cq_head = ring_at(w, p->cq_off.head);
	w->cq_tail = ring_at(w, p->cq_off.tail);
	w->cq_mask = ring_at(w, p->cq_off.ring_mask);
	w->cqes = ring_at(w, p->cq_off.cqes);
	return 0;
}

struct host_watch *host_watch_open(int fd_floor, int *error)
{
	struct host_watch *w = mem_private(sizeof(*w));

	*error = -12; /* ENOMEM */
	if (!w)
		return NULL;
	*error = host_watch_begin(w, fd_floor);
	if (*error == 0)
		return w;
	host_watch_close(w);
	return NULL;
}

int host_watch_begin(struct host_watch *w, int fd_floor)
{
	struct io_uring_params p = {
		.flags = IORING_SETUP_CQSIZE | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
			 IORING_SETUP_TASKRUN_FLAG,
		.cq_entries = CQ_ENTRIES,
	};
	int error;

	w->used = 0;
	for (int i = 0; i < WATCH_MAX; i++)
		w->watched[i].fd = -1;
	w->fd = sys_fd_raise((int)sys_call2(__NR_io_uring_setup, SQ_ENTRIES, (long)&p), fd_floor);
	if (w->fd < 0)
		return w->fd;
	error = map_rings(w, &p);
	if (error)
		host_watch_end(w);
	return error;
}

void host_watch_end(struct host_watch *w)
{
	if (w->fd >= 0)
		sys_close(w->fd);
	w->fd = -1;
	if (w->rings && !sys_is_err(w->rings))
		sys_munmap(w->rings, w->rings_len);
	if (w->sqes && !sys_is_err(w->sqes))
		sys_munmap(w->sqes, w->sqes_len);
	w->rings = NULL;
	w->sqes = NULL;
}

void host_watch_close(struct host_watch *w)
{
	if (!w)
		return;
	host_watch_end(w);
	sys_munmap(w, sizeof(*w));
}

int *host_watch_fd(struct host_watch *w)
{
	return &w->fd;
}

void host_watch_leave(struct host_watch *w)
{
	if (!w)
		return;
	if (w->fd >= 0)
		sys_close(w->fd); /* the mappings were not inherited */
	sys_munmap(w, sizeof(*w));
}

static uint64_t tag_of(const struct host_watch *w, int slot)
{
	return (uint64_t)w->watched[slot].generation << 32 | (uint32_t)slot;
}

/* Only the thread that made the ring may: -EEXIST for others, and the entry is taken back. */
static int submit(struct host_watch *w, const struct io_uring_sqe *sqe)
{
	uint32_t tail = *w->sq_tail, at = tail & *w->sq_mask;
	int ret;

	w->sqes[at] = *sqe;
	w->sq_array[at] = at;
	fs_store_release(w->sq_tail, tail + 1);
	ret = (int)sys_call6(__NR_io_uring_enter, w->fd, 1, 0, 0, 0, 0);
	if (ret != 1)
		fs_store_release(w->sq_tail, tail);
	return ret;
}

static void arm(struct host_watch *w, int slot)
{
	struct io_uring_sqe sqe = {
		.opcode = IORING_OP_POLL_ADD,
		.fd = w->watched[slot].fd,
		.len = IORING_POLL_ADD_MULTI,
		.poll32_events = EPOLLIN,
		.user_data = tag_of(w, slot),
	};

	w->watched[slot].armed = submit(w, &sqe) == 1;
	w->watched[slot].ready = w->watched[slot].armed; /* what came before is not reported: look once */
}

static void reap(struct host_watch *w)
{
	uint32_t head = *w->cq_head, tail = fs_load_acquire(w->cq_tail);

	for (; head != tail; head++) {
		const struct io_uring_cqe *cqe = &w->cqes[head & *w->cq_mask];
		uint32_t slot = (uint32_t)cqe->user_data;

		if (slot >= WATCH_MAX || w->watched[slot].generation != cqe->user_data >> 32)
			continue;
		w->watched[slot].ready = true;
		if (!(cqe->flags & IORING_CQE_F_MORE))
			w->watched[slot].armed = false; /* its thread ended, or it overflowed */
	}
	fs_store_release(w->cq_head, head);
}

static int find(const struct host_watch *w, int fd)
{
	for (int i = 0; i < w->used; i++)
		if (w->watched[i].fd == fd)
			return i;
	return -1;
}

bool host_watch_ready(struct host_watch *w, int epfd)
{
	int slot;
	bool ready;

	if (!w)
		return false;
	slot = find(w, epfd);
	if (slot < 0) {
		slot = find(w, -1);
		if (slot < 0 && w->used == WATCH_MAX)
			return false;
		if (slot < 0)
			slot = w->used++;
		w->watched[slot].fd = epfd;
		w->watched[slot].generation++;
		w->watched[slot].armed = false;
	}
	if (!w->watched[slot].armed)
		arm(w, slot);
	/* Completions wait until their thread asks for them: no other call of its is disturbed. */
	if (fs_load_relaxed(w->sq_flags) & IORING_SQ_TASKRUN)
		sys_call6(__NR_io_uring_enter, w->fd, 0, 0, IORING_ENTER_GETEVENTS, 0, 0);
	if (*w->cq_head != fs_load_acquire(w->cq_tail))
		reap(w);
	ready = w->watched[slot].ready;
	w->watched[slot].ready = false;
	return ready;
}

bool host_watch_covers(const struct host_watch *w, int epfd)
{
	int slot = w ? find(w, epfd) : -1;

	return slot >= 0 && w->watched[slot].armed;
}

bool host_watch_has(const struct host_watch *w, int epfd)
{
	return find(w, epfd) >= 0;
}

void host_watch_forget(struct host_watch *w, int epfd)
{
	struct io_uring_sqe sqe = { .opcode = IORING_OP_POLL_REMOVE, .fd = -1 };
	int slot = w ? find(w, epfd) : -1;

	if (slot < 0)
		return;
	/* The request holds the file: without this the set would outlive its last descriptor. */
	sqe.addr = tag_of(w, slot);
	sqe.user_data = UINT64_MAX;
	submit(w, &sqe);
	sys_call6(__NR_io_uring_enter, w->fd, 0, 0, IORING_ENTER_GETEVENTS, 0, 0); /* what ends the request waits for that */
	w->watched[slot].fd = -1;
	w->watched[slot].generation++;
}
