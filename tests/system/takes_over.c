/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * takes_over.c - goes on with connections that another program had. Static: fsock cannot enter it.
 *
 * usage: takes_over FD ECHO SUM   the connection FD: reads to its end, says the same if ECHO is 1
 *        takes_over               connections that come through the socket at 0, with "ECHO SUM" as the message
 *
 * What is read must end with the sum of the rest, of which SUM is the part that was read before (CRC-32, as zlib's
 * crc32() goes on). For each that did it says "whole". Exit status 0 unless one did not.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define RESIDUE 0x2144df1cu /* of anything that ends with its own sum */

static uint32_t sum_of(uint32_t sum, const uint8_t *at, ssize_t n)
{
	sum = ~sum;
	while (n-- > 0) {
		sum ^= *at++;
		for (int bit = 0; bit < 8; bit++)
			sum = sum >> 1 ^ (sum & 1 ? 0xedb88320u : 0);
	}
	return ~sum;
}

static int go_on(int fd, int echo, uint32_t sum)
{
	static uint8_t data[65536];
	ssize_t got, said;

	while ((got = read(fd, data, sizeof(data))) > 0) {
		sum = sum_of(sum, data, got);
		for (ssize_t at = 0; echo && at < got; at += said) {
			said = write(fd, data + at, (size_t)(got - at));
			if (said < 0) {
				perror("write");
				return 1;
			}
		}
	}
	if (got < 0 || sum != RESIDUE) {
		fprintf(stderr, "not whole: %zd, %08x\n", got, sum);
		return 1;
	}
	if (write(STDOUT_FILENO, "whole\n", 6) != 6)
		return 1;
	return 0;
}

/* A connection and what goes with it; false: there are no more. */
static int receive(int *fd, int *echo, uint32_t *sum)
{
	char text[64] = "", room[CMSG_SPACE(sizeof(int))];
	struct iovec part = { .iov_base = text, .iov_len = sizeof(text) - 1 };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room) };
	struct cmsghdr *passed;

	if (recvmsg(STDIN_FILENO, &message, 0) <= 0)
		return 0;
	passed = CMSG_FIRSTHDR(&message);
	if (!passed || passed->cmsg_type != SCM_RIGHTS || sscanf(text, "%d %u", echo, sum) != 2)
		return 0;
	*fd = *(int *)(void *)CMSG_DATA(passed);
	return 1;
}

int main(int argc, char **argv)
{
	int fd, echo, status, failed = 0;
	uint32_t sum;

	if (argc == 4)
		return go_on(atoi(argv[1]), atoi(argv[2]), (uint32_t)strtoul(argv[3], NULL, 10));
	while (receive(&fd, &echo, &sum)) {
		pid_t pid = fork();

		if (pid < 0)
			return 1;
		if (pid == 0)
			return go_on(fd, echo, sum);
		close(fd);
	}
	while (wait(&status) > 0)
		failed |= status != 0;
	return failed;
}
