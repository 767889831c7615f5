/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * epoll.c - see epoll.h.
 *
 * A member is ready for the stack's part through EPOLLIN, or through messages in the stack's half of the
 * error queue, which like the kernel's need not be asked for: a datagram socket's other conditions
 * (EPOLLOUT, other errors, hang-up) are the shadow's, which sits in the kernel's set and reports them there.
 * An event from the stack carries EPOLLOUT too when asked for, as the kernel would report all that
 * holds: an accelerated datagram socket can always take one more. Of a connection of the stack's everything
 * comes from the stack; its shadow is in the kernel's set only for the kernel's own book-keeping.
 */
#include "socket/epoll.h"

#include <errno.h>

#include "socket/sock.h"

#define READABLE ((uint32_t)(EPOLLIN | EPOLLRDNORM))
#define ERROR ((uint32_t)(EPOLLERR | EPOLLPRI))
#define WRITABLE ((uint32_t)(EPOLLOUT | EPOLLWRNORM))

void epoll_set_init(struct epoll_set *set, struct slab *items, uint64_t key)
{
	*set = (struct epoll_set){ .slab = items, .key = key };
	list_init(&set->items);
	list_init(&set->ready);
	list_init(&set->outer);
	list_init(&set->bare);
	list_init(&set->bare_links);
}

void epoll_set_hold(struct epoll_set *set, unsigned slot)
{
	set->refs[slot]++;
}

void epoll_set_let(struct epoll_set *set, unsigned slot)
{
	if (slot < STATS_MAX_PROCS && set->refs[slot])
		set->refs[slot]--;
}

void epoll_set_forget(struct epoll_set *set, unsigned slot)
{
	set->refs[slot] = 0;
	sleepers_forget(&set->sleepers, slot);
}

bool epoll_set_is_held(const struct epoll_set *set)
{
	for (unsigned i = 0; i < STATS_MAX_PROCS; i++)
		if (set->refs[i])
			return true;
	return false;
}

bool epoll_set_is_alone(const struct epoll_set *set, unsigned slot)
{
	for (unsigned i = 0; i < STATS_MAX_PROCS; i++)
		if (i != slot && set->refs[i])
			return false;
	return set->heirs == 0;
}

void epoll_set_clear(struct epoll_set *set)
{
	struct list *e;

	while ((e = list_first(&set->items)) != NULL)
		epoll_item_remove(FS_CONTAINER_OF(e, struct epoll_item, of_set));
	while ((e = list_first(&set->outer)) != NULL)
		epoll_item_remove(FS_CONTAINER_OF(e, struct epoll_item, of_member));
	set->key = 0;
}

static struct list *registrations(struct epoll_member member)
{
	return member.sock ? &member.sock->items : &member.inner->outer;
}

struct epoll_item *epoll_item_find(struct epoll_set *set, struct epoll_member member, int fd)
{
	struct list *e;

	LIST_FOR_EACH(e, registrations(member)) {
		struct epoll_item *item = FS_CONTAINER_OF(e, struct epoll_item, of_member);

		if (item->set == set && item->fd == fd)
			return item;
	}
	return NULL;
}

/* What the stack has for this member now, of what the program asked for. */
static uint32_t item_events(const struct epoll_item *item)
{
	const struct sock *s = item->sock;
	uint32_t have;

	if (s)
		have = sock_ready(s);
	else
		have = epoll_set_ready(item->inner) ? READABLE : 0;
	if (have && s && s->protocol == SOCK_UDP)
		have |= WRITABLE;
	return have & (item->events | EPOLLERR | EPOLLHUP);
}

/* Of these, what is worth an event by itself. */
static uint32_t item_news(const struct epoll_item *item)
{
	uint32_t events = item_events(item);

	return item->sock && item->sock->protocol == SOCK_UDP ? events & (READABLE | ERROR) : events;
}

/* Is it worth an event now? A member that has nothing is asked to tell, and may have something by then. */
static bool item_has(const struct epoll_item *item)
{
	if (item->disarmed || ((item->events & EPOLLET) && item->reported))
		return false;
	return item_news(item) || (item->sock && sock_ask(item->sock, item->events) && item_news(item));
}

static void item_queue(struct epoll_item *item)
{
	if (!list_is_linked(&item->ready))
		list_push_back(&item->set->ready, &item->ready);
}

/* Readiness as it stands counts as news: after ADD and MOD. */
static void item_evaluate(struct epoll_item *item)
{
	item->reported = false;
	if (item_has(item))
		item_queue(item);
}

int epoll_item_add(struct epoll_set *set, struct epoll_member member, int fd, const struct epoll_event *event,
		   struct epoll_item **out)
{
	struct epoll_item *item = slab_alloc(set->slab);

	if (!item)
		return -ENOMEM;
	list_init(&item->ready);
	item->sock = member.sock;
	item->inner = member.inner;
	item->set = set;
	item->fd = fd;
	item->data = event->data.u64;
	item->events = event->events;
	list_push_back(registrations(member), &item->of_member);
	list_push_back(&set->items, &item->of_set);
	item_evaluate(item);
	*out = item;
	return 0;
}

