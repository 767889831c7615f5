/* SPDX-License-Identifier: BSD-2-Clause */
/* fortify.c - lengths beyond the object: libc's checked entry points abort the program. P06. */
#include "record.h"

#if __USE_FORTIFY_LEVEL > 0
enum { TOO_LONG = 200 };
#else
enum { TOO_LONG = 10 };		/* unchecked, the call would write past the object */
#endif

CASE(aborts_recv)
{
	int fd = udp_bound(PORT_HERE);
	char buf[10];

	CALL(recv(fd, buf, (size_t)hidden(10), MSG_DONTWAIT));
	CALL(recv(fd, buf, (size_t)hidden(TOO_LONG), MSG_DONTWAIT));
}

CASE(aborts_recvfrom)
{
	int fd = udp_bound(PORT_HERE);
	char buf[10];

	CALL(recvfrom(fd, buf, (size_t)hidden(TOO_LONG), MSG_DONTWAIT, NULL, NULL));
}

CASE(aborts_read)
{
	int fd = udp_bound(PORT_HERE);
	char buf[10];

	CALL(fcntl(fd, F_SETFL, O_NONBLOCK));
	CALL(read(fd, buf, (size_t)hidden(TOO_LONG)));
}

CASE(aborts_poll)
{
	struct pollfd set[2] = { { .fd = -1 }, { .fd = -1 } };

	CALL(poll(set, (nfds_t)hidden(TOO_LONG == 10 ? 2 : 9), 0));
}
