/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * list.h - intrusive doubly linked list.
 *
 * A list is a ring of struct list through its head; an element embeds a struct list and is found
 * again with FS_CONTAINER_OF. Plain pointers: it may live in stack memory (DESIGN D2).
 *
 * Does:     insert and remove in constant time, without knowing which list an element is in.
 * Does not: own or free anything.
 * Threads:  one at a time; whoever holds the lock of the structure around it.
 */
#ifndef FSOCK_BASE_LIST_H
#define FSOCK_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/* Head or element. An element outside any list points to itself, or is all zero. */
struct list {
	struct list *next, *prev;
};

/* inline definitions */

/* Make an empty list, or an element that is in no list. */
static inline void list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline bool list_is_empty(const struct list *head)
{
	return head->next == head;
}

/* Is this element in a list? */
static inline bool list_is_linked(const struct list *element)
{
	return element->next != NULL && element->next != element;
}

/* Put @element in front of @at; with the list's head as @at that is its tail. */
static inline void list_insert_before(struct list *at, struct list *element)
{
	element->next = at;
	element->prev = at->prev;
	at->prev->next = element;
	at->prev = element;
}

static inline void list_push_back(struct list *head, struct list *element)
{
	list_insert_before(head, element);
}

static inline void list_push_front(struct list *head, struct list *element)
{
	list_insert_before(head->next, element);
}

/* Take @element out of the list it is in. */
static inline void list_take(struct list *element)
{
	element->prev->next = element->next;
	element->next->prev = element->prev;
	list_init(element);
}

/* The same of one that may be in none. */
static inline void list_remove(struct list *element)
{
	if (list_is_linked(element))
		list_take(element);
}

/* First or last element, NULL when empty. */
static inline struct list *list_first(const struct list *head)
{
	return list_is_empty(head) ? NULL : head->next;
}

static inline struct list *list_last(const struct list *head)
{
	return list_is_empty(head) ? NULL : head->prev;
}

static inline struct list *list_pop_front(struct list *head)
{
	struct list *element = list_first(head);

	if (element)
		list_remove(element);
	return element;
}

/* Move all of @from, in order, behind the last element of @to; @from is empty afterwards. */
static inline void list_splice_back(struct list *to, struct list *from)
{
	if (list_is_empty(from))
		return;
	from->next->prev = to->prev;
	from->prev->next = to;
	to->prev->next = from->next;
	to->prev = from->prev;
	list_init(from);
}

/* Loop over the elements. LIST_FOR_EACH_SAFE allows removing @e in the body; @following is a second
 * struct list pointer for the macro's use. */
#define LIST_FOR_EACH(e, head) for ((e) = (head)->next; (e) != (head); (e) = (e)->next)
#define LIST_FOR_EACH_SAFE(e, following, head)                                                     \
	for ((e) = (head)->next, (following) = (e)->next; (e) != (head);                           \
	     (e) = (following), (following) = (e)->next)

#endif
