/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * group.c - waiting for many channels: an epoll set as the context keeps it for programs, with the
 * channels' shadows in the kernel's half and their sockets in the stack's.
 */
#include <errno.h>
#include <sys/epoll.h>

#include "api/api_internal.h"
#include "api/host.h"
#include "api/table.h"
#include "context/lifecycle.h"
#include "context/multiplex.h"
#include "host/mem.h"
#include "sys/sys.h"

enum { EVENTS_MAX = 64 /* of one call */ };

int api_group_open(struct fsock_group **out)
{
	struct fsock_group *g;
	int reason;

	if (!out)
		return -EINVAL;
	g = mem_private(sizeof(*g));
	if (!g)
		return -ENOMEM;
	g->epfd = sys_epoll_create1(EPOLL_CLOEXEC);
	if (g->epfd < 0) {
		int ret = g->epfd;

		sys_munmap(g, sizeof(*g));
		return ret;
	}
	g->ctx = api_context(&reason);
	lifecycle_reused(g->ctx, g->epfd);
	g->wait.fd = -1;
	list_init(&g->members);
	*out = g;
	return 0;
}

/* What is asked of the channel's kernel socket, and of the stack's half of it. */
static uint32_t interest(const struct fsock_channel *ch)
{
	if (ch->kind != API_KERNEL)
		return EPOLLIN;
	return (ch->paused ? 0 : EPOLLIN | EPOLLRDHUP) | (ch->wants_out ? EPOLLOUT : 0);
}

static int control(const struct fsock_group *g, int op, struct fsock_channel *ch)
{
	bool bare = api_is_bare(ch);
	struct epoll_event event = { .events = bare ? 0 : interest(ch), .data.ptr = ch };
	int ret;

	if (bare)
		return multiplex_bare(g->ctx, g->epfd, &ch->bare, op == EPOLL_CTL_ADD);
	ret = g->ctx ? multiplex_ctl(g->ctx, g->epfd, op, ch->fd, &event, true) : MULTIPLEX_KERNEL;
	return ret == MULTIPLEX_KERNEL ? sys_epoll_ctl(g->epfd, op, ch->fd, &event) : ret;
}

int api_group_add(struct fsock_group *g, struct fsock_channel *ch, void *data)
{
	struct fsock_group *none = NULL;
	int ret;

	if (!g || !ch)
		return -EINVAL;
	api_kind(ch); /* in no group it enters none */
	if (!fs_compare_exchange(&ch->group, &none, g))
		return -EBUSY;
	ch->data = data; /* before an event can come */
	ret = control(g, EPOLL_CTL_ADD, ch);
	if (ret < 0 && ret != -EEXIST) { /* that: who found it moved meanwhile has entered it */
		fs_store_release(&ch->group, NULL);
		return ret;
	}
	api_lock(&g->lock);
	list_push_back(&g->members, &ch->of_group);
	api_unlock(&g->lock);
	api_kind(ch); /* it may have moved while it was in no set that could tell */
	if (g->wait.fd >= 0) /* it may be the first that the stack has a half of: arm anew */
		waitset_keep(g->ctx, &g->wait);
	return 0;
}

int api_group_remove(struct fsock_group *g, struct fsock_channel *ch)
{
	if (!g || !ch)
		return -EINVAL;
	if (fs_load_acquire(&ch->group) != g)
		return -ENOENT;
	control(g, EPOLL_CTL_DEL, ch);
	api_lock(&g->lock);
	list_remove(&ch->of_group);
	api_unlock(&g->lock);
	fs_store_release(&ch->group, NULL);
	return 0;
}

void api_group_forget(struct fsock_channel *ch)
{
	struct fsock_group *g = fs_load_acquire(&ch->group);

	if (g)
		api_group_remove(g, ch);
}

void api_group_suspend(struct fsock_channel *ch)
{
	const struct fsock_group *g = fs_load_acquire(&ch->group);

	if (g)
		control(g, EPOLL_CTL_DEL, ch);
}

void api_group_resume(struct fsock_channel *ch)
{
	const struct fsock_group *g = fs_load_acquire(&ch->group);

	if (g)
		control(g, EPOLL_CTL_ADD, ch);
}

void api_group_refresh(struct fsock_channel *ch)
{
	const struct fsock_group *g = fs_load_acquire(&ch->group);

	if (g)
		control(g, EPOLL_CTL_MOD, ch);
}

static struct fsock_channel *any_member(struct fsock_group *g)
{
	struct list *e;

	api_lock(&g->lock);
	e = list_first(&g->members);
	api_unlock(&g->lock);
	return e ? FS_CONTAINER_OF(e, struct fsock_channel, of_group) : NULL;
}

int api_group_close(struct fsock_group *g)
{
	struct fsock_channel *ch;

	if (!g)
		return -EINVAL;
	while ((ch = any_member(g)) != NULL)
		api_group_remove(g, ch);
	if (g->ctx) {
		waitset_close(g->ctx, &g->wait);
		lifecycle_closing(g->ctx, g->epfd);
	}
	sys_close(g->epfd);
	sys_munmap(g, sizeof(*g));
	return 0;
}

/* --- waiting --- */

