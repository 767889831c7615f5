/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * watch.h - "has the kernel something for this epoll set?" as one load: io_uring multishot polls.
 *
 * A polling epoll_wait() must not enter the kernel on every turn. An io_uring of the thread that polls watches
 * the epoll descriptors by multishot POLL_ADD; a flag in its ring, which is user memory, says that
 * something happened. Completions are deferred until the thread that made the ring asks for them
 * (IORING_SETUP_DEFER_TASKRUN, Linux 6.1): with the ordinary kind the kernel ran them at once and thereby
 * interrupted whatever that thread slept in, EINTR without a signal (tests/platform/uring_eintr.c).
 *
 * Where io_uring is denied or older, and in other threads than the ring's, the caller looks at intervals.
 *
 * Threads:  holder of the stack's lock.
 * Errors:   -errno from open and add; host_watch_ready() has none.
 */
#ifndef FSOCK_HOST_WATCH_H
#define FSOCK_HOST_WATCH_H

#include <stdbool.h>

enum { WATCH_MAX = 64 /* descriptors watched at once; others are looked at in intervals */ };

struct host_watch;

/* A ring, in private pages. NULL and *error when the kernel denies it. */
struct host_watch *host_watch_open(int fd_floor, int *error);
void host_watch_close(struct host_watch *w);

/* The ring goes, its pages stay for another one: who looks for its descriptor meanwhile finds -1. begin(): 0 or -errno;
 * then it has none still. */
void host_watch_end(struct host_watch *w);
int host_watch_begin(struct host_watch *w, int fd_floor);

/*
 * Did the kernel report something for @epfd since the last call? Starts watching it when it is not
 * watched yet (and says true once). Always false with @w NULL or when it cannot be watched.
 */
bool host_watch_ready(struct host_watch *w, int epfd);

/*
 * For the ring's own thread: is host_watch_ready() true as soon as @epfd has something that it had not before? What wakes
 * the set marks the ring in the same step.
 */
bool host_watch_covers(const struct host_watch *w, int epfd);

/* Where the ring's own descriptor stands, for who gives it another number; -1 = it has none. */
int *host_watch_fd(struct host_watch *w);

/* In a child of fork(): the ring is the parent's; let go of it. */
void host_watch_leave(struct host_watch *w);

/* Is it watched? */
bool host_watch_has(const struct host_watch *w, int epfd);

/* @epfd is closed or means another file now: the ring lets go of it before this returns. By the ring's own thread. */
void host_watch_forget(struct host_watch *w, int epfd);

#endif
