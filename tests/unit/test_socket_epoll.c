/* SPDX-License-Identifier: BSD-2-Clause */
/* The stack's half of epoll sets. Sockets here have a queue and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/mman.h>

#include "socket/epoll.h"
#include "socket/sock.h"

enum { ITEMS = 8, SOCKS = 8 };

#define KEY (0xabcdef1ULL << EPOLL_TAG_SHIFT)

/* Stack memory: tags are offsets within one slot of address space. */
struct rig {
	struct epoll_set set, other;
	struct slab items;
	struct stats_sock record[SOCKS];
	struct sock sock[SOCKS];
	struct fbuf frame[SOCKS];
	uint8_t memory[(ITEMS + 1) * 192] __attribute__((aligned(FS_CACHE_LINE)));
};

static struct rig *r;

static int setup(void **state)
{
	r = mmap(NULL, sizeof(*r), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(r, MAP_FAILED);
	slab_init(&r->items, sizeof(struct epoll_item));
	slab_add(&r->items, r->memory, (size_t)ITEMS * r->items.object_size + FS_CACHE_LINE);
	assert_int_equal(r->items.total, ITEMS);
	epoll_set_init(&r->set, &r->items, KEY);
	epoll_set_init(&r->other, &r->items, KEY << 1);
	for (unsigned i = 0; i < SOCKS; i++)
		sock_init(&r->sock[i], &r->record[i], SOCK_UDP, false, i + 1);
	return 0;
}

static int teardown(void **state)
{
	return munmap(r, sizeof(*r));
}

/* Registrations of r->set. */
static unsigned members(void)
{
	struct list *e;
	unsigned n = 0;

	LIST_FOR_EACH(e, &r->set.items)
		n++;
	return n;
}

/* A datagram arrived on socket @i; the return says who sleeps for a set that heard of it. */
static uint32_t arrive(unsigned i)
{
	r->sock[i].pcb.queue.head = r->sock[i].pcb.queue.tail = &r->frame[i];
	return epoll_sock_readable(&r->sock[i]);
}

static void drain(unsigned i)
{
	r->sock[i].pcb.queue.head = r->sock[i].pcb.queue.tail = NULL;
}

static struct epoll_member sock_at(unsigned i)
{
	return (struct epoll_member){ .sock = &r->sock[i] };
}

static struct epoll_item *find(struct epoll_set *set, unsigned i, int fd)
{
	return epoll_item_find(set, sock_at(i), fd);
}

/* Socket @i under number 100 + @i, the program's data 1000 + @i. */
static struct epoll_item *add_to(struct epoll_set *set, unsigned i, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.u64 = 1000 + i };
	struct epoll_item *item;

	assert_int_equal(epoll_item_add(set, sock_at(i), 100 + (int)i, &event, &item), 0);
	return item;
}

static struct epoll_item *add(unsigned i, uint32_t events)
{
	return add_to(&r->set, i, events);
}

static void modify(struct epoll_item *item, uint32_t events, uint64_t data)
{
	struct epoll_event event = { .events = events, .data.u64 = data };

	epoll_item_modify(item, &event);
}

/* One wait: what the stack's half answers. */
static unsigned collect(struct epoll_event *events, unsigned n)
{
	epoll_begin(&r->set);
	return epoll_collect(&r->set, events, n);
}

static unsigned count(void)
{
	struct epoll_event events[SOCKS];

	return collect(events, SOCKS);
}

/* --- registering --- */

static void epoll_item_add__links_both_ends(void **state)
{
	struct epoll_item *item = add(0, EPOLLIN);

	assert_ptr_equal(find(&r->set, 0, 100), item);
	assert_null(find(&r->set, 0, 101));
	assert_null(find(&r->other, 0, 100));
	assert_null(find(&r->set, 1, 100));
	assert_int_equal(members(), 1);
	assert_false(epoll_set_ready(&r->set));
	assert_int_equal(count(), 0);
}

static void epoll_item_add__one_socket_under_two_numbers(void **state)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = 7 };
	struct epoll_item *first = add(0, EPOLLIN), *second;

	assert_int_equal(epoll_item_add(&r->set, sock_at(0), 200, &event, &second), 0);
	assert_ptr_equal(find(&r->set, 0, 100), first);
	assert_ptr_equal(find(&r->set, 0, 200), second);
	arrive(0);
	assert_int_equal(count(), 2);
}

