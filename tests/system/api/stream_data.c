/* SPDX-License-Identifier: BSD-2-Clause */
/* stream_data.c - the sending and receiving calls on streams, in all their shapes. P49, P39. */
#include "stream.h"

#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/sendfile.h>

static unsigned char buf[65536];

CASE_FAST(send_and_recv)
{
	int slot, fd = linked(&slot);

	fill_stream_bytes();
	CALL(send(fd, stream_bytes, 1, 0));
	CALL(send(fd, stream_bytes + 1, 1000, 0));
	CALL(write(fd, stream_bytes + 1001, 9000));
	order("take %d 10001", slot);
	order("sum %d", slot);
	bring(slot, 1);
	CALL(recv(fd, buf, sizeof(buf), 0));
	bring(slot, 3000);
	CALL(recv(fd, buf, 1000, 0));
	say_data("  first", buf, 1000);
	CALL(read(fd, buf, 500));
	say_data("  second", buf, 500);
	receive_all(fd, 1500);
}

CASE_FAST(one_byte_at_a_time)
{
	int slot, fd = linked(&slot), i;

	fill_stream_bytes();
	set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	for (i = 0; i < 100; i++) {
		if (send(fd, stream_bytes + i, 1, 0) != 1)
			fail("byte %d", i);
	}
	order("take %d 100", slot);
	order("sum %d", slot);
	bring(slot, 100);
	for (i = 0; i < 100; i++) {
		if (recv(fd, buf + i, 1, 0) != 1)
			fail("byte %d", i);
	}
	say_data("received", buf, 100);
}

CASE_FAST(round_trips)
{
	int slot, fd = linked(&slot), i;

	fill_stream_bytes();
	order("echo %d", slot);
	for (i = 1; i <= 200; i++) {
		if (send(fd, stream_bytes, (size_t)i * 7, 0) != i * 7)
			fail("send");
		if (recv(fd, buf, (size_t)i * 7, MSG_WAITALL) != i * 7 || memcmp(buf, stream_bytes, (size_t)i * 7) != 0)
			fail("round %d", i);
	}
	say("rounds %d", i - 1);
}

CASE_FAST(a_megabyte_out)
{
	int slot, fd = linked(&slot);

	fill_stream_bytes();
	order("sink %d", slot);
	CALL(send(fd, stream_bytes, 1 << 20, 0));
	CALL(shutdown(fd, SHUT_WR));
	CALL(recv(fd, buf, 1, MSG_DONTWAIT));
	order("later 100 fin %d", slot);
	CALL(recv(fd, buf, 1, 0));
	order("sum %d", slot);
}

CASE_FAST(a_megabyte_in)
{
	int slot, fd = linked(&slot);

	order("source %d 1048576", slot);
	receive_all(fd, 1 << 20);
}

CASE_FAST(both_ways)
{
	int slot, fd = linked(&slot), sent = 0, got = 0, bad = 0;
	struct pollfd set = { .fd = fd, .events = POLLIN | POLLOUT };
	ssize_t n;

	fill_stream_bytes();
	nonblock(fd);
	order("echo %d", slot);
	while (got < 300000 && poll(&set, 1, 5000) > 0) {
		n = sent < 300000 ? send(fd, stream_bytes + sent, (size_t)(300000 - sent), 0) : 0;
		sent += n > 0 ? (int)n : 0;
		n = recv(fd, buf, sizeof(buf), 0);
		bad += n > 0 && memcmp(buf, stream_bytes + got, (size_t)n) != 0;
		got += n > 0 ? (int)n : 0;
		set.events = sent < 300000 ? POLLIN | POLLOUT : POLLIN;
	}
	say("sent %d, received %d, wrong %d", sent, got, bad);
}

static int print(int fd, const char *format, ...)
{
	va_list args;
	int ret;

	va_start(args, format);
	ret = vdprintf(fd, format, args);
	va_end(args);
	return ret;
}

/* libc's own would write past every symbol. P04 */
CASE_FAST(printed)
{
	int slot, fd = linked(&slot);

	CALL(dprintf(fd, "hello %d %s\n", 5, "times"));
	order("take %d 14", slot);
	CALL(print(fd, "%d words of a %s\n", 5, "list"));
	order("take %d 18", slot);
	CALL(dprintf(fd, "%*d", 50000, 7));
	order("take %d 50000", slot);
	CALL(dprintf(fd, "%s", ""));
	CALL(shutdown(fd, SHUT_WR));
	signal(SIGPIPE, SIG_IGN);
	CALL(dprintf(fd, "too late"));
	CALL(dprintf(-1, "nowhere"));
	order("rest %d", slot);
}

