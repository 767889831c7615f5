/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log.h - one line to standard error or a file, in one write, without stdio or malloc.
 *
 * Threads: any; async-signal-safe. A line is "fsock[pid]: text\n".
 */
#ifndef FSOCK_HOST_LOG_H
#define FSOCK_HOST_LOG_H

#include <stddef.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

struct host_log {
	int fd;		     /* where lines go; borrowed */
	enum log_level level; /* lines above it are dropped */
};

/* printf subset: %s %d %u %x %llu %llx %% only. */
void host_log(const struct host_log *log, enum log_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The same formatting into a buffer of @size bytes, always terminated. Returns the length. */
size_t host_format(char *to, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