static void epoll_item_add__readiness_that_exists_is_an_edge(void **state)
{
	struct epoll_event event;

	arrive(0);
	add(0, EPOLLIN | EPOLLET);
	assert_true(epoll_set_ready(&r->set));
	assert_int_equal(collect(&event, 1), 1);
	assert_int_equal(event.data.u64, 1000);
	assert_int_equal(count(), 0);
}

static void epoll_item_add__no_memory(void **state)
{
	struct epoll_event event = { .events = EPOLLIN };
	struct epoll_item *item = NULL;

	for (unsigned i = 0; i < ITEMS; i++)
		add(i, EPOLLIN);
	assert_int_equal(epoll_item_add(&r->set, sock_at(0), 999, &event, &item), -ENOMEM);
	assert_null(item);
	assert_int_equal(members(), ITEMS);
	assert_null(find(&r->set, 0, 999));
	/* A removed one makes room. */
	epoll_item_remove(find(&r->set, 3, 103));
	assert_int_equal(epoll_item_add(&r->set, sock_at(0), 999, &event, &item), 0);
}

static void epoll_item_remove__leaves_every_list(void **state)
{
	struct epoll_item *item = add(0, EPOLLIN);

	arrive(0);
	epoll_item_remove(item);
	assert_int_equal(members(), 0);
	assert_int_equal(r->items.in_use, 0);
	assert_true(list_is_empty(&r->sock[0].items));
	assert_true(list_is_empty(&r->set.items));
	assert_true(list_is_empty(&r->set.ready));
	assert_false(arrive(0));
	assert_int_equal(count(), 0);
}

static void epoll_set_clear__takes_everything_out(void **state)
{
	add(0, EPOLLIN);
	add(1, EPOLLIN | EPOLLET);
	add_to(&r->other, 1, EPOLLIN);
	arrive(0);
	arrive(1);
	epoll_set_clear(&r->set);
	assert_int_equal(members(), 0);
	assert_int_equal(r->items.in_use, 1);
	assert_false(epoll_set_ready(&r->set));
	assert_true(epoll_set_ready(&r->other));
	epoll_set_clear(&r->set); /* of an empty one: nothing */
}

/* --- what is reported --- */

static void epoll_sock_readable__tells_only_who_wants_to_read(void **state)
{
	sleepers_add(&r->set.sleepers, 1);
	sleepers_add(&r->set.sleepers, 5);
	assert_int_equal(arrive(0), 0); /* in no set */
	add(1, EPOLLOUT);
	assert_int_equal(arrive(1), 0);
	assert_false(epoll_set_ready(&r->set));
	add(2, EPOLLRDNORM);
	assert_int_equal(arrive(2), 1u << 1 | 1u << 5);
	assert_true(epoll_set_ready(&r->set));
}

static void epoll_sock_readable__not_where_the_member_is_disarmed(void **state)
{
	struct epoll_event event;

	sleepers_add(&r->set.sleepers, 0);
	add(0, EPOLLIN | EPOLLONESHOT);
	assert_int_equal(arrive(0), 1);
	assert_int_equal(collect(&event, 1), 1);
	assert_int_equal(arrive(0), 0);
}

static void epoll_sock_readable__every_set_of_the_socket(void **state)
{
	struct epoll_event event;

	add(0, EPOLLIN | EPOLLET);
	add_to(&r->other, 0, EPOLLIN);
	sleepers_add(&r->set.sleepers, 2);
	sleepers_add(&r->other.sleepers, 3);
	assert_int_equal(arrive(0), 1u << 2 | 1u << 3);
	assert_int_equal(count(), 1);
	assert_int_equal(count(), 0); /* edge reported */
	epoll_begin(&r->other);
	assert_int_equal(epoll_collect(&r->other, &event, 1), 1);
	epoll_begin(&r->other);
	assert_int_equal(epoll_collect(&r->other, &event, 1), 1); /* level stays */
}