CASE_FAST(vectors)
{
	int slot, fd = linked(&slot);
	struct iovec part[4] = { { stream_bytes, 10 }, { NULL, 0 }, { stream_bytes + 10, 1 }, { stream_bytes + 11, 3000 } };

	fill_stream_bytes();
	CALL(writev(fd, part, 4));
	order("take %d 3011", slot);
	CALL(writev(fd, part, 0));
	CALL(writev(fd, part + 1, 1));
	CALL(writev(fd, part, hidden(-1)));
	order("sum %d", slot);
	bring(slot, 5000);
	part[0].iov_base = buf;
	part[2].iov_base = buf + 10;
	part[3].iov_base = buf + 11;
	CALL(readv(fd, part, 4));
	say_data("  received", buf, 3011);
	CALL(readv(fd, part, 0));
	CALL(readv(fd, part + 1, 1));
	CALL(readv(fd, part, hidden(-1)));
	receive_all(fd, 1989);
}

CASE_FAST(vector_limits)
{
	static struct iovec part[IOV_MAX + 1];
	int slot, fd = linked(&slot), i;

	fill_stream_bytes();
	for (i = 0; i <= IOV_MAX; i++)
		part[i] = (struct iovec){ stream_bytes + i, 1 };
	CALL(writev(fd, part, IOV_MAX));
	CALL(writev(fd, part, IOV_MAX + 1));
	order("take %d %d", slot, IOV_MAX);
	order("sum %d", slot);
	bring(slot, 2000);
	for (i = 0; i <= IOV_MAX; i++)
		part[i].iov_base = buf + i;
	CALL(readv(fd, part, IOV_MAX + 1));
	CALL(readv(fd, part, IOV_MAX));
	say_data("  received", buf, IOV_MAX);
	part[0].iov_len = (size_t)-1;
	CALL(writev(fd, part, 2));
	CALL(readv(fd, part, 2));
}

/* Each is a length, but their sum is none; what one buffer is said to hold may be more than any has. */
CASE_FAST(lengths_that_overflow)
{
	struct iovec part[3] = { { buf, SSIZE_MAX }, { buf, SSIZE_MAX }, { buf, 4 } };
	struct msghdr msg = { .msg_iov = part, .msg_iovlen = 3 };
	void *volatile at = buf; /* a buffer and lengths that the compiler does not know */
	volatile size_t most = SIZE_MAX, half = SSIZE_MAX;
	int slot, fd = linked(&slot);

	CALL(writev(fd, part, 3));
	CALL(sendmsg(fd, &msg, 0));
	bring(slot, 100);
	CALL(readv(fd, part, 3));
	CALL(recvmsg(fd, &msg, 0));
	part[2].iov_len = (size_t)-1;
	CALL(writev(fd, part, 3));
	CALL(readv(fd, part, 3));
	CALL(readv(fd, part, 1) > 0);
	bring(slot, 10);
	CALL(read(fd, at, most));
	CALL(write(fd, at, most));
	CALL(read(fd, at, half));
	CALL(recv(fd, at, most, 0));
}

CASE_FAST(messages_out)
{
	struct addr to = there(9999);
	struct iovec part[2] = { { stream_bytes, 100 }, { stream_bytes + 100, 100 } };
	struct msghdr msg = { .msg_iov = part, .msg_iovlen = 2 };
	int slot, fd = linked(&slot);

	fill_stream_bytes();
	CALL(sendmsg(fd, &msg, 0));
	msg.msg_name = SA(&to);
	msg.msg_namelen = to.len;
	CALL(sendmsg(fd, &msg, 0));
	msg.msg_namelen = 3;
	CALL(sendmsg(fd, &msg, 0));
	msg.msg_name = NULL;
	msg.msg_namelen = 0;
	msg.msg_iovlen = 0;
	CALL(sendmsg(fd, &msg, 0));
	msg.msg_iovlen = IOV_MAX + 1;
	CALL(sendmsg(fd, &msg, 0));
	order("take %d 600", slot);
	order("sum %d", slot);
}

