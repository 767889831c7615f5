/* SPDX-License-Identifier: BSD-2-Clause */
/* stream_rare.c - what few programs ask of a connection: filters, signatures, devices, errors of the network. P50, P51. */
#include "stream.h"

#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <sys/syscall.h>

enum { NONE = 0, ALL = -1, OPT_AO_ADD_KEY = 38, OPT_AO_INFO = 40, OPT_AO_GET_KEYS = 41 };

/* --- filters --- */

/* A filter that lets so many bytes of each segment pass. */
static int filter(int fd, int bytes)
{
	struct sock_filter code[] = { BPF_STMT(BPF_RET | BPF_K, (unsigned)bytes) };
	struct sock_fprog program = { 1, code };

	say("filter: %d", bytes);
	return (int)CALL(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)));
}

/* A program that lets nothing pass. */
static int deaf_program(void)
{
	struct bpf_insn code[] = { { BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0 }, { BPF_JMP | BPF_EXIT, 0, 0, 0, 0 } };
	union bpf_attr attr = { .prog_type = BPF_PROG_TYPE_SOCKET_FILTER, .insn_cnt = 2 };
	static const char license[] = "GPL";
	int fd;

	attr.insns = (uintptr_t)code;
	attr.license = (uintptr_t)license;
	fd = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
	if (fd < 0)
		fail("bpf: %s", strerror(errno));
	return fd;
}

static void hears_nothing(int fd, int slot)
{
	order("send %d 100", slot);
	events_of(fd, POLLIN, 100);
	say("detached");
	set_int(fd, SOL_SOCKET, SO_DETACH_FILTER, 0);
	receive_all(fd, 100);
	CALL(send(fd, "x", 1, 0));
	order("take %d 1", slot);
}

CASE_BY(filter_on_a_connection, option)
{
	int slot, fd = linked(&slot);

	bring(slot, 10);
	receive_all(fd, 10);
	filter(fd, NONE);
	hears_nothing(fd, slot);
}

CASE_BY(filter_that_lets_pass, option)
{
	int slot, fd = linked(&slot);

	filter(fd, ALL);
	bring(slot, 100);
	receive_all(fd, 100);
	set_int(fd, SOL_SOCKET, SO_LOCK_FILTER, 1);
	set_int(fd, SOL_SOCKET, SO_DETACH_FILTER, 0);
	filter(fd, NONE);
	bring(slot, 100);
	receive_all(fd, 100);
}

CASE_BY(program_on_a_connection, option)
{
	int slot, fd = linked(&slot), program = deaf_program();

	CALL(setsockopt(fd, SOL_SOCKET, SO_ATTACH_BPF, &program, sizeof(program)));
	close(program);
	hears_nothing(fd, slot);
}

CASE_BY(filter_on_a_listener, option)
{
	int fd = tcp_listening(PORT_HERE, 4);
	long slot;

	filter(fd, NONE);
	slot = order("begin %d", PORT_HERE);
	events_of(fd, POLLIN, 100);
	set_int(fd, SOL_SOCKET, SO_DETACH_FILTER, 0);
	order("done %ld", slot);
	fd = CALL_FD(accept(fd, NULL, NULL));
	bring((int)slot, 10);
	receive_all(fd, 10);
}

/* What waits unread stays, what comes is filtered. */
CASE_BY(filter_with_data, option)
{
	int slot, fd = linked(&slot);

	bring(slot, 100);
	filter(fd, NONE);
	receive_all(fd, 100);
	hears_nothing(fd, slot);
}

CASE_FAST(wrong_filters)
{
	struct sock_filter code[] = { BPF_STMT(BPF_LD | BPF_K, 0) };
	struct sock_fprog program = { 1, code };
	int slot, fd = linked(&slot), wrong = fd;

	CALL(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)));
	program.len = 0;
	CALL(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)));
	CALL(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, 3));
	CALL(setsockopt(fd, SOL_SOCKET, SO_ATTACH_BPF, &wrong, sizeof(wrong)));
	set_int(fd, SOL_SOCKET, SO_DETACH_FILTER, 0);
	bring(slot, 100);
	receive_all(fd, 100);
}

/* --- signatures --- */

static int sign(int fd, struct addr with, int length)
{
	struct tcp_md5sig key = { .tcpm_keylen = (uint16_t)length, .tcpm_key = "secret" };

	memcpy(&key.tcpm_addr, &with.ss, with.len);
	say("key of %d bytes", length);
	return (int)CALL(setsockopt(fd, IPPROTO_TCP, TCP_MD5SIG, &key, sizeof(key)));
}

/* The peer knows no signatures, and takes no segment that has one. */
CASE_BY(signature_on_a_connection, option)
{
	int slot, fd = linked(&slot), left = 0;

	bring(slot, 100);
	receive_all(fd, 100);
	sign(fd, there(0), 6);
	CALL(send(fd, "x", 1, 0));
	sleep_ms(100);
	CALL(ioctl(fd, TIOCOUTQ, &left));
	say("not acknowledged: %d", left);
	sign(fd, there(0), 0);
	order("take %d 1", slot);
	bring(slot, 100);
	receive_all(fd, 100);
}

CASE_BY(signature_for_another, option)
{
	struct addr to = there(PORT_PEER);
	int fd = tcp(), slot;

	sign(fd, nowhere(0), 6);
	sign(fd, there(0), 0);
	sign(fd, nowhere(0), 81);
	CALL(setsockopt(fd, IPPROTO_TCP, TCP_MD5SIG, &to, 4));
	CALL(connect(fd, SA(&to), to.len));
	slot = (int)order("accept %d", PORT_PEER);
	bring(slot, 100);
	receive_all(fd, 100);
}