static void epoll_collect__reports_what_was_asked_for(void **state)
{
	struct epoll_event events[3];

	add(0, EPOLLIN);
	add(1, EPOLLIN | EPOLLOUT);
	add(2, EPOLLIN | EPOLLRDNORM | EPOLLWRNORM | EPOLLPRI | EPOLLRDHUP);
	for (unsigned i = 0; i < 3; i++)
		arrive(i);
	assert_int_equal(collect(events, 3), 3);
	assert_int_equal(events[0].events, EPOLLIN);
	assert_int_equal(events[1].events, EPOLLIN | EPOLLOUT);
	assert_int_equal(events[2].events, EPOLLIN | EPOLLRDNORM | EPOLLWRNORM);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(events[i].data.u64, 1000 + i);
}

static void epoll_collect__level_stays_until_drained(void **state)
{
	add(0, EPOLLIN);
	arrive(0);
	assert_int_equal(count(), 1);
	assert_int_equal(count(), 1);
	drain(0);
	assert_false(epoll_set_ready(&r->set));
	assert_int_equal(count(), 0);
	assert_true(list_is_empty(&r->set.ready));
	arrive(0);
	assert_int_equal(count(), 1);
}

static void epoll_collect__rotates_with_room_for_one(void **state)
{
	struct epoll_event event;

	for (unsigned i = 0; i < 3; i++) {
		add(i, EPOLLIN);
		arrive(i);
	}
	for (unsigned turn = 0; turn < 7; turn++) {
		assert_int_equal(collect(&event, 1), 1);
		assert_int_equal(event.data.u64, 1000 + turn % 3);
	}
}

static void epoll_collect__no_room_changes_nothing(void **state)
{
	struct epoll_event event;

	add(0, EPOLLIN | EPOLLET);
	arrive(0);
	assert_int_equal(collect(&event, 0), 0);
	assert_true(epoll_set_ready(&r->set));
	assert_int_equal(collect(&event, 1), 1);
}

static void epoll_collect__edge_per_datagram(void **state)
{
	add(0, EPOLLIN | EPOLLET);
	arrive(0);
	assert_int_equal(count(), 1);
	assert_int_equal(count(), 0); /* unread, but told */
	assert_false(epoll_set_ready(&r->set));
	arrive(0); /* one more behind the unread one: a new edge, as in the kernel */
	assert_int_equal(count(), 1);
	drain(0);
	assert_int_equal(count(), 0);
}

static void epoll_collect__edge_whose_data_were_read_is_dropped(void **state)
{
	add(0, EPOLLIN | EPOLLET);
	arrive(0);
	drain(0);
	assert_false(epoll_set_ready(&r->set));
	assert_int_equal(count(), 0);
	arrive(0);
	assert_int_equal(count(), 1);
}

static void epoll_collect__one_shot_waits_for_modify(void **state)
{
	struct epoll_item *item = add(0, EPOLLIN | EPOLLONESHOT);
	struct epoll_event event;

	arrive(0);
	assert_int_equal(count(), 1);
	assert_int_equal(count(), 0);
	assert_false(arrive(0));
	assert_false(epoll_set_ready(&r->set));
	modify(item, EPOLLIN | EPOLLONESHOT, 5);
	assert_true(epoll_set_ready(&r->set)); /* pending data fire at once */
	assert_int_equal(collect(&event, 1), 1);
	assert_int_equal(event.data.u64, 5);
	assert_int_equal(count(), 0);
}

/* --- modifying --- */

static void epoll_item_modify__evaluates_anew(void **state)
{
	struct epoll_item *item = add(0, EPOLLIN | EPOLLET);

	arrive(0);
	assert_int_equal(count(), 1);
	modify(item, EPOLLIN | EPOLLET, 9); /* EPOLL_CTL_MOD with data there is an edge */
	assert_int_equal(count(), 1);
	assert_int_equal(count(), 0);
	modify(item, EPOLLIN, 9); /* now level */
	assert_int_equal(count(), 1);
	assert_int_equal(count(), 1);
}

static void epoll_item_modify__interest_taken_away(void **state)
{
	struct epoll_item *item = add(0, EPOLLIN);

	arrive(0);
	modify(item, EPOLLOUT, 1);
	assert_false(epoll_set_ready(&r->set));
	assert_true(list_is_empty(&r->set.ready));
	assert_int_equal(count(), 0);
	modify(item, 0, 1);
	assert_false(arrive(0));
	drain(0);
	modify(item, EPOLLIN, 1);
	assert_int_equal(count(), 0); /* asked for, but nothing there */
}

/* --- both halves --- */

