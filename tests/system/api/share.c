/* SPDX-License-Identifier: BSD-2-Clause */
/* share.c - sockets that share a port, and sockets bound to an interface. P51. */
#include "record.h"

#include <net/if.h>

enum { MEMBERS = 3, FLOWS = 24 };

static int member(void)
{
	struct addr a = here(PORT_HERE);
	int fd = udp(), on = 1;

	CALL(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)));
	CALL(bind(fd, SA(&a), a.len));
	return fd;
}

/* Which member gets a flow is the hash's choice; that one gets all of it, and no datagram is lost. */
CASE_FAST(flows_are_spread)
{
	int fd[MEMBERS], seen[MEMBERS] = { 0 }, of[FLOWS], total = 0;
	struct addr to = there(PORT_ECHO);
	char c[16];

	for (int i = 0; i < MEMBERS; i++)
		fd[i] = member();
	for (int round = 0; round < 2; round++) {
		for (int flow = 0; flow < FLOWS; flow++) {
			peer("from %d %d 5", 20000 + flow, PORT_HERE);
			settle();
			for (int i = 0; i < MEMBERS; i++) {
				if (recv(fd[i], c, sizeof(c), MSG_DONTWAIT) != 5)
					continue;
				if (round && of[flow] != i)
					say("a flow changed sides");
				of[flow] = i;
				seen[i]++;
				total++;
			}
		}
	}
	say("%d of %d arrived", total, 2 * FLOWS);
	for (int i = 0; i < MEMBERS; i++)
		say("member %d got %s", i, seen[i] ? "some" : "none");
	CALL(sendto(fd[1], "x", 1, 0, SA(&to), to.len));
}

CASE_BY(one_leaves_and_all_go, option)
{
	int fd[MEMBERS], off = 3, total = 0;
	char c[16];

	for (int i = 0; i < MEMBERS; i++)
		fd[i] = member();
	CALL(setsockopt(fd[1], SOL_SOCKET, SO_PEEK_OFF, &off, sizeof(off)));
	for (int flow = 0; flow < FLOWS; flow++)
		peer("from %d %d 5", 20000 + flow, PORT_HERE);
	settle();
	for (int i = 0; i < MEMBERS; i++)
		while (recv(fd[i], c, sizeof(c), MSG_DONTWAIT) == 5)
			total++;
	say("%d of %d arrived", total, FLOWS);
}

CASE(sharing_is_refused)
{
	struct addr a = here(PORT_HERE);
	int fd = udp(), other = udp(), on = 1;

	CALL(bind(fd, SA(&a), a.len));
	CALL(setsockopt(other, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)));
	CALL(bind(other, SA(&a), a.len));
}

static void exchange(int fd)
{
	struct addr to = there(PORT_ECHO);
	char c[16];

	CALL(sendto(fd, "hello", 5, 0, SA(&to), to.len));
	CALL(recv(fd, c, sizeof(c), 0));
}

CASE_FAST(bound_to_the_interface)
{
	int fd = udp(), index = (int)if_nametoindex("fst0");
	struct addr a = any(PORT_HERE);

	CALL(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "fst0", 5));
	CALL(bind(fd, SA(&a), a.len));
	exchange(fd);
	CALL(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "", 0));
	exchange(fd);
	CALL(setsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &index, sizeof(index)));
	exchange(fd);
	deliver(PORT_HERE, 10, 1);
	CALL(recv(fd, &a, sizeof(a), MSG_DONTWAIT));
}

CASE(bound_to_another_interface)
{
	int fd = udp(), other = udp();
	struct addr a = any(PORT_HERE);
	char c[16];

	CALL(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3));
	CALL(bind(fd, SA(&a), a.len));
	deliver(PORT_HERE, 10, 1);
	CALL(recv(fd, c, sizeof(c), MSG_DONTWAIT));
	CALL(setsockopt(other, SOL_SOCKET, SO_BINDTODEVICE, "fst0", 5));
	CALL(bind(other, SA(&a), a.len));
	deliver(PORT_HERE, 10, 1);
	CALL(recv(fd, c, sizeof(c), MSG_DONTWAIT));
	CALL(recv(other, c, sizeof(c), MSG_DONTWAIT));
}

CASE_FAST(the_one_on_the_interface_goes_first)
{
	int fd = udp(), other = udp(), on = 1;
	struct addr a = any(PORT_HERE);
	char c[16];

	CALL(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)));
	CALL(setsockopt(other, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)));
	CALL(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "fst0", 5));
	CALL(bind(fd, SA(&a), a.len));
	CALL(bind(other, SA(&a), a.len));
	deliver(PORT_HERE, 10, 1);
	CALL(recv(other, c, sizeof(c), MSG_DONTWAIT));
	CALL(recv(fd, c, sizeof(c), MSG_DONTWAIT));
	exchange(fd);
}

CASE_FAST(unicast_interface)
{
	uint32_t index = htonl(if_nametoindex("fst0"));
	int fd = udp();

	if (family() == AF_INET)
		CALL(setsockopt(fd, IPPROTO_IP, IP_UNICAST_IF, &index, sizeof(index)));
	else
		CALL(setsockopt(fd, IPPROTO_IPV6, IPV6_UNICAST_IF, &index, sizeof(index)));
	exchange(fd);
}
