/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A classifier attached by a tcx link sees what the kernel sends, may drop it, and goes with the link's
 * last descriptor (Linux 6.6).
 *
 * Relied on by: src/steer's egress guard (design hazard 18), which uses clsact on older kernels.
 */
#include "bpf_tiny.h"

#include <arpa/inet.h>
#include <linux/pkt_cls.h>
#include <netinet/in.h>
#include <sys/time.h>

static int arrives(int fd, const struct sockaddr_in *to)
{
	char byte = 1;

	/* A dropped datagram may be reported to the sender (ENOBUFS); either way it does not arrive. */
	sendto(fd, &byte, 1, 0, (const struct sockaddr *)to, sizeof(*to));
	return recv(fd, &byte, 1, 0) == 1;
}

int main(void)
{
	struct sockaddr_in self = { .sin_family = AF_INET,
				    .sin_port = htons(9999),
				    .sin_addr = { htonl(INADDR_LOOPBACK) } };
	const struct timeval limit = { .tv_usec = 100000 };
	int fd, prog, link;

	own_namespace();
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	check(fd >= 0 && bind(fd, (struct sockaddr *)&self, sizeof(self)) == 0, "a socket on loopback");
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	check(arrives(fd, &self), "without a program the datagram arrives");

	prog = prog_constant(BPF_PROG_TYPE_SCHED_CLS, TC_ACT_SHOT);
	check(prog >= 0, "a classifier loads");
	link = link_lo(prog, TCX_EGRESS, 0);
	if (link == -EINVAL)
		skip("no tcx links (Linux 6.6)");
	check(link >= 0, "a tcx link on the egress");
	check(!arrives(fd, &self), "the program drops what the kernel sends");
	close(prog);
	check(!arrives(fd, &self), "the link holds the program");
	close(link);
	check(arrives(fd, &self), "it goes with the link");

	/* "No opinion" of tcx and of clsact are one number, so one program serves both. */
	prog = prog_constant(BPF_PROG_TYPE_SCHED_CLS, TC_ACT_UNSPEC);
	link = link_lo(prog, TCX_EGRESS, 0);
	check(link >= 0 && arrives(fd, &self), "TC_ACT_UNSPEC lets pass");
	return 0;
}
