/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * option.c - socket options: what the shadow accepted becomes the fast path's, or ends it.
 *
 * Which option means what is the table in socket/opts.c; here it is done. Values that the kernel changes
 * before it keeps them (buffers, names of devices) are read back from the shadow.
 */
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/reason.h"
#include "context/internal.h"
#include "context/lifecycle.h"
#include "context/stamp.h"
#include "socket/opts.h"
#include "sys/sys.h"

enum {
	WIDEN = 3, /* see context_widen() */
	BRACED = 4 << 20, /* bytes, which the kernel doubles: of small datagrams some 4,600 */
};

/* --- what is read back --- */

/* SO_RCVBUF as the kernel reports it, the limit of the queue. */
static uint32_t read_rcvbuf(int fd)
{
	int v = 0;
	socklen_t len = sizeof(v);

	return sys_getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &v, &len) == 0 && v > 0 ? (uint32_t)v : 212992;
}

static void read_v6only(struct sock *s, int fd)
{
	int v = 0;
	socklen_t len = sizeof(v);

	sys_getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v, &len);
	s->pcb.flags &= ~(uint32_t)UDP_PCB_V6ONLY;
	if (v)
		s->pcb.flags |= UDP_PCB_V6ONLY;
}

static uint32_t read_device(int fd)
{
	int v = 0;
	socklen_t len = sizeof(v);

	return sys_getsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &v, &len) == 0 ? (uint32_t)v : 0;
}

/* SO_RCVTIMEO as the kernel took it -> ns; 0 = no limit. */
static fs_ns read_rcvtimeo(int fd)
{
	struct timeval tv = { 0 };
	socklen_t len = sizeof(tv);

	if (sys_getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, &len) < 0)
		return 0;
	return fs_span(tv.tv_sec, FS_US(tv.tv_usec));
}

void context_read_options(struct sock *s, int fd)
{
	s->pcb.limit = read_rcvbuf(fd);
	if (s->pcb.flags & UDP_PCB_V6)
		read_v6only(s, fd);
}

/* --- the receive buffer --- */

/*
 * Behind generic XDP every frame that passes to the kernel is charged about 1.8 KB instead of 0.8, since
 * the kernel made headroom for the program (measured: 118 small datagrams fill what held 277). The
 * shadow gets room for as many as before; getsockopt() goes on to report what the program set.
 */
void context_widen(struct sock *s, int fd)
{
	int v = (int)FS_MIN(s->pcb.limit / 2 * WIDEN, (uint32_t)INT32_MAX / 2);

	if (sys_setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &v, sizeof(v)) == 0)
		s->widened = true; /* without CAP_NET_ADMIN it stays as it is */
}

void context_narrow(struct sock *s, int fd)
{
	int v = (int)s->pcb.limit / 2; /* the kernel doubles what it is given */

	if (s->widened && sys_setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &v, sizeof(v)) == 0)
		s->widened = false;
}

void context_brace(struct context *ctx, bool on)
{
	for (int fd = 0; fd <= ctx->fds.highest; fd++) {
		const int v = BRACED;
		struct sock *s;

		context_check_descriptor(ctx, fd);
		s = context_live_sock(ctx, fd);
		if (!s || !s->widened || s->pcb.limit >= 2 * BRACED)
			continue;
		if (on)
			(void)sys_setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &v, sizeof(v));
		else
			context_widen(s, fd);
	}
}

/* --- setting --- */

static void set_flag(struct sock *s, uint32_t flag, bool on)
{
	s->pcb.flags = on ? s->pcb.flags | flag : s->pcb.flags & ~flag;
}