CASE_FAST(message_header_in)
{
	char control[64];
	struct addr from = { .len = 0 };
	struct iovec part[2] = { { buf, 10 }, { buf + 10, 100 } };
	struct msghdr msg = { .msg_name = &from.ss, .msg_namelen = sizeof(from.ss), .msg_iov = part, .msg_iovlen = 2,
			      .msg_control = control, .msg_controllen = sizeof(control), .msg_flags = 0x7777 };
	int slot, fd = linked(&slot);

	bring(slot, 50);
	CALL(recvmsg(fd, &msg, 0));
	say("name length %u, control length %zu, flags %#x", msg.msg_namelen, msg.msg_controllen, (unsigned)msg.msg_flags);
	bring(slot, 200);
	msg.msg_namelen = sizeof(from.ss);
	msg.msg_flags = 0x7777;
	CALL(recvmsg(fd, &msg, 0));
	say("name length %u, control length %zu, flags %#x", msg.msg_namelen, msg.msg_controllen, (unsigned)msg.msg_flags);
	msg.msg_iovlen = 0;
	CALL(recvmsg(fd, &msg, 0));
	msg.msg_iovlen = IOV_MAX + 1;
	CALL(recvmsg(fd, &msg, 0));
	receive_all(fd, 90);
}

CASE_FAST(addresses_are_ignored)
{
	struct addr to = there(9999), from = { .len = sizeof(from.ss) };
	int slot, fd = linked(&slot);

	CALL(sendto(fd, "abc", 3, 0, SA(&to), to.len));
	CALL(sendto(fd, "abc", 3, 0, SA(&to), 1));
	CALL(sendto(fd, "abc", 3, 0, SA(&to), 0));
	CALL(sendto(fd, "abc", 3, 0, NULL, 16));
	order("take %d 12", slot);
	bring(slot, 30);
	CALL(recvfrom(fd, buf, 10, 0, SA(&from), &from.len));
	say("length %u", from.len);
	CALL(recvfrom(fd, buf, 10, 0, NULL, NULL));
	from.len = 0;
	CALL(recvfrom(fd, buf, 10, 0, SA(&from), &from.len));
	say("length %u", from.len);
}

CASE_FAST(several_messages)
{
	struct iovec part[3] = { { stream_bytes, 100 }, { stream_bytes + 100, 50 }, { stream_bytes + 150, 7 } };
	struct mmsghdr many[3];
	int slot, fd = linked(&slot), i;

	fill_stream_bytes();
	memset(many, 0, sizeof(many));
	for (i = 0; i < 3; i++) {
		many[i].msg_hdr.msg_iov = &part[i];
		many[i].msg_hdr.msg_iovlen = 1;
	}
	CALL(sendmmsg(fd, many, 3, 0));
	say("lengths %u %u %u", many[0].msg_len, many[1].msg_len, many[2].msg_len);
	CALL(sendmmsg(fd, many, 0, 0));
	order("take %d 157", slot);
	order("sum %d", slot);
	bring(slot, 130);
	for (i = 0; i < 3; i++)
		part[i].iov_base = buf + 200 * i;
	CALL(recvmmsg(fd, many, 3, MSG_DONTWAIT, NULL));
	say("lengths %u %u", many[0].msg_len, many[1].msg_len);
	CALL(recvmmsg(fd, many, 3, MSG_DONTWAIT, NULL));
	bring(slot, 157);
	CALL(recvmmsg(fd, many, 3, MSG_WAITFORONE, NULL));
	say("lengths %u %u %u", many[0].msg_len, many[1].msg_len, many[2].msg_len);
}

CASE_FAST(nothing)
{
	int slot, fd = linked(&slot);

	CALL(send(fd, "", 0, 0));
	CALL(send(fd, NULL, 0, 0));
	CALL(write(fd, "", 0));
	CALL(read(fd, buf, 0));
	CALL(recv(fd, buf, 0, MSG_DONTWAIT));
	CALL(recv(fd, NULL, 0, MSG_PEEK | MSG_DONTWAIT));
	bring(slot, 10);
	CALL(recv(fd, buf, 0, 0));
	CALL(read(fd, buf, 0));
	receive_all(fd, 10);
	order("fin %d", slot);
	CALL(recv(fd, buf, 0, 0));
	CALL(recv(fd, buf, 10, 0));
}