static void epoll_merge__adds_what_the_stack_has(void **state)
{
	struct epoll_item *item = add(0, EPOLLIN | EPOLLOUT);
	struct epoll_event event;

	epoll_begin(&r->set);
	assert_true(epoll_merge(item, EPOLLOUT, &event));
	assert_int_equal(event.events, EPOLLOUT);
	assert_int_equal(event.data.u64, 1000);
	arrive(0);
	epoll_begin(&r->set);
	assert_true(epoll_merge(item, EPOLLERR, &event));
	assert_int_equal(event.events, EPOLLERR | EPOLLIN | EPOLLOUT);
}

static void epoll_merge__level_member_appears_once(void **state)
{
	struct epoll_item *item = add(0, EPOLLIN);
	struct epoll_event event[2];

	add(1, EPOLLIN);
	arrive(0);
	arrive(1);
	epoll_begin(&r->set);
	assert_true(epoll_merge(item, EPOLLIN, &event[0]));
	assert_int_equal(epoll_collect(&r->set, event, 2), 1);
	assert_int_equal(event[0].data.u64, 1001);
	/* It stays queued for the next answer. */
	assert_int_equal(count(), 2);
}

static void epoll_merge__edge_is_consumed(void **state)
{
	struct epoll_item *item = add(0, EPOLLIN | EPOLLET);
	struct epoll_event event;

	arrive(0);
	epoll_begin(&r->set);
	assert_true(epoll_merge(item, EPOLLIN, &event));
	assert_int_equal(epoll_collect(&r->set, &event, 1), 0);
	assert_int_equal(count(), 0);
	assert_true(list_is_empty(&r->set.ready));
	arrive(0);
	assert_int_equal(count(), 1);
}

static void epoll_merge__one_shot_fired_by_either_half(void **state)
{
	struct epoll_item *item = add(0, EPOLLIN | EPOLLONESHOT);
	struct epoll_event event;

	arrive(0);
	assert_int_equal(count(), 1);
	assert_false(epoll_merge(item, EPOLLIN, &event)); /* the stack's half fired it */
	modify(item, EPOLLIN | EPOLLONESHOT, 3);
	epoll_begin(&r->set);
	assert_true(epoll_merge(item, EPOLLIN, &event));
	assert_int_equal(event.data.u64, 3);
	assert_int_equal(epoll_collect(&r->set, &event, 1), 0);
	assert_false(arrive(0));
	assert_int_equal(count(), 0);
}

/* --- data in the kernel's half --- */

static void epoll_tag__finds_its_item(void **state)
{
	struct epoll_item *item = add(0, EPOLLIN);
	uint64_t tag = epoll_tag(item);
	bool gone = true;

	assert_int_equal(tag >> EPOLL_TAG_SHIFT, KEY >> EPOLL_TAG_SHIFT);
	assert_ptr_equal(epoll_item_from_tag(&r->set, tag, &gone), item);
	assert_false(gone);
}

static void epoll_item_from_tag__data_of_kernel_members(void **state)
{
	static const uint64_t foreign[] = { 0, 5, 0x7fffdeadbeefULL, UINT64_MAX,
					    KEY ^ (1ULL << EPOLL_TAG_SHIFT) };
	bool gone = true;

	add(0, EPOLLIN);
	for (size_t i = 0; i < FS_ARRAY_SIZE(foreign); i++) {
		assert_null(epoll_item_from_tag(&r->set, foreign[i], &gone));
		assert_false(gone);
	}
}

static void epoll_item_from_tag__item_that_went(void **state)
{
	struct epoll_item *item = add(0, EPOLLIN);
	uint64_t tag = epoll_tag(item);
	bool gone = false;

	epoll_item_remove(item);
	assert_null(epoll_item_from_tag(&r->set, tag, &gone));
	assert_true(gone);
	/* Its memory serves another set now: still gone for this one. */
	assert_ptr_equal(add_to(&r->other, 1, EPOLLIN), item);
	gone = false;
	assert_null(epoll_item_from_tag(&r->set, tag, &gone));
	assert_true(gone);
}