static fs_ns rest(fs_ns deadline)
{
	return deadline == FS_NEVER ? -1 : fs_left(deadline, host_clock_kernel());
}

/* The set has no accelerated member: the kernel's call. Events, 0 = look at both halves again. */
static int wait_on_kernel(const struct fsock_group *g, struct epoll_event *events, int n, fs_ns left)
{
	struct timespec limit = { .tv_sec = left / FS_SEC(1), .tv_nsec = left % FS_SEC(1) };
	struct pollfd fd = { .fd = g->epfd, .events = POLLIN };
	int ready;

	if (left != 0 && api_host_ppoll(&fd, 1, left > 0 ? &limit : NULL, NULL) < 0)
		return -errno;
	ready = sys_epoll_pwait(g->epfd, events, n, 0, NULL);
	/* One may have come meanwhile, and with it events of the context's own. */
	return ready > 0 && g->ctx ? multiplex_adopt(g->ctx, g->epfd, events, ready) : ready;
}

/* Members may have moved to the kernel: each of them enters that half of the set. */
static void follow_members(struct fsock_group *g)
{
	unsigned n = 0;
	struct list *e;

	api_lock(&g->lock);
	LIST_FOR_EACH(e, &g->members)
		n++;
	api_unlock(&g->lock);
	for (; n > 0; n--) {
		api_lock(&g->lock);
		e = list_pop_front(&g->members);
		if (e)
			list_push_back(&g->members, e);
		api_unlock(&g->lock);
		if (e)
			api_kind(FS_CONTAINER_OF(e, struct fsock_channel, of_group));
	}
}

/* Of the @n events found those that are for the program. */
static int sift(struct fsock_group *g, struct epoll_event *events, int n)
{
	int kept = 0;

	for (int i = 0; i < n; i++) {
		if (events[i].data.ptr)
			events[kept++] = events[i];
		else
			follow_members(g);
	}
	return kept;
}

static int look(struct fsock_group *g, struct epoll_event *events, int n, fs_ns timeout)
{
	fs_ns deadline = timeout < 0 ? FS_NEVER : timeout == 0 ? 0 : host_clock_kernel() + timeout;
	int ret;

	for (;;) {
		fs_ns left = timeout > 0 ? rest(deadline) : timeout;

		ret = g->ctx ? multiplex_wait(g->ctx, g->epfd, events, n, left, NULL) : MULTIPLEX_KERNEL;
		if (ret > 0) {
			ret = sift(g, events, ret);
			if (ret > 0)
				return ret;
			continue; /* who moved is in the kernel's half now, and may be ready there */
		}
		if (ret != MULTIPLEX_KERNEL)
			return ret;
		ret = wait_on_kernel(g, events, n, left);
		if (ret != 0 || left == 0)
			return ret;
	}
}

/* The same for a group whose descriptor is in another loop: that must hear what we leave, and no less. */
static int look_and_arm(struct fsock_group *g, struct epoll_event *events, int n, fs_ns timeout)
{
	int ret;

	waitset_disarm(g->ctx, &g->wait);
	ret = look(g, events, n, timeout);
	if (ret == 0) {
		waitset_arm(g->ctx, &g->wait);
		ret = look(g, events, n, 0);
	}
	if (ret != 0)
		waitset_keep(g->ctx, &g->wait);
	return ret;
}

/* The kernel's words for what happened to @ch in the interface's. */
static uint32_t events_of(const struct fsock_channel *ch, uint32_t found)
{
	bool datagram = ch->kind == API_DATAGRAM;

	return (found & EPOLLIN ? FSOCK_EVENT_IN : 0) |
	       (found & (datagram ? EPOLLERR | EPOLLHUP : EPOLLERR) ? FSOCK_EVENT_ERROR : 0) |
	       (found & EPOLLOUT && ch->kind != API_LISTENER && !datagram ? FSOCK_EVENT_OUT : 0) |
	       (found & (EPOLLHUP | EPOLLRDHUP) && !datagram ? FSOCK_EVENT_HANGUP : 0);
}

int api_poll(struct fsock_group *g, struct fsock_event *events, unsigned n, int64_t timeout)
{
	struct epoll_event found[EVENTS_MAX];
	int saved = errno, max = (int)FS_MIN(n, (unsigned)EVENTS_MAX), ret;

	if (!g || !events || n == 0)
		return -EINVAL;
	timeout = FS_MIN(timeout, FS_SPAN_MAX);
	if (g->wait.fd >= 0)
		ret = look_and_arm(g, found, max, timeout);
	else
		ret = look(g, found, max, timeout);
	for (int i = 0; i < ret; i++) {
		struct fsock_channel *ch = found[i].data.ptr;

		events[i] = (struct fsock_event){
			.channel = ch,
			.data = ch->data,
			.events = events_of(ch, found[i].events),
		};
	}
	errno = saved;
	return ret;
}

int api_group_fd(struct fsock_group *g)
{
	int ret;

	if (!g)
		return -EINVAL;
	if (!g->ctx)
		return g->epfd;
	if (g->wait.fd >= 0)
		return g->wait.fd;
	ret = waitset_open(g->ctx, &g->wait, g->epfd);
	return ret < 0 ? ret : g->wait.fd;
}
