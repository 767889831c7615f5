/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stream_control.c - control messages of streams: what comes beside the bytes, and what a program gives with them.
 *
 * Received ones in the order of the kernel's tcp_recvmsg(): times of arrival, then TCP_INQ. Headers are told of no
 * stream.
 */
#include <errno.h>
#include <string.h>

#include "base/reason.h"
#include "context/control.h"
#include "context/handover.h"
#include "context/stamp.h"
#include "context/stream_internal.h"

/* Messages of SOL_SOCKET, as the options of these names (asm-generic/socket.h). */
enum {
	GIVEN_RIGHTS = 1, /* of Unix sockets, as the next one */
	GIVEN_CREDENTIALS = 2,
	GIVEN_PRIORITY = 12,
	GIVEN_MARK = 36,
	GIVEN_STAMPS_OLD = 37,
	GIVEN_STAMPS_NEW = 65,
};

void stream_put_control(struct context *ctx, int fd, int left, fs_ns stamp, struct datagram *d)
{
	struct control_writer w = { .at = d->control, .room = d->control_len };
	struct sock *s = stamp ? stream_enter(ctx, fd) : NULL;

	if (s) {
		stamp_put_segment(&s->stamps, stamp, &w);
		context_leave(ctx);
	}
	if (left >= 0)
		control_write(&w, IPPROTO_TCP, STREAM_OPT_INQ, &left, sizeof(left));
	d->control_len -= w.room;
	d->msg_flags |= w.flags;
}

/* One of SOL_SOCKET, as the kernel's __sock_cmsg_send(). Mark and priority go by no frame of ours. */
static int check_one(const struct cmsghdr *head, const uint8_t *data, uint32_t *stamps)
{
	uint32_t v;

	if (head->cmsg_type == GIVEN_RIGHTS || head->cmsg_type == GIVEN_CREDENTIALS)
		return 0;
	if (head->cmsg_len != CMSG_LEN(sizeof(v)))
		return -EINVAL;
	memcpy(&v, data, sizeof(v));
	if (head->cmsg_type == GIVEN_STAMPS_OLD || head->cmsg_type == GIVEN_STAMPS_NEW) {
		*stamps = v;
		return v & ~(uint32_t)STAMP_TX_RECORD ? -EINVAL : 0;
	}
	return head->cmsg_type == GIVEN_MARK || head->cmsg_type == GIVEN_PRIORITY ? 0 : -EINVAL;
}

/* What a Unix socket can send beside bytes, the kernel alone can. */
static bool is_unix(struct context *ctx, int fd)
{
	struct sock *s = stream_enter(ctx, fd);
	bool answer = s && s->stream.is_unix;

	if (s)
		context_leave(ctx);
	return answer;
}

int stream_check_control(struct context *ctx, int fd, const struct datagram *d)
{
	const uint8_t *bytes = d->control;
	struct cmsghdr head;
	uint32_t stamps = 0;
	bool bad = false;
	int ret = 0;

	for (size_t at = 0; ret == 0 && control_next(bytes, d->control_len, &at, &head, &bad);
	     at += CMSG_ALIGN(head.cmsg_len))
		if (head.cmsg_level == SOL_SOCKET)
			ret = check_one(&head, bytes + at + sizeof(head), &stamps);
	if (is_unix(ctx, fd))
		return d->control_len ? stream_unix_to_kernel(ctx, fd) : 0;
	if (ret < 0 || bad)
		return -EINVAL;
	if (stamps && handover_fd(ctx, fd, FS_REASON_option) == 0)
		return CONTEXT_KERNEL;
	return 0;
}