CASE_FAST(positions)
{
	struct iovec part = { buf, 5 };
	int slot, fd = linked(&slot);

	CALL(pread(fd, buf, 5, 0));
	CALL(pwrite(fd, "hello", 5, 0));
	CALL(preadv(fd, &part, 1, 0));
	CALL(pwritev(fd, &part, 1, 0));
	CALL(lseek(fd, 0, SEEK_CUR));
	CALL(pwritev2(fd, &part, 1, -1, 0));
	order("take %d 5", slot);
	bring(slot, 5);
	CALL(preadv2(fd, &part, 1, -1, 0));
	CALL(preadv2(fd, &part, 1, -1, RWF_NOWAIT));
}

static int some_file(size_t size)
{
	int fd = memfd_create("file", MFD_CLOEXEC);

	fill_stream_bytes();
	if (write(fd, stream_bytes, size) != (ssize_t)size)
		fail("file");
	lseek(fd, 0, SEEK_SET);
	return fd;
}

CASE_FAST(file_out)
{
	int slot, fd = linked(&slot), file = some_file(50000), pipes[2];
	off_t at = 100;

	CALL(sendfile(fd, file, &at, 1000));
	say("offset %ld, position %ld", (long)at, (long)lseek(file, 0, SEEK_CUR));
	CALL(sendfile(fd, file, NULL, 3000));
	say("position %ld", (long)lseek(file, 0, SEEK_CUR));
	at = 49990;
	CALL(sendfile(fd, file, &at, 1000));
	CALL(sendfile(fd, file, &at, 1000));
	at = -5;
	CALL(sendfile(fd, file, &at, 10));
	CALL(sendfile(fd, file, NULL, 0));
	CALL(sendfile(fd, 99, NULL, 10));
	CALL(sendfile(fd, fd, NULL, 10));
	CALL(sendfile(99, file, NULL, 10));
	CALL(pipe(pipes));
	CALL(sendfile(fd, pipes[0], NULL, 10));
	order("take %d 4010", slot);
	order("sum %d", slot);
}

CASE_FAST(large_file_out)
{
	int slot, fd = linked(&slot), file = some_file(1 << 20);
	off_t at = 0;
	ssize_t n = 1;

	order("sink %d", slot);
	while (n > 0 && at < 1 << 20)
		n = sendfile(fd, file, &at, (size_t)((1 << 20) - at));
	say("offset %ld", (long)at);
	shutdown(fd, SHUT_WR);
	order("later 100 fin %d", slot);
	CALL(recv(fd, buf, 1, 0));
	order("sum %d", slot);
}

/* What was promised and is not there holds nothing back; a socket that does not wait takes a part. */
CASE_FAST(file_ends_early)
{
	int slot, fd = linked(&slot), file = some_file(1000), zeros;
	off_t at = 0, taken = 0;
	ssize_t n;

	CALL(sendfile(fd, file, &at, 5000));
	order("take %d 1000", slot);
	nonblock(fd);
	zeros = memfd_create("zeros", MFD_CLOEXEC);
	CALL(ftruncate(zeros, (off_t)1 << 32));
	while ((n = sendfile(fd, zeros, NULL, (size_t)3 << 30)) > 0)
		taken += n;
	say("errno %d, something %d, position %d", errno, taken > 0, lseek(zeros, 0, SEEK_CUR) == taken);
	order("sink %d", slot);
	close(zeros);
}

CASE_FAST(file_to_nobody)
{
	int slot, fd = linked(&slot), file = some_file(1000), pipes[2];

	CALL(shutdown(fd, SHUT_WR));
	signal(SIGPIPE, SIG_IGN);
	CALL(sendfile(fd, file, NULL, 10));
	say("position %ld", (long)lseek(file, 0, SEEK_CUR));
	CALL(pipe(pipes));
	CALL(write(pipes[1], "hello", 5));
	CALL(splice(pipes[0], NULL, fd, NULL, 5, 0));
	CALL(splice(pipes[0], NULL, fd, &(off64_t){ 0 }, 5, 0));
	CALL(splice(file, NULL, fd, NULL, 5, 0));
	CALL(splice(pipes[0], NULL, fd, NULL, 5, 256));
	signal(SIGPIPE, SIG_DFL);
}