void epoll_item_modify(struct epoll_item *item, const struct epoll_event *event)
{
	item->data = event->data.u64;
	item->events = event->events;
	item->disarmed = false;
	list_remove(&item->ready);
	item_evaluate(item);
}

void epoll_item_remove(struct epoll_item *item)
{
	struct slab *slab;

	list_remove(&item->ready);
	list_remove(&item->of_member);
	list_remove(&item->of_set);
	slab = item->set->slab;
	item->set = NULL; /* what epoll_item_from_tag() looks at in memory that may be free */
	slab_free(slab, item);
}

struct epoll_item *epoll_item_from_tag(struct epoll_set *set, uint64_t data, bool *gone)
{
	struct epoll_item *item;

	*gone = false;
	if ((data ^ set->key) >> EPOLL_TAG_SHIFT)
		return NULL;
	item = (struct epoll_item *)(((uintptr_t)set & ~EPOLL_TAG_OFFSET) | (data & EPOLL_TAG_OFFSET));
	*gone = item->set != set;
	return *gone ? NULL : item;
}

/*
 * News of @kind for the member of these registrations. Who sleeps for their sets, and for those that these are in. As
 * in the kernel one sleeper is woken of those who wait exclusively, and whoever did not sleep finds the event at its
 * next wait.
 */
static uint32_t news(struct list *of_member, uint32_t kind)
{
	struct list *e;
	uint32_t slots = 0;
	bool taken = false;

	LIST_FOR_EACH(e, of_member) {
		struct epoll_item *item = FS_CONTAINER_OF(e, struct epoll_item, of_member);

		bool exclusive = item->events & EPOLLEXCLUSIVE;
		uint32_t asleep;

		if (item->disarmed || !((item->events | EPOLLERR | EPOLLHUP) & kind) || (exclusive && taken))
			continue;
		item->reported = false; /* each datagram or segment is an edge, as in the kernel */
		item_queue(item);
		asleep = epoll_set_news(item->set);
		slots |= asleep;
		if (exclusive && !item->set->told && (item->set->asks || asleep))
			taken = item->set->told = true;
	}
	return slots;
}

uint32_t epoll_set_news(struct epoll_set *set)
{
	uint32_t slots = set->sleepers.slots;

	return list_is_empty(&set->outer) ? slots : slots | news(&set->outer, READABLE);
}

uint32_t epoll_sock_news(struct sock *s, uint32_t kind)
{
	return news(&s->items, kind);
}

uint32_t epoll_pass_on(struct epoll_set *set)
{
	uint32_t slots = 0;
	struct list *e;

	set->told = true;
	LIST_FOR_EACH(e, &set->ready) {
		const struct epoll_item *item = FS_CONTAINER_OF(e, struct epoll_item, ready);
		struct epoll_member member = { .sock = item->sock, .inner = item->inner };

		if ((item->events & EPOLLEXCLUSIVE) && item->batch != set->batch)
			slots |= news(registrations(member), item_news(item));
	}
	return slots;
}

uint32_t epoll_sock_readable(struct sock *s)
{
	return epoll_sock_news(s, READABLE);
}

uint32_t epoll_sock_error(struct sock *s)
{
	return epoll_sock_news(s, ERROR);
}

static void mark_reported(struct epoll_item *item)
{
	item->reported = true;
	item->disarmed = (item->events & EPOLLONESHOT) != 0;
	item->batch = item->set->batch;
	if (item->sock && (item->events & EPOLLET) && !item->disarmed)
		sock_ask_more(item->sock); /* the next edge */
}

/* Turn a queued member into an event; false when its condition is gone or was reported. */
static bool item_report(struct epoll_item *item, struct epoll_event *out)
{
	if (!item_has(item))
		return false;
	out->events = item_events(item);
	out->data.u64 = item->data;
	mark_reported(item);
	return true;
}

void epoll_begin(struct epoll_set *set)
{
	set->batch++;
	set->told = false;
}

unsigned epoll_collect(struct epoll_set *set, struct epoll_event *events, unsigned n)
{
	struct list again;
	struct list *e;
	unsigned got = 0;

	list_init(&again);
	while (got < n && (e = list_pop_front(&set->ready)) != NULL) {
		struct epoll_item *item = FS_CONTAINER_OF(e, struct epoll_item, ready);

		bool already = item->batch == set->batch;

		if (!already && !item_report(item, &events[got]))
			continue;
		got += !already;
		if (!(item->events & (EPOLLET | EPOLLONESHOT)))
			list_push_back(&again, &item->ready);
	}
	list_splice_back(&set->ready, &again);
	return got;
}

bool epoll_merge(struct epoll_item *item, uint32_t events, struct epoll_event *out)
{
	if (item->disarmed)
		return false; /* the stack's half fired it; MOD will arm both */
	out->events = events | item_events(item);
	out->data.u64 = item->data;
	mark_reported(item);
	if (item->events & (EPOLLET | EPOLLONESHOT))
		list_remove(&item->ready);
	return true;
}

bool epoll_set_ready(const struct epoll_set *set)
{
	struct list *e;

	LIST_FOR_EACH(e, &set->ready) {
		if (item_has(FS_CONTAINER_OF(e, struct epoll_item, ready)))
			return true;
	}
	return false;
}