static void epoll_set_let__one_less_than_none_is_none(void **state)
{
	assert_false(epoll_set_is_held(&r->set));
	epoll_set_let(&r->set, 2);
	epoll_set_let(&r->set, STATS_MAX_PROCS); /* a child that has no slot yet */
	assert_false(epoll_set_is_held(&r->set));
	epoll_set_hold(&r->set, 2);
	epoll_set_hold(&r->set, 2);
	epoll_set_let(&r->set, 2);
	epoll_set_let(&r->set, 3); /* not its to let go */
	assert_true(epoll_set_is_held(&r->set));
	sleepers_add(&r->set.sleepers, 2);
	epoll_set_forget(&r->set, 2);
	assert_false(epoll_set_is_held(&r->set));
	assert_int_equal(r->set.sleepers.slots, 0);
}

static void epoll_set_is_alone__nobody_else_and_no_heir(void **state)
{
	epoll_set_hold(&r->set, 2);
	epoll_set_hold(&r->set, 2);
	assert_true(epoll_set_is_alone(&r->set, 2));
	assert_false(epoll_set_is_alone(&r->set, 3));
	r->set.heirs = 1;
	assert_false(epoll_set_is_alone(&r->set, 2));
	r->set.heirs = 0;
	epoll_set_hold(&r->set, STATS_MAX_PROCS - 1);
	assert_false(epoll_set_is_alone(&r->set, 2));
}

/* A message in the error queue is news for every member, and EPOLLPRI for those that want it. */
static void epoll_sock_error__need_not_be_asked_for(void **state)
{
	struct epoll_item *item = add(0, EPOLLIN | EPOLLOUT | EPOLLPRI);
	struct epoll_event event;

	r->sock[0].errors.head = &r->frame[0];
	epoll_sock_error(&r->sock[0]);
	assert_true(epoll_set_ready(&r->set));
	assert_int_equal(collect(&event, 1), 1);
	assert_int_equal(event.events, EPOLLERR | EPOLLOUT);
	r->sock[0].error_is_pri = true;
	assert_int_equal(collect(&event, 1), 1); /* level triggered */
	assert_int_equal(event.events, EPOLLERR | EPOLLOUT | EPOLLPRI);
	modify(item, 0, 7);
	assert_int_equal(collect(&event, 1), 1);
	assert_int_equal(event.events, EPOLLERR);
	modify(item, EPOLLET, 7);
	assert_int_equal(collect(&event, 1), 1);
	assert_int_equal(collect(&event, 1), 0);
	epoll_sock_error(&r->sock[0]);
	assert_int_equal(collect(&event, 1), 1);
	r->sock[0].errors.head = NULL;
	epoll_sock_error(&r->sock[0]);
	assert_int_equal(collect(&event, 1), 0);
	assert_false(epoll_set_ready(&r->set));
}

/* --- sets in sets --- */

/* r->other holds r->set as number 50. */
static struct epoll_item *nest(uint32_t events)
{
	struct epoll_event event = { .events = events, .data.u64 = 77 };
	struct epoll_item *item;

	assert_int_equal(epoll_item_add(&r->other, (struct epoll_member){ .inner = &r->set }, 50, &event, &item), 0);
	return item;
}

static unsigned collect_other(struct epoll_event *events, unsigned n)
{
	epoll_begin(&r->other);
	return epoll_collect(&r->other, events, n);
}

static void epoll_set_news__outer_sets_hear_of_later_members(void **state)
{
	struct epoll_event event;

	nest(EPOLLIN | EPOLLOUT);
	add(0, EPOLLIN);
	assert_int_equal(collect_other(&event, 1), 0);
	sleepers_add(&r->other.sleepers, 3);
	assert_int_equal(arrive(0), 1u << 3);
	for (unsigned i = 0; i < 2; i++) {
		assert_true(epoll_set_ready(&r->other));
		assert_int_equal(collect_other(&event, 1), 1);
		assert_int_equal(event.events, EPOLLIN);
		assert_int_equal(event.data.u64, 77);
	}
	drain(0);
	assert_false(epoll_set_ready(&r->other));
	assert_int_equal(collect_other(&event, 1), 0);
}

static void epoll_set_news__each_is_an_edge_for_the_outer_set(void **state)
{
	struct epoll_event event;

	nest(EPOLLIN | EPOLLET);
	add(0, EPOLLIN);
	arrive(0);
	assert_int_equal(collect_other(&event, 1), 1);
	assert_int_equal(collect_other(&event, 1), 0);
	arrive(0);
	assert_int_equal(collect_other(&event, 1), 1);
}

