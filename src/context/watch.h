/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * watch.h - whether the kernel's half of an epoll set has something, known without a system call.
 *
 * Every thread that polls a set has an io_uring of its own (host/watch.h): only who made a ring can be sure of what it says.
 * Where io_uring is denied, and for threads beyond CONTEXT_WATCHES, the kernel is asked at intervals.
 *
 * Threads:  holder of the stack's lock; watch_after_fork() alone in the child.
 */
#ifndef FSOCK_CONTEXT_WATCH_H
#define FSOCK_CONTEXT_WATCH_H

#include <stdbool.h>

struct context;
struct epoll_set;

/*
 * Is the kernel to be asked about the set @epfd now? @must: also before it is time, unless it certainly has nothing; else the
 * call is one of many turns, and the thread's ring is made if it has none.
 */
bool watch_due(struct context *ctx, struct epoll_set *set, int epfd, bool must);

/* @epfd is closed or means another file now. */
void watch_forget(struct context *ctx, int epfd);

/* This thread ends. */
void watch_thread_ends(struct context *ctx);

/* In a child: the rings are the parent's; let go of them. */
void watch_after_fork(struct context *ctx);

/* The context ends. */
void watch_close(struct context *ctx);

/* The rings' descriptors, until @visit says true (internal_fds.h). */
bool watch_visit(struct context *ctx, bool (*visit)(int *fd, void *arg), void *arg);

#endif
