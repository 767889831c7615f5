/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * format.c - dprintf() and its like on streams of ours: libc's would write inside libc, past write(), to a shadow
 * that is not connected (posix-surface 1.2). On a datagram socket libc's is right: its shadow sends.
 *
 * What is longer than a stack may hold is formatted twice, the second time in memory of its own.
 */
#include <stdarg.h>

#include "context/sister.h"
#include "context/stream.h"
#include "host/mem.h"
#include "preload/libc.h"
#include "sys/sys.h"

int __vsnprintf_chk(char *to, size_t len, int flag, size_t room, const char *format, va_list args);

enum { SMALL = 1024 };

/* As libc, which writes until all is out or nothing goes any more: @len, or -1 with errno. */
static int write_all(int fd, const char *text, int len)
{
	for (int done = 0; done < len;) {
		ssize_t n = write(fd, text + done, (size_t)(len - done));

		if (n < 0)
			return -1;
		done += (int)n;
	}
	return len;
}

/* @flag as of __vdprintf_chk(); 0 checks nothing. */
static int print(int fd, int flag, const char *format, va_list args)
{
	char small[SMALL], *text = small;
	size_t mapped = 0;
	va_list again;
	int len;

	va_copy(again, args);
	len = __vsnprintf_chk(small, sizeof(small), flag, sizeof(small), format, args);
	if (len >= SMALL) {
		mapped = (size_t)len + 1;
		text = mem_private(mapped);
		len = text ? __vsnprintf_chk(text, mapped, flag, mapped, format, again) : (int)libc_result(-ENOMEM);
	}
	va_end(again);
	if (len > 0)
		len = write_all(fd, text, len);
	if (text && mapped)
		sys_munmap(text, mapped);
	return len;
}

FSOCK_EXPORT int vdprintf(int fd, const char *format, va_list args)
{
	return stream_is(context_of(fsock_context, fd), fd) ? print(fd, 0, format, args)
							    : LIBC(vdprintf)(fd, format, args);
}

FSOCK_EXPORT int __vdprintf_chk(int fd, int flag, const char *format, va_list args)
{
	return stream_is(context_of(fsock_context, fd), fd) ? print(fd, flag, format, args)
					    : LIBC(__vdprintf_chk)(fd, flag, format, args);
}

FSOCK_EXPORT int dprintf(int fd, const char *format, ...)
{
	va_list args;
	int ret;

	va_start(args, format);
	ret = vdprintf(fd, format, args);
	va_end(args);
	return ret;
}

FSOCK_EXPORT int __dprintf_chk(int fd, int flag, const char *format, ...)
{
	va_list args;
	int ret;

	va_start(args, format);
	ret = __vdprintf_chk(fd, flag, format, args);
	va_end(args);
	return ret;
}
