/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An XDP program can ask whether the kernel has a TCP socket for a 4-tuple, and tell a connection, a
 * TIME-WAIT and a mere listener apart by the state (design hazard 1).
 *
 * Relied on by: src/steer/bpf/steer.bpf.c, kernel_owns().
 */
#include "bpf_tiny.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>

/*
 * State of the kernel's socket for a segment from 127.0.0.1:@remote to 127.0.0.1:@local, 0 = none, as
 * a program sees it that runs in this namespace.
 */
static uint32_t state_of(uint16_t remote, uint16_t local)
{
	const struct bpf_insn insns[] = {
		/* struct bpf_sock_tuple.ipv4 at r10 - 16: saddr, daddr, sport, dport */
		STORE32(BPF_REG_10, -16, htonl(INADDR_LOOPBACK)),
		STORE32(BPF_REG_10, -12, htonl(INADDR_LOOPBACK)),
		STORE16(BPF_REG_10, -8, htons(remote)),
		STORE16(BPF_REG_10, -6, htons(local)),
		MOV_REG(BPF_REG_2, BPF_REG_10),
		ADD_IMM(BPF_REG_2, -16),
		MOV_IMM(BPF_REG_3, 12),
		MOV_IMM(BPF_REG_4, BPF_F_CURRENT_NETNS),
		MOV_IMM(BPF_REG_5, 0),
		CALL(BPF_FUNC_skc_lookup_tcp),
		MOV_IMM(BPF_REG_6, 0),
		JUMP_IF_ZERO(BPF_REG_0, 3),
		LOAD32(BPF_REG_6, BPF_REG_0, offsetof(struct bpf_sock, state)),
		MOV_REG(BPF_REG_1, BPF_REG_0),
		CALL(BPF_FUNC_sk_release),
		MOV_REG(BPF_REG_0, BPF_REG_6),
		EXIT(),
	};
	static const char frame[64];
	union bpf_attr attr;
	int prog = prog_load(BPF_PROG_TYPE_XDP, insns, sizeof(insns) / sizeof(*insns));

	check(prog >= 0, "a program with bpf_skc_lookup_tcp loads");
	memset(&attr, 0, sizeof(attr));
	attr.test.prog_fd = (uint32_t)prog;
	attr.test.data_in = (uintptr_t)frame;
	attr.test.data_size_in = sizeof(frame);
	check(bpf(BPF_PROG_TEST_RUN, &attr) == 0, "it runs");
	close(prog);
	return attr.test.retval;
}

static uint16_t port_of(int fd)
{
	struct sockaddr_in name;
	socklen_t len = sizeof(name);

	getsockname(fd, (struct sockaddr *)&name, &len);
	return ntohs(name.sin_port);
}

int main(void)
{
	struct sockaddr_in self = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(self);
	int listener, client, server;
	uint16_t local, remote;

	own_namespace();
	listener = socket(AF_INET, SOCK_STREAM, 0);
	client = socket(AF_INET, SOCK_STREAM, 0);
	check(bind(listener, (struct sockaddr *)&self, sizeof(self)) == 0 && listen(listener, 1) == 0 &&
		      getsockname(listener, (struct sockaddr *)&self, &len) == 0,
	      "a listener on loopback");
	local = port_of(listener);
	check(state_of(1, local) == BPF_TCP_LISTEN, "a stranger's segment finds the listener");
	check(state_of(1, (uint16_t)(local ^ 1)) == 0, "nobody there: nothing found");

	check(connect(client, (struct sockaddr *)&self, sizeof(self)) == 0, "a connection");
	server = accept(listener, NULL, NULL);
	remote = port_of(client);
	check(state_of(remote, local) == BPF_TCP_ESTABLISHED, "the connection goes before the listener");

	/* The server closes first, so its side ends in TIME-WAIT. */
	close(server);
	close(client);
	pause_ms(50);
	check(state_of(remote, local) == BPF_TCP_TIME_WAIT, "TIME-WAIT is found as well");
	return 0;
}