CASE_PART(pipe_to_stream_and_back)
{
	int slot, fd = linked(&slot), pipes[2];

	fill_stream_bytes();
	CALL(pipe(pipes));
	CALL(write(pipes[1], stream_bytes, 3000));
	CALL(splice(pipes[0], NULL, fd, NULL, 1000, 0));
	CALL(splice(pipes[0], NULL, fd, NULL, 5000, SPLICE_F_MORE));
	CALL(splice(pipes[0], NULL, fd, NULL, 5000, SPLICE_F_NONBLOCK));
	order("take %d 3000", slot);
	order("sum %d", slot);
	bring(slot, 2000);
	CALL(splice(fd, NULL, pipes[1], NULL, 500, 0));
	CALL(splice(fd, NULL, pipes[1], NULL, 5000, 0));
	CALL(read(pipes[0], buf, 5000));
	say_data("  through the pipe", buf, 2000);
	nonblock(fd);
	CALL(splice(fd, NULL, pipes[1], NULL, 5000, 0));
	order("fin %d", slot);
	CALL(splice(fd, NULL, pipes[1], NULL, 5000, 0));
}

CASE(bad_pointers)
{
	void *bad = (void *)(uintptr_t)hidden(8);
	struct iovec part = { bad, 10 };
	int slot, fd = linked(&slot);

	CALL(send(fd, bad, 10, 0));
	CALL(write(fd, bad, 10));
	CALL(writev(fd, &part, 1));
	CALL(sendmsg(fd, bad, 0));
	CALL(recv(fd, bad, 10, MSG_DONTWAIT));
	CALL(recvmsg(fd, bad, MSG_DONTWAIT));
	CALL(send(fd, "x", 1, 0));
	order("take %d 1", slot);
}

CASE(bad_pointers_with_data)
{
	void *bad = (void *)(uintptr_t)hidden(8);
	struct iovec part[2] = { { buf, 10 }, { bad, 10 } };
	int slot, fd = linked(&slot);

	bring(slot, 40);
	CALL(recv(fd, bad, 10, 0));
	CALL(read(fd, bad, 10));
	CALL(readv(fd, part, 2));
	receive_all(fd, 30);
}

CASE(descriptors)
{
	CALL(send(-1, "x", 1, MSG_NOSIGNAL));
	CALL(recv(-1, buf, 1, 0));
	CALL(send(99, "x", 1, MSG_NOSIGNAL));
	CALL(recv(99, buf, 1, 0));
	CALL(shutdown(99, SHUT_WR));
	CALL(shutdown(CONTROL_FD - 3, SHUT_WR));
}

CASE_FAST(how_much_is_there)
{
	int slot, fd = linked(&slot), n = -1;

	CALL(ioctl(fd, FIONREAD, &n));
	say("readable %d", n);
	bring(slot, 100);
	CALL(ioctl(fd, FIONREAD, &n));
	say("readable %d", n);
	bring(slot, 50);
	CALL(recv(fd, buf, 30, 0));
	CALL(ioctl(fd, FIONREAD, &n));
	say("readable %d", n);
	order("fin %d", slot);
	CALL(ioctl(fd, FIONREAD, &n));
	say("readable %d", n);
	receive_all(fd, 120);
	CALL(ioctl(fd, FIONREAD, &n));
	say("readable %d", n);
	CALL(recv(fd, buf, 1, 0));
	CALL(ioctl(fd, FIONREAD, &n));
	say("readable %d", n);
}

CASE_FAST(blocking_receive_waits)
{
	int slot, fd = linked(&slot);

	order("later 100 send %d 10", slot);
	CALL_TIMED(recv(fd, buf, 100, 0), 0);
	order("later 100 send %d 10", slot);
	CALL_TIMED(read(fd, buf, 100), 0);
	order("later 100 fin %d", slot);
	CALL_TIMED(recv(fd, buf, 100, 0), 0);
}

/* Two streams of one program do not mix. */
CASE_FAST(two_streams)
{
	int a, b, one = linked_out(&a), two = linked_out(&b), i;

	order("echo %d", a);
	order("echo %d", b);
	for (i = 0; i < 50; i++) {
		send(one, "first", 5, 0);
		send(two, "second!", 7, 0);
		if (recv(two, buf, 7, MSG_WAITALL) != 7 || memcmp(buf, "second!", 7) != 0)
			fail("second in round %d", i);
		if (recv(one, buf, 5, MSG_WAITALL) != 5 || memcmp(buf, "first", 5) != 0)
			fail("first in round %d", i);
	}
	say("rounds %d", i);
}