/* Options whose value tells all. */
static void note_value(struct context *ctx, struct sock *s, const struct sock_opt *o)
{
	struct udp_style *v4 = &s->pcb.style[0], *v6 = &s->pcb.style[1];

	switch (o->action) {
	case SOCK_OPT_CMSG: s->cmsgs = o->value ? s->cmsgs | o->bit : s->cmsgs & ~o->bit; break;
	case SOCK_OPT_TOS: v4->tos = (uint8_t)o->value; break;
	case SOCK_OPT_TCLASS: v6->tos = (uint8_t)o->value; break;
	case SOCK_OPT_TTL: v4->hop_limit = (uint8_t)o->value; break;
	case SOCK_OPT_HOPS: v6->hop_limit = (uint8_t)o->value; break;
	case SOCK_OPT_FRAGMENT: v4->may_fragment = o->value; break;
	case SOCK_OPT_NO_CHECK: v4->no_checksum = o->value; break;
	case SOCK_OPT_NO_CHECK6_TX: v6->no_checksum = o->value; break;
	case SOCK_OPT_NO_CHECK6_RX: set_flag(s, UDP_PCB_NO_CHECK6, o->value); break;
	case SOCK_OPT_MARK: s->mark = (uint32_t)o->value; break;
	case SOCK_OPT_UNICAST_IF: s->unicast_if[0] = (uint32_t)o->value; break;
	case SOCK_OPT_UNICAST_IF6: s->unicast_if[1] = (uint32_t)o->value; break;
	case SOCK_OPT_DONTROUTE: s->dont_route = o->value; break;
	case SOCK_OPT_RECVERR: s->recverr = o->value; break;
	case SOCK_OPT_CORK:
		s->corked = o->value;
		s->more = s->more && o->value; /* uncorking sends what MSG_MORE held, too */
		break;
	case SOCK_OPT_SEGMENT: s->segment = (uint16_t)o->value; break;
	case SOCK_OPT_GRO: set_flag(s, UDP_PCB_GRO, o->value); break;
	case SOCK_OPT_SELECT_ERROR: s->error_is_pri = o->value; break;
	default: break;
	}
	sock_set_special(s);
	context_forget_route(ctx, s);
}

void context_note_stamps(struct context *ctx, struct sock *s, const struct sock_opt *o)
{
	bool new_layout = o->bit & SOCK_STAMP_NEW;

	if (o->action == SOCK_OPT_STAMPING)
		stamps_set_flags(&s->stamps, (uint32_t)o->value, new_layout);
	else
		stamps_set(&s->stamps, o->value, o->bit & SOCK_STAMP_NS, new_layout);
	stamp_changed(ctx, s);
}

static void share_port(struct context *ctx, struct sock *s, bool on)
{
	bool listed = s->pcb.flags & UDP_PCB_BOUND;

	s->shareable |= on;
	if (listed)
		udp_remove(&ctx->stack->udp, &s->pcb);
	set_flag(s, UDP_PCB_REUSEPORT, on);
	if (listed)
		udp_insert(&ctx->stack->udp, &s->pcb);
}

static void fall_back(struct context *ctx, struct sock *s, const char *name, int level, int number)
{
	if (name)
		host_format(ctx->why, sizeof(ctx->why), "option %s", name);
	else
		host_format(ctx->why, sizeof(ctx->why), "option level %d name %d", level, number);
	context_dismiss(ctx, s, FS_REASON_option, ctx->why);
}

void lifecycle_option(struct context *ctx, int fd, int level, int name, const void *value, size_t len)
{
	struct sock *s = context_enter_checked(ctx, fd);
	int saved = errno;
	struct sock_opt o;

	if (!s)
		return;
	o = sock_opt(level, name, value, len);
	switch (o.action) {
	case SOCK_OPT_SHADOW:
		break;
	case SOCK_OPT_RCVBUF:
		s->pcb.limit = read_rcvbuf(fd);
		s->widened = false;
		if (s->way == SOCK_FAST)
			context_widen(s, fd);
		break;
	case SOCK_OPT_RCVTIMEO:
		s->rcvtimeo = read_rcvtimeo(fd);
		break;
	case SOCK_OPT_V6ONLY:
		read_v6only(s, fd);
		break;
	case SOCK_OPT_SHARE:
		s->shareable = true;
		break;
	case SOCK_OPT_GROUP_SEND:
		context_group_sending(ctx, s, fd, level, name, value, len);
		break;
	case SOCK_OPT_GROUP:
		context_group_option(ctx, s, fd, level, name, value, len);
		break;
	case SOCK_OPT_REUSEPORT:
		share_port(ctx, s, o.value);
		break;
	case SOCK_OPT_DEVICE:
		context_rebind(ctx, s, fd, read_device(fd));
		break;
	case SOCK_OPT_REUSEPORT_BPF:
	case SOCK_OPT_FALL_BACK:
		fall_back(ctx, s, o.name, level, name);
		break;
	case SOCK_OPT_STAMP:
	case SOCK_OPT_STAMPING:
		context_note_stamps(ctx, s, &o);
		break;
	default:
		note_value(ctx, s, &o);
	}
	context_leave(ctx);
	errno = saved;
}

int lifecycle_rcvbuf(struct context *ctx, int fd)
{
	struct sock *s = context_enter(ctx, fd);
	int limit;

	if (!s)
		return -1;
	limit = s->widened ? (int)s->pcb.limit : -1;
	context_leave(ctx);
	return limit;
}