static void epoll_set_news__not_where_the_inner_set_is_disarmed(void **state)
{
	struct epoll_event event;
	struct epoll_item *item = nest(EPOLLIN | EPOLLONESHOT);

	add(0, EPOLLIN);
	sleepers_add(&r->other.sleepers, 3);
	arrive(0);
	assert_int_equal(collect_other(&event, 1), 1);
	assert_int_equal(arrive(0), 0);
	assert_int_equal(collect_other(&event, 1), 0);
	modify(item, EPOLLIN | EPOLLONESHOT, 78);
	assert_int_equal(collect_other(&event, 1), 1);
	assert_int_equal(event.data.u64, 78);
}

static void epoll_item_add__a_set_that_is_ready_is_an_edge(void **state)
{
	struct epoll_event event;

	add(0, EPOLLIN);
	arrive(0);
	nest(EPOLLIN | EPOLLET);
	assert_int_equal(collect_other(&event, 1), 1);
}

static void epoll_set_clear__leaves_outer_sets(void **state)
{
	struct epoll_event event;

	nest(EPOLLIN);
	add(0, EPOLLIN);
	arrive(0);
	epoll_set_clear(&r->set);
	assert_true(list_is_empty(&r->other.items));
	assert_int_equal(collect_other(&event, 1), 0);
	assert_int_equal(r->items.in_use, 0);
}

/* --- EPOLLEXCLUSIVE --- */

/* Both sets hold the same socket so. */
static void add_exclusively(void)
{
	add_to(&r->set, 0, EPOLLIN | EPOLLEXCLUSIVE);
	add_to(&r->other, 0, EPOLLIN | EPOLLEXCLUSIVE);
}

static void epoll_sock_news__wakes_one_of_who_wait_exclusively(void **state)
{
	add_exclusively();
	sleepers_add(&r->set.sleepers, 1);
	sleepers_add(&r->other.sleepers, 2);
	assert_int_equal(arrive(0), 1u << 1);
	assert_false(epoll_set_ready(&r->other));
}

static void epoll_sock_news__the_next_while_the_first_has_not_looked(void **state)
{
	add_exclusively();
	sleepers_add(&r->set.sleepers, 1);
	sleepers_add(&r->other.sleepers, 2);
	arrive(0);
	assert_int_equal(arrive(0) & 1u << 2, 1u << 2);
	assert_int_equal(count(), 1);
	drain(0);
	count();
	assert_int_equal(arrive(0), 1u << 1);
}

static void epoll_sock_news__who_does_not_sleep_finds_the_event_later(void **state)
{
	add_exclusively();
	sleepers_add(&r->other.sleepers, 2);
	assert_int_equal(arrive(0), 1u << 2);
	assert_true(epoll_set_ready(&r->set));
	assert_true(epoll_set_ready(&r->other));
}

/* Something arrives while the thread that drives asks for the one set, and another sleeps for the other. */
static void arrive_at_who_drives(void)
{
	add_exclusively();
	r->set.asks = true;
	sleepers_add(&r->other.sleepers, 2);
	assert_int_equal(arrive(0), 0);
}

static void epoll_sock_news__the_thread_that_drives_takes_it_itself(void **state)
{
	arrive_at_who_drives();
	assert_true(epoll_set_ready(&r->set));
	assert_false(epoll_set_ready(&r->other));
	assert_int_equal(arrive(0), 1u << 2); /* and no more than that one */
}

static void epoll_pass_on__what_a_wait_has_no_room_for(void **state)
{
	arrive_at_who_drives();
	r->set.asks = false;
	epoll_begin(&r->set);
	assert_int_equal(epoll_pass_on(&r->set), 1u << 2);
	assert_true(epoll_set_ready(&r->other));
	assert_int_equal(count(), 1); /* the set's own still */
	assert_int_equal(epoll_pass_on(&r->set), 0);
}

static void epoll_sock_news__others_hear_beside_exclusive_ones(void **state)
{
	add_to(&r->set, 0, EPOLLIN | EPOLLEXCLUSIVE);
	add_to(&r->other, 0, EPOLLIN);
	sleepers_add(&r->set.sleepers, 1);
	sleepers_add(&r->other.sleepers, 2);
	assert_int_equal(arrive(0), 1u << 1 | 1u << 2);
	assert_true(epoll_set_ready(&r->other));
}

/* --- cost --- */

enum { COLD = 4000 };