CASE_BY(signature_on_a_listener, option)
{
	int fd = tcp_listening(PORT_HERE, 4);
	long slot;

	sign(fd, there(0), 6);
	slot = order("begin %d", PORT_HERE);
	events_of(fd, POLLIN, 100);
	sign(fd, there(0), 0);
	order("done %ld", slot);
	CALL_FD(accept(fd, NULL, NULL));
}

/* Kernels without it, or with: what they say of a request that is wrong in any. */
CASE(authentication)
{
	int fd = tcp(), value[100] = { 0 };
	socklen_t len = sizeof(value);

	CALL(setsockopt(fd, IPPROTO_TCP, OPT_AO_ADD_KEY, value, 4));
	CALL(setsockopt(fd, IPPROTO_TCP, OPT_AO_INFO, value, 4));
	CALL(getsockopt(fd, IPPROTO_TCP, OPT_AO_GET_KEYS, value, &len));
	fd = tcp_listening(PORT_HERE, 4);
	CALL(setsockopt(fd, IPPROTO_TCP, OPT_AO_ADD_KEY, value, sizeof(value)));
}

/* --- ways --- */

CASE_BY(no_routers, option)
{
	int slot, fd = linked(&slot);

	set_int(fd, SOL_SOCKET, SO_DONTROUTE, 1);
	get_int(fd, "SO_DONTROUTE", SOL_SOCKET, SO_DONTROUTE);
	bring(slot, 100);
	receive_all(fd, 100);
	CALL(send(fd, "x", 1, MSG_DONTROUTE));
	order("take %d 1", slot);
	set_int(fd, SOL_SOCKET, SO_DONTROUTE, 0);
	bring(slot, 100);
	receive_all(fd, 100);
}

static int device(int fd, const char *name)
{
	say("device \"%s\"", name);
	return (int)CALL(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, (socklen_t)strlen(name)));
}

CASE_BY(device_of_a_connection, option)
{
	int slot, fd = linked(&slot);

	device(fd, "fst0");
	bring(slot, 100);
	receive_all(fd, 100);
	device(fd, "");
	bring(slot, 100);
	receive_all(fd, 100);
	CALL(send(fd, "x", 1, 0));
	order("take %d 1", slot);
}

/* What comes by the link is not for it. */
CASE_BY(another_device, option)
{
	int slot, fd = linked(&slot);

	bring(slot, 10);
	receive_all(fd, 10);
	device(fd, "lo");
	order("send %d 100", slot);
	events_of(fd, POLLIN, 100);
	say_error(fd);
	say_state(fd);
	device(fd, "fst0"); /* or it would not hear that its peer ended it */
}

CASE_BY(device_of_a_listener, option)
{
	int fd = tcp_listening(PORT_HERE, 4), slot;

	device(fd, "lo");
	order("connect %d", PORT_HERE);
	events_of(fd, POLLIN, 0);
	device(fd, "fst0");
	slot = (int)order("connect %d", PORT_HERE);
	fd = CALL_FD(accept(fd, NULL, NULL));
	bring(slot, 10);
	receive_all(fd, 10);
}

/* --- errors of the network --- */

static void hear_of_errors(int fd, int on)
{
	if (family() == AF_INET || mapped())
		set_int(fd, IPPROTO_IP, IP_RECVERR, on);
	if (family() == AF_INET6)
		set_int(fd, IPPROTO_IPV6, IPV6_RECVERR, on);
}

static void errors_of(int fd)
{
	char data[64], control[256];
	struct iovec part = { data, sizeof(data) };
	struct msghdr msg = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };

	CALL(recvmsg(fd, &msg, MSG_ERRQUEUE));
	say("flags %#x, control %zu", msg.msg_flags, msg.msg_controllen);
	CALL(recv(fd, data, sizeof(data), MSG_ERRQUEUE | MSG_PEEK));
	CALL(recv(fd, data, 0, MSG_ERRQUEUE));
}

/* A byte that the peer does not hear, and a router's message about it. */
static void unreachable(int fd, int slot, int code)
{
	order("deaf %d 1", slot);
	CALL(send(fd, "x", 1, 0));
	order("unreachable %d %d", slot, code);
}

static void heard_after_all(int fd, int slot)
{
	order("deaf %d 0", slot);
	order("take %d 1", slot);
	bring(slot, 10);
	receive_all(fd, 10);
}

CASE_FAST(empty_error_queue)
{
	int slot, fd = linked(&slot);

	errors_of(fd);
	hear_of_errors(fd, 1);
	errors_of(fd);
	bring(slot, 10);
	errors_of(fd);
	receive_all(fd, 10);
	order("fin %d", slot);
	errors_of(fd);
}

CASE(error_queue_without_connection)
{
	errors_of(tcp());
	errors_of(tcp_listening(PORT_HERE, 4));
}

CASE_FAST(unreachable_host)
{
	static const int codes[] = { 0, 1, 3 };
	int slot, fd = linked(&slot), i;

	for (i = 0; i < 3; i++) {
		unreachable(fd, slot, codes[i]);
		events_of(fd, POLLIN, 100);
		say_error(fd);
		errors_of(fd);
		heard_after_all(fd, slot);
	}
}

CASE_FAST(unreachable_host_that_is_told)
{
	static const int codes[] = { 0, 1, 3 };
	int slot, fd = linked(&slot), i;
	char c;

	hear_of_errors(fd, 1);
	for (i = 0; i < 3; i++) {
		unreachable(fd, slot, codes[i]);
		events_of(fd, POLLIN, 5000);
		errors_of(fd);
		if (i == 1)
			CALL(recv(fd, &c, 1, MSG_DONTWAIT));
		say_error(fd);
		say_error(fd);
		events_of(fd, POLLIN, 0);
		heard_after_all(fd, slot);
	}
	say_state(fd);
}
