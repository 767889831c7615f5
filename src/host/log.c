/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log.c - formatting and writing of log lines, and the end of a failed assertion.
 *
 * Its own formatter: libc's may allocate and is not async-signal-safe, and a library inside somebody
 * else's program must be both careful and small.
 */
#include "host/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "base/err.h"
#include "sys/sys.h"

enum { LINE_BYTES = 512 };

struct text {
	char *to;
	size_t len, size; /* len < size always: room for the NUL */
};

static void put_char(struct text *t, char c)
{
	if (t->len + 1 < t->size)
		t->to[t->len++] = c;
}

static void put_string(struct text *t, const char *s)
{
	for (s = s ? s : "(null)"; *s; s++)
		put_char(t, *s);
}

static void put_number(struct text *t, uint64_t v, unsigned base)
{
	char digits[24];
	int n = 0;

	do {
		digits[n++] = "0123456789abcdef"[v % base];
		v /= base;
	} while (v);
	while (n)
		put_char(t, digits[--n]);
}

static void put_signed(struct text *t, int64_t v)
{
	if (v < 0)
		put_char(t, '-');
	put_number(t, v < 0 ? 0 - (uint64_t)v : (uint64_t)v, 10);
}

static void put_args(struct text *t, const char *format, va_list args)
{
	for (; *format; format++) {
		bool wide = false;

		if (*format != '%') {
			put_char(t, *format);
			continue;
		}
		format++;
		while (*format == 'l') {
			wide = true;
			format++;
		}
		switch (*format) {
		case 's':
			put_string(t, va_arg(args, const char *));
			break;
		case 'd':
			put_signed(t, wide ? va_arg(args, long long) : va_arg(args, int));
			break;
		case 'u':
		case 'x':
			put_number(t, wide ? va_arg(args, unsigned long long) : va_arg(args, unsigned),
				   *format == 'u' ? 10 : 16);
			break;
		case '\0':
			return;
		default:
			put_char(t, *format);
		}
	}
}

size_t host_format(char *to, size_t size, const char *format, ...)
{
	struct text t = { .to = to, .size = size };
	va_list args;

	if (size == 0)
		return 0;
	va_start(args, format);
	put_args(&t, format, args);
	va_end(args);
	to[t.len] = '\0';
	return t.len;
}

/* A program that closed its standard error may have an Internet socket there: a line would go to its
 * peer. */
static bool is_network(int fd)
{
	int family = AF_UNSPEC;
	socklen_t len = sizeof(family);

	return sys_getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &len) == 0 &&
	       (family == AF_INET || family == AF_INET6);
}

void host_log(const struct host_log *log, enum log_level level, const char *format, ...)
{
	char line[LINE_BYTES];
	struct text t = { .to = line, .size = sizeof(line) };
	va_list args;

	if (level > log->level || is_network(log->fd))
		return;
	put_string(&t, "fsock[");
	put_number(&t, (uint64_t)sys_getpid(), 10);
	put_string(&t, "]: ");
	va_start(args, format);
	put_args(&t, format, args);
	va_end(args);
	line[t.len++] = '\n'; /* put_char() left room for it */
	sys_write(log->fd, line, t.len);
}

_Noreturn void fs_assert_failed(const char *expression, const char *file, int line)
{
	static const struct host_log to_stderr = { .fd = 2, .level = LOG_ERROR };

	host_log(&to_stderr, LOG_ERROR, "assertion failed: %s at %s:%d", expression, file, line);
	__builtin_trap();
}