/* Registrations and sockets in pages of their own. */
struct cold {
	struct sock sock[COLD];
	struct stats_sock record;
	uint8_t items[(COLD + 1) * 192] __attribute__((aligned(FS_CACHE_LINE)));
};

static struct cold *cold_members(struct slab *slab)
{
	struct epoll_event event = { .events = EPOLLIN };
	struct cold *c = mmap(NULL, sizeof(*c), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct epoll_item *item;

	assert_ptr_not_equal(c, MAP_FAILED);
	slab_init(slab, sizeof(struct epoll_item));
	slab_add(slab, c->items, (size_t)COLD * slab->object_size + FS_CACHE_LINE);
	r->set.slab = slab;
	for (unsigned i = 0; i < COLD; i++) {
		struct epoll_member member = { .sock = &c->sock[i] };

		sock_init(&c->sock[i], &c->record, SOCK_UDP, false, 1000 + i);
		assert_int_equal(epoll_item_add(&r->set, member, 1000 + (int)i, &event, &item), 0);
	}
	r->set.slab = &r->items;
	return c;
}

/* Neither news nor a wait looks at members that are not ready: they cannot, here. */
static void epoll_collect__touches_only_what_is_ready(void **state)
{
	struct epoll_event events[4];
	struct slab slab;
	struct cold *c;

	add(0, EPOLLIN);
	c = cold_members(&slab);
	add(1, EPOLLIN | EPOLLET);
	assert_int_equal(mprotect(c, sizeof(*c), PROT_NONE), 0);
	for (unsigned i = 0; i < 3; i++) {
		arrive(0);
		arrive(1);
		assert_true(epoll_set_ready(&r->set));
		assert_int_equal(collect(events, 4), 2);
		drain(0);
		drain(1);
		assert_int_equal(collect(events, 4), 0);
	}
	munmap(c, sizeof(*c));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(epoll_item_add__links_both_ends),
		T(epoll_sock_error__need_not_be_asked_for),
		T(epoll_item_add__one_socket_under_two_numbers),
		T(epoll_item_add__readiness_that_exists_is_an_edge),
		T(epoll_item_add__no_memory),
		T(epoll_item_remove__leaves_every_list),
		T(epoll_set_clear__takes_everything_out),
		T(epoll_set_let__one_less_than_none_is_none),
		T(epoll_set_is_alone__nobody_else_and_no_heir),
		T(epoll_sock_readable__tells_only_who_wants_to_read),
		T(epoll_sock_readable__not_where_the_member_is_disarmed),
		T(epoll_sock_readable__every_set_of_the_socket),
		T(epoll_collect__reports_what_was_asked_for),
		T(epoll_collect__level_stays_until_drained),
		T(epoll_collect__rotates_with_room_for_one),
		T(epoll_collect__no_room_changes_nothing),
		T(epoll_collect__edge_per_datagram),
		T(epoll_collect__edge_whose_data_were_read_is_dropped),
		T(epoll_collect__one_shot_waits_for_modify),
		T(epoll_item_modify__evaluates_anew),
		T(epoll_item_modify__interest_taken_away),
		T(epoll_merge__adds_what_the_stack_has),
		T(epoll_merge__level_member_appears_once),
		T(epoll_merge__edge_is_consumed),
		T(epoll_merge__one_shot_fired_by_either_half),
		T(epoll_tag__finds_its_item),
		T(epoll_item_from_tag__data_of_kernel_members),
		T(epoll_item_from_tag__item_that_went),
		T(epoll_set_news__outer_sets_hear_of_later_members),
		T(epoll_set_news__each_is_an_edge_for_the_outer_set),
		T(epoll_set_news__not_where_the_inner_set_is_disarmed),
		T(epoll_item_add__a_set_that_is_ready_is_an_edge),
		T(epoll_set_clear__leaves_outer_sets),
		T(epoll_sock_news__wakes_one_of_who_wait_exclusively),
		T(epoll_sock_news__the_next_while_the_first_has_not_looked),
		T(epoll_sock_news__who_does_not_sleep_finds_the_event_later),
		T(epoll_sock_news__the_thread_that_drives_takes_it_itself),
		T(epoll_pass_on__what_a_wait_has_no_room_for),
		T(epoll_sock_news__others_hear_beside_exclusive_ones),
		T(epoll_collect__touches_only_what_is_ready),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
